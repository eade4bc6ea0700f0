"""nbragg.datasets: random amplitudes with Wilson statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nbragg import StructureFactors
from nbragg.base.errors import InputError
from nbragg.datasets import LYSOZYME_CARBONS, LYSOZYME_CELL, lysozyme, wilson


def _table(sf: StructureFactors) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes and 1/d^2 over the whole box of an orthogonal lysozyme-sized list."""
    assert sf.values is not None
    hkl = np.indices(sf.values.shape) + np.reshape(sf.origin, (3, 1, 1, 1))
    return sf.values, np.sum((hkl / np.reshape(LYSOZYME_CELL[:3], (3, 1, 1, 1))) ** 2, axis=0)


def test_lists_every_index_within_the_limit() -> None:
    sf = lysozyme(d_min_A=4.0)
    values, inverse_d_sqr = _table(sf)
    inside = (inverse_d_sqr <= 1 / 4.0**2) & (inverse_d_sqr > 0)
    assert sf.n_listed == inside.sum()
    assert np.array_equal(values > 0, inside)


def test_friedel_mates_are_equal() -> None:
    values, _ = _table(lysozyme(d_min_A=4.0))
    assert np.array_equal(values, values[::-1, ::-1, ::-1])


def test_intensities_follow_the_acentric_distribution() -> None:
    """P(I/<I> > z) = exp(-z) and <|E^2 - 1|> = 2/e, against the expected mean intensity."""
    values, inverse_d_sqr = _table(lysozyme(d_min_A=2.5, b_factor_A2=15.0))
    listed = values > 0
    s_sqr = inverse_d_sqr[listed] / 4
    carbon = (
        2.31 * np.exp(-20.8439 * s_sqr) + 1.02 * np.exp(-10.2075 * s_sqr) + 1.5886 * np.exp(-0.5687 * s_sqr)
    )
    carbon += 0.865 * np.exp(-51.6512 * s_sqr) + 0.2156
    e_sqr = values[listed] ** 2 / (LYSOZYME_CARBONS * carbon**2 * np.exp(-2 * 15.0 * s_sqr))
    # 32000 independent pairs: one standard error is 0.006
    assert abs(e_sqr.mean() - 1) < 0.025
    assert abs(np.abs(e_sqr - 1).mean() - 2 / np.e) < 0.025
    for z in (0.2, 1.0, 2.0):
        assert abs((e_sqr > z).mean() - np.exp(-z)) < 0.012


def test_same_seed_same_list_and_another_seed_another() -> None:
    assert lysozyme(4.0, seed=7) == lysozyme(4.0, seed=7)
    assert lysozyme(4.0, seed=7) != lysozyme(4.0, seed=8)


def test_smaller_d_min_extends_the_same_list() -> None:
    coarse, fine = lysozyme(4.0), lysozyme(3.0)
    assert coarse.values is not None and fine.values is not None
    start = np.subtract(coarse.origin, fine.origin)
    window = tuple(slice(s, s + n) for s, n in zip(start, coarse.values.shape, strict=True))
    common = fine.values[window]
    assert np.array_equal(common[coarse.values > 0], coarse.values[coarse.values > 0])


def test_oblique_cell_keeps_the_limit() -> None:
    """Against d from the reciprocal basis, built here from Cartesian vectors."""
    al, be, ga = np.radians([75.0, 85.0, 95.0])
    a = np.array([20.0, 0, 0])
    b = 25.0 * np.array([np.cos(ga), np.sin(ga), 0])
    cy = (np.cos(al) - np.cos(be) * np.cos(ga)) / np.sin(ga)
    c = 30.0 * np.array([np.cos(be), cy, np.sqrt(np.sin(be) ** 2 - cy**2)])
    reciprocal = np.linalg.inv(np.array([a, b, c]))
    hkl = np.moveaxis(np.mgrid[-15:16, -15:16, -15:16], 0, -1)
    s = np.linalg.norm(hkl @ reciprocal.T, axis=-1)
    sf = wilson((20, 25, 30, 75, 85, 95), 3.0, carbon_atoms=300)
    assert sf.n_listed == ((s <= 1 / 3.0) & (s > 0)).sum()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"d_min_A": 0.0}, "d_min_A must be a finite number above 0"),
        ({"d_min_A": float("nan")}, "d_min_A must be a finite number above 0"),
        ({"d_min_A": 1e-9}, "use a larger d_min_A"),
        ({"carbon_atoms": -1}, "carbon_atoms must be"),
        ({"b_factor_A2": -1.0}, "b_factor_A2 must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"cell": (20, 20, 20, 30, 30, 120)}, "cannot form a cell"),
        ({"cell": (20, 20, 0, 90, 90, 90)}, "must be positive"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], named: str) -> None:
    given: dict[str, Any] = {
        "cell": (20, 20, 20, 90, 90, 90),
        "d_min_A": 3.0,
        "carbon_atoms": 100,
    } | arguments
    with pytest.raises(InputError, match=named):
        wilson(**given)

"""Blocks of whole numbers of cells in mixed precision: indices in fixed point, against double precision."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors, _engine
from nbragg.engine.options import MIXED_TOLERANCE
from nbragg.simulation.simulate import render

LEVELS = [name for name, usable in _engine.isa_levels() if usable]
#: the last for which errors of an index stay within its share of mixed precision's tolerance is 485
BLOCKS = [
    (1, 1, 2),
    (2, 3, 4),
    (5, 5, 5),
    (20, 31, 7),
    (127, 3, 1),
    (485, 485, 485),
    (486, 2, 900),
    (4.5, 5, 6),
]


def factors(scale: float = 1.0) -> StructureFactors:
    """Far apart for neighbours, some negative indices only, some not listed."""
    values = np.random.default_rng(2).uniform(0, 1e3, (9, 6, 7)) ** 2 * scale
    return StructureFactors(values=values, origin=(-6, -2, -3), default_F=70.0 * scale)


def scene(N: tuple[float, ...], listed: StructureFactors | None, **crystal: Any) -> Any:
    setup = nbragg.Setup(
        Crystal(
            cell=(40, 52, 61, 85, 95, 103), N=(3, 3, 3),
            structure_factors=listed or StructureFactors.constant(100.0),
            misset_deg=(11, 23, 37), mosaic_spread_deg=0.8, mosaic_domains=70, **crystal,
        ),
        Beam(wavelength_A=1.1, dispersion_pct=1.0, dispersion_steps=2),
        Detector(fpixels=37, spixels=19, pixel_mm=1.7, distance_mm=60, rotx_deg=4),
        Sampling(oversample=1),
    )  # fmt: skip
    made = nbragg.build_scene(setup)
    crystals = tuple(dataclasses.replace(one, N=np.array(N, float)) for one in made.crystals)
    return dataclasses.replace(made, crystals=crystals)


def deviation(given: Any, monkeypatch: pytest.MonkeyPatch) -> float:
    """Largest on any instruction set, as a fraction of the maximum."""
    worst = 0.0
    for level in LEVELS:
        monkeypatch.setenv("NBRAGG_ISA", level)
        double, mixed = (
            render(given, precision=precision).image.astype(float) for precision in ("double", "mixed")
        )
        assert double.max() > 0 and np.isfinite(mixed).all()
        worst = max(worst, float(np.abs(mixed - double).max() / double.max()))
    return worst


@pytest.mark.parametrize("N", BLOCKS, ids=str)
@pytest.mark.parametrize("listed", [False, True])
def test_blocks(N: tuple[float, ...], listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deviation(scene(N, factors() if listed else None), monkeypatch) <= MIXED_TOLERANCE


def test_weights_of_orientations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of one weight are as short as one orientation."""
    given = scene((5, 6, 7), factors())
    [one] = given.crystals
    weights = np.random.default_rng(3).uniform(0, 2, len(one.orientations)).repeat(3)[: len(one.orientations)]
    moved = dataclasses.replace(one, orientation_weights=weights)
    assert deviation(dataclasses.replace(given, crystals=(moved,)), monkeypatch) <= MIXED_TOLERANCE


def test_large_factors_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """N^6 F^2 would be beyond a float."""
    given = dataclasses.replace(scene((400, 400, 400), factors(1e8)), fluence=1.0)
    assert deviation(given, monkeypatch) <= MIXED_TOLERANCE


def test_the_very_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """At whole indices, where sin(pi h) is 0, the factor is its maximum."""
    given = scene((6, 6, 6), factors())
    [one] = given.crystals
    whole = dataclasses.replace(one, orientations=np.zeros_like(one.orientations))
    given = dataclasses.replace(given, crystals=(whole,))
    assert deviation(given, monkeypatch) <= MIXED_TOLERANCE
    off = dataclasses.replace(whole, N=np.array([6.0, 6.0, 5.0]))
    ratio = [
        render(each, precision="mixed").image[3, 4]
        for each in (given, dataclasses.replace(given, crystals=(off,)))
    ]
    assert ratio[0] / ratio[1] == pytest.approx(36 / 25, rel=1e-6)


def test_mirror_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """(h, k, l) and (-h, -k, -l) have one lattice factor, so a crystal turned inside out one image."""
    given = scene((5, 6, 7), None)
    [one] = given.crystals
    other = dataclasses.replace(given, crystals=(dataclasses.replace(one, orientations=-one.orientations),))
    for level in LEVELS:
        monkeypatch.setenv("NBRAGG_ISA", level)
        images = [render(each, precision="mixed").image.astype(float) for each in (given, other)]
        assert np.abs(images[0] - images[1]).max() <= 1e-7 * images[0].max()
        # but for zeros of an index the two are the same to the bit
        assert (images[0] == images[1]).mean() > 0.99

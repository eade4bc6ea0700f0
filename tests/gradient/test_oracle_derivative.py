"""The oracle's derivatives themselves: complex step against differences of its own image."""

from __future__ import annotations

import dataclasses
from typing import Any

import mpmath
import numpy as np
import oracle
import pytest
from derivatives import near_choice, plain, product, scene_derivative, scene_difference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tangent_strategies import frames, moving_scenes, parts, small_scenes

from nbragg.scene.record import Scene
from nbragg.scene.tangent import CrystalTangent, SceneTangent

pytestmark = [
    pytest.mark.slow,  # the sanitizers have test_every_field and test_golden_grad
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
    pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here"),
]


@settings(max_examples=12)
@given(small_scenes(), st.data())
def test_complex_step_is_the_limit_of_differences(scene: Scene, data: st.DataObject) -> None:
    """One field at a time; steps of 1e-6 of a tangent cross no edge and leave 1e-12 of the image."""
    assume(not near_choice(scene, 5e-5))
    known = parts(scene)
    name = data.draw(st.sampled_from(sorted(known)))
    assume(name != "water" or scene.water != 0)  # whose sign decides which samples are looked up
    assume("orientation_weights" not in name)  # a difference moves their sum too, which is held
    tangent = known[name](scene, np.random.default_rng(7))
    image, along = scene_derivative(scene, tangent, frames(scene))
    assert np.abs(image - oracle.render(scene)).max() <= 1e-15 * image.max()
    by_difference = scene_difference(scene, tangent, frames(scene), 1e-6)
    assert np.abs(along - by_difference).max() <= 1e-9 * np.abs(along).max() + 1e-11 * image.max()


@settings(max_examples=10)
@given(moving_scenes(most=1))
def test_cell_and_turn_are_orientations(case: tuple[Scene, list[SceneTangent]]) -> None:
    """The three ways to move orientations, and single entries of a table, add up."""
    scene, (tangent,) = case
    _, along = scene_derivative(scene, tangent, frames(scene))
    _, again = scene_derivative(scene, plain(tangent, scene, frames(scene)))
    assert np.abs(along - again).max() <= 1e-13 * max(np.abs(along).max(), 1e-3 * oracle.render(scene).max())


def test_a_product_of_tangents_counts_every_field() -> None:
    """`product`, by which cotangents are judged."""
    ones = SceneTangent(
        crystals=(CrystalTangent(N=np.ones(3), fudge=2.0),), source_weight=np.array([1.0, 3.0]), water=5.0
    )
    assert product(ones, ones) == 3 + 4 + 1 + 9 + 25


@pytest.mark.parametrize("n", ["1", "1.5", "5", "12.37", "100"])
def test_the_block_of_cells(n: str) -> None:
    """Slopes by place and by number of cells against 50 digits, from 1e-12 of a cell to its middle."""
    number = np.longdouble(n)
    places = np.longdouble(1) * np.concatenate([10.0 ** np.arange(-12, -1), np.linspace(0.013, 0.5, 40)])
    places = np.concatenate([-places[:-1], places])
    found = {}
    for name, moved in {"x": (1, 0), "n": (0, 1)}.items():
        x = places + 1j * oracle.REAL("1e-200") * moved[0]
        cells = np.array([number + 1j * oracle.REAL("1e-200") * moved[1], 1, 1])
        crystal = dataclasses.make_dataclass("Crystal", ["N", "shape"])(cells, "square")
        dh = np.stack([x, 0 * x, 0 * x], axis=-1)
        found[name] = (oracle.lattice_factor(crystal, dh) ** 2).imag / oracle.REAL("1e-200")
    with mpmath.workdps(50):
        exact = [_block_slopes(mpmath.mpf(repr_of(x)), mpmath.mpf(repr_of(number))) for x in places]
        by_x, by_n = (np.array([oracle.REAL(str(v)) for v in column]) for column in zip(*exact, strict=True))
    for got, want in ((found["x"], by_x), (found["n"], by_n)):
        assert np.abs(got - want).max() <= 1e-16 * max(np.abs(want).max(), 1)


def repr_of(x: Any) -> str:
    """All digits of a long double."""
    return str(np.format_float_scientific(x, precision=25, unique=False))


def _block_slopes(x: Any, n: Any) -> tuple[Any, Any]:
    """Of s = sin^2(pi n x) / sin^2(pi x), by x and by n."""
    pi, sin, cot = mpmath.pi, mpmath.sin, mpmath.cot
    s = (sin(pi * n * x) / sin(pi * x)) ** 2
    top = sin(2 * pi * n * x) / sin(pi * x) ** 2
    return pi * n * top - 2 * pi * cot(pi * x) * s, pi * x * top


def test_the_centre_of_a_peak_has_no_slope() -> None:
    """At x = 0 nothing is 0/0: slope 0 by place, 2 N by number."""
    for shape in ("square", "round", "gauss"):
        crystal = dataclasses.make_dataclass("Crystal", ["N", "shape", "shape_metric", "fudge"])(
            np.array([5.0, 4.0, 3.0]), shape, np.diag([25.0, 16.0, 9.0]), 1.0
        )
        moved = (oracle.lattice_factor(crystal, np.full((1, 3), 1j * oracle.REAL("1e-200"))) ** 2).imag
        assert abs(float(moved[0] / oracle.REAL("1e-200"))) < 1e-30


def test_the_centre_of_a_flat_polarization() -> None:
    """A detector pixel on the incident beam: the factor is smooth there, its slope 0."""
    beam = np.array([1.0, 0.0, 0.0])
    scene = dataclasses.make_dataclass("Scene", ["nopolar", "polarization", "polar_vector"])(
        False, 0.8, np.array([0.0, 0.0, 1.0])
    )
    d = oracle.wide(beam) + 1j * oracle.REAL("1e-200") * np.array([0.0, 0.3, 0.4])
    factor = oracle.polarization(scene, beam, d[None])
    assert float(factor.real[0]) == 1.0
    assert abs(float(factor.imag[0] / oracle.REAL("1e-200"))) < 1e-30

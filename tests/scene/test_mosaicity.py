"""Mosaic domains and cell spread (beyond 16.4): moments, rocking curves, symmetry, sums; sizes of error."""

from __future__ import annotations

import math
from typing import Any

import crystal_oracle
import golden_beyond
import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Panel, Sampling, Setup, StructureFactors
from nbragg.base.point_sets import gaussian_points
from nbragg.base.rotations import random_orientations, vector_rotation
from nbragg.base.vectors import axis_rotation
from nbragg.scene.build import build_scene

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

DEGREE = math.pi / 180
Array = npt.NDArray[np.float64]


def crystal(**fields: Any) -> Crystal:
    given: dict[str, Any] = {"cell": (50, 60, 70, 90, 90, 90), "N": 12, "shape": "gauss"}
    return Crystal(structure_factors=StructureFactors.constant(50), **(given | fields))


def vectors(matrices: Array) -> Array:
    """Rotation vectors of rotation matrices."""
    angle = np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1))
    axis = np.stack([matrices[:, i, j] - matrices[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], axis=1)
    return np.asarray(axis * (angle / (2 * np.sin(np.maximum(angle, 1e-12))))[:, np.newaxis])


def domains(one: Crystal, physics: str = "exact") -> Array:
    """Rotations of the domains of a crystal that stands upright, from its axes."""
    scene = build_scene(Setup(one, physics=physics))
    upright = build_scene(
        Setup(one.replace(mosaic_spread_deg=None, mosaic_set=None, cell_spread=None), physics=physics)
    )
    cell = upright.crystals[0].orientations[0]
    return np.swapaxes(np.linalg.inv(cell) @ scene.crystals[0].orientations, 1, 2)


# ---- the set -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [3, 4, 6, 9])
def test_points_by_the_oracle(dimensions: int) -> None:
    found = gaussian_points(40, dimensions)
    # in the tails quantiles multiply the rounding of 40/g by 100
    assert np.abs(found - crystal_oracle.points(40, dimensions)).max() < 1e-11
    assert np.abs(found.mean(axis=0)).max() < 1e-14
    assert np.abs(found.T @ found / 40 - np.eye(dimensions)).max() < 1e-12


@pytest.mark.parametrize("spread", [0.8, (0.3, 0.5, 0.9), (0.5, 0.7, 0.4, 0.1, -0.2, 0.05)])
def test_moments_of_the_lattice(spread: Any) -> None:
    w = (
        vectors(domains(crystal(mosaic_spread_deg=spread, mosaic_domains=64, mosaic_axes="laboratory")))
        / DEGREE
    )
    s = np.atleast_1d(spread)
    expected = np.eye(3) * s**2 if s.size < 6 else crystal_oracle.symmetric(s)
    assert np.abs(w.mean(axis=0)).max() < 1e-9
    assert np.abs(w.T @ w / 64 - expected).max() < 1e-9


def test_profile_error_of_lattice_and_random() -> None:
    """The table of beyond 16.2: 64 lattice points do what 140 random ones do.

    Profile: Gaussian spots of rms ``width``, moved by the first component of w; its error relative to the
    peak of what infinitely many domains give.
    """
    x = np.linspace(-4, 4, 161)

    def error(z: Array, width: float) -> float:
        profile = np.exp(-0.5 * ((x - z[:, np.newaxis]) / width) ** 2).mean(axis=0)
        whole = width / math.hypot(width, 1) * np.exp(-0.5 * x**2 / (width**2 + 1))
        return float(np.sqrt(((profile - whole) ** 2).mean()) / whole.max())

    rng = np.random.default_rng(1)
    for width, times in ((0.5, 140), (0.2, 140)):
        turns = random_orientations(40, seed=3)
        lattice = np.mean([error((gaussian_points(64, 3) @ turn.T)[:, 0], width) for turn in turns])
        random = np.mean([error(rng.normal(size=times), width) for _ in range(200)])
        assert lattice < random


def test_antithetic_pairs_and_random_sets() -> None:
    pairs = vectors(domains(crystal(mosaic_spread_deg=1, mosaic_domains=7, mosaic_set="antithetic")))
    assert np.abs(pairs[0]).max() < 1e-12
    assert np.abs(pairs[1::2] + pairs[2::2]).max() < 1e-12
    drawn = vectors(domains(crystal(mosaic_spread_deg=1, mosaic_domains=4000, mosaic_set="random")))
    assert np.abs(drawn[0]).max() < 1e-12
    assert abs(drawn.std() / DEGREE - 1) < 0.03
    again = domains(crystal(mosaic_spread_deg=1, mosaic_domains=4000, mosaic_set="random", mosaic_seed=5))
    assert np.abs(vectors(again) - drawn).max() > 1e-3


def test_kinds_of_distribution() -> None:
    """rms of one component: gauss 1, angle 0.577, cap 0.497 of the spread (beyond 16.1)."""
    for kind, expected in (("gauss", 1.0), ("angle", 0.577), ("cap", 0.497)):
        one = crystal(mosaic_spread_deg=0.5, mosaic_domains=4000, mosaic=kind, mosaic_set="random")
        found = math.sqrt((vectors(domains(one)) ** 2).mean()) / (0.5 * DEGREE)
        assert abs(found - expected) < 0.015
    assert np.array_equal(
        domains(crystal(mosaic_spread_deg=0.5), "nanobragg"),
        domains(crystal(mosaic_spread_deg=0.5, mosaic="cap"), "nanobragg"),
    )


def test_given_domains() -> None:
    w = np.array([[0.01, 0, 0], [0, 0.02, 0.005]])
    matrices = np.array([vector_rotation(v) for v in w])
    by_vectors, by_matrices = (domains(crystal(mosaic_set=given)) for given in (w, matrices))
    assert np.abs(by_vectors - matrices).max() < 1e-14
    assert np.abs(by_matrices - matrices).max() < 1e-14


@pytest.mark.parametrize("name", ["umats_iso", "umats_aniso"])
def test_sets_of_another_program(name: str) -> None:
    """Rotations written by simtbx: as given sets, and their widths by the formula of ``"angle"``."""
    matrices = golden_beyond.array(f"simtbx/{name}")
    assert np.abs(domains(crystal(mosaic_set=matrices)) - matrices).max() < 1e-13
    w = vectors(matrices)
    angle = np.linalg.norm(w, axis=1)
    axis = w[angle > 0] / angle[angle > 0, np.newaxis]
    eta = np.array(golden_beyond.CASES[f"simtbx/{name}"]["eta_deg"]) * DEGREE
    quantiles = np.sort(angle[angle > 0] * np.sqrt((axis**2 / eta**2).sum(axis=1)))
    isotropic = vectors(golden_beyond.array("simtbx/umats_iso"))
    expected = np.sort(np.linalg.norm(isotropic, axis=1)) / (0.3 * DEGREE)
    assert np.abs(quantiles - expected[expected > 0]).max() < 1e-7


def test_angle_with_three_spreads() -> None:
    """Axes are uniform, angles scaled by their own width: the same draws with one spread and three."""
    fields: dict[str, Any] = {"mosaic_domains": 50, "mosaic": "angle", "mosaic_axes": "laboratory"}
    one = vectors(domains(crystal(mosaic_spread_deg=1.0, **fields)))
    three = vectors(domains(crystal(mosaic_spread_deg=(0.5, 1.0, 2.0), **fields)))
    axis = one[1:] / np.linalg.norm(one[1:], axis=1)[:, np.newaxis]
    width = 1 / np.sqrt((axis**2 / np.array([0.5, 1.0, 2.0]) ** 2).sum(axis=1))
    assert np.abs(three[1:] - one[1:] * width[:, np.newaxis]).max() < 1e-12


# ---- images ------------------------------------------------------------------------------------------------


def rocking(one: Crystal, angles: Array) -> Array:
    """Rocking curve of (0 10 0) about a, all pixels together: only l, along b* x a, then counts."""
    cell = build_scene(Setup(one)).crystals[0]
    g = np.array([0, 10 / 60e-10, 0])
    sums = []
    for angle in angles:
        l_index = cell.orientations[:, 2] @ (axis_rotation(np.array([1.0, 0, 0]), angle) @ g)
        sums.append(np.exp(-2 * cell.shape_metric[2, 2] * l_index**2 / 0.63).mean())
    return np.array(sums)


def test_rocking_curve_is_gaussian() -> None:
    """rms^2 = spot^2 + spread^2 to 1 percent, and the shape's fourth moment (beyond 16.4)."""
    angles = np.linspace(-3, 3, 241) * DEGREE
    still = rocking(crystal(N=30), angles)
    wide = rocking(crystal(N=30, mosaic_spread_deg=0.5, mosaic_domains=1024), angles)

    def moment(curve: Array, power: int) -> float:
        return float((curve * angles**power).sum() / curve.sum())

    assert moment(wide, 2) == pytest.approx(moment(still, 2) + (0.5 * DEGREE) ** 2, rel=0.01)
    assert moment(wide, 4) / moment(wide, 2) ** 2 == pytest.approx(3, rel=0.03)


def image(setup: Setup) -> Array:
    return np.asarray(nbragg.simulate(setup, precision="double").image, np.float64)


#: square about the beam
SQUARE = {"fast": (1, 0, 0), "slow": (0, -1, 0), "pixel_mm": 1.0, "fpixels": 61, "spixels": 61}
WIDE = Detector(panels=[Panel(origin_mm=(-30.5, 30.5, -60), **SQUARE)])
ALONG = Beam(nopolar=True, beam_vector=(0, 0, -1), polar_vector=(1, 0, 0))


@pytest.mark.parametrize("axes", ["crystal", "a*"])
def test_turning_the_crystal_turns_the_pattern(axes: str) -> None:
    """With axes of the crystal: a quarter turn about the beam turns the image (1e-6)."""
    stands = vector_rotation((0.3, 0.5, 0.2))
    fields: dict[str, Any] = {"mosaic_spread_deg": (0.2, 1.0, 2.5), "mosaic_domains": 30}
    base = crystal(mosaic_axes=axes, orientation=stands, **fields)
    setup = Setup(base, ALONG, WIDE, Sampling(oversample=1))
    quarter = axis_rotation(np.array([0.0, 0, 1]), math.pi / 2)
    turned = image(setup.replace(orientation=quarter @ stands))
    upright = image(setup)
    best = min(float(np.abs(np.rot90(upright, k) - turned).max()) for k in (1, 3))
    assert best <= 1e-6 * upright.max()
    still = image(setup.replace(mosaic_axes="laboratory"))
    moved = image(setup.replace(mosaic_axes="laboratory", orientation=quarter @ stands))
    assert min(float(np.abs(np.rot90(still, k) - moved).max()) for k in (1, 3)) > 1e-3 * still.max()


@pytest.mark.parametrize("axes", ["crystal", "a*", "laboratory"])
def test_the_spindle_turns_as_an_orientation_does(axes: str) -> None:
    """A crystal turned by phi is one that stands there, domains and all."""
    fields: dict[str, Any] = {"mosaic_spread_deg": (0.2, 1.0, 2.5), "mosaic_domains": 9, "mosaic_axes": axes}
    one = crystal(spindle_axis=(0, 0, 1), **fields)
    turned = build_scene(Setup(one.replace(phi_deg=40))).crystals[0].orientations
    stands = one.replace(orientation=axis_rotation(np.array([0.0, 0, 1]), 40 * DEGREE))
    assert np.abs(turned - build_scene(Setup(stands)).crystals[0].orientations).max() < 1e-20


def test_anisotropic_tilts() -> None:
    """A spread about e1 = a leaves a where it is, and tilts the others."""
    one = crystal(mosaic_spread_deg=(1.0, 0, 0), mosaic_domains=20)
    rows = build_scene(Setup(one)).crystals[0].orientations
    assert np.ptp(rows[:, 0], axis=0).max() < 1e-20
    assert np.ptp(rows[:, 2], axis=0).max() > 1e-11


def test_weights_count() -> None:
    """Twice the weight is the domain listed twice; the mean of the weights is one."""
    w = np.array([[0.01, 0, 0], [0, 0.02, 0.005]])
    setup = Setup(
        crystal(mosaic_set=w, mosaic_weights=(2, 1)), detector=WIDE, sampling=Sampling(oversample=1)
    )
    doubled = image(setup)
    twice = image(setup.replace(mosaic_set=w[[0, 0, 1]], mosaic_weights=None))
    assert np.abs(doubled - twice).max() <= 1e-6 * twice.max()
    assert np.array_equal(doubled, image(setup.replace(mosaic_weights=(4, 2))))


def test_no_spread_is_one_domain() -> None:
    setup = Setup(crystal(), ALONG, WIDE, Sampling(oversample=1))
    for none in ({"mosaic_spread_deg": 0.0}, {"mosaic_spread_deg": (0, 0, 0)}, {"cell_spread": 0.0}):
        assert np.array_equal(image(setup.replace(**none, mosaic_domains=5)), image(setup))


def test_a_whole_reflection_keeps_its_photons() -> None:
    """Summed over its rotation and its pixels a reflection does not depend on the spread (1 percent)."""
    steps = np.linspace(-4, 4, 201) * DEGREE
    sums = []
    for spread in (None, 0.5):
        one = crystal(N=12, mosaic_spread_deg=spread, mosaic_domains=64)
        sums.append(rocking(one, steps).sum())
    assert sums[1] == pytest.approx(sums[0], rel=0.01)


# ---- spread of cells ---------------------------------------------------------------------------------------


def test_cell_spread_widens_a_ring() -> None:
    """rms of |q| of a reflection is that of q.eps.q/|q|^2 (beyond 16.3)."""
    one = crystal(cell_spread=(0.01, 0.02, 0.005, 0.004, 0.003, 0.006), mosaic_domains=4000)
    rows = build_scene(Setup(one)).crystals[0].orientations
    for hkl in ((1, 0, 0), (2, 3, 4)):
        q = np.linalg.inv(rows) @ np.array(hkl)
        length = np.linalg.norm(q, axis=1)
        stars = np.diag([1 / 50, 1 / 60, 1 / 70]) @ np.array(hkl)
        d = stars / np.linalg.norm(stars)
        rates = np.array([d[0] ** 2, d[1] ** 2, d[2] ** 2, 2 * d[0] * d[1], 2 * d[0] * d[2], 2 * d[1] * d[2]])
        expected = np.sqrt(((rates * np.array(one.cell_spread)) ** 2).sum())
        assert length.std() / length.mean() == pytest.approx(expected, rel=0.03)


def test_cell_spread_of_edges() -> None:
    rows = (
        build_scene(Setup(crystal(cell_spread=(0.01, 0.02, 0.0), mosaic_domains=200)))
        .crystals[0]
        .orientations
    )
    lengths = np.linalg.norm(rows, axis=2) * 1e10 / np.array([50, 60, 70]) - 1
    assert np.abs(lengths.mean(axis=0)).max() < 1e-12
    assert lengths.std(axis=0) == pytest.approx([0.01, 0.02, 0.0], abs=1e-12)


# ---- what cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mosaic_spread_deg": (1, 2)}, "3 or 6 of them"),
        ({"mosaic_spread_deg": (1, 2, -1)}, "mosaic_spread_deg"),
        ({"mosaic_spread_deg": (1, 1, 1, 5, 0, 0)}, "positive semidefinite"),
        ({"mosaic": "gaus"}, "'gauss'"),
        ({"mosaic_axes": "b*"}, "mosaic_axes"),
        ({"mosaic_axes": np.ones((3, 3))}, "orthonormal"),
        ({"mosaic_set": "latice"}, "'lattice'"),
        ({"mosaic_set": np.ones((2, 3, 3))}, "rotation matrix"),
        ({"mosaic_set": np.zeros((2, 3)), "mosaic_spread_deg": 1}, "leave out mosaic_spread_deg"),
        ({"mosaic_set": "lattice", "mosaic": "cap"}, "for mosaic"),
        ({"mosaic_spread_deg": (1, 1, 1), "mosaic": "cap"}, "one spread"),
        ({"cell_spread": 0.9}, "cell_spread"),
        ({"domain_weight": (1,), "mosaic_weights": (1,)}, "give one of them"),
    ],
)
def test_bad_values(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        crystal(**fields)


def test_what_has_no_effect_is_said() -> None:
    """A seed without draws; a set that belongs to another distribution than the physics takes."""
    with pytest.warns(nbragg.NbraggWarning, match="mosaic_seed has no effect"):
        build_scene(Setup(crystal(mosaic_spread_deg=1, mosaic_seed=5)))
    with pytest.raises(InputError, match="takes 'cap': give mosaic"):
        build_scene(Setup(crystal(mosaic_spread_deg=1, mosaic_set="lattice"), physics="nanobragg"))
    several = crystal(mosaic_spread_deg=(1, 2, 3))
    assert np.array_equal(
        domains(several, "nanobragg"), domains(several.replace(mosaic="gauss"), "nanobragg")
    )


def test_weights_of_another_number() -> None:
    with pytest.raises(InputError, match="give one for each"):
        build_scene(Setup(crystal(mosaic_spread_deg=1, mosaic_domains=3, mosaic_weights=(1, 2))))

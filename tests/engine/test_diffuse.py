"""Diffuse scattering: every pixel against the oracle, images of diffBragg, identities (beyond 20, 21)."""

from __future__ import annotations

import dataclasses
from typing import Any

import cuda_host
import diffuse_oracle
import golden_beyond
import numpy as np
import numpy.typing as npt
import oracle
import pytest

import nbragg
from nbragg import (
    Beam,
    Crystal,
    Detector,
    LiquidMotions,
    Panel,
    Sampling,
    Setup,
    StructureFactors,
    ThermalDiffuse,
)
from nbragg.base.errors import InputError
from nbragg.engine.cpu import render_behind, render_diffuse, render_double

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = npt.NDArray[Any]

BEAM = Beam(wavelength_A=1.2, fluence=1e20)
DETECTOR = Detector(distance_mm=60, pixel_mm=4, fpixels=12, spixels=10, rotx_deg=8)
TENSOR = [[40, 8, 3], [8, 25, -5], [3, -5, 30]]
TENSOR_U = [[0.2, 0.03, 0], [0.03, 0.1, 0], [0, 0, 0.15]]


def listed(size: int = 6, F_000: float = 40.0) -> StructureFactors:
    """A box around the origin, smaller than what the detector sees."""
    h = np.stack(np.meshgrid(*[np.arange(-size, size + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    F = 50 + 10 * ((h @ [3, 5, 7]) % 11)
    return StructureFactors.from_reflections(*h.T, np.where((h == 0).all(axis=1), F_000, F), default_F=3.0)


def crystal(motion: Any, **changes: Any) -> Crystal:
    given: dict[str, Any] = {
        "cell": (40, 50, 60, 85, 95, 100), "N": (3, 4, 5), "structure_factors": listed(), "shape": "gauss",
        "misset_deg": (10, 20, 30), "diffuse": motion,
    }  # fmt: skip
    return Crystal(**given | changes)


def setup_of(*crystals: Crystal, **changes: Any) -> Setup:
    setup = Setup(nbragg.Sample(crystals), BEAM, DETECTOR, Sampling(oversample=1))
    return setup.replace(**changes) if changes else setup


def diffuse(setup: Setup, threads: int | None = None) -> Array:
    """Photons at a fluence of 1 photon/m^2, before rounding."""
    scene = nbragg.build_scene(setup)
    return np.asarray(render_diffuse(scene, threads).reshape(scene.image_shape))


def relative(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


SKEW = (0.3, 0.4, 0.5)
CYCLED = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
THERMAL = ThermalDiffuse(300, 2500, 1200, 100)
BOX = Sampling(oversample=2, diffuse_oversample=2, dmin_A=3.2, roi=(1, 10, 2, 8))
CASES: dict[str, Setup] = {
    "isotropic": setup_of(crystal(LiquidMotions(30, 0.4, stencil=2))),
    "axes": setup_of(crystal(LiquidMotions((30, 20, 40), SKEW, order=3), osc_deg=3, phisteps=3)),
    "tensor": setup_of(crystal(LiquidMotions(TENSOR, np.diag([0.1, 0.2, 0.3]), axes=CYCLED))),
    "in F": setup_of(
        crystal(
            LiquidMotions(30, 0.4, llm_in_F=True, stencil=0), structure_factors=StructureFactors.constant(9)
        )
    ),
    "laue": setup_of(
        crystal(LiquidMotions((30, 20, 40), TENSOR_U, space_group="P 4 2 2"), cell=(40, 40, 60, 90, 90, 90))
    ),
    "trigonal": setup_of(
        crystal(LiquidMotions((30, 20, 40), TENSOR_U, space_group=145), cell=(40, 40, 60, 90, 90, 120))
    ),
    "tail": setup_of(crystal(LiquidMotions((12, 20, 25), SKEW, order=3, stencil=0, tail=True))),
    "tail, laue": setup_of(
        crystal(
            LiquidMotions((20, 12, 25), TENSOR_U, space_group="P 4 2 2", tail=True),
            cell=(40, 40, 60, 90, 90, 90),
        ),
        crystal(LiquidMotions(10, 0.4, tail=True), structure_factors=StructureFactors.constant(9)),
    ),
    "thermal": setup_of(crystal(THERMAL)),
    "mosaic": setup_of(
        crystal(LiquidMotions(20, 0.5), shape="square", mosaic_spread_deg=2, mosaic_domains=3)
    ),
    "thick": setup_of(
        crystal(LiquidMotions(20, 0.5)),
        detector=DETECTOR.replace(thickness_um=320, attenuation_um=200, thicksteps=2),
        sampling=BOX,
        beam=BEAM.replace(hdivrange_mrad=2, hdivsteps=2, polarization=0.7),
    ),
    "several": setup_of(
        crystal(LiquidMotions(20, 0.5)),
        crystal(None),
        crystal(THERMAL, N=7),
        detector=DETECTOR.replace(curved=True),
    ),
    "nanobragg": setup_of(crystal(LiquidMotions(25, 0.3), osc_deg=2, phisteps=2), physics="nanobragg"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_pixel(name: str) -> None:
    setup = CASES[name]
    scene = nbragg.build_scene(setup)
    expected = diffuse_oracle.image(setup, scene).real.astype(float)
    assert expected.max() > 0
    assert relative(diffuse(setup, 1), expected) < 1e-12
    whole = diffuse_oracle.render(setup, scene).real.astype(float)
    assert relative(render_double(scene, 1, "double"), whole) < 1e-11
    assert relative(render_double(scene, 1, "mixed"), whole) < 2e-6
    assert np.array_equal(diffuse(setup, 2), diffuse(setup, 1))


@pytest.mark.parametrize("name", ["laue", "tail, laue", "thick", "several"])
@cuda_host.needs_compiler
def test_cuda_source(name: str) -> None:
    """The same sums in the same order, by the GPU's source."""
    scene = nbragg.build_scene(CASES[name])
    for precision, tolerance in (("double", 1e-11), ("mixed", 2e-6)):
        _, image = cuda_host.render(scene, precision)
        assert relative(image, render_double(scene, 1, "double")) < tolerance


def test_behind_something_in_the_way() -> None:
    """It takes the way of the crystals' light, and is added to other backgrounds."""
    around = nbragg.Surroundings(sample_absorption=nbragg.SampleAbsorption(material="water", thickness_mm=1))
    water = nbragg.Background("water", thickness_mm=0.1)
    setup = CASES["axes"].replace(surroundings=around, backgrounds=[water])
    scene = nbragg.build_scene(setup)
    bare = dataclasses.replace(scene, diffuse=None)
    share = render_behind(bare).transmission
    assert share is not None and 0 < share.max() < 0.95
    expected = render_double(bare, 1, "double") + scene.fluence * share.reshape(scene.image_shape) * diffuse(
        setup
    )
    assert relative(render_double(scene, 1, "double"), expected) < 1e-14
    trace = nbragg.trace_pixel(scene, 3, 4)
    assert trace.pixel == pytest.approx(expected[3, 4], rel=1e-12)
    if cuda_host.PRESENT:
        assert relative(cuda_host.render(scene, "double")[1], expected) < 1e-11


def test_nothing_moves() -> None:
    """sigma 0: bit for bit as without, and nothing of it is in the Scene."""
    still = nbragg.build_scene(setup_of(crystal(LiquidMotions(30, 0))))
    without = nbragg.build_scene(setup_of(crystal(None)))
    assert still.diffuse is None and still.crystal.displacement is None
    for precision in ("double", "mixed"):
        assert np.array_equal(render_double(still, 1, precision), render_double(without, 1, precision))
    slight = setup_of(crystal(LiquidMotions(30, 1e-6)))
    assert diffuse(slight).max() < 1e-10 * diffuse(CASES["isotropic"]).max()


def test_bragg_left_out() -> None:
    whole = nbragg.build_scene(CASES["axes"])
    dark = nbragg.build_scene(CASES["axes"].replace(sampling=Sampling(oversample=1, bragg=False)))
    light = whole.fluence * diffuse(CASES["axes"])
    assert relative(render_double(dark, 1, "double"), light) < 1e-15
    bragg = render_double(dataclasses.replace(whole, diffuse=None), 1, "double")
    assert relative(render_double(whole, 1, "double"), bragg + light) < 1e-14


def test_displacement() -> None:
    """F exp(-V/2) in the trace; a list that holds it already leaves Bragg scattering as it is."""
    assert nbragg.build_scene(CASES["in F"]).crystal.displacement is None
    scenes = (nbragg.build_scene(setup_of(crystal(motion))) for motion in (LiquidMotions(30, 0.4), None))
    with_V, bare = (nbragg.trace_pixel(scene, 4, 7).samples[0] for scene in scenes)
    V = 4 * np.pi**2 * 0.4**2 * (2e-10 * bare["stol"]) ** 2
    assert V > 0.01
    assert with_V["F_cell"] == pytest.approx(bare["F_cell"] * np.exp(-V / 2), rel=1e-12)


def test_every_domain() -> None:
    """diffuse_mosaic: the mean over the domains, each as a crystal of its own."""
    setup = CASES["mosaic"].replace(sampling=Sampling(oversample=1, diffuse_mosaic=True))
    placed = nbragg.build_scene(setup).placement.crystals[0]
    alone = [
        diffuse(setup_of(crystal(LiquidMotions(20, 0.5), misset_deg=None, a_matrix=a, cell=None)))
        for a in (np.linalg.inv(placed.unit_cell.vectors @ turn.T) for turn in placed.mosaic_rotations)
    ]
    assert relative(alone[1], alone[0]) > 1e-3
    assert relative(diffuse(setup), np.mean(alone, axis=0)) < 1e-12


def test_twins() -> None:
    """Each individual moves in its own frame."""
    law = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    motion = LiquidMotions((30, 20, 40), (0.3, 0.4, 0.5))
    twin = setup_of(crystal(motion, cell=(40, 40, 60, 90, 90, 90), twin=[(law, 0.3)]))
    scene = nbragg.build_scene(twin)
    alone = [
        setup_of(
            crystal(motion, cell=None, misset_deg=None, a_matrix=np.linalg.inv(placed.unit_cell.vectors))
        )
        for placed in scene.placement.crystals
    ]
    parts = [diffuse(one) for one in alone]
    assert relative(parts[1], parts[0]) > 1e-2
    assert relative(diffuse(twin), 0.7 * parts[0] + 0.3 * parts[1]) < 1e-12
    for block, one in zip(scene.crystals, alone, strict=True):
        expected = nbragg.build_scene(one).crystal.displacement
        assert block.displacement is not None and expected is not None
        assert relative(block.displacement, expected) < 1e-12


def test_twice_the_cells_along_each_axis() -> None:
    """N -> 2 N: 8 times the diffuse, whatever Bragg does."""
    for motion in (LiquidMotions(30, 0.4), LiquidMotions((30, 20, 40), 0.3, order=2)):
        one, eight = (diffuse(setup_of(crystal(motion, N=n))) for n in (3, 6))
        assert relative(eight, 8 * one) < 1e-14


def test_scaled_lengths() -> None:
    """All lengths and the wavelength doubled: what has no length stays (beyond 21)."""
    one = setup_of(crystal(LiquidMotions((30, 20, 40), (0.3, 0.4, 0.5))))
    big = setup_of(crystal(LiquidMotions((60, 40, 80), (0.6, 0.8, 1.0)), cell=(80, 100, 120, 85, 95, 100)),
                   beam=BEAM.replace(wavelength_A=2.4))  # fmt: skip
    assert relative(diffuse(big), diffuse(one)) < 1e-12


def test_the_crystal_turns_its_image_with_it() -> None:
    """A quarter turn about the beam of a square detector, whatever the axes of the motions."""
    square = Detector(distance_mm=60, pixel_mm=4, fpixels=11, spixels=11, convention="xds")
    moving = crystal(LiquidMotions((30, 20, 40), (0.3, 0.4, 0.5)))
    beam = BEAM.replace(nopolar=True)
    first = setup_of(moving, detector=square, beam=beam)
    scene = nbragg.build_scene(first)
    turned = first.replace(sample=moving.replace(rotation_deg=tuple(90 * scene.panel.beam)))
    a, b = diffuse(first), diffuse(turned)
    assert relative(b, a) > 0.1
    assert min(relative(np.rot90(a, k), b) for k in (1, 3)) < 1e-6


def symmetric(space_group: str, edge: int = 8) -> StructureFactors:
    import gemmi

    h = np.stack(np.meshgrid(*[np.arange(-edge, edge + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    F, inside = np.zeros(len(h)), np.ones(len(h), bool)
    for op in gemmi.SpaceGroup(space_group).operations().sym_ops:
        image = h @ (np.array(op.rot) // op.DEN)
        for sign in (1, -1):
            F += 20 + 10 * np.cos(sign * image @ [0.7, 1.3, 0.4])
        inside &= (np.abs(image) <= edge).all(axis=1)
    return StructureFactors.from_reflections(*h.T, np.where(inside, F, 0))


@pytest.mark.parametrize(
    ("space_group", "cell", "stencil", "tolerance"),
    [
        ("P 4", (40, 40, 60, 90, 90, 90), 1, 1e-9),
        ("P 2 3", (45, 45, 45, 90, 90, 90), 1, 1e-9),
        ("P 3 2 1", (40, 40, 60, 90, 90, 120), 3, 1e-3),  # a stencil is a parallelepiped of indices
    ],
)
def test_laue_symmetry(space_group: str, cell: tuple[float, ...], stencil: int, tolerance: float) -> None:
    """The crystal turned by an operator of its group scatters the same; without laue it does not."""
    import gemmi

    for laue, alike in ((True, True), (False, False)):
        motion = LiquidMotions(
            (30, 20, 40), (0.3, 0.4, 0.5), space_group=space_group, laue=laue, stencil=stencil
        )
        factors = symmetric(space_group, 8 if stencil == 1 else 14)
        moving = crystal(motion, cell=cell, structure_factors=factors, misset_deg=None, N=4)
        setup = setup_of(moving)
        vectors = nbragg.build_scene(setup).placement.crystals[0].unit_cell.vectors
        operators = (np.array(op.rot) // op.DEN for op in gemmi.SpaceGroup(space_group).operations().sym_ops)
        S = next(S for S in operators if (np.diag(np.diag(S)) != S).any())
        other = setup.replace(sample=moving.replace(orientation=vectors.T @ S @ np.linalg.inv(vectors.T)))
        assert (relative(diffuse(other), diffuse(setup)) < tolerance) is alike
        if cell[5] == 90:  # other blocks of N cells are not symmetric
            whole = [render_double(nbragg.build_scene(one), 1, "double") for one in (setup, other)]
            assert (relative(*whole) < 1e-6) is alike


def at_points(motion: LiquidMotions, h: Array, weights: Array, **changes: Any) -> tuple[float, float]:
    """Weighted sums of Bragg and of diffuse scattering at indices h (n, 3), electrons^2.

    One pixel, and n orientations that bring each of them to it.
    """
    changes = {
        "cell": (EDGE, EDGE, EDGE, 90, 90, 90),
        "structure_factors": StructureFactors.constant(1),
    } | changes
    setup = setup_of(
        crystal(motion, shape="square", **changes), detector=Detector(fpixels=1, spixels=1, pixel_mm=30)
    )
    scene = nbragg.build_scene(setup.replace(beam=BEAM.replace(nopolar=True)))
    q = nbragg.trace_pixel(scene, 0, 0).samples["q"][0]
    abc = h[:, :, np.newaxis] * q / (q @ q)  # so that abc q = h
    assert scene.diffuse is not None
    (one,) = scene.diffuse.motions
    lit = dataclasses.replace(one, orientations=abc, weights=weights)
    block = dataclasses.replace(
        scene.crystal,
        orientations=abc,
        orientation_weights=weights,
        weight=scene.crystal.weight * weights.sum(),
    )
    scene = dataclasses.replace(
        scene, crystals=(block,), diffuse=dataclasses.replace(scene.diffuse, motions=(lit,))
    )
    unit = 7.94079248018965e-30 * nbragg.trace_pixel(scene, 0, 0).samples["omega"][0]
    bragg = render_double(dataclasses.replace(scene, diffuse=None), 1, "double")[0, 0]
    return bragg / unit / scene.fluence, float(render_diffuse(scene)[0]) / unit


EDGE = 30.0


def nodes(*edges: float) -> tuple[Array, Array]:
    """Places in (-1/2, 1/2) and weights, five between two edges on either side of 0."""
    u, w = np.polynomial.legendre.leggauss(5)
    low, high = np.array([0, *edges]), np.array([*edges, 0.5])
    x = ((low + high)[:, np.newaxis] + (high - low)[:, np.newaxis] * u).ravel() / 2
    dx = ((high - low)[:, np.newaxis] * w).ravel() / 2
    return np.concatenate([-x, x]), np.concatenate([dx, dx])


@pytest.mark.parametrize(("order", "reach"), [(1, 1000), (2, 1000), (8, 1000), (8, 4000)])
def test_sum_rule(order: int, reach: int) -> None:
    """Bragg and diffuse scattering over a cell of reciprocal space, F constant.

    exp(-V) times the sum of V^n/n! from 0 to the order.  Of all orders that is 1, as if nothing moved; and
    however narrow the diffuse becomes, its total is the same.
    """
    x, w = nodes(*np.geomspace(0.15 / reach, 0.2, 5))
    H, cells = np.array([10.0, 4.0, 2.0]), 3
    h = H + np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    weights = np.ascontiguousarray((w[:, None, None] * w[:, None] * w).ravel())
    V = 0.5
    sigma = EDGE * np.sqrt(V / (H @ H)) / (2 * np.pi)
    motion = LiquidMotions(reach * EDGE, sigma, order=order)
    total = sum(at_points(motion, h, weights, N=cells)) / cells**3
    expected = np.exp(-V) * sum(V**n / np.prod(np.arange(1.0, n + 1)) for n in range(order + 1))
    assert total == pytest.approx(expected, rel=1e-3)
    if order == 8:
        assert total == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("gamma", [0.2, 1.0])
def test_sum_rule_of_short_correlations(gamma: float) -> None:
    """With the tail it holds however short they are; without, a stencil of 1 loses much."""
    u, w = np.polynomial.legendre.leggauss(36)
    x, w = u / 2, w / 2
    H = np.array([10.0, 4.0, 2.0])
    h = H + np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    # of the order 1 only V^1 exp(-V) at each point is to be divided out
    V = 0.5 * (h**2).sum(axis=1) / (H @ H)
    weights = (w[:, None, None] * w[:, None] * w).ravel() / (V * np.exp(-V))
    sigma = EDGE * np.sqrt(0.5 / (H @ H)) / (2 * np.pi)
    short = LiquidMotions(gamma * EDGE, sigma)
    _, part = at_points(short, h, weights, N=3)
    _, whole = at_points(short.replace(tail=True), h, weights, N=3)
    assert part / 27 < 0.9
    assert whole / 27 == pytest.approx(1, rel=1e-6)


def test_tail_stands_for_more_reflections() -> None:
    """Of equal structure factors: a stencil of 1 with it is one of 8, within two percent."""
    equal = {"structure_factors": StructureFactors.constant(9)}
    near, far = (
        diffuse(setup_of(crystal(LiquidMotions(15, 0.5, stencil=stencil, tail=True), **equal)))
        for stencil in (1, 8)
    )
    assert relative(near, far) < 0.02
    assert relative(diffuse(setup_of(crystal(LiquidMotions(15, 0.5), **equal))), far) > 0.25


def test_correlation_integrates_to_1() -> None:
    """Over ellipsoids 2 pi |G s| < T: (2/pi) (atan T - T/(1 + T^2)), which is 1 when T is large."""
    G = np.array(TENSOR) * 40.0
    T = np.array([0.5, 3.0, 50.0])
    u, w = np.polynomial.legendre.leggauss(60)
    directions = np.random.default_rng(3).normal(size=(7, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, np.newaxis]
    H, V = np.array([3.0, 2.0, 1.0]), 0.1
    sigma = EDGE * np.sqrt(V) / (2 * np.pi)  # V = 0.1 h.h
    for limit in T:
        t = limit * (u + 1) / 2
        s = (t[:, np.newaxis, np.newaxis] * directions / (2 * np.pi)) @ np.linalg.inv(G)
        h = H + (s * EDGE).reshape(-1, 3)
        volume = 4 * np.pi * t**2 * (limit * w / 2) / (2 * np.pi) ** 3 / np.linalg.det(G) / len(directions)
        weights = np.repeat(volume, len(directions)) / (V * (h**2).sum(axis=1))
        motion = LiquidMotions(G, sigma, llm_in_F=True, stencil=0)
        _, found = at_points(motion, h, np.ascontiguousarray(weights * EDGE**3), N=1)
        assert found == pytest.approx(2 / np.pi * (np.arctan(limit) - limit / (1 + limit**2)), rel=1e-6)


# ---- images of diffBragg -----------------------------------------------------------------------------------

#: its laboratory, beam along -z, to one with the beam along x
TURN = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])


def golden_setup(case: dict[str, Any]) -> tuple[Setup, Array]:
    """Set-up and rows a, b, c, angstrom."""
    abc = np.array(case["abc_rows_A"]) @ TURN.T
    gamma, sigma, stencil = case["diffuse"]
    e1, e3 = abc[0] / np.linalg.norm(abc[0]), np.cross(abc[0], abc[1])
    e3 /= np.linalg.norm(e3)
    factors = StructureFactors.constant(100)
    if case["F"] != 100:
        size = (28, 32, 36)
        h = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in size), indexing="ij"), -1).reshape(-1, 3)
        F = 100 + 50 * np.cos(h @ [0.7, 1.3, 0.4])
        factors = StructureFactors.from_reflections(*h.T, np.where(h.any(axis=1), F, 0))  # not in its list
    motion = LiquidMotions(gamma, sigma, stencil=stencil, axes=np.stack([e1, np.cross(e3, e1), e3]) @ TURN)
    moving = Crystal(
        a_matrix=np.linalg.inv(abc), N=case["N"], shape="gauss", structure_factors=factors, diffuse=motion
    )
    panel = Panel(
        origin_mm=TURN @ case["origin_mm"], fast=TURN @ case["fast"], slow=TURN @ case["slow"],
        pixel_mm=case["pixel_mm"], fpixels=200, spixels=200,
    )  # fmt: skip
    beam = Beam(wavelength_A=case["wavelength_A"], fluence=case["fluence"], nopolar=True)
    return setup_of(moving, beam=beam, detector=Detector(panels=panel, convention="mosflm")), abc


@pytest.mark.parametrize("name", ["llm_isotropic", "llm_anisotropic", "llm_stencil1"])
def test_golden(name: str) -> None:
    """diffBragg's image: axes of the laboratory, a mean over the stencil, without N_cells/V_cell.

    It takes V of the nearest reflection, which here is that of the point itself.
    """
    case = golden_beyond.CASES[f"simtbx/{name}"]
    expected = golden_beyond.array(f"simtbx/{name}").astype(float)
    setup, abc = golden_setup(case)
    scene = nbragg.build_scene(setup)
    fast, slow, _ = oracle.pixels_of(scene.panel)
    d = oracle.unit(oracle.position(scene.panel, 1, fast, slow, 0, 0, 0)).astype(float)
    q = (d - [1, 0, 0]) / case["wavelength_A"]
    H = np.ceil(q @ abc.T - 0.5)
    U = TURN @ np.diag(np.square(case["diffuse"][1])) @ TURN.T
    V, V_nearest = (4 * np.pi**2 * ((x @ U) * x).sum(axis=-1) for x in (q, H @ np.linalg.inv(abc).T))
    with np.errstate(invalid="ignore"):
        ours = scene.fluence * diffuse(setup) * V_nearest * np.exp(V - V_nearest) / V
    ours *= abs(np.linalg.det(abc)) / np.prod(case["N"]) / (2 * case["diffuse"][2] + 1) ** 3
    far = np.abs(ours - expected) > 1e-6 * expected.max()
    if (
        name == "llm_stencil1"
    ):  # its list ends at the resolution of the corners: 195 pixels have neighbours beyond
        assert far.sum() == 195
        resolution = 1 / np.linalg.norm(H[far] @ np.linalg.inv(abc).T, axis=-1)
        assert resolution.max() < 2.41
    else:
        assert not far.any()
    assert np.abs(ours - expected)[~far].max() < 1e-6 * expected.max()
    assert ours[~far].sum() == pytest.approx(expected[~far].sum(), rel=1e-6)


def test_bad_input() -> None:
    refused: dict[str, dict[str, Any]] = {
        "gamma_A must be a finite number above 0": {"gamma_A": 0, "sigma_A": 1},
        "sigma_A": {"gamma_A": 1, "sigma_A": -1},
        "symmetric": {"gamma_A": [[1, 2, 0], [0, 1, 0], [0, 0, 1]], "sigma_A": 1},
        "principal value": {"gamma_A": 1, "sigma_A": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]},
        "three numbers": {"gamma_A": (1, 2), "sigma_A": 1},
        "order": {"gamma_A": 1, "sigma_A": 1, "order": 33},
        "no space group 'P 7'": {"gamma_A": 1, "sigma_A": 1, "space_group": "P 7"},
        "rotation": {"gamma_A": 1, "sigma_A": 1, "axes": np.diag([1.0, 2, 3])},
        "has no field 'gama_A'; did you mean 'gamma_A'": {"gama_A": 1, "sigma_A": 1},
    }
    for words, fields in refused.items():
        with pytest.raises(InputError, match=words.replace("(", "\\(")):
            LiquidMotions(**fields)
    with pytest.raises(InputError, match="temperature_K"):
        ThermalDiffuse(0, 2000, 1000, 100)
    with pytest.raises(InputError, match="diffuse must be LiquidMotions, ThermalDiffuse or None"):
        crystal(3)
    with pytest.raises(InputError, match="does not have the symmetry of the space group 'P 4'"):
        nbragg.build_scene(setup_of(crystal(LiquidMotions(9, 1, space_group="P 4"))))

"""Shapes, tensors of cells, twins and lattices (beyond 17.6)."""

from __future__ import annotations

import math
from typing import Any

import golden_beyond
import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Lattices, Panel, Sample, Sampling, Setup
from nbragg import StructureFactors as Factors
from nbragg.base.rotations import vector_rotation
from nbragg.engine.cpu import render_double
from nbragg.scene.build import build_scene

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

Array = npt.NDArray[np.float64]
F50 = Factors.constant(50)
SHOT = Detector(fpixels=60, spixels=50, pixel_mm=0.6, distance_mm=60)
STANDS = vector_rotation((0.3, 0.5, 0.2))


def setup_of(shape: str = "gauss", cell: Any = (50, 60, 70, 90, 100, 90), **fields: Any) -> Setup:
    fields = {"N": (6, 7, 8)} | fields
    fields = {"structure_factors": F50} | fields
    one = Crystal(cell=cell, shape=shape, orientation=STANDS, **fields)
    return Setup(one, Beam(nopolar=True), SHOT, Sampling(oversample=1))


def image(setup: Setup) -> Array:
    return render_double(build_scene(setup))


def same(one: Array, other: Array, limit: float) -> bool:
    return bool(np.abs(one - other).max() <= limit * np.abs(other).max())


# ---- shapes ------------------------------------------------------------------------------------------------


def test_gauss_star_of_a_cube_is_gauss() -> None:
    cube: dict[str, Any] = {"cell": (60, 60, 60, 90, 90, 90), "N": 7}
    assert same(image(setup_of("gauss_star", **cube)), image(setup_of("gauss", **cube)), 1e-12)


def test_gauss_star_is_round_in_reciprocal_space() -> None:
    """exp(-fudge dq^2 V^(2/3)/0.63), by the metric's own lengths."""
    scene = build_scene(setup_of("gauss_star", fudge=1.3))
    block = scene.crystals[0]
    stars = np.linalg.inv(block.orientations[0]).T
    volume = 6 * 7 * 8 * abs(np.linalg.det(block.orientations[0]))
    for dh in np.random.default_rng(1).uniform(-0.5, 0.5, (5, 3)):
        dq = dh @ stars
        assert dh @ block.shape_metric @ dh == pytest.approx((dq @ dq) * volume ** (2 / 3), rel=1e-12)


def test_diagonal_tensor_is_gauss_to_the_bit() -> None:
    assert np.array_equal(image(setup_of(N=np.diag([6.0, 7, 8]))), image(setup_of()))


def test_tensor_turns_with_the_cell() -> None:
    """Other axes of the same lattice, with the tensor of the same crystal: the same image."""
    change = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])  # a, a + b, c - b
    scene = build_scene(setup_of(N=(6, 7, 8), Ndef=(0.5, -0.7, 0.3)))
    rows = scene.crystals[0].orientations[0] * 1e10
    metric = np.linalg.inv(change).T @ scene.crystals[0].shape_metric @ np.linalg.inv(change)
    values, vectors = np.linalg.eigh(metric)
    tensor = (vectors * np.sqrt(values)) @ vectors.T
    # indices of the new axes are change @ h
    other = Crystal(structure_factors=F50, a_matrix=np.linalg.inv(change @ rows), shape="gauss", N=tensor)
    expected = render_double(scene)
    spots = expected > 1e-4 * expected.max()  # farther out another reflection is the nearest
    found = image(setup_of().replace(sample=Sample([other])))
    assert spots.sum() > 20
    assert np.abs(found / expected - 1)[spots].max() < 1e-9


@pytest.mark.parametrize("shape", ["gauss", "gauss_star", "tophat", "round"])
def test_integral_of_a_reflection(shape: str) -> None:
    """In units of Na Nb Nc, by a fine sum over one reciprocal cell (beyond 17.1)."""
    block = build_scene(setup_of(shape, N=(6, 7, 8), fudge=1.2)).crystals[0]
    fine = (np.arange(240) + 0.5) / 240 - 0.5
    if shape == "round":
        # tails reach beyond a cell: over all space, in the metric's own radius
        x = np.linspace(1e-6, 400, 2_000_001)
        form = 0.723601254558268 * 3 * (np.sin(x) - x * np.cos(x)) / x**3
        beyond = 0.723601254558268**2 * 4.5 / x[-1]  # the mean of what is left, 9 cos^2 x/x^2
        whole = 4 * math.pi * (np.trapezoid(form**2 * x**2, x) + beyond) / math.pi**3 / 1.2**1.5
    else:
        h, k, l = np.meshgrid(fine, fine, fine, indexing="ij")  # noqa: E741
        dh = np.stack([h, k, l], axis=-1)
        rho = 1.2 * np.einsum("...i,ij,...j->...", dh, block.shape_metric, dh)
        form = np.exp(-2 * rho / 0.63) if shape != "tophat" else (rho < 0.3969) * 1.0
        whole = form.mean() * 6 * 7 * 8
    plain = build_scene(setup_of(shape, fudge=1.2))
    divided = build_scene(setup_of(shape, fudge=1.2, normalise_shape=True))
    ratio = plain.crystals[0].weight / divided.crystals[0].weight
    assert ratio == pytest.approx(whole, rel=3e-3 if shape == "tophat" else 1e-4)
    if shape != "gauss_star":
        known = {"gauss": 0.98444, "tophat": 1.04739, "round": 1.0}
        assert ratio * 1.2**1.5 == pytest.approx(known[shape], rel=1e-4)


def test_no_N_scale() -> None:
    assert same(image(setup_of(no_N_scale=True)) * (6 * 7 * 8) ** 2, image(setup_of()), 1e-14)


def test_gauss_of_another_program() -> None:
    """Spots of simtbx, every pixel; its list has no F(000) (beyond 17.2)."""
    case = golden_beyond.CASES["simtbx/gauss_N"]
    index = np.mgrid[-30:31, -30:31, -30:31].reshape(3, -1)
    F = 100 + 50 * np.cos(0.7 * index[0] + 1.3 * index[1] + 0.4 * index[2])
    F[(index == 0).all(axis=0)] = 0
    one = Crystal(
        a_matrix=np.linalg.inv(np.array(case["abc_rows_A"])),
        N=tuple(case["N"]),
        shape="gauss",
        structure_factors=Factors.from_reflections(*index, F),
    )
    panel = Panel(
        origin_mm=case["origin_mm"],
        fast=case["fast"],
        slow=case["slow"],
        pixel_mm=case["pixel_mm"],
        fpixels=200,
        spixels=200,
    )
    beam = Beam(
        wavelength_A=case["wavelength_A"],
        fluence=case["fluence"],
        beam_vector=tuple(case["beam_direction"]),
        polar_vector=(1, 0, 0),
        nopolar=True,
    )
    found = image(Setup(one, beam, Detector(panels=[panel]), Sampling(oversample=case["oversample"])))
    golden = golden_beyond.array("simtbx/gauss_N")
    assert np.abs(found - golden).max() <= 6e-8 * golden.max()  # it is kept as float32
    assert found.sum() == pytest.approx(case["sum"], rel=1e-9)


# ---- several crystals --------------------------------------------------------------------------------------


def test_two_halves_are_one() -> None:
    setup = setup_of()
    one = setup.crystal
    halves = setup.replace(sample=Sample([one, one], weights=[0.5, 0.5]))
    assert same(image(halves), image(setup), 1e-12)


def test_twin_is_a_sum_of_lattices() -> None:
    """Individuals are crystals of their own: rows T (a, b, c), weights the fractions, one table."""
    index = np.mgrid[-9:10, -9:10, -9:10].reshape(3, -1)
    factors = Factors.from_reflections(*index, np.random.default_rng(2).uniform(10, 90, 19**3))
    law = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    base = Crystal(structure_factors=factors, cell=(60, 60, 70, 90, 90, 90), orientation=STANDS, N=6)
    setup = Setup(base, Beam(nopolar=True), SHOT, Sampling(oversample=1))
    rows = build_scene(setup).crystals[0].orientations[0] * 1e10
    other = Crystal(structure_factors=factors, a_matrix=np.linalg.inv(law @ rows), N=6)
    sample = Sample([base, other], weights=[0.7, 0.3])
    expected = image(setup.replace(sample=sample))
    assert same(image(setup.replace(twin=[("k,h,-l", 0.3)])), expected, 1e-12)
    assert same(image(setup.replace(twin=[(law, 0.3)])), expected, 1e-12)


def test_perfect_merohedral_twin_is_the_mean_of_its_laws() -> None:
    """F^2 of all individuals on one lattice: sum f_i F^2(T_i h), and the image has the law's symmetry."""
    index = np.mgrid[-9:10, -9:10, -9:10].reshape(3, -1)
    F = np.random.default_rng(3).uniform(10, 90, 19**3)
    box = F.reshape(19, 19, 19)
    swapped = box[::-1, ::-1, :]  # F(-h, -k, l)
    cell = (60, 60, 70, 90, 90, 120)
    twinned = Crystal(
        structure_factors=Factors.from_reflections(*index, F), cell=cell, orientation=STANDS, N=6,
        twin=[("-h,-k,l", 0.5)],
    )  # fmt: skip
    both = Factors.from_reflections(*index, np.sqrt((box**2 + swapped**2) / 2).ravel())
    setup = Setup(twinned, Beam(nopolar=True), SHOT, Sampling(oversample=1))
    mean = twinned.replace(twin=(), structure_factors=both)
    assert same(image(setup), image(setup.replace(sample=Sample([mean]))), 1e-9)
    turned = twinned.replace(structure_factors=Factors.from_reflections(*index, swapped.ravel()))
    assert same(image(setup), image(setup.replace(sample=Sample([turned]))), 1e-9)


def test_twin_rotation() -> None:
    cell = (50.0, 60.0, 70.0, 90.0, 100.0, 90.0)
    law = nbragg.twin_rotation(cell, (0, 1, 0), 180)
    assert np.abs(law - np.diag([-1, 1, -1])).max() < 1e-12
    about = nbragg.twin_rotation(cell, (1, 0, 0), 180, reciprocal=True)
    rows = build_scene(setup_of()).crystals[0].orientations[0]
    assert np.abs((about @ rows) @ (about @ rows).T - rows @ rows.T).max() < 1e-24  # a rotation


def test_a_law_of_another_cell_is_told() -> None:
    with pytest.warns(nbragg.NbraggWarning, match="takes the cell to another"):
        build_scene(setup_of(twin=[("k,h,-l", 0.3)]))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Ndef": (1, 0, 0), "shape": "square"}, "gauss and tophat"),
        ({"N": (2, 2, 2), "Ndef": (2, 0, 0)}, "eigenvalues"),
        ({"N": np.array([[1, 2, 0], [0, 1, 0], [0, 0, 1]])}, "symmetric"),
        ({"Ndef": (0.1, 0, 0), "size_mm": (1, 1, 1)}, "give one of them"),
        ({"twin": [("-h,-k", 0.3)]}, "three terms"),
        ({"twin": [("-h,-k,x", 0.3)]}, "no sum of h, k and l"),
        ({"twin": [("h,k,2l", 0.3)]}, "determinant"),
        ({"twin": [("-h,-k,l", 0.7), ("h,-k,-l", 0.4)]}, "sum to 1.1"),
        ({"twin": "-h,-k,l"}, "pairs"),
        ({"twin": [("-h,-k,l", -0.1)]}, "fraction"),
        ({"shape": "gaus_star"}, "gauss_star"),
    ],
)
def test_bad_values(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Crystal(structure_factors=F50, cell=(50, 60, 70, 90, 90, 90), **({"shape": "gauss"} | fields))


# ---- lattices ----------------------------------------------------------------------------------------------


def test_number_of_lattices_is_poisson() -> None:
    shots = Lattices(mean=1.3)
    counts = np.array([shots.count(1, i) for i in range(4000)])
    expected = 4000 * math.exp(-1.3) * np.array([1.3**k / math.factorial(k) for k in range(6)])
    chi = sum((np.sum(counts == k) - n) ** 2 / n for k, n in enumerate(expected))
    assert chi < 22.5  # 6 of them: 0.001


def test_a_shot_hangs_on_seed_and_number_alone() -> None:
    setup = setup_of()
    series = nbragg.Series.random(setup, 50, seed=4, lattices=Lattices(mean=1.5))
    alone = nbragg.Series.random(setup, 9, seed=4, lattices=Lattices(mean=1.5))
    assert series[7].sample == alone[7].sample
    sizes = {len(one.sample) for one in series}
    assert len(sizes) > 2
    blank = next(one for one in series if not any(one.sample.weights or ()))
    assert not image(blank).any()
    two = nbragg.Series.random(setup, 3, seed=4, lattices=Lattices(number=2))[1]
    turns = [one.orientation for one in two.sample.crystals]
    assert np.abs(turns[0] - turns[1]).max() > 0.01
    first = nbragg.Series.random(setup, 3, seed=4)[1]
    assert np.array_equal(turns[0], first.crystal.orientation)


@pytest.mark.parametrize("fields", [{}, {"number": 1, "mean": 2.0}, {"number": -1}, {"mean": 5000.0}])
def test_bad_lattices(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Lattices(**fields)


# ---- sizes -------------------------------------------------------------------------------------------------


def cells(setup: Setup) -> Array:
    return np.array([block.N for block in build_scene(setup).crystals])


def test_lognormal_sizes() -> None:
    """Mean 1 over many draws, the same factor for all axes or one for each (beyond 17.6)."""
    base = setup_of(N=(40, 50, 60), N_distribution=("lognormal", 0.2))
    drawn = np.array([cells(base.replace(image=i))[0] for i in range(1500)]) / (40, 50, 60)
    assert np.ptp(drawn, axis=1).max() < 1e-12
    assert abs(drawn[:, 0].mean() - 1) < 4 * 0.2 / math.sqrt(1500)
    assert np.log(drawn[:, 0]).std() == pytest.approx(0.2, rel=0.1)
    each = np.array(
        [cells(base.replace(N_distribution=("lognormal", (0.1, 0.2, 0)), image=i))[0] for i in range(300)]
    )
    widths = np.log(each).std(axis=0)
    assert widths == pytest.approx([0.1, 0.2, 0], rel=0.2, abs=1e-12)
    assert not np.array_equal(cells(base), cells(base.replace(size_seed=2)))


def test_uniform_and_listed_sizes() -> None:
    base = setup_of("square", N_distribution=("uniform", 20, 90))
    drawn = np.array([cells(base.replace(image=i))[0] for i in range(400)])
    edges = drawn * (5.0, 6.0, 7.0)  # nm
    assert np.array_equal(drawn, np.rint(drawn))
    assert edges.min() >= 20 and (edges < 90 + np.array([5, 6, 7])).all()
    assert edges.mean() == pytest.approx(55 + 3, rel=0.05)
    rows = [[3, 4, 5], [6, 7, 8]]
    listed = setup_of(N_distribution=rows)
    assert np.array_equal(cells(listed.replace(image=1))[0], rows[1])
    with pytest.raises(InputError, match="lists 2 sizes"):
        build_scene(listed.replace(image=2))


def test_sizes_of_domains_are_a_sum() -> None:
    """A block for each domain, weighed by its volume, mean 1."""
    setup = setup_of(
        N_distribution=("lognormal", 0.3), N_domains=True, mosaic_spread_deg=0.5, mosaic_domains=5
    )
    scene = build_scene(setup)
    volumes = np.array([block.N.prod() for block in scene.crystals])
    assert len(set(volumes)) == 5
    turns = [placed.mosaic_rotations[0] for placed in scene.placement.crystals]
    alone = setup_of().crystal
    parts = [
        alone.replace(N=tuple(block.N), mosaic_set=turn[np.newaxis])
        for block, turn in zip(scene.crystals, turns, strict=True)
    ]
    sample = Sample(parts, weights=volumes / volumes.mean() / 5)
    assert same(image(setup), image(setup.replace(sample=sample)), 1e-12)


def test_sizes_of_a_series_by_seed_and_number() -> None:
    setup = setup_of(N_distribution=("lognormal", 0.3))
    series = nbragg.Series.random(setup, 6, seed=9)
    sizes = [tuple(cells(one)[0]) for one in series]
    assert len(set(sizes)) == 6
    assert tuple(cells(nbragg.Series.random(setup, 20, seed=9)[4])[0]) == sizes[4]
    two = nbragg.Series.random(setup, 3, seed=9, lattices=Lattices(number=2))[1]
    assert tuple(cells(two)[0]) == sizes[1]
    assert tuple(cells(two)[1]) != sizes[1]


def test_no_spot_is_lost_where_cells_shrink() -> None:
    """What lies beyond the list's reach for the cell at hand may lie within it for a smaller domain's."""
    index = np.mgrid[-3:4, -3:4, -3:4].reshape(3, -1)
    factors = Factors.from_reflections(*index, np.full(7**3, 50.0))
    strained = setup_of(structure_factors=factors, N=3, cell_spread=0.2, mosaic_domains=20)
    scene = build_scene(strained)
    far = nbragg.build_scene(setup_of(structure_factors=factors, N=3)).tables[0].reach
    longest = max(
        np.linalg.norm(np.linalg.inv(rows) @ (3.5, 3.5, 3.5)) for rows in scene.crystals[0].orientations
    )
    assert scene.tables[0].reach >= max(longest, far)

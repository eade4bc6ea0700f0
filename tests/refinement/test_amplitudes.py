"""Structure factors from pixels: slopes, symmetry mates, what is found of stills (gradients 7.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Noise, RenderOptions, Sampling, Setup, Simulator, StructureFactors
from nbragg.base.crew import Crew
from nbragg.base.errors import InputError
from nbragg.refinement.amplitudes import Mates, amplitude_step, cropped
from nbragg.refinement.frame import Frame
from nbragg.refinement.measured import Source
from nbragg.refinement.seen import reflections_seen
from nbragg.refinement.stages import SHARP

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = npt.NDArray[Any]
GROUP = "P 4 21 2"
CELL = (40.0, 40.0, 30.0, 90.0, 90.0, 90.0)


def symmetric() -> StructureFactors:
    """Random amplitudes with the symmetry of GROUP."""
    edge = (8, 8, 6)
    values = np.random.default_rng(2).uniform(20, 200, tuple(2 * n + 1 for n in edge))
    plain = StructureFactors(values=values, origin=(-8, -8, -6))
    mates = Mates(plain, GROUP)
    return mates.factors_of(mates.F * np.random.default_rng(3).uniform(0.4, 1.6, len(mates.F)))


FACTORS = symmetric()


def still(turn: Any = None, **changes: Any) -> Setup:
    crystal = Crystal(structure_factors=FACTORS, cell=CELL, N=(10, 10, 12), orientation=turn)
    setup = Setup(
        crystal,
        Beam(wavelength_A=1.5, fluence=1e27),
        Detector(distance_mm=50, pixel_mm=0.4, fpixels=100, spixels=90),
        Sampling(oversample=3),
        physics="exact",
    )
    return setup.replace(**changes) if changes else setup


def test_mates() -> None:
    mates = Mates(FACTORS, GROUP)
    values, origin = FACTORS.values, np.array(FACTORS.origin)
    assert values is not None

    def at(*hkl: int) -> int:
        return int(mates.number[np.ravel_multi_index(tuple(np.array(hkl) - origin), values.shape)])

    alike = [
        (3, 1, 2),
        (-3, -1, 2),
        (1, -3, 2),
        (-1, 3, 2),
        (3, 1, -2),
        (1, 3, 2),
        (-3, -1, -2),
        (-1, -3, -2),
    ]
    assert len({at(*hkl) for hkl in alike}) == 1
    assert at(3, 1, 2) != at(3, 1, 3) and at(3, 1, 2) != at(3, 2, 2)
    again = mates.factors_of(mates.F)
    assert again.values is not None and again.values == pytest.approx(values, rel=1e-14)
    assert not mates.free[at(0, 0, 0)] and mates.free[at(3, 1, 2)]


def test_what_no_pixel_sees_is_cropped() -> None:
    setup = still(fpixels=30, spixels=30)
    simulator = Simulator(setup)
    small = cropped(FACTORS, [opened(setup, np.ones((30, 30))).reach()])
    assert small.values is not None and FACTORS.values is not None and small.values.size < FACTORS.values.size
    there = simulator.replace(structure_factors=small)
    assert np.array_equal(there.render().image, simulator.render().image)


def opened(setup: Setup, data: Array) -> Frame:
    noise, options = Noise(), RenderOptions(threads=1)
    frame = Frame(
        setup, Source("data", data, None), ("beam.fluence",), noise, "constant", np.zeros(()), options
    )
    frame.open(SHARP, False)
    return frame


def test_slopes_by_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient by the whole list is that of differences; pixels of one reflection say nearly as much."""
    setup = still(nbragg.random_orientations(1, seed=5)[0])
    data = Noise().draw(Simulator(setup).render().image + 1, 1)
    frame = opened(setup, data)
    slopes, bounds = frame.table_slopes()
    monkeypatch.setattr("nbragg.refinement.frame._PURE", 2.0)
    whole, whole_bounds = frame.table_slopes()
    F = FACTORS.values
    assert F is not None
    seen = np.argsort(whole_bounds.ravel() / F.ravel())[-40:]
    assert bounds.ravel()[seen] == pytest.approx(whole_bounds.ravel()[seen], rel=0.5)
    assert (bounds <= whole_bounds * (1 + 1e-9)).all() and bounds.sum() > 0.6 * whole_bounds.sum()
    for place in seen[-3:]:
        costs = []
        for step in (1e-3, -1e-3):
            changed = F.copy()
            changed.ravel()[place] += step
            moved = StructureFactors(values=changed, origin=FACTORS.origin)
            costs.append(frame.with_factors(moved))
        frame.with_factors(FACTORS)
        assert whole.ravel()[place] == pytest.approx((costs[1] - costs[0]) / 2e-3, rel=1e-4, abs=1e-4)
    # less what noise does to pixels that see several, the slopes are those of the whole list
    sigma = np.sqrt((whole_bounds / F).ravel()[seen])
    assert np.abs((slopes - whole).ravel()[seen] / sigma).max() < 3


def test_pixels_of_one_reflection() -> None:
    setup = still(nbragg.random_orientations(1, seed=5)[0], pixel_mm=0.8, fpixels=40, spixels=40)
    scene = Simulator(setup).scene
    seen = reflections_seen(scene, np.arange(1600))
    assert seen is not None
    assert (seen >= 0).sum() > 100 and (seen < 0).any()
    F = FACTORS.values
    assert F is not None
    for pixel in np.flatnonzero(seen >= 0)[::97]:
        h0 = nbragg.trace_pixel(scene, int(pixel // 40), int(pixel % 40)).samples["hkl0"]
        place = np.array(np.unravel_index(seen[pixel], F.shape)) + FACTORS.origin
        assert (h0 == place).all()


def test_found_of_stills(folder: Path) -> None:
    """Closer to the truth than the start is, by as much as sigmas say; written with them."""
    turns = nbragg.random_orientations(8, seed=7)
    truths = [
        still(turn, fluence=float(f)) for turn, f in zip(turns, np.linspace(0.5, 2, 8) * 1e26, strict=True)
    ]
    data = [Noise().draw(Simulator(one).render().image + 0.5, k) for k, one in enumerate(truths)]
    mates = Mates(FACTORS, GROUP)
    flat = mates.factors_of(np.full(len(mates.F), np.sqrt(np.mean(mates.F**2))))
    starts = [one.replace(structure_factors=flat) for one in truths]
    names = ["crystal.orientation", "beam.fluence"]
    found = nbragg.refine(
        data, starts, names, stages="none", amplitudes=GROUP, amplitude_prior=1.0, threads=1
    )
    assert found.converged and found.amplitudes is not None
    assert found.setups[0].crystal.structure_factors == found.setups[5].crystal.structure_factors
    got = found.amplitudes
    true = {tuple(h): F for h, F in zip(mates.hkl.tolist(), mates.F, strict=True)}
    expected = np.array([true[tuple(h)] for h in got.hkl.tolist()])
    good = np.isfinite(got.sigma) & (got.sigma < 0.1 * got.F)
    assert good.sum() > 100
    assert np.corrcoef(got.F[good], expected[good])[0, 1] > 0.97
    scale = float(got.F[good] @ expected[good] / (expected[good] @ expected[good]))
    off = (got.F / scale - expected)[good] / got.sigma[good]
    assert 0.5 < np.median(np.abs(off)) / 0.6745 < 1.5
    got.save("found.mtz", CELL)
    import gemmi

    mtz = gemmi.read_mtz_file("found.mtz")
    assert mtz.column_labels() == ["H", "K", "L", "F", "SIGF"] and mtz.spacegroup.hm == GROUP
    assert mtz.nreflections == np.isfinite(got.sigma).sum()
    back = StructureFactors.from_file("found.mtz")
    assert back.n_listed


def test_a_tail_does_not_stop_the_rest() -> None:
    """A step from a flat start that is turned lowers the cost; what next to nothing tells of stays."""
    truth = Simulator(still(nbragg.random_orientations(1, seed=7)[0], fluence=1e26, shape="gauss"))
    mates = Mates(FACTORS, GROUP)
    F = np.full(len(mates.F), 100.0)
    off = truth.replace(structure_factors=mates.factors_of(F))
    off = off.moved(["crystal.rotation_deg[0]"], [0.2], fold=True)
    frame = opened(off.setup, Noise().draw(truth.render().image + 0.5, 1))
    before = frame.with_factors(mates.factors_of(F))
    there, information = amplitude_step(Crew.here([frame]), mates, F, F, np.inf)
    after = frame.with_factors(mates.factors_of(there))
    assert before - after > 100
    faint = information * F**2 < 1e-6
    assert faint.any() and there[faint] == pytest.approx(F[faint], rel=0.02)


def test_turns_that_do_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbragg.refinement.refine._TURNS", 1)
    truth = still(nbragg.random_orientations(1, seed=7)[0], fluence=1e26)
    mates = Mates(FACTORS, GROUP)
    flat = mates.factors_of(np.full(len(mates.F), 90.0))
    data = Noise().draw(Simulator(truth).render().image + 0.5, 1)
    start = truth.replace(structure_factors=flat)
    found = nbragg.refine(data, start, ["beam.fluence"], stages="none", amplitudes=GROUP, threads=1)
    assert not found.converged and "amplitudes still move after 1 turns" in found.message


@pytest.mark.parametrize(
    ("changes", "group", "message"),
    [
        ({}, "P 5", "there is no space group 'P 5'"),
        ({"structure_factors": StructureFactors.constant(9)}, GROUP, "amplitudes are found of a list"),
    ],
)
def test_bad_input(changes: dict[str, Any], group: str, message: str) -> None:
    setup = still(**changes)
    with pytest.raises(InputError, match=message):
        nbragg.refine(Simulator(setup).render().image, setup, ["beam.fluence"], amplitudes=group, threads=1)
    other = still().replace(
        structure_factors=StructureFactors(values=np.ones((3, 3, 3)), origin=(-1, -1, -1))
    )
    image = Simulator(still()).render().image
    with pytest.raises(InputError, match="have other structure factors than those of start"):
        nbragg.refine([image, image], [still(), other], ["beam.fluence"], amplitudes=GROUP, threads=1)

"""Setup, Sample, Panel: what they take, refuse and keep."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nbragg import (
    Beam,
    Crystal,
    Detector,
    InputError,
    Panel,
    Sample,
    Sampling,
    Setup,
    SourceList,
    StructureFactors,
    dump,
    load,
    random_orientations,
    simulate,
)
from nbragg.io.recipe import from_dict, to_dict
from nbragg.model.physics import PHYSICS

F = StructureFactors.constant(10)
CRYSTAL = Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=F)
TURNS = random_orientations(2, seed=4)
PANEL = Panel(
    origin_mm=(-5, -5, 100), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=30, spixels=20, pixel_mm=(0.1, 0.2)
)


def test_a_crystal_is_a_sample() -> None:
    setup = Setup(CRYSTAL)
    assert setup.sample == Sample([CRYSTAL]) and setup.crystal is CRYSTAL
    assert setup == Setup(Sample([CRYSTAL])) == Setup(CRYSTAL, Beam(), Detector(), Sampling())
    assert hash(setup) == hash(Setup(CRYSTAL))
    assert setup.physics == "exact" and setup.rules is PHYSICS["exact"]
    two = Setup(Sample([CRYSTAL, CRYSTAL]))
    with pytest.raises(InputError, match=r"2 crystals.*setup\.sample\.crystals"):
        _ = two.crystal


def test_replace_parts_and_fields() -> None:
    setup = Setup(CRYSTAL)
    changed = setup.replace(distance_mm=80, wavelength_A=1.5, N=(3, 3, 3), oversample=2, physics="nanobragg")
    assert changed.detector == Detector(distance_mm=80) and changed.beam == Beam(wavelength_A=1.5)
    assert changed.crystal.N == (3, 3, 3) and changed.sampling.oversample == 2
    assert changed.physics == "nanobragg" and setup == Setup(CRYSTAL)
    assert setup.replace(crystal=CRYSTAL.replace(N=4), phi_deg=3).crystal.phi_deg == 3
    turned = setup.replace(orientation=TURNS[0])
    assert turned.replace(misset_deg=(1, 2, 3)).crystal == CRYSTAL.replace(misset_deg=(1, 2, 3))


def test_replace_turns_a_sample_as_a_whole() -> None:
    sample = Sample([CRYSTAL.with_orientation(turn) for turn in TURNS], [1, 0.5])
    setup = Setup(sample)
    turned = setup.replace(phi_deg=5, osc_deg=1)
    assert [crystal.phi_deg for crystal in turned.sample.crystals] == [5, 5]
    assert turned.sample.weights == (1.0, 0.5)
    with pytest.raises(InputError, match=r"N: the sample has 2 crystals.*turns it as a whole"):
        setup.replace(N=3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"distance": 3}, "distance cannot be replaced.*did you mean 'distance_mm'"),
        ({"phi": 3}, "phi cannot be replaced.*did you mean 'phi_deg'"),
        ({"beam": CRYSTAL}, r"beam must be a Beam, not a Crystal \(the order is sample, beam, detector"),
        ({"beam": 3}, "beam must be a Beam, not a int$"),
        ({"sample": 3}, "sample must be a Sample or a Crystal"),
        ({"physics": "real"}, "physics"),
        ({"fpixels": -1}, "fpixels"),
    ],
)
def test_bad_replacements(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Setup(CRYSTAL).replace(**change)


def test_wrong_order_and_names() -> None:
    """Said in words, with what was expected and the nearest name."""
    with pytest.raises(InputError, match=r"beam must be a Beam, not a Detector \(the order is sample, beam"):
        simulate(CRYSTAL, Detector(), Beam())
    with pytest.raises(InputError, match="sample must be a Sample or a Crystal, not a Beam"):
        Setup(Beam())
    wrong: list[tuple[Callable[[], Any], str | None]] = [
        (lambda: Beam(energy=8000), "no field 'energy': give wavelength_A, or .*Beam.from_energy"),
        (lambda: Detector(distance=100), "no field 'distance'; did you mean 'distance_mm'"),
        (lambda: Detector(100), "takes its fields by name"),
        (lambda: Crystal(cell=(1, 2, 3, 90, 90, 90)), "Crystal needs structure_factors"),
        (lambda: Crystal(structure_factors=F, unit_cell=(1,) * 6), "did you mean"),
        (lambda: Sampling(oversampling=3), "did you mean 'oversample'"),
        (lambda: SourceList(), None),
        (lambda: Setup(CRYSTAL, bem=Beam()), "did you mean 'beam'"),
    ]
    for make, said in wrong:
        with pytest.raises((InputError, TypeError), match=said):
            make()
    options: list[tuple[dict[str, Any], str]] = [
        ({"thread": 2}, "did you mean 'threads'"),
        ({"progress": 3}, "progress"),
        ({"device": "abacus"}, "device"),
    ]
    for bad, word in options:
        with pytest.raises(InputError, match=word):
            simulate(CRYSTAL, **bad)


def test_one_number_of_cells() -> None:
    assert CRYSTAL.replace(N=10).N == CRYSTAL.replace(N=np.int64(10)).N == (10, 10, 10)
    assert CRYSTAL.replace(N=2.5).N == (2.5, 2.5, 2.5)
    for bad in (0, -3, 0.5, float("inf"), float("nan"), True):
        with pytest.raises(InputError, match="N"):
            CRYSTAL.replace(N=bad)


@pytest.mark.parametrize(
    ("crystals", "weights", "said"),
    [
        ([], None, "at least one Crystal"),
        ([Beam()], None, r"crystals\[0\] must be a Crystal"),
        ([CRYSTAL, CRYSTAL], [1], "2 numbers"),
        ([CRYSTAL], [-1], "at least 0"),
        ([CRYSTAL, CRYSTAL], [1, float("nan")], "finite"),
        ([CRYSTAL, CRYSTAL.replace(phi_deg=3)], None, "turn together: phi_deg is 0.0 .* 3.0"),
        ([CRYSTAL, CRYSTAL.replace(spindle_axis=(0, 1, 0))], None, "turn together: spindle_axis"),
    ],
)
def test_bad_samples(crystals: Any, weights: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Sample(crystals, weights)


def test_cut_panels_cover_the_whole() -> None:
    mask = np.random.default_rng(1).random((20, 30)) > 0.5
    whole = PANEL.replace(mask=mask)
    pieces = whole.cut(3, 4)
    assert len(pieces) == 12 and sum(p.fpixels * p.spixels for p in pieces) == 600
    assembled = np.zeros((20, 30), np.uint8)
    for p in pieces:
        fast, slow = p.first
        assert p.mask is not None and p.origin_mm == whole.origin_mm
        assembled[slow : slow + p.spixels, fast : fast + p.fpixels] += 1 + p.mask
    assert np.array_equal(assembled, 1 + mask)
    again = pieces[5].cut(2, 1)[1]
    assert again.first == (pieces[5].first[0], pieces[5].first[1] + pieces[5].spixels // 2)
    for bad in ((21, 1), (1, 31), (0, 1)):
        with pytest.raises(InputError):
            whole.cut(*bad)
    with pytest.raises(InputError, match="roi"):
        whole.replace(roi=(0, 3, 0, 3)).cut(1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fast": (1, 1e-3, 0)}, "not orthogonal"),
        ({"fast": (0, 0, 0)}, "not zero"),
        ({"origin_mm": (0, 0, np.nan)}, "finite"),
        ({"pixel_mm": (0.1, 0)}, "pixel_mm"),
        ({"pixel_mm": (0.1, 0.1, 0.1)}, "2 numbers"),
        ({"first": (-1, 0)}, "first"),
        ({"mask": np.ones((30, 20))}, "mask of 20 x 30 pixels on a panel of 30 x 20"),
        ({"roi": (0, 30, 0, 3)}, "at most 0 29 0 19"),
        ({"roi": (3, 2, 0, 3)}, "inverted"),
        ({"name": 3}, "name"),
    ],
)
def test_bad_panels(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        PANEL.replace(**change)


def test_detectors_of_panels() -> None:
    detector = Detector(panels=PANEL.cut(1, 2), convention="xds")
    assert len(detector.panels) == 2 and Detector(panels=PANEL).panels == (PANEL,)
    assert Detector(pixel_mm=(0.1, 0.1)) == Detector(pixel_mm=0.1)
    assert Detector(pixel_mm=(0.1, 0.2)).pixel_edges_mm == (0.1, 0.2)
    for bad in ({"distance_mm": 3}, {"fpixels": 5}, {"curved": True}, {"mask": np.ones((20, 30))}):
        with pytest.raises(InputError, match="said by the panels themselves"):
            Detector(panels=[PANEL], **bad)
    with pytest.raises(InputError, match=r"panels\[0\] must be a Panel"):
        Detector(panels=[3])


def many() -> Setup:
    sample = Sample([CRYSTAL.with_orientation(turn) for turn in TURNS], [1, 0.25])
    mask = np.random.default_rng(1).random((20, 30)) > 0.5
    return Setup(sample, detector=Detector(panels=PANEL.replace(mask=mask).cut(2, 1)))


@pytest.mark.parametrize(
    "setup", [many(), Setup(CRYSTAL, physics="nanobragg"), Setup(Sample([CRYSTAL], [0.5]))]
)
def test_recipes_and_pickles(setup: Setup, tmp_path: Any) -> None:
    for suffix in ("json", "yaml"):
        dump(setup, tmp_path / f"setup.{suffix}")
        assert load(tmp_path / f"setup.{suffix}") == setup
    for again in (pickle.loads(pickle.dumps(setup)), copy.deepcopy(setup)):
        assert again == setup
        for panel in again.detector.panels:
            assert not panel.mask.flags.writeable
        for crystal in again.sample.crystals:
            assert crystal.orientation is None or not crystal.orientation.flags.writeable


def test_recipes_are_exact_unless_they_say_otherwise() -> None:
    recipe = to_dict(Setup(CRYSTAL, physics="nanobragg"))
    assert from_dict(recipe).physics == "nanobragg"
    del recipe["physics"]
    assert from_dict(recipe).physics == "exact"
    for broken, said in (({"sample": {}}, "both keys"), ({"crystal": None}, "neither")):
        bad = {**recipe, **broken}
        bad = {key: value for key, value in bad.items() if value is not None}
        with pytest.raises(InputError, match=said):
            from_dict(bad)


def test_structure_factors_stay_read_only() -> None:
    """A cache of the scene relies on it."""
    factors = StructureFactors.from_reflections([1, -1], [0, 0], [2, -2], [50, 50])
    for again in (pickle.loads(pickle.dumps(factors)), copy.deepcopy(factors), copy.copy(factors)):
        assert again.values is not None
        with pytest.raises(ValueError, match="read-only"):
            again.values[0, 0, 0] = 1

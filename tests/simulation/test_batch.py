"""Simulator and batches: the images of single renders, parts shared, memory bounded."""

from __future__ import annotations

import dataclasses
import pickle
import tracemalloc
from collections.abc import Iterator
from typing import Any

import golden_cases as g
import numpy as np
import parts
import pytest
from parts import simulator_of
from scipy.spatial.transform import Rotation

import nbragg
from nbragg import (
    Beam,
    Crystal,
    Detector,
    InputError,
    RenderError,
    Result,
    Sampling,
    Simulator,
    StructureFactors,
)
from nbragg.engine.backend import backend
from nbragg.engine.options import RenderOptions

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

FACTORS = StructureFactors.from_reflections(
    *(np.indices((9, 9, 9)).reshape(3, -1) - 4), np.random.default_rng(1).uniform(1, 50, 729), default_F=3.0
)
CRYSTAL = Crystal(cell=(70, 80, 90, 75, 85, 95), N=(5, 4, 6), structure_factors=FACTORS)
BEAM, DETECTOR, SAMPLING = Beam(wavelength_A=1.3), Detector(fpixels=48, spixels=40), Sampling(oversample=1)
TURNS = nbragg.random_orientations(7, seed=3)


def simulator(**options: Any) -> Simulator:
    return simulator_of(CRYSTAL, BEAM, DETECTOR, SAMPLING, **options)


def single(crystal: Crystal = CRYSTAL, beam: Beam = BEAM, detector: Detector = DETECTOR) -> Any:
    return parts.simulate(crystal, beam, detector, SAMPLING).image


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pixels", [8, 48, 200])
def test_images_are_those_of_single_renders(threads: int, pixels: int) -> None:
    """To the bit, whether images share the threads or have one each."""
    detector = Detector(fpixels=pixels, spixels=pixels)
    batch = simulator_of(CRYSTAL, BEAM, detector, SAMPLING, threads=threads).render_many(orientations=TURNS)
    for turn, result in zip(TURNS, batch, strict=True):
        expected = parts.simulate(CRYSTAL.with_orientation(turn), BEAM, detector, SAMPLING)
        assert np.array_equal(result.image, expected.image)
        assert result.statistics == expected.statistics
        assert result.setup == expected.setup
        assert result.elapsed > 0


def test_orientation_forms_in_a_batch() -> None:
    rotations = Rotation.from_matrix(TURNS)
    reference = simulator().render_many(orientations=TURNS, out=np.empty((7, 40, 48), np.float32))
    for forms in (rotations, list(rotations), list(TURNS)):
        images = simulator().render_many(orientations=forms, out=np.empty((7, 40, 48), np.float32))
        np.testing.assert_allclose(images, reference, atol=1e-6 * reference.max())
    angles = np.degrees([rotation.as_euler("xyz") for rotation in rotations])
    images = simulator().render_many(orientations=angles, out=np.empty((7, 40, 48), np.float32))
    np.testing.assert_allclose(images, reference, atol=1e-6 * reference.max())


def test_phi_beams_and_changes() -> None:
    sim = simulator()
    phi = [r.image for r in sim.render_many(phi=[0.0, 5.0])]
    assert np.array_equal(phi[1], single(CRYSTAL.replace(phi_deg=5.0)))
    swept = [r.image for r in sim.render_many(phi=[(0.0, 1.0), (1.0, 1.0)])]
    assert np.array_equal(swept[1], single(CRYSTAL.replace(phi_deg=1.0, osc_deg=1.0)))
    beams = [Beam(wavelength_A=x) for x in (1.0, 1.1)]
    assert np.array_equal([r.image for r in sim.render_many(beams=beams)][1], single(beam=beams[1]))
    changes = [{"distance_mm": 80, "N": (3, 3, 3)}, BEAM.replace(polarization=0.9), {}]
    images = [r.image for r in sim.render_many(changes)]
    assert np.array_equal(
        images[0], single(CRYSTAL.replace(N=(3, 3, 3)), detector=DETECTOR.replace(distance_mm=80))
    )
    assert np.array_equal(images[1], single(beam=BEAM.replace(polarization=0.9)))
    assert np.array_equal(images[2], single())  # no change lasts


def test_series_side_by_side() -> None:
    beams = [Beam(wavelength_A=x) for x in (1.0, 1.1)]
    results = list(simulator().render_many(orientations=TURNS[:2], beams=beams, phi=[1, 2]))
    crystal = CRYSTAL.with_orientation(TURNS[1]).replace(phi_deg=2)
    assert np.array_equal(results[1].image, single(crystal, beams[1]))


def test_parts_that_stay_are_shared() -> None:
    sim = simulator()
    turned = sim.with_orientation(TURNS[0])
    assert turned.scene.table.values is sim.scene.table.values is FACTORS.values
    assert turned.scene.placement.panel is sim.scene.placement.panel
    assert turned.scene.sources.incident is sim.scene.sources.incident
    assert turned.scene.placement.crystal.mosaic_rotations is sim.scene.placement.crystal.mosaic_rotations
    assert sim.setup.crystal is CRYSTAL  # the original is as it was
    for change in ({"mosaic_spread_deg": 0.3}, {"pixel_mm": 0.2}, {"wavelength_A": 1.0}, {"oversample": 2}):
        changed = sim.replace(**change)
        fresh = Simulator(changed.setup)
        assert np.array_equal(changed.render().image, fresh.render().image)


def assert_same(found: Any, expected: Any, where: str) -> None:
    """Equal numbers, all the way down."""
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name), f"{where} {field.name}")
    elif isinstance(expected, tuple):
        assert len(found) == len(expected), where
        for i, (one, two) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, two, f"{where}[{i}]")
    elif isinstance(expected, np.ndarray):
        assert np.array_equal(found, expected), where
    else:
        assert type(found) is type(expected) and found == expected, where


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
def test_every_field_takes_effect_as_from_nothing(physics: str) -> None:
    """A Scene made from its neighbour's parts has the numbers of one made from nothing."""
    sim = simulator(physics=physics)
    changes: list[dict[str, Any]] = [
        {"misset_deg": (1, 2, 3)}, {"orientation": TURNS[2]}, {"a_matrix": np.eye(3) / 60, "cell": None},
        {"size_mm": (1e-5, None, 2e-5)}, {"shape": "gauss"}, {"mosaic_domains": 3, "mosaic_spread_deg": 1},
        {"mosaic_seed": 5}, {"phi_deg": 3, "osc_deg": 1, "phisteps": 4}, {"spindle_axis": (0, 1, 0)},
        {"beam_vector": (1, 0.1, 0)}, {"polar_vector": (0, 1, 0)}, {"fluence": 1e20}, {"dispersion_pct": 2},
        {"beamsize_mm": 1e-6, "size_mm": (1e-5, 1e-5, 1e-5)}, {"hdivrange_mrad": 2}, {"polarization": 0.5},
        {"distance_mm": 90, "twotheta_deg": 4}, {"convention": "xds"}, {"thickness_um": 100}, {"fpixels": 20},
        {"mask": np.eye(40, 48)}, {"roi": (3, 9, 2, 30)}, {"dmin_A": 3}, {"interpolate": True},
        {"water_um": 2},
        {"structure_factors": StructureFactors.constant(7)}, {"oversample": None}, {"physics": "exact"},
    ]  # fmt: skip
    for first in changes:
        for second in ({}, changes[0], changes[7], changes[16]):
            got = sim.replace(**first).replace(**second)
            expected = Simulator(got.setup)
            assert_same(got.scene, expected.scene, f"{first} {second}")


def test_roi_and_mask_in_a_used_array() -> None:
    """What the engine does not write is zero, whatever the array held."""
    mask = np.ones((40, 48))
    mask[5:9] = 0
    sim = simulator().replace(roi=(4, 30, 2, 33), mask=mask)
    out = np.full((2, 40, 48), np.nan, np.float32)
    assert sim.render_many(orientations=TURNS[:2], out=out) is out
    for turn, image in zip(TURNS, out, strict=False):
        assert np.array_equal(image, sim.with_orientation(turn).render().image)


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    sim = simulator_of(CRYSTAL, BEAM, Detector(fpixels=128, spixels=128), SAMPLING, threads=1)
    turns = nbragg.random_orientations(60, seed=1)

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in sim.render_many(orientations=turns[:count]):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(3)
    assert peak(60) < peak(10) + 2 * 4 * 128 * 128


def test_a_batch_runs_ahead_by_its_depth_only() -> None:
    drawn = 0

    def endless() -> Iterator[Any]:
        nonlocal drawn
        while True:
            drawn += 1
            yield TURNS[0]

    batch = simulator(threads=2).render_many(orientations=endless())
    for _ in range(3):
        next(batch)
    assert 3 <= drawn <= 3 + 5
    del batch


def test_errors_come_in_their_turn() -> None:
    done = []
    with pytest.raises(InputError, match="orientation"):
        for result in simulator().render_many(orientations=[TURNS[0], TURNS[1], np.zeros((3, 3)), TURNS[2]]):
            done.append(result)
    assert len(done) == 2

    done.clear()
    with pytest.raises(RenderError, match="infinite"):
        for result in simulator().render_many([{}, {"fluence": 1e70}, {}]):
            done.append(result)
    assert len(done) == 1

    def broken() -> Iterator[Any]:
        yield TURNS[0]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(simulator().render_many(orientations=broken()))


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ({}, "nothing to render"),
        ({"orientations": TURNS, "phi": [1.0]}, "orientations 7, phi 1"),
        ({"phi": 3.0}, "series"),
        ({"changes": {"phi_deg": 1}}, "series"),
        ({"phi": [(1, 2, 3)]}, "pairs"),
        ({"beams": [CRYSTAL]}, "beam must be a Beam"),
        ({"changes": [3]}, "a change must be a mapping"),
        ({"changes": [{"phi": 3}]}, "phi cannot be replaced"),
        ({"orientations": [np.eye(3) * 2]}, "neither a rotation"),
    ],
)
def test_bad_series(series: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(simulator().render_many(**series))


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (np.zeros((2, 40, 48)), "float32"),
        (np.zeros((40, 48), np.float32), "shape"),
        (np.zeros((3, 40, 48), np.float32), "3 images"),
        (np.zeros((2, 48, 40), np.float32), "48, 40"),
        (np.zeros((2, 48, 40), np.float32).swapaxes(1, 2), "contiguous"),
        ([1], "list"),
    ],
)
def test_bad_out(out: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        simulator().render_many(orientations=TURNS[:2], out=out)


def test_out_of_an_iterator() -> None:
    out = np.zeros((2, 40, 48), np.float32)
    assert simulator().render_many(orientations=iter(TURNS[:2]), out=out).any(axis=(1, 2)).all()
    for count in (1, 3):
        with pytest.raises(InputError, match="room for 2"):
            simulator().render_many(orientations=iter(TURNS[:count]), out=out)


def test_simulate_batch_is_a_simulator() -> None:
    parts = (CRYSTAL, BEAM, DETECTOR, SAMPLING)
    images = nbragg.simulate_batch(
        *parts, orientations=TURNS, physics="nanobragg", threads=1, precision="mixed"
    )
    expected = list(simulator(threads=1, precision="mixed").render_many(orientations=TURNS))
    for one, two in zip(images, expected, strict=True):
        assert isinstance(one, Result)
        assert np.array_equal(one.image, two.image)
    out = np.empty((7, 40, 48), np.float32)
    assert nbragg.simulate_batch(*parts, orientations=TURNS, out=out) is out


def test_simulator_refuses_bad_options() -> None:
    for options in ({"device": "abacus"}, {"precision": "half"}, {"threads": 0}, {"physics": "none"}):
        with pytest.raises(InputError):
            simulator(**options)
    with pytest.raises(InputError, match="beam must be a Beam"):
        simulator().replace(beam=3)


def test_simulators_and_results_can_be_pickled() -> None:
    sim = simulator()
    image = sim.render().image
    assert np.array_equal(pickle.loads(pickle.dumps(sim)).render().image, image)
    assert np.array_equal(pickle.loads(pickle.dumps(sim.render())).image, image)


def test_simulate_on_golden_parts() -> None:
    sim = Simulator(g.command_line(g.arguments("crystal/phi_mosaic")).setup)
    seen: list[float] = []
    g.assert_matches(sim.render(progress=seen.append).image, g.reference("crystal/phi_mosaic")["image"])
    assert seen[-1] == 1.0


def test_small_images_get_a_thread_each() -> None:
    for pixels, threads, at_once in ((48, 2, 2), (48, 1, 1), (256, 2, 1)):
        scene = simulator().replace(fpixels=pixels, spixels=pixels).scene
        with backend("cpu").queue(RenderOptions(threads=threads)) as queue:
            queue.submit(scene)
            assert queue.depth == 2 * at_once
            queue.collect()


# ---- random orientations ----


def test_random_orientations_are_rotations_and_repeat() -> None:
    turns = nbragg.random_orientations(500, seed=5)
    assert turns.shape == (500, 3, 3)
    np.testing.assert_allclose(
        turns @ turns.swapaxes(1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1.0, rtol=1e-12)
    assert np.array_equal(nbragg.random_orientations(20, seed=5), turns[:20])
    assert not np.array_equal(nbragg.random_orientations(20, seed=-5), turns[:20])
    assert nbragg.random_orientations(0, seed=5).shape == (0, 3, 3)
    with pytest.raises(InputError, match="n must be"):
        nbragg.random_orientations(-1, seed=5)


def test_random_orientations_are_uniform() -> None:
    """On SO(3): every row is uniform on the sphere, and the angle's density is (1 - cos t)/pi."""
    turns = nbragg.random_orientations(40_000, seed=11)
    np.testing.assert_allclose(turns.mean(axis=0), 0, atol=0.015)
    np.testing.assert_allclose((turns**2).mean(axis=0), 1 / 3, atol=0.01)
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    grid = np.linspace(0, np.pi, 20)
    expected = (grid - np.sin(grid)) / np.pi
    np.testing.assert_allclose([(angle <= t).mean() for t in grid], expected, atol=0.01)


def test_random_orientations_stay_what_they_are() -> None:
    """Seeds in files and papers must keep their meaning."""
    expected = [
        [-0.51865242653315, -0.7816962019242566, 0.3463390078354839],
        [0.21242048818385245, 0.2745673829689462, 0.9378114354225575],
        [-0.8281770321923986, 0.5599676777339706, 0.02364324940051321],
    ]
    np.testing.assert_allclose(nbragg.random_orientations(1, seed=1)[0], expected, rtol=0, atol=1e-12)

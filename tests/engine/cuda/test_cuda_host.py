"""The CUDA kernels, run on the host, against the CPU engine: golden set, random scenes, launches."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cuda_host as host
import golden_cases as g
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from scene_parts import with_crystal
from strategies import Experiment, experiments

import nbragg
from nbragg import StructureFactors
from nbragg.base.errors import InputError, MemoryLimitError, NbraggWarning
from nbragg.engine import cpu
from nbragg.engine.backend import RawImage, RenderOptions, backend
from nbragg.engine.cuda_engine import Rendering
from nbragg.engine.cuda_kernel import INDEX_DOUBLE, INDEX_FIXED, INDEX_PAIRS, choose
from nbragg.engine.cuda_plan import largest_group

pytestmark = [host.needs_compiler, pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")]

TOLERANCE = {"double": 1e-9, "mixed": 2e-6}
FIXED, PAIRS = 2.0, 32.0  # cost of a double operation that selects the arithmetic of h, k, l


def on(device: str, scene: Any, **options: Any) -> RawImage:
    """One image through the queue of a device."""
    with backend(device).queue(RenderOptions(device=device, **options)) as queue:
        queue.submit(scene)
        return queue.collect()[0]


def assert_as_cpu(scene: Any, precision: str, runtime: host.HostRuntime | None = None) -> None:
    """Every pixel within the tolerance of the maximum; everything that is counted equal."""
    expected = cpu.render_double(scene)
    counts = on("cpu", scene, precision="double").summary
    raw, image = host.render(scene, precision, runtime)
    found = raw.summary
    assert image.shape == raw.image.shape == scene.image_shape
    assert np.abs(image - expected).max() <= TOLERANCE[precision] * expected.max()
    assert np.array_equal(raw.image, image.astype(np.float32))
    assert (found.pixels, found.cut_pixel, found.nonfinite) == (counts.pixels, counts.cut_pixel, 0)
    assert found.first_nonfinite == -1
    assert found.omega == pytest.approx(counts.omega, rel=1e-12)
    assert found.total == pytest.approx(float(raw.image.sum(dtype=float)), rel=1e-12)
    assert found.squares == pytest.approx(float((raw.image.astype(float) ** 2).sum()), rel=1e-12)
    assert found.largest == raw.image.max()
    assert found.largest_pixel == (int(raw.image.argmax()) if raw.image.max() > 0 else -1)


def golden_scene(case_id: str, folder: Path) -> Any:
    g.prepare(case_id, folder)
    return g.scene_of(g.arguments(case_id))


@pytest.mark.parametrize("case_id", g.IDS)
def test_golden_case(case_id: str, folder: Path) -> None:
    """In double, and in mixed precision with the arithmetic of cards that are quick in double."""
    scene = golden_scene(case_id, folder)
    for precision in TOLERANCE:
        assert_as_cpu(scene, precision, host.HostRuntime(double_cost=FIXED))
    raw, _ = host.render(scene, "double")
    g.assert_matches(raw.image, g.reference(case_id)["image"])


@pytest.mark.parametrize("case_id", [*g.IDS[::4], "crystal/N_large"])
def test_golden_case_with_pairs(case_id: str, folder: Path) -> None:
    """Mixed precision with the arithmetic of consumer cards."""
    assert_as_cpu(golden_scene(case_id, folder), "mixed", host.HostRuntime(double_cost=PAIRS))


@settings(max_examples=50, suppress_health_check=[*HealthCheck])
@given(experiments())
def test_random_scenes(experiment: Experiment) -> None:
    """Everything at once."""
    scene = experiment.scene()
    assert_as_cpu(scene, "double")
    assert_as_cpu(scene, "mixed")


# ---- launches ----


def mosaic(**changes: Any) -> Any:
    """A scene of 300 orientations, a mask and a region, on few pixels."""
    rng = np.random.default_rng(3)
    mask = rng.random((21, 33)) < 0.9
    words: dict[str, Any] = {"roi": (3, 29, 2, 18), "oversample": 1} | changes.pop("sampling", {})
    values = rng.uniform(1, 100, (9, 9, 9))
    crystal: dict[str, Any] = {
        "cell": (40, 50, 60, 80, 95, 100), "N": (5, 4, 3), "mosaic_spread_deg": 2.0, "mosaic_domains": 300,
        "structure_factors": StructureFactors(values=values, origin=(-4, -4, -4), default_F=3.0),
    }  # fmt: skip
    setup = nbragg.Setup(
        nbragg.Crystal(**(crystal | changes.pop("crystal", {}))),
        nbragg.Beam(wavelength_A=1.3, hdivrange_mrad=3.0, hdivsteps=2),
        nbragg.Detector(fpixels=33, spixels=21, pixel_mm=0.9, distance_mm=60.0, mask=mask),
        nbragg.Sampling(**words),
        **({"physics": "nanobragg"} | changes),
    )
    return nbragg.build_scene(setup)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("threads", [16, 128])
def test_orientations_split_between_blocks(threads: int, precision: str) -> None:
    """A card with many more threads than the region has pixels: 9 parts, added up in a fixed order."""
    scene = mosaic()
    runtime = host.HostRuntime(threads, multiprocessors=100)
    assert_as_cpu(scene, precision, runtime)
    assert ("nb_render", (-(-27 * 17 // threads), 9, 1)) in runtime.launches


@pytest.mark.parametrize("interpolate", [False, True])
def test_result_does_not_depend_on_the_launches(interpolate: bool) -> None:
    """Size of blocks: the same bits, also where interpolation ends on the way; many launches: nearly."""
    scene = mosaic(sampling={"interpolate": interpolate})
    expected, _ = host.render(scene, "mixed")
    assert (expected.summary.cut_pixel >= 0) == interpolate
    for runtime in (host.HostRuntime(128), host.HostRuntime(clock_hz=3e4)):
        rendering = Rendering(runtime, runtime.tables, scene, RenderOptions(precision="mixed"))
        rendering.start()
        raw = rendering.collect()[0]
        off = np.abs(raw.image - expected.image).max()
        assert off == 0 if runtime.threads == 128 else off <= 1e-6 * expected.image.max()
        assert raw.summary.cut_pixel == expected.summary.cut_pixel
        assert raw.summary.largest_pixel == expected.summary.largest_pixel
        assert raw.summary.total == pytest.approx(expected.summary.total, rel=1e-6)
    assert sum(name == "nb_render" for name, _ in runtime.launches) > 3


def test_progress_and_an_exception_on_the_way() -> None:
    """Reported after each launch; an exception ends the rendering and is passed on."""
    scene, seen = mosaic(), list[float]()
    runtime = host.HostRuntime(clock_hz=3e4)
    rendering = Rendering(runtime, runtime.tables, scene, RenderOptions(progress=seen.append))
    rendering.start()
    rendering.collect()
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 3

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    rendering = Rendering(runtime, runtime.tables, scene, RenderOptions(progress=stop))
    rendering.start()
    with pytest.raises(KeyboardInterrupt):
        rendering.collect()


def stack_of(scene: Any, images: int) -> npt.NDArray[np.float64]:
    """Orientations of a series of images."""
    turns = nbragg.random_orientations(images, seed=7)
    stack: npt.NDArray[np.float64] = np.einsum("oij,nkj->noik", scene.crystal.orientations, turns)
    return stack


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("interpolate", [False, True])
def test_stack_in_one_launch(interpolate: bool, on_device: bool) -> None:
    """Each image as rendered alone, with its own end of interpolation."""
    scene = mosaic(sampling={"interpolate": interpolate}, crystal={"mosaic_domains": 3})
    stack = stack_of(scene, 5)
    runtime = host.HostRuntime()
    options = RenderOptions(precision="mixed", on_device=on_device)
    rendering = Rendering(runtime, runtime.tables, scene, options, stack=stack)
    rendering.start()
    for orientations, raw in zip(stack, rendering.collect(), strict=True):
        alone, _ = host.render(with_crystal(scene, orientations=orientations), "mixed")
        assert np.array_equal(raw.image, alone.image)
        assert raw.summary == alone.summary
    assert sum(name == "nb_render" for name, _ in runtime.launches) == 1
    assert largest_group(scene, runtime.profile, runtime.free_bytes()) > 5
    with pytest.raises(InputError, match=r"must have the shape \(images, 3, 3, 3\)"):
        Rendering(runtime, runtime.tables, scene, options, stack=stack[:, :2])


# ---- limits ----


def test_image_larger_than_the_memory_is_rendered_in_parts() -> None:
    """Rows for which there is memory, one launch after the other."""
    scene = mosaic()
    expected, _ = host.render(scene, "mixed")
    assert (
        scene.panel.mask is not None and not scene.panel.mask.all()
    )  # masked pixels must not keep what earlier rows left
    arrays = scene.crystal.orientations.nbytes + scene.table.values.size * 4 + scene.panel.mask.size
    runtime = host.HostRuntime(free=2**25 + arrays + 6000)
    rendering = Rendering(runtime, runtime.tables, scene, RenderOptions())
    rendering.start()
    assert np.array_equal(rendering.collect()[0].image, expected.image)
    assert sum(name == "nb_render" for name, _ in runtime.launches) > 1


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    """Before anything is launched."""
    scene = mosaic()
    runtime = host.HostRuntime(free=2**24)
    for options in (RenderOptions(), RenderOptions(on_device=True)):
        with pytest.raises(MemoryLimitError, match=r"host has 16.8 MB of free memory; .* for 729 struct"):
            Rendering(runtime, runtime.tables, scene, options)
    assert not runtime.launches


def test_tables_stay_while_their_arrays_live() -> None:
    """One upload for many renders; forgotten with the host's array."""
    scene = mosaic()
    runtime = host.HostRuntime()
    first = runtime.tables.on_device(runtime, scene.table.values, np.float32)
    assert runtime.tables.on_device(runtime, scene.table.values, np.float32) is first
    assert runtime.tables.on_device(runtime, scene.table.values, np.float64) is not first
    array = np.ones(3)
    runtime.tables.on_device(runtime, array, np.float64)
    assert runtime.tables.holds(array, np.float64)
    number = len(runtime.tables._kept)
    del array
    assert len(runtime.tables._kept) == number - 1


# ---- choice of the specialisation ----


def test_choice_of_arithmetic() -> None:
    """Fixed point where double is quick, pairs where it is slow, doubles where neither is exact enough."""
    scene = mosaic()
    assert choose(scene, "double", FIXED)[0].index == INDEX_DOUBLE
    assert choose(scene, "mixed", FIXED)[0].index == INDEX_FIXED
    assert choose(scene, "mixed", PAIRS)[0].index == INDEX_PAIRS
    sharp = mosaic(crystal={"N": (5, 5, 5000)})
    assert choose(sharp, "mixed", FIXED)[0].index == INDEX_DOUBLE
    long = mosaic(crystal={"cell": (40, 50, 1e6, 90, 90, 90), "N": (1, 1, 1)})
    assert choose(long, "mixed", PAIRS)[0].index == INDEX_DOUBLE
    assert choose(mosaic(crystal={"N": (1, 1, 1)}), "mixed", FIXED)[0].shape == -1
    with pytest.raises(InputError, match=r"indices beyond 2\^31"):
        choose(with_crystal(scene, orientations=scene.crystal.orientations * 1e9), "mixed", FIXED)


@pytest.mark.parametrize("cost", [FIXED, PAIRS])
@pytest.mark.parametrize("N", [100, 800])
def test_mixed_far_from_the_beam(cost: float, N: int) -> None:
    """Large cell, large N, high order: where the arithmetic of h, k, l is strained most."""
    scene = mosaic(crystal={"cell": (300, 280, 310, 90, 90, 90), "N": (N, N, N), "mosaic_domains": 20})
    assert_as_cpu(scene, "mixed", host.HostRuntime(double_cost=cost))


# ---- through the backend ----


def test_device_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixed by default; statistics from the device's sums."""
    host.pretend_gpu(monkeypatch)
    scene = mosaic()
    raw = on("cuda", scene)
    mixed, _ = host.render(scene, "mixed")
    assert np.array_equal(raw.image, mixed.image)
    assert raw.summary == mixed.summary
    found = dataclasses.asdict(raw.summary)
    for name, value in dataclasses.asdict(on("cpu", scene).summary).items():
        assert found[name] == pytest.approx(value, rel=3e-6), name
    g.assert_matches(on("cuda:0", scene, precision="double").image, on("cpu", scene).image)


@pytest.mark.parametrize("device", ["cuda", "auto:0"])
def test_queue(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """First in, first out, into the caller's arrays; what is not collected is abandoned."""
    runtime = host.pretend_gpu(monkeypatch)
    scenes = [mosaic(crystal={"mosaic_domains": n}) for n in (1, 2, 3)]
    out = np.full((2, 21, 33), np.nan, np.float32)
    with backend(device).queue(RenderOptions(device=device)) as queue:
        queue.submit(scenes[0], out[0])
        queue.submit(scenes[1], out[1])
        assert queue.depth == 2
        for image, scene in zip(out, scenes, strict=False):
            raw, seconds = queue.collect()
            assert raw.image.base is not None and np.shares_memory(raw.image, image) and seconds > 0
            assert np.array_equal(image, on("cuda", scene).image)
        queue.submit(scenes[2])
        assert queue.submitted == 3
    assert sum(name == "nb_render" for name, _ in runtime.launches) == 5


def test_public_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """`render_many` queues on the GPU; auto takes it where there is one; warnings are the CPU's."""
    host.pretend_gpu(monkeypatch)
    setup = g.command_line(g.arguments("crystal/phi_mosaic")).setup
    turns = nbragg.random_orientations(3, seed=2)
    images = {}
    for device in ("cpu", "cuda", "auto:0"):
        simulator = nbragg.Simulator(setup, RenderOptions(device=device))
        out = np.zeros((3, 96, 96), np.float32)
        simulator.render_many(orientations=turns, out=out)
        images[device] = out
        several = [result.image for result in simulator.render_many(orientations=turns)]
        assert np.array_equal(several, out)
    assert np.array_equal(images["auto:0"], images["cuda"])
    assert np.abs(images["cuda"] - images["cpu"]).max() <= 2e-6 * images["cpu"].max()
    with pytest.warns(NbraggWarning, match="interpolation was switched off"):
        nbragg.render(mosaic(sampling={"interpolate": True}), device="cuda")

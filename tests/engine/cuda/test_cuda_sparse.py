"""Samples that are left out on a GPU: the same as on the CPU, whatever the launches; on the host."""

from __future__ import annotations

import dataclasses
import math
from typing import Any
from unittest import mock

import cuda_host as host
import numpy as np
import pytest
from scene_parts import cut, pasted, with_crystal, with_panel
from spot_scenes import (
    ROUNDING,
    SHAPES,
    SPOT_END,
    Image,
    always,
    judged,
    made,
    peak,
    random_scene,
    rendered,
    tolerance_of,
)
from surroundings_scenes import AROUND, CRYSTAL, PANELS

import nbragg
from nbragg.engine import cpu
from nbragg.engine.cuda_engine import Rendering
from nbragg.engine.cuda_kernel import INDEX_PAIRS, NEAREST, choose
from nbragg.engine.options import RawImage, RenderOptions, Summary
from nbragg.scene.record import Scene

pytestmark = [host.needs_compiler, pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")]

#: many samples to a spot, so that most are dark
FINE = {"pixel_mm": 0.08}
#: of the whole images: those of double precision agree within 1e-9 of the maximum
BACKENDS = {"double": 1e-9, "mixed": 2e-6}


def on_gpu(
    scene: Scene, precision: str = "double", runtime: host.HostRuntime | None = None, **options: Any
) -> tuple[Image, Summary]:
    """The image before it is rounded; samples are left out wherever they can be."""
    with mock.patch.object(cpu, "limits", always):
        raw, image = host.render(scene, precision, runtime, **options)
    assert np.array_equal(raw.image, image.astype(np.float32))
    return image, raw.summary


def assert_as_cpu(scene: Scene, tolerance: float, precision: str = "double", double_cost: float = 2.0) -> int:
    """The promise holds, and those that count are the CPU's; returns how many were evaluated, -1: all."""
    full, _ = rendered(scene, cull=False)
    most = float(np.abs(full).max())
    options = {"tolerance_photons": tolerance}
    expected, there = rendered(scene, precision=precision, **options)
    image, summary = on_gpu(scene, precision, host.HostRuntime(double_cost=double_cost), **options)
    found = judged(scene, full, image, summary, tolerance, BACKENDS[precision])
    assert found.ratio <= 1 and found.left <= 1, found
    assert 0 <= summary.left_out <= tolerance * (1 + 1e-12)
    # samples on the border of what counts go either way, where N h is large
    allowed = BACKENDS[precision] * most + 1e-3 * tolerance
    off = float(np.abs(image - expected).max())
    assert off <= allowed or off <= allowed + SPOT_END * peak(scene), (off, allowed)
    assert (summary.visited < 0) == (there.visited < 0)
    assert summary.pixels == there.pixels
    assert summary.omega == pytest.approx(there.omega, rel=1e-12)
    return summary.visited


def assert_same(one: tuple[Image, Summary], two: tuple[Image, Summary]) -> None:
    """The same bits, and the same samples."""
    assert np.array_equal(one[0], two[0])
    assert (one[1].visited, one[1].left_out) == (two[1].visited, two[1].left_out)


def tolerance_for(scene: Scene, fraction: float = 1e-3) -> float:
    return fraction * float(rendered(scene, cull=False)[0].max())


# ---- the same decisions ----


@pytest.mark.parametrize("precision", ROUNDING)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_dark_is_not_visited(shape: str, precision: str) -> None:
    """Of a million samples a few in a hundred are evaluated; of them those count that do on the CPU."""
    scene = made(shape, detector=FINE)
    samples = scene.samples_per_pixel * scene.offsets[-1]
    visited = assert_as_cpu(scene, tolerance_for(scene), precision)
    there = rendered(scene, tolerance_photons=tolerance_for(scene), precision=precision)[1].visited
    assert 0 < visited < 2 * there < 0.3 * samples
    without = assert_as_cpu(scene, 0.0, precision)
    assert without == -1 if shape in ("square", "round") else 0 < without < 0.05 * samples


def compiled(scene: Scene, precision: str, double_cost: float) -> bool:
    """Whether the kernels of other tests serve; compiling takes longer than rendering."""
    for number in range(len(scene.crystals)):
        spec, _ = choose(scene, precision, double_cost, crystal=number, sparse=True)
        if spec.displaced or spec.table != NEAREST or (precision == "mixed" and spec.index == INDEX_PAIRS):
            return False
    return all(panel.curved == "flat" for panel in scene.panels)


def test_random_scenes() -> None:
    """All shapes, weights, sources, layers, tilts, masks, regions, several crystals; up to 36 sub-pixels."""
    active = 0
    for seed in range(140):
        scene, precision = random_scene(seed), "mixed" if seed % 4 == 0 else "double"
        full, _ = rendered(scene, cull=False)
        if not np.isfinite(full).all() or not compiled(scene, precision, 2.0):
            continue
        try:
            assert_as_cpu(scene, 0.0, precision)
            active += assert_as_cpu(scene, tolerance_of(seed, full), precision) > 0
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert active > 20, "the Scenes put nothing to the test"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1600, 200))
def test_random_scenes_at_length(first: int) -> None:
    """Bent panels, interpolation, one F for all, displaced atoms and pairs of floats among them."""
    for seed in range(first, first + 200):
        scene = random_scene(seed)
        full, _ = rendered(scene, cull=False)
        if not np.isfinite(full).all() or full.max() < 1e-30:  # what is left out is told in floats
            continue
        spots = full.max() > 1e-3 * peak(scene)  # without, mixed precision has no bound
        precision = "mixed" if seed % 2 and spots else "double"
        try:
            for tolerance in (0.0, tolerance_of(seed, full)):
                assert_as_cpu(scene, tolerance, precision, 32.0 if seed % 3 else 2.0)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


#: what the kernels have besides: (changes of the Scene, precision, cost of a double operation)
OTHERS: dict[str, tuple[dict[str, Any], str, float]] = {
    "pairs of floats": ({}, "mixed", 32.0),
    "bent": (
        {"detector": {"fpixels": 24, "spixels": 20, "distance_mm": 12.0, "curved": True}}, "double", 2.0,
    ),
    "interpolated": ({"sampling": {"oversample": 2, "interpolate": True}}, "double", 2.0),
    "inside a pixel of it": (
        {"detector": {"fpixels": 20, "spixels": 20, "distance_mm": 0.5, "pixel_mm": 1.0}}, "double", 2.0,
    ),
    "deep and oblique": (
        {
            "detector": {
                "fpixels": 20, "spixels": 18, "distance_mm": 4.0, "pixel_mm": 0.2, "thickness_um": 3000.0,
                "attenuation_um": 500.0, "thicksteps": 2,
            },
            "sampling": {
                "oversample": 3, "oversample_thick": True, "oversample_omega": True,
                "oversample_polar": True,
            },
        }, "double", 2.0,
    ),
    "many sub-pixels": ({"sampling": {"oversample": 37, "roi": (20, 25, 15, 19)}}, "double", 2.0),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels_and_places(name: str) -> None:
    changes, precision, double_cost = OTHERS[name]
    scene = made("gauss", physics="exact", default_F=0.5, **changes)
    for fraction in (1e-6, 1e-2):
        assert_as_cpu(scene, tolerance_for(scene, fraction), precision, double_cost)
    assert assert_as_cpu(scene, 0.0, precision, double_cost) > 0 or name == "interpolated"


def test_one_F_for_all() -> None:
    scene = made(
        "square", crystal={"structure_factors": nbragg.StructureFactors.constant(7.0)}, detector=FINE
    )
    assert assert_as_cpu(scene, tolerance_for(scene, 1e-4)) > 0


def test_what_no_float_can_tell_is_told() -> None:
    """Where what counts begins below the smallest float, as on the CPU."""
    scene = made("gauss", detector=FINE)
    tolerance = tolerance_for(scene, 1e-60)
    image, summary = on_gpu(scene, tolerance_photons=tolerance)
    expected, there = rendered(scene, tolerance_photons=tolerance)
    assert summary.left_out == there.left_out == pytest.approx(tolerance, rel=1e-5, abs=0)
    assert summary.visited > 0 and np.abs(image - expected).max() <= BACKENDS["double"] * expected.max()


def test_all_sub_pixels_are_taken() -> None:
    """Of oversample="auto", which is the CPU's alone."""
    scene = made("round", detector=FINE | {"fpixels": 20, "spixels": 20})
    image, summary = on_gpu(dataclasses.replace(scene, adaptive=True))
    assert summary.visited == -1 and np.array_equal(image, on_gpu(scene)[0])


def test_what_a_gpu_cannot_leave_out_it_renders_whole() -> None:
    """As the CPU does: water in the sum, interpolation that may end, crystals of a cell."""
    for changes in (
        {"physics": "nanobragg", "sampling": {"oversample": 1, "water_um": 3.0}},
        {"physics": "nanobragg", "sampling": {"oversample": 1, "interpolate": True}},
        {"crystal": {"N": (1, 1, 1)}},
    ):
        scene = made("square", detector={"fpixels": 20, "spixels": 20}, **changes)
        assert assert_as_cpu(scene, tolerance_for(scene)) == -1
    scene = made("gauss", detector=FINE)
    image, summary = on_gpu(scene, cull=False)
    assert summary.visited == -1 and np.array_equal(image, host.render(scene, "double", cull=False)[1])


# ---- what an image does not depend on ----


@pytest.mark.parametrize("shape", ["gauss", "square"])
def test_pieces(shape: str) -> None:
    """A region, a mask, and pieces of the panel have the pixels of the whole, to the bit."""
    scene = made(shape, detector=FINE, default_F=2.0)
    options: dict[str, Any] = {"tolerance_photons": tolerance_for(scene)}
    whole, _ = on_gpu(scene, **options)
    for fmin, fmax, smin, smax in ((13, 13, 7, 7), (5, 66, 31, 44)):
        expected = np.zeros_like(whole)
        expected[smin : smax + 1, fmin : fmax + 1] = whole[smin : smax + 1, fmin : fmax + 1]
        assert np.array_equal(on_gpu(with_panel(scene, roi=(fmin, fmax, smin, smax)), **options)[0], expected)
    for share in (0.01, 0.6):
        mask = (np.random.default_rng(4).random(whole.shape) < share).astype(np.uint8)
        assert np.array_equal(on_gpu(with_panel(scene, mask=mask), **options)[0], whole * mask)
    pieces = cut(scene, [1, 30], [2])
    assert np.array_equal(pasted(pieces, on_gpu(pieces, **options)[0]), whole)


@pytest.mark.parametrize("shape", ["gauss", "square"])
def test_launches(shape: str) -> None:
    """Rows in many launches: the same samples; orientations divided: the same but for rounding."""
    scene = made(shape, crystal={"mosaic_domains": 70}, detector=FINE | {"fpixels": 21, "spixels": 30})
    options: dict[str, Any] = {"tolerance_photons": tolerance_for(scene)}
    one = on_gpu(scene, **options)
    rows = host.HostRuntime(clock_hz=3e4)
    assert_same(one, on_gpu(scene, runtime=rows, **options))
    assert sum(name == "nb_render_sparse" for name, _ in rows.launches) > 3
    parts = host.HostRuntime(multiprocessors=100)
    image, summary = on_gpu(scene, runtime=parts, **options)
    assert ("nb_render_sparse", (3 * 8, 2, 1)) in parts.launches
    assert np.abs(image - one[0]).max() <= ROUNDING["double"] * one[0].max()
    assert (summary.visited, summary.left_out) == (one[1].visited, one[1].left_out)


def test_blocks_of_a_gpu() -> None:
    """Four warps to a block, one tile each."""
    scene = made("gauss", detector=FINE)
    assert_same(on_gpu(scene), on_gpu(scene, runtime=host.HostRuntime(128)))


@pytest.mark.parametrize("on_device", [False, True])
def test_stack(on_device: bool) -> None:
    """Each image as rendered alone, and what was left out of each."""
    scene = made("gauss", detector=FINE | {"fpixels": 24, "spixels": 24})
    turns = nbragg.random_orientations(4, seed=7)
    stack = np.einsum("oij,nkj->noik", scene.crystal.orientations, turns)
    runtime = host.HostRuntime()
    options = RenderOptions(precision="double", on_device=on_device, tolerance_photons=1e-2)
    with mock.patch.object(cpu, "limits", always):
        rendering = Rendering(runtime, runtime.tables, scene, options, stack=stack)
        rendering.start()
        images: list[RawImage] = rendering.collect()
    seen = set()
    for orientations, raw in zip(stack, images, strict=True):
        alone, summary = on_gpu(with_crystal(scene, orientations=orientations), tolerance_photons=1e-2)
        assert np.array_equal(raw.image, alone.astype(np.float32))
        assert raw.summary == summary
        seen.add(summary.visited)
    assert len(seen) > 1 and min(seen) > 0


def test_images_behind_the_spots() -> None:
    """Shadows, windows and a background are as on the CPU; in the dark nothing is visited."""
    values = np.random.default_rng(3).uniform(1, 60, (61, 61, 61))
    crystal = CRYSTAL.replace(
        N=(20, 25, 30), shape="gauss",
        structure_factors=nbragg.StructureFactors(values=values, origin=(-30, -30, -30)),
    )  # fmt: skip
    behind = {"surroundings": AROUND, "backgrounds": nbragg.Background("water", thickness_mm=0.1)}
    visited = []
    for around in (behind, {}):
        setup = nbragg.Setup(
            crystal, nbragg.Beam(wavelength_A=1.2), nbragg.Detector(panels=PANELS),
            nbragg.Sampling(oversample=3), **around,
        )  # fmt: skip
        visited.append(assert_as_cpu(nbragg.build_scene(setup), 0.0))
    assert 0 < visited[0] < visited[1]


# ---- through the public interface ----


def test_a_result_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    host.pretend_gpu(monkeypatch)
    scene = made("square", detector=FINE)
    tolerance = tolerance_for(scene)
    with mock.patch.object(cpu, "limits", always):
        result = nbragg.render(scene, device="cuda", precision="double", tolerance_photons=tolerance)
    assert result.visited is not None and 0 < result.left_out <= tolerance
    whole = nbragg.render(scene, device="cuda", precision="double")
    assert (whole.visited, whole.left_out) == (None, 0.0)
    assert np.abs(result.image - whole.image).max() <= tolerance * (1 + 1e-6)
    assert math.isfinite(result.left_out) and dataclasses.is_dataclass(result.raw.summary)

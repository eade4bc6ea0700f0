"""The CUDA kernels on the host: several panels, crystals and tables, against the CPU and one of each."""

from __future__ import annotations

import dataclasses
from typing import Any

import cuda_host as host
import numpy as np
import pytest
from scene_parts import cut, pasted, with_crystal, with_panel, with_table
from test_cuda_host import FIXED, PAIRS, TOLERANCE, assert_as_cpu, mosaic

from nbragg.base.errors import InputError, MemoryLimitError
from nbragg.engine.cuda_engine import Rendering
from nbragg.engine.options import RenderOptions

pytestmark = [host.needs_compiler, pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")]


def small(**crystal: Any) -> Any:
    """Few enough orientations for one split on any runtime of the tests."""
    return mosaic(crystal={"mosaic_domains": 7} | crystal, sampling={"oversample": 2})


def halves(scene: Any) -> Any:
    """The crystal as two, with half of its weight and half of its orientations each."""
    block = scene.crystal
    middle = len(block.orientations) // 2
    parts = [block.orientations[:middle], block.orientations[middle:]]
    blocks = [
        dataclasses.replace(block, orientations=part, weight=len(part) / len(block.orientations))
        for part in parts
    ]
    return dataclasses.replace(scene, crystals=tuple(blocks))


def ramp(scene: Any) -> Any:
    """A weight for each orientation of the only crystal."""
    count = len(scene.crystal.orientations)
    return with_crystal(scene, orientation_weights=np.linspace(0.0, 3.0, count))


def two_crystals(scene: Any, shape: str = "gauss", **table: Any) -> Any:
    """A second crystal of another shape, size, weight and list of structure factors."""
    block = scene.crystal
    turned = np.ascontiguousarray(block.orientations[::2] @ np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    metric = np.diag([20.0, 30.0, 10.0])
    other = dataclasses.replace(
        block,
        orientations=turned,
        shape=shape,
        shape_metric=metric,
        N=np.array([6.0, 3, 2]),
        weight=0.3,
        table=1,
    )
    tables = (scene.table, dataclasses.replace(scene.table, **table))
    return dataclasses.replace(scene, crystals=(block, other), tables=tables)


def two_tables(scene: Any) -> Any:
    """The second source takes another list, which lies elsewhere."""
    rng = np.random.default_rng(8)
    other = dataclasses.replace(
        scene.table, values=rng.uniform(50, 90, (6, 12, 7)), origin=(-2, -7, -3), default_F=5.0
    )
    table = np.arange(len(scene.sources.wavelength)) % 2
    sources = dataclasses.replace(scene.sources, table=table)
    return dataclasses.replace(scene, tables=(scene.table, other), sources=sources)


def uneven(scene: Any) -> Any:
    """Panels of several sizes, one of them bent, one tilted, with oblong pixels and a thick sensor."""
    whole = scene.panel
    tilted = dataclasses.replace(
        whole, fpixels=19, spixels=30, roi=(2, 16, 1, 29), mask=None, pixel=(0.7e-3, 1.1e-3),
        fdet=np.array([0.1, 0.0, 1.0]) / np.hypot(0.1, 1), pix0=whole.pix0 + np.array([0.002, 0.01, -0.03]),
        layers=3, layer_step=2e-4, thickness=6e-4, mu=900.0,
    )  # fmt: skip
    bent = dataclasses.replace(
        whole, fpixels=12, spixels=9, roi=(0, 11, 0, 8), mask=None, curved="axes", pix0=whole.pix0 * 1.1
    )
    return dataclasses.replace(scene, panels=(tilted, whole, bent))


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("interpolate", [False, True])
def test_cut_panels_are_the_whole(interpolate: bool, precision: str) -> None:
    """Two by three pieces, to the bit; with a region, a mask and the end of interpolation in one of them."""
    scene = mosaic(crystal={"mosaic_domains": 7}, sampling={"interpolate": interpolate, "oversample": 2})
    pieces = cut(scene, [11, 20], [8])
    whole, _ = host.render(scene, precision)
    runtime = host.HostRuntime()
    raw, _ = host.render(pieces, precision, runtime)
    assert sum(name == "nb_render" for name, _ in runtime.launches) == 6
    assert raw.image.shape == (scene.panel.fpixels * scene.panel.spixels,)
    if not interpolate:  # the end of interpolation follows the order of panels
        assert np.array_equal(pasted(pieces, raw.image), whole.image)
        assert raw.summary.total == pytest.approx(whole.summary.total, rel=1e-12)
        assert raw.summary.omega == pytest.approx(whole.summary.omega, rel=1e-12)
        assert raw.summary.largest == whole.summary.largest
    assert raw.summary.pixels == whole.summary.pixels
    assert_as_cpu(pieces, precision)


@pytest.mark.parametrize("double_cost", [FIXED, PAIRS])
def test_panels_of_one_size(double_cost: float) -> None:
    """An image of three axes; a panel whose pixels are all masked stays 0 and warns of nothing."""
    scene = small()
    pieces = cut(scene, [11, 22], [])
    masked = dataclasses.replace(pieces.panels[1], mask=np.zeros((21, 11), np.uint8))
    scene = dataclasses.replace(pieces, panels=(pieces.panels[0], masked, pieces.panels[2]))
    assert scene.image_shape == (3, 21, 11)
    runtime = host.HostRuntime(double_cost=double_cost)
    assert_as_cpu(scene, "mixed", runtime)
    raw, _ = host.render(scene, "mixed", runtime)
    assert not raw.image[1].any() and raw.image[0].any() and raw.image[2].any()


@pytest.mark.parametrize("precision", TOLERANCE)
def test_panels_of_several_sizes(precision: str) -> None:
    """Each with its own pixels, layers and curvature."""
    for scene in (small(), mosaic()):
        runtime = host.HostRuntime(multiprocessors=4)
        assert_as_cpu(uneven(scene), precision, runtime)
    assert {spec.curved for spec in runtime.specialisations if not spec.finish} == {False, True}


@pytest.mark.parametrize("precision", TOLERANCE)
def test_two_halves_are_one_crystal(precision: str) -> None:
    """Also where each is divided among blocks."""
    for scene in (small(), mosaic()):
        whole, image = host.render(scene, precision)
        runtime = host.HostRuntime(multiprocessors=20)
        raw, both = host.render(halves(scene), precision, runtime)
        assert np.abs(both - image).max() <= TOLERANCE[precision] * image.max()
        assert raw.summary.omega == pytest.approx(whole.summary.omega, rel=1e-12)
        assert_as_cpu(halves(scene), precision, runtime)
    assert ("nb_render", (-(-27 * 17 // runtime.threads), 4, 1)) in runtime.launches


@pytest.mark.parametrize("double_cost", [FIXED, PAIRS])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_orientation_weights(precision: str, double_cost: float) -> None:
    """As on the CPU; equal weights are none, to the bit; twice the weight is the orientation twice."""
    scene = small()
    runtime = host.HostRuntime(double_cost=double_cost)
    assert_as_cpu(ramp(scene), precision, runtime)
    assert_as_cpu(ramp(mosaic()), precision, runtime)
    plain, _ = host.render(scene, precision, runtime)
    even = with_crystal(scene, orientation_weights=np.ones(7))
    assert np.array_equal(host.render(even, precision, runtime)[0].image, plain.image)
    twice = with_crystal(scene, orientation_weights=np.array([2.0, 1, 1, 1, 1, 1, 1]))
    repeated = scene.crystal.orientations[[0, 0, 1, 2, 3, 4, 5, 6]]
    _, image = host.render(twice, precision, runtime)
    _, expected = host.render(with_crystal(scene, orientations=repeated), precision, runtime)
    assert np.abs(image - expected).max() <= TOLERANCE[precision] * expected.max()


@pytest.mark.parametrize("precision", TOLERANCE)
def test_two_tables(precision: str) -> None:
    """One for each source; the same list twice is the list once, to the bit."""
    scene = small()
    assert len(scene.sources) == 2
    assert_as_cpu(two_tables(scene), precision)
    twin = dataclasses.replace(two_tables(scene), tables=(scene.table, scene.table))
    once, _ = host.render(scene, precision)
    assert np.array_equal(host.render(twin, precision)[0].image, once.image)
    one_F = {"values": None, "origin": (0, 0, 0)}
    pair = two_tables(scene)
    constant = tuple(dataclasses.replace(table, **one_F) for table in pair.tables)
    assert_as_cpu(dataclasses.replace(pair, tables=constant), precision)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("shape", ["round", "gauss", "tophat"])
def test_crystals_of_two_shapes(shape: str, precision: str) -> None:
    """Launches of two specialisations, added up; one with a list, one without."""
    scene = two_crystals(small(), shape, values=None, origin=(0, 0, 0), default_F=40.0)
    runtime = host.HostRuntime()
    assert_as_cpu(uneven(scene), precision, runtime)
    render = [spec for spec in runtime.specialisations if not spec.finish and not spec.curved]
    assert len({(spec.shape, spec.table) for spec in render}) == 2


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("interpolate", [False, True])
def test_layers_at_their_mean_depth_with_water_behind_them(interpolate: bool, per_sample: bool) -> None:
    """Flat, tilted and bent; the search for the end of interpolation goes to the same depths.

    Water takes the factors of every sample also where Bragg scattering takes them once.
    """
    sampling = {"water_um": 0.003, "oversample": 2, "interpolate": interpolate}
    scene = uneven(mosaic(crystal={"mosaic_domains": 7}, sampling=sampling, physics="exact"))
    if interpolate:
        scene = dataclasses.replace(
            scene, tables=(dataclasses.replace(scene.table, interpolation="tricubic"),)
        )
    flags = {f"oversample_{name}": per_sample for name in ("thick", "polar", "omega")}
    scene = dataclasses.replace(scene, **flags)
    thick = [
        dataclasses.replace(panel, layers=2, layer_step=4e-4, thickness=8e-4, mu=2e3, mean_depth=True)
        for panel in scene.panels
    ]
    fronts = [dataclasses.replace(panel, mean_depth=False) for panel in thick]
    images = []
    for panels in (thick, fronts):
        case = dataclasses.replace(scene, panels=tuple(panels))
        for precision in TOLERANCE:
            assert_as_cpu(case, precision)
        images.append(host.render(case, "double")[1])
    assert np.abs(images[0] - images[1]).max() > 1e-3 * images[0].max()


@pytest.mark.parametrize("water_um", [0.0, 0.01])
@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
def test_water_counts_once(physics: str, water_um: float) -> None:
    """However many crystals there are and parts each is divided into."""
    scene = mosaic(sampling={"water_um": water_um}, physics=physics)
    for crystals in (halves(scene), two_crystals(scene)):
        for precision in TOLERANCE:
            assert_as_cpu(ramp_all(crystals), precision, host.HostRuntime(multiprocessors=20))


def ramp_all(scene: Any) -> Any:
    """Weights for the orientations of every crystal."""
    blocks = [
        dataclasses.replace(block, orientation_weights=np.linspace(0.5, 2.0, len(block.orientations)))
        for block in scene.crystals
    ]
    return dataclasses.replace(scene, crystals=tuple(blocks))


@pytest.mark.parametrize("threads", [16, 128])
@pytest.mark.parametrize("first_ends", [False, True])
def test_end_of_interpolation_across_crystals(first_ends: bool, threads: int) -> None:
    """The earlier sample of two crystals ends it for both, in every panel that follows.

    The two differ in how far their lists reach: one of them could be interpolated everywhere.
    """
    scene = mosaic(crystal={"mosaic_domains": 6}, sampling={"interpolate": True, "oversample": 2})
    rng = np.random.default_rng(2)
    wide = {"values": rng.uniform(1, 100, (81, 81, 81)), "origin": (-40, -40, -40)}
    narrow = {"values": scene.table.values, "origin": scene.table.origin}
    first, second = (narrow, wide) if first_ends else (wide, narrow)
    both = two_crystals(with_table(scene, **first), "square", **second)
    for case in (both, cut(both, [11, 20], [8]), halves(scene)):
        for precision in TOLERANCE:
            runtime = host.HostRuntime(threads)
            assert_as_cpu(case, precision, runtime)
            assert host.render(case, precision, runtime)[0].summary.cut_pixel >= 0


def test_end_of_interpolation_in_one_pixel() -> None:
    """Two crystals end it in the same pixel, the second often at an earlier sub-pixel."""
    scene = mosaic(
        crystal={"mosaic_domains": 1}, sampling={"interpolate": True, "oversample": 3, "roi": None}
    )
    values = np.random.default_rng(2).uniform(1, 100, (81, 81, 81))
    ended = 0
    for fast in (0, 1, 2):  # large enough to lie across the end of both lists
        pixel = with_panel(scene, mask=None, roi=(fast, fast, 1, 1), pixel=(9e-3, 9e-3))
        for low in range(-16, 10):
            wide = with_table(pixel, values=values, origin=(-40, low, low))
            both = two_crystals(wide, "square", values=pixel.table.values, origin=pixel.table.origin)
            assert_as_cpu(both, "double")
            ended += host.render(both, "double")[0].summary.cut_pixel >= 0
    assert ended > 30


def test_interpolation_beside_nearest() -> None:
    """A crystal that is not interpolated neither ends the other's interpolation nor is touched by its end."""
    scene = mosaic(crystal={"mosaic_domains": 6}, sampling={"interpolate": True})
    for other in ("nearest", "tricubic_exact"):
        both = two_crystals(scene, "square", interpolation=other)
        for precision in TOLERANCE:
            assert_as_cpu(both, precision)
        alone, _ = host.render(scene, "double")
        assert host.render(both, "double")[0].summary.cut_pixel == alone.summary.cut_pixel


def test_oblong_pixels() -> None:
    scene = with_panel(small(), pixel=(0.4e-3, 1.7e-3))
    for precision in TOLERANCE:
        assert_as_cpu(scene, precision)


# ---- launches ----


def test_bands_within_panels() -> None:
    """Little memory or long launches: parts of panels, to the same bits; progress counts pixels of all."""
    scene = uneven(small())
    expected, _ = host.render(scene, "mixed")
    seen: list[float] = []
    for runtime in (host.HostRuntime(free=2**25 + 5500), host.HostRuntime(clock_hz=3e4)):
        options = RenderOptions(precision="mixed", progress=seen.append)
        rendering = Rendering(runtime, runtime.tables, scene, options)
        rendering.start()
        raw = rendering.collect()[0]
        assert np.array_equal(raw.image, expected.image)
        assert raw.summary.largest_pixel == expected.summary.largest_pixel
        assert raw.summary.pixels == expected.summary.pixels
        assert raw.summary.total == pytest.approx(expected.summary.total, rel=1e-12)
        assert sum(name == "nb_render" for name, _ in runtime.launches) > 6
    last = seen.index(1.0) + 1  # of the first rendering
    assert len(seen) - last > 3 and seen[last:] == sorted(seen[last:]) and seen[-1] == 1.0


def test_panels_left_on_the_device() -> None:
    """One array for all of them."""
    scene = uneven(two_crystals(small()))
    expected, image64 = host.render(scene, "double")
    raw, on_device = host.render(scene, "double", on_device=True)
    assert np.array_equal(raw.image, expected.image) and np.array_equal(on_device, image64)
    assert dataclasses.replace(raw.summary, total=0) == dataclasses.replace(expected.summary, total=0)


def test_stack_of_panels() -> None:
    """Images of several panels, each as rendered alone; of several crystals: refused."""
    scene = uneven(mosaic(crystal={"mosaic_domains": 3}, sampling={"interpolate": True}))
    turns = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 3, 3)))[0]
    stack = np.einsum("oij,nkj->noik", scene.crystal.orientations, turns)
    runtime = host.HostRuntime()
    rendering = Rendering(runtime, runtime.tables, scene, RenderOptions(precision="mixed"), stack=stack)
    rendering.start()
    for orientations, raw in zip(stack, rendering.collect(), strict=True):
        alone, _ = host.render(with_crystal(scene, orientations=orientations), "mixed")
        assert np.array_equal(raw.image, alone.image)
        assert raw.summary == alone.summary
    assert sum(name == "nb_render" for name, _ in runtime.launches) == 3
    with pytest.raises(InputError, match="the scene has 2"):
        Rendering(runtime, runtime.tables, two_crystals(scene), RenderOptions(), stack=stack)


def test_too_many_panels_are_refused_with_their_size() -> None:
    runtime = host.HostRuntime(free=2**24)
    with pytest.raises(
        MemoryLimitError, match=r"for 1458 structure factors, .* for the mask, .* of 3 panels"
    ):
        Rendering(runtime, runtime.tables, uneven(two_crystals(small())), RenderOptions())
    assert not runtime.launches

"""Panels, crystals, weights of orientations, tables of sources: identities, and the summary."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import acceptance as a
import golden_cases as g
import numpy as np
import numpy.typing as npt
import pytest
from parts import changed

from nbragg.engine import cpu
from nbragg.engine.backend import RawImage, RenderOptions, backend

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

BUSY = (
    "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1.3 -misset 12 34 56 -mosaic 0.5 -mosaic_dom 4 "
    "-hdivrange 3 -hdivsteps 2 -polar 0.9 -detpixels_f 131 -detpixels_s 97 -pixel 0.3 -distance 60 "
    "-detector_rotx 7 -detector_roty 3"
)


def rendered(scene: Any, **options: Any) -> RawImage:
    with backend("cpu").queue(RenderOptions(**options)) as queue:
        queue.submit(scene)
        return queue.collect()[0]


def part_of(panel: Any, fast: int, fpixels: int, slow: int, spixels: int) -> Any:
    """A piece of a panel with its share of the roi and the mask, or None where the roi leaves it out."""
    fmin, fmax, smin, smax = panel.roi
    roi = (
        max(fmin - fast, 0),
        min(fmax - fast, fpixels - 1),
        max(smin - slow, 0),
        min(smax - slow, spixels - 1),
    )
    if roi[0] > roi[1] or roi[2] > roi[3]:
        return None
    mask = panel.mask
    if mask is not None:
        mask = np.ascontiguousarray(mask[slow : slow + spixels, fast : fast + fpixels])
    return dataclasses.replace(
        panel,
        first=(panel.first[0] + fast, panel.first[1] + slow),
        fpixels=fpixels,
        spixels=spixels,
        roi=roi,
        mask=mask,
    )


def assembled(scene: Any, fcuts: list[int], scuts: list[int], **options: Any) -> npt.NDArray[np.float32]:
    """The image of the only panel rendered as one scene of its pieces and put together again."""
    panel = scene.panel
    boxes = [
        (f, g - f, s, t - s)
        for s, t in zip([0, *scuts], [*scuts, panel.spixels], strict=True)
        for f, g in zip([0, *fcuts], [*fcuts, panel.fpixels], strict=True)
    ]
    pieces = [(box, part_of(panel, *box)) for box in boxes]
    pieces = [(box, piece) for box, piece in pieces if piece is not None]
    cut = dataclasses.replace(scene, panels=tuple(piece for _, piece in pieces))
    flat = rendered(cut, **options).image.reshape(-1)
    image = np.zeros((panel.spixels, panel.fpixels), np.float32)
    for ((f, nf, s, ns), _), start in zip(pieces, cut.offsets, strict=False):
        image[s : s + ns, f : f + nf] = flat[start : start + nf * ns].reshape(ns, nf)
    return image


# ---- panels ----


@pytest.mark.parametrize("limits", ["all", "roi", "mask", "roi and mask"])
@pytest.mark.parametrize("oversample", [1, 3])
@pytest.mark.parametrize("precision", a.PRECISIONS)
def test_pieces_of_a_panel_are_the_panel(precision: str, oversample: int, limits: str) -> None:
    """Cut into 2 x 3 panels and put together: the same bits, and the same summary to rounding."""
    scene = g.scene_of(a.words(BUSY, f"-oversample {oversample}"))
    if "roi" in limits:
        scene = changed(scene, roi=(5, 120, 11, 90))
    if "mask" in limits:
        mask = np.random.default_rng(1).random((97, 131)) < 0.6
        scene = changed(scene, mask=mask.astype(np.uint8))
    whole = rendered(scene, precision=precision)
    assert np.array_equal(assembled(scene, [50], [31, 64], precision=precision), whole.image)
    assert whole.image.any()


@pytest.mark.parametrize("curved", ["laboratory", "axes"])
def test_pieces_of_a_curved_panel(curved: str) -> None:
    scene = changed(g.scene_of(BUSY), curved=curved)
    assert np.array_equal(assembled(scene, [50], [31, 64]), rendered(scene).image)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_summary_of_pieces(threads: int) -> None:
    """Image indices are those of the pieces; sums are of all."""
    scene = g.scene_of(a.words(BUSY, "-oversample 1"))
    whole = rendered(scene, threads=threads)
    panel = scene.panel
    below = tuple(part_of(panel, 0, panel.fpixels, s, n) for s, n in ((0, 40), (40, 57)))
    pieces = rendered(dataclasses.replace(scene, panels=below), threads=threads)
    mine, theirs = dataclasses.asdict(pieces.summary), dataclasses.asdict(whole.summary)
    for name in ("omega", "total", "squares"):
        assert mine.pop(name) == pytest.approx(theirs.pop(name), rel=1e-12)
    assert mine == theirs  # rows lie one after the other, as in the whole
    assert whole.summary.largest == whole.image.max()
    assert whole.summary.largest_pixel == int(whole.image.argmax())
    assert whole.summary.total == pytest.approx(float(whole.image.sum(dtype=np.float64)), rel=1e-12)


def test_panels_of_different_sizes() -> None:
    """One row of pixels after the other; each panel as if alone."""
    scene = g.scene_of(a.words(BUSY, "-oversample 2"))
    panel = scene.panel
    turned = dataclasses.replace(panel, fdet=panel.sdet, sdet=panel.fdet, layers=1)
    panels = (part_of(panel, 3, 20, 5, 30), part_of(turned, 0, 7, 50, 9), part_of(panel, 90, 33, 60, 2))
    several = dataclasses.replace(scene, panels=panels)
    image = rendered(several).image
    assert image.shape == (20 * 30 + 7 * 9 + 33 * 2,) == several.image_shape
    alone = [rendered(dataclasses.replace(scene, panels=(one,))).image.reshape(-1) for one in panels]
    assert np.array_equal(image, np.concatenate(alone))


def test_empty_lists() -> None:
    """A panel that is masked altogether leaves its pixels 0 and the others alone."""
    scene = g.scene_of(a.words(BUSY, "-oversample 1"))
    dark = changed(scene, mask=np.zeros((97, 131), np.uint8)).panel
    both = rendered(dataclasses.replace(scene, panels=(dark, scene.panel, dark)))
    assert np.array_equal(both.image[1], rendered(scene).image) and not both.image[::2].any()
    nothing = rendered(dataclasses.replace(scene, panels=(dark,)))
    assert nothing.summary.pixels == 0 and nothing.summary.largest_pixel == -1 and not nothing.image.any()


def test_a_given_image_is_cleared_where_nothing_is_rendered() -> None:
    scene = changed(g.scene_of(a.words(BUSY, "-oversample 1")), roi=(5, 20, 7, 30))
    image = np.full(scene.image_shape, 7.0, np.float32)
    with backend("cpu").queue(RenderOptions()) as queue:
        queue.submit(scene, image)
        raw, _ = queue.collect()
    assert raw.image is image
    assert np.array_equal(image, rendered(scene).image)


def cut_scene() -> Any:
    """Interpolation ends in the middle of the image (canonical 7.3)."""
    values = np.random.default_rng(3).uniform(1, 100, (13, 13, 13))
    scene = g.scene_of(
        "-cell 50 -default_F 7 -N 2 -detpixels 40 -pixel 1 -Xbeam 2 -Ybeam 20 -distance 300 -oversample 2 "
        "-mosaic 1 -mosaic_domains 3"
    )
    return changed(scene, values=values, origin=(-6, -6, -6), interpolation="tricubic", reach=math.inf)


@pytest.mark.parametrize("threads", [1, 3])
def test_interpolation_ends_across_panels(threads: int) -> None:
    """Raster order across panels is that of the image index, in whole rows that of the one panel."""
    scene = cut_scene()
    whole = rendered(scene, threads=threads)
    assert 0 < whole.summary.cut_pixel < 1600
    row = whole.summary.cut_pixel // 40
    assert row > 3
    for cut in (row, row + 1, 3, 38):
        panels = (part_of(scene.panel, 0, 40, 0, cut), part_of(scene.panel, 0, 40, cut, 40 - cut))
        pieces = rendered(dataclasses.replace(scene, panels=panels), threads=threads)
        assert np.array_equal(pieces.image.reshape(-1), whole.image.reshape(-1))
        assert pieces.summary.cut_pixel == whole.summary.cut_pixel
    # with the later rows first they have nothing before them to end interpolation
    swapped = dataclasses.replace(scene, panels=(panels[1], panels[0]))
    assert rendered(swapped, threads=threads).summary.cut_pixel != whole.summary.cut_pixel


# ---- crystals, weights, tables ----


def two_crystals(scene: Any, first: float, second: float, **edit: Any) -> Any:
    crystal = scene.crystal
    return dataclasses.replace(
        scene,
        crystals=(
            dataclasses.replace(crystal, weight=first),
            dataclasses.replace(crystal, weight=second, **edit),
        ),
    )


@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_halves_of_a_crystal_are_the_crystal(shape: str) -> None:
    scene = changed(g.scene_of(BUSY), shape=shape)
    whole = cpu.render_double(scene)
    for first, second in ((0.5, 0.5), (0.25, 0.75), (1.0, 0.0), (0.0, 1.0)):
        halves = cpu.render_double(two_crystals(scene, first, second))
        np.testing.assert_allclose(halves, whole, rtol=1e-12, atol=0)


def test_crystals_add_up() -> None:
    """Of other orientations, sizes, shapes and tables: the sum of the images of each alone."""
    scene = changed(g.scene_of(BUSY), oversample_polar=True)
    values = np.random.default_rng(1).uniform(1, 9, (9, 9, 9))
    listed = dataclasses.replace(scene.table, values=values, origin=(-4, -4, -4), reach=math.inf)
    other = dataclasses.replace(
        scene.crystal,
        orientations=scene.crystal.orientations[:3] @ np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]]),
        orientation_weights=np.array([1.0, 0.5, 3.0]),
        N=np.array([2.0, 3.0, 4.0]),
        shape="round",
        weight=0.3,
        table=1,
    )
    tables = (scene.table, listed)
    both = dataclasses.replace(scene, crystals=(scene.crystal, other), tables=tables)
    alone = [dataclasses.replace(scene, crystals=(one,), tables=tables) for one in both.crystals]
    expected = sum(cpu.render_double(one) for one in alone)
    np.testing.assert_allclose(cpu.render_double(both), expected, rtol=1e-12)
    swapped = dataclasses.replace(both, crystals=both.crystals[::-1])
    np.testing.assert_allclose(cpu.render_double(swapped), expected, rtol=1e-12)


@pytest.mark.parametrize("listed", [False, True])
def test_a_weight_is_a_number_of_times(listed: bool) -> None:
    """Doubling the weight of an orientation is listing it twice; equal weights are none."""
    scene = g.scene_of(BUSY)
    if listed:
        values = np.random.default_rng(1).uniform(1, 9, (9, 9, 9))
        scene = changed(scene, values=values, origin=(-4, -4, -4), reach=math.inf)
    cells = scene.crystal.orientations
    weighted = changed(scene, orientation_weights=np.array([1.0, 2.0, 1.0, 1.0]))
    twice = changed(scene, orientations=np.ascontiguousarray(cells[[0, 1, 1, 2, 3]]))
    np.testing.assert_allclose(cpu.render_double(weighted), cpu.render_double(twice), rtol=1e-12)
    plain = cpu.render_double(scene)
    assert np.array_equal(cpu.render_double(changed(scene, orientation_weights=np.ones(4))), plain)
    alike = cpu.render_double(changed(scene, orientation_weights=np.full(4, 0.37)))
    np.testing.assert_allclose(alike, plain, rtol=1e-12)
    only = changed(scene, orientation_weights=np.array([0.0, 0.0, 5.0, 0.0]))
    one = changed(scene, orientations=np.ascontiguousarray(cells[2:3]))
    np.testing.assert_allclose(cpu.render_double(only), cpu.render_double(one), rtol=1e-12)


def test_weights_in_mixed_precision() -> None:
    """Weights of any size: they are applied in double precision."""
    scene = changed(g.scene_of(BUSY), orientation_weights=np.array([1e-300, 3e-300, 2e-300, 1e-301]))
    double, mixed = (rendered(scene, precision=precision).image for precision in a.PRECISIONS)
    assert double.max() > 0 and np.abs(double - mixed).max() <= 2e-6 * double.max()


def test_each_source_has_its_table() -> None:
    """A source that names another table sees those structure factors, and no other source does."""
    scene = changed(g.scene_of(BUSY), oversample_polar=True)
    rng = np.random.default_rng(1)
    tables = tuple(
        dataclasses.replace(
            scene.table, values=rng.uniform(1, 9, (9, 9, 9)), origin=(-4, -4, -4), reach=math.inf
        )
        for _ in range(3)
    )
    crystal = dataclasses.replace(scene.crystal, table=1)
    s = scene.sources
    both = dataclasses.replace(
        scene, tables=tables, crystals=(crystal,), sources=dataclasses.replace(s, table=np.array([1, 0]))
    )
    expected: Any = 0.0
    for i, table in enumerate((tables[2], tables[1])):
        one = dataclasses.replace(
            s,
            incident=s.incident[i : i + 1],
            wavelength=s.wavelength[i : i + 1],
            weight=s.weight[i : i + 1],
            table=np.zeros(1, np.int64),
        )
        alone = dataclasses.replace(scene, tables=(table,), sources=one)
        expected = expected + cpu.render_double(alone) / 2
    np.testing.assert_allclose(cpu.render_double(both), expected, rtol=1e-12)


# ---- solid angle ----


def rectangle(panel: Any) -> float:
    """Solid angle of a flat panel, sr: of a rectangle from its foot point, by its four corners."""
    foot = panel.pix0 - (panel.pix0 @ panel.odet) * panel.odet
    height = abs(float(panel.pix0 @ panel.odet))
    x0, y0 = float(foot @ panel.fdet), float(foot @ panel.sdet)
    x1, y1 = x0 + panel.fpixels * panel.pixel[0], y0 + panel.spixels * panel.pixel[1]

    def corner(x: float, y: float) -> float:
        return math.atan(x * y / (height * math.sqrt(height**2 + x**2 + y**2)))

    return corner(x1, y1) - corner(x0, y1) - corner(x1, y0) + corner(x0, y0)


CUBE = "-cell 100 100 100 90 90 90 -default_F 100 -N 5 -lambda 6.2"


def test_solid_angle_is_that_of_the_rectangle() -> None:
    """Whatever the number of domains, sources, layers and sub-pixels."""
    flat = g.scene_of(a.words(CUBE, "-distance 100 -detpixels 512 -oversample 1"))
    truth = rectangle(flat.panel)
    assert truth == pytest.approx(0.2457, rel=1e-2)
    for words in (
        "-oversample 1",
        "-oversample 1 -mosaic 1 -mosaic_domains 10",
        "-oversample 1 -hdivrange 3 -hdivsteps 5",
        "-oversample 1 -oversample_omega",
        "-oversample 1 -physics exact -mosaic 1 -mosaic_domains 3",
    ):
        scene = g.scene_of(a.words(CUBE, "-distance 100 -detpixels 512", words))
        assert rendered(scene).summary.omega == pytest.approx(truth, rel=1e-5), words
    # first sub-pixels stand for their pixels, half a pixel off; layers are deeper by parts of a pixel
    for words in ("-oversample 3", "-oversample 1 -detector_thick 100 -detector_abs 300 -thicksteps 4"):
        scene = g.scene_of(a.words(CUBE, "-distance 100 -detpixels 512", words))
        assert rendered(scene).summary.omega == pytest.approx(truth, rel=2e-3), words
    fine = g.scene_of(a.words(CUBE, "-distance 30 -pixel 2 -detpixels 64 -oversample 4 -oversample_omega"))
    assert rendered(fine).summary.omega == pytest.approx(rectangle(fine.panel), rel=1e-4)


def test_solid_angle_of_what_is_rendered() -> None:
    scene = g.scene_of(a.words(CUBE, "-distance 100 -detpixels 64 -oversample 1"))
    left = rendered(changed(scene, roi=(0, 31, 0, 63))).summary
    right = rendered(changed(scene, roi=(32, 63, 0, 63))).summary
    whole = rendered(scene).summary
    assert left.omega + right.omega == pytest.approx(whole.omega, rel=1e-12)
    assert left.pixels + right.pixels == whole.pixels == 64 * 64


def test_rectangular_pixels() -> None:
    """A pixel of twice the length covers what its two halves do; the photons follow."""
    scene = g.scene_of(a.words(CUBE, "-distance 100 -detpixels 64 -oversample 1 -oversample_omega"))
    edge = scene.panel.pixel[0]
    for axis in (0, 1):
        size = [64, 64]
        size[axis] = 32
        pixel = [edge, edge]
        pixel[axis] = 2 * edge
        roi = (0, size[0] - 1, 0, size[1] - 1)
        wide = dataclasses.replace(scene.panel, pixel=tuple(pixel), fpixels=size[0], spixels=size[1], roi=roi)
        coarse = dataclasses.replace(scene, panels=(wide,))
        assert rectangle(wide) == pytest.approx(rectangle(scene.panel), rel=1e-14)
        assert rendered(coarse).summary.omega == pytest.approx(rendered(scene).summary.omega, rel=1e-5)
        # its sub-pixels are those of the halves: 2 along the long edge, then the same samples
        both = changed(coarse, oversample=2)
        halves = changed(scene, oversample=2)
        fine = cpu.render_double(halves)
        fine = fine[:, ::2] + fine[:, 1::2] if axis == 0 else fine[::2] + fine[1::2]
        assert np.abs(cpu.render_double(both) - fine).max() < 0.05 * fine.max()

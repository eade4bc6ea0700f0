"""Detectors of several panels: the same as one, stacked, assembled, drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Panel, Sampling, Setup, StructureFactors
from nbragg.analysis.assembly import PanelView, drawn
from nbragg.analysis.contrast import background_contrast, shrunk
from nbragg.io.geometry.record import Geometry
from nbragg.io.images.png import preview_panels

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CRYSTAL = Crystal(
    cell=(70, 80, 90, 75, 85, 95),
    structure_factors=StructureFactors.constant(100),
    N=5,
    misset_deg=(12, 34, 56),
)
SAMPLING = Sampling(oversample=1, water_um=1)


def setup(detector: Detector, **beam: Any) -> Setup:
    return Setup(CRYSTAL, Beam(wavelength_A=1.3, polarization=0.9, **beam), detector, SAMPLING)


def one_panel(**fields: Any) -> Detector:
    return Detector(distance_mm=60, pixel_mm=0.25, fpixels=96, spixels=64, thickness_um=320, **fields)


def as_panel(detector: Detector) -> Panel:
    """The panel that a detector of one by its convention is."""
    return Geometry.from_scene(nbragg.build_scene(setup(detector))).panels[0]


def cut(detector: Detector, slow: int, fast: int) -> Detector:
    """Its panel in pieces, in the same laboratory."""
    return Detector(convention=detector.convention, panels=as_panel(detector).cut(slow, fast))


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_one_panel_is_the_detector(physics: str) -> None:
    """Bit for bit, where the corner in mm is that in m (which rounding may spoil)."""
    mask = np.ones((64, 96))
    mask[10:20, 30:50] = 0
    detector = one_panel(mask=mask)
    panel = as_panel(detector)
    scenes = [
        nbragg.build_scene(setup(d).replace(physics=physics)) for d in (detector, Detector(panels=(panel,)))
    ]
    assert np.array_equal(scenes[0].panel.pix0, scenes[1].panel.pix0)
    images = [nbragg.render(scene).image for scene in scenes]
    assert images[0].any() and np.array_equal(*images)


def test_a_cut_detector_is_the_whole() -> None:
    """2 x 3 pieces, assembled: bit for bit, exact or not; the stack has their shapes."""
    detector = one_panel(rotx_deg=8, roty_deg=-5)
    whole = nbragg.simulate(setup(Detector(panels=(as_panel(detector),))))
    pieces = nbragg.simulate(setup(cut(detector, 2, 3)))
    assert whole.image.any() and whole.assembled() is not whole.image
    for exact in (False, True):
        assert np.array_equal(pieces.assembled(exact=exact), whole.image)
    assert isinstance(pieces.stack, np.ndarray) and pieces.stack.shape == (6, 32, 32)
    assert isinstance(whole.stack, np.ndarray) and whole.stack.shape == (1, 64, 96)
    uneven = nbragg.simulate(setup(cut(detector, 1, 5)))
    assert isinstance(uneven.stack, list) and [part.shape for part in uneven.stack][:2] == [
        (64, 19),
        (64, 19),
    ]
    assert np.array_equal(uneven.assembled(exact=True), whole.image)


@pytest.mark.parametrize("name", ["cspad", "epix100", "dssc_1m", "agipd_1m"])
def test_the_sum_of_the_assembled_is_that_of_the_stack(name: str) -> None:
    """Pixels of panels that stand askew share cells and leave others empty, and none is lost."""
    detector = Detector.named(name, distance_mm=120)
    group = next(iter(detector.groups))
    turned = detector.moved(group, rotation_deg=(2.0, 0, 0), shift_mm=(0.5, 0.31, -0.7))
    for one in (detector, turned):
        scene = nbragg.build_scene(setup(one))
        pixels = np.random.default_rng(1).integers(1, 100, scene.image_shape).astype(np.float32)
        result = nbragg.render(scene).replace(image=pixels)
        found = result.assembled()
        assert float(np.nansum(found, dtype=np.float64)) == float(pixels.sum(dtype=np.float64))
        assert np.array_equal(np.nan_to_num(found), result.assembled(fill=0))
    covered = int(np.isfinite(nbragg.render(nbragg.build_scene(setup(detector))).assembled()).sum())
    assert covered == pixels.size  # nothing shares a cell as long as no panel is turned
    assert int(np.isfinite(found).sum()) < pixels.size


def modules(**changes: Any) -> Detector:
    """2 x 2 modules of 20 x 10 pixels, 3 and 4 pixels apart, the last with changes."""
    panels = [
        Panel(
            origin_mm=(60, 10 - 1.4 * row, -10 + 2.3 * column), fast=(0, 0, 1), slow=(0, -1, 0),
            fpixels=20, spixels=10, pixel_mm=0.1, name=f"m{row}{column}",
        )
        for row in range(2) for column in range(2)
    ]  # fmt: skip
    return Detector(panels=(*panels[:3], panels[3].replace(**changes)))


def test_modules_on_a_grid_are_the_vendors_array() -> None:
    """What `nbragg.grid` gives as one panel, pixel for pixel, and the gaps filled."""
    result = nbragg.simulate(setup(modules()))
    grid = nbragg.grid((2, 2), (20, 10), (3, 4), 0.1)
    panel = as_panel(grid).replace(origin_mm=(60, 10, -10))
    whole = nbragg.simulate(setup(Detector(panels=(panel,))))
    found = result.assembled(fill=-1, exact=True)
    assert found.shape == (24, 43) and found.dtype == np.float32
    assert grid.mask is not None and np.array_equal(found == -1, grid.mask == 0)
    np.testing.assert_allclose(found[grid.mask == 1], whole.image[grid.mask == 1], rtol=1e-5)
    assert np.array_equal(result.assembled(fill=-1), found)


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"origin_mm": (60, 8.6, -7.65)}, r"panel 3 'm11' is 0\.5 pixels off it \(between pixels\)"),
        ({"origin_mm": (61, 8.6, -7.7)}, "10 pixels off it .in front or behind."),
        ({"fast": (0, 0.1, 1), "slow": (0, -1, 0.1)}, "turned"),
        ({"pixel_mm": (0.1, 0.11)}, "of other pixels"),
        ({"origin_mm": (60, 10, -9.0)}, "overlaps"),
    ],
)
def test_what_is_not_on_one_grid(changes: dict[str, Any], about: str) -> None:
    result = nbragg.simulate(setup(modules(**changes)))
    with pytest.raises(InputError, match=about):
        result.assembled(exact=True)
    assert result.assembled().ndim == 2


def test_panels_far_apart_are_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    result = nbragg.simulate(setup(modules(origin_mm=(60, 8.6, 1e9))))
    with pytest.raises(nbragg.MemoryLimitError, match="look at single panels"):
        result.assembled()
    assert result._repr_png_() is None


def test_rectangular_pixels_have_the_solid_angle_of_their_halves() -> None:
    """Water's photons in a pixel of 0.2 x 0.1 mm are those in its two halves, and as A cos/R^2 says."""
    tall = Panel(
        origin_mm=(60, 2, -2), fast=(0, 0, 1), slow=(0, -1, 0), fpixels=20, spixels=40, pixel_mm=(0.2, 0.1)
    )
    fine = tall.replace(fpixels=40, pixel_mm=0.1)
    water = Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=StructureFactors.constant(1e-9))
    images = []
    for panel in (tall, fine):
        one = Setup(water, Beam(nopolar=True), Detector(panels=(panel,)), Sampling(water_um=10, oversample=1))
        images.append(nbragg.simulate(one).image.astype(np.float64))
    halves = images[1].reshape(40, 20, 2).sum(axis=2)
    assert np.abs(images[0] / halves - 1).max() < 3e-6
    y, z = np.mgrid[0:40, 0:20]
    r2 = 60**2 + (2 - 0.1 * (y + 0.5)) ** 2 + (-2 + 0.2 * (z + 0.5)) ** 2
    omega = 0.02 * 60 / r2**1.5
    assert np.abs(images[0] / omega / (images[0][0, 0] / omega[0, 0]) - 1).max() < 1e-6


def test_a_box_of_panels_is_the_whole_sphere() -> None:
    """Six squares around the sample: 4 pi, and of unpolarised light (1 + cos^2)/2 of it 8 pi/3 (Thomson)."""
    axes = np.eye(3)
    panels = []
    for i, sign in ((i, sign) for i in range(3) for sign in (1, -1)):
        fast, slow, normal = axes[(i + 1) % 3], axes[(i + 2) % 3], sign * axes[i]
        corner = 50.0 * (normal - fast - slow)
        panels.append(
            Panel(
                origin_mm=corner.tolist(), fast=fast.tolist(), slow=slow.tolist(), fpixels=100, spixels=100,
                pixel_mm=1.0,
            )
        )  # fmt: skip
    nothing = Crystal(cell=(50, 50, 50, 90, 90, 90), structure_factors=StructureFactors.constant(1e-9))
    water = Sampling(water_um=1, oversample=1)
    images = {}
    for nopolar in (True, False):
        beam = Beam(nopolar=nopolar, polarization=0.0)
        result = nbragg.simulate(Setup(nothing, beam, Detector(panels=panels), water))
        images[nopolar] = float(result.image.sum(dtype=np.float64))
        assert result.raw.summary.omega == pytest.approx(4 * math.pi, rel=2e-4)
    assert images[False] / images[True] == pytest.approx(2 / 3, rel=2e-4)


# ---- pictures ----


def test_drawn_as_seen_along_the_beam() -> None:
    """Each panel at its place, turned as it stands: quarters of a turn, by hand."""
    beam, up, left = np.eye(3)[2], np.eye(3)[1], np.eye(3)[0]  # of CrystFEL: x left, y up
    values = np.arange(6.0).reshape(2, 3)
    turns = [(-left, -up), (-up, left), (left, up), (up, -left)]
    rotated = [values, np.rot90(values, -1), np.rot90(values, 2), np.rot90(values)]
    panels = []
    for i, (fast, slow) in enumerate(turns):
        # the corner of the first pixel, such that the panel fills rows 0.. at columns 10 i..
        size = {0: (0, 0), 1: (2, 0), 2: (3, 2), 3: (0, 3)}[i]
        corner = 100.0 * beam - left * (10 * i + size[0]) - up * size[1]
        panels.append(
            Panel(
                origin_mm=corner.tolist(), fast=fast.tolist(), slow=slow.tolist(), fpixels=3, spixels=2,
                pixel_mm=1.0,
            )
        )  # fmt: skip
    detector = Detector(convention="custom", panels=panels)
    scene = nbragg.build_scene(setup(detector, beam_vector=(0, 0, 1), polar_vector=(1, 0, 0)))
    view = PanelView.from_scene(scene)
    picture, canvas = drawn([values + 10 * i for i in range(4)], view)
    expected = np.full((3, 32), np.nan)
    for i, part in enumerate(rotated):
        expected[: part.shape[0], 10 * i : 10 * i + part.shape[1]] = part + 10 * i
    assert np.array_equal(picture, expected, equal_nan=True)
    assert np.allclose(canvas.right, -left) and np.allclose(canvas.down, -up)
    levels = preview_panels([values + 10 * i for i in range(4)], view)
    assert np.array_equal(levels == 255, np.isnan(expected)) and levels.max() == 255
    assert np.all(np.diff(levels[0, :3].astype(int)) < 0)  # darker is more


def test_a_picture_has_no_holes() -> None:
    """Panels turned by some degrees cover all cells inside them."""
    detector = Detector.named("epix100", 100).moved("top", rotation_deg=(7, 0, 0), shift_mm=(0, 4, 0))
    scene = nbragg.build_scene(setup(detector))
    picture, canvas = drawn([np.ones((352, 384))] * 4, PanelView.from_scene(scene))
    area = float(np.isfinite(picture).sum()) * canvas.cell[0] * canvas.cell[1]
    assert area == pytest.approx(4 * 352 * 384 * 50e-6**2, rel=3e-4)


def test_shrinking_keeps_the_brightest() -> None:
    rng = np.random.default_rng(3)
    picture = rng.random((101, 57))
    picture[20:30] = np.nan
    small, step = shrunk(picture, 40)
    assert step == 3 and small.shape == (34, 19)
    for i in range(34):
        for j in range(19):
            block = picture[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
            best = np.nan if np.isnan(block).all() else np.nanmax(block)
            assert small[i, j] == best or (np.isnan(best) and np.isnan(small[i, j]))
    assert shrunk(picture, 101) == (picture, 1)


@pytest.mark.parametrize("linear", [False, True])
def test_contrast_is_about_the_background(linear: bool) -> None:
    """A thousand bright pixels more or less, or brighter ones, leave the background as grey as it is."""
    rng = np.random.default_rng(5)
    noise = rng.poisson(50, (400, 400)).astype(np.float64)
    greys = []
    for strength in (0, 500, 50000):
        image = noise.copy()
        image.reshape(-1)[:: 400 * 400 // 50] += strength
        scale = background_contrast(image, linear=linear)
        grey = scale.grey(image)
        greys.append((float(np.median(grey)), float(np.quantile(grey, 0.99))))
        assert scale.level == 50 and np.all(np.diff(scale.grey(np.linspace(0, 1e5, 99))) >= 0)
        if strength:
            assert float(grey.reshape(-1)[0]) > 0.95
        assert all(scale.low <= mark <= scale.high for mark in scale.ticks())
        assert np.allclose(scale.inverse(scale.forward([30.0, 77.0])), [30, 77])
    assert all(0.01 < low < 0.35 and low + 0.03 < high < 0.7 for low, high in greys)
    assert greys[0][0] == pytest.approx(greys[2][0], abs=0.01)
    for flat in (np.zeros((3, 3)), np.full((3, 3), 7.0), np.full((3, 3), np.nan)):
        constant = background_contrast(flat)
        assert constant.high > constant.low and math.isfinite(constant.width)


def test_plot_of_several_panels() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    result = nbragg.simulate(setup(Detector.named("epix100", 60)))
    ax = result.plot()
    assert ax.get_xlabel().startswith("to the right of the beam")
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right) == pytest.approx((-19.325, 19.325)) and (top, bottom) == pytest.approx(
        (-17.725, 17.725)
    )
    assert result.plot(panel=2).get_xlabel() == "fast (pixels)"
    ax.figure.canvas.draw()
    pyplot.close("all")
    picture = result._repr_png_()
    assert picture is not None and picture.startswith(b"\x89PNG")

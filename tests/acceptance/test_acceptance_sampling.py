"""Acceptance: steps, flags, layers, resolution limit, region, oversampling."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import acceptance as a
import golden_cases as g
import numpy as np
import pytest
from parts import changed

from nbragg.engine import cpu
from nbragg.simulation.simulate import render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CRYSTAL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1.3 -misset 12 34 56"


def test_two_identical_steps_equal_one() -> None:
    """AT-SAM-001: the sum is divided by the number of phi steps, domains and sources."""
    one = g.scene_of(a.words(CRYSTAL, "-detpixels 48 -oversample 1"))
    twice = changed(one, orientations=np.concatenate([one.crystal.orientations] * 2))
    arrays = {name: value for name, value in vars(one.sources).items() if value is not None}
    doubled = {name: np.concatenate([value] * 2) for name, value in arrays.items()}
    sources = dataclasses.replace(one, sources=type(one.sources)(**doubled))
    image = render(one).image
    assert image.max() > 0
    assert np.array_equal(render(twice).image, image)
    assert np.array_equal(render(sources).image, image)


def test_two_identical_phi_steps() -> None:
    """AT-SAM-001: a full turn in two steps from 0 and from 360 degrees, through the command line."""
    line = a.words(CRYSTAL, "-detpixels 48 -oversample 1")
    two = g.scene_of([*line, "-osc", "720", "-phisteps", "2"])
    assert two.placement.phisteps == 2 and len(two.crystal.orientations) == 2
    image, once = render(two).image, g.render(line)
    assert np.abs(image - once).max() <= np.spacing(once.max())


@pytest.mark.parametrize(
    "case_id",
    [
        "oversample_omega",
        "oversample_polar",
        "oversample_polar_sources",
        "thick_layers",
        "thick_layers_oversampled",
        "all_oversample_flags",
    ],
)
def test_oversample_flags_golden(case_id: str) -> None:
    """AT-SAM-002: the reference's images, with and without the flags."""
    a.assert_golden(f"sampling/{case_id}")


def test_solid_angle_once_or_for_each_sub_pixel() -> None:
    """AT-SAM-002: without -oversample_omega the first sub-pixel's solid angle, with it the mean of all."""
    line = a.words(a.FLAT, "-nopolar -distance 12 -pixel 0.9 -detpixels 20 -oversample 3")
    scene = g.scene_of(line)
    sub = (np.arange(60) + 0.5) * scene.panel.pixel[0] / 3
    place = scene.panel.pix0 + sub[None, :, None] * scene.panel.fdet + sub[:, None, None] * scene.panel.sdet
    omega = scene.panel.pixel[0] ** 2 * scene.panel.close_distance / np.sqrt((place**2).sum(axis=-1)) ** 3
    blocks = omega.reshape(20, 3, 20, 3)
    assert np.abs(a.double(line) / (a.UNIT * blocks[:, 0, :, 0]) - 1).max() <= 1e-12
    assert (
        np.abs(a.double(line, "-oversample_omega") / (a.UNIT * blocks.mean(axis=(1, 3))) - 1).max() <= 1e-12
    )


def test_polarization_once_or_for_each_sub_pixel() -> None:
    """AT-SAM-002: -oversample_polar: that of each sample, not of the first sub-pixel and source."""
    line = a.words(
        a.FLAT, "-distance 12 -pixel 0.9 -detpixels 20 -oversample 2 -point_pixel -oversample_omega"
    )
    scene = g.scene_of(line)
    sub = (np.arange(40) + 0.5) * scene.panel.pixel[0] / 2
    place = scene.panel.pix0 + sub[None, :, None] * scene.panel.fdet + sub[:, None, None] * scene.panel.sdet
    R2 = (place**2).sum(axis=-1)
    polar = 0.5 * (1 + place[..., 0] ** 2 / R2)

    def blocks(x: a.Image) -> a.Image:
        return x.reshape(20, 2, 20, 2)

    first = blocks(polar)[:, 0, :, 0] * blocks(1 / R2).mean(axis=(1, 3))
    assert np.abs(a.double(line) / (a.UNIT * first) - 1).max() <= 1e-12
    each = blocks(polar / R2).mean(axis=(1, 3))
    assert np.abs(a.double(line, "-oversample_polar") / (a.UNIT * each) - 1).max() <= 1e-12
    assert np.array_equal(a.double(line, "-oversample_polar -nopolar"), a.double(line, "-nopolar"))


@pytest.mark.parametrize("dmin", [1.6, 2.0, 3.7, 9.0])
def test_dmin(dmin: float) -> None:
    """AT-SAM-003: a pixel is skipped exactly where d < dmin."""
    line = a.words(a.FLAT, "-distance 30 -pixel 1 -detpixels 60")
    scene = g.scene_of(line)
    place = a.pixel_centres(scene)
    cos_2theta = place[..., 0] / np.sqrt((place**2).sum(axis=-1))
    d = 1.3 / (2 * np.sqrt((1 - cos_2theta) / 2))
    assert np.abs(d - dmin).min() > 1e-9 * dmin  # no pixel on the limit
    image, full = a.double(line, f"-dmin {dmin}"), a.double(line)
    assert (full > 0).all() and (d < dmin).any() and (d > dmin).any()
    assert np.array_equal(image, np.where(d < dmin, 0, full))
    a.assert_golden("sampling/dmin")
    a.assert_golden("sampling/dmin_sources")


@pytest.mark.parametrize("layers", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("depth", [0.2, 1.0, 6.0])
def test_capture_fractions_add_up(depth: float, layers: int) -> None:
    """AT-ABS-001: the layers' capture fractions add up to 1 - exp(-thickness mu/r).

    The sensor is a millionth of a nanometre thick, so that no layer moves a pixel.
    """
    thickness = 1e-9  # um
    line = a.words(
        a.FLAT,
        "-nopolar -distance 20 -pixel 1 -detpixels 30 -detector_rotx 20 -twotheta 30 -oversample_thick",
    )
    bare = a.double(line)
    sensor = f"-detector_thick {thickness} -detector_abs {thickness / depth} -detector_thicksteps {layers}"
    scene = g.scene_of(a.words(line, sensor, "-physics exact"))
    assert scene.panel.layers == layers
    place = a.pixel_centres(scene)
    r = place @ scene.panel.odet / np.sqrt((place**2).sum(axis=-1))
    exact = a.double(line, sensor, "-physics exact")
    assert np.abs(exact / (bare * (1 - np.exp(-depth / r))) - 1).max() <= 1e-12
    # the reference has at least two layers, which together reach n/(n-1) of the thickness
    n = max(layers, 2)
    usual = a.double(line, sensor)
    assert np.abs(usual / (bare * (1 - np.exp(-depth * n / (n - 1) / r))) - 1).max() <= 1e-12


def test_no_absorption_captures_everything() -> None:
    """AT-ABS-001: an infinite or zero depth, or no thickness, is a capture fraction of 1."""
    line = a.words(a.FLAT, "-distance 20 -pixel 1 -detpixels 20 -oversample_omega")
    bare = a.double(line)
    for sensor in (
        "-detector_abs inf -detector_thick 1e-9",
        "-detector_abs 0 -detector_thick 1e-9",
        "-detector_abs 300",
        "-oversample_thick",
        "-detector_abs inf -oversample_thick",
    ):
        found = a.double(line, sensor)
        layers = g.scene_of(a.words(line, sensor)).panel.layers  # transparent layers each count in full
        assert np.abs(found / (bare * layers) - 1).max() <= 1e-12, sensor


def test_roi_is_a_crop() -> None:
    """AT-ROI-001: region and mask equal a crop of the full image, bit for bit."""
    line = a.words(CRYSTAL, "-detpixels_f 61 -detpixels_s 45 -mosaic 0.5 -mosaic_dom 3 -oversample 2")
    full = g.render(line)
    for roi in (
        (0, 60, 0, 44),
        (7, 7, 9, 9),
        (13, 51, 3, 40),
        (60, 60, 0, 44),
        (0, 60, 44, 44),
        (1, 18, 1, 2),
    ):
        image = g.render([*line, "-roi", *map(str, roi)])
        expected = np.zeros_like(full)
        box = (slice(roi[2], roi[3] + 1), slice(roi[0], roi[1] + 1))
        expected[box] = full[box]
        assert np.array_equal(image, expected), roi
    a.assert_golden("sampling/roi")


def test_mask_is_a_crop(folder: Path) -> None:
    """AT-ROI-001: masked pixels are zero, the others are the full image's."""
    g.prepare("output/mask", folder)
    line = g.arguments("output/mask")
    scene = g.scene_of(line)
    assert scene.panel.mask is not None
    full = render(changed(scene, mask=None)).image
    assert np.array_equal(render(scene).image, np.where(scene.panel.mask, full, 0))
    assert (full[scene.panel.mask == 0] > 0).any()
    random = (np.random.default_rng(1).random(scene.panel.mask.shape) < 0.5).astype(np.uint8)
    masked = changed(scene, mask=random, roi=(5, 50, 6, 70))
    expected = np.zeros_like(full)
    expected[6:71, 5:51] = np.where(random, full, 0)[6:71, 5:51]
    assert np.array_equal(render(masked).image, expected)


# ---- AT-PARALLEL-029 ----

ALIASING = "-cell 100 -N 5 -default_F 100 -lambda 1.0 -detpixels 256 -pixel 0.1 -distance 50 -mosflm"


def high_frequencies(image: a.Image) -> float:
    """Power beyond half the Nyquist frequency, 64 cycles an image."""
    power = np.abs(np.fft.fft2(image.astype(float))) ** 2
    frequency = np.abs(np.fft.fftfreq(256) * 256)
    return float(power[np.hypot(frequency[:, None], frequency[None, :]) > 64].sum())


def fwhm(image: a.Image, place: tuple[int, int]) -> float:
    """Full width at half maximum of a peak along fast, by linear interpolation, pixels."""
    row, column = place
    line = image[row].astype(float)
    half = line[column] / 2
    width = 0.0
    for step in (-1, 1):
        at = column
        while 0 < at < len(line) - 1 and line[at + step] > half:
            at += step
        width += abs(at - column) + (line[at] - half) / (line[at] - line[at + step])
    return width


def test_oversampling_reduces_aliasing() -> None:
    """AT-PARALLEL-029: sub-pixels 1, 2, 4, 8: less aliasing, widths settle, peaks stay.

    Spots are about one pixel wide, so much of the power at high frequency is theirs. What is aliased is the
    power there that 16 sub-pixels do not have; from 2 sub-pixels on it is less than half that of 1.
    """
    for n in (1, 2):
        a.assert_theory(ALIASING, f"-oversample {n} -roi 60 120 60 120")
    images = {n: g.render(a.words(ALIASING, f"-oversample {n}")) for n in (1, 2, 4, 8, 16)}
    settled = images.pop(16)
    power = {n: high_frequencies(image) for n, image in images.items()}
    aliased = {n: high_frequencies(image - settled) for n, image in images.items()}
    for n in (2, 4, 8):
        assert power[n] < power[n // 2]
        assert power[n] - high_frequencies(settled) <= 0.5 * (power[1] - high_frequencies(settled))
        assert aliased[n] <= 0.5 * aliased[n // 2]

    peaks = {n: a.local_maxima(image, 99) for n, image in images.items()}
    for n in (2, 4, 8):
        for place in peaks[n][:10]:
            assert np.abs(peaks[1] - place).max(axis=1).min() <= 0.5
        for place in peaks[1][:10]:
            assert np.abs(peaks[n] - place).max(axis=1).min() <= 0.5
    widths = {n: np.mean([fwhm(image, tuple(p)) for p in peaks[8][:10]]) for n, image in images.items()}
    assert abs(widths[8] / widths[4] - 1) <= 0.05


@pytest.mark.parametrize(
    ("case_id", "count"),
    [("crystal/xtalsize_axes", 1), ("sampling/oversample_2", 2), ("sampling/oversample_3", 3)],
)
def test_oversampling_golden(case_id: str, count: int) -> None:
    """AT-PARALLEL-029: the reference's images at 1, 2 and 3 sub-pixels."""
    assert g.BY_ID[case_id]["values"]["oversample"] == [count]
    a.assert_golden(case_id)


def test_statistics_of_a_known_image() -> None:
    """AT-STA-001: maximum and its place, mean, rms and rmsd as canonical 8 defines them."""
    line = a.words(CRYSTAL, "-detpixels_f 41 -detpixels_s 33 -pixel 0.2 -oversample 2 -roi 4 30 5 29")
    scene = g.scene_of(line)
    result = render(scene)
    image = cpu.render_double(scene)[5:30, 4:31]
    n = image.size
    found = result.statistics
    assert found.pixels == n
    assert math.isclose(found.max, image.max(), rel_tol=1e-6)
    slow, fast = a.strongest(image)
    # the last sub-pixel's centre
    assert math.isclose(found.max_fast_m, (fast + 4) * 2e-4 + 1.5e-4, rel_tol=1e-12)
    assert math.isclose(found.max_slow_m, (slow + 5) * 2e-4 + 1.5e-4, rel_tol=1e-12)
    assert math.isclose(found.mean, image.sum() / n, rel_tol=1e-6)
    assert math.isclose(found.rms, math.sqrt((image**2).sum() / (n - 1)), rel_tol=1e-6)
    assert math.isclose(found.rmsd, math.sqrt(((image - image.mean()) ** 2).sum() / (n - 1)), rel_tol=1e-6)

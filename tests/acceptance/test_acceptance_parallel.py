"""Acceptance: parity with the reference over geometry, crystals and scales (AT-PARALLEL).

Where there is no golden image the theory is the oracle's image, computed for a region where the detector is
large.
"""

from __future__ import annotations

import math
from pathlib import Path

import acceptance as a
import golden_cases as g
import numpy as np
import pytest
from scipy import optimize

from nbragg.engine import cpu
from nbragg.simulation.simulate import render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CUBIC = "-cell 100 100 100 90 90 90 -default_F 100 -N 5 -oversample 1"
TRICLINIC = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -oversample 1"


def around(spot: tuple[float, float], half: int, pixels: tuple[int, int]) -> str:
    """-roi of a square about a (fast, slow) pixel, cut at the detector's edge."""
    limits = []
    for x, n in zip(spot, pixels, strict=True):
        limits += [max(0, round(x) - half), min(n - 1, round(x) + half)]
    return "-roi {} {} {} {}".format(*limits)


@pytest.mark.parametrize("pixels", [64, 128, 256, 512, 1024])
def test_beam_centre_follows_the_size(pixels: int) -> None:
    """AT-PARALLEL-001: the beam is in the middle of detectors of any size."""
    line = a.words(
        "-cell 100 -default_F 100 -N 3 -lambda 6.2 -oversample 1", f"-detpixels {pixels} -pixel 0.1"
    )
    scene = g.scene_of(line)
    assert math.isclose(scene.placement.panel.Xbeam, (pixels + 1) / 2 * 1e-4, rel_tol=1e-12)
    middle = pixels / 2
    image = a.assert_theory(line, around((middle, middle), 24, (pixels, pixels)))
    slow, fast = a.strongest(image)
    assert abs(slow - middle) <= 2 and abs(fast - middle) <= 2


@pytest.mark.parametrize("pixel", [0.05, 0.1, 0.2, 0.4])
def test_pixel_size(pixel: float) -> None:
    """AT-PARALLEL-002: beam centre in pixels and places of peaks go with 1/pixel size."""
    line = a.words(CUBIC, f"-lambda 6.2 -distance 100 -detpixels 256 -Xbeam 10 -Ybeam 8 -pixel {pixel}")
    scene = g.scene_of(line)
    middle = 8 / pixel, 10 / pixel
    assert abs(scene.placement.panel.Fbeam / scene.panel.pixel[0] - 0.5 - middle[0]) < 0.1
    image = a.assert_theory(line, around(middle, 30, (256, 256)))
    slow, fast = a.strongest(image)
    assert abs(fast - middle[0]) <= 1 and abs(slow - middle[1]) <= 1
    # the spot one reciprocal spacing up: 2 theta from sin(theta) = lambda/2d, the crystal being nearly still
    shift = 100 * math.tan(2 * math.asin(6.2 / 200)) / pixel
    if middle[0] + shift + 4 < 256:
        peak = g.render([*line, *around((middle[0] + shift, middle[1]), 10, (256, 256)).split()])
        slow, fast = a.strongest(peak)
        assert abs((fast - middle[0]) / shift - 1) < 0.08


@pytest.mark.parametrize("pixels", [256, 512, 1024])
@pytest.mark.parametrize("centre", [(20, 20), (30, 40), (45, 25), (60, 60)])
def test_offset(centre: tuple[float, float], pixels: int) -> None:
    """AT-PARALLEL-003: the beam's spot stays where -Xbeam and -Ybeam put it, on and off the detector."""
    x, y = centre
    line = a.words(CUBIC, f"-lambda 6.2 -distance 100 -pixel 0.1 -detpixels {pixels} -Xbeam {x} -Ybeam {y}")
    spot = 10 * y, 10 * x  # fast, slow
    if max(spot) < pixels:
        image = a.assert_theory(line, around(spot, 20, (pixels, pixels)))
        slow, fast = a.strongest(image)
        assert abs(fast - spot[0]) <= 1 and abs(slow - spot[1]) <= 1
    else:
        a.assert_theory(line, around((pixels - 20, pixels - 20), 20, (pixels, pixels)))


def test_mosflm_half_pixel() -> None:
    """AT-PARALLEL-004: MOSFLM's centre is half a pixel from that of the other conventions."""
    line = "-detpixels 256 -pixel 0.1 -Xbeam 12.8 -Ybeam 11.3"
    spots = {}
    for convention in ("mosflm", "denzo", "adxv"):
        scene = g.scene_of(a.words(CUBIC, line, f"-{convention}"))
        spots[convention] = scene.placement.panel.Fbeam / 1e-4, scene.placement.panel.Sbeam / 1e-4
    assert np.allclose(np.subtract(spots["mosflm"], spots["denzo"]), 0.5, rtol=0, atol=1e-9)
    assert np.allclose(spots["adxv"], (128, 256 - 113), rtol=0, atol=1e-9)
    # XDS has its near point, and so the beam, in the middle: twice half a pixel from MOSFLM's
    xds = g.scene_of(a.words(CUBIC, "-detpixels 256 -xds")).placement.panel
    mosflm = g.scene_of(a.words(CUBIC, "-detpixels 256 -mosflm")).placement.panel
    assert np.allclose([mosflm.Fbeam - xds.Fbeam, mosflm.Sbeam - xds.Sbeam], 1e-4, rtol=1e-9)
    # one image in three ways, but for rounding
    wide = a.words(TRICLINIC, "-detpixels 64 -lambda 1.5")
    first = g.render([*wide, *["-mosflm", "-Xbeam", "3", "-Ybeam", "2"]])
    second = g.render([*wide, *["-denzo", "-Xbeam", "3.05", "-Ybeam", "2.05"]])
    g.assert_matches(second, first)


def test_beam_centre_parameters() -> None:
    """AT-PARALLEL-005: -Xbeam, -ORGX and -Xclose that mean one geometry give one image and one pivot."""
    line = a.words(TRICLINIC, "-detpixels 96 -pixel 0.1 -lambda 1.5 -xds -detector_roty 4 -twotheta 3")
    origin = g.render([*line, *["-ORGX", "31", "-ORGY", "57"]])
    a.assert_theory(line, "-ORGX 31 -ORGY 57")
    exact = [*line, "-physics", "exact"]
    by_origin = g.render([*exact, *["-ORGX", "31", "-ORGY", "57"]])
    by_close = g.render([*exact, *["-Xclose", "3.05", "-Yclose", "5.65"]])
    assert a.strongest(origin) == a.strongest(by_origin)
    g.assert_matches(by_close, by_origin)
    for words in ("-ORGX 31 -ORGY 57", "-Xclose 3.05 -Yclose 5.65"):
        geometry = g.scene_of([*exact, *words.split()]).placement.panel
        assert geometry.pivot == "sample"
        assert np.allclose((geometry.ORGX, geometry.ORGY), (31, 57), rtol=1e-12)
    # custom vectors equal to a convention's own
    custom = "-fdet_vector 0 0 1 -sdet_vector 0 -1 0 -odet_vector 1 0 0 -Xbeam 4.1 -Ybeam 3.2"
    wide = a.words(TRICLINIC, "-detpixels 96 -pixel 0.1 -lambda 1.5")
    g.assert_matches(
        g.render([*wide, *custom.split()]), g.render([*wide, *["-denzo", "-Xbeam", "3.2", "-Ybeam", "4.1"]])
    )


@pytest.mark.parametrize(
    "rotation", ["-detector_rotx 5", "-detector_roty 3", "-detector_rotz 2", "-twotheta 12"]
)
@pytest.mark.parametrize("convention", ["mosflm", "xds", "adxv", "denzo", "dials"])
def test_offset_and_rotation(convention: str, rotation: str) -> None:
    """AT-PARALLEL-005: a detector off centre and turned, in each convention."""
    line = a.words(TRICLINIC, f"-lambda 1.5 -distance 80 -pixel 0.2 -detpixels 64 -{convention} {rotation}")
    a.assert_theory(line, "-ORGX 20 -ORGY 30" if convention in ("xds", "dials") else "-Xbeam 4.1 -Ybeam 7.7")


@pytest.mark.parametrize("wavelength", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("distance", [50, 100, 200])
def test_single_reflection(distance: float, wavelength: float, folder: Path) -> None:
    """AT-PARALLEL-006: (0, 1, 0) of a cubic crystal, at Bragg's angle, is at 2 theta = 2 asin(lambda/2d)."""
    Path("one.hkl").write_text("0 1 0 100\n")
    theta = math.asin(wavelength / 200)
    # b* starts along y; a turn by theta about z puts it on the Ewald sphere of a beam along x
    words = "-hkl one.hkl -cell 100 -N 30 -nointerpolate -oversample 1 "
    words += f"-lambda {wavelength} -distance {distance} "
    words += f"-detpixels 256 -pixel 0.05 -Xbeam 6.4 -Ybeam 6.4 -misset 0 0 {math.degrees(theta)}"
    image = a.assert_theory(words)
    slow, fast = a.strongest(image)
    shift = distance * math.tan(2 * theta) / 0.05
    assert abs(fast - 128) <= 0.5
    assert abs(slow - (128 - shift)) <= 0.5 or abs(slow - (128 + shift)) <= 0.5
    # the centroid of the spot, to Bragg's law within 1 %
    box = image[max(slow - 12, 0) : slow + 13, fast - 12 : fast + 13].astype(float)
    centre = max(slow - 12, 0) + (box.sum(axis=1) @ np.arange(box.shape[0])) / box.sum()
    assert abs(abs(centre - 128) / shift - 1) <= 0.01


@pytest.mark.parametrize("twotheta", [0, 10])
def test_peaks_with_rotations(twotheta: float) -> None:
    """AT-PARALLEL-007: a turned detector, peak by peak and pixel by pixel."""
    turn = "-pivot beam -detector_rotx 5 -detector_roty 3 -detector_rotz 2"
    a.assert_theory(CUBIC, "-lambda 1 -pixel 0.1 -distance 100 -detpixels 256", turn, f"-twotheta {twotheta}")


def test_many_peaks() -> None:
    """AT-PARALLEL-008: a triclinic pattern on 512 x 512 pixels."""
    a.assert_theory(TRICLINIC, "-lambda 1.0 -detpixels 512 -pixel 0.1 -distance 100 -roi 0 511 120 330")


def test_intensity_scales() -> None:
    """AT-PARALLEL-009: I_max goes with N^6 and F^2."""

    def largest(N: int, F: float) -> float:
        line = "-cell 100 -lambda 6.2 -detpixels 256 -pixel 0.1 -distance 100 -oversample 1"
        image = a.assert_theory(line, f"-N {N} -default_F {F} -roi 108 148 108 148")
        slow, fast = a.strongest(image)
        return float(image[slow - 10 : slow + 11, fast - 10 : fast + 11].max())

    for slope, tolerance, x, y in (
        (6.0, 0.3, (1, 2, 3, 5, 10), [largest(N, 100) for N in (1, 2, 3, 5, 10)]),
        (2.0, 0.05, (50, 100, 200, 500), [largest(5, F) for F in (50, 100, 200, 500)]),
    ):
        fit = np.polynomial.Polynomial.fit(np.log(x), np.log(y), 1).convert()
        assert abs(fit.coef[1] - slope) <= tolerance
        assert np.corrcoef(np.log(x), np.log(y))[0, 1] ** 2 >= 0.99


@pytest.mark.parametrize("tilt", [0, 10, 20, 30])
def test_solid_angle_with_distance(tilt: float) -> None:
    """AT-PARALLEL-010: sums go with 1/R^2 for point pixels and with close_distance/R^3 otherwise."""
    for R in (50, 100, 200, 400):
        line = a.words(CUBIC, f"-lambda 1 -detpixels 128 -distance {R} -detector_rotz {tilt}")
        a.assert_theory(line, "-point_pixel")
        image = a.assert_theory(line)
        scene = g.scene_of(line)
        place = a.pixel_centres(scene)
        distance = np.sqrt((place**2).sum(axis=-1))
        point = g.render([*line, "-point_pixel"])
        bright = point > point.max() * 1e-6
        ratio = image[bright].astype(float) / point[bright]
        expected = (scene.panel.pixel[0] ** 2 * scene.panel.close_distance / distance)[bright]
        assert np.abs(ratio / expected - 1).max() <= 1e-6


@pytest.mark.parametrize("precision", a.PRECISIONS)
@pytest.mark.parametrize("name", ["simple_cubic_1024", "triclinic_P1_512", "cubic_tilted_1024"])
def test_top_peaks(name: str, precision: str) -> None:
    """AT-PARALLEL-012: the 50 brightest golden peaks have each a rendered one within half a pixel."""
    golden = g.reference(f"acceptance/{name}")["image"]
    image = render(g.scene_of(g.arguments(f"acceptance/{name}")), precision=precision).image
    assert image.dtype == np.float32
    assert a.correlation(image, golden) >= 0.999999
    # the tilted image has but 40 maxima above its 99.5th percentile: there, look further down for the rest
    percentile = 99.5 if len(a.local_maxima(golden)) >= 50 else 98
    wanted, found = a.local_maxima(golden, percentile)[:50], a.local_maxima(image, percentile)
    assert len(wanted) == 50
    nearest = [np.sqrt(((found - place) ** 2).sum(axis=1)).min() for place in wanted]
    assert sum(distance <= 0.5 for distance in nearest) == 50
    if precision == "double":
        g.assert_matches(image, golden)


def test_high_resolution() -> None:
    """AT-PARALLEL-012: 4096 x 4096 pixels of 50 um at 0.5 A, the middle of it."""
    line = "-lambda 0.5 -detpixels 4096 -pixel 0.05 -distance 500 -cell 100 -N 5 -default_F 100 -oversample 1"
    a.assert_theory(line, "-roi 1920 2175 1920 2175")


def test_mixed_units() -> None:
    """AT-PARALLEL-015: angstrom or eV, pixels or mm, N or sizes, mm or degrees: one image."""
    base = "-cell 70 80 90 75 85 95 -default_F 100 -oversample 1"
    first = g.render(a.words(base, "-lambda 1.3 -N 5 -detpixels 96 -pixel 0.1 -distance 100"))
    a.assert_theory(base, "-lambda 1.3 -N 5 -detpixels 96 -pixel 0.1 -distance 100")
    for other in (
        f"-energy {12398.42 / 1.3} -N 5 -detpixels 96",
        "-lambda 1.3 -Na 5 -Nb 5 -Nc 5 -detsize 9.6",
        "-wave 1.3 -xtal_x 0.0000345 -xtal_y 0.0000395 -xtal_z 0.0000445 -detpixels_x 96 -detpixels_y 96",
        "-lambda 1.3 -N 5 -detpixels 96 -close_distance 100",
        "-lambda 1.3 -N 5 -detpixels 96 -misset 360 0 -360 -phi 720",
    ):
        g.assert_matches(g.render(a.words(base, other)), first)


@pytest.mark.parametrize(
    "line",
    [
        "-cell 100 -N 1 -lambda 0.1 -distance 10 -detpixels 128 -pixel 0.05",
        "-cell 300 -N 10 -lambda 6 -distance 100 -detpixels 1024 -pixel 0.1 -roi 440 580 440 580",
        "-cell 300 -N 10 -lambda 6 -distance 100 -detpixels 1024 -pixel 0.1 -roi 0 100 900 1023",
        "-cell 100 -N 5 -lambda 1 -distance 10000 -detpixels 256 -pixel 0.2",
        "-cell 3 -N 100 -lambda 0.02 -distance 1 -detpixels 64 -pixel 0.02",
        "-cell 2000 -N 2 -lambda 20 -distance 2000 -detpixels 64 -pixel 1",
    ],
)
def test_extreme_scales(line: str) -> None:
    """AT-PARALLEL-016: tiny and huge cells, wavelengths and distances."""
    a.assert_theory("-default_F 100 -oversample 1", line)


def test_long_distance_golden() -> None:
    """AT-PARALLEL-016: the reference's image at 10 m, and of 1000 unit cells."""
    a.assert_golden("geometry/long_distance")
    a.assert_golden("crystal/N_large")


@pytest.mark.parametrize(
    "line",
    [
        "-detector_roty 50 -twotheta 25",
        "-detector_roty 60",
        "-detector_rotz 70",
        "-detector_rotx 47 -detector_roty 52",
        "-twotheta 65",
        "-twotheta 85",
        "-detector_roty 89.9",
        "-xds -twotheta 75 -detector_rotx 10",
        "-detector_roty 120",
    ],
)
def test_grazing_incidence(line: str) -> None:
    """AT-PARALLEL-017: detectors tilted by more than 45 degrees and swung by more than 60."""
    image = a.assert_theory(TRICLINIC, "-lambda 1.5 -detpixels 96", line)
    assert np.isfinite(image).all()


def test_grazing_incidence_golden() -> None:
    """AT-PARALLEL-017: the reference's image."""
    a.assert_golden("geometry/steep_tilt")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-misset 0 0 0",
        "-misset 90 0 0",
        "-misset 0 90 0",
        "-misset 0 0 90",
        "-misset 180 180 180",
        "-phi 0 -osc 0",
        "-phi 90",
        "-phi 180",
        "-phi -90",
        "-osc 360 -phisteps 4",
        "-mosaic 0 -mosaic_dom 5",
        "-N 1",
        "-detector_rotx 0 -detector_roty 0 -detector_rotz 0 -twotheta 0",
        "-polar 1",
        "-polar -1",
    ],
)
def test_boundaries(line: str) -> None:
    """AT-PARALLEL-018: aligned axes and zero angles: finite, and continuous next to them."""
    words = a.words("-cell 100 100 100 90 90 90 -default_F 100 -lambda 1 -oversample 1 -detpixels 96")
    # the beam hits the centre of a pixel, which so is exactly at h = k = l = 0
    words += a.words("-Xbeam 4.7 -Ybeam 4.7", "-N 5" if "-N" not in line.split() else "", line)
    scene = g.scene_of(words)
    image = cpu.render_double(scene)
    assert np.isfinite(image).all() and image.max() > 0
    if "-N 1" not in line:
        place = a.pixel_centres(scene)
        spot = np.unravel_index(np.argmin((place[..., 1:] ** 2).sum(axis=-1)), image.shape)
        assert np.abs(place[spot][1:]).max() < 1e-12
        expected = a.UNIT * 100**2 * 125**2 * scene.panel.pixel[0] ** 2 / 0.1**2
        assert math.isclose(image[spot], expected, rel_tol=1e-9)
    near = cpu.render_double(
        g.scene_of([*words, "-lambda", "1.00000001", "-phi", f"{1e-7 + math.degrees(scene.placement.phi0)}"])
    )
    assert np.abs(near - image).max() <= 1e-4 * image.max()


def test_comprehensive() -> None:
    """AT-PARALLEL-020: mosaicity, rotation, tilts, absorption and polarization together."""
    a.assert_golden("sampling/comprehensive_AT020")
    words = g.arguments("sampling/comprehensive_AT020")
    words[words.index("-detpixels") + 1] = "512"
    a.assert_theory(words, "-roi 200 260 230 280")


def test_phi_rotation() -> None:
    """AT-PARALLEL-021: a quarter turn in one step and in nine."""
    for case_id in (
        "osc_1step",
        "osc_9steps_phi0",
        "phi_45",
        "osc_default_steps",
        "phistep",
        "phisteps_only",
    ):
        a.assert_golden(f"crystal/{case_id}")
    line = a.words(CUBIC, "-lambda 6.2 -detpixels 256 -pixel 0.1 -distance 100 -roi 100 155 100 155")
    a.assert_theory(line, "-phi 0 -osc 90 -phisteps 1")
    nine = a.assert_theory(line, "-phi 0 -osc 90 -phisteps 9")
    single = [g.render([*line, "-phi", str(10 * i)]) for i in range(9)]
    assert np.abs(np.mean(single, axis=0) - nine).max() <= 1e-6 * nine.max()


@pytest.mark.parametrize("steps", [1, 9])
def test_phi_and_detector_rotation(steps: int) -> None:
    """AT-PARALLEL-022: crystal and detector turned together."""
    line = "-lambda 1.5 -detpixels 128 -detector_rotx 5 -detector_roty 3 -detector_rotz 2 -twotheta 10"
    image = a.assert_theory(CUBIC, line, f"-phi 0 -osc 90 -phisteps {steps}")
    assert image.sum() > 0
    a.assert_golden("crystal/phi_mosaic")


@pytest.mark.parametrize("cell", [CUBIC, TRICLINIC])
@pytest.mark.parametrize(
    "misset", ["0.0 0.0 0.0", "10.5 0.0 0.0", "0.0 10.25 0.0", "0.0 0.0 9.75", "15.0 20.5 30.25"]
)
def test_misset(misset: str, cell: str) -> None:
    """AT-PARALLEL-023: right-handed rotations about x, then y, then z, of the reciprocal axes."""
    line = a.words(cell, "-lambda 1.5 -detpixels 256 -pixel 0.1 -distance 100")
    a.assert_theory(line, f"-misset {misset} -roi 60 190 70 180")
    turned, straight = (g.scene_of([*line, *w]) for w in (["-misset", *misset.split()], []))
    matrix = a.rot_xyz(*map(float, misset.split()))
    first, second = (s.crystal.orientations[0] for s in (turned, straight))
    assert np.allclose(first, second @ matrix.T, rtol=0, atol=1e-21)


@pytest.mark.parametrize("case_id", ["triclinic_misset", "mat_file_misset", "misset_random_12345"])
def test_misset_golden(case_id: str) -> None:
    """AT-PARALLEL-023: the reference's images."""
    a.assert_golden(f"crystal/{case_id}")


def test_random_misset() -> None:
    """AT-PARALLEL-024: the reference's orientation for a seed, again and again; another for another seed."""
    images = {}
    for seed in (12345, 54321):
        images[seed] = a.assert_golden(f"crystal/misset_random_{seed}")
        again = g.render(g.arguments(f"crystal/misset_random_{seed}"))
        assert np.array_equal(again, images[seed])
        printed = g.BY_ID[f"crystal/misset_random_{seed}"]["values"]["misset_deg"]
        found = g.scene_of(g.arguments(f"crystal/misset_random_{seed}")).placement.crystal.misset_deg
        assert np.allclose(found, printed, rtol=0, atol=6e-7)
    assert a.correlation(*images.values()) <= 0.7


def test_random_misset_of_exact_physics() -> None:
    """AT-PARALLEL-024: exact physics draws orientations uniformly over all rotations."""
    matrices = []
    for seed in range(1, 401):
        scene = g.scene_of(
            f"-cell 10 -default_F 1 -detpixels 1 -misset random -misset_seed {seed} -physics exact"
        )
        matrices.append(scene.crystal.orientations[0] * 1e9)
    R = np.array(matrices)
    assert np.allclose(np.linalg.det(R), 1) and np.allclose(R @ R.transpose(0, 2, 1), np.eye(3))
    n = len(R)
    # every element has mean 0 and variance 1/3; the trace, 1 + 2 cos(angle), has mean 0 and variance 1
    assert np.abs(R.mean(axis=0)).max() < 4.5 * math.sqrt(1 / 3 / n)
    assert abs(np.trace(R, axis1=1, axis2=2).mean()) < 4.5 / math.sqrt(n)
    assert np.abs((R**2).mean(axis=0) - 1 / 3).max() < 4.5 * math.sqrt((1 / 5 - 1 / 9) / n)


def test_exact_mosaicity() -> None:
    """AT-PARALLEL-024: exact physics spreads domains isotropically with the spread as standard deviation."""
    line = "-cell 10 -default_F 1 -detpixels 1 -mosaic 2 -mosaic_dom 4000"
    R = g.scene_of(a.words(line, "-physics exact")).placement.crystal.mosaic_rotations
    angle = np.degrees(np.arccos(np.clip((np.trace(R, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    # of the rotation about every axis: the mean of angle^2 is three times its square
    assert abs(np.sqrt((angle**2).mean() / 3) / 2 - 1) < 1e-6
    # on request, of the angle
    words = a.words(line, "-physics exact -mosaic_kind angle")
    R = g.scene_of(words).placement.crystal.mosaic_rotations
    angle = np.degrees(np.arccos(np.clip((np.trace(R, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert abs(np.sqrt((angle**2).mean()) / 2 - 1) < 5 / math.sqrt(2 * 4000)
    axis = np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1)[1:]
    axis /= np.linalg.norm(axis, axis=1)[:, None]
    assert np.abs(axis.mean(axis=0)).max() < 5 * math.sqrt(1 / 3 / 4000)
    assert np.abs((axis**2).mean(axis=0) - 1 / 3).max() < 5 * math.sqrt((1 / 5 - 1 / 9) / 4000)
    # the usual physics keeps every domain within the cap, the first unturned
    R = g.scene_of(line).placement.crystal.mosaic_rotations
    assert np.array_equal(R[0], np.eye(3))
    angle = np.degrees(np.arccos(np.clip((np.trace(R, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angle.max() <= 2 + 1e-5 and angle.max() > 1.9


@pytest.mark.parametrize("case_id", g.IDS)
def test_strongest_pixel(case_id: str, folder: Path) -> None:
    """AT-PARALLEL-025: the strongest pixel is the reference's, or one of them where several are equal."""
    g.prepare(case_id, folder)
    golden = g.reference(case_id)["image"]
    image = g.render(g.arguments(case_id))
    top = golden.max() - np.spacing(golden.max())
    assert golden[a.strongest(image)] >= top and image[a.strongest(golden)] >= image.max() - np.spacing(
        image.max()
    )
    if (golden >= top).sum() == 1:
        assert a.strongest(image) == a.strongest(golden)


def test_strongest_pixel_of_one_cell() -> None:
    """AT-PARALLEL-025: a single cell at 1 A on 64 x 64 pixels."""
    line = (
        "-cell 100 -lambda 1 -N 1 -default_F 100 -detpixels 64 -pixel 0.1 -distance 100 -Xbeam 2.2 -Ybeam 4.1"
    )
    image = a.assert_theory(line)
    # strongest nearest the sample, where the beam hits: half a pixel from the centre MOSFLM is given
    assert a.strongest(image) in {(22, 41)}


def test_triclinic_position() -> None:
    """AT-PARALLEL-026: absolute position of the strongest peak of a triclinic crystal."""
    image = a.assert_golden("crystal/triclinic_AT026")
    assert a.strongest(image) == a.strongest(g.reference("crystal/triclinic_AT026")["image"])
    wide = "-cell 70 80 90 85 95 105 -default_F 100 -lambda 1.5 -N 1 -distance 150 -pixel 0.1 -detpixels 256"
    a.assert_theory(wide)


def test_exact_triclinic_cell() -> None:
    """AT-PARALLEL-026: exact physics has the cell it is given, the usual one is slightly off."""
    line = "-cell 70 80 90 75 85 95 -default_F 1 -detpixels 1"

    def cell(line: str) -> list[float]:
        vectors = g.scene_of(line).crystal.orientations[0] * 1e10
        lengths = np.linalg.norm(vectors, axis=1)
        gram = vectors @ vectors.T / np.outer(lengths, lengths)
        return [*lengths, *np.degrees(np.arccos([gram[1, 2], gram[0, 2], gram[0, 1]]))]

    assert np.allclose(cell(line + " -physics exact"), [70, 80, 90, 75, 85, 95], rtol=1e-12)
    assert np.allclose(cell(line), [70, 80, 90, 75.0391, 85.0136, 95.0081], rtol=1e-6)


def test_different_structure_factors(folder: Path) -> None:
    """AT-PARALLEL-027: intensities of peaks go with F^2, reflection by reflection."""
    a.assert_golden("hkl/pattern_AT027")
    rows = {
        (0, 0, 0): 100.0,
        (0, 1, 0): 25.0,
        (0, 0, 1): 50.0,
        (0, 1, 1): 12.5,
        (0, 0, 2): 200.0,
        (0, 2, 0): 150.0,
    }
    Path("pattern.hkl").write_text("\n".join(f"{hkl[0]} {hkl[1]} {hkl[2]} {F}" for hkl, F in rows.items()))
    base = "-cell 100 -lambda 6.2 -N 5 -detpixels 64 -pixel 0.5 -distance 100 -oversample 1"
    line = a.words(base, "-hkl pattern.hkl")
    a.assert_theory(line)
    scene = g.scene_of(line)
    place = a.pixel_centres(scene)
    q = (place / np.sqrt((place**2).sum(axis=-1))[..., None] - scene.sources.incident[0]) / 6.2e-10
    index = np.rint(q @ scene.crystal.orientations[0].T).astype(int)
    listed, uniform = cpu.render_double(scene), a.double(base, "-default_F 1")
    for hkl, F in rows.items():
        here = (index == hkl).all(axis=-1)
        assert here.any(), hkl
        assert np.abs(listed[here] / (F**2 * uniform[here]) - 1).max() <= 1e-12
    elsewhere = ~np.any([(index == hkl).all(axis=-1) for hkl in rows], axis=0)
    assert elsewhere.any() and (listed[elsewhere] == 0).all()


def test_peak_of_a_turned_crystal() -> None:
    """AT-PARALLEL-021: a turning crystal meets Bragg's condition at the angle theory gives."""
    theta = math.degrees(math.asin(1.5 / (2 * 50)))  # (0, 2, 0) of 100 A
    base = (
        "-cell 100 -lambda 1.5 -N 20 -detpixels 200 -pixel 0.1 -distance 100 -Xbeam 10 -Ybeam 10 -default_F 1"
    )
    slow = 100 - 1000 * math.tan(2 * math.radians(theta))

    def spot(phi: float) -> float:
        image = a.double(base, f"-oversample 1 -phi {phi}", around((100, slow), 8, (200, 200)))
        return -float(image.sum())

    best = optimize.minimize_scalar(spot, bounds=(theta - 1, theta + 1), method="bounded")
    assert abs(best.x - theta) < 0.02

"""What the reference program's formulas change of an image is said once, where they do (canonical 11)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbragg.cli.nanobragg import main
from nbragg.io.images import smv

#: nothing of it is a quirk
BASE = (
    "-cell 60 70 80 -misset 5 10 15 -N 4 -default_F 100 -detpixels 32 -pixel 2 -distance 60 -noprogress "
    "-nonoise -nopgm -seed 1"
)
ONCE = "-oversample_omega -oversample_polar -oversample_thick"
SENSOR = "-detector_thick 900 -detector_abs 400"

#: photons at the fronts of layers, which any sensor that absorbs has
FRONTS = "since sensor layers have their photons at their fronts"

#: quirk -> (words, what is said, in as many lines)
QUIRKS = {
    "triclinic cell": ("-oversample 1 -cell 60 70 80 75 85 95", "the triclinic cell is distorted (c* by"),
    "omega": ("-oversample 3 -nopolar", "solid angle is taken once for a pixel"),
    "polarization": (f"-oversample 3 {ONCE.replace('-oversample_polar', '')}", "polarization is taken once"),
    "sources": ("-oversample 1 -hdivrange 20 -hdivsteps 3", "polarization is taken once for a pixel"),
    "capture": (
        f"-oversample 1 {SENSOR} -oversample_omega -nopolar",
        "capture is taken once for a pixel",
        FRONTS,
    ),
    "layers": (
        f"-oversample 1 {SENSOR} -thicksteps 3 {ONCE}",
        "3 sensor layers reach 1.5 times as deep",
        FRONTS,
    ),
    "fronts": (f"-oversample 1 {SENSOR} {ONCE}", FRONTS),
    "phi": ("-oversample 1 -osc 5 -phisteps 4", "that of its start, 0.625 deg behind its middle"),
    "weights": ("-oversample 1 -nopolar -sourcefile weights.src", "weights differ and are ignored"),
    "random misset": ("-oversample 1 -misset random -misset_seed 3", "random misset is not uniform"),
    "mosaic": ("-oversample 1 -mosaic 2 -mosaic_domains 5", "mosaic domains fill a cap"),
    "gauss": ("-oversample 1 -gauss_xtal", "gauss spots have"),
    "tophat": ("-oversample 1 -tophat_spots", "tophat spots have"),
    "water": ("-oversample 1 -water 5 -fluence 1e24", "water is multiplied by 7.941e-06"),
    "curved": ("-oversample 1 -curved_det -twotheta 10", "bent along laboratory y and z"),
    "interpolation": (
        "-oversample 1 -hkl box.hkl -interpolate -dump /dev/null",
        "interpolation was switched off",
    ),
    "pivot": ("-oversample 1 -xds -pivot beam -twotheta 10", "pivot 'beam' is lost"),
    "near point": ("-oversample 1 -xds -Xclose 20", "Xclose_mm has no effect on the image"),
    "pix0_vector": (
        "-oversample 1 -pix0_vector 0.06 0.02 -0.02",
        "pix0_vector_m has no effect but to select",
    ),
    "header": ("-oversample 1 -img twotheta.img", "TWOTHETA=7 in the header of twotheta.img is not used"),
}

#: words with which what might be a quirk changes nothing
SILENT = {
    "nothing": "-oversample 1",
    "a monoclinic cell": "-oversample 1 -cell 60 70 80 90 100 90",
    "factors for every sample": f"-oversample 3 {ONCE}",
    "one domain": "-oversample 1 -mosaic 2 -mosaic_domains 1",
    "a sensor that does not absorb": f"-oversample 1 {SENSOR} -detector_abs inf {ONCE}",
    "a rotation of no range": "-oversample 1 -osc 0 -phistep 2 -phisteps 3",
    "equal weights": "-oversample 1 -nopolar -sourcefile equal.src",
    "round crystals": "-oversample 1 -round_xtal",
}


@pytest.fixture(autouse=True)
def inputs(folder: Path) -> None:
    """Sources, a list that is too short for the detector, and an image with a two-theta angle."""
    (folder / "weights.src").write_text("-10 0 0 1 1e-10\n-10 0.2 0 3 1e-10\n")
    (folder / "equal.src").write_text("-10 0 0 2 1e-10\n-10 0.2 0 2 1e-10\n")
    rows = [
        f"{h} {k} {m} {10 + h + k + m}" for h in range(-3, 4) for k in range(-9, 10) for m in range(-9, 10)
    ]
    (folder / "box.hkl").write_text("\n".join(rows) + "\n")
    header = (
        "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=32;\nSIZE2=32;\n"
        "PIXEL_SIZE=2;\nDISTANCE=60;\nWAVELENGTH=1;\nTWOTHETA=7;\n}\f"
    )
    smv.write("twotheta.img", np.ones((32, 32), np.uint16), header.encode().ljust(512))


def run(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[np.ndarray, list[str]]:
    """The image, and the lines on stderr."""
    capsys.readouterr()
    assert main(f"{BASE} {words}".split()) == 0
    return np.fromfile("floatimage.bin", "<f4"), told(capsys)


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on stderr, but for the one that there are too few sub-pixels, which is no quirk."""
    return [line for line in capsys.readouterr().err.splitlines() if "recommended for a crystal" not in line]


@pytest.mark.parametrize("name", QUIRKS)
def test_said_once_and_changes_the_image(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, *said = QUIRKS[name]
    kept, warned = run(words, capsys)
    assert len(warned) == len(said) and all(map(str.__contains__, warned, said)), warned
    assert all("exact" in line for line in warned), "what to do about it"
    exact, quiet = run(f"{words} -physics exact", capsys)
    assert quiet == []
    assert np.abs(kept - exact).max() > 1e-4 * exact.max()


@pytest.mark.parametrize("name", SILENT)
def test_silent_where_nothing_changes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept, warned = run(SILENT[name], capsys)
    exact, quiet = run(f"{SILENT[name]} -physics exact", capsys)
    assert warned == quiet == []
    np.testing.assert_allclose(kept, exact, rtol=1e-5, atol=1e-6 * exact.max())


def test_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each in a line of its own, none twice, whatever the number of images."""
    words = f"-cell 60 70 80 75 85 95 -oversample 2 -mosaic 1 -gauss_xtal -water 3 {SENSOR} -thicksteps 4"
    assert main(f"{BASE} {words} -osc 1 -frames 3".split()) == 0
    warned = told(capsys)
    assert len(warned) == len(set(warned)) == 8
    assert all("as in the reference program, " in line for line in warned)


@pytest.mark.parametrize("words", ["-osc 2 -phisteps 1", "-osc 3", "-phistep 0.8", "-osc 1 -phistep 0.4"])
def test_phi_behind(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is told is the angle by which the spindle has to be turned back to get the same image."""
    kept, warned = run(f"-oversample 1 -phi 20 {words}", capsys)
    behind = float(warned[0].split("that of its start, ")[1].split(" deg behind")[0])
    exact, _ = run(f"-oversample 1 -phi {20 - behind} {words} -physics exact", capsys)
    np.testing.assert_allclose(kept, exact, rtol=1e-5, atol=1e-6 * exact.max())


@pytest.mark.parametrize(
    ("words", "depths", "weighed"),
    [
        ("", [0, 450], False),  # um, of a sensor of 900
        ("-thicksteps 4", [0, 300, 600, 900], False),
        ("-oversample_thick", [0, 450], True),
        ("-oversample_thick -roi 8 31 16 31", [0, 450], True),
        ("-oversample_thick -thicksteps 5 -detector_abs 80", [0, 225, 450, 675, 900], True),
    ],
)
def test_shift_by_layers(
    words: str, depths: list[float], weighed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pixels that are told, against the mean depth by a sum over the sensor, at the farthest corner."""
    _, warned = run(f"-oversample 1 -xds -ORGX 16.5 -ORGY 16.5 {SENSOR} {words}", capsys)
    line = next(line for line in warned if FRONTS in line)
    attenuation = 80.0 if "80" in words else 400.0
    # 32 pixels of 2 mm about the beam, 60 mm away; the corner is as far in both regions
    tangent = 32 * np.sqrt(2) / 60
    slant = np.sqrt(1 + tangent**2)
    z = (np.arange(200_000) + 0.5) * 900 / 200_000
    true = np.average(z, weights=np.exp(-z * slant / attenuation))
    kept = np.average(depths, weights=np.exp(-np.array(depths) * slant / attenuation) if weighed else None)
    said = float(line.split("spots lie up to ")[1].split(" pixels")[0])
    assert f"too far {'out' if kept > true else 'in'}" in line
    assert said == pytest.approx(abs(kept - true) * tangent / 2000, rel=6e-3)  # three digits are told


def test_factor_of_water(capsys: pytest.CaptureFixture[str]) -> None:
    """The image of water alone is that of the exact physics times the factor that is told."""
    dark = "-default_F 1e-9 -N 1 -oversample 1 -water 5 -fluence 1e26 -polar 0.3"
    kept, warned = run(dark, capsys)
    exact, _ = run(f"{dark} -physics exact", capsys)
    factor = float(warned[0].split("water is multiplied by ")[1].split(",")[0])
    np.testing.assert_allclose(kept, exact * factor, rtol=1e-3)

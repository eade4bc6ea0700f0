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

#: quirk -> (words, what is said)
QUIRKS = {
    "triclinic cell": ("-oversample 1 -cell 60 70 80 75 85 95", "the triclinic cell is distorted (c* by"),
    "omega": ("-oversample 3 -nopolar", "solid angle is taken once for a pixel"),
    "polarization": (f"-oversample 3 {ONCE.replace('-oversample_polar', '')}", "polarization is taken once"),
    "sources": ("-oversample 1 -hdivrange 20 -hdivsteps 3", "polarization is taken once for a pixel"),
    "capture": (f"-oversample 1 {SENSOR} -oversample_omega -nopolar", "capture is taken once for a pixel"),
    "layers": (f"-oversample 1 {SENSOR} -thicksteps 3 {ONCE}", "3 sensor layers reach 1.5 times as deep"),
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
    "a sensor of the default layers": f"-oversample 1 {SENSOR} {ONCE}",
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
    words, said = QUIRKS[name]
    kept, warned = run(words, capsys)
    assert len(warned) == 1 and said in warned[0], warned
    assert "exact" in warned[0], "what to do about it"
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
    assert len(warned) == len(set(warned)) == 6
    assert all("as in the reference program, " in line for line in warned)


def test_factor_of_water(capsys: pytest.CaptureFixture[str]) -> None:
    """The image of water alone is that of the exact physics times the factor that is told."""
    dark = "-default_F 1e-9 -N 1 -oversample 1 -water 5 -fluence 1e26 -polar 0.3"
    kept, warned = run(dark, capsys)
    exact, _ = run(f"{dark} -physics exact", capsys)
    factor = float(warned[0].split("water is multiplied by ")[1].split(",")[0])
    np.testing.assert_allclose(kept, exact * factor, rtol=1e-3)

"""Images of nonBragg.c by its own command line: ``nbragg background`` makes them again (beyond 12.11)."""

from __future__ import annotations

import shlex
from pathlib import Path

import golden_beyond
import numpy as np
import pytest

from nbragg.analysis.background import pixel_factors
from nbragg.base.errors import NbraggWarning
from nbragg.cli import nonbragg
from nbragg.cli.tools import main
from nbragg.cli.words import scan
from nbragg.io.files.text_tables import read_curve
from nbragg.io.images import smv

SHIPPED = Path(nonbragg.__file__).parents[1] / "data"
IMAGES = [
    case["id"]
    for case in golden_beyond.CASES.values()
    if case["id"].startswith("background/")
    # the value depends on the pixel before; no images
    and case["id"] not in ("background/unsorted", "background/extract_oversample")
]


def words_of(case: str, folder: Path) -> list[str]:
    """A case's command line, with the files it reads as they are here."""
    text = golden_beyond.CASES[case]["args"].replace("{in}", str(golden_beyond.FOLDER / "inputs"))
    words = shlex.split(text)
    for i, word in enumerate(words):
        name = Path(word).name
        if name in ("water.stol", "air.stol"):  # are part of the package
            words[i] = str(SHIPPED / name)
        if name == "holes.stol":  # a missing F is an error here, and 0 in the reference program
            rows = read_curve(word, missing=0.0)
            words[i] = str(folder / name)
            np.savetxt(words[i], rows, fmt="%.17g")
    return words


@pytest.mark.parametrize("case", IMAGES)
def test_image(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each pixel to 1e-6 of itself and of the maximum."""
    words = [*words_of(case, folder), "-nonoise", "-nopgm", "-noprogress", "-intfile", "int.img"]
    assert main(["background", *words]) == 0, capsys.readouterr().err
    golden = golden_beyond.array(f"{case}.float")
    image = np.fromfile("floatimage.bin", np.float32).reshape(golden.shape)
    assert np.abs(image - golden).max() <= 1e-6 * np.abs(golden).max()
    assert (np.abs(image - golden) <= 1e-6 * np.abs(golden)).all()


@pytest.mark.parametrize(("case", "too_large"), [("extract", 1.0), ("extract_oversample", 2.0)])
def test_table_of_an_image(case: str, too_large: float, folder: Path) -> None:
    """What the reference makes of every pixel: mean and deviation of the roots by the nearest row.

    It sums in float and prints 6 digits.  With sub-pixels it takes the last one, and F is too large by the
    root of their number.
    """
    words = words_of(f"background/{case}", folder)
    command = nonbragg.build(nonbragg.settings_of(scan(words, nonbragg.TABLE)))
    assert command.background is not None
    values = smv.read(command.extract["image"]).pixels.astype(float)
    beam, detector = command.setup.beam, command.setup.detector
    if case == "extract_oversample":  # a quarter of a pixel along fast and slow
        detector = detector.replace(shift_mm=(0, -0.2, 0.2))
    s, per_intensity = pixel_factors(beam, detector, like=command.sample)
    y = (values - 40) / per_intensity
    roots = np.sign(y) * np.sqrt(np.abs(y))
    rows = command.background.rows[:, 0]
    nearest = np.abs(s[..., np.newaxis] - rows).argmin(axis=-1)
    golden = golden_beyond.array(f"background/{case}.stolout")
    assert len(golden) == 10
    for at, mean, deviation, _, _, count in golden:
        pixels = roots[nearest == np.abs(rows - at).argmin()]
        assert len(pixels) == count
        assert pixels.mean() * too_large == pytest.approx(mean, rel=6e-6)
        assert pixels.std() * too_large == pytest.approx(deviation, rel=6e-6)


def test_table_written_by_the_tool(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of the table that was given, the mean of the intensities of each."""
    words = words_of("background/extract", folder)
    options = ["-nonoise", "-nopgm", "-noprogress", "-statistic", "mean"]
    assert main(["background", *words, *options]) == 0, capsys.readouterr().err
    found = np.loadtxt("out.stol")
    golden = golden_beyond.array("background/extract.stolout")
    assert np.allclose(found[:, 0], golden[:, 0], rtol=1e-5)
    assert (found[:, 3] == golden[:, 5]).all()
    # the root of the mean is the mean of the roots and their scatter
    assert np.allclose(found[:, 1], np.hypot(golden[:, 1], golden[:, 2]), rtol=2e-3)


def test_weights_are_those_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Used as they are, divided by the number of sources: mean 2 makes twice the photons."""
    line = shlex.split("-stol unity -distance 100 -detpixels 8 -nonoise -nopgm -noprogress -nopolar")
    images = []
    for weights in ((1, 1), (1, 3)):
        text = "".join(f"-10 0 0 {weight}\n" for weight in weights)
        Path("sources.txt").write_text(text)
        assert main(["background", *line, "-sourcefile", "sources.txt"]) == 0, capsys.readouterr().err
        images.append(np.fromfile("floatimage.bin", np.float32))
    assert np.allclose(images[1], 2 * images[0], rtol=1e-6)


def test_unsorted_rows_are_sorted(folder: Path) -> None:
    """Beyond 12.2: with a warning that says where."""
    inputs = golden_beyond.FOLDER / "inputs"
    with pytest.warns(NbraggWarning, match=r"shortwater\.stol: rows are not .* order, the first at line 7"):
        rows = read_curve(inputs / "shortwater.stol")
    assert np.array_equal(rows, read_curve(inputs / "shortwater_sorted.stol"))

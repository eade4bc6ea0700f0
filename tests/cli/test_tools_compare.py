"""``nb-compare`` (AT-TOOLS-001): figures, files and exit statuses; a stand-in plays the reference program."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbragg.analysis.comparison import compare, resample
from nbragg.cli.compare import main
from nbragg.io.images import raw

ARGS = "-default_F 100 -cell 50 60 70 -misset 1 2 3 -N 4 -detpixels_x 12 -detpixels_y 10 -pixel 1"

STAND_IN = f"""#!{sys.executable}
import os, sys
import numpy as np
words = sys.argv[1:]
fault = os.environ.get("STAND_IN", "")
if fault == "fails":
    print("something is wrong", file=sys.stderr)
    sys.exit(3)
if fault == "shape":
    words[words.index("-detpixels_x") + 1] = "24"
    words[words.index("-detpixels_y") + 1] = "20"
    words[words.index("-pixel") + 1] = "0.5"
from nbragg.cli.nanobragg import main
status = main(words)
path = words[words.index("-floatfile") + 1]
if fault == "silent":
    os.remove(path)
elif fault == "bare":
    os.remove(words[words.index("-intfile") + 1])
elif fault == "truncated":
    os.truncate(path, 44)
elif fault in ("differs", "nan"):
    image = np.fromfile(path, "<f4")
    image[:7] = float("nan") if fault == "nan" else image.max() * np.arange(7)
    image.tofile(path)
sys.exit(status)
"""


@pytest.fixture
def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called nanoBragg in the current folder, which is ours in disguise."""
    path = folder / "nanoBragg"
    path.write_text(STAND_IN)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("NB_C_BIN", raising=False)
    monkeypatch.delenv("STAND_IN", raising=False)
    return path


def result(parent: str = "comparisons") -> tuple[Path, dict[str, Any]]:
    (folder,) = Path(parent).iterdir()
    return folder, json.loads((folder / "summary.json").read_text())


def test_equal_images(stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--save-diff", "--", *ARGS.split()]) == 0
    out = capsys.readouterr().out
    for word in ("runtime", "correlation", "MSE", "RMSE", "max difference", "sum", "sum ratio", "passed"):
        assert word in out
    folder, summary = result()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", folder.name)
    images = ["c_float.bin", "py_float.bin", "c.png", "py.png", "diff.bin", "diff.png"]
    texts = ["c_stdout.txt", "c_stderr.txt", "py_stdout.txt", "py_stderr.txt", "summary.json"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(images + texts)
    assert "unit cell" in (folder / "py_stdout.txt").read_text()
    assert summary["args"] == ARGS.split() and summary["passed"] and not summary["resampled"]
    assert summary["c"]["shape"] == summary["py"]["shape"] == [10, 12]
    assert summary["c"]["seconds"] > 0 and summary["py"]["seconds"] > 0
    figures = summary["comparison"]
    assert figures["correlation"] == 1 and figures["rmse"] == 0 and figures["sum_ratio"] == 1
    assert figures["sum"] == figures["reference_sum"] > 0
    # nothing else is left behind
    assert sorted(os.listdir()) == ["comparisons", "nanoBragg"]


def test_below_the_threshold(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAND_IN", "differs")
    assert main(["--outdir", "a", "--", *ARGS.split()]) == 3
    assert "NOT passed" in capsys.readouterr().out
    folder, summary = result("a")
    image = raw.read_float(folder / "py_float.bin", (10, 12)).astype(float)
    reference = raw.read_float(folder / "c_float.bin", (10, 12)).astype(float)
    figures = summary["comparison"]
    assert figures["correlation"] == pytest.approx(
        np.corrcoef(image.ravel(), reference.ravel())[0, 1], abs=1e-12
    )
    assert figures["mse"] == pytest.approx(((image - reference) ** 2).mean())
    assert figures["rmse"] == pytest.approx(figures["mse"] ** 0.5)
    assert figures["max_difference"] == abs(image - reference).max()
    assert (figures["max_slow"], figures["max_fast"]) == divmod(int(abs(image - reference).argmax()), 12)
    assert figures["sum_ratio"] == pytest.approx(image.sum() / reference.sum())
    assert main(["--outdir", "b", "--threshold", "-1", "--", *ARGS.split()]) == 0
    # the first seven pixels of row 0 are wrong, the rest is not
    assert main(["--outdir", "c", "--roi", "0", "11", "1", "9", "--", *ARGS.split()]) == 0
    assert result("c")[1]["comparison"]["pixels"] == 108


def test_shapes_differ(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAND_IN", "shape")
    assert main(["--outdir", "a", "--", *ARGS.split()]) == 4
    assert "--resample" in capsys.readouterr().err
    assert result("a")[1]["error"] == "shapes differ"
    assert main(["--outdir", "b", "--threshold", "-1", "--resample", "--", *ARGS.split()]) == 0
    summary = result("b")[1]
    assert summary["resampled"] and summary["comparison"]["pixels"] == 480
    assert summary["comparison"]["sum_ratio"] == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("fault", ["fails", "silent", "nan"])
def test_a_program_fails(
    fault: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAND_IN", fault)
    assert main(["--", *ARGS.split()]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    if fault == "fails":
        assert "status 3" in err and "something is wrong" in err


def test_our_program_fails(stand_in: Path, folder: Path) -> None:
    ours = folder / "broken"
    ours.write_text("#!/bin/sh\nexit 1\n")
    ours.chmod(0o755)
    assert main(["--py-bin", "./broken", "--", *ARGS.split()]) == 2


def test_file_faults(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("in the way")
    assert main(["--outdir", "file", "--", *ARGS.split()]) == 5
    monkeypatch.setenv("STAND_IN", "truncated")
    assert main(["--", *ARGS.split()]) == 5
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_reference_without_integer_image(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A square float image tells its own shape; another cannot be placed."""
    monkeypatch.setenv("STAND_IN", "bare")
    assert main(["--outdir", "a", "--", *ARGS.split()]) == 2
    assert main(["--outdir", "b", "--", *ARGS.replace("_x 12", "_x 10").split()]) == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--"],
        ["--save-diff"],
        ["--roi", "1", "2", "3", "--", "-N", "1"],
        ["--roi", "5", "2", "3", "4", "--", "-N", "1"],
        ["--threshold", "2", "--", "-N", "1"],
        ["--threshold", "nan", "--", "-N", "1"],
        ["--png-scale", "0", "--", "-N", "1"],
        ["--c-bin", "./missing", "--", "-N", "1"],
        ["--py-bin", "./missing", "--", "-N", "1"],
        ["--what", "--", "-N", "1"],
        ["stray", "--", "-N", "1"],
    ],
)
def test_usage(words: list[str], stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert os.listdir() == ["nanoBragg"]


def test_roi_beyond_the_image_is_usage(stand_in: Path) -> None:
    assert main(["--roi", "0", "50", "0", "5", "--", *ARGS.split()]) == 1


def test_where_the_reference_is_looked_for(
    stand_in: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Option, then NB_C_BIN, then ./nanoBragg."""
    (folder / "elsewhere").mkdir()
    moved = stand_in.rename(folder / "elsewhere" / "reference")
    assert main(["--", *ARGS.split()]) == 1
    assert "nanoBragg" in capsys.readouterr().err
    monkeypatch.setenv("NB_C_BIN", str(moved))
    assert main(["--outdir", "a", "--", *ARGS.split()]) == 0
    monkeypatch.setenv("NB_C_BIN", "/missing")
    assert main(["--outdir", "b", "--c-bin", "elsewhere/reference", "--", *ARGS.split()]) == 0
    assert result("b")[1]["c"]["command"][0] == str(moved)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    text = capsys.readouterr().out
    names = ("outdir", "roi", "threshold", "resample", "png-scale", "save-diff", "c-bin", "py-bin")
    assert all(f"--{name}" in text for name in names) and "NB_C_BIN" in text


@pytest.mark.skipif(not os.environ.get("NB_C_BIN"), reason="NB_C_BIN names no reference program")
def test_against_the_reference(folder: Path) -> None:
    words = "-default_F 100 -cell 50 60 70 -misset 1 2 3 -N 4 -detpixels 64 -pixel 0.5 -mosaic 1"
    assert main(["--threshold", "0.999999", "--", *words.split()]) == 0
    figures = result()[1]["comparison"]
    assert abs(figures["sum_ratio"] - 1) < 1e-6
    assert figures["max_difference"] < 1e-6 * figures["reference_max"]
    assert os.listdir() == ["comparisons"]


# ---- the figures ----


def test_resampling_keeps_the_photons() -> None:
    image = np.random.default_rng(1).random((13, 9))
    for shape in ((26, 18), (5, 4), (13, 9), (1, 1), (20, 3)):
        other = resample(image, shape)
        assert other.shape == shape and other.sum() == pytest.approx(image.sum())
    assert np.allclose(resample(image, (13, 9)), image)
    doubled = resample(image, (26, 18))
    assert np.allclose(doubled.reshape(13, 2, 9, 2).sum(axis=(1, 3)), image)


def test_correlation_of_odd_images() -> None:
    flat, ramp = np.ones((3, 4)), np.arange(12.0).reshape(3, 4)
    assert compare(flat, flat).correlation == 1.0
    assert compare(flat, ramp).correlation == 0.0
    assert compare(0 * flat, ramp).sum_ratio == 0.0
    assert compare(ramp, 0 * flat).sum_ratio is None
    assert compare(0 * flat, 0 * flat).sum_ratio == 1.0
    assert compare(-ramp, ramp).correlation == pytest.approx(-1)
    assert compare(1e-200 * ramp, 3e-200 * ramp).correlation == pytest.approx(1)

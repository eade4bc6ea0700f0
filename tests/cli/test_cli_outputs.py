"""Names of files: suffixes, a dump file left behind, older files; and how many scenes are built."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg.cli import tools
from nbragg.cli.nanobragg import main
from nbragg.cli.parser import _age
from nbragg.io.reflections import dump as fdump
from nbragg.scene import build as scene_build
from nbragg.simulation import simulator

TINY = "-cell 50 60 70 -misset 3 5 7 -oversample 1 -default_F 9 -detpixels 12 -N 3 -fluence 1e26 -seed 3"
PEPTIDE = Path(__file__).parents[1] / "data" / "5e5z.pdb"


@pytest.fixture(autouse=True)
def in_folder(folder: Path) -> None:
    """Every test runs in an empty directory."""


def names() -> list[str]:
    return sorted(os.listdir("."))


@pytest.mark.parametrize("option", ["-floatfile", "-intfile", "-pgmfile", "-noisefile"])
@pytest.mark.parametrize("suffix", [".cbf", ".nxs", ".h5", ".TIF", ".npy", ".png"])
def test_another_formats_suffix_is_refused(
    option: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY.split(), option, f"n{suffix}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"nanobragg: error: {option} n{suffix}: this file is ") and err.count("\n") == 1
    assert f"-save n{suffix}" in err and ("nbragg noise" in err) == (option == "-noisefile")
    assert names() == []
    assert main([*TINY.split(), "-random", "2", option, f"n{suffix}"]) == 2
    assert names() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-floatfile f.img", "-floatfile f.img will hold raw float32 pixels, whatever its suffix: .bin"),
        ("-intfile i.bin", "-intfile i.bin will hold an SMV image, whatever its suffix: .img"),
        ("-pgmfile p.bin", "-pgmfile p.bin will hold a PGM picture, whatever its suffix: .pgm"),
        ("-noisefile n.pgm", "-noisefile n.pgm will hold an SMV image, whatever its suffix: .img"),
        ("-floatfile f.dat -intfile i -pgmfile p.txt -noisefile n.smv", ""),
    ],
)
def test_the_references_suffixes_are_only_warned_of(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"{TINY} {words}".split()) == 0
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == bool(said) and said in "".join(warned)
    assert set(words.split()[1::2]) <= set(names())


def test_a_dump_file_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    """It changes the image of a command without a list, which is told; /dev/null keeps it away."""
    assert main(TINY.split()) == 0
    alone = Path("floatimage.bin").read_bytes()
    assert capsys.readouterr().err == ""
    fdump.write("Fdump.bin", np.full((9, 9, 9), 3.0), (-4, -4, -4))
    three_days = time.time() - 3 * 86400 - 60
    os.utime("Fdump.bin", (three_days, three_days))
    assert main(TINY.split()) == 0
    (warned,) = capsys.readouterr().err.splitlines()
    assert "those of Fdump.bin in this folder, 3 days old" in warned and "-dump /dev/null" in warned
    changed = Path("floatimage.bin").read_bytes()
    assert changed != alone
    assert main(f"{TINY} -dump /dev/null".split()) == 0
    assert capsys.readouterr().err == "" and Path("floatimage.bin").read_bytes() == alone
    # named on the line it is meant
    assert main(f"{TINY} -dump Fdump.bin".split()) == 0
    assert capsys.readouterr().err == "" and Path("floatimage.bin").read_bytes() == changed
    assert main(["-cell", "50", "-N", "3", "-dump", "/dev/null"]) == 2
    assert "-dump is set aside" in capsys.readouterr().err


def test_no_dump_is_written_to_nowhere() -> None:
    Path("p.hkl").write_text("0 0 0 100\n0 0 1 50\n0 1 0 25\n")
    assert main(f"{TINY} -hkl p.hkl -dump /dev/null -nopgm -nonoise".split()) == 0
    assert names() == ["floatimage.bin", "intimage.img", "p.hkl"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (7199, "1 hour"),
        (7200, "2 hours"),
        (86400, "1 day"),
        (3e7, "347 days"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert _age(seconds) == text


def test_every_command_replaces_files() -> None:
    saved = [f"s.{suffix}" for suffix in ("cbf", "nxs", "h5", "tif", "npy", "png")]
    for name in (*saved, "floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img"):
        Path(name).write_text("older")
    assert main(f"{TINY} {' '.join(f'-save {name}' for name in saved)}".split()) == 0
    assert all(Path(name).read_bytes() != b"older" for name in names())
    for name in ("m.mat", "n.img", "p.png", "t.txt", "l.mtz"):
        Path(name).write_text("older")
    Path("l.hkl").write_text("0 0 1 5\n")
    line = ["--", *TINY.split()]
    for words in (
        ["orient", "m.mat", "--cell", "50"],
        ["noise", "floatimage.bin", "-o", "n.img", *line],
        ["show", "intimage.img", "-o", "p.png"],
        ["trace", "1", "2", "-o", "t.txt", *line],
        ["hkl", "l.hkl", "l.mtz", "--cell", "50", "60", "70", "90", "90", "90"],
    ):
        assert tools.main(words) == 0, words
    assert all(Path(name).read_bytes() != b"older" for name in names())


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert "-default_F" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["-version", "--version"])
def test_version(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"nanobragg {nbragg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "scenes"),
    [
        ("", 1),
        ("-printout_pixel 3 4", 1),
        (f"-hkl {PEPTIDE} -dmin 3", 1),
        ("-random 3", 1 + 3),
        ("-frames 4 -osc 1", 1 + 4),
    ],
)
def test_scenes_built(words: str, scenes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for a still; for a series the one that is reported, and one for each image."""
    made = []

    def counted(*arguments: Any) -> Any:
        made.append(arguments)
        return make_scene(*arguments)

    make_scene = scene_build.make_scene
    for module in (scene_build, simulator):
        monkeypatch.setattr(module, "make_scene", counted)
    assert main(f"{TINY} -nopgm -nonoise {words}".split()) == 0
    assert len(made) == scenes

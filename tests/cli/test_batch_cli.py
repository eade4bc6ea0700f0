"""-frames and -random: several images from one command line."""

from __future__ import annotations

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg.base.vectors import rot_xyz
from nbragg.cli.series import _interrupts
from nbragg.io.images import read_image, smv
from nbragg.simulation.saving import numbered

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

BASE = shlex.split(
    "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -detpixels 24 -fluence 1e26 -noprogress -oversample 1"
)


def images(pattern: str) -> list[np.ndarray]:
    return [np.fromfile(path, "<f4").reshape(24, 24) for path in sorted(Path().glob(pattern))]


def test_frames(folder: Path) -> None:
    """Consecutive rotations; each image and header as of a run of its own."""
    words = [*BASE, "-phi", "3", "-osc", "0.5", "-phisteps", "4", "-seed", "5"]
    assert g.run_cli([*words, "-frames", "3"]) == 0
    assert {p.name for p in folder.iterdir()} == {
        f"{stem}_{i:04d}{suffix}"
        for i in (1, 2, 3)
        for stem, suffix in (
            ("floatimage", ".bin"),
            ("intimage", ".img"),
            ("image", ".pgm"),
            ("noiseimage", ".img"),
        )
    }
    for i in range(3):
        single = [
            "-phi",
            str(3 + 0.5 * i),
            "-seed",
            str(5 + i),
            "-floatfile",
            "one.bin",
            "-intfile",
            "one.img",
        ]
        assert g.run_cli([*words, *single, "-noisefile", "noise.img", "-pgmfile", "one.pgm"]) == 0
        for one, many in (
            ("one.bin", "floatimage.bin"),
            ("one.img", "intimage.img"),
            ("noise.img", "noiseimage.img"),
        ):
            assert Path(one).read_bytes() == Path(numbered(many, i + 1, 3)).read_bytes()


def test_frames_of_a_resolved_range(folder: Path) -> None:
    """-phisteps alone means a range of 1 degree (canonical 6)."""
    assert g.run_cli([*BASE, "-phisteps", "2", "-frames", "2", "-nonoise", "-nopgm"]) == 0
    assert float(smv.read("intimage_0002.img").header["PHI"]) == 1.0


def test_random(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*BASE, "-nonoise", "-nopgm", "-floatfile", "r.bin", "-intfile", "r.img"]
    assert g.run_cli([*words, "-random", "3", "-misset_seed", "9"]) == 0
    report = capsys.readouterr().out
    assert "r_orientations.csv" in report and "seed 9" in report and "r_0003.bin" in report
    with open("r_orientations.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["r_0001.bin", "r_0002.bin", "r_0003.bin"]
    setup = nbragg.from_cli(BASE)
    turns = nbragg.random_orientations(3, seed=9)
    for row, turn, image in zip(rows, turns, images("r_*.bin"), strict=True):
        matrix = np.array([float(row[f"U{i}{j}"]) for i in "123" for j in "123"]).reshape(3, 3)
        assert np.array_equal(matrix, turn)
        crystal = setup.crystal.with_orientation(turn)
        assert np.array_equal(image, nbragg.simulate(setup.replace(crystal=crystal)).image)
        # each of the three records gives the image back
        misset = tuple(float(row[f"misset_{x}_deg"]) for x in "xyz")
        a_matrix = np.array([float(row[f"{axis}star_{x}"]) for axis in "abc" for x in "xyz"]).reshape(3, 3).T
        header = smv.read(f"r_000{row['image']}.img").header
        in_header = tuple(float(header[f"MISSET_{x}"]) for x in "XYZ")
        for form in (misset, a_matrix, in_header):
            again = nbragg.simulate(setup.replace(orientation=form)).image
            np.testing.assert_allclose(again, image, atol=1e-6 * image.max())


def test_orientations_say_their_frame(folder: Path) -> None:
    """In the imgCIF frame A is turned as the images are: beam along -z, spindle along +x."""
    words = [*BASE, "-nonoise", "-nopgm", "-random", "2", "-misset_seed", "9"]
    tables = {}
    for frame in ("laboratory", "imgcif"):
        assert g.run_cli([*words, "-orientation_frame", frame]) == 0
        with open("floatimage_orientations.csv", newline="") as stream:
            tables[frame] = list(csv.DictReader(stream))
        assert {row["frame"] for row in tables[frame]} == {frame}
    panel = nbragg.build_scene(nbragg.from_cli(BASE)).placement.panel
    for here, there in zip(tables["laboratory"], tables["imgcif"], strict=True):
        for axis in "abc":
            star = [np.array([float(row[f"{axis}star_{x}"]) for x in "xyz"]) for row in (here, there)]
            assert star[0] @ panel.spindle == pytest.approx(star[1][0], abs=1e-12)
            assert star[0] @ panel.beam_vector == pytest.approx(-star[1][2], abs=1e-12)
        u = np.array([float(there[f"U{i}{j}"]) for i in "123" for j in "123"]).reshape(3, 3)
        misset = rot_xyz(np.eye(3), *(np.radians(float(there[f"misset_{x}_deg"])) for x in "xyz")).T
        np.testing.assert_allclose(u, misset, atol=1e-12)
        assert np.linalg.det(u) == pytest.approx(1.0)


def test_a_frame_without_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(nbragg.NbraggWarning, match="no effect without -random"):
        nbragg.from_cli([*BASE, "-orientation_frame", "imgcif"])


def test_random_repeats_by_seed(folder: Path) -> None:
    words = [*BASE, "-nonoise", "-nopgm", "-random", "2"]
    for name, seeds in (
        ("a", ["-seed", "4"]),
        ("b", ["-misset_seed", "4", "-seed", "1"]),
        ("c", ["-seed", "1"]),
    ):
        assert g.run_cli([*words, *seeds, "-floatfile", f"{name}.bin"]) == 0
    assert np.array_equal(images("a_0*.bin"), images("b_0*.bin"))
    assert not np.array_equal(images("a_0*.bin"), images("c_0*.bin"))


def test_the_dump_file_is_written_once(folder: Path) -> None:
    g.prepare("hkl/pattern_AT027", folder)
    words = [*g.arguments("hkl/pattern_AT027"), "-noprogress", "-nonoise", "-nopgm"]
    assert g.run_cli([*words, "-random", "2", "-seed", "1"]) == 0
    assert {p.name for p in folder.glob("*dump*")} == {"Fdump.bin"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-frames 3", "-osc"),
        ("-frames 0 -osc 1", "expected 1 to 1000000"),
        ("-random -2", "expected 1 to 1000000"),
        ("-random 2 -frames 2 -osc 1", "one of them"),
        ("-random 2 -printout_pixel 1 1", "leave out -random"),
        ("-random 2 -floatfile nowhere/x.bin", "nowhere"),
        ("-random 2 -hkl floatimage_0002.bin", "floatimage_0002.bin"),
        ("-random 2.5", "whole number"),
    ],
)
def test_bad_series(words: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "-hkl" in words:
        Path("floatimage_0002.bin").write_text("0 0 1 5\n1 0 0 4\n")
    before = sorted(folder.iterdir())
    assert g.run_cli([*BASE, *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_other_formats_are_numbered_too(folder: Path) -> None:
    assert g.run_cli([*BASE, "-random", "2", "-seed", "1", "-save", "a.npy", "-save", "b.tif"]) == 0
    saved = [np.load(f"a_000{i}.npy") for i in (1, 2)]
    assert np.array_equal(saved, images("floatimage_0*.bin"))
    recipe = read_image("b_0002.tif").metadata["recipe"]
    turn = nbragg.random_orientations(2, seed=1)[1]
    assert np.array_equal(recipe["crystal"]["orientation"], turn)


def test_misset_with_random_warns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert g.run_cli([*BASE, "-random", "1", "-misset", "1", "2", "3"]) == 0
    assert "-misset has no effect" in capsys.readouterr().err


def test_numbering() -> None:
    assert numbered("a/b.c/image.img", 7, 20) == "a/b.c/image_0007.img"
    assert numbered("image", 7, 20) == "image_0007"
    assert numbered("image.img", 7, 20_000) == "image_00007.img"
    assert numbered("/dev/null", 7, 20) == "/dev/null"


def test_interrupt_leaves_whole_images(folder: Path) -> None:
    words = shlex.split(
        "-cell 70 -default_F 9 -N 9 -detpixels 1200 -oversample 1 -mosaic 1 -mosaic_domains 60"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "nbragg",
            *words,
            "-random",
            "500",
            "-nonoise",
            "-nopgm",
            "-intfile",
            "/dev/null",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 50
    while not Path("floatimage_0002.bin").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    files = list(folder.glob("floatimage_*.bin"))
    stopped = re.search(r"interrupted: stopped at image (\d+) of 500; those before it are complete", err)
    assert stopped and int(stopped[1]) - 1 <= len(files) <= int(stopped[1])
    assert {p.stat().st_size for p in files} == {4 * 1200 * 1200}
    assert Path("floatimage_orientations.csv").read_text().count("\n") == 501


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_is_raised_after_all() -> None:
    """One that falls into the callback of a weak reference, of which h5py has many, stops nothing itself."""

    class Thing:
        pass

    def gone(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), _interrupts() as check:
            thing = Thing()
            reference = weakref.ref(thing, gone)
            check()
            del thing
            assert reference() is None  # reached: the interrupt was dropped
            check()
    finally:
        signal.signal(signal.SIGINT, previous)

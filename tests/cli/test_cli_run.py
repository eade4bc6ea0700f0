"""The command itself: files, report, exit status, interrupts, full disks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nbragg
from nbragg.cli.nanobragg import main
from nbragg.io.images import raw, smv
from nbragg.io.reflections import dump as fdump

#: no quirk of the reference program shows, so nothing is said
TINY = "-cell 50 60 70 -misset 3 5 7 -oversample 1 -default_F 100 -detpixels 24 -N 3 -fluence 1e26 -seed 3"
COMMAND = [sys.executable, "-m", "nbragg"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(nbragg.__file__).parents[1])}


@pytest.fixture(autouse=True)
def in_folder(folder: Path) -> None:
    """Every test runs in an empty directory."""


def names() -> list[str]:
    return sorted(os.listdir("."))


def run(words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND + words.split(), capture_output=True, text=True, env=ENVIRONMENT, check=False
    )


def test_files_and_report(capsys: pytest.CaptureFixture[str]) -> None:
    """AT-CLI-002: a minimal render."""
    assert main(TINY.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert names() == ["floatimage.bin", "image.pgm", "intimage.img", "noiseimage.img"]
    image = raw.read_float("floatimage.bin", (24, 24))
    integers = smv.read("intimage.img")
    assert integers.header["SIZE1"] == "24" and integers.header["TYPE"] == "unsigned_short"
    assert integers.pixels.max() == 55040
    assert smv.read("noiseimage.img").header == integers.header
    assert Path("image.pgm").read_bytes().startswith(b"P5\n24 24\n# pixels scaled by ")
    for part in ("unit cell", "reciprocal cell", "fast axis", "Xbeam Ybeam", "ORGX ORGY", "rmsd", "fluence"):
        assert part in out
    found = re.search(r"max_I +(\S+)", out)
    assert found and float(found.group(1)) == pytest.approx(image.max(), rel=1e-5)


def test_same_as_python() -> None:
    assert main(TINY.split()) == 0
    crystal = nbragg.Crystal(
        cell=(50, 60, 70, 90, 90, 90),
        misset_deg=(3, 5, 7),
        N=(3, 3, 3),
        structure_factors=nbragg.StructureFactors.constant(100),
    )
    result = nbragg.simulate(
        crystal,
        nbragg.Beam(fluence=1e26),
        nbragg.Detector(fpixels=24, spixels=24),
        nbragg.Sampling(oversample=1),
        physics="nanobragg",
    )
    assert np.array_equal(raw.read_float("floatimage.bin", (24, 24)), result.image)
    assert np.array_equal(smv.read("noiseimage.img").pixels, result.noise(seed=3).pixels)


def test_header_bytes() -> None:
    """AT-IO-001: the values of the golden case geometry/mosflm_center."""
    words = (
        "-default_F 100 -cell 70 80 90 75 85 95 -N 5 -lambda 1.5 -distance 100 -pixel 0.1 -detpixels 96"
        " -misset 10 20 30 -mosflm -nonoise -nopgm"
    )
    assert main(words.split()) == 0
    content = Path("intimage.img").read_bytes()
    assert len(content) == 512 + 2 * 96 * 96
    expected = (
        "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=96;\nSIZE2=96;\n"
        "PIXEL_SIZE=0.1;\nDISTANCE=100;\nWAVELENGTH=1.5;\nBEAM_CENTER_X=4.85;\nBEAM_CENTER_Y=4.85;\n"
        "ADXV_CENTER_X=4.9;\nADXV_CENTER_Y=4.7;\nMOSFLM_CENTER_X=4.85;\nMOSFLM_CENTER_Y=4.85;\n"
        "DENZO_X_BEAM=4.9;\nDENZO_Y_BEAM=4.9;\nDIALS_ORIGIN=-4.9,4.9,-100\nXDS_ORGX=49.5;\nXDS_ORGY=49.5;\n"
        "CLOSE_DISTANCE=100;\nPHI=0;\nOSC_START=0;\nOSC_RANGE=0;\nTWOTHETA=0;\nDETECTOR_SN=000;\n"
        "BEAMLINE=fake;\n}\f"
    )
    assert content[:512] == expected.encode().ljust(512)


def test_long_header_says_its_length() -> None:
    """Numbers of full length do not fit into 512 bytes; the header then says 1024."""
    words = (
        "-fdet_vector 0.123 0.456 0.789 -sdet_vector -0.9 0.333 0.111 -Xbeam -0.00123457 -Ybeam -0.000987654"
        " -distance 123.4567 -pixel 0.0123457 -lambda 1.234567 -phi -1.23457e-5 -osc 1.23457e-05"
        " -twotheta 1.234567e-5"
    )
    assert main(f"{TINY} -nopgm -nonoise {words}".split()) == 0
    frame = smv.read("intimage.img")
    assert frame.pixels.shape == (24, 24)
    assert frame.header["HEADER_BYTES"] in ("512", "1024")


def test_dump_is_written_and_reused() -> None:
    """AT-IO-003."""
    Path("p.hkl").write_text("0 0 0 100\n1 0 0 50\n0 1 0 25\n")
    base = "-cell 100 -lambda 6 -N 5 -detpixels 24 -nonoise -nopgm -default_F 3"
    assert main(f"{base} -hkl p.hkl -floatfile a.bin".split()) == 0
    values, origin = fdump.read("Fdump.bin")
    assert origin == (0, 0, 0)
    assert values[:, :, 0].tolist() == [[100.0, 25.0], [50.0, 3.0]]
    assert main(f"{base} -floatfile b.bin".split()) == 0
    assert Path("a.bin").read_bytes() == Path("b.bin").read_bytes()


def test_roi_and_mask_in_files() -> None:
    """Outside the roi the integer image is 0, a masked pixel is the offset (canonical 10.2)."""
    pixels = np.ones((24, 24), np.uint16)
    pixels[6, 7] = 0
    assert main(f"{TINY} -nonoise -nopgm -intfile seed.img".split()) == 0
    smv.write("mask.img", pixels, Path("seed.img").read_bytes()[:512])
    assert main(f"{TINY} -mask mask.img -roi 5 10 6 12 -nonoise -nopgm -distance 100".split()) == 0
    integers = smv.read("intimage.img").pixels
    assert integers[6, 7] == 40
    inside = np.zeros((24, 24), bool)
    inside[6:13, 5:11] = True
    assert (integers[~inside] == 0).all() and (integers[inside] >= 40).all()


@pytest.mark.parametrize("words", ["", "-N 5", "-cell 50"])
def test_usage(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: nanobragg") and "nanobragg: error: no" in err
    assert names() == []


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """AT-CLI-001."""
    for words in (["-h"], ["-help"], ["--help"], [*TINY.split(), "-h"]):
        assert main(words) == 0
        assert "-default_F" in capsys.readouterr().out
    for word in ("-version", "--version"):
        assert main([word]) == 0
        assert capsys.readouterr().out == f"nanobragg {nbragg.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        "-distanc 5",
        "-lambda",
        "-lambda x",
        "-lambda nan",
        "-cell 1 1 1 10 10 90",
        "-roi 0 99 0 9",
        "-floatfile no/a",
        "-hkl none.hkl",
        "-device abacus",
        "-intfile floatimage.bin",
    ],
)
def test_bad_input(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """AT-CLI-009: one line on stderr, status 2, nothing written."""
    assert main([*TINY.split(), *words.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith("nanobragg: error: ") and err.count("\n") == 1
    assert names() == []


def test_render_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY.split(), "-fluence", "1e300"]) == 1
    assert "nanobragg: error: " in capsys.readouterr().err
    assert names() == []


def test_warnings_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY.split(), "-pivot", "sample", "-stol", "x"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(text.startswith("nanobragg: warning: ") for text in lines)


def test_full_disk_keeps_the_old_files() -> None:
    for name in ("floatimage.bin", "intimage.img"):
        Path(name).write_text("old")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500));"
        "from nbragg.cli.nanobragg import main; sys.exit(main(sys.argv[1:]))"
    )
    # the first file (1444 bytes) fits, the second (512 + 1152) does not
    words = f"{TINY} -detpixels 19 -detpixels_y 19 -detpixels_x 19 -nopgm -nonoise".split()
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "-detpixels", "24"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr and done.stderr.startswith("nanobragg: error: ")
    assert names() == ["floatimage.bin", "intimage.img"]
    assert Path("floatimage.bin").read_text() == Path("intimage.img").read_text() == "old"


def test_interrupt() -> None:
    words = f"{TINY} -detpixels 3000 -oversample 40".split()
    process = subprocess.Popen(
        COMMAND + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True
    )
    assert process.stdout is not None
    # the report is flushed before rendering starts
    while "noise seed" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - start < 2.0
    assert err.splitlines()[-1] == "nanobragg: interrupted: no image was written"
    assert names() == []


@pytest.mark.slow
def test_progress_bar_on_a_terminal_only() -> None:
    pty = pytest.importorskip("pty")
    words = f"{TINY} -detpixels 500 -oversample 24 -threads 1 -physics exact -nonoise -nopgm".split()

    def shown(extra: list[str]) -> bytes:
        here, there = pty.openpty()
        process = subprocess.Popen(
            COMMAND + words + extra, stdout=subprocess.DEVNULL, stderr=there, env=ENVIRONMENT
        )
        os.close(there)
        output = b""
        try:  # read while it runs: a terminal holds a few kilobytes and then makes the program wait
            while part := os.read(here, 65536):
                output += part
        except OSError:  # what Linux says at the end
            pass
        os.close(here)
        assert process.wait() == 0
        return output

    assert b"px" in shown([])
    assert shown(["-noprogress"]) == b""
    assert "px" not in run(" ".join(words)).stderr


def test_closed_report_pipe() -> None:
    process = subprocess.Popen(
        COMMAND + TINY.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=20) == 1

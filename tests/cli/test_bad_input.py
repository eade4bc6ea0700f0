"""Bad input on the command line: status 2 and a message from the program, nothing written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import acceptance as a
import golden_cases as g
import pytest
from bad_input import GOOD, assert_refused, contents, write_smv

NUMBERS = """
    -lambda -energy -distance -close_distance -pixel -detsize -Xbeam -ORGY -detector_rotx -twotheta
    -detector_thick -mosaic -phi -osc -dispersion -hdivrange -polar -fluence -flux -exposure -beamsize
    -default_F -fudge -dmin -water -scale -adc -pgmscale -xtalsize -N -detpixels -oversample -seed -phisteps
""".split()  # noqa: SIM905 - a list of 34 lines is no easier to read

LINES = {
    # unknown option: the nearest one is named
    "unknown": ("-lamda 1.2", "-lamda", "-lambda"),
    "unknown pixel": ("-detpixel 10", "-detpixel", "-detpixels"),
    "unknown far": ("-zzzzqqq", "-zzzzqqq"),
    "stray word": ("hello", "hello"),
    "stray number": ("-lambda 1 2", '"2"'),
    # without its value, or with text for a number
    "no value at end": ("-lambda", "-lambda"),
    "no value before option": ("-lambda -N 3", "-lambda", "-N"),
    "too few values": ("-roi 1 2 3", "-roi"),
    "too few components": ("-beam_vector 1 0", "-beam_vector"),
    "text": ("-lambda one", "-lambda", "one"),
    "text for int": ("-detpixels 3.5", "-detpixels", "3.5"),
    "text for int 2": ("-oversample many", "-oversample", "many"),
    "python spelling": ("-distance 1_00", "-distance", "1_00"),
    "text in cell": ("-cell 50 abc", "abc"),
    "no cell": ("-cell -N 3", "-cell"),
    "text in misset": ("-misset chaos", "-misset", "chaos"),
    "pivot": ("-pivot crystal", "-pivot", "crystal"),
    "physics": ("-physics right", "-physics", "right"),
    "empty file name": ("-floatfile ''", "-floatfile"),
    # NaN or infinity
    **{
        f"{value} {option}": (f"{option} {value}", option, value)
        for value in ("nan", "inf", "-inf", "1e999")
        for option in NUMBERS
    },
    "nan vector": ("-fdet_vector 0 nan 1", "-fdet_vector", "nan"),
    "nan misset": ("-misset 1 2 nan", "-misset", "nan"),
    "nan cell": ("-cell 50 60 nan", "nan"),
    "nan roi": ("-roi 0 nan 0 3", "-roi", "nan"),
    "nan depth": ("-detector_abs nan", "-detector_abs", "nan"),
    # impossible cell
    "angles too small": ("-cell 50 60 70 30 30 120", "angles", "30, 30, 120"),
    "angles too large": ("-cell 50 60 70 120 120 120", "angles"),
    "angle 0": ("-cell 50 60 70 90 0 90", "angles"),
    "angle 180": ("-cell 50 60 70 90 180 90", "angles"),
    "angle negative": ("-cell 50 60 70 90 90 -90", "angles"),
    "length 0": ("-cell 50 0 70", "length", "positive"),
    "length negative": ("-cell -50", "length", "positive"),
    "singular": ("-mat singular.mat", "singular|volume|independent"),
    "zero matrix": ("-mat zero.mat", "singular|volume|independent"),
    # matrix file
    "matrix missing": ("-mat absent.mat", "absent.mat", "No such file"),
    "matrix short": ("-mat short.mat", "short.mat", "nine|9"),
    "matrix empty": ("-mat empty.mat", "empty.mat", "nine|9"),
    "matrix text": ("-mat text.mat", "text.mat", "o.o2"),
    "matrix nan": ("-mat nan.mat", "nan.mat"),
    "matrix folder": ("-mat .", "directory|folder"),
    # list file
    "list missing": ("-hkl absent.hkl", "absent.hkl", "does not exist"),
    "list empty": ("-hkl empty.hkl", "empty.hkl"),
    "list blank": ("-hkl blank.hkl", "blank.hkl"),
    "list text": ("-hkl text.hkl", "text.hkl", "line 3"),
    "list short": ("-hkl short.hkl", "short.hkl", "line 2"),
    "list nan": ("-hkl nan.hkl", "nan.hkl", "line 2"),
    "list inf": ("-hkl inf.hkl", "inf.hkl", "line 1"),
    "list fraction": ("-hkl fraction.hkl", "fraction.hkl", "line 2"),
    "list huge": ("-hkl huge.hkl", r"\d (TB|PB|EB|GB)|bytes", "list|-hkl"),
    "list overflow": ("-hkl overflow.hkl", "overflow.hkl", "line 2"),
    "list folder": ("-hkl .", "is not a file"),
    # dump file
    "dump truncated": ("-dump truncated.bin", "truncated.bin", "truncated"),
    "dump longer": ("-dump longer.bin", "longer.bin"),
    "dump ranges": ("-dump ranges.bin", "ranges.bin"),
    "dump inverted": ("-dump inverted.bin", "inverted.bin"),
    "dump text": ("-dump text.bin", "text.bin"),
    "dump empty": ("-dump empty.bin", "empty.bin"),
    "dump nan": ("-dump nan.bin", "nan.bin"),
    # mask and header
    "mask size": ("-mask good.img -detpixels 9", "mask", "8 x 8", "9 x 9"),
    "mask size f": ("-mask good.img -detpixels_x 9", "mask", "9 x 8"),
    "mask truncated": ("-mask truncated.img", "truncated.img", "truncated"),
    "img truncated": ("-img truncated.img", "truncated.img", "truncated"),
    "mask text": ("-mask text.img", "text.img", "SMV"),
    "img text": ("-img text.img", "text.img", "SMV"),
    "mask no bytes": ("-mask nobytes.img", "nobytes.img", "SMV"),
    "mask short": ("-mask short.img", "short.img", "truncated|SMV"),
    "mask empty": ("-mask empty.img", "empty.img"),
    "mask order": ("-mask order.img", "order.img", "BYTE_ORDER", "middle_endian"),
    "img order": ("-img order.img", "order.img", "BYTE_ORDER"),
    "img size": ("-img size.img", "size.img", "SIZE1"),
    "img negative": ("-img negative.img", "negative.img", "SIZE2"),
    "img no size": ("-img nosize.img", "nosize.img", "SIZE1"),
    "img wavelength": ("-img wavelength.img", "wavelength"),
    "img nan": ("-img nan.img", "nan.img", "WAVELENGTH"),
    "img pixel": ("-img pixel.img", "pixel"),
    "mask missing": ("-mask absent.img", "absent.img", "No such file"),
    "img and mask sizes": ("-mask good.img -img other.img", "mask", "8 x 8"),
    # source file
    "source zero": ("-sourcefile zero.src", "zero.src", "line 2", "zero"),
    "source wavelength": ("-sourcefile wavelength.src", "wavelength.src", "line 2", "wavelength"),
    "source negative": ("-sourcefile negative.src", "negative.src", "line 1"),
    "source text": ("-sourcefile text.src", "text.src", "line 2"),
    "source nan": ("-sourcefile nan.src", "nan.src", "line 1"),
    "source empty": ("-sourcefile empty.src", "empty.src"),
    "source comments": ("-sourcefile comments.src", "comments.src"),
    "source missing": ("-sourcefile absent.src", "absent.src", "No such file"),
    # not positive
    "lambda 0": ("-lambda 0", "wavelength|-lambda"),
    "lambda negative": ("-lambda -1", "wavelength|-lambda"),
    "energy 0": ("-energy 0", "energy"),
    "energy negative": ("-energy -9000", "energy"),
    "distance 0": ("-distance 0", "distance"),
    "distance negative": ("-distance -100", "distance"),
    "close_distance 0": ("-close_distance 0", "close_distance"),
    "pixel 0": ("-pixel 0", "pixel"),
    "pixel negative": ("-pixel -0.1", "pixel"),
    "detpixels 0": ("-detpixels 0", "pixels"),
    "detpixels negative": ("-detpixels_f -5", "pixels"),
    "detsize negative": ("-detsize -5", "detsize|pixels"),
    "thickness negative": ("-detector_thick -5", "thick"),
    "depth negative": ("-detector_abs -5", "attenuation|-detector_abs"),
    "fudge negative": ("-fudge -1", "fudge"),
    "mosaic negative": ("-mosaic -1", "mosaic"),
    "polar 2": ("-polar 2", "polar"),
    "fluence negative": ("-fluence -1", "fluence"),
    "water negative": ("-water -1", "water"),
    "threads 0": ("-threads 0", "threads"),
    "zero vector": ("-beam_vector 0 0 0", "beam_vector", "zero"),
    # roi
    "roi outside fast": ("-roi 0 8 0 7", "roi", "outside"),
    "roi outside slow": ("-roi 0 7 0 8", "roi", "outside"),
    "roi negative": ("-roi -1 7 0 7", "roi"),
    "roi inverted fast": ("-roi 5 2 0 7", "roi", "invert"),
    "roi inverted slow": ("-roi 0 7 5 2", "roi", "invert"),
    # a detector plane through the sample
    "plane through sample": ("-detector_roty 90", "through the sample"),
    "plane through sample 2": ("-twotheta 90 -pivot beam", "through the sample"),
    "vectors through sample": (
        "-beam_vector 1 0 0 -odet_vector 0 1 0 -fdet_vector 1 0 0 -sdet_vector 0 0 1",
        "sample",
    ),
    "parallel axes": ("-fdet_vector 0 0 1 -sdet_vector 0 0 1 -odet_vector 2 0 0", "parallel"),
    # too large
    "image too large": ("-detpixels 40000000", r"memory", r"\d (TB|PB|GB)"),
    "pixel too small": ("-detpixels 0 -detsize 100 -pixel 1e-9", "."),
    # outputs
    "folder missing": ("-floatfile absent/float.bin", "absent", "folder|directory"),
    "output is folder": ("-intfile .", "folder|directory"),
    "same name": ("-floatfile x.img -intfile x.img", "-floatfile", "-intfile", "x.img"),
    "same name spelled otherwise": ("-floatfile x.img -noisefile ./x.img", "-floatfile", "-noisefile"),
    "same as default": ("-pgmfile intimage.img", "-pgmfile", "-intfile"),
    "output is input": ("-hkl good.hkl -floatfile good.hkl", "-floatfile", "-hkl"),
    "output is dump": ("-hkl good.hkl -floatfile Fdump.bin", "-floatfile", "-dump"),
}


@pytest.mark.parametrize("name", LINES)
def test_command_line(name: str, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of bad input: status 2, what is wrong, nothing written."""
    line, *words = LINES[name]
    write_smv(inputs / "other.img", fast=9, slow=9)
    (inputs / "floatimage.bin").write_bytes(b"older")
    base = GOOD
    if "-mat " in line:
        base = base.replace("-cell 50 60 70 80 95 103", "")
    if "-img" in line or "-mask" in line:  # the size is the header's
        base = base.replace("-detpixels 8", "")
    given = a.words(base, line)
    assert_refused(given, inputs, capsys, *words)


@pytest.mark.parametrize("line", ["", "-cell 50", "-default_F 10", "-cell 50 -default_F 0", "-hkl good.hkl"])
def test_too_little(line: str, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No cell or no structure factors: usage text, status 2."""
    before = contents(inputs)
    assert g.run_cli(line.split()) == 2
    err = capsys.readouterr().err
    assert "usage" in err.lower() and "-cell" in err and "-hkl" in err
    assert contents(inputs) == before


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write everywhere")
def test_folder_without_permission(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An output folder that may not be written."""
    locked = inputs / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    try:
        assert_refused(a.words(GOOD, "-floatfile locked/f.bin"), inputs, capsys, "locked", "permission")
    finally:
        locked.chmod(0o755)


def test_folder_that_refuses(
    inputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where the system says so, whoever asks."""
    usual = os.access

    def access(path: Any, mode: int, **kw: Any) -> bool:
        return usual(path, mode, **kw) and not (mode & os.W_OK and str(path).endswith("locked"))

    (inputs / "locked").mkdir()
    monkeypatch.setattr(os, "access", access)
    assert_refused(a.words(GOOD, "-floatfile locked/f.bin"), inputs, capsys, "locked", "permission")


@pytest.mark.parametrize("line", ["-fluence 1e80", "-default_F 1e30", "-default_F 1e200"])
def test_pixels_beyond_float32(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pixels that are not finite are counted, the first one's place is told, no file is written."""
    assert g.run_cli(a.words(GOOD, line)) in (1, 2)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert re.search(r"\b64 pixels", err) and re.search(r"fast 0\b.*slow 0\b", err)
    assert contents(folder) == {}


def test_good_files_are_read(inputs: Path) -> None:
    """The good neighbours of the bad files above pass: it is the fault that is refused."""
    for line in ("-hkl good.hkl", "-mat good.mat", "-mask good.img", "-img good.img", "-dump good.bin"):
        words = a.words("-cell 50 -default_F 1 -oversample 1 -nonoise -nopgm -noprogress -detpixels 8", line)
        assert g.run_cli(words) == 0, line
        Path("Fdump.bin").unlink(missing_ok=True)

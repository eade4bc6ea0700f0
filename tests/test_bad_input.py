"""Bad input: status 2 and a message from the program, ValueError or OSError from Python, nothing written."""

from __future__ import annotations

import errno
import math
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import acceptance as a
import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors, build_scene, noise_image
from nbragg.errors import FileError, InputError, MemoryLimitError, RenderError
from nbragg.io import atomic, fdump, hkl_text, smv, text_tables
from nbragg.simulation import render

GOOD = "-cell 50 60 70 80 95 103 -default_F 10 -N 3 -detpixels 8 -oversample 1 -noprogress"
HEADER = (
    "{{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER={order};\nTYPE=unsigned_short;\nSIZE1={fast};\nSIZE2={slow};\n"
    "PIXEL_SIZE={pixel};\nDISTANCE=100;\nWAVELENGTH={wavelength};\n}}\f"
)


def write_smv(
    path: Path,
    fast: int = 8,
    slow: int = 8,
    order: str = "little_endian",
    wavelength: str = "1",
    pixel: str = "0.1",
    pixels: int | None = None,
) -> None:
    """An SMV file of ones, or something almost like it."""
    text = HEADER.format(order=order, fast=fast, slow=slow, wavelength=wavelength, pixel=pixel)
    count = fast * slow if pixels is None else pixels
    path.write_bytes(text.encode().ljust(512) + np.ones(count, "<u2").tobytes())


@pytest.fixture
def inputs(folder: Path) -> Path:
    """A folder with good and bad input files."""
    files = {
        "good.hkl": "0 0 0 100\n1 0 0 50\n",
        "empty.hkl": "",
        "blank.hkl": "\n \n",
        "text.hkl": "0 0 0 100\n1 0 0 50\nthis is no reflection\n2 0 0 10\n",
        "short.hkl": "0 0 0 100\n1 0 0\n",
        "nan.hkl": "0 0 0 100\n1 0 0 nan\n",
        "inf.hkl": "0 0 0 inf\n",
        "fraction.hkl": "0 0 0 100\n1.5 0 0 50\n",
        "huge.hkl": "0 0 0 100\n99999 99999 99999 50\n",
        "overflow.hkl": "0 0 0 100\n99999999999999999999 0 0 50\n",
        "good.mat": "0.02 0 0\n0 0.02 0\n0 0 0.02\n",
        "short.mat": "0.02 0 0\n0 0.02 0\n0 0\n",
        "empty.mat": "",
        "text.mat": "0.02 0 0\n0 o.o2 0\n0 0 0.02\n",
        "nan.mat": "0.02 0 0\n0 nan 0\n0 0 0.02\n",
        "singular.mat": "0.02 0.02 0\n0 0 0\n0 0 0.02\n",
        "zero.mat": "0 0 0\n0 0 0\n0 0 0\n",
        "zero.src": "-10 0 0 1 1e-10\n0 0 0 1 1e-10\n",
        "wavelength.src": "-10 0 0 1 1e-10\n-10 0.1 0 1 0\n",
        "negative.src": "-10 0 0 1 -1e-10\n",
        "text.src": "-10 0 0\nx y z\n",
        "nan.src": "-10 nan 0\n",
        "empty.src": "",
        "comments.src": "# nothing\n",
        "text.img": "this is not an image, but it is longer than a header would be " * 20,
        "short.img": "{\nHEADER_BYTES=512;\n",
        "empty.img": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    write_smv(folder / "good.img")
    write_smv(folder / "truncated.img", pixels=60)
    write_smv(folder / "order.img", order="middle_endian")
    write_smv(folder / "size.img", fast=0)
    write_smv(folder / "negative.img", slow=-8, pixels=64)
    write_smv(folder / "wavelength.img", wavelength="-1")
    write_smv(folder / "nan.img", wavelength="nan")
    write_smv(folder / "pixel.img", pixel="0")
    (folder / "nosize.img").write_bytes((folder / "good.img").read_bytes().replace(b"SIZE1=8;", b"        "))
    (folder / "nobytes.img").write_bytes(b"{\nDIM=2;\n}".ljust(512) + bytes(128))
    fdump.write(folder / "good.bin", np.ones((3, 4, 5)), (-1, -1, -1))
    dump = (folder / "good.bin").read_bytes()
    (folder / "truncated.bin").write_bytes(dump[:-8])
    (folder / "longer.bin").write_bytes(dump + bytes(8))
    (folder / "ranges.bin").write_bytes(dump.replace(b"-1 1 -1 2 -1 3", b"-1 1 -1 2 -1 9"))
    (folder / "inverted.bin").write_bytes(dump.replace(b"-1 1 -1 2 -1 3", b"1 -1 -1 2 -1 3"))
    (folder / "text.bin").write_text("not a dump\n")
    (folder / "empty.bin").write_bytes(b"")
    (folder / "nan.bin").write_bytes(dump[:-1000] + b"" + np.full(125, np.nan).tobytes())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_refused(
    line: list[str], folder: Path, capsys: pytest.CaptureFixture[str], *words: str, status: int = 2
) -> None:
    """Exit status, a one-line message that holds the words, and no file touched."""
    before = contents(folder)
    capsys.readouterr()
    assert g.run_cli(line) == status
    err = capsys.readouterr().err
    assert "Traceback" not in err
    last = [text for text in err.splitlines() if text.strip()][-1]
    for word in words:
        assert re.search(word, last), f"{word!r} is not in {last!r}"
    assert len(last) < 400
    assert contents(folder) == before


# ---- the command line ----

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
    "list missing": ("-hkl absent.hkl", "absent.hkl", "No such file"),
    "list empty": ("-hkl empty.hkl", "empty.hkl"),
    "list blank": ("-hkl blank.hkl", "blank.hkl"),
    "list text": ("-hkl text.hkl", "text.hkl", "line 3"),
    "list short": ("-hkl short.hkl", "short.hkl", "line 2"),
    "list nan": ("-hkl nan.hkl", "nan.hkl", "line 2"),
    "list inf": ("-hkl inf.hkl", "inf.hkl", "line 1"),
    "list fraction": ("-hkl fraction.hkl", "fraction.hkl", "line 2"),
    "list huge": ("-hkl huge.hkl", r"\d (TB|PB|EB|GB)|bytes", "list|-hkl"),
    "list overflow": ("-hkl overflow.hkl", "overflow.hkl", "line 2"),
    "list folder": ("-hkl .", "directory|folder"),
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


class FullDisk:
    """A file that takes so many bytes in all and then reports a full disk."""

    def __init__(self, stream: Any, left: list[int]) -> None:
        self._stream, self._left = stream, left

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._left[0] -= size
        if self._left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._stream.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()


@pytest.mark.parametrize("room", [0, 100, 300, 700, 1000])
def test_disk_full_half_way(
    room: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are new or all are old, wherever the disk fills up, and no temporary file stays."""
    for name in ("f.bin", "i.img", "p.pgm", "n.img"):
        (folder / name).write_bytes(b"older " + name.encode())
    left = [room]

    def open_full(path: Any, mode: str = "r", *rest: Any, **kw: Any) -> Any:
        stream = open(path, mode, *rest, **kw)  # noqa: SIM115 - closed by its user
        return FullDisk(stream, left) if set(mode) & set("wxa+") else stream

    monkeypatch.setattr(atomic, "open", open_full, raising=False)
    line = a.words(GOOD, "-floatfile f.bin -intfile i.img -pgmfile p.pgm -noisefile n.img")
    assert_refused(line, folder, capsys, "No space left")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert g.run_cli(line) == 0
    assert len(contents(folder)) == 4 and (folder / "f.bin").stat().st_size == 8 * 8 * 4


def test_really_full_disk(folder: Path) -> None:
    """The same with the system's own refusal: a limit on the size of files."""
    (folder / "f.bin").write_bytes(b"older")
    words = a.words(GOOD, "-detpixels 100 -floatfile f.bin -intfile i.img -nonoise -nopgm")

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = subprocess.run(
        [sys.executable, "-m", "nbragg", *words], preexec_fn=limit, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "f.bin" in done.stderr and "Traceback" not in done.stderr
    assert contents(folder) == {"f.bin": b"older"}


def test_disk_full_while_dumping(
    inputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old dump file survives, too."""
    (inputs / "Fdump.bin").write_bytes((inputs / "good.bin").read_bytes())

    def open_full(path: Any, mode: str = "r", *rest: Any, **kw: Any) -> Any:
        stream = open(path, mode, *rest, **kw)  # noqa: SIM115 - closed by its user
        return FullDisk(stream, [5]) if set(mode) & set("wxa+") else stream

    monkeypatch.setattr(atomic, "open", open_full, raising=False)
    assert_refused(a.words(GOOD, "-hkl good.hkl"), inputs, capsys, "Fdump.bin", "No space left")


def test_open_atomic_keeps_the_old_file(folder: Path) -> None:
    """Whatever is raised while writing: an exception, an interrupt."""
    target = folder / "file"
    for error in (RuntimeError, KeyboardInterrupt, OSError):
        target.write_bytes(b"older")
        with pytest.raises((error, FileError)), atomic.open_atomic(target) as stream:
            stream.write(b"half of")
            raise error
        assert contents(folder) == {"file": b"older"}
    with pytest.raises(FileError), atomic.open_atomic(folder / "absent" / "file"):
        pass


@pytest.mark.parametrize("line", ["-fluence 1e80", "-default_F 1e30", "-default_F 1e200"])
def test_pixels_beyond_float32(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pixels that are not finite are counted, the first one's place is told, no file is written."""
    assert g.run_cli(a.words(GOOD, line)) in (1, 2)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert re.search(r"\b64 pixels", err) and re.search(r"fast 0\b.*slow 0\b", err)
    assert contents(folder) == {}


def test_non_finite_from_python() -> None:
    """RenderError with the count and the place of the first, in a region and behind a mask."""
    mask = np.ones((8, 8), bool)
    mask[3, 2] = False
    crystal = Crystal(cell=(50, 60, 70, 80, 95, 103), structure_factors=StructureFactors.constant(1e30))
    scene = build_scene(
        crystal, Beam(), Detector(fpixels=8, spixels=8, mask=mask), Sampling(roi=(2, 5, 3, 6), oversample=1)
    )
    for precision in a.PRECISIONS:
        with pytest.raises(RenderError, match=r"15 pixels.*fast 3, slow 3"):
            render(scene, precision=precision)


def test_huge_values_that_are_finite() -> None:
    """The largest numbers that fit come through unchanged."""
    scene = g.scene_of(a.words(a.FLAT, "-default_F 3e18 -nopolar -point_pixel -distance 1000 -detpixels 4"))
    image = render(scene).image
    assert np.isfinite(image).all() and image.max() > 1e36


# ---- from Python ----

SF = StructureFactors.constant(10)
CELL = (50.0, 60.0, 70.0, 80.0, 95.0, 103.0)


def crystal(**kw: Any) -> Crystal:
    """A good crystal, or not."""
    return Crystal(**({"cell": CELL, "structure_factors": SF} | kw))


def scene(**kw: Any) -> Any:
    """build_scene with some of its four arguments changed."""
    parts: dict[str, Any] = {
        "crystal": crystal(),
        "beam": Beam(),
        "detector": Detector(fpixels=8, spixels=8),
        "sampling": Sampling(),
    }
    physics = kw.pop("physics", "nanobragg")
    return build_scene(*(parts | kw).values(), physics=physics)


NOT_NUMBERS = (math.nan, math.inf, -math.inf, "3", None)
PYTHON: dict[str, Callable[[], Any]] = {
    **{
        f"{cls.__name__} {field} {value}": partial(cls, **{field: value})
        for cls, fields in (
            (Beam, ("wavelength_A", "polarization", "flux", "exposure_s", "beamsize_mm")),
            (Detector, ("pixel_mm", "rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg", "thickness_um")),
            (Sampling, ("water_um",)),
        )
        for field in fields
        for value in NOT_NUMBERS
    },
    **{
        f"{cls.__name__} {field} {value}": partial(cls, **{field: value})
        for cls, fields in (
            (
                Beam,
                (
                    "dispersion_pct",
                    "hdivrange_mrad",
                    "vdivrange_mrad",
                    "hdivstep_mrad",
                    "vdivstep_mrad",
                    "fluence",
                ),
            ),
            (Detector, ("distance_mm", "close_distance_mm", "detsize_f_mm", "Xbeam_mm", "Yclose_mm", "ORGX")),
            (Sampling, ("dmin_A",)),
        )
        for field in fields
        for value in NOT_NUMBERS[:-1]
    },
    **{
        f"{cls.__name__} {field} {value}": partial(cls, **{field: value})
        for cls, field, values in (
            (Beam, "wavelength_A", (0, -1)),
            (Beam, "polarization", (1.1, -1.1)),
            (Beam, "fluence", (-1,)),
            (Beam, "dispersion_steps", (0, -1, 1.5)),
            (Beam, "hdivsteps", (0, 2.5)),
            (Beam, "beam_vector", ((0, 0, 0), (1, 0), (1, 0, math.nan))),
            (Beam, "sources", ("file", 3)),
            (Beam, "round_div", ("yes",)),
            (Detector, "distance_mm", (0, -1)),
            (Detector, "close_distance_mm", (0, -1)),
            (Detector, "pixel_mm", (0, -1)),
            (Detector, "fpixels", (0, -1, 1.5)),
            (Detector, "spixels", (0, -1, 1.5)),
            (Detector, "thickness_um", (-1,)),
            (Detector, "thicksteps", (0, -1, 1.5)),
            (Detector, "attenuation_um", (-1, math.nan)),
            (Detector, "convention", ("imosflm", None, 3)),
            (Detector, "pivot", ("crystal",)),
            (Detector, "fdet_vector", ((0, 0, 0), (math.nan, 0, 1), "xyz")),
            (Detector, "mask", (np.ones(5), [["a"]])),
            (Sampling, "oversample", (0, -1, 1.5)),
            (Sampling, "roi", ((5, 2, 0, 1), (0, 1, 5, 2), (-1, 2, 0, 1), (0, 1, 2), (0, 1, 0, math.nan))),
            (Sampling, "interpolate", ("yes", 1)),
        )
        for value in values
    },
    **{
        f"Crystal {field} {value}": partial(crystal, **{field: value})
        for field, values in (
            ("cell", ((50, 60, 70, 30, 30, 120), (50, 60, 70, 120, 120, 120), (0, 60, 70, 90, 90, 90))),
            (
                "cell",
                (
                    (-1, 60, 70, 90, 90, 90),
                    (50, 60, 70, 90, 180, 90),
                    (50, 60, 70),
                    (50, 60, 70, 90, 90, math.nan),
                ),
            ),
            (
                "a_matrix",
                (np.zeros((3, 3)), np.ones((3, 3)), np.ones(9), np.diag([1, 1, math.nan]), "matrix"),
            ),
            ("N", ((0, 1, 1), (1, -1, 1), (1, 1), 5, (1.5, 1, 1))),
            ("size_mm", ((0, None, None), (-1, 1, 1), (math.nan, 1, 1))),
            ("shape", ("cube", None)),
            ("fudge", (-1, math.nan)),
            ("misset_deg", ("rand", (1, 2), (1, 2, math.nan))),
            ("mosaic_spread_deg", (-1, math.inf)),
            ("mosaic_domains", (0, -3, 1.5)),
            ("phisteps", (0, 1.5)),
            ("osc_deg", (-1, math.nan)),
            ("phi_deg", (math.nan,)),
            ("spindle_axis", ((0, 0, 0),)),
            ("structure_factors", (None, 100.0, "list.hkl")),
        )
        for value in values
    },
    "no cell": lambda: Crystal(structure_factors=SF),
    "F nan": lambda: StructureFactors.constant(math.nan),
    "values nan": lambda: StructureFactors(values=np.full((2, 2, 2), np.nan)),
    "values empty": lambda: StructureFactors(values=np.zeros((0, 2, 2))),
    "values flat": lambda: StructureFactors(values=np.zeros(8)),
    "list empty": lambda: StructureFactors.from_reflections([], [], [], []),
    "list uneven": lambda: StructureFactors.from_reflections([0, 1], [0], [0, 0], [1, 1]),
    "list fraction": lambda: StructureFactors.from_reflections([0.5], [0], [0], [1]),
    "list huge": lambda: StructureFactors.from_reflections([0, 99999], [0, 99999], [0, 99999], [1, 1]),
    "sources none": lambda: SourceList(positions=np.zeros((0, 3))),
    "sources zero": lambda: SourceList(positions=[[1, 0, 0], [0, 0, 0]]),
    "sources wavelength": lambda: SourceList(positions=[[1, 0, 0]], wavelengths_A=[0]),
    "sources weight": lambda: SourceList(positions=[[1, 0, 0]], weights=[-1]),
    "sources shape": lambda: SourceList(positions=[[1, 0, 0]], weights=[1, 2]),
    "sources nan": lambda: SourceList(positions=[[1, 0, math.nan]]),
    "physics": lambda: scene(physics="right"),
    "roi outside": lambda: scene(sampling=Sampling(roi=(0, 8, 0, 7))),
    "mask size": lambda: scene(detector=Detector(fpixels=8, spixels=8, mask=np.ones((8, 9)))),
    "plane through sample": lambda: scene(detector=Detector(fpixels=8, spixels=8, roty_deg=90)),
    "axes parallel": lambda: scene(
        detector=Detector(
            fpixels=8, spixels=8, fdet_vector=(0, 0, 1), sdet_vector=(0, 0, 2), odet_vector=(3, 0, 0)
        )
    ),
    "image too large": lambda: scene(detector=Detector(fpixels=40_000_000, spixels=40_000_000)),
    "too many orientations": lambda: scene(
        crystal=crystal(mosaic_spread_deg=1.0, mosaic_domains=10**9, osc_deg=1.0, phisteps=10**6)
    ),
    "too many sources": lambda: scene(
        beam=Beam(hdivrange_mrad=1.0, hdivsteps=10**7, vdivrange_mrad=1.0, vdivsteps=10**7)
    ),
    "precision": lambda: render(scene(), precision="half"),
    "device": lambda: render(scene(), device="abacus"),
    "threads 0": lambda: render(scene(), threads=0),
    "threads -1": lambda: render(scene(), threads=-1),
    "noise nan": lambda: noise_image(np.full((4, 4), np.nan, np.float32), None, 1),
    "noise adc": lambda: noise_image(np.ones((4, 4), np.float32), None, 1, adc=math.nan),
    "noise roi": lambda: noise_image(np.ones((4, 4), np.float32), (0, 9, 0, 3), 1),
    "noise flat": lambda: noise_image(np.ones(4, np.float32), None, 1),
}


@pytest.mark.parametrize("name", PYTHON)
def test_from_python(name: str) -> None:
    """InputError, which is a ValueError, with a message that is not empty."""
    with pytest.raises(InputError) as caught:
        PYTHON[name]()
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) > 20


def test_sizes_are_told() -> None:
    """What is too large for memory is refused before it is allocated, with the size."""
    for name in ("image too large", "list huge", "too many orientations"):
        with pytest.raises(MemoryLimitError, match=r"\d (TB|PB|EB|GB)"):
            PYTHON[name]()


READERS: dict[str, Callable[[str], Any]] = {
    "mat": text_tables.read_matrix,
    "src": text_tables.read_sources,
    "hkl": hkl_text.read,
    "bin": fdump.read,
    "img": smv.read,
}
FILES = """
    absent.mat short.mat empty.mat text.mat nan.mat
    absent.src zero.src wavelength.src negative.src text.src nan.src empty.src comments.src
    absent.hkl empty.hkl blank.hkl text.hkl short.hkl nan.hkl inf.hkl fraction.hkl overflow.hkl
    absent.bin truncated.bin longer.bin ranges.bin inverted.bin text.bin empty.bin nan.bin
    absent.img truncated.img text.img short.img empty.img order.img size.img negative.img nosize.img
    nobytes.img
""".split()  # noqa: SIM905 - as above


@pytest.mark.parametrize("name", FILES)
def test_files_from_python(name: str, inputs: Path) -> None:
    """FileError, which is an OSError, and names the file."""
    with pytest.raises(FileError) as caught:
        READERS[name[-3:]](name)
    assert isinstance(caught.value, OSError)
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", READERS)
def test_folders_are_not_files(kind: str, inputs: Path) -> None:
    """A folder's name in place of a file's."""
    with pytest.raises(FileError):
        READERS[kind](".")


def test_good_files_are_read(inputs: Path) -> None:
    """The good neighbours of the bad files above pass: it is the fault that is refused."""
    for line in ("-hkl good.hkl", "-mat good.mat", "-mask good.img", "-img good.img", "-dump good.bin"):
        words = a.words("-cell 50 -default_F 1 -oversample 1 -nonoise -nopgm -noprogress -detpixels 8", line)
        assert g.run_cli(words) == 0, line
        Path("Fdump.bin").unlink(missing_ok=True)


def test_exceptions_are_catchable() -> None:
    """One base class, and the built-in ones a caller would expect."""
    assert issubclass(InputError, (nbragg.NbraggError, ValueError)) and issubclass(InputError, ValueError)
    assert issubclass(FileError, OSError) and issubclass(FileError, nbragg.NbraggError)
    assert issubclass(MemoryLimitError, InputError) and issubclass(RenderError, nbragg.NbraggError)

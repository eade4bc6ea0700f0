"""Good and bad input files, and what every refusal of the command line looks like."""

from __future__ import annotations

import re
from pathlib import Path

import golden_cases as g
import numpy as np
import pytest

from nbragg.io.reflections import dump as fdump

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


def write_inputs(folder: Path) -> None:
    """Good and bad input files."""
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

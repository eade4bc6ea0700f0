"""SMV images: what is refused, byte order, header look-up, the integer image's arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbragg.base.errors import FileError
from nbragg.io.images import pgm, raw, smv

HEADER = (
    "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=3;\nSIZE2=2;\n"
    "DISTANCE=5;\nXDS_ORGX=1.5;\nCLOSE_DISTANCE=-4e1;\nDIALS_ORIGIN=1,2,3\nNAME=x;\n}\f"
)
PIXELS = np.array([[1, 2, 3], [256, 65535, 0]], np.uint16)


def write(path: Path, header: str = HEADER, pixels: bytes = PIXELS.astype("<u2").tobytes()) -> Path:
    path.write_bytes(header.encode().ljust(512) + pixels)
    return path


def test_round_trip(tmp_path: Path) -> None:
    smv.write(tmp_path / "a.img", PIXELS, HEADER.encode().ljust(512))
    frame = smv.read(tmp_path / "a.img")
    assert np.array_equal(frame.pixels, PIXELS) and frame.pixels.dtype == np.uint16
    assert frame.header["SIZE1"] == "3" and frame.header["DIALS_ORIGIN"] == "1,2,3"


def test_byte_order(tmp_path: Path) -> None:
    big = write(tmp_path / "b.img", HEADER.replace("little", "big"), PIXELS.astype(">u2").tobytes())
    assert np.array_equal(smv.read(big).pixels, PIXELS)


def test_detector_software_header(tmp_path: Path) -> None:
    """Blanks before numbers, a longer header, bytes after the image."""
    text = HEADER.replace("=512", "= 1024").replace("SIZE1=", "SIZE1= ").replace("SIZE2=", "SIZE2= ")
    path = tmp_path / "c.img"
    path.write_bytes(text.encode().ljust(1024) + PIXELS.tobytes() + b"more")
    assert np.array_equal(smv.read(path).pixels, PIXELS)


def test_last_value() -> None:
    assert smv.last_value(HEADER, "DISTANCE") == -40.0
    assert smv.last_value(HEADER, "ORGX") == 1.5
    assert smv.last_value(HEADER, "WAVELENGTH") is None
    with pytest.raises(FileError, match="no number after NAME"):
        smv.last_value(HEADER, "NAME")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("little_endian", "middle_endian", "BYTE_ORDER=middle_endian"),
        ("BYTE_ORDER=little_endian;\n", "", r"BYTE_ORDER=\(absent\)"),
        ("unsigned_short", "float", "TYPE=float"),
        ("SIZE1=3", "SIZE1=0", "SIZE1"),
        ("SIZE1=3", "SIZE1=2.5", "SIZE1"),
        ("SIZE2=2", "SIZE2=two", "SIZE2"),
        ("SIZE1=3", "SIZE1=4", "is truncated"),
        ("HEADER_BYTES=512", "HEADER_BYTES=4096", "is truncated"),
        ("{\n", "P5\n", "not an SMV image"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, part: str) -> None:
    with pytest.raises(FileError, match=part):
        smv.read(write(tmp_path / "a.img", HEADER.replace(old, new)))


def test_refused_contents(tmp_path: Path) -> None:
    for content in (b"", b"{", b"\0" * 2000):
        (tmp_path / "a.img").write_bytes(content)
        with pytest.raises(FileError):
            smv.read(tmp_path / "a.img")
    with pytest.raises(FileError, match="cannot read"):
        smv.read(tmp_path / "missing.img")
    with pytest.raises(FileError, match="cannot read"):
        smv.read(tmp_path)


def test_integer_image() -> None:
    """AT-IO-001: the sum with 0.5 is rounded to float32 before the floor."""
    image = np.array([[0.0, 1.0, 2.5], [1e9, 16384.499, 3.0]], np.float32)
    pixels, scale = smv.integer_image(image, (0, 2, 0, 1), 1.0, 40.0)
    assert scale == 1.0
    assert pixels.tolist() == [[40, 41, 43], [65535, 16424, 43]]
    # 16383.9998 + 0.5 rounds up to 16384.5 in float32, 32767.4999 + 0.5 to 32768
    exact = np.array([[32767.4999 - 0.5]], np.float64)
    assert (
        smv.integer_image(np.ones((1, 1), np.float32), (0, 0, 0, 0), float(exact[0, 0]), 0.5)[0][0, 0]
        == 32768
    )


def test_integer_image_automatic_scale_and_roi() -> None:
    image = np.zeros((4, 5), np.float32)
    image[2, 3] = 2.0
    pixels, scale = smv.integer_image(image, (2, 3, 1, 2), 0.0, 40.0)
    assert scale == 27500.0 and pixels[2, 3] == 55040
    assert pixels[0].tolist() == [0] * 5 and pixels[1].tolist() == [0, 0, 40, 40, 0]
    assert smv.integer_image(np.zeros((2, 2), np.float32), (0, 1, 0, 1), -1.0, 0.0)[1] == 1.0
    assert smv.integer_image(image, (0, 4, 0, 3), 1.0, -100.0)[0].max() == 0


def test_pgm(tmp_path: Path) -> None:
    """AT-IO-002."""
    image = np.array([[0.0, 1.99, 300.0], [5.0, 6.0, 7.0]], np.float32)
    pgm.write(tmp_path / "a.pgm", image, (0, 2, 0, 0), 1.5)
    assert (tmp_path / "a.pgm").read_bytes() == b"P5\n3 2\n# pixels scaled by 1.5\n255\n" + bytes(
        [0, 2, 255, 0, 0, 0]
    )
    assert pgm.auto_scale(10.0, 3.0) == 5.0
    assert pgm.auto_scale(0.0, 3.0) == 3.0


def test_raw(tmp_path: Path) -> None:
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    raw.write_float(tmp_path / "a.bin", image)
    assert (tmp_path / "a.bin").read_bytes() == image.astype("<f4").tobytes()
    assert np.array_equal(raw.read_float(tmp_path / "a.bin", (2, 3)), image)
    with pytest.raises(FileError, match="24 bytes"):
        raw.read_float(tmp_path / "a.bin", (2, 4))
    with pytest.raises(FileError, match="cannot read"):
        raw.read_float(tmp_path / "b.bin", (2, 4))

"""Reflection lists, dump files, matrices and source lists (AT-IO-003, AT-IO-004, AT-SRC-001)."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from nbragg.base.errors import FileError
from nbragg.io.files import text_tables
from nbragg.io.reflections import dump as fdump
from nbragg.io.reflections import text as hkl_text


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "input.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1 -2 3 10.5\n0 0 4 2e1\n",
        "1 -2 3 10.5\r\n0 0 4 2e1\r\n",
        "1 -2 3 10.5\n0 0 4 2e1",
        "# h k l F\n\n 1\t-2 3   10.5 0.3 free\n\n0 0 4 2e1 # last\n",
        "1.0 -2.0 3.0 10.5 1 2 3\n0 0 4 20\n",
    ],
)
def test_hkl(tmp_path: Path, text: str) -> None:
    h, k, l, F = hkl_text.read(write(tmp_path, text))  # noqa: E741 - the index's name
    assert (h.tolist(), k.tolist(), l.tolist(), F.tolist()) == ([1, 0], [-2, 0], [3, 4], [10.5, 20.0])
    assert h.dtype == np.int64 and F.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1 2 3 4\n1 2 3\n", "line 2: .*four columns"),
        ("\n# x\n1 2 3 four\n", "line 3: .*four numbers"),
        ("1 2 3 4\n\n1 2 3.5 4\n", "line 3: .*whole indices"),
        ("1 2 3 nan\n", "line 1"),
        ("# c\n1 2 3 4\n1 2 3 inf\n", "line 3"),
        ("1 2 3 4\n1 2 30000000 4\n", "line 2"),
        ("1 2 3 4\n1 2 3 1_0\n", "line 2"),
        ("1 2 3 4\n1-2 3 4\n", "line 2"),
        ("", "no reflections"),
        ("# only a comment\n\n", "no reflections"),
    ],
)
def test_hkl_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(FileError, match=part):
        hkl_text.read(write(tmp_path, text))


def test_hkl_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "http://example.invalid/a.hkl"):
        with pytest.raises(FileError, match="cannot read"):
            hkl_text.read(path)


def test_hkl_is_fast(tmp_path: Path) -> None:
    path = write(tmp_path, "-12 34 5 123.456\n" * 200_000)
    start = time.perf_counter()
    assert len(hkl_text.read(path)[0]) == 200_000
    assert time.perf_counter() - start < 2.0


def test_dump_layout(tmp_path: Path) -> None:
    """Canonical 7.4: limits, form feed, one zero plane more on every axis."""
    values = np.arange(1.0, 13.0).reshape(2, 3, 2)
    path = tmp_path / "F.bin"
    fdump.write(path, values, (-1, 0, 5))
    content = path.read_bytes()
    assert content.startswith(b"-1 0 0 2 5 6\n\f")
    padded = np.frombuffer(content[14:]).reshape(3, 4, 3)
    assert np.array_equal(padded[:2, :3, :2], values)
    assert padded.sum() == values.sum()
    again, origin = fdump.read(path)
    assert np.array_equal(again, values) and origin == (-1, 0, 5)
    assert again.flags.c_contiguous


def test_dump_values_may_look_like_blanks(tmp_path: Path) -> None:
    values = np.frombuffer(b"\n\f\t      "[:8], dtype=np.float64).reshape(1, 1, 1).copy()
    fdump.write(tmp_path / "F.bin", values, (0, 0, 0))
    assert np.array_equal(fdump.read(tmp_path / "F.bin")[0], values)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0 0 0 0 0\n\f" + bytes(64),
        b"0 0 0 0 0 0\n" + bytes(64),
        b"0 0 0 0 0 0\n\f" + bytes(63),
        b"0 0 0 0 0 0\n\f" + bytes(65),
        b"0 1 0 0 0 0\n\f" + bytes(64),
        b"0 -1 0 0 0 0\n\f",
        b"5 0 0 0 0 0\n\f" + bytes(64),
        b"0 999999999 0 999999999 0 999999999\n\f",
        b"0 0 0 0 0 0\n\f" + np.full(8, np.nan).tobytes(),
    ],
)
def test_dump_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "F.bin").write_bytes(content)
    with pytest.raises(FileError, match=r"F\.bin"):
        fdump.read(tmp_path / "F.bin")


def test_matrix(tmp_path: Path) -> None:
    text = " 0.01 -0.02  0.03\n 0.04-0.05 0.06\n 7e-2 .08 9.\n 0.0 0.0 0.0\n text\n"
    matrix = text_tables.read_matrix(write(tmp_path, text))
    np.testing.assert_array_equal(matrix, [[0.01, -0.02, 0.03], [0.04, -0.05, 0.06], [0.07, 0.08, 9.0]])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "end of the file.* after 0"),
        ("1 2 3 4 5 6 7 8", "after 8"),
        ("1 2 x 4", '"x".* after 2'),
        ("nan", "nan"),
        ("1e999 " * 9, "finite"),
    ],
)
def test_matrix_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(FileError, match=part):
        text_tables.read_matrix(write(tmp_path, text))


def test_sources(tmp_path: Path) -> None:
    table = text_tables.read_sources(
        write(tmp_path, "# sources\n\n-10 0,0\t1;1e-10 extra\n -10:0.1\n 3 # x\n")
    )
    nan = np.nan
    np.testing.assert_array_equal(
        table, [[-10, 0, 0, 1, 1e-10], [-10, 0.1, nan, nan, nan], [3, nan, nan, nan, nan]]
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no sources"),
        ("# x\n", "no sources"),
        ("1 0 0\n0 0 0\n", "line 2: .*zero vector"),
        ("1 0 0 1 0\n", "line 1: .*wavelength"),
        ("1 0 0 1 -1e-10\n", "wavelength"),
        ("1 0 0 -1\n", "weight"),
        ("1 0 zero\n", "line 1: .*expected numbers"),
        ("1 0 inf\n", "expected numbers"),
    ],
)
def test_sources_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(FileError, match=part):
        text_tables.read_sources(write(tmp_path, text))

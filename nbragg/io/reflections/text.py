"""Text reflection lists: ``h k l F`` in the first four columns of each line."""

from __future__ import annotations

import math
import os
import warnings

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError
from ..files.atomic import PathLike
from .reflection_list import ReflectionList, Rows, sort_unique

__all__ = ["read", "read_list", "read_rows"]

Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

#: indices beyond this are a damaged file, not a crystal
_LARGEST_INDEX = 1_000_000


def read(path: PathLike) -> Columns:
    """Read a reflection list.

    Blank lines are skipped, ``#`` starts a comment, and columns after the fourth are ignored.  Indices may
    be written as whole floating-point numbers.

    Returns
    -------
    h, k, l : (n,) int64
    F : (n,) float64, amplitudes in electrons

    Raises
    ------
    FileError
        Missing, empty, a line short or not numeric, a fractional index; the line number is given.
    """
    name = os.fspath(path)
    table = _fast_table(name)
    if table is None:
        table = _careful_table(name, _lines(name))
    if not len(table):
        raise FileError(f'{name}: no reflections; expected lines of "h k l F"')
    indices = table[:, :3]
    bad = ~(np.isfinite(table).all(axis=1) & (np.abs(indices) <= _LARGEST_INDEX).all(axis=1))
    bad |= (indices != np.rint(indices)).any(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        number, line = _nth_line(_lines(name), row)
        raise FileError(f'{name}, line {number}: "{line}": expected three whole indices and a finite F')
    h, k, l = (  # noqa: E741 - the index's name
        indices[:, axis].astype(np.int64) for axis in range(3)
    )
    return h, k, l, table[:, 3].copy()


def read_rows(path: PathLike) -> Rows:
    """`read`, as a record."""
    return Rows(*read(path))


def read_list(path: PathLike) -> ReflectionList:
    """A list taken for P1: sorted, of repeated indices the last row; errors as `read`."""
    rows = read(path)
    h, k, l, F = sort_unique(np.column_stack(rows[:3]), rows[3])  # noqa: E741
    return ReflectionList(h, k, l, F, source=str(path), column="F of the text list", unique=len(F))


def _lines(name: str) -> list[bytes]:
    try:
        with open(name, "rb") as stream:
            return stream.read().split(b"\n")
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror or error}") from error


def _fast_table(name: str) -> NDArray[np.float64] | None:
    """All lines at once; None when a line is short or not numeric."""
    with warnings.catch_warnings():
        # an empty list is reported as an error later
        warnings.filterwarnings("ignore", "loadtxt", UserWarning)
        try:
            # opened here: loadtxt itself would also fetch addresses
            with open(name, encoding="latin-1") as stream:
                return np.loadtxt(stream, usecols=(0, 1, 2, 3), ndmin=2, comments="#")
        except ValueError:
            return None
        except OSError as error:
            raise FileError(f"cannot read {name}: {error.strerror or error}") from error


def _careful_table(name: str, lines: list[bytes]) -> NDArray[np.float64]:
    """Line by line, for uneven lines and for saying which line is wrong."""
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.partition(b"#")[0].split(maxsplit=4)[:4]
        if not words:
            continue
        shown = line.decode("latin-1").strip()[:60]
        if len(words) < 4:
            raise FileError(f'{name}, line {number}: "{shown}": expected four columns h k l F')
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = [math.nan]
        if not all(math.isfinite(value) for value in row) or any(b"_" in word for word in words):
            raise FileError(f'{name}, line {number}: "{shown}": expected four numbers h k l F')
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _nth_line(lines: list[bytes], row: int) -> tuple[int, str]:
    """Line number and text of the ``row``-th line that is not blank."""
    for number, line in enumerate(lines, start=1):
        if line.partition(b"#")[0].strip():
            if row == 0:
                return number, line.decode("latin-1").strip()[:60]
            row -= 1
    raise AssertionError("row beyond the end of the list")

"""Small text inputs: orientation matrices, source lists, gains, curves (canonical 4, 5.2; beyond 12, 14)."""

from __future__ import annotations

import math
import os
import re

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError
from ...base.warn import warn
from .atomic import PathLike

__all__ = ["check_rows", "read_curve", "read_gain_stages", "read_matrix", "read_sources"]

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_DELIMITERS = re.compile(r"[ \t,;:!]+")


def _read_text(name: str) -> str:
    try:
        with open(name, encoding="latin-1") as stream:
            return stream.read()
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror or error}") from error


def read_matrix(path: PathLike) -> NDArray[np.float64]:
    """Read the first nine numbers of a matrix file.

    Returns
    -------
    (3, 3) float64 : rows x, y, z; columns a*, b*, c*; times the wavelength, so without unit

    Raises
    ------
    FileError
        Missing, empty, with fewer than nine numbers, or with text among them.
    """
    name = os.fspath(path)
    text = _read_text(name)
    values: list[float] = []
    place = 0
    while len(values) < 9:
        match = _NUMBER.match(text, place)
        if match is None:
            rest = text[place:].split(maxsplit=1)
            found = f'"{rest[0][:20]}"' if rest else "the end of the file"
            raise FileError(
                f"{name}: {found} after {len(values)} numbers; a matrix file holds nine numbers,"
                " rows x y z, columns a* b* c*"
            )
        values.append(float(match.group(1)))
        place = match.end()
    if not all(math.isfinite(value) for value in values):
        raise FileError(f"{name}: the nine numbers of a matrix file must be finite")
    return np.array(values).reshape(3, 3)


def read_sources(path: PathLike) -> NDArray[np.float64]:
    """Read a source list: up to five columns, X Y Z weight wavelength (canonical 4).

    Columns are separated by blanks, tabs or any of ``, ; : !``; blank lines are skipped and ``#`` starts a
    comment.

    Returns
    -------
    (n, 5) float64 : X, Y, Z (m, from the sample towards the source), weight, wavelength (m); NaN where a
        column is missing

    Raises
    ------
    FileError
        Missing, empty, not numeric, a zero vector or a wavelength that is not positive; the line number is
        given.
    """
    name = os.fspath(path)
    rows = []
    for number, line in enumerate(_read_text(name).splitlines(), start=1):
        words = [word for word in _DELIMITERS.split(line.split("#")[0].strip()) if word][:5]
        if not words:
            continue
        where = f'{name}, line {number}: "{line.strip()[:60]}"'
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = [math.nan]
        if not all(math.isfinite(value) for value in row):
            raise FileError(f"{where}: expected numbers X Y Z weight wavelength")
        row += [math.nan] * (5 - len(row))
        if row[0] == row[1] == row[2] == 0.0:
            raise FileError(f"{where}: a zero vector has no direction; give the way to the source")
        if row[4] <= 0.0:
            raise FileError(f"{where}: the wavelength (m) must be positive")
        if row[3] < 0.0:
            raise FileError(f"{where}: the weight must not be negative")
        rows.append(row)
    if not rows:
        raise FileError(f"{name}: no sources; expected lines of X Y Z [weight [wavelength in m]]")
    return np.array(rows)


def read_gain_stages(path: PathLike) -> list[list[float]]:
    """Read the gains between which a detector switches, one a line (beyond 14.5).

    Columns as in a source list: gain (ADU/keV), pedestal (ADU), read-out noise (ADU rms), switch point (keV;
    ``inf`` or missing on the last line), spread of the switch point (keV rms; 0 where missing).

    Returns
    -------
    list of lists of 3 to 5 numbers

    Raises
    ------
    FileError
        Missing, empty, not numeric, or another number of columns; the line number is given.
    """
    name = os.fspath(path)
    rows = []
    for number, line in enumerate(_read_text(name).splitlines(), start=1):
        words = [word for word in _DELIMITERS.split(line.split("#")[0].strip()) if word]
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if not 3 <= len(row) <= 5 or any(math.isnan(value) for value in row):
            raise FileError(
                f'{name}, line {number}: "{line.strip()[:60]}": expected gain (ADU/keV), pedestal (ADU), '
                "noise (ADU), switch point (keV), spread (keV)"
            )
        rows.append(row)
    if not rows:
        raise FileError(f"{name}: no gains; expected lines of gain pedestal noise [switch point [spread]]")
    return rows


def read_curve(path: PathLike, *, missing: float | None = None) -> NDArray[np.float64]:
    """Read a table of two columns: abscissa and value (beyond 12.2).

    Columns are separated by blanks, tabs or any of ``, ; : !``; blank lines and further columns are skipped
    and ``#`` starts a comment.

    Parameters
    ----------
    path : path
    missing : float, optional
        Value of a row that has none; None: such a row is an error.

    Returns
    -------
    (n, 2) float64 : by ascending abscissa

    Raises
    ------
    FileError
        Missing, empty, without rows, not numeric or not finite, an abscissa below 0, one that stands twice, a
        row without value; line and value are given.

    Warns
    -----
    NbraggWarning
        For rows out of order, which are sorted.
    """
    name = os.fspath(path)
    rows: list[tuple[float, float]] = []
    lines: list[int] = []
    for number, line in enumerate(_read_text(name).splitlines(), start=1):
        words = [word for word in _DELIMITERS.split(line.split("#")[0].strip()) if word][:2]
        if not words:
            continue
        where = f'{name}, line {number}: "{line.strip()[:60]}"'
        if len(words) == 1 and missing is None:
            raise FileError(f"{where}: there is no value beside {words[0]}; two numbers were expected")
        try:
            x, y = float(words[0]), float(words[1]) if len(words) == 2 else missing
        except ValueError:
            x, y = math.nan, math.nan
        assert y is not None
        if not (math.isfinite(x) and math.isfinite(y)):
            raise FileError(f"{where}: expected two finite numbers")
        rows.append((x, y))
        lines.append(number)
    if not rows:
        raise FileError(f"{name}: no rows; expected lines of two numbers")
    table = np.array(rows)
    problem = check_rows(table)
    if problem is not None:
        i, what = problem
        raise FileError(f"{name}, line {lines[i]}: {what}")
    order = np.argsort(table[:, 0], kind="stable")
    if (np.diff(order) < 0).any():
        first = int(np.argmax(np.diff(table[:, 0]) < 0)) + 1
        warn(f"{name}: rows are not in ascending order, the first at line {lines[first]}; they were sorted")
    return table[order]


def check_rows(table: NDArray[np.float64]) -> tuple[int, str] | None:
    """The first row of a curve (n, 2), in any order, that cannot be used, and why; None if there is none."""
    x = table[:, 0]
    below = np.flatnonzero(x < 0)
    if below.size:
        return int(below[0]), f"{x[below[0]]:g} is below 0"
    order = np.argsort(x, kind="stable")
    twice = np.flatnonzero(np.diff(x[order]) == 0)
    if twice.size:
        again = int(order[twice + 1].min())
        return again, f"{x[again]:g} stands twice"
    return None

"""Small text inputs: MOSFLM orientation matrices and source lists (canonical 4, 5.2)."""

from __future__ import annotations

import math
import os
import re

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError
from .atomic import PathLike

__all__ = ["read_matrix", "read_sources"]

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

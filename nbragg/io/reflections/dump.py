"""Binary cache of a box of structure factors (canonical 7.4)."""

from __future__ import annotations

import os
import re

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError
from ..files.atomic import PathLike, write_files
from ..files.kinds import kind_named
from .reflection_list import Box, ReflectionList, sort_unique

__all__ = ["read", "read_box", "read_list", "write"]

_HEADER = kind_named("dump").pattern or re.compile(b"")


def write(path: PathLike, values: NDArray[np.float64], origin: tuple[int, int, int]) -> None:
    """Write a (nh, nk, nl) box whose first element has the indices ``origin``.

    The file holds one more plane per axis, filled with zeros.
    """
    padded = np.zeros(tuple(n + 1 for n in values.shape))
    padded[:-1, :-1, :-1] = values
    limits = " ".join(f"{first} {first + n - 1}" for first, n in zip(origin, values.shape, strict=True))
    header = limits.encode("ascii") + b"\n\f"
    write_files([(path, [header, padded.reshape(-1).view(np.uint8).data])])


def read(path: PathLike) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Read a cache.

    Returns
    -------
    values : (nh, nk, nl) float64, without the padding planes
    origin : indices of the first element

    Raises
    ------
    FileError
        Missing, not such a file, truncated, or with index ranges that do not fit its size.
    """
    name = os.fspath(path)
    try:
        size = os.path.getsize(name)
        with open(name, "rb") as stream:
            match = _HEADER.match(stream.read(256))
            if match is None:
                raise FileError(
                    f"{name} is not a structure factor dump: it does not begin with six whole numbers,"
                    " a line end and a form feed; delete it or give -hkl"
                )
            limits = [int(word) for word in match.groups()]
            counts = [last - first + 2 for first, last in zip(limits[::2], limits[1::2], strict=True)]
            if min(counts) < 2:
                raise FileError(f"{name}: inverted index ranges {limits}; delete the dump file or give -hkl")
            expected = match.end() + 8 * counts[0] * counts[1] * counts[2]
            if size != expected:
                raise FileError(
                    f"{name}: {size} bytes, but the index ranges {limits} need {expected};"
                    " the dump file is truncated or damaged: delete it or give -hkl"
                )
            stream.seek(match.end())
            values = np.fromfile(stream, dtype=np.float64)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror or error}") from error
    box = values.reshape(counts)[:-1, :-1, :-1]
    if not np.isfinite(box).all():
        raise FileError(f"{name}: not all values are finite numbers; delete the dump file or give -hkl")
    return np.ascontiguousarray(box), (limits[0], limits[2], limits[4])


def read_box(path: PathLike) -> Box:
    """`read`, as a record."""
    return Box(*read(path))


def read_list(path: PathLike) -> ReflectionList:
    """Every point of the box as a reflection in P1; errors as `read`."""
    values, origin = read(path)
    hkl = np.argwhere(np.isfinite(values)) + np.asarray(origin)
    h, k, l, F = sort_unique(hkl, values.reshape(-1))  # noqa: E741
    return ReflectionList(
        h,
        k,
        l,
        F,
        source=str(path),
        column="F of the dump file",
        unique=len(F),
        notes=("every point of the box is listed",),
    )

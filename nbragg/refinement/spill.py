"""Arrays of images that are not at work, in a temporary file without a name, which ends with the process."""

from __future__ import annotations

import atexit
import tempfile
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Slot", "fetched", "spilled"]

_files: list[IO[bytes]] = []


class Slot(NamedTuple):
    """Where arrays are in the file.

    Attributes
    ----------
    place, room : int
        First byte, and bytes.
    forms : tuple of (dtype, shape)
    """

    place: int
    room: int
    forms: tuple[tuple[str, tuple[int, ...]], ...]


def spilled(arrays: list[NDArray[Any]], slot: Slot | None = None) -> Slot:
    """Write arrays, to where others were that are no longer needed if they fit there.

    Raises
    ------
    OSError
        When the disk is full.
    """
    if not _files:
        _files.append(tempfile.TemporaryFile(prefix="nbragg-", buffering=0))  # noqa: SIM115 - until the end
        atexit.register(_files[0].close)
    file = _files[0]
    need = sum(array.nbytes for array in arrays)
    if slot is not None and need <= slot.room:
        place, room = slot.place, slot.room
    else:
        place, room = file.seek(0, 2), need
    file.seek(place)
    for array in arrays:
        left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        while len(left):
            left = left[file.write(left) :]
    return Slot(place, room, tuple((array.dtype.str, array.shape) for array in arrays))


def fetched(slot: Slot) -> list[NDArray[Any]]:
    """Read them."""
    file = _files[0]
    file.seek(slot.place)
    found = []
    for dtype, shape in slot.forms:
        array = np.empty(shape, dtype)
        left = array.reshape(-1).view(np.uint8).data
        while len(left):
            count = file.readinto(left)  # type: ignore[attr-defined]
            if not count:
                raise OSError("the temporary file is shorter than it was")
            left = left[count:]
        found.append(array)
    return found

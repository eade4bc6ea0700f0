"""Arrays of images that are not at work, in a temporary file without a name, which ends with the process."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Slot"]


class _File:
    """Places in a file that are given and given back; those of one process, whose threads share it."""

    def __init__(self) -> None:
        self.lock, self.process = threading.Lock(), os.getpid()
        self._file: IO[bytes] | None = None
        self._end = 0
        #: places that were given back, and their bytes
        self._free: dict[int, int] = {}
        #: ... since the last was taken; by finalizers, which may run at any time and so take no lock
        self._returned: deque[tuple[int, int]] = deque()

    @property
    def number(self) -> int:
        """Of the open file."""
        assert self._file is not None
        return self._file.fileno()

    def take(self, need: int) -> tuple[int, int]:
        """A place with room for that many bytes, and its room."""
        with self.lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="nbragg-", buffering=0)  # noqa: SIM115 - until the end
                weakref.finalize(self, self._file.close)
            self._collect()
            for place, room in self._free.items():
                if need <= room <= 2 * need:
                    del self._free[place]
                    return place, room
            place, self._end = self._end, self._end + need
            return place, need

    def give_back(self, place: int, room: int) -> None:
        self._returned.append((place, room))

    def _collect(self) -> None:
        """What was given back can be taken; at the end of the file it is cut off."""
        while self._returned:
            place, room = self._returned.popleft()
            self._free[place] = room
        while self._free:
            last = max(self._free)
            if last + self._free[last] < self._end:
                break
            self._end = last
            del self._free[last]
            os.ftruncate(self.number, self._end)


_current: list[_File] = []


def _file() -> _File:
    if not _current or _current[0].process != os.getpid():  # a forked child has its own
        _current[:] = [_File()]
    return _current[0]


class Slot:
    """Arrays that were written; their place is given back when nobody holds it any more.

    Parameters
    ----------
    arrays : sequence of ndarray

    Raises
    ------
    OSError
        When the disk is full.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._forms = tuple((array.dtype.str, array.shape) for array in arrays)
        self._file = _file()
        self._place, room = self._file.take(sum(array.nbytes for array in arrays))
        weakref.finalize(self, self._file.give_back, self._place, room).atexit = False
        place = self._place
        for array in arrays:
            left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            while len(left):
                count = os.pwrite(self._file.number, left, place)
                left, place = left[count:], place + count

    def read(self) -> list[NDArray[Any]]:
        """The arrays."""
        found, place = [], self._place
        for dtype, shape in self._forms:
            array = np.empty(shape, dtype)
            left = array.reshape(-1).view(np.uint8).data
            while len(left):
                count = os.preadv(self._file.number, [left], place)
                if not count:
                    raise OSError("the temporary file is shorter than it was")
                left, place = left[count:], place + count
            found.append(array)
        return found

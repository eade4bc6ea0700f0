"""HDF5 files that are written through a storage of ours, so that a full disk is an error and nothing else.

The HDF5 library cannot close a file that it could not write: it keeps the file open, and fails when the
program ends.  So here it is told that all went well, what did not fit is kept in memory, and the error is
raised by whoever asks, `NewFile.check`, and at the end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ...base.errors import FileError, NbraggError
from ...base.optional import require
from .atomic import PathLike

__all__ = ["NewFile", "told"]


@contextlib.contextmanager
def told(path: PathLike, doing: str = "write") -> Iterator[None]:
    """Errors of the system and of h5py as `FileError`, which keeps the ``errno``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, NbraggError):
            raise
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else " ".join(str(error).split())[:300]
        found = FileError(f"cannot {doing} {os.fspath(path)}: {reason}")
        found.errno = number
        raise found from error


class _Storage:
    """Bytes of a file for h5py's driver of Python objects; writing never fails, `error` says what did."""

    def __init__(self, descriptor: int) -> None:
        self.error: OSError | None = None
        self._fd = descriptor
        self._at = 0
        self._late: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = offset + (self._end() if base is None else base)
        return self._at

    def tell(self) -> int:
        return self._at

    def _end(self) -> int:
        return max([os.fstat(self._fd).st_size, *(at + len(data) for at, data in self._late)])

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += os.pwrite(self._fd, view[done:], self._at + done)
        except OSError as error:
            self.error = error
        if done < len(view):
            self._late.append((self._at + done, bytes(view[done:])))
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self._fd, len(view), self._at)
        view[:] = data + bytes(len(view) - len(data))
        for at, late in self._late:
            first, last = max(at, self._at), min(at + len(late), self._at + len(view))
            if first < last:
                view[first - self._at : last - self._at] = late[first - at : last - at]
        self._at += len(view)
        return len(view)

    def read(self, size: int) -> bytes:
        """By which h5py knows an object that is a file."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def truncate(self, size: int) -> int:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            self.error = self.error or error
        return size

    def flush(self) -> None:
        """Everything is in the system's hands already."""


class NewFile:
    """An HDF5 file to be written, a context manager; an older one of its name is overwritten.

    Parameters
    ----------
    path : path-like
    name : path-like, optional
        For messages, where it is another.

    Attributes
    ----------
    file : h5py.File

    Raises
    ------
    FileError
        When it cannot be made; at the end, and by `check`, when something could not be written.  Its
        ``errno`` is the system's.
    MissingPackageError
        Without h5py.
    """

    def __init__(self, path: PathLike, name: PathLike | None = None) -> None:
        h5py = require("h5py", extra="io", purpose="writing HDF5 files")
        self._path = path if name is None else name
        with told(self._path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._storage = _Storage(self._fd)
        try:
            self.file: Any = h5py.File(self._storage, "w")
        except BaseException:
            os.close(self._fd)
            raise

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        if self._storage.error is not None:
            with told(self._path):
                raise self._storage.error

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with told(self._path):
                self.file.close()
        finally:
            os.close(self._fd)
        if kind is None:
            self.check()

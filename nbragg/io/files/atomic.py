"""Writing files so that a reader never meets half of one.

Bytes go to a temporary file in the folder of the target, which is then renamed over it: a full disk, an
interrupt or a crash leaves the old file, if there was one, as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from ...base.errors import FileError

__all__ = [
    "check_writable",
    "is_special",
    "open_atomic",
    "place",
    "refuse_existing",
    "replacing",
    "sync",
    "write_files",
]

Buffer = bytes | memoryview
PathLike = str | os.PathLike[str]


def is_special(path: PathLike) -> bool:
    """A device or a pipe, which can only be written in place."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_writable(path: PathLike) -> None:
    """Raise :class:`FileError` when ``path`` cannot be written, without touching it."""
    name = os.fspath(path)
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        pass  # what is missing is told below
    except OSError as error:
        raise FileError(f"cannot write {name}: {error.strerror or error}; give another name") from None
    folder = os.path.dirname(os.path.realpath(name))
    if not os.path.isdir(folder):
        raise FileError(f"cannot write {name}: folder {folder} does not exist; make it first")
    if os.path.isdir(name):
        raise FileError(f"cannot write {name}: it is a folder; give a file name")
    if os.path.exists(name) and not os.access(name, os.W_OK):
        raise FileError(f"cannot write {name}: the existing file is read-only")
    if not is_special(name) and not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"cannot write {name}: no permission to write in folder {folder}")


def _failure(name: str, error: OSError) -> FileError:
    reason = error.strerror or str(error)
    return FileError(f"cannot write {name}: {reason}; an older file of that name is unchanged")


def refuse_existing(path: PathLike) -> None:
    """Raise :class:`FileError` when there is a file at ``path``; devices and pipes do not count."""
    if os.path.lexists(path) and not is_special(path):
        raise FileError(
            f"{os.fspath(path)} exists and is not to be replaced: choose another name, or leave out "
            "overwrite=False"
        )


@contextlib.contextmanager
def replacing(path: PathLike, *, overwrite: bool = True, only_writes: bool = True) -> Iterator[str]:
    """Name of a temporary file for others to write, which takes the place of ``path`` when the block ends.

    After an exception it is removed and an older file is unchanged.  Symbolic links are followed, and
    permissions of an existing file are kept.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        False refuses a file that exists, also one that appears meanwhile.
    only_writes : bool
        Whatever the operating system refuses within the block is of this file.  False: the block does other
        things too, whose errors pass as they are.

    Raises
    ------
    FileError
        The file cannot be written or renamed, or is a device or a pipe.
    """
    name = os.fspath(path)
    check_writable(name)
    if is_special(name):
        raise FileError(f"cannot write {name}: this format needs a file, not a device or a pipe")
    if not overwrite:
        refuse_existing(name)
    target = os.path.realpath(name)
    temporary = _temporary_name(target)
    ended = False
    try:
        yield temporary
        ended = True
        if overwrite:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            os.replace(temporary, target)
        else:
            _place_new(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and not isinstance(error, FileError) and (ended or only_writes):
            raise _failure(name, error) from error
        raise


def _place_new(temporary: str, target: str) -> None:
    """Name the finished file; a file that another program put there meanwhile stays."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        refuse_existing(target)
        raise
    except OSError:  # a file system without hard links
        refuse_existing(target)
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


@contextlib.contextmanager
def open_atomic(path: PathLike, mode: str = "wb", *, overwrite: bool = True) -> Iterator[IO[Any]]:
    """Open a file that appears at ``path`` only when the ``with`` block ends without an exception.

    Symbolic links are followed, permissions of an existing file are kept, and devices and pipes are
    written directly.

    Parameters
    ----------
    path : path-like
    mode : {"wb", "w"}
    overwrite : bool
        False refuses a file that exists, also one that appears meanwhile.

    Raises
    ------
    FileError
        The file cannot be created, written or renamed; an older one is unchanged.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode {mode!r}: expected 'w' or 'wb'")
    name = os.fspath(path)
    encoding = None if "b" in mode else "utf-8"
    if not is_special(name):
        with (
            replacing(name, overwrite=overwrite) as temporary,
            open(temporary, mode.replace("w", "x"), encoding=encoding) as stream,
        ):
            yield stream
        return
    check_writable(name)
    try:
        with open(name, mode, encoding=encoding) as stream:
            yield stream
    except FileError:
        raise
    except OSError as error:
        raise _failure(name, error) from error


def _temporary_name(target: str) -> str:
    folder, base = os.path.split(target)
    return os.path.join(folder, f".{base[:200]}.{os.urandom(6).hex()}.tmp")


def write_files(files: Iterable[tuple[PathLike, Sequence[Buffer]]], *, overwrite: bool = True) -> None:
    """Write several files, each a sequence of buffers, or none of them.

    Every file is complete on disk before the first one is renamed into place.
    """
    with contextlib.ExitStack() as stack:
        for path, chunks in files:
            stream = stack.enter_context(open_atomic(path, overwrite=overwrite))
            for chunk in chunks:
                stream.write(chunk)
            # a full disk must show now, while every file can still be given up
            stream.flush()


def sync(path: PathLike) -> None:
    """Have the disk hold a file, or the names in a folder, before the next step."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some file systems know no such thing for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def place(temporary: PathLike, path: PathLike) -> None:
    """Give a finished file its name, so that after a crash of the machine it is whole or not there."""
    sync(temporary)
    os.replace(temporary, path)
    sync(os.path.dirname(os.fspath(path)) or os.curdir)

"""One shard made whole, by the process that is asked for it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..base.errors import FileError
from ..base.warn import heard
from ..io.files.atomic import place, sync
from .containers.formats import FORMATS, writer
from .containers.made import Failed, Made
from .manifest import UNFINISHED, Head, Record, shard_name
from .table import PART, write_part

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DiskFull", "Job", "Order", "Source", "checksum", "fetch", "make_shard"]

_BLOCK = 1 << 22
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: of what HDF5 and others tell of it in words alone
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "errno = 28", "File too large")


class DiskFull(FileError):
    """There is no space for what is written."""


class Source(Protocol):
    """What images come from: a `Dataset`, or what acts like one."""

    def made(self, numbers: Iterable[int]) -> Iterator[Made | Failed]: ...


@dataclass(frozen=True)
class Job:
    """What all shards of a run share.

    Attributes
    ----------
    source : Source
    folder : str
    head : Head
    """

    source: Source
    folder: str
    head: Head


@dataclass(frozen=True)
class Order:
    """A job by the file it lies in, which is small enough to be sent with each shard.

    Attributes
    ----------
    path : str
    digest : str
        Of the file.
    """

    path: str
    digest: str

    @classmethod
    def put(cls, job: Job) -> Order:
        """Write a job into its folder."""
        content = pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        path = Path(job.folder, UNFINISHED, f"job-{digest}")
        try:
            temporary = path.with_name(f"{path.name}.{os.urandom(6).hex()}.tmp")
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except OSError as error:
            raise told(error, path) from error
        return cls(str(path), digest)


#: the job of this process, by its digest; one, since its tables may be large
_job: tuple[str, Job] | None = None
_lock = threading.Lock()


def fetch(order: Order) -> Job:
    """The job of an order, read once in a process.

    Raises
    ------
    FileError
        It is not there: this machine sees another folder.
    """
    global _job
    with _lock:
        if _job is None or _job[0] != order.digest:
            try:
                content = Path(order.path).read_bytes()
            except OSError as error:
                raise FileError(
                    f"a worker cannot read {order.path}: {error.strerror or error}; workers and the process "
                    "that asks them must see the same folder"
                ) from None
            if hashlib.blake2b(content, digest_size=16).hexdigest() != order.digest:
                raise FileError(f"{order.path} has changed")
            job = pickle.loads(content)
            # one image at a time on one thread: processes are the better use of cores
            with_threads = getattr(job.source, "with_threads", None)
            if with_threads is not None:
                job = dataclasses.replace(job, source=with_threads(1))
            _job = order.digest, job
        return _job[1]


def told(error: BaseException, path: str | os.PathLike[str]) -> FileError:
    """What the operating system refused, as an error of the file; of a full disk a `DiskFull`."""
    one: BaseException | None = error
    while one is not None:
        if getattr(one, "errno", None) in _FULL or any(word in str(one) for word in _FULL_WORDS):
            return DiskFull(f"no space left for {os.fspath(path)}")
        one = one.__cause__ or one.__context__
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return FileError(f"cannot write {os.fspath(path)}: {reason}")


def checksum(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Bytes of a file, and their BLAKE2b of 16 bytes, hexadecimal."""
    state, size = hashlib.blake2b(digest_size=16), 0
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            state.update(block)
            size += len(block)
    return size, state.hexdigest()


@contextlib.contextmanager
def _temporary(folder: Path, name: str) -> Iterator[Path]:
    """A name that is free, and again so when the block ends."""
    path = folder / UNFINISHED / f"{os.urandom(6).hex()}-{name}"
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def make_shard(
    job: Job, number: int, tell: Callable[[int], None] | None = None
) -> tuple[Record, float, list[str]]:
    """Make a shard and its part of the table; both appear whole, the shard last.

    Parameters
    ----------
    job : Job
    number : int
    tell : callable, optional
        Told how many images there are after each.

    Returns
    -------
    record : Record
    seconds : float
    warnings : list of str

    Raises
    ------
    DiskFull
    FileError
        It cannot be written.
    NbraggError
        The container refuses such images.
    """
    begun = time.perf_counter()
    folder, head = Path(job.folder), job.head
    suffix = FORMATS[head.format].suffix
    target = folder / "shards" / shard_name(number, suffix)
    part = folder / "table" / shard_name(number, PART)
    with (
        heard() as texts,
        _temporary(folder, target.name) as data,
        _temporary(folder, part.name) as rows_file,
    ):
        rows, failed = _write(job, number, data, target, tell)
        try:
            size, digest = checksum(data)
            record = Record(number, len(rows), size, digest, tuple(failed))
            write_part(rows_file, rows, record)
            for path in (part, target):
                if not path.parent.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    sync(path.parent.parent)
            place(rows_file, part)
            place(data, target)
        except OSError as error:
            raise told(error, target) from error
    return record, time.perf_counter() - begun, texts


def _write(
    job: Job, number: int, data: Path, target: Path, tell: Callable[[int], None] | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the images that were written, and what failed."""
    head, span = job.head, job.head.span(number)
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    made = job.source.made(span)
    try:
        with writer(head.format, str(data), len(span), head.compression) as shard:
            for one in made:
                if isinstance(one, Failed):
                    failed.append(one._asdict())
                else:
                    shard.add(one)
                    rows.append(one.labels.row())
                if tell is not None:
                    tell(len(rows) + len(failed))
    except (OSError, RuntimeError) as error:
        # HDF5 tells of a full disk by either
        found = told(error, target)
        if isinstance(found, DiskFull):
            raise found from error
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise found from error
        raise
    return rows, failed

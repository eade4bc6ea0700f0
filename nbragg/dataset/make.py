"""Making a data set: shards given to workers until all are there, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from .. import __version__
from ..base import validate as check
from ..base.errors import FileError, InputError, MissingPackageError, RenderError
from ..base.memory import readable
from ..base.warn import warn
from ..simulation.cost import time_text
from . import resume
from .cluster import Cluster
from .containers.formats import FORMATS, compression_of
from .dataset import Dataset
from .estimate import estimate
from .manifest import Head, Ledger, Manifest
from .pool import Pool
from .recipe import DatasetRecipe
from .shards import DiskFull, Job, Order
from .work import At, Done, Event, Lost, Refused, Stopped, Workers

__all__ = ["Course", "Outcome", "Stopped", "make_dataset"]

#: ends of a worker at the same shard, while no other shard is made, after which it is given up
_TRIES = 5
#: ends of workers that were at no shard yet, while none is made, after which none is started any more
_STARTS = 20
#: shards that fail before any is made, after which no more are tried
_HOPELESS = 5
#: between two words of progress, seconds
_TICK = 0.3
#: images that tell what all will cost
_SAMPLE = 4
_LARGEST = 2**48


@dataclass
class Course:
    """How far the work is.

    Attributes
    ----------
    images, shards : int
        In all.
    done, failed : int
        Images that are there, those of shards at work among them; those that could not be made.
    shards_done, bytes : int
        Shards that are there; their size.
    made : int
        Images of this run.
    seconds : float
        Of this run.
    workers : str
        Who makes them.
    lost : int
        Workers that ended in this run before their shard was there.
    """

    images: int
    shards: int
    done: int = 0
    failed: int = 0
    shards_done: int = 0
    bytes: int = 0
    made: int = 0
    seconds: float = 0.0
    workers: str = ""
    lost: int = 0

    @property
    def rate(self) -> float:
        """Images a second of this run."""
        return self.made / self.seconds if self.seconds > 0 else 0.0

    @property
    def left_s(self) -> float:
        """Seconds that the rest takes at this rate; infinite before the first image."""
        left = self.images - self.done - self.failed
        if not left:
            return 0.0
        return left / self.rate if self.rate else float("inf")


@dataclass(frozen=True)
class Outcome:
    """What a folder holds when `make_dataset` ends.

    Attributes
    ----------
    folder : Path
    images, shards, bytes : int
        That are there.
    failed : list of dict
        ``image``, ``error`` and ``parameters`` of each image that could not be made.
    bad_shards : dict
        Number and reason of each shard that is not there.
    made : int
        Images of this run.
    seconds : float
    """

    folder: Path
    images: int
    shards: int
    bytes: int
    failed: list[dict[str, Any]] = field(default_factory=list)
    bad_shards: dict[int, str] = field(default_factory=dict)
    made: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Every image is there."""
        return not (self.failed or self.bad_shards)


def make_dataset(
    dataset: Any,
    n: int | None,
    folder: str | os.PathLike[str],
    *,
    format: str | None = None,
    images_per_shard: int | None = None,
    compression: str | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    progress: Callable[[Course], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Outcome:
    """Make the images of a data set, or those that are still missing.

    Parameters
    ----------
    dataset : Dataset, or recipe as it takes it
    n : int or None
        Images in all; None: as many as the recipe says.  A folder may grow.
    folder : path-like
        New, empty, or of an earlier call with the same recipe.
    format : {"nxmx", "h5", "zarr", "webdataset"}, optional
    images_per_shard : int, optional
    compression : str, optional
        These three: None: the recipe's.
    workers : int, optional
        Processes of this machine; None: one for each core.
    scheduler : str or dask.distributed.Client, optional
        Workers of a Dask cluster instead, which see the same folder.
    progress : callable, optional
        Told the `Course` several times a second.
    say : callable, optional
        Told, in lines, what there is to do and what it costs.

    Returns
    -------
    Outcome
        Of images that could not be made too: they do not stop the others.

    Raises
    ------
    InputError
        The folder holds something else, or another process is at work in it; what was given cannot be.
    Stopped
        The disk is full, the scheduler is lost, workers cannot run: what is there stays, and the same call
        goes on later.
    MissingPackageError
    KeyboardInterrupt
        The same call goes on later.

    Notes
    -----
    Any number of workers make the same files, byte for byte.
    """
    if isinstance(dataset, (str, os.PathLike, Mapping, DatasetRecipe)):
        dataset = Dataset(dataset)
    head = _head(dataset, n, format, images_per_shard, compression)
    if workers is not None:
        check.count("workers", workers, at_least=1, at_most=4096)
        if scheduler is not None:
            raise InputError("give workers or a scheduler, not both: a cluster has its own workers")
    target = Path(folder)
    resume.check_folder(target, head)
    with resume.locked(target) as new:
        there = resume.check_folder(target, head)
        begun = time.monotonic()
        try:
            resume.lay_out(target, head, there, dataset)
            resume.clean(target)
            with Ledger(target, head) as ledger:
                resume.adopt(ledger)
                resume.merge_full(ledger)
                count = workers or len(os.sched_getaffinity(0))
                run = _Run(ledger, dataset, progress or _nothing, say or _nothing)
                run.go(count, scheduler)
                _finish(ledger)
                return run.outcome(time.monotonic() - begun)
        except (InputError, MissingPackageError):
            if there is None and not any((target / "shards").glob("*/*")):
                resume.undo(target, new=new)
            raise
        except DiskFull as error:
            raise Stopped(f"{error}: make space; {_valid(target)}") from None
        except (Stopped, OSError) as error:
            raise Stopped(f"{error}; {_valid(target)}") from error.__cause__
        finally:
            resume.clean(target)


def _nothing(_: Any) -> None:
    """Nobody listens."""


def _valid(target: Path) -> str:
    try:
        manifest = Manifest.read(target)
    except FileError:
        return "the same call goes on"
    there, shards = len(manifest.shards), manifest.head.shards
    return f"{there} of {shards} shards are there and valid, and the same call goes on"


def _head(
    dataset: Any, n: int | None, format: str | None, images_per_shard: int | None, compression: str | None
) -> Head:
    recipe = dataset.recipe
    if n is None:
        n = recipe.images
        if n is None:
            raise InputError("the recipe does not say how many images there are: give n (-n)")
    n = check.count("n", n, at_most=_LARGEST)
    given = getattr(getattr(recipe, "vary", None), "count", None)
    if given is not None and n > given:
        raise InputError(f"n is {n}, but the recipe gives {given} orientations")
    kind = check.choice("format", recipe.format if format is None else format, FORMATS)
    # of another format than the recipe's, the recipe's compression says nothing
    packing = recipe.compression if compression is None and kind == recipe.format else compression
    size = recipe.images_per_shard if images_per_shard is None else images_per_shard
    size = check.count("images_per_shard", size, at_most=1_000_000)
    moves = getattr(getattr(recipe, "vary", None), "moves_detector", False)
    if moves and FORMATS[kind].one_detector and size > 1:
        raise InputError(
            f"the recipe varies the detector, and a file of the format {kind} has one for all its images: "
            "give the format h5, zarr or webdataset, or images_per_shard 1"
        )
    return Head(
        recipe_digest=recipe.digest,
        images=n,
        images_per_shard=size,
        format=kind,
        compression=compression_of(kind, packing),
        label_images=tuple(recipe.label_images),
        versions={
            "nanobragg": __version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
            "device": getattr(getattr(dataset, "options", None), "device", "cpu"),
        },
    )


def _finish(ledger: Ledger) -> None:
    resume.merge_full(ledger, all_of_them=True)
    ledger.settle()
    dataclasses.replace(ledger.head, complete=not len(ledger.missing())).write(ledger.folder)


class _Run:
    """The missing shards of a folder, given to workers."""

    def __init__(
        self, ledger: Ledger, dataset: Any, progress: Callable[[Course], None], say: Callable[[str], None]
    ) -> None:
        self._ledger, self._dataset = ledger, dataset
        self._progress, self._say = progress, say
        head = ledger.head
        self._missing = ledger.missing()
        self._next = 0
        self._again: deque[int] = deque()
        #: shard -> images made of it
        self._running: dict[int, int] = {}
        self._deaths: dict[int, int] = {}
        self._idle_deaths = 0
        self._bad: dict[int, str] = {}
        self._full: DiskFull | None = None
        self._begun = time.monotonic()
        self._first = ledger.images + ledger.failed
        self.course = Course(head.images, head.shards)

    # ---- what is to be done ----

    def _left(self) -> bool:
        return self._full is None and (bool(self._again) or self._next < len(self._missing))

    def _take(self) -> int:
        """The next shard; those whose worker ended come last."""
        if self._next < len(self._missing):
            self._next += 1
            return int(self._missing[self._next - 1])
        return self._again.popleft()

    def go(self, count: int, scheduler: Any) -> None:
        """Until nothing is left that can be made."""
        head, there = self._ledger.head, len(self._missing)
        before = f"; {head.shards - there} are there" if there < head.shards else ""
        self._say(f"{head.images} images in {head.shards} shards of {head.images_per_shard}{before}")
        if not there:
            return
        job = Job(self._dataset, os.path.abspath(self._ledger.folder), head)
        order = Order.put(job)
        workers: Workers = Pool(order, min(count, there)) if scheduler is None else Cluster(scheduler, order)
        with _closing(workers):
            self._say(f"made by {workers.describe()}")
            if self._say is not _nothing:
                self._estimate(len(workers))  # meanwhile, processes begin
            while self._left() or self._running:
                while self._left() and workers.free():
                    shard = self._take()
                    workers.give(shard)
                    self._running[shard] = 0
                for event in workers.wait(_TICK):
                    self._heard(event)
                self._tell(workers)
        if self._full is not None:
            raise self._full

    def _estimate(self, workers: int) -> None:
        """Say what it will cost, as a few images tell."""
        if not isinstance(self._dataset, Dataset):
            return
        head = self._ledger.head
        first = int(self._missing[0]) * head.images_per_shard
        recipe = self._dataset.recipe.replace(
            images=head.images, format=head.format, images_per_shard=head.images_per_shard,
            compression=head.compression,
        )  # fmt: skip
        dataset = Dataset(recipe, device=self._dataset.options.device)
        try:
            found = estimate(dataset, sample=min(_SAMPLE, head.images - first), first=first)
        except InputError:
            return  # those that make them will tell
        left = head.images - self._ledger.images - self._ledger.failed
        seconds, size = found.seconds(left, max(workers, 1)), int(left * found.bytes_per_image)
        self._say(f"about {readable(size)} and {time_text(seconds)}")

    # ---- what happened ----

    def _heard(self, event: Event) -> None:
        if isinstance(event, At):
            if event.shard in self._running:
                self._running[event.shard] = event.images
            return
        if event.shard is not None:
            self._running.pop(event.shard, None)
        if isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Lost):
            self._lost(event)
        else:
            self._refused(event)

    def _done(self, event: Done) -> None:
        self._deaths.clear()
        self._idle_deaths = 0
        for text in event.warnings:
            warn(text)
        self._ledger.add(event.record)
        if self._ledger.group_is_full(event.shard):
            resume.merge_full(self._ledger)

    def _lost(self, event: Lost) -> None:
        self.course.lost += 1
        if event.shard is None:
            self._idle_deaths += 1
            if self._idle_deaths >= _STARTS:
                raise Stopped(f"workers end before they begin: {event.why}")
            return
        deaths = self._deaths[event.shard] = self._deaths.get(event.shard, 0) + 1
        warn(f"a worker ended ({event.why}); its shard is made again")
        if deaths < _TRIES:
            self._again.append(event.shard)
        else:
            self._give_up(event.shard, f"{deaths} workers ended at it: {event.why}; probably memory")

    def _refused(self, event: Refused) -> None:
        error = event.error
        if isinstance(error, DiskFull):
            self._full = self._full or error
        elif isinstance(error, (InputError, FileError, MissingPackageError)):
            raise error
        elif event.shard is None:
            raise error from RenderError(f"in a worker:\n{event.trace}")
        else:
            self._give_up(event.shard, f"{type(error).__name__}: {error}")
            if len(self._bad) >= _HOPELESS and self._ledger.images == 0:
                raise Stopped(f"no shard can be made: {error}") from RenderError(
                    f"in a worker:\n{event.trace}"
                )

    def _give_up(self, shard: int, why: str) -> None:
        self._bad[shard] = why
        warn(f"shard {shard} is left out: {why}")

    def _tell(self, workers: Workers) -> None:
        course, ledger = self.course, self._ledger
        course.failed, course.bytes = ledger.failed, ledger.bytes
        course.done = ledger.images + sum(self._running.values())
        course.made = course.done + course.failed - self._first
        course.shards_done = course.shards - (len(self._missing) - self._next) - len(self._again)
        course.shards_done -= len(self._running) + len(self._bad)
        course.seconds = time.monotonic() - self._begun
        course.workers = workers.describe()
        self._progress(dataclasses.replace(course))

    def outcome(self, seconds: float) -> Outcome:
        """What the folder holds."""
        ledger = self._ledger
        return Outcome(
            ledger.folder,
            ledger.images,
            ledger.head.shards - len(ledger.missing()),
            ledger.bytes,
            list(ledger.manifest().shards.failures()),
            dict(sorted(self._bad.items())),
            ledger.images + ledger.failed - self._first,
            seconds,
        )


@contextlib.contextmanager
def _closing(workers: Workers) -> Iterator[None]:
    """At once, if by an exception."""
    try:
        yield
    except BaseException:
        workers.close(at_once=True)
        raise
    workers.close(at_once=False)

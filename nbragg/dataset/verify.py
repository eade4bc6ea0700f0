"""Whether a data set is what its recipe says: all shards there and unchanged, images as they are made now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..base import validate as check
from ..base.errors import FileError, NbraggError
from .containers.formats import reader
from .containers.made import Failed, Made, Stored
from .dataset import Dataset
from .manifest import Manifest, Shard
from .resume import RECIPE
from .shards import checksum
from .table import read_rows

__all__ = ["Report", "differences", "verify"]


@dataclass
class Report:
    """What was found.

    Attributes
    ----------
    folder : Path
    shards : int
        That there should be.
    missing : list of int
        Numbers of shards that are not there.
    damaged : dict
        Number and fault of each shard whose file is not as it was written.
    checked : int
        Shards whose checksums were compared.
    compared : list of int
        Numbers of the images that were made again.
    different : dict
        Number of each image that is not what is made now, and in what they differ.
    failed : int
        Images that could not be made when the set was.
    """

    folder: Path
    shards: int
    missing: list[int] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    checked: int = 0
    compared: list[int] = field(default_factory=list)
    different: dict[int, list[str]] = field(default_factory=dict)
    failed: int = 0

    @property
    def ok(self) -> bool:
        """Nothing is missing, damaged or different."""
        return not (self.missing or self.damaged or self.different)


def verify(
    folder: str | os.PathLike[str],
    *,
    images: int = 20,
    shards: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    dataset: Any = None,
    progress: Callable[[float], object] | None = None,
) -> Report:
    """Compare checksums of shards with those of the records, and images with what the recipe makes now.

    Parameters
    ----------
    folder : path-like
        Of the data set, which need not be complete.
    images : int
        A random sample of so many is made again, and compared bit for bit: pixels, labels and row of the
        table; 0: none.
    shards : int, optional
        Checksums of a random sample of so many; None: of all.
    seed : int
        Of the samples.
    workers : int, optional
        Threads that read files, and CPU threads of the renderer; None: one for each core.
    dataset : Dataset, optional
        That makes the images; None: the recipe in the folder.
    progress : callable, optional
        Told the part that is done.

    Returns
    -------
    Report

    Raises
    ------
    InputError
    FileError
        The folder is no data set, or its records or its recipe cannot be read.
    MissingPackageError
    """
    images = check.count("images", images, at_least=0)
    shards = check.optional_count("shards", shards, at_least=0)
    workers = check.optional_count("workers", workers, at_most=4096)
    manifest = Manifest.read(folder)
    random = np.random.default_rng(check.count("seed", seed, at_least=0))
    report = Report(manifest.folder, manifest.head.shards, failed=manifest.shards.failed)
    report.missing = [int(k) for k in manifest.missing()]
    chosen = _sample(random, len(manifest.shards), shards)
    threads = workers or len(os.sched_getaffinity(0))
    numbers = _images(random, manifest, images)
    total, done = len(chosen) + len(numbers), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done / total)

    with ThreadPoolExecutor(threads) as pool:
        # a few at a time: there may be a million
        for start in range(0, len(chosen), 1000):
            some = [manifest.shards[int(i)] for i in chosen[start : start + 1000]]
            for shard, fault in zip(some, pool.map(_fault, some), strict=True):
                if fault:
                    report.damaged[shard.number] = fault
                tick()
    report.checked = len(chosen)
    if numbers:
        source = Dataset(manifest.folder / RECIPE, threads=workers) if dataset is None else dataset
        _compare(report, manifest, source, numbers, tick)
    return report


def _sample(random: np.random.Generator, count: int, wanted: int | None) -> Any:
    if wanted is None or wanted >= count:
        return np.arange(count)
    return np.sort(random.choice(count, wanted, replace=False))


def _fault(shard: Shard) -> str:
    """What is wrong with the file of a shard; "": nothing."""
    try:
        size = shard.path.stat().st_size
        if size != shard.bytes:
            return f"{size} bytes, {shard.bytes} were written"
        if checksum(shard.path)[1] != shard.checksum:
            return "its checksum has changed"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return ""


def _images(random: np.random.Generator, manifest: Manifest, wanted: int) -> list[int]:
    """Numbers of images that are there, drawn without a list of all."""
    counts = manifest.shards.images.astype(np.int64)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    wanted = min(wanted, total)
    chosen: set[int] = set()
    while len(chosen) < wanted:
        chosen.add(int(random.integers(total)))
    found = []
    for place in chosen:
        i = int(np.searchsorted(ends, place, side="right"))
        shard = manifest.shards[i]
        found.append(_there(manifest, shard)[place - int(ends[i] - counts[i])])
    return sorted(found)


def _there(manifest: Manifest, shard: Shard) -> list[int]:
    """Numbers of the images in a shard, in their order."""
    failed = {one["image"] for one in shard.failed}
    return [i for i in manifest.head.span(shard.number) if i not in failed]


def _compare(
    report: Report, manifest: Manifest, source: Any, numbers: list[int], tick: Callable[[], None]
) -> None:
    rows = read_rows(manifest.folder, numbers)
    of: dict[int, list[int]] = {}
    for image in numbers:
        of.setdefault(image // manifest.images_per_shard, []).append(image)
    for number, some in of.items():
        shard = manifest.shards.named(number)
        places = {image: i for i, image in enumerate(_there(manifest, shard))}
        try:
            stored = _read(manifest.format, shard, [places[image] for image in some])
        except (NbraggError, OSError, ValueError, KeyError, RuntimeError) as error:
            report.damaged.setdefault(number, f"it cannot be read: {error}")
            for _ in some:
                tick()
            continue
        for image, old, made in zip(some, stored, source.made(some), strict=True):
            report.compared.append(image)
            found = differences(old, made)
            if isinstance(made, Made) and not _same_row(rows.get(image), made.labels.row()):
                found.append("row of the table")
            if found:
                report.different[image] = found
            tick()


def _read(format: str, shard: Shard, places: Iterable[int]) -> list[Stored]:
    opened = reader(format, str(shard.path))
    try:
        if len(opened) != shard.images:
            raise FileError(f"{shard.path} holds {len(opened)} images, not {shard.images}")
        return [opened.read(i) for i in places]
    finally:
        opened.close()


def differences(stored: Stored, made: Made | Failed) -> list[str]:
    """Names of what is not the same bit for bit: "image", and labels."""
    if isinstance(made, Failed):
        return [f"it cannot be made: {made.error}"]
    found = [] if _same_array(stored.image, made.image) else ["image"]
    for name in made.labels:
        if name not in stored.labels or not _same(stored.labels[name], made.labels[name]):
            found.append(name)
    return found


def _same(old: Any, new: Any) -> bool:
    """Containers may keep a list as an array, and a number as one of NumPy's."""
    if isinstance(new, Mapping):
        return (
            isinstance(old, Mapping)
            and set(old) == set(new)
            and all(_same(old[name], new[name]) for name in new)
        )
    if isinstance(new, str) or new is None:
        return bool(old == new)
    return _same_array(np.asarray(old), np.asarray(new))


def _same_array(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> bool:
    if old.shape != new.shape:
        return False
    if old.dtype == new.dtype and not new.dtype.hasobject and new.dtype.names is None:
        return old.tobytes() == new.tobytes()
    if new.dtype.names is not None:
        return old.dtype.names == new.dtype.names and all(
            _same_array(np.asarray(old[name]), np.asarray(new[name])) for name in new.dtype.names
        )
    if new.dtype.kind in "fc":
        if old.dtype.kind not in "fciub":
            return False
        return bool(np.array_equal(old, new, equal_nan=True))
    return old.dtype.kind not in "fc" and bool(np.array_equal(old, new))


def _same_row(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """Of a row, what an image lacks is empty."""
    if old is None:
        return False
    names = {name for name, value in old.items() if value is not None} | set(new)
    return all(_same_value(old.get(name), new.get(name)) for name in names)


def _same_value(old: Any, new: Any) -> bool:
    if new is None or isinstance(new, str):
        return bool(old == new)
    return old is not None and bool(np.array_equal(np.asarray(old), np.asarray(new)))

"""The folder of a data set before work begins: begun, or as an earlier run left it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import FileError, InputError
from ..base.warn import warn
from ..io.files.atomic import sync
from .containers.formats import FORMATS
from .manifest import LOG, MANIFEST, PER_FOLDER, SHARDS, UNFINISHED, Head, Ledger, shard_name
from .shards import checksum, told
from .table import PART, merge, part_record

__all__ = ["adopt", "check_folder", "clean", "discard", "locked", "lay_out", "merge_full", "undo"]

LOCK, RECIPE = "lock", "recipe.json"
#: what may lie in a folder where a run was stopped before it had written its manifest
_OURS = {LOCK, UNFINISHED, LOG, SHARDS, "shards", "table", "lost+found"}
#: what `DatasetRecipe.save` writes; where nothing was begun, somebody else's
_RECIPES = re.compile(r"recipe(\..*)?\.(json|npz|npy)")


def check_folder(folder: Path, head: Head) -> Head | None:
    """What a folder holds, if this recipe can go on with it; None: nothing yet.

    Raises
    ------
    InputError
        It holds something else.
    FileError
    """
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InputError(f"{folder} is a file or below one; give a folder") from None
    except OSError as error:
        raise FileError(f"cannot read {folder}: {error.strerror or error}") from None
    if MANIFEST not in names:
        # begun here before, and ended before there was a manifest
        begun = {LOCK, UNFINISHED} <= names
        other = sorted(name for name in names - _OURS if not (begun and _RECIPES.fullmatch(name)))
        if other:
            raise InputError(f"{folder} holds other things ({other[0]}): give an empty folder, or a new name")
        return None
    there = Head.read(folder)
    if there.recipe_digest != head.recipe_digest:
        raise InputError(
            f"{folder} holds the images of another recipe (digest {there.recipe_digest}, this one "
            f"{head.recipe_digest}): give another folder"
        )
    for name, option in (
        ("format", "--format"),
        ("images_per_shard", "--shard-size"),
        ("compression", "--compression"),
    ):
        old, new = getattr(there, name), getattr(head, name)
        if old != new:
            raise InputError(
                f"{folder} was begun with {name} {old!r}, not {new!r}: go on with {option} {old}, or give "
                "another folder"
            )
    if head.images < there.images:
        raise InputError(
            f"{folder} is to hold {there.images} images, more than {head.images}: give -n {there.images} or "
            "more, or another folder"
        )
    for name, version in head.versions.items():
        if there.versions.get(name, version) != version:
            warn(
                f"{folder} was begun with {name} {there.versions[name]}, which may have made other images "
                f"than {version} does now"
            )
    return there


def lay_out(folder: Path, head: Head, there: Head | None, source: Any) -> None:
    """Write the recipe and the manifest, where they are not there or the number of images has grown."""
    (folder / UNFINISHED).mkdir(parents=True, exist_ok=True)
    for name in ("shards", "table"):
        (folder / name).mkdir(exist_ok=True)
    if there is None:
        recipe = getattr(source, "recipe", None)
        if recipe is not None:
            recipe.save(folder / RECIPE)
    if there is None or there.images != head.images:
        head.write(folder)  # not complete
    sync(folder)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Nobody else makes shards in the folder meanwhile; whether it was made for that.

    The system lets go of the lock when the process ends, however it ends.

    Raises
    ------
    InputError
        Somebody else does.
    FileError
        The folder cannot be made or written.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "a+")  # noqa: SIM115  it stays open
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise told(error, folder) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                lock.seek(0)
                who = " ".join(lock.read().split())
                raise InputError(
                    f"another process makes images in {folder}{f' ({who})' if who else ''}: wait for it, or "
                    "give another folder"
                ) from None
            warn(f"{folder} lies where files cannot be locked: let no second process make images there")
        # whose it is, for the message; a full disk need not know
        with contextlib.suppress(OSError):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
        yield new


def clean(folder: Path) -> None:
    """Remove what was not finished."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder / UNFINISHED):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def undo(folder: Path, *, new: bool) -> None:
    """Leave nothing of a run that could not make its first shard."""
    for name in (UNFINISHED, "shards", "table"):
        shutil.rmtree(folder / name, ignore_errors=True)
    recipes = [path for path in folder.glob("recipe.*") if _RECIPES.fullmatch(path.name)]
    for path in (*recipes, *(folder / name for name in (MANIFEST, LOG, SHARDS, LOCK))):
        path.unlink(missing_ok=True)
    if new:
        with contextlib.suppress(OSError):
            folder.rmdir()


def discard(folder: str | os.PathLike[str], numbers: Iterable[int]) -> None:
    """Take shards away, so that `make` makes them again.

    Parameters
    ----------
    folder : path-like
        Of a data set that nobody is at work in.
    numbers : iterable of int
        Of shards that are there.

    Raises
    ------
    InputError
        Another process makes images there.
    FileError
    """
    target = Path(folder)
    head = Head.read(target)
    with locked(target), Ledger(target, head) as ledger:
        (target / UNFINISHED).mkdir(exist_ok=True)
        dataclasses.replace(head, complete=False).write(target)
        for number in numbers:
            # the record first: of a file that is left without one, `adopt` looks whether it is whole
            ledger.drop(number)
            path = target / "shards" / shard_name(number, FORMATS[head.format].suffix)
            path.unlink(missing_ok=True)


def adopt(ledger: Ledger) -> int:
    """Take shards into the records that are whole and unknown to them, and others away; how many there were.

    The process that kept the records may have ended before it heard of them, and the last shard of what was a
    smaller set holds too few images.  Only places of shards that are missing are looked at.
    """
    head, folder = ledger.head, ledger.folder
    for number in ledger.short():
        ledger.drop(number)
    suffix = FORMATS[head.format].suffix
    pattern = re.compile(r"(\d+)" + re.escape(suffix))
    missing = ledger.missing()
    found = 0
    for group in np.unique(missing // PER_FOLDER):
        wanted = set(missing[missing // PER_FOLDER == group].tolist())
        try:
            names = os.listdir(folder / "shards" / f"{group:04d}")
        except FileNotFoundError:
            continue
        numbers = [int(m.group(1)) for m in map(pattern.fullmatch, names) if m]
        found += sum(_adopted(ledger, number, suffix) for number in numbers if number in wanted)
    return found


def _adopted(ledger: Ledger, number: int, suffix: str) -> bool:
    """Whether a file that is there is the shard that its part of the table speaks of."""
    data = ledger.folder / "shards" / shard_name(number, suffix)
    part = ledger.folder / "table" / shard_name(number, PART)
    record = part_record(part)
    whole = (
        record is not None
        and record.number == number
        and record.images + len(record.failed) == len(ledger.head.span(number))
        and data.stat().st_size == record.bytes
        and checksum(data)[1] == record.checksum
    )
    if whole:
        assert record is not None
        ledger.add(record)
    else:
        data.unlink()
        part.unlink(missing_ok=True)
    return whole


def merge_full(ledger: Ledger, *, all_of_them: bool = False) -> None:
    """Join the parts of the table whose folder of shards is full, or of all folders."""
    for entry in sorted(os.listdir(ledger.folder / "table")):
        if re.fullmatch(r"\d+", entry) and (all_of_them or ledger.group_is_full(int(entry) * PER_FOLDER)):
            merge(ledger.folder, ledger.head, int(entry))

"""What the folder of a data set holds: its recipe, its shards, and which of them are there.

=======================  ============================================================================
``manifest.json``        what never changes while it is made (`Head`)
``recipe.json``          the recipe, with what its files said
``shards.parquet``       a record of each shard: number, images, bytes, checksum, failed
``shards.log``           records since then, a JSON line each, appended by the one process that makes
``shards/0012/012345.*`` shard 12345, 1000 to a folder
``table/``               numbers and words of each image (`nbragg.dataset.table`)
``unfinished/``          what is being written, or was when it was stopped
``lock``                 held by the process that makes
=======================  ============================================================================

A shard is there when its file is: the file gets its name last.  Records are what a look at a million files
would tell, so that nobody needs to look.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FileError
from ..base.optional import require
from ..io.files.atomic import place
from .containers.formats import FORMATS

__all__ = ["PER_FOLDER", "Head", "Ledger", "Manifest", "Record", "Shard", "Shards", "shard_name"]

#: shards in a folder
PER_FOLDER = 1000
VERSION = 1
#: records in the log before they go into the Parquet file
_LOG_LIMIT = 20_000

MANIFEST, SHARDS, LOG, UNFINISHED = "manifest.json", "shards.parquet", "shards.log", "unfinished"
_PURPOSE = "the records of a data set"


def shard_name(number: int, suffix: str) -> str:
    """Path of a shard below ``shards/``, or of its part below ``table/``."""
    return f"{number // PER_FOLDER:04d}/{number:06d}{suffix}"


class Record(NamedTuple):
    """A shard that was made.

    Attributes
    ----------
    number : int
    images : int
        That it holds.
    bytes : int
    checksum : str
        BLAKE2b of 16 bytes of the file, hexadecimal.
    failed : tuple of dict
        ``image``, ``error`` and ``parameters`` of each image that could not be made.
    """

    number: int
    images: int
    bytes: int
    checksum: str
    failed: tuple[dict[str, Any], ...] = ()

    def text(self) -> str:
        """As a line."""
        return json.dumps(self._asdict(), default=_plain, separators=(",", ":"))

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Record:
        """From what `text` wrote."""
        return cls(**{**stored, "failed": tuple(stored["failed"])})


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)


class Shard(NamedTuple):
    """A shard that is there.

    Attributes
    ----------
    number : int
        It holds images ``number * images_per_shard`` and on, without those that failed.
    path : Path
    images : int
        That it holds.
    failed : tuple of dict
        ``image``, ``error`` and ``parameters`` of each that could not be made.
    bytes : int
    checksum : str
        BLAKE2b of 16 bytes, hexadecimal.
    """

    number: int
    path: Path
    images: int
    failed: tuple[dict[str, Any], ...]
    bytes: int
    checksum: str


@dataclass(frozen=True)
class Head:
    """What is decided before the first shard.

    Attributes
    ----------
    recipe_digest : str
        Of what decides pixels and labels.
    images, images_per_shard : int
        ``images`` may grow.
    format, compression : str
    label_images : tuple of str
    versions : dict
        Of the programs that made it.
    complete : bool
        All shards are there.
    """

    recipe_digest: str
    images: int
    images_per_shard: int
    format: str
    compression: str
    label_images: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def shards(self) -> int:
        """How many it takes."""
        return -(-self.images // self.images_per_shard)

    def span(self, number: int) -> range:
        """Numbers of the images of a shard, those that failed among them."""
        first = number * self.images_per_shard
        return range(first, min(first + self.images_per_shard, self.images))

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, which appears whole."""
        temporary = folder / UNFINISHED / MANIFEST
        document = {"nanobragg_dataset": VERSION, **dataclasses.asdict(self)}
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        place(temporary, folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Head:
        """From ``manifest.json``.

        Raises
        ------
        FileError
            There is none, or none that this program can read.
        """
        path = folder / MANIFEST
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            version = stored.pop("nanobragg_dataset")
            if version != VERSION:
                raise FileError(f"{path} is of version {version!r}; this program reads version {VERSION}")
            known = {one.name for one in dataclasses.fields(cls)}
            values = {key: value for key, value in stored.items() if key in known}
            return cls(**{**values, "label_images": tuple(values.get("label_images", ()))})
        except FileNotFoundError:
            raise FileError(
                f"{folder} is no data set: it has no {MANIFEST}; nbragg dataset make makes one"
            ) from None
        except FileError:
            raise
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileError(f"{path} is not the manifest of a data set: {error}") from None


class _Records:
    """Records by number: arrays, in which a million take 30 MB."""

    def __init__(self, count: int) -> None:
        self.images = np.full(count, -1, np.int32)  #: -1: not there
        self.bytes = np.zeros(count, np.int64)
        self.checksum = np.zeros((count, 16), np.uint8)
        #: number -> JSON of what failed
        self.failed: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.images)

    def put(self, record: Record) -> None:
        k = record.number
        self.images[k], self.bytes[k] = record.images, record.bytes
        self.checksum[k] = np.frombuffer(bytes.fromhex(record.checksum), np.uint8)
        self.failed.pop(k, None)
        if record.failed:
            self.failed[k] = json.dumps(record.failed, default=_plain)

    def drop(self, k: int) -> None:
        self.images[k] = -1
        self.failed.pop(k, None)

    def save(self, path: Path, temporary: Path) -> None:
        pa = require("pyarrow", extra="dataset", purpose=_PURPOSE)
        parquet = require("pyarrow.parquet", extra="dataset", purpose=_PURPOSE)
        there = np.flatnonzero(self.images >= 0)
        sums = pa.py_buffer(np.ascontiguousarray(self.checksum[there]))
        failed = np.full(len(there), None, object)
        for k, text in self.failed.items():
            failed[np.searchsorted(there, k)] = text
        table = pa.table(
            {
                "number": there,
                "images": self.images[there],
                "bytes": self.bytes[there],
                "checksum": pa.Array.from_buffers(pa.binary(16), len(there), [None, sums]),
                "failed": pa.array(failed, pa.string()),
            }
        )
        parquet.write_table(table, temporary, compression="zstd")
        place(temporary, path)

    def load(self, path: Path) -> None:
        parquet = require("pyarrow.parquet", extra="dataset", purpose=_PURPOSE)
        try:
            # nothing here is large enough for several threads
            table = parquet.read_table(path, use_threads=False).combine_chunks()
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise FileError(f"cannot read {path}: {error}") from None
        if not len(table):
            return
        numbers = table["number"].to_numpy()
        inside = numbers < len(self)
        numbers = numbers[inside]
        self.images[numbers] = table["images"].to_numpy()[inside]
        self.bytes[numbers] = table["bytes"].to_numpy()[inside]
        (sums,) = table["checksum"].chunks
        raw = np.frombuffer(sums.buffers()[1], np.uint8, 16 * len(sums), 16 * sums.offset)
        self.checksum[numbers] = raw.reshape(-1, 16)[inside]
        failed = table["failed"]
        if failed.null_count < len(failed):
            texts = failed.to_pylist()
            for row in np.flatnonzero(failed.is_valid().to_numpy()):
                k = int(table["number"][int(row)].as_py())
                if k < len(self):
                    self.failed[k] = texts[row]

    def replay(self, lines: bytes) -> int:
        """Put and drop as the log says; how many lines it has.  A line that was cut short does not count."""
        whole = lines[: lines.rfind(b"\n") + 1]
        if not whole:
            return 0
        try:
            found = json.loads(b"[" + whole.rstrip(b"\n").replace(b"\n", b",") + b"]")
        except ValueError as error:
            raise FileError(f"{LOG} is damaged: {error}") from None
        for line in found:
            if "drop" in line:
                self.drop(line["drop"])
            elif line["number"] < len(self):
                self.put(Record.of(line))
        return len(found)


def _recorded(folder: Path, count: int) -> tuple[_Records, int]:
    """Records, and how many of them are in the log."""
    # the log first: it is emptied after its records are in the other file
    try:
        lines = (folder / LOG).read_bytes()
    except FileNotFoundError:
        lines = b""
    records = _Records(count)
    records.load(folder / SHARDS)
    return records, records.replay(lines)


class Shards(Sequence[Shard]):
    """The shards that are there, by rising number; made when they are asked for."""

    def __init__(self, folder: Path, suffix: str, records: _Records) -> None:
        self._folder, self._suffix, self._records = folder, suffix, records
        self._numbers = np.flatnonzero(records.images >= 0)

    @property
    def numbers(self) -> NDArray[np.int64]:
        return self._numbers

    @property
    def images(self) -> NDArray[np.int32]:
        """That each holds."""
        counts: NDArray[np.int32] = self._records.images[self._numbers]
        return counts

    @property
    def bytes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = self._records.bytes[self._numbers]
        return sizes

    @property
    def failed(self) -> int:
        """How many images failed in all."""
        return sum(len(json.loads(text)) for text in self._records.failed.values())

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, i: int) -> Shard: ...
    @overload
    def __getitem__(self, i: slice) -> list[Shard]: ...
    def __getitem__(self, i: int | slice) -> Shard | list[Shard]:
        if isinstance(i, slice):
            return [self.named(int(k)) for k in self._numbers[i]]
        return self.named(int(self._numbers[i]))

    def named(self, number: int) -> Shard:
        """The shard of a number.

        Raises
        ------
        KeyError
            It is not there.
        """
        records = self._records
        if not 0 <= number < len(records) or records.images[number] < 0:
            raise KeyError(number)
        return Shard(
            number,
            self._folder / "shards" / shard_name(number, self._suffix),
            int(records.images[number]),
            tuple(json.loads(records.failed.get(number, "[]"))),
            int(records.bytes[number]),
            records.checksum[number].tobytes().hex(),
        )

    def failures(self) -> Iterator[dict[str, Any]]:
        """``image``, ``error`` and ``parameters`` of all images that failed."""
        for number in sorted(self._records.failed):
            yield from json.loads(self._records.failed[number])


class Manifest:
    """What a folder holds, as it was when it was read.

    Attributes
    ----------
    folder : Path
    head : Head
    shards : Shards
        Those that are there.
    """

    def __init__(self, folder: Path, head: Head, records: _Records) -> None:
        self.folder, self.head = folder, head
        self.shards = Shards(folder, FORMATS[head.format].suffix, records)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Manifest:
        """The manifest of a folder, in which another process may be at work.

        Raises
        ------
        FileError
            It is no data set, or its records are damaged.
        MissingPackageError
            Without pyarrow.
        """
        place_ = Path(folder)
        head = Head.read(place_)
        if head.format not in FORMATS:
            raise FileError(f"{place_ / MANIFEST}: unknown format {head.format!r}")
        return cls(place_, head, _recorded(place_, head.shards)[0])

    @property
    def format(self) -> str:
        return self.head.format

    @property
    def images(self) -> int:
        """That it has when it is complete, those that failed among them."""
        return self.head.images

    @property
    def images_per_shard(self) -> int:
        return self.head.images_per_shard

    @property
    def recipe_digest(self) -> str:
        return self.head.recipe_digest

    def missing(self) -> NDArray[np.int64]:
        """Numbers of the shards that are not there."""
        mask = np.ones(self.head.shards, bool)
        mask[self.shards.numbers] = False
        return np.flatnonzero(mask)


class Ledger:
    """The records of a folder, kept by the one process that makes its shards; a context manager."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder, self.head = folder, head
        self._records, self._logged = _recorded(folder, head.shards)
        self._cut(folder / LOG)
        self._log = open(folder / LOG, "ab")  # noqa: SIM115  it stays open
        self.images = int(self._records.images[self._records.images >= 0].sum())
        self.failed = self.manifest().shards.failed
        self.bytes = int(self._records.bytes[self._records.images >= 0].sum())

    @staticmethod
    def _cut(path: Path) -> None:
        """Take away a last line that was cut short."""
        if path.exists():
            lines = path.read_bytes()
            if not lines.endswith(b"\n") and lines:
                os.truncate(path, lines.rfind(b"\n") + 1)

    def manifest(self) -> Manifest:
        """What is there."""
        return Manifest(self.folder, self.head, self._records)

    def missing(self) -> NDArray[np.int64]:
        """Numbers of the shards that are not there."""
        return np.flatnonzero(self._records.images < 0)

    def short(self) -> list[int]:
        """Numbers of shards that hold less than they would now: the last of what was a smaller set."""
        held = self._records.images.astype(np.int64)
        for k, text in self._records.failed.items():
            held[k] += len(json.loads(text))
        wanted = np.full(len(held), self.head.images_per_shard)
        if len(wanted):
            wanted[-1] = len(self.head.span(len(wanted) - 1))
        return [int(k) for k in np.flatnonzero((self._records.images >= 0) & (held != wanted))]

    def group_is_full(self, number: int) -> bool:
        """Whether all shards of the folder that a shard lies in are there."""
        first = number - number % PER_FOLDER
        group = self._records.images[first : first + PER_FOLDER]
        return len(group) == PER_FOLDER and bool((group >= 0).all())

    def add(self, record: Record) -> None:
        """A shard is there."""
        self._records.put(record)
        self.images += record.images
        self.bytes += record.bytes
        self.failed += len(record.failed)
        self._write(record.text())

    def drop(self, number: int) -> None:
        """A shard is to be made again."""
        if self._records.images[number] < 0:
            return
        shard = self.manifest().shards.named(number)
        self.images -= shard.images
        self.bytes -= shard.bytes
        self.failed -= len(shard.failed)
        self._records.drop(number)
        self._write(json.dumps({"drop": number}))

    def _write(self, line: str) -> None:
        # not synced for each: what a crash of the machine takes away is found again by looking at the files
        self._log.write(line.encode() + b"\n")
        self._log.flush()
        self._logged += 1
        if self._logged >= _LOG_LIMIT:
            self.settle()

    def settle(self) -> None:
        """Bring the records of the log into the Parquet file."""
        if not self._logged:
            return
        self._records.save(self.folder / SHARDS, self.folder / UNFINISHED / SHARDS)
        self._log.truncate(0)
        self._logged = 0

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

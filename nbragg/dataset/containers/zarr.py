"""Zarr, format 2, in one zip file a shard: the arrays ``images``, ``labels/...`` and ``masks``.

The files of the format are few and plain, so they are written here: the same images give the same bytes,
which the zarr package, with its times of day, does not promise.  It reads them, in its versions 2 and 3.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.optional import require
from ...io.files.hdf5 import told
from .columns import REFLECTION_ROWS, Gathered, LabelTable
from .frames import Alike, Masks
from .made import Made
from .reader import LABEL_IMAGES_IN, ArrayReader, reading

__all__ = ["Reader", "Writer", "writing"]

Array = NDArray[Any]

#: the first that a zip file can say
_NO_TIME = (1980, 1, 1, 0, 0, 0)

_COMPRESSORS: dict[str, dict[str, Any] | None] = {
    "bitshuffle": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 2, "blocksize": 0},
    "lz4": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    "gzip": {"id": "zlib", "level": 1},
    "none": None,
}


def _codec(settings: Mapping[str, Any] | None) -> Any:
    codecs = require("numcodecs", extra="zarr", purpose="Zarr files")
    return None if settings is None else codecs.get_codec(dict(settings))


class _Archive:
    """A zip file to which the members of arrays are added."""

    def __init__(self, path: str, stream: zipfile.ZipFile, compression: str) -> None:
        self._path, self._stream = path, stream
        self._settings = _COMPRESSORS[compression]
        self._codec = _codec(self._settings)
        self._meta: dict[str, Any] = {}

    def _put(self, name: str, data: bytes) -> None:
        member = zipfile.ZipInfo(name, _NO_TIME)
        member.create_system, member.external_attr = 3, 0o644 << 16
        with told(self._path):
            self._stream.writestr(member, data)

    def chunk(self, name: str, number: int, values: Array) -> None:
        """A chunk of an array: number ``number`` along the first axis, all of the others."""
        packed = np.ascontiguousarray(values)
        data = packed.tobytes() if self._codec is None else bytes(self._codec.encode(packed))
        self._put(f"{name}/{number}{'.0' * (values.ndim - 1)}", data)

    def describe(self, name: str, shape: tuple[int, ...], rows: int, dtype: np.dtype[Any]) -> None:
        """Its description; ``rows`` are those of a chunk."""
        fields: Any = dtype.str
        if dtype.fields:
            fields = [[one, dtype[one].str] for one in dtype.names or ()]
        self._meta[f"{name}/.zarray"] = {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": [max(rows, 1), *shape[1:]],
            "dtype": fields,
            "compressor": self._settings,
            "fill_value": None,
            "order": "C",
            "filters": None,
        }
        parts = name.split("/")[:-1]
        for depth in range(len(parts) + 1):
            self._meta["/".join([*parts[:depth], ".zgroup"])] = {"zarr_format": 2}

    def array(self, name: str, values: Array) -> None:
        """A whole array."""
        rows = REFLECTION_ROWS if name.endswith("/values") else max(len(values), 1)
        for number, first in enumerate(range(0, len(values), rows)):
            part = values[first : first + rows]
            if len(part) < rows:  # chunks of the format are full
                part = np.concatenate([part, np.zeros((rows - len(part), *part.shape[1:]), part.dtype)])
            self.chunk(name, number, part)
        self.describe(name, values.shape, rows, values.dtype)

    def finish(self) -> None:
        """The descriptions, each where the format has it, and all together."""
        for name, what in sorted(self._meta.items()):
            self._put(name, json.dumps(what, indent=1).encode())
        together = {"zarr_consolidated_format": 1, "metadata": self._meta}
        self._put(".zmetadata", json.dumps(together, indent=1, sort_keys=True).encode())


class Writer:
    """A shard that is being written."""

    def __init__(self, path: str, archive: _Archive) -> None:
        self._archive = archive
        self._alike, self._labels, self._masks = Alike(path), Gathered(), Masks()
        self._kinds: dict[str, Array] = {}

    def add(self, made: Made) -> None:
        """Add an image.

        Raises
        ------
        InputError
            One of another shape or type than the first.
        FileError
        """
        i = self._alike.count
        for name, array in self._alike.arrays(made).items():
            place = LABEL_IMAGES_IN + name if name else "images"
            self._kinds.setdefault(place, array[np.newaxis][:0])
            self._archive.chunk(place, i, array[np.newaxis])
        self._labels.add(made.labels, self._masks.number(made.mask))

    def finish(self) -> None:
        """What is written once."""
        for name, none in self._kinds.items():
            self._archive.describe(name, (len(self._labels), *none.shape[1:]), 1, none.dtype)
        arrays = self._labels.arrays()
        if self._masks.known:
            arrays["masks"] = np.stack(self._masks.known)
        for name, values in arrays.items():
            self._archive.array(name, values)
        self._archive.finish()


@contextlib.contextmanager
def writing(path: str, count: int, compression: str) -> Iterator[Writer]:
    """A shard of images to be written at ``path``."""
    with told(path):
        stream = zipfile.ZipFile(path, "w")
    try:
        writer = Writer(path, _Archive(path, stream, compression))
        yield writer
        writer.finish()
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            stream.close()
        raise
    with told(path):
        stream.close()


class _ZipArrays:
    """Arrays of a zip file, by name."""

    def __init__(self, path: str) -> None:
        self._zip = zipfile.ZipFile(path)
        self._meta: dict[str, dict[str, Any]] = {}
        for name, what in json.loads(self._zip.read(".zmetadata"))["metadata"].items():
            if name.endswith("/.zarray"):
                self._meta[name[: -len("/.zarray")]] = what
        self._codecs: dict[str, Any] = {}
        self._last: tuple[str, int, Array] | None = None

    def names(self) -> Iterable[str]:
        return list(self._meta)

    def _chunk(self, name: str, number: int) -> Array:
        if self._last is not None and self._last[:2] == (name, number):
            return self._last[2]
        meta = self._meta[name]
        data: Any = self._zip.read(f"{name}/{number}{'.0' * (len(meta['shape']) - 1)}")
        key = json.dumps(meta["compressor"])
        if key not in self._codecs:
            self._codecs[key] = _codec(meta["compressor"])
        if self._codecs[key] is not None:
            data = self._codecs[key].decode(data)
        values: Array = np.frombuffer(data, dtype=_dtype(meta["dtype"])).reshape(meta["chunks"])
        if name == "labels/reflections/values":
            self._last = (name, number, values)  # neighbours share it
        return values

    def rows(self, name: str, first: int = 0, last: int | None = None) -> Array:
        meta = self._meta[name]
        end = meta["shape"][0] if last is None else last
        size = meta["chunks"][0]
        parts = []
        for number in range(first // size, -(-end // size)):
            start = number * size
            parts.append(self._chunk(name, number)[max(first - start, 0) : end - start])
        if not parts:
            return np.empty((0, *meta["shape"][1:]), _dtype(meta["dtype"]))
        return np.concatenate(parts) if len(parts) > 1 else np.array(parts[0])

    def close(self) -> None:
        self._zip.close()


def _dtype(description: Any) -> np.dtype[Any]:
    if isinstance(description, str):
        return np.dtype(description)
    return np.dtype([(name, kind) for name, kind in description])


class Reader(ArrayReader):
    """A shard in a zip file of Zarr arrays.

    Raises
    ------
    FileError
        When it is missing or damaged.
    MissingPackageError
        Without numcodecs.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        _codec(None)  # its package is there
        with reading(self._path):
            self._zip = self._arrays = _ZipArrays(path)
            try:
                self._table = LabelTable(self._arrays)
            except BaseException:
                self._zip.close()
                raise
        self._labelled = sorted(
            name[len(LABEL_IMAGES_IN) :] for name in self._arrays.names() if name.startswith(LABEL_IMAGES_IN)
        )

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

"""A tar as WebDataset reads it: the members of an image share its number.

::

    000000012.npy               pixels
    000000012.json              single labels: all but what follows
    000000012.reflections.npy   records `nbragg.simulation.labels.SPOT`
    000000012.spots.npy         and other label images
    000000012.mask.npy.gz       True where a pixel counts, where not all do

With the compression "gzip" every array ends in ``.npy.gz``, which WebDataset unpacks too.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError
from ...io.files.hdf5 import told
from ...simulation.labels import Labels
from .columns import plain
from .frames import Alike, Masks, chosen
from .made import Made, Stored
from .reader import reading

__all__ = ["Reader", "Writer", "writing"]

Array = NDArray[Any]

#: labels that are arrays of numbers, of one shape but for the number of rows
_ARRAYS = {"cell": (6,), "U": (3, 3), "B": (3, 3), "A": (3, 3), "weight": (), "spectrum": (2,)}
_APART = ("reflections", "images")


def _npy(values: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()


def _zipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


class Writer:
    """A tar that is being written."""

    def __init__(self, path: str, stream: tarfile.TarFile, compression: str) -> None:
        self._path, self._stream = path, stream
        self._gzip = compression == "gzip"
        self._alike, self._masks = Alike(path), Masks()
        self._zipped_masks: dict[int, bytes] = {}

    def _put(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        with told(self._path):
            self._stream.addfile(member, io.BytesIO(data))

    def add(self, made: Made) -> None:
        """Add an image.

        Raises
        ------
        InputError
            One of another shape or type than the first.
        FileError
        """
        labels = made.labels
        key = f"{labels['image']:09d}"
        arrays = self._alike.arrays(made)
        single = {name: plain(value) for name, value in labels.items() if name not in _APART}
        pixels = arrays.pop("")
        self._array(f"{key}.npy", pixels)
        self._put(f"{key}.json", json.dumps(single).encode())
        self._array(f"{key}.reflections.npy", labels.reflections)
        for name, array in arrays.items():
            self._array(f"{key}.{name}.npy", array)
        number = self._masks.number(made.mask)
        if number >= 0:
            if number not in self._zipped_masks:
                self._zipped_masks[number] = _zipped(_npy(self._masks.known[number]))
            self._put(f"{key}.mask.npy.gz", self._zipped_masks[number])

    def _array(self, name: str, values: Array) -> None:
        data = _npy(values)
        if self._gzip:
            self._put(name + ".gz", _zipped(data))
        else:
            self._put(name, data)


@contextlib.contextmanager
def writing(path: str, count: int, compression: str) -> Iterator[Writer]:
    """A shard of images to be written at ``path``."""
    with told(path):
        stream = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)
    try:
        yield Writer(path, stream, compression)
    except BaseException:
        with contextlib.suppress(OSError):
            stream.close()
        raise
    with told(path):
        stream.close()


class Reader:
    """A tar of images with their labels.

    Raises
    ------
    FileError
        When it is missing or damaged.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        #: by number of the image: ending of the member -> where its bytes are
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        with reading(self._path):
            with tarfile.open(path, "r:") as stream:
                for member in stream:
                    key, _, ending = member.name.partition(".")
                    self._places.setdefault(key, {})[ending] = (member.offset_data, member.size)
            self._fd = os.open(path, os.O_RDONLY)
            last = max((sum(at) for one in self._places.values() for at in one.values()), default=0)
            end = -(-last // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if os.pread(self._fd, 2 * tarfile.BLOCKSIZE, end) != bytes(2 * tarfile.BLOCKSIZE):
                self.close()
                raise FileError(f"{path} cannot be read as a shard: it does not end as a tar")
        self._keys = list(self._places)

    def __len__(self) -> int:
        return len(self._keys)

    def _bytes(self, key: str, ending: str) -> bytes | None:
        places = self._places[key]
        if ending in places:
            at, size = places[ending]
            return os.pread(self._fd, size, at)
        if ending + ".gz" in places:
            at, size = places[ending + ".gz"]
            return gzip.decompress(os.pread(self._fd, size, at))
        return None

    def _array(self, key: str, ending: str) -> Array:
        data = self._bytes(key, ending)
        if data is None:
            raise FileError(f"{self._path} has no {key}.{ending}")
        values: Array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        return values

    def _labelled(self, key: str) -> list[str]:
        endings = (ending.removesuffix(".gz") for ending in self._places[key])
        names = (ending.removesuffix(".npy") for ending in endings if ending.endswith(".npy"))
        return sorted(name for name in names if name not in ("reflections", "mask"))

    def read(self, i: int, label_images: Iterable[str] | None = None) -> Stored:
        """The i-th image; of its label images those named, None: all that there are."""
        key = self._keys[i]
        with reading(self._path):
            names = chosen(self._path, self._labelled(key), label_images)
            single = json.loads(self._bytes(key, "json") or b"")
            for name, shape in _ARRAYS.items():
                single[name] = np.array(single[name], dtype=np.float64).reshape(-1, *shape)
            labels = Labels(
                **single,
                reflections=self._array(key, "reflections.npy"),
                images={name: self._array(key, f"{name}.npy") for name in names},
            )
            return Stored(self._array(key, "npy"), labels)

    def mask(self, i: int) -> NDArray[np.bool_] | None:
        """True where a pixel of the i-th image counts; None: everywhere."""
        key = self._keys[i]
        with reading(self._path):
            return self._array(key, "mask.npy") if "mask.npy.gz" in self._places[key] else None

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""What the formats in HDF5 share: arrays of labels, label images and masks in a file, written and read.

Beside the arrays of :mod:`nbragg.dataset.containers.columns` there are ``labels/images/NAME`` (n, ...), one
chunk an image, and ``masks`` (different masks, ...), True where a pixel counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import MissingPackageError
from ...base.optional import require
from ...io.images.nexus_writer import filters as nexus_filters
from .columns import REFLECTION_ROWS, LabelTable
from .reader import LABEL_IMAGES_IN, ArrayReader, reading

__all__ = ["FileArrays", "FileReader", "filters", "put_arrays", "stack"]

Array = NDArray[Any]

#: an array of fewer bytes is not worth compressing
_SMALL = 4096


def filters(compression: str) -> dict[str, Any]:
    """How h5py is told of a compression; gzip is of level 1, for counts are hardly larger by it."""
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    return nexus_filters(compression)


def stack(file: Any, name: str, first: Array, count: int, packing: Mapping[str, Any]) -> Any:
    """A dataset for ``count`` images like the first, one chunk each."""
    shape = first.shape
    return file.create_dataset(
        name, shape=(count, *shape), maxshape=(None, *shape), chunks=(1, *shape), dtype=first.dtype, **packing
    )


def put_arrays(file: Any, arrays: Mapping[str, Array], packing: Mapping[str, Any]) -> None:
    """Write arrays by name."""
    for name, values in arrays.items():
        if values.nbytes < _SMALL:
            file.create_dataset(name, data=values)
            continue
        rows = REFLECTION_ROWS if name.endswith("/values") else len(values)
        chunks = (min(rows, len(values)), *values.shape[1:])
        file.create_dataset(name, data=values, chunks=chunks, **packing)


class FileArrays:
    """Arrays of an open HDF5 file, by name."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._open: dict[str, Any] = {}

    def names(self) -> Iterable[str]:
        found: list[str] = []

        def visit(name: str, item: Any) -> None:
            if hasattr(item, "dtype"):
                found.append(f"labels/{name}")

        self._file["labels"].visititems(visit)
        return found

    def rows(self, name: str, first: int = 0, last: int | None = None) -> Array:
        dataset = self._open.get(name)
        if dataset is None:
            dataset = self._open[name] = self._file[name]
        return np.asarray(dataset[first : len(dataset) if last is None else last])


class FileReader(ArrayReader):
    """A shard in an HDF5 file.

    Raises
    ------
    FileError
        When it is missing or damaged.
    MissingPackageError
        Without h5py; without hdf5plugin for what was packed by it.
    """

    def __init__(self, path: str) -> None:
        h5py = require("h5py", extra="dataset", purpose="reading HDF5 files")
        with contextlib.suppress(MissingPackageError):
            require("hdf5plugin", extra="dataset")  # registers its filters
        self._path = path
        self._file: Any = None
        with reading(self._path):
            # shards do not change; locks are refused by some file systems
            self._file = h5py.File(path, "r", locking=False)
        try:
            with reading(self._path):
                self._arrays = FileArrays(self._file)
                self._table = LabelTable(self._arrays)
                group = self._file.get(LABEL_IMAGES_IN)
                self._labelled = [] if group is None else list(group)
                self._begin(self._file)
        except BaseException:
            self.close()
            raise

    def _begin(self, file: Any) -> None:
        """What a format reads at first."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

"""The registry of containers: files, or folders, that hold the images of one shard with their labels."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...base import validate as check
from ...io.files.kinds import resolve
from .made import Made, Stored

__all__ = ["FORMATS", "ShardFormat", "ShardReader", "ShardWriter", "compression_of", "reader", "writer"]


class ShardWriter(Protocol):
    """A shard that is being written; it is complete when its context ends."""

    def add(self, made: Made) -> None: ...


class ShardReader(Protocol):
    """A shard that is read; a context manager."""

    def __len__(self) -> int: ...

    def read(self, i: int, label_images: Iterable[str] | None = None) -> Stored:
        """The i-th image; of its label images those named, None: all that there are."""

    def mask(self, i: int) -> NDArray[np.bool_] | None:
        """True where a pixel of the i-th image counts; None: everywhere."""

    def close(self) -> None: ...

    def __enter__(self) -> ShardReader: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True)
class ShardFormat:
    """A kind of container.

    Attributes
    ----------
    name, suffix : str
    what : str
        In a line.
    compressions : tuple of str
        What it can do; the first is taken where none is named.
    write : str
        ``module:function(path, count, compression)``, a context manager that gives a `ShardWriter`; ``path``
        is a temporary name that the caller renames.
    read : str
        ``module:function(path)``, a `ShardReader`.
    one_detector : bool
        All images of a shard share its place.
    """

    name: str
    suffix: str
    what: str
    compressions: tuple[str, ...]
    write: str
    read: str
    one_detector: bool = False


def _format(name: str, suffix: str, what: str, *compressions: str) -> ShardFormat:
    module = f"nbragg.dataset.containers.{name}"
    places = (f"{module}:writing", f"{module}:Reader")
    return ShardFormat(name, suffix, what, compressions, *places, one_detector=name == "nxmx")


#: by name
FORMATS = {
    one.name: one
    for one in (
        _format(
            "nxmx",
            ".nxs",
            "NeXus NXmx of many images, which DIALS opens, with the labels beside them",
            *("bitshuffle", "lz4", "gzip", "none"),
        ),
        _format(
            "h5",
            ".h5",
            "plain HDF5: /images and /labels; gzip needs no plugin to be read",
            *("gzip", "bitshuffle", "lz4", "none"),
        ),
        _format("zarr", ".zarr.zip", "Zarr, one zip file a shard", "bitshuffle", "lz4", "gzip", "none"),
        _format(
            "webdataset",
            ".tar",
            "a tar of .npy and .json files for each image, as WebDataset reads",
            *("none", "gzip"),
        ),
    )
}


def compression_of(name: str, compression: str | None) -> str:
    """What images of a format are packed by; None: its default.

    Raises
    ------
    InputError
        For an unknown format, or a compression that it has not.
    """
    check.choice("format", name, tuple(FORMATS))
    allowed = FORMATS[name].compressions
    if compression is None:
        return allowed[0]
    return check.choice(f"output: compression of the format {name}", compression, allowed)


def writer(
    name: str, path: str, count: int, compression: str | None = None
) -> AbstractContextManager[ShardWriter]:
    """A shard to be written at ``path``, of ``count`` images or fewer.

    ``path`` holds half a shard until the context ends, and after an error: who calls takes a temporary name.
    The same images give the same bytes.

    Raises
    ------
    InputError
        For an unknown format or compression; in its context, for images that are not alike.
    FileError
        Also in its context; the ``errno`` is the system's, where it refused.
    MissingPackageError
    """
    packing = compression_of(name, compression)
    opened: AbstractContextManager[ShardWriter] = resolve(FORMATS[name].write)(path, count, packing)
    return opened


def reader(name: str, path: str) -> ShardReader:
    """A shard to be read.

    Raises
    ------
    InputError
        For an unknown format.
    FileError, MissingPackageError
    """
    check.choice("format", name, tuple(FORMATS))
    opened: ShardReader = resolve(FORMATS[name].read)(path)
    return opened

"""The registry of containers: files, or folders, that hold the images of one shard with their labels."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ...base import validate as check
from ...io.files.kinds import resolve
from .made import Made, Stored

__all__ = ["FORMATS", "ShardFormat", "ShardReader", "ShardWriter", "reader", "writer"]


class ShardWriter(Protocol):
    """A shard that is being written; it is complete when its context ends."""

    def add(self, made: Made) -> None: ...


class ShardReader(Protocol):
    """A shard that is read; a context manager."""

    def __len__(self) -> int: ...

    def read(self, i: int, label_images: Iterable[str] | None = None) -> Stored:
        """The i-th image; of its label images those named, None: all that there are."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class ShardFormat:
    """A kind of container.

    Attributes
    ----------
    name, suffix : str
    what : str
        In a line.
    write : str
        ``module:function(path, count, compression)``, a context manager that gives a `ShardWriter`; ``path``
        is a temporary name that the caller renames.
    read : str
        ``module:function(path)``, a `ShardReader`.
    """

    name: str
    suffix: str
    what: str
    write: str
    read: str


def _format(name: str, suffix: str, what: str) -> ShardFormat:
    module = f"nbragg.dataset.containers.{name}"
    return ShardFormat(name, suffix, what, f"{module}:writing", f"{module}:Reader")


#: by name
FORMATS = {
    one.name: one
    for one in (
        _format("nxmx", ".nxs", "NeXus NXmx of many images, which DIALS opens, with the labels beside them"),
        _format("h5", ".h5", "plain HDF5: /images and /labels"),
        _format("zarr", ".zarr.zip", "Zarr, one zip file a shard"),
        _format("webdataset", ".tar", "a tar of one .npy and one .json for each image, as WebDataset reads"),
    )
}


def writer(name: str, path: str, count: int, compression: str) -> AbstractContextManager[ShardWriter]:
    """A shard to be written at ``path``.

    Raises
    ------
    InputError
        For an unknown format.
    FileError, MissingPackageError
    """
    check.choice("format", name, tuple(FORMATS))
    opened: AbstractContextManager[ShardWriter] = resolve(FORMATS[name].write)(path, count, compression)
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

"""Plain HDF5: ``images`` (n, ...), one chunk an image, ``masks``, and ``labels``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...io.files.hdf5 import NewFile, told
from .columns import Gathered
from .frames import Alike, Masks
from .hdf5 import FileReader, filters, put_arrays, stack
from .made import Made
from .reader import LABEL_IMAGES_IN

__all__ = ["Labelled", "Reader", "Writer", "writing"]


class Labelled:
    """Labels, label images and masks that go into an HDF5 file beside its images."""

    def __init__(self, new: NewFile, path: str, count: int, compression: str) -> None:
        self._new, self._path, self._count = new, path, count
        self.packing = filters(compression)
        self._alike = Alike(path)
        self._labels, self.masks = Gathered(), Masks()
        self.stacks: dict[str, Any] = {}

    def add(self, made: Made, *, pixels: bool) -> None:
        """Those of an image, and its pixels where they are wanted, under ``images``."""
        i = self._alike.count
        arrays = self._alike.arrays(made)
        if not pixels:
            arrays.pop("")
        with told(self._path):
            for name, array in arrays.items():
                place = LABEL_IMAGES_IN + name if name else "images"
                if name not in self.stacks:
                    self.stacks[name] = stack(self._new.file, place, array, self._count, self.packing)
                elif i >= len(self.stacks[name]):
                    self.stacks[name].resize(i + 1, axis=0)
                self.stacks[name][i] = array
        self._labels.add(made.labels, self.masks.number(made.mask))
        self._new.check()

    def finish(self) -> None:
        """What is written once."""
        with told(self._path):
            for dataset in self.stacks.values():
                if len(dataset) > len(self._labels):  # images that failed
                    dataset.resize(len(self._labels), axis=0)
            arrays = self._labels.arrays()
            if self.masks.known:
                arrays["masks"] = np.stack(self.masks.known)
            put_arrays(self._new.file, arrays, self.packing)
        self._new.check()


class Writer:
    """A plain HDF5 file that is being written."""

    def __init__(self, labelled: Labelled) -> None:
        self._labelled = labelled

    def add(self, made: Made) -> None:
        """Add an image.

        Raises
        ------
        InputError
            One of another shape or type than the first.
        FileError
        """
        self._labelled.add(made, pixels=True)


@contextlib.contextmanager
def writing(path: str, count: int, compression: str) -> Iterator[Writer]:
    """A shard of ``count`` images, or fewer, to be written at ``path``."""
    with NewFile(path) as new:
        labelled = Labelled(new, path, count, compression)
        yield Writer(labelled)
        labelled.finish()


class Reader(FileReader):
    """A plain HDF5 file of images with their labels."""

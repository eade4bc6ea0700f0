"""NeXus NXmx of many images, which DIALS opens, with the labels in the same file under ``labels``.

Programs that read NXmx take one detector, one direction of the beam and one spindle for all frames, and the
wavelength of each: a shard of several images has one of each.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, InputError
from ...io.files.hdf5 import NewFile
from ...io.images.metadata import NO_TIME, ImageMetadata
from ...io.images.nexus import RECORD
from ...io.images.nexus_writer import FrameStack
from ...io.images.panel_layout import PanelLayout
from .h5 import Labelled
from .hdf5 import FileReader
from .made import Made

__all__ = ["Reader", "Writer", "writing"]

Mask = NDArray[np.bool_]

_PIXELS = "entry/data/data"


class Writer:
    """An NXmx file that is being written."""

    def __init__(self, new: NewFile, path: str, labelled: Labelled) -> None:
        self._new, self._path, self._labelled = new, path, labelled
        self._frames: FrameStack | None = None
        self._mask: Mask | None = None

    def add(self, made: Made) -> None:
        """Add an image.

        Raises
        ------
        InputError
            One of another shape, type or geometry than the first.
        FileError
        """
        metadata = made.metadata
        if metadata.recipe is not None:
            metadata = dataclasses.replace(metadata, recipe=None)  # the data set has it, once
        if self._frames is None:
            packing, self._mask = self._labelled.packing, made.mask
            self._frames = FrameStack(self._new, metadata, packing, NO_TIME, made.mask, self._path)
        self._check(made, metadata, self._frames)
        self._labelled.add(made, pixels=False)
        self._frames.add(np.asarray(made.image), metadata)

    def _check(self, made: Made, metadata: ImageMetadata, frames: FrameStack) -> None:
        changed = frames.differing(metadata)
        if not _same(made.mask, self._mask):
            changed.append("mask")
        if changed:
            raise InputError(
                f"{self._path}: image {made.labels['image']} has another {', '.join(changed)} than the first "
                "of its file, and an NXmx file has one detector for all its images: take the format h5, zarr "
                "or webdataset, or images_per_shard = 1"
            )

    def finish(self) -> None:
        """What is written once."""
        if self._frames is not None:
            self._frames.finish()
        self._labelled.finish()


def _same(one: Mask | None, other: Mask | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


@contextlib.contextmanager
def writing(path: str, count: int, compression: str) -> Iterator[Writer]:
    """A shard of ``count`` images, or fewer, to be written at ``path``."""
    with NewFile(path) as new:
        writer = Writer(new, path, Labelled(new, path, count, compression))
        yield writer
        writer.finish()


class Reader(FileReader):
    """An NXmx file of images with their labels."""

    def _begin(self, file: Any) -> None:
        self._layout: PanelLayout | None = None
        if not len(self):
            return
        if RECORD not in file:
            raise FileError(f"{self._path} is no shard of a data set: it has no {RECORD}")
        metadata = ImageMetadata.from_json(file[RECORD][()].decode())
        self._shape = metadata.image_shape
        if metadata.panels:
            self._layout = PanelLayout.of(metadata)

    def _pixels(self, i: int) -> NDArray[Any]:
        pixels = self._arrays.rows(_PIXELS, i, i + 1)[0]
        return pixels if self._layout is None else self._layout.gather(pixels, self._shape)

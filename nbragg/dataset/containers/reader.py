"""What readers of arrays share: an image with its labels, by its number in the shard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, NbraggError
from .columns import Arrays, LabelTable
from .frames import chosen
from .made import Stored

__all__ = ["LABEL_IMAGES_IN", "ArrayReader", "reading"]

#: where label images stand
LABEL_IMAGES_IN = "labels/images/"


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Whatever a damaged shard makes go wrong is a `FileError` that names it."""
    try:
        yield
    except (NbraggError, IndexError):
        raise
    except Exception as error:  # h5py, zipfile, tarfile and codecs raise many kinds
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise FileError(f"{path} cannot be read as a shard: {text}") from None


class ArrayReader:
    """A shard whose arrays a format opens; a context manager."""

    _path: str
    _arrays: Arrays
    _table: LabelTable
    _labelled: list[str]

    def __len__(self) -> int:
        return len(self._table)

    def _pixels(self, i: int) -> NDArray[Any]:
        pixels: NDArray[Any] = self._arrays.rows("images", i, i + 1)[0]
        return pixels

    def read(self, i: int, label_images: Iterable[str] | None = None) -> Stored:
        """The i-th image; of its label images those named, None: all that there are."""
        i = range(len(self))[i]
        with reading(self._path):
            names = chosen(self._path, self._labelled, label_images)
            images = {name: self._arrays.rows(LABEL_IMAGES_IN + name, i, i + 1)[0] for name in names}
            return Stored(self._pixels(i), self._table.labels(i, images))

    def mask(self, i: int) -> NDArray[np.bool_] | None:
        """True where a pixel of the i-th image counts; None: everywhere."""
        number = self._table.mask(range(len(self))[i])
        if number < 0:
            return None
        with reading(self._path):
            found: NDArray[np.bool_] = self._arrays.rows("masks", number, number + 1)[0]
            return found

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> ArrayReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

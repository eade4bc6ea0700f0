"""NumPy arrays: images, frames, or the pixels of several panels, without any metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import memory
from ...base.errors import FileError, MemoryLimitError
from ..files.atomic import open_atomic
from .requests import ImageFile, ReadRequest, WriteRequest, one_frame

__all__ = ["load", "read", "save", "shape"]


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    with open_atomic(request.path, overwrite=request.overwrite) as stream:
        np.save(stream, request.pixels, allow_pickle=False)


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    return ImageFile(one_frame(read(file, request.frame), request.frame, file), {"format": "npy"})


def shape(file: Path, request: ReadRequest) -> tuple[int, ...]:
    """Of all pixels, for `nbragg.io.images.stored_shape`."""
    try:
        mapped: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        return mapped.shape
    except Exception as error:  # as below
        raise FileError(f"{file} cannot be read as a NumPy array: {error}") from None


def read(file: Path, frame: int | None = None) -> NDArray[Any]:
    """Pixels, (slow, fast), (n, slow, fast) or (pixels,); of a stack one frame where it is named and there.

    Raises
    ------
    FileError
        Damaged, of another shape, or not of real numbers.
    MemoryLimitError
        Larger than the memory left.
    """
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        if frame is not None and mapped.ndim == 3 and -len(mapped) <= frame < len(mapped):
            mapped = mapped[frame]
        memory.require(mapped.nbytes, f"array {file}", "read a smaller file")
        array = np.array(mapped)
    except MemoryLimitError:
        raise
    except Exception as error:  # the header is a Python literal: any kind of error
        raise FileError(f"{file} cannot be read as a NumPy array: {error}") from None
    if array.dtype.kind not in "biuf" or not 1 <= array.ndim <= 3 or array.size == 0:
        raise FileError(
            f"{file} holds {array.dtype} of shape {array.shape}; an image (slow, fast) of real numbers was "
            "expected"
        )
    return array

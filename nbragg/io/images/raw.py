"""Float image: raw little-endian float32, slow by fast, no header (canonical 10.1)."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, InputError
from ..files.atomic import PathLike, write_files
from .requests import ImageFile, ReadRequest, WriteRequest, one_frame

__all__ = ["chunks", "load", "read_float", "save", "shape", "write_float"]

#: images of more pixels are refused before anything is allocated (1 Gpixel: 32768 squared)
MAX_PIXELS = 2**30


def chunks(image: NDArray[np.float32]) -> list[bytes | memoryview]:
    """The file's bytes for an image of any float type and shape, (slow, fast) or a stack."""
    data = np.ascontiguousarray(image, dtype="<f4").reshape(-1)
    return [data.view(np.uint8).data]


def write_float(path: PathLike, image: NDArray[np.float32], *, overwrite: bool = True) -> None:
    """Write ``image``, shape (slow, fast) or a stack, as float32."""
    write_files([(path, chunks(image))], overwrite=overwrite)


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    write_float(request.path, request.pixels, overwrite=request.overwrite)


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    shape = request.shape
    if shape is None:
        raise InputError(f"{file} has no header: give shape=(slow, fast)")
    if not 1 <= len(shape) <= 3 or min(shape) < 1 or math.prod(shape) > MAX_PIXELS:
        raise InputError(
            f"shape = {shape} for {file}; (slow, fast) of at most {MAX_PIXELS} pixels was expected, or "
            "(n, slow, fast)"
        )
    return ImageFile(one_frame(read_float(file, shape), request.frame, file), {"format": "raw"})


def shape(file: Path, request: ReadRequest) -> tuple[int, ...]:
    """The shape that is given, for `nbragg.io.images.stored_shape`."""
    return request.shape or ()


def read_float(path: PathLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read an image of ``shape`` (slow, fast), or a stack.

    Raises
    ------
    FileError
        The file is missing or does not hold exactly that many pixels.
    """
    name = os.fspath(path)
    try:
        data = np.fromfile(name, dtype="<f4")
        size = os.path.getsize(name)
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror or error}") from error
    if size != 4 * math.prod(shape):
        pixels = " x ".join(str(n) for n in shape)
        raise FileError(f"{name}: {size} bytes; {pixels} float32 pixels are {4 * math.prod(shape)}")
    return data.reshape(shape).astype(np.float32, copy=False)

"""Float image: raw little-endian float32, slow by fast, no header (canonical 10.1)."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from ..errors import FileError
from .atomic import PathLike, write_files

__all__ = ["chunks", "read_float", "write_float"]


def chunks(image: NDArray[np.float32]) -> list[bytes | memoryview]:
    """The file's bytes for an image of any float type, shape (slow, fast)."""
    data = np.ascontiguousarray(image, dtype="<f4").reshape(-1)
    return [data.view(np.uint8).data]


def write_float(path: PathLike, image: NDArray[np.float32]) -> None:
    """Write ``image``, shape (slow, fast), as float32."""
    write_files([(path, chunks(image))])


def read_float(path: PathLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Read an image of ``shape`` (slow, fast).

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
    slow, fast = shape
    if size != 4 * slow * fast:
        raise FileError(f"{name}: {size} bytes; {slow} x {fast} float32 pixels are {4 * slow * fast}")
    return data.reshape(slow, fast).astype(np.float32, copy=False)

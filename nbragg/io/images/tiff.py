"""TIFF images through tifffile: float32, uint16 or uint32 pixels, metadata as JSON in the image
description."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...base import memory
from ...base.errors import FileError, MemoryLimitError
from ...base.optional import require
from ..files.atomic import PathLike, open_atomic
from .metadata import ImageMetadata
from .requests import ImageFile, ReadRequest, WriteRequest, one_frame

__all__ = ["load", "read", "save", "shape", "write"]

#: begins the description: JSON alone would be taken by tifffile for its own
_MARK = "nanobragg "

_Found = TypeVar("_Found")


def write(
    path: PathLike,
    image: NDArray[Any],
    metadata: ImageMetadata | None = None,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    overwrite: bool = True,
) -> None:
    """Write an image (slow, fast), or frames (n, slow, fast) as pages, of dtype float32, uint16 or uint32.

    ``scale`` and ``offset`` of the pixels are recorded where there are no metadata, which hold their own.
    """
    tifffile = require("tifffile", purpose="writing TIFF files")
    options: dict[str, Any] = {}
    if metadata is not None:
        options["description"] = _MARK + metadata.to_json()
        options["resolution"] = tuple(10.0 / edge for edge in metadata.pixel_mm)
        options["resolutionunit"] = "CENTIMETER"
    elif (scale, offset) != (1.0, 0.0):
        options["description"] = _MARK + json.dumps({"scale": scale, "offset": offset})
    # fixed date and software: the same image gives the same bytes
    with open_atomic(path, overwrite=overwrite) as stream:
        tifffile.imwrite(
            stream,
            np.ascontiguousarray(image),
            photometric="minisblack",
            software="nanobragg",
            metadata=None,
            **options,
        )


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    write(
        request.path,
        request.pixels,
        request.metadata,
        scale=request.scale or 1.0,
        offset=request.offset or 0.0,
        overwrite=request.overwrite,
    )


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    pixels, description = read(file, request.frame)
    return ImageFile(one_frame(pixels, request.frame, file), {"format": "tiff", **_described(description)})


def _described(text: str) -> dict[str, Any]:
    if '"nanobragg_image"' in text:
        return ImageMetadata.from_json(text[text.index("{") :]).to_dict()
    if text.startswith(_MARK):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            values = json.loads(text.removeprefix(_MARK))
            return {"scale": float(values["scale"]), "offset": float(values["offset"])}
    return {"description": text} if text else {}


def shape(file: Path, request: ReadRequest) -> tuple[int, ...]:
    """Of all pixels, for `nbragg.io.images.stored_shape`."""
    return _opened(file, lambda tiff: tuple(int(n) for n in tiff.series[0].shape))


def read(path: Path, frame: int | None = None) -> tuple[NDArray[Any], str]:
    """Pixels, (slow, fast) or (n, slow, fast), and the image description.

    Parameters
    ----------
    path : Path
    frame : int, optional
        Of a stack, negative from the end; None: all of them.

    Raises
    ------
    InputError
        A frame that is not there.
    FileError
        Damaged, truncated or of more than one sample per pixel.
    MemoryLimitError
        Larger than the memory left.
    """

    def found(tiff: Any) -> tuple[NDArray[Any], bool, str]:
        series = tiff.series[0]
        nbytes = int(np.prod(series.shape, dtype=object)) * series.dtype.itemsize
        if nbytes > path.stat().st_size and series.keyframe.compression == 1:
            raise FileError(
                f"{path} is truncated: {path.stat().st_size} bytes, its pixels alone take {nbytes}"
            )
        colour = int(series.keyframe.samplesperpixel) > 1
        description = str(tiff.pages[0].description or "")
        count = int(series.shape[0]) if len(series.shape) == 3 and not colour else 1
        if frame is not None and len(series.pages) == count > 1 and -count <= frame < count:
            memory.require(nbytes // count, f"image {path}", "read a smaller image")
            return tiff.asarray(key=frame % count, series=0), colour, description  # the others are not read
        memory.require(nbytes, f"image {path}", "read a smaller image")
        return series.asarray(), colour, description

    image, colour, description = _opened(path, found)
    if image.ndim not in (2, 3) or colour:
        raise FileError(f"{path} has the shape {image.shape}; a grey image (slow, fast) was expected")
    return image, description


def _opened(path: Path, use: Callable[[Any], _Found]) -> _Found:
    """What a function finds in an open file, whose damages are told in one way."""
    tifffile = require("tifffile", purpose="reading TIFF files")
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it logs of damaged files is raised here
    try:
        with tifffile.TiffFile(path) as tiff:
            return use(tiff)
    except FileError:
        raise
    except MemoryLimitError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise FileError(f"{path} cannot be read as a TIFF image: {error}") from None
    finally:
        logger.setLevel(level)

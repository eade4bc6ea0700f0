"""TIFF images through tifffile: float32, uint16 or uint32 pixels, metadata as JSON in the image
description."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import memory
from ..errors import FileError, MemoryLimitError
from ..optional import require
from .atomic import PathLike, open_atomic
from .image_metadata import ImageMetadata

__all__ = ["read", "write"]


def write(path: PathLike, image: NDArray[Any], metadata: ImageMetadata | None = None) -> None:
    """Write an image (slow, fast), or frames (n, slow, fast) as pages, of dtype float32, uint16 or uint32."""
    tifffile = require("tifffile", purpose="writing TIFF files")
    options: dict[str, Any] = {}
    if metadata is not None:
        # not JSON alone: tifffile takes a description that is for its own
        options["description"] = "nanobragg " + metadata.to_json()
        per_cm = 10.0 / metadata.pixel_mm
        options["resolution"] = (per_cm, per_cm)
        options["resolutionunit"] = "CENTIMETER"
    # fixed date and software: the same image gives the same bytes
    with open_atomic(path) as stream:
        tifffile.imwrite(
            stream,
            np.ascontiguousarray(image),
            photometric="minisblack",
            software="nanobragg",
            metadata=None,
            **options,
        )


def read(path: Path) -> tuple[NDArray[Any], str]:
    """Pixels, (slow, fast) or (n, slow, fast), and the image description.

    Raises
    ------
    FileError
        Damaged, truncated or of more than one sample per pixel.
    MemoryLimitError
        Larger than the memory left.
    """
    tifffile = require("tifffile", purpose="reading TIFF files")
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it logs of damaged files is raised here
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            nbytes = int(np.prod(series.shape, dtype=object)) * series.dtype.itemsize
            if nbytes > path.stat().st_size and series.keyframe.compression == 1:
                raise FileError(
                    f"{path} is truncated: {path.stat().st_size} bytes, its pixels alone take {nbytes}"
                )
            memory.require(nbytes, f"image {path}", "read a smaller image")
            image = series.asarray()
            colour = int(series.keyframe.samplesperpixel) > 1
            description = str(tiff.pages[0].description or "")
    except FileError:
        raise
    except MemoryLimitError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise FileError(f"{path} cannot be read as a TIFF image: {error}") from None
    finally:
        logger.setLevel(level)
    if image.ndim not in (2, 3) or colour:
        raise FileError(f"{path} has the shape {image.shape}; a grey image (slow, fast) was expected")
    return image, description

"""Pixels that an image file says are none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from . import ImageFile

__all__ = ["flagged", "masked_in_file"]


def flagged(content: ImageFile) -> NDArray[np.bool_]:
    """True where a file says, by the numbers that makers' files have in gaps, that there is no pixel."""
    image, form = content.image, content.metadata.get("format")
    if form == "cbf" and image.dtype.kind == "i":
        return np.asarray((image == -1) | (image == -2))
    if form == "nexus" and image.dtype.kind == "u":
        return np.asarray(image == np.iinfo(image.dtype).max)
    return np.zeros(image.shape, bool)


def masked_in_file(content: ImageFile) -> NDArray[np.bool_]:
    """True where the pixel mask of a NeXus file says that there is no good pixel."""
    none = np.zeros(content.image.shape, bool)
    path = content.metadata.get("file")
    if content.metadata.get("format") != "nexus" or path is None:
        return none
    from . import nexus

    values, where, _ = nexus.read(Path(path), mask=True)
    if "pixel_mask" not in where or values.shape != none.shape:
        return none
    return np.asarray((values.astype(np.uint32) & 0xFFFF) != 0)

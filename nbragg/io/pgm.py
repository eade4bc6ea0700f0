"""Portable greymap previews (canonical 10.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .atomic import PathLike, write_files
from .smv import row_blocks

__all__ = ["auto_scale", "chunks", "write"]


def auto_scale(rmsd: float, integer_scale: float) -> float:
    """Scale that puts five standard deviations at 250; the integer image's scale when rmsd is 0."""
    return 250.0 / (5.0 * rmsd) if rmsd > 0.0 else integer_scale


def chunks(
    image: NDArray[np.float32], roi: tuple[int, int, int, int], scale: float
) -> list[bytes | memoryview]:
    """The file's bytes for a (slow, fast) image; pixels outside the inclusive roi stay 0."""
    slow, fast = image.shape
    pixels = np.zeros(image.shape, dtype=np.uint8)
    for rows in row_blocks(roi):
        with np.errstate(over="ignore"):  # an infinite product is clipped
            value = image[rows].astype(np.float64) * scale
        pixels[rows] = np.clip(value, 0.0, 255.0, out=value)
    header = f"P5\n{fast} {slow}\n# pixels scaled by {scale:g}\n255\n"
    return [header.encode("ascii"), pixels.reshape(-1).data]


def write(path: PathLike, image: NDArray[np.float32], roi: tuple[int, int, int, int], scale: float) -> None:
    """Write a preview of ``image`` multiplied by ``scale`` and clipped to 255."""
    write_files([(path, chunks(image, roi, scale))])

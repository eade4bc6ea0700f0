"""Portable greymap previews (canonical 10.3)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..files.atomic import PathLike, write_files
from .requests import WriteRequest
from .smv import row_blocks

__all__ = ["auto_scale", "chunks", "save", "write"]


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


def write(
    path: PathLike,
    image: NDArray[np.float32],
    roi: tuple[int, int, int, int],
    scale: float,
    *,
    overwrite: bool = True,
) -> None:
    """Write a preview of ``image`` multiplied by ``scale`` and clipped to 255."""
    write_files([(path, chunks(image, roi, scale))], overwrite=overwrite)


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over, scaled by the rule of canonical 10.3."""
    image = request.pixels.astype(np.float32)
    slow, fast = image.shape
    roi = request.scene.panel.roi if request.scene is not None else (0, fast - 1, 0, slow - 1)
    scale = request.scale
    if scale is None or scale <= 0:
        peak = float(image.max())
        inside = image[roi[2] : roi[3] + 1, roi[0] : roi[1] + 1].astype(np.float64)
        count = inside.size
        rmsd = math.sqrt(float(((inside - inside.mean()) ** 2).sum()) / (count - 1)) if count > 1 else 0.0
        scale = auto_scale(rmsd, 55000.0 / peak if peak > 0 else 1.0)
    write(request.path, image, roi, scale, overwrite=request.overwrite)

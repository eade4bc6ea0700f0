"""Statistics of a rendered image (canonical 8, last paragraph)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .backends import ImageSums

if TYPE_CHECKING:
    from .backends import RawImage
    from .scene import Scene

ROWS_AT_ONCE = 256  # keeps the float64 copy of a large image small


@dataclass(frozen=True)
class Statistics:
    """Summary of the rendered pixels.

    Attributes
    ----------
    max : float
        Largest pixel, photons.
    max_pixel : tuple of int
        Its (fast, slow) index; the first one in raster order; (-1, -1) when no pixel is positive.
    max_fast_m, max_slow_m : float
        Position of its last sub-pixel on the detector, m.
    mean, rms, rmsd : float
        Mean, root mean square (n - 1) over rendered pixels, and deviation from the mean (n - 1) over the roi.
    solid_angle_sr : float
        Solid angle of the rendered pixels, sr, averaged over the sampling steps.
    pixels : int
        Pixels rendered: in the roi and not masked.
    """

    max: float
    max_pixel: tuple[int, int]
    max_fast_m: float
    max_slow_m: float
    mean: float
    rms: float
    rmsd: float
    solid_angle_sr: float
    pixels: int


def statistics(scene: Scene, raw: RawImage) -> Statistics:
    """Statistics of a backend's image; see `Statistics`."""
    fmin, fmax, smin, smax = scene.roi
    sums = raw.sums or _sums(scene, raw)
    total, squares, largest = sums.total, sums.squares, sums.largest
    place = (-1, -1)
    if sums.largest_pixel >= 0:
        place = (sums.largest_pixel % scene.fpixels, sums.largest_pixel // scene.fpixels)
    in_roi = (fmax - fmin + 1) * (smax - smin + 1)
    mean = total / max(raw.pixels, 1)
    # sum of (I - mean)^2 over the roi, masked pixels being 0
    deviations = max(squares - 2.0 * mean * total + in_roi * mean * mean, 0.0)
    sub = scene.pixel_size / scene.oversample

    def last_sub_pixel(index: int) -> float:
        return 0.0 if index < 0 else sub * ((index + 1) * scene.oversample - 0.5)

    steps = len(scene.source_wavelength) * len(scene.orientations) * scene.oversample**2
    return Statistics(
        max=largest,
        max_pixel=place,
        max_fast_m=last_sub_pixel(place[0]),
        max_slow_m=last_sub_pixel(place[1]),
        mean=mean,
        rms=math.sqrt(squares / max(raw.pixels - 1, 1)),
        rmsd=math.sqrt(deviations / max(in_roi - 1, 1)),
        solid_angle_sr=raw.omega_sum / steps,
        pixels=raw.pixels,
    )


def _sums(scene: Scene, raw: RawImage) -> ImageSums:
    fmin, fmax, smin, smax = scene.roi
    total = squares = 0.0
    largest, place = 0.0, -1
    for first in range(smin, smax + 1, ROWS_AT_ONCE):
        rows = raw.image[first : min(first + ROWS_AT_ONCE, smax + 1), fmin : fmax + 1].astype(np.float64)
        total += float(rows.sum())
        squares += float(np.einsum("ij,ij->", rows, rows))  # not BLAS: its threads would spin against ours
        index = int(rows.argmax())
        if rows.flat[index] > largest:
            largest = float(rows.flat[index])
            place = (first + index // rows.shape[1]) * scene.fpixels + fmin + index % rows.shape[1]
    return ImageSums(total, squares, largest, place)

"""Statistics of a rendered image (canonical 8, last paragraph)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..engine.backend import RawImage
    from ..scene.record import Scene

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
    max_panel : int
        Its panel.
    max_fast_m, max_slow_m : float
        Position of its last sub-pixel on the detector, m.
    mean, rms, rmsd : float
        Mean, root mean square (n - 1) over rendered pixels, and deviation from the mean (n - 1) over the roi.
    solid_angle_sr : float
        Solid angle of the rendered pixels, sr: of each the mean over its sub-pixels and sensor layers.
    pixels : int
        Pixels rendered: in the roi and not masked.
    """

    max: float
    max_pixel: tuple[int, int]
    max_panel: int
    max_fast_m: float
    max_slow_m: float
    mean: float
    rms: float
    rmsd: float
    solid_angle_sr: float
    pixels: int


def statistics(scene: Scene, raw: RawImage) -> Statistics:
    """Statistics of a backend's image; see `Statistics`."""
    found = raw.summary
    if math.isnan(found.total):
        total, squares, largest, brightest = _sums(scene, raw.image)
    else:
        total, squares, largest, brightest = found.total, found.squares, found.largest, found.largest_pixel
    rois = [panel.roi for panel in scene.panels]
    in_roi = sum((fmax - fmin + 1) * (smax - smin + 1) for fmin, fmax, smin, smax in rois)
    mean = total / max(found.pixels, 1)
    # sum of (I - mean)^2 over the roi, masked pixels being 0
    deviations = max(squares - 2.0 * mean * total + in_roi * mean * mean, 0.0)
    number, place, edges = 0, (-1, -1), (0.0, 0.0)
    if brightest >= 0:
        number, slow, fast = scene.place(brightest)
        place = (fast, slow)
        pixel, n = scene.panels[number].pixel, scene.oversample
        edges = (pixel[0] / n * ((fast + 1) * n - 0.5), pixel[1] / n * ((slow + 1) * n - 0.5))
    return Statistics(
        max=largest,
        max_pixel=place,
        max_panel=number,
        max_fast_m=edges[0],
        max_slow_m=edges[1],
        mean=mean,
        rms=math.sqrt(squares / max(found.pixels - 1, 1)),
        rmsd=math.sqrt(deviations / max(in_roi - 1, 1)),
        solid_angle_sr=found.omega,
        pixels=found.pixels,
    )


def _sums(scene: Scene, image: NDArray[np.float32]) -> tuple[float, float, float, int]:
    """Sum, sum of squares, largest pixel and its image index, or -1."""
    total = squares = 0.0
    largest, place = 0.0, -1
    pixels = image.reshape(-1)
    for panel, (start, end) in zip(scene.panels, itertools.pairwise(scene.offsets), strict=True):
        fmin, fmax, smin, smax = panel.roi
        whole = pixels[start:end].reshape(panel.spixels, panel.fpixels)
        for first in range(smin, smax + 1, ROWS_AT_ONCE):
            rows = whole[first : min(first + ROWS_AT_ONCE, smax + 1), fmin : fmax + 1].astype(np.float64)
            total += float(rows.sum())
            squares += float(np.einsum("ij,ij->", rows, rows))  # not BLAS: its threads would spin
            index = int(rows.argmax())
            if rows.flat[index] > largest:
                largest = float(rows.flat[index])
                slow, fast = divmod(index, rows.shape[1])
                place = start + (first + slow) * panel.fpixels + fmin + fast
    return total, squares, largest, place

"""Kernels on pixels that are even along both axes, and images spread by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...base import memory
from ...base.cached import cached_property
from ...base.errors import InputError
from ...base.optional import require
from ...base.vectors import FloatArray

__all__ = ["Kernel", "full", "half_product", "joined", "pixel_edges_um"]

#: columns transformed at a time along slow, so that they stay in the cache
_BLOCK = 16


@dataclass(frozen=True, eq=False)
class Kernel:
    """What light on one pixel becomes, by distance in pixels.

    Attributes
    ----------
    products : tuple of pairs of arrays
        A sum of functions of slow times functions of fast, each from the middle on; or nothing, and
    quarter : ndarray, shape (slow, fast), or None
        values from the middle on along both axes.
    """

    products: tuple[tuple[FloatArray, FloatArray], ...] = ()
    quarter: FloatArray | None = None

    def spread(self, image: FloatArray) -> FloatArray:
        """The image, shape (slow, fast), spread on the plane.

        There is nothing outside, and light that leaves is lost.  A kernel is its own transpose: this serves
        cotangents as well.
        """
        if self.quarter is None:
            return _spread_separably(self.products, image)
        return _spread_by_transform(self.quarter, image, self._transforms)

    def __mul__(self, other: Kernel) -> Kernel:
        """The product at each distance."""
        if self.quarter is None and other.quarter is None:
            return Kernel(
                tuple(
                    (half_product(a_slow, b_slow), half_product(a_fast, b_fast))
                    for a_slow, a_fast in self.products
                    for b_slow, b_fast in other.products
                )
            )
        a, b = self.values, other.values
        slow, fast = (min(n, m) for n, m in zip(a.shape, b.shape, strict=True))
        return Kernel(quarter=a[:slow, :fast] * b[:slow, :fast])

    @property
    def values(self) -> FloatArray:
        """From the middle on along both axes, shape (slow, fast)."""
        if self.quarter is not None:
            return self.quarter
        total: FloatArray = sum(np.outer(slow, fast) for slow, fast in self.products)  # type: ignore[assignment]
        return total

    @cached_property
    def _transforms(self) -> dict[tuple[int, int], FloatArray]:
        """Of the quarter, by the shape of the padded image."""
        return {}


def full(half: FloatArray, axis: int = 0) -> FloatArray:
    """Both sides of what is given from the middle on."""
    flipped = np.flip(half, axis).take(range(half.shape[axis] - 1), axis)
    return np.concatenate([flipped, half], axis)


def half_product(a: FloatArray, b: FloatArray) -> FloatArray:
    """The product of two halves, as long as the shorter."""
    n = min(len(a), len(b))
    return a[:n] * b[:n]


def joined(a: FloatArray, b: FloatArray) -> FloatArray:
    """One spread after the other, along one axis; halves from the middle on."""
    return np.convolve(full(a), full(b))[len(a) + len(b) - 2 :]


def _spread_separably(products: tuple[tuple[FloatArray, FloatArray], ...], image: FloatArray) -> FloatArray:
    ndimage = require("scipy.ndimage", extra="response", purpose="spreading light over pixels")
    total = np.zeros(image.shape)
    for halves in products:
        part = image
        for axis, half in enumerate(halves):
            # farther than across the image nothing arrives
            weights = full(half[: image.shape[axis]])
            part = ndimage.correlate1d(part, weights, axis, mode="constant")
        total += part
    return total


def _spread_by_transform(
    quarter: FloatArray, image: FloatArray, transforms: dict[tuple[int, int], FloatArray]
) -> FloatArray:
    fft = require("scipy.fft", extra="response", purpose="spreading light over pixels")
    rows, columns = image.shape
    quarter = quarter[:rows, :columns]
    # even lengths that hold the image and, beside it, what wraps around
    padded = tuple(
        2 * fft.next_fast_len((n + reach) // 2, real=True)
        for n, reach in zip(image.shape, quarter.shape, strict=True)
    )
    slow, fast = padded
    half = fast // 2 + 1
    memory.require(
        rows * half * 16 + (slow // 2 + 1) * half * 16 + rows * fast * 8,
        "the point spread",
        "cut its kernel by psf_radius_px",
    )
    if padded not in transforms:
        transforms[padded] = _transform(fft.dctn, quarter, padded)
    factors = transforms[padded]
    waves = fft.rfft(image, n=fast, axis=1, workers=1)
    for first in range(0, half, _BLOCK):
        part = slice(first, first + _BLOCK)
        block = fft.fft(waves[:, part], n=slow, axis=0, workers=1)
        _scale(block, factors[:, part])
        waves[:, part] = fft.ifft(block, axis=0, overwrite_x=True, workers=1)[:rows]
    spread: FloatArray = fft.irfft(waves, n=fast, axis=1, overwrite_x=True, workers=1)[:, :columns]
    if image.min() >= 0.0 and quarter.min() >= 0.0:  # what is below is rounding
        return np.maximum(spread, 0.0)
    return np.ascontiguousarray(spread)


def _transform(dctn: Callable[..., Any], quarter: FloatArray, padded: tuple[int, ...]) -> FloatArray:
    """Fourier transform, real, of an even kernel: for the frequencies from 0 to the middle of both axes."""
    room = np.zeros([n // 2 + 1 for n in padded])
    room[: quarter.shape[0], : quarter.shape[1]] = quarter
    transform: FloatArray = dctn(room, type=1, overwrite_x=True, workers=1)
    return transform


def _scale(block: Any, factors: FloatArray) -> None:
    """Multiply the frequencies along slow, upper half after lower, by factors of the lower."""
    n = len(factors)
    block[:n] *= factors
    block[n:] *= factors[-2:0:-1]


def pixel_edges_um(pixel_um: float | tuple[float, float] | None) -> tuple[float, float]:
    """Edges (fast, slow) of a pixel, micrometre.

    Raises
    ------
    InputError
        For None, which cannot be told from an image, and edges that are not above 0.
    """
    if pixel_um is None:
        raise InputError("light and charge spread over micrometres: give pixel_um, the edges of a pixel")
    edges = np.broadcast_to(np.asarray(pixel_um, np.float64), 2)
    fast, slow = float(edges[0]), float(edges[1])
    if not (0.0 < fast < math.inf and 0.0 < slow < math.inf):
        raise InputError(f"pixel_um must be one or two numbers above 0, not {pixel_um!r}")
    return fast, slow

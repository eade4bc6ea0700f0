"""Grey levels for pictures: around the background, so that spots do not wash out what is weak."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.vectors import FloatArray

__all__ = ["Contrast", "background_contrast", "shrunk"]

#: spreads of the background from its level to the white end of the scale
_BELOW = 1.5

#: and at least to the black end, which is farther where the brightest pixels are, unless the scale is linear
_ABOVE = 20.0

#: percentile of all pixels that counts as the brightest
_TOP = 99.95

#: pixels that are looked at, evenly taken from larger pictures
_SAMPLE = 2**20

#: spreads within which the scale is about linear
_LINEAR = 2.0


class Contrast(NamedTuple):
    """A grey scale about a background.

    Attributes
    ----------
    level : float
        Of the background: white at ``low``, black at ``high``.
    width : float
        The scale is linear within and logarithmic beyond.
    low, high : float
    """

    level: float
    width: float
    low: float
    high: float

    def forward(self, values: Any) -> Any:
        """asinh((x - level)/width)."""
        return np.arcsinh((np.asarray(values, np.float64) - self.level) / self.width)

    def grey(self, values: Any) -> Any:
        """From 0, white, to 1, black; NaN stays."""
        low, high = self.forward([self.low, self.high])
        return np.clip((self.forward(values) - low) / (high - low), 0.0, 1.0)

    def inverse(self, values: Any) -> Any:
        return np.sinh(np.asarray(values, np.float64)) * self.width + self.level

    def ticks(self) -> list[float]:
        """Round numbers for the scale: the background and 1, 2, 5, 10 ... above it, some way apart."""
        marks, last = [float(f"{self.level:.2g}")], float(self.forward(self.level))
        apart = 0.08 * float(self.forward(self.high) - self.forward(self.low))
        first = math.floor(math.log10(max(self.width, 1e-300)))
        for power in range(first, first + 30):
            for mark in (10.0**power, 2 * 10.0**power, 5 * 10.0**power):
                place = float(self.forward(mark))
                if mark <= self.high and place > last + apart:
                    marks.append(mark)
                    last = place
        return marks


def background_contrast(values: FloatArray, *, linear: bool = False) -> Contrast:
    """The scale of an image by its typical pixel: median, and spread from the median absolute deviation.

    Parameters
    ----------
    values : ndarray
        Pixels; those that are not finite do not count.
    linear : bool
        Black at 20 spreads above the background instead of at the 99.95th percentile, where that is more.
    """
    flat = values.reshape(-1)
    good = flat[:: max(flat.size // _SAMPLE, 1)]  # enough to say what is typical
    good = good[np.isfinite(good)]
    if not good.size:
        return Contrast(0.0, 1.0, 0.0, 1.0)
    level = float(np.median(good))
    width = 1.4826 * float(np.median(np.abs(good - level)))
    if not width > 0.0:  # more than half of the pixels are alike
        others = np.abs(good[good != level] - level)
        width = float(np.median(others)) if others.size else 1.0
    high = level + _ABOVE * width
    if not linear:
        high = max(high, float(np.percentile(good, _TOP)))
    return Contrast(level, _LINEAR * width, level - _BELOW * width, high)


def shrunk(picture: NDArray[Any], most: int) -> tuple[NDArray[Any], int]:
    """A picture of at most so many rows and columns, each pixel the brightest of a square of the old ones.

    Parameters
    ----------
    picture : ndarray (rows, columns)
        NaN where there is no pixel; a square without any pixel stays NaN.
    most : int

    Returns
    -------
    ndarray, int
        The picture, and how many old pixels make one along each axis.
    """
    step = -(-max(picture.shape) // most)
    if step == 1:
        return picture, 1
    rows, columns = (-(-n // step) for n in picture.shape)
    padded = np.full((rows * step, columns * step), np.nan)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    # fmax takes the number where the other is NaN
    return np.fmax.reduce(padded.reshape(rows, step, columns, step), axis=(1, 3)), step

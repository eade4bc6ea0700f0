"""How alike two images are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.vectors import FloatArray

__all__ = ["Comparison", "compare", "resample"]


@dataclass(frozen=True)
class Comparison:
    """Figures of an image against a reference; photons.

    Attributes
    ----------
    correlation : float
        Pearson's; 1 for equal images, 0 where only one of them is constant.
    mse, rmse : float
        Mean square of the differences, and its root.
    max_difference : float
        Largest absolute difference.
    max_slow, max_fast : int
        Where it is.
    reference_sum, sum : float
    sum_ratio : float or None
        sum / reference_sum; None when the reference's is 0 and the other's is not.
    reference_max, max : float
    pixels : int
        Pixels compared.
    """

    correlation: float
    mse: float
    rmse: float
    max_difference: float
    max_slow: int
    max_fast: int
    reference_sum: float
    sum: float
    sum_ratio: float | None
    reference_max: float
    max: float
    pixels: int


def compare(
    image: NDArray[Any], reference: NDArray[Any], roi: tuple[int, int, int, int] | None = None
) -> Comparison:
    """Compare two images of the same shape.

    Parameters
    ----------
    image, reference : ndarray (slow, fast)
    roi : (fast min, fast max, slow min, slow max), optional
        Inclusive; None: everything.

    Raises
    ------
    InputError
        For images of different shapes or with pixels that are not finite, or a roi that does not fit them.
    """
    if image.shape != reference.shape or image.ndim != 2 or image.size == 0:
        raise InputError(
            f"the images have the shapes {image.shape} and {reference.shape}; the same were expected"
        )
    slow, fast = image.shape
    fmin, fmax, smin, smax = roi or (0, fast - 1, 0, slow - 1)
    if not (0 <= fmin <= fmax < fast and 0 <= smin <= smax < slow):
        raise InputError(
            f"roi {fmin} {fmax} {smin} {smax} does not fit an image of {fast} x {slow} (fast x slow)"
        )
    window = (slice(smin, smax + 1), slice(fmin, fmax + 1))
    a, b = image[window].astype(np.float64), reference[window].astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("an image has pixels that are not finite")
    difference = np.abs(a - b)
    worst = int(difference.argmax())
    sum_a, sum_b = float(a.sum()), float(b.sum())
    mse = float((difference**2).mean())
    return Comparison(
        correlation=_correlation(a, b),
        mse=mse,
        rmse=math.sqrt(mse),
        max_difference=float(difference.flat[worst]),
        max_slow=smin + worst // a.shape[1],
        max_fast=fmin + worst % a.shape[1],
        reference_sum=sum_b,
        sum=sum_a,
        sum_ratio=sum_a / sum_b if sum_b else (1.0 if sum_a == 0.0 else None),
        reference_max=float(b.max()),
        max=float(a.max()),
        pixels=a.size,
    )


def _correlation(a: FloatArray, b: FloatArray) -> float:
    if np.array_equal(a, b):
        return 1.0
    x, y = a - a.mean(), b - b.mean()
    # scaled so that squares of faint images stay in range
    x_scale, y_scale = float(np.abs(x).max()), float(np.abs(y).max())
    if x_scale == 0.0 or y_scale == 0.0:
        return 0.0
    x, y = x / x_scale, y / y_scale
    return float(np.vdot(x, y) / math.sqrt(float(np.vdot(x, x)) * float(np.vdot(y, y))))


def resample(image: NDArray[Any], shape: tuple[int, int]) -> FloatArray:
    """Spread the photons of an image over another number of pixels of the same area; their sum stays.

    Parameters
    ----------
    image : ndarray (slow, fast)
    shape : (int, int)
        (slow, fast) wanted.

    Returns
    -------
    ndarray of float64, of that shape
    """
    slow = _overlaps(image.shape[0], shape[0])
    fast = _overlaps(image.shape[1], shape[1])
    return np.asarray(slow @ image.astype(np.float64) @ fast.T)


def _overlaps(old: int, new: int) -> FloatArray:
    """(new, old): the fraction of each old cell of a unit edge that lies in each new one."""
    edges_old, edges_new = np.arange(old + 1) / old, np.arange(new + 1) / new
    low = np.maximum(edges_old[np.newaxis, :-1], edges_new[:-1, np.newaxis])
    high = np.minimum(edges_old[np.newaxis, 1:], edges_new[1:, np.newaxis])
    return np.asarray(np.maximum(high - low, 0.0) * old)

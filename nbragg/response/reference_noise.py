"""Photon-counting noise with the reference's random stream (canonical 9.3, 10.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._engine import RandomStream
from ..base import validate as check
from ..base.errors import InputError


@dataclass(frozen=True, eq=False)
class NoiseImage:
    """One noisy exposure.

    Attributes
    ----------
    pixels : ndarray of uint16 or int32, shape (spixels, fpixels)
        Counts including the offset; 0 outside the roi.
    overloads : int
        Pixels cut at the largest number of their type.
    """

    pixels: NDArray[Any]
    overloads: int


def noise_image(
    image: NDArray[np.float32],
    roi: Sequence[int] | None,
    seed: int,
    adc: float = 40.0,
    dtype: npt.DTypeLike = np.uint16,
) -> NoiseImage:
    """Poisson-distributed counts of a float image.

    Parameters
    ----------
    image : ndarray of float32, shape (slow, fast)
        Expected photons per pixel, finite and not negative.
    roi : (fast min, fast max, slow min, slow max) or None
        Inclusive limits; every pixel in it draws one deviate in raster order, others stay 0.  None: all.
    seed : int
        The same seed gives the same counts as the reference program; below 2^63 either way,
        and no multiple of 2^31 - 1.
    adc : float
        Offset added to every count.
    dtype : uint16 or int32
        Of the counts: the reference program's, cut at 65535, or wider.

    Raises
    ------
    InputError
        For another dtype, when the image has the wrong shape or holds negative or non-finite pixels, the
        roi does not fit, or the seed cannot be used.

    Examples
    --------
    >>> import nbragg, numpy as np
    >>> noise = nbragg.noise_image(np.full((100, 100), 7, np.float32), None, seed=1, adc=0)
    >>> noise.pixels.dtype, bool(abs(noise.pixels.mean() - 7) < 0.1)
    (dtype('uint16'), True)
    """
    return noise_panels([image], [roi], seed=seed, adc=adc, dtype=dtype)[0]


def noise_panels(
    images: Sequence[NDArray[np.float32]],
    rois: Sequence[Sequence[int] | None],
    seed: int,
    adc: float = 40.0,
    dtype: npt.DTypeLike = np.uint16,
) -> list[NoiseImage]:
    """`noise_image` of several panels, which draw one after the other from one stream."""
    if not np.isfinite(adc):
        raise InputError(f"adc = {adc}: give a finite offset")
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.uint16), np.dtype(np.int32)):
        raise InputError(f"counts of {kind}: uint16 or int32 was expected")
    most = int(np.iinfo(kind).max)
    stream = RandomStream(check.stream_seed("seed", seed))
    checked = [_checked(image, roi) for image, roi in zip(images, rois, strict=True)]
    drawn = [stream.noise_image(photons, limits, float(adc), most) for photons, limits in checked]
    return [NoiseImage(counts.astype(kind, copy=False), overloads) for counts, overloads in drawn]


def _checked(
    image: NDArray[np.float32], roi: Sequence[int] | None
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """The image as the engine takes it, and the limits of its roi."""
    photons = np.ascontiguousarray(image, np.float32)
    if photons.ndim != 2 or photons.size == 0:
        raise InputError(f"noise needs an image of shape (slow, fast), got shape {photons.shape}")
    low, high = float(photons.min()), float(photons.max())
    if not (low >= 0.0 and np.isfinite(high)):
        raise InputError(
            f"noise needs finite photon numbers of at least 0; the image runs from {low:g} to {high:g}"
        )
    slow, fast = photons.shape
    limits = tuple(int(v) for v in roi) if roi is not None else (0, fast - 1, 0, slow - 1)
    if len(limits) != 4 or not (0 <= limits[0] <= limits[1] < fast and 0 <= limits[2] <= limits[3] < slow):
        raise InputError(f"roi {limits} does not fit an image of {fast} x {slow} pixels (fast x slow)")
    return photons, limits

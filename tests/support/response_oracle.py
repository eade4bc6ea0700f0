"""What detectors make of photons, slowly and from the equations: dense matrices, quadrature, plain sums.

Nothing here is shared with the package.  Widths may be complex, so that derivatives are complex steps.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import leggauss

Array = npt.NDArray[Any]

_NODES, _WEIGHTS = (0.5 * x for x in leggauss(48))


def density(kind: str, width: Any, x: Any, y: Any) -> Any:
    """Photons per area at (x, y) of one that falls on the origin; ``width`` full at half maximum."""
    if kind == "gauss":
        return 4 * math.log(2) / math.pi / width**2 * np.exp(-4 * math.log(2) * (x * x + y * y) / width**2)
    g = width / (2 * math.sqrt(2 ** (2 / 3) - 1))
    return g / (2 * math.pi) * (g * g + x * x + y * y) ** -1.5


def pixel_integral(kind: str, width: Any, slow: int, fast: int, pixel: tuple[float, float]) -> Any:
    """Of the density over the pixel ``slow``, ``fast`` away, by quadrature; ``pixel`` is (fast, slow)."""
    x, y = ((place + _NODES) * edge for place, edge in zip((fast, slow), pixel, strict=True))
    values = density(kind, width, x[None, :], y[:, None])
    return _WEIGHTS @ values @ _WEIGHTS * pixel[0] * pixel[1]


@lru_cache(maxsize=256)
def kernel(kind: str, width: Any, reach: int, pixel: tuple[float, float]) -> Array:
    """Integrals over the pixels within ``reach`` of the middle along both axes."""
    quarter = np.array(
        [[pixel_integral(kind, width, s, f, pixel) for f in range(reach + 1)] for s in range(reach + 1)]
    )
    places = np.abs(np.arange(-reach, reach + 1))
    whole: Array = quarter[np.ix_(places, places)]
    return whole


@lru_cache(maxsize=256)
def charge_kernel(sigma: Any, reach: int, pixel: tuple[float, float]) -> Array:
    """Charge of photons that fall anywhere in the middle pixel, by quadrature over where and over pixels."""

    def along(edge: float) -> Array:
        x = (np.arange(-reach, reach + 1)[:, None, None] + _NODES[:, None] - _NODES) * edge
        gauss = np.exp(-x * x / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        found: Array = _WEIGHTS @ gauss @ _WEIGHTS * edge
        return found

    return np.outer(along(pixel[1]), along(pixel[0]))


def then(a: Array, b: Array) -> Array:
    """One kernel after the other: the whole convolution, by its definition."""
    total = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1), np.result_type(a, b))
    for i, j in np.ndindex(b.shape):
        total[i : i + a.shape[0], j : j + a.shape[1]] += a * b[i, j]
    return total


def matrix(spread: Array, shape: tuple[int, int]) -> Array:
    """M with (M photons)[j] = sum over k of K(j - k) photons[k]; pixels in raster order."""
    places = np.indices(shape).reshape(2, -1)
    step = places[:, :, None] - places[:, None, :]
    middle = np.array([n // 2 for n in spread.shape])[:, None, None]
    index = step + middle
    inside = np.all((index >= 0) & (index < np.array(spread.shape)[:, None, None]), axis=0)
    index = np.where(inside, index, 0)
    found: Array = np.where(inside, spread[index[0], index[1]], 0)
    return found


def threshold_response(sigma: float, threshold: float, pixel: tuple[float, float], places: int = 64) -> Array:
    """Counts in the 3 x 3 pixels (slow, fast) around a photon that falls anywhere in the middle one."""

    def below(x: float) -> float:
        return 0.5 * (1 + math.erf(x / (sigma * math.sqrt(2))))

    counts = np.zeros((3, 3))
    for i in range(places):
        for j in range(places):
            y, x = (i + 0.5) / places * pixel[1], (j + 0.5) / places * pixel[0]
            for slow in (-1, 0, 1):
                for fast in (-1, 0, 1):
                    q = below((slow + 1) * pixel[1] - y) - below(slow * pixel[1] - y)
                    q *= below((fast + 1) * pixel[0] - x) - below(fast * pixel[0] - x)
                    counts[slow + 1, fast + 1] += q > threshold
    return counts / places**2


def statistics(
    photons: Array,
    *,
    before: Array | None = None,
    after: Array | None = None,
    gain: Any = 1.0,
    adc: Any = 0.0,
    readout: Any = 0.0,
    flicker: Any = 0.0,
    gain_pattern: Any = 0.0,
    loss_pattern: Any = 0.0,
    excess: Any = 0.0,
    rounding: float = 1 / 12,
) -> tuple[Array, Array]:
    """Mean and covariance matrix of ADU, by the law of total variance, step by step.

    ``before`` and ``after`` are kernels.  Randomness enters as independent numbers: one for each pixel's
    loss, Poisson counts, one for the image, one for each pixel's gain.
    """
    shape = photons.shape
    B, K = (np.eye(photons.size) if k is None else matrix(k, shape) for k in (before, after))
    m = photons.ravel()
    expected = B @ m
    mean = K @ expected
    covariance = K @ np.diag(expected * (1 + excess)) @ K.T
    covariance = covariance + loss_pattern**2 * (K @ B) @ np.diag(m * m) @ (K @ B).T
    covariance = covariance + flicker**2 * np.outer(mean, mean)
    pattern = gain_pattern**2 * np.diag(np.diag(covariance) + mean * mean)
    covariance = gain**2 * (covariance + pattern)
    return gain * mean + adc, covariance + (readout**2 + rounding) * np.eye(m.size)


def gaussian_log_likelihood(data: Array, mean: Array, variance: Array) -> Any:
    return np.sum(-((data - mean) ** 2) / (2 * variance) - np.log(2 * math.pi * variance) / 2)


def counting(photons: Any, tau_over_T: Any, *, paralysable: bool) -> tuple[Any, Any]:
    """Mean and variance of counts with a dead time."""
    x = photons * tau_over_T
    if paralysable:
        return photons * np.exp(-x), photons * np.exp(-x) * (1 - 2 * x * np.exp(-x))
    return photons / (1 + x), photons / (1 + x) ** 3

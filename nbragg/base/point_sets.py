"""Sets of points that stand for a Gaussian: additive recurrences, centred and scaled (beyond 16.2)."""

from __future__ import annotations

import functools

import numpy as np

from . import memory
from .vectors import FloatArray

__all__ = ["gaussian_points", "recurrence"]


def _ratio(dimensions: int) -> float:
    """The root above 1 of g^(d+1) = g + 1, by Newton's steps."""
    g = 1.5
    for _ in range(60):
        g -= (g ** (dimensions + 1) - g - 1.0) / ((dimensions + 1) * g**dimensions - 1.0)
    return g


def recurrence(count: int, dimensions: int) -> FloatArray:
    """Points u_j = frac(1/2 + j (1/g, 1/g^2, ...)), j = 1 .. count, in the unit cube.

    Returns
    -------
    ndarray (count, dimensions)
    """
    steps = _ratio(dimensions) ** -np.arange(1.0, dimensions + 1.0)
    points: FloatArray = (0.5 + np.outer(np.arange(1.0, count + 1.0), steps)) % 1.0
    return points


@functools.lru_cache(maxsize=8)
def gaussian_points(count: int, dimensions: int) -> FloatArray:
    """Points of a Gaussian of mean 0 and covariance 1: those of `recurrence` through its quantiles.

    Centred, and scaled by the inverse root of their covariance: their mean is 0 and their covariance, the
    mean of z z^T, 1.  Fewer points than dimensions + 1 cannot have it, and are only centred.

    Returns
    -------
    ndarray (count, dimensions)
        Read-only.
    """
    from statistics import NormalDist

    memory.require(100 * count * dimensions, f"{count} mosaic domains", "give fewer mosaic_domains")
    quantile = NormalDist().inv_cdf
    u = recurrence(count, dimensions)
    z = np.array([quantile(x) for x in u.ravel().tolist()]).reshape(u.shape)
    z -= z.mean(axis=0)
    if count > dimensions:
        for _ in range(2):  # the second takes off the rounding of the first
            values, vectors = np.linalg.eigh(z.T @ z / count)
            z = z @ (vectors / np.sqrt(values)) @ vectors.T
            z -= z.mean(axis=0)
    z.setflags(write=False)
    return z

"""The likelihood of one image, and how it moves with parameters and background (gradients 8.1, 8.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scoring import Normal

if TYPE_CHECKING:
    from ..inverse.linearization import Linearization
    from ..inverse.noise import Noise

__all__ = ["Pixels", "likelihood", "normal"]

Array = NDArray[np.float64]


class Pixels(NamedTuple):
    """Measured pixels, or blocks of them that one pixel of the model stands for.

    Attributes
    ----------
    at : ndarray of int (n,)
        Image indices.
    data : ndarray (n,)
        Of a block the sum.
    number : ndarray (n,)
        Pixels in each block that number.
    basis : ndarray (K, n)
        Of the background that is free, photons for a coefficient of 1.
    fixed : ndarray (n,)
        Of the background that is known, photons.
    noise : Noise
        Of ``data``.
    """

    at: NDArray[np.int64]
    data: Array
    number: Array
    basis: Array
    fixed: Array
    noise: Noise

    def mean(self, image: Array, background: Array) -> Array:
        """Expected photons of an image and coefficients of the background."""
        return np.asarray(self.number * image.reshape(-1)[self.at] + background @ self.basis + self.fixed)

    def spread(self, values: Array, shape: tuple[int, ...]) -> Array:
        """Values of the pixels in an image that is 0 elsewhere."""
        whole = np.zeros(shape)
        whole.reshape(-1)[self.at] = values
        return whole


def likelihood(pixels: Pixels, image: Array, background: Array) -> float:
    """-ln L."""
    return float(pixels.noise.misfit(pixels.data, pixels.mean(image, background)).cost.sum())


def normal(
    pixels: Pixels, linear: Linearization, image: Array, background: Array, room: Array | None
) -> Normal:
    """-ln L, and the normal equations of the parameters, then of the background's coefficients.

    Parameters
    ----------
    pixels : Pixels
    linear : Linearization
    image : ndarray
        Its image.
    background : ndarray (K,)
    room : ndarray or None
        As of `Linearization.derivatives_at`; None: there is not enough memory for it.
    """
    misfit = pixels.noise.misfit(pixels.data, pixels.mean(image, background))
    cost, w, r = float(misfit.cost.sum()), misfit.weights, misfit.residual
    p, K = len(linear), len(pixels.basis)
    scatter = float(np.mean(r**2 / w))
    if room is not None:
        J = np.concatenate([pixels.number * linear.derivatives_at(pixels.at, room), pixels.basis])
        H = (J * w) @ J.T
        return Normal(cost, (H + H.T) / 2, J @ r, scatter)
    own = linear.gauss_newton(
        pixels.spread(r / (w * pixels.number), image.shape), pixels.spread(w * pixels.number**2, image.shape)
    )
    H = np.zeros((p + K, p + K))
    H[:p, :p], H[p:, p:] = own.H, (pixels.basis * w) @ pixels.basis.T
    for k, phi in enumerate(pixels.basis):
        mixed = list(linear.vjp(pixels.spread(pixels.number * w * phi, image.shape)).values())
        H[p + k, :p] = H[:p, p + k] = mixed
    return Normal(cost, H, np.concatenate([own.b, pixels.basis @ r]), scatter)

"""Where the refinement of an image ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..inverse.noise import FLOOR
from ..inverse.places import background_basis
from ..simulation.simulator import Simulator

if TYPE_CHECKING:
    from ..engine.options import RenderOptions
    from ..inverse.noise import Noise
    from ..model.setup import Setup
    from .measured import Loaded

__all__ = ["Fitted", "deviation", "expected", "residual"]

Array = NDArray[np.float64]


class Fitted(NamedTuple):
    """What is known of an image after it.

    Attributes
    ----------
    setup : Setup
    background : ndarray (K,)
        Coefficients.
    begun, turned : ndarray (p,)
        As of `Frame`.
    said : str
        What of the data was left out.
    counted : int
        Pixels that counted.
    square : float
        Sum over them of squares of residuals.
    """

    setup: Setup
    background: Array
    begun: Array
    turned: Array
    said: str
    counted: int
    square: float


def expected(setup: Setup, background: Array, kind: str, known: Array, options: RenderOptions) -> Array:
    """Photons of every pixel, background included."""
    simulator = Simulator(setup, options)
    light = np.asarray(simulator.linearize("beam.fluence").image)
    basis = background_basis(kind, simulator.scene, np.arange(light.size))
    return np.asarray(light + (background @ basis).reshape(light.shape) + known)


def residual(photons: Array, data: Loaded, noise: Noise) -> Array:
    """Data less expectation, in standard deviations; NaN where pixels do not count."""
    return np.where(data.used, deviation(photons, data.pixels, noise), np.nan)


def deviation(photons: Array, data: Array, noise: Noise) -> Array:
    """Of data from expected photons, in standard deviations."""
    return np.asarray((data - noise.gain * photons) / np.sqrt(noise.variance(np.maximum(photons, FLOOR))))

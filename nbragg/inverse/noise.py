"""How measured pixels scatter about the expected photons, and what that makes of a misfit (gradients 8.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen

__all__ = ["Misfit", "Noise", "checked_noise"]

Array = NDArray[np.float64]

#: photons: pixels with fewer expected carry these, so that one stray photon does not weigh without end
FLOOR = 1e-3


class Misfit(NamedTuple):
    """What a likelihood says of pixels.

    Attributes
    ----------
    cost : ndarray
        -ln L of each pixel, less that of an expectation equal to the data, or to 0 where readout makes
        data + sigma^2 negative; of Gaussian noise with ln V/2.
    residual : ndarray
        Derivative of ln L by the expected photons.
    weights : ndarray
        Fisher information on the expected photons; of the model alone.
    """

    cost: Array
    residual: Array
    weights: Array


@frozen
class Noise(Record):
    """Of the data that parameters are found from.

    With m the expected photons of a pixel and d the measured value, d is

    - Poisson distributed with the mean m where only photons are counted;
    - with ``readout`` sigma, as d + sigma^2 were Poisson distributed with the mean m + sigma^2 (mean,
      variance and skewness are right);
    - with a ``gain``, a ``flicker`` or ``kind="gaussian"``, Gaussian of the mean gain m and the variance
      V = sigma^2 + gain^2 m + (flicker gain m)^2.

    Parameters
    ----------
    readout : float
        Standard deviation of reading out, in units of the data: photons, or ADU with a gain.
    gain : float
        Units of the data per photon.
    flicker : float
        Standard deviation of the intensity from shot to shot or pixel to pixel, as a part of it.
    kind : {"auto", "poisson", "gaussian"}
        "auto": Gaussian where gain is not 1 or flicker not 0.

    Raises
    ------
    InputError
        For a number that is not finite or out of range, "poisson" with a gain or flicker.

    References
    ----------
    gradients 8.2: weights come from the model, never from the data, which would bias what is found.

    Examples
    --------
    >>> import nbragg
    >>> found = nbragg.Noise(readout=2).misfit([5.0], [4.0])
    >>> found.residual, found.weights
    (array([0.125]), array([0.125]))
    """

    readout: float = 0.0
    gain: float = 1.0
    flicker: float = 0.0
    kind: str = "auto"

    def __post_init__(self) -> None:
        self._set("readout", check.number("readout", self.readout, at_least=0))
        self._set("gain", check.number("gain", self.gain, above=0))
        self._set("flicker", check.number("flicker", self.flicker, at_least=0))
        self._set("kind", check.choice("kind", self.kind, ("auto", "poisson", "gaussian")))
        if self.kind == "poisson" and (self.gain != 1 or self.flicker != 0):
            raise InputError('kind = "poisson" takes data in photons: a gain or flicker makes it "gaussian"')

    @property
    def gaussian(self) -> bool:
        """Whether the likelihood is a Gaussian."""
        return self.kind == "gaussian" or self.gain != 1 or self.flicker != 0

    def variance(self, photons: ArrayLike) -> Array:
        """Of data whose expected photons are these, in squares of their unit."""
        m = np.asarray(photons, np.float64)
        return np.asarray(self.readout**2 + self.gain**2 * m + (self.flicker * self.gain * m) ** 2)

    def weights(self, photons: ArrayLike) -> Array:
        """Fisher information of a pixel on its expected photons, 1/photons^2."""
        m = np.maximum(np.asarray(photons, np.float64), FLOOR)
        if not self.gaussian:
            return np.asarray(1 / (m + self.readout**2))
        V = self.variance(m)
        return np.asarray(self.gain**2 / V + self._rise(m) ** 2 / (2 * V**2))

    def misfit(self, data: ArrayLike, photons: ArrayLike) -> Misfit:
        """What the likelihood says of measured pixels.

        Parameters
        ----------
        data : array_like
            Photons, or ADU less their offset.
        photons : array_like
            Expected, before the gain; below 0.001 they count as 0.001.

        Returns
        -------
        Misfit
            Arrays of the common shape.
        """
        d = np.asarray(data, np.float64)
        m = np.maximum(np.asarray(photons, np.float64), FLOOR)
        if self.gaussian:
            V, rise = self.variance(m), self._rise(m)
            off = d - self.gain * m
            square = off**2 / V
            residual = self.gain * off / V + rise * (square - 1) / (2 * V)
            return Misfit((square + np.log(V)) / 2, residual, self.gain**2 / V + rise**2 / (2 * V**2))
        extra = self.readout**2
        mean, seen = m + extra, d + extra
        # below 0 no expectation equals the data; not cut off, which would bias the background
        least = np.where(seen > 0, seen, extra if extra > 0 else 1.0)
        cost = mean - seen + seen * np.log(least / mean)
        return Misfit(cost, (d - m) / mean, 1 / mean)

    def draw(self, photons: ArrayLike, seed: int) -> Array:
        """Data of these expected photons, drawn from the distributions above.

        The number of photons is a Poisson deviate of their mean, which flickers first; reading out is
        Gaussian.

        Raises
        ------
        InputError
            For a seed that is not a whole number from 0, and photons that are negative or no numbers.
        """
        random = np.random.default_rng(check.count("seed", seed, at_least=0))
        m = np.asarray(photons, np.float64)
        if not (np.isfinite(m) & (m >= 0)).all():
            raise InputError("photons that are expected are numbers from 0: there are negative or NaN ones")
        if self.flicker:
            m = np.maximum(m * (1 + self.flicker * random.standard_normal(m.shape)), 0)
        drawn = self.gain * random.poisson(m)
        return np.asarray(drawn + self.readout * random.standard_normal(m.shape), np.float64)

    def _rise(self, m: Array) -> Array:
        """dV/dm."""
        return self.gain**2 + 2 * (self.flicker * self.gain) ** 2 * m


def checked_noise(given: object) -> Noise:
    """A Noise; None: that of photons which are counted.

    Raises
    ------
    InputError
        For anything else.
    """
    if given is None:
        return Noise()
    if not isinstance(given, Noise):
        raise InputError(f"noise must be a Noise, nbragg.Noise(readout=3) say, or None, not {given!r}")
    return given

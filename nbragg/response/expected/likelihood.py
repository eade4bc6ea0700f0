"""How likely measured pixels are, what moves that, and what it tells (beyond 14.6; gradients 8.2).

Poisson where nothing but the counting of photons adds noise; else a Gaussian of the mean and variance that
the response gives, both of which move with the photons.  Weights come from the model, never from the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...base.errors import InputError
from ...base.vectors import FloatArray
from .moments import Conditions, Expected, Moments, images_of, photons_of
from .psf import widths_of

if TYPE_CHECKING:
    from ...model.response import DetectorResponse

__all__ = ["Likelihood", "likelihood"]

#: fields that move the mean of Poisson counts without adding noise
_MOVE_POISSON = ("scale", "psf_fwhm_um")


class Likelihood:
    """The logarithm of the likelihood of an image, with its derivatives.

    Attributes
    ----------
    value : float
        Natural logarithm, with all constants.
    residual : ndarray, shape of the image
        Its derivative by the expected photons of each pixel: the slopes of -value by parameters theta are
        -J^T residual, J = dm/dtheta.
    weight : ndarray or None
        Fisher weight of each pixel: the information on theta is J^T diag(weight) J.  None where light or
        charge spreads, by which pixels hang together: see `fisher`.
    poisson : bool
        Whether counts are Poisson; else Gaussian.
    """

    value: float
    residual: FloatArray
    weight: FloatArray | None
    poisson: bool

    def __init__(self, panels: Sequence[_Panel], stacked: bool) -> None:
        self._panels, self._stacked = panels, stacked
        self.poisson = panels[0].poisson
        self.value = float(sum(panel.value for panel in panels))
        self.residual = self._gathered([panel.residual for panel in panels])
        weights = [panel.weight for panel in panels]
        self.weight = None if weights[0] is None else self._gathered(weights)

    def _gathered(self, parts: Sequence[Any]) -> FloatArray:
        return np.stack(parts) if self._stacked else parts[0]

    def fisher(self, direction: npt.ArrayLike) -> FloatArray:
        """The Fisher information of the photons times an image, which has their shape.

        With J = dm/dtheta, the information on theta is J^T fisher(J).

        Raises
        ------
        InputError
            For another shape.
        """
        images = images_of("direction", direction)
        if images.shape != self.residual.shape:
            raise InputError(f"direction has the shape {images.shape}; {self.residual.shape} was expected")
        parts = images if self._stacked else [images]
        return self._gathered([panel.fisher(part) for panel, part in zip(self._panels, parts, strict=True)])

    def slope(self, name: str) -> float:
        """Derivative of `value` by a field of the response: "gain", "readout", "psf_fwhm_um" ...

        Raises
        ------
        InputError
            For a field by which the moments are not differentiated, and for "gain", "readout", "adc" and
            "fano" of Poisson counts, which do not determine them.
        """
        return float(sum(panel.slope(name) for panel in self._panels))

    def information(self, names: Sequence[str]) -> FloatArray:
        """Fisher information of fields of the response, shape (names, names).

        Raises
        ------
        InputError
            As `slope`.
        """
        return sum((panel.information(names) for panel in self._panels), np.zeros((len(names),) * 2))


class _Panel:
    """One panel's part."""

    def __init__(
        self, expected: Expected, data: FloatArray, used: npt.NDArray[np.bool_], floor: float
    ) -> None:
        self.expected, self.used = expected, used
        self.poisson = _is_poisson(expected.response, expected.on)
        # ADU, or counts, of one photon
        self._unit = float(expected.partials[0].mean.flat[0]) if self.poisson else 1.0
        if self.poisson:
            self._poisson(data, floor)
        else:
            self._gaussian(data, floor)

    def _poisson(self, data: FloatArray, floor: float) -> None:
        mean = self.expected.images.u
        offset = self.expected.numbers.get("adc", 0.0)
        counts = np.where(self.used, (data - offset) / self._unit, 0.0)
        if counts.min() < 0.0:
            place = tuple(int(i) for i in np.unravel_index(int(counts.argmin()), counts.shape))
            raise InputError(
                f"pixel {place} has {counts[place]:g} photons: with Poisson counts none is below 0; leave it "
                "out by mask, or give the response a readout"
            )
        at_least = np.maximum(mean, floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithm = np.where(counts > 0.0, counts * np.log(at_least), 0.0)
            ratio = np.where(counts > 0.0, counts / at_least, 0.0)
            inverse = np.where(at_least > 0.0, 1.0 / at_least, 0.0)
        self.value = float((logarithm - mean - _log_factorial(counts))[self.used].sum())
        self._by_mean = np.where(self.used, ratio - 1.0, 0.0)
        self._weight_mean = np.where(self.used, inverse, 0.0)
        nothing = np.zeros(mean.shape)
        self.residual = self.expected.pulled(self._by_mean, nothing, nothing)
        self.weight = self._diagonal(self._weight_mean, None)

    def _gaussian(self, data: FloatArray, floor: float) -> None:
        mean, variance = self.expected.moments()
        gain = self.expected.partials[0].mean
        variance = np.maximum(variance, gain**2 * floor)
        if not variance[self.used].all():
            raise InputError("a pixel without photons and without noise: give floor, or leave it out by mask")
        variance = np.where(variance > 0.0, variance, 1.0)
        apart = data - mean
        terms = -0.5 * (apart**2 / variance + np.log(2.0 * math.pi * variance))
        self.value = float(terms[self.used].sum())
        by_variance = 0.5 * (apart**2 / variance - 1.0) / variance
        self._by_mean = np.where(self.used, apart / variance, 0.0)
        self._by_variance = np.where(self.used, by_variance, 0.0)
        self._weight_mean = np.where(self.used, 1.0 / variance, 0.0)
        self._weight_variance = np.where(self.used, 0.5 / variance**2, 0.0)
        self.residual = self.expected.back(self._by_mean, self._by_variance)
        self.weight = self._diagonal(self._weight_mean, self._weight_variance)

    def _diagonal(self, mean: FloatArray, variance: FloatArray | None) -> FloatArray | None:
        """The Fisher weight of each pixel; None where pixels hang together."""
        expected = self.expected
        if expected.spreads:
            return None
        scale = expected.response.scale
        if variance is None:
            return scale**2 * mean
        slope = expected.along(expected.moved(np.ones(expected.shape)))
        return slope.mean**2 * mean + slope.variance**2 * variance

    def fisher(self, direction: FloatArray) -> FloatArray:
        images = self.expected.moved(direction)
        if self.poisson:
            nothing = np.zeros(direction.shape)
            return self.expected.pulled(self._weight_mean * images.u, nothing, nothing)
        slope = self.expected.along(images)
        return self.expected.back(self._weight_mean * slope.mean, self._weight_variance * slope.variance)

    def _moments_slope(self, name: str) -> Moments:
        if not self.poisson:
            return self.expected.slope(name)
        mean, _ = self.expected.slope(name)  # refuses other names
        if name not in _MOVE_POISSON:
            raise InputError(
                f"Poisson counts say nothing of {name}: only {' and '.join(_MOVE_POISSON)} move them; a "
                "response with readout has Gaussian pixels"
            )
        return Moments(mean / self._unit, np.zeros(mean.shape))

    def slope(self, name: str) -> float:
        mean, variance = self._moments_slope(name)
        total = (self._by_mean * mean).sum()
        return float(total if self.poisson else total + (self._by_variance * variance).sum())

    def information(self, names: Sequence[str]) -> FloatArray:
        slopes = [self._moments_slope(name) for name in names]
        mean = np.array([slope.mean.ravel() for slope in slopes])
        found: FloatArray = (mean * self._weight_mean.ravel()) @ mean.T
        if not self.poisson:
            variance = np.array([slope.variance.ravel() for slope in slopes])
            found = found + (variance * self._weight_variance.ravel()) @ variance.T
        return found


def _is_poisson(response: DetectorResponse, on: Conditions) -> bool:
    """Whether the counting of photons is all the noise there is, and every count has a number of its own."""
    if response.flicker or response.calibration:
        return False
    if response.is_counting:
        return not response.dead_time_ns and response.pulsed is None
    if response.readout or response.fano or widths_of(response, "after", on.pixel_um) is not None:
        return False
    if not response.resolved_bits:
        return True
    gain = response.gain
    if response.gain_per_keV:
        gain *= 1e-3 * on.energy("gain_per_keV")
    return gain >= 1.0


def _log_factorial(counts: FloatArray) -> FloatArray:
    different, places = np.unique(counts, return_inverse=True)
    known = np.array([math.lgamma(n + 1.0) for n in different.tolist()])
    return known[places].reshape(counts.shape)


def likelihood(
    response: DetectorResponse,
    data: npt.ArrayLike,
    m: npt.ArrayLike,
    on: Conditions,
    mask: npt.ArrayLike | None,
    floor: float,
) -> Likelihood:
    """See `DetectorResponse.likelihood`."""
    photons, pixels = photons_of(m), np.asarray(data)
    for name, shape in (("data", pixels.shape), ("mask", photons.shape if mask is None else np.shape(mask))):
        if shape != photons.shape:
            raise InputError(f"{name} has the shape {shape}; {photons.shape}, as m, was expected")
    used = np.ones(photons.shape, bool) if mask is None else np.asarray(mask) != 0
    # what is left out may be anything, NaN too
    measured = images_of("data", np.where(used, pixels, 0.0))
    stacked = photons.ndim == 3
    parts = zip(photons, measured, used, strict=True) if stacked else [(photons, measured, used)]
    panels = [_Panel(Expected(response, m, on), values, which, floor) for m, values, which in parts]
    return Likelihood(panels, stacked)

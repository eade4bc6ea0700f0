"""Mean and variance of what a detector writes, and their derivatives (beyond 14.6).

The photons m pass through linear steps, which make three images of them, and then through a formula for each
pixel.  The linear steps are even kernels and are moved by kernels; the formulas take complex numbers and are
differentiated by complex steps, which is exact to rounding.

    u = K B s m       expected photons, spread before (B) and after (K) they are counted; s the scale
    q = K^2 (B s m)   what the variance of the counts becomes; K^2 is the square at each distance
    l = (K B)^2 (s m)^2   the same of photons lost by a pattern of known rms
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...base import validate as check
from ...base.cached import cached_property
from ...base.errors import InputError
from ...base.names import suggestion
from ...base.optional import require
from ...base.vectors import FloatArray
from .kernels import Kernel, full, pixel_edges_um
from .psf import d_spread_d_fwhm, kernel_of, shared_kernel, spread, widths_of

if TYPE_CHECKING:
    from ...model.response import DetectorResponse

__all__ = ["Conditions", "Expected", "Moments", "covariance", "moment_slopes", "moments", "slope_names"]

Numbers = dict[str, Any]

#: of a complex step: its square is lost beside 1
_STEP = 1e-30

#: of the largest pixel: negative photons up to this are rounding
_NEGATIVE = 1e-6

#: rounding to whole numbers
_ROUNDING = 1.0 / 12.0

#: fields of the response by which the moments can be differentiated
_INTEGRATING = (
    *("scale", "flicker", "calibration", "psf_fwhm_um", "charge_sigma_um"),
    *("fano", "gain", "readout", "adc"),
)
_COUNTING = ("scale", "flicker", "calibration", "psf_fwhm_um", "dead_time_ns")


class Moments(NamedTuple):
    """Mean and variance of each pixel, or their derivatives: ADU and ADU^2, or counts."""

    mean: FloatArray
    variance: FloatArray


class Conditions(NamedTuple):
    """What a response needs to know of an exposure."""

    pixel_um: float | tuple[float, float] | None = None
    energy_eV: float | None = None
    exposure_s: float | None = None

    def energy(self, what: str) -> float:
        """Energy of a photon, eV, which ``what`` needs."""
        if self.energy_eV is None:
            raise InputError(f"{what} needs the energy of a photon: give energy_eV")
        return check.number("energy_eV", self.energy_eV, above=0)

    def exposure(self, what: str) -> float:
        """Time of an exposure, s, which ``what`` needs."""
        if self.exposure_s is None:
            raise InputError(f"{what} needs the time of an exposure: give exposure_s")
        return check.number("exposure_s", self.exposure_s, above=0)


class _Images(NamedTuple):
    """What the formula of a pixel takes: see the head of this module."""

    u: Any
    q: Any
    l: Any  # noqa: E741


def slope_names(response: DetectorResponse) -> tuple[str, ...]:
    """Fields by which the moments can be differentiated."""
    return _COUNTING if response.is_counting else _INTEGRATING


# ---- the formula of a pixel --------------------------------------------------------------------------------


def _integrating(images: _Images, response: DetectorResponse, on: Conditions, numbers: Numbers) -> Moments:
    """ADU of an integrating detector with one gain."""
    u, q, l = images  # noqa: E741
    gain, excess = numbers["gain"], 0.0
    if response.gain_per_keV:
        gain = gain * (1e-3 * on.energy("gain_per_keV"))
    if response.fano:
        excess = numbers["fano"] * response.pair_energy_eV / on.energy("fano")
    pattern = numbers["calibration"] ** 2
    photons = (1.0 + excess) * q + numbers["flicker"] ** 2 * u * u
    if response.resolved_calibration_as == "loss":
        photons = photons + pattern * l
    else:  # of a product of independent numbers
        photons = photons + pattern * (photons + u * u)
    rounding = _ROUNDING if response.resolved_bits else 0.0
    return Moments(gain * u + numbers["adc"], gain**2 * photons + numbers["readout"] ** 2 + rounding)


def _counting(images: _Images, response: DetectorResponse, on: Conditions, numbers: Numbers) -> Moments:
    """Counts of a counting detector; what moves the rate enters by the slope of counts with it."""
    a = images.u
    moved = numbers["flicker"] ** 2 * a * a + numbers["calibration"] ** 2 * images.l
    rounding = 0.0
    if response.pulsed is not None:
        missed = np.exp(-a / response.pulsed)
        mean, slope = response.pulsed * (1 - missed), missed
        variance = mean * missed
    elif not response.dead_time_ns:
        mean, variance, slope = a, a, 1.0
    else:
        t = 1e-9 * numbers["dead_time_ns"] / on.exposure("dead_time_ns")
        x = a * t
        if response.retrigger:
            mean, variance, slope = a / (1 + x), a / (1 + x) ** 3, 1 / (1 + x) ** 2
        else:
            alone = np.exp(-x)
            mean, variance, slope = a * alone, a * alone * (1 - 2 * x * alone), alone * (1 - x)
        if response.rate_correction:
            steep = 1 / (1 - mean * t) ** 2
            corrected = mean / (1 - mean * t)
            if not response.retrigger:
                z = _lower_root(x)
                steep, corrected = np.exp(z) / (1 - z), z / t
            mean, variance, slope = corrected, variance * steep**2, slope * steep
            rounding = _ROUNDING if response.resolved_bits else 0.0
    return Moments(mean, variance + slope**2 * moved + rounding)


def _lower_root(x: Any) -> Any:
    """z with z exp(-z) = x exp(-x) and z at most 1: x itself as long as it is."""
    z = np.where(x.real > 1.0, x * np.exp(1.0 - x) / math.e, x)
    beyond = x.real > 1.0
    if not beyond.any():
        return z
    target = np.log(x[beyond]) - x[beyond]
    root = z[beyond]
    for _ in range(60):
        root = root - (np.log(root) - root - target) * root / (1.0 - root)
    z[beyond] = root
    return z


# ---- the linear steps --------------------------------------------------------------------------------------


class Expected:
    """The photons of one panel on their way through a response.

    Parameters
    ----------
    response : DetectorResponse
    photons : ndarray, shape (slow, fast)
        Expected, absorbed.
    on : Conditions

    Raises
    ------
    InputError
        For gain stages, whose ADU are no straight line, and for what is missing among the conditions.
    """

    def __init__(self, response: DetectorResponse, photons: FloatArray, on: Conditions) -> None:
        if response.gain_stages:
            raise InputError(
                "gain_stages: mean and variance are known for one gain only; take a response with the gain "
                "of a stage"
            )
        self.response, self.on = response, on
        self.shape: tuple[int, int] = photons.shape
        self.photons = photons
        self.numbers: Numbers = {
            name: getattr(response, name) for name in (*slope_names(response), "flicker", "calibration")
        }
        if not response.is_counting:
            self.numbers["adc"] = response.resolved_adc
        self._formula: Callable[..., Moments] = _counting if response.is_counting else _integrating

    def _before(self, image: FloatArray, *, transpose: bool = False) -> FloatArray:
        """B"""
        return spread(image, self.response, self.on.pixel_um, stage="before", transpose=transpose)

    def _after(self, slope: str = "") -> Kernel | None:
        """K, or its derivative by a width; None: nothing spreads counts."""
        widths = widths_of(self.response, "after", self.on.pixel_um)
        return None if widths is None else kernel_of(widths, self.shape, slope)

    def _whole(self, slope: str = "") -> Kernel | None:
        """Both in one, as if light that left could come back."""
        response, pixel_um = self.response, self.on.pixel_um
        before, after = (widths_of(response, stage, pixel_um) for stage in ("before", "after"))
        widths = after or before
        if before and after:
            widths = before._replace(charge_um=after.charge_um)
        if response.is_counting and response.charge_sigma_um:
            return shared_kernel(widths, response, pixel_edges_um(pixel_um), self.shape, slope)
        return None if widths is None else kernel_of(widths, self.shape, slope)

    @cached_property
    def _kernel(self) -> Kernel | None:
        """K"""
        return self._after()

    @cached_property
    def _kernel_square(self) -> Kernel | None:
        """K^2"""
        return None if self._kernel is None else self._kernel * self._kernel

    @cached_property
    def _whole_square(self) -> Kernel | None:
        """(K B)^2"""
        whole = self._whole()
        return None if whole is None else whole * whole

    @cached_property
    def _arriving(self) -> FloatArray:
        """s m"""
        return self.response.scale * self.photons

    @cached_property
    def _counted(self) -> FloatArray:
        """B s m"""
        return self._before(self._arriving)

    @property
    def _loses(self) -> bool:
        """Whether a pattern of losses counts."""
        return self.response.calibration > 0.0 and self.response.resolved_calibration_as == "loss"

    @cached_property
    def images(self) -> _Images:
        return self._through(self._counted, self._arriving**2)

    def _through(self, counted: FloatArray, squares: FloatArray) -> _Images:
        """The images of B s m and (s m)^2, or of how these move."""
        u = _by(self._kernel, counted)
        q = u if self._kernel is None else _by(self._kernel_square, counted)
        return _Images(u, q, _by(self._whole_square, squares) if self._loses else np.zeros(self.shape))

    def moved(self, direction: FloatArray) -> _Images:
        """How the images move with the photons."""
        arriving = self.response.scale * direction
        return self._through(self._before(arriving), 2.0 * self._arriving * arriving)

    def pulled(self, u: FloatArray, q: FloatArray, lost: FloatArray) -> FloatArray:
        """The transposed of `moved`."""
        counted = u + q if self._kernel is None else _by(self._kernel, u) + _by(self._kernel_square, q)
        arriving = self._before(counted, transpose=True)
        if self._loses:
            arriving = arriving + 2.0 * self._arriving * _by(self._whole_square, lost)
        return self.response.scale * arriving

    def _moved_by_width(self, name: str) -> _Images:
        """How the images move with a width of a kernel."""
        response, nothing = self.response, np.zeros(self.shape)
        counted = nothing
        if name == "psf_fwhm_um" and response.resolved_psf_stage == "before":
            counted = d_spread_d_fwhm(self._arriving, response, self.on.pixel_um)
        u, q, lost = self._through(counted, nothing)
        kernel, slope = self._kernel, self._after(name)
        if kernel is not None and slope is not None:
            u = u + slope.spread(self._counted)
            q = q + 2.0 * (kernel * slope).spread(self._counted)
        if self._loses:
            whole, slope = self._whole(), self._whole(name)
            if whole is not None and slope is not None:
                lost = lost + 2.0 * (whole * slope).spread(self._arriving**2)
        return _Images(u, q, lost)

    def covariance(self, slow: int, fast: int) -> FloatArray:
        """Of each pixel with the one ``slow`` and ``fast`` pixels further; the image is that much smaller."""
        rows, columns = (max(n - step, 0) for n, step in zip(self.shape, (slow, fast), strict=True))
        response, numbers = self.response, self.numbers
        u = self.images.u
        here, there = u[:rows, :columns], u[slow:, fast:]
        variance = numbers["flicker"] ** 2 * here * there
        excess = 0.0
        if response.fano:
            excess = response.fano * response.pair_energy_eV / self.on.energy("fano")
        variance = variance + (1.0 + excess) * _overlap(self._kernel, self._counted, slow, fast)
        if self._loses:
            lost = _overlap(self._whole(), self._arriving**2, slow, fast)
            variance = variance + numbers["calibration"] ** 2 * lost
        gain = response.gain * (1e-3 * self.on.energy("gain_per_keV") if response.gain_per_keV else 1.0)
        scaled: FloatArray = gain**2 * variance
        return scaled

    @property
    def spreads(self) -> bool:
        """Whether a photon on one pixel is heard of in others."""
        response, pixel_um = self.response, self.on.pixel_um
        if response.is_counting and response.charge_sigma_um:
            return True
        return any(widths_of(response, stage, pixel_um) is not None for stage in ("before", "after"))

    # ---- moments -------------------------------------------------------------------------------------------

    def moments(self) -> Moments:
        return self._formula(self.images, self.response, self.on, self.numbers)

    @cached_property
    def partials(self) -> tuple[Moments, Moments, Moments]:
        """Derivatives of the moments by each of the three images."""
        found = []
        for i in range(3):
            moved = list(self.images)
            moved[i] = moved[i] + _STEP * 1j
            found.append(self._slope(_Images(*moved), self.numbers))
        return found[0], found[1], found[2]

    def _slope(self, images: _Images, numbers: Numbers) -> Moments:
        mean, variance = self._formula(images, self.response, self.on, numbers)
        return Moments(*(np.broadcast_to(np.imag(x) / _STEP, self.shape) for x in (mean, variance)))

    def along(self, images: _Images) -> Moments:
        """How the moments move with the images."""
        mean, variance = np.zeros(self.shape), np.zeros(self.shape)
        for partial, change in zip(self.partials, images, strict=True):
            mean = mean + partial.mean * change
            variance = variance + partial.variance * change
        return Moments(mean, variance)

    def back(self, mean: FloatArray, variance: FloatArray) -> FloatArray:
        """The photons' part in what moves mean and variance: the transposed of their derivative."""
        return self.pulled(*(mean * part.mean + variance * part.variance for part in self.partials))

    def slope(self, name: str) -> Moments:
        """Derivatives by a field of the response.

        Raises
        ------
        InputError
            For a name that is none of `slope_names`.
        """
        known = slope_names(self.response)
        if name not in known:
            raise InputError(f"the moments are not differentiated by {name!r}{suggestion(name, known)}")
        if name == "scale":
            squares = 2.0 * self._arriving * self.photons
            return self.along(self._through(self._before(self.photons), squares))
        if name in ("psf_fwhm_um", "charge_sigma_um"):
            return self.along(self._moved_by_width(name))
        numbers = self.numbers | {name: self.numbers[name] + _STEP * 1j}
        return self._slope(self.images, numbers)


def _by(kernel: Kernel | None, image: FloatArray) -> FloatArray:
    return image if kernel is None else kernel.spread(image)


def _overlap(kernel: Kernel | None, photons: FloatArray, slow: int, fast: int) -> FloatArray:
    """Sum over k of K(j - k) K(j + step - k) photons(k), for the pixels j that have a pixel at j + step."""
    rows, columns = photons.shape[0] - slow, photons.shape[1] - fast
    if kernel is None or rows <= 0 or columns <= 0:
        return np.zeros((max(rows, 0), max(columns, 0)))
    signal = require("scipy.signal", extra="response", purpose="spreading light over pixels")
    whole = full(full(kernel.values, 0), 1)
    ahead = np.zeros(whole.shape)
    ahead[: whole.shape[0] - slow, : whole.shape[1] - fast] = whole[slow:, fast:]
    middle = tuple(n // 2 for n in whole.shape)
    everywhere = signal.fftconvolve(photons, whole * ahead)
    found: FloatArray = everywhere[middle[0] : middle[0] + rows, middle[1] : middle[1] + columns]
    return found


def images_of(name: str, value: npt.ArrayLike) -> FloatArray:
    """One panel or a stack of them, as float64.

    Raises
    ------
    InputError
        For another shape, and numbers that are not finite.
    """
    array = np.asarray(value)
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "biuf":
        raise InputError(
            f"{name} must be numbers of shape (slow, fast) or (panel, slow, fast), not {array.dtype} of "
            f"shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite")
    return np.ascontiguousarray(array, np.float64)


def photons_of(value: npt.ArrayLike) -> FloatArray:
    """Expected photons: `images_of`, and not negative but for rounding, to 1e-6 of the largest."""
    photons = images_of("m", value)
    if photons.min() < -_NEGATIVE * max(float(photons.max()), 0.0):
        place = tuple(int(i) for i in np.unravel_index(int(photons.argmin()), photons.shape))
        raise InputError(f"m must be expected photons, at least 0, not {photons[place]:g} at index {place}")
    return np.maximum(photons, 0.0)


def _panels(
    response: DetectorResponse, m: npt.ArrayLike, on: Conditions, work: Callable[[Expected], Any]
) -> Moments:
    photons = photons_of(m)
    if photons.ndim == 2:
        return Moments(*work(Expected(response, photons, on)))
    found = [work(Expected(response, panel, on)) for panel in photons]
    return Moments(*(np.stack(parts) for parts in zip(*found, strict=True)))


def moments(response: DetectorResponse, m: npt.ArrayLike, on: Conditions) -> Moments:
    """See `DetectorResponse.moments`."""
    return _panels(response, m, on, Expected.moments)


def moment_slopes(response: DetectorResponse, m: npt.ArrayLike, name: str, on: Conditions) -> Moments:
    """See `DetectorResponse.moment_slopes`."""
    return _panels(response, m, on, lambda panel: panel.slope(name))


def covariance(
    response: DetectorResponse, m: npt.ArrayLike, step: tuple[int, int], on: Conditions
) -> FloatArray:
    """See `DetectorResponse.covariance`."""
    photons = photons_of(m)
    slow, fast = (
        check.count(f"step[{i}]", n, at_least=0) for i, n in enumerate(check.vector("step", step, 2))
    )
    if response.is_counting:
        raise InputError(
            "covariance is that of an integrating detector; counts of neighbours are independent"
        )
    if (slow, fast) == (0, 0):
        return moments(response, photons, on).variance
    if photons.ndim == 3:
        return np.stack([covariance(response, panel, (slow, fast), on) for panel in photons])
    return Expected(response, photons, on).covariance(slow, fast)

"""Point spread: what a detector makes of light that falls on one pixel (beyond 14.3).

Kernels are the spread function about the middle of a pixel, integrated over pixels, of sum 1 on the infinite
plane.  A Gaussian is cut where what remains is below 1e-13; a fibre's reaches across the whole image.
Charge, whose cloud is small beside a pixel, spreads from all places in it: the mean over them.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...base.errors import InputError
from ...base.optional import require
from ...base.vectors import FloatArray
from .charge_sharing import shared
from .kernels import Kernel, full, joined, pixel_edges_um

if TYPE_CHECKING:
    from ...model.response import DetectorResponse

__all__ = [
    "Widths",
    "d_spread_d_fwhm",
    "kernel",
    "kernel_of",
    "shared_kernel",
    "slope_through",
    "spread",
    "spread_through",
    "widths_of",
]

#: g / FWHM of a fibre, whose density g / (2 pi (g^2 + r^2)^(3/2)) has fallen to one half at r = FWHM/2
_FIBER = 0.5 / math.sqrt(2.0 ** (2.0 / 3.0) - 1.0)

#: along each axis, the part of a Gaussian beyond its cut
_TAIL = 1e-13

#: kernels at hand; those of large images are large
_KEPT = 8


class Widths(NamedTuple):
    """What decides a kernel: point spread, then the sharing of charge."""

    psf: str  #: "none" where nothing spreads light
    fwhm_um: float
    radius_px: float | None
    charge_um: float  #: standard deviation; 0: not shared
    pixel_um: tuple[float, float]  #: fast, slow


def widths_of(
    response: DetectorResponse, stage: str, pixel_um: float | tuple[float, float] | None
) -> Widths | None:
    """What spreads before or after photons are counted; None: nothing.

    After counting, point spread is followed by the sharing of charge, in one kernel.
    """
    psf = response.psf if response.psf_fwhm_um > 0.0 and response.resolved_psf_stage == stage else "none"
    charge = response.charge_sigma_um if stage == "after" and not response.is_counting else 0.0
    if psf == "none" and charge == 0.0:
        return None
    return Widths(psf, response.psf_fwhm_um, response.psf_radius_px, charge, pixel_edges_um(pixel_um))


@lru_cache(maxsize=_KEPT)
def kernel_of(widths: Widths, shape: tuple[int, int], slope: str = "") -> Kernel:
    """The kernel of an image of a shape (slow, fast); or its derivative.

    ``slope`` is "psf_fwhm_um" or "charge_sigma_um", per micrometre; cuts stay where they are.
    """
    edges = widths.pixel_um[1], widths.pixel_um[0]
    if widths.psf == "fiber" or widths.radius_px is not None:
        return _as_quarter(widths, edges, shape, slope)
    along = [_gauss_along(widths, edge, n) for edge, n in zip(edges, shape, strict=True)]
    if not slope:
        return Kernel(((along[0](""), along[1]("")),))
    return Kernel(((along[0](slope), along[1]("")), (along[0](""), along[1](slope))))


def kernel(
    response: DetectorResponse,
    pixel_um: float | tuple[float, float],
    shape: tuple[int, int],
) -> FloatArray:
    """What a photon on a pixel becomes, as far as it stays within an image of ``shape``.

    Parameters
    ----------
    response : DetectorResponse
        Its point spread and, of an integrating detector, its sharing of charge.
    pixel_um : float or (fast, slow)
        Pixel edges, micrometre.
    shape : (slow, fast)
        Of the image.

    Returns
    -------
    ndarray of float64
        Of odd lengths along slow and fast, the photon's pixel in the middle.  The sum on the infinite plane
        is 1.

    Raises
    ------
    InputError
        For pixel edges that are not above 0.
    MissingPackageError
        Without scipy.

    Examples
    --------
    >>> import nbragg
    >>> from nbragg.response.expected.psf import kernel
    >>> phosphor = nbragg.DetectorResponse(psf="fiber", psf_fwhm_um=100)
    >>> spot = kernel(phosphor, 100, (64, 64))
    >>> spot.shape, round(float(spot.max()), 8)
    ((127, 127), 0.24131169)
    """
    both = [widths_of(response, stage, pixel_um) for stage in ("before", "after")]
    parts = [kernel_of(widths, shape).values for widths in both if widths is not None]
    if not parts:
        return np.ones((1, 1))
    whole = full(full(parts[0], 0), 1)
    if len(parts) == 2:
        signal = require("scipy.signal", extra="response", purpose="spreading light over pixels")
        whole = signal.fftconvolve(whole, full(full(parts[1], 0), 1), "same")
    return whole


def spread(
    image: npt.NDArray[Any],
    response: DetectorResponse,
    pixel_um: float | tuple[float, float] | None = None,
    *,
    stage: str | None = None,
    transpose: bool = False,
) -> FloatArray:
    """An image as the point spread leaves it.

    Parameters
    ----------
    image : ndarray, shape (slow, fast)
        Photons of one panel; there is nothing outside, and light that leaves is lost.
    response : DetectorResponse
    pixel_um : float or (fast, slow), optional
        Pixel edges, micrometre; needed where something spreads.
    stage : {"before", "after"}, optional
        What spreads before photons are counted (point spread, then what a counting detector makes of shared
        charge) or after (point spread, then sharing of charge, in one kernel).  None: the stage of the point
        spread.
    transpose : bool
        The transposed operator, for cotangents.

    Returns
    -------
    ndarray of float64, shape (slow, fast)

    Raises
    ------
    InputError
        For an image that is not two-dimensional, and without ``pixel_um``.
    MissingPackageError
        Without scipy.

    Examples
    --------
    >>> import nbragg, numpy as np
    >>> from nbragg.response.expected.psf import spread
    >>> spot = np.zeros((65, 65)); spot[32, 32] = 1e6
    >>> phosphor = nbragg.DetectorResponse(psf="gauss", psf_fwhm_um=100)
    >>> round(float(spread(spot, phosphor, pixel_um=100).max()), 3)
    579072.462
    """
    photons = np.ascontiguousarray(image, np.float64)
    if photons.ndim != 2 or not photons.size:
        raise InputError(f"an image of one panel, (slow, fast), was expected, not of shape {photons.shape}")
    stage = stage or response.resolved_psf_stage
    widths = widths_of(response, stage, pixel_um)
    counted = stage == "before" and response.is_counting and response.charge_sigma_um > 0.0
    if counted and transpose:
        photons = shared(photons, response, pixel_edges_um(pixel_um))
    if widths is not None:
        photons = kernel_of(widths, photons.shape).spread(photons)
    if counted and not transpose:
        photons = shared(photons, response, pixel_edges_um(pixel_um))
    return photons if photons is not image else photons.copy()


def spread_through(
    image: FloatArray,
    response: DetectorResponse,
    pixel_um: float | tuple[float, float] | None,
    *,
    transpose: bool = False,
) -> FloatArray:
    """Both stages of `spread`, one after the other."""
    stages = ("after", "before") if transpose else ("before", "after")
    for stage in stages:
        image = spread(image, response, pixel_um, stage=stage, transpose=transpose)
    return image


def slope_through(
    image: FloatArray, response: DetectorResponse, pixel_um: float | tuple[float, float] | None
) -> FloatArray:
    """Derivative of `spread_through` by ``psf_fwhm_um``."""
    if response.resolved_psf_stage == "before":
        return spread(d_spread_d_fwhm(image, response, pixel_um), response, pixel_um, stage="after")
    return d_spread_d_fwhm(spread(image, response, pixel_um, stage="before"), response, pixel_um)


def d_spread_d_fwhm(
    image: npt.NDArray[Any],
    response: DetectorResponse,
    pixel_um: float | tuple[float, float] | None = None,
) -> FloatArray:
    """Derivative of `spread` by ``psf_fwhm_um``: photons per micrometre, shape (slow, fast).

    It belongs to the stage of the point spread and, as `spread`, includes the sharing of charge there.
    """
    photons = np.ascontiguousarray(image, np.float64)
    widths = widths_of(response, response.resolved_psf_stage, pixel_um)
    if widths is None or widths.psf == "none":
        return np.zeros(photons.shape)
    moved = kernel_of(widths, photons.shape, "psf_fwhm_um").spread(photons)
    if response.is_counting and response.charge_sigma_um > 0.0:
        moved = shared(moved, response, widths.pixel_um)
    return moved


def shared_kernel(
    widths: Widths | None,
    response: DetectorResponse,
    pixel_um: tuple[float, float],
    shape: tuple[int, int],
    slope: str = "",
) -> Kernel:
    """A kernel, or its derivative, followed by `threshold_response`, for an image of ``shape``."""
    rows, columns = shape
    if widths is None:
        values = np.zeros((1, 1)) if slope else np.ones((1, 1))
    else:
        values = kernel_of(widths, (rows + 1, columns + 1), slope).values
    # far enough in both directions for what is next to each value
    room = full(full(np.pad(values, (0, 2)), 0), 1)
    middle = tuple(n // 2 for n in room.shape)
    both = shared(room, response, pixel_um)
    return Kernel(quarter=np.ascontiguousarray(both[middle[0] :, middle[1] :][:rows, :columns]))


# ---- Gaussians, along one axis -----------------------------------------------------------------------------


def gauss_half(fwhm: float, n: float = math.inf) -> FloatArray:
    """A Gaussian integrated over pixels 0, 1, ... from its middle; ``fwhm`` in pixels, at most n values."""
    c = 2.0 * math.sqrt(math.log(2.0)) / fwhm
    count = 1
    while count < n and math.erfc(c * (count - 0.5)) > _TAIL:
        count += 1
    # differences of erfc keep the digits of the wings
    rest = [math.erfc(c * (i - 0.5)) for i in range(1, count + 1)]
    return np.array([math.erf(0.5 * c), *(0.5 * (a - b) for a, b in itertools.pairwise(rest))])


def gauss_half_slope(fwhm: float, n: float = math.inf) -> FloatArray:
    """Derivative of `gauss_half` by ``fwhm``, as long as it."""
    c = 2.0 * math.sqrt(math.log(2.0)) / fwhm
    edges = np.arange(len(gauss_half(fwhm, n)) + 1) - 0.5
    factor = -c / (fwhm * math.sqrt(math.pi))
    slope: FloatArray = factor * np.diff(edges * np.exp(-((c * edges) ** 2)))
    return slope


def _beyond(u: float, sigma: float) -> float:
    """Integral from u on of the share of a Gaussian beyond each place."""
    z = u / sigma
    return sigma * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) - 0.5 * u * math.erfc(z / math.sqrt(2.0))


def charge_half(sigma: float, n: float = math.inf) -> FloatArray:
    """What pixels 0, 1, ... from its own get of a photon's charge, the mean over all places in its pixel.

    ``sigma`` in pixels, at most n values.  T(i-1) - 2 T(i) + T(i+1), T the integral of a Gaussian's tail.
    """
    count = 1
    while count < n and _beyond(count - 1.0, sigma) > _TAIL:
        count += 1
    rest = [_beyond(float(i), sigma) for i in range(count + 1)]
    values = [1.0 - 2.0 * (rest[0] - rest[1])]
    values += [(rest[i - 1] - rest[i]) - (rest[i] - rest[i + 1]) for i in range(1, count)]
    return np.array(values)


def charge_half_slope(sigma: float, n: float = math.inf) -> FloatArray:
    """Derivative of `charge_half` by ``sigma``, as long as it; that of T is the Gaussian itself."""
    places = np.arange(len(charge_half(sigma, n)) + 1)
    steps = np.diff(np.exp(-0.5 * (places / sigma) ** 2) / math.sqrt(2.0 * math.pi))
    return np.concatenate([[2.0 * steps[0]], np.diff(steps)])


class _GaussAlong(NamedTuple):
    """Point spread and sharing of charge along one axis of an image."""

    fwhm: float  #: pixels; 0: none
    charge: float  #: standard deviation, pixels; 0: none
    edge: float  #: of a pixel, micrometre
    n: float  #: pixels of the image; no kernel is longer

    def __call__(self, slope: str) -> FloatArray:
        """Values from the middle on, or their derivative per micrometre."""
        parts = []
        # of two, each is needed as far as it reaches: what leaves the image in one may come back in the other
        n = math.inf if self.fwhm and self.charge else self.n
        for name, width, half, half_slope in (
            ("psf_fwhm_um", self.fwhm, gauss_half, gauss_half_slope),
            ("charge_sigma_um", self.charge, charge_half, charge_half_slope),
        ):
            if width > 0.0:
                parts.append(half_slope(width, n) / self.edge if slope == name else half(width, n))
            elif slope == name:
                return np.zeros(1)
        return joined(*parts)[: self.n] if len(parts) == 2 else parts[0]


def _gauss_along(widths: Widths, edge: float, n: int) -> _GaussAlong:
    fwhm = widths.fwhm_um / edge if widths.psf == "gauss" else 0.0
    return _GaussAlong(fwhm, widths.charge_um / edge, edge, n)


# ---- kernels of two dimensions -----------------------------------------------------------------------------


def _as_quarter(widths: Widths, edges: tuple[float, float], shape: tuple[int, int], slope: str) -> Kernel:
    """A fibre's kernel, or one that is cut by a radius, followed by the sharing of charge."""
    charge = [_GaussAlong(0.0, widths.charge_um / edge, edge, math.inf) for edge in edges]
    # the charge of what lies just beyond the image is shared with pixels in it
    margin = [len(along("")) - 1 if widths.charge_um else 0 for along in charge]
    reach = tuple(n + more for n, more in zip(shape, margin, strict=True))
    cut = widths.radius_px
    if cut is not None:
        reach = (math.floor(cut) + 1,) * 2
    values = _spread_function(widths, edges, reach, slope == "psf_fwhm_um")
    if cut is not None:
        values = _cut(values, cut, None if slope != "psf_fwhm_um" else _spread_function(widths, edges, reach))
        values = np.pad(values, [(0, more) for more in margin])
    if widths.charge_um:
        values = _share(values, charge, slope)
    elif slope == "charge_sigma_um":
        values = np.zeros((1, 1))
    return Kernel(quarter=np.ascontiguousarray(values[: shape[0], : shape[1]]))


def _spread_function(
    widths: Widths, edges: tuple[float, float], reach: tuple[int, ...], slope: bool = False
) -> FloatArray:
    """Integrals over pixels from the middle on, or their derivative by the width, per micrometre."""
    if widths.psf == "gauss":
        fwhm = [widths.fwhm_um / edge for edge in edges]
        slow, fast = (gauss_half(w, n) for w, n in zip(fwhm, reach, strict=True))
        if slope:
            d_slow, d_fast = (
                gauss_half_slope(w, n) / edge for w, n, edge in zip(fwhm, reach, edges, strict=True)
            )
            return np.outer(d_slow, fast) + np.outer(slow, d_fast)
        return np.outer(slow, fast)
    g = _FIBER * widths.fwhm_um
    y, x = ((np.arange(n + 1) - 0.5) * edge for n, edge in zip(reach, edges, strict=True))
    squares = g * g + x[np.newaxis, :] ** 2 + y[:, np.newaxis] ** 2
    root = np.sqrt(squares)
    corner = np.multiply.outer(y, x)
    if slope:
        # of arctan u / 2 pi by g, u = x y / (g root)
        u = corner / (g * root)
        integral = -u * (1.0 / g + g / squares) / (1.0 + u * u) * (_FIBER / (2.0 * math.pi))
    else:
        integral = np.arctan(corner / (g * root)) / (2.0 * math.pi)
    return np.diff(np.diff(integral, axis=0), axis=1)


def _cut(values: FloatArray, radius: float, uncut: FloatArray | None) -> FloatArray:
    """Nothing beyond a radius in pixels, and the sum 1; of a derivative, with the kernel ``uncut``, sum 0."""
    slow, fast = (np.arange(n) for n in values.shape)
    inside = slow[:, np.newaxis] ** 2 + fast[np.newaxis, :] ** 2 <= radius * radius
    values = np.where(inside, values, 0.0)
    if uncut is None:
        return values / _plane_sum(values)
    kept = np.where(inside, uncut, 0.0)
    whole = _plane_sum(kept)
    scaled: FloatArray = values / whole - kept * (_plane_sum(values) / whole**2)
    return scaled


def _plane_sum(quarter: FloatArray) -> float:
    """Sum over all four quarters."""
    return float(4.0 * quarter.sum() - 2.0 * quarter[0].sum() - 2.0 * quarter[:, 0].sum() + quarter[0, 0])


def _share(values: FloatArray, charge: list[Any], slope: str) -> FloatArray:
    """The charge of a kernel shared between pixels; ``slope`` by the charge's width, or none."""
    ndimage = require("scipy.ndimage", extra="response", purpose="spreading light over pixels")

    def along(array: FloatArray, axis: int, name: str) -> FloatArray:
        half = charge[axis](name)
        # what is even about the first value, as a quarter is, mirrors there
        room = np.pad(array, [(len(half) - 1, 0) if i == axis else (0, 0) for i in (0, 1)], mode="reflect")
        result: FloatArray = ndimage.correlate1d(room, full(half), axis, mode="constant")
        return np.take(result, range(len(half) - 1, result.shape[axis]), axis)

    if slope != "charge_sigma_um":
        return along(along(values, 0, ""), 1, "")
    return along(along(values, 0, slope), 1, "") + along(along(values, 0, ""), 1, slope)

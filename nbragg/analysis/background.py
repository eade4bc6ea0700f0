"""A table of amorphous scattering from an image: the inverse of its rendering (beyond 12.8)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import FrozenArrays, freeze, frozen
from ..engine.cpu import render_behind
from ..io.files.atomic import open_atomic
from ..model.background import Background, RadialCurve
from ..model.beam import Beam
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.setup import Setup
from ..model.structure_factors import StructureFactors
from ..model.surroundings import Surroundings
from ..scene.build import build_scene

__all__ = ["BackgroundTable", "PixelFactors", "extract_background", "pixel_factors"]

Array = NDArray[np.float64]
Statistic = str | tuple[str, float]

#: standard deviation of a normal distribution, in median absolute deviations
_PER_MAD = 1.4826
#: what deviates from the median by more of them is clipped
_CLIP = 6.0


@frozen
class BackgroundTable(FrozenArrays):
    """Amplitude of a molecule by scattering angle, from the pixels of an image.

    Attributes
    ----------
    s : ndarray (n,)
        sin(theta)/lambda, 1/angstrom, ascending.
    F : ndarray (n,)
        sgn(y) sqrt(abs(y)) of the intensity y of each bin, electrons.
    sigma : ndarray (n,)
        Its standard error.
    n : ndarray of int (n,)
        Pixels that counted.

    Examples
    --------
    >>> import numpy as np
    >>> from nbragg import BackgroundTable
    >>> table = BackgroundTable(np.array([0.0, 0.1]), np.array([2.5, 3.0]), np.ones(2), np.array([200, 300]))
    >>> table.background(thickness_mm=0.2).amplitude(0.1).item()
    3.0
    """

    s: Array
    F: Array
    sigma: Array
    n: NDArray[np.int64]

    def background(self, **fields: Any) -> Background:
        """A `Background` of this table; fields as of its constructor."""
        return Background(np.stack([self.s, self.F], axis=1), **fields)

    def lines(self) -> list[str]:
        """Rows s F sigma n as text, after a line of their names; `Background` reads such a file."""
        rows = zip(self.s, self.F, self.sigma, self.n.tolist(), strict=True)
        return ["# s F sigma n", *(f"{s:.8g} {F:.8g} {sigma:.4g} {n}" for s, F, sigma, n in rows)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `lines` to a file, whole or not at all.

        Raises
        ------
        FileError
        """
        with open_atomic(path, "w") as stream:
            stream.writelines(line + "\n" for line in self.lines())


class PixelFactors(NamedTuple):
    """What makes photons of an intensity F^2, pixel by pixel; arrays of the shape of the image.

    Attributes
    ----------
    s : ndarray
        sin(theta)/lambda, 1/angstrom, the mean over the sources.
    per_intensity : ndarray
        Photons for F^2 = 1: r_e^2 fluence N mean(w P) Omega A T; 0 where nothing is rendered.
    """

    s: Array
    per_intensity: Array


def pixel_factors(
    beam: Beam,
    detector: Detector,
    *,
    like: Background | None = None,
    surroundings: Surroundings | None = None,
    threads: int | None = None,
) -> PixelFactors:
    """Scattering angle of each pixel, and its photons for an amplitude of 1.

    Parameters
    ----------
    beam : Beam
    detector : Detector
    like : Background, optional
        Its dimensions count, or its number of molecules, not its table; default water of 0.1 mm.
    surroundings : Surroundings, optional
    threads : int, optional

    Returns
    -------
    PixelFactors

    Raises
    ------
    InputError, MemoryLimitError
        As `build_scene`.
    """
    material = Background("water") if like is None else like
    crystal = Crystal(cell=(100, 100, 100, 90, 90, 90), structure_factors=StructureFactors.constant(0))
    setup = Setup(crystal, beam, detector, surroundings=surroundings)
    unity = Background([[0.0, 1.0]], molecules=material.molecules_in(beam.beamsize_mm))
    # no s is beyond 1/lambda: two curves whose quotient is s
    shortest = float(build_scene(setup).sources.wavelength.min()) * 1e10
    ends = np.array([0.0, 1.1 / shortest])
    line = RadialCurve(ends, ends, polarized=False)
    one = RadialCurve(ends, np.ones(2), polarized=False)
    scene = build_scene(setup.replace(backgrounds=(unity, line)))
    weighed = render_behind(scene, threads)
    plain = render_behind(build_scene(setup.replace(backgrounds=(one,))), threads).fixed
    assert weighed.background is not None and weighed.fixed is not None and plain is not None
    s = np.divide(weighed.fixed, plain, out=np.zeros_like(plain), where=plain > 0)
    photons = scene.fluence * weighed.background
    return PixelFactors(s.reshape(scene.image_shape), photons.reshape(scene.image_shape))


def extract_background(
    image: npt.ArrayLike,
    beam: Beam,
    detector: Detector,
    *,
    s: npt.ArrayLike | None = None,
    bins: int | npt.ArrayLike = 200,
    offset: float = 0.0,
    gain: float = 1.0,
    mask: npt.ArrayLike | None = None,
    statistic: Statistic = "clipped",
    like: Background | None = None,
    surroundings: Surroundings | None = None,
    min_pixels: int = 100,
    threads: int | None = None,
) -> BackgroundTable:
    """The table that a background is made of, from an image of it.

    Each pixel gives an intensity, which may be negative::

        y = (value - offset) / gain / (r_e^2 fluence N mean over sources(w P) Omega A T)

    Pixels are sorted into bins of s = sin(theta)/lambda, and a statistic is taken of the y of each.  The mean
    of the roots of y would be low by 1/(8 m) of itself at m photons a pixel; F is the root of the mean.

    Parameters
    ----------
    image : array_like
        Shape of `Result.image`: (slow, fast), or (panel, slow, fast).
    beam : Beam
        With the fluence, or flux, exposure and beam size, of the image.
    detector : Detector
        Masked pixels are left out.
    s : array_like (n,), optional
        Rows of the table, 1/angstrom: a pixel belongs to the nearest.
    bins : int or array_like (n + 1,)
        Otherwise: equal steps between the extremes, or their edges, 1/angstrom.
    offset, gain : float
        value = offset + gain * photons.
    mask : array_like, optional
        0: leave out; shape of the image.
    statistic : {"clipped", "mean", "median"} or ("quantile", p)
        clipped: mean after removing what deviates from the median by more than 6 standard deviations, taken
        as 1.4826 median absolute deviations, until nothing does or half is gone.  That is how spots are left
        out; a quantile below 0.5 leaves out more.
    like : Background, optional
        Its dimensions, or its number of molecules; default water of 0.1 mm.
    surroundings : Surroundings, optional
        What was in the way of the light.
    min_pixels : int
        Bins with fewer are left out.
    threads : int, optional

    Returns
    -------
    BackgroundTable

    Raises
    ------
    InputError
        For an image or a mask of another shape than the detector, bins that do not ascend, an unknown
        statistic, no fluence or no molecules, and where no bin has pixels enough.

    Examples
    --------
    >>> import nbragg
    >>> beam = nbragg.Beam(flux=1e12, exposure_s=0.1, beamsize_mm=0.1)
    >>> detector = nbragg.Detector(distance_mm=100, pixel_mm=0.8, fpixels=128, spixels=128)
    >>> nothing = nbragg.StructureFactors.constant(0)
    >>> dark = nbragg.Crystal(cell=(9, 9, 9, 90, 90, 90), structure_factors=nothing)
    >>> setup = nbragg.Setup(dark, beam, detector, backgrounds=nbragg.Background("water"))
    >>> table = nbragg.extract_background(nbragg.simulate(setup).image, beam, detector, bins=40)
    >>> water = nbragg.Background("water").amplitude(table.s)
    >>> bool((abs(table.F / water - 1) < 0.01).all())
    True
    """
    summarise = _statistic(statistic)
    factors = pixel_factors(beam, detector, like=like, surroundings=surroundings, threads=threads)
    values = np.asarray(image, np.float64)
    if values.shape != factors.s.shape:
        raise InputError(f"the image has the shape {values.shape}; the detector's is {factors.s.shape}")
    used = factors.per_intensity > 0
    if mask is not None:
        wanted = np.asarray(mask)
        if wanted.shape != values.shape:
            raise InputError(f"the mask has the shape {wanted.shape}; the image's is {values.shape}")
        used &= wanted != 0
    used &= np.isfinite(values)
    if not used.any():
        raise InputError(
            "no pixel can be used: they are masked or shadowed, or there are no molecules or no fluence"
        )
    offset, gain = check.number("offset", offset), check.number("gain", gain, above=0)
    y = (values[used] - offset) / (gain * factors.per_intensity[used])
    stol = factors.s[used]
    centres, place = _bins(s, bins, stol)
    least = check.count("min_pixels", min_pixels)
    return _table(centres, place, stol, y, summarise, least)


def _table(
    centres: Array | None,
    place: NDArray[np.intp],
    stol: Array,
    y: Array,
    summarise: Callable[[Array], tuple[float, float, int]],
    least: int,
) -> BackgroundTable:
    """The bins that have pixels enough; without centres each stands at the mean s of its pixels."""
    count = int(place.max(initial=-1)) + 1
    small = place.astype(np.int16) if count < 2**15 else place  # which sort faster
    order = np.argsort(small, kind="stable")
    ends = np.cumsum(np.bincount(place[place >= 0], minlength=count)) + int((place < 0).sum())
    begins = np.concatenate([[int((place < 0).sum())], ends[:-1]])
    y, stol = y[order], stol[order]
    rows = []
    for i, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        if end - begin < least:
            continue
        value, error, used = summarise(y[begin:end])
        F = math.copysign(math.sqrt(abs(value)), value)
        # of a root: error/(2 F), and sqrt(error) where F is nothing beside it
        sigma = math.sqrt(abs(value) + error) - abs(F)
        at = float(stol[begin:end].mean()) if centres is None else float(centres[i])
        rows.append((at, F, sigma, used))
    if not rows:
        raise InputError(f"no bin has {least} pixels: give fewer bins, or a smaller min_pixels")
    s, F_all, sigmas, counts = (np.array(column) for column in zip(*rows, strict=True))
    for array in (s, F_all, sigmas, counts):
        freeze(array)
    return BackgroundTable(s, F_all, sigmas, counts)


def _bins(
    s: npt.ArrayLike | None, bins: int | npt.ArrayLike, stol: Array
) -> tuple[Array | None, NDArray[np.intp]]:
    """Rows, where they are given, and the bin of each pixel; -1: in none."""
    if s is not None:
        rows = _ascending("s", s, 1)
        return rows, np.searchsorted(0.5 * (rows[1:] + rows[:-1]), stol, side="right")
    if np.ndim(bins) == 0:
        count = check.count("bins", bins, at_most=10**6)
        edges = np.linspace(stol.min(), stol.max(), count + 1)
    else:
        edges = _ascending("bins", bins, 2)
        count = len(edges) - 1
    place = np.searchsorted(edges, stol, side="right") - 1
    place[stol == edges[-1]] = count - 1
    place[place >= count] = -1
    return None, place


def _ascending(name: str, values: npt.ArrayLike, least: int) -> Array:
    array = check.frozen_array(name, values, (None,))
    if len(array) < least or not (np.diff(array) > 0).all():
        raise InputError(f"{name} must be at least {least} ascending number(s) of 1/angstrom")
    return array


def _statistic(given: Any) -> Callable[[Array], tuple[float, float, int]]:
    """Value, standard error and number of pixels that counted, of a bin."""
    if isinstance(given, tuple) and len(given) == 2 and given[0] == "quantile":
        p = check.number("statistic[1]", given[1], above=0)
        if not p < 1:
            raise InputError(f"a quantile is above 0 and below 1, not {p:g}")
        return lambda y: _quantile(y, p)
    known: dict[str, Callable[[Array], tuple[float, float, int]]]
    known = {"clipped": _clipped, "mean": _mean, "median": lambda y: _quantile(y, 0.5)}
    if not isinstance(given, str) or given not in known:
        names = ", ".join(map(repr, known))
        raise InputError(f"statistic must be {names} or ('quantile', p), not {given!r}")
    return known[given]


def _mean(y: Array) -> tuple[float, float, int]:
    n = len(y)
    return float(y.mean()), float(y.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf, n


def _spread(y: Array) -> tuple[float, float]:
    """Median, and a standard deviation that outliers do not move."""
    middle = float(np.median(y))
    return middle, _PER_MAD * float(np.median(np.abs(y - middle)))


def _clipped(y: Array) -> tuple[float, float, int]:
    kept = y
    while True:
        middle, deviation = _spread(kept)
        inside = kept[np.abs(kept - middle) <= _CLIP * deviation]
        if len(inside) == len(kept) or 2 * len(inside) < len(y) or not len(inside):
            return _mean(kept)
        kept = inside


def _quantile(y: Array, p: float) -> tuple[float, float, int]:
    """With the standard error of a normal distribution's."""
    from statistics import NormalDist

    normal = NormalDist()
    density = normal.pdf(normal.inv_cdf(p))
    error = _spread(y)[1] * math.sqrt(p * (1 - p) / len(y)) / density
    return float(np.quantile(y, p)), error, len(y)

"""The spectrum of a beam: photon energies and their weights (beyond 15.1, 15.2)."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import constants
from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.vectors import FloatArray

__all__ = ["Spectrum", "SpectrumSeries"]

#: weights whose sum is this near to 1 are kept to the bit, so that what is written is read back the same
_NORMALISED = 1e-12

#: largest order of a Gauss-Hermite rule
_MOST_NODES = 15

#: standard deviations on either side of a spike that the channels of a SASE spectrum reach
_SASE_SPAN = 5.0

#: standard deviations of the jitter that are provided for: one shot in 500 million goes farther
_SASE_JITTER = 6.0

#: what random numbers of spectra are for, in the generator's counter (beyond 13.1)
_STAGE = 20

#: full width at half maximum of a Gaussian of standard deviation 1
_FWHM = math.sqrt(8.0 * math.log(2.0))


@frozen
class Spectrum(Record):
    """Photon energies of a beam and the share of the photons that each has (beyond 15.1).

    A Beam with a Spectrum renders every direction of its divergence at every energy.  The fluence is the
    number of photons of all energies together.

    Parameters
    ----------
    energies_eV : array_like (n,)
        Photon energies, eV, in any order; they are kept in ascending order, equal ones as one.
    weights : array_like (n,), optional
        Relative numbers of photons, kept with the sum 1; None: all alike.

    Raises
    ------
    InputError
        For no energy, one that is not positive, weights that are negative, all zero or not one for each
        energy, and anything not finite.

    Examples
    --------
    >>> import nbragg
    >>> spectrum = nbragg.Spectrum([12010, 12000], [1, 3])
    >>> spectrum.energies_eV.tolist(), spectrum.weights.tolist(), spectrum.mean_energy_eV
    ([12000.0, 12010.0], [0.75, 0.25], 12002.5)
    >>> beam = nbragg.Beam(spectrum=nbragg.Spectrum.gaussian(12000, fwhm_eV=30, n=11))
    >>> round(beam.energy_eV, 6), len(beam.spectrum)
    (12000.0, 11)
    """

    _instead = dict.fromkeys(
        ("wavelengths_A", "wavelength_A", "energies_keV"),
        "give energies_eV; 12398.42 eV angstrom over a wavelength is its energy",
    )

    energies_eV: FloatArray
    weights: FloatArray | None = None

    def __post_init__(self) -> None:
        energies = check.frozen_array("energies_eV", self.energies_eV, (None,))
        n = len(energies)
        if n == 0:
            raise InputError("a spectrum must hold at least one energy, none was given")
        bad = np.flatnonzero(energies <= 0)
        if bad.size:
            raise InputError(f"energies_eV[{bad[0]}] is {energies[bad[0]]:g}: photon energies are positive")
        weights = check.frozen_array("weights", np.ones(n) if self.weights is None else self.weights, (n,))
        if (weights < 0).any() or not weights.any():
            raise InputError("the weights of a spectrum must not be negative, nor all zero")
        if (np.diff(energies) <= 0).any():
            energies, place = np.unique(energies, return_inverse=True)
            weights = _sums(place.reshape(-1), weights, len(energies))
        with np.errstate(over="ignore"):
            normalised = abs(float(weights.sum()) - 1.0) <= _NORMALISED
        if not normalised:
            weights = weights / weights.max()  # whose sum does not overflow
            weights /= weights.sum()
        self._set("energies_eV", check.owned(energies))
        self._set("weights", check.owned(weights))

    def __len__(self) -> int:
        return len(self.energies_eV)

    # ---- what it says --------------------------------------------------------------------------------------

    @property
    def shares(self) -> FloatArray:
        """Weights with the sum 1 also where they are being moved (n,)."""
        assert self.weights is not None  # filled in by the record
        if self.weights.dtype.kind != "c" and abs(float(self.weights.sum()) - 1.0) <= _NORMALISED:
            return self.weights
        return np.asarray(self.weights / self.weights.sum())

    @property
    def mean_energy_eV(self) -> float:
        """Mean photon energy, eV."""
        first = self.energies_eV[0]  # the mean of one energy is that energy, to the bit
        mean = first + self.shares @ (self.energies_eV - first)
        return complex(mean) if mean.dtype.kind == "c" else float(mean)  # type: ignore[return-value]

    @property
    def rms_eV(self) -> float:
        """Standard deviation of the photon energy, eV."""
        offset = self.energies_eV - self.mean_energy_eV
        return math.sqrt(float(self.shares @ offset**2))

    @property
    def wavelength_A(self) -> float:
        """Wavelength of the mean energy, angstrom: the beam's own, of headers and for oversampling."""
        return constants.HC_EV_A / self.mean_energy_eV

    @property
    def wavelengths_A(self) -> FloatArray:
        """Wavelength of each energy, angstrom; descending (n,)."""
        return np.asarray(constants.HC_EV_A / self.energies_eV)

    # ---- changed -------------------------------------------------------------------------------------------

    def with_mean(self, energy_eV: float) -> Spectrum:
        """The spectrum moved along the energies until this is its mean, eV.

        Raises
        ------
        InputError
            When an energy would not stay positive.
        """
        return Spectrum(self.energies_eV + (energy_eV - self.mean_energy_eV), self.weights)

    def rebin(self, n: int) -> Spectrum:
        """Fewer channels: at most n, in bins of equal width between the first and the last energy.

        A bin has the sum of the weights in it, at their mean energy: photons and mean energy are kept.  Bins
        without photons are left out.

        Examples
        --------
        >>> import nbragg
        >>> fine = nbragg.Spectrum([100, 101, 102, 110], [1, 1, 2, 4])
        >>> coarse = fine.rebin(2)
        >>> coarse.energies_eV.tolist(), coarse.weights.tolist(), coarse.mean_energy_eV == fine.mean_energy_eV
        ([101.25, 110.0], [0.5, 0.5], True)
        """
        count = check.count("n", n)
        low, high = self.energies_eV[0], self.energies_eV[-1]
        if low == high:
            return self
        place = np.minimum(((self.energies_eV - low) * (count / (high - low))).astype(np.int64), count - 1)
        weights = _sums(place, self.shares, count)
        moments = _sums(place, self.shares * (self.energies_eV - low), count)
        full = weights > 0
        return Spectrum(low + moments[full] / weights[full], weights[full])

    def threshold(self, fraction: float) -> Spectrum:
        """Without the channels whose weight is below this fraction of the largest; the rest has the sum 1.

        Raises
        ------
        InputError
            For a fraction that is not from 0 to 1.
        """
        limit = check.number("fraction", fraction, at_least=0, at_most=1)
        kept = self.shares >= limit * self.shares.max()
        return Spectrum(self.energies_eV[kept], self.shares[kept])

    # ---- made ----------------------------------------------------------------------------------------------

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, unit: str | None = None, image: int = 0) -> Spectrum:
        """Read a spectrum: its channels as they are; `rebin` makes fewer.

        Parameters
        ----------
        path : path
            Text of two columns, energy and weight, between blanks, commas or semicolons.  A line of words
            above them may name the unit, as CrystFEL's ``# energy/keV current/A``, or ``energy_eV,weight``,
            or ``wavelength_A,weight``; other lines that begin with # or a word are skipped.  ``.lam`` files
            hold wavelengths in angstrom.  NeXus NXmx files: ``incident_wavelength`` and
            ``incident_wavelength_weights``, or ``incident_wavelength_spectrum``.
        unit : {"eV", "keV", "A"}, optional
            Of the first column; None: as the file says, else eV.
        image : int
            Of a NeXus file with one spectrum for each image: which.

        Raises
        ------
        FileError
            When the file is missing or is none of these; energies below 100 whose unit is not said.
        InputError
            For an unknown unit, an image that is not there, and as the record.
        """
        from ..io.files.spectra import read_spectrum

        energies, weights = read_spectrum(path, unit=unit, image=image)
        return cls(energies, weights)

    @staticmethod
    def shots_from_file(path: str | os.PathLike[str], *, first: int = 0) -> SpectrumSeries:
        """The spectra of a NeXus file that has one for each image.

        Parameters
        ----------
        path : path
            It is read again for each image, when that is asked for.
        first : int
            Image to begin with.

        Raises
        ------
        FileError
            As `from_file`.
        InputError
            When there is one spectrum for all images, or none from ``first`` on.
        """
        from ..io.files.spectra import spectra_in

        count, start = spectra_in(path), check.count("first", first, at_least=0)
        if start >= count:
            found = f"spectra of {count} images" if count else "one spectrum for all images"
            raise InputError(f"{os.fspath(path)} has {found}: there is none of image {start}")
        return SpectrumSeries(count - start, functools.partial(_of_file, os.fspath(path), start))

    @classmethod
    def tophat(cls, energy_eV: float, bandwidth: float, n: int = 20) -> Spectrum:
        """Constant over a band: the middles of n equal bins.

        Parameters
        ----------
        energy_eV : float
            Middle of the band.
        bandwidth : float
            Full width over the energy: 0.01 is 1 percent.
        n : int

        Examples
        --------
        >>> import nbragg
        >>> nbragg.Spectrum.tophat(10000, 0.01, n=4).energies_eV.tolist()
        [9962.5, 9987.5, 10012.5, 10037.5]
        """
        centre, width = _energy(energy_eV), check.number("bandwidth", bandwidth, at_least=0, at_most=1.99)
        middles, _ = _bins(-0.5 * width, 0.5 * width, check.count("n", n))
        return cls(centre * (1.0 + middles))

    @classmethod
    def gaussian(
        cls,
        energy_eV: float,
        fwhm_eV: float | None = None,
        *,
        sigma_eV: float | None = None,
        fwhm: float | None = None,
        sigma: float | None = None,
        n: int = 20,
        span: float = 3.5,
        quadrature: bool = False,
    ) -> Spectrum:
        """A Gaussian: n equal bins, each with the integral over it; or the nodes of a quadrature.

        Parameters
        ----------
        energy_eV : float
            Its mean.
        fwhm_eV, sigma_eV : float, optional
            Full width at half maximum, or standard deviation, eV.  One width is given.
        fwhm, sigma : float, optional
            The same over the energy: 0.01 is 1 percent.
        n : int
        span : float
            Standard deviations on either side that the bins reach.
        quadrature : bool
            Gauss-Hermite nodes and weights instead, exact for polynomials of the energy to the degree
            2 n - 1; n is at most 15.

        Raises
        ------
        InputError
            For no width or more than one, and values out of range.

        Examples
        --------
        >>> import nbragg
        >>> nodes = nbragg.Spectrum.gaussian(10000, sigma_eV=10, n=3, quadrature=True)
        >>> nodes.weights.round(6).tolist(), round(nodes.rms_eV, 9)
        ([0.166667, 0.666667, 0.166667], 10.0)
        """
        centre = _energy(energy_eV)
        widths = {"fwhm_eV": fwhm_eV, "sigma_eV": sigma_eV, "fwhm": fwhm, "sigma": sigma}
        given = {name: value for name, value in widths.items() if value is not None}
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise InputError(f"a Gaussian has one width: give one of {', '.join(widths)}, not {found}")
        ((name, value),) = given.items()
        wide = check.number(name, value, above=0) * (1.0 if name.endswith("_eV") else centre)
        if name.startswith("fwhm"):
            wide /= _FWHM
        if check.flag("quadrature", quadrature):
            nodes, weights = np.polynomial.hermite.hermgauss(check.count("n", n, at_most=_MOST_NODES))
            return cls(centre + math.sqrt(2.0) * wide * nodes, weights)
        reach = check.number("span", span, above=0, at_most=38)
        middles, edges = _bins(-reach, reach, check.count("n", n))
        return cls(centre + wide * middles, np.diff(_normal_integral(edges)))

    @classmethod
    def two_colour(
        cls, energy_eV: float, separation_eV: float, sigma_eV: float, ratio: float = 1.0, n: int = 20
    ) -> Spectrum:
        """Two Gaussian peaks, at half the separation below and above an energy.

        Parameters
        ----------
        energy_eV, separation_eV, sigma_eV : float
            Middle, distance and standard deviation of the peaks.
        ratio : float
            Photons of the upper peak over those of the lower.
        n : int
            Channels, at least 2: equal bins over 3.5 standard deviations about each peak, half of them for
            each where the two do not meet.
        """
        centre, apart = _energy(energy_eV), check.number("separation_eV", separation_eV, at_least=0)
        wide, count = check.number("sigma_eV", sigma_eV, above=0), check.count("n", n, at_least=2)
        upper = check.number("ratio", ratio, at_least=0)
        half, reach = 0.5 * apart / wide, 3.5
        if half < reach:
            parts = [_bins(-half - reach, half + reach, count)]
        else:
            low, high = _bins(-reach, reach, count // 2), _bins(-reach, reach, count - count // 2)
            parts = [(low[0] - half, low[1] - half), (high[0] + half, high[1] + half)]
        weights = [
            np.diff(_normal_integral(edges + half) + upper * _normal_integral(edges - half))
            for _, edges in parts
        ]
        middles = np.concatenate([middles for middles, _ in parts])
        return cls(centre + wide * middles, np.concatenate(weights))

    @classmethod
    def pink(cls, energy_eV: float, sigma_low_eV: float, sigma_high_eV: float, n: int = 20) -> Spectrum:
        """Two half Gaussians of equal height, as of an undulator's harmonic: n equal bins over 3.5 of each.

        Parameters
        ----------
        energy_eV : float
            Of the peak; the mean lies towards the wider side.
        sigma_low_eV, sigma_high_eV : float
            Standard deviations below and above it.
        n : int
        """
        centre = _energy(energy_eV)
        low = check.number("sigma_low_eV", sigma_low_eV, above=0)
        high = check.number("sigma_high_eV", sigma_high_eV, above=0)
        middles, edges = _bins(-3.5 * low, 3.5 * high, check.count("n", n))
        # the area below x, of a peak of height 1 over sqrt(2 pi)
        below = low * _normal_integral(np.minimum(edges, 0.0) / low)
        above = high * (_normal_integral(np.maximum(edges, 0.0) / high) - 0.5)
        return cls(centre + middles, np.diff(below + above))

    @classmethod
    def sase(
        cls,
        energy_eV: float,
        bandwidth: float = 2e-3,
        *,
        spike: float = 2e-4,
        spikes: int = 15,
        n: int = 100,
        jitter: float = 0.0,
        seed: int = 0,
        image: int = 0,
    ) -> Spectrum:
        """One shot of a free-electron laser: Gaussian spikes at random (beyond 15.2).

        Parameters
        ----------
        energy_eV : float
            Middle of the band.
        bandwidth : float
            Full width of the band over the energy, in which the middles of the spikes are uniform.
        spike : float
            Standard deviation of a spike over the energy.
        spikes : int
            How many; the photons of each are uniform in (0, 1) before all have the sum 1.
        n : int
            Channels: equal bins over all spikes and 5 standard deviations on either side, each with the
            integral over it.
        jitter : float
            Standard deviation, over the energy, of the middle of the band from shot to shot.
        seed, image : int
            By which the shot is drawn: the same numbers give the same shot, whatever else is drawn.

        Notes
        -----
        Spike j takes the two uniform deviates of block 0 of pixel j and stage 20 (beyond 13), its place and
        its photons; the middle of the band the normal deviate of block 1 of pixel 0.

        Examples
        --------
        >>> import nbragg
        >>> shot = nbragg.Spectrum.sase(9000, seed=1, image=7)
        >>> shot == nbragg.Spectrum.sase(9000, seed=1, image=7), shot == nbragg.Spectrum.sase(9000, seed=1)
        (True, False)
        """
        from .._engine import deviates

        centre = _energy(energy_eV)
        band = check.number("bandwidth", bandwidth, at_least=0, at_most=1)
        wide = check.number("spike", spike, above=0, at_most=0.05)
        count = check.count("spikes", spikes, at_most=10**6)
        shake = check.number("jitter", jitter, at_least=0, at_most=0.05)
        draw = (
            check.count("seed", seed, at_least=1 - 2**63, at_most=2**64 - 1) % 2**64,
            check.count("image", image, at_least=0, at_most=2**56 - 1),
            _STAGE,
        )
        which = np.arange(count, dtype=np.uint64)
        places = band * (deviates("uniform", *draw, which) - 0.5)
        areas = deviates("second_uniform", *draw, which)
        if shake:
            centre *= 1.0 + shake * float(deviates("normal", *draw, which[:1], draw=1)[0])
        reach = _SASE_SPAN * wide
        middles, edges = _bins(float(places.min()) - reach, float(places.max()) + reach, check.count("n", n))
        below = np.zeros(len(edges))
        for place, area in zip(places, areas, strict=True):
            below += area * _normal_integral((edges - place) / wide)
        return cls(centre * (1.0 + middles), np.diff(below))

    @staticmethod
    def sase_range(
        energy_eV: float, bandwidth: float = 2e-3, *, spike: float = 2e-4, jitter: float = 0.0
    ) -> tuple[float, float]:
        """Lowest and highest energy, eV, that a shot of `sase` has; with a jitter of up to 6 times it.

        For structure factors that serve all shots.

        Examples
        --------
        >>> import nbragg
        >>> nbragg.Spectrum.sase_range(9000, 0.01, spike=1e-3)
        (8910.0, 9090.0)
        """
        half = 0.5 * bandwidth + _SASE_SPAN * spike
        shaken = _SASE_JITTER * jitter
        return energy_eV * (1.0 - shaken) * (1.0 - half), energy_eV * (1.0 + shaken) * (1.0 + half)

    @staticmethod
    def per_shot(energies_eV: npt.ArrayLike, weights: npt.ArrayLike) -> SpectrumSeries:
        """A measured spectrum for each image, on one axis of energies.

        Parameters
        ----------
        energies_eV : array_like (channels,)
        weights : array_like (images, channels)
            Image i has row i.

        Returns
        -------
        SpectrumSeries
            For ``Series(setup, spectra=...)``.

        Examples
        --------
        >>> import nbragg
        >>> shots = nbragg.Spectrum.per_shot([9000, 9010], [[1, 0], [1, 1], [1, 3]])
        >>> len(shots), shots[2].mean_energy_eV
        (3, 9007.5)
        """
        energies = check.frozen_array("energies_eV", energies_eV, (None,))
        rows = check.frozen_array("weights", weights, (None, len(energies)))
        if len(rows) == 0:
            raise InputError("weights must hold at least one image")
        for i, row in enumerate(rows):
            if (row < 0).any() or not row.any():
                raise InputError(f"the weights of image {i} must not be negative, nor all zero")
        return SpectrumSeries(len(rows), functools.partial(_row, energies, rows))

    @staticmethod
    def sase_shots(count: int, energy_eV: float, *, first: int = 0, **options: Any) -> SpectrumSeries:
        """Shots of `sase` for a series of images.

        Parameters
        ----------
        count : int
        energy_eV : float
        first : int
            Number of the first image.
        **options
            Of `sase`, but ``image``.

        Examples
        --------
        >>> import nbragg
        >>> shots = nbragg.Spectrum.sase_shots(1000, 9000, seed=1)
        >>> shots[999] == nbragg.Spectrum.sase(9000, seed=1, image=999)
        True
        """
        Spectrum.sase(energy_eV, **options, image=first)  # refuses what it refuses
        return SpectrumSeries(
            check.count("count", count), functools.partial(_shot, energy_eV, first, options)
        )


class SpectrumSeries:
    """The spectra of many images: ``len``, ``[i]`` and iteration; each is made when it is asked for.

    See `Spectrum.per_shot`, `Spectrum.shots_from_file` and `Spectrum.sase_shots`.
    """

    def __init__(self, count: int, make: Callable[[int], Spectrum]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> Spectrum:
        if not -self._count <= i < self._count:
            raise IndexError(f"image {i} of {self._count} spectra")
        return self._make(i % self._count)

    def __iter__(self) -> Iterator[Spectrum]:
        return map(self._make, range(self._count))

    def __repr__(self) -> str:
        return f"SpectrumSeries({self._count} spectra)"


def _row(energies: FloatArray, rows: FloatArray, i: int) -> Spectrum:
    return Spectrum(energies, rows[i])


def _shot(energy_eV: float, first: int, options: dict[str, Any], i: int) -> Spectrum:
    return Spectrum.sase(energy_eV, **options, image=first + i)


def _of_file(path: str, first: int, i: int) -> Spectrum:
    return Spectrum.from_file(path, image=first + i)


def _sums(place: npt.NDArray[np.int64], values: FloatArray, count: int) -> FloatArray:
    """Sums of the values of each place."""
    return np.asarray(np.bincount(place, values, count), np.float64)


def _energy(value: float) -> float:
    return check.number("energy_eV", value, above=0)


def _bins(low: float, high: float, n: int) -> tuple[FloatArray, FloatArray]:
    """Middles (n,) and edges (n + 1,) of n equal bins."""
    width = (high - low) / n
    middle = 0.5 * (low + high)
    edges = middle + width * (np.arange(n + 1, dtype=np.float64) - 0.5 * n)
    return edges[:-1] + 0.5 * width, edges


def _normal_integral(x: FloatArray) -> FloatArray:
    """The integral of a Gaussian of area 1 up to x."""
    root = math.sqrt(0.5)
    return np.array([0.5 * math.erfc(-root * value) for value in x.tolist()])

"""The X-ray beam as a person sets it up (canonical 2, 4)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..base import constants
from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.vectors import FloatArray

if TYPE_CHECKING:
    from .spectrum import Spectrum

__all__ = ["PROFILES", "SPECTRAL", "Beam", "SourceList"]

#: how the energies of a spectrum are summed
SPECTRAL = ("auto", "direct", "line", "culled")

#: how the light is spread over the divergence
PROFILES = ("uniform", "gauss")

#: most nodes of a quadrature along one angle
_MOST_NODES = 64

#: distance of the sources from the sample where a source file leaves out coordinates (canonical 4), m
SOURCE_DISTANCE = 10.0

#: the wavelength where none is given, A; told from a given one by being this very object
_NO_WAVELENGTH = float("1.0")

#: a spectrum whose mean is this near, relative to it, to a wavelength that is given is not moved
_SAME_WAVELENGTH = 1e-12


@frozen
class SourceList(Record):
    """Point sources, each with its own direction, weight and wavelength (canonical 4).

    Parameters
    ----------
    positions : array_like (n, 3)
        From the sample to each source, m; only the direction matters.
    weights : array_like (n,), optional
        Relative strengths, default all 1.  Used by ``physics="exact"`` only.
    wavelengths_A : array_like (n,), optional
        Wavelength of each source, angstrom; None means the beam's.

    Raises
    ------
    InputError
        For a zero vector, a wavelength that is not positive, a negative weight, or anything not finite.

    Examples
    --------
    >>> import nbragg
    >>> two = nbragg.SourceList([[-10, 0, 0], [-10, 0, 0.01]], wavelengths_A=[1.0, 1.01])
    >>> len(two)
    2
    >>> beam = nbragg.Beam(sources=two)
    """

    positions: FloatArray
    weights: FloatArray | None = None
    wavelengths_A: FloatArray | None = None

    def __post_init__(self) -> None:
        positions = check.frozen_array("positions", self.positions, (None, 3))
        n = len(positions)
        if n == 0:
            raise InputError("a source list must hold at least one source, none was given")
        zero = np.flatnonzero(~positions.any(axis=1))
        if zero.size:
            raise InputError(
                f"source {zero[0] + 1} has the position (0, 0, 0): give a vector from sample to source"
            )
        weights = np.ones(n) if self.weights is None else self.weights
        weights = check.frozen_array("weights", weights, (n,))
        if (weights < 0).any() or not weights.any():
            raise InputError("source weights must not be negative, nor all zero")
        self._set("positions", positions)
        self._set("weights", weights)
        if self.wavelengths_A is not None:
            wavelengths = check.frozen_array("wavelengths_A", self.wavelengths_A, (n,))
            bad = np.flatnonzero(wavelengths <= 0)
            if bad.size:
                raise InputError(
                    f"source {bad[0] + 1} has the wavelength {wavelengths[bad[0]]:g} A: "
                    "wavelengths must be positive"
                )
            self._set("wavelengths_A", wavelengths)

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        wavelength_A: float = 1.0,
        beam_vector: npt.ArrayLike = (1.0, 0.0, 0.0),
    ) -> SourceList:
        """Read a source file: up to five columns X Y Z weight wavelength(m) (canonical 4).

        Parameters
        ----------
        path : path
        wavelength_A : float
            For sources without a fifth column, angstrom.
        beam_vector : array_like (3,)
            Beam direction; missing coordinates are those of -10 m along it.

        Raises
        ------
        FileError, InputError
        """
        from ..io.files import text_tables

        table = np.asarray(text_tables.read_sources(path), dtype=np.float64)
        missing = [*(-SOURCE_DISTANCE * np.asarray(beam_vector, dtype=np.float64)), 1.0, wavelength_A * 1e-10]
        table = np.where(np.isnan(table), missing, table)
        return cls(table[:, :3], table[:, 3], table[:, 4] * 1e10)


@frozen(kw_only=True)
class Beam(Record):
    """Wavelength, spectrum, divergence, polarization, strength and direction of the beam.

    None means "not given" throughout: canonical 4 says what then happens.

    Parameters
    ----------
    wavelength_A : float
        Central wavelength, angstrom; default 1, or with a spectrum that of its mean energy.  Given beside a
        spectrum it moves the spectrum, along the energies, until its mean is there, in ``Beam(...)`` as in
        ``replace``; ``replace(spectrum=...)`` alone takes the new spectrum as it is.
    spectrum : Spectrum, optional
        Photon energies and their weights, in place of the dispersion.  Every direction of the divergence, or
        of a source list without wavelengths of its own, is rendered at every energy; weights count with
        either physics.
    dispersion_pct : float, optional
        Full spectral width, percent of the wavelength.
    dispersion_steps : int, optional
        Wavelengths across it.
    hdivrange_mrad, vdivrange_mrad : float, optional
        Full divergence, horizontal (about the normal of beam and polarization) and vertical, mrad.
    hdivstep_mrad, vdivstep_mrad : float, optional
        Angle between neighbouring source points, mrad; 0 means not given.
    hdivsteps, vdivsteps : int, optional
        Source points across each range.
    divergence_profile : {"uniform", "gauss"}
        "gauss": the divergence is Gaussian with the ranges as its rms, not its full width, and source points
        are the ``hdivsteps`` x ``vdivsteps`` nodes of a Gauss-Hermite quadrature (default 5 where there is a
        range), exact for polynomials of the angles to the degree 2 steps - 1; no grid is trimmed.
    round_div : bool
        Trim the grid of source points to an ellipse.
    sources : SourceList, optional
        Used in place of the divergence and dispersion grid.
    spectral : {"auto", "direct", "line", "culled"}
        How the energies of a spectrum are summed: one by one ("direct"), by an integral over each channel
        ("line"), one by one without those that cannot count ("culled"), or as is fastest ("auto").
    polarization : float
        Kahn factor, -1 to 1; 0 is unpolarised, and the default, as in the reference program.  Programs that
        integrate images assume a synchrotron: 0.99 or so.
    polarization_azimuth_deg : float
        Turns the electric field about the beam, right-handed, degrees; the divergence keeps its axes.
    nopolar : bool
        Polarization factor 1 everywhere.
    fluence : float, optional
        Photons/m^2; default `constants.DEFAULT_FLUENCE`.
    flux : float
        Photons/s; when not 0, fluence = flux * exposure / beamsize^2 (canonical 3.1).
    exposure_s : float
        Exposure, s.
    beamsize_mm : float
        Beam edge, mm; negative means unlimited.
    beam_vector, polar_vector : 3 floats, optional
        Direction of travel and of the electric field, any length; each selects the custom convention.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range; a spectrum beside a dispersion, or beside sources
        that have wavelengths; steps of a divergence with the profile "gauss" beyond 64, or by their size.

    Examples
    --------
    >>> import nbragg
    >>> beam = nbragg.Beam(wavelength_A=1.0, flux=1e12, exposure_s=0.1, beamsize_mm=0.01, polarization=0.95)
    >>> round(beam.energy_eV, 2)
    12398.42
    >>> round(nbragg.Beam.from_energy(7112, dispersion_pct=0.2, dispersion_steps=5).wavelength_A, 4)
    1.7433
    >>> pink = nbragg.Beam(spectrum=nbragg.Spectrum.pink(12000, 100, 20), hdivrange_mrad=0.1, hdivsteps=3)
    """

    _instead = dict.fromkeys(
        ("energy", "energy_eV", "energy_keV", "photon_energy"),
        "give wavelength_A, or make the beam by Beam.from_energy(energy_eV, ...)",
    )

    wavelength_A: float = _NO_WAVELENGTH
    dispersion_pct: float | None = None
    dispersion_steps: int | None = None
    hdivrange_mrad: float | None = None
    vdivrange_mrad: float | None = None
    hdivstep_mrad: float | None = None
    vdivstep_mrad: float | None = None
    hdivsteps: int | None = None
    vdivsteps: int | None = None
    round_div: bool = True
    sources: SourceList | None = None
    polarization: float = 0.0
    polarization_azimuth_deg: float = 0.0
    nopolar: bool = False
    fluence: float | None = None
    flux: float = 0.0
    exposure_s: float = 1.0
    beamsize_mm: float = 0.1
    beam_vector: tuple[float, float, float] | None = None
    polar_vector: tuple[float, float, float] | None = None
    spectrum: Spectrum | None = None
    spectral: str = "auto"
    divergence_profile: str = "uniform"

    def __post_init__(self) -> None:
        given = self.wavelength_A is not _NO_WAVELENGTH
        # the sum is another object, so that what is read of a Beam and given to another counts as given
        self._set("wavelength_A", check.number("wavelength_A", self.wavelength_A, above=0) + 0.0)
        for name in ("dispersion_pct", "hdivrange_mrad", "vdivrange_mrad", "hdivstep_mrad", "vdivstep_mrad"):
            self._set(name, check.optional_number(name, getattr(self, name), at_least=0, at_most=1e9))
        self._set("fluence", check.optional_number("fluence", self.fluence, at_least=0))
        for name in ("dispersion_steps", "hdivsteps", "vdivsteps"):
            self._set(name, check.optional_count(name, getattr(self, name)))
        for name in ("round_div", "nopolar"):
            self._set(name, check.flag(name, getattr(self, name)))
        if self.sources is not None and not isinstance(self.sources, SourceList):
            raise InputError(f"sources must be a SourceList, not {type(self.sources).__name__}")
        self._set("polarization", check.number("polarization", self.polarization, at_least=-1, at_most=1))
        azimuth = check.number("polarization_azimuth_deg", self.polarization_azimuth_deg)
        self._set("polarization_azimuth_deg", azimuth)
        for name in ("flux", "exposure_s"):
            self._set(name, check.number(name, getattr(self, name), at_least=0))
        self._set("beamsize_mm", check.number("beamsize_mm", self.beamsize_mm, at_most=1e15))
        for name in ("beam_vector", "polar_vector"):
            self._set(name, check.optional_direction(name, getattr(self, name)))
        self._set("spectral", check.choice("spectral", self.spectral, SPECTRAL))
        self._check_profile()
        if self.spectrum is not None:
            self._check_spectrum(given)

    def _check_profile(self) -> None:
        profile = check.choice("divergence_profile", self.divergence_profile, PROFILES)
        self._set("divergence_profile", profile)
        if profile == "uniform":
            return
        for name in ("hdivstep_mrad", "vdivstep_mrad"):
            if getattr(self, name):
                raise InputError(
                    f'{name}: divergence_profile "gauss" has nodes of a quadrature: give hdivsteps'
                )
        for name in ("hdivsteps", "vdivsteps"):
            check.optional_count(name, getattr(self, name), at_most=_MOST_NODES)

    def _check_spectrum(self, moves: bool) -> None:
        """``moves``: a wavelength was given, where the spectrum is to have its mean."""
        from .spectrum import Spectrum

        spectrum = self.spectrum
        if not isinstance(spectrum, Spectrum):
            raise InputError(f"spectrum must be a Spectrum, not {type(spectrum).__name__}")
        for name in ("dispersion_pct", "dispersion_steps"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"{name}: a spectrum takes the place of the dispersion; leave out one of them"
                )
        if self.sources is not None and self.sources.wavelengths_A is not None:
            raise InputError(
                "sources have wavelengths_A, and there is a spectrum, which says the wavelengths of all "
                "sources: leave out one of them"
            )
        if not moves:
            self._set("wavelength_A", spectrum.wavelength_A)
        elif abs(self.wavelength_A / spectrum.wavelength_A - 1.0) > _SAME_WAVELENGTH:
            self._set("spectrum", spectrum.with_mean(self.energy_eV))

    def replace(self, **changes: Any) -> Beam:
        """A copy with some fields changed, validated like a new one.

        A new spectrum is taken as it is, unless a wavelength comes with it; without one the wavelength stays.
        """
        if changes.get("spectrum") is not None:
            changes.setdefault("wavelength_A", _NO_WAVELENGTH)
        return super().replace(**changes)

    @property
    def energy_eV(self) -> float:
        """Photon energy, eV (canonical 1)."""
        return constants.HC_EV_A / self.wavelength_A

    @classmethod
    def from_energy(cls, energy_eV: float, **fields: Any) -> Beam:
        """A beam given by its photon energy in eV; other fields as in the constructor."""
        return cls(wavelength_A=constants.HC_EV_A / check.number("energy_eV", energy_eV, above=0), **fields)

"""The list of sources: divergence grid, dispersion, source file, fluence (canonical 3.1, 4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ..base import constants, memory
from ..base.errors import InputError
from ..base.vectors import FloatArray, rot_axis, unit
from ..base.warn import warn
from ..model.beam import SOURCE_DISTANCE, Beam, SourceList
from ..model.physics import Physics
from ..model.sample import Sample
from .detector_geometry import DetectorGeometry
from .steps import Steps, resolve_steps

if TYPE_CHECKING:
    from ..model.spectrum import Spectrum

__all__ = [
    "BeamAxes",
    "BeamRays",
    "Rays",
    "SourceSteps",
    "beam_fluence",
    "beam_sources",
    "divergence_grid",
    "energy_nodes",
    "flux_decides",
    "source_steps",
]


_ONE_POINT = Steps(0.0, 0.0, 1)

#: nodes of a Gaussian divergence along each angle where none are given
_NODES = 5

#: of the two sides of a channel, one reaches at most so many times as far as the other
_GAP = 5.0

_GRID_FIELDS = (
    "hdivrange_mrad",
    "vdivrange_mrad",
    "hdivstep_mrad",
    "vdivstep_mrad",
    "hdivsteps",
    "vdivsteps",
    "dispersion_pct",
    "dispersion_steps",
)


class SourceSteps(NamedTuple):
    """Horizontal and vertical divergence (radians) and dispersion (fraction of the wavelength)."""

    hdiv: Steps
    vdiv: Steps
    dispersion: Steps


class BeamRays(NamedTuple):
    """Fields of a `Beam` that its rays depend on, beside the steps."""

    wavelength_A: float
    spectrum: Spectrum | None
    sources: SourceList | None
    divergence_profile: str
    round_div: bool


class BeamAxes(NamedTuple):
    """Of a `DetectorGeometry`, what sources depend on."""

    beam_vector: FloatArray
    polar_vector: FloatArray
    vert_vector: FloatArray


class Rays(NamedTuple):
    """Sources: directions outer, wavelengths inner, those of one direction by ascending energy.

    Unit vectors of travel (n, 3), wavelengths (n,) in metres, weights (n,) of mean 1; where there is a
    spectrum of several energies, the lowest and highest wavenumber (n, 2), 1/m, of each source's channel;
    which of a crystal's tables of structure factors each takes (n,).
    """

    incident: FloatArray
    wavelength: FloatArray
    weight: FloatArray
    channel: FloatArray | None
    table: npt.NDArray[np.int64]


def flux_decides(beam: Beam) -> bool:
    """Whether flux, exposure and beam size give the fluence (canonical 3.1)."""
    return beam.flux.real != 0 and beam.exposure_s.real > 0 and beam.beamsize_mm.real >= 0


def beam_fluence(beam: Beam) -> float:
    """Photons/m^2: from the flux where one is given, else as given, else the default (canonical 3.1)."""
    if flux_decides(beam):
        if beam.beamsize_mm.real == 0:
            raise InputError(
                "beamsize_mm 0 with a flux gives an infinite fluence: give a beam size above 0, or fluence"
            )
        if beam.fluence is not None:
            warn("fluence has no effect: flux, exposure_s and beamsize_mm decide it")
        return beam.flux * beam.exposure_s / (beam.beamsize_mm * 1e-3) ** 2
    return constants.DEFAULT_FLUENCE if beam.fluence is None else beam.fluence


def source_steps(beam: Beam) -> SourceSteps:
    """Resolve divergence and dispersion (canonical 4); the range of the dispersion starts at 0.

    A source list takes their place and leaves one point each.
    """
    if beam.sources is not None:
        given = [name for name in _GRID_FIELDS if getattr(beam, name) is not None]
        given += [] if beam.divergence_profile == "uniform" else ["divergence_profile"]
        if given:
            warn(f"{', '.join(given)} without effect: the source list takes their place")
        return SourceSteps(_ONE_POINT, _ONE_POINT, _ONE_POINT)

    def scaled(value: float | None, unit_size: float) -> float | None:
        return None if value is None else value * unit_size

    if beam.divergence_profile == "gauss":
        angles = ((beam.hdivrange_mrad, beam.hdivsteps), (beam.vdivrange_mrad, beam.vdivsteps))
        hdiv, vdiv = (_quadrature_steps(scaled(rms, 1e-3) or 0.0, count) for rms, count in angles)
        return SourceSteps(hdiv, vdiv, _dispersion(beam))

    return SourceSteps(
        resolve_steps(
            "hdivstep_mrad",
            scaled(beam.hdivrange_mrad, 1e-3),
            scaled(beam.hdivstep_mrad, 1e-3),
            beam.hdivsteps,
        ),
        resolve_steps(
            "vdivstep_mrad",
            scaled(beam.vdivrange_mrad, 1e-3),
            scaled(beam.vdivstep_mrad, 1e-3),
            beam.vdivsteps,
        ),
        _dispersion(beam),
    )


def _dispersion(beam: Beam) -> Steps:
    return resolve_steps("dispersion_pct", (beam.dispersion_pct or 0.0) / 100.0, None, beam.dispersion_steps)


def _quadrature_steps(rms: float, count: int | None) -> Steps:
    """Nodes of a Gaussian; without a width there is one."""
    return Steps(rms, 0.0, count or _NODES) if rms.real > 0 else _ONE_POINT


def divergence_grid(hdiv: Steps, vdiv: Steps, round_div: bool) -> FloatArray:
    """Horizontal and vertical angles of the source points (canonical 4).

    Returns
    -------
    ndarray (n, 2)
        Radians; the horizontal angle is the outer loop.
    """
    h = _points(hdiv)[:, np.newaxis]
    v = _points(vdiv)[np.newaxis, :]
    grid = np.stack(np.broadcast_arrays(h, v), axis=-1).reshape(-1, 2)
    if not round_div:
        return grid
    # a range of 0 gives 0/0, which is never above the limit: then nothing is trimmed
    with np.errstate(invalid="ignore", divide="ignore"):
        outside = 4.0 * (_ellipse_term(h.real, hdiv) + _ellipse_term(v.real, vdiv)) > 1.1
    return grid[~outside.reshape(-1)]


def _points(steps: Steps) -> FloatArray:
    """step*i - range/2 (canonical 4)."""
    return np.asarray(steps.step * np.arange(steps.count, dtype=np.float64) - steps.range / 2)


def _ellipse_term(x: FloatArray, steps: Steps) -> FloatArray:
    """e(x) of canonical 4: an even number of points has none on the axis, and is let out by half a step."""
    half_step = steps.step.real**2 / 4 if steps.count % 2 == 0 else 0.0
    return np.asarray((x**2 - half_step) / np.float64(steps.range.real) ** 2)


def beam_sources(
    beam: Beam | BeamRays,
    geometry: BeamAxes | DetectorGeometry,
    steps: SourceSteps,
    physics: Physics,
    nodes: tuple[float, ...] = (),
) -> Rays:
    """The sources as the engine reads them (canonical 4; weights by canonical 11; beyond 15.3, 15.5).

    Parameters
    ----------
    beam, geometry, steps, physics
    nodes : tuple of float
        Energies (eV, ascending) of the crystals' tables of structure factors; with fewer than two there is
        one table for all.

    Raises
    ------
    InputError
        For a wavelength that is not positive, or a divergence whose axes are not defined.
    """
    spectrum = beam.spectrum
    if beam.sources is not None:
        if spectrum is None:
            return _at_nodes(*_listed_sources(beam.sources, beam.wavelength_A, physics), None, nodes)
        incident, _, shares = _listed_sources(beam.sources, beam.wavelength_A, physics, weighed=True)
    else:
        channels = steps.dispersion.count if spectrum is None else len(spectrum)
        total = steps.hdiv.count * steps.vdiv.count * channels
        memory.require(
            64 * total, f"a list of {total} sources", "give fewer steps (-hdivsteps, -vdivsteps, -dispsteps)"
        )
        incident, shares = _directions(beam, geometry, steps)
    if spectrum is None:
        wavelength = beam.wavelength_A * 1e-10 * (1.0 + _points(steps.dispersion))
        weight, channel = np.ones(len(wavelength)), None
        if wavelength.real.min() <= 0:
            raise InputError(
                f"dispersion_pct {100 * steps.dispersion.range.real:g} reaches wavelengths that are not "
                "positive: give less than 200"
            )
    else:
        energies = _energies(beam)
        wavelength = constants.HC_EV_A / energies * 1e-10
        weight = len(energies) * spectrum.shares
        channel = _channels(1.0 / wavelength)
    directions, many = len(incident), len(wavelength)
    return _at_nodes(
        np.repeat(incident, many, axis=0),
        np.tile(wavelength, directions),
        np.repeat(shares, many) * np.tile(weight, directions),
        None if channel is None else np.tile(channel, (directions, 1)),
        nodes,
    )


def _directions(
    beam: Beam | BeamRays, geometry: BeamAxes | DetectorGeometry, steps: SourceSteps
) -> tuple[FloatArray, FloatArray]:
    """Unit vectors of travel (n, 3) of a divergence, and their weights (n,) of mean 1."""
    if steps.hdiv.count * steps.vdiv.count > 1 and not geometry.vert_vector.any():
        raise InputError("beam_vector and polar_vector are parallel: a divergence needs them at an angle")
    if beam.divergence_profile == "gauss":
        (h, of_h), (v, of_v) = _nodes(steps.hdiv), _nodes(steps.vdiv)
        angles = np.stack([np.repeat(h, len(v)), np.tile(v, len(h))], axis=-1)
        weights = np.outer(of_h, of_v).reshape(-1)
    else:
        angles = divergence_grid(steps.hdiv, steps.vdiv, beam.round_div)
        weights = np.ones(len(angles))
    if len(angles) == 0:
        raise InputError(
            "round trimming leaves no source of the divergence grid: give more steps, a range, or "
            "round_div=False (-square_div)"
        )
    start = -SOURCE_DISTANCE * geometry.beam_vector
    position = rot_axis(np.broadcast_to(start, (len(angles), 3)), geometry.polar_vector, angles[:, 1])
    position = rot_axis(position, geometry.vert_vector, angles[:, 0])
    return -unit(position), weights


def _nodes(steps: Steps) -> tuple[FloatArray, FloatArray]:
    """Gauss-Hermite nodes of a Gaussian whose rms is the range, and their weights of mean 1 (beyond 15.3)."""
    nodes, weights = np.polynomial.hermite.hermgauss(steps.count)
    return np.asarray(math.sqrt(2.0) * steps.range * nodes), steps.count / weights.sum() * weights


def _energies(beam: Beam | BeamRays) -> FloatArray:
    """Energies of the spectrum, eV; a wavelength that carries a derivative moves them all alike."""
    assert beam.spectrum is not None
    energies = beam.spectrum.energies_eV
    if not isinstance(beam.wavelength_A, complex):
        return energies
    rate = (constants.HC_EV_A / beam.wavelength_A - beam.spectrum.mean_energy_eV).imag
    return np.asarray(energies + 1j * rate) if rate else energies


def _channels(wavenumber: FloatArray) -> FloatArray | None:
    """Edges of channels about ascending wavenumbers; None where they are too close to have a width.

    Half-way between neighbours, but on neither side more than `_GAP` times as far as on the other, so that
    light does not fill a gap; at the ends as far outward as inward.
    """
    if len(wavenumber) == 1:
        return None
    half = 0.5 * np.diff(wavenumber)
    if half.real.min() < 1e-12 * wavenumber.real.max():
        return None
    below, above = np.concatenate([half[:1], half]), np.concatenate([half, half[-1:]])
    high = np.where(above.real > _GAP * below.real, _GAP * below, above)
    low = np.where(below.real > _GAP * above.real, _GAP * above, below)
    between = 0.5 * (wavenumber[1:] + wavenumber[:-1])
    lower, upper = wavenumber - low, wavenumber + high
    # neighbours that touch have one edge, to the last digit
    lower[1:] = np.where(low[1:] == below[1:], between, lower[1:])
    upper[:-1] = np.where(high[:-1] == above[:-1], between, upper[:-1])
    return np.stack([lower, upper], axis=-1)


def energy_nodes(sample: Sample) -> tuple[float, ...]:
    """Energies (eV) of the tables of structure factors that every crystal of a sample has one of.

    Those of all crystals: F^2 that is linear between fewer is so between more.
    """
    each = {crystal.structure_factors.nodes for crystal in sample.crystals} - {()}
    return tuple(sorted(set().union(*each))) if len(each) > 1 else next(iter(each), ())


def _at_nodes(
    incident: FloatArray,
    wavelength: FloatArray,
    weight: FloatArray,
    channel: FloatArray | None,
    nodes: tuple[float, ...],
) -> Rays:
    """Sources of a wavelength between two tables of structure factors as two, one for each (beyond 15.5).

    Intensities are linear in F^2, so that F^2 linear in the energy is a share for either table.
    """
    if len(nodes) < 2:
        return Rays(incident, wavelength, weight, channel, np.zeros(len(wavelength), np.int64))
    energy, at = constants.HC_EV_A / (wavelength * 1e10), np.array(nodes)
    beyond = (energy.real < at[0] * (1 - 1e-9)) | (energy.real > at[-1] * (1 + 1e-9))
    if beyond.any():
        low, high = energy.real.min(), energy.real.max()
        warn(
            f"structure factors are known from {at[0]:g} to {at[-1]:g} eV and the beam has {low:g} to "
            f"{high:g} eV: beyond, those of the nearest count"
        )
    first = np.clip(np.searchsorted(at, energy.real, side="right") - 1, 0, len(at) - 2)
    share = (energy - at[first]) / (at[first + 1] - at[first])
    on = np.flatnonzero(np.isin(energy.real, at) & (energy.imag != 0))
    if on.size:
        raise InputError(
            f"there is no derivative by the energy at {energy.real[on[0]]:g} eV, a node of the structure "
            "factors, where F^2 bends: calculate them at other energies"
        )
    share = np.where(share.real <= 0, 0.0, np.where(share.real >= 1, 1.0, share))
    parts = np.stack([1.0 - share, share], axis=-1)
    source, part = np.nonzero(parts.real > 0)
    weight = weight[source] * parts[source, part]
    return Rays(
        incident[source],
        wavelength[source],
        weight * (len(source) / len(wavelength)),
        None if channel is None else channel[source],
        first[source] + part,
    )


def _listed_sources(
    sources: SourceList, wavelength_A: float, physics: Physics, *, weighed: bool = False
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Directions, wavelengths (m) and weights of a list; weights count where ``physics`` says so, or where
    there is a spectrum, scaled to mean 1 (canonical 11)."""
    n = len(sources)
    wavelengths = np.full(n, wavelength_A) if sources.wavelengths_A is None else sources.wavelengths_A
    weights = np.ones(n)
    assert sources.weights is not None  # filled in by the record
    if physics.weighs_sources or weighed:
        weights = sources.weights / sources.weights.mean()
    elif np.ptp(sources.weights) > 0:
        warn(
            "as in the reference program, the sources' weights differ and are ignored: all sources count "
            "equally; physics 'exact' weighs them"
        )
    return -unit(sources.positions), wavelengths * 1e-10, weights

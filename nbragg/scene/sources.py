"""The list of sources: divergence grid, dispersion, source file, fluence (canonical 3.1, 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..base import constants, memory
from ..base.errors import InputError
from ..base.vectors import FloatArray, rot_axis, unit
from ..base.warn import warn
from ..model.beam import SOURCE_DISTANCE, Beam, SourceList
from ..model.physics import Physics
from .detector_geometry import DetectorGeometry
from .steps import Steps, resolve_steps

__all__ = [
    "Rays",
    "SourceSteps",
    "beam_fluence",
    "beam_sources",
    "divergence_grid",
    "flux_decides",
    "source_steps",
]


_ONE_POINT = Steps(0.0, 0.0, 1)

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


class Rays(NamedTuple):
    """Unit vectors of travel (n, 3), wavelengths (n,) in metres, weights (n,)."""

    incident: FloatArray
    wavelength: FloatArray
    weight: FloatArray


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
        if given:
            warn(f"{', '.join(given)} without effect: the source list takes their place")
        return SourceSteps(_ONE_POINT, _ONE_POINT, _ONE_POINT)

    def scaled(value: float | None, unit_size: float) -> float | None:
        return None if value is None else value * unit_size

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
        resolve_steps("dispersion_pct", (beam.dispersion_pct or 0.0) / 100.0, None, beam.dispersion_steps),
    )


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


def beam_sources(beam: Beam, geometry: DetectorGeometry, steps: SourceSteps, physics: Physics) -> Rays:
    """The sources as the engine reads them (canonical 4; weights by canonical 11).

    Raises
    ------
    InputError
        For a wavelength that is not positive, or a divergence whose axes are not defined.
    """
    if beam.sources is not None:
        return _listed_sources(beam.sources, beam.wavelength_A, physics)
    points = steps.hdiv.count * steps.vdiv.count
    total = points * steps.dispersion.count
    memory.require(
        64 * total, f"a list of {total} sources", "give fewer steps (-hdivsteps, -vdivsteps, -dispsteps)"
    )
    if points > 1 and not geometry.vert_vector.any():
        raise InputError("beam_vector and polar_vector are parallel: a divergence needs them at an angle")
    wavelength = beam.wavelength_A * 1e-10 * (1.0 + _points(steps.dispersion))
    if wavelength.real.min() <= 0:
        raise InputError(
            f"dispersion_pct {100 * steps.dispersion.range.real:g} reaches wavelengths that are not "
            "positive: give less than 200"
        )
    angles = divergence_grid(steps.hdiv, steps.vdiv, beam.round_div)
    if len(angles) == 0:
        raise InputError(
            "round trimming leaves no source of the divergence grid: give more steps, a range, or "
            "round_div=False (-square_div)"
        )
    start = -SOURCE_DISTANCE * geometry.beam_vector
    position = rot_axis(np.broadcast_to(start, (len(angles), 3)), geometry.polar_vector, angles[:, 1])
    position = rot_axis(position, geometry.vert_vector, angles[:, 0])
    incident = np.repeat(-unit(position), len(wavelength), axis=0)
    return Rays(incident, np.tile(wavelength, len(angles)), np.ones(len(incident)))


def _listed_sources(sources: SourceList, wavelength_A: float, physics: Physics) -> Rays:
    """Rays of a list; weights count where ``physics`` says so, scaled to mean 1 (canonical 11)."""
    n = len(sources)
    wavelengths = np.full(n, wavelength_A) if sources.wavelengths_A is None else sources.wavelengths_A
    weights = np.ones(n)
    assert sources.weights is not None  # filled in by the record
    if physics.weighs_sources:
        weights = sources.weights / sources.weights.mean()
    elif np.ptp(sources.weights) > 0:
        warn(
            "as in the reference program, the sources' weights differ and are ignored: all sources count "
            "equally; physics 'exact' weighs them"
        )
    return Rays(-unit(sources.positions), wavelengths * 1e-10, weights)

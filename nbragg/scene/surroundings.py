"""What stands in the way of the light, placed in the laboratory: from records to SI."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import constants, numbers
from ..base.errors import InputError
from ..base.vectors import FloatArray, unit
from ..base.warn import warn
from ..model.detector import Detector
from ..model.materials import Layer, Material, attenuation
from ..model.surroundings import Aperture, Beamstop, SampleAbsorption, Shadow, Surroundings, Window
from .ball_absorption import ball_pieces
from .detector_geometry import DetectorGeometry
from .obstacles import Absorber, Body, Obstacles, Stop
from .record import PlacedPanel, Sources

__all__ = ["direct_beam_size", "place_obstacles", "weakened"]

#: cosine between beam and a slab's normal below which the beam runs along the slab
_GRAZING = 1e-3

_NOWHERE = np.zeros(2)


def place_obstacles(
    around: Surroundings | None,
    detector: Detector,
    panels: tuple[PlacedPanel, ...],
    sources: Sources,
    place: DetectorGeometry,
) -> Obstacles | None:
    """All that is in the way, as a backend reads it; None where nothing is.

    Parameters
    ----------
    around : Surroundings or None
    detector : Detector
        Its sensors' fronts are in the way too.
    panels : tuple of PlacedPanel
    sources : Sources
    place : DetectorGeometry
        Says where beam and polarization point.

    Raises
    ------
    InputError
        For a wavelength outside the table of attenuation, a beam along its polarization vector where stops
        need both, one along a slab, and a crystal outside it.
    """
    absorbers = _front(detector, panels, sources)
    stops: tuple[Stop, ...] = ()
    body = None
    if around is not None:
        absorbers += [_window(window, panels, sources, place) for window in around.windows]
        if around.gas is not None:
            mu = _mu(around.gas, sources)
            absorbers.append(_absorber("gas", np.zeros(3), around.vacuum_mm * 1e-3, mu, panels, sources))
        given: tuple[Beamstop | Aperture | Shadow, ...]
        given = (*around.beamstops, *around.apertures, *around.shadows)
        if given:
            u, v = _axes(place)
            stops = tuple(_stop(what, place.beam_vector, u, v) for what in given)
            _warn_of_stops_behind(given, stops, panels)
        if around.sample_absorption is not None:
            body = _body(around.sample_absorption, sources, place)
    if not (absorbers or stops or body):
        return None
    return Obstacles(len(panels), len(sources), _joined(absorbers), stops, body)


def direct_beam_size(beamsize_mm: float, panels: Sequence[PlacedPanel]) -> float:
    """Full width at half maximum of the direct beam, m.

    Raises
    ------
    InputError
        For a beam without size, and a curved detector.
    """
    if not beamsize_mm.real > 0:
        raise InputError(f"direct_beam: the beam needs a size, beamsize_mm is {beamsize_mm.real:g}")
    if any(panel.curved != "flat" for panel in panels):
        raise InputError("direct_beam: the detector must be flat")
    return beamsize_mm * 1e-3


def weakened(sources: Sources, fluence: float, upstream: Sequence[Layer]) -> tuple[Sources, float]:
    """Sources and fluence (photons/m^2) behind what the beam crosses before the sample, at right angles."""
    if not upstream:
        return sources, fluence
    depth = sum(_mu(material, sources) * (um * 1e-6) for material, um in upstream)
    passed = np.exp(-depth)
    share = numbers.scalar(sources.weight @ passed / sources.weight.sum())
    if np.ptp(sources.wavelength.real) > 0:
        sources = dataclasses.replace(sources, weight=numbers.read_only(sources.weight * passed / share))
    return sources, fluence * share


def _mu(material: str | Material, sources: Sources) -> FloatArray:
    """1/m, at each source's wavelength."""
    mu: FloatArray = attenuation(material, constants.HC_EV_A / (sources.wavelength * 1e10), "total")
    return mu


def _absorber(
    kind: str,
    normal: FloatArray,
    distance: float,
    depth: FloatArray,
    panels: Sequence[PlacedPanel],
    sources: Sources,
) -> Absorber:
    """Of normals and depths for each panel, or the same for all."""
    count = len(panels)
    return Absorber(
        kind=kind,
        normal=numbers.read_only(np.broadcast_to(normal, (count, 3))),
        distance=distance,
        depth=numbers.read_only(np.broadcast_to(depth, (count, len(sources)))),
    )


def _front(detector: Detector, panels: tuple[PlacedPanel, ...], sources: Sources) -> list[Absorber]:
    """What the sensors have before them: parallel to each panel."""
    fronts = [what.front for what in detector.panels or (detector,)]
    if not any(fronts):
        return []
    depth = np.array(
        [
            sum((_mu(material, sources) * (um * 1e-6) for material, um in front), np.zeros(len(sources)))
            for front in fronts
        ]
    )
    kind = "sheet" if panels[0].curved == "flat" else "shell"
    return [_absorber(kind, _normals(panels), 0.0, depth, panels, sources)]


def _normals(panels: Sequence[PlacedPanel]) -> FloatArray:
    return np.stack([panel.odet for panel in panels])


def _window(
    window: Window, panels: tuple[PlacedPanel, ...], sources: Sources, place: DetectorGeometry
) -> Absorber:
    depth = _mu(window.material, sources) * (window.thickness_um * 1e-6)
    if window.normal == "radial":
        return _absorber("shell", np.zeros(3), 0.0, depth, panels, sources)
    normal = _normals(panels) if window.normal == "detector" else _direction(window.normal, place)
    if window.distance_mm is None:
        return _absorber("sheet", normal, 0.0, depth, panels, sources)
    return _absorber("wall", normal, window.distance_mm * 1e-3, depth, panels, sources)


def _direction(normal: Any, place: DetectorGeometry) -> FloatArray:
    return place.beam_vector if normal == "beam" else unit(numbers.array(normal))


def _joined(absorbers: list[Absorber]) -> tuple[Absorber, ...]:
    """Those of one kind and place as one: a renderer looks at each for every pixel."""
    joined: dict[Any, Absorber] = {}
    for absorber in absorbers:
        key = absorber.kind, absorber.distance, absorber.normal.tobytes()
        if key in joined:
            depth = numbers.read_only(joined[key].depth + absorber.depth)
            absorber = dataclasses.replace(absorber, depth=depth)
        joined[key] = absorber
    return tuple(joined.values())


def _axes(place: DetectorGeometry) -> tuple[FloatArray, FloatArray]:
    """u along the polarization vector, as far as it is across the beam, and v along beam x polarization."""
    beam, polar = place.beam_vector, place.polar_vector
    across = polar - (polar @ beam) * beam
    if not numbers.norm(across).real > 1e-6:
        raise InputError("beam_vector and polar_vector are parallel: beam stops need them at an angle")
    u = unit(across)
    return u, np.cross(beam, u)


def _stop(what: Beamstop | Aperture | Shadow, beam: FloatArray, u: FloatArray, v: FloatArray) -> Stop:
    centre, radius, arm, half_width = _NOWHERE, 0.0, np.array([1.0, 0.0]), 0.0
    corners = np.empty((0, 2))
    if isinstance(what, Shadow):
        kind, corners = "polygon", what.polygon_mm * 1e-3
    else:
        kind = "disc" if isinstance(what, Beamstop) else "hole"
        centre, radius = numbers.array(what.centre_mm) * 1e-3, what.diameter_mm * 0.5e-3
        if isinstance(what, Beamstop) and what.arm_width_mm:
            angle = numbers.radians(what.arm_angle_deg)
            arm, half_width = (
                numbers.array([numbers.cos(angle), numbers.sin(angle)]),
                what.arm_width_mm * 0.5e-3,
            )
    return Stop(
        kind=kind,
        normal=numbers.read_only(beam),
        u=numbers.read_only(u),
        v=numbers.read_only(v),
        distance=what.distance_mm * 1e-3,
        centre=numbers.read_only(centre),
        radius=radius,
        arm=numbers.read_only(arm),
        half_width=half_width,
        transmission=what.transmission,
        corners=numbers.read_only(corners),
    )


def _warn_of_stops_behind(
    given: Sequence[Beamstop | Aperture | Shadow], stops: Sequence[Stop], panels: Sequence[PlacedPanel]
) -> None:
    """Stops farther along the beam than all pixels; where a panel is curved, none is looked at."""
    if any(panel.curved != "flat" for panel in panels):
        return
    for what, stop in zip(given, stops, strict=True):
        farthest = max(
            float((corner @ stop.normal).real)
            for panel in panels
            for corner in (
                panel.pix0 + f * panel.pixel[0] * panel.fdet + s * panel.pixel[1] * panel.sdet
                for f in (panel.first[0], panel.first[0] + panel.fpixels)
                for s in (panel.first[1], panel.first[1] + panel.spixels)
            )
        )
        if stop.distance.real > farthest:
            warn(
                f"{type(what).__name__} at {1e3 * stop.distance.real:g} mm along the beam: it stands behind "
                f"the detector, whose farthest corner is at {1e3 * farthest:g} mm, and shades nothing"
            )


def _body(what: SampleAbsorption, sources: Sources, place: DetectorGeometry) -> Body:
    mu = _mu(what.material, sources)
    at = numbers.array((0.0, 0.0, 0.0) if what.crystal_at_mm is None else what.crystal_at_mm) * 1e-3
    spread = what.crystal_at_mm is None
    normal, mean = _direction(what.normal, place), None
    if what.radius_mm is not None:
        size = what.radius_mm * 1e-3
        mean = ball_pieces(mu * size) if spread else None
    else:
        assert what.thickness_mm is not None  # seen to by the record
        size = what.thickness_mm * 1e-3
        if np.abs((sources.incident @ normal).real).min() < _GRAZING:
            raise InputError(f"the beam runs along the slab of normal {what.normal}: turn it")
        if abs(numbers.scalar(at @ normal).real) > 0.5 * size.real:
            raise InputError(
                f"crystal_at_mm {what.crystal_at_mm} is outside the slab, {what.thickness_mm:g} mm thick"
            )
    return Body(
        kind="slab" if what.radius_mm is None else "ball",
        spread=spread,
        centre=numbers.read_only(-at),
        normal=numbers.read_only(normal),
        size=size,
        mu=numbers.read_only(mu),
        mean=mean,
    )

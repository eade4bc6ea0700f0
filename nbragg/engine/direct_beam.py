"""The direct beam on the detector: Gaussian, weakened by what it goes through (beyond 19.5)."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.vectors import unit

if TYPE_CHECKING:
    from ..scene.obstacles import Obstacles
    from ..scene.record import PlacedPanel, Sources

__all__ = ["direct_beam"]

Array = NDArray[np.float64]

#: standard deviations of the profile beyond which nothing is left in double precision
_REACH = 8.5
#: points of Gauss-Legendre in a standard deviation
_POINTS = 12
_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))

_erf = np.frompyfunc(math.erf, 1, 1)


class _Spot(NamedTuple):
    """Light along one direction on one panel: u = u0 + F uF + S uS, v = v0 + S vS in deviations."""

    u: tuple[float, float, float]
    v: tuple[float, float]


def direct_beam(
    panels: tuple[PlacedPanel, ...],
    sources: Sources,
    obstacles: Obstacles | None,
    size: float,
    oversample: int = 1,
) -> Array:
    """Photons of the direct beam in every pixel, at a fluence of 1 photon/m^2.

    Parameters
    ----------
    panels : tuple of PlacedPanel
        Flat.
    sources : Sources
        Each is a parallel beam through the sample along its direction, with its share of the photons.
    obstacles : Obstacles or None
    size : float
        Full width at half maximum, m; all of the beam are size^2 times the fluence.
    oversample : int
        Sub-pixels along a pixel edge, in the middle of which what is in the way, and the sensor, count.

    Returns
    -------
    ndarray (pixels,)
        By image index; 0 in pixels that are not rendered.
    """
    images = [np.zeros(panel.fpixels * panel.spixels) for panel in panels]
    if obstacles is not None and obstacles.body is not None:
        # the beam goes straight through the body, and no mean is taken of it
        through = dataclasses.replace(obstacles.body, spread=False, mean=None)
        obstacles = dataclasses.replace(obstacles, body=through)
    directions, which = np.unique(sources.incident, axis=0, return_inverse=True)
    for number, incident in enumerate(directions):
        alike = np.flatnonzero(which.reshape(-1) == number)
        for i, panel in enumerate(panels):
            spot = _spot(panel, incident, size / _FWHM)
            if spot is None:
                continue
            rows, columns = _window(panel, spot, oversample)
            if len(rows) < 2 or len(columns) < 2:
                continue
            P = _centres(panel, rows, columns)
            if panel.source_mu is None:
                passed = _passed(obstacles, i, sources.weight, alike, incident, P)
                passed *= _captured(panel, panel.mu, incident)
            else:
                each = [_captured(panel, mu, incident) for mu in panel.source_mu.tolist()]
                passed = _passed(obstacles, i, sources.weight * each, alike, incident, P)
            sub = size * size * passed.reshape(len(rows) - 1, -1) * _shares(spot, rows, columns)
            _add(images[i].reshape(panel.spixels, -1), panel, rows, columns, sub, oversample)
    return np.concatenate([image * _used(panel) for image, panel in zip(images, panels, strict=True)])


def _spot(panel: PlacedPanel, incident: Array, sigma: float) -> _Spot | None:
    """None where the light does not meet the panel's plane from its front."""
    if not incident @ panel.odet > 1e-9:
        return None
    across = unit(np.cross(incident, panel.fdet))
    along = np.cross(across, incident)
    if not across.any():
        return None
    u, v = along / sigma, across / sigma
    return _Spot(
        (float(u @ panel.pix0), float(u @ panel.fdet), float(u @ panel.sdet)),
        (float(v @ panel.pix0), float(v @ panel.sdet)),
    )


def _window(panel: PlacedPanel, spot: _Spot, oversample: int) -> tuple[Array, Array]:
    """Edges (m, on the panel's plane) of the rows and columns of sub-pixels that the spot reaches."""
    low, high = sorted((side * _REACH - spot.v[0]) / spot.v[1] for side in (-1, 1))
    rows = _edges(panel, 1, low, high, oversample)
    ends = rows[[0, -1]] if len(rows) else np.zeros(2)
    reach = [(side * _REACH - spot.u[0] - S * spot.u[2]) / spot.u[1] for side in (-1, 1) for S in ends]
    return rows, _edges(panel, 0, min(reach), max(reach), oversample)


def _edges(panel: PlacedPanel, axis: int, low: float, high: float, oversample: int) -> Array:
    step, first = panel.pixel[axis] / oversample, panel.first[axis] * oversample
    count = (panel.fpixels, panel.spixels)[axis] * oversample
    begin = min(max(math.floor(low / step) - first, 0), count)
    end = min(max(math.ceil(high / step) - first, 0), count)
    return np.asarray(np.arange(begin, end + 1) * step + first * step if end > begin else [], np.float64)


def _centres(panel: PlacedPanel, rows: Array, columns: Array) -> Array:
    F, S = 0.5 * (columns[1:] + columns[:-1]), 0.5 * (rows[1:] + rows[:-1])
    on_panel = F[:, np.newaxis] * panel.fdet + S[:, np.newaxis, np.newaxis] * panel.sdet
    return np.ascontiguousarray((on_panel + panel.pix0).reshape(-1, 3))


def _passed(
    obstacles: Obstacles | None,
    panel: int,
    light: Array,
    alike: NDArray[np.intp],
    incident: Array,
    P: Array,
) -> Array:
    """Share of the light (of each source) that arrives at points P, of the sources of one direction."""
    share = light / len(light)
    if obstacles is None:
        return np.full(len(P), share[alike].sum())
    # each ray passes the sample where it is parallel to the beam
    at = np.ascontiguousarray(P - (P @ incident)[:, np.newaxis] * incident)
    total = np.zeros(len(P))
    for source in alike.tolist():
        total += share[source] * _engine.transmission(obstacles, panel, source, incident, at, P)
    return total


def _captured(panel: PlacedPanel, mu: float, incident: Array) -> float:
    if not (panel.thickness > 0 and mu > 0):
        return 1.0
    return -math.expm1(-panel.layers * panel.layer_step * mu / float(incident @ panel.odet))


def _shares(spot: _Spot, rows: Array, columns: Array) -> Array:
    """Integrals of the profile over the sub-pixels: exact along fast, Gauss-Legendre along slow."""
    node, weight = np.polynomial.legendre.leggauss(_POINTS)
    edges = np.clip(spot.v[0] + rows * spot.v[1], -_REACH, _REACH)
    result = np.zeros((len(rows) - 1, len(columns) - 1))
    for row, (begin, end) in enumerate(itertools.pairwise(edges)):
        if begin == end:
            continue
        pieces = np.linspace(begin, end, math.ceil(abs(end - begin)) + 1)
        half = 0.5 * np.diff(pieces)[:, np.newaxis]
        v = (0.5 * (pieces[1:] + pieces[:-1])[:, np.newaxis] + half * node).reshape(-1)
        density = np.abs(half * weight).reshape(-1) * np.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)
        S = (v - spot.v[0]) / spot.v[1]
        u = spot.u[0] + S[:, np.newaxis] * spot.u[2] + columns * spot.u[1]
        beyond = np.asarray(_erf(u / math.sqrt(2)), np.float64)
        result[row] = density @ (0.5 * np.diff(beyond, axis=1))
    return result


def _add(image: Array, panel: PlacedPanel, rows: Array, columns: Array, sub: Array, oversample: int) -> None:
    """Sums sub-pixels into the pixels they are part of."""
    slow, fast = (
        (
            np.rint(edges[:-1] / (panel.pixel[axis] / oversample)).astype(np.intp)
            - panel.first[axis] * oversample
        )
        // oversample
        for axis, edges in ((1, rows), (0, columns))
    )
    np.add.at(image, (slow[:, np.newaxis], fast), sub)


def _used(panel: PlacedPanel) -> Array:
    """1 in pixels that are rendered, else 0."""
    used = np.zeros((panel.spixels, panel.fpixels))
    fmin, fmax, smin, smax = panel.roi
    inside = (slice(smin, smax + 1), slice(fmin, fmax + 1))
    used[inside] = 1.0 if panel.mask is None else panel.mask[inside] != 0
    return used.reshape(-1)

"""From materials and curves as a person sets them to what a backend reads (beyond 12)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..base import numbers
from ..base.curves import Pieces, pieces
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..model.background import Background, RadialCurve
from ..model.beam import SOURCE_DISTANCE
from ..model.physics import Physics
from .backdrop import Curve, Scatterer
from .record import PlacedPanel
from .stages import Stages

__all__ = ["make_scatterers", "nearest_source"]

#: buckets of a curve's look-up: more make it no faster
_MOST_BUCKETS = 2**16


class _Buckets(NamedTuple):
    low: float
    per_bucket: float
    bucket: npt.NDArray[np.int32]
    steps: int


def make_scatterers(
    backgrounds: tuple[Background | RadialCurve, ...],
    beamsize_mm: float,
    panels: tuple[PlacedPanel, ...],
    source_distance: float,
    physics: Physics,
    run: Stages,
) -> tuple[Scatterer, ...]:
    """Materials where they are, in SI units.

    Parameters
    ----------
    backgrounds : tuple of Background and RadialCurve
    beamsize_mm : float
        By which edges are cut; negative: not.
    panels : tuple of PlacedPanel
    source_distance : float
        To the nearest source, m.
    physics : Physics
        How tables are interpolated where nothing else is said.
    run : Stages
        By which curves are made.

    Raises
    ------
    InputError
        For material beyond the source or a panel.
    """
    made = []
    for i, one in enumerate(backgrounds):
        if isinstance(one, RadialCurve):
            curve = _curve(one.curve, (-math.inf, math.inf))
            points, amounts = np.zeros((1, 3)), np.ones(1)
            made.append(_scatterer("curve", curve, points, amounts, polarized=one.polarized, fixed=True))
            continue
        begin, end = one.path
        name = one.table if isinstance(one.table, str) else one.source or f"backgrounds[{i}]"
        _check_path(name, (begin.real * 1e-3, end.real * 1e-3), panels, source_distance)
        middles = begin + (end - begin) * (np.arange(one.segments) + 0.5) / one.segments
        points = middles[:, np.newaxis] * 1e-3 * panels[0].beam
        amount = one.sign * one.molecules_in(beamsize_mm) / one.segments
        amounts = np.full(one.segments, amount)
        curve = run(_amplitudes, one.rows, one.interpolated(physics), one.ends(physics), part=i)
        made.append(_scatterer(name, curve, points, amounts))
    return tuple(made)


def _amplitudes(rows: FloatArray, interpolation: str, ends: str) -> Curve:
    """Of a table of F."""
    s = rows[:, 0].real
    held = ends == "hold" and len(s) > 1
    inside = (float(s[0] * 1e10), float(s[-1] * 1e10)) if held else (-math.inf, math.inf)
    return _curve(pieces(s, rows[:, 1], interpolation, ends), inside)


def _scatterer(
    name: str,
    curve: Curve,
    points: FloatArray,
    amounts: FloatArray,
    *,
    polarized: bool = True,
    fixed: bool = False,
) -> Scatterer:
    return Scatterer(
        name=name,
        curve=curve,
        squared=not fixed,
        polarized=polarized,
        fixed=fixed,
        points=numbers.read_only(points),
        amounts=numbers.read_only(amounts),
    )


def _check_path(
    name: str, path: tuple[float, float], panels: Iterable[PlacedPanel], source_distance: float
) -> None:
    """Material has to lie between the source and every panel's plane."""
    begin, end = path
    if begin <= -source_distance:
        raise InputError(
            f"{name} begins {-1e3 * begin:g} mm upstream, behind the source at {1e3 * source_distance:g} mm"
        )
    for number, panel in enumerate(panels):
        rise = float((panel.beam @ panel.odet).real)
        if panel.close_distance.real <= max(begin * rise, end * rise):
            reach = panel.close_distance.real / rise
            raise InputError(
                f"{name} reaches from {1e3 * begin:g} to {1e3 * end:g} mm along the beam, through the plane "
                f"of panel {number} at {1e3 * reach:g} mm: shorten path_mm or thickness_mm"
            )


def _curve(function: Pieces, inside: tuple[float, float]) -> Curve:
    """Of sin(theta)/lambda in 1/angstrom, in 1/m."""
    metric = function.scaled(1e10)
    knots = metric.knots.copy()
    knots[-1] = np.nan  # which no s reaches
    return Curve(numbers.read_only(knots), metric.cubics, inside, *_buckets(knots.real))


def _buckets(knots: FloatArray) -> _Buckets:
    """The fewest buckets of equal width of which none has more than one knot; or as many as are worth it."""
    rows = knots[1:-1]
    n = len(rows)
    if n == 1:
        return _Buckets(0.0, 0.0, _whole([0]), 1)
    best: _Buckets | None = None
    count = n
    while best is None or (best.steps > 1 and count <= _MOST_BUCKETS):
        found = _some_buckets(rows, count)
        if best is None or found.steps < best.steps:
            best = found
        count *= 2
    return best


def _some_buckets(rows: FloatArray, count: int) -> _Buckets:
    """Rows at even steps stand in the middles of as many buckets."""
    width = float(rows[-1] - rows[0]) / (count - 1)
    low = float(rows[0]) - 0.5 * width
    edges = low + width * np.arange(count + 1)
    # what is within rounding of an edge may be looked up in either bucket
    first = np.searchsorted(rows, edges[:-1] - 1e-6 * width, side="right")
    last = np.searchsorted(rows, edges[1:] + 1e-6 * width, side="right")
    first[0], last[-1] = 0, len(rows)  # with all that is below and above
    return _Buckets(low, 1.0 / width, _whole(first), max(1, int((last - first).max())))


def _whole(values: Any) -> npt.NDArray[np.int32]:
    array = np.asarray(values, np.int32)
    array.setflags(write=False)
    return array


def nearest_source(positions: FloatArray | None) -> float:
    """Distance of the nearest source, m; without positions that of the grid (canonical 4)."""
    if positions is None:
        return SOURCE_DISTANCE
    return float(numbers.norm(positions).real.min())

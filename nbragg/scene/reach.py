"""Which resolutions a detector sees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _engine

if TYPE_CHECKING:
    from ..base.unit_cell import UnitCell
    from ..base.vectors import FloatArray
    from ..io.reflections.reflection_list import ReflectionList
    from ..model.structure_factors import StructureFactors
    from .record import PlacedPanel, Scene, Sources

__all__ = [
    "View",
    "check_listed",
    "check_reach",
    "resolution_limit",
    "resolution_range",
    "structure_factor_reach",
]

#: points along each edge of the grid on which the scattering angle is examined; corners are always among them
_GRID = 129
#: a table of one reflection
_ONE = np.ones((1, 1, 1))


def structure_factor_reach(factors: StructureFactors, cell: UnitCell) -> float:
    """Length of q, 1/m, beyond which every structure factor is 0 (canonical 7.2); infinite where none is.

    A sample takes the value of its nearest index, at most half a reciprocal edge away along each axis, so the
    reach is that of the farthest reflection that is not 0 plus half the sum of the edges.  No rotation of the
    crystal changes it.
    """
    if factors.values is None or factors.default_F != 0:
        return math.inf
    reciprocal = np.linalg.inv(cell.vectors)  # columns a*, b*, c*
    g = reciprocal.T @ reciprocal
    metric = np.array([g[0, 0], g[1, 1], g[2, 2], g[0, 1], g[0, 2], g[1, 2]])
    q_sqr = factors.outermost_products @ metric
    # the engine decides among those that rounding may not tell apart
    near = factors.outermost[q_sqr >= q_sqr.max(initial=0.0) * (1 - 1e-9)].astype(int).tolist()
    farthest = max((_engine.table_reach(_ONE, index, metric) for index in near), default=0.0)
    return 1e10 * (farthest + 0.5 * float(np.sqrt(np.diag(g)).sum())) * (1 + 1e-9)


class View(NamedTuple):
    """What decides which resolutions are seen: a Scene has it too."""

    panels: tuple[PlacedPanel, ...]
    sources: Sources


def resolution_range(scene: Scene | View) -> tuple[float, float]:
    """Smallest and largest spacing (d_min, d_max), A, that the detector sees with any source.

    d = 1/|q| with q = (d - i)/lambda (canonical 6.4), on a grid of points of the flat detector that includes
    its corners; d_max is infinite when the beam meets the detector.
    """
    seen = [*_seen(scene)]
    low, high = min(q for q, _ in seen), max(q for _, q in seen)
    return 1 / high, (1 / low if low > 0 else float("inf"))


def resolution_limit(scene: Scene | View) -> float:
    """Smallest spacing, A, that the detector sees with any source: d_min of `resolution_range`."""
    largest = 0.0
    for panel in scene.panels:
        edges = [
            step * (np.array([0.0, pixels]) + first)
            for step, pixels, first in zip(
                panel.pixel, (panel.fpixels, panel.spixels), panel.first, strict=True
            )
        ]
        fast, slow = (part.reshape(-1, 1) for part in np.meshgrid(*edges))
        corners = panel.pix0 + slow * panel.sdet + fast * panel.fdet
        directions = corners / np.linalg.norm(corners, axis=1)[:, np.newaxis]
        incident, wavelength = scene.sources.incident, scene.sources.wavelength
        # the largest angle of a convex figure is that of a corner, if it is below 90 degrees
        if float((directions @ incident.T).min()) <= 0.0:
            return resolution_range(scene)[0]
        q = np.linalg.norm(directions[:, np.newaxis] - incident, axis=2) / (wavelength * 1e10)
        largest = max(largest, float(q.max()))
    return 1 / largest


def _seen(scene: Scene | View) -> Iterator[tuple[float, float]]:
    """Smallest and largest |q|, 1/A, that the detector sees of each source, panel by panel."""
    for panel in scene.panels:
        (fast, slow), (first_fast, first_slow) = panel.pixel, panel.first
        along = np.linspace(0.0, panel.fpixels, _GRID) + first_fast
        down = np.linspace(0.0, panel.spixels, _GRID) + first_slow
        points = (
            panel.pix0
            + (down * slow)[:, np.newaxis, np.newaxis] * panel.sdet
            + (along * fast)[np.newaxis, :, np.newaxis] * panel.fdet
        ).reshape(-1, 3)
        directions = points / np.linalg.norm(points, axis=1)[:, np.newaxis]
        for incident, wavelength in zip(scene.sources.incident, scene.sources.wavelength, strict=True):
            q = np.linalg.norm(directions - incident, axis=1) / (wavelength * 1e10)
            yield (0.0 if _meets(panel, incident) else float(q.min())), float(q.max())


def _meets(panel: PlacedPanel, incident: FloatArray) -> bool:
    """True when a ray along `incident` crosses the panel."""
    along = float(incident @ panel.odet)
    if along == 0:
        return False
    length = float(panel.pix0 @ panel.odet) / along
    if length <= 0:
        return False
    spot = length * incident - panel.pix0
    fast = float(spot @ panel.fdet) / panel.pixel[0] - panel.first[0]
    slow = float(spot @ panel.sdet) / panel.pixel[1] - panel.first[1]
    return 0 <= fast <= panel.fpixels and 0 <= slow <= panel.spixels


def check_reach(reflections: ReflectionList, scene: Scene | View) -> None:
    """Raise InputError when no reflection of a list (with a cell) can fall on the detector.

    The test is by spacing only: a still of a reflection within reach may still miss the Ewald sphere.
    """
    import gemmi

    if reflections.cell is None:
        return
    index = np.column_stack([reflections.h, reflections.k, reflections.l])
    cell = gemmi.UnitCell(*reflections.cell)
    reciprocal = np.array(cell.frac.mat.tolist()).T
    _require_one_in_reach(index[index.any(axis=1)], reciprocal, 0.5, scene, reflections.source)


def check_listed(scene: Scene, source: str) -> None:
    """Raise InputError when a scene's reflection list leaves its whole image at 0; of one crystal alone.

    Parameters
    ----------
    scene : Scene
    source : str
        What the list was read from, for the message.
    """
    table = scene.tables[0]
    bent = any(panel.curved != "flat" for panel in scene.panels)
    alone = all(placed.number == 0 and placed.individual == 0 for placed in scene.placement.crystals)
    if table.values is None or table.default_F != 0 or scene.water > 0 or bent or not alone:
        return
    index = np.argwhere(table.values) + np.array(table.origin)
    around = 0.5 if table.interpolation == "nearest" else 2.0
    reciprocal = np.linalg.inv(scene.placement.crystal.unit_cell.vectors)
    _require_one_in_reach(index, reciprocal, around, scene, source)


def _require_one_in_reach(
    index: npt.NDArray[np.signedinteger[Any]],
    reciprocal: npt.NDArray[np.floating[Any]],
    around: float,
    scene: Scene | View,
    source: str,
) -> None:
    """Raise InputError unless one of the reflections counts somewhere on the detector.

    A reflection counts up to half an index from its own along each axis, two with interpolation (canonical
    7.2, 7.3).  The smallest and largest |q| there are bounded by the triangle inequality, the smallest also
    by |q| >= |h|/a.

    Parameters
    ----------
    index : ndarray (n, 3)
    reciprocal : ndarray (3, 3)
        Columns a*, b*, c*, 1/A.
    around : float
        How far it counts.
    scene : Scene or View
    source : str
    """
    from ..base.errors import InputError

    if len(index) == 0:
        return
    inverse = np.linalg.norm(index @ reciprocal.T, axis=1)
    width = around * float(np.linalg.norm(reciprocal, axis=0).sum())
    edges = np.linalg.norm(np.linalg.inv(reciprocal), axis=1)
    nearest = np.maximum(inverse - width, ((np.abs(index) - around) / edges).max(axis=1))
    for low, high in _seen(scene):
        if np.any((nearest <= high) & (inverse + width >= low)):
            return
    d_min, d_max = resolution_range(scene)
    shortest, longest = 1 / float(inverse.max()), 1 / max(float(inverse.min()), 1e-9)
    raise InputError(
        f"{source}: all {len(index)} reflections ({longest:.4g} to {shortest:.4g} A) are beyond the "
        f"detector's reach ({min(d_max, 9999):.4g} to {d_min:.4g} A): move the detector, use another "
        "wavelength or a list of the right resolution"
    )

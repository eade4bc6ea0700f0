"""Which resolutions a detector sees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _engine

if TYPE_CHECKING:
    from .cell_geometry import CellGeometry
    from .io.reflection_list import ReflectionList
    from .scene import Scene
    from .structure_factors import StructureFactors

__all__ = ["check_listed", "check_reach", "resolution_range", "structure_factor_reach"]

#: points along each edge of the grid on which the scattering angle is examined; corners are always among them
_GRID = 129


def structure_factor_reach(factors: StructureFactors, cell: CellGeometry) -> float:
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
    farthest = _engine.table_reach(factors.values, factors.origin, metric)
    return 1e10 * (farthest + 0.5 * float(np.sqrt(np.diag(g)).sum())) * (1 + 1e-9)


def resolution_range(scene: Scene) -> tuple[float, float]:
    """Smallest and largest spacing (d_min, d_max), A, that the detector sees with any source of the scene.

    d = 1/|q| with q = (d - i)/lambda (canonical 6.4), on a grid of points of the flat detector that includes
    its corners; d_max is infinite when the beam meets the detector.
    """
    seen = [*_seen(scene)]
    low, high = min(q for q, _ in seen), max(q for _, q in seen)
    return 1 / high, (1 / low if low > 0 else float("inf"))


def _seen(scene: Scene) -> Iterator[tuple[float, float]]:
    """Smallest and largest |q|, 1/A, that the detector sees of each source."""
    fast = np.linspace(0.0, scene.fpixels * scene.pixel_size, _GRID)
    slow = np.linspace(0.0, scene.spixels * scene.pixel_size, _GRID)
    points = (
        scene.pix0
        + slow[:, np.newaxis, np.newaxis] * scene.sdet
        + fast[np.newaxis, :, np.newaxis] * scene.fdet
    ).reshape(-1, 3)
    directions = points / np.linalg.norm(points, axis=1)[:, np.newaxis]
    for incident, wavelength in zip(scene.source_incident, scene.source_wavelength, strict=True):
        q = np.linalg.norm(directions - incident, axis=1) / (wavelength * 1e10)
        yield (0.0 if _meets(scene, incident) else float(q.min())), float(q.max())


def _meets(scene: Scene, incident: np.ndarray) -> bool:
    """True when a ray along `incident` crosses the detector."""
    along = float(incident @ scene.odet)
    if along == 0:
        return False
    length = float(scene.pix0 @ scene.odet) / along
    if length <= 0:
        return False
    spot = length * incident - scene.pix0
    fast, slow = float(spot @ scene.fdet), float(spot @ scene.sdet)
    return 0 <= fast <= scene.fpixels * scene.pixel_size and 0 <= slow <= scene.spixels * scene.pixel_size


def check_reach(reflections: ReflectionList, scene: Scene) -> None:
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
    """Raise InputError when a scene's reflection list leaves its whole image at 0.

    Parameters
    ----------
    scene : Scene
    source : str
        What the list was read from, for the message.
    """
    if scene.F_table is None or scene.default_F != 0 or scene.water > 0 or scene.curved:
        return
    index = np.argwhere(scene.F_table) + np.array(scene.F_origin)
    around = 2.0 if scene.interpolation else 0.5
    _require_one_in_reach(index, np.linalg.inv(scene.unit_cell.vectors), around, scene, source)


def _require_one_in_reach(
    index: npt.NDArray[np.signedinteger[Any]],
    reciprocal: npt.NDArray[np.floating[Any]],
    around: float,
    scene: Scene,
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
    scene : Scene
    source : str
    """
    from .errors import InputError

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

"""Which resolutions a detector sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .io.reflection_list import ReflectionList
    from .scene import Scene

__all__ = ["check_reach", "resolution_range"]

#: points along each edge of the grid on which the scattering angle is examined; corners are always among them
_GRID = 129


def resolution_range(scene: Scene) -> tuple[float, float]:
    """Smallest and largest spacing (d_min, d_max), A, that the detector sees with any source of the scene.

    d = 1/|q| with q = (d - i)/lambda (canonical 6.4), on a grid of points of the flat detector that includes
    its corners; d_max is infinite when the beam meets the detector.
    """
    fast = np.linspace(0.0, scene.fpixels * scene.pixel_size, _GRID)
    slow = np.linspace(0.0, scene.spixels * scene.pixel_size, _GRID)
    points = (
        scene.pix0
        + slow[:, np.newaxis, np.newaxis] * scene.sdet
        + fast[np.newaxis, :, np.newaxis] * scene.fdet
    ).reshape(-1, 3)
    directions = points / np.linalg.norm(points, axis=1)[:, np.newaxis]
    low, high = np.inf, 0.0
    for incident, wavelength in zip(scene.source_incident, scene.source_wavelength, strict=True):
        q = np.linalg.norm(directions - incident, axis=1) / wavelength
        low, high = min(low, float(q.min())), max(high, float(q.max()))
        if _meets(scene, incident):
            low = 0.0
    return 1e10 / high, (1e10 / low if low > 0 else float("inf"))


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

    from .errors import InputError

    if reflections.cell is None or len(reflections) == 0:
        return
    d_min, d_max = resolution_range(scene)
    cell = gemmi.UnitCell(*reflections.cell)
    hkl = np.column_stack([reflections.h, reflections.k, reflections.l]).astype(np.int32)
    hkl = hkl[hkl.any(axis=1)]
    inverse = np.sqrt(np.asarray(cell.calculate_1_d2_array(hkl)))
    if len(inverse) == 0 or np.any((inverse <= 1 / d_min) & (inverse >= 1 / d_max)):
        return
    raise InputError(
        f"{reflections.source}: all {len(reflections)} reflections ({1 / inverse.min():.4g} to "
        f"{1 / inverse.max():.4g} A) "
        f"are beyond the detector's reach ({min(d_max, 9999):.4g} to {d_min:.4g} A): move the detector "
        "closer, use a shorter "
        "wavelength or a list with the right resolution"
    )

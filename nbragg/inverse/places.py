"""Where pixels stand, and curves over them that a background is made of (gradients 8.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["BACKGROUNDS", "background_basis", "background_names", "positions", "resolution"]

Array = NDArray[np.float64]

#: what of a background can be refined
BACKGROUNDS = ("none", "constant", "plane", "radial")

#: of the radial curve
_KNOTS = 12


def positions(scene: Scene, at: NDArray[np.int64], off: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Places on pixels by image index, m, (n, 3); of a bent detector as if it were flat.

    Parameters
    ----------
    scene : Scene
    at : ndarray of int (n,)
    off : (fast, slow)
        From their middles, in pixels.
    """
    found = np.empty((len(at), 3))
    for panel, first, last in zip(scene.panels, scene.offsets, scene.offsets[1:], strict=False):
        mine = (at >= first) & (at < last)
        slow, fast = np.divmod(at[mine] - first, panel.fpixels)
        f = panel.pixel[0] * (panel.first[0] + fast + 0.5 + off[0])
        s = panel.pixel[1] * (panel.first[1] + slow + 0.5 + off[1])
        found[mine] = panel.pix0 + np.multiply.outer(f, panel.fdet) + np.multiply.outer(s, panel.sdet)
    return found


def resolution(scene: Scene, at: NDArray[np.int64]) -> Array:
    """Spacing d that pixels see with the middle of the beam, angstrom; infinite in the beam."""
    twice_sine = 2 * np.sin(_angle(scene, at) / 2)
    with np.errstate(divide="ignore"):
        return np.asarray(float(scene.sources.wavelength.mean()) * 1e10 / twice_sine)


def background_names(kind: str) -> tuple[str, ...]:
    """Of the coefficients."""
    if kind == "radial":
        return tuple(f"background.radial[{k}]" for k in range(_KNOTS))
    plane = ("background.constant", "background.fast", "background.slow")
    return {"none": (), "constant": plane[:1], "plane": plane}[kind]


def background_basis(kind: str, scene: Scene, at: NDArray[np.int64]) -> Array:
    """Photons a pixel for a coefficient of 1: (K, n).

    "plane": 1, and places along fast and slow of the first panel that go from -1 to 1 over the detector;
    "radial": straight pieces between values at scattering angles evenly spaced over the detector.
    """
    if kind in ("none", "constant"):
        return np.ones((len(background_names(kind)), len(at)))
    corners = _corners(scene)
    if kind == "plane":
        axes = np.stack([scene.panels[0].fdet, scene.panels[0].sdet], axis=1)
        x, limits = positions(scene, at) @ axes, positions(scene, corners) @ axes
        low, high = limits.min(axis=0), limits.max(axis=0)
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-30)
        return np.concatenate([np.ones((1, len(at))), ((x - middle) / half).T])
    angle = _angle(scene, at)
    first, last = _angle(scene, np.arange(0, scene.offsets[-1], 7)).min(), _angle(scene, corners).max()
    place = np.clip((angle - first) / max(last - first, 1e-30), 0, 1) * (_KNOTS - 1)
    return np.asarray(np.maximum(1 - np.abs(place - np.arange(_KNOTS)[:, np.newaxis]), 0))


def _corners(scene: Scene) -> NDArray[np.int64]:
    found = []
    for panel, first in zip(scene.panels, scene.offsets, strict=False):
        width, height = panel.fpixels, panel.spixels
        found += [first, first + width - 1, first + width * (height - 1), first + width * height - 1]
    return np.array(found, np.int64)


def _angle(scene: Scene, at: NDArray[np.int64]) -> Array:
    place = positions(scene, at)
    incident = scene.sources.incident.mean(axis=0)
    cosine = place @ incident / np.linalg.norm(place, axis=1) / np.linalg.norm(incident)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))

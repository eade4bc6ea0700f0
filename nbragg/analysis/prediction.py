"""Where Bragg spots and powder rings of a Scene fall, from geometry alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base import memory
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..scene.reach import resolution_range

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["POWDER_SPREAD", "SPOT", "powder_lines", "predict_spots"]

#: record of `predict_spots`
SPOT = np.dtype(
    [
        ("h", "i4"),
        ("k", "i4"),
        ("l", "i4"),
        ("fast", "f8"),
        ("slow", "f8"),
        ("d_A", "f8"),
        ("excitation_per_A", "f8"),
        ("phi_step", "i4"),
    ]
)

#: beyond this mosaic spread (rad) a crystal gives rings rather than spots
POWDER_SPREAD = math.radians(10.0)


def predict_spots(scene: Scene, *, d_min_A: float | None = None) -> NDArray[np.void]:
    """Spots of the still or the rotation, where the centre of a reflection comes close to the Ewald sphere.

    A reflection g is listed for every rotation step at which its excitation error | |i/lambda + g| -
    1/lambda | is smallest and below its half-width: that of the crystal's size, of the mosaic spread, and of
    the beam's divergence and bandwidth together.  The spot is where i/lambda + g points to, i being the mean
    direction and lambda the mean wavelength of the sources.

    Parameters
    ----------
    scene : Scene
        With a flat detector.
    d_min_A : float, optional
        Resolution limit; None: that of the detector's farthest corner.

    Returns
    -------
    structured ndarray (n,) of SPOT
        Indices; place in pixels, the centre of the first pixel at 0, 0; spacing; excitation error; rotation
        step.  Reflections of amplitude 0 are left out.

    Raises
    ------
    InputError
        For a curved detector.
    MemoryLimitError
        When the reflections within `d_min_A` do not fit into memory.
    """
    if scene.panel.curved != "flat":
        raise InputError("spots are predicted for flat detectors only; this one is curved")
    incident, wavelength, divergence, bandwidth = _mean_source(scene)
    d_min = (d_min_A or resolution_range(scene)[0]) * 1e-10
    crystals = scene.crystal.orientations[:: max(scene.placement.crystal.mosaic_domains, 1)]
    reciprocal = np.linalg.inv(crystals).transpose(0, 2, 1)  # rows a*, b*, c*
    limits = [int(float(np.linalg.norm(v)) / d_min) for v in crystals[0]]
    rows = (2 * limits[1] + 1) * (2 * limits[2] + 1)
    memory.require(
        rows * (200 + 40 * len(crystals)),
        f"one layer of reflections to {d_min * 1e10:.3g} A at {len(crystals)} rotation steps",
        "give a larger resolution limit",
    )
    spots = []
    for h in range(-limits[0], limits[0] + 1):
        hkl = _layer(h, limits)
        g_sqr = _length_sqr(hkl, reciprocal[0])
        hkl = hkl[(g_sqr > 0.0) & (g_sqr <= 1.0 / d_min**2) & (_amplitude(scene, hkl) != 0.0)]
        if len(hkl):
            spots.append(_layer_spots(scene, hkl, reciprocal, incident, wavelength, divergence, bandwidth))
    return np.concatenate(spots) if spots else np.empty(0, SPOT)


def powder_lines(scene: Scene, count: int = 8) -> FloatArray:
    """Spacings (A) of the strongest lines that a powder of the scene's crystal shows on the detector.

    Lines are weighed by their multiplicity, F^2 and the Lorentz and polarization factors of a random powder,
    (1 + cos^2 2theta)/(sin^2 theta cos theta); reflections within 0.2 % in spacing are one line.

    Parameters
    ----------
    scene : Scene
    count : int
        Lines wanted.

    Returns
    -------
    ndarray (at most count,)
        Largest spacing first.
    """
    d_min, d_max = resolution_range(scene)
    axes = scene.crystal.orientations[0]
    reciprocal = np.linalg.inv(axes).T
    limits = [int(float(np.linalg.norm(v)) / (d_min * 1e-10)) for v in axes]
    memory.require(
        100 * math.prod(2 * n + 1 for n in limits),
        f"all reflections to {d_min:.3g} A",
        "move the detector back",
    )
    hkl = np.concatenate([_layer(h, limits) for h in range(-limits[0], limits[0] + 1)])
    inverse_d = np.sqrt(_length_sqr(hkl, reciprocal)) * 1e-10
    inside = (inverse_d > 1.0 / d_max) & (inverse_d <= 1.0 / d_min) & (inverse_d > 0)
    inverse_d, strength = inverse_d[inside], _amplitude(scene, hkl[inside]) ** 2
    sine = np.minimum(0.5 * inverse_d * scene.placement.wavelength * 1e10, 0.999)
    cos_2theta = 1.0 - 2.0 * sine**2
    strength = strength * (1.0 + cos_2theta**2) / (sine**2 * np.sqrt(1.0 - sine**2))
    order = np.argsort(inverse_d)
    inverse_d, strength = inverse_d[order], strength[order]
    if not strength.any():
        return np.empty(0)
    line = np.concatenate([[0], np.cumsum(np.diff(inverse_d) > 2e-3 * inverse_d[1:])])
    total = np.bincount(line, strength)
    place = np.bincount(line, strength * inverse_d) / np.maximum(total, np.finfo(float).tiny)
    best = np.sort(np.argsort(total)[::-1][:count])
    return np.asarray(1.0 / place[best[total[best] > 0]])


def _mean_source(scene: Scene) -> tuple[FloatArray, float, float, float]:
    """Mean direction and wavelength (m); largest angle (rad) and relative wavelength distance from them."""
    sources = scene.sources
    weight = sources.weight / sources.weight.sum()
    incident = weight @ sources.incident
    incident = incident / np.linalg.norm(incident)
    wavelength = float(weight @ sources.wavelength)
    chord = float(np.linalg.norm(sources.incident - incident, axis=1).max())
    spread = float(np.abs(sources.wavelength / wavelength - 1.0).max())
    return incident, wavelength, 2.0 * math.asin(min(chord / 2.0, 1.0)), spread


def _layer(h: int, limits: list[int]) -> NDArray[np.int64]:
    k, l = np.mgrid[-limits[1] : limits[1] + 1, -limits[2] : limits[2] + 1]  # noqa: E741 - the index's name
    return np.column_stack([np.full(k.size, h), k.ravel(), l.ravel()])


def _length_sqr(hkl: NDArray[np.int64], reciprocal: FloatArray) -> FloatArray:
    return np.asarray(((hkl @ reciprocal) ** 2).sum(axis=1))


def _amplitude(scene: Scene, hkl: NDArray[np.int64]) -> FloatArray:
    """Structure factor of each reflection (canonical 7.2)."""
    table = scene.table
    result = np.full(len(hkl), table.default_F)
    if table.values is not None:
        index = hkl - np.asarray(table.origin)
        inside = ((index >= 0) & (index < table.values.shape)).all(axis=1)
        result[inside] = table.values[tuple(index[inside].T)]
    return result


def _layer_spots(
    scene: Scene,
    hkl: NDArray[np.int64],
    reciprocal: FloatArray,
    incident: FloatArray,
    wavelength: float,
    divergence: float,
    bandwidth: float,
) -> NDArray[np.void]:
    """Spots of some reflections at all rotation steps."""
    g = np.einsum("ni,pij->pnj", hkl.astype(np.float64), reciprocal)
    scattered = g + incident / wavelength
    length = np.linalg.norm(scattered, axis=2)
    error = length - 1.0 / wavelength
    direction = scattered / length[:, :, np.newaxis]
    g_sqr = (g**2).sum(axis=2)
    # half-widths along the scattered beam: of the shape, of turning crystal or beam, of the bandwidth
    shape = 0.5 * np.sqrt(
        (np.einsum("pij,pnj->pni", reciprocal, direction) ** 2 / scene.crystal.N**2).sum(axis=2)
    )
    across = np.linalg.norm(np.cross(g, incident), axis=2)
    spread = scene.placement.crystal.mosaic_spread
    half = shape + (spread + divergence) * across + bandwidth * 0.5 * wavelength * g_sqr
    size = np.abs(error)
    best = size < half
    best[1:] &= size[1:] <= size[:-1]
    best[:-1] &= size[:-1] < size[1:]
    step, which = np.nonzero(best)
    fast, slow, forward = _on_detector(scene, direction[step, which])
    on = (
        forward
        & (fast >= -0.5)
        & (fast < scene.panel.fpixels - 0.5)
        & (slow >= -0.5)
        & (slow < scene.panel.spixels - 0.5)
    )
    step, which = step[on], which[on]
    spots = np.empty(len(step), SPOT)
    spots["h"], spots["k"], spots["l"] = hkl[which].T
    spots["fast"], spots["slow"] = fast[on], slow[on]
    spots["d_A"] = 1e10 / np.sqrt(g_sqr[step, which])
    spots["excitation_per_A"] = error[step, which] * 1e-10
    spots["phi_step"] = step
    return spots


def _on_detector(scene: Scene, direction: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Pixel coordinates of rays from the sample, and whether they meet the plane in front of it."""
    panel = scene.panel
    along = direction @ panel.odet
    height = float(panel.pix0 @ panel.odet)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = height / along
        offset = reach[:, np.newaxis] * direction - panel.pix0
        fast = offset @ panel.fdet / panel.pixel[0] - panel.first[0] - 0.5
        slow = offset @ panel.sdet / panel.pixel[1] - panel.first[1] - 0.5
    return fast, slow, np.isfinite(reach) & (reach > 0)

"""Photons of amorphous material, from its record and the equations of beyond 12; nothing of the package.

A Scene gives the places of pixels and the sources; what scatters is read from the records a person makes:
rows, dimensions, densities.  Polynomials are Lagrange's own form, the monotone curve is SciPy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import oracle
from oracle import dot, wide
from scipy.interpolate import PchipInterpolator

Array = npt.NDArray[Any]

AVOGADRO = 6.02214179e23


def render(scene: Any, backgrounds: Any, beamsize_mm: float, oversample: int, exact: bool = True) -> Array:
    """Photons of the materials alone, of the scene's image_shape; no light is lost on its way."""
    images = []
    for panel in scene.panels:
        fast, slow, rendered = oracle.pixels_of(panel)
        total = np.zeros(fast.shape, np.longdouble)
        for one in backgrounds:
            for at, amount, value in places(one, scene, beamsize_mm, exact):
                polarized = getattr(one, "polarized", True)
                light = arriving(scene, panel, fast, slow, oversample, at, value, polarized)
                total = total + amount * light
        whole = np.zeros((panel.spixels, panel.fpixels))
        whole[slow[rendered], fast[rendered]] = total[rendered]
        images.append(whole.ravel())
    return np.asarray(np.concatenate(images).reshape(scene.image_shape))


def places(one: Any, scene: Any, beamsize_mm: float, exact: bool) -> list[tuple[Array, Any, Any]]:
    """Where a material is, what it counts for there, and its intensity of s in 1/angstrom."""
    if hasattr(one, "photons_per_sr"):
        return [(np.zeros(3), 1.0, lambda s: monotone(one.s, one.photons_per_sr, s, "zero"))]
    begin, end = one.path_mm or (-one.thickness_mm / 2, one.thickness_mm / 2)
    middles = [begin + (end - begin) * (j + 0.5) / one.segments for j in range(one.segments)]
    number = molecules(one, beamsize_mm) / one.segments
    amount = one.sign * wide(7.94079248018965e-30) * wide(scene.fluence) * number
    x, F = one.rows.T
    interpolation = one.interpolation or ("pchip" if exact else "lagrange")
    outside = one.outside or ("hold" if exact else "line")

    def intensity(s: Array) -> Array:
        value = (monotone if interpolation == "pchip" else lagrange)(x, F, s, outside)
        return np.asarray(np.sign(value) * value**2)

    return [(z * 1e-3 * scene.panels[0].beam, amount, intensity) for z in middles]


def molecules(one: Any, beamsize_mm: float) -> float:
    """N of beyond 12.4: edges across are cut at the beam."""
    if one.molecules is not None:
        return float(one.molecules)
    known = {"water": (1.0, 18.0), "air": (1.2e-3, 28.97), "helium": (1.66e-4, 4.0026)}
    density, mass = known.get(one.table if isinstance(one.table, str) else "", (1.0, 18.0))
    density = density if one.density is None else one.density
    mass = mass if one.molar_mass is None else one.molar_mass
    x = one.thickness_mm if one.path_mm is None else one.path_mm[1] - one.path_mm[0]
    limit = np.inf if beamsize_mm < 0 else beamsize_mm
    volume_cm3 = x * min(one.width_mm, limit) * min(one.height_mm, limit) * 1e-3
    return float(volume_cm3 * density * AVOGADRO / mass)


def arriving(
    scene: Any, panel: Any, fast: Array, slow: Array, os: int, at: Array, value: Any, polarized: bool
) -> Array:
    """Mean over sources and sub-pixels of the sum over layers of w value P Omega A."""
    total = np.zeros(fast.shape, np.longdouble)
    for layer in range(panel.layers):
        for i_slow in range(os):
            for i_fast in range(os):
                point = oracle.position(panel, os, fast, slow, layer, i_fast, i_slow)
                D = point - wide(at)
                R = np.sqrt(dot(D, D))
                d = D / R[..., np.newaxis]
                if panel.point_pixel:
                    omega = 1 / R**2
                else:
                    height = wide(panel.close_distance) - dot(wide(at), wide(panel.odet))
                    if panel.curved != "flat":
                        height = wide(panel.close_distance) * dot(point, D) / dot(point, point)
                    omega = wide(panel.pixel[0]) * wide(panel.pixel[1]) * height / R**3
                for i in range(len(scene.sources.wavelength)):
                    incident = wide(scene.sources.incident[i])
                    q = (d - incident) / wide(scene.sources.wavelength[i])
                    s = (np.sqrt(dot(q, q)) / 2e10).astype(float)
                    light = omega * oracle.capture_fraction(panel, d, layer, i)
                    term = wide(scene.sources.weight[i]) * value(s) * light
                    total = total + (term * oracle.polarization(scene, incident, d) if polarized else term)
    return np.asarray(total / (len(scene.sources.wavelength) * os**2))


def lagrange(x: Array, y: Array, s: Array, outside: str) -> Array:
    """The polynomial through those of the rows i - 1 to i + 2 that exist (beyond 12.3)."""
    at = np.atleast_1d(np.asarray(s, float))
    if outside == "hold":
        at = np.clip(at, x[0], x[-1])
    last = np.searchsorted(x, at, side="right") - 1
    total = np.zeros(at.shape)
    for j in range(-1, 3):
        row = last + j
        there = (row >= 0) & (row < len(x))
        weight = np.ones(at.shape)
        own = np.clip(row, 0, len(x) - 1)
        for k in range(-1, 3):
            other = last + k
            use = there & (other >= 0) & (other < len(x)) & (other != row)
            against = np.clip(other, 0, len(x) - 1)
            step = np.where(use, x[own] - x[against], 1.0)
            weight = weight * np.where(use, (at - x[against]) / step, 1.0)
        total = total + np.where(there, weight * y[own], 0.0)
    return total.reshape(np.shape(s))


def monotone(x: Array, y: Array, s: Array, outside: str) -> Array:
    """SciPy's PCHIP between the rows."""
    at = np.asarray(s, float)
    inside = np.clip(at, x[0], x[-1])
    value = np.full(at.shape, y[0]) if len(x) == 1 else PchipInterpolator(x, y)(inside)
    if outside == "zero":
        value = np.where((at < x[0]) | (at > x[-1]), 0.0, value)
    if outside == "line" and len(x) > 1:
        slopes = np.diff(y) / np.diff(x)
        value = np.where(at < x[0], y[0] + slopes[0] * (at - x[0]), value)
        value = np.where(at > x[-1], y[-1] + slopes[-1] * (at - x[-1]), value)
    return np.asarray(value)

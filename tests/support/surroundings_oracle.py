"""What stands in the way of the light, slowly: one ray after the other, from records (beyond 19.3 to 19.5).

Light comes from far away along the source's direction to the point where it is scattered, and goes straight
to the detector: two legs.  Every thing is asked which of them meets it, by where their ends are; lengths
inside bodies are those of pieces of the legs between intersections; means over bodies are sums over points
in them.  Millimetres. Nothing but `nbragg.attenuation`, which has tests of its own, is taken from the
package.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

import nbragg

Array = npt.NDArray[np.float64]

HC_EV_A = 12398.42
FAR_MM = 1e6


@functools.cache
def nodes(count: int) -> tuple[Array, Array]:
    """Gauss-Legendre on -1 to 1."""
    return np.polynomial.legendre.leggauss(count)


def per_mm(material: Any, wavelength_A: float) -> float:
    return float(nbragg.attenuation(material, HC_EV_A / wavelength_A)) * 1e-3


def transmission(
    around: nbragg.Surroundings,
    front: Any,
    *,
    beam: Array,
    polar: Array,
    normal: Array,
    incident: Array,
    wavelength_A: float,
    at: Array,
    P: Array,
) -> float:
    """Of light along ``incident`` scattered at ``at`` that arrives at P on a sensor of this ``normal``."""
    legs = [(at - FAR_MM * incident, at), (at, P)]
    d = (P - at) / math.dist(P, at)
    T = 1.0
    for material, um in front:
        T *= math.exp(-per_mm(material, wavelength_A) * um * 1e-3 / abs(d @ normal))
    if around.gas is not None:
        way = math.dist(P, at) + max(0.0, float(incident @ at)) - around.vacuum_mm
        T *= math.exp(-per_mm(around.gas, wavelength_A) * max(way, 0.0))
    for window in around.windows:
        T *= math.exp(-per_mm(window.material, wavelength_A) * path_in_window(window, legs, beam, normal))
    u = polar - (polar @ beam) * beam
    u /= np.linalg.norm(u)
    v = np.cross(beam, u)
    for stop in (*around.beamstops, *around.apertures, *around.shadows):
        for leg in legs:
            x = crossing(leg, beam, stop.distance_mm)
            if x is not None and opaque(stop, float(x @ u), float(x @ v)):
                T *= stop.transmission
    if around.sample_absorption is not None:
        T *= in_sample(around.sample_absorption, wavelength_A, beam, incident, at, d)
    return T


def crossing(leg: tuple[Array, Array], normal: Array, distance: float) -> Array | None:
    """Where a leg meets a plane."""
    start, end = leg
    before, behind = float(start @ normal) - distance, float(end @ normal) - distance
    if before * behind >= 0:
        return None
    return np.asarray(start + before / (before - behind) * (end - start))


def path_in_window(window: nbragg.Window, legs: Any, beam: Array, normal: Array) -> float:
    thick = window.thickness_um * 1e-3
    if window.normal == "radial":
        return float(thick)
    facing = {"beam": beam, "detector": normal}.get(str(window.normal))
    if facing is None:
        facing = np.array(window.normal) / np.linalg.norm(np.array(window.normal))
    crossed = [legs[1]]
    if window.distance_mm is not None:
        crossed = [leg for leg in legs if crossing(leg, facing, window.distance_mm) is not None]
    return float(sum(thick * math.dist(*leg) / abs((leg[1] - leg[0]) @ facing) for leg in crossed))


def opaque(stop: Any, u: float, v: float) -> bool:
    if isinstance(stop, nbragg.Shadow):
        return inside_polygon(stop.polygon_mm, u, v)
    u, v = u - stop.centre_mm[0], v - stop.centre_mm[1]
    near = math.hypot(u, v) <= stop.diameter_mm / 2
    if isinstance(stop, nbragg.Aperture):
        return not near
    angle = math.atan2(v, u) - math.radians(stop.arm_angle_deg)
    along, across = math.hypot(u, v) * math.cos(angle), math.hypot(u, v) * math.sin(angle)
    return bool(near or (along >= 0 and abs(across) <= stop.arm_width_mm / 2 and stop.arm_width_mm > 0))


def inside_polygon(corners: Array, u: float, v: float) -> bool:
    """Edges that a long line from the point in some direction crosses: an odd number from inside."""
    way = 1e4 * np.array([math.cos(0.7), math.sin(0.7)])
    crossed = 0
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # (u, v) + s way = a + t (b - a)
        s, t = np.linalg.solve(np.stack([way, a - b], axis=1), a - np.array([u, v]))
        crossed += 0 <= s <= 1 and 0 <= t < 1
    return crossed % 2 == 1


# ---- bodies ------------------------------------------------------------------------------------------------


def in_sample(what: Any, wavelength_A: float, beam: Array, incident: Array, at: Array, d: Array) -> float:
    mu = per_mm(what.material, wavelength_A)
    centre = -np.array(what.crystal_at_mm or (0.0, 0.0, 0.0))
    normal = beam if what.normal == "beam" else np.array(what.normal) / np.linalg.norm(np.array(what.normal))
    length = (
        (lambda x, way: in_ball(x - centre, way, what.radius_mm))
        if what.radius_mm is not None
        else (lambda x, way: in_slab(float((x - centre) @ normal), float(way @ normal), what.thickness_mm))
    )
    inside = (
        math.dist(at, centre) <= what.radius_mm
        if what.radius_mm is not None
        else abs(float((at - centre) @ normal)) <= what.thickness_mm / 2
    )
    if what.crystal_at_mm is not None or not inside:
        return math.exp(-mu * (length(at, -incident) + length(at, d)))
    if what.radius_mm is not None:
        points, weights = ball_points(what.radius_mm)
        path = sum(
            -points @ way + np.sqrt((points @ way) ** 2 + what.radius_mm**2 - (points**2).sum(1))
            for way in (-incident, d)
        )
    else:
        x, weights = nodes(200)
        height = 0.5 * what.thickness_mm * x
        path = sum(in_slab(height, float(way @ normal), what.thickness_mm) for way in (-incident, d))
    return float(np.exp(-mu * path) @ weights / weights.sum())


def in_ball(x: Array, way: Array, radius: float) -> float:
    """Length of the half line from x (from the centre) inside: between the roots of |x + s way| = radius."""
    roots = np.roots([1.0, 2.0 * float(x @ way), float(x @ x) - radius**2])
    if np.iscomplex(roots).any():
        return 0.0
    low, high = np.sort(np.clip(roots.real, 0.0, None))
    return float(high - low)


def in_slab(height: Any, rise: float, thickness: float) -> Any:
    """The same of a slab, for one height above its middle or many."""
    ends = np.sort([(-0.5 * thickness - height) / rise, (0.5 * thickness - height) / rise], axis=0)
    low, high = np.clip(ends, 0.0, None)
    return high - low


def ball_points(radius: float, count: int = 32) -> tuple[Array, Array]:
    x, weight = nodes(count)
    # towards the surface finer: r = R (1 - s^2)
    s, s_weight = 0.5 * (x + 1), 0.5 * weight
    r, r_weight = radius * (1 - s * s), 2 * radius * s * s_weight
    phi = 2 * np.pi * (np.arange(2 * count) + 0.5) / (2 * count)
    R, C, F = np.meshgrid(r, x, phi, indexing="ij")
    sine = np.sqrt(1 - C * C)
    points = np.stack([R * sine * np.cos(F), R * sine * np.sin(F), R * C], axis=-1).reshape(-1, 3)
    weights = np.broadcast_to((r_weight * r * r)[:, None, None] * weight[None, :, None], R.shape)
    return points, np.ascontiguousarray(weights).reshape(-1)

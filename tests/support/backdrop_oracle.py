"""What lies behind the spots of a Scene, and what is lost on the way, from the equations (beyond 12, 19).

80-bit arithmetic, whole images, one source and one place after the other; a Scene may hold complex numbers
as in ``oracle.py``, with which it shares the geometry of pixels.  Nothing is taken from the package.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import oracle
from oracle import REAL, dot, wide

Array = npt.NDArray[Any]


class Images(NamedTuple):
    """Of the scene's image_shape; photons at a fluence of 1, photons, and a share."""

    background: Array
    fixed: Array
    transmission: Array


def render(scene: Any) -> Array:
    """The whole image in photons: spots weakened, and what is behind them."""
    behind = images(scene)
    return np.asarray(
        behind.transmission * oracle.render(scene) + wide(scene.fluence) * behind.background + behind.fixed
    )


def images(scene: Any) -> Images:
    parts = [_of_panel(scene, number) for number in range(len(scene.panels))]
    return Images(
        *(np.concatenate([part[i].ravel() for part in parts]).reshape(scene.image_shape) for i in range(3))
    )


def _of_panel(scene: Any, number: int) -> Images:
    panel, backdrop, os = scene.panels[number], scene.backdrop, scene.backdrop.oversample
    fast, slow, rendered = oracle.pixels_of(panel)
    sums = [np.zeros(fast.shape, oracle.COMPLEX) for _ in range(3)]
    ns = len(scene.sources)
    for layer in range(panel.layers):
        for i_slow in range(os):
            for i_fast in range(os):
                P = oracle.position(panel, os, fast, slow, layer, i_fast, i_slow)
                for i in range(ns):
                    incident, weight = wide(scene.sources.incident[i]), wide(scene.sources.weight[i])
                    if layer == 0:
                        sums[2] = sums[2] + weight * transmission(
                            backdrop, number, i, incident, np.zeros(3), P
                        )
                    for one in backdrop.scatterers:
                        for at, amount in zip(wide(one.points), wide(one.amounts), strict=True):
                            D = P - at
                            d = oracle.unit(D)
                            light = (
                                weight * _omega(panel, P, at) * oracle.capture_fraction(panel, d, layer, i)
                            )
                            if one.polarized:
                                light = light * oracle.polarization(scene, incident, d)
                            light = light * transmission(backdrop, number, i, incident, at, P)
                            q = (d - incident) / wide(scene.sources.wavelength[i])
                            F = value(one.curve, np.sqrt(dot(q, q)) / 2)
                            F = np.where(np.real(F) < 0, -1, 1) * F * F if one.squared else F
                            sums[1 if one.fixed else 0] = sums[1 if one.fixed else 0] + amount * F * light
    share = REAL(1) / (ns * os * os)
    sums = [sums[0] * oracle.R_E_SQR * share, sums[1] * share, sums[2] * share]
    whole = [np.zeros((panel.spixels, panel.fpixels), oracle.COMPLEX) for _ in range(3)]
    for image, found in zip(whole, sums, strict=True):
        image[slow[rendered], fast[rendered]] = found[rendered]
    return Images(*whole)


def _omega(panel: Any, P: Array, at: Array) -> Array:
    """Of the pixel at P, seen from `at`: its area, foreshortened, over the squared distance."""
    D = P - at
    if panel.point_pixel:
        return np.asarray(1 / dot(D, D))
    area = wide(panel.pixel[0]) * wide(panel.pixel[1])
    if panel.curved == "flat":
        height = wide(panel.close_distance) - dot(at, wide(panel.odet))
    else:  # the pixel faces the sample, as far as close_distance says
        height = wide(panel.close_distance) * dot(P, D) / dot(P, P)
    return np.asarray(area * height / dot(D, D) ** REAL(1.5))


def value(curve: Any, s: Array) -> Array:
    """A piecewise cubic."""
    piece = np.searchsorted(np.real(curve.knots)[1:-1].astype(float), np.real(s).astype(float), side="right")
    t, c = s - wide(curve.knots)[piece], wide(curve.cubics)[piece]
    return np.asarray(c[..., 0] + c[..., 1] * t + c[..., 2] * t**2 + c[..., 3] * t**3)


# ---- in the way --------------------------------------------------------------------------------------------


def transmission(backdrop: Any, panel: int, source: int, incident: Array, at: Array, P: Array) -> Array:
    """Of light that comes along ``incident``, is scattered at ``at`` and goes straight to P (..., 3)."""
    o = backdrop.obstacles
    if o is None:
        return np.ones(P.shape[:-1], oracle.COMPLEX)
    d = oracle.unit(P - at)
    way = np.sqrt(dot(P - at, P - at))
    depth = np.zeros(P.shape[:-1], oracle.COMPLEX)
    for one in o.absorbers:
        mu, normal = wide(one.depth[panel][source]), wide(one.normal[panel])
        if one.kind == "gas":
            before = dot(incident, at)
            length = way + (before if np.real(before) > 0 else 0) - wide(one.distance)
            depth = depth + mu * np.where(np.real(length) > 0, length, 0)
        elif one.kind == "shell":
            depth = depth + mu
        else:
            slant = dot(d, normal)
            leaving = mu / (np.where(np.real(slant) < 0, -1, 1) * slant)
            if one.kind == "sheet":
                depth = depth + leaving
                continue
            behind, ahead = _sides(normal, one.distance, at, P)
            depth = depth + np.where(behind != ahead, leaving, 0)
            if _came_past(normal, one.distance, incident, at):
                slant = dot(incident, normal)
                depth = depth + mu * np.sign(np.real(slant)) / slant
    T = np.exp(-depth)
    for stop in o.stops:
        T = T * _stopped(stop, incident, at, P)
    return np.asarray(T if o.body is None else T * _in_body(o.body, source, incident, at, d))


def _sides(normal: Array, distance: Any, at: Array, P: Array) -> tuple[Array, Array]:
    return np.real(dot(at, normal) - distance) > 0, np.real(dot(P, normal) - distance) > 0


def _came_past(normal: Array, distance: Any, incident: Array, at: Array) -> bool:
    return bool(np.real((dot(normal, at) - distance) / dot(normal, incident)) > 0)


def _stopped(stop: Any, incident: Array, at: Array, P: Array) -> Array:
    """Where its edges are is a choice: of real parts."""
    normal, u, v = np.real(stop.normal), np.real(stop.u), np.real(stop.v)
    distance = float(np.real(stop.distance))
    at_, P_ = np.real(at).astype(float), np.real(P).astype(float)
    share = wide(stop.transmission)
    behind, ahead = _sides(normal, distance, at_, P_)
    along = (distance - at_ @ normal) / ((P_ - at_) @ normal)
    met = at_ + along[..., None] * (P_ - at_)
    T = np.where((behind != ahead) & _opaque(stop, met @ u, met @ v), share, 1)
    i_ = np.real(incident).astype(float)
    if _came_past(normal, distance, i_, at_):
        met = at_ - (at_ @ normal - distance) / (i_ @ normal) * i_
        T = T * (share if _opaque(stop, met @ u, met @ v) else 1)
    return np.asarray(T)


def _opaque(stop: Any, u: Any, v: Any) -> Any:
    if stop.kind == "polygon":
        inside = np.zeros(np.shape(u), bool)
        corners = np.real(stop.corners)
        for (u1, v1), (u2, v2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if v1 != v2:
                inside ^= ((v1 > v) != (v2 > v)) & (u < u1 + (v - v1) * (u2 - u1) / (v2 - v1))
        return inside
    u, v = u - np.real(stop.centre[0]), v - np.real(stop.centre[1])
    near = u * u + v * v <= np.real(stop.radius) ** 2
    if stop.kind == "hole":
        return ~near
    arm, half = np.real(stop.arm), np.real(stop.half_width)
    on_arm = (u * arm[0] + v * arm[1] >= 0) & (np.abs(v * arm[0] - u * arm[1]) <= half) & (half > 0)
    return near | on_arm


def _in_body(body: Any, source: int, incident: Array, at: Array, d: Array) -> Array:
    mu, size, normal = wide(body.mu[source]), wide(body.size), wide(body.normal)
    x = at - wide(body.centre)
    if body.kind == "ball":
        inside = np.real(dot(x, x)) <= np.real(size) ** 2
    else:
        inside = np.abs(np.real(dot(x, normal))) <= np.real(size) / 2
    if not (body.spread and inside):
        return np.asarray(np.exp(-mu * (_length(body, x, -incident) + _length(body, x, d))))
    if body.kind == "ball":
        turn = np.arccos(dot(d, incident)) / oracle.PI * 90
        piece = np.minimum(np.floor(np.real(turn)).astype(int), 89)
        t, c = turn - piece, wide(body.mean[source])[piece]
        return np.asarray(np.exp(c[..., 0] + c[..., 1] * t + c[..., 2] * t**2 + c[..., 3] * t**3))
    # light from the depth y comes in over y/|i.n| and leaves over the rest, or over y again
    entry, exit_ = dot(incident, normal), dot(d, normal)
    way_in = mu * size * np.sign(np.real(entry)) / entry
    way_out = mu * size * np.sign(np.real(exit_)) / exit_
    through = np.sign(np.real(entry)) == np.sign(np.real(exit_))
    a = np.where(through, way_in - way_out, way_in + way_out)
    mean = -np.expm1(-a) / a
    return np.asarray(np.where(through, np.exp(-way_out), 1) * mean)


def _length(body: Any, x: Array, way: Array) -> Array:
    """Of the half line from x along `way` inside."""
    if body.kind == "slab":
        rise, height, half = dot(way, wide(body.normal)), dot(x, wide(body.normal)), wide(body.size) / 2
        ends = [(-half - height) / rise, (half - height) / rise]
        swap = np.real(ends[0]) > np.real(ends[1])
        low, high = np.where(swap, ends[1], ends[0]), np.where(swap, ends[0], ends[1])
    else:
        middle = -dot(x, way)
        square = middle**2 - dot(x, x) + wide(body.size) ** 2
        half = np.sqrt(np.where(np.real(square) > 0, square, 0))
        low, high = middle - half, middle + half
    return np.asarray(np.where(np.real(high) > 0, high, 0) - np.where(np.real(low) > 0, low, 0))

"""Diffuse scattering from its equations (beyond 20): Cartesian tensors that turn with the crystal.

Takes the geometry of pixels from ``oracle.py``, and of a Scene only where its crystals stand: nothing of what
the package makes of their motions.  Set-up and Scene may hold complex numbers, as in ``oracle.py``.
"""

from __future__ import annotations

from itertools import product
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt
import oracle
from oracle import dot, wide

Array = npt.NDArray[Any]

BOLTZMANN, AVOGADRO = 1.380649e-23, 6.02214179e23


def render(setup: Any, scene: Any) -> Array:
    """The whole image in photons of a Scene without backdrop."""
    return np.asarray(oracle.render(scene) + wide(scene.fluence) * image(setup, scene))


def image(setup: Any, scene: Any) -> Array:
    """Photons at a fluence of 1 photon/m^2, of the scene's image_shape."""
    parts = [_of_panel(setup, scene, panel).ravel() for panel in scene.panels]
    return np.asarray(np.concatenate(parts).reshape(scene.image_shape))


def _of_panel(setup: Any, scene: Any, panel: Any) -> Array:
    fast, slow, rendered = oracle.pixels_of(panel)
    os, sources = setup.sampling.diffuse_oversample, scene.sources
    total: Array = np.zeros(fast.shape, oracle.COMPLEX)
    for layer, i_slow, i_fast in product(range(panel.layers), range(os), range(os)):
        P = oracle.position(panel, os, fast, slow, layer, i_fast, i_slow)
        d = oracle.unit(P)
        for i in range(len(sources.wavelength)):
            incident = wide(sources.incident[i])
            q = (d - incident) / wide(sources.wavelength[i])
            length = np.sqrt(np.real(dot(q, q)))
            kept = (scene.dmin == 0) | (length * scene.dmin <= 1)
            light = oracle.solid_angle(panel, P) * oracle.capture_fraction(panel, d, layer, i)
            light = light * oracle.polarization(scene, incident, d) * wide(sources.weight[i])
            found = sum(
                of_crystal(setup, scene, k, i, q)
                for k, crystal in enumerate(setup.sample.crystals)
                if crystal.diffuse is not None
            )
            total = total + np.where(kept, light * found, 0)
    out = np.zeros((panel.spixels, panel.fpixels), oracle.COMPLEX)
    out[slow[rendered], fast[rendered]] = (
        total[rendered] * oracle.R_E_SQR / (len(sources.wavelength) * os * os)
    )
    return out


def of_crystal(setup: Any, scene: Any, number: int, source: int, q: Array) -> Array:
    """Mean over phi steps, as often as the crystal counts, electrons^2; q in 1/m."""
    crystal, block, at = setup.sample.crystals[number], scene.crystals[number], scene.placement
    table = scene.tables[block.table + int(scene.sources.table[source])]
    cell = at.crystals[number].unit_cell.vectors
    middle = 0.5 if scene.physics == "exact" and np.real(at.osc) > 0 else 0.0
    total: Any = 0
    for step in range(at.phisteps):
        angle = at.phi0 + (step + middle) * at.phistep
        abc = np.asarray(oracle.rotate(cell, at.panels[0].spindle, angle)).astype(complex)
        total = total + intensity(crystal.diffuse, abc, block.N, table, wide(q) * 1e-10)
    weight = setup.sample.weights[number] if setup.sample.weights else 1.0
    return np.asarray(wide(weight) * total / at.phisteps)


def intensity(motion: Any, abc: Array, cells: Any, table: Any, q: Array) -> Array:
    """Of one orientation, electrons^2; abc rows in angstrom, q (..., 3) in 1/angstrom, laboratory."""
    count = cells[0] * cells[1] * cells[2]
    volume = np.linalg.det(abc)
    volume = volume if np.real(volume) > 0 else -volume
    hkl = np.stack([dot(q, axis) for axis in abc], axis=-1)
    near = oracle.nearest(hkl)
    reciprocal = np.linalg.inv(abc).T  # rows a*, b*, c*
    if type(motion).__name__ == "ThermalDiffuse":
        H = near @ reciprocal
        dq = q - H
        square = dot(dq, dq)
        lengthwise = dot(q, dq) ** 2 / np.where(square == 0, 1, square)
        mass = motion.mass_kDa / AVOGADRO  # 1 kg/mol
        waves = lengthwise / motion.v_L**2 + (dot(q, q) - lengthwise) / motion.v_T**2
        edge = (count * volume) ** (1 / 3)
        ratio = BOLTZMANN * motion.temperature_K / mass * waves / (square + 1 / edge**2)
        return np.asarray(count * _listed(table, near) ** 2 * ratio)
    total: Any = 0
    models = list(tensors(motion, abc))
    for G, U in models:
        V = 4 * np.pi**2 * dot(q, q @ U)
        damping = 1 if motion.llm_in_F else np.exp(-V)
        n_s = motion.stencil
        for away in product(range(-n_s, n_s + 1), repeat=3):
            H = near + np.array(away)
            s = q - H @ reciprocal
            for n in range(1, motion.order + 1):
                g = s @ (G / n)
                gamma = 8 * np.pi * np.linalg.det(G / n) / (1 + 4 * np.pi**2 * dot(g, g)) ** 2
                total = total + damping * V**n / factorial(n) * _listed(table, H) ** 2 * gamma
        if motion.tail:
            others = shell_mean(table, reciprocal, dot(q, q))
            for n in range(1, motion.order + 1):
                share = 1 - held(G / n, reciprocal, n_s)
                total = total + damping * V**n / factorial(n) * others * share * volume
    return np.asarray(count / volume * total / len(models))


def held(G: Array, reciprocal: Array, n_s: int) -> Any:
    """Integral of a Gamma over the cells of a stencil, by points of a Gauss quadrature along each axis."""
    x, w = np.polynomial.legendre.leggauss(80)
    x, w = x * (n_s + 0.5), w * (n_s + 0.5)
    a, b, c = 2 * np.pi * reciprocal @ G
    y, z = x[:, None], x
    across = y**2 * (b @ b) + 2 * y * z * (b @ c) + z**2 * (c @ c)
    total: Any = 0
    for at, weight in zip(x[x > 0], 2 * w[x > 0], strict=True):  # it is the same at -h
        square = at**2 * (a @ a) + 2 * at * (y * (a @ b) + z * (a @ c)) + across
        total = total + weight * (w @ (1 / (1 + square) ** 2) @ w)
    total = 8 * np.pi * np.linalg.det(G) * total
    volume = np.linalg.det(reciprocal)
    return total * (volume if np.real(volume) > 0 else -volume)


def shell_mean(table: Any, reciprocal: Array, square: Array) -> Array:
    """Mean F^2, without F(000), of a list's reflections in equal steps of 1/d^2, straight between middles."""
    if table.values is None:
        return np.full(square.shape, wide(table.default_F) ** 2)
    hkl = np.argwhere(np.ones(table.values.shape)) + table.origin
    at = dot(hkl @ reciprocal, hkl @ reciprocal)
    count = min(max(len(hkl) // 200, 1), 64)
    step = at[np.argmax(np.real(at))] / count
    shell = np.minimum((np.real(at) / np.real(step) + 1e-9).astype(int), count - 1)
    kept = hkl.any(axis=1)
    mean = np.array([(table.values.ravel()[(shell == i) & kept] ** 2).mean() for i in range(count)])
    x = square / step
    low = np.clip(np.floor(np.real(x) - 0.5), 0, max(count - 2, 0)).astype(int)
    high = np.minimum(low + 1, count - 1)
    t = x - 0.5 - low
    t = np.where(np.real(t) < 0, 0, np.where(np.real(t) > 1, 1, t))
    return np.asarray(np.where(np.real(x) < count, mean[low] + t * (mean[high] - mean[low]), 0))


def _listed(table: Any, H: Array) -> Array:
    """F of reflections; outside a list 0."""
    if table.values is None:
        return oracle.nearest_F(table, H)
    index = H.astype(np.int64) - np.asarray(table.origin, np.int64)
    inside = np.all((index >= 0) & (index < np.array(table.values.shape)), axis=-1)
    return np.where(inside, oracle.nearest_F(table, H), 0)


def tensors(motion: Any, abc: Array) -> list[tuple[Array, Array]]:
    """G and U in the laboratory, for each rotation of the Laue group."""
    e1 = abc[0] / np.sqrt(dot(abc[0], abc[0]))
    c_star = np.cross(abc[0], abc[1])
    c_star = c_star if np.real(np.sum(c_star * abc[2])) > 0 else -c_star
    e3 = c_star / np.sqrt(dot(c_star, c_star))
    axes = np.stack([e1, np.cross(e3, e1), e3], axis=1).astype(complex)
    if not isinstance(motion.axes, str):
        axes = axes @ motion.axes
    G, U = (axes @ _of(x, p) @ axes.T for x, p in ((motion.gamma_A, 1), (motion.sigma_A, 2)))
    if not motion.laue or motion.space_group is None:
        return [(G, U)]
    import gemmi

    found = []
    for op in gemmi.SpaceGroup(motion.space_group).operations().sym_ops:
        S = np.array(op.rot) / op.DEN
        R = abc.T @ S @ np.linalg.inv(abc.T)
        found.append((R @ G @ R.T, R @ U @ R.T))
    return found


def _of(value: Any, power: int) -> Array:
    value = np.asarray(value)
    return value if value.ndim == 2 else np.diag(value**power * np.ones(3))

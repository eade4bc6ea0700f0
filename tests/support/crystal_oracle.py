"""Crystals beyond the reference's, from the equations of beyond 16 and 17: what `oracle.render` is given.

Shares no code with the package.  Parameters may be complex, value + i step tangent (see oracle.py): nothing
is conjugated, and whatever compares looks at real parts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

Array = npt.NDArray[Any]


def points(n: int, dimensions: int) -> Array:
    """Gaussian points of the additive recurrence, whitened (beyond 16.2)."""
    g = brentq(lambda x: x ** (dimensions + 1) - x - 1, 1.0, 2.0, xtol=1e-16, rtol=1e-15)
    u = np.array([[(0.5 + j / g**k) % 1 for k in range(1, dimensions + 1)] for j in range(1, n + 1)])
    z = ndtri(u)
    z = z - z.mean(axis=0)
    if n > dimensions:
        values, vectors = np.linalg.eigh(z.T @ z / n)
        z = z @ vectors @ np.diag(values**-0.5) @ vectors.T
    return np.asarray(z)


def unit(v: Array) -> Array:
    return np.asarray(v / np.sqrt((v * v).sum()))


def cross_matrix(w: Any) -> Array:
    x, y, z = w
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def exponential(w: Array) -> Array:
    """The rotation of a rotation vector: the series of exp[w]x."""
    generator, term, total = cross_matrix(w), np.eye(3), np.eye(3)
    for n in range(1, 30):
        term = term @ generator / n
        total = total + term
    return np.asarray(total)


def matrix_root(m: Array) -> Array:
    """Symmetric root of a positive definite matrix by Denman and Beavers' iteration, analytic in m."""
    y, z = m, np.eye(3)
    for _ in range(40):
        y, z = (y + np.linalg.inv(z)) / 2, (z + np.linalg.inv(y)) / 2
    return np.asarray(y)


def symmetric(six: Any) -> Array:
    return np.array([[six[0], six[3], six[4]], [six[3], six[1], six[5]], [six[4], six[5], six[2]]])


def cell_rows(cell: Any) -> Array:
    """a, b, c of the true cell in the standard setting: a* along x, b* in the xy plane."""
    a, b, c = cell[:3]
    al, be, ga = (x * np.pi / 180 for x in cell[3:])
    gram = np.array(
        [
            [a * a, a * b * np.cos(ga), a * c * np.cos(be)],
            [a * b * np.cos(ga), b * b, b * c * np.cos(al)],
            [a * c * np.cos(be), b * c * np.cos(al), c * c],
        ]
    )
    dual = np.linalg.inv(gram)
    # rows of the reciprocal axes: lower triangular root of their Gram matrix, no conjugates
    x1 = np.sqrt(dual[0, 0])
    y1 = dual[1, 0] / x1
    y2 = np.sqrt(dual[1, 1] - y1 * y1)
    z1 = dual[2, 0] / x1
    z2 = (dual[2, 1] - y1 * z1) / y2
    z3 = np.sqrt(dual[2, 2] - z1 * z1 - z2 * z2)
    zero = 0 * x1
    return np.asarray(np.linalg.inv(np.array([[x1, zero, zero], [y1, y2, zero], [z1, z2, z3]])).T)


@dataclass
class Parameters:
    """Numbers of one crystal; ``physics="exact"``."""

    cell: Any
    turn: Any  #: rotation vector of the standing crystal, radians
    N: Any = (5.0, 6.0, 7.0)
    Ndef: Any = (0.0, 0.0, 0.0)
    shape: str = "gauss"
    fudge: Any = 1.0
    spread_deg: Any = ()  #: (), or 1, 3 or 6 numbers
    axes: Any = "crystal"
    domains: int = 1
    weights: Any = None
    strain: Any = ()  #: (), or 1, 3 or 6 numbers
    twin: Any = ()  #: pairs of a matrix and a fraction
    phis: Any = (0.0,)  #: radians
    spindle: Any = (0.0, 0.0, 1.0)
    weight: Any = 1.0
    no_N_scale: bool = False
    normalise: bool = False


@dataclass
class Block:
    """What `oracle.render` reads of a crystal."""

    orientations: Array
    orientation_weights: Any
    N: Any
    shape: str
    fudge: Any
    shape_metric: Array
    weight: Any
    table: int = 0


def frame(rows: Array, axes: Any) -> tuple[Array, bool]:
    """Axes as columns, and whether they turn with the crystal."""
    if not isinstance(axes, str):
        return np.asarray(axes), False
    if axes == "laboratory":
        return np.eye(3), False
    stars = np.linalg.inv(rows).T
    first, third = (rows[0], stars[2]) if axes == "crystal" else (stars[0], rows[2])
    e1, e3 = unit(first), unit(third)
    return np.stack([e1, np.cross(e3, e1), e3], axis=1), True


def domain_rotations(p: Parameters, rows: Array) -> tuple[Array, bool]:
    spread = np.asarray(p.spread_deg)
    if spread.size == 0:
        return np.stack([np.eye(3)] * p.domains), False
    z = points(p.domains, 3 + len(p.strain))[:, :3]
    if spread.size == 1:
        return np.stack([exponential(spread[0] * np.pi / 180 * x) for x in z]), False
    axes, turning = frame(rows, p.axes)
    scale = np.pi / 180
    root = np.diag(spread * scale) if spread.size == 3 else matrix_root(symmetric(spread) * scale**2)
    return np.stack([exponential(axes @ root @ x) for x in z]), turning


def strained(p: Parameters, rows: Array, own: Array) -> list[Array]:
    """Rows a, b, c of each domain before it is rotated; ``own``: rows of the individual."""
    count = len(p.strain)
    if not count:
        return [own] * p.domains
    z = points(p.domains, 3 + count)[:, 3:] * np.asarray(p.strain)
    made = []
    for x in z:
        if count == 1:
            change = x[0] * np.eye(3)
        elif count == 3:  # a, b, c become (1 + x) times themselves
            change = np.linalg.inv(rows) @ np.diag(x) @ rows
        else:
            axes, _ = frame(rows, "crystal")
            change = axes @ symmetric(x) @ axes.T
        made.append(own @ (np.eye(3) + change))
    return made


def blocks(p: Parameters, table: int = 0) -> list[Block]:
    """A block for each individual of the twin; metres."""
    rows = cell_rows(p.cell) @ exponential(np.asarray(p.turn)).T
    rotations, turning = domain_rotations(p, rows)
    rest = 1 - sum(share for _, share in p.twin)
    made = []
    for law, share in ((np.eye(3), rest), *p.twin):
        own = np.asarray(law) @ rows
        cells = strained(p, rows, own)
        orientations = []
        for phi in p.phis:
            turn = exponential(np.asarray(p.spindle) * phi)
            for u, cell in zip(rotations, cells, strict=True):
                whole = turn @ u if turning else u @ turn
                orientations.append(cell @ whole.T * 1e-10)
        n, d = np.asarray(p.N), np.asarray(p.Ndef)
        tensor = np.array([[n[0], d[0], d[2]], [d[0], n[1], d[1]], [d[2], d[1], n[2]]])
        count = np.linalg.det(tensor)
        metric = tensor @ tensor
        if p.shape == "gauss_star":
            stars = np.linalg.inv(own).T
            metric = stars @ stars.T * (count * np.linalg.det(rows)) ** (2 / 3)
        scale = p.weight * share
        if p.no_N_scale:
            scale = scale / count**2
        if p.normalise:
            width = 0.63 / (2 * p.fudge)
            scale = scale / ((np.pi * width) ** 1.5 * count / np.sqrt(np.linalg.det(metric)))
        # of mean 1 whatever they are: `oracle.render` holds their sum
        given = None if p.weights is None else np.asarray(p.weights)
        weights = None if given is None else np.tile(given / given.mean(), len(p.phis))
        shape = "gauss" if p.shape == "gauss_star" else p.shape
        # N enters through the product alone but for a block
        cells3 = n if p.shape == "square" else np.array([count ** (1 / 3)] * 3)
        made.append(Block(np.array(orientations), weights, cells3, shape, p.fudge, metric, scale, table))
    return made


def scene_with(scene: Any, parts: list[Block]) -> Any:
    """A Scene with these blocks in the place of its own; its tables stay."""
    return dataclasses.replace(scene, crystals=tuple(parts))

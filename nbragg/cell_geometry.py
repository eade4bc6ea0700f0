"""From cell or matrix to the cell vectors (canonical 5.1 to 5.4)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from .crystal import Crystal
from .geometry import FloatArray, dual_products, rot_xyz
from .rotations import misset_angles, random_misset

__all__ = [
    "CellGeometry",
    "cell_geometry",
    "cell_volume",
    "misset",
    "shape_metric",
    "standard_reciprocal_axes",
]

Cell = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, eq=False)
class CellGeometry:
    """The unit cell, placed in the laboratory at spindle angle 0.

    Attributes
    ----------
    vectors : ndarray (3, 3)
        Rows a, b, c, angstrom.
    reciprocal_vectors : ndarray (3, 3)
        Rows a*, b*, c*, 1/angstrom.
    volume : float
        Cubic angstrom.
    a, b, c, alpha, beta, gamma : float
        Direct cell, angstrom and degrees.
    a_star, b_star, c_star, alpha_star, beta_star, gamma_star : float
        Reciprocal cell, 1/angstrom and degrees.
    """

    vectors: FloatArray
    reciprocal_vectors: FloatArray
    volume: float
    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    a_star: float
    b_star: float
    c_star: float
    alpha_star: float
    beta_star: float
    gamma_star: float

    @property
    def direct(self) -> Cell:
        """(a, b, c, alpha, beta, gamma), angstrom and degrees."""
        return self.a, self.b, self.c, self.alpha, self.beta, self.gamma

    @property
    def reciprocal(self) -> Cell:
        """(a*, b*, c*, alpha*, beta*, gamma*), 1/angstrom and degrees."""
        return self.a_star, self.b_star, self.c_star, self.alpha_star, self.beta_star, self.gamma_star


@functools.lru_cache(maxsize=16)
def cell_volume(cell: Cell) -> float:
    """V = 2abc sqrt(|sin S sin(S-al) sin(S-be) sin(S-ga)|), S half the sum of the angles (canonical 5.1)."""
    a, b, c = cell[:3]
    al, be, ga = (math.radians(x) for x in cell[3:])
    s = (al + be + ga) / 2
    return (
        2.0 * a * b * c * math.sqrt(abs(math.sin(s) * math.sin(s - al) * math.sin(s - be) * math.sin(s - ga)))
    )


@functools.lru_cache(maxsize=16)
def standard_reciprocal_axes(cell: Cell, *, exact: bool) -> FloatArray:
    """Reciprocal axes in the standard setting: a* along x, b* in the xy plane (canonical 5.1).

    Parameters
    ----------
    cell : 6 floats
        Angstrom and degrees.
    exact : bool
        The true last component of c* (canonical 11), not the one that distorts triclinic cells.

    Returns
    -------
    ndarray (3, 3)
        Rows a*, b*, c*, 1/angstrom.
    """
    a, b, c = cell[:3]
    al, be, ga = (math.radians(x) for x in cell[3:])
    volume = cell_volume(cell)
    a_star = b * c * math.sin(al) / volume
    b_star = c * a * math.sin(be) / volume
    c_star = a * b * math.sin(ga) / volume
    cos_al, cos_be, cos_ga = (
        max(-1.0, min(1.0, (math.cos(y) * math.cos(z) - math.cos(x)) / (math.sin(y) * math.sin(z))))
        for x, y, z in ((al, be, ga), (be, ga, al), (ga, al, be))
    )
    sin_ga = max(-1.0, min(1.0, c / (volume * a_star * b_star)))
    # height of c* over the a* b* plane: c* times the volume spanned by three unit axes, over sin(ga*)
    corner = 1.0 / (volume * a_star * b_star * c_star) if exact else volume / (a * b * c)
    axes = np.array(
        [
            [a_star, 0.0, 0.0],
            [b_star * cos_ga, b_star * sin_ga, 0.0],
            [c_star * cos_be, c_star * (cos_al - cos_be * cos_ga) / sin_ga, c_star * corner / sin_ga],
        ]
    )
    axes.setflags(write=False)  # kept for the next orientation of the same cell
    return axes


def misset(crystal: Crystal, *, exact: bool) -> tuple[float, float, float]:
    """The missetting angles, drawn if asked for (canonical 5.3); radians.

    Those of the orientation matrix where the crystal has one.
    """
    if crystal.orientation is not None:
        return misset_angles(crystal.orientation)
    if crystal.misset_deg is None:
        return 0.0, 0.0, 0.0
    if isinstance(crystal.misset_deg, str):
        assert crystal.misset_seed is not None  # filled in by the record
        return random_misset(crystal.misset_seed, exact=exact)
    x, y, z = crystal.misset_deg
    return math.radians(x), math.radians(y), math.radians(z)


def cell_geometry(crystal: Crystal, misset_rad: tuple[float, float, float], *, exact: bool) -> CellGeometry:
    """Direct and reciprocal vectors of the misset crystal (canonical 5.2 to 5.4).

    An orientation matrix of the crystal takes the place of ``misset_rad``.

    With both a matrix and a cell the cell's lengths are imposed on the matrix's directions; its volume too,
    except with ``exact``, where the volume is that of the resulting vectors.
    """
    if crystal.a_matrix is not None:
        reciprocal = crystal.a_matrix.T
    else:
        assert crystal.cell is not None
        reciprocal = standard_reciprocal_axes(crystal.cell, exact=exact)
    if crystal.orientation is not None:
        reciprocal = reciprocal @ crystal.orientation.T
    else:
        reciprocal = rot_xyz(reciprocal, *misset_rad)
    crosses = dual_products(reciprocal)
    if crystal.cell is not None:
        lengths = np.array(crystal.cell[:3])
        direct = crosses * (lengths / np.linalg.norm(crosses, axis=1))[:, np.newaxis]
        volume = cell_volume(crystal.cell)
        if exact:
            volume = float(np.linalg.det(direct))
    else:
        volume = 1.0 / float(reciprocal[0] @ crosses[0])
        direct = crosses * volume
    reciprocal = dual_products(direct) / volume
    for array in (direct, reciprocal):
        array.setflags(write=False)
    return CellGeometry(
        direct,
        reciprocal,
        volume,
        *_lengths_angles(direct, reciprocal, volume),
        *_lengths_angles(reciprocal, direct, 1.0 / volume),
    )


def _lengths_angles(vectors: FloatArray, dual: FloatArray, volume: float) -> Cell:
    """Lengths and the angles between (second, third), (third, first), (first, second), in degrees.

    The sine is taken from the volume, sin(al) = a* V/(b c) as in canonical 5.1, so that the angles reported
    for a distorted cell are those of the reference.
    """
    lengths = [math.sqrt(v.dot(v)) for v in vectors]
    dual_lengths = [math.sqrt(v.dot(v)) for v in dual]
    angles = []
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        sine = dual_lengths[i] * abs(volume) / (lengths[j] * lengths[k])
        cosine = float(vectors[j] @ vectors[k]) / (lengths[j] * lengths[k])
        angles.append(math.degrees(math.atan2(min(sine, 1.0), max(-1.0, min(1.0, cosine)))))
    return lengths[0], lengths[1], lengths[2], angles[0], angles[1], angles[2]


def shape_metric(shape: str, cells: FloatArray, cell: CellGeometry, *, exact: bool) -> FloatArray:
    """The metric M of the spot radius: radius^2 = dh.M.dh, dh = (h-h0, k-k0, l-l0) (canonical 7.1).

    Parameters
    ----------
    shape : str
        ``gauss`` and ``tophat`` measure in reciprocal space unless ``exact`` (canonical 11); the others by N.
    cells : ndarray (3,)
        Unit cells along a, b, c.
    cell : CellGeometry
    exact : bool

    Returns
    -------
    ndarray (3, 3)
    """
    if exact or shape not in ("gauss", "tophat"):
        return np.diag(cells**2)
    gram = cell.reciprocal_vectors @ cell.reciprocal_vectors.T
    return np.asarray(float(np.prod(cells)) ** 2 * gram)

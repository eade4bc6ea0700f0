"""The unit cell: its axes, lengths and angles (canonical 5.1, 5.4)."""

from __future__ import annotations

import functools
import math

import numpy as np

from . import numbers
from .cached import cached_property
from .records import FrozenArrays, frozen
from .vectors import FloatArray, dual_products

__all__ = ["Cell", "UnitCell", "cell_volume", "standard_reciprocal_axes"]

#: a, b, c, alpha, beta, gamma; angstrom and degrees
Cell = tuple[float, float, float, float, float, float]


@frozen
class UnitCell(FrozenArrays):
    """A unit cell placed in the laboratory.

    Attributes
    ----------
    vectors : ndarray (3, 3)
        Rows a, b, c, angstrom.
    reciprocal_vectors : ndarray (3, 3)
        Rows a*, b*, c*, 1/angstrom.
    volume : float
        Cubic angstrom.
    """

    vectors: FloatArray
    reciprocal_vectors: FloatArray
    volume: float

    @cached_property
    def edges(self) -> tuple[float, float, float]:
        """a, b, c, angstrom."""
        a, b, c = (numbers.sqrt(v.dot(v)) for v in self.vectors)
        return a, b, c

    @property
    def right_handed(self) -> bool:
        """Whether a, b, c form a right-handed set."""
        vectors = self.vectors.real
        return float(dual_products(vectors)[0] @ vectors[0]) > 0

    @cached_property
    def direct(self) -> Cell:
        """(a, b, c, alpha, beta, gamma), angstrom and degrees."""
        return _lengths_angles(self.vectors, self.reciprocal_vectors, self.volume)

    @cached_property
    def reciprocal(self) -> Cell:
        """(a*, b*, c*, alpha*, beta*, gamma*), 1/angstrom and degrees."""
        return _lengths_angles(self.reciprocal_vectors, self.vectors, 1.0 / self.volume)


@functools.lru_cache(maxsize=16)
def cell_volume(cell: Cell) -> float:
    """V = 2abc sqrt(|sin S sin(S-al) sin(S-be) sin(S-ga)|), S half the sum of the angles (canonical 5.1)."""
    a, b, c = cell[:3]
    al, be, ga = (numbers.radians(x) for x in cell[3:])
    sin, s = numbers.sin, (al + be + ga) / 2
    product = sin(s) * sin(s - al) * sin(s - be) * sin(s - ga)
    return 2.0 * a * b * c * numbers.sqrt(numbers.absolute(product))


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
    al, be, ga = (numbers.radians(x) for x in cell[3:])
    sin, cos, clamp = numbers.sin, numbers.cos, numbers.clamp
    volume = cell_volume(cell)
    a_star = b * c * sin(al) / volume
    b_star = c * a * sin(be) / volume
    c_star = a * b * sin(ga) / volume
    cos_al, cos_be, cos_ga = (
        clamp((cos(y) * cos(z) - cos(x)) / (sin(y) * sin(z)), -1.0, 1.0)
        for x, y, z in ((al, be, ga), (be, ga, al), (ga, al, be))
    )
    sin_ga = clamp(c / (volume * a_star * b_star), -1.0, 1.0)
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

"""Vectors and right-handed rotations (canonical 1).

Every function takes one vector or a stack of them, last axis x, y, z, and angles in radians.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from .numbers import FloatArray, array, norm

__all__ = [
    "FloatArray",
    "Rows",
    "axis_rotation",
    "cross",
    "dual_products",
    "dual_rows",
    "is_rotation",
    "orthogonal_pair",
    "rot_axis",
    "rot_xyz",
    "unit",
]

#: a matrix as lists: small ones are worked on faster so
Rows = list[list[float]]


def unit(v: npt.ArrayLike) -> FloatArray:
    """Scale vectors to length one.

    Parameters
    ----------
    v : array_like (..., 3)
        Vectors of any length; a zero vector stays zero.

    Returns
    -------
    ndarray (..., 3)
    """
    vectors = array(v)
    largest = np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0)
    if ((largest > 1e150) | ((largest < 1e-150) & (largest > 0))).any():  # squares would leave doubles
        vectors = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
    length = norm(vectors, keepdims=True)
    result: FloatArray = np.divide(vectors, length, out=np.zeros_like(vectors), where=length.real > 0)
    return result


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """`numpy.cross`, to the last bit, in a third of its time for few vectors.

    Parameters
    ----------
    a, b : ndarray (..., 3)
        Of float64 or complex numbers; leading axes broadcast.

    Returns
    -------
    ndarray (..., 3)
    """
    kind = np.promote_types(a.dtype, b.dtype)
    result = np.empty(a.shape if a.shape == b.shape else np.broadcast_shapes(a.shape, b.shape), kind)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        part = result[..., i]
        np.multiply(a[..., j], b[..., k], out=part)
        part -= a[..., k] * b[..., j]
    return result


def _parts(v: FloatArray) -> Iterable[FloatArray]:
    """x, y and z: scalars of one vector."""
    return v if v.ndim == 1 else (v[..., 0], v[..., 1], v[..., 2])


def orthogonal_pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Unit vectors at a right angle, each turned by half of what is missing (Loewdin's symmetric method).

    Of all orthonormal pairs that is the one nearest to the directions of the two given.
    """
    a, b = unit(first), unit(second)
    total, difference = unit(a + b), unit(a - b)
    return (total + difference) / math.sqrt(2.0), (total - difference) / math.sqrt(2.0)


def dual_products(rows: FloatArray) -> FloatArray:
    """Cross products of three vectors: second x third, third x first, first x second.

    The same numbers as `numpy.cross`, a tenth of its time.

    Parameters
    ----------
    rows : ndarray (3, 3)

    Returns
    -------
    ndarray (3, 3)
        One product in each row.
    """
    return np.array(dual_rows(rows.tolist()))


def dual_rows(rows: Rows) -> Rows:
    """`dual_products` of rows that are lists."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = rows
    return [
        [by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx],
        [cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax],
        [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx],
    ]


def is_rotation(rows: Rows, tolerance: float = 1e-6) -> bool:
    """Whether three rows are orthonormal, each product within the tolerance, and right-handed."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = rows
    products = (
        ax * ax + ay * ay + az * az - 1.0,
        bx * bx + by * by + bz * bz - 1.0,
        cx * cx + cy * cy + cz * cz - 1.0,
        ax * bx + ay * by + az * bz,
        bx * cx + by * cy + bz * cz,
        cx * ax + cy * ay + cz * az,
    )
    hand = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return hand > 0 and max(products) <= tolerance and min(products) >= -tolerance


def rot_xyz(v: npt.ArrayLike, x: float, y: float, z: float) -> FloatArray:
    """Rotate vectors about x, then about y, then about z (canonical 1).

    Parameters
    ----------
    v : array_like (..., 3)
    x, y, z : float
        Angles, radians.

    Returns
    -------
    ndarray (..., 3)
    """
    vx, vy, vz = _parts(array(v))
    cos, sin = np.cos(x), np.sin(x)
    vy, vz = vy * cos - vz * sin, vy * sin + vz * cos
    cos, sin = np.cos(y), np.sin(y)
    vx, vz = vx * cos + vz * sin, vz * cos - vx * sin
    cos, sin = np.cos(z), np.sin(z)
    vx, vy = vx * cos - vy * sin, vx * sin + vy * cos
    parts = [vx, vy, vz]
    return np.array(parts) if np.ndim(vx) == 0 else np.stack(parts, axis=-1)


def rot_axis(v: npt.ArrayLike, n: npt.ArrayLike, t: npt.ArrayLike) -> FloatArray:
    """Rotate vectors about the unit vector ``n`` by ``t``: Rodrigues' formula (canonical 1).

    Parameters
    ----------
    v : array_like (..., 3)
    n : array_like (3,)
        Axis, unit length.
    t : array_like (...)
        Angle or one angle per vector, radians; broadcasts against the leading axes of ``v``.

    Returns
    -------
    ndarray (..., 3)
    """
    vectors = array(v)
    axis = array(n)
    angle = array(t)[..., np.newaxis]
    along = (vectors @ axis)[..., np.newaxis]
    cos = np.cos(angle)
    return axis * along * (1.0 - cos) + vectors * cos + cross(axis, vectors) * np.sin(angle)


def axis_rotation(n: npt.ArrayLike, t: npt.ArrayLike) -> FloatArray:
    """Matrices that rotate a column vector about the unit axes ``n`` by ``t`` radians (Rodrigues).

    Parameters
    ----------
    n : array_like (..., 3)
        Axes, unit length.
    t : array_like (...)
        Angles, radians.

    Returns
    -------
    ndarray (..., 3, 3)
    """
    axis = array(n)
    angle = array(t)
    axis, angle = np.broadcast_arrays(axis, angle[..., np.newaxis])
    x, y, z = _parts(axis)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    cos = np.cos(angle[..., 0])[..., np.newaxis, np.newaxis]
    sin = np.sin(angle[..., 0])[..., np.newaxis, np.newaxis]
    outer = axis[..., :, np.newaxis] * axis[..., np.newaxis, :]
    result: FloatArray = cos * np.eye(3) + (1.0 - cos) * outer + sin * cross
    return result

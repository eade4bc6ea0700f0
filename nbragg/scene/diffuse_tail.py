"""What reflections beyond a stencil scatter diffusely, on average (beyond 20.1).

Over a cell of reciprocal space the Gamma of all reflections integrate to 1, those of a stencil to the
integral B of one Gamma over as many cells.  The rest, V_cell (1 - B) for F = 1, is spread evenly, with the
mean F^2 of reflections as far from the origin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base.numbers import read_only, scalar
from ..base.records import FrozenArrays, frozen
from ..base.vectors import FloatArray
from .record import FactorTable

__all__ = ["Tail", "missing_share", "shell_means", "tail_of"]

#: of a quadrature over half the faces of the stencil
_NODES = 128
_MOST_SHELLS, _FEWEST_IN_SHELL = 64, 200


@frozen
class Tail(FrozenArrays):
    """What is added for the reflections outside a stencil.

    Attributes
    ----------
    outside : ndarray (models, order)
        In the sum of csrc/nb_motion.h, for a mean F^2 of 1.
    shells : ndarray (tables, shells)
        Mean F^2 in steps of 1/d^2, of each of the crystal's tables; (tables, 0): of tables without a list.
    per_shell : float
        Shells in an interval of 1/d^2 of 1/m^2.
    metric : ndarray (3, 3)
        1/d^2 of the indices h as h.metric h, 1/m^2.
    """

    outside: FloatArray
    shells: FloatArray
    per_shell: float
    metric: FloatArray


def missing_share(form: FloatArray, stencil: int) -> float:
    """1 less the integral of a Gamma over a stencil.

    By the sum over its faces of the solid angle, times what of the Gamma lies farther out in that direction:
    2/pi (atan(1/u) + u/(1 + u^2)) at u = 2 pi |G s|.

    Parameters
    ----------
    form : ndarray (3, 3)
        u^2 of the indices s as s.form s; may be complex.
    stencil : int
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = stencil + 0.5
    j, k = np.meshgrid(half * nodes, half * nodes, indexing="ij")
    area = half**2 * np.outer(weights, weights)
    total = 0.0
    for axis in range(3):
        s = np.empty((_NODES, _NODES, 3))
        s[..., axis], s[..., axis - 2], s[..., axis - 1] = half, j, k
        u = np.sqrt(np.einsum("...i,ij,...j", s, form, s))
        beyond = 2 / np.pi * (np.arctan(1 / u) + u / (1 + u * u))
        total = total + 2 * half * np.sum(area * beyond / u**3)
    return scalar(np.sqrt(_determinant(form)) / (4 * np.pi) * total)


def shell_means(table: FactorTable, metric: FloatArray, per_shell: float, count: int) -> FloatArray:
    """Mean F^2 of a list in shells of 1/d^2, without F(000); of an empty shell its neighbours' (count,)."""
    if table.values is None:
        return np.zeros(0)
    at = np.real(_inverse_squares(table, metric)) * np.real(per_shell)
    # equivalent reflections on the border of two shells, equal but for rounding, stay together
    shell = np.minimum((at + 1e-9).astype(np.int64), count - 1).ravel()
    shell[at.ravel() == 0.0] = count
    squares = table.values.ravel() ** 2
    number = np.bincount(shell, minlength=count)[:count]
    filled = number > 0

    def mean(values: FloatArray) -> FloatArray:
        sums = np.bincount(shell, values, minlength=count)[:count]
        if not filled.any():  # a list of F(000) alone
            return np.zeros(count)
        return np.interp(np.arange(count), np.flatnonzero(filled), sums[filled] / number[filled])

    if np.iscomplexobj(squares):
        return np.asarray(mean(squares.real) + 1j * mean(squares.imag))
    return mean(squares)


def tail_of(
    forms: FloatArray,
    order: int,
    stencil: int,
    unit: float,
    inverse: FloatArray,
    tables: tuple[FactorTable, ...],
) -> Tail:
    """Of one crystal.

    Parameters
    ----------
    forms : ndarray (models, 3, 3)
        4 pi^2 (G s).(G s) of the indices s.
    order, stencil : int
    unit : float
        V_cell/(8 pi det G): what a sum over all reflections has on average in units of its scale.
    inverse : ndarray (3, 3)
        1/m, by which indices become q.
    tables : tuple of FactorTable
        One for each energy.
    """
    outside = [[n**3 * unit * missing_share(K / n**2, stencil) for n in range(1, order + 1)] for K in forms]
    metric = inverse.T @ inverse
    count, per_shell = _shells(tables[0], metric)
    shells = np.array([shell_means(table, metric, per_shell, count) for table in tables])
    return Tail(
        outside=read_only(outside),
        shells=read_only(shells),
        per_shell=per_shell,
        metric=read_only(metric),
    )


def _shells(table: FactorTable, metric: FloatArray) -> tuple[int, float]:
    """How many, up to the farthest corner of the list, and how many to 1/m^2."""
    if table.values is None:
        return 0, 0.0
    count = min(max(table.values.size // _FEWEST_IN_SHELL, 1), _MOST_SHELLS)
    squares = _inverse_squares(table, metric)
    farthest = squares.ravel()[np.argmax(squares.real)]
    if farthest == 0:
        return 1, 0.0
    return count, scalar(count / farthest)


def _inverse_squares(table: FactorTable, metric: FloatArray) -> FloatArray:
    """1/d^2 of every reflection of a list, of its shape, 1/m^2."""
    assert table.values is not None
    axes = [o + np.arange(n) for o, n in zip(table.origin, table.values.shape, strict=True)]
    h, k, m = np.meshgrid(*axes, indexing="ij", sparse=True)
    M = metric
    squares = M[0, 0] * h**2 + M[1, 1] * k**2 + M[2, 2] * m**2
    return np.asarray(squares + 2 * (M[0, 1] * h * k + M[0, 2] * h * m + M[1, 2] * k * m))


def _determinant(m: FloatArray) -> Any:
    """Of a 3 x 3 matrix, complex or not."""
    return np.sum(m[0] * np.cross(m[1], m[2]))

"""Functions of one variable given by rows: piecewise cubics, whose coefficients are made here and once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import numbers
from .records import FrozenArrays, frozen

__all__ = ["INTERPOLATIONS", "OUTSIDE", "Pieces", "pieces"]

Array = npt.NDArray[Any]

#: cubic Lagrange polynomials through four rows; monotone between two rows
INTERPOLATIONS = ("lagrange", "pchip")
#: beyond the first and the last row: the line through the two nearest rows; the nearest row's value; 0
OUTSIDE = ("line", "hold", "zero")


@frozen
class Pieces(FrozenArrays):
    """A piecewise cubic: c0 + c1 t + c2 t^2 + c3 t^3 with t = x - start of the piece.

    Attributes
    ----------
    knots : ndarray (n + 2,)
        Where pieces begin: the first row twice, for piece 0 has all that lies below it; then every row; at
        the end infinity.
    cubics : ndarray (n + 1, 4)
    """

    knots: Array
    cubics: Array

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Values, of the shape of ``x``."""
        place = numbers.array(x)
        piece = np.searchsorted(self.knots.real[1:-1], place.real, side="right")
        t, c = place - self.knots[piece], self.cubics[piece]
        return np.asarray(c[..., 0] + t * (c[..., 1] + t * (c[..., 2] + t * c[..., 3])))

    def scaled(self, unit: float) -> Pieces:
        """The same function of a variable in another unit: ``pieces.scaled(u)(u * x) == pieces(x)``."""
        knots, cubics = self.knots * unit, self.cubics / unit ** np.arange(4.0)
        knots[-1] = np.inf
        return Pieces(numbers.read_only(knots), numbers.read_only(cubics))


def pieces(x: npt.ArrayLike, y: npt.ArrayLike, interpolation: str, outside: str) -> Pieces:
    """The interpolant of rows.

    Parameters
    ----------
    x, y : array_like (n,)
        Rows, n >= 1, x ascending without repetition.
    interpolation : {"lagrange", "pchip"}
        lagrange: between rows i and i + 1 the polynomial through those of the rows i - 1 to i + 2 that exist.
        pchip: monotone between rows, by F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5 (1984),
        300-304, with three-point slopes at the ends (C. Moler, Numerical Computing with MATLAB, 3.6).
    outside : {"line", "hold", "zero"}
        Below the first row and from the last on: see `OUTSIDE`.

    Examples
    --------
    >>> curve = pieces([0, 1, 2, 3], [0, 1, 8, 27], "lagrange", "line")
    >>> curve([1.5, 4]).tolist()
    [3.375, 46.0]
    """
    rows, values = numbers.array(x), numbers.array(y)
    n = len(rows)
    cubics = np.zeros((n + 1, 4), np.result_type(rows, values))
    cubics[1:, 0] = values
    cubics[0, 0] = values[0]
    if n > 1:
        fill = _lagrange if interpolation == "lagrange" else _pchip
        cubics[1:-1, 1:] = fill(rows, values)
    if outside == "zero":
        cubics[[0, -1]] = 0.0
    elif outside == "line" and n > 1:
        slopes = np.diff(values) / np.diff(rows)
        cubics[0, 1], cubics[-1, 1] = slopes[0], slopes[-1]
    knots = np.concatenate([rows[:1], rows, [np.inf]])
    return Pieces(numbers.read_only(knots), numbers.read_only(cubics))


def _lagrange(x: Array, y: Array) -> Array:
    """c1, c2, c3 of the pieces between rows, (n - 1, 3): Newton's form, by powers of t = x - x_i.

    The polynomial through (i, i + 1), to which (i - 1) and (i + 2) are added one after the other where they
    exist.
    """
    n = len(x)
    ahead = np.diff(x)
    first = np.diff(y) / ahead
    zero = np.zeros(1, first.dtype)
    second = np.diff(first) / (x[2:] - x[:-2])  # through i, i + 1, i + 2
    third = np.diff(second) / (x[3:] - x[:-3])  # through i, ..., i + 3
    out = np.zeros((n - 1, 3), first.dtype)
    out[:, 0] = first
    if n == 2:
        return out
    # t (t - ahead) times the second difference: with the row before, for piece 0 with the row after
    curve = np.concatenate([second[:1], second])
    out[:, 0] -= curve * ahead
    out[:, 1] += curve
    if n == 3:
        return out
    # t (t - ahead) (t + behind) times the third: for pieces that have all four rows
    slope = np.concatenate([zero, third, zero])
    behind = np.concatenate([zero, ahead[:-1]])
    out[:, 0] -= slope * ahead * behind
    out[:, 1] += slope * (behind - ahead)
    out[:, 2] += slope
    return out


def _pchip(x: Array, y: Array) -> Array:
    """c1, c2, c3 of the pieces between rows, (n - 1, 3), from the slopes at the rows."""
    h = np.diff(x)
    rise = np.diff(y) / h
    slope = np.zeros(len(x), rise.dtype)
    if len(x) == 2:
        slope[:] = rise[0]
    else:
        slope[1:-1] = _inner_slopes(h, rise)
        slope[0] = _end_slope(h[0], h[1], rise[0], rise[1])
        slope[-1] = _end_slope(h[-1], h[-2], rise[-1], rise[-2])
    left, right = slope[:-1], slope[1:]
    return np.stack([left, (3 * rise - 2 * left - right) / h, (left + right - 2 * rise) / h**2], axis=1)


def _inner_slopes(h: Array, rise: Array) -> Array:
    """Weighted harmonic mean of the rises on both sides; 0 at an extremum."""
    before, after = rise[:-1], rise[1:]
    turns = np.sign(before.real) * np.sign(after.real) <= 0
    w_before, w_after = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    safe_before, safe_after = np.where(turns, 1.0, before), np.where(turns, 1.0, after)
    mean = (w_before + w_after) / (w_before / safe_before + w_after / safe_after)
    return np.asarray(np.where(turns, 0.0, mean))


def _end_slope(h: Any, h_next: Any, rise: Any, rise_next: Any) -> Any:
    """Of the parabola through three rows, cut to what keeps the shape."""
    slope = ((2 * h + h_next) * rise - h * rise_next) / (h + h_next)
    if slope.real * rise.real <= 0:
        return 0.0
    if rise.real * rise_next.real <= 0 and abs(slope.real) > 3 * abs(rise.real):
        return 3 * rise
    return slope

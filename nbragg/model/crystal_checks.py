"""Checks of a crystal's fields that take several forms: mosaicity, strain, twin laws, tensors of cells."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..base import validate as check
from ..base.errors import InputError
from ..base.vectors import FloatArray, is_rotation

__all__ = [
    "AXES",
    "MOSAIC",
    "SETS",
    "cells_tensor",
    "checked_axes",
    "checked_cell_spread",
    "checked_set",
    "checked_sizes",
    "checked_spread",
    "checked_twin",
    "law_matrix",
]

#: distributions of mosaic rotations (beyond 16.1)
MOSAIC = ("cap", "angle", "gauss")
#: sets drawn from them (beyond 16.2)
SETS = ("random", "lattice", "antithetic")
#: axes of an anisotropic spread by word
AXES = ("crystal", "a*", "laboratory")

_MOST_DEGREES = 1e9
#: a law's determinant, and an eigenvalue of a covariance, may be off by this
_TOLERANCE = 1e-6

Law = str | tuple[tuple[float, ...], ...]


def checked_spread(value: Any) -> float | tuple[float, ...] | None:
    """One number of degrees, three about the axes, or six of a covariance in square degrees."""
    name = "mosaic_spread_deg"
    if value is None or np.ndim(value) == 0:
        return check.optional_number(name, value, at_least=0, at_most=_MOST_DEGREES)
    values = _several(name, value, (3, 6))
    if len(values) == 3:
        return tuple(
            check.number(f"{name}[{i}]", x, at_least=0, at_most=_MOST_DEGREES) for i, x in enumerate(values)
        )
    least = float(np.linalg.eigvalsh(symmetric(values)).min())
    if least < -_TOLERANCE * max(map(abs, values)):
        raise InputError(
            f"{name}: six numbers are a covariance xx yy zz xy xz yz, which must be positive semidefinite; "
            f"its least eigenvalue is {least:.3g}"
        )
    return values


def checked_cell_spread(value: Any) -> float | tuple[float, ...] | None:
    """Relative rms strain: one number, three along the edges, or six of a symmetric tensor."""
    if value is None or np.ndim(value) == 0:
        return check.optional_number("cell_spread", value, at_least=0, at_most=0.5)
    values = _several("cell_spread", value, (3, 6))
    return tuple(check.number(f"cell_spread[{i}]", x, at_least=0, at_most=0.5) for i, x in enumerate(values))


def _several(name: str, value: Any, counts: tuple[int, ...]) -> tuple[float, ...]:
    if not isinstance(value, (tuple, list, np.ndarray)) or np.ndim(value) != 1 or len(value) not in counts:
        raise InputError(
            f"{name} must be one number, or {' or '.join(map(str, counts))} of them, not {value!r}"
        )
    return check.vector(name, value, len(value))


def symmetric(six: Any) -> FloatArray:
    """A symmetric (3, 3) matrix from xx yy zz xy xz yz, of any number type."""
    xx, yy, zz, xy, xz, yz = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def checked_axes(value: Any) -> str | FloatArray:
    """A word, or three orthonormal axes as columns."""
    if isinstance(value, str):
        return check.choice("mosaic_axes", value, AXES)
    axes = check.frozen_array("mosaic_axes", value, (3, 3))
    if np.abs(axes.T @ axes - np.eye(3)).max() > _TOLERANCE:
        raise InputError("mosaic_axes must be a word or a (3, 3) matrix whose columns are orthonormal axes")
    return axes


def checked_set(value: Any) -> str | FloatArray | None:
    """A word, rotation vectors (n, 3) in radians, or rotation matrices (n, 3, 3)."""
    if value is None:
        return None
    if isinstance(value, str):
        return check.choice("mosaic_set", value, SETS)
    ndim = np.ndim(value)
    if ndim == 2:
        found = check.frozen_array("mosaic_set", value, (None, 3))
    else:
        found = check.frozen_array("mosaic_set", value, (None, 3, 3))
        for i, matrix in enumerate(found):
            if not is_rotation(matrix.tolist()):
                raise InputError(
                    f"mosaic_set[{i}] must be a rotation matrix: orthonormal columns and determinant 1, to "
                    "1e-6"
                )
    if len(found) == 0:
        raise InputError("mosaic_set must hold at least one rotation")
    return found


# ---- twins -------------------------------------------------------------------------------------------------


def checked_twin(value: Any) -> tuple[tuple[Law, float], ...]:
    """Pairs of a law and its fraction, which sum to at most 1."""
    if not isinstance(value, (tuple, list)):
        raise InputError(
            f'twin must be a sequence of pairs (law, fraction), as ("-h,-k,l", 0.3), not {value!r}'
        )
    if len(value) == 2 and isinstance(value[0], str):
        value = (value,)
    twins: list[tuple[Law, float]] = []
    for i, pair in enumerate(value):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f'twin[{i}] must be a pair (law, fraction), as ("-h,-k,l", 0.3), not {pair!r}')
        law, fraction = pair
        matrix = law_matrix(f"twin[{i}]", law)
        kept = law if isinstance(law, str) else tuple(map(tuple, matrix.tolist()))
        twins.append((kept, check.number(f"twin[{i}] fraction", fraction, at_least=0, at_most=1)))
    total = sum(fraction for _, fraction in twins)
    if total > 1 + 1e-12:
        raise InputError(f"the fractions of twin sum to {total:g}: at most 1, the rest is the crystal itself")
    return tuple(twins)


_TERM = re.compile(r"([+-]?)(?:(\d+(?:/\d+|\.\d+)?)\*?)?([hkl])(?:/(\d+))?")


def law_matrix(name: str, law: Any) -> FloatArray:
    """The matrix T of a law, which takes (h, k, l) to T (h, k, l).

    Parameters
    ----------
    name : str
        For messages.
    law : str or array_like (3, 3)
        As ``"-h,-k,l"`` or ``"h,-h-k,-l"``; fractions as ``1/2*h`` or ``h/2``.

    Raises
    ------
    InputError
        For what is no law, and a determinant that is not 1 or -1.
    """
    if isinstance(law, str):
        rows = law.replace(" ", "").lower().split(",")
        matrix = np.array([_row(name, law, row) for row in rows]) if len(rows) == 3 else np.zeros((0, 3))
        if len(rows) != 3:
            raise InputError(f'{name}: the law "{law}" must be three terms with commas, as -h,-k,l')
    else:
        matrix = np.array(check.frozen_array(f"{name} law", law, (3, 3)))
    size = abs(float(np.linalg.det(matrix)))
    if abs(size - 1.0) > _TOLERANCE:
        raise InputError(f"{name}: the determinant of the law is {size:.6g}; it must be 1 or -1")
    return matrix


def _row(name: str, law: str, text: str) -> list[float]:
    row = [0.0, 0.0, 0.0]
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None or (at and not found.group(1)):
            break
        sign, times, letter, over = found.groups()
        above, _, below = (times or "1").partition("/")
        size = float(above) / (int(below or "1") * int(over or "1"))
        row["hkl".index(letter)] += -size if sign == "-" else size
        at = found.end()
    if at < len(text) or not text:
        raise InputError(f'{name}: "{text}" of the law "{law}" is no sum of h, k and l, as -h-k')
    return row


# ---- sizes -------------------------------------------------------------------------------------------------


def checked_sizes(value: Any) -> tuple[Any, ...] | None:
    """A distribution of sizes: ("lognormal", sigma), ("uniform", least, most) or ("listed", rows)."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or not value or not isinstance(value[0], str):
        rows = check.frozen_array("N_distribution", value, (None, 3))
        if len(rows) == 0 or rows.min() < 1:
            raise InputError("N_distribution lists cells along a, b, c of at least one size, each at least 1")
        return ("listed", tuple(map(tuple, rows.tolist())))
    kind = check.choice("N_distribution", value[0], ("lognormal", "uniform", "listed"))
    if kind == "listed" and len(value) == 2:
        return checked_sizes(value[1])
    if kind == "uniform" and len(value) == 3:
        least = check.number("N_distribution: least size (nm)", value[1], above=0)
        return (kind, least, check.number("N_distribution: largest size (nm)", value[2], at_least=least))
    if kind == "lognormal" and len(value) == 2:
        name = "N_distribution: sigma"
        if np.ndim(value[1]) == 0:
            return (kind, check.number(name, value[1], at_least=0, at_most=5))
        return (
            kind,
            tuple(check.number(name, x, at_least=0, at_most=5) for x in _several(name, value[1], (3,))),
        )
    raise InputError(
        'N_distribution must be ("lognormal", sigma), ("lognormal", (sa, sb, sc)), ("uniform", least_nm, '
        f"most_nm) or rows of cells along a, b, c, not {value!r}"
    )


# ---- cells as a tensor -------------------------------------------------------------------------------------


def cells_tensor(diagonal: Any, off: Any) -> FloatArray:
    """[[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]] of any number type (beyond 17.2)."""
    (a, b, c), (d, e, f) = diagonal, off
    return np.array([[a, d, f], [d, b, e], [f, e, c]])

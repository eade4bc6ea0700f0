"""Which sub-pixels stand for all of a pixel's: sums over n equal parts of an edge from fewer places.

The m zeros of the Gram polynomial of degree m, orthogonal on n equally spaced places, are the places of a
Gauss rule for the *sum* over those: exact for polynomials up to degree 2 m - 1, and the n places themselves
where m = n.  (The recurrence is that of discrete Chebyshev polynomials, Abramowitz and Stegun 22.17; places
and weights from its matrix by Golub and Welsch, Math. Comp. 23, 221, 1969.)
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rules", "gram_rule", "gram_rules"]

#: numbers of places: all up to here, whole cells of samples (NB_CELL in csrc/nb_tree.h) up to there, then in
#: steps of an eighth
_EACH, _CELLS = 8, 64


class Rules(NamedTuple):
    """Rules for one number of equal parts, one after the other; the last is those parts.

    Attributes
    ----------
    counts : ndarray of int32
        Places of each rule, increasing.
    places : ndarray of float64
        Their places, as fractions of the edge.
    weights : ndarray of float64
        How many parts each stands for.
    """

    counts: NDArray[np.int32]
    places: NDArray[np.float64]
    weights: NDArray[np.float64]


def gram_rule(parts: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places, as fractions of an edge, and weights of the Gauss rule for the sum over equal parts of it.

    Parameters
    ----------
    parts : int
        Of the edge; the function is summed over their middles.
    count : int
        Places of the rule, 1 to ``parts``.

    Returns
    -------
    place, weight : ndarray of float64, shape (count,)
        The weights add up to ``parts``.
    """
    if count == parts:
        return (np.arange(parts) + 0.5) / parts, np.ones(parts)
    k = np.arange(1.0, count)
    off = 0.5 * k * np.sqrt((parts**2 - k**2) / (4.0 * k**2 - 1.0))
    place, vector = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
    weight = parts * vector[0] ** 2
    # of a symmetric rule, to the bit
    return 0.5 + 0.5 * (place - place[::-1]) / parts, 0.5 * (weight + weight[::-1])


@functools.lru_cache(maxsize=16)
def gram_rules(parts: int) -> Rules:
    """The rules from which the renderer takes the smallest that will do."""
    counts = []
    count = 1
    while count < parts:
        counts.append(count)
        step = 1 if count < _EACH else 4 if count < _CELLS else count // 32 * 4
        count += step
    rules = [gram_rule(parts, count) for count in (*counts, parts)]
    place, weight = (np.concatenate([rule[i] for rule in rules]) for i in (0, 1))
    return Rules(np.array([*counts, parts], np.int32), place, weight)

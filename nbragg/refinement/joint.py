"""Images together: parameters they share, and those of each, which are eliminated (gradients 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..inverse.information import LEAST
from .frame import Frame
from .scoring import Normal
from .stages import Stage
from .transforms import Scale

__all__ = ["Line", "Problem", "Solved", "Stand", "minimise", "pseudo_inverse", "solve"]

Array = NDArray[np.float64]

_STEPS = 60
_MOST_DAMPING = 1e8
_MOST_SCATTER = 100.0


class Line(NamedTuple):
    """What a step has come to.

    Attributes
    ----------
    stage, stages, step : int
        From 1.
    cost : float
        -ln L with what restraints add.
    gain : float
        By how much the next step would lower it, as far as the likelihood is quadratic.
    damping : float
    """

    stage: int
    stages: int
    step: int
    cost: float
    gain: float
    damping: float


class Solved(NamedTuple):
    """Steps of all images, and by how much they should lower the cost."""

    changes: list[Array]
    gain: float


class Stand(NamedTuple):
    """Where a stage ended: the normal equations of each image, by its parameters and coefficients."""

    normals: list[Normal]
    cost: float
    converged: bool
    message: str


def pseudo_inverse(H: Array, damping: float) -> Array:
    """Of a symmetric matrix with its diagonal raised, 0 along directions that are not determined."""
    if not len(H):
        return H
    scale = np.sqrt(np.maximum(np.diag(H), 0))
    scale[scale == 0] = 1.0
    values, axes = np.linalg.eigh(H / np.outer(scale, scale))
    kept = values > LEAST * max(float(values[-1]), 1e-300)
    inner = (axes[:, kept] / (values[kept] + damping)) @ axes[:, kept].T
    return np.asarray(inner / np.outer(scale, scale))


def solve(normals: Sequence[Normal], shared: NDArray[np.bool_], damping: float) -> Solved:
    """One step of all numbers: local ones are eliminated, (H_gg - sum of H_gl H_ll^-1 H_lg) g = ...

    Parameters
    ----------
    normals : sequence of Normal
        Of each image.
    shared : ndarray of bool (p,)
        Which of an image's numbers all images share.
    damping : float
    """
    g, own = shared, ~shared
    raised = sum((n.H[np.ix_(g, g)] for n in normals), np.zeros((g.sum(),) * 2))
    right = sum((n.b[g] for n in normals), np.zeros(g.sum()))
    schur = raised + damping * np.diag(np.diag(raised))
    inverses = []
    for n in normals:
        inverse, mixed = pseudo_inverse(n.H[np.ix_(own, own)], damping), n.H[np.ix_(g, own)]
        inverses.append(inverse)
        schur = schur - mixed @ inverse @ mixed.T
        right = right - mixed @ inverse @ n.b[own]
    common = pseudo_inverse((schur + schur.T) / 2, 0.0) @ right
    changes, gain = [], 0.0
    for n, inverse in zip(normals, inverses, strict=True):
        change = np.zeros(len(g))
        change[g] = common
        change[own] = inverse @ (n.b[own] - n.H[np.ix_(own, g)] @ common)
        changes.append(change)
        gain += float(n.b @ change - change @ n.H @ change / 2)
    return Solved(changes, gain)


class Problem(NamedTuple):
    """A stage of all images.

    Attributes
    ----------
    frames : sequence of Frame
    parameters : tuple of str
    shared : ndarray of bool (p + K,)
    scales : list of tuple of Scale
        Of each image's parameters, then coefficients of its background.
    restraints : list of (ndarray, ndarray)
        Of each image, for its p parameters: middle, and one over the square of sigma.
    """

    frames: Sequence[Frame]
    parameters: tuple[str, ...]
    shared: NDArray[np.bool_]
    scales: list[tuple[Scale, ...]]
    restraints: list[tuple[Array, Array]]

    def inner(self, k: int, values: Array) -> Array:
        return np.array([scale.inner(x) for scale, x in zip(self.scales[k], values, strict=True)])

    def outer(self, k: int, numbers: Array) -> Array:
        return np.array([scale.outer(x) for scale, x in zip(self.scales[k], numbers, strict=True)])

    def strain(self, k: int, values: Array) -> float:
        """What restraints add to the cost."""
        middle, importance = self.restraints[k]
        return float(((values[: len(middle)] - middle) ** 2 * importance).sum() / 2)

    def normal(self, k: int, values: Array) -> Normal:
        """By numbers of the minimiser, restraints included."""
        p = len(self.parameters)
        found = self.frames[k].normal(self.parameters, values[p:])
        middle, importance = self.restraints[k]
        H, b = found.H.copy(), found.b.copy()
        H[np.arange(p), np.arange(p)] += importance
        b[:p] -= importance * (values[:p] - middle)
        slope = np.array([scale.slope(x) for scale, x in zip(self.scales[k], values, strict=True)])
        for i, (scale, x) in enumerate(zip(self.scales[k], values, strict=True)):
            if scale.kind == "log" and x <= scale.low * 1.001 and b[i] < 0:  # at its end: held there
                H[i, :i] = H[i, i + 1 :] = H[:i, i] = H[i + 1 :, i] = b[i] = 0
        cost = found.cost + self.strain(k, values)
        return Normal(cost, H * np.outer(slope, slope), b * slope, found.scatter)

    def plain(self, k: int, values: Array, found: Normal) -> Normal:
        """By the values themselves."""
        slope = np.array([scale.slope(x) for scale, x in zip(self.scales[k], values, strict=True)])
        return Normal(found.cost, found.H / np.outer(slope, slope), found.b / slope, found.scatter)

    def move(self, k: int, values: Array) -> float:
        p = len(self.parameters)
        return self.frames[k].move(self.parameters, values[:p], values[p:]) + self.strain(k, values)


def minimise(
    problem: Problem, start: list[Array], stage: Stage, say: Callable[[int, float, float, float], None]
) -> tuple[list[Array], Stand]:
    """Steps until the next would gain too little.

    Parameters
    ----------
    problem : Problem
    start : list of ndarray (p + K,)
        Values of each image's parameters and coefficients.
    stage : Stage
    say : callable
        Told step, cost, gain and damping.
    """
    values, damping, each = list(start), 1e-3, range(len(problem.frames))

    def stand(message: str = "") -> Stand:
        plain = [problem.plain(k, values[k], normals[k]) for k in each]
        return Stand(plain, cost, not message, message)

    for step in range(1, _STEPS + 1):
        normals = [problem.normal(k, values[k]) for k in each]
        cost = sum(n.cost for n in normals)
        gain = solve(normals, problem.shared, 0.0).gain
        say(step, cost, gain, damping)
        # where the sharp model does not hold, differences of the likelihood say less by as much
        sharp = stage.divide == 1
        if gain < stage.gain * sum(
            min(max(n.scatter, 1.0), _MOST_SCATTER) if sharp else 1.0 for n in normals
        ):
            return values, stand()
        while True:
            solved = solve(normals, problem.shared, damping)
            there = [problem.outer(k, problem.inner(k, values[k]) + solved.changes[k]) for k in each]
            reached = sum(problem.move(k, there[k]) for k in each)
            if cost - reached > 1e-3 * solved.gain:
                break
            for k in each:
                problem.move(k, values[k])
            damping = max(8 * damping, 1e-3)
            if damping > _MOST_DAMPING:
                return values, stand("no step lowers the cost, though its slope promises one")
        if cost - reached > 0.5 * solved.gain:
            damping /= 10
        values = there
    return values, stand(f"{_STEPS} steps did not end it")

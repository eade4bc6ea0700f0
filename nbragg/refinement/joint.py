"""Images together: parameters they share, and those of each, which are eliminated (gradients 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..inverse.information import LEAST
from .scoring import Normal
from .stages import Stage
from .transforms import Scale

if TYPE_CHECKING:
    from ..base.crew import Crew
    from .frame import Frame

__all__ = ["Line", "Problem", "Solved", "Stand", "minimise", "pseudo_inverse", "solve"]

Array = NDArray[np.float64]

_STEPS, _DAMPING = 60, 1e-3
_MOST_DAMPING, _REFUSALS = 1e8, 12
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
        The highest of the images.
    image : int
        From 1; 0: of all together.
    turn : int
        Of amplitudes, from 1; 0: before.
    """

    stage: int
    stages: int
    step: int
    cost: float
    gain: float
    damping: float
    image: int = 0
    turn: int = 0


class Solved(NamedTuple):
    """Steps of all images, and by how much each should lower its cost."""

    changes: list[Array]
    gains: Array


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


def solve(
    normals: Sequence[Normal],
    shared: NDArray[np.bool_],
    damping: float = 0.0,
    own_damping: Array | None = None,
) -> Solved:
    """One step of all numbers: local ones are eliminated, (H_gg - sum of H_gl H_ll^-1 H_lg) g = ...

    Parameters
    ----------
    normals : sequence of Normal
        Of each image.
    shared : ndarray of bool (p,)
        Which of an image's numbers all images share.
    damping : float
        Of the diagonal.
    own_damping : ndarray, optional
        That of the numbers of each image.
    """
    g, own = shared, ~shared
    dampings = np.full(len(normals), damping) if own_damping is None else own_damping
    raised = sum((n.H[np.ix_(g, g)] for n in normals), np.zeros((g.sum(),) * 2))
    right = sum((n.b[g] for n in normals), np.zeros(g.sum()))
    schur = raised + damping * np.diag(np.diag(raised))
    inverses = []
    for n, raise_by in zip(normals, dampings, strict=True):
        inverse, mixed = pseudo_inverse(n.H[np.ix_(own, own)], float(raise_by)), n.H[np.ix_(g, own)]
        inverses.append(inverse)
        schur = schur - mixed @ inverse @ mixed.T
        right = right - mixed @ inverse @ n.b[own]
    common = pseudo_inverse((schur + schur.T) / 2, 0.0) @ right
    changes, gains = [], np.zeros(len(normals))
    for k, (n, inverse) in enumerate(zip(normals, inverses, strict=True)):
        change = np.zeros(len(g))
        change[g] = common
        change[own] = inverse @ (n.b[own] - n.H[np.ix_(own, g)] @ common)
        changes.append(change)
        gains[k] = float(n.b @ change - change @ n.H @ change / 2)
    return Solved(changes, gains)


class Problem(NamedTuple):
    """A stage of all images.

    Attributes
    ----------
    frames : Crew of Frame
    parameters : tuple of str
    shared : ndarray of bool (p + K,)
    scales : list of tuple of Scale
        Of each image's parameters, then coefficients of its background.
    restraints : list of (ndarray, ndarray)
        Of each image, for its p parameters: middle, and one over the square of sigma.
    """

    frames: Crew[Frame]
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

    def normals(self, values: Sequence[Array]) -> list[Normal]:
        """Of each image, by numbers of the minimiser, restraints included."""
        p = len(self.parameters)
        found = self.frames.each(_normal, [x[p:] for x in values], common=(self.parameters,))
        return [self._restrained(k, x, n) for k, (x, n) in enumerate(zip(values, found, strict=True))]

    def _restrained(self, k: int, values: Array, found: Normal) -> Normal:
        p = len(self.parameters)
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

    def moved(self, values: Sequence[Array]) -> Array:
        """The cost of each image at values, where it then stands."""
        p = len(self.parameters)
        parts = [x[:p] for x in values], [x[p:] for x in values]
        costs = self.frames.each(_move, *parts, common=(self.parameters,))
        return np.array(costs) + [self.strain(k, x) for k, x in enumerate(values)]


def _normal(frame: Frame, parameters: tuple[str, ...], background: Array) -> Normal:
    return frame.normal(parameters, background)


def _move(frame: Frame, parameters: tuple[str, ...], values: Array, background: Array) -> float:
    return frame.move(parameters, values, background)


class _Damping:
    """Of each image's own numbers, and of those that images share (Levenberg and Marquardt).

    An image that its step has made less likely is held back alone; the others go on.
    """

    def __init__(self, images: int, joint: bool) -> None:
        self.own, self.common, self._joint = np.full(images, _DAMPING), _DAMPING, joint
        #: steps one after the other
        self.refused = 0

    @property
    def highest(self) -> float:
        return max(float(self.own.max()), self.common if self._joint else 0.0)

    def refuse(self, fall: Array, gains: Array) -> None:
        """After a step that was not taken: how costs fell, and how they should have."""
        bad = fall <= gains - 0.999 * np.abs(gains)
        self._raise(bad if bad.any() else np.ones(len(bad), bool))
        if self.refused:
            self.common = max(8 * self.common, _DAMPING)
        self.refused += 1

    def accept(self, fall: Array, gains: Array) -> None:
        """After one that was."""
        self.own[fall > gains - 0.5 * np.abs(gains)] /= 10
        self._raise(fall <= gains - 0.999 * np.abs(gains))
        if fall.sum() > 0.5 * gains.sum():
            self.common /= 10
        self.refused = 0

    def _raise(self, which: NDArray[np.bool_]) -> None:
        self.own[which] = np.clip(8 * self.own[which], _DAMPING, _MOST_DAMPING)


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
    values, damping = list(start), _Damping(len(start), bool(problem.shared.any()))

    def stand(message: str = "") -> Stand:
        plain = [problem.plain(k, x, n) for k, (x, n) in enumerate(zip(values, normals, strict=True))]
        return Stand(plain, cost, not message, message)

    for step in range(1, _STEPS + 1):
        normals = problem.normals(values)
        costs = np.array([n.cost for n in normals])
        cost, gain = float(costs.sum()), float(solve(normals, problem.shared).gains.sum())
        say(step, cost, gain, damping.highest)
        # where the sharp model does not hold, differences of the likelihood say less by as much
        sharp = stage.divide == 1
        if gain < stage.gain * sum(
            min(max(n.scatter, 1.0), _MOST_SCATTER) if sharp else 1.0 for n in normals
        ):
            return values, stand()
        while True:
            solved = solve(normals, problem.shared, damping.common, damping.own)
            there = [
                problem.outer(k, problem.inner(k, x) + change)
                for k, (x, change) in enumerate(zip(values, solved.changes, strict=True))
            ]
            fall = costs - problem.moved(there)
            if fall.sum() > 1e-3 * solved.gains.sum():
                break
            damping.refuse(fall, solved.gains)
            if damping.refused > _REFUSALS:
                problem.moved(values)
                return values, stand("no step lowers the cost, though its slope promises one")
        damping.accept(fall, solved.gains)
        values = there
    return values, stand(f"{_STEPS} steps did not end it")

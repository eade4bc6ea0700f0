"""Fisher scoring with damping: steps that raise a likelihood, and directions left alone (gradients 8.3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Normal", "Step", "damped_step"]

Array = NDArray[np.float64]

#: eigenvalues of the scaled matrix below this part of the largest are not determined: no step along them
LEAST = 1e-7


class Normal(NamedTuple):
    """What is known at a point.

    Attributes
    ----------
    cost : float
        -ln L.
    H : ndarray (p, p)
        Fisher information.
    b : ndarray (p,)
        Derivative of ln L.
    scatter : float
        Mean square of the pixels' slopes by their information: 1 where the model holds.
    """

    cost: float
    H: Array
    b: Array
    scatter: float = 1.0


class Step(NamedTuple):
    """A change of all numbers, and by how much it should lower the cost."""

    change: Array
    promise: float


def damped_step(normal: Normal, damping: float) -> Step:
    """(H + damping diag H) change = b, without directions that are not determined."""
    scale = np.sqrt(np.diag(normal.H))
    scale[scale == 0] = 1.0
    values, axes = np.linalg.eigh(normal.H / np.outer(scale, scale))
    kept = values > LEAST * values[-1]
    along = axes[:, kept].T @ (normal.b / scale)
    step = along / (values[kept] + damping)
    promise = float(step @ (along - values[kept] * step / 2))
    return Step(axes[:, kept] @ step / scale, promise)

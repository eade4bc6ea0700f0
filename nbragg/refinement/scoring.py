"""What Fisher scoring knows of an image at a point (gradients 8.3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Normal"]

Array = NDArray[np.float64]


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

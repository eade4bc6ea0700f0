"""What stands behind the spots of an image, as a backend reads it: SI units, the sample at the origin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..base.records import FrozenArrays, frozen
from ..base.vectors import FloatArray
from .obstacles import Obstacles

__all__ = ["Backdrop", "Curve", "Scatterer"]


@frozen
class Curve(FrozenArrays):
    """A function of s = sin(theta)/lambda, 1/m, with the table by which the piece of an s is found.

    Attributes
    ----------
    knots : ndarray (n + 2,)
        Where pieces begin, 1/m: as of `nbragg.base.curves.Pieces`, with NaN at the end.
    cubics : ndarray (n + 1, 4)
        Coefficients of 1, t, t^2, t^3, t = s - knot.
    inside : (least, most)
        Pixels beyond these are counted; infinite: none is.
    low, per_bucket : float
        Buckets begin at low + k / per_bucket.
    bucket : ndarray of int32
        A piece that begins in the bucket's first s or before; the right one is at most ``steps`` further.
    steps : int
    """

    knots: FloatArray
    cubics: FloatArray
    inside: tuple[float, float]
    low: float
    per_bucket: float
    bucket: npt.NDArray[np.int32]
    steps: int


@frozen
class Scatterer(FrozenArrays):
    """One material, or one curve, where it scatters.

    Attributes
    ----------
    name : str
        For messages.
    curve : Curve
        An amplitude F in electrons, of which sgn(F) F^2 counts, or photons/sr, which count themselves.
    squared : bool
        Whether it is an amplitude.
    polarized : bool
        Whether the polarization factor counts.
    fixed : bool
        Whether its photons do not depend on the fluence.
    points : ndarray (k, 3)
        Places, m, the sample at the origin.
    amounts : ndarray (k,)
        Molecules at each, or factors of the curve.
    """

    name: str
    curve: Curve
    squared: bool
    polarized: bool
    fixed: bool
    points: FloatArray
    amounts: FloatArray


@frozen
class Backdrop(FrozenArrays):
    """Everything behind the spots; it depends neither on the crystals nor on the fluence.

    Attributes
    ----------
    oversample : int
        Sub-pixels along a pixel edge.
    scatterers : tuple of Scatterer
    obstacles : Obstacles or None
        What is in the way of all light; None: nothing.
    direct_beam : float
        Full width at half maximum of the direct beam, m, where its photons are in the image; 0: they are not.
    """

    oversample: int
    scatterers: tuple[Scatterer, ...]
    obstacles: Obstacles | None = None
    direct_beam: float = 0.0

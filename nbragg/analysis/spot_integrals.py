"""Integrals of the squared lattice factor over one reflection: the photons of a spot without a pixel.

A spot is the lattice factor L seen on the Ewald sphere.  Near the sphere's point closest to the reflection
the sphere is a plane across the scattered ray, so the photons of the spot are a constant times

    S(e) = integral over that plane of L^2 d^2q,

e being the distance of the plane from the reflection along the unit vector d of the scattered ray.  By the
slice theorem S is a Fourier integral along d of the autocorrelation of the crystal's shape; docs/truth.md has
the derivation for each shape.  The integral of S over e is that of L^2 over all of reciprocal space, which
decides what a crystal turned through the reflection gives.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.constants import GAUSS_WIDTH, SPHERE_SCALE, TOPHAT_RADIUS_SQR
from ..base.vectors import FloatArray

if TYPE_CHECKING:
    from ..scene.record import CrystalBlock

__all__ = ["Spot", "absorption_depth"]


class Spot:
    """The reflections of one crystal, as far as their shape goes.

    Parameters
    ----------
    crystal : CrystalBlock

    Attributes
    ----------
    volume : float
        Integral of L^2 over one reflection in units of indices, dimensionless; of a square crystal the number
        of cells.  Along an axis with a number N that is not whole, the image differs from that by a fraction
        of up to 0.16/N^2, since neighbours do not meet in a zero.
    """

    def __init__(self, crystal: CrystalBlock) -> None:
        self._shape, self._fudge = crystal.shape, float(crystal.fudge)
        self._N = crystal.N
        self._metric = crystal.shape_metric
        self._peak = float(np.prod(crystal.N)) ** 2
        self.cell_volume = abs(float(np.linalg.det(crystal.orientations[0])))
        self.volume = self._volume()

    def _volume(self) -> float:
        root = math.sqrt(float(np.linalg.det(self._metric)))
        if self._shape == "square":
            return float(np.prod(self._N))
        if self._shape == "gauss":
            return self._peak * math.pow(math.pi * GAUSS_WIDTH / (2.0 * self._fudge), 1.5) / root
        if self._shape == "round":
            return self._peak * SPHERE_SCALE**2 * 6.0 / (math.pi * math.pow(self._fudge, 1.5)) / root
        radius = math.sqrt(TOPHAT_RADIUS_SQR / self._fudge)
        return self._peak * 4.0 / 3.0 * math.pi * radius**3 / root

    def record(self, share: float = 1.0) -> NDArray[np.void]:
        """What the engine reads of it, one record of `_engine.SPOT_SIZE_DTYPE`, as a part of a lattice."""
        found: NDArray[Any] = np.zeros(1, _engine.SPOT_SIZE_DTYPE)
        found["shape"], found["fudge"], found["share"] = _engine.SHAPES[self._shape], self._fudge, share
        found["cells"], found["volume"], found["cell_volume"] = (
            np.prod(self._N),
            self.volume,
            self.cell_volume,
        )
        found["N"], found["inverse"] = self._N, np.linalg.inv(self._metric).reshape(-1)
        return found

    def slice(self, distance: FloatArray, along: FloatArray) -> FloatArray:
        """Integral of L^2 over planes across the scattered ray.

        Parameters
        ----------
        distance : ndarray (n,)
            Of the plane from the reflection, along the ray, 1/m.
        along : ndarray (n, 3)
            The unit vector of the ray in the crystal's frame: its products with a*, b*, c*, 1/m.

        Returns
        -------
        ndarray (n,)
            1/m^2.
        """
        return _engine.spot_slices(
            self.record(), np.ascontiguousarray(distance, float), np.ascontiguousarray(along, float)
        )


def absorption_depth(thickness: float, mu: float, cosine: FloatArray) -> FloatArray:
    """Mean path in a sensor before absorption, of the photons that it absorbs.

    Parameters
    ----------
    thickness, mu : float
        m and 1/m.
    cosine : ndarray (n,)
        Of the angle between ray and normal.

    Returns
    -------
    ndarray (n,)
        Along the ray, m: 1/mu - s/(exp(mu s) - 1) with the slanted thickness s; 0 without a sensor.
    """
    if thickness <= 0.0 or mu <= 0.0:
        return np.zeros_like(cosine)
    slanted = thickness / cosine
    u = mu * slanted
    return np.asarray(np.where(u < 1e-4, slanted / 2.0, 1.0 / mu - slanted / np.expm1(np.maximum(u, 1e-4))))

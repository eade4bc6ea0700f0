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
from typing import TYPE_CHECKING

import numpy as np

from ..base.constants import GAUSS_WIDTH, SPHERE_SCALE, TOPHAT_RADIUS_SQR
from ..base.vectors import FloatArray

if TYPE_CHECKING:
    from ..scene.record import CrystalBlock

__all__ = ["Spot", "absorption_depth"]

#: below this many radians of phase over the crystal the closed form of the square cancels, and a quadrature
#: of this many nodes is exact to rounding
_FEW_RADIANS, _NODES = 6.0, 24


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
        self._inverse = np.linalg.inv(crystal.shape_metric)
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
        if self._shape == "square":
            return self._square(distance, along)
        # q^T G q = fudge radius^2 with G the metric in the laboratory; d^T G^-1 d is its width along the ray
        width_sqr = np.einsum("ni,ij,nj->n", along, self._inverse, along)
        area = np.sqrt(np.linalg.det(self._inverse) / width_sqr) / self.cell_volume
        radius_sqr = self._fudge * distance**2 / width_sqr  # of the point of the plane nearest to the centre
        scale = self._peak * area / self._fudge
        if self._shape == "gauss":
            half = GAUSS_WIDTH / 2.0
            return np.asarray(scale * math.pi * half * np.exp(-radius_sqr / half))
        if self._shape == "tophat":
            return np.asarray(scale * math.pi * np.maximum(TOPHAT_RADIUS_SQR - radius_sqr, 0.0))
        return np.asarray(scale * SPHERE_SCALE**2 * _sphere_slice(np.pi * np.sqrt(radius_sqr)) / math.pi**2)

    def centre(self, distance: FloatArray, along: FloatArray) -> FloatArray:
        """The point of each plane where L^2 is largest, in indices from the reflection.

        Parameters
        ----------
        distance, along
            As of `slice`.

        Returns
        -------
        ndarray (n, 3)
        """
        towards = along @ self._inverse
        width_sqr = (towards * along).sum(axis=1)
        return np.asarray(towards * (distance / width_sqr)[:, np.newaxis])

    def reach(self, along: FloatArray, least: float) -> FloatArray:
        """Distance, 1/m, beyond which a slice is below ``least`` times the largest, at most.

        An upper bound: the shapes with edges ("square", "round") fall off with the square of the distance.
        """
        if self._shape == "square":
            longest = (self._N / np.maximum(np.abs(along), 1e-300)).min(axis=1)
            # |S| <= 4 (3/T) / w^2 and S(0) >= T/2 of the autocorrelation's height, w = 2 pi e
            return np.asarray(math.sqrt(24.0 / least) / (2.0 * math.pi * longest))
        width = np.sqrt(np.einsum("ni,ij,nj->n", along, self._inverse, along) / self._fudge)
        if self._shape == "gauss":
            return np.asarray(width * math.sqrt(-math.log(least) * GAUSS_WIDTH / 2.0))
        if self._shape == "tophat":
            return np.asarray(width * math.sqrt(TOPHAT_RADIUS_SQR))
        return np.asarray(width / (math.pi * math.sqrt(least)) * math.sqrt(2.0))

    def _square(self, distance: FloatArray, along: FloatArray) -> FloatArray:
        """2/V integral over t > 0 of prod (N_i - t |a*_i . d|) cos(2 pi e t), up to the first zero."""
        slope = np.abs(along)
        end = (self._N / np.maximum(slope, 1e-300)).min(axis=1)
        # in x = t/end the factors are N_i (1 - r_i x), 0 <= r_i <= 1
        r = slope * end[:, np.newaxis] / self._N
        phase = np.abs(2.0 * math.pi * distance * end)
        one, two, three = r.sum(axis=1), r[:, 0] * r[:, 1] + (r[:, 0] + r[:, 1]) * r[:, 2], r.prod(axis=1)
        result = np.empty_like(phase)
        few = phase < _FEW_RADIANS
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        x = 0.5 * (nodes + 1.0)
        value = 1.0 - x * (one[few, None] - x * (two[few, None] - x * three[few, None]))
        result[few] = 0.5 * (value * np.cos(phase[few, None] * x)) @ weights
        many = ~few
        w, a, b, c = phase[many], one[many], two[many], three[many]
        sine, cosine = np.sin(w), np.cos(w)
        # by parts: [p sin/w + p' cos/w^2 - p'' sin/w^3 - p''' cos/w^4] from 0 to 1
        at_end, slope_end = 1.0 - a + b - c, -a + 2.0 * b - 3.0 * c
        bend_end = 2.0 * b - 6.0 * c
        result[many] = (
            at_end * sine / w
            + (slope_end * cosine + a) / w**2
            - bend_end * sine / w**3
            + 6.0 * c * (cosine - 1.0) / w**4
        )
        return np.asarray(2.0 * end * float(np.prod(self._N)) / self.cell_volume * result)


def _sphere_slice(x: FloatArray) -> FloatArray:
    """Integral of (3 (sin u - u cos u)/u^3)^2 over the plane at distance x from the centre.

    = 9 pi/2 (j0(x)^2 + j1(x)^2) with the spherical Bessel functions.
    """
    safe = np.maximum(x, 1e-3)
    zeroth = np.where(x < 1e-3, 1.0 - x**2 / 6.0, np.sin(safe) / safe)
    first = np.where(x < 1e-2, x / 3.0 - x**3 / 30.0, (np.sin(safe) / safe - np.cos(safe)) / safe)
    return np.asarray(4.5 * math.pi * (zeroth**2 + first**2))


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

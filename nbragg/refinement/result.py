"""What a refinement found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..inverse.information import Information, information_of
from ..inverse.noise import FLOOR
from ..inverse.places import background_basis, background_names
from ..model.setup import Setup
from ..scene.parameters import expand
from .amplitudes import Amplitudes
from .frame import Frame
from .joint import Line, Stand, pseudo_inverse

__all__ = ["Refinement"]

Array = NDArray[np.float64]


class Refinement:
    """Parameters found from images, and how well.

    Attributes
    ----------
    setups : tuple of Setup
        Of each image, at the values found; rotations are taken up into orientations.
    parameters : tuple of str
        Of one image; those that images share are the same in all.
    units : tuple of str
    shared : tuple of str
    start, values : ndarray (images, p)
        Before and after.  Of rotations the start is 0, and the value what they moved by.
    sigma : ndarray (images, p)
        Standard deviations, from the information of all images with that of restraints; infinite where a
        parameter is not determined.
    background : list of dict of str to float
        Coefficients of each image, photons a pixel.
    converged : bool
    message : str
        Why not.
    history : tuple of Line
        Every step.
    amplitudes : Amplitudes or None
        Structure factors that were found; `setups` have them.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        free: tuple[str, ...],
        common: NDArray[np.bool_],
        begun: Sequence[Array],
        turned: Sequence[Array],
        stand: Stand,
        history: Sequence[Line],
    ) -> None:
        self._frames = tuple(frames)
        self.amplitudes: Amplitudes | None = None
        self._amplitudes_free = 0.0
        self.setups = tuple(frame.setup for frame in frames)
        self.parameters, self.history = free, tuple(history)
        self.shared = tuple(name for name, one in zip(free, common, strict=True) if one)
        self.units = tuple(p.unit for p in expand(free, frames[0].setup))
        self.start = np.array(begun)
        rotations = [name.startswith("crystal") and ".rotation_deg" in name for name in free]
        found = [np.array([p.value for p in expand(free, frame.setup)]) for frame in frames]
        self.values = np.where(rotations, self.start + np.array(turned), np.array(found))
        names = background_names(frames[0].kind)
        self.background = [dict(zip(names, frame.background.tolist(), strict=True)) for frame in frames]
        self.converged, self.message = stand.converged, stand.message
        self._normals, self._common = stand.normals, np.concatenate([common, np.zeros(len(names), bool)])
        self._names = (*free, *names)
        self._units = (*self.units, *("photons" for _ in names))
        self.sigma = np.array(
            [list(self.information(k).sigma.values())[: len(free)] for k in range(len(frames))]
        )

    def __repr__(self) -> str:
        images = f"{len(self.setups)} images, " if len(self.setups) > 1 else ""
        how = "converged" if self.converged else "not converged"
        return (
            f"Refinement({images}{len(self.parameters)} parameters, {how}, chi_square {self.chi_square:.3f})"
        )

    @property
    def setup(self) -> Setup:
        """Of the only image."""
        return self.setups[self._number(None)]

    def _number(self, image: int | None) -> int:
        if image is None:
            if len(self.setups) > 1:
                raise InputError(f"there are {len(self.setups)} images: give the number of one, from 0")
            return 0
        if not -len(self.setups) <= image < len(self.setups):
            raise InputError(f"image {image}: there are {len(self.setups)}, from 0")
        return int(image) % len(self.setups)

    def information(self, image: int | None = None) -> Information:
        """Of an image's parameters, then coefficients of its background; of all images' data.

        Parameters
        ----------
        image : int, optional
            From 0; None: the only one.
        """
        k = self._number(image)
        g, own = self._common, ~self._common
        F = self._normals[k].H.copy()
        for j, other in enumerate(self._normals):
            if j != k and g.any():
                mixed = other.H[np.ix_(g, own)]
                F[np.ix_(g, g)] += (
                    other.H[np.ix_(g, g)] - mixed @ pseudo_inverse(other.H[np.ix_(own, own)], 0.0) @ mixed.T
                )
        values = [*self.values[k], *self._frames[k].background]
        return information_of(F, self._names, np.array(values), self._units)

    def expected(self, image: int | None = None) -> Array:
        """Photons that the model expects in each pixel, background included, shape of the data."""
        frame = self._frames[self._number(image)]
        scene = frame.simulator.scene
        light = np.asarray(frame.full_image(), np.float64)
        basis = background_basis(frame.kind, scene, np.arange(light.size))
        return np.asarray(light + (frame.background @ basis).reshape(light.shape) + frame.fixed)

    def residual(self, image: int | None = None) -> Array:
        """Data less expectation, in standard deviations; NaN where pixels do not count."""
        frame = self._frames[self._number(image)]
        photons = self.expected(image)
        off = (frame.data - frame.noise.gain * photons) / np.sqrt(
            frame.noise.variance(np.maximum(photons, FLOOR))
        )
        return np.where(frame.used, off, np.nan)

    @property
    def chi_square(self) -> float:
        """Mean square of `residual` over the pixels that counted, for the parameters' number."""
        total, number = 0.0, 0
        for k, frame in enumerate(self._frames):
            off = self.residual(k).reshape(-1)[frame.pixels.at]
            total, number = total + float(np.sum(off**2)), number + len(off)
        free = len(self.setups) * int((~self._common).sum()) + int(self._common.sum())
        return total / max(number - free - self._amplitudes_free, 1)

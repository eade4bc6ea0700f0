"""What a refinement found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..inverse.information import Information, information_of
from ..inverse.places import background_names
from ..model.setup import Setup
from ..scene.parameters import expand
from ..simulation.simulator import Simulator
from .amplitudes import Amplitudes
from .fitted import Fitted, expected, residual
from .joint import Line, Stand, pseudo_inverse
from .measured import Source, with_one_list
from .scoring import Normal

if TYPE_CHECKING:
    from ..engine.options import RenderOptions
    from ..inverse.noise import Noise

__all__ = ["Outcome", "Refinement"]

Array = NDArray[np.float64]


class Outcome(NamedTuple):
    """What came of all images together.

    Attributes
    ----------
    free, common
        As of `Course`.
    lines : sequence of Line
    stand : Stand
    amplitudes : Amplitudes or None
    amplitudes_free : float
        How many of them the data say something of.
    """

    free: tuple[str, ...]
    common: NDArray[np.bool_]
    lines: Sequence[Line]
    stand: Stand
    amplitudes: Amplitudes | None = None
    amplitudes_free: float = 0.0


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
        Every step; of images that share nothing, those of each one after the other.
    chi_squares : ndarray (images,)
        Mean square of each image's `residual` over the pixels that counted.
    left_out : tuple of str
        What of each image's pixels the file, or its numbers, say not to count.
    amplitudes : Amplitudes or None
        Structure factors that were found; `setups` have them.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        fitted: Sequence[Fitted],
        outcome: Outcome,
        noise: Noise,
        kind: str,
        known: Array,
        options: RenderOptions,
    ) -> None:
        self._sources, self._fitted = tuple(sources), tuple(fitted)
        self._noise, self._kind, self._known, self._options = noise, kind, known, options
        self.amplitudes, self._amplitudes_free = outcome.amplitudes, outcome.amplitudes_free
        self.setups = tuple(with_one_list([one.setup for one in fitted]))
        free, common, stand = outcome.free, outcome.common, outcome.stand
        self.parameters, self.history = free, tuple(outcome.lines)
        self.shared = tuple(name for name, one in zip(free, common, strict=True) if one)
        self.units = tuple(p.unit for p in expand(free, fitted[0].setup))
        self.start = np.array([one.begun for one in fitted])
        rotations = [name.startswith("crystal") and ".rotation_deg" in name for name in free]
        found = [np.array([p.value for p in expand(free, one.setup)]) for one in fitted]
        self.values = np.where(
            rotations, self.start + np.array([one.turned for one in fitted]), np.array(found)
        )
        names = background_names(kind)
        self.background = [dict(zip(names, one.background.tolist(), strict=True)) for one in fitted]
        self.converged, self.message = stand.converged, stand.message
        self.left_out = tuple(one.said for one in fitted)
        self.chi_squares = np.array([one.square / one.counted for one in fitted])
        self._normals, self._common = stand.normals, np.concatenate([common, np.zeros(len(names), bool)])
        self._names = (*free, *names)
        self._units = (*self.units, *("photons" for _ in names))
        self._says = [self._of_shared(normal) for normal in self._normals]
        self._said = np.sum(self._says, axis=0)
        self.sigma = np.array(
            [list(self.information(k).sigma.values())[: len(free)] for k in range(len(fitted))]
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
        k, g = self._number(image), self._common
        F = self._normals[k].H.copy()
        if len(self._normals) > 1:
            F[np.ix_(g, g)] += self._said - self._says[k]
        values = [*self.values[k], *self._fitted[k].background]
        return information_of(F, self._names, np.array(values), self._units)

    def _of_shared(self, normal: Normal) -> Array:
        """What an image says of the parameters that all share, its own eliminated."""
        g, own = self._common, ~self._common
        mixed = normal.H[np.ix_(g, own)]
        return np.asarray(
            normal.H[np.ix_(g, g)] - mixed @ pseudo_inverse(normal.H[np.ix_(own, own)], 0.0) @ mixed.T
        )

    def expected(self, image: int | None = None) -> Array:
        """Photons that the model expects in each pixel, background included, shape of the data."""
        one = self._fitted[self._number(image)]
        return expected(one.setup, one.background, self._kind, self._known, self._options)

    def residual(self, image: int | None = None) -> Array:
        """Data less expectation, in standard deviations; NaN where pixels do not count."""
        k = self._number(image)
        scene = Simulator(self.setups[k], self._options).scene
        return residual(self.expected(k), self._sources[k].load(scene, self._noise), self._noise)

    @property
    def chi_square(self) -> float:
        """Mean square of `residual` over the pixels that counted, for the parameters' number."""
        number = sum(one.counted for one in self._fitted)
        free = len(self.setups) * int((~self._common).sum()) + int(self._common.sum())
        left = max(number - free - self._amplitudes_free, 1)
        return float(sum(one.square for one in self._fitted) / left)

"""Several lattices in one image: the same crystal in random orientations, their number given or drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _engine
from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.rotations import rotations_of_uniform
from ..base.vectors import FloatArray
from ..model.crystal import Crystal
from ..model.sample import Sample

__all__ = ["Lattices"]

#: of the random numbers of beyond 13
_STAGE = 21
#: a mean beyond this is a slip of the pen
_MOST = 1000


@frozen(kw_only=True)
class Lattices(Record):
    """How many crystals an image shows: a number, or one drawn for each image (beyond 17.4).

    Parameters
    ----------
    number : int, optional
        The same for every image; 0: a blank.
    mean : float, optional
        Of a Poisson distribution, from which each image draws; in its place.

    Raises
    ------
    InputError
        Unless one of the two is given, and for numbers below 0 or above 1000.

    Examples
    --------
    >>> import nbragg
    >>> shots = nbragg.Lattices(mean=1.3)
    >>> [shots.count(seed=1, image=i) for i in range(8)]
    [2, 2, 1, 2, 3, 3, 0, 2]
    """

    number: int | None = None
    mean: float | None = None

    def __post_init__(self) -> None:
        if (self.number is None) == (self.mean is None):
            raise InputError("the number of lattices: give number, or the mean of a Poisson distribution")
        number = check.optional_count("number of lattices", self.number, at_least=0, at_most=_MOST)
        self._set("number", number)
        self._set("mean", check.optional_number("mean", self.mean, at_least=0, at_most=_MOST))

    def count(self, seed: int, image: int) -> int:
        """Lattices of an image, by seed and number of the image alone."""
        if self.mean is None:
            return self.number or 0
        return int(_engine.deviates("poisson", seed, image, _STAGE, np.zeros(1, np.uint64), self.mean)[0])

    def orientations(self, seed: int, image: int) -> FloatArray:
        """Rotations of the lattices of an image beside the first, uniform, (count - 1, 3, 3)."""
        count = max(self.count(seed, image) - 1, 0)
        pixels = np.arange(1, 3 * count + 1, dtype=np.uint64)
        u = _engine.deviates("uniform", seed, image, _STAGE, pixels)
        return rotations_of_uniform(np.asarray(u).reshape(count, 3))

    def sample(self, crystal: Crystal, seed: int, image: int, first: Any = None) -> Sample:
        """The crystals of an image: ``crystal``, in the orientation ``first`` if given, and random ones.

        An image without lattices has one of weight 0.
        """
        if first is not None:
            crystal = crystal.with_orientation(first)
        if crystal.N_distribution is not None:
            crystal = crystal.replace(size_seed=seed, image=image)
        if self.count(seed, image) == 0:
            return Sample((crystal,), (0.0,))
        others = (crystal.with_orientation(turn) for turn in self.orientations(seed, image))
        return Sample((crystal, *others))

"""Parameters given as arrays by name, one array for a group: their order, and their parts of one vector."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..scene.parameters import expand

if TYPE_CHECKING:
    from ..model.setup import Setup

__all__ = ["Layout", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """How arrays by name lie in a vector of p single parameters.

    Attributes
    ----------
    names : tuple of str
        The p parameters.
    shapes : tuple of tuple of int
        Of the arrays, in the order given.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    def join(self, arrays: Sequence[Any]) -> NDArray[np.float64]:
        """The vector, from arrays in the order given."""
        return np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in arrays])

    def split(self, vector: NDArray[Any]) -> list[NDArray[Any]]:
        """The arrays, from a vector."""
        ends = [0, *itertools.accumulate(math.prod(shape) for shape in self.shapes)]
        return [
            vector[first:last].reshape(shape)
            for (first, last), shape in zip(itertools.pairwise(ends), self.shapes, strict=True)
        ]


def layout_of(parameters: Mapping[str, tuple[int, ...]], setup: Setup) -> Layout:
    """The layout of arrays of given shapes.

    Parameters
    ----------
    parameters : mapping of str to tuple of int
        Name of a parameter or a group to the shape of its array.
    setup : Setup
        For what groups consist of.

    Raises
    ------
    InputError
        For no parameter, an unknown one, one that is named twice, and an array of another size.
    """
    if not parameters:
        raise InputError('no parameter is given: give at least one, for example "crystal.rotation_deg"')
    names: list[str] = []
    for name, shape in parameters.items():
        members = [parameter.name for parameter in expand([name], setup)]
        if math.prod(shape) != len(members):
            listed = f": {', '.join(members)}" if len(members) > 1 else ""
            raise InputError(f"{name} has the shape {shape}; {len(members)} numbers were expected{listed}")
        names += members
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{', '.join(twice)}: given twice, by itself and in a group")
    return Layout(tuple(names), tuple(map(tuple, parameters.values())))

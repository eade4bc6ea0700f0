"""What the images of one shard have alike, and their masks, of which there are few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError
from ...base.names import suggestion
from .made import Made

__all__ = ["Alike", "Masks", "chosen"]

Array = NDArray[Any]


class Alike:
    """Shape and type of the images and label images of a shard: those of its first.

    Attributes
    ----------
    count : int
        Images so far.
    """

    def __init__(self, path: str) -> None:
        self.count = 0
        self._path = path
        self._first: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

    def arrays(self, made: Made) -> dict[str, Array]:
        """The image under the name "", and its label images.

        Raises
        ------
        InputError
            When they differ from those of the first.
        """
        found = {"": np.asarray(made.image)}
        found |= {name: np.asarray(image) for name, image in made.labels["images"].items()}
        kinds = {name: (array.shape, array.dtype) for name, array in found.items()}
        if not self.count:
            self._first = kinds
        if kinds != self._first:
            raise InputError(
                f"{self._path}: image {made.labels['image']} has {_told(kinds)}; the first of its file has "
                f"{_told(self._first)}, and all were expected alike"
            )
        self.count += 1
        return found


def _told(kinds: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(
        f"{name or 'pixels'} {shape} of {dtype}" for name, (shape, dtype) in sorted(kinds.items())
    )


class Masks:
    """The different masks of the images of a shard."""

    def __init__(self) -> None:
        self.known: list[NDArray[np.bool_]] = []

    def number(self, mask: NDArray[np.bool_] | None) -> int:
        """Of a mask among those known, to which it is added if it is new; -1 for none."""
        if mask is None:
            return -1
        for number in reversed(range(len(self.known))):
            if self.known[number] is mask or np.array_equal(self.known[number], mask):
                return number
        self.known.append(np.asarray(mask, dtype=np.bool_))
        return len(self.known) - 1


def chosen(path: str, there: Iterable[str], wanted: Iterable[str] | None) -> list[str]:
    """Names of label images to read; None: all that there are.

    Raises
    ------
    InputError
        For one that the shard has not.
    """
    known = list(there)
    if wanted is None:
        return known
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in known:
            has = ", ".join(known) or "none"
            raise InputError(
                f"{path} has no label image {name!r}{suggestion(name, known)}; it has {has}: `label_images` "
                "of the recipe says which are made"
            )
    return names

"""Results of the stages by which a Scene is made, kept for the next one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..base.records import FrozenArrays

__all__ = ["Stages"]

T = TypeVar("T")

#: arrays of no more numbers are compared: a direction, a matrix
_SMALL = 9


class Stages:
    """Runs pure functions and keeps the latest result of each with the inputs it came from.

    A stage whose inputs are those of the time before is not run again, and neither are the warnings it gives.
    Records and large arrays are the same input when they are the same object, small arrays that nobody can
    write to when they have the same bits, all else when it is equal.  Whoever runs the stages within a stage
    is no input of it.  A series whose images share most inputs so makes only what changes; threads may share
    one, since an entry is exchanged as a whole.

    Parameters
    ----------
    kept : Stages, optional
        Whose results are at hand to begin with; it stays as it is.
    held : frozenset of callables
        Stages that are not run again whatever their inputs, once there is a result.
    """

    def __init__(self, kept: Stages | None = None, held: frozenset[Callable[..., Any]] = frozenset()) -> None:
        self._kept: dict[Hashable, tuple[tuple[Any, ...], Any]] = {} if kept is None else dict(kept._kept)
        self._held = held

    def __call__(self, stage: Callable[..., T], *inputs: Any, part: int = 0) -> T:
        """``stage(*inputs)``; ``part`` tells apart what a stage makes for several crystals."""
        key = (stage, part)
        given = tuple([one for one in inputs if type(one) is not Stages])
        kept = self._kept.get(key)
        if kept is not None:
            if stage in self._held:
                held: T = kept[1]
                return held
            for before, now in zip(kept[0], given, strict=True):
                if before is not now and not _same(before, now):
                    break
            else:
                unchanged: T = kept[1]
                return unchanged
        result = stage(*inputs)
        self._kept[key] = (given, result)
        return result

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": {}, "_held": frozenset()}  # another process makes its own


def _same(a: Any, b: Any) -> bool:
    kind = type(a)
    if kind is not type(b) or issubclass(kind, FrozenArrays):
        return False
    if issubclass(kind, np.ndarray):
        return _same_bits(a, b)
    if issubclass(kind, tuple):
        return len(a) == len(b) and all(x is y or _same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a.size > _SMALL or a.shape != b.shape or a.dtype != b.dtype or a.flags.writeable or b.flags.writeable:
        return False
    return a.tobytes() == b.tobytes()

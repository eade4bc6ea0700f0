"""Modules on one grid with gaps between them: pixels, and which of them are in the gaps (beyond 18.5)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..base import validate as check
from ..base.errors import InputError

__all__ = ["ModuleGrid"]


class ModuleGrid(NamedTuple):
    """A detector of equal modules, all on one grid of pixels; pairs are (fast, slow).

    Attributes
    ----------
    modules : (int, int)
        How many along each axis.
    module : (int, int)
        Pixels of one.
    gap : (int, int)
        Pixels between two.
    """

    modules: tuple[int, int]
    module: tuple[int, int]
    gap: tuple[int, int] = (0, 0)

    def checked(self) -> ModuleGrid:
        """The same with whole numbers.

        Raises
        ------
        InputError
            For counts that are not whole or out of their range.
        """
        return ModuleGrid(
            _counts("modules", self.modules, 1),
            _counts("module", self.module, 1),
            _counts("gap", self.gap, 0),
        )

    @property
    def pixels(self) -> tuple[int, int]:
        """Of the whole grid, gaps included."""
        fast, slow = (
            count * pixels + (count - 1) * gap
            for count, pixels, gap in zip(self.modules, self.module, self.gap, strict=True)
        )
        return fast, slow

    @property
    def masked(self) -> int:
        """Pixels in the gaps."""
        fast, slow = self.pixels
        return fast * slow - self.modules[0] * self.module[0] * self.modules[1] * self.module[1]

    @property
    def mask(self) -> npt.NDArray[np.uint8] | None:
        """(slow, fast): 0 in the gaps; None where there are none."""
        if not self.masked:
            return None
        along = [
            np.arange(total) % (pixels + gap) < pixels
            for total, pixels, gap in zip(self.pixels, self.module, self.gap, strict=True)
        ]
        mask = (along[1][:, np.newaxis] & along[0]).astype(np.uint8)
        mask.setflags(write=False)
        return mask


def _counts(name: str, pair: Any, least: int) -> tuple[int, int]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise InputError(f"{name} must be two whole numbers, (fast, slow), not {pair!r}")
    fast, slow = (check.count(f"{name}[{i}]", n, least, at_most=2**20) for i, n in enumerate(pair))
    return fast, slow

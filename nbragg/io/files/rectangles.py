"""Masks as lists of rectangles: gaps between modules are a few."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["Rectangle", "mask_of", "masked_rectangles"]

#: (fmin, fmax, smin, smax), inclusive
Rectangle = tuple[int, int, int, int]


def masked_rectangles(mask: npt.NDArray[np.uint8], most: int) -> list[Rectangle] | None:
    """Rectangles that cover exactly the pixels that are 0.

    Runs along fast that are the same in rows that follow each other are one rectangle.

    Parameters
    ----------
    mask : ndarray (slow, fast)
    most : int
        None is returned where more rectangles are needed.
    """
    used = mask != 0
    starts = np.flatnonzero(np.append(True, (used[1:] != used[:-1]).any(axis=1))).tolist()
    open_runs: dict[tuple[int, int], int] = {}
    done: list[Rectangle] = []
    for s in [*starts, len(used)]:
        runs: set[tuple[int, int]] = set()
        if s < len(used):
            edges = np.flatnonzero(np.diff(np.concatenate([[1], used[s], [1]]).astype(np.int8)))
            runs = {(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)}
        for run in [run for run in open_runs if run not in runs]:
            done.append((*run, open_runs.pop(run), s - 1))
        for run in runs:
            open_runs.setdefault(run, s)
        if len(done) + len(open_runs) > most:
            return None
    return sorted(done, key=lambda r: (r[2], r[0]))


def mask_of(rectangles: Iterable[Rectangle], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The mask (slow, fast) that is 0 in the rectangles: the inverse of `masked_rectangles`."""
    mask = np.ones(shape, np.uint8)
    for fmin, fmax, smin, smax in rectangles:
        mask[smin : smax + 1, fmin : fmax + 1] = 0
    return mask

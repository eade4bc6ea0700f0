"""Sizes of crystals that differ from image to image or from domain to domain (beyond 17.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._engine import deviates
from ..base import numbers
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..model.crystal import Crystal

__all__ = ["drawn_cells"]

#: of the random numbers of beyond 13
_STAGE = 19


def drawn_cells(crystal: Crystal, edges: Any, first: int, count: int) -> FloatArray:
    """Unit cells along a, b, c of some crystals or domains, by seed and number of the image.

    Parameters
    ----------
    crystal : Crystal
        Of which ``N_distribution`` says the distribution.
    edges : 3 floats
        Of the cell, angstrom.
    first : int
        Number of the first of them in its image.
    count : int

    Returns
    -------
    ndarray (count, 3)
        At least 1; whole numbers for a block.

    Raises
    ------
    InputError
        For a list that is too short.
    """
    kind, given = crystal.N_distribution[0], crystal.N_distribution[1:]  # type: ignore[index]
    place = np.arange(3 * first, 3 * (first + count), dtype=np.uint64)

    def draw(of: str) -> FloatArray:
        return np.asarray(deviates(of, crystal.size_seed, crystal.image, _STAGE, place)).reshape(count, 3)

    if kind == "listed":
        rows = np.array(given[0])
        # of images, one row each; of domains, all rows in each image
        last = first + count if crystal.N_domains else crystal.image + 1
        if last > len(rows):
            what = "domains" if crystal.N_domains else "images"
            raise InputError(f"N_distribution lists {len(rows)} sizes, and there are {last} {what} at least")
        cells = (
            rows[first:last] if crystal.N_domains else np.repeat(rows[crystal.image : last], count, axis=0)
        )
    elif kind == "uniform":
        least, most = given
        nanometres = least + (most - least) * draw("uniform")
        cells = np.ceil(10.0 * nanometres / np.array([edge.real for edge in edges]))
    else:
        widths = np.array(given[0] if isinstance(given[0], tuple) else (given[0],))
        z = draw("normal")[:, : len(widths)]
        cells = numbers.array(crystal.N) * np.exp(widths * z - 0.5 * widths**2)
    if crystal.shape == "square":
        cells = np.rint(cells.real)
    return np.where(cells.real < 1.0, 1.0, cells)

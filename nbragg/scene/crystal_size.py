"""How many unit cells, and how fine the pixels must then be cut (canonical 3.1, 5.5)."""

from __future__ import annotations

import math

import numpy as np

from ..base import numbers
from ..base.errors import InputError
from ..base.unit_cell import UnitCell
from ..base.vectors import FloatArray
from ..base.warn import warn
from ..model.crystal_checks import cells_tensor

__all__ = [
    "block_count",
    "block_edges",
    "cells_along_axes",
    "clip_to_beam",
    "crystal_volume",
    "effective_cells",
    "recommended_oversample",
]

Sizes = tuple[float | None, float | None, float | None]


def clip_to_beam(size_mm: Sizes, beamsize_mm: float) -> Sizes:
    """The sizes along b and c, no larger than the beam (canonical 3.1); a negative beam size is unlimited.

    A beam of size 0 leaves no size to count cells from: N decides, as for a size not given.
    """
    clipped: list[float | None] = [size_mm[0]]
    for axis, size in zip("bc", size_mm[1:], strict=True):
        if size is not None and 0 <= beamsize_mm.real < size:
            warn(
                f"size_mm along {axis} is clipped from {size:g} to {beamsize_mm:g} mm, "
                "the beam size (beamsize_mm)"
            )
            size = beamsize_mm or None
        clipped.append(size)
    return clipped[0], clipped[1], clipped[2]


def block_edges(size_mm: Sizes, block_size_mm: Sizes) -> Sizes:
    """What decides the cells of a block along a, b, c; None where N does.

    That is the crystal where it is one block, and else the block, no larger than what the beam meets of the
    crystal.
    """
    if not any(block_size_mm):
        return size_mm
    pairs = zip(size_mm, block_size_mm, strict=True)
    a, b, c = (size if block and size and size.real < block else block for size, block in pairs)
    return a, b, c


def crystal_volume(size_mm: Sizes, cell: UnitCell) -> float:
    """Of a crystal with these edges along a, b, c, cubic micrometre.

    Raises
    ------
    InputError
        For an edge that a beam of no size leaves none of.
    """
    volume = cell.volume / numbers.scalar(cell.edges[0] * cell.edges[1] * cell.edges[2])
    for size in size_mm:
        if size is None:
            raise InputError("block_size_mm: beamsize_mm 0 lights nothing of the crystal: give one above 0")
        volume = volume * (size * 1e3)
    return numbers.scalar(volume)


def cells_along_axes(N: tuple[float, float, float], size_mm: Sizes, cell: UnitCell) -> FloatArray:
    """Unit cells along a, b, c: ceil(size/edge) where a size is given, else N (canonical 5.5)."""
    edges = cell.edges
    cells = [
        numbers.scalar(n) if size is None else math.ceil(size.real * 1e-3 / (edge.real * 1e-10))
        for n, size, edge in zip(N, size_mm, edges, strict=True)
    ]
    return numbers.array(cells)


def effective_cells(along: FloatArray, off: tuple[float, float, float]) -> FloatArray:
    """Three numbers whose product is that of all cells: those along the axes, or the same for a tensor.

    Parameters
    ----------
    along : ndarray (3,)
    off : (Nd, Ne, Nf)
        Off the diagonal (beyond 17.2).
    """
    if not any(off):
        return along
    volume = numbers.scalar(np.linalg.det(cells_tensor(along, off)))
    return np.full(3, volume ** (1.0 / 3.0))


def block_count(volume_um3: float | None, cells: FloatArray, cell: UnitCell) -> float:
    """How many blocks of so many cells fill a volume; 1 where none is given."""
    if volume_um3 is None:
        return 1.0
    block = numbers.scalar(cells[0] * cells[1] * cells[2]) * numbers.scalar(cell.volume)
    return volume_um3 * 1e12 / block


def recommended_oversample(longest: float, wavelength: float, distance: float, pixel_size: float) -> int:
    """Sub-pixels per edge: ceil(3 * longest edge / (lambda * distance / pixel)), at least 1 (canonical 5.5).

    Parameters
    ----------
    longest, wavelength, distance, pixel_size : float
        Metres.
    """
    wavelength, distance, pixel_size = wavelength.real, distance.real, pixel_size.real
    return max(math.ceil(3.0 * longest / (wavelength * distance / pixel_size)), 1)

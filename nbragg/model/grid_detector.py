"""Detectors of equal modules on one grid, made by hand (beyond 18.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .detector import Detector
from .module_grid import ModuleGrid
from .panel import both_masks, mask_array

__all__ = ["grid"]


def grid(
    modules: tuple[int, int],
    module: tuple[int, int],
    gap: tuple[int, int] = (0, 0),
    pixel_mm: float | tuple[float, float] = 0.1,
    **fields: Any,
) -> Detector:
    """A detector of one panel whose gaps between modules are masked.

    It renders faster than one of many panels, and its image is the array that the maker's files hold.

    Parameters
    ----------
    modules : (int, int)
        How many along fast and slow.
    module : (int, int)
        Pixels of one, along fast and slow.
    gap : (int, int)
        Pixels between two, along fast and slow.
    pixel_mm : float or (fast, slow)
        Pixel edges, mm.
    **fields
        Of `Detector`: ``distance_mm``, ``thickness_um`` ...; a ``mask`` masks pixels beside the gaps.

    Returns
    -------
    Detector
        Of modules x pixels + (modules - 1) x gap pixels along each axis.

    Raises
    ------
    InputError
        For counts that are not whole, a mask of another size, and as `Detector`.

    Examples
    --------
    >>> import nbragg
    >>> pilatus = nbragg.grid(modules=(5, 12), module=(487, 195), gap=(7, 17), pixel_mm=0.172)
    >>> pilatus.fpixels, pilatus.spixels, int((pilatus.mask == 0).sum())
    (2463, 2527, 526101)
    """
    whole = ModuleGrid(modules, module, gap).checked()
    fpixels, spixels = whole.pixels
    more = fields.pop("mask", None)
    mask = whole.mask
    if more is not None:
        every = np.ones((spixels, fpixels), np.uint8)
        mask = both_masks(every if mask is None else mask, mask_array(more))
    return Detector(pixel_mm=pixel_mm, fpixels=fpixels, spixels=spixels, mask=mask, **fields)

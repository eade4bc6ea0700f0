"""Panels from the places of their pixels, as other programs list them (beyond 18.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import InputError
from ..base.vectors import FloatArray, orthogonal_pair
from ..base.warn import warn
from .panel import Panel

__all__ = ["fitted_panels"]

#: part of a pixel that places may be off the panel that is fitted to them
_RESIDUAL = 0.1

#: cosine between the axes above which making them orthogonal is told
_SKEW_TOLD = 1e-3


def fitted_panels(positions: Any, names: Sequence[str] | None = None, **fields: Any) -> tuple[Panel, ...]:
    """Panels whose pixels are where an array says, by least squares.

    Parameters
    ----------
    positions : array_like (panels, slow, fast, 3), or a sequence of (slow, fast, 3)
        Centres of the pixels, m, laboratory frame; at least 2 x 2 pixels a panel.
    names : sequence of str, optional
        One for each panel.
    **fields
        Of every `Panel`.

    Raises
    ------
    InputError
        For arrays of another shape or not finite, and where a pixel is more than 0.1 pixels from its place.
    """
    listed = [np.asarray(one, dtype=np.float64) for one in positions]
    if not listed:
        raise InputError("positions: no panel")
    if names is not None and len(names) != len(listed):
        raise InputError(f"{len(names)} names for {len(listed)} panels: give one for each")
    called = list(names) if names is not None else [f"p{i}" for i in range(len(listed))]
    return tuple(_fitted(one, i, called[i], fields) for i, one in enumerate(listed))


def _fitted(places: FloatArray, number: int, name: str, fields: dict[str, Any]) -> Panel:
    if places.ndim != 3 or places.shape[2] != 3 or min(places.shape[:2]) < 2 or not np.isfinite(places).all():
        raise InputError(
            f"positions[{number}] has the shape {places.shape}; finite numbers (slow, fast, 3), of at least "
            "2 x 2 pixels, were expected"
        )
    # on a grid the slopes along its axes are independent of each other
    slow, fast = (np.arange(n) - (n - 1) / 2 for n in places.shape[:2])
    middle = places.mean(axis=(0, 1))
    along_fast = np.tensordot(fast, places.mean(axis=0), 1) / (fast @ fast)
    along_slow = np.tensordot(slow, places.mean(axis=1), 1) / (slow @ slow)
    edges = [float(np.linalg.norm(step)) for step in (along_fast, along_slow)]
    if min(edges) == 0.0:
        raise InputError(f"positions[{number}]: its pixels are all in one place")
    skew = float(along_fast @ along_slow) / (edges[0] * edges[1])
    if abs(skew) > 0.5:
        raise InputError(f"positions[{number}]: its axes are not at a right angle: cosine {skew:.3g}")
    if abs(skew) > _SKEW_TOLD:
        angle = math.degrees(math.acos(skew))
        warn(f"positions[{number}]: its axes are at {angle:.4f} deg: made orthogonal")
    f, s = orthogonal_pair(along_fast, along_slow)
    fitted = middle + fast[:, np.newaxis] * edges[0] * f + (slow[:, np.newaxis] * edges[1] * s)[:, np.newaxis]
    worst = float(np.linalg.norm(places - fitted, axis=2).max()) / min(edges)
    if worst > _RESIDUAL:
        raise InputError(
            f"positions[{number}]: a pixel is {worst:.2g} pixels from where a flat panel has it, more than "
            f"{_RESIDUAL:g}: cut the panel into flat pieces"
        )
    corner = middle - places.shape[1] / 2 * edges[0] * f - places.shape[0] / 2 * edges[1] * s
    return Panel(
        origin_mm=(corner * 1e3).tolist(),
        fast=f.tolist(),
        slow=s.tolist(),
        fpixels=places.shape[1],
        spixels=places.shape[0],
        pixel_mm=(edges[0] * 1e3, edges[1] * 1e3),
        name=name,
        **fields,
    )

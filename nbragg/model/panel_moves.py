"""Panels moved together, as one rigid body (beyond 18.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import validate as check
from ..base.errors import InputError
from ..base.vectors import FloatArray, rot_xyz, unit
from .panel import Panel

__all__ = ["moved_panels", "panel_centre"]


def panel_centre(panel: Panel) -> FloatArray:
    """The middle of a panel's own pixels, mm, laboratory frame without the detector's shift."""
    edges = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm, panel.pixel_mm)
    fast = (panel.first[0] + panel.fpixels / 2) * edges[0]
    slow = (panel.first[1] + panel.spixels / 2) * edges[1]
    return np.asarray(np.array(panel.origin_mm) + fast * unit(panel.fast) + slow * unit(panel.slow))


def moved_panels(
    panels: tuple[Panel, ...],
    which: Sequence[int],
    shift_mm: Any,
    rotation_deg: Any,
    about: Any,
    *,
    displaced: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[Panel, ...]:
    """All panels, some of them turned and then shifted.

    Parameters
    ----------
    panels : tuple of Panel
    which : sequence of int
        Those that move.
    shift_mm : 3 floats
        Along laboratory axes, mm.
    rotation_deg : 3 floats
        About laboratory x, then y, then z.
    about : "centre", "sample" or 3 floats
        What the rotation leaves in place: the mean of the middles of those that move, the sample, or a point
        of the laboratory, mm.
    displaced : 3 floats
        By what the detector's ``shift_mm`` moves all panels afterwards, mm.

    Raises
    ------
    InputError
        For no panel, and vectors that are none.
    """
    if not which:
        raise InputError("no panel to move: the group is empty")
    shift = np.array(check.vector("shift_mm", shift_mm))
    angles = [math.radians(x) for x in check.vector("rotation_deg", rotation_deg)]
    chosen = set(which)
    if isinstance(about, str):
        check.choice("about", about, ("centre", "sample"))
        if about == "centre":
            pivot = np.mean([panel_centre(panels[i]) for i in sorted(chosen)], axis=0)
        else:
            pivot = -np.array(displaced)
    else:
        pivot = np.array(check.vector("about", about)) - np.array(displaced)

    def moved(panel: Panel) -> Panel:
        origin = rot_xyz(np.array(panel.origin_mm) - pivot, *angles) + pivot + shift
        if not any(angles):  # nothing is lost to rounding
            origin = np.array(panel.origin_mm) + shift
            return panel.replace(origin_mm=origin.tolist())
        fast, slow = (rot_xyz(np.array(axis, dtype=np.float64), *angles) for axis in (panel.fast, panel.slow))
        return panel.replace(origin_mm=origin.tolist(), fast=fast.tolist(), slow=slow.tolist())

    return tuple(moved(panel) if i in chosen else panel for i, panel in enumerate(panels))

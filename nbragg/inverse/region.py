"""A Scene of which fewer pixels are rendered."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import InputError
from ..model.panel import region

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["restricted"]


def restricted(scene: Scene, roi: Sequence[int] | None, mask: Any) -> Scene:
    """The same Scene, rendered only where it was before and a roi and a mask allow.

    Parameters
    ----------
    scene : Scene
    roi : (xmin, xmax, ymin, ymax), optional
        Fast limits, then slow limits: inclusive, counted from 0; of a detector of one panel.
    mask : array_like of the scene's ``image_shape``, optional
        0: skip.

    Returns
    -------
    Scene
        Its placement, for reports alone, stays.

    Raises
    ------
    InputError
        For a roi that is not within the image, one of several panels, one without a pixel of the set-up's own
        roi, and a mask of another shape.
    """
    panels = scene.panels
    if roi is not None:
        if len(panels) > 1:
            raise InputError(f"roi: the detector has {len(panels)} panels; give a mask of the image's shape")
        panel = panels[0]
        given = region(roi)
        if given[1] >= panel.fpixels or given[3] >= panel.spixels:
            raise InputError(
                f"roi = {given} leaves the image of {panel.fpixels} x {panel.spixels} pixels (fast x slow)"
            )
        low, high = np.maximum(given, panel.roi), np.minimum(given, panel.roi)
        limits = (int(low[0]), int(high[1]), int(low[2]), int(high[3]))
        if limits[0] > limits[1] or limits[2] > limits[3]:
            raise InputError(f"roi = {given} has no pixel of the set-up's own roi {panel.roi}")
        panels = (dataclasses.replace(panel, roi=limits),)
    if mask is not None:
        used = np.asarray(mask)
        if used.shape != scene.image_shape:
            raise InputError(f"mask has the shape {used.shape}; the image has {scene.image_shape}")
        flat, places, masked = (used != 0).reshape(-1), scene.offsets, []
        for panel, (first, last) in zip(panels, itertools.pairwise(places), strict=True):
            mine = flat[first:last].reshape(panel.spixels, panel.fpixels).astype(np.uint8)
            if panel.mask is not None:
                mine &= panel.mask != 0
            mine.setflags(write=False)
            masked.append(dataclasses.replace(panel, mask=mine))
        panels = tuple(masked)
    return dataclasses.replace(scene, panels=panels)

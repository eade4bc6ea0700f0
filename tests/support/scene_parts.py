"""Scenes made of others: with another crystal, several crystals, the panel cut into pieces."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


def with_crystal(scene: Any, **changes: Any) -> Any:
    """The Scene with its only crystal changed."""
    return dataclasses.replace(scene, crystals=(dataclasses.replace(scene.crystal, **changes),))


def with_panel(scene: Any, **changes: Any) -> Any:
    """The Scene with its only panel changed."""
    return dataclasses.replace(scene, panels=(dataclasses.replace(scene.panel, **changes),))


def with_table(scene: Any, **changes: Any) -> Any:
    """The Scene with its only table changed."""
    return dataclasses.replace(scene, tables=(dataclasses.replace(scene.table, **changes),))


def cut(scene: Any, fast: list[int], slow: list[int]) -> Any:
    """The only panel cut before these columns and rows; regions and masks with it.

    A piece that the region does not reach is masked.
    """
    whole = scene.panel
    fmin, fmax, smin, smax = whole.roi
    pieces = []
    for s0, s1 in zip([0, *slow], [*slow, whole.spixels], strict=True):
        for f0, f1 in zip([0, *fast], [*fast, whole.fpixels], strict=True):
            mask = np.ones((s1 - s0, f1 - f0), np.uint8) if whole.mask is None else whole.mask[s0:s1, f0:f1]
            roi = (max(fmin, f0) - f0, min(fmax, f1 - 1) - f0, max(smin, s0) - s0, min(smax, s1 - 1) - s0)
            if roi[0] > roi[1] or roi[2] > roi[3]:
                roi, mask = (0, f1 - f0 - 1, 0, s1 - s0 - 1), np.zeros_like(mask)
            mask = np.ascontiguousarray(mask)
            mask.setflags(write=False)
            pieces.append(
                dataclasses.replace(
                    whole, fpixels=f1 - f0, spixels=s1 - s0, roi=roi, mask=mask,
                    first=(whole.first[0] + f0, whole.first[1] + s0),
                )
            )  # fmt: skip
    return dataclasses.replace(scene, panels=tuple(pieces))


def pasted(scene: Any, image: Any) -> Any:
    """The image of a `cut` scene as that of the whole panel, shape (slow, fast)."""
    flat = image.reshape(-1)
    first = np.array([panel.first for panel in scene.panels])
    ends = first + [(panel.fpixels, panel.spixels) for panel in scene.panels]
    low = first.min(axis=0)
    width, height = ends.max(axis=0) - low
    whole = np.zeros((height, width), image.dtype)
    for panel, (f, s), offset in zip(scene.panels, first - low, scene.offsets, strict=False):
        piece = flat[offset : offset + panel.fpixels * panel.spixels]
        whole[s : s + panel.spixels, f : f + panel.fpixels] = piece.reshape(panel.spixels, panel.fpixels)
    return whole

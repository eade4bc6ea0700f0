"""An image in strips, rows of one panel each, so few that all derivatives of one can be held."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..scene.backdrop import Backdrop
    from ..scene.record import Scene
    from ..scene.tangent import SceneTangent

__all__ = ["Strip", "strips"]


class Strip(NamedTuple):
    """Rows ``first`` to ``end`` of a panel, pixels ``start`` to ``stop`` of the image, ends not included."""

    panel: int
    first: int
    end: int
    start: int
    stop: int

    def scene(self, scene: Scene) -> Scene:
        """The scene of these rows alone; what stands in its placement is for reports, and stays."""
        panel = scene.panels[self.panel]
        fmin, fmax, smin, smax = panel.roi
        mask = panel.mask
        if mask is not None:
            mask = np.ascontiguousarray(mask[self.first : self.end])
            mask.setflags(write=False)
        part = dataclasses.replace(
            panel,
            spixels=self.end - self.first,
            first=(panel.first[0], panel.first[1] + self.first),
            roi=(fmin, fmax, max(smin, self.first) - self.first, min(smax, self.end - 1) - self.first),
            mask=mask,
        )
        return dataclasses.replace(scene, panels=(part,), backdrop=_backdrop(scene.backdrop, self.panel))

    def tangent(self, tangent: SceneTangent) -> SceneTangent:
        """How that scene moves."""
        panels = tangent.panels[self.panel : self.panel + 1]
        return dataclasses.replace(tangent, panels=panels, backdrop=_backdrop(tangent.backdrop, self.panel))

    def cut(self, cut: tuple[int, int] | None) -> tuple[int, int] | None:
        """The sample that ended interpolation, counted from the first pixel of the strip."""
        if cut is None:
            return None
        return (cut[0] - self.start, cut[1]) if cut[0] >= self.start else (-1, 0)


def _backdrop(backdrop: Backdrop | None, panel: int) -> Backdrop | None:
    """That of one panel."""
    if backdrop is None or backdrop.obstacles is None:
        return backdrop
    obstacles = backdrop.obstacles
    absorbers = tuple(
        dataclasses.replace(one, normal=one.normal[panel : panel + 1], depth=one.depth[panel : panel + 1])
        for one in obstacles.absorbers
    )
    return dataclasses.replace(
        backdrop, obstacles=dataclasses.replace(obstacles, panels=1, absorbers=absorbers)
    )


def strips(scene: Scene, pixels: int) -> Iterator[Strip]:
    """Strips of about so many pixels, at least a row, that cover all that is rendered.

    Parameters
    ----------
    scene : Scene
    pixels : int
    """
    for number, panel in enumerate(scene.panels):
        rows = max(1, pixels // panel.fpixels)
        start = scene.offsets[number]
        for first in range(panel.roi[2], panel.roi[3] + 1, rows):
            end = min(first + rows, panel.roi[3] + 1)
            yield Strip(number, first, end, start + first * panel.fpixels, start + end * panel.fpixels)

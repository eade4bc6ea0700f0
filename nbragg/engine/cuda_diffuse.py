"""Diffuse scattering in a GPU's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from .cuda_kernel import DIFFUSE
from .cuda_scene import DeviceScene, by_value

if TYPE_CHECKING:
    from ..scene.diffuse import Diffuse
    from ..scene.record import Scene
    from .cuda_backdrop import DeviceBehind
    from .cuda_engine import Runtime, Tables

__all__ = ["DeviceDiffuse"]

#: reflections and models of a launch: a second or so on a small card
_TERMS = 5e8


class DeviceDiffuse:
    """The images behind the spots of a Scene with its diffuse scattering, as long as this lives.

    Parameters
    ----------
    runtime : Runtime
        In its current lane; when that is done they can be used in every lane.
    tables : Tables
    behind : DeviceBehind or None
        What else is behind the spots.
    scene : Scene
    diffuse : Diffuse
        The Scene's.

    Attributes
    ----------
    addresses : dict {str: int}
        Of the images there are, by their names in nb_scene.
    """

    def __init__(
        self, runtime: Runtime, tables: Tables, behind: DeviceBehind | None, scene: Scene, diffuse: Diffuse
    ) -> None:
        self._kept = behind
        given = {} if behind is None else behind.addresses
        self._image = runtime.zeros((scene.offsets[-1],), np.float64)
        self.addresses = {**given, "background": runtime.address(self._image)}
        packed = _engine.EngineScene(scene)
        keep: list[Any] = []

        def upload(host: NDArray[Any]) -> int:
            keep.append(runtime.upload(host))
            return runtime.address(keep[-1])

        on_device = DeviceScene(runtime, tables, scene, packed, np.float64)
        struct = by_value(_engine.PackedDiffuse(diffuse).device_bytes(upload), "nb_diffuse")
        terms = len(scene.sources) * diffuse.oversample**2
        terms *= sum(
            len(one.weights) * len(one.forms) * one.order * (2 * one.stencil + 1) ** 3
            for one in diffuse.motions
        )
        images = [np.uint64(given.get(name, 0)) for name in ("transmission", "background")]
        for number, panel in enumerate(scene.panels):
            fmin, fmax, smin, smax = panel.roi
            blocks = -(-(fmax - fmin + 1) * (smax - smin + 1) // runtime.threads)
            at_once = max(1, int(_TERMS / (terms * panel.layers * runtime.threads)))
            for first in range(0, blocks, at_once):
                arguments = [
                    on_device.scene, on_device.panels[number : number + 1], struct,
                    np.int64(first * runtime.threads), *images, np.uint64(self.addresses["background"]),
                ]  # fmt: skip
                grid = (min(at_once, blocks - first), 1, 1)
                runtime.launch(DIFFUSE, "nb_diffuse_light", grid, arguments)
        runtime.wait(runtime.mark())

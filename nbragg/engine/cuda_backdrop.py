"""The images behind the spots in a GPU's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from .backdrop import direct_beam_of, tell_outside, wanted
from .cuda_kernel import BACKDROP
from .cuda_scene import by_value, masked_panels

if TYPE_CHECKING:
    from ..scene.backdrop import Backdrop
    from ..scene.record import Scene
    from .cuda_engine import Runtime, Tables

__all__ = ["DeviceBehind"]

#: samples of a launch: a second or so on a small card
_SAMPLES = 2e8


class DeviceBehind:
    """The images behind the spots of Scenes alike, as long as this lives.

    Made when this is, in the current lane; when that is done they can be used in every lane.

    Parameters
    ----------
    runtime : Runtime
    tables : Tables
    scene : Scene
    backdrop : Backdrop
        The Scene's.

    Attributes
    ----------
    addresses : dict {str: int}
        Of the images there are, by their names in nb_scene.
    """

    def __init__(self, runtime: Runtime, tables: Tables, scene: Scene, backdrop: Backdrop) -> None:
        self._runtime = runtime
        names = ("transmission", "background", "fixed")
        self._images = {
            name: runtime.zeros((scene.offsets[-1],), np.float64)
            for name, there in zip(names, wanted(backdrop), strict=True)
            if there
        }
        self.addresses = {name: runtime.address(image) for name, image in self._images.items()}
        outside = runtime.zeros((max(len(backdrop.scatterers), 1),), np.int64)
        keep: list[Any] = []
        self._launch(tables, scene, backdrop, [self.addresses.get(name, 0) for name in names], outside, keep)
        found = np.zeros(max(len(backdrop.scatterers), 1), np.int64)
        runtime.download(outside, found)
        runtime.wait(runtime.mark())
        self._add_direct_beam(scene, backdrop)
        packed = _engine.EngineScene(scene)
        tell_outside(backdrop, found[: len(backdrop.scatterers)], packed.rendered)

    def _add_direct_beam(self, scene: Scene, backdrop: Backdrop) -> None:
        """It is made on the host, of the few pixels that it meets."""
        direct = direct_beam_of(scene.panels, scene.sources, backdrop)
        if direct is None:
            return
        background = np.zeros_like(direct)
        self._runtime.download(self._images["background"], background)
        self._runtime.wait(self._runtime.mark())
        self._images["background"] = self._runtime.upload(background + direct)
        self.addresses["background"] = self._runtime.address(self._images["background"])

    def _launch(
        self,
        tables: Tables,
        scene: Scene,
        backdrop: Backdrop,
        images: list[int],
        outside: Any,
        keep: list[Any],
    ) -> None:
        """Queue the launches of all panels; what they read is in ``keep``."""
        runtime = self._runtime

        def upload(host: NDArray[Any]) -> int:
            keep.append(runtime.upload(host))
            return runtime.address(keep[-1])

        packed = _engine.EngineScene(scene)
        sources = upload(np.frombuffer(packed.device_bytes("source"), np.uint8))
        whole = by_value(packed.device_bytes("scene", source=sources), "nb_scene")
        panels = by_value(masked_panels(runtime, tables, scene, packed, keep), "nb_panel")
        struct = by_value(_engine.PackedBackdrop(backdrop).device_bytes(upload), "nb_backdrop")
        places = sum(len(one.points) for one in backdrop.scatterers) + 1
        samples = places * len(scene.sources) * backdrop.oversample**2
        for number, panel in enumerate(scene.panels):
            fmin, fmax, smin, smax = panel.roi
            blocks = -(-(fmax - fmin + 1) * (smax - smin + 1) // runtime.threads)
            at_once = max(1, int(_SAMPLES / (samples * panel.layers * runtime.threads)))
            for first in range(0, blocks, at_once):
                arguments = [
                    whole, panels[number : number + 1], struct, np.int64(number),
                    np.int64(first * runtime.threads), *map(np.uint64, images),
                    np.uint64(runtime.address(outside)),
                ]  # fmt: skip
                grid = (min(at_once, blocks - first), 1, 1)
                runtime.launch(BACKDROP, "nb_behind", grid, arguments)

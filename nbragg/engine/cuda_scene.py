"""A Scene in a GPU's memory: C structs that point to arrays there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..scene.record import Scene
    from .cuda_engine import Runtime, Tables

__all__ = ["DeviceBounds", "DeviceScene", "by_value", "masked_panels"]


def by_value(data: bytes, name: str) -> NDArray[Any]:
    """C structs as an array of opaque records; a kernel takes one by value."""
    return np.frombuffer(data, f"V{_engine.SIZES[name]}")


def masked_panels(
    runtime: Runtime, tables: Tables, scene: Scene, packed: _engine.EngineScene, keep: list[Any]
) -> bytes:
    """The structs nb_panel with masks on the device; ``keep`` gets what has to live as long as they do."""
    masks = []
    each = _source_mu(runtime, tables, scene, keep)
    for panel, places in zip(scene.panels, packed.listed, strict=True):
        if panel.mask is None or places is None:
            masks.append(0)
            continue
        keep.append(tables.on_device(runtime, panel.mask, np.uint8))
        masks.append(runtime.address(keep[-1]))
    return packed.device_bytes("panel", mask=masks, **each)


def _source_mu(runtime: Runtime, tables: Tables, scene: Scene, keep: list[Any]) -> dict[str, list[int]]:
    """Addresses of what the sensors take of each source's light, 0: nothing is; by names of nb_panel."""
    addresses: dict[str, list[int]] = {"source_mu": [], "source_mu_slope": []}
    for name, of_panels in addresses.items():
        for panel in scene.panels:
            values = getattr(panel, name)
            if values is not None:
                keep.append(tables.on_device(runtime, values, np.float64))
            of_panels.append(0 if values is None else runtime.address(keep[-1]))
    return addresses


class DeviceScene:
    """A Scene's arrays on the device and the structs that kernels take, as long as it lives.

    Parameters
    ----------
    runtime : Runtime
        In its current lane.
    tables : Tables
    scene : Scene
    packed : _engine.EngineScene
        Of the Scene.
    factors : dtype
        Type of the structure factors on the device.
    orientations : sequence of ndarray, optional
        Direct-cell matrices of each crystal, instead of the Scene's.
    listed : bool
        Panels get lists of the pixels that are rendered; else their masks.
    behind : mapping of str to int, optional
        Addresses of the images behind the spots.

    Attributes
    ----------
    scene, panels, crystals : ndarray of records
        The structs nb_scene, nb_panel, nb_crystal.
    """

    def __init__(
        self,
        runtime: Runtime,
        tables: Tables,
        scene: Scene,
        packed: _engine.EngineScene,
        factors: DTypeLike,
        *,
        orientations: Sequence[NDArray[np.float64]] | None = None,
        listed: bool = False,
        behind: Mapping[str, int] | None = None,
    ) -> None:
        self._runtime, self._tables = runtime, tables
        self._keep: list[Any] = []
        given = [block.orientations for block in scene.crystals] if orientations is None else orientations
        numbers = [array.ravel() for array in given]
        weights = [block.orientation_weights for block in scene.crystals]
        numbers += [weight for weight in weights if weight is not None]
        at = self.upload(np.concatenate(numbers))
        addresses = list(at + np.cumsum([0, *(array.nbytes for array in numbers)]))
        abc, rest = addresses[: len(weights)], iter(addresses[len(weights) :])
        weight_at = [0 if weight is None else next(rest) for weight in weights]
        values = [0 if t.values is None else self.held(t.values, factors) for t in scene.tables]
        crystal = packed.device_bytes("crystal", abc=abc, orientation_weight=weight_at)
        structs = {
            "source": packed.device_bytes("source"),
            "crystal": crystal,
            "table": packed.device_bytes("table", F=values),
        }
        at = self.upload(np.frombuffer(b"".join(structs.values()), np.uint8))
        places = {}
        for name, data in structs.items():
            places[name] = at
            at += len(data)
        self.scene = by_value(packed.device_bytes("scene", **places, **(behind or {})), "nb_scene")
        panels = (
            self._listed(scene, packed)
            if listed
            else masked_panels(runtime, tables, scene, packed, self._keep)
        )
        self.panels = by_value(panels, "nb_panel")
        self.crystals = by_value(crystal, "nb_crystal")

    def _listed(self, scene: Scene, packed: _engine.EngineScene) -> bytes:
        lists = [0 if places is None else self.held(places, np.int32) for places in packed.listed]
        each = _source_mu(self._runtime, self._tables, scene, self._keep)
        return packed.device_bytes("panel", listed=lists, **each)

    def keep(self, array: Any) -> int:
        """Address of a device array, which lives as long as this."""
        self._keep.append(array)
        return self._runtime.address(array)

    def upload(self, host: NDArray[Any]) -> int:
        """Address of a copy on the device."""
        return self.keep(self._runtime.upload(host))

    def held(self, host: NDArray[Any], dtype: DTypeLike) -> int:
        """Address of the copy of an array that never changes and may be there already."""
        return self.keep(self._tables.on_device(self._runtime, host, dtype))


class DeviceBounds:
    """What decides on the device which samples are left out, and what was found of these.

    Parameters
    ----------
    runtime : Runtime
        In its current lane.
    tables : Tables
    packed : _engine.EngineScene
    bounds : tuple
        What its ``bounds`` returned.
    images : int
        That are rendered together.

    Attributes
    ----------
    seen : uint64
        Address of the structs nb_seen, one for each image and crystal.
    """

    def __init__(
        self,
        runtime: Runtime,
        tables: Tables,
        packed: _engine.EngineScene,
        bounds: tuple[bytes, list[tuple[float, float]], tuple[NDArray[np.float32], ...]],
        images: int,
    ) -> None:
        self._runtime = runtime
        crystals, told, largest = bounds
        self._photons, self._untold = np.array(told).T
        self._values = by_value(crystals, "nb_bound")
        self._largest = [tables.on_device(runtime, array, np.float32) for array in largest]
        structs = packed.most_bytes([runtime.address(array) for array in self._largest])
        self._most = runtime.upload(np.frombuffer(structs, np.uint8))
        self._seen = runtime.zeros((images, len(self._photons), 2), np.uint64)
        self.seen = np.uint64(runtime.address(self._seen))
        self._found: NDArray[np.uint64] | None = None

    def of(self, crystal: int) -> tuple[NDArray[Any], np.uint64]:
        """A crystal's nb_bound, and the address of the structs nb_most."""
        return self._values[crystal : crystal + 1], np.uint64(self._runtime.address(self._most))

    def bring_back(self) -> None:
        """Queue the way back of what was found."""
        self._found = self._runtime.host_array(self._seen.shape, np.uint64)
        self._runtime.download(self._seen, self._found)

    def summary(self, image: int) -> dict[str, Any]:
        """The fields of a Summary that tell what was left out of an image."""
        assert self._found is not None
        visited, left = self._found[image].T
        largest = np.maximum(left.astype(np.uint32).view(np.float32), self._untold)
        return {"visited": int(visited.sum()), "left_out": float(largest @ self._photons)}

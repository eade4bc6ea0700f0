"""Renders Scenes with csrc/nb_render.cu through a `Runtime`: holds buffers, queues launches, reads results.

Nothing here knows CuPy: `cuda.py` has the runtime of a GPU, the tests have one that runs the same kernels on
the host.  `cuda_plan.py` decides what is launched.
"""

from __future__ import annotations

import functools
import threading
import weakref
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.errors import InputError
from . import cpu
from .backdrop import Kept, has_behind
from .cuda_backdrop import DeviceBehind
from .cuda_kernel import FINISH, TRICUBIC, Kernels
from .cuda_plan import Band, DeviceProfile, Request, make_plan
from .cuda_scene import DeviceBounds, DeviceScene
from .options import RawImage, RenderOptions, Summary
from .progress import reporting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..scene.record import Scene
    from .cuda_diffuse import DeviceDiffuse

__all__ = ["Rendering", "Runtime", "Tables", "kept_behind"]

_NOWHERE = np.iinfo(np.int64).max  # csrc/nb_render.cu: NB_NO_PIXEL
_NULL = np.uint64(0)


class Runtime(Protocol):
    """Memory and launches of one device.  Arrays are opaque; work runs in order within a lane (a stream)."""

    @property
    def profile(self) -> DeviceProfile: ...

    @property
    def threads(self) -> int:
        """Threads of a block, NB_THREADS."""

    def free_bytes(self) -> int: ...

    def lane(self, number: int) -> AbstractContextManager[Any]:
        """Makes a lane the current one; numbers beyond the lanes there are wrap around."""

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any: ...

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any: ...

    def upload(self, host: NDArray[Any]) -> Any: ...

    def address(self, array: Any) -> int: ...

    def host_array(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Host memory that `download` fills without waiting."""

    def download(self, array: Any, out: NDArray[Any]) -> None: ...

    def launch(
        self, spec: Kernels, kernel: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        """Arguments are NumPy scalars or arrays of one element, passed by value."""

    def mark(self) -> Any:
        """The present end of the current lane."""

    def wait(self, mark: Any) -> None: ...


class Tables:
    """Structure factors and masks kept on the device while their host arrays live."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[weakref.ref[Any], Any]] = {}
        self._lock = threading.Lock()

    def on_device(self, runtime: Runtime, host: NDArray[Any], dtype: Any) -> Any:
        """The device copy of an array that is never changed; uploaded once."""
        key = (id(host), np.dtype(dtype).str)
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0]() is host:
                return known[1]
            array = runtime.upload(np.ascontiguousarray(host, dtype))
            runtime.wait(runtime.mark())  # other lanes may use it at once
            kept = self._kept

            def forget(_: object) -> None:  # without the lock: may be called from inside on_device
                kept.pop(key, None)

            kept[key] = (weakref.ref(host, forget), array)
            return array

    def holds(self, host: NDArray[Any], dtype: Any) -> bool:
        known = self._kept.get((id(host), np.dtype(dtype).str))
        return known is not None and known[0]() is host


def kept_behind(runtime: Runtime, tables: Tables) -> Kept[DeviceBehind]:
    """Images behind the spots, made in the current lane when they are first asked for."""
    return Kept(functools.partial(DeviceBehind, runtime, tables))


class Rendering:
    """One Scene, or a stack of them that differ in orientation alone, being rendered.

    Parameters
    ----------
    runtime : Runtime
    tables : Tables
    scene : Scene
    options : RenderOptions
        ``on_device`` leaves the image there.
    stack : ndarray of float64, shape (images, orientations, 3, 3), optional
        Orientations of each image, instead of those of the Scene's only crystal.
    image : ndarray of float32, C-contiguous, shape (images, *Scene.image_shape), optional
        Filled in, unless ``on_device``; default a new one.
    double : bool
        Also keep the images before rounding, as `images64`, and as `cut` the first one's sample that ends
        interpolation: its image index and its number among the samples of the pixel, or None.
    behind : Kept of DeviceBehind, optional
        Images behind the spots that are at hand.

    Raises
    ------
    InputError
        For a stack that does not fit the Scene, or a Scene that a GPU cannot index.
    MemoryLimitError
        When the device has too little memory; nothing has been launched then.
    """

    def __init__(
        self,
        runtime: Runtime,
        tables: Tables,
        scene: Scene,
        options: RenderOptions,
        *,
        stack: NDArray[np.float64] | None = None,
        image: NDArray[np.float32] | None = None,
        double: bool = False,
        behind: Kept[DeviceBehind] | None = None,
    ) -> None:
        self._runtime, self._tables, self._scene, self._options = runtime, tables, scene, options
        self._behind = behind or kept_behind(runtime, tables)
        #: (images, orientations, 3, 3) of each crystal
        self._orientations = _orientations(scene, stack)
        self._engine_scene = _engine.EngineScene(scene)
        self._bounds = None  # what decides which samples are left out, as on the CPU
        if runtime.threads % _engine.WARP == 0:
            self._bounds = self._engine_scene.bounds(cpu.choose_isa(), **cpu.limits(scene, options))
        self._images = len(self._orientations[0])
        self._double = double
        self._target = image
        precision = options.precision or "mixed"
        self.plan = make_plan(
            Request(scene, precision, self._images, options.on_device, double, self._bounds is not None),
            runtime.profile,
            runtime.free_bytes(),
            tables.holds,
        )
        self._pixels = scene.offsets[-1]
        self._keep: list[Any] = []  # device arrays in use
        self._waiting: list[Any] = []
        self._next_step = 0
        self._lane = 0
        self._buffers: tuple[Any, Any] = (None, None)  # of float32, of float64 where wanted
        self._buffered_panel = -1
        self.images64: NDArray[np.float64] | None = None
        self.cut: tuple[int, int] | None = None

    # ---- launching ----

    def start(self, lane: int = 0) -> None:
        """Queue the upload and the first step; where that is all, also the summary."""
        self._lane = lane
        with self._runtime.lane(lane):
            self._upload()
            self._make_room()
            self._search()
            self._launch_step()

    def _upload(self) -> None:
        """The Scene, as structs that point to arrays on the device."""
        kind = np.float32 if self.plan.bands[0].shares[0].spec.single else np.float64
        dark = self._behind.of(self._scene)
        behind = dark if self._scene.diffuse is None else self._lit(dark)
        on_device = DeviceScene(
            self._runtime,
            self._tables,
            self._scene,
            self._engine_scene,
            kind,
            orientations=self._orientations,
            behind=None if behind is None else behind.addresses,
        )
        self._keep += [on_device, behind]
        self._scene_value, self._panel_values = on_device.scene, on_device.panels
        self._crystal_values = on_device.crystals
        self._sparse = None
        if self._bounds is not None:
            self._sparse = DeviceBounds(
                self._runtime, self._tables, self._engine_scene, self._bounds, self._images
            )

    def _lit(self, behind: DeviceBehind | None) -> DeviceDiffuse:
        """What is behind the spots with diffuse scattering."""
        from .cuda_diffuse import DeviceDiffuse

        diffuse = self._scene.diffuse
        assert diffuse is not None
        return DeviceDiffuse(self._runtime, self._tables, behind, self._scene, diffuse)

    def _address_of(self, array: Any) -> int:
        self._keep.append(array)
        return self._runtime.address(array)

    def _make_room(self) -> None:
        """Images where they are to end up, and the summaries of all blocks."""
        runtime, shape = self._runtime, (self._images, self._pixels)
        if self._options.on_device:
            self._image = runtime.zeros(shape, np.float32)
            self._buffers = self._image, runtime.zeros(shape, np.float64) if self._double else None
        else:
            self._image = runtime.host_array(shape, np.float32)
            for panel, offset in zip(self._scene.panels, self._scene.offsets, strict=False):
                rows = self._image[:, offset:][:, : panel.fpixels * panel.spixels]
                rows[:, : panel.roi[2] * panel.fpixels] = 0
                rows[:, (panel.roi[3] + 1) * panel.fpixels :] = 0
        if self._double:
            self.images64 = np.zeros(shape)
        self._blocks = sum(self._finish_blocks(band) for band in self.plan.bands)
        self._summaries = runtime.empty((self._blocks, self._images), _engine.SUMMARY_DTYPE)
        self._summarised = 0  # blocks

    def _part(self, band: Band, crystal: int, splits: int) -> NDArray[Any]:
        panel = self._scene.panels[band.panel]
        before = [len(block.orientations) for block in self._scene.crystals]
        part: NDArray[Any] = np.zeros(1, _engine.PART_DTYPE)
        part["first_row"], part["rows"] = band.first, band.rows
        if self._options.on_device:
            part["origin"], part["image_stride"] = 0, self._pixels
        else:
            part["origin"] = self._scene.offsets[band.panel] + band.first * panel.fpixels
            part["image_stride"] = self.plan.rows_of(band.panel) * panel.fpixels
        part["splits"], part["crystal"] = splits, crystal
        part["before"], part["per_source"] = sum(before[:crystal]), sum(before)
        part["index_bound"] = band.shares[crystal].index_bound
        return part

    def _arguments(self, band: Band, crystal: int, splits: int) -> list[Any]:
        """The first four of nb_render and nb_search."""
        return [
            self._scene_value,
            self._panel_values[band.panel : band.panel + 1],
            self._crystal_values[crystal : crystal + 1],
            self._part(band, crystal, splits),
        ]

    def _search(self) -> None:
        """Find where tricubic interpolation ends (canonical 7.3)."""
        scene, runtime = self._scene, self._runtime
        self._cut_pixel, self._cuts = _NULL, [_NULL] * len(scene.panels)
        self._found_cuts: list[Any] = []
        shares = self.plan.bands[0].shares
        searched = [
            number
            for number, (block, share) in enumerate(zip(scene.crystals, shares, strict=True))
            if share.spec.table == TRICUBIC and scene.tables[block.table].interpolation == "tricubic"
        ]
        if not searched:
            return
        pixels = runtime.upload(np.full(self._images, _NOWHERE, np.int64))
        self._cut_pixel = np.uint64(self._address_of(pixels))
        for number, panel in enumerate(scene.panels):
            shares = next(band.shares for band in self.plan.bands if band.panel == number)
            fmin, fmax, smin, smax = panel.roi
            whole = Band(number, smin, smax - smin + 1, fmax - fmin + 1, shares)
            blocks = -(-whole.pixels // runtime.threads)
            size = self._images * blocks * _engine.SIZES["nb_block_cut"]
            found = runtime.zeros((size,), np.uint8)
            self._found_cuts.append(found)
            self._cuts[number] = np.uint64(self._address_of(found))
            for crystal in searched:
                arguments = self._arguments(whole, crystal, 1)
                runtime.launch(
                    shares[crystal].spec,
                    "nb_search",
                    (blocks, 1, self._images),
                    [*arguments, self._cut_pixel, self._cuts[number]],
                )

    def _launch_step(self) -> None:
        """Queue the next bands and, on the host's side, their way back; at the end the summary."""
        runtime = self._runtime
        for band in self.plan.steps[self._next_step]:
            self._launch_band(band)
        self._next_step += 1
        if self._next_step == len(self.plan.steps):
            result = runtime.empty((self._images,), _engine.SUMMARY_DTYPE)
            arguments = [
                np.uint64(runtime.address(self._summaries)), np.int64(self._blocks), self._cut_pixel,
                np.uint64(self._address_of(result)),
            ]  # fmt: skip
            runtime.launch(FINISH, "nb_summarise", (1, 1, self._images), arguments)
            self._found = runtime.host_array((self._images,), _engine.SUMMARY_DTYPE)
            runtime.download(result, self._found)
            if self._sparse is not None:
                self._sparse.bring_back()
        self._waiting.append(runtime.mark())

    def _launch_band(self, band: Band) -> None:
        """What a band needs for itself is freed at once: memory is given out again in the lane's order."""
        runtime, panel = self._runtime, self._scene.panels[band.panel]
        if not self._options.on_device and band.panel != self._buffered_panel:
            # a fresh one for every panel: no kernel writes outside the region
            shape = (self._images, self.plan.rows_of(band.panel) * panel.fpixels)
            self._buffers = (None, None)
            self._buffers = (
                runtime.zeros(shape, np.float32),
                runtime.zeros(shape, np.float64) if self._double else None,
            )
            self._buffered_panel = band.panel
        image, image64 = (_NULL if b is None else np.uint64(runtime.address(b)) for b in self._buffers)
        blocks = band.blocks(panel, runtime.threads)
        slots = blocks * runtime.threads
        omega = runtime.empty((self._images, blocks), np.float64)
        partial, at = None, 0
        if band.splits > 1 or self._double or has_behind(self._scene):
            partial = runtime.empty((band.splits, self._images, slots), np.float64)
            at = runtime.address(partial)
        first, omegas = np.uint64(at), np.uint64(runtime.address(omega))
        for crystal, share in enumerate(band.shares):
            what, to = self._arguments(band, crystal, share.splits), [image, np.uint64(at), omegas]
            kernel, arguments = "nb_render", [*what, *to, self._cut_pixel, self._cuts[band.panel]]
            if self._sparse is not None:
                kernel, arguments = (
                    "nb_render_sparse",
                    [*what, *self._sparse.of(crystal), *to, self._sparse.seen],
                )
            runtime.launch(share.spec, kernel, (blocks, share.splits, self._images), arguments)
            at += share.splits * self._images * slots * 8 if partial is not None else 0
        finish = self._finish_blocks(band)
        record = _engine.SIZES["nb_summary"]
        summaries = runtime.address(self._summaries) + self._summarised * self._images * record
        self._summarised += finish
        runtime.launch(
            FINISH,
            "nb_finish",
            (finish, 1, self._images),
            [self._scene_value, self._panel_values[band.panel : band.panel + 1],
             self._part(band, 0, band.splits), first, np.int64(slots), omegas, image, image64,
             np.uint64(summaries)],
        )  # fmt: skip
        self._bring_back(band)

    def _finish_blocks(self, band: Band) -> int:
        """Blocks of nb_finish."""
        blocks = band.blocks(self._scene.panels[band.panel], self._runtime.threads)
        return -(-blocks // _engine.PER_THREAD)

    def _bring_back(self, band: Band) -> None:
        runtime, panel = self._runtime, self._scene.panels[band.panel]
        begin = self._scene.offsets[band.panel] + band.first * panel.fpixels
        count = band.rows * panel.fpixels
        origin = begin if self._options.on_device else 0
        image, image64 = self._buffers
        for i in range(self._images):
            here, there = slice(origin, origin + count), slice(begin, begin + count)
            if not self._options.on_device:
                runtime.download(image[i, here], self._image[i, there])
            if image64 is not None and self.images64 is not None:
                runtime.download(image64[i, here], self.images64[i, there])

    # ---- results ----

    def collect(self) -> list[RawImage]:
        """The images, when they are ready.

        An exception on the way, Ctrl-C among them, waits for the device first.
        """
        try:
            self._wait()
        except BaseException:
            self.abandon()
            raise
        if self.images64 is not None:
            self.images64 = self.images64.reshape(self._images, *self._scene.image_shape)
            self.cut = self._read_cut()
        images = [self._raw(i) for i in range(self._images)]
        self._forget()
        return images

    def _read_cut(self) -> tuple[int, int] | None:
        """The first image's, from what nb_search left."""
        pixel = int(self._found[0]["cut_pixel"])
        if pixel < 0:
            return None
        runtime, offsets = self._runtime, self._scene.offsets
        number = int(np.searchsorted(offsets, pixel, side="right")) - 1
        panel = self._scene.panels[number]
        fmin, fmax, smin, _ = panel.roi
        slow, fast = divmod(pixel - offsets[number], panel.fpixels)
        block = ((slow - smin) * (fmax - fmin + 1) + fast - fmin) // runtime.threads
        with runtime.lane(self._lane):
            device = self._found_cuts[number]
            host = np.zeros(device.shape, np.uint8)
            runtime.download(device, host)
            runtime.wait(runtime.mark())
        _beyond, sequence = host.view(np.int64).reshape(-1, 2)[block].tolist()
        return pixel, sequence

    def _wait(self) -> None:
        """Until the last step has ended, each step but the first being queued while the one before runs."""
        runtime, steps, done = self._runtime, self.plan.steps, 0
        with reporting(self._options) as progress:
            for step in steps:
                if self._next_step < len(steps):
                    with runtime.lane(self._lane):
                        self._launch_step()
                runtime.wait(self._waiting.pop(0))
                done += sum(band.pixels for band in step)
                if progress is not None:
                    progress(done / self.plan.pixels)

    def abandon(self) -> None:
        """Wait for what the device is doing and forget it."""
        try:
            for mark in self._waiting:
                self._runtime.wait(mark)
        finally:
            self._waiting.clear()
            self._forget()

    def _forget(self) -> None:
        self._keep.clear()
        self._found_cuts = []
        self._buffers = (None, None)

    def _raw(self, i: int) -> RawImage:
        image = self._image[i].reshape(self._scene.image_shape)
        if self._target is not None and not self._options.on_device:
            self._target[i] = image
            image = self._target[i]
        found = self._found[i]
        left = {} if self._sparse is None else self._sparse.summary(i)
        return RawImage(image, Summary(**{name: found[name].item() for name in found.dtype.names}, **left))


def _orientations(scene: Scene, stack: NDArray[np.float64] | None) -> list[NDArray[np.float64]]:
    if stack is None:
        return [block.orientations[np.newaxis] for block in scene.crystals]
    expected = scene.crystal.orientations.shape
    if stack.shape[1:] != expected:
        raise InputError(
            f"a stack of orientations must have the shape (images, {expected[0]}, 3, 3), not {stack.shape}"
        )
    return [np.ascontiguousarray(stack, np.float64)]

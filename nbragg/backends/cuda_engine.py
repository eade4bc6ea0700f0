"""Renders Scenes with csrc/nb_render.cu through a `Runtime`: plans launches, holds buffers, reads results.

Nothing here knows CuPy: `cuda.py` has the runtime of a GPU, the tests have one that runs the same kernels on
the host.
"""

from __future__ import annotations

import math
import threading
import weakref
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..errors import InputError, MemoryLimitError
from ..memory import readable
from . import ImageSums, RawImage, RenderOptions
from .cuda_kernel import FINISH, TRICUBIC, Specialisation, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..scene import Scene

__all__ = ["DeviceProfile", "Rendering", "Runtime", "Tables", "largest_group"]

THREADS = 128  # of a block
_PER_THREAD = 16  # pixels of a thread of nb_finish
_BLOCKS_AT_ONCE = 4  # on one multiprocessor
_FULL = 2.0  # this many times the card's threads keep it busy
_FEWEST_ORIENTATIONS = 32  # of a split: below, the geometry of the pixels costs more than is won
_LAUNCH_SECONDS = 0.15  # of work in one launch, so that progress and Ctrl-C come through
_INSTRUCTIONS = 120.0  # of a sample, for the guess of how long a launch takes
_FEW_BYTES = 32 * 2**20  # left free for what is not counted
_NONE = np.iinfo(np.int64).max

# csrc/nb_render.cu: nb_part and nb_summary
_PART = np.dtype(
    [("first_row", "i8"), ("rows", "i8"), ("origin", "i8"), ("image_stride", "i8"), ("splits", "i8"),
     ("index_bound", "f8")]
)  # fmt: skip
_SUMMARY = np.dtype(
    [("omega", "f8"), ("total", "f8"), ("squares", "f8"), ("largest", "f8"), ("largest_pixel", "i8"),
     ("pixels", "i8"), ("nonfinite", "i8"), ("first_nonfinite", "i8"), ("cut_pixel", "i8")]
)  # fmt: skip


@dataclass(frozen=True)
class DeviceProfile:
    """What planning needs to know of a device.

    Attributes
    ----------
    name : str
    multiprocessors : int
    double_cost : float
        Float operations done in the time of one double operation.
    clock_hz : float
    """

    name: str
    multiprocessors: int
    double_cost: float
    clock_hz: float

    @property
    def samples_per_second(self) -> float:
        """A cautious guess, for the length of launches only."""
        return self.multiprocessors * 128 * self.clock_hz / _INSTRUCTIONS / 2


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
        self, spec: Specialisation, kernel: str, grid: tuple[int, int, int], arguments: Sequence[Any]
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


@dataclass(frozen=True)
class _Plan:
    spec: Specialisation
    index_bound: float
    width: int  # of the roi
    height: int
    rows: int  # of one launch
    splits: int


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
        Orientations of each image, instead of the Scene's.
    image : ndarray of float32, shape (images, spixels, fpixels), optional
        Filled in, unless ``on_device``; default a new one.
    double : bool
        Also keep the images before rounding, as `images64`.

    Raises
    ------
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
    ) -> None:
        self._runtime, self._tables, self._scene, self._options = runtime, tables, scene, options
        self._double = double
        one = scene.orientations[np.newaxis]
        self._stack = one if stack is None else np.ascontiguousarray(stack, np.float64)
        if self._stack.shape[1:] != scene.orientations.shape:
            raise InputError(
                f"a stack of orientations must have the shape (images, {len(scene.orientations)}, 3, 3), "
                f"not {self._stack.shape}"
            )
        self._images = len(self._stack)
        self._target = image
        self._plan = self._make_plan()
        self._keep: list[Any] = []  # device arrays in use
        self._waiting: list[Any] = []
        self._next_row = 0
        self._lane = 0
        self.images64: NDArray[np.float64] | None = None

    # ---- planning ----

    def _make_plan(self) -> _Plan:
        scene, profile = self._scene, self._runtime.profile
        precision = self._options.precision or "mixed"
        spec, bound = choose(scene, precision, profile.double_cost)
        fmin, fmax, smin, smax = scene.roi
        width, height = fmax - fmin + 1, smax - smin + 1
        orientations = len(scene.orientations)
        per_pixel = scene.layers * scene.oversample**2 * len(scene.source_wavelength) * orientations
        at_once = profile.samples_per_second * _LAUNCH_SECONDS
        if spec.index == 0 and profile.double_cost > 2:
            at_once *= 2 / profile.double_cost
        rows = max(1, min(height, int(at_once / (per_pixel * width)), (2**31 - THREADS) // width))
        if self._images > 1 or self._options.on_device or self._double:
            rows = height  # a batch is not divided
        # not decided by free memory or the size of a batch, so that neither changes the last bit of a sum
        wanted = _FULL * profile.multiprocessors * _BLOCKS_AT_ONCE * THREADS / (width * rows)
        splits = max(1, min(math.ceil(wanted), orientations // _FEWEST_ORIENTATIONS, 65535))
        if width * rows >= 2**31 - THREADS or (spec.table == TRICUBIC and width * height >= 2**31 - THREADS):
            raise InputError(f"{width} x {height} pixels are too many for device='cuda': give a smaller roi")
        rows = self._fit(spec, width, height, rows, splits)
        return _Plan(spec, bound, width, height, rows, splits)

    def _fit(self, spec: Specialisation, width: int, height: int, rows: int, splits: int) -> int:
        """Rows of a launch for which the device has memory."""
        scene, runtime = self._scene, self._runtime
        fixed = self._stack.nbytes + 40 * len(scene.source_wavelength) + _FEW_BYTES
        what = []
        table, mask = scene.F_table, scene.mask
        item = 4 if spec.single else 8
        if table is not None:
            what.append(f"{readable(table.size * item)} for {table.size} structure factors")
            if not self._tables.holds(table, np.float32 if spec.single else np.float64):
                fixed += table.size * item
        if mask is not None:
            what.append(f"{readable(mask.size)} for the mask")
            if not self._tables.holds(mask, np.uint8):
                fixed += mask.size
        if spec.table == TRICUBIC:
            fixed += self._images * (8 * width * height // THREADS + 8)
        if self._options.on_device:
            fixed += 4 * self._images * scene.fpixels * scene.spixels
            per_row = 0
        else:
            per_row = 4 * self._images * scene.fpixels
        per_row += self._images * width // 8 + 1  # block sums
        if splits > 1 or self._double:
            per_row += 8 * self._images * width * splits
        if self._double:
            per_row += 8 * self._images * scene.fpixels
        free = runtime.free_bytes()
        most = (free - fixed) // per_row
        may_tile = self._images == 1 and not self._options.on_device and not self._double
        if most < (1 if may_tile else height):
            image = f"{self._images} x " if self._images > 1 else ""
            what.append(
                f"{image}{readable(4 * scene.fpixels * scene.spixels)} for images of "
                f"{scene.fpixels} x {scene.spixels} pixels"
            )
            raise MemoryLimitError(
                f"{runtime.profile.name} has {readable(max(free, 0))} of free memory; needed are "
                f"{', '.join(what)}: give fewer pixels or reflections, a smaller batch, or device='cpu'"
            )
        return int(min(rows, most))

    # ---- launching ----

    def start(self, lane: int = 0) -> None:
        """Queue the upload and, where the whole image is one launch, everything else."""
        scene, runtime, plan = self._scene, self._runtime, self._plan
        self._lane = lane
        with runtime.lane(lane):
            sources = len(scene.source_wavelength)
            small = runtime.upload(
                np.concatenate(
                    [
                        scene.source_incident.ravel(),
                        scene.source_wavelength,
                        scene.source_weight,
                        self._stack.ravel(),
                    ]
                )
            )
            self._keep.append(small)
            at = runtime.address(small)
            addresses = {
                "incident": at,
                "wavelength": at + 24 * sources,
                "weight": at + 32 * sources,
                "abc": at + 40 * sources,
            }
            if scene.mask is not None:
                addresses["mask"] = runtime.address(self._held(scene.mask, np.uint8))
            self._table = 0
            if scene.F_table is not None:
                table = self._held(scene.F_table, np.float32 if plan.spec.single else np.float64)
                self._table = addresses["F"] = runtime.address(table)
            packed = _engine.EngineScene(scene).packed(**addresses)
            self._packed = np.frombuffer(packed, f"V{len(packed)}")
            # buffers begin at image row `origin`; several launches use the same one, in the lane's order
            self._origin = 0 if self._options.on_device else scene.roi[2]
            buffer_rows = scene.spixels if self._options.on_device else plan.rows
            self._buffer = runtime.zeros((self._images, buffer_rows, scene.fpixels), np.float32)
            self._buffer64 = None
            if self._double:
                self._buffer64 = runtime.zeros((self._images, buffer_rows, scene.fpixels), np.float64)
            launches = -(-plan.height // plan.rows)
            self._summaries = runtime.empty((launches, self._images), _SUMMARY)
            if not self._options.on_device:
                shape = (self._images, scene.spixels, scene.fpixels)
                self._host = runtime.host_array(shape, np.float32)
                self._host[:, : scene.roi[2]] = 0
                self._host[:, scene.roi[3] + 1 :] = 0
            self._search()
            self._launch_rows()
            if plan.rows == plan.height:
                self._finish_lane()

    def _held(self, host: NDArray[Any], dtype: Any) -> Any:
        array = self._tables.on_device(self._runtime, host, dtype)
        self._keep.append(array)
        return array

    def _part(self, first_row: int, rows: int) -> NDArray[np.void]:
        origin = self._origin if self._options.on_device else first_row
        stride = self._scene.fpixels * (self._scene.spixels if self._options.on_device else self._plan.rows)
        values = (first_row, rows, origin, stride, self._plan.splits, self._plan.index_bound)
        return np.array([values], _PART)

    def _search(self) -> None:
        """Find where tricubic interpolation ends (canonical 7.3)."""
        runtime, plan = self._runtime, self._plan
        self._cut = self._sequence = np.uint64(0)
        self._cut_blocks = -(-plan.width * plan.height // runtime.threads)
        if plan.spec.table != TRICUBIC or self._scene.interpolation != 1:
            return
        pixels = runtime.upload(np.full(self._images, _NONE, np.int64))
        sequences = runtime.empty((self._images, self._cut_blocks), np.int64)
        self._keep += [pixels, sequences]
        self._cut, self._sequence = (np.uint64(runtime.address(a)) for a in (pixels, sequences))
        whole = self._part(self._scene.roi[2], plan.height)
        arguments = [self._packed, whole, self._cut, self._sequence]
        runtime.launch(plan.spec, "nb_search", (self._cut_blocks, 1, self._images), arguments)

    def _launch_rows(self) -> None:
        """Queue the next rows and, on the host's side, their way back."""
        scene, runtime, plan = self._scene, self._runtime, self._plan
        number, first = self._next_row // plan.rows, scene.roi[2] + self._next_row
        rows = min(plan.rows, plan.height - self._next_row)
        self._next_row += rows
        blocks = -(-plan.width * rows // runtime.threads)
        slots = blocks * runtime.threads
        part = self._part(first, rows)
        omega = runtime.empty((self._images, blocks), np.float64)
        self._keep.append(omega)
        partial = 0
        if plan.splits > 1 or self._double:
            parts = runtime.empty((self._images, plan.splits, slots), np.float64)
            self._keep.append(parts)
            partial = runtime.address(parts)
        image, omegas = np.uint64(runtime.address(self._buffer)), np.uint64(runtime.address(omega))
        image64 = 0 if self._buffer64 is None else runtime.address(self._buffer64)
        grid = (blocks, plan.splits, self._images)
        runtime.launch(
            plan.spec,
            "nb_render",
            grid,
            [self._packed, part, np.uint64(self._table), image, np.uint64(partial), omegas, self._cut,
             self._sequence, np.int64(self._cut_blocks)],
        )  # fmt: skip
        finish = -(-slots // (runtime.threads * _PER_THREAD))
        per_block = runtime.empty((self._images, finish), _SUMMARY)
        self._keep.append(per_block)
        summaries = np.uint64(runtime.address(per_block))
        runtime.launch(
            FINISH,
            "nb_finish",
            (finish, 1, self._images),
            [self._packed, part, np.uint64(partial), np.int64(slots), image, np.uint64(image64), summaries],
        )
        result = runtime.address(self._summaries) + number * self._images * _SUMMARY.itemsize
        runtime.launch(
            FINISH,
            "nb_summarise",
            (1, 1, self._images),
            [summaries, np.int64(finish), omegas, np.int64(blocks), self._cut, np.uint64(result)],
        )
        if not self._options.on_device:
            for i in range(self._images):
                runtime.download(self._buffer[i, :rows], self._host[i, first : first + rows])
        self._waiting.append(runtime.mark())

    def _finish_lane(self) -> None:
        runtime = self._runtime
        self._found = runtime.host_array(self._summaries.shape, _SUMMARY)
        runtime.download(self._summaries, self._found)
        self._waiting.append(runtime.mark())

    # ---- results ----

    def collect(self) -> list[RawImage]:
        """The images, when they are ready.

        An exception on the way, Ctrl-C among them, waits for the device first.
        """
        runtime, plan, progress = self._runtime, self._plan, self._options.progress
        try:
            while self._next_row < plan.height:
                with runtime.lane(self._lane):
                    self._launch_rows()  # one launch ahead
                    if self._next_row == plan.height:
                        self._finish_lane()
                runtime.wait(self._waiting.pop(0))
                if progress is not None:
                    progress(max(0, self._next_row - plan.rows) / plan.height)
            while self._waiting:
                runtime.wait(self._waiting.pop(0))
            if progress is not None:
                progress(1.0)
        except BaseException:
            self.abandon()
            raise
        if self._buffer64 is not None:
            self._fetch_double()
        images = [self._raw(i) for i in range(self._images)]
        self._keep.clear()
        return images

    def abandon(self) -> None:
        """Wait for what the device is doing and forget it."""
        try:
            for mark in self._waiting:
                self._runtime.wait(mark)
        finally:
            self._waiting.clear()
            self._keep.clear()

    def _fetch_double(self) -> None:
        scene, runtime = self._scene, self._runtime
        assert self._buffer64 is not None
        rows = scene.spixels if self._options.on_device else self._plan.rows
        self.images64 = np.zeros((self._images, scene.spixels, scene.fpixels))
        with runtime.lane(self._lane):
            out = runtime.host_array((self._images, rows, scene.fpixels), np.float64)
            runtime.download(self._buffer64, out)
            runtime.wait(runtime.mark())
        self.images64[:, self._origin : self._origin + rows] = out

    def _raw(self, i: int) -> RawImage:
        found = self._found[:, i]
        if self._options.on_device:
            image = self._buffer[i]
        elif self._target is not None:
            image = self._target[i]
            image[...] = self._host[i]
        else:
            image = self._host[i]
        bad = found[found["nonfinite"] > 0]
        best = found[int(found["largest"].argmax())]  # the first of equals: rows are in order
        return RawImage(
            image=image,
            omega_sum=float(found["omega"].sum()),
            pixels=int(found["pixels"].sum()),
            nonfinite=int(found["nonfinite"].sum()),
            first_nonfinite=int(bad[0]["first_nonfinite"]) if len(bad) else -1,
            cut_pixel=int(found[0]["cut_pixel"]),
            sums=ImageSums(
                total=float(found["total"].sum()),
                squares=float(found["squares"].sum()),
                largest=float(best["largest"]),
                largest_pixel=int(best["largest_pixel"]),
            ),
        )


def largest_group(runtime: Runtime, scene: Scene) -> int:
    """Images of a batch that go into one launch: enough to fill the card, within a quarter of its memory."""
    pixels = scene.fpixels * scene.spixels
    enough = math.ceil(_FULL * runtime.profile.multiprocessors * _BLOCKS_AT_ONCE * THREADS / pixels)
    wanted = max(enough, 2**26 // (4 * pixels), 1)
    return int(max(1, min(wanted, runtime.free_bytes() // 4 // (4 * pixels), 65535)))

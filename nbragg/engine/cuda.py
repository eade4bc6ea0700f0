"""The CUDA renderer.  The one module that knows CuPy: memory, streams, compilation and their errors."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DeviceError, InputError, MemoryLimitError, NbraggError
from ..base.memory import readable
from ..base.optional import require
from .cuda_engine import Rendering, Tables, kept_behind
from .cuda_kernel import Kernels, source
from .cuda_plan import THREADS, DeviceProfile, largest_group
from .options import RawImage, RenderOptions

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = [
    "CudaBackend",
    "CudaQueue",
    "CupyRuntime",
    "open_runtime",
    "render",
    "render_double",
    "render_stack",
]

_LANES = 2  # streams of a host thread: one image is copied back while the next is rendered
_MOST_PINNED = 2**29  # bytes of page-locked memory that images may occupy at a time
_runtimes: dict[int, CupyRuntime] = {}
_lock = threading.Lock()


class CupyRuntime:
    """A GPU through CuPy; see `cuda_engine.Runtime`.

    Parameters
    ----------
    index : int
        CUDA's number of the device.

    Raises
    ------
    DeviceError
        Without CuPy, driver or device; the message says which.
    """

    threads = THREADS

    def __init__(self, index: int) -> None:
        self._cupy = cupy = _import_cupy()
        with translated("CUDA"):
            count = cupy.cuda.runtime.getDeviceCount()
            if not 0 <= index < count:
                raise DeviceError(
                    f"there is no CUDA device {index}: this machine has {count}, counted from 0"
                    if count
                    else "this machine has no CUDA device: give device='cpu'"
                )
            self._device = cupy.cuda.Device(index)
            found = self._device.attributes
            name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
        self.profile = DeviceProfile(
            name=f"{name} (cuda:{index})",
            multiprocessors=int(found["MultiProcessorCount"]),
            double_cost=float(found.get("SingleToDoublePrecisionPerfRatio", 32)),
            clock_hz=float(found.get("ClockRate", 1_500_000)) * 1e3,
        )
        self.compute_capability = str(self._device.compute_capability)
        self.tables = Tables()
        self.process = os.getpid()
        self._local = threading.local()
        self._modules: dict[Kernels, dict[str, Any]] = {}
        self._pinned = 0
        self._guard = threading.Lock()

    # ---- memory ----

    def free_bytes(self) -> int:
        with self._device:
            return int(self._device.mem_info[0]) + int(self._cupy.get_default_memory_pool().free_bytes())

    @contextlib.contextmanager
    def lane(self, number: int) -> Iterator[None]:
        with self._device:
            streams = getattr(self._local, "streams", None)
            if streams is None:
                streams = [self._cupy.cuda.Stream(non_blocking=True) for _ in range(_LANES)]
                self._local.streams = streams
            with streams[number % _LANES]:
                yield

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        kind = np.dtype(dtype)
        if kind.kind == "V":  # CuPy has no records
            return self._cupy.empty((*shape, kind.itemsize), np.uint8)
        return self._cupy.empty(shape, kind)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._cupy.zeros(shape, dtype)

    def upload(self, host: NDArray[Any]) -> Any:
        return self._cupy.asarray(host)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def host_array(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Page-locked, which copies run to without waiting; ordinary memory when much of that is in use."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._guard:
            if self._pinned + nbytes > _MOST_PINNED:
                return np.empty(shape, dtype)
            self._pinned += nbytes
        memory = self._cupy.cuda.alloc_pinned_memory(nbytes)
        array: NDArray[Any] = np.ndarray(shape, dtype, memory)
        weakref.finalize(array, self._unpinned, nbytes)
        return array

    def _unpinned(self, nbytes: int) -> None:
        self._pinned -= nbytes  # no lock: garbage collection may call this inside host_array

    def download(self, array: Any, out: NDArray[Any]) -> None:
        assert array.nbytes == out.nbytes and array.flags.c_contiguous and out.flags.c_contiguous
        stream = self._cupy.cuda.get_current_stream()
        array.data.copy_to_host_async(out.ctypes.data, array.nbytes, stream)

    # ---- launches ----

    def launch(
        self, spec: Kernels, kernel: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        self.kernel(spec, kernel)(grid, (self.threads, 1, 1), tuple(arguments))

    def kernel(self, spec: Kernels, name: str) -> Any:
        """A compiled kernel; CuPy keeps the machine code on disk."""
        with self._guard:
            kernels = self._modules.setdefault(spec, {})
            if name not in kernels:
                module = kernels.get("")
                if module is None:
                    options = (*spec.options, f"-DNB_THREADS={self.threads}")
                    module = kernels[""] = self._cupy.RawModule(code=source(spec.file), options=options)
                kernels[name] = module.get_function(name)
            return kernels[name]

    def mark(self) -> Any:
        event = self._cupy.cuda.Event(block=False, disable_timing=True)
        event.record()
        return event

    def wait(self, mark: Any) -> None:
        mark.synchronize()


def _import_cupy() -> Any:
    try:
        return require("cupy", extra="cuda12", purpose="device='cuda' (with CUDA 13: 'nanobragg[cuda13]')")
    except (ImportError, OSError) as error:  # missing, or installed for another CUDA
        raise DeviceError(str(error)) from error


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """CuPy's and CUDA's exceptions as this package's.

    Raises
    ------
    MemoryLimitError
        For device memory that ran out.
    DeviceError
        For everything else that is the fault of device, driver or compiler.
    """
    try:
        yield
    except NbraggError:
        raise
    except Exception as error:
        kind = type(error).__name__
        if kind == "OutOfMemoryError":
            raise MemoryLimitError(
                f"{name} ran out of memory ({error}): another program may be using it; give fewer pixels, a "
                "smaller batch, or device='cpu'"
            ) from error
        if kind in ("CompileException", "NVRTCError"):
            raise DeviceError(
                f"the CUDA kernels could not be compiled for {name}; is the CuPy that is installed made for "
                f"this CUDA version?\n{error}"
            ) from error
        if kind in ("CUDARuntimeError", "CUDADriverError"):
            raise DeviceError(_device_fault(name, str(error))) from error
        if isinstance(error, (OSError, ImportError)) or "libnvrtc" in str(error) or "CUDA" in str(error):
            raise DeviceError(f"{name} cannot be used: {error}") from error
        raise


def _device_fault(name: str, text: str) -> str:
    if "NoDevice" in text:
        return "this machine has no CUDA device: give device='cpu'"
    if "InsufficientDriver" in text or "SystemDriverMismatch" in text:
        return f"the NVIDIA driver is missing or too old for this CuPy ({text}): update the driver"
    if "InitializationError" in text or "NotInitialized" in text:
        return f"CUDA could not be started ({text}): start processes that use it by 'spawn', not by fork"
    return (
        f"{name} failed: {text}. After a failed kernel or a lost device, CUDA can only be used again from a "
        "new process"
    )


def open_runtime(index: int = 0) -> CupyRuntime:
    """The runtime of a device, opened once.

    Raises
    ------
    DeviceError
    """
    with _lock:
        runtime = _runtimes.get(index)
        if runtime is None:
            with translated(f"cuda:{index}"):
                runtime = _runtimes[index] = CupyRuntime(index)
    if runtime.process != os.getpid():
        raise DeviceError(
            "CUDA was used before this process was forked and cannot be used in it: start processes by "
            "'spawn' or 'forkserver' (multiprocessing.set_start_method, DataLoader's multiprocessing_context)"
        )
    return runtime


class CudaBackend:
    """Renders on one GPU; see `backend.Backend`.

    Parameters
    ----------
    index : int
        CUDA's number of the device.
    """

    def __init__(self, index: int = 0) -> None:
        self._index = index

    def queue(self, options: RenderOptions) -> CudaQueue:
        """A queue of Scenes to render.

        Raises
        ------
        DeviceError
            Without CuPy, driver or device; the message says which.
        """
        return CudaQueue(open_runtime(self._index), options)


class _Begun(NamedTuple):
    rendering: Rendering
    seconds: float  # of the clock, at its begin


class CudaQueue:
    """Scenes to render on a GPU, first in first out: one image is copied back while the next is rendered.

    A context manager, which abandons what was not collected.

    Attributes
    ----------
    submitted : int
        Scenes submitted so far.
    depth : int
        Scenes worth submitting before the first is collected.
    """

    def __init__(self, runtime: CupyRuntime, options: RenderOptions) -> None:
        self._runtime, self._options = runtime, options
        self._name = runtime.profile.name
        self._waiting: deque[_Begun] = deque()
        self._behind = kept_behind(runtime, runtime.tables)
        self.depth = _LANES
        self.submitted = 0

    def __enter__(self) -> CudaQueue:
        return self

    def __exit__(self, *exception: object) -> None:
        while self._waiting:
            with contextlib.suppress(NbraggError), translated(self._name):
                self._waiting.popleft().rendering.abandon()

    def __len__(self) -> int:
        """Scenes submitted and not yet collected."""
        return len(self._waiting)

    def submit(self, scene: Scene, image: NDArray[np.float32] | None = None) -> None:
        """Begin to render.

        Parameters
        ----------
        scene : Scene
        image : ndarray of float32, C-contiguous, shape Scene.image_shape, optional
            Filled in; default a new one.

        Raises
        ------
        DeviceError
            When the device fails.
        MemoryLimitError
            When the device has too little memory; nothing has been launched then.
        InputError
            When the Scene is beyond what a GPU can index.
        """
        begun = time.perf_counter()
        target = None if image is None else image[np.newaxis]
        with translated(self._name):
            rendering = Rendering(
                self._runtime, self._runtime.tables, scene, self._options, image=target, behind=self._behind
            )
            rendering.start(self.submitted)
        self._waiting.append(_Begun(rendering, begun))
        self.submitted += 1

    def collect(self) -> tuple[RawImage, float]:
        """The oldest image, when it is ready, and the seconds since its begin.

        Raises
        ------
        DeviceError
        """
        rendering, begun = self._waiting.popleft()
        with translated(self._name):
            raw = rendering.collect()[0]
        return raw, time.perf_counter() - begun


def render(scene: Scene, options: RenderOptions, *, index: int = 0) -> RawImage:
    """One image, for tests and comparisons."""
    with CudaBackend(index).queue(options) as queue:
        queue.submit(scene)
        return queue.collect()[0]


def render_double(scene: Scene, *, precision: str = "double", index: int = 0) -> NDArray[np.float64]:
    """The image before it is rounded to float32, shape Scene.image_shape; for tests and comparisons."""
    runtime = open_runtime(index)
    with translated(runtime.profile.name):
        rendering = Rendering(runtime, runtime.tables, scene, RenderOptions(precision), double=True)
        rendering.start()
        rendering.collect()
    assert rendering.images64 is not None
    image: NDArray[np.float64] = rendering.images64[0]
    return image


def render_stack(
    scene: Scene, stack: NDArray[np.float64], options: RenderOptions, *, index: int = 0
) -> Iterator[RawImage]:
    """Render images that differ from a Scene in their orientations alone, many in one launch.

    Parameters
    ----------
    scene : Scene
        Detector, beam and structure factors of all images.
    stack : ndarray of float64, shape (images, orientations, 3, 3)
        Orientations of the Scene's only crystal in each image.
    options : RenderOptions
        ``on_device`` leaves the images there; keep few of them at a time.

    Yields
    ------
    RawImage
        In the order of the stack.  One group of images is rendered ahead of the one in use.

    Raises
    ------
    InputError, DeviceError, MemoryLimitError
    """
    if stack.ndim != 4:
        raise InputError(f"a stack of orientations is (images, orientations, 3, 3), not {stack.shape}")
    if scene.diffuse is not None:
        raise InputError("the images of a stack share what is behind the spots, and diffuse scattering turns")
    runtime = open_runtime(index)
    name = runtime.profile.name
    waiting: deque[Rendering] = deque()
    behind = kept_behind(runtime, runtime.tables)
    with translated(name):
        size = largest_group(scene, runtime.profile, runtime.free_bytes())
    try:
        for lane, first in enumerate(range(0, len(stack), size)):
            with translated(name):
                part = stack[first : first + size]
                group = Rendering(runtime, runtime.tables, scene, options, stack=part, behind=behind)
                group.start(lane)
            waiting.append(group)
            if len(waiting) == _LANES:
                yield from _collected(waiting.popleft(), name)
        while waiting:
            yield from _collected(waiting.popleft(), name)
    finally:
        for group in waiting:
            with contextlib.suppress(NbraggError), translated(name):
                group.abandon()


def _collected(group: Rendering, name: str) -> list[RawImage]:
    with translated(name):
        return group.collect()


def describe(index: int = 0) -> str:
    """One line on a device, for reports: name, memory, compute capability."""
    runtime = open_runtime(index)
    return (
        f"{runtime.profile.name}, compute capability {runtime.compute_capability}, "
        f"{runtime.profile.multiprocessors} multiprocessors, {readable(runtime.free_bytes())} free"
    )

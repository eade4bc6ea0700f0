"""The device "auto": a GPU as long as it can, then the CPU."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import DeviceError, MemoryLimitError, NbraggWarning
from .cpu import CpuQueue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..scene.record import Scene
    from .backend import Queue
    from .options import RawImage, RenderOptions

__all__ = ["AutoBackend", "AutoQueue", "warn_of_fallback"]

_warned = False


def warn_of_fallback(error: Exception) -> None:
    """Once in a process: with "auto", the lack of a GPU is no fault."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(f"rendering on the CPU: {error}", NbraggWarning, stacklevel=5)


class AutoBackend:
    """A GPU where there is one that can, else the CPU with one warning.

    Parameters
    ----------
    index : int
        CUDA's number of the GPU.
    """

    def __init__(self, index: int = 0) -> None:
        self._index = index

    def queue(self, options: RenderOptions) -> Queue:
        from .cuda import CudaBackend

        try:
            gpu = CudaBackend(self._index).queue(options)
        except (DeviceError, MemoryLimitError) as error:
            warn_of_fallback(error)
            return CpuQueue(options)
        return AutoQueue(gpu, options)


class _Submitted(NamedTuple):
    scene: Scene
    image: NDArray[np.float32] | None


class AutoQueue:
    """A GPU's queue until it fails; whatever it was given and has not returned is then rendered on the CPU.

    Parameters
    ----------
    gpu : Queue
    options : RenderOptions
    """

    def __init__(self, gpu: Queue, options: RenderOptions) -> None:
        self._queue = gpu
        self._options = options
        self._on_gpu = True
        self._waiting: deque[_Submitted] = deque()
        self.submitted = 0

    @property
    def depth(self) -> int:
        return self._queue.depth

    def __enter__(self) -> AutoQueue:
        self._queue.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._queue.__exit__(None, None, None)

    def submit(self, scene: Scene, image: NDArray[np.float32] | None = None) -> None:
        """Begin to render; see `nbragg.engine.backend.Queue`."""
        try:
            self._queue.submit(scene, image)
            self._waiting.append(_Submitted(scene, image))
        except (DeviceError, MemoryLimitError) as error:
            if not self._on_gpu:
                raise
            self._waiting.append(_Submitted(scene, image))
            self._fall_back(error)
        self.submitted += 1

    def collect(self) -> tuple[RawImage, float]:
        """The oldest image; see `nbragg.engine.backend.Queue`."""
        try:
            result = self._queue.collect()
        except (DeviceError, MemoryLimitError) as error:
            if not self._on_gpu:
                raise
            self._fall_back(error)
            result = self._queue.collect()
        self._waiting.popleft()
        return result

    def _fall_back(self, error: Exception) -> None:
        warn_of_fallback(error)
        failed, self._queue = self._queue, CpuQueue(self._options)
        self._on_gpu = False
        with contextlib.suppress(DeviceError):  # of the device that has failed already
            failed.__exit__(None, None, None)
        for scene, image in self._waiting:
            self._queue.submit(scene, image)

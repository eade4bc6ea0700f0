"""Renders one Scene after another, a few ahead of the caller, with bounded memory."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from . import RawImage, RenderOptions, parse, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ..scene import Scene
    from .cpu import Rendering
    from .engine_threads import EngineThread

__all__ = ["Stream"]

#: pixels that one thread takes at a time from a large image (NB_UNIT in csrc/nb_render.c)
_UNIT_PIXELS = 1024
#: with fewer units than this for each thread the last ones leave threads without work
_UNITS_PER_THREAD = 8


class _Waiting(NamedTuple):
    collect: Callable[[], tuple[RawImage, float]]
    abandon: Callable[[], None]


class Stream:
    """A queue of Scenes to render on one device, first in first out; a context manager.

    Images too small to occupy all threads are rendered several at a time, one thread each.  An image does not
    depend on that.

    Attributes
    ----------
    submitted : int
        Scenes submitted so far.
    depth : int
        Scenes worth submitting before the first is collected; known from the first `submit` on.
    """

    def __init__(self, device: str, options: RenderOptions) -> None:
        self._device = resolve(device)  # refuses an unknown one
        self._options = options
        self._waiting: deque[_Waiting] = deque()
        self._stack = contextlib.ExitStack()
        self._threads: list[EngineThread] = []
        self.submitted = 0
        self.depth = 1

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        for waiting in self._waiting:
            waiting.abandon()
        self._waiting.clear()
        self._stack.close()

    def __len__(self) -> int:
        """Scenes submitted and not yet collected."""
        return len(self._waiting)

    def submit(self, scene: Scene, image: NDArray[np.float32] | None = None) -> None:
        """Begin to render; into ``image``, (spixels, fpixels), where one is given."""
        if self._device == "cpu":
            self._waiting.append(self._started(scene, image))
        else:
            self._waiting.append(self._on_gpu(scene, image))
        self.submitted += 1

    def collect(self) -> tuple[RawImage, float]:
        """The oldest image, when it is ready, and its rendering time in seconds."""
        result = self._waiting[0].collect()
        self._waiting.popleft()
        return result

    def _started(self, scene: Scene, image: NDArray[np.float32] | None) -> _Waiting:
        from . import cpu

        if not self._threads:
            self._begin(scene)
        rendering: Rendering = cpu.Rendering(scene, self._options, image)
        rendering.start(self._threads[self.submitted % len(self._threads)])
        return _Waiting(rendering.collect, rendering.abandon)

    def _begin(self, scene: Scene) -> None:
        """Choose between one image on all threads and an image on each thread."""
        from .cpu import thread_count
        from .engine_threads import borrowed

        fmin, fmax, smin, smax = scene.roi
        units = -(-(fmax - fmin + 1) * (smax - smin + 1) // _UNIT_PIXELS)
        threads = thread_count(self._options)
        at_once = threads if units < _UNITS_PER_THREAD * threads else 1
        self._options = RenderOptions(self._options.precision, threads // at_once)
        self._threads = self._stack.enter_context(borrowed(at_once))
        self.depth = 2 * at_once

    def _on_gpu(self, scene: Scene, image: NDArray[np.float32] | None) -> _Waiting:
        """One image on its way back while the next is rendered."""
        from . import cuda

        self.depth = 2
        index = parse(self._device)[1]
        rendering = cuda.CudaRendering(scene, self._options, image, index=index, lane=self.submitted)
        return _Waiting(rendering.collect, rendering.abandon)

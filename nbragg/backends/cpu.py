"""The CPU renderer: hands a Scene to the compiled engine and waits, with progress and Ctrl-C."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..errors import InputError, RenderError
from . import PRECISIONS, ImageSums, RawImage, RenderOptions
from .engine_threads import EngineThread, Task, borrowed

if TYPE_CHECKING:
    from ..scene import Scene

__all__ = ["Rendering", "choose_isa", "render", "render_double", "thread_count"]

POLL_SECONDS = 0.05


def choose_isa() -> str:
    """Instruction set to use: the environment variable NBRAGG_ISA, else the widest the processor has.

    Raises
    ------
    InputError
        When NBRAGG_ISA names a level this build or processor lacks.
    """
    wanted = os.environ.get("NBRAGG_ISA", "")
    if not wanted:
        return _engine.best_isa()
    usable = [name for name, available in _engine.isa_levels() if available]
    if wanted not in usable:
        raise InputError(
            f"NBRAGG_ISA={wanted} cannot be used here: this build and processor have {', '.join(usable)}"
        )
    return wanted


def thread_count(options: RenderOptions) -> int:
    """Threads to render with: as asked for, else OpenMP's choice."""
    return options.threads or _engine.max_threads()


class Rendering:
    """One Scene being rendered on an engine thread.

    Parameters
    ----------
    scene : Scene
    options : RenderOptions
    image : ndarray of float32, C-contiguous, shape (spixels, fpixels), optional
        Filled in; default a new one.
    image64 : ndarray of float64, optional
        Receives the image before it is rounded.
    """

    def __init__(
        self,
        scene: Scene,
        options: RenderOptions,
        image: NDArray[np.float32] | None = None,
        image64: NDArray[np.float64] | None = None,
    ) -> None:
        roi = scene.roi
        whole = (0, scene.fpixels - 1, 0, scene.spixels - 1)
        if image is None:
            image = np.zeros((scene.spixels, scene.fpixels), np.float32)
        elif roi != whole or scene.mask is not None:
            image.fill(0.0)  # the engine writes what it renders and nothing else
        self._image = image
        self._options = options
        self._isa = choose_isa()
        self._pixels = (roi[1] - roi[0] + 1) * (roi[3] - roi[2] + 1)
        self._job = _engine.Job(_engine.EngineScene(scene), image, image64)
        self._task: Task | None = None

    def start(self, thread: EngineThread) -> None:
        """Begin, or wait behind what the thread was given before."""
        precision, threads = PRECISIONS.index(self._options.precision or "double"), self._options.threads or 0
        self._task = thread.submit(lambda: self._job.run(precision, threads, self._isa))

    def collect(self) -> tuple[RawImage, float]:
        """The image, when it is ready, and its rendering time in seconds.

        An exception on the way, Ctrl-C among them, stops the engine first.
        """
        assert self._task is not None
        try:
            while not self._task.wait(POLL_SECONDS):
                if self._options.progress is not None:
                    self._options.progress(self._job.progress / self._pixels)
        except BaseException:
            self.abandon()
            raise
        status = self._task.result()
        if status != "ok":
            raise RenderError(f"the engine stopped: {status}")
        if self._options.progress is not None:
            self._options.progress(1.0)
        report = dict(self._job.report)
        sums = ImageSums(*report.pop("sums"))
        return RawImage(image=self._image, sums=sums, **report), self._task.seconds

    def abandon(self) -> None:
        """Stop the engine and wait until it has stopped."""
        self._job.cancel()
        if self._task is not None and self._task.is_ours():
            while not self._task.wait(POLL_SECONDS):
                pass


def render(scene: Scene, options: RenderOptions) -> RawImage:
    """Render a Scene on the CPU.

    Raises
    ------
    RenderError
        When the engine runs out of memory.
    KeyboardInterrupt
        On Ctrl-C, after the engine has stopped.
    """
    return _render(Rendering(scene, options))


def render_double(scene: Scene, threads: int | None = None) -> NDArray[np.float64]:
    """The image before it is rounded to float32, shape (spixels, fpixels); for tests and comparisons."""
    image64 = np.zeros((scene.spixels, scene.fpixels))
    _render(Rendering(scene, RenderOptions(threads=threads), image64=image64))
    return image64


def _render(rendering: Rendering) -> RawImage:
    with borrowed() as (thread,):
        rendering.start(thread)
        return rendering.collect()[0]

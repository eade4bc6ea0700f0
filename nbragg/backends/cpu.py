"""The CPU renderer: hands a Scene to the compiled engine and waits, with progress and Ctrl-C.

The engine runs on a thread of its own for each call.  That keeps the calling thread free to poll progress and to stop
the engine on Ctrl-C, and it makes rendering safe after fork: OpenMP's worker threads belong to the thread that started
them, so a forked child never waits for workers that exist only in its parent.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..errors import InputError, RenderError
from . import PRECISIONS, Progress, RawImage, RenderOptions

if TYPE_CHECKING:
    from ..scene import Scene

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
        raise InputError(f"NBRAGG_ISA={wanted} cannot be used here: this build and processor have {', '.join(usable)}")
    return wanted


def render(scene: Scene, options: RenderOptions) -> RawImage:
    """Render a Scene on the CPU.

    Raises
    ------
    RenderError
        When the engine runs out of memory.
    KeyboardInterrupt
        On Ctrl-C, after the engine has stopped.
    """
    return _render(scene, options, None)


def render_double(scene: Scene, threads: int | None = None) -> NDArray[np.float64]:
    """The image before it is rounded to float32, shape (spixels, fpixels); for tests and comparisons."""
    image64 = np.zeros((scene.spixels, scene.fpixels))
    _render(scene, RenderOptions(threads=threads), image64)
    return image64


def _render(scene: Scene, options: RenderOptions, image64: NDArray[np.float64] | None) -> RawImage:
    image = np.zeros((scene.spixels, scene.fpixels), np.float32)
    job = _engine.Job(_engine.EngineScene(scene), image, image64)
    roi_pixels = (scene.roi[1] - scene.roi[0] + 1) * (scene.roi[3] - scene.roi[2] + 1)
    status = _run(job, options, choose_isa(), roi_pixels)
    if status != "ok":
        raise RenderError(f"the engine stopped: {status}")
    return RawImage(image=image, **job.report)


def _run(job: _engine.Job, options: RenderOptions, isa: str, roi_pixels: int) -> str:
    result: list[str] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(job.run(PRECISIONS.index(options.precision), options.threads or 0, isa))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="nbragg-render", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            _report(options.progress, job.progress / roi_pixels)
    except BaseException:
        job.cancel()
        thread.join()
        raise
    if failure:
        raise failure[0]
    return result[0]


def _report(progress: Progress | None, fraction: float) -> None:
    if progress is not None:
        progress(fraction)

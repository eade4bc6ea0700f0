"""The CPU renderer: hands Scenes to the compiled engine and waits, with progress and Ctrl-C."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.errors import InputError, RenderError
from .backdrop import Behind, Images, Kept
from .options import MIXED_TOLERANCE, RawImage, RenderOptions, Summary
from .progress import reporting
from .quadrature import Rules, gram_rules
from .threads import EngineThread, Task, borrowed

if TYPE_CHECKING:
    from ..scene.record import Scene
    from .diffuse import DiffuseLight

__all__ = [
    "CpuBackend",
    "CpuQueue",
    "behind_of",
    "choose_isa",
    "cpu_precision",
    "render_behind",
    "render_cut",
    "render_diffuse",
    "render_double",
    "run_job",
    "thread_count",
]

POLL_SECONDS = 0.05
#: pixels that one thread takes at a time from a large image (NB_UNIT in csrc/nb_image.c)
_UNIT_PIXELS = 1024
#: with fewer units than this for each thread the last ones leave threads without work
_UNITS_PER_THREAD = 8
#: fraction of its peak at which a Gaussian spot ends with physics="exact"
SPOT_END = 1e-12


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


def cpu_precision(options: RenderOptions) -> str:
    """Precision to render with: as asked for, else the fastest that the tolerance allows."""
    return options.precision or ("mixed" if options.tolerance >= MIXED_TOLERANCE else "double")


def limits(scene: Scene, options: RenderOptions) -> dict[str, Any]:
    """What decides which samples are left out."""
    if not options.cull:
        return {}
    ends = scene.physics == "exact" and all(
        crystal.shape in ("gauss", "tophat") for crystal in scene.crystals
    )
    return {"tolerance": options.tolerance_photons, "spot_end": SPOT_END if ends else 0.0}


def rules_of(scene: Scene, options: RenderOptions) -> Rules | None:
    """Rules from which pixels take as few sub-pixels as they need; None: all are taken."""
    return gram_rules(scene.oversample) if scene.adaptive and options.cull else None


class CpuBackend:
    """Renders with the compiled engine."""

    def queue(self, options: RenderOptions) -> CpuQueue:
        return CpuQueue(options)


class _Waiting(NamedTuple):
    job: _engine.Job
    task: Task
    behind: Behind | None


class CpuQueue:
    """A queue of Scenes; see `nbragg.engine.backend.Queue`.

    Images too small to occupy all threads are rendered several at a time, one thread each, where there are
    several.  An image does not depend on that.
    """

    def __init__(self, options: RenderOptions) -> None:
        self._options = options
        self._precision = cpu_precision(options)
        self._isa = choose_isa()
        self._waiting: deque[_Waiting] = deque()
        self._stack = contextlib.ExitStack()
        self._threads: list[EngineThread] = []
        self._threads_each = 1
        self._behind = Kept(Behind)
        self._lights: Kept[DiffuseLight] | None = None
        self.submitted = 0
        self.depth = 1

    def __enter__(self) -> CpuQueue:
        return self

    def __exit__(self, *exception: object) -> None:
        while self._waiting:
            _abandon(self._waiting.popleft())
        self._stack.close()

    def submit(
        self,
        scene: Scene,
        image: NDArray[np.float32] | None = None,
        image64: NDArray[np.float64] | None = None,
    ) -> None:
        """Begin to render, into ``image`` of the scene's ``image_shape`` where one is given.

        ``image64``, zeros of that shape, receives the image before it is rounded.
        """
        engine = _engine.EngineScene(scene)
        if image is None:
            image = np.empty(scene.image_shape, np.float32)
        if engine.rendered < engine.pixels:
            image.fill(0.0)  # the engine writes what it renders and nothing else
        if not self._threads:
            self._begin(engine.rendered)
        # nothing waits for a thread: whoever wants one image gets all of them
        threads = self._threads_each if self._waiting else thread_count(self._options)
        rules = rules_of(scene, self._options)
        job = _engine.Job(
            engine, image, self._precision, threads, self._isa, image64, rules=rules,
            **limits(scene, self._options),
        )  # fmt: skip
        thread = self._threads[self.submitted % len(self._threads)]
        behind = self._behind.of(scene)
        run = job.run if behind is None else functools.partial(behind.render, engine, job)
        if scene.diffuse is not None:
            run = self._light(scene).job(engine, job, behind)
        self._waiting.append(_Waiting(job, thread.submit(run), behind))
        self.submitted += 1

    def _light(self, scene: Scene) -> DiffuseLight:
        """Diffuse scattering of a Scene that has some."""
        if self._lights is None:
            from .diffuse import DEPENDS_ON, DiffuseLight

            self._lights = Kept(DiffuseLight, "diffuse", DEPENDS_ON)
        light = self._lights.of(scene)
        assert light is not None
        return light

    def _begin(self, pixels: int) -> None:
        """Choose between one image on all threads and an image on each thread."""
        units = -(-pixels // _UNIT_PIXELS)
        threads = thread_count(self._options)
        at_once = threads if units < _UNITS_PER_THREAD * threads else 1
        self._threads_each = threads // at_once
        self.depth = 2 * at_once
        self._threads = self._stack.enter_context(borrowed(at_once))

    def collect(self) -> tuple[RawImage, float]:
        """The oldest image, when it is ready, and its rendering time in seconds.

        An exception on the way, Ctrl-C among them, stops the engine first.

        Raises
        ------
        RenderError
            When the engine runs out of memory.
        """
        job, task, behind = self._waiting[0]
        try:
            with reporting(self._options) as report:
                while not task.wait(POLL_SECONDS):
                    if report is not None:
                        report(job.progress)
                status = task.result()
                if report is not None and status == "ok":
                    report(1.0)
        except BaseException:
            _abandon(self._waiting.popleft())
            raise
        self._waiting.popleft()
        if status != "ok":
            raise RenderError(f"the engine stopped: {status}")
        if behind is not None:
            behind.tell(job.summary["pixels"])
        return RawImage(job.image, Summary(**job.summary)), task.seconds


def _abandon(waiting: _Waiting) -> None:
    """Stop the engine and wait until it has stopped."""
    waiting.job.cancel()
    while waiting.task.is_ours() and not waiting.task.wait(POLL_SECONDS):
        pass


class EngineJob(Protocol):
    """A call into the engine that another thread can stop."""

    def cancel(self) -> None: ...

    def run(self) -> str: ...


def run_job(job: EngineJob, poll: Callable[[], None] | None = None) -> None:
    """Run a job on an engine thread, calling ``poll`` meanwhile; Ctrl-C stops the engine first.

    Raises
    ------
    RenderError
        When the engine runs out of memory.
    """
    with borrowed() as threads:
        task = threads[0].submit(job.run)
        try:
            while not task.wait(POLL_SECONDS):
                if poll is not None:
                    poll()
            status = task.result()
        except BaseException:
            job.cancel()
            while task.is_ours() and not task.wait(POLL_SECONDS):
                pass
            raise
        if status != "ok":
            raise RenderError(f"the engine stopped: {status}")


def render_cut(scene: Scene, options: RenderOptions) -> tuple[NDArray[np.float64], tuple[int, int] | None]:
    """The image before it is rounded, and the sample that ended interpolation: its image index and number."""
    image64 = np.zeros(scene.image_shape)
    with CpuQueue(options) as queue:
        queue.submit(scene, image64=image64)
        job = queue._waiting[0].job
        queue.collect()
    return image64, job.cut


def render_behind(scene: Scene, threads: int | None = None) -> Images:
    """The images behind the spots of a Scene that has a backdrop, flat.

    Raises
    ------
    RenderError
        When the engine runs out of memory.
    """
    return behind_of(Kept(Behind), scene, threads)


def behind_of(kept: Kept[Behind], scene: Scene, threads: int | None = None) -> Images:
    """`render_behind`, with what was made for the Scene before where it is the same."""
    behind = kept.of(scene)
    assert behind is not None
    if behind.images is None:
        _make(behind, scene, threads)
    assert behind.images is not None
    return behind.images


def render_diffuse(scene: Scene, threads: int | None = None) -> NDArray[np.float64]:
    """Diffuse scattering of a Scene that has some, flat: photons at a fluence of 1 photon/m^2.

    Raises
    ------
    RenderError
        When the engine runs out of memory.
    """
    from .diffuse import DiffuseLight

    assert scene.diffuse is not None
    light = DiffuseLight(scene, scene.diffuse)
    _make(light, scene, threads)
    assert light.image is not None
    return light.image


def _make(images: Behind | DiffuseLight, scene: Scene, threads: int | None) -> None:
    """Make images on an engine thread."""
    unused = np.empty(scene.image_shape, np.float32)
    count = thread_count(RenderOptions(threads=threads))
    job = _engine.Job(_engine.EngineScene(scene), unused, "double", count, choose_isa())
    with borrowed() as engine_threads:
        task = engine_threads[0].submit(functools.partial(images.make, job))
        try:
            while not task.wait(POLL_SECONDS):
                pass
            status = task.result()
        except BaseException:
            _abandon(_Waiting(job, task, None))
            raise
    if status != "ok":
        raise RenderError(f"the engine stopped: {status}")


def render_double(
    scene: Scene, threads: int | None = None, precision: str | None = None
) -> NDArray[np.float64]:
    """The image before it is rounded to float32, of the scene's ``image_shape``; to be compared with."""
    image64 = np.zeros(scene.image_shape)
    with CpuQueue(RenderOptions(threads=threads, precision=precision)) as queue:
        queue.submit(scene, image64=image64)
        queue.collect()
    return image64

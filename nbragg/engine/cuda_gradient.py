"""Derivatives of an image on a GPU: as `gradient.Gradient`, with the passes over the samples made there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import _engine
from ..base.cached import cached_property
from ..base.errors import DeviceError, MemoryLimitError
from ..base.vectors import FloatArray
from ..scene.record import Scene
from ..scene.tangent import Frame, SceneTangent
from . import cuda
from .cpu import render_cut
from .cuda import translated
from .cuda_engine import Rendering
from .cuda_sweeps import CudaJob, Sweeps
from .gradient import Gradient
from .options import RenderOptions
from .queue import warn_of_fallback

__all__ = ["CudaGradient"]


class CudaGradient(Gradient):
    """The derivatives of one image, on a GPU.

    Parameters
    ----------
    scene : Scene
    tangents : sequence of SceneTangent
        How the Scene moves with each of p parameters.
    frames : sequence of Frame
        Of each crystal, where a tangent moves its ``cell``; otherwise it may be empty.
    options : RenderOptions
        Precision, progress.  In mixed precision, which is the default, lattice factors and their slopes are
        in single precision; all that is returned is float64.
    index : int
        CUDA's number of the device.
    fall_back : bool
        When the device fails or has too little memory, go on on the CPU with one warning.

    Raises
    ------
    DeviceError
        Without CuPy, driver or device; the message says which.

    Notes
    -----
    Results are the same to the bit from run to run: no sum depends on the order in which the device works.
    """

    def __init__(
        self,
        scene: Scene,
        tangents: Sequence[SceneTangent],
        frames: Sequence[Frame],
        options: RenderOptions,
        *,
        index: int = 0,
        fall_back: bool = False,
    ) -> None:
        precision = options.precision or "mixed"
        super().__init__(scene, tangents, frames, replace(options, precision=precision, on_device=False))
        self._runtime = cuda.open_runtime(index)
        self._fall_back = fall_back

    @cached_property
    def _rendered(self) -> tuple[FloatArray, tuple[int, int] | None]:
        runtime = self._runtime
        try:
            with translated(runtime.profile.name):
                rendering = Rendering(runtime, runtime.tables, self.scene, self.options, double=True)
                rendering.start()
                rendering.collect()
        except (DeviceError, MemoryLimitError) as error:
            if not self._fall_back:
                raise
            warn_of_fallback(error)
            return render_cut(self.scene, self.options)
        assert rendering.images64 is not None
        return rendering.images64[0], rendering.cut

    def _job(self, asked: list[_engine.Asked], asks: int, cut: tuple[int, int] | None = None) -> CudaJob:
        return CudaJob(self._engine, asked, asks, **self._job_words(), cut=cut)

    def _run(self, job: _engine.GradientJob) -> None:
        assert isinstance(job, CudaJob)
        runtime = self._runtime
        try:
            with translated(runtime.profile.name):
                Sweeps(runtime, runtime.tables, self.scene, job, self.options).run()
        except (DeviceError, MemoryLimitError) as error:
            if not self._fall_back:
                raise
            warn_of_fallback(error)
            super()._run(job)  # all of a pass's pixels once more

"""The way from a Scene to an image: a backend for each device, and its queue.

with backend(options.device).queue(options) as queue:
    queue.submit(scene)
    raw, seconds = queue.collect()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..base.errors import DeviceError
from .options import (
    DEVICES,
    MIXED_TOLERANCE,
    PRECISIONS,
    Progress,
    RawImage,
    RenderOptions,
    Summary,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from ..scene.record import Scene
    from ..scene.tangent import Frame, SceneTangent
    from .gradient import Gradient

__all__ = [
    "DEVICES",
    "MIXED_TOLERANCE",
    "PRECISIONS",
    "Backend",
    "Progress",
    "Queue",
    "RawImage",
    "RenderOptions",
    "Summary",
    "backend",
    "default_precision",
    "gradient",
    "parse",
    "resolve",
]


class Queue(Protocol):
    """Scenes rendered first in, first out; a context manager that stops what is under way when it ends.

    Attributes
    ----------
    depth : int
        Scenes worth submitting before the first is collected; known from the first `submit` on.
    submitted : int
        Scenes submitted so far.
    """

    submitted: int

    @property
    def depth(self) -> int: ...

    def __enter__(self) -> Queue: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def submit(self, scene: Scene, image: NDArray[np.float32] | None = None) -> None:
        """Begin to render, into ``image`` of the scene's ``image_shape`` where one is given."""

    def collect(self) -> tuple[RawImage, float]:
        """The oldest image, when it is ready, and its rendering time in seconds.

        An exception on the way, Ctrl-C among them, stops the rendering first.
        """


class Backend(Protocol):
    """A renderer of Scenes."""

    def queue(self, options: RenderOptions) -> Queue: ...


def backend(device: str) -> Backend:
    """The backend of a device.

    Raises
    ------
    InputError
        When the device is not known.
    """
    kind, index = parse(device)
    if kind == "cpu":
        from .cpu import CpuBackend

        return CpuBackend()
    if kind == "auto":
        from .queue import AutoBackend

        return AutoBackend(index)
    from .cuda import CudaBackend

    return CudaBackend(index)


def gradient(
    scene: Scene, tangents: Sequence[SceneTangent], frames: Sequence[Frame], options: RenderOptions
) -> Gradient:
    """Derivatives of an image, on the device that the options name.

    Parameters
    ----------
    scene : Scene
    tangents : sequence of SceneTangent
        How the Scene moves with each parameter.
    frames : sequence of Frame
        Of each crystal, where a tangent moves its ``cell``; otherwise it may be empty.
    options : RenderOptions
        Device, precision, threads, progress.  "auto": a GPU as long as it can, then the CPU with a warning.

    Raises
    ------
    InputError
        When the device is not known.
    DeviceError
        With device "cuda" where there is none; the message says what is missing.
    """
    from .gradient import Gradient

    kind, index = parse(options.device)
    if kind == "cpu" or resolve(options.device) == "cpu":
        return Gradient(scene, tangents, frames, options)
    from .cuda_gradient import CudaGradient

    return CudaGradient(scene, tangents, frames, options, index=index, fall_back=kind == "auto")


def resolve(device: str) -> str:
    """The device that "auto" stands for, "cuda:n" or "cpu"; others are returned as they are.

    Raises
    ------
    InputError
        When the device is not known.
    """
    kind, index = parse(device)
    if kind != "auto":
        return device
    from .cuda import open_runtime
    from .queue import warn_of_fallback

    try:
        open_runtime(index)
    except DeviceError as error:
        warn_of_fallback(error)
        return "cpu"
    return f"cuda:{index}"


def default_precision(device: str, tolerance: float = 0.0) -> str:
    """Precision of a device when none is asked for; see `RenderOptions`."""
    return "double" if resolve(device) == "cpu" and tolerance < MIXED_TOLERANCE else "mixed"

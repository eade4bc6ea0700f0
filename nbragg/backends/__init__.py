"""Renderers of a Scene.  A backend is a module with one function, ``render(scene, options) -> RawImage``."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import DeviceError, InputError, MemoryLimitError, NbraggWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..scene import Scene
    from .streaming import Stream

PRECISIONS = ("double", "mixed")
#: cuda and auto may be followed by :n, the number of the GPU
DEVICES = ("cpu", "cuda", "auto")

Progress = Callable[[float], None]


@dataclass(frozen=True)
class RenderOptions:
    """How to render, as opposed to what.

    Attributes
    ----------
    precision : {"double", "mixed"}
        mixed: positions, q and h, k, l in double; lattice factors and short sums in single precision.
        None: double on the CPU, mixed on a GPU.
    threads : int or None
        CPU threads; None takes OpenMP's choice (OMP_NUM_THREADS, else all cores).
    progress : callable or None
        Called from the calling thread, a few times a second, with the fraction done.
    on_device : bool
        Leave the image in the GPU's memory, as a CuPy array; without effect on the CPU.
    """

    precision: str | None = None
    threads: int | None = None
    progress: Progress | None = None
    on_device: bool = False

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise InputError(f"precision {self.precision!r} is not known: give one of {known}")
        if self.threads is not None and (
            isinstance(self.threads, bool)
            or not isinstance(self.threads, int)
            or not 1 <= self.threads <= 4096
        ):
            raise InputError(
                f"threads = {self.threads!r}: give a whole number from 1 to 4096, or None for all cores"
            )


@dataclass(frozen=True)
class ImageSums:
    """What the statistics of an image need, where a backend has worked it out.

    Attributes
    ----------
    total, squares : float
        Sums of the pixels of the roi and of their squares.
    largest : float
        Largest pixel; 0 when none is positive.
    largest_pixel : int
        Image index of the first that large, or -1.
    """

    total: float
    squares: float
    largest: float
    largest_pixel: int


@dataclass(frozen=True)
class RawImage:
    """What a backend returns.

    Attributes
    ----------
    image : ndarray of float32, shape (spixels, fpixels)
        Photons per pixel; 0 outside the roi and where the mask is 0.  A CuPy array with ``on_device``.
    omega_sum : float
        Sum of the solid angles of all sub-pixels and layers, sr.
    pixels : int
        Pixels rendered.
    nonfinite, first_nonfinite : int
        Number of infinite or NaN pixels and the image index of the first, -1 if there is none.
    cut_pixel : int
        Image index of the pixel where interpolation was switched off (canonical 7.3), or -1.
    sums : ImageSums or None
    """

    image: NDArray[np.float32]
    omega_sum: float
    pixels: int
    nonfinite: int = 0
    first_nonfinite: int = -1
    cut_pixel: int = -1
    sums: ImageSums | None = None

    def with_image(self, image: NDArray[np.float32]) -> RawImage:
        """The same counts beside another array."""
        return replace(self, image=image, sums=None)


def get(device: str) -> Callable[[Scene, RenderOptions], RawImage]:
    """The render function of a device.

    Raises
    ------
    InputError
        When the device is not known.
    """
    kind, index = parse(device)
    if kind == "cpu":
        from .cpu import render as on_cpu

        return on_cpu
    if kind == "auto":
        return functools.partial(_render_on_best, index=index)
    from .cuda import render as on_gpu

    return functools.partial(on_gpu, index=index)


def parse(device: str) -> tuple[str, int]:
    """Kind of a device and number of the GPU: ``parse("cuda:1")`` is ``("cuda", 1)``.

    Raises
    ------
    InputError
        When the device is not known.
    """
    found = re.fullmatch(r"(cpu)|(cuda|auto)(?::(\d{1,4}))?", device) if isinstance(device, str) else None
    if found is None:
        raise InputError(
            f"device {device!r} is not known: give one of {', '.join(DEVICES)}; cuda:n or auto:n for GPU n"
        )
    return found[1] or found[2], int(found[3] or 0)


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

    try:
        open_runtime(index)
    except DeviceError as error:
        _warn_of_fallback(error)
        return "cpu"
    return f"cuda:{index}"


def default_precision(device: str) -> str:
    """Precision of a device when none is asked for: double on the CPU, mixed on a GPU."""
    return "double" if resolve(device) == "cpu" else "mixed"


_warned_of_fallback = False


def _warn_of_fallback(error: Exception) -> None:
    """Once in a process: with "auto", the lack of a GPU is no fault."""
    global _warned_of_fallback
    if not _warned_of_fallback:
        _warned_of_fallback = True
        warnings.warn(f"rendering on the CPU: {error}", NbraggWarning, stacklevel=4)


def _render_on_best(scene: Scene, options: RenderOptions, *, index: int) -> RawImage:
    """On the GPU where there is one that can, else on the CPU with one warning."""
    from .cpu import render as on_cpu
    from .cuda import render as on_gpu

    try:
        return on_gpu(scene, options, index=index)
    except (DeviceError, MemoryLimitError) as error:
        _warn_of_fallback(error)
    return on_cpu(scene, options)


def stream(device: str, options: RenderOptions) -> Stream:
    """A queue of Scenes to render, for batches.

    Raises
    ------
    InputError
        When the device is not known.
    """
    from .streaming import Stream

    return Stream(device, options)

"""Renderers of a Scene.  A backend is a module with one function, ``render(scene, options) -> RawImage``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..scene import Scene

PRECISIONS = ("double", "mixed")
DEVICES = ("cpu",)

Progress = Callable[[float], None]


@dataclass(frozen=True)
class RenderOptions:
    """How to render, as opposed to what.

    Attributes
    ----------
    precision : {"double", "mixed"}
        mixed: positions, q and h, k, l in double; lattice factors and short sums in single precision.
    threads : int or None
        CPU threads; None takes OpenMP's choice (OMP_NUM_THREADS, else all cores).
    progress : callable or None
        Called from the calling thread, a few times a second, with the fraction done.
    """

    precision: str = "double"
    threads: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision!r} is not known: give one of {', '.join(PRECISIONS)}")
        if self.threads is not None and (
            isinstance(self.threads, bool) or not isinstance(self.threads, int) or not 1 <= self.threads <= 4096
        ):
            raise InputError(f"threads = {self.threads!r}: give a whole number from 1 to 4096, or None for all cores")


@dataclass(frozen=True)
class RawImage:
    """What a backend returns.

    Attributes
    ----------
    image : ndarray of float32, shape (spixels, fpixels)
        Photons per pixel; 0 outside the roi and where the mask is 0.
    omega_sum : float
        Sum of the solid angles of all sub-pixels and layers, sr.
    pixels : int
        Pixels rendered.
    nonfinite, first_nonfinite : int
        Number of infinite or NaN pixels and the image index of the first, -1 if there is none.
    cut_pixel : int
        Image index of the pixel where interpolation was switched off (canonical 7.3), or -1.
    """

    image: NDArray[np.float32]
    omega_sum: float
    pixels: int
    nonfinite: int = 0
    first_nonfinite: int = -1
    cut_pixel: int = -1
    extra: dict[str, Any] = field(default_factory=dict)


def get(device: str) -> Callable[[Scene, RenderOptions], RawImage]:
    """The render function of a device.

    Raises
    ------
    InputError
        When the device is not known.
    """
    if device not in DEVICES:
        raise InputError(f"device {device!r} is not known: give one of {', '.join(DEVICES)}")
    render: Callable[[Scene, RenderOptions], RawImage] = importlib.import_module(f".{device}", __name__).render
    return render

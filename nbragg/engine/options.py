"""How to render and what comes back: the records that all backends share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .._engine import PRECISIONS as _PRECISIONS
from ..base.errors import InputError
from ..base.records import Record, frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DEVICES",
    "MIXED_TOLERANCE",
    "PRECISIONS",
    "Progress",
    "RawImage",
    "RenderOptions",
    "Summary",
    "parse",
]

PRECISIONS = tuple(_PRECISIONS)
#: cuda and auto may be followed by :n, the number of the GPU
DEVICES = ("cpu", "cuda", "auto")
#: largest deviation of a pixel in mixed precision, as a fraction of the image's maximum
MIXED_TOLERANCE = 2e-6

Progress = Callable[[float], None]


@frozen
class RenderOptions(Record):
    """How to render, as opposed to what.

    Attributes
    ----------
    device : str
        "cpu", "cuda" or "auto": a GPU where there is one that can, else the CPU with a warning.  "cuda:1" or
        "auto:1" is the second GPU.
    precision : {"double", "mixed"} or None
        mixed: positions, q and h, k, l in double; lattice factors and short sums in single precision, which
        keeps every pixel within 2e-6 of the image's maximum, as long as the brightest pixel lies in a spot.
        None: on a GPU mixed; on the CPU double, or mixed where ``tolerance`` allows it.
    threads : int or None
        CPU threads; None takes OpenMP's choice (OMP_NUM_THREADS, else all cores).  The image does not depend
        on it.
    progress : callable, True or None
        Called from the calling thread, a few times a second, with the fraction done; True: a bar on stderr.
    tolerance : float
        Largest deviation allowed, as a fraction of the image's maximum; from 2e-6 on the CPU renders in mixed
        precision, unless ``precision`` says otherwise.
    on_device : bool
        Leave the image in the GPU's memory, as a CuPy array; without effect on the CPU.
    tolerance_photons : float
        What any pixel may differ by from the full image, in photons, where samples are left out that a bound
        proves to be faint; 0: only what lies below 1e-12 of the peak of a Gaussian or top-hat spot with
        ``physics="exact"``, and nothing else.
    cull : bool
        False: every sample is evaluated, the faintest too.

    Raises
    ------
    InputError
        For an option that is not known.
    """

    device: str = "cpu"
    precision: str | None = None
    threads: int | None = None
    progress: Progress | bool | None = None
    tolerance: float = 0.0
    on_device: bool = False
    tolerance_photons: float = 0.0
    cull: bool = True

    def __post_init__(self) -> None:
        parse(self.device)
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
        if self.progress is not None and self.progress is not True and not callable(self.progress):
            raise InputError(
                f"progress = {self.progress!r}: give a function of the fraction done, True or None"
            )
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, (int, float))
            or not (0.0 <= self.tolerance < math.inf)
        ):
            raise InputError(
                f"tolerance = {self.tolerance!r}: give the deviation allowed as a fraction of the image's "
                "maximum, 0 or a positive number"
            )
        for name in ("on_device", "cull"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} = {getattr(self, name)!r}: give True or False")
        photons = self.tolerance_photons
        if (
            isinstance(photons, bool)
            or not isinstance(photons, (int, float))
            or not (0.0 <= photons < math.inf)
        ):
            raise InputError(
                f"tolerance_photons = {photons!r}: give the photons that a pixel may differ by, 0 or a "
                "positive number"
            )


@dataclass(frozen=True)
class Summary:
    """What a rendered image tells about itself: nb_summary of csrc/nb_summary.h.

    Attributes
    ----------
    omega : float
        Solid angle of the pixels rendered, sr: of each the mean over its sub-pixels and sensor layers.
    total, squares : float
        Sums of the pixels and of their squares; NaN: not worked out.
    largest : float
        Largest pixel; 0 when none is positive.
    largest_pixel : int
        Image index of the first that large, or -1.
    pixels : int
        Pixels rendered: in a roi and not masked.
    nonfinite, first_nonfinite : int
        Number of infinite or NaN pixels and the image index of the first, -1 if there is none.
    cut_pixel : int
        Image index of the pixel where interpolation was switched off (canonical 7.3), or -1.
    visited : int
        Samples that were evaluated, where some were left out; -1: all of them.
    left_out : float
        Photons that a pixel has lost at most through samples that were left out.
    """

    omega: float
    total: float
    squares: float
    largest: float
    largest_pixel: int
    pixels: int
    nonfinite: int
    first_nonfinite: int
    cut_pixel: int
    visited: int = -1
    left_out: float = 0.0


@dataclass(frozen=True)
class RawImage:
    """What a backend returns.

    Attributes
    ----------
    image : ndarray of float32, of the scene's ``image_shape``
        Photons per pixel; 0 outside the roi and where the mask is 0.  A CuPy array with ``on_device``.
    summary : Summary
    """

    image: NDArray[np.float32]
    summary: Summary

    def with_image(self, image: NDArray[np.float32]) -> RawImage:
        """The same counts beside another array, whose sums are yet to be worked out."""
        unknown = {"total": math.nan, "squares": math.nan, "largest": math.nan, "largest_pixel": -1}
        return RawImage(image, replace(self.summary, **unknown))  # type: ignore[arg-type]


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

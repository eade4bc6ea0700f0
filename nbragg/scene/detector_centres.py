"""Image size, beam centre and near point before the detector is turned (canonical 2, 3.1, 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..base.errors import InputError
from ..model.conventions import Convention
from ..model.detector import Detector
from ..model.physics import Physics

__all__ = ["Centres", "image_size", "initial_centres", "metres"]


def image_size(detector: Detector) -> tuple[int, int, float, float]:
    """Pixels along fast and slow, and the edges in metres (canonical 2, 3.1).

    A count wins over a size; a size gives ceil(size/pixel - 0.5) pixels, and stays the edge that beam centres
    refer to.
    """

    def along(axis: str, pixel: float, count: int | None, size: float | None) -> tuple[int, float]:
        if count is not None:
            return count, pixel * 1e-3 * count
        edge = 102.4 if size is None else size
        pixels = edge / pixel - 0.5
        if not 0 < pixels.real < 2**31:
            raise InputError(
                f"detsize_{axis}_mm {edge:g} with pixel_mm {pixel:g} gives {pixels + 0.5:.3g} pixels; "
                "expected at least 1 and fewer than 2^31: change the size or the pixel"
            )
        return math.ceil(pixels.real), edge * 1e-3

    fast, slow = detector.pixel_edges_mm
    fpixels, detsize_f = along("f", fast, detector.fpixels, detector.detsize_f_mm)
    spixels, detsize_s = along("s", slow, detector.spixels, detector.detsize_s_mm)
    return fpixels, spixels, detsize_f, detsize_s


@dataclass(frozen=True)
class Centres:
    """Beam centre and near point before the detector is turned, metres."""

    xy_beam: tuple[float, float]
    fs_beam: tuple[float, float]
    xy_close: tuple[float, float]
    fs_close: tuple[float, float]


def metres(value: float | None, default: float) -> float:
    """Millimetres as metres, or the default (metres) where nothing was given."""
    return default if value is None else value * 1e-3


def initial_centres(
    detector: Detector,
    convention: Convention,
    detsize: tuple[float, float],
    pixel: tuple[float, float],
    physics: Physics,
) -> Centres:
    """Beam centre and near point from what was given and the convention's defaults (canonical 3.2, 11)."""
    origins = (detector.ORGX, detector.ORGY)
    close = [
        edge / 2 if origin is None else (origin - 0.5) * px
        for origin, edge, px in zip(origins, detsize, pixel, strict=True)
    ]
    xy_close = (metres(detector.Xclose_mm, close[0]), metres(detector.Yclose_mm, close[1]))
    default = convention.default_beam_centre(detsize, pixel, xy_close)
    xy_beam = (metres(detector.Xbeam_mm, default[0]), metres(detector.Ybeam_mm, default[1]))
    if convention.name == "custom":
        close = list(xy_beam)
    if physics.honours_placing:
        near = (detector.Xclose_mm, detector.Yclose_mm)
        for i, (given, origin) in enumerate(zip(near, origins, strict=True)):
            if given is not None and origin is None:
                close[i] = given * 1e-3
    return Centres(xy_beam, convention.beam_spot(xy_beam, detsize, pixel), xy_close, (close[0], close[1]))

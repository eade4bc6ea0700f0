"""From expected photons to what a detector writes (beyond 14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .. import _engine
from ..base.errors import DeviceError, InputError, MemoryLimitError
from ..engine.options import RenderOptions, parse
from ..model.response import DetectorResponse
from .chain import Chain, CpuChain, Exposed, chain_on
from .expected.psf import spread
from .parameters import Conditions, chain_record

__all__ = ["DetectorImage", "detect"]

#: numbers of photons from here, as a fraction of the largest, to 0 count as 0
_FLOAT_NOISE = -1e-6

Roi = Sequence[int]


@dataclass(frozen=True, eq=False)
class DetectorImage:
    """One exposure as a detector writes it.

    Attributes
    ----------
    pixels : ndarray, or tuple of ndarray
        ADU or counts, of the form of the photons: one panel, a stack of equal ones, or a tuple of panels.
        The smallest of uint8, uint16, uint32, int16 and int32 that holds every pixel; float32 where nothing
        is digitised (``bits=0``), and photons, float32, of a detector with gain stages unless ``raw``.
    overloads, underloads : int
        Pixels above what the detector holds, or below; they are cut there, or have rolled over.  Pixels that
        are not reported, and dead ones that are flagged, do not count.
    gain_stage : ndarray of uint8, tuple of them, or None
        The stage of each pixel, from 0, of a detector that switches its gain.
    """

    pixels: Any
    overloads: int
    underloads: int
    gain_stage: Any = None


def detect(
    photons: npt.ArrayLike | Sequence[npt.ArrayLike],
    response: DetectorResponse,
    seed: int,
    *,
    image: int = 0,
    pixel_um: Any = None,
    exposure_s: float | None = None,
    energy_eV: float | None = None,
    masks: Any = None,
    rois: Any = None,
    threads: int | None = None,
    device: str = "cpu",
) -> DetectorImage:
    """What a detector makes of the photons expected in its pixels.

    Every random number depends on the seed, the number of the image, the pixel and what it is for, and on
    nothing else: images are the same to the bit for all numbers of threads, on CPU and GPU, in any order, and
    a roi has what the whole image has there.

    Parameters
    ----------
    photons : array_like, or sequence of array_like
        Expected photons *absorbed* in each pixel: one panel, (slow, fast), a stack of equal panels, (panel,
        slow, fast), or a list of panels of any sizes; together below 2^32 pixels.  Values from -1e-6 of the
        largest count as 0.
    response : DetectorResponse
        The detector.
    seed : int
        -2^63 to 2^64 - 1.
    image : int
        Number of the image in a series, from 0.  Fixed patterns, which have seeds of their own in the
        response, are the same in all images.
    pixel_um : float, (fast, slow), or list of these, optional
        Edges of a pixel, micrometre, for all panels or for each; needed where light or charge spreads.
    exposure_s : float, optional
        Seconds; needed with ``dead_time_ns``.
    energy_eV : float, optional
        Mean energy of the photons, eV; needed with ``gain_per_keV``, ``gain_stages`` and ``fano``.
    masks : array_like or list, optional
        Of the form of the photons; panels may be None.  Where a mask is 0 there is no sensor: no photons, and
        the pixel has the response's ``gap_value``.
    rois : (fast min, fast max, slow min, slow max) or list of these, optional
        Inclusive limits for one panel, or for each; panels may be None.  Pixels outside are drawn, since
        their light spreads into the roi, but not reported: they have ``gap_value``.
    threads : int, optional
        CPU threads; None takes OpenMP's choice.
    device : str
        "cpu", "cuda" or "auto", as of `RenderOptions`.  What spreads light is done on the CPU.

    Returns
    -------
    DetectorImage

    Raises
    ------
    InputError
        For photons below 0 or not finite (the message names the pixel), shapes that do not fit, values out of
        range, and what the response needs and was not given.
    DeviceError
        With "cuda" where there is none; the message says what is missing.
    MissingPackageError
        Where light spreads, without scipy.

    Examples
    --------
    >>> import nbragg, numpy as np
    >>> photons = np.full((512, 512), 0.2, np.float32)
    >>> ccd = nbragg.DetectorResponse(gain=1.8, readout=3)
    >>> drawn = nbragg.detect(photons, ccd, seed=1)
    >>> drawn.pixels.dtype, bool(abs(drawn.pixels.mean() - (1.8 * 0.2 + 40)) < 0.05)
    (dtype('uint16'), True)
    >>> (nbragg.detect(photons, ccd, seed=1, threads=1).pixels == drawn.pixels).all()
    np.True_
    """
    if not isinstance(response, DetectorResponse):
        raise InputError(f"response must be a DetectorResponse, not a {type(response).__name__}")
    panels = _panels(photons)
    given = _given(panels, response, masks, rois, pixel_um)
    record = chain_record(response, Conditions(seed, image, exposure_s, energy_eV))
    options = RenderOptions(device=device, threads=threads)
    try:
        return _drawn(panels, given, response, chain_on(options, record))
    except (DeviceError, MemoryLimitError) as error:
        if parse(device)[0] != "auto":
            raise
        from ..engine.queue import warn_of_fallback

        warn_of_fallback(error)
        return _drawn(panels, given, response, CpuChain(options, record))


class _Panels(NamedTuple):
    """Photons, and how they were given."""

    arrays: list[NDArray[Any]]  #: float32 or float64, (slow, fast), C-contiguous
    form: str  #: "panel", "stack" or "list"

    @property
    def offsets(self) -> list[int]:
        """Pixels before each panel, and at the end all."""
        return [0, *np.cumsum([array.size for array in self.arrays]).tolist()]

    def as_given(self, parts: list[NDArray[Any]]) -> Any:
        if self.form == "list":
            return tuple(parts)
        return parts[0] if self.form == "panel" else np.stack(parts)


class _Given(NamedTuple):
    """What belongs to each panel."""

    marks: list[NDArray[np.uint8] | None]
    pixel_um: list[Any]


def _drawn(panels: _Panels, given: _Given, response: DetectorResponse, chain: Chain) -> DetectorImage:
    pixels: list[NDArray[Any]] = []
    stages: list[NDArray[Any]] = []
    for photons, first, marks, pixel_um in zip(
        panels.arrays, panels.offsets, given.marks, given.pixel_um, strict=False
    ):
        target = np.empty(photons.shape, response.pixel_dtype)
        stage = np.empty(photons.shape, np.uint8) if response.gain_stages else None
        source = photons
        for parts, spreading in _steps(response):
            last = spreading is None
            to = target if last else np.empty(photons.shape, np.float64)
            chain.respond(Exposed(parts, first, source, to, marks, stage if last else None))
            source = to
            if spreading is not None:
                source = np.ascontiguousarray(spread(to, response, pixel_um, stage=spreading))
        pixels.append(target)
        if stage is not None:
            stages.append(stage)
    if chain.tally.worst:
        _check_photons(panels, given, chain.tally.worst, response.scale)
    return DetectorImage(
        panels.as_given(pixels),
        chain.tally.overloads,
        chain.tally.underloads,
        panels.as_given(stages) if stages else None,
    )


def _steps(response: DetectorResponse) -> list[tuple[int, str | None]]:
    """Parts of the chain that are done together, and the stage of the spreading that follows."""
    part = _engine.CHAIN_PARTS
    steps: list[tuple[int, str | None]] = []
    parts = part["expect"]
    if _spreads(response, "before"):
        steps.append((parts, "before"))
        parts = 0
    parts |= part["count"]
    if _spreads(response, "after"):
        steps.append((parts, "after"))
        parts = 0
    return [*steps, (parts | part["read"], None)]


def _spreads(response: DetectorResponse, stage: str) -> bool:
    """Whether light or charge spreads before or after counting."""
    light = response.psf != "none" and response.psf_fwhm_um > 0.0 and response.resolved_psf_stage == stage
    charge = response.charge_sigma_um > 0.0 and (stage == "before") == response.is_counting
    return light or charge


# ---- input -------------------------------------------------------------------------------------------------


def _panels(photons: Any) -> _Panels:
    if isinstance(photons, np.ndarray):
        if photons.ndim == 3:
            return _Panels([_panel(part, f"photons[{i}]") for i, part in enumerate(photons)], "stack")
        return _Panels([_panel(photons, "photons")], "panel")
    if isinstance(photons, Sequence) and photons and all(np.ndim(part) == 2 for part in photons):
        return _Panels([_panel(part, f"photons[{i}]") for i, part in enumerate(photons)], "list")
    return _panels(_array(photons, "photons"))


def _array(value: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{what}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what} must be numbers, not {array.dtype}")
    return array


def _panel(value: Any, what: str) -> NDArray[Any]:
    array = _array(value, what)
    if array.ndim != 2 or not array.size:
        raise InputError(
            f"{what} must have the shape (slow, fast) or (panel, slow, fast), or be a list of panels, "
            f"not {array.shape}"
        )
    kind = np.float32 if array.dtype == np.float32 else np.float64
    return np.ascontiguousarray(array, kind)


def _given(panels: _Panels, response: DetectorResponse, masks: Any, rois: Any, pixel_um: Any) -> _Given:
    if panels.offsets[-1] > 2**32:
        raise InputError(f"{panels.offsets[-1]} pixels; at most 2^32 have numbers of their own")
    parts = zip(
        panels.arrays,
        _for_each("masks", masks, panels),
        _for_each("rois", rois, panels),
        _dead(panels, response),
        strict=True,
    )
    edges = _for_each("pixel_um", pixel_um, panels) if isinstance(pixel_um, list) else None
    return _Given(
        [_marks(panel.shape, mask, roi, dead) for panel, mask, roi, dead in parts],
        edges or [pixel_um] * len(panels.arrays),
    )


def _for_each(what: str, values: Any, panels: _Panels) -> list[Any]:
    """One value a panel."""
    count = len(panels.arrays)
    if values is None:
        return [None] * count
    if panels.form == "panel":
        return [values]
    if not isinstance(values, (Sequence, np.ndarray)) or len(values) != count:
        raise InputError(f"{what}: one for each of {count} panels was expected")
    return list(values)


def _dead(panels: _Panels, response: DetectorResponse) -> list[NDArray[np.bool_] | None]:
    """The map of dead pixels, panel by panel."""
    found = response.dead_map
    if found is None:
        return [None] * len(panels.arrays)
    shapes = [panel.shape for panel in panels.arrays]
    fits = {
        1: True,
        2: found.shape == shapes[0] and len(shapes) == 1,
        3: all(s == found.shape[1:] for s in shapes),
    }
    if not fits[found.ndim] or found.size != panels.offsets[-1]:
        raise InputError(f"dead_map of shape {found.shape} does not fit panels of {shapes}")
    parts = np.split(found.reshape(-1), panels.offsets[1:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _marks(shape: tuple[int, ...], mask: Any, roi: Any, dead: Any) -> NDArray[np.uint8] | None:
    """What the chain has to know of each pixel; None: nothing."""
    slow, fast = shape
    if (
        mask is None
        and dead is None
        and (roi is None or _limits(roi, slow, fast) == [0, fast - 1, 0, slow - 1])
    ):
        return None
    mark = _engine.MARKS
    marks = np.zeros(shape, np.uint8)
    if roi is not None:
        fmin, fmax, smin, smax = _limits(roi, slow, fast)
        marks |= np.uint8(mark["hidden"])
        marks[smin : smax + 1, fmin : fmax + 1] = 0
    if mask is not None:
        given = np.asarray(mask)
        if given.shape != shape or given.dtype.kind not in "biu":
            raise InputError(
                f"a mask must be of bool or whole numbers and of shape {shape}, not {given.dtype} "
                f"{given.shape}"
            )
        marks |= (given == 0).view(np.uint8) * np.uint8(mark["gap"])
    if dead is not None:
        marks |= dead.view(np.uint8) * np.uint8(mark["dead"])
    return marks if marks.any() else None


def _limits(roi: Any, slow: int, fast: int) -> list[int]:
    """Of a roi: fast min, fast max, slow min, slow max."""
    given = np.asarray(roi)
    limits: list[int] = given.tolist() if given.shape == (4,) and given.dtype.kind in "iu" else [-1] * 4
    if not (0 <= limits[0] <= limits[1] < fast and 0 <= limits[2] <= limits[3] < slow):
        raise InputError(f"roi {roi} does not fit an image of {fast} x {slow} pixels (fast x slow)")
    return limits


def _check_photons(panels: _Panels, given: _Given, worst: float, scale: float) -> None:
    """Refuse photons that are not numbers from 0, but for float noise.

    Raises
    ------
    InputError
        Naming the first such pixel.
    """
    seen = [
        array if marks is None else np.where(marks & _engine.MARKS["gap"], 0.0, array)
        for array, marks in zip(panels.arrays, given.marks, strict=True)
    ]
    if np.isfinite(worst):
        largest = max(float(array.max()) for array in seen)
        least = _FLOAT_NOISE * largest
        if all(float(array.min()) >= min(least, 0.0) for array in seen):
            return
        bad = [array < min(least, 0.0) for array in seen]
    else:
        bad = [~np.isfinite(array * scale) for array in seen]
    for number, (array, wrong) in enumerate(zip(seen, bad, strict=True)):
        if wrong.any():
            slow, fast = (int(i) for i in np.argwhere(wrong)[0])
            _refuse(panels, number, slow, fast, float(array[slow, fast]))


def _refuse(panels: _Panels, number: int, slow: int, fast: int, value: float) -> NoReturn:
    place = f"slow {slow}, fast {fast}"
    if panels.form != "panel":
        place = f"panel {number}, {place}"
    raise InputError(f"{value:g} photons are expected at {place}: a finite number of at least 0 was expected")

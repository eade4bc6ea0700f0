"""From the photons of a Result to counts: by a detector's response, or by the reference's random stream."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..base.errors import InputError
from ..base.warn import warn
from ..io.images.formats import FORMATS, counts_dtype, format_of
from ..io.images.metadata import ImageMetadata
from ..response.exposure import exposure_of
from ..response.reference_noise import NoiseImage

if TYPE_CHECKING:
    from ..model.response import DetectorResponse
    from ..response.detect import DetectorImage
    from .result import Result

__all__ = ["Seed", "counted_metadata", "counts", "detected", "written_dtype"]


class Seed(NamedTuple):
    """What decides the random numbers of an image."""

    seed: int
    image: int = 0  #: its number in a series, from 0; the reference's stream has seeds only


def response_of(result: Result, response: DetectorResponse | None) -> DetectorResponse:
    """The response given, or that of the set-up.

    Raises
    ------
    InputError
        Where there is none, or something else.
    """
    if response is None and result.setup is not None:
        response = result.setup.response
    if response is None:
        raise InputError("no detector response: give response=, or a Setup with one")
    from ..model.response import DetectorResponse

    if not isinstance(response, DetectorResponse):
        raise InputError(f"response must be a DetectorResponse, not a {type(response).__name__}")
    return response


def detected(
    result: Result, at: Seed, response: DetectorResponse | None, threads: int | None = None
) -> DetectorImage:
    """See `Result.detect`."""
    from ..response.detect import detect

    response = response_of(result, response)
    scene, setup = result.scene, result.setup
    exposure = exposure_of(scene, None if setup is None else setup.beam.exposure_s)
    masks = [panel.mask for panel in scene.panels]
    drawn = detect(
        result.panels,
        response,
        at.seed,
        image=at.image,
        pixel_um=exposure.pixel_um,
        exposure_s=exposure.exposure_s,
        energy_eV=exposure.energy_eV,
        masks=None if all(mask is None for mask in masks) else masks,
        rois=[panel.roi for panel in scene.panels],
        threads=threads,
    )
    return joined(drawn, result.image.shape)


def joined(drawn: DetectorImage, shape: tuple[int, ...]) -> DetectorImage:
    """Panels in one array, as an image has them."""

    def whole(panels: Any) -> Any:
        if panels is None or isinstance(panels, np.ndarray):
            return panels
        parts = [part.reshape(-1) for part in panels]
        return (np.concatenate(parts) if len(parts) > 1 else parts[0]).reshape(shape)

    return dataclasses.replace(drawn, pixels=whole(drawn.pixels), gain_stage=whole(drawn.gain_stage))


def counts(
    result: Result, at: Seed, pedestal: float | None, dtype: DTypeLike | None
) -> tuple[NoiseImage | DetectorImage, ImageMetadata]:
    """See `Result.counts`."""
    response = None if result.setup is None else result.setup.response
    if response is None:
        return _reference_counts(result, at.seed, pedestal or 0.0, dtype)
    if pedestal is not None:
        response = response.replace(adc=pedestal)
    drawn = detected(result, at, response)
    if dtype is not None:
        kind = np.dtype(dtype)
        if not np.can_cast(drawn.pixels.dtype, kind):
            raise InputError(
                f"counts of {kind}: the detector response writes {drawn.pixels.dtype}, which does not fit"
            )
        drawn = dataclasses.replace(drawn, pixels=drawn.pixels.astype(kind, copy=False))
    scene = result.scene
    energy_eV = exposure_of(scene, None).energy_eV
    return drawn, counted_metadata(result.metadata, response, at.seed, energy_eV)


class Scale(NamedTuple):
    """How photons come back from what a detector writes, where one number does it."""

    gain: float  #: counts of a photon
    offset: float  #: counts where no photon is
    saturation: float | None  #: the largest number of counts; None: float, or numbers with the gain in them


def scale_of(response: DetectorResponse, energy_eV: float | None) -> Scale:
    """Of a response, for photons of this energy."""
    gain, offset = 1.0, 0.0
    if not response.gain_stages:
        gain, offset = response.gain, response.resolved_adc
        if response.gain_per_keV and energy_eV is not None:
            gain *= 1e-3 * energy_eV
    saturation = float(response.resolved_saturation * response.frames)
    none = response.pixel_kind == "f" or response.raw
    return Scale(gain * (response.scale or 1.0), offset, None if none else saturation)


def counted_metadata(
    known: ImageMetadata, response: DetectorResponse, seed: int, energy_eV: float | None
) -> ImageMetadata:
    """What a file of counts says."""
    scale, offset, saturation = scale_of(response, energy_eV)
    return dataclasses.replace(
        known, scale=scale, offset=offset, pixels_are="counts", seed=int(seed), saturation=saturation
    )


def _reference_counts(
    result: Result, seed: int, pedestal: float, dtype: DTypeLike | None
) -> tuple[NoiseImage, ImageMetadata]:
    """Poisson deviates of the reference's stream."""
    kind = np.dtype(dtype or np.int32)
    noise = result.noise(seed, pedestal, np.uint16 if kind == np.uint16 else np.int32)
    if noise.overloads:
        most = np.iinfo(noise.pixels.dtype).max
        warn(f"pixels of {noise.pixels.dtype} hold at most {most}: brighter ones are cut")
    pixels = noise.pixels.astype(kind, copy=False)
    # what is not rendered has no photons, but the pedestal all the same
    for part, panel in zip(result.split(pixels), result.scene.panels, strict=True):
        fmin, fmax, smin, smax = panel.roi
        inside = part[smin : smax + 1, fmin : fmax + 1].copy()
        part[:] = int(pedestal)
        part[smin : smax + 1, fmin : fmax + 1] = inside
    known = dataclasses.replace(result.metadata, pixels_are="counts", seed=int(seed), offset=float(pedestal))
    return NoiseImage(pixels, noise.overloads), known


def written_dtype(
    path: Any, format: str | None, response: DetectorResponse | None, dtype: DTypeLike | None
) -> DTypeLike | None:
    """Type of counts in a file; ``dtype`` where the caller names one.

    Raises
    ------
    InputError
        The format has none that holds what the response writes.
    """
    entry = FORMATS[format_of(path, format)]
    if dtype is not None or response is None:
        return dtype or entry.counts
    return counts_dtype(entry, response.pixel_dtype)

"""From photons to the pixels of a file: checks, scale and offset, whole numbers."""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ...base.errors import InputError
from ...base.warn import warn
from ..files.atomic import PathLike
from .formats import ImageFormat, that_can

__all__ = ["Pixels", "checked", "converted", "finite", "to_integers", "whole_number_scale"]

#: exponents of the powers of ten that a double holds
_LARGEST_POWER = 300


class Pixels(NamedTuple):
    """Pixels of a file; photons are (pixels - offset)/scale."""

    pixels: NDArray[Any]
    scale: float
    offset: float


def to_integers(
    image: NDArray[Any],
    dtype: DTypeLike,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    clip: bool = False,
    what: str = "image",
) -> NDArray[Any]:
    """round(image * scale + offset) as an integer type.

    Raises
    ------
    InputError
        Values that the type cannot hold, unless `clip`.
    """
    limits = np.iinfo(np.dtype(dtype))
    if image.dtype.kind in "iu" and scale == 1.0 and offset == 0.0:
        value = image
    else:
        value = np.rint(image.astype(np.float64) * scale + offset)
    low, high = value.min(), value.max()
    if low < limits.min or high > limits.max:
        if not clip:
            worst = low if low < limits.min else high
            raise InputError(
                f"{what}: the value {worst:.6g} does not fit {np.dtype(dtype)} ({limits.min} to "
                f"{limits.max}): give "
                "clip=True to clip it, a smaller scale=, or write float32 (TIFF, NeXus, .npy, .bin)"
            )
        value = np.clip(value, limits.min, limits.max)
    return value.astype(dtype)


def whole_number_scale(
    image: NDArray[Any],
    dtype: DTypeLike,
    *,
    offset: float = 0.0,
    clip: bool = False,
    what: str = "image",
    advice: str = "give scale= for another factor, or write float32 (TIFF, NeXus, .npy, .bin)",
) -> float:
    """Scale for photons that are to become whole numbers where nobody has named one.

    It is 1, so that pixels are photons, unless all of them would round to 0, or the brightest would not fit:
    then a power of ten.  Integer images keep 1: what is counted is not scaled unasked.

    Parameters
    ----------
    image : ndarray
        Photons.
    dtype : integer dtype
    offset : float
        To be added after scaling.
    clip : bool
        What does not fit is to be clipped, and asks for no scale.
    what : str
        The file, for messages.
    advice : str
        What to do instead, for the warning.

    Warns
    -----
    NbraggWarning
        When it is not 1: the factor, and the advice.
    """
    if image.dtype.kind in "iu":
        return 1.0
    brightest, darkest = float(image.max()), float(image.min())
    peak = max(brightest, -darkest)
    info = np.iinfo(np.dtype(dtype))
    limit = float(info.max)
    outside = np.rint(brightest + offset) > limit or np.rint(darkest + offset) < info.min < 0
    digits = math.floor(math.log10(limit))
    if peak > 0.0 and np.rint(peak) == 0.0:
        wanted, reason = min(digits, 4), "every pixel rounds to 0"
    elif outside and not clip:
        wanted, reason = digits - (10.0**digits + offset > limit), "not every pixel fits"
    else:
        return 1.0
    scale = 10.0 ** min(wanted - math.ceil(math.log10(peak)), _LARGEST_POWER)
    warn(
        f"{what} holds whole numbers: photons are multiplied by {scale:g}, for without it {reason} (maximum "
        f"{brightest:.3g}, {np.dtype(dtype)}); {advice}"
    )
    return scale


def checked(image: ArrayLike) -> NDArray[Any]:
    """An image as an array of finite real numbers, not empty.

    Raises
    ------
    InputError
    """
    pixels = np.asarray(image)
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"the image has the dtype {pixels.dtype}; a real type was expected")
    if pixels.size == 0:
        raise InputError(f"the image has the shape {pixels.shape}; (slow, fast) was expected, not empty")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        bad = int((~np.isfinite(pixels)).sum())
        raise InputError(f"the image has {bad} pixels that are not finite: set them to a number first")
    return pixels


def converted(
    path: PathLike,
    pixels: NDArray[Any],
    entry: ImageFormat,
    dtype: DTypeLike | None,
    scale: float | None,
    offset: float | None,
    clip: bool,
) -> Pixels:
    """Pixels of a format that takes them in a type of its list.

    Raises
    ------
    InputError
        Another type, or values that it does not hold.
    """
    target = _dtype(pixels, entry, dtype)
    what = os.fspath(path)
    shift = 0.0 if offset is None else finite("offset", offset)
    if scale is not None:
        factor = finite("scale", scale)
        if factor == 0.0:
            raise InputError("scale = 0; another number was expected, or None for the format's own rule")
    elif target.kind == "f":
        factor = 1.0
    else:
        keeps = "" if entry.geometry else f"; {entry.name} files do not record the factor"
        factor = whole_number_scale(
            pixels,
            target,
            offset=shift,
            clip=clip,
            what=what,
            advice=f"give scale= for another factor, or write float32 ({_float_formats()}){keeps}",
        )
    if target.kind == "f":
        plain = factor == 1.0 and shift == 0.0
        data = pixels if plain else pixels.astype(np.float64) * factor + shift
        largest = float(np.abs(data).max())
        if largest > float(np.finfo(target).max):
            raise InputError(f"{what}: the value {largest:.6g} does not fit {target}")
        return Pixels(data.astype(target), factor, shift)
    return Pixels(
        to_integers(pixels, target, scale=factor, offset=shift, clip=clip, what=what), factor, shift
    )


def _dtype(pixels: NDArray[Any], entry: ImageFormat, dtype: DTypeLike | None) -> np.dtype[Any]:
    """The type asked for, that of integer pixels where the format has it, or the format's first."""
    if dtype is None:
        name = entry.dtypes[0]
        if pixels.dtype.kind in "iu":
            larger = [n for n in entry.dtypes if n == "uint32"] if name == "float32" else []
            own = [n for n in entry.dtypes if n == pixels.dtype.name]
            name = (*own, *larger, name)[0]
        return np.dtype(name)
    if np.dtype(dtype).name not in entry.dtypes:
        raise InputError(f"{entry.name} files hold {', '.join(entry.dtypes)}, not {np.dtype(dtype)}")
    return np.dtype(dtype)


def _float_formats() -> str:
    return that_can(lambda entry: "float32" in entry.dtypes)


def finite(name: str, value: float) -> float:
    """A finite number.

    Raises
    ------
    InputError
    """
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{name} = {value}; a finite number was expected")
    return number

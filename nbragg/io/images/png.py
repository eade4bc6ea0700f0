"""Grayscale PNG previews, written with zlib alone (PNG specification, ISO/IEC 15948)."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...analysis.assembly import PanelView, drawn
from ...analysis.contrast import background_contrast
from ...base.errors import InputError
from ..files.atomic import PathLike, open_atomic
from ..files.kinds import kind_named
from .requests import WriteRequest

__all__ = ["encode", "preview", "preview_panels", "save", "write"]

#: levels that pixels have beside gaps, which are whiter than white, or blacker than black
_BESIDE_GAPS = 235

_GRAYSCALE_8_BIT = (8, 0, 0, 0, 0)  # bit depth, colour type, compression, filter, interlace


def preview(
    image: ArrayLike,
    *,
    percentile: float = 99.9,
    black: float | None = None,
    white: float | None = None,
    invert: bool = True,
) -> NDArray[np.uint8]:
    """Squeeze an image into 256 grey levels: linear near the background, logarithmic above.

    level = asinh((I - low) / softening) / asinh((high - low) / softening), with the softening at the image's
    typical value, so that the background keeps its texture and weak spots stay visible beside strong ones.

    Parameters
    ----------
    image : array_like (slow, fast)
        Intensities, any real type.  Pixels that are not finite count as the low limit.
    percentile : float
        Percentile of the pixels above zero taken as the high limit, in (0, 100].
    black, white : float, optional
        Low and high limit in the image's own unit, instead of 0 and the percentile.
    invert : bool
        True draws strong pixels dark on white, as on film; False bright on black.

    Returns
    -------
    ndarray of uint8 (slow, fast)

    Raises
    ------
    InputError
        If the image is not two-dimensional or a limit is out of range.
    """
    values = np.asarray(image, dtype=np.float64)
    _check_shape(values)
    if not 0.0 < percentile <= 100.0:
        raise InputError(f"percentile is {percentile}; expected a number above 0 and up to 100")
    low = 0.0 if black is None else float(black)
    values = np.where(np.isfinite(values), values - low, 0.0)
    positive = values[values > 0.0]
    if white is not None:
        span = float(white) - low
        if not (math.isfinite(span) and span > 0.0):
            raise InputError(
                f"white is {white} and black is {low}; expected finite numbers, white above black"
            )
    else:
        span = float(np.percentile(positive, percentile)) if positive.size else 1.0
    typical = float(np.median(positive)) if positive.size else span
    softening = min(max(typical, 1e-4 * span), span)
    level = np.arcsinh(np.clip(values, 0.0, span) / softening) / math.asinh(span / softening)
    grey: NDArray[np.uint8] = np.rint(255.0 * level).astype(np.uint8)
    return 255 - grey if invert else grey


def preview_panels(
    images: Sequence[NDArray[Any]], panels: PanelView, *, invert: bool = True, **limits: Any
) -> NDArray[np.uint8]:
    """Panels in 256 grey levels where they stand, as who looks along the beam sees them.

    Gaps are the white, or without ``invert`` the black, of which pixels have a little less.

    The scale is about the background, linear within its noise and logarithmic beyond.

    Parameters
    ----------
    images : sequence of ndarray (slow, fast)
    panels : PanelView
    invert : bool
    **limits
        With ``percentile``, ``black`` or ``white`` the scale is that of `preview`.

    Raises
    ------
    MemoryLimitError
        Where panels stand too far apart for one picture.
    """
    picture, _ = drawn(images, panels)
    if limits:
        dark = preview(picture, invert=False, **limits) / 255.0
    else:
        dark = background_contrast(picture).grey(picture)
    dark = np.where(np.isnan(picture), 0.0, (255 - _BESIDE_GAPS + _BESIDE_GAPS * dark) / 255.0)
    levels: NDArray[np.uint8] = np.rint(255.0 * (1.0 - dark if invert else dark)).astype(np.uint8)
    return levels


def encode(pixels: ArrayLike) -> bytes:
    """Encode 8-bit grey levels as a PNG file.

    Parameters
    ----------
    pixels : array_like of uint8 (slow, fast)
        Grey levels, 0 black; the first row is the top of the picture.

    Returns
    -------
    bytes
        The whole file.

    Raises
    ------
    InputError
        If the pixels are not uint8, not two-dimensional or none.

    Examples
    --------
    >>> import numpy as np
    >>> encode(np.zeros((2, 3), dtype=np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    levels = np.asarray(pixels)
    _check_shape(levels)
    if levels.dtype != np.uint8:
        raise InputError(f"PNG pixels are {levels.dtype}; expected uint8 grey levels (see preview)")
    height, width = levels.shape
    # Each row starts with its filter type; type 0 stores the row as it is.
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = levels
    return b"".join(
        [
            *kind_named("png").magic,
            _chunk(b"IHDR", struct.pack(">II5B", width, height, *_GRAYSCALE_8_BIT)),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        ]
    )


def write(
    path: PathLike,
    image: ArrayLike,
    *,
    percentile: float = 99.9,
    black: float | None = None,
    white: float | None = None,
    invert: bool = True,
    overwrite: bool = True,
) -> None:
    """Write the `preview` of an image as a PNG file; the arguments are those of `preview`.

    ``overwrite=False`` refuses a file that exists.

    Raises
    ------
    InputError
        As `preview`.
    FileError
        If the file cannot be written.
    """
    data = encode(preview(image, percentile=percentile, black=black, white=white, invert=invert))
    with open_atomic(path, overwrite=overwrite) as file:
        file.write(data)


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    panels = _panels(request)
    if panels is None:
        write(request.path, request.pixels, overwrite=request.overwrite, **request.options)
        return
    data = encode(preview_panels(panels.split(request.pixels), panels, **request.options))
    with open_atomic(request.path, overwrite=request.overwrite) as file:
        file.write(data)


def _panels(request: WriteRequest) -> PanelView | None:
    """Where several panels stand; None for one."""
    if request.scene is not None:
        return PanelView.from_scene(request.scene) if len(request.scene.panels) > 1 else None
    return None if request.metadata is None else PanelView.from_metadata(request.metadata.to_dict())


def _check_shape(array: NDArray[Any]) -> None:
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"image has shape {array.shape}; expected (slow, fast) with at least one pixel")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

"""SMV images: text header of 512 bytes, then unsigned 16-bit pixels (canonical 10.2, 10.4)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, InputError
from ..files.atomic import PathLike, write_files
from .pixels import finite, to_integers
from .requests import ImageFile, ReadRequest, WriteRequest

if TYPE_CHECKING:
    from ...scene.record import Scene

__all__ = [
    "SmvImage",
    "chunks",
    "header_bytes",
    "integer_image",
    "last_value",
    "load",
    "read",
    "row_blocks",
    "save",
    "write",
]

_HEADER_BYTES = 512
#: pixels converted at a time
_BLOCK_PIXELS = 2**19
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
#: values of the BYTE_ORDER field
_ORDERS = {"little_endian": "<u2", "big_endian": ">u2"}


@dataclass(frozen=True, eq=False)
class SmvImage:
    """An SMV image as read."""

    header: dict[str, str]  #: key to value, the last one of a repeated key
    header_text: str  #: the header as written, for :func:`last_value`
    pixels: NDArray[np.uint16]  #: shape (slow, fast)


def last_value(header_text: str, key: str) -> float | None:
    """Number after the ``=`` that follows the last place where the letters of ``key`` occur (canonical 10.4).

    So "DISTANCE" finds CLOSE_DISTANCE, and "ORGX" finds XDS_ORGX.  None when there is no such place.

    Raises
    ------
    FileError
        The letters are there but no finite number follows them.
    """
    place = header_text.rfind(key)
    if place < 0:
        return None
    equals = header_text.find("=", place + len(key))
    match = _NUMBER.match(header_text, equals + 1) if equals >= 0 else None
    if match is None or not math.isfinite(float(match.group(1))):
        raise FileError(f"SMV header: no number after {key}")
    return float(match.group(1))


def _fields(text: str) -> dict[str, str]:
    fields = {}
    for line in re.split(r"[;\n]", text):
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip(" {\r\t")] = value.strip()
    return fields


def _whole(name: str, text: str, key: str) -> int:
    try:
        value = last_value(text, key)
    except FileError as error:
        raise FileError(f"{name}: {error}") from None
    if value is None or value < 1 or value != int(value):
        raise FileError(f"{name}: {key} in the SMV header is {value}, expected a positive whole number")
    return int(value)


def read(path: PathLike) -> SmvImage:
    """Read an SMV image of unsigned 16-bit pixels in either byte order.

    Raises
    ------
    FileError
        Missing, not SMV, truncated, of another pixel type, or with an unknown BYTE_ORDER.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror or error}") from error
    if not re.match(rb"\{\r?\n\s*HEADER_BYTES\s*=", content):
        raise FileError(f'{name} is not an SMV image: it does not begin with "{{" and HEADER_BYTES=')
    head = content[:_HEADER_BYTES].decode("latin-1")
    size = _whole(name, head.split("\f")[0], "HEADER_BYTES")
    if len(content) < size:
        raise FileError(f"{name} is truncated: {len(content)} bytes, its header alone takes {size}")
    text = content[:size].decode("latin-1").split("\f")[0]
    fields = _fields(text)
    order = fields.get("BYTE_ORDER", "")
    if order not in _ORDERS:
        raise FileError(f"{name}: BYTE_ORDER={order or '(absent)'}, expected little_endian or big_endian")
    kind = fields.get("TYPE", "unsigned_short")
    if kind != "unsigned_short":
        raise FileError(f"{name}: TYPE={kind}, only unsigned_short can be read")
    fast, slow = _whole(name, text, "SIZE1"), _whole(name, text, "SIZE2")
    if len(content) < size + 2 * fast * slow:
        raise FileError(
            f"{name} is truncated: {len(content)} bytes, expected {size + 2 * fast * slow}"
            f" for a header of {size} and {fast} x {slow} pixels"
        )
    pixels = np.frombuffer(content, dtype=_ORDERS[order], count=fast * slow, offset=size)
    return SmvImage(fields, text, pixels.reshape(slow, fast).astype(np.uint16))


def header_bytes(scene: Scene, more: Sequence[tuple[str, float]] = ()) -> bytes:
    """The header of the integer and noise images of a scene, padded to its length (canonical 10.2).

    ``more`` holds keys and numbers for the end of the list.
    The length is 512 bytes; the rare header that does not fit says 1024 and is that long.

    Raises
    ------
    InputError
        A detector of several panels or of rectangular pixels.
    """
    panel, g, placement = scene.panel, scene.placement.panel, scene.placement
    px = panel.pixel[0]
    if panel.pixel[1] != px:
        raise InputError(
            f"the pixels are {px * 1e3:g} x {panel.pixel[1] * 1e3:g} mm: an SMV header has one PIXEL_SIZE; "
            "write NeXus (.nxs) instead"
        )
    degrees = 180.0 / math.pi
    numbers = [
        ("PIXEL_SIZE", px * 1000.0),
        ("DISTANCE", panel.distance * 1000.0),
        ("WAVELENGTH", placement.wavelength * 1e10),
        ("BEAM_CENTER_X", g.Xbeam * 1000.0),
        ("BEAM_CENTER_Y", g.Ybeam * 1000.0),
        ("ADXV_CENTER_X", g.Fbeam * 1000.0),
        ("ADXV_CENTER_Y", (g.detsize_s - g.Sbeam) * 1000.0),
        ("MOSFLM_CENTER_X", (g.Sbeam - 0.5 * px) * 1000.0),
        ("MOSFLM_CENTER_Y", (g.Fbeam - 0.5 * px) * 1000.0),
        ("DENZO_X_BEAM", g.Sbeam * 1000.0),
        ("DENZO_Y_BEAM", g.Fbeam * 1000.0),
    ]
    origins = [("XDS_ORGX", g.ORGX), ("XDS_ORGY", g.ORGY), ("CLOSE_DISTANCE", panel.close_distance * 1000.0)]
    angles = [
        ("PHI", placement.phi0 * degrees),
        ("OSC_START", placement.phi0 * degrees),
        ("OSC_RANGE", placement.osc * degrees),
        ("TWOTHETA", g.twotheta * degrees),
    ]
    body = "DIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\n"
    body += f"SIZE1={panel.fpixels};\nSIZE2={panel.spixels};\n"
    body += "".join(f"{key}={value:g};\n" for key, value in numbers)
    # the one line without a semicolon
    body += "DIALS_ORIGIN=" + ",".join(f"{x:g}" for x in g.dials_origin_mm) + "\n"
    body += "".join(f"{key}={value:g};\n" for key, value in origins + angles)
    body += "DETECTOR_SN=000;\nBEAMLINE=fake;\n"
    body += "".join(f"{key}={value:.9g};\n" for key, value in more) + "}\f"
    for size in (_HEADER_BYTES, 2 * _HEADER_BYTES):
        text = f"{{\nHEADER_BYTES={size};\n{body}"
        if len(text) <= size:
            break
    return text.encode("ascii").ljust(size)


def integer_image(
    image: NDArray[np.float32], roi: tuple[int, int, int, int], scale: float, adc: float
) -> tuple[NDArray[np.uint16], float]:
    """Scale a float image to unsigned 16-bit integers (canonical 10.2).

    Parameters
    ----------
    image : (slow, fast) float32, photons
    roi : (fast min, fast max, slow min, slow max), inclusive; pixels outside stay 0
    scale : factor; 0 or less chooses 55000/max (1 when the maximum is 0)
    adc : offset added after scaling

    Returns
    -------
    pixels : (slow, fast) uint16
    scale : the factor used
    """
    if scale <= 0.0:
        peak = float(image.max()) if image.size else 0.0
        scale = 55000.0 / peak if peak > 0.0 else 1.0
    pixels = np.zeros(image.shape, dtype=np.uint16)
    for rows in row_blocks(roi):
        with np.errstate(over="ignore"):  # an infinite product is clipped
            value = image[rows].astype(np.float64) * scale
        value += adc
        np.clip(value, 0.0, 65535.0, out=value)
        value += 0.5
        # the sum is rounded to float32 before the floor
        pixels[rows] = np.floor(value.astype(np.float32))
    return pixels, scale


def row_blocks(roi: tuple[int, int, int, int]) -> Iterator[tuple[slice, slice]]:
    """The region in blocks of whole rows, so that copies in double precision stay small."""
    fmin, fmax, smin, smax = roi
    rows = max(_BLOCK_PIXELS // (fmax - fmin + 1), 1)
    for first in range(smin, smax + 1, rows):
        yield slice(first, min(first + rows, smax + 1)), slice(fmin, fmax + 1)


def chunks(pixels: NDArray[np.uint16], header: bytes) -> list[bytes | memoryview]:
    """The file's bytes: header, then little-endian pixels, shape (slow, fast)."""
    data = np.ascontiguousarray(pixels, dtype="<u2").reshape(-1)
    return [header, data.view(np.uint8).data]


def write(path: PathLike, pixels: NDArray[np.uint16], header: bytes, *, overwrite: bool = True) -> None:
    """Write an SMV image; ``header`` as :func:`header_bytes` makes it."""
    write_files([(path, chunks(pixels, header))], overwrite=overwrite)


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over, scaled by the rule of canonical 10.2.

    Raises
    ------
    InputError
        Without a scene, or for values that do not fit unless they are to be clipped.
    """
    scene, what = request.scene, os.fspath(request.path)
    if scene is None:
        raise InputError("an SMV header is made from the scene: give scene=")
    header = header_bytes(scene)
    pixels, scale, offset, clip = request.pixels, request.scale, request.offset, request.clip
    if pixels.dtype.kind in "iu":
        data = to_integers(pixels, np.uint16, scale=scale or 1.0, offset=offset or 0.0, clip=clip, what=what)
    else:
        adc = 40.0 if offset is None else finite("offset", offset)
        factor = 0.0 if scale is None else finite("scale", scale)
        if factor > 0 or float(pixels.min()) < 0:
            # canonical 10.2 clips in silence; here clipping must be asked for
            used = factor if factor > 0 else 55000.0 / max(float(pixels.max()), 1e-300)
            to_integers(pixels, np.uint16, scale=used, offset=adc, clip=clip, what=what)
        data, _ = integer_image(pixels.astype(np.float32), scene.panel.roi, factor, adc)
    write(request.path, data, header, overwrite=request.overwrite)


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    content = read(file)
    metadata: dict[str, Any] = {"format": "smv"}
    for key, field in (
        ("wavelength_A", "WAVELENGTH"),
        ("distance_mm", "DISTANCE"),
        ("pixel_mm", "PIXEL_SIZE"),
        ("phi_deg", "OSC_START"),
        ("osc_deg", "OSC_RANGE"),
        ("twotheta_deg", "TWOTHETA"),
    ):
        try:
            metadata[key] = float(content.header[field])
        except (KeyError, ValueError):
            continue
    # the denzo centre is (slow, fast) from the outer corner in headers of nanobragg and its ancestors;
    # others lack it
    try:
        centre = (float(content.header["DENZO_Y_BEAM"]), float(content.header["DENZO_X_BEAM"]))
        metadata["beam_center_px"] = tuple(x / metadata["pixel_mm"] for x in centre)
    except (KeyError, ValueError, ZeroDivisionError):
        pass
    metadata["header"] = content.header
    return ImageFile(content.pixels, metadata)

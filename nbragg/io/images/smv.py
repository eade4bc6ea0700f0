"""SMV images: a text header, then unsigned 16-bit pixels (canonical 10.2, 10.4).

Two headers are written: the reference program's, of 512 bytes, for the files that are to be the same as its;
and one that DIALS, and what else reads the headers of simulated images, understands exactly.  Both say
``BEAMLINE=fake``, by which dxtbx chooses a reader that takes BEAM_CENTER as ADXV's plus one pixel.
"""

from __future__ import annotations

import datetime
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
from ...base.warn import warn
from ..files.atomic import PathLike, write_files
from .fixed_axes import require_fixed_axes
from .header_fields import fields_from_text, fields_to_text
from .metadata import NO_TIME, ImageMetadata, imgcif_frame
from .pixels import finite, to_integers
from .requests import ImageFile, ReadRequest, WriteRequest

if TYPE_CHECKING:
    from ...scene.record import Scene

__all__ = [
    "SmvImage",
    "chunks",
    "full_header",
    "header_bytes",
    "integer_image",
    "is_full",
    "last_value",
    "load",
    "read",
    "record_of",
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


def record_of(image: SmvImage) -> dict[str, Any]:
    """The record in a header of `full_header`, as `ImageMetadata.to_dict`; empty in another."""
    return fields_from_text(image.header)


def is_full(image: SmvImage) -> bool:
    """Whether the header is one of `full_header`."""
    return bool(record_of(image))


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


def full_header(metadata: ImageMetadata, *, start_time: datetime.datetime | None = None) -> bytes:
    """The header of an image, a multiple of 512 bytes: what dxtbx reads, and every field of the record.

    Parameters
    ----------
    metadata : ImageMetadata
        With the scale and the offset of the pixels.
    start_time : datetime, optional
        None: that of no measurement, 2000-01-01.

    Raises
    ------
    InputError
        A geometry that an SMV header cannot say.
    """
    m = metadata
    require_fixed_axes(m, "smv")
    px = m.pixel_mm[0]
    fbeam, sbeam = (centre * px for centre in m.beam_center_px)
    edge = px * m.spixels
    moment = (start_time or NO_TIME).astimezone(datetime.timezone.utc)
    lines: list[tuple[str, object]] = [
        ("DIM", 2),
        ("BYTE_ORDER", "little_endian"),
        ("TYPE", "unsigned_short"),
        ("SIZE1", m.fpixels),
        ("SIZE2", m.spixels),
        ("PIXEL_SIZE", px),
        ("WAVELENGTH", m.wavelength_A),
        ("BEAM_CENTER_X", fbeam - px),
        ("BEAM_CENTER_Y", edge - sbeam + px),
        ("ADXV_CENTER_X", fbeam),
        ("ADXV_CENTER_Y", edge - sbeam),
        ("MOSFLM_CENTER_X", sbeam - px / 2),
        ("MOSFLM_CENTER_Y", fbeam - px / 2),
        ("DENZO_X_BEAM", sbeam),
        ("DENZO_Y_BEAM", fbeam),
        ("DIALS_ORIGIN", ",".join(f"{x:.12g}" for x in imgcif_frame(m) @ np.asarray(m.pix0_mm))),
        ("XDS_ORGX", m.beam_center_px[0] + 0.5),
        ("XDS_ORGY", m.beam_center_px[1] + 0.5),
        ("CLOSE_DISTANCE", m.distance_mm),
        ("DISTANCE", m.distance_mm),
        ("PHI", m.phi_deg),
        ("OSC_START", m.phi_deg),
        ("OSC_RANGE", m.osc_deg),
        ("TWOTHETA", 0.0),
        ("TIME", m.exposure_s),
        ("DATE", moment.strftime("%a %b %d %H:%M:%S %Y")),
        ("GAIN", m.scale),
        ("ADC_OFFSET", m.offset),
        ("DETECTOR_SN", "000"),
        ("BEAMLINE", "fake"),
    ]
    body = "".join(
        f"{key}={value:.12g};\n" if isinstance(value, float) else f"{key}={value};\n" for key, value in lines
    )
    body += fields_to_text(m) + "}\f"
    size = _HEADER_BYTES
    while len(text := f"{{\nHEADER_BYTES={size};\n{body}") > size:
        size += _HEADER_BYTES
    return text.encode("ascii").ljust(size)


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over, scaled by the rule of canonical 10.2.

    The option ``header`` is "full", what dxtbx reads, or "nanobragg", the reference program's.

    Raises
    ------
    InputError
        Without a scene or metadata, for values that do not fit unless they are to be clipped, and for a
        geometry that the full header cannot say.
    """
    scene, what = request.scene, os.fspath(request.path)
    kind = request.options.get("header", "full")
    if kind not in ("full", "nanobragg"):
        raise InputError(f'header = {kind!r}: "full" or "nanobragg" was expected')
    if scene is None and kind == "nanobragg":
        raise InputError("the reference program's SMV header is made from the scene: give scene=")
    pixels, scale, offset, clip = request.pixels, request.scale, request.offset, request.clip
    header = header_bytes(scene) if scene is not None and kind == "nanobragg" else b""
    if pixels.dtype.kind in "iu":
        # whole numbers that somebody has scaled already may come with metadata that say so
        scale, offset = scale or 1.0, offset or 0.0
        data = to_integers(pixels, np.uint16, scale=scale, offset=offset, clip=clip, what=what)
    else:
        offset = 40.0 if offset is None else finite("offset", offset)
        scale = 0.0 if scale is None else finite("scale", scale)
        if scale > 0 or float(pixels.min()) < 0:
            # canonical 10.2 clips in silence; here clipping must be asked for
            used = scale if scale > 0 else 55000.0 / max(float(pixels.max()), 1e-300)
            to_integers(pixels, np.uint16, scale=used, offset=offset, clip=clip, what=what)
        whole = (0, pixels.shape[1] - 1, 0, pixels.shape[0] - 1)
        roi = whole if scene is None else scene.panel.roi
        data, scale = integer_image(pixels.astype(np.float32), roi, scale, offset)
    if not header:
        _warn_of_sensor(request.known)
        header = full_header(
            request.known.scaled(scale, offset), start_time=request.options.get("start_time")
        )
    write(request.path, data, header, overwrite=request.overwrite)


def _warn_of_sensor(m: ImageMetadata) -> None:
    """Readers of SMV know no sensor, and so no parallax."""
    if m.sensor_um > 0.0 and m.attenuation_um > 0.0:
        corner = max(
            math.hypot(x, y)
            for x in (m.beam_center_px[0] * m.pixel_mm[0], (m.fpixels - m.beam_center_px[0]) * m.pixel_mm[0])
            for y in (m.beam_center_px[1] * m.pixel_mm[1], (m.spixels - m.beam_center_px[1]) * m.pixel_mm[1])
        )
        from ...analysis.spot_integrals import absorption_depth

        straight = np.ones(1)
        depth = float(absorption_depth(m.sensor_um, 1.0 / m.attenuation_um, straight)[0])
        shift = depth * 1e-3 * corner / m.distance_mm / m.pixel_mm[0]
        if shift > 0.05:
            warn(
                f"an SMV header says nothing of the sensor: programs leave out its parallax, here up to "
                f"{shift:.2g} pixels; CBF (.cbf) and NeXus (.nxs) say it"
            )


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    content = read(file)
    metadata: dict[str, Any] = {"format": "smv"}
    own = fields_from_text(content.header)
    if own:
        metadata |= own
        metadata["header"] = content.header
        return ImageFile(content.pixels, metadata)
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

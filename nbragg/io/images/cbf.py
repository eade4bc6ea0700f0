"""CBF images through fabio: byte-offset compressed int32 pixels under a miniCBF header.

The header says wavelength, distance, beam centre, sensor and oscillation, and puts the detector perpendicular
to the beam; geometries that it cannot say are refused.  Its convention is ``PILATUS_1.2`` for an image of
the size and pixel of a Pilatus, whose gaps readers then know, else ``GENERIC_MINI``.  All fields of the
record are in comment lines beginning with ``# nanobragg_json``.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import memory
from ...base.errors import FileError
from ...base.optional import require
from ..files.atomic import PathLike, check_writable, open_atomic
from .fixed_axes import require_fixed_axes
from .metadata import NO_TIME, ImageMetadata
from .requests import ImageFile, ReadRequest, WriteRequest
from .sensor import material_for_readers, sensor_for_readers, warn_of_attenuation

__all__ = ["header_contents", "header_numbers", "load", "read", "save", "write"]

_JSON_MARK = "# nanobragg_json "
_JSON_CHUNK = 1800  # CBF lines have at most 2048 characters


#: a Pilatus: pixel (mm); pixels of a module along fast and slow; of the gaps between them
_PILATUS = (0.172, (487, 195), (7, 17))


#: what headers call a material
_SENSORS = {"Si": "Silicon"}


def is_pilatus(metadata: ImageMetadata) -> bool:
    """Whether size and pixel are those of a Pilatus, of any number of modules."""
    edge, module, gap = _PILATUS
    sizes = (metadata.fpixels, metadata.spixels)
    whole = all((n + g) % (m + g) == 0 for n, m, g in zip(sizes, module, gap, strict=True))
    return whole and all(abs(pixel - edge) < 1e-9 for pixel in metadata.pixel_mm)


def header_contents(metadata: ImageMetadata, start_time: datetime.datetime | None = None) -> str:
    """The miniCBF header of an image.

    Parameters
    ----------
    metadata : ImageMetadata
    start_time : datetime, optional
        None: that of no measurement, 2000-01-01.
    """
    m = metadata
    moment = (start_time or NO_TIME).astimezone(datetime.timezone.utc)
    name = "PILATUS of" if is_pilatus(m) else "GENERIC of"
    formula = material_for_readers(m)
    material = _SENSORS.get(formula, formula)
    lines = [
        f"# Detector: {name} {m.fpixels} x {m.spixels} pixels, nanobragg simulation, S/N 60-0000",
        f"# {moment.strftime('%Y-%m-%dT%H:%M:%S')}.000",
        f"# Pixel_size {m.pixel_mm[0] * 1e-3:.12g} m x {m.pixel_mm[1] * 1e-3:.12g} m",
        # read as "sensor, thickness THICKNESS m": the third word after the material is the number
        f"# {material} sensor, thickness {sensor_for_readers(m.sensor_um) * 1e-6:.9g} m",
        f"# Exposure_time {m.exposure_s:.9g} s",
        f"# Exposure_period {m.exposure_s:.9g} s",
        f"# Count_cutoff {np.iinfo(np.int32).max if m.saturation is None else int(m.saturation)} counts",
        f"# Wavelength {m.wavelength_A:.12g} A",
        f"# Detector_distance {m.distance_mm * 1e-3:.14g} m",
        f"# Beam_xy ({m.beam_center_px[0]:.9f}, {m.beam_center_px[1]:.9f}) pixels",
        f"# Flux {m.flux:.9g}",
        f"# Start_angle {m.phi_deg:.12g} deg.",
        f"# Angle_increment {m.osc_deg:.12g} deg.",
        f"# Detector_2theta {0:.4f} deg.",
        f"# Polarization {(1 + m.polarization) / 2:.6g}",
        f"# Phi {m.phi_deg:.12g} deg.",
        f"# Photons (counts - {m.offset!r}) / {m.scale!r}",
    ]
    text = m.to_json()
    lines += [_JSON_MARK + text[i : i + _JSON_CHUNK] for i in range(0, len(text), _JSON_CHUNK)]
    return "\r\n".join(lines)


_PATTERNS = {
    "wavelength_A": r"Wavelength\s+([-+.\deE]+)\s*A",
    "distance_mm": r"Detector_distance\s+([-+.\deE]+)\s*m",
    "pixel_mm": r"Pixel_size\s+([-+.\deE]+)\s*m",
    "phi_deg": r"Start_angle\s+([-+.\deE]+)",
    "osc_deg": r"Angle_increment\s+([-+.\deE]+)",
    "exposure_s": r"Exposure_time\s+([-+.\deE]+)",
    "twotheta_deg": r"Detector_2theta\s+([-+.\deE]+)",
}


def header_numbers(contents: str) -> dict[str, Any]:
    """Numbers of a miniCBF header under this package's names; the whole record where nanobragg wrote the
    file."""
    lines = contents.replace("\r", "").split("\n")
    text = "".join(line.removeprefix(_JSON_MARK) for line in lines if line.startswith(_JSON_MARK))
    if text:
        return ImageMetadata.from_json(text).to_dict()
    found: dict[str, Any] = {}
    for name, pattern in _PATTERNS.items():
        match = re.search(pattern, contents)
        if match:
            found[name] = float(match.group(1)) * (1e3 if name.endswith("_mm") else 1.0)
    match = re.search(r"Beam_xy\s*\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)", contents)
    if match:
        found["beam_center_px"] = (float(match.group(1)), float(match.group(2)))
    return found


def write(
    path: PathLike,
    image: NDArray[np.int32],
    metadata: ImageMetadata | None = None,
    *,
    overwrite: bool = True,
    start_time: datetime.datetime | None = None,
) -> None:
    """Write an int32 image (slow, fast).

    Raises
    ------
    InputError
        A geometry that a miniCBF header cannot say.
    """
    cbfimage = require("fabio.cbfimage", extra="io", purpose="writing CBF files")
    check_writable(path)
    header: dict[str, str] = {}
    if metadata is not None:
        require_fixed_axes(metadata, "cbf")
        warn_of_attenuation(metadata)
        convention = "PILATUS_1.2" if is_pilatus(metadata) else "GENERIC_MINI"
        header = {
            "_array_data.header_convention": f'"{convention}"',
            "_array_data.header_contents": header_contents(metadata, start_time),
        }
    # fabio writes to a path only
    with (
        tempfile.TemporaryDirectory(prefix="nanobragg-") as folder,
        open_atomic(path, overwrite=overwrite) as stream,
    ):
        inner = Path(folder) / "image.cbf"
        cbfimage.CbfImage(data=np.ascontiguousarray(image, dtype=np.int32), header=header).write(str(inner))
        with inner.open("rb") as written:
            while block := written.read(1 << 20):
                stream.write(block)


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    write(request.path, request.pixels, request.known, overwrite=request.overwrite, **request.options)


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    pixels, contents = read(file)
    return ImageFile(pixels, {"format": "cbf", **header_numbers(contents), "header": contents})


#: marks the begin of the binary section
_BINARY = b"\x0c\x1a\x04\xd5"

_ELEMENTS = {
    "signed 8-bit integer": "int8",
    "signed 16-bit integer": "int16",
    "signed 32-bit integer": "int32",
    "unsigned 8-bit integer": "uint8",
    "unsigned 16-bit integer": "uint16",
    "unsigned 32-bit integer": "uint32",
}


def read(path: Path) -> tuple[NDArray[Any], str]:
    """Pixels (slow, fast) and the miniCBF header ("" where there is none).

    The text is read here, fabio decompresses: its own reader does not end on some damaged files.

    Raises
    ------
    FileError
        Damaged, truncated, or compressed otherwise than by byte offset.
    """
    compression = require("fabio.compression", extra="io", purpose="reading CBF files")
    content = path.read_bytes()
    head, marker, binary = content.partition(_BINARY)
    text = head.decode("latin-1")
    if not marker:
        raise FileError(f"{path} is truncated: it has no binary section")
    stored = _header_number(text, "X-Binary-Size", path)
    fast = _header_number(text, "X-Binary-Size-Fastest-Dimension", path)
    slow = _header_number(text, "X-Binary-Size-Second-Dimension", path)
    if stored > len(binary):
        raise FileError(f"{path} is truncated: {len(binary)} bytes of pixels, its header says {stored}")
    element = re.search(r'X-Binary-Element-Type:\s*"([^"]*)"', text)
    dtype = _ELEMENTS.get(element.group(1).strip().lower()) if element else None
    if dtype is None or "byte_offset" not in text.lower():
        raise FileError(f"{path}: only integers compressed by x-CBF_BYTE_OFFSET can be read")
    if fast * slow > stored:  # byte offset takes a byte for each pixel at least
        raise FileError(f"{path} is damaged: {stored} bytes cannot hold {fast} x {slow} pixels")
    memory.require(8 * fast * slow, f"image {path} of {fast} x {slow} pixels", "read a smaller image")
    _check_md5(text, binary[:stored], path)
    try:
        pixels = np.asarray(compression.decByteOffset(binary[:stored], size=fast * slow, dtype="int64"))
    except Exception as error:  # fabio raises several kinds on damaged data
        raise FileError(f"{path} cannot be decompressed: {error}") from None
    if pixels.size != fast * slow:
        raise FileError(f"{path} is damaged: {pixels.size} pixels, its header says {fast} x {slow}")
    contents = re.search(r"_array_data\.header_contents\s*\r?\n;\r?\n?(.*?)\r?\n;", text, re.DOTALL)
    return pixels.astype(dtype).reshape(slow, fast), contents.group(1) if contents else ""


def _header_number(text: str, key: str, path: Path) -> int:
    match = re.search(rf"{key}:\s*(\d{{1,12}})\s", text)
    if match is None or int(match.group(1)) == 0:
        raise FileError(f"{path} is not a CBF image that can be read: no {key} before the binary section")
    return int(match.group(1))


def _check_md5(text: str, binary: bytes, path: Path) -> None:
    match = re.search(r"Content-MD5:\s*(\S+)", text)
    if match is None:
        return
    digest = base64.b64encode(hashlib.md5(binary, usedforsecurity=False).digest()).decode()
    if match.group(1) != digest:
        raise FileError(f"{path} is damaged: its pixels do not have the MD5 sum of the header")

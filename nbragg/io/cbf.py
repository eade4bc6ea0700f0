"""CBF images through fabio: byte-offset compressed int32 pixels under a miniCBF header (PILATUS header,
version 1.2).

The miniCBF header says wavelength, distance, beam centre and oscillation and takes the detector to be
perpendicular to the beam; the exact geometry is in comment lines beginning with ``# nanobragg_json``.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import memory
from ..errors import FileError, NbraggWarning
from ..optional import require
from .atomic import PathLike, check_writable, open_atomic
from .image_metadata import ImageMetadata

__all__ = ["header_contents", "header_numbers", "read", "write"]

_JSON_MARK = "# nanobragg_json "
_JSON_CHUNK = 1800  # CBF lines have at most 2048 characters


def header_contents(metadata: ImageMetadata) -> str:
    """The miniCBF header of an image."""
    m = metadata
    lines = [
        "# Detector: nanobragg simulation, S/N 000",
        f"# Pixel_size {m.pixel_mm * 1e-3:.9g} m x {m.pixel_mm * 1e-3:.9g} m",
        f"# Exposure_time {m.exposure_s:.9g} s",
        f"# Exposure_period {m.exposure_s:.9g} s",
        f"# Count_cutoff {np.iinfo(np.int32).max} counts",
        f"# Wavelength {m.wavelength_A:.9g} A",
        f"# Detector_distance {m.distance_mm * 1e-3:.9g} m",
        f"# Beam_xy ({m.beam_center_px[0]:.6f}, {m.beam_center_px[1]:.6f}) pixels",
        f"# Flux {m.flux:.9g}",
        f"# Start_angle {m.phi_deg:.9g} deg.",
        f"# Angle_increment {m.osc_deg:.9g} deg.",
        f"# Detector_2theta {m.twotheta_deg:.9g} deg.",
        f"# Polarization {(1 + m.polarization) / 2:.6g}",
        f"# Phi {m.phi_deg:.9g} deg.",
    ]
    if m.sensor_um:
        lines.insert(2, f"# Silicon sensor, thickness {m.sensor_um * 1e-6:.9g} m")
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


def write(path: PathLike, image: NDArray[np.int32], metadata: ImageMetadata | None = None) -> None:
    """Write an int32 image (slow, fast).

    Warns when the detector is tilted or curved, which the miniCBF header cannot say.
    """
    cbfimage = require("fabio.cbfimage", extra="io", purpose="writing CBF files")
    check_writable(path)
    header: dict[str, str] = {}
    if metadata is not None:
        header = {
            "_array_data.header_convention": '"PILATUS_1.2"',
            "_array_data.header_contents": header_contents(metadata),
        }
        if metadata.tilted or metadata.curved:
            warnings.warn(
                f"{os.fspath(path)}: a miniCBF header holds no detector tilt or curvature; programs other "
                "than nanobragg "
                "will take the detector to be flat and perpendicular to the beam: write NeXus (.nxs) for the "
                "geometry",
                NbraggWarning,
                stacklevel=2,
            )
    # fabio writes to a path only
    with tempfile.TemporaryDirectory(prefix="nanobragg-") as folder, open_atomic(path) as stream:
        inner = Path(folder) / "image.cbf"
        cbfimage.CbfImage(data=np.ascontiguousarray(image, dtype=np.int32), header=header).write(str(inner))
        with inner.open("rb") as written:
            while block := written.read(1 << 20):
                stream.write(block)


def read(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Pixels (slow, fast) and the header.

    Raises
    ------
    FileError
        Damaged or truncated.
    """
    fabio_cbf = require("fabio.cbfimage", extra="io", purpose="reading CBF files")
    head = path.open("rb").read(1 << 16).decode("latin-1")
    sizes = [
        re.search(rf"X-Binary-Size-{axis}:\s*(\d+)", head)
        for axis in ("Fastest-Dimension", "Second-Dimension")
    ]
    if all(sizes):
        fast, slow = (int(s.group(1)) for s in sizes if s is not None)
        memory.require(4 * fast * slow, f"image {path} of {fast} x {slow} pixels", "read a smaller image")
    stored = re.search(r"X-Binary-Size:\s*(\d+)", head)
    if stored is not None and int(stored.group(1)) > path.stat().st_size:
        raise FileError(
            f"{path} is truncated: {path.stat().st_size} bytes, its compressed pixels take {stored.group(1)}"
        )
    logger = logging.getLogger("fabio")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # fabio logs what is raised here as an error
    try:
        image = fabio_cbf.CbfImage().read(str(path))
        pixels = np.asarray(image.data)
        header: Mapping[str, Any] = image.header
    except Exception as error:  # fabio raises many kinds on damaged files
        raise FileError(f"{path} cannot be read as a CBF image: {error}") from None
    finally:
        logger.setLevel(level)
    if pixels.ndim != 2 or pixels.size == 0:
        raise FileError(f"{path} holds no two-dimensional image (shape {pixels.shape})")
    return pixels, dict(header)

"""The images of ``-img`` and ``-mask``: the settings in their headers, and the mask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.errors import FileError
from ..base.warn import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..io.images.smv import SmvImage
    from ..model.physics import Physics

__all__ = ["ImageInput", "read_image_input"]

Settings = dict[str, Any]

#: kinds of content with a reader of their own; all else is taken for SMV, whose reader says what is wrong
_OTHER_KINDS = ("tiff", "cbf", "hdf5", "npy")

#: keys of an SMV header, and the settings they make
_SMV_KEYS = {
    "PIXEL_SIZE": "detector.pixel_mm",
    "DISTANCE": "detector.distance_mm",
    "CLOSE_DISTANCE": "detector.close_distance_mm",
    "WAVELENGTH": "beam.wavelength_A",
    "BEAM_CENTER_X": "detector.Xbeam_mm",
    "BEAM_CENTER_Y": "detector.Ybeam_mm",
    "ORGX": "detector.ORGX",
    "ORGY": "detector.ORGY",
    "PHI": "crystal.phi_deg",
    "OSC_RANGE": "crystal.osc_deg",
}

#: the same for what other formats hold
_METADATA_KEYS = {
    "pixel_mm": "detector.pixel_mm",
    "distance_mm": "detector.distance_mm",
    "wavelength_A": "beam.wavelength_A",
    "phi_deg": "crystal.phi_deg",
    "osc_deg": "crystal.osc_deg",
}


class ImageInput(NamedTuple):
    """What an image file gives."""

    settings: Settings
    used: NDArray[np.bool_]  #: (slow, fast), False where a mask says skip


def read_image_input(option: str, path: str, convention: str, physics: Physics) -> ImageInput:
    """Read an image of any format for its header and its pixels.

    Parameters
    ----------
    option : {"-mask", "-img"}
    path : str
    convention : str
        In force in the end: it says in which axes a beam centre is given.
    physics : Physics
        Whether the two-theta angle of an SMV header counts (canonical 11).

    Raises
    ------
    FileError, InputError
    """
    from ..io.files.sniff import content_kind

    readable = os.path.isfile(path) and os.path.getsize(path) > 0
    if readable and content_kind(Path(path)) in _OTHER_KINDS:
        return _other_frame(option, path, convention)
    from ..io.images import smv

    image = smv.read(path)
    if smv.is_full(image):  # its BEAM_CENTER is not the reference program's
        return _other_frame(option, path, convention)
    return ImageInput(_smv_settings(option, path, image, physics), image.pixels != 0)


def _smv_settings(option: str, path: str, image: SmvImage, physics: Physics) -> Settings:
    """Settings from an SMV header (canonical 10.4)."""
    from ..io.images.smv import last_value

    def value(key: str) -> float | None:
        try:
            return last_value(image.header_text, key)
        except FileError as error:
            raise FileError(f"{path}: {error}") from None

    slow, fast = image.pixels.shape
    found: Settings = {"detector.fpixels": fast, "detector.spixels": slow}
    for key, target in _SMV_KEYS.items():
        number = value(key)
        if number is not None:
            found[target] = number
    if option == "-mask" and "detector.Ybeam_mm" in found:
        # mask headers count their beam centre from the other edge
        edge = found.get("detector.pixel_mm", 0.1) * slow
        found["detector.Ybeam_mm"] = edge - found["detector.Ybeam_mm"]
    twotheta = value("TWOTHETA")
    if twotheta and physics.reads_twotheta:
        found["detector.twotheta_deg"] = twotheta
    elif twotheta:
        warn(
            f"as in the reference program, TWOTHETA={twotheta:g} in the header of {path} is not used; give "
            "-twotheta, or -physics exact"
        )
    return found


def _other_frame(option: str, path: str, convention: str) -> ImageInput:
    """TIFF, CBF, NumPy and HDF5: size, and geometry as far as the file says it."""
    from ..io.images import read_image, read_mask

    if option == "-mask":
        used = read_mask(path) != 0
        metadata = _metadata_of_mask(path)
    else:
        image = read_image(path)
        used, metadata = image.image != 0, image.metadata
    if used.ndim != 2:
        raise FileError(
            f"{path} has the shape {used.shape}; {option} takes one panel, -geometry takes several"
        )
    slow, fast = used.shape
    found: Settings = {"detector.fpixels": fast, "detector.spixels": slow}
    found |= {_METADATA_KEYS[key]: metadata[key] for key in _METADATA_KEYS if key in metadata}
    pixel, centre = metadata.get("pixel_mm"), metadata.get("beam_center_px")
    if pixel is not None and centre is not None:
        found |= _beam_centre(convention, pixel, centre, slow)
    if _bent(metadata):
        warn(f"{path}: the detector is tilted or curved; only its distance and beam centre are taken over")
    return ImageInput(found, used)


def _metadata_of_mask(path: str) -> dict[str, Any]:
    from ..io.files.sniff import content_kind
    from ..io.images import read_image

    if content_kind(Path(path)) == "hdf5":
        from ..io.images import nexus

        return nexus.read(Path(path), mask=True)[2]
    return read_image(path).metadata


def _bent(metadata: dict[str, Any]) -> bool:
    from ..io.images.metadata import ImageMetadata

    if "nanobragg_image" not in metadata:
        return bool(metadata.get("twotheta_deg"))
    known = ImageMetadata.from_dict(metadata)
    return known.tilted or known.curved


def _beam_centre(
    convention: str, pixel_mm: float | tuple[float, float], centre: tuple[float, float], slow: int
) -> Settings:
    """A beam centre in pixels (fast, slow; from the outer corner) in a convention's axes (canonical 3.2)."""
    fast_edge, slow_edge = pixel_mm if isinstance(pixel_mm, (tuple, list)) else (pixel_mm, pixel_mm)
    fast_mm, slow_mm = centre[0] * fast_edge, centre[1] * slow_edge
    if convention in ("xds", "dials"):
        return {"detector.ORGX": centre[0] + 0.5, "detector.ORGY": centre[1] + 0.5}
    x, y = {
        "mosflm": (slow_mm - slow_edge / 2, fast_mm - fast_edge / 2),
        "denzo": (slow_mm, fast_mm),
        "adxv": (fast_mm, slow * slow_edge - slow_mm),
        "custom": (fast_mm, slow_mm),
    }[convention]
    return {"detector.Xbeam_mm": x, "detector.Ybeam_mm": y}

"""What passes between `save_image`, `read_image` and the modules of the formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError
from ..files.atomic import PathLike
from .metadata import ImageMetadata

if TYPE_CHECKING:
    from ...scene.record import Scene

__all__ = ["COMPRESSIONS", "ImageFile", "ReadRequest", "WriteRequest", "one_frame"]


#: of NeXus files
COMPRESSIONS = ("gzip", "bitshuffle", "lz4", "none")


class ImageFile(NamedTuple):
    """An image as read: pixels (slow, fast), and what the file says about them.

    `metadata` holds, where the file says so, ``wavelength_A``, ``distance_mm``, ``pixel_mm`` (two numbers,
    fast and slow, where they differ), ``beam_center_px`` (fast, slow; from the outer corner of the first
    pixel), ``phi_deg``, ``osc_deg``, ``twotheta_deg``; ``format``; the raw ``header`` of SMV and CBF files;
    ``scale`` and ``offset``, photons being (pixels - offset)/scale; and every field of
    :class:`ImageMetadata` in files that nanobragg wrote.
    """

    image: NDArray[Any]
    metadata: dict[str, Any]

    @property
    def photons(self) -> NDArray[np.float64]:
        """(pixels - offset)/scale, of a file that names neither the pixels."""
        scale, offset = self.metadata.get("scale") or 1.0, self.metadata.get("offset") or 0.0
        return (self.image.astype(np.float64) - offset) / scale


@dataclass(frozen=True, eq=False)
class WriteRequest:
    """An image to be written.

    Attributes
    ----------
    path : path-like
    pixels : ndarray
        In the file's type; photons where the format makes its own pixels.
    scene : Scene or None
    metadata : ImageMetadata or None
        With the scale and the offset of the pixels.
    scale, offset : float or None
        Applied to `pixels`; as the caller gave them where the format makes its own.
    clip, overwrite : bool
    options : mapping
        Of this format alone.
    """

    path: PathLike
    pixels: NDArray[Any]
    scene: Scene | None = None
    metadata: ImageMetadata | None = None
    scale: float | None = None
    offset: float | None = None
    clip: bool = False
    overwrite: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> ImageMetadata:
        """The metadata, for formats that need them."""
        if self.metadata is None:
            raise InputError(f"{self.path}: its header holds the geometry: give scene= or metadata=")
        return self.metadata


@dataclass(frozen=True)
class ReadRequest:
    """What of a file is wanted: see `nbragg.io.read_image`."""

    frame: int | None = 0
    dataset: str | None = None
    shape: tuple[int, ...] | None = None


def one_frame(pixels: NDArray[Any], frame: int | None, file: PathLike) -> NDArray[Any]:
    """Frame of a stack (n, slow, fast); an image (slow, fast), or everything for None, as it is.

    Raises
    ------
    InputError
        No such frame, or pixels that are neither.
    """
    if frame is None or pixels.ndim == 2:
        return pixels
    if pixels.ndim == 1:
        raise InputError(
            f"{file} holds a list of {len(pixels)} pixels and no image (slow, fast): give frame=None to read "
            "it as it is"
        )
    if not -len(pixels) <= frame < len(pixels):
        raise InputError(f"{file} has {len(pixels)} frames; frame {frame} was asked for")
    return np.asarray(pixels[frame])

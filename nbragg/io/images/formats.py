"""The one registry of image formats.

==================  =========  ===================================================================
suffix              format     pixels
==================  =========  ===================================================================
.img                "smv"      uint16
.bin                "raw"      float32, no header
.pgm                "pgm"      uint8 preview
.png                "png"      uint8 preview, asinh scale
.tif, .tiff         "tiff"     float32, uint16 or uint32; metadata in the description
.cbf                "cbf"      int32, byte offset; miniCBF header
.nxs, .h5, .hdf5    "nexus"    float32 or integers, one or many frames; NXmx
.npy                "npy"      as given
==================  =========  ===================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import InputError
from ..files.atomic import PathLike
from ..files.kinds import KINDS
from ..files.sniff import identify

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "ImageFormat",
    "counts_dtype",
    "format_of",
    "of_file",
    "register",
    "that_can",
]

_HERE = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class ImageFormat:
    """A format of images; its functions are imported when they are used.

    Attributes
    ----------
    name : str
    kind : str
        Of content, whose suffixes it has (`nbragg.io.files.kinds`).
    dtypes : tuple of str
        Pixel types; the first where there is no reason for another.
    write : str
        ``"module:function"`` of a `WriteRequest`.
    read : str
        Function of the path and a `ReadRequest` that returns an `ImageFile`; "" where it is not read.
    shape : str
        Function of the path and a `ReadRequest` that returns the shape of all pixels, (n, slow, fast) of a
        stack, without reading them; "": a file is one image.
    read_mask : str
        Function of the path and a `ReadRequest` that returns True where a pixel counts; "": those above 0.
    packages : tuple of (module, extra)
        Needed for writing; the extra of nanobragg that installs each, None for one that always is.
    options : tuple of str
        Further keywords of `save_image`.
    own_pixels : bool
        It makes its pixels from the photons by a rule of its own.
    geometry : bool
        Its header holds a geometry.
    series : str
        ``"module:function"`` that opens a file for frames one after the other; "" where there is none.
    any_axes : bool
        Its header takes a detector that is tilted anyhow, and a rotation axis in any direction; else
        `fixed_axes` says what it cannot.
    counts : str
        Pixel type of counts with noise; "" where it takes what comes.
    rectangular : bool
        Pixels may be longer along one axis than along the other, as far as it says anything of them.
    frames : bool
        Takes stacks (n, slow, fast).
    panels : bool
        Takes images of several panels, (panel, slow, fast), or draws them where they stand.
    flat : bool
        And of panels of several sizes, (pixels,).
    """

    name: str
    kind: str
    dtypes: tuple[str, ...]
    write: str
    read: str = ""
    shape: str = ""
    read_mask: str = ""
    packages: tuple[tuple[str, str | None], ...] = ()
    options: tuple[str, ...] = ()
    own_pixels: bool = False
    geometry: bool = False
    series: str = ""
    any_axes: bool = False
    counts: str = ""
    rectangular: bool = True
    frames: bool = False
    panels: bool = False
    flat: bool = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Those of its kind of content."""
        return KINDS[self.kind].suffixes


#: name -> format
FORMATS: dict[str, ImageFormat] = {}

#: suffix -> name of the format
SUFFIXES: dict[str, str] = {}


def register(entry: ImageFormat) -> None:
    """Add a format, or replace the one of its name; its kind of content must be known."""
    FORMATS[entry.name] = entry
    SUFFIXES.update(dict.fromkeys(entry.suffixes, entry.name))


for _entry in (
    ImageFormat(
        "smv",
        "smv",
        ("uint16",),
        f"{_HERE}.smv:save",
        f"{_HERE}.smv:load",
        options=("header", "start_time"),
        own_pixels=True,
        geometry=True,
        counts="uint16",
        rectangular=False,
    ),
    ImageFormat(
        "raw",
        "raw",
        ("float32",),
        f"{_HERE}.raw:save",
        f"{_HERE}.raw:load",
        f"{_HERE}.raw:shape",
        counts="float32",
        frames=True,
        panels=True,
        flat=True,
    ),
    ImageFormat("pgm", "pgm", ("uint8",), f"{_HERE}.pgm:save", own_pixels=True),
    ImageFormat(
        "png",
        "png",
        ("uint8",),
        f"{_HERE}.png:save",
        own_pixels=True,
        panels=True,
        flat=True,
        options=("percentile", "black", "white", "invert"),
    ),
    ImageFormat(
        "tiff",
        "tiff",
        ("float32", "uint16", "uint32"),
        f"{_HERE}.tiff:save",
        f"{_HERE}.tiff:load",
        f"{_HERE}.tiff:shape",
        packages=(("tifffile", None),),
        geometry=True,
        any_axes=True,
        counts="uint32",
        frames=True,
        panels=True,
    ),
    ImageFormat(
        "cbf",
        "cbf",
        ("int32",),
        f"{_HERE}.cbf:save",
        f"{_HERE}.cbf:load",
        packages=(("fabio.cbfimage", "io"),),
        options=("start_time",),
        geometry=True,
        counts="int32",
        rectangular=False,
    ),
    ImageFormat(
        "nexus",
        "hdf5",
        ("float32", "uint16", "uint32", "int32"),
        f"{_HERE}.nexus_writer:save",
        f"{_HERE}.nexus:load",
        f"{_HERE}.nexus:shape",
        f"{_HERE}.nexus:load_mask",
        packages=(("h5py", "io"),),
        options=("angles_deg", "compression", "start_time"),
        series=f"{_HERE}.nexus_writer:open_stack",
        geometry=True,
        any_axes=True,
        counts="int32",
        frames=True,
        panels=True,
        flat=True,
    ),
    ImageFormat(
        "npy",
        "npy",
        ("float32", "float64", "uint16", "uint32", "int32"),
        f"{_HERE}.npy:save",
        f"{_HERE}.npy:load",
        f"{_HERE}.npy:shape",
        counts="int32",
        frames=True,
        panels=True,
        flat=True,
    ),
):
    register(_entry)


def format_of(path: PathLike, format: str | None = None) -> str:
    """Name of the format to write.

    Parameters
    ----------
    path : path-like
    format : str, optional
        A name or a suffix, instead of the path's suffix.

    Raises
    ------
    InputError
        Unknown suffix or format.
    """
    if format is not None:
        name = SUFFIXES.get("." + format.lower().lstrip("."), format.lower())
        if name not in FORMATS:
            raise InputError(f"unknown image format {format!r}; one of {', '.join(FORMATS)} was expected")
        return name
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{os.fspath(path)}: the suffix {suffix!r} names no image format; use one of "
            f"{' '.join(SUFFIXES)} or give format="
        )
    return SUFFIXES[suffix]


def of_file(file: Path) -> ImageFormat | None:
    """Format of a file, by its content, which must agree with its suffix; None where it is no image.

    Raises
    ------
    FileError
        They disagree.
    """
    kind = identify(file)
    for entry in FORMATS.values():
        if entry.kind == kind:
            return entry
    # bytes that are of no kind may be pixels without a header, which only the suffix tells
    by_suffix = FORMATS.get(SUFFIXES.get(file.suffix.lower(), ""))
    headless = by_suffix is not None and not KINDS[by_suffix.kind].told_by_content
    return by_suffix if headless and kind in ("unknown", "text") else None


def that_can(condition: Callable[[ImageFormat], bool]) -> str:
    """Suffixes of the formats of which something is true, for messages."""
    return ", ".join(" ".join(entry.suffixes) for entry in FORMATS.values() if condition(entry))


def counts_dtype(entry: ImageFormat, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type in which a format writes what a detector gives: its own, or one that holds all of it.

    Raises
    ------
    InputError
        The format has none.
    """
    if entry.own_pixels and not entry.counts:
        return dtype
    for name in (dtype.name, entry.counts, *entry.dtypes):
        if name in entry.dtypes and np.can_cast(dtype, name):
            found: np.dtype[Any] = np.dtype(name)
            return found
    able = that_can(lambda e: any(n in e.dtypes and np.can_cast(dtype, n) for n in (dtype.name, e.counts)))
    raise InputError(
        f"{entry.name} files hold {', '.join(entry.dtypes)}, not the {dtype} that this detector response "
        f"writes: use {able}"
    )

"""Images out and in: the format told by suffix or by name, and by content when reading.

What each format holds is in the registry, `nbragg.io.images.formats`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ...base.errors import FileError, InputError
from ...base.optional import require
from ..files.atomic import PathLike, refuse_existing
from ..files.kinds import resolve
from ..files.sniff import check_file
from . import formats
from .fixed_axes import require_fixed_axes
from .formats import SUFFIXES as FORMATS  # suffix -> name
from .formats import ImageFormat, format_of
from .metadata import ImageMetadata
from .pixels import Pixels, checked, converted, to_integers, whole_number_scale
from .requests import ImageFile, ReadRequest, WriteRequest

if TYPE_CHECKING:
    from ...model.beam import Beam
    from ...scene.record import Scene

__all__ = [
    "FORMATS",
    "ImageFile",
    "check_format",
    "check_geometry",
    "format_of",
    "read_image",
    "read_mask",
    "save_image",
    "stored_shape",
    "to_integers",
    "whole_number_scale",
]

# --- out ---


def check_format(path: PathLike, format: str | None = None, *, overwrite: bool = True) -> str:
    """Name of the format to write, after checking that its packages are installed.

    Parameters
    ----------
    path : path-like
    format : str, optional
        Instead of the suffix.
    overwrite : bool
        False refuses a file that exists, as `save_image` does.

    Raises
    ------
    InputError
        Unknown suffix or format.
    FileError
        The file exists and is not to be replaced.
    MissingPackageError
    """
    entry = formats.FORMATS[format_of(path, format)]
    for module, extra in entry.packages:
        require(module, extra=extra, purpose=f"writing {os.fspath(path)}")
    if not overwrite:
        refuse_existing(path)
    return entry.name


def check_geometry(path: PathLike, scene: Scene, format: str | None = None) -> None:
    """Refuse what `save_image` would refuse of a detector, before there is an image.

    Parameters
    ----------
    path : path-like
    scene : Scene
    format : str, optional
        Instead of the suffix.

    Raises
    ------
    InputError
        Several panels, rectangular pixels, a tilt or axes that the format cannot say.
    """
    entry = formats.FORMATS[format_of(path, format)]
    _check_panels(entry, len(scene.panels), scene.image_shape)
    if entry.geometry:
        _check_axes(entry, ImageMetadata.from_scene(scene))


def _check_axes(
    entry: ImageFormat, metadata: ImageMetadata, options: Mapping[str, Any] | None = None
) -> None:
    if metadata.rectangular and not entry.rectangular:
        fast, slow = metadata.pixel_mm
        able = formats.that_can(lambda e: e.geometry and e.rectangular)
        raise InputError(
            f"the pixels are {fast:g} x {slow:g} mm, which {entry.name} files cannot say; use {able}"
        )
    if not entry.any_axes and (options or {}).get("header") != "nanobragg":
        require_fixed_axes(metadata, entry.name)


def save_image(
    path: PathLike,
    image: ArrayLike,
    *,
    scene: Scene | None = None,
    beam: Beam | None = None,
    recipe: Mapping[str, Any] | None = None,
    metadata: ImageMetadata | None = None,
    format: str | None = None,
    dtype: DTypeLike | None = None,
    scale: float | None = None,
    offset: float | None = None,
    clip: bool = False,
    overwrite: bool = True,
    **options: Any,
) -> None:
    """Write an image.

    Parameters
    ----------
    path : path-like
        The file; one that exists is replaced when the new one is complete.
    image : array_like (slow, fast)
        Photons as float, or integer pixels.  TIFF, NeXus, ``.npy`` and ``.bin`` also take frames
        (n, slow, fast), and images of several panels.
    scene : Scene, optional
        What the image was rendered from; needed for SMV, CBF and NeXus headers unless `metadata` is given.
    beam, recipe : Beam, mapping, optional
        Stored along with the scene: its flux, exposure and beam size; the whole set-up, see
        :func:`nbragg.io.recipe.to_dict`.
    metadata : ImageMetadata, optional
        Of `image`, instead of a scene (not for SMV).
    format : str, optional
        Instead of the suffix.
    dtype : dtype, optional
        Pixel type, for formats with a choice; None: float32 where it can be, else the format's integer.
    scale, offset : float, optional
        Pixels are image * scale + offset, in integer types rounded; where the format has a header, both are
        recorded.  None: 1 and 0; in integer types, a power of ten instead of 1, with a warning, where all
        photons would round to 0 or the brightest would not fit.  For SMV None is the scale that puts the
        maximum at 55000 and the offset 40 (canonical 10.2).  Integer images are never scaled unasked.
    clip : bool
        Clip what the integer type cannot hold, instead of an error.
    overwrite : bool
        False refuses a file that exists.
    **options
        Passed on: `percentile`, `invert` ... (PNG); `compression`, `angles_deg` (NeXus); `start_time` (NeXus,
        CBF, SMV); ``header="nanobragg"`` (SMV), the reference program's header, whatever the geometry.

    Raises
    ------
    InputError
        Wrong shape or type, values that are not finite or not held by the pixel type, a missing scene, a
        detector that the format cannot describe: SMV and CBF headers know no tilt, and no other rotation axis
        than along fast.
    FileError
        The file cannot be written, or exists and is not to be replaced.

    Warns
    -----
    NbraggWarning
        When photons are scaled unasked, or the header cannot say all of the sensor.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from nbragg.io import read_image, save_image
    >>> image = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image(f"{folder}/image.tif", image)
    ...     read_image(f"{folder}/image.tif").image.tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    entry = formats.FORMATS[format_of(path, format)]
    if not overwrite:
        refuse_existing(path)
    unknown = [name for name in options if name not in entry.options]
    if unknown:
        takes = f"; they take {', '.join(entry.options)}" if entry.options else ""
        raise InputError(f"{entry.name} files take no option {', '.join(unknown)}{takes}")
    pixels = checked(image)
    _check_shape(pixels, entry, scene, metadata)
    if metadata is None and scene is not None and entry.geometry:
        metadata = ImageMetadata.from_scene(scene, beam, recipe)
    if metadata is not None and entry.geometry:
        _check_axes(entry, metadata, options)
    if entry.own_pixels:
        written = Pixels(pixels, 1.0, 0.0)
    else:
        written = converted(path, pixels, entry, dtype, scale, offset, clip)
        metadata = None if metadata is None else metadata.scaled(written.scale, written.offset)
        scale, offset = written.scale, written.offset
    request = WriteRequest(
        path, written.pixels, scene, metadata, scale, offset, clip=clip, overwrite=overwrite, options=options
    )
    resolve(entry.write)(request)


def _check_panels(entry: ImageFormat, count: int, shape: tuple[int, ...]) -> None:
    """Refuse several panels, an image of this shape, where the format does not take them."""
    if count == 1:
        return
    flat = len(shape) == 1
    if not (entry.panels and (entry.flat or not flat)):
        able = formats.that_can(lambda e: bool(e.read) and e.panels and (e.flat or not flat))
        sizes = " of several sizes" if flat else ""
        raise InputError(
            f"{entry.name} files hold one panel, and the detector has {count}{sizes}: use {able}"
        )


def _check_shape(
    pixels: NDArray[Any], entry: ImageFormat, scene: Scene | None, metadata: ImageMetadata | None
) -> None:
    """Refuse pixels that the format does not take, or that are not those of the scene."""
    if scene is not None and len(scene.panels) > 1:
        flat = len(scene.image_shape) == 1
        _check_panels(entry, len(scene.panels), scene.image_shape)
        if pixels.shape != scene.image_shape:
            raise InputError(
                f"the image has the shape {pixels.shape}; the scene's is {scene.image_shape}"
                f" ({'pixels' if flat else 'panel, slow, fast'})"
            )
        return
    if scene is None and metadata is not None and metadata.panels:
        _check_panels(entry, len(metadata.panels), metadata.image_shape)
        if pixels.shape != metadata.image_shape:
            raise InputError(
                f"the image has the shape {pixels.shape}; {metadata.image_shape} was expected of "
                f"{len(metadata.panels)} panels"
            )
        return
    if pixels.ndim not in ((2, 3) if entry.frames else (2,)):
        extra = " or frames (n, slow, fast)" if entry.frames else ""
        raise InputError(f"the image has the shape {pixels.shape}; (slow, fast){extra} was expected")
    expected: tuple[int, ...] | None = None
    if metadata is not None:
        expected = (metadata.spixels, metadata.fpixels)
    elif scene is not None:
        expected = scene.image_shape
    if expected is not None and pixels.shape[-2:] != expected:
        raise InputError(f"the image has the shape {pixels.shape}; the scene's is {expected} (slow, fast)")


# --- in ---


def read_image(
    path: PathLike,
    *,
    frame: int | None = 0,
    dataset: str | None = None,
    shape: tuple[int, ...] | None = None,
) -> ImageFile:
    """Read an SMV, TIFF, CBF, NumPy, HDF5 (NeXus), or raw float image.

    Parameters
    ----------
    path : path-like
        The file; its kind is told by content, which must agree with the suffix.
    frame : int or None
        Frame of a stack; None: all of them, (n, slow, fast).
    dataset : str, optional
        Dataset of an HDF5 file.
    shape : tuple of int, optional
        (slow, fast) of a raw float image, which has no header; or (n, slow, fast).

    Returns
    -------
    ImageFile
        (image, metadata).

    Raises
    ------
    FileError
        Missing, empty, damaged or truncated; of another kind than its suffix says, or of no known kind.
    InputError
        A frame or dataset that is not there; a raw image without `shape`.
    MemoryLimitError
        More pixels than memory.
    """
    file = check_file(path, what="image")
    entry = formats.FORMATS["raw"] if shape is not None else formats.of_file(file)
    if entry is None or not entry.read:
        able = formats.that_can(lambda e: bool(e.read))
        raise FileError(f"{file} is not an image that can be read; these are: {able}")
    image: ImageFile = resolve(entry.read)(file, ReadRequest(frame, dataset, shape))
    return image


def stored_shape(
    path: PathLike, *, dataset: str | None = None, shape: tuple[int, ...] | None = None
) -> tuple[int, ...] | None:
    """Shape of what `read_image` gives for ``frame=None``, told without reading the pixels.

    Parameters
    ----------
    path, dataset, shape
        As of `read_image`.

    Returns
    -------
    tuple of int or None
        (n, slow, fast) of a stack of n frames; with several panels (n, panel, slow, fast) where a file says
        so, else their number is in the place of n.  None: of a format whose files are one image.

    Raises
    ------
    FileError, InputError
        As `read_image`.
    """
    file = check_file(path, what="image")
    entry = formats.FORMATS["raw"] if shape is not None else formats.of_file(file)
    if entry is None or not entry.shape or (entry.name == "raw" and shape is None):
        return None
    found: tuple[int, ...] = resolve(entry.shape)(file, ReadRequest(None, dataset, shape))
    return found


def read_mask(
    path: PathLike, *, dataset: str | None = None, invert: bool = False, shape: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Read a mask: 1 where a pixel counts, 0 where it is skipped.

    A pixel is skipped where the file has 0, a negative number or NaN (so PILATUS images serve with their
    gaps); in a NeXus ``pixel_mask`` it is skipped where any of the low 16 bits is set, as NXmx defines it.

    Parameters
    ----------
    path : path-like
        SMV, TIFF, CBF, .npy or HDF5.
    dataset : str, optional
        Dataset of an HDF5 file.
    invert : bool
        Exchange the two.
    shape : (int, int), optional
        (slow, fast) it must have.

    Returns
    -------
    ndarray (slow, fast) uint8
    """
    file = check_file(path, what="mask")
    entry = formats.of_file(file)
    if entry is not None and entry.read_mask:
        used = resolve(entry.read_mask)(file, ReadRequest(dataset=dataset))
    else:
        used = read_image(file).image > 0  # False for NaN
    if used.ndim != 2:
        raise InputError(f"mask {file} has the shape {used.shape}; one image (slow, fast) was expected")
    if shape is not None and used.shape != tuple(shape):
        raise InputError(
            f"mask {file} has the shape {used.shape}; the detector's is {tuple(shape)} (slow, fast)"
        )
    return np.asarray(used ^ invert, dtype=np.uint8)

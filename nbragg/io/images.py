"""Images out and in, the format told by suffix or by name, and by content when reading.

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

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import memory
from ..errors import FileError, InputError, MemoryLimitError, NbraggWarning
from ..optional import require
from .atomic import PathLike, open_atomic
from .image_metadata import ImageMetadata
from .sniff import check_file, identify

if TYPE_CHECKING:
    from ..scene import Scene

__all__ = [
    "FORMATS",
    "ImageFile",
    "check_format",
    "format_of",
    "read_image",
    "read_mask",
    "save_image",
    "to_integers",
]

#: suffix -> format
FORMATS = {
    ".img": "smv",
    ".bin": "raw",
    ".pgm": "pgm",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".cbf": "cbf",
    ".nxs": "nexus",
    ".h5": "nexus",
    ".hdf5": "nexus",
    ".npy": "npy",
}

_DTYPES: dict[str, tuple[str, ...]] = {
    "smv": ("uint16",),
    "raw": ("float32",),
    "pgm": ("uint8",),
    "png": ("uint8",),
    "tiff": ("float32", "uint16", "uint32"),
    "cbf": ("int32",),
    "nexus": ("float32", "uint16", "uint32", "int32"),
    "npy": ("float32", "float64", "uint16", "uint32", "int32"),
}
_DEFAULT_DTYPE = {name: dtypes[0] for name, dtypes in _DTYPES.items()}

#: format -> packages that write it, and the extras that install them
_PACKAGES: dict[str, tuple[tuple[str, str | None], ...]] = {
    "tiff": (("tifffile", None),),
    "cbf": (("fabio.cbfimage", "io"),),
    "nexus": (("h5py", "io"),),
}

#: images of more pixels are refused before anything is allocated (1 Gpixel: 32768 squared)
MAX_PIXELS = 2**30


class ImageFile(NamedTuple):
    """An image as read: pixels (slow, fast), and what the file says about them.

    `metadata` holds, where the file says so, ``wavelength_A``, ``distance_mm``, ``pixel_mm``,
    ``beam_center_px`` (fast, slow; from the outer corner of the first pixel), ``phi_deg``, ``osc_deg``,
    ``twotheta_deg``; ``format``; the raw ``header`` of SMV and CBF files; and every field of
    :class:`ImageMetadata` in files that nanobragg wrote.
    """

    image: NDArray[Any]
    metadata: dict[str, Any]


# --- out ---


def format_of(path: PathLike, format: str | None = None) -> str:
    """Name of the format to write.

    Raises
    ------
    InputError
        Unknown suffix or format.
    """
    if format is not None:
        name = FORMATS.get("." + format.lower().lstrip("."), format.lower())
        if name not in _DTYPES:
            raise InputError(f"unknown image format {format!r}; one of {', '.join(_DTYPES)} was expected")
        return name
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{os.fspath(path)}: the suffix {suffix!r} names no image format; use one of {' '.join(FORMATS)} "
            "or give format="
        )
    return FORMATS[suffix]


def check_format(path: PathLike, format: str | None = None, *, existing: bool = True) -> str:
    """Name of the format to write, after checking that its packages are installed.

    Parameters
    ----------
    path : path-like
    format : str, optional
        Instead of the suffix.
    existing : bool
        Refuse a NeXus file that exists, as `save_image` will.

    Raises
    ------
    InputError
        Unknown suffix or format.
    FileError
        A NeXus file exists.
    MissingPackageError
    """
    name = format_of(path, format)
    for module, extra in _PACKAGES.get(name, ()):
        require(module, extra=extra, purpose=f"writing {os.fspath(path)}")
    if name == "nexus" and existing and os.path.exists(path):
        raise FileError(
            f"{os.fspath(path)} exists: NeXus files are neither replaced nor appended to; remove it or "
            "choose another name"
        )
    return name


def save_image(
    path: PathLike,
    image: ArrayLike,
    *,
    scene: Scene | None = None,
    metadata: ImageMetadata | None = None,
    recipe: Mapping[str, Any] | None = None,
    format: str | None = None,
    dtype: DTypeLike | None = None,
    scale: float | None = None,
    offset: float | None = None,
    clip: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Write an image.

    Parameters
    ----------
    path : path-like
        The file; replaced if it exists, except NeXus files, which need ``overwrite=True`` for that.
    image : array_like (slow, fast)
        Photons as float, or integer pixels.  TIFF and NeXus also take frames (n, slow, fast).
    scene : Scene, optional
        What the image was rendered from; needed for SMV, CBF and NeXus headers unless `metadata` is given.
    metadata : ImageMetadata, optional
        Instead of a scene (not for SMV).
    recipe : mapping, optional
        Set-up to store along, see :func:`nbragg.recipe.to_dict`.
    format : str, optional
        Instead of the suffix.
    dtype : dtype, optional
        Pixel type, for formats with a choice; None: float32 where it can be, else the format's integer.
    scale, offset : float, optional
        Integer pixels are round(image * scale + offset).  None: 1 and 0; for SMV the scale that puts the
        maximum at 55000 and the offset 40 (canonical 10.2), and for integer input 1 and 0 throughout.
    clip : bool
        Clip what the integer type cannot hold, instead of an error.
    **options
        Passed on: `percentile`, `invert` ... (PNG), `compression`, `angles_deg`, `start_time` (NeXus).

    Raises
    ------
    InputError
        Wrong shape or type, values that are not finite or not held by the pixel type, a missing scene.
    FileError
        The file cannot be written, or is a NeXus file that exists.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from nbragg.io.images import read_image, save_image
    >>> image = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image(f"{folder}/image.tif", image)
    ...     read_image(f"{folder}/image.tif").image.tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    name = format_of(path, format)
    pixels = _checked(image, frames=name in ("tiff", "nexus", "npy"))
    if metadata is None and scene is not None:
        metadata = ImageMetadata.from_scene(scene, recipe)
    if metadata is not None and pixels.shape[-2:] != (metadata.spixels, metadata.fpixels):
        expected = (metadata.spixels, metadata.fpixels)
        raise InputError(f"the image has the shape {pixels.shape}; the scene's is {expected} (slow, fast)")
    if options and name not in ("png", "nexus"):
        raise InputError(f"{name} files take no option {', '.join(options)}")
    if name == "png":
        from . import png

        png.write(path, pixels, **options)
    elif name == "pgm":
        _save_pgm(path, pixels, scene, scale)
    elif name == "smv":
        _save_smv(path, pixels, scene, scale, offset, clip)
    else:
        data = _converted(path, pixels, name, dtype, scale, offset, clip)
        if name == "raw":
            from . import raw

            raw.write_float(path, data)
        elif name == "npy":
            with open_atomic(path) as stream:
                np.save(stream, data, allow_pickle=False)
        elif name == "tiff":
            from . import tiff

            tiff.write(path, data, metadata)
        elif name == "cbf":
            from . import cbf

            cbf.write(path, data, _needed(metadata, "CBF"))
        else:
            from . import nexus

            nexus.write(path, data, _needed(metadata, "NeXus"), overwrite=overwrite, **options)


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


def _checked(image: ArrayLike, *, frames: bool) -> NDArray[Any]:
    pixels = np.asarray(image)
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"the image has the dtype {pixels.dtype}; a real type was expected")
    if pixels.ndim not in ((2, 3) if frames else (2,)) or pixels.size == 0:
        extra = " or frames (n, slow, fast)" if frames else ""
        raise InputError(
            f"the image has the shape {pixels.shape}; (slow, fast){extra} was expected, not empty"
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        bad = int((~np.isfinite(pixels)).sum())
        raise InputError(f"the image has {bad} pixels that are not finite: set them to a number first")
    return pixels


def _converted(
    path: PathLike,
    pixels: NDArray[Any],
    name: str,
    dtype: DTypeLike | None,
    scale: float | None,
    offset: float | None,
    clip: bool,
) -> NDArray[Any]:
    allowed = _DTYPES[name]
    if dtype is None:
        integer = pixels.dtype.kind in "iu"
        dtype = str(pixels.dtype) if integer and str(pixels.dtype) in allowed else _DEFAULT_DTYPE[name]
        if integer and dtype == "float32" and "uint32" in allowed:
            dtype = "uint32"
    if np.dtype(dtype).name not in allowed:
        raise InputError(f"{name} files hold {', '.join(allowed)}, not {np.dtype(dtype)}")
    dtype = np.dtype(dtype)
    scale = 1.0 if scale is None else _finite("scale", scale)
    offset = 0.0 if offset is None else _finite("offset", offset)
    if dtype.kind == "f":
        data = pixels if scale == 1.0 and offset == 0.0 else pixels.astype(np.float64) * scale + offset
        largest = float(np.abs(data).max())
        if largest > float(np.finfo(dtype).max):
            raise InputError(f"{os.fspath(path)}: the value {largest:.6g} does not fit {dtype}")
        return data.astype(dtype)
    result = to_integers(pixels, dtype, scale=scale, offset=offset, clip=clip, what=os.fspath(path))
    if pixels.dtype.kind == "f" and not result.any() and pixels.any():
        warnings.warn(
            f"{os.fspath(path)}: every pixel rounds to 0 (maximum {float(pixels.max()):.3g}): give scale=",
            NbraggWarning,
            stacklevel=4,
        )
    return result


def _save_smv(
    path: PathLike,
    pixels: NDArray[Any],
    scene: Scene | None,
    scale: float | None,
    offset: float | None,
    clip: bool,
) -> None:
    from . import smv

    if scene is None:
        raise InputError("an SMV header is made from the scene: give scene=")
    if pixels.dtype.kind in "iu":
        data = to_integers(
            pixels, np.uint16, scale=scale or 1.0, offset=offset or 0.0, clip=clip, what=os.fspath(path)
        )
    else:
        adc = 40.0 if offset is None else _finite("offset", offset)
        factor = 0.0 if scale is None else _finite("scale", scale)
        if factor > 0 or float(pixels.min()) < 0:
            # canonical 10.2 clips in silence; here clipping must be asked for
            used = factor if factor > 0 else 55000.0 / max(float(pixels.max()), 1e-300)
            to_integers(pixels, np.uint16, scale=used, offset=adc, clip=clip, what=os.fspath(path))
        data, _ = smv.integer_image(pixels.astype(np.float32), scene.roi, factor, adc)
    smv.write(path, data, smv.header_bytes(scene))


def _save_pgm(path: PathLike, pixels: NDArray[Any], scene: Scene | None, scale: float | None) -> None:
    from . import pgm

    image = pixels.astype(np.float32)
    slow, fast = image.shape
    roi = scene.roi if scene is not None else (0, fast - 1, 0, slow - 1)
    if scale is None or scale <= 0:
        peak = float(image.max())
        inside = image[roi[2] : roi[3] + 1, roi[0] : roi[1] + 1].astype(np.float64)
        count = inside.size
        rmsd = math.sqrt(float(((inside - inside.mean()) ** 2).sum()) / (count - 1)) if count > 1 else 0.0
        scale = pgm.auto_scale(rmsd, 55000.0 / peak if peak > 0 else 1.0)
    pgm.write(path, image, roi, scale)


def _needed(metadata: ImageMetadata | None, what: str) -> ImageMetadata:
    if metadata is None:
        raise InputError(f"a {what} file holds the geometry: give scene= or metadata=")
    return metadata


def _finite(name: str, value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{name} = {value}; a finite number was expected")
    return number


# --- in ---


def read_image(
    path: PathLike,
    *,
    frame: int | None = 0,
    dataset: str | None = None,
    shape: tuple[int, int] | None = None,
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
    shape : (int, int), optional
        (slow, fast) of a raw float image, which has no header.

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
    if shape is not None or (file.suffix.lower() == ".bin" and identify(file) == "unknown"):
        from . import raw

        if shape is None:
            raise InputError(f"{file} has no header: give shape=(slow, fast)")
        _check_size(shape, file)
        return ImageFile(raw.read_float(file, shape), {"format": "raw"})
    kind = identify(file)
    if kind == "hdf5":
        from . import nexus

        pixels, where, metadata = nexus.read(file, dataset=dataset, frame=frame)
        return ImageFile(pixels, {"format": "nexus", "dataset": where, **metadata})
    if kind == "smv":
        return _read_smv(file)
    if kind == "tiff":
        from . import tiff

        pixels, description = tiff.read(file)
        return ImageFile(_one_frame(pixels, frame, file), {"format": "tiff", **_described(description)})
    if kind == "cbf":
        from . import cbf

        pixels, contents = cbf.read(file)
        return ImageFile(pixels, {"format": "cbf", **cbf.header_numbers(contents), "header": contents})
    if kind == "npy":
        return ImageFile(_one_frame(_read_npy(file), frame, file), {"format": "npy"})
    raise FileError(f"{file} is not an image that can be read: SMV, TIFF, CBF, HDF5, .npy and raw .bin are")


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
    is_pixel_mask = False
    if identify(file) == "hdf5":
        from . import nexus

        values, where, _ = nexus.read(file, dataset=dataset, mask=True)
        is_pixel_mask = "pixel_mask" in where
    else:
        values = read_image(file).image
    if is_pixel_mask and values.dtype.kind in "iub":
        used = (values.astype(np.int64) & 0xFFFF) == 0
    else:
        used = values > 0  # False for NaN
    if used.ndim != 2:
        raise InputError(f"mask {file} has the shape {used.shape}; one image (slow, fast) was expected")
    if shape is not None and used.shape != tuple(shape):
        raise InputError(
            f"mask {file} has the shape {used.shape}; the detector's is {tuple(shape)} (slow, fast)"
        )
    return np.asarray(used ^ invert, dtype=np.uint8)


def _read_smv(file: Path) -> ImageFile:
    from . import smv

    content = smv.read(file)
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


def _read_npy(file: Path) -> NDArray[Any]:
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        memory.require(mapped.nbytes, f"array {file}", "read a smaller file")
        array = np.array(mapped)
    except MemoryLimitError:
        raise
    except Exception as error:  # the header is a Python literal: any kind of error
        raise FileError(f"{file} cannot be read as a NumPy array: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or array.size == 0:
        raise FileError(
            f"{file} holds {array.dtype} of shape {array.shape}; an image (slow, fast) of real numbers was "
            "expected"
        )
    return array


def _one_frame(pixels: NDArray[Any], frame: int | None, file: Path) -> NDArray[Any]:
    if pixels.ndim == 2 or frame is None:
        return pixels
    if not -len(pixels) <= frame < len(pixels):
        raise InputError(f"{file} has {len(pixels)} frames; frame {frame} was asked for")
    return np.asarray(pixels[frame])


def _described(text: str) -> dict[str, Any]:
    if '"nanobragg_image"' not in text:
        return {"description": text} if text else {}
    return ImageMetadata.from_json(text[text.index("{") :]).to_dict()


def _check_size(shape: tuple[int, int], file: Path) -> None:
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise InputError(
            f"shape = {shape} for {file}; (slow, fast) of at most {MAX_PIXELS} pixels was expected"
        )

"""NeXus files read: ours, Eiger's and other NXmx, and HDF5 files with an image in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...base import constants, memory
from ...base.errors import FileError, InputError, MissingPackageError, NbraggError
from ...base.optional import require
from ..files.spectra import beam_spectrum
from .metadata import ImageMetadata
from .panel_layout import PanelLayout
from .requests import ImageFile, ReadRequest

__all__ = ["OWN", "RECORD", "Stack", "dataset_path", "load", "load_mask", "read", "shape"]

#: where the recipe and the exact record are kept
RECORD = "entry/nanobragg/metadata"
#: what frames have that the first has not: JSON for each
OWN = "entry/nanobragg/own"

#: datasets that hold the image in files of this and other programs, in the order tried
_USUAL = (
    "entry/data/data",
    "entry/data/data_000001",
    "entry/instrument/detector/data",
    "data/data",
    "data",
    "image",
)
_MASKS = (
    "entry/instrument/detector/pixel_mask",
    "entry/instrument/detector/detectorSpecific/pixel_mask",
    "mask",
)

Stack = NDArray[Any]
_Found = TypeVar("_Found")


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    pixels, where, metadata = read(file, dataset=request.dataset, frame=request.frame)
    if metadata.get("panels"):
        known = ImageMetadata.from_dict(metadata)
        layout = PanelLayout.of(known)
        if pixels.shape[-2:] == layout.shape:
            pixels = layout.gather(pixels, known.image_shape)
    return ImageFile(pixels, {"format": "nexus", "file": str(file), "dataset": where, **metadata})


def load_mask(file: Path, request: ReadRequest) -> NDArray[np.bool_]:
    """True where a pixel counts; in a ``pixel_mask`` where none of the low 16 bits is set (NXmx)."""
    values, where, _ = read(file, dataset=request.dataset, mask=True)
    if "pixel_mask" in where and values.dtype.kind in "iub":
        return np.asarray((values.astype(np.int64) & 0xFFFF) == 0)
    return np.asarray(values > 0)  # False for NaN


def read(
    path: Path, *, dataset: str | None = None, frame: int | None = 0, mask: bool = False
) -> tuple[Stack, str, dict[str, Any]]:
    """Read pixels of an HDF5 file.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Where they are; None: the usual places, else the only two- or three-dimensional dataset.
    frame : int or None
        Frame of a stack, negative from the end; None: all of them.
    mask : bool
        Look in the usual places of masks first.

    Returns
    -------
    pixels : ndarray (slow, fast) or (n, slow, fast)
    where : str
        The dataset read.
    metadata : dict
        This package's record, or what a foreign NXmx file says of wavelength, distance, pixel and beam
        centre.
    """

    def found(file: Any, h5py: Any) -> tuple[Stack, str, dict[str, Any]]:
        where = dataset_path(file, h5py, path, dataset, mask)
        pixels = _take_frame(file[where], path, where, frame)
        return pixels, where, _metadata(file, frame)

    return _opened(path, found)


def shape(file: Path, request: ReadRequest) -> tuple[int, ...]:
    """Of all pixels, for `nbragg.io.images.stored_shape`."""

    def found(opened: Any, h5py: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
        where = dataset_path(opened, h5py, file, request.dataset, False)
        return tuple(opened[where].shape), _metadata(opened, None)

    stored, metadata = _opened(file, found)
    if metadata.get("panels"):
        known = ImageMetadata.from_dict(metadata)
        if stored[-2:] == PanelLayout.of(known).shape:
            return (*stored[:-2], *known.image_shape)
    return stored


def _opened(path: Path, use: Callable[[Any, Any], _Found]) -> _Found:
    """What a function finds in an open file, whose damages are told in one way."""
    h5py = require("h5py", extra="io", purpose="reading HDF5 files")
    with suppress(MissingPackageError):
        require("hdf5plugin", extra="io")  # registers the filters of compressed data
    try:
        with h5py.File(path, "r") as file:
            return use(file, h5py)
    except NbraggError:
        raise
    except Exception as error:  # h5py raises many kinds on damaged files
        raise FileError(
            f"{path} cannot be read as an HDF5 file: {' '.join(str(error).split())[:300]}"
        ) from None


def dataset_path(file: Any, h5py: Any, path: Path, dataset: str | None, mask: bool) -> str:
    """Name of the dataset to read; an error lists what there is."""
    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (2, 3) and item.dtype.kind in "biuf" and item.size:
            found.append(name)

    file.visititems(visit)
    if dataset is not None:
        name = dataset.strip("/")
        item = file.get(name)
        if not isinstance(item, h5py.Dataset) or item.ndim not in (2, 3) or item.dtype.kind not in "biuf":
            raise InputError(f"{path} has no image {dataset!r}; it has {', '.join(found) or 'none'}")
        return name
    for name in (*_MASKS, *_USUAL) if mask else _USUAL:
        item = file.get(name)
        if isinstance(item, h5py.Dataset) and item.ndim in (2, 3) and item.dtype.kind in "biuf":
            return name
    large = [name for name in found if min(file[name].shape[-2:]) > 4]
    if len(large) == 1:
        return large[0]
    if not large:
        raise FileError(f"{path} holds no two- or three-dimensional dataset")
    raise InputError(f"{path} holds several images: choose with dataset=, one of {', '.join(large)}")


def _take_frame(item: Any, path: Path, where: str, frame: int | None) -> NDArray[Any]:
    nbytes = int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize
    if item.ndim == 2 or frame is None:
        memory.require(nbytes, f"dataset {where} of {path}", "read one frame, or a smaller file")
        return np.asarray(item[()])
    count = item.shape[0]
    if not -count <= frame < count:
        raise InputError(f"{path} has {count} frames; frame {frame} was asked for")
    memory.require(nbytes // count, f"one frame of {where} of {path}", "read a smaller file")
    return np.asarray(item[frame])


def _metadata(file: Any, frame: int | None) -> dict[str, Any]:
    """What the file says of a frame, or of the first where all are read."""
    if RECORD in file:
        values = json.loads(file[RECORD][()].decode())
        if OWN in file and frame is not None:
            values |= json.loads(file[OWN][frame].decode())
        return ImageMetadata.from_dict(values).to_dict()
    found: dict[str, Any] = {}
    beams = ("entry/instrument/beam/incident_wavelength", "entry/sample/beam/incident_wavelength")
    wavelength = next((v for v in (_scalar(file, name, {}) for name in beams) if v is not None), None)
    for name in beams if wavelength is None else ():
        spectrum = beam_spectrum(file[name].parent, frame or 0) if name in file else None
        if spectrum is not None:
            energies, weights = spectrum
            wavelength = constants.HC_EV_A * float(weights.sum() / (weights @ energies))
    if wavelength is not None:
        found["wavelength_A"] = wavelength
    lengths = {"m": 1e3, "mm": 1.0, "um": 1e-3}
    detector = "entry/instrument/detector/"
    for key, name in (("pixel_mm", "x_pixel_size"), ("distance_mm", "distance")):
        value = _scalar(file, detector + name, lengths)
        if value is None and key == "distance_mm":
            value = _scalar(file, detector + "detector_distance", lengths)
        if value is not None:
            found[key] = value
    slow_edge = _scalar(file, detector + "y_pixel_size", lengths)
    if "pixel_mm" in found and slow_edge is not None and slow_edge != found["pixel_mm"]:
        found["pixel_mm"] = (found["pixel_mm"], slow_edge)
    centre = [_scalar(file, detector + f"beam_center_{axis}", {}) for axis in "xy"]
    if None not in centre:
        found["beam_center_px"] = tuple(centre)
    return found


def _scalar(file: Any, name: str, factors: dict[str, float]) -> float | None:
    item = file.get(name)
    if item is None or not hasattr(item, "dtype") or item.dtype.kind not in "iuf" or item.size != 1:
        return None
    units = item.attrs.get("units", b"")
    units = units.decode() if isinstance(units, bytes) else str(units)
    return float(np.asarray(item[()]).reshape(-1)[0]) * factors.get(units, 1e3 if factors else 1.0)

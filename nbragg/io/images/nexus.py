"""NeXus NXmx files through h5py: one or many frames with goniometer, detector position and beam.

Vectors are in the McStas frame (:func:`nbragg.io.images.metadata.mcstas_frame`).  Chains of transformations:

    module/fast_pixel_direction, slow_pixel_direction -> module_offset -> detector translation -> two_theta
    -> . sample -> omega -> .

so that a pixel corner is two_theta (translation + module_offset + i fast + j slow).
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import memory
from ...base.errors import FileError, InputError, MissingPackageError, NbraggError, NbraggWarning
from ...base.optional import require
from ...base.vectors import axis_rotation
from ..files.atomic import PathLike, replacing
from .metadata import ImageMetadata, mcstas_frame
from .requests import ImageFile, ReadRequest, WriteRequest

__all__ = ["COMPRESSIONS", "Stack", "dataset_path", "load", "load_mask", "read", "save", "write"]

COMPRESSIONS = ("auto", "bitshuffle", "lz4", "gzip", "none")

#: where the recipe and the exact record are kept
_RECORD = "entry/nanobragg/metadata"


def write(
    path: PathLike,
    frames: NDArray[Any] | Iterable[NDArray[Any]],
    metadata: ImageMetadata,
    *,
    angles_deg: Sequence[float] | None = None,
    compression: str = "auto",
    overwrite: bool = True,
    start_time: datetime.datetime | None = None,
) -> int:
    """Write an NXmx file.

    Parameters
    ----------
    path : path-like
        The file; one that exists is replaced when the new one is complete.
    frames : ndarray (slow, fast) or (n, slow, fast), or an iterable of (slow, fast) arrays
        Pixels, float32 or any integer type; an iterable is written frame by frame.
    metadata : ImageMetadata
        Geometry and beam; `phi_deg` and `osc_deg` are those of the first frame.
    angles_deg : sequence of float, optional
        Start angle of each frame; None: phi_deg + i osc_deg.
    compression : str
        "bitshuffle" (with LZ4) or "lz4" (both through hdf5plugin), "gzip", "none"; "auto": bitshuffle where
        hdf5plugin is installed, else gzip.
    overwrite : bool
        False refuses a file that exists.
    start_time : datetime, optional
        Recorded as the start of the measurement; None: now.

    Returns
    -------
    int
        Frames written.

    Raises
    ------
    FileError
        The file cannot be written, or exists and is not to be replaced.
    InputError
        Frames of another shape than the metadata's, or none; another number of angles than of frames.
    """
    h5py = require("h5py", extra="io", purpose="writing NeXus files")
    filters = _filters(compression)
    name = os.fspath(path)
    with replacing(path, overwrite=overwrite) as temporary:
        if metadata.curved:
            warnings.warn(
                f"{name}: NXmx describes flat modules; the curved detector is written as its tangent plane",
                NbraggWarning,
                stacklevel=2,
            )
        try:
            with h5py.File(temporary, "w") as file:
                return _fill(h5py, file, frames, metadata, angles_deg, filters, start_time)
        except (InputError, FileError):
            raise
        except (OSError, RuntimeError) as error:
            raise FileError(f"cannot write {name}: {error}") from error


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    write(request.path, request.pixels, request.known, overwrite=request.overwrite, **request.options)


def _filters(compression: str) -> dict[str, Any]:
    if compression not in COMPRESSIONS:
        raise InputError(f"compression = {compression!r}; one of {', '.join(COMPRESSIONS)} was expected")
    if compression == "none":
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    try:
        plugin = require("hdf5plugin", extra="io", purpose=f"{compression} compression")
    except MissingPackageError:
        if compression == "auto":
            return _filters("gzip")
        raise
    return dict(plugin.LZ4()) if compression == "lz4" else dict(plugin.Bitshuffle(cname="lz4"))


# --- writing ---


def _fill(
    h5py: Any,
    file: Any,
    frames: NDArray[Any] | Iterable[NDArray[Any]],
    m: ImageMetadata,
    angles: Sequence[float] | None,
    filters: dict[str, Any],
    start_time: datetime.datetime | None,
) -> int:
    file.attrs["default"] = "entry"
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "data"
    _text(entry, "definition", "NXmx").attrs["version"] = "1.0"
    moment = start_time or datetime.datetime.now(datetime.timezone.utc)
    stamp = moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    _text(entry, "start_time", stamp)
    _text(entry, "end_time_estimated", stamp)
    _text(entry, "program_name", "nanobragg")

    data = _group(entry, "data", "NXdata")
    data.attrs["signal"] = "data"
    count, dtype = _pixels(data, frames, m, filters)
    if (m.scale, m.offset) != (1.0, 0.0):  # photons are (data + data_offset) data_scaling_factor
        data.create_dataset("data_offset", data=-m.offset)
        data.create_dataset("data_scaling_factor", data=1.0 / m.scale)
    starts = _starts(m, angles, count)

    source = _group(entry, "source", "NXsource")
    _text(source, "name", "nanobragg simulation")
    _text(source, "probe", "x-ray")

    frame = mcstas_frame(m)
    instrument = _group(entry, "instrument", "NXinstrument")
    _text(instrument, "name", "nanobragg simulation")
    _beam(instrument, m, frame)
    _detector(instrument, m, frame, dtype)
    _sample(entry, m, frame, starts)
    entry["sample/beam"] = h5py.SoftLink("/entry/instrument/beam")
    data["omega"] = h5py.SoftLink("/entry/sample/transformations/omega")
    data.attrs["axes"] = ["omega", ".", "."]
    data.attrs["omega_indices"] = 0

    note = _group(entry, "nanobragg", "NXcollection")
    _text(note, "metadata", m.to_json())
    note.create_dataset("mcstas_from_laboratory", data=frame)
    return count


def _pixels(
    data: Any, frames: NDArray[Any] | Iterable[NDArray[Any]], m: ImageMetadata, filters: dict[str, Any]
) -> tuple[int, np.dtype[Any]]:
    stack: Iterable[Any] = frames
    if isinstance(frames, np.ndarray):
        stack = frames[np.newaxis] if frames.ndim == 2 else frames
    shape = (m.spixels, m.fpixels)
    dataset: Any = None
    count = 0
    for frame in stack:
        image = np.asarray(frame)
        if image.shape != shape:
            raise InputError(f"frame {count} has the shape {image.shape}; {shape} (slow, fast) was expected")
        if image.dtype.kind not in "iuf":
            raise InputError(f"frame {count} has the dtype {image.dtype}; a real type was expected")
        if dataset is None:
            dtype = np.dtype(np.float32) if image.dtype.kind == "f" else image.dtype
            dataset = data.create_dataset(
                "data", shape=(0, *shape), maxshape=(None, *shape), chunks=(1, *shape), dtype=dtype, **filters
            )
        elif image.dtype.kind != dataset.dtype.kind or image.dtype.itemsize > max(dataset.dtype.itemsize, 8):
            raise InputError(f"frame {count} has the dtype {image.dtype}, the first one {dataset.dtype}")
        dataset.resize(count + 1, axis=0)
        dataset[count] = image
        count += 1
    if dataset is None:
        raise InputError("no frame was given; at least one was expected")
    return count, dataset.dtype


def _starts(m: ImageMetadata, angles: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    if angles is None:
        return np.asarray(m.phi_deg + m.osc_deg * np.arange(count), dtype=np.float64)
    starts = np.asarray(angles, dtype=np.float64)
    if starts.shape != (count,) or not np.isfinite(starts).all():
        raise InputError(
            f"angles_deg has the shape {starts.shape}; one finite angle for each of {count} frames was "
            "expected"
        )
    return starts


def _beam(instrument: Any, m: ImageMetadata, frame: NDArray[np.float64]) -> None:
    beam = _group(instrument, "beam", "NXbeam")
    _number(beam, "incident_wavelength", m.wavelength_A, "angstrom")
    if m.flux > 0:
        _number(beam, "total_flux", m.flux, "Hz")
    if m.beamsize_mm > 0:
        beam.create_dataset("incident_beam_size", data=np.array([m.beamsize_mm] * 2)).attrs["units"] = "mm"
        _text(beam, "profile", "rectangular")
    # electric field at the angle chi from x towards y: Q = K cos 2 chi, U = K sin 2 chi
    x, y, _ = frame @ np.asarray(m.polar)
    chi = np.arctan2(y, x)
    k = m.polarization
    beam.create_dataset(
        "incident_polarisation_stokes", data=np.array([1.0, k * np.cos(2 * chi), k * np.sin(2 * chi), 0.0])
    )
    beam.create_dataset("fluence", data=m.fluence).attrs["units"] = "1/m^2"


def _detector(instrument: Any, m: ImageMetadata, frame: NDArray[np.float64], dtype: np.dtype[Any]) -> None:
    det = _group(instrument, "detector", "NXdetector")
    _text(det, "description", "simulated pixel detector")
    _text(det, "type", "Pixel")
    for name, edge in zip(("x_pixel_size", "y_pixel_size"), m.pixel_mm, strict=True):
        _number(det, name, edge * 1e-3, "m")
    _number(det, "beam_center_x", m.beam_center_px[0], "pixel")
    _number(det, "beam_center_y", m.beam_center_px[1], "pixel")
    _number(det, "distance", m.distance_mm * 1e-3, "m")
    _number(det, "count_time", m.exposure_s, "s")
    _number(det, "frame_time", m.exposure_s, "s")
    _text(det, "sensor_material", "Si")
    _number(det, "sensor_thickness", m.sensor_um * 1e-6, "m")
    if dtype.kind in "iu":
        det.create_dataset("saturation_value", data=int(np.iinfo(dtype).max))
        det.create_dataset("bit_depth_readout", data=8 * dtype.itemsize)

    axis = frame @ np.asarray(m.twotheta_axis)
    axis /= np.linalg.norm(axis)
    back = (
        axis_rotation(axis, -np.radians(m.twotheta_deg)) @ frame
    )  # laboratory to the detector arm at two-theta 0
    place = "/entry/instrument/detector/transformations/"
    arm = _group(det, "transformations", "NXtransformations")
    _axis(arm, "two_theta", m.twotheta_deg, "deg", "rotation", axis, ".", "detector_arm")
    _axis(
        arm,
        "translation",
        m.distance_mm,
        "mm",
        "translation",
        (0.0, 0.0, 1.0),
        place + "two_theta",
        "detector_arm",
    )
    _text(det, "depends_on", place + "translation")

    module = _group(det, "module", "NXdetector_module")
    module.create_dataset("data_origin", data=np.array([0, 0], dtype=np.int64))
    module.create_dataset("data_size", data=np.array([m.spixels, m.fpixels], dtype=np.int64))
    module.create_dataset("data_stride", data=np.array([1, 1], dtype=np.int64))
    offset = back @ np.asarray(m.pix0_mm) - np.array([0.0, 0.0, m.distance_mm])
    length = float(np.linalg.norm(offset))
    direction = offset / length if length else np.array([1.0, 0.0, 0.0])
    _axis(
        module,
        "module_offset",
        length,
        "mm",
        "translation",
        direction,
        place + "translation",
        "detector_module",
    )
    root = "/entry/instrument/detector/module/module_offset"
    names = ("fast_pixel_direction", "slow_pixel_direction")
    for name, vector, edge in zip(names, (m.fast, m.slow), m.pixel_mm, strict=True):
        _axis(module, name, edge, "mm", "translation", back @ np.asarray(vector), root, "detector_module")


def _sample(entry: Any, m: ImageMetadata, frame: NDArray[np.float64], starts: NDArray[np.float64]) -> None:
    sample = _group(entry, "sample", "NXsample")
    _text(sample, "name", "simulated crystal")
    axes = _group(sample, "transformations", "NXtransformations")
    spindle = frame @ np.asarray(m.spindle)
    _axis(axes, "omega", starts, "deg", "rotation", spindle / np.linalg.norm(spindle), ".", "goniometer")
    axes.create_dataset("omega_end", data=starts + m.osc_deg).attrs["units"] = "deg"
    axes.create_dataset("omega_increment_set", data=np.full(len(starts), m.osc_deg)).attrs["units"] = "deg"
    _text(sample, "depends_on", "/entry/sample/transformations/omega")


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _text(parent: Any, name: str, value: str) -> Any:
    return parent.create_dataset(name, data=value)


def _number(parent: Any, name: str, value: float, units: str) -> None:
    parent.create_dataset(name, data=float(value)).attrs["units"] = units


def _axis(
    parent: Any, name: str, value: Any, units: str, kind: str, vector: Any, depends_on: str, component: str
) -> None:
    dataset = parent.create_dataset(name, data=np.asarray(value, dtype=np.float64))
    dataset.attrs["units"] = units
    dataset.attrs["transformation_type"] = kind
    dataset.attrs["vector"] = np.asarray(vector, dtype=np.float64)
    dataset.attrs["offset"] = np.zeros(3)
    dataset.attrs["offset_units"] = "mm"
    dataset.attrs["depends_on"] = depends_on
    dataset.attrs["equipment_component"] = component


# --- reading ---

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


def load(file: Path, request: ReadRequest) -> ImageFile:
    """Read an image for `nbragg.io.read_image`."""
    pixels, where, metadata = read(file, dataset=request.dataset, frame=request.frame)
    return ImageFile(pixels, {"format": "nexus", "dataset": where, **metadata})


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
    h5py = require("h5py", extra="io", purpose="reading HDF5 files")
    with suppress(MissingPackageError):
        require("hdf5plugin", extra="io")  # registers the filters of compressed data
    try:
        with h5py.File(path, "r") as file:
            where = dataset_path(file, h5py, path, dataset, mask)
            pixels = _take_frame(file[where], path, where, frame)
            return pixels, where, _metadata(file)
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


def _metadata(file: Any) -> dict[str, Any]:
    if _RECORD in file:
        return ImageMetadata.from_json(file[_RECORD][()].decode()).to_dict()
    found: dict[str, Any] = {}
    beams = ("entry/instrument/beam/incident_wavelength", "entry/sample/beam/incident_wavelength")
    wavelength = next((v for v in (_scalar(file, name, {}) for name in beams) if v is not None), None)
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

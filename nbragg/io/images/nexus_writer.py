"""NeXus NXmx files through h5py: one or many frames, one or many panels, with goniometer, sensor and beam.

Vectors are in the McStas frame (:func:`nbragg.io.images.metadata.mcstas_frame`).  Chains of transformations:

    module/fast_pixel_direction, slow_pixel_direction -> module_offset -> detector translation -> two_theta
    -> .
    sample -> omega -> .

so that a pixel corner is two_theta (translation + module_offset + i fast + j slow).  Each panel is a module;
the panels' arrays stand below one another in the data, and ``data_origin`` says where.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError
from ...base.optional import require
from ...base.vectors import axis_rotation
from ...base.warn import warn
from ..files.atomic import PathLike, replacing
from ..files.hdf5 import NewFile, told
from .metadata import ImageMetadata, PanelMetadata, mcstas_frame
from .nexus import OWN, RECORD
from .panel_layout import PanelLayout
from .pixels import checked
from .requests import COMPRESSIONS, WriteRequest
from .sensor import material_for_readers, sensor_for_readers, warn_of_attenuation

__all__ = ["COMPRESSIONS", "FrameStack", "filters", "open_stack", "save", "write"]

Mask = NDArray[np.bool_]
Vector = NDArray[np.float64]

#: field of an NXbeam that holds the spectrum
VARIANT = "incident_wavelength_1Dspectrum"

#: what all frames of one file share
_SHARED = (
    "fpixels",
    "spixels",
    "pixel_mm",
    "fast",
    "slow",
    "pix0_mm",
    "beam",
    "spindle",
    "osc_deg",
    "exposure_s",
    "beamsize_mm",
    "sensor_um",
    "attenuation_um",
    "panels",
    "scale",
    "offset",
)


def write(
    path: PathLike,
    frames: NDArray[Any] | Iterable[NDArray[Any]],
    metadata: ImageMetadata,
    *,
    angles_deg: Sequence[float] | None = None,
    compression: str = "gzip",
    overwrite: bool = True,
    start_time: datetime.datetime | None = None,
    mask: Mask | None = None,
) -> int:
    """Write an NXmx file.

    Parameters
    ----------
    path : path-like
        The file; one that exists is replaced when the new one is complete.
    frames : ndarray (slow, fast) or (n, slow, fast), or an iterable of (slow, fast) arrays
        Pixels, float32 or any integer type; an iterable is written frame by frame.  Of a detector of several
        panels, one image as `ImageMetadata.image_shape`, or an iterable of them.
    metadata : ImageMetadata
        Geometry and beam; `phi_deg` and `osc_deg` are those of the first frame.
    angles_deg : sequence of float, optional
        Start angle of each frame; None: phi_deg + i osc_deg.
    compression : str
        "gzip", which everything reads that reads HDF5; "bitshuffle" (with LZ4) or "lz4", which are faster and
        need hdf5plugin, here and where the file is read; "none".
    overwrite : bool
        False refuses a file that exists.
    start_time : datetime, optional
        Recorded as the start of the measurement; None: now.
    mask : ndarray of bool, shape of an image, optional
        True where a pixel counts.

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
    stack: Iterable[Any] = frames
    if isinstance(frames, np.ndarray):
        single = frames.shape == metadata.image_shape or frames.ndim == 2
        stack = frames[np.newaxis] if single else frames
    options: dict[str, Any] = {"compression": compression, "overwrite": overwrite, "mask": mask}
    with open_stack(path, metadata, start_time=start_time, **options) as file:
        for frame in stack:
            file.add(frame)
        if angles_deg is not None:
            file.set_starts(angles_deg)
    return file.count


@contextlib.contextmanager
def open_stack(
    path: PathLike,
    metadata: ImageMetadata,
    *,
    compression: str = "gzip",
    overwrite: bool = True,
    start_time: datetime.datetime | None = None,
    mask: Mask | None = None,
) -> Iterator[FrameStack]:
    """Open an NXmx file to which frames are added one by one; parameters and errors as `write`.

    It appears under its name when the block ends; after an exception there is none.
    """
    used = filters(compression)
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(replacing(path, overwrite=overwrite, only_writes=False))
        new = stack.enter_context(NewFile(temporary, path))
        frames = FrameStack(new, metadata, used, start_time, mask, path)
        yield frames
        frames.finish()


def save(request: WriteRequest) -> None:
    """Write an image as `nbragg.io.save_image` hands it over."""
    mask = None if request.scene is None else request.scene.mask_image
    write(
        request.path, request.pixels, request.known, overwrite=request.overwrite, mask=mask, **request.options
    )


def filters(compression: str) -> dict[str, Any]:
    """How h5py is told of a compression, one of `COMPRESSIONS`."""
    if compression not in COMPRESSIONS:
        raise InputError(f"compression = {compression!r}; one of {', '.join(COMPRESSIONS)} was expected")
    if compression == "none":
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    plugin = require("hdf5plugin", extra="io", purpose=f"{compression} compression")
    return dict(plugin.LZ4()) if compression == "lz4" else dict(plugin.Bitshuffle(cname="lz4"))


def _shared(metadata: ImageMetadata, name: str) -> Any:
    """A field that all frames have alike; the depth of a material's sensor follows the wavelength of each."""
    value = getattr(metadata, name)
    if not metadata.material:
        return value
    if name == "panels":
        return tuple(dataclasses.replace(panel, attenuation_um=0.0) for panel in value)
    return None if name == "attenuation_um" else value


class FrameStack:
    """An NXmx file that is being written.

    Parameters
    ----------
    new : NewFile
        Empty; whoever made it closes it.
    metadata, start_time, mask
        As of `write`.
    filters : mapping
        As the function `filters` gives it.
    path : path-like
        For messages.

    Attributes
    ----------
    count : int
        Frames so far.
    """

    def __init__(
        self,
        new: NewFile,
        metadata: ImageMetadata,
        filters: Mapping[str, Any],
        start_time: datetime.datetime | None = None,
        mask: Mask | None = None,
        path: PathLike = "",
    ) -> None:
        warn_of_attenuation(metadata)
        if metadata.curved:
            warn("NXmx describes flat modules: the curved detector is written as its tangent plane")
        self.count = 0
        self._path, self._new, file = path, new, new.file
        self._file, self._metadata, self._filters = file, metadata, filters
        self._layout = PanelLayout.of(metadata)
        self._dataset: Any = None
        self._own: list[ImageMetadata] = []
        self._entry = _entry(file, start_time)
        self._data = _group(self._entry, "data", "NXdata")
        self._data.attrs["signal"] = "data"
        self._mask = None if mask is None else self._layout.spread(mask, fill=False)

    def add(self, frame: NDArray[Any], own: ImageMetadata | None = None) -> None:
        """Add a frame.

        ``own`` are its metadata, where they are not those of the first frame turned on: what differs from the
        first is kept for each.

        Raises
        ------
        InputError
            Another shape or a wider type than the first frame's, values that are not finite, or another
            detector, exposure or beam size: one file has one of each.
        FileError
        """
        image = checked(frame)
        self._check_same(own)
        shape = self._metadata.image_shape
        if image.shape != shape:
            axes = "(slow, fast)" if len(shape) == 2 else "(all panels)"
            raise InputError(f"frame {self.count} has the shape {image.shape}; {shape} {axes} was expected")
        if image.dtype.kind not in "iuf":
            raise InputError(f"frame {self.count} has the dtype {image.dtype}; a real type was expected")
        if self._dataset is None:
            dtype = np.dtype(np.float32) if image.dtype.kind == "f" else image.dtype
            size = self._layout.shape
            self._dataset = self._data.create_dataset(
                "data",
                shape=(0, *size),
                maxshape=(None, *size),
                chunks=(1, *size),
                dtype=dtype,
                **self._filters,
            )
        known = self._dataset.dtype
        if image.dtype.kind != known.kind or (known.kind != "f" and not np.can_cast(image.dtype, known)):
            raise InputError(f"frame {self.count} has the dtype {image.dtype}, the first one {known}")
        with told(self._path):
            self._dataset.resize(self.count + 1, axis=0)
            self._dataset[self.count] = self._layout.spread(image)
        self._new.check()
        if own is None:
            m = self._metadata
            own = dataclasses.replace(m, phi_deg=m.phi_deg + m.osc_deg * self.count)
        self._own.append(own)
        self.count += 1

    def differing(self, own: ImageMetadata) -> list[str]:
        """What an image has otherwise than the first, of that which a file has once: names of fields."""
        first = self._metadata
        return [
            name
            for name in _SHARED
            if getattr(own, name) != getattr(first, name) and _shared(own, name) != _shared(first, name)
        ]

    def _check_same(self, own: ImageMetadata | None) -> None:
        changed = self.differing(own) if own else []
        if changed:
            raise InputError(
                f"{os.fspath(self._path)}: the images differ in {', '.join(changed)}, which one file has "
                "once: write a file for each, name_####.nxs"
            )

    def set_starts(self, angles_deg: Sequence[float]) -> None:
        """Start angle of each frame, degrees.

        Raises
        ------
        InputError
            Another number of angles than of frames.
        """
        starts = np.asarray(angles_deg, dtype=np.float64)
        if starts.shape != (self.count,) or not np.isfinite(starts).all():
            raise InputError(
                f"angles_deg has the shape {starts.shape}; one finite angle for each of {self.count} frames "
                "was expected"
            )
        pairs = zip(self._own, starts.tolist(), strict=True)
        self._own = [dataclasses.replace(own, phi_deg=start) for own, start in pairs]

    def finish(self) -> None:
        """Write what is known only now, and everything that is no pixel."""
        if self._dataset is None:
            raise InputError("no frame was given; at least one was expected")
        m, entry, data = self._metadata, self._entry, self._data
        if (m.scale, m.offset) != (1.0, 0.0):  # photons are (data + data_offset) data_scaling_factor
            data.create_dataset("data_offset", data=-m.offset)
            data.create_dataset("data_scaling_factor", data=1.0 / m.scale)
        source = _group(entry, "source", "NXsource")
        _text(source, "name", "nanobragg simulation")
        _text(source, "probe", "x-ray")

        frame = mcstas_frame(m)
        instrument = _group(entry, "instrument", "NXinstrument")
        _text(instrument, "name", "nanobragg simulation")
        _beam(instrument, m, frame, self._own)
        detector = _detector(instrument, m, frame, self._dataset.dtype)
        _modules(detector, m, frame, self._layout)
        # what is beside a narrow panel belongs to no module, and needs no mask
        if self._mask is not None:
            detector.create_dataset("pixel_mask", data=(~self._mask).astype(np.uint32), compression="gzip")
        _sample(entry, m, frame, np.array([own.phi_deg for own in self._own]))
        h5py = require("h5py", extra="io", purpose="writing NeXus files")
        soft = h5py.SoftLink
        entry["sample/beam"] = soft("/entry/instrument/beam")
        data["omega"] = soft("/entry/sample/transformations/omega")
        data.attrs["axes"] = ["omega", ".", "."]
        data.attrs["omega_indices"] = 0

        note = _group(entry, "nanobragg", "NXcollection")
        _text(self._file, RECORD, m.to_json())
        own = [one.beside(m) for one in self._own]
        if any(own):
            texts = [json.dumps(fields, allow_nan=False) for fields in own]
            self._file.create_dataset(OWN, data=texts, dtype=h5py.string_dtype())
        note.create_dataset("mcstas_from_laboratory", data=frame)


def _entry(file: Any, start_time: datetime.datetime | None) -> Any:
    file.attrs["default"] = "entry"
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "data"
    _text(entry, "definition", "NXmx").attrs["version"] = "1.0"
    moment = start_time or datetime.datetime.now(datetime.timezone.utc)
    stamp = moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    _text(entry, "start_time", stamp)
    _text(entry, "end_time_estimated", stamp)
    _text(entry, "program_name", "nanobragg")
    return entry


def _beam(
    instrument: Any, m: ImageMetadata, frame: NDArray[np.float64], own: Sequence[ImageMetadata]
) -> None:
    """The beam; what differs from frame to frame as one value for each."""

    def put(name: str, values: Sequence[Any], units: str = "") -> None:
        alike = all(np.array_equal(v, values[0]) for v in values)
        array = np.asarray(values[0] if alike else values, dtype=np.float64)
        dataset = beam.create_dataset(name, data=array)
        if units:
            dataset.attrs["units"] = units

    beam = _group(instrument, "beam", "NXbeam")
    put("incident_wavelength", [one.wavelength_A for one in own], "angstrom")
    if any(one.spectrum is not None for one in own):
        # a variant of the one wavelength that programs index by; some look for its weights as _weight
        beam["incident_wavelength"].attrs["variant"] = VARIANT
        wavelengths, weights = _spectra(own)
        put(VARIANT, wavelengths, "angstrom")
        for ending in ("_weights", "_weight"):
            put(VARIANT + ending, weights)
    if any(one.flux > 0 for one in own):
        put("total_flux", [one.flux for one in own], "Hz")
    if m.beamsize_mm > 0:
        beam.create_dataset("incident_beam_size", data=np.array([m.beamsize_mm] * 2)).attrs["units"] = "mm"
        _text(beam, "profile", "rectangular")
    stokes = [_stokes(one, frame) for one in own]
    for name in ("incident_polarisation_stokes", "incident_polarization_stokes"):  # both spellings are in use
        put(name, stokes)
    put("fluence", [one.fluence for one in own], "1/m^2")


def _spectra(own: Sequence[ImageMetadata]) -> tuple[list[Vector], list[Vector]]:
    """Wavelengths (A) and weights of each frame, as many of each: the last stands again, with weight 0."""
    rows = []
    for one in own:
        if one.spectrum is None:
            rows.append((np.array([one.wavelength_A]), np.ones(1)))
        else:
            rows.append((one.spectrum.wavelengths_A, one.spectrum.shares))
    most = max(len(weights) for _, weights in rows)
    lengths = [np.pad(x, (0, most - len(x)), mode="edge") for x, _ in rows]
    return lengths, [np.pad(weights, (0, most - len(weights))) for _, weights in rows]


def _stokes(m: ImageMetadata, frame: NDArray[np.float64]) -> tuple[float, ...]:
    """Of an electric field at the angle chi from x towards y: Q = K cos 2 chi, U = K sin 2 chi."""
    x, y, _ = frame @ np.asarray(m.polar)
    chi = math.atan2(y, x)
    return 1.0, m.polarization * math.cos(2 * chi), m.polarization * math.sin(2 * chi), 0.0


def _detector(instrument: Any, m: ImageMetadata, frame: NDArray[np.float64], dtype: np.dtype[Any]) -> Any:
    det = _group(instrument, "detector", "NXdetector")
    _text(det, "description", m.model or "simulated pixel detector")
    _text(det, "type", "Pixel")
    for name, edge in zip(("x_pixel_size", "y_pixel_size"), m.pixel_mm, strict=True):
        _number(det, name, edge * 1e-3, "m")
    _number(det, "beam_center_x", m.beam_center_px[0], "pixel")
    _number(det, "beam_center_y", m.beam_center_px[1], "pixel")
    _number(det, "distance", m.distance_mm * 1e-3, "m")
    _number(det, "count_time", m.exposure_s, "s")
    _number(det, "frame_time", m.exposure_s, "s")
    _text(det, "sensor_material", material_for_readers(m))
    _number(det, "sensor_thickness", sensor_for_readers(m.sensor_um) * 1e-6, "m")
    if dtype.kind in "iu":
        most = np.iinfo(dtype).max if m.saturation is None else m.saturation
        det.create_dataset("saturation_value", data=int(most))
        det.create_dataset("bit_depth_readout", data=8 * dtype.itemsize)

    axis = _twotheta_axis(m, frame)
    place = "/entry/instrument/detector/transformations/"
    arm = _group(det, "transformations", "NXtransformations")
    _axis(arm, "two_theta", m.twotheta_deg, "deg", "rotation", axis, ".", "detector_arm")
    along = (0.0, 0.0, 1.0)
    below = place + "two_theta"
    _axis(arm, "translation", m.distance_mm, "mm", "translation", along, below, "detector_arm")
    _text(det, "depends_on", place + "translation")
    return det


def _twotheta_axis(m: ImageMetadata, frame: NDArray[np.float64]) -> NDArray[np.float64]:
    axis = frame @ np.asarray(m.twotheta_axis)
    return np.asarray(axis / np.linalg.norm(axis))


def _modules(det: Any, m: ImageMetadata, frame: NDArray[np.float64], layout: PanelLayout) -> None:
    """The panels as they stand when the arm is at two-theta 0."""
    back = axis_rotation(_twotheta_axis(m, frame), -np.radians(m.twotheta_deg)) @ frame
    arm = np.array([0.0, 0.0, m.distance_mm])
    below = "/entry/instrument/detector/transformations/translation"
    digits = len(str(len(layout.panels) - 1))
    for number, (panel, first) in enumerate(zip(layout.panels, layout.origins, strict=True)):
        # readers take modules in the order of their names
        name = f"module_{number:0{digits}d}" if m.panels else "module"
        module = _group(det, name, "NXdetector_module")
        module.create_dataset("data_origin", data=np.array(first, dtype=np.int64))
        size = [panel.spixels, panel.fpixels]
        module.create_dataset("data_size", data=np.array(size, dtype=np.int64))
        module.create_dataset("data_stride", data=np.array([1, 1], dtype=np.int64))
        _place(module, f"/entry/instrument/detector/{name}/module_offset", panel, back, arm, below)


def _place(
    module: Any,
    path: str,
    panel: PanelMetadata,
    back: NDArray[np.float64],
    arm: NDArray[np.float64],
    below: str,
) -> None:
    offset = back @ np.asarray(panel.origin_mm) - arm
    length = float(np.linalg.norm(offset))
    direction = offset / length if length else np.array([1.0, 0.0, 0.0])
    _axis(module, "module_offset", length, "mm", "translation", direction, below, "detector_module")
    names = ("fast_pixel_direction", "slow_pixel_direction")
    for name, vector, edge in zip(names, (panel.fast, panel.slow), panel.pixel_mm, strict=True):
        _axis(module, name, edge, "mm", "translation", back @ np.asarray(vector), path, "detector_module")


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

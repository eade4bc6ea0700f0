"""NeXus NXmx files: modules where their chains of transformations put them, beam and goniometer.

Frame: McStas, z along the beam.  A pixel direction's own offset is no part of the module's place, which is
that of what it depends on.  Masters of EIGER detectors without modules say beam centre and distance instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import constants
from ...base.errors import FileError, NbraggError
from ...base.optional import require
from ...base.warn import warn
from ...model.panel import Panel
from .nxmx_axes import ANGLES, LENGTHS, Axis, chain, matrix_of, number, scaled, text
from .record import Geometry, Readout, Vector, check_values, recorded_sensors
from .tree import blamed

__all__ = ["read"]

_FRAME = "McStas"
_VALUES = ("attenuation_um", "thickness_um", "material")

#: unit -> angstrom, eV, photons/s, photons/m^2, s
_WAVELENGTHS = dict.fromkeys(("angstrom", "Angstrom", "angstroms", "A", "Å"), 1.0) | {"nm": 10.0, "m": 1e10}
_ENERGIES = {"eV": 1.0, "keV": 1e3}
_RATES = {"Hz": 1.0, "1/s": 1.0, "s^-1": 1.0}
_FLUENCES = {"1/m^2": 1.0, "1/mm^2": 1e6, "1/cm^2": 1e4}
_TIMES = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6}

_MATERIALS = {"Silicon": "Si", "silicon": "Si"}


def read(file: Path, values: dict[str, Any]) -> Geometry:
    """Read an HDF5 file for `nbragg.read_geometry`.

    Raises
    ------
    FileError
        For a damaged file, one without an instrument, and chains that lead nowhere.
    MissingPackageError
        Without h5py.
    """
    given = check_values(values, _VALUES, f"{file} (NeXus)")
    h5py = require("h5py", extra="io", purpose="reading NeXus files")
    try:
        with h5py.File(file, "r") as handle:
            geometry = _geometry(handle, file)
    except NbraggError:
        raise
    except Exception as error:  # h5py raises many kinds on damaged files
        raise FileError(f"{file} cannot be read: {error}") from None
    return geometry.with_values(given)


def _geometry(handle: Any, file: Path) -> Geometry:
    entry = next(_groups(handle, "NXentry"), None)
    if entry is None:
        entry = handle.get("entry")
    instrument = None if entry is None else next(_groups(entry, "NXinstrument"), entry.get("instrument"))
    if instrument is None:
        raise FileError(f"{file} is no NeXus file of an experiment: it has no instrument in an entry")
    detectors = list(_groups(instrument, "NXdetector"))
    if not detectors and "detector" in instrument:
        detectors = [instrument["detector"]]
    if not detectors:
        raise FileError(f"{file}: {instrument.name} has no detector")
    panels: list[Panel] = []
    readouts: list[Readout] = []
    groups: dict[str, tuple[int, ...]] = {}
    for detector in detectors:
        made = _panels(entry, detector)
        groups[detector.name.rpartition("/")[2]] = tuple(range(len(panels), len(panels) + len(made)))
        panels += made
        readouts += [_readout(detector)] * len(made)
    panels = _recorded(entry, panels)
    sample = next(_groups(entry, "NXsample"), entry.get("sample"))
    fields = _beam(entry, instrument, sample) | _exposure(detectors[0])
    if sample is not None:
        fields |= _rotation(sample)
    with blamed(str(file)):
        return Geometry(
            panels=tuple(panels),
            readouts=tuple(readouts),
            groups=groups if len(detectors) > 1 else {},
            frame=_FRAME,
            source=str(file),
            beam_vector=(0.0, 0.0, 1.0),
            **fields,
        )


def _groups(parent: Any, kind: str) -> Iterator[Any]:
    """Groups of a class, in the order of their names' numbers; links that lead nowhere are passed over."""
    for name in sorted(parent.keys(), key=_natural):
        child = parent.get(name)
        if child is not None and hasattr(child, "keys") and text(child.attrs.get("NX_class", "")) == kind:
            yield child


def _natural(name: str) -> list[tuple[int, Any]]:
    """Sorts module_2 before module_10."""
    parts, digits = [], ""
    for letter in [*name, ""]:
        if letter.isdigit():
            digits += letter
            continue
        if digits:
            parts.append((0, int(digits)))
            digits = ""
        parts.append((1, letter))
    return parts


# ---- detector ----------------------------------------------------------------------------------------------


def _modules(group: Any) -> list[Any]:
    """Modules that have pixels; one inside another counts once."""
    found = []
    for module in _groups(group, "NXdetector_module"):
        found += _modules(module) or [module]
    return found


def _panels(entry: Any, detector: Any) -> list[Panel]:
    modules = _modules(detector)
    if not modules:
        return [_from_beam_centre(entry, detector)]
    mask = _pixel_mask(detector)
    shape = _image_shape(entry, mask)
    return [_module(detector, module, mask, shape, len(modules) == 1) for module in modules]


def _module(
    detector: Any, module: Any, mask: NDArray[Any] | None, shape: tuple[int, ...] | None, alone: bool
) -> Panel:
    place = f"{module.file.filename}: {module.name}"
    for name in ("data_size", "fast_pixel_direction", "slow_pixel_direction"):
        if name not in module:
            raise FileError(f"{place} has no {name}")
    size = [int(n) for n in np.asarray(module["data_size"][()]).reshape(-1)]
    origin = (
        [int(n) for n in np.asarray(module["data_origin"][()]).reshape(-1)] if "data_origin" in module else []
    )
    if len(size) < 2 or min(size) < 1 or min(origin, default=0) < 0:
        raise FileError(f"{place}: data_size is {size}, data_origin {origin}; expected (slow, fast)")
    spixels, fpixels = size[-2:]
    if alone and shape is not None and shape[-2:] == (fpixels, spixels) != (spixels, fpixels):
        spixels, fpixels = fpixels, spixels  # some files turn the order round
    axes, edges = [], []
    corner = np.zeros(3)
    for name in ("fast_pixel_direction", "slow_pixel_direction"):
        item = module[name]
        direction = Axis(item)
        if direction.rotates or not direction.vector.any():
            raise FileError(f"{item.file.filename}: {item.name} is no direction")
        fallback = detector["depends_on"][()] if "depends_on" in detector else "."
        frame = matrix_of(chain(item, text(item.attrs.get("depends_on", fallback))))
        axes.append(frame[:3, :3] @ direction.vector)
        edges.append(float(direction.values[0]))
        if name.startswith("fast"):
            corner = frame[:3, 3]
    thickness = number(detector, "sensor_thickness", LENGTHS) or 0.0
    with blamed(place):
        return Panel(
            origin_mm=_three(corner),
            fast=_three(axes[0]),
            slow=_three(axes[1]),
            fpixels=fpixels,
            spixels=spixels,
            pixel_mm=(edges[0], edges[1]),
            thickness_um=thickness * 1e3,
            mask=_cut(mask, origin, spixels, fpixels, place),
            name=module.name.rpartition("/")[2],
        )


def _pixel_mask(detector: Any) -> NDArray[np.bool_] | None:
    """True where a pixel counts: none of the low 16 bits is set (NXmx)."""
    for name in ("pixel_mask", "detectorSpecific/pixel_mask"):
        item = detector.get(name)
        if item is not None and hasattr(item, "dtype") and item.dtype.kind in "iub" and item.ndim >= 2:
            return np.asarray((np.asarray(item[()]).astype(np.int64) & 0xFFFF) == 0)
    return None


def _cut(
    mask: NDArray[np.bool_] | None, origin: list[int], spixels: int, fpixels: int, place: str
) -> NDArray[np.uint8] | None:
    """The module's part of the mask; None where nothing is masked."""
    if mask is None:
        return None
    start = ([0] * mask.ndim + origin)[-mask.ndim :] if origin else [0] * mask.ndim
    part = (
        mask[tuple(start[:-2])]
        if all(n < m for n, m in zip(start[:-2], mask.shape, strict=False))
        else mask[:0]
    )
    part = part[start[-2] : start[-2] + spixels, start[-1] : start[-1] + fpixels]
    if part.shape != (spixels, fpixels):
        raise FileError(
            f"{place}: its pixels, {spixels} x {fpixels} from {start}, are not all in the pixel_mask "
            f"of shape {mask.shape}"
        )
    return None if part.all() else part.astype(np.uint8)


def _image_shape(entry: Any, mask: NDArray[Any] | None) -> tuple[int, ...] | None:
    if mask is not None:
        return mask.shape
    for data in _groups(entry, "NXdata"):
        for name in data:
            item = data.get(name)  # None for a link that leads nowhere
            if item is not None and hasattr(item, "dtype") and item.ndim >= 2:
                return tuple(item.shape)
    return None


def _from_beam_centre(entry: Any, detector: Any) -> Panel:
    """The one panel of a master without modules: perpendicular to the beam, or turned as `geometry` says.

    Fast runs along -x and slow along -y unless ``geometry/orientation`` says otherwise, whose z counts from
    the detector to the source.
    """
    place = f"{detector.file.filename}: {detector.name}"
    edges = [number(detector, f"{axis}_pixel_size", LENGTHS) for axis in "xy"]
    centre = [number(detector, f"beam_center_{axis}") for axis in "xy"]
    distance = next(
        (
            d
            for name in ("detector_distance", "distance")
            if (d := number(detector, name, LENGTHS)) is not None
        ),
        None,
    )
    if None in edges or None in centre or distance is None:
        raise FileError(
            f"{place} has no modules (NXdetector_module), and not all of beam_center_x, beam_center_y, "
            "detector_distance, x_pixel_size, y_pixel_size"
        )
    mask = _pixel_mask(detector)
    counts = [number(detector, f"detectorSpecific/{axis}_pixels_in_detector") for axis in "xy"]
    shape = _image_shape(entry, mask)
    if None in counts and shape is not None:
        counts = [float(shape[-1]), float(shape[-2])]
    if None in counts:
        raise FileError(f"{place}: neither a pixel_mask nor an image says how many pixels there are")
    fast, slow = np.array([-1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    item = detector.get("geometry/orientation/value")
    if item is not None and item.size >= 6:
        turned = np.asarray(item[()], np.float64).reshape(-1)
        fast, slow = turned[:3] * (1, 1, -1), turned[3:6] * (1, 1, -1)
    (pf, ps), (cf, cs), (nf, ns) = ([float(v or 0.0) for v in pair] for pair in (edges, centre, counts))
    corner = np.array([0.0, 0.0, distance]) - cf * pf * fast - cs * ps * slow
    thickness = number(detector, "sensor_thickness", LENGTHS) or 0.0
    with blamed(place):
        return Panel(
            origin_mm=_three(corner),
            fast=_three(fast),
            slow=_three(slow),
            fpixels=int(nf),
            spixels=int(ns),
            pixel_mm=(pf, ps),
            thickness_um=thickness * 1e3,
            mask=_cut(mask, [], int(ns), int(nf), place),
            name=detector.name.rpartition("/")[2],
        )


def _recorded(entry: Any, panels: list[Panel]) -> list[Panel]:
    """With the sensors that were simulated, in files of nanobragg."""
    item = entry.get("nanobragg/metadata")
    if item is None or not hasattr(item, "dtype"):
        return panels
    try:
        record = json.loads(text(item[()]))
        sensors = recorded_sensors(record, len(panels))
    except (ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{item.file.filename}: {item.name} is damaged: {error}") from None
    if len(sensors) != len(panels):
        return panels
    return [panel.replace(**sensor) for panel, sensor in zip(panels, sensors, strict=True)]


def _readout(detector: Any) -> Readout:
    high = number(detector, "saturation_value")
    low = number(detector, "underload_value")
    item = detector.get("sensor_material")
    material = None
    if item is not None and hasattr(item, "dtype"):
        name = text(item[()])
        material = _MATERIALS.get(name, name) or None
    trusted = None if high is None else (-math.inf if low is None else low, high)
    return Readout(trusted_range=trusted, material=material)


def _exposure(detector: Any) -> dict[str, Any]:
    for name in ("count_time", "frame_time"):
        value = number(detector, name, _TIMES)
        if value is not None and value >= 0:
            return {"exposure_s": value}
    return {}


# ---- beam --------------------------------------------------------------------------------------------------


def _beam(entry: Any, instrument: Any, sample: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"polar_vector": (1.0, 0.0, 0.0)}
    for parent in (instrument, sample, entry):
        if parent is None:
            continue
        beam = next(_groups(parent, "NXbeam"), parent.get("beam"))
        if beam is not None and hasattr(beam, "keys"):
            for name, value in _beam_fields(beam).items():
                fields.setdefault(name, value) if name != "polar_vector" else fields.update({name: value})
    return fields


def _beam_fields(beam: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    wavelength = _wavelength(beam)
    if wavelength is not None:
        fields["wavelength_A"] = wavelength
    flux, fluence = number(beam, "total_flux"), number(beam, "fluence")
    if flux is not None and flux > 0:
        fields["flux"] = number(beam, "total_flux", _RATES)
    if fluence is not None and fluence > 0:
        fields["fluence"] = number(beam, "fluence", _FLUENCES)
    size = beam.get("incident_beam_size")
    if size is not None and hasattr(size, "dtype") and size.size:
        edges = scaled(size, LENGTHS).reshape(-1)
        if (edges == edges[0]).all() and edges[0] > 0:
            fields["beamsize_mm"] = float(edges[0])
    return fields | _polarization(beam)


def _wavelength(beam: Any) -> float | None:
    """Angstrom; of a spectrum its mean, of a series the first image's."""
    item = beam.get("incident_wavelength")
    if item is None or not hasattr(item, "dtype"):
        energy = beam.get("incident_energy")
        if energy is None or not hasattr(energy, "dtype"):
            return None
        return constants.HC_EV_A / float(scaled(energy, _ENERGIES).reshape(-1)[0])
    values = np.atleast_1d(scaled(item, _WAVELENGTHS))
    weights = next(
        (w for end in ("weights", "weight") if (w := beam.get(f"incident_wavelength_{end}")) is not None),
        None,
    )
    if weights is not None and weights.shape[-1:] == values.shape[-1:]:
        strengths = np.atleast_2d(np.asarray(weights[()], np.float64))[0]
        if strengths.sum() > 0:
            return float((np.atleast_2d(values)[0] * strengths).sum() / strengths.sum())
    values = values.reshape(-1)
    if values.size > 1 and np.ptp(values) > 1e-9 * abs(values[0]):
        warn(
            f"{item.file.filename}: {item.name} differs from image to image: the first, {values[0]:g} A, "
            "is taken"
        )
    return float(values[0])


def _polarization(beam: Any) -> dict[str, Any]:
    """Kahn factor and direction of the electric field from the Stokes vector (I, Q, U, V) about x and y."""
    for name in ("incident_polarisation_stokes", "incident_polarization_stokes"):
        item = beam.get(name)
        if item is None or not hasattr(item, "dtype") or item.size < 3:
            continue
        strength, q, u = (float(v) for v in np.asarray(item[()], np.float64).reshape(-1)[:3])
        if not strength > 0:
            raise FileError(f"{item.file.filename}: {item.name} has no intensity: I = {strength:g}")
        fields: dict[str, Any] = {"polarization": min(math.hypot(q, u) / strength, 1.0)}
        if q or u:
            chi = math.atan2(u, q) / 2
            fields["polar_vector"] = (math.cos(chi), math.sin(chi), 0.0)
        return fields
    return {}


# ---- goniometer --------------------------------------------------------------------------------------------


def _rotation(sample: Any) -> dict[str, Any]:
    """Spindle, first angle, width and number of images, as far as the file says them."""
    item = sample.get("depends_on")
    if item is None or not hasattr(item, "dtype"):
        return _goniometer_of_masters(sample)
    axes = chain(sample, text(item[()]))
    turning = [i for i, axis in enumerate(axes) if axis.rotates]
    if not turning:
        return {}
    moving = [i for i in turning if np.ptp(axes[i].values) > 0]
    timed = [
        i
        for i in turning
        if any(f"{axes[i].name}{end}" in axes[i].item.parent for end in ("_end", "_increment_set"))
    ]
    if len(moving) > 1:
        names = ", ".join(axes[i].name for i in moving)
        raise FileError(f"{sample.file.filename}: {names} all move: only one axis can be followed")
    which = (moving or timed or turning)[0]
    axis = axes[which]
    below = matrix_of(axes[which + 1 :])[:3, :3]
    start, width = float(axis.values[0]), _width(axis)
    fields: dict[str, Any] = {"spindle_axis": _three(below @ axis.vector)}
    if width is not None and width != 0:
        # a crystal that turns backwards covers the same angles as one that turns forwards
        fields |= {"phi_deg": start + min(width, 0.0), "osc_deg": abs(width), "images": len(axis.values)}
    else:
        fields["phi_deg"] = start
    return fields


def _width(axis: Axis) -> float | None:
    """Degrees that one image takes."""
    group = axis.item.parent
    end = group.get(f"{axis.name}_end")
    if end is not None and hasattr(end, "dtype") and end.size:
        return float(scaled(end, ANGLES).reshape(-1)[0] - axis.values[0])
    step = group.get(f"{axis.name}_increment_set")
    if step is not None and hasattr(step, "dtype") and step.size:
        return float(scaled(step, ANGLES).reshape(-1)[0])
    return float(axis.values[1] - axis.values[0]) if len(axis.values) > 1 else None


def _goniometer_of_masters(sample: Any) -> dict[str, Any]:
    """Angles of a master whose axes have no direction."""
    start = next(
        (s for name in ("omega_start", "omega") if (s := number(sample, f"goniometer/{name}")) is not None),
        None,
    )
    width = next(
        (
            w
            for name in ("omega_range_average", "omega_increment")
            if (w := number(sample, f"goniometer/{name}")) is not None
        ),
        None,
    )
    fields: dict[str, Any] = {} if start is None else {"phi_deg": start}
    if width:
        fields |= {"osc_deg": abs(width), "phi_deg": (start or 0.0) + min(width, 0.0)}
    return fields


def _three(vector: Any) -> Vector:
    x, y, z = (float(v) for v in vector)
    return x, y, z

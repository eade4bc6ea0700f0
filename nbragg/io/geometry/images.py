"""Geometries of image headers: SMV, miniCBF, and the record that nanobragg keeps in CBF and TIFF files.

A header without axes is taken as dxtbx takes it: beam along -z, fast along x, slow along -y, electric field
along x; only the spindle is not taken for granted.  A detector on a two-theta arm turns about the sample from
the place where distance and beam centre put it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import validate as check
from ...base.errors import FileError, InputError
from ...base.vectors import rot_axis, unit
from ...model.panel import Panel
from ..images import read_image
from ..images.metadata import ImageMetadata
from .record import Geometry, Readout, Vector, check_values, recorded_sensors
from .tree import blamed

__all__ = ["read"]

_FRAME = "dxtbx laboratory"
_VALUES = ("attenuation_um", "thickness_um", "material", "twotheta_axis")

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"

#: materials of miniCBF sensor lines
_MATERIALS = {"silicon": "Si", "cdte": "CdTe", "gaas": "GaAs"}

#: rotation axes of miniCBF headers, in this frame
_AXES = {
    "X.CW": (1.0, 0.0, 0.0),
    "X, CW": (1.0, 0.0, 0.0),
    "X.CCW": (-1.0, 0.0, 0.0),
    "X, CCW": (-1.0, 0.0, 0.0),
}


def read(file: Path, values: dict[str, Any]) -> Geometry:
    """Read an image's header for `nbragg.read_geometry`.

    Raises
    ------
    FileError
        For an image that says no geometry, or not all of one.
    InputError
        For a two-theta angle whose axis is not given.
    """
    given = check_values(values, _VALUES, f"{file} (image header)")
    pixels, metadata = read_image(file)
    if "nanobragg_image" in metadata:
        with blamed(str(file)):
            known = ImageMetadata.from_dict(metadata)
        geometry = _of_record(file, known, metadata)
    elif metadata["format"] == "smv":
        geometry = _of_smv(file, metadata["header"], pixels.shape, given)
    elif metadata["format"] == "cbf":
        geometry = _of_minicbf(file, metadata["header"], pixels, given)
    else:
        raise FileError(f"{file} holds an image without a geometry: take one from another file")
    return geometry.with_values(given)


def _of_record(file: Path, known: ImageMetadata, values: Mapping[str, Any]) -> Geometry:
    """What nanobragg knew when it wrote the file, in the simulation's own frame.

    `values` is the record as the file has it, which may list several panels.
    """
    if known.curved:
        raise FileError(f"{file} is of a curved detector, which is no list of flat panels")
    alone = {name: getattr(known, name) for name in ("fast", "slow", "fpixels", "spixels", "pixel_mm")}
    entries = values.get("panels") or [alone | {"origin_mm": known.pix0_mm}]
    sensors = recorded_sensors(values, len(entries))
    with blamed(str(file)):
        panels = tuple(
            Panel(
                **{name: _tupled(entry[name]) for name in (*alone, "origin_mm")},
                **sensor,
                name=str(entry.get("name", "")),
            )
            for entry, sensor in zip(entries, sensors, strict=True)
        )
        return Geometry(
            panels=panels,
            readouts=(Readout(gain=known.scale),) * len(panels),
            frame=f"simulation, convention {known.convention}",
            source=str(file),
            wavelength_A=known.wavelength_A,
            beam_vector=known.beam,
            polar_vector=known.polar,
            polarization=known.polarization,
            flux=known.flux or None,
            fluence=known.fluence or None,
            exposure_s=known.exposure_s,
            beamsize_mm=known.beamsize_mm or None,
            spindle_axis=known.spindle,
            phi_deg=known.phi_deg,
            osc_deg=known.osc_deg,
            images=1 if known.osc_deg else None,
        )


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# ---- SMV ---------------------------------------------------------------------------------------------------


def _of_smv(
    file: Path, header: Mapping[str, str], shape: tuple[int, ...], values: dict[str, Any]
) -> Geometry:
    """ADSC's header, and that of nanobragg and its ancestors, which says the beam centre in several ways."""

    def number(key: str) -> float | None:
        match = re.fullmatch(_NUMBER, header.get(key, "").strip())
        return float(match.group()) if match else None

    def needed(key: str) -> float:
        value = number(key)
        if value is None:
            raise FileError(f"{file}: its SMV header has no number {key}, without which there is no geometry")
        return value

    pixel, distance = needed("PIXEL_SIZE"), needed("DISTANCE")
    if not pixel > 0:
        raise FileError(f"{file}: PIXEL_SIZE={pixel:g}; expected a length above 0")
    near = _near_point(number, needed, pixel, shape)
    geometry = _flat(
        file,
        values,
        distance_mm=number("CLOSE_DISTANCE") or distance,
        near_px=near,
        pixel_mm=(pixel, pixel),
        shape=shape,
        twotheta_deg=number("TWOTHETA") or 0.0,
        tilted=number("TWOTHETA") in (None, 0.0) and _differ(number("CLOSE_DISTANCE"), distance),
        wavelength_A=number("WAVELENGTH"),
    )
    pedestal = next((p for key in ("ADC_OFFSET", "IMAGE_PEDESTAL") if (p := number(key)) is not None), 0.0)
    readout = Readout(gain=number("GAIN"), trusted_range=(-1.0 - pedestal, 65535.0 - pedestal))
    return geometry.replace(
        readouts=(readout,), **_scan(number("OSC_START"), number("OSC_RANGE")), **_time(number("TIME"))
    )


def _near_point(number: Any, needed: Any, pixel: float, shape: tuple[int, ...]) -> tuple[float, float]:
    """Where the detector's normal through the sample meets it, (fast, slow), pixels from the outer corner."""
    origin = number("XDS_ORGX"), number("XDS_ORGY")
    if None not in origin:
        return origin[0] - 0.5, origin[1] - 0.5
    denzo = number("DENZO_Y_BEAM"), number("DENZO_X_BEAM")
    if None not in denzo:
        return denzo[0] / pixel, denzo[1] / pixel
    # ADSC's beam centre is MOSFLM's: x along slow, y along fast
    return needed("BEAM_CENTER_Y") / pixel, needed("BEAM_CENTER_X") / pixel


def _differ(close: float | None, distance: float) -> bool:
    return close is not None and abs(close - distance) > 1e-4 * abs(distance)


# ---- miniCBF -----------------------------------------------------------------------------------------------


def _of_minicbf(file: Path, header: str, pixels: NDArray[Any], values: dict[str, Any]) -> Geometry:
    """The header of PILATUS and EIGER images; pixels below 0 are masked."""

    def number(pattern: str) -> float | None:
        match = re.search(pattern.replace("#", f"({_NUMBER})"), header)
        return float(match.group(1)) if match else None

    pixel = re.search(rf"Pixel_size\s+({_NUMBER})\s*m?\s*x\s*({_NUMBER})\s*m", header)
    centre = re.search(rf"Beam_xy\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)", header)
    distance = number(r"Detector_distance\s+#\s*m")
    if pixel is None or centre is None or distance is None:
        raise FileError(f"{file}: its miniCBF header lacks Pixel_size, Detector_distance or Beam_xy")
    sensor = re.search(rf"(\w+)\s+sensor,\s*thickness\s+({_NUMBER})\s*m", header)
    twotheta = number(r"Detector_2theta\s+#") or 0.0
    geometry = _flat(
        file,
        values,
        distance_mm=distance * 1e3,
        near_px=(float(centre.group(1)), float(centre.group(2))),
        pixel_mm=(float(pixel.group(1)) * 1e3, float(pixel.group(2)) * 1e3),
        shape=pixels.shape,
        twotheta_deg=twotheta,
        tilted=False,
        wavelength_A=number(r"Wavelength\s+#\s*A"),
        thickness_um=float(sensor.group(2)) * 1e6 if sensor else 0.0,
        mask=(pixels >= 0).astype(np.uint8) if (pixels < 0).any() else None,
    )
    cutoff = number(r"Count_cutoff\s+#")
    material = None if sensor is None else _MATERIALS.get(sensor.group(1).lower(), sensor.group(1))
    fraction = number(r"Polarization\s+#")
    axis = re.search(r"Oscillation_axis\s+([^\r\n]*)", header)
    fields = _scan(number(r"Start_angle\s+#"), number(r"Angle_increment\s+#")) | _time(
        number(r"Exposure_time\s+#")
    )
    with blamed(str(file)):
        return geometry.replace(
            readouts=(Readout(trusted_range=None if cutoff is None else (-1.0, cutoff), material=material),),
            polarization=None if fraction is None else 2.0 * fraction - 1.0,
            spindle_axis=None if axis is None else _AXES.get(axis.group(1).strip().upper()),
            **fields,
        )


# ---- both --------------------------------------------------------------------------------------------------


def _flat(
    file: Path,
    values: dict[str, Any],
    *,
    distance_mm: float,
    near_px: tuple[float, float],
    pixel_mm: tuple[float, float],
    shape: tuple[int, ...],
    twotheta_deg: float,
    tilted: bool,
    wavelength_A: float | None,
    thickness_um: float = 0.0,
    mask: NDArray[np.uint8] | None = None,
) -> Geometry:
    """A detector perpendicular to the beam, or swung from there about the sample."""
    if tilted:
        raise FileError(
            f"{file}: its distances along the beam and along the normal differ: the detector is tilted, and "
            "the header does not say how: write NeXus (.nxs) or CBF"
        )
    fast, slow, normal = (np.array(v) for v in ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)))
    corner = distance_mm * normal - near_px[0] * pixel_mm[0] * fast - near_px[1] * pixel_mm[1] * slow
    if twotheta_deg:
        if "twotheta_axis" not in values:
            raise InputError(
                f"{file}: the detector is swung by {twotheta_deg:g} deg, and the header does not say about "
                f'which axis: give values={{"twotheta_axis": (x, y, z)}} in the frame of image headers '
                f"({_FRAME}: beam along -z, fast along x, slow along -y)"
            )
        axis = unit(check.direction("twotheta_axis", values["twotheta_axis"]))
        corner, fast, slow = rot_axis(
            np.stack([corner, fast, slow]), axis, np.full(3, math.radians(twotheta_deg))
        )
    with blamed(str(file)):
        panel = Panel(
            origin_mm=_three(corner),
            fast=_three(fast),
            slow=_three(slow),
            fpixels=shape[1],
            spixels=shape[0],
            pixel_mm=pixel_mm,
            thickness_um=thickness_um,
            mask=mask,
        )
        return Geometry(
            panels=(panel,),
            frame=_FRAME,
            source=str(file),
            beam_vector=(0.0, 0.0, -1.0),
            polar_vector=(1.0, 0.0, 0.0),
            wavelength_A=wavelength_A,
        )


def _scan(start: float | None, width: float | None) -> dict[str, Any]:
    """Angles of one image; one that turns backwards covers the same as one that turns forwards."""
    fields: dict[str, Any] = {} if start is None else {"phi_deg": start}
    if width:
        fields |= {"phi_deg": (start or 0.0) + min(width, 0.0), "osc_deg": abs(width), "images": 1}
    return fields


def _time(seconds: float | None) -> dict[str, Any]:
    return {} if seconds is None or seconds < 0 else {"exposure_s": seconds}


def _three(vector: Any) -> Vector:
    x, y, z = (float(v) for v in vector)
    return x, y, z

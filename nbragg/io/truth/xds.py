"""XDS.INP of a rotation: what XDS must be told of the images (https://xds.mr.mpg.de, input parameters)."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from ...base.errors import InputError
from ...base.vectors import axis_rotation, unit
from ..files.atomic import PathLike, open_atomic
from .record import Sweep, Truth

__all__ = ["write_xds"]

#: imgCIF's axes to those usual with XDS: the beam along +z, the spindle along +x
_TURN = np.diag([1.0, -1.0, -1.0])


def write_xds(
    path: PathLike,
    truth: Truth,
    *,
    pedestal: float = 0.0,
    trusted_range: tuple[float, float] = (0.0, 2.0**31 - 2),
) -> None:
    """Write an XDS.INP.

    Parameters
    ----------
    path : path-like
    truth : Truth
        Of one rotation of one crystal, on a detector of one panel.
    pedestal : float
        Counts without a photon, which XDS measures itself; named in a comment.
    trusted_range : (low, high)
        Counts that pixels may have.

    Raises
    ------
    InputError
        For stills, several sweeps, crystals or panels.
    FileError
    """
    name = os.fspath(path)
    sweep = truth.one_rotation
    if sweep is None:
        raise InputError(
            f"{name}: XDS.INP describes one rotation; this is "
            + (
                f"{len(truth.sweeps)} stills or rotations"
                if len(truth.sweeps) > 1
                else "a still: give osc_deg (-osc)"
            )
        )
    if len(sweep.panels) > 1:
        raise InputError(
            f"{name}: XDS reads one array of pixels, and the detector has {len(sweep.panels)} panels; "
            ".expt and .refl describe them"
        )
    if len(sweep.placement.crystals) > 1:
        raise InputError(f"{name}: XDS indexes one crystal; the sample has {len(sweep.placement.crystals)}")
    with open_atomic(path, "w") as stream:
        stream.write("\n".join(_lines(truth, sweep, pedestal, trusted_range)) + "\n")


def _numbers(values: Any) -> str:
    return " ".join(f"{float(x) + 0.0:.10g}" for x in np.asarray(values).reshape(-1))


#: what XDS calls the detectors whose files have these suffixes; byte-offset CBF is the Pilatus'
_DETECTORS = {".img": "ADSC", ".h5": "EIGER", ".nxs": "EIGER", ".hdf5": "EIGER"}


def _detector(truth: Truth) -> str:
    suffix = os.path.splitext(truth.images.names[0])[1].lower() if truth.images.names else ""
    return _DETECTORS.get(suffix, "PILATUS")


def _template(truth: Truth) -> str:
    images = truth.images
    if images.template:
        return images.template.replace("#", "?")
    if images.together:
        return images.names[0].replace("_master.", "_??????.")
    return "image_????.cbf" if not images.names else images.names[0]


def _lines(truth: Truth, sweep: Sweep, pedestal: float, trusted: tuple[float, float]) -> list[str]:
    turn = _TURN @ sweep.frame
    panel, placement = sweep.panels[0], sweep.placement
    x, y = turn @ panel.fdet, turn @ panel.sdet
    offset = np.multiply(panel.first, panel.pixel)
    corner = turn @ (panel.pix0 + offset[0] * panel.fdet + offset[1] * panel.sdet)
    # XDS: a pixel IX, IY, counted from 1 at the centre of the first one, lies at
    # (IX - ORGX) QX x + (IY - ORGY) QY y + DETECTOR_DISTANCE x cross y
    orgx, orgy = (0.5 - float(corner @ axis) / edge for axis, edge in zip((x, y), panel.pixel, strict=True))
    distance = float(corner @ np.cross(x, y)) * 1e3
    incident = turn @ sweep.source.incident
    normal = unit(np.cross(incident, turn @ sweep.polar_vector))
    cell = placement.crystals[0].unit_cell
    first, last = truth.images.first, truth.images.first + sweep.images - 1
    thickness = panel.layers * panel.layer_step * 1e3
    sensor = thickness > 0.0 and panel.mu > 0.0
    axes = cell.vectors @ axis_rotation(placement.panels[0].spindle, 0.0).T @ turn.T
    high = math.floor(trusted[1])
    lines = [
        "! nanobragg simulation",
        "JOB= XYCORR INIT COLSPOT IDXREF DEFPIX INTEGRATE CORRECT",
        f"NAME_TEMPLATE_OF_DATA_FRAMES= {_template(truth)}",
        f"DATA_RANGE= {first} {last}",
        f"SPOT_RANGE= {first} {last}",
        f"BACKGROUND_RANGE= {first} {min(last, first + 9)}",
        "",
        f"DETECTOR= {_detector(truth)}  MINIMUM_VALID_PIXEL_VALUE= {math.ceil(trusted[0])}  OVERLOAD= {high}",
        f"NX= {panel.fpixels}  NY= {panel.spixels}",
        f"QX= {panel.pixel[0] * 1e3:.10g}  QY= {panel.pixel[1] * 1e3:.10g}",
        f"ORGX= {orgx:.10g}  ORGY= {orgy:.10g}",
        f"DETECTOR_DISTANCE= {distance:.10g}",
        f"DIRECTION_OF_DETECTOR_X-AXIS= {_numbers(x)}",
        f"DIRECTION_OF_DETECTOR_Y-AXIS= {_numbers(y)}",
        f"SENSOR_THICKNESS= {thickness if sensor else 0.0:.10g}",
    ]
    if sensor:
        lines.append(f"SILICON= {panel.mu * 1e-3:.10g}  ! attenuation, 1/mm")
    if pedestal:
        lines.append(f"! pixels hold {pedestal:g} counts where no photon is")
    lines += [
        "",
        f"X-RAY_WAVELENGTH= {sweep.source.wavelength * 1e10:.10g}",
        f"INCIDENT_BEAM_DIRECTION= {_numbers(incident)}",
        f"FRACTION_OF_POLARIZATION= {0.5 * (1.0 + sweep.polarization):.10g}",
        f"POLARIZATION_PLANE_NORMAL= {_numbers(normal)}",
        f"ROTATION_AXIS= {_numbers(turn @ placement.panels[0].spindle)}",
        f"STARTING_ANGLE= {math.degrees(placement.phi0):.10g}",
        f"STARTING_FRAME= {first}",
        f"OSCILLATION_RANGE= {math.degrees(placement.osc):.10g}",
        "",
        "SPACE_GROUP_NUMBER= 1",
        f"UNIT_CELL_CONSTANTS= {_numbers(cell.direct)}",
        "FRIEDEL'S_LAW= FALSE",
        *(f"! {name} at angle 0: {_numbers(axis)}" for name, axis in zip("abc", axes, strict=True)),
    ]
    return lines

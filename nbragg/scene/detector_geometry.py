"""Placing the detector: conventions, pivots, beam centres (canonical 3)."""

from __future__ import annotations

import sys

import numpy as np

from ..base import numbers
from ..base.errors import InputError
from ..base.records import FrozenArrays, freeze, frozen
from ..base.vectors import FloatArray, cross, rot_axis, rot_xyz, unit
from ..base.warn import warn
from ..model.conventions import CONVENTIONS
from ..model.detector import Detector
from ..model.physics import PHYSICS, Physics
from .detector_centres import image_size, initial_centres, metres
from .detector_frame import Directions, effective_convention, effective_pivot, given_vectors, initial_frame
from .detector_warnings import warn_of_ignored_input
from .stages import Stages

__all__ = ["DetectorGeometry", "detector_geometry", "dials_origin", "shifted", "vertical"]

_NONE_GIVEN = Directions()


@frozen
class DetectorGeometry(FrozenArrays):
    """The placed detector and the laboratory's directions; metres, radians, unit vectors.

    Attributes
    ----------
    convention, pivot : str
        Those in force.
    fpixels, spixels : int
    pixel : (fast, slow)
        Pixel edges.
    detsize_f, detsize_s : float
    fdet, sdet, odet : ndarray (3,)
        Fast axis, slow axis and normal, after all rotations.
    beam_vector, polar_vector, vert_vector, spindle, twotheta_axis : ndarray (3,)
        ``vert_vector`` is unit(b x p), zero where those are parallel.
    pix0 : ndarray (3,)
        Sample to the outer corner of the first pixel.
    distance, close_distance, ratio : float
        Along the beam, to the near point, and their quotient before the two-theta swing (canonical 3.3).
    Xbeam, Ybeam, Fbeam, Sbeam, Xclose, Yclose, Fclose, Sclose : float
    ORGX, ORGY : float
        Near point, pixels.
    rotx, roty, rotz, twotheta : float
    dials_origin_mm : ndarray (3,)
    """

    convention: str
    pivot: str
    fpixels: int
    spixels: int
    pixel: tuple[float, float]
    detsize_f: float
    detsize_s: float
    fdet: FloatArray
    sdet: FloatArray
    odet: FloatArray
    beam_vector: FloatArray
    polar_vector: FloatArray
    vert_vector: FloatArray
    spindle: FloatArray
    twotheta_axis: FloatArray
    pix0: FloatArray
    distance: float
    close_distance: float
    ratio: float
    Xbeam: float
    Ybeam: float
    Fbeam: float
    Sbeam: float
    Xclose: float
    Yclose: float
    Fclose: float
    Sclose: float
    ORGX: float
    ORGY: float
    rotx: float
    roty: float
    rotz: float
    twotheta: float
    dials_origin_mm: FloatArray


def detector_geometry(
    detector: Detector,
    directions: Directions = _NONE_GIVEN,
    physics: Physics = PHYSICS["exact"],
    run: Stages | None = None,
) -> DetectorGeometry:
    """Place a detector of one panel by its convention (canonical 3.2 to 3.4; 11).

    Parameters
    ----------
    detector : Detector
    directions : Directions
        Of beam, polarization and spindle, as far as they were given.
    physics : Physics
        Whether an explicit pivot, Xclose, Yclose and pix0_vector are honoured.
    run : Stages, optional
        With those of earlier scenes at hand.

    Raises
    ------
    InputError
        For a size without pixels, parallel axes, or a detector plane through the sample.
    """
    run = run or Stages()
    given = given_vectors(detector, directions)
    name = effective_convention(detector, given)
    pivot = effective_pivot(detector, name, physics)
    fpixels, spixels, detsize_f, detsize_s = image_size(detector)
    fast_mm, slow_mm = detector.pixel_edges_mm
    pixel = (fast_mm * 1e-3, slow_mm * 1e-3)
    frame = run(initial_frame, CONVENTIONS[name], tuple(given.items()))
    centres = initial_centres(detector, CONVENTIONS[name], (detsize_f, detsize_s), pixel, physics)
    warn_of_ignored_input(detector, name, pivot, physics)

    turn = tuple(numbers.radians(x) for x in (detector.rotx_deg, detector.roty_deg, detector.rotz_deg))
    twotheta = numbers.radians(detector.twotheta_deg)

    def turned(v: FloatArray) -> FloatArray:
        return rot_axis(rot_xyz(v, *turn), frame.twotheta_axis, twotheta)

    ratio = numbers.scalar(frame.beam @ rot_xyz(frame.normal, *turn)) or sys.float_info.min
    distance = metres(detector.distance_mm, 0.1)
    close_distance = metres(detector.close_distance_mm, numbers.absolute(ratio * distance))
    distance = close_distance / ratio
    _warn_of_lost_distance(detector, distance.real)
    fast, slow, normal = turned(frame.fast), turned(frame.slow), turned(frame.normal)

    if physics.honours_placing and name == "custom" and detector.pix0_vector_m is not None:
        pix0 = np.array(detector.pix0_vector_m)
    elif pivot == "sample":
        f, s = centres.fs_close
        pix0 = turned(-f * frame.fast - s * frame.slow + close_distance * frame.normal)
    else:
        f, s = centres.fs_beam
        pix0 = -f * fast - s * slow + distance * frame.beam
    pix0 = shifted(pix0, detector)
    close_distance = numbers.scalar(pix0 @ normal)
    _check_plane(close_distance.real, pix0.real, distance.real)
    distance = close_distance / ratio
    with np.errstate(over="ignore", invalid="ignore"):  # the beam may run along the plane
        points = _points_of_plane(pix0, fast, slow, distance * frame.beam, pixel)
    place = DetectorGeometry(
        convention=name,
        pivot=pivot,
        fpixels=fpixels,
        spixels=spixels,
        pixel=pixel,
        detsize_f=detsize_f,
        detsize_s=detsize_s,
        fdet=fast,
        sdet=slow,
        odet=normal,
        beam_vector=frame.beam,
        polar_vector=frame.polar,
        vert_vector=run(vertical, frame.beam, frame.polar),
        spindle=frame.spindle,
        twotheta_axis=frame.twotheta_axis,
        pix0=pix0,
        distance=distance,
        close_distance=close_distance,
        ratio=ratio,
        Xbeam=centres.xy_beam[0],
        Ybeam=centres.xy_beam[1],
        Xclose=centres.xy_close[0],
        Yclose=centres.xy_close[1],
        **points,
        rotx=turn[0],
        roty=turn[1],
        rotz=turn[2],
        twotheta=twotheta,
        dials_origin_mm=dials_origin(pix0),
    )
    for value in vars(place).values():
        freeze(value)
    return place


def _points_of_plane(
    pix0: FloatArray, fast: FloatArray, slow: FloatArray, beam: FloatArray, pixel: tuple[float, float]
) -> dict[str, float]:
    """Where the beam meets the plane, and the sample's nearest point, from the first pixel."""
    fclose, sclose = -numbers.scalar(pix0 @ fast), -numbers.scalar(pix0 @ slow)
    return {
        "Fbeam": numbers.scalar(fast @ (beam - pix0)),
        "Sbeam": numbers.scalar(slow @ (beam - pix0)),
        "Fclose": fclose,
        "Sclose": sclose,
        "ORGX": fclose / pixel[0] + 0.5,
        "ORGY": sclose / pixel[1] + 0.5,
    }


def shifted(corner: FloatArray, detector: Detector) -> FloatArray:
    """A panel's corner, m, moved by the detector's ``shift_mm``."""
    if not any(detector.shift_mm):
        return corner
    return np.asarray(corner + np.array(detector.shift_mm) * 1e-3)


def dials_origin(pix0: FloatArray) -> FloatArray:
    """The origin in DIALS' frame, mm (canonical 3.3)."""
    return np.array([1000.0 * pix0[2], 1000.0 * pix0[1], -1000.0 * pix0[0]])


def vertical(beam: FloatArray, polar: FloatArray) -> FloatArray:
    """unit(b x p), zero where the two are parallel (canonical 4)."""
    vertical = cross(beam, polar)
    return unit(vertical) if np.linalg.norm(vertical) > 1e-9 else np.zeros(3)


def _warn_of_lost_distance(detector: Detector, distance: float) -> None:
    """close_distance decides; a distance that says otherwise is lost (canonical 3.3)."""
    given = detector.distance_mm
    if (
        detector.close_distance_mm is not None
        and given is not None
        and "distance_mm" not in detector.header_fields
        and abs(distance * 1e3 - given) > 1e-4 * given
    ):
        warn(
            f"distance_mm {given:g} has no effect: close_distance_mm {detector.close_distance_mm:g} "
            f"puts the detector at {distance * 1e3:g} mm"
        )


def _check_plane(close_distance: float, pix0: FloatArray, distance: float) -> None:
    """Refuse a plane through the sample; warn of one that is seen from behind or stands upstream."""
    if abs(close_distance) <= 1e-9 * float(np.linalg.norm(pix0)):
        raise InputError(
            f"the detector plane passes through the sample (close distance {close_distance * 1e3:g} mm): "
            "change the distance, the detector rotations or twotheta"
        )
    if close_distance < 0:
        warn(
            f"the near point is {close_distance * 1e3:g} mm from the sample: the detector is seen from "
            "behind and its solid angles are negative; check odet_vector, the detector rotations and twotheta"
        )
    elif distance < 0:
        warn("the detector stands upstream of the sample; check odet_vector and the detector rotations")

"""The detector as a person sets it up (canonical 2, 3)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record
from .conventions import CONVENTIONS
from .panel import FARTHEST, Panel, mask_array, pixel_edges

__all__ = ["Detector"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Detector(Record):
    """Size, place, orientation and sensor of a flat (or curved) pixel detector.

    None means "not given" throughout: canonical 3 says what then happens.

    Parameters
    ----------
    distance_mm : float, optional
        Sample to the direct beam's spot, along the beam, mm; default 100.
    close_distance_mm : float, optional
        Sample to the nearest point of the detector plane, mm; wins over ``distance_mm``.
    pixel_mm : float or (fast, slow)
        Pixel edges, mm.
    fpixels, spixels : int, optional
        Pixels along fast and slow; win over the sizes.
    detsize_f_mm, detsize_s_mm : float, optional
        Edges along fast and slow, mm; default 102.4.
    Xbeam_mm, Ybeam_mm : float, optional
        Direct beam in the convention's own axes, mm.
    Xclose_mm, Yclose_mm : float, optional
        Near point, mm.
    ORGX, ORGY : float, optional
        Near point as XDS counts it, pixels.
    convention : str
        ``"mosflm"``, ``"xds"``, ``"adxv"``, ``"denzo"``, ``"dials"`` or ``"custom"``.  With ``"mosflm"``,
        giving any vector of this record, of the beam or of the spindle selects ``"custom"``.
    pivot : "beam" or "sample", optional
        What stays in place when the detector turns (canonical 3.4).
    rotx_deg, roty_deg, rotz_deg : float
        Detector rotations about the laboratory axes, degrees.
    twotheta_deg : float
        Swing about the two-theta axis, degrees.
    fdet_vector, sdet_vector, odet_vector, twotheta_axis : 3 floats, optional
        Fast axis, slow axis, normal and two-theta axis, any length.
    pix0_vector_m : 3 floats, optional
        Sample to the outer corner of the first pixel, m, as finally placed; used by ``physics="exact"`` only.
    shift_mm : 3 floats
        Moves the detector, as all of this places it, along laboratory x, y, z, mm.
    curved : bool
        Every pixel at ``distance`` from the sample (canonical 6.2).
    point_pixel : bool
        No obliquity: the solid angle is 1/R^2 (canonical 6.3).
    attenuation_um : float, optional
        Attenuation depth of the sensor, micrometre; infinity or 0: no absorption.
    thickness_um : float
        Sensor thickness, micrometre; 0 means every photon is counted at the surface.
    thicksteps : int, optional
        Layers the sensor is cut into; None: 2 (canonical 6, 11).  With ``physics="exact"`` n layers of
        thickness/n have their photons at the mean depth of what each absorbs, and one layer puts a spot where
        many do; with ``physics="nanobragg"`` there are at least 2, of thickness/(n-1), with their photons at
        their fronts.
    mask : array_like (spixels, fpixels), optional
        Pixels equal to 0 are skipped.
    panels : sequence of Panel, optional
        Panels by their places in the laboratory, instead of all of the above but ``shift_mm``, which moves
        all of them, and ``convention``, which then only says the directions of beam, polarization and
        spindle.
    header_fields : tuple of str
        Names of fields that were read from an image header: they may be without effect, and nothing is said
        then.  No part of what the detector is: not compared.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, or a zero vector.

    Examples
    --------
    >>> import nbragg
    >>> detector = nbragg.Detector(distance_mm=200, pixel_mm=0.172, fpixels=487, spixels=619)
    >>> nbragg.Detector(convention="xds", ORGX=240.5, ORGY=310.0, fpixels=487, spixels=619).convention
    'xds'
    >>> detector.replace(distance_mm=-1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    nbragg.base.errors.InputError: distance_mm must be a finite number above 0..., not -1.0
    """

    distance_mm: float | None = None
    close_distance_mm: float | None = None
    pixel_mm: float | tuple[float, float] = 0.1
    fpixels: int | None = None
    spixels: int | None = None
    detsize_f_mm: float | None = None
    detsize_s_mm: float | None = None
    Xbeam_mm: float | None = None
    Ybeam_mm: float | None = None
    Xclose_mm: float | None = None
    Yclose_mm: float | None = None
    ORGX: float | None = None
    ORGY: float | None = None
    convention: str = "mosflm"
    pivot: str | None = None
    rotx_deg: float = 0.0
    roty_deg: float = 0.0
    rotz_deg: float = 0.0
    twotheta_deg: float = 0.0
    fdet_vector: tuple[float, float, float] | None = None
    sdet_vector: tuple[float, float, float] | None = None
    odet_vector: tuple[float, float, float] | None = None
    twotheta_axis: tuple[float, float, float] | None = None
    pix0_vector_m: tuple[float, float, float] | None = None
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    curved: bool = False
    point_pixel: bool = False
    attenuation_um: float | None = None
    thickness_um: float = 0.0
    thicksteps: int | None = None
    mask: npt.NDArray[np.uint8] | None = None
    panels: tuple[Panel, ...] = ()
    header_fields: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("distance_mm", "close_distance_mm", "detsize_f_mm", "detsize_s_mm"):
            self._set(name, check.optional_number(name, getattr(self, name), above=0, at_most=FARTHEST))
        self._set("pixel_mm", pixel_edges("pixel_mm", self.pixel_mm))
        for name in ("fpixels", "spixels", "thicksteps"):
            self._set(name, check.optional_count(name, getattr(self, name)))
        for name in ("Xbeam_mm", "Ybeam_mm", "Xclose_mm", "Yclose_mm", "ORGX", "ORGY"):
            place = check.optional_number(name, getattr(self, name), at_least=-FARTHEST, at_most=FARTHEST)
            self._set(name, place)
        self._set("convention", check.choice("convention", self.convention, CONVENTIONS))
        if self.pivot is not None:
            self._set("pivot", check.choice("pivot", self.pivot, ("beam", "sample")))
        for name in ("rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg"):
            self._set(name, check.number(name, getattr(self, name)))
        for name in ("fdet_vector", "sdet_vector", "odet_vector", "twotheta_axis", "pix0_vector_m"):
            self._set(name, check.optional_direction(name, getattr(self, name)))
        for i, x in enumerate(self.pix0_vector_m or ()):
            check.number(f"pix0_vector_m[{i}]", x, at_least=-FARTHEST, at_most=FARTHEST)
        self._set("shift_mm", check.vector("shift_mm", self.shift_mm))
        for i, x in enumerate(self.shift_mm):
            check.number(f"shift_mm[{i}]", x, at_least=-FARTHEST, at_most=FARTHEST)
        for name in ("curved", "point_pixel"):
            self._set(name, check.flag(name, getattr(self, name)))
        self._set("thickness_um", check.number("thickness_um", self.thickness_um, at_least=0))
        self._set(
            "attenuation_um",
            check.optional_number("attenuation_um", self.attenuation_um, at_least=0, infinity=True),
        )
        if self.mask is not None:
            self._set("mask", mask_array(self.mask))
        self._set("header_fields", tuple(self.header_fields))
        if self.panels:
            self._check_panels()

    def _check_panels(self) -> None:
        """Explicit panels leave nothing else to say."""
        given = (self.panels,) if isinstance(self.panels, Panel) else self.panels
        if not isinstance(given, (tuple, list)):
            raise InputError(f"panels must be a sequence of Panel, not {given!r}")
        for i, panel in enumerate(given):
            if not isinstance(panel, Panel):
                raise InputError(f"panels[{i}] must be a Panel, not a {type(panel).__name__}")
        self._set("panels", tuple(given))
        for entry in dataclasses.fields(self):
            if entry.name in ("panels", "shift_mm", "convention", "header_fields"):
                continue
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray) or value != entry.default:
                raise InputError(
                    f"{entry.name} is said by the panels themselves: leave it out, or leave out panels"
                )

    @property
    def pixel_edges_mm(self) -> tuple[float, float]:
        """Pixel edges along fast and slow, mm."""
        return self.pixel_mm if isinstance(self.pixel_mm, tuple) else (self.pixel_mm, self.pixel_mm)

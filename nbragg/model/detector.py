"""The detector as a person sets it up (canonical 2, 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import validate as check
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.records import Record, frozen
from .conventions import CONVENTIONS
from .materials import Layer, Material, as_layers, as_material
from .panel import FARTHEST, Panel, mask_array, pixel_edges
from .panel_moves import moved_panels

__all__ = ["Detector"]

#: fields that mean something beside explicit panels
_BESIDE_PANELS = ("panels", "shift_mm", "convention", "groups", "model", "header_fields")

#: of those, and of every panel, what `Detector.named` may be told
_SENSOR = ("material", "thickness_um", "attenuation_um", "thicksteps", "front")


@frozen(kw_only=True)
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
        Attenuation depth of the sensor, micrometre; infinity or 0: no absorption; None: that of the material,
        else the thickness.
    material : str or Material, optional
        What the sensor is made of, for its photoelectric absorption (`nbragg.attenuation`).  The fraction
        that it takes of each source's light is that at the wavelength of the source, where that is asked for
        every sample (``physics="exact"``, ``oversample_thick``); else that at their mean wavelength, as are
        the depths of its layers' photons.
    thickness_um : float
        Sensor thickness, micrometre; 0 means every photon is counted at the surface.
    thicksteps : int, optional
        Layers the sensor is cut into; None: 2 (canonical 6, 11).  With ``physics="exact"`` n layers of
        thickness/n have their photons at the mean depth of what each absorbs, and one layer puts a spot where
        many do; with ``physics="nanobragg"`` there are at least 2, of thickness/(n-1), with their photons at
        their fronts.
    front : sequence of (material, micrometre)
        What light crosses before it gets into the sensor (a dead layer, a metal, a foil), parallel to it.
    mask : array_like (spixels, fpixels), optional
        Pixels equal to 0 are skipped.
    panels : sequence of Panel, optional
        Panels by their places in the laboratory, instead of all of the above but ``shift_mm``, which moves
        all of them, and ``convention``, which then only says the directions of beam, polarization and
        spindle.
    groups : mapping of str to sequence of int
        Names of panels that belong together, by their indices: quadrants, modules; for `moved`.
    model : str
        Name of the library's detector that it began as (`named`); a label for people and files.
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
    material: str | Material | None = None
    thickness_um: float = 0.0
    thicksteps: int | None = None
    front: tuple[Layer, ...] = ()
    mask: npt.NDArray[np.uint8] | None = None
    panels: tuple[Panel, ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    model: str = ""
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
        if self.material is not None:
            as_material("material", self.material)
        self._set("front", as_layers("front", self.front))
        if self.mask is not None:
            self._set("mask", mask_array(self.mask))
        self._set("header_fields", tuple(self.header_fields))
        if not isinstance(self.model, str):
            raise InputError(f"model must be text, not {self.model!r}")
        if self.panels:
            self._check_panels()
        self._set("groups", self._checked_groups())

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
            if entry.name in _BESIDE_PANELS:
                continue
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray) or value != entry.default:
                raise InputError(
                    f"{entry.name} is said by the panels themselves: leave it out, or leave out panels"
                )

    def _checked_groups(self) -> dict[str, tuple[int, ...]]:
        if not isinstance(self.groups, Mapping):
            raise InputError(f"groups must map names to indices of panels, not {self.groups!r}")
        if self.groups and not self.panels:
            raise InputError("groups name panels: give panels, or leave out groups")
        most = len(self.panels) - 1
        groups = {}
        for name, which in self.groups.items():
            if not isinstance(name, str) or not name or not isinstance(which, (tuple, list, np.ndarray)):
                raise InputError(f"groups: {name!r}: {which!r}; a name and indices of panels were expected")
            where = f"groups[{name!r}]"
            indices = [check.count(where, n, at_least=0, at_most=most) for n in which]
            groups[name] = tuple(dict.fromkeys(indices))
        return groups

    @classmethod
    def named(
        cls, name: str, distance_mm: float | None = None, *, convention: str = "mosflm", **changes: Any
    ) -> Detector:
        """A detector of the library, perpendicular to the beam, which meets its middle.

        `detector_names` lists the names; ``nbragg detectors NAME`` says where the numbers come from, and
        which are nominal or typical only.

        Parameters
        ----------
        name : str
            ``"pilatus_6m"``; capitals, spaces and dashes are as good: ``"PILATUS 6M"``.
        distance_mm : float, optional
            Sample to the detector, mm; default 100.
        convention : str
            As the field.  A detector of several panels stands in the convention's laboratory: the beam along
            its beam, the slow axis of a detector of one panel down.
        **changes
            Fields in place of the library's: of a detector of one panel any; of several ``shift_mm``,
            ``groups``, and the sensor of every panel (``material``, ``thickness_um``, ``attenuation_um``,
            ``thicksteps``, ``front``).
            A beam centre counts in the convention's axes.

        Returns
        -------
        Detector
            Of one panel with its gaps masked, or of several panels with their `groups`.

        Raises
        ------
        InputError
            For a name that is not in the library (the nearest is named), and what panels do not take.

        Examples
        --------
        >>> import nbragg
        >>> nbragg.Detector.named("eiger_16m", distance_mm=250).fpixels
        4150
        >>> agipd = nbragg.Detector.named("AGIPD 1M", distance_mm=120)
        >>> len(agipd.panels), len(agipd.groups["q0"])
        (128, 32)
        """
        from .detector_library import library_entry, middle_fields

        entry = library_entry(name)
        check.choice("convention", convention, CONVENTIONS)
        label = {"model": entry.name, "convention": convention}
        if entry.grid is not None:
            middle = middle_fields(entry.grid.pixels, entry.pixel_mm, convention, changes)
            fields = {
                "distance_mm": distance_mm,
                "pixel_mm": entry.pixel_mm,
                "fpixels": entry.grid.pixels[0],
                "spixels": entry.grid.pixels[1],
                "mask": entry.grid.mask,
                **entry.sensor_fields(),
                **middle,
                # they stand for a default, which may be without effect
                "header_fields": tuple(middle),
            }
            return cls(**{**fields, **label, **changes})
        sensor = {name: changes.pop(name) for name in _SENSOR if name in changes}
        for change in changes:
            if change not in ("shift_mm", "groups", "header_fields"):
                raise InputError(
                    f"{entry.name} has {entry.panels} panels, and {change} is none of what they take: "
                    f"distance_mm, convention, shift_mm, groups, {', '.join(_SENSOR)}"
                )
        distance = 100.0 if distance_mm is None else check.number("distance_mm", distance_mm, above=0)
        panels = entry.placed(distance, convention, **sensor)
        return cls(**{"panels": panels, "groups": entry.groups(), **label, **changes})

    @classmethod
    def from_positions(
        cls,
        positions: Any,
        *,
        names: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[int]] | None = None,
        convention: str = "custom",
        **sensor: Any,
    ) -> Detector:
        """Panels fitted to the places of their pixels, which pyFAI and EXtra-geom, among others, list.

        Parameters
        ----------
        positions : array_like (panels, slow, fast, 3), or a sequence of (slow, fast, 3)
            Centres of the pixels, m, x, y, z of the laboratory.
        names : sequence of str, optional
            Of the panels; default p0, p1, ...
        groups : mapping, optional
            As the field.
        convention : str
            As the field: the directions of beam, polarization and spindle that `Beam` does not say.
        **sensor
            Fields of every panel: ``thickness_um`` ...

        Returns
        -------
        Detector

        Raises
        ------
        InputError
            For arrays of another shape, and a panel of which a pixel is more than 0.1 pixels off the plane
            and the grid that fit it best.

        Examples
        --------
        >>> import nbragg, numpy as np
        >>> y, x = np.mgrid[0:4, 0:6] * 1e-4
        >>> places = np.stack([x, y, np.full_like(x, 0.1)], axis=-1)[np.newaxis]
        >>> panel = nbragg.Detector.from_positions(places).panels[0]
        >>> panel.fpixels, np.round(panel.origin_mm, 6).tolist()
        (6, [-0.05, -0.05, 100.0])
        """
        from .fitted_panels import fitted_panels

        panels = fitted_panels(positions, names, **sensor)
        named = {name: tuple(which) for name, which in (groups or {}).items()}
        return cls(panels=panels, groups=named, convention=convention)

    def moved(
        self,
        group: str | int | Sequence[int],
        *,
        shift_mm: Sequence[float] = (0.0, 0.0, 0.0),
        rotation_deg: Sequence[float] = (0.0, 0.0, 0.0),
        about: str | Sequence[float] = "centre",
    ) -> Detector:
        """The detector with some of its panels moved as one rigid body: turned, then shifted.

        Parameters
        ----------
        group : str, int or sequence of int
            A group's name, else a panel's name, or indices of panels.
        shift_mm : 3 floats
            Along laboratory x, y, z, mm.
        rotation_deg : 3 floats
            About laboratory x, then y, then z, degrees, right-handed.
        about : "centre", "sample" or 3 floats
            The point that the rotation leaves in place: the mean of the panels' middles, the sample, or a
            point of the laboratory, mm.

        Returns
        -------
        Detector

        Raises
        ------
        InputError
            For a group that there is not (the nearest is named), and a detector that is placed by its
            convention: its ``shift_mm`` and rotations move it.

        Examples
        --------
        >>> import nbragg
        >>> agipd = nbragg.Detector.named("agipd_1m", distance_mm=120)
        >>> moved = agipd.moved("q0", shift_mm=(0, 0, 1.5), rotation_deg=(0, 0.2, 0))
        >>> moved.panels[0] == agipd.panels[0], moved.panels[32] == agipd.panels[32]
        (False, True)
        """
        if not self.panels:
            raise InputError(
                "a detector that is placed by its convention is moved by its fields: shift_mm, rotx_deg, "
                "roty_deg, rotz_deg"
            )
        panels = moved_panels(
            self.panels, self._members(group), shift_mm, rotation_deg, about, displaced=self.shift_mm
        )
        return self.replace(panels=panels)

    def _members(self, group: str | int | Sequence[int]) -> tuple[int, ...]:
        """Indices of the panels that are meant."""
        if isinstance(group, str):
            if group in self.groups:
                return self.groups[group]
            named = tuple(i for i, panel in enumerate(self.panels) if panel.name == group)
            if not named:
                known = dict.fromkeys([*self.groups, *(panel.name for panel in self.panels if panel.name)])
                near = suggestion(group, known) if known else ": give indices of panels"
                raise InputError(f"no group or panel {group!r}{near}")
            return named
        listed = group if isinstance(group, (Sequence, np.ndarray)) else (group,)
        most = len(self.panels) - 1
        return tuple(check.count("group", n, at_least=0, at_most=most) for n in listed)

    @property
    def pixel_edges_mm(self) -> tuple[float, float]:
        """Pixel edges along fast and slow, mm."""
        return self.pixel_mm if isinstance(self.pixel_mm, tuple) else (self.pixel_mm, self.pixel_mm)

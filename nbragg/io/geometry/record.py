"""What a file says of detector, beam and rotation, in the file's own laboratory frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...base import validate as check
from ...base.errors import InputError
from ...base.names import suggestion
from ...base.records import Record, frozen
from ...base.vectors import is_rotation
from ...model.beam import Beam
from ...model.crystal import Crystal
from ...model.detector import Detector
from ...model.panel import Panel
from ...model.sample import Sample, as_sample
from ...model.sampling import Sampling
from ...model.setup import Setup
from ...scene.record import Scene

__all__ = ["Geometry", "Readout", "check_values", "recorded_sensors", "turns"]

Vector = tuple[float, float, float]

#: fields of a Beam that a file may say
_OF_THE_BEAM = (
    "wavelength_A",
    "beam_vector",
    "polar_vector",
    "polarization",
    "flux",
    "fluence",
    "exposure_s",
    "beamsize_mm",
)
_VECTORS = ("beam_vector", "polar_vector", "spindle_axis")


@frozen(kw_only=True)
class Readout(Record):
    """What a file says of a panel's numbers, which no photon feels.

    Parameters
    ----------
    gain : float, optional
        Counts for each photon.
    trusted_range : (low, high), optional
        Counts between which pixels are to be trusted.
    material : str, optional
        Of the sensor.
    """

    gain: float | None = None
    trusted_range: tuple[float, float] | None = None
    material: str | None = None


@frozen(kw_only=True)
class Geometry(Record):
    """Panels, and what a file says of beam and rotation; None where it says nothing.

    Read by `nbragg.read_geometry`; `beam` and `detector` make of it what a `Setup` takes, and ask for what
    the file does not say.

    Parameters
    ----------
    panels : sequence of Panel
        In the file's frame.  A panel with a thickness and without an attenuation depth has one that is not
        known: `detector` asks for it.
    frame : str
        Name of the laboratory frame of every vector here.
    source : str
        Where it was read, for messages.
    wavelength_A : float, optional
    beam_vector : 3 floats
        Direction of travel.
    polar_vector : 3 floats, optional
        Direction of the electric field.
    polarization : float, optional
        Kahn factor.
    flux : float, optional
        Photons/s.
    fluence : float, optional
        Photons/m^2.
    exposure_s, beamsize_mm : float, optional
    spindle_axis : 3 floats, optional
        Rotation axis, right-handed.
    phi_deg, osc_deg : float, optional
        Start and width of the first image, degrees.
    images : int, optional
        Of a scan.
    readouts : sequence of Readout
        One for each panel.
    groups : mapping
        Name of a group of panels to their indices.

    Raises
    ------
    InputError
        For no panel, and values that are not finite or out of their range.

    Examples
    --------
    >>> import nbragg, tempfile
    >>> text = "clen = 0.1\\nphoton_energy = 9500\\nadu_per_eV = 1\\nres = 10000\\np/fs = x\\np/ss = y\\n"
    >>> text += "p/min_fs = 0\\np/max_fs = 99\\np/min_ss = 0\\np/max_ss = 49\\n"
    >>> text += "p/corner_x = -50\\np/corner_y = -25\\n"
    >>> with tempfile.NamedTemporaryFile("w", suffix=".geom") as file:
    ...     print(text, file=file, flush=True)
    ...     geometry = nbragg.read_geometry(file.name)
    >>> geometry.detector.panels[0].origin_mm
    (-5.0, -2.5, 100.0)
    >>> round(geometry.beam(polarization=0.99).wavelength_A, 4)
    1.3051
    """

    panels: tuple[Panel, ...]
    frame: str
    beam_vector: Vector
    source: str = field(default="", compare=False)
    wavelength_A: float | None = None
    polar_vector: Vector | None = None
    polarization: float | None = None
    flux: float | None = None
    fluence: float | None = None
    exposure_s: float | None = None
    beamsize_mm: float | None = None
    spindle_axis: Vector | None = None
    phi_deg: float | None = None
    osc_deg: float | None = None
    images: int | None = None
    readouts: tuple[Readout, ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self._set("panels", tuple(self.panels))
        if not self.panels or not all(isinstance(panel, Panel) for panel in self.panels):
            raise InputError(f"panels must be a sequence of at least one Panel, not {self.panels!r}")
        self._set("beam_vector", check.direction("beam_vector", self.beam_vector))
        for name in ("polar_vector", "spindle_axis"):
            self._set(name, check.optional_direction(name, getattr(self, name)))
        self._set("wavelength_A", check.optional_number("wavelength_A", self.wavelength_A, above=0))
        self._set(
            "polarization", check.optional_number("polarization", self.polarization, at_least=-1, at_most=1)
        )
        for name in ("flux", "fluence", "exposure_s", "osc_deg"):
            self._set(name, check.optional_number(name, getattr(self, name), at_least=0))
        for name in ("beamsize_mm", "phi_deg"):
            self._set(name, check.optional_number(name, getattr(self, name)))
        self._set("images", check.optional_count("images", self.images))
        self._set("readouts", tuple(self.readouts) or (Readout(),) * len(self.panels))
        if len(self.readouts) != len(self.panels):
            raise InputError(
                f"{len(self.readouts)} readouts for {len(self.panels)} panels: give one for each"
            )
        self._set("groups", {name: tuple(map(int, which)) for name, which in self.groups.items()})
        for name, which in self.groups.items():
            if not all(0 <= i < len(self.panels) for i in which):
                raise InputError(f"group {name!r} names the panels {which}; there are {len(self.panels)}")

    def _content(self) -> tuple[object, ...]:
        return (*super()._content(), tuple(sorted(self.groups.items())))

    @property
    def _named(self) -> str:
        return self.source or "the geometry"

    @property
    def detector(self) -> Detector:
        """The detector, whose directions are those of the beam and the crystal (convention ``"custom"``).

        Raises
        ------
        InputError
            For a sensor whose attenuation depth the file does not say.
        """
        for panel, readout in zip(self.panels, self.readouts, strict=True):
            if panel.thickness_um > 0 and panel.attenuation_um is None and panel.material is None:
                what = " ".join(word for word in (readout.material, "sensor") if word)
                material = readout.material or "Si"
                raise InputError(
                    f"{self._named} says {panel.thickness_um:g} um of a {what}, but not how deep photons go: "
                    f'give values={{"material": "{material}"}}, {{"attenuation_um": ...}} (1000 / mu, mu in '
                    '1/mm, at the wavelength) or {"thickness_um": 0}, with which every photon is counted at '
                    "the surface, to read_geometry; -detector_material, -detector_abs or -detector_thick 0 "
                    "on a command line"
                )
        return Detector(convention="custom", panels=self.panels, groups=self.groups)

    def beam(self, **more: Any) -> Beam:
        """The beam, as far as the file says it, with ``more`` for the rest and in place of what it says.

        Parameters
        ----------
        **more
            Fields of :class:`nbragg.Beam`.

        Raises
        ------
        InputError
            Where neither says the wavelength or the polarization, and for a flux from which no fluence
            follows.
        """
        return Beam(**self.beam_fields(**more))

    def beam_fields(self, **more: Any) -> dict[str, Any]:
        """Fields of the beam that `beam` makes, and the same errors."""
        said = {name: getattr(self, name) for name in _OF_THE_BEAM}
        known = {name: value for name, value in said.items() if value is not None} | more
        if known.get("wavelength_A") is None and getattr(more.get("sources"), "wavelengths_A", None) is None:
            raise self._missing("the wavelength", "wavelength_A=1.0", "-lambda")
        if not known.get("nopolar"):
            if known.get("polarization") is None:
                text = "polarization=0.99 (Kahn factor; nopolar=True: none)"
                raise self._missing("the polarization", text, "-polar or -nopolar")
            if known["polarization"] and known.get("polar_vector") is None:
                text = "polar_vector=(x, y, z)"
                raise self._missing("the direction of the electric field", text, "-polar_vector")
        _settle_strength(known, more, self._named)
        return known

    def _missing(self, what: str, give: str, option: str) -> InputError:
        return InputError(
            f"{self._named} does not say {what}: give {give} to beam(); {option} on a command line"
        )

    def setup(
        self,
        sample: Sample | Crystal,
        *,
        sampling: Sampling | None = None,
        physics: str = "exact",
        **beam_fields: Any,
    ) -> Setup:
        """A Setup of this detector and beam, with the file's spindle where the crystals have none.

        Parameters
        ----------
        sample : Sample or Crystal
        sampling : Sampling, optional
        physics : str
        **beam_fields
            As for `beam`.

        Raises
        ------
        InputError
            As `beam` and `detector`; for a crystal that turns about an axis that nobody says.
        """
        whole = as_sample(sample)
        first = whole.crystals[0]
        if first.spindle_axis is None and self.spindle_axis is not None:
            turned = tuple(crystal.replace(spindle_axis=self.spindle_axis) for crystal in whole.crystals)
            whole = whole.replace(crystals=turned)
        elif first.spindle_axis is None and turns(first):
            raise InputError(
                f"{self._named} does not say about which axis the crystal turns: give spindle_axis=(x, y, z) "
                f"in its frame ({self.frame}); -spindle_axis on a command line"
            )
        return Setup(whole, self.beam(**beam_fields), self.detector, sampling, physics)

    def turned(self, rotation: npt.ArrayLike, frame: str) -> Geometry:
        """The same in another frame.

        Parameters
        ----------
        rotation : array_like (3, 3)
            Of a vector here into the other frame.
        frame : str
            The other's name.
        """
        matrix = np.asarray(rotation, dtype=np.float64)
        if matrix.shape != (3, 3) or not is_rotation(matrix.tolist()):
            raise InputError("rotation must be a (3, 3) rotation matrix")

        def moved(vector: Vector | None) -> Any:
            return None if vector is None else tuple((matrix @ np.asarray(vector)).tolist())

        panels = tuple(
            panel.replace(**{name: moved(getattr(panel, name)) for name in ("origin_mm", "fast", "slow")})
            for panel in self.panels
        )
        vectors = {name: moved(getattr(self, name)) for name in _VECTORS}
        return self.replace(panels=panels, frame=frame, **vectors)

    def with_values(self, values: Mapping[str, Any]) -> Geometry:
        """With the sensors that were given by hand: ``attenuation_um``, ``thickness_um``, ``material``.

        A material takes the place of the file's attenuation depth.
        """
        names = ("attenuation_um", "thickness_um", "material")
        given = {name: values[name] for name in names if name in values}
        if "material" in given:
            given.setdefault("attenuation_um", None)
        return self.replace(panels=tuple(panel.replace(**given) for panel in self.panels)) if given else self

    @classmethod
    def from_scene(cls, scene: Scene) -> Geometry:
        """Of what a Scene was built with, in the simulation's frame.

        Raises
        ------
        InputError
            For a curved detector, which panels are not.
        """
        panels, labels = [], scene.placement.labels
        named = len(labels.panels) == len(scene.panels)
        for i, (panel, place) in enumerate(zip(scene.panels, scene.placement.panels, strict=True)):
            if panel.curved != "flat":
                raise InputError("a curved detector is no list of flat panels: take curved=False")
            panels.append(
                Panel(
                    origin_mm=_three(place.pix0 * 1e3),
                    fast=_three(panel.fdet),
                    slow=_three(panel.sdet),
                    fpixels=panel.fpixels,
                    spixels=panel.spixels,
                    pixel_mm=(panel.pixel[0] * 1e3, panel.pixel[1] * 1e3),
                    first=panel.first,
                    thickness_um=panel.thickness * 1e6,
                    attenuation_um=(1e6 / panel.mu if panel.mu else 0.0) if panel.thickness else None,
                    mask=panel.mask,
                    name=(named and labels.panels[i]) or f"p{i}",
                )
            )
        place = scene.placement.panels[0]
        return cls(
            panels=tuple(panels),
            frame=f"simulation, convention {place.convention}",
            wavelength_A=scene.placement.wavelength * 1e10,
            beam_vector=_three(place.beam_vector),
            polar_vector=_three(scene.polar_vector),
            polarization=None if scene.nopolar else scene.polarization,
            fluence=scene.fluence,
            spindle_axis=_three(place.spindle),
            groups=labels.groups if named else {},
        )


def _settle_strength(known: dict[str, Any], more: Mapping[str, Any], source: str) -> None:
    """Fluence or flux: what is given wins; a flux needs what makes a fluence of it."""
    if "fluence" in more and "flux" not in more:
        known.pop("flux", None)
    complete = all(known.get(name) is not None for name in ("exposure_s", "beamsize_mm"))
    if not known.get("flux") or complete:
        return
    if known.get("fluence") is not None and "flux" not in more:
        del known["flux"]
        return
    if "flux" not in more:
        raise InputError(
            f"{source} says a flux of {known['flux']:g} photons/s, and neither exposure nor beam size, with "
            "which it would be a fluence: give exposure_s= and beamsize_mm=, or fluence=, or flux=0; "
            "-exposure and -beamsize, or -fluence, on a command line"
        )


def turns(crystal: Crystal) -> bool:
    """Whether the spindle moves the crystal at all."""
    steps = crystal.osc_deg or crystal.phistep_deg or (crystal.phisteps or 1) > 1
    return bool(crystal.phi_deg or steps)


def _three(vector: Any) -> Vector:
    x, y, z = (float(v) for v in vector)
    return x, y, z


def recorded_sensors(record: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Sensors of so many panels, as fields of a Panel, from the record that nanobragg keeps in its images.

    Headers for other programs name a thickness even where there is none; the record says what was simulated.
    An attenuation depth of 0 is a sensor without absorption; one that is not there is not known.
    """
    of_each = record.get("panels") or [record] * count
    sensors = []
    for entry in of_each:
        thickness = float(entry.get("sensor_um", 0.0))
        depth = entry.get("attenuation_um") if thickness > 0 else None
        sensors.append({"thickness_um": thickness, "attenuation_um": None if depth is None else float(depth)})
    return sensors


def check_values(values: Mapping[str, Any] | None, known: tuple[str, ...], source: str) -> dict[str, Any]:
    """What was given for what a file does not say.

    Parameters
    ----------
    values : mapping or None
    known : tuple of str
        Names that the format takes; keys that begin with ``/`` are locations in image files.
    source : str

    Raises
    ------
    InputError
        For a name that is not known.
    """
    given = dict(values or {})
    for name in given:
        if name not in known and not str(name).startswith("/"):
            raise InputError(f"values: {source} takes no {name!r}{suggestion(str(name), known)}")
    return given

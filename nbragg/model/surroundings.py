"""What stands in the way of the light: gas, windows, the sample itself, beam stops, apertures and shadows."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.vectors import FloatArray
from .materials import Layer, Material, as_layers, as_material
from .panel import FARTHEST

__all__ = [
    "Aperture",
    "Beamstop",
    "SampleAbsorption",
    "Shadow",
    "Surroundings",
    "Window",
]

#: of a window: which way it faces
NORMALS = ("beam", "detector", "radial")

Direction = tuple[float, float, float]
R = TypeVar("R", bound=Record)


@frozen(kw_only=True)
class Window(Record):
    """A sheet of material that light crosses on its way to the detector.

    Parameters
    ----------
    material : str or Material
    thickness_um : float
        Micrometre.
    normal : {"beam", "detector", "radial"} or 3 floats
        Flat and normal to the beam, parallel to each panel, or normal to a direction in the laboratory: the
        path is the thickness over the cosine.  Or bent about the sample, so that all light goes straight
        through.
    distance_mm : float, optional
        Where a flat sheet stands, from the sample along its normal, mm; negative: upstream, where the beam
        crosses it. None: scattered light crosses it, wherever that comes from, and the beam does not.

    Raises
    ------
    InputError
        For a material that is not known, a negative thickness, a ``normal`` of another kind, a distance of
        0, and one of a radial window.

    Examples
    --------
    >>> import nbragg
    >>> window = nbragg.Window(material="Kapton", thickness_um=25)
    >>> nbragg.Surroundings(windows=window).windows
    (Window(material='Kapton', thickness_um=25.0),)
    """

    material: str | Material
    thickness_um: float
    normal: str | Direction = "beam"
    distance_mm: float | None = None

    def __post_init__(self) -> None:
        as_material("material", self.material)
        self._set("thickness_um", check.number("thickness_um", self.thickness_um, at_least=0))
        self._set("normal", _normal(self.normal, NORMALS))
        if self.distance_mm is None:
            return
        if self.normal == "radial":
            raise InputError("a radial window has no distance_mm: all light goes straight through it")
        self._set("distance_mm", _place("distance_mm", self.distance_mm))


@frozen(kw_only=True)
class SampleAbsorption(Record):
    """Absorption in what surrounds the crystal: a ball (drop, loop) or a slab (chip, jet sheet).

    Parameters
    ----------
    material : str or Material
    radius_mm : float, optional
        Of a ball, mm.
    thickness_mm : float, optional
        Of a slab, mm; instead of a radius.
    normal : "beam" or 3 floats
        Normal of the slab, in the laboratory.
    crystal_at_mm : 3 floats, optional
        Where in it the crystal is, from its centre, laboratory frame, mm: all light takes the paths to and
        from there. None: light comes from everywhere in it alike, and counts the mean over it.

    Raises
    ------
    InputError
        For a material that is not known, a size that is not positive, both or neither of the sizes, a
        crystal outside.

    Notes
    -----
    Slab: International Tables C, 6.3.3; light that goes through has exp(-b) (1 - exp(b - a))/(a - b) with
    the depths a and b on the straight ways in and out, light that comes back (1 - exp(-a - b))/(a + b).
    Ball: the mean depends on the scattering angle alone and is integrated numerically.  What the beam's own
    size is does not enter.

    Examples
    --------
    >>> import nbragg
    >>> drop = nbragg.SampleAbsorption(material="water", radius_mm=0.2)
    >>> chip = nbragg.SampleAbsorption(material="Si", thickness_mm=0.02, normal=(1, 0, 0.3))
    """

    material: str | Material
    radius_mm: float | None = None
    thickness_mm: float | None = None
    normal: str | Direction = "beam"
    crystal_at_mm: Direction | None = None

    def __post_init__(self) -> None:
        as_material("material", self.material)
        for name in ("radius_mm", "thickness_mm"):
            self._set(name, check.optional_number(name, getattr(self, name), above=0, at_most=FARTHEST))
        if (self.radius_mm is None) == (self.thickness_mm is None):
            raise InputError("sample absorption needs radius_mm, of a ball, or thickness_mm, of a slab")
        self._set("normal", _normal(self.normal, ("beam",)))
        if self.radius_mm is not None and self.normal != "beam":
            raise InputError("normal is of a slab: leave it out, or give thickness_mm instead of radius_mm")
        if self.crystal_at_mm is not None:
            at = check.vector("crystal_at_mm", self.crystal_at_mm)
            if self.radius_mm is not None and sum(x * x for x in at) > self.radius_mm**2:
                raise InputError(f"crystal_at_mm {at} is outside the ball of radius {self.radius_mm:g} mm")
            self._set("crystal_at_mm", at)


@frozen(kw_only=True)
class Beamstop(Record):
    """A disc, with or without an arm that holds it, in a plane normal to the beam.

    Parameters
    ----------
    distance_mm : float
        From the sample along the beam, mm.
    diameter_mm : float
        Of the disc, mm.
    centre_mm : (u, v)
        Its centre, from where the beam meets the plane, mm: u along the polarization vector of the
        convention, v along beam x polarization.
    arm_width_mm : float
        Width of the arm, mm; 0: there is none.
    arm_angle_deg : float
        Direction in which the arm goes out from the centre, from u towards v, degrees.
    transmission : float
        Share of the light that passes, 0 to 1.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, and a distance of 0.

    Examples
    --------
    >>> import nbragg
    >>> stop = nbragg.Beamstop(distance_mm=30, diameter_mm=1.5, arm_width_mm=0.3, arm_angle_deg=90)
    """

    distance_mm: float
    diameter_mm: float
    centre_mm: tuple[float, float] = (0.0, 0.0)
    arm_width_mm: float = 0.0
    arm_angle_deg: float = 0.0
    transmission: float = 0.0

    def __post_init__(self) -> None:
        _check_plane(self)
        self._set("arm_width_mm", check.number("arm_width_mm", self.arm_width_mm, at_least=0))
        self._set("arm_angle_deg", check.number("arm_angle_deg", self.arm_angle_deg))


@frozen(kw_only=True)
class Aperture(Record):
    """A plate with a round hole, normal to the beam: a collimator, a nozzle, the opening of a cryostat.

    Parameters
    ----------
    distance_mm : float
        From the sample along the beam, mm; negative: upstream.
    diameter_mm : float
        Of the hole, mm.
    centre_mm : (u, v)
        Its centre, mm, as of a `Beamstop`.
    transmission : float
        Share of the light that passes beside the hole, 0 to 1.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, and a distance of 0.

    Examples
    --------
    >>> import nbragg
    >>> collimator = nbragg.Aperture(distance_mm=-10, diameter_mm=0.5)
    """

    distance_mm: float
    diameter_mm: float
    centre_mm: tuple[float, float] = (0.0, 0.0)
    transmission: float = 0.0

    def __post_init__(self) -> None:
        _check_plane(self)


@frozen(kw_only=True)
class Shadow(Record):
    """Whatever has this outline in a plane normal to the beam: a pin, a nozzle.

    Parameters
    ----------
    distance_mm : float
        From the sample along the beam, mm; negative: upstream.
    polygon_mm : array_like (n, 2)
        Corners (u, v) in their order, mm, as the centre of a `Beamstop`; at least 3.  Where the outline
        crosses itself the even-odd rule holds.
    transmission : float
        Share of the light that passes, 0 to 1.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, a distance of 0, fewer than 3 corners.

    Examples
    --------
    >>> import nbragg
    >>> pin = nbragg.Shadow(distance_mm=2, polygon_mm=[(0.2, -0.1), (5, -0.5), (5, 0.5), (0.2, 0.1)])
    """

    distance_mm: float
    polygon_mm: FloatArray
    transmission: float = 0.0

    def __post_init__(self) -> None:
        self._set("distance_mm", _place("distance_mm", self.distance_mm))
        self._set("polygon_mm", check.frozen_array("polygon_mm", self.polygon_mm, (None, 2)))
        if len(self.polygon_mm) < 3:
            raise InputError(f"polygon_mm needs at least 3 corners, not {len(self.polygon_mm)}")
        self._set("transmission", check.number("transmission", self.transmission, at_least=0, at_most=1))


@frozen(kw_only=True)
class Surroundings(Record):
    """All that stands in the way of the light; what is not given is not there.

    Parameters
    ----------
    gas : str or Material, optional
        Gas that fills the way from the sample to the detector, such as ``"air"`` or ``"helium"``.
    vacuum_mm : float
        Length of that way that is evacuated, mm.
    windows : sequence of Window
    sample_absorption : SampleAbsorption, optional
    upstream : sequence of (material, micrometre)
        What the beam crosses before the sample: it weakens the fluence, and at several wavelengths shifts
        the weights of the sources.
    beamstops : sequence of Beamstop
    apertures : sequence of Aperture
    shadows : sequence of Shadow
    direct_beam : bool
        Whether the image holds the direct beam, where the detector stands in it.  Its profile is a Gaussian
        with the beam size as full width at half maximum, once for every source.

    Raises
    ------
    InputError
        For a part of another kind, or a value out of its range.

    Notes
    -----
    Absorption is that of a narrow beam (`nbragg.attenuation`, kind "total") at each source's wavelength.
    The factor multiplies Bragg scattering and background alike; it is that of the middle of sub-pixels, so
    that the edge of a shadow is as soft as sub-pixels make it.  A thing normal to the beam is crossed by
    the light that passes its plane: light scattered behind it by what it met before that.

    Examples
    --------
    >>> import nbragg
    >>> around = nbragg.Surroundings(gas="helium", beamstops=nbragg.Beamstop(distance_mm=30, diameter_mm=2))
    >>> around.beamstops[0].distance_mm
    30.0
    """

    gas: str | Material | None = None
    vacuum_mm: float = 0.0
    windows: tuple[Window, ...] = ()
    sample_absorption: SampleAbsorption | None = None
    upstream: tuple[Layer, ...] = ()
    beamstops: tuple[Beamstop, ...] = ()
    apertures: tuple[Aperture, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    direct_beam: bool = False

    def __post_init__(self) -> None:
        if self.gas is not None:
            as_material("gas", self.gas)
        self._set("vacuum_mm", check.number("vacuum_mm", self.vacuum_mm, at_least=0))
        self._set("windows", _listed("windows", self.windows, Window))
        self._set("beamstops", _listed("beamstops", self.beamstops, Beamstop))
        self._set("apertures", _listed("apertures", self.apertures, Aperture))
        self._set("shadows", _listed("shadows", self.shadows, Shadow))
        self._set("upstream", as_layers("upstream", self.upstream))
        absorbs = self.sample_absorption
        if absorbs is not None and not isinstance(absorbs, SampleAbsorption):
            raise InputError(f"sample_absorption must be a SampleAbsorption, not a {type(absorbs).__name__}")
        self._set("direct_beam", check.flag("direct_beam", self.direct_beam))


def _check_plane(what: Beamstop | Aperture) -> None:
    """Fields that a disc and a hole have in common."""
    what._set("distance_mm", _place("distance_mm", what.distance_mm))
    what._set("diameter_mm", check.number("diameter_mm", what.diameter_mm, above=0, at_most=FARTHEST))
    what._set("centre_mm", check.vector("centre_mm", what.centre_mm, 2))
    what._set("transmission", check.number("transmission", what.transmission, at_least=0, at_most=1))


def _place(name: str, value: Any) -> float:
    """A distance from the sample, which is not at the sample."""
    distance = check.number(name, value, at_least=-FARTHEST, at_most=FARTHEST)
    if distance == 0:
        raise InputError(f"{name} must not be 0: nothing can stand at the sample itself")
    return distance


def _normal(value: Any, words: tuple[str, ...]) -> str | Direction:
    if isinstance(value, str):
        return check.choice("normal", value, words)
    if not isinstance(value, (tuple, list, np.ndarray)):
        raise InputError(f"normal must be one of {', '.join(words)}, or 3 numbers, not {value!r}")
    return check.direction("normal", value)


def _listed(name: str, value: Any, kind: type[R]) -> tuple[R, ...]:
    """One record, or a sequence of them, as a tuple."""
    given = (value,) if isinstance(value, kind) else value
    if not isinstance(given, (tuple, list)):
        raise InputError(f"{name} must be a sequence of {kind.__name__}, not {given!r}")
    for i, part in enumerate(given):
        if not isinstance(part, kind):
            raise InputError(f"{name}[{i}] must be a {kind.__name__}, not a {type(part).__name__}")
    return tuple(given)

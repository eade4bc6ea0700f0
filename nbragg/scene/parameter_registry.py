"""The continuous parameters of a set-up: one registry, one line each (gradients 2).

A parameter is a field of a record, or an element of one.  What is not here is held: counts, seeds, words,
flags, directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.cached import cached_property
from ..base.numbers import read_only
from ..base.vectors import FloatArray
from ..model.background import SHIPPED, Background
from ..model.setup import Setup
from ..response.expected.moments import slope_names
from .crystal_cell import misset
from .detector_frame import Directions, effective_convention, effective_pivot, given_vectors
from .mosaicity import domain_count
from .parameter_records import record_at, with_fields
from .sources import beam_fluence, flux_decides

__all__ = ["CELL", "REGISTRY", "Entry", "in_force", "with_numbers"]

#: elements of crystal.cell
CELL = ("a", "b", "c", "alpha", "beta", "gamma")

#: (setup, number) -> why there is no derivative, as the end of a sentence, or ""
Refusal = Callable[[Setup, int], str]


@dataclass(frozen=True)
class Entry:
    """A field that may be named.

    Attributes
    ----------
    name : str
        Record and field, ``"crystal.mosaic_spread_deg"``.
    unit : str
    position : bool
        Whether it moves samples in reciprocal space, which the steps of a top hat do not feel.
    value : callable or None
        (setup, number) -> what is in force where the field itself may not say it; None: what the field holds.
    without : callable or None
        Why it has no derivative in a set-up.
    settle : callable or None
        (setup, number) -> the set-up with what is in force written into the field, and with the choices that
        hang on the field's value made; None: nothing to do.
    holds : callable or None
        (content of the field, numbers) -> its content with these numbers; None: the field holds just them.
    """

    name: str
    unit: str
    position: bool = True
    value: Callable[[Setup, int], Any] | None = None
    without: Refusal | None = None
    settle: Callable[[Setup, int], Setup] | None = None
    holds: Callable[[Any, Any], Any] | None = None

    @cached_property
    def record(self) -> str:
        """``"crystal"``, ``"beam"``, ``"sources"``, ..."""
        return self.name.rpartition(".")[0].rpartition(".")[2]

    @cached_property
    def field(self) -> str:
        return self.name.rpartition(".")[2]


def in_force(setup: Setup, entry: Entry, number: int) -> Any:
    """What an entry's field stands for: a number, a tuple or an array; None: it is not set."""
    if entry.value is not None:
        return entry.value(setup, number)
    record = record_at(setup, entry.record, number)
    return getattr(record, entry.field, None)


def with_numbers(setup: Setup, entry: Entry, number: int, numbers: Any) -> Setup:
    """The set-up with what `in_force` gives exchanged, of any number type; nothing is checked."""
    if entry.holds is not None:
        numbers = entry.holds(getattr(record_at(setup, entry.record, number), entry.field), numbers)
    return with_fields(setup, entry.record, number, **{entry.field: numbers})


# ---- what is in force --------------------------------------------------------------------------------------


def _misset(setup: Setup, number: int) -> tuple[float, ...]:
    """The angles of a drawn misset, of an orientation matrix, or 0 where nothing was given."""
    crystal = setup.sample.crystals[number]
    if crystal.orientation is None and isinstance(crystal.misset_deg, tuple):
        return crystal.misset_deg
    return tuple(math.degrees(x) for x in misset(crystal, setup.rules))


def _settle_misset(setup: Setup, number: int) -> Setup:
    fields = {"misset_deg": _misset(setup, number), "orientation": None, "misset_seed": None}
    return with_fields(setup, "crystal", number, **fields)


def _domain_weight(setup: Setup, number: int) -> tuple[float, ...]:
    crystal = setup.sample.crystals[number]
    if crystal.domain_weight is not None:
        return crystal.domain_weight
    return (1.0,) * domain_count(crystal)


def _settle_domain_weight(setup: Setup, number: int) -> Setup:
    return with_fields(setup, "crystal", number, domain_weight=_domain_weight(setup, number))


def _fractions(setup: Setup, number: int) -> tuple[float, ...] | None:
    """Of the twin's individuals."""
    return tuple(fraction for _, fraction in setup.sample.crystals[number].twin) or None


def _with_fractions(twin: Any, fractions: Any) -> Any:
    return tuple((law, fraction) for (law, _), fraction in zip(twin, fractions, strict=True))


def _fluence(setup: Setup, number: int) -> float:
    return beam_fluence(setup.beam._with(fluence=None) if flux_decides(setup.beam) else setup.beam)


def _settle_fluence(setup: Setup, number: int) -> Setup:
    return with_fields(setup, "beam", 0, fluence=_fluence(setup, number), flux=0.0)


def _settle_pivot(setup: Setup, number: int) -> Setup:
    """The pivot of a custom convention hangs on twotheta: once said, it stays."""
    detector, beam = setup.detector, setup.beam
    directions = Directions(beam.beam_vector, beam.polar_vector, setup.sample.crystals[0].spindle_axis)
    convention = effective_convention(detector, given_vectors(detector, directions))
    if detector.pivot is not None or convention != "custom":
        return setup
    return with_fields(setup, "detector", 0, pivot=effective_pivot(detector, convention, setup.rules))


# ---- why there is no derivative ----------------------------------------------------------------------------


def _collapses(record: str, field: str) -> Refusal:
    """A range of 0 is one point."""

    def without(setup: Setup, number: int) -> str:
        given = getattr(record_at(setup, record, number), field)
        collapsed = given is not None and not np.any(given)
        return "is 0, and its range has collapsed to one point: give a small value" if collapsed else ""

    return without


def _not_given_at_zero(record: str, field: str) -> Refusal:
    """A step of 0 counts as not given."""

    def without(setup: Setup, number: int) -> str:
        given = getattr(record_at(setup, record, number), field)
        return "is not set: a step of 0 counts as not given" if given == 0 else ""

    return without


def _weighed(setup: Setup, number: int) -> str:
    given = setup.sample.crystals[number].mosaic_weights is not None
    return "has no effect: crystal.mosaic_weights weighs the domains" if given else ""


def _tensor(setup: Setup, number: int) -> str:
    shape = setup.sample.crystals[number].shape
    return "" if shape in ("gauss", "tophat") else f"is of the shapes gauss and tophat, not {shape}"


def _sensor(record: str) -> Refusal:
    def without(setup: Setup, number: int) -> str:
        if record_at(setup, record, number).thickness_um == 0:
            return "is that of a sensor of thickness_um 0, which captures all: give a small thickness"
        return ""

    return without


def _attenuation(record: str) -> Refusal:
    def without(setup: Setup, number: int) -> str:
        depth = record_at(setup, record, number).attenuation_um
        if depth is not None and (depth == 0 or math.isinf(depth)):
            return f"is {depth:g}, which is a sensor that does not absorb: give a finite depth"
        return _sensor(record)(setup, number)

    return without


def _flux(setup: Setup, number: int) -> str:
    decides = flux_decides(setup.beam)
    return "" if decides else "does not decide the fluence, which no flux is given for: take beam.fluence"


def _distance(setup: Setup, number: int) -> str:
    decided = setup.detector.close_distance_mm is not None
    return "has no effect: detector.close_distance_mm decides" if decided else ""


def _weights(setup: Setup, number: int) -> str:
    return "" if setup.rules.weighs_sources else "counts with physics 'exact' only"


def _of_energy(setup: Setup, number: int) -> str:
    if not setup.sample.crystals[number].structure_factors.nodes:
        return ""
    return "has no effect: the structure factors depend on the energy, and tables hold them"


def _background(setup: Setup, number: int) -> Background:
    found = setup.backgrounds[number]
    assert isinstance(found, Background)  # else the field is none of the record's
    return found


def _rows_F(setup: Setup, number: int) -> FloatArray | None:
    """F of the rows."""
    one = setup.backgrounds[number]
    return one.rows[:, 1] if isinstance(one, Background) else None


def _settle_rows(setup: Setup, number: int) -> Setup:
    """A material's rows written into the field, with what else it says."""
    one = _background(setup, number)
    if one.material is None:
        return setup
    fields = {"table": one.rows, "density": _density(setup, number), "molar_mass": _molar_mass(setup, number)}
    return with_fields(setup, "backgrounds", number, **fields)


def _with_F(rows: Any, F: FloatArray) -> FloatArray:
    return read_only(np.stack([rows[:, 0], F], axis=1))


def _made_of(field: str) -> Callable[[Setup, int], float | None]:
    """Of the material, where the field does not say it."""

    def value(setup: Setup, number: int) -> float | None:
        one = setup.backgrounds[number]
        if not isinstance(one, Background) or getattr(one, field) is not None:
            return getattr(one, field, None)
        made_of: float = getattr(one.material or SHIPPED["unity"], field)
        return made_of

    return value


_density, _molar_mass = _made_of("density"), _made_of("molar_mass")


def _amount(setup: Setup, number: int) -> str:
    given = _background(setup, number).molecules is not None
    return "has no effect: molecules says how many there are" if given else ""


def _thickness(setup: Setup, number: int) -> str:
    if _background(setup, number).path_mm is not None:
        return "has no effect: path_mm says where it begins and ends"
    return _amount(setup, number) if _background(setup, number).segments == 1 else ""


def _edge(field: str) -> Refusal:
    def without(setup: Setup, number: int) -> str:
        size = setup.beam.beamsize_mm
        if 0 <= size < getattr(_background(setup, number), field):
            return f"has no effect: the beam of {size:g} mm cuts it"
        return _amount(setup, number)

    return without


def _sharp(setup: Setup, number: int) -> str:
    return (
        "moves a sharp edge: the derivative of the image is 0 but where the edge crosses the middle of a "
        "sub-pixel; transmission has one everywhere"
    )


def _of_response(field: str) -> Refusal:
    """What the response at hand has no mean or variance by."""

    def without(setup: Setup, number: int) -> str:
        response = setup.response
        assert response is not None  # else it is not set
        if field not in slope_names(response):
            return f"is no number of a detector of kind {response.kind!r}"
        spread = {"psf_fwhm_um": response.psf != "none", "charge_sigma_um": True}
        if field in spread and not (spread[field] and getattr(response, field)):
            return "is of a spread that is not there: give a small one"
        return ""

    return without


def _adc(setup: Setup, number: int) -> float | None:
    return None if setup.response is None else setup.response.resolved_adc


def _whole_matrix(field: str) -> Refusal:
    def without(setup: Setup, number: int) -> str:
        whole = np.ndim(getattr(setup.sample.crystals[number].diffuse, field)) == 2
        return "is a matrix, which has to stay symmetric: give one or three numbers" if whole else ""

    return without


def _vacuum(setup: Setup, number: int) -> str:
    around = setup.surroundings
    return "" if around is not None and around.gas is not None else "has no effect: there is no gas"


def _thicknesses(field: str, owner: Callable[[Setup, int], Any]) -> Callable[[Setup, int], Any]:
    """Micrometres of pairs of a material and its thickness."""

    def value(setup: Setup, number: int) -> Any:
        record = owner(setup, number)
        layers = getattr(record, field, ())
        return tuple(um for _, um in layers) if layers else None

    return value


def _with_thicknesses(layers: Any, numbers: Any) -> Any:
    return tuple((material, um) for (material, _), um in zip(layers, numbers, strict=True))


def _layers(record: str, field: str) -> Entry:
    short = record.rpartition(".")[2]
    value = _thicknesses(field, lambda setup, number: record_at(setup, short, number))
    return Entry(f"{record}.{field}", "um", position=False, value=value, holds=_with_thicknesses)


# ---- the registry ------------------------------------------------------------------------------------------


def _panel_entries(record: str) -> tuple[Entry, ...]:
    """What a detector of one panel and an explicit panel have alike."""
    return (
        Entry(f"{record}.pixel_mm", "mm"),
        Entry(f"{record}.thickness_um", "um", without=_sensor(record.rpartition(".")[2])),
        Entry(f"{record}.attenuation_um", "um", without=_attenuation(record.rpartition(".")[2])),
        _layers(record, "front"),
    )


def _of_background(field: str, unit: str, **more: Any) -> Entry:
    return Entry(f"backgrounds.{field}", unit, position=False, **more)


def _response(field: str, unit: str, **more: Any) -> Entry:
    return Entry(f"response.{field}", unit, position=False, without=_of_response(field), **more)


def _motion(field: str, unit: str, without: Refusal | None = None) -> Entry:
    return Entry(f"crystal.diffuse.{field}", unit, position=False, without=without)


def _around(field: str, unit: str, without: Refusal | None = None) -> Entry:
    return Entry(f"surroundings.{field}", unit, position=False, without=without)


def _stop_entries(record: str, *edges: tuple[str, str]) -> tuple[Entry, ...]:
    """Of what has sharp edges."""
    sharp = (_around(f"{record}.{field}", unit, _sharp) for field, unit in (("distance_mm", "mm"), *edges))
    return (_around(f"{record}.transmission", "-"), *sharp)


_DISC = (("diameter_mm", "mm"), ("centre_mm", "mm"))


_ENTRIES = (
    Entry("crystal.cell", "A"),  # angles in degrees: `unit_of`
    Entry("crystal.a_matrix", "1/A"),
    Entry("crystal.misset_deg", "deg", value=_misset, settle=_settle_misset),
    Entry("crystal.rotation_deg", "deg"),
    Entry("crystal.N", "-", position=False),
    Entry("crystal.blocks", "-", position=False),
    Entry("crystal.illuminated_volume_um3", "um^3", position=False),
    Entry("crystal.fudge", "-"),
    Entry("crystal.mosaic_spread_deg", "deg", without=_collapses("crystal", "mosaic_spread_deg")),
    Entry(
        "crystal.domain_weight",
        "-",
        position=False,
        value=_domain_weight,
        settle=_settle_domain_weight,
        without=_weighed,
    ),
    Entry("crystal.mosaic_weights", "-", position=False),
    Entry("crystal.cell_spread", "-", without=_collapses("crystal", "cell_spread")),
    Entry("crystal.Ndef", "-", position=False, without=_tensor),
    Entry("crystal.twin", "-", position=False, value=_fractions, holds=_with_fractions),
    Entry("crystal.phi_deg", "deg"),
    Entry("crystal.osc_deg", "deg", without=_collapses("crystal", "osc_deg")),
    Entry("crystal.phistep_deg", "deg", without=_not_given_at_zero("crystal", "phistep_deg")),
    Entry("crystal.structure_factors.values", "e", position=False, without=_of_energy),
    Entry("crystal.structure_factors.default_F", "e", position=False),
    _motion("gamma_A", "A", _whole_matrix("gamma_A")),
    _motion("sigma_A", "A", _whole_matrix("sigma_A")),
    _motion("temperature_K", "K"),
    _motion("v_L", "m/s"),
    _motion("v_T", "m/s"),
    _motion("mass_kDa", "kDa"),
    Entry("beam.wavelength_A", "A"),
    Entry("beam.spectrum.weights", "-", position=False),
    Entry("beam.spectrum.energies_eV", "eV"),
    Entry("beam.dispersion_pct", "%", without=_collapses("beam", "dispersion_pct")),
    Entry("beam.hdivrange_mrad", "mrad", without=_collapses("beam", "hdivrange_mrad")),
    Entry("beam.vdivrange_mrad", "mrad", without=_collapses("beam", "vdivrange_mrad")),
    Entry("beam.hdivstep_mrad", "mrad", without=_not_given_at_zero("beam", "hdivstep_mrad")),
    Entry("beam.vdivstep_mrad", "mrad", without=_not_given_at_zero("beam", "vdivstep_mrad")),
    Entry("beam.sources.positions", "m"),
    Entry("beam.sources.weights", "-", position=False, without=_weights),
    Entry("beam.sources.wavelengths_A", "A"),
    Entry("beam.polarization", "-", position=False),
    Entry("beam.polarization_azimuth_deg", "deg", position=False),
    Entry("beam.fluence", "ph/m^2", position=False, value=_fluence, settle=_settle_fluence),
    Entry("beam.flux", "ph/s", position=False, without=_flux),
    Entry("beam.exposure_s", "s", position=False, without=_flux),
    Entry("beam.beamsize_mm", "mm", position=False, without=_flux),
    Entry("detector.distance_mm", "mm", without=_distance),
    Entry("detector.close_distance_mm", "mm"),
    Entry("detector.Xbeam_mm", "mm"),
    Entry("detector.Ybeam_mm", "mm"),
    Entry("detector.Xclose_mm", "mm"),
    Entry("detector.Yclose_mm", "mm"),
    Entry("detector.ORGX", "px"),
    Entry("detector.ORGY", "px"),
    Entry("detector.rotx_deg", "deg"),
    Entry("detector.roty_deg", "deg"),
    Entry("detector.rotz_deg", "deg"),
    Entry("detector.twotheta_deg", "deg", settle=_settle_pivot),
    Entry("detector.shift_mm", "mm"),
    *_panel_entries("detector"),
    Entry("detector.panels.origin_mm", "mm"),
    *_panel_entries("detector.panels"),
    Entry("sampling.water_um", "um", position=False),
    Entry("sample.weights", "-", position=False),
    _of_background("molecules", "-"),
    _of_background("thickness_mm", "mm", without=_thickness),
    _of_background("width_mm", "mm", without=_edge("width_mm")),
    _of_background("height_mm", "mm", without=_edge("height_mm")),
    _of_background("density", "g/cm^3", value=_density, without=_amount),
    _of_background("molar_mass", "g/mol", value=_molar_mass, without=_amount),
    _of_background("path_mm", "mm"),
    _of_background("table", "e", value=_rows_F, settle=_settle_rows, holds=_with_F),
    _of_background("photons_per_sr", "ph/sr"),
    _around("vacuum_mm", "mm", _vacuum),
    _layers("surroundings", "upstream"),
    _around("windows.thickness_um", "um"),
    _around("windows.distance_mm", "mm", _sharp),
    _around("sample_absorption.radius_mm", "mm"),
    _around("sample_absorption.thickness_mm", "mm"),
    _around("sample_absorption.crystal_at_mm", "mm"),
    *_stop_entries("beamstops", *_DISC, ("arm_width_mm", "mm"), ("arm_angle_deg", "deg")),
    *_stop_entries("apertures", *_DISC),
    *_stop_entries("shadows", ("polygon_mm", "mm")),
    _response("scale", "-"),
    _response("flicker", "-"),
    _response("calibration", "-"),
    _response("psf_fwhm_um", "um"),
    _response("charge_sigma_um", "um"),
    _response("fano", "-"),
    _response("gain", "ADU"),
    _response("readout", "ADU"),
    _response("adc", "ADU", value=_adc),
    _response("dead_time_ns", "ns"),
)

#: by name
REGISTRY: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}

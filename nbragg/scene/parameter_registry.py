"""The continuous parameters of a set-up: one registry, one line each (gradients 2).

A parameter is a field of a record, or an element of one.  What is not here is held: counts, seeds, words,
flags, directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..model.setup import Setup
from .crystal_cell import misset
from .detector_frame import Directions, effective_convention, effective_pivot, given_vectors
from .parameter_records import record_at, with_fields
from .sources import beam_fluence, flux_decides
from .steps import resolve_mosaic

__all__ = ["CELL", "REGISTRY", "Entry", "in_force"]

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
    """

    name: str
    unit: str
    position: bool = True
    value: Callable[[Setup, int], Any] | None = None
    without: Refusal | None = None
    settle: Callable[[Setup, int], Setup] | None = None

    @property
    def record(self) -> str:
        """``"crystal"``, ``"beam"``, ``"sources"``, ..."""
        return self.name.rpartition(".")[0].rpartition(".")[2]

    @property
    def field(self) -> str:
        return self.name.rpartition(".")[2]


def in_force(setup: Setup, entry: Entry, number: int) -> Any:
    """What an entry's field stands for: a number, a tuple or an array; None: it is not set."""
    if entry.value is not None:
        return entry.value(setup, number)
    record = record_at(setup, entry.record, number)
    return None if record is None else getattr(record, entry.field)


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
    return (1.0,) * resolve_mosaic(crystal.mosaic_spread_deg, crystal.mosaic_domains)[1]


def _settle_domain_weight(setup: Setup, number: int) -> Setup:
    return with_fields(setup, "crystal", number, domain_weight=_domain_weight(setup, number))


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
        collapsed = getattr(record_at(setup, record, number), field) == 0
        return "is 0, and its range has collapsed to one point: give a small value" if collapsed else ""

    return without


def _not_given_at_zero(record: str, field: str) -> Refusal:
    """A step of 0 counts as not given."""

    def without(setup: Setup, number: int) -> str:
        given = getattr(record_at(setup, record, number), field)
        return "is not set: a step of 0 counts as not given" if given == 0 else ""

    return without


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


# ---- the registry ------------------------------------------------------------------------------------------


def _panel_entries(record: str) -> tuple[Entry, ...]:
    """What a detector of one panel and an explicit panel have alike."""
    return (
        Entry(f"{record}.pixel_mm", "mm"),
        Entry(f"{record}.thickness_um", "um", without=_sensor(record.rpartition(".")[2])),
        Entry(f"{record}.attenuation_um", "um", without=_attenuation(record.rpartition(".")[2])),
    )


_ENTRIES = (
    Entry("crystal.cell", "A"),  # angles in degrees: `unit_of`
    Entry("crystal.a_matrix", "1/A"),
    Entry("crystal.misset_deg", "deg", value=_misset, settle=_settle_misset),
    Entry("crystal.rotation_deg", "deg"),
    Entry("crystal.N", "-", position=False),
    Entry("crystal.fudge", "-"),
    Entry("crystal.mosaic_spread_deg", "deg", without=_collapses("crystal", "mosaic_spread_deg")),
    Entry("crystal.domain_weight", "-", False, value=_domain_weight, settle=_settle_domain_weight),
    Entry("crystal.phi_deg", "deg"),
    Entry("crystal.osc_deg", "deg", without=_collapses("crystal", "osc_deg")),
    Entry("crystal.phistep_deg", "deg", without=_not_given_at_zero("crystal", "phistep_deg")),
    Entry("crystal.structure_factors.values", "e", position=False),
    Entry("crystal.structure_factors.default_F", "e", position=False),
    Entry("beam.wavelength_A", "A"),
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
)

#: by name
REGISTRY: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}

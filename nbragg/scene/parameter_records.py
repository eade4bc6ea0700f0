"""Single numbers of a set-up, found and exchanged where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..model.sample import ROTATION, Sample
from ..model.setup import Setup

__all__ = ["listed_records", "record_at", "revalidated", "with_elements", "with_fields"]

#: element of a field, () for the field itself, and its number
Elements = Iterable[tuple[tuple[int, ...], Any]]


#: lists of records -> what holds them
_LISTS: dict[str, Callable[[Setup], Any]] = {
    "panels": lambda setup: setup.detector,
    "backgrounds": lambda setup: setup,
    **dict.fromkeys(("windows", "beamstops", "apertures", "shadows"), lambda setup: setup.surroundings),
}


def record_at(setup: Setup, record: str, number: int) -> Any:
    """A record by its name in the registry; None where the set-up has none.

    Parameters
    ----------
    setup : Setup
    record : str
        ``"crystal"``, ``"structure_factors"``, ``"diffuse"``, ``"beam"``, ``"sources"``, ``"spectrum"``,
        ``"detector"``, ``"panels"``, ``"sampling"``, ``"sample"``, ``"backgrounds"``, ``"surroundings"``,
        ``"sample_absorption"``, ``"response"`` or a list of the surroundings.
    number : int
        Of the crystal, panel, background, window ...
    """
    if record == "crystal":
        return setup.sample.crystals[number]
    if record in ("structure_factors", "diffuse"):
        return getattr(setup.sample.crystals[number], record)
    if record in ("sources", "spectrum"):
        return getattr(setup.beam, record)
    if record in _LISTS:
        return getattr(_LISTS[record](setup), record)[number]
    if record == "sample_absorption":
        return None if setup.surroundings is None else setup.surroundings.sample_absorption
    return getattr(setup, record)


def listed_records(setup: Setup, owner: str) -> tuple[Any, ...] | None:
    """The records of a list in which parameters are named, ``"surroundings.windows"``; None: it is none."""
    record = owner.rpartition(".")[2]
    if record not in _LISTS or owner not in ("backgrounds", f"detector.{record}", f"surroundings.{record}"):
        return None
    return getattr(_LISTS[record](setup), record, ())


def _put(setup: Setup, record: str, number: int, changed: Any) -> Setup:
    """The set-up with one record exchanged; nothing is checked."""
    if record in ("structure_factors", "diffuse"):
        record, changed = "crystal", setup.sample.crystals[number]._with(**{record: changed})
    if record == "crystal":
        crystals = (*setup.sample.crystals[:number], changed, *setup.sample.crystals[number + 1 :])
        return setup._with(sample=setup.sample._with(crystals=crystals))
    if record == "sources":
        return setup._with(beam=setup.beam._with(sources=changed))
    if record == "spectrum":  # whose mean the beam's own wavelength is
        return setup._with(beam=setup.beam._with(spectrum=changed, wavelength_A=changed.wavelength_A))
    if record in _LISTS:
        owner = _LISTS[record](setup)
        listed = getattr(owner, record)
        held = owner._with(**{record: (*listed[:number], changed, *listed[number + 1 :])})
        if record == "backgrounds":
            return setup._with(backgrounds=held.backgrounds)
        return setup._with(**{"detector" if record == "panels" else "surroundings": held})
    if record == "sample_absorption":
        assert setup.surroundings is not None
        return setup._with(surroundings=setup.surroundings._with(sample_absorption=changed))
    return setup._with(**{record: changed})


def with_fields(setup: Setup, record: str, number: int, **fields: Any) -> Setup:
    """The set-up with fields of one record exchanged, whatever they hold; nothing is checked.

    What turns a sample of several crystals is exchanged in all of them.
    """
    turning = {name: value for name, value in fields.items() if record == "crystal" and name in ROTATION}
    for i in range(len(setup.sample)) if turning else ():
        setup = _put(setup, "crystal", i, setup.sample.crystals[i]._with(**turning))
    return _put(setup, record, number, record_at(setup, record, number)._with(**fields))


def with_elements(value: Any, elements: Elements) -> Any:
    """A number, tuple or array with elements exchanged, of any number type.

    Parameters
    ----------
    value : number, tuple or ndarray
    elements : iterable of (index, number)
    """
    for index, x in elements:
        if not index:
            value = x
        elif isinstance(value, np.ndarray):
            value = value.astype(complex) if isinstance(x, complex) else value.copy()
            value[index] = x
            value.setflags(write=False)
        else:
            value = (*value[: index[0]], x, *value[index[0] + 1 :])
    return value


def revalidated(setup: Setup, touched: Iterable[tuple[str, int]]) -> Setup:
    """The set-up with records that were exchanged unchecked made anew.

    Raises
    ------
    InputError
        As the records.
    """
    touched = set(touched)
    # from the inner records out
    inner = ("structure_factors", "diffuse", "sources", "spectrum", "sample_absorption", *_LISTS)
    for record in (*inner, "crystal", "beam", "detector", "sampling", "surroundings", "response"):
        for number in sorted({n for name, n in touched if name == record}):
            setup = _put(setup, record, number, record_at(setup, record, number).replace())
    sample = setup.sample
    return setup._with(sample=Sample(sample.crystals, sample.weights))

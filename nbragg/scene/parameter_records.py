"""Single numbers of a set-up, found and exchanged where they stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..model.sample import ROTATION, Sample
from ..model.setup import Setup

__all__ = ["record_at", "revalidated", "with_elements", "with_fields"]

#: element of a field, () for the field itself, and its number
Elements = Iterable[tuple[tuple[int, ...], Any]]


def record_at(setup: Setup, record: str, number: int) -> Any:
    """A record by its name in the registry; None where the set-up has none.

    Parameters
    ----------
    setup : Setup
    record : str
        ``"crystal"``, ``"structure_factors"``, ``"beam"``, ``"sources"``, ``"detector"``, ``"panels"``,
        ``"sampling"`` or ``"sample"``.
    number : int
        Of the crystal or panel.
    """
    if record == "crystal":
        return setup.sample.crystals[number]
    if record == "structure_factors":
        return setup.sample.crystals[number].structure_factors
    if record == "sources":
        return setup.beam.sources
    if record == "panels":
        return setup.detector.panels[number]
    return getattr(setup, record)


def _put(setup: Setup, record: str, number: int, changed: Any) -> Setup:
    """The set-up with one record exchanged; nothing is checked."""
    if record == "structure_factors":
        record, changed = "crystal", setup.sample.crystals[number]._with(structure_factors=changed)
    if record == "crystal":
        crystals = (*setup.sample.crystals[:number], changed, *setup.sample.crystals[number + 1 :])
        return setup._with(sample=setup.sample._with(crystals=crystals))
    if record == "sources":
        return setup._with(beam=setup.beam._with(sources=changed))
    if record == "panels":
        panels = (*setup.detector.panels[:number], changed, *setup.detector.panels[number + 1 :])
        return setup._with(detector=setup.detector._with(panels=panels))
    return setup._with(**{record: changed})


def with_fields(setup: Setup, record: str, number: int, **fields: Any) -> Setup:
    """The set-up with fields of one record exchanged, whatever they hold; nothing is checked.

    What turns a sample of several crystals is exchanged in all of them.
    """
    turning = {name: value for name, value in fields.items() if record == "crystal" and name in ROTATION}
    for i in range(len(setup.sample)) if turning else ():
        setup = _put(setup, "crystal", i, setup.sample.crystals[i]._with(**turning))
    return _put(setup, record, number, record_at(setup, record, number)._with(**fields))


def with_elements(
    setup: Setup, record: str, number: int, field: str, value: Any, elements: Elements
) -> Setup:
    """The set-up with elements of a field exchanged, of any number type; nothing is checked.

    Parameters
    ----------
    setup, record, number
        As `record_at`.
    field : str
    value : number, tuple or ndarray
        What the field holds, or what stands for it.
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
    return with_fields(setup, record, number, **{field: value})


def revalidated(setup: Setup, touched: Iterable[tuple[str, int]]) -> Setup:
    """The set-up with records that were exchanged unchecked made anew.

    Raises
    ------
    InputError
        As the records.
    """
    touched = set(touched)
    # from the inner records out
    for record in ("structure_factors", "sources", "panels", "crystal", "beam", "detector", "sampling"):
        for number in sorted({n for name, n in touched if name == record}):
            setup = _put(setup, record, number, record_at(setup, record, number).replace())
    sample = setup.sample
    return setup._with(sample=Sample(sample.crystals, sample.weights))

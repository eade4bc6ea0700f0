"""Names of parameters, read: a record, a field, an element in brackets (gradients 2)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..base.errors import InputError
from ..base.names import nearest
from ..model.beam import SourceList
from ..model.panel import Panel
from ..model.sample import Sample
from ..model.setup import RECORDS

__all__ = ["Name", "indexed", "parsed", "unknown"]

#: words up to the field, an index after the last, elements of a cell that move together
_NAME = re.compile(r"([A-Za-z_]\w*(?:\[[^\[\]]*\])?(?:\.[A-Za-z_]\w*(?:\[[^\[\]]*\])?)*)((?:=[a-z]+)*)")
_WORD = re.compile(r"(\w+)(?:\[([^\[\]]*)\])?")

#: lists of records, and what one of them is called
_LISTS = {
    "sample.crystals": "crystal",
    "detector.panels": "detector.panels",
    "scene.crystals": "scene.crystals",
    "scene.panels": "scene.panels",
}


_RECORDS: dict[str, type[Any]] = {
    **RECORDS,
    "sample": Sample,
    "beam.sources": SourceList,
    "detector.panels": Panel,
}


class Name(NamedTuple):
    """A parameter's name in parts."""

    given: str
    owner: str  #: as given, up to the field: ``"sample.crystals[1]"``
    record: str  #: in the registry's words: ``"crystal"``, ``"detector.panels"``, ``"beam"``, ``"scene"``
    number: int | None  #: of the crystal or panel, where one is named
    field: str  #: ``"mosaic_spread_deg"``, ``"sources.positions"``, ``"cell.a"``
    element: tuple[int, ...] | None  #: None: the whole field
    tied: tuple[str, ...]  #: elements of a cell that move with it

    @property
    def path(self) -> str:
        """Record and field."""
        return f"{self.record}.{self.field}"


def parsed(name: Any) -> Name:
    """A name in parts; whether there is such a parameter is not looked at.

    Raises
    ------
    InputError
        For what has not the form of a name.
    """
    if not isinstance(name, str):
        raise InputError(f"a parameter is named by a string, not {name!r}")
    found = _NAME.fullmatch(name.strip())
    if found is None:
        raise InputError(f"{name!r} is no name of a parameter: write record.field or record.field[index]")
    words = [(word, index) for word, index in _WORD.findall(found[1])]
    indices = [_whole_numbers(name, index) for _, index in words]
    owner, rest = 1, [word for word, _ in words]
    record, number = rest[0], None
    listed = ".".join(rest[:2])
    if len(rest) > 2 and listed in _LISTS and indices[1] is not None:
        owner, record = 2, _LISTS[listed]
        (number, *more) = indices[1]
        if more:
            raise InputError(f"{name}: {listed} takes one index")
    middle = [
        word for word, index in zip(rest[owner:-1], indices[owner:-1], strict=True) if index is not None
    ]
    if middle or (owner == 1 and len(rest) > 1 and indices[0] is not None):
        raise InputError(
            f"{name}: an index belongs to the end of a name, or to sample.crystals or detector.panels"
        )
    return Name(
        given=name,
        owner=".".join(w + (f"[{i}]" if i else "") for w, i in words[:owner]),
        record=record,
        number=number,
        field=".".join(rest[owner:]),
        element=indices[-1] if len(rest) > owner else None,
        tied=tuple(found[2].split("=")[1:]),
    )


def _whole_numbers(name: str, index: str) -> tuple[int, ...] | None:
    if not index:
        return None
    try:
        return tuple(int(i) for i in index.split(","))
    except ValueError:
        raise InputError(f"{name}: an index is whole numbers with commas between, not [{index}]") from None


def indexed(index: tuple[int, ...]) -> str:
    """An index as it is written in a name; of no dimension, nothing."""
    return f"[{','.join(map(str, index))}]" if index else ""


def unknown(name: str, known: Iterable[str]) -> InputError:
    """For a name that is none: what it is instead, or the nearest."""
    names = list(known)
    plain = re.sub(r"\[[^\]]*\]", "", name).replace("sample.crystals.", "crystal.")
    record, _, field = plain.rpartition(".")
    kinds: dict[str, type[Any]] = {
        **RECORDS,
        "sample": Sample,
        "beam.sources": SourceList,
        "detector.panels": Panel,
    }
    owner = kinds.get(record)
    if owner is not None and field in {entry.name for entry in dataclasses.fields(owner)}:
        return InputError(
            f"{name} is no parameter: counts, seeds, words, flags, masks and directions are held"
        )
    near = nearest(plain, names)
    if near is None or "." not in plain:  # the field alone may be told
        fields = {entry.partition(".")[2]: entry for entry in names}
        alike = nearest(field, fields)
        near = fields[alike] if alike else near
    said = f"did you mean {near!r}?" if near else f"known are {', '.join(names[:6])} and others"
    return InputError(f"unknown parameter {name!r}; {said}")

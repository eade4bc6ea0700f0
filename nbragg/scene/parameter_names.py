"""Names of parameters, read: a record, a field, an element in brackets (gradients 2)."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..base.errors import InputError
from ..base.names import nearest
from ..model.background import Background
from ..model.beam import SourceList
from ..model.diffuse import LiquidMotions
from ..model.panel import Panel
from ..model.response import DetectorResponse
from ..model.sample import Sample
from ..model.setup import RECORDS
from ..model.spectrum import Spectrum
from ..model.surroundings import Aperture, Beamstop, SampleAbsorption, Shadow, Surroundings, Window

__all__ = ["Name", "indexed", "parsed", "unknown"]

#: words up to the field, an index after the last, elements of a cell that move together
_NAME = re.compile(r"([A-Za-z_]\w*(?:\[[^\[\]]*\])?(?:\.[A-Za-z_]\w*(?:\[[^\[\]]*\])?)*)((?:=[a-z]+)*)")
_WORD = re.compile(r"(\w+)(?:\[([^\[\]]*)\])?")

#: lists of records, and what one of them is called
_LISTS = {
    "sample.crystals": "crystal",
    "detector.panels": "detector.panels",
    "backgrounds": "backgrounds",
    "surroundings.windows": "surroundings.windows",
    "surroundings.beamstops": "surroundings.beamstops",
    "surroundings.apertures": "surroundings.apertures",
    "surroundings.shadows": "surroundings.shadows",
    "scene.crystals": "scene.crystals",
    "scene.panels": "scene.panels",
}


_RECORDS: dict[str, type[Any]] = {
    **RECORDS,
    "sample": Sample,
    "crystal.diffuse": LiquidMotions,
    "beam.sources": SourceList,
    "beam.spectrum": Spectrum,
    "detector.panels": Panel,
    "backgrounds": Background,
    "surroundings": Surroundings,
    "surroundings.windows": Window,
    "surroundings.sample_absorption": SampleAbsorption,
    "surroundings.beamstops": Beamstop,
    "surroundings.apertures": Aperture,
    "surroundings.shadows": Shadow,
    "response": DetectorResponse,
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
    return _parsed(name)


@functools.lru_cache(maxsize=1024)
def _parsed(name: str) -> Name:
    found = _NAME.fullmatch(name.strip())
    if found is None:
        raise InputError(f"{name!r} is no name of a parameter: write record.field or record.field[index]")
    words = [(word, index) for word, index in _WORD.findall(found[1])]
    indices = [_whole_numbers(name, index) for _, index in words]
    owner, rest = 1, [word for word, _ in words]
    record, number = rest[0], None
    for words_of_list in (1, 2):
        listed, index = ".".join(rest[:words_of_list]), indices[words_of_list - 1 : words_of_list]
        if len(rest) > words_of_list and listed in _LISTS and index[0] is not None:
            owner, record = words_of_list, _LISTS[listed]
            (number, *more) = index[0]
            if more:
                raise InputError(f"{name}: {listed} takes one index")
    middle = [
        word for word, index in zip(rest[owner:-1], indices[owner:-1], strict=True) if index is not None
    ]
    if middle or (number is None and len(rest) > 1 and indices[0] is not None):
        lists = [listed for listed in _LISTS if not listed.startswith("scene.")]
        raise InputError(f"{name}: an index belongs to the end of a name, or to one of {', '.join(lists)}")
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
    owner = _RECORDS.get(record)
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

"""The fields of `ImageMetadata` as lines ``NB_name=value;`` of a text header, where JSON has no place.

The names are in lower case, for the reference program looks for its keys anywhere in a header (canonical
10.4).

Readers of such headers split lines at "=" and stop at braces: values are numbers, words, or numbers with
commas.  The recipe, which may be long, and several panels are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...base.errors import FileError, InputError
from .metadata import ImageMetadata

__all__ = ["fields_from_text", "fields_to_text"]

_PREFIX = "NB_"
_LEFT_OUT = ("recipe", "panels", "spectrum")


def fields_to_text(metadata: ImageMetadata) -> str:
    """Lines of every field, each number with all its digits.

    Raises
    ------
    InputError
        Text that such a header cannot hold.
    """
    lines = []
    for entry in dataclasses.fields(metadata):
        value = getattr(metadata, entry.name)
        if entry.name in _LEFT_OUT or value in (None, ""):
            continue
        text = ",".join(repr(float(x)) for x in value) if isinstance(value, tuple) else str(value)
        if not text.isascii() or any(letter in text for letter in "=;{}\n\f"):
            raise InputError(f"{entry.name} = {value!r} cannot be written into a text header")
        lines.append(f"{_PREFIX}{entry.name}={text};\n")
    return "".join(lines)


def fields_from_text(header: Mapping[str, str]) -> dict[str, Any]:
    """The record that a header holds, as `ImageMetadata.to_dict` gives it; empty where it holds none.

    Raises
    ------
    FileError
        A value that is not what its field needs.
    """
    found: dict[str, Any] = {}
    for entry in dataclasses.fields(ImageMetadata):
        text = header.get(_PREFIX + entry.name)
        if text is not None:
            try:
                found[entry.name] = _value(str(entry.type), text)
            except ValueError:
                raise FileError(f"SMV header: {_PREFIX}{entry.name}={text} cannot be read") from None
    if not found:
        return {}
    try:
        return ImageMetadata(**found).to_dict()
    except (TypeError, InputError) as error:
        raise FileError(f"SMV header: its NB_ lines are incomplete: {error}") from None


def _value(kind: str, text: str) -> Any:
    if kind == "bool":
        return {"True": True, "False": False}[text] if text in ("True", "False") else bool(float(text))
    if kind.startswith("int"):
        return int(text)
    if kind.startswith("float"):
        return float(text)
    if kind == "str":
        return text
    return tuple(float(x) for x in text.split(","))

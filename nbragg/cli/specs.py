"""Option values of several parts in one word: ``HEAD,key=value,key=value``, as in ``water,thick=0.1``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.errors import InputError
from ..base.names import suggestion
from .words import number, number_text

__all__ = ["Kind", "Spec", "read_spec", "spec_text"]

#: of a value: "float", "int", "text", "pair" (1:2), "triple" (1:2:3), "pairs" (1:2:3:4..., a tuple of pairs),
#: or the words there are
Kind = str | tuple[str, ...]
Spec = tuple[str, dict[str, Any]]

_COUNTS = {"pair": 2, "triple": 3}


def read_spec(option: str, text: str, keys: Mapping[str, Kind]) -> Spec:
    """The word before the first comma ("" where ``key=value`` comes first), and the values by key.

    Parameters
    ----------
    option : str
        As it stands on the line, for messages.
    text : str
    keys : mapping of str to Kind
        What may be given, and of which kind each is.

    Raises
    ------
    InputError
        For a key that is not known, with the nearest that is; one given twice; a value of another kind.

    Examples
    --------
    >>> read_spec("-background", "air,path=-30:80,segments=4", {"path": "pair", "segments": "int"})
    ('air', {'path': (-30.0, 80.0), 'segments': 4})
    """
    first, *others = text.split(",")
    head, items = ("", [first, *others]) if "=" in first else (first, others)
    values: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise InputError(f'{option} {text}: "{item}" must be key=value, with a key of {", ".join(keys)}')
        if key not in keys:
            raise InputError(f"{option} {text}: there is no key {key!r}{suggestion(key, keys)}")
        if key in values:
            raise InputError(f"{option} {text}: {key} is given twice")
        values[key] = _value(f"{option} {text}: {key}", value, keys[key])
    return head, values


def _value(name: str, word: str, kind: Kind) -> Any:
    if isinstance(kind, tuple):
        if word not in kind:
            raise InputError(f'{name}: "{word}" is not one of {", ".join(kind)}')
        return word
    if kind == "text":
        return word
    if kind in ("float", "int"):
        return number(name, word, kind)
    parts = word.split(":")
    count = _COUNTS.get(kind)
    if len(parts) != count and (count is not None or len(parts) % 2):
        expected = f"{count} numbers" if count else "an even number of numbers"
        raise InputError(f'{name}: "{word}" must be {expected} with a colon between them')
    numbers = tuple(float(number(name, part, "float")) for part in parts)
    return numbers if count else tuple(zip(numbers[::2], numbers[1::2], strict=True))


def spec_text(head: str, values: Mapping[str, Any]) -> str:
    """The word that `read_spec` reads as these values; None leaves a key out.

    Examples
    --------
    >>> spec_text("air", {"path": (-30.0, 80.0), "segments": 4, "molecules": None})
    'air,path=-30:80,segments=4'
    """
    items = [f"{key}={_text(value)}" for key, value in values.items() if value is not None]
    return ",".join([head, *items] if head else items)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ":".join(map(_text, value))
    return number_text(value)

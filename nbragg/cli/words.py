"""From the words of a command line to options and their values; nothing here imports a numerical library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from ..base.errors import InputError
from .options import TABLE, Option, Table
from .presets import PRESETS

__all__ = ["Given", "UsageError", "number", "number_text", "scan"]


class UsageError(InputError):
    """Too little was given to render anything; the short usage text helps."""


class Given(NamedTuple):
    """One option as it stands on the line."""

    option: Option
    spelled: str
    values: tuple[Any, ...]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_option(word: str) -> bool:
    """A word that starts an option rather than giving a value; negative numbers are values."""
    return word.startswith("-") and len(word) > 1 and not _is_number(word)


def number(spelled: str, word: str, kind: str) -> float | int:
    """A finite number; whole where the kind is "int", perhaps infinite where it is "depth"."""
    try:
        value = float(word)
        if "_" in word:
            raise ValueError
    except ValueError:
        raise InputError(f'{spelled}: "{word}" is not a number') from None
    if kind == "depth" and value == math.inf:
        return value
    if not math.isfinite(value):
        raise InputError(f'{spelled}: "{word}" is not a finite number')
    if kind == "int":
        if value != int(value):
            raise InputError(f'{spelled}: "{word}" is not a whole number')
        if abs(value) >= 2.0**63:
            raise InputError(f'{spelled}: "{word}" is too large; give a whole number below 2^63')
        return int(word) if word.lstrip("+-").isdigit() else int(value)
    return value


def number_text(value: float) -> str:
    """A number that reads back the same."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _value(option: Option, spelled: str, kind: str, word: str) -> Any:
    if kind in ("float", "int", "depth"):
        return number(spelled, word, kind)
    if kind == "int or word":
        if word in option.choices or _is_number(word):
            return word if word in option.choices else number(spelled, word, "int")
        raise InputError(f'{spelled}: "{word}" is neither a number nor {", ".join(option.choices)}')
    if kind == "choice" and word not in option.choices:
        raise InputError(f'{spelled}: "{word}" is not one of {", ".join(option.choices)}')
    if not word:
        raise InputError(f"{spelled}: empty value")
    return word


def _missing(option: Option, spelled: str, found: str | None) -> InputError:
    wanted = option.metavar + (f" ({option.unit})" if option.unit else "")
    after = f'found "{found}"' if found is not None else "the line ends"
    return InputError(f"{spelled} needs {wanted}, but {after}")


def _take(option: Option, spelled: str, words: Sequence[str]) -> tuple[Any, ...]:
    """Values of an option from the words that follow it."""
    if option.values == ("cell",):
        cell: list[float] = []
        for word in words[:6]:
            if _is_option(word):
                break
            cell.append(number(spelled, word, "float"))
        if not cell:
            raise _missing(option, spelled, words[0] if words else None)
        return tuple(cell)
    if option.values == ("axes",):
        more = len(list(takewhile(_is_number, words[1:3])))
        if more == 1:
            raise InputError(f'{spelled} takes one number or three, not two: "{words[0]}" and "{words[1]}"')
        kinds: tuple[str, ...] = ("float",) * (1 + more)
    elif option.values == ("misset",):
        if words and words[0] == "random":
            return ("random",)
        kinds = ("float",) * 3
    else:
        kinds = option.values
    values = []
    for index, kind in enumerate(kinds):
        if index >= len(words) or _is_option(words[index]):
            raise _missing(option, spelled, words[index] if index < len(words) else None)
        values.append(_value(option, spelled, kind, words[index]))
    return tuple(values)


def _unknown(table: Table, word: str, previous: Given | None) -> InputError:
    if not _is_option(word):
        after = f" after {previous.spelled}" if previous else ""
        return InputError(f'unexpected word "{word}"{after}; options start with -, see {table.program} -h')
    near = table.nearest(word)
    hint = f"; did you mean {near}?" if near else ""
    return InputError(f"unknown option {word}{hint} ({table.program} -h lists every option)")


def scan(argv: Sequence[str], table: Table = TABLE) -> tuple[Given, ...]:
    """Match the words of a command line with a table of options.

    The options of a -preset stand in its place, but for those that the line itself gives.

    Raises
    ------
    InputError
        Unknown option, missing value, text for a number, NaN or infinity.
    """
    given: list[Given] = []
    preset: list[bool] = []  # which of them come from one
    place = 0
    while place < len(argv):
        spelled = argv[place]
        option = table.find(spelled)
        if option is None:
            raise _unknown(table, spelled, given[-1] if given else None)
        values = _take(option, spelled, argv[place + 1 :])
        # "random" is one word, as is every other value
        place += 1 + len(values)
        given.append(Given(option, spelled, values))
        if option.name == "-preset":
            given += scan(PRESETS[values[0]].words.split())
        preset += [False] + [True] * (len(given) - len(preset) - 1)
        if option.name in ("-h", "-version"):
            break
    pairs = list(zip(given, preset, strict=True))
    own = {item.option.name for item, made in pairs if not made}
    return tuple(item for item, made in pairs if not made or item.option.name not in own)

"""Backgrounds from and to words of a command line (beyond 12.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..base.curves import INTERPOLATIONS
from ..base.errors import FileError, InputError
from ..base.warn import said_before, warn
from ..model.background import SHIPPED, UNITS, Background, RadialCurve
from ..model.physics import Physics
from .specs import Kind, read_spec, spec_text

__all__ = ["KEYS", "background_of", "background_words", "holds", "read_backgrounds", "unsaid"]

#: key of -background -> kind of its value, and field of the record
KEYS: dict[str, tuple[Kind, str]] = {
    "thick": ("float", "thickness_mm"),
    "width": ("float", "width_mm"),
    "height": ("float", "height_mm"),
    "size": ("float", ""),  # of all three
    "density": ("float", "density"),
    "MW": ("float", "molar_mass"),
    "molecules": ("float", "molecules"),
    "unit": (tuple(UNITS), "unit"),
    "segments": ("int", "segments"),
    "path": ("pair", "path_mm"),
    "interpolation": (INTERPOLATIONS, "interpolation"),
    "outside": (("line", "hold"), "outside"),
    "sign": ("int", "sign"),
}
_EDGES = ("thickness_mm", "width_mm", "height_mm")


def background_of(option: str, text: str) -> Background:
    """The record of one SPEC.

    Raises
    ------
    InputError, FileError
        As `read_spec` and the record.
    """
    head, values = read_spec(option, text, {key: kind for key, (kind, _) in KEYS.items()})
    if not head:
        raise InputError(
            f"{option} {text}: a material ({', '.join(SHIPPED)}) or a file is expected before the first comma"
        )
    fields: dict[str, Any] = dict.fromkeys(_EDGES, values.pop("size")) if "size" in values else {}
    fields |= {KEYS[key][1]: value for key, value in values.items()}
    if "path_mm" in fields and "thick" not in values:
        fields.pop("thickness_mm", None)
    try:
        return Background(head, **fields)
    except FileError:
        raise
    except InputError as error:
        raise InputError(f"{option} {text}: {error}") from None


def read_backgrounds(
    settings: Mapping[str, Any], physics: Physics, inputs: dict[str, str]
) -> tuple[Background, ...]:
    """Those of -background, in their order, then that of -stol; files that were read go into ``inputs``."""
    specs = settings.get("specs", ())
    found = [background_of("-background", text) for text in specs]
    given = {name: settings[name] for name in ("density", "molar_mass", "molecules") if name in settings}
    if "table" in settings:
        table, unit = settings["table"], settings["unit"]  # a file, whatever its name
        found.append(Background(Path(table), unit=unit, **given))
    elif given and physics.name == "exact":
        warn("-density, -MW and -molecules have no effect without -stol: -background takes them as keys")
    files = [one.source for one in found if one.source]
    for i, path in enumerate(files):
        inputs["-background" if i == 0 else f"-background ({i + 1})"] = path
    return tuple(found)


def unsaid(backgrounds: tuple[Background | RadialCurve, ...]) -> str:
    """What of them a command line cannot say, else ""."""
    return "a curve of photons" if any(isinstance(one, RadialCurve) for one in backgrounds) else ""


def holds(path: str, background: Background) -> bool:
    """Whether -background can name a file, and reads these rows from it."""
    if not path or "," in path or "=" in path or path in SHIPPED:
        return False
    try:
        with said_before():
            return np.array_equal(Background(Path(path)).rows, background.rows)
    except (FileError, InputError):
        return False


def background_words(
    backgrounds: tuple[Background | RadialCurve, ...], file: Callable[[int, Background], str]
) -> Iterator[str]:
    """Options that give them back; ``file`` names the file of the rows of one."""
    for i, one in enumerate(backgrounds):
        assert isinstance(one, Background)
        values = {}
        for key, (_, field) in KEYS.items():
            if field and getattr(one, field) != one.__dataclass_fields__[field].default:
                values[key] = getattr(one, field)
        head = one.table if isinstance(one.table, str) else file(i, one)
        yield from ("-background", spec_text(head, values))

"""CrystFEL geometry files, read (crystfel_geometry(5)).

Frame: z along the beam, y up, x completing it; the electric field is taken along x.  The corner of pixel
(i, j) of a panel is at ((corner_x, corner_y, 0) + i fs + j ss)/res + (0, 0, clen + coffset), metres.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...base import constants
from ...base.errors import FileError, InputError
from ...base.vectors import FloatArray, orthogonal_pair, unit
from ...base.warn import warn
from ...model.panel import Panel
from .record import Geometry, Readout, Vector, check_values
from .tree import blamed

__all__ = ["read"]

_FRAME = "CrystFEL laboratory"
_VALUES = ("clen", "photon_energy", "wavelength", "attenuation_um", "thickness_um", "material")

_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\Z")
_TERM = re.compile(r"([-+]?)\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)?\s*\*?\s*([xyz])")

#: unit -> metres, angstrom, eV
_LENGTHS = {"": 1.0, "m": 1.0, "mm": 1e-3, "um": 1e-6}
_WAVELENGTHS = {"m": 1e10, "A": 1.0, "nm": 10.0}
_ENERGIES = {"": 1.0, "eV": 1.0, "keV": 1e3, "MeV": 1e6}

#: of a whole file, not of panels
_TOP = ("clen", "photon_energy", "wavelength", "electron_voltage", "detector_shift_x", "detector_shift_y")

#: cosine between fs and ss above which a warning says that they were made orthogonal
_SKEW_TOLD = 1e-3


@dataclass
class _Lines:
    """The statements of a file."""

    top: dict[str, str] = field(default_factory=dict)
    panels: dict[str, dict[str, str]] = field(default_factory=dict)
    regions: dict[str, dict[str, str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Made:
    """A panel, and what regions in its own coordinates need."""

    panel: Panel
    readout: Readout
    first: tuple[int, int]  #: in the data array
    corner: FloatArray  #: x and y, pixels
    steps: FloatArray  #: fs and ss as written, pixels
    mask: NDArray[np.uint8]


def read(file: Path, values: dict[str, Any]) -> Geometry:
    """Read a ``.geom`` file for `nbragg.read_geometry`.

    Raises
    ------
    FileError
        For a line that is no statement, and panels without what they need.
    InputError
        Where ``clen`` or the photon energy stands in image files and is not given.
    """
    given = check_values(values, _VALUES, f"{file} (CrystFEL geometry)")
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(f"cannot read {file}: {error.strerror or error}") from None
    lines = _statements(file, text)
    if not lines.panels:
        raise FileError(f"{file} names no panel: lines panel/key = value were expected")
    if "electron_voltage" in lines.top:
        raise FileError(f"{file}: electron_voltage: only X-rays are simulated")
    wavelength = _wavelength(file, lines.top, given)
    shift = [_length(file, f"detector_shift_{axis}", lines.top, given, 0.0) for axis in "xy"]
    made = [
        _panel(file, name, keys, lines.top, given, shift, wavelength) for name, keys in lines.panels.items()
    ]
    names = list(lines.panels)
    _tell_skew(file, dict(zip(names, made, strict=True)))
    for name, region in lines.regions.items():
        _mask_region(file, name, region, dict(zip(names, made, strict=True)))
    panels = tuple(one.panel.replace(mask=None if one.mask.all() else one.mask) for one in made)
    with blamed(str(file)):
        geometry = Geometry(
            panels=panels,
            readouts=tuple(one.readout for one in made),
            frame=_FRAME,
            source=str(file),
            beam_vector=(0.0, 0.0, 1.0),
            polar_vector=(1.0, 0.0, 0.0),
            wavelength_A=wavelength,
            groups=_groups(file, lines, names),
        )
    return geometry.with_values(given)


# ---- statements --------------------------------------------------------------------------------------------


def _statements(file: Path, text: str) -> _Lines:
    """Lines ``key = value`` and ``panel/key = value``; a bare key is the default of panels named later."""
    lines, defaults = _Lines(), {}  # type: _Lines, dict[str, str]
    for number, line in enumerate(text.splitlines(), 1):
        statement = line.partition(";")[0].strip()
        if not statement:
            continue
        left, equals, value = (word.strip() for word in statement.partition("="))
        if not equals or not left:
            raise FileError(f"{file}, line {number}: {statement[:60]!r} is no statement key = value")
        owner, slash, key = left.partition("/")
        if not slash:
            if left in _TOP:
                lines.top[left] = value
            elif left.startswith(("group_", "rigid_group_")):
                members = [name.strip() for name in value.split(",") if name.strip()]
                lines.groups[left.removeprefix("rigid_").removeprefix("group_")] = members
            defaults[left] = value
        elif owner.startswith("bad"):
            lines.regions.setdefault(owner, {})[key] = value
        elif not owner.startswith(("group", "rigid_group")):
            # a panel keeps the defaults of the place where it is first named
            lines.panels.setdefault(owner, dict(defaults))[key] = value
    return lines


def _fail(file: Path, what: str, value: str, expected: str) -> NoReturn:
    raise FileError(f"{file}: {what} = {value[:60]!r}; expected {expected}")


def _plain(file: Path, what: str, value: str | None, default: float | None = None) -> float:
    """A number without a unit."""
    if value is None:
        if default is None:
            raise FileError(f"{file}: {what} is missing")
        return default
    match = _NUMBER.match(value.strip())
    number = float(match.group(1)) if match else math.nan
    if match is None or match.group(2) or not math.isfinite(number):
        _fail(file, what, value, "a number")
    return number


def _amount(file: Path, what: str, value: Any, units: dict[str, float]) -> float | None:
    """A number with a unit, in the unit that is 1; None for a location in another file."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise InputError(f"values: {what} = {value}; expected a finite number")
        return float(value) * units.get("", 1.0)
    match = _NUMBER.match(str(value).strip())
    if match is None:
        return None
    if match.group(2) not in units:
        known = ", ".join(unit for unit in units if unit)
        _fail(file, what, str(value), f"a number in one of {known}")
    return float(match.group(1)) * units[match.group(2)]


def _asked(
    file: Path, name: str, value: str, given: dict[str, Any], units: dict[str, float], unit: str
) -> Any:
    """What was given under a location's own name, read as CrystFEL reads the location; None: nothing was."""
    location, _, written = value.partition(" ")
    if location not in given:
        return None
    number = _amount(file, location, given[location], {"": 1.0})
    if number is None or (written.strip() or unit) not in units:
        _fail(file, name, value, f"a location and one of {', '.join(units)}")
    return number * units[written.strip() or unit]


def _length(
    file: Path, name: str, keys: dict[str, str], given: dict[str, Any], default: float | None
) -> float:
    """A length in metres; one that stands in image files must have been given."""
    value = keys.get(name)
    if value is None and name not in given:
        if default is None:
            raise InputError(
                f'{file} does not say {name}: give values={{"{name}": ...}} (m, or text with a unit)'
            )
        return default
    number = None
    if name in given:
        number = _amount(file, name, given[name], _LENGTHS)
    elif value is not None:
        number = _amount(file, name, value, _LENGTHS)
        if number is None:  # without a unit, lengths in image files are in mm
            number = _asked(file, name, value, given, _LENGTHS, "mm")
    if number is None:
        raise InputError(
            f"{file}: {name} = {value or given.get(name)} is a location in image files: give "
            f'values={{"{name}": ...}} (m, or text with a unit)'
        )
    return number


def _wavelength(file: Path, top: dict[str, str], given: dict[str, Any]) -> float | None:
    """Wavelength, angstrom; None where the file says nothing."""
    for name, units in (("wavelength", _WAVELENGTHS), ("photon_energy", _ENERGIES)):
        if name in given:
            own = {"": 1.0, **units}
            number = _amount(file, name, given[name], own)
        elif name in top and not {"wavelength", "photon_energy"} & set(given):
            number = _amount(file, name, top[name], units)
            if number is None:
                number = _asked(file, name, top[name], given, units, "")
        else:
            continue
        if number is None:
            unit_name = "angstrom" if name == "wavelength" else "eV"
            raise InputError(
                f"{file}: {name} = {top.get(name, given.get(name))} is a location in image files: give "
                f'values={{"{name}": ...}} ({unit_name}, or text with a unit)'
            )
        if number <= 0:
            _fail(file, name, str(given.get(name, top.get(name))), "a number above 0")
        return number if name == "wavelength" else constants.HC_EV_A / number
    return None


# ---- panels ------------------------------------------------------------------------------------------------


def _direction(file: Path, what: str, value: str | None) -> FloatArray:
    """A vector as "-0.0057x +0.99y -0.01z"."""
    if value is None:
        raise FileError(f"{file}: {what} is missing")
    vector, place, text = np.zeros(3), 0, value.strip()
    while place < len(text):
        match = _TERM.match(text, place)
        if match is None:
            break
        size = 1.0 if match.group(2) is None else float(match.group(2))
        vector["xyz".index(match.group(3))] += -size if match.group(1) == "-" else size
        place = match.end()
        while place < len(text) and text[place].isspace():
            place += 1
    if place < len(text) or not vector.any() or not np.isfinite(vector).all():
        _fail(file, what, value, "a vector such as +1.0x -0.001y +0.02z")
    return vector


def _panel(
    file: Path,
    name: str,
    keys: dict[str, str],
    top: dict[str, str],
    given: dict[str, Any],
    shift: list[float],
    wavelength: float | None,
) -> _Made:
    def number(key: str, default: float | None = None) -> float:
        return _plain(file, f"{name}/{key}", keys.get(key), default)

    limits = {key: round(number(key)) for key in ("min_fs", "max_fs", "min_ss", "max_ss")}
    fpixels = limits["max_fs"] - limits["min_fs"] + 1
    spixels = limits["max_ss"] - limits["min_ss"] + 1
    if fpixels < 1 or spixels < 1 or fpixels * spixels > 2**31:
        raise FileError(f"{file}: panel {name} has {fpixels} x {spixels} pixels; expected at least one")
    res = number("res")
    if res <= 0:
        _fail(file, f"{name}/res", keys["res"], "pixels per metre, above 0")
    fs, ss = (_direction(file, f"{name}/{key}", keys.get(key)) for key in ("fs", "ss"))
    # older files give clen for each panel
    clen = _length(file, "clen", {**top, **({"clen": keys["clen"]} if "clen" in keys else {})}, given, None)
    corner = np.array([number("corner_x"), number("corner_y"), 0.0])
    coffset = _length(file, "coffset", keys, {}, 0.0)
    origin = corner / res + np.array([shift[0], shift[1], clen + coffset])
    fast, slow = _orthogonal(file, name, fs, ss)
    with blamed(f"{file}: panel {name}"):
        panel = Panel(
            origin_mm=_three(origin * 1e3),
            fast=_three(fast),
            slow=_three(slow),
            fpixels=fpixels,
            spixels=spixels,
            pixel_mm=(float(np.linalg.norm(fs)) / res * 1e3, float(np.linalg.norm(ss)) / res * 1e3),
            name=name,
        )
    mask = np.ones((spixels, fpixels), np.uint8)
    if keys.get("no_index", "0").lower() not in ("0", "false", "0.0"):
        mask[:] = 0
    edge = max(round(number("mask_edge_pixels", 0.0)), 0)
    if edge:
        mask[:edge], mask[-edge:], mask[:, :edge], mask[:, -edge:] = 0, 0, 0, 0
    readout = _readout(file, name, keys, wavelength)
    return _Made(panel, readout, (limits["min_fs"], limits["min_ss"]), corner[:2], np.stack([fs, ss]), mask)


def _tell_skew(file: Path, made: dict[str, _Made]) -> None:
    """One warning for all panels whose axes are far from a right angle."""
    angles = {}
    for name, one in made.items():
        skew = float(unit(one.steps[0]) @ unit(one.steps[1]))
        if abs(skew) > _SKEW_TOLD:
            angles[name] = math.degrees(math.acos(skew))
    if angles:
        worst = max(angles, key=lambda name: abs(angles[name] - 90.0))
        more = f", of {len(angles)} such panels the worst" if len(angles) > 1 else ""
        warn(f"{file}: fs and ss of panel {worst} are at {angles[worst]:.4f} deg{more}: made orthogonal")


def _readout(file: Path, name: str, keys: dict[str, str], wavelength: float | None) -> Readout:
    gain = None
    if "adu_per_photon" in keys:
        gain = _plain(file, f"{name}/adu_per_photon", keys["adu_per_photon"])
    elif "adu_per_eV" in keys and wavelength is not None:
        gain = _plain(file, f"{name}/adu_per_eV", keys["adu_per_eV"]) * constants.HC_EV_A / wavelength
    limit = _plain(file, f"{name}/max_adu", keys["max_adu"]) if "max_adu" in keys else None
    return Readout(gain=gain, trusted_range=None if limit is None else (-math.inf, limit))


def _orthogonal(file: Path, name: str, fs: FloatArray, ss: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors at a right angle."""
    skew = float(unit(fs) @ unit(ss))
    if abs(skew) > 0.5:
        raise FileError(f"{file}: fs and ss of panel {name} are not at a right angle: cosine {skew:.3g}")
    return orthogonal_pair(fs, ss)


# ---- regions and groups ------------------------------------------------------------------------------------


def _mask_region(file: Path, name: str, keys: dict[str, str], made: dict[str, _Made]) -> None:
    """Set the pixels of a bad region to 0: with its limits in fs and ss, without those in x and y."""

    def number(key: str, default: float | None = None) -> float:
        return _plain(file, f"{name}/{key}", keys.get(key), default)

    by_index = any(key.endswith(("_fs", "_ss")) for key in keys)
    by_place = any(key.endswith(("_x", "_y")) for key in keys)
    if by_index == by_place:
        raise FileError(
            f"{file}: region {name} needs min_fs, max_fs, min_ss, max_ss or min_x, max_x, min_y, max_y"
        )
    panel = keys.get("panel")
    if panel is not None and panel not in made:
        raise FileError(f"{file}: region {name} names the panel {panel!r}, which there is not")
    if by_index:
        if panel is None and len(made) > 1:
            raise FileError(f"{file}: region {name} in fs and ss needs a panel")
        for one in [made[panel]] if panel is not None else made.values():
            f0, f1 = (round(number(f"{end}_fs")) - one.first[0] for end in ("min", "max"))
            s0, s1 = (round(number(f"{end}_ss")) - one.first[1] for end in ("min", "max"))
            one.mask[max(s0, 0) : max(s1 + 1, 0), max(f0, 0) : max(f1 + 1, 0)] = 0
        return
    limits = [(number(f"min_{axis}", -math.inf), number(f"max_{axis}", math.inf)) for axis in "xy"]
    for one in [made[panel]] if panel is not None else made.values():
        slow, fast = np.indices(one.mask.shape)
        inside = np.ones(one.mask.shape, bool)
        for axis, (low, high) in enumerate(limits):
            place = one.corner[axis] + fast * one.steps[0, axis] + slow * one.steps[1, axis]
            inside &= (place > low) & (place < high)
        one.mask[inside] = 0


def _groups(file: Path, lines: _Lines, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Groups of panels; members may be groups named before."""
    collections = {name for name in lines.groups if name.startswith("collection_")}
    groups: dict[str, tuple[int, ...]] = {}
    for name, members in lines.groups.items():
        if name in collections:
            continue  # lists of groups, for refinement
        found: list[int] = []
        for member in members:
            if member in names:
                found.append(names.index(member))
            elif member in groups:
                found += groups[member]
            else:
                raise FileError(
                    f"{file}: group {name} names {member!r}, which is no panel and no group before it"
                )
        groups[name] = tuple(found)
    return groups


def _three(vector: Any) -> Vector:
    x, y, z = (float(v) for v in vector)
    return x, y, z

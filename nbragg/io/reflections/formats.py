"""Files of structure factors: the one registry of their formats, and the readers that choose among them."""

from __future__ import annotations

import gzip
import inspect
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.errors import FileError, InputError
from ..files.kinds import resolve
from ..files.sniff import check_file, identify, is_gzip
from .reflection_list import Box, ReflectionList, Rows

__all__ = [
    "FORMATS",
    "ReflectionFormat",
    "file_kind",
    "read_amplitudes",
    "read_structure_factors",
    "register",
]

_HERE = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class ReflectionFormat:
    """A format of structure factors.

    Attributes
    ----------
    name, title : str
        Short, and for messages.
    kinds : tuple of str
        Of content (`nbragg.io.files.kinds`).
    read : str
        ``"module:function"``, called with the path and its own keywords; returns a `ReflectionList`.
    read_as_is : str
        The same for the list as the file holds it, `Rows` or `Box`; "" where ``read`` serves.
    tags : tuple of bytes
        Where formats share a kind of content, the tag that first begins a line decides.
    gzip : bool
        Whether a compressed file can be read.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    read: str
    read_as_is: str = ""
    tags: tuple[bytes, ...] = ()
    gzip: bool = False


#: name -> format
FORMATS: dict[str, ReflectionFormat] = {}


def register(entry: ReflectionFormat) -> None:
    """Add a format, or replace the one of its name."""
    FORMATS[entry.name] = entry


register(
    ReflectionFormat(
        "text", "text list", ("hkl", "text"), f"{_HERE}.text:read_list", read_as_is=f"{_HERE}.text:read_rows"
    )
)
register(
    ReflectionFormat(
        "dump", "dump file", ("dump",), f"{_HERE}.dump:read_list", read_as_is=f"{_HERE}.dump:read_box"
    )
)
register(ReflectionFormat("mtz", "MTZ", ("mtz",), f"{_HERE}.mtz_cif:read_mtz", gzip=True))
register(
    ReflectionFormat(
        "sf-cif",
        "structure-factor mmCIF",
        ("cif",),
        f"{_HERE}.mtz_cif:read_sf_cif",
        tags=(b"_refln.", b"_refln_index"),
        gzip=True,
    )
)
register(
    ReflectionFormat(
        "model",
        "model",
        ("pdb", "cif"),
        f"{_HERE}.models:read_model",
        tags=(b"_atom_site.", b"_atom_site_fract"),
        gzip=True,
    )
)


def file_kind(path: str | os.PathLike[str]) -> str:
    """What a file of structure factors is: "text", "dump", "mtz", "sf-cif", "model", or one registered.

    Told by content, which must agree with the suffix; every reader takes this decision.

    Raises
    ------
    FileError
        Missing, empty, or none of these.
    """
    return _format_of(check_file(path, what="reflection")).name


def read_structure_factors(path: str | os.PathLike[str], **options: Any) -> ReflectionList:
    """Read structure factors, expanded to P1, with a record of where they came from.

    Parameters
    ----------
    path : path-like
        Text "h k l F" or dump file (taken as P1), MTZ, structure-factor mmCIF, PDB, mmCIF or small-molecule
        CIF; the kind is told by content, which must agree with the suffix.
    **options
        For MTZ and structure-factor mmCIF: ``column``, ``d_min_A``, ``d_max_A``, ``cell``, ``spacegroup``,
        ``block`` (mmCIF); see :func:`nbragg.io.read_mtz`.
        For models: ``d_min_A``, ``wavelength_A``, ``anomalous``, ``solvent``, ``method``, ``cell``,
        ``spacegroup``; see :func:`nbragg.io.read_model`.
        An option that is None counts as not given.

    Raises
    ------
    FileError, InputError
        As the readers; also for an option that the file's kind does not take.
    """
    file = check_file(path, what="reflection")
    entry = _format_of(file)
    result: ReflectionList = resolve(entry.read)(file, **_taken(file, entry, options))
    return result


def read_amplitudes(path: str | os.PathLike[str], **options: Any) -> ReflectionList | Rows | Box:
    """`read_structure_factors` for who needs indices and amplitudes alone.

    Text lists come as `Rows`, in their order and with repeated indices, dump files as a `Box`; neither is
    sorted or copied.
    """
    file = check_file(path, what="reflection")
    entry = _format_of(file)
    given = _taken(file, entry, options)
    result: ReflectionList | Rows | Box = resolve(entry.read_as_is or entry.read)(file, **given)
    return result


def _taken(file: Path, entry: ReflectionFormat, options: dict[str, Any]) -> dict[str, Any]:
    """The options given, all of which the format's reader takes."""
    given = {name: value for name, value in options.items() if value is not None}
    if given:
        known = [name for name in inspect.signature(resolve(entry.read)).parameters if name != "path"]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InputError(
                f"{file} ({entry.title}) takes no {', '.join(unknown)}; it takes "
                f"{', '.join(known) or 'no option'}"
            )
    return given


def _format_of(file: Path) -> ReflectionFormat:
    kind = identify(file)
    entries = [entry for entry in FORMATS.values() if kind in entry.kinds]
    if not entries:
        names = ", ".join(entry.title for entry in FORMATS.values())
        raise FileError(f"{file} holds no structure factors; one of these was expected: {names}")
    entry = entries[0] if len(entries) == 1 else _by_tags(file, entries)
    if not entry.gzip and is_gzip(file):
        raise FileError(f"{file} is a compressed {entry.title}, which is not read: unpack it (gunzip)")
    return entry


def _by_tags(file: Path, entries: list[ReflectionFormat]) -> ReflectionFormat:
    """The format whose tag begins a line first."""
    opener: Callable[[Path, str], Any] = gzip.open if is_gzip(file) else open
    try:
        with opener(file, "rb") as stream:
            for line in stream:
                word = line.lstrip()[:20].lower()
                for entry in entries:
                    if word.startswith(entry.tags):
                        return entry
    except (OSError, EOFError, zlib.error) as error:  # a damaged archive
        raise FileError(f"{file} cannot be read: {error}") from None
    tags = " nor ".join(f"{entry.tags[0].decode().rstrip('.')} ({entry.title})" for entry in entries)
    raise FileError(f"{file} holds neither {tags}")

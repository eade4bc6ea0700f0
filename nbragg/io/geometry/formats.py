"""Files that say where panels stand: the one registry of their formats, and the reader that chooses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.errors import FileError, InputError
from ...scene.record import Scene
from ..files.kinds import KINDS, resolve
from ..files.sniff import check_file, identify
from .record import Geometry

__all__ = ["FORMATS", "GeometryFormat", "read_geometry", "register", "write_geometry"]

_HERE = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class GeometryFormat:
    """A format of geometries; its functions are imported when they are used.

    Attributes
    ----------
    name, title : str
        Short, and for messages.
    kinds : tuple of str
        Of content (`nbragg.io.files.kinds`).
    read : str
        ``"module:function"`` of the path and the values given; returns a `Geometry`.
    write : str
        Of the path, a `Geometry` and keywords; "" where it is not written.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    read: str
    write: str = ""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Those of its kinds of content."""
        return tuple(suffix for kind in self.kinds for suffix in KINDS[kind].suffixes)


#: name -> format
FORMATS: dict[str, GeometryFormat] = {}


def register(entry: GeometryFormat) -> None:
    """Add a format, or replace the one of its name; its kinds of content must be known."""
    FORMATS[entry.name] = entry


for _entry in (
    GeometryFormat("expt", "DIALS experiments", ("json",), f"{_HERE}.expt:read"),
    GeometryFormat(
        "geom",
        "CrystFEL geometry",
        ("geom",),
        f"{_HERE}.crystfel:read",
        f"{_HERE}.crystfel_writer:write",
    ),
    GeometryFormat("nxmx", "NeXus NXmx", ("hdf5",), f"{_HERE}.nxmx:read"),
    GeometryFormat("image", "image header", ("smv", "cbf", "tiff"), f"{_HERE}.images:read"),
):
    register(_entry)


def read_geometry(path: str | os.PathLike[str], *, values: Mapping[str, Any] | None = None) -> Geometry:
    """Read where panels stand, and what the file says of beam and rotation.

    Parameters
    ----------
    path : path-like
        DIALS ``.expt``, CrystFEL ``.geom``, NeXus NXmx, or an image whose header gives a geometry (SMV,
        miniCBF, TIFF of nanobragg); the kind is told by content, which must agree with the suffix.
    values : mapping, optional
        What the file leaves to others: ``clen`` (m) and ``photon_energy`` (eV) of a ``.geom`` that names
        locations in image files, as numbers or text with a unit (``"85 mm"``), also by the location's own
        name; ``attenuation_um``, ``thickness_um`` and ``material`` of a sensor; ``twotheta_axis`` of an
        image header.

    Returns
    -------
    Geometry
        In the file's laboratory frame, which it names.

    Raises
    ------
    FileError
        Missing, damaged, of no known kind, or values that no panel or beam has.
    InputError
        Where a value is needed, or one is given that the format does not take.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.read_geometry("no.expt")
    Traceback (most recent call last):
        ...
    nbragg.base.errors.FileError: geometry file no.expt does not exist
    """
    file = check_file(path, what="geometry")
    entry = _format_of(file)
    geometry: Geometry = resolve(entry.read)(file, dict(values or {}))
    return geometry


def write_geometry(
    path: str | os.PathLike[str], geometry: Geometry | Scene, *, overwrite: bool = True, **options: Any
) -> None:
    """Write where panels stand.

    Parameters
    ----------
    path : path-like
        The suffix says the format; ``.geom`` is written.
    geometry : Geometry or Scene
        A Scene stands for what it was built with.
    overwrite : bool
        False refuses a file that exists.
    **options
        Of the format; for ``.geom`` see `nbragg.io.geometry.crystfel_writer.write`.

    Raises
    ------
    InputError
        For a suffix that names no format that is written, and as the writer.
    FileError
        The file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    able = [entry for entry in FORMATS.values() if entry.write]
    entry = next((entry for entry in able if suffix in entry.suffixes), None)
    if entry is None:
        known = " ".join(suffix for entry in able for suffix in entry.suffixes)
        raise InputError(
            f"{path}: the suffix {suffix!r} names no geometry format that is written; use {known}"
        )
    if isinstance(geometry, Scene):
        geometry = Geometry.from_scene(geometry)
    resolve(entry.write)(path, geometry, overwrite=overwrite, **options)


def _format_of(file: Path) -> GeometryFormat:
    kind = identify(file)
    for entry in FORMATS.values():
        if kind in entry.kinds:
            return entry
    names = ", ".join(f"{entry.title} ({' '.join(entry.suffixes)})" for entry in FORMATS.values())
    raise FileError(f"{file} says no geometry that can be read; one of these was expected: {names}")

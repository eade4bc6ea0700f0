"""CrystFEL geometry files, written: the panels of a simulation in the array that its image is."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import constants
from ...base.errors import InputError
from ...base.vectors import FloatArray, unit
from ...base.warn import warn
from ..files.atomic import open_atomic
from ..files.rectangles import masked_rectangles
from .record import Geometry

__all__ = ["crystfel_frame", "write"]

LAYOUTS = ("slab", "stack")

#: rectangles of masked pixels that are written for a panel
_MOST_REGIONS = 1000


def crystfel_frame(geometry: Geometry) -> FloatArray:
    """Rotation (3, 3) into CrystFEL's laboratory: z along the beam, x along the electric field.

    Without a polarization x is along the fast axis of the first panel; y is z cross x.
    """
    z = unit(geometry.beam_vector)
    for axis in (geometry.polar_vector, geometry.panels[0].fast, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
        if axis is None:
            continue
        x = unit(axis)
        x = x - (x @ z) * z
        if np.linalg.norm(x) > 1e-3:
            break
    x = unit(x)
    return np.array([x, np.cross(z, x), z])


def write(
    path: str | os.PathLike[str],
    geometry: Geometry,
    *,
    layout: str = "slab",
    frames: bool = False,
    data: str = "/entry/data/data",
    adu_per_photon: float | None = None,
    overwrite: bool = True,
) -> None:
    """Write a ``.geom`` file.

    Parameters
    ----------
    path : path-like
    geometry : Geometry
        In any frame: panels are turned into CrystFEL's, with the beam along z and the electric field along x.
    layout : {"slab", "stack"}
        How the image array holds several panels: one below the other, (slow, fast), or (panel, slow, fast).
        The two are the same numbers in the same order where all panels have one size.
    frames : bool
        The array begins with an axis of frames.
    data : str
        Location of the array in an HDF5 file.
    adu_per_photon : float, optional
        Counts for each photon of every panel; None: what the geometry says, or 1, as images in photons have.
    overwrite : bool
        False refuses a file that exists.

    Raises
    ------
    InputError
        For a geometry without a wavelength, which CrystFEL needs, and an unknown layout.
    FileError
        The file cannot be written.

    Warns
    -----
    NbraggWarning
        For masks that are too rugged to be written as rectangles: give CrystFEL the mask itself.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout = {layout!r}; one of {', '.join(LAYOUTS)} was expected")
    if geometry.wavelength_A is None:
        raise InputError("a .geom file says the photon energy: give the geometry a wavelength_A")
    turned = geometry.turned(crystfel_frame(geometry), "CrystFEL laboratory")
    names = _names(turned)
    heights = [panel.spixels for panel in turned.panels]
    clen = float(np.mean([panel.origin_mm[2] for panel in turned.panels])) * 1e-3
    lines = [
        "; panels of a simulation by nanobragg: z along the beam, x along the electric field",
        f"photon_energy = {constants.HC_EV_A / geometry.wavelength_A!r} eV",
        f"clen = {clen!r} m",
        f"data = {data}",
    ]
    first = 0
    for i, name in enumerate(names):
        lines += ["", *_panel(turned, i, name, clen, first if layout == "slab" else 0, adu_per_photon)]
        lines += _dims(name, i, layout == "stack", frames)
        first += heights[i]
    first = 0
    for i, name in enumerate(names):
        mask = turned.panels[i].mask
        if mask is not None:
            lines += _regions(os.fspath(path), name, mask, first if layout == "slab" else 0)
        first += heights[i]
    lines += _groups(turned, names)
    with open_atomic(path, "w", overwrite=overwrite) as stream:
        stream.write("\n".join(lines) + "\n")


def _names(geometry: Geometry) -> list[str]:
    """Names that a .geom file can hold, each once; those of the panels where they will do."""
    given = [panel.name for panel in geometry.panels]
    plain = all(name and not set(name) & set("/=;, \t") and name.isprintable() for name in given)
    reserved = any(name.startswith(("bad", "group", "rigid_group")) for name in given)
    if plain and not reserved and len(set(given)) == len(given):
        return given
    return [f"p{i}" for i in range(len(given))]


def _fixed(value: float) -> str:
    """A number without an exponent, which directions must not have, to all its places."""
    return np.format_float_positional(value, unique=True, trim="0")


def _direction(vector: FloatArray) -> str:
    parts = (_fixed(float(x)) for x in vector)
    return " ".join(
        f"{part if part.startswith('-') else '+' + part}{axis}"
        for part, axis in zip(parts, "xyz", strict=True)
    )


def _panel(
    geometry: Geometry, i: int, name: str, clen: float, first: int, adu_per_photon: float | None
) -> list[str]:
    panel, gain = geometry.panels[i], geometry.readouts[i].gain
    fast, slow = unit(panel.fast), unit(panel.slow)
    edges = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm, panel.pixel_mm)
    # the corner of the panel's own first pixel, which its plane's origin may be far from
    corner = np.array(panel.origin_mm) + panel.first[0] * edges[0] * fast + panel.first[1] * edges[1] * slow
    counts = adu_per_photon if adu_per_photon is not None else gain if gain is not None else 1.0
    values: dict[str, Any] = {
        "min_fs": 0,
        "max_fs": panel.fpixels - 1,
        "min_ss": first,
        "max_ss": first + panel.spixels - 1,
        "fs": _direction(fast),
        "ss": _direction(slow * (edges[1] / edges[0])),
        "corner_x": _fixed(float(corner[0] / edges[0])),
        "corner_y": _fixed(float(corner[1] / edges[0])),
        "coffset": _fixed(float(corner[2]) * 1e-3 - clen),
        "res": _fixed(1e3 / edges[0]),
        "adu_per_photon": _fixed(counts),
    }
    return [f"{name}/{key} = {value}" for key, value in values.items()]


def _dims(name: str, number: int, stacked: bool, frames: bool) -> list[str]:
    axes = (["%"] if frames else []) + ([str(number)] if stacked else []) + ["ss", "fs"]
    if len(axes) == 2:
        return []
    return [f"{name}/dim{i} = {axis}" for i, axis in enumerate(axes)]


def _regions(path: str, name: str, mask: NDArray[np.uint8], first: int) -> list[str]:
    rectangles = masked_rectangles(mask, _MOST_REGIONS)
    if rectangles is None:
        warn(
            f"{path}: the mask of panel {name} takes more than {_MOST_REGIONS} rectangles and is left out: "
            "give CrystFEL the mask in an HDF5 file"
        )
        return []
    lines = []
    for k, (f0, f1, s0, s1) in enumerate(rectangles):
        limits = {"min_fs": f0, "max_fs": f1, "min_ss": s0 + first, "max_ss": s1 + first, "panel": name}
        lines += ["", *(f"bad_{name}_{k}/{key} = {value}" for key, value in limits.items())]
    return lines


def _groups(geometry: Geometry, names: list[str]) -> list[str]:
    lines = []
    for group, which in geometry.groups.items():
        plain = "".join(c if c.isalnum() or c in "_-." else "_" for c in group)
        if plain and plain not in names and which:
            lines.append(f"group_{plain} = {','.join(names[i] for i in which)}")
    return ["", *lines] if lines else []

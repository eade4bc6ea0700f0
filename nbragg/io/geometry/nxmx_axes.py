"""Chains of NeXus transformations: positions and directions in the McStas frame.

Each transformation is a number with a unit, along or about a vector, then shifted by an offset; it stands on
the one that its ``depends_on`` names, down to ``"."``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base.errors import FileError
from ...base.vectors import FloatArray, axis_rotation, unit

__all__ = ["ANGLES", "LENGTHS", "Axis", "chain", "matrix_of", "number", "scaled", "text", "units_of"]

#: unit -> mm
LENGTHS = {
    "m": 1e3, "metre": 1e3, "meter": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3,
    "microns": 1e-3, "micrometer": 1e-3, "nm": 1e-6, "angstrom": 1e-7,
}  # fmt: skip
#: unit -> degrees
ANGLES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180.0 / math.pi, "radian": 180.0 / math.pi}


class Axis:
    """One transformation.

    Attributes
    ----------
    values : ndarray
        One for each image, or one; mm or degrees.
    rotates : bool
    vector : ndarray (3,)
        Unit vector.
    offset : ndarray (3,)
        mm.
    """

    def __init__(self, item: Any) -> None:
        kind = text(item.attrs.get("transformation_type", ""))
        if kind not in ("rotation", "translation"):
            raise FileError(
                f"{_place(item)}: transformation_type is {kind or '(absent)'}; expected rotation or "
                "translation"
            )
        self.item, self.name = item, item.name.rpartition("/")[2]
        self.rotates = kind == "rotation"
        self.values = np.atleast_1d(scaled(item, ANGLES if self.rotates else LENGTHS))
        vector = np.asarray(item.attrs.get("vector", np.zeros(3)), np.float64).reshape(-1)
        if vector.shape != (3,) or not np.isfinite(vector).all() or (self.rotates and not vector.any()):
            raise FileError(
                f"{_place(item)}: its vector is {vector.tolist()}; expected three numbers, not all 0"
            )
        self.vector = unit(vector)
        self.offset = np.zeros(3)
        if "offset" in item.attrs:
            raw = np.asarray(item.attrs["offset"], np.float64).reshape(-1)
            if raw.shape == (3,) and raw.any():
                own = text(item.attrs.get("offset_units", "")) or ("mm" if self.rotates else units_of(item))
                self.offset = raw * _factor(own, LENGTHS, item)

    def matrix(self, index: int = 0) -> FloatArray:
        """The (4, 4) matrix of homogeneous coordinates, mm."""
        value = float(self.values[min(index, len(self.values) - 1)])
        result = np.eye(4)
        if self.rotates:
            result[:3, :3] = axis_rotation(self.vector, math.radians(value))
            result[:3, 3] = self.offset
        else:
            result[:3, 3] = self.offset + value * self.vector
        return result


def chain(start: Any, depends_on: str) -> list[Axis]:
    """Transformations from the one named, next to the thing, to the one that stands on the ground.

    Parameters
    ----------
    start : h5py object
        To whose group a relative name belongs.
    depends_on : str

    Raises
    ------
    FileError
        For one that is missing, and a circle.
    """
    axes: list[Axis] = []
    seen: set[str] = set()
    group, name = start if hasattr(start, "keys") else start.parent, depends_on
    while name not in ("", "."):
        item = group.get(name)
        if item is None or not hasattr(item, "dtype"):
            raise FileError(f"{_place(start)}: depends on {name}, which is missing")
        if item.name in seen:
            raise FileError(f"{_place(start)}: its chain of depends_on comes back to {item.name}")
        seen.add(item.name)
        axes.append(Axis(item))
        group, name = item.parent, text(item.attrs.get("depends_on", "."))
    return axes


def matrix_of(axes: list[Axis]) -> FloatArray:
    """The product of a chain, (4, 4), mm; the first axis acts first."""
    result = np.eye(4)
    for axis in axes:
        result = axis.matrix() @ result
    return result


def text(value: Any) -> str:
    """Text of an attribute or a scalar, whichever way it is stored."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def units_of(item: Any) -> str:
    """The unit of a dataset; "" without one."""
    return text(item.attrs.get("units", "")).strip()


def scaled(item: Any, units: dict[str, float]) -> FloatArray:
    """Numbers of a dataset in the unit that is 1."""
    if item.dtype.kind not in "iuf" or not item.size:
        raise FileError(f"{_place(item)} holds no numbers")
    values = np.asarray(item[()], np.float64)
    if not np.isfinite(values).all():
        raise FileError(f"{_place(item)} holds numbers that are not finite")
    return np.asarray(values * _factor(units_of(item), units, item))


def number(group: Any, name: str, units: dict[str, float] | None = None) -> float | None:
    """The first number of a dataset, or None where there is none."""
    item = group.get(name)
    if item is None or not hasattr(item, "dtype") or item.dtype.kind not in "iuf" or not item.size:
        return None
    values = scaled(item, units) if units else np.asarray(item[()], np.float64)
    value = float(values.reshape(-1)[0])
    return value if math.isfinite(value) else None


def _factor(name: str, units: dict[str, float], item: Any) -> float:
    if name not in units:
        raise FileError(
            f"{_place(item)} has the unit {name or '(none)'!r}; expected one of {', '.join(units)}"
        )
    return units[name]


def _place(item: Any) -> str:
    return f"{item.file.filename}: {item.name}"

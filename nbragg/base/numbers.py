"""Elementary functions of real numbers, and of complex ones that carry a derivative as imaginary part.

An analytic f has f(x + ih) = f(x) + ih f'(x) to the last place as soon as h^2 is nothing beside 1: the
imaginary part is an exact derivative of the arithmetic itself (W. Squire and G. Trapp, SIAM Rev. 40 (1998),
110-112).
Code that is written with these functions gives numbers and derivatives alike; for real input they are the
standard library's and NumPy's own, to the last bit.  What compares, rounds or clamps is a choice, and reads
``x.real``, which every number and array has.
"""

from __future__ import annotations

import cmath
import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "STEP",
    "absolute",
    "along",
    "array",
    "clamp",
    "cos",
    "derivative",
    "moves",
    "norm",
    "radians",
    "read_only",
    "scalar",
    "sin",
    "sqrt",
    "stepped",
]

#: h: its square vanishes beside anything in double precision, and 1e-10 of it is still far from 0
STEP = 1e-60

FloatArray = npt.NDArray[np.float64]


def stepped(value: Any) -> Any:
    """A number, or an array, that moves by 1 a unit: `derivative` of what is made of it is the rate."""
    return value + 1j * STEP


def along(value: Any, rate: Any) -> Any:
    """A number, or an array, that moves by its rate a unit; as it is where that is None or 0."""
    if rate is None or not np.any(rate):
        return value
    moving = value + 1j * STEP * rate
    return read_only(moving) if isinstance(moving, np.ndarray) else moving


def derivative(value: Any) -> Any:
    """Rate of a number (float) or an array made of a `stepped` one; 0 or None where it does not move."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "c" or not value.imag.any():
            return None
        return read_only(value.imag / STEP)
    return float(value.imag / STEP)


def moves(value: Any) -> bool:
    """Whether there is a derivative in a number or an array, or anywhere in a record or tuple of them."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "c" and bool(value.imag.any())
    if isinstance(value, complex):
        return value.imag != 0
    if isinstance(value, tuple):
        return any(map(moves, value))
    if dataclasses.is_dataclass(value):
        return any(moves(getattr(value, field.name)) for field in dataclasses.fields(value))
    return False


def array(values: npt.ArrayLike) -> FloatArray:
    """As `numpy.asarray` with float64, or complex numbers as they are."""
    result = np.asarray(values)
    return result if result.dtype.char in "dD" else np.asarray(result, dtype=np.float64)


def read_only(values: npt.ArrayLike) -> FloatArray:
    """`array`, contiguous and read-only."""
    result = np.ascontiguousarray(values)
    if result.dtype.char not in "dD":
        result = np.asarray(result, dtype=np.float64)
    result.setflags(write=False)
    return result


def scalar(x: Any) -> float:
    """A NumPy scalar as a plain number."""
    return complex(x) if isinstance(x, complex) else float(x)  # type: ignore[return-value]


def sin(x: Any) -> float:
    return cmath.sin(x) if isinstance(x, complex) else math.sin(x)  # type: ignore[return-value]


def cos(x: Any) -> float:
    return cmath.cos(x) if isinstance(x, complex) else math.cos(x)  # type: ignore[return-value]


def sqrt(x: Any) -> float:
    return cmath.sqrt(x) if isinstance(x, complex) else math.sqrt(x)  # type: ignore[return-value]


def radians(degrees: Any) -> float:
    """Degrees as radians."""
    return degrees * (math.pi / 180.0) if isinstance(degrees, complex) else math.radians(degrees)  # type: ignore[return-value]


def absolute(x: Any) -> float:
    """The magnitude by the sign of the real part: `abs` of a complex number would not be analytic."""
    if isinstance(x, complex):
        return -x if x.real < 0 else x  # type: ignore[return-value]
    return float(abs(x))


def clamp(x: Any, low: float, high: float) -> float:
    """Between two limits; beyond them the number does not move."""
    if isinstance(x, complex):
        return x if low <= x.real <= high else clamp(x.real, low, high)  # type: ignore[return-value]
    return float(max(low, min(high, x)))


def norm(vectors: FloatArray, keepdims: bool = False) -> FloatArray:
    """Length along the last axis: without the conjugate that `numpy.linalg.norm` takes."""
    if vectors.dtype.kind == "c":
        return np.asarray(np.sqrt((vectors * vectors).sum(axis=-1, keepdims=keepdims)))
    return np.asarray(np.linalg.norm(vectors, axis=-1, keepdims=keepdims))

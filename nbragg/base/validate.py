"""Checks of single values, so that every record refuses bad input in the same words.

Each function returns the value in its stored type, or raises `InputError` naming the argument, what was
given and what is expected.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .vectors import FloatArray

__all__ = [
    "choice",
    "count",
    "direction",
    "flag",
    "frozen_array",
    "number",
    "optional_count",
    "optional_direction",
    "optional_number",
    "owned",
    "seed",
    "stream_seed",
    "vector",
]


#: counts, indices and seeds are C ints in the engine
_LARGEST = 2**31 - 1


def _refuse(name: str, given: object, expected: str) -> NoReturn:
    raise InputError(f"{name} must be {expected}, not {given!r}")


def _limits(above: float | None, at_least: float | None, at_most: float | None) -> str:
    words = []
    if above is not None:
        words.append(f"above {above:g}")
    if at_least is not None:
        words.append(f"at least {at_least:g}")
    if at_most is not None:
        words.append(f"at most {at_most:g}")
    return " " + " and ".join(words) if words else ""


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    infinity: bool = False,
) -> float:
    """A finite number within limits, as float; ``infinity=True`` lets +inf pass as well."""
    given = value
    # a plain float is quickly told
    plain = type(value) is float
    if plain or not (isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real)):
        try:
            given = x = value if plain else float(value)
        except OverflowError:
            given = x = math.inf
        finite = math.isfinite(x) or (infinity and x == math.inf)
        low = (above is not None and not x > above) or (at_least is not None and not x >= at_least)
        if finite and not low and not (at_most is not None and x > at_most):
            return x
    limits = _limits(above, at_least, at_most)
    _refuse(name, given, f"a {'' if infinity else 'finite '}number{limits}")


def optional_number(name: str, value: Any, **limits: Any) -> float | None:
    """`number`, or None where nothing was given."""
    return None if value is None else number(name, value, **limits)


def count(name: str, value: Any, at_least: int = 1, at_most: int = _LARGEST) -> int:
    """A whole number, by default at least 1 and within 32 bits, as int."""
    expected = f"a whole number from {at_least} to {at_most}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        _refuse(name, value, expected)
    x = int(value) if isinstance(value, numbers.Integral) else float(value)
    if (isinstance(x, float) and not x.is_integer()) or not at_least <= x <= at_most:
        _refuse(name, x, expected)
    return int(x)


def optional_count(name: str, value: Any, **limits: int) -> int | None:
    """`count`, or None where nothing was given."""
    return None if value is None else count(name, value, **limits)


def seed(name: str, value: Any) -> int:
    """A random seed: a whole number within 32 bits, save the two on which the generator stands still."""
    return count(name, value, at_least=1 - _LARGEST, at_most=_LARGEST - 1)


def stream_seed(name: str, value: Any, uses: int = 1) -> int:
    """The first of ``uses`` consecutive seeds of noise images: whole numbers below 2^63 either way.

    On multiples of 2^31 - 1, the modulus of canonical 9.1, the generator stands still.
    """
    first = count(name, value, at_least=1 - 2**63, at_most=2**63 - uses)
    standstill = -(-first // _LARGEST) * _LARGEST or _LARGEST
    if standstill < first + uses:
        raise InputError(
            f"{name} {standstill} is a multiple of 2^31 - 1, with which the random numbers would all be the "
            "same: give another"
        )
    return first


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        _refuse(name, value, "True or False")
    return bool(value)


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """One of the given words."""
    words = tuple(allowed)
    if value not in words:
        _refuse(name, value, "one of " + ", ".join(repr(word) for word in words))
    return str(value)


def vector(name: str, value: Any, length: int = 3) -> tuple[float, ...]:
    """A tuple of finite numbers."""
    listed = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
    if not listed or len(value) != length:
        _refuse(name, value, f"{length} numbers")
    return tuple(number(f"{name}[{i}]", x) for i, x in enumerate(value))


def direction(name: str, value: Any) -> tuple[float, float, float]:
    """Three finite numbers, not all zero."""
    x, y, z = vector(name, value)
    if x == y == z == 0.0:
        _refuse(name, (x, y, z), "a vector that is not zero")
    return x, y, z


def optional_direction(name: str, value: Any) -> tuple[float, float, float] | None:
    """`direction`, or None where nothing was given."""
    return None if value is None else direction(name, value)


def owned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mark an array that nobody else holds as read-only, so that `frozen_array` need not copy it."""
    array.setflags(write=False)
    return array


def frozen_array(name: str, value: Any, shape: tuple[int | None, ...]) -> FloatArray:
    """A read-only, C-contiguous float64 copy of finite numbers; None in ``shape`` leaves that length free."""
    expected = "an array of numbers of shape (" + ", ".join("n" if n is None else str(n) for n in shape) + ")"
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        _refuse(name, value, expected)
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        raise InputError(f"{name} must be {expected}, not of shape {array.shape}")
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name} must be finite, not {array[place]} at index {place}")
    if array.flags.writeable or array.base is not None or not array.flags.c_contiguous:
        array = np.array(array, order="C")
        array.setflags(write=False)
    return array

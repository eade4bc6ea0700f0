"""Numbers that a minimiser may take anywhere for parameters that have limits (gradients 8.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..base.errors import InputError
from ..base.names import suggestion
from ..inverse.noise import FLOOR

__all__ = ["Scale", "scales_of"]

#: ends of names whose values are positive, and whose errors are parts of them
_POSITIVE = (
    "fluence", "flux", "exposure_s", "fudge", "mosaic_spread_deg", "cell_spread_pct", "gamma_A", "sigma_A",
    "molecules", ".blocks", "thickness_mm", "thickness_um", "default_F", "hdivrange_mrad", "vdivrange_mrad",
    "dispersion_pct", "background.constant", "background.radial",
)  # fmt: skip

#: logarithms that are taken, however long the step: squares of the values are numbers too
_FAR = 300.0


class Scale(NamedTuple):
    """Between a parameter's value and the minimiser's number.

    Attributes
    ----------
    kind : {"plain", "log", "range"}
    low, high : float
        Of "range": the value is in the middle plus half the width times a sine.  Of "log" the least value.
    """

    kind: str = "plain"
    low: float = 0.0
    high: float = 0.0

    def inner(self, value: float) -> float:
        """The minimiser's number of a value; one at an end is taken slightly within."""
        if self.kind == "plain":
            return value
        if self.kind == "log":
            return math.log(value)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return math.asin(max(-0.999, min(0.999, (value - middle) / half)))

    def outer(self, number: float) -> float:
        """The value of a number."""
        if self.kind == "plain":
            return number
        if self.kind == "log":
            return max(math.exp(max(-_FAR, min(_FAR, number))), self.low)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle + half * math.sin(number)

    def slope(self, value: float) -> float:
        """Of the value by the number."""
        if self.kind == "plain":
            return 1.0
        if self.kind == "log":
            return max(value, 1e-140)
        return (self.high - self.low) / 2 * math.cos(self.inner(value))


def scales_of(
    parameters: tuple[str, ...], values: tuple[float, ...], bounds: Mapping[str, tuple[float, float]] | None
) -> tuple[Scale, ...]:
    """One for each parameter: a range where bounds are given, the logarithm of what is positive by nature.

    Raises
    ------
    InputError
        For bounds of another parameter, that are no range, or do not hold the value.
    """
    given = dict(bounds or {})
    found = []
    for name, value in zip(parameters, values, strict=True):
        if name in given:
            low, high = _ends(name, given.pop(name))
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InputError(f"bounds of {name}: {low:g} to {high:g} is no range")
            if not low <= value <= high:
                raise InputError(f"{name} starts at {value:g}, outside its bounds {low:g} to {high:g}")
            found.append(Scale("range", low, high))
        elif value > 0 and _positive(name):
            found.append(Scale("log", FLOOR if name == "background.constant" else 0.0))
        else:
            found.append(Scale())
    for name in given:
        raise InputError(f"bounds name {name!r}, which is not free{suggestion(name, parameters)}")
    return tuple(found)


def _positive(name: str) -> bool:
    field = name.split("=")[0].partition("[")[0] if not name.startswith("sample.") else name
    return field.endswith(_POSITIVE) or field.endswith(".N")


def _ends(name: str, given: object) -> tuple[float, float]:
    """Of a range."""
    try:
        low, high = (float(x) for x in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise InputError(f"bounds of {name} are two numbers, (low, high), not {given!r}") from None
    return low, high

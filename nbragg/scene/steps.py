"""Range, step and count: what is not given follows from what is (canonical 4, 5.6, 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..base.errors import InputError

__all__ = ["Layers", "Steps", "resolve_layers", "resolve_mosaic", "resolve_phi", "resolve_steps"]

#: more points than this along one range is a slip of the pen
_MOST_POINTS = 10**9


@dataclass(frozen=True)
class Steps:
    """An evenly divided range: ``range`` and ``step`` in one unit, ``count`` points."""

    range: float
    step: float
    count: int


@dataclass(frozen=True)
class Layers:
    """The sensor's layers: thickness and layer step in metres, attenuation coefficient ``mu`` in 1/m."""

    thickness: float
    step: float
    count: int
    mu: float


def _points(name: str, extent: float, step: float) -> int:
    """ceil(range/step), refusing what no computer could run."""
    points = extent.real / step.real
    if not points < _MOST_POINTS:
        raise InputError(
            f"{name}: a step of {step:g} divides {extent:g} into too many points: give a larger step"
        )
    return math.ceil(points)


def _collapse(steps: Steps) -> Steps:
    """Anything not positive leaves a single point (canonical 4)."""
    positive = steps.range.real > 0 and steps.step.real > 0 and steps.count > 0
    return steps if positive else Steps(0.0, 0.0, 1)


def resolve_steps(name: str, extent: float | None, step: float | None, count: int | None) -> Steps:
    """Divergence and dispersion (canonical 4).

    Parameters
    ----------
    name : str
        For messages.
    extent, step : float or None
        Range and step in one unit (radian, or a fraction of the wavelength); a step of 0 counts as not given.
    count : int or None

    Returns
    -------
    Steps
    """
    has_step = step is not None and step.real > 0
    spacing = step if step is not None and has_step else 0.0
    if count is None:
        if extent is None:
            return Steps(spacing, spacing, 2) if has_step else Steps(0.0, 0.0, 1)
        if not has_step:
            return _collapse(Steps(extent, extent, 2))
        return _collapse(Steps(extent, spacing, _points(name, extent, spacing)))
    if extent is None:
        return Steps(spacing, spacing, 2) if has_step else Steps(1.0, 1.0 / count, count)
    if not has_step:
        count = max(count, 2)
        return _collapse(Steps(extent, extent / (count - 1), count))
    return _collapse(Steps(extent, spacing, count))


def resolve_phi(osc: float | None, step: float | None, count: int | None) -> Steps:
    """Spindle rotation (canonical 6).

    Parameters
    ----------
    osc, step : float or None
        Radians; a step of 0 counts as not given.
    count : int or None

    Returns
    -------
    Steps
        The count is at least 1; no step is collapsed.
    """
    has_step = step is not None and step.real > 0
    spacing = step if step is not None and has_step else 0.0
    if count is None:
        if osc is None:
            return Steps(spacing, spacing, 2) if has_step else Steps(0.0, 0.0, 1)
        if not has_step:
            return Steps(osc, osc / 2, 2)
        return Steps(osc, spacing, max(_points("phistep", osc, spacing), 1))
    if osc is None:
        if has_step:
            return Steps(spacing, spacing, 2)
        osc = math.radians(1.0)
        return Steps(osc, osc / count, count)
    return Steps(osc, spacing if has_step else osc / count, count)


def resolve_mosaic(spread: float | None, domains: int | None) -> tuple[float, int]:
    """Mosaic spread and number of domains (canonical 5.6); the spread keeps its unit."""
    if spread is None or spread.real == 0:
        return 0.0, 1
    return spread, 10 if domains is None else domains


def resolve_layers(thickness: float, count: int | None, attenuation: float | None, *, whole: bool) -> Layers:
    """Sensor layers (canonical 6; ``whole``: canonical 11, n layers of thickness/n).

    Parameters
    ----------
    thickness : float
        Metres; 0 means every photon is counted at the surface.
    count : int or None
        Layers; None means 2.
    attenuation : float or None
        Attenuation depth, metres; None means the thickness, infinity or 0 no absorption.
    whole : bool

    Returns
    -------
    Layers
        One layer of thickness 0 where there is no sensor or no absorption (canonical 11).
    """
    transparent = attenuation is not None and (attenuation.real == 0 or math.isinf(attenuation.real))
    if thickness.real == 0 or transparent:
        return Layers(0.0, 0.0, 1, 0.0)
    mu = 1.0 / (thickness if attenuation is None else attenuation)
    if count is None:
        return Layers(thickness, thickness / 2, 2, mu)
    if whole:
        return Layers(thickness, thickness / count, count, mu)
    count = max(count, 2)
    return Layers(thickness, thickness / (count - 1), count, mu)

"""Pictures of what data would say of parameters: standard deviations against a choice, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base.optional import require
from ..base.vectors import FloatArray

__all__ = ["Curves", "draw_correlation", "draw_sigma"]

#: parameters whose numbers stand in the squares
_WRITTEN = 16


class Curves(NamedTuple):
    """Standard deviations against something that can be chosen.

    Attributes
    ----------
    name, unit : str
        Of what is chosen.
    values : ndarray (n,)
    sigma : dict of str to ndarray (n,)
        Of each parameter.
    units : tuple of str
        Of the parameters.
    relative : dict of str to float
        Values of parameters whose sigma is drawn as a part of them, in %.
    now : float or None
        What the set-up has.
    """

    name: str
    unit: str
    values: FloatArray
    sigma: dict[str, FloatArray]
    units: tuple[str, ...]
    relative: dict[str, float]
    now: float | None = None


def draw_sigma(curves: Sequence[Curves], *, title: str = "", figure: Any = None) -> Any:
    """A column for each choice, a row for each unit of parameters.

    Parameters
    ----------
    curves : sequence of Curves
        Of the same parameters.
    title : str
    figure : matplotlib Figure, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    MissingPackageError
    """
    if figure is None:
        figure = require("matplotlib.figure", extra="plot", purpose="pictures").Figure()
    first = curves[0]
    shown = [
        "%" if name in first.relative else unit for name, unit in zip(first.sigma, first.units, strict=True)
    ]
    rows = list(dict.fromkeys(shown))
    figure.set_size_inches(1.8 + 4.6 * len(curves), 0.8 + 3.2 * len(rows))
    figure.set_layout_engine("constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), len(curves), squeeze=False, sharex="col", sharey="row")
    for column, one in enumerate(curves):
        for row, unit in enumerate(rows):
            place = axes[row, column]
            names = [name for name, its in zip(one.sigma, shown, strict=True) if its == unit]
            _lines(place, one, names)
            if column == 0:
                place.set_ylabel(f"sigma ({unit})")
            if column == len(curves) - 1:
                place.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
            if row == len(rows) - 1:
                place.set_xlabel(f"{one.name} ({one.unit})" if one.unit.strip("-") else one.name)
    return figure


def _lines(axes: Any, curves: Curves, names: Sequence[str]) -> None:
    for name in names:
        sigma = np.where(np.isfinite(curves.sigma[name]), curves.sigma[name], np.nan)
        scale = 100.0 / abs(curves.relative[name]) if name in curves.relative else 1.0
        label = name if np.isfinite(sigma).any() else f"{name}: undetermined"
        axes.plot(curves.values, sigma * scale, "o-", markersize=3.5, label=label)
    axes.set_yscale("log")
    low, high = float(curves.values.min()), float(curves.values.max())
    if low > 0 and high > 20 * low:
        axes.set_xscale("log")
    if curves.now is not None and low <= curves.now <= high:
        axes.axvline(curves.now, color="0.6", linewidth=0.8, linestyle="--")
    axes.grid(alpha=0.3)


def draw_correlation(names: Sequence[str], correlation: FloatArray, *, title: str = "") -> Any:
    """The correlation of each two parameters, blue to red; NaN grey.

    Parameters
    ----------
    names : sequence of str
    correlation : ndarray (p, p)
    title : str

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    MissingPackageError
    """
    figure = require("matplotlib.figure", extra="plot", purpose="pictures").Figure()
    maps = require("matplotlib", extra="plot", purpose="pictures").colormaps
    edge = 2.8 + 0.42 * len(names)
    figure.set_size_inches(edge + 1.2, edge)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    cmap = maps["RdBu_r"].with_extremes(bad="0.75")
    drawn = axes.imshow(correlation, cmap=cmap, vmin=-1, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    if len(names) <= _WRITTEN:
        for i in places:
            for j in places:
                value = float(correlation[i, j])
                if np.isfinite(value) and i != j:
                    dark = "white" if abs(value) > 0.6 else "black"
                    axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=dark)
    figure.colorbar(drawn, ax=axes, label="correlation", shrink=0.8)
    if title:
        axes.set_title(title, fontsize=10)
    return figure

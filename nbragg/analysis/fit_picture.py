"""A picture of a fit: data, model, what is left of them in standard deviations, and how it was reached."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.optional import require
from ..base.vectors import FloatArray
from .assembly import PanelView
from .contrast import background_contrast
from .picture import with_gaps
from .plate import ONE_PANEL_LABELS, Plate, one_panel, several_panels

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["Fit", "draw_fit"]

#: rows and columns of each picture that are drawn at most
_MOST = 450
#: pixels of the closer view along each axis
_CLOSE = 48
#: stages that are named at most
_LISTED = 8
#: standard deviations at the ends of the colour scale
_ENDS = 5.0


class Fit(NamedTuple):
    """What is drawn.

    Attributes
    ----------
    data, model : ndarray
        Photons, shape of the detector's image; NaN where pixels do not count.
    residual : ndarray
        Data less model, in standard deviations, of the same shape.
    stages : sequence of sequence of float
        Cost, -ln L, of each step of each stage.
    """

    data: FloatArray
    model: FloatArray
    residual: FloatArray
    stages: Sequence[Sequence[float]]


def draw_fit(scene: Scene, fit: Fit, *, title: str = "", figure: Any = None) -> Any:
    """Draw a fit: three pictures, the same about the brightest pixel, convergence and a histogram.

    Parameters
    ----------
    scene : Scene
        Where the panels stand.
    fit : Fit
    title : str
    figure : matplotlib Figure, optional
        Drawn into; default a new one.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    MissingPackageError
        Without matplotlib.

    Notes
    -----
    Of large images the brightest pixel of each square is drawn, and of residuals that farthest from 0.
    """
    if figure is None:
        figure = require("matplotlib.figure", extra="plot", purpose="pictures").Figure()
    plates = [_plate(scene, image) for image in (fit.data, fit.model)]
    plates.append(_extremes(scene, fit.residual))
    step = -(-max(plates[0].size) // _MOST)
    far = f"residual (farthest from 0 of {step} x {step} pixels)" if step > 1 else "residual"
    rows = [(plates, ("data", "model", far))]
    close = _close(scene, fit)
    if close is not None:
        rows.append((close, ("data about the brightest pixel", "model", "residual")))
    heights = [_height(of_row[0]) for of_row, _ in rows]
    place = _places(figure, sum(heights) + _BELOW * (len(rows) + 1) + _CURVES + _ABOVE)
    if title:
        figure.suptitle(title, fontsize=11, y=1 - 0.12 / figure.get_figheight())
    grey, bottom = _grey(fit), _BELOW + _CURVES
    for (of_row, names), height in reversed(list(zip(rows, heights, strict=True))):
        bottom += _BELOW
        _three(figure, partial(place, bottom=bottom, height=height), of_row, grey, names)
        bottom += height
    _convergence(place(0.85, 5.9, bottom=_BELOW, height=_CURVES), fit.stages)
    _histogram(place(7.8, 5.9, bottom=_BELOW, height=_CURVES), fit.residual)
    return figure


#: inches: from the top to the pictures, between them and under them, height of the curves, width of a picture
_ABOVE, _BELOW, _CURVES, _WIDE = 0.65, 0.75, 2.6, 3.65


def _height(plate: Plate) -> float:
    """Of a picture, inches."""
    left, right, bottom, top = plate.window
    return min(max(_WIDE * abs((bottom - top) / (right - left)), 1.0), 1.6 * _WIDE)


def _places(figure: Any, high: float) -> Any:
    """Makes axes by their left and lower edge, width and height in inches."""
    wide = 14.0
    figure.set_size_inches(wide, high)

    def place(left: float, width: float, *, bottom: float, height: float) -> Any:
        return figure.add_axes((left / wide, bottom / high, width / wide, height / high))

    return place


def _plate(scene: Scene, image: FloatArray) -> Plate:
    if len(scene.panels) == 1:
        return one_panel(image, most=_MOST)
    view = PanelView.from_scene(scene)
    return several_panels(view.split(image), view, most=_MOST)


def _extremes(scene: Scene, residual: FloatArray) -> Plate:
    above, below = _plate(scene, residual), _plate(scene, -residual)
    farthest = np.where(below.pixels > above.pixels, -below.pixels, above.pixels)
    return above._replace(pixels=farthest)


def _close(scene: Scene, fit: Fit) -> list[Plate] | None:
    """The pixels about the brightest of the model; None where the whole image is hardly more."""
    light = np.where(np.isfinite(fit.data), fit.model, -np.inf).reshape(-1)
    brightest = int(light.argmax())
    number = int(np.searchsorted(scene.offsets, brightest, side="right")) - 1
    panel, first = scene.panels[number], int(scene.offsets[number])
    shape = (panel.spixels, panel.fpixels)
    if max(shape) < 2 * _CLOSE and len(scene.panels) == 1:
        return None
    slow, fast = divmod(brightest - first, panel.fpixels)
    window = tuple(
        slice(start, min(start + _CLOSE, n))
        for n, start in (
            (n, max(min(place - _CLOSE // 2, n - _CLOSE), 0))
            for n, place in zip(shape, (slow, fast), strict=True)
        )
    )
    plates = []
    for image in (fit.data, fit.model, fit.residual):
        part = image.reshape(-1)[first : first + shape[0] * shape[1]].reshape(shape)[window]
        bottom, left = window[0].start, window[1].start
        edges = (left - 0.5, left + part.shape[1] - 0.5, bottom + part.shape[0] - 0.5, bottom - 0.5)
        labels = ONE_PANEL_LABELS
        if len(scene.panels) > 1:
            labels = (f"fast (pixels) of panel {number}", ONE_PANEL_LABELS[1])
        plates.append(Plate(np.asarray(part, np.float64), edges, edges, labels, part.shape[::-1]))
    return plates


def _grey(fit: Fit) -> tuple[Any, list[float]]:
    """One scale for data and model."""
    colors = require("matplotlib.colors", extra="plot", purpose="pictures")
    scale = background_contrast(fit.data)
    norm = colors.FuncNorm((scale.forward, scale.inverse), scale.low, scale.high, clip=True)
    return norm, scale.ticks()


def _three(
    figure: Any, row: Any, plates: Sequence[Plate], grey: tuple[Any, list[float]], names: Sequence[str]
) -> None:
    """Data and model with one grey scale, the residual with colours alike on both sides of 0.

    ``row(left, width)`` makes axes.
    """
    norm, ticks = grey
    greys = {"norm": norm, "cmap": with_gaps("gray_r")}
    colours = {"vmin": -_ENDS, "vmax": _ENDS, "cmap": with_gaps("RdBu_r")}
    for plate, name, left, kind in zip(plates, names, (0.85, 4.7, 9.5), (greys, greys, colours), strict=True):
        axes = row(left, _WIDE)
        drawn = axes.imshow(plate.pixels, interpolation="nearest", extent=plate.extent, **kind)
        axes.set_xlim(plate.window[:2])
        axes.set_ylim(plate.window[2:])
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(plate.labels[0])
        if name == names[0]:
            axes.set_ylabel(plate.labels[1])
        else:
            axes.tick_params(labelleft=False)
        if name == names[1]:
            bar = row(left + _WIDE + 0.1, 0.15)
            figure.colorbar(drawn, cax=bar, label="photons", ticks=ticks, format="%g")
        if name == names[2]:
            bar = row(left + _WIDE + 0.1, 0.15)
            figure.colorbar(drawn, cax=bar, label="standard deviations", extend="both", extendfrac=0.03)


def _convergence(axes: Any, stages: Sequence[Sequence[float]]) -> None:
    """Of each stage the cost above its last; stages see other pixels, so that each has its own zero."""
    number, least = 0, np.inf
    for stage, of_steps in enumerate(stages, 1):
        costs = np.array(of_steps)
        above = costs - costs.min()
        places = np.arange(number, number + len(costs)) + 1
        shown = above > 0
        axes.plot(places[shown], above[shown], "o-", markersize=4, label=f"stage {stage}")
        if number:
            axes.axvline(number + 0.5, color="0.8", linewidth=0.8)
        number += len(costs)
        least = min(least, float(above[shown].min()) if shown.any() else np.inf)
    if np.isfinite(least):
        axes.set_yscale("log")
        if len(stages) <= _LISTED:
            axes.legend(fontsize=8)
    axes.set_xlim(0.5, number + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel("-ln L above the stage's end")
    axes.set_title("convergence", fontsize=10)


def _histogram(axes: Any, residual: NDArray[np.float64]) -> None:
    """Residuals beside the Gaussian that they would have of many photons."""
    good = residual[np.isfinite(residual)]
    edges = np.linspace(-8.0, 8.0, 81)
    counts, _ = np.histogram(np.clip(good, -7.999, 7.999), edges)
    axes.stairs(counts, edges, fill=True, color="tab:blue", alpha=0.5, label="pixels (beyond 8: at the ends)")
    middles = (edges[1:] + edges[:-1]) / 2
    normal = np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi) * (edges[1] - edges[0]) * len(good)
    axes.plot(middles, normal, color="tab:red", linewidth=1, label="Gaussian of width 1")
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(2.0 * float(counts.max(initial=1)), 2.0 * float(normal.max(initial=1))))
    axes.set_xlabel("residual (standard deviations)")
    axes.set_ylabel("pixels")
    axes.set_title("residuals", fontsize=10)
    axes.legend(fontsize=8)

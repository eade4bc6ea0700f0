"""Pictures of images: grey scale, resolution rings, predicted spots; drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.optional import require
from ..base.vectors import FloatArray
from .contrast import background_contrast
from .plate import Plate, View

__all__ = ["GAP", "View", "draw", "nice_spacings", "png_bytes", "with_gaps"]

#: red, green, blue of what is no pixel
GAP = (0.80, 0.86, 0.94)

_NICE = (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)


def nice_spacings(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers for rings, evenly spread in 1/d between the inverse spacings `low` and `high` (1/A)."""
    chosen: list[float] = []
    for i in range(1, count + 1):
        target = 1.0 / (low + (high - low) * i / (count + 0.5))
        scale = 10.0 ** np.floor(np.log10(target))
        near = min((n * s for s in (scale, 10 * scale) for n in _NICE), key=lambda d: abs(1 / d - 1 / target))
        if near not in chosen and low < 1.0 / near < high:
            chosen.append(float(near))
    return chosen


def with_gaps(cmap: Any) -> Any:
    """A colour map of matplotlib that shows NaN in the colour of gaps."""
    maps = require("matplotlib", extra="plot", purpose="pictures").colormaps
    return (maps[cmap] if isinstance(cmap, str) else cmap).with_extremes(bad=GAP)


def draw(
    plate: Plate,
    *,
    rings: Sequence[float] | None = None,
    spots: NDArray[np.void] | None = None,
    percentiles: tuple[float, float] | None = None,
    log: bool = True,
    offset: float = 0.0,
    label: str = "photons",
    title: str = "",
    figure: Any = None,
) -> Any:
    """Draw a plate in a matplotlib figure.

    Parameters
    ----------
    plate : Plate
        `nbragg.analysis.plate.one_panel` or `several_panels`.
    rings : sequence of float, optional
        Spacings, A; None: about five round ones; empty: none.
    spots : structured ndarray, optional
        Marks, as `nbragg.analysis.prediction.predict_spots` returns them.
    percentiles : (float, float), optional
        Of the pixels above the offset; they become white and black.  None: a scale about the background.
    log : bool
        Logarithmic scale (about the background: linear within its spread); False: linear.
    offset : float
        Taken off every pixel first.
    label, title : str
    figure : matplotlib Figure, optional
        Drawn into; default a new one.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
        For unsuitable percentiles or rings.
    MissingPackageError
        Without matplotlib.
    """
    if percentiles is not None and not 0.0 <= percentiles[0] < percentiles[1] <= 100.0:
        raise InputError(
            f"percentiles {percentiles[0]:g} {percentiles[1]:g}: two rising numbers from 0 to 100 were "
            "expected"
        )
    if figure is None:
        figure = require("matplotlib.figure", extra="plot", purpose="pictures").Figure()
    axes, bar = _axes(figure, *plate.pixels.shape[::-1])
    values = plate.pixels - offset
    norm, shown, ticks = _norm(values, percentiles, log)
    drawn = axes.imshow(
        shown, cmap=with_gaps("gray_r"), norm=norm, interpolation="nearest", extent=plate.extent
    )
    axes.set_xlabel(plate.labels[0])
    axes.set_ylabel(plate.labels[1])
    if title:
        axes.set_title(title, fontsize=10)
    figure.colorbar(drawn, cax=bar, label=label, ticks=ticks, format=None if ticks is None else "%g")
    if rings is None or len(rings):
        _rings(axes, plate, rings)
    if spots is not None and len(spots):
        axes.scatter(
            *plate.places(spots),
            s=60,
            marker="s",
            facecolors="none",
            edgecolors="tab:red",
            linewidths=0.7,
        )
    axes.set_xlim(plate.window[:2])
    axes.set_ylim(plate.window[2:])
    return figure


def _norm(
    values: FloatArray, percentiles: tuple[float, float] | None, log: bool
) -> tuple[Any, FloatArray, list[float] | None]:
    """Scale, what is drawn with it, and marks of the scale (None: matplotlib's)."""
    colors = require("matplotlib.colors", extra="plot", purpose="pictures")
    if percentiles is not None:
        bottom, top = _limits(values, *percentiles, log)
        if log:
            return colors.LogNorm(bottom, top, clip=True), np.maximum(values, bottom), None
        return colors.Normalize(bottom, top, clip=True), values, None
    scale = background_contrast(values, linear=not log)
    if not log:
        return colors.Normalize(scale.low, scale.high, clip=True), values, None
    norm = colors.FuncNorm((scale.forward, scale.inverse), scale.low, scale.high, clip=True)
    return norm, values, scale.ticks()


def _axes(figure: Any, fast: int, slow: int) -> tuple[Any, Any]:
    """Axes of the image and of its scale; a pixel of a middling image is one of the file's."""
    longest = min(max(900.0, max(fast, slow)), 2000.0)
    width, height = (longest * n / max(fast, slow) / 100.0 for n in (fast, slow))  # inches at 100 dpi
    whole = (width + 2.4, height + 1.0)
    figure.set_size_inches(*whole)

    def place(left: float, wide: float) -> Any:
        return figure.add_axes((left / whole[0], 0.55 / whole[1], wide / whole[0], height / whole[1]))

    return place(0.9, width), place(width + 1.15, 0.15)


def _limits(values: FloatArray, low: float, high: float, log: bool) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    chosen = finite[finite > 0.0] if log else finite
    if chosen.size == 0:
        return (0.1, 1.0)
    bottom, top = (float(x) for x in np.percentile(chosen, (low, high)))
    if not top > bottom:
        bottom, top = float(chosen.min()), float(chosen.max())
    if not top > bottom:
        top = bottom * 10.0 if log else bottom + 1.0
    return bottom, top


def _rings(axes: Any, plate: Plate, rings: Sequence[float] | None) -> None:
    """Lines of equal spacing, each with its number."""
    if not plate.spacings:
        return
    low = min(float(inverse.min()) for _, _, inverse in plate.spacings)
    high = max(float(inverse.max()) for _, _, inverse in plate.spacings)
    if rings is None:
        rings = nice_spacings(low, high)
    if any(not d > 0.0 for d in rings):
        raise InputError(f"rings {' '.join(f'{d:g}' for d in rings)}: positive spacings (A) were expected")
    levels = sorted({1.0 / d for d in rings if low < 1.0 / d < high})
    found: dict[float, list[FloatArray]] = {level: [] for level in levels}
    for x, y, inverse in plate.spacings:
        inside = [level for level in levels if inverse.min() < level < inverse.max()]
        if not inside:
            continue
        lines = axes.contour(x, y, inverse, levels=inside, colors="tab:blue", linewidths=0.8, linestyles="--")
        if len(plate.spacings) == 1:
            for text in axes.clabel(lines, fmt=_spacing, fontsize=9):
                text.set_path_effects(_halo())
            return
        for level, segments in zip(inside, lines.allsegs, strict=True):
            found[level] += [segment for segment in segments if len(segment)]
    for level, segments in found.items():
        if segments:
            points = np.concatenate(segments)
            # up and to the right of the beam, where one of the panels has the ring
            at = points[np.argmax((points[:, 0] - points[:, 1]) / np.linalg.norm(points, axis=1).clip(1e-9))]
            axes.text(
                *at, _spacing(level), color="tab:blue", fontsize=9, ha="center", va="center",
                path_effects=_halo(), clip_on=True,
            )  # fmt: skip


def _spacing(level: float) -> str:
    return f"{1.0 / level:.4g} Å"


def _halo() -> list[Any]:
    effects = require("matplotlib.patheffects", extra="plot", purpose="pictures")
    return [effects.withStroke(linewidth=2.5, foreground="white")]


def png_bytes(figure: Any) -> bytes:
    """The figure as a PNG file."""
    canvas = require("matplotlib.backends.backend_agg", extra="plot", purpose="pictures")
    canvas.FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()

"""Pictures of images: log scale, resolution rings, predicted spots; drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.optional import require
from ..base.vectors import FloatArray, unit

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["View", "draw", "nice_spacings", "png_bytes"]

#: points along the longer edge of the grid on which rings are followed
_GRID = 600

_NICE = (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)


@dataclass(frozen=True, eq=False)
class View:
    """Where the pixels of a flat detector are: all that resolution rings need.

    Attributes
    ----------
    fast, slow : ndarray (3,)
        Detector axes, unit vectors.
    pix0 : ndarray (3,)
        Sample to the outer corner of the first pixel, m.
    incident : ndarray (3,)
        Direction of travel of the beam, unit vector.
    pixel : (fast, slow)
        Pixel edges, m.
    wavelength : float
        m.
    """

    fast: FloatArray
    slow: FloatArray
    pix0: FloatArray
    incident: FloatArray
    pixel: tuple[float, float]
    wavelength: float

    @classmethod
    def from_scene(cls, scene: Scene) -> View | None:
        """The scene's detector with its mean source; None for a curved one."""
        panel = scene.panel
        if panel.curved != "flat":
            return None
        incident = unit(scene.sources.weight @ scene.sources.incident)
        # the plane may begin elsewhere than the panel
        fast, slow = panel.first[0] * panel.pixel[0], panel.first[1] * panel.pixel[1]
        corner = panel.pix0 + fast * panel.fdet + slow * panel.sdet
        return cls(panel.fdet, panel.sdet, corner, incident, panel.pixel, scene.placement.wavelength)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> View | None:
        """From what an image file says (`nbragg.io.images.ImageFile.metadata`); None if it says too little.

        Of several panels no one view is that of all.  Without axes the detector is taken as perpendicular to
        the beam.
        """
        if metadata.get("curved") or metadata.get("panels"):
            return None
        vectors = [metadata.get(name) for name in ("fast", "slow", "pix0_mm", "beam")]
        pixel, wavelength = metadata.get("pixel_mm"), metadata.get("wavelength_A")
        if not pixel or not wavelength:
            return None
        edges = tuple(pixel) if isinstance(pixel, (tuple, list)) else (pixel, pixel)
        pixel_m = (edges[0] * 1e-3, edges[1] * 1e-3)
        if all(vector is not None for vector in vectors):
            fast, slow, pix0, beam = (np.asarray(vector, dtype=np.float64) for vector in vectors)
            return cls(fast, slow, pix0 * 1e-3, unit(beam), pixel_m, wavelength * 1e-10)
        distance, centre = metadata.get("distance_mm"), metadata.get("beam_center_px")
        if not distance or centre is None:
            return None
        corner = np.array([-centre[0] * pixel_m[0], -centre[1] * pixel_m[1], distance * 1e-3])
        x, y, z = np.eye(3)
        return cls(x, y, corner, z, pixel_m, wavelength * 1e-10)

    def inverse_spacing(self, fast: FloatArray, slow: FloatArray) -> FloatArray:
        """1/d (1/A) on the grid of pixel coordinates `fast` (m,) and `slow` (n,), shape (n, m).

        The centre of the first pixel is at 0, 0.
        """
        F = (fast + 0.5) * self.pixel[0]
        S = (slow + 0.5) * self.pixel[1]
        points = (
            self.pix0 + S[:, np.newaxis, np.newaxis] * self.slow + F[np.newaxis, :, np.newaxis] * self.fast
        )
        direction = points / np.linalg.norm(points, axis=2, keepdims=True)
        return np.asarray(np.linalg.norm(direction - self.incident, axis=2) / self.wavelength * 1e-10)


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


def draw(
    image: NDArray[Any],
    *,
    view: View | None = None,
    rings: Sequence[float] | None = None,
    spots: NDArray[np.void] | None = None,
    percentiles: tuple[float, float] = (50.0, 99.9),
    log: bool = True,
    offset: float = 0.0,
    label: str = "photons",
    title: str = "",
    figure: Any = None,
) -> Any:
    """Draw an image in a matplotlib figure.

    Parameters
    ----------
    image : ndarray (slow, fast)
    view : View, optional
        Where the pixels are; without it no rings are drawn.
    rings : sequence of float, optional
        Spacings, A; None: about five round ones; empty: none.
    spots : structured ndarray, optional
        Marks, as `nbragg.analysis.prediction.predict_spots` returns them.
    percentiles : (float, float)
        Of the pixels above the offset; they become white and black.
    log : bool
        Logarithmic scale; False: linear.
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
        For an image that is not two-dimensional, or unsuitable percentiles or rings.
    MissingPackageError
        Without matplotlib.
    """
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"image has the shape {image.shape}; (slow, fast) was expected")
    low, high = percentiles
    if not 0.0 <= low < high <= 100.0:
        raise InputError(f"percentiles {low:g} {high:g}: two rising numbers from 0 to 100 were expected")
    colors = require("matplotlib.colors", extra="plot", purpose="pictures")
    slow, fast = image.shape
    if figure is None:
        figure = require("matplotlib.figure", extra="plot", purpose="pictures").Figure()
    axes, bar = _axes(figure, fast, slow)
    values = np.where(np.isfinite(image), image, 0).astype(np.float64) - offset
    bottom, top = _limits(values, low, high, log)
    norm = colors.LogNorm(bottom, top, clip=True) if log else colors.Normalize(bottom, top, clip=True)
    shown = np.maximum(values, bottom) if log else values
    drawn = axes.imshow(shown, cmap="gray_r", norm=norm, interpolation="nearest")
    axes.set_xlabel("fast (pixels)")
    axes.set_ylabel("slow (pixels)")
    if title:
        axes.set_title(title, fontsize=10)
    figure.colorbar(drawn, cax=bar, label=label)
    if view is not None:
        _rings(axes, view, image.shape, rings)
    if spots is not None and len(spots):
        axes.scatter(
            spots["fast"],
            spots["slow"],
            s=60,
            marker="s",
            facecolors="none",
            edgecolors="tab:red",
            linewidths=0.7,
        )
    axes.set_xlim(-0.5, fast - 0.5)
    axes.set_ylim(slow - 0.5, -0.5)
    return figure


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
    chosen = values[values > 0.0] if log else values
    if chosen.size == 0:
        return (0.1, 1.0) if log else (float(values.min()), float(values.min()) + 1.0)
    bottom, top = (float(x) for x in np.percentile(chosen, (low, high)))
    if not top > bottom:
        bottom, top = float(chosen.min()), float(chosen.max())
    if not top > bottom:
        top = bottom * 10.0 if log else bottom + 1.0
    return bottom, top


def _rings(axes: Any, view: View, shape: tuple[int, ...], rings: Sequence[float] | None) -> None:
    slow, fast = shape
    step = max(max(shape) / _GRID, 0.05)
    x = np.linspace(-0.5, fast - 0.5, max(int(fast / step), 2) + 1)
    y = np.linspace(-0.5, slow - 0.5, max(int(slow / step), 2) + 1)
    inverse = view.inverse_spacing(x, y)
    low, high = float(inverse.min()), float(inverse.max())
    if rings is None:
        rings = nice_spacings(low, high)
    if any(not d > 0.0 for d in rings):
        raise InputError(f"rings {' '.join(f'{d:g}' for d in rings)}: positive spacings (A) were expected")
    levels = sorted({1.0 / d for d in rings if low < 1.0 / d < high})
    if not levels:
        return
    lines = axes.contour(x, y, inverse, levels=levels, colors="tab:blue", linewidths=0.8, linestyles="--")
    halo = require("matplotlib.patheffects", extra="plot", purpose="pictures").withStroke
    for text in axes.clabel(lines, fmt=lambda level: f"{1.0 / level:.4g} Å", fontsize=9):
        text.set_path_effects([halo(linewidth=2.5, foreground="white")])


def png_bytes(figure: Any) -> bytes:
    """The figure as a PNG file."""
    canvas = require("matplotlib.backends.backend_agg", extra="plot", purpose="pictures")
    canvas.FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()

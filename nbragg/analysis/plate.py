"""What a picture shows: pixels where they stand, their scale's axes, and the spacing at every place.

A *plate* is of one panel, in its own pixels, or of several, in mm as who looks along the beam sees them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.vectors import FloatArray, unit
from .assembly import Canvas, PanelView, drawn
from .contrast import shrunk

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["MOST", "ONE_PANEL_LABELS", "Plate", "View", "one_panel", "several_panels"]

#: of the axes of one panel in its own pixels
ONE_PANEL_LABELS = ("fast (pixels)", "slow (pixels)")

#: points along the longer edge of a plate on which rings are followed
_GRID = 600

#: rows and columns of a plate that are drawn at most; of larger ones the brightest pixels of squares are
MOST = 1500


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


class Plate(NamedTuple):
    """What is drawn.

    Attributes
    ----------
    pixels : ndarray (rows, columns)
        NaN where there is no pixel.
    extent : (left, right, bottom, top)
        Of the outer edges of `pixels`, in the units of the axes.
    window : (left, right, bottom, top)
        What is shown of it.
    labels : (horizontal, vertical)
    size : (columns, rows)
        Pixels before anything was made smaller.
    spacings : tuple of (x, y, 1/d)
        Arrays of one shape: places on the plate, and what inverse spacing (1/angstrom) they have.
    canvas : Canvas or None
        Of several panels.
    panels : PanelView or None
    """

    pixels: NDArray[np.float64]
    extent: tuple[float, float, float, float]
    window: tuple[float, float, float, float]
    labels: tuple[str, str]
    size: tuple[int, int]
    spacings: tuple[tuple[FloatArray, FloatArray, FloatArray], ...] = ()
    canvas: Canvas | None = None
    panels: PanelView | None = None

    def places(self, spots: NDArray[np.void]) -> tuple[FloatArray, FloatArray]:
        """Where spots (of `nbragg.analysis.prediction.predict_spots`) are on the plate."""
        fast, slow = np.asarray(spots["fast"]), np.asarray(spots["slow"])
        if self.panels is None or self.canvas is None:
            return fast, slow
        points = np.empty((len(spots), 3))
        for number, place in enumerate(self.panels.places):
            mine = spots["panel"] == number
            points[mine] = place.points(fast[mine], slow[mine])
        return points @ self.canvas.right * 1e3, points @ self.canvas.down * 1e3


def one_panel(
    image: NDArray[Any],
    view: View | None = None,
    used: NDArray[np.bool_] | None = None,
    *,
    most: int = MOST,
) -> Plate:
    """The plate of a panel, fast to the right and slow down, in pixels.

    Parameters
    ----------
    image : ndarray (slow, fast)
    view : View, optional
        For its spacings.
    used : ndarray of bool (slow, fast), optional
        False where there is no pixel, in a gap between modules say.
    most : int
        Rows and columns that are drawn at most.

    Raises
    ------
    InputError
        For an image that is not two-dimensional.
    """
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"image has the shape {image.shape}; (slow, fast) was expected")
    slow, fast = image.shape
    pixels, step = shrunk(_blanked(image, used), most)
    rows, columns = pixels.shape
    spacings: tuple[tuple[FloatArray, FloatArray, FloatArray], ...] = ()
    if view is not None:
        fine = max(max(image.shape) / _GRID, 0.05)
        x = np.linspace(-0.5, fast - 0.5, max(int(fast / fine), 2) + 1)
        y = np.linspace(-0.5, slow - 0.5, max(int(slow / fine), 2) + 1)
        spacings = ((*np.meshgrid(x, y), view.inverse_spacing(x, y)),)
    return Plate(
        pixels,
        (-0.5, columns * step - 0.5, rows * step - 0.5, -0.5),
        (-0.5, fast - 0.5, slow - 0.5, -0.5),
        ONE_PANEL_LABELS,
        (fast, slow),
        spacings,
    )


def several_panels(
    images: Sequence[NDArray[Any]],
    panels: PanelView,
    used: Sequence[NDArray[np.bool_] | None] | None = None,
    *,
    most: int = MOST,
) -> Plate:
    """The plate of panels where they stand, for who looks along the beam, in mm from it.

    Parameters
    ----------
    images : sequence of ndarray (slow, fast)
    panels : PanelView
    used : sequence of ndarray of bool or None, optional
        False where there is no pixel; None: all are.
    most : int
        Rows and columns that are drawn at most.

    Raises
    ------
    MemoryLimitError
        Where panels stand too far apart for one picture.
    """
    blanked = [_blanked(image, None if used is None else used[i]) for i, image in enumerate(images)]
    whole, canvas = drawn(blanked, panels)
    pixels, step = shrunk(whole, most)
    (left, top), (wide, high) = (
        [1e3 * (start - 0.5 * cell) for start, cell in zip(canvas.start, canvas.cell, strict=True)],
        [1e3 * cell for cell in canvas.cell],
    )
    rows, columns = whole.shape
    return Plate(
        pixels,
        (left, left + pixels.shape[1] * step * wide, top + pixels.shape[0] * step * high, top),
        (left, left + columns * wide, top + rows * high, top),
        ("to the right of the beam (mm)", "below the beam (mm)"),
        (columns, rows),
        _spacings(panels, canvas) if math.isfinite(panels.wavelength) else (),
        canvas,
        panels,
    )


def _blanked(image: NDArray[Any], used: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """As float64, NaN where a value is not finite or no pixel is."""
    values = np.asarray(image, np.float64)
    lost = ~np.isfinite(values)
    if used is not None:
        lost |= ~used
    return np.where(lost, np.nan, values) if lost.any() else values


def _spacings(panels: PanelView, canvas: Canvas) -> tuple[tuple[FloatArray, FloatArray, FloatArray], ...]:
    """Inverse spacings on a grid over each panel."""
    found = []
    fine = max(canvas.shape) / _GRID * canvas.cell[0]
    for place in panels.places:
        slow, fast = (
            np.linspace(-0.5, n - 0.5, max(int(n * edge / fine), 3) + 1)
            for n, edge in zip(place.shape, place.pixel[::-1], strict=True)
        )
        points = place.points(*np.meshgrid(fast, slow))
        direction = points / np.linalg.norm(points, axis=2, keepdims=True)
        inverse = np.linalg.norm(direction - panels.incident, axis=2) / panels.wavelength * 1e-10
        found.append((points @ canvas.right * 1e3, points @ canvas.down * 1e3, inverse))
    return tuple(found)

"""Panels as one picture: where each of them stands, seen along the beam.

Two ways to the cells of one grid.  `gathered` puts every pixel into the nearest cell and keeps sums; `drawn`
asks for every cell which pixel covers it, which leaves no hole in a panel that is turned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base import memory
from ..base.errors import InputError
from ..base.vectors import FloatArray, orthogonal_pair, unit
from ..model.conventions import CONVENTIONS

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["Canvas", "PanelPlace", "PanelView", "drawn", "gathered", "on_one_grid", "view_axes"]

#: cosine below which a panel's axis is not that of the others
_ALIKE = math.sqrt(0.5)

#: part of a pixel that panels on one grid may be off
_OFF_GRID = 0.05

#: part of a pixel that is added before rounding, so that halves do not fall either way
_NUDGE = 1e-6


class PanelPlace(NamedTuple):
    """A panel where it stands; m, unit vectors.

    Attributes
    ----------
    corner : ndarray (3,)
        Sample to the outer corner of the panel's own first pixel.
    fast, slow : ndarray (3,)
    pixel : (fast, slow)
        Pixel edges.
    shape : (slow, fast)
        Pixels.
    name : str
    """

    corner: FloatArray
    fast: FloatArray
    slow: FloatArray
    pixel: tuple[float, float]
    shape: tuple[int, int]
    name: str = ""

    def points(self, fast: Any, slow: Any) -> FloatArray:
        """Places of pixel coordinates, the centre of the first pixel at 0, 0; shape (..., 3)."""
        F = (np.asarray(fast, np.float64) + 0.5) * self.pixel[0]
        S = (np.asarray(slow, np.float64) + 0.5) * self.pixel[1]
        return np.asarray(self.corner + F[..., np.newaxis] * self.fast + S[..., np.newaxis] * self.slow)


class PanelView(NamedTuple):
    """Panels, and how they are looked at.

    Attributes
    ----------
    places : tuple of PanelPlace
    incident : ndarray (3,)
        Direction of travel of the beam.
    convention : str
    wavelength : float
        m.
    """

    places: tuple[PanelPlace, ...]
    incident: FloatArray
    convention: str
    wavelength: float

    @classmethod
    def from_scene(cls, scene: Scene) -> PanelView:
        """The panels of a Scene, which are taken as flat."""
        names = scene.placement.labels.panels or ("",) * len(scene.panels)
        places = []
        for panel, name in zip(scene.panels, names, strict=True):
            fast, slow = panel.first[0] * panel.pixel[0], panel.first[1] * panel.pixel[1]
            corner = panel.pix0 + fast * panel.fdet + slow * panel.sdet
            shape = (panel.spixels, panel.fpixels)
            places.append(PanelPlace(corner, panel.fdet, panel.sdet, panel.pixel, shape, name))
        incident = unit(scene.sources.weight @ scene.sources.incident)
        convention = scene.placement.panels[0].convention
        return cls(tuple(places), incident, convention, scene.placement.wavelength)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> PanelView | None:
        """The panels of a file's record; None where it names none."""
        panels, beam = metadata.get("panels"), metadata.get("beam")
        if not panels or beam is None:
            return None
        places = []
        for panel in panels:
            edges = (panel["pixel_mm"][0] * 1e-3, panel["pixel_mm"][1] * 1e-3)
            corner, fast, slow = (
                np.asarray(panel[name], np.float64) for name in ("origin_mm", "fast", "slow")
            )
            shape = (panel["spixels"], panel["fpixels"])
            places.append(PanelPlace(corner * 1e-3, fast, slow, edges, shape, panel["name"]))
        convention = metadata.get("convention", "custom")
        wavelength = float(metadata.get("wavelength_A") or math.nan) * 1e-10
        return cls(tuple(places), unit(beam), convention, wavelength)

    def split(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """Each panel's part of an image, (slow, fast), in the order of its pixels.

        Raises
        ------
        InputError
            For an image of another number of pixels.
        """
        ends = np.cumsum([math.prod(place.shape) for place in self.places])
        if image.size != ends[-1]:
            raise InputError(
                f"the image has {image.size} pixels; its {len(ends)} panels have {ends[-1]} together"
            )
        parts = np.split(image.reshape(-1), ends[:-1])
        return [part.reshape(place.shape) for part, place in zip(parts, self.places, strict=True)]


def view_axes(incident: FloatArray, convention: str) -> tuple[FloatArray, FloatArray]:
    """To the right and down, for who looks along the beam.

    Down is the slow axis that a detector of the convention has: -y in the frames of CrystFEL, NXmx and DIALS
    (convention "custom") and in MOSFLM's, +y in that of XDS.
    """
    beam = unit(incident)
    for axis in (CONVENTIONS.get(convention, CONVENTIONS["custom"]).slow, (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)):
        down = np.asarray(axis) - (beam @ np.asarray(axis)) * beam
        if np.linalg.norm(down) > 0.1:
            break
    down = unit(down)
    return np.cross(down, beam), down


def _mean_axes(places: Sequence[PanelPlace]) -> tuple[FloatArray, FloatArray] | None:
    """Mean fast and slow axes, made orthogonal; None where panels are turned against each other."""
    fast, slow = (unit(np.mean([getattr(p, name) for p in places], axis=0)) for name in ("fast", "slow"))
    if any(min(p.fast @ fast, p.slow @ slow) < _ALIKE for p in places):
        return None
    return orthogonal_pair(fast, slow)


class Canvas(NamedTuple):
    """Cells on a plane.

    Attributes
    ----------
    right, down : ndarray (3,)
        Unit vectors along columns and rows.
    start : (right, down)
        Centre of the first cell, m.
    cell : (right, down)
        Edges, m.
    shape : (rows, columns)
    """

    right: FloatArray
    down: FloatArray
    start: tuple[float, float]
    cell: tuple[float, float]
    shape: tuple[int, int]

    @classmethod
    def around(
        cls, places: Sequence[PanelPlace], axes: tuple[FloatArray, FloatArray], cell: tuple[float, float]
    ) -> Canvas:
        """The smallest that has a cell for every pixel.

        Raises
        ------
        MemoryLimitError
            Where panels stand too far apart.
        """
        centres = np.concatenate(
            [p.points(*np.meshgrid([0, p.shape[1] - 1], [0, p.shape[0] - 1])).reshape(-1, 3) for p in places]
        )
        start, shape = [], []
        for axis, edge in zip(axes, cell, strict=True):
            along = centres @ axis
            start.append(float(along.min()))
            shape.append(math.floor(float(np.ptp(along)) / edge + 0.5 + _NUDGE) + 1)
        memory.require(
            16 * shape[0] * shape[1],
            f"a picture of {shape[0]} x {shape[1]} pixels that holds all panels",
            "look at single panels",
        )
        return cls(axes[0], axes[1], (start[0], start[1]), cell, (shape[1], shape[0]))

    def coordinates(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Columns and rows of points (..., 3), the centre of the first cell at 0, 0."""
        column = (points @ self.right - self.start[0]) / self.cell[0]
        row = (points @ self.down - self.start[1]) / self.cell[1]
        return column, row

    def block(self, place: PanelPlace) -> tuple[slice, slice, bool] | None:
        """Rows and columns of a panel whose pixels are cells, and whether its fast axis runs along rows.

        Slices may run backwards; without fast along rows the panel's image is to be transposed.  None for a
        panel that is turned otherwise, or has other pixels.
        """
        last = (place.shape[1] - 1, place.shape[0] - 1)
        at = np.stack(self.coordinates(place.points(*np.array([(0, 0), (1, 0), (0, 1), last]).T)))
        steps = at[:, 1:3] - at[:, :1]  # of columns and rows along fast and slow
        whole = np.round(steps)
        flat = bool(whole[0, 0])
        if np.abs(steps - whole).max() * max(place.shape) > _NUDGE or sorted(np.abs(whole).ravel()) != [
            0,
            0,
            1,
            1,
        ]:
            return None
        ends = np.floor(at[:, [0, 3]] + (0.5 + _NUDGE)).astype(int).tolist()
        columns, rows = (_run(ends[i][0], ends[i][1], int(whole[i].sum())) for i in (0, 1))
        return rows, columns, flat

    def cells(self, place: PanelPlace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Nearest column and row of every pixel of a panel; shape (slow, fast)."""
        column, row = self.coordinates(place.points(*np.meshgrid(*map(np.arange, place.shape[::-1]))))
        return tuple(np.floor(x + (0.5 + _NUDGE)).astype(np.int64) for x in (column, row))  # type: ignore[return-value]


def _run(first: int, last: int, step: int) -> slice:
    """A slice from one index to another, both in it, either way."""
    end = last + step
    return slice(first, end if end >= 0 else None, step)


def _cell_of(places: Sequence[PanelPlace], right: FloatArray) -> tuple[float, float]:
    """The first panel's pixel edges, as they lie on the canvas."""
    (pf, ps), first = places[0].pixel, places[0]
    return (pf, ps) if abs(first.fast @ right) >= abs(first.slow @ right) else (ps, pf)


def gathered(
    images: Sequence[NDArray[Any]], view: PanelView, fill: float = math.nan, *, exact: bool = False
) -> NDArray[Any]:
    """Every pixel in the nearest cell of a grid; pixels that share one are added.

    Parameters
    ----------
    images : sequence of ndarray (slow, fast)
        One for each panel.
    view : PanelView
        The grid lies along the mean fast and slow axes of the panels, with the first panel's pixels; where
        panels are turned against each other by 45 degrees or more, along `view_axes`.
    fill : float
        Of cells without a pixel.
    exact : bool
        Only for panels on one grid: see `on_one_grid`.

    Raises
    ------
    InputError
        With ``exact``, where they are not.
    MemoryLimitError
    """
    axes = _mean_axes(view.places)
    if exact:
        on_one_grid(view)
    if axes is None:
        axes = view_axes(view.incident, view.convention)
    canvas = Canvas.around(view.places, axes, _cell_of(view.places, axes[0]))
    total = np.zeros(canvas.shape, np.result_type(*images))
    covered = np.zeros(canvas.shape, bool)
    for image, place in zip(images, view.places, strict=True):
        block = canvas.block(place)
        if block is not None:
            rows, columns, flat = block
            total[rows, columns] += image if flat else image.T
            covered[rows, columns] = True
            continue
        column, row = canvas.cells(place)
        np.add.at(total, (row, column), image)
        covered[row, column] = True
    if not covered.all():
        if total.dtype.kind in "iu" and not float(fill).is_integer():
            total = total.astype(np.float64)
        total[~covered] = fill
    return total


def on_one_grid(view: PanelView) -> None:
    """Refuse panels that are not parts of one grid of pixels, in one plane, without overlap.

    Raises
    ------
    InputError
        Naming the first panel that is off the grid of the first.
    """
    first = view.places[0]
    normal = np.cross(first.fast, first.slow)
    edge = min(first.pixel)
    taken: list[tuple[int, int, int, int]] = []
    for number, place in enumerate(view.places):
        offset = place.corner - first.corner
        reach = max(n * p for n, p in zip(place.shape[::-1], place.pixel, strict=True))
        turned = max(np.linalg.norm(place.fast - first.fast), np.linalg.norm(place.slow - first.slow))
        steps = [
            float(offset @ axis) / p for axis, p in zip((first.fast, first.slow), first.pixel, strict=True)
        ]
        off = {
            "turned": float(turned) * reach / edge,
            "in front or behind": abs(float(offset @ normal)) / edge,
            "between pixels": max(abs(step - round(step)) for step in steps),
            "of other pixels": max(
                abs(a / b - 1.0) * n
                for a, b, n in zip(place.pixel, first.pixel, place.shape[::-1], strict=True)
            ),
        }
        worst = max(off, key=lambda key: off[key])
        named = f"panel {number}" + (f" {place.name!r}" if place.name else "")
        if off[worst] > _OFF_GRID:
            raise InputError(
                f"exact=True is for panels on one grid of pixels: {named} is {off[worst]:.2g} pixels off it "
                f"({worst}); without exact every pixel goes into the nearest cell"
            )
        f, s = round(steps[0]), round(steps[1])
        box = (f, f + place.shape[1], s, s + place.shape[0])
        for other in taken:
            if box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3]:
                raise InputError(f"exact=True is for panels beside each other: {named} overlaps another")
        taken.append(box)


def drawn(images: Sequence[NDArray[Any]], view: PanelView) -> tuple[NDArray[np.float64], Canvas]:
    """A picture of panels as they stand, for who looks along the beam, each cell the pixel that covers it.

    A pixel brighter than that in the cell nearest to it takes its place, so that none is lost.

    Parameters
    ----------
    images : sequence of ndarray (slow, fast)
    view : PanelView

    Returns
    -------
    picture : ndarray (rows, columns)
        NaN where there is no pixel.
    canvas : Canvas
        Of square cells as wide as the narrowest pixel.

    Raises
    ------
    MemoryLimitError
        Where panels stand too far apart.
    """
    axes = view_axes(view.incident, view.convention)
    edge = min(itertools.chain.from_iterable(place.pixel for place in view.places))
    canvas = Canvas.around(view.places, axes, (edge, edge))
    picture = np.full(canvas.shape, np.nan)
    for image, place in zip(images, view.places, strict=True):
        block = canvas.block(place)
        if block is not None:
            rows, columns, flat = block
            picture[rows, columns] = image if flat else image.T
            continue
        corners = place.points(
            *np.meshgrid([-0.5, place.shape[1] - 0.5], [-0.5, place.shape[0] - 0.5])
        ).reshape(-1, 3)
        column, row = canvas.coordinates(corners)
        left, right = max(math.floor(column.min()), 0), min(math.ceil(column.max()), canvas.shape[1] - 1)
        top, bottom = max(math.floor(row.min()), 0), min(math.ceil(row.max()), canvas.shape[0] - 1)
        # steps of a pixel in cells: columns of fast and slow
        steps = np.array(
            [
                [place.fast @ axis * place.pixel[0] / edge, place.slow @ axis * place.pixel[1] / edge]
                for axis in axes
            ]
        )
        if right < left or bottom < top or abs(np.linalg.det(steps)) < 1e-3:
            continue  # seen edge-on
        inverse = np.linalg.inv(steps)
        x = np.arange(left, right + 1) - column[0]
        y = (np.arange(top, bottom + 1) - row[0])[:, np.newaxis]
        f = np.floor(inverse[0, 0] * x + inverse[0, 1] * y + _NUDGE).astype(np.int64)
        s = np.floor(inverse[1, 0] * x + inverse[1, 1] * y + _NUDGE).astype(np.int64)
        on = (f >= 0) & (f < place.shape[1]) & (s >= 0) & (s < place.shape[0])
        part = picture[top : bottom + 1, left : right + 1]
        part[on] = image[s[on], f[on]]
        # a panel that is turned, or whose pixels are smaller than cells, has some that no cell asks for
        np.fmax.at(picture, canvas.cells(place)[::-1], image)
    return picture, canvas

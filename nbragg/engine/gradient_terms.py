"""Tangents of a Scene as what the kernel wants: short sums of the columns of csrc/nb_columns.h.

A kernel makes, for each pixel, derivatives by some fifty numbers whatever the number of parameters: the basis
of gradients 7.3.  A parameter's derivative is a sum of a few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._engine import ASKS, COLUMNS, WANTS, Rates
from ..base.vectors import FloatArray
from ..scene.record import CrystalBlock, Scene
from ..scene.tangent import CrystalTangent, Frame, PanelTangent, SceneTangent

if TYPE_CHECKING:
    from .._engine import Asked

__all__ = ["Layout", "Terms", "everything", "terms_of"]

T = TypeVar("T")

#: one row of a sparse matrix: columns and values
Row = list[tuple[int, float]]

#: fields of the panel, with the numbers each has
PANEL_FIELDS = {
    "pix0": 3,
    "fdet": 3,
    "sdet": 3,
    "odet": 3,
    "beam": 3,
    "pixel": 2,
    "layer_step": 1,
    "mu": 1,
    "close_distance": 1,
    "distance": 1,
}
#: elements of a symmetric matrix, as the kernel has them
SYMMETRIC = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
#: of a panel, those that do not move a sample in reciprocal space
_WITHOUT_PULL = ("close_distance", "mu")


@dataclass(frozen=True)
class Layout:
    """Where the columns of the basis begin: as `_engine.GradientJob.layout`."""

    source: int
    table: int
    crystal: tuple[int, ...]
    columns: int


@dataclass
class Terms:
    """What is asked of the kernel, and how its columns and rows become parameters.

    Attributes
    ----------
    asked : list
        One `_engine.Asked` for each crystal.
    asks : int
        Of `_engine.ASKS`: what is asked of detector and beam.
    rows : list of Row
        By parameter, columns of the whole image; without the panel's own.
    panel_rows : list of list of Row
        By panel and parameter.
    entries : list of dict {(table, place): float}
        By parameter, single structure factors, by their place in the table.
    """

    asked: list[Asked]
    asks: int
    rows: list[Row]
    panel_rows: list[list[Row]]
    entries: list[dict[tuple[int, int], float]]


def sparse(rows: Sequence[Row]) -> Rates:
    """Rows as the kernel reads them."""
    start = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=start[1:])
    column = np.array([c for row in rows for c, _ in row], np.int32)
    value = np.array([v for row in rows for _, v in row], np.float64)
    return Rates(start, column, value)


@dataclass
class _Extras:
    """Extra columns of one crystal while they are gathered: of each kind one array per column."""

    turn: list[FloatArray] = field(default_factory=list)
    move: list[FloatArray] = field(default_factory=list)
    weight: list[FloatArray] = field(default_factory=list)

    def rates(self, arrays: list[FloatArray], first: int, count: int) -> Rates | None:
        """(n, ...) arrays as sparse rates by orientation, columns from ``first`` on."""
        if not arrays:
            return None
        stacked = np.stack([array.reshape(count, -1) for array in arrays])  # column, orientation, number
        column, orientation = np.nonzero(stacked.any(axis=2))
        order = np.lexsort((column, orientation))
        column, orientation = column[order], orientation[order]
        start = np.searchsorted(orientation, np.arange(count + 1)).astype(np.int64)
        value = np.ascontiguousarray(stacked[column, orientation], np.float64)
        return Rates(start, (column + first).astype(np.int32), value)


def terms_of(
    scene: Scene,
    tangents: Sequence[SceneTangent],
    frames: Sequence[Frame],
    layout_of: Callable[[list[Asked]], Layout],
) -> Terms:
    """What the derivatives along some tangents take.

    Parameters
    ----------
    scene : Scene
    tangents : sequence of SceneTangent
    frames : sequence of Frame
        Of each crystal; read where a tangent moves its ``cell``.
    layout_of : callable
        The `Layout` that goes with what is asked of the crystals.
    """
    pull = any(map(_pulls, tangents))
    extras = [_Extras() for _ in scene.crystals]
    columns: list[list[list[tuple[str, int]]]] = []  # by parameter and crystal: kind and number
    for tangent in tangents:
        of_crystals = [_crystal_extras(_at(tangent.crystals, i), extra) for i, extra in enumerate(extras)]
        columns.append(of_crystals)
    asked = [
        _asked(scene, i, extras[i], [_at(t.crystals, i) for t in tangents], tangents, pull)
        for i in range(len(scene.crystals))
    ]
    layout = layout_of(asked)
    rows = []
    for tangent, of_crystals in zip(tangents, columns, strict=True):
        row = _image_row(tangent, layout)
        for i, extra in enumerate(of_crystals):
            crystal = _at(tangent.crystals, i)
            if crystal is None:
                continue
            first = layout.crystal[i]
            row += [(first + c, v) for c, v in _crystal_row(scene.crystals[i], crystal, frames, i)]
            turns, moves = len(extras[i].turn), len(extras[i].move)
            start = {"turn": 0, "move": turns, "weight": turns + moves}
            row += [(first + COLUMNS["crystal_end"] + start[kind] + number, 1.0) for kind, number in extra]
        rows.append(row)
    return Terms(
        asked=asked,
        asks=_asks(tangents),
        rows=rows,
        panel_rows=[[_panel_row(_at(t.panels, i)) for t in tangents] for i in range(len(scene.panels))],
        entries=[_entries(t, scene) for t in tangents],
    )


def everything(scene: Scene) -> tuple[list[Asked], int]:
    """All there is to ask of the crystals, without a frame, and of the rest."""
    names = ("pull", "shape", "default_F", "orientations", "table")
    wants = sum(WANTS[name] for name in names)
    return [(wants, 0, 0, None, None, None) for _ in scene.crystals], sum(ASKS.values())


def _at(parts: tuple[T | None, ...], i: int) -> T | None:
    """The i-th part of a tangent, None where there is none."""
    return parts[i] if parts else None


def _pulls(t: SceneTangent) -> bool:
    """Whether a tangent moves samples in reciprocal space without moving the crystal."""
    if t.source_incident is not None or t.source_wavelength is not None:
        return True
    return any(
        bool(np.any(getattr(panel, name)))
        for panel in t.panels
        if panel is not None
        for name in PANEL_FIELDS
        if name not in _WITHOUT_PULL and getattr(panel, name) is not None
    ) or any(panel is not None and panel.mu != 0 for panel in t.panels)


def _asks(tangents: Sequence[SceneTangent]) -> int:
    """What is asked of detector and beam."""
    wanted = {
        "panels": any(panel is not None for t in tangents for panel in t.panels),
        "sources": any(t.source_incident is not None or t.source_wavelength is not None for t in tangents),
        "polarization": any(t.polarization != 0 or t.polar_vector is not None for t in tangents),
    }
    return sum(ASKS[name] for name, yes in wanted.items() if yes)


def _crystal_extras(t: CrystalTangent | None, extras: _Extras) -> list[tuple[str, int]]:
    """Extra columns that a tangent needs: their kinds and numbers."""
    needed = []
    if t is not None:
        for kind, array in (("turn", t.turn), ("move", t.orientations), ("weight", t.orientation_weights)):
            if array is not None and array.any():
                into: list[FloatArray] = getattr(extras, kind)
                needed.append((kind, len(into)))
                into.append(array)
    return needed


def _asked(
    scene: Scene,
    i: int,
    extras: _Extras,
    of_crystal: Sequence[CrystalTangent | None],
    tangents: Sequence[SceneTangent],
    pull: bool,
) -> Asked:
    block = scene.crystals[i]
    given = [t for t in of_crystal if t is not None]
    numbers = range(block.table, block.table + 1 + int(scene.sources.table.max()))
    of_tables = [table for t in tangents for j in numbers if (table := _at(t.tables, j)) is not None]
    wanted = {
        "pull": pull,
        "cell": any(t.cell is not None for t in given),
        "shape": any(t.N is not None or t.shape_metric is not None or t.fudge != 0 for t in given),
        "default_F": any(table.default_F for table in of_tables),
        "table": any(table.values is not None or table.entries for table in of_tables),
    }
    count = len(block.orientations)
    turns, moves, weights = len(extras.turn), len(extras.move), len(extras.weight)
    return (
        sum(WANTS[name] for name, yes in wanted.items() if yes),
        turns + moves + weights,
        turns + moves,
        extras.rates(extras.turn, 0, count),
        extras.rates(extras.move, turns, count),
        extras.rates(extras.weight, turns + moves, count),
    )


def _put(row: Row, first: int, values: object, factor: float = 1.0) -> None:
    """Numbers of one field, zeros left out."""
    if values is None:
        return
    for j, value in enumerate(np.asarray(values, np.float64).reshape(-1).tolist()):
        if value != 0.0:
            row.append((first + j, factor * value))


def _image_row(t: SceneTangent, layout: Layout) -> Row:
    row: Row = []
    for name in ("polarization", "polar_vector", "fluence", "water"):
        _put(row, COLUMNS[name], getattr(t, name))
    each = COLUMNS["source_end"]
    for name, values in (
        ("incident", t.source_incident),
        ("wavelength", t.source_wavelength),
        ("weight", t.source_weight),
    ):
        for s, value in enumerate([] if values is None else values):
            _put(row, layout.source + each * s + COLUMNS[name], value)
    for j, table in enumerate(t.tables):
        _put(row, layout.table + j, 0.0 if table is None else table.default_F)
    return row


def _crystal_row(block: CrystalBlock, t: CrystalTangent, frames: Sequence[Frame], i: int) -> Row:
    """By the crystal's own columns, from its first on."""
    row: Row = []
    _put(row, COLUMNS["N"], t.N)
    _put(row, COLUMNS["crystal_weight"], t.weight)
    if t.shape_metric is not None or t.fudge != 0:
        moved = t.fudge * block.shape_metric
        if t.shape_metric is not None:
            moved = moved + block.fudge * t.shape_metric
        _put(row, COLUMNS["metric"], [moved[j, k] + (moved[k, j] if j != k else 0.0) for j, k in SYMMETRIC])
    if t.cell is not None:
        # the cell becomes (1 + X) cell
        _put(row, COLUMNS["cell"], np.linalg.solve(frames[i].cell.T, t.cell.T).T)
    return row


def _panel_row(t: PanelTangent | None) -> Row:
    row: Row = []
    if t is not None:
        for name in PANEL_FIELDS:
            _put(row, COLUMNS[name], getattr(t, name))
    return row


def _entries(t: SceneTangent, scene: Scene) -> dict[tuple[int, int], float]:
    """Single structure factors that a tangent moves: (table, place in it) -> rate."""
    found: dict[tuple[int, int], float] = {}
    for number, table in enumerate(t.tables):
        values = scene.tables[number].values
        if table is None or values is None:
            continue
        if table.values is not None:
            flat: NDArray[np.float64] = np.asarray(table.values).reshape(-1)
            found.update({(number, int(j)): float(flat[j]) for j in np.flatnonzero(flat)})
        for index, rate in (table.entries or {}).items():
            place = tuple(h - low for h, low in zip(index, scene.tables[number].origin, strict=True))
            key = (number, int(np.ravel_multi_index(place, values.shape)))
            found[key] = found.get(key, 0.0) + rate
    return found

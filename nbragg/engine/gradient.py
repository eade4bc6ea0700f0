"""Derivatives of an image along tangents of its Scene, exact: one pass over its samples (gradients 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base import memory
from ..base.cached import cached_property
from ..base.vectors import FloatArray
from ..scene.record import Scene
from ..scene.tangent import CrystalTangent, Frame, PanelTangent, SceneTangent, TableTangent
from .cpu import choose_isa, cpu_precision, render_cut, run_job, thread_count
from .gradient_terms import PANEL_FIELDS, SYMMETRIC, Layout, Terms, everything, sparse, terms_of
from .options import RenderOptions
from .progress import reporting

__all__ = ["Gradient"]


class Gradient:
    """The derivatives of one image, on the CPU.

    Parameters
    ----------
    scene : Scene
    tangents : sequence of SceneTangent
        How the Scene moves with each of p parameters.
    frames : sequence of Frame
        Of each crystal, where a tangent moves its ``cell``; otherwise it may be empty.
    options : RenderOptions
        Threads, precision, progress.  In mixed precision lattice factors and their slopes are in single
        precision; all that is returned is float64.

    Notes
    -----
    A spectrum is rendered directly, every channel by its own wavelength, whatever `Scene.spectral` says.
    Counts, look-ups and cuts are held (gradients 3).  The number of threads changes no bit of a result.
    """

    def __init__(
        self,
        scene: Scene,
        tangents: Sequence[SceneTangent],
        frames: Sequence[Frame],
        options: RenderOptions,
    ) -> None:
        if scene.spectral != "direct":
            scene = replace(scene, spectral="direct")
        self.scene, self.tangents, self.frames, self.options = scene, list(tangents), frames, options
        self._engine = _engine.EngineScene(scene)

    @cached_property
    def _rendered(self) -> tuple[FloatArray, tuple[int, int] | None]:
        return render_cut(self.scene, self.options)

    @property
    def image(self) -> FloatArray:
        """Photons per pixel before rounding, of the scene's ``image_shape``."""
        return self._rendered[0]

    @cached_property
    def cut(self) -> tuple[int, int] | None:
        """Image index and number of the sample that ended interpolation, None: none did.

        All the pixels of an image decide it: who asks for part of them says it before anything is asked for.
        """
        ends = any(table.interpolation == "tricubic" for table in self.scene.tables)
        return self._rendered[1] if ends else None

    @cached_property
    def _terms(self) -> Terms:
        return terms_of(self.scene, self.tangents, self.frames, self._layout)

    def _layout(self, asked: list[_engine.Asked]) -> Layout:
        return Layout(*self._job(asked, 0).layout)

    def _job(
        self, asked: list[_engine.Asked], asks: int, cut: tuple[int, int] | None = None
    ) -> _engine.GradientJob:
        return _engine.GradientJob(self._engine, asked, asks, **self._job_words(), cut=cut)

    def _job_words(self) -> dict[str, Any]:
        return {
            "precision": cpu_precision(self.options),
            "threads": thread_count(self.options),
            "isa": choose_isa(),
        }

    def _ready(self, asked: list[_engine.Asked], asks: int) -> _engine.GradientJob:
        """A job that knows where interpolation ends."""
        return self._job(asked, asks, self.cut)

    def _run(self, job: _engine.GradientJob) -> None:
        """Run it on an engine thread, with progress; Ctrl-C stops it.

        Raises
        ------
        RenderError
            When the engine runs out of memory.
        """
        with reporting(self.options) as report:
            run_job(job, None if report is None else lambda: report(job.progress))
            if report is not None:
                report(1.0)

    # ---- backward ----

    def _sums(
        self,
        asked: list[_engine.Asked],
        asks: int,
        cotangent: FloatArray,
        orientations: list[FloatArray] | None,
        tables: list[FloatArray | None],
    ) -> tuple[FloatArray, Layout]:
        """Columns summed over the image: those of each panel, then the others."""
        job = self._ready(asked, asks)
        layout = Layout(*job.layout)
        own = _engine.COLUMNS["panel_end"]
        sums = np.zeros(len(self.scene.panels) * own + layout.columns - own)
        given = np.ascontiguousarray(cotangent, np.float64)
        # a power of two, so that only rendered pixels have any say in the result
        norm = 2.0 ** int(np.frexp(np.abs(given).max(initial=0.0))[1])
        job.sum_columns(
            given, norm, sums, orientations, tables if any(t is not None for t in tables) else None
        )
        self._run(job)
        return sums, layout

    def _room(self, nbytes: int, what: str) -> None:
        memory.require(
            nbytes, what, "ask for fewer parameters, or for vjp or gauss_newton instead of jacobian"
        )

    def vjp(self, cotangent: FloatArray) -> FloatArray:
        """Sum over the pixels of ``cotangent`` times the derivative along each tangent.

        Parameters
        ----------
        cotangent : ndarray of float64, of the scene's ``image_shape``

        Returns
        -------
        ndarray (p,)
        """
        terms = self._terms
        needed = {number for entry in terms.entries for number, _ in entry}
        tables: list[FloatArray | None] = [
            None if number not in needed or table.values is None else np.zeros(table.values.shape)
            for number, table in enumerate(self.scene.tables)
        ]
        sums, _ = self._sums(terms.asked, terms.asks, cotangent, None, tables)
        own = _engine.COLUMNS["panel_end"]
        others = sums[len(self.scene.panels) * own :]
        result = np.zeros(len(self.tangents))
        for j, row in enumerate(terms.rows):
            total = sum(value * others[column - own] for column, value in row)
            for panel, of_panel in enumerate(terms.panel_rows):
                total += sum(value * sums[panel * own + column] for column, value in of_panel[j])
            for (number, place), rate in terms.entries[j].items():
                table = tables[number]
                assert table is not None
                total += rate * table.reshape(-1)[place]
            result[j] = total
        return result

    def tables_vjp(self, cotangent: FloatArray) -> list[FloatArray | None]:
        """What one electron more of each listed structure factor is worth to sum(cotangent * image).

        Parameters
        ----------
        cotangent : ndarray of float64, of the scene's ``image_shape``

        Returns
        -------
        list of ndarray or None
            As the scene's tables; None without a list, and where no tangent names an entry.
        """
        terms = self._terms
        needed = {number for entry in terms.entries for number, _ in entry}
        tables: list[FloatArray | None] = [
            None if number not in needed or table.values is None else np.zeros(table.values.shape)
            for number, table in enumerate(self.scene.tables)
        ]
        self._sums(terms.asked, terms.asks, cotangent, None, tables)
        return tables

    def scene_vjp(self, cotangent: FloatArray) -> SceneTangent:
        """The cotangent of the Scene: what one unit of each of its fields is worth to sum(cotangent * image).

        Parameters
        ----------
        cotangent : ndarray of float64, of the scene's ``image_shape``

        Returns
        -------
        SceneTangent
            With all fields but ``cell`` and ``turn`` of the crystals; tables are whole, None without a list.
        """
        blocks = self.scene.crystals
        self._room(
            1000 * sum(len(block.orientations) for block in blocks)
            + 16 * sum(t.values.size for t in self.scene.tables if t.values is not None),
            "the cotangent of this scene",
        )
        orientations = [np.zeros((len(block.orientations), 10)) for block in blocks]
        tables = [None if t.values is None else np.zeros(t.values.shape) for t in self.scene.tables]
        sums, layout = self._sums(*everything(self.scene), cotangent, orientations, tables)
        return _cotangent(self.scene, sums, layout, orientations, tables)

    # ---- forward ----

    def _row_job(self, terms: Terms) -> tuple[_engine.GradientJob, list[int], list[int]]:
        """A job that makes rows; the parameters that have one of columns, and one of structure factors."""
        job = self._ready(terms.asked, terms.asks)
        count = len(terms.rows)
        of_factors = [j for j in range(count) if terms.entries[j]]
        of_columns = [
            j
            for j in range(count)
            if terms.rows[j] or any(rows[j] for rows in terms.panel_rows) or j not in of_factors
        ]
        slots, shares = self._slots(terms, of_factors)
        job.make_rows(
            len(of_columns),
            sparse([terms.rows[j] for j in of_columns]),
            [sparse([rows[j] for j in of_columns]) for rows in terms.panel_rows],
            len(of_factors),
            slots,
            shares,
        )
        return job, of_columns, of_factors

    def _slots(
        self, terms: Terms, of_factors: Sequence[int]
    ) -> tuple[list[NDArray[np.int32] | None], list[FloatArray | None]]:
        """For each table, which row an entry belongs to and how much it counts there."""
        slots: list[NDArray[np.int32] | None] = [None] * len(self.scene.tables)
        shares: list[FloatArray | None] = [None] * len(self.scene.tables)
        for row, j in enumerate(of_factors):
            for (number, place), rate in terms.entries[j].items():
                slot, share = slots[number], shares[number]
                if slot is None or share is None:
                    values = self.scene.tables[number].values
                    assert values is not None
                    slot = slots[number] = np.full(values.shape, -1, np.int32)
                    share = shares[number] = np.zeros(values.shape)
                slot.reshape(-1)[place] = row
                share.reshape(-1)[place] = rate
        return slots, shares

    def jvp(self, directions: FloatArray) -> FloatArray:
        """Derivative images along combinations of the tangents.

        Parameters
        ----------
        directions : ndarray (p, m)

        Returns
        -------
        ndarray of float64 (m, *image_shape)
        """
        count = directions.shape[1]
        shape = self.scene.image_shape
        pixels = int(np.prod(shape))
        self._room(8 * count * pixels, f"{count} derivative images of {pixels} pixels")
        result = np.zeros((count, *shape))
        terms = self._terms
        combined = Terms(
            terms.asked,
            terms.asks,
            [_combine(terms.rows, directions[:, k]) for k in range(count)],
            [[_combine(rows, directions[:, k]) for k in range(count)] for rows in terms.panel_rows],
            [_combine_entries(terms.entries, directions[:, k]) for k in range(count)],
        )
        for group in _disjoint(combined.entries):
            part = Terms(
                combined.asked,
                combined.asks,
                [combined.rows[k] for k in group],
                [[rows[k] for k in group] for rows in combined.panel_rows],
                [combined.entries[k] for k in group],
            )
            job, of_columns, of_factors = self._row_job(part)
            rows = np.zeros((len(of_columns) + len(of_factors), *shape))
            job.store(rows, np.arange(len(rows), dtype=np.int32))
            self._run(job)
            for row, k in enumerate([*of_columns, *of_factors]):
                result[group[k]] += rows[row]
        return result

    def jacobian(self, out: NDArray[np.floating]) -> None:
        """Derivative images along every tangent.

        Parameters
        ----------
        out : ndarray of float64 or float32 (p, *image_shape)
            Pixels that are not rendered become 0.
        """
        terms = self._terms
        job, of_columns, of_factors = self._row_job(terms)
        order = [*of_columns, *of_factors]
        if len(order) != len(set(order)) or len(_disjoint(terms.entries)) > 1:
            # a tangent that moves both structure factors and more, or two that share some
            for j in range(len(self.tangents)):
                out[j] = self.jvp(np.eye(len(self.tangents))[:, j : j + 1])[0]
            return
        out[...] = 0
        job.store(out, np.array(order, np.int32))
        self._run(job)

    def gauss_newton(self, residual: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """J^T W J and J^T W r of the Jacobian J, which is never held.

        Parameters
        ----------
        residual, weights : ndarray of float64, of the scene's ``image_shape``

        Returns
        -------
        H : ndarray (p, p)
        b : ndarray (p,)
        """
        terms = self._terms
        if len(_disjoint(terms.entries)) > 1:
            return self._squared(residual, weights)
        job, of_columns, of_factors = self._row_job(terms)
        order = [*of_columns, *of_factors]
        n = len(order)
        self._room(64 * n * n, f"the products of {n} parameters")
        H, b = np.zeros((n, n)), np.zeros(n)
        job.square(
            np.ascontiguousarray(residual, np.float64), np.ascontiguousarray(weights, np.float64), H, b
        )
        self._run(job)
        H += np.tril(H, -1).T
        if n == len(self.tangents):
            back = np.argsort(order)
            return H[np.ix_(back, back)], b[back]
        which = np.eye(len(self.tangents))[order]  # some tangent has two rows
        return _symmetric(which.T @ H @ which), which.T @ b

    def _squared(self, residual: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of tangents that share structure factors, which no parameter by name does: J is held."""
        out = np.zeros((len(self.tangents), *self.scene.image_shape))
        self.jacobian(out)
        rows = out.reshape(len(out), -1)
        weighed = rows * np.asarray(weights).reshape(-1)
        return _symmetric(weighed @ rows.T), weighed @ np.asarray(residual).reshape(-1)


def _symmetric(H: FloatArray) -> FloatArray:
    return np.asarray((H + H.T) / 2)


def _combine(rows: Sequence[list[tuple[int, float]]], weights: FloatArray) -> list[tuple[int, float]]:
    """One row: the weighted sum of sparse rows."""
    total: dict[int, float] = {}
    for row, weight in zip(rows, weights.tolist(), strict=True):
        for column, value in row if weight != 0 else ():
            total[column] = total.get(column, 0.0) + weight * value
    return list(total.items())


def _combine_entries(
    entries: Sequence[dict[tuple[int, int], float]], weights: FloatArray
) -> dict[tuple[int, int], float]:
    total: dict[tuple[int, int], float] = {}
    for entry, weight in zip(entries, weights.tolist(), strict=True):
        for key, value in entry.items() if weight != 0 else ():
            total[key] = total.get(key, 0.0) + weight * value
    return total


def _disjoint(entries: Sequence[dict[tuple[int, int], float]]) -> list[list[int]]:
    """Rows in groups, in each of which no structure factor belongs to two."""
    groups: list[tuple[list[int], set[tuple[int, int]]]] = []
    for j, entry in enumerate(entries):
        for members, taken in groups:
            if taken.isdisjoint(entry):
                members.append(j)
                taken.update(entry)
                break
        else:
            groups.append(([j], set(entry)))
    return [members for members, _ in groups]


def _cotangent(
    scene: Scene,
    sums: FloatArray,
    layout: Layout,
    orientations: Sequence[FloatArray],
    tables: Sequence[FloatArray | None],
) -> SceneTangent:
    """The kernel's sums by the fields of the Scene."""
    at = _engine.COLUMNS
    own, each, ns = at["panel_end"], at["source_end"], len(scene.sources)
    others = np.concatenate([np.zeros(own), sums[len(scene.panels) * own :]])
    panels = []
    for i in range(len(scene.panels)):
        of_panel = sums[i * own : (i + 1) * own]
        fields = {
            name: of_panel[at[name]] if n == 1 else of_panel[at[name] : at[name] + n].copy()
            for name, n in PANEL_FIELDS.items()
        }
        panels.append(PanelTangent(**fields))
    sources = others[layout.source : layout.source + each * ns].reshape(ns, each)
    incident = sources[:, at["incident"] : at["incident"] + 3]
    along = (incident * scene.sources.incident).sum(axis=1, keepdims=True)
    crystals = []
    for i, block in enumerate(scene.crystals):
        first = layout.crystal[i]
        by_radius = others[first + at["metric"] : first + at["metric"] + 6]
        metric = np.zeros((3, 3))
        for (j, k), value in zip(SYMMETRIC, by_radius, strict=True):
            metric[j, k] = metric[k, j] = value
        crystals.append(
            CrystalTangent(
                orientations=orientations[i][:, :9].reshape(-1, 3, 3).copy(),
                orientation_weights=orientations[i][:, 9].copy(),
                N=others[first + at["N"] : first + at["N"] + 3].copy(),
                shape_metric=block.fudge * metric,
                fudge=float((metric * block.shape_metric).sum()),
                weight=float(others[first + at["crystal_weight"]]),
            )
        )
    return SceneTangent(
        panels=tuple(panels),
        crystals=tuple(crystals),
        tables=tuple(
            TableTangent(values=values, default_F=float(others[layout.table + j]))
            for j, values in enumerate(tables)
        ),
        source_incident=incident - along * scene.sources.incident,
        source_wavelength=sources[:, at["wavelength"]].copy(),
        source_weight=sources[:, at["weight"]].copy(),
        polarization=float(others[at["polarization"]]),
        polar_vector=others[at["polar_vector"] : at["polar_vector"] + 3].copy(),
        fluence=float(others[at["fluence"]]),
        water=float(others[at["water"]]),
    )

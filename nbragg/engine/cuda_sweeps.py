"""Runs csrc/nb_gradient.cu through a `Runtime`: what a `CudaJob` asks for, in short launches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.errors import InputError, MemoryLimitError
from ..base.memory import readable
from .cuda_kernel import choose_gradient
from .cuda_scene import DeviceScene
from .options import RenderOptions
from .progress import reporting

if TYPE_CHECKING:
    from ..base.vectors import FloatArray
    from ..scene.record import Scene
    from .cuda_engine import Runtime, Tables

__all__ = ["CudaJob", "Sweeps"]

#: fields of nb_held in csrc/nb_gradient.cu, in order
HELD = (
    "course", "given", "basis", "extras", "slope_extras", "rows", "met", "active", "start", "column", "value",
    "slot", "share", "residual", "weights", "image", "partial", "once", "largest", "unit", "fixed", "spoiled",
)  # fmt: skip
_HELD_DTYPE = np.dtype([(name, np.uint64) for name in HELD])
_NOWHERE = np.iinfo(np.int64).max
#: units of an image: many more than a card works on at a time.  It is part of the order of sums: fixed
_UNITS = 2048
_FEWEST_UNITS = 64
#: bytes that the sums of all units may take before there are fewer of them; part of the order, too
_UNIT_BYTES = 2**28
#: samples whose contributions to entries are added up as whole numbers before those are taken over; it leaves
#: 30 bits for each of the numbers (nb_put_entry); part of the result: fixed
_ROUND_SAMPLES = 2**32
_LAUNCH_BYTES = 2**28  # of the results of one launch
_BLOCKS_AT_ONCE = (
    4  # on one multiprocessor; a few more than there are registers for, so that none stands idle
)
_STEP_SECONDS = 0.15  # as cuda_plan.py
_COST = 4.0  # of a sample and its slopes, against a sample alone
_MOST_BLOCKS = 65535  # along y of a grid


class CudaJob(_engine.GradientJob):
    """What is asked of a pass: an `_engine.GradientJob`, which checks it, with the arrays at hand."""

    def __init__(
        self,
        scene: _engine.EngineScene,
        asked: Sequence[_engine.Asked],
        asks: int,
        *,
        precision: str,
        threads: int,
        isa: str,
        cut: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(scene, asked, asks, precision=precision, threads=threads, isa=isa, cut=cut)
        self.scene, self.precision, self.cut = scene, precision, cut
        self.asked, self.asks = asked, asks
        self.given: FloatArray | None = None
        self.norm = 1.0
        self.sums: FloatArray | None = None
        self.orientations: Sequence[NDArray[np.float64] | None] = ()
        self.tables: Sequence[NDArray[np.float64] | None] = ()
        self.rows = self.factors = 0
        self.terms: _engine.Rates | None = None
        self.panel_terms: Sequence[_engine.Rates] = ()
        self.slots: Sequence[NDArray[np.int32] | None] = ()
        self.shares: Sequence[NDArray[np.float64] | None] = ()
        self.image: NDArray[np.floating[Any]] | None = None
        self.place: NDArray[np.int32] | None = None
        self.squares: tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None = None

    def sum_columns(
        self,
        given: NDArray[np.float64],
        norm: float,
        sums: NDArray[np.float64],
        orientations: Sequence[NDArray[np.float64] | None] | None = None,
        tables: Sequence[NDArray[np.float64] | None] | None = None,
    ) -> None:
        super().sum_columns(given, norm, sums, orientations, tables)
        self.given, self.norm, self.sums = given, norm, sums
        self.orientations, self.tables = orientations or (), tables or ()

    def make_rows(
        self,
        rows: int,
        terms: _engine.Rates,
        panel_terms: Sequence[_engine.Rates],
        factors: int = 0,
        slots: Sequence[NDArray[np.int32] | None] | None = None,
        shares: Sequence[NDArray[np.float64] | None] | None = None,
    ) -> None:
        super().make_rows(rows, terms, panel_terms, factors, slots, shares)
        self.rows, self.factors, self.terms, self.panel_terms = rows, factors, terms, panel_terms
        self.slots, self.shares = slots or (), shares or ()

    def store(self, image: NDArray[np.floating[Any]], place: NDArray[np.int32]) -> None:
        super().store(image, place)
        self.image, self.place = image, place

    def square(
        self,
        residual: NDArray[np.float64],
        weights: NDArray[np.float64],
        H: NDArray[np.float64],
        b: NDArray[np.float64],
    ) -> None:
        super().square(residual, weights, H, b)
        self.squares = residual, weights, H, b


class _Step(NamedTuple):
    """One launch, queued: what it has done of the whole, and what is left to do when it has ended."""

    pixels: int
    finish: Callable[[], None] | None = None


class Sweeps:
    """One `CudaJob` on a device.

    Parameters
    ----------
    runtime : Runtime
    tables : Tables
    scene : Scene
    job : CudaJob
    options : RenderOptions
        Progress.

    Raises
    ------
    MemoryLimitError
        When the device has too little memory.
    InputError
        When there are more orientations than a grid of a GPU can hold.
    """

    def __init__(
        self, runtime: Runtime, tables: Tables, scene: Scene, job: CudaJob, options: RenderOptions
    ) -> None:
        self._runtime, self._tables, self._scene = runtime, tables, scene
        self._job, self._options = job, options
        self._spec = choose_gradient(scene, job.precision, entries=job.factors > 0)
        self._threads = runtime.threads
        self._pixels = [
            int(np.prod(np.diff(np.reshape(panel.roi, (2, 2)))[:, 0] + 1)) if places is None else len(places)
            for panel, places in zip(scene.panels, job.scene.listed, strict=True)
        ]
        self._points = [panel.layers * scene.oversample**2 * len(scene.sources) for panel in scene.panels]
        self._orientations = [len(block.orientations) for block in scene.crystals]
        self._columns = job.layout[3]
        self._extras = max((asked[1] for asked in job.asked), default=0)
        self._all = job.rows + job.factors

    def run(self) -> None:
        """Everything; an exception on the way, Ctrl-C among them, waits for the device first."""
        runtime = self._runtime
        waiting: deque[tuple[Any, _Step]] = deque()
        done = 0
        passes = 1 + bool(self._job.orientations or self._job.tables)
        total = max(passes * sum(self._pixels), 1)
        with runtime.lane(0), reporting(self._options) as report:
            try:
                self._begin()
                for step in self._steps():
                    waiting.append((runtime.mark(), step))
                    done += self._end(waiting, 2)
                    if report is not None:
                        report(min(done / total, 1.0))
                while waiting:
                    done += self._end(waiting, 1)
                self._hand_over()
                if report is not None:
                    report(1.0)
            except BaseException:
                while waiting:
                    runtime.wait(waiting.popleft()[0])
                raise

    def _end(self, waiting: deque[tuple[Any, _Step]], most: int) -> int:
        """Wait for the oldest launch where so many are under way; the pixels it did."""
        if len(waiting) < most:
            return 0
        mark, step = waiting.popleft()
        self._runtime.wait(mark)
        if step.finish is not None:
            step.finish()
        return step.pixels

    # ---- what all launches read ----

    def _begin(self) -> None:
        runtime, scene, job = self._runtime, self._scene, self._job
        self._device = device = DeviceScene(runtime, self._tables, scene, job.scene, np.float64, listed=True)
        self._held = held = np.zeros(1, _HELD_DTYPE)
        self._sweep = np.zeros(1, _engine.SWEEP_DTYPE)
        self._prepare()
        if job.given is not None:
            held["given"] = device.upload(job.given * (1.0 / job.norm))
        if job.squares is not None:
            held["residual"], held["weights"] = device.upload(job.squares[0]), device.upload(job.squares[1])
        slots = [0 if a is None else device.upload(a) for a in job.slots] or [0] * len(scene.tables)
        shares = [0 if a is None else device.upload(a) for a in job.shares] or [0] * len(scene.tables)
        held["slot"] = device.upload(np.array(slots, np.uint64))
        held["share"] = device.upload(np.array(shares, np.uint64))
        sweep = self._sweep
        sweep["columns"], sweep["extras"] = self._columns, self._extras
        sweep["rows"], sweep["factors"] = job.rows, job.factors
        sweep["per_source"] = sum(self._orientations)

    def _prepare(self) -> None:
        """Structs that only the device can fill in: nb_prepare."""
        device, scene, job = self._device, self._scene, self._job
        source, table, crystals, columns = job.layout
        requests = np.zeros(len(job.asked), _engine.REQUEST_DTYPE)
        # nb_by_orientation has these to itself, but for rows of structure factors
        wanted = ~_engine.WANTS["orientations"]
        if not job.factors:
            wanted &= ~_engine.WANTS["table"]
        for request, asked, first in zip(requests, job.asked, crystals, strict=True):
            request["want"], request["extras"], request["weighted"] = asked[0] & wanted, *asked[1:3]
            request["first"] = first
            for kind, rates in enumerate((asked[3], asked[4], asked[5])):
                if rates is not None:
                    for name, array in zip(("start", "column", "value"), rates.arrays, strict=True):
                        request[name][kind] = device.upload(np.asarray(array))
        questions = np.zeros(1, _engine.QUESTIONS_DTYPE)
        questions["source"], questions["table"], questions["columns"] = source, table, columns
        questions["asks"] = job.asks
        questions["cut_pixel"], questions["cut_sequence"] = job.cut or (_NOWHERE, 0)
        questions["norm"] = job.norm
        sizes, count = _engine.SIZES, len(scene.crystals)
        room = {
            "course": sizes["nb_course"],
            "asked": count * sizes["nb_asked"],
            "block": count * sizes["nb_block"],
            "first": count * 4,
            "axes": len(scene.sources) * sizes["nb_axes"],
        }
        at = {name: self._empty(size, np.uint8) for name, size in room.items()}
        self._held["course"] = at["course"]
        arguments = [device.scene, questions, device.upload(requests.view(np.uint8)), *at.values()]
        self._launch("nb_prepare", (1, 1, 1), arguments)

    def _empty(self, size: int, dtype: Any) -> np.uint64:
        address: np.uint64 = np.uint64(self._device.keep(self._runtime.empty((size,), dtype)))
        return address

    def _zeros(self, size: int, dtype: Any) -> tuple[Any, np.uint64]:
        array = self._runtime.zeros((size,), dtype)
        return array, np.uint64(self._device.keep(array))

    def _launch(self, kernel: str, grid: tuple[int, int, int], arguments: Sequence[Any]) -> None:
        values = [np.uint64(a) if isinstance(a, int) else a for a in arguments]
        self._runtime.launch(self._spec, kernel, grid, values)

    def _sweep_of(self, panel: int) -> list[Any]:
        """The first arguments of the kernels that go through pixels; records are copied."""
        return [
            self._device.scene, self._device.panels[panel : panel + 1], self._sweep.copy(), self._held.copy(),
        ]  # fmt: skip

    # ---- launches ----

    def _steps(self) -> Iterator[_Step]:
        job = self._job
        if job.given is None:
            yield from self._by_pixel()
            return
        yield from self._by_pixel()
        wants = [array is not None for array in job.tables]
        self._table_sums = [self._room_for(table) if yes else None for table, yes in enumerate(wants)]
        fixed = [0 if room is None else int(room[1]) for room in self._table_sums]
        spoiled = [0 if room is None else int(room[2]) for room in self._table_sums]
        self._orientation_sums: list[Any] = []
        if not (job.orientations or any(wants)):
            return
        pad = [0] * (len(self._scene.tables) - len(wants))
        self._held["fixed"] = self._device.upload(np.array([*fixed, *pad], np.uint64))
        self._held["spoiled"] = self._device.upload(np.array([*spoiled, *pad], np.uint64))
        self._held["unit"] = self._empty(3, np.float64)
        self._orientation_sums = [self._zeros(10 * n, np.float64) for n in self._orientations]
        for panel in range(len(self._pixels)):
            yield from self._by_orientation(panel)

    def _room_for(self, table: int) -> tuple[Any, np.uint64, np.uint64, np.uint64]:
        """A table's cotangent; addresses of whole numbers, of marks and of the cotangent."""
        values = self._scene.tables[table].values
        assert values is not None
        fixed, spoiled = (
            self._zeros(_engine.WORDS * values.size, np.int64),
            self._zeros(values.size, np.uint8),
        )
        total = self._zeros(values.size, np.float64)
        return total[0], fixed[1], spoiled[1], total[1]

    def _step_pixels(self, panel: int, orientations: int) -> int:
        """Pixels of one launch, by a guess of the time they take."""
        profile = self._runtime.profile
        slow = profile.double_cost / 2 if profile.double_cost > 2 else 1.0
        samples = self._points[panel] * max(orientations, 1) * _COST * slow
        return max(1, int(_STEP_SECONDS * profile.samples_per_second / samples))

    def _free(self) -> int:
        return self._runtime.free_bytes()

    def _by_pixel(self) -> Iterator[_Step]:
        """nb_differentiate over all panels."""
        job, threads = self._job, self._threads
        groups = [-(-pixels // threads) for pixels in self._pixels]
        size = self._columns if job.given is not None else self._all * (self._all + 1)
        each = 1 if job.image is not None else -(-sum(groups) // self._unit_count(8 * size))
        self._sweep["groups"] = each
        blocks = self._bench_room(max(groups, default=1))
        totals = len(groups) if job.given is not None else 1
        self._total, total = self._zeros(totals * size, np.float64)
        per_pixel = 8 * self._all if job.image is not None else 0
        unit_bytes = each * threads * per_pixel if job.image is not None else 8 * size
        most = max(1, min(_LAUNCH_BYTES, self._free() // 4) // max(unit_bytes, 1))
        for panel, count in enumerate(groups):
            units = -(-count // each)
            per_launch = max(
                1, min(most, self._step_pixels(panel, sum(self._orientations)) // (each * threads))
            )
            self._sweep["pixels"] = self._pixels[panel]
            self._upload_terms(panel)
            to = total + np.uint64(8 * size * panel if job.given is not None else 0)
            for first in range(0, units, per_launch):
                last = min(first + per_launch, units)
                self._sweep["first"], self._sweep["last"] = first, last
                yield self._differentiate(panel, (first, last), blocks, size, to)

    def _unit_count(self, nbytes: int) -> int:
        """Units of an image, of so many bytes each."""
        return max(_FEWEST_UNITS, min(_UNITS, _UNIT_BYTES // max(nbytes, 1)))

    def _bench_room(self, groups: int) -> int:
        """Memory of the blocks that run at a time; how many."""
        job, threads, held = self._job, self._threads, self._held
        doubles = {"basis": self._columns, "extras": self._extras, "slope_extras": self._extras}
        each = 8 * threads * (sum(doubles.values()) + self._all) + 4 * (job.factors + self._all)
        blocks = min(groups, _BLOCKS_AT_ONCE * self._runtime.profile.multiprocessors)
        free = self._free()
        if each > free // 2:
            raise MemoryLimitError(
                f"the derivatives of one block of pixels take {readable(each)} of the {readable(free)} that "
                f"are free on {self._runtime.profile.name}: ask for fewer parameters, or give device='cpu'"
            )
        blocks = max(1, min(blocks, free // 2 // each))
        for name, count in doubles.items():
            held[name] = self._empty(blocks * threads * count, np.float64)
        held["rows"] = self._zeros(blocks * threads * self._all, np.float64)[1]
        held["met"] = self._zeros(blocks * job.factors, np.int32)[1]
        held["active"] = self._empty(blocks * self._all, np.int32)
        return blocks

    def _upload_terms(self, panel: int) -> None:
        """Rows as sums of columns, the image's and then the panel's own."""
        if self._job.terms is None:
            return
        parts = [self._job.terms.arrays, self._job.panel_terms[panel].arrays]
        row = np.concatenate([np.repeat(np.arange(len(s) - 1), np.diff(s)) for s, _, _ in parts])
        order = np.argsort(row, kind="stable")
        start = np.searchsorted(row[order], np.arange(self._job.rows + 1)).astype(np.int64)
        held, device = self._held, self._device
        held["start"] = device.upload(start)
        held["column"] = device.upload(np.concatenate([c for _, c, _ in parts])[order].astype(np.int32))
        held["value"] = device.upload(np.concatenate([v for _, _, v in parts])[order])

    def _differentiate(
        self, panel: int, units: tuple[int, int], blocks: int, size: int, total: np.uint64
    ) -> _Step:
        """One launch of nb_differentiate, and what becomes of its results."""
        job, runtime, sweep, held = self._job, self._runtime, self._sweep, self._held
        count = units[1] - units[0]
        each = int(sweep["groups"][0]) * self._threads
        origin = units[0] * each
        pixels = min(units[1] * each, self._pixels[panel]) - origin
        grid = (min(blocks, count), 1, 1)
        if job.image is not None:
            sweep["origin"], sweep["slots"] = origin, pixels
            image = runtime.zeros((self._all, pixels), np.float64)
            held["image"] = runtime.address(image)
            self._launch("nb_differentiate", grid, self._sweep_of(panel))
            host = runtime.host_array((self._all, pixels), np.float64)
            runtime.download(image, host)
            return _Step(pixels, lambda: self._put_rows(panel, origin, host))
        partial = runtime.empty((count * size,), np.float64)
        held["partial"] = runtime.address(partial)
        self._launch("nb_differentiate", grid, self._sweep_of(panel))
        self._fold(runtime.address(partial), count, size, total)
        return _Step(pixels)

    def _fold(self, partial: int, units: int, size: int, total: np.uint64) -> None:
        arguments = [np.uint64(partial), np.int64(units), np.int64(size), total]
        self._launch("nb_fold", (-(-size // self._threads), 1, 1), arguments)

    def _put_rows(self, panel: int, origin: int, rows: FloatArray) -> None:
        """Rows of some pixels to their places in the image."""
        job = self._job
        assert job.image is not None and job.place is not None
        placed, listed = self._scene.panels[panel], job.scene.listed[panel]
        slots = np.arange(origin, origin + rows.shape[1])
        if listed is not None:
            index = listed[slots].astype(np.int64)
        else:
            fmin, fmax, smin, _ = placed.roi
            slow, fast = np.divmod(slots, fmax - fmin + 1)
            index = (slow + smin) * placed.fpixels + fast + fmin
        flat = job.image.reshape(self._all, -1)
        index += self._scene.offsets[panel]
        for row, place in zip(rows, job.place.tolist(), strict=True):
            flat[place, index] = row

    # ---- a thread is an orientation ----

    def _by_orientation(self, panel: int) -> Iterator[_Step]:
        """nb_weigh and nb_by_orientation for one panel."""
        sweep, held, threads = self._sweep, self._held, self._threads
        pixels = self._pixels[panel]
        blocks = -(-pixels // threads)
        if not pixels:
            return
        sweep["pixels"], sweep["tables"] = pixels, any(room is not None for room in self._table_sums)
        held["once"], held["largest"] = self._empty(pixels, np.float64), self._empty(blocks, np.float64)
        self._launch("nb_weigh", (blocks, 1, 1), self._sweep_of(panel))
        for crystal, orientations in enumerate(self._orientations):
            lanes = min(threads, 1 << (orientations - 1).bit_length())
            chunks = -(-orientations // lanes)
            if chunks > _MOST_BLOCKS:
                raise InputError(f"{orientations} orientations are too many for derivatives on a GPU")
            # the chunks of orientations keep a card busy, too, and each unit has a sum of each orientation
            units_wanted = max(1, min(_UNITS, -(-2 * _UNITS // chunks)))
            each = -(-blocks // units_wanted)
            units = -(-blocks // each)
            sweep["groups"], sweep["crystal"], sweep["lanes"] = each, crystal, lanes
            sweep["before"] = sum(self._orientations[:crystal])
            owed = each * threads * self._points[panel] * orientations
            per_round = max(1, _ROUND_SAMPLES // owed)
            sweep["bits"] = 62 - math.ceil(math.log2(max(2, min(per_round, units) * owed)))
            for first in range(0, units, per_round):
                yield from self._one_round(panel, (first, min(first + per_round, units)), chunks, blocks)

    def _one_round(self, panel: int, units: tuple[int, int], chunks: int, blocks: int) -> Iterator[_Step]:
        """Units whose contributions to tables are added up as whole numbers of the same unit."""
        sweep, runtime = self._sweep, self._runtime
        crystal, each = int(sweep["crystal"][0]), int(sweep["groups"][0]) * self._threads
        orientations = self._orientations[crystal]
        scene, _, _, _ = self._sweep_of(panel)
        factor = self._entry_bound(crystal)
        arguments = [scene, sweep.copy(), self._held.copy(), np.int64(blocks), np.float64(factor)]
        self._launch("nb_choose_unit", (1, 1, 1), arguments)
        most = max(1, min(_LAUNCH_BYTES, self._free() // 4) // (80 * orientations))
        most = max(1, min(most, self._step_pixels(panel, orientations) // each))
        for first in range(units[0], units[1], most):
            last = min(first + most, units[1])
            sweep["first"], sweep["last"] = first, last
            partial = runtime.empty(((last - first) * 10 * orientations,), np.float64)
            self._held["partial"] = runtime.address(partial)
            self._launch("nb_by_orientation", (last - first, chunks, 1), self._sweep_of(panel))
            total = self._orientation_sums[crystal][1]
            self._fold(runtime.address(partial), last - first, 10 * orientations, total)
            done = min(last * each, self._pixels[panel]) - first * each
            yield _Step(done // len(self._orientations))
        for table, room in enumerate(self._table_sums):
            if room is not None:
                entries = room[0].shape[0]
                self._launch(
                    "nb_settle",
                    (-(-entries // self._threads), 1, 1),
                    [self._held.copy(), np.int64(table), np.int64(entries), room[3]],
                )

    def _entry_bound(self, crystal: int) -> float:
        """Largest that a sample of weight 1 owes to a structure factor: 2 F L^2 over the largest L^2.

        Interpolation does not exceed twice the largest value listed.
        """
        block, scene = self._scene.crystals[crystal], self._scene
        weights = block.orientation_weights
        heaviest = 1.0 if weights is None else float(weights.max())
        numbers = range(block.table, block.table + 1 + int(scene.sources.table.max()))
        values = [scene.tables[number].values for number in numbers]
        listed = [np.abs(v) for v in values if v is not None]
        largest = max((float(v.max(initial=0.0, where=np.isfinite(v))) for v in listed), default=0.0)
        return 4.0 * heaviest * largest

    # ---- results ----

    def _read(self, array: Any) -> FloatArray:
        host = self._runtime.host_array(array.shape, np.float64)
        self._runtime.download(array, host)
        self._runtime.wait(self._runtime.mark())
        return host

    def _hand_over(self) -> None:
        """Sums to where the job wants them."""
        job = self._job
        if job.squares is not None:
            H, b = job.squares[2:]
            total = self._read(self._total)
            H[...] = total[: H.size].reshape(H.shape)
            b[...] = total[H.size :]
        if job.sums is None:
            return
        own = _engine.COLUMNS["panel_end"]
        sums = self._read(self._total).reshape(len(self._pixels), self._columns)
        job.sums[: sums.shape[0] * own] = sums[:, :own].reshape(-1)
        job.sums[sums.shape[0] * own :] = sums[:, own:].sum(axis=0)
        for array, found in zip(job.orientations, self._orientation_sums, strict=False):
            if array is not None:
                array[...] = self._read(found[0]).reshape(array.shape)
        for table, room in zip(job.tables, self._table_sums, strict=False):
            if table is not None and room is not None:
                table[...] = self._read(room[0]).reshape(table.shape)

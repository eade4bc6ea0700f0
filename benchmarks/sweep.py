"""The sweep of AT-PERF-007: detector sizes, cells, crystal sizes, oversampling and wavelengths.

Ours is measured on the full grid.  The reference, whose time depends on little but the number of samples, is
measured on every size with every oversampling, and on every cell, N and wavelength at 512 x 512.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .timing import Reference, Spread, interleave, render_quietly
from .workloads import (
    SWEEP_CELLS,
    SWEEP_LAMBDA,
    SWEEP_N,
    SWEEP_OVERSAMPLE,
    SWEEP_SIZES,
    Workload,
    band,
    samples_of,
    sweep_job,
    whole_scene,
)


class Point(NamedTuple):
    """One configuration."""

    size: int
    cell: str
    N: int
    oversample: int
    wavelength_A: float
    features: bool


#: the size at which the reference sees every cell, N and wavelength
STAR_SIZE = 512

#: shortest time of the reference that counts, s
RESOLVED = 1e-3


def grid(sizes: tuple[int, ...] = SWEEP_SIZES) -> Iterator[Point]:
    """All points, then each size with absorption and mosaic spread."""
    for axes in itertools.product(sizes, SWEEP_CELLS, SWEEP_N, SWEEP_OVERSAMPLE, SWEEP_LAMBDA):
        yield Point(*axes, features=False)
    for size in sizes:
        yield Point(size, "cubic", 5, 1, 1.0, True)


def for_reference(point: Point, star: int = STAR_SIZE) -> bool:
    """Whether the reference is measured at this point."""
    if point.features or (point.cell, point.N, point.wavelength_A) == ("cubic", 5, 1.0):
        return True
    return point.size == star and point.oversample == 1


def record(point: Point, implementation: str, threads: int, samples: int, times: Spread) -> dict[str, Any]:
    """One row; the columns of AT-PERF-007 under this project's names."""
    return {
        "implementation": implementation,
        "threads": threads,
        "shape": [point.size, point.size],
        "crystal": point.cell,
        "N": point.N,
        "oversample": point.oversample,
        "wavelength_A": point.wavelength_A,
        "features": point.features,
        "samples": samples,
        "seconds": times.median,
        "seconds_low": times.low,
        "seconds_high": times.high,
        "samples_per_s": samples / times.median,
        "pixels_per_s": point.size**2 / times.median,
    }


class Startup:
    """The reference's time for one column of a detector, by size and threads: start, files and end."""

    def __init__(self, reference: Reference, folder: Path) -> None:
        self.reference, self.folder = reference, sweep_job(2, "cubic", 1, 1, 1.0).place(folder)
        self.known: dict[tuple[int, int], float] = {}

    def seconds(self, size: int, threads: int) -> float:
        if (size, threads) not in self.known:
            words = sweep_job(size, "cubic", 1, 1, 1.0).command(self.folder)
            runs = [self.reference.run(words, band((size, size), 1), threads, self.folder) for _ in range(5)]
            self.known[size, threads] = Spread.of(runs).median
        return self.known[size, threads]


def reference_seconds(
    startup: Startup, job: Workload, samples: int, threads: int, limit: float, repetitions: int
) -> Spread:
    """Seconds of the whole job without start-up, from a band that takes about `limit`."""
    fast = job.pixels[0]
    columns = max(min(int(fast * limit * threads / (samples * 120e-9)), fast), 2)
    words = job.command(startup.folder)
    idle = startup.seconds(fast, threads)
    part = samples * (columns - 1) / fast
    runs = [
        startup.reference.run(words, band(job.pixels, columns), threads, startup.folder) - idle
        for _ in range(repetitions)
    ]
    return Spread.of([max(seconds, 1e-6) * samples / part for seconds in runs])


def run(
    folder: Path,
    reference: Reference | None,
    threads: int,
    *,
    sizes: tuple[int, ...] = SWEEP_SIZES,
    repetitions: int = 3,
    limit: float = 0.15,
) -> list[dict[str, Any]]:
    """Records of the sweep; those of ours carry the ratio to the reference where both were measured."""
    records = []
    startup = Startup(reference, folder) if reference else None
    star = STAR_SIZE if STAR_SIZE in sizes else sizes[-1]
    for point in grid(sizes):
        job = sweep_job(*point)
        scene = whole_scene(job, folder)
        samples = samples_of(scene)
        job_seconds = functools.partial(render_quietly, scene, "double", threads)
        times = interleave({"ours": job_seconds}, repetitions, short=0.01)
        ours = record(point, "nbragg", threads, samples, Spread.of(times["ours"]))
        records.append(ours)
        if startup is None or not for_reference(point, star):
            continue
        for n in sorted({1, threads}):
            theirs = reference_seconds(startup, job, samples, n, limit, repetitions)
            records.append(record(point, "reference", n, samples, theirs))
            # less than this cannot be told from the scatter of the reference's start-up
            if n == threads and theirs.median > RESOLVED:
                ours["ratio"] = theirs.median / ours["seconds"]
    return records

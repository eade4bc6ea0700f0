"""Interleaved timing, and the two programs that are timed: this one's engine and the reference binary."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbragg import RenderOptions, Scene, Simulator, render
from nbragg.base.errors import NbraggWarning
from nbragg.cli.parser import CommandLine

from .workloads import Workload, band, parsed, samples_of, scene_of

ROOT = Path(__file__).resolve().parent.parent

#: what a sample is taken to cost before it was ever timed, s per thread: ours, the reference
GUESS_OURS, GUESS_REFERENCE = 5e-9, 120e-9

#: least columns of the reference's wider band: the difference of two runs must stand out from their scatter
FEWEST = 9

Roi = tuple[int, int, int, int]


@dataclass(frozen=True)
class Spread:
    """Median of repetitions with the lowest and highest."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))


#: how often a short job is repeated at once at most; the median counts
MOST = 9


def interleave(
    jobs: Mapping[str, Callable[[], float]], repetitions: int, short: float = 0.1
) -> dict[str, list[float]]:
    """Run every job once per repetition, every other time in reverse order; a first round does not count.

    Whatever slows the machine down for a while falls on all jobs alike, and none always follows another.
    A job of less than `short` seconds is repeated at once to fill them.
    """
    order = list(jobs)
    times: dict[str, list[float]] = {name: [] for name in order}
    runs = {}
    for name in order:
        start = time.perf_counter()
        jobs[name]()
        runs[name] = min(max(int(short / (time.perf_counter() - start)), 1), MOST)
    for turn in range(repetitions):
        for name in order if turn % 2 == 0 else reversed(order):
            times[name].append(statistics.median(jobs[name]() for _ in range(runs[name])))
    return times


@contextlib.contextmanager
def instruction_set(name: str | None) -> Iterator[None]:
    """NBRAGG_ISA for a while; None: leave the choice to the engine."""
    before = os.environ.get("NBRAGG_ISA")
    try:
        if name is not None:
            os.environ["NBRAGG_ISA"] = name
        yield
    finally:
        if name is not None:
            if before is None:
                del os.environ["NBRAGG_ISA"]
            else:
                os.environ["NBRAGG_ISA"] = before


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    counts = [1]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == most else [*counts, most]


def columns_for(pixels: tuple[int, int], samples: int, per_sample: float, limit: float) -> int:
    """Columns of the detector that take about `limit` seconds when the whole takes samples x per_sample."""
    whole = samples * per_sample
    return pixels[0] if whole <= limit else max(int(pixels[0] * limit / whole), 1)


class Ours:
    """A workload in this program's engine: time of a render without set-up, scaled to the whole job."""

    def __init__(self, workload: Workload, folder: Path, limit: float, threads: int) -> None:
        self.workload = workload
        folder = workload.place(folder)
        start = time.perf_counter()
        self.line = parsed(workload.command(folder), folder)
        self.read_seconds = time.perf_counter() - start
        start = time.perf_counter()
        whole = scene_of(self.line)
        self.build_seconds = time.perf_counter() - start
        self.samples = samples_of(whole) * workload.images
        self.scene: Scene = whole
        self.images = workload.images
        if workload.images > 1:
            # a part of a batch is fewer stills, never a part of a still
            per_image = samples_of(whole) * GUESS_OURS / threads
            self.images = min(workload.images, max(int(limit / per_image), 2))
        else:
            guess = GUESS_OURS / threads
            columns = columns_for(workload.pixels, self.samples, guess, limit / 8)
            self.scene = scene_of(self.line, roi=band(workload.pixels, columns))
            if columns < workload.pixels[0]:
                rate = render_quietly(self.scene, "double", threads) / samples_of(self.scene)
                columns = columns_for(workload.pixels, self.samples, rate, limit)
                self.scene = scene_of(self.line, roi=band(workload.pixels, columns))
        self.timed = samples_of(self.scene) * self.images
        self.scale = self.samples / self.timed

    def seconds(self, precision: str, threads: int, isa: str | None = None) -> float:
        with instruction_set(isa):
            if self.workload.images > 1:
                return self.scale * render_stills(self.line, self.images, precision, threads)
            return self.scale * render_quietly(self.scene, precision, threads)


def render_quietly(scene: Scene, precision: str, threads: int) -> float:
    """Seconds of one render, as the engine's caller measures it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        seconds: float = render(scene, precision=precision, threads=threads).elapsed
    return seconds


def render_stills(line: CommandLine, images: int, precision: str, threads: int) -> float:
    """Seconds for stills of random orientations through the batch call, all but the reading included."""
    turns = [{"misset_deg": "random", "misset_seed": seed} for seed in range(1, images + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        start = time.perf_counter()
        simulator = Simulator(line.setup, RenderOptions(precision=precision, threads=threads))
        for _ in simulator.render_many(turns):
            pass
        return time.perf_counter() - start


@dataclass(frozen=True)
class PeakRun:
    """What `measure_command` saw."""

    seconds: float
    peak_MB: float


def measure_command(command: Sequence[str], folder: Path, **environment: str) -> PeakRun:
    """Wall time and peak memory of a command run in a folder.

    Raises
    ------
    RuntimeError
        When it fails.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, "-S", str(ROOT / "benchmarks" / "peak.py"), *command],
        cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(run.stdout) if run.stdout else {"status": run.returncode}
    if found["status"] != 0:
        tail = run.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{' '.join(command[:3])} ... failed with status {found['status']}: {tail[0]}")
    return PeakRun(found["seconds"], found["peak_MB"])


class Reference:
    """The reference binary: its time between start and end, on parts of the detector."""

    QUIET = ("-noprogress", "-nopgm", "-nonoise")

    def __init__(self, binary: Path) -> None:
        self.binary = binary

    def run(self, words: Sequence[str], roi: Roi | None, threads: int, folder: Path) -> float:
        """Seconds of one run.

        Raises
        ------
        RuntimeError
            When it fails.
        """
        part = () if roi is None else ("-roi", *map(str, roi))
        command = [str(self.binary), *words, *self.QUIET, *part]
        start = time.perf_counter()
        run = subprocess.run(
            command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        if run.returncode != 0:
            raise RuntimeError(f"the reference failed with status {run.returncode}: {' '.join(command)}")
        return seconds

    def image(self, words: Sequence[str], roi: Roi, pixels: tuple[int, int], folder: Path) -> NDArray[Any]:
        """The float image, 0 outside the roi."""
        self.run(words, roi, 1, folder)
        return np.fromfile(folder / "floatimage.bin", np.float32).reshape(pixels[1], pixels[0])


class ReferenceJob:
    """A workload in the reference: two sizes of the same job, so that its start-up and its files drop out."""

    def __init__(
        self, reference: Reference, workload: Workload, folder: Path, limit: float, threads: int
    ) -> None:
        self.reference, self.workload, self.threads = reference, workload, threads
        self.folder = folder = workload.place(folder)
        self.words = workload.command(folder)
        if workload.images > 1:
            # in this order: the reference takes the seed for a misset of its own
            self.words += ["-misset_seed", "1", "-misset", "random"]
        self.per_column = samples_of(scene_of(parsed(self.words, folder), band(workload.pixels, 1)))
        self.samples = self.per_column * workload.pixels[0] * workload.images
        image = self.per_column * workload.pixels[0]
        self.columns = columns_for(workload.pixels, image, GUESS_REFERENCE / threads, limit / 8)
        self.columns = max(self.columns, min(FEWEST, workload.pixels[0]))
        if self.columns < workload.pixels[0]:
            # a pilot run that noise made look fast must not lead to one of minutes
            rate = max(self.kernel_seconds() / self.samples, GUESS_REFERENCE / threads / 3)
            columns = columns_for(workload.pixels, image, rate, limit)
            self.columns = max(columns, min(FEWEST, workload.pixels[0]))

    @property
    def timed(self) -> int:
        return self.per_column * self.columns

    def _run(self, columns: int) -> float:
        return self.reference.run(self.words, band(self.workload.pixels, columns), self.threads, self.folder)

    def kernel_seconds(self) -> float:
        """Time for the samples of the whole job, from the difference of the two sizes."""
        small, large = self._run(1), self._run(self.columns)
        samples = self.per_column * (self.columns - 1)
        return (large - small) / max(samples, 1) * self.samples

    def startup_seconds(self) -> float:
        """Time of a run that renders one column only, for all images."""
        return self._run(1) * self.workload.images

    def deviation(self, precision: str = "double") -> float | None:
        """Largest difference from our image over the maximum, on a band of columns: both do the same job."""
        if not self.workload.comparable:
            return None
        roi = band(self.workload.pixels, min(self.columns, 8))
        theirs = self.reference.image(self.words, roi, self.workload.pixels, self.folder)
        line = parsed(self.words, self.folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NbraggWarning)
            ours = render(scene_of(line, roi), precision=precision).image
        columns = slice(roi[0], roi[1] + 1)
        difference = np.abs(ours[:, columns].astype(float) - theirs[:, columns]).max()
        return float(difference / max(theirs[:, columns].max(), 1e-300))


def reference_from_environment() -> Reference | None:
    """The binary NB_C_BIN points to; None when it is not set.

    Raises
    ------
    FileNotFoundError
        When it points to nothing that can be run.
    """
    path = os.environ.get("NB_C_BIN", "")
    if not path:
        return None
    binary = Path(path).resolve()
    if not os.access(binary, os.X_OK) or binary.is_dir():
        raise FileNotFoundError(f"NB_C_BIN={path} is not a program: give the path of the reference binary")
    return Reference(binary)

"""Times the workloads on the CPU: every instruction set, precision and thread count, and the reference.

    NB_C_BIN=/path/to/reference python -m benchmarks.cpu --all --out benchmarks/results/cpu-DATE.json

Without NB_C_BIN only our own times are taken.  ``--quick`` runs everything on tiny sizes in less than a
minute: it shows that the program works, its times mean nothing.  `benchmarks.report` turns the file into
tables and plots.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbragg.io.files.atomic import open_atomic

from . import checks, machine, roofline, sweep
from .timing import (
    Ours,
    Reference,
    ReferenceJob,
    Spread,
    interleave,
    measure_command,
    reference_from_environment,
    thread_counts,
)
from .workloads import BY_KEY, WORKLOADS, Workload, whole_scene

SCHEMA = 1
PARTS = ("workloads", "isa", "sweep", "checks")


@dataclass(frozen=True)
class Settings:
    """How long and how often; seconds are those of one run."""

    repetitions: int = 5
    ours_limit: float = 20.0
    reference_limit: float = 1.0
    isa_limit: float = 0.2
    isa_repetitions: int = 3
    sweep_sizes: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    memory_size: int = 4096
    linearity_size: int = 512
    shrink: int = 1


QUICK = Settings(
    repetitions=2, ours_limit=0.05, reference_limit=0.05, isa_limit=0.02, isa_repetitions=1,
    sweep_sizes=(32, 64), memory_size=128, linearity_size=32, shrink=32,
)  # fmt: skip

Save = Callable[[dict[str, Any]], None]

_start = time.perf_counter()


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"[{time.perf_counter() - _start:6.1f} s] {text}", file=sys.stderr, flush=True)


def _columns(workload: Workload, job: Ours) -> dict[str, Any]:
    scene = job.scene
    return {
        "workload": workload.key,
        "title": workload.title,
        "shape": [scene.panel.spixels, scene.panel.fpixels],
        "images": workload.images,
        "crystal": list(job.line.setup.crystal.cell or ()),
        "xtal_shape": job.line.setup.crystal.shape,
        "N": [int(n) for n in scene.crystal.N],
        "oversample": scene.oversample,
        "wavelength_A": job.line.setup.beam.wavelength_A,
        "sources": len(scene.sources.wavelength),
        "layers": scene.panel.layers,
        "orientations": len(scene.crystal.orientations),
        "list": scene.table.values is not None,
        "interpolation": scene.table.interpolation,
        "samples": job.samples,
    }


def _times(values: list[float], samples: int, timed: int) -> dict[str, Any]:
    spread = Spread.of(values)
    return {
        "samples_timed": timed,
        "seconds": spread.median,
        "seconds_low": spread.low,
        "seconds_high": spread.high,
        "repetitions": spread.n,
        "samples_per_s": samples / spread.median,
        "ns_per_sample": spread.median / samples * 1e9,
    }


def _ratio(theirs: list[float], ours: list[float]) -> dict[str, float]:
    spread = Spread.of([a / b for a, b in zip(theirs, ours, strict=True)])
    return {"median": spread.median, "low": spread.low, "high": spread.high}


def run_workload(
    workload: Workload, reference: Reference | None, threads: int, settings: Settings, folder: Path
) -> list[dict[str, Any]]:
    """Records of ours in double and mixed, and of the reference, taken in turns."""
    best = machine.isa_names()[-1]
    ours = Ours(workload, folder, settings.ours_limit, threads)
    jobs: dict[str, Callable[[], float]] = {
        p: functools.partial(ours.seconds, p, threads) for p in ("double", "mixed")
    }
    theirs = None
    if reference is not None:
        theirs = ReferenceJob(reference, workload, folder, settings.reference_limit, threads)
        jobs["reference"] = theirs.kernel_seconds
    times = interleave(jobs, settings.repetitions)
    shared = _columns(workload, ours)
    records = []
    for i, precision in enumerate(("double", "mixed")):
        record = {
            "implementation": "nbragg", "isa": best, "precision": precision, "threads": threads, **shared,
            **_times(times[precision], ours.samples, ours.timed),
            "setup_seconds": ours.read_seconds + ours.build_seconds,
            "ratio": None, "target": None,
        }  # fmt: skip
        if workload.targets is not None:
            record["target"] = workload.targets[i]
        if theirs is not None:
            record["ratio"] = _ratio(times["reference"], times[precision])
            record["deviation_from_reference"] = theirs.deviation(precision)
        records.append(record)
    if theirs is not None:
        records.append(
            {
                "implementation": "reference", "isa": None, "precision": "double", "threads": threads,
                **shared,
                **_times(times["reference"], ours.samples, theirs.timed),
                "setup_seconds": theirs.startup_seconds(), "ratio": None, "target": None,
            }
        )  # fmt: skip
    return records


def command_costs(
    workload: Workload, reference: Reference | None, threads: int, folder: Path
) -> dict[str, Any]:
    """Wall time and peak memory of the whole command, files included."""
    folder = workload.place(folder)
    words = [*workload.command(folder), *Reference.QUIET]
    found: dict[str, Any] = {"workload": workload.key, "threads": threads}
    ours = measure_command([sys.executable, "-m", "nbragg", *words, "-threads", str(threads)], folder)
    found["nbragg"] = {"wall_seconds": ours.seconds, "peak_MB": ours.peak_MB}
    if reference is not None:
        theirs = measure_command([str(reference.binary), *words], folder, OMP_NUM_THREADS=str(threads))
        found["reference"] = {"wall_seconds": theirs.seconds, "peak_MB": theirs.peak_MB}
    return found


def run_levels(
    workload: Workload, counts: list[int], settings: Settings, folder: Path
) -> list[dict[str, Any]]:
    """Ours on every instruction set, precision and thread count, all taken in turns."""
    ours = Ours(workload, folder, settings.isa_limit, 1)
    keys = {
        f"{isa} {precision} {threads}": (isa, precision, threads)
        for isa in machine.isa_names()
        for precision in ("double", "mixed")
        for threads in counts
    }
    jobs = {name: functools.partial(ours.seconds, p, n, isa) for name, (isa, p, n) in keys.items()}
    times = interleave(jobs, settings.isa_repetitions)
    records = []
    for name, (isa, precision, threads) in keys.items():
        records.append(
            {
                "implementation": "nbragg", "workload": workload.key, "isa": isa, "precision": precision,
                "threads": threads, **_times(times[name], ours.samples, ours.timed),
            }
        )  # fmt: skip
    return records


def run_roofline(records: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Limits of one core, and for every workload on one thread how far from them it runs."""
    limits = machine.limits()
    best = machine.isa_names()[-1]
    rows = []
    for record in records:
        if record["implementation"] != "nbragg" or record["threads"] != 1 or best not in limits:
            continue
        # nothing per sample depends on the detector's size
        scene = whole_scene(BY_KEY[record["workload"]].shrunk(8), folder)
        cost = roofline.per_sample(scene, record["precision"])
        found = roofline.bound(cost, limits[best], record["precision"])
        measured = record["ns_per_sample"] * 1e-9
        rows.append(
            {
                "workload": record["workload"], "precision": record["precision"], **found,
                "measured_seconds": measured, "fraction_of_limit": found["seconds"] / measured,
                "flops_per_s": found["flops"] / measured,
            }
        )  # fmt: skip
    return {"limits": limits, "isa": best, "rows": rows}


def run_checks(
    document: dict[str, Any], settings: Settings, threads: int, folder: Path
) -> list[dict[str, Any]]:
    """Memory and linearity, which need runs of their own, and what follows from the records."""
    best = document["machine"]["best_isa"]
    found = checks.from_records(document["records"], document["levels"], best)
    found += checks.precision_gain(document["records"], best)
    found += checks.throughput(document["sweep"])
    say("linearity")
    found += checks.linearity(folder, settings.linearity_size, settings.repetitions)
    say("memory")
    found += checks.memory(folder, settings.memory_size, threads)
    document["peak_MB_by_size"] = checks.memory_scaling(folder, settings.sweep_sizes, threads)
    return found + checks.memory_checks(document["peak_MB_by_size"])


def run(
    chosen: list[str], parts: set[str], settings: Settings, threads: int, folder: Path, save: Save
) -> dict[str, Any]:
    """Everything asked for, as one document, saved after every workload and part."""
    reference = reference_from_environment()
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": machine.describe(reference.binary if reference else None),
        "settings": {"threads": threads, "quick": settings.shrink > 1, **vars(settings)},
        "records": [], "levels": [], "commands": [], "sweep": [], "checks": [], "roofline": {},
    }  # fmt: skip
    save(document)
    counts = thread_counts(threads)
    workloads = [BY_KEY[key] for key in chosen]
    if settings.shrink > 1:
        workloads = [workload.shrunk(settings.shrink) for workload in workloads]
    for workload in workloads:
        if "workloads" in parts:
            for n in counts:
                say(f"{workload.key} on {n} threads")
                document["records"] += run_workload(workload, reference, n, settings, folder)
            if workload.images == 1:
                # a reference run of minutes is not worth a wall time
                slow = document["records"][-1]["seconds"] > 20
                document["commands"].append(
                    command_costs(workload, None if slow else reference, threads, folder)
                )
        if "isa" in parts:
            say(f"{workload.key} on every instruction set")
            document["levels"] += run_levels(workload, counts, settings, folder)
        save(document)
    if "workloads" in parts:
        document["roofline"] = run_roofline(document["records"], folder)
    if "sweep" in parts:
        say("sweep of AT-PERF-007")
        document["sweep"] = sweep.run(folder, reference, threads, sizes=settings.sweep_sizes)
        save(document)
    if "checks" in parts:
        document["checks"] = run_checks(document, settings, threads, folder)
    document["seconds_in_all"] = time.perf_counter() - _start
    save(document)
    return document


def as_text(document: dict[str, Any]) -> str:
    """JSON with one line for each record, so that two results can be compared line by line."""
    parts = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f' "{name}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(path: Path | None, document: dict[str, Any]) -> None:
    """The file as far as it goes."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as stream:
            stream.write(as_text(document).encode())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__.split("\n")[0])
    what = parser.add_argument_group("what to run")
    what.add_argument("--all", action="store_true", help="all parts and workloads (the default)")
    what.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    what.add_argument("--workloads", nargs="+", choices=list(BY_KEY), default=[w.key for w in WORKLOADS])
    what.add_argument("--quick", action="store_true", help="tiny sizes: shows that the program works")
    parser.add_argument(
        "--threads", type=int, default=machine.cores(), help="most threads (default: all cores)"
    )
    parser.add_argument("--repetitions", type=int, help="of each timing (default 5)")
    parser.add_argument("--out", type=Path, help="JSON file (default: standard output)")
    given = parser.parse_args(argv)
    settings = QUICK if given.quick else Settings()
    if given.repetitions:
        settings = Settings(**{**vars(settings), "repetitions": given.repetitions})
    with tempfile.TemporaryDirectory(prefix="nbragg-benchmark-") as folder:
        parts = set(given.parts)
        document = run(
            given.workloads, parts, settings, given.threads, Path(folder), functools.partial(write, given.out)
        )
    if given.out is None:
        print(as_text(document), end="")
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Refines many lysozyme stills over worker processes: seconds, memory of this process and of a worker.

    python -m benchmarks.stills --count 1000 --pixels 256 --stages none --workers 1 2 --out FILE

Images are files, which workers read.  Each run is a process of its own.  ``--quick`` only shows that it
works.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg import Beam, Crystal, Detector, Noise, RenderOptions, Sampling, Setup, Simulator, datasets

from . import machine

NAMES = ["crystal.orientation", "crystal.cell", "beam.fluence"]
OFF_DEG, BACKGROUND = 0.1, 0.5


def truth(pixels: int) -> Setup:
    return Setup(
        Crystal(structure_factors=datasets.lysozyme(2.5), cell=datasets.LYSOZYME_CELL, N=(10, 10, 20)),
        Beam(wavelength_A=1.2, fluence=1e26),
        Detector(distance_mm=100, pixel_mm=0.3 * 160 / pixels, fpixels=pixels, spixels=pixels),
        Sampling(oversample=2),
        physics="exact",
    )  # fmt: skip


def stills(pixels: int, count: int) -> list[Setup]:
    one = truth(pixels)
    return [one.replace(orientation=turn) for turn in nbragg.random_orientations(count, seed=3)]


def draw(folder: Path, pixels: int, count: int) -> list[Path]:
    """The data."""
    paths = []
    options = RenderOptions(threads=1)
    for k, setup in enumerate(stills(pixels, count)):
        paths.append(folder / f"still_{k:05d}.npy")
        photons = Simulator(setup, options).render().image + BACKGROUND
        np.save(paths[-1], Noise().draw(photons, k).astype(np.float32))
    return paths


def watch(peaks: dict[int, int], of: int | None = None) -> None:
    """Most memory, kB, of a process, None: this one, and of those that it started, by their numbers."""
    me = os.getpid() if of is None else of
    while Path(f"/proc/{me}").exists():
        children = []
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
        for process in (me, *map(int, children)):
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                line = next(line for line in lines if line.startswith("VmHWM"))
                peaks[process] = int(line.split()[1])
        time.sleep(0.2)


def one(folder: Path, chosen: argparse.Namespace, workers: int) -> dict[str, Any]:
    """One refinement, in this process."""
    paths = sorted(folder.glob("still_*.npy"))[: chosen.count]
    starts = []
    random = np.random.default_rng(5)
    for setup in stills(chosen.pixels, chosen.count):
        turn = random.normal(size=3)
        turn *= OFF_DEG / np.linalg.norm(turn)
        simulator = Simulator(setup)
        starts.append(simulator.moved(["crystal.rotation_deg"], turn, fold=True).setup)
    peaks: dict[int, int] = {}
    threading.Thread(target=watch, args=(peaks,), daemon=True).start()
    begun = time.perf_counter()
    found = nbragg.refine(
        list(paths), starts, NAMES, shared=chosen.shared, stages=chosen.stages, workers=workers, threads=1
    )
    seconds = time.perf_counter() - begun
    own = peaks.pop(os.getpid())
    return {
        "count": chosen.count, "workers": workers, "seconds": round(seconds, 2),
        "own_MB": own // 1024, "worker_MB": max(peaks.values()) // 1024 if workers > 1 else None,
        "converged": found.converged, "chi_square": round(found.chi_square, 4),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--count", type=int, nargs="+", default=[64])
    add("--pixels", type=int, default=256, help="edge of an image")
    add("--shared", nargs="*", default=[], help="parameters in common")
    add("--stages", choices=("auto", "none"), default="auto")
    add("--workers", type=int, nargs="+", default=[1, 2])
    add("--out", type=Path, help="JSON file; default: only print")
    add("--quick", action="store_true", help="three small images")
    add("--one", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.count, chosen.pixels = [3], 96
    if chosen.one is not None:
        chosen.count = chosen.count[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(json.dumps(one(chosen.one, chosen, chosen.workers[0])))
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw(Path(folder), chosen.pixels, max(chosen.count))
        for count in chosen.count:
            for workers in chosen.workers:
                words = ["--one", folder, "--count", count, "--pixels", chosen.pixels]
                words += ["--stages", chosen.stages, "--workers", workers]
                words += ["--shared", *chosen.shared] if chosen.shared else []
                command = [sys.executable, "-m", "benchmarks.stills", *map(str, words)]
                rows.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
                print(rows[-1], flush=True)
    described = {name: getattr(chosen, name) for name in ("pixels", "shared", "stages")}
    machine.save(chosen.out, {"machine": machine.describe(None), **described, "results": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

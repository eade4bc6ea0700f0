"""Times the renderings of a spectrum against one wavelength.

    python -m benchmarks.spectrum --out benchmarks/results/spectrum-DATE.json

One panel of 514 x 1030 pixels, a lysozyme-like cell (79 79 38 A, N = 20) with a reflection list, 100
channels over 0.2 percent: milliseconds of the engine, the best of several rounds taken by turns, and their
ratio to one wavelength.  ``--quick`` only shows that the program works.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg import RenderOptions, Scene
from nbragg.engine.cpu import CpuQueue

from . import machine
from .timing import instruction_set

BANDWIDTH = 0.002


def one_wavelength(fast: int, slow: int, shape: str) -> Scene:
    values = np.random.default_rng(5).uniform(1, 500, (81, 81, 41))
    factors = nbragg.StructureFactors(values=values, origin=(-40, -40, -20))
    crystal = nbragg.Crystal(
        cell=(79.1, 79.1, 38.4, 90, 90, 90), N=20, shape=shape, misset_deg=(10, 20, 30),
        structure_factors=factors,
    )  # fmt: skip
    detector = nbragg.Detector(distance_mm=120, pixel_mm=0.075, fpixels=fast, spixels=slow)
    setup = nbragg.Setup(crystal, nbragg.Beam(wavelength_A=1.3), detector, nbragg.Sampling(oversample=1))
    return nbragg.build_scene(setup)


def with_spectrum(scene: Scene, channels: int, spectral: str) -> Scene:
    """Equal channels, with weights of a Gaussian that ends at three of its sigma."""
    k = (1 + BANDWIDTH * (np.arange(channels + 1) / channels - 0.5)) / scene.sources.wavelength[0]
    ends = np.stack([k[:-1], k[1:]], axis=1)
    weight = np.exp(-(np.linspace(-3, 3, channels) ** 2) / 2)
    sources = replace(
        scene.sources,
        incident=np.repeat(scene.sources.incident, channels, axis=0),
        wavelength=1 / ends.mean(axis=1),
        weight=weight / weight.mean(),
        table=np.zeros(channels, np.int64),
        channel=ends,
    )
    return replace(scene, sources=sources, spectral=spectral)


def _milliseconds(scene: Scene, options: RenderOptions) -> float:
    with CpuQueue(options) as queue:
        queue.submit(scene)
        return 1e3 * queue.collect()[1]


def measure(edges: tuple[int, int], channels: int, threads: int, rounds: int) -> dict[str, Any]:
    """By shape and precision: milliseconds, and ratios to one wavelength."""
    found: dict[str, Any] = {}
    for shape, renderings in (("gauss", ("line", "culled", "direct")), ("tophat", ("culled", "direct"))):
        one = one_wavelength(*edges, shape)
        scenes = {"one wavelength": one} | {name: with_spectrum(one, channels, name) for name in renderings}
        for precision in ("double", "mixed"):
            options = RenderOptions(threads=threads, precision=precision)
            best = dict.fromkeys(scenes, np.inf)
            for turn in range(rounds):
                for name, scene in scenes.items():
                    if name != "direct" or turn == 0:
                        best[name] = min(best[name], _milliseconds(scene, options))
            base = best["one wavelength"]
            found[f"{shape}, {precision}"] = {
                name: {"ms": float(f"{ms:.3g}"), "ratio": float(f"{ms / base:.3g}")}
                for name, ms in best.items()
            }
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="a tiny image, one round")
    chosen = parser.parse_args(argv)
    edges, rounds = ((32, 16), 1) if chosen.quick else ((1030, 514), chosen.rounds)
    document: dict[str, Any] = {"machine": machine.describe(None), "pixels": edges}
    document["channels"] = chosen.channels
    document["times"] = {}
    isa = machine.isa_names()[-1]
    with instruction_set(isa):
        for threads in chosen.threads:
            times = measure(edges, chosen.channels, threads, rounds)
            document["times"][f"{isa}, threads: {threads}"] = times
    for setting, times in document["times"].items():
        for what, found in times.items():
            text = ", ".join(f"{name} {t['ms']:g} ms ({t['ratio']:g})" for name, t in found.items())
            print(f"{setting}: {what}: {text}")
    machine.save(chosen.out, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

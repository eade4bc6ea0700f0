"""Times derivatives on one core, interleaved with forward renders of the same Scene.

    python -m benchmarks.gradient --out benchmarks/results/gradient-DATE.json

Each figure is the best of several runs over the best forward render of the same rounds, in processor time.
``--quick`` only shows that the program works.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg.engine.cpu import CpuQueue
from nbragg.engine.gradient import Gradient
from nbragg.engine.options import RenderOptions
from nbragg.scene.parameters import expand, tangents

from . import machine
from .timing import instruction_set

TRICLINIC = "-default_F 100 -cell 70 80 90 75 85 95 -lambda 1.5 -distance 100 -pixel 0.1 -misset 10 20 30"

#: name -> (command line, pixels along an edge); oversample 1, so that samples are orientations times sources
SCENES = {
    "block, 60 orientations": (f"{TRICLINIC} -N 12 -mosaic 0.5 -mosaic_domains 60", 256),
    "ellipsoid, 60 orientations": (f"{TRICLINIC} -N 12 -round_xtal -mosaic 0.5 -mosaic_domains 60", 256),
    "Gaussian, 60 orientations": (f"{TRICLINIC} -N 12 -gauss_xtal -mosaic 0.5 -mosaic_domains 60", 256),
    "block, 10 orientations x 3 wavelengths": (
        f"{TRICLINIC} -N 12 -mosaic 0.5 -mosaic_domains 10 -dispersion 1 -dispsteps 3",
        256,
    ),
    "block, one sample a pixel": (f"{TRICLINIC} -N 12", 1024),
}

#: first the ones that people refine; as many as are asked for are taken from the front
NAMES = (
    "crystal.orientation", "crystal.cell", "detector.distance_mm", "crystal.N", "beam.fluence",
    "detector.centre", "beam.wavelength_A", "beam.polarization", "detector.rotx_deg", "detector.roty_deg",
    "detector.rotz_deg", "scene.pix0", "scene.fdet", "scene.sdet", "scene.odet", "scene.close_distance",
    "scene.pixel_size",
)  # fmt: skip


def clocked(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def works(setup: nbragg.Setup, precision: str) -> dict[str, Callable[[], object]]:
    """What is timed, by name; the first is the forward render."""
    scene = nbragg.build_scene(setup)
    options = RenderOptions(precision=precision, threads=1)
    parameters = expand(NAMES, setup)
    moved, frames = tangents(setup, parameters)
    cotangent = np.random.default_rng(0).uniform(-1, 1, scene.image_shape)
    weights = np.ones_like(cotangent)

    def forward() -> None:
        with CpuQueue(options) as queue:
            queue.submit(scene)
            queue.collect()

    def gradient(p: int) -> Gradient:
        return Gradient(scene, moved[:p], frames, options)

    every, one, four, nine = gradient(len(moved)), gradient(1), gradient(4), gradient(9)
    found: dict[str, Callable[[], object]] = {
        "forward": forward,
        "vjp of the Scene": lambda: every.scene_vjp(cotangent),
        f"vjp of {len(moved)} parameters": lambda: every.vjp(cotangent),
        "jvp, 1": lambda: one.jvp(np.eye(1)),
        "jvp, 4": lambda: four.jvp(np.eye(4)),
        "jvp, 9": lambda: nine.jvp(np.eye(9)),
    }
    for p in (10, 25, len(moved)):
        of_p = gradient(p)
        found[f"Gauss-Newton, {p}"] = lambda g=of_p: g.gauss_newton(cotangent, weights)  # type: ignore[misc]
    out = np.zeros((10, *scene.image_shape))
    ten = gradient(10)
    found["Jacobian, 10"] = lambda: ten.jacobian(out)
    return found


def measure(words: str, edge: int, precision: str, rounds: int) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nbragg.NbraggWarning)
        setup = nbragg.from_cli(f"{words} -oversample 1 -detpixels {edge}").replace(physics="exact")
        jobs = works(setup, precision)
        samples = nbragg.build_scene(setup).samples_per_pixel
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, work in jobs.items():
            best[name] = min(best[name], clocked(work))
    forward = best.pop("forward")
    pixels = edge * edge
    return {
        "samples a pixel": samples,
        "forward_ns_a_sample": round(1e9 * forward / (pixels * samples), 3),
        "over_forward": {name: round(seconds / forward, 2) for name, seconds in best.items()},
        "ns_a_pixel": {name: round(1e9 * seconds / pixels, 1) for name, seconds in best.items()},
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="tiny images, one round")
    chosen = parser.parse_args(argv)
    document: dict[str, Any] = {"machine": machine.describe(None), "results": {}}
    for isa in machine.isa_names()[-1:] if chosen.quick else machine.isa_names():
        for precision in ("double", "mixed"):
            for name, (words, edge) in SCENES.items():
                size, rounds = (32, 1) if chosen.quick else (edge, chosen.rounds)
                with instruction_set(isa):
                    found = measure(words, size, precision, rounds)
                document["results"].setdefault(isa, {}).setdefault(precision, {})[name] = found
                ratios = ", ".join(f"{what} {ratio:.2f}" for what, ratio in found["over_forward"].items())
                print(
                    f"{isa} {precision} {name}: {found['forward_ns_a_sample']} ns a sample; {ratios}",
                    flush=True,
                )
    machine.save(chosen.out, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Refines a lysozyme still from 8 starts at each level of gradients 10, in processor time on one thread.

    python -m benchmarks.refinement --mtz HEWL_refined.mtz --out benchmarks/results/refinement-DATE.json

One thread, of NumPy's products too: the program starts itself anew where the environment allows them more.
Without ``--mtz`` structure factors are those of `nbragg.datasets`.  Errors are in sigmas of the refinement.
``--quick`` only shows that the program works.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg import Beam, Crystal, Detector, Noise, RenderOptions, Sampling, Setup, Simulator, StructureFactors
from nbragg.scene.crystal_cell import standing_rotation

from . import machine

#: NumPy reads them when it is imported; its idle threads wait by turning, which counts as processor time
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

#: name -> (free parameters, degrees off, processor seconds allowed)
LEVELS: dict[str, tuple[list[str], float, float]] = {
    "A": (["crystal.cell", "detector.distance_mm", "crystal.N[0]"], 0.2, 2.0),
    "A, 1.2 degrees": (["crystal.cell", "detector.distance_mm", "crystal.N[0]"], 1.2, np.inf),
    "B": (["crystal.cell", "detector.distance_mm", "crystal.N[0]"], 0.2, 6.0),
    "C": (
        [*(f"crystal.cell.{x}" for x in ("a", "b", "c", "alpha", "beta", "gamma")), "detector.distance_mm",
         "detector.centre", "crystal.N"],
        0.2,
        4.0,
    ),
}  # fmt: skip


def truth(level: str, factors: StructureFactors, pixels: int) -> Setup:
    mosaic: dict[str, Any] = {"mosaic_spread_deg": 0.1, "mosaic_domains": 10} if level == "B" else {}
    colours: dict[str, Any] = {"dispersion_pct": 0.2, "dispersion_steps": 3} if level == "B" else {}
    return Setup(
        Crystal(structure_factors=factors, cell=(79.1, 79.1, 37.9, 90, 90, 90), N=(15, 15, 30),
                misset_deg=(12, -31, 57), **mosaic),
        Beam(wavelength_A=1.2, fluence=1e24, **colours),
        Detector(distance_mm=150, pixel_mm=0.1 * 1024 / pixels, fpixels=pixels, spixels=pixels),
        Sampling(oversample=4),
        physics="exact",
    )  # fmt: skip


def off(setup: Setup, names: list[str], degrees: float, random: np.random.Generator) -> Setup:
    """Orientation, 0.3 % of the cell, 0.1 degree of its angles, 0.05 mm, 0.2 % of the distance, 15 % of N."""
    part = degrees / 0.2
    simulator = Simulator(setup)
    linear = simulator.linearize(names)
    values = {}
    for name, value in zip(linear.parameters, linear.values, strict=True):
        sign = random.choice([-1, 1])
        if name.startswith("crystal.N"):
            values[name] = value * 1.15
        elif name.endswith(("alpha", "beta", "gamma")):
            values[name] = value + 0.1 * part * sign
        elif name.startswith("crystal.cell"):
            values[name] = value * (1 + 0.003 * part * sign)
        elif name == "detector.distance_mm":
            values[name] = value * (1 + 0.002 * part * sign)
        else:
            values[name] = value + 0.05 * part * sign
    axis = random.normal(size=3)
    turn = degrees * axis / np.linalg.norm(axis)
    settled = simulator.moved(names, linear.values)
    there = settled.moved(["crystal.rotation_deg", *values], [*turn, *values.values()], fold=True)
    return there.setup.replace(fluence=setup.beam.fluence * 1.35)


def errors(found: nbragg.Refinement, setup: Setup) -> np.ndarray:
    """In sigmas: what is left of the rotation, and the other parameters."""
    there = standing_rotation(found.setup.crystal, found.setup.rules)
    R = there @ standing_rotation(setup.crystal, setup.rules).T
    turn = np.degrees(np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2)
    names = [name for name in found.parameters if "rotation_deg" not in name]
    true = dict(zip(names, _values(Simulator(setup), names), strict=True))
    rest = [found.values[0][found.parameters.index(name)] - true[name] for name in names]
    return np.asarray(np.concatenate([turn, rest]) / found.sigma[0])


def _values(simulator: Simulator, names: list[str]) -> list[float]:
    groups = ["detector.centre" if name.endswith(("beam_mm", "ORGX", "ORGY")) else name for name in names]
    return [float(v) for v in simulator.linearize(list(dict.fromkeys(groups))).values]


def run(level: str, factors: StructureFactors, pixels: int, starts: int) -> dict[str, Any]:
    """All starts of a level."""
    free, degrees, limit = LEVELS[level]
    names = ["crystal.orientation", *free, "beam.fluence"]
    setup = truth(level[0], factors, pixels)
    options = RenderOptions(threads=1)
    brightest = float(Simulator(setup, options).render().image.max())
    setup = setup.replace(fluence=1e24 * 1.4e4 / brightest)
    data = Noise().draw(Simulator(setup, options).render().image + 1.0, seed=1)
    seconds, worst = [], []
    for k in range(starts):
        start = off(setup, free, degrees, np.random.default_rng(100 + k))
        begun = time.process_time()
        found = nbragg.refine(data, start, names, threads=1)
        seconds.append(round(time.process_time() - begun, 2))
        worst.append(round(float(np.abs(errors(found, setup)).max()), 2))
    return {
        "parameters": len(found.parameters) + 1, "degrees": degrees,
        "limit_s": limit if np.isfinite(limit) else None,
        "cpu_s": seconds, "worst_error_in_sigmas": worst, "chi_square": round(found.chi_square, 4),
        "sigma": {name: float(f"{s:.3g}") for name, s in zip(found.parameters, found.sigma[0], strict=True)},
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mtz", type=Path, help="structure factors of lysozyme")
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="a small image, one start, level A")
    chosen = parser.parse_args(argv)
    factors = StructureFactors.from_file(chosen.mtz) if chosen.mtz else nbragg.datasets.lysozyme(2.5)
    document: dict[str, Any] = {"machine": machine.describe(None), "results": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for level in ["A"] if chosen.quick else list(LEVELS):
            found = run(level, factors, 256 if chosen.quick else 1024, 1 if chosen.quick else chosen.starts)
            document["results"][level] = found
            print(
                f"{level}: {max(found['cpu_s'])} s of {found['limit_s']}, worst error "
                f"{max(found['worst_error_in_sigmas'])} sigmas",
                flush=True,
            )
    machine.save(chosen.out, document)
    return 0


if __name__ == "__main__":
    if not _ONE_THREAD.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.refinement", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | _ONE_THREAD)
    raise SystemExit(main())

"""Times backgrounds and what makes counts of photons, on one core.

    python -m benchmarks.response --out benchmarks/results/response-DATE.json

Each figure is the best of several rounds, in processor time.  Millions of pixels a second are those of
`nbragg.detect` on an image: a ring of background from 0.1 to 30 photons with spots of up to 2e5, or flat.
Milliseconds are what backgrounds add to the first image of a set-up of 2463 x 2527 pixels, and to the next.
``--quick`` only shows that the program works.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nbragg
from nbragg import DetectorResponse

from . import machine
from .timing import instruction_set

#: of `nbragg.detect`
GIVEN: dict[str, Any] = {"pixel_um": 75, "exposure_s": 0.01, "energy_eV": 12_400.0, "threads": 1}

JUNGFRAU = DetectorResponse.preset("jungfrau")
#: with the noise that the preset leaves to its user
NOISY = [stage.replace(readout_adu=3, switch_spread_keV=2) for stage in JUNGFRAU.gain_stages]

RESPONSES = {
    "counting noise": DetectorResponse(),
    "read-out and calibration": DetectorResponse(gain=1.8, readout=3, calibration=0.03),
    "jungfrau": JUNGFRAU.replace(gain_stages=NOISY),
    "jungfrau, raw": JUNGFRAU.replace(gain_stages=NOISY, raw=True),
    "counter": DetectorResponse(kind="counting"),
    "counter with dead time": DetectorResponse(kind="counting", bits=20, dead_time_ns=120),
    "fibre": DetectorResponse(psf="fiber", psf_fwhm_um=90, gain=1.8, readout=3),
}


def picture(edge: int, spots: int) -> NDArray[np.float32]:
    """Background from 0.1 photons to 30 in a ring, and spots whose heights go up to 2e5."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:edge, :edge] - 0.5 * edge
    radius = np.hypot(x, y) / (0.5 * edge)
    image = 0.1 + 30 * np.exp(-3 * (2 * radius - 0.8) ** 2)
    v, u = np.mgrid[-4:5, -4:5]
    spot = np.exp(-(u * u + v * v) / 3)
    for _ in range(spots):
        slow, fast = rng.integers(0, edge - 9, 2)
        image[slow : slow + 9, fast : fast + 9] += np.exp(rng.uniform(0, 12)) * spot
    return np.asarray(image, np.float32)


def images(edge: int) -> dict[str, NDArray[np.float32]]:
    flat = {f"{m:g} photons": np.full((edge, edge), m, np.float32) for m in (0.1, 1, 5, 12, 30, 1000)}
    return {"ring and spots": picture(edge, edge * edge // 1000), **flat}


def rates(edge: int, rounds: int) -> dict[str, dict[str, float]]:
    """Millions of pixels a second, by response and image; flat images for the counting noise alone."""
    best: dict[tuple[str, str], float] = {}
    every = images(edge)
    for turn in range(rounds + 1):
        for name, response in RESPONSES.items():
            for what in every if name == "counting noise" else list(every)[:1]:
                start = time.process_time()
                nbragg.detect(every[what], response, seed=7, image=turn, **GIVEN)
                taken = time.process_time() - start
                if turn:  # the first loads modules and makes kernels
                    best[name, what] = min(best.get((name, what), np.inf), taken)
    found: dict[str, dict[str, float]] = {name: {} for name in RESPONSES}
    for (name, what), seconds in best.items():
        found[name][what] = float(f"{edge * edge / seconds * 1e-6:.3g}")
    return found


def backgrounds(edges: tuple[int, int], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of the first image, and of the next ones, with backgrounds less without."""
    fast, slow = edges
    nothing = nbragg.Crystal(
        cell=(70, 80, 90, 90, 90, 90), N=1, structure_factors=nbragg.StructureFactors.constant(0)
    )
    beam = nbragg.Beam(wavelength_A=1.0, flux=1e12, exposure_s=0.1, beamsize_mm=0.05, polarization=0.99)
    plain = nbragg.Detector(distance_mm=300, pixel_mm=0.172, fpixels=fast, spixels=slow)
    sensor = plain.replace(material="Si", thickness_um=320)
    water = nbragg.Background("water", thickness_mm=0.1)
    air = nbragg.Background("air", path_mm=(-5, 25), segments=10)
    stop = nbragg.Surroundings(
        gas="air", beamstops=[nbragg.Beamstop(distance_mm=25, diameter_mm=0.8, arm_width_mm=0.2)]
    )
    base = nbragg.Setup(nothing, beam, plain, nbragg.Sampling(oversample=1))
    cases = {
        "water, not polarized": base.replace(polarization=0.0, backgrounds=[water]),
        "water": base.replace(backgrounds=[water]),
        "water, sensor of 2 layers": base.replace(detector=sensor, backgrounds=[water]),
        "water, air in 10 pieces": base.replace(backgrounds=[water, air]),
        "water, air in 10 pieces, beam stop": base.replace(backgrounds=[water, air], surroundings=stop),
    }
    found: dict[str, dict[str, float]] = {}
    for name, setup in cases.items():
        with_it = _milliseconds(setup, rounds)
        without = _milliseconds(setup.replace(backgrounds=(), surroundings=None), rounds)
        more = [float(f"{a - b:.3g}") for a, b in zip(with_it, without, strict=True)]
        found[name] = {"first image": more[0], "next images": more[1]}
    return found


def _milliseconds(setup: nbragg.Setup, rounds: int) -> tuple[float, float]:
    """Of the first image of a Simulator, and of one after it."""
    best = [np.inf, np.inf]
    for _ in range(rounds):
        simulator = nbragg.Simulator(setup, nbragg.RenderOptions(threads=1))
        start = time.process_time()
        for i, _result in enumerate(simulator.render_many({"misset_deg": (i, 0, 0)} for i in range(4))):
            now = time.process_time()
            best[min(i, 1)], start = min(best[min(i, 1)], 1e3 * (now - start)), now
    return best[0], best[1]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--edge", type=int, default=1024, help="pixels of an image along each edge")
    parser.add_argument("--quick", action="store_true", help="tiny images, one round")
    chosen = parser.parse_args(argv)
    edge, rounds = (32, 1) if chosen.quick else (chosen.edge, chosen.rounds)
    document: dict[str, Any] = {"machine": machine.describe(None), "edge": edge, "Mpixels_a_second": {}}
    document["background_ms"] = {}
    for isa in machine.isa_names()[-1:] if chosen.quick else machine.isa_names():
        with instruction_set(isa):
            found = rates(edge, rounds)
            behind = backgrounds((24, 25) if chosen.quick else (2463, 2527), rounds)
        document["background_ms"][isa] = behind
        document["Mpixels_a_second"][isa] = found
        for name, by_image in found.items():
            text = ", ".join(f"{what} {rate:g}" for what, rate in by_image.items())
            print(f"{isa} {name}: {text} Mpixels/s", flush=True)
        for name, taken in behind.items():
            text = ", ".join(f"{what} {milliseconds:g} ms" for what, milliseconds in taken.items())
            print(f"{isa} {name}: {text}", flush=True)
    machine.save(chosen.out, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

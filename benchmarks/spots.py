"""Times images of which most samples are dark against the same with every sample evaluated, on one core.

    python -m benchmarks.spots --out benchmarks/results/spots-DATE.json

Lysozyme (`nbragg.datasets.lysozyme`), physics "exact", double precision.  Both images are made in turns, the
best time of each counts: processor time of the render alone, so that other programs disturb little.  Where
all samples would take too long, those of a band of columns in the middle are timed and the time is scaled by
the number of pixels; the image itself is always made whole.  Every pair is compared in the same run, before
rounding to float32, and the program exits with 1 where a pixel has lost more than was allowed.
``--quick`` only shows that the program works.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nbragg
from nbragg import Beam, Crystal, Detector, RenderOptions, Sampling, Scene, Setup
from nbragg.base.errors import NbraggWarning
from nbragg.datasets import LYSOZYME_CELL, lysozyme
from nbragg.engine.cpu import CpuQueue
from nbragg.engine.options import Summary

from . import machine
from .workloads import band, samples_of

#: a Gaussian spot ends below this, as a fraction of the image's maximum; what a sum's order may change
END, ROUNDING = 1e-9, 1e-12
#: what a pixel that takes fewer sub-pixels may be wrong by, of itself and of the brightest (docs/physics.md)
FITTED, FAINT = 1e-3, 1e-9

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """One line of the table; the tolerance in photons, or as a fraction of the brightest pixel.

    fitted: with oversample="auto".
    """

    title: str
    target: str
    setup: Callable[[bool], Setup]
    fraction: float = 0.0
    photons: float = 0.0
    fitted: bool = False


def _setup(
    quick: bool, N: int, shape: str, *, domains: int = 1, colours: int = 1, oversample: int | None = None
) -> Setup:
    """1024 x 1024 pixels of 0.1 mm at 100 mm, 1 angstrom."""
    spread = {"mosaic_spread_deg": 0.5, "mosaic_domains": domains} if domains > 1 else {}
    dispersion = {"dispersion_pct": 0.5, "dispersion_steps": colours} if colours > 1 else {}
    edge = 64 if quick else 1024
    return Setup(
        Crystal(
            cell=LYSOZYME_CELL, N=N, shape=shape, misset_deg=(10, 20, 30),
            structure_factors=lysozyme(3.0 if quick else 1.6), **spread,
        ),
        Beam(wavelength_A=1.0, flux=1e12, exposure_s=1.0, beamsize_mm=0.02, **dispersion),
        Detector(distance_mm=100, pixel_mm=102.4 / edge, fpixels=edge, spixels=edge),
        Sampling(oversample=3 if quick else oversample),
    )  # fmt: skip


def _large(quick: bool) -> Setup:
    """A crystal of 2 micrometre on a detector of 2463 x 2527 pixels, at 1e12 photons in 20 micrometre."""
    fast, slow, pixel = (123, 126, 3.44) if quick else (2463, 2527, 0.172)
    return Setup(
        Crystal(
            cell=LYSOZYME_CELL, size_mm=(0.002, 0.002, 0.002), misset_deg=(10, 20, 30),
            structure_factors=lysozyme(3.0 if quick else 1.2),
        ),
        Beam(wavelength_A=1.0, flux=1e12, exposure_s=1.0, beamsize_mm=0.02),
        Detector(distance_mm=175, pixel_mm=pixel, fpixels=fast, spixels=slow),
        Sampling(oversample=3 if quick else None),
    )  # fmt: skip


JOBS = {
    "G1": Job(
        "Gaussian, N = 30, 50 domains of 0.5 degree, 5 wavelengths", "10 x",
        lambda quick: _setup(quick, 30, "gauss", domains=50, colours=5, oversample=1),
    ),
    "G2": Job(
        "the same, N = 100, recommended sub-pixels", "100 x",
        lambda quick: _setup(quick, 100, "gauss", domains=50, colours=5),
    ),
    "S1": Job(
        "block, N = 100, one orientation, recommended sub-pixels, 1e-6 of the brightest pixel", "10 x",
        lambda quick: _setup(quick, 100, "square"), fraction=1e-6,
    ),
    "S2": Job(
        "block, N = 30, 100 domains of 0.5 degree, 1e-4 of the brightest pixel", "4 x",
        lambda quick: _setup(quick, 30, "square", domains=100, oversample=1), fraction=1e-4,
    ),
    "S3": Job(
        "block of 2 um, 2463 x 2527 pixels, recommended sub-pixels, 0.01 photons at 1e12 photons in 20 um",
        "< 60 s", _large, photons=0.01,
    ),
    "F1": Job("the same, as many sub-pixels as each pixel needs", "", _large, photons=0.01, fitted=True),
    "F2": Job(
        "ellipsoid, N = 200, one orientation, as many sub-pixels as each pixel needs", "",
        lambda quick: _setup(quick, 200, "round"), fitted=True,
    ),
    "F3": Job(
        "the same, 3 x 200 x 200 cells, 60 degrees away", "",
        lambda quick: _setup(quick, 200, "round").replace(N=(3, 200, 200), twotheta_deg=60.0), fitted=True,
    ),
}  # fmt: skip


def rendered(scene: Scene, **options: Any) -> tuple[Image, Summary, float]:
    """The image before rounding to float32, its summary, and the processor's seconds, on one thread."""
    image = np.zeros(scene.image_shape)
    with CpuQueue(RenderOptions(threads=1, **options)) as queue:
        start = time.process_time()
        queue.submit(scene, image64=image)
        raw, _ = queue.collect()
        seconds = time.process_time() - start
    return image, raw.summary, seconds


def with_roi(scene: Scene, roi: tuple[int, int, int, int]) -> Scene:
    return dataclasses.replace(scene, panels=(dataclasses.replace(scene.panel, roi=roi),))


def band_of(scene: Scene, limit: float) -> Scene:
    """As many columns about the middle as take `limit` seconds with every sample; all, where these do."""
    size = (scene.panel.fpixels, scene.panel.spixels)
    narrow = with_roi(scene, band(size, 1))
    rate = rendered(narrow, cull=False)[2] / samples_of(narrow)
    columns = int(limit / rate / samples_of(scene) * size[0])
    return scene if columns >= size[0] else with_roi(scene, band(size, columns))


def measure(job: Job, rounds: int, limit: float, quick: bool) -> dict[str, Any]:
    """One line: seconds with every sample and without, and how far the images are from each other."""
    scene = nbragg.build_scene(job.setup(quick))
    chosen = dataclasses.replace(scene, adaptive=job.fitted)
    part = band_of(scene, limit)
    fmin, fmax, smin, smax = part.panel.roi
    inside = (slice(smin, smax + 1), slice(fmin, fmax + 1))
    full, _, best_full = rendered(part, cull=False)
    brightest = float(full.max())  # of what is compared
    tolerance = job.photons or job.fraction * brightest
    best = np.inf
    for turn in range(rounds):
        image, summary, seconds = rendered(chosen, tolerance_photons=tolerance)
        best = min(best, seconds)
        if turn:
            best_full = min(best_full, rendered(part, cull=False)[2])
    samples = samples_of(scene)
    scale = samples / samples_of(part)
    promised = tolerance + (END if scene.crystal.shape == "gauss" else 0.0) * brightest + ROUNDING * brightest
    allowed = promised + (FITTED * full[inside] + FAINT * brightest if job.fitted else 0.0)
    errors = np.abs(image[inside] - full[inside])
    return {
        "title": job.title,
        "target": job.target,
        "oversample": scene.oversample,
        "samples": samples,
        "seconds_full": best_full * scale,
        "pixels_timed": (fmax - fmin + 1) * (smax - smin + 1),
        "pixels": int(full.size),
        "seconds": best,
        "ratio": best_full * scale / best,
        "ns_per_sample_full": best_full / samples_of(part) * 1e9,
        "share_visited": summary.visited / samples if summary.visited >= 0 else 1.0,
        "brightest": brightest,
        "tolerance": tolerance,
        "left_out": summary.left_out,
        "error": float(errors.max()),
        "error_over_promise": float((errors / allowed).max()),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """The lines of docs/performance.md."""
    lines = [
        "|  | job | samples a pixel | all, s | lit ones, s | ratio | target | visited | error/promise |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, r in results.items():
        scaled = "" if r["pixels_timed"] == r["pixels"] else f" ({r['pixels_timed'] / r['pixels']:.2g} timed)"
        lines.append(
            f"| {key} | {r['title']} | {r['samples'] // r['pixels']} | {r['seconds_full']:.3g}{scaled} "
            f"| {r['seconds']:.3g} | **{r['ratio']:.3g}** | {r['target']} | {100 * r['share_visited']:.2g} % "
            f"| {r['error_over_promise']:.2g} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=3.0, help="seconds of one image with every sample")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--quick", action="store_true", help="tiny images, one round")
    chosen = parser.parse_args(argv)
    document: dict[str, Any] = {"machine": machine.describe(None), "quick": chosen.quick, "results": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        for key in chosen.jobs:
            rounds = 1 if chosen.quick else chosen.rounds
            document["results"][key] = measure(JOBS[key], rounds, chosen.limit, chosen.quick)
    print(table(document["results"]))
    machine.save(chosen.out, document)
    return int(any(result["error_over_promise"] > 1 for result in document["results"].values()))


if __name__ == "__main__":
    raise SystemExit(main())

"""Looks for an image that loses more by the samples left out than it may.

    python -m benchmarks.spot_bound --out benchmarks/results/spot-bound-DATE.json

Random Scenes of every kind, those of ``tests/support/spot_scenes.py``: each is rendered with every sample and
with a tolerance, and compared before rounding to float32.  The largest difference of a pixel over what is
promised must not be above 1: ``ratio``, with the tolerance and what a sum's order and the ends of spots may
change; ``left``, with what the image itself tells in the place of the tolerance.  Exits with 1 where it is.
``--quick`` only shows that the program works.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from nbragg.base.errors import NbraggWarning
from nbragg.scene.record import Scene

from . import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from spot_scenes import compare, random_scene, rendered, tolerance_of


class Found:
    """What all Scenes together have shown."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []  # ratio, left, error/tolerance, visited
        self.kinds: Counter[str] = Counter()
        self.worst: dict[str, Any] = {}

    def add(self, number: int, scene: Scene, precision: str) -> None:
        """Compares one Scene without and with a tolerance."""
        full, _ = rendered(scene, cull=False, precision=precision)
        if not np.isfinite(full).all():
            self.kinds["not finite: not compared"] += 1
            return
        tolerance, samples = tolerance_of(number, full), scene.samples_per_pixel * scene.offsets[-1]
        at_none = compare(scene, full, 0.0, precision)
        found = compare(scene, full, tolerance, precision)
        ratio, left = max(found.ratio, at_none.ratio), max(found.left, at_none.left)
        if ratio > self.worst.get("ratio", 0.0):
            self.worst = {"seed": number, "ratio": ratio, "shapes": [b.shape for b in scene.crystals]}
        looked = found.summary.visited >= 0
        share = found.summary.visited / samples if looked else np.nan
        # mixed precision rounds more than a small tolerance
        alone = found.error / tolerance if looked and precision == "double" else 0.0
        self.rows.append((ratio, left, alone, share))
        self.kinds.update({scene.physics, precision, *(block.shape for block in scene.crystals)})
        self.kinds["with samples left out, a tolerance"] += looked
        self.kinds["with samples left out, no tolerance"] += at_none.summary.visited >= 0

    def summary(self) -> dict[str, Any]:
        rows = np.array(self.rows)
        edges = [0.0, 1e-3, 1e-2, 0.1, 0.25, 0.5, 1.0, np.inf]
        bins, _ = np.histogram(rows[~np.isnan(rows[:, 3]), 2], edges)
        return {
            "scenes": len(rows),
            "largest_ratio": float(rows[:, 0].max()),
            "largest_ratio_to_what_is_told": float(rows[:, 1].max()),
            "largest_error_over_tolerance": float(rows[:, 2].max()),
            "scenes_by_error_over_tolerance": {
                f"{low:g} to {high:g}": int(n)
                for low, high, n in zip(edges[:-1], edges[1:], bins, strict=True)
            },
            "median_share_visited": float(np.nanmedian(rows[:, 3])),
            "kinds": dict(sorted(self.kinds.items())),
            "worst": self.worst,
        }


def search(scenes: int, first: int) -> dict[str, Any]:
    """So many Scenes, of the seeds from `first` on; one in four in mixed precision."""
    found = Found()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        for number in range(first, first + scenes):
            found.add(number, random_scene(number), "mixed" if number % 4 == 0 else "double")
    return found.summary()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--first", type=int, default=1, help="seed of the first Scene")
    parser.add_argument("--quick", action="store_true", help="20 Scenes")
    chosen = parser.parse_args(argv)
    begin = time.perf_counter()
    results = search(20 if chosen.quick else chosen.scenes, chosen.first)
    results["seconds"] = round(time.perf_counter() - begin, 1)
    for name, value in results.items():
        print(f"{name}: {value}")
    machine.save(chosen.out, {"machine": machine.describe(None), "first": chosen.first, "results": results})
    return int(results["largest_ratio"] > 1 or results["largest_ratio_to_what_is_told"] > 1)


if __name__ == "__main__":
    raise SystemExit(main())

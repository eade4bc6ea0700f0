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
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nbragg.base.errors import NbraggWarning
from nbragg.scene.record import Scene

from . import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from spot_scenes import ROUNDING, compare, rendered, spot_scenes


class Found:
    """What all Scenes together have shown."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []  # ratio, left, error/tolerance, visited
        self.kinds: Counter[str] = Counter()
        self.worst: dict[str, Any] = {}

    def add(self, scene: Scene, power: float, precision: str) -> None:
        """Compares one Scene; the tolerance is 10^power of the image's maximum."""
        full, _ = rendered(scene, cull=False, precision=precision)
        largest = float(np.abs(full).max()) or 1.0
        tolerance = largest * 10.0**power
        at_none = compare(scene, full, 0.0, precision)
        found = compare(scene, full, tolerance, precision)
        samples = scene.samples_per_pixel * scene.offsets[-1]
        visited = found.summary.visited / samples if found.summary.visited >= 0 else np.nan
        ratio = max(found.ratio, at_none.ratio)
        # where the tolerance is well above rounding the ratio to it alone has a meaning
        alone = found.error / tolerance if tolerance > 1e3 * ROUNDING[precision] * largest else 0.0
        if ratio > self.worst.get("ratio", 0.0):
            shapes = [block.shape for block in scene.crystals]
            self.worst = {"ratio": ratio, "shapes": shapes, "physics": scene.physics, "power": power}
        self.rows.append((ratio, found.left, alone, visited))
        self.kinds.update({scene.physics, precision, *(block.shape for block in scene.crystals)})
        self.kinds["left out"] += found.summary.visited >= 0

    def summary(self) -> dict[str, Any]:
        rows = np.array(self.rows)
        bins, _ = np.histogram(rows[:, 2], [0.0, 1e-3, 1e-2, 0.1, 0.25, 0.5, 1.0, np.inf])
        return {
            "scenes": len(rows),
            "largest_ratio": float(rows[:, 0].max()),
            "largest_ratio_to_what_is_told": float(rows[:, 1].max()),
            "largest_error_over_tolerance": float(rows[:, 2].max()),
            "scenes_by_error_over_tolerance": {
                name: int(n)
                for name, n in zip(
                    ("< 0.001", "< 0.01", "< 0.1", "< 0.25", "< 0.5", "< 1", "above"), bins, strict=True
                )
            },
            "median_share_visited": float(np.nanmedian(rows[:, 3])),
            "kinds": dict(sorted(self.kinds.items())),
            "worst": self.worst,
        }


def search(scenes: int, number: int) -> dict[str, Any]:
    """So many Scenes of a seed."""
    found = Found()

    @seed(number)
    @settings(
        max_examples=scenes, database=None, deadline=None, derandomize=False,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(spot_scenes(), st.floats(-9, -0.3), st.sampled_from(["double", "double", "double", "mixed"]))
    def each(scene: Scene, power: float, precision: str) -> None:
        found.add(scene, power, precision)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        each()
    return found.summary()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; default: only print")
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="20 Scenes")
    chosen = parser.parse_args(argv)
    begin = time.perf_counter()
    results = search(20 if chosen.quick else chosen.scenes, chosen.seed)
    results["seconds"] = round(time.perf_counter() - begin, 1)
    for name, value in results.items():
        print(f"{name}: {value}")
    machine.save(chosen.out, {"machine": machine.describe(None), "seed": chosen.seed, "results": results})
    return int(results["largest_ratio"] > 1 or results["largest_ratio_to_what_is_told"] > 1)


if __name__ == "__main__":
    raise SystemExit(main())

"""How fast labelled stills of lysozyme are made: where the time of an image goes, and images/s by workers.

    python -m benchmarks.datasets --images 600 --workers 1 2 --out FILE

Parts of an image are those of one process on one thread: drawing and the Scene, rendering, noise, labels, and
writing, with compression told apart by compressing the same pixels alone.  ``--quick`` only shows that it
works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg import datasets
from nbragg.dataset.containers.formats import FORMATS, writer
from nbragg.dataset.containers.made import Made
from nbragg.dataset.recipe import DatasetRecipe
from nbragg.simulation.labels import labels_of
from nbragg.simulation.simulator import finished

from . import machine

#: kinds of stills: what differs from the plain one
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "oversample 2": {"sampling": {"oversample": 2}},
    "10 mosaic domains": {"mosaic_spread_deg": 0.2, "mosaic_domains": 10},
}


def recipe(kind: str, pixels: int, images: int, fmt: str) -> DatasetRecipe:
    """Stills to 2 angstrom: background of water, noise of counting; cell, size and fluence are drawn."""
    changes = dict(KINDS[kind])
    crystal = nbragg.Crystal(
        structure_factors=datasets.lysozyme(1.8),
        cell=datasets.LYSOZYME_CELL,
        N=(8, 8, 17),
        shape="gauss",
        illuminated_volume_um3=1.0,
        **{name: value for name, value in changes.items() if name.startswith("mosaic")},
    )
    setup = nbragg.Setup(
        crystal,
        nbragg.Beam(wavelength_A=1.3, fluence=1e23, beamsize_mm=0.001),
        nbragg.Detector(distance_mm=49.27, pixel_mm=76.8 / pixels, fpixels=pixels, spixels=pixels),
        nbragg.Sampling(**{"oversample": 1, **changes.get("sampling", {})}),
        backgrounds=(nbragg.Background("water", thickness_mm=0.004),),
        response=nbragg.DetectorResponse(kind="counting"),
    )
    from nbragg.dataset.vary import parse_vary

    vary = parse_vary(
        {
            "orientation": "uniform",
            "crystal.cell": {"norm": {"loc": 1, "scale": 0.002}, "as": "factor"},
            "crystal.illuminated_volume_um3": {"lognorm": {"s": 0.5}, "as": "factor"},
            "beam.fluence": {"gamma": {"a": 4, "scale": 0.25}, "as": "factor"},
        },
        Path(),
    )
    return DatasetRecipe(setup=setup, vary=vary, seed=1, images=images, format=fmt, images_per_shard=100)


def parts(one: DatasetRecipe, images: int) -> dict[str, Any]:
    """CPU milliseconds an image of each part, in this process."""
    data = nbragg.Dataset(one, threads=1)
    data.make(0)
    simulator = nbragg.Simulator(data.draw(0).setup, data.options)
    spent = dict.fromkeys(("scene", "render", "noise", "labels", "metadata", "write"), 0.0)
    kept: list[Made] = []

    def timed(name: str, start: float) -> float:
        now = time.process_time()
        spent[name] += now - start
        return now

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, f"x{FORMATS[one.format].suffix}"))
        with data._queue() as queue, writer(one.format, path, images, None) as shard:
            for number in range(images):
                at = time.process_time()
                drawn = data.draw(number)
                scene = simulator.at(drawn.setup).scene
                at = timed("scene", at)
                queue.submit(scene)
                raw, elapsed = queue.collect()
                result = finished(raw, scene, elapsed, drawn.setup)
                at = timed("render", at)
                pixels = result.detect(1, image=number, threads=1).pixels
                at = timed("noise", at)
                labels = labels_of(result, image=number, parameters=drawn.parameters)
                at = timed("labels", at)
                made = Made(pixels, labels, data._metadata(result))
                at = timed("metadata", at)
                shard.add(made)
                at = timed("write", at)
                kept.append(made)
            at = time.process_time()
        timed("write", at)
        size = os.path.getsize(path)
        stack = np.stack([made.image for made in kept])
        spent["compression"] = compressed(Path(folder, "pixels.h5"), stack)
    spent["write"] -= spent["compression"]
    ms = {name: 1e3 * seconds / images for name, seconds in spent.items()}
    essential = sum(ms[name] for name in ("render", "noise", "compression"))
    return {
        "ms_an_image": {name: round(value, 3) for name, value in ms.items()},
        "total_ms": round(sum(ms.values()), 3),
        "inside": round(essential / sum(ms.values()), 4),
        "kB_an_image": round(size / images / 1e3, 1),
        "mean_pixel": round(float(stack.mean()), 2),
        "reflections": round(float(np.mean([len(made.labels.reflections) for made in kept])), 1),
    }


def compressed(path: Path, stack: Any) -> float:
    """CPU seconds of bitshuffle/LZ4 for the pixels, through HDF5 alone."""
    import h5py
    import hdf5plugin

    start = time.process_time()
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "x", stack.shape, stack.dtype, chunks=(1, *stack.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        for number, image in enumerate(stack):
            data[number] = image
    return time.process_time() - start


def rate(pixels: int, draw: Callable[[], Any]) -> float:
    """Pixels a second, the best of five."""
    draw()
    best = 1e9
    for _ in range(5):
        start = time.process_time()
        draw()
        best = min(best, time.process_time() - start)
    return pixels / best


def noise_rates(pixels: int) -> dict[str, Any]:
    """Pixels a second on one core: counting noise of the detector chain, and the reference's stream."""
    counting = nbragg.DetectorResponse(kind="counting")
    found: dict[str, Any] = {}
    for mean in (0.1, 2.0, 20.0, 200.0):
        photons = np.full((pixels, pixels), mean, np.float32)
        whole = (0, pixels - 1, 0, pixels - 1)
        rates = {
            "chain": rate(photons.size, partial(nbragg.detect, photons, counting, 1, threads=1)),
            "reference": rate(photons.size, partial(nbragg.noise_image, photons, whole, seed=1)),
        }
        found[f"{mean:g} photons"] = {
            "chain_Mpixel_s": round(rates["chain"] / 1e6, 1),
            "reference_Mpixel_s": round(rates["reference"] / 1e6, 2),
            "ratio": round(rates["chain"] / rates["reference"], 2),
        }
    return found


def by_command(one: DatasetRecipe, images: int, workers: int) -> dict[str, Any]:
    """The command itself, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        one.save(Path(folder, "recipe.json"))
        command = [sys.executable, "-c", "import sys; from nbragg.cli.tools import main; sys.exit(main())"]
        words = ["dataset", "make", "recipe.json", "-n", str(images), "-o", "out", "--workers", str(workers)]
        start = time.perf_counter()
        done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(done.stderr)
        said = done.stdout.strip().splitlines()[-1]
    rate = float(said.rpartition(",")[2].split()[0])
    return {
        "workers": workers,
        "seconds": round(seconds, 2),
        "images_s": round(images / seconds, 1),
        "rate": rate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--formats", nargs="*", default=["nxmx"], choices=list(FORMATS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    sample = 60
    warnings.simplefilter("ignore")
    if chosen.quick:
        chosen.images, chosen.pixels, chosen.workers, sample = 8, 64, [1], 4
    found: dict[str, Any] = {"machine": machine.describe(None), "parts": {}, "noise": {}, "made": {}}
    for kind in KINDS:
        for fmt in chosen.formats:
            told = parts(recipe(kind, chosen.pixels, chosen.images, fmt), sample)
            found["parts"][f"{kind}, {fmt}"] = told
            print(f"{kind}, {fmt}: {json.dumps(told)}", flush=True)
    found["noise"] = noise_rates(chosen.pixels)
    print(json.dumps(found["noise"]), flush=True)
    for kind in KINDS:
        runs = []
        for workers in chosen.workers:
            run = by_command(recipe(kind, chosen.pixels, chosen.images, "nxmx"), chosen.images, workers)
            runs.append(run)
            print(f"{kind}: {json.dumps(run)}", flush=True)
        found["made"][kind] = runs
    if chosen.out is not None:
        machine.save(chosen.out, found)


if __name__ == "__main__":
    main()

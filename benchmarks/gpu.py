"""Times the CUDA renderer: one call on a machine with a GPU gives everything, as one JSON file.

    python -m benchmarks.gpu --out gpu.json              # everything, about three minutes on a large card
    python -m benchmarks.gpu --out gpu.json --quick      # small sizes: shows that it works
    python -m benchmarks.gpu --dry-run                   # no GPU needed: what would be run

Taken are the ceilings of the card (float and double multiply-adds, copies), the workloads W1 to W7 in both
precisions and every arithmetic of h, k, l, the scaling with mosaic domains, the fixed cost of a warm call,
batches, and derivatives.  Kernel times are those of CUDA events, medians of several runs; wall times include
everything a caller waits for.  Each workload is compared with the CPU engine on a part of the image.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg import Scene
from nbragg._engine import INDEX_ARITHMETICS, SHAPES, TABLE_KINDS
from nbragg.engine import cpu, cuda
from nbragg.engine.cuda_engine import Rendering
from nbragg.engine.cuda_gradient import CudaGradient
from nbragg.engine.cuda_kernel import INDEX_DOUBLE, Kernels, Specialisation, choose
from nbragg.engine.cuda_plan import DeviceProfile, Request, make_plan
from nbragg.engine.options import RenderOptions
from nbragg.io.files.atomic import open_atomic
from nbragg.scene.tangent import CrystalTangent, Frame, PanelTangent, SceneTangent

from .workloads import BY_KEY, WORKLOADS, Workload, parsed, samples_of, scene_of, whole_scene

SCHEMA = 1
DOMAINS = (1, 10, 100, 1000, 5000, 20000)
#: (precision, arithmetic of h, k, l, cost of a double operation that selects it)
VARIANTS = (("mixed", "fixed", 2.0), ("mixed", "pairs", 32.0), ("double", "double", 2.0))
H200 = DeviceProfile("no device: an H200 is supposed", 132, 2.0, 1.98e9)

#: instructions of one sample in the loop over orientations (sm_90); of index "double" those in double:
#: (shape, table, index)
INSTRUCTIONS = {
    ("square", "constant", "double"): 98, ("square", "nearest", "double"): 100,
    ("square", "constant", "fixed"): 79, ("square", "nearest", "fixed"): 99,
    ("square", "constant", "pairs"): 163, ("square", "nearest", "pairs"): 189,
    ("round", "constant", "fixed"): 84,
    ("gauss", "constant", "fixed"): 63, ("gauss", "constant", "pairs"): 123,
}  # fmt: skip
_BY_NUMBER = {
    (SHAPES[shape], TABLE_KINDS[table], INDEX_ARITHMETICS[index]): count
    for (shape, table, index), count in INSTRUCTIONS.items()
}

_CEILINGS = r"""
template <class T> __device__ void multiply_add(T *out, int n)
{
    T a[8];
    for (int j = 0; j < 8; j++) a[j] = (T)(threadIdx.x + j);
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int k = 0; k < 8; k++)
#pragma unroll
            for (int j = 0; j < 8; j++) a[j] = a[j] * (T)0.999 + (T)1e-3;
    T sum = 0;
    for (int j = 0; j < 8; j++) sum += a[j];
    if (sum == (T)-1) out[threadIdx.x] = sum;
}
extern "C" __global__ void fma_float(float *out, int n) { multiply_add(out, n); }
extern "C" __global__ void fma_double(double *out, int n) { multiply_add(out, n); }
"""


class TimedRuntime(cuda.CupyRuntime):
    """A GPU that notes how long each kernel runs, and whose cost of doubles can be pretended."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.own_cost = self.profile.double_cost
        self._events: list[tuple[str, Any, Any]] = []

    def pretend(self, double_cost: float) -> None:
        self.profile = replace(self.profile, double_cost=double_cost)

    def launch(
        self, spec: Kernels, kernel: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        begin, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        begin.record()
        super().launch(spec, kernel, grid, arguments)
        end.record()
        self._events.append((kernel, begin, end))

    def kernel_seconds(self) -> dict[str, float]:
        """Seconds of each kernel since the last call."""
        total: dict[str, float] = defaultdict(float)
        for kernel, begin, end in self._events:
            end.synchronize()
            total[kernel] += self._cupy.cuda.get_elapsed_time(begin, end) / 1e3
        self._events.clear()
        return dict(total)


def median_of(measure: Callable[[], float], repetitions: int) -> dict[str, float]:
    """Median and extremes of a few runs, after one that warms up."""
    measure()
    values = [measure() for _ in range(repetitions)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


# ---- the card ----


def describe_machine(runtime: TimedRuntime, index: int) -> dict[str, Any]:
    cupy = runtime._cupy
    return {
        "device": cuda.describe(index),
        "compute_capability": runtime.compute_capability,
        "multiprocessors": runtime.profile.multiprocessors,
        "clock_hz": runtime.profile.clock_hz,
        "double_cost": runtime.own_cost,
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "nvrtc": cupy.cuda.nvrtc.getVersion(),
        "cupy": cupy.__version__,
    }


def ceilings(runtime: TimedRuntime, repetitions: int) -> dict[str, float]:
    """Multiply-adds per second in float and double, and bytes per second of a device-to-device copy."""
    cupy = runtime._cupy
    module = cupy.RawModule(code=_CEILINGS, options=("--std=c++20",))
    blocks, n = 16 * runtime.profile.multiprocessors, 2000
    out = cupy.zeros(256, np.float64)
    found = {}

    def timed(action: Callable[[], Any]) -> float:
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        action()
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end)) / 1e3

    for name in ("fma_float", "fma_double"):
        kernel, arguments = module.get_function(name), (out, np.int32(n))
        launch = functools.partial(kernel, (blocks,), (256,), arguments)
        seconds = median_of(functools.partial(timed, launch), repetitions)
        found[f"{name}_per_s"] = blocks * 256 * n * 64 / seconds["median"]
    size = min(2**31, runtime.free_bytes() // 4)
    source, target = cupy.ones(size, np.uint8), cupy.empty(size, np.uint8)
    seconds = median_of(lambda: timed(lambda: cupy.copyto(target, source)), repetitions)
    found["copy_bytes_per_s"] = 2 * size / seconds["median"]
    return found


# ---- measurements ----


def time_scene(
    runtime: TimedRuntime, scene: Scene, precision: str, repetitions: int, *, on_device: bool = False
) -> dict[str, Any]:
    """Kernel and wall seconds of one image."""
    options = RenderOptions(precision=precision, on_device=on_device)
    kernels: list[dict[str, float]] = []

    def once() -> float:
        begin = time.perf_counter()
        rendering = Rendering(runtime, runtime.tables, scene, options)
        rendering.start()
        rendering.collect()
        wall = time.perf_counter() - begin
        kernels.append(runtime.kernel_seconds())
        return wall

    wall = median_of(once, repetitions)
    kernel = {name: statistics.median(k[name] for k in kernels[1:]) for name in kernels[0]}
    return {"wall_s": wall, "kernel_s": kernel}


def rates(
    record: dict[str, Any], scene: Scene, spec: Specialisation, card: dict[str, float]
) -> dict[str, float | None]:
    """Samples per second and fractions of the card's ceilings."""
    seconds = sum(record["kernel_s"].values())
    samples = samples_of(scene)
    instructions = _BY_NUMBER.get((spec.shape, spec.table, spec.index))
    ceiling = card["fma_double_per_s"] if spec.index == INDEX_DOUBLE else card["fma_float_per_s"]
    least_bytes = 4 * scene.offsets[-1]
    if scene.table.values is not None:
        least_bytes += scene.table.values.size * (4 if spec.single else 8)
    return {
        "samples": samples,
        "samples_per_s": samples / seconds,
        # of the rate at which instructions, or for doubles multiply-adds, can be issued
        "fraction_of_arithmetic": None
        if instructions is None
        else samples * instructions / seconds / ceiling,
        "fraction_of_bandwidth": least_bytes / seconds / card["copy_bytes_per_s"],
    }


def deviation(runtime: TimedRuntime, scene: Scene, precision: str) -> float:
    """Largest difference from the CPU engine's double image over its maximum, in a region of 4000 pixels."""
    edge = 64
    panel, crystal = scene.panel, scene.crystal
    f, s = (panel.fpixels - edge) // 2, (panel.spixels - edge) // 2
    roi = (max(f, 0), min(f + edge, panel.fpixels) - 1, max(s, 0), min(s + edge, panel.spixels) - 1)
    few = replace(crystal, orientations=crystal.orientations[:100])
    part = replace(scene, panels=(replace(panel, roi=roi),), crystals=(few,))
    expected = cpu.render_double(part)
    rendering = Rendering(runtime, runtime.tables, part, RenderOptions(precision=precision), double=True)
    rendering.start()
    rendering.collect()
    assert rendering.images64 is not None
    return float(np.abs(rendering.images64[0] - expected).max() / expected.max())


def time_batch(runtime: TimedRuntime, workload: Workload, folder: Path, index: int) -> dict[str, Any]:
    """Stills in random orientations: stacks in few launches, to the host and left there, and the API."""
    place = workload.place(folder)
    line = parsed(workload.command(place), place)
    scene = scene_of(line)
    turns = nbragg.random_orientations(workload.images, seed=1)
    stack = np.einsum("oij,nkj->noik", scene.crystal.orientations, turns)
    found: dict[str, Any] = {"images": workload.images}
    for name, on_device in (("to_host", False), ("on_device", True)):
        options = RenderOptions(precision="mixed", on_device=on_device)

        def once(options: RenderOptions = options) -> float:
            begin = time.perf_counter()
            count = sum(1 for _ in cuda.render_stack(scene, stack, options, index=index))
            assert count == len(stack)
            return time.perf_counter() - begin

        found[name] = median_of(once, 3)
    runtime.kernel_seconds()
    simulator = nbragg.Simulator(line.setup, RenderOptions(device=f"cuda:{index}", precision="mixed"))
    begin = time.perf_counter()
    for _ in simulator.render_many(orientations=turns):
        pass
    found["render_many_s"] = time.perf_counter() - begin
    runtime.kernel_seconds()
    return found


def job_scene(workload: Workload, folder: Path, domains: int | None = None) -> Scene:
    if domains is None:
        return whole_scene(workload, folder)
    place = workload.place(folder)
    return scene_of(parsed(workload.command(place), place), mosaic_domains=domains)


def planned(quick: bool) -> list[tuple[str, Workload, int | None]]:
    """(section, job, mosaic domains) of everything that is timed image by image."""
    factor = 16 if quick else 1
    jobs: list[tuple[str, Workload, int | None]] = [
        ("workloads", w.shrunk(factor) if quick else w, None) for w in WORKLOADS if w.key.startswith("W")
    ]
    mosaic = BY_KEY["W2"].shrunk(factor) if quick else BY_KEY["W2"]
    domains = DOMAINS[:4] if quick else DOMAINS
    return [*jobs, *(("mosaic", mosaic, n) for n in domains)]


def dry_run(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """What would be timed: specialisation, samples and size of the first launch, for an H200."""
    records = []
    for section, workload, domains in planned(quick):
        scene = job_scene(workload, folder, domains)
        for precision, arithmetic, cost in VARIANTS:
            spec, _ = choose(scene, precision, cost, curved=scene.panel.curved != "flat")
            profile = replace(H200, double_cost=cost)
            plan = make_plan(Request(scene, precision), profile, 2**37, lambda array, dtype: False)
            records.append(
                {
                    "section": section, "workload": workload.key, "domains": domains, "precision": precision,
                    "arithmetic": arithmetic, "macros": spec.macros, "samples": samples_of(scene),
                    "launches": len(plan.bands), "splits": plan.bands[0].splits,
                }
            )  # fmt: skip
    return records


def run(folder: Path, index: int, quick: bool, repetitions: int) -> dict[str, Any]:
    """Everything, on a GPU."""
    runtime = TimedRuntime(index)
    cuda._runtimes[index] = runtime
    with cuda.translated(runtime.profile.name), runtime.lane(0):
        card = ceilings(runtime, repetitions)
        document: dict[str, Any] = {
            "machine": describe_machine(runtime, index), "ceilings": card, "workloads": [], "mosaic": [],
        }  # fmt: skip
        for section, workload, domains in planned(quick):
            scene = job_scene(workload, folder, domains)
            for precision, arithmetic, cost in VARIANTS:
                if section == "mosaic" and precision == "double" and (domains or 0) > 5000:
                    continue
                runtime.pretend(cost)
                spec, _ = choose(scene, precision, cost, curved=scene.panel.curved != "flat")
                record = time_scene(runtime, scene, precision, repetitions)
                record |= rates(record, scene, spec, card)
                record |= {
                    "workload": workload.key, "domains": domains, "precision": precision,
                    "arithmetic": arithmetic, "deviation": deviation(runtime, scene, precision),
                }  # fmt: skip
                runtime.kernel_seconds()
                document[section].append(record)
                print(
                    f"{workload.key:9} {domains or '':>6} {precision:6} {arithmetic:6} "
                    f"{record['samples_per_s'] / 1e9:8.1f} G/s  "
                    f"wall {record['wall_s']['median'] * 1e3:8.2f} ms  off by {record['deviation']:.1e}",
                    file=sys.stderr,
                )
        runtime.pretend(runtime.own_cost)
        document["fixed"] = fixed_costs(runtime, folder, repetitions)
        w7 = BY_KEY["W7"].shrunk(16) if quick else BY_KEY["W7"]
        document["derivatives"] = [
            time_derivatives(runtime, job_scene(workload, folder, domains), precision, repetitions, index)
            for section, workload, domains in planned(quick)
            for precision in ("mixed", "double")
            if (section, domains) == ("mosaic", 100) or (section, workload.key) == ("workloads", "W1")
        ]
        document["batch"] = time_batch(runtime, w7, folder, index)
    return document


def some_tangents(scene: Scene) -> tuple[list[SceneTangent], list[Frame]]:
    """Orientation, cell, detector position, wavelength and fluence: 12 parameters."""
    count = len(scene.crystal.orientations)
    cell = scene.crystal.orientations[0]
    axes = np.eye(3)
    crystals = [CrystalTangent(turn=np.tile(axis, (count, 1))) for axis in axes]
    crystals += [CrystalTangent(cell=cell * axis[:, None]) for axis in axes]
    crystals.append(CrystalTangent(N=np.ones(3)))
    found = [SceneTangent(crystals=(crystal,)) for crystal in crystals]
    found += [SceneTangent(panels=(PanelTangent(pix0=1e-3 * axis),)) for axis in axes]
    found.append(SceneTangent(source_wavelength=0.01 * scene.sources.wavelength))
    found.append(SceneTangent(fluence=scene.fluence))
    return found, [Frame(cell, np.repeat(axes[None], count, 0))]


def time_derivatives(
    runtime: TimedRuntime, scene: Scene, precision: str, repetitions: int, index: int
) -> dict[str, Any]:
    """Kernel seconds of an image and of each product with its derivatives by 12 parameters."""
    options = RenderOptions(device=f"cuda:{index}", precision=precision)
    gradient = CudaGradient(scene, *some_tangents(scene), options, index=index)
    weights = np.random.default_rng(1).uniform(0.1, 1, scene.image_shape)
    calls: dict[str, Callable[[], Any]] = {
        "vjp": lambda: gradient.vjp(weights),
        "scene_vjp": lambda: gradient.scene_vjp(weights),
        "gauss_newton": lambda: gradient.gauss_newton(weights, weights),
    }
    record = time_scene(runtime, scene, precision, repetitions)
    found: dict[str, Any] = {
        "samples": samples_of(scene), "precision": precision, "image_s": sum(record["kernel_s"].values()),
    }  # fmt: skip
    for name, call in calls.items():
        call()
        runtime.kernel_seconds()
        begin = time.perf_counter()
        call()
        found[name] = {"wall_s": time.perf_counter() - begin, "kernel_s": runtime.kernel_seconds()}
    return found


def fixed_costs(runtime: TimedRuntime, folder: Path, repetitions: int) -> dict[str, Any]:
    """Wall time of warm calls that compute next to nothing: 16 x 16 and 1024 x 1024 pixels."""
    found = {}
    for size in (16, 1024):
        scene = whole_scene(replace(BY_KEY["W1"], pixels=(size, size)), folder)
        for name, on_device in (("to_host", False), ("on_device", True)):
            record = time_scene(runtime, scene, "mixed", 10 * repetitions, on_device=on_device)
            found[f"{size}_{name}"] = record
    return found


def main(argv: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser("benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file to write; default standard output")
    parser.add_argument("--device", type=int, default=0, help="CUDA's number of the GPU")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be run; needs no GPU")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        if arguments.dry_run:
            document: dict[str, Any] = {"dry_run": dry_run(folder, arguments.quick)}
        else:
            document = run(folder, arguments.device, arguments.quick, arguments.repetitions)
    document |= {
        "schema": SCHEMA,
        "nbragg": nbragg.__version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    text = json.dumps(document, indent=1)
    if arguments.out is None:
        print(text)
    else:
        with open_atomic(arguments.out) as file:
            file.write(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

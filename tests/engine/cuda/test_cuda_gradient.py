"""Derivatives by the CUDA kernels, run on the host, against the CPU engine's; the order of sums; memory."""

from __future__ import annotations

import re
from typing import Any

import cuda_host as host
import gradient_scenes
import numpy as np
import numpy.typing as npt
import pytest
from scene_parts import with_table

from nbragg.base.errors import DeviceError, MemoryLimitError, NbraggWarning
from nbragg.engine import backend, cuda, cuda_sweeps, queue
from nbragg.engine.cuda_gradient import CudaGradient
from nbragg.engine.cuda_kernel import choose_gradient, source
from nbragg.engine.gradient import Gradient
from nbragg.engine.options import RenderOptions

pytestmark = [host.needs_compiler, pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")]

TOLERANCE = {"double": 1e-12, "mixed": 1e-5}


def both(
    scene: Any, precision: str, monkeypatch: pytest.MonkeyPatch, runtime: host.HostRuntime | None = None
) -> tuple[Gradient, CudaGradient]:
    """Derivatives of a Scene on the CPU, in double, and by the CUDA kernels."""
    host.pretend_gpu(monkeypatch, runtime)
    tangents, frames = gradient_scenes.tangents(scene), gradient_scenes.frames(scene)
    expected = Gradient(scene, tangents, frames, RenderOptions(precision="double", threads=1))
    return expected, CudaGradient(scene, tangents, frames, RenderOptions(device="cuda", precision=precision))


def assert_near(
    found: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float, what: str, least: float = 0.0
) -> None:
    """Within the tolerance of the largest of them, or of the least that counts."""
    found, expected = np.asarray(found), np.asarray(expected)
    largest = max(np.abs(expected).max(initial=0.0), least)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0.0) <= tolerance * largest, what


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", gradient_scenes.EVERY)
def test_as_the_cpu(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Image, rows, sums and products of every kind of Scene."""
    scene = gradient_scenes.EVERY[name]()
    cpu, gpu = both(scene, precision, monkeypatch)
    tolerance = TOLERANCE[precision]
    rng = np.random.default_rng(8)
    g, r = rng.uniform(-1, 1, (2, *scene.image_shape))
    w = rng.uniform(0.1, 1, scene.image_shape)
    p = len(cpu.tangents)
    wanted, found = np.zeros((2, p, *scene.image_shape))
    cpu.jacobian(wanted)
    gpu.jacobian(found)
    # a row is compared with its largest pixel, and a sum with the sum of magnitudes; where a derivative is 0
    # both have rounding errors of the image's size
    least = 1e-3 * cpu.image.max()
    assert_near(gpu.image, cpu.image, {"double": 1e-12, "mixed": 2e-6}[precision], "image")
    for j in range(p):
        assert_near(found[j], wanted[j], tolerance, f"row {j}", least)
    scale = np.abs(wanted * g).reshape(p, -1).sum(axis=1) + least
    assert np.all(np.abs(gpu.vjp(g) - cpu.vjp(g)) <= tolerance * scale)
    H, b = cpu.gauss_newton(r, w)
    H_found, b_found = gpu.gauss_newton(r, w)
    d = np.sqrt(np.diag(H)) + least
    assert np.all(np.abs(H_found - H) <= tolerance * np.outer(d, d))
    assert np.all(np.abs(b_found - b) <= tolerance * d * np.sqrt((w * r * r).sum()))
    u = rng.uniform(-1, 1, (p, 2))
    assert_near(gpu.jvp(u), cpu.jvp(u), tolerance, "jvp")


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", gradient_scenes.EVERY)
def test_cotangent_as_the_cpus(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field of the Scene, from a positive image."""
    scene = gradient_scenes.EVERY[name]()
    cpu, gpu = both(scene, precision, monkeypatch)
    g = np.random.default_rng(9).uniform(0, 1, scene.image_shape)
    wanted, found = (gradient_scenes.arrays(x.scene_vjp(g)) for x in (cpu, gpu))
    assert list(found) == list(wanted)
    # where a derivative is 0 both have rounding errors of the image's size
    least = 1e-3 * float((g * cpu.image).sum())
    for field in wanted:
        smallest = least / (gradient_scenes.size(scene, field) or np.inf)
        assert_near(found[field], wanted[field], 10 * TOLERANCE[precision], field, smallest)


def products(gradient: Gradient, seed: int = 10) -> list[npt.NDArray[np.float64]]:
    """Everything that a Gradient gives, from random images."""
    rng = np.random.default_rng(seed)
    shape = gradient.scene.image_shape
    rows = np.zeros((len(gradient.tangents), *shape))
    gradient.jacobian(rows)
    g, w = rng.uniform(-1, 1, shape), rng.uniform(0, 1, shape)
    cotangent = gradient_scenes.arrays(gradient.scene_vjp(g))
    return [rows, gradient.vjp(g), *gradient.gauss_newton(g, w), *cotangent.values()]


def of_table(gradient: Gradient, cotangent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The cotangent of the first table's list."""
    table = gradient.scene_vjp(cotangent).tables[0]
    assert table is not None and table.values is not None
    return table.values


@pytest.mark.parametrize("name", ["panels and crystals", "square, tricubic", "weights and a mask"])
def test_no_sum_depends_on_the_launches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that run at a time, launches and rounds: the same bits."""
    scene = gradient_scenes.EVERY[name]()
    expected, launches = None, []
    for words in (
        {},
        {"multiprocessors": 7, "clock_hz": 10.0},
        {"free": 2**21},
    ):  # the second: a unit a launch
        runtime = host.HostRuntime(16, **words)
        found = products(both(scene, "mixed", monkeypatch, runtime)[1])
        expected = expected or found
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
        launches.append(len(runtime.launches))
    assert launches[1] > launches[0]


def test_rounds_of_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that are added up in several rounds are the same to rounding."""
    scene = gradient_scenes.scene("square", "nearest", crystal={"mosaic_domains": 40})
    g = np.random.default_rng(3).uniform(-1, 1, scene.image_shape)
    cpu, gpu = both(scene, "double", monkeypatch)
    wanted = gradient_scenes.arrays(cpu.scene_vjp(g))
    scale = np.abs(of_table(cpu, np.abs(g))).max()
    for samples in (cuda_sweeps._ROUND_SAMPLES, 1000):
        monkeypatch.setattr(cuda_sweeps, "_ROUND_SAMPLES", samples)
        found = gradient_scenes.arrays(gpu.scene_vjp(g))
        assert np.abs(found[".tables[0].values"] - wanted[".tables[0].values"]).max() <= 1e-13 * scale
        assert_near(
            found[".crystals[0].orientations"], wanted[".crystals[0].orientations"], 1e-11, "orientations"
        )


def test_a_single_strong_spot_does_not_hide_weak_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers of the strongest sample's size leave the weakest entry its digits."""
    scene = gradient_scenes.scene("gauss", "nearest", crystal={"N": (12, 12, 12)})
    cpu, gpu = both(scene, "double", monkeypatch)
    g = np.ones(scene.image_shape)
    wanted, found = (of_table(x, g) for x in (cpu, gpu))
    known = wanted > 1e-12 * wanted.max()
    assert wanted[known].min() < 1e-8 * wanted.max()
    assert np.abs(found[known] / wanted[known] - 1).max() < 1e-9
    assert np.all(np.abs(found - wanted) <= 1e-16 * wanted.max() + 1e-9 * wanted)


def test_what_is_not_finite_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that got something infinite is NaN; others are what they were."""
    scene = gradient_scenes.scene()
    g = np.ones(scene.image_shape)
    expected = of_table(both(scene, "double", monkeypatch)[1], g)
    assert scene.table.values is not None
    values = scene.table.values.copy()
    place = np.unravel_index(np.argsort(np.abs(expected), axis=None)[-5], values.shape)
    values[place] = np.inf
    found = of_table(both(with_table(scene, values=values), "double", monkeypatch)[1], g)
    others = np.ones(values.shape, bool)
    others[place] = False
    assert np.isnan(found[place])
    assert_near(found[others], expected[others], 1e-12, "the others")


@pytest.mark.slow
def test_each_specialisation_compiles_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kinds of crystals that are not there, results are the same to the bit."""
    scene = gradient_scenes.scene("gauss", "nearest")
    runtime = host.HostRuntime()
    gpu = both(scene, "mixed", monkeypatch, runtime)[1]
    expected = products(gpu)
    runtime.exact = True
    runtime.specialisations.clear()
    assert all(np.array_equal(a, b) for a, b in zip(products(gpu), expected, strict=True))
    assert choose_gradient(scene, "mixed") in runtime.specialisations
    assert choose_gradient(scene, "mixed", entries=True) in runtime.specialisations


@pytest.mark.slow
def test_on_128_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks as a GPU has them."""
    scene = gradient_scenes.EVERY["panels and crystals"]()
    cpu, gpu = both(scene, "double", monkeypatch, host.HostRuntime(threads=128))
    for found, expected in zip(products(gpu), products(cpu), strict=True):
        assert_near(found, expected, 1e-11, "product")


def test_single_precision_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into an array of float32, whatever was there."""
    scene = gradient_scenes.EVERY["weights and a mask"]()
    gpu = both(scene, "double", monkeypatch)[1]
    expected, found = (
        np.zeros((len(gpu.tangents), *scene.image_shape)),
        np.ones((len(gpu.tangents), *scene.image_shape), np.float32),
    )
    gpu.jacobian(expected)
    gpu.jacobian(found)
    assert np.array_equal(found, expected.astype(np.float32))


# ---- the way there ----


def test_progress_and_an_exception_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fractions that rise to 1; an exception ends the pass and is passed on."""
    scene = gradient_scenes.scene()
    host.pretend_gpu(monkeypatch, host.HostRuntime(clock_hz=10.0))
    tangents, frames = gradient_scenes.tangents(scene), gradient_scenes.frames(scene)
    seen: list[float] = []
    options = RenderOptions(device="cuda", progress=seen.append)
    CudaGradient(scene, tangents, frames, options).vjp(np.ones(scene.image_shape))
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 3

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    gradient = CudaGradient(scene, tangents, frames, RenderOptions(device="cuda", progress=stop))
    with pytest.raises(KeyboardInterrupt):
        gradient.vjp(np.ones(scene.image_shape))


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said with the sizes; "auto" goes on on the CPU with one warning, to the same result."""
    scene = gradient_scenes.scene()
    tangents, frames = gradient_scenes.tangents(scene), gradient_scenes.frames(scene)
    g = np.ones(scene.image_shape)
    host.pretend_gpu(monkeypatch, host.HostRuntime(free=2**12))
    words: dict[str, Any] = {"precision": "double", "threads": 1}
    with pytest.raises(MemoryLimitError, match="free on host"):
        backend.gradient(scene, tangents, frames, RenderOptions(device="cuda", **words)).vjp(g)
    monkeypatch.setattr(queue, "_warned", False)
    auto = backend.gradient(scene, tangents, frames, RenderOptions(device="auto", **words))
    assert isinstance(auto, CudaGradient)
    with pytest.warns(NbraggWarning, match="on the CPU"):
        found = products(auto)
    expected = products(backend.gradient(scene, tangents, frames, RenderOptions(**words)))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error for "cuda", the CPU for "auto"."""

    def fail(index: int = 0) -> None:
        raise DeviceError("this machine has no CUDA device")

    monkeypatch.setattr(cuda, "open_runtime", fail)
    scene = gradient_scenes.scene()
    with pytest.raises(DeviceError, match="no CUDA device"):
        backend.gradient(scene, [], [], RenderOptions(device="cuda"))
    found = backend.gradient(scene, [], [], RenderOptions(device="auto"))
    assert type(found) is Gradient


def test_the_struct_of_arrays_is_the_kernels() -> None:
    """Python's list of fields against the declaration in nb_gradient.cu."""
    text = re.sub(r"/\*.*?\*/", "", source("nb_gradient.cu"), flags=re.S)
    body = text[: text.index("} nb_held;")].rsplit("typedef struct {", 1)[1]
    names = [name.strip(" *") for line in body.split(";") for name in line.rsplit("*", 1)[-1].split(",")]
    assert tuple(name for name in names if name.strip()) == cuda_sweeps.HELD

"""On a GPU: golden set, random scenes, batches, limits.  Needs CuPy and a device; ``pytest -m gpu``."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import golden_cases as g
import gradient_scenes
import numpy as np
import numpy.typing as npt
import oracle
import pytest
from detectors import GIVEN, RESPONSES, SHAPE, mask, photons
from hypothesis import HealthCheck, given, settings
from scene_parts import cut, pasted, with_crystal
from strategies import Experiment, experiments

import nbragg
from nbragg.base.errors import DeviceError, MemoryLimitError
from nbragg.engine import cpu, cuda
from nbragg.engine.backend import RawImage, RenderOptions, backend
from nbragg.engine.backend import gradient as gradient_of


def why_not() -> str:
    """Why these tests cannot run; empty when they can."""
    if importlib.util.find_spec("cupy") is None:
        return "needs a GPU and CuPy, which is not installed"
    try:
        cuda.open_runtime(0)
    except DeviceError as error:
        return f"needs a GPU: {error}"
    return ""


WHY_NOT = why_not()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
]

TOLERANCE = {"double": 1e-9, "mixed": 2e-6}


def on_cpu(scene: Any) -> RawImage:
    with backend("cpu").queue(RenderOptions(precision="double")) as queue:
        queue.submit(scene)
        return queue.collect()[0]


def assert_as_cpu(scene: Any, precision: str, expected: npt.NDArray[np.float64] | None = None) -> None:
    """Every pixel within the tolerance of the maximum; counts and sums equal."""
    truth = cpu.render_double(scene) if expected is None else expected
    image = cuda.render_double(scene, precision=precision)
    assert np.abs(image - truth).max() <= TOLERANCE[precision] * truth.max()
    options = RenderOptions(precision=precision)
    raw, counts = cuda.render(scene, options), on_cpu(scene).summary
    found = raw.summary
    assert (found.pixels, found.cut_pixel, found.nonfinite) == (counts.pixels, counts.cut_pixel, 0)
    assert found.omega == pytest.approx(counts.omega, rel=1e-12)
    assert found.largest == raw.image.max()
    assert found.total == pytest.approx(float(raw.image.sum(dtype=float)), rel=1e-12)
    assert np.array_equal(cuda.render(scene, options).image, raw.image)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("case_id", g.IDS)
def test_golden_case(case_id: str, precision: str, folder: Path) -> None:
    g.prepare(case_id, folder)
    scene = g.scene_of(g.arguments(case_id))
    assert_as_cpu(scene, precision)
    if precision == "double":
        image = nbragg.render(scene, device="cuda", precision="double").image
        g.assert_matches(image, g.reference(case_id)["image"])


@settings(max_examples=40, suppress_health_check=[*HealthCheck])
@given(experiments())
def test_random_scenes_against_the_oracle(experiment: Experiment) -> None:
    scene = experiment.scene()
    truth = oracle.render(scene).astype(np.float64)
    for precision in TOLERANCE:
        assert_as_cpu(scene, precision, truth)


@pytest.mark.parametrize("double_cost", [2.0, 32.0])
@pytest.mark.parametrize("case_id", g.IDS[::6])
def test_both_arithmetics_of_mixed(
    case_id: str, double_cost: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed point and pairs of floats, whichever this card would take."""
    runtime = cuda.open_runtime(0)
    monkeypatch.setattr(runtime, "profile", dataclasses.replace(runtime.profile, double_cost=double_cost))
    g.prepare(case_id, folder)
    assert_as_cpu(g.scene_of(g.arguments(case_id)), "mixed")


def small_scene(**words: Any) -> Any:
    more = " ".join(f"-{key} {value}" for key, value in words.items())
    cell = "-cell 70 80 90 85 95 105 -default_F 10 -N 5"
    return g.scene_of(f"{cell} -lambda 1 -oversample 1 -detpixels 200 {more}")


def test_many_orientations_on_few_pixels() -> None:
    """Split between blocks and added up in a fixed order."""
    scene = small_scene(mosaic=1, mosaic_domains=5000, roi="90 97 100 103")
    for precision in TOLERANCE:
        assert_as_cpu(scene, precision)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_parts_of_a_scene(precision: str) -> None:
    """Cut panels are the whole, to the bit; two crystals, weights and two tables as on the CPU."""
    import test_cuda_parts as parts

    scene = parts.small()
    pieces = cut(scene, [11, 20], [8])
    options = RenderOptions(precision=precision)
    whole = cuda.render(scene, options).image
    assert np.array_equal(pasted(pieces, cuda.render(pieces, options).image), whole)
    for case in (parts.two_crystals(scene), parts.two_tables(scene), parts.ramp(scene)):
        assert_as_cpu(parts.uneven(case), precision)


@pytest.mark.parametrize("on_device", [False, True])
def test_stack(on_device: bool) -> None:
    """More images than one launch takes; left on the device, they are CuPy arrays."""
    scene = small_scene(mosaic=1, mosaic_domains=3)
    turns = nbragg.random_orientations(700, seed=4)
    stack = np.einsum("oij,nkj->noik", scene.crystal.orientations, turns)
    total = np.zeros((200, 200))
    for number, raw in enumerate(cuda.render_stack(scene, stack, RenderOptions(on_device=on_device))):
        image = raw.image.get() if on_device else raw.image  # type: ignore[attr-defined]
        assert raw.summary.largest == image.max()
        total += image
        if number == 699:
            one = with_crystal(scene, orientations=stack[number])
            alone = cuda.render(one, RenderOptions())
            assert np.array_equal(alone.image, image)
    assert number == 699 and np.isfinite(total).all() and total.min() > 0


def test_image_on_the_device() -> None:
    """A CuPy array, shared by DLPack without a copy."""
    import cupy

    scene = small_scene()
    result = nbragg.render(scene, device="cuda", on_device=True)
    assert isinstance(result.image, cupy.ndarray)
    assert cupy.from_dlpack(result.image).data.ptr == result.image.data.ptr
    host = nbragg.render(scene, device="cuda")
    assert np.array_equal(result.image.get(), host.image)
    assert result.statistics == host.statistics


def test_render_many() -> None:
    setup = g.command_line(g.arguments("crystal/phi_mosaic")).setup
    turns = nbragg.random_orientations(20, seed=2)
    images = {}
    for device in ("cpu", "cuda"):
        images[device] = np.zeros((20, 96, 96), np.float32)
        simulator = nbragg.Simulator(setup, RenderOptions(device=device))
        simulator.render_many(orientations=turns, out=images[device])
    assert np.abs(images["cuda"] - images["cpu"]).max() <= 2e-6 * images["cpu"].max()


def test_several_threads() -> None:
    """One Scene from four threads at once."""
    scene = small_scene(mosaic=1, mosaic_domains=50)
    expected = cuda.render(scene, RenderOptions()).image
    wrong = []

    def work() -> None:
        for _ in range(10):
            if not np.array_equal(cuda.render(scene, RenderOptions()).image, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little memory: in parts, to the same bits; too little: refused with sizes."""
    runtime = cuda.open_runtime(0)
    scene = small_scene()
    expected = cuda.render(scene, RenderOptions()).image
    monkeypatch.setattr(runtime, "free_bytes", lambda: 2**25 + 60_000)
    assert np.array_equal(cuda.render(scene, RenderOptions()).image, expected)
    monkeypatch.setattr(runtime, "free_bytes", lambda: 2**20)
    with pytest.raises(MemoryLimitError, match="of free memory; needed are"):
        cuda.render(scene, RenderOptions())


def test_long_render_reports_progress() -> None:
    seen: list[float] = []
    scene = small_scene(mosaic=1, mosaic_domains=20000, detpixels=1000)
    cuda.render(scene, RenderOptions(progress=seen.append))
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 2


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_compute_sanitizer(tool: str, tmp_path: Path) -> None:
    """No access out of bounds, no race between the threads of a block."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not installed")
    here = Path(__file__).parent
    support = [str(here), str(here.parents[1] / "support")]
    code = (
        f"import sys; sys.path[:0] = {support!r}\n"
        "import test_cuda_gpu as t\n"
        "for words in ({'mosaic': 1, 'mosaic_domains': 400, 'roi': '3 40 5 30'}, {'roi': '0 32 0 20'}):\n"
        "    for precision in ('double', 'mixed'):\n"
        "        t.cuda.render(t.small_scene(**words), t.RenderOptions(precision=precision))\n"
    )
    run = subprocess.run(
        [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", code],
        capture_output=True, text=True, cwd=tmp_path, timeout=500,
    )  # fmt: skip
    if "Device not supported" in run.stdout:
        pytest.skip("compute-sanitizer does not support this device")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


# ---- derivatives ----


def derivatives(scene: Any, device: str, precision: str) -> list[npt.NDArray[np.float64]]:
    """Rows, sums, products and the cotangent of a Scene; all but the rows from images of one sign."""
    tangents, frames = gradient_scenes.tangents(scene), gradient_scenes.frames(scene)
    gradient = gradient_of(scene, tangents, frames, RenderOptions(device=device, precision=precision))
    rng = np.random.default_rng(4)
    weights, cotangent = rng.uniform(0.1, 1, (2, *scene.image_shape))
    rows = np.zeros((len(tangents), *scene.image_shape))
    gradient.jacobian(rows)
    H, _ = gradient.gauss_newton(cotangent, weights)
    fields = gradient_scenes.arrays(gradient.scene_vjp(cotangent))
    return [*rows, H, *fields.values()]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", gradient_scenes.EVERY)
def test_derivatives(name: str, precision: str) -> None:
    """As on the CPU, and the same bits again."""
    scene = gradient_scenes.EVERY[name]()
    expected, found = derivatives(scene, "cpu", "double"), derivatives(scene, "cuda", precision)
    least = 1e-3 * cpu.render_double(scene).max()
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        tolerance = {"double": 1e-10, "mixed": 1e-4}[precision]
        assert np.abs(a - b).max(initial=0.0) <= tolerance * max(np.abs(b).max(initial=0.0), least), i
    assert all(map(np.array_equal, found, derivatives(scene, "cuda", precision)))


# ---- detectors ----


@pytest.mark.parametrize("name", RESPONSES)
def test_detector(name: str) -> None:
    """The bits of the CPU; more pixels than a block has."""
    response = RESPONSES[name].replace(dead_map=None)
    image, masks = np.tile(photons(), (30, 1)), np.tile(mask(), (30, 1))
    given = {**GIVEN, "masks": masks, "rois": (3, SHAPE[1] - 2, 2, 1000)}
    found = nbragg.detect(image, response, 9, device="cuda", **given)
    expected = nbragg.detect(image, response, 9, **given)
    assert found.pixels.tobytes() == expected.pixels.tobytes()
    assert (found.overloads, found.underloads) == (expected.overloads, expected.underloads)

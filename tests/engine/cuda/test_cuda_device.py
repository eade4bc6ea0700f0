"""device="cuda" and "auto" where there is no usable GPU: what is said, and what is done instead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

from nbragg.base.errors import DeviceError, InputError, MemoryLimitError, NbraggWarning, RenderError
from nbragg.engine import backend as backends
from nbragg.engine import cuda, cuda_kernel
from nbragg.engine import queue as queues
from nbragg.engine.options import RawImage, RenderOptions


class CUDARuntimeError(RuntimeError):
    """Named as CuPy's."""


class OutOfMemoryError(MemoryError):
    """Named as CuPy's."""


class CompileException(Exception):
    """Named as CuPy's."""


@pytest.fixture(autouse=True)
def forget_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_runtimes", {})
    monkeypatch.setattr(queues, "_warned", False)


@pytest.fixture
def scene() -> Any:
    return g.scene_of("-cell 100 100 100 90 90 90 -default_F 10 -N 3 -detpixels 8 -lambda 2 -oversample 1")


@pytest.fixture
def without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)


def pretend_cupy(monkeypatch: pytest.MonkeyPatch, count: Any) -> None:
    """A CuPy whose device count is a number, or an error that it raises."""

    def get_device_count() -> int:
        if isinstance(count, Exception):
            raise count
        return int(count)

    cupy = types.ModuleType("cupy")
    runtime = types.SimpleNamespace(getDeviceCount=get_device_count)
    cupy.cuda = types.SimpleNamespace(runtime=runtime)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def on(device: str, scene: Any) -> RawImage:
    """One image through the queue of a device."""
    with backends.backend(device).queue(RenderOptions(device=device)) as queue:
        queue.submit(scene)
        return queue.collect()[0]


def test_without_cupy(scene: Any, without_cupy: None) -> None:
    """The pip command for either CUDA."""
    with pytest.raises(DeviceError, match=r"pip install 'nanobragg\[cuda12\]'") as caught:
        on("cuda", scene)
    assert "nanobragg[cuda13]" in str(caught.value)
    assert isinstance(caught.value, RenderError)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "this machine has no CUDA device: give device='cpu'"),
        (1, "there is no CUDA device 3: this machine has 1"),
        (CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"), "has no CUDA device"),
        (CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is ..."), "update the driver"),
        (CUDARuntimeError("cudaErrorInitializationError: initialization error"), "spawn"),
        (
            CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access"),
            "only be used again from a new",
        ),
        (OSError("libcuda.so.1: cannot open shared object file"), "cannot be used: libcuda"),
        (RuntimeError("CuPy failed to load libnvrtc.so.12"), "cannot be used: CuPy failed"),
    ],
)
def test_faults_are_explained(scene: Any, monkeypatch: pytest.MonkeyPatch, count: Any, message: str) -> None:
    pretend_cupy(monkeypatch, count)
    with pytest.raises(DeviceError, match=message):
        on("cuda:3", scene)


def test_faults_while_rendering() -> None:
    """Memory that ran out and kernels that do not compile are told apart; bugs pass through."""
    with pytest.raises(MemoryLimitError, match="ran out of memory"), cuda.translated("GPU"):
        raise OutOfMemoryError("Out of memory allocating 8 bytes")
    with pytest.raises(DeviceError, match="could not be compiled for GPU"), cuda.translated("GPU"):
        raise CompileException("nb_render.cu(1): error")
    with pytest.raises(ZeroDivisionError), cuda.translated("GPU"):
        raise ZeroDivisionError
    with pytest.raises(InputError), cuda.translated("GPU"):
        raise InputError("of ours")


def test_auto_takes_the_cpu_with_one_warning(scene: Any, without_cupy: None) -> None:
    """Precision too is that of the CPU."""
    expected = on("cpu", scene).image
    with pytest.warns(NbraggWarning, match="rendering on the CPU: cupy is needed"):
        image = on("auto", scene).image
    assert np.array_equal(image, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(on("auto:1", scene).image, expected)
        assert backends.resolve("auto") == "cpu"
        assert backends.default_precision("auto") == "double"


class Failing:
    """A rendering of a GPU that opens and then fails, at its start or when it is collected."""

    def __init__(self, at: str, error: Exception) -> None:
        self.at, self.error = at, error
        self.abandoned = 0

    def __call__(self, *arguments: Any, **options: Any) -> Failing:
        if self.at == "plan":
            raise self.error
        return self

    def start(self, lane: int = 0) -> None:
        if self.at == "start":
            raise self.error

    def collect(self) -> list[RawImage]:
        raise self.error

    def abandon(self) -> None:
        self.abandoned += 1


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        ("plan", MemoryLimitError("2 GB are free, 3 GB are needed"), "rendering on the CPU: 2 GB"),
        ("start", OutOfMemoryError("Out of memory allocating 8 bytes"), "rendering on the CPU: GPU ran out"),
        ("collect", CUDARuntimeError("cudaErrorIllegalAddress"), "rendering on the CPU: GPU failed"),
    ],
)
def test_auto_when_the_gpu_fails(
    scene: Any, monkeypatch: pytest.MonkeyPatch, at: str, error: Exception, message: str
) -> None:
    """After the runtime has opened: all it was given is rendered on the CPU, in order, with one warning."""
    profile = types.SimpleNamespace(name="GPU")
    runtime = types.SimpleNamespace(profile=profile, tables=None)
    monkeypatch.setattr(cuda, "open_runtime", lambda index=0: runtime)
    failing = Failing(at, error)
    monkeypatch.setattr(cuda, "Rendering", failing)
    other = g.scene_of("-cell 90 90 90 90 90 90 -default_F 10 -N 4 -detpixels 8 -lambda 2 -oversample 1")
    expected = [on("cpu", one).image for one in (scene, other)]
    out = np.full((8, 8), np.nan, np.float32)
    with (
        pytest.warns(NbraggWarning, match=message) as caught,
        backends.backend("auto").queue(RenderOptions(device="auto")) as queue,
    ):
        queue.submit(scene, out)
        queue.submit(other)
        assert queue.submitted == 2
        assert np.array_equal(queue.collect()[0].image, expected[0])
        assert np.array_equal(queue.collect()[0].image, expected[1])
        queue.submit(scene)
        assert np.array_equal(queue.collect()[0].image, expected[0])
    assert len(caught) == 1
    assert np.array_equal(out, expected[0])
    assert failing.abandoned == (1 if at == "collect" else 0)  # the second, which was under way


def test_a_bug_is_no_reason_to_fall_back(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = types.SimpleNamespace(profile=types.SimpleNamespace(name="GPU"), tables=None)
    monkeypatch.setattr(cuda, "open_runtime", lambda index=0: runtime)
    monkeypatch.setattr(cuda, "Rendering", Failing("start", ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        on("auto", scene)


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "", "CUDA", "auto:99999", 0]
)
def test_unknown_devices(device: Any) -> None:
    with pytest.raises(InputError, match="is not known: give one of cpu, cuda, auto"):
        backends.backend(device)


def test_forked_child_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of CUDA's own failure."""
    parent = types.SimpleNamespace(process=os.getpid() + 1)
    monkeypatch.setattr(cuda, "_runtimes", {0: parent})
    with pytest.raises(DeviceError, match="'spawn' or 'forkserver'"):
        cuda.open_runtime(0)


def test_cpu_needs_no_cupy() -> None:
    """Nothing of the CUDA backend is imported for a render on the CPU."""
    code = (
        "import sys; from nbragg.engine import backend as backends; backends.backend('cpu');"
        "print(any(m == 'cupy' or m.startswith('nbragg.engine.cuda') for m in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "False"


def test_source_is_complete() -> None:
    """One text: every header of ours in its place, none of the test's."""
    text = cuda_kernel.source()
    assert text.startswith('#line 1 "nb_render.cu"')
    assert [line for line in text.splitlines() if line.startswith('#include "')] == [
        '#include "nb_host_shim.h"'
    ]
    for header in ("nb_scene.h", "nb_physics.h", "nb_lattice.h", "nb_cuda_index.h"):
        assert f'#line 1 "{header}"' in text


def test_missing_source_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(cuda_kernel, "__file__", str(tmp_path / "nbragg" / "engine" / "cuda_kernel.py"))
    with pytest.raises(RenderError, match="install the package again"):
        cuda_kernel._folder()


def test_benchmark_lists_what_it_would_run() -> None:
    """Without a GPU."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "benchmarks" / "gpu.py").is_file():
        pytest.skip("needs the source tree: benchmarks are not installed")
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry-run", "--quick"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=root)
    records = json.loads(run.stdout)["dry_run"]
    keys = {record["workload"] for record in records}
    assert {"W1", "W2", "W3", "W4", "W5-gauss", "W5-round", "W6", "W7"} == keys
    assert {record["arithmetic"] for record in records} == {"fixed", "pairs", "double"}
    assert max(record["domains"] or 0 for record in records) >= 1000

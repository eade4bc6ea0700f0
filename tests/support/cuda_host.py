"""The CUDA kernels on the host: csrc/*.cu as C++ behind csrc/nb_host_shim.h, and a Runtime of it.

Each specialisation is a shared library, built when it is first asked for.  Memory of the "device" is NumPy's.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nbragg.engine.cuda_engine import Rendering, Tables
from nbragg.engine.cuda_kernel import (
    BackdropSpecialisation,
    DiffuseSpecialisation,
    GradientSpecialisation,
    Kernels,
    ResponseSpecialisation,
    Specialisation,
    every_gradient,
    source,
)
from nbragg.engine.cuda_plan import DeviceProfile
from nbragg.engine.options import RenderOptions

SHIM = Path(__file__).resolve().parents[2] / "csrc"
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
# native: a GPU contracts a*b+c to one rounding, and so must the host
FLAGS = (
    "-x",
    "c++",
    "-std=c++20",
    "-march=native",
    "-ffp-contract=fast",
    "-fopenmp",
    "-shared",
    "-fPIC",
)
ALL_KINDS = sum({spec.kinds for spec in every_gradient()})
#: of nb_gradient.cu compiling takes longer than its tests run
OPTIMISATION = {
    Specialisation.file: ("-O1",),
    GradientSpecialisation.file: ("-O0",),
    ResponseSpecialisation.file: ("-O1", "-ffp-contract=off"),
    BackdropSpecialisation.file: ("-O1",),
    DiffuseSpecialisation.file: ("-O1",),
}
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# functions of the shared headers that a specialisation does not use; OpenMP's pragma where there is no OpenMP
UNUSED = ("-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unused-variable")

#: whether the kernels can be compiled here: another Python's tests run without the source tree
PRESENT = COMPILER is not None and (SHIM / "nb_host_shim.h").is_file()
needs_compiler = pytest.mark.skipif(
    not PRESENT,
    reason="needs g++ and the source tree, to compile the CUDA kernels for the host",
)


def profile(double_cost: float = 2.0, multiprocessors: int = 1, clock_hz: float = 1e9) -> DeviceProfile:
    return DeviceProfile("host", multiprocessors, double_cost, clock_hz)


class HostRuntime:
    """The Runtime of the tests.

    Parameters
    ----------
    threads : int
        Threads of a block, whole warps; few make the host quick, 128 is what a GPU runs.
    double_cost : float
        2 selects fixed point for mixed precision, 32 pairs of floats.
    free : int
        Bytes to pretend.

    Attributes
    ----------
    exact : bool
        Compile each specialisation of the derivatives; else the one that has all kinds of crystals stands for
        them.
    """

    def __init__(
        self,
        threads: int = 32,
        double_cost: float = 2.0,
        free: int = 2**30,
        multiprocessors: int = 1,
        clock_hz: float = 1e9,
    ) -> None:
        self.threads = threads
        self.profile = profile(double_cost, multiprocessors, clock_hz)
        self.tables = Tables()
        self.process = os.getpid()
        self.compute_capability = "00"
        self.free = free
        self.launches: list[tuple[str, tuple[int, int, int]]] = []
        self.specialisations: set[Any] = set()
        self.exact = False

    def free_bytes(self) -> int:
        return self.free

    @contextlib.contextmanager
    def lane(self, number: int) -> Iterator[None]:
        yield

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        return np.zeros(shape, dtype)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """Filled with what must not be read."""
        array = np.empty(shape, dtype)
        array.view(np.uint8)[...] = 0xA5
        return array

    def upload(self, host: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.array(host)

    def address(self, array: npt.NDArray[Any]) -> int:
        return int(array.ctypes.data)

    def host_array(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        return self.empty(shape, dtype)

    def download(self, array: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        assert array.flags.c_contiguous and out.flags.c_contiguous and array.nbytes == out.nbytes
        out[...] = array

    def launch(
        self, spec: Kernels, kernel: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        self.launches.append((kernel, grid))
        self.specialisations.add(spec)
        values = [np.atleast_1d(np.asarray(value)) for value in arguments]
        assert all(value.size == 1 for value in values)
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        dimensions = (ctypes.c_uint32 * 3)(*grid)
        if isinstance(spec, GradientSpecialisation) and not self.exact:
            spec = GradientSpecialisation(ALL_KINDS, spec.single, True, spec.displaced, spec.each_mu)
        status = library(spec, self.threads).nb_host_launch(
            kernel.encode(), dimensions, ctypes.c_uint32(self.threads), pointers
        )
        assert status == 0, (
            f"{kernel}: {'a barrier was not reached by all threads' if status == 1 else status}"
        )

    def mark(self) -> None:
        return None

    def wait(self, mark: Any) -> None:
        pass


_libraries: dict[tuple[Kernels, int], ctypes.CDLL] = {}
_folders: dict[str, Path] = {}


def folder(file: str) -> Path:
    """Where libraries are kept, for the next run too while source, compiler and processor stay."""
    if file not in _folders:
        base = Path(
            os.environ.get(
                "NBRAGG_CUDA_HOST", Path(tempfile.gettempdir()) / f"nbragg-cuda-host-{os.getuid()}"
            )
        )
        text = (
            source(file)
            + (SHIM / "nb_host_shim.h").read_text()
            + repr((COMPILER, FLAGS, OPTIMISATION, WARNINGS, UNUSED))
            + _processor()
        )
        path = base / hashlib.sha256(text.encode()).hexdigest()[:16]
        path.mkdir(parents=True, exist_ok=True)
        _folders[file] = path
    return _folders[file]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def library(spec: Kernels, threads: int) -> ctypes.CDLL:
    """The compiled kernels of one specialisation."""
    key = (spec, threads)
    if key not in _libraries:
        switches = [name.removeprefix("NB_USE_") + str(value) for name, value in spec.macros.items()]
        name = "_".join([spec.file, *switches, str(threads)])
        path = folder(spec.file) / f"{name}.so"
        if not path.exists():
            _compile(spec, threads, path)
        _libraries[key] = ctypes.CDLL(str(path))
    return _libraries[key]


def _compile(spec: Kernels, threads: int, path: Path) -> None:
    assert COMPILER is not None
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        text = Path(work, "kernels.cpp")
        text.write_text(source(spec.file))
        macros = [f"-D{name}={value}" for name, value in spec.macros.items()]
        output = Path(work, path.name)
        command = [
            COMPILER,
            *FLAGS,
            *OPTIMISATION[spec.file],
            *WARNINGS,
            *UNUSED,
            "-DNB_HOST",
            f"-DNB_THREADS={threads}",
            *macros,
        ]
        run = subprocess.run(
            [*command, "-I", str(SHIM), str(text), "-o", str(output)], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        output.replace(path)


def render(
    scene: Any, precision: str, runtime: HostRuntime | None = None, **options: Any
) -> tuple[Any, npt.NDArray[np.float64]]:
    """RawImage and the image before rounding."""
    runtime = runtime or HostRuntime()
    rendering = Rendering(
        runtime, runtime.tables, scene, RenderOptions(precision=precision, **options), double=True
    )
    rendering.start()
    raw = rendering.collect()[0]
    assert rendering.images64 is not None
    return raw, rendering.images64[0]


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, runtime: HostRuntime | None = None) -> HostRuntime:
    """Makes device="cuda" run on the host."""
    from nbragg.engine import cuda

    runtime = runtime or HostRuntime()

    def open_runtime(index: int = 0) -> HostRuntime:
        return runtime

    monkeypatch.setattr(cuda, "open_runtime", open_runtime)
    return runtime

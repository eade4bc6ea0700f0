"""NVIDIA's run-time compiler through ctypes: machine code and resources, without GPU, driver or CuPy.

Run as a program it compiles what JSON on standard input asks for, so that several can work side by side.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: what CuPy adds by itself
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")


@dataclass(frozen=True)
class Kernel:
    """What ptxas says of one kernel."""

    name: str
    registers: int
    stack: int  # bytes
    spilled: int  # bytes stored and loaded again


def find() -> Path | None:
    """NVRTC's shared library in an installed wheel."""
    for package in ("nvidia.cuda_nvrtc", "nvidia.cu13"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            found = sorted(Path(folder, "lib").glob("libnvrtc.so.*"))
            if found:
                return found[0]
    return None


def compile_source(source: str, architecture: int, options: Iterable[str]) -> tuple[bytes, list[Kernel]]:
    """Machine code (a cubin) and the resources of its kernels.

    Raises
    ------
    RuntimeError
        With the compiler's messages.
    """
    path = find()
    assert path is not None
    library = ctypes.CDLL(str(path))
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"nb_render.cu", 0, None, None)
    words = [f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v", *CUPY_OPTIONS, *options]
    array = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
    status = library.nvrtcCompileProgram(program, len(words), array)
    log = _bytes(library, program, "ProgramLog").decode()
    if status != 0:
        raise RuntimeError(f"sm_{architecture} {' '.join(words)}\n{log}")
    if re.search(r"\bwarning\b(?!: Architectures prior)", log):
        raise RuntimeError(f"sm_{architecture} {' '.join(words)}: warnings\n{log}")
    code = _bytes(library, program, "CUBIN")
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return code, kernels(log)


def _bytes(library: Any, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, text)
    return text.raw


def kernels(log: str) -> list[Kernel]:
    """The report of ptxas -v."""
    found = re.finditer(
        r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        r".*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    return [Kernel(m[1], int(m[5]), int(m[2]), int(m[3]) + int(m[4])) for m in found]


def compile_many(source: str, jobs: list[tuple[int, tuple[str, ...]]]) -> list[list[Kernel]]:
    """The kernels of each (architecture, options), in several processes.

    Raises
    ------
    RuntimeError
        When a job fails.
    """
    workers = max(1, min(len(jobs), len(os.sched_getaffinity(0))))

    def work(part: list[tuple[int, tuple[str, ...]]]) -> list[list[Kernel]]:
        run = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps({"source": source, "jobs": part}),
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise RuntimeError(run.stderr)
        return [[Kernel(**kernel) for kernel in job] for job in json.loads(run.stdout)]

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(work, [jobs[i::workers] for i in range(workers)]))
    return [parts[i % workers][i // workers] for i in range(len(jobs))]


def main() -> None:
    request = json.load(sys.stdin)
    done = [compile_source(request["source"], *job)[1] for job in request["jobs"]]
    json.dump([[asdict(kernel) for kernel in job] for job in done], sys.stdout)


if __name__ == "__main__":
    main()

"""What the numbers were measured on: processor, versions, compilers, and how much one core can do at most."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import nbragg
from nbragg import _engine
from nbragg.io.files.atomic import open_atomic

#: vector bytes and compiler flags by instruction set, as the engine is built
PROBE_FLAGS = {
    "baseline": (16, []),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "avx512": (64, ["-mavx512f", "-mfma", "-mprefer-vector-width=512"]),
}


def cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def cpu_model() -> str:
    """Name of the processor; virtual machines often hide the full one, so family and model follow it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(re.findall(r"^(model name|cpu family|model|stepping)\s*: (.*)$", text, re.MULTILINE))
    if "model name" not in found:
        return platform.machine()
    numbers = " ".join(f"{key} {found[key]}" for key in ("cpu family", "model", "stepping") if key in found)
    return f"{found['model name']} ({numbers})"


def compiler_of(binary: Path) -> str:
    """The compiler a binary says it was made with, or ""."""
    found = re.findall(rb"(?:GCC: \([^)\0]*\) [\d.]+|clang version [\d.]+)", binary.read_bytes())
    return ", ".join(sorted({text.decode("latin-1") for text in found}))


def isa_names() -> list[str]:
    """Usable instruction sets, narrowest first."""
    return [name for name, usable in _engine.isa_levels() if usable]


def describe(reference: Path | None) -> dict[str, Any]:
    """Everything about machine and programs that a reader of the numbers may ask for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    found: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_GB": round(memory, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "isa": isa_names(),
        "best_isa": _engine.best_isa(),
        "openmp": _engine.has_openmp(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "nanobragg": nbragg.__version__,
        "compiler": compiler_of(Path(str(_engine.__file__))),
        "reference": None,
    }
    if reference is not None:
        digest = hashlib.sha256(reference.read_bytes()).hexdigest()
        found["reference"] = {
            "name": reference.name,
            "sha256": digest,
            "compiler": compiler_of(reference),
            "flags": os.environ.get("NB_C_FLAGS", "-O3 -march=native -fopenmp"),
        }
    return found


def save(path: Path | None, document: Any) -> None:
    """Write a benchmark's figures as JSON; None: they were only printed."""
    if path is None:
        return
    with open_atomic(path, "w") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def limits() -> dict[str, dict[str, float]]:
    """By instruction set: flops/s, divisions/s and L1 bytes/s of one core; {} without a C compiler."""
    compiler = shlex.split(os.environ.get("CC", "")) or [
        shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    ]
    if shutil.which(compiler[0]) is None:
        return {}
    source = Path(__file__).with_name("probe.c")
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for isa in isa_names():
            width, flags = PROBE_FLAGS[isa]
            program = str(Path(folder, isa))
            command = [
                *compiler, "-O2", "-std=gnu11", "-ffp-contract=fast", f"-DWIDTH={width}", *flags,
                str(source), "-o", program,
            ]  # fmt: skip
            try:
                subprocess.run(command, check=True, capture_output=True)
                output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"the probe of {isa} cannot be run: {error}", file=sys.stderr)
                continue
            found[isa] = {name: float(value) for name, value in map(str.split, output.splitlines())}
    return found

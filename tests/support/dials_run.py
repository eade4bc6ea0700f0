"""DIALS and dxtbx of the system's Python, which is not the one that runs the tests."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PYTHON = "/usr/bin/python3"
#: the tests' own settings (paths, threads) are not for it
_CLEAN = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.environ.get("TMPDIR", "/tmp")}
with contextlib.suppress(ImportError):
    # Debian's DIALS comes without the filters that others bring
    _CLEAN["HDF5_PLUGIN_PATH"] = importlib.import_module("hdf5plugin").PLUGIN_PATH


@functools.cache
def installed() -> bool:
    if not Path(PYTHON).exists():
        return False
    command = [PYTHON, "-c", "import dxtbx, dials"]
    return subprocess.run(command, env=_CLEAN, capture_output=True, timeout=120).returncode == 0


def need() -> None:
    """Skip the test where there is no DIALS."""
    if not installed():
        pytest.skip("no DIALS: apt-get install dials python3-dials")


def run(code: str, *arguments: Any) -> Any:
    """What a Python program prints as JSON in its last line; ``sys.argv[1:]`` are the arguments."""
    return json.loads(output(code, *arguments).splitlines()[-1])


def output(code: str, *arguments: Any) -> str:
    """All that a Python program prints."""
    words = [PYTHON, "-c", code, *map(str, arguments)]
    done = subprocess.run(words, env=_CLEAN, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command(name: str, *arguments: Any, folder: Path) -> str:
    """What a DIALS program prints."""
    program = shutil.which(name, path=_CLEAN["PATH"])
    assert program is not None, name
    words = [program, *map(str, arguments)]
    done = subprocess.run(words, env=_CLEAN, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""What is installed, what importing costs, and the shape of the source tree."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import subprocess
import sys
from pathlib import Path

import pytest

import nbragg

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "gemmi",
    "h5py",
    "matplotlib",
    "fabio",
    "pandas",
    "dask",
    "cupy",
    "tqdm",
    "scipy",
    "tifffile",
    "yaml",
}


def _modules_after(statement: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(' '.join(sys.modules))"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return {name.split(".")[0] for name in run.stdout.split()}


def test_import_pulls_in_nothing_heavy() -> None:
    loaded = _modules_after("import nbragg")
    assert not loaded & (HEAVY | {"numpy"})


def test_help_needs_no_numpy() -> None:
    """Help answers at once, which an import of NumPy would not allow."""
    loaded = _modules_after("import nbragg.cli.options")
    assert not loaded & (HEAVY | {"numpy"})


def test_public_names_exist() -> None:
    for name in nbragg.__all__:
        assert getattr(nbragg, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nbragg.nothing  # noqa: B018


def test_version_is_that_of_the_distribution() -> None:
    assert importlib.metadata.version("nanobragg") == nbragg.__version__


def test_types_are_shipped() -> None:
    files = importlib.resources.files(nbragg)
    assert (files / "py.typed").is_file()
    assert (files / "_engine.pyi").is_file()


def test_no_source_file_is_too_long() -> None:
    files = [path for folder in ("nbragg", "csrc", "tests") for path in (ROOT / folder).rglob("*")]
    sources = [
        path
        for path in files
        if path.suffix in (".py", ".pyx", ".pxi", ".pyi", ".c", ".h", ".cu") and path.name != "_engine.c"
    ]
    long = {
        path.name: n for path in sources if (n := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert sources and not long

"""What is installed, and the shape of the source tree."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
from pathlib import Path

import pytest

import nbragg

ROOT = Path(__file__).resolve().parents[2]


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

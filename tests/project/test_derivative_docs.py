"""The page on derivatives: its table has every parameter, its pictures are there, small, and can be drawn."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbragg.scene.parameter_registry import REGISTRY

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE: dict[str, Any] = runpy.run_path(str(DOCS / "parameter_table.py"))
PICTURES = re.findall(r"\{figure\} (images/\S+)", (DOCS / "derivatives.md").read_text(encoding="utf-8"))


def test_every_parameter_is_in_the_table() -> None:
    assert set(TABLE["MEANING"]) == set(REGISTRY)
    rows = TABLE["markdown"]().splitlines()
    assert len(rows) == 2 + len(REGISTRY)
    assert all(row.count("|") == 4 for row in rows)


def test_pictures_are_small() -> None:
    assert len(PICTURES) == 8
    assert max((DOCS / name).stat().st_size for name in PICTURES) < 60_000


@pytest.mark.slow
def test_pictures_can_be_drawn(tmp_path: Path) -> None:
    command = [sys.executable, str(DOCS / "derivative_images.py"), str(tmp_path), "--pixels", "16"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {f"images/{name}" for name in drawn} == set(PICTURES)
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())

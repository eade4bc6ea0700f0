"""The examples, the README's code and the demo run and write what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def _python(*words: str, folder: Path) -> str:
    environment = os.environ | {"PYTHONWARNINGS": "error::DeprecationWarning"}
    run = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example(script: Path, tmp_path: Path) -> None:
    assert _python(str(script), str(tmp_path), folder=tmp_path)
    assert list(tmp_path.iterdir()), "no file written"


def test_examples_are_all_listed() -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert EXAMPLES and all(f"]({path.name})" in text for path in EXAMPLES)


def test_readme_python(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    assert "(512, 512)" in _python("-c", "\n".join(blocks), folder=tmp_path)


def test_readme_command_line(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    nanobragg (.*)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        _python("-m", "nbragg", *command.split(), folder=tmp_path)
    assert (tmp_path / "floatimage.bin").stat().st_size == 4 * 512 * 512


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    printed = _python("-m", "nbragg.demo", "out", folder=tmp_path)
    assert "Wilson's statistics" in printed and "not a measurement" in printed
    assert "nanobragg -preset mx " in printed and "max_I" in printed
    image = np.fromfile(tmp_path / "out" / "floatimage.bin", "<f4")
    assert image.size == 2463 * 2527 and np.isfinite(image).all() and image.max() > 100
    for name in ("demo.png", "mx_0001.cbf", "mx_0001.png", "floatimage.bin"):
        assert str(Path("out") / name) in printed
        assert (tmp_path / "out" / name).exists()

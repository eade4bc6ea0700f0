"""The tutorials and some pages of the documents run as they stand and print what they show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(
    [
        *(DOCS / "tutorials").glob("*.md"),
        *(
            DOCS / f"{name}.md"
            for name in (
                "errors",
                "truth",
                "derivatives",
                "refinement",
                "spectra",
                "surroundings",
                "background",
                "detector",
            )
        ),
    ]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(DOCS / "page_runner.py"), str(page), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if done.stdout.startswith("SKIP "):
        pytest.skip(done.stdout.strip())


def test_a_page_whose_package_is_absent_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("% needs nosuch_package\n```python\n1/0\n```\n", encoding="utf-8")
    command = [sys.executable, str(DOCS / "page_runner.py"), str(page), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "SKIP page.md: needs pip install 'nanobragg[nosuch_package]'\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nprint(1)\n```\n```text\n2\n```\n", "the block prints\n1"),
        ("% run with: 2 for 1\n```python\nprint(1)\n```\n```text\n1\n```\n", "the block prints\n2"),
        ("```python\n1/0\n```\n", "ZeroDivisionError"),
        ("```python\nprint(1)\n1/0\n```\n```text\n1\n```\n", "ZeroDivisionError"),
        ("```console\n$ false\n```\n", "exit status 1"),
        ("```console\n$ echo a \\\n  b\na c\n```\n", "the block prints\na b"),
    ],
)
def test_a_page_that_is_wrong_fails(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    command = [sys.executable, str(DOCS / "page_runner.py"), str(page), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert complaint in done.stderr and "page.md, line" in done.stderr

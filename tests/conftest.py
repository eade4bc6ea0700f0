"""What all tests share: helpers on the import path, markers by folder, a repeatable hypothesis profile."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "support"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # started by a shell in the background: Ctrl-C is tested all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "search", settings.get_profile("repeatable"), derandomize=False, max_examples=2000, print_blob=True
)
settings.load_profile(os.environ.get("NBRAGG_HYPOTHESIS", "repeatable"))

#: folder -> marker of all its tests; pyproject.toml says what each means
MARKERS = {
    "acceptance": "numbers",
    "analysis": "numbers",
    "engine": "numbers",
    "gradient": "numbers",
    "cuda": "cuda",
    "dials": "dials",
    "io": "files",
    "project": "project",
    "refinement": "numbers",
    "response": "numbers",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for folder in item.path.relative_to(HERE).parts[:-1]:
            if folder in MARKERS:
                item.add_marker(MARKERS[folder])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def inputs(folder: Path) -> Path:
    """The current folder with good and bad input files."""
    import bad_input

    bad_input.write_inputs(folder)
    return folder

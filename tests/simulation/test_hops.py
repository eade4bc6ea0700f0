"""From a public call to the C entry in at most six of our own functions, counted by tracing one call."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import nbragg
from nbragg import _engine

LINE = "-cell 70 80 90 -default_F 100 -N 5 -detpixels 16 -nonoise -nopgm -noprogress"
PACKAGE = str(Path(nbragg.__file__).parent)


def own_functions(frame: FrameType | None) -> list[str]:
    """Names of the package's functions on the stack, outermost first."""
    names = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names[::-1]


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled by a render: the functions to the hand-over to the engine's thread, and those on that thread."""
    found: list[str] = []

    class Traced(_engine.Job):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.before = own_functions(sys._getframe(1))

        def run(self) -> str:
            found[:] = [*self.before, *own_functions(sys._getframe(1)), "Job.run"]
            return super().run()

    monkeypatch.setattr(_engine, "Job", Traced)
    return found


def test_simulate(chain: list[str]) -> None:
    setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 16")
    nbragg.simulate(setup)
    assert chain[0] == "simulate" and chain[-1] == "Job.run"
    assert len(chain) - 1 <= 6, " -> ".join(chain)
    nbragg.simulate(setup.crystal, setup.beam, setup.detector)
    assert chain[0] == "simulate" and len(chain) - 1 <= 6, " -> ".join(chain)


def test_command(chain: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nbragg.cli.nanobragg import main

    assert main(LINE.split()) == 0
    assert chain[0] == "main" and chain[-1] == "Job.run"
    assert len(chain) - 1 <= 6, " -> ".join(chain)


def test_one_scene_for_a_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nbragg.cli.nanobragg import main
    from nbragg.scene import record

    made: list[int] = []
    original = record.Scene.__init__

    def counted(self: Any, *arguments: Any, **named: Any) -> None:
        made.append(1)
        original(self, *arguments, **named)

    monkeypatch.setattr(record.Scene, "__init__", counted)
    assert main(LINE.split()) == 0
    assert len(made) == 1
    made.clear()
    assert main([*LINE.split(), "-random", "3", "-seed", "1"]) == 0
    assert len(made) == 1 + 3  # the one that is reported, and one for each image

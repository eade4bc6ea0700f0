"""The command ``nbragg``: dispatch, help, errors as one line, progress only on a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbragg.cli import terminal, tools

TINY = "-default_F 10 -cell 50 60 70 -misset 1 2 3 -N 3 -detpixels 6 -oversample 2"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["-h"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name}" in text for name in tools.TOOLS)
    assert tools.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("nbragg ")
    for name in tools.TOOLS:
        assert tools.main([name, "-h"]) == 0
        assert f"usage: nbragg {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ([], "no tool given"),
        (["shwo"], "did you mean show"),
        (["nothing"], "the tools are"),
        (["info"], "--build"),
        (["info", "image.img", "--build"], "--build"),
        (["info", "missing.img"], "missing.img"),
        (["info", "--frames"], "unrecognized"),
        (["orient", "a.mat"], "--cell"),
        (["trace", "1"], "FAST"),
        (["trace", "1", "2"], "no set-up"),
        (["trace", "1", "x", "--", "-cell", "50", "-default_F", "1"], "invalid int"),
        (["trace", "1", "2", "--recipe", "no.json"], "no.json"),
        (["trace", "1", "2", "--recipe", "no.json", "--", "-cell", "50"], "not both"),
        (["trace", "1", "2", "--", "-cells", "50"], "-cells"),
        (["trace", "1", "2000", "--", "-cell", "50", "-default_F", "1"], "whole number from 0"),
        (["show", "missing.img"], "missing.img"),
        (["noise", "missing.bin", "-o", "n.tif"], "missing.bin"),
        (["hkl", "missing.mtz", "out.hkl"], "missing.mtz"),
    ],
)
def test_errors_are_one_line(
    words: list[str], about: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1 and err.startswith("nbragg") and about in err
    assert not list(folder.iterdir())


def test_as_a_process() -> None:
    """The entry point, and a help that answers without NumPy."""
    run = subprocess.run(
        [sys.executable, "-m", "nbragg.cli.tools", "-h"], capture_output=True, text=True, check=True
    )
    assert "trace" in run.stdout
    code = "import sys; from nbragg.cli.tools import main; main(['-h']); print('numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"


def test_trace(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, JSON and summary of a pixel from a command line or a recipe."""
    import nbragg
    from nbragg.cli import parser
    from nbragg.io import recipe

    line = ["--", *TINY.split()]
    assert tools.main(["trace", "4", "2", *line]) == 0
    text = capsys.readouterr().out
    assert text.startswith("samples of pixel fast 2 slow 4") and "h0 k0 l0" in text
    assert tools.main(["trace", "4", "2", "--summary", *line]) == 0
    assert capsys.readouterr().out == text[text.index("pixel fast 2 slow 4: 4") :]

    assert tools.main(["trace", "4", "2", "--json", "-o", "t.jsonl", *line]) == 0
    assert capsys.readouterr().out == ""
    records = [json.loads(row) for row in Path("t.jsonl").read_text().splitlines()]
    command = parser.parse(TINY.split())
    scene = nbragg.build_scene(command.setup)
    trace = nbragg.trace_pixel(scene, 4, 2)
    assert records[-1]["pixel"] == trace.pixel
    assert [r["term"] for r in records[:-1]] == trace.samples["term"].tolist()

    recipe.dump(command.setup, "r.json")
    assert tools.main(["trace", "4", "2", "--json", "--recipe", "r.json"]) == 0
    assert capsys.readouterr().out == Path("t.jsonl").read_text()


def read_terminal(code: str) -> str:
    """What a program writes to stderr when that is a terminal."""
    pty = pytest.importorskip("pty")
    here, there = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", code], stderr=there, stdout=subprocess.DEVNULL, check=True, timeout=60
        )
        os.close(there)
        shown = b""
        while True:
            try:
                part = os.read(here, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
    finally:
        os.close(here)
    return shown.decode()


def test_busy_line_on_a_terminal() -> None:
    """After a second a line with the time; before that, nothing."""
    code = "import time; from nbragg.cli.terminal import busy\nwith busy('thinking'): time.sleep({})"
    assert "thinking" in read_terminal(code.format(1.8))
    assert read_terminal(code.format(0.1)) == ""


def test_progress_bar_on_a_terminal() -> None:
    code = (
        "import time; from nbragg.cli.terminal import progress_bar\n"
        "with progress_bar(100, 'px', description='working') as move:\n"
        "    for i in range(8):\n"
        "        time.sleep(0.1); move(i / 8)"
    )
    shown = read_terminal(code)
    assert "working" in shown and "px" in shown


def test_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress_bar(100, "px") as move, terminal.busy("thinking"):
        assert move is None
        time.sleep(0.01)
    assert capsys.readouterr().err == ""

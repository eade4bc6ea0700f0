"""``nbragg dataset make`` and ``verify``: what they print, what they leave, how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pip install 'nanobragg[dataset]'")
pytest.importorskip("h5py", reason="pip install 'nanobragg[dataset]'")
pytest.importorskip("yaml", reason="pip install 'nanobragg[dataset]'")

from fake_dataset import Here

from nbragg.cli.terminal import bar
from nbragg.cli.tools import dataset_make, main
from nbragg.dataset import make as making
from nbragg.dataset.dataset import Dataset
from nbragg.dataset.manifest import Manifest
from nbragg.dataset.table import read_table

RECIPE = """
nanobragg_dataset: 1
images: 11
setup:
  crystal: {cell: [22, 23, 24, 90, 90, 90], N: [10, 10, 10], structure_factors: {default_F: 100}}
  beam: {wavelength_A: 1.5, fluence: 1.0e+25}
  detector: {fpixels: 32, spixels: 32, pixel_mm: 1.6, distance_mm: 60}
  sampling: {oversample: 1}
  response: {kind: counting}
vary:
  orientation: uniform
  crystal.cell: {norm: {loc: 1, scale: 0.01}, as: factor}
output: {format: h5, images_per_shard: 4}
"""


@pytest.fixture
def recipe(folder: Path) -> str:
    (folder / "recipe.yaml").write_text(RECIPE)
    return "recipe.yaml"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "Pool", Here)


def run(*words: str) -> int:
    return main(["dataset", *words])


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("shards/*/*")}


def test_make_and_verify(recipe: str, folder: Path, here: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("make", recipe, "-o", "set") == 0
    text = capsys.readouterr()
    assert text.out.startswith("11 images in 3 shards of 4\nmade by this process\nabout ")
    assert "set: 11 images in 3 shards, " in text.out and "11 made in" in text.out and not text.err
    made = Manifest.read("set")
    assert made.head.complete and made.recipe_digest == Dataset(recipe).recipe.digest
    assert read_table("set")["image"].tolist() == list(range(11))
    before = shards(folder / "set")

    assert run("verify", "set", "--images", "4") == 0
    text = capsys.readouterr()
    assert text.out.splitlines() == [
        "set: 3 of 3 shards are there; 3 checksums compared, 4 images made again and compared",
        "all is as it was made",
    ]
    path = folder / "set/shards/0000/000001.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert run("verify", "set", "--images", "0") == 1
    text = capsys.readouterr()
    assert "fault: shard 1: its checksum has changed" in text.err and "--repair takes" in text.err
    assert run("verify", "set", "--images", "0", "--repair", "--quiet") == 1
    assert run("make", recipe, "-o", "set", "--quiet") == 0
    assert capsys.readouterr().out == "1 shards are taken away; nbragg dataset make makes them again\n"
    assert shards(folder / "set") == before

    assert run("make", recipe, "-o", "set", "-n", "9") == 2
    assert "is to hold 11 images, more than 9" in capsys.readouterr().err
    assert run("make", recipe, "-o", "one", "-n", "3", "--format", "webdataset", "--shard-size", "2") == 0
    assert sorted(shards(folder / "one")) == ["000000.tar", "000001.tar"]
    assert run("verify", "one", "--quiet") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe.yaml", "-o", "set", "-n", "0"], "n must be a whole number from 1"),
        (["recipe.yaml", "-o", "set", "-n", "many"], "invalid int value: 'many'"),
        (["recipe.yaml", "-o", "set", "--workers", "0"], "workers must be"),
        (["recipe.yaml", "-o", "set", "--format", "tiff"], "format must be one of"),
        (["recipe.yaml", "-o", "set", "--compression", "zip"], "compression"),
        (["recipe.yaml", "-o", "set", "--shard-size", "0"], "images_per_shard must be"),
        (["recipe.yaml", "-o", "set", "--workerz", "2"], "did you mean --workers?"),
        (["recipe.yaml", "-o", "set", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9"], "not both"),
        (["recipe.yaml", "-o", "recipe.yaml"], "is a file or below one"),
        (["recipe.yaml", "-o", "."], "holds other things (recipe.yaml"),
        (["recipe.yaml"], "-o/--output"),
        (["nowhere.yaml", "-o", "set"], "nowhere.yaml"),
    ],
)
def test_bad_input(
    recipe: str, folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("make", *words) == 2
    text = capsys.readouterr()
    assert message in text.err and text.err.count("\n") == 1 and not text.out
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]


def test_bad_input_of_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", ".") == 2
    assert "is no data set" in capsys.readouterr().err


def test_images_that_fail(recipe: str, folder: Path, here: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Too bright for a pixel, some: they are told with what was drawn, and the others are there."""
    text = RECIPE + "name: some fail\n"
    text = text.replace("vary:\n", "vary:\n  beam.fluence: {choice: [1.0e+25, 1.0e+70]}\n")
    (folder / recipe).write_text(text)
    assert run("make", recipe, "-o", "set", "--format", "webdataset", "--quiet") == 1
    lines = capsys.readouterr().err.splitlines()
    manifest = Manifest.read("set")
    failed = list(manifest.shards.failures())
    assert 0 < len(failed) < 11 and manifest.head.complete
    assert len(lines) == len(failed) and all("beam.fluence" in line for line in lines)
    assert f"failed: image {failed[0]['image']}: RenderError: " in lines[0]
    assert len(read_table("set")) == 11 - len(failed)
    assert run("verify", "set") == 0
    assert f"{len(failed)} images could not be made" in capsys.readouterr().out


def test_interrupted(
    recipe: str, here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[int] = []

    class Interrupted(Here):
        def wait(self, seconds: float) -> Any:
            given.append(1)
            if len(given) == 3:
                raise KeyboardInterrupt
            return super().wait(seconds)

    monkeypatch.setattr(making, "Pool", Interrupted)
    assert run("make", recipe, "-o", "set", "--workers", "1") == 130
    message = "nbragg dataset make: interrupted: 2 of 3 shards are there; the same command goes on\n"
    assert capsys.readouterr().err == message
    assert run("make", recipe, "-o", "set") == 0


def test_lines_and_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    course = making.Course(images=100, shards=10, done=40, failed=1, made=21, seconds=3.0, lost=2)
    monkeypatch.setattr(dataset_make, "_LINE", 0.0)
    with dataset_make._progress(quiet=False) as progress:
        assert progress is not None
        progress(course)
    line = "40 of 100 images, 7 images/s, 8 s left, 1 failed, 2 workers lost\n"
    assert capsys.readouterr().err == line
    with dataset_make._progress(quiet=True) as progress:
        assert progress is None

    shown: list[Any] = []

    def spied(**options: Any) -> Any:
        shown.append(bar(**options))
        return shown[0]

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    monkeypatch.setattr("sys.stderr.fileno", lambda: 2)
    monkeypatch.setattr(dataset_make, "bar", spied)
    with dataset_make._progress(quiet=False) as progress:
        assert progress is not None
        progress(course)
        assert shown[0].n == 41 and shown[0].initial == 20 and shown[0].postfix == "1 failed, 2 workers lost"


# ---- the command itself ----

COMMAND = [sys.executable, "-c", "import sys; from nbragg.cli.tools import main; sys.exit(main())", "dataset"]


def start(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    return subprocess.Popen(
        [*COMMAND, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.commands
def test_killed_and_interrupted(recipe: str, folder: Path, here: None) -> None:
    """A worker by SIGKILL, then all by Ctrl-C."""
    text = RECIPE.replace("images_per_shard: 4", "images_per_shard: 2").replace("images: 11", "images: 61")
    (folder / recipe).write_text(text)

    def wait_for(count: int, process: subprocess.Popen[str]) -> None:
        while len(shards(folder / "set")) < count and process.poll() is None:
            time.sleep(0.02)

    with start("make", recipe, "-o", "set", "--workers", "2") as process:
        wait_for(3, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGKILL)
        wait_for(6, process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130 and " of 31 shards are there; the same command goes on\n" in err
    assert not list((folder / "set/unfinished").iterdir()) and 6 <= len(shards(folder / "set")) < 31
    for name in ("set", "whole"):
        assert run("make", recipe, "-o", name, "--quiet") == 0
    assert shards(folder / "set") == shards(folder / "whole")
    assert read_table("set").equals(read_table("whole"))


@pytest.mark.parametrize("format", ["h5", "zarr", "webdataset"])
def test_a_full_disk(
    recipe: str, folder: Path, here: None, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if format == "zarr":
        pytest.importorskip("zarr", reason="pip install 'nanobragg[zarr]'")
    (folder / "disk").mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder / "disk")]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system takes root and mount")
    words = ["make", recipe, "-o", "disk/set", "-n", "60", "--format", format, "--quiet"]
    try:
        assert run(*words) == 1
        text = capsys.readouterr().err
        assert "stopped: no space left for" in text and "shards are there and valid" in text
        there = len(Manifest.read("disk/set").shards)
        assert 0 < there < 15 and len(shards(folder / "disk/set")) == there
        assert not list((folder / "disk/set/unfinished").iterdir())
        assert run("verify", "disk/set", "--images", "2") == 1
        assert "shards are missing" in capsys.readouterr().err
        subprocess.run([command[0], "-o", "remount,size=20m", command[-1]], check=True)
        assert run(*words) == 0
        assert run("verify", "disk/set", "--images", "2") == 0
    finally:
        subprocess.run(["umount", str(folder / "disk")], check=True)

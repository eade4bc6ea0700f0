"""The golden cases: their arguments, their images, and how close a rendering has to come."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GOLDEN = Path(__file__).parents[1] / "golden"
DATA = GOLDEN / "data"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "cases.json").read_text())
BY_ID: dict[str, dict[str, Any]] = {case["id"]: case for case in CASES}
IDS = list(BY_ID)

# max |d| / max, |sum ratio - 1|, 1 - correlation
TIGHT = (1e-6, 1e-6, 1e-9)


def arguments(case_id: str) -> list[str]:
    """Words of the command line that made the image."""
    return shlex.split(BY_ID[case_id]["args"].format(data=DATA))


def reference(case_id: str) -> dict[str, npt.NDArray[Any]]:
    """The stored arrays: image, and int_file, noise_file and pgm_file as bytes where there are any."""
    with np.load(GOLDEN / f"{case_id}.npz") as stored:
        return {name: stored[name] for name in stored.files}


def metrics(image: npt.ArrayLike, golden: npt.ArrayLike) -> tuple[float, float, float]:
    """Largest difference over the maximum, deviation of the sums' ratio from 1, 1 - correlation."""
    a, b = np.asarray(image, float).ravel(), np.asarray(golden, float).ravel()
    x, y = a - a.mean(), b - b.mean()
    correlation = (x @ y) / np.sqrt((x @ x) * (y @ y))
    return float(np.abs(a - b).max() / b.max()), float(abs(a.sum() / b.sum() - 1)), float(1 - correlation)


def assert_matches(image: npt.NDArray[Any], golden: npt.NDArray[Any]) -> None:
    """The tight tolerances of the acceptance list."""
    assert image.shape == golden.shape
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    found = metrics(image, golden)
    assert all(a <= b for a, b in zip(found, TIGHT, strict=True)), dict(
        zip(("max", "sum", "1-corr"), found, strict=True)
    )


def run_cli(words: Sequence[str | Path]) -> int:
    """Exit status of the console program, run inside this process."""
    from nbragg.cli.nanobragg import main

    try:
        status = main([str(word) for word in words])
    except SystemExit as stop:
        if stop.code is None:
            return 0
        return stop.code if isinstance(stop.code, int) else 1
    return int(status or 0)


def prepare(case_id: str, folder: Path) -> None:
    """Put the files a case reads into a folder, which must be the current one."""
    for name in (GOLDEN / "inputs").iterdir():
        shutil.copy(name, folder)
    if case_id == "hkl/fdump_reuse":  # an earlier run leaves its dump file behind
        words = shlex.split(BY_ID[case_id]["inputs"][0].format(data=DATA))
        assert run_cli([*words, "-nonoise", "-nopgm", "-noprogress"]) == 0
        assert (folder / "Fdump.bin").exists()


def command_line(words: Sequence[str]) -> Any:
    """What a command line asks for."""
    from nbragg.cli.parser import parse

    return parse(list(words))


def scene_of(words: Sequence[str] | str) -> Any:
    """The Scene a command line stands for."""
    from nbragg import build_scene

    return build_scene(command_line(split(words)).setup)


def render(words: Sequence[str] | str, threads: int | None = None) -> npt.NDArray[np.float32]:
    """The float image of a command line, through the Python interface, without the warnings."""
    from nbragg.simulation.simulate import render as render_scene

    image: npt.NDArray[np.float32] = render_scene(scene_of(words), threads=threads).image
    return image


def split(words: Sequence[str] | str) -> list[str]:
    """Words of a command line given as one string or as a list."""
    return shlex.split(words) if isinstance(words, str) else list(words)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make a folder the current one for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

"""``nbragg truth``: files, what it prints, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nbragg
from nbragg.cli import tools
from nbragg.io.truth.dials import identifiers
from nbragg.io.truth.record import gather

LINE = "-cell 70 80 90 -default_F 100 -N 20 -distance 200 -detpixels 300 -osc 0.5 -phisteps 5 -physics exact"
WORDS = LINE.split()


def test_rotation_of_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = nbragg.from_cli(WORDS)
    nbragg.dump(setup, tmp_path / "setup.json")
    files = [str(tmp_path / name) for name in ("truth.expt", "truth.refl", "XDS.INP")]
    words = ["truth", str(tmp_path / "setup.json"), "--frames", "4", "--first", "2", "-o", *files]
    assert tools.main([*words, "--template", "x_####.cbf", "--gain", "2", "--pedestal", "40"]) == 0
    assert capsys.readouterr().out == "".join(f"wrote {file}\n" for file in files)
    expt = json.loads(Path(files[0]).read_text())
    assert expt["scan"][0]["image_range"] == [2, 5] and expt["imageset"][0]["template"] == "x_####.cbf"
    panel = expt["detector"][0]["panels"][0]
    assert (panel["gain"], panel["pedestal"]) == (2.0, 40.0)
    series = nbragg.Series.frames(setup, 4)
    truth = gather(
        ((nbragg.build_scene(one), one.beam) for one in series), images="x_####.cbf", first_image=2
    )
    assert [one["identifier"] for one in expt["experiment"]] == identifiers(truth)
    series.save_truth(tmp_path / "again.refl", images="x_####.cbf", first_image=2)
    assert (tmp_path / "again.refl").read_bytes() == Path(files[1]).read_bytes()


def test_stills_of_a_command_line(tmp_path: Path) -> None:
    name = tmp_path / "truth.stream"
    words = [word for word in WORDS if word not in ("-osc", "0.5", "-phisteps", "5")]
    assert tools.main(["truth", "-o", str(name), "--random", "3", "--seed", "5", "--", *words]) == 0
    assert name.read_text().count("Begin chunk") == 3
    one = tmp_path / "one.expt"
    assert tools.main(["truth", "-o", str(one), "--frame", "laboratory", "--", *words]) == 0
    axes = json.loads(one.read_text())["crystal"][0]
    cell = nbragg.build_scene(nbragg.from_cli(words)).placement.crystal.unit_cell
    np.testing.assert_allclose([axes[f"real_space_{x}"] for x in "abc"], cell.vectors, atol=1e-12)


def test_fewer_reflections(tmp_path: Path) -> None:
    sizes = []
    for more in ([], ["--dmin", "20"], ["--least", "0.5"]):
        assert tools.main(["truth", "-o", str(tmp_path / "t.refl"), *more, "--", *WORDS]) == 0
        sizes.append((tmp_path / "t.refl").stat().st_size)
    assert sizes[0] > max(sizes[1:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "t.expt"], "no set-up"),
        (["-o", "t.export", "--", *WORDS], "did you mean '.expt'"),
        (["-o", "nowhere/t.expt", "--", *WORDS], "does not exist"),
        (["missing.json", "-o", "t.expt"], "missing.json"),
        (["a.json", "--recipe", "b.json", "-o", "t.expt"], "given twice"),
        (["-o", "t.expt", "--frames", "2", "--random", "2", "--", *WORDS], "exclude each other"),
        (["-o", "t.expt", "--frames", "0", "--", *WORDS], "count"),
        (["-o", "t.expt", "--frame", "lab", "--", *WORDS], "imgcif, laboratory"),
        (["-o", "t.stream", "--frames", "2", "--", *WORDS], "holds stills"),
        (["--", *WORDS], "-o"),
        (["-o", "t.refl", "--", *WORDS, "-curved_det"], "curved"),
    ],
)
def test_bad_input(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tools.main(["truth", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())

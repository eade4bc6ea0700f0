"""``nbragg spots``: the table, files, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import nbragg
from nbragg.cli import tools

LINE = "-cell 70 80 90 -default_F 100 -N 20 -distance 200 -detpixels 300 -misset 10 20 30 -physics exact"
WORDS = LINE.split()
SPOTS = nbragg.render(nbragg.build_scene(nbragg.from_cli(WORDS))).spots()


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A heading, a line for each spot, the brightest first, and what they are together."""
    assert tools.main(["spots", "--", *WORDS]) == 0
    heading, *lines, last = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        *"hkl",
        "crystal",
        "panel",
        "fast",
        "slow",
        "photons",
        "partiality",
        "d",
        "(A)",
    ]
    assert len(lines) == len(SPOTS) > 5
    assert last == f"{len(SPOTS)} spots, {SPOTS['photons'].sum():.5g} photons"
    found = [[float(word) for word in line.split()] for line in lines]
    for row, spot in zip(found, SPOTS, strict=True):
        assert row[:5] == [spot[name] for name in ("h", "k", "l", "crystal", "panel")]
        assert row[5:7] == pytest.approx([spot["fast"], spot["slow"]], abs=0.0051)
        assert row[7] == pytest.approx(spot["photons"], rel=1e-4)


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every digit of a recipe's spots in both kinds."""
    nbragg.dump(nbragg.from_cli(WORDS), tmp_path / "setup.json")
    table, rows = tmp_path / "spots.csv", tmp_path / "spots.json"
    assert tools.main(["spots", str(tmp_path / "setup.json"), "-o", str(table)]) == 0
    assert tools.main(["spots", "--recipe", str(tmp_path / "setup.json"), "-o", str(rows)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"wrote {table}: {len(SPOTS)} spots"
    with open(table) as stream:
        read = list(csv.DictReader(stream))
    for name in SPOTS.dtype.names or ():
        assert [float(row[name]) for row in read] == SPOTS[name].tolist()
        assert [row[name] for row in json.loads(rows.read_text())] == SPOTS[name].tolist()


def test_the_beams_own_misses_are_null(tmp_path: Path) -> None:
    """Of a rotation, where the mean crystal does not cross the sphere; JSON has no NaN."""
    rows = tmp_path / "spots.json"
    words = [*WORDS, "-osc", "0.5", "-phisteps", "20", "-mosaic", "0.5", "-mosaic_dom", "20"]
    assert tools.main(["spots", "-o", str(rows), "--", *words]) == 0
    parts = [row["partiality"] for row in json.loads(rows.read_text())]
    assert all(part is None or 0 < part <= 1.01 for part in parts) and len(parts) > 10


def test_fewer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    middle = float(SPOTS["photons"][len(SPOTS) // 2])
    expected = {
        ("--min-photons", repr(middle)): int((SPOTS["photons"] >= middle).sum()),
        ("--least", "0.2"): int((SPOTS["partiality"] >= 0.2).sum()),
        ("--dmin", "20"): int((SPOTS["d_A"] >= 20).sum()),
        ("-n", "3"): 3,
    }
    for words, count in expected.items():
        assert tools.main(["spots", *words, "--", *WORDS]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"{count} spots,")
        assert 0 < count < len(SPOTS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no set-up"),
        (["-o", "spots.txt", "--", *WORDS], "end the name in .csv or .json"),
        (["-n", "0", "--", *WORDS], "at least 1"),
        (["--least", "0", "--", *WORDS], "not above zero"),
        (["--min-photon", "x", "--", *WORDS], "x"),
        (["a.json", "--recipe", "b.json"], "given twice"),
        (["-o", "spots.csv", "--", *WORDS, "-curved_det"], "curved"),
    ],
)
def test_bad_input(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tools.main(["spots", *words]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())

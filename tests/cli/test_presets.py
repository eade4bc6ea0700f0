"""-preset: lists of ordinary options that make a whole experiment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nbragg
from nbragg.base.errors import InputError
from nbragg.cli.nanobragg import main
from nbragg.cli.presets import PRESETS
from nbragg.cli.words import scan
from nbragg.datasets import LYSOZYME_CELL, lysozyme
from nbragg.io import read_image
from nbragg.io.recipe import to_dict

ORIENTATION = "-misset 10 20 30 -seed 1"


@pytest.fixture(scope="module")
def hkl(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("hkl") / "lysozyme.mtz")
    lysozyme(d_min_A=8.0).save(path, cell=LYSOZYME_CELL)
    return path


def words(text: str) -> list[str]:
    return [" ".join((item.option.name, *map(str, item.values))) for item in scan(text.split())]


@pytest.mark.parametrize("name", PRESETS)
def test_structure_factors_and_an_orientation_are_enough(name: str, hkl: str) -> None:
    setup = nbragg.from_cli(f"-preset {name} -hkl {hkl} {ORIENTATION}")
    assert setup.physics == "exact"
    assert setup.detector.model and setup.response is not None and setup.backgrounds
    assert setup.surroundings is not None and setup.surroundings.beamstops
    assert setup.crystal.illuminated_volume_um3 is not None


@pytest.mark.parametrize("name", PRESETS)
def test_it_is_what_its_options_are(name: str, hkl: str) -> None:
    short = nbragg.from_cli(f"-preset {name} -hkl {hkl} {ORIENTATION}")
    long = nbragg.from_cli(f"{PRESETS[name].words} -hkl {hkl} {ORIENTATION}")
    assert to_dict(short) == to_dict(long)


@pytest.mark.parametrize("line", ["-distance 200 -preset mx", "-preset mx -distance 200"])
def test_an_option_on_the_line_replaces_that_of_the_preset(line: str) -> None:
    found = words(line)
    assert found.count("-distance 200.0") + found.count("-distance 200") == 1
    assert not any(word.startswith("-distance 300") for word in found)


def test_an_option_given_several_times_is_replaced_as_a_whole() -> None:
    found = words("-preset mx -background water,thick=0.3 -save .png")
    assert [word for word in found if word.startswith("-background ")] == ["-background water,thick=0.3"]
    assert [word for word in found if word.startswith("-save ")] == ["-save .png"]
    assert any(word.startswith("-beamstop ") for word in found)


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-preset", "mxx"]) == 2
    assert 'nanobragg: error: -preset: "mxx" is not one of mx, sfx' in capsys.readouterr().err
    with pytest.raises(InputError, match="mx, sfx"):
        nbragg.from_cli("-preset MX")


def test_a_piece_of_a_frame(hkl: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of the beam stop's shadow, of its arm, of a gap and beside them."""
    monkeypatch.chdir(tmp_path)
    line = f"-preset mx -hkl {hkl} {ORIENTATION} -roi 1200 1262 1140 1286 -phisteps 1 -noprogress"
    assert main(line.split()) == 0
    counts = read_image("mx_0001.cbf").image
    assert counts.shape == (2527, 2463) and counts.dtype == np.int32
    assert (counts[1255:1272, 1200:1263] == -1).all()  # between modules
    open_air = counts[1140:1160, 1200:1215]
    assert 3 < open_air.mean() < 30
    assert counts[1140:1160, 1230:1234].mean() < 0.3 * open_air.mean()  # behind the arm, upwards
    assert counts[1278:1284, 1225:1238].mean() < 0.3 * open_air.mean()  # behind the beam stop


def test_a_piece_of_a_still(hkl: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"-preset sfx -hkl {hkl} {ORIENTATION} -roi 100 130 100 120 -save sfx.npy -noprogress"
    assert main(line.split()) == 0
    assert not Path("sfx.nxs").exists()
    counts = np.load("sfx.npy")
    assert 0.5 < counts[..., 100:121, 100:131].mean() < 30

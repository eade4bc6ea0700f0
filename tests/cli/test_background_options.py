"""Backgrounds on command lines: -background and its keys, -stol with exact physics, ``nbragg background``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import nbragg
from nbragg import Background, RadialCurve
from nbragg.base.errors import InputError, NbraggWarning
from nbragg.cli.nanobragg import main as nanobragg
from nbragg.cli.tools import main as tool

LINE = "-cell 70 80 90 -default_F 1 -N 5 -detpixels 16 -pixel 4"
QUIET = "-nonoise -nopgm -noprogress"


@pytest.fixture
def rows(folder: Path) -> Path:
    path = folder / "mine.stol"
    path.write_text("0 2\n0.1 3\n0.3 1.5\n")
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-background water", Background("water")),
        (
            "-background water,thick=0.3,width=0.2,height=0.05,density=0.9,MW=20,molecules=1e15",
            Background("water", thickness_mm=0.3, width_mm=0.2, height_mm=0.05, density=0.9, molar_mass=20.0,
                       molecules=1e15),
        ),
        (
            "-background air,path=-30:80,segments=4,size=0.2",
            Background("air", path_mm=(-30, 80), segments=4, width_mm=0.2, height_mm=0.2),
        ),
        (
            "-background unity,size=0.2,thick=0.5,interpolation=lagrange,outside=line,sign=-1",
            Background("unity", thickness_mm=0.5, width_mm=0.2, height_mm=0.2, interpolation="lagrange",
                       outside="line", sign=-1),
        ),
        ("-background mine.stol,unit=Q", Background([[0, 2], [0.1, 3], [0.3, 1.5]], unit="Q")),
    ],
)  # fmt: skip
def test_keys(words: str, expected: Background, rows: Path) -> None:
    assert nbragg.from_cli(f"{LINE} {words}").backgrounds == (expected,)


def test_there_and_back(rows: Path, tmp_path: Path) -> None:
    """Several, in their order; a file is named as long as it holds the rows, else written anew."""
    words = "-background air,path=-3:8,segments=2 -background mine.stol,thick=0.3 -background_oversample 2"
    setup = nbragg.from_cli(f"{LINE} {words}")
    again = nbragg.to_cli(setup)
    assert "-background mine.stol,thick=0.3" in again and nbragg.from_cli(again) == setup
    rows.write_text("0 1\n")
    with pytest.raises(InputError, match="give a folder"):
        nbragg.to_cli(setup)
    with pytest.raises(InputError, match="without comma"):
        (tmp_path / "a,b").mkdir()
        nbragg.to_cli(setup, tmp_path / "a,b")
    written = nbragg.to_cli(setup, tmp_path)
    assert "background_2.stol" in written and nbragg.from_cli(written) == setup
    with pytest.raises(InputError, match="a curve of photons cannot be said"):
        nbragg.to_cli(setup.replace(backgrounds=RadialCurve([0, 1], [1, 2])))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-background watr", "-background watr: there is no material 'watr'.*did you mean 'water'"),
        ("-background water,thik=1", "there is no key 'thik'; did you mean 'thick'"),
        ("-background thick=1", "a material .water, air, helium, unity. or a file is expected"),
        ("-background water,thick", "must be key=value"),
        ("-background water,thick=0,path=1:2", "both say how thick"),
        ("-background water,unit=Q", "unit 'Q' belongs to a file"),
        ("-background water,segments=1.5", "not a whole number"),
        ("-background water,path=3", "2 numbers with a colon"),
        ("-background water,interpolation=spline", "not one of lagrange, pchip"),
        ("-background nowhere.stol", "cannot read nowhere.stol"),
        ("-background", "-background needs SPEC"),
        ("-background_oversample 0", "background_oversample must be a whole number"),
        ("-backgroun water", "did you mean -background"),
        ("-background air,path=-30:180", "air reaches from -30 to 180 mm"),
        ("-stol nowhere.stol -physics exact", "cannot read nowhere.stol"),
    ],
)
def test_bad_lines(words: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, one line, nothing written."""
    assert nanobragg(shlex.split(f"{LINE} {QUIET} {words}")) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert len(errors) == 1
    assert re.search(message, errors[0]), errors[0]
    assert not list(folder.glob("*.bin"))


def test_stol_with_exact_physics(rows: Path) -> None:
    """-stol and its companions are the keys of one -background; in nanoBragg.c they do nothing."""
    given = "-density 0.9 -molecules 1e15 -MW 20"
    for option, unit in (("-stol", "stol"), ("-4stol", "4stol"), ("-Q", "Q")):
        found = nbragg.from_cli(f"{LINE} -physics exact {option} mine.stol {given}")
        expected = Background(rows, unit=unit, density=0.9, molecules=1e15, molar_mass=20.0)
        assert found.backgrounds == (expected,)
        with pytest.warns(NbraggWarning, match=f"{option} has no effect on the image: give -background"):
            assert nbragg.from_cli(f"{LINE} {option} nowhere.stol").backgrounds == ()
    with pytest.warns(NbraggWarning, match="-density, -MW and -molecules have no effect without -stol"):
        assert nbragg.from_cli(f"{LINE} -physics exact -density 2").backgrounds == ()
    both = nbragg.from_cli(f"{LINE} -physics exact -stol mine.stol -background water")
    assert [one.table if isinstance(one.table, str) else "rows" for one in both.backgrounds] == [
        "water",
        "rows",
    ]


@pytest.mark.commands
def test_the_command_renders_and_reports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(f"{LINE} {QUIET} -flux 1e12 -background water -background air,path=-9:9")
    assert nanobragg(words) == 0
    out = capsys.readouterr().out
    assert "water, 3.346e+16 molecules" in out and "air, 4.49e+15 molecules, -9 to 9 mm" in out
    image = np.fromfile("floatimage.bin", np.float32).reshape(16, 16)
    expected = nbragg.simulate(nbragg.from_cli(words)).image
    assert np.array_equal(image, expected)
    assert nanobragg([*words, "-printout_pixel", "3", "4"]) == 0
    assert "background" in capsys.readouterr().out
    assert tool(["trace", "4", "3", "--summary", "--", *words]) == 0
    assert "background" in capsys.readouterr().out


def test_fewer_photons_than_none_and_noise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(f"{LINE} -nopgm -noprogress -flux 1e12 -seed 1 -background water,sign=-1")
    assert nanobragg(words) == 2
    err = capsys.readouterr().err
    assert "pixels are below 0" in err and "noise needs finite photon numbers of at least 0" in err
    assert not list(folder.iterdir())
    assert nanobragg([*words, "-nonoise"]) == 0


# ---- nbragg background -------------------------------------------------------------------------------------


def run(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = tool(["background", *shlex.split(words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_tool_needs_to_be_told_something(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run("", capsys)
    assert status == 2 and "usage: nbragg background" in out and "-stol FILE or --extract IMAGE" in err
    status, out, err = run("-h", capsys)
    assert status == 0 and "-Fmap" in out and "-stolout" in out and not err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-distance 100", "no table: give -stol"),
        ("-stol nowhere.stol", "cannot read nowhere.stol"),
        ("-stol water -distanc 3", "did you mean -distance.*nbragg background -h"),
        ("-stol water -cell 3", "unknown option -cell"),
        ("-stol water -thick -1", "thickness_mm must be"),
        ("-stol water -detpixels 8 -Fmap -curved_det", "leave out -curved_det"),
        ("-stol water -fdet_vector 1 0 0 -sdet_vector 2 0 0", "are parallel"),
        ("-stol water --recipe x.json", "describe the image of --extract"),
        ("--extract nowhere.img", "nowhere.img"),
        ("--extract x.img --recipe a.json -- -cell 3", "either --recipe or a nanobragg command line"),
        ("-stol water -statistic mode", "not one of clipped, mean, median"),
    ],
)
def test_bad_lines_of_the_tool(
    words: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(f"{words} {QUIET}" if " -- " not in words else words, capsys)
    assert status == 2 and re.search(message, err), err
    assert not list(folder.iterdir())


def test_defaults_are_those_of_nonbragg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beam centre, pivot and two-theta axis differ from nanobragg's (beyond 12.9)."""
    from nbragg.cli import nonbragg
    from nbragg.cli.words import scan

    def panel(words: str) -> nbragg.Scene:
        line = shlex.split(f"-stol water -detpixels 100 -pixel 0.5 {words}")
        return nbragg.build_scene(nonbragg.build(nonbragg.settings_of(scan(line, nonbragg.TABLE))).setup)

    plain = panel("").panel
    assert plain.pix0 * 1e3 == pytest.approx([100, 25.25, -24.75])  # (df - px)/2 fast, (ds + px)/2 slow
    assert panel("-ORGX 40.5 -ORGY 70").panel.pix0 * 1e3 == pytest.approx([100, 35, -20.25])
    assert panel("-Xbeam 12 -Ybeam 13").panel.pix0 * 1e3 == pytest.approx([100, 13, -12])
    swung = panel("-twotheta 20").placement.panel
    assert swung.pivot == "sample" and swung.twotheta_axis.tolist() == [0, 1, 0]
    for words, pivot in (
        ("-twotheta 20 -distance 90", "beam"),
        ("-distance 90 -Xclose 3", "sample"),
        ("-Xclose 3 -pivot beam", "beam"),
        ("-pivot beam -ORGX 3", "sample"),
    ):
        assert panel(words).placement.panel.pivot == pivot, words
    assert panel("-fdet_vector 0 1 0 -sdet_vector 0 0 1").panel.odet.tolist() == [1, 0, 0]
    two = panel("-oversample 3").backdrop
    assert two is not None and two.oversample == 3


def test_the_table_of_an_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the options of nonBragg.c, by a nanobragg command line, by a recipe: the same."""
    common = "-detpixels 128 -pixel 0.8 -flux 1e12 -exposure 0.1"
    status, _, err = run(f"-stol water {common} -thick 0.3 {QUIET} -floatfile image.bin", capsys)
    assert status == 0, err
    image = np.fromfile("image.bin", np.float32).reshape(128, 128)
    np.save("image.npy", image)
    status, out, err = run(f"--extract image.npy -o one.stol {common} -thick 0.3 -adc 0 -bins 80", capsys)
    assert status == 0 and "wrote one.stol:" in out, err
    table = np.loadtxt("one.stol")
    water = Background("water").amplitude(table[:, 0])
    np.testing.assert_allclose(table[:, 1], water, rtol=3e-3)
    geometry = "-fdet_vector 0 0 1 -Xbeam 50.8 -Ybeam 51.6"  # the beam as nonBragg.c has it
    line = f"-cell 70 80 90 -default_F 1 {common} {geometry} -physics exact -background water,thick=0.3"
    assert run(f"--extract image.npy -o two.stol -adc 0 -bins 80 -- {line}", capsys)[0] == 0
    np.testing.assert_allclose(np.loadtxt("two.stol"), table, rtol=1e-4)
    nbragg.dump(nbragg.from_cli(line), "setup.json")
    assert run("--extract image.npy -o three.stol -adc 0 -bins 80 --recipe setup.json", capsys)[0] == 0
    assert Path("three.stol").read_text() == Path("two.stol").read_text()
    values = np.where(np.arange(128) % 3 == 0, 7.0, image)
    np.save("image.npy", values)
    assert (
        run(f"--extract image.npy -o four.stol {common} -thick 0.3 -adc 0 -bins 60 -ignore 7", capsys)[0] == 0
    )
    found = np.loadtxt("four.stol")
    np.testing.assert_allclose(found[:, 1], Background("water").amplitude(found[:, 0]), rtol=5e-3)

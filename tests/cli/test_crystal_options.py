"""Options of crystals beyond the reference program's: what they set, and refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nbragg
from nbragg.cli.nanobragg import main

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

BASE = "-cell 50 60 70 90 90 90 -default_F 50 -N 5 -detpixels 24 -distance 60 -pixel 2 -noprogress"


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("-gauss_star", {"shape": "gauss_star"}),
        ("-gauss_xtal -Ndef 0.5 -0.2 0.1", {"Ndef": (0.5, -0.2, 0.1)}),
        ("-no_N_scale", {"no_N_scale": True}),
        (
            "-N_distribution lognormal:0.2 -N_domains",
            {"N_distribution": ("lognormal", 0.2), "N_domains": True},
        ),
        ("-N_distribution lognormal:0.2:0:0.1", {"N_distribution": ("lognormal", (0.2, 0.0, 0.1))}),
        ("-N_distribution uniform:20:90", {"N_distribution": ("uniform", 20.0, 90.0)}),
        ("-normalise_shape", {"normalise_shape": True}),
        ("-twin 0.3:-h,-k,l -twin 0.2:h,-k,-l", {"twin": (("-h,-k,l", 0.3), ("h,-k,-l", 0.2))}),
        ("-mosaic_aniso 0.1 0.2 0.4", {"mosaic_spread_deg": (0.1, 0.2, 0.4), "mosaic": "gauss"}),
        ("-mosaic 0.3 -mosaic_kind angle", {"mosaic_spread_deg": 0.3, "mosaic": "angle"}),
        ("-mosaic_aniso 1 2 3 -mosaic_axes a*", {"mosaic_axes": "a*"}),
        ("-mosaic 0.3 -mosaic_kind gauss -mosaic_set antithetic", {"mosaic_set": "antithetic"}),
        ("-cell_spread 0.003", {"cell_spread": 0.003}),
        ("-cell_spread_edges 0.003 0 0.001", {"cell_spread": (0.003, 0.0, 0.001)}),
    ],
)
def test_what_an_option_sets(words: str, fields: dict[str, object]) -> None:
    setup = nbragg.from_cli(f"{BASE} {words}")
    for name, value in fields.items():
        assert getattr(setup.crystal, name) == value
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


def test_spread_of_the_line_is_that_of_the_reference() -> None:
    plain, cap = (nbragg.from_cli(f"{BASE} -mosaic 1 {more}") for more in ("", "-mosaic_kind cap"))
    one, other = (nbragg.build_scene(setup).crystals[0].orientations for setup in (plain, cap))
    assert np.array_equal(one, other)


def test_recipes_keep_all_of_it(folder: Path) -> None:
    base = nbragg.from_cli(f"{BASE} -gauss_xtal")
    turns = np.stack([np.eye(3)] * 8)
    for fields in (
        {"mosaic_set": np.array([[0.01, 0, 0], [0, 0.02, 0]]), "mosaic_weights": (1, 2)},
        {"mosaic_set": turns},
        {"mosaic_set": "antithetic", "mosaic_axes": np.eye(3), "mosaic_spread_deg": (1, 2, 3)},
        {"mosaic_spread_deg": (1, 2, 3, 0, 0, 0.1), "cell_spread": (0.1, 0, 0, 0, 0, 0.01)},
        {"twin": [("-h,-k,l", 0.3), (np.diag([1, -1, -1]), 0.1)], "Ndef": (0.1, 0.2, 0.3)},
    ):
        setup = base.replace(**fields)
        for name in ("one.json", "one.yaml"):
            nbragg.dump(setup, name)
            assert nbragg.load(name) == setup


def test_lattices_of_a_line() -> None:
    setup = nbragg.from_cli(f"{BASE} -lattices 3 -misset 10 20 30 -misset_seed 4")
    assert len(setup.sample) == 3
    assert setup.sample.crystals[0].misset_deg == (10, 20, 30)
    again = nbragg.from_cli(f"{BASE} -lattices 3 -misset 10 20 30 -misset_seed 4")
    assert setup == again
    other = nbragg.from_cli(f"{BASE} -lattices 3 -misset 10 20 30 -misset_seed 5")
    assert other.sample.crystals[0].misset_deg == (10, 20, 30)
    one, another = (found.sample.crystals[1].orientation for found in (setup, other))
    assert np.abs(one - another).max() > 0.01


def test_crystals_from_files(folder: Path) -> None:
    other = nbragg.from_cli(f"{BASE} -cell 80 80 40 -misset 1 2 3")
    nbragg.dump(other.crystal, "crystal.json")
    nbragg.dump(other.replace(sample=nbragg.Sample([other.crystal], weights=[0.4])), "setup.yaml")
    setup = nbragg.from_cli(f"{BASE} -crystal crystal.json -crystal setup.yaml -osc 1 -phisteps 2")
    assert setup.sample.weights == (1, 1, 0.4)
    assert setup.sample.crystals[2].cell[:3] == (80, 80, 40)
    assert {crystal.osc_deg for crystal in setup.sample.crystals} == {1.0}


def test_images_in_several_lattices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by its number and the seed alone; a row of the table for each lattice, none for a blank."""
    assert main(f"{BASE} -random 8 -lattices poisson:1.2 -misset_seed 3 -nopgm -nonoise".split()) == 0
    table = Path("floatimage_orientations.csv").read_text().splitlines()[1:]
    numbers = [int(row.split(",")[0]) for row in table]
    counts = [nbragg.Lattices(mean=1.2).count(3, i) for i in range(8)]
    assert [numbers.count(i + 1) for i in range(8)] == counts
    assert 0 in counts and max(counts) > 1
    shown = capsys.readouterr().out
    assert "no crystal" in shown and " more" in shown
    images = sorted(Path().glob("floatimage_*.bin"))
    assert [bool(np.fromfile(path, np.float32).any()) for path in images] == [count > 0 for count in counts]


def test_report_of_twins_and_lattices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "-gauss_star -twin 0.3:h,-k,-l -lattices 2 -misset_seed 3 -nopgm -nonoise"
    assert main(f"{BASE} {words}".split()) == 0
    shown = capsys.readouterr().out
    assert "gauss_star" in shown and "twin individuals" in shown and "lattices" in shown


def test_report_of_sizes_of_domains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their blocks are one crystal, not several lattices."""
    sizes = "-mosaic 0.5 -mosaic_dom 4 -N_distribution lognormal:0.4 -N_domains"
    assert main(f"{BASE} {sizes} -twin 0.3:-h,-k,l -nopgm -nonoise".split()) == 0
    shown = capsys.readouterr().out
    assert "mosaic domains      4 over 0.5 deg" in shown and "the first of 4 sizes" in shown
    assert "twin individuals    1 more" in shown and "lattices" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-gauss_stars", "did you mean -gauss_star"),
        ("-N_distribution lognormal", "lognormal:SIGMA"),
        ("-N_distribution uniform:90:20", "largest size"),
        ("-N_distribution normal:1", "lognormal:SIGMA"),
        ("-twin -h,-k,l", "unknown option|needs FRACTION"),
        ("-twin 0.3", "a fraction and a law"),
        ("-twin x:-h,-k,l", "-twin x:-h,-k,l"),
        ("-twin 0.3:-h,-k", "three terms"),
        ("-lattices some", "-lattices"),
        ("-lattices gauss:2", "poisson:MEAN"),
        ("-lattices -2", "number of lattices"),
        ("-crystal missing.json", "missing.json"),
        ("-Ndef 1 2", "-Ndef needs"),
        ("-Ndef 1 2 3", "gauss and tophat"),
        ("-mosaic_kind gaus", "cap, angle, gauss"),
        ("-mosaic_set even", "random, lattice, antithetic"),
        ("-mosaic 1 -mosaic_set lattice -mosaic_kind cap", 'mosaic "gauss"'),
        ("-cell_spread 2", "cell_spread"),
        ("-cell_spread_edges 0.1 0.1", "-cell_spread_edges needs"),
        ("-mosaic_aniso 1 2", "-mosaic_aniso needs"),
    ],
)
def test_bad_options(words: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"{BASE} {words}".split()) == 2
    said = capsys.readouterr().err
    assert any(part in said for part in message.split("|")), said
    assert not list(folder.iterdir())

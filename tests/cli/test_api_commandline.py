"""Set-ups from command lines and back."""

from __future__ import annotations

from pathlib import Path

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import InputError

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

PLAIN = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -detpixels 32"


@pytest.mark.parametrize("case_id", g.IDS)
def test_round_trip_of_every_golden_line(case_id: str, folder: Path) -> None:
    g.prepare(case_id, folder)
    setup = nbragg.from_cli(g.arguments(case_id))
    line = g.command_line(g.arguments(case_id))
    assert setup == line.setup
    again = nbragg.from_cli(nbragg.to_cli(setup))
    assert again == setup
    assert hash(again) == hash(setup)


@pytest.mark.parametrize("case_id", ["hkl/hewl_still", "crystal/mat_file", "beam/sourcefile", "output/mask"])
def test_files_are_written_where_there_are_none(case_id: str, folder: Path) -> None:
    """Without their names the contents go to new files, to the last place or the one before."""
    g.prepare(case_id, folder)
    setup = nbragg.from_cli(g.arguments(case_id)).replace(files=())
    with pytest.raises(InputError, match="give a folder"):
        nbragg.to_cli(setup)
    again = nbragg.from_cli(nbragg.to_cli(setup, folder))
    one, two = nbragg.simulate(setup), nbragg.simulate(again)
    assert np.abs(one.image - two.image).max() <= 1e-6 * one.image.max()
    if case_id in ("hkl/hewl_still", "output/mask"):
        assert again == setup


def test_a_changed_part_is_not_taken_from_its_old_file(folder: Path) -> None:
    setup = nbragg.from_cli(g.arguments("hkl/hewl_still"))
    values = setup.crystal.structure_factors.values
    assert values is not None
    factors = setup.crystal.structure_factors.replace(values=2 * values)
    doubled = setup.replace(crystal=setup.crystal.replace(structure_factors=factors))
    assert "hewl_p1" in nbragg.to_cli(setup)
    with pytest.raises(InputError, match="-dump takes a file"):
        nbragg.to_cli(doubled)
    assert nbragg.from_cli(nbragg.to_cli(doubled, folder)) == doubled


def test_what_is_made_of_a_model_depends_on_the_detector(folder: Path) -> None:
    """The model's name serves as long as it gives the same reflections."""
    model = Path(__file__).parents[1] / "data" / "5e5z.pdb"
    setup = nbragg.from_cli(f"-hkl {model} -N 5 -detpixels 32")
    assert "5e5z.pdb" in nbragg.to_cli(setup)
    nearer = setup.replace(detector=setup.detector.replace(distance_mm=50))
    with pytest.raises(InputError, match="read again"):
        nbragg.to_cli(nearer)
    assert nbragg.from_cli(nbragg.to_cli(nearer, folder)) == nearer


@pytest.mark.parametrize(
    "words",
    [
        "-misset random -misset_seed 7",
        "-beam_vector 1 0.1 0 -Xclose 3 -distance 80",
        "-physics exact -dials -pivot beam -twotheta 4",
        "-physics exact -pix0_vector 0.1 0 0 -xds",
        "-fdet_vector 0 0 1 -mosflm",
        "-detector_abs inf -detector_thick 100",
        "-beamsize -1 -flux 1e12",
        "-polar 0.5 -nopolar -square_div -divergence 2 -divsteps 3",
        "-roi 1 5 2 6 -nointerpolate -water 3 -dmin 2",
        "-xtalsize 0.001 -oversample 2 -oversample_omega -curved_det",
    ],
)
def test_round_trip_of_other_lines(words: str, folder: Path) -> None:
    setup = nbragg.from_cli(f"nanobragg {PLAIN} {words}")
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


def test_python_setups_give_the_same_image(folder: Path) -> None:
    """What has no spelling of its own becomes one that means the same."""
    start = nbragg.from_cli(PLAIN)
    turn = nbragg.random_orientations(1, seed=4)[0]
    for setup in (
        start.replace(crystal=start.crystal.with_orientation(turn)),
        start.replace(beam=start.beam.replace(beam_vector=(1, 0.02, 0))),
        start.replace(detector=start.detector.replace(convention="custom", ORGX=12.0)),
        start.replace(detector=start.detector.replace(convention="xds", fdet_vector=(0, 1, 0))),
    ):
        again = nbragg.from_cli(nbragg.to_cli(setup))
        one, two = nbragg.simulate(setup).image, nbragg.simulate(again).image
        assert np.abs(one - two).max() <= 1e-6 * one.max()


def test_bad_lines(folder: Path) -> None:
    with pytest.raises(InputError, match="-misett"):
        nbragg.from_cli(f"{PLAIN} -misett 1 2 3")
    with pytest.raises(InputError, match="describes no image"):
        nbragg.from_cli("-h")
    with pytest.raises(InputError, match="unit cell"):
        nbragg.from_cli("")
    assert not list(folder.iterdir())


def test_outputs_are_no_matter(folder: Path) -> None:
    assert nbragg.from_cli(f"{PLAIN} -floatfile /nowhere/at/all.bin") == nbragg.from_cli(PLAIN)


def test_what_a_command_line_cannot_say(folder: Path) -> None:
    setup = nbragg.from_cli(PLAIN)
    panel = nbragg.Panel(
        origin_mm=(100, 1, -1), fast=(0, 0, 1), slow=(0, -1, 0), fpixels=8, spixels=8, pixel_mm=0.1
    )
    for other, said in (
        (setup.replace(sample=nbragg.Sample([setup.crystal, setup.crystal])), "a sample of 2 crystals"),
        (setup.replace(sample=nbragg.Sample([setup.crystal], weights=[0.5])), "weight"),
        (setup.replace(detector=nbragg.Detector(panels=[panel, panel])), "a detector of 2 panels"),
        (setup.replace(pixel_mm=(0.1, 0.2)), "rectangular pixels"),
    ):
        with pytest.raises(InputError, match=f"{said}.* cannot be said in a command line.*nbragg.dump"):
            nbragg.to_cli(other, folder)
    assert not list(folder.iterdir())


def test_physics_is_the_commands(folder: Path) -> None:
    """A line without -physics means what the command makes of it; set-ups made in Python are exact."""
    setup = nbragg.from_cli(PLAIN)
    assert setup.physics == "nanobragg"
    assert nbragg.from_cli(f"{PLAIN} -physics exact").physics == "exact"
    made = nbragg.Setup(setup.crystal, setup.beam, setup.detector)
    assert made.physics == "exact" and nbragg.from_cli(nbragg.to_cli(made)) == made

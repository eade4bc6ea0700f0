"""-geometry and -expt: what the file says, what options say instead, what is asked for or refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from geometry_files import crystal_of, expt_of, geom_text

import nbragg
from nbragg import Panel
from nbragg.cli.nanobragg import main
from nbragg.io.geometry.record import Geometry

CELL = "-cell 40 50 60 90 90 90 -default_F 10 -N 3"
A = np.diag([1 / 40, 1 / 50, 1 / 60])
PANEL = Panel(origin_mm=(-8, 8, -60), fast=(1, 0, 0), slow=(0, -1, 0), fpixels=16, spixels=16, pixel_mm=1.0)
GEOMETRY = Geometry(
    panels=(PANEL,), frame="dxtbx laboratory", beam_vector=(0, 0, -1), wavelength_A=1.1,
    polar_vector=(1, 0, 0), polarization=0.9, spindle_axis=(1, 0, 0),
)  # fmt: skip
HIERARCHY = Path(__file__).parents[1] / "data" / "hierarchical.expt"
SCAN = {"image_range": [1, 4], "oscillation": [5.0, 0.5]}


@pytest.fixture
def files(folder: Path) -> Path:
    """The current folder with scan.expt, still.expt and two.geom."""
    scan = expt_of(GEOMETRY, crystal=[crystal_of(A)], scan=[SCAN])
    (folder / "scan.expt").write_text(json.dumps(scan))
    (folder / "flat.expt").write_text(json.dumps(expt_of(GEOMETRY)))
    (folder / "two.geom").write_text(geom_text("", "coffset=0.001|corner_x=8"))
    (folder / "one.geom").write_text(geom_text(top="clen = /LCLS/clen\nphoton_energy = /LCLS/eV"))
    return folder


def cli(words: str) -> nbragg.Setup:
    return nbragg.from_cli(words)


def test_geometry_gives_detector_beam_and_spindle(files: Path) -> None:
    setup = cli(f"{CELL} -geometry flat.expt -osc 1")
    assert setup.detector.panels == (PANEL,) and setup.detector.convention == "custom"
    beam = setup.beam
    assert (beam.wavelength_A, beam.beam_vector, beam.polarization) == (1.1, (0, 0, -1), pytest.approx(0.9))
    assert setup.crystal.spindle_axis == (1, 0, 0)
    scene = nbragg.build_scene(setup)
    assert scene.panel.beam == pytest.approx((0, 0, -1))
    assert (setup.physics, scene.placement.phisteps) == ("nanobragg", 2)


def test_options_win_where_they_mean_something(files: Path) -> None:
    setup = cli(
        f"{CELL} -lambda 1.5 -geometry flat.expt -polar -0.2 -polar_vector 0 1 0 -spindle_axis 0 1 0 "
        "-fluence 1e20 -detector_thick 300 -detector_abs 200 -thicksteps 4 -osc 1"
    )
    beam = setup.beam
    assert (beam.wavelength_A, beam.polarization, beam.fluence) == (1.5, -0.2, 1e20)
    assert (beam.polar_vector, setup.crystal.spindle_axis) == ((0, 1, 0), (0, 1, 0))
    (panel,) = setup.detector.panels
    assert (panel.thickness_um, panel.attenuation_um, panel.thicksteps) == (300, 200, 4)
    assert cli(f"{CELL} -geometry flat.expt -energy 12398.4198").beam.wavelength_A == pytest.approx(1.0)


@pytest.mark.parametrize(
    "option",
    [
        "-distance 100", "-close_distance 100", "-Xbeam 1", "-ORGX 4", "-pixel 0.1", "-detpixels 9",
        "-detsize 9", "-xds", "-mosflm", "-pivot beam", "-detector_rotx 1", "-twotheta 3",
        "-fdet_vector 1 0 0", "-twotheta_axis 1 0 0", "-pix0_vector 1 0 0",
        "-curved_det", "-point_pixel", "-img nothing.img",
    ],
)  # fmt: skip
def test_what_places_a_detector_is_refused(files: Path, option: str) -> None:
    name = option.split()[0]
    if name == "-img":
        nbragg.io.save_image(
            "nothing.img",
            np.ones((16, 16), np.uint16),
            scene=nbragg.build_scene(cli(CELL + " -detpixels 16")),
        )
    with pytest.raises(nbragg.InputError, match=f"{name}: -geometry flat.expt says where the detector is"):
        cli(f"{CELL} {option} -geometry flat.expt")


@pytest.mark.parametrize("option", ["-geometry", "-expt"])
def test_a_missing_file_is_said_before_what_it_would_refuse(option: str) -> None:
    with pytest.raises(nbragg.FileError, match=r"nosuch\.expt does not exist"):
        cli(f"{CELL} -distance 100 {option} nosuch.expt")


def test_both_files_are_refused(files: Path) -> None:
    with pytest.raises(nbragg.InputError, match="give one of them"):
        cli("-default_F 1 -geometry flat.expt -expt scan.expt")


def test_what_the_file_does_not_say_is_asked_for(files: Path) -> None:
    with pytest.raises(
        nbragg.InputError, match=r"does not say the polarization.*-polar or -nopolar on a command"
    ):
        cli(f"{CELL} -geometry two.geom")
    assert cli(f"{CELL} -geometry two.geom -nopolar").beam.nopolar
    with pytest.raises(
        nbragg.InputError, match=r"two\.geom does not say about which axis.*-spindle_axis X Y Z"
    ):
        cli(f"{CELL} -geometry two.geom -polar 0.9 -osc 1")
    setup = cli(f"{CELL} -geometry two.geom -polar 0.9 -osc 1 -spindle_axis 0 1 0")
    assert len(setup.detector.panels) == 2
    with pytest.raises(nbragg.InputError, match="clen = /LCLS/clen is a location"):
        cli(f"{CELL} -geometry one.geom -polar 0.9 -lambda 1")


def test_mask_and_region_are_for_one_panel(files: Path) -> None:
    mask = np.ones((16, 16), np.uint16)
    mask[3, 4] = 0
    other = cli(CELL + " -detpixels 16 -lambda 3 -phi 77")
    nbragg.io.save_image("mask.img", mask, scene=nbragg.build_scene(other))
    setup = cli(f"{CELL} -geometry flat.expt -mask mask.img -roi 2 9 1 5")
    (panel,) = setup.detector.panels
    assert panel.mask is not None and panel.mask[3, 4] == 0 and panel.mask.sum() == 255
    assert panel.roi == (2, 9, 1, 5)
    # nothing else of the mask's header counts
    assert (setup.beam.wavelength_A, setup.crystal.phi_deg) == (1.1, 0)
    for option in ("-roi 0 3 0 3", "-mask mask.img"):
        with pytest.raises(nbragg.InputError, match=r"is for one panel; two\.geom has 2"):
            cli(f"{CELL} -geometry two.geom -polar 0 {option}")


def test_expt_gives_crystal_and_first_image(files: Path) -> None:
    setup = cli("-default_F 10 -N 3 -expt scan.expt")
    crystal = setup.crystal
    assert np.abs(crystal.a_matrix - A).max() < 1e-17
    assert (crystal.phi_deg, crystal.osc_deg, crystal.spindle_axis) == (5, 0.5, (1, 0, 0))
    own = cli("-default_F 10 -N 3 -expt scan.expt -phi 3 -osc 2 -misset 1 2 3").crystal
    assert (own.phi_deg, own.osc_deg, own.misset_deg) == (3, 2, (1, 2, 3))


def test_a_cell_beside_expt_is_refused(files: Path) -> None:
    with pytest.raises(nbragg.InputError, match=r"-cell: -expt scan\.expt says cell and orientation"):
        cli(f"{CELL} -expt scan.expt")
    with pytest.raises(nbragg.InputError, match="says no crystal"):
        cli("-default_F 1 -expt flat.expt")


def test_only_the_first_experiment_is_taken_and_said(files: Path) -> None:
    with pytest.warns(nbragg.NbraggWarning, match="holds 3 experiments: the first is taken"):
        setup = cli(f"-default_F 10 -expt {HIERARCHY}")
    assert len(setup.detector.panels) == 4


def test_the_command_renders(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same image as by the library, and a report that names the panel's place."""
    words = "-default_F 10 -N 3 -expt scan.expt -oversample 1 -phisteps 2"
    assert main(f"{words} -noprogress -nonoise".split()) == 0
    image = np.fromfile("floatimage.bin", np.float32).reshape(16, 16)
    setup = cli(words)
    assert np.array_equal(image, nbragg.simulate(setup).image)
    assert "first pixel corner  -8 8 -60 mm" in capsys.readouterr().out


def test_frames_follow_the_scan(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "-default_F 10 -N 3 -expt scan.expt -oversample 1 -noprogress -nonoise -nopgm -frames"
    assert main(f"{words} 3".split()) == 0
    out = capsys.readouterr().out
    assert "5 to 5.5" in out and "6 to 6.5" in out
    experiments = nbragg.read_experiments("scan.expt")
    factors = nbragg.StructureFactors.constant(10)
    for i in range(3):
        setup = experiments.setup(factors, image=i, N=(3, 3, 3), oversample=1, physics="nanobragg")
        image = np.fromfile(f"floatimage_{i + 1:04d}.bin", np.float32).reshape(16, 16)
        assert np.array_equal(image, nbragg.simulate(setup).image)
    assert main(f"{words} 5".split()) == 2
    assert "the scan has 4 images; 5 were asked for" in capsys.readouterr().err
    # a rotation of one's own is not the file's
    assert main(f"{words} 5 -osc 2".split()) == 0
    assert "13 to 15" in capsys.readouterr().out


def test_frames_of_a_crystal_that_varies(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = expt_of(GEOMETRY, crystal=[crystal_of(A)], scan=[SCAN])
    points = [(A * (1 + 0.01 * i)).ravel().tolist() for i in range(5)]
    document["crystal"][0]["A_at_scan_points"] = points
    (files / "varying.expt").write_text(json.dumps(document))
    words = "-default_F 10 -N 3 -expt varying.expt -oversample 1 -noprogress -nonoise -nopgm -frames 2"
    assert main(words.split()) == 0
    experiments = nbragg.read_experiments("varying.expt")
    setup = experiments.setup(
        nbragg.StructureFactors.constant(10), image=1, N=(3, 3, 3), oversample=1, physics="nanobragg"
    )
    image = np.fromfile("floatimage_0002.bin", np.float32).reshape(16, 16)
    assert np.array_equal(image, nbragg.simulate(setup).image)
    capsys.readouterr()
    assert main([*words.split(), "-osc", "1"]) == 2
    assert "-osc: the crystal of varying.expt varies along its scan" in capsys.readouterr().err


def test_several_panels_are_reported(files: Path) -> None:
    from nbragg.cli import report
    from nbragg.cli.parser import parse

    command = parse(f"{CELL} -geometry two.geom -polar 0.9".split())
    lines = "\n".join(report.scene_lines(command, nbragg.build_scene(command.setup)))
    assert "2 of 10 x 5 pixels (fast x slow)" in lines and "every panel" in lines


@pytest.mark.parametrize("option", ["-geometry", "-expt"])
def test_a_file_that_is_missing_or_of_another_kind(files: Path, option: str) -> None:
    with pytest.raises(nbragg.FileError, match="does not exist"):
        cli(f"{CELL if option == '-geometry' else '-default_F 1'} {option} no.expt")
    (files / "text.txt").write_text("nothing here\n")
    with pytest.raises(nbragg.FileError, match=r"text\.txt (says no geometry|holds no DIALS)"):
        cli(f"{CELL if option == '-geometry' else '-default_F 1'} {option} text.txt")

"""Options of what stands in the way of the light: what each sets, there and back, and every mistake named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from bad_input import GOOD
from geometry_files import expt_of

import nbragg
from nbragg import Aperture, Beamstop, Material, SampleAbsorption, Shadow, Surroundings, Window
from nbragg.io.geometry.record import Geometry

LINE = "-cell 70 80 90 -default_F 100 -N 5 -detpixels 16 -distance 100"


def around(options: str) -> Surroundings:
    found = nbragg.from_cli(f"{LINE} {options}").surroundings
    assert found is not None
    return found


CASES = {
    "-air_path": Surroundings(gas="air"),
    "-helium_path -vacuum_path 30": Surroundings(gas="helium", vacuum_mm=30),
    "-air_path -gas_path Ar:1.66e-3": Surroundings(gas=Material("Ar", 1.66e-3)),
    "-window Kapton,thick=25 -window SiO2:2.2,thick=10,normal=1:0:-0.5,distance=5": Surroundings(
        windows=[
            Window(material="Kapton", thickness_um=25),
            Window(material=Material("SiO2", 2.2), thickness_um=10, normal=(1, 0, -0.5), distance_mm=5),
        ]
    ),
    "-window Be,thick=300,normal=radial": Surroundings(
        windows=Window(material="Be", thickness_um=300, normal="radial")
    ),
    "-beamstop distance=30,diameter=2,arm=0.3,angle=90,centre=0.1:-0.2,transmission=1e-3": Surroundings(
        beamstops=Beamstop(
            distance_mm=30,
            diameter_mm=2,
            arm_width_mm=0.3,
            arm_angle_deg=90,
            centre_mm=(0.1, -0.2),
            transmission=1e-3,
        )
    ),
    "-aperture distance=-10,diameter=0.5 -aperture distance=3,diameter=4": Surroundings(
        apertures=[Aperture(distance_mm=-10, diameter_mm=0.5), Aperture(distance_mm=3, diameter_mm=4)]
    ),
    "-shadow polygon=0.2:-0.1:5:-0.5:5:0.5,distance=2": Surroundings(
        shadows=Shadow(distance_mm=2, polygon_mm=[(0.2, -0.1), (5, -0.5), (5, 0.5)])
    ),
    "-sample_absorption water,radius=0.2": Surroundings(
        sample_absorption=SampleAbsorption(material="water", radius_mm=0.2)
    ),
    "-sample_absorption Si,thick=0.1,normal=1:0:0.2,at=0.01:0:0": Surroundings(
        sample_absorption=SampleAbsorption(
            material="Si", thickness_mm=0.1, normal=(1, 0, 0.2), crystal_at_mm=(0.01, 0, 0)
        )
    ),
    "-upstream Al,thick=100 -upstream air,thick=3e5": Surroundings(upstream=[("Al", 100.0), ("air", 3e5)]),
    "-direct_beam": Surroundings(direct_beam=True),
}


@pytest.mark.parametrize("options", CASES)
def test_there_and_back(options: str) -> None:
    """The record, and by `to_cli` the same record again."""
    setup = nbragg.from_cli(f"{LINE} {options}")
    assert setup.surroundings == CASES[options]
    again = nbragg.from_cli(nbragg.to_cli(setup))
    assert again == setup and again.surroundings == CASES[options]


def test_nothing_said_is_nothing_there() -> None:
    assert nbragg.from_cli(LINE).surroundings is None


def test_sensors_by_material() -> None:
    line = f"{LINE} -detector_material CdTe -detector_thick 750 -detector_front Al,thick=0.5 -lambda 0.8"
    setup = nbragg.from_cli(line)
    assert setup.detector.material == "CdTe" and setup.detector.front == (("Al", 0.5),)
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup
    mu = nbragg.attenuation("CdTe", 12398.42 / 0.8, kind="photo")
    assert nbragg.build_scene(setup).panel.mu == pytest.approx(mu, rel=1e-14)
    other = nbragg.from_cli(f"{LINE} -detector_material CdZnTe2:5.8 -detector_thick 750")
    assert other.detector.material == Material("CdZnTe2", 5.8)
    assert nbragg.from_cli(nbragg.to_cli(other)) == other
    said = nbragg.from_cli(f"{line} -detector_abs 100")
    assert nbragg.build_scene(said).panel.mu == pytest.approx(1e4, rel=1e-14)


def test_panels_of_a_file_take_the_sensor(folder: Path) -> None:
    """Instead of what the file says of its attenuation, unless -detector_abs says it."""
    panel = nbragg.Panel(
        origin_mm=(-8, 8, -60), fast=(1, 0, 0), slow=(0, -1, 0), fpixels=16, spixels=16, pixel_mm=1.0
    )
    geometry = Geometry(
        panels=(panel,),
        frame="dxtbx laboratory",
        beam_vector=(0, 0, -1),
        wavelength_A=1.1,
        polar_vector=(1, 0, 0),
        polarization=0.9,
    )
    Path("flat.expt").write_text(json.dumps(expt_of(geometry)))
    line = "-default_F 1 -cell 70 80 90 -geometry flat.expt -detector_material Si -detector_thick 320"
    for more, expected in (("", None), (" -detector_abs 200", 200.0)):
        (panel,) = nbragg.from_cli(line + more + " -detector_front Al,thick=1").detector.panels
        assert (panel.material, panel.front) == ("Si", (("Al", 1.0),))
        assert panel.attenuation_um == expected


def test_an_image_by_the_command(folder: Path) -> None:
    """100 mm of air, and the shadow of a stop, in what `nanobragg` writes."""
    from nbragg.cli.nanobragg import main

    line = "-cell 70 80 90 -default_F 100 -N 2 -detpixels 41 -distance 100 -physics exact -nopgm -nonoise"
    images = []
    for name, more in (("free", ""), ("air", " -air_path -beamstop distance=40,diameter=0.41")):
        assert main(f"{line} -floatfile {name}.bin -intfile {name}.img -noprogress{more}".split()) == 0
        images.append(np.fromfile(f"{name}.bin", "<f4").reshape(41, 41))
    dark = images[1] == 0
    assert abs(dark.sum() - math.pi * 5.125**2) < 2 * math.pi * 5.125
    ratio = images[1][~dark] / images[0][~dark]
    np.testing.assert_allclose(ratio, 0.9675, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-window Kaptn,thick=25", ("-window Kaptn,thick=25", "did you mean 'Kapton'")),
        ("-window Kapton,thic=25", ("no key 'thic'", "did you mean 'thick'")),
        ("-window Kapton", ("-window Kapton", "Window needs thick")),
        ("-window thick=25", ("it must begin with a material",)),
        ("-window Kapton,thick=-1", ("thick must be a finite number at least 0",)),
        ("-window Kapton,thick=1,normal=detektor", ("normal must be one of", "'detector'")),
        ("-window Kapton,thick=1,normal=radial,distance=3", ("a radial window has no distance",)),
        ("-window XyO:2,thick=1", ("'XyO' is not a chemical formula", "'Xy' is no element")),
        ("-window SiO2:heavy,thick=1", ("heavy", "is not a number")),
        ("-beamstop diameter=2", ("Beamstop needs distance",)),
        ("-beamstop disc,distance=3,diameter=2", ('"disc" must be key=value',)),
        ("-beamstop distance=0,diameter=2", ("distance must not be 0",)),
        ("-beamstop distance=3,diamter=2", ("no key 'diamter'", "did you mean 'diameter'")),
        ("-beamstop distance=3,diameter=2,transmission=1.5", ("at most 1, not 1.5",)),
        ("-aperture distance=3,diameter=0", ("diameter must be a finite number above 0",)),
        ("-shadow distance=3,polygon=0:0:1:1", ("polygon needs at least 3 corners",)),
        ("-sample_absorption water", ("needs radius", "or thick")),
        ("-sample_absorption water,radius=1,at=2:0:0", ("is outside the ball",)),
        ("-upstream Al", ("-upstream Al", "as Al,thick=10")),
        ("-gas_path fog", ("-gas_path", "no material 'fog'")),
        ("-vacuum_path -3", ("vacuum_mm must be a finite number at least 0",)),
        ("-detector_material Silicon", ("-detector_material", "no material 'Silicon'")),
        ("-detector_front Al,thick=nan", ("-detector_front", "not a finite number")),
        ("-beamstp distance=3,diameter=2", ("unknown option -beamstp", "-beamstop")),
        ("-lambda 20 -air_path", ("attenuation is known from 1000 to 100000 eV",)),
        ("-direct_beam -beamsize 0", ("the beam needs a size",)),
    ],
)
def test_mistakes_end_the_command(
    options: str, said: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nbragg.cli.nanobragg import main

    assert main([*GOOD.split(), *options.split()]) == 2
    message = capsys.readouterr().err
    for part in said:
        assert part in message, message
    assert not list(folder.iterdir())

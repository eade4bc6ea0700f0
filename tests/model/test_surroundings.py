"""Records of what stands in the way of the light: what they take, and what they refuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Aperture, Beamstop, Detector, Material, SampleAbsorption, Shadow, Surroundings, Window

FULL = Surroundings(
    gas=Material("Ar", 1.66e-3),
    vacuum_mm=3,
    windows=[
        Window(material="Kapton", thickness_um=10, normal=(1, 0, 0.1), distance_mm=5),
        Window(material=Material("SiO2", 2.2), thickness_um=1, normal="radial"),
    ],
    sample_absorption=SampleAbsorption(
        material=Material("H2O", 0.92), thickness_mm=0.2, normal=(1, 1, 0), crystal_at_mm=(0, 0, 0.1)
    ),
    upstream=[("Al", 10), (Material("SiO2", 2.65), 1)],
    beamstops=Beamstop(
        distance_mm=30, diameter_mm=2, centre_mm=(1, 2), arm_width_mm=0.2, arm_angle_deg=90, transmission=1e-4
    ),
    apertures=Aperture(distance_mm=-3, diameter_mm=1, centre_mm=(0, 0.1), transmission=0.5),
    shadows=[Shadow(distance_mm=20, polygon_mm=[(0, 0), (1, 0), (0, 1)], transmission=0.1)],
    direct_beam=True,
)
FACTORS = nbragg.StructureFactors.constant(1)
CRYSTAL = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=FACTORS)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_recipes_keep_every_field(suffix: str, tmp_path: Path) -> None:
    panel = nbragg.Panel(
        origin_mm=(100, 0, 0), fast=(0, 1, 0), slow=(0, 0, 1), fpixels=4, spixels=4, pixel_mm=1,
        material=Material("Cd0.9Zn0.1Te", 5.8), thickness_um=750,
        front=[("Al", 0.5), (Material("Pt", 21.4), 0.1)],
    )  # fmt: skip
    for detector in (Detector(panels=[panel]), Detector(material="Si", thickness_um=300, front=("Al", 1))):
        setup = nbragg.Setup(CRYSTAL, detector=detector, surroundings=FULL)
        nbragg.dump(setup, tmp_path / f"a.{suffix}")
        again = nbragg.load(tmp_path / f"a.{suffix}")
        assert again == setup and again.surroundings == FULL and again.detector == detector
    nbragg.dump(FULL, tmp_path / f"b.{suffix}")
    assert nbragg.load(tmp_path / f"b.{suffix}") == FULL


def test_every_field_of_a_recipe_counts() -> None:
    """No field is lost: each one changed makes another record."""
    import dataclasses

    from nbragg.io.recipe import from_dict, to_dict

    for field in dataclasses.fields(Surroundings):
        one = Surroundings(**{field.name: getattr(FULL, field.name)})
        assert one != Surroundings() and from_dict(to_dict(one)) == one


def test_one_is_taken_for_a_list() -> None:
    stop = Beamstop(distance_mm=30, diameter_mm=2)
    assert Surroundings(beamstops=stop) == Surroundings(beamstops=[stop])
    assert Surroundings(upstream=("Al", 10)).upstream == (("Al", 10.0),)
    assert Detector(front=("Al", 1)).front == (("Al", 1.0),)
    assert hash(FULL) == hash(FULL.replace())


def test_a_setup_carries_them() -> None:
    setup = nbragg.Setup(CRYSTAL)
    assert setup.surroundings is None
    with_all = setup.replace(surroundings=FULL)
    assert with_all.surroundings == FULL and with_all != setup
    assert with_all.replace(distance_mm=80).surroundings == FULL
    with pytest.raises(nbragg.InputError, match="surroundings must be a Surroundings, not a Beamstop"):
        setup.replace(surroundings=FULL.beamstops[0])


STOP: dict[str, Any] = {"distance_mm": 30, "diameter_mm": 2}
WINDOW: dict[str, Any] = {"material": "Kapton", "thickness_um": 25}
BALL: dict[str, Any] = {"material": "water", "radius_mm": 0.2}
PIN: dict[str, Any] = {"distance_mm": 2, "polygon_mm": [(0, 0), (1, 0), (0, 1)]}
NOT_NUMBERS = (math.nan, math.inf, "1", None, True)
BAD = [
    *((Beamstop, STOP, name, value) for name in STOP for value in NOT_NUMBERS),
    (Beamstop, STOP, "distance_mm", 0),
    (Beamstop, STOP, "diameter_mm", 0),
    (Beamstop, STOP, "transmission", -0.1),
    (Beamstop, STOP, "transmission", 1.1),
    (Beamstop, STOP, "arm_width_mm", -1),
    (Beamstop, STOP, "arm_angle_deg", math.nan),
    (Beamstop, STOP, "centre_mm", (1, 2, 3)),
    (Beamstop, STOP, "centre_mm", 1),
    (Aperture, STOP, "distance_mm", 0),
    (Aperture, STOP, "transmission", 2),
    (Shadow, PIN, "polygon_mm", [(0, 0), (1, 1)]),
    (Shadow, PIN, "polygon_mm", [(0, 0, 0)] * 3),
    (Shadow, PIN, "polygon_mm", [(0, math.nan)] * 3),
    (Shadow, PIN, "distance_mm", 0),
    (Window, WINDOW, "material", "Captan"),
    (Window, WINDOW, "material", 5),
    (Window, WINDOW, "thickness_um", -1),
    (Window, WINDOW, "normal", "sideways"),
    (Window, WINDOW, "normal", (0, 0, 0)),
    (Window, WINDOW, "normal", 3),
    (Window, WINDOW, "distance_mm", 0),
    (Window, WINDOW | {"normal": "radial"}, "distance_mm", 3),
    (SampleAbsorption, BALL, "radius_mm", 0),
    (SampleAbsorption, BALL, "radius_mm", None),
    (SampleAbsorption, BALL, "thickness_mm", 1),
    (SampleAbsorption, BALL, "normal", (1, 0, 0)),
    (SampleAbsorption, BALL, "normal", "radial"),
    (SampleAbsorption, BALL, "crystal_at_mm", (0.2, 0.1, 0)),
    (SampleAbsorption, BALL, "material", "h2o"),
    (Surroundings, {}, "gas", "smoke"),
    (Surroundings, {}, "vacuum_mm", -1),
    (Surroundings, {}, "windows", "Kapton"),
    (Surroundings, {}, "windows", [Beamstop(**STOP)]),
    (Surroundings, {}, "beamstops", 3),
    (Surroundings, {}, "sample_absorption", "water"),
    (Surroundings, {}, "upstream", "Al"),
    (Surroundings, {}, "upstream", [("Al",)]),
    (Surroundings, {}, "upstream", [("Alu", 3)]),
    (Surroundings, {}, "upstream", [("Al", -3)]),
    (Surroundings, {}, "upstream", 3),
    (Surroundings, {}, "direct_beam", 1),
    (Detector, {}, "material", "Silicon"),
    (Detector, {}, "front", [("Al", "thin")]),
]


@pytest.mark.parametrize(("kind", "fields", "name", "value"), BAD)
def test_refused(kind: Any, fields: dict[str, Any], name: str, value: Any) -> None:
    """By a message that names the field."""
    assert kind(**fields) is not None
    with pytest.raises(nbragg.InputError) as error:
        kind(**fields | {name: value})
    assert name.split("_")[0] in str(error.value)


def test_unknown_fields_are_named() -> None:
    with pytest.raises(nbragg.InputError, match="did you mean 'diameter_mm'"):
        Beamstop(distance_mm=30, diametre_mm=2)
    with pytest.raises(nbragg.InputError, match="Window needs thickness_um"):
        Window(material="Al")


def test_bodies_out_of_reach_are_refused_when_placed() -> None:
    for absorbs, said in (
        ({"thickness_mm": 0.1, "normal": (0, 0, 1)}, "the beam runs along the slab"),
        ({"thickness_mm": 0.1, "crystal_at_mm": (0.06, 0, 0)}, "is outside the slab"),
    ):
        around = Surroundings(sample_absorption=SampleAbsorption(material="Si", **absorbs))
        with pytest.raises(nbragg.InputError, match=said):
            nbragg.build_scene(nbragg.Setup(CRYSTAL, surroundings=around))
    beam = nbragg.Beam(beam_vector=(1, 0, 0), polar_vector=(1, 0, 0), nopolar=True)
    stop = Surroundings(beamstops=Beamstop(**STOP))
    with pytest.raises(nbragg.InputError, match="are parallel"):
        nbragg.build_scene(nbragg.Setup(CRYSTAL, beam, surroundings=stop))
    for wavelength in (0.1, 13.0):
        with pytest.raises(nbragg.InputError, match="attenuation is known from 1000 to 100000 eV"):
            beam = nbragg.Beam(wavelength_A=wavelength)
            nbragg.build_scene(nbragg.Setup(CRYSTAL, beam, surroundings=Surroundings(gas="air")))


def test_arrays_are_kept() -> None:
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    pin = Shadow(distance_mm=1, polygon_mm=corners)
    corners[0] = 5
    assert pin.polygon_mm[0].tolist() == [0, 0] and not pin.polygon_mm.flags.writeable

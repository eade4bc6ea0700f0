"""Fields that continuous parameters brought along: what they do to the Scene and the image."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import setup_of, simulate

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Panel, Setup, StructureFactors
from nbragg.analysis.trace import trace_pixel
from nbragg.base.rotations import vector_rotation
from nbragg.base.vectors import axis_rotation, rot_axis, unit
from nbragg.simulation.simulate import render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

F100 = StructureFactors.constant(100)
CRYSTAL = Crystal(structure_factors=F100, cell=(70, 80, 90, 75, 85, 95), N=5, misset_deg=(10, 20, 30))
MOSAIC = CRYSTAL.replace(mosaic_spread_deg=1, mosaic_domains=3, osc_deg=1, phisteps=2)
SMALL = Detector(fpixels=24, spixels=20, distance_mm=60)
PANEL = Panel(origin_mm=(-5, -5, 90), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=9, spixels=9, pixel_mm=0.1)


def scene(*parts: Any, physics: str = "exact") -> nbragg.Scene:
    return nbragg.build_scene(setup_of(*parts, physics=physics))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1e-4, 2e-4, 0.3, 3.0, 7.0])
def test_rotation_of_a_vector(angle: float) -> None:
    axis = unit([1.0, -2.0, 0.5])
    assert np.abs(vector_rotation(angle * axis) - axis_rotation(axis, angle)).max() < 1e-15


@pytest.mark.parametrize("turned", [(10.0, 20.0, 30.0), "random", "matrix"])
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_rotation_deg_follows_the_misset(turned: Any, physics: str) -> None:
    matrix = axis_rotation(unit([3.0, 2, 1]), 0.8)
    crystal = MOSAIC.replace(misset_deg="random", misset_seed=3) if turned == "random" else MOSAIC
    crystal = crystal.with_orientation(matrix) if turned == "matrix" else crystal
    vector = np.array([3.0, -40.0, 20.0])
    rotation = axis_rotation(unit(vector), math.radians(float(np.linalg.norm(vector))))
    plain = scene(crystal, physics=physics)
    moved = scene(crystal.replace(rotation_deg=tuple(vector)), physics=physics)
    before, after = (s.placement.crystal.unit_cell.vectors for s in (plain, moved))
    assert np.abs(after - before @ rotation.T).max() < 1e-13 * np.abs(before).max()
    # reports say both rotations together
    assert isinstance(moved.placement.crystal.misset, np.ndarray)
    untwisted = scene(crystal.replace(misset_deg=None, orientation=None), physics=physics)
    standing = untwisted.placement.crystal.unit_cell.vectors @ moved.placement.crystal.misset.T
    assert np.abs(after - standing).max() < 1e-13 * np.abs(before).max()
    angles = crystal.replace(misset_deg=moved.placement.crystal.misset_deg, orientation=None)
    again = scene(angles, physics=physics).placement.crystal.unit_cell.vectors
    assert np.abs(after - again).max() < 1e-12 * np.abs(before).max()


def test_a_new_orientation_leaves_the_rotation() -> None:
    crystal = CRYSTAL.replace(rotation_deg=(1, 2, 3))
    for orientation in ((1, 2, 3), np.eye(3), np.eye(3) / 79):
        assert crystal.with_orientation(orientation).rotation_deg == (1, 2, 3)
    assert Setup(crystal).replace(orientation=np.eye(3)).crystal.rotation_deg == (1, 2, 3)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_domain_weight(physics: str) -> None:
    """The image is the sum over domains, each as many times as said, over the number of domains."""
    parts = (MOSAIC, None, SMALL)
    plain = scene(*parts, physics=physics)
    orientations = plain.crystal.orientations.reshape(2, 3, 3, 3)

    def of(domain: int) -> Any:
        block = dataclasses.replace(plain.crystal, orientations=np.ascontiguousarray(orientations[:, domain]))
        return render(dataclasses.replace(plain, crystals=(block,))).image

    single = [np.asarray(of(domain), float) for domain in range(3)]
    weights = (1.0, 0.0, 2.5)
    image = simulate(MOSAIC.replace(domain_weight=weights), None, SMALL, physics=physics).image
    expected = sum(w * one for w, one in zip(weights, single, strict=True)) / 3
    assert np.abs(image - expected).max() < 1e-6 * np.max(expected)
    alike = simulate(MOSAIC.replace(domain_weight=(1, 1, 1)), None, SMALL, physics=physics).image
    assert np.abs(alike - simulate(*parts, physics=physics).image).max() <= 1e-7 * alike.max()


def test_domain_weight_of_each_domain() -> None:
    with pytest.raises(InputError, match=r"domain_weight has 2 numbers, and there are 3 mosaic domain"):
        scene(MOSAIC.replace(domain_weight=(1, 1)))
    with pytest.raises(InputError, match="there are 1 mosaic domain"):
        scene(CRYSTAL.replace(domain_weight=(1, 1)))


def test_cells_that_are_not_whole() -> None:
    """Canonical 7.1 with the distance from the nearest index; sizes and reports follow."""
    crystal = CRYSTAL.replace(N=(4.5, 5, 6.25))
    assert repr(crystal.N) == "(4.5, 5, 6.25)"
    built = scene(crystal, None, SMALL)
    assert built.crystal.N.tolist() == [4.5, 5.0, 6.25]
    assert np.diag(built.crystal.shape_metric).tolist() == [20.25, 25.0, 39.0625]
    assert built.placement.crystal.size_m.tolist() == pytest.approx([315e-10, 400e-10, 562.5e-10])
    traced = trace_pixel(built, 7, 11)
    x = traced.samples["hkl"] - np.round(traced.samples["hkl"])
    factors = np.sin(np.pi * built.crystal.N * x) / np.sin(np.pi * x)
    assert np.abs(x).max() > 0.1
    assert traced.samples["F_latt"] == pytest.approx(np.abs(factors.prod(axis=1)), rel=1e-9)


def test_a_turned_polarization() -> None:
    beam = Beam(polarization=0.9, hdivrange_mrad=2, hdivsteps=2, vdivrange_mrad=1, vdivsteps=2)
    plain = scene(CRYSTAL, beam, SMALL)
    turned = scene(CRYSTAL, beam.replace(polarization_azimuth_deg=30), SMALL)
    expected = rot_axis(plain.polar_vector, [1.0, 0, 0], math.radians(30))
    assert np.abs(turned.polar_vector - expected).max() < 1e-16
    assert np.array_equal(turned.sources.incident, plain.sources.incident)
    said = scene(CRYSTAL, beam.replace(polar_vector=tuple(expected)), SMALL)
    assert np.abs(said.polar_vector - turned.polar_vector).max() < 1e-16
    half_turn = simulate(CRYSTAL, Beam(polarization=0.9, polarization_azimuth_deg=180), SMALL).image
    assert np.allclose(half_turn, simulate(CRYSTAL, Beam(polarization=0.9), SMALL).image, rtol=1e-6)


@pytest.mark.parametrize("convention", ["mosflm", "xds", "custom"])
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_a_shifted_detector(convention: str, physics: str) -> None:
    detector = SMALL.replace(convention=convention, roty_deg=5, twotheta_deg=4)
    plain = scene(CRYSTAL, None, detector, physics=physics)
    shifted = scene(CRYSTAL, None, detector.replace(shift_mm=(1, -2, 3)), physics=physics)
    move = np.array([1e-3, -2e-3, 3e-3])
    assert np.abs(shifted.panel.pix0 - plain.panel.pix0 - move).max() < 1e-16
    assert shifted.panel.close_distance - plain.panel.close_distance == pytest.approx(move @ plain.panel.odet)
    assert np.array_equal(shifted.panel.fdet, plain.panel.fdet)
    place = shifted.placement.panel
    assert -place.Fclose * place.fdet - place.Sclose * place.sdet + place.close_distance * place.odet == (
        pytest.approx(place.pix0, abs=1e-16)
    )


def test_shifted_panels() -> None:
    panels = Detector(panels=[PANEL, PANEL.replace(origin_mm=(5, -5, 95))], convention="dials")
    plain, shifted = (scene(CRYSTAL, None, d) for d in (panels, panels.replace(shift_mm=(0.5, 0, -2))))
    for before, after in zip(plain.panels, shifted.panels, strict=True):
        assert (after.pix0 - before.pix0).tolist() == pytest.approx([5e-4, 0, -2e-3])
        assert after.close_distance == pytest.approx(before.close_distance - 2e-3)


# ---- recipes and command lines -----------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "rotation_deg": (1.5, -2.0, 3.25),
    "N": (4.5, 5, 6.25),
    "domain_weight": (1.0, 0.5, 2.0),
    "polarization_azimuth_deg": 12.5,
    "shift_mm": (0.1, 0.2, -0.3),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_recipes_keep_them(name: str, suffix: str, tmp_path: Path) -> None:
    setup = setup_of(MOSAIC, Beam(), SMALL).replace(**{name: FIELDS[name]})
    nbragg.dump(setup, tmp_path / f"setup{suffix}")
    again = nbragg.load(tmp_path / f"setup{suffix}")
    assert again == setup != setup_of(MOSAIC, Beam(), SMALL)
    assert name in repr(again)


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "rotation_deg"])
def test_command_lines_cannot_say_them(name: str) -> None:
    setup = setup_of(MOSAIC, Beam(), SMALL)
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup
    with pytest.raises(InputError, match=rf"{name}.* cannot be said in a command line.* recipe"):
        nbragg.to_cli(setup.replace(**{name: FIELDS[name]}))


def test_command_lines_say_the_rotation_as_misset() -> None:
    for crystal in (MOSAIC, MOSAIC.replace(misset_deg="random", misset_seed=3)):
        setup = setup_of(crystal.replace(rotation_deg=FIELDS["rotation_deg"]), Beam(), SMALL)
        again = nbragg.from_cli(nbragg.to_cli(setup))
        before, after = (nbragg.build_scene(s).crystal.orientations for s in (setup, again))
        assert np.abs(before - after).max() < 1e-14 * np.abs(before).max()


def test_the_command_takes_whole_numbers_of_cells() -> None:
    for words in ("-N 4.5", "-Na 4.5"):
        with pytest.raises(InputError, match=r"-Na?: .* is not a whole number"):
            nbragg.from_cli(f"-default_F 1 -cell 70 80 90 90 90 90 {words}")

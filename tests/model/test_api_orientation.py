"""The forms in which an orientation can be given."""

from __future__ import annotations

from typing import Any

import numpy as np
import parts
import pytest
from parts import simulator_of
from scipy.spatial.transform import Rotation

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Sampling, StructureFactors
from nbragg.io.recipe import from_dict, to_dict

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

F = StructureFactors.constant(10)
CELL = (70.0, 80.0, 90.0, 75.0, 85.0, 95.0)
CRYSTAL = Crystal(cell=CELL, N=(5, 4, 6), structure_factors=F)
ANGLES = (12.0, -34.0, 156.0)
TURN = Rotation.from_euler("xyz", ANGLES, degrees=True)


def scene(crystal: Crystal, physics: str = "exact") -> nbragg.Scene:
    sampling = Sampling(oversample=1)
    return parts.build_scene(crystal, Beam(), Detector(fpixels=32, spixels=32), sampling, physics=physics)


def abc(s: nbragg.Scene) -> Any:
    """Rows a, b, c of every orientation."""
    return s.crystal.orientations


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
@pytest.mark.parametrize("form", [TURN, TURN.as_matrix(), TURN.as_matrix().tolist()])
def test_rotations_equal_missetting_angles(form: Any, physics: str) -> None:
    """Canonical 5.3 turns about x, then y, then z: scipy's extrinsic "xyz"."""
    expected = scene(CRYSTAL.replace(misset_deg=ANGLES), physics)
    for crystal in (CRYSTAL.replace(orientation=form), CRYSTAL.with_orientation(form)):
        found = scene(crystal, physics)
        np.testing.assert_allclose(abc(found), abc(expected), rtol=0, atol=1e-22)
        angles, wanted = (s.placement.crystal.misset_deg for s in (found, expected))
        np.testing.assert_allclose(angles, wanted, atol=1e-9)


def test_a_matrix() -> None:
    """The A matrix of a crystal is the crystal."""
    turned = scene(CRYSTAL.with_orientation(TURN))
    a_matrix = turned.placement.crystal.unit_cell.reciprocal_vectors.T
    crystal = CRYSTAL.with_orientation(a_matrix)
    assert crystal.cell is None and crystal.orientation is None
    np.testing.assert_allclose(abc(scene(crystal)), abc(turned), rtol=0, atol=1e-21)
    # a rotation of a crystal that is given by its matrix turns it further
    inverse = scene(crystal.with_orientation(TURN.inv()))
    np.testing.assert_allclose(abc(inverse), abc(scene(CRYSTAL)), rtol=0, atol=1e-21)
    cell = scene(CRYSTAL).placement.crystal.unit_cell
    other = scene(crystal.with_orientation(cell.reciprocal_vectors.T))
    np.testing.assert_allclose(abc(other), abc(scene(CRYSTAL)), rtol=0, atol=1e-21)


def test_each_orientation_replaces_the_last() -> None:
    crystal = CRYSTAL.with_orientation(TURN)
    assert crystal.with_orientation(ANGLES) == CRYSTAL.replace(misset_deg=ANGLES)
    assert crystal.with_orientation(ANGLES).with_orientation(TURN) == crystal
    random = CRYSTAL.replace(misset_deg="random", misset_seed=3)
    assert random.with_orientation(TURN) == crystal
    sim = simulator_of(crystal, Beam(), Detector(fpixels=8, spixels=8))
    assert sim.replace(misset_deg=ANGLES).setup.crystal == CRYSTAL.replace(misset_deg=ANGLES)


def test_an_orientation_is_part_of_the_record() -> None:
    one, two = CRYSTAL.with_orientation(TURN), CRYSTAL.with_orientation(TURN.as_matrix())
    assert one == two and hash(one) == hash(two) and one != CRYSTAL
    assert "orientation=<array (3, 3) float64>" in repr(one)
    assert one.replace(N=(1, 1, 1)).replace(N=(5, 4, 6)) == one
    setup = nbragg.Setup(one)
    assert from_dict(to_dict(setup)) == setup
    assert one.orientation is not None
    with pytest.raises(ValueError, match="read-only"):
        one.orientation[0, 0] = 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.diag([1.0, 1, -1]), "rotation matrix"),  # a mirror
        (np.eye(3) + 1e-4 * np.ones((3, 3)), "rotation matrix"),  # not orthonormal
        (np.eye(3) / 500, "times the volume"),
        (np.zeros((3, 3)), "inf times the volume"),
        (np.full((3, 3), np.nan), "finite"),
        (np.eye(4), "shape"),
        ((1, 2), "shape"),
        ((1, 2, np.inf), "finite"),
        ("random", "array"),
        (None, "shape"),
        (Rotation.random(2, rng=1), "shape"),
    ],
)
def test_bad_orientations(bad: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        CRYSTAL.with_orientation(bad)


def test_two_orientations_at_once() -> None:
    with pytest.raises(InputError, match="give one of them"):
        CRYSTAL.replace(misset_deg=ANGLES, orientation=TURN)
    with pytest.raises(InputError, match="with_orientation"):
        CRYSTAL.replace(orientation=np.eye(3) / 70)

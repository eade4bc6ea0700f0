"""From cell or matrix to vectors; size, missetting, random rotations (canonical 5, 9.2, 11)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbragg import Crystal, NbraggWarning, StructureFactors
from nbragg.base.rotations import misset_angles, mosaic_rotations, random_misset
from nbragg.base.unit_cell import UnitCell
from nbragg.base.vectors import FloatArray, axis_rotation, cross, rot_axis, rot_xyz, unit
from nbragg.model.physics import PHYSICS
from nbragg.scene.crystal_cell import misset, placed_cell, shape_metric
from nbragg.scene.crystal_size import cells_along_axes, clip_to_beam, recommended_oversample
from nbragg.scene.orientations import crystal_orientations

F100 = StructureFactors.constant(100)
TRICLINIC = (70.0, 80.0, 90.0, 75.0, 85.0, 95.0)


def placed(exact: bool = False, **fields: Any) -> UnitCell:
    crystal = Crystal(structure_factors=F100, **fields)
    physics = PHYSICS["exact" if exact else "nanobragg"]
    return placed_cell(crystal, misset(crystal, physics), physics)


def test_triclinic_distortion() -> None:
    """Canonical 5.1 names the distorted angles; exact keeps the cell."""
    cell = placed(cell=TRICLINIC)
    assert cell.direct == pytest.approx((70, 80, 90, 75.0391, 85.0136, 95.0081), rel=1e-6)
    assert cell.reciprocal == pytest.approx(
        (0.014437, 0.0130262, 0.0115784, 105.535, 96.5318, 83.4517), rel=4e-6
    )
    assert placed(True, cell=TRICLINIC).direct == pytest.approx(TRICLINIC, rel=1e-12)


@given(
    lengths=st.tuples(*[st.floats(3, 300)] * 3),
    angles=st.tuples(*[st.floats(50, 130)] * 3),
    turn=st.tuples(*[st.floats(-180, 180)] * 3),
)
def test_exact_cell(lengths: tuple[float, ...], angles: tuple[float, ...], turn: tuple[float, ...]) -> None:
    """Exact vectors have the cell's metric, and the reciprocal axes are their duals."""
    ca, cb, cg = (math.cos(math.radians(x)) for x in angles)
    corner = 1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg
    assume(corner > 1e-3 and sum(angles) < 359)
    a, b, c = lengths
    cell = placed(True, cell=(*lengths, *angles), misset_deg=turn)
    metric = [
        [a * a, a * b * cg, a * c * cb],
        [a * b * cg, b * b, b * c * ca],
        [a * c * cb, b * c * ca, c * c],
    ]
    scale = max(lengths) ** 2
    np.testing.assert_allclose(cell.vectors @ cell.vectors.T, metric, rtol=1e-10, atol=1e-10 * scale)
    np.testing.assert_allclose(cell.vectors @ cell.reciprocal_vectors.T, np.eye(3), atol=1e-9)
    assert cell.volume == pytest.approx(a * b * c * math.sqrt(corner), rel=1e-9)


def test_orthogonal_cell_lies_on_the_axes() -> None:
    np.testing.assert_allclose(
        placed(cell=(10, 20, 30, 90, 90, 90)).vectors, np.diag([10, 20, 30]), atol=1e-13
    )


def test_matrix_columns_are_reciprocal_axes() -> None:
    """Canonical 5.2."""
    matrix = np.array([[0.010, -0.009, 0.005], [0.010, 0.002, -0.009], [0.012, 0.012, 0.004]])
    cell = placed(a_matrix=matrix)
    np.testing.assert_allclose(cell.reciprocal_vectors, matrix.T, rtol=1e-12)
    np.testing.assert_allclose(cell.vectors @ matrix, np.eye(3), atol=1e-13)


def test_cell_rescales_the_matrix() -> None:
    """Canonical 5.4: lengths of the cell on directions of the matrix; the volume is the cell's."""
    matrix = np.array([[0.010, -0.009, 0.005], [0.010, 0.002, -0.009], [0.012, 0.012, 0.004]])
    plain = placed(a_matrix=matrix)
    cell = placed(a_matrix=matrix, cell=(61, 74, 98, 82, 97, 105))
    np.testing.assert_allclose(np.linalg.norm(cell.vectors, axis=1), [61, 74, 98], rtol=1e-14)
    np.testing.assert_allclose(unit(cell.vectors), unit(plain.vectors), rtol=1e-12)
    ca, cb, cg = (math.cos(math.radians(x)) for x in (82, 97, 105))
    volume = 61 * 74 * 98 * math.sqrt(1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg)
    assert cell.volume == pytest.approx(volume, rel=1e-12)


def test_explicit_misset() -> None:
    """Canonical 5.3: about x, then y, then z."""
    cell = placed(cell=(10, 20, 30, 90, 90, 90), misset_deg=(90, 90, 0))
    # b goes to z, then to x; c goes to -y; a goes to -z
    np.testing.assert_allclose(cell.vectors, [[0, 0, -10], [20, 0, 0], [0, -30, 0]], atol=1e-13)


@pytest.mark.parametrize(
    ("seed", "angles"),
    [
        # the reference's for these seeds
        (12345, (105.720755, -34.951318, -97.823571)),
        (54321, (-27.529715, 53.373759, 91.879165)),
    ],
)
def test_random_misset_is_repeatable(seed: int, angles: tuple[float, float, float]) -> None:
    """Canonical 5.3, 9.2."""
    got = tuple(math.degrees(x) for x in random_misset(seed, uniform=False))
    assert got == pytest.approx(angles, abs=2e-6)
    assert got == tuple(math.degrees(x) for x in random_misset(seed, uniform=False))


@given(turn=st.tuples(*[st.floats(-3.1, 3.1)] * 3))
def test_misset_angles_undo_rot_xyz(turn: tuple[float, float, float]) -> None:
    matrix = rot_xyz(np.eye(3), *turn).T
    assume(abs(matrix[2, 0]) < 1 - 1e-6)
    np.testing.assert_allclose(rot_xyz(np.eye(3), *misset_angles(matrix)).T, matrix, atol=1e-9)


def test_misset_angles_of_a_quarter_turn() -> None:
    """Canonical 5.3, the degenerate case."""
    matrix = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert misset_angles(matrix) == (math.pi, math.pi / 2, math.atan2(1.0, -0.0))


def rotation_angles(matrices: FloatArray) -> FloatArray:
    trace = np.trace(matrices, axis1=1, axis2=2)
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def test_mosaic_cap() -> None:
    """Canonical 5.6, 9.2: rotations, the first the identity, none beyond the cap."""
    matrices = mosaic_rotations(0.02, 500, 12345678, gaussian=False)
    np.testing.assert_array_equal(matrices[0], np.eye(3))
    np.testing.assert_allclose(
        matrices @ matrices.swapaxes(1, 2), np.broadcast_to(np.eye(3), (500, 3, 3)), atol=1e-14
    )
    angles = rotation_angles(matrices)
    assert angles.max() <= 0.02 * (1 + 1e-6)
    # E[(1 - r^2)^(1/3)], r uniform on [-1, 1]
    expected = math.gamma(4 / 3) * math.gamma(0.5) / (2 * math.gamma(11 / 6))
    assert angles[1:].mean() == pytest.approx(0.02 * expected, rel=0.03)
    # more domains continue the same stream
    np.testing.assert_array_equal(matrices[:10], mosaic_rotations(0.02, 10, 12345678, gaussian=False))
    assert not np.array_equal(matrices[:10], mosaic_rotations(0.02, 10, 4321, gaussian=False))


def test_exact_mosaic_is_gaussian_and_isotropic() -> None:
    """Canonical 11."""
    matrices = mosaic_rotations(0.01, 4000, 1, gaussian=True)[1:]
    vectors = np.stack([matrices[:, 2, 1], matrices[:, 0, 2], matrices[:, 1, 0]], axis=1)
    assert math.sqrt((rotation_angles(matrices) ** 2).mean()) == pytest.approx(0.01, rel=0.04)
    np.testing.assert_allclose((vectors**2).mean(axis=0), np.full(3, 0.01**2 / 3), rtol=0.1)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=4 * 0.01 / math.sqrt(3 * 4000))


def test_exact_random_misset_is_uniform() -> None:
    """Canonical 11: the angle's density on SO(3) is (1 - cos t)/pi; each axis covers the sphere evenly."""
    turns = np.array([rot_xyz(np.eye(3), *random_misset(seed, uniform=True)).T for seed in range(1, 3001)])
    angles = rotation_angles(turns)
    assert angles.mean() == pytest.approx(math.pi / 2 + 2 / math.pi, rel=0.02)
    np.testing.assert_allclose(turns.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose((turns**2).mean(axis=0), 1 / 3, atol=0.03)


def test_orientations_are_phi_outermost_then_domain() -> None:
    """Canonical 6.5: phi first, then the domain's matrix."""
    cell = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 10]])
    spindle = unit([1.0, 2, 2])
    phi = np.array([0.0, 0.1, 0.2])
    domains = mosaic_rotations(0.3, 4, 7, gaussian=False)
    got = crystal_orientations(cell, axis_rotation(spindle, phi), domains)
    for i, angle in enumerate(phi):
        for j, domain in enumerate(domains):
            expected = [domain @ rot_axis(v, spindle, angle) for v in cell]
            np.testing.assert_allclose(got[4 * i + j], expected, rtol=1e-14, atol=1e-14)


def test_axis_rotation_is_rot_axis() -> None:
    axis = unit([1.0, -2, 3])
    np.testing.assert_allclose(
        axis_rotation(axis, 0.7) @ [4, 5, 6], rot_axis([4, 5, 6], axis, 0.7), rtol=1e-14
    )
    np.testing.assert_array_equal(axis_rotation(axis, 0.0), np.eye(3))


def test_cells_from_sizes() -> None:
    """Canonical 5.5: ceil(size/edge), else N."""
    cell = placed(cell=(70, 80, 90, 90, 90, 90))
    np.testing.assert_array_equal(cells_along_axes((4, 5, 6), (41e-6, None, 1e-9), cell), [6, 5, 1])


def test_beam_clips_the_sample() -> None:
    """Canonical 3.1: along b and c, not a; AT-FLU-001."""
    with pytest.warns(NbraggWarning, match="size_mm along [bc] is clipped") as caught:
        assert clip_to_beam((0.2, 0.2, 0.2), 0.1) == (0.2, 0.1, 0.1)
    assert len(caught) == 2
    assert clip_to_beam((0.2, 0.2, 0.2), -1.0) == (0.2, 0.2, 0.2)
    assert clip_to_beam((0.2, None, 0.05), 0.1) == (0.2, None, 0.05)


def test_recommended_oversample() -> None:
    """Canonical 5.5; a detector upstream has a negative distance and gets 1."""
    assert recommended_oversample(300e-10, 1e-10, 0.1, 1e-4) == 1
    assert recommended_oversample(480e-10, 1.3e-10, 0.1, 1e-4) == 2
    assert recommended_oversample(480e-10, 1.3e-10, -0.1, 1e-4) == 1


@pytest.mark.parametrize("exact", [False, True])
def test_spot_radius(exact: bool) -> None:
    """Canonical 7.1: round counts cells, gauss and tophat measure reciprocal space; exact all alike (11)."""
    physics = PHYSICS["exact" if exact else "nanobragg"]
    cell = placed(exact, cell=TRICLINIC, misset_deg=(1, 2, 3))
    cells = np.array([6.0, 5.0, 4.0])
    dh = np.array([0.1, -0.2, 0.3])
    plain = float(((dh * cells) ** 2).sum())
    assert dh @ shape_metric("round", cells, cell, physics) @ dh == pytest.approx(plain, rel=1e-14)
    for shape in ("gauss", "tophat"):
        expected = plain if exact else float(((dh @ cell.reciprocal_vectors) ** 2).sum()) * 120.0**2
        assert dh @ shape_metric(shape, cells, cell, physics) @ dh == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((3,), (4, 3)), ((2, 1, 3), (5, 3))])
@pytest.mark.parametrize("moving", [0.0, 1e-60j])
def test_cross_is_numpys(shapes: tuple[tuple[int, ...], tuple[int, ...]], moving: complex) -> None:
    """To the last bit, of numbers that carry a derivative too."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        a, b = (rng.normal(size=shape) for shape in shapes)
        moves = a + moving * rng.normal(size=a.shape) if moving else a
        for one, other in ((moves, b), (b, moves)):
            found, expected = cross(one, other), np.cross(one, other)
            assert found.tobytes() == expected.tobytes() and found.shape == expected.shape

"""The crystal's cell, turned as it is mounted (canonical 5.2 to 5.4)."""

from __future__ import annotations

import math

import numpy as np

from ..base import numbers
from ..base.constants import GAUSS_WIDTH, TOPHAT_RADIUS_SQR
from ..base.errors import InputError
from ..base.rotations import misset_angles, random_misset, vector_rotation
from ..base.unit_cell import Cell, UnitCell, cell_volume, standard_reciprocal_axes
from ..base.vectors import FloatArray, dual_rows, rot_xyz
from ..model.crystal import Crystal
from ..model.crystal_checks import cells_tensor
from ..model.physics import Physics

__all__ = [
    "misset",
    "placed_cell",
    "rotation_matrix",
    "shape_integral",
    "shape_metric",
    "standing_rotation",
    "unturned_cell",
]


def misset(crystal: Crystal, physics: Physics) -> tuple[float, float, float]:
    """The missetting angles, drawn if asked for (canonical 5.3); radians.

    Those of the orientation matrix where the crystal has one.
    """
    if crystal.orientation is not None:
        return misset_angles(crystal.orientation)
    if crystal.misset_deg is None:
        return 0.0, 0.0, 0.0
    if isinstance(crystal.misset_deg, str):
        assert crystal.misset_seed is not None  # filled in by the record
        return random_misset(crystal.misset_seed, uniform=physics.uniform_misset)
    x, y, z = crystal.misset_deg
    return numbers.radians(x), numbers.radians(y), numbers.radians(z)


def rotation_matrix(crystal: Crystal) -> FloatArray:
    """The rotation of ``rotation_deg``, shape (3, 3)."""
    return vector_rotation([numbers.radians(x) for x in crystal.rotation_deg])


def placed_cell(crystal: Crystal, misset_rad: tuple[float, float, float], physics: Physics) -> UnitCell:
    """Direct and reciprocal vectors of the misset crystal (canonical 5.2 to 5.4).

    An orientation matrix of the crystal takes the place of ``misset_rad``; its ``rotation_deg`` follows.

    With both a matrix and a cell the cell's lengths are imposed on the matrix's directions; its volume too,
    except with the true cell, where the volume is that of the resulting vectors.
    """
    reciprocal = _own_axes(crystal.cell, crystal.a_matrix, physics)
    if crystal.orientation is not None:
        reciprocal = reciprocal @ crystal.orientation.T
    else:
        reciprocal = rot_xyz(reciprocal, *misset_rad)
    if any(crystal.rotation_deg):
        reciprocal = reciprocal @ rotation_matrix(crystal).T
    return _cell_along(reciprocal, crystal.cell, physics)


def unturned_cell(cell: Cell | None, a_matrix: FloatArray | None, physics: Physics) -> UnitCell:
    """`placed_cell` of a crystal that has no misset, orientation or rotation."""
    return _cell_along(rot_xyz(_own_axes(cell, a_matrix, physics), 0.0, 0.0, 0.0), cell, physics)


def _own_axes(cell: Cell | None, a_matrix: FloatArray | None, physics: Physics) -> FloatArray:
    """Reciprocal axes before the crystal is turned, rows."""
    if a_matrix is not None:
        return np.asarray(a_matrix.T)
    assert cell is not None
    return standard_reciprocal_axes(cell, exact=physics.true_cell)


def _cell_along(reciprocal: FloatArray, cell: Cell | None, physics: Physics) -> UnitCell:
    """With the directions of reciprocal axes, rows, and the lengths of a cell where there is one."""
    crosses = dual_rows(reciprocal.tolist())
    if cell is not None:
        direct = []
        for row, edge in zip(crosses, cell[:3], strict=True):
            x, y, z = row
            scale = edge / numbers.sqrt(x * x + y * y + z * z)
            direct.append([x * scale, y * scale, z * scale])
        volume = cell_volume(cell)
    else:
        volume = 1.0 / numbers.scalar(reciprocal[0] @ np.array(crosses[0]))
        direct = [[x * volume for x in row] for row in crosses]
    dual = dual_rows(direct)
    if cell is not None and physics.true_cell:
        volume = sum(x * y for x, y in zip(direct[0], dual[0], strict=True))
    vectors = np.array(direct)
    reciprocal = np.array([[x / volume for x in row] for row in dual])
    for array in (vectors, reciprocal):
        array.setflags(write=False)
    return UnitCell(vectors, reciprocal, volume)


def standing_rotation(crystal: Crystal, physics: Physics) -> FloatArray:
    """How the crystal is turned from its setting, misset and ``rotation_deg`` together, shape (3, 3)."""
    turned = crystal.orientation
    if turned is None:
        turned = rot_xyz(np.eye(3), *misset(crystal, physics)).T
    return numbers.read_only(rotation_matrix(crystal) @ turned)


def shape_metric(
    shape: str,
    cells: FloatArray,
    cell: UnitCell,
    physics: Physics,
    off: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> FloatArray:
    """The metric M of the spot radius: radius^2 = dh.M.dh, dh = (h-h0, k-k0, l-l0) (canonical 7.1).

    Parameters
    ----------
    shape : str
        ``gauss`` and ``tophat`` measure in reciprocal space unless ``physics.cells_metric`` (canonical 11),
        ``gauss_star`` always (beyond 17.1); the others by N.
    cells : ndarray (3,)
        Unit cells along a, b, c.
    cell : UnitCell
    physics : Physics
    off : (Nd, Ne, Nf)
        Off the diagonal of a tensor of cells, whose square the metric then is (beyond 17.2).

    Returns
    -------
    ndarray (3, 3)
    """
    if any(off):
        tensor = cells_tensor(cells, off)
        return tensor @ tensor
    if shape != "gauss_star" and (physics.cells_metric or shape not in ("gauss", "tophat")):
        return np.diag(cells**2)
    gram = cell.reciprocal_vectors @ cell.reciprocal_vectors.T
    count = numbers.scalar(np.prod(cells))
    if shape == "gauss_star":
        return np.asarray((count * numbers.scalar(cell.volume)) ** (2.0 / 3.0) * gram)
    return np.asarray(count**2 * gram)


#: integrals of squared lattice factors over the spot radius's own space, at fudge 1 (beyond 17.1)
_INTEGRALS = {
    "round": 1.0,
    "gauss": (0.5 * math.pi * GAUSS_WIDTH) ** 1.5,
    "gauss_star": (0.5 * math.pi * GAUSS_WIDTH) ** 1.5,
    "tophat": 4.0 / 3.0 * math.pi * TOPHAT_RADIUS_SQR**1.5,
}


def shape_integral(shape: str, cells: FloatArray, metric: FloatArray, fudge: float) -> float:
    """Integral of the squared lattice factor over one reciprocal cell, in units of Na Nb Nc.

    Raises
    ------
    InputError
        For a spot without an end.
    """
    if shape == "square":
        return 1.0
    if fudge.real == 0:
        raise InputError("normalise_shape: fudge = 0 gives spots without an end: give a number above 0")
    narrow = numbers.scalar(np.prod(cells)) / numbers.sqrt(numbers.scalar(np.linalg.det(metric)))
    integral: float = _INTEGRALS[shape] * narrow / fudge**1.5
    return integral

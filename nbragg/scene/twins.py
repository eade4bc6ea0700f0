"""Twins: the individuals of a crystal by their laws (beyond 17.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import numbers
from ..base import validate as check
from ..base.errors import InputError
from ..base.unit_cell import UnitCell, standard_reciprocal_axes
from ..base.vectors import FloatArray, axis_rotation, unit
from ..base.warn import warn
from ..model.crystal_checks import Law, law_matrix

__all__ = ["individuals", "twin_rotation"]


def individuals(laws: tuple[Law, ...], cell: UnitCell, tolerance: float) -> tuple[UnitCell, ...]:
    """The cell of each individual: rows a, b, c replaced by T (a, b, c).

    Parameters
    ----------
    laws : tuple
    cell : UnitCell
        Of the crystal itself, as it stands.
    tolerance : float
        Percent of a length, degrees of an angle.

    Warns
    -----
    NbraggWarning
        For a law that changes the cell by more.
    """
    return tuple(_individual(law, cell, tolerance) for law in laws)


def _individual(law: Law, cell: UnitCell, tolerance: float) -> UnitCell:
    matrix: FloatArray = law_matrix("twin", law)
    inverse = np.linalg.inv(matrix).T
    made = UnitCell(
        numbers.read_only(matrix @ cell.vectors),
        numbers.read_only(inverse @ cell.reciprocal_vectors),
        cell.volume,
    )
    (edges, angles), (before, square) = _shape(made.vectors.real), _shape(cell.vectors.real)
    longer, wider = 100.0 * float(np.abs(edges / before - 1.0).max()), float(np.abs(angles - square).max())
    if max(longer, wider) > tolerance:
        warn(
            f"the twin law {law} takes the cell to another: lengths change by up to {longer:.3g} %, angles "
            f"by up to {wider:.3g} deg (twin_tolerance {tolerance:g})"
        )
    return made


def _shape(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lengths, and angles in degrees, of three axes."""
    edges = np.linalg.norm(rows, axis=1)
    cosines = rows @ rows.T / np.outer(edges, edges)
    return edges, np.degrees(np.arccos(np.clip(cosines[[1, 2, 0], [2, 0, 1]], -1.0, 1.0)))


def twin_rotation(cell: Any, direction: Any, angle_deg: float, *, reciprocal: bool = False) -> FloatArray:
    """The law of a twin whose individual is turned: the matrix T that acts on (h, k, l).

    Parameters
    ----------
    cell : 6 floats
        Angstrom and degrees.
    direction : array_like (3,)
        What it is turned about: [u, v, w], along u a + v b + w c; with ``reciprocal`` (h, k, l), along
        h a* + k b* + l c*.
    angle_deg : float
    reciprocal : bool

    Returns
    -------
    ndarray (3, 3)
        For ``Crystal(twin=[(T, fraction)])``; whole numbers where the rotation takes the lattice to itself.

    Raises
    ------
    InputError
        For a direction of zero length, or what is no cell.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.twin_rotation((70, 70, 40, 90, 90, 120), (0, 0, 1), 180).round(6) + 0.0
    array([[-1.,  0.,  0.],
           [ 0., -1.,  0.],
           [ 0.,  0.,  1.]])
    """
    given = check.vector("cell", cell, 6)
    a, b, c, alpha, beta, gamma = given
    stars = standard_reciprocal_axes((a, b, c, alpha, beta, gamma), exact=True)
    rows = np.linalg.inv(stars).T
    axis = np.asarray(check.vector("direction", direction), np.float64) @ (stars if reciprocal else rows)
    if not axis.any():
        raise InputError("direction must not be zero")
    turn = axis_rotation(unit(axis), numbers.radians(check.number("angle_deg", angle_deg)))
    law: FloatArray = rows @ turn.T @ np.linalg.inv(rows)
    return law

"""Diffuse scattering of crystals, from what a person sets to what a backend reads (beyond 20).

Everything is worked out in the axes of the reciprocal lattice, where all orientations are the same: with
h the indices of q and A the rows a, b, c in the crystal's own frame, q = A^-1 h.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import constants
from ..base.errors import InputError
from ..base.numbers import absolute, read_only, sqrt
from ..base.records import FrozenArrays, frozen
from ..base.unit_cell import UnitCell
from ..base.vectors import FloatArray
from ..model.crystal import Crystal
from ..model.diffuse import LiquidMotions, ThermalDiffuse, laue_operators
from .crystal_cell import shape_integral
from .diffuse_tail import Tail, tail_of
from .orientations import crystal_orientations
from .record import CrystalBlock, FactorTable

__all__ = ["Diffuse", "Motion", "crystal_frame", "crystal_motion", "mean_displacement"]

#: how far a cell's metric may be off what its space group demands, as a part of a b
_OFF_SYMMETRY = 2e-3


@frozen
class Motion(FrozenArrays):
    """How one crystal's atoms move, in all its orientations.

    Attributes
    ----------
    kind : {"liquid", "thermal"}
    orientations : ndarray (no, 3, 3)
        Rows a, b, c, m.
    weights : ndarray (no,)
        Their sum is how many times the crystal counts.
    forms : ndarray (models, 12)
        Quadratic forms aa bb cc 2ab 2ac 2bc, which are averaged over models.  Liquid: V of (h, k, l), then
        4 pi^2 times the squared distance from a reflection in correlation lengths.  Thermal: 1/d^2, 1/m^2,
        and nothing.
    scale : float
        Of the intensity in electrons^2: csrc/nb_motion.h.
    along, across, soft : float
        Thermal: k T/(M v^2) of waves along q and across it; 1/m^2, beside the squared distance.
    order, stencil : int
    damped : bool
        Whether exp(-V) counts.
    table : int
        Index into `Scene.tables`, as of a `CrystalBlock`.
    tail : Tail or None
        Liquid: what is added for the reflections outside the stencil.
    """

    kind: str
    orientations: FloatArray
    weights: FloatArray
    forms: FloatArray
    scale: float
    along: float
    across: float
    soft: float
    order: int
    stencil: int
    damped: bool
    table: int
    tail: Tail | None = None


@frozen
class Diffuse(FrozenArrays):
    """What the crystals of a Scene scatter between their spots.

    Attributes
    ----------
    oversample : int
        Sub-pixels along a pixel edge.
    motions : tuple of Motion
        At least one.
    """

    oversample: int
    motions: tuple[Motion, ...]


def crystal_frame(cell: UnitCell) -> FloatArray:
    """Rows a, b, c, angstrom, in the crystal's own frame: x along a, z along c*, y = z x x (beyond 16.1)."""
    metric = cell.vectors @ cell.vectors.T
    a = sqrt(metric[0, 0])
    b = metric[0, 1] / a
    c = metric[0, 2] / a
    y = sqrt(metric[1, 1] - b * b)
    if not cell.right_handed:
        y = -y
    z = (metric[1, 2] - b * c) / y
    return np.array([[a, 0.0, 0.0], [b, y, 0.0], [c, z, sqrt(metric[2, 2] - c * c - z * z)]])


def mean_displacement(motions: LiquidMotions | ThermalDiffuse | None, cell: UnitCell) -> FloatArray | None:
    """W of V = h.W h, whose exp(-V) Bragg scattering has: the mean over the Laue group, (3, 3).

    None: there is none, or structure factors hold it already.
    """
    if not isinstance(motions, LiquidMotions) or motions.llm_in_F or not motions.moves:
        return None
    return read_only(_models(motions, cell)[0].mean(axis=0))


def crystal_motion(
    crystal: Crystal,
    cell: UnitCell,
    block: CrystalBlock,
    tables: tuple[FactorTable, ...],
    turns: FloatArray | None,
) -> Motion | None:
    """What a renderer reads of a crystal's ``diffuse``; None: nothing moves.

    Parameters
    ----------
    crystal : Crystal
    cell : UnitCell
        As it is mounted.
    block : CrystalBlock
    tables : tuple of FactorTable
        The crystal's, one for each energy.
    turns : ndarray (np, 3, 3) or None
        Steps of the spindle, of a crystal without mosaic domains; None: every orientation of the block.

    Raises
    ------
    InputError
        For a space group that the cell does not fit.
    """
    if turns is None:
        orientations, weights = block.orientations, block.orientation_weights
    else:
        orientations = crystal_orientations(cell.vectors * 1e-10, turns, np.eye(3)[np.newaxis])
        weights = None
    shares = np.ones(len(orientations)) if weights is None else weights
    weight = block.weight
    if crystal.normalise_shape:  # which is of the lattice factor's integral
        weight = weight * shape_integral(crystal.shape, block.N, block.shape_metric, crystal.fudge)
    cells, shares = block.N, shares * (weight / shares.sum())
    given = crystal.diffuse
    count, tail = cells[0] * cells[1] * cells[2], None
    if isinstance(given, LiquidMotions):
        if not given.moves:
            return None
        W, K = _models(given, cell)
        unit = 8 * np.pi * np.linalg.det(given.correlation) / _volume(cell)
        scale = unit * count / len(W)
        forms, waves = np.concatenate([_form(W), _form(K)], axis=1), (0.0, 0.0, 0.0)
        order, stencil, damped, kind = given.order, given.stencil, not given.llm_in_F, "liquid"
        if given.tail:
            inverse = np.asarray(np.linalg.inv(crystal_frame(cell)) * 1e10)
            tail = tail_of(K, order, stencil, 1 / unit, inverse, tables)
    elif isinstance(given, ThermalDiffuse):
        inverse = np.linalg.inv(crystal_frame(cell)) * 1e10
        metric = _form((inverse.T @ inverse)[np.newaxis])
        forms, scale = np.concatenate([metric, np.zeros((1, 6))], axis=1), count
        # of one cell; k_B T/M in (m/s)^2
        speed = constants.BOLTZMANN * constants.AVOGADRO * given.temperature_K / given.mass_kDa
        edge = (count * _volume(cell)) ** (1 / 3) * 1e-10
        waves = speed / given.v_L**2, speed / given.v_T**2, 1 / edge**2
        order, stencil, damped, kind = 1, 0, False, "thermal"
    else:
        return None
    return Motion(
        kind=kind,
        orientations=read_only(orientations),
        weights=read_only(shares),
        forms=read_only(forms),
        scale=_number(scale),
        along=_number(waves[0]),
        across=_number(waves[1]),
        soft=_number(waves[2]),
        order=order,
        stencil=stencil,
        damped=damped,
        table=block.table,
        tail=tail,
    )


def _volume(cell: UnitCell) -> float:
    """Of the cell, cubic angstrom."""
    return absolute(_number(np.prod(np.diag(crystal_frame(cell)))))


def _number(x: Any) -> float:
    return complex(x) if np.iscomplexobj(x) else float(x)  # type: ignore[return-value]


def _models(motions: LiquidMotions, cell: UnitCell) -> tuple[FloatArray, FloatArray]:
    """Forms of indices, V and 4 pi^2 (G s).(G s), for each model of the Laue group: (models, 3, 3)."""
    inverse = np.linalg.inv(crystal_frame(cell))
    G, U = motions.correlation, motions.displacement
    W = 4 * np.pi**2 * inverse.T @ U @ inverse
    K = 4 * np.pi**2 * inverse.T @ G.T @ G @ inverse
    turns = np.eye(3)[np.newaxis]
    if motions.laue and motions.space_group is not None:
        turns = np.array(laue_operators(motions.space_group), float)
        _check_symmetry(turns, cell, motions.space_group)
        if motions.isotropic:  # all alike
            turns = np.eye(3)[np.newaxis]
    # R = A^T S A^-T turns the model, so that indices h of the turned one have those of the other, S^T h
    W, K = turns @ W @ turns.swapaxes(1, 2), turns @ K @ turns.swapaxes(1, 2)
    different: list[int] = []  # each of them stands for equally many
    for i in range(len(turns)):
        if not any(_same(W[i], W[j]) and _same(K[i], K[j]) for j in different):
            different.append(i)
    return W[different], K[different]


def _same(a: FloatArray, b: FloatArray) -> bool:
    """Whether two matrices agree to rounding, and as far as they move do so alike."""
    return all(
        np.abs(x - y).max() <= 1e-12 * np.abs(x).max() for x, y in ((a.real, b.real), (a.imag, b.imag))
    )


def _check_symmetry(turns: FloatArray, cell: UnitCell, space_group: str | int) -> None:
    """Rotations of the group must leave the cell's metric as it is."""
    vectors = cell.vectors.real
    metric = vectors @ vectors.T
    lengths = np.sqrt(np.diag(metric))
    off = np.abs(turns.swapaxes(1, 2) @ metric @ turns - metric) / np.outer(lengths, lengths)
    if off.max() > _OFF_SYMMETRY:
        shown = ", ".join(f"{x.real:.4g}" for x in cell.direct)
        raise InputError(
            f"the cell ({shown}) does not have the symmetry of the space group {space_group!r} that "
            "LiquidMotions names"
        )


def _form(matrices: FloatArray) -> FloatArray:
    """Symmetric matrices (n, 3, 3) as aa bb cc 2ab 2ac 2bc, (n, 6)."""
    m = matrices
    mixed = (m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1])
    return np.stack([m[:, 0, 0], m[:, 1, 1], m[:, 2, 2], *mixed], axis=1)

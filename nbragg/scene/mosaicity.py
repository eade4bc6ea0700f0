"""The domains of a crystal: their rotations, strains and weights (canonical 5.6, 9.2; beyond 16)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._engine import RandomStream
from ..base import memory, numbers
from ..base.errors import InputError
from ..base.rotations import gaussian_rotation, mosaic_rotations, vector_rotations
from ..base.unit_cell import UnitCell
from ..base.vectors import FloatArray, axis_rotation, unit
from ..base.warn import warn
from ..model.crystal import Crystal
from ..model.crystal_checks import symmetric
from ..model.physics import Physics
from .steps import resolve_mosaic

__all__ = ["Domains", "Mosaicity", "crystal_frame", "domain_count", "make_domains"]

#: domains of a spread whose number is not given
_DOMAINS = 10


class Domains(NamedTuple):
    """What `make_domains` makes.

    ``rotations`` (n, 3, 3) of column vectors, in the laboratory or, with ``turning``, before the spindle
    turns them; ``strains`` (n, 3, 3), symmetric, in the laboratory before the spindle, or None; ``weights``
    (n,), or None: 1 each, of which ``divisor`` counts as one; ``spread`` the rms rotation, radians, for
    reports.
    """

    rotations: FloatArray
    turning: bool
    strains: FloatArray | None
    weights: FloatArray | None
    divisor: float
    spread: float


class Mosaicity(NamedTuple):
    """The fields of a crystal that make its domains, without its orientation."""

    mosaic: str | None
    mosaic_spread_deg: float | tuple[float, ...] | None
    mosaic_domains: int | None
    mosaic_seed: int
    mosaic_axes: str | FloatArray
    mosaic_set: str | FloatArray | None
    mosaic_weights: tuple[float, ...] | None
    domain_weight: tuple[float, ...] | None
    cell_spread: float | tuple[float, ...] | None

    @classmethod
    def of(cls, crystal: Crystal) -> Mosaicity:
        return cls(*(getattr(crystal, name) for name in cls._fields))

    @property
    def standing(self) -> bool:
        """Whether the domains hang on how the crystal stands."""
        return isinstance(self.mosaic_spread_deg, tuple) or isinstance(self.cell_spread, tuple)


def domain_count(crystal: Crystal | Mosaicity) -> int:
    """How many domains there are."""
    if isinstance(crystal.mosaic_set, np.ndarray):
        return len(crystal.mosaic_set)
    if _spreads(crystal) or _strains(crystal):
        return _DOMAINS if crystal.mosaic_domains is None else crystal.mosaic_domains
    return 1


def _spreads(crystal: Crystal | Mosaicity) -> bool:
    given = crystal.mosaic_spread_deg
    return given is not None and bool(np.any(np.real(given)))


def _strains(crystal: Crystal | Mosaicity) -> bool:
    return crystal.cell_spread is not None and bool(np.any(np.real(crystal.cell_spread)))


def crystal_frame(cell: UnitCell, axes: str = "crystal") -> FloatArray:
    """Orthonormal axes of a crystal as it stands, as columns.

    Parameters
    ----------
    cell : UnitCell
    axes : {"crystal", "a*"}
        e1 along a and e3 along c*; or e1 along a* and e3 along c.  e2 = e3 x e1.
    """
    direct, reciprocal = cell.vectors, cell.reciprocal_vectors
    first, third = (direct[0], reciprocal[2]) if axes == "crystal" else (reciprocal[0], direct[2])
    e1, e3 = unit(first), unit(third)
    return np.stack([e1, np.cross(e3, e1), e3], axis=1)


def make_domains(crystal: Mosaicity, cell: UnitCell | None, physics: Physics) -> Domains:
    """The domains of a crystal.

    Parameters
    ----------
    crystal : Mosaicity
    cell : UnitCell or None
        As it stands, at spindle angle 0; None unless `Mosaicity.standing`.
    physics : Physics

    Raises
    ------
    InputError
        For weights of another number than there are domains.
    MemoryLimitError
    """
    count = domain_count(crystal)
    memory.require(512 * count, f"{count} mosaic domains", "give fewer mosaic_domains (-mosaic_domains)")
    strain = crystal.cell_spread
    strained = (len(strain) if isinstance(strain, tuple) else 1) if _strains(crystal) else 0
    given = crystal.mosaic_set
    turning = False
    if isinstance(given, np.ndarray):
        rotations = given if given.ndim == 3 else vector_rotations(given)
        spread = _rms_angle(rotations)
    elif not _spreads(crystal):
        rotations, spread = np.broadcast_to(np.eye(3), (count, 3, 3)), 0.0
    else:
        rotations, turning, spread = _drawn(crystal, cell, physics, count, strained)
    strains = None
    if strained:
        points = _points(count, 3 + strained)[:, 3:]
        strains = _strain_tensors(crystal, cell, points)
    weights = _weights(crystal, count)
    divisor = 1.0
    if weights is not None and crystal.mosaic_weights is not None:
        divisor = numbers.scalar(weights.mean())
    return Domains(numbers.read_only(rotations), turning, strains, weights, divisor, spread)


def _points(count: int, dimensions: int) -> FloatArray:
    from ..base.point_sets import gaussian_points

    return gaussian_points(count, dimensions)


def _drawn(
    crystal: Mosaicity, cell: UnitCell | None, physics: Physics, count: int, strained: int
) -> tuple[FloatArray, bool, float]:
    """Rotations of a distribution, whether they turn with the crystal, and their rms."""
    given = crystal.mosaic_spread_deg
    several = isinstance(given, tuple)  # which no cap has
    kind = crystal.mosaic or ("gauss" if physics.gaussian_mosaic or several else "cap")
    if kind != "gauss" and crystal.mosaic_set in ("lattice", "antithetic"):
        raise InputError(
            f'mosaic_set {crystal.mosaic_set!r} is for mosaic "gauss", and physics {physics.name!r} takes '
            f'{kind!r}: give mosaic="gauss" (-mosaic_kind gauss)'
        )
    if kind != "gauss" and not several:
        spread, _ = resolve_mosaic(numbers.radians(given), count)
        return mosaic_rotations(spread, count, crystal.mosaic_seed, gaussian=kind == "angle"), False, spread
    axes: FloatArray | None = None
    turning = False
    if several:
        turning = isinstance(crystal.mosaic_axes, str) and crystal.mosaic_axes != "laboratory"
        if isinstance(crystal.mosaic_axes, np.ndarray):
            axes = crystal.mosaic_axes
        elif turning:
            assert cell is not None
            axes = crystal_frame(cell, str(crystal.mosaic_axes))
    spreads = np.asarray([numbers.radians(x) for x in (given if isinstance(given, tuple) else (given,))])
    if kind == "angle":
        rotations, spread = _angles(spreads, axes, count, crystal.mosaic_seed)
        return rotations, turning, spread
    root = _root(spreads, axes)
    rms = float(np.sqrt((root.real**2).sum() / 3.0))
    return vector_rotations(_set(crystal, count, strained) @ root.T), turning, rms


def _root(spreads: FloatArray, axes: FloatArray | None) -> FloatArray:
    """What takes points of covariance 1 to rotation vectors."""
    if len(spreads) == 1:
        return np.asarray(spreads[0] * np.eye(3))
    # of a covariance square degrees became degrees times radians
    three = len(spreads) == 3
    root = np.diag(spreads) if three else _symmetric_root(symmetric(spreads * (math.pi / 180.0)))
    return root if axes is None else axes @ root


def _symmetric_root(matrix: FloatArray) -> FloatArray:
    """The symmetric root of a covariance; where it moves, S' from S S' + S' S = M' in its own axes."""
    values, vectors = np.linalg.eigh(matrix.real)
    sizes = np.sqrt(np.maximum(values, 0.0))
    root: FloatArray = (vectors * sizes) @ vectors.T
    if matrix.dtype.kind != "c":
        return root
    sums = sizes[:, np.newaxis] + sizes
    turned = vectors.T @ matrix.imag @ vectors
    rate = np.divide(turned, sums, out=np.zeros((3, 3)), where=sums > 0)
    return np.asarray(root + 1j * (vectors @ rate @ vectors.T))


def _set(crystal: Mosaicity, count: int, strained: int) -> FloatArray:
    """Points of a Gaussian of covariance 1, (count, 3)."""
    if crystal.mosaic_set in (None, "lattice"):
        if crystal.mosaic_seed != Crystal.mosaic_seed:
            warn("mosaic_seed has no effect: the domains are an even set; mosaic_set='random' draws them")
        return _points(count, 3 + strained)[:, :3]
    stream = RandomStream(crystal.mosaic_seed)
    if crystal.mosaic_set == "random":
        points = np.array([[stream.gauss() for _ in range(3)] for _ in range(count)])
        points[0] = 0.0
        return np.asarray(points)
    half = np.array([[stream.gauss() for _ in range(3)] for _ in range(count // 2)]).reshape(-1, 3)
    pairs = np.stack([half, -half], axis=1).reshape(-1, 3)
    return np.concatenate([np.zeros((count % 2, 3)), pairs])


def _angles(spreads: FloatArray, axes: FloatArray | None, count: int, seed: int) -> tuple[FloatArray, float]:
    """Axis uniform, angle Gaussian with (u . diag(1/spread^2) u)^(-1/2) for a standard deviation."""
    stream = RandomStream(seed)
    drawn = [gaussian_rotation(stream, 1.0) for _ in range(count)]
    directions, sizes = np.array([axis for axis, _ in drawn]), np.array([size for _, size in drawn])
    own = directions if axes is None else directions @ axes
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.where(own == 0.0, 0.0, own / spreads)
        width = np.nan_to_num(1.0 / np.sqrt((along * along).sum(axis=1)))
    rotations = axis_rotation(directions, sizes * width)
    rotations[0] = np.eye(3)
    return rotations, float(np.sqrt((spreads.real**2).mean()))


def _strain_tensors(crystal: Mosaicity, cell: UnitCell | None, points: FloatArray) -> FloatArray:
    """Of each domain, in the laboratory before the spindle.

    Edges: a, b, c grow by their own strains and keep their directions, which no symmetric tensor does: the
    tensor is then that of the change of axes, and not symmetric.
    """
    given = crystal.cell_spread
    sizes = np.array(given if isinstance(given, tuple) else (given,))
    moved = points * sizes
    if len(sizes) == 1:
        return numbers.read_only(moved[:, :, np.newaxis] * np.eye(3))
    assert cell is not None
    if len(sizes) == 3:
        rows = moved[:, :, np.newaxis] * cell.vectors  # a' - a and so on
        return numbers.read_only(np.linalg.solve(cell.vectors[np.newaxis], rows).swapaxes(-1, -2))
    frame = crystal_frame(cell)
    own = np.array([symmetric(six) for six in moved])
    return numbers.read_only(frame @ own @ frame.T)


def _weights(crystal: Mosaicity, count: int) -> FloatArray | None:
    given, name = crystal.mosaic_weights, "mosaic_weights"
    if given is None:
        given, name = crystal.domain_weight, "domain_weight"
    if given is None:
        return None
    if len(given) != count:
        raise InputError(
            f"{name} has {len(given)} numbers, and there are {count} mosaic domain(s): give one for each"
        )
    return numbers.array(given)


def _rms_angle(rotations: FloatArray) -> float:
    """rms of one component of the rotation vectors, radians."""
    angles = np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0))
    return float(np.sqrt((angles**2).mean() / 3.0))

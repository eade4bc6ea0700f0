"""Structure factors from pixels: one amplitude for each set of symmetry mates, of all images (gradients 7.5).

All light of the crystal is a sum of F^2 of reflections, each times what geometry makes of it.  So the sum of
F dI/dF over reflections is 2 I, and a sum over pixels of w (dI/dF)^2 at most one of w 2 I (dI/dF)/F.  Two
products with the transposed Jacobian give slopes of all amplitudes, and bounds of their information by which
a step does not overshoot; no matrix is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.optional import require
from ..base.records import FrozenArrays, frozen
from ..model.structure_factors import StructureFactors

if TYPE_CHECKING:
    from ..base.crew import Crew
    from ..base.unit_cell import Cell
    from ..io.files.atomic import PathLike
    from ..model.setup import Setup
    from .frame import Frame

__all__ = ["Amplitudes", "Mates", "amplitude_step", "check_alike", "cropped"]

Array = NDArray[np.float64]

#: an amplitude does not fall below this part of itself in one step, nor rise beyond its inverse
_LEAST = 0.2
#: of 1/F^2, added to the information for a step: what a tail alone has seen would go anywhere
_DAMPING = 0.1


@frozen
class Amplitudes(FrozenArrays):
    """What pixels say of structure factors.

    Attributes
    ----------
    hkl : ndarray of int (n, 3)
        One of each set of symmetry mates.
    F : ndarray (n,)
        Amplitudes, electrons.
    sigma : ndarray (n,)
        Standard deviations where all else is known; infinite where no pixel has seen a mate.
    space_group : str
    """

    hkl: NDArray[np.int64]
    F: Array
    sigma: Array
    space_group: str

    def __repr__(self) -> str:
        seen = int(np.isfinite(self.sigma).sum())
        return f"Amplitudes({seen} of {len(self.F)} reflections seen, {self.space_group})"

    def save(self, path: PathLike, cell: Sequence[float], wavelength_A: float | None = None) -> None:
        """Write those that were seen to an MTZ file, columns F and SIGF.

        Parameters
        ----------
        path : path-like
        cell : 6 floats
            Angstrom and degrees.
        wavelength_A : float, optional

        Raises
        ------
        InputError
            Where none was seen.
        FileError
        """
        from ..io.reflections.mtz_write import write_merged

        seen = np.isfinite(self.sigma)
        write_merged(
            path,
            self.hkl[seen],
            self.F[seen],
            self.sigma[seen],
            cell=cast("Cell", tuple(cell)),
            space_group=self.space_group,
            wavelength_A=wavelength_A,
        )


class Mates:
    """Which points of a list are symmetry mates.

    Parameters
    ----------
    factors : StructureFactors
    space_group : str
        Hermann-Mauguin symbol; its Laue group counts.

    Raises
    ------
    InputError
        Without a list, and for a space group that is not known.
    """

    def __init__(self, factors: StructureFactors, space_group: str) -> None:
        if factors.values is None or factors.tables is not None:
            raise InputError("amplitudes are found of a list of structure factors at one energy: give one")
        gemmi = require("gemmi", purpose="symmetry mates of structure factors")
        group = gemmi.find_spacegroup_by_name(space_group)
        if group is None:
            raise InputError(
                f"there is no space group {space_group!r}: give its Hermann-Mauguin symbol, 'P 43 21 2' say"
            )
        self.factors, self.space_group = factors, space_group
        self.shape = factors.values.shape
        index = np.indices(self.shape).reshape(3, -1).T + np.array(factors.origin)
        reach = 2 * int(np.abs(index).max()) * 2 + 3
        best = np.full(len(index), np.iinfo(np.int64).min)
        for operator in group.operations().sym_ops:
            mate = index @ (np.array(operator.rot) // operator.DEN)
            for sign in (1, -1):
                best = np.maximum(best, sign * ((mate[:, 0] * reach + mate[:, 1]) * reach + mate[:, 2]))
        _, first, self.number = np.unique(best, return_index=True, return_inverse=True)
        self.hkl = index[first]
        values = factors.values.reshape(-1)
        counts = np.bincount(self.number)
        self.F = np.sqrt(np.bincount(self.number, values**2) / counts)
        self.free = (self.F > 0) & (self.hkl != 0).any(axis=1)

    def sums(self, table: Array) -> Array:
        """Of a value for each point of the list, over mates."""
        return np.asarray(np.bincount(self.number, table.reshape(-1), minlength=len(self.F)), np.float64)

    def factors_of(self, F: Array) -> StructureFactors:
        """The list with amplitudes of the mates."""
        changed = np.where(self.free, F, self.F)[self.number].reshape(self.shape)
        assert self.factors.values is not None
        held = np.where(self.free[self.number].reshape(self.shape), changed, self.factors.values)
        known = self.factors
        return StructureFactors(
            values=held, origin=known.origin, default_F=known.default_F, space_group=known.space_group
        )


def check_alike(setups: Sequence[Setup]) -> StructureFactors:
    """The list that all crystals of all set-ups have.

    Raises
    ------
    InputError
    """
    first = setups[0].sample.crystals[0].structure_factors
    for k, setup in enumerate(setups):
        for crystal in setup.sample.crystals:
            if crystal.structure_factors != first:
                raise InputError(
                    f"the crystals of start[{k}] have other structure factors than those of start[0]: "
                    "amplitudes are found of a list that all share"
                )
    return first


def cropped(factors: StructureFactors, reaches: Sequence[Array]) -> StructureFactors:
    """The list without planes that no pixel sees; gradients are of the whole list.

    Parameters
    ----------
    factors : StructureFactors
    reaches : sequence of ndarray (3,)
        Farthest indices that pixels of each image see.
    """
    if factors.values is None or factors.default_F != 0:
        return factors
    reach = np.ceil(np.max(reaches, axis=0)).astype(int)
    low = np.maximum(np.array(factors.origin), -reach)
    high = np.minimum(np.array(factors.origin) + factors.values.shape, reach + 1)
    part = tuple(slice(int(a - o), int(b - o)) for a, b, o in zip(low, high, factors.origin, strict=True))
    kept = factors.values[part]
    if not kept.size:
        return factors
    origin = (int(low[0]), int(low[1]), int(low[2]))
    return StructureFactors(
        values=kept, origin=origin, default_F=factors.default_F, space_group=factors.space_group
    )


def amplitude_step(
    frames: Crew[Frame], mates: Mates, F: Array, begun: Array, prior: float
) -> tuple[Array, Array]:
    """One step of all amplitudes.

    Parameters
    ----------
    frames : Crew of Frame
        In their sharp stage.
    mates : Mates
    F : ndarray
        Where the frames stand.
    begun : ndarray
        At the start.
    prior : float
        Standard deviation of what is known of an amplitude beforehand, as a part of it; infinite: nothing.

    Returns
    -------
    F : ndarray
        After the step.
    information : ndarray
        Bound of each amplitude's Fisher information where it stood, without the prior.
    """
    slope, bound = frames.total(_slopes, common=(mates,))
    information = np.where(F > 0, bound / np.maximum(F, 1e-300), 0)
    known = np.where(begun > 0, 1 / (prior * np.maximum(begun, 1e-100)) ** 2, 0)
    whole = information + known
    rise = slope - known * (F - begun)
    damped = whole + _DAMPING / np.maximum(F, 1e-100) ** 2
    step = np.where(mates.free & (whole > 0), rise / np.maximum(damped * F, 1e-300), 0)
    # linear in F^2, as the light is
    return F * np.sqrt(np.clip(1 + 2 * step, _LEAST**2, _LEAST**-2)), information


def _slopes(frame: Frame, mates: Mates) -> tuple[Array, Array]:
    slope, bound = frame.table_slopes()
    return mates.sums(slope), mates.sums(bound)

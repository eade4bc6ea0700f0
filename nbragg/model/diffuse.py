"""How a crystal's atoms move, and scatter between its spots (beyond 20)."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import numpy as np

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.vectors import FloatArray, is_rotation

__all__ = ["LiquidMotions", "ThermalDiffuse", "checked_diffuse", "laue_operators"]

#: terms of a sum over orders that the engine holds at a time
_MOST_ORDER = 32
#: angstrom, beyond which numbers would leave double precision
_LONGEST, _FARTHEST = 1e9, 1e3
#: (2 n + 1)^3 reflections for each sample
_MOST_STENCIL = 10


@frozen
class LiquidMotions(Record):
    """Atoms displaced together with their neighbours, as in a liquid: Caspar's model of diffuse scattering.

    Displacements have the mean square ``e.U e`` along a direction e, and are alike over distances r as
    ``exp(-|G^-1 r|)``.  With q in 1/angstrom (its length 1/d) and V = 4 pi^2 q.U q, Bragg scattering is
    multiplied by exp(-V), and to each pixel is added, in the units of F^2 L^2 (beyond 20.1)::

        I = N_cells/V_cell exp(-V) sum over n = 1 ... order of V^n/n! *
                sum over H of F_H^2 * 8 pi det(G/n) / (1 + 4 pi^2 |G/n (q - H)|^2)^2

    Structure factors have to be those of atoms at rest in respect of U.

    Parameters
    ----------
    gamma_A : float, 3 floats or array_like (3, 3)
        Correlation length, angstrom, above 0; three along the ``axes``; or the symmetric matrix G.
    sigma_A : float, 3 floats or array_like (3, 3)
        Root of the mean square displacement along one direction, angstrom; three along the ``axes``; or the
        symmetric matrix U in square angstrom.  0: no diffuse scattering, and Bragg scattering as without.
    order : int
        Terms of the sum over n, up to 32: 1 as Caspar and diffBragg; many make Bragg and diffuse scattering
        add up to what atoms at rest scatter.
    stencil : int
        Reflections H as far as this from the nearest along h, k and l, (2 stencil + 1)^3 of them.  Outside a
        list of structure factors they are 0.
    tail : bool
        Add what the reflections outside the stencil scatter on average: the mean F^2 of those as far from
        the origin as the pixel, times the share of Gamma that the stencil does not hold, 1 - integral of
        Gamma over it.  That share is large where gamma is short: half at gamma a fifth of the cell's edge and
        a stencil of 1.
    laue : bool
        Average the model over the Laue group of ``space_group``: every molecule of the cell moves alike in
        its own frame.
    space_group : str or int, optional
        Hermann-Mauguin symbol or number.  None: P1, one model.
    axes : "crystal" or array_like (3, 3)
        Of gamma and sigma.  "crystal": the first along a, the third along c*, the second completes a
        right-handed set; they turn with the crystal.  A rotation: its columns are the axes in that frame.
    llm_in_F : bool
        The structure factors hold exp(-V/2) already, as a refined B factor does: Bragg scattering stays as
        it is, and the diffuse has no exp(-V).

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, a matrix that is not symmetric or has a negative
        principal value, and a space group that is not known.

    References
    ----------
    D. L. D. Caspar, J. Clarage, D. M. Salunke and M. Clarage, Nature 332 (1988), 659-662.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(50, 60, 70, 90, 90, 90), N=5, structure_factors=factors)
    >>> moving = crystal.replace(diffuse=nbragg.LiquidMotions(gamma_A=30, sigma_A=0.4))
    >>> moving.diffuse.displacement.round(3).tolist()
    [[0.16, 0.0, 0.0], [0.0, 0.16, 0.0], [0.0, 0.0, 0.16]]
    """

    gamma_A: float | tuple[float, float, float] | FloatArray
    sigma_A: float | tuple[float, float, float] | FloatArray
    _: KW_ONLY
    order: int = 1
    stencil: int = 1
    tail: bool = False
    laue: bool = True
    space_group: str | int | None = None
    axes: str | FloatArray = "crystal"
    llm_in_F: bool = False

    def __post_init__(self) -> None:
        self._set("gamma_A", _tensor("gamma_A", self.gamma_A, above=0, at_most=_LONGEST))
        self._set("sigma_A", _tensor("sigma_A", self.sigma_A, at_least=0, at_most=_FARTHEST))
        self._set("order", check.count("order", self.order, at_most=_MOST_ORDER))
        self._set("stencil", check.count("stencil", self.stencil, at_least=0, at_most=_MOST_STENCIL))
        for name in ("tail", "laue", "llm_in_F"):
            self._set(name, check.flag(name, getattr(self, name)))
        if isinstance(self.axes, str):
            self._set("axes", check.choice("axes", self.axes, ("crystal",)))
        else:
            axes = check.frozen_array("axes", self.axes, (3, 3))
            if not is_rotation(axes.tolist()):
                raise InputError("axes must be 'crystal' or a rotation matrix: orthonormal, determinant 1")
            self._set("axes", axes)
        if self.space_group is not None:
            laue_operators(self.space_group)

    @property
    def moves(self) -> bool:
        """Whether anything is displaced."""
        return bool(np.any(np.asarray(self.sigma_A).real != 0))

    @property
    def isotropic(self) -> bool:
        """Whether correlation and displacement are the same along all directions."""
        return np.ndim(self.gamma_A) == np.ndim(self.sigma_A) == 0

    @property
    def correlation(self) -> FloatArray:
        """G, angstrom, in the crystal's frame: ndarray (3, 3)."""
        return self._in_frame(_matrix(self.gamma_A, 1))

    @property
    def displacement(self) -> FloatArray:
        """U, square angstrom, in the crystal's frame: ndarray (3, 3)."""
        return self._in_frame(_matrix(self.sigma_A, 2))

    def _in_frame(self, tensor: FloatArray) -> FloatArray:
        if isinstance(self.axes, str):
            return tensor
        return np.asarray(self.axes @ tensor @ self.axes.T)


@frozen
class ThermalDiffuse(Record):
    """Scattering by one acoustic phonon, at temperatures where all of them are excited.

    With q in 1/m, H the nearest reflection, k the direction of q - H, N_cells of the mass M, and the
    crystal's edge L, the cube root of its volume, each pixel gets in the units of F^2 L^2 (beyond 20.3)::

        I = N_cells F_H^2 k_B T/M [(q.k)^2/v_L^2 + (q^2 - (q.k)^2)/v_T^2] / ((q - H)^2 + 1/L^2)

    Structure factors are those of the crystal at its temperature; Bragg scattering stays as it is.

    Parameters
    ----------
    temperature_K : float
    v_L, v_T : float
        Velocities of sound, m/s: of waves along their direction, and across it.
    mass_kDa : float
        Of all atoms in a unit cell.

    Raises
    ------
    InputError
        For a value that is not a positive number.

    References
    ----------
    B. E. Warren, X-ray Diffraction (1969), chapter 11: by equipartition of the energy of each wave.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.ThermalDiffuse(temperature_K=293, v_L=2500, v_T=1200, mass_kDa=150)
    ThermalDiffuse(temperature_K=293.0, v_L=2500.0, v_T=1200.0, mass_kDa=150.0)
    """

    temperature_K: float
    v_L: float
    v_T: float
    mass_kDa: float

    def __post_init__(self) -> None:
        for name in ("temperature_K", "v_L", "v_T", "mass_kDa"):
            self._set(name, check.number(name, getattr(self, name), above=0))


def checked_diffuse(value: object) -> LiquidMotions | ThermalDiffuse:
    """A record of this module.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(value, (LiquidMotions, ThermalDiffuse)):
        return value
    raise InputError(f"diffuse must be LiquidMotions, ThermalDiffuse or None, not {value!r}")


def laue_operators(space_group: str | int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Rotations of a space group's Laue group on fractional coordinates, without the inversion.

    Returns
    -------
    tuple of (3, 3) tuples of int
        Matrices S: a point x of the cell goes to S x.

    Raises
    ------
    InputError
        For a space group that is not known, and where gemmi is not installed.
    """
    from ..base.optional import require

    gemmi = require("gemmi", purpose="the space_group of LiquidMotions")
    if isinstance(space_group, str):
        known = gemmi.find_spacegroup_by_name(space_group)
    else:
        known = gemmi.find_spacegroup_by_number(check.count("space_group", space_group, at_most=230))
    if known is None:
        raise InputError(
            f"there is no space group {space_group!r}: give its Hermann-Mauguin symbol, 'P 21 21 21' say, or "
            "its number, 1 to 230"
        )
    found = set()
    for operator in known.operations().sym_ops:
        matrix = np.array(operator.rot) // operator.DEN
        found.add(tuple(map(tuple, (matrix * round(np.linalg.det(matrix))).tolist())))
    return tuple(sorted(found))


def _tensor(name: str, value: Any, **limits: Any) -> float | tuple[float, ...] | FloatArray:
    """One number, three, or a symmetric matrix whose principal values are within the limits."""
    if np.ndim(value) == 0:
        return check.number(name, value, **limits)
    if np.shape(value) == (3,):
        return tuple(check.number(f"{name}[{i}]", x, **limits) for i, x in enumerate(value))
    if np.shape(value) != (3, 3):
        raise InputError(f"{name} must be a number, three numbers or a 3 x 3 matrix, not {value!r}")
    matrix = check.frozen_array(name, value, (3, 3))
    size = float(np.abs(matrix).max())
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-9 * size):
        raise InputError(f"{name} must be a symmetric matrix")
    values = np.linalg.eigvalsh(matrix)
    least, most = float(values[0]), float(values[-1])
    if least < -1e-9 * size or ("above" in limits and least <= 1e-9 * size):
        raise InputError(f"{name} has a principal value of {least:g}; all must be positive")
    if most > limits["at_most"]:
        raise InputError(f"{name} has a principal value of {most:g}; expected at most {limits['at_most']:g}")
    return matrix


def _matrix(value: Any, power: int) -> FloatArray:
    """Of one number, three or a matrix; numbers to a power."""
    array = np.asarray(value)
    return array if array.ndim == 2 else np.asarray(np.diag(array**power * np.ones(3)))

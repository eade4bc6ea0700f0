"""Reflection lists made in memory, so that a first image needs no download.

The amplitudes are drawn at random after Wilson's statistics.  They have the density, fall-off and scale of a
protein's, but they are no measurement and no model: nothing about a molecule can be read from them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import memory
from .base import validate as check
from .base.unit_cell import Cell, standard_reciprocal_axes
from .model.crystal import Crystal
from .model.structure_factors import StructureFactors

__all__ = ["LYSOZYME_CARBONS", "LYSOZYME_CELL", "lysozyme", "wilson"]

#: cell edges (angstrom) and angles (degrees) of tetragonal hen egg-white lysozyme
LYSOZYME_CELL: Cell = (79.3439, 79.3439, 37.8099, 90.0, 90.0, 90.0)

#: carbon atoms with the scattering power of that cell: 8 molecules C613 N193 O185 S10, sum of Z^2 over 36
LYSOZYME_CARBONS = 10_205

# Four-Gaussian form factor of carbon: f(s) = sum a exp(-b s^2) + c, s = sin(theta)/lambda in 1/angstrom
# (International Tables for Crystallography C, table 6.1.1.4).
_CARBON_A = (2.3100, 1.0200, 1.5886, 0.8650)
_CARBON_B = (20.8439, 10.2075, 0.5687, 51.6512)
_CARBON_C = 0.2156


def lysozyme(
    d_min_A: float = 2.0, *, b_factor_A2: float = 20.0, seed: int = 1, default_F: float = 0.0
) -> StructureFactors:
    """Random structure factors for a crystal of the size of tetragonal lysozyme, listed in P1.

    Parameters
    ----------
    d_min_A : float
        Resolution limit, angstrom.  A smaller limit extends the same list.
    b_factor_A2 : float
        Overall B factor, angstrom^2.
    seed : int
        Seed of the amplitudes.
    default_F : float
        Amplitude of everything not in the list, electrons.

    Returns
    -------
    StructureFactors
        Every index with d >= `d_min_A` but (0, 0, 0); F(hkl) = F(-h-k-l); electrons.

    Raises
    ------
    InputError, MemoryLimitError
        As `wilson`.

    Notes
    -----
    The tetragonal symmetry is not imposed: apart from Friedel's law all amplitudes are independent.

    Examples
    --------
    >>> from nbragg.datasets import lysozyme
    >>> lysozyme(d_min_A=3.5).n_listed
    23260
    """
    return wilson(
        LYSOZYME_CELL,
        d_min_A,
        carbon_atoms=LYSOZYME_CARBONS,
        b_factor_A2=b_factor_A2,
        seed=seed,
        default_F=default_F,
    )


def wilson(
    cell: Cell,
    d_min_A: float,
    *,
    carbon_atoms: float,
    b_factor_A2: float = 20.0,
    seed: int = 1,
    default_F: float = 0.0,
) -> StructureFactors:
    """Random structure factors of `carbon_atoms` equal atoms placed at random in a P1 cell.

    Intensities follow the acentric distribution about <F^2> = n f(s)^2 exp(-2 B s^2), where s = 1/(2 d) and
    f is carbon's form factor [1]_.  Friedel mates are equal and F(000) is left out.

    Parameters
    ----------
    cell : 6-tuple of float
        a, b, c in angstrom; alpha, beta, gamma in degrees.
    d_min_A : float
        Resolution limit, angstrom.  A smaller limit extends the same list: no amplitude changes.
    carbon_atoms : float
        Number n of carbon atoms in the cell that scatter as much as its content.
    b_factor_A2 : float
        Overall B factor, angstrom^2.
    seed : int
        Seed of the amplitudes, not negative.
    default_F : float
        Amplitude of everything not in the list, electrons.

    Returns
    -------
    StructureFactors
        Amplitudes in electrons.

    Raises
    ------
    InputError
        If the cell is impossible, or a number is not finite or out of range.
    MemoryLimitError
        If the list would not fit in memory.

    References
    ----------
    .. [1] A. J. C. Wilson, Acta Cryst. 2, 318 (1949), doi:10.1107/S0365110X49000813.

    Examples
    --------
    >>> from nbragg.datasets import wilson
    >>> wilson((20, 25, 30, 90, 95, 90), 2.0, carbon_atoms=300).n_listed
    7792
    """
    d_min_A = check.number("d_min_A", d_min_A, above=0)
    n = check.number("carbon_atoms", carbon_atoms, above=0)
    b_factor = check.number("b_factor_A2", b_factor_A2, at_least=0)
    seed = check.count("seed", seed, at_least=0)
    hkl, s_sqr = _half_sphere(cell, d_min_A)

    # One deviate per reflection in order of resolution.  1 - u is in (0, 1], so that the logarithm is finite;
    # inverting the distribution keeps the list the same under every release of NumPy.
    u = np.random.default_rng(seed).random(s_sqr.size)
    form_factor = _CARBON_C + sum(a * np.exp(-b * s_sqr) for a, b in zip(_CARBON_A, _CARBON_B, strict=True))
    amplitude = np.sqrt(-np.log1p(-u) * n) * form_factor * np.exp(-b_factor * s_sqr)

    h, k, l = np.concatenate([hkl, -hkl], axis=1)  # noqa: E741 - the index's name
    return StructureFactors.from_reflections(h, k, l, np.tile(amplitude, 2), default_F=default_F)


def _half_sphere(cell: Cell, d_min_A: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """One of each Friedel pair in order of resolution: indices (3, n) and s^2 = 1/(4 d^2), 1/A^2 (n,)."""
    crystal = Crystal(cell=cell, structure_factors=StructureFactors.constant(0.0))
    assert crystal.cell is not None
    reciprocal = standard_reciprocal_axes(crystal.cell, exact=True)
    metric = reciprocal @ reciprocal.T
    # |h| = |a.q| <= a/d
    extent = [int(min(edge / d_min_A, 2.0**20)) for edge in cell[:3]]
    size = math.prod(2 * n + 1 for n in extent)
    memory.require(
        100 * size, f"a list to d_min_A = {d_min_A:g} of the cell {tuple(cell)}", "use a larger d_min_A"
    )

    hkl = np.indices([2 * n + 1 for n in extent]).reshape(3, -1) - np.reshape(extent, (3, 1))
    # the box is symmetric: the second half of its raster holds one of each pair, and 000 comes just before it
    hkl = hkl[:, size // 2 + 1 :]
    inverse_d_sqr = sum(metric[i, j] * (hkl[i] * hkl[j]) for i in range(3) for j in range(3))
    inside = inverse_d_sqr <= 1.0 / d_min_A**2
    hkl, inverse_d_sqr = hkl[:, inside], inverse_d_sqr[inside]
    order = np.lexsort((*hkl, inverse_d_sqr))
    return hkl[:, order], inverse_d_sqr[order] / 4.0

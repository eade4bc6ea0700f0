"""Structure factors as MTZ files: lists in P1, every index as it is, Friedel mates apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import InputError
from ..files.atomic import PathLike, open_atomic

if TYPE_CHECKING:
    from ...base.unit_cell import Cell

__all__ = ["write_merged", "write_mtz"]


def write_mtz(
    path: PathLike,
    h: ArrayLike,
    k: ArrayLike,
    l: ArrayLike,  # noqa: E741 - the index's name
    F: ArrayLike,
    *,
    cell: Cell,
    wavelength_A: float | None = None,
) -> None:
    """Write amplitudes as the column F of an MTZ file in P 1.

    Every index has a row of its own, h k l and -h -k -l both, so that what is read back (by
    `nbragg.io.read_mtz`, gemmi or CCP4) is what was written, to float32.

    Parameters
    ----------
    path : path-like
    h, k, l : array_like of int (n,)
    F : array_like (n,)
        Amplitudes.
    cell : 6 floats
        Angstrom and degrees.
    wavelength_A : float, optional

    Raises
    ------
    InputError
        Without a reflection, and for amplitudes beyond float32.
    FileError
        The file cannot be written.
    """
    index = np.column_stack([np.asarray(x) for x in (h, k, l)])
    amplitude = np.asarray(F, dtype=np.float64)
    if len(index) == 0:
        raise InputError("an MTZ file without a reflection cannot be read: give at least one")
    with np.errstate(over="ignore"):
        rows = np.column_stack([index, amplitude]).astype(np.float32)
    if not np.isfinite(rows).all():
        raise InputError(
            f"amplitudes up to {np.abs(amplitude).max():g} do not fit into an MTZ file (float32)"
        )
    _write(path, rows, [("F", "F")], "P 1", cell, wavelength_A)


def write_merged(
    path: PathLike,
    hkl: ArrayLike,
    F: ArrayLike,
    sigma: ArrayLike,
    *,
    cell: Cell,
    space_group: str,
    wavelength_A: float | None = None,
) -> None:
    """Write amplitudes of unique reflections and their standard deviations, columns F and SIGF.

    Parameters
    ----------
    path : path-like
    hkl : array_like of int (n, 3)
        Moved into the asymmetric unit of gemmi.
    F, sigma : array_like (n,)
    cell : 6 floats
        Angstrom and degrees.
    space_group : str
    wavelength_A : float, optional

    Raises
    ------
    InputError
        Without a reflection.
    FileError
        The file cannot be written.
    """
    import gemmi

    group = gemmi.SpaceGroup(space_group)
    unit, operations = gemmi.ReciprocalAsu(group), group.operations()
    index = [unit.to_asu(list(map(int, h)), operations)[0] for h in np.asarray(hkl)]
    if not index:
        raise InputError("an MTZ file without a reflection cannot be read: give at least one")
    rows = np.column_stack([np.array(index), np.asarray(F), np.asarray(sigma)]).astype(np.float32)
    order = np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))
    _write(path, rows[order], [("F", "F"), ("SIGF", "Q")], space_group, cell, wavelength_A)


def _write(
    path: PathLike,
    rows: NDArray[np.float32],
    columns: Sequence[tuple[str, str]],
    space_group: str,
    cell: Cell,
    wavelength_A: float | None,
) -> None:
    import gemmi

    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(space_group)
    mtz.set_cell_for_all(gemmi.UnitCell(*cell))
    dataset = mtz.add_dataset("nanobragg")
    dataset.wavelength = wavelength_A or 0.0
    for label, kind in columns:
        mtz.add_column(label, kind)
    mtz.set_data(rows)
    with open_atomic(path) as stream:
        stream.write(mtz.write_to_bytes())

"""Structure-factor amplitudes expanded to P1, with a record of where they came from and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import InputError
from ...base.records import FrozenArrays, freeze, frozen

if TYPE_CHECKING:
    import gemmi

__all__ = [
    "Box",
    "ReflectionList",
    "Rows",
    "Shell",
    "expand_to_p1",
    "from_table",
    "resolution_shells",
    "sort_unique",
]

#: |index| above this is taken for garbage: a cell edge of 1000 A reaches it at 0.2 A
MAX_INDEX = 5000

_SHELLS = 10


class Rows(NamedTuple):
    """A list in the order of its file: indices (n,) int64, and amplitudes (n,)."""

    h: NDArray[np.int64]
    k: NDArray[np.int64]
    l: NDArray[np.int64]  # noqa: E741 - Miller index
    F: NDArray[np.float64]


class Box(NamedTuple):
    """Amplitudes (nh, nk, nl) of every index of a box, and the indices of the first one."""

    values: NDArray[np.float64]
    origin: tuple[int, int, int]


@dataclass(frozen=True)
class Shell:
    """Completeness of one resolution shell, counted over the unique reflections of the space group."""

    d_max_A: float
    d_min_A: float
    expected: int
    present: int

    @property
    def missing(self) -> int:
        """Reflections that should be in the shell and are not."""
        return self.expected - self.present


@frozen
class ReflectionList(FrozenArrays):
    """Amplitudes of every reflection, Friedel mates included, in P1, sorted by h, k, l.

    Its arrays are read-only.

    Attributes
    ----------
    h, k, l : ndarray (n,) int32
        Indices.
    F : ndarray (n,) float64
        Amplitudes, electrons when they come from a model, else in the file's unit.
    cell : tuple of 6 floats or None
        Unit cell of the file, A and degrees.
    wavelength_A : float or None
        Wavelength of the file, or the one that f', f'' were computed for.
    spacegroup : str or None
        Space group that the list was expanded from.
    source, column : str
        The file, and the column (or the calculation) that the amplitudes are.
    rule : str
        Why that column was taken.
    d_min_A : float or None
        Resolution limit of the list.
    unique : int
        Reflections before the expansion.
    shells : tuple of Shell
        Completeness, low resolution first.
    notes : tuple of str
        Everything else a user should know, one sentence each.
    """

    h: NDArray[np.int32]
    k: NDArray[np.int32]
    l: NDArray[np.int32]  # noqa: E741 - Miller index
    F: NDArray[np.float64]
    cell: tuple[float, float, float, float, float, float] | None = None
    wavelength_A: float | None = None
    spacegroup: str | None = None
    source: str = ""
    column: str = ""
    rule: str = ""
    d_min_A: float | None = None
    unique: int = 0
    shells: tuple[Shell, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("h", "k", "l", "F"):
            array = np.asarray(getattr(self, name)).view()  # a view: whose the array is may still write to it
            freeze(array)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.F)

    def __repr__(self) -> str:
        return f"ReflectionList({len(self)} reflections in P1 from {self.source or 'arrays'}, {self.column})"

    @property
    def missing(self) -> int:
        """Unique reflections missing between the lowest and the highest resolution of the list."""
        return sum(shell.missing for shell in self.shells)

    @property
    def complete(self) -> bool:
        """True when no unique reflection is missing."""
        return self.missing == 0

    def report(self) -> str:
        """What was read, in a few lines: column and why, counts, cell, missing reflections by shell,
        notes."""
        lines = [f"{self.source or 'arrays'}: {self.column}" + (f" ({self.rule})" if self.rule else "")]
        lines.append(
            f"  {self.unique} unique reflections"
            + (f" in {self.spacegroup}" if self.spacegroup else "")
            + f", {len(self)} in P1 with Friedel mates"
            + (f", to {self.d_min_A:.3g} A" if self.d_min_A else "")
        )
        if self.cell is not None:
            lines.append("  cell " + " ".join(f"{x:.6g}" for x in self.cell))
        if self.wavelength_A is not None:
            lines.append(f"  wavelength {self.wavelength_A:.6g} A")
        if self.shells and not self.complete:
            total = sum(shell.expected for shell in self.shells)
            lines.append(f"  missing: {self.missing} of {total} unique reflections")
            lines += [
                f"    {s.d_max_A:8.3f} - {s.d_min_A:6.3f} A: {s.missing} of {s.expected}"
                for s in self.shells
                if s.missing
            ]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def sort_unique(
    hkl: NDArray[Any], F: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Sort a list by h, k, l; of entries with the same indices the last one stays.

    Parameters
    ----------
    hkl : ndarray (n, 3) int
    F : ndarray (n,)

    Returns
    -------
    h, k, l, F
    """
    indices = np.asarray(hkl, dtype=np.int64)
    if indices.size and np.abs(indices).max() > MAX_INDEX:
        worst = indices[np.abs(indices).max(axis=1).argmax()]
        raise InputError(
            f"reflection {tuple(int(i) for i in worst)} has an index beyond {MAX_INDEX}: the file is damaged"
        )
    span = 2 * MAX_INDEX + 1
    key = ((indices[:, 0] + MAX_INDEX) * span + indices[:, 1] + MAX_INDEX) * span + indices[:, 2] + MAX_INDEX
    _, first_of_reversed = np.unique(key[::-1], return_index=True)
    keep = len(key) - 1 - first_of_reversed
    h, k, l = indices[keep].astype(np.int32).T  # noqa: E741
    return np.ascontiguousarray(h), np.ascontiguousarray(k), np.ascontiguousarray(l), F[keep]


def expand_to_p1(
    hkl: NDArray[Any],
    plus: NDArray[np.float64],
    minus: NDArray[np.float64] | None,
    operations: gemmi.GroupOps,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Expand amplitudes by the rotations of a space group and by Friedel's law.

    |F(h)| = |F(h R)| for every rotation R of the group.  `plus` belongs to h R, `minus` to -h R; where one
    of a Bijvoet pair is missing (NaN) the other stands for both; of a centric reflection, whose two halves
    are the same, `plus` wins.

    Parameters
    ----------
    hkl : ndarray (n, 3) int
        Unique reflections.
    plus, minus : ndarray (n,)
        Amplitudes of h and of -h; None for `minus` means Friedel mates are equal.
    operations : gemmi.GroupOps
        The space group.

    Returns
    -------
    h, k, l, F : ndarrays (m,)
        Sorted, without repeats and without reflections missing in both halves.
    """
    second = plus if minus is None else np.where(np.isfinite(minus), minus, plus)
    first = plus if minus is None else np.where(np.isfinite(plus), plus, second)
    known = np.isfinite(first)
    indices = np.asarray(hkl, dtype=np.int64)[known]
    first, second = first[known], second[known]
    rotations = np.array([op.rot for op in operations.sym_ops], dtype=np.int64)
    rotated = np.einsum("ni,sij->snj", indices, rotations)
    den = 24  # gemmi stores rotations as integers over 24
    if np.any(rotated % den):
        raise InputError(
            "the space group's rotations turn these indices into fractions: wrong setting of the cell?"
        )
    rotated = (rotated // den).reshape(-1, 3)
    count = len(rotations)
    # Last one stays: the minus half first, so that of a centric pair the plus half remains.
    everything = np.concatenate([-rotated, rotated])
    return sort_unique(everything, np.concatenate([np.tile(second, count), np.tile(first, count)]))


def resolution_shells(
    hkl: NDArray[Any],
    cell: gemmi.UnitCell,
    spacegroup: gemmi.SpaceGroup,
    d_min: float | None = None,
    count: int = _SHELLS,
) -> tuple[Shell, ...]:
    """Count the unique reflections expected and present in shells of equal reciprocal volume.

    Parameters
    ----------
    hkl : ndarray (n, 3) int
        Reflections present, in any asymmetric unit.
    cell, spacegroup
        Of the crystal; systematic absences are not expected.
    d_min : float, optional
        Limit in A; None: the highest resolution present.
    count : int
        Number of shells.
    """
    import gemmi

    present = np.asarray(hkl, dtype=np.int32)
    if len(present) == 0:
        return ()
    inverse_d2 = np.asarray(cell.calculate_1_d2_array(present))
    limit = d_min if d_min is not None else float(inverse_d2.max() ** -0.5) * (1 - 1e-6)
    asu = gemmi.ReciprocalAsu(spacegroup)
    operations = spacegroup.operations()
    unique = np.array([asu.to_asu(row, operations)[0] for row in present.tolist()], dtype=np.int64)
    expected = np.asarray(gemmi.make_miller_array(cell, spacegroup, limit), dtype=np.int64)
    span = 2 * MAX_INDEX + 1
    weights = np.array([span * span, span, 1])
    have = np.isin((expected + MAX_INDEX) @ weights, (unique + MAX_INDEX) @ weights)
    inverse_d3 = np.asarray(cell.calculate_1_d2_array(expected.astype(np.int32))) ** 1.5
    edges = np.linspace(0.0, limit**-3, count + 1)
    shell_of = np.clip(np.searchsorted(edges, inverse_d3, side="right") - 1, 0, count - 1)
    d_max = float(inverse_d3.min() ** (-1 / 3)) if len(expected) else float("inf")
    shells = []
    for i in range(count):
        inside = shell_of == i
        upper = d_max if i == 0 else float(edges[i] ** (-1 / 3))
        shells.append(
            Shell(upper, float(edges[i + 1] ** (-1 / 3)), int(inside.sum()), int(have[inside].sum()))
        )
    return tuple(shells)


def from_table(
    table: Any,
    *,
    F: str | None = None,
    cell: tuple[float, ...] | None = None,
    wavelength_A: float | None = None,
) -> ReflectionList:
    """Amplitudes from a DataFrame, a structured array, a mapping of columns or an (n, 4) array.

    Nothing is expanded: the table must hold the P1 list, as a text list does.  Of repeated indices the last
    row stays.

    Parameters
    ----------
    table
        Columns h, k, l (any case; a DataFrame may hold them in its index) and the amplitudes; or an array of
        rows h k l F.
    F : str, optional
        Name of the amplitude column; needed when there is more than one column besides h, k, l.
    cell, wavelength_A
        Recorded in the result.

    Raises
    ------
    InputError
        Missing or unsuitable columns, other shapes, indices that are not whole numbers, amplitudes not
        finite.
    """
    columns = _table_columns(table)
    lower = {name.lower(): name for name in columns}
    missing = [index for index in "hkl" if index not in lower]
    if missing:
        raise InputError(
            f"the table has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}"
        )
    index_names = [lower[i] for i in "hkl"]
    others = [name for name in columns if name not in index_names]
    if F is None:
        if len(others) != 1:
            exact = [name for name in others if name.lower() == "f"]
            if len(exact) != 1:
                raise InputError(
                    f"the table has {len(others)} columns besides h, k, l ({', '.join(others)}): name one "
                    "with F="
                )
            others = exact
        F = others[0]
    elif F not in columns:
        raise InputError(f"the table has no column {F!r}; it has {', '.join(others)}")
    hkl = np.column_stack([_whole(columns[name], name) for name in index_names])
    amplitudes = _real(columns[F], F)
    if len(amplitudes) != len(hkl):
        raise InputError(f"column {F} has {len(amplitudes)} rows and h, k, l have {len(hkl)}")
    h, k, l, values = sort_unique(hkl, amplitudes)  # noqa: E741
    size = None
    if cell is not None:
        if len(cell) != 6:
            raise InputError(f"cell has {len(cell)} numbers; a b c alpha beta gamma were expected")
        size = (cell[0], cell[1], cell[2], cell[3], cell[4], cell[5])
    return ReflectionList(
        h, k, l, values, cell=size, wavelength_A=wavelength_A, column=F, unique=len(values), source="table"
    )


def _table_columns(table: Any) -> dict[str, NDArray[Any]]:
    if isinstance(table, Mapping):
        return {str(name): np.asarray(values) for name, values in table.items()}
    if hasattr(table, "reset_index") and hasattr(table, "columns"):  # a DataFrame, without importing pandas
        named = [name for name in table.index.names if name is not None]
        frame = table.reset_index() if named else table
        return {str(name): frame[name].to_numpy() for name in frame.columns}
    array = np.asarray(table)
    if array.dtype.names is not None:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(
            f"an array of shape {array.shape} was given; rows of h k l F, shape (n, 4), were expected"
        )
    return {name: array[:, i] for i, name in enumerate(("h", "k", "l", "F"))}


def _real(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise InputError(f"column {name} holds complex numbers: give their modulus, numpy.abs(...)")
    try:
        result = array.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"column {name} has dtype {array.dtype}; numbers were expected") from None
    if result.ndim != 1 or result.size == 0:
        raise InputError(f"column {name} has shape {result.shape}; one non-empty dimension was expected")
    if not np.isfinite(result).all():
        row = int(np.flatnonzero(~np.isfinite(result))[0])
        raise InputError(f"column {name} has the value {result[row]} in row {row}: drop such rows")
    return result


def _whole(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = _real(values, name)
    whole = np.rint(array)
    if np.any(whole != array):
        row = int(np.flatnonzero(whole != array)[0])
        raise InputError(f"column {name} has {array[row]:g} in row {row}; Miller indices are whole numbers")
    if np.abs(whole).max() > MAX_INDEX:
        raise InputError(f"column {name} has {np.abs(whole).max():g}; indices up to {MAX_INDEX} are accepted")
    return whole.astype(np.int64)

"""Structure factors from MTZ and structure-factor mmCIF files.

Which column is taken
---------------------
The first of these classes that the file has, unless ``column=`` names one:

1. amplitudes calculated from a model: ``F-model``, ``FMODEL``, ``FC_ALL``, ``FC_ALL_LS``, ``FC``, ``FCALC``
   (in that order; mmCIF: ``pdbx_F_calc_with_solvent``, ``F_calc``, ``F_calc_au``) - complete and close to
   electrons, which measured data are not;
2. measured amplitudes as a Bijvoet pair, F(+) and F(-);
3. measured mean amplitudes;
4. measured intensities as a Bijvoet pair;
5. measured mean intensities.

Two columns in the same class are ambiguous: an error that lists them.  Map coefficients (``FWT``,
``2FOFCWT``, ``DELFWT``, ``FOFCWT``, ``ANOM``, and any other amplitude with a phase beside it) are taken only
when named.

Intensities become amplitudes as F = sqrt(max(I, 0)); the number of negative ones is reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, InputError
from ..files.sniff import check_file, identify
from .reflection_list import MAX_INDEX, ReflectionList, expand_to_p1, resolution_shells

if TYPE_CHECKING:
    import gemmi

__all__ = ["Candidate", "candidates", "read_mtz", "read_sf_cif"]

#: files larger than this are refused: an MTZ of 10 million reflections with 24 columns has 1 GiB
MAX_BYTES = 4 * 2**30

#: the last headers of an MTZ file lie in this many bytes from its end, history and appended text included
_HEADERS_AT_MOST = 16 * 2**20

_MODEL_LABELS = (
    "FMODEL",
    "FCALCWITHSOLVENT",
    "FCALL",
    "FCALLLS",
    "FC",
    "FCALC",
    "FCALCAU",
)
_MAP_LABEL = re.compile(r"(WT($|[^A-Z])|^F?DELF|^ANOM|^FAN$|^FEM$|FOFC|^PDBX_(FWT|DELFWT))", re.IGNORECASE)
_PAIR = (("(+)", "(-)"), ("_plus", "_minus"), ("plus", "minus"), ("+", "-"))

_CLASSES = (
    "model amplitudes",
    "measured amplitudes, Bijvoet pair",
    "measured amplitudes",
    "measured intensities, Bijvoet pair",
    "measured intensities",
    "map coefficients",
)
_MODEL, _F_PAIR, _F_MEAN, _I_PAIR, _I_MEAN, _MAP = range(6)


@dataclass(frozen=True)
class Candidate:
    """A column, or a Bijvoet pair of columns, that amplitudes can be made of.

    Attributes
    ----------
    name : str
        What ``column=`` takes: the label, or for a pair the label without its (+).
    labels : tuple of str
        One label, or the (+) and the (-) label.
    kind : str
        Class of the stated rule, in words.
    """

    name: str
    labels: tuple[str, ...]
    kind: str
    rank: tuple[int, int]
    intensity: bool

    def __str__(self) -> str:
        shown = " and ".join(self.labels)
        return f"{self.name} ({self.kind}{': ' + shown if len(self.labels) == 2 else ''})"


@dataclass(frozen=True)
class _Column:
    label: str
    type: str  # MTZ type letter: F J G K amplitude/intensity, mean or half; Q L M sigma; P phase
    group: int  # data set


@dataclass(frozen=True)
class _Table:
    path: Path
    hkl: NDArray[np.int64]
    columns: tuple[_Column, ...]
    values: Callable[[str], NDArray[np.float64]]
    cell: gemmi.UnitCell | None
    spacegroup: gemmi.SpaceGroup | None
    spacegroup_name: str
    wavelength: Callable[[str], float | None]
    notes: tuple[str, ...] = ()


def read_mtz(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    d_min_A: float | None = None,
    d_max_A: float | None = None,
    cell: tuple[float, ...] | None = None,
    spacegroup: str | None = None,
) -> ReflectionList:
    """Read a merged MTZ file and expand it to P1.

    Parameters
    ----------
    path : path-like
        The file.
    column : str, optional
        Label to take instead of the module's rule; either label of a Bijvoet pair, or the part they share,
        takes both.
    d_min_A, d_max_A : float, optional
        Resolution limits; None: everything.
    cell : 6 numbers, optional
        Instead of the file's (A, degrees).
    spacegroup : str, optional
        Hermann-Mauguin name instead of the file's.

    Returns
    -------
    ReflectionList

    Raises
    ------
    FileError
        Missing, damaged, unmerged or not an MTZ file.
    InputError
        No amplitude column, an ambiguous choice, no cell, an unknown space group, nothing left inside the
        limits.
    """
    path = check_file(path, what="reflection", max_bytes=MAX_BYTES)
    kind = identify(path)
    if kind != "mtz":
        raise FileError(f"{path} is not an MTZ file (it does not begin with 'MTZ ')")
    return _take(_mtz_table(path, spacegroup), column, d_min_A, d_max_A, cell)


def read_sf_cif(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    d_min_A: float | None = None,
    d_max_A: float | None = None,
    cell: tuple[float, ...] | None = None,
    spacegroup: str | None = None,
    block: str | None = None,
) -> ReflectionList:
    """Read a structure-factor mmCIF file (``_refln`` loop) and expand it to P1.

    `block` names the data block; None takes the first merged one.  Everything else as :func:`read_mtz`.
    Reflections with status x (not observed) are left out; those of the free set are kept.
    """
    path = check_file(path, what="reflection", max_bytes=MAX_BYTES)
    kind = identify(path)
    if kind != "cif":
        raise FileError(f"{path} is not a CIF file (it has no data_ block)")
    return _take(_cif_table(path, spacegroup, block), column, d_min_A, d_max_A, cell)


def candidates(path: str | os.PathLike[str]) -> tuple[Candidate, ...]:
    """Columns of an MTZ or structure-factor mmCIF file that ``column=`` can name, best first."""
    path = check_file(path, what="reflection", max_bytes=MAX_BYTES)
    table = _mtz_table(path, None) if identify(path) == "mtz" else _cif_table(path, None, None)
    return _candidates(table.columns)


# --- reading ---


def _mtz_table(path: Path, spacegroup: str | None) -> _Table:
    import gemmi

    if not _ends_like_mtz(path):
        raise FileError(f"{path} is truncated: its header has no end (MTZENDOFHEADERS)")
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except Exception as error:  # gemmi raises several kinds on damaged files
        raise FileError(f"{path} cannot be read as an MTZ file: {_one_line(error)}") from None
    if mtz.batches:
        raise FileError(f"{path} holds unmerged observations ({len(mtz.batches)} batches): merge them first")
    data = np.asarray(mtz.array)
    if data.ndim != 2 or data.shape[0] == 0 or data.shape[1] < 3:
        raise FileError(f"{path} holds no reflections")
    hkl = _indices(data[:, :3], path)
    cells = [ds.cell for ds in mtz.datasets] + [mtz.cell]
    cell = next((c for c in [mtz.cell, *cells] if _is_cell(c)), None)
    position = {c.label: i for i, c in enumerate(mtz.columns)}

    def values(label: str) -> NDArray[np.float64]:
        return data[:, position[label]].astype(np.float64)

    def wavelength(label: str) -> float | None:
        mine = mtz.columns[position[label]].dataset_id
        every = [ds.wavelength for ds in sorted(mtz.datasets, key=lambda ds: ds.id != mine)]
        return next((float(w) for w in every if w and np.isfinite(w) and w > 0), None)

    columns = tuple(_Column(c.label, c.type, c.dataset_id) for c in mtz.columns if c.label not in "HKL")
    group = _find_spacegroup(spacegroup) if spacegroup is not None else mtz.spacegroup
    return _Table(path, hkl, columns, values, cell, group, spacegroup or mtz.spacegroup_name, wavelength)


def _ends_like_mtz(path: Path) -> bool:
    """True when the headers, which are at the end of the file, are complete; unknown (True) inside gzip."""
    with path.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            return True
        stream.seek(max(0, path.stat().st_size - _HEADERS_AT_MOST))
        return b"MTZENDOFHEADERS" in stream.read()


#: mmCIF tag -> MTZ column type
_CIF_TYPES = {
    "F_meas": "F",
    "F_meas_au": "F",
    "pdbx_F_plus": "G",
    "pdbx_F_minus": "G",
    "F_calc": "F",
    "F_calc_au": "F",
    "pdbx_F_calc_with_solvent": "F",
    "pdbx_F_calc_part_solvent": "P",  # the solvent alone: never an amplitude to simulate with
    "intensity_meas": "J",
    "F_squared_meas": "J",
    "intensity_calc": "J",
    "F_squared_calc": "J",
    "pdbx_I_plus": "K",
    "pdbx_I_minus": "K",
    "pdbx_FWT": "F",
    "pdbx_DELFWT": "F",
}


def _cif_table(path: Path, spacegroup: str | None, block_name: str | None) -> _Table:
    import gemmi

    try:
        blocks = list(gemmi.as_refln_blocks(gemmi.cif.read(str(path))))
    except (RuntimeError, ValueError, OSError, MemoryError, IndexError) as error:
        raise FileError(
            f"{path} cannot be read as a structure-factor mmCIF file: {_one_line(error)}"
        ) from None
    named = [b for b in blocks if b]
    names = [b.block.name for b in named]
    if block_name is not None:
        named = [b for b in named if b.block.name == block_name]
        if not named:
            raise InputError(
                f"{path} has no block {block_name!r} with reflections; it has {', '.join(names) or 'none'}"
            )
    chosen = next((b for b in named if b.default_loop is not None and b.is_merged()), None)
    if chosen is None:
        raise FileError(f"{path} holds no merged reflections (no _refln loop in {len(blocks)} blocks)")
    tags = chosen.column_labels()
    try:
        hkl = _indices(np.asarray(chosen.make_miller_array(), dtype=np.float64), path)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{path} has reflections without indices: {_one_line(error)}") from None
    observed = np.ones(len(hkl), dtype=bool)
    if "status" in tags:
        loop = chosen.default_loop
        place = tags.index("status")
        status = [loop[row, place] for row in range(loop.length())]
        observed = np.array([value != "x" for value in status], dtype=bool)

    def values(label: str) -> NDArray[np.float64]:
        result = np.asarray(chosen.make_float_array(label, float("nan")), dtype=np.float64)
        return result if _CIF_TYPES[label] != "F" or _is_model(label) else np.where(observed, result, np.nan)

    def wavelength(_label: str) -> float | None:
        value = chosen.wavelength
        return float(value) if value and np.isfinite(value) and value > 0 else None

    found = []
    for tag in tags:
        if tag in _CIF_TYPES:
            found.append(_Column(tag, _CIF_TYPES[tag], 0))
    notes = [f"block {chosen.block.name}"] if len(names) > 1 else []
    if not observed.all():
        notes.append(f"{int((~observed).sum())} reflections with status x left out")
    group = _find_spacegroup(spacegroup) if spacegroup is not None else chosen.spacegroup
    name = spacegroup or chosen.block.find_value("_symmetry.space_group_name_H-M") or ""
    cell = chosen.cell if _is_cell(chosen.cell) else None
    return _Table(path, hkl, tuple(found), values, cell, group, name.strip("'\""), wavelength, tuple(notes))


# --- choosing ---


def _candidates(columns: tuple[_Column, ...]) -> tuple[Candidate, ...]:
    by_label = {c.label: c for c in columns}
    taken: set[str] = set()
    found: list[Candidate] = []
    for place, col in enumerate(columns):
        if col.type not in "FJGK" or col.label in taken:
            continue
        intensity = col.type in "JK"
        mate, shared = _mate(col, by_label)
        labels = (col.label,) if mate is None else (col.label, mate)
        taken.update(labels)
        rank = _rank(shared, len(labels) == 2, intensity, _phased(columns, place))
        found.append(Candidate(shared, labels, _CLASSES[rank[0]], rank, intensity))
    return tuple(sorted(found, key=lambda c: c.rank))


def _mate(col: _Column, by_label: dict[str, _Column]) -> tuple[str | None, str]:
    for plus, minus in _PAIR:
        if plus in col.label:
            other = col.label.replace(plus, minus)
            if other in by_label and by_label[other].type == col.type:
                return other, col.label.replace(plus, "")
    return None, col.label


def _plain(label: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", label.upper().removeprefix("PDBX_"))


def _is_model(name: str) -> bool:
    return _plain(name) in _MODEL_LABELS


def _rank(name: str, pair: bool, intensity: bool, phased: bool) -> tuple[int, int]:
    if not intensity and _is_model(name):
        return _MODEL, _MODEL_LABELS.index(_plain(name))
    if _MAP_LABEL.search(name) or (phased and not pair):
        return _MAP, 0
    if name.endswith("_calc"):  # calculated intensities
        return _MAP, 1
    if intensity:
        return (_I_PAIR if pair else _I_MEAN), 0
    return (_F_PAIR if pair else _F_MEAN), 0


def _phased(columns: tuple[_Column, ...], place: int) -> bool:
    """True when the column after this one is a phase, as in a set of map coefficients."""
    return place + 1 < len(columns) and columns[place + 1].type == "P"


def _choose(table: _Table, column: str | None) -> tuple[Candidate, str]:
    every = _candidates(table.columns)
    listing = "; ".join(str(c) for c in every)
    if column is not None:
        wanted = [part.strip() for part in column.split(",")]
        for candidate in every:
            if column == candidate.name or column in candidate.labels or set(wanted) == set(candidate.labels):
                return candidate, "as asked"
        labels = {c.label: c.type for c in table.columns}
        if column in labels:
            raise InputError(
                f"{table.path}: column {column} has type {labels[column]}, neither amplitude nor intensity; "
                f"usable: {listing or 'none'}"
            )
        raise InputError(f"{table.path} has no column {column!r}; usable: {listing or 'none'}")
    best = [c for c in every if c.rank[0] != _MAP]
    if not best:
        have = ", ".join(c.label for c in table.columns) or "none"
        extra = f"; to use map coefficients name one with column=: {listing}" if every else ""
        raise InputError(
            f"{table.path} has no column of amplitudes or intensities (types F, G, J, K); columns: "
            f"{have}{extra}"
        )
    first = best[0]
    rivals = [c for c in best if c.rank == first.rank]
    if len(rivals) > 1:
        names = ", ".join(repr(c.name) for c in rivals)
        raise InputError(
            f"{table.path}: which amplitudes? {len(rivals)} columns of the same kind ({first.kind}): "
            f"{names}. "
            f"Choose with column={rivals[0].name!r} (command line: -column {rivals[0].name}). All usable: "
            f"{listing}"
        )
    others = ", ".join(c.name for c in every if c is not first)
    return first, f"{first.kind}, first of the stated order" + (f"; also there: {others}" if others else "")


# --- making amplitudes ---


def _take(
    table: _Table,
    column: str | None,
    d_min: float | None,
    d_max: float | None,
    cell_given: tuple[float, ...] | None,
) -> ReflectionList:
    candidate, rule = _choose(table, column)
    cell = _cell(cell_given, table)
    if table.spacegroup is None:
        raise InputError(
            f"{table.path}: unknown space group {table.spacegroup_name!r}; give it with spacegroup='P 43 21 "
            "2'"
        )
    _check_limits(d_min, d_max)
    notes = list(table.notes)
    parts = [
        _amplitudes(table.values(label), label, candidate.intensity, notes) for label in candidate.labels
    ]
    plus, minus = parts[0], (parts[1] if len(parts) == 2 else None)
    known = np.isfinite(plus) if minus is None else np.isfinite(plus) | np.isfinite(minus)
    not_origin = np.any(table.hkl != 0, axis=1)
    known &= not_origin | (np.nan_to_num(plus) != 0)  # some programs write a row 0 0 0 without a value
    if not known.any():
        raise InputError(f"{table.path}: column {candidate.name} has no values")
    inverse_d2 = np.asarray(cell.calculate_1_d2_array(table.hkl.astype(np.int32)))
    inside = known & _inside(inverse_d2, d_min, d_max)
    if not inside.any():
        best, worst = inverse_d2[known].max() ** -0.5, inverse_d2[known].min() ** -0.5
        raise InputError(
            f"{table.path}: no reflection between {d_max or float('inf'):g} and {d_min or 0:g} A; the file "
            f"has {worst:.4g} to "
            f"{best:.4g} A"
        )
    hkl = table.hkl[inside]
    operations = table.spacegroup.operations()
    h, k, l, F = expand_to_p1(hkl, plus[inside], None if minus is None else minus[inside], operations)  # noqa: E741
    if minus is not None:
        centric = np.asarray(operations.centric_flag_array(hkl.astype(np.int32)), dtype=bool)
        halves = np.isfinite(plus[inside]) != np.isfinite(minus[inside])
        lone = int((halves & ~centric).sum())
        if lone:
            notes.append(f"{lone} acentric reflections with one Bijvoet mate only: used for both")
    shown = (
        candidate.name if len(candidate.labels) == 1 else f"{candidate.labels[0]} and {candidate.labels[1]}"
    )
    return ReflectionList(
        h,
        k,
        l,
        F,
        cell=_six(cell),
        wavelength_A=table.wavelength(candidate.labels[0]),
        spacegroup=table.spacegroup.xhm(),
        source=str(table.path),
        column=("sqrt of " if candidate.intensity else "") + shown,
        rule=rule,
        d_min_A=d_min if d_min is not None else float(inverse_d2[inside].max() ** -0.5),
        unique=int(inside.sum()),
        shells=resolution_shells(hkl, cell, table.spacegroup, d_min),
        notes=tuple(notes),
    )


def _amplitudes(
    values: NDArray[np.float64], label: str, intensity: bool, notes: list[str]
) -> NDArray[np.float64]:
    values = np.where(np.isfinite(values), values, np.nan)
    if not intensity:
        return np.abs(values)
    negative = int((values < 0).sum())
    if negative:
        notes.append(
            f"{negative} of {int(np.isfinite(values).sum())} intensities {label} are negative: amplitude 0"
        )
    return np.asarray(np.sqrt(np.maximum(values, 0.0)))  # maximum() keeps NaN


def _cell(given: tuple[float, ...] | None, table: _Table) -> gemmi.UnitCell:
    import gemmi

    if given is not None:
        cell = gemmi.UnitCell(*(float(x) for x in given))
        if not _is_cell(cell):
            raise InputError(f"cell {tuple(given)} A, degrees cannot form a cell")
        return cell
    if table.cell is None:
        raise InputError(
            f"{table.path} has no unit cell: give cell=(a, b, c, alpha, beta, gamma) in A and degrees"
        )
    return table.cell


def _is_cell(cell: Any) -> bool:
    numbers = np.array([cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma])
    return bool(np.isfinite(numbers).all() and (numbers > 0).all() and cell.is_crystal() and cell.volume > 0)


def _six(cell: gemmi.UnitCell) -> tuple[float, float, float, float, float, float]:
    return (cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma)


def _find_spacegroup(name: str) -> gemmi.SpaceGroup:
    import gemmi

    found = gemmi.find_spacegroup_by_name(name)
    if found is None:
        raise InputError(
            f"unknown space group {name!r}; a Hermann-Mauguin name such as 'P 43 21 2' was expected"
        )
    return found


def _check_limits(d_min: float | None, d_max: float | None) -> None:
    for name, value in (("d_min_A", d_min), ("d_max_A", d_max)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} = {value}; a positive number of angstrom was expected")
    if d_min is not None and d_max is not None and d_min >= d_max:
        raise InputError(f"d_min_A = {d_min} is not below d_max_A = {d_max}")


def _inside(inverse_d2: NDArray[Any], d_min: float | None, d_max: float | None) -> NDArray[np.bool_]:
    inside = np.ones(len(inverse_d2), dtype=bool)
    if d_min is not None:
        inside &= inverse_d2 <= d_min**-2
    if d_max is not None:
        inside &= inverse_d2 >= d_max**-2
    return inside


def _indices(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    whole = np.rint(values)
    bad = ~np.isfinite(values) | (whole != values) | (np.abs(np.nan_to_num(values)) > MAX_INDEX)
    if bad.any():
        row = int(np.flatnonzero(bad.any(axis=1))[0])
        shown = " ".join(f"{x:g}" for x in values[row])
        raise FileError(f"{path}: reflection {row + 1} has the indices {shown}: the file is damaged")
    return np.asarray(whole, dtype=np.int64)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

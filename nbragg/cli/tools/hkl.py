"""``nbragg hkl``: lists of structure factors from one format to another, in P1."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import ToolParser, number, positive, run_tool

if TYPE_CHECKING:
    from ...base.unit_cell import Cell
    from ...base.vectors import FloatArray
    from ...io.reflections.reflection_list import ReflectionList

__all__ = ["main"]

_FORMATS = {".hkl": "text", ".txt": "text", ".mtz": "mtz", ".bin": "dump", ".dump": "dump"}

#: options passed on to the reader, by their name there
_READER = ("column", "block", "spacegroup", "method")


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg hkl",
        description="Read structure factors (text list, dump, MTZ, structure-factor mmCIF; or a model: PDB, "
        "mmCIF, CIF), expand them to P1 with Friedel mates, cut them, and write a text list (.hkl, .txt), a "
        "dump file for nanobragg -dump (.bin, .dump) or an MTZ file (.mtz).",
    )
    parser.add_argument("input", metavar="IN")
    parser.add_argument("output", metavar="OUT", nargs="?")
    parser.add_argument("--columns", action="store_true", help="only list the columns that --column can name")
    parser.add_argument("--column", metavar="NAME", help="column to take, instead of the stated rule's")
    parser.add_argument("--block", metavar="NAME", help="data block of an mmCIF file")
    parser.add_argument("--dmin", type=positive, metavar="A", help="drop reflections of smaller spacing")
    parser.add_argument("--dmax", type=positive, metavar="A", help="drop reflections of larger spacing")
    parser.add_argument(
        "--cell",
        nargs=6,
        type=positive,
        metavar=("A", "B", "C", "AL", "BE", "GA"),
        help="instead of the file's",
    )
    parser.add_argument("--spacegroup", metavar="NAME", help="instead of the file's")
    parser.add_argument("--wavelength", type=positive, metavar="A", help="for f', f'' of a model")
    parser.add_argument("--no-anomalous", action="store_true", help="leave f', f'' of a model out")
    parser.add_argument("--solvent", action="store_true", help="add a bulk solvent to a model")
    parser.add_argument("--method", choices=("auto", "fft", "direct"), help="how a model is summed")
    parser.add_argument("--scale", type=number, metavar="X", default=1.0, help="multiply every amplitude")
    return parser


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the reader is asked for; options not given are None, which counts so there."""
    options: dict[str, Any] = {name: getattr(arguments, name) for name in _READER}
    options["cell"] = tuple(arguments.cell) if arguments.cell else None
    options["wavelength_A"] = arguments.wavelength
    options["anomalous"] = False if arguments.no_anomalous else None
    options["solvent"] = True if arguments.solvent else None
    return options


def _read(arguments: argparse.Namespace) -> ReflectionList:
    from ...io.reflections.formats import file_kind, read_structure_factors

    options = _options(arguments)
    if file_kind(arguments.input) in ("text", "dump"):
        options["cell"] = None  # a list in P1 says nothing about a cell; --cell is for the cut
    else:
        options["d_min_A"] = arguments.dmin
    return read_structure_factors(arguments.input, **options)


def _inverse_d_sqr(hkl: FloatArray, cell: Cell) -> FloatArray:
    from ...model.crystal import Crystal
    from ...model.physics import PHYSICS
    from ...model.structure_factors import StructureFactors
    from ...scene.crystal_cell import placed_cell

    crystal = Crystal(cell=cell, structure_factors=StructureFactors.constant(1.0))
    reciprocal = placed_cell(crystal, (0.0, 0.0, 0.0), PHYSICS["exact"]).reciprocal_vectors
    result: FloatArray = ((hkl @ reciprocal) ** 2).sum(axis=1)
    return result


def _cut(reflections: ReflectionList, arguments: argparse.Namespace) -> ReflectionList:
    import dataclasses

    import numpy as np

    from ...base.errors import InputError

    cell = tuple(arguments.cell) if arguments.cell else reflections.cell
    h, k, l, F = reflections.h, reflections.k, reflections.l, reflections.F  # noqa: E741 - the index's name
    keep = np.ones(len(F), dtype=bool)
    if arguments.dmin is not None or arguments.dmax is not None:
        if cell is None:
            raise InputError(f"{arguments.input} holds no cell: --dmin and --dmax need --cell")
        inverse = np.sqrt(_inverse_d_sqr(np.column_stack([h, k, l]).astype(np.float64), cell))
        # readers that cut have the same limits, so a hair's breadth keeps theirs
        if arguments.dmin is not None:
            keep &= inverse <= (1.0 + 1e-9) / arguments.dmin
        if arguments.dmax is not None:
            keep &= inverse >= (1.0 - 1e-9) / arguments.dmax
    if not keep.any():
        raise InputError(f"{arguments.input}: no reflection is left between --dmin and --dmax")
    unique = reflections.unique if reflections.spacegroup else int(keep.sum())
    return dataclasses.replace(
        reflections, h=h[keep], k=k[keep], l=l[keep], F=F[keep] * arguments.scale, cell=cell, unique=unique
    )


def _save(path: str, form: str, reflections: ReflectionList) -> None:
    if form == "text":
        _save_text(path, reflections)
    elif form == "mtz":
        _save_mtz(path, reflections)
    else:
        from ...io.reflections import dump as fdump
        from ...model.structure_factors import StructureFactors

        r = reflections
        factors = StructureFactors.from_reflections(r.h, r.k, r.l, r.F)
        assert factors.values is not None
        fdump.write(path, factors.values, factors.origin)


def _save_text(path: str, reflections: ReflectionList) -> None:
    from ...io.files.atomic import open_atomic

    r = reflections
    columns = (r.h.tolist(), r.k.tolist(), r.l.tolist(), r.F.tolist())
    with open_atomic(path, "w") as stream:
        # the shortest text that brings every double back
        stream.writelines(f"{row[0]} {row[1]} {row[2]} {row[3]!r}\n" for row in zip(*columns, strict=True))


def _save_mtz(path: str, reflections: ReflectionList) -> None:
    from ...base.errors import InputError
    from ...io.reflections.mtz_write import write_mtz

    r = reflections
    if r.cell is None:
        raise InputError(f"an MTZ file holds the cell, and {r.source} has none: give --cell")
    write_mtz(path, r.h, r.k, r.l, r.F, cell=r.cell, wavelength_A=r.wavelength_A)


def _run(arguments: argparse.Namespace) -> None:
    from ...base.errors import InputError
    from ...io.files.atomic import check_writable
    from ..terminal import busy

    if arguments.columns:
        from ...io.reflections.mtz_cif import candidates

        print("\n".join(str(candidate) for candidate in candidates(arguments.input)))
        return
    if arguments.output is None:
        raise InputError("no output file given (nbragg hkl -h explains)")
    form = _FORMATS.get(Path(arguments.output).suffix.lower())
    if form is None:
        raise InputError(
            f"{arguments.output}: the suffix names no format for structure factors; use one of "
            + " ".join(_FORMATS)
        )
    check_writable(arguments.output)
    with busy("reading"):
        reflections = _cut(_read(arguments), arguments)
    with busy("writing"):
        _save(arguments.output, form, reflections)
    print(reflections.report())
    print(f"wrote {arguments.output}: {len(reflections)} reflections")


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

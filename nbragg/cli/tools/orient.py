"""``nbragg orient``: a MOSFLM orientation matrix for ``nanobragg -mat`` (canonical 2, 5.2)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import ToolParser, number, positive, run_tool

if TYPE_CHECKING:
    from ...base.unit_cell import Cell
    from ...base.vectors import FloatArray
    from ...model.beam import Beam

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg orient",
        description="Write an A matrix: nine numbers, rows x y z, columns a* b* c*, times the wavelength. "
        "Read it with nanobragg -mat FILE and the same wavelength.",
    )
    parser.add_argument("output", metavar="OUT", help="matrix file to write")
    parser.add_argument(
        "--cell",
        nargs="+",
        type=positive,
        metavar="X",
        required=True,
        help="a [b c [alpha beta gamma]] in A and degrees",
    )
    turn = parser.add_mutually_exclusive_group()
    turn.add_argument(
        "--misset", nargs=3, type=number, metavar=("X", "Y", "Z"), help="degrees about x, then y, then z"
    )
    turn.add_argument("--random", action="store_true", help="a random orientation")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the random orientation; also means --random"
    )
    wave = parser.add_mutually_exclusive_group()
    wave.add_argument("--wavelength", type=positive, metavar="A", help="default 1 A")
    wave.add_argument("--energy", type=positive, metavar="EV")
    parser.add_argument(
        "--physics",
        choices=("exact", "nanobragg"),
        default="exact",
        help="exact (default): the true cell, and random orientations uniform in space; nanobragg: as "
        "nanobragg -misset makes them, triclinic cells a little distorted",
    )
    return parser


def _cell(values: list[float]) -> Cell:
    if len(values) not in (1, 3, 6):
        from ...base.errors import InputError

        raise InputError(f"--cell has {len(values)} numbers; 1, 3 or 6 were expected")
    a, b, c = values[:3] if len(values) > 1 else values * 3
    alpha, beta, gamma = values[3:] or (90.0, 90.0, 90.0)
    return a, b, c, alpha, beta, gamma


def _run(arguments: argparse.Namespace) -> None:
    import math

    from ...base.errors import InputError
    from ...model.beam import Beam
    from ...model.crystal import Crystal
    from ...model.physics import PHYSICS
    from ...model.structure_factors import StructureFactors
    from ...scene.crystal_cell import misset, placed_cell

    random = arguments.random or arguments.seed is not None
    if random and arguments.misset is not None:
        raise InputError("--misset and --seed exclude each other: give the angles or a random orientation")
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    beam = (
        Beam.from_energy(arguments.energy)
        if arguments.energy
        else Beam(wavelength_A=arguments.wavelength or 1.0)
    )
    crystal = Crystal(
        cell=_cell(arguments.cell),
        misset_deg="random" if random else tuple(arguments.misset or (0.0, 0.0, 0.0)),
        misset_seed=seed if random else None,
        structure_factors=StructureFactors.constant(1.0),
    )
    physics = PHYSICS[arguments.physics]
    angles = misset(crystal, physics)
    cell = placed_cell(crystal, angles, physics)
    matrix = cell.reciprocal_vectors.T * beam.wavelength_A
    _write(arguments.output, matrix)
    print(f"cell        {' '.join(f'{x:.6g}' for x in cell.direct)}  (A, deg)")
    print(f"misset      {' '.join(f'{math.degrees(x) + 0.0:.6f}' for x in angles)}  (deg about x, y, z)")
    if random:
        print(f"seed        {seed}")
    print(f"wavelength  {_wavelength(beam)}")
    print(f"wrote       {arguments.output}")


def _wavelength(beam: Beam) -> str:
    return f"{beam.wavelength_A:.8g} A ({beam.energy_eV:.8g} eV)"


def _write(path: str, matrix: FloatArray) -> None:
    from ...io.files.atomic import open_atomic

    with open_atomic(path, "w") as stream:
        for row in matrix:
            # 17 digits bring every double back
            stream.write(" ".join(f"{x + 0.0: .16e}" for x in row) + "\n")


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

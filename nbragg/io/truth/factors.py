"""The structure factors that were used, as an MTZ file."""

from __future__ import annotations

import os

from ...base.errors import InputError
from ..files.atomic import PathLike
from ..reflections.mtz_write import write_mtz
from .record import Truth

__all__ = ["write_factors"]


def write_factors(path: PathLike, truth: Truth) -> None:
    """Write the list of the only crystal; see `nbragg.io.reflections.mtz_write.write_mtz`.

    Raises
    ------
    InputError
        Several crystals, no set-up, or structure factors that are one number.
    FileError
    """
    if len(truth.factors) != 1:
        raise InputError(
            f"{os.fspath(path)}: an MTZ file holds the list of one crystal; there are {len(truth.factors)}"
        )
    factors, sweep = truth.factors[0], truth.sweeps[0]
    if factors.values is None:
        raise InputError(
            f"{os.fspath(path)}: every structure factor is {factors.default_F:g}; there is no list to write"
        )
    write_mtz(
        path,
        *factors.listed(),
        cell=sweep.placement.crystals[0].unit_cell.direct,
        wavelength_A=sweep.source.wavelength * 1e10,
    )

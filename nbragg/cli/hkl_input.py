"""The file of ``-hkl``: a text list or a dump, or one that also holds a cell and a wavelength."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..base import memory
from ..base.errors import InputError
from ..base.warn import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..io.reflections.reflection_list import ReflectionList
    from ..model.beam import Beam
    from ..model.detector import Detector
    from ..model.structure_factors import StructureFactors

__all__ = ["ReflectionFile", "open_file"]

#: bytes of structure factors at several energies above which it is said how many they are
_LARGE = 500_000_000

Cell = tuple[float, float, float, float, float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class ReflectionFile:
    """What is known before beam and detector are."""

    path: str
    kind: str  #: "text", "dump", "mtz", "sf-cif" or "model"
    column: str | None = None
    cell: Cell | None = None  #: that the file holds
    wavelength_A: float | None = None  #: that the file holds
    own_cell: Cell | None = None  #: given because the file holds none
    reflections: ReflectionList | None = None  #: of a model not before its resolution is known

    def structure_factors(
        self,
        beam: Beam,
        detector: Detector,
        dmin_A: float | None,
        default_F: float,
        physics: str,
        energies: NDArray[np.float64] | None = None,
    ) -> tuple[StructureFactors, tuple[str, ...]]:
        """The structure factors, and lines that tell where they come from (none for lists and dumps).

        Those of a model reach as far as the detector does, or as ``dmin_A``, below which samples are skipped.
        Where its f' and f'' differ over the ``energies`` (eV) of a spectrum there are several lists.
        """
        from ..model.spectrum import Spectrum
        from ..model.structure_factors import StructureFactors

        if self.kind in ("text", "dump"):
            options = {} if self.column is None else {"column": self.column}
            return StructureFactors.from_file(self.path, default_F=default_F, **options), ()
        found = self.reflections
        if found is None:
            from ..io.crystal_files import model_limit
            from ..io.reflections.formats import read_structure_factors

            cell = self.own_cell or self.cell
            assert cell is not None
            if energies is not None and energies.min() < energies.max():
                shortest = beam.replace(spectrum=Spectrum(energies.max(keepdims=True)))
                limit = model_limit(cell, shortest, detector, dmin_A, physics=physics)
                several = self._at_energies(energies, limit, default_F)
                if several is not None:
                    return several
            found = read_structure_factors(
                self.path,
                d_min_A=model_limit(cell, beam, detector, dmin_A, physics=physics),
                wavelength_A=beam.wavelength_A,
                cell=self.own_cell,
                column=self.column,
            )
        factors = StructureFactors.from_reflections(
            found.h, found.k, found.l, found.F, default_F, found.spacegroup or ""
        )
        return factors, tuple(found.report().splitlines())

    def _at_energies(
        self, energies: NDArray[np.float64], d_min_A: float, default_F: float
    ) -> tuple[StructureFactors, tuple[str, ...]] | None:
        """A list at each node of a spectrum; None: the energy does not matter."""
        from ..io.reflections.energies import SpectralModel
        from ..model.structure_factors import boxed

        model = SpectralModel(self.path, d_min_A, energies, cell=self.own_cell)
        if not model.differs:
            return None
        if model.size > _LARGE:
            warn(
                f"structure factors at {len(model.energies_eV)} energies of the spectrum take "
                f"{memory.readable(model.size)}: less with -dmin, or with -hkl of a list at one energy, as "
                "nbragg hkl makes it of a model"
            )
        found = model.tables()
        return boxed(found, default_F), tuple(found.report.splitlines())


def open_file(path: str, column: str | None, given_cell: Cell | None) -> ReflectionFile:
    """Tell what a file is, and read of it what does not depend on beam and detector.

    Parameters
    ----------
    path : str
    column : str or None
        Of an MTZ or structure-factor mmCIF file.
    given_cell : 6 floats or None
        Stands in where the file holds no cell.

    Raises
    ------
    InputError, FileError
    """
    from ..io.reflections.formats import file_kind, read_structure_factors

    # the text reader says what is wrong with a file that is missing, empty or a folder
    readable = os.path.isfile(path) and os.path.getsize(path) > 0
    kind = file_kind(path) if readable else "text"
    if kind in ("text", "dump"):
        return ReflectionFile(path, kind, column)
    if kind == "model":
        if column is not None:
            raise InputError(f"-column {column}: {path} is a model, which has no columns; leave it out")
        from ..io.reflections.models import model_summary

        (cell, wavelength), own = _with_cell(model_summary, path, given_cell, {})
        return ReflectionFile(path, kind, None, cell, wavelength, own)
    reflections, own = _with_cell(read_structure_factors, path, given_cell, {"column": column})
    return ReflectionFile(
        path, kind, column, reflections.cell, reflections.wavelength_A, own, reflections=reflections
    )


def _with_cell(
    read: Callable[..., T], path: str, cell: Cell | None, options: dict[str, Any]
) -> tuple[T, Cell | None]:
    """Read a file by its own cell, or by the one given where that fails."""
    try:
        return read(path, **options), None
    except InputError:
        if cell is None:
            raise
    return read(path, cell=cell, **options), cell

"""Structure factors of a model at several photon energies (beyond 15.5).

For atoms j of an element el, with occupancy o and Debye-Waller factor T,

    F(h, E) = F_0(h) + sum_el [f'_el(E) + i f''_el(E)] A_el(h),   A_el(h) = sum_j o_j T_j(h) exp(2 pi i h.x_j)

F_0 with IT92 form factors, and bulk solvent where it is asked for: neither knows the energy.  F_0 and the A
are calculated once, an energy then costs a sum; F^2 between two energies is taken as linear.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import attenuation, memory
from ...base import validate as check
from ...base.constants import HC_EV_A
from ...base.errors import InputError
from ...base.names import suggestion
from . import models
from .models import Solvent
from .mtz_cif import _six
from .reflection_list import ReflectionList, expand_to_p1

__all__ = ["ModelTables", "SpectralModel", "energy_nodes", "model_tables"]

#: half the width of what is put about an absorption edge, eV
_EDGE = 1.0

Terms = dict[str, tuple[float, float]]


class ModelTables(NamedTuple):
    """Indices (n,) of P1, amplitudes (nodes, n) at energies (nodes,), eV, a report, and a symbol."""

    energies_eV: NDArray[np.float64]
    h: NDArray[np.int32]
    k: NDArray[np.int32]
    l: NDArray[np.int32]  # noqa: E741 - the index's name
    F: NDArray[np.float64]
    report: str
    space_group: str


def energy_nodes(energies_eV: Any, elements: Iterable[str], most: int) -> NDArray[np.float64]:
    """Energies at which structure factors are calculated.

    Parameters
    ----------
    energies_eV : array_like (n,)
        Of the beam.
    elements : iterable of str
        Of the model.
    most : int
        Where there are more energies, so many evenly over their range instead.

    Returns
    -------
    ndarray
        Ascending; about every absorption edge between the lowest and the highest there are two, 1 eV below
        and above.
    """
    given = np.unique(check.frozen_array("energies_eV", energies_eV, (None,)))
    if given.size == 0 or given[0] <= 0:
        raise InputError("energies_eV must hold at least one energy, and positive ones")
    nodes = given if len(given) <= most else np.linspace(given[0], given[-1], most)
    low, high = float(given[0]), float(given[-1])
    edges = np.array([edge for name in elements for edge in attenuation.edges(name, low, high)])
    about = np.concatenate([edges - _EDGE, edges + _EDGE])
    return np.unique(np.concatenate([nodes, about[(about > low) & (about < high)]]))


class SpectralModel:
    """A model, and what its structure factors at the nodes of a spectrum ask for before they are calculated.

    Parameters and errors as `nbragg.StructureFactors.from_model`; ``most`` is its ``energy_nodes``.

    Attributes
    ----------
    energies_eV : ndarray (nodes,)
    differs : bool
        Whether f' or f'' of some element is not the same at all of them.
    size : int
        Bytes of the amplitudes, each energy's on its box of indices.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        d_min_A: float,
        energies_eV: Any,
        *,
        most: int = 9,
        anomalous: bool = True,
        fprime: Mapping[str, Any] | None = None,
        solvent: Solvent | bool = False,
        method: str = "auto",
        cell: Sequence[float] | None = None,
        spacegroup: str | None = None,
    ) -> None:
        self._limit = check.number("d_min_A", d_min_A, above=0)
        self._method = check.choice("method", method, ("auto", "direct", "fft"))
        self._solvent = solvent
        self._model = models._read(path, None if cell is None else tuple(cell), spacegroup)
        elements = sorted(self._model.elements)
        tables = _overrides(fprime, elements)
        self.energies_eV = energy_nodes(energies_eV, elements, most)
        self._terms = [
            _terms(elements, float(energy), tables) if anomalous else {} for energy in self.energies_eV
        ]
        self.differs = any(one != self._terms[0] for one in self._terms)
        edges = self._model.cell.a, self._model.cell.b, self._model.cell.c
        self.size = 8 * len(self.energies_eV) * math.prod(2 * int(edge / self._limit) + 1 for edge in edges)

    def tables(self) -> ModelTables:
        """Calculate them."""
        model, limit, nodes = self._model, self._limit, self.energies_eV
        notes = list(model.notes)
        what = f"structure factors at {len(nodes)} energies"
        remedy = "give a larger d_min_A (-dmin), fewer energies, or a list at one energy (nbragg hkl)"
        memory.require(self.size, what, remedy)
        hkl = models._unique_with_absences(model, limit)
        calculated = 16 * (len(model.elements) + 2) * len(hkl) + 32 * len(nodes) * len(hkl) * _copies(model)
        memory.require(self.size + calculated, what, remedy)
        base, parts = _parts(model, hkl, self._terms, limit, self._method, notes)
        if self._solvent:
            parameters = self._solvent if isinstance(self._solvent, Solvent) else Solvent()
            base = base + models._solvent_part(model, hkl, parameters, limit, notes)
        operations = model.spacegroup.operations()
        centric = np.asarray(operations.centric_flag_array(hkl.astype(np.int32)), dtype=bool)
        # where each index of P1 finds its amplitude: nowhere (0), among the plus halves, among the minus ones
        plus = np.arange(1.0, len(hkl) + 1.0)
        minus = np.where(centric, plus, plus + len(hkl))
        h, k, l, found = expand_to_p1(hkl, plus, minus, operations)  # noqa: E741 - the index's name
        h, k, l, found = models._fill_absences(h, k, l, found, model.cell, limit)  # noqa: E741
        place = found.astype(np.int64)
        F = np.empty((len(nodes), len(place)))
        for row, of_energy in zip(F, self._terms, strict=True):
            A, B = base, np.zeros_like(base)
            for name, part in parts.items():
                A, B = A + of_energy[name][0] * part, B + of_energy[name][1] * part
            row[:] = np.concatenate([[0.0], np.abs(A + 1j * B), np.abs(A - 1j * B)])[place]
        straight = float(F[len(F) // 2][(h == 0) & (k == 0) & (l == 0)][0])
        listed = ReflectionList(
            h,
            k,
            l,
            F[len(F) // 2],
            cell=_six(model.cell),
            spacegroup=model.spacegroup.xhm(),
            source=str(model.path),
            column=f"|F| calculated from the model at {_span(nodes)}"
            + (" with f', f''" if self._terms[0] else "")
            + (" and bulk solvent" if self._solvent else ""),
            rule=f"{model.atoms} atoms, F(000) = {straight:.5g}",
            d_min_A=limit,
            unique=len(hkl),
            notes=(*notes, *self._term_notes()),
        )
        return ModelTables(nodes, h, k, l, F, listed.report(), model.spacegroup.xhm())

    def _term_notes(self) -> list[str]:
        """f' and f'' at the first and the last energy."""
        first, last = self._terms[0], self._terms[-1]
        ends = (f"{name} {_pair(first[name])} to {_pair(last[name])}" for name in sorted(first))
        return ["f', f'': " + ", ".join(ends)] if first else []


def _pair(terms: tuple[float, float]) -> str:
    return f"{terms[0]:.3f} {terms[1]:.3f}"


def _span(energies: NDArray[np.float64]) -> str:
    if len(energies) == 1:
        return f"{energies[0]:g} eV"
    return f"{len(energies)} energies, {energies[0]:g} to {energies[-1]:g} eV,"


def model_tables(
    path: str | os.PathLike[str], d_min_A: float, energies_eV: Any, **options: Any
) -> ModelTables:
    """Structure factors of a model at the nodes of a spectrum; options and errors as of `SpectralModel`."""
    return SpectralModel(path, d_min_A, energies_eV, **options).tables()


def _copies(model: Any) -> int:
    return 2 * len(list(model.spacegroup.operations()))


def _parts(
    model: Any,
    hkl: NDArray[np.int64],
    terms: Sequence[Terms],
    d_min: float,
    method: str,
    notes: list[str],
) -> tuple[NDArray[np.complex128], dict[str, NDArray[np.complex128]]]:
    """F_0, and A of every element that has anomalous terms at some energy."""
    names = [name for name in terms[0] if any(one[name] != (0.0, 0.0) for one in terms)]
    # differences are taken: one method for all, that of a single energy
    method = models._chosen(model, len(hkl), method, 2)
    base, _ = models._factors(model, hkl, {}, d_min, method, notes)
    parts = {}
    for name in names:
        # calculations are linear in what is added to a form factor: one electron more
        more, _ = models._factors(model, hkl, {name: (1.0, 0.0)}, d_min, method, [])
        parts[name] = more - base
    return base, parts


def _terms(elements: Sequence[str], energy: float, tables: Mapping[str, NDArray[np.float64]]) -> Terms:
    """f' and f'' of each element at an energy."""
    found = models.anomalous_terms([name for name in elements if name not in tables], HC_EV_A / energy)
    for name, table in tables.items():
        x = table[:, 0]
        if not x[0] <= energy <= x[-1]:
            raise InputError(
                f"fprime of {name} goes from {x[0]:g} to {x[-1]:g} eV, and {energy:g} eV are asked for"
            )
        found[name] = (float(np.interp(energy, x, table[:, 1])), float(np.interp(energy, x, table[:, 2])))
    return found


def _overrides(fprime: Mapping[str, Any] | None, elements: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    if fprime is None:
        return {}
    if not isinstance(fprime, Mapping):
        raise InputError("fprime must be a mapping of elements to rows (energy_eV, f', f'')")
    tables = {}
    for name, rows in fprime.items():
        if name not in elements:
            raise InputError(f"fprime: the model has no element {name!r}{suggestion(str(name), elements)}")
        table = check.frozen_array(f"fprime[{name!r}]", rows, (None, 3))
        if len(table) == 0 or (np.diff(table[:, 0]) <= 0).any():
            raise InputError(f"fprime[{name!r}] must hold rows (energy_eV, f', f'') by ascending energy")
        tables[name] = table
    return tables

"""How strongly elements attenuate X-rays: the table that comes with the package.

Of Elam, Ravel and Sieber (Radiat. Phys. Chem. 63 (2002) 121), through xraydb, made by
``scripts/attenuation_table.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .formula import SYMBOLS
from .vectors import FloatArray

__all__ = ["KINDS", "RANGE_EV", "edges", "mass_attenuation"]

KINDS = ("photo", "total")
RANGE_EV = (1e3, 1e5)


class _Element(NamedTuple):
    """ln of energies (eV, an edge twice) and of mass attenuation coefficients (cm^2/g) by kind; g/mol."""

    log_energy: FloatArray
    log_values: dict[str, FloatArray]
    mass: float


@functools.cache
def _stored() -> dict[str, npt.NDArray[np.float64]]:
    with np.load(Path(__file__).parents[1] / "data" / "attenuation.npz") as stored:
        return {name: stored[name] for name in ("grid_eV", "extra_eV", "extra", "mass", *KINDS)}


@functools.cache
def _element(symbol: str) -> _Element:
    stored, number = _stored(), SYMBOLS.index(symbol)
    before = int(stored["extra"][:number].sum())
    extra = stored["extra_eV"][before : before + int(stored["extra"][number])]
    log_energy = np.log(np.sort(np.concatenate([stored["grid_eV"], extra])))
    first = number * len(stored["grid_eV"]) + before
    here = slice(first, first + len(log_energy))
    values = {kind: stored[kind][here].astype(np.float64) for kind in KINDS}
    return _Element(log_energy, values, float(stored["mass"][number]))


def edges(symbol: str, low: float, high: float) -> list[float]:
    """Absorption edges of an element between two energies, eV; those of the table, none beyond it."""
    if symbol not in SYMBOLS[: len(_stored()["extra"])]:
        return []
    log_energy = _element(symbol).log_energy
    twice = np.exp(log_energy[1:][np.diff(log_energy) == 0])
    return [float(energy) for energy in twice if low <= energy <= high]


def mass_attenuation(atoms: Mapping[str, float], energy_eV: Any, kind: str) -> FloatArray:
    """Mass attenuation coefficient of a compound: those of its elements by their shares of the mass.

    Parameters
    ----------
    atoms : mapping of str to float
        Number of atoms of each element.
    energy_eV : array_like
        1000 to 100000; may be complex, with an infinitesimal imaginary part.
    kind : {"photo", "total"}
        Photoelectric absorption, or all that takes photons out of a narrow beam.

    Returns
    -------
    ndarray
        m^2/kg.

    Raises
    ------
    InputError
        For an energy outside the table.
    """
    energy = np.asarray(energy_eV)
    if not ((energy.real >= RANGE_EV[0]) & (energy.real <= RANGE_EV[1])).all():
        raise InputError(
            f"attenuation is known from {RANGE_EV[0]:g} to {RANGE_EV[1]:g} eV, not at "
            f"{' '.join(f'{x:g}' for x in np.ravel(energy.real)[:3])} eV"
        )
    log_energy = np.log(energy)
    weighed = {symbol: count * _element(symbol).mass for symbol, count in atoms.items()}
    total = np.zeros(energy.shape)
    for symbol, mass in weighed.items():
        known, values = _element(symbol).log_energy, _element(symbol).log_values[kind]
        place = np.clip(np.searchsorted(known, log_energy.real, side="right") - 1, 0, len(known) - 2)
        slope = (values[place + 1] - values[place]) / (known[place + 1] - known[place])
        total = total + mass * np.exp(values[place] + slope * (log_energy - known[place]))
    return np.asarray(0.1 * total / sum(weighed.values()))

"""Writes nbragg/data/attenuation.npz from the tables of Elam, Ravel and Sieber in xraydb (public domain).

    pip install xraydb==4.5.8
    python scripts/attenuation_table.py

Of each element from hydrogen to uranium: mass attenuation coefficients (photoelectric absorption, and with
coherent and incoherent scattering, cm^2/g) at 400 energies from 1 to 100 keV, equally spaced in their
logarithm, at those of xraydb's own table and on both sides of every edge; its atomic mass, g/mol.  Numbers
are kept as float32 logarithms: their error is 5e-7 of the value.

    W. T. Elam, B. D. Ravel, J. R. Sieber, Radiat. Phys. Chem. 63 (2002) 121
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xraydb
from xraydb.xraydb import XrayDB

TARGET = Path(__file__).parents[1] / "nbragg" / "data" / "attenuation.npz"
LOWEST_EV, HIGHEST_EV, ENERGIES, ELEMENTS = 1e3, 1e5, 400, 92
#: how far beside an energy its coefficient is read, as a fraction of it
BESIDE = 1e-7


def energies_of(database: XrayDB, symbol: str) -> np.ndarray:
    """Energies (eV) at which xraydb's own table of absorption stands; an edge stands twice."""
    row = database.get_cache("photoabsorption", column="element", value=symbol)[0]
    logarithm = np.array(json.loads(row.log_energy))
    return np.exp(logarithm[(logarithm > np.log(LOWEST_EV)) & (logarithm < np.log(HIGHEST_EV))])


def beside(energies: np.ndarray) -> np.ndarray:
    """Where to read them: on the lower side of an edge that stands twice, and of the last; else the upper.

    xraydb interpolates from the neighbour before to that behind at exactly the energies of its table.
    """
    lower = np.append(np.diff(energies) == 0, True)
    return energies * np.where(lower, 1 - BESIDE, 1 + BESIDE)


def main() -> None:
    database = XrayDB()
    grid = np.geomspace(LOWEST_EV, HIGHEST_EV, ENERGIES)
    masses, extra, counts, photo, total = [], [], [], [], []
    for number in range(1, ELEMENTS + 1):
        symbol = str(database.symbol(number))
        own = energies_of(database, symbol)
        energies = beside(np.sort(np.concatenate([grid, own])))
        masses.append(float(database.molar_mass(symbol)))
        extra.append(own)
        counts.append(len(own))
        for kind, columns in (("photo", photo), ("total", total)):
            columns.append(np.log(xraydb.mu_elam(symbol, energies, kind=kind)))
    np.savez_compressed(
        TARGET,
        mass=np.array(masses),
        grid_eV=grid,
        extra_eV=np.concatenate(extra),
        extra=np.array(counts, np.int16),
        photo=np.concatenate(photo).astype(np.float32),
        total=np.concatenate(total).astype(np.float32),
    )
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {sum(counts)} energies beside the grid")


if __name__ == "__main__":
    main()

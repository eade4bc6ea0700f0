"""Writes nbragg/data/helium.stol: what a helium atom scatters, as an amplitude, by sin(theta)/lambda.

F = sqrt(f^2 + S): f, the form factor of International Tables C 6.1.1.4 as gemmi has it; S, the incoherent
scattering function of J. H. Hubbell et al., J. Phys. Chem. Ref. Data 4 (1975), 471-538, as xraylib 4.3.0
(BSD licence) gives it.  Run: pip install gemmi xraylib; python scripts/helium_table.py
"""

from __future__ import annotations

import importlib
from pathlib import Path

import gemmi
import numpy as np

TARGET = Path(__file__).parents[1] / "nbragg" / "data" / "helium.stol"

#: 1/angstrom; the form factor holds to 2
STEP, MOST = 0.005, 2.0


def main() -> None:
    xraylib = importlib.import_module("xraylib")
    helium = gemmi.Element("He")
    lines = []
    for s in np.arange(round(MOST / STEP) + 1) * STEP:
        f = helium.it92.calculate_sf(float(s) ** 2)
        incoherent = xraylib.SF_Compt(helium.atomic_number, float(s)) if s > 0 else 0.0
        lines.append(f"{s:.3f} {np.sqrt(f * f + incoherent):.5f}\n")
    TARGET.write_text("".join(lines))
    print(f"wrote {TARGET}, {len(lines)} rows")


if __name__ == "__main__":
    main()

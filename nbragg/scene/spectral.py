"""How the channels of a spectrum are rendered: what is right, and what pays (beyond 15.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base import validate as check
from ..base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .record import CrystalBlock, FactorTable, Sources

__all__ = ["RENDERINGS", "choose_rendering"]

#: what a person may ask for
RENDERINGS = ("auto", "direct", "line", "culled")

#: squared radius, fudge folded in, where a spot has fallen to 1e-9 of its peak (csrc/nb_line.h)
_OUTER = {"gauss": 6.53, "tophat": 0.397, "round": 9800.0}


def choose_rendering(
    wanted: str, sources: Sources, crystals: Sequence[CrystalBlock], tables: Sequence[FactorTable]
) -> str:
    """The rendering of a Scene's spectrum: `Scene.spectral`.

    Parameters
    ----------
    wanted : {"auto", "direct", "line", "culled"}
        "auto": "line" where every crystal has Gaussian spots that end, to 1e-9 of their peak, before the next
        reflection is nearer; else "culled" where every shape ends so soon; else "direct".
    sources : Sources
        Without channels the answer is "direct".
    crystals : sequence of CrystalBlock
    tables : sequence of FactorTable

    Returns
    -------
    {"direct", "line", "culled"}

    Raises
    ------
    InputError
        For a rendering that is not known, and for one that a crystal does not allow: interpolated structure
        factors, a shape whose tails count.
    """
    wanted = check.choice("spectral", wanted, RENDERINGS)
    if sources.channel is None or wanted == "direct":
        return "direct"
    kinds = {
        "line": [_why_not(block, tables[block.table], ("gauss",)) for block in crystals],
        "culled": [_why_not(block, tables[block.table], tuple(_OUTER)) for block in crystals],
    }
    if wanted != "auto":
        for number, why in enumerate(kinds[wanted]):
            if why:
                name = f"crystal {number}" if len(crystals) > 1 else "the crystal"
                raise InputError(
                    f"spectral = {wanted!r} cannot be: {name} has {why}; give 'auto' or 'direct'"
                )
        return wanted
    for kind, reasons in kinds.items():
        if not any(reasons) and all(_ends(block) for block in crystals):
            return kind
    return "direct"


def _why_not(block: CrystalBlock, table: FactorTable, shapes: tuple[str, ...]) -> str:
    if table.values is not None and table.interpolation != "nearest":
        return "interpolated structure factors, and those of the nearest reflection are wanted"
    if block.displacement is not None:
        return "displaced atoms, whose factor changes within a channel"
    if block.shape not in shapes:
        return f"the shape {block.shape!r}, and {' or '.join(map(repr, shapes))} is wanted"
    return ""


def _ends(block: CrystalBlock) -> bool:
    """Whether a spot ends before the half-way planes to the next reflections."""
    inverse = np.linalg.inv(np.real(block.shape_metric))
    nearest = np.real(block.fudge) * 0.25 / np.diag(inverse).max()
    return bool(nearest > _OUTER[block.shape])

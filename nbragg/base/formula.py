"""Chemical formulas: from ``C22H10N2O5`` to how many atoms there are of each element."""

from __future__ import annotations

import re

from .errors import InputError
from .names import suggestion

__all__ = ["SYMBOLS", "parse_formula"]

#: elements 1 to 92
SYMBOLS: tuple[str, ...] = tuple(
    re.findall(
        "[A-Z][a-z]?",
        "HHeLiBeBCNOFNeNaMgAlSiPSClArKCaScTiVCrMnFeCoNiCuZnGaGeAsSeBrKrRbSrYZrNbMoTcRuRhPdAgCdInSnSbTeIXe"
        "CsBaLaCePrNdPmSmEuGdTbDyHoErTmYbLuHfTaWReOsIrPtAuHgTlPbBiPoAtRnFrRaAcThPaU",
    )
)

_TOKEN = re.compile(r"([A-Z][a-z]?|\(|\))(\d+\.?\d*|\.\d+)?")


def parse_formula(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula; counts may be fractions, and groups in round brackets repeat.

    Parameters
    ----------
    formula : str
        Symbols of elements 1 to 92, each followed by its count where that is not 1.  Blanks do not count.

    Raises
    ------
    InputError
        For anything else, and a count of 0.

    Examples
    --------
    >>> parse_formula("Ca(OH)2")
    {'Ca': 1.0, 'O': 2.0, 'H': 2.0}
    >>> parse_formula("N1.562 O0.42 Ar0.0093")
    {'N': 1.562, 'O': 0.42, 'Ar': 0.0093}
    """
    text = "".join(formula.split())
    groups: list[dict[str, float]] = [{}]
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise _not_a_formula(formula, f"there is {text[place]!r}")
        name, count = token[1], float(token[2] or 1)
        place = token.end()
        if count == 0 or (name == "(" and token[2]):
            raise _not_a_formula(formula, f"a count of {token[2]} after {name}")
        if name == "(":
            groups.append({})
            continue
        atoms = {name: 1.0}
        if name == ")":
            atoms = groups.pop()
            if not groups or not atoms:
                raise _not_a_formula(formula, "brackets do not match")
        elif name not in SYMBOLS:
            raise _not_a_formula(formula, f"{name!r} is no element up to uranium{suggestion(name, SYMBOLS)}")
        for symbol, number in atoms.items():
            groups[-1][symbol] = groups[-1].get(symbol, 0.0) + number * count
    if len(groups) != 1 or not groups[0]:
        raise _not_a_formula(formula, "brackets do not match" if groups[0] or groups[1:] else "it is empty")
    return groups[0]


def _not_a_formula(formula: str, why: str) -> InputError:
    return InputError(f"{formula!r} is not a chemical formula: {why}")

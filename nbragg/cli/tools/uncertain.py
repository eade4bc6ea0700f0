"""Numbers with their standard deviations as text, tables of them, and directions in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["direction", "table", "writer"]


def writer(value: float, sigma: float) -> Callable[[float], str]:
    """Writes numbers to the second digit of a standard deviation; to six digits where there is none."""
    if not (math.isfinite(sigma) and sigma > 0 and math.isfinite(value)):
        return lambda x: f"{x:.6g}"
    last = math.floor(math.log10(sigma)) - 1
    size = max(abs(value), sigma)
    if 1e-6 <= size < 1e7:
        return lambda x: f"{x:.{min(max(-last, 0), 12)}f}"
    top = math.floor(math.log10(size))

    def text(x: float) -> str:
        mine = math.floor(math.log10(abs(x))) if x else top
        return f"{x:.{min(max(mine - last, 0), 15)}e}"

    return text


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with columns; the first two to the left, the others to the right."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def direction(parts: Mapping[str, float]) -> str:
    """A direction that data do not determine, in words; the largest parts first."""
    ordered = sorted(parts.items(), key=lambda item: -abs(item[1]))
    if len(ordered) == 1:
        return f"{ordered[0][0]}: the data do not depend on it"
    sign = math.copysign(1.0, ordered[0][1])
    shown = [f"{name} ({sign * part:+.2f})" for name, part in ordered]
    return " with ".join(shown) + ": together they change nothing that is measured"

"""The table of detectors of docs/detectors.md, from the library: ``python docs/detector_table.py``."""

from __future__ import annotations

from nbragg.model.detector_library import LIBRARY, NamedDetector

__all__ = ["markdown"]


def _row(entry: NamedDetector) -> str:
    fast, slow = entry.panel_pixels
    edges = dict.fromkeys(f"{1e3 * edge:.5g}" for edge in entry.pixel_mm)
    if entry.grid is None:
        made = f"{entry.panels} panels; groups {', '.join(_short(list(entry.groups())))}"
    elif entry.grid.modules == (1, 1):
        made = "one"
    else:
        (mf, ms), (nf, ns), (gf, gs) = entry.grid
        made = f"{mf} x {ms} of {nf} x {ns}, {gf} and {gs} between"
    width, height = entry.extent_mm
    sensor = " or ".join(f"{material} {um:g}" for material, um in entry.sensors) or "phosphor"
    kind = entry.kind + (f", {entry.bits}" if entry.bits else "")
    cells = (
        f"`{entry.name}`", f"{fast} x {slow}", " x ".join(edges), made, f"{width:.0f} x {height:.0f}", sensor,
        kind, f"`{entry.preset}`" if entry.preset else "", str(entry.masked) if entry.masked else "",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _short(groups: list[str]) -> list[str]:
    """q0, q1, q2, q3, p0, ... p15 as q0-q3, p0-p15; others as they are."""
    found: dict[str, list[str]] = {}
    for group in groups:
        found.setdefault(group.rstrip("0123456789"), []).append(group)
    return [some[0] if len(some) == 1 else f"{some[0]}-{some[-1]}" for some in found.values()]


def markdown() -> str:
    """The table, and below it where each row's numbers come from."""
    heads = (
        "name", "pixels (fast x slow)", "pixel, um", "modules and gaps, pixels", "size, mm", "sensor, um",
        "kind", "response preset", "masked in gaps",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += [_row(entry) for entry in LIBRARY.values()]
    sources: dict[str, list[str]] = {}
    for entry in LIBRARY.values():
        sources.setdefault(entry.source, []).append(f"`{entry.name}`")
    lines += ["", "Where the numbers come from:", ""]
    lines += [f"- {', '.join(names)}: {source}." for source, names in sources.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown())

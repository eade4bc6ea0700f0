"""``nbragg detectors``: the library of detectors, or what it says of one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common import ToolParser, run_tool, write_text

if TYPE_CHECKING:
    from ...model.detector_library import NamedDetector

__all__ = ["facts", "main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg detectors",
        description="The detectors that nanobragg -detector NAME and nbragg.Detector.named take, or all that "
        "is known of one of them, and where it comes from.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def facts(entry: NamedDetector) -> dict[str, Any]:
    """What the library says of a detector, as plain values."""
    fast, slow = entry.panel_pixels
    found: dict[str, Any] = {"name": entry.name, "title": entry.title}
    if entry.panels > 1:
        found["panels"] = entry.panels
    found |= {"fast_pixels": fast, "slow_pixels": slow}
    found["pixel_um"] = [round(1e3 * edge, 4) for edge in entry.pixel_mm]
    found["width_height_mm"] = [round(edge, 1) for edge in entry.extent_mm]
    if entry.grid is not None and entry.grid.modules != (1, 1):
        found["modules"] = list(entry.grid.modules)
        found["module_pixels"] = list(entry.grid.module)
        found["gap_pixels"] = list(entry.grid.gap)
        found["masked_in_gaps"] = entry.masked
    if entry.groups():
        found["groups"] = list(entry.groups())
    found["sensors"] = [f"{material} {um:g} um" for material, um in entry.sensors] or ["phosphor"]
    found["kind"] = entry.kind
    if entry.bits:
        found["bits"] = entry.bits
    if entry.preset:
        found["response"] = entry.preset
    found["source"] = entry.source
    return found


def _table(entries: Sequence[NamedDetector]) -> list[str]:
    rows = [("name", "pixels (fast x slow)", "pixel (um)", "size (mm)", "sensor (um)", "kind")]
    for entry in entries:
        fast, slow = entry.panel_pixels
        panels = f"{entry.panels} panels of " if entry.panels > 1 else ""
        edges = dict.fromkeys(f"{1e3 * edge:.4g}" for edge in entry.pixel_mm)
        width, height = entry.extent_mm
        thick: dict[str, list[str]] = {}
        for material, um in entry.sensors:
            thick.setdefault(material, []).append(f"{um:g}")
        sensor = "; ".join(f"{material} {', '.join(each)}" for material, each in thick.items()) or "phosphor"
        kind = entry.kind + (f", {entry.bits}" if entry.bits else "")
        size = f"{width:.0f} x {height:.0f}"
        rows.append((entry.name, f"{panels}{fast} x {slow}", " x ".join(edges), size, sensor, kind))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(n) for word, n in zip(row, widths, strict=True)).rstrip() for row in rows]


def _run(arguments: argparse.Namespace) -> None:
    import textwrap

    from ...model.detector_library import LIBRARY, library_entry

    entries = list(LIBRARY.values()) if arguments.name is None else [library_entry(arguments.name)]
    if arguments.json:
        known = [facts(entry) for entry in entries]
        print(json.dumps(known if arguments.name is None else known[0], indent=2))
        return
    if arguments.name is None:
        more = ["", "nbragg detectors NAME says more of one, and where its numbers come from."]
        write_text(None, [*_table(entries), *more])
        return
    lines = []
    for key, value in facts(entries[0]).items():
        text = " ".join(map(str, value)) if key == "groups" else value
        text = (
            (" or " if key == "sensors" else " x ").join(map(str, text)) if isinstance(text, list) else text
        )
        first, *rest = textwrap.wrap(str(text), 92)
        lines += [f"{key:<17}{first}", *(" " * 17 + line for line in rest)]
    write_text(None, lines)


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

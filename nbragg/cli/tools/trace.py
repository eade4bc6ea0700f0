"""``nbragg trace``: how one pixel came about."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .common import ToolParser, add_scene_arguments, run_tool, scene_from, write_text

if TYPE_CHECKING:
    from ...analysis.trace import PixelTrace

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg trace",
        description="Every intermediate value of every sub-sample of one pixel, and their sum. The pixel is "
        "named SLOW first, then FAST, as in image[slow, fast]; nanobragg -printout_pixel takes FAST SLOW.",
    )
    parser.add_argument("slow", type=int, metavar="SLOW", help="slow coordinate of the pixel (row), from 0")
    parser.add_argument("fast", type=int, metavar="FAST", help="fast coordinate (column), from 0")
    parser.add_argument("--panel", type=int, default=0, metavar="N", help="of several panels, from 0")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="JSON lines, SI units: one sample a line, then the pixel"
    )
    form.add_argument("--summary", action="store_true", help="the last sample and the pixel only")
    parser.add_argument("-o", "--output", metavar="FILE", help="write here instead of to the terminal")
    add_scene_arguments(parser)
    return parser


def _lines(trace: PixelTrace, arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.json:
        yield from trace.json_lines()
        return
    if not arguments.summary:
        yield from trace.table()
        yield ""
    yield from trace.summary()


def _run(arguments: argparse.Namespace) -> None:
    scene = scene_from(arguments, needed=True)
    assert scene is not None
    from ...analysis.trace import trace_pixel
    from ..terminal import busy

    with busy("tracing"):
        trace = trace_pixel(scene, arguments.slow, arguments.fast, panel=arguments.panel)
    write_text(arguments.output, _lines(trace, arguments))


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

"""``nbragg dataset verify``: whether a data set is whole, unchanged, and what its recipe makes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..terminal import FAILED, OK, complain, progress_bar
from .common import ToolParser, run_tool

if TYPE_CHECKING:
    from ...dataset.verify import Report

__all__ = ["main"]

_PROGRAM = "nbragg dataset verify"
#: faults of a kind that are named
_NAMED = 20


def _parser() -> ToolParser:
    parser = ToolParser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} FOLDER [option ...]",
        description="Compare the checksums of all files with those that were written, make a random sample "
        "of images again and compare them bit for bit: pixels, labels and rows of the table.",
        epilog="Exit status: 0 all is well; 1 shards are missing or damaged, or images differ; 2 bad input.",
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER")
    add("--images", type=int, default=20, metavar="N", help="made again; default 20")
    add("--shards", type=int, metavar="N", help="checksums of so many, drawn at random; default of all")
    add("--seed", type=int, default=0, metavar="N", help="of what is drawn; default 0")
    add("--workers", type=int, metavar="N", help="threads; default all cores")
    add(
        "--repair",
        action="store_true",
        help="take damaged shards away, for nbragg dataset make to make again",
    )
    add("--quiet", action="store_true", help="say nothing but what is wrong")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from ...dataset.resume import discard
    from ...dataset.verify import verify

    with progress_bar(1000, "", wanted=not arguments.quiet, description="verify") as move:
        report = verify(
            arguments.folder,
            images=arguments.images,
            shards=arguments.shards,
            seed=arguments.seed,
            workers=arguments.workers,
            progress=move,
        )
    if not arguments.quiet:
        there = report.shards - len(report.missing)
        print(
            f"{report.folder}: {there} of {report.shards} shards are there; {report.checked} checksums "
            f"compared, {len(report.compared)} images made again and compared"
        )
        if report.failed:
            print(f"{report.failed} images could not be made when the set was")
    for line in _faults(report):
        complain(_PROGRAM, "fault", line)
    if report.damaged and arguments.repair:
        discard(arguments.folder, report.damaged)
        print(f"{len(report.damaged)} shards are taken away; nbragg dataset make makes them again")
    elif report.damaged:
        complain(_PROGRAM, "fault", "--repair takes damaged shards away, to be made again")
    if report.ok and not arguments.quiet:
        print("all is as it was made")
    return OK if report.ok else FAILED


def _faults(report: Report) -> Iterator[str]:
    faults = [f"shard {number}: {why}" for number, why in report.damaged.items()]
    faults += [f"image {image} differs: {', '.join(what)}" for image, what in report.different.items()]
    yield from faults[:_NAMED]
    if len(faults) > _NAMED:
        yield f"and {len(faults) - _NAMED} more"
    if report.missing:
        some = ", ".join(map(str, report.missing[:_NAMED])) + (", ..." if report.missing[_NAMED:] else "")
        yield f"{len(report.missing)} shards are missing ({some}); nbragg dataset make makes them"


def main(words: Sequence[str]) -> int:
    """Run the action; returns the exit status."""
    return run_tool(_parser(), words, _run)

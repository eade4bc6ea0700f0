"""``nbragg dataset make``: the images of a recipe, or those that are still missing."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..terminal import FAILED, INTERRUPTED, OK, bar, complain
from .common import ToolParser, run_tool

if TYPE_CHECKING:
    from ...dataset.make import Course, Outcome

__all__ = ["main"]

_PROGRAM = "nbragg dataset make"
#: seconds between two lines where there is no terminal
_LINE = 30.0
#: images that failed and are named at the end
_NAMED = 20


def _parser() -> ToolParser:
    from ...dataset.containers.formats import FORMATS
    from ...io.images.requests import COMPRESSIONS

    parser = ToolParser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} recipe.yaml -o FOLDER [option ...]",
        description="Make the images of a recipe in files of many images each. Whatever stops it, the same "
        "command goes on; a larger -n adds images. Each image is the same whoever makes it.",
        epilog="Exit status: 0 all images are there; 1 some could not be made, or the work was stopped by a "
        "full disk or a lost scheduler; 2 bad input; 130 interrupted.",
    )
    add = parser.add_argument
    add("recipe", metavar="RECIPE")
    add("-o", "--output", metavar="FOLDER", required=True, help="new, empty, or of an earlier run")
    add("-n", "--images", type=int, metavar="N", help="images in all; default as the recipe says")
    add("--format", metavar="NAME", help=f"{', '.join(FORMATS)}; default as the recipe says")
    add("--shard-size", type=int, metavar="N", help="images in a file; default as the recipe says")
    add("--compression", metavar="NAME", help=f"{', '.join(COMPRESSIONS)}; default as the recipe says")
    add("--workers", type=int, metavar="N", help="processes of this machine; default all cores")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster whose workers see the same folder")
    add("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or auto")
    add("--quiet", action="store_true", help="say nothing but what went wrong")
    return parser


class _Lines:
    """A line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, course: Course) -> None:
        from ...simulation.cost import time_text

        if time.monotonic() - self._last < _LINE:
            return
        self._last = time.monotonic()
        left = time_text(round(course.left_s)) if course.rate else "unknown time"
        text = f"{course.done} of {course.images} images, {course.rate:.3g} images/s, {left} left"
        print(text + _troubles(course), file=sys.stderr, flush=True)


def _troubles(course: Course) -> str:
    failed = f", {course.failed} failed" if course.failed else ""
    return failed + (f", {course.lost} workers lost" if course.lost else "")


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Course], None] | None]:
    """A bar on a terminal, lines elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None if quiet else _Lines()
        return
    with contextlib.ExitStack() as stack:
        shown = None

        def move(course: Course) -> None:
            nonlocal shown
            if shown is None:
                before = course.done + course.failed - course.made
                shown = stack.enter_context(
                    bar(total=course.images, unit="image", initial=before, smoothing=0.05)
                )
            shown.set_postfix_str(_troubles(course).lstrip(", "), refresh=False)
            shown.update(course.done + course.failed - shown.n)

        yield move


def _report(outcome: Outcome) -> Iterator[str]:
    from ...base.memory import readable
    from ...simulation.cost import time_text

    speed = f", {outcome.made / outcome.seconds:.3g} images/s" if outcome.made and outcome.seconds else ""
    yield (
        f"{outcome.folder}: {outcome.images} images in {outcome.shards} shards, {readable(outcome.bytes)}; "
        f"{outcome.made} made in {time_text(outcome.seconds)}{speed}"
    )


def _failures(outcome: Outcome) -> Iterator[str]:
    for one in outcome.failed[:_NAMED]:
        yield f"image {one['image']}: {one['error']}; drawn: {json.dumps(one['parameters'])}"
    if len(outcome.failed) > _NAMED:
        yield f"and {len(outcome.failed) - _NAMED} more images: shards.parquet in the folder names all"
    for shard, why in outcome.bad_shards.items():
        yield f"shard {shard}: {why}; the same command tries again"


def _run(arguments: argparse.Namespace) -> int:
    from ...dataset.dataset import Dataset
    from ...dataset.make import Stopped, make_dataset

    dataset = Dataset(arguments.recipe, device=arguments.device)
    try:
        with _progress(quiet=arguments.quiet) as progress:
            outcome = make_dataset(
                dataset,
                arguments.images,
                arguments.output,
                format=arguments.format,
                images_per_shard=arguments.shard_size,
                compression=arguments.compression,
                workers=arguments.workers,
                scheduler=arguments.scheduler,
                progress=progress,
                say=None if arguments.quiet else _say,
            )
    except Stopped as error:
        complain(_PROGRAM, "stopped", error)
        return FAILED
    except KeyboardInterrupt:
        complain(_PROGRAM, "interrupted", f"{_there(arguments.output)}the same command goes on")
        return INTERRUPTED
    if not arguments.quiet:
        for line in _report(outcome):
            print(line)
    for line in _failures(outcome):
        complain(_PROGRAM, "failed", line)
    return OK if outcome.ok else FAILED


def _say(text: str) -> None:
    print(text, flush=True)


def _there(folder: str) -> str:
    """What an interrupted run leaves."""
    from ...base.errors import NbraggError
    from ...dataset.manifest import Manifest

    try:
        manifest = Manifest.read(folder)
    except (NbraggError, OSError):
        return ""
    return f"{len(manifest.shards)} of {manifest.head.shards} shards are there; "


def main(words: Sequence[str]) -> int:
    """Run the action; returns the exit status."""
    return run_tool(_parser(), words, _run)

"""``nbragg spots``: where the spots of an image are, and how many photons each has."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...base.errors import InputError
from ...io.files.atomic import open_atomic
from .common import ToolParser, add_scene_arguments, number, positive, run_tool, scene_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["main"]

#: columns of the printed table: field, heading, format
_COLUMNS = (
    ("h", "h", "5d"),
    ("k", "k", "5d"),
    ("l", "l", "5d"),
    ("crystal", "crystal", "8d"),
    ("panel", "panel", "6d"),
    ("fast", "fast", "10.2f"),
    ("slow", "slow", "10.2f"),
    ("photons", "photons", "12.5g"),
    ("partiality", "partiality", "11.4f"),
    ("d_A", "d (A)", "9.3f"),
)
#: suffix of a file -> what it is
_KINDS = {".csv": "comma-separated", ".json": "JSON"}


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg spots",
        description="List the spots of an image, the brightest first, from the set-up alone: indices, "
        "crystal and panel (from 0), place in pixels (the centre of the first pixel at 0, 0), photons "
        "expected in the whole spot, the part of the reflection that is recorded, and the spacing.",
    )
    parser.add_argument("setup", metavar="SETUP", nargs="?", help="the same as --recipe")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write them all to a .csv or .json file instead of printing"
    )
    parser.add_argument(
        "--min-photons", type=number, metavar="X", default=0.0, help="smallest number of photons; default 0"
    )
    parser.add_argument("--dmin", type=positive, metavar="A", help="resolution limit; default the detector's")
    parser.add_argument(
        "--least", type=positive, metavar="X", help="smallest partiality that is listed; default 0.001"
    )
    parser.add_argument("-n", "--most", type=int, metavar="N", help="the N brightest; default all of them")
    add_scene_arguments(parser)
    return parser


def _spots(arguments: argparse.Namespace) -> NDArray[np.void]:
    from ...simulation.labels import LEAST, spots_of

    if arguments.setup is not None:
        if arguments.recipe is not None:
            raise InputError(f"set-up given twice: {arguments.setup} and --recipe {arguments.recipe}")
        arguments.recipe = arguments.setup
    if arguments.most is not None and arguments.most < 1:
        raise InputError(f"--most {arguments.most}: a whole number of at least 1 was expected")
    scene = scene_from(arguments, needed=True)
    assert scene is not None
    least = LEAST if arguments.least is None else arguments.least
    spots = spots_of(scene, d_min_A=arguments.dmin, least=least)
    bright: NDArray[np.void] = spots[spots["photons"] >= arguments.min_photons]
    return bright[: arguments.most]


def _run(arguments: argparse.Namespace) -> None:
    kind = None
    if arguments.output is not None:
        kind = os.path.splitext(arguments.output)[1].lower()
        if kind not in _KINDS:
            raise InputError(f"{arguments.output}: end the name in {' or '.join(_KINDS)}")
    spots = _spots(arguments)
    if kind is None:
        print("".join(f"{heading:>{_width(form)}}" for _, heading, form in _COLUMNS))
        for spot in spots:
            print("".join(f"{spot[name]:{form}}" for name, _, form in _COLUMNS))
        print(f"{len(spots)} spots, {float(spots['photons'].sum()):.5g} photons")
        return
    with open_atomic(arguments.output, "w") as stream:
        (_write_csv if kind == ".csv" else _write_json)(stream, spots)
    print(f"wrote {arguments.output}: {len(spots)} spots")


def _width(form: str) -> int:
    return int(form.rstrip("dgf").split(".")[0])


def _write_csv(stream: Any, spots: NDArray[np.void]) -> None:
    stream.write(",".join(name for name, _, _ in _COLUMNS) + "\n")
    for spot in spots.tolist():
        by_name = dict(zip(spots.dtype.names or (), spot, strict=True))
        stream.write(",".join(repr(by_name[name]) for name, _, _ in _COLUMNS) + "\n")


def _write_json(stream: Any, spots: NDArray[np.void]) -> None:
    """A list of mappings; a partiality that there is not is null."""
    names = spots.dtype.names or ()
    rows = [dict(zip(names, spot, strict=True)) for spot in spots.tolist()]
    for row in rows:
        if row["partiality"] != row["partiality"]:
            row["partiality"] = None
    json.dump(rows, stream, indent=1, allow_nan=False)
    stream.write("\n")


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

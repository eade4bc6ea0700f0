"""``nbragg truth``: what an image or a series holds, for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import ToolParser, add_scene_arguments, number, positive, run_tool, setup_from

if TYPE_CHECKING:
    from ...model.setup import Setup
    from ...simulation.series import Series

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg truth",
        description="Write beam, detector, scan, crystals and the reflections that images hold, with the "
        "photons expected in each, from the set-up alone. The names of the files tell their kinds: .expt and "
        ".refl for DIALS, .stream for CrystFEL (stills), XDS.INP (a rotation), .mtz (the structure factors "
        "that were used).",
    )
    parser.add_argument("setup", metavar="SETUP", nargs="?", help="the same as --recipe")
    parser.add_argument("-o", "--output", nargs="+", metavar="FILE", required=True, help="files to write")
    parser.add_argument(
        "--frames", type=int, metavar="N", help="of a rotation, each as wide as the set-up's -osc; default 1"
    )
    parser.add_argument("--random", type=int, metavar="N", help="stills in random orientations")
    parser.add_argument("--seed", type=int, metavar="N", default=1, help="of the random orientations")
    parser.add_argument(
        "--template", metavar="NAME", help="of the image files, image_####.cbf, or one file of all frames"
    )
    parser.add_argument("--first", type=int, metavar="N", default=1, help="number of the first image")
    parser.add_argument("--dmin", type=positive, metavar="A", help="resolution limit; default the detector's")
    parser.add_argument(
        "--least", type=number, metavar="X", help="smallest partiality that is listed; default 0.001"
    )
    parser.add_argument(
        "--frame",
        default="imgcif",
        metavar="NAME",
        help="of .expt and .refl: imgcif (default), in which the images are read, or laboratory",
    )
    parser.add_argument(
        "--gain", type=positive, metavar="X", help="counts per photon; default the response's, or 1"
    )
    parser.add_argument(
        "--pedestal", type=number, metavar="X", help="counts where no photon is; default the response's, or 0"
    )
    add_scene_arguments(parser)
    return parser


def _series(arguments: argparse.Namespace) -> Series:
    from ...base.errors import InputError
    from ...simulation.series import Series

    if arguments.setup is not None:
        if arguments.recipe is not None:
            raise InputError(f"set-up given twice: {arguments.setup} and --recipe {arguments.recipe}")
        arguments.recipe = arguments.setup
    setup = setup_from(arguments, needed=True)
    assert setup is not None
    if arguments.frames is not None and arguments.random is not None:
        raise InputError("--frames and --random exclude each other: give a rotation or stills")
    if arguments.random is not None:
        return Series.random(setup, arguments.random, arguments.seed)
    if arguments.frames is not None:
        return Series.frames(setup, arguments.frames)
    return _one(setup)


def _one(setup: Setup) -> Series:
    from ...simulation.series import Series

    return Series(setup, [{}])


def _run(arguments: argparse.Namespace) -> None:
    from ...analysis.reflections import LEAST
    from ..terminal import progress_bar

    series = _series(arguments)
    count = len(series)
    counts = {"gain": arguments.gain, "pedestal": arguments.pedestal}
    with progress_bar(count, "image", description="reflections") as move:
        series.save_truth(
            *arguments.output,
            images=arguments.template,
            first_image=arguments.first,
            d_min_A=arguments.dmin,
            least=LEAST if arguments.least is None else arguments.least,
            frame=arguments.frame,
            **{name: value for name, value in counts.items() if value is not None},
            progress=None if move is None else lambda done: move(done / count),
        )
    for path in arguments.output:
        print(f"wrote {path}")


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

"""``nbragg show``: a picture of an image, with resolution rings and predicted spots."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import (
    ToolParser,
    add_scene_arguments,
    add_shape_argument,
    beside,
    number,
    positive,
    read_image,
    run_tool,
    scene_from,
)

if TYPE_CHECKING:
    from ...analysis.picture import View
    from ...io.images import ImageFile
    from ...scene.record import Scene

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg show",
        description="Draw an image: logarithmic grey scale, resolution rings where the geometry is known (by "
        "the file's header or a set-up), and predicted Bragg spots where the crystal is (by a set-up).",
    )
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument(
        "-o", "--output", metavar="PNG", help="default: the image's name with .png, in this folder"
    )
    parser.add_argument("--window", action="store_true", help="open a window instead of writing a file")
    parser.add_argument(
        "--percentile", nargs=2, type=number, default=(50.0, 99.9), metavar=("LOW", "HIGH"),
        help="of the pixels above zero, drawn white and black; default 50 99.9",
    )  # fmt: skip
    parser.add_argument("--linear", action="store_true", help="linear scale")
    parser.add_argument(
        "--offset", type=number, default=0.0, metavar="X", help="taken off every pixel first, 40 say"
    )
    rings = parser.add_mutually_exclusive_group()
    rings.add_argument("--rings", nargs="+", type=positive, metavar="D", help="spacings of the rings, A")
    rings.add_argument("--no-rings", action="store_true")
    spots = parser.add_mutually_exclusive_group()
    spots.add_argument("--no-spots", action="store_true", help="do not mark predicted spots")
    spots.add_argument("--dmin", type=positive, metavar="A", help="mark spots to this spacing only")
    add_shape_argument(parser)
    add_scene_arguments(parser)
    return parser


def _view(content: ImageFile, scene: Scene | None) -> View | None:
    from ...analysis.picture import View
    from ...base.warn import warn

    view = View.from_scene(scene) if scene is not None else View.from_metadata(content.metadata)
    if view is None and (scene is not None or content.metadata.get("curved")):
        warn("no rings: they are drawn for flat detectors only")
    elif view is None and content.metadata.get("panels"):
        warn("no rings: the panels are drawn below one another, not where they stand")
    return view


def _spots(arguments: argparse.Namespace, scene: Scene | None) -> tuple[Any, list[float] | None]:
    """Marks, and the rings that stand for them when the crystal is a powder."""
    from ...analysis import prediction
    from ...base.warn import warn

    if scene is None or arguments.no_spots or scene.panel.curved != "flat":
        return None, None
    if scene.placement.crystal.mosaic_spread > prediction.POWDER_SPREAD:
        warn("mosaic spread of a powder: rings mark its strongest lines, spots are not marked")
        return None, [float(d) for d in prediction.powder_lines(scene)]
    return prediction.predict_spots(scene, d_min_A=arguments.dmin), None


def _run(arguments: argparse.Namespace) -> None:
    from ...analysis import picture
    from ...base.errors import InputError
    from ...io.files.atomic import check_writable, open_atomic
    from ..terminal import busy

    output = arguments.output or beside(arguments.image, ".png")
    if not arguments.window:
        if Path(output).suffix.lower() != ".png":
            raise InputError(f"{output}: the picture is a PNG file; give a name that ends in .png")
        if Path(output).resolve() == Path(arguments.image).resolve():
            raise InputError(f"{output} is the image itself; give another name with -o")
        check_writable(output)
    figure = _window_figure() if arguments.window else None
    scene = scene_from(arguments)
    content = read_image(arguments, scene)
    view = None if arguments.no_rings else _view(content, scene)
    with busy("drawing"):
        spots, lines = _spots(arguments, scene)
        rings = arguments.rings or lines
        figure = picture.draw(
            content.image,
            view=view,
            rings=rings,
            spots=spots,
            percentiles=tuple(arguments.percentile),
            log=not arguments.linear,
            offset=arguments.offset,
            label="photons" if content.image.dtype.kind == "f" else "counts",
            title=Path(arguments.image).name,
            figure=figure,
        )
        data = None if arguments.window else picture.png_bytes(figure)
    if data is None:
        from ...base.optional import require

        require("matplotlib.pyplot", extra="plot", purpose="a window").show()
        return
    with open_atomic(output) as stream:
        stream.write(data)
    marked = f", {len(spots)} spots marked" if spots is not None else ""
    print(f"wrote {output}{marked}")


def _window_figure() -> Any:
    from ...base.errors import InputError
    from ...base.optional import require

    pyplot = require("matplotlib.pyplot", extra="plot", purpose="a window")
    backend = str(require("matplotlib", extra="plot", purpose="a window").get_backend()).lower()
    if backend in ("agg", "pdf", "svg", "ps", "cairo", "template") or "inline" in backend:
        raise InputError("there is no display for a window; write a file with -o instead")
    return pyplot.figure()


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

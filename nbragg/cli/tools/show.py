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
    recorded_scene,
    run_tool,
    scene_from,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...analysis.assembly import PanelView
    from ...analysis.plate import Plate
    from ...io.images import ImageFile
    from ...scene.record import Scene

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg show",
        description="Draw an image: grey scale about its background, resolution rings where the geometry is "
        "known and predicted Bragg spots where the crystal is: by a set-up, else by the one that nanobragg "
        "stored in the file. Several panels are drawn where they stand, as seen along the beam. Of large "
        "images the brightest pixel of each square is drawn, so that no spot is lost.",
    )
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument(
        "-o", "--output", metavar="PNG", help="default: the image's name with .png, in this folder"
    )
    parser.add_argument("--window", action="store_true", help="open a window instead of writing a file")
    parser.add_argument(
        "--percentile", nargs=2, type=number, metavar=("LOW", "HIGH"),
        help="of the pixels above zero, drawn white and black on a logarithmic scale, 50 99.9 say; default: "
        "a scale about the background, linear within its noise",
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


def _plate(arguments: argparse.Namespace, content: ImageFile, scene: Scene | None) -> Plate:
    """What is drawn, with the spacings of rings where they are known and wanted."""
    from ...analysis.plate import View, one_panel, several_panels
    from ...base.warn import warn

    used = _used(content, scene)
    panels = _panels(content, scene)
    if panels is not None:
        plate = several_panels(panels.split(content.image), panels, panels.split(used))
        return plate._replace(spacings=()) if arguments.no_rings else plate
    view = View.from_scene(scene) if scene is not None else View.from_metadata(content.metadata)
    if view is None and not arguments.no_rings and (scene is not None or content.metadata.get("curved")):
        warn("no rings: they are drawn for flat detectors only")
    return one_panel(content.image, None if arguments.no_rings else view, used)


def _panels(content: ImageFile, scene: Scene | None) -> PanelView | None:
    """Where the panels of a detector of several stand; None of one panel."""
    from ...analysis.assembly import PanelView

    if scene is not None:
        return PanelView.from_scene(scene) if len(scene.panels) > 1 else None
    return PanelView.from_metadata(content.metadata)


def _used(content: ImageFile, scene: Scene | None) -> NDArray[np.bool_]:
    """False in gaps: what a set-up masks, and the numbers that makers' files have there."""
    from ...io.images.left_out import flagged

    used = ~flagged(content)
    if scene is not None and scene.mask_image is not None and scene.mask_image.shape == used.shape:
        used &= scene.mask_image
    return used


def _spots(
    arguments: argparse.Namespace, scene: Scene | None, used: NDArray[np.bool_] | None
) -> tuple[Any, list[float] | None]:
    """Marks, and the rings that stand for them when the crystal is a powder."""
    from ...analysis import prediction
    from ...base.warn import warn

    if scene is None or arguments.no_spots or any(panel.curved != "flat" for panel in scene.panels):
        return None, None
    if scene.placement.crystal.mosaic_spread > prediction.POWDER_SPREAD:
        if len(scene.crystals) > 1:
            return None, None
        warn("mosaic spread of a powder: rings mark its strongest lines, spots are not marked")
        return None, [float(d) for d in prediction.powder_lines(scene)]
    spots = prediction.predict_spots(scene, d_min_A=arguments.dmin)
    return spots if used is None else spots[_seen(scene, spots, used)], None


def _seen(scene: Scene, spots: NDArray[np.void], used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which spots are not centred in a gap."""
    import numpy as np

    offsets = np.asarray(scene.offsets)[spots["panel"]]
    widths = np.array([panel.fpixels for panel in scene.panels])[spots["panel"]]
    slow, fast = (np.rint(spots[name]).astype(np.int64).clip(0) for name in ("slow", "fast"))
    return np.asarray(used.reshape(-1)[offsets + slow * widths + np.minimum(fast, widths - 1)])


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
    content = read_image(arguments, scene, beneath=False)
    if scene is None:
        scene = recorded_scene(content)
    with busy("drawing"):
        plate = _plate(arguments, content, scene)
        spots, lines = _spots(arguments, scene, _used(content, scene))
        rings = arguments.rings or lines
        figure = picture.draw(
            plate,
            rings=rings,
            spots=spots,
            percentiles=None if arguments.percentile is None else tuple(arguments.percentile),
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

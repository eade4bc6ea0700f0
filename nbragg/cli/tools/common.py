"""What the tools share: their argument parser, the Scene they are given, images read and files written."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ...base.errors import InputError
from ...base.names import nearest
from ...base.warn import warn
from ..terminal import guarded

if TYPE_CHECKING:
    from ...io.images import ImageFile
    from ...model.setup import Setup
    from ...scene.record import Scene

__all__ = [
    "ToolParser",
    "add_scene_arguments",
    "add_shape_argument",
    "beside",
    "number",
    "positive",
    "read_image",
    "read_shaped",
    "recorded_scene",
    "run_tool",
    "scene_from",
    "setup_from",
    "write_text",
]


class ToolParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} ({self.prog} -h explains)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As always; of an option that there is not, with the nearest one."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings if name[:2] == "--"]
            wrong = next((word for word in unknown if word.startswith("-")), "")
            near = nearest("--" + wrong.lstrip("-").split("=")[0], known) if wrong else None
            hint = f"; did you mean {near}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found


def run_tool(
    parser: ToolParser, words: Sequence[str], action: Callable[[argparse.Namespace], int | None]
) -> int:
    """Parse, run, and turn errors into one line and an exit status; of what ends well the action's own, or 0.

    What follows ``--`` is left alone, as ``arguments.command_line``: words of a nanobragg command line, or
    None.
    """

    def run() -> int:
        before, command_line = list(words), None
        if "--" in before:
            place = before.index("--")
            before, command_line = before[:place], before[place + 1 :]
        try:
            arguments = parser.parse_args(before)
        except SystemExit:  # only -h ends this way
            return 0
        arguments.command_line = command_line
        return action(arguments) or 0

    return guarded(parser.prog, run)


def number(text: str) -> float:
    """A finite number, as an argparse type."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def positive(text: str) -> float:
    """A finite number above zero, as an argparse type."""
    value = number(text)
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def add_scene_arguments(parser: ToolParser) -> None:
    """Let the parser take a set-up: ``--recipe FILE``, or a nanobragg command line after ``--``."""
    parser.add_argument("--recipe", metavar="FILE", help="set-up as nbragg.dump writes it, with its physics")
    parser.epilog = (
        "After -- stands a nanobragg command line that describes the set-up, with the physics of nanobragg "
        "unless -physics exact is part of it."
    )


def scene_from(arguments: argparse.Namespace, *, needed: bool = False) -> Scene | None:
    """The Scene of the recipe or of the command line; None without either, unless ``needed``."""
    setup = setup_from(arguments, needed=needed)
    if setup is None:
        return None
    from ...scene.build import build_scene

    return build_scene(setup)


def setup_from(arguments: argparse.Namespace, *, needed: bool = False) -> Setup | None:
    """The Setup of the recipe or of the command line; None without either, unless ``needed``."""
    words: list[str] | None = arguments.command_line
    if words is not None and arguments.recipe is not None:
        raise InputError("give either --recipe or a nanobragg command line after --, not both")
    if words is None and arguments.recipe is None:
        if needed:
            raise InputError("no set-up: give --recipe FILE, or -- and a nanobragg command line")
        return None
    if words is not None:
        from ..commandline import from_cli

        return from_cli(words)
    from ...io import recipe
    from ...model.setup import Setup

    setup = recipe.load(arguments.recipe)
    if not isinstance(setup, Setup):
        raise InputError(f"{arguments.recipe} holds a {type(setup).__name__}; a whole set-up was expected")
    return setup


def add_shape_argument(parser: ToolParser, *, all_frames: bool = False) -> None:
    """Let the parser take the shape of a raw image, and what of a file is read: one frame, or all of them."""
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        metavar=("SLOW", "FAST"),
        help="pixels of a raw float image, which has no header",
    )
    parser.add_argument(
        "--frame",
        type=int,
        default=None if all_frames else 0,
        metavar="N",
        help=f"{'only this ' if all_frames else ''}frame of a stack, from 0",
    )
    parser.add_argument("--dataset", metavar="NAME", help="dataset of an HDF5 file")


def read_image(
    arguments: argparse.Namespace, scene: Scene | None = None, *, beneath: bool = True
) -> ImageFile:
    """``arguments.image``; a raw one has the shape given, the scene's, or is taken to be square.

    Several panels come below one another; with ``beneath=False``, or a scene of several, as they are stored.
    """
    return read_shaped(arguments, None if scene is None else scene.image_shape, beneath=beneath)


def read_shaped(
    arguments: argparse.Namespace, image_shape: tuple[int, ...] | None, *, beneath: bool = True
) -> ImageFile:
    """`read_image` by the scene's ``image_shape``, which has two axes for one panel alone."""
    from ...io import images
    from ...io.files import sniff

    file = sniff.check_file(arguments.image, what="image")
    shape: tuple[int, ...] | None = tuple(arguments.shape) if arguments.shape else None
    several = image_shape is not None and len(image_shape) != 2
    if shape is None and file.suffix.lower() == ".bin" and sniff.identify(file) in ("unknown", "text"):
        if image_shape is not None:
            shape = image_shape
        else:
            edge = math.isqrt(file.stat().st_size // 4)
            if 4 * edge * edge != file.stat().st_size:
                raise InputError(f"{file} has no header and is not square: give --shape SLOW FAST")
            warn(f"{file} has no header; taken as {edge} x {edge} pixels, --shape SLOW FAST says otherwise")
            shape = (edge, edge)
    frame = arguments.frame or 0
    if several:  # what looks like frames may be panels
        stored = images.stored_shape(file, dataset=arguments.dataset, shape=shape) or ()
        frame = frame if stored[1:] == image_shape else None
    content = images.read_image(file, frame=frame, dataset=arguments.dataset, shape=shape)
    if several and content.image.shape[1:] == image_shape:  # lists of pixels
        frames, one = len(content.image), arguments.frame or 0
        if not -frames <= one < frames:
            raise InputError(f"{file} has {frames} frames; frame {one} was asked for")
        content = content._replace(image=content.image[one])
    if image_shape is None and content.metadata.get("panels"):
        return _beneath(content) if beneath else content
    if content.image.ndim != 2 and not several:
        raise InputError(f"{file} has the shape {content.image.shape}; one image (slow, fast) was expected")
    if image_shape is not None and content.image.shape != image_shape:
        raise InputError(
            f"{file} has the shape {content.image.shape}; the set-up's is {image_shape} (slow, fast)"
        )
    return content


def _beneath(content: ImageFile) -> ImageFile:
    """Several panels as one picture, below one another; the metadata of the first no longer fit it."""
    from ...io.images.metadata import ImageMetadata
    from ...io.images.panel_layout import PanelLayout

    known = ImageMetadata.from_dict(content.metadata)
    if content.image.shape != known.image_shape:
        return content
    return content._replace(image=PanelLayout.of(known).spread(content.image))


def recorded_scene(content: ImageFile) -> Scene | None:
    """The Scene of the set-up that nanobragg stored in an image; None where there is none that can be used.

    A file holds no long lists: structure factors that are not there are all 1, so that every reflection
    counts, and masks too rugged for a few rectangles are left out.
    """
    import warnings

    from ...base.errors import NbraggError, NbraggWarning
    from ...io import recipe
    from ...model.setup import Setup
    from ...scene.build import build_scene

    stored = content.metadata.get("recipe")
    if not isinstance(stored, Mapping):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NbraggWarning)  # they were given when it was rendered
            setup = recipe.from_dict(_without_lists(stored))
            scene = build_scene(setup) if isinstance(setup, Setup) else None
    except NbraggError as error:
        warn(f"the set-up stored in the file is of no use here: {error}")
        return None
    return scene if scene is not None and scene.image_shape == content.image.shape else None


def _without_lists(stored: Any) -> Any:
    """A stored recipe without what it holds by digest only."""
    if not isinstance(stored, Mapping):
        return [_without_lists(item) for item in stored] if isinstance(stored, list) else stored
    plain = {}
    for key, value in stored.items():
        by_digest = isinstance(value, Mapping) and set(value) == {"array"}
        if (
            key == "structure_factors"
            and isinstance(value, Mapping)
            and "array" in (value.get("values") or ())
        ):
            plain[key] = {"default_F": 1.0}
        elif not (key == "mask" and by_digest):
            plain[key] = _without_lists(value)
    return plain


def write_text(path: str | None, lines: Any) -> None:
    """Write lines to a file, complete or not at all, or to stdout."""
    if path is None:
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        return
    from ...io.files.atomic import open_atomic

    with open_atomic(path, "w") as stream:
        for line in lines:
            stream.write(line + "\n")


def beside(path: str, suffix: str) -> str:
    """The name of a file in the current folder, called after another."""
    return os.path.splitext(os.path.basename(path))[0] + suffix

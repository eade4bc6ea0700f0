"""``nbragg noise``: photon noise on an image that is already rendered (canonical 9.3, 10.2)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import (
    ToolParser,
    add_scene_arguments,
    add_shape_argument,
    number,
    read_image,
    run_tool,
    scene_from,
)

if TYPE_CHECKING:
    from ...io.images import ImageFile
    from ...io.images.metadata import ImageMetadata
    from ...response.reference_noise import NoiseImage
    from ...scene.record import Scene

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg noise",
        description="Poisson counts of a float image, as nanobragg -seed makes them; nothing is rendered.",
    )
    parser.add_argument("image", metavar="FLOATIMAGE", help="photons: raw .bin, or any image format")
    parser.add_argument(
        "-o", "--output", default="noiseimage.img", metavar="FILE", help="default noiseimage.img"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="default from the clock")
    parser.add_argument(
        "--adc", type=number, default=40.0, metavar="X", help="offset added to every count, default 40"
    )
    parser.add_argument(
        "--scale", type=number, default=1.0, metavar="X", help="multiply the photons first, default 1"
    )
    parser.add_argument(
        "--roi",
        nargs=4,
        type=int,
        metavar=("XMIN", "XMAX", "YMIN", "YMAX"),
        help="fast limits, slow limits; others stay 0",
    )
    parser.add_argument(
        "--like", metavar="IMG", help="take the SMV header (and the shape) of this image, intimage.img say"
    )
    add_shape_argument(parser)
    add_scene_arguments(parser)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from ...base.errors import InputError
    from ...base.warn import warn
    from ...io import images
    from ...response.reference_noise import noise_image

    scene = scene_from(arguments)
    if scene is not None and arguments.like is not None:
        raise InputError("give either --like or a set-up, not both: each makes the header")
    form = images.format_of(arguments.output)
    arguments.seed = seed = int(time.time()) if arguments.seed is None else arguments.seed
    header = _header(arguments, scene, form)
    content = read_image(arguments, scene)
    if content.metadata.get("pixels_are") == "counts":
        warn(f"{arguments.image} holds counts with noise already")
    photons = (content.photons * arguments.scale).astype(np.float32)
    roi = arguments.roi or (scene.panel.roi if scene is not None else None)
    noise = noise_image(photons, roi, seed, arguments.adc)
    _write(arguments, form, noise, header, content, scene)
    print(f"seed      {seed}")
    print(f"photons   {float(photons.sum(dtype=np.float64)):g} expected")
    print(f"wrote     {arguments.output}, offset {arguments.adc:g}, {noise.overloads} overloads")


def _header(arguments: argparse.Namespace, scene: Scene | None, form: str) -> bytes | None:
    """The SMV header, and with ``--like`` also the shape; found before anything is read or drawn."""
    from ...base.errors import InputError
    from ...io.images import smv
    from ...io.images.metadata import ImageMetadata

    if arguments.like is not None:
        other = smv.read(arguments.like)
        if arguments.shape is None:
            arguments.shape = other.pixels.shape
        if tuple(arguments.shape) != other.pixels.shape:
            raise InputError(
                f"{arguments.like} has {other.pixels.shape} pixels, not {tuple(arguments.shape)} (slow, fast)"
            )
        if smv.is_full(other):
            known = ImageMetadata.from_dict(smv.record_of(other))
            return smv.full_header(_counted(known, arguments))
        size = int(smv.last_value(other.header_text, "HEADER_BYTES") or 512)
        return (other.header_text + "\f").encode("latin-1").ljust(size)
    if form != "smv":
        return None
    if scene is None:
        raise InputError(
            "an SMV file needs a header: give --like IMG, --recipe FILE, or -- and a nanobragg command line; "
            "or write another format, -o noise.tif say"
        )
    return smv.header_bytes(scene)


def _counted(metadata: ImageMetadata, arguments: argparse.Namespace) -> ImageMetadata:
    """What a file of the noisy image says."""
    import dataclasses

    return dataclasses.replace(
        metadata, scale=arguments.scale, offset=arguments.adc, pixels_are="counts", seed=arguments.seed
    )


def _write(
    arguments: argparse.Namespace,
    form: str,
    noise: NoiseImage,
    header: bytes | None,
    content: ImageFile,
    scene: Scene | None,
) -> None:
    from ...io import images
    from ...io.images import smv
    from ...io.images.metadata import ImageMetadata

    if form == "smv":
        assert header is not None
        smv.write(arguments.output, noise.pixels, header)
        return
    metadata = None
    if scene is not None:
        metadata = None if len(scene.panels) > 1 else ImageMetadata.from_scene(scene)
    elif "nanobragg_image" in content.metadata:
        metadata = ImageMetadata.from_dict(content.metadata)
    if metadata is not None:
        metadata = _counted(metadata, arguments)
    images.save_image(arguments.output, noise.pixels, scene=scene, metadata=metadata)


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)

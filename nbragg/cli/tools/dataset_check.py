"""``nbragg dataset check``: what a recipe will make, before it is made."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...base.errors import InputError
from .common import ToolParser, beside, run_tool

if TYPE_CHECKING:
    from ...dataset.dataset import Dataset
    from ...dataset.estimate import Estimate

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg dataset check",
        usage="nbragg dataset check recipe.yaml [option ...]",
        description="Say what a recipe will make, from 16 images that are made and thrown away: how many "
        "images and files, bytes, seconds on this machine, what varies how far; and draw them.",
    )
    add = parser.add_argument
    add("recipe", metavar="RECIPE")
    add("-n", "--images", type=int, metavar="N", help="how many images; default as the recipe says")
    add("--workers", type=int, metavar="N", help="processes that will make them; default all cores")
    add("--picture", metavar="PNG", help="the 16 images; default <recipe>_sheet.png in this folder")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from ...dataset.dataset import Dataset
    from ...dataset.estimate import contact_sheet, estimate
    from ...io.files.atomic import check_writable, open_atomic
    from ...io.images.png import encode
    from ..terminal import progress_bar

    picture = arguments.picture or beside(arguments.recipe, "_sheet.png")
    if arguments.images is not None and arguments.images < 1:
        raise InputError(f"-n {arguments.images}: at least 1 image was expected")
    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"--workers {arguments.workers}: at least 1 was expected")
    dataset = Dataset(arguments.recipe)
    images = arguments.images or dataset.recipe.images
    check_writable(picture)
    with progress_bar(16, "image") as progress:
        found = estimate(dataset, progress=progress)
    with open_atomic(picture) as stream:
        stream.write(encode(contact_sheet(found.made)))
    workers = arguments.workers or len(os.sched_getaffinity(0))
    print("\n".join(_report(dataset, found, images, workers)))
    print(f"{len(found.made)} images drawn in {picture}")
    for failed in found.failed:
        print(f"image {failed.image} cannot be made: {failed.error}")
    return 1 if found.failed else 0


def _report(dataset: Dataset, found: Estimate, images: int | None, workers: int) -> list[str]:
    from ...simulation.cost import time_text

    recipe = dataset.recipe
    first = found.made[0]
    shape = " x ".join(map(str, first.image.shape))
    spots = [len(one.labels.reflections) for one in found.made]
    lines = [
        f"{shape} pixels ({first.image.dtype}), {recipe.format}, {recipe.images_per_shard} images a file"
    ]
    each = f"{found.bytes_per_image / 1e3:.4g} kB and {found.seconds_per_image * 1e3:.3g} ms an image"
    if images is None:
        lines.append(f"the recipe names no number of images (images, or -n): {each}")
    else:
        files = -(-images // recipe.images_per_shard)
        lines.append(f"{images} images in {files} files: {_bytes(images * found.bytes_per_image)}; {each}")
        lines.append(
            f"about {time_text(found.seconds(images, workers))} on {workers} workers of this machine"
        )
    means = [float(np.mean(one.image)) for one in found.made]
    most = [float(np.max(one.image)) for one in found.made]
    lines.append(f"{min(spots)} to {max(spots)} reflections an image; mean pixel {min(means):.3g} to "
                 f"{max(means):.3g}, brightest {min(most):.4g} to {max(most):.4g}")  # fmt: skip
    lines.append("drawn in these images:")
    names = list(first.labels["parameters"])
    for name in names:
        values = [one.labels["parameters"].get(name) for one in found.made]
        lines.append(f"  {name:<34} {_range(values)}")
    if not names:
        lines.append(
            f"  orientation: {recipe.vary.orientation}" if isinstance(recipe.vary.orientation, str) else ""
        )
    return lines


def _range(values: list[object]) -> str:
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) < len(values):
        return ", ".join(sorted({str(value) for value in values}))
    return f"{min(numbers):.6g} to {max(numbers):.6g}"


def _bytes(size: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def main(words: Sequence[str]) -> int:
    """Run the action; returns the exit status."""
    return run_tool(_parser(), words, _run)

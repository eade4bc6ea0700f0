"""What a data set will cost, from a few of its images: bytes, seconds, and how they look."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..io.images.png import preview
from .containers.formats import FORMATS, writer
from .containers.made import Failed, Made
from .dataset import Dataset

__all__ = ["Estimate", "contact_sheet", "estimate"]

#: most of an edge of a picture on the sheet, and the line between, in pixels
_TILE, _LINE = 260, 4


@dataclass(frozen=True)
class Estimate:
    """What images of a data set are like, of a sample of them.

    Attributes
    ----------
    made : tuple of Made
        The sample.
    failed : tuple of Failed
    seconds_per_image : float
        Of one worker on one thread: drawing, rendering, noise, labels and writing.
    bytes_per_image : float
        In the format of the recipe, labels included.
    """

    made: tuple[Made, ...]
    failed: tuple[Failed, ...]
    seconds_per_image: float
    bytes_per_image: float

    def seconds(self, images: int, workers: int) -> float:
        """Of many images on some workers."""
        return images * self.seconds_per_image / max(min(workers, images), 1)


def estimate(
    dataset: Dataset, *, sample: int = 16, first: int = 0, progress: Callable[[float], object] | None = None
) -> Estimate:
    """Make a few images, and write them to a file that is thrown away.

    Parameters
    ----------
    dataset : Dataset
    sample : int
        How many images.
    first : int
        Number of the first.
    progress : callable, optional
        Called with the part that is done.

    Raises
    ------
    InputError
        When none of them can be made.
    """
    count = sample if dataset.recipe.images is None else min(sample, dataset.recipe.images)
    one = dataset.with_threads(1)
    made: list[Made] = []
    failed: list[Failed] = []
    seconds = 0.0
    for number in range(first, first + count):
        start = time.perf_counter()
        (image,) = one.made([number])
        if number > first:  # what all share was made with the first
            seconds += time.perf_counter() - start
        if isinstance(image, Failed):
            failed.append(image)
        else:
            made.append(image)
        if progress is not None:
            progress((number - first + 1) / count)
    if not made:
        raise InputError(f"none of {count} images can be made; image {failed[0].image}: {failed[0].error}")
    size, writing = _stored(dataset, made)
    return Estimate(
        tuple(made), tuple(failed), seconds / max(count - 1, 1) + writing / len(made), size / len(made)
    )


def _stored(dataset: Dataset, made: list[Made]) -> tuple[int, float]:
    """Bytes of a shard of these images, and seconds to write it."""
    recipe = dataset.recipe
    several = recipe.images_per_shard > 1
    with tempfile.TemporaryDirectory() as folder:
        total, seconds = 0, 0.0
        # what is imported with the first file is no cost of each
        with writer(recipe.format, os.path.join(folder, "first"), 1, recipe.compression) as shard:
            shard.add(made[0])
        for number, images in enumerate([made] if several else [[one] for one in made]):
            path = os.path.join(folder, f"{number}{FORMATS[recipe.format].suffix}")
            start = time.perf_counter()
            with writer(recipe.format, path, len(images), recipe.compression) as shard:
                for image in images:
                    shard.add(image)
            seconds += time.perf_counter() - start
            total += os.path.getsize(path)
    return total, seconds


def contact_sheet(made: tuple[Made, ...] | list[Made]) -> NDArray[np.uint8]:
    """Images side by side, as near to a square as they go, in grey levels, dark where photons are."""
    columns = math.ceil(math.sqrt(len(made)))
    rows = math.ceil(len(made) / columns)
    tiles = [preview(_reduced(_flat(one.image))) for one in made]
    height, width = (max(tile.shape[axis] for tile in tiles) + _LINE for axis in (0, 1))
    sheet = np.full((rows * height + _LINE, columns * width + _LINE), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * height + _LINE, column * width + _LINE
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _flat(image: NDArray[Any]) -> NDArray[Any]:
    """Panels below one another; of panels of several sizes one long row, folded."""
    if image.ndim == 3:
        return image.reshape(-1, image.shape[2])
    if image.ndim == 1:
        edge = math.isqrt(image.size)
        return image[: edge * edge].reshape(edge, edge)
    return image


def _reduced(image: NDArray[Any]) -> NDArray[Any]:
    """No larger than a tile: the brightest of each block of pixels, so that no spot is lost."""
    factor = math.ceil(max(image.shape) / _TILE)
    if factor == 1:
        return image
    slow, fast = (-n % factor for n in image.shape)
    padded = np.pad(image, ((0, slow), (0, fast)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    return np.asarray(blocks.max(axis=(1, 3)))

"""An image of a data set with what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...simulation.labels import Labels

if TYPE_CHECKING:
    from ...io.images.metadata import ImageMetadata

__all__ = ["Failed", "Made", "Stored"]


class Stored(NamedTuple):
    """An image that was read.

    Attributes
    ----------
    image : ndarray
        Pixels, (slow, fast), or (panel, slow, fast).
    labels : Labels
    """

    image: NDArray[Any]
    labels: Labels


class Made(NamedTuple):
    """An image that was made.

    Attributes
    ----------
    image : ndarray
        Counts of the detector, or photons (float32) where the recipe has none; (slow, fast), or (panel, slow,
        fast), or of panels of several sizes all pixels, one panel after the other.
    labels : Labels
    metadata : ImageMetadata
        What an image file says of it.
    mask : ndarray of bool or None
        True where a pixel counts, of the shape of the image; None: everywhere.
    """

    image: NDArray[Any]
    labels: Labels
    metadata: ImageMetadata
    mask: NDArray[np.bool_] | None = None


class Failed(NamedTuple):
    """An image that could not be made.

    Attributes
    ----------
    image : int
    error : str
    parameters : dict
        What was drawn for it.
    """

    image: int
    error: str
    parameters: dict[str, Any]

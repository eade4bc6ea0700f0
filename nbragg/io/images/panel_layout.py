"""Where the panels of a detector stand in the one array of a file that holds them all.

They stand below one another in their order, as wide as the widest; what is beside a narrower one is no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metadata import ImageMetadata, PanelMetadata

__all__ = ["PanelLayout"]


@dataclass(frozen=True)
class PanelLayout:
    """Panels in one array.

    Attributes
    ----------
    panels : tuple of PanelMetadata
    origins : tuple of (slow, fast)
        Of each panel's first pixel in the array.
    shape : (slow, fast)
        Of the array.
    """

    panels: tuple[PanelMetadata, ...]
    origins: tuple[tuple[int, int], ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, metadata: ImageMetadata) -> PanelLayout:
        """That of the detector of an image."""
        m = metadata
        panels = m.panels or (
            PanelMetadata(
                fpixels=m.fpixels,
                spixels=m.spixels,
                pixel_mm=m.pixel_mm,
                fast=m.fast,
                slow=m.slow,
                origin_mm=m.pix0_mm,
                sensor_um=m.sensor_um,
                attenuation_um=m.attenuation_um,
            ),
        )
        rows = np.cumsum([0, *(panel.spixels for panel in panels)]).tolist()
        widest = max(panel.fpixels for panel in panels)
        return cls(panels, tuple((row, 0) for row in rows[:-1]), (rows[-1], widest))

    def spread(self, image: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        """An image, as `ImageMetadata.image_shape`, in the array."""
        pixels = image.reshape(-1)
        if pixels.size == self.shape[0] * self.shape[1]:
            return np.asarray(pixels.reshape(self.shape))
        array = np.full(self.shape, fill, image.dtype)
        first = 0
        for panel, (row, _) in zip(self.panels, self.origins, strict=True):
            last = first + panel.spixels * panel.fpixels
            part = pixels[first:last].reshape(panel.spixels, panel.fpixels)
            array[row : row + panel.spixels, : panel.fpixels] = part
            first = last
        return array

    def gather(self, array: NDArray[Any], image_shape: tuple[int, ...]) -> NDArray[Any]:
        """The image in an array (slow, fast) or stack (n, slow, fast): the inverse of `spread`."""
        before = array.shape[:-2]
        if np.prod(image_shape) == self.shape[0] * self.shape[1]:
            return np.asarray(array.reshape(*before, *image_shape))
        parts = [
            array[..., row : row + panel.spixels, : panel.fpixels].reshape(*before, -1)
            for panel, (row, _) in zip(self.panels, self.origins, strict=True)
        ]
        return np.asarray(np.concatenate(parts, axis=-1).reshape(*before, *image_shape))

"""A rendered image with what it was made from, and what can be done with it."""

from __future__ import annotations

import dataclasses
import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .noise import NoiseImage, noise_image
from .statistics import Statistics, statistics

if TYPE_CHECKING:
    from .backends import RawImage
    from .recipe import Setup
    from .scene import Scene
    from .trace import PixelTrace

__all__ = ["Result"]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A rendered image and what it was made from.

    Attributes
    ----------
    image : ndarray of float32, shape (slow, fast)
        Photons per pixel.
    statistics : Statistics
        Worked out when first asked for.
    scene : Scene
    elapsed : float
        Rendering time, s.
    setup : Setup or None
        Crystal, beam, detector and sampling; None when the image was rendered from a Scene.
    raw : RawImage
        The image and what the backend counted.
    """

    raw: RawImage
    scene: Scene
    elapsed: float
    setup: Setup | None = None

    @property
    def image(self) -> NDArray[np.float32]:
        return self.raw.image

    @functools.cached_property
    def statistics(self) -> Statistics:
        return statistics(self.scene, self.raw)

    def replace(self, *, image: NDArray[np.float32] | None = None, **changes: Any) -> Result:
        """A copy with another image of the same shape (a background added, say), or other fields.

        Raises
        ------
        InputError
            For an image of another shape.
        """
        if image is not None:
            pixels = np.ascontiguousarray(image, np.float32)
            if pixels.shape != self.image.shape:
                raise InputError(
                    f"the image has the shape {pixels.shape}; {self.image.shape} (slow, fast) was expected"
                )
            changes["raw"] = self.raw.with_image(pixels)
        return dataclasses.replace(self, **changes)

    def noise(self, seed: int, adc: float = 40.0) -> NoiseImage:
        """One noisy exposure of this image; see `nbragg.noise_image`."""
        return noise_image(self.image, self.scene.roi, seed=seed, adc=adc)

    def trace(self, slow: int, fast: int) -> PixelTrace:
        """Every intermediate value of one pixel; see `nbragg.trace.trace_pixel`."""
        from .trace import trace_pixel

        return trace_pixel(self.scene, slow, fast, cut_pixel=self.raw.cut_pixel)

    def save(self, path: str | os.PathLike[str], format: str | None = None, **options: Any) -> None:
        """Write the image; the format is told by the suffix.

        Geometry, and the set-up where there is one, are stored in every format that can hold them.

        Parameters
        ----------
        path : path
            ``.img`` (SMV), ``.bin`` (raw float32), ``.pgm``, ``.png``, ``.tif``, ``.cbf``, ``.nxs`` or
            ``.h5`` (NeXus), ``.npy``.
        format : str, optional
            Instead of the suffix.
        **options
            See `nbragg.io.images.save_image`: ``dtype``, ``scale``, ``offset``, ``clip``, ``overwrite`` ...

        Raises
        ------
        InputError, FileError, MissingPackageError
        """
        from .io.images import save_image

        if self.setup is not None and "recipe" not in options:
            from .recipe import to_dict

            options["recipe"] = to_dict(self.setup)
        save_image(path, self.image, scene=self.scene, format=format, **options)

    def plot(
        self,
        ax: Any = None,
        *,
        percentile: float = 99.9,
        cmap: str = "gray_r",
        colorbar: bool = True,
        **options: Any,
    ) -> Any:
        """Draw the image with matplotlib.

        The scale is linear near the typical pixel and logarithmic above it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default a new figure's.
        percentile : float
            Percentile of the pixels above zero at the top of the scale, in (0, 100].
        cmap : str
        colorbar : bool
        **options
            Passed to ``Axes.imshow``; ``norm`` replaces the scale.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        MissingPackageError
            Without matplotlib.
        """
        from .optional import require

        if not 0 < percentile <= 100:
            raise InputError(f"percentile = {percentile}: give a number above 0 and up to 100")
        purpose = "plotting"
        if ax is None:
            ax = require("matplotlib.pyplot", extra="plot", purpose=purpose).subplots()[1]
        if "norm" not in options:
            colors = require("matplotlib.colors", extra="plot", purpose=purpose)
            bright = self.image[self.image > 0]
            top = float(np.percentile(bright, percentile)) if bright.size else 1.0
            typical = float(np.median(bright)) if bright.size else 1.0
            options["norm"] = colors.AsinhNorm(min(max(typical, 1e-4 * top), top), vmin=0.0, vmax=top)
        # pixel indices at the pixels' centres, slow downwards
        drawn = ax.imshow(self.image, cmap=cmap, **options)
        ax.set_xlabel("fast (pixels)")
        ax.set_ylabel("slow (pixels)")
        if colorbar:
            ax.figure.colorbar(drawn, ax=ax, label="photons")
        return ax

    def __repr__(self) -> str:
        slow, fast = self.image.shape
        return f"Result({slow} x {fast} pixels (slow x fast), max {float(self.image.max()):g} photons)"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from .io.png import encode, preview

        return encode(preview(self.image))

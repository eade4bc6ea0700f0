"""A rendered image with what it was made from, and what can be done with it."""

from __future__ import annotations

import dataclasses
import itertools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.statistics import Statistics, statistics
from ..analysis.trace import PixelTrace, trace_pixel
from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.optional import require
from ..base.records import FrozenArrays
from ..engine.options import RawImage
from ..io.images import save_image
from ..io.images.png import encode, preview
from ..io.recipe import to_dict
from ..model.setup import Setup
from ..response.reference_noise import NoiseImage, noise_panels
from ..scene.record import Scene

__all__ = ["Result"]


@dataclass(frozen=True, eq=False, repr=False)
class Result(FrozenArrays):
    """A rendered image and what it was made from.

    Attributes
    ----------
    image : ndarray of float32
        Photons per pixel: (slow, fast) for a detector of one panel, (panel, slow, fast) for several of one
        size, else the pixels of all panels one after the other; `panels` has each in its shape.
    statistics : Statistics
        Worked out when first asked for.
    scene : Scene
    elapsed : float
        Rendering time, s.
    setup : Setup or None
        What was set; None when the image was rendered from a Scene.
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

    @property
    def panels(self) -> tuple[NDArray[np.float32], ...]:
        """Each panel's image, shape (slow, fast); views of `image`."""
        pixels, places = self.image.reshape(-1), self.scene.offsets
        return tuple(
            pixels[first:last].reshape(panel.spixels, panel.fpixels)
            for panel, (first, last) in zip(self.scene.panels, itertools.pairwise(places), strict=True)
        )

    def panel_image(self, panel: int | None = None) -> NDArray[np.float32]:
        """One panel's image, shape (slow, fast); None: the only one.

        Raises
        ------
        InputError
            When there are several and none is named, or no such one.
        """
        count = len(self.scene.panels)
        if panel is None and count > 1:
            raise InputError(f"the image has {count} panels: give panel=0 to {count - 1}")
        number = panel or 0
        if not 0 <= number < count:
            raise InputError(f"panel {number}: the image has the panels 0 to {count - 1}")
        return self.panels[number]

    @cached_property
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
        """One noisy exposure of this image; see `nbragg.noise_image`.

        Panels draw one after the other from one stream.
        """
        rois = [panel.roi for panel in self.scene.panels]
        drawn = noise_panels(self.panels, rois, seed=seed, adc=adc)
        pixels = (
            np.concatenate([noise.pixels.reshape(-1) for noise in drawn])
            if len(drawn) > 1
            else drawn[0].pixels
        )
        return NoiseImage(pixels.reshape(self.image.shape), sum(noise.overloads for noise in drawn))

    def trace(self, slow: int, fast: int, *, panel: int = 0) -> PixelTrace:
        """Every intermediate value of one pixel; see `nbragg.trace_pixel`."""
        return trace_pixel(self.scene, slow, fast, panel=panel, cut_pixel=self.raw.summary.cut_pixel)

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
        if self.setup is not None:
            options.setdefault("beam", self.setup.beam)
            if "recipe" not in options:
                options["recipe"] = to_dict(self.setup)
        save_image(path, self.image, scene=self.scene, format=format, **options)

    def plot(
        self,
        ax: Any = None,
        *,
        panel: int | None = None,
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
        panel : int, optional
            Which of several panels.
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
        if not 0 < percentile <= 100:
            raise InputError(f"percentile = {percentile}: give a number above 0 and up to 100")
        pixels = self.panel_image(panel)
        purpose = "plotting"
        if ax is None:
            ax = require("matplotlib.pyplot", extra="plot", purpose=purpose).subplots()[1]
        if "norm" not in options:
            colors = require("matplotlib.colors", extra="plot", purpose=purpose)
            bright = pixels[pixels > 0]
            top = float(np.percentile(bright, percentile)) if bright.size else 1.0
            typical = float(np.median(bright)) if bright.size else 1.0
            options["norm"] = colors.AsinhNorm(min(max(typical, 1e-4 * top), top), vmin=0.0, vmax=top)
        # pixel indices at the pixels' centres, slow downwards
        drawn = ax.imshow(pixels, cmap=cmap, **options)
        ax.set_xlabel("fast (pixels)")
        ax.set_ylabel("slow (pixels)")
        if colorbar:
            ax.figure.colorbar(drawn, ax=ax, label="photons")
        return ax

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image.shape))
        axes = {2: "slow x fast", 3: "panel x slow x fast"}.get(self.image.ndim, "all panels")
        return f"Result({size} pixels ({axes}), max {float(self.image.max()):g} photons)"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows."""
        return encode(preview(self.image)) if self.image.ndim == 2 else None

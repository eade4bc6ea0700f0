"""A rendered image with what it was made from, and what can be done with it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..analysis.assembly import PanelView, gathered
from ..analysis.statistics import Statistics, statistics
from ..base import validate as check
from ..base.cached import cached_property
from ..base.errors import InputError, MemoryLimitError
from ..base.optional import require
from ..base.records import FrozenArrays, frozen
from ..engine.options import RawImage
from ..io.images import save_image
from ..io.images.metadata import ImageMetadata
from ..io.images.png import encode, preview, preview_panels
from ..model.setup import Setup
from ..response.reference_noise import NoiseImage, noise_panels
from ..scene.record import Scene
from .counts import Seed, counts, detected, written_dtype

if TYPE_CHECKING:
    from ..analysis.trace import PixelTrace
    from ..model.response import DetectorResponse
    from ..response.detect import DetectorImage
    from .labels import Labels

__all__ = ["Result"]


@frozen
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
    def visited(self) -> int | None:
        """Samples that were evaluated, where dark ones were left out; None: all of them were."""
        return self.raw.summary.visited if self.raw.summary.visited >= 0 else None

    @property
    def left_out(self) -> float:
        """Photons that a pixel has lost at most because samples were left out; see ``tolerance_photons``."""
        return self.raw.summary.left_out

    @property
    def panels(self) -> tuple[NDArray[np.float32], ...]:
        """Each panel's image, shape (slow, fast); views of `image`."""
        return self.split(self.image)

    def split(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Views of an image, one for each panel."""
        pixels, places = image.reshape(-1), self.scene.offsets
        return tuple(
            pixels[first:last].reshape(panel.spixels, panel.fpixels)
            for panel, (first, last) in zip(self.scene.panels, itertools.pairwise(places), strict=True)
        )

    @property
    def stack(self) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """All panels, (panel, slow, fast), also of one; a list of (slow, fast) where their sizes differ."""
        panels = self.panels
        if len({panel.shape for panel in panels}) > 1:
            return list(panels)
        slow, fast = panels[0].shape
        return np.asarray(self.image.reshape(len(panels), slow, fast))

    def assembled(self, fill: float = math.nan, *, exact: bool = False) -> NDArray[Any]:
        """All panels in one array: every pixel in the nearest cell of a grid, for looking at.

        The grid has the first panel's pixels and lies along the mean fast and slow axes of all panels, rows
        along slow.  Where panels are turned against each other by 45 degrees or more it is seen along the
        beam: rows go down, along the slow axis that a detector of the convention has (-y for panels from
        files), columns to the right.  Pixels that share a cell are added.

        Parameters
        ----------
        fill : float
            Of cells without a pixel.
        exact : bool
            True takes panels on one grid of pixels only, as those of a Pilatus or Eiger are: every pixel then
            is where it stands, and the array is that of the maker's file.

        Returns
        -------
        ndarray (rows, columns) of float32
            Of a detector of one panel its image.

        Raises
        ------
        InputError
            With ``exact`` for panels that are not on one grid.
        MemoryLimitError
            For panels that stand too far apart.

        Examples
        --------
        >>> import nbragg
        >>> factors = nbragg.StructureFactors.constant(100)
        >>> crystal = nbragg.Crystal(cell=(50, 50, 50, 90, 90, 90), structure_factors=factors)
        >>> result = nbragg.simulate(crystal, detector=nbragg.Detector.named("epix100", distance_mm=50))
        >>> result.stack.shape, result.assembled().shape
        ((4, 352, 384), (709, 773))
        """
        panels = self.panels
        if len(panels) == 1:
            return np.array(self.image)
        return gathered(panels, PanelView.from_scene(self.scene), fill, exact=exact)

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

    def noise(self, seed: int, adc: float = 40.0, dtype: DTypeLike = np.uint16) -> NoiseImage:
        """One noisy exposure of this image; see `nbragg.noise_image`.

        Panels draw one after the other from one stream.
        """
        rois = [panel.roi for panel in self.scene.panels]
        drawn = noise_panels(self.panels, rois, seed=seed, adc=adc, dtype=dtype)
        pixels = (
            np.concatenate([noise.pixels.reshape(-1) for noise in drawn])
            if len(drawn) > 1
            else drawn[0].pixels
        )
        return NoiseImage(pixels.reshape(self.image.shape), sum(noise.overloads for noise in drawn))

    def trace(self, slow: int, fast: int, *, panel: int = 0) -> PixelTrace:
        """Every intermediate value of one pixel; see `nbragg.trace_pixel`."""
        from ..analysis.trace import trace_pixel

        return trace_pixel(self.scene, slow, fast, panel=panel, cut_pixel=self.raw.summary.cut_pixel)

    def spots(self, *, d_min_A: float | None = None, least: float | None = None) -> NDArray[np.void]:
        """The spots of the image, brightest first, with the photons that each is expected to have.

        Parameters
        ----------
        d_min_A : float, optional
            Resolution limit; None: that of the detector's farthest corner.
        least : float, optional
            Smallest partiality that is listed; None: 0.001.

        Returns
        -------
        structured ndarray (n,)
            ``h``, ``k``, ``l``; numbers of ``crystal`` (a lattice) and ``panel``, from 0; ``fast`` and
            ``slow``, pixels of the panel, the centre of its first pixel at 0, 0; ``photons`` of the whole
            spot; ``partiality``; ``d_A``, angstrom.

        Raises
        ------
        InputError
            For a curved detector.
        MemoryLimitError

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 20 -physics exact -misset 10 20 30")
        >>> spots = nbragg.simulate(setup).spots()
        >>> bool((spots["photons"][:-1] >= spots["photons"][1:]).all())
        True
        """
        from .labels import LEAST, spots_of

        return spots_of(self.scene, d_min_A=d_min_A, least=LEAST if least is None else least)

    def labels(self, label_images: Sequence[str] = (), **options: Any) -> Labels:
        """All that is known of the image, by name: crystals, spectrum, spots, images of labels.

        Parameters
        ----------
        label_images : sequence of {"bragg", "background", "spots", "reflection"}
            Images of the shape of `image`: photons of Bragg scattering, and of all else, float32; 1 where a
            spot is, uint8; the row of ``reflections`` that a pixel belongs to, int32, -1 for none.
        **options
            ``image`` and ``parameters``, which are kept as they are; ``d_min_A`` and ``least`` as of `spots`;
            ``least_photons`` (1) of Bragg scattering, and ``part_of_peak`` (0.05) of the spot's brightest
            pixel, that a pixel of a spot has at least; ``threads``.

        Returns
        -------
        Labels
            A mapping: ``cell`` (n, 6) of each crystal, angstrom and degrees; ``U``, ``B`` and ``A`` = U B
            (n, 3, 3), laboratory frame, 1/angstrom; ``weight`` (n,); ``space_group``; ``wavelength_A``;
            ``spectrum`` (m, 2), wavelengths and weights; ``reflections``, as of `spots`; ``images``.

        Raises
        ------
        InputError
            For an unknown label image or option, and a curved detector.
        MemoryLimitError, RenderError

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 20 -physics exact -misset 10 20 30")
        >>> labels = nbragg.simulate(setup).labels(["spots"])
        >>> labels["A"].shape, labels["images"]["spots"].dtype
        ((1, 3, 3), dtype('uint8'))
        """
        from .labels import check_options, labels_of

        check_options(options)
        return labels_of(self, label_images=label_images, **options)

    @property
    def metadata(self) -> ImageMetadata:
        """What the file of this image says of its making."""
        from ..io.recipe import to_dict

        beam, recipe = (None, None) if self.setup is None else (self.setup.beam, to_dict(self.setup))
        return ImageMetadata.from_scene(self.scene, beam, recipe)

    def detect(
        self,
        seed: int,
        *,
        image: int = 0,
        response: DetectorResponse | None = None,
        threads: int | None = None,
    ) -> DetectorImage:
        """One exposure of this image as a detector writes it; see `nbragg.detect`.

        Pixel edges, masks, roi, the mean energy of the photons and the exposure time are those of the Scene
        and the Setup.

        Parameters
        ----------
        seed : int
        image : int
            Number of the image in a series: with the seed it decides every random number but those of fixed
            patterns, which are the same in all images.
        response : DetectorResponse, optional
            Instead of that of the Setup.
        threads : int, optional
            CPU threads; None takes OpenMP's choice.

        Returns
        -------
        DetectorImage
            ``pixels`` of the shape of `image`, ``overloads``, ``underloads``, and ``gain_stage`` where there
            are gain stages.

        Raises
        ------
        InputError
            Without a response, and as `nbragg.detect`.

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -flux 1e15")
        >>> eiger = nbragg.DetectorResponse.preset("eiger2")
        >>> drawn = nbragg.simulate(setup.replace(response=eiger)).detect(seed=1)
        >>> drawn.pixels.shape, drawn.pixels.dtype, drawn.overloads
        ((32, 32), dtype('uint16'), 0)
        """
        return detected(self, Seed(seed, image), response, threads)

    def counts(
        self,
        seed: int,
        pedestal: float | None = None,
        dtype: DTypeLike | None = None,
        *,
        image: int = 0,
    ) -> tuple[NoiseImage | DetectorImage, ImageMetadata]:
        """One noisy exposure in a pixel type of files, and what the file says of it.

        Parameters
        ----------
        seed : int
        pedestal : float, optional
            Added to every count.  None: 0, or what the response of the Setup adds.
        dtype : uint16, int32, uint32 or float32, optional
            Brighter pixels than it holds are cut, with a warning.  None: int32; with a response, the smallest
            type that holds what it writes, and no smaller one is taken.
        image : int
            As of `detect`; without a response there are seeds only.

        Raises
        ------
        InputError
            As `noise`, or as `detect` where the Setup has a response.
        """
        return counts(self, Seed(seed, image), pedestal, dtype)

    def save(
        self,
        path: str | os.PathLike[str],
        format: str | None = None,
        *,
        save_as: str = "photons",
        seed: int | None = None,
        pedestal: float | None = None,
        image: int = 0,
        **options: Any,
    ) -> None:
        """Write the image; the format is told by the suffix.

        Geometry, and the set-up where there is one, are stored in every format that can hold them.

        Parameters
        ----------
        path : path
            ``.img`` (SMV), ``.bin`` (raw float32), ``.pgm``, ``.png``, ``.tif``, ``.cbf``, ``.nxs`` or
            ``.h5`` (NeXus), ``.npy``.
        format : str, optional
            Instead of the suffix.
        save_as : {"photons", "counts"}
            Expected photons; or counts with noise, as the response of the Setup makes them where it has one,
            else Poisson deviates of the reference's stream.
        seed : int, optional
            Of the noise, which needs one.
        pedestal : float, optional
            As of `counts`; photons take ``offset``.
        image : int
            As of `detect`.
        **options
            See `nbragg.io.images.save_image`: ``dtype``, ``scale``, ``offset``, ``clip``, ``overwrite`` ...

        Raises
        ------
        InputError, FileError, MissingPackageError
        """
        check.choice("save_as", save_as, ("photons", "counts"))
        if save_as == "photons":
            if seed is not None or pedestal is not None:
                raise InputError(
                    'seed and pedestal belong to save_as="counts"; photons take scale and offset'
                )
            if self.setup is not None:
                options.setdefault("beam", self.setup.beam)
                if "recipe" not in options:
                    from ..io.recipe import to_dict

                    options["recipe"] = to_dict(self.setup)
            save_image(path, self.image, scene=self.scene, format=format, **options)
            return
        if seed is None:
            raise InputError('save_as="counts" draws noise: give seed=, a whole number')
        of_photons = [name for name in ("scale", "offset", "metadata", "beam", "recipe") if name in options]
        if of_photons:
            raise InputError(
                f"{', '.join(of_photons)}: counts take seed and pedestal, and no others of these"
            )
        response = None if self.setup is None else self.setup.response
        dtype = written_dtype(path, format, response, options.pop("dtype", None))
        noise, metadata = self.counts(seed, pedestal, dtype, image=image)
        save_image(path, noise.pixels, scene=self.scene, metadata=metadata, format=format, **options)

    def save_truth(self, *paths: str | os.PathLike[str], **options: Any) -> None:
        """Write what the image holds into files of other programs: geometry, crystals, reflections.

        Parameters
        ----------
        *paths : path
            The name tells the kind: ``.expt`` and ``.refl`` (DIALS), ``.stream`` (CrystFEL, stills),
            ``XDS.INP`` (rotations), ``.mtz`` (the structure factors that were used).
        **options
            ``images``, the image's file; ``first_image``, its number (1); ``d_min_A``, a resolution limit;
            ``least``, the smallest partiality that is listed (0.001); ``frame``: "imgcif", in which the
            images are read, or "laboratory"; ``indexed``: a .refl as of spots that were found and indexed;
            ``gain``, ``pedestal`` and ``trusted_range`` of the image, by default those of the set-up's
            detector response; ``geometry``, the text of a .geom file that a stream quotes.

        Raises
        ------
        InputError
            A name of no kind, an unknown option, a curved detector, or what a format cannot hold.
        FileError, MemoryLimitError
        """
        beam = self.setup.beam if self.setup is not None else None
        from .truth import write_truth

        write_truth(paths, self.setup, [(self.scene, beam)], **options)

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

        The scale is linear near the typical pixel and logarithmic above it.  Several panels are drawn where
        they stand, as who looks along the beam sees them, in mm from it: down is the slow axis that a
        detector of the convention has (-y for panels from files).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default a new figure's.
        panel : int, optional
            One of several panels, in its own pixels; None: all of them.
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
        from ..analysis.picture import with_gaps
        from ..analysis.plate import ONE_PANEL_LABELS, several_panels

        used = [None if p.mask is None else p.mask != 0 for p in self.scene.panels]
        pixels: NDArray[Any]
        labels = ONE_PANEL_LABELS
        if panel is None and len(used) > 1:
            plate = several_panels(self.panels, PanelView.from_scene(self.scene), used)
            pixels, labels = plate.pixels, plate.labels
            options.setdefault("extent", plate.extent)
        else:
            pixels, mask = self.panel_image(panel), used[panel or 0]
            pixels = pixels if mask is None else np.where(mask, pixels, np.nan)
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
        drawn = ax.imshow(pixels, cmap=with_gaps(cmap), **options)
        ax.set_xlabel(labels[0])
        ax.set_ylabel(labels[1])
        if colorbar:
            ax.figure.colorbar(drawn, ax=ax, label="photons")
        return ax

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image.shape))
        axes = {2: "slow x fast", 3: "panel x slow x fast"}.get(self.image.ndim, "all panels")
        return f"Result({size} pixels ({axes}), max {float(self.image.max()):g} photons)"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows."""
        if len(self.panels) == 1:
            return encode(preview(self.image))
        try:
            return encode(preview_panels(self.panels, PanelView.from_scene(self.scene)))
        except MemoryLimitError:  # they stand too far apart for one picture
            return None

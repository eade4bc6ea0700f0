"""Label images: the light of the spots apart from all else, which pixels they light, and which spot does."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..analysis.prediction import mean_source
from ..base import validate as check
from ..base.vectors import FloatArray
from ..engine.backdrop import Behind, Kept

if TYPE_CHECKING:
    from ..scene.record import Scene
    from .result import Result

__all__ = ["bragg_and_background", "made_images", "spot_images"]

#: pixels on each side of a spot's centre that are looked at first
_WINDOW = 4
#: pairs of pixel and spot that are worked on at a time
_PAIRS = 1_000_000
#: standard deviation of a slice of a crystal's diffraction, in units of wavelength over size
_DIFFRACTION = 0.4

_latest = threading.local()


def made_images(
    result: Result,
    spots: NDArray[np.void],
    names: Sequence[str],
    least_photons: float,
    part_of_peak: float,
    threads: int | None,
) -> dict[str, NDArray[Any]]:
    """Label images by name; see `LABEL_IMAGES` of `nbragg.simulation.labels`."""
    bragg, background = bragg_and_background(result, threads)
    images: dict[str, NDArray[Any]] = {"bragg": bragg, "background": background}
    if "spots" in names or "reflection" in names:
        images["reflection"] = spot_images(result, bragg, spots, least_photons, part_of_peak)
        images["spots"] = (images["reflection"] >= 0).astype(np.uint8)
    return {name: images[name] for name in names}


def bragg_and_background(
    result: Result, threads: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The image's two parts, whose sum it is to the rounding of float32.

    Parameters
    ----------
    result : Result
    threads : int, optional
        None: all.

    Returns
    -------
    bragg, background : ndarray of float32, of the image's shape
        Photons of Bragg scattering, and of everything else: backgrounds, direct beam, water, diffuse
        scattering.

    Raises
    ------
    RenderError
        When the engine runs out of memory.
    """
    image = np.asarray(result.image)
    behind = _background(result.scene, threads)
    if behind is None:
        return image.copy(), np.zeros_like(image)
    behind = behind.reshape(image.shape)
    bragg = image - behind
    # what rounding leaves where there is no spot is no light
    rounding = np.abs(image)
    rounding *= 2.0**-23
    bragg[bragg < rounding] = 0.0
    return bragg.astype(np.float32), behind.astype(np.float32)


def _background(scene: Scene, threads: int | None) -> FloatArray | None:
    """Photons of a Scene without the light of its spots, flat; None: none."""
    from ..engine.cpu import behind_of, render_diffuse, render_double

    if scene.water:
        crystals = tuple(dataclasses.replace(one, weight=0.0) for one in scene.crystals)
        tables = tuple(dataclasses.replace(one, reach=0.0) for one in scene.tables)
        return render_double(dataclasses.replace(scene, crystals=crystals, tables=tables), threads).reshape(
            -1
        )
    images = None
    if scene.backdrop is not None:
        if not hasattr(_latest, "kept"):
            _latest.kept = Kept(Behind)
        images = behind_of(_latest.kept, scene, threads)
    parts: list[FloatArray] = []
    if scene.diffuse is not None:
        light = scene.fluence * render_diffuse(scene, threads)
        parts.append(light if images is None or images.transmission is None else images.transmission * light)
    if images is not None and images.background is not None:
        parts.append(scene.fluence * images.background)
    if images is not None and images.fixed is not None:
        parts.append(images.fixed)
    return sum(parts[1:], parts[0]) if parts else None


def spot_images(
    result: Result,
    bragg: NDArray[np.float32],
    spots: NDArray[np.void],
    least_photons: float = 1.0,
    part_of_peak: float = 0.05,
) -> NDArray[np.int32]:
    """The row of the spot that each pixel belongs to.

    A pixel belongs to a spot where it has ``least_photons`` of Bragg scattering and ``part_of_peak`` of what
    the brightest pixel of the same spot has.  No noise and no background decides about that.  The spot is the
    one that lights the pixel most when each is a Gaussian of its photons about its centre, as wide as its
    crystal's size, mosaic spread and the beam's divergence make it, and a pixel: the nearest of equal ones,
    and the brighter of two that are about as near.  Spots of fewer photons than ``least_photons`` have no
    pixel.

    Parameters
    ----------
    result : Result
    bragg : ndarray, of the image's shape
        As of `bragg_and_background`.
    spots : structured ndarray (n,) of SPOT
    least_photons : float
    part_of_peak : float
        0 to 1.

    Returns
    -------
    ndarray of int32, of the image's shape
        -1: no spot.

    Raises
    ------
    InputError
    """
    check.number("least_photons", least_photons, above=0)
    check.number("part_of_peak", part_of_peak, at_least=0, at_most=1)
    found = np.full(bragg.size, -1, np.int32)
    rows = np.flatnonzero(spots["photons"] >= least_photons)
    widths = _widths(result.scene)
    lit = np.flatnonzero(bragg.reshape(-1) >= least_photons)
    if len(rows) and len(lit):
        for number, panel in enumerate(result.scene.panels):
            first, last = result.scene.offsets[number : number + 2]
            own = lit[np.searchsorted(lit, first) : np.searchsorted(lit, last)] - first
            here = rows[spots["panel"][rows] == number]
            if len(own) and len(here):
                near = _Spots.of(spots[here], widths[:, number])
                found[first + own] = here[near.lighting(own, (panel.spixels, panel.fpixels))]
        lit = lit[found[lit] >= 0]
        photons, row = bragg.reshape(-1)[lit], found[lit]
        peak = np.zeros(len(spots), np.float32)
        np.maximum.at(peak, row, photons)
        found[lit[photons < part_of_peak * peak[row]]] = -1
    return found.reshape(bragg.shape)


def _widths(scene: Scene) -> FloatArray:
    """Standard deviations of spots, pixels, of each lattice on each panel."""
    source, widths = mean_source(scene), []
    for blocks in scene.placement.lattices:
        placed = scene.placement.crystals[blocks[0]]
        size = np.min([scene.placement.crystals[i].size_m for i in blocks])
        angles = np.array([_DIFFRACTION * source.wavelength / size, placed.mosaic_spread, source.divergence])
        pixels = np.array([panel.distance / min(panel.pixel) for panel in scene.panels])
        # a pixel's own, that of an even distribution over it
        widths.append(np.sqrt(1.0 / 12.0 + (angles**2).sum() * pixels**2))
    return np.array(widths)


class _Spots(NamedTuple):
    """Of one panel, each a Gaussian: ``worth`` is the logarithm of its height, ``narrow`` 1/(2 width^2)."""

    slow: FloatArray
    fast: FloatArray
    worth: FloatArray
    narrow: FloatArray

    @classmethod
    def of(cls, spots: NDArray[np.void], widths: FloatArray) -> _Spots:
        narrow = 0.5 / widths[spots["crystal"]] ** 2
        return cls(spots["slow"], spots["fast"], np.log(spots["photons"] * narrow), narrow)

    def lighting(self, pixels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
        """For each pixel of the panel, by index, which spot lights it most."""
        best = self._in_windows(pixels, shape)
        left = pixels[best[pixels] < 0]  # few
        count = max(_PAIRS // len(self.slow), 1)
        for first in range(0, len(left), count):
            some = left[first : first + count]
            y, x = np.divmod(some, shape[1])
            distance = (y[:, np.newaxis] - self.slow) ** 2 + (x[:, np.newaxis] - self.fast) ** 2
            best[some] = (self.worth - distance * self.narrow).argmax(axis=1)
        return np.asarray(best[pixels])

    def _in_windows(self, pixels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
        """The same of the pixels within some pixels of a spot's centre; -1 of others."""
        best = np.full(shape[0] * shape[1], -1)
        wanted = np.zeros(len(best), bool)
        wanted[pixels] = True
        step = np.arange(-_WINDOW, _WINDOW + 1)
        slow = np.rint(self.slow).astype(np.int64)[:, np.newaxis] + step
        fast = np.rint(self.fast).astype(np.int64)[:, np.newaxis] + step
        on = ((slow >= 0) & (slow < shape[0]))[:, :, np.newaxis]
        on = on & ((fast >= 0) & (fast < shape[1]))[:, np.newaxis, :]
        place = np.where(on, slow[:, :, np.newaxis] * shape[1] + fast[:, np.newaxis, :], 0)
        on &= wanted[place]
        which, i, j = np.nonzero(on)
        distance = (slow[which, i] - self.slow[which]) ** 2 + (fast[which, j] - self.fast[which]) ** 2
        order = np.argsort(self.worth[which] - distance * self.narrow[which], kind="stable")
        best[place[on][order]] = which[order]  # of several the last counts
        return best

"""What the reference program's formulas change of the image at hand, each said once (canonical 11).

Quirks that are met where an option is read (pivot, near point, pix0_vector, source weights, header two-theta)
or where an image is rendered (interpolation switched off) are said there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..base import constants
from ..base.unit_cell import Cell, standard_reciprocal_axes
from ..base.warn import warn

__all__ = ["CrystalFacts", "ImageFacts", "tell_quirks"]


class CrystalFacts(NamedTuple):
    """Of one crystal, what quirks depend on."""

    cell: Cell | None  #: None where an A matrix decides the axes
    random: bool  #: random misset
    domains: int  #: of a mosaic spread above 0, else 1
    shape: str
    narrower: tuple[float, ...]  #: how many times narrower spots are along a, b, c than N makes them


class ImageFacts(NamedTuple):
    """Of the rest, what quirks depend on."""

    oversample: int
    layers: int
    thicksteps: int | None  #: as given, of a sensor that absorbs
    sources: int
    steps: int  #: sources, orientations and sub-pixels
    fluence: float
    polarized: bool
    per_sample: tuple[bool, bool, bool]  #: -oversample_omega, _polar, _thick
    water: bool
    curved: bool


def tell_quirks(crystals: tuple[CrystalFacts, ...], image: ImageFacts) -> None:
    """Warn of each quirk that changes this image, with what the exact physics does instead."""
    said: set[str] = set()
    for crystal in crystals:
        said.update(_crystal(crystal))
    for text in (*sorted(said), *_image(image)):
        warn(f"as in the reference program, {text}")


def _crystal(c: CrystalFacts) -> Iterator[str]:
    if c.cell is not None:
        kept, true = (standard_reciprocal_axes(c.cell, exact=exact) for exact in (False, True))
        change = float(np.abs(kept - true).max() / np.abs(true).max())
        if change > 1e-9:
            yield (
                f"the triclinic cell is distorted (c* by {100 * change:.2g} %); physics 'exact' keeps its "
                "angles"
            )
    if c.random:
        yield "random misset is not uniform; physics 'exact' draws it uniformly over all rotations"
    if c.domains > 1:
        yield (
            "mosaic domains fill a cap of the spread; physics 'exact' takes it as the standard deviation of "
            "an isotropic rotation"
        )
    if c.shape in ("gauss", "tophat"):
        times = ", ".join(f"{1.0 / x:.3g}" for x in c.narrower)
        yield (
            f"{c.shape} spots have {times} times the widths along a*, b*, c* that the numbers of cells "
            "give; physics 'exact' takes those"
        )


def _image(i: ImageFacts) -> Iterator[str]:
    omega, polar, thick = i.per_sample
    points = i.oversample > 1 or i.layers > 1
    once = [
        name
        for name, counts in (
            # on a curved detector every sample is at the same distance
            ("omega", points and not i.curved and not omega),
            ("polar", i.polarized and (points or i.sources > 1) and not polar),
            ("thick", i.layers > 1 and not thick),
        )
        if counts
    ]
    if once:
        options = ", ".join(f"-oversample_{name}" for name in once)
        verb, them = ("are", "them") if len(once) > 1 else ("is", "it")
        yield (
            f"{' and '.join(_LONG[name] for name in once)} {verb} taken once for a pixel; physics 'exact', "
            f"or {options}, takes {them} for every sample"
        )
    if i.thicksteps is not None:
        n = max(i.thicksteps, 2)
        yield (
            f"{n} sensor layers reach {n / (n - 1):.3g} times as deep as the sensor; physics 'exact' divides "
            f"its thickness by {n}"
        )
    if i.water:
        factor = constants.R_E_SQR * i.fluence / i.steps
        yield (
            f"water is multiplied by {factor:.4g}, the normalisation of Bragg scattering; physics 'exact' "
            "adds it after that"
        )
    if i.curved:
        yield "the detector is bent along laboratory y and z; physics 'exact' bends it along its own axes"


_LONG = {"omega": "solid angle", "polar": "polarization", "thick": "capture"}

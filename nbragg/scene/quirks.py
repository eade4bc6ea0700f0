"""What the reference program's formulas change of the image at hand, each said once (canonical 11).

Quirks that are met where an option is read (pivot, near point, pix0_vector, source weights, header two-theta)
or where an image is rendered (interpolation switched off) are said there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .. import _engine
from ..base import constants
from ..base.unit_cell import Cell, standard_reciprocal_axes
from ..base.warn import warn
from .record import PlacedPanel

__all__ = ["CrystalFacts", "ImageFacts", "layer_shift", "tell_quirks"]


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
    phi_behind: float  #: how far a phi step's angle, that of its start, is behind its middle, degrees
    layer_shift: float  #: `layer_shift` of the panels


def layer_shift(panels: tuple[PlacedPanel, ...], *, weighed: bool) -> float:
    """How far out spots lie because sensor layers have their photons at their fronts (canonical 6.1), pixels.

    The layers stand for a mean depth, which is compared with that of what the sensor absorbs (canonical 11):
    a photon of a slanted ray appears farther out by depth times the tangent of its angle to the normal.

    Parameters
    ----------
    panels : tuple of PlacedPanel
    weighed : bool
        Whether layers count by their capture fractions, or all alike.

    Returns
    -------
    float
        Where rays are most slanted, at a corner of what is rendered, of the panel where it is largest;
        negative: too far in.  0 for sensors that do not absorb or are curved, where no ray is slanted.
    """
    shifts = [0.0]
    for p in panels:
        if p.curved != "flat" or not (p.thickness > 0 and p.mu > 0):
            continue
        fast = (p.first[0] + np.array([p.roi[0], p.roi[1] + 1])) * p.pixel[0]
        slow = (p.first[1] + np.array([p.roi[2], p.roi[3] + 1])) * p.pixel[1]
        corners = [p.pix0 + f * p.fdet + s * p.sdet for f in fast for s in slow]
        cosine = max(1e-6, min(abs(float(c @ p.odet)) / float(np.linalg.norm(c)) for c in corners))
        depths = np.arange(p.layers) * p.layer_step
        weights = np.exp(-depths * p.mu / cosine) if weighed else np.ones(p.layers)
        kept = float(weights @ depths / weights.sum())
        true = p.thickness * _engine.mean_absorption(p.thickness * p.mu / cosine)
        shifts.append((kept - true) * math.sqrt(1.0 - min(cosine, 1.0) ** 2) / cosine / min(p.pixel))
    return max(shifts, key=abs)


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
            "the rotation about every axis"
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
    if i.layer_shift != 0.0:
        where = "out" if i.layer_shift > 0 else "in"
        yield (
            f"spots lie up to {abs(i.layer_shift):.3g} pixels too far {where}, "
            "since sensor layers have their photons at their fronts; physics 'exact' has them at the mean "
            "depth of what a layer absorbs"
        )
    if i.phi_behind > 0.0:
        yield (
            f"the angle of a phi step is that of its start, {i.phi_behind:.4g} deg behind its middle, which "
            "physics 'exact' takes"
        )
    if i.water:
        factor = constants.R_E_SQR * i.fluence / i.steps
        yield (
            f"water is multiplied by {factor:.4g}, the normalisation of Bragg scattering; physics 'exact' "
            "adds it after that, with the sensor's capture fraction"
        )
    if i.curved:
        yield "the detector is bent along laboratory y and z; physics 'exact' bends it along its own axes"


_LONG = {"omega": "solid angle", "polar": "polarization", "thick": "capture"}

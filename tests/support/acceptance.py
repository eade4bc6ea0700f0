"""What the acceptance tests share: theory images, peaks, and scenes that isolate one factor."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import golden_cases as g
import numpy as np
import numpy.typing as npt
import oracle
from scipy import ndimage

from nbragg.base.constants import DEFAULT_FLUENCE
from nbragg.engine import cpu
from nbragg.engine.backend import PRECISIONS

__all__ = ["FLAT", "PRECISIONS", "UNIT", "Image"]

Image = npt.NDArray[Any]

#: r_e^2 times the default fluence, very nearly 1
UNIT = 7.94079248018965e-30 * DEFAULT_FLUENCE
#: one cell, one structure factor for all: the lattice and the cell leave no trace in the image
FLAT = "-cell 50 60 70 80 95 103 -N 1 -default_F 1 -lambda 1.3 -oversample 1"


def words(*parts: str | Sequence[str]) -> list[str]:
    """One list of words from strings and lists."""
    return [word for part in parts for word in (shlex.split(part) if isinstance(part, str) else part)]


def double(*parts: str | Sequence[str]) -> Image:
    """Image of a command line before it is rounded to float32."""
    image: Image = cpu.render_double(g.scene_of(words(*parts)))
    return image


def pixel_centres(scene: Any) -> Image:
    """Sample-to-pixel vectors of a flat detector, m, (spixels, fpixels, 3)."""
    s, f = np.mgrid[: scene.panel.spixels, : scene.panel.fpixels] + 0.5
    axes = f[..., None] * scene.panel.fdet + s[..., None] * scene.panel.sdet
    return np.asarray(scene.panel.pix0 + scene.panel.pixel[0] * axes)


def assert_theory(*parts: str | Sequence[str], threads: int | None = None) -> Image:
    """Render a command line and compare it with the oracle's image; returns the image."""
    scene = g.scene_of(words(*parts))
    from nbragg.simulation.simulate import render

    image: Image = render(scene, threads=threads).image
    fmin, fmax, smin, smax = scene.panel.roi
    box = (slice(smin, smax + 1), slice(fmin, fmax + 1))
    g.assert_matches(image[box], oracle.render(scene)[box].astype(np.float32))
    return image


def assert_golden(case_id: str) -> Image:
    """Render a golden case, from an empty directory, and compare it; returns the image."""
    image = g.render(g.arguments(case_id))
    g.assert_matches(image, g.reference(case_id)["image"])
    return image


def local_maxima(image: Image, percentile: float = 99.5) -> npt.NDArray[np.int64]:
    """(n, 2) slow, fast indices of the maxima of 3x3 neighbourhoods, ties included, brightest first."""
    peak = (image == ndimage.maximum_filter(image, size=3)) & (image > np.percentile(image, percentile))
    place = np.argwhere(peak)
    return np.asarray(place[np.argsort(-image[peak], kind="stable")])


def strongest(image: Image) -> tuple[int, int]:
    """Slow, fast indices of the largest pixel."""
    slow, fast = np.unravel_index(int(np.argmax(image)), image.shape)
    return int(slow), int(fast)


def correlation(a: Image, b: Image) -> float:
    """Pearson's correlation of two images."""
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


def rotation(axis: Sequence[float] | Image, degrees: float) -> Image:
    """Right-handed rotation matrix about a unit axis."""
    x = np.cross(np.eye(3), axis)
    t = np.radians(degrees)
    return np.asarray(np.eye(3) + np.sin(t) * x + (1 - np.cos(t)) * x @ x)


def rot_xyz(x: float, y: float, z: float) -> Image:
    """Matrix that turns about x, then y, then z; degrees."""
    return np.asarray(rotation((0, 0, 1), z) @ rotation((0, 1, 0), y) @ rotation((1, 0, 0), x))

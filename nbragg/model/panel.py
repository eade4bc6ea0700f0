"""One panel of a detector, by where it stands in the laboratory."""

from __future__ import annotations

import itertools
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.vectors import unit
from .materials import Layer, Material, as_layers, as_material

__all__ = ["Panel", "both_masks", "mask_array", "pixel_edges", "region"]

#: lengths (mm) beyond which squares would leave double precision, and any laboratory
FARTHEST = 1e15

#: cosine of the angle between fast and slow axis above which they are not taken for orthogonal
_SKEW = 1e-6


@frozen(kw_only=True)
class Panel(Record):
    """A flat rectangle of pixels.

    Parameters
    ----------
    origin_mm : 3 floats
        Sample to the outer corner of the pixel (0, 0) of the panel's plane, laboratory frame, mm.
    fast, slow : 3 floats
        Directions of the axes, any length, orthogonal to 1e-6.  The normal is fast x slow, turned away from
        the sample.
    fpixels, spixels : int
        Pixels along fast and slow.
    pixel_mm : float or (fast, slow)
        Pixel edges, mm.
    first : (fast, slow)
        Place of the panel's first pixel on its plane, counted from the pixel at ``origin_mm``: panels cut
        from one plane share ``origin_mm``.
    thickness_um : float
        Sensor thickness, micrometre; 0 means every photon is counted at the surface.
    attenuation_um : float, optional
        Attenuation depth of the sensor, micrometre; infinity or 0: no absorption; None: that of the material,
        else the thickness.
    material : str or Material, optional
        What the sensor is made of, for its photoelectric absorption (`nbragg.attenuation`).  The fraction
        that it takes of each source's light is that at the wavelength of the source, where that is asked for
        every sample (``physics="exact"``, ``oversample_thick``); else that at their mean wavelength, as are
        the depths of its layers' photons.
    thicksteps : int, optional
        Layers the sensor is cut into; None: 2 (canonical 6, 11).  With ``physics="exact"`` n layers of
        thickness/n have their photons at the mean depth of what each absorbs, and one layer puts a spot where
        many do; with ``physics="nanobragg"`` there are at least 2, of thickness/(n-1), with their photons at
        their fronts.
    front : sequence of (material, micrometre)
        What light crosses before it gets into the sensor (a dead layer, a metal, a foil), parallel to it.
    mask : array_like (spixels, fpixels), optional
        Pixels equal to 0 are skipped.
    roi : (fmin, fmax, smin, smax), optional
        Rendered region, inclusive, counted from the panel's first pixel; None is all of it.
    name : str
        For people.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, axes that are not orthogonal, a mask or a roi that
        does not fit.

    Examples
    --------
    >>> import nbragg
    >>> panel = nbragg.Panel(
    ...     origin_mm=(-10, -10, 100), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=200, spixels=200, pixel_mm=0.1
    ... )
    >>> [piece.first for piece in panel.cut(2, 2)]
    [(0, 0), (100, 0), (0, 100), (100, 100)]
    """

    origin_mm: tuple[float, float, float]
    fast: tuple[float, float, float]
    slow: tuple[float, float, float]
    fpixels: int
    spixels: int
    pixel_mm: float | tuple[float, float]
    first: tuple[int, int] = (0, 0)
    thickness_um: float = 0.0
    attenuation_um: float | None = None
    material: str | Material | None = None
    thicksteps: int | None = None
    front: tuple[Layer, ...] = ()
    mask: npt.NDArray[np.uint8] | None = None
    roi: tuple[int, int, int, int] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        self._set("origin_mm", check.vector("origin_mm", self.origin_mm))
        for i, x in enumerate(self.origin_mm):
            check.number(f"origin_mm[{i}]", x, at_least=-FARTHEST, at_most=FARTHEST)
        for axis in ("fast", "slow"):
            self._set(axis, check.direction(axis, getattr(self, axis)))
        skew = float(unit(self.fast) @ unit(self.slow))
        if abs(skew) > _SKEW:
            raise InputError(
                f"fast {self.fast} and slow {self.slow} are not orthogonal: the cosine of their angle is "
                f"{skew:.3g}, at most {_SKEW:g} is taken"
            )
        for name in ("fpixels", "spixels"):
            self._set(name, check.count(name, getattr(self, name)))
        self._set("pixel_mm", pixel_edges("pixel_mm", self.pixel_mm))
        first = [
            check.count(f"first[{i}]", n, at_least=0)
            for i, n in enumerate(check.vector("first", self.first, 2))
        ]
        self._set("first", tuple(first))
        self._set("thickness_um", check.number("thickness_um", self.thickness_um, at_least=0))
        self._set(
            "attenuation_um",
            check.optional_number("attenuation_um", self.attenuation_um, at_least=0, infinity=True),
        )
        if self.material is not None:
            as_material("material", self.material)
        self._set("thicksteps", check.optional_count("thicksteps", self.thicksteps))
        self._set("front", as_layers("front", self.front))
        if self.mask is not None:
            self._set("mask", mask_array(self.mask))
            self._check_mask()
        if self.roi is not None:
            self._set("roi", region(self.roi))
            self._check_roi()
        if not isinstance(self.name, str):
            raise InputError(f"name must be text, not {self.name!r}")

    def _check_mask(self) -> None:
        assert self.mask is not None
        if self.mask.shape != (self.spixels, self.fpixels):
            slow, fast = self.mask.shape
            raise InputError(
                f"mask of {fast} x {slow} pixels on a panel of {self.fpixels} x {self.spixels}: give one of "
                "its size"
            )

    def _check_roi(self) -> None:
        assert self.roi is not None
        if self.roi[1] >= self.fpixels or self.roi[3] >= self.spixels:
            raise InputError(
                f"roi {self.roi} reaches outside the panel: limits are inclusive and counted from 0, so at "
                f"most 0 {self.fpixels - 1} 0 {self.spixels - 1}"
            )

    def cut(self, slow: int, fast: int) -> tuple[Panel, ...]:
        """The panel in ``slow`` x ``fast`` pieces of (nearly) equal size, row by row.

        Each keeps its part of the mask; a pixel of a piece has the value that it has in the whole.

        Raises
        ------
        InputError
            For more pieces than pixels, and for a panel with a roi.
        """
        if self.roi is not None:
            raise InputError("a panel with a roi is not cut: give the pieces their own")
        rows, columns = (
            np.linspace(0, pixels, check.count(name, pieces, at_most=pixels) + 1).astype(int).tolist()
            for name, pieces, pixels in (("slow", slow, self.spixels), ("fast", fast, self.fpixels))
        )
        pieces = []
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                pieces.append(
                    self.replace(
                        fpixels=right - left,
                        spixels=bottom - top,
                        first=(self.first[0] + left, self.first[1] + top),
                        mask=None if self.mask is None else self.mask[top:bottom, left:right],
                        name=f"{self.name}[{top}:{bottom},{left}:{right}]",
                    )
                )
        return tuple(pieces)


def pixel_edges(name: str, value: Any) -> float | tuple[float, float]:
    """A pixel's edge, or two edges (fast, slow) where they differ; mm."""
    if not isinstance(value, (tuple, list, np.ndarray)):
        return check.number(name, value, above=0, at_most=FARTHEST)
    fast, slow = (
        check.number(f"{name}[{i}]", edge, above=0, at_most=FARTHEST)
        for i, edge in enumerate(check.vector(name, value, 2))
    )
    return fast if fast == slow else (fast, slow)


def region(roi: object) -> tuple[int, int, int, int]:
    """Check the order of a region's limits; the scene's making checks it against the detector."""
    limits = tuple(check.count(f"roi[{i}]", n, at_least=0) for i, n in enumerate(check.vector("roi", roi, 4)))
    xmin, xmax, ymin, ymax = limits
    if xmax < xmin or ymax < ymin:
        raise InputError(
            f"roi {limits} is inverted: give xmin xmax ymin ymax with xmin <= xmax and ymin <= ymax"
        )
    return cast("tuple[int, int, int, int]", limits)


def mask_array(mask: Any) -> npt.NDArray[np.uint8]:
    """A read-only uint8 copy of a mask, 1 where it is not zero; itself, if it is what this has returned."""
    array = np.asarray(mask)
    flags = array.flags
    owned = array.base is None and flags.c_contiguous and not flags.writeable
    if owned and array.ndim == 2 and array.dtype == np.uint8 and array.max(initial=0) <= 1:
        return array
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InputError(
            "mask must be a (spixels, fpixels) array of finite numbers, "
            f"not {array.dtype} of shape {array.shape}"
        )
    result: npt.NDArray[np.uint8] = np.ascontiguousarray(array != 0).astype(np.uint8)
    result.setflags(write=False)
    return result


def both_masks(
    one: npt.NDArray[np.uint8] | None, other: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8] | None:
    """The mask of what two leave to be rendered; None stands for all.

    Raises
    ------
    InputError
        For masks of two sizes.
    """
    if one is None or other is None:
        return other if one is None else one
    if one.shape != other.shape:
        raise InputError(
            f"a mask of {other.shape[1]} x {other.shape[0]} pixels on {one.shape[1]} x {one.shape[0]}: give "
            "one of the same size"
        )
    return mask_array(one & other)

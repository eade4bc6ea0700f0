"""How finely, and which part of, the image is computed (canonical 2, 6)."""

from __future__ import annotations

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from .panel import region

__all__ = ["Sampling"]


@frozen(kw_only=True)
class Sampling(Record):
    """Sub-pixels, region of interest, resolution limit and structure factor look-up.

    Parameters
    ----------
    oversample : int, "auto" or None
        Sub-pixels per pixel edge; None chooses by canonical 5.5.  "auto": the same number, and of each pixel
        as few of them as tell its sum to 1e-3, where it is above 1e-6 of the brightest.  The CPU renderer
        does so, where it pays; GPUs and derivatives take all.
    oversample_thick, oversample_polar, oversample_omega : bool
        Recompute capture fraction, polarization and solid angle for every sub-sample (canonical 8).
    roi : (xmin, xmax, ymin, ymax), optional
        Fast limits, then slow limits: inclusive, counted from 0.  None is the whole image.
    dmin_A : float, optional
        Skip samples with a spacing below this, angstrom; 0 means no limit.
    interpolate : bool, optional
        Tricubic interpolation of structure factors; None decides by canonical 7.3.
    water_um : float
        Edge of the cube of water around the crystal, micrometre.  Its photons are added to those of Bragg
        scattering, with the solid angle, polarization and capture fraction of every sub-pixel, sensor layer
        and source; with ``physics="nanobragg"`` they are inside the sum over samples (canonical 8, 11).
    background_oversample : int
        Sub-pixels per pixel edge of backgrounds and of what is in the way of the light, which are smooth:
        they need more in the shadow of a beam stop's edge.
    diffuse_oversample : int
        Sub-pixels per pixel edge of diffuse scattering: it needs more where correlation lengths are long.
    diffuse_mosaic : bool
        Diffuse scattering of every mosaic domain, not of the crystal as it stands.
    bragg : bool
        False leaves Bragg scattering out.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, or an inverted roi.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.Sampling(oversample=2, roi=(100, 199, 0, 49))
    Sampling(oversample=2, roi=(100, 199, 0, 49))
    """

    oversample: int | str | None = None
    oversample_thick: bool = False
    oversample_polar: bool = False
    oversample_omega: bool = False
    roi: tuple[int, int, int, int] | None = None
    dmin_A: float | None = None
    interpolate: bool | None = None
    water_um: float = 0.0
    background_oversample: int = 1
    diffuse_oversample: int = 1
    diffuse_mosaic: bool = False
    bragg: bool = True

    @property
    def subpixels(self) -> int | None:
        """Sub-pixels per pixel edge where their number is given; None: as recommended."""
        return None if self.oversample is None or isinstance(self.oversample, str) else self.oversample

    def __post_init__(self) -> None:
        if isinstance(self.oversample, str):
            if self.oversample != "auto":
                raise InputError(f'oversample = {self.oversample!r}: give a whole number, "auto" or None')
        else:
            self._set("oversample", check.optional_count("oversample", self.oversample, at_most=10_000))
        for name in ("oversample_thick", "oversample_polar", "oversample_omega"):
            self._set(name, check.flag(name, getattr(self, name)))
        if self.roi is not None:
            self._set("roi", region(self.roi))
        self._set("dmin_A", check.optional_number("dmin_A", self.dmin_A, at_least=0))
        if self.interpolate is not None:
            self._set("interpolate", check.flag("interpolate", self.interpolate))
        self._set("water_um", check.number("water_um", self.water_um, at_least=0))
        for name in ("background_oversample", "diffuse_oversample"):
            self._set(name, check.count(name, getattr(self, name), at_most=10_000))
        for name in ("diffuse_mosaic", "bragg"):
            self._set(name, check.flag(name, getattr(self, name)))

"""Whether crystal, beam, detector and sampling fit together; each check returns what it settled."""

from __future__ import annotations

import numpy as np

from . import memory
from .beam import Beam
from .cell_geometry import CellGeometry
from .crystal import Crystal
from .detector import Detector
from .detector_geometry import DetectorGeometry
from .errors import InputError
from .geometry import FloatArray
from .sampling import Sampling
from .warn import warn

__all__ = [
    "check_indices",
    "check_oversampling",
    "check_polarization",
    "image_region",
    "interpolation",
    "warn_of_left_hand",
]

#: float image, integer image, noise image, preview and mask, kept at the same time
_BYTES_PER_PIXEL = 4 + 2 + 2 + 1 + 1

#: doubles then leave an index 8 bits after the point
_LARGEST_INDEX = 2.0**45

#: more sub-pixels per pixel edge than this are not chosen automatically
_MOST_SUBPIXELS = 1000


def image_region(
    sampling: Sampling, detector: Detector, geometry: DetectorGeometry
) -> tuple[int, int, int, int]:
    """The rendered region, after checking that image, mask and region fit together and into memory."""
    fpixels, spixels = geometry.fpixels, geometry.spixels
    memory.require(
        _BYTES_PER_PIXEL * fpixels * spixels,
        f"an image of {fpixels} x {spixels} pixels",
        "give fewer pixels (fpixels, spixels: -detpixels) or larger ones (pixel_mm: -pixel)",
    )
    if detector.mask is not None and detector.mask.shape != (spixels, fpixels):
        slow, fast = detector.mask.shape
        raise InputError(
            f"mask of {fast} x {slow} pixels on a detector of {fpixels} x {spixels}: give one of its size"
        )
    if sampling.roi is None:
        return 0, fpixels - 1, 0, spixels - 1
    if sampling.roi[1] >= fpixels or sampling.roi[3] >= spixels:
        raise InputError(
            f"roi {sampling.roi} reaches outside the detector: limits are inclusive and counted from 0, "
            f"so at most 0 {fpixels - 1} 0 {spixels - 1}"
        )
    return sampling.roi


def check_polarization(beam: Beam, geometry: DetectorGeometry) -> None:
    """A polarized beam needs its field at an angle to its direction (canonical 8)."""
    if beam.polarization != 0 and not beam.nopolar and not geometry.vert_vector.any():
        raise InputError(
            "polar_vector is parallel to beam_vector: with a polarization other than 0 give one at right "
            "angles to the beam"
        )


def check_indices(cell: CellGeometry, shortest_wavelength: float) -> None:
    """Refuse indices so large that doubles no longer tell where in a cell a sample lies.

    The largest index is the longest edge times the largest |q|, 2/lambda.

    Parameters
    ----------
    cell : CellGeometry
    shortest_wavelength : float
        Metres.
    """
    longest = max(cell.a, cell.b, cell.c)
    largest = 2.0 * longest * 1e-10 / shortest_wavelength
    if not largest <= _LARGEST_INDEX:
        raise InputError(
            f"a cell edge of {longest:.4g} A and a wavelength of {shortest_wavelength * 1e10:.4g} A lead to "
            f"indices up to {largest:.3g}, beyond double precision: give a smaller cell or a longer "
            "wavelength"
        )


def warn_of_left_hand(cell: CellGeometry) -> None:
    if np.linalg.det(cell.vectors) < 0:
        warn("a_matrix is left-handed: a, b, c do not form a right-handed set")


def check_oversampling(sampling: Sampling, longest: float, recommended: int) -> None:
    """Warn when less was asked for than is recommended; refuse to choose absurdly much (canonical 5.5)."""
    if sampling.oversample is None and recommended > _MOST_SUBPIXELS:
        raise InputError(
            f"a crystal of {longest * 1e10:.4g} A would need {recommended} sub-pixels per pixel edge: "
            "give oversample explicitly, or a smaller N or size"
        )
    if sampling.oversample is not None and sampling.oversample < recommended:
        warn(
            f"oversample {sampling.oversample} is less than the {recommended} recommended for a crystal of "
            f"{longest * 1e10:.4g} A: intensity may vary within a pixel"
        )


def interpolation(sampling: Sampling, crystal: Crystal, cells: FloatArray, *, exact: bool) -> int:
    """Nearest index or tricubic (canonical 7.3, 11)."""
    if crystal.structure_factors.values is None:
        if sampling.interpolate:
            warn("interpolate has no effect without a reflection list")
        return 0
    wanted = bool((cells <= 2).any()) if sampling.interpolate is None else sampling.interpolate
    return (2 if exact else 1) if wanted else 0

"""Whether crystal, beam, detector and sampling fit together; each check returns what it settled."""

from __future__ import annotations

import numpy as np

from ..base.errors import InputError
from ..base.unit_cell import UnitCell
from ..base.vectors import FloatArray
from ..base.warn import warn
from ..model.beam import Beam
from ..model.physics import Physics
from ..model.sampling import Sampling
from ..model.structure_factors import StructureFactors
from .detector_geometry import DetectorGeometry

__all__ = [
    "check_indices",
    "check_oversampling",
    "check_polarization",
    "interpolation",
    "warn_of_left_hand",
]

#: doubles then leave an index 8 bits after the point
_LARGEST_INDEX = 2.0**45

#: more sub-pixels per pixel edge than this are not chosen automatically
_MOST_SUBPIXELS = 1000


def check_polarization(beam: Beam, places: tuple[DetectorGeometry, ...]) -> None:
    """A polarized beam needs its field at an angle to its direction (canonical 8)."""
    if beam.polarization != 0 and not beam.nopolar and not places[0].vert_vector.any():
        raise InputError(
            "polar_vector is parallel to beam_vector: with a polarization other than 0 give one at right "
            "angles to the beam"
        )


def check_indices(cell: UnitCell, shortest_wavelength: float, strains: FloatArray | None = None) -> None:
    """Refuse indices so large that doubles no longer tell where in a cell a sample lies.

    The largest index is the longest edge times the largest |q|, 2/lambda.

    Parameters
    ----------
    cell : UnitCell
    shortest_wavelength : float
        Metres.
    strains : ndarray (n, 3, 3) or None
        Of the cells of mosaic domains.
    """
    longest = max([edge.real for edge in cell.edges])
    if strains is not None:
        longest *= 1.0 + float(np.linalg.norm(strains.real, axis=(1, 2)).max())
    largest = 2.0 * longest * 1e-10 / shortest_wavelength
    if not largest <= _LARGEST_INDEX:
        raise InputError(
            f"a cell edge of {longest:.4g} A and a wavelength of {shortest_wavelength * 1e10:.4g} A lead to "
            f"indices up to {largest:.3g}, beyond double precision: give a smaller cell or a longer "
            "wavelength"
        )


def warn_of_left_hand() -> None:
    warn("a_matrix is left-handed: a, b, c do not form a right-handed set")


def check_oversampling(sampling: Sampling, longest: str, recommended: int) -> None:
    """Warn when less was asked for than is recommended; refuse to choose absurdly much (canonical 5.5).

    Parameters
    ----------
    sampling : Sampling
    longest : str
        Longest edge of a crystal, angstrom, as text.
    recommended : int
    """
    if sampling.subpixels is None and recommended > _MOST_SUBPIXELS:
        raise InputError(
            f"a crystal of {longest} A would need {recommended} sub-pixels per pixel edge: "
            "give oversample explicitly, a smaller N or size, or block_size_mm (-block_size), the edges of "
            "blocks that it consists of"
        )
    if sampling.subpixels is not None and sampling.subpixels < recommended:
        warn(
            f"oversample {sampling.subpixels} is less than the {recommended} recommended for a crystal of "
            f"{longest} A: intensity may vary within a pixel"
        )


def interpolation(
    wanted: bool | None, factors: StructureFactors, cells: tuple[float, ...], physics: Physics
) -> str:
    """Nearest index or tricubic (canonical 7.3, 11).

    Parameters
    ----------
    wanted : bool or None
        `Sampling.interpolate`; None: where a crystal has at most two cells along an axis.
    factors : StructureFactors
    cells : 3 floats
        Unit cells along a, b, c.
    physics : Physics
    """
    if factors.values is None:
        if wanted:
            warn("interpolate has no effect without a reflection list")
        return "nearest"
    if not (min(cells) <= 2 if wanted is None else wanted):
        return "nearest"
    return "tricubic_exact" if physics.keeps_interpolating else "tricubic"

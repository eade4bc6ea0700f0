"""What stands in the way of the light, as a backend reads it: SI units, laboratory frame."""

from __future__ import annotations

from ..base.records import FrozenArrays, frozen
from ..base.vectors import FloatArray

__all__ = ["Absorber", "Body", "Obstacles", "Stop"]


@frozen
class Absorber(FrozenArrays):
    """A gas or a sheet that weakens what passes.

    Attributes
    ----------
    kind : {"gas", "shell", "sheet", "wall"}
        Gas between sample and sensor; crossed at right angles by all scattered light; flat, crossed by all
        scattered light; flat and in the plane x.normal = distance, crossed by light that passes there.
    normal : ndarray (panels, 3)
        Unit vectors: for each panel, since a sheet may be parallel to it.
    distance : float
        Of a wall; of a gas the length from which it has been pumped out.
    depth : ndarray (panels, sources)
        Thickness in attenuation depths; of a gas 1/m.  0: not in the way of the panel.
    """

    kind: str
    normal: FloatArray
    distance: float
    depth: FloatArray


@frozen
class Stop(FrozenArrays):
    """A plane x.normal = distance, parts of which weaken what meets them.

    Attributes
    ----------
    kind : {"disc", "hole", "polygon"}
        Opaque within ``radius`` of the centre, and on the arm; beyond it; within the corners (even-odd rule).
    normal, u, v : ndarray (3,)
        Orthogonal unit vectors; u and v are coordinates on the plane, from where the normal meets it.
    distance : float
    centre : ndarray (2,)
    radius : float
    arm : ndarray (2,)
        Unit vector (u, v) in which the arm goes out from the centre.
    half_width : float
        Of the arm; 0: there is none.
    transmission : float
        Factor of the opaque part.
    corners : ndarray (n, 2)
    """

    kind: str
    normal: FloatArray
    u: FloatArray
    v: FloatArray
    distance: float
    centre: FloatArray
    radius: float
    arm: FloatArray
    half_width: float
    transmission: float
    corners: FloatArray


@frozen
class Body(FrozenArrays):
    """What surrounds the crystal and absorbs.

    Attributes
    ----------
    kind : {"ball", "slab"}
    spread : bool
        Light comes from everywhere in it alike, and counts the mean; or from the point that scatters.
    centre : ndarray (3,)
        From the crystal.
    normal : ndarray (3,)
        Of a slab.
    size : float
        Radius, or thickness.
    mu : ndarray (sources,)
        1/m.
    mean : ndarray (sources, 90, 4) or None
        Logarithm of a ball's mean factor: in every 2 degrees of 2theta a cubic in the fraction of the piece,
        lowest power first.  None for a slab, and where it is not ``spread``.
    """

    kind: str
    spread: bool
    centre: FloatArray
    normal: FloatArray
    size: float
    mu: FloatArray
    mean: FloatArray | None


@frozen
class Obstacles(FrozenArrays):
    """All that is in the way.

    Attributes
    ----------
    panels, sources : int
        How many there are of both.
    absorbers : tuple of Absorber
    stops : tuple of Stop
    body : Body or None
    """

    panels: int
    sources: int
    absorbers: tuple[Absorber, ...]
    stops: tuple[Stop, ...]
    body: Body | None

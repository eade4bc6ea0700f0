"""Tangents and cotangents of a Scene: how its continuous fields move, or what moving them would change.

One set of records serves both.  A tangent leaves out what does not move: None for arrays, 0 for numbers.  A
cotangent has every field filled, except `CrystalTangent.cell` and ``turn``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.records import FrozenArrays, frozen
from ..base.vectors import FloatArray

if TYPE_CHECKING:
    from .backdrop import Backdrop

if TYPE_CHECKING:
    from .diffuse import Diffuse

__all__ = ["CrystalTangent", "Frame", "PanelTangent", "SceneTangent", "TableTangent"]


@frozen
class PanelTangent(FrozenArrays):
    """Of a `PlacedPanel`, per unit of a parameter.

    Attributes
    ----------
    pix0, fdet, sdet, odet, beam : ndarray (3,) or None
        m, and directions; None: 0.
    pixel : ndarray (2,) or None
        Pixel edges along fast and slow, m.
    layer_step, close_distance, distance : float
        m.
    mu : float
        1/m.
    """

    pix0: FloatArray | None = None
    fdet: FloatArray | None = None
    sdet: FloatArray | None = None
    odet: FloatArray | None = None
    beam: FloatArray | None = None
    pixel: FloatArray | None = None
    layer_step: float = 0.0
    mu: float = 0.0
    close_distance: float = 0.0
    distance: float = 0.0


@frozen
class CrystalTangent(FrozenArrays):
    """Of a `CrystalBlock`, per unit of a parameter.

    ``cell``, ``turn`` and ``orientations`` are three ways to say how orientations move; they add up.

    Attributes
    ----------
    cell : ndarray (3, 3) or None
        Rows a, b, c of the cell before the crystal is turned, m: of `Frame.cell`.
    turn : ndarray (no, 3) or None
        Rate of a rotation of each orientation about laboratory x, y, z, rad: rows of the orientation move by
        turn x row.
    orientations : ndarray (no, 3, 3) or None
        Rows a, b, c of each orientation, m.
    orientation_weights : ndarray (no,) or None
        Of the factor that multiplies each orientation's term; the sum of the weights, the divisor, is held.
    N : ndarray (3,) or None
        Cells along a, b, c of the peak and of the block; ``shape_metric`` moves on its own.
    shape_metric : ndarray (3, 3) or None
    fudge, weight : float
    displacement : ndarray (3, 3) or None
        Of W, whose V = h.W h moves with the indices on its own.
    """

    cell: FloatArray | None = None
    turn: FloatArray | None = None
    orientations: FloatArray | None = None
    orientation_weights: FloatArray | None = None
    N: FloatArray | None = None
    shape_metric: FloatArray | None = None
    fudge: float = 0.0
    weight: float = 0.0
    displacement: FloatArray | None = None


@frozen
class TableTangent(FrozenArrays):
    """Of a `FactorTable`, electrons per unit of a parameter.

    Attributes
    ----------
    values : ndarray (nh, nk, nl) or None
        Of the whole box.
    entries : dict {(h, k, l): float} or None
        Of single reflections of the box, by Miller index; None: none beyond ``values``.
    default_F : float
        Of the reflections outside the box.
    """

    values: FloatArray | None = None
    entries: dict[tuple[int, int, int], float] | None = None
    default_F: float = 0.0


@frozen
class SceneTangent(FrozenArrays):
    """Of a `Scene`, per unit of a parameter.

    Attributes
    ----------
    panels : tuple of PanelTangent or None
        One for each panel; None: it does not move.  An empty tuple: none of them does.
    crystals : tuple of CrystalTangent or None
        Likewise, one for each `CrystalBlock`.
    tables : tuple of TableTangent or None
        Likewise, one for each `FactorTable`.
    source_incident : ndarray (ns, 3) or None
        Orthogonal to the incident vectors, whose length is held.
    source_wavelength : ndarray (ns,) or None
        m.
    source_weight : ndarray (ns,) or None
    polarization : float
        Kahn factor.
    polar_vector : ndarray (3,) or None
    fluence : float
        Photons/m^2.
    water : float
        Edge of the water cube, m.
    backdrop : Backdrop or None
        The Scene's, its numbers with value + i h rate (`base.numbers`): of a tangent alone.  None: it does
        not move.
    diffuse : Diffuse or None
        Likewise.
    """

    panels: tuple[PanelTangent | None, ...] = ()
    crystals: tuple[CrystalTangent | None, ...] = ()
    tables: tuple[TableTangent | None, ...] = ()
    source_incident: FloatArray | None = None
    source_wavelength: FloatArray | None = None
    source_weight: FloatArray | None = None
    polarization: float = 0.0
    polar_vector: FloatArray | None = None
    fluence: float = 0.0
    water: float = 0.0
    backdrop: Backdrop | None = None
    diffuse: Diffuse | None = None


@frozen
class Frame(FrozenArrays):
    """What the orientations of one crystal are made of: orientations[o] = cell @ rotations[o].T.

    Attributes
    ----------
    cell : ndarray (3, 3)
        Rows a, b, c after the missetting, before spindle and mosaic domains, m.
    rotations : ndarray (no, 3, 3)
        Of column vectors: the spindle's, then the mosaic domain's.
    """

    cell: FloatArray
    rotations: FloatArray

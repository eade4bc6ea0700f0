"""What reports and file headers say of a Scene beyond what a renderer reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.records import FrozenArrays, frozen
from ..base.rotations import misset_angles
from ..base.unit_cell import UnitCell
from ..base.vectors import FloatArray
from .detector_geometry import DetectorGeometry
from .steps import Steps

__all__ = ["CrystalPlacement", "DetectorLabels", "Placement"]


T = TypeVar("T")


def only(parts: Sequence[T], what: str) -> T:
    """The one of them; InputError when there are several."""
    if len(parts) != 1:
        raise InputError(f"this is for one {what}; the scene has {len(parts)}")
    return parts[0]


@frozen
class CrystalPlacement(FrozenArrays):
    """One crystal of the Scene: of the sample, or an individual of a twinned one.

    Attributes
    ----------
    number : int
        Of the sample's crystal.
    individual : int
        Of its twin's individuals; 0: the crystal itself.
    shape : str
        As the crystal says it.
    unit_cell : UnitCell
        At spindle angle 0, misset applied.
    misset : 3 floats or ndarray (3, 3)
        Angles in radians, or the orientation matrix that takes their place.
    mosaic_spread : float
        Radians.
    mosaic_domains : int
    mosaic_rotations : ndarray (domains, 3, 3)
    mosaic_turning : bool
        The spindle turns the domains' axes too.
    strained : bool
        Each domain has a cell of its own.
    size_m : ndarray (3,)
        Edges along a, b, c of a block of cells.
    blocks : float
        Such blocks, which scatter independently of each other.
    n_listed : int
        Structure factors listed.
    """

    number: int
    individual: int
    shape: str
    unit_cell: UnitCell
    misset: tuple[float, float, float] | FloatArray
    mosaic_spread: float
    mosaic_domains: int
    mosaic_rotations: FloatArray
    mosaic_turning: bool
    strained: bool
    size_m: FloatArray
    blocks: float
    n_listed: int

    @cached_property
    def misset_deg(self) -> tuple[float, float, float]:
        """Missetting angles, degrees."""
        angles = misset_angles(self.misset) if isinstance(self.misset, np.ndarray) else self.misset
        x, y, z = (math.degrees(angle) for angle in angles)
        return x, y, z


@dataclass(frozen=True)
class DetectorLabels:
    """What people call a detector and its panels.

    Attributes
    ----------
    model : str
        Name of the library's detector that it began as, or "".
    panels : tuple of str
        Names of explicit panels.
    groups : mapping
        Name of a group of panels to their indices.
    material : str
        Formula of the first panel's sensor, where its material is known.
    """

    model: str = ""
    panels: tuple[str, ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    material: str = ""


@frozen
class Placement(FrozenArrays):
    """Beside a Scene: conventions, beam centres, cells, steps; SI units, radians.

    Attributes
    ----------
    panels : tuple of DetectorGeometry
        Convention, pivot and beam centres of each panel.
    crystals : tuple of CrystalPlacement
    wavelength : float
        The beam's own, m.
    phi0, osc, phistep : float
        Rotation of the sample.
    phisteps : int
    hdiv, vdiv, dispersion : Steps
    recommended_oversample : int
    labels : DetectorLabels
    """

    panels: tuple[DetectorGeometry, ...]
    crystals: tuple[CrystalPlacement, ...]
    wavelength: float
    phi0: float
    osc: float
    phistep: float
    phisteps: int
    hdiv: Steps
    vdiv: Steps
    dispersion: Steps
    recommended_oversample: int
    labels: DetectorLabels = field(default_factory=DetectorLabels)

    @property
    def panel(self) -> DetectorGeometry:
        """The only panel.

        Raises
        ------
        InputError
            When there are several.
        """
        return only(self.panels, "panel")

    @property
    def crystal(self) -> CrystalPlacement:
        """The first crystal."""
        return self.crystals[0]

    @property
    def lattices(self) -> tuple[tuple[int, ...], ...]:
        """The blocks of each lattice, a crystal of the sample or an individual of its twin.

        There are several where domains have sizes of their own: in orientation and size they differ, in
        structure factors and mean cell they do not.
        """
        blocks: dict[tuple[int, int], list[int]] = {}
        for i, placed in enumerate(self.crystals):
            blocks.setdefault((placed.number, placed.individual), []).append(i)
        return tuple(map(tuple, blocks.values()))

    def block(self, number: int) -> int:
        """The first block of a crystal of the sample."""
        return next(i for i, placed in enumerate(self.crystals) if placed.number == number)

"""How a Scene moves with the set-up it is made of: derivatives by complex numbers (gradients 5).

The stages that make a Scene are run once more with a field that holds value + 1j h: the imaginary parts of
what comes out are the derivatives of the same arithmetic, with the same choices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base.errors import InputError
from ..base.numbers import derivative, moves, read_only
from ..base.vectors import FloatArray
from ..model.physics import PHYSICS
from ..model.setup import Setup
from .build import HELD, make_scene
from .orientations import all_rotations, phi_rotations
from .record import CrystalBlock, PlacedPanel, Scene
from .scene_fields import tangent_of
from .stages import Stages
from .steps import Steps
from .tangent import CrystalTangent, Frame, PanelTangent, SceneTangent

__all__ = ["frames", "tangent_along"]


def frames(scene: Scene) -> tuple[Frame, ...]:
    """What the orientations of each crystal are made of."""
    return tuple(
        Frame(read_only(placed.unit_cell.vectors * 1e-10), read_only(_rotations(scene, i)))
        for i, placed in enumerate(scene.placement.crystals)
    )


def _rotations(scene: Scene, number: int) -> FloatArray:
    """Spindle and domain of each orientation, shape (no, 3, 3)."""
    at, placed = scene.placement, scene.placement.crystals[number]
    steps = Steps(at.osc, at.phistep, at.phisteps)
    turns = phi_rotations(at.phi0, steps, at.panels[0].spindle, PHYSICS[scene.physics])
    return all_rotations(turns, placed.mosaic_rotations, turning=placed.mosaic_turning).reshape(-1, 3, 3)


def tangent_along(moving: Setup, base: Scene, kept: Stages) -> SceneTangent:
    """The tangent of the Scene of a set-up with `stepped` fields.

    Parameters
    ----------
    moving : Setup
        With a complex number in the fields that move.
    base : Scene
        Of the set-up as it stands.
    kept : Stages
        By which that was made; they stay as they are.
    """
    scene = make_scene(moving, Stages(kept, HELD))
    if len(scene.crystals) != len(base.crystals):
        raise InputError(
            "a twin's share of exactly 0, or of all, has no derivative: start from one between, 0.01 say"
        )
    # what was not made again does not move
    panels = {i: _panel(panel) for i, panel in enumerate(scene.panels) if panel is not base.panels[i]}
    crystals = {
        i: _crystal(scene, i) for i, block in enumerate(scene.crystals) if block is not base.crystals[i]
    }
    return tangent_of(
        scene,
        {i: panel for i, panel in panels.items() if panel is not None},
        {i: crystal for i, crystal in crystals.items() if crystal is not None},
        source_incident=derivative(scene.sources.incident),
        source_wavelength=derivative(scene.sources.wavelength),
        source_weight=derivative(scene.sources.weight),
        polarization=derivative(scene.polarization),
        polar_vector=derivative(scene.polar_vector),
        fluence=derivative(scene.fluence),
        water=derivative(scene.water),
        backdrop=scene.backdrop if moves(scene.backdrop) else None,
        diffuse=scene.diffuse if moves(scene.diffuse) else None,
    )


def _panel(panel: PlacedPanel) -> PanelTangent | None:
    arrays = {name: derivative(getattr(panel, name)) for name in ("pix0", "fdet", "sdet", "odet", "beam")}
    numbers = {
        name: derivative(getattr(panel, name)) for name in ("layer_step", "mu", "close_distance", "distance")
    }
    edges = [derivative(edge) for edge in panel.pixel]
    pixel = read_only(edges) if any(edges) else None
    if pixel is None and all(array is None for array in arrays.values()) and not any(numbers.values()):
        return None
    return PanelTangent(pixel=pixel, **arrays, **numbers)


def _crystal(scene: Scene, number: int) -> CrystalTangent | None:
    block: CrystalBlock = scene.crystals[number]
    placed = scene.placement.crystals[number]
    fields: dict[str, Any] = {"N": derivative(block.N), "shape_metric": derivative(block.shape_metric)}
    if placed.strained:  # each domain has a cell of its own
        fields["orientations"] = derivative(block.orientations)
    else:
        cell = derivative(placed.unit_cell.vectors)
        fields["cell"] = None if cell is None else read_only(cell * 1e-10)
        fields["turn"] = _turn(scene, number)
    if block.displacement is not None:
        fields["displacement"] = derivative(block.displacement)
    fudge, weight = derivative(block.fudge), derivative(block.weight)
    if block.orientation_weights is not None:
        rate = derivative(block.orientation_weights)
        if rate is not None:  # a renderer divides by their sum, which the tangent holds
            fields["orientation_weights"] = rate
            total = block.orientation_weights.real.sum()
            weight -= float(np.real(block.weight)) * float(rate.sum() / total)
    if fudge == weight == 0.0 and all(field is None for field in fields.values()):
        return None
    return CrystalTangent(fudge=fudge, weight=weight, **fields)


def _turn(scene: Scene, number: int) -> FloatArray | None:
    """Rate of each orientation's rotation, rad, shape (no, 3): the axial vector of U' U^T."""
    at = scene.placement
    moving = (at.phi0, at.osc, at.phistep)
    domains = at.crystals[number].mosaic_rotations
    if domains.dtype.kind != "c" and not any(isinstance(x, complex) for x in moving):
        return None
    rotations = _rotations(scene, number)
    rate = derivative(rotations)
    if rate is None:
        return None
    spin = rate @ rotations.real.swapaxes(-1, -2)
    turn = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], axis=1)
    turn -= np.stack([spin[:, 1, 2], spin[:, 2, 0], spin[:, 0, 1]], axis=1)
    return read_only(0.5 * turn)

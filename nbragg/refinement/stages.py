"""From coarse to fine: a blurred model finds what a sharp one would miss (gradients 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..inverse.places import positions
from ..model.sample import Sample
from ..model.setup import Setup

if TYPE_CHECKING:
    from ..model.crystal import Crystal
    from ..scene.record import Scene

__all__ = ["SHARP", "Stage", "blurred", "kind_of", "plan"]


class Stage(NamedTuple):
    """One step of the way.

    Attributes
    ----------
    divide : float
        The blocks of cells are so much smaller, and Gaussian; 1: the model as it is.
    block : int
        Edge of the blocks of pixels that are summed; odd.
    d_min_A : float
        Pixels of higher resolution do not count; 0: all do.
    kinds : tuple of str
        Which parameters move: `kind_of`.
    gain : float
        It ends when a step would lower the cost by less.
    """

    divide: float
    block: int
    d_min_A: float
    kinds: tuple[str, ...]
    gain: float


SHARP = Stage(1.0, 1, 0.0, ("turn", "scale", "cell", "geometry", "rest"), 1e-3)

#: divisor, resolution (angstrom), what moves
_COARSE = (
    (6.0, 5.0, ("turn", "scale")),
    (4.0, 3.5, ("turn", "scale", "cell")),
    (2.0, 0.0, ("turn", "scale", "cell", "geometry")),
)


#: pixels, of a blurred spot
_LEAST_WIDTH = 2.0


def kind_of(name: str) -> str:
    """Of a parameter: "turn", "scale", "cell", "geometry" or "rest"."""
    record, _, field = name.partition(".")
    record = record.partition("[")[0]
    if record == "crystal":
        if field.startswith(("rotation_deg", "misset_deg", "orientation")):
            return "turn"
        return "cell" if field.startswith(("cell.", "a_matrix")) else "rest"
    if name.startswith(("beam.fluence", "beam.flux", "sample.weights")):
        return "scale"
    if record == "detector" and not field.startswith(("thickness", "attenuation")):
        return "geometry"
    return "geometry" if name.startswith("beam.wavelength_A") else "rest"


def plan(scene: Scene, parameters: Sequence[str]) -> tuple[Stage, ...]:
    """Stages for what is free, the sharp one last; that alone where no crystal turns."""
    if all(kind_of(name) != "turn" for name in parameters):
        return (SHARP,)
    width = _spot_width(scene)
    if _COARSE[0][0] * width < _LEAST_WIDTH:  # less than pixels see
        return (SHARP, SHARP)  # pixels are chosen at the start, then anew
    stages = []
    for divide, d_min, kinds in _COARSE:
        block = 2 * int(width * divide / 3.6 + 0.25) + 1
        stages.append(Stage(divide, min(block, 9), d_min, kinds, 10.0))
    return (*stages, SHARP)


def _spot_width(scene: Scene) -> float:
    """Of the smallest block of cells, in pixels."""
    panel = scene.panels[0]
    edges = [
        float(n) * float(edge) * 1e-10
        for block, placed in zip(scene.crystals, scene.placement.crystals, strict=True)
        for n, edge in zip(block.N, placed.unit_cell.edges, strict=True)
    ]
    middle = np.linalg.norm(positions(scene, np.array([scene.offsets[1] // 2])))
    distance = min(float(panel.distance), float(middle))  # a plane beside the beam meets it far away
    return float(scene.sources.wavelength.mean() / min(edges) * distance / max(panel.pixel))


#: what a blurred crystal has none of
_PLAIN = {
    "shape": "gauss", "size_mm": (None,) * 3, "block_size_mm": (None,) * 3, "Ndef": (0.0, 0.0, 0.0),
    "N_distribution": None, "N_domains": False, "mosaic_spread_deg": None, "mosaic_domains": None,
    "mosaic_set": None, "mosaic_weights": None, "domain_weight": None, "cell_spread": None, "diffuse": None,
}  # fmt: skip


def _filling(crystal: Crystal, scene: Scene, number: int) -> dict[str, float]:
    """The volume of a crystal whose blocks of given edges become others."""
    if not any(crystal.block_size_mm):
        return {}
    placed = next(placed for placed in scene.placement.crystals if placed.number == number)
    cells = np.prod(placed.size_m / np.array(placed.unit_cell.edges))
    return {"illuminated_volume_um3": float(placed.blocks * cells * 1e18) * placed.unit_cell.volume}


def blurred(setup: Setup, scene: Scene, divide: float) -> Setup:
    """The set-up as coarse stages have it: few cells, Gaussian spots, no mosaic spread, one sub-pixel."""
    cells: dict[int, tuple[float, ...]] = {}
    for block, placed in zip(scene.crystals, scene.placement.crystals, strict=True):
        cells.setdefault(placed.number, tuple(max(float(n) / divide, 1.0) for n in block.N))
    crystals = [
        crystal.replace(N=cells[i], **_PLAIN | _filling(crystal, scene, i))
        for i, crystal in enumerate(setup.sample.crystals)
    ]
    sample = Sample(tuple(crystals), setup.sample.weights)
    beam = setup.beam.replace(fluence=scene.fluence, flux=0.0)
    plain: dict[str, Any] = {
        "water_um": 0.0,
        "backgrounds": (),
        "physics": "exact",
    }  # no widths of the reference's
    return setup.replace(sample=sample, beam=beam, oversample=1, **plain)

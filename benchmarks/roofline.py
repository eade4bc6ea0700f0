"""How much arithmetic and memory traffic a sample needs, and the time the processor's limits allow for it.

The counts are of the formulas as written in csrc, one for each addition, multiplication, comparison or root,
two for a multiply-add.  Selections, conversions, addresses and the look-up's own instructions are not
counted, and not every operation finds a partner for a multiply-add, so the bound cannot be reached entirely.
Divisions and square roots are counted apart, because the processor does them far more slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbragg import Scene

#: operations that make a quotient or a root from the processor's first approximation: 2 (1) Newton steps
NEWTON = {"double": 10, "mixed": 6}


@dataclass(frozen=True)
class Cost:
    """Per sample: operations, divisions or roots, bytes moved between registers and L1."""

    flops: float = 0.0
    divisions: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.divisions + other.divisions, self.bytes + other.bytes)

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.flops * factor, self.divisions * factor, self.bytes * factor)


# csrc/nb_math.h
_REDUCE = 2  # nb_reduce: round, subtract
_SINPI = {"double": 16, "mixed": 10}  # z, polynomial of 7 (4) multiply-adds, times x
_EXP = {
    "double": 34,
    "mixed": 24,
}  # reduction 8, polynomial of 10 (5) multiply-adds and more, scale, comparison

# csrc/nb_orient.h, nb_stage_nearest: three products of three, reduced; q loaded
_INDEX = Cost(flops=3 * (5 + _REDUCE), bytes=3 * 8)
# nb_nearest 3 each, nb_in_table 3 + 6 comparisons, nb_table_place 5, L F^2 2; the look-up itself
_LOOK_UP = Cost(flops=9 + 9 + 5 + 2, bytes=8)
# csrc/nb_tricubic.h: floor 4, weights 13, offsets 2 on each axis; place 5; range 12; 4 x 4 rows of 4.
# Neighbours mostly share their 64 values, which are then read once for all lanes of a vector.
_TRICUBIC = Cost(flops=3 * 19 + 5 + 12 + 16 * 9 + 4 * 2)


def _lattice(shape: str, precision: str, N: Any) -> Cost:
    """csrc/nb_lattice.h, one squared lattice factor."""
    sine = _SINPI[precision]
    if shape == "square":
        if all(n == 1.0 for n in N):
            return Cost()
        term = 2 + _REDUCE + 2 * sine
        return Cost(flops=3 * term + 6, divisions=1)
    radius = Cost(flops=13)
    if shape == "round":
        # away from the centre: comparison, u, whole, sign 6, sine, cosine, difference 3, scale 6
        return radius + Cost(flops=2 + _REDUCE + 6 + sine + (sine + 4) + 3 + 6, divisions=1)
    # nearly all samples are too far from a spot for its value to matter: a comparison decides
    return radius + Cost(flops=2)


def per_orientation(scene: Scene, precision: str) -> Cost:
    """The inner loop: all samples pay this."""
    word = 8 if precision == "double" else 4
    # d stored and loaded, sum loaded and stored
    crystal = scene.crystal
    cost = _INDEX + Cost(flops=1, bytes=2 * 3 * word + 2 * word)
    cost += _lattice(crystal.shape, precision, crystal.N)
    if scene.table.values is not None:
        cost += _LOOK_UP + Cost(bytes=2 * word)
        if scene.table.interpolation != "nearest":
            cost += _TRICUBIC
    return cost


def per_source(scene: Scene) -> Cost:
    """csrc/nb_tile.h, tile_scattering to tile_weigh: q, polarization, weights."""
    # q 6, sum scaled and added 2, weighted 8; loads and stores of 14 words
    cost = Cost(flops=6 + 2 + 8, bytes=8 * 14)
    if not scene.nopolar and (scene.oversample_polar or len(scene.sources.wavelength) == 1):
        cost += Cost(flops=8, bytes=8 * 6)
        if scene.polarization != 0:
            cost += Cost(flops=21, divisions=1)
    return cost


def per_direction(scene: Scene) -> Cost:
    """csrc/nb_tile.h, tile_geometry and tile_capture: once per sub-pixel and layer."""
    # point in the detector 4, position 12, length 5, solid angle 3, direction 3; root and reciprocal
    cost = Cost(flops=4 + 12 + 5 + 3 + 3, divisions=2, bytes=8 * 8)
    if scene.panel.thickness > 0 and scene.panel.mu > 0 and scene.oversample_thick:
        cost += Cost(flops=5 + 2 + 2 * _EXP["double"] + 1, divisions=1, bytes=8 * 4)
    return cost


def per_sample(scene: Scene, precision: str) -> Cost:
    """All of it, shared among the samples it serves."""
    orientations, sources = len(scene.crystal.orientations), len(scene.sources.wavelength)
    return (
        per_orientation(scene, precision)
        + per_source(scene) * (1 / orientations)
        + per_direction(scene) * (1 / (orientations * sources))
    )


def bound(cost: Cost, limits: dict[str, float], precision: str) -> dict[str, Any]:
    """Least time of a sample on one core, s, and what sets it: arithmetic or the bandwidth of L1.

    A division takes the time of the processor's own or of `NEWTON` operations, whichever is less.
    In mixed precision the indices still are double.
    """
    kind = "double" if precision == "double" else "float"
    in_double = cost.flops if kind == "double" else min(_INDEX.flops, cost.flops)
    arithmetic = in_double / limits["flops_double"] + (cost.flops - in_double) / limits["flops_float"]
    division = min(1 / limits[f"divisions_{kind}"], NEWTON[precision] / limits[f"flops_{kind}"])
    times = {"arithmetic": arithmetic + cost.divisions * division, "L1": cost.bytes / limits["l1_bytes"]}
    name = max(times, key=lambda key: times[key])
    return {
        "flops": cost.flops,
        "divisions": cost.divisions,
        "l1_bytes": cost.bytes,
        "seconds": times[name],
        "bound_by": name,
        "parts": times,
    }

"""What a detector needs to know of an exposure beside its photons, from the Scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..base.constants import HC_EV_A

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["Exposure", "exposure_of"]


class Exposure(NamedTuple):
    """What a detector needs to know beside photons."""

    pixel_um: list[tuple[float, float]]  #: edges (fast, slow) for each panel
    energy_eV: float  #: mean, by weight
    exposure_s: float | None


def exposure_of(scene: Scene, exposure_s: float | None) -> Exposure:
    """Pixels and photons of a Scene."""
    sources = scene.sources
    energies = HC_EV_A / (1e10 * sources.wavelength)
    return Exposure(
        [(1e6 * panel.pixel[0], 1e6 * panel.pixel[1]) for panel in scene.panels],
        float(np.average(energies, weights=sources.weight)),
        exposure_s,
    )

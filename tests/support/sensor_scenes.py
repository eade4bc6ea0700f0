"""Panels whose sensors are given by their materials, under spectra that are absorbed differently."""

from __future__ import annotations

from typing import Any

import numpy as np

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, Setup, Spectrum, StructureFactors

LIST = StructureFactors(np.random.default_rng(3).uniform(20, 90, (40, 40, 40)), (-20, -20, -20), default_F=9)
#: narrow, wide, and over an edge of germanium (11103 eV): what is captured jumps between two channels
SPECTRA = {
    "narrow": Spectrum(9400 + 10 * np.arange(5.0), [1, 2, 3, 2, 1]),
    "wide": Spectrum(8000 + 900 * np.arange(5.0), [1, 2, 3, 2, 1]),
    "edge": Spectrum(11060 + 30 * np.arange(5.0), [1, 2, 3, 2, 1]),
}
#: material, micrometre and layers of panels beside each other; None: an attenuation depth
SENSORS = (("Si", 450, 2), ("CdTe", 30, 3), ("Ge", 40, 1), (None, 300, 2))


def panels(count: int, fpixels: int = 5) -> list[nbragg.Panel]:
    """In a ring about the beam, turned towards it or away; other sensors than their neighbours'."""
    made = []
    for i, (material, um, layers) in enumerate(SENSORS[:count]):
        depth = {"attenuation_um": 200.0} if material is None else {"material": material}
        corner = np.array([50.0 + 5 * i, *(22 * np.array([np.cos(2 + 1.7 * i), np.sin(2 + 1.7 * i)]) - 7)])
        made.append(
            nbragg.Panel(
                origin_mm=tuple(corner), fast=(0.2 - 0.1 * i, 1, 0), slow=(0, 0, 1), fpixels=fpixels,
                spixels=4, pixel_mm=2.4, thickness_um=um, thicksteps=layers, **depth,
            )
        )  # fmt: skip
    return made


def setup(spectrum: Spectrum, spectral: str = "auto", *, shape: str = "gauss", **changes: Any) -> Setup:
    crystal = Crystal(
        cell=(40, 45, 50, 85, 95, 100), N=6, shape=shape, misset_deg=(9, 5, 2), structure_factors=LIST,
        mosaic_spread_deg=0.3, mosaic_domains=2,
    )  # fmt: skip
    beam = Beam(spectrum=spectrum, spectral=spectral, hdivrange_mrad=3, hdivsteps=2, polarization=0.9)
    made = Setup(crystal, beam, Detector(panels=panels(4)), Sampling(oversample=1, water_um=0.02))
    return made.replace(**changes) if changes else made

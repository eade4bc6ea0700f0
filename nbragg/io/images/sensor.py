"""What file headers say of the sensor, and what their readers make of it.

Headers name a material and a thickness; readers take the attenuation from tables of the elements.
"""

from __future__ import annotations

import math

import numpy as np

from ...base.warn import warn
from .metadata import ImageMetadata

__all__ = ["sensor_for_readers", "silicon_depth_um", "warn_of_attenuation"]

#: micrometre; of a sensor that captures every photon at its surface, in files that must name a thickness.
#: Readers ask for more than 0; the parallax of this one is below 1e-5 of a pixel.
IDEAL_UM = 1e-3

#: silicon: photon energy, keV, and mass attenuation coefficient, cm^2/g (NIST, coherent scattering included)
_SILICON = (
    (2.0, 2777.0),
    (3.0, 978.4),
    (4.0, 452.9),
    (5.0, 245.0),
    (6.0, 147.0),
    (8.0, 64.68),
    (10.0, 33.89),
    (15.0, 10.34),
    (20.0, 4.464),
    (30.0, 1.436),
    (40.0, 0.7012),
    (50.0, 0.4385),
    (60.0, 0.3207),
    (80.0, 0.2228),
    (100.0, 0.1835),
)
_DENSITY = 2.33  # g/cm^3
_HC_KEV_A = 12.39842

#: relative difference from silicon's attenuation that is told
_TOLD = 0.1


def sensor_for_readers(sensor_um: float) -> float:
    """Thickness (micrometre) to be written: that of the sensor, or a very thin one that stands for none."""
    return sensor_um if sensor_um > 0.0 else IDEAL_UM


def silicon_depth_um(wavelength_A: float) -> float:
    """Attenuation depth of silicon, micrometre, by interpolation of logarithms between 2 and 100 keV.

    Within 3 % of the tables in between; NaN outside.
    """
    energy = _HC_KEV_A / wavelength_A
    energies, coefficients = np.array(_SILICON).T
    if not energies[0] <= energy <= energies[-1]:
        return math.nan
    mass = math.exp(np.interp(math.log(energy), np.log(energies), np.log(coefficients)))
    return 1e4 / (mass * _DENSITY)


def warn_of_attenuation(metadata: ImageMetadata) -> None:
    """Tell that a reader will take silicon's attenuation where the simulation had another."""
    m = metadata
    if m.sensor_um <= 0.0:
        return
    depth = silicon_depth_um(m.wavelength_A)
    if math.isfinite(depth) and abs(m.attenuation_um / depth - 1.0) > _TOLD:
        warn(
            f"the sensor is written as silicon, whose attenuation depth at {m.wavelength_A:g} A is "
            f"{depth:.4g} um, and programs correct parallax and efficiency by it; the image was made with "
            f"{m.attenuation_um:.4g} um: give attenuation_um (-detector_abs)"
        )

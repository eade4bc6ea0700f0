"""What file headers say of the sensor, and what their readers make of it.

Headers name a material and a thickness; readers take the attenuation from tables of the elements.
"""

from __future__ import annotations

import math

from ...base import constants
from ...base.warn import warn
from .metadata import ImageMetadata

__all__ = [
    "depth_for_readers",
    "material_for_readers",
    "sensor_for_readers",
    "sensor_from_file",
    "warn_of_attenuation",
]

#: formulas of sensors that readers know; every other is written as the first
_KNOWN = ("Si", "CdTe", "GaAs")

#: micrometre; of a sensor that captures every photon at its surface, in files that must name a thickness.
#: Readers ask for more than 0; the parallax of this one is below 1e-5 of a pixel.
IDEAL_UM = 1e-3

#: relative difference of attenuations that is told
_TOLD = 0.1


def sensor_for_readers(sensor_um: float) -> float:
    """Thickness (micrometre) to be written: that of the sensor, or a very thin one that stands for none."""
    return sensor_um if sensor_um > 0.0 else IDEAL_UM


def sensor_from_file(thickness_um: float) -> float:
    """Thickness (micrometre) that a file's stands for: 0 where `sensor_for_readers` wrote that of none."""
    return thickness_um if thickness_um > 1.001 * IDEAL_UM else 0.0


def material_for_readers(metadata: ImageMetadata) -> str:
    """Formula of the sensor to be written: silicon, unless it is of another material that readers know."""
    return metadata.material if metadata.material in _KNOWN else _KNOWN[0]


def depth_for_readers(material: str, wavelength_A: float) -> float:
    """Attenuation depth of a material, micrometre, as readers take it; NaN outside 1 to 100 keV."""
    from ...base.attenuation import RANGE_EV
    from ...model.materials import attenuation

    energy = constants.HC_EV_A / wavelength_A
    return 1e6 / float(attenuation(material, energy)) if RANGE_EV[0] <= energy <= RANGE_EV[1] else math.nan


def warn_of_attenuation(metadata: ImageMetadata) -> None:
    """Tell that a reader will take a material's attenuation where the simulation had another."""
    m = metadata
    if m.sensor_um <= 0.0:
        return
    material = material_for_readers(m)
    depth = depth_for_readers(material, m.wavelength_A)
    if math.isfinite(depth) and abs(m.attenuation_um / depth - 1.0) > _TOLD:
        warn(
            f"the sensor is written as {material}, whose attenuation depth at {m.wavelength_A:g} A is "
            f"{depth:.4g} um, and programs correct parallax and efficiency by it; the image was made with "
            f'{m.attenuation_um:.4g} um: give material="{material}" (-detector_material {material}), or its '
            "depth"
        )

"""Two panels with a little of everything in the way of their light."""

from __future__ import annotations

import nbragg
from nbragg import Aperture, Beamstop, SampleAbsorption, Shadow, Surroundings, Window

CRYSTAL = nbragg.Crystal(
    cell=(40, 50, 60, 80, 95, 100), N=3, structure_factors=nbragg.StructureFactors.constant(10)
)
AROUND = Surroundings(
    gas="air",
    windows=[
        Window(material="Kapton", thickness_um=50, normal="detector"),
        Window(material="Al", thickness_um=20, distance_mm=30),
    ],
    sample_absorption=SampleAbsorption(material="Si", thickness_mm=0.1, normal=(1, 0.3, 0.2)),
    beamstops=Beamstop(distance_mm=25, diameter_mm=4, arm_width_mm=1, arm_angle_deg=35, transmission=0.01),
    apertures=Aperture(distance_mm=6, diameter_mm=9),
    shadows=Shadow(distance_mm=4, polygon_mm=[(0.3, -0.4), (5, -1), (5, 1), (0.3, 0.2)], transmission=0.3),
)
PANELS = [
    nbragg.Panel(origin_mm=o, fast=f, slow=s, fpixels=8, spixels=6, pixel_mm=4.8, front=layers)
    for o, f, s, layers in (
        ((60, -20, -30), (0, 1, 0.1), (0, -0.1, 1), [("Al", 9.0)]),
        ((50, 19, -15), (-0.5, 1, 0), (0, 0, 1), ()),
    )
]

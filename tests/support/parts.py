"""Scenes and images from four records side by side; the reference program's physics unless said otherwise."""

from __future__ import annotations

import dataclasses
from typing import Any

import nbragg
from nbragg import Beam, Crystal, Detector, Sample, Sampling, Scene, Setup
from nbragg.model.physics import PHYSICS
from nbragg.scene import detector_geometry as placing
from nbragg.scene.detector_frame import Directions


def setup_of(
    crystal: Crystal | Sample,
    beam: Beam | None = None,
    detector: Detector | None = None,
    sampling: Sampling | None = None,
    *,
    physics: str = "nanobragg",
) -> Setup:
    return Setup(crystal, beam or Beam(), detector or Detector(), sampling or Sampling(), physics)


def build_scene(*parts: Any, physics: str = "nanobragg") -> Scene:
    return nbragg.build_scene(setup_of(*parts, physics=physics))


def simulator_of(*parts: Any, physics: str = "nanobragg", **options: Any) -> nbragg.Simulator:
    return nbragg.Simulator(setup_of(*parts, physics=physics), nbragg.RenderOptions(**options))


def simulate(*parts: Any, physics: str = "nanobragg", **options: Any) -> nbragg.Result:
    return nbragg.simulate(setup_of(*parts, physics=physics), **options)


def detector_geometry(
    detector: Detector, beam: Beam | None = None, spindle_axis: Any = None, *, exact: bool = False
) -> placing.DetectorGeometry:
    beam = beam or Beam()
    directions = Directions(beam.beam_vector, beam.polar_vector, spindle_axis)
    return placing.detector_geometry(detector, directions, PHYSICS["exact" if exact else "nanobragg"])


#: where a field of a Scene of one panel, one crystal and one table stands
_PARTS = {
    "panels": ("fdet", "sdet", "odet", "beam", "pix0", "pixel", "first", "roi", "mask", "curved", "layers"),
    "sources": ("incident", "wavelength", "weight", "table"),
    "crystals": ("orientations", "orientation_weights", "N", "shape", "fudge", "shape_metric"),
    "tables": ("values", "origin", "default_F", "interpolation", "reach"),
}


def changed(scene: Scene, **fields: Any) -> Scene:
    """The Scene with fields of its only panel, crystal or table, of its sources, or of its own exchanged.

    ``source_weight`` and ``source_table`` are the sources', whose names crystals have too.
    """
    for name in ("weight", "table"):
        if f"source_{name}" in fields:
            sources = dataclasses.replace(scene.sources, **{name: fields.pop(f"source_{name}")})
            scene = dataclasses.replace(scene, sources=sources)
    for part, names in _PARTS.items():
        values = {name: fields.pop(name) for name in names if name in fields}
        if values and part == "sources":
            fields[part] = dataclasses.replace(scene.sources, **values)
        elif values:
            (one,) = getattr(scene, part)
            fields[part] = (dataclasses.replace(one, **values),)
    return dataclasses.replace(scene, **fields)


def two_panels() -> Detector:
    """One above the other, 20 x 30 pixels of 1 mm each, 100 mm along the beam."""
    panels = tuple(
        nbragg.Panel(
            origin_mm=(100, 22 * i - 21, -15), fast=(0, 1, 0), slow=(0, 0, 1),
            fpixels=20, spixels=30, pixel_mm=1.0,
        )
        for i in range(2)
    )  # fmt: skip
    return Detector(panels=panels)

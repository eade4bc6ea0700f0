"""nanobragg: X-ray diffraction images of small crystals, on an absolute scale.

Names are imported when first used, so that ``import nbragg`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: public name -> module that defines it
_EXPORTS = {
    "Background": "model.background",
    "RadialCurve": "model.background",
    "Beam": "model.beam",
    "SourceList": "model.beam",
    "Spectrum": "model.spectrum",
    "SpectrumSeries": "model.spectrum",
    "Crystal": "model.crystal",
    "LiquidMotions": "model.diffuse",
    "ThermalDiffuse": "model.diffuse",
    "Sample": "model.sample",
    "Detector": "model.detector",
    "detector_names": "model.detector_library",
    "grid": "model.grid_detector",
    "Panel": "model.panel",
    "Sampling": "model.sampling",
    "Material": "model.materials",
    "attenuation": "model.materials",
    "material_names": "model.materials",
    "Surroundings": "model.surroundings",
    "Window": "model.surroundings",
    "SampleAbsorption": "model.surroundings",
    "Beamstop": "model.surroundings",
    "Aperture": "model.surroundings",
    "Shadow": "model.surroundings",
    "StructureFactors": "model.structure_factors",
    "DetectorResponse": "model.response",
    "GainStage": "model.response",
    "Scene": "scene.record",
    "build_scene": "scene.build",
    "twin_rotation": "scene.twins",
    "Result": "simulation.result",
    "render": "simulation.simulate",
    "simulate": "simulation.simulate",
    "derivatives": "simulation.simulate",
    "Linearization": "inverse.linearization",
    "Noise": "inverse.noise",
    "Information": "inverse.information",
    "refine": "refinement.refine",
    "Refinement": "refinement.result",
    "information": "refinement.planning",
    "InformationScan": "refinement.planning",
    "GaussNewton": "inverse.linearization",
    "Simulator": "simulation.simulator",
    "simulate_batch": "simulation.simulator",
    "Lattices": "simulation.lattices",
    "Series": "simulation.series",
    "save_series": "simulation.saving",
    "Dataset": "dataset.dataset",
    "make_dataset": "dataset.make",
    "open_dataset": "dataset.reading",
    "RenderOptions": "engine.options",
    "Cost": "simulation.cost",
    "random_orientations": "base.rotations",
    "read_crystal": "io.crystal_files",
    "read_geometry": "io.geometry.formats",
    "read_experiments": "simulation.experiments",
    "Setup": "model.setup",
    "from_cli": "cli.commandline",
    "to_cli": "cli.commandline",
    "load": "io.recipe",
    "dump": "io.recipe",
    "Statistics": "analysis.statistics",
    "DetectorImage": "response.detect",
    "detect": "response.detect",
    "NoiseImage": "response.reference_noise",
    "noise_image": "response.reference_noise",
    "PixelTrace": "analysis.trace",
    "trace_pixel": "analysis.trace",
    "expected_reflections": "analysis.reflections",
    "extract_background": "analysis.background",
    "BackgroundTable": "analysis.background",
    "DeviceError": "base.errors",
    "FileError": "base.errors",
    "MissingPackageError": "base.errors",
    "InputError": "base.errors",
    "MemoryLimitError": "base.errors",
    "NbraggError": "base.errors",
    "NbraggWarning": "base.errors",
    "RenderError": "base.errors",
}

#: public modules
_MODULES = ("datasets", "io", "jax", "torch")

__all__ = ["__version__", *_EXPORTS, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""nanobragg: X-ray diffraction images of small crystals, on an absolute scale.

Names are imported when first used, so that ``import nbragg`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: public name -> module that defines it
_EXPORTS = {
    "Beam": "beam",
    "SourceList": "beam",
    "Crystal": "crystal",
    "Detector": "detector",
    "Sampling": "sampling",
    "StructureFactors": "structure_factors",
    "Scene": "scene",
    "build_scene": "scene",
    "Result": "result",
    "render": "simulation",
    "simulate": "simulation",
    "Simulator": "batch",
    "simulate_batch": "batch",
    "random_orientations": "rotations",
    "read_crystal": "io.structure_factor_files",
    "Setup": "setup",
    "from_cli": "commandline",
    "to_cli": "commandline",
    "load": "recipe",
    "dump": "recipe",
    "Statistics": "statistics",
    "NoiseImage": "noise",
    "noise_image": "noise",
    "PixelTrace": "trace",
    "trace_pixel": "trace",
    "DeviceError": "errors",
    "FileError": "errors",
    "MissingPackageError": "errors",
    "InputError": "errors",
    "MemoryLimitError": "errors",
    "NbraggError": "errors",
    "NbraggWarning": "errors",
    "RenderError": "errors",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

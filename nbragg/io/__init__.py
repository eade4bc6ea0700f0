"""Files in and out.  Names are imported when first used, so that importing the package costs nothing."""

from __future__ import annotations

import importlib
from typing import Any

#: public name -> where it is defined
_EXPORTS = {
    # images
    "ImageFile": "images.requests",
    "ImageMetadata": "images.metadata",
    "check_format": "images",
    "read_image": "images",
    "read_mask": "images",
    "save_image": "images",
    "to_integers": "images.pixels",
    "whole_number_scale": "images.pixels",
    "write_nexus": "images.nexus_writer:write",
    "preview": "images.png",
    "write_png": "images.png:write",
    # structure factors
    "ReflectionList": "reflections.reflection_list",
    "Solvent": "reflections.models",
    "candidates": "reflections.mtz_cif",
    "file_kind": "reflections.formats",
    "from_table": "reflections.reflection_list",
    "read_model": "reflections.models",
    "read_mtz": "reflections.mtz_cif",
    "read_sf_cif": "reflections.mtz_cif",
    "read_structure_factors": "reflections.formats",
    # geometries
    "Geometry": "geometry.record",
    "Experiment": "geometry.experiment",
    "write_geometry": "geometry.formats",
    # small text files
    "read_matrix": "files.text_tables",
    "read_sources": "files.text_tables",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, original = _EXPORTS[name].partition(":")
    value = getattr(importlib.import_module(f".{module}", __name__), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

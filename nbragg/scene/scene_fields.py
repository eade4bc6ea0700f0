"""Parameters that are fields of the Scene itself, and their tangents (gradients 2, ``scene.FIELD``)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..base.errors import InputError
from ..base.numbers import read_only
from .record import Scene
from .tangent import CrystalTangent, PanelTangent, SceneTangent, TableTangent

__all__ = ["FIELDS", "SceneField", "check_scene_field", "scene_tangent", "scene_value", "tangent_of"]


class SceneField(NamedTuple):
    """What a field is of, its unit, and its name in a tangent."""

    part: str  #: "crystals", "panels", "tables" or "" for the Scene
    unit: str
    tangent: str
    attribute: str  #: where the value stands
    position: bool = True  #: whether the steps of a top hat do not feel it


#: by name
FIELDS: dict[str, SceneField] = {
    "orientations": SceneField("crystals", "m", "orientations", "orientations"),
    "orientation_weights": SceneField("crystals", "-", "orientation_weights", "orientation_weights", False),
    "N": SceneField("crystals", "-", "N", "N", False),
    "shape_metric": SceneField("crystals", "-", "shape_metric", "shape_metric"),
    "fudge": SceneField("crystals", "-", "fudge", "fudge"),
    "weight": SceneField("crystals", "-", "weight", "weight", False),
    "F_table": SceneField("tables", "e", "entries", "values", False),
    "default_F": SceneField("tables", "e", "default_F", "default_F", False),
    "pix0": SceneField("panels", "m", "pix0", "pix0"),
    "fdet": SceneField("panels", "-", "fdet", "fdet"),
    "sdet": SceneField("panels", "-", "sdet", "sdet"),
    "odet": SceneField("panels", "-", "odet", "odet"),
    "beam_vector": SceneField("panels", "-", "beam", "beam"),
    "pixel_size": SceneField("panels", "m", "pixel", "pixel"),
    "close_distance": SceneField("panels", "m", "close_distance", "close_distance", False),
    "distance": SceneField("panels", "m", "distance", "distance"),
    "layer_step": SceneField("panels", "m", "layer_step", "layer_step"),
    "mu": SceneField("panels", "1/m", "mu", "mu"),
    "source_incident": SceneField("", "-", "source_incident", "incident"),
    "source_wavelength": SceneField("", "m", "source_wavelength", "wavelength"),
    "source_weight": SceneField("", "-", "source_weight", "weight", False),
    "polarization": SceneField("", "-", "polarization", "polarization", False),
    "polar_vector": SceneField("", "-", "polar_vector", "polar_vector", False),
    "fluence": SceneField("", "ph/m^2", "fluence", "fluence", False),
    "water": SceneField("", "m", "water", "water", False),
}


def scene_value(scene: Scene, name: str, number: int) -> Any:
    """A field's value: a number or an array; of an edge of square pixels, the edge.

    Parameters
    ----------
    scene : Scene
    name : str
        One of `FIELDS`.
    number : int
        Of the crystal or panel.
    """
    field = FIELDS[name]
    if field.part == "panels":
        panel = scene.panels[number]
        return panel.pixel[0] if name == "pixel_size" else getattr(panel, field.attribute)
    if field.part:
        block = scene.crystals[number]
        if field.part == "tables":
            return getattr(scene.tables[block.table], field.attribute)
        value = getattr(block, field.attribute)
        return np.ones(len(block.orientations)) if value is None else value
    return getattr(scene.sources if name.startswith("source_") else scene, field.attribute)


def scene_tangent(scene: Scene, name: str, number: int, index: tuple[int, ...]) -> SceneTangent:
    """The tangent along one element of a field; of an incident vector, of its direction.

    Parameters
    ----------
    scene, name, number
        As `scene_value`.
    index : tuple of int
        Of the element; Miller indices of ``"F_table"``.
    """
    field = FIELDS[name]
    if name == "F_table":
        h, k, l = index  # noqa: E741 - the index's name
        table = TableTangent(entries={(h, k, l): 1.0})
        return tangent_of(scene, tables={scene.crystals[number].table: table})
    value = scene_value(scene, name, number)
    along: Any = 1.0
    if name == "pixel_size":
        along = read_only([1.0, 1.0])
    elif isinstance(value, np.ndarray):
        along = np.zeros(value.shape)
        along[index] = 1.0
        if name == "source_incident":
            ray = value[index[0]]
            along[index[0]] -= ray * ray[index[1]]
        along = read_only(along)
    if field.part == "panels":
        return tangent_of(scene, panels={number: PanelTangent(**{field.tangent: along})})
    if field.part == "crystals":
        return tangent_of(scene, crystals={number: CrystalTangent(**{field.tangent: along})})
    if field.part == "tables":
        return tangent_of(scene, tables={scene.crystals[number].table: TableTangent(default_F=1.0)})
    return tangent_of(scene, **{field.tangent: along})


def tangent_of(
    scene: Scene,
    panels: dict[int, PanelTangent] | None = None,
    crystals: dict[int, CrystalTangent] | None = None,
    tables: dict[int, TableTangent] | None = None,
    **fields: Any,
) -> SceneTangent:
    """A tangent of this Scene from those of single parts, by number; the others do not move."""
    return SceneTangent(
        panels=tuple(map((panels or {}).get, range(len(scene.panels)))),
        crystals=tuple(map((crystals or {}).get, range(len(scene.crystals)))),
        tables=tuple(map((tables or {}).get, range(len(scene.tables)))),
        **fields,
    )


def check_scene_field(scene: Scene, given: str, name: str, number: int) -> None:
    """Refuse a field of the Scene that has no derivative.

    Raises
    ------
    InputError
    """
    if name in ("layer_step", "mu") and scene.panels[number].thickness == 0:
        raise InputError(f"{given} is that of a sensor that captures all: give a small thickness_um")
    if name == "pixel_size" and scene.panels[number].pixel[0] != scene.panels[number].pixel[1]:
        raise InputError(f"{given} is of square pixels, and these are {scene.panels[number].pixel} m")

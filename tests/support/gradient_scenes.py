"""Small Scenes of every kind and tangents of everything, for tests of derivatives."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scene_parts import cut, with_crystal, with_panel

import nbragg
from nbragg import StructureFactors
from nbragg.base.vectors import FloatArray
from nbragg.scene.record import Scene
from nbragg.scene.tangent import CrystalTangent, Frame, PanelTangent, SceneTangent, TableTangent

SHAPES = ("square", "round", "gauss")
TABLES = ("constant", "nearest", "tricubic")


def scene(
    shape: str = "square",
    table: str = "nearest",
    *,
    sampling: dict[str, Any] | None = None,
    detector: dict[str, Any] | None = None,
    crystal: dict[str, Any] | None = None,
    physics: str = "exact",
) -> Scene:
    """A few pixels near the beam, five orientations, two sources, a list that ends inside the image."""
    rng = np.random.default_rng(5)
    values = rng.uniform(20, 100, (9, 8, 7))
    factors = StructureFactors(values=values, origin=(-4, -4, -3), default_F=11.0)
    if table == "constant":
        factors = StructureFactors(default_F=30.0)
    setup = nbragg.Setup(
        nbragg.Crystal(
            **{"cell": (40, 50, 60, 80, 95, 100), "N": (5, 4, 3), "shape": shape, "mosaic_spread_deg": 2.0,
               "mosaic_domains": 5, "misset_deg": (10, 20, 30), "structure_factors": factors,
               **(crystal or {})}
        ),
        nbragg.Beam(wavelength_A=1.3, hdivrange_mrad=3.0, hdivsteps=2, polarization=0.9),
        nbragg.Detector(
            **{"fpixels": 10, "spixels": 5, "pixel_mm": 2.3, "distance_mm": 70.0, "rotx_deg": 3.0,
               **(detector or {})}
        ),
        nbragg.Sampling(
            **{"oversample": 1, "interpolate": table == "tricubic", "water_um": 2.0, **(sampling or {})}
        ),
        physics=physics,
    )  # fmt: skip
    built: Scene = nbragg.build_scene(setup)
    return built


SENSOR = {"thickness_um": 400.0, "attenuation_um": 250.0, "thicksteps": 3}


#: for scenes whose pieces are to be several blocks of the host
LARGER = {"fpixels": 12, "spixels": 8}
INSIDE = {"oversample": 2, "oversample_thick": True, "oversample_polar": True, "oversample_omega": True}


def _two_crystals() -> Scene:
    flat = scene(detector=LARGER)
    block = flat.crystal
    other = dataclasses.replace(
        block, shape="gauss", orientations=np.ascontiguousarray(block.orientations[:2] * 1.1), weight=0.4
    )
    found: Scene = dataclasses.replace(cut(flat, [5], [4]), crystals=(block, other))
    return found


def _weights_and_mask() -> Scene:
    flat, rng = scene(detector=LARGER), np.random.default_rng(6)
    mask = np.ascontiguousarray(rng.random((flat.panel.spixels, flat.panel.fpixels)) < 0.7, np.uint8)
    mask.setflags(write=False)
    weighted = with_crystal(flat, orientation_weights=rng.uniform(0.2, 2, 5))
    found: Scene = with_panel(weighted, mask=mask, roi=(1, 10, 1, 5))
    return found


#: how to make each of them
EVERY: dict[str, Callable[[], Scene]] = {
    f"{shape}, {table}": partial(scene, shape, table) for shape in SHAPES for table in TABLES
} | {
    "layers at mean depth": lambda: scene(detector=SENSOR),
    "layers at their fronts": lambda: with_panel(scene(detector=SENSOR), mean_depth=False),
    "every sample its factors": lambda: scene(sampling=INSIDE, detector=SENSOR),
    "factors once": lambda: scene(sampling={"oversample": 2}, detector=SENSOR, physics="nanobragg"),
    "nanobragg, tricubic that ends": lambda: scene("gauss", "tricubic", physics="nanobragg"),
    "curved": lambda: scene(detector=SENSOR | {"curved": True}),
    "curved as the reference": lambda: scene(detector={"curved": True}, physics="nanobragg"),
    "no polarization": lambda: dataclasses.replace(scene(), nopolar=True),
    "point pixels": lambda: with_panel(scene(), point_pixel=True),
    "dmin": lambda: dataclasses.replace(scene(), dmin=6e-10),
    "panels and crystals": _two_crystals,
    "weights and a mask": _weights_and_mask,
    "one cell": lambda: with_crystal(scene(), N=np.ones(3)),
    "real N": lambda: with_crystal(scene(), N=np.array([4.3, 3.7, 2.5])),
    "top hat": lambda: scene("tophat"),
}


def each_source_captured() -> Scene:
    """Two panels whose sensors take the light of each source in their own ways; cotangents of a list."""
    flat = scene("square", "nearest", sampling=INSIDE, detector=SENSOR | LARGER)
    count = len(flat.sources)
    first, second = (
        dataclasses.replace(
            panel,
            source_mu=np.linspace(900, 900 * ratio, count),
            source_mu_slope=np.linspace(1e13, 5e13, count),
        )
        for panel, ratio in zip(cut(flat, [5], []).panels, (3.0, 0.4), strict=True)
    )
    found: Scene = dataclasses.replace(flat, panels=(first, second))
    return found


def tangents(of: Scene) -> list[SceneTangent]:
    """One for each group of fields, in random directions: sizes such that derivatives are alike."""
    rng = np.random.default_rng(7)

    def around(*shape: int) -> FloatArray:
        return rng.uniform(-1, 1, shape)

    found = [
        SceneTangent(
            panels=tuple(
                PanelTangent(
                    pix0=1e-4 * around(3), fdet=1e-3 * around(3), sdet=1e-3 * around(3),
                    odet=1e-3 * around(3), beam=1e-3 * around(3), pixel=1e-6 * around(2),
                    layer_step=1e-6, mu=20.0, close_distance=1e-4, distance=1e-4,
                )
                for _ in of.panels
            )
        ),
        SceneTangent(panels=(PanelTangent(pix0=np.array([1e-4, 0, 0])), *(None for _ in of.panels[1:]))),
        SceneTangent(source_incident=_across(of, 1e-3 * around(len(of.sources), 3))),
        SceneTangent(source_wavelength=1e-13 * around(len(of.sources))),
        SceneTangent(source_weight=around(len(of.sources))),
        SceneTangent(polarization=0.3, polar_vector=0.1 * around(3)),
        SceneTangent(fluence=0.1 * of.fluence, water=1e-7),
    ]  # fmt: skip
    for i, block in enumerate(of.crystals):
        no = len(block.orientations)
        parts = [
            CrystalTangent(cell=1e-11 * around(3, 3)),
            CrystalTangent(turn=1e-3 * around(no, 3)),
            CrystalTangent(orientations=1e-11 * around(no, 3, 3)),
            CrystalTangent(orientation_weights=around(no)),
            CrystalTangent(N=around(3), weight=0.3),
            CrystalTangent(shape_metric=around(3, 3), fudge=0.1),
        ]
        for part in parts:
            found.append(SceneTangent(crystals=(*[None] * i, part, *[None] * (len(of.crystals) - i - 1))))
    return found + _of_factors(of, around)


def _across(of: Scene, vectors: FloatArray) -> FloatArray:
    along = (vectors * of.sources.incident).sum(axis=1, keepdims=True)
    result: FloatArray = vectors - along * of.sources.incident
    return result


def _of_factors(of: Scene, around: Any) -> list[SceneTangent]:
    found = [SceneTangent(tables=tuple(TableTangent(default_F=1.0) for _ in of.tables))]
    table = of.tables[0]
    if table.values is None:
        return found
    shape, others = table.values.shape, [None] * (len(of.tables) - 1)
    both = np.zeros(shape)
    both[1:3] = around(2, *shape[1:])
    single = {(int(table.origin[0]) + 4, 0, 0): 2.0, (int(table.origin[0]) + 5, 1, 0): -1.0}
    return [
        *found,
        SceneTangent(tables=(TableTangent(values=both), *others)),
        SceneTangent(tables=(TableTangent(entries=single), *others)),
    ]  # fmt: skip


def frames(of: Scene) -> list[Frame]:
    """A cell for each crystal, in a place of its own."""
    return [
        Frame(block.orientations[0], np.repeat(np.eye(3)[None], len(block.orientations), 0))
        for block in of.crystals
    ]


def size(of: Scene, place: str) -> float:
    """Largest magnitude of the field that a cotangent has at a place, as `arrays` names it."""
    parts = re.findall(r"\w+", place)
    if parts[0].startswith("source_"):
        parts = ["sources", parts[0].removeprefix("source_")]
    value: Any = of
    for part in parts:
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return 1.0 if value is None else float(np.abs(value).max())


def arrays(tangent: Any, name: str = "") -> dict[str, FloatArray]:
    """Every number of a cotangent by its place."""
    if dataclasses.is_dataclass(tangent):
        found: dict[str, FloatArray] = {}
        for field in dataclasses.fields(tangent):
            found |= arrays(getattr(tangent, field.name), f"{name}.{field.name}")
        return found
    if isinstance(tangent, tuple):
        return {k: v for i, part in enumerate(tangent) for k, v in arrays(part, f"{name}[{i}]").items()}
    return {} if tangent is None else {name: np.asarray(tangent, float)}

"""Small random scenes of every kind and random tangents of their fields, for hypothesis."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
from derivatives import CRYSTAL_FIELDS, PANEL_FIELDS, SCENE_FIELDS, SOURCE_FIELDS, near_choice, only
from hypothesis import assume
from hypothesis import strategies as st
from strategies import experiments, generic, several

from nbragg.scene.record import CrystalBlock, PlacedPanel, Scene
from nbragg.scene.tangent import CrystalTangent, Frame, PanelTangent, SceneTangent, TableTangent

#: pixels along fast and slow, sub-pixel steps and orientations that a small scene has at most
FAST, SLOW, STEPS = 6, 5, 80

Random = np.random.Generator


def _small_panel(panel: PlacedPanel) -> PlacedPanel:
    """Its first pixels; a region that lay beyond them becomes all of them."""
    f, s = min(panel.fpixels, FAST), min(panel.spixels, SLOW)
    fmin, fmax, smin, smax = panel.roi
    inside = fmin < f and smin < s
    roi = (fmin, min(fmax, f - 1), smin, min(smax, s - 1)) if inside else (0, f - 1, 0, s - 1)
    mask = None if panel.mask is None else np.ascontiguousarray(panel.mask[:s, :f])
    return dataclasses.replace(panel, fpixels=f, spixels=s, roi=roi, mask=mask)


@st.composite
def _any_size(draw: st.DrawFn, crystal: CrystalBlock) -> CrystalBlock:
    """The crystal with numbers of cells that are not whole; with a weight for each orientation."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        fields["N"] = np.array([draw(st.just(1.0) | generic(1, 12)) for _ in range(3)])
    if draw(st.booleans()):
        fields["orientation_weights"] = rng.uniform(0.1, 3, len(crystal.orientations))
    return dataclasses.replace(crystal, **fields)


@st.composite
def small_scenes(draw: st.DrawFn) -> Scene:
    """Scenes of every kind, at most 6 x 5 pixels a panel and 80 samples a pixel, no photons from behind.

    No sample is at an edge: there the piece that is differentiated is a matter of the last bit.
    """
    kind = draw(st.sampled_from(["one", "several"]))
    scene: Scene = draw(several()) if kind == "several" else draw(experiments()).scene()
    scene = dataclasses.replace(
        scene,
        panels=tuple(_small_panel(panel) for panel in scene.panels),
        crystals=tuple(draw(_any_size(crystal)) for crystal in scene.crystals),
        oversample=draw(st.sampled_from([1, 1, 2])),
    )
    assume(scene.samples_per_pixel <= STEPS)
    assume(not near_choice(scene))
    image = oracle.render(scene)
    assume(np.isfinite(image).all() and image.max() > 0 and image.max() < 1e25)
    return scene


def frame(crystal: CrystalBlock) -> Frame:
    """The first orientation as the cell, and what takes it to each of them."""
    cell = np.array(crystal.orientations[0])
    turns = np.stack([np.linalg.solve(cell, rows).T for rows in crystal.orientations])
    return Frame(cell, np.ascontiguousarray(turns))


def frames(scene: Scene) -> tuple[Frame, ...]:
    """A frame of each crystal."""
    return tuple(frame(crystal) for crystal in scene.crystals)


Part = Callable[[Scene, Random], SceneTangent]


def _panel_part(number: int, name: str, scene: Scene, rng: Random) -> SceneTangent:
    """A field of a panel moves by about a hundredth of itself, a place by about a pixel."""
    panel = scene.panels[number]
    size = {
        "pix0": panel.pixel[0], "pixel": 0.05 * panel.pixel[0], "layer_step": 0.1 * panel.layer_step + 1e-6,
        "mu": 0.1 * panel.mu + 10, "close_distance": 0.1 * panel.close_distance,
        "distance": 0.01 * panel.distance,
    }.get(name, 0.02)  # fmt: skip
    shape = {"pixel": (2,), "layer_step": (), "mu": (), "close_distance": (), "distance": ()}.get(name, (3,))
    rate: Any = size * rng.uniform(-1, 1, shape)
    fields: dict[str, Any] = {name: rate if shape else float(rate)}
    tangent = PanelTangent(**fields)
    return SceneTangent(panels=only(number, len(scene.panels), tangent))


def _crystal_part(number: int, name: str, scene: Scene, rng: Random) -> SceneTangent:
    """Orientations move by about a degree, or the cell by two in a hundred."""
    crystal = scene.crystals[number]
    count = len(crystal.orientations)
    edge = float(np.abs(crystal.orientations).max())
    size, shape = {
        "cell": (0.02 * edge, (3, 3)),
        "turn": (0.02, (count, 3)),
        "orientations": (0.02 * edge, (count, 3, 3)),
        "orientation_weights": (1.0, (count,)),
        "N": (1.0, (3,)),
        "shape_metric": (0.1 * float(np.abs(crystal.shape_metric).max()), (3, 3)),
        "fudge": (0.2 * crystal.fudge, ()),
        "weight": (0.5, ()),
    }[name]
    rate: Any = size * rng.uniform(-1, 1, shape)
    fields: dict[str, Any] = {name: rate if shape else float(rate)}
    tangent = CrystalTangent(**fields)
    return SceneTangent(crystals=only(number, len(scene.crystals), tangent))


def _table_part(number: int, name: str, scene: Scene, rng: Random) -> SceneTangent:
    """The whole box, a few reflections of it, or what is outside."""
    table = scene.tables[number]
    if name == "default_F":
        tangent = TableTangent(default_F=float(rng.uniform(-10, 10)))
    elif name == "values":
        assert table.values is not None
        tangent = TableTangent(values=rng.uniform(-10, 10, table.values.shape))
    else:
        assert table.values is not None
        places = {tuple(int(rng.integers(n)) for n in table.values.shape) for _ in range(20)}
        h = table.origin
        tangent = TableTangent(
            entries={(i + h[0], j + h[1], k + h[2]): float(rng.uniform(-10, 10)) for i, j, k in places}
        )
    return SceneTangent(tables=only(number, len(scene.tables), tangent))


def _source_part(name: str, scene: Scene, rng: Random) -> SceneTangent:
    sources = scene.sources
    rate: Any = rng.uniform(-1, 1, getattr(sources, name).shape)
    if name == "wavelength":
        rate = rate * 0.01 * sources.wavelength
    elif name == "incident":
        rate = 0.01 * rate
        rate = rate - sources.incident * np.sum(rate * sources.incident, axis=1, keepdims=True)
    return SceneTangent(**{f"source_{name}": rate})


def _scene_part(name: str, scene: Scene, rng: Random) -> SceneTangent:
    if name == "polar_vector":
        return SceneTangent(polar_vector=rng.uniform(-0.3, 0.3, 3))
    size = {"polarization": 0.5, "fluence": 0.3 * scene.fluence, "water": 0.3 * scene.water + 1e-9}[name]
    fields: dict[str, Any] = {name: float(size * rng.uniform(-1, 1))}
    return SceneTangent(**fields)


def parts(scene: Scene) -> dict[str, Part]:
    """Every field of a Scene by its name, with what makes a random tangent of it alone."""
    found: dict[str, Part] = {}
    for i in range(len(scene.panels)):
        found |= {f"panels[{i}].{n}": functools.partial(_panel_part, i, n) for n in PANEL_FIELDS}
    for i in range(len(scene.crystals)):
        names = ("cell", "turn", *CRYSTAL_FIELDS)
        found |= {f"crystals[{i}].{n}": functools.partial(_crystal_part, i, n) for n in names}
    for i, table in enumerate(scene.tables):
        of_box = () if table.values is None else ("values", "entries")
        found |= {f"tables[{i}].{n}": functools.partial(_table_part, i, n) for n in ("default_F", *of_box)}
    found |= {f"source_{n}": functools.partial(_source_part, n) for n in SOURCE_FIELDS}
    return found | {n: functools.partial(_scene_part, n) for n in SCENE_FIELDS}


def _joined(one: Any, other: Any) -> Any:
    """The sum of two tangents of which no field moves in both."""
    if one is None or other is None:
        return one if other is None else other
    fields = {}
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("panels", "crystals", "tables"):
            n = max(len(a), len(b))
            pairs = zip(a or (None,) * n, b or (None,) * n, strict=True)
            fields[field.name] = tuple(_joined(x, y) for x, y in pairs)
        else:
            fields[field.name] = b if a is None or (not isinstance(a, (np.ndarray, dict)) and a == 0) else a
    return type(one)(**fields)


def joined(tangents: list[SceneTangent]) -> SceneTangent:
    """The sum of tangents of which no field moves in two."""
    return functools.reduce(_joined, tangents)


@st.composite
def tangents_of(draw: st.DrawFn, scene: Scene, most: int = 3) -> list[SceneTangent]:
    """Some tangents, each of a few of the Scene's fields; of one field more often than of several."""
    known = parts(scene)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = []
    for _ in range(draw(st.integers(1, most))):
        names = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=6, unique=True))
        found.append(joined([known[name](scene, rng) for name in names]))
    return found


@st.composite
def moving_scenes(draw: st.DrawFn, most: int = 3) -> tuple[Scene, list[SceneTangent]]:
    """A small Scene with tangents of it."""
    scene = draw(small_scenes())
    return scene, draw(tangents_of(scene, most))

"""Scenes whose samples are mostly dark, and what leaving those out may change of an image.

They are drawn by seeds, not by strategies of hypothesis: those come back to the ends of every range and to
what they had before, and Scenes in which anything is dark are few among theirs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from parts import build_scene

from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors
from nbragg.engine import cpu
from nbragg.engine.cpu import CpuQueue, limits
from nbragg.engine.options import RenderOptions, Summary
from nbragg.scene.record import CrystalBlock, FactorTable, PlacedPanel, Scene, Sources

Image = NDArray[np.float64]
Choice = TypeVar("Choice")

SHAPES = ("square", "round", "gauss", "tophat", "gauss_star")
#: samples of a Scene, pixels along an edge of a panel, sub-pixels along an edge of a pixel
MOST, EDGE, STEPS = 400_000, 70, 6
#: a spot that ends is no longer seen below this, as a fraction of the image's maximum; of its own peak
END, SPOT_END = 1e-9, 1e-12
#: what the order of a sum may change, as a fraction of the image's maximum
ROUNDING = {"double": 1e-12, "mixed": 2e-6}


def always(scene: Scene, options: RenderOptions) -> dict[str, Any]:
    """Samples are left out wherever they can be, whether or not it pays."""
    found = limits(scene, options)
    return found and {**found, "always": True}


def rendered(scene: Scene, **options: Any) -> tuple[Image, Summary]:
    """The image before it is rounded to float32, and its summary."""
    image = np.zeros(scene.image_shape)
    with mock.patch.object(cpu, "limits", always), CpuQueue(RenderOptions(**options)) as queue:
        queue.submit(scene, image64=image)
        raw, _ = queue.collect()
    return image, raw.summary


# ---- what is promised ----


def ends(scene: Scene) -> bool:
    """Whether some crystal has spots that end without a tolerance."""
    return scene.physics == "exact" and any(block.shape in ("gauss", "tophat") for block in scene.crystals)


@dataclass(frozen=True)
class Comparison:
    """An image of which samples are left out beside the whole one; photons.

    ratio: the largest difference over what is promised; left: over what the image itself tells.
    """

    tolerance: float
    error: float
    ratio: float
    left: float
    summary: Summary


def compare(scene: Scene, full: Image, tolerance: float, precision: str = "double") -> Comparison:
    """Leaves out what the tolerance allows, and tells how far the image is from the full one."""
    image, summary = rendered(scene, tolerance_photons=tolerance, precision=precision)
    return judged(scene, full, image, summary, tolerance, ROUNDING[precision])


def judged(
    scene: Scene, full: Image, image: Image, summary: Summary, tolerance: float, rounding: float
) -> Comparison:
    """How far an image, of which samples are left out, is from the full one; rounding: as ROUNDING."""
    assert np.isfinite(image).all()
    error, largest = float(np.abs(image - full).max()), float(np.abs(full).max())
    more = largest * rounding
    if ends(scene):
        more += END * largest
        if error > more:  # no spot is in the image, only what lies about some
            more += SPOT_END * peak(scene)
    left = summary.left_out if tolerance else 0.0
    return Comparison(tolerance, error, _over(error, tolerance + more), _over(error, left + more), summary)


def _over(error: float, promise: float) -> float:
    return error / promise if promise > 0 else math.inf if error else 0.0


# ---- random Scenes ----


class Dice:
    """Numbers of a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def decades(self, low: float, high: float) -> float:
        """Alike in each decade."""
        return math.exp(self.between(math.log(low), math.log(high)))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def count(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def of(self, choices: Sequence[Choice]) -> Choice:
        return choices[self.count(0, len(choices) - 1)]

    def turn(self) -> NDArray[np.float64]:
        """An orthogonal matrix."""
        return np.linalg.qr(self.rng.normal(size=(3, 3)))[0]

    def cells(self) -> list[float]:
        """Along the axes: mostly many, without which nothing is dark."""
        return [self.decades(20, 300) if self.chance(0.7) else self.decades(1, 30) for _ in range(3)]


def _factors(dice: Dice) -> StructureFactors:
    """One F for all, a box about the origin, or a list; amplitudes that span decades, or most of them 0."""
    outside = dice.of([0.0, 0.0, dice.decades(0.01, 30)])
    if dice.chance(0.2):
        return StructureFactors.constant(outside + 1)
    n = dice.count(1, 61)
    low = tuple(-dice.count(0, n - 1) if dice.chance(0.3) else -(n // 2) for _ in range(3))
    values = np.exp(dice.rng.normal(2, dice.of([0.3, 1.0, 2.0]), (n, n, n)))
    values[dice.rng.random(values.shape) < dice.of([0.0, 0.0, 0.5, 0.98, 0.999])] = 0.0
    values[tuple(dice.rng.integers(n, size=3))] = 1e3
    return StructureFactors(values=values, origin=(low[0], low[1], low[2]), default_F=outside)


def _crystal(dice: Dice) -> Crystal:
    shape, cells = dice.of(SHAPES), dice.cells()
    N: Any = tuple(float(round(n)) if dice.chance(0.5) else n for n in cells)
    if shape in ("gauss", "tophat") and dice.chance(0.4):
        axes = dice.turn()
        N = axes @ np.diag(cells) @ axes.T
        N = 0.5 * (N + N.T)
    angles = (90.0, 90.0, 90.0) if dice.chance(0.3) else [dice.between(70, 110) for _ in range(3)]
    loops: dict[str, Any] = {}
    if dice.chance(0.5):
        loops = {"mosaic_spread_deg": dice.decades(0.01, 10), "mosaic_domains": dice.count(2, 37)}
    if dice.chance(0.2):
        loops |= {"osc_deg": dice.decades(0.01, 20), "phisteps": dice.count(2, 4)}
    return Crystal(
        cell=(*(dice.decades(15, 150) for _ in range(3)), *angles), N=N, shape=shape,
        misset_deg=tuple(dice.between(-180, 180) for _ in range(3)),
        fudge=dice.of([1.0, 1.0, 1.0, dice.decades(0.2, 5), dice.of([1.0, 1.0, 1.0, 0.0])]),
        structure_factors=_factors(dice), **loops,
    )  # fmt: skip


def _beam(dice: Dice) -> Beam:
    fields: dict[str, Any] = {}
    wavelength = dice.between(0.7, 2.5)
    kind = dice.of(["one", "one", "dispersion", "divergence", "list"])
    if kind == "dispersion":
        fields = {"dispersion_pct": dice.decades(0.01, 10), "dispersion_steps": dice.count(2, 7)}
    elif kind == "divergence":
        fields = {
            "hdivrange_mrad": dice.decades(0.1, 40), "hdivsteps": dice.count(2, 3),
            "vdivrange_mrad": dice.decades(0.1, 40), "vdivsteps": dice.count(1, 3),
        }  # fmt: skip
    elif kind == "list":
        n = dice.count(1, 5)
        fields["sources"] = SourceList(
            positions=dice.between(0.5, 10) * (dice.rng.uniform(-0.2, 0.2, (n, 3)) - np.array([1.0, 0, 0])),
            weights=dice.of([np.ones(n), dice.rng.choice([1e-3, 1.0, 30.0], n)]),
            wavelengths_A=wavelength * dice.rng.uniform(0.9, 1.1, n),
        )
    return Beam(
        wavelength_A=wavelength, polarization=dice.of([0.0, 1.0, -1.0, dice.between(-1, 1)]),
        nopolar=dice.chance(0.2), fluence=dice.decades(1e10, 1e30), **fields,
    )  # fmt: skip


def _detector(dice: Dice) -> Detector:
    """Head-on or tilted, up to a glance, flat or bent, with a sensor or without."""
    fields: dict[str, Any] = {}
    if dice.chance(0.4):
        fields["thickness_um"] = dice.decades(10, 3000)
        fields["attenuation_um"] = dice.of([dice.decades(30, 1000), math.inf])
        fields["thicksteps"] = dice.count(1, 3)
    if dice.chance(0.6):
        tilt = dice.of([5.0, 30.0, 75.0])
        fields |= {name: dice.between(-tilt, tilt) for name in ("rotx_deg", "roty_deg", "rotz_deg")}
        fields["twotheta_deg"] = dice.between(-tilt, tilt)
    return Detector(
        fpixels=16, spixels=16, pixel_mm=0.1, distance_mm=dice.decades(3, 1000),
        Xbeam_mm=dice.between(-20, 20),
        Ybeam_mm=dice.between(-20, 20), curved=dice.chance(0.15), point_pixel=dice.chance(0.15), **fields,
    )  # fmt: skip


def _sampling(dice: Dice) -> Sampling:
    return Sampling(
        oversample=dice.count(1, STEPS),
        oversample_thick=dice.chance(0.5), oversample_polar=dice.chance(0.5),
        oversample_omega=dice.chance(0.5),
        dmin_A=dice.decades(0.8, 6) if dice.chance(0.15) else None,
        interpolate=dice.of([False, False, False, True, None]),
        water_um=dice.decades(1e-4, 1) if dice.chance(0.05) else 0.0,
    )  # fmt: skip


def _block(dice: Dice, block: CrystalBlock) -> CrystalBlock:
    """Weights of orientations, runs of equal ones and zeros among them; atoms that move."""
    fields: dict[str, Any] = {}
    if dice.chance(0.4):
        weights = dice.rng.choice([0.0, 0.3, 1.0, 2.5, 40.0], len(block.orientations))
        weights[dice.count(0, len(weights) - 1)] = 1.0
        fields["orientation_weights"] = weights
    if dice.chance(0.3):
        root = dice.rng.normal(size=(3, 3))
        fields["displacement"] = root @ root.T * dice.decades(1e-4, 0.1)
    return dataclasses.replace(block, **fields)


def _other(dice: Dice, block: CrystalBlock, table: int) -> CrystalBlock:
    """Another lattice, turned at random, of another shape and size."""
    cell = block.orientations[0] @ dice.turn() * dice.rng.uniform(0.7, 1.4, (3, 1))
    near = np.eye(3) + dice.rng.normal(0, dice.decades(1e-4, 0.05), (dice.count(1, 20), 3, 3))
    cells, skew = np.array(dice.cells()), np.eye(3) + dice.rng.uniform(-0.4, 0.4, (3, 3))
    other = dataclasses.replace(
        block, orientations=np.ascontiguousarray(cell @ near), orientation_weights=None, N=cells,
        shape=dice.of(SHAPES[:4]), fudge=dice.of([1.0, dice.decades(0.2, 5)]),
        shape_metric=np.diag(cells) @ skew @ skew.T @ np.diag(cells), weight=dice.decades(1e-3, 10),
        table=table,
    )  # fmt: skip
    return _block(dice, other)


def _panel(dice: Dice, scene: Scene, most: int) -> PlacedPanel:
    """The same plane with other pixels and more of them, not all of them rendered.

    A sub-pixel is a part of an index, mostly a small one.
    """
    panel = scene.panels[0]
    f = dice.count(1, min(EDGE, max(most, 1)))
    s = dice.count(1, min(EDGE, max(most // f, 1)))
    fmin, smin = dice.count(0, f - 1), dice.count(0, s - 1)
    roi, mask = (0, f - 1, 0, s - 1), None
    if dice.chance(0.3):
        roi = (fmin, dice.count(fmin, f - 1), smin, dice.count(smin, s - 1))
    if dice.chance(0.3):
        mask = (dice.rng.random((s, f)) < dice.of([0.02, 0.5, 0.98])).astype(np.uint8)
        mask[smin, fmin] = 1
    edges = np.linalg.norm(scene.crystals[0].orientations[0], axis=1)
    away = max(abs(float(panel.pix0 @ panel.odet)), 1e-4)
    step = dice.of([dice.decades(3e-4, 0.01), dice.decades(1e-3, 0.03), dice.decades(0.02, 1)])
    wide = step * scene.oversample * away * float(scene.sources.wavelength.min() / edges.max())
    return dataclasses.replace(
        panel, pixel=(wide, wide * dice.of([1.0, dice.decades(0.4, 2.5)])),
        first=(dice.count(-40, 40), dice.count(-40, 40)), fpixels=f, spixels=s, roi=roi, mask=mask,
    )  # fmt: skip


def _holding(table: FactorTable, index: NDArray[np.float64]) -> FactorTable:
    """The list with a reflection, moved where it has to be so that there is a place for it."""
    if table.values is None:
        return table
    values, origin = table.values.copy(), np.array(table.origin)
    place = index.astype(int) - origin
    if (place < 0).any() or (place >= values.shape).any():
        place = np.array(values.shape) // 2
        origin = index.astype(int) - place
    values[tuple(place)] = 100.0
    first: Any = tuple(origin.tolist())
    return dataclasses.replace(table, values=values, origin=first, reach=math.inf)


def _lit(scene: Scene) -> Scene:
    """The crystals strained so that a reflection falls on the middle of what is rendered."""
    panel = scene.panels[0]
    f = (panel.first[0] + 0.5 * (panel.roi[0] + panel.roi[1] + 1)) * panel.pixel[0]
    s = (panel.first[1] + 0.5 * (panel.roi[2] + panel.roi[3] + 1)) * panel.pixel[1]
    place = panel.pix0 + f * panel.fdet + s * panel.sdet
    q = (place / np.linalg.norm(place) - scene.sources.incident[0]) / scene.sources.wavelength[0]
    blocks, tables = [], list(scene.tables)
    for block in scene.crystals:
        cell = block.orientations[0]
        away = np.rint(cell @ q) - cell @ q
        strain = np.outer(np.linalg.solve(cell, away), q) / (q @ q)
        if np.linalg.norm(strain) < 0.3:
            cells = np.ascontiguousarray(block.orientations @ (np.eye(3) + strain))
            block = dataclasses.replace(block, orientations=cells)
        blocks.append(block)
        tables[block.table] = _holding(tables[block.table], np.rint(cell @ q))
    return dataclasses.replace(scene, crystals=tuple(blocks), tables=tuple(tables))


def _signed(dice: Dice, table: FactorTable) -> FactorTable:
    """Amplitudes of either sign."""
    if table.values is None or dice.chance(0.7):
        return table
    return dataclasses.replace(table, values=table.values * dice.rng.choice([-1.0, 1.0], table.values.shape))


def _weighted(dice: Dice, sources: Sources) -> Sources:
    if dice.chance(0.7):
        return sources
    weight = dice.rng.choice([0.0, 1e-3, 1.0, 3.0], len(sources)) + 1e-6
    return dataclasses.replace(sources, weight=weight / weight.mean())


def _round(dice: Dice) -> Scene:
    """Edges, angles and directions without a fraction: samples on reflections and half-way between them."""
    edge, pixels = dice.of([20.0, 50.0, 100.0]), dice.of([16, 33, 64])
    small = StructureFactors(np.ones((5, 5, 5)), (-2, -2, -2), default_F=3)
    crystal = Crystal(
        cell=(edge, edge, edge, 90, 90, 90), N=dice.of([2, 5, 20, 64, 200]), shape=dice.of(SHAPES),
        mosaic_domains=dice.of([None, 4]), mosaic_spread_deg=dice.of([None, 1.0]),
        structure_factors=dice.of([StructureFactors.constant(10), small]),
    )  # fmt: skip
    detector = Detector(
        distance_mm=dice.of([10.0, 100.0]), pixel_mm=dice.of([0.01, 0.1, 1.0]), fpixels=pixels, spixels=pixels
    )
    physics = dice.of(["nanobragg", "exact"])
    beam = Beam(wavelength_A=dice.of([1.0, 2.0]))
    sampling = Sampling(oversample=dice.count(1, 2))
    made_so: Scene = build_scene(crystal, beam, detector, sampling, physics=physics)
    return made_so


def random_scene(seed: int) -> Scene:
    """A Scene of any kind, of at most `MOST` samples and some that each pixel needs."""
    dice = Dice(seed)
    if dice.chance(0.08):
        return _round(dice)
    physics = dice.of(["nanobragg", "exact", "exact"])
    scene = build_scene(_crystal(dice), _beam(dice), _detector(dice), _sampling(dice), physics=physics)
    tables, blocks = [_signed(dice, scene.table)], [_block(dice, scene.crystal)]
    if dice.chance(0.25):
        tables.append(dataclasses.replace(_signed(dice, scene.table), reach=math.inf))
        blocks.append(_other(dice, scene.crystal, 1))
    scene = dataclasses.replace(
        scene, tables=tuple(tables), crystals=tuple(blocks[:: dice.of([1, -1])]),
        sources=_weighted(dice, scene.sources),
    )  # fmt: skip
    count = dice.of([1, 1, 2])
    most = MOST // (scene.samples_per_pixel * count)
    scene = dataclasses.replace(scene, panels=tuple(_panel(dice, scene, most) for _ in range(count)))
    return _lit(scene) if dice.chance(0.9) else scene


def single_samples(seed: int) -> Scene:
    """One sample a pixel, so that each tells whether it counted: one source and layer, alike orientations."""
    dice = Dice(seed)
    crystal = _crystal(dice).replace(mosaic_spread_deg=None, mosaic_domains=None, osc_deg=None, phisteps=None)
    beam = Beam(wavelength_A=dice.between(0.7, 2.5), polarization=dice.between(-1, 1))
    detector = _detector(dice).replace(thicksteps=1)
    sampling = _sampling(dice).replace(water_um=0.0, oversample=1)
    scene = build_scene(crystal, beam, detector, sampling, physics="exact")
    scene = dataclasses.replace(scene, tables=(_signed(dice, scene.table),))
    block = dataclasses.replace(_block(dice, scene.crystal), orientation_weights=None)
    # of a single one nothing would be left out, which would not pay
    block = dataclasses.replace(block, orientations=np.repeat(block.orientations, 20, axis=0))
    scene = dataclasses.replace(scene, crystals=(block,))
    return _lit(dataclasses.replace(scene, panels=(_panel(dice, scene, EDGE * EDGE),)))


def tolerance_of(seed: int, full: Image) -> float:
    """Photons, from 1e-7 of the brightest pixel to half of it."""
    power = Dice(seed + 10**9).between(-7, -0.3)
    largest = float(np.abs(full).max())
    found: float = (largest if largest > 1e-200 else 1.0) * 10.0**power
    return found


def plain(scene: Scene) -> Scene:
    """The same where every sample's F^2 L^2 is 1: an image of the other factors."""
    blocks, tables = [], []
    for number, block in enumerate(scene.crystals):
        blocks.append(
            dataclasses.replace(
                block, N=np.ones(3), shape="square", fudge=1.0, displacement=None, weight=1.0, table=number
            )
        )
        table = scene.tables[block.table]
        tables.append(
            dataclasses.replace(
                table, values=None, origin=(0, 0, 0), default_F=1.0, interpolation="nearest", reach=math.inf
            )
        )
    sources = dataclasses.replace(scene.sources, table=np.zeros(len(scene.sources), np.int64))
    return dataclasses.replace(scene, crystals=tuple(blocks), tables=tuple(tables), sources=sources)


def _most(table: FactorTable) -> float:
    """Largest amplitude, interpolated or not."""
    listed = 0.0 if table.values is None else float(np.abs(table.values).max())
    return max(abs(table.default_F), listed) * (1.0 if table.interpolation == "nearest" else 1.25**3)


def peak(scene: Scene) -> float:
    """Photons of a pixel all of whose samples are in the middle of the brightest reflection."""
    flat = plain(scene)
    blocks, tables = [], []
    for block, one in zip(flat.crystals, scene.crystals, strict=True):
        most = max(
            _most(scene.tables[number])
            for number in range(one.table, one.table + scene.sources.table.max() + 1)
        )
        blocks.append(dataclasses.replace(block, weight=one.weight * float(np.prod(one.N)) ** 2))
        tables.append(dataclasses.replace(flat.tables[block.table], default_F=most))
    flat = dataclasses.replace(flat, crystals=tuple(blocks), tables=tuple(tables), water=0.0)
    return float(np.abs(rendered(flat, cull=False)[0]).max())  # a sensor lit from behind captures less than 0


def shifted(scene: Scene, fast: int, slow: int) -> Scene:
    """Every pixel where it was, counted from another corner of its plane."""
    panels = []
    for panel in scene.panels:
        move = fast * panel.pixel[0] * panel.fdet + slow * panel.pixel[1] * panel.sdet
        first = (panel.first[0] + fast, panel.first[1] + slow)
        panels.append(dataclasses.replace(panel, first=first, pix0=panel.pix0 - move))
    return dataclasses.replace(scene, panels=tuple(panels))


def made(shape: str = "square", *, physics: str = "exact", **changes: Any) -> Scene:
    """A fixed Scene of 70 x 45 pixels, 3 x 3 sub-pixels, three sources, twelve domains, a full list."""
    rng = np.random.default_rng(8)
    values = rng.uniform(1, 60, (41, 41, 31))
    factors = StructureFactors(values=values, origin=(-20, -20, -15), default_F=changes.pop("default_F", 0.0))
    crystal: dict[str, Any] = {
        "cell": (45, 55, 35, 85, 95, 100), "N": (24, 18, 30), "shape": shape, "misset_deg": (10, 20, 30),
        "mosaic_spread_deg": 0.3, "mosaic_domains": 12, "structure_factors": factors,
    }  # fmt: skip
    detector: dict[str, Any] = {
        "fpixels": 70,
        "spixels": 45,
        "pixel_mm": 0.6,
        "distance_mm": 60.0,
        "rotx_deg": 8.0,
    }
    sampling: dict[str, Any] = {"oversample": 3}
    scene: Scene = build_scene(
        Crystal(**crystal | changes.pop("crystal", {})),
        Beam(wavelength_A=1.1, dispersion_pct=0.4, dispersion_steps=3, polarization=0.9),
        Detector(**detector | changes.pop("detector", {})),
        Sampling(**sampling | changes.pop("sampling", {})),
        physics=physics,
    )
    return scene


def one_wavelength(scene: Scene) -> Scene:
    """The Scene of the first of its sources alone."""
    sources = scene.sources
    first = dataclasses.replace(
        sources, incident=sources.incident[:1], wavelength=sources.wavelength[:1], weight=np.ones(1),
        table=sources.table[:1],
    )  # fmt: skip
    return dataclasses.replace(scene, sources=first)

"""Scenes whose samples are mostly dark, and what leaving those out may change of an image."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray
from parts import build_scene
from strategies import Experiment, beams, crystals, detectors, experiments, generic, samplings

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.engine.cpu import CpuQueue
from nbragg.engine.options import RenderOptions, Summary
from nbragg.scene.record import CrystalBlock, FactorTable, PlacedPanel, Scene

Image = NDArray[np.float64]

SHAPES = ("square", "round", "gauss", "tophat", "gauss_star")
#: samples of a Scene, pixels along an edge of a panel, sub-pixels along an edge of a pixel
MOST, EDGE, STEPS = 400_000, 70, 6
#: a spot that ends is no longer seen below this, as a fraction of the image's maximum
END = 1e-9
#: what the order of a sum may change, as a fraction of the image's maximum
ROUNDING = {"double": 1e-12, "mixed": 2e-6}


def rendered(scene: Scene, **options: Any) -> tuple[Image, Summary]:
    """The image before it is rounded to float32, and its summary."""
    image = np.zeros(scene.image_shape)
    with CpuQueue(RenderOptions(**options)) as queue:
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
    assert np.isfinite(image).all()
    error, largest = float(np.abs(image - full).max()), float(np.abs(full).max())
    more = largest * (ROUNDING[precision] + (END if ends(scene) else 0.0))
    least = np.finfo(float).tiny
    return Comparison(
        tolerance, error, error / (tolerance + more + least), error / (summary.left_out + more + least),
        summary,
    )  # fmt: skip


# ---- random Scenes ----


def logarithmic(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers between low and high, alike in each decade."""
    return generic(math.log(low), math.log(high)).map(math.exp)


def _cells(draw: st.DrawFn, shape: str) -> Any:
    """Cells along the axes, or as a tensor."""
    cells = [draw(logarithmic(1, 90)) for _ in range(3)]
    if shape in ("gauss", "tophat") and draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        tensor = turn @ np.diag(cells) @ turn.T
        return 0.5 * (tensor + tensor.T)
    whole = shape == "square" and draw(st.booleans())
    return tuple(float(round(n)) for n in cells) if whole else tuple(cells)


def _crystal(draw: st.DrawFn, crystal: Crystal) -> Crystal:
    """The same of another size and shape; in more orientations where it has several."""
    shape = draw(st.sampled_from(SHAPES))
    fields: dict[str, Any] = {"shape": shape, "N": _cells(draw, shape)}
    fields["fudge"] = draw(st.sampled_from([1.0, 1.0, 0.0]) | logarithmic(0.05, 5))
    if crystal.mosaic_domains is not None:
        fields["mosaic_domains"] = draw(st.integers(2, 37))
        fields["mosaic_spread_deg"] = draw(logarithmic(0.01, 5))
    return crystal.replace(**fields)


def _table(draw: st.DrawFn, table: FactorTable) -> FactorTable:
    """Amplitudes of either sign that span decades, most of them 0; of which one may stand out."""
    if table.values is None or draw(st.booleans()):
        return table
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = table.values.shape
    values = table.values * np.exp(rng.normal(0, 2, shape)) * rng.choice([-1, 1], shape)
    values[rng.random(values.shape) < draw(st.sampled_from([0.0, 0.5, 0.98]))] = 0.0
    if draw(st.booleans()):
        values[tuple(rng.integers(n) for n in values.shape)] = 1e3
    # some of them now lie farther out than those the reach was made for
    return dataclasses.replace(table, values=values, reach=math.inf)


def _block(draw: st.DrawFn, block: CrystalBlock) -> CrystalBlock:
    """Weights of orientations, runs of equal ones and zeros among them; atoms that move."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        weights = rng.choice([0.0, 0.3, 1.0, 2.5, 40.0], len(block.orientations))
        weights[rng.integers(len(weights))] = 1.0
        fields["orientation_weights"] = weights
    if draw(st.integers(0, 2)) == 0:
        turn = rng.normal(size=(3, 3))
        fields["displacement"] = turn @ turn.T * draw(logarithmic(1e-4, 0.1))
    return dataclasses.replace(block, **fields)


def _other(draw: st.DrawFn, block: CrystalBlock, table: int) -> CrystalBlock:
    """Another lattice, turned at random, of another shape and size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 20))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    cell = block.orientations[0] @ turn * rng.uniform(0.7, 1.4, (3, 1))
    near = np.eye(3) + rng.normal(0, draw(logarithmic(1e-4, 0.05)), (count, 3, 3))
    cells = np.array([draw(logarithmic(1, 90)) for _ in range(3)])
    skew = np.eye(3) + rng.uniform(-0.4, 0.4, (3, 3))
    other = dataclasses.replace(
        block, orientations=np.ascontiguousarray(cell @ near), orientation_weights=None, N=cells,
        shape=draw(st.sampled_from(SHAPES[:4])), fudge=draw(st.just(1.0) | logarithmic(0.05, 5)),
        shape_metric=np.diag(cells) @ skew @ skew.T @ np.diag(cells), weight=draw(logarithmic(1e-3, 10)),
        table=table,
    )  # fmt: skip
    return _block(draw, other)


def _panel(draw: st.DrawFn, panel: PlacedPanel, most: int) -> PlacedPanel:
    """The same plane closer to the sample, with other pixels and more of them, not all of them rendered."""
    closer = draw(st.just(1.0) | logarithmic(0.02, 1))
    f = draw(st.integers(1, min(EDGE, max(most, 1))))
    s = draw(st.integers(1, min(EDGE, max(most // f, 1))))
    fmin, smin = draw(st.integers(0, f - 1)), draw(st.integers(0, s - 1))
    roi, mask = (0, f - 1, 0, s - 1), None
    if draw(st.booleans()):
        roi = (fmin, draw(st.integers(fmin, f - 1)), smin, draw(st.integers(smin, s - 1)))
    if draw(st.integers(0, 2)) == 0:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        mask = (rng.random((s, f)) < draw(st.sampled_from([0.02, 0.5, 0.98]))).astype(np.uint8)
        mask[smin, fmin] = 1
    finer = draw(st.just(1.0) | logarithmic(0.01, 1))
    return dataclasses.replace(
        panel,
        pix0=panel.pix0 * closer, distance=panel.distance * closer,
        close_distance=panel.close_distance * closer,
        pixel=(panel.pixel[0] * finer, panel.pixel[1] * finer * draw(st.just(1.0) | logarithmic(0.3, 3))),
        first=(draw(st.integers(-40, 40)), draw(st.integers(-40, 40))),
        fpixels=f, spixels=s, roi=roi, mask=mask,
        layers=1 if panel.thickness == 0 else draw(st.integers(1, 3)),
    )  # fmt: skip


def _round(draw: st.DrawFn) -> Experiment:
    """Edges, angles and directions without a fraction: samples on reflections and half-way between them."""
    shape = draw(st.sampled_from(SHAPES))
    edge = draw(st.sampled_from([20.0, 50.0, 100.0]))
    n = draw(st.sampled_from([1, 2, 5, 20, 64]))
    pixels = draw(st.sampled_from([16, 33, 64]))
    small = StructureFactors(np.ones((5, 5, 5)), (-2, -2, -2), default_F=3)
    return Experiment(
        crystal=Crystal(
            cell=(edge, edge, edge, 90, 90, 90), N=n, shape=shape,
            mosaic_domains=draw(st.sampled_from([None, 4])),
            mosaic_spread_deg=draw(st.sampled_from([None, 1.0])),
            structure_factors=draw(st.sampled_from([StructureFactors.constant(10), small])),
        ),
        beam=Beam(wavelength_A=draw(st.sampled_from([1.0, 2.0]))),
        detector=Detector(
            distance_mm=draw(st.sampled_from([10.0, 100.0])), pixel_mm=draw(st.sampled_from([0.1, 1.0])),
            fpixels=pixels, spixels=pixels,
        ),
        sampling=Sampling(oversample=1),
        physics=draw(st.sampled_from(["nanobragg", "exact"])),
    )  # fmt: skip


@st.composite
def spot_scenes(draw: st.DrawFn) -> Scene:
    """Scenes of every kind, at most `MOST` samples: all shapes and sizes, near and far detectors."""
    round_numbers = draw(st.integers(0, 9)) == 0
    experiment = _round(draw) if round_numbers else draw(experiments())
    if not round_numbers:
        changed = _crystal(draw, experiment.crystal)
        experiment = dataclasses.replace(experiment, crystal=changed)
    scene: Scene = experiment.scene()
    tables, blocks = [_table(draw, scene.table)], [_block(draw, scene.crystal)]
    if draw(st.integers(0, 3)) == 0:
        tables.append(_table(draw, dataclasses.replace(scene.table, reach=math.inf)))
        blocks.append(_other(draw, scene.crystal, 1))
        turned = draw(st.sampled_from([1, -1]))
        blocks = blocks[::turned]
    sources = scene.sources
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        weight = rng.choice([0.0, 1e-3, 1.0, 3.0], len(sources)) + 1e-6
        sources = dataclasses.replace(sources, weight=weight / weight.mean())
    scene = dataclasses.replace(
        scene, tables=tuple(tables), crystals=tuple(blocks), sources=sources,
        oversample=draw(st.integers(1, STEPS)),
    )  # fmt: skip
    if not round_numbers:
        panels = draw(st.sampled_from([1, 1, 2]))
        most = MOST // (scene.samples_per_pixel * panels)
        scene = dataclasses.replace(
            scene, panels=tuple(_panel(draw, scene.panel, most) for _ in range(panels))
        )
    assume(scene.samples_per_pixel * scene.offsets[-1] <= 4 * MOST)
    return scene


@st.composite
def single_samples(draw: st.DrawFn) -> Scene:
    """One sample a pixel, so that each tells whether it counted: one source, one orientation, one layer."""
    loops: frozenset[str] = frozenset()
    detector = draw(detectors(loops))
    direction = (0.0, 0.0, 1.0) if detector.convention in ("xds", "dials", "adxv") else (1.0, 0.0, 0.0)
    assert detector.fpixels is not None and detector.spixels is not None
    experiment = Experiment(
        crystal=_crystal(draw, draw(crystals(loops))),
        beam=draw(beams(loops, direction)),
        detector=detector,
        sampling=draw(samplings(loops, detector.fpixels, detector.spixels)).replace(water_um=0.0),
        physics="exact",
    )
    scene: Scene = experiment.scene()
    panel = dataclasses.replace(_panel(draw, scene.panel, EDGE * EDGE), layers=1)
    table = _table(draw, scene.table)
    block = dataclasses.replace(_block(draw, scene.crystal), orientation_weights=None)
    return dataclasses.replace(scene, panels=(panel,), tables=(table,), crystals=(block,), oversample=1)


def plain(scene: Scene) -> Scene:
    """The same where every sample's F^2 L^2 is 1: an image of the other factors."""
    one = dataclasses.replace(
        scene.crystal, N=np.ones(3), shape="square", fudge=1.0, displacement=None, weight=1.0
    )
    table = dataclasses.replace(
        scene.table, values=None, origin=(0, 0, 0), default_F=1.0, interpolation="nearest", reach=math.inf
    )
    return dataclasses.replace(scene, crystals=(one,), tables=(table,))


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
    return build_scene(
        Crystal(**crystal | changes.pop("crystal", {})),
        Beam(wavelength_A=1.1, dispersion_pct=0.4, dispersion_steps=3, polarization=0.9),
        Detector(**detector | changes.pop("detector", {})),
        Sampling(**sampling | changes.pop("sampling", {})),
        physics=physics,
    )


def one_wavelength(scene: Scene) -> Scene:
    """The Scene of the first of its sources alone."""
    sources = scene.sources
    first = dataclasses.replace(
        sources, incident=sources.incident[:1], wavelength=sources.wavelength[:1], weight=np.ones(1),
        table=sources.table[:1],
    )  # fmt: skip
    return dataclasses.replace(scene, sources=first)

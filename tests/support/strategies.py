"""Random scenes for hypothesis, drawn through the public dataclasses.

Numbers come from ``generic``, a fine grid that avoids whole numbers, halves and right angles: a comparison to
1e-12 has no meaning on a tie (h exactly between two reflections) or at a jump (the rim of a top hat).
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from parts import build_scene

from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors
from nbragg.base.errors import NbraggWarning
from nbragg.scene.record import CrystalBlock, FactorTable, PlacedPanel, Scene

GRID = 1_000_003
CONVENTIONS = ("mosflm", "xds", "adxv", "denzo", "dials", "custom")
SHAPES = ("square", "round", "gauss", "tophat")


def generic(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers strictly between low and high, none of them round."""
    return st.integers(0, GRID).map(lambda i: low + (high - low) * (i + 1 / math.pi) / (GRID + 1))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None or a value."""
    return st.none() | strategy


@dataclass(frozen=True)
class Experiment:
    """The arguments of build_scene."""

    crystal: Crystal
    beam: Beam
    detector: Detector
    sampling: Sampling
    physics: str

    def scene(self) -> Any:
        """The Scene, without the warnings about what is ignored."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NbraggWarning)
            return build_scene(self.crystal, self.beam, self.detector, self.sampling, physics=self.physics)


@st.composite
def structure_factors(draw: st.DrawFn) -> StructureFactors:
    """One F for all, a full box, or a sparse list."""
    kind = draw(st.sampled_from(["constant", "box", "sparse", "wide box"]))
    default_F = draw(generic(0, 50))
    if kind == "constant":
        return StructureFactors.constant(default_F + 1)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "wide box":
        low, shape = [-25, -25, -25], [51, 51, 51]
    else:
        low = [draw(st.integers(-6, 0)) for _ in range(3)]
        shape = [draw(st.integers(1, 10)) for _ in range(3)]
    if kind == "sparse":
        index = np.stack([rng.integers(o, o + n, 30) for o, n in zip(low, shape, strict=True)])
        index = np.unique(index, axis=1)
        F = rng.uniform(1, 100, index.shape[1])
        return StructureFactors.from_reflections(*index, F, default_F=default_F)
    return StructureFactors(
        values=rng.uniform(1, 100, shape), origin=(low[0], low[1], low[2]), default_F=default_F
    )


@st.composite
def crystals(draw: st.DrawFn, loops: frozenset[str]) -> Crystal:
    """Crystals of 1 to 9 orientations."""
    shape = draw(st.sampled_from(SHAPES))
    most = 8 if shape in ("square", "round") else 4
    kw: dict[str, Any] = {}
    if draw(st.booleans()):
        angles = tuple(draw(generic(75, 105)) for _ in range(3))
        kw["cell"] = (*(draw(generic(18, 55)) for _ in range(3)), *angles)
    else:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        rotation *= np.linalg.det(rotation)
        stretch = np.diag(1 / rng.uniform(18, 55, 3)) + rng.uniform(-2e-3, 2e-3, (3, 3))
        kw["a_matrix"] = rotation @ stretch
    if draw(st.booleans()):
        kw["misset_deg"] = tuple(draw(generic(-180, 180)) for _ in range(3))
    elif draw(st.booleans()):
        kw["misset_deg"], kw["misset_seed"] = "random", draw(st.integers(1, 10**6))
    if "mosaic" in loops:
        kw["mosaic_spread_deg"], kw["mosaic_domains"] = draw(generic(0.1, 5)), draw(st.integers(2, 3))
        kw["mosaic_seed"] = draw(st.integers(1, 10**6))
    kw["phi_deg"] = draw(st.just(0.0) | generic(-180, 180))
    if "phi" in loops:
        kw["osc_deg"], kw["phisteps"] = draw(generic(0.1, 30)), draw(st.integers(2, 3))
    return Crystal(
        N=tuple(draw(st.integers(1, most)) for _ in range(3)),
        shape=shape,
        fudge=draw(st.just(1.0) | generic(0.5, 2)),
        structure_factors=draw(structure_factors()),
        **kw,
    )


@st.composite
def beams(draw: st.DrawFn, loops: frozenset[str], direction: tuple[float, float, float]) -> Beam:
    """Beams of 1 to 27 sources about a direction of travel."""
    kw: dict[str, Any] = {}
    wavelength = draw(generic(0.9, 3))
    if "list" in loops:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        n = draw(st.integers(1, 3))
        kw["sources"] = SourceList(
            positions=rng.uniform(0.5, 10) * (rng.uniform(-0.2, 0.2, (n, 3)) - np.array(direction)),
            weights=rng.uniform(0.2, 3, n),
            wavelengths_A=wavelength * rng.uniform(0.95, 1.05, n),
        )
    else:
        if "dispersion" in loops:
            kw["dispersion_pct"], kw["dispersion_steps"] = draw(generic(0.5, 10)), draw(st.integers(2, 3))
        if "divergence" in loops:
            kw["hdivrange_mrad"], kw["hdivsteps"] = draw(generic(1, 40)), draw(st.integers(2, 3))
            kw["vdivrange_mrad"], kw["vdivsteps"] = draw(generic(1, 40)), draw(st.integers(1, 3))
        kw["round_div"] = draw(st.booleans())
    if draw(st.booleans()):
        kw["fluence"] = draw(generic(1e28, 1e30))
    return Beam(
        wavelength_A=wavelength,
        polarization=draw(st.just(0.0) | generic(-1, 1) | st.sampled_from([-1.0, 1.0])),
        nopolar=draw(st.integers(0, 4)) == 0,
        **kw,
    )


@st.composite
def detectors(draw: st.DrawFn, loops: frozenset[str]) -> Detector:
    """Small detectors, from head-on to strongly tilted."""
    kw: dict[str, Any] = {}
    convention = draw(st.sampled_from(CONVENTIONS))
    fpixels, spixels = draw(st.integers(4, 12)), draw(st.integers(5, 9))
    if draw(st.integers(0, 7)) == 0:  # more than the engine takes at once, in every loop it has
        fpixels, spixels = draw(st.integers(30, 45)), draw(st.integers(20, 40))
    pixel = draw(generic(0.2, 4))
    if draw(st.booleans()):
        kw["rotx_deg"], kw["roty_deg"], kw["rotz_deg"] = (draw(generic(-20, 20)) for _ in range(3))
    if draw(st.booleans()):
        kw["twotheta_deg"] = draw(generic(-30, 30))
    if draw(st.booleans()):
        kw["Xbeam_mm"] = draw(generic(0, fpixels * pixel))
        kw["Ybeam_mm"] = draw(generic(0, spixels * pixel))
    elif draw(st.booleans()):
        kw["ORGX"], kw["ORGY"] = draw(generic(-2, fpixels)), draw(generic(-2, spixels))
    if draw(st.booleans()):
        kw["distance_mm"] = draw(generic(20, 80))
    else:
        kw["close_distance_mm"] = draw(generic(20, 80))
    if convention == "custom":
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        f, s = (
            np.array([0, 0, 1]) + rng.uniform(-0.2, 0.2, 3),
            np.array([0, -1, 0]) + rng.uniform(-0.2, 0.2, 3),
        )
        f /= np.linalg.norm(f)
        s -= f * (f @ s)
        s /= np.linalg.norm(s)
        o = np.cross(f, s)
        kw |= {"fdet_vector": tuple(f), "sdet_vector": tuple(s), "odet_vector": tuple(o)}
        kw["pivot"] = draw(st.sampled_from([None, "beam", "sample"]))
    if "layers" in loops:
        kw["thickness_um"], kw["thicksteps"] = draw(generic(50, 2000)), draw(st.integers(2, 3))
        kw["attenuation_um"] = draw(st.sampled_from([None, math.inf]) | generic(100, 1000))
    if draw(st.integers(0, 3)) == 0:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        mask = rng.random((spixels, fpixels)) < 0.7
        mask[spixels // 2, fpixels // 2] = True
        kw["mask"] = mask
    return Detector(
        convention=convention,
        fpixels=fpixels,
        spixels=spixels,
        pixel_mm=pixel,
        curved=draw(st.integers(0, 3)) == 0,
        point_pixel=draw(st.integers(0, 3)) == 0,
        **kw,
    )


@st.composite
def samplings(draw: st.DrawFn, loops: frozenset[str], fpixels: int, spixels: int) -> Sampling:
    """Sub-pixels, flags, region, resolution limit, interpolation and water."""
    roi = None
    if draw(st.booleans()):
        xmin, ymin = draw(st.integers(0, fpixels - 1)), draw(st.integers(0, spixels - 1))
        roi = (xmin, draw(st.integers(xmin, fpixels - 1)), ymin, draw(st.integers(ymin, spixels - 1)))
    return Sampling(
        oversample=draw(st.integers(2, 3)) if "subpixels" in loops else 1,
        oversample_thick=draw(st.booleans()),
        oversample_polar=draw(st.booleans()),
        oversample_omega=draw(st.booleans()),
        roi=roi,
        dmin_A=draw(maybe(generic(1, 8))),
        interpolate=draw(st.sampled_from([None, True, False])),
        water_um=draw(st.just(0.0) | generic(1e-4, 0.02)),
    )


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Everything, in either physics; at most four of the loops are longer than one step."""
    names = ("layers", "subpixels", "list", "dispersion", "divergence", "phi", "mosaic")
    loops = draw(st.frozensets(st.sampled_from(names), max_size=4))
    detector = draw(detectors(loops))
    assert detector.fpixels is not None and detector.spixels is not None
    direction = (0.0, 0.0, 1.0) if detector.convention in ("xds", "dials", "adxv") else (1.0, 0.0, 0.0)
    return Experiment(
        crystal=draw(crystals(loops)),
        beam=draw(beams(loops, direction)),
        detector=detector,
        sampling=draw(samplings(loops, detector.fpixels, detector.spixels)),
        physics=draw(st.sampled_from(["nanobragg", "exact"])),
    )


def _other_table(draw: st.DrawFn, table: FactorTable) -> FactorTable:
    """Other numbers of the same kind: tables of one crystal agree in that."""
    if table.values is None:
        return dataclasses.replace(table, default_F=draw(generic(1, 50)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(n + draw(st.integers(0, 2)) for n in table.values.shape)
    return dataclasses.replace(table, values=rng.uniform(1, 100, shape), reach=math.inf)


def _other_panel(draw: st.DrawFn, panel: PlacedPanel, alike: bool) -> PlacedPanel:
    """A part of the same plane, or another plane; of other size, with a roi and perhaps a mask."""
    fpixels, spixels = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    fmin, smin = draw(st.integers(0, fpixels - 1)), draw(st.integers(0, spixels - 1))
    mask = None
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        mask = (rng.random((spixels, fpixels)) < 0.7).astype(np.uint8)
        mask[smin, fmin] = 1
    return dataclasses.replace(
        panel,
        first=(draw(st.integers(-9, 20)), draw(st.integers(-9, 20))),
        pixel=(panel.pixel[0] * draw(generic(0.5, 1.5)), panel.pixel[1]),
        fpixels=fpixels,
        spixels=spixels,
        roi=(fmin, draw(st.integers(fmin, fpixels - 1)), smin, draw(st.integers(smin, spixels - 1))),
        mask=mask,
        point_pixel=panel.point_pixel if alike else draw(st.booleans()),
        layers=1 if panel.thickness == 0 else draw(st.integers(1, 3)),
    )


def _other_crystal(draw: st.DrawFn, crystal: CrystalBlock, table: int) -> CrystalBlock:
    """Another lattice of other orientations, each with its weight."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 4))
    cells = crystal.orientations[:1] * (1 + rng.uniform(-0.1, 0.1, (count, 3, 3)))
    shape = draw(st.sampled_from(["square", "round"]))
    return dataclasses.replace(
        crystal,
        orientations=cells,
        orientation_weights=draw(st.sampled_from([None, rng.uniform(0.1, 3, count)])),
        N=rng.integers(1, 6, 3).astype(float),
        shape=shape,
        shape_metric=np.diag(rng.uniform(1, 25, 3)) + rng.uniform(-0.3, 0.3, (3, 3)),
        weight=draw(generic(0.1, 2)),
        table=table,
    )


@st.composite
def several(draw: st.DrawFn, alike: bool = False) -> Scene:
    """A Scene of two panels, two crystals with two tables each, weights, and sources that name either table.

    It is made of one that `experiments` draws; what is put in keeps to what the engine demands, no more.
    alike: no panel outshines the other by having point pixels, whose photons are not multiplied with an area:
    errors of mixed precision are fractions of a pixel that is in a spot, as the brightest has to be.
    """
    scene: Scene = draw(experiments()).scene()
    (panel,), (crystal,), (table,) = scene.panels, scene.crystals, scene.tables
    weights = np.array([draw(generic(0.1, 3)) for _ in crystal.orientations])
    first = dataclasses.replace(crystal, orientation_weights=draw(st.sampled_from([None, weights])))
    tables = [table, _other_table(draw, table)]
    nearest = dataclasses.replace(table, interpolation="nearest", reach=math.inf)
    tables += [draw(st.sampled_from([table, nearest]))]
    tables += [_other_table(draw, tables[2])]
    names = np.array([draw(st.integers(0, 1)) for _ in scene.sources.wavelength], np.int64)
    names[-1] = 1
    panels = [panel, _other_panel(draw, panel, alike)]
    crystals = [first, _other_crystal(draw, crystal, 2)]
    changed: Scene = dataclasses.replace(
        scene,
        panels=tuple(panels[:: draw(st.sampled_from([1, -1]))]),
        crystals=tuple(crystals[:: draw(st.sampled_from([1, -1]))]),
        tables=tuple(tables),
        sources=dataclasses.replace(scene.sources, table=names),
    )
    return changed

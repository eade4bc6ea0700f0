"""Samples beyond the reflection list's reach are skipped: provably without a change to the image."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import parts
import pytest

import nbragg
from nbragg import _engine
from nbragg.engine.cpu import render_double
from nbragg.model.physics import PHYSICS
from nbragg.scene.crystal_cell import unturned_cell
from nbragg.scene.reach import structure_factor_reach

CELL = (41.0, 47.0, 53.0, 81.0, 97.0, 105.0)


def short_list(default_F: float = 0.0) -> nbragg.StructureFactors:
    """All reflections to index 3, with holes of value 0."""
    rng = np.random.default_rng(5)
    index = np.arange(-3, 4)
    h, k, l = (axis.ravel() for axis in np.meshgrid(index, index, index, indexing="ij"))  # noqa: E741
    amplitudes = rng.uniform(10, 500, h.size) * (rng.random(h.size) > 0.3)
    return nbragg.StructureFactors.from_reflections(h, k, l, amplitudes, default_F=default_F)


def scene(default_F: float = 0.0, shape: str = "square") -> nbragg.Scene:
    made = nbragg.Crystal(
        cell=CELL,
        N=(4, 5, 6),
        misset_deg=(10, 20, 30),
        mosaic_spread_deg=2.0,
        mosaic_domains=7,
        structure_factors=short_list(default_F),
        shape=shape,
    )
    detector = nbragg.Detector(
        distance_mm=40, pixel_mm=0.5, fpixels=150, spixels=140, Xbeam_mm=20, Ybeam_mm=50
    )
    beam = nbragg.Beam(wavelength_A=1.1, dispersion_pct=3.0, dispersion_steps=2, polarization=0.9)
    return parts.build_scene(made, beam, detector, nbragg.Sampling(oversample=1))


def boundless(s: nbragg.Scene) -> nbragg.Scene:
    """The same without a limit that renderers could use."""
    return dataclasses.replace(s, tables=(dataclasses.replace(s.table, reach=math.inf),))


@pytest.mark.parametrize("shape", ["square", "round", "gauss", "tophat"])
@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_image_is_the_same_bit_for_bit(shape: str, precision: str) -> None:
    near = scene(shape=shape)
    assert math.isfinite(near.table.reach)
    unlimited = boundless(near)
    a = nbragg.render(near, precision=precision).image
    b = nbragg.render(unlimited, precision=precision).image
    assert np.array_equal(a, b)
    assert (a == 0).mean() > 0.3  # a large part of this detector is beyond reach


def test_reach_is_that_of_the_farthest_reflection_with_a_value() -> None:
    s = scene()
    table, origin = s.table.values, s.table.origin
    assert table is not None
    reciprocal = np.linalg.inv(s.placement.crystal.unit_cell.vectors)
    index = np.argwhere(table != 0) + np.asarray(origin)
    farthest = np.linalg.norm(index @ reciprocal.T, axis=1).max()
    half_edges = 0.5 * np.linalg.norm(reciprocal, axis=0).sum()
    assert s.table.reach * 1e-10 == pytest.approx(farthest + half_edges, rel=1e-8)


def test_no_limit_where_something_scatters_everywhere() -> None:
    assert math.isinf(scene(default_F=1.0).table.reach)
    constant = nbragg.StructureFactors.constant(100.0)
    assert math.isinf(structure_factor_reach(constant, scene().placement.crystal.unit_cell))


def test_water_is_there_beyond_the_reach() -> None:
    s = dataclasses.replace(scene(), water=1e-5)
    assert math.isfinite(s.table.reach)
    image = render_double(s)
    assert (image > 0).all()
    assert np.array_equal(image, render_double(boundless(s)))


def test_an_empty_table_reaches_nothing() -> None:
    zero = nbragg.StructureFactors.from_reflections([1], [0], [0], [0.0])
    cell = scene().placement.crystal.unit_cell
    half_edges = 0.5 * np.linalg.norm(np.linalg.inv(cell.vectors), axis=0).sum()
    assert structure_factor_reach(zero, cell) * 1e-10 == pytest.approx(half_edges, rel=1e-8)


@pytest.mark.parametrize(
    "cell",
    [
        (50, 50, 50, 90, 90, 90),
        (50, 50, 30, 90, 90, 120),
        (30, 40, 50, 65, 100, 115),
        (90, 12, 40, 91, 100, 75),
    ],
)
def test_the_farthest_of_the_whole_list(cell: tuple[float, ...]) -> None:
    """To the last bit that of a look at every reflection, whatever is 0 and wherever the box begins."""
    rng = np.random.default_rng(3)
    placed = unturned_cell(cell, None, PHYSICS["exact"])  # type: ignore[arg-type]
    reciprocal = np.linalg.inv(placed.vectors)
    g = reciprocal.T @ reciprocal
    metric = np.array([g[0, 0], g[1, 1], g[2, 2], g[0, 1], g[0, 2], g[1, 2]])
    for _ in range(60):
        shape, origin = rng.integers(1, 12, 3), rng.integers(-9, 5, 3).tolist()
        values = rng.uniform(1, 9, shape) * (rng.random(shape) < rng.choice([0.0, 0.05, 0.5, 1.0]))
        whole = _engine.table_reach(values, origin, metric)
        expected = 1e10 * (whole + 0.5 * float(np.sqrt(np.diag(g)).sum())) * (1 + 1e-9)
        assert structure_factor_reach(nbragg.StructureFactors(values, origin), placed) == expected

"""Mosaic sets, strain, tensors of cells, Gaussians in reciprocal space, twins: images and slopes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import crystal_oracle as c
import numpy as np
import oracle
import pytest

import nbragg
from nbragg import Crystal, Detector, Sample, Sampling, Setup, StructureFactors
from nbragg.base.rotations import vector_rotation
from nbragg.engine.cpu import render_double

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

STEP = 1e-60
CELL = (41.0, 46.0, 53.0, 83.0, 97.0, 104.0)
TURN = (0.31, -0.22, 0.4)
LIST = StructureFactors.from_reflections(
    *np.mgrid[-9:10, -9:10, -9:10].reshape(3, -1),
    np.random.default_rng(5).uniform(20, 90, 19**3),
)
DETECTOR = Detector(fpixels=14, spixels=11, pixel_mm=0.4, distance_mm=60, Xbeam_mm=-1.1, Ybeam_mm=2.3)
TWIN = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
#: radians of two steps of 0.4 degrees from 3
PHIS = tuple(math.radians(3 + 0.4 * (i + 0.5)) for i in range(2))


def crystal(**fields: Any) -> Crystal:
    given = {"cell": CELL, "orientation": vector_rotation(TURN), "N": (5, 6, 7), "shape": "gauss"}
    given |= {"phi_deg": 3, "osc_deg": 0.8, "phisteps": 2, "spindle_axis": (0, 0, 1)}
    return Crystal(structure_factors=LIST, **(given | fields))


def both(fields: dict[str, Any], numbers: dict[str, Any]) -> tuple[Setup, c.Parameters]:
    setup = Setup(crystal(**fields), detector=DETECTOR, sampling=Sampling(oversample=1))
    given: dict[str, Any] = {
        "cell": np.array(CELL),
        "turn": np.array(TURN),
        "phis": PHIS,
        "spindle": (0.0, 0.0, 1.0),
    }
    return setup, c.Parameters(**(given | numbers))


#: what a crystal is given, and the same for the oracle
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one": ({"mosaic_spread_deg": 1.2, "mosaic_domains": 5}, {"spread_deg": (1.2,), "domains": 5}),
    "three": (
        {"mosaic_spread_deg": (0.6, 1.1, 1.7), "mosaic_domains": 6},
        {"spread_deg": (0.6, 1.1, 1.7), "domains": 6},
    ),
    "stars": (
        {"mosaic_spread_deg": (0.6, 1.1, 1.7), "mosaic_domains": 6, "mosaic_axes": "a*"},
        {"spread_deg": (0.6, 1.1, 1.7), "domains": 6, "axes": "a*"},
    ),
    "laboratory": (
        {"mosaic_spread_deg": (0.6, 1.1, 1.7), "mosaic_domains": 6, "mosaic_axes": "laboratory"},
        {"spread_deg": (0.6, 1.1, 1.7), "domains": 6, "axes": "laboratory"},
    ),
    "covariance": (
        {"mosaic_spread_deg": (0.7, 1.3, 2.2, 0.2, -0.3, 0.5), "mosaic_domains": 6},
        {"spread_deg": (0.7, 1.3, 2.2, 0.2, -0.3, 0.5), "domains": 6},
    ),
    "weights": (
        {"mosaic_spread_deg": 1.2, "mosaic_domains": 4, "mosaic_weights": (1, 2, 0.5, 3)},
        {"spread_deg": (1.2,), "domains": 4, "weights": (1, 2, 0.5, 3)},
    ),
    "strain": (
        {"cell_spread": 0.01, "mosaic_domains": 6},
        {"strain": (0.01,), "domains": 6},
    ),
    "edges": (
        {"cell_spread": (0.01, 0.02, 0.005), "mosaic_domains": 8, "mosaic_spread_deg": 0.9},
        {"strain": (0.01, 0.02, 0.005), "domains": 8, "spread_deg": (0.9,)},
    ),
    "tensor of strain": (
        {"cell_spread": (0.01, 0.02, 0.005, 0.004, 0.003, 0.006), "mosaic_domains": 11},
        {"strain": (0.01, 0.02, 0.005, 0.004, 0.003, 0.006), "domains": 11},
    ),
    "tensor": (
        {"N": (5, 6, 7), "Ndef": (0.5, -0.7, 0.3), "normalise_shape": True},
        {"Ndef": (0.5, -0.7, 0.3), "normalise": True},
    ),
    "star": (
        {"shape": "gauss_star", "no_N_scale": True, "fudge": 1.197},
        {"shape": "gauss_star", "no_N_scale": True, "fudge": 1.197},
    ),
    "twin": (
        {"twin": [("-h,-k,l", 0.3), (np.array(((0, 1, 0), (1, 0, 0), (0, 0, -1))), 0.25)], "shape": "square"},
        {"twin": ((TWIN, 0.3), (((0, 1, 0), (1, 0, 0), (0, 0, -1)), 0.25)), "shape": "square"},
    ),
}

#: parameter, and the oracle's number: field and index
SLOPES: dict[str, list[tuple[str, str, Any]]] = {
    "one": [("crystal.mosaic_spread_deg", "spread_deg", (0,)), ("crystal.cell.a", "cell", (0,))],
    "three": [(f"crystal.mosaic_spread_deg[{i}]", "spread_deg", (i,)) for i in range(3)]
    + [("crystal.cell.c", "cell", (2,)), ("crystal.cell.beta", "cell", (4,))],
    "stars": [("crystal.mosaic_spread_deg[1]", "spread_deg", (1,)), ("crystal.cell.alpha", "cell", (3,))],
    "laboratory": [("crystal.mosaic_spread_deg[2]", "spread_deg", (2,))],
    "covariance": [(f"crystal.mosaic_spread_deg[{i}]", "spread_deg", (i,)) for i in (0, 3, 5)],
    "weights": [(f"crystal.mosaic_weights[{i}]", "weights", (i,)) for i in (0, 3)],
    "strain": [("crystal.cell_spread", "strain", (0,)), ("crystal.cell.b", "cell", (1,))],
    "edges": [("crystal.cell_spread[1]", "strain", (1,)), ("crystal.mosaic_spread_deg", "spread_deg", (0,))],
    "tensor of strain": [("crystal.cell_spread[4]", "strain", (4,)), ("crystal.cell.a", "cell", (0,))],
    "tensor": [("crystal.N[1]", "N", (1,)), *((f"crystal.Ndef[{i}]", "Ndef", (i,)) for i in range(3))],
    "star": [
        ("crystal.N[2]", "N", (2,)),
        ("crystal.fudge", "fudge", ()),
        ("crystal.cell.gamma", "cell", (5,)),
    ],
    "twin": [
        ("crystal.twin[0]", "twin", (0,)),
        ("crystal.twin[1]", "twin", (1,)),
        ("crystal.N[0]", "N", (0,)),
    ],
}


def moved(numbers: c.Parameters, field: str, index: tuple[int, ...]) -> c.Parameters:
    value = getattr(numbers, field)
    if field == "twin":
        twins = [(law, share + (1j * STEP if i == index[0] else 0)) for i, (law, share) in enumerate(value)]
        return dataclasses.replace(numbers, twin=tuple(twins))
    stepped = np.asarray(value, complex)
    stepped[index] += 1j * STEP
    change: dict[str, Any] = {field: stepped if index else complex(stepped)}
    return dataclasses.replace(numbers, **change)


@pytest.mark.parametrize("case", CASES)
def test_image_by_the_oracle(case: str) -> None:
    setup, numbers = both(*CASES[case])
    scene = nbragg.build_scene(setup)
    expected = oracle.render(c.scene_with(scene, c.blocks(numbers)))
    found = render_double(scene)
    assert expected.max() > 0
    assert np.abs(found - expected).max() <= 1e-11 * expected.max()


@pytest.mark.parametrize("case", SLOPES)
def test_slopes_by_the_oracle(case: str) -> None:
    setup, numbers = both(*CASES[case])
    scene = nbragg.build_scene(setup)
    names = [name for name, _, _ in SLOPES[case]]
    rows = nbragg.Simulator(setup).linearize(names).jacobian()
    for (name, field, index), row in zip(SLOPES[case], rows, strict=True):
        expected = oracle.render(c.scene_with(scene, c.blocks(moved(numbers, field, index)))).imag / STEP
        size = float(np.abs(expected).max())
        assert size > 0, name
        assert np.abs(row - expected).max() <= 1e-9 * size, name


def test_weights_of_a_sample() -> None:
    """Lattices of several crystals: the slope by a weight is that crystal's image."""
    one, other = crystal(), crystal(orientation=vector_rotation((0.1, 0.5, -0.2)))
    setup = Setup(Sample([one, other], weights=[1, 0.4]), detector=DETECTOR, sampling=Sampling(oversample=1))
    rows = nbragg.Simulator(setup).linearize(["sample.weights[0]", "sample.weights[1]"]).jacobian()
    for row, alone in zip(rows, (one, other), strict=True):
        image = render_double(nbragg.build_scene(setup.replace(sample=Sample([alone]))))
        assert np.abs(row - image).max() <= 1e-12 * image.max()

"""The engine's derivatives against the oracle's: random scenes of every kind, tangents of every field."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from derivatives import Image, plain, product
from gradient_parts import TOLERANCE, Truth, gradient, jacobian
from hypothesis import given, settings
from hypothesis import strategies as st
from tangent_strategies import frames, moving_scenes

from nbragg.engine import cpu
from nbragg.scene.record import Scene
from nbragg.scene.tangent import SceneTangent

pytestmark = [
    pytest.mark.slow,  # the sanitizers have test_every_field and test_golden_grad
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
]

Case = tuple[Scene, list[SceneTangent]]


def images(rng: np.random.Generator, scene: Scene) -> tuple[Image, Image, Image]:
    """A cotangent, a residual, weights."""
    shape = scene.image_shape
    return rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape), rng.uniform(0.1, 1, shape)


@settings(max_examples=30)
@given(moving_scenes(), st.integers(0, 2**32 - 1))
def test_everything_that_is_asked_of_a_gradient(case: Case, seed: int) -> None:
    """Image, J v of one and of several v, J^T u, J, and the normal equations, within 1e-9."""
    scene, tangents = case
    rng = np.random.default_rng(seed)
    u, r, w = images(rng, scene)
    truth = Truth(scene, tangents, frames(scene))
    found = gradient(scene, tangents, frames(scene))
    assert np.array_equal(found.image, cpu.render_double(scene))
    directions = rng.uniform(-1, 1, (len(tangents), 3))
    for one, v in zip(found.jvp(directions), directions.T, strict=True):
        truth.assert_jvp(one, v, TOLERANCE["double"])
    truth.assert_vjp(found.vjp(u), u, TOLERANCE["double"])
    for row, unit in zip(jacobian(found, len(tangents)), np.eye(len(tangents)), strict=True):
        truth.assert_jvp(row, unit, TOLERANCE["double"])
    truth.assert_gauss_newton(found.gauss_newton(r, w), r, w, TOLERANCE["double"])


@settings(max_examples=30)
@given(moving_scenes(most=4), st.integers(0, 2**32 - 1))
def test_the_cotangent_of_every_field(case: Case, seed: int) -> None:
    """Its product with a tangent is the cotangent's product with the derivative image."""
    scene, tangents = case
    u, _, _ = images(np.random.default_rng(seed), scene)
    truth = Truth(scene, tangents, frames(scene))
    found = gradient(scene, [], frames(scene)).scene_vjp(u)
    for tangent, row in zip(tangents, truth.rows, strict=True):
        got = product(found, plain(tangent, scene, frames(scene)))
        truth.assert_product(got, row, u, TOLERANCE["double"])


@settings(max_examples=15)
@given(moving_scenes(most=9), st.integers(0, 2**32 - 1))
def test_all_ways_to_the_same_derivatives_agree(case: Case, seed: int) -> None:
    """u . (J v) and v . (J^T u) within 1e-10; the rest within what the order of summation leaves."""
    scene, tangents = case
    rng = np.random.default_rng(seed)
    u, r, w = images(rng, scene)
    v = rng.uniform(-1, 1, len(tangents))
    found = gradient(scene, tangents, frames(scene))
    J = jacobian(found, len(tangents))
    least = 1e-4 * np.abs(found.image).max()
    each = np.maximum(np.abs(J).reshape(len(J), -1).max(axis=1), least)
    scale = float(np.abs(v) @ each) * float(np.abs(u).sum())
    there = float((u * found.jvp(v[:, None])[0]).sum())
    back = found.vjp(u)
    assert abs(there - float(v @ back)) <= 1e-10 * scale
    assert (np.abs(back - np.tensordot(J, u, u.ndim)) <= 1e-10 * each * np.abs(u).sum()).all()
    for row, one, size in zip(J, found.jvp(np.eye(len(J))), each, strict=True):
        assert np.abs(row - one).max() <= 1e-11 * size
    flat = J.reshape(len(J), -1)
    H, b = found.gauss_newton(r, w)
    assert (np.abs(H - (flat * w.reshape(-1)) @ flat.T) <= 1e-11 * np.outer(each, each) * w.sum()).all()
    assert (np.abs(b - flat @ (w * r).reshape(-1)) <= 1e-11 * each * w.sum()).all()


@settings(max_examples=20)
@given(moving_scenes(most=4), st.integers(0, 2**32 - 1))
def test_mixed_precision(case: Case, seed: int) -> None:
    """Within 1e-5 of the largest derivative of the detector without region and mask."""
    scene, tangents = case
    scene = dataclasses.replace(
        scene,
        panels=tuple(
            dataclasses.replace(panel, roi=(0, panel.fpixels - 1, 0, panel.spixels - 1), mask=None)
            for panel in scene.panels
        ),
    )
    u, r, w = images(np.random.default_rng(seed), scene)
    truth = Truth(scene, tangents, frames(scene), "mixed")
    found = gradient(scene, tangents, frames(scene), precision="mixed")
    for row, unit in zip(jacobian(found, len(tangents)), np.eye(len(tangents)), strict=True):
        truth.assert_jvp(row, unit, TOLERANCE["mixed"])
    truth.assert_vjp(found.vjp(u), u, TOLERANCE["mixed"])
    truth.assert_gauss_newton(found.gauss_newton(r, w), r, w, TOLERANCE["mixed"])


def shapes(record: Any) -> dict[str, Any]:
    """Shape of every field that is an array or a number."""
    return {
        field.name: np.shape(getattr(record, field.name))
        for field in dataclasses.fields(record)
        if field.name
        not in (
            "panels",
            "crystals",
            "tables",
            "cell",
            "turn",
            "entries",
            "backdrop",
            "displacement",
            "diffuse",
        )
    }


@settings(max_examples=10)
@given(moving_scenes(most=1))
def test_a_cotangent_has_every_field(case: Case) -> None:
    """Of the Scene's shapes; what the incident vectors' lengths would do is left out."""
    scene, _ = case
    found = gradient(scene, [], frames(scene)).scene_vjp(np.ones(scene.image_shape))
    for panel in found.panels:
        assert panel is not None
        vectors = dict.fromkeys(("pix0", "fdet", "sdet", "odet", "beam"), (3,))
        numbers = dict.fromkeys(("layer_step", "mu", "close_distance", "distance"), ())
        assert shapes(panel) == {**vectors, "pixel": (2,), **numbers}
    for crystal, ours in zip(found.crystals, scene.crystals, strict=True):
        assert crystal is not None and crystal.cell is None and crystal.turn is None
        n = len(ours.orientations)
        assert shapes(crystal) == {
            "orientations": (n, 3, 3), "orientation_weights": (n,), "N": (3,), "shape_metric": (3, 3),
            "fudge": (), "weight": (),
        }  # fmt: skip
    for table, theirs in zip(found.tables, scene.tables, strict=True):
        assert table is not None
        assert (table.values is None) == (theirs.values is None)
        if table.values is not None and theirs.values is not None:
            assert table.values.shape == theirs.values.shape
    i = scene.sources.incident
    assert found.source_incident is not None and found.source_incident.shape == i.shape
    along = np.abs(np.sum(found.source_incident * i, axis=1))
    assert (along <= 1e-12 * np.abs(found.source_incident).max()).all()
    assert found.backdrop is None  # a part of tangents alone, whose rates have tests of their own
    own = {name: shape for name, shape in shapes(found).items() if name != "source_incident"}
    n = len(scene.sources)
    assert own == {
        "source_wavelength": (n,), "source_weight": (n,), "polar_vector": (3,), "polarization": (),
        "fluence": (), "water": (),
    }  # fmt: skip
    assert all(np.isfinite(getattr(found, name)) for name in ("polarization", "fluence", "water"))


def test_the_parts_of_a_tangent_are_all_fields() -> None:
    """What the tests above draw from."""
    from derivatives import CRYSTAL_FIELDS, PANEL_FIELDS, SCENE_FIELDS, SOURCE_FIELDS, TABLE_FIELDS

    from nbragg.scene.tangent import CrystalTangent, PanelTangent, TableTangent

    def names(kind: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    assert names(PanelTangent) == set(PANEL_FIELDS)
    # how atoms move is a part of tangents alone, and has tests of its own
    assert names(CrystalTangent) == {*CRYSTAL_FIELDS, "cell", "turn", "displacement"}
    assert names(TableTangent) == {*TABLE_FIELDS, "entries"}
    sources = {f"source_{name}" for name in SOURCE_FIELDS}
    assert names(SceneTangent) == {
        *SCENE_FIELDS, *sources, "panels", "crystals", "tables", "backdrop", "diffuse",
    }  # fmt: skip

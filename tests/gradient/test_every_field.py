"""Every continuous field of a Scene by itself, in scenes where all of them matter."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from derivatives import near_choice, plain, product
from gradient_parts import TOLERANCE, Truth, gradient, jacobian
from parts import build_scene
from tangent_strategies import frames, parts

from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors
from nbragg.scene.record import Scene
from nbragg.scene.tangent import SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")


def rich_scene(
    *, shape: str = "square", physics: str = "exact", N: tuple[float, ...] = (3, 5.3, 4), **options: Any
) -> Scene:
    """A thick tilted panel, two sources, two orientations, water; 6 x 5 pixels."""
    rng = np.random.default_rng(11)
    reach = options.get("box", 9)
    factors = StructureFactors(
        values=rng.uniform(1, 100, (2 * reach, 2 * reach + 1, 2 * reach + 2)), origin=(-reach,) * 3,
        default_F=31.0,
    )  # fmt: skip
    fudge = 0.02 if shape == "gauss" and physics == "nanobragg" else 0.9
    crystal = Crystal(
        cell=(23.1, 31.7, 27.9, 81.2, 97.3, 84.1), N=(3, 5, 4), misset_deg=(12.3, 45.6, 78.9), fudge=fudge,
        mosaic_spread_deg=1.0, mosaic_domains=2, shape=shape, structure_factors=factors,
    )  # fmt: skip
    sources = SourceList(
        positions=np.array([[-1, 0, 0], [-1, 0.01, 0.02]]), wavelengths_A=[1.7, 1.75], weights=[0.7, 1.3]
    )
    detector = Detector(
        distance_mm=41.3, pixel_mm=2.7, fpixels=6, spixels=5, rotx_deg=7.1, roty_deg=-3.9, thickness_um=900.0,
        attenuation_um=550.0, thicksteps=2, curved=options.get("curved", False),
    )  # fmt: skip
    sampling = Sampling(
        oversample=options.get("oversample", 1),
        water_um=0.02,
        interpolate=options.get("interpolate", False),
        dmin_A=options.get("dmin"),
        **options.get("flags", {}),
    )
    scene: Scene = build_scene(
        crystal, Beam(sources=sources, polarization=0.83), detector, sampling, physics=physics
    )
    block = dataclasses.replace(
        scene.crystal, N=np.array(N, float), orientation_weights=np.array([0.4, 1.9]), weight=1.3
    )
    return dataclasses.replace(scene, crystals=(block,))


def of_two_crystals() -> Scene:
    """Two crystals with a table for each energy, two panels, one of point pixels and rectangular."""
    scene = rich_scene()
    rng = np.random.default_rng(4)
    other = dataclasses.replace(
        scene.crystal, orientations=scene.crystal.orientations[::-1] * 1.07, shape="round", table=2,
        orientation_weights=None, weight=0.6, shape_metric=np.diag([9.0, 20.0, 16.0]) + 0.7,
    )  # fmt: skip
    table = scene.table
    assert table.values is not None
    tables = [
        dataclasses.replace(table, values=rng.uniform(1, 100, table.values.shape), reach=np.inf)
        for _ in range(4)
    ]
    moved = dataclasses.replace(scene.panel, pix0=scene.panel.pix0 + 0.003, point_pixel=True, layers=1)
    wide = dataclasses.replace(scene.panel, pixel=(0.0021, 0.0029), first=(2, -3))
    return dataclasses.replace(
        scene, crystals=(scene.crystal, other), tables=tuple(tables), panels=(wide, moved),
        sources=dataclasses.replace(scene.sources, table=np.array([0, 1])),
    )  # fmt: skip


def of_each_source(**options: Any) -> Scene:
    """Sensors that take the light of each source in its own way, beside one that does not."""
    scene = rich_scene(**options)
    one = dataclasses.replace(
        scene.panel, source_mu=np.array([1400.0, 2300.0]), source_mu_slope=np.array([3e13, 5e13])
    )
    two = dataclasses.replace(
        one,
        pix0=one.pix0 + 0.003,
        layers=1,
        source_mu=np.array([4400.0, 900.0]),
        source_mu_slope=np.full(2, -9e13),
    )
    three = dataclasses.replace(scene.panel, pix0=one.pix0 - 0.002)
    return dataclasses.replace(scene, panels=(one, two, three))


NO_FLAGS: dict[str, Any] = {"physics": "nanobragg"}
ALL_FLAGS = {"oversample_thick": True, "oversample_polar": True, "oversample_omega": True}
SCENES: dict[str, Any] = {
    "block": rich_scene,
    "one cell along a": lambda: rich_scene(N=(1.0, 5.3, 1.0)),
    "round": lambda: rich_scene(shape="round"),
    "gauss": lambda: rich_scene(shape="gauss"),
    "factors once a pixel": lambda: rich_scene(**NO_FLAGS),
    "factors of every sample": lambda: rich_scene(flags=ALL_FLAGS, **NO_FLAGS),
    "sub-pixels, factors once a pixel": lambda: rich_scene(oversample=2, **NO_FLAGS),
    "sub-pixels, factors of every sample": lambda: rich_scene(oversample=2, flags=ALL_FLAGS, **NO_FLAGS),
    "gauss by the reciprocal cell": lambda: rich_scene(shape="gauss", **NO_FLAGS),
    "curved by axes": lambda: rich_scene(curved=True),
    "curved by the laboratory": lambda: rich_scene(curved=True, **NO_FLAGS),
    "tricubic": lambda: rich_scene(interpolate=True),
    "tricubic, partly outside": lambda: rich_scene(interpolate=True, box=3),
    "tricubic, switched off": lambda: rich_scene(interpolate=True, box=3, **NO_FLAGS),
    "resolution limit": lambda: rich_scene(dmin=3.0),
    "several": of_two_crystals,
    "captures of each source": of_each_source,
    "captures of each source, curved": lambda: of_each_source(curved=True),
    "captures of each source, of every sample": lambda: of_each_source(flags=ALL_FLAGS, **NO_FLAGS),
}


@functools.cache
def stated(name: str) -> tuple[Scene, dict[str, SceneTangent], Truth]:
    """A Scene, a tangent of each of its fields, and what the oracle says of them."""
    scene: Scene = SCENES[name]()
    known = {
        field: part(scene, np.random.default_rng(i)) for i, (field, part) in enumerate(parts(scene).items())
    }
    return scene, known, Truth(scene, list(known.values()), frames(scene))


@pytest.mark.parametrize("name", SCENES)
def test_every_field(name: str) -> None:
    """Derivative image and cotangent of each field alone, within 1e-9."""
    scene, known, truth = stated(name)
    assert not near_choice(scene)
    tangents = list(known.values())
    found = gradient(scene, tangents, frames(scene))
    rows = jacobian(found, len(tangents))
    u = np.random.default_rng(1).uniform(-1, 1, scene.image_shape)
    back, cotangent = found.vjp(u), found.scene_vjp(u)
    wrong = []
    for i, (field, tangent) in enumerate(known.items()):
        try:
            truth.assert_jvp(rows[i], np.eye(len(tangents))[i], TOLERANCE["double"])
            truth.assert_product(float(back[i]), truth.rows[i], u, TOLERANCE["double"])
            got = product(cotangent, plain(tangent, scene, frames(scene)))
            truth.assert_product(got, truth.rows[i], u, TOLERANCE["double"])
        except AssertionError:
            wrong.append(field)
    assert wrong == []


def test_the_fields_matter() -> None:
    """Each field moves the image of at least one of the scenes, or the tests above see nothing of it."""
    still: set[str] | None = None
    for name in ("several", "curved by axes", "round", "tricubic, partly outside"):
        _, known, truth = stated(name)
        rows = truth.rows
        unmoved = {field.split(".")[-1] for field, row in zip(known, rows, strict=True) if not row.any()}
        moved = {field.split(".")[-1] for field, row in zip(known, rows, strict=True) if row.any()}
        still = (unmoved - moved) if still is None else still - moved
    assert still == set()

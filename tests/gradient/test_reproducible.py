"""Derivatives do not depend on threads, runs, or on how a region is cut: to the last bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from gradient_parts import gradient, jacobian
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import build_scene
from scene_parts import cut, pasted, with_panel
from tangent_strategies import frames, moving_scenes, parts

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.scene.record import Scene
from nbragg.scene.tangent import SceneTangent

pytestmark = [
    pytest.mark.slow,  # the sanitizers have test_every_field and test_golden_grad
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
]

PRECISIONS = ["double", "mixed"]


def arrays(record: Any) -> dict[str, bytes]:
    """The bytes of all numbers of a record and of the records in it."""
    found: dict[str, bytes] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, tuple):
            for i, part in enumerate(value):
                found |= {f"{field.name}[{i}].{k}": v for k, v in arrays(part).items()}
        elif value is not None and not isinstance(value, dict):
            found[field.name] = np.asarray(value, np.float64).tobytes()
    return found


def everything(scene: Scene, tangents: list[SceneTangent], precision: str, threads: int) -> dict[str, bytes]:
    """All that can be asked, as bytes."""
    rng = np.random.default_rng(3)
    u, r, w = (rng.uniform(0.1, 1, scene.image_shape) for _ in range(3))
    found = gradient(scene, tangents, frames(scene), precision=precision, threads=threads)
    H, b = found.gauss_newton(r, w)
    return {
        "image": found.image.tobytes(),
        "jvp": found.jvp(rng.uniform(-1, 1, (len(tangents), 2))).tobytes(),
        "vjp": found.vjp(u).tobytes(),
        "jacobian": jacobian(found, len(tangents)).tobytes(),
        "H": H.tobytes(),
        "b": b.tobytes(),
        **{f"cotangent of {name}": value for name, value in arrays(found.scene_vjp(u)).items()},
    }


def large_scene(**changes: Any) -> Scene:
    """A panel of many units of work, no multiple of anything; domains, sources and sub-pixels."""
    rng = np.random.default_rng(5)
    factors = StructureFactors(values=rng.uniform(1, 100, (41, 41, 41)), origin=(-20, -20, -20))
    crystal = Crystal(
        cell=(31.3, 41.7, 37.9, 81.2, 97.3, 84.1), N=(7, 5, 6), misset_deg=(12.3, 45.6, 78.9),
        mosaic_spread_deg=0.7, mosaic_domains=3, structure_factors=factors,
    )  # fmt: skip
    beam = Beam(wavelength_A=1.1, dispersion_pct=1.0, dispersion_steps=2, polarization=0.9)
    detector = Detector(distance_mm=61.3, pixel_mm=0.67, fpixels=131, spixels=103, rotx_deg=7.1)
    scene: Scene = build_scene(crystal, beam, detector, Sampling(**changes), physics="exact")
    return scene


def chosen_tangents(scene: Scene) -> list[SceneTangent]:
    """With a frame and without, of the beam, the panel and the table."""
    known = parts(scene)
    names = ("crystals[0].cell", "crystals[0].turn", "crystals[0].orientations", "crystals[0].N",
             "panels[0].pix0", "panels[0].odet", "tables[0].entries", "source_wavelength", "source_incident",
             "fluence")  # fmt: skip
    return [known[name](scene, np.random.default_rng(i)) for i, name in enumerate(names)]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_of_a_large_image(precision: str) -> None:
    """1, 2 and 7 threads."""
    scene = large_scene()
    tangents = chosen_tangents(scene)
    first = everything(scene, tangents, precision, 1)
    for threads in (2, 7):
        again = everything(scene, tangents, precision, threads)
        assert [name for name in first if first[name] != again[name]] == []


@settings(max_examples=15)
@given(moving_scenes(), st.sampled_from(PRECISIONS))
def test_threads_of_small_images(case: tuple[Scene, list[SceneTangent]], precision: str) -> None:
    """Of every kind."""
    scene, tangents = case
    assert everything(scene, tangents, precision, 1) == everything(scene, tangents, precision, 7)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_region_cut_in_two(precision: str) -> None:
    """Derivative images of both halves are those of the whole, wherever the cut lies."""
    scene = large_scene(roi=(11, 120, 7, 90))
    tangents = chosen_tangents(scene)
    whole = jacobian(gradient(scene, tangents, frames(scene), precision=precision), len(tangents))
    for cuts in ((11, 70, 71, 120, 7, 90, 7, 90), (11, 120, 11, 120, 7, 30, 31, 90)):
        total = np.zeros_like(whole)
        for half in (0, 1):
            f0, f1, s0, s1 = cuts[2 * half : 2 * half + 2] + cuts[4 + 2 * half : 6 + 2 * half]
            part = with_panel(scene, roi=(f0, f1, s0, s1))
            found = jacobian(gradient(part, tangents, frames(part), precision=precision), len(tangents))
            inside = np.zeros(scene.image_shape, bool)
            inside[s0 : s1 + 1, f0 : f1 + 1] = True
            assert (found[:, ~inside] == 0).all()
            total += found
        assert total.tobytes() == whole.tobytes()


def test_a_panel_cut_in_pieces() -> None:
    """Panels that tile a plane have the derivatives of the one panel, and their cotangents sum to its."""
    scene = large_scene()
    tangents = [tangent for tangent in chosen_tangents(scene) if not tangent.panels]
    pieces = cut(scene, [40, 91], [57])
    whole = jacobian(gradient(scene, tangents, frames(scene)), len(tangents))
    parts_of = jacobian(gradient(pieces, tangents, frames(pieces)), len(tangents))
    for one, other in zip(whole, parts_of, strict=True):
        assert np.abs(pasted(pieces, other) - one).max() <= 1e-12 * np.abs(one).max()


@settings(max_examples=8)
@given(moving_scenes())
def test_float32_is_the_rounded_float64(case: tuple[Scene, list[SceneTangent]]) -> None:
    """Single precision is the format of an output, nothing else."""
    scene, tangents = case
    found = gradient(scene, tangents, frames(scene))
    wide, narrow = (jacobian(found, len(tangents), kind) for kind in (np.float64, np.float32))
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, wide.astype(np.float32))


@settings(max_examples=15)
@given(moving_scenes(), st.integers(0, 2**32 - 1))
def test_pixels_that_are_not_rendered(case: tuple[Scene, list[SceneTangent]], seed: int) -> None:
    """They are 0 in every derivative image, and what is given there changes nothing."""
    scene, tangents = case
    rng = np.random.default_rng(seed)
    used = np.ones(scene.image_shape, bool) if scene.mask_image is None else scene.mask_image
    found = gradient(scene, tangents, frames(scene))
    assert (jacobian(found, len(tangents))[:, ~used] == 0).all()
    assert (found.jvp(np.eye(len(tangents)))[:, ~used] == 0).all()
    u, r, w = (rng.uniform(0.1, 1, scene.image_shape) for _ in range(3))
    other = [np.where(used, image, 1e3) for image in (u, r, w)]
    assert found.vjp(u).tobytes() == found.vjp(other[0]).tobytes()
    assert arrays(found.scene_vjp(u)) == arrays(found.scene_vjp(other[0]))
    for one, two in zip(found.gauss_newton(r, w), found.gauss_newton(*other[1:]), strict=True):
        assert one.tobytes() == two.tobytes()

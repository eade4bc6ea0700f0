"""Samples that are left out: no pixel loses more than it may, and nothing but the sample decides."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest
from hypothesis import assume, given, settings
from scene_parts import cut, pasted, with_crystal, with_panel, with_table
from spectral_oracle import spectrum
from spot_scenes import (
    ROUNDING,
    SHAPES,
    Dice,
    compare,
    ends,
    made,
    one_wavelength,
    plain,
    random_scene,
    rendered,
    shifted,
    single_samples,
    tolerance_of,
)
from strategies import generic, several
from surroundings_scenes import AROUND, CRYSTAL, PANELS

import nbragg
from nbragg import InputError, RenderOptions, _engine
from nbragg.scene.record import Scene

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: many samples to a spot, so that most are dark
FINE = {"pixel_mm": 0.08}
PRECISIONS = ("double", "mixed")
#: what the reference program's golden images may lose, as a fraction of their maximum
GOLDEN = 1e-7
#: one of each shape, a tensor-free list, several orientations and sources; all others where time allows
CHEAP = (
    "crystal/shape_square_xtal", "crystal/shape_round_xtal", "crystal/shape_gauss_xtal",
    "crystal/shape_binary_spots", "crystal/phi_mosaic", "beam/divergence_round", "geometry/curved",
    "sampling/all_oversample_flags", "sampling/oversample_3", "hkl/sparse_default_F", "hkl/interpolate",
    "output/water", "output/mask",
)  # fmt: skip


def largest(image: Any) -> float:
    return float(np.abs(image).max())


# ---- the promise ----


def keeps_promise(scene: Scene, tolerance: float, precision: str = "double") -> float:
    """Error over tolerance; 0 where everything is evaluated."""
    full, everything = rendered(scene, cull=False, precision=precision)
    if not np.isfinite(full).all():  # a thick sensor bent about the sample
        return 0.0
    assert (everything.visited, everything.left_out) == (-1, 0.0)
    without = compare(scene, full, 0.0, precision)
    assert without.summary.left_out == 0
    if not ends(scene):
        assert without.error == 0
    found = compare(scene, full, tolerance, precision)
    assert max(without.ratio, found.ratio) <= 1, (without, found)
    assert found.left <= 1, f"a pixel lost more than is told: {found}"
    assert 0 <= found.summary.left_out <= tolerance * (1 + 1e-12)
    assert found.summary.pixels == everything.pixels
    return found.error / tolerance if found.summary.visited >= 0 else 0.0


def at_random(seeds: range) -> None:
    active = 0
    for seed in seeds:
        scene = random_scene(seed)
        try:
            tolerance = tolerance_of(seed, rendered(scene, cull=False)[0])
            active += keeps_promise(scene, tolerance, "mixed" if seed % 4 == 0 else "double") > 1e-6
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert active > len(seeds) / 10, "the Scenes put nothing to the test"


@pytest.mark.parametrize("first", range(0, 240, 60))
def test_no_pixel_loses_more_than_it_may(first: int) -> None:
    at_random(range(first, first + 60))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 3000, 500))
def test_no_pixel_loses_more_than_it_may_at_length(first: int) -> None:
    at_random(range(first, first + 500))


@settings(max_examples=60)
@given(several(), generic(-7, -0.3))
def test_panels_and_crystals(scene: Scene, power: float) -> None:
    """Scenes of several of both, tables of sources among them."""
    largest_pixel = largest(rendered(scene, cull=False)[0])
    assume(math.isfinite(largest_pixel))
    keeps_promise(scene, 10.0**power * (largest_pixel or 1.0))


def test_a_sample_counts_by_its_own_light() -> None:
    """None that was left out has an F^2 L^2 above one that was not."""
    decided = 0
    for seed in range(200):
        scene = single_samples(seed)
        full, _ = rendered(scene, cull=False)
        if not (np.isfinite(full).all() and full.max() > 0):
            continue
        image, _ = rendered(scene, tolerance_photons=tolerance_of(seed, full))
        other, _ = rendered(plain(scene), cull=False)
        light = np.divide(full, other, out=np.zeros_like(full), where=other > 0)
        seen, dark = (image > 0) & (light > 0), (image == 0) & (light > 0)
        assert np.allclose(image[seen], full[seen], rtol=1e-8, atol=0), seed  # whole, but for rounding
        if seen.any() and dark.any():
            assert light[dark].max() <= light[seen].min() * (1 + 1e-6), seed
            decided += 1
    assert decided > 20


def test_where_patches_begin_does_not_matter() -> None:
    """The same samples are left out: the images differ by rounding, not by the tolerance.

    Samples on the rim of a top hat, and those whose nearest index is undecided, go either way.
    """
    compared = 0
    for seed in range(400, 520):
        scene, dice = random_scene(seed), Dice(seed)
        if any(block.shape == "tophat" for block in scene.crystals) or scene.panels[0].curved != "flat":
            continue
        other = shifted(scene, dice.count(1, 31), dice.count(1, 31))
        full, moved = (rendered(one, cull=False)[0] for one in (scene, other))
        if not np.isfinite(full).all() or np.abs(moved - full).max() > 1e-10 * full.max():
            continue
        tolerance = tolerance_of(seed, full)
        one, summary = rendered(scene, tolerance_photons=tolerance)
        two, _ = rendered(other, tolerance_photons=tolerance)
        assert np.abs(one - two).max() <= 1e-10 * full.max() + 1e-6 * tolerance, seed
        compared += summary.visited > 0
    assert compared > 20


# ---- what an image does not depend on ----


@pytest.mark.parametrize("fraction", [0.0, 1e-3])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_threads(shape: str, precision: str, fraction: float) -> None:
    scene = made(shape, detector=FINE)
    options = {"precision": precision, "tolerance_photons": fraction * largest(rendered(scene)[0])}
    one, summary = rendered(scene, threads=1, **options)
    for threads in (2, 3, 8):
        image, other = rendered(scene, threads=threads, **options)
        assert np.array_equal(image, one)
        assert (other.visited, other.left_out) == (summary.visited, summary.left_out)


@pytest.mark.parametrize("fraction", [0.0, 1e-3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("detector", [{}, {"thickness_um": 400.0, "attenuation_um": 250.0, "thicksteps": 2}])
def test_pieces(shape: str, fraction: float, detector: dict[str, Any]) -> None:
    """A region, a mask, and pieces of the panel have the pixels of the whole."""
    scene = made(shape, detector=FINE | detector, default_F=2.0)
    options = {"tolerance_photons": fraction * largest(rendered(scene)[0])}
    whole, _ = rendered(scene, **options)
    for roi in ((0, 69, 0, 44), (13, 13, 7, 7), (5, 66, 31, 44), (33, 34, 0, 44)):
        fmin, fmax, smin, smax = roi
        inside = (slice(smin, smax + 1), slice(fmin, fmax + 1))
        expected = np.zeros_like(whole)
        expected[inside] = whole[inside]
        assert np.array_equal(rendered(with_panel(scene, roi=roi), **options)[0], expected)
    rng = np.random.default_rng(4)
    for share in (0.01, 0.6):
        mask = (rng.random(whole.shape) < share).astype(np.uint8)
        mask.setflags(write=False)
        assert np.array_equal(rendered(with_panel(scene, mask=mask), **options)[0], whole * mask)
    for fast, slow in (([1, 30], [2]), ([32], [32]), ([], [11, 12, 40])):
        pieces = cut(scene, fast, slow)
        assert np.array_equal(pasted(pieces, rendered(pieces, **options)[0]), whole)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_instruction_sets_leave_out_the_same(
    shape: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images within rounding of each other, one photon in a million of the samples aside."""
    scene = made(shape, detector=FINE)
    tolerance = 1e-3 * largest(rendered(scene)[0])
    found = {}
    for name in [name for name, usable in _engine.isa_levels() if usable]:
        monkeypatch.setenv("NBRAGG_ISA", name)
        found[name] = rendered(scene, tolerance_photons=tolerance, precision=precision)
    best, summary = found[_engine.best_isa()]
    for image, other in found.values():
        assert np.abs(image - best).max() <= ROUNDING[precision] * largest(best) + 1e-3 * tolerance
        assert other.visited == pytest.approx(summary.visited, rel=1e-3)
        assert other.left_out == pytest.approx(summary.left_out, rel=1e-3)


# ---- what it saves ----


@pytest.mark.parametrize(("shape", "share"), [("gauss", 0.05), ("gauss_star", 0.05), ("tophat", 0.02)])
def test_spots_that_end_cost_what_they_light(shape: str, share: float) -> None:
    scene = made(shape, detector=FINE)
    samples = scene.samples_per_pixel * scene.offsets[-1]
    _, summary = rendered(scene)
    assert 0 < summary.visited < share * samples
    assert rendered(dataclasses.replace(scene, physics="nanobragg"))[1].visited == -1


@pytest.mark.parametrize(("shape", "share"), [("square", 0.2), ("round", 0.2), ("gauss", 0.05)])
def test_a_larger_tolerance_leaves_out_more(shape: str, share: float) -> None:
    scene = made(shape, detector=FINE)
    samples = scene.samples_per_pixel * scene.offsets[-1]
    most, before = largest(rendered(scene)[0]), math.inf
    for fraction in (1e-4, 1e-3, 1e-2):
        _, summary = rendered(scene, tolerance_photons=fraction * most)
        assert 0 < summary.visited < before
        before = summary.visited
    assert before < share * samples


@pytest.mark.parametrize("shape", SHAPES)
def test_sparse_lists_cost_less(shape: str) -> None:
    """A few reflections, then none at all."""
    scene = made(shape, detector=FINE)
    values = scene.table.values
    assert values is not None
    few = np.where(np.random.default_rng(2).random(values.shape) < 2e-4, values, 0.0)
    tolerance = 1e-3 * largest(rendered(scene)[0])
    visited = [
        rendered(with_table(scene, values=kept), tolerance_photons=tolerance)[1].visited
        for kept in (values, few, np.zeros_like(values))
    ]
    assert visited[2] == 0 and visited[1] < 0.4 * visited[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_everything_may_be_left_out(shape: str) -> None:
    scene = made(shape)
    full, _ = rendered(scene, cull=False)
    tolerance = 1e9 * largest(full)
    image, summary = rendered(scene, tolerance_photons=tolerance)
    assert not image.any() and summary.visited == 0
    assert largest(full) <= summary.left_out <= tolerance


@pytest.mark.parametrize("shape", ["gauss", "gauss_star"])
def test_what_no_float_can_tell_is_told(shape: str) -> None:
    """Where what counts begins below the smallest float, the whole tolerance may have been lost."""
    scene = made(shape, detector=FINE)
    full, _ = rendered(scene, cull=False)
    tolerance = 1e-60 * largest(full)
    image, summary = rendered(scene, tolerance_photons=tolerance)
    assert 0 < summary.visited < 0.5 * scene.samples_per_pixel * full.size
    assert np.abs(image - full).max() <= ROUNDING["double"] * largest(full)
    assert summary.left_out == pytest.approx(tolerance, rel=1e-5, abs=0)


# ---- nothing without being asked ----


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_nanobragg_is_left_alone(shape: str, precision: str) -> None:
    scene = made(shape, physics="nanobragg")
    assert np.array_equal(
        rendered(scene, precision=precision)[0], rendered(scene, cull=False, precision=precision)[0]
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", ["square", "round"])
def test_shapes_without_an_end_are_left_alone(shape: str, precision: str) -> None:
    scene = made(shape)
    image, summary = rendered(scene, precision=precision)
    assert np.array_equal(image, rendered(scene, cull=False, precision=precision)[0])
    assert summary.left_out == 0


# ---- places where a bound may break ----

#: panels at a glance and around the sample, crystals of which a pixel sees many reflections, and others
HARD: dict[str, dict[str, Any]] = {
    "at a glance": {"detector": {"roty_deg": 80.0, "distance_mm": 20.0}},
    "next to the sample": {"detector": {"distance_mm": 2.0, "pixel_mm": 0.3}},
    "inside a pixel of it": {"detector": {"distance_mm": 0.5, "pixel_mm": 1.0}},
    "bent about the sample": {"detector": {"distance_mm": 12.0, "curved": True}},
    "deep and oblique": {
        "detector": {
            "distance_mm": 4.0, "pixel_mm": 0.2, "thickness_um": 3000.0,
            "attenuation_um": 500.0, "thicksteps": 2,
        },
        "sampling": {
            "oversample": 3, "oversample_thick": True, "oversample_omega": True, "oversample_polar": True,
        },
    },
    "large pixels": {"detector": {"pixel_mm": 8.0}},
    "far": {"detector": {"distance_mm": 20000.0}},
    "a thousand cells": {"crystal": {"N": (1000, 3, 1)}},
    "a single cell": {"crystal": {"N": (1, 1, 1)}},
    "two cells": {"crystal": {"N": (2, 1, 1.4)}},
    "a powder": {"crystal": {"mosaic_spread_deg": 90.0, "mosaic_domains": 40}},
    "spots that never end": {"crystal": {"fudge": 0.0}},
    "spots of a point": {"crystal": {"fudge": 1e4}},
    "a limit of resolution": {"sampling": {"oversample": 2, "dmin_A": 2.2}},
    "water": {"sampling": {"oversample": 2, "water_um": 3.0}},
    "many sub-pixels": {"sampling": {"oversample": 37, "roi": (20, 25, 15, 19)}},
    "interpolated": {"sampling": {"oversample": 2, "interpolate": True}},
}  # fmt: skip


def hard(shape: str, physics: str, name: str) -> Scene:
    parts = dict(HARD[name])
    detector = {"fpixels": 36, "spixels": 32} | parts.pop("detector", {})
    return made(shape, physics=physics, default_F=0.5, detector=detector, **parts)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
@pytest.mark.parametrize("name", HARD)
def test_hard_places(name: str, physics: str) -> None:
    for shape in SHAPES:
        scene = hard(shape, physics, name)
        most = largest(rendered(scene, cull=False)[0]) or 1.0
        for fraction in (1e-7, 1e-3, 0.1):
            keeps_promise(scene, fraction * most)


def test_orders_of_magnitude() -> None:
    """One reflection of 1e6 electrons among those of 1, one orientation of weight 1e6 among those of 1."""
    for shape in SHAPES:
        scene = made(shape)
        assert scene.table.values is not None
        values = np.ones_like(scene.table.values)
        values[23, 22, 14] = 1e6
        weights = np.ones(12)
        weights[7] = 1e6
        scene = with_crystal(with_table(scene, values=values), orientation_weights=weights)
        most = largest(rendered(scene, cull=False)[0])
        for fraction in (1e-14, 1e-9, 1e-4):
            keeps_promise(scene, fraction * most)


def test_what_is_not_of_the_crystal_stays() -> None:
    """Shadows, windows, a background and diffuse scattering are as in the full image; no spot is."""
    crystal = CRYSTAL.replace(N=(20, 25, 30), shape="round", diffuse=nbragg.LiquidMotions(30, 0.3))
    setup = nbragg.Setup(
        crystal, nbragg.Beam(wavelength_A=1.2), nbragg.Detector(panels=PANELS),
        nbragg.Sampling(oversample=3), surroundings=AROUND,
        backgrounds=nbragg.Background("water", thickness_mm=0.1),
    )  # fmt: skip
    scene = nbragg.build_scene(setup)
    full, _ = rendered(scene, cull=False)
    spots = [dataclasses.replace(block, weight=0.0) for block in scene.crystals]
    dark, _ = rendered(dataclasses.replace(scene, crystals=tuple(spots)), cull=False)
    tolerance = 1e9 * largest(full)
    image, summary = rendered(scene, tolerance_photons=tolerance)
    assert summary.visited >= 0 and np.allclose(image, dark, rtol=1e-12, atol=0)
    for fraction in (1e-9, 1e-6, 1e-2):
        keeps_promise(scene, fraction * largest(full))


@pytest.mark.parametrize("spectral", ["direct", "line", "culled"])
def test_spectra(spectral: str) -> None:
    """However a spectrum is rendered, the tolerance holds."""
    for shape in ("gauss", "tophat", "round") if spectral == "culled" else ("gauss",):
        scene = spectrum(one_wavelength(made(shape)), 0.01, np.ones(8), spectral)
        keeps_promise(scene, 1e-3 * largest(rendered(scene, cull=False)[0]))


# ---- the golden images ----


def golden(case_id: str) -> None:
    scene = nbragg.build_scene(g.command_line(g.arguments(case_id)).setup)
    reference = g.reference(case_id)["image"]
    full, _ = rendered(scene, cull=False)
    assert np.array_equal(rendered(scene)[0], full), "without a tolerance nothing is left out"
    tolerance = GOLDEN * float(reference.max())
    image, summary = rendered(scene, tolerance_photons=tolerance)
    assert np.abs(image - full).max() <= tolerance + ROUNDING["double"] * largest(full)
    assert summary.left_out <= tolerance
    assert np.abs(image.astype(np.float32) - reference).max() <= tolerance + g.TIGHT[0] * reference.max()


@pytest.mark.parametrize("case_id", CHEAP)
def test_golden(case_id: str, folder: Path) -> None:
    g.prepare(case_id, folder)
    golden(case_id)


@pytest.mark.slow
@pytest.mark.parametrize("case_id", [name for name in g.IDS if name not in CHEAP])
def test_every_golden(case_id: str, folder: Path) -> None:
    g.prepare(case_id, folder)
    golden(case_id)


# ---- how it is asked for ----


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, True, "1", None])
def test_a_tolerance_that_is_none(value: Any) -> None:
    with pytest.raises(InputError, match="tolerance_photons"):
        RenderOptions(tolerance_photons=value)


@pytest.mark.parametrize("value", [None, 1, "no"])
def test_cull_is_yes_or_no(value: Any) -> None:
    with pytest.raises(InputError, match="cull"):
        RenderOptions(cull=value)


def test_a_result_tells() -> None:
    scene = made("square", detector=FINE)
    tolerance = 1e-3 * largest(rendered(scene)[0])
    result = nbragg.render(scene, tolerance_photons=tolerance)
    _, summary = rendered(scene, tolerance_photons=tolerance)
    assert (result.visited, result.left_out) == (summary.visited, summary.left_out)
    assert result.visited is not None and result.left_out > 0
    whole = nbragg.render(scene)
    assert (whole.visited, whole.left_out) == (None, 0.0)


def test_the_command(folder: Path) -> None:
    """-tolerance PHOTONS, and what is wrong with one."""
    words = (
        "-cell 50 60 70 90 90 90 -default_F 100 -N 40 -detpixels 64 -pixel 0.5 -oversample 4 -nonoise -nopgm"
    )
    options = g.command_line([*words.split(), "-tolerance", "0.25"]).options
    assert (
        options.tolerance_photons == 0.25 and g.command_line(words.split()).options.tolerance_photons == 0.0
    )
    assert g.run_cli([*words.split(), "-floatfile", "full.bin"]) == 0
    full = np.fromfile("full.bin", "<f4").astype(float)
    tolerance = 1e-3 * float(full.max())
    assert g.run_cli([*words.split(), "-tolerance", f"{tolerance}", "-floatfile", "part.bin"]) == 0
    error = np.abs(np.fromfile("part.bin", "<f4") - full).max()
    assert 0 < error <= tolerance + 2e-7 * full.max()
    for bad in ("-1", "nan", "much"):
        assert g.run_cli([*words.split(), "-tolerance", bad]) == 2


def test_no_orientation_weight_and_no_light() -> None:
    """A crystal that counts 0 times, a beam without photons: nothing is left out of nothing."""
    scene = made("gauss")
    for dark in (with_crystal(scene, weight=0.0), dataclasses.replace(scene, fluence=0.0)):
        image, summary = rendered(dark, tolerance_photons=1.0)
        assert not image.any() and 0 <= summary.left_out <= 1.0

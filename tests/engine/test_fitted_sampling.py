"""oversample="auto": as few sub-pixels of each pixel as tell its sum, against all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Sampling, Scene, Setup, StructureFactors
from nbragg.engine import cpu
from nbragg.engine.options import RenderOptions
from nbragg.engine.quadrature import gram_rule, gram_rules

#: of pixels above the share `LIT` of the brightest (docs/physics.md)
ERROR, LIT = 1e-3, 1e-6
SHAPES = ("square", "round", "gauss")


@pytest.fixture
def everywhere() -> Iterator[None]:
    """Where it does not pay, too."""
    plain = cpu.limits

    def limits(scene: Scene, options: RenderOptions) -> dict[str, object]:
        found = plain(scene, options)
        return found | {"always": True} if found and scene.adaptive else found

    with mock.patch.object(cpu, "limits", limits):
        yield


def image_of(scene: Scene, **options: Any) -> tuple[NDArray[np.float64], int]:
    """The image before it is rounded, and the samples that were visited; -1: all."""
    image64 = np.zeros(scene.image_shape)
    with cpu.CpuQueue(RenderOptions(**options)) as queue:
        queue.submit(scene, image64=image64)
        summary = queue.collect()[0].summary
    return image64, summary.visited


def still(seed: int, shape: str, listed: bool = True, pixels: int = 14) -> Scene:
    return nbragg.build_scene(still_setup(seed, shape, listed, pixels))


def still_setup(seed: int, shape: str, listed: bool = True, pixels: int = 14) -> Setup:
    """A crystal of any size and orientation before a small panel at any place."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(100.0, (61, 61, 61))
    factors = StructureFactors(values=values, origin=(-30, -30, -30), default_F=5.0)
    N = rng.integers(3, 90, 3) if seed % 2 else np.repeat(rng.integers(8, 90), 3)
    away = 100 * np.exp(rng.uniform(-0.7, 0.7))
    return Setup(
        Crystal(
            cell=(*rng.uniform(40, 110, 3), *rng.uniform(80, 100, 3)), N=tuple(N.tolist()), shape=shape,
            misset_deg=tuple(rng.uniform(-180, 180, 3)), mosaic_spread_deg=0.3,
            mosaic_domains=int(rng.integers(1, 4)),
            structure_factors=factors if listed else StructureFactors.constant(100.0),
        ),
        Beam(wavelength_A=rng.uniform(0.8, 1.5)),
        Detector(
            fpixels=pixels, spixels=pixels, pixel_mm=0.1 * np.exp(rng.uniform(-0.7, 0.5)), distance_mm=away,
            Xbeam_mm=-away * rng.uniform(0, 1), Ybeam_mm=-away * rng.uniform(0, 1),
        ),
        Sampling(oversample="auto"),
    )  # fmt: skip


def peak_of(scene: Scene) -> float:
    """Photons of a pixel of nothing but the middle of a reflection of amplitude 100."""
    cells = np.ones(3)
    plain = tuple(dataclasses.replace(one, N=cells, shape="square") for one in scene.crystals)
    table = dataclasses.replace(scene.table, values=None, origin=(0, 0, 0), default_F=100.0)
    flat = dataclasses.replace(scene, crystals=plain, tables=(table,), oversample=1, adaptive=False)
    return float(image_of(flat)[0].max() * np.prod(scene.crystal.N) ** 2)


def worst(seeds: range, shape: str, listed: bool) -> tuple[float, int]:
    """Largest error of pixels that are to be right, and how many those were."""
    largest, count = 0.0, 0
    for seed in seeds:
        scene = still(seed, shape, listed)
        if not 4 <= scene.oversample <= 90:
            continue
        # against all sub-pixels of those samples that count: a Gaussian's end where L^2 is 1e-12 either way
        full = image_of(dataclasses.replace(scene, adaptive=False))[0]
        lit = full > LIT * max(full.max(), 1e-4 * peak_of(scene))
        if lit.any():
            error = np.abs(image_of(scene)[0] - full)[lit] / full[lit]
            largest, count = max(largest, float(error.max())), count + int(lit.sum())
    return largest, count


@pytest.mark.parametrize("parts", [1, 2, 7, 24, 61])
def test_rules_are_exact_for_polynomials(parts: int) -> None:
    """Of degree 2 m - 1, in the sum over the middles of all parts, not its integral."""
    places = (np.arange(parts) + 0.5) / parts - 0.5
    for count in range(1, parts + 1):
        place, weight = gram_rule(parts, count)
        assert len(place) == count and weight.min() > 0 and (np.diff(place) > 0).all()
        for degree in range(min(2 * count, 24)):
            expected = (places**degree).mean()
            assert (weight * (place - 0.5) ** degree).sum() / parts == pytest.approx(expected, abs=1e-13)


def test_the_last_rule_is_all_of_them() -> None:
    for parts in (1, 5, 24, 70):
        rules = gram_rules(parts)
        assert rules.counts[-1] == parts and (np.diff(rules.counts) > 0).all()
        assert (rules.places[-parts:] == (np.arange(parts) + 0.5) / parts).all()
        assert (rules.weights[-parts:] == 1.0).all()


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("everywhere")
def test_error(shape: str, listed: bool) -> None:
    largest, count = worst(range(30 if shape == "gauss" else 14), shape, listed)
    assert count > 10 and 0 < largest <= ERROR


@pytest.mark.slow
@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("everywhere")
def test_error_of_many(shape: str, listed: bool) -> None:
    largest, count = worst(range(1000, 2000 if shape == "gauss" else 1200), shape, listed)
    assert count > 1000 and 0 < largest <= ERROR


def plate() -> Scene:
    """Thin along a, seen at a wide angle: L^2 varies little over a pixel where it is thin."""
    factors = StructureFactors.constant(100.0)
    setup = Setup(
        Crystal(cell=(60, 70, 80, 90, 90, 90), N=(2, 90, 4), structure_factors=factors),
        Beam(wavelength_A=1.0),
        Detector(fpixels=24, spixels=24, pixel_mm=0.2, distance_mm=60, Xbeam_mm=-60, Ybeam_mm=-5),
        Sampling(oversample="auto"),
    )  # fmt: skip
    return nbragg.build_scene(setup)


def test_few_are_visited() -> None:
    scene = plate()
    full = image_of(scene, cull=False)[0]
    image, visited = image_of(scene)
    assert 0 < visited < 0.35 * full.size * scene.samples_per_pixel
    lit = full > LIT * full.max()
    assert 0 < (np.abs(image - full)[lit] / full[lit]).max() <= ERROR


def test_all_are_taken_without_leave() -> None:
    """cull=False takes every sub-pixel, as does a number of them."""
    scene = plate()
    plain = dataclasses.replace(scene, adaptive=False)
    cases: list[tuple[dict[str, Any], Scene]] = [({"cull": False}, scene), ({}, plain)]
    for options, one in cases:
        image, visited = image_of(one, **options)
        assert visited == -1
        assert (image == image_of(plain, cull=False)[0]).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("everywhere")
def test_a_pixel_does_not_depend_on_the_others(shape: str) -> None:
    """Threads, roi and mask: the same bits."""
    scene = still(5, shape, pixels=40)
    whole = image_of(scene, threads=1)[0]
    for threads in (2, 3, 8):
        assert (image_of(scene, threads=threads)[0] == whole).all()
    [panel] = scene.panels
    part = dataclasses.replace(panel, roi=(3, 29, 5, 38))
    assert (image_of(dataclasses.replace(scene, panels=(part,)))[0][5:39, 3:30] == whole[5:39, 3:30]).all()
    mask = (np.random.default_rng(1).random(whole.shape) < 0.3).astype(np.uint8)
    masked = dataclasses.replace(scene, panels=(dataclasses.replace(panel, mask=mask),))
    assert (image_of(masked)[0] == np.where(mask != 0, whole, 0.0)).all()


@pytest.mark.usefixtures("everywhere")
def test_what_ends_within_a_pixel_takes_all() -> None:
    """A top-hat's edge, and the resolution limit."""
    scene = still(3, "tophat")
    full = image_of(dataclasses.replace(scene, adaptive=False))[0]
    assert image_of(scene)[0] == pytest.approx(full, rel=1e-12, abs=1e-12 * max(full.max(), 1e-300))
    scene = still(2, "round", listed=False)
    panel = scene.panels[0]
    middle = panel.pix0 + 7 * panel.pixel[0] * panel.fdet + 7.3 * panel.pixel[1] * panel.sdet
    q = (middle / np.linalg.norm(middle) - scene.sources.incident[0]) / scene.sources.wavelength[0]
    cut = dataclasses.replace(scene, dmin=float(1 / np.linalg.norm(q)))
    full = image_of(dataclasses.replace(cut, adaptive=False))[0]
    lit = full > LIT * full.max()
    assert 0.1 < lit.mean() < 0.9
    assert (np.abs(image_of(cut)[0] - full)[lit] / full[lit]).max() <= ERROR


@pytest.mark.usefixtures("everywhere")
def test_interpolated_factors_take_all() -> None:
    """They go from cube to cube with a kink, wherever that is."""
    scene = still(5, "square")
    table = dataclasses.replace(scene.table, interpolation="tricubic_exact")
    smooth = dataclasses.replace(scene, tables=(table,))
    plain = image_of(dataclasses.replace(smooth, adaptive=False))[0]
    assert image_of(smooth)[0] == pytest.approx(plain, rel=1e-12)


@pytest.mark.usefixtures("everywhere")
def test_with_a_tolerance() -> None:
    """What is left out comes on top."""
    scene = still(5, "square")
    full = image_of(scene, cull=False)[0]
    tolerance = 1e-4 * float(full.max())
    image, visited = image_of(scene, tolerance_photons=tolerance)
    assert 0 < visited < full.size * scene.samples_per_pixel
    assert (np.abs(image - full) <= tolerance + ERROR * full).all()


@pytest.mark.usefixtures("everywhere")
def test_more_sub_pixels_than_a_patch_has() -> None:
    """More than 64 along an edge: pixels in parts, by rules and without."""
    setup = Setup(
        Crystal(cell=(80, 80, 80, 90, 90, 90), N=70, misset_deg=(10, 20, 30),
                structure_factors=StructureFactors(np.random.default_rng(1).uniform(1, 100, (81, 81, 81)),
                                                   (-40, -40, -40))),
        Beam(wavelength_A=1.0),
        Detector(fpixels=6, spixels=5, pixel_mm=0.4, distance_mm=60, Xbeam_mm=-20, Ybeam_mm=-15),
        Sampling(oversample="auto"),
    )  # fmt: skip
    scene = nbragg.build_scene(setup)
    assert scene.oversample > 64
    full = image_of(scene, cull=False)[0]
    image = image_of(scene)[0]
    assert 0 < (np.abs(image - full) / full).max() <= ERROR


@pytest.mark.parametrize("around", [{"curved": True}, {"thickness_um": 400.0, "thicksteps": 3}])
@pytest.mark.usefixtures("everywhere")
def test_other_detectors(around: dict[str, Any]) -> None:
    """Bent ones, and layers one by one."""
    scene = nbragg.build_scene(still_setup(5, "round").replace(**around))
    full = image_of(dataclasses.replace(scene, adaptive=False))[0]
    image, visited = image_of(scene)
    lit = full > LIT * full.max()
    assert 0 < (np.abs(image - full)[lit] / full[lit]).max() <= ERROR
    assert 0 < visited < 0.8 * full.size * scene.samples_per_pixel


def test_bad_input() -> None:
    for bad in ("Auto", "", "all"):
        with pytest.raises(InputError, match='"auto"'):
            Sampling(oversample=bad)
    assert Sampling(oversample="auto").subpixels is None and Sampling(oversample=3).subpixels == 3


def test_command_line() -> None:
    assert nbragg.from_cli("-cell 50 60 70 -N 3 -default_F 1 -oversample auto").sampling.oversample == "auto"
    with pytest.raises(InputError, match='"fine" is neither a number nor auto'):
        nbragg.from_cli("-cell 50 60 70 -N 3 -default_F 1 -oversample fine")

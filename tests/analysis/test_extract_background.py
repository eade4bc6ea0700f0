"""Tables from images: the inverse of a background's rendering, with noise and spots (beyond 12.8, 12.11)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Background, Beam, Crystal, Detector, Sampling, Setup, StructureFactors, extract_background
from nbragg.analysis.background import pixel_factors
from nbragg.base.errors import InputError

DARK = Crystal(cell=(40, 50, 60, 80, 95, 100), structure_factors=StructureFactors.constant(0))
BEAM = Beam(flux=1e12, exposure_s=0.1, beamsize_mm=0.1, polarization=0.8)
DETECTOR = Detector(
    distance_mm=80, pixel_mm=0.4, fpixels=240, spixels=200, rotx_deg=5, thickness_um=320, attenuation_um=250
)
WATER = Background("water")


def image_of(background: Background, beam: Beam = BEAM, detector: Detector = DETECTOR, **parts: Any) -> Any:
    setup = Setup(DARK, beam, detector, Sampling(oversample=1), backgrounds=background, **parts)
    return nbragg.simulate(setup, precision="double").image


@pytest.fixture(scope="module")
def water() -> Any:
    return image_of(WATER)


def test_what_was_rendered_comes_back(water: Any) -> None:
    """With bins fine against the table's features F to 1e-3; the number of molecules is that of ``like``."""
    table = extract_background(water, BEAM, DETECTOR, bins=300)
    np.testing.assert_allclose(table.F, WATER.amplitude(table.s), rtol=1e-3)
    assert (np.diff(table.s) > 0).all() and (table.n >= 100).all()
    half = extract_background(water, BEAM, DETECTOR, bins=300, like=WATER.replace(thickness_mm=0.4))
    np.testing.assert_allclose(half.F, table.F / 2, rtol=1e-12)
    counts = extract_background(40 + 7.5 * water.astype(float), BEAM, DETECTOR, bins=300, offset=40, gain=7.5)
    np.testing.assert_allclose(counts.F, table.F, rtol=1e-12)


def test_many_sources_panels_and_what_is_in_the_way() -> None:
    """Every factor of the rendering is taken out again."""
    rays = nbragg.SourceList([[-10, 0, 0.02], [-10, 0.02, 0]], [1, 3], [0.99, 1.01])
    panels = [
        nbragg.Panel(origin_mm=(60, 20 - 40 * i, -20), fast=(0, 0, 1), slow=(0.1, -1, 0), pixel_mm=0.4,
                     fpixels=100, spixels=90)
        for i in range(2)
    ]  # fmt: skip
    around = nbragg.Surroundings(gas="air", beamstops=nbragg.Beamstop(distance_mm=30, diameter_mm=5))
    beam, detector = BEAM.replace(sources=rays), Detector(panels=panels, convention="mosflm")
    image = image_of(WATER, beam, detector, surroundings=around)
    table = extract_background(image, beam, detector, bins=150, surroundings=around)
    np.testing.assert_allclose(table.F, WATER.amplitude(table.s), rtol=2e-3)


@pytest.mark.parametrize("statistic", ["mean", "clipped", "median"])
def test_noise(statistic: str, water: Any) -> None:
    """Chi^2 of the bins against the truth is what their errors say, within 3 of its standard deviations."""
    noisy = np.random.default_rng(7).poisson(water).astype(float)
    table = extract_background(noisy, BEAM, DETECTOR, bins=120, statistic=statistic)
    truth = extract_background(water, BEAM, DETECTOR, bins=120, statistic=statistic)
    chi2 = float((((table.F - truth.F) / table.sigma) ** 2).sum())
    count = len(table.s)
    assert count > 100
    assert abs(chi2 - count) < 3 * math.sqrt(2 * count)


def test_spots_are_left_out() -> None:
    """1000 spots change clipped means and medians by less than 0.5 percent, and plain means by much more."""
    beam = BEAM.replace(flux=3e13)
    detector = DETECTOR.replace(pixel_mm=0.2, fpixels=480, spixels=400)
    rng = np.random.default_rng(5)
    plain = rng.poisson(image_of(WATER, beam, detector)).astype(float)
    spotty = plain.copy()
    slow, fast = rng.integers(2, 398, 1000), rng.integers(2, 478, 1000)
    height = 20 * plain.mean() * rng.uniform(0.3, 1, 1000)
    for ds in (-1, 0, 1):
        for df in (-1, 0, 1):
            np.add.at(spotty, (slow + ds, fast + df), height * math.exp(-(ds * ds + df * df)))

    def change(statistic: Any) -> Any:
        tables = [
            extract_background(image, beam, detector, bins=40, statistic=statistic)
            for image in (plain, spotty)
        ]
        return np.abs(tables[1].F / tables[0].F - 1)

    assert change("clipped").max() < 5e-3
    assert change("median").max() < 5e-3
    assert change(("quantile", 0.4)).max() < 5e-3
    assert change("mean").max() > 0.05


def test_rows_edges_and_masks(water: Any) -> None:
    """Pixels go to the nearest of given rows, or between given edges; masked ones to none."""
    rows = [0.05, 0.1, 0.12, 0.3, 0.9]
    table = extract_background(water, BEAM, DETECTOR, s=rows, min_pixels=1)
    assert table.s.tolist() == rows[:4] and table.n.sum() == water.size
    edges = [0.06, 0.11, 0.2]
    between = extract_background(water, BEAM, DETECTOR, bins=edges, min_pixels=1)
    assert len(between.s) == 2 and 0.06 < between.s[0] < 0.11 < between.s[1] < 0.2
    mask = np.ones(water.shape, np.uint8)
    mask[:, :120] = 0
    half = extract_background(water, BEAM, DETECTOR, s=rows, mask=mask, min_pixels=1)
    own = extract_background(water, BEAM, DETECTOR.replace(mask=mask), s=rows, min_pixels=1)
    assert half.n.sum() == water.size // 2 and half.n.tolist() == own.n.tolist()
    few = extract_background(water, BEAM, DETECTOR, bins=400)
    assert 100 < len(few.s) < 400 and few.n.min() >= 100


def test_negative_intensities() -> None:
    """F has the sign of the intensity, and an error where it is nothing."""
    detector = Detector(distance_mm=80, pixel_mm=0.8, fpixels=60, spixels=60)
    noise = np.random.default_rng(1).normal(-0.5, 3.0, (60, 60))
    table = extract_background(noise, BEAM, detector, bins=20)
    assert (table.F < 0).any() and (table.sigma > 0).all()


def test_a_table_can_be_rendered(tmp_path: Any, water: Any) -> None:
    table = extract_background(water, BEAM, DETECTOR, bins=250)
    table.save(tmp_path / "water.stol")
    read = Background(tmp_path / "water.stol")
    np.testing.assert_allclose(read.rows, table.background().rows, rtol=1e-7)
    assert len(table.lines()[1].split()) == 4
    s = pixel_factors(BEAM, DETECTOR).s
    covered = (s > table.s[0]) & (s < table.s[-1])
    assert covered.mean() > 0.9
    assert np.abs(image_of(read) / water - 1)[covered].max() < 2e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros((3, 4))}, r"shape \(3, 4\); the detector's is \(200, 240\)"),
        ({"mask": np.ones((3, 4))}, r"the mask has the shape \(3, 4\)"),
        ({"mask": np.zeros((200, 240))}, "no pixel can be used"),
        ({"like": Background("water", molecules=0)}, "no pixel can be used"),
        ({"statistic": "average"}, "statistic must be 'clipped', 'mean', 'median' or"),
        ({"statistic": ("quantile", 1.0)}, "above 0 and below 1"),
        ({"s": [0.2, 0.1]}, "ascending"),
        ({"bins": [0.2]}, "at least 2 ascending"),
        ({"bins": 0}, "bins must be a whole number"),
        ({"gain": 0}, "gain must be a finite number above 0"),
        ({"min_pixels": 10**6}, "no bin has 1000000 pixels"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    given = {"image": np.ones((200, 240)), "beam": BEAM, "detector": DETECTOR, **arguments}
    with pytest.raises(InputError, match=message):
        extract_background(**given)

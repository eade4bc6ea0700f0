"""Images with something in the way of the light: every pixel is what it was, times the oracle's factor."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import surroundings_oracle as oracle
from surroundings_scenes import AROUND, CRYSTAL, PANELS

import nbragg
from nbragg import Aperture, Beamstop, Detector, Surroundings
from nbragg.base.errors import NbraggWarning

Array = npt.NDArray[Any]


def image64(setup: nbragg.Setup, **options: Any) -> Array:
    return np.asarray(nbragg.simulate(setup, precision="double", **options).image, np.float64)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_every_pixel_is_weakened_by_the_factor(physics: str) -> None:
    """The mean over sources (by weight) and sub-pixels, at the fronts of the sensors; on two panels."""
    rays = nbragg.SourceList([[-9, 0, 0], [-9, 0.1, -0.2]], weights=[1, 3], wavelengths_A=[0.9, 1.3])
    setup = nbragg.Setup(
        CRYSTAL,
        nbragg.Beam(sources=rays, fluence=1e25),
        Detector(panels=PANELS, convention="mosflm"),
        nbragg.Sampling(background_oversample=2, oversample=1),
        physics,
    )
    scene = nbragg.build_scene(setup)
    factor = np.zeros((2, 6, 8))
    for number, panel in enumerate(scene.panels):
        for slow, fast in np.ndindex(6, 8):
            for sub in np.ndindex(2, 2):
                S, F = ((at + 0.25 + 0.5 * i) * 4.8 for at, i in zip((slow, fast), sub, strict=True))
                P = panel.pix0 * 1e3 + F * panel.fdet + S * panel.sdet
                for incident, wavelength, weight in zip(
                    scene.sources.incident, (0.9, 1.3), scene.sources.weight, strict=True
                ):
                    factor[number, slow, fast] += weight / 8 * oracle.transmission(
                        AROUND,
                        PANELS[number].front,
                        beam=np.array([1.0, 0, 0]),
                        polar=np.array([0, 0, 1.0]),
                        normal=panel.odet,
                        incident=incident,
                        wavelength_A=wavelength,
                        at=np.zeros(3),
                        P=P,
                    )  # fmt: skip
    assert (factor == 0).any() and len(np.unique(factor)) > 60
    plain = image64(setup.replace(panels=[panel.replace(front=()) for panel in PANELS]))
    found = image64(setup.replace(surroundings=AROUND))
    np.testing.assert_allclose(found, plain * factor, rtol=3e-7, atol=0)
    trace = nbragg.trace_pixel(
        nbragg.build_scene(setup.replace(surroundings=AROUND)), panel=1, slow=3, fast=5
    )
    assert trace.transmission == pytest.approx(factor[1, 3, 5], rel=1e-12)


def test_without_anything_in_the_way_nothing_changes() -> None:
    """No bit of it, with an empty record as without one."""
    setup = nbragg.Setup(CRYSTAL, detector=Detector(fpixels=20, spixels=20, pixel_mm=2))
    with_nothing = setup.replace(surroundings=Surroundings())
    assert nbragg.build_scene(with_nothing).backdrop is None
    np.testing.assert_array_equal(nbragg.simulate(setup).image, nbragg.simulate(with_nothing).image)


SQUARE = Detector(distance_mm=100, pixel_mm=0.5, fpixels=61, spixels=61, Xbeam_mm=15, Ybeam_mm=15)


def shadows(stop: Any, kind: str = "beamstops", oversample: int = 1) -> Array:
    """A uniform glow behind something, over the same without it: the shadow."""
    glow = nbragg.RadialCurve(np.array([0.0, 1.0]), np.array([1.0, 1.0]), polarized=False)
    nothing = CRYSTAL.replace(structure_factors=nbragg.StructureFactors.constant(0))
    setup = nbragg.Setup(
        nothing,
        nbragg.Beam(nopolar=True),
        SQUARE,
        nbragg.Sampling(background_oversample=oversample),
        backgrounds=glow,
    )
    free = image64(setup)
    return np.asarray(image64(setup.replace(surroundings=Surroundings(**{kind: stop}))) / free)


def test_an_arm_turned_by_a_right_angle_turns_the_image() -> None:
    """u along the fast axis, v along the slow one."""
    stop = Beamstop(distance_mm=20, diameter_mm=2.03, arm_width_mm=0.53, centre_mm=(0, 0))
    images = [shadows(stop.replace(arm_angle_deg=90 * k), oversample=3) for k in range(4)]
    assert images[0][30, -1] == 0 and images[0][30, 0] == 1 and images[1][-1, 30] == 0
    for k in range(4):
        np.testing.assert_allclose(np.rot90(images[0], -k), images[k], atol=1e-6)


@pytest.mark.parametrize("oversample", [1, 4])
def test_dark_pixels_behind_a_beam_stop(oversample: int) -> None:
    """Their number is the area of the shadow within its perimeter; with sub-pixels its sum is much nearer."""
    radius = 100 / 20 * 1.01 / 0.5  # pixels
    share = shadows(Beamstop(distance_mm=20, diameter_mm=2.02), oversample=oversample)
    dark, area = (1 - share).sum(), math.pi * radius**2
    assert abs(dark - area) < 2 * math.pi * radius / oversample**1.5
    assert ((share > 0) & (share < 1)).any() == (oversample > 1)
    hole = shadows(Aperture(distance_mm=20, diameter_mm=2.02), "apertures", oversample)
    np.testing.assert_allclose(share + hole, 1, atol=1e-6)


def test_air_on_the_axis() -> None:
    """100 mm of air at 12398.42 eV pass 0.9675 of what is scattered straight on."""
    setup = nbragg.Setup(CRYSTAL, detector=SQUARE)
    ratio = image64(setup.replace(surroundings=Surroundings(gas="air"))) / image64(setup)
    assert ratio[30, 30] == pytest.approx(0.9675, abs=5e-5)
    mu, place = nbragg.attenuation("air", 12398.42), np.hypot(0.1, 0.5e-3 * 30)
    assert ratio[30, 0] == pytest.approx(math.exp(-mu * place), rel=1e-6)


def test_everything_weakens_in_proportion_to_the_fluence() -> None:
    """And threads change no bit."""
    setup = nbragg.Setup(
        CRYSTAL, nbragg.Beam(fluence=1e20), Detector(panels=PANELS), surroundings=AROUND,
        backgrounds=nbragg.Background("water"),
    )  # fmt: skip
    one = image64(setup, threads=1)
    np.testing.assert_array_equal(image64(setup, threads=2), one)
    np.testing.assert_allclose(image64(setup.replace(fluence=3e20)), 3 * one, rtol=1e-6)


def test_expected_reflections_are_weakened_alike() -> None:
    """Photons of a spot without rendering: times the factor at its middle; partialities stay."""
    detector = Detector(panels=PANELS[0].cut(2, 2))
    crystal = CRYSTAL.replace(N=12, osc_deg=1.0, phisteps=10)
    setup = nbragg.Setup(crystal, nbragg.Beam(fluence=1e25), detector)
    around = AROUND.replace(beamstops=(), apertures=())
    plain = nbragg.expected_reflections(
        nbragg.build_scene(setup.replace(detector=Detector(panels=PANELS[0].replace(front=()).cut(2, 2))))
    )
    found = nbragg.expected_reflections(nbragg.build_scene(setup.replace(surroundings=around)))
    assert len(found) == len(plain) > 50 and len(np.unique(found["panel"])) == 4
    np.testing.assert_array_equal(plain["transmission"], 1)
    np.testing.assert_allclose(found["counts"], found["transmission"] * plain["counts"], rtol=1e-12)
    np.testing.assert_allclose(found["partiality"], plain["partiality"], rtol=1e-12)
    scene = nbragg.build_scene(setup)
    for row in found[:: len(found) // 5]:
        panel = scene.panels[row["panel"]]
        at = row["xyz_mm"][:2] + np.multiply(panel.first, panel.pixel) * 1e3
        expected = oracle.transmission(
            around,
            PANELS[0].front,
            beam=np.array([1.0, 0, 0]),
            polar=np.array([0, 0, 1.0]),
            normal=panel.odet,
            incident=scene.sources.incident[0],
            wavelength_A=1.0,
            at=np.zeros(3),
            P=panel.pix0 * 1e3 + at[0] * panel.fdet + at[1] * panel.sdet,
        )
        assert row["transmission"] == pytest.approx(expected, rel=1e-9)


def test_a_stop_behind_the_detector_is_told() -> None:
    """At 100 mm it still shades; beyond it nothing does."""
    setup = nbragg.Setup(CRYSTAL, detector=SQUARE)
    plain = image64(setup)
    stop = Beamstop(distance_mm=101, diameter_mm=20)
    with pytest.warns(NbraggWarning, match=r"Beamstop at 101 mm .* behind the detector, .* at 100 mm"):
        behind = image64(setup.replace(surroundings=Surroundings(beamstops=[stop])))
    assert np.array_equal(behind, plain)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*behind the detector")
        shaded = image64(setup.replace(surroundings=Surroundings(beamstops=[stop.replace(distance_mm=99)])))
    assert not shaded[30, 30] and plain[30, 30]

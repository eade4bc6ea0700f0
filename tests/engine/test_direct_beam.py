"""The direct beam on the detector: all its photons, where they belong, weakened by what is in the way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Aperture, Beamstop, Detector, SampleAbsorption, Surroundings, Window

Array = npt.NDArray[Any]
FACTORS = nbragg.StructureFactors.constant(0)
CRYSTAL = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=FACTORS)
FLUX = 1e10


def image(around: dict[str, Any], detector: Detector, **beam: Any) -> Array:
    """Photons when the whole beam has FLUX of them."""
    size = beam.setdefault("beamsize_mm", 0.3)
    beam = {"fluence": FLUX / (size * 1e-3) ** 2, **beam}
    surroundings = Surroundings(direct_beam=True, **around)
    setup = nbragg.Setup(CRYSTAL, nbragg.Beam(**beam), detector, surroundings=surroundings)
    return np.asarray(nbragg.simulate(setup, threads=1).image, np.float64)


SMALL = Detector(distance_mm=100, fpixels=40, spixels=31, pixel_mm=0.1, Xbeam_mm=1.83, Ybeam_mm=1.32)


def test_pixels_hold_integrals_of_the_profile() -> None:
    """Normal incidence: products of error functions about the beam's place."""
    sigma = 0.3 / math.sqrt(8 * math.log(2))
    place = nbragg.build_scene(nbragg.Setup(CRYSTAL, detector=SMALL)).placement.panels[0]
    shares = []
    for count, centre in ((31, place.Sbeam * 1e3), (40, place.Fbeam * 1e3)):
        edge = (np.arange(count + 1) * 0.1 - centre) / sigma / math.sqrt(2)
        shares.append(0.5 * np.diff([math.erf(x) for x in edge]))
    expected = FLUX * shares[0][:, np.newaxis] * shares[1]
    np.testing.assert_allclose(image({}, SMALL), expected, rtol=2e-7, atol=1e-14 * FLUX)  # float32


@pytest.mark.parametrize(
    "tilt", [{}, {"rotx_deg": 20}, {"roty_deg": -35, "rotz_deg": 12}, {"twotheta_deg": 1}]
)
def test_no_photon_is_lost(tilt: dict[str, float]) -> None:
    """Whichever way the plane stands, and however coarse its pixels are beside the beam."""
    for pixel_mm, count in ((0.1, 150), (2.0, 9)):
        size: dict[str, Any] = {"fpixels": count, "spixels": count, "pixel_mm": pixel_mm, **tilt}
        detector = Detector(distance_mm=60, pivot="beam", **size)
        assert image({}, detector).sum() == pytest.approx(FLUX, rel=1e-6)


def test_it_is_the_sum_over_a_fine_grid() -> None:
    """A tilted panel, point by point: Gaussian across the beam times the area that a point has across it."""
    panel = nbragg.Panel(
        origin_mm=(50, 1.1, -1.3),
        fast=(0.5, -1, 0.2),
        slow=(-0.4, 0, 1),
        fpixels=12,
        spixels=10,
        pixel_mm=0.2,
    )
    detector = Detector(panels=[panel])
    scene = nbragg.build_scene(nbragg.Setup(CRYSTAL, detector=detector))
    where, fine = scene.panels[0], 40
    c = [(np.arange(n * fine) + 0.5) * 0.2e-3 / fine for n in (10, 12)]
    P = c[1][:, np.newaxis] * where.fdet + c[0][:, np.newaxis, np.newaxis] * where.sdet + where.pix0
    sigma = 0.3e-3 / math.sqrt(8 * math.log(2))
    rho = np.exp(-0.5 * (P[..., 1] ** 2 + P[..., 2] ** 2) / sigma**2) / (2 * math.pi * sigma**2)
    area = (0.2e-3 / fine) ** 2 * where.odet[0]
    expected = FLUX * area * rho.reshape(10, fine, 12, fine).sum(axis=(1, 3))
    found = image({}, detector)
    assert expected.max() > 1e-3 * FLUX
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7 * expected.max())


def test_every_source_has_its_spot_and_its_share() -> None:
    """Two directions, weights 1 and 3, and pieces of one plane that hold them together."""
    rays = nbragg.SourceList([[-100, 0, 0], [-100, 1.8, 0]], weights=[1, 3])
    whole = nbragg.Panel(
        origin_mm=(100, 1, -1), fast=(0, -1, 0), slow=(0, 0, 1), fpixels=40, spixels=20, pixel_mm=0.1
    )
    found = image({}, Detector(panels=[whole]), sources=rays)
    assert found[:, :19].sum() == pytest.approx(FLUX / 4, rel=1e-6)
    assert found[:, 19:].sum() == pytest.approx(3 * FLUX / 4, rel=1e-6)
    pieces = image({}, Detector(panels=whole.cut(2, 2)), sources=rays)
    together = np.block([[pieces[0], pieces[1]], [pieces[2], pieces[3]]])
    np.testing.assert_allclose(together, found, rtol=1e-12, atol=1e-30)


def test_what_is_in_the_way_weakens_it() -> None:
    """A window, a body straight through, the sensor, and a stop that takes all of it or half."""
    mu = nbragg.attenuation("Al", 12398.42)
    total = image({}, SMALL).sum()
    window = {"windows": Window(material="Al", thickness_um=50)}
    assert image(window, SMALL).sum() / total == pytest.approx(math.exp(-50e-6 * mu), rel=1e-6)
    slab = {"sample_absorption": SampleAbsorption(material="Al", thickness_mm=0.05)}
    assert image(slab, SMALL).sum() / total == pytest.approx(math.exp(-50e-6 * mu), rel=1e-6)
    ball = {"sample_absorption": SampleAbsorption(material="Al", radius_mm=3)}
    narrow = image(ball, SMALL, beamsize_mm=1e-3).sum() / FLUX
    assert narrow == pytest.approx(math.exp(-6e-3 * mu), rel=1e-3)
    sensor = SMALL.replace(material="Si", thickness_um=300)
    depth = nbragg.attenuation("Si", 12398.42, kind="photo")
    assert image({}, sensor).sum() / total == pytest.approx(1 - math.exp(-300e-6 * depth), rel=1e-6)
    stop = {"beamstops": Beamstop(distance_mm=30, diameter_mm=3, transmission=1e-6)}
    assert image(stop, SMALL).sum() / total == pytest.approx(1e-6, rel=1e-6)
    hole = {
        "apertures": Aperture(distance_mm=-30, diameter_mm=4, centre_mm=(2, 0))
    }  # its edge through the beam
    fine = nbragg.Sampling(background_oversample=9)
    setup = nbragg.Setup(
        CRYSTAL,
        nbragg.Beam(beamsize_mm=0.3, fluence=FLUX / 0.3e-3**2),
        SMALL,
        fine,
        surroundings=Surroundings(direct_beam=True, **hole),
    )
    assert nbragg.simulate(setup).image.sum() / FLUX == pytest.approx(0.5, abs=0.02)


def test_only_rendered_pixels_have_it_and_a_trace_tells() -> None:
    mask = np.ones((31, 40), np.uint8)
    mask[:, 18:] = 0
    whole, part = image({}, SMALL), image({}, SMALL.replace(mask=mask))
    np.testing.assert_array_equal(part, np.where(mask, whole, 0))
    beam = nbragg.Beam(beamsize_mm=0.3, fluence=FLUX / 0.3e-3**2)
    setup = nbragg.Setup(CRYSTAL, beam, SMALL, surroundings=Surroundings(direct_beam=True))
    slow, fast = np.unravel_index(whole.argmax(), whole.shape)
    trace = nbragg.trace_pixel(nbragg.build_scene(setup), slow=int(slow), fast=int(fast))
    assert trace.background == pytest.approx(whole.max(), rel=1e-6)


def test_it_needs_a_beam_with_a_size_and_a_flat_detector() -> None:
    around = Surroundings(direct_beam=True)
    for beam, detector, said in (
        (nbragg.Beam(beamsize_mm=0), SMALL, "the beam needs a size"),
        (nbragg.Beam(beamsize_mm=-1), SMALL, "the beam needs a size"),
        (nbragg.Beam(), SMALL.replace(curved=True), "must be flat"),
    ):
        with pytest.raises(nbragg.InputError, match=said):
            nbragg.build_scene(nbragg.Setup(CRYSTAL, beam, detector, surroundings=around))

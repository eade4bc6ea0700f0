"""Each step of an integrating detector alone: its mean, its noise, what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from detectors import STAGES

from nbragg import DetectorResponse, GainStage, _engine, detect
from nbragg.engine.options import RenderOptions
from nbragg.response.chain import CpuChain, Exposed
from nbragg.response.expected.psf import spread
from nbragg.response.parameters import Conditions, chain_record

SHAPE = (128, 160)
N = SHAPE[0] * SHAPE[1]


def pixels(m: float, seed: int = 1, image: int = 0, shape: tuple[int, int] = SHAPE, **fields: Any) -> Any:
    """float64 of a flat image, before the digits."""
    response = DetectorResponse(**{"bits": 0, "adc": 0, **fields})
    return detect(np.full(shape, m), response, seed, image=image, energy_eV=9000).pixels.astype(float)


def correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("m", [0.2, 8.0, 40.0, 1e6])
def test_counting(m: float) -> None:
    found = pixels(m)
    assert abs(found.mean() - m) < 4 * np.sqrt(m / N)
    assert abs(found.var() / m - 1) < 4 * np.sqrt((2 + 1 / m) / N)


def test_chain_on_absolute_scale() -> None:
    """Mean ADU of 10^6 pixels = gain m + adc."""
    response = DetectorResponse(gain=1.7, readout=4, calibration=0.03, fano=0.12, bits=20)
    m = 12.3
    found = detect(np.full((1000, 1000), m), response, 3, energy_eV=9000).pixels
    assert abs(found.mean() - (1.7 * m + 40)) < 4 * found.std() / 1000


def test_energy_is_kept() -> None:
    """(ADU - adc)/(gain per keV) adds up to the energy of the photons."""
    photons = np.random.default_rng(1).gamma(0.5, 40, SHAPE)
    response = DetectorResponse(gain=0.3, gain_per_keV=True, readout=2, bits=32)
    found = detect(photons, response, 3, energy_eV=12_400).pixels.astype(float)
    keV = (found - 40).sum() / 0.3
    error = np.sqrt(12.4**2 * photons.sum() + N * (2**2 + 1 / 12) / 0.3**2)
    assert abs(keV - 12.4 * photons.sum()) < 4 * error


def test_flicker_is_one_factor_for_an_image() -> None:
    """Ratios of images vary by f, pixels of an image do not."""
    f, m, images = 0.05, 1e9, 600
    drawn = np.array([pixels(m, image=i, shape=(4, 8), flicker=f) for i in range(images)]) / m
    factors = drawn.mean(axis=(1, 2))
    assert abs(factors.mean() - 1) < 4 * f / np.sqrt(images)
    assert abs(factors.std() / f - 1) < 4 / np.sqrt(2 * images)
    assert drawn.std(axis=(1, 2)).max() < 2e-4  # counting alone has 3e-5
    ratios = factors[::2] / factors[1::2]
    assert abs(ratios.std() / (np.sqrt(2) * f) - 1) < 4 / np.sqrt(images)
    inside = correlation(drawn[:, 0, 0] - factors, drawn[:, 0, 1] - factors)
    assert abs(inside) < 4 / np.sqrt(images) + 1 / 31
    panels = detect([np.full((2, 2), m)] * 2, DetectorResponse(flicker=f, bits=0, adc=0), 1).pixels
    assert panels[0].mean() / m == pytest.approx(factors[0], abs=2e-4)
    assert panels[1].mean() / m == pytest.approx(factors[0], abs=2e-4)


@pytest.mark.parametrize("kind", ["gain", "loss"])
def test_calibration_is_a_fixed_pattern(kind: str) -> None:
    c, m = 0.03, 1e9
    first, second = (pixels(m, image=i, calibration=c, calibration_as=kind) / m for i in (0, 1))
    assert abs(first.mean() - 1) < 4 * c / np.sqrt(N)
    assert abs(first.std() / c - 1) < 4 / np.sqrt(2 * N)
    assert correlation(first, second) > 0.99999
    assert correlation(first, pixels(m, seed=99, calibration=c, calibration_as=kind)) > 0.99999
    other = pixels(m, calibration=c, calibration_as=kind, calib_seed=7)
    assert abs(correlation(first, other)) < 4 / np.sqrt(N)


def test_gain_scales_noise_and_loss_does_not() -> None:
    """With the pattern divided out, gain leaves counts, loss the noise of fewer photons."""
    pattern = pixels(1e12, calibration=0.3) / 1e12
    low = (pattern > 0.1) & (pattern < 0.7)
    gain = pixels(20, calibration=0.3)[low] / pattern[low]
    assert np.abs(gain - np.round(gain)).max() < 1e-4
    loss = pixels(20, calibration=0.3, calibration_as="loss")[low]
    assert np.array_equal(loss, np.round(loss))
    expected = 20 * pattern[low]
    assert abs(((loss - expected) ** 2 / expected).mean() - 1) < 4 * np.sqrt((2 + 1 / 8) / low.sum())


def test_readout() -> None:
    found = pixels(0.0, readout=3.0, adc=40)
    assert abs(found.mean() - 40) < 4 * 3 / np.sqrt(N)
    assert abs(found.std() / 3 - 1) < 4 / np.sqrt(2 * N)
    assert abs(correlation(found, pixels(0.0, image=1, readout=3.0))) < 4 / np.sqrt(N)


def test_fano() -> None:
    """With as much noise of the charge as of the counting, for it to be seen; none without photons."""
    m = 50.0
    found = pixels(m, fano=1, pair_energy_eV=9000)
    assert abs(found.mean() - m) < 4 * np.sqrt(2 * m / N)
    assert abs(found.var() / (2 * m) - 1) < 4 * np.sqrt(3 / N)
    assert not pixels(0.0, fano=1, pair_energy_eV=9000).any()
    few = pixels(0.3, fano=0.1)
    assert (few[pixels(0.3) == 0] == 0).all()


def test_dead_and_hot_pixels() -> None:
    """Fixed pixels, that many, with what they show; dead wins."""
    fields: dict[str, Any] = {"bits": 16, "adc": 40, "dead_fraction": 0.1, "hot_fraction": 0.05}
    first, second = (pixels(500, image=i, **fields) for i in (0, 1))
    for value, fraction in ((40, 0.1), (65535, 0.05 * 0.9)):
        chosen = first == value
        assert np.array_equal(chosen, second == value)
        assert abs(chosen.mean() - fraction) < 4 * np.sqrt(fraction / N)
    moved = pixels(500, **fields, dead_seed=1, hot_seed=2)
    assert abs(correlation(first == 40, moved == 40)) < 4 / np.sqrt(N)
    assert abs(correlation(first == 65535, moved == 65535)) < 4 / np.sqrt(N)
    flagged = pixels(500, **fields, flag_dead=True, mask_value=7)
    assert np.array_equal(flagged == 7, first == 40)
    warm = pixels(500, **fields, hot_adu=530)
    assert warm[first == 65535].min() == 530 and warm[first == 65535].max() > 530


@pytest.mark.parametrize("readout", [0.0, 3.0])
def test_overloads_and_underloads(readout: float) -> None:
    """Those of the image before it is digitised."""
    photons = np.random.default_rng(2).gamma(0.3, 300, SHAPE)
    fields: dict[str, Any] = {
        "gain": 1.5,
        "readout": readout,
        "adc": 2.26,
    }  # float32 rounds nothing to a half
    before = detect(photons, DetectorResponse(**fields, bits=0), 4).pixels.astype(float)
    whole = np.floor(before + 0.5)
    for bits, most in ((8, 255), (12, 1000), (16, 65535)):
        found = detect(photons, DetectorResponse(**fields, bits=bits, saturation=most), 4)
        assert found.overloads == (whole > most).sum()
        assert found.underloads == (whole < 0).sum()
        assert np.array_equal(found.pixels, np.clip(whole, 0, most))
        rolled = detect(photons, DetectorResponse(**fields, bits=bits, overflow="wrap"), 4)
        assert np.array_equal(rolled.pixels, whole % 2**bits)
        assert rolled.overloads == (whole > 2**bits - 1).sum()


def read_out(charge: npt.NDArray[np.float64], response: DetectorResponse) -> tuple[Any, Any]:
    """The last part of the chain alone: pixels and stages for a given charge, in photons of 10 keV."""
    pixels = np.zeros(charge.shape, response.pixel_dtype)
    stages = np.zeros(charge.shape, np.uint8)
    chain = CpuChain(RenderOptions(), chain_record(response, Conditions(1, energy_eV=10_000.0)))
    chain.respond(Exposed(_engine.CHAIN_PARTS["read"], 0, charge, pixels, None, stages))
    return pixels, stages


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gain_stages(count: int) -> None:
    """Piecewise linear; corrected, monotone to the step of the digits and right to half of it."""
    quiet = [stage.replace(readout_adu=0, switch_spread_keV=0) for stage in STAGES[:count]]
    quiet[-1] = quiet[-1].replace(switch_keV=np.inf)
    charge = np.concatenate([np.linspace(0, 50, 5000), np.linspace(50, 10_000, 20_000)])
    raw, stages = read_out(charge, DetectorResponse(gain_stages=quiet, raw=True))
    assert np.array_equal(stages, np.searchsorted([32.0, 1200.0][: count - 1], charge))
    assert np.array_equal(raw >> 14, np.array([0, 1, 3])[stages])
    adu = np.array([stage.pedestal_adu + stage.gain_adu_per_keV * 10 * charge for stage in quiet])
    exact = np.clip(np.floor(adu[stages, np.arange(charge.size)] + 0.5), 0, 2**14 - 1)
    assert np.array_equal(raw & 0x3FFF, exact)
    corrected, _ = read_out(charge, DetectorResponse(gain_stages=quiet))
    step = np.array([1 / abs(10 * stage.gain_adu_per_keV) for stage in quiet])[stages]
    inside = (exact > 0) & (exact < 2**14 - 1)
    assert (np.abs(corrected - charge)[inside] <= 0.501 * step[inside] + 1e-3).all()
    assert (np.diff(corrected) >= -0.5 * (step[1:] + step[:-1]) - 1e-3).all()


def test_switch_points_differ_from_pixel_to_pixel() -> None:
    """By their spread, and always alike in one pixel."""
    stages = [
        GainStage(gain_adu_per_keV=1, pedestal_adu=0, readout_adu=0, switch_keV=100, switch_spread_keV=10),
        GainStage(gain_adu_per_keV=0.1, pedestal_adu=0, readout_adu=0),
    ]
    response = DetectorResponse(gain_stages=stages)
    for keV, fraction in ((90, 0.1586553), (100, 0.5), (115, 0.9331928)):
        _, found = read_out(np.full(SHAPE, keV / 10), response)
        assert abs(found.mean() - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / N)
        assert np.array_equal(found, read_out(np.full(SHAPE, keV / 10), response)[1])
    assert not read_out(np.full(SHAPE, 0.9), response)[1].any()
    assert read_out(np.full(SHAPE, 19.1), response)[1].all()


def test_gaps_and_flags() -> None:
    """Where there is no sensor there are no photons; what is not reported is there all the same."""
    photons = np.zeros((9, 9))
    photons[4, 4] = 1e6
    sensor = np.ones((9, 9), bool)
    sensor[4, 4] = False
    psf: dict[str, Any] = {"psf": "gauss", "psf_fwhm_um": 150, "adc": 0, "signed": True}
    response = DetectorResponse(**psf, bits=32)
    without = detect(photons, response, 1, masks=sensor, pixel_um=75).pixels
    assert without[4, 4] == -1 and without[sensor].sum() == 0
    around = detect(photons, response, 1, rois=(4, 4, 4, 4), pixel_um=75).pixels
    hidden = np.ones((9, 9), bool)
    hidden[4, 4] = False
    assert around[4, 4] > 1e5 and (around[hidden] == -1).all()
    beside = detect(photons, response, 1, rois=(5, 8, 0, 8), pixel_um=75).pixels
    assert beside[4, 5] > 1e4
    unsigned = detect(
        photons, response.replace(signed=False, gap_value=9), 1, masks=sensor, pixel_um=75
    ).pixels
    assert unsigned[4, 4] == 9 and unsigned.dtype == np.uint32


@pytest.mark.slow
def test_moments_of_a_spot() -> None:
    """4000 exposures of a spot: mean, variance and covariance of neighbours are those of the response."""
    y, x = np.mgrid[:12, :12] - 5.5
    photons = 5 + 200 * np.exp(-(x * x + y * y) / 3)
    response = DetectorResponse(psf="gauss", psf_fwhm_um=120, gain=2, readout=3, bits=20)
    drawn = np.array([detect(photons, response, 8, image=i, pixel_um=75).pixels for i in range(4000)], float)
    mean, variance = response.moments(photons, pixel_um=75)
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(variance / 4000)).all()
    assert (drawn.var(axis=0) / variance).mean() == pytest.approx(1, abs=0.01)
    ones = np.eye(photons.size).reshape(-1, *photons.shape)
    K = np.array([spread(one, response, 75) for one in ones])  # (from, slow, fast)
    expected = response.gain**2 * np.tensordot(photons.ravel(), K[:, :, 1:] * K[:, :, :-1], 1)
    off = drawn - drawn.mean(axis=0)
    found = (off[:, :, 1:] * off[:, :, :-1]).mean(axis=0)
    assert found.sum() / expected.sum() == pytest.approx(1, abs=0.05)

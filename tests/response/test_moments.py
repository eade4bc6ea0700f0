"""Mean and variance of pixels, and their slopes, against covariance matrices and draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import response_oracle as oracle

from nbragg import DetectorResponse, GainStage, InputError
from nbragg.response.detect import detect

PIXELS = (90.0, 60.0)
ENERGY = 9000.0
RNG = np.random.default_rng(3)
PHOTONS = RNG.random((4, 5)) * 40
STEP = 1e-30

CCD: dict[str, Any] = {
    "scale": 1.3,
    "flicker": 0.05,
    "calibration": 0.04,
    "psf": "fiber",
    "psf_fwhm_um": 110.0,
    "charge_sigma_um": 25.0,
    "fano": 0.12,
    "gain": 2.1,
    "readout": 3.0,
    "adc": 17.0,
}
CASES = {
    "after": CCD,
    "gauss": CCD | {"psf": "gauss", "gain_per_keV": True},
    "loss": CCD | {"calibration_as": "loss"},
    "before": CCD | {"psf_stage": "before", "calibration_as": "loss", "charge_sigma_um": 0.0},
    "before gauss": CCD | {"psf": "gauss", "psf_stage": "before"},
    "charge": CCD | {"psf": "none"},
    "no spread": CCD | {"psf": "none", "charge_sigma_um": 0.0, "bits": 0},
}


def of_oracle(case: dict[str, Any], photons: oracle.Array = PHOTONS) -> tuple[oracle.Array, oracle.Array]:
    """Mean and covariance matrix of an integrating detector; numbers may be complex."""
    defaults: dict[str, Any] = {"calibration_as": "gain", "psf_stage": "after", "bits": 16}
    values = defaults | {"gain_per_keV": False} | case
    psf = charge = None
    reach = 14
    if values["psf"] != "none":
        psf = oracle.kernel(values["psf"], values["psf_fwhm_um"], reach, PIXELS)
    if values["charge_sigma_um"]:
        charge = oracle.charge_kernel(values["charge_sigma_um"], 4, PIXELS)
    before = psf if values["psf_stage"] == "before" else None
    after = [k for k in (None if before is not None else psf, charge) if k is not None]
    pattern = values["calibration"]
    loss = values["calibration_as"] == "loss"
    return oracle.statistics(
        values["scale"] * photons,
        before=before,
        after=oracle.then(*after) if len(after) == 2 else after[0] if after else None,
        gain=values["gain"] * (ENERGY / 1000 if values["gain_per_keV"] else 1),
        adc=values["adc"],
        readout=values["readout"],
        flicker=values["flicker"],
        gain_pattern=0.0 if loss else pattern,
        loss_pattern=pattern if loss else 0.0,
        excess=values["fano"] * 3.65 / ENERGY,
        rounding=1 / 12 if values["bits"] else 0.0,
    )


def oracle_moments(case: dict[str, Any]) -> tuple[oracle.Array, oracle.Array]:
    mean, covariance = of_oracle(case)
    return mean.reshape(PHOTONS.shape), np.diag(covariance).reshape(PHOTONS.shape)


@pytest.mark.parametrize("name", CASES)
def test_integrating(name: str) -> None:
    """Flicker of what a pattern moves is of fourth order, and in one of the two only."""
    mean, variance = DetectorResponse(**CASES[name]).moments(PHOTONS, pixel_um=PIXELS, energy_eV=ENERGY)
    expected = oracle_moments(CASES[name])
    np.testing.assert_allclose(mean, expected[0], rtol=1e-10)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("field", [key for key in CCD if key != "psf"])
def test_slopes_of_integrating(name: str, field: str) -> None:
    case = CASES[name]
    response = DetectorResponse(**case)
    found = response.moment_slopes(PHOTONS, field, pixel_um=PIXELS, energy_eV=ENERGY)
    if not case[field] or (field == "psf_fwhm_um" and case["psf"] == "none"):
        assert not found.mean.any() and not found.variance.any()
        return
    expected = [part.imag / STEP for part in oracle_moments(case | {field: case[field] + STEP * 1j})]
    for part, exact in zip(found, expected, strict=True):
        scale = max(np.abs(exact).max(), 1e-12)
        np.testing.assert_allclose(part, exact, atol=1e-9 * scale)


def test_losses_before_light_and_charge_spread_in_turn() -> None:
    """Both kernels in one: right but where light leaves the image, from which charge could come back."""
    photons = np.pad(PHOTONS, 6)
    case = CCD | {"psf": "gauss", "psf_fwhm_um": 80.0, "charge_sigma_um": 20.0}
    case |= {"psf_stage": "before", "calibration_as": "loss", "calibration": 0.5}
    mean, variance = DetectorResponse(**case).moments(photons, pixel_um=PIXELS, energy_eV=ENERGY)
    expected = of_oracle(case, photons)
    np.testing.assert_allclose(mean.ravel(), expected[0], rtol=1e-10)
    np.testing.assert_allclose(variance.ravel(), np.diag(expected[1]), rtol=1e-9)


COUNTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "retriggering": {"dead_time_ns": 120.0},
    "paralysable": {"dead_time_ns": 120.0, "retrigger": False},
    "corrected": {"dead_time_ns": 120.0, "rate_correction": True},
    "corrected paralysable": {"dead_time_ns": 120.0, "retrigger": False, "rate_correction": True},
    "pulsed": {"pulsed": 90},
}
EXPOSURE = 1e-5


def counted(case: dict[str, Any], rate: Any) -> tuple[Any, Any, Any]:
    """Mean, variance and slope of the mean by the rate, all from the mean's formula by complex steps."""

    def mean_of(a: Any) -> Any:
        if "pulsed" in case:
            return case["pulsed"] * (1 - np.exp(-a / case["pulsed"]))
        t = case.get("dead_time_ns", 0.0) * 1e-9 / EXPOSURE
        mean = oracle.counting(a, t, paralysable=not case.get("retrigger", True))[0]
        if not case.get("rate_correction"):
            return mean
        return mean / (1 - mean * t) if case.get("retrigger", True) else a

    if "pulsed" in case:
        p = 1 - np.exp(-rate / case["pulsed"])
        variance = case["pulsed"] * p * (1 - p)
    else:
        t = case.get("dead_time_ns", 0.0) * 1e-9 / EXPOSURE
        paralysable = not case.get("retrigger", True)
        variance = oracle.counting(rate, t, paralysable=paralysable)[1]
        if case.get("rate_correction"):
            measured = oracle.counting(rate + STEP * 1j, t, paralysable=paralysable)[0].imag / STEP
            corrected = mean_of(rate + STEP * 1j).imag / STEP
            variance = variance * (corrected / measured) ** 2 + 1 / 12
    return mean_of(rate), variance, mean_of(rate + STEP * 1j).imag / STEP


@pytest.mark.parametrize("name", COUNTERS)
def test_counting(name: str) -> None:
    """Flicker and losses move the rate, and counts with it."""
    case = COUNTERS[name]
    response = DetectorResponse(
        kind="counting", scale=1.3, flicker=0.05, calibration=0.04, psf="gauss", psf_fwhm_um=110.0, **case
    )
    mean, variance = response.moments(PHOTONS, pixel_um=PIXELS, exposure_s=EXPOSURE)
    spread = oracle.matrix(oracle.kernel("gauss", 110.0, 10, PIXELS), PHOTONS.shape)
    m = 1.3 * PHOTONS.ravel()
    rate = spread @ m
    moved = 0.05**2 * rate**2 + 0.04**2 * (spread**2 @ m**2)
    expected = counted(case, rate)
    np.testing.assert_allclose(mean.ravel(), expected[0], rtol=1e-10)
    np.testing.assert_allclose(variance.ravel(), expected[1] + expected[2] ** 2 * moved, rtol=1e-9)


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize("field", ["scale", "flicker", "calibration", "psf_fwhm_um", "dead_time_ns"])
def test_slopes_of_counting(name: str, field: str) -> None:
    """Against differences of fourth order."""
    response = DetectorResponse(
        kind="counting",
        scale=1.3,
        flicker=0.05,
        calibration=0.04,
        psf="fiber",
        psf_fwhm_um=110.0,
        charge_sigma_um=9.0,
        threshold=0.3,
        **COUNTERS[name],
    )
    found = response.moment_slopes(PHOTONS, field, pixel_um=PIXELS, exposure_s=EXPOSURE)
    value = getattr(response, field)
    if not value:
        assert not found.mean.any() and not found.variance.any()
        return
    h = 1e-3 * value

    def at(step: float) -> oracle.Array:
        changed = response.replace(**{field: value + step * h})
        return np.array(changed.moments(PHOTONS, pixel_um=PIXELS, exposure_s=EXPOSURE))

    expected = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_a_saturated_counter_is_corrected_to_the_lower_of_two_rates() -> None:
    """Beyond one photon in a dead time more light gives fewer counts."""
    response = DetectorResponse(kind="counting", dead_time_ns=1e3, retrigger=False, rate_correction=True)
    rate = np.array([[0.2, 0.99, 1.01, 1.7, 4.0]])  # photons in a dead time
    mean, _ = response.moments(rate * 1000, exposure_s=1e-3)
    found = mean / 1000
    np.testing.assert_allclose(found * np.exp(-found), rate * np.exp(-rate), rtol=1e-9)
    assert (found[0, :2] == pytest.approx(rate[0, :2], rel=1e-12)) and (found[0, 2:] < 1).all()


def test_covariance_of_neighbours() -> None:
    for name in ("after", "gauss", "loss", "charge"):
        response = DetectorResponse(**CASES[name])
        whole = of_oracle(CASES[name])[1].reshape(*PHOTONS.shape, *PHOTONS.shape)
        for slow, fast in ((0, 1), (2, 1), (3, 0)):
            found = response.covariance(PHOTONS, (slow, fast), pixel_um=PIXELS, energy_eV=ENERGY)
            expected = [
                [whole[s, f, s + slow, f + fast] for f in range(PHOTONS.shape[1] - fast)]
                for s in range(PHOTONS.shape[0] - slow)
            ]
            np.testing.assert_allclose(found, expected, rtol=1e-9)
    plain = DetectorResponse(gain=2)
    assert (plain.covariance(PHOTONS, (0, 1)) == 0).all()
    assert plain.covariance(PHOTONS, (9, 1)).shape == (0, 4)
    assert (plain.covariance(PHOTONS, (0, 0)) == plain.moments(PHOTONS).variance).all()


def test_draws_have_these_moments() -> None:
    """4000 exposures of a spot, made step by step with another generator."""
    photons = 30.0 + 2000 * oracle.kernel("gauss", 3.0, 7, (1.0, 1.0))
    case = CCD | {"scale": 1.0, "flicker": 0.0, "calibration": 0.02, "bits": 0}
    response = DetectorResponse(**case)
    rng, n = np.random.default_rng(11), 4000
    fiber = oracle.kernel("fiber", 110.0, 14, PIXELS)
    charge = oracle.charge_kernel(25.0, 4, PIXELS)
    matrix = oracle.matrix(oracle.then(fiber, charge), photons.shape)
    counts = rng.poisson(photons.ravel(), (n, photons.size)).astype(float)
    counts += np.sqrt(counts * 0.12 * 3.65 / ENERGY) * rng.standard_normal(counts.shape)
    adu = 2.1 * (counts @ matrix.T) * (1 + 0.02 * rng.standard_normal(counts.shape)) + 17
    adu += 3 * rng.standard_normal(counts.shape)
    drawn = adu.reshape(n, *photons.shape)
    mean, variance = response.moments(photons, pixel_um=PIXELS, energy_eV=ENERGY)
    assert (drawn.var(axis=0) / variance).mean() == pytest.approx(1, abs=0.01)
    assert np.abs((drawn.mean(axis=0) - mean) / np.sqrt(variance / n)).max() < 5
    apart = drawn - mean
    found = (apart[:, :, :-1] * apart[:, :, 1:]).mean(axis=0).sum()
    assert found == pytest.approx(
        response.covariance(photons, (0, 1), pixel_um=PIXELS, energy_eV=ENERGY).sum(), rel=0.05
    )


def test_panels_are_worked_on_one_by_one() -> None:
    response = DetectorResponse(**CCD)
    stack = np.stack([PHOTONS, PHOTONS[::-1] + 1])
    found = response.moments(stack, pixel_um=PIXELS, energy_eV=ENERGY)
    for i, panel in enumerate(stack):
        alone = response.moments(panel, pixel_um=PIXELS, energy_eV=ENERGY)
        assert (found.mean[i] == alone.mean).all() and (found.variance[i] == alone.variance).all()


def test_what_is_refused() -> None:
    response = DetectorResponse(**CCD)
    with pytest.raises(InputError, match="give pixel_um"):
        response.moments(PHOTONS, energy_eV=ENERGY)
    with pytest.raises(InputError, match="fano needs the energy"):
        response.moments(PHOTONS, pixel_um=PIXELS)
    with pytest.raises(InputError, match="did you mean 'readout'"):
        response.moment_slopes(PHOTONS, "readut", pixel_um=PIXELS, energy_eV=ENERGY)
    with pytest.raises(InputError, match=r"at least 0, not -1 at index \(0, 1\)"):
        response.moments([[1.0, -1.0]])
    with pytest.raises(InputError, match=r"of shape \(3,\)"):
        response.moments([1.0, 2.0, 3.0])
    counter = DetectorResponse(kind="counting", dead_time_ns=100)
    with pytest.raises(InputError, match="give exposure_s"):
        counter.moments(PHOTONS)
    with pytest.raises(InputError, match="integrating"):
        counter.covariance(PHOTONS, (0, 1))
    staged = DetectorResponse(gain_stages=[GainStage(gain_adu_per_keV=1, pedestal_adu=0, readout_adu=1)])
    with pytest.raises(InputError, match="one gain only"):
        staged.moments(PHOTONS)


DETECTORS: dict[str, dict[str, Any]] = {
    "ccd": CCD | {"flicker": 0.0},
    "fixed gain": {"gain": 3.0, "gain_per_keV": True, "readout": 8.0, "fano": 0.12, "charge_sigma_um": 40.0},
    "loss": {"calibration": 0.1, "calibration_as": "loss", "psf": "gauss", "psf_fwhm_um": 90.0},
    "counting": {"kind": "counting", "charge_sigma_um": 12.0, "psf": "gauss", "psf_fwhm_um": 70.0},
    "dead time": {"kind": "counting", "dead_time_ns": 2.0},
    "pulsed": {"kind": "counting", "pulsed": 700},
}


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_draw_with_these_moments(name: str) -> None:
    """An image of many spots: every pixel's square over its variance, and products of neighbours."""
    response = DetectorResponse(**DETECTORS[name])
    photons = np.tile(30.0 + 2000 * oracle.kernel("gauss", 3.0, 6, (1.0, 1.0)), (60, 60))
    on: dict[str, Any] = {"pixel_um": PIXELS, "energy_eV": ENERGY, "exposure_s": 1e-5}
    mean, variance = response.moments(photons, **on)
    apart = detect(photons, response, seed=1, **on).pixels - mean
    size = apart.size
    assert abs((apart / np.sqrt(variance)).mean()) < 8 / math.sqrt(size)  # neighbours are alike
    assert (apart**2 / variance).mean() == pytest.approx(1, abs=0.01)
    if response.is_counting:
        return
    found = (apart[:, :-1] * apart[:, 1:]).mean()
    expected = response.covariance(photons, (0, 1), pixel_um=PIXELS, energy_eV=ENERGY).mean()
    assert found == pytest.approx(expected, rel=0.05)
    assert expected > 0 or not response.charge_sigma_um


def test_absolute_scale() -> None:
    """Mean ADU are gain m + adc, and energy is conserved, within 4 standard errors over a million pixels."""
    photons = np.full((1000, 1000), 0.7, np.float32)
    ccd = DetectorResponse(gain=1.8, readout=3)
    pixels = detect(photons, ccd, seed=3).pixels.astype(float)
    mean, variance = ccd.moments(photons[:1])
    assert abs(pixels.mean() - mean[0, 0]) < 4 * math.sqrt(variance[0, 0] / pixels.size)
    keV = DetectorResponse(gain=2.5, gain_per_keV=True, readout=4, fano=0.1, adc=100)
    pixels = detect(photons, keV, seed=3, energy_eV=ENERGY).pixels.astype(float)
    energy = ((pixels - 100) / 2.5).sum()
    _, variance = keV.moments(photons[:1], energy_eV=ENERGY)
    error = math.sqrt(variance[0, 0] * pixels.size) / 2.5
    assert abs(energy - photons.sum(dtype=float) * ENERGY / 1000) < 4 * error

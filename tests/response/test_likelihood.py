"""How likely pixels are, and the exact slopes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import response_oracle as oracle

from nbragg import DetectorResponse, InputError

PIXELS = (90.0, 60.0)
RNG = np.random.default_rng(8)
PHOTONS = RNG.random((4, 5)) * 30 + 0.5
STEP = 1e-30

CCD: dict[str, Any] = {
    "flicker": 0.03,
    "calibration": 0.04,
    "psf": "gauss",
    "psf_fwhm_um": 130.0,
    "gain": 2.1,
    "readout": 3.0,
    "adc": 17.0,
}
DATA = np.rint(17 + 2.1 * RNG.poisson(PHOTONS) + RNG.normal(0, 4, PHOTONS.shape))


def of_oracle(photons: Any, **changes: Any) -> Any:
    values = CCD | changes
    mean, covariance = oracle.statistics(
        photons,
        after=oracle.kernel(values["psf"], values["psf_fwhm_um"], 12, PIXELS),
        gain=values["gain"],
        adc=values["adc"],
        readout=values["readout"],
        flicker=values["flicker"],
        gain_pattern=values["calibration"],
    )
    return oracle.gaussian_log_likelihood(DATA.ravel(), mean, np.diag(covariance))


def images(*shape: int) -> list[oracle.Array]:
    return [np.eye(1, math.prod(shape), i).reshape(shape) for i in range(math.prod(shape))]


def test_gaussian_pixels() -> None:
    response = DetectorResponse(**CCD)
    found = response.likelihood(DATA, PHOTONS, pixel_um=PIXELS)
    assert not found.poisson and found.weight is None
    assert found.value == pytest.approx(of_oracle(PHOTONS), rel=1e-12)
    assert found.value == response.log_likelihood(DATA, PHOTONS, pixel_um=PIXELS)
    slopes = [of_oracle(PHOTONS + STEP * 1j * one).imag / STEP for one in images(4, 5)]
    np.testing.assert_allclose(found.residual.ravel(), slopes, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [key for key in CCD if key != "psf"])
def test_slopes_by_fields_of_the_response(name: str) -> None:
    found = DetectorResponse(**CCD).likelihood(DATA, PHOTONS, pixel_um=PIXELS).slope(name)
    exact = of_oracle(PHOTONS, **{name: CCD[name] + STEP * 1j}).imag / STEP
    assert found == pytest.approx(exact, rel=1e-9)


def test_information_is_what_residuals_scatter() -> None:
    """Fisher's matrix of photons and fields, from its definition by mean and variance."""
    response = DetectorResponse(**CCD)
    found = response.likelihood(DATA, PHOTONS, pixel_um=PIXELS)

    def moments(photons: Any, **changes: Any) -> oracle.Array:
        mean, covariance = oracle.statistics(
            photons,
            after=oracle.kernel("gauss", changes.get("psf_fwhm_um", 130.0), 12, PIXELS),
            gain=changes.get("gain", 2.1),
            adc=17.0,
            readout=changes.get("readout", 3.0),
            flicker=0.03,
            gain_pattern=0.04,
        )
        return np.array([mean, np.diag(covariance)])

    variance = moments(PHOTONS)[1]

    def matrix(slopes: oracle.Array) -> Any:  # (parameter, mean or variance, pixel)
        of_mean, of_variance = slopes[:, 0], slopes[:, 1]
        return (of_mean / variance) @ of_mean.T + (of_variance / (2 * variance**2)) @ of_variance.T

    by_photons = np.array([moments(PHOTONS + STEP * 1j * one).imag / STEP for one in images(4, 5)])
    products = np.array([found.fisher(one).ravel() for one in images(4, 5)])
    np.testing.assert_allclose(products, matrix(by_photons), rtol=1e-9, atol=1e-12)
    names = ["gain", "readout", "psf_fwhm_um"]
    by_fields = np.array([moments(PHOTONS, **{name: CCD[name] + STEP * 1j}).imag / STEP for name in names])
    np.testing.assert_allclose(found.information(names), matrix(by_fields), rtol=1e-9)


@pytest.mark.parametrize("flicker", [0.0, 0.05])
def test_gaussian_pixels_without_spread_are_those_of_the_table(flicker: float) -> None:
    """V = sigma^2 + gain^2 m + (flicker gain m)^2, its residual and weight (gradients 8.2)."""
    gain, sigma, m = 2.1, 3.0, PHOTONS
    response = DetectorResponse(gain=gain, readout=sigma, adc=0, flicker=flicker, bits=0)
    data = gain * m + RNG.normal(0, 6, m.shape)
    found = response.likelihood(data, m)
    V = sigma**2 + gain**2 * m + (flicker * gain * m) ** 2
    V_m = gain**2 + 2 * flicker**2 * gain**2 * m
    apart = data - gain * m
    value = -(apart**2 / (2 * V) + np.log(V) / 2 + np.log(2 * math.pi) / 2).sum()
    assert found.value == pytest.approx(value, rel=1e-12)
    residual = gain * apart / V + V_m * (apart**2 / V - 1) / (2 * V)
    np.testing.assert_allclose(found.residual, residual, rtol=1e-11, atol=1e-13)
    assert found.weight is not None
    np.testing.assert_allclose(found.weight, gain**2 / V + V_m**2 / (2 * V**2), rtol=1e-12)
    direction = RNG.random(m.shape)
    np.testing.assert_allclose(found.fisher(direction), found.weight * direction, rtol=1e-11)


def test_poisson_counts() -> None:
    counter = DetectorResponse(kind="counting", scale=1.5)
    counts = RNG.poisson(1.5 * PHOTONS)
    found = counter.likelihood(counts, PHOTONS)
    rate = 1.5 * PHOTONS
    logarithms = counts * np.log(rate) - rate - [[math.lgamma(n + 1) for n in row] for row in counts]
    assert found.poisson and found.value == pytest.approx(logarithms.sum(), rel=1e-13)
    np.testing.assert_allclose(found.residual, counts / PHOTONS - 1.5, rtol=1e-12, atol=1e-14)
    assert found.weight is not None
    np.testing.assert_allclose(found.weight, 1.5 / PHOTONS, rtol=1e-13)
    # the derivative by the scale is that along the photons
    assert found.slope("scale") == pytest.approx((found.residual * PHOTONS).sum() / 1.5, rel=1e-10)
    assert found.information(["scale"])[0, 0] == pytest.approx((PHOTONS / 1.5).sum(), rel=1e-12)
    gain = DetectorResponse(gain=3, adc=10)
    assert gain.log_likelihood(10 + 3 * counts, rate) == pytest.approx(found.value, rel=1e-13)


def test_poisson_counts_of_spread_light() -> None:
    response = DetectorResponse(kind="counting", psf="gauss", psf_fwhm_um=130.0)
    counts = RNG.poisson(PHOTONS)
    found = response.likelihood(counts, PHOTONS, pixel_um=PIXELS)

    def value(photons: Any, fwhm: Any = 130.0) -> Any:
        rate = oracle.matrix(oracle.kernel("gauss", fwhm, 12, PIXELS), photons.shape) @ photons.ravel()
        return np.sum(counts.ravel() * np.log(rate) - rate)

    assert found.poisson and found.weight is None
    slopes = [value(PHOTONS + STEP * 1j * one).imag / STEP for one in images(4, 5)]
    np.testing.assert_allclose(found.residual.ravel(), slopes, rtol=1e-9, atol=1e-11)
    assert found.slope("psf_fwhm_um") == pytest.approx(
        value(PHOTONS, 130.0 + STEP * 1j).imag / STEP, rel=1e-9
    )


def test_masked_pixels_say_nothing() -> None:
    response = DetectorResponse(**CCD | {"psf": "none"})
    mask = np.ones(PHOTONS.shape, int)
    mask[1, 2] = 0
    spoilt = DATA.copy()
    spoilt[1, 2] = np.nan
    found = response.likelihood(spoilt, PHOTONS, mask=mask)
    parts = [
        response.log_likelihood(DATA[i : i + 1, j : j + 1], PHOTONS[i : i + 1, j : j + 1])
        for i, j in np.argwhere(mask)
    ]
    assert found.value == pytest.approx(sum(parts), rel=1e-12)
    assert found.residual[1, 2] == 0 and found.weight is not None and found.weight[1, 2] == 0


def test_dark_pixels_carry_the_floor() -> None:
    counter = DetectorResponse(kind="counting")
    found = counter.likelihood([[0, 2]], [[0.0, 0.0]])
    assert found.value == pytest.approx(2 * math.log(1e-3) - math.log(2))
    assert found.residual.tolist() == [[-1.0, 1999.0]] and found.weight is not None
    assert found.weight.tolist() == [[1000.0, 1000.0]]
    assert counter.log_likelihood([[1]], [[0.0]], floor=0) == -math.inf


def test_panels_add_up() -> None:
    response = DetectorResponse(**CCD)
    both, data = np.stack([PHOTONS, PHOTONS + 3]), np.stack([DATA, DATA])
    found = response.likelihood(data, both, pixel_um=PIXELS)
    alone = [response.likelihood(DATA, panel, pixel_um=PIXELS) for panel in both]
    assert found.value == pytest.approx(sum(part.value for part in alone), rel=1e-13)
    assert (found.residual == np.stack([part.residual for part in alone])).all()
    assert found.slope("gain") == pytest.approx(sum(part.slope("gain") for part in alone), rel=1e-12)
    assert found.fisher(both).shape == both.shape


def test_which_pixels_are_poisson() -> None:
    def poisson(**fields: Any) -> bool:
        response = DetectorResponse(**fields)
        return bool(response.likelihood(DATA + 99, PHOTONS, pixel_um=50, exposure_s=1).poisson)

    assert poisson() and poisson(psf="gauss", psf_stage="before") and poisson(gain=0.3, bits=0)
    for more in ({"readout": 1}, {"psf": "gauss"}, {"flicker": 0.1}, {"calibration": 0.1}, {"gain": 0.3}):
        assert not poisson(**more), more
    assert not poisson(kind="counting", dead_time_ns=100)


def test_what_is_refused() -> None:
    counter = DetectorResponse(kind="counting")
    with pytest.raises(InputError, match=r"data has the shape \(1, 2\); \(1, 1\), as m"):
        counter.log_likelihood([[1, 2]], [[1.0]])
    with pytest.raises(InputError, match=r"pixel \(0, 1\) has -2 photons"):
        counter.log_likelihood([[1, -2]], [[1.0, 1.0]])
    with pytest.raises(InputError, match="floor must be"):
        counter.log_likelihood([[1]], [[1.0]], floor=-1)
    found = DetectorResponse().likelihood([[41]], [[1.0]])
    with pytest.raises(InputError, match="Poisson counts say nothing of gain"):
        found.slope("gain")
    with pytest.raises(InputError, match="did you mean 'scale'"):
        found.slope("scal")
    with pytest.raises(InputError, match=r"\(1, 1\) was expected"):
        found.fisher([[1.0, 2.0]])

"""Against images of noisify.c (beyond 14.8): means before digitising, and the statistics of flat areas.

That program loses photons by a pattern, varies the flux from pixel to pixel, and cuts numbers toward zero.
"""

from __future__ import annotations

import math
from typing import Any

import golden_beyond as golden
import numpy as np
import pytest
import response_oracle as oracle

from nbragg import DetectorResponse
from nbragg.base.constants import R_E_SQR
from nbragg.response.detect import detect

PIXEL_UM = 100.0


def response_of(case: str) -> DetectorResponse:
    """The program's options as fields; both of its patterns lose photons, pixel by pixel."""
    given = golden.options(case)
    scale = float(given.get("-scale", 1))
    if "-fluence" in given:
        scale *= float(given["-fluence"]) * R_E_SQR
    loss = math.hypot(float(given.get("-calibration", 0.03)), float(given.get("-flicker", 0)))
    return DetectorResponse(
        scale=scale,
        calibration=0.0 if "-nonoise" in given else loss,
        calibration_as="loss",
        psf=given.get("-psf", "none"),
        psf_fwhm_um=float(given.get("-psf_fwhm", 46)),
        gain=float(given.get("-gain", 1)),
        readout=float(given.get("-readout", 0)),
        adc=float(given.get("-adc", 40)),
        bits=int(given.get("-bits", 16)),
    )


@pytest.mark.parametrize("name", ["scale", "fluence", "gain_adc", "psf_nonoise"])
def test_without_noise(name: str) -> None:
    """Our floats, cut toward zero, are the program's numbers."""
    case = f"noise/{name}"
    response = response_of(case)
    found = response.moments(golden.image(case), pixel_um=PIXEL_UM).mean
    stored = golden.array(f"{case}.int").astype(float)
    slack = 1e-6 * found
    if name == "psf_nonoise":
        # its kernel ends early; light over the right edge comes back in the first columns, one row down
        slack = np.full(found.shape, 5e-6 * found.max())
        found, stored, slack = found[:, 10:], stored[:, 10:], slack[:, 10:]
    below = np.minimum(found, 65535) + slack >= stored
    above = np.minimum(found, 65535) - slack < stored + 1
    assert below.all() and above.all()


def drawn(case: str, image: oracle.Array) -> tuple[oracle.Array, oracle.Array]:
    """The program's numbers and ours, both with the mean of what was digitised."""
    response = response_of(case)
    whole = response.gain == 1 and not response.readout and response.psf == "none"
    stored = golden.array(f"{case}.noise").astype(float) + (0.0 if whole else 0.5)
    ours = detect(image, response, seed=20, pixel_um=PIXEL_UM)
    return stored, ours.pixels.astype(float)


def assert_alike(a: oracle.Array, b: oracle.Array, variance: float, excess: float) -> None:
    """Mean and standard deviation of two samples, within 4 standard errors; ``excess`` kurtosis."""
    n = a.size
    assert abs(a.mean() - b.mean()) <= 4 * math.sqrt(2 * variance / n)
    error = math.sqrt((2 + excess) / n)  # of a variance, over the variance
    assert abs(a.var() - b.var()) <= 4 * math.sqrt(2) * error * variance
    for sample in (a, b):
        assert abs(sample.var() / variance - 1) <= 4 * error + 1e-3


@pytest.mark.parametrize(
    "name", ["default", "calibration_seed1", "calibration_seed2", "flicker", "readout", "gain"]
)
def test_flat_images(name: str) -> None:
    case = f"noise/{name}"
    image = golden.image(case)
    stored, ours = drawn(case, image)
    mean, variance = response_of(case).moments(image)
    assert_alike(stored, ours, variance[0, 0], 1 / max(float(image[0, 0]), 1.0))
    assert abs(stored.mean() - mean[0, 0]) <= 4 * math.sqrt(variance[0, 0] / image.size)


@pytest.mark.parametrize("name", ["poisson", "poisson_seed2", "poisson_scale"])
def test_counting_from_0_0001_to_60000_photons(name: str) -> None:
    """Every column of the ramp is flat."""
    case = f"noise/{name}"
    image = golden.image(case)
    stored, ours = drawn(case, image)
    photons = response_of(case).scale * image[0].astype(float)
    columns = np.flatnonzero(photons < 64000)
    assert len(columns) > 100
    for i in columns:
        n, m = len(image), photons[i]
        assert abs(stored[:, i].mean() - ours[:, i].mean()) <= 4 * math.sqrt(2 * m / n) + 1 / n
        if m > 1:
            assert_alike(stored[:, i], ours[:, i], m, 1 / m)


@pytest.mark.parametrize(("name", "saturation"), [("overload16", 65535), ("overload32", 2**31 - 1)])
def test_overloads(name: str, saturation: int) -> None:
    case = f"noise/{name}"
    response = response_of(case).replace(saturation=saturation)
    found = detect(golden.image(case), response, seed=3)
    stored = golden.array(f"{case}.noise")
    assert found.overloads == int((stored == saturation).sum())
    assert f"({found.overloads} overloads)" in golden.CASES[case]["printed"][0]
    assert ((found.pixels == saturation) == (stored == saturation)).all()


@pytest.mark.parametrize("name", ["header", "psf_gauss", "psf_fiber"])
def test_spots(name: str) -> None:
    """The photons around a spot in the middle, which is far from every edge."""
    case = f"noise/{name}"
    image = golden.image(case)
    stored, ours = drawn(case, image)
    mean, variance = response_of(case).moments(image, pixel_um=PIXEL_UM)
    window = (slice(35, 67), slice(60, 101))
    photons = 69000.0  # of two spots: spreading leaves their noise as it is
    for sample, cut in ((stored, 0.5), (ours, 0.0)):
        # numbers far from a spot are cut as a whole
        slack = cut * image[window].size if response_of(case).psf != "none" else 0.0
        assert abs(sample[window].sum() - mean[window].sum()) <= 4 * math.sqrt(photons) + slack
    peak = (50, 80)
    assert abs(stored[peak] - ours[peak]) <= 4 * math.sqrt(2 * variance[peak]) + 1


def test_everything_at_once() -> None:
    case = "noise/chain"
    image = golden.image(case)
    stored, ours = drawn(case, image)
    mean, variance = response_of(case).moments(image, pixel_um=PIXEL_UM)
    # pixels far enough apart to be independent, where nothing but 20 photons is near
    flat = (np.abs(mean - mean[2, 2]) < 1e-3 * mean[2, 2])[::5, ::5]
    assert flat.sum() > 100
    a, b = stored[::5, ::5][flat], ours[::5, ::5][flat]
    assert_alike(a, b, float(variance[::5, ::5][flat].mean()), 0.05)


def test_what_that_program_gets_wrong_is_not_here() -> None:
    """A pattern that changes with the seed of the noise; numbers below 0 that come out as large ones."""
    image = golden.image("noise/calibration_seed1")
    response = response_of("noise/calibration_seed1").replace(calib_seed=7)

    def pattern(seed: int) -> Any:
        return detect(image, response, seed).pixels.astype(float).ravel()

    assert np.corrcoef(pattern(1), pattern(2))[0, 1] > 0.9
    one, other = (golden.array(f"noise/calibration_seed{i}.noise").astype(float).ravel() for i in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    wrapped = detect(golden.image("noise/readout_adc0"), response_of("noise/readout_adc0"), seed=4)
    assert wrapped.pixels.max() < 40 and wrapped.underloads > 0.4 * wrapped.pixels.size
    assert (golden.array("noise/readout_adc0.noise") > 60000).mean() > 0.4

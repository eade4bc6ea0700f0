"""Charge shared between the pixels of a counting detector, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import response_oracle as oracle

from nbragg import DetectorResponse
from nbragg.response.expected.charge_sharing import threshold_response
from nbragg.response.expected.psf import spread

PIXELS = (75.0, 50.0)


def counter(sigma: float, threshold: float = 0.5) -> DetectorResponse:
    return DetectorResponse(kind="counting", charge_sigma_um=sigma, threshold=threshold)


@pytest.mark.parametrize("sigma", [0.5, 8.0, 30.0])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_counts_around_a_photon(sigma: float, threshold: float) -> None:
    found = threshold_response(counter(sigma, threshold), PIXELS)
    np.testing.assert_allclose(found, oracle.threshold_response(sigma, threshold, PIXELS), atol=1e-12)
    assert (found == found[::-1, ::-1]).all()
    if threshold >= 0.5:
        assert found.sum() <= 1.0


def test_sharp_charge_stays_in_its_pixel() -> None:
    assert threshold_response(counter(0.0), PIXELS).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    blurred = threshold_response(counter(4.0, 0.3), PIXELS)
    assert blurred.sum() > 1.0 and blurred[0, 1] > 0.0  # doubles are counted


def test_image_is_the_sum_over_pixels_and_its_transpose_fits() -> None:
    response = counter(20.0, 0.3).replace(psf="gauss", psf_fwhm_um=90)
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 6, 8))
    gauss = oracle.matrix(oracle.kernel("gauss", 90.0, 9, PIXELS), a.shape)
    around = oracle.matrix(oracle.threshold_response(20.0, 0.3, PIXELS), a.shape)
    found = spread(a, response, PIXELS)
    np.testing.assert_allclose(found.ravel(), around @ gauss @ a.ravel(), atol=1e-9)
    back = spread(b, response, PIXELS, transpose=True)
    assert np.vdot(found, b) == pytest.approx(np.vdot(a, back), rel=1e-12)
    assert (spread(a, response, PIXELS, stage="after") == a).all()

"""Point spread against quadrature, closed forms and the images of another program."""

from __future__ import annotations

import math
from typing import Any

import golden_beyond as golden
import numpy as np
import pytest
import response_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from nbragg import DetectorResponse, InputError
from nbragg.response.expected.psf import d_spread_d_fwhm, kernel, spread

RNG = np.random.default_rng(5)
IMAGE = RNG.random((7, 9)) * 100
PIXELS = (90.0, 60.0)


@pytest.mark.parametrize(
    ("kind", "fwhm", "value"),
    [
        ("gauss", 1.0, 0.5790724622),
        ("gauss", 2.4, 0.1415879761),
        ("fiber", 1.0, 0.2413116870),
        ("fiber", 2.0, 0.0817414072),
    ],
)
def test_middle_of_the_kernel(kind: str, fwhm: float, value: float) -> None:
    found = kernel(DetectorResponse(psf=kind, psf_fwhm_um=75 * fwhm), 75, (65, 65))
    middle = tuple(n // 2 for n in found.shape)
    assert abs(found[middle] - value) < 1e-9 and found.max() == found[middle]


@pytest.mark.parametrize("n", [10, 100])
def test_a_fibre_keeps_what_its_closed_form_says(n: int) -> None:
    found = kernel(DetectorResponse(psf="fiber", psf_fwhm_um=50), 50, (n + 1, n + 1))
    edge, g = n + 0.5, 0.6523830132520534
    inside = 4 * math.atan(edge * edge / (g * math.sqrt(g * g + 2 * edge * edge))) / (2 * math.pi)
    assert abs(found.sum() - inside) < 1e-12
    assert inside == pytest.approx({10: 0.944, 100: 0.994}[n], abs=5e-4)


@pytest.mark.parametrize("kind", ["gauss", "fiber"])
@pytest.mark.parametrize("pixel", [(80.0, 80.0), PIXELS])
def test_kernel_is_the_integral_over_pixels(kind: str, pixel: tuple[float, float]) -> None:
    found = kernel(DetectorResponse(psf=kind, psf_fwhm_um=110), pixel, (6, 6))
    expected = oracle.kernel(kind, 110.0, 5, pixel)
    middle = tuple(n // 2 for n in found.shape)
    reach = min(5, *middle)
    part = found[middle[0] - reach : middle[0] + reach + 1, middle[1] - reach : middle[1] + reach + 1]
    np.testing.assert_allclose(
        part, expected[5 - reach : 6 + reach, 5 - reach : 6 + reach], rtol=0, atol=1e-13
    )


def dense(response: DetectorResponse, pixel: tuple[float, float], shape: tuple[int, int]) -> oracle.Array:
    reach = max(shape) + 3
    return oracle.matrix(oracle.kernel(response.psf, response.psf_fwhm_um, reach, pixel), shape)


@pytest.mark.parametrize("kind", ["gauss", "fiber"])
@pytest.mark.parametrize("pixel", [(80.0, 80.0), PIXELS])
def test_spread_is_the_sum_over_pixels(kind: str, pixel: tuple[float, float]) -> None:
    response = DetectorResponse(psf=kind, psf_fwhm_um=110)
    expected = dense(response, pixel, IMAGE.shape) @ IMAGE.ravel()
    found = spread(IMAGE, response, pixel)
    # a Gaussian ends where 1e-10 of it is left
    np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-10 * IMAGE.max())


@pytest.mark.parametrize("kind", ["gauss", "fiber"])
def test_slope_by_the_width_is_exact(kind: str) -> None:
    response = DetectorResponse(psf=kind, psf_fwhm_um=110)
    moved = oracle.kernel(kind, 110.0 + 1e-30j, 12, PIXELS).imag / 1e-30
    expected = oracle.matrix(moved, IMAGE.shape) @ IMAGE.ravel()
    found = d_spread_d_fwhm(IMAGE, response, PIXELS)
    np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["gauss", "fiber"])
def test_a_radius_cuts_the_kernel_and_makes_its_sum_one(kind: str) -> None:
    response = DetectorResponse(psf=kind, psf_fwhm_um=150, psf_radius_px=2.5)
    found = kernel(response, 100, (9, 9))
    whole = kernel(response.replace(psf_radius_px=None), 100, (9, 9))
    slow, fast = (np.arange(n) - n // 2 for n in whole.shape)
    inside = slow[:, None] ** 2 + fast[None, :] ** 2 <= 6.25
    cut = np.where(inside, whole, 0)
    cut /= cut.sum()
    assert abs(found.sum() - 1) < 1e-14 and found.shape == (5, 5)
    np.testing.assert_allclose(
        found, cut[whole.shape[0] // 2 - 2 :][:5, whole.shape[1] // 2 - 2 :][:, :5], atol=1e-13
    )
    expected = oracle.matrix(found, IMAGE.shape) @ IMAGE.ravel()
    np.testing.assert_allclose(spread(IMAGE, response, 100).ravel(), expected, atol=1e-12 * expected.max())
    step = 1e-3
    up, down = (spread(IMAGE, response.replace(psf_fwhm_um=150 + s), 100) for s in (step, -step))
    slope = d_spread_d_fwhm(IMAGE, response, 100)
    np.testing.assert_allclose(slope, (up - down) / (2 * step), atol=1e-7 * np.abs(slope).max())


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["gauss", "fiber"]),
    fwhm=st.floats(5, 800),
    charge=st.sampled_from([0.0, 25.0]),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_identities(kind: str, fwhm: float, charge: float, rows: int, columns: int, seed: int) -> None:
    """The kernel is its own transpose; turned, shifted and scaled images; no light from nowhere."""
    rng = np.random.default_rng(seed)
    response = DetectorResponse(psf=kind, psf_fwhm_um=fwhm, charge_sigma_um=charge)
    a, b = rng.random((2, rows, columns))
    spread_a, spread_b = spread(a, response, PIXELS), spread(b, response, PIXELS)
    assert np.vdot(spread_a, b) == pytest.approx(np.vdot(a, spread_b), rel=1e-11)
    np.testing.assert_allclose(spread(b, response, PIXELS, transpose=True), spread_b, atol=0)
    np.testing.assert_allclose(spread(a.T, response, PIXELS[::-1]), spread_a.T, atol=1e-12)
    np.testing.assert_allclose(spread(a[::-1, ::-1], response, PIXELS), spread_a[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(spread(a - 2 * b, response, PIXELS), spread_a - 2 * spread_b, atol=1e-11)
    assert spread_a.min() >= 0 and spread_a.sum() < a.sum() * (1 + 1e-12)
    room = np.zeros((rows + 3, columns + 2))
    room[3:, 2:] = a
    np.testing.assert_allclose(spread(room, response, PIXELS)[3:, 2:], spread_a, atol=2e-10)


def test_light_in_is_light_in_the_image_and_light_that_left() -> None:
    """A fibre loses what its closed form has outside, from each pixel."""
    shape, g = (21, 34), 0.6523830132520534 * 1.7
    image = RNG.random(shape)

    def corner(x: oracle.Array, y: oracle.Array) -> Any:
        return np.arctan(x * y / (g * np.sqrt(g * g + x * x + y * y))) / (2 * math.pi)

    slow, fast = np.indices(shape)
    left, right, top, bottom = fast + 0.5, shape[1] - fast - 0.5, slow + 0.5, shape[0] - slow - 0.5
    # pixels are integrated around a photon in the middle of its own
    kept = corner(left, top) + corner(left, bottom) + corner(right, top) + corner(right, bottom)
    found = spread(image, DetectorResponse(psf="fiber", psf_fwhm_um=170), 100)
    assert found.sum() == pytest.approx((image * kept).sum(), rel=1e-12)
    gauss = DetectorResponse(psf="gauss", psf_fwhm_um=170)
    spot = np.zeros((41, 41))
    spot[20, 20] = 1
    assert abs(spread(spot, gauss, 100).sum() - 1) < 1e-9


def test_nothing_spreads_with_a_width_of_zero() -> None:
    for response in (DetectorResponse(), DetectorResponse(psf="fiber", psf_fwhm_um=0)):
        found = spread(IMAGE, response)
        assert (found == IMAGE).all() and found is not IMAGE
        assert kernel(response, 100, (4, 4)).tolist() == [[1.0]]
    assert (d_spread_d_fwhm(IMAGE, DetectorResponse()) == 0).all()


def test_charge_is_shared_after_light_is_spread() -> None:
    response = DetectorResponse(psf="fiber", psf_fwhm_um=110, charge_sigma_um=30)
    fiber = oracle.kernel("fiber", 110.0, 20, PIXELS)
    charge = oracle.charge_kernel(30.0, 6, PIXELS)
    expected = oracle.matrix(oracle.then(fiber, charge), IMAGE.shape) @ IMAGE.ravel()
    np.testing.assert_allclose(spread(IMAGE, response, PIXELS).ravel(), expected, atol=1e-9 * expected.max())
    only = spread(IMAGE, response.replace(psf="none"), PIXELS)
    np.testing.assert_allclose(
        only.ravel(), oracle.matrix(charge, IMAGE.shape) @ IMAGE.ravel(), atol=1e-9 * only.max()
    )


def test_charge_comes_from_all_of_a_pixel() -> None:
    """Photons thrown at places in a pixel; about its middle alone 0.4 % would leave it instead of 24 %."""
    response, places, pixel = DetectorResponse(charge_sigma_um=12), RNG.random((2, 400_000)) - 0.5, 75.0
    landed = np.rint(places + RNG.normal(0, 12 / pixel, places.shape))
    found = kernel(response, pixel, (5, 5))
    middle = len(found) // 2
    for slow, fast in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.mean((landed[0] == slow) & (landed[1] == fast))
        assert found[middle + slow, middle + fast] == pytest.approx(share, abs=5 * (share / 400_000) ** 0.5)
    assert 0.75 < found[middle, middle] < 0.77 and found.sum() == pytest.approx(1, abs=1e-12)


def test_what_is_refused() -> None:
    response = DetectorResponse(psf="gauss")
    with pytest.raises(InputError, match="give pixel_um"):
        spread(IMAGE, response)
    with pytest.raises(InputError, match="above 0, not -3"):
        spread(IMAGE, response, -3)
    with pytest.raises(InputError, match=r"one panel.*\(2, 3, 4\)"):
        spread(np.zeros((2, 3, 4)), response, 100)


# ---- images of another program -----------------------------------------------------------------------------

TOLERANCES = {
    **dict.fromkeys(["gauss_0.3", "gauss_0.7", "gauss_1.0", "gauss_2.4", "gauss_5.0"], 5e-6),
    **dict.fromkeys(["fiber_0.3", "fiber_0.5", "fiber_1.0", "fiber_3.3"], 1e-4),
    **dict.fromkeys(["gauss_weak", "fiber_weak"], 2e-5),
    **dict.fromkeys(["gauss_radius3", "fiber_radius10"], 1e-3),
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_golden_point_spread(name: str) -> None:
    """A spot in the middle; of the maximum.  The others wrap a column and spread the tail evenly."""
    case = f"psf/{name}"
    kind, fwhm, radius = golden.CASES[case]["args"].split()
    response = DetectorResponse(psf=kind, psf_fwhm_um=100 * float(fwhm))
    photons, expected = golden.image(case), golden.array(f"{case}.psf")
    if float(radius):
        found = spread(photons, response.replace(psf_radius_px=float(radius)), 100)
        # the program cuts and leaves the sum
        whole = kernel(response, 100, photons.shape)
        slow, fast = (np.arange(n) - n // 2 for n in whole.shape)
        found *= whole[slow[:, None] ** 2 + fast[None, :] ** 2 <= float(radius) ** 2].sum()
    else:
        found = spread(photons, response, 100)
    assert np.abs(found - expected).max() <= TOLERANCES[name] * expected.max()


@pytest.mark.parametrize(
    "response",
    [
        DetectorResponse(psf="fiber", psf_fwhm_um=110, charge_sigma_um=30),
        DetectorResponse(psf="gauss", psf_fwhm_um=110, psf_stage="before", charge_sigma_um=30),
        DetectorResponse(kind="counting", psf="gauss", psf_fwhm_um=110, charge_sigma_um=20, threshold=0.3),
    ],
    ids=["after", "before", "counting"],
)
def test_both_stages_as_a_method(response: DetectorResponse) -> None:
    """What `moments` says of a detector of gain 1; its transpose; its slope; panels one by one."""
    image = IMAGE
    found = response.spread(image, pixel_um=PIXELS)
    mean = response.replace(adc=0).moments(image, pixel_um=PIXELS).mean
    np.testing.assert_allclose(found, mean, rtol=1e-12)
    slope = response.moment_slopes(image, "psf_fwhm_um", pixel_um=PIXELS).mean
    np.testing.assert_allclose(
        response.spread_slope(image, pixel_um=PIXELS), slope, atol=1e-12 * np.abs(slope).max()
    )
    other = RNG.random(image.shape)
    back = response.spread(other, pixel_um=PIXELS, transpose=True)
    assert np.vdot(found, other) == pytest.approx(np.vdot(image, back), rel=1e-12)
    both = response.spread(np.stack([image, other]), pixel_um=PIXELS)
    assert (both[0] == found).all() and (both[1] == response.spread(other, pixel_um=PIXELS)).all()
    slopes = response.spread_slope(np.stack([image, other]), pixel_um=PIXELS)
    assert (slopes[0] == response.spread_slope(image, pixel_um=PIXELS)).all()

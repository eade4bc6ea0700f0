"""Derivatives of what a detector writes on average, and of how likely measured counts are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backdrop_parts import setup

import nbragg
from nbragg.engine.cpu import render_double

pytest.importorskip("scipy")
pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CCD = nbragg.DetectorResponse(
    scale=0.9, psf="gauss", psf_fwhm_um=4000, gain=1.7, readout=3, adc=15, flicker=0.01, calibration=0.02,
    charge_sigma_um=900,
)  # fmt: skip
COUNTER = nbragg.DetectorResponse(
    kind="counting", psf="gauss", psf_fwhm_um=3500, dead_time_ns=120, rate_correction=False
)
MASK = np.ones((9, 12), np.uint8)
MASK[4, 5:7] = 0
SETUP = setup(response=CCD, fluence=1e20, mask=MASK, exposure_s=1.0)
NAMES = ["crystal.rotation_deg[0]", "detector.shift_mm[0]", "backgrounds[0].thickness_mm", "beam.fluence"]
OWN = {"gain": 0.01, "adc": 0.1, "scale": 0.01, "psf_fwhm_um": 20, "charge_sigma_um": 10}
ALL = [*NAMES, *(f"response.{own}" for own in OWN)]
RANDOM = np.random.default_rng(6)
SHAPE = (9, 12)


def linear(given: nbragg.Setup = SETUP, names: Any = ALL) -> Any:
    return nbragg.Simulator(given, nbragg.RenderOptions(threads=2)).linearize(names, of="counts")


def mean_counts(given: nbragg.Setup) -> Any:
    """What the response makes of the rendered photons; nothing where the mask is 0."""
    assert given.response is not None
    photons = render_double(nbragg.build_scene(given))
    found = given.response.moments(photons, pixel_um=2300, energy_eV=9537, exposure_s=1.0).mean
    return np.where(MASK == 0, 0, found)


def difference(function: Any, step: float) -> Any:
    """Of eighth order."""
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    return sum(w * (function(k * step) - function(-k * step)) for k, w in weights.items()) / step


def test_the_image_is_the_mean() -> None:
    found = linear()
    expected = mean_counts(SETUP)
    assert np.abs(found.image - expected).max() <= 1e-13 * expected.max()
    response = SETUP.response
    assert response is not None
    photons = render_double(nbragg.build_scene(SETUP))
    variance = np.where(MASK == 0, 0, response.moments(photons, pixel_um=2300).variance)
    assert np.abs(found.variance - variance).max() <= 1e-13 * variance.max()


@pytest.mark.parametrize("name", ALL[1:])
def test_derivatives_agree_with_differences(name: str) -> None:
    found = linear(names=[name])
    step = OWN.get(name.removeprefix("response."), 1e-4 * abs(float(found.values[0])) or 1e-3)
    simulator = nbragg.Simulator(SETUP)

    def at(offset: float) -> Any:
        return mean_counts(simulator.moved([name], found.values + offset).setup)

    expected = difference(at, step)
    assert np.abs(found.jacobian()[0] - expected).max() <= 1e-8 * np.abs(expected).max()


def test_a_counting_detector_with_a_dead_time() -> None:
    bright = SETUP.replace(response=COUNTER, fluence=1e21)
    names = ["beam.fluence", "response.dead_time_ns", "response.psf_fwhm_um"]
    found = linear(bright, names)
    assert (found.image[MASK != 0] < 0.99 * render_double(nbragg.build_scene(bright))[MASK != 0].max()).any()
    simulator = nbragg.Simulator(bright)
    for i, step in enumerate((1e16, 0.01, 5.0)):
        change = np.eye(3)[i]
        expected = difference(
            lambda x, d=change: mean_counts(simulator.moved(names, found.values + x * d).setup), step
        )
        assert np.abs(found.jvp(change) - expected).max() <= 1e-7 * np.abs(expected).max()


def test_products_and_normal_equations_agree() -> None:
    found = linear()
    J = found.jacobian()
    rows = J.reshape(len(J), -1)
    size = np.abs(rows).max(axis=1)
    v, u, w = RANDOM.normal(size=len(J)) / size, RANDOM.normal(size=SHAPE), RANDOM.uniform(0, 1, SHAPE)
    along = found.jvp(v)
    assert np.abs(along - np.tensordot(v, J, 1)).max() <= 1e-12 * np.abs(along).max()
    back = np.array(list(found.vjp(u).values()))
    assert (np.abs(back - rows @ u.reshape(-1)) <= 1e-11 * size * np.abs(u).sum()).all()
    assert abs(back @ v - (u * along).sum()) <= 1e-10 * np.abs(u * along).sum()
    normal = found.gauss_newton(u, w)
    assert np.allclose(normal.H, (rows * w.reshape(-1)) @ rows.T, rtol=1e-12)
    assert np.allclose(normal.b, (rows * w.reshape(-1)) @ u.reshape(-1), rtol=1e-10)
    part = found.jacobian(roi=(2, 8, 1, 6))
    assert np.array_equal(part[:, 1:7, 2:9], J[:, 1:7, 2:9])


def test_the_likelihood_moves_with_its_gradient() -> None:
    """Variance and all; data are drawn by the response itself."""
    names = [*NAMES[1:], "response.gain", "response.psf_fwhm_um", "response.readout", "response.flicker"]
    found = linear(names=names)
    simulator = nbragg.Simulator(SETUP)
    data = np.where(MASK == 0, 0, simulator.render().detect(seed=3).pixels).astype(float)
    keep = RANDOM.uniform(size=SHAPE) > 0.2
    value, gradient = found.log_likelihood(data, keep)

    def at(values: Any) -> float:
        moved = simulator.moved(names, values).setup
        assert moved.response is not None
        photons = render_double(nbragg.build_scene(moved))
        which = keep & (MASK != 0)
        return float(moved.response.log_likelihood(data, photons, mask=which, pixel_um=2300))

    assert value == pytest.approx(at(found.values), rel=1e-13)
    for i, name in enumerate(names):
        step = 1e-3 * abs(found.values[i]) or 1e-3
        expected = difference(lambda x, i=i: at(found.values + x * np.eye(len(names))[i]), step)
        assert gradient[name] == pytest.approx(
            expected, rel=1e-7, abs=1e-7 * abs(value / found.values[-1])
        ), name


def test_the_scenes_cotangent_goes_through_the_detector() -> None:
    plain = SETUP.replace(backgrounds=(), surroundings=None, front=())
    counts = linear(plain, ["beam.fluence"])
    u = RANDOM.normal(size=SHAPE)
    assert counts.vjp(u, scene=True).fluence == pytest.approx(counts.vjp(u)["beam.fluence"], rel=1e-10)


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        ({}, ["response.bits"], "is no parameter: counts"),
        ({}, ["response.gian"], "did you mean 'response.gain'"),
        ({}, ["response.dead_time_ns"], "is no number of a detector of kind 'integrating'"),
        ({"response": COUNTER}, ["response.gain"], "is no number of a detector of kind 'counting'"),
        ({"response": CCD.replace(psf="none")}, ["response.psf_fwhm_um"], "a spread that is not there"),
        ({"response": None}, ["beam.fluence"], "needs a detector response"),
        ({}, ["detector.pixel_mm"], "moves the pixels over which light and charge spread"),
        ({"response": CCD.replace(gain_per_keV=True)}, ["beam.wavelength_A"], "the energy that gain_per_keV"),
    ],
)
def test_refused(change: dict[str, Any], names: list[str], message: str) -> None:
    with pytest.raises(nbragg.InputError, match=message):
        linear(SETUP.replace(**change), names).jvp([1.0])


def test_photons_know_no_detector() -> None:
    simulator = nbragg.Simulator(SETUP)
    with pytest.raises(nbragg.InputError, match="moves no photons"):
        simulator.linearize(["response.gain"])
    with pytest.raises(nbragg.InputError, match="'photons', 'counts'"):
        simulator.linearize(["beam.fluence"], of="adu")
    photons = simulator.linearize(["beam.fluence"])
    with pytest.raises(nbragg.InputError, match="log_likelihood is of counts"):
        photons.log_likelihood(np.zeros(SHAPE))
    with pytest.raises(nbragg.InputError, match="mask has the shape"):
        linear().log_likelihood(np.zeros(SHAPE), np.zeros(3))

"""Sigmas are what estimates scatter by: over many draws of the noise, for each likelihood, alone and jointly.

With many photons: with few, estimates scatter more than the bound, which is the least they can.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import nbragg
from nbragg import Noise, Setup, Simulator
from nbragg.datasets import LYSOZYME_CELL, lysozyme

Array = NDArray[np.float64]

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

OWN = ("crystal.orientation", "beam.fluence")
SHARED = ("crystal.cell", "detector.distance_mm", "detector.roty_deg", "detector.rotz_deg")


def _still(orientation: Array, pixels: int) -> Setup:
    return nbragg.Setup(
        nbragg.Crystal(
            cell=LYSOZYME_CELL,
            N=(12, 12, 24),
            shape="gauss",
            structure_factors=lysozyme(3.0),
            orientation=orientation,
        ),
        nbragg.Beam(wavelength_A=1.2, fluence=1e26),
        nbragg.Detector(distance_mm=100, pixel_mm=0.5, fpixels=pixels, spixels=pixels),
        nbragg.Sampling(oversample=1),
    )


def _start(truth: Simulator, names: tuple[str, ...], change: Array) -> Setup:
    values = np.array(truth.linearize(names).values)
    return truth.moved(names, values + change, fold=True).setup


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "background"),
    [(Noise(), 0.5), (Noise(readout=2), 3.0), (Noise(readout=4, gain=1.8, flicker=0.03), 10.0)],
    ids=["poisson", "readout", "gaussian"],
)
def test_scatter_of_estimates_is_their_sigma(noise: Noise, background: float) -> None:
    """Of 50 images; the start is half a sigma away."""
    simulator = Simulator(_still(nbragg.random_orientations(1, seed=5)[0], 128))
    names = ("crystal.orientation", "crystal.cell", "beam.fluence")
    linear = simulator.linearize(names)
    forecast = linear.information(noise, background=background, free_background="constant")
    sigma = np.array(list(forecast.sigma.values()))
    change = 0.5 * sigma * [1, -1, 1, -1, 1, -1]
    start = _start(simulator, names, change)
    expected = simulator.render().image + background
    off, misfit = [], []
    for seed in range(50):
        found = nbragg.refine(noise.draw(expected, seed), start, names, noise=noise, stages="none")
        assert found.converged, found.message
        assert found.sigma[0] == pytest.approx(sigma, rel=0.1)
        values = found.values[0] - linear.values
        values[:3] += change[:3]  # rotations count from the start
        error = np.array([*values, found.background[0]["background.constant"] - background])
        information = found.information()
        off.append(error / list(information.sigma.values()))
        misfit.append(error @ information.matrix @ error / len(error))
    assert 0.9 < np.sqrt(np.mean(np.square(off))) < 1.1
    assert 0.9 < np.sqrt(np.mean(misfit)) < 1.1  # correlations included
    assert np.abs(np.mean(off, axis=0)).max() < 4 / np.sqrt(50)


@pytest.mark.slow
def test_twenty_stills_together_reach_the_bound() -> None:
    """The bound is summed here from each image's forecast, without what is its own."""
    names = (*OWN, *SHARED)
    truths = [Simulator(_still(turn, 120)) for turn in nbragg.random_orientations(20, seed=3)]
    forecasts = [
        truth.linearize(names).information(background=0.5, free_background="constant") for truth in truths
    ]
    parameters = forecasts[0].parameters
    shared = np.array([name.startswith(("crystal.cell", "detector")) for name in parameters])
    bound = np.zeros((shared.sum(),) * 2)
    for one in forecasts:
        F = one.matrix
        mixed = F[np.ix_(shared, ~shared)]
        bound += F[np.ix_(shared, shared)] - mixed @ np.linalg.solve(F[np.ix_(~shared, ~shared)], mixed.T)
    sigma = np.sqrt(np.diag(np.linalg.inv(bound)))

    random = np.random.default_rng(1)
    changes = np.where(shared, 0, random.normal(0, 3e-4, (len(truths), len(parameters))))
    changes[:, ~shared] *= [1, 1, 1, 1e26]
    changes[:, shared] = 0.5 * sigma * [1, -1, 1, 1, -1]
    starts = [_start(truth, names, change) for truth, change in zip(truths, changes, strict=True)]
    images = [truth.render().image + 0.5 for truth in truths]
    off, own = [], []
    for draw in range(3):
        data = [Noise().draw(image, 100 * draw + k) for k, image in enumerate(images)]
        found = nbragg.refine(data, starts, names, shared=SHARED, stages="none")
        assert found.converged, found.message
        assert found.sigma[0, shared] == pytest.approx(sigma, rel=0.1)
        assert (found.values[:, shared] == found.values[0, shared]).all()
        error = found.values - [one.values for one in forecasts]
        error[:, :3] += changes[:, :3]
        off.append(error[0, shared] / sigma)
        own.append(error[:, ~shared] / found.sigma[:, ~shared])
    assert 0.5 < np.sqrt(np.mean(np.square(off))) < 1.3
    assert 0.7 < np.sqrt(np.mean(np.square(own))) < 1.3


@pytest.mark.parametrize("readout", [0.0, 3.0])
def test_a_background_of_nothing_is_found(readout: float) -> None:
    """It stands at its least value, and the rest is found all the same."""
    noise = Noise(readout=readout)
    simulator = Simulator(_still(nbragg.random_orientations(1, seed=5)[0], 96))
    names = ("crystal.orientation", "beam.fluence")
    start = _start(simulator, names, np.array([0.003, -0.003, 0.003, 1e25]))
    image = simulator.render().image
    for seed in range(3):
        found = nbragg.refine(noise.draw(image, seed), start, names, noise=noise, stages="none")
        assert found.converged, found.message
        assert found.background[0]["background.constant"] < 0.5
        assert np.isfinite(found.sigma).all()
        error = found.values[0] - [-0.003, 0.003, -0.003, 1e26]
        assert (np.abs(error) < 4 * found.sigma[0]).all()


def test_slope_of_readout_where_data_are_far_below_zero() -> None:
    """The residual is the slope of the cost there too."""
    noise, data, m, step = (
        Noise(readout=2),
        np.array([-9.0, -4.0, -3.9, 0.0]),
        np.array([0.5, 0.1, 2, 3]),
        1e-5,
    )
    slope = (noise.misfit(data, m - step).cost - noise.misfit(data, m + step).cost) / (2 * step)
    assert noise.misfit(data, m).residual == pytest.approx(slope, rel=1e-8)

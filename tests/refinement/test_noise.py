"""Likelihoods: their derivatives, their information, the data that are drawn of them (gradients 8.2)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import nbragg
from nbragg import Noise
from nbragg.base.errors import InputError

M = np.array([0.3, 1.0, 4.0, 30.0, 2000.0])
D = np.array([0.0, 2.0, 3.0, 35.0, 1900.0])
KINDS = {
    "poisson": Noise(),
    "read out": Noise(readout=1.5),
    "gaussian": Noise(kind="gaussian", readout=0.5),
    "gain": Noise(readout=3, gain=2.5, flicker=0.02),
}


def log_likelihood(noise: Noise, d: np.ndarray, m: np.ndarray) -> np.ndarray:
    """From the distributions, of counted photons without what does not depend on m."""
    if noise.gaussian:
        sigma = np.sqrt(noise.readout**2 + noise.gain**2 * m + (noise.flicker * noise.gain * m) ** 2)
        return np.asarray(stats.norm.logpdf(d, noise.gain * m, sigma))
    extra = noise.readout**2
    return np.asarray((d + extra) * np.log(m + extra) - (m + extra))


@pytest.mark.parametrize("kind", KINDS)
def test_cost_and_slope(kind: str) -> None:
    noise = KINDS[kind]
    found = noise.misfit(D, M)
    other = noise.misfit(D, 1.3 * M)
    expected = log_likelihood(noise, D, 1.3 * M) - log_likelihood(noise, D, M)
    assert found.cost - other.cost == pytest.approx(expected, rel=1e-10)
    step = 1e-5 * M
    slope = (log_likelihood(noise, D, M + step) - log_likelihood(noise, D, M - step)) / (2 * step)
    assert found.residual == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_information(kind: str) -> None:
    """The variance of the slope over data that have the model's distribution."""
    noise = KINDS[kind]
    random, n = np.random.default_rng(3), 200_000
    for m in M[1:]:
        if noise.gaussian:
            data = noise.gain * m + np.sqrt(noise.variance(m)) * random.standard_normal(n)
        else:
            data = random.poisson(m + noise.readout**2, n) - noise.readout**2
        found = noise.misfit(data, np.full(n, m))
        assert found.weights[0] == pytest.approx(found.residual.var(), rel=0.02)
        assert abs(found.residual.mean()) < 5 * np.sqrt(found.weights[0] / n)
        assert noise.weights(m) == pytest.approx(found.weights[0], rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn(kind: str) -> None:
    noise = KINDS[kind]
    data = noise.draw(np.full(200_000, 30.0), seed=5)
    assert data.mean() == pytest.approx(30 * noise.gain, rel=2e-3)
    assert data.var() == pytest.approx(float(noise.variance(30.0)), rel=0.02)
    assert np.array_equal(data, noise.draw(np.full(200_000, 30.0), seed=5))
    assert not np.array_equal(data, noise.draw(np.full(200_000, 30.0), seed=6))


def test_data_equal_to_the_model_cost_nothing() -> None:
    assert Noise().misfit(M, M).cost == pytest.approx(np.zeros(len(M)), abs=1e-12)
    assert Noise(readout=2).misfit(M, M).cost == pytest.approx(np.zeros(len(M)), abs=1e-12)


def test_next_to_nothing_expected() -> None:
    """A photon where none was expected weighs much, not without end."""
    found = Noise().misfit([1.0], [0.0])
    assert found.residual == pytest.approx([999]) and found.weights == pytest.approx([1000])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"readout": -1}, "readout must be a finite number at least 0"),
        ({"gain": 0}, "gain must be a finite number above 0"),
        ({"flicker": np.nan}, "flicker must be a finite number"),
        ({"kind": "poison"}, "kind must be one of 'auto', 'poisson'"),
        ({"kind": "poisson", "gain": 2}, "a gain or flicker makes it"),
        ({"read_out": 1}, "did you mean 'readout'"),
    ],
)
def test_bad_input(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        nbragg.Noise(**wrong)

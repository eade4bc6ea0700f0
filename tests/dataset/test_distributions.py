"""Distributions by name: quantiles against SciPy's, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

import nbragg
from nbragg.dataset.distributions import parse

SHAPES: dict[str, dict[str, float]] = {
    "uniform": {"loc": -3, "scale": 5},
    "norm": {"loc": 2, "scale": 0.3},
    "expon": {"loc": 1, "scale": 4},
    "lognorm": {"s": 0.4, "loc": -1, "scale": 20},
    "loguniform": {"a": 0.01, "b": 30, "loc": 1, "scale": 2},
    "reciprocal": {"a": 2, "b": 3},
    "gamma": {"a": 4, "scale": 0.25},
    "beta": {"a": 2, "b": 5},
    "poisson": {"mu": 1.3},
    "randint": {"low": 3, "high": 9},
}


@pytest.mark.parametrize("name", SHAPES)
def test_quantiles_are_those_of_scipy(name: str) -> None:
    one = parse("x", {name: SHAPES[name]})
    u = (np.arange(200) + 0.5) / 200
    expected = getattr(scipy.stats, name)(**SHAPES[name]).ppf(u)
    np.testing.assert_allclose([one.quantile(x) for x in u], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["norm", "lognorm", "expon", "uniform", "loguniform", "gamma"])
def test_the_part_between_limits(name: str) -> None:
    """The quantile within limits against the distribution function, by which SciPy would cut it."""
    whole = getattr(scipy.stats, name)(**SHAPES[name])
    low, high = whole.ppf(0.2), whole.ppf(0.9)
    one = parse("x", {name: SHAPES[name], "within": [low, high]})
    u = np.linspace(0.001, 0.999, 99)
    drawn = np.array([one.quantile(x) for x in u])
    assert drawn.min() >= low and drawn.max() <= high
    np.testing.assert_allclose(whole.cdf(drawn), 0.2 + 0.7 * u, rtol=0, atol=1e-9)


def test_a_choice_by_weights() -> None:
    one = parse("x", {"choice": ["a", "b", "c"], "weights": [1, 0, 3]})
    chosen = [one.among[one.chosen((k + 0.5) / 400)] for k in range(400)]
    assert [chosen.count(name) for name in "abc"] == [100, 0, 300]


def test_values_offsets_and_factors() -> None:
    assert parse("x", 3.5).changed(10.0, 3.5) == 3.5
    assert parse("x", {"constant": 2, "as": "offset"}).changed(10.0, 2.0) == 12.0
    assert parse("x", {"constant": 2, "as": "factor"}).changed(10.0, 2.0) == 20.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"normm": {"loc": 1}}, "did you mean 'norm'"),
        ({"norm": {"locc": 1}}, "no parameter 'locc'; did you mean 'loc'"),
        ({"norm": {"scale": -1}}, "scale above 0"),
        ({"norm": {"scale": 0}}, "scale above 0"),
        ({"lognorm": {}}, "needs 's'"),
        ({"lognorm": {"s": -1}}, "there is no lognorm with s -1"),
        ({"loguniform": {"a": 3, "b": 2}}, "there is no loguniform"),
        ({"gamma": {"a": -4}}, "there is no gamma with a -4"),
        ({"randint": {"low": 5, "high": 2}}, "there is no randint"),
        ({"norm": {"loc": "x"}}, "a finite number was expected"),
        ({"norm": {"loc": float("nan")}}, "a finite number was expected"),
        ({"norm": 3}, "its parameters by name"),
        ({"norm": {}, "uniform": {}}, "one distribution was expected"),
        ({}, "one distribution was expected, not none"),
        ([1, 2], "a number or a distribution"),
        ({"norm": {}, "as": "sum"}, "as: 'sum'"),
        ({"norm": {}, "within": [3, 1]}, "below the second"),
        ({"uniform": {}, "within": [3, 4]}, "nothing of it lies within"),
        ({"norm": {}, "together": 1}, "true or false"),
        ({"choice": []}, "a list"),
        ({"choice": [1, 2], "weights": [1]}, "one for each of 2"),
        ({"choice": [1, 2], "weights": [-1, 1]}, "not all 0"),
        ({"norm": {}, "weights": [1]}, "weights belong to a choice"),
    ],
)
def test_what_is_refused(given: Any, said: str) -> None:
    with pytest.raises(nbragg.InputError, match="vary: x: ") as error:
        parse("x", given)
    assert said in str(error.value)

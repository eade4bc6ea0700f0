"""The engine's elementary functions against mpmath: the errors stated in csrc/nb_math.h, measured."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from nbragg import _engine

Array = NDArray[np.float64]
EPS64, EPS32 = 2.0**-52, 2.0**-23


def exact(function: str, values: Array, cells: int = 1) -> Array:
    """The same function in 50 digits."""
    with mpmath.workdps(50):
        out = []
        for value in values:
            x = mpmath.mpf(float(value))
            if function == "sinpi":
                y = mpmath.sin(mpmath.pi * x)
            elif function == "cospi":
                y = mpmath.cos(mpmath.pi * x)
            elif function == "exp":
                y = mpmath.exp(x)
            elif function == "square":
                s = mpmath.sin(mpmath.pi * x)
                y = mpmath.mpf(1) if x == 0 else (mpmath.sin(cells * mpmath.pi * x) / (cells * s)) ** 2
            else:
                u = mpmath.pi * mpmath.sqrt(x)
                sphere = mpmath.mpf(1) if x == 0 else 3 * (mpmath.sin(u) - u * mpmath.cos(u)) / u**3
                y = (mpmath.mpf("0.723601254558268") * sphere) ** 2
            out.append(float(y))
    return np.array(out)


def spread(low: float, high: float, count: int = 1500) -> Array:
    """Points over the whole range, close to 0 and the ends too; float32 values, to serve both types."""
    rng = np.random.default_rng(3)
    tiny = 10.0 ** rng.uniform(-12, -1, 300)
    width = high - low
    points = np.concatenate(
        [rng.uniform(low, high, count), np.linspace(low, high, 257), low + width * tiny, high - width * tiny]
    )
    return np.clip(points.astype(np.float32).astype(np.float64), low, high)


@pytest.mark.parametrize(("single", "eps"), [(False, EPS64), (True, EPS32)])
def test_sinpi_relative_error(single: bool, eps: float) -> None:
    x = spread(-0.5, 0.5)
    x = x[x != 0]
    error = np.abs(_engine.probe_math("sinpi", x, single) / exact("sinpi", x) - 1)
    assert error.max() < 2.5 * eps


@pytest.mark.parametrize(("single", "eps"), [(False, EPS64), (True, EPS32)])
def test_cospi_absolute_error(single: bool, eps: float) -> None:
    x = spread(-0.5, 0.5)
    assert np.abs(_engine.probe_math("cospi", x, single) - exact("cospi", x)).max() < 2.5 * eps


@pytest.mark.parametrize(("single", "eps", "low"), [(False, EPS64, -707.875), (True, EPS32, -86.875)])
def test_exp_relative_error(single: bool, eps: float, low: float) -> None:
    x = np.concatenate([spread(low, 0.0), spread(-1.0, 20.0)])
    error = np.abs(_engine.probe_math("exp", x, single) / exact("exp", x) - 1)
    assert error.max() < 3.0 * eps


def test_exp_vanishes_below_its_range() -> None:
    x = np.array([-708.1, -1e4, -1e300, -np.inf])
    assert (_engine.probe_math("exp", x) == 0).all()
    assert (_engine.probe_math("exp", x, True) == 0).all()


@pytest.mark.parametrize("single", [False, True])
def test_round_is_half_even(single: bool) -> None:
    x = np.array([-2.5, -1.5, -0.5, -0.25, 0.0, 0.5, 0.75, 1.5, 2.5, 1000.5, -1000.499])
    np.testing.assert_array_equal(_engine.probe_math("round", x, single), np.rint(x))


@pytest.mark.parametrize("cells", [1, 2, 3, 5, 20, 1000, 100000])
@pytest.mark.parametrize(("single", "bound"), [(False, 2e-14), (True, 2e-6)])
def test_block_lattice_factor_near_its_peak(single: bool, bound: float, cells: int) -> None:
    """Within the first ten side maxima; the error is a fraction of the peak."""
    reach = min(0.5, 10.0 / cells)
    x = spread(-reach, reach)
    error = np.abs(_engine.probe_math("square", x, single, float(cells)) - exact("square", x, cells))
    assert error.max() < bound


def test_block_lattice_factor_is_one_at_its_centre() -> None:
    for cells in (1.0, 2.0, 5.0, 7.0, 1000.0):
        assert abs(_engine.probe_math("square", np.zeros(1), False, cells)[0] - 1.0) <= 2 * EPS64
        assert abs(_engine.probe_math("square", np.zeros(1), True, cells)[0] - 1.0) <= 3 * EPS32


@pytest.mark.parametrize(("single", "bound"), [(False, 1e-14), (True, 2e-6)])
def test_sphere_lattice_factor(single: bool, bound: float) -> None:
    """Error as a fraction of the peak, over the series, its end at x = 1, and far out."""
    radius_sqr = np.concatenate([spread(0.0, 0.11), spread(0.1, 30.0), np.array([0.0, 1.0 / np.pi**2])])
    error = np.abs(_engine.probe_math("sphere", radius_sqr, single) - exact("sphere", radius_sqr))
    assert error.max() < bound

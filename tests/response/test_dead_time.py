"""Counting detectors: dead time against photons that arrive one by one, its correction, pulses, counters."""

from __future__ import annotations

from typing import Any

import detector_oracle as oracle
import numpy as np
import pytest

from nbragg import DetectorImage, DetectorResponse, detect

T = 1e-3  # s


def counted(m: float, n: int = 20_000, **fields: Any) -> DetectorImage:
    """n pixels in which m photons are expected."""
    response = DetectorResponse(kind="counting", **{"bits": 32, **fields})
    return detect(np.full((n // 100, 100), m), response, seed=5, exposure_s=T)


@pytest.mark.parametrize("paralysable", [False, True])
@pytest.mark.parametrize(("x", "m"), [(0.01, 10), (0.1, 30), (0.5, 100), (1, 300), (3, 1000)])
def test_dead_time(x: float, m: float, paralysable: bool) -> None:
    """Mean and variance of exposures so much longer than the dead time that their ends do not count."""
    tau_over_T = x / m
    expected = oracle.events(m, tau_over_T, 4000, paralysable=paralysable, seed=int(m + 7 * paralysable))
    fields: dict[str, Any] = {"dead_time_ns": 1e9 * tau_over_T * T, "retrigger": not paralysable}
    found = counted(m, **fields).pixels.astype(float)
    error = np.sqrt(expected.var() / expected.size + found.var() / found.size)
    at_ends = 1.5 if paralysable and x == 3 else 0.5  # counts
    assert abs(found.mean() - expected.mean()) < 4 * error + at_ends
    spread = 4 * np.sqrt(2 / expected.size + 2 / found.size)
    assert found.var() / expected.var() == pytest.approx(1, abs=spread + 0.03)


@pytest.mark.parametrize(("x", "m"), [(0.02, 20), (0.5, 2000), (2, 1e5)])
def test_moments_of_dead_time(x: float, m: float) -> None:
    """Those of the formulas, to 4 standard errors and the rounding of the number of trials."""
    found = counted(m, dead_time_ns=1e9 * T * x / m).pixels.astype(float)
    trials = m / x * (1 + x) / (2 + x)
    mean, variance = m / (1 + x), m / (1 + x) ** 3
    assert abs(found.mean() - mean) < 4 * np.sqrt(variance / found.size) + 0.5 * mean / trials
    assert abs(found.var() / variance - 1) < 4 * np.sqrt(2 / found.size) + 0.5 / trials


@pytest.mark.parametrize("retrigger", [True, False])
def test_rate_correction(retrigger: bool) -> None:
    """The mean loss is undone, up to half the rate at which a paralysable counter sees most."""
    m, x = 5000.0, 0.5
    fields: dict[str, Any] = {
        "dead_time_ns": 1e9 * T * x / m,
        "retrigger": retrigger,
        "rate_correction": True,
    }
    found = counted(m, **fields, bits=0).pixels.astype(float)
    curvature = 1e-3 * m  # of the correction, over the spread of counts
    assert abs(found.mean() - m) < 4 * found.std() / np.sqrt(found.size) + curvature
    assert found.std() > np.sqrt(m)
    whole = counted(m, **fields).pixels
    assert whole.dtype == np.uint32
    assert np.abs(whole - found).max() <= 0.5001


def test_what_cannot_be_corrected_is_an_overload() -> None:
    """A counter that is always busy says no more than that."""
    drawn = counted(1e9, 400, dead_time_ns=1e9 * T / 10, rate_correction=True, bits=16)
    assert drawn.overloads > 0 and drawn.pixels.max() == 65535
    lost = counted(1e9, 400, dead_time_ns=1e9 * T / 10, rate_correction=True, retrigger=False)
    assert lost.pixels.max() == 0  # nothing gets through


@pytest.mark.parametrize(("m", "pulses"), [(0.3, 1), (5, 10), (300, 1000)])
def test_pulses(m: float, pulses: int) -> None:
    """At most one count a pulse."""
    found = counted(m, pulsed=pulses).pixels.astype(float)
    p = 1 - np.exp(-m / pulses)
    assert found.max() <= pulses
    assert abs(found.mean() - pulses * p) < 4 * np.sqrt(pulses * p * (1 - p) / found.size)
    kurtosis = 1 / (pulses * p * (1 - p))
    assert abs(found.var() / (pulses * p * (1 - p)) - 1) < 4 * np.sqrt((2 + kurtosis) / found.size)


def test_counters_of_frames() -> None:
    """Each frame has its own counter; the sum has 32 bits."""
    clipped = counted(2000, 400, bits=8, frames=4)
    assert (clipped.pixels == 4 * 255).all() and clipped.overloads == 400
    wrapped = counted(2000, 400, bits=8, frames=1, overflow="wrap")
    plain = counted(2000, 400)
    assert np.array_equal(wrapped.pixels, plain.pixels % 256)
    assert wrapped.overloads == 400 and plain.overloads == 0
    summed = counted(100, 20_000, bits=12, frames=10).pixels.astype(float)
    assert abs(summed.mean() - 100) < 4 * np.sqrt(100 / summed.size)
    assert abs(summed.var() - 100) < 4 * 100 * np.sqrt(2 / summed.size)


def test_saturation_of_a_counter() -> None:
    drawn = counted(50, 400, bits=20, saturation=50)
    plain = counted(50, 400)
    assert np.array_equal(drawn.pixels, np.minimum(plain.pixels, 50))
    assert drawn.overloads == (plain.pixels > 50).sum()


def test_charge_below_the_threshold_is_lost() -> None:
    """Photons at corners, of which no pixel collects half: the losses of `threshold_response`."""
    from nbragg.response.expected.charge_sharing import threshold_response

    response = DetectorResponse(kind="counting", charge_sigma_um=10)
    found = detect(np.full((200, 200), 3.0), response, seed=2, pixel_um=75).pixels[1:-1, 1:-1]
    kept = 3.0 * threshold_response(response, 75).sum()
    assert kept < 2.95
    assert abs(found.mean() - kept) < 4 * np.sqrt(kept / found.size)

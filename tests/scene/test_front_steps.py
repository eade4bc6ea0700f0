"""Range, step and count (canonical 4, 5.6, 6), case by case."""

from __future__ import annotations

import math

import pytest

from nbragg import InputError
from nbragg.scene.steps import Layers, Steps, resolve_layers, resolve_mosaic, resolve_phi, resolve_steps

DEGREE = math.radians(1)


@pytest.mark.parametrize(
    ("extent", "step", "count", "expected"),
    [
        (None, None, None, (0, 0, 1)),
        (None, 0.3, None, (0.3, 0.3, 2)),
        (0.5, None, None, (0.5, 0.5, 2)),
        (0.5, 0.2, None, (0.5, 0.2, 3)),
        (None, None, 4, (1, 0.25, 4)),
        (None, 0.3, 7, (0.3, 0.3, 2)),
        (0.5, None, 6, (0.5, 0.1, 6)),
        (0.5, None, 1, (0.5, 0.5, 2)),
        (0.5, 0.2, 9, (0.5, 0.2, 9)),
        (0.0, None, None, (0, 0, 1)),
        (0.0, 0.2, 9, (0, 0, 1)),
        (0.0, None, 5, (0, 0, 1)),
        (0.5, 0.0, 6, (0.5, 0.1, 6)),
    ],
)
def test_divergence(
    extent: float | None, step: float | None, count: int | None, expected: tuple[float, float, int]
) -> None:
    """AT-SRC-002."""
    got = resolve_steps("hdivstep_mrad", extent, step, count)
    assert (got.range, got.step, got.count) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("osc", "step", "count", "expected"),
    [
        (None, None, None, (0, 0, 1)),
        (0.4, None, None, (0.4, 0.2, 2)),
        (None, 0.3, None, (0.3, 0.3, 2)),
        (0.5, 0.2, None, (0.5, 0.2, 3)),
        (None, None, 5, (DEGREE, DEGREE / 5, 5)),
        (None, 0.3, 7, (0.3, 0.3, 2)),
        (0.5, None, 5, (0.5, 0.1, 5)),
        (0.5, 0.3, 5, (0.5, 0.3, 5)),
        (0.0, None, 3, (0, 0, 3)),
        (0.0, 0.1, None, (0, 0.1, 1)),
    ],
)
def test_phi(
    osc: float | None, step: float | None, count: int | None, expected: tuple[float, float, int]
) -> None:
    got = resolve_phi(osc, step, count)
    assert (got.range, got.step, got.count) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("spread", "domains", "expected"),
    [(None, None, (0, 1)), (0.0, 40, (0, 1)), (None, 40, (0, 1)), (0.5, None, (0.5, 10)), (0.5, 3, (0.5, 3))],
)
def test_mosaic(spread: float | None, domains: int | None, expected: tuple[float, int]) -> None:
    assert resolve_mosaic(spread, domains) == expected


OFF = Layers(0.0, 0.0, 1, 0.0)


@pytest.mark.parametrize(
    ("thickness", "count", "attenuation", "exact", "expected"),
    [
        (0.0, None, None, False, OFF),
        (0.0, 5, 1e-4, False, OFF),
        (1e-3, 5, math.inf, False, OFF),
        (1e-3, 5, 0.0, True, OFF),
        (1e-3, None, 5e-4, False, Layers(1e-3, 5e-4, 2, 2000.0)),
        (1e-3, None, None, False, Layers(1e-3, 5e-4, 2, 1000.0)),
        (1e-3, 5, 5e-4, False, Layers(1e-3, 2.5e-4, 5, 2000.0)),
        (1e-3, 1, 5e-4, False, Layers(1e-3, 1e-3, 2, 2000.0)),
        (1e-3, 5, 5e-4, True, Layers(1e-3, 2e-4, 5, 2000.0)),
        (1e-3, 1, 5e-4, True, Layers(1e-3, 1e-3, 1, 2000.0)),
    ],
)
def test_layers(
    thickness: float, count: int | None, attenuation: float | None, exact: bool, expected: Layers
) -> None:
    """Canonical 6 and, with exact, 11; no absorption means one layer that catches everything."""
    assert resolve_layers(thickness, count, attenuation, whole=exact) == expected


def test_a_step_too_fine() -> None:
    with pytest.raises(InputError, match="hdivstep"):
        resolve_steps("hdivstep_mrad", 1.0, 1e-300, None)
    with pytest.raises(InputError, match="phistep"):
        resolve_phi(1.0, 1e-12, None)


def test_points_are_counted_up() -> None:
    assert resolve_phi(1.0, 0.3, None) == Steps(1.0, 0.3, 4)

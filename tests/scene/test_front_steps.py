"""Range, step and count (canonical 4, 5.6, 6), case by case."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nbragg
from nbragg import Crystal, InputError, StructureFactors
from nbragg.base.vectors import axis_rotation
from nbragg.model.physics import PHYSICS
from nbragg.scene.orientations import phi_rotations
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


@pytest.mark.parametrize("start", [0.0, 1.3])
@pytest.mark.parametrize(
    ("osc", "step", "count", "middles"),
    [
        (None, None, None, [0]),
        (0.4, None, None, [0.1, 0.3]),
        (0.4, None, 1, [0.2]),
        (0.5, None, 5, [0.05, 0.15, 0.25, 0.35, 0.45]),
        (None, None, 4, [DEGREE / 8, DEGREE * 3 / 8, DEGREE * 5 / 8, DEGREE * 7 / 8]),
        (None, 0.3, None, [0.15, 0.45]),  # twice the step, as it resolves
        (0.5, 0.2, None, [0.1, 0.3, 0.5]),  # 3 steps reach over the range
        (0.5, 0.3, 2, [0.15, 0.45]),
        (0.0, None, None, [0, 0]),
        (0.0, None, 1, [0]),
        (0.0, 0.1, None, [0]),
        (0.0, 0.1, 3, [0, 0.1, 0.2]),
    ],
)
def test_phi_of_a_step(
    osc: float | None, step: float | None, count: int | None, middles: list[float], start: float
) -> None:
    """Exact physics takes the middle of each step (canonical 11), the reference its start (6)."""
    spindle = np.array([0.0, 0.6, 0.8])
    steps = resolve_phi(osc, step, count)
    back = 0.0 if osc == 0 else steps.step / 2
    for physics, angles in (("exact", middles), ("nanobragg", [angle - back for angle in middles])):
        expected = [start + angle for angle in angles]
        got = phi_rotations(start, steps, spindle, PHYSICS[physics])
        np.testing.assert_allclose(got, axis_rotation(spindle, np.array(expected)), atol=1e-15)


def test_mean_angle_of_a_rotation() -> None:
    """It is the range's middle whatever the number of steps, so that a crystal indexes without an offset."""
    for steps in (1, 2, 5, 20):
        crystal = Crystal(
            cell=(70, 80, 90, 90, 90, 90), phi_deg=30, osc_deg=1, phisteps=steps, spindle_axis=(0, 0, 1),
            structure_factors=StructureFactors.constant(1),
        )  # fmt: skip
        a = nbragg.build_scene(nbragg.Setup(crystal)).crystal.orientations[:, 0]
        angles = np.degrees(np.arctan2(a[:, 1], a[:, 0]))
        assert angles.mean() == pytest.approx(30.5, abs=1e-9) and len(angles) == steps


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

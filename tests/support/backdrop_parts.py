"""Scenes with something behind the spots and in the way, and complex steps of all their numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

import nbragg
from nbragg.scene.backdrop import Backdrop, Curve, Scatterer
from nbragg.scene.obstacles import Absorber, Body, Obstacles, Stop
from nbragg.scene.scatterers import _buckets

Array = npt.NDArray[Any]

BODIES = ("ball", "crystal in a ball", "slab", "crystal in a slab")

#: what a derivative does not go by: choices, and where a curve's pieces begin
HELD = (
    "knots",
    "inside",
    "low",
    "per_bucket",
    "bucket",
    "steps",
    "oversample",
    "panels",
    "sources",
    "direct_beam",
)


def directions(rng: Any, *shape: int) -> Array:
    """Unit vectors about laboratory x."""
    v = np.array([1.0, 0, 0]) + 0.3 * rng.normal(size=(*shape, 3))
    return np.asarray(v / np.linalg.norm(v, axis=-1, keepdims=True))


def curve(rng: Any, rows: int = 6) -> Curve:
    """Any cubics between any rows, some of them negative."""
    s = np.sort(rng.uniform(0.01, 0.3, rows)) * 1e10
    cubics = rng.uniform(-3, 8, (rows + 1, 4)) / 1e9 ** np.arange(4)
    knots = np.concatenate([s[:1], s, [np.nan]])
    return Curve(knots, cubics, (-np.inf, np.inf), *_buckets(knots))


def scatterers(rng: Any) -> tuple[Scatterer, ...]:
    """At the sample; along the beam and beside it; photons/sr without polarization."""
    sample = np.zeros((1, 3))
    along = np.array([[-0.015, 0, 0], [0.01, 0, 1e-4], [0, 0, 0]])
    return (
        Scatterer("solvent", curve(rng), True, True, False, sample, np.array([1e16])),
        Scatterer("air", curve(rng), True, True, False, along, np.array([1e15, 2e15, -1e15])),
        Scatterer("curve", curve(rng), False, False, True, sample, np.array([2.0])),
    )


def obstacles(rng: Any, panels: int, sources: int, body: str | None) -> Obstacles:
    """Gas, sheets of every kind, a beam stop with an arm, a collimator, a pin, and a body."""

    def depth() -> Array:
        return np.asarray(rng.uniform(0.1, 0.5, (panels, sources)))

    nowhere, none, beam, u = np.zeros(2), np.empty((0, 2)), np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    v, ahead = np.cross(beam, u), np.array([1.0, 0])
    absorbers = (
        Absorber("gas", np.zeros((panels, 3)), 0.004, 3 * depth()),
        Absorber("shell", np.zeros((panels, 3)), 0.0, depth()),
        Absorber("sheet", directions(rng, panels), 0.0, depth()),
        Absorber("wall", directions(rng, panels), 0.02, depth()),
        Absorber("wall", directions(rng, panels), -0.01, depth()),
    )
    pin = np.array([[0.002, -0.001], [0.03, -0.01], [0.03, 0.01], [0.002, 0.004]])
    stops = (
        Stop(
            "disc", beam, u, v, 0.03, np.array([5e-4, -4e-4]), 0.003, np.array([0.8, 0.6]), 0.0012, 0.3, none
        ),
        Stop("hole", beam, u, v, -0.02, nowhere, 0.0004, ahead, 0.0, 0.2, none),
        Stop("polygon", beam, u, v, 0.02, nowhere, 0.0, ahead, 0.0, 0.6, pin),
    )
    return Obstacles(panels, sources, absorbers, stops, _body(rng, sources, body))


def _body(rng: Any, sources: int, kind: str | None) -> Body | None:
    if kind is None:
        return None
    at = np.array([2e-4, -1e-4, 1e-4]) if kind.startswith("crystal") else np.zeros(3)
    mu = rng.uniform(100, 300, sources)
    if "ball" in kind:
        mean = rng.uniform(-1, 0, (sources, 90, 4)) * [1, 0.02, 0.01, 0.01]
        spread = kind == "ball"
        return Body("ball", spread, at, np.zeros(3), 0.001, mu, mean if spread else None)
    return Body("slab", kind == "slab", at, directions(rng), 0.001, mu, None)


def backdrop(scene: Any, body: str | None, seed: int = 3) -> Backdrop:
    """Everything at once."""
    rng = np.random.default_rng(seed)
    around = obstacles(rng, len(scene.panels), len(scene.sources), body)
    return Backdrop(2, scatterers(rng), around)


def stepped(record: Any, rng: Any, step: float) -> Any:
    """value + i step rate in every number of a record; rates about as large as values, 0 where they are."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = [field.name for field in dataclasses.fields(record) if field.name not in HELD]
        moving = {name: stepped(getattr(record, name), rng, step) for name in fields}
        if "incident" in moving:
            moving["incident"] = _turning(record.incident, rng, step)  # type: ignore[attr-defined]
        return dataclasses.replace(record, **moving)
    if isinstance(record, tuple):
        return tuple(stepped(one, rng, step) for one in record)
    if isinstance(record, np.ndarray) and record.dtype == np.float64:
        return record + 1j * step * rng.normal(size=record.shape) * np.abs(record)
    if isinstance(record, float):
        return record + 1j * step * rng.normal() * abs(record)
    return record


def _turning(unit: Any, rng: Any, step: float) -> Any:
    """Unit vectors that stay it: only of them Kahn's formula with an angle and the polynomial are one."""
    rate = rng.normal(size=unit.shape)
    return unit + 1j * step * (rate - (rate * unit).sum(axis=-1, keepdims=True) * unit)


def rescaled(record: Any, step: float, other: Any) -> Any:
    """The same with another step, in 80-bit numbers."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = [field.name for field in dataclasses.fields(record) if field.name not in HELD]
        return dataclasses.replace(record, **{n: rescaled(getattr(record, n), step, other) for n in fields})
    if isinstance(record, tuple):
        return tuple(rescaled(one, step, other) for one in record)
    if np.iscomplexobj(record):
        wide = np.asarray(record).astype(np.clongdouble)
        return (wide.real + 1j * (other * (wide.imag / np.longdouble(step))))[()]
    return record


def setup(**changes: Any) -> nbragg.Setup:
    """A few pixels with a sensor, solvent, air on both sides, a ring, and all that may be in the way."""
    rng = np.random.default_rng(1)
    values = rng.uniform(2e3, 1e4, (9, 8, 7))
    factors = nbragg.StructureFactors(values=values, origin=(-4, -4, -3), default_F=1100.0)
    rows = np.stack([np.linspace(0.0, 0.4, 9), rng.uniform(1, 6, 9) * [1, 1, 1, -1, 1, 1, 1, 1, 1]], axis=1)
    made = nbragg.Setup(
        nbragg.Crystal(
            cell=(40, 50, 60, 80, 95, 100), N=(5, 4, 3), misset_deg=(10, 20, 30), structure_factors=factors
        ),
        nbragg.Beam(wavelength_A=1.3, hdivrange_mrad=3, hdivsteps=2, polarization=0.9, fluence=1e22),
        nbragg.Detector(
            fpixels=12, spixels=9, pixel_mm=2.3, distance_mm=70, rotx_deg=3, thickness_um=400,
            attenuation_um=250, thicksteps=2, front=(("Al", 10), ("Si", 5)),
        ),
        nbragg.Sampling(oversample=1),
        backgrounds=(
            nbragg.Background(rows, thickness_mm=0.3, segments=2, width_mm=0.05, height_mm=0.04),
            nbragg.Background("air", path_mm=(-20, 15), molecules=1e16, segments=3),
            nbragg.RadialCurve([0.02, 0.1, 0.2, 0.3], [1e4, 5e6, 2e7, 3e6]),
        ),
        surroundings=nbragg.Surroundings(
            gas="air",
            vacuum_mm=5,
            windows=(
                nbragg.Window(material="Kapton", thickness_um=25),
                nbragg.Window(material="Be", thickness_um=200, normal="detector"),
                nbragg.Window(material="Al", thickness_um=3, distance_mm=30),
            ),
            sample_absorption=nbragg.SampleAbsorption(material="water", radius_mm=0.2),
            upstream=(("Al", 20),),
            beamstops=nbragg.Beamstop(
                distance_mm=30, diameter_mm=3, transmission=0.01, arm_width_mm=0.5, arm_angle_deg=30
            ),
            apertures=nbragg.Aperture(distance_mm=-5, diameter_mm=0.7, transmission=0.02),
        ),
    )  # fmt: skip
    return made.replace(**changes)

"""From records of what stands in the way to SI: places, coefficients, the weaker beam, derivatives."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Aperture, Beamstop, Detector, SampleAbsorption, Shadow, Surroundings, Window, _engine
from nbragg.base.numbers import derivative, stepped
from nbragg.scene.ball_absorption import PIECES, ball_factors, ball_pieces
from nbragg.scene.build import HELD, make_scene
from nbragg.scene.obstacles import Absorber, Body, Obstacles, Stop
from nbragg.scene.stages import Stages

Array = npt.NDArray[Any]
FACTORS = nbragg.StructureFactors.constant(1)
CRYSTAL = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=FACTORS)
SMALL = Detector(fpixels=4, spixels=4)
FULL = Surroundings(
    gas="air",
    vacuum_mm=20,
    windows=[
        Window(material="Kapton", thickness_um=10, normal=(1, 0, 0.1), distance_mm=5),
        Window(material="Al", thickness_um=1, normal="detector"),
        Window(material="Be", thickness_um=100, normal="radial"),
    ],
    sample_absorption=SampleAbsorption(material="water", radius_mm=0.3),
    upstream=[("Al", 20)],
    beamstops=Beamstop(distance_mm=30, diameter_mm=2, centre_mm=(1, 2), arm_width_mm=0.2, arm_angle_deg=30),
    apertures=Aperture(distance_mm=-3, diameter_mm=1),
    shadows=Shadow(distance_mm=20, polygon_mm=[(0, 0), (1, 0), (0, 1)]),
)


def scene_of(around: Surroundings | None = None, **parts: Any) -> nbragg.Scene:
    return nbragg.build_scene(nbragg.Setup(CRYSTAL, surroundings=around, **{"detector": SMALL, **parts}))


def obstacles_of(scene: nbragg.Scene) -> Obstacles:
    found: Obstacles | None = scene.backdrop and scene.backdrop.obstacles
    assert found is not None
    return found


# ---- sources and sensors -----------------------------------------------------------------------------------


def test_what_the_beam_crosses_before_the_sample() -> None:
    """One factor on the fluence; at two wavelengths the harder one keeps more of its weight."""
    layers = [("Al", 100), (nbragg.Material("SiO2", 2.2), 10)]
    plain, weak = scene_of(), scene_of(Surroundings(upstream=layers))
    mu = [nbragg.attenuation(material, 12398.42) for material, _ in layers]
    assert weak.fluence / plain.fluence == pytest.approx(math.exp(-1e-4 * mu[0] - 1e-5 * mu[1]), rel=1e-14)
    assert weak.sources.weight.tolist() == [1.0] and weak.backdrop is None
    rays = nbragg.SourceList([[-1, 0, 0]] * 2, weights=[1, 3], wavelengths_A=[0.8, 1.6])
    beam = nbragg.Beam(sources=rays, fluence=1e20)
    two = scene_of(Surroundings(upstream=layers), beam=beam)
    passed = [
        math.exp(-sum(um * 1e-6 * nbragg.attenuation(m, 12398.42 / x) for m, um in layers))
        for x in (0.8, 1.6)
    ]
    # what arrives of each: fluence times weight over the number of sources
    arrives = two.fluence * two.sources.weight / 2
    np.testing.assert_allclose(arrives, 1e20 * np.array([0.25, 0.75]) * passed, rtol=1e-13)
    assert two.sources.weight.mean() == pytest.approx(1, rel=1e-14)
    image = nbragg.simulate(nbragg.Setup(CRYSTAL, detector=SMALL)).image
    weaker = nbragg.simulate(
        nbragg.Setup(CRYSTAL, detector=SMALL, surroundings=Surroundings(upstream=layers))
    ).image
    np.testing.assert_allclose(weaker / image, weak.fluence / plain.fluence, rtol=3e-7)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_a_sensor_by_its_material(physics: str) -> None:
    """mu of photoelectric absorption at the weighted mean wavelength; a depth that is given wins."""
    sensor = SMALL.replace(material="Si", thickness_um=450)
    rays = nbragg.SourceList([[-1, 0, 0]] * 2, weights=[1, 3], wavelengths_A=[0.9, 1.3])

    def mu(detector: Detector, **beam: Any) -> Any:
        return scene_of(detector=detector, beam=nbragg.Beam(**beam), physics=physics).panel.mu

    assert mu(sensor) == pytest.approx(nbragg.attenuation("Si", 12398.42, "photo"), rel=1e-14)
    mean = (0.9 + 3 * 1.3) / 4 if physics == "exact" else 1.1
    assert mu(sensor, sources=rays) == pytest.approx(
        nbragg.attenuation("Si", 12398.42 / mean, "photo"), rel=1e-14
    )
    assert mu(sensor.replace(attenuation_um=200)) == pytest.approx(5000, rel=1e-14)
    assert mu(sensor.replace(attenuation_um=math.inf)) == mu(sensor.replace(thickness_um=0)) == 0
    assert mu(sensor.replace(material=None)) == pytest.approx(1 / 450e-6, rel=1e-14)
    panels = [
        nbragg.Panel(
            origin_mm=(100, y, 0), fast=(0, 1, 0), slow=(0, 0, 1), fpixels=2, spixels=2, pixel_mm=1,
            thickness_um=300, material=material,
        )
        for y, material in ((0, "Si"), (5, "CdTe"), (10, nbragg.Material("Ge", 5.3)), (15, None))
    ]  # fmt: skip
    found = [panel.mu for panel in scene_of(detector=Detector(panels=panels), physics=physics).panels]
    expected = [nbragg.attenuation(m, 12398.42, "photo") for m in ("Si", "CdTe", nbragg.Material("Ge", 5.3))]
    np.testing.assert_allclose(found, [*expected, 1 / 300e-6], rtol=1e-14)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_layers_capture_what_the_whole_sensor_does(layers: int) -> None:
    """Over all layers, at right angles: 1 - exp(-t mu); one layer, slanted: 1 - exp(-t mu/r)."""
    detector = Detector(
        distance_mm=20, fpixels=9, spixels=9, pixel_mm=4, Xbeam_mm=16, Ybeam_mm=16,
        material="CdTe", thickness_um=30, thicksteps=layers,
    )  # fmt: skip
    scene = scene_of(detector=detector, sampling=nbragg.Sampling(oversample=1))
    mu = nbragg.attenuation("CdTe", 12398.42, "photo")
    middle = nbragg.trace_pixel(scene, slow=4, fast=4).samples
    assert abs(middle[0]["position"][1:]).max() < 1e-12
    assert sum(middle["capture"]) == pytest.approx(-math.expm1(-30e-6 * mu), rel=1e-12)
    corner = nbragg.trace_pixel(scene, slow=0, fast=8).samples
    r = corner[0]["position"] @ scene.panel.odet / np.linalg.norm(corner[0]["position"])
    step = 30e-6 / layers
    assert r < 0.7 and corner[0]["capture"] == pytest.approx(-math.expm1(-step * mu / r), rel=1e-12)


# ---- places ------------------------------------------------------------------------------------------------


def test_things_are_where_they_were_put() -> None:
    """MOSFLM: beam along x, polarization along z, so u = z and v = x x z = -y."""
    found = obstacles_of(scene_of(FULL))
    assert (found.panels, found.sources) == (1, 1)
    disc, hole, pin = found.stops
    for stop in found.stops:
        assert (stop.normal.tolist(), stop.u.tolist(), stop.v.tolist()) == ([1, 0, 0], [0, 0, 1], [0, -1, 0])
    assert (disc.kind, disc.distance, disc.radius, disc.half_width) == ("disc", 0.03, 1e-3, 1e-4)
    np.testing.assert_allclose(disc.arm, [math.sqrt(0.75), 0.5], rtol=1e-15)
    np.testing.assert_allclose(disc.centre, [1e-3, 2e-3], rtol=1e-15)
    assert (hole.kind, hole.distance, hole.radius) == ("hole", -3e-3, 5e-4)
    assert pin.kind == "polygon" and pin.corners.tolist() == [[0, 0], [1e-3, 0], [0, 1e-3]]
    kinds = {absorber.kind: absorber for absorber in found.absorbers}
    assert set(kinds) == {"gas", "shell", "sheet", "wall"}
    assert kinds["gas"].distance == 0.02
    np.testing.assert_allclose(kinds["wall"].normal[0], np.array([1, 0, 0.1]) / math.sqrt(1.01), rtol=1e-15)
    assert kinds["wall"].distance == pytest.approx(5e-3)
    assert found.body is not None and (found.body.kind, found.body.spread) == ("ball", True)
    dials = obstacles_of(scene_of(FULL, detector=SMALL.replace(convention="dials")))
    assert (dials.stops[0].normal.tolist(), dials.stops[0].u.tolist()) == ([0, 0, 1], [0, 1, 0])


def test_sheets_of_one_place_are_one() -> None:
    """Windows parallel to each other, and a sensor's front, cost one look per pixel."""
    windows = [
        Window(material=m, thickness_um=3, normal=n) for m in ("Al", "Be") for n in ("beam", "detector")
    ]
    found = obstacles_of(scene_of(Surroundings(windows=windows), detector=SMALL.replace(front=("Al", 2))))
    (sheet,) = found.absorbers
    al, be = (nbragg.attenuation(m, 12398.42) for m in ("Al", "Be"))
    assert sheet.depth[0, 0] == pytest.approx(6e-6 * (al + be) + 2e-6 * al, rel=1e-14)
    tilted = obstacles_of(scene_of(Surroundings(windows=windows), detector=SMALL.replace(rotz_deg=10)))
    assert len(tilted.absorbers) == 2


def test_nothing_in_the_way_is_nothing() -> None:
    assert scene_of().backdrop is scene_of(Surroundings()).backdrop is None
    assert scene_of(Surroundings(vacuum_mm=30)).backdrop is None


def test_stages_are_kept() -> None:
    """Another crystal, another fluence: the same obstacles, so that their image is not made again."""
    simulator = nbragg.Simulator(nbragg.Setup(CRYSTAL, detector=SMALL, surroundings=FULL))
    turned = simulator.replace(misset_deg=(1, 2, 3))
    assert obstacles_of(turned.scene) is obstacles_of(simulator.scene)
    assert turned.scene.backdrop is simulator.scene.backdrop
    other = simulator.replace(wavelength_A=1.1)
    assert obstacles_of(other.scene) is not obstacles_of(simulator.scene)


# ---- the ball ----------------------------------------------------------------------------------------------


def plain_mean(x: float, angle: float, n: int = 64) -> float:
    """Mean over the ball in other coordinates: along the beam, across it, around it."""
    w, w_weight = np.polynomial.legendre.leggauss(n)
    half = 0.5 * (w + 1)
    phi = np.pi * (np.arange(n) + 0.5) / n
    h, s, f = np.meshgrid(half, w, phi, indexing="ij")  # half a chord, place on it, azimuth
    rho, z = np.sqrt(1 - h * h), h * s
    m = rho * np.cos(f) * math.sin(angle) + z * math.cos(angle)
    path = h * (1 + s) - m + np.sqrt(np.maximum(m * m + 1 - rho**2 - z**2, 0))
    weight: Array = w_weight[:, None, None] * w_weight[None, :, None] * h * h
    return float((weight * np.exp(-x * path)).sum() / weight.sum())


def test_the_ball_between_its_nodes() -> None:
    """Against a plain integral, good to 2e-7 times the radius in attenuation depths."""
    depths = np.array([0.1, 0.9, 3.9])
    pieces = ball_pieces(depths)
    assert pieces.shape == (3, PIECES, 4)
    for angle in np.radians([1.3, 90.9, 133.3]):
        place = angle / np.pi * PIECES
        piece, t = int(place), place % 1
        for depth, cubics in zip(depths, pieces, strict=True):
            value = math.exp(np.polyval(cubics[piece][::-1], t))
            assert value == pytest.approx(plain_mean(depth, angle), rel=2e-6 * depth)


def test_many_wavelengths_lie_on_a_polynomial() -> None:
    """Of 40 coefficients a few are integrated: the others are within 1e-8."""
    depths = np.linspace(0.2, 0.5, 40)
    found = ball_pieces(depths)[[0, 13, 39], :, 0]
    np.testing.assert_allclose(found, np.log(ball_factors(depths[[0, 13, 39]]))[:, :-1], atol=1e-8)


# ---- derivatives -------------------------------------------------------------------------------------------


def numbers_of(obstacles: Obstacles) -> list[Array]:
    """Every number of it, in order."""
    found: list[Array] = []

    def visit(value: Any) -> None:
        if isinstance(value, tuple):
            for one in value:
                visit(one)
        elif dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                visit(getattr(value, field.name))
        elif isinstance(value, (float, complex, np.ndarray)):
            found.append(np.atleast_1d(np.asarray(value)))

    visit(obstacles)
    return found


@pytest.mark.parametrize("part", ["beam.wavelength_A", "detector.roty_deg", "detector.thickness_um"])
def test_everything_moves_with_what_it_is_made_of(part: str) -> None:
    """A complex number goes through to the obstacles, the fluence and the sensor: as differences say."""
    record, field = part.split(".")
    setup = nbragg.Setup(
        CRYSTAL,
        detector=SMALL.replace(material="Si", thickness_um=300, roty_deg=3),
        surroundings=FULL.replace(direct_beam=False),
    )
    value, kept = getattr(getattr(setup, record), field), Stages()
    make_scene(setup, kept)

    def at(x: Any, run: Stages) -> nbragg.Scene:
        moved = getattr(setup, record)._with(**{field: x})
        return make_scene(setup._with(**{record: moved}), run)

    moving = at(stepped(value), Stages(kept, HELD))
    h = 1e-5 * value
    ends = [at(value + x, Stages()) for x in (-h, h)]
    pairs = [
        (moving.fluence, [end.fluence for end in ends]),
        (moving.panel.mu, [end.panel.mu for end in ends]),
        *zip(
            numbers_of(obstacles_of(moving)),
            zip(*(numbers_of(obstacles_of(end)) for end in ends), strict=True),
            strict=True,
        ),
    ]
    moved = 0
    for number, (low, high) in pairs:
        rate = derivative(np.atleast_1d(np.asarray(number)))
        difference = (np.atleast_1d(high) - np.atleast_1d(low)) / (2 * h)
        largest = np.abs(np.atleast_1d(high)).max(initial=0) / value
        np.testing.assert_allclose(0 if rate is None else rate, difference, rtol=2e-5, atol=1e-8 * largest)
        moved += rate is not None
    assert moved >= {"wavelength_A": 6, "roty_deg": 1, "thickness_um": 0}[field]


# ---- from the record to C ----------------------------------------------------------------------------------


def _changed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value * 1.5 + 0.25e-3
    if isinstance(value, bool):
        return not value
    return value * 1.5 + 0.25e-3


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("absorber", f.name) for f in dataclasses.fields(Absorber) if f.name != "kind"),
        *(("stop", f.name) for f in dataclasses.fields(Stop) if f.name != "kind"),
        *(("body", f.name) for f in dataclasses.fields(Body) if f.name != "kind"),
    ],
)
def test_every_field_reaches_the_engine(name: str, field: str) -> None:
    """A number changed in the record changes what passes somewhere: none is forgotten on the way to C."""
    windows = Window(material="Kapton", thickness_um=300, normal=(1, 0, 0.1), distance_mm=5)
    around = FULL.replace(windows=windows, beamstops=FULL.beamstops[0].replace(transmission=0.5))
    found = obstacles_of(scene_of(around))
    kinds: dict[str, Any] = {
        "absorber": next(a for a in found.absorbers if a.kind == "wall"),
        "stop": found.stops[2] if field == "corners" else found.stops[0],
        "body": found.body,
    }
    if name == "body" and field in ("centre", "normal", "size", "mu"):  # of one that takes no mean
        slab = SampleAbsorption(material="water", thickness_mm=0.3, crystal_at_mm=(0.1, 0, 0))
        kinds["body"] = obstacles_of(scene_of(Surroundings(sample_absorption=slab))).body
    old = kinds[name]
    new = dataclasses.replace(old, **{field: _changed(getattr(old, field))})

    def only(one: Any) -> Array:
        alone = Obstacles(
            1,
            1,
            (one,) if name == "absorber" else (),
            (one,) if name == "stop" else (),
            one if name == "body" else None,
        )
        rng = np.random.default_rng(3)
        P = np.stack([np.full(4000, 0.1), *rng.uniform(-0.012, 0.012, (2, 4000))], axis=1)
        at = np.array([0.006, 0, 0]) if name == "absorber" and field == "distance" else np.zeros(3)
        return _engine.transmission(alone, 0, 0, np.array([1.0, 0, 0]), at, P)

    assert (only(old) != only(new)).any()

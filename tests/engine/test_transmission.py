"""The share of the light that passes what stands in its way: slow oracle, closed forms, integrals."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import surroundings_oracle as oracle

import nbragg
from nbragg import Aperture, Beamstop, SampleAbsorption, Shadow, Surroundings, Window, _engine
from nbragg.scene.obstacles import Obstacles
from nbragg.scene.surroundings import place_obstacles

Array = npt.NDArray[np.float64]
FACTORS = nbragg.StructureFactors.constant(1)
CRYSTAL = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=FACTORS)


def placed(around: Surroundings | None, **parts: Any) -> tuple[nbragg.Scene, Obstacles]:
    parts.setdefault("detector", nbragg.Detector(fpixels=4, spixels=4))
    setup = nbragg.Setup(CRYSTAL, surroundings=around, **parts)
    scene = nbragg.build_scene(setup)
    first = scene.placement.panels[0]
    obstacles = place_obstacles(around, setup.detector, scene.panels, scene.sources, first)
    assert obstacles is not None
    return scene, obstacles


def passed(around: Surroundings, P_mm: Any, at_mm: Any = (0.0, 0.0, 0.0), **parts: Any) -> Array:
    """T at points on the first panel for the first source: of the vectors, and the same one by one."""
    scene, obstacles = placed(around, **parts)
    incident = scene.sources.incident[0]
    P, at = np.atleast_2d(np.array(P_mm, float)) * 1e-3, np.array(at_mm) * 1e-3
    T = _engine.transmission(obstacles, 0, 0, incident, at, P)
    single = _engine.transmission(obstacles, 0, 0, incident, np.tile(at, (len(P), 1)), P)
    np.testing.assert_allclose(T, single, rtol=1e-13, atol=0)
    return T


def towards(twotheta_deg: Any, azimuth_deg: Any = 37.0, distance: float = 100.0) -> Array:
    """Points (mm) in these directions about the beam, which is along x."""
    t, a = np.broadcast_arrays(np.radians(twotheta_deg), np.radians(azimuth_deg))
    return distance * np.stack([np.cos(t), np.sin(t) * np.cos(a), np.sin(t) * np.sin(a)], axis=-1)


# ---- the oracle --------------------------------------------------------------------------------------------


def some_surroundings(rng: np.random.Generator, number: int) -> Surroundings:
    def plane(low: float = -60.0, high: float = 90.0) -> float:
        return float(rng.uniform(low, high))

    def material() -> Any:
        return rng.choice(["Kapton", "Al", "Be", "water"])

    normals: list[Any] = ["beam", "detector", "radial", tuple(rng.normal(size=3))]
    windows = [
        Window(
            material=str(material()),
            thickness_um=rng.uniform(1, 300),
            normal=normal,
            distance_mm=None if normal == "radial" or rng.random() < 0.5 else plane(),
        )
        for normal in normals
        if rng.random() < 0.7
    ]
    body = (
        None,
        SampleAbsorption(material="water", radius_mm=rng.uniform(0.1, 2), crystal_at_mm=(0.05, -0.02, 0.01)),
        SampleAbsorption(material="Si", thickness_mm=rng.uniform(0.05, 1), normal=tuple(rng.normal(size=3))),
        SampleAbsorption(
            material="Si",
            thickness_mm=0.3,
            normal=tuple(rng.normal(size=3)),
            crystal_at_mm=(0.05, -0.02, 0.01),
        ),
    )[number % 4]
    angle = np.sort(rng.uniform(0, 2 * np.pi, 5))[[0, 2, 4, 1, 3]]  # crosses itself
    polygon = np.stack([3 * np.cos(angle) + 1, 3 * np.sin(angle)], axis=1)
    shift = tuple(rng.uniform(-2, 2, 2))
    return Surroundings(
        gas="air" if rng.random() < 0.5 else None,
        vacuum_mm=rng.choice([0.0, 20.0, 150.0]),
        windows=windows,
        sample_absorption=body,
        beamstops=[
            Beamstop(
                distance_mm=plane(),
                diameter_mm=rng.uniform(1, 9),
                centre_mm=shift,
                arm_width_mm=rng.choice([0.0, 2.0]),
                arm_angle_deg=rng.uniform(-400, 400),
                transmission=rng.choice([0.25, 0.5]),
            )
            for _ in range(2)
        ],
        apertures=Aperture(distance_mm=plane(), diameter_mm=rng.uniform(5, 30), transmission=0.7),
        shadows=Shadow(distance_mm=plane(), polygon_mm=polygon, transmission=0.1),
    )


@pytest.mark.parametrize("number", range(12))
def test_any_surroundings_are_those_of_the_oracle(number: int) -> None:
    """Two panels, two wavelengths, a turned beam, light scattered anywhere."""
    rng = np.random.default_rng(number)
    around = some_surroundings(rng, number)
    front = [("Al", 5.0), (nbragg.Material("SiO2", 2.2), 1.0)]
    panels = [
        nbragg.Panel(origin_mm=o, fast=f, slow=s, fpixels=4, spixels=4, pixel_mm=9.0, front=layers)
        for o, f, s, layers in (
            ((100, -18, -20), (0, 1, 0.1), (0, -0.1, 1), front),
            ((80, 20, -15), (-0.5, 1, 0), (0, 0, 1), ()),
        )
    ]
    rays = nbragg.SourceList([[-10, 0.1, 0.05], [-10, 0.1, -0.2]], wavelengths_A=[0.9, 1.3])
    beam = nbragg.Beam(sources=rays, beam_vector=(1, 0.02, -0.03), polar_vector=(0.3, 0.1, 1))
    scene, obstacles = placed(around, beam=beam, detector=nbragg.Detector(panels=panels))
    b = scene.panels[0].beam
    met = []
    for case in range(24):
        panel, source = int(rng.integers(2)), case % 2
        where = scene.panels[panel]
        at = (np.zeros(3), rng.normal(scale=1.0, size=3), rng.uniform(-40, 70) * b)[case % 3]
        P = where.pix0 * 1e3 + rng.uniform(0, 36) * where.fdet + rng.uniform(0, 36) * where.sdet
        incident = scene.sources.incident[source]
        expected = oracle.transmission(
            around,
            panels[panel].front,
            beam=b,
            polar=np.array([0.3, 0.1, 1.0]),
            normal=where.odet,
            incident=incident,
            wavelength_A=(0.9, 1.3)[source],
            at=at,
            P=P,
        )
        T = [
            _engine.transmission(obstacles, panel, source, incident, start, 1e-3 * P[np.newaxis])[0]
            for start in (1e-3 * at, 1e-3 * at[np.newaxis])
        ]
        np.testing.assert_allclose(T, expected, rtol=2e-9, atol=1e-300)
        met.append(expected)
    assert len(set(met)) > 20


def test_a_ball_that_scatters_everywhere_is_that_of_the_oracle() -> None:
    around = Surroundings(sample_absorption=SampleAbsorption(material="water", radius_mm=1.5))
    P = towards([0.0, 20.0, 75.0, 130.0, 180.0], [0.0, 10.0, 80.0, -100.0, 0.0])
    x = np.array([1.0, 0.0, 0.0])
    for at in ([0.0, 0.0, 0.0], [1.0, -0.5, 0.5], [3.0, 0.0, 0.0]):
        expected = [
            oracle.transmission(
                around,
                (),
                beam=x,
                polar=np.array([0.0, 0.0, 1.0]),
                normal=x,
                incident=x,
                wavelength_A=1.0,
                at=np.array(at),
                P=p,
            )
            for p in P
        ]
        # inside, the oracle's sum over points is good to 2e-7; outside there is no sum
        np.testing.assert_allclose(passed(around, P, at), expected, rtol=1e-6 if at[0] < 2 else 1e-12)


# ---- closed forms ------------------------------------------------------------------------------------------


def test_air_between_sample_and_detector() -> None:
    """100 mm at 12398.42 eV pass 0.9675; the evacuated length does not count, nor less than nothing."""
    assert passed(Surroundings(gas="air"), [100, 0, 0])[0] == pytest.approx(0.9675, abs=5e-5)
    mu = nbragg.attenuation("air", 12398.42)
    P = towards([0.0, 30.0], distance=80.0)
    np.testing.assert_allclose(passed(Surroundings(gas="air", vacuum_mm=30), P), math.exp(-0.05 * mu), 1e-14)
    np.testing.assert_array_equal(passed(Surroundings(gas="air", vacuum_mm=90), P), 1.0)


@pytest.mark.parametrize("normal", ["beam", "detector", "radial", (1.0, 0.2, -0.3)])
def test_layers_add_up(normal: Any) -> None:
    """Two windows are one of both thicknesses (Beer-Lambert), at every angle and at any wavelength."""
    P = towards([0.0, 15.0, 48.0], [0.0, 100.0, -20.0])
    for wavelength in (0.7, 1.5):
        beam = nbragg.Beam(wavelength_A=wavelength)

        def share(*um: float, beam: nbragg.Beam = beam) -> Array:
            windows = [Window(material="Al", thickness_um=t, normal=normal) for t in um]
            return passed(Surroundings(windows=windows), P, beam=beam)

        np.testing.assert_allclose(share(10, 25), share(35), rtol=1e-14)
        np.testing.assert_allclose(share(10) * share(25), share(35), rtol=1e-14)
        mu = nbragg.attenuation("Al", 12398.42 / wavelength)
        assert share(35)[0] == pytest.approx(
            math.exp(-35e-6 * mu / (1 if isinstance(normal, str) else 1 / math.sqrt(1.13)))
        )


def slab(thickness_mm: float, normal: Any = "beam", material: str = "Si") -> Surroundings:
    return Surroundings(
        sample_absorption=SampleAbsorption(material=material, thickness_mm=thickness_mm, normal=normal)
    )


@pytest.mark.parametrize("thickness_mm", [1e-6, 0.01, 0.3, 5.0])
@pytest.mark.parametrize("normal", [(1.0, 0.0, 0.0), (-0.6, 0.0, 0.8)])
def test_slab_is_its_integral(thickness_mm: float, normal: tuple[float, float, float]) -> None:
    """Light that goes through, light that comes back, and the limit where both ways are of one length."""
    mu = nbragg.attenuation("Si", 12398.42) * 1e-3 * thickness_mm
    angles = np.array([0.0, 1e-7, 1.0, 20.0, 70.0, 110.0, 150.0, 180.0])
    P = towards(angles, -90.0)
    d = P / np.linalg.norm(P, axis=1)[:, np.newaxis]
    entry, out = normal[0], d @ np.array(normal)
    x, weight = oracle.nodes(200)
    deep = 0.5 * (1 + x)  # from the side where the beam comes in
    rest = np.where((out * entry > 0)[:, np.newaxis], 1 - deep, deep)
    path = deep / abs(entry) + rest / abs(out)[:, np.newaxis]
    expected = 0.5 * np.exp(-mu * path) @ weight
    T = passed(slab(thickness_mm, normal), P)
    np.testing.assert_allclose(T, expected, rtol=1e-9)
    if mu < 1e-4:
        np.testing.assert_allclose(1 - T, mu * (1 / abs(entry) + 1 / abs(out)) / 2, rtol=1e-4)


def test_light_along_a_slab_does_not_come_out() -> None:
    assert passed(slab(0.1), [[0, 50, 0], [0, 0, -3]]) == pytest.approx([0, 0], abs=1e-280)


def ball(depth: float) -> Surroundings:
    mu = nbragg.attenuation("water", 12398.42)
    return Surroundings(sample_absorption=SampleAbsorption(material="water", radius_mm=depth / mu * 1e3))


@pytest.mark.parametrize("depth", [1e-4, 0.03, 0.2, 0.26, 1.0, 3.0, 9.0])
def test_both_ends_of_a_ball(depth: float) -> None:
    """Straight on and straight back there are closed forms, written here with mpmath's digits."""
    import mpmath as mp

    with mp.workdps(50):
        x = mp.mpf(depth)
        ahead = 3 / (2 * x**3) * (mp.mpf(1) / 2 - mp.exp(-2 * x) * (mp.mpf(1) / 2 + x + x**2))
        back = 3 / (4 * x) * (mp.mpf(1) / 2 - (1 - (1 + 4 * x) * mp.exp(-4 * x)) / (16 * x**2))
    T = passed(ball(depth), [[100, 0, 0], [-100, 0, 0]])
    np.testing.assert_allclose(T, [float(ahead), float(back)], rtol=1e-9)
    if depth < 1e-3:
        assert (1 - T[0]) / (1.5 * depth) == pytest.approx(1, abs=depth)


def test_a_crystal_somewhere_in_a_ball_has_the_ways_to_and_from_there() -> None:
    """On the far side the way in is long; the mean over a small ball is the way of its middle."""
    mu = nbragg.attenuation("water", 12398.42) * 1e-3

    def share(at: Any) -> float:
        body = SampleAbsorption(material="water", radius_mm=2, crystal_at_mm=at)
        return float(passed(Surroundings(sample_absorption=body), [0, 0, 100])[0])

    assert share((0, 0, 0)) == pytest.approx(math.exp(-4 * mu), rel=1e-14)
    assert share((1.2, 0, 0)) == pytest.approx(math.exp(-(2 + 1.2 + 1.6) * mu), rel=1e-14)
    assert share((0, 0, -1.2)) == pytest.approx(math.exp(-(1.6 + 2 + 1.2) * mu), rel=1e-14)


# ---- shapes ------------------------------------------------------------------------------------------------


def grid(pixels: int, edge: float, distance: float = 100.0) -> Array:
    """Centres of square pixels of a plane normal to the beam, mm: (pixels^2, 3), u = z slow, v = -y fast."""
    c = (np.arange(pixels) - 0.5 * (pixels - 1)) * edge
    u, v = np.meshgrid(c, c, indexing="ij")
    return np.stack([np.full(u.size, distance), -v.reshape(-1), u.reshape(-1)], axis=-1)


def dark(stop: Any, pixels: int = 101) -> npt.NDArray[np.bool_]:
    kind = {Beamstop: "beamstops", Aperture: "apertures", Shadow: "shadows"}[type(stop)]
    P = grid(pixels, 0.1)
    return np.asarray(passed(Surroundings(**{kind: stop}), P) == 0).reshape(pixels, pixels)


def test_a_beam_stop_darkens_the_area_of_its_shadow() -> None:
    """At 40 of 100 mm a disc of 2.02 mm casts one of 5.05 mm: pi r^2 pixels, within the perimeter."""
    shadow = dark(Beamstop(distance_mm=40, diameter_mm=2.02))
    assert abs(shadow.sum() - math.pi * 25.25**2) < 2 * math.pi * 25
    c = (np.arange(101) - 50) * 0.1
    np.testing.assert_array_equal(shadow, np.hypot(c[:, np.newaxis], c) <= 2.525)
    np.testing.assert_array_equal(dark(Aperture(distance_mm=40, diameter_mm=2.02)), ~shadow)


def test_an_arm_goes_out_to_one_side_and_turns_with_its_angle() -> None:
    """Angle 0 along u, 90 along v = beam x polarization; each quarter turn turns the image."""
    stop = Beamstop(distance_mm=50, diameter_mm=1, arm_width_mm=0.53)
    arms = [dark(stop.replace(arm_angle_deg=90 * k)) for k in range(4)]
    assert arms[0][-1, 46:55].all() and not arms[0][0].any() and not arms[0][:, 0].any()
    assert arms[1][46:55, -1].all()
    for k in range(4):
        np.testing.assert_array_equal(np.rot90(arms[0], k), arms[k])
    arm = arms[0].sum() - dark(stop.replace(arm_width_mm=0)).sum()
    assert arm == pytest.approx(11 * (51 - 10), rel=0.05)


def test_polygons_by_the_even_odd_rule() -> None:
    """A square, and a star that crosses itself, whose middle is open; in whichever order the corners go."""
    square = Shadow(distance_mm=50, polygon_mm=[(-1, -1), (1, -1), (1, 1), (-1, 1)])
    c = np.abs((np.arange(101) - 50) * 0.1)
    inside = (c[:, np.newaxis] < 2 - 1e-9) & (c < 2 - 1e-9)
    assert (dark(square) & ~inside).sum() <= 2 * 41 and (dark(square) | ~inside).all()
    turn = np.radians([0, 144, 288, 72, 216])
    star = Shadow(distance_mm=50, polygon_mm=np.stack([2 * np.cos(turn), 2 * np.sin(turn)], axis=1))
    shadow = dark(star)
    assert not shadow[50, 50] and shadow[50 + 30, 50]
    np.testing.assert_array_equal(dark(star.replace(polygon_mm=star.polygon_mm[::-1])), shadow)


def test_light_scattered_behind_a_stop_had_to_pass_it() -> None:
    """Air lit by what passes a collimator; beyond the beam stop there is no beam to scatter."""
    P = towards([2.0, 40.0])
    collimator = Surroundings(apertures=Aperture(distance_mm=-10, diameter_mm=0.5))
    assert passed(collimator, P).tolist() == [1, 1]
    assert passed(collimator, P, (-30, 0, 0)).tolist() == [0, 0]  # from upstream, beside the hole
    stop = Surroundings(beamstops=Beamstop(distance_mm=20, diameter_mm=1, transmission=0.125))
    assert passed(stop, P).tolist() == [1, 1]
    assert passed(stop, P, (30, 0, 0)).tolist() == [0.125, 0.125]
    wall = Window(material="Al", thickness_um=20, distance_mm=20)
    share = math.exp(-20e-6 * nbragg.attenuation("Al", 12398.42))
    assert passed(Surroundings(windows=wall), P, (30, 0, 0)) == pytest.approx([share, share], rel=1e-14)


# ---- between record and C ----------------------------------------------------------------------------------


def test_every_source_and_panel_has_its_own_absorption() -> None:
    """Depths by wavelength; a front of one panel is not in the way of the other."""
    panels = [
        nbragg.Panel(origin_mm=(100, y, 0), fast=(0, 1, 0), slow=(0, 0, 1), fpixels=2, spixels=2, pixel_mm=1)
        for y in (0, 10)
    ]
    panels[1] = panels[1].replace(front=("Al", 30.0))
    beam = nbragg.Beam(sources=nbragg.SourceList([[-1, 0, 0]] * 2, wavelengths_A=[1.0, 1.5]))
    scene, obstacles = placed(None, beam=beam, detector=nbragg.Detector(panels=panels))
    P = np.array([[0.1, 0.011, 0.001]])
    x, zero = scene.sources.incident[0], np.zeros(3)
    cosine = 0.1 / np.linalg.norm(P)
    for source, wavelength in enumerate((1.0, 1.5)):
        mu = nbragg.attenuation("Al", 12398.42 / wavelength)
        T = [_engine.transmission(obstacles, panel, source, x, zero, P)[0] for panel in (0, 1)]
        np.testing.assert_allclose(T, [1.0, math.exp(-30e-6 * mu / cosine)], rtol=1e-14)


def test_what_does_not_fit_is_refused() -> None:
    _, obstacles = placed(Surroundings(gas="air"))
    x, zero, P = np.array([1.0, 0, 0]), np.zeros(3), np.ones((2, 3))

    def bad(**fields: Any) -> Obstacles:
        absorber = dataclasses.replace(obstacles.absorbers[0], **fields)
        return dataclasses.replace(obstacles, absorbers=(absorber,))

    for wrong, match in (
        (bad(kind="fog"), "absorber 'fog' is not known: give one of gas, shell"),
        (bad(depth=np.ones((1, 2))), "depths of the shape"),
        (dataclasses.replace(obstacles, panels=0), "obstacles of 0 panels"),
    ):
        with pytest.raises(ValueError, match=match):
            _engine.transmission(wrong, 0, 0, x, zero, P)
    with pytest.raises(ValueError, match="panel 1 of 1"):
        _engine.transmission(obstacles, 1, 0, x, zero, P)
    with pytest.raises(ValueError, match="points of the shapes"):
        _engine.transmission(obstacles, 0, 0, x, np.zeros((3, 3)), P)
    assert _engine.transmission(obstacles, 0, 0, x, zero, np.ones((0, 3))).shape == (0,)

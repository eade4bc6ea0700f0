"""Where in a sensor layer its photons are, and the capture of water, in exact physics (canonical 6.3, 11)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from parts import build_scene, changed
from scene_parts import with_panel
from scipy.integrate import quad
from test_oracle import assert_engine_is_right, assert_mixed_is_right, experiment

from nbragg import Beam, Crystal, Detector, Panel, Sampling, StructureFactors, _engine, trace_pixel
from nbragg.engine import cpu

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

EPS = 2.0**-52

#: 450 um of silicon, at an energy where it lets 15 % through
SILICON = {"thickness_um": 450.0, "attenuation_um": 234.0}


def exact_mean(u: float) -> float:
    """1/u - 1/(e^u - 1) in 50 digits or more."""
    with mpmath.workdps(400 if abs(u) < 1e-9 else 60):  # as many as the two terms cancel
        x = mpmath.mpf(u)
        return float(mpmath.mpf("0.5") if u == 0 else 1 / x - 1 / mpmath.expm1(x))


def test_mean_absorption_against_mpmath() -> None:
    """Thin and thick layers, both sides of the end of the series, and rays from behind."""
    rng = np.random.default_rng(1)
    u = np.concatenate([rng.uniform(0, 1, 2000), 10.0 ** rng.uniform(-300, 300, 500), [0.0, 0.5, 1e-320]])
    u = np.concatenate([u, [math.nextafter(0.5, 0), math.nextafter(0.5, 1), 36.0, 710.0, 1e308]])
    u = np.concatenate([u, -u])
    error = [abs(_engine.mean_absorption(x) - exact_mean(x)) for x in u]
    assert max(error) < 4 * EPS
    assert _engine.mean_absorption(math.inf) == 0.0 and _engine.mean_absorption(-math.inf) == 1.0
    assert math.isnan(_engine.mean_absorption(math.nan))
    assert _engine.mean_absorption(1e6) == pytest.approx(1e-6, rel=1e-15)


# ---- the first moment ----


def layered(layers: int, detector: dict[str, Any] | None = None, physics: str = "exact") -> Any:
    """A tilted sensor close to the sample."""
    sensor = SILICON | {"thicksteps": layers} | (detector or {})
    return experiment(detector=sensor, sampling={"oversample": 1}, physics=physics).scene()


@pytest.mark.parametrize("layers", [1, 2, 7])
@pytest.mark.parametrize("attenuation", [8.0, 234.0, 1e5])
def test_every_layer_against_quadrature(attenuation: float, layers: int) -> None:
    """Its depth is the mean of z over what Beer's law absorbs between its faces."""
    scene = layered(layers, {"attenuation_um": attenuation, "twotheta_deg": 35.0})
    panel = scene.panel
    pixel = panel.pix0 + 4.5 * panel.pixel[0] * panel.fdet + 8.5 * panel.pixel[1] * panel.sdet
    samples = trace_pixel(scene, 8, 4).samples
    for t in range(layers):
        begin = t * panel.layer_step
        front = pixel + begin * panel.odet
        path = panel.mu * np.linalg.norm(front) / (front @ panel.odet)  # 1/m of depth

        def absorbed(z: float, power: int, path: float = path, begin: float = begin) -> float:
            return float(z**power * np.exp(-path * (z - begin)))

        end = begin + min(panel.layer_step, 60 / path)  # what is beyond is below rounding
        moments = [quad(absorbed, begin, end, (n,), epsabs=0, epsrel=1e-13)[0] for n in (0, 1)]
        place = samples["position"][samples["layer"] == t][0]
        assert (place - pixel) @ panel.odet == pytest.approx(moments[1] / moments[0], rel=1e-10)
        np.testing.assert_allclose(np.cross(place - pixel, panel.odet), 0, atol=1e-16)


def spot_scene(tangent: float, tilt: float, layers: int, part: float = 1.0, **changes: Any) -> Any:
    """One smooth spot some pixels of 0.1 mm wide at 80 mm, its region around it; part: of the sensor."""
    slope = math.atan(tangent)
    beam, wavelength = np.array([0.0, 0.0, 1.0]), 1.0
    ray = np.array([0.8 * math.sin(slope), 0.6 * math.sin(slope), math.cos(slope)])
    q = (ray - beam) / wavelength
    across = np.cross(q, [1, 0, 0])
    axes = [q, across / np.linalg.norm(across), np.cross(q, across) / np.linalg.norm(np.cross(q, across))]
    length = float(np.linalg.norm(q))
    scene = build_scene(
        Crystal(
            a_matrix=np.stack([q, length * axes[1], length * axes[2]], axis=1),
            N=max(1, int(500 * length)),
            shape="gauss",
            structure_factors=StructureFactors.from_reflections([1], [0], [0], [100.0], default_F=0),
        ),
        Beam(wavelength_A=wavelength),
        Detector(
            convention="xds", distance_mm=80, pixel_mm=0.1, fpixels=1200, spixels=1200, ORGX=50, ORGY=50,
            rotx_deg=tilt, thicksteps=layers, thickness_um=450 * part, attenuation_um=234 * part,
        ),
        Sampling(oversample=3),
        physics="exact",
    )  # fmt: skip
    panel = scene.panel
    spot = (panel.pix0 @ panel.odet) / (ray @ panel.odet) * ray - panel.pix0
    fast, slow = int(spot @ panel.fdet / panel.pixel[0]), int(spot @ panel.sdet / panel.pixel[1])
    return with_panel(scene, roi=(fast - 25, fast + 25, slow - 25, slow + 25), **changes)


def centroid(scene: Any) -> tuple[npt.NDArray[np.float64], float]:
    """(fast, slow) of the image's centre of mass, pixels, and its photons."""
    image = cpu.render_double(scene)
    slow, fast = np.indices(image.shape)
    total = float(image.sum())
    return np.array([(image * fast).sum(), (image * slow).sum()]) / total, total


@pytest.mark.parametrize("tilt", [0.0, 20.0])
@pytest.mark.parametrize("tangent", [0.3, 0.5, 1.0])
def test_few_layers_put_a_spot_where_a_hundred_do(tangent: float, tilt: float) -> None:
    """No bias to first order: to a thousandth of a pixel, where one layer's front is off by half a pixel."""
    (many, photons), (fronts, _) = (
        centroid(spot_scene(tangent, tilt, 100, mean_depth=deep)) for deep in (True, False)
    )
    # half a layer of 4.5 um, seen at the slope
    assert 0 < np.linalg.norm(fronts - many) < 0.05
    biased, _ = centroid(spot_scene(tangent, tilt, 1, mean_depth=False))
    assert np.linalg.norm(biased - many) > 0.4
    for layers in (1, 2, 3, 5):
        place, counted = centroid(spot_scene(tangent, tilt, layers))
        assert np.linalg.norm(place - many) < 1e-3
        assert counted == pytest.approx(photons, rel=1e-3)


@pytest.mark.parametrize("tangent", [0.3, 0.5])
def test_what_is_left_is_of_second_order(tangent: float) -> None:
    """Half the thickness and half the attenuation depth leave a quarter of it, where fronts leave half."""
    left, fronts = [], []
    for part in (1.0, 0.5):
        many, _ = centroid(spot_scene(tangent, 0.0, 100, part))
        left.append(np.linalg.norm(centroid(spot_scene(tangent, 0.0, 1, part))[0] - many))
        biased, _ = centroid(spot_scene(tangent, 0.0, 1, part, mean_depth=False))
        fronts.append(np.linalg.norm(biased - many))
    assert left[1] / left[0] == pytest.approx(0.25, rel=0.1)
    assert fronts[1] / fronts[0] == pytest.approx(0.5, rel=0.05)


def test_rays_straight_through_a_curved_sensor() -> None:
    """Bent about the sample, no ray is slanted: depth moves nothing, whatever there is of it."""
    for physics in ("exact", "nanobragg"):
        scene = layered(3, {"curved": True}, physics)
        assert scene.panel.mean_depth == (physics == "exact")
        other = with_panel(scene, mean_depth=not scene.panel.mean_depth)
        bent = scene.panel.curved == "axes"
        one, two = cpu.render_double(scene), cpu.render_double(other)
        # by laboratory axes depth along a tilted normal turns the pixel, as in the reference program
        assert bent == np.allclose(one, two, rtol=1e-9, atol=1e-12 * one.max())


@pytest.mark.parametrize(
    "sensor", [{"thickness_um": 0.0}, {"attenuation_um": math.inf}, {"attenuation_um": 0.0}]
)
def test_nothing_moves_without_absorption(sensor: dict[str, Any]) -> None:
    """To the bit."""
    scene = layered(3, sensor)
    assert scene.panel.mean_depth
    fronts = with_panel(scene, mean_depth=False)
    assert cpu.render_double(scene).tobytes() == cpu.render_double(fronts).tobytes()
    for plain in ({"thickness": 0.0, "mu": 2e3}, {"thickness": 1e-3, "mu": 0.0}):
        parts = [
            with_panel(scene, layers=2, layer_step=5e-4, mean_depth=deep, **plain) for deep in (True, False)
        ]
        assert cpu.render_double(parts[0]).tobytes() == cpu.render_double(parts[1]).tobytes()


def test_explicit_panels_have_it_too() -> None:
    sensor = {"thickness_um": 450.0, "attenuation_um": 234.0, "thicksteps": 1}
    panel = Panel(
        origin_mm=(-5, -5, 80), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=9, spixels=9, pixel_mm=1, **sensor
    )
    crystal = Crystal(cell=(50, 50, 50, 90, 90, 90), structure_factors=StructureFactors.constant(9))
    parts = crystal, Beam(), Detector(panels=(panel, panel), convention="xds")
    for physics in ("exact", "nanobragg"):
        scene = build_scene(*parts, physics=physics)
        assert [one.mean_depth for one in scene.panels] == [physics == "exact"] * 2


# ---- engine and oracle ----


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("attenuation", [1e-3, 80.0, 900.0, 3e4])
def test_engine_against_the_oracle(attenuation: float, layers: int, curved: bool) -> None:
    """Tilted and swung out, from layers that let nothing through to layers that absorb next to nothing."""
    scene = experiment(
        detector={
            "thickness_um": 900.0, "attenuation_um": attenuation, "thicksteps": layers, "curved": curved,
            "twotheta_deg": 28.0,
        },
        sampling={"water_um": 0.004},
        beam={"hdivrange_mrad": 30.0, "hdivsteps": 2},
        physics="exact",
    ).scene()  # fmt: skip
    assert scene.panel.mean_depth and scene.water_mode == "after"
    assert_engine_is_right(scene)
    assert_mixed_is_right(scene)


@pytest.mark.parametrize("convention", ["mosflm", "xds", "adxv", "denzo", "dials"])
def test_every_convention_against_the_oracle(convention: str) -> None:
    """Some have normals and axes of the other hand."""
    detector = SILICON | {"convention": convention, "thicksteps": 2, "rotx_deg": 21.0, "roty_deg": -17.0}
    scene = experiment(detector=detector, physics="exact").scene()
    assert_engine_is_right(scene)
    assert scene.panel.pix0 @ scene.panel.odet > 0  # deeper is farther


@pytest.mark.parametrize(
    "flags", [{}, {"oversample_thick": True}, {"oversample_polar": True}, {"oversample_omega": True}]
)
def test_water_takes_every_factor_whatever_the_flags(flags: dict[str, bool]) -> None:
    """A Scene may add water afterwards and still take the factors of Bragg scattering once."""
    scene = layered(3, {"twotheta_deg": 30.0})
    once = {"oversample_thick": False, "oversample_polar": False, "oversample_omega": False}
    scene = changed(scene, water=1e-8, oversample=2, **(once | flags))
    assert_engine_is_right(scene)


# ---- water behind a sensor ----


def water(detector: dict[str, Any], **beam: Any) -> Any:
    """Nothing but water, 80 mm away."""
    crystal = Crystal(cell=(50, 50, 50, 90, 90, 90), structure_factors=StructureFactors.constant(1e-30), N=1)
    place = {"convention": "xds", "distance_mm": 80.0, "pixel_mm": 2.0, "fpixels": 40, "spixels": 40}
    sampling = Sampling(oversample=2, water_um=10)
    return build_scene(crystal, Beam(**beam), Detector(**(place | detector)), sampling, physics="exact")


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_water_is_captured(layers: int) -> None:
    """What 450 um of attenuation depth 234 um let through head-on, 14.6 %, is missing."""
    centre = (19, 20, 19, 20)
    bare, behind = (
        float(cpu.render_double(with_panel(water(sensor), roi=centre)).sum())
        for sensor in ({}, SILICON | {"thicksteps": layers})
    )
    lost = 1 - behind / bare
    through = math.exp(-450 / 234)
    assert through == pytest.approx(0.146, abs=5e-4)
    # solid angles of photons up to 0.45 mm behind the surface, on average 0.16 mm, are smaller
    deeper = 3 * 450e-3 * exact_mean(450 / 234) / 80
    assert lost == pytest.approx(1 - (1 - through) * (1 - deeper), abs=2e-4)


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("depth", [0.2, 1.9, 6.0])
def test_captured_water_adds_up(depth: float, layers: int) -> None:
    """1 - exp(-T mu/r) of every pixel, of a sensor too thin to move any."""
    thin = {"thickness_um": 1e-9, "attenuation_um": 1e-9 / depth, "thicksteps": layers}
    tilted = {"twotheta_deg": 30.0, "rotx_deg": 20.0}
    beam = {"hdivrange_mrad": 20.0, "hdivsteps": 3, "polarization": 0.9}
    bare, behind = (cpu.render_double(water(tilted | sensor, **beam)) for sensor in ({}, thin))
    panel = water(tilted).panel
    slow, fast = np.indices((40, 40)) + 0.5
    place = (
        panel.pix0
        + fast[..., None] * panel.pixel[0] * panel.fdet
        + slow[..., None] * panel.pixel[1] * panel.sdet
    )
    r = place @ panel.odet / np.linalg.norm(place, axis=-1)
    # over a pixel of 2 mm r is not constant: to the second order in 1/40
    assert np.abs(behind / bare / (1 - np.exp(-depth / r)) - 1).max() < 2e-4
    single = [dataclasses.replace(water(tilted | sensor, **beam), oversample=1) for sensor in ({}, thin)]
    bare, behind = (cpu.render_double(scene) for scene in single)
    assert np.abs(behind / bare / (1 - np.exp(-depth / r)) - 1).max() < 1e-12


def test_water_of_a_trace() -> None:
    """The trace's water is the pixel's, layer by layer."""
    scene = water(SILICON | {"thicksteps": 3, "rotx_deg": 25.0}, polarization=0.9)
    trace = trace_pixel(scene, 3, 5)
    samples = trace.samples
    factors = (samples["omega"] * samples["polarization"] * samples["capture"]).sum() / scene.oversample**2
    intensity = 2.57**2 * 7.94079248018965e-30 * scene.fluence * 1e-15 * 1e6 * 6.02214179e23 / 18
    assert trace.water == pytest.approx(intensity * factors, rel=1e-12)
    assert trace.pixel == pytest.approx(cpu.render_double(scene)[3, 5], rel=1e-12)

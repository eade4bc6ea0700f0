"""Photons of amorphous material: every pixel against the oracle, and identities (beyond 12, 21)."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import background_oracle as oracle
import cuda_host
import numpy as np
import numpy.typing as npt
import pytest
from scene_parts import cut, pasted

import nbragg
from nbragg import Background, Beam, Crystal, Detector, Panel, RadialCurve, Sampling, Setup, StructureFactors
from nbragg.base.errors import InputError, NbraggWarning
from nbragg.engine.cpu import render_behind, render_double

pytestmark = pytest.mark.filterwarnings("ignore:oversample 1 is less")

Array = npt.NDArray[Any]

DARK = Crystal(cell=(40, 50, 60, 80, 95, 100), structure_factors=StructureFactors.constant(0))
BRIGHT = Crystal(cell=(40, 50, 60, 80, 95, 100), N=3, structure_factors=StructureFactors.constant(20))
BEAM = Beam(flux=1e12, exposure_s=0.1, beamsize_mm=0.05)
DETECTOR = Detector(distance_mm=60, pixel_mm=4, fpixels=12, spixels=10, rotx_deg=8)
ROWS = [[0.02, 3], [0.05, -2], [0.09, 6], [0.12, 7], [0.2, 1], [0.35, 2]]


def behind(setup: Setup, threads: int | None = None) -> Array:
    """Photons of materials and curves, before rounding."""
    scene = nbragg.build_scene(setup)
    images = render_behind(scene, threads)
    total = np.zeros(scene.offsets[-1])
    if images.background is not None:
        total += scene.fluence * images.background
    if images.fixed is not None:
        total += images.fixed
    return np.asarray(total.reshape(scene.image_shape))


def setup_of(backgrounds: Any, crystal: Crystal = DARK, **changes: Any) -> Setup:
    setup = Setup(crystal, BEAM, DETECTOR, Sampling(oversample=1), backgrounds=backgrounds)
    return setup.replace(**changes) if changes else setup


def random_setup(seed: int) -> Setup:
    """Anything that decides a background, at random."""
    rng = np.random.default_rng(seed)

    def chance(p: float = 0.5) -> bool:
        return bool(rng.random() < p)

    sensor: dict[str, Any] = {}
    if chance():
        sensor = {"thickness_um": 320.0, "attenuation_um": 150.0, "thicksteps": int(rng.integers(1, 4))}
    detector: Detector
    if chance(0.4):
        fast = np.array([0.1, 0.2 * rng.normal(), 1.0])
        slow = np.cross(fast, [1.0, 0.2 * rng.normal(), 0.1])
        panels = [
            Panel(origin_mm=(50 + 9 * i, 20 - 30 * i, -20), fast=fast, slow=slow,
                  pixel_mm=(3.0, 4.0), fpixels=7 + i, spixels=6, **sensor)
            for i in range(2)
        ]  # fmt: skip
        detector = Detector(panels=panels, convention="mosflm")
    else:
        mask = (rng.random((6, 8)) < 0.8).astype(np.uint8) if chance(0.3) else None
        detector = Detector(
            distance_mm=float(rng.uniform(30, 90)), pixel_mm=5, fpixels=8, spixels=6, mask=mask,
            rotx_deg=float(rng.uniform(-20, 20)), twotheta_deg=float(rng.uniform(-30, 30)),
            curved=chance(0.2), point_pixel=chance(0.2), **sensor,
        )  # fmt: skip
    beam = Beam(
        wavelength_A=float(rng.uniform(0.6, 1.6)), flux=1e12, beamsize_mm=float(rng.choice([0.03, 0.4])),
        polarization=float(rng.uniform(-1, 1)) if chance(0.7) else 0.0, nopolar=chance(0.2),
        polarization_azimuth_deg=float(rng.choice([0.0, 25.0])),
    )  # fmt: skip
    if chance(0.4):
        rays = nbragg.SourceList([[-10, 0, 0.2], [-9, 0.3, 0], [-8, -0.1, 0.1]], [1, 2, 0.5], [0.9, 1.0, 1.4])
        beam = beam.replace(sources=rays)
    elif chance():
        beam = beam.replace(dispersion_pct=3.0, dispersion_steps=3, hdivrange_mrad=20.0, hdivsteps=2)
    table = np.stack([np.sort(rng.uniform(0, 0.5, 7)), rng.uniform(-2, 9, 7)], axis=1)
    given = [
        Background("water", interpolation=str(rng.choice(["lagrange", "pchip"]))),
        Background(table[: int(rng.integers(1, 8))], segments=3, path_mm=(-12.0, float(rng.uniform(0, 20))),
                   outside=str(rng.choice(["line", "hold"])), density=0.7, width_mm=0.2, sign=-1),
        RadialCurve(table[:, 0], 1e7 * np.abs(table[:, 1]), polarized=chance()),
    ]  # fmt: skip
    chosen = [one for one in given if chance(0.7)] or given
    fine = Sampling(oversample=1, background_oversample=int(rng.integers(1, 4)))
    return Setup(BRIGHT, beam, detector, fine, "exact" if chance() else "nanobragg", backgrounds=chosen)


def with_spots(setup: Setup, brightest: float) -> Any:
    """The Scene, its spots as bright as what is behind them, so that both count."""
    faint = render_double(dataclasses.replace(nbragg.build_scene(setup), backdrop=None)).max()
    factors = StructureFactors.constant(20 * math.sqrt(brightest / faint))
    return nbragg.build_scene(setup.replace(structure_factors=factors))


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_every_pixel_is_that_of_the_equations(seed: int) -> None:
    setup = random_setup(seed)
    scene = nbragg.build_scene(setup)
    expected = oracle.render(
        scene,
        setup.backgrounds,
        setup.beam.beamsize_mm,
        setup.sampling.background_oversample,
        exact=setup.physics == "exact",
    )
    size = np.abs(expected).max()
    assert size > 0
    found = behind(setup)
    # sums may cancel: errors are fractions of the image
    assert np.abs(found - expected).max() <= 1e-14 * size
    scene = with_spots(setup, size)
    spots = render_double(dataclasses.replace(scene, backdrop=None))
    assert spots.max() == pytest.approx(size, rel=1e-6)
    whole = render_double(scene)
    assert np.abs(whole - (spots + found)).max() <= 4e-16 * np.abs(whole).max() + 1e-15 * spots.max()
    mixed = render_double(scene, precision="mixed")
    assert np.abs(mixed - whole).max() <= 2e-6 * np.abs(whole).max()


@pytest.mark.parametrize("isa", [name for name, usable in nbragg._engine.isa_levels() if usable])
@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_instruction_sets_and_threads(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = random_setup(5)
    expected = behind(setup, threads=1)
    assert np.array_equal(behind(setup, threads=3), expected)
    monkeypatch.setenv("NBRAGG_ISA", isa)
    assert np.abs(behind(setup) - expected).max() <= 1e-13 * np.abs(expected).max()


@cuda_host.needs_compiler
@pytest.mark.cuda
@pytest.mark.parametrize("seed", [0, 2, 5, 9, 11])
@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_cuda(seed: int) -> None:
    """The kernels on the host, in both precisions; sums and largest pixel include the background."""
    setup = random_setup(seed)
    faint, bright = nbragg.build_scene(setup), with_spots(setup, np.abs(behind(setup)).max())
    # of a background alone, then with spots as those of other tests
    for scene, bounds in ((faint, (1e-13, 2e-6)), (bright, (1e-9, 2e-6))):
        expected = render_double(scene)
        for precision, bound in zip(("double", "mixed"), bounds, strict=True):
            raw, image = cuda_host.render(scene, precision)
            assert np.abs(image - expected).max() <= bound * np.abs(expected).max()
            assert raw.summary.total == pytest.approx(raw.image.sum(dtype=float), rel=1e-12)
            assert raw.summary.largest == max(raw.image.max(), 0)


# ---- closed forms ------------------------------------------------------------------------------------------


def test_unity_without_polarization_is_the_solid_angle() -> None:
    setup = setup_of(Background("unity", molecules=1e16), nopolar=True)
    scene = nbragg.build_scene(setup)
    S, F = np.indices((10, 12)) * 4e-3 + 2e-3
    P = scene.panel.pix0 + F[..., np.newaxis] * scene.panel.fdet + S[..., np.newaxis] * scene.panel.sdet
    R = np.linalg.norm(P, axis=-1)
    expected = 7.94079248018965e-30 * scene.fluence * 1e16 * 16e-6 * scene.panel.close_distance / R**3
    np.testing.assert_allclose(behind(setup), expected, rtol=1e-13)


@pytest.mark.parametrize(("polarization", "angle"), [(None, 4.0), (0.0, 8 / 3), (0.8, 8 / 3)])
def test_unity_over_the_whole_sphere(polarization: float | None, angle: float) -> None:
    """Thomson: r_e^2 fluence N times 4 pi, and 8 pi/3 however the beam is polarized."""
    n, edge = 24, 40.0
    x, y, z = np.eye(3)
    panels = []
    for normal, fast, slow in ((x, y, z), (y, z, x), (z, x, y)):
        for side in (1, -1):
            corner = side * edge / 2 * normal - edge / 2 * (fast + slow)
            panels.append(
                Panel(origin_mm=corner, fast=fast, slow=slow, pixel_mm=edge / n, fpixels=n, spixels=n)
            )
    beam = Beam(fluence=1e20, nopolar=polarization is None, polarization=polarization or 0.0)
    setup = Setup(
        DARK, beam, Detector(panels=panels, convention="mosflm"), Sampling(background_oversample=3),
        backgrounds=Background("unity", molecules=1e12),
    )  # fmt: skip
    assert behind(setup).sum() == pytest.approx(7.94079248018965e-30 * 1e32 * angle * math.pi, rel=2e-4)


def test_one_pixel_of_water_by_hand() -> None:
    """0.1 mm of water, from a row of the table."""
    setup = setup_of(Background("water"), beamsize_mm=0.1, rotx_deg=0.0)
    image = behind(setup)
    scene = nbragg.build_scene(setup)
    P = scene.panel.pix0 + 0.002 * scene.panel.fdet + 0.002 * scene.panel.sdet  # the first pixel
    R = float(np.sqrt(P @ P))
    cos = float(P[0] / R)
    s = math.sqrt((1 - cos) / 2)
    rows = Background("water").rows
    i = int(np.searchsorted(rows[:, 0], s)) - 1
    share = (s - rows[i, 0]) / (rows[i + 1, 0] - rows[i, 0])
    F = rows[i, 1] + share * (rows[i + 1, 1] - rows[i, 1])
    number = 1e-12 * 1e6 * 6.02214179e23 / 18
    expected = 7.94079248018965e-30 * 1e12 * 0.1 / 1e-8 * number * F**2 * (1 + cos**2) / 2
    assert image[0, 0] == pytest.approx(expected * 16e-6 * 0.06 / R**3, rel=1e-6)


@pytest.mark.parametrize("polarization", [0.0, 0.7])
def test_proportional_to_what_makes_it(polarization: float) -> None:
    """Thickness, density, 1/molar mass, fluence; the beam's size cancels where all of it is in sample."""
    base = Background(ROWS, thickness_mm=0.1, density=0.5, molar_mass=40.0)
    one = behind(setup_of(base, polarization=polarization))
    for change, factor in (
        ({"thickness_mm": 0.37}, 3.7),
        ({"density": 1.1}, 2.2),
        ({"molar_mass": 25.0}, 1.6),
        ({"sign": -1}, -1.0),
    ):
        found = behind(setup_of(base.replace(**change), polarization=polarization))
        np.testing.assert_allclose(found, factor * one, rtol=1e-12)
    brighter = behind(setup_of(base, flux=3e12, polarization=polarization))
    np.testing.assert_allclose(brighter, 3 * one, rtol=1e-12)
    wide = base.replace(width_mm=9.0, height_mm=9.0)  # fluence = flux t/A, and A of sample in the beam
    narrow, broad = (behind(setup_of(wide, beamsize_mm=size)) for size in (0.02, 0.5))
    np.testing.assert_allclose(narrow, broad, rtol=1e-12)


def test_water_against_protein() -> None:
    """The ratio of the background to the spots goes as the thickness and the area of sample in the beam."""
    water = Background("water", width_mm=0.03, height_mm=9.0)
    size = 0.05

    def ratio(thickness: float, size: float, flux: float) -> Array:
        setup = setup_of(water.replace(thickness_mm=thickness), BRIGHT, beamsize_mm=size, flux=flux)
        scene = nbragg.build_scene(setup)
        spots = render_double(dataclasses.replace(scene, backdrop=None))
        return np.asarray(behind(setup) / spots)

    one = ratio(0.1, size, 1e12)
    np.testing.assert_allclose(ratio(0.1, size, 7e12), one, rtol=1e-9)
    np.testing.assert_allclose(ratio(0.3, size, 1e12), 3 * one, rtol=1e-9)
    np.testing.assert_allclose(ratio(0.1, 2 * size, 1e12), 2 * one, rtol=1e-9)  # in height alone


def test_water_of_the_sampling_is_a_background() -> None:
    """-water with exact physics: F = 2.57 everywhere, edges that no beam cuts (beyond 12.5)."""
    beam = Beam(fluence=1e20, beamsize_mm=-1, polarization=0.5)
    detector = DETECTOR.replace(thickness_um=320.0, attenuation_um=200.0, thicksteps=2)
    water = Background([[0.0, 2.57]], thickness_mm=0.3, width_mm=0.3, height_mm=0.3)
    as_material = Setup(DARK, beam, detector, Sampling(oversample=1), backgrounds=water)
    as_sampling = Setup(DARK, beam, detector, Sampling(oversample=1, water_um=300.0))
    np.testing.assert_allclose(
        render_double(nbragg.build_scene(as_material)),
        render_double(nbragg.build_scene(as_sampling)),
        rtol=1e-12,
    )


def test_everything_twice_as_large() -> None:
    """Lengths and wavelength times 2, the table's s halved, at the same fluence: 8 times the photons."""
    water = Background(ROWS, width_mm=0.03, height_mm=0.04)
    beam = Beam(fluence=1e20, beamsize_mm=0.05)
    one = behind(Setup(DARK, beam, DETECTOR, backgrounds=water))
    large = Background(np.array(ROWS) * [0.5, 1], thickness_mm=0.2, width_mm=0.06, height_mm=0.08)
    beam = beam.replace(beamsize_mm=0.1, wavelength_A=2.0)
    detector = DETECTOR.replace(distance_mm=120, pixel_mm=8)
    np.testing.assert_allclose(behind(Setup(DARK, beam, detector, backgrounds=large)), 8 * one, rtol=1e-12)


def test_the_crystal_does_not_matter() -> None:
    """1 or 4 rotation steps, 1 or 7 domains, 1 or 3 lattices: bit for bit the same."""
    water = Background("water")
    crystals = (
        DARK,
        DARK.replace(osc_deg=1.0, phisteps=4),
        DARK.replace(mosaic_spread_deg=0.5, mosaic_domains=7),
    )
    images = [nbragg.simulate(setup_of(water, crystal)).image for crystal in crystals]
    images.append(nbragg.simulate(setup_of(water).replace(sample=nbragg.Sample([DARK] * 3))).image)
    for image in images[1:]:
        assert np.array_equal(image, images[0])


@pytest.mark.parametrize("layers", [1, 4])
def test_a_sensor_takes_its_share(layers: int) -> None:
    """1 - exp(-t mu/r) of the photons, where layers lie on one another."""
    thick = Detector(
        distance_mm=60, pixel_mm=4, fpixels=12, spixels=10, rotx_deg=8,
        thickness_um=1e-3, attenuation_um=7e-4, thicksteps=layers,
    )  # fmt: skip
    setup = setup_of(Background("water"), detector=thick)
    scene = nbragg.build_scene(setup)
    S, F = np.indices((10, 12)) * 4e-3 + 2e-3
    P = scene.panel.pix0 + F[..., np.newaxis] * scene.panel.fdet + S[..., np.newaxis] * scene.panel.sdet
    r = P @ scene.panel.odet / np.linalg.norm(P, axis=-1)
    share = behind(setup) / behind(setup_of(Background("water")))
    np.testing.assert_allclose(share, 1 - np.exp(-1e-3 / 7e-4 / r), rtol=1e-6)


def test_pieces_of_a_path_converge() -> None:
    """The error of 1, 4, 16 pieces of an air path falls by more than 3 each time."""
    air = Background("air", path_mm=(-20, 40))
    images = [behind(setup_of(air.replace(segments=n))) for n in (1, 4, 16, 64)]
    errors = [np.abs(image - images[-1]).max() for image in images[:-1]]
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


def test_one_piece_about_the_sample_is_the_sample() -> None:
    plain = behind(setup_of(Background("water", thickness_mm=0.4)))
    assert np.array_equal(behind(setup_of(Background("water", path_mm=(-0.2, 0.2)))), plain)


# ---- where pixels lie --------------------------------------------------------------------------------------


def test_panels_regions_and_masks() -> None:
    """A panel cut in pieces, a region and a mask: the pixels of the whole, and 0 beside them."""
    setup = setup_of((Background("water"), Background("air", path_mm=(-9, 9), segments=2)), BRIGHT)
    scene = nbragg.build_scene(setup)
    whole = render_double(scene)
    pieces = cut(scene, [5], [3, 7])
    assert np.array_equal(pasted(pieces, render_double(pieces)), whole)
    mask = np.ones((10, 12), np.uint8)
    mask[2:5, 3] = 0
    part = render_double(nbragg.build_scene(setup.replace(roi=(2, 9, 1, 8), mask=mask)))
    inside = np.zeros((10, 12), bool)
    inside[1:9, 2:10] = True
    inside &= mask != 0
    assert np.array_equal(part, np.where(inside, whole, 0.0))


def test_pixels_in_full_shadow_are_not_rendered() -> None:
    """Nothing of their spots arrives, so nothing of them has to be finite; of air near the hole it does."""
    around = nbragg.Surroundings(apertures=nbragg.Aperture(distance_mm=20, diameter_mm=7))
    air = Background("air", path_mm=(14, 16))
    crystal = BRIGHT.replace(structure_factors=StructureFactors.constant(1e200))
    dark = {"surroundings": around, "roi": (0, 2, 0, 9)}
    image = nbragg.simulate(setup_of(air, crystal, **dark)).image
    np.testing.assert_allclose(image, behind(setup_of(air, **dark)), rtol=1e-6)
    assert (image[:, :3] > 0).mean() > 0.9


def test_the_trace_says_what_is_behind() -> None:
    air = nbragg.Surroundings(gas="air")
    setup = setup_of((Background("water"), RadialCurve([0, 0.9], [1e5, 1e6])), BRIGHT, surroundings=air)
    result = nbragg.simulate(setup)
    trace = result.trace(7, 5)
    behind_it = behind(setup)[7, 5]
    assert trace.background == pytest.approx(behind_it, rel=1e-14)
    assert 0.9 < trace.transmission < 1
    spots = nbragg.simulate(setup_of((), BRIGHT)).trace(7, 5).pixel
    assert trace.pixel == pytest.approx(trace.transmission * spots + behind_it, rel=1e-14)
    assert float(result.image[7, 5]) == pytest.approx(trace.pixel, rel=1e-7)
    text = "\n".join(trace.summary())
    assert "transmission" in text and "background" in text
    assert "background" not in "\n".join(nbragg.simulate(setup_of((), BRIGHT)).trace(7, 5).summary())


# ---- a batch -----------------------------------------------------------------------------------------------


def test_a_batch_makes_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orientations and fluences change nothing of it; images are those made one by one."""
    from nbragg.engine import cpu
    from nbragg.engine.backdrop import Behind

    made = []

    class Counting(Behind):
        def __init__(self, *arguments: Any) -> None:
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(cpu, "Behind", Counting)
    around = nbragg.Surroundings(gas="air", upstream=[("Al", 5.0)])
    setup = setup_of((Background("water"), RadialCurve([0, 0.9], [1e3, 1e4])), BRIGHT, surroundings=around)
    simulator = nbragg.Simulator(setup, nbragg.RenderOptions(precision="double"))
    beams = [BEAM.replace(flux=k * 1e12, polarization_azimuth_deg=20.0) for k in (1, 2, 5)]
    images = [result.image for result in simulator.render_many(phi=[0, 3, 6], beams=beams)]
    assert len(made) == 1
    assert len({image.tobytes() for image in images}) == 3
    for image, phi, beam in zip(images, (0, 3, 6), beams, strict=True):
        alone = nbragg.simulate(setup.replace(phi_deg=phi, beam=beam), precision="double").image
        assert np.array_equal(image, alone)
    list(simulator.render_many(changes=[{"wavelength_A": 1.0}, {"wavelength_A": 1.1}]))
    assert len(made) == 1 + 3 + 2


# ---- what is said ------------------------------------------------------------------------------------------


def test_a_table_that_ends_too_early() -> None:
    """One warning when more than 1 percent of the pixels lie beyond a table that is held there."""
    short = {"distance_mm": 20.0, "wavelength_A": 0.6}
    setup = setup_of((Background("air"), Background("unity")), **short)
    scene = nbragg.build_scene(setup)
    S, F = np.indices((10, 12)) * 4e-3 + 2e-3
    P = scene.panel.pix0 + F[..., np.newaxis] * scene.panel.fdet + S[..., np.newaxis] * scene.panel.sdet
    cos = P[..., 0] / np.linalg.norm(P, axis=-1)
    share = (np.sqrt((1 - cos) / 2) / 0.6 > 0.5).mean()
    assert 0.02 < share < 0.9

    def said(setup: Setup) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", NbraggWarning)
            simulator = nbragg.Simulator(setup, nbragg.RenderOptions(threads=1))
            list(simulator.render_many(phi=[0, 1, 2]))
        return [str(one.message) for one in caught if "percent" in str(one.message)]

    (text,) = said(setup)
    assert text.startswith(f"air: {100 * share:.2g} percent of the pixels lie beyond its table")
    assert "from 0 to 0.5 1/angstrom" in text
    assert not said(setup.replace(wavelength_A=3.0))
    assert not said(setup.replace(backgrounds=Background("air", outside="line")))


def test_fewer_photons_than_none() -> None:
    """A warning; and an error where noise is asked for."""
    setup = setup_of(Background(ROWS, sign=-1))
    with pytest.warns(NbraggWarning, match=r"\d+ pixels are below 0, the first at fast 0, slow 0"):
        result = nbragg.simulate(setup)
    assert result.image.min() < 0
    with pytest.raises(InputError, match="at least 0"):
        result.noise(1)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (Background("air", path_mm=(-10, 70)), r"air reaches from -10 to 70 mm .* panel 0 at 60"),
        (Background("air", path_mm=(-20_000, 10)), "behind the source at 10000 mm"),
    ],
)
def test_material_beyond_source_or_sensor(one: Background, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nbragg.build_scene(setup_of(one, rotx_deg=0.0))


@pytest.mark.parametrize("name", ["knots", "cubics", "low", "per_bucket", "bucket", "steps", "inside"])
def test_every_field_of_a_curve_reaches_c(name: str) -> None:
    """Changed, it changes the image, the count of pixels outside, or is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        setup = setup_of(Background(ROWS))
        scene = nbragg.build_scene(setup)
        assert scene.backdrop is not None
        one = scene.backdrop.scatterers[0]
        value = getattr(one.curve, name)
        other: Any
        if name in ("knots", "cubics"):
            other = 1.1 * value
        elif name == "inside":
            other = (value[0], 0.5 * value[1])
        elif name == "bucket":
            other = np.zeros_like(value)
        elif name == "steps":
            other = 0
        else:
            other = 0.3 * value - 1e8
        curve = dataclasses.replace(one.curve, **{name: other})
        changed = dataclasses.replace(
            scene,
            backdrop=dataclasses.replace(scene.backdrop, scatterers=(dataclasses.replace(one, curve=curve),)),
        )
        images = []
        for each in (scene, changed):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", NbraggWarning)
                images.append((nbragg.render(each).image.tobytes(), [str(w.message) for w in said]))
    assert images[0] != images[1]


@pytest.mark.parametrize(
    ("part", "edit", "message"),
    [
        ("curve", {"cubics": np.zeros((7, 3))}, "cubics"),
        ("curve", {"knots": np.zeros(4)}, "knots"),
        ("curve", {"bucket": np.array([7], np.int32)}, "buckets"),
        ("curve", {"bucket": np.array([-1], np.int32)}, "buckets"),
        ("scatterer", {"points": np.zeros((2, 3))}, "amounts"),
        ("backdrop", {"oversample": 0}, "oversample = 0"),
    ],
)
def test_what_does_not_fit_is_refused(part: str, edit: dict[str, Any], message: str) -> None:
    scene = nbragg.build_scene(setup_of(Background(ROWS)))
    assert scene.backdrop is not None
    backdrop = scene.backdrop
    one = backdrop.scatterers[0]
    if part == "curve":
        one = dataclasses.replace(one, curve=dataclasses.replace(one.curve, **edit))
    elif part == "scatterer":
        one = dataclasses.replace(one, **edit)
    backdrop = dataclasses.replace(backdrop, scatterers=(one,))
    if part == "backdrop":
        backdrop = dataclasses.replace(backdrop, **edit)
    with pytest.raises(ValueError, match=message):
        nbragg._engine.PackedBackdrop(backdrop)

"""A sensor given by its material takes the light of every source in its own way (beyond 19.2)."""

from __future__ import annotations

import dataclasses
from typing import Any

import backdrop_oracle
import diffuse_oracle
import numpy as np
import oracle
import pytest
from derivatives import STEP, scene_derivative, shifted
from sensor_scenes import SENSORS, SPECTRA, setup
from spectral_oracle import quadrature
from spectrum_oracle import HC

import nbragg
from nbragg import (
    Beam,
    Crystal,
    Detector,
    LiquidMotions,
    Sampling,
    Setup,
    StructureFactors,
    _engine,
)
from nbragg.engine.cpu import render_double
from nbragg.scene.complex_step import frames
from nbragg.scene.parameters import expand, tangents

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")


def error(image: Any, expected: Any) -> float:
    """Largest difference, as a fraction of the largest pixel."""
    assert np.isfinite(image).all() and expected.max() > 0
    return float(np.abs(image - expected).max() / expected.max())


def refined(scene: Any, points: int) -> Any:
    """`quadrature` of the Scene; a channel is captured as its source is."""
    sensors = tuple(
        panel
        if panel.source_mu is None
        else dataclasses.replace(
            panel, **{n: np.repeat(getattr(panel, n), points) for n in ("source_mu", "source_mu_slope")}
        )
        for panel in scene.panels
    )
    return dataclasses.replace(quadrature(scene, points), panels=sensors)


# ---- the Scene ----


def test_coefficients() -> None:
    """mu of the material at each source's wavelength, and its slope; one number where one was given."""
    scene = nbragg.build_scene(setup(SPECTRA["wide"]))
    for panel, (material, *_) in zip(scene.panels, SENSORS, strict=True):
        if material is None:
            assert panel.source_mu is None and panel.source_mu_slope is None
            assert panel.mu == pytest.approx(5000, rel=1e-14)
            continue
        energy = HC / (scene.sources.wavelength * 1e10)
        expected = nbragg.attenuation(material, energy, "photo")
        assert panel.source_mu == pytest.approx(expected, rel=1e-13)
        step = 1e-6 * scene.sources.wavelength
        ends = [
            nbragg.attenuation(material, HC / ((scene.sources.wavelength + s * step) * 1e10), "photo")
            for s in (1, -1)
        ]
        assert panel.source_mu_slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"beam": Beam(wavelength_A=1.3, hdivrange_mrad=3, hdivsteps=2)},
        {"physics": "nanobragg"},
        {"detector": Detector(distance_mm=50, material="Si", thickness_um=450, attenuation_um=245)},
        {"detector": Detector(distance_mm=50, material="Si")},
        {"detector": Detector(distance_mm=50, thickness_um=450)},
    ],
    ids=["one wavelength", "once a pixel", "a depth", "no thickness", "no material"],
)
def test_one_coefficient(changes: dict[str, Any]) -> None:
    scene = nbragg.build_scene(setup(SPECTRA["wide"], **changes))
    assert all(panel.source_mu is None and panel.source_mu_slope is None for panel in scene.panels)


def test_the_reference_with_its_flag() -> None:
    given = setup(
        SPECTRA["narrow"], physics="nanobragg", sampling=Sampling(oversample=1, oversample_thick=True)
    )
    scene = nbragg.build_scene(given)
    assert scene.panels[0].source_mu is not None
    assert error(render_double(scene), oracle.render(scene)) < 1e-12


def test_the_engine_refuses_other_numbers() -> None:
    scene = nbragg.build_scene(setup(SPECTRA["narrow"]))
    panel = scene.panels[0]
    assert panel.source_mu is not None and panel.source_mu_slope is not None
    for changes, message in (
        ({"source_mu": panel.source_mu[:-1]}, "9 numbers of source_mu and 10 of their slopes"),
        ({"source_mu": panel.source_mu[:1], "source_mu_slope": panel.source_mu_slope[:1]}, "1 numbers; 10"),
    ):
        wrong = dataclasses.replace(panel, **changes)
        with pytest.raises(ValueError, match=message):
            _engine.EngineScene(dataclasses.replace(scene, panels=(wrong, *scene.panels[1:])))


# ---- images ----


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("kind", SPECTRA)
def test_direct_against_the_oracle(kind: str, precision: str) -> None:
    """Every pixel, of four panels with other sensors, with water and sub-pixels."""
    given = setup(SPECTRA[kind], "direct", sampling=Sampling(oversample=2, water_um=0.02))
    scene = nbragg.build_scene(given)
    found = render_double(scene, precision=precision)
    assert error(found, oracle.render(scene)) < {"double": 1e-12, "mixed": 2e-6}[precision]
    mean = dataclasses.replace(
        scene, panels=tuple(dataclasses.replace(p, source_mu=None) for p in scene.panels)
    )
    assert error(render_double(mean), found) > {"narrow": 1e-5}.get(kind, 1e-2)


@pytest.mark.parametrize("kind", ["narrow", "edge", pytest.param("wide", marks=pytest.mark.slow)])
def test_line_against_quadrature(kind: str) -> None:
    """Channels that are captured each in its own way: by the series and, over an edge, by the formula."""
    scene = nbragg.build_scene(setup(SPECTRA[kind], "line"))
    assert scene.spectral == "line"
    expected = oracle.render(refined(scene, 40 if kind == "wide" else 24))
    # passages where a spot has fallen to 1e-9 are left out
    assert error(render_double(scene), expected) < (1e-9 if kind == "wide" else 1e-11)
    assert error(render_double(scene, precision="mixed"), expected) < 2e-6


def test_line_of_light_from_behind() -> None:
    """A panel whose back faces the sample, and deep layers in a thick one: by the formula, as directly."""
    scene = nbragg.build_scene(setup(SPECTRA["narrow"], "line", sampling=Sampling(oversample=1)))
    first, *others = scene.panels
    deep = dataclasses.replace(first, layers=4, layer_step=1e-3, thickness=4e-3)
    turned = dataclasses.replace(first, odet=-first.odet)
    scene = dataclasses.replace(scene, panels=(deep, turned, *others[1:]))
    expected = oracle.render(refined(scene, 24))
    assert np.nanmin(expected[1]) < 0
    assert np.abs(render_double(scene) - expected).max() <= 1e-11 * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_culled_is_direct(shape: str, precision: str) -> None:
    for kind in ("narrow", "edge"):
        given = setup(SPECTRA[kind], "culled", shape=shape)
        scene = nbragg.build_scene(given)
        assert scene.spectral == "culled"
        direct = oracle.render(dataclasses.replace(scene, spectral="direct"))
        found = render_double(scene, precision=precision)
        assert error(found, direct) < {"double": 1e-9, "mixed": 2e-6}[precision]


def test_instruction_sets_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [nbragg.build_scene(setup(SPECTRA["narrow"], s)) for s in ("direct", "line", "culled")]
    expected = [render_double(scene) for scene in scenes]
    for level in [name for name, usable in _engine.isa_levels() if usable]:
        monkeypatch.setenv("NBRAGG_ISA", level)
        for scene, image in zip(scenes, expected, strict=True):
            assert error(render_double(scene), image) < 1e-12
            assert error(render_double(scene, precision="mixed"), image) < 2e-6


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("spectral", ["direct", "line", "culled"])
def test_a_pixel_depends_on_nothing_else(spectral: str, precision: str) -> None:
    """Regions, bit for bit, also beside pixels beyond 60 degrees, which are captured in another way."""
    wide = Detector(
        distance_mm=9, fpixels=40, spixels=7, pixel_mm=1.1, Xbeam_mm=3, Ybeam_mm=9, material="Si",
        thickness_um=300, thicksteps=2,
    )  # fmt: skip
    scene = nbragg.build_scene(setup(SPECTRA["narrow"], spectral, detector=wide))
    steep = np.hypot(1.1 * np.arange(40) - 9, 0) > 9 * np.sqrt(3)
    assert 0 < steep.sum() < 40
    whole = render_double(scene, 1, precision)
    for first, last in ((0, 17), (11, 26), (25, 39)):
        panel = dataclasses.replace(scene.panel, roi=(first, last, 1, 5))
        part = render_double(dataclasses.replace(scene, panels=(panel,)), 2, precision)
        assert (part[1:6, first : last + 1] == whole[1:6, first : last + 1]).all()
    if spectral == "direct":
        assert error(whole, oracle.render(scene)) < {"double": 1e-12, "mixed": 2e-6}[precision]


def test_once_a_pixel_by_the_mean() -> None:
    """A Scene that takes the capture once has no use for those of the sources, but for its water."""
    scene = nbragg.build_scene(setup(SPECTRA["edge"]))
    once = dataclasses.replace(scene, oversample_thick=False)
    assert error(render_double(once), oracle.render(refined(once, 24))) < 1e-11
    direct = dataclasses.replace(once, spectral="direct")
    assert error(render_double(direct), oracle.render(direct)) < 1e-12


def test_light_behind_the_spots() -> None:
    """Solvent, air, obstacles and diffuse scattering, pixel by pixel."""
    water = nbragg.Background("water", thickness_mm=0.3)
    air = nbragg.Background("air", path_mm=(-10, 20), segments=2)
    around = nbragg.Surroundings(windows=[nbragg.Window(material="Kapton", thickness_um=50)])
    given = setup(SPECTRA["wide"], "direct", backgrounds=(water, air), surroundings=around)
    scene = nbragg.build_scene(given)
    expected = np.real(backdrop_oracle.render(scene)).astype(float)
    assert error(render_double(scene), expected) < 1e-12
    moving = given.replace(diffuse=LiquidMotions(30, 0.5), backgrounds=(), surroundings=None)
    scene = nbragg.build_scene(moving)
    expected = np.real(diffuse_oracle.render(moving, scene)).astype(float)
    assert error(render_double(scene), expected) < 1e-11


def test_direct_beam() -> None:
    """All that a sensor takes of the direct beam, wavelength by wavelength."""
    detector = Detector(
        distance_mm=50, fpixels=40, spixels=40, pixel_mm=0.1, Xbeam_mm=2, Ybeam_mm=2, material="Si",
        thickness_um=300, thicksteps=3,
    )  # fmt: skip
    spectrum = SPECTRA["wide"]
    given = setup(spectrum, detector=detector, beam=Beam(spectrum=spectrum, beamsize_mm=0.5, fluence=1e10))
    dark = given.replace(
        structure_factors=StructureFactors.constant(0), sampling=Sampling(oversample=1),
        surroundings=nbragg.Surroundings(direct_beam=True),
    )  # fmt: skip
    photons = [
        render_double(nbragg.build_scene(dark.replace(detector=what))).sum()
        for what in (detector, detector.replace(thickness_um=0))
    ]
    mu = nbragg.attenuation("Si", spectrum.energies_eV, "photo")
    assert photons[0] / photons[1] == pytest.approx(spectrum.shares @ -np.expm1(-300e-6 * mu), rel=1e-9)


# ---- photons ----


@pytest.mark.parametrize("layers", [1, 3, 25])
def test_absorbed_and_transmitted_are_what_came(layers: int) -> None:
    """Of every source, over all layers: absorbed = incident (1 - exp(-t mu/r)), the rest goes through."""
    sensor = Detector(
        distance_mm=30, fpixels=9, spixels=9, pixel_mm=4, Xbeam_mm=16, Ybeam_mm=16, material="CdTe",
        thickness_um=20, thicksteps=layers,
    )  # fmt: skip
    scene = nbragg.build_scene(setup(SPECTRA["wide"], "direct", detector=sensor))
    mu = nbragg.attenuation("CdTe", HC / (scene.sources.wavelength * 1e10), "photo")
    for slow, fast in ((4, 4), (0, 8)):
        rows = nbragg.trace_pixel(scene, slow=slow, fast=fast).samples
        rows = rows[rows["orientation"] == 0]
        for source in range(len(scene.sources)):
            of_source = rows[rows["source"] == source]
            assert len(of_source) == layers
            d = of_source["position"] / np.linalg.norm(of_source["position"], axis=1)[:, np.newaxis]
            r = d @ scene.panel.odet
            # every layer has its own direction, and where they are one the layers' shares telescope
            x = 20e-6 / layers * mu[source] / r
            absorbed = np.exp(-of_source["layer"] * x) - np.exp(-(of_source["layer"] + 1) * x)
            assert of_source["capture"] == pytest.approx(absorbed, rel=1e-12)
            if layers == 1 or (slow, fast) == (4, 4):
                transmitted = np.exp(-20e-6 * mu[source] / r[0])
                assert of_source["capture"].sum() + transmitted == pytest.approx(1, rel=1e-12)


def test_images_of_single_wavelengths_add_up() -> None:
    """The image of a spectrum is the sum of those of its wavelengths, each with the sensor of its own."""
    spectrum = SPECTRA["wide"]
    whole = setup(spectrum, "direct")
    parts = []
    for energy in spectrum.energies_eV:
        beam = Beam.from_energy(energy, hdivrange_mrad=3, hdivsteps=2, polarization=0.9)
        scene = nbragg.build_scene(whole.replace(beam=beam))
        assert scene.panels[0].source_mu is None
        # the mean depth of a layer is that of the mean wavelength
        depth = nbragg.build_scene(whole).panels
        panels = tuple(
            dataclasses.replace(there, source_mu=None, source_mu_slope=None)
            if mine.mu == there.mu
            else dataclasses.replace(there, source_mu=np.full(2, mine.mu), source_mu_slope=np.zeros(2))
            for mine, there in zip(scene.panels, depth, strict=True)
        )
        parts.append(render_double(dataclasses.replace(scene, panels=panels)))
    expected = np.tensordot(spectrum.shares, np.array(parts), 1)
    assert error(render_double(nbragg.build_scene(whole)), expected) < 1e-12


def test_trace() -> None:
    """The capture of each source's samples; the sum is the pixel."""
    scene = nbragg.build_scene(setup(SPECTRA["wide"], "direct"))
    image = render_double(scene)
    for number in range(4):
        found = nbragg.trace_pixel(scene, slow=2, fast=3, panel=number)
        assert found.pixel == pytest.approx(image[number, 2, 3], rel=1e-12)
        different = len(set(found.samples["capture"][found.samples["layer"] == 0].tolist()))
        assert different == (1 if scene.panels[number].source_mu is None else 5)


def test_expected_reflections() -> None:
    """Counts by the spectrum's own captures: as much more or less as the images say."""
    sensor = Detector(
        distance_mm=60, fpixels=200, spixels=200, pixel_mm=0.5, material="CdTe", thickness_um=20, thicksteps=1
    )
    given = setup(SPECTRA["wide"], "direct", detector=sensor, sampling=Sampling(oversample=1))
    scene = nbragg.build_scene(given)
    mean = dataclasses.replace(
        scene, panels=(dataclasses.replace(scene.panel, source_mu=None, source_mu_slope=None),)
    )
    found, by_mean = (nbragg.expected_reflections(each) for each in (scene, mean))
    lit = found["counts"] > 0
    assert (found["miller_index"] == by_mean["miller_index"]).all() and lit.sum() > 20
    ratio = (found["counts"] / by_mean["counts"])[lit]
    assert ratio == pytest.approx((found["capture"] / by_mean["capture"])[lit], rel=1e-12)
    low, high = (
        -np.expm1(-20e-6 * nbragg.attenuation("CdTe", energy, "photo") / 1.0)
        for energy in SPECTRA["wide"].energies_eV[[-1, 0]]
    )
    assert low < found["capture"].min() and found["capture"].max() < 1.3 * high
    assert ratio.min() < 0.95 and ratio.max() > 1.05
    photons = [render_double(each).sum() for each in (scene, mean)]
    assert photons[0] / photons[1] == pytest.approx(found["counts"].sum() / by_mean["counts"].sum(), rel=5e-3)


# ---- derivatives ----

NAMES = [
    "beam.spectrum.energies_eV[0]",
    "beam.spectrum.energies_eV[3]",
    "beam.spectrum.weights[1]",
    "beam.hdivrange_mrad",
    "detector.panels[0].thickness_um",
    "detector.panels[1].thickness_um",
    "detector.distance_mm",
    "beam.polarization",
    "scene.source_wavelength[2]",
    "scene.layer_step[1]",
    "scene.mu[0]",
    "scene.odet[2][1]",
]


def known_names(given: Setup) -> list[str]:
    """Those of `NAMES` that a detector of panels has."""
    names = []
    for name in NAMES:
        try:
            expand([name], given)
        except nbragg.InputError:
            continue
        names.append(name)
    return names


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_linearize_against_complex_step(precision: str) -> None:
    given = setup(SPECTRA["wide"], "direct")
    names = known_names(given)
    assert len(names) >= 8
    found = nbragg.Simulator(given, nbragg.RenderOptions(precision=precision)).linearize(names)
    scene = nbragg.build_scene(given)
    moving, turned = tangents(given, expand(names, given))
    for name, row, tangent in zip(names, found.jacobian(), moving, strict=True):
        _, along = scene_derivative(scene, tangent, turned)
        assert np.abs(along).max() > 0, name
        assert (
            np.abs(row - along).max() <= {"double": 1e-9, "mixed": 1e-5}[precision] * np.abs(along).max()
        ), name
    assert frames(scene) is not None


@pytest.mark.parametrize("behind", ["water", "diffuse"])
def test_linearize_what_is_behind(behind: str) -> None:
    """By complex numbers all the way: what a sensor takes of the light of solvent and moving atoms."""
    water = nbragg.Background("water", thickness_mm=0.3)
    changes = {"backgrounds": (water,)} if behind == "water" else {"diffuse": LiquidMotions(30, 0.5)}
    given = setup(SPECTRA["wide"], "direct", **changes)
    names = ["beam.spectrum.energies_eV[1]", "beam.spectrum.weights[0]", "scene.source_wavelength[2]"]
    found = nbragg.Simulator(given).linearize(names).jacobian()
    scene = nbragg.build_scene(given)
    moving, turned = tangents(given, expand(names, given))
    for name, row, tangent in zip(names, found, moving, strict=True):
        assert tangent.backdrop is None and tangent.diffuse is None
        there = shifted(dataclasses.replace(scene, backdrop=None), tangent, turned, 1j * STEP)
        object.__setattr__(there, "backdrop", scene.backdrop)
        image = backdrop_oracle.render(there) if behind == "water" else diffuse_oracle.render(given, there)
        along = (image.imag / STEP).astype(float)
        assert np.abs(row - along).max() <= 1e-9 * np.abs(along).max() > 0, name


def test_the_mean_wavelength_moves_the_capture() -> None:
    """Far from all spots, one cell along each axis: the derivative of the capture alone, by differences."""
    one = Crystal(cell=(40, 45, 50, 90, 90, 90), N=1, structure_factors=StructureFactors.constant(20))
    given = setup(SPECTRA["wide"], "direct", crystal=one, sampling=Sampling(oversample=1))
    name = "beam.wavelength_A"
    linear = nbragg.Simulator(given).linearize([name])
    row, value = linear.jacobian()[0], linear.values[0]
    up, down = (  # nearer than the rows of the table of attenuation, between which it is bent
        render_double(nbragg.Simulator(given).moved([name], [value + s * 1e-6]).scene) for s in (1, -1)
    )
    assert np.abs(row - (up - down) / 2e-6).max() <= 1e-7 * np.abs(row).max() > 0

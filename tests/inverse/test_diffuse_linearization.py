"""Derivatives of images with diffuse scattering and displaced atoms, against the slow renderer's."""

from __future__ import annotations

import dataclasses
from typing import Any

import backdrop_oracle
import cuda_host
import diffuse_oracle
import numpy as np
import oracle
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, LiquidMotions, Sampling, Setup, StructureFactors, ThermalDiffuse
from nbragg.base.numbers import STEP, stepped
from nbragg.engine.cpu import render_behind, render_double
from nbragg.inverse import composite
from nbragg.scene.build import HELD, make_scene
from nbragg.scene.parameter_records import with_elements
from nbragg.scene.parameter_registry import REGISTRY, in_force, with_numbers
from nbragg.scene.parameters import expand, moved
from nbragg.scene.stages import Stages

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

RANDOM = np.random.default_rng(8)
BOX = StructureFactors(values=RANDOM.uniform(20, 90, (17, 17, 17)), origin=(-8, -8, -8), default_F=9.0)
LIQUID = LiquidMotions((30, 20, 40), (0.3, 0.4, 0.5), order=2)
NAMES = [
    "crystal.cell.a",
    "crystal.cell.gamma",
    "crystal.rotation_deg[1]",
    "crystal.N[2]",
    "crystal.osc_deg",
    "beam.wavelength_A",
    "beam.fluence",
    "beam.polarization",
    "detector.distance_mm",
    "detector.thickness_um",
    "detector.shift_mm[2]",
    "sample.weights[0]",
]
OF_LIQUID = ["crystal.diffuse.gamma_A[0]", "crystal.diffuse.gamma_A[2]", "crystal.diffuse.sigma_A[1]"]
OF_THERMAL = [f"crystal.diffuse.{name}" for name in ("temperature_K", "v_L", "v_T", "mass_kDa")]


def setup_of(diffuse: Any, **changes: Any) -> Setup:
    crystal = Crystal(
        cell=(40, 50, 60, 85, 95, 100), N=(3, 4, 5), shape="gauss", misset_deg=(10, 20, 30), osc_deg=3.0,
        phisteps=2, structure_factors=BOX, diffuse=diffuse,
    )  # fmt: skip
    setup = Setup(
        crystal,
        Beam(wavelength_A=1.2, fluence=1e20, polarization=0.4),
        Detector(
            distance_mm=120,
            pixel_mm=5,
            fpixels=8,
            spixels=7,
            rotx_deg=8,
            thickness_um=300,
            attenuation_um=300,
        ),
        Sampling(oversample=1),
    )
    return setup.replace(**changes) if changes else setup


AROUND = nbragg.Surroundings(sample_absorption=nbragg.SampleAbsorption(material="water", thickness_mm=1))
WATER = nbragg.Background("water", molecules=1e4)
#: set-ups with every way to a structure factor, and the names to try
CASES: dict[str, tuple[Setup, list[str]]] = {
    "liquid": (setup_of(LIQUID), [*NAMES, *OF_LIQUID]),
    "one number": (
        setup_of(LiquidMotions(25, 0.6), shape="square", structure_factors=StructureFactors.constant(70)),
        ["crystal.diffuse.gamma_A", "crystal.diffuse.sigma_A", "crystal.rotation_deg[0]", "crystal.N[0]"],
    ),
    "interpolated": (
        setup_of(LIQUID, interpolate=True, shape="round"),
        ["crystal.rotation_deg[0]", "crystal.cell.c", *OF_LIQUID],
    ),
    "laue": (
        setup_of(LIQUID.replace(space_group="P 4 2 2"), cell=(40, 40, 60, 90, 90, 90)),
        ["crystal.rotation_deg", *OF_LIQUID],
    ),
    "tail": (
        setup_of(LiquidMotions((20, 12, 25), (0.3, 0.4, 0.5), order=2, stencil=0, tail=True)),
        ["crystal.cell.a", "crystal.cell.gamma", "crystal.rotation_deg[1]", "beam.wavelength_A", *OF_LIQUID],
    ),
    "in F": (setup_of(LIQUID.replace(llm_in_F=True)), [*OF_LIQUID, "crystal.rotation_deg[0]"]),
    "thermal": (setup_of(ThermalDiffuse(300, 2500, 1200, 90)), [*NAMES, *OF_THERMAL]),
}


def moving(setup: Setup, name: str) -> tuple[Any, Any]:
    """Set-up and Scene in which a number moves by STEP."""
    [parameter] = expand([name], setup)
    kept = Stages()
    make_scene(setup, kept)
    [place] = parameter.moves
    entry = REGISTRY[place.path]
    value = in_force(setup, entry, place.number)
    elements = [(place.element, stepped(parameter.value))]
    given = with_numbers(setup, entry, place.number, with_elements(value, elements))
    return given, make_scene(given, Stages(kept, HELD))


def names_of(case: str) -> list[str]:
    setup, names = CASES[case]
    return [parameter.name for parameter in expand(names, setup)]


@pytest.mark.parametrize("case", CASES)
def test_every_derivative_is_that_of_the_slow_renderer(case: str) -> None:
    setup, names = CASES[case][0], names_of(case)
    exact, rough = (
        nbragg.Simulator(setup, nbragg.RenderOptions(threads=1, precision=precision)).linearize(names)
        for precision in ("double", "mixed")
    )
    image = render_double(nbragg.build_scene(setup), 1, "double")
    assert np.abs(exact.image - image).max() <= 1e-15 * image.max()
    for name, found, single in zip(names, exact.jacobian(), rough.jacobian(), strict=True):
        expected = (diffuse_oracle.render(*moving(setup, name)).imag / oracle.REAL(STEP)).astype(float)
        scale = np.abs(expected).max()
        assert scale > 0, name
        assert np.abs(found - expected).max() <= 1e-9 * scale, name
        assert np.abs(single - expected).max() <= 1e-5 * scale, name


@pytest.mark.parametrize("case", ["liquid", "tail"])
def test_structure_factors(case: str) -> None:
    """The image is quadratic in each: differences are exact."""
    setup = CASES[case][0]
    names = ["crystal.structure_factors[1,1,1]", "crystal.structure_factors[-2,0,1]"]
    for name, found in zip(names, nbragg.Simulator(setup).linearize(names).jacobian(), strict=True):
        [parameter] = expand([name], setup)
        ends = (
            render_double(nbragg.build_scene(moved(setup, {name: parameter.value + step})), 1, "double")
            for step in (20, -20)
        )
        expected = np.subtract(*ends) / 40
        assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()


def full() -> tuple[Any, list[str]]:
    """Diffuse scattering with a background, behind what absorbs."""
    names = [*NAMES[:1], *NAMES[5:9], *OF_LIQUID[1:], "backgrounds[0].molecules",
             "surroundings.sample_absorption.thickness_mm"]  # fmt: skip
    setup = setup_of(LIQUID, surroundings=AROUND, backgrounds=[WATER])
    return nbragg.Simulator(setup, nbragg.RenderOptions(threads=1)).linearize(names), names


def test_behind_what_absorbs() -> None:
    linear, names = full()
    setup = setup_of(LIQUID, surroundings=AROUND, backgrounds=[WATER])
    scene = nbragg.build_scene(setup)
    image, share = render_double(scene, 1, "double"), render_behind(scene).transmission
    assert share is not None and share.max() < 0.95
    dark = render_double(dataclasses.replace(scene, diffuse=None), 1, "double")
    assert 0.01 < (image - dark).sum() / image.sum() < 0.99
    assert np.abs(linear.image - image).max() <= 1e-15 * image.max()
    for name, found in zip(names, linear.jacobian(), strict=True):
        given, there = moving(setup, name)
        behind = backdrop_oracle.images(there)
        spots = diffuse_oracle.render(given, dataclasses.replace(there, backdrop=None))
        whole = behind.transmission * spots + oracle.wide(there.fluence) * behind.background
        expected = (whole.imag / oracle.REAL(STEP)).astype(float)
        assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max() > 0, name


def test_products_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, names = full()
    J = linear.jacobian()
    flat = J.reshape(len(J), -1)
    v, u = RANDOM.normal(size=len(J)) / np.abs(flat).max(axis=1), RANDOM.normal(size=J.shape[1:])
    along = np.tensordot(v, J, (0, 0))
    assert np.abs(linear.jvp(v) - along).max() <= 1e-12 * np.abs(along).max()
    back = np.array(list(linear.vjp(u).values()))
    assert (np.abs(back - flat @ u.ravel()) <= 1e-12 * (np.abs(flat) @ np.abs(u).ravel())).all()
    w = RANDOM.uniform(0, 1, u.shape)
    H = (flat * w.ravel()) @ flat.T
    scale = np.sqrt(np.diag(H))
    for held in (2**25, 8 * len(names) * 16):  # whole, and two rows at a time
        monkeypatch.setattr(composite, "_HELD", held)
        found = linear.gauss_newton(u, w)
        assert (np.abs(found.H - H) <= 1e-12 * np.outer(scale, scale)).all()
    assert np.array_equal(linear.jacobian(dtype=np.float32), J.astype(np.float32))


@cuda_host.needs_compiler
def test_cuda_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spots of displaced atoms by the GPU's source."""
    setup, names = (
        CASES["liquid"][0],
        ["crystal.rotation_deg[0]", "crystal.N[1]", "crystal.diffuse.sigma_A[1]"],
    )
    expected = nbragg.Simulator(setup, nbragg.RenderOptions(precision="double")).linearize(names).jacobian()
    cuda_host.pretend_gpu(monkeypatch)
    options = nbragg.RenderOptions(device="cuda", precision="double")
    found = nbragg.Simulator(setup, options).linearize(names).jacobian()
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() <= 1e-10 * np.abs(other).max()


def test_moved() -> None:
    new = nbragg.Simulator(CASES["liquid"][0]).moved(["crystal.diffuse.sigma_A[2]"], [0.7]).setup
    assert new.crystal.diffuse == LIQUID.replace(sigma_A=(0.3, 0.4, 0.7))


@pytest.mark.parametrize(
    ("diffuse", "name", "message"),
    [
        (None, "crystal.diffuse.gamma_A", "crystal.diffuse is not set"),
        (LIQUID, "crystal.diffuse.gama_A", "did you mean 'crystal.diffuse.gamma_A'"),
        (LIQUID, "crystal.diffuse.order", "is no parameter: counts"),
        (LIQUID, "crystal.diffuse.gamma_A[3]", "out of range; 0 to 2"),
        (LIQUID, "crystal.diffuse.v_L", "is a LiquidMotions, which has no v_L"),
        (LiquidMotions(np.eye(3), 1), "crystal.diffuse.gamma_A[0,1]", "has to stay symmetric"),
    ],
)
def test_refused_names(diffuse: Any, name: str, message: str) -> None:
    with pytest.raises(nbragg.InputError, match=message):
        nbragg.Simulator(setup_of(diffuse)).linearize([name])


def test_no_cotangent_of_the_scene() -> None:
    simulator = nbragg.Simulator(setup_of(LIQUID))
    with pytest.raises(nbragg.InputError, match="atoms that move"):
        simulator.linearize(["crystal.N[0]"]).vjp(np.ones((7, 8)), scene=True)


@pytest.mark.parametrize("every", [False, True])
def test_domains(every: bool) -> None:
    """The image is a quotient of linear forms of the weights: differences of sixth order are good to 1e-8."""
    setup = setup_of(
        LIQUID, mosaic_spread_deg=0.5, mosaic_domains=3, domain_weight=(1.0, 0.7, 0.4), diffuse_mosaic=every
    )
    name = "crystal.domain_weight[1]"
    [found] = nbragg.Simulator(setup).linearize([name]).jacobian()
    step, weights = 0.02, {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    expected: Any = 0
    for k, weight in weights.items():
        for sign in (1, -1):
            scene = nbragg.build_scene(moved(setup, {name: 0.7 + sign * k * step}))
            expected = expected + sign * weight * render_double(scene, 1, "double") / step
    assert np.abs(found - expected).max() <= 1e-7 * np.abs(expected).max()


def test_still_atoms() -> None:
    """sigma 0 is where the image does not move with it, nor with gamma."""
    names = ["crystal.diffuse.sigma_A", "crystal.diffuse.gamma_A"]
    linear = nbragg.Simulator(setup_of(LiquidMotions(30, 0))).linearize(names)
    assert not linear.jacobian().any()
    bare = nbragg.build_scene(setup_of(None))
    assert np.array_equal(linear.image, render_double(bare))

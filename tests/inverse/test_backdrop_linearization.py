"""Derivatives of whole images with backgrounds and surroundings, by every new parameter."""

from __future__ import annotations

import dataclasses
from typing import Any

import backdrop_oracle
import numpy as np
import pytest
from backdrop_parts import rescaled, setup
from derivatives import STEP, shifted

import nbragg
from nbragg.base.numbers import STEP as OURS
from nbragg.base.numbers import derivative
from nbragg.engine.cpu import render_double
from nbragg.inverse import composite
from nbragg.scene.parameters import expand, moved, tangents

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: of every kind of parameter that moves what lies behind the spots, or does not
NAMES = [
    "crystal.rotation_deg[0]",
    "crystal.N[1]",
    "beam.fluence",
    "beam.wavelength_A",
    "beam.hdivrange_mrad",
    "beam.polarization",
    "detector.distance_mm",
    "detector.rotx_deg",
    "detector.shift_mm[1]",
    "detector.pixel_mm",
    "detector.thickness_um",
    "detector.front[1]",
    "backgrounds[0].thickness_mm",
    "backgrounds[0].width_mm",
    "backgrounds[0].molar_mass",
    "backgrounds[0].table[2]",
    "backgrounds[1].molecules",
    "backgrounds[1].path_mm[0]",
    "backgrounds[2].photons_per_sr[1]",
    "surroundings.vacuum_mm",
    "surroundings.windows[1].thickness_um",
    "surroundings.windows[2].thickness_um",
    "surroundings.sample_absorption.radius_mm",
    "surroundings.upstream[0]",
    "surroundings.beamstops[0].transmission",
    "surroundings.apertures[0].transmission",
    "scene.close_distance",
    "scene.source_wavelength[1]",
]
SETUP = setup()
LINEAR = nbragg.Simulator(SETUP, nbragg.RenderOptions(threads=2)).linearize(NAMES)
RANDOM = np.random.default_rng(4)
SHAPE = (9, 12)


@pytest.fixture(scope="module")
def jacobian() -> Any:
    return LINEAR.jacobian()


def flat(J: Any) -> Any:
    return J.reshape(len(J), -1)


def test_the_image_is_the_rendered_one() -> None:
    assert np.array_equal(LINEAR.image, render_double(nbragg.build_scene(SETUP)))


def expected_images() -> list[Any]:
    """Of each parameter the slow renderer's derivative, along the tangent that the set-up's making gave."""
    scene = nbragg.build_scene(SETUP)
    found, frames = tangents(SETUP, expand(NAMES, SETUP))
    images = []
    for tangent in found:
        behind = scene.backdrop if tangent.backdrop is None else rescaled(tangent.backdrop, OURS, STEP)
        moving = shifted(dataclasses.replace(scene, backdrop=None), tangent, frames, 1j * STEP)
        object.__setattr__(moving, "backdrop", behind)
        images.append((backdrop_oracle.render(moving).imag / STEP).astype(float))
    return images


def test_every_derivative_is_that_of_the_slow_renderer(jacobian: Any) -> None:
    single = nbragg.RenderOptions(threads=2, precision="mixed")
    mixed = nbragg.Simulator(SETUP, single).linearize(NAMES).jacobian()
    for name, found, rough, expected in zip(NAMES, jacobian, mixed, expected_images(), strict=True):
        scale = np.abs(expected).max()
        assert scale > 0, name
        assert np.abs(found - expected).max() <= 1e-9 * scale, name
        assert np.abs(rough - expected).max() <= 1e-5 * scale, name


def test_products_agree(jacobian: Any) -> None:
    v, u = RANDOM.normal(size=(len(NAMES), 2)), RANDOM.normal(size=SHAPE)
    v /= np.abs(flat(jacobian)).max(axis=1)[:, np.newaxis]
    along = LINEAR.jvp(v)
    assert np.abs(along - np.tensordot(v, jacobian, (0, 0))).max() <= 1e-13 * np.abs(along).max()
    back = np.array(list(LINEAR.vjp(u).values()))
    scale = np.abs(flat(jacobian)) @ np.abs(u).reshape(-1)
    assert (np.abs(back - flat(jacobian) @ u.reshape(-1)) <= 1e-12 * scale).all()
    assert np.allclose((u * along).sum(axis=(1, 2)), back @ v, rtol=1e-10, atol=0)


def normal_equations(J: Any, r: Any, w: Any) -> tuple[Any, Any]:
    weighed = flat(J) * w.reshape(-1)
    return weighed @ flat(J).T, weighed @ r.reshape(-1)


def close(found: Any, J: Any, r: Any, w: Any) -> None:
    H, b = normal_equations(J, r, w)
    scale = np.sqrt(np.diag(H))
    assert (scale > 0).all()
    assert (np.abs(found.H - H) <= 1e-12 * np.outer(scale, scale)).all()
    assert (np.abs(found.b - b) <= 1e-12 * scale * np.sqrt((w * r * r).sum())).all()


@pytest.mark.parametrize("held", [composite._HELD, 8 * len(NAMES) * 25])  # whole, and two rows at a time
def test_normal_equations(monkeypatch: pytest.MonkeyPatch, jacobian: Any, held: int) -> None:
    monkeypatch.setattr(composite, "_HELD", held)
    r, w = RANDOM.normal(size=SHAPE), RANDOM.uniform(0, 1, SHAPE)
    close(LINEAR.gauss_newton(r, w), jacobian, r, w)


def test_normal_equations_of_what_moves_the_spots_alone() -> None:
    """By the kernel's own, with the transmission in the weights; behind an opaque stop nothing counts."""
    around = SETUP.surroundings
    assert around is not None
    stop = around.beamstops[0].replace(transmission=0)
    spots = SETUP.replace(surroundings=around.replace(beamstops=stop))
    linear = nbragg.Simulator(spots).linearize(["crystal.orientation", "crystal.N[1]"])
    r, w = RANDOM.normal(size=SHAPE), RANDOM.uniform(0, 1, SHAPE)
    J = linear.jacobian()
    assert (J == 0).all(axis=0).any()
    close(linear.gauss_newton(r, w), J, r, w)


@pytest.mark.parametrize("interpolate", [False, True])
def test_strips_of_several_panels(monkeypatch: pytest.MonkeyPatch, interpolate: bool) -> None:
    """Masks, a region, panels of two sizes, and an interpolation that ends inside one of them."""
    mask = np.ones((5, 6), np.uint8)
    mask[2, 1:4] = 0
    one = {"pixel_mm": 2.5, "fast": (0, 0, 1), "slow": (0, -1, 0), "thickness_um": 300, "front": ("Al", 10)}
    panels = (
        nbragg.Panel(fpixels=6, spixels=5, origin_mm=(70, 8, -16), mask=mask, **one),
        nbragg.Panel(fpixels=7, spixels=6, origin_mm=(72, 9, 1), roi=(1, 6, 1, 4), **one),
    )
    several = SETUP.replace(detector=nbragg.Detector(panels=panels), interpolate=interpolate)
    if interpolate:
        values = RANDOM.uniform(2e3, 1e4, (29, 29, 28))
        listed = nbragg.StructureFactors(values=values, origin=(-3, -14, -14))
        several = several.replace(physics="nanobragg", structure_factors=listed)
    names = ["crystal.rotation_deg[1]", "detector.shift_mm[0]", "detector.panels[1].front[0]",
             "backgrounds[0].table[2]", "beam.fluence"]  # fmt: skip
    linear = nbragg.Simulator(several).linearize(names)
    J = linear.jacobian()
    u = RANDOM.normal(size=J.shape[1:])
    assert linear._gradient.cut == ((40, 0) if interpolate else None)
    monkeypatch.setattr(composite, "_HELD", 8 * len(names) * 8)
    close(linear.gauss_newton(u, np.ones_like(u)), J, u, np.ones_like(u))
    rounded = linear.jacobian(dtype=np.float32)
    assert np.array_equal(rounded, J.astype(np.float32))


def test_a_part_of_the_image(jacobian: Any) -> None:
    roi = LINEAR.jacobian(roi=(3, 8, 2, 5))
    assert np.array_equal(roi[:, 2:6, 3:9], jacobian[:, 2:6, 3:9])
    roi[:, 2:6, 3:9] = 0
    assert not roi.any()


def test_no_bit_depends_on_the_number_of_threads(jacobian: Any) -> None:
    one = nbragg.Simulator(SETUP, nbragg.RenderOptions(threads=1)).linearize(NAMES)
    assert np.array_equal(one.jacobian(), jacobian)


# ---- from records to the Scene -----------------------------------------------------------------------------

FRONT = [
    *NAMES[3:26],
    "backgrounds[0].height_mm",
    "backgrounds[0].density",
    "backgrounds[0].table[3]",
    "backgrounds[1].path_mm[1]",
    "detector.attenuation_um",
    "surroundings.windows[0].thickness_um",
]


def numbers_of(record: Any) -> list[Any]:
    """All numbers of a backdrop that may move, in one order."""
    if dataclasses.is_dataclass(record):
        return [x for f in dataclasses.fields(record) for x in numbers_of(getattr(record, f.name))]
    if isinstance(record, tuple):
        return [x for one in record for x in numbers_of(one)]
    if isinstance(record, (float, complex)) or (isinstance(record, np.ndarray) and record.dtype.kind in "fc"):
        return [record]
    return []


@pytest.mark.parametrize("name", FRONT)
def test_records_move_the_backdrop(name: str) -> None:
    """Complex step through the making of the Scene against differences of eighth order of Scenes."""
    [parameter] = expand([name], SETUP)
    [tangent], _ = tangents(SETUP, [parameter])
    scene = nbragg.build_scene(SETUP)
    still = numbers_of(scene.backdrop)
    if tangent.backdrop is None:
        rates = [np.zeros(np.shape(x)) for x in still]
    else:
        rates = [
            np.zeros(np.shape(x)) if (d := derivative(x)) is None else d for x in numbers_of(tangent.backdrop)
        ]
    step = 1e-4 * (abs(parameter.value) or 1.0)

    def at(k: int) -> list[Any]:
        changed = moved(SETUP, {parameter: parameter.value + k * step})
        return numbers_of(nbragg.build_scene(changed).backdrop)

    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    ends = {k: (at(k), at(-k)) for k in weights}
    for i, (rate, value) in enumerate(zip(rates, still, strict=True)):
        finite = np.isfinite(value)
        ahead, behind = (
            sum(w * np.where(finite, ends[k][side][i], 0) for k, w in weights.items()) for side in (0, 1)
        )
        found = (ahead - behind) / step
        # rounding of the differences, and what is left of the ninth order
        limit = (
            2e-9 * np.abs(rate).max(initial=0)
            + 1e-14 * np.abs(np.where(finite, value, 0)).max(initial=0) / step
        )
        assert (np.abs(found - rate)[finite] <= limit).all(), i


# ---- names and refusals ------------------------------------------------------------------------------------


def test_names_units_values() -> None:
    linear = nbragg.Simulator(SETUP).linearize(["backgrounds[0].table", "detector.front"])
    assert linear.parameters[:2] == ("backgrounds[0].table[0]", "backgrounds[0].table[1]")
    assert linear.units == ("e",) * 9 + ("um",) * 2 and linear.values[-2:].tolist() == [10, 5]


def test_moved_writes_into_the_records() -> None:
    new = nbragg.Simulator(SETUP).moved(
        ["backgrounds[1].path_mm[1]", "surroundings.upstream[0]", "surroundings.windows[0].thickness_um",
         "surroundings.sample_absorption.radius_mm", "detector.front[1]", "backgrounds[0].table[2]"],
        [12, 7, 30, 0.4, 6, 9.5],
    ).setup  # fmt: skip
    around = new.surroundings
    assert around is not None and around.upstream == (("Al", 7.0),)
    assert around.windows[0].thickness_um == 30 and around.sample_absorption is not None
    assert around.sample_absorption.radius_mm == 0.4 and new.detector.front == (("Al", 10.0), ("Si", 6.0))
    first, second = new.backgrounds[:2]
    assert isinstance(first, nbragg.Background) and isinstance(second, nbragg.Background)
    assert first.rows[2, 1] == 9.5 and second.path_mm == (-20.0, 12.0)


def test_rows_of_a_material_become_a_table_of_its_own() -> None:
    water = SETUP.replace(backgrounds=nbragg.Background("water", thickness_mm=0.2))
    linear = nbragg.Simulator(water).linearize(["backgrounds.table[40]", "backgrounds.density"])
    assert linear.values.tolist() == [water.backgrounds[0].rows[40, 1], 1.0]
    new = nbragg.Simulator(water).moved(["backgrounds.table[40]"], [3.0]).setup.backgrounds[0]
    assert isinstance(new, nbragg.Background) and (new.density, new.molar_mass) == (1.0, 18.0)
    assert new.rows[40, 1] == 3.0 and new.rows[41, 1] == water.backgrounds[0].rows[41, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("backgrounds[0].thicknes_mm", "did you mean 'backgrounds.thickness_mm'"),
        ("backgrounds[3].density", "there is no background 3; 3 are counted from 0"),
        ("backgrounds.density", r"there are 3 backgrounds; write backgrounds\[0\]"),
        ("backgrounds[0].segments", "is no parameter: counts"),
        ("backgrounds[1].thickness_mm", "path_mm says where"),
        ("backgrounds[1].density", "molecules says how many"),
        ("backgrounds[0].molecules", "is not set"),
        ("backgrounds[2].density", "is a RadialCurve, which has no density"),
        ("backgrounds[0].photons_per_sr[0]", "is a Background, which has no photons_per_sr"),
        ("backgrounds[0].table[9]", "out of range; 0 to 8"),
        ("surroundings.beamstops[0].diameter_mm", "moves a sharp edge"),
        ("surroundings.apertures[0].centre_mm[1]", "moves a sharp edge"),
        ("surroundings.windows[2].distance_mm", "moves a sharp edge"),
        ("surroundings.windows[3].thickness_um", "there is no window 3"),
        ("surroundings.sample_absorption.thickness_mm", "is not set"),
        ("surroundings[0].vacuum_mm", "an index belongs to the end of a name"),
        ("surroundings.gas", "is no parameter"),
    ],
)
def test_refused_names(name: str, message: str) -> None:
    with pytest.raises(nbragg.InputError, match=message):
        nbragg.Simulator(SETUP).linearize([name])


def test_without_effect() -> None:
    around = nbragg.Surroundings(vacuum_mm=3)
    with pytest.raises(nbragg.InputError, match="there is no gas"):
        expand(["surroundings.vacuum_mm"], SETUP.replace(surroundings=around))
    with pytest.raises(nbragg.InputError, match=r"the beam of 0\.01 mm cuts it"):
        expand(["backgrounds[0].width_mm"], SETUP.replace(beamsize_mm=0.01))
    with pytest.raises(nbragg.InputError, match="sample_absorption is not set"):
        expand(["surroundings.sample_absorption.radius_mm"], SETUP.replace(surroundings=None))


def test_no_cotangent_of_the_scene() -> None:
    with pytest.raises(nbragg.InputError, match="backgrounds or surroundings"):
        LINEAR.vjp(np.ones(SHAPE), scene=True)


def test_the_direct_beam_stands() -> None:
    around = SETUP.surroundings
    assert around is not None
    lit = SETUP.replace(surroundings=around.replace(direct_beam=True), beamsize_mm=0.3)
    simulator = nbragg.Simulator(lit)
    with pytest.raises(nbragg.InputError, match="direct_beam"):
        simulator.linearize(["detector.distance_mm"]).jvp([1.0])
    linear = simulator.linearize(["beam.fluence", "crystal.rotation_deg[0]"])
    assert np.array_equal(linear.image, render_double(simulator.scene))
    fixed = nbragg.Simulator(lit.replace(fluence=0.0)).linearize(["beam.fluence"]).image
    assert np.allclose(linear.jvp({"beam.fluence": 1e22}), linear.image - fixed, rtol=1e-12)

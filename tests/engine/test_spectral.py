"""The renderings of a spectrum (beyond 15.6): integrals over channels, spots looked for where they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import mpmath
import numpy as np
import oracle
import pytest
from numpy.typing import NDArray
from scene_parts import with_crystal, with_panel, with_table
from spectral_oracle import quadrature, spectrum, with_channels

import nbragg
from nbragg import InputError, _engine
from nbragg.engine.cpu import render_double
from nbragg.engine.options import RenderOptions
from nbragg.scene.spectral import choose_rendering

Array = NDArray[np.float64]
pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

HILL = np.exp(-(np.linspace(-2, 2, 5) ** 2))


def scene(edge: int = 16, pixel_mm: float = 1.6, **changes: Any) -> Any:
    """A lysozyme-like crystal of 20 cells and two domains with listed structure factors."""
    crystal: dict[str, Any] = {
        "cell": (79, 79, 38, 90, 90, 90), "N": 20, "shape": "gauss", "misset_deg": (10, 20, 30),
        "mosaic_spread_deg": 0.2, "mosaic_domains": 2,
        "structure_factors": nbragg.StructureFactors.constant(1),
    }  # fmt: skip
    beam: dict[str, Any] = {"wavelength_A": 1.0}
    sampling: dict[str, Any] = {"oversample": 1}
    made = nbragg.build_scene(
        nbragg.Setup(
            nbragg.Crystal(**(crystal | changes.pop("crystal", {}))),
            nbragg.Beam(**(beam | changes.pop("beam", {}))),
            nbragg.Detector(distance_mm=100, fpixels=edge, spixels=edge, pixel_mm=pixel_mm),
            nbragg.Sampling(**(sampling | changes.pop("sampling", {}))),
            **changes,
        )
    )
    values = np.random.default_rng(2).uniform(1, 9, (41, 41, 21))
    return with_table(made, values=values, origin=(-20, -20, -10), default_F=2.0)


def error(image: Array, expected: Array) -> float:
    """Largest difference, as a fraction of the largest pixel."""
    assert np.isfinite(image).all() and expected.max() > 0
    return float(np.abs(image - expected).max() / expected.max())


def centred(given: Any) -> Any:
    """The Scene with the direct beam in the middle of pixel (1, 1)."""
    panel = given.panel
    corner = panel.distance * panel.beam - 1.5 * (panel.pixel[0] * panel.fdet + panel.pixel[1] * panel.sdet)
    return with_panel(given, pix0=corner)


def as_(spectral: str, given: Any) -> Any:
    return dataclasses.replace(given, spectral=spectral)


def mosaic_pair(given: Any) -> Any:
    """Two crystals: the Scene's, and another that is turned, of other size and weight."""
    other = dataclasses.replace(
        given.crystal, weight=0.5,
        orientations=np.ascontiguousarray(given.crystal.orientations[:, [1, 0, 2]] * [1, -1, 1]),
        orientation_weights=np.array([1.0, 3.0]),
        shape_metric=np.array([[300.0, 20, -10], [20, 450, 30], [-10, 30, 200]]), table=1,
    )  # fmt: skip
    second = dataclasses.replace(given.table, default_F=3.0)
    return dataclasses.replace(given, crystals=(given.crystal, other), tables=(given.table, second))


# ---- the functions ----


@pytest.mark.parametrize(("single", "bound"), [(False, 4e-16), (True, 1e-7)])
def test_erf(single: bool, bound: float) -> None:
    """Absolute error, and where |x| < 1 the relative one; odd, and 1 beyond its range."""
    x = np.concatenate([np.linspace(-8, 8, 801), 10.0 ** np.linspace(-12, 0, 60), [1e4, -1e4, np.inf]])
    x = x.astype(np.float32).astype(float)
    found = _engine.probe_math("erf", x, single)
    with mpmath.workdps(30):
        exact = np.array([float(mpmath.erf(value)) for value in x])
    assert np.abs(found - exact).max() < bound
    near = (np.abs(x) < 1) & (x != 0)
    assert np.abs(found / np.where(near, exact, 1) - 1)[near].max() < 2 * bound
    assert (_engine.probe_math("erf", -x, single) == -found).all()


@pytest.mark.parametrize(("single", "bound"), [(False, 2e-15), (True, 5e-7)])
@pytest.mark.parametrize("half", [1e-9, 0.01, 0.099, 0.101, 0.249, 0.251, 1.5, 40.0])
def test_mean_of_a_gaussian(half: float, single: bool, bound: float) -> None:
    """On both sides of the change from series to erf; 0 far away."""
    x = np.linspace(-9, 9, 181).astype(np.float32).astype(float)
    half = float(np.float32(half))
    found = _engine.probe_math("gauss_mean", x, single, half)
    with mpmath.workdps(40):
        h = mpmath.mpf(half)
        exact = [(mpmath.erf(v + h) - mpmath.erf(v - h)) * mpmath.sqrt(mpmath.pi) / (4 * h) for v in x]
    assert np.abs(found - np.array(exact, float)).max() < bound
    assert (_engine.probe_math("gauss_mean", np.array([half + 8.5, -1e9]), single, half) == 0).all()
    # where it is small it is right, too
    tail = np.array(exact, float)
    seen = np.abs(x) < half + 4
    assert np.abs(found / np.where(seen, tail, 1) - 1)[seen].max() < (1e-5 if single else 1e-9)


# ---- the line ----


def test_line_against_quadrature() -> None:
    """Two crystals of two orientations, two directions, a table for each channel."""
    given = scene(8, 3.0, beam={"hdivrange_mrad": 3.0, "hdivsteps": 2})
    # cells of other sizes: the whole box counts, and what is outside
    tables = [
        dataclasses.replace(given.table, values=given.table.values[: 30 + i] * (1 + i)) for i in range(3)
    ]
    pair = mosaic_pair(given)
    pair = dataclasses.replace(
        pair, tables=(*tables, *tables[::-1]),
        crystals=(pair.crystals[0], dataclasses.replace(pair.crystals[1], table=3)),
    )  # fmt: skip
    made = spectrum(pair, 0.03, HILL, "line", np.array([0, 1, 2, 1, 0]))
    assert error(render_double(made), oracle.render(quadrature(made, 24))) < 1e-10


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_line_with_all_factors(physics: str) -> None:
    """Layers, sub-pixels, water and polarization, with the factors once or for every sample."""
    # the water of canonical 8 is divided by the number of sources, of which the oracle has more
    water = 3.0 if physics == "exact" else 0.0
    sampling = {"oversample": 2, "water_um": water}
    one = {"mosaic_spread_deg": 0, "mosaic_domains": 1}
    given = scene(12, 2.0, crystal=one, beam={"polarization": 0.8}, sampling=sampling, physics=physics)
    given = with_crystal(given, shape_metric=np.eye(3) * 400)
    given = with_panel(given, layers=2, layer_step=2e-4, thickness=4e-4, mu=3e3)
    made = spectrum(given, 0.03, HILL[:3], "line")
    assert error(render_double(made), oracle.render(quadrature(made, 24))) < 1e-10


@pytest.mark.parametrize("bandwidth", [0.002, 0.05, 0.5])
def test_line_against_many_channels(bandwidth: float) -> None:
    """Against 4000 channels rendered directly: narrow, and so wide that a line passes many reflections."""
    given = scene(24, 1.0)
    fine = spectrum(given, bandwidth, np.repeat(HILL, 800))
    direct = render_double(fine)
    assert error(render_double(as_("line", fine)), direct) < 1e-4
    assert error(render_double(spectrum(given, bandwidth, HILL, "line")), direct) < 1e-4


@pytest.mark.parametrize(("bandwidth", "cells"), [(0.002, 20), (0.02, 20), (0.1, 60)])
def test_channels_may_be_divided(bandwidth: float, cells: int) -> None:
    """Halves of a channel add up to it, whatever order they come in and whatever table they name."""
    given = with_crystal(scene(24, 1.0), shape_metric=np.eye(3) * cells**2)
    whole = spectrum(given, bandwidth, HILL, "line")
    k = whole.sources.channel
    halves = np.stack([k[:, 0], k.mean(axis=1), k.mean(axis=1), k[:, 1]], axis=1).reshape(-1, 2)
    weights = np.repeat(HILL, 2)
    expected = render_double(whole)
    assert error(render_double(with_channels(given, halves, weights, "line")), expected) < 1e-12
    turned = with_channels(given, halves[::-1].copy(), weights[::-1], "line")
    assert error(render_double(turned), expected) < 1e-12
    twice = dataclasses.replace(given, tables=(given.table,) * 2)
    other = with_channels(twice, halves, weights, "line", np.arange(10) % 2)
    assert error(render_double(other), expected) < 1e-12


def test_a_channel_between_two_tables() -> None:
    """Two sources of one channel with shared weight: the mean of what either table gives."""
    given = scene()
    second = dataclasses.replace(given.table, values=given.table.values * 2 + 1)
    both = dataclasses.replace(given, tables=(given.table, second))
    k = spectrum(given, 0.01, HILL).sources.channel
    shared = with_channels(
        both, np.repeat(k, 2, axis=0), np.outer(HILL, [0.25, 0.75]).ravel(), "line", np.tile([0, 1], 5)
    )
    one, two = (
        render_double(with_channels(dataclasses.replace(given, tables=(table,)), k, HILL, "line"))
        for table in both.tables
    )
    assert error(render_double(shared), 0.25 * one + 0.75 * two) < 1e-12


def test_line_is_continuous_with_one_wavelength() -> None:
    """A channel that narrows down is its wavelength."""
    given = scene()
    alone = render_double(given)
    assert error(render_double(spectrum(given, 1e-9, np.ones(1), "line")), alone) < 1e-9
    assert error(render_double(spectrum(given, 1e-5, np.ones(3), "line")), alone) < 1e-4


def test_direct_beam() -> None:
    """Where the sample does not move, the spot is at its peak for every wavelength."""
    given = centred(scene(3, 0.1))
    image = render_double(spectrum(given, 0.02, HILL, "line"))
    assert image.argmax() == 4
    assert image[1, 1] == pytest.approx(render_double(given)[1, 1], rel=1e-12)


def test_resolution_limit_of_a_line() -> None:
    """A reflection counts where the wavenumber at which it is passed most closely is within the limit."""
    given = scene(64, 0.4)
    wide = spectrum(given, 0.1, HILL, "line")
    whole = render_double(wide)
    panel, at = given.panel, (np.arange(64) + 0.5) * 0.4e-3
    place = panel.pix0 + at[:, np.newaxis, np.newaxis] * panel.sdet + at[:, np.newaxis] * panel.fdet
    u = oracle.unit(place) - given.sources.incident[0]
    low, high = (np.linalg.norm(u, axis=-1) * wide.sources.channel[end] for end in ((0, 0), (-1, 1)))
    limit = 8e-10
    cut = render_double(dataclasses.replace(wide, dmin=limit))
    inside, outside = high < 1 / limit, low > 1 / limit
    assert (cut[inside] == whole[inside]).all() and whole[inside].any()
    assert (cut[outside] == 0).all() and whole[outside].any()
    between = ~inside & ~outside
    assert (cut[between] <= whole[between]).all() and (cut[between] > 0).any()
    assert (cut[between] < 0.5 * whole[between]).any()


# ---- culled ----


@pytest.mark.parametrize(("shape", "cells"), [("gauss", 20), ("tophat", 20), ("round", 300), ("round", 5)])
@pytest.mark.parametrize("bandwidth", [0.003, 0.1])
def test_culled_is_direct(shape: str, cells: int, bandwidth: float) -> None:
    """With a resolution limit and two tables, to 1e-9 of the maximum; tails that do not end are kept."""
    given = centred(scene(24, 0.6, crystal={"shape": shape, "N": cells}, sampling={"dmin_A": 7.0}))
    values = given.table.values.copy()
    values[20, 20, 10] = 9.0  # the brightest spot is seen
    given = with_table(given, values=values)
    if shape == "tophat":  # wide enough for pixels to hit spots
        given = with_crystal(given, shape_metric=given.crystal.shape_metric / 4)
    given = dataclasses.replace(
        given, tables=(given.table, dataclasses.replace(given.table, values=given.table.values * 2))
    )
    made = spectrum(given, bandwidth, np.repeat(HILL, 4), table=np.arange(20) % 2)
    assert error(render_double(as_("culled", made)), render_double(made)) < 1e-9


# ---- whatever renders ----


@pytest.mark.parametrize("spectral", ["line", "culled"])
@pytest.mark.parametrize("bandwidth", [0.002, 0.1])
def test_mixed_precision(spectral: str, bandwidth: float) -> None:
    given = spectrum(mosaic_pair(scene(32, 0.8)), bandwidth, np.tile(HILL, 20), spectral)
    assert error(render_double(given, precision="mixed"), render_double(given)) < 2e-6


@pytest.mark.parametrize("spectral", ["line", "culled"])
def test_instruction_sets_agree(spectral: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = spectrum(mosaic_pair(scene(24, 1.0)), 0.05, np.tile(HILL, 3), spectral)
    expected = render_double(given)
    for level in [name for name, usable in _engine.isa_levels() if usable]:
        monkeypatch.setenv("NBRAGG_ISA", level)
        assert error(render_double(given), expected) < 1e-12
        assert error(render_double(given, precision="mixed"), expected) < 2e-6


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("spectral", ["line", "culled"])
def test_a_pixel_depends_on_nothing_else(spectral: str, precision: str) -> None:
    """A region is a crop and threads change nothing, bit for bit."""
    given = spectrum(scene(40, 0.6), 0.05, HILL, spectral)
    whole = render_double(given, 1, precision)
    part = with_panel(given, roi=(3, 21, 5, 30))
    assert (render_double(part, 2, precision)[5:31, 3:22] == whole[5:31, 3:22]).all()


def test_one_wavelength_is_as_before() -> None:
    """Channels change nothing that is rendered directly."""
    given = spectrum(scene(), 0.01, HILL)
    plain = dataclasses.replace(given, sources=dataclasses.replace(given.sources, channel=None))
    assert (render_double(given) == render_double(plain)).all()


# ---- choosing ----


def rendering(wanted: str, given: Any) -> str:
    return choose_rendering(wanted, given.sources, given.crystals, given.tables)


def test_choice() -> None:
    one = scene()
    given = spectrum(one, 0.01, HILL)
    assert [rendering("auto", one), rendering("line", one)] == ["direct", "direct"]
    assert [rendering(word, given) for word in ("auto", "direct", "line", "culled")] == [
        "line", "direct", "line", "culled"
    ]  # fmt: skip
    # spots that reach into the next cell
    small = with_crystal(given, shape_metric=np.eye(3) * 9)
    assert [rendering(word, small) for word in ("auto", "line")] == ["direct", "line"]
    for shape, expected in (("tophat", "culled"), ("round", "direct"), ("square", "direct")):
        assert rendering("auto", with_crystal(given, shape=shape)) == expected
    large = with_crystal(given, shape="round", shape_metric=np.eye(3) * 300**2)
    assert rendering("auto", large) == "culled"
    assert rendering("auto", with_table(given, interpolation="tricubic_exact")) == "direct"


@pytest.mark.parametrize(
    ("wanted", "changes", "message"),
    [
        ("line", {"shape": "tophat"}, "'line' cannot be: the crystal has the shape 'tophat', and 'gauss'"),
        ("culled", {"shape": "square"}, "'culled' cannot be"),
        ("lines", {}, "spectral"),
    ],
)
def test_refused(wanted: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rendering(wanted, with_crystal(spectrum(scene(), 0.01, HILL), **changes))


def test_interpolation_refused() -> None:
    given = with_table(spectrum(scene(), 0.01, HILL), interpolation="tricubic")
    with pytest.raises(InputError, match="interpolated structure factors"):
        rendering("line", given)
    with pytest.raises(ValueError, match="nearest"):
        _engine.EngineScene(as_("culled", given))


def test_the_engine_refuses_what_is_wrong() -> None:
    given = spectrum(scene(), 0.01, HILL, "line")
    sources = given.sources
    for wrong, message in (
        (None, "needs the channels"),
        (sources.channel[:, ::-1].copy(), "source 4 has the channel"),
        (sources.channel[:2], "have the shape"),
    ):
        broken = dataclasses.replace(given, sources=dataclasses.replace(sources, channel=wrong))
        with pytest.raises(ValueError, match=message):
            _engine.EngineScene(broken)
    with pytest.raises(ValueError, match="Gaussian"):
        _engine.EngineScene(with_crystal(given, shape="tophat"))


def test_traces_and_derivatives_are_direct() -> None:
    """They take every source by its own wavelength."""
    from nbragg.analysis.trace import trace_pixel
    from nbragg.engine.gradient import Gradient

    given = spectrum(scene(), 0.02, HILL)
    line, direct = as_("line", given), render_double(given)
    assert trace_pixel(line, 6, 5).pixel == pytest.approx(direct[6, 5], rel=1e-12)
    image = Gradient(line, [], [], RenderOptions()).image
    assert error(image, direct) < 1e-12

"""Acceptance: structure factors, shapes, polarization, background, strength of the beam, sources."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import acceptance as a
import golden_cases as g
import numpy as np
import oracle
import pytest
from parts import build_scene, changed
from scipy import special

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.base.errors import NbraggWarning
from nbragg.engine import cpu
from nbragg.simulation.simulate import render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: no factor but F and L: every pixel's solid angle is taken out by dividing
PLAIN = (
    "-cell 30 40 50 80 95 103 -misset 5 6 7 -lambda 1.7 -oversample 1 -nopolar "
    "-distance 40 -pixel 0.9 -detpixels 50"
)

# the volume of that cell, A^3; its vectors are slightly off it (canonical 5.1)
_COS = np.cos(np.radians([80, 95, 103]))
VOLUME = 30 * 40 * 50 * math.sqrt(1 - (_COS**2).sum() + 2 * _COS.prod())


def miller(scene: Any) -> a.Image:
    """h, k, l at the centre of every pixel, for one source and one orientation."""
    d = a.pixel_centres(scene)
    d = d / np.sqrt((d**2).sum(axis=-1))[..., None]
    q = (d - scene.sources.incident[0]) / scene.sources.wavelength[0]
    return np.asarray(q @ scene.crystal.orientations[0].T)


def squared(scene: Any) -> a.Image:
    """F^2 L^2 of every pixel: the image over its solid angle."""
    place = a.pixel_centres(scene)
    omega = scene.panel.pixel[0] ** 2 * scene.panel.close_distance / np.sqrt((place**2).sum(axis=-1)) ** 3
    return np.asarray(cpu.render_double(scene) / (a.UNIT * omega))


def with_table(values: a.Image, origin: tuple[int, int, int], default_F: float, interpolation: str) -> Any:
    """One unit cell with a list of structure factors."""
    scene = g.scene_of(a.words(PLAIN, "-N 1 -default_F 1"))
    return changed(scene, values=values, origin=origin, default_F=default_F, interpolation=interpolation)


# ---- structure factors ----


def test_nearest_look_up() -> None:
    """AT-STR-001: the nearest reflection's F, default_F outside the box, halves downward."""
    values = np.random.default_rng(1).uniform(1, 9, (5, 4, 6))
    scene = with_table(values, (-2, -1, -3), 13.0, "nearest")
    index = np.rint(miller(scene)).astype(int) - (-2, -1, -3)
    inside = np.all((index >= 0) & (index < values.shape), axis=-1)
    assert inside.any() and not inside.all()
    F = np.where(inside, values[tuple(np.moveaxis(np.where(inside[..., None], index, 0), -1, 0))], 13.0)
    assert np.abs(squared(scene) / F**2 - 1).max() <= 1e-11


def test_halves_go_down() -> None:
    """AT-STR-001: h0 = ceil(h - 1/2), so exactly half-way takes the lower reflection."""
    # d = (0, 0, 1) and i = (1, 0, 0) exactly; a = (0, 0, 2.5) wavelengths gives h = 2.5
    scene = g.scene_of(a.words(a.FLAT, "-nopolar -detpixels 1 -point_pixel"))
    values = np.arange(1.0, 9.0).reshape(8, 1, 1)
    place = np.array([0.0, 0.0, 0.5])
    for h, index in ((2.5, 2), (-1.5, -2), (0.5, 0), (-0.5, -1), (1.0, 1)):
        scene = changed(
            scene,
            pix0=place - 0.5 * scene.panel.pixel[0] * (scene.panel.fdet + scene.panel.sdet),
            incident=np.array([[1.0, 0.0, 0.0]]),
            wavelength=np.array([1.0]),
            orientations=np.array([[[0, 0, h], [0, 1e-3, 0], [1e-3, 0, 0]]]),
            values=values,
            origin=(-3, 0, 0),
        )
        assert math.isclose(cpu.render_double(scene)[0, 0], a.UNIT * (index + 4) ** 2 / 0.25, rel_tol=1e-9), h


def test_tricubic_is_exact_for_cubics() -> None:
    """AT-STR-002: a product of cubic polynomials is interpolated without error."""

    def F(h: a.Image, k: a.Image, l: a.Image) -> a.Image:  # noqa: E741
        return (3 + 0.1 * h - 0.02 * h**3) * (5 + 0.3 * k**2 + 0.01 * k**3) * (4 - 0.2 * l + 0.03 * l**3)

    axis = np.arange(-25.0, 26.0)
    values = np.ascontiguousarray(F(*np.meshgrid(axis, axis, axis, indexing="ij")))
    for interpolation in ("tricubic", "tricubic_exact"):
        scene = with_table(values, (-25, -25, -25), 13.0, interpolation)
        expected = F(*np.moveaxis(miller(scene), -1, 0))
        found = squared(scene)
        assert np.abs(found - expected**2).max() <= 1e-11 * (expected**2).max()
    nearest = with_table(values, (-25, -25, -25), 13.0, "nearest")
    assert np.abs(squared(nearest) - expected**2).max() > 0.01 * (expected**2).max()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_tricubic_switches_off(threads: int) -> None:
    """AT-STR-002: the first sample outside takes default_F, all later ones the nearest F."""
    values = np.random.default_rng(1).uniform(1, 9, (40, 30, 40))
    scene = with_table(values, (-20, -2, -20), 13.0, "tricubic")
    hkl = miller(scene)
    low, count = np.array((-20, -2, -20)), np.array(values.shape)
    good = np.all((hkl - low + 3 <= count) & (hkl - 2 >= low), axis=-1).ravel()
    first = int(np.argmin(good))
    assert 0 < first < good.size - 1 and good[first:].any()
    with pytest.warns(NbraggWarning, match="interpolation"):
        image = render(scene, threads=threads).image
    g.assert_matches(image, oracle.render(scene).astype(np.float32))
    place = a.pixel_centres(scene)
    omega = (
        scene.panel.pixel[0] ** 2 * scene.panel.close_distance / np.sqrt((place**2).sum(axis=-1)) ** 3
    ).ravel()
    found = np.sqrt(cpu.render_double(scene, threads=threads).ravel() / (a.UNIT * omega))
    assert math.isclose(found[first], 13.0, rel_tol=1e-12)
    index = np.clip(np.rint(hkl).astype(int) - low, 0, count - 1).reshape(-1, 3)
    inside = np.all((np.rint(hkl) >= low) & (np.rint(hkl) < low + count), axis=-1).ravel()
    nearest = np.where(inside, values[tuple(index.T)], 13.0)
    assert np.allclose(found[first + 1 :], nearest[first + 1 :], rtol=1e-11)
    assert not np.isclose(found[:first], nearest[:first], rtol=1e-6).all()


def test_tricubic_of_exact_physics() -> None:
    """AT-STR-002: in exact physics only the samples outside take default_F; none switches it off."""
    values = np.random.default_rng(1).uniform(1, 9, (40, 30, 40))
    scene = with_table(values, (-20, -2, -20), 13.0, "tricubic_exact")
    hkl = miller(scene)
    low, count = np.array((-20, -2, -20)), np.array(values.shape)
    good = np.all((hkl - low + 3 <= count) & (hkl - 2 >= low), axis=-1)
    found = np.sqrt(squared(scene))
    assert np.allclose(found[~good], 13.0, rtol=1e-12)
    assert not np.isclose(found[good], 13.0, rtol=1e-6).any()


@pytest.mark.parametrize(
    "case_id", ["interpolate", "interpolate_forced", "interpolate_out_of_range", "nointerpolate_small"]
)
def test_interpolation_golden(case_id: str) -> None:
    """AT-STR-002: the reference's images."""
    a.assert_golden(f"hkl/{case_id}")


@pytest.mark.parametrize("N", [(1, 1, 1), (5, 5, 5), (2, 1, 7), (60, 40, 30)])
@pytest.mark.parametrize("shape", ["square_xtal", "round_xtal", "gauss_xtal", "tophat_spots"])
def test_shapes(shape: str, N: tuple[int, int, int]) -> None:
    """AT-STR-003: the four lattice factors of canonical 7.1, from h, k, l."""
    counts = "-Na {} -Nb {} -Nc {}".format(*N)
    fudge = 0.7 if shape in ("square_xtal", "round_xtal") else 0.7 / np.prod(N) ** 1.2
    scene = g.scene_of(a.words(PLAIN, f"-default_F 3 -{shape} {counts} -fudge {fudge}"))
    hkl = miller(scene)
    dh = hkl - np.rint(hkl)
    volume = float(np.prod(N))
    if shape == "square_xtal":
        sines = [
            special.diric(2 * np.pi * dh[..., i], n) * n if n > 1 else np.ones(50) for i, n in enumerate(N)
        ]
        latt = sines[0] * sines[1] * sines[2]
    elif shape == "round_xtal":
        x = np.pi * np.sqrt(((dh * N) ** 2).sum(axis=-1) * fudge)
        latt = volume * 0.723601254558268 * 3 * special.spherical_jn(1, x) / x
    else:
        b_and_c = (
            np.roll(scene.crystal.orientations[0], -1, axis=0),
            np.roll(scene.crystal.orientations[0], -2, axis=0),
        )
        reciprocal = np.cross(*b_and_c) * 1e20 / VOLUME  # rows a*, b*, c*, 1/A
        g2 = ((dh @ reciprocal) ** 2).sum(axis=-1) * volume**2
        assert np.abs(g2 * fudge - 0.3969).min() > 1e-9
        latt = volume * (np.exp(-g2 / 0.63 * fudge) if shape == "gauss_xtal" else (g2 * fudge < 0.3969))
    expected = 9 * latt**2
    assert expected.max() > 0
    assert np.abs(squared(scene) - expected).max() <= 1e-10 * expected.max()


@pytest.mark.parametrize("case_id", [case_id for case_id in g.IDS if case_id.startswith("crystal/shape_")])
def test_shapes_golden(case_id: str) -> None:
    """AT-STR-003: the reference's images."""
    a.assert_golden(case_id)


def test_shapes_at_the_lattice_point() -> None:
    """AT-STR-003: L = Na Nb Nc at a reflection (0.7236 of it for a sphere) and N -> 1 at sin = 0."""
    for shape, top in (("square", 1.0), ("round", 0.723601254558268), ("gauss", 1.0), ("tophat", 1.0)):
        # the beam hits the pixel's centre, so that h = k = l = 0 exactly
        crystal = Crystal(
            cell=(30, 40, 50, 90, 90, 90),
            N=(3, 4, 5),
            shape=shape,
            structure_factors=StructureFactors.constant(2.0),
        )
        detector = Detector(fpixels=3, spixels=3, Xbeam_mm=0.15, Ybeam_mm=0.15, convention="denzo")
        scene = build_scene(crystal, Beam(nopolar=True), detector, Sampling(oversample=1))
        assert math.isclose(squared(scene)[1, 1], 4 * (60 * top) ** 2, rel_tol=1e-12), shape


def test_sparse_lists(folder: Path) -> None:
    """AT-STR-004: holes of a sparse list take default_F, as does everything outside."""
    a.assert_golden("hkl/sparse_default_F")
    Path("list.hkl").write_text("0 0 0 100\n3 -2 1 40\n-1 2 -4 30\n0 0 0 80\n")
    found = StructureFactors.from_file("list.hkl", default_F=7.0)
    assert found.values is not None and found.values.shape == (5, 5, 6) and found.origin == (-1, -2, -4)
    expected = np.full((5, 5, 6), 7.0)
    expected[1, 2, 4], expected[4, 0, 5], expected[0, 4, 0] = 80, 40, 30
    assert np.array_equal(found.values, expected)
    none = StructureFactors.from_file("list.hkl")
    assert none.values is not None and (none.values == 0).sum() == 150 - 3
    same = StructureFactors.from_reflections(
        [0, 3, -1, 0], [0, -2, 2, 0], [0, 1, -4, 0], [100, 40, 30, 80], 7.0
    )
    assert same == found and hash(same) == hash(found) and same != none


# ---- polarization ----


@pytest.mark.parametrize("convention", ["mosflm", "xds", "dials"])
@pytest.mark.parametrize("K", [-1, -0.5, 0, 0.5, 0.95, 1])
def test_polarization(K: float, convention: str) -> None:
    """AT-POL-001: Kahn's factor: 0.5 (1 + cos^2 2theta - K cos 2psi sin^2 2theta)."""
    line = a.words(a.FLAT, f"-{convention} -distance 15 -pixel 1.1 -detpixels_f 33 -detpixels_s 27")
    scene = g.scene_of(line)
    d = a.pixel_centres(scene)
    d /= np.sqrt((d**2).sum(axis=-1))[..., None]
    i, p = scene.sources.incident[0], scene.polar_vector
    e = p - i * (p @ i)  # field, made perpendicular to the beam
    e /= np.linalg.norm(e)
    along, across = d @ e, d @ np.cross(i, e)
    # sin^2 2theta cos 2psi, psi counted from the field
    expected = 0.5 * (1 + (d @ i) ** 2 - K * (along**2 - across**2))
    found = a.double(line, f"-polar {K}") / a.double(line, "-nopolar")
    assert np.abs(found - expected).max() <= 1e-12


@pytest.mark.parametrize(
    "case_id", ["polar_0p95", "polar_0p5_xds", "polar_minus", "nopolar", "sourcefile_polar"]
)
def test_polarization_golden(case_id: str) -> None:
    """AT-POL-001: the reference's images."""
    a.assert_golden(f"beam/{case_id}")


@pytest.mark.parametrize("K", [0.0, 0.95])
def test_polarization_pixel_by_pixel(K: float) -> None:
    """AT-PARALLEL-011: the images of a crystal with and without polarization, in float32, to 1e-6."""
    line = a.words(
        "-cell 100 -N 5 -default_F 100 -lambda 6.2 -detpixels 256 -pixel 0.1 -distance 100 -oversample 1"
    )
    scene = g.scene_of(line)
    d = a.pixel_centres(scene)
    d /= np.sqrt((d**2).sum(axis=-1))[..., None]
    expected = 0.5 * (1 + d[..., 0] ** 2 - K * (d[..., 2] ** 2 - d[..., 1] ** 2))
    polarised, plain = (
        g.render([*line, "-polar", str(K)]).astype(float),
        g.render([*line, "-nopolar"]).astype(float),
    )
    bright = plain > 1e-30
    assert bright.mean() > 0.99
    assert np.abs(polarised[bright] / plain[bright] / expected[bright] - 1).max() <= 1e-6
    a.assert_theory(line, f"-polar {K}")


# ---- background, strength of the beam ----

I_BG = 2.57**2 * 7.94079248018965e-30 * 1e24 * (13e-6) ** 3 * 1e6 * 6.02214179e23 / 18


def test_water() -> None:
    """AT-BKG-001: water passes through the Bragg normalisation; in exact physics it does not."""
    line = "-cell 50 -default_F 1e-30 -N 1 -detpixels 30 -distance 20 -pixel 1 -fluence 1e24 -water 13"
    scene = g.scene_of(a.words(line, "-oversample 1"))
    place = a.pixel_centres(scene)
    R = np.sqrt((place**2).sum(axis=-1))
    factors = 1e-6 * 0.02 / R**3 * 0.5 * (1 + (place[..., 0] / R) ** 2)
    scale = 7.94079248018965e-30 * 1e24
    assert np.abs(a.double(line, "-oversample 1") / (scale * I_BG * factors) - 1).max() <= 1e-12
    two_steps = a.double(line, "-oversample 1 -osc 1 -phisteps 2")
    assert np.abs(two_steps / (scale * I_BG * factors / 2) - 1).max() <= 1e-12
    exact = a.double(line, "-oversample 1 -physics exact -osc 1 -phisteps 2")
    assert np.abs(exact / (I_BG * factors) - 1).max() <= 1e-12
    # it adds to the Bragg intensity
    bragg = (
        "-cell 50 -default_F 3000 -N 2 -detpixels 30 -distance 20 -pixel 1 -fluence 1e24 -oversample 1 -water"
    )
    difference = a.double(bragg, "13") - a.double(bragg, "0")
    assert np.abs(difference / (scale * I_BG * factors) - 1).max() <= 1e-9
    a.assert_golden("output/water")


def test_fluence() -> None:
    """AT-FLU-001: flux, exposure and beam size give the fluence; the beam clips the sample first."""
    for case_id in ("fluence", "flux", "beamsize_clips_sample"):
        a.assert_golden(f"beam/{case_id}")

    def fluence(line: str) -> float:
        return float(g.scene_of(a.words("-cell 50 -default_F 1 -detpixels 4", line)).fluence)

    assert math.isclose(
        fluence("-flux 1e12 -exposure 0.1 -beamsize 0.05"), 1e12 * 0.1 / 0.05e-3**2, rel_tol=1e-14
    )
    assert math.isclose(fluence("-flux 1e12"), 1e12 / 0.1e-3**2, rel_tol=1e-14)
    assert math.isclose(fluence("-flux 1e12 -fluence 5"), 1e12 / 0.1e-3**2, rel_tol=1e-14)
    assert fluence("-fluence 5 -exposure 0.1 -beamsize 0.05") == 5
    assert fluence("-fluence 5 -flux 1e12 -beamsize -1") == 5
    assert fluence("-fluence 5 -flux 1e12 -exposure 0") == 5
    assert fluence("") == 125932015286227086360700780544.0

    def cells(line: str) -> list[float]:
        return list(
            g.scene_of(
                a.words("-cell 70 80 90 90 90 90 -default_F 1 -detpixels 4 -oversample 1", line)
            ).crystal.N
        )

    assert cells("-xtalsize 0.00004") == [6, 5, 5]
    assert cells("-xtalsize 0.00004 -beamsize 0.00002") == [6, 3, 3]
    assert cells("-xtal_x 0.00004 -xtal_y 0.00001 -xtal_z 0.00003 -beamsize 0.00002") == [6, 2, 3]
    assert cells("-xtalsize 0.00004 -beamsize -1") == [6, 5, 5]
    with pytest.warns(NbraggWarning, match="beam"):
        cells("-xtalsize 0.00004 -beamsize 0.00002")


# ---- sources ----


def test_source_file(folder: Path) -> None:
    """AT-SRC-001: separators, missing columns, blank and comment lines, directions normalised."""
    for case_id in ("sourcefile", "sourcefile_positions", "sourcefile_polar"):
        a.assert_golden(f"beam/{case_id}")
    Path("list").write_text(
        "# X Y Z weight lambda\n-10 0 0 1 1e-10\n\n -3,4;0:2!1.1e-10\n"
        "\t-1\t0.5\t0.25\n-10 0.1 0 0.5 # no wavelength\n"
    )
    scene = g.scene_of("-cell 50 -default_F 1 -detpixels 4 -lambda 1.3 -sourcefile list")
    expected = np.array([[-10, 0, 0], [-3, 4, 0], [-1, 0.5, 0.25], [-10, 0.1, 0]])
    expected = -expected / np.linalg.norm(expected, axis=1)[:, None]
    assert np.abs(scene.sources.incident - expected).max() < 1e-15
    assert np.allclose(scene.sources.wavelength, [1e-10, 1.1e-10, 1.3e-10, 1.3e-10], rtol=1e-15)
    assert (scene.sources.weight == 1).all()
    exact = g.scene_of("-cell 50 -default_F 1 -detpixels 4 -lambda 1.3 -sourcefile list -physics exact")
    assert np.allclose(exact.sources.weight, np.array([1, 2, 1, 0.5]) / 1.125, rtol=1e-15)
    with pytest.warns(NbraggWarning, match="weight"):
        g.scene_of("-cell 50 -default_F 1 -detpixels 4 -sourcefile list")


def resolve(
    span: float | None, step: float | None, count: int | None, whole: float
) -> tuple[float, float, int]:
    """Range, step and count as canonical 4 resolves them."""
    has_span, has_step = span is not None, step is not None and step > 0
    span_, step_, n = span or 0.0, step or 0.0, count or 0
    if n <= 0:
        if not has_span and not has_step:
            return 0.0, 0.0, 1
        if not has_span:
            span_, n = step_, 2
        elif not has_step:
            step_, n = span_, 2
        else:
            n = math.ceil(span_ / step_)
    elif not has_span and not has_step:
        span_ = whole
        step_ = span_ / n
    elif not has_span:
        span_, n = step_, 2
    elif not has_step:
        n = max(n, 2)
        step_ = span_ / (n - 1)
    if span_ <= 0 or step_ <= 0 or n <= 0:
        return 0.0, 0.0, 1
    return span_, step_, n


@pytest.mark.parametrize("count", [None, 1, 2, 5])
@pytest.mark.parametrize("step", [None, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("span", [None, 0.0, 2.0, 7.3])
def test_step_resolving(span: float | None, step: float | None, count: int | None) -> None:
    """AT-SRC-002: range, step and count of divergence and dispersion, whatever of them is given."""
    kw: dict[str, Any] = {
        "hdivrange_mrad": span,
        "hdivstep_mrad": step,
        "hdivsteps": count,
        "round_div": False,
    }
    crystal = Crystal(cell=(50, 60, 70, 90, 90, 90), structure_factors=StructureFactors.constant(1))
    detector = Detector(fpixels=4, spixels=4)
    scene = build_scene(crystal, Beam(**kw), detector)
    milli = tuple(None if x is None else x * 1e-3 for x in (span, step))
    expected = resolve(milli[0], milli[1], count, 1.0)
    assert np.allclose(
        (scene.placement.hdiv.range, scene.placement.hdiv.step, scene.placement.hdiv.count),
        expected,
        rtol=1e-12,
        atol=0,
    )
    assert len(scene.sources.wavelength) == expected[2]
    angles = np.arctan2(scene.sources.incident[:, 2], scene.sources.incident[:, 0])
    wanted = expected[1] * np.arange(expected[2]) - expected[0] / 2
    assert np.allclose(np.sort(np.abs(angles)), np.sort(np.abs(wanted)), rtol=0, atol=1e-14)

    # dispersion's range starts at 0, not missing; there is no step option
    percent = build_scene(crystal, Beam(dispersion_pct=span, dispersion_steps=count), detector)
    expected = resolve((span or 0.0) / 100, None, count, 1.0)
    assert len(percent.sources.wavelength) == expected[2]
    wanted = 1e-10 * (1 + expected[1] * np.arange(expected[2]) - expected[0] / 2)
    assert np.allclose(np.sort(percent.sources.wavelength), wanted, rtol=1e-14)


@pytest.mark.parametrize("round_div", [True, False])
@pytest.mark.parametrize("counts", [(1, 1), (2, 3), (4, 4), (5, 4), (7, 5), (1, 6)])
def test_divergence_grid(counts: tuple[int, int], round_div: bool) -> None:
    """AT-SRC-002: order, rotation and trimming of the grid, against canonical 4 written out."""
    spans = tuple(0.02 if n > 1 else 0.0 for n in counts)
    kw: dict[str, Any] = {"round_div": round_div, "dispersion_pct": 3.0, "dispersion_steps": 2}
    for name, n, span in zip("hv", counts, spans, strict=True):
        if n > 1:
            kw |= {f"{name}divrange_mrad": span * 1e3, f"{name}divsteps": n}
    crystal = Crystal(cell=(50, 60, 70, 90, 90, 90), structure_factors=StructureFactors.constant(1))
    scene = build_scene(crystal, Beam(**kw), Detector(fpixels=4, spixels=4))
    steps = [span / (n - 1) if n > 1 else 0.0 for span, n in zip(spans, counts, strict=True)]
    expected = []
    for i in range(counts[0]):
        for j in range(counts[1]):
            x, y = steps[0] * i - spans[0] / 2, steps[1] * j - spans[1] / 2

            def part(x: float, axis: int) -> float:
                if spans[axis] == 0:
                    return math.nan
                even = steps[axis] ** 2 / 4 if counts[axis] % 2 == 0 else 0
                return (x**2 - even) / spans[axis] ** 2

            if round_div and 4 * (part(x, 0) + part(y, 1)) > 1.1:
                continue
            # b = x, p = z, so the vertical axis b x p is -y
            source = (
                a.rotation((0, -1, 0), math.degrees(x)) @ a.rotation((0, 0, 1), math.degrees(y)) @ (-10, 0, 0)
            )
            expected += [-source / 10] * 2
    assert len(scene.sources.incident) == len(expected)
    assert np.abs(scene.sources.incident - expected).max() < 1e-14
    assert np.allclose(scene.sources.wavelength.reshape(-1, 2), [[0.985e-10, 1.015e-10]], rtol=1e-14)


@pytest.mark.parametrize(
    "case_id", [i for i in g.IDS if "diverg" in i or "dispersion" in i or "divsteps" in i]
)
def test_sources_golden(case_id: str) -> None:
    """AT-SRC-002: the reference's images."""
    a.assert_golden(case_id)


def test_wavelength_of_each_source(folder: Path) -> None:
    """AT-SRC-003: each source has its own wavelength: the image is the mean of single-source images."""
    rows = ["-10 0 0 1 1.0e-10", "-10 0.02 0 0.5 1.3e-10", "-10 0 0.03 2 0.8e-10"]
    line = a.words("-cell 40 50 60 -default_F 1 -N 4 -oversample 1 -detpixels 40 -pixel 0.5 -nopolar")
    Path("all").write_text("\n".join(rows))
    images = []
    for i, row in enumerate(rows):
        Path(f"one{i}").write_text(row)
        images.append(a.double(line, f"-sourcefile one{i}"))
        # the same with the wavelength on the command line
        Path("bare").write_text(" ".join(row.split()[:3]))
        wavelength = float(row.split()[4]) * 1e10
        assert np.allclose(a.double(line, f"-sourcefile bare -lambda {wavelength}"), images[-1], rtol=1e-10)
    mean = np.mean(images, axis=0)
    assert np.abs(a.double(line, "-sourcefile all") - mean).max() <= 1e-12 * mean.max()
    weighted = np.average(images, axis=0, weights=[1, 0.5, 2])
    assert np.abs(a.double(line, "-sourcefile all -physics exact") / weighted - 1).max() <= 1e-10

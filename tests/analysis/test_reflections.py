"""Expected reflections: photons, places and parts, against quadratures, images and Darwin's formula."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg.analysis.reflections import expected_reflections, merged
from nbragg.analysis.spot_integrals import Spot, absorption_depth
from nbragg.base.constants import GAUSS_WIDTH, R_E_SQR, SPHERE_SCALE, TOPHAT_RADIUS_SQR
from nbragg.base.vectors import unit

CELL = "-cell 70 80 90 80 95 100 -misset 10 20 30 -physics exact -default_F 100 -nointerpolate"
DETECTOR = "-distance 300 -pixel 0.1 -detpixels 1024"


def scene_of(words: str) -> Any:
    return nbragg.build_scene(nbragg.from_cli(f"{CELL} {DETECTOR} {words}"))


# ---- integrals over a spot ----


def squared_lattice_factor(crystal: Any, h: Any) -> Any:
    """L^2 at the distances h (..., 3) from a reflection (canonical 7.1)."""
    peak = float(np.prod(crystal.N)) ** 2
    if crystal.shape == "square":
        h = np.where(h == 0.0, 1e-12, h)
        return np.prod((np.sin(np.pi * crystal.N * h) / np.sin(np.pi * h)) ** 2, axis=-1)
    radius_sqr = crystal.fudge * np.einsum("...i,ij,...j->...", h, crystal.shape_metric, h)
    if crystal.shape == "gauss":
        return peak * np.exp(-radius_sqr / GAUSS_WIDTH) ** 2
    if crystal.shape == "tophat":
        return peak * (radius_sqr < TOPHAT_RADIUS_SQR)
    x = np.pi * np.sqrt(np.maximum(radius_sqr, 1e-9))
    return peak * (SPHERE_SCALE * 3.0 * (np.sin(x) / x - np.cos(x)) / x**2) ** 2


@pytest.mark.parametrize(
    ("shape", "fudge", "within"),
    # the square's neighbours, the sharp edge on the grid, and tails cut off at half an index are not in S
    [("square", 1.0, 0.006), ("gauss", 1.3, 1e-9), ("round", 1.3, 0.003), ("tophat", 0.8, 0.006)],
)
def test_slice_is_the_quadrature(shape: str, fudge: float, within: float) -> None:
    crystal = dataclasses.replace(scene_of("-Na 25 -Nb 31 -Nc 28").crystal, shape=shape, fudge=fudge)
    metric = np.diag(crystal.N**2)
    if shape in ("gauss", "round"):
        metric = metric + 0.15 * np.outer(crystal.N, crystal.N) * (1.0 - np.eye(3))
    crystal = dataclasses.replace(crystal, shape_metric=metric)
    spot, axes = Spot(crystal), crystal.orientations[0]
    reciprocal = np.linalg.inv(axes).T
    ray = unit(np.array([0.3, -0.5, 0.81]))
    first = unit(np.cross(ray, [1.0, 0.0, 0.0]))
    second = np.cross(ray, first)
    edge = 0.6 / 70e-10
    steps = np.linspace(-edge, edge, 1201)
    plane = steps[:, None, None] * first + steps[None, :, None] * second
    for part in (0.0, 0.2, 0.35):
        distance = part / (28 * 80e-10)
        h = (plane - distance * ray) @ axes.T
        inside = (np.abs(h) <= 0.5).all(axis=-1)
        expected = float((squared_lattice_factor(crystal, h) * inside).sum()) * (steps[1] - steps[0]) ** 2
        found = spot.slice(np.array([distance]), (reciprocal @ ray)[np.newaxis])[0]
        assert found == pytest.approx(expected, rel=within), part


@pytest.mark.parametrize("shape", ["square", "gauss", "round", "tophat"])
def test_slices_add_up_to_the_volume(shape: str) -> None:
    crystal = dataclasses.replace(scene_of("-Na 10 -Nb 31 -Nc 28").crystal, shape=shape)
    spot = Spot(crystal)
    ray = np.linalg.inv(crystal.orientations[0]).T @ unit(np.array([0.3, -0.5, 0.81]))
    distance = np.linspace(-4e9, 4e9, 1_000_001)
    along = np.broadcast_to(ray, (len(distance), 3))
    total = float(spot.slice(distance, along).sum()) * (distance[1] - distance[0]) * spot.cell_volume
    assert total == pytest.approx(spot.volume, rel=1e-3 if shape in ("square", "round") else 1e-6)


def test_square_slice_has_no_step() -> None:
    """Quadrature and closed form meet, and both hold where a ray runs along an axis."""
    spot = Spot(scene_of("-N 20").crystal)
    for along in ([1e7, 2e7, 1.2e8], [0.0, 0.0, 1e8]):
        rays = np.broadcast_to(np.array(along), (2, 3))
        end = 20 / max(along)
        distance = np.array([6.0 - 1e-9, 6.0 + 1e-9]) / (2.0 * math.pi * end)
        few, many = spot.slice(distance, rays)
        assert few == pytest.approx(many, rel=1e-6)
    triangle = spot.slice(np.array([0.5e8 / 20]), np.array([[0.0, 0.0, 1e8]]))[0]
    # one axis only: N^2 N^2 N [sin(pi e T)/(pi e T)]^2 / (a* V)
    assert triangle == pytest.approx(20.0**4 / 1e8 / spot.cell_volume * (2 / math.pi) ** 2, rel=1e-9)


def test_absorption_depth_is_the_mean() -> None:
    path = np.linspace(0.0, 450e-6 / 0.8, 200_001)
    weight = np.exp(-path * 4000.0)
    expected = float((path * weight).sum() / weight.sum())
    assert absorption_depth(450e-6, 4000.0, np.array([0.8]))[0] == pytest.approx(expected, rel=1e-4)
    assert absorption_depth(450e-6, 1e-3, np.array([1.0]))[0] == pytest.approx(225e-6, rel=1e-4)
    assert absorption_depth(0.0, 4000.0, np.array([1.0]))[0] == 0.0


# ---- against rendered images ----

GAUSS = "-N 40 -gauss_xtal -oversample 5"
STILLS = {
    "gauss": (GAUSS, 5e-4),
    "square": ("-N 60 -oversample 5", 0.004),
    "round": ("-N 60 -round_xtal -oversample 5", 0.002),
    "plate": ("-Na 12 -Nb 35 -Nc 20 -gauss_xtal -oversample 5", 5e-4),
    "fudge": ("-N 40 -gauss_xtal -fudge 0.7 -oversample 5", 5e-4),
    "tophat": ("-N 24 -tophat_spots -oversample 21", 0.01),  # the sharp edge needs the finest samples
    "mosaic": (f"{GAUSS} -mosaic 0.1 -mosaic_dom 30", 5e-4),
    "spectrum": (f"{GAUSS} -dispersion 0.5 -dispsteps 5 -divergence 0.5 -divsteps 3 -polar 0.9", 5e-4),
    "sensor": (
        f"{GAUSS} -detector_thick 450 -detector_abs 250 -thicksteps 120 -polar 0.9 -twotheta 15",
        1e-3,
    ),
    "sizes": (f"{GAUSS} -N_distribution lognormal:0.5:0.3:0.2 -N_domains -mosaic 0.1 -mosaic_dom 9", 5e-4),
    "sizes, turned": (
        f"{GAUSS} -N_distribution lognormal:0.3 -N_domains -mosaic 0.05 -mosaic_dom 4 -osc 0.3 -phisteps 40",
        5e-4,
    ),
    "rotation": (f"{GAUSS} -osc 0.3 -phisteps 40 -polar -0.8 -phi 20", 5e-4),
}


def boxes(words: str, count: int, half: int) -> Any:
    """Table rows of lonely spots, and the images of a box around each."""
    setup = nbragg.from_cli(f"{CELL} {DETECTOR} {words}")
    table = expected_reflections(nbragg.build_scene(setup))
    places = table["xyz_px"][:, :2]
    found = 0
    for row in table[np.argsort(-table["counts"])]:
        fast, slow = row["xyz_px"][:2]
        lonely = (np.abs(places - [fast, slow]).max(axis=1) < 2 * half).sum() == 1
        if not lonely or not half + 1 < min(fast, slow) <= max(fast, slow) < 1023 - half:
            continue
        roi = (int(fast) - half, int(fast) + half, int(slow) - half, int(slow) + half)
        image = nbragg.simulate(setup.replace(roi=roi)).image[roi[2] : roi[3] + 1, roi[0] : roi[1] + 1]
        yield row, image.astype(np.float64), (roi[0], roi[2])
        found += 1
        if found == count:
            return
    raise AssertionError(f"{found} lonely spots of {count}")


@pytest.mark.parametrize("case", STILLS)
def test_counts_are_those_of_the_image(case: str) -> None:
    words, within = STILLS[case]
    for row, image, _ in boxes(words, 3 if case == "tophat" else 5, 12):
        assert image.sum() == pytest.approx(row["counts"], rel=within), row["miller_index"]


@pytest.mark.parametrize(
    "words",
    [
        "-detector_thick 450 -detector_abs 250 -thicksteps 3 -twotheta 15 -polar 0.9",
        "-detector_thick 450 -detector_abs 250 -thicksteps 3 -oversample_thick -twotheta 15",
        "-point_pixel -twotheta 20",
    ],
)
def test_counts_of_the_reference(words: str) -> None:
    """physics="nanobragg": its layers, and pixels taken for points."""
    for row, image, _ in boxes(f"-N 30 -oversample 5 {words} -physics nanobragg", 3, 12):
        assert image.sum() == pytest.approx(row["counts"], rel=0.004), row["miller_index"]


@pytest.mark.parametrize("case", ["gauss", "plate", "mosaic", "sizes", "spectrum", "sensor"])
def test_spots_are_where_the_table_says(case: str) -> None:
    # spots wide enough that pixels do not move their centres
    for row, image, (fast, slow) in boxes(STILLS[case][0].replace("-N 40", "-N 20"), 5, 14):
        y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
        centre = np.array([(x * image).sum(), (y * image).sum()]) / image.sum() + [fast, slow]
        assert np.abs(centre - row["xyz_px"][:2]).max() < 0.01, row["miller_index"]


def test_several_panels_and_crystals() -> None:
    """Panels cut from one give its places; two crystals give the rows of both, by their weights."""
    from scene_parts import cut

    scene = scene_of(GAUSS)
    whole = expected_reflections(scene)
    pieces = expected_reflections(cut(scene, [400], [300, 700]))
    assert len(pieces) == len(whole)
    corner = np.array([[0, 0], [400, 0], [0, 300], [400, 300], [0, 700], [400, 700]])
    place = pieces["xyz_px"][:, :2] + corner[pieces["panel"]]
    by_index = [np.lexsort(table["miller_index"].T) for table in (whole, pieces)]
    np.testing.assert_allclose(place[by_index[1]], whole["xyz_px"][by_index[0], :2], atol=1e-9)
    np.testing.assert_allclose(pieces["counts"][by_index[1]], whole["counts"][by_index[0]], rtol=1e-12)

    one = nbragg.from_cli(f"{CELL} {DETECTOR} {GAUSS}").crystal
    both = nbragg.Setup(
        nbragg.Sample(crystals=(one, one.replace(misset_deg=(40, 50, 60))), weights=(1.0, 0.25)),
        detector=nbragg.from_cli(f"{CELL} {DETECTOR}").detector,
    )
    table = expected_reflections(nbragg.build_scene(both))
    np.testing.assert_allclose(table["counts"][table["crystal"] == 0], whole["counts"], rtol=1e-12)
    assert (table["crystal"] == 1).any()


@pytest.mark.parametrize("turn", ["", "-osc 0.4 -phisteps 20"])
def test_sizes_of_domains_add_up(turn: str) -> None:
    """A row has the sum over the domains, each alone in a Scene."""
    words = STILLS["sizes"][0].replace("-mosaic_dom 9", "-mosaic_dom 4")
    scene = scene_of(f"{words} -twin 0.3:-h,-k,-l {turn}")
    lattices = scene.placement.lattices
    assert [len(blocks) for blocks in lattices] == [4, 4]
    assert len({tuple(scene.crystals[i].N) for i in lattices[0]}) == 4
    table = expected_reflections(scene, d_min_A=4.0, least=1e-9)
    assert set(table["crystal"]) == {0, 1}
    keys = [(*row["miller_index"], row["entering"]) for row in table]
    compared = 0
    for number, blocks in enumerate(lattices):
        of_block = []
        for i in blocks:
            placement = dataclasses.replace(scene.placement, crystals=(scene.placement.crystals[i],))
            alone = dataclasses.replace(scene, crystals=(scene.crystals[i],), placement=placement)
            rows = expected_reflections(alone, d_min_A=4.0, least=1e-9)
            of_block.append({(*row["miller_index"], row["entering"]): row for row in rows})
        for key, row in zip(keys, table, strict=True):
            if row["crystal"] != number or not row["partiality"] >= 0.01:  # NaN: it only comes near
                continue
            parts = [rows[key] for rows in of_block if key in rows]
            assert row["counts"] == pytest.approx(sum(part["counts"] for part in parts), rel=1e-6)
            full = [rows[key]["full_counts"] for rows in of_block if key in rows]
            if len(full) == len(blocks):
                assert row["full_counts"] == pytest.approx(sum(full), rel=1e-9)
                assert row["partiality"] == pytest.approx(row["counts"] / sum(full), rel=1e-9)
                compared += 1
    assert compared > 20


# ---- rotations ----


def darwin(scene: Any, row: Any) -> float:
    """Photons of a reflection turned through, r_e^2 (fluence/osc) lambda^3 F^2 V_crystal/V_cell^2 L P."""
    placement = scene.placement
    volume = placement.crystals[0].unit_cell.volume * 1e-30
    crystal = float(np.prod(scene.crystal.N)) * volume
    geometry = row["lorentz"] * row["polarization"]
    wavelength = placement.wavelength
    return float(
        R_E_SQR
        * scene.fluence
        / placement.osc
        * wavelength**3
        * row["F_sqr"]
        * crystal
        / volume**2
        * geometry
    )


@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
@pytest.mark.slow
def test_consecutive_images_add_up(shape: str) -> None:
    """Partialities over frames sum to 1, and counts to Darwin's formula."""
    cells = {"square": 60, "round": 120, "gauss": 40}[shape]
    words = f"-N {cells} -{shape}_xtal -osc 1 -phisteps {cells} -polar 0.9 -mosaic 0.05 -mosaic_dom 3"
    setup = nbragg.from_cli(f"{CELL} -distance 100 -detpixels 1024 {words}")
    frames = nbragg.Series.frames(setup, 17)
    tables = [
        expected_reflections(nbragg.build_scene(frame), d_min_A=4.0, least=1e-4, scan_start=0.0, frame=i)
        for i, frame in enumerate(frames)
    ]
    table = merged(tables)
    # those that cross in the middle have all but far tails on the frames
    z = table["xyz_px"][:, 2]
    middle = (z > 8) & (z < 9) & (table["lorentz"] < 5)
    whole = table[middle]
    assert len(whole) > 20
    np.testing.assert_allclose(whole["partiality"], 1.0, atol=0.01 if shape != "gauss" else 0.002)
    scene = nbragg.build_scene(setup)
    scale = {"square": 1.0, "round": 1.0, "gauss": (math.pi * GAUSS_WIDTH / 2) ** 1.5}[shape]
    expected = np.array([darwin(scene, row) for row in whole]) * scale
    np.testing.assert_allclose(whole["counts"], expected, rtol=0.01 if shape != "gauss" else 0.002)
    np.testing.assert_allclose(whole["full_counts"], expected, rtol=1e-6)
    assert (whole["first_frame"] <= z[middle]).all() and (whole["last_frame"] >= np.floor(z[middle])).all()


def test_crossing_is_on_the_sphere() -> None:
    """The angle puts the reflection onto the Ewald sphere, and s1 is incident + g there."""
    from nbragg.base.vectors import rot_axis

    scene = scene_of("-N 30 -gauss_xtal -osc 2 -phisteps 40 -phi 33")
    table = expected_reflections(scene)
    table = table[np.isfinite(table["partiality"])]
    reciprocal = np.linalg.inv(scene.placement.crystal.unit_cell.vectors).T
    spindle = scene.placement.panel.spindle
    for row in table[::17]:
        g = rot_axis(row["miller_index"] @ reciprocal, spindle, row["xyz_mm"][2])
        np.testing.assert_allclose(scene.panel.beam + g, row["s1"], atol=1e-12)
        later = rot_axis(row["miller_index"] @ reciprocal, spindle, row["xyz_mm"][2] + 1e-6)
        assert (np.linalg.norm(scene.panel.beam + later) < 1.0) == row["entering"]
    np.testing.assert_allclose(
        table["xyz_px"][:, 2], (np.degrees(table["xyz_mm"][:, 2]) - 33.0) / 2.0, atol=1e-9
    )


@pytest.mark.slow
def test_turned_through_twice() -> None:
    """In one wide image most reflections cross twice: leaving and entering are rows of their own."""
    table = expected_reflections(
        scene_of("-N 10 -gauss_xtal -osc 120 -phisteps 6000"), d_min_A=8.0, least=0.5
    )
    names, counts = np.unique(table["miller_index"], axis=0, return_counts=True)
    assert counts.max() == 2
    twice = names[counts == 2][0]
    assert set(table["entering"][(table["miller_index"] == twice).all(axis=1)].tolist()) == {False, True}
    np.testing.assert_allclose(np.nanmedian(table["partiality"]), 1.0, atol=0.01)


def test_still_partiality_is_of_the_fully_excited() -> None:
    """A crystal turned onto the reflection has partiality 1, and its counts are the full ones of before."""
    table = expected_reflections(scene_of(GAUSS), d_min_A=3.0, least=1e-2)
    row = table[np.argmin(np.abs(table["partiality"] - 0.5))]
    assert row["counts"] == pytest.approx(row["partiality"] * row["full_counts"])
    turned = expected_reflections(scene_of("-N 40 -gauss_xtal -osc 2 -phi -1"), d_min_A=3.0, least=1e-9)
    same = turned[(turned["miller_index"] == row["miller_index"]).all(axis=1)][0]
    on_it = scene_of(f"-N 40 -gauss_xtal -phi {math.degrees(same['xyz_mm'][2])!r}")
    table = expected_reflections(on_it, d_min_A=3.0)
    best = table[(table["miller_index"] == row["miller_index"]).all(axis=1)][0]
    assert best["partiality"] == pytest.approx(1.0, abs=1e-9)
    assert best["counts"] == pytest.approx(row["full_counts"], rel=0.01)


def test_displaced_atoms() -> None:
    """exp(-V) of each reflection, V = (2 pi sigma/d)^2."""
    words = "-N 40 -gauss_xtal"
    still = expected_reflections(scene_of(words), d_min_A=4.0)
    moving = expected_reflections(scene_of(f"{words} -llm_gamma 30 -llm_sigma 0.5"), d_min_A=4.0)
    assert len(still) == len(moving) > 5
    np.testing.assert_array_equal(still["miller_index"], moving["miller_index"])
    left = np.exp(-((2 * np.pi * 0.5 / still["d_A"]) ** 2))
    assert left.min() < 0.8
    for name in ("F_sqr", "counts", "full_counts"):
        np.testing.assert_allclose(moving[name], left * still[name], rtol=1e-3)


def test_bad_input() -> None:
    scene = scene_of("-N 10 -gauss_xtal -fudge 0")
    with pytest.raises(nbragg.InputError, match="fudge = 0"):
        expected_reflections(scene)
    with pytest.raises(nbragg.InputError, match="curved"):
        expected_reflections(scene_of("-N 10 -curved_det"))


def test_nothing_gives_empty_tables() -> None:
    table = expected_reflections(scene_of("-N 40 -gauss_xtal"), d_min_A=300.0)
    assert len(table) == 0
    assert len(merged([table])) == 0 and len(merged([])) == 0

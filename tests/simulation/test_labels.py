"""What an image is known to hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nbragg
import nbragg.io.recipe
from nbragg import InputError
from nbragg.simulation.label_images import bragg_and_background, spot_images
from nbragg.simulation.labels import LABEL_IMAGES, SPOT

TURNS = nbragg.random_orientations(2, seed=4)
FACTORS = nbragg.StructureFactors.constant(1e5)
CRYSTAL = nbragg.Crystal(
    cell=(35, 40, 45, 80, 95, 100), N=12, shape="gauss", orientation=TURNS[0], structure_factors=FACTORS
)
SETUP = nbragg.Setup(
    CRYSTAL,
    nbragg.Beam(wavelength_A=1.0, fluence=1e20),
    nbragg.Detector(fpixels=320, spixels=300, pixel_mm=0.2, distance_mm=100),
    nbragg.Sampling(oversample=3),
)
RESULT = nbragg.simulate(SETUP)


@pytest.mark.parametrize(
    "words",
    [
        "-cell 50 60 70 75 85 100 -misset 10 20 30",
        "-cell 50 60 70 75 85 100 -misset 10 20 30 -physics exact",
        "-cell 50 60 70 75 85 100 -misset 10 20 30 -physics exact -phi 20",
        "-cell 50 60 70 75 85 100 -misset 10 20 30 -physics exact -phi 20 -osc 1",
    ],
)
def test_matrices(words: str) -> None:
    """A = U B of the cell that is rendered; B of the standard setting; a still as it stands."""
    scene = nbragg.build_scene(nbragg.from_cli(f"{words} -default_F 100 -N 20 -detpixels 64"))
    labels = nbragg.render(scene).labels()
    U, B, A = labels["U"][0], labels["B"][0], labels["A"][0]
    assert np.abs(U @ B - A).max() < 1e-15
    assert np.abs(U @ U.T - np.eye(3)).max() < 1e-14 and np.linalg.det(U) > 0
    assert (np.tril(B, -1) == 0).all() and (np.diagonal(B) > 0).all()
    still = scene.placement.osc == 0
    axes = scene.crystal.orientations[0] if still else scene.placement.crystal.unit_cell.vectors * 1e-10
    assert np.abs(axes * 1e10 @ A - np.eye(3)).max() < 1e-13
    a, b, c, alpha, beta, gamma = labels["cell"][0]
    metric = np.linalg.inv(A.T @ A)
    cosines = np.cos(np.radians([alpha, beta, gamma]))
    expected = [a * a, b * b, c * c, *(cosines * [b * c, a * c, a * b])]
    found = [*np.diagonal(metric), metric[1, 2], metric[0, 2], metric[0, 1]]
    assert found == pytest.approx(expected, rel=1e-12)


def test_orientation_is_the_crystals() -> None:
    labels = RESULT.labels()
    assert np.abs(labels["U"][0] - TURNS[0]).max() < 1e-14
    assert labels["cell"][0] == pytest.approx(CRYSTAL.cell, rel=1e-13)
    assert labels["wavelength_A"] == pytest.approx(1.0) and labels["spectrum"].tolist() == [[1.0, 1.0]]
    assert labels["space_group"] == "" and labels["weight"].tolist() == [1.0]


def test_left_handed_axes() -> None:
    """A rotation still; what is turned over is in B."""
    matrix = np.diag([0.02, 0.025, -0.03]) @ TURNS[1]
    crystal = nbragg.Crystal(a_matrix=matrix, N=9, structure_factors=FACTORS)
    with pytest.warns(nbragg.NbraggWarning, match="left"):
        labels = nbragg.simulate(SETUP.replace(sample=crystal)).labels()
    U, B = labels["U"][0], labels["B"][0]
    assert np.linalg.det(U) == pytest.approx(1.0) and B[2, 2] < 0 < B[0, 0]
    assert np.abs(U @ B - matrix).max() < 1e-15


def test_spots_point_at_the_brightest_pixels() -> None:
    """Nearest whole numbers are pixels of the image, first 0; photons are those of the image."""
    spots = RESULT.spots()
    assert spots.dtype == SPOT and len(spots) > 30
    assert (np.diff(spots["photons"]) <= 0).all() and (spots["photons"] > 0).all()
    alone = [spot for spot in spots[:30] if _apart(spots, spot, 12.0)]
    assert len(alone) > 10
    for spot in alone:
        slow, fast = int(np.rint(spot["slow"])), int(np.rint(spot["fast"]))
        part = RESULT.image[slow - 5 : slow + 6, fast - 5 : fast + 6].astype(float)
        y, x = np.mgrid[slow - 5 : slow + 6, fast - 5 : fast + 6]
        assert part.sum() == pytest.approx(spot["photons"], rel=0.02)
        assert (part * x).sum() / part.sum() == pytest.approx(spot["fast"], abs=0.1)
        assert (part * y).sum() / part.sum() == pytest.approx(spot["slow"], abs=0.1)


def _apart(spots: NDArray[np.void], spot: Any, distance: float) -> bool:
    """Whether a spot is alone and inside the image."""
    away = np.hypot(spots["fast"] - spot["fast"], spots["slow"] - spot["slow"])
    near = away < distance
    bright = spots["photons"] > 1e-3 * spot["photons"]
    return int((near & bright).sum()) == 1 and 8 < spot["fast"] < 310 and 8 < spot["slow"] < 290


def test_options_of_spots() -> None:
    spots = RESULT.spots()
    some = RESULT.spots(d_min_A=3.0, least=0.2)
    assert 0 < len(some) < len(spots) and (some["partiality"] >= 0.2).all() and (some["d_A"] >= 3.0).all()
    assert (some == spots[(spots["partiality"] >= 0.2) & (spots["d_A"] >= 3.0)]).all()


def test_a_mapping_that_pickles() -> None:
    labels = RESULT.labels(list(LABEL_IMAGES), image=7, parameters={"flux": 2.0})
    again = pickle.loads(pickle.dumps(labels))
    assert list(again) == list(labels) and len(again) == len(labels.NAMES)
    assert (again.reflections == labels.reflections).all() and again["image"] == 7
    row = again.row()
    assert row["flux"] == 2.0 and row["crystals"] == 1 and row["spots"] == len(labels.reflections)
    assert row["spot_photons"] == pytest.approx(labels.reflections["photons"].sum())


def test_a_blank_has_nothing() -> None:
    blank = nbragg.simulate(SETUP.replace(sample=nbragg.Sample((CRYSTAL,), (0.0,))))
    labels = blank.labels(list(LABEL_IMAGES))
    assert labels["A"].shape == labels["U"].shape == (0, 3, 3) and labels["cell"].shape == (0, 6)
    assert len(labels.reflections) == len(labels["weight"]) == 0
    assert (labels["images"]["reflection"] == -1).all() and not labels["images"]["bragg"].any()
    assert labels.row()["crystals"] == 0 and labels.row()["spot_photons"] == 0.0


def test_a_crystal_of_weight_0_beside_another() -> None:
    """Crystals keep their numbers; the one that is not lit has no spots."""
    sample = nbragg.Sample((CRYSTAL, CRYSTAL.with_orientation(TURNS[1])), (0.0, 0.5))
    labels = nbragg.simulate(SETUP.replace(sample=sample)).labels()
    assert labels["weight"].tolist() == [0.0, 0.5] and len(labels["A"]) == 2
    assert set(labels.reflections["crystal"]) == {1}
    assert np.abs(labels["U"] - TURNS).max() < 1e-14


def test_one_label_for_a_lattice_of_many_domains() -> None:
    sizes = {"N_distribution": ("lognormal", 0.2), "N_domains": True, "mosaic_domains": 5}
    crystal = CRYSTAL.replace(mosaic_spread_deg=0.2, size_seed=3, **sizes)
    result = nbragg.simulate(SETUP.replace(sample=crystal))
    assert len(result.scene.crystals) == 5
    labels = result.labels()
    assert labels["A"].shape == (1, 3, 3) and labels["weight"] == pytest.approx([1.0], rel=1e-12)
    assert set(labels.reflections["crystal"]) == {0}


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="did you mean 'spots'"):
        RESULT.labels(["spot"])
    with pytest.raises(InputError, match="did you mean 'least'"):
        RESULT.labels(leest=0.1)
    with pytest.raises(InputError, match="part_of_peak"):
        RESULT.labels(["spots"], part_of_peak=2.0)


# ---- images ----

WATER = nbragg.Background("water", thickness_mm=1e-4)


@pytest.mark.parametrize("kind", ["nothing", "background", "water", "beam stop", "diffuse"])
def test_bragg_and_background_add_up(kind: str) -> None:
    """Against images of the same set-up with one of the two left out."""
    setup = SETUP
    if kind != "nothing":
        setup = SETUP.replace(backgrounds=(WATER,)) if kind != "water" else SETUP.replace(water_um=10)
    if kind == "beam stop":
        stop = nbragg.Beamstop(diameter_mm=15.0, distance_mm=50.0, transmission=0.3)
        setup = setup.replace(surroundings=nbragg.Surroundings(beamstops=stop))
    if kind == "diffuse":
        setup = setup.replace(diffuse=nbragg.LiquidMotions(gamma_A=30.0, sigma_A=0.4))
    result = nbragg.simulate(setup)
    bragg, background = bragg_and_background(result)
    assert bragg.dtype == background.dtype == np.float32 and bragg.shape == result.image.shape
    total = bragg.astype(float) + background
    assert np.abs(total - result.image).max() <= 2.0**-22 * result.image.max()
    alone = nbragg.simulate(setup.replace(bragg=False)).image if kind != "nothing" else 0 * result.image
    assert np.abs(background - alone).max() <= 1e-6 * max(float(alone.max()), 1e-30)
    assert (background > 0).any() == (kind != "nothing")
    assert bragg.max() > 0 and bragg.min() >= 0


def test_backgrounds_of_a_series_are_their_own() -> None:
    """What is kept of an image serves no other."""
    for thickness in (1e-4, 2e-4, 2e-4, 1e-4):
        setup = SETUP.replace(backgrounds=(WATER.replace(thickness_mm=thickness),))
        background = nbragg.simulate(setup).labels(["background"])["images"]["background"]
        alone = nbragg.simulate(setup.replace(bragg=False)).image
        assert np.abs(background - alone).max() <= 1e-6 * alone.max()


def test_pixels_of_spots_that_stand_apart() -> None:
    """Around each spot the pixels that are bright enough have its row, whatever else is in the image."""
    labels = RESULT.labels(["bragg", "spots", "reflection"])
    spots, images = labels.reflections, labels["images"]
    row, bragg = images["reflection"], images["bragg"]
    assert images["spots"].dtype == np.uint8 and row.dtype == np.int32
    assert ((row >= 0) == (images["spots"] == 1)).all() and (bragg[row >= 0] >= 1.0).all()
    seen = 0
    for number, spot in enumerate(spots[:30]):
        if _apart(spots, spot, 12.0):
            slow, fast = int(np.rint(spot["slow"])), int(np.rint(spot["fast"]))
            part = (slice(slow - 5, slow + 6), slice(fast - 5, fast + 6))
            expected = (bragg[part] >= 1.0) & (bragg[part] >= 0.05 * bragg[part].max())
            assert ((row[part] == number) == expected).all() and expected[5, 5]
            seen += 1
    assert seen > 10


def test_pixels_of_two_lattices_have_the_one_that_lights_them() -> None:
    """Against the images of each crystal alone."""
    both = nbragg.Sample((CRYSTAL, CRYSTAL.with_orientation(TURNS[1])))
    labels = nbragg.simulate(SETUP.replace(sample=both)).labels(["spots", "reflection"])
    row = labels["images"]["reflection"]
    alone = [nbragg.simulate(SETUP.replace(sample=crystal)).image for crystal in both.crystals]
    lit = row >= 0
    found = labels.reflections["crystal"][row[lit]]
    expected = (alone[1] > alone[0])[lit]
    clear = (np.maximum(*alone) > 3 * np.minimum(*alone))[lit]
    assert lit.sum() > 200 and set(found) == {0, 1}
    assert (found == expected)[clear].mean() > 0.98


def test_the_threshold() -> None:
    labels = RESULT.labels(["bragg", "spots"], least_photons=20.0, part_of_peak=0.0)
    bragg, spots = labels["images"]["bragg"], labels["images"]["spots"]
    assert (spots == (bragg >= 20.0)).all() and 0 < spots.sum() < RESULT.labels(["spots"])["images"][
        "spots"
    ].sum()


def test_several_panels() -> None:
    """Rows belong to the panel they are on, at the pixels of that panel."""
    panels = [
        nbragg.Panel(
            origin_mm=(100, 30, x), fast=(0, 0, 1), slow=(0, -1, 0), fpixels=160, spixels=300, pixel_mm=0.2
        )
        for x in (-32, 0)
    ]
    result = nbragg.simulate(SETUP.replace(detector=nbragg.Detector(panels=panels)))
    labels = result.labels(["bragg", "reflection"])
    row, spots = labels["images"]["reflection"], labels.reflections
    assert set(spots["panel"]) == {0, 1} and row.shape == result.image.shape
    for number in (0, 1):
        own = row[number][row[number] >= 0]
        assert len(own) > 100 and (spots["panel"][own] == number).all()
    far = spot_images(result, labels["images"]["bragg"], spots[:0])
    assert (far == -1).all()


def test_the_space_group_of_a_file(tmp_path: Path) -> None:
    """It is the list's, kept by recipes; equality and amplitudes do not depend on it."""
    path = tmp_path / "list.mtz"
    listed = nbragg.StructureFactors.from_reflections([1, 2], [0, 0], [3, 4], [5, 6])
    listed.save(path, cell=(35, 40, 45, 80, 95, 100))
    read = nbragg.StructureFactors.from_file(path)
    assert read.space_group == "P 1" and listed.space_group == ""
    tetragonal = nbragg.StructureFactors.from_file(
        path, spacegroup="P 43 21 2", cell=(40, 40, 45, 90, 90, 90)
    )
    assert tetragonal.space_group == "P 43 21 2"
    setup = SETUP.replace(structure_factors=tetragonal)
    assert nbragg.simulate(setup).labels()["space_group"] == "P 43 21 2"
    nbragg.io.recipe.dump(setup, tmp_path / "setup.json")
    again = nbragg.io.recipe.load(tmp_path / "setup.json")
    assert again == setup and again.crystal.structure_factors.space_group == "P 43 21 2"
    assert tetragonal.replace(space_group="") == tetragonal
    other = nbragg.Sample((CRYSTAL, CRYSTAL.replace(structure_factors=tetragonal)))
    assert nbragg.simulate(SETUP.replace(sample=other)).labels()["space_group"] == ""
    with pytest.raises(InputError, match="Hermann-Mauguin"):
        nbragg.StructureFactors(default_F=1.0, space_group=96)

"""Data sets rendered on demand: each image alone, against the series and the numbers it stands for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import nbragg
from nbragg.dataset.recipe import DatasetRecipe

CRYSTAL: dict[str, Any] = {
    "cell": [70, 70, 90, 90, 90, 90],
    "N": [9, 9, 7],
    "shape": "gauss",
    "structure_factors": {"default_F": 100},
}
SETUP: dict[str, Any] = {
    "crystal": CRYSTAL,
    "beam": {"wavelength_A": 1.3, "fluence": 1e20, "beamsize_mm": 0.01},
    "detector": {"fpixels": 40, "spixels": 32, "pixel_mm": 0.5, "distance_mm": 60},
    "sampling": {"oversample": 1},
    "backgrounds": [{"table": "water", "thickness_mm": 0.01}],
    "response": {"kind": "counting"},
}
ALL: dict[str, Any] = {
    "orientation": "uniform",
    "lattices": {"poisson": {"mu": 1.5}},
    "crystal.cell": {"norm": {"loc": 1, "scale": 0.01}, "as": "factor"},
    "crystal.N": {"lognorm": {"s": 0.2}, "as": "factor", "together": True},
    "detector.centre": {"norm": {"scale": 0.2}, "as": "offset"},
    "detector.distance_mm": {"uniform": {"loc": 55, "scale": 10}},
    "detector.rotx_deg": {"norm": {"scale": 0.3}},
    "beam.fluence": {"gamma": {"a": 4, "scale": 0.25}, "as": "factor"},
    "backgrounds.thickness_mm": {"uniform": {"loc": 0.005, "scale": 0.01}},
    "spectrum": {"sase": {"bandwidth": 0.002, "n": 8}},
    "structure_factors": {
        "choice": [{"default_F": 80, "name": "weak"}, {"default_F": 120}],
        "weights": [1, 3],
    },
}


def recipe(vary: Any = None, **more: Any) -> dict[str, Any]:
    return {"nanobragg_dataset": 1, "seed": 5, "images": 6, "setup": SETUP, "vary": vary, **more}


def same(one: Any, other: Any) -> bool:
    labels = all(
        np.array_equal(one.labels[name], other.labels[name]) if name != "images" else True
        for name in one.labels
    )
    return labels and one.image.dtype == other.image.dtype and np.array_equal(one.image, other.image)


def test_an_image_is_the_same_alone_in_any_order_and_elsewhere() -> None:
    data = nbragg.Dataset(recipe(ALL))
    forward = [data[i] for i in range(6)]
    other = pickle.loads(pickle.dumps(nbragg.Dataset(recipe(ALL), threads=1)))
    assert all(same(other[i], forward[i]) for i in reversed(range(6)))
    assert len({one.image.tobytes() for one in forward}) == 6
    assert same(nbragg.Dataset(recipe(ALL))[-1], forward[5])
    assert all(same(a, b) for a, b in zip(data, forward, strict=True))
    assert not same(nbragg.Dataset(recipe(ALL), seed=6)[0], forward[0])


def test_one_rule_more_changes_no_other_draw() -> None:
    many = nbragg.Dataset(recipe(ALL)).draw(3).parameters
    few = nbragg.Dataset(recipe({"crystal.cell": ALL["crystal.cell"]})).draw(3).parameters
    assert few == {name: many[name] for name in few}


def test_uniform_orientations_are_those_of_a_series() -> None:
    data = nbragg.Dataset(recipe({"orientation": "uniform"}))
    setup = data.recipe.setup
    for i, expected in enumerate(nbragg.Series.random(setup, 4, seed=5)):
        assert data.draw(i).setup == expected
    drawn = nbragg.simulate(data.draw(2).setup).detect(seed=5, image=2)
    np.testing.assert_array_equal(data[2].image, drawn.pixels)


def test_draws_follow_their_distributions() -> None:
    data = nbragg.Dataset(recipe(ALL))
    found = [data.draw(i).parameters for i in range(400)]

    def of(name: str) -> Any:
        return np.array([one[name] for one in found])

    for name, cdf in {
        "crystal.cell.a=b": scipy.stats.norm(70, 0.7).cdf,
        "crystal.cell.c": scipy.stats.norm(90, 0.9).cdf,
        "detector.distance_mm": scipy.stats.uniform(55, 10).cdf,
        "beam.fluence": scipy.stats.gamma(4, scale=0.25e20).cdf,
        "crystal.N[1]": scipy.stats.lognorm(0.2, scale=9).cdf,
    }.items():
        assert scipy.stats.kstest(of(name), cdf).pvalue > 1e-3, name
    assert 0.65 < np.mean(of("structure_factors") == "1") < 0.85
    assert abs(of("lattices").mean() - 1.5) < 0.2
    np.testing.assert_allclose(of("crystal.N[0]") / 9, of("crystal.N[2]") / 7, rtol=1e-12)
    assert abs(np.corrcoef(of("crystal.cell.a=b"), of("crystal.cell.c"))[0, 1]) < 0.2


def test_what_is_drawn_is_in_the_setup() -> None:
    drawn = nbragg.Dataset(recipe(ALL)).draw(1)
    setup, said = drawn.setup, drawn.parameters
    assert setup.detector.distance_mm == said["detector.distance_mm"]
    assert setup.beam.fluence == said["beam.fluence"]
    assert setup.sample.crystals[0].cell[1] == said["crystal.cell.a=b"]
    assert len(setup.sample) == max(said["lattices"], 1)
    assert len(setup.beam.spectrum) == 8
    assert (
        setup.sample.crystals[0].structure_factors.default_F
        == {"weak": 80, "1": 120}[said["structure_factors"]]
    )


def test_given_orientations_and_domains_of_their_own(tmp_path: Path) -> None:
    turns = np.array(nbragg.random_orientations(3, seed=9))
    np.save(tmp_path / "turns.npy", turns)
    crystal = CRYSTAL | {"mosaic_spread_deg": 0.5, "mosaic_domains": 4}
    given = recipe({"orientation": {"file": "turns.npy"}, "mosaic": "redrawn"}, images=3)
    given["setup"] = SETUP | {"crystal": crystal}
    data = nbragg.Dataset(DatasetRecipe.from_dict(given, folder=tmp_path))
    crystals = [data.draw(i).setup.sample.crystals[0] for i in range(3)]
    np.testing.assert_array_equal([crystal.orientation for crystal in crystals], turns)
    assert len({crystal.mosaic_seed for crystal in crystals}) == 3
    with pytest.raises(nbragg.InputError, match="there are 3"):
        data.make(3)
    with pytest.raises(nbragg.InputError, match="images: 4, but there are 3"):
        DatasetRecipe.from_dict(given | {"images": 4}, folder=tmp_path)


def test_a_recipe_goes_through_a_file(tmp_path: Path) -> None:
    """With all that its files hold: what it is written with can go away."""
    crystal = CRYSTAL | {"structure_factors": {"file": "list.hkl"}}
    rng = np.random.default_rng(3)
    (tmp_path / "list.hkl").write_text(
        "".join(
            f"{h} {k} {m} {rng.uniform(1, 200):.2f}\n"
            for h in range(-6, 7)
            for k in range(-6, 7)
            for m in range(-6, 7)
        )
    )
    turns = [np.asarray(turn).tolist() for turn in nbragg.random_orientations(6, seed=9)]
    vary = ALL | {"orientation": turns, "backgrounds": {"choice": [[], SETUP["backgrounds"]]}}
    del vary["backgrounds.thickness_mm"], vary["structure_factors"]
    given = recipe(vary, labels={"images": ["spots"]}, output={"format": "h5", "images_per_shard": 4})
    given["setup"] = SETUP | {"crystal": crystal}
    one = DatasetRecipe.from_dict(given, folder=tmp_path)
    one.save(tmp_path / "recipe.json")
    (tmp_path / "list.hkl").unlink()
    other = DatasetRecipe.load(tmp_path / "recipe.json")
    assert other.digest == one.digest
    assert (other.format, other.images_per_shard, other.label_images) == ("h5", 4, ("spots",))
    assert same(nbragg.Dataset(other)[2], nbragg.Dataset(one)[2])


def test_the_digest_tells_images_apart_and_not_their_files() -> None:
    digest = DatasetRecipe.from_dict(recipe(ALL)).digest
    assert (
        DatasetRecipe.from_dict(recipe(ALL, output={"format": "h5"}, name="x") | {"images": 9}).digest
        == digest
    )
    for changed in (
        recipe(ALL) | {"seed": 4},
        recipe(ALL | {"lattices": 1}),
        recipe(ALL, labels={"images": ["spots"]}),
        recipe(ALL, render={"precision": "mixed"}),
    ):
        assert DatasetRecipe.from_dict(changed).digest != digest


def test_an_image_that_cannot_be_made_does_not_stop_the_others() -> None:
    vary = {"beam.fluence": {"choice": [1e20, 1e70], "weights": [2, 1]}}
    data = nbragg.Dataset(recipe(vary))
    found = list(data.made(range(12)))
    failed = [one for one in found if hasattr(one, "error")]
    assert 0 < len(failed) < 12
    assert all("RenderError" in one.error and one.parameters == {"beam.fluence": 1e70} for one in failed)
    with pytest.raises(nbragg.RenderError):
        data.make(failed[0].image)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (recipe({"orientatoin": "uniform"}), "did you mean 'orientation'"),
        (recipe({"crystal.cel.a": 3}), "did you mean 'crystal.cell.a'"),
        (recipe({"distance": 3}), "did you mean 'detector.distance_mm'"),
        (recipe({"crystal.N": {"norm": {"loc": 10, "scale": 50}}}), "at least 1"),
        (recipe({"crystal.mosaic_seed": 3}), "is no parameter"),
        (recipe({"lattices": {"norm": {"loc": 1, "scale": 5}}}), "a number from 0 to 1000"),
        (recipe({"orientation": "random"}), "uniform or fixed was expected"),
        (recipe({"orientation": [[[1, 0, 0], [0, 1, 0], [0, 0, 2]]]}), "matrix 0 is no rotation"),
        (recipe({"spectrum": {"sase": {"bandwith": 0.1}}}), "did you mean 'bandwidth'"),
        (
            recipe({"structure_factors": {"choice": [{"default_G": 1}]}}),
            "choice 0: structure_factors: unknown key",
        ),
        (recipe({"response.gain": {"choice": ["a"]}}), "a choice among numbers"),
        (recipe({"scene.fluence": 3}), "belongs to the Scene"),
        (recipe() | {"images": 0}, "images must be a whole number from 1"),
        (recipe() | {"images": -4}, "images must be a whole number from 1"),
        (recipe() | {"seeds": 4}, "did you mean 'seed'"),
        (recipe() | {"seed": 1.5}, "seed must be a whole number"),
        (recipe() | {"nanobragg_dataset": 2}, "reads version 1"),
        ({"setup": SETUP}, "no recipe of a data set"),
        ({"nanobragg_dataset": 1}, "setup: the key is missing"),
        (recipe(labels={"images": ["spot"]}), "did you mean 'spots'"),
        (recipe(output={"format": "nxm"}), "format must be one of"),
        (recipe(output={"images_per_shard": 0}), "images_per_shard"),
        (recipe() | {"setup": SETUP | {"detector": {"fpixels": -3}}}, "setup: detector: fpixels"),
        (recipe() | {"setup": SETUP | {"response": {"preset": "eigr"}}}, "did you mean 'eiger'"),
    ],
)
def test_bad_recipes_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(nbragg.InputError) as error:
        nbragg.Dataset(given)
    assert said in str(error.value)


def test_what_is_no_recipe() -> None:
    with pytest.raises(nbragg.InputError, match="a recipe, or the name of its file, was expected, not 3"):
        nbragg.Dataset(3)


def test_missing_files_are_named(tmp_path: Path) -> None:
    for vary in (
        {"orientation": {"file": "no.npy"}},
        {"structure_factors": {"choice": ["no.mtz"]}},
        {"spectrum": {"file": "no.h5"}},
    ):
        with pytest.raises(nbragg.FileError, match="no\\."):
            DatasetRecipe.from_dict(recipe(vary), folder=tmp_path)

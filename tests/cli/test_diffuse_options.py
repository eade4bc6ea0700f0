"""Diffuse scattering on command lines and in recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import LiquidMotions, ThermalDiffuse
from nbragg.base.errors import InputError, NbraggWarning
from nbragg.cli.nanobragg import main

LINE = "-cell 40 50 60 -default_F 9 -N 5 -detpixels 8 -pixel 4"
QUIET = "-nonoise -nopgm -noprogress"
BOTH = "-llm_gamma 30 -llm_sigma 0.4"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (BOTH, LiquidMotions(30, 0.4)),
        (
            "-llm_gamma 30 20 1e1 -llm_sigma 0.4 0.3 0.2 -llm_order 3",
            LiquidMotions((30, 20, 10), (0.4, 0.3, 0.2), order=3),
        ),
        (f"{BOTH} -llm_tail", LiquidMotions(30, 0.4, tail=True)),
        ("-llm_stencil 0 -llm_sigma 0.4 -llm_gamma 30 20 10", LiquidMotions((30, 20, 10), 0.4, stencil=0)),
    ],
)  # fmt: skip
def test_there_and_back(words: str, expected: LiquidMotions) -> None:
    setup = nbragg.from_cli(f"{LINE} {words}")
    assert setup.crystal.diffuse == expected
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


def test_sampling_there_and_back() -> None:
    setup = nbragg.from_cli(f"{LINE} {BOTH} -diffuse_oversample 3 -diffuse_mosaic -no_bragg")
    sampling = setup.sampling
    assert (sampling.diffuse_oversample, sampling.diffuse_mosaic, sampling.bragg) == (3, True, False)
    again = nbragg.to_cli(setup)
    assert "-no_bragg" in again and nbragg.from_cli(again) == setup


def test_only_diffuse() -> None:
    setup = nbragg.from_cli(f"{LINE} {BOTH} -only_diffuse")
    assert setup == nbragg.from_cli(f"{LINE} {BOTH} -no_bragg")
    with pytest.warns(NbraggWarning, match="have no effect with -only_diffuse"):
        assert nbragg.from_cli(f"{LINE} {BOTH} -only_diffuse -water 5 -background water") == setup
    with pytest.raises(InputError, match="-only_diffuse leaves nothing to render"):
        nbragg.from_cli(f"{LINE} -only_diffuse")


def test_the_image(folder: Path) -> None:
    """Spots with diffuse scattering less what -no_bragg leaves are weaker spots; sigma 0 changes nothing."""
    images = {}
    for name, words in {
        "both": BOTH,
        "diffuse": f"{BOTH} -no_bragg",
        "still": "-llm_gamma 30 -llm_sigma 0",
        "": "",
    }.items():
        assert main(f"{LINE} {words} {QUIET} -oversample 1 -fluence 1e24 -floatfile {name}.bin".split()) == 0
        images[name] = np.fromfile(f"{name}.bin", np.float32).astype(float)
    assert np.array_equal(images["still"], images[""])
    assert images["diffuse"].min() > 0
    left = (images["both"] - images["diffuse"])[images[""] > 0.01 * images[""].max()]
    assert 0 < left.sum() < images[""].sum()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-llm_gamma 30", "-llm_gamma without -llm_sigma"),
        ("-llm_order 2", "-llm_order without -llm_gamma"),
        ("-llm_gamma 0 -llm_sigma 1", "-llm_gamma must be a finite number above 0 and at most 1e+09"),
        ("-llm_gamma 30 -llm_sigma -0.1", "-llm_sigma must be a finite number at least 0 and at most 1000"),
        ("-llm_gamma 30 20 -llm_sigma 1", "-llm_gamma takes one number or three"),
        ("-llm_gamma x -llm_sigma 1", "is not a number"),
        (f"{BOTH} -llm_order 0", "-llm_order must be a whole number from 1 to 32"),
        (f"{BOTH} -llm_stencil -1", "-llm_stencil must be a whole number from 0"),
        (f"{BOTH} -llm_gama 3", "did you mean -llm_gamma"),
        (f"{BOTH} -diffuse_oversample 0", "diffuse_oversample must be a whole number"),
    ],
)
def test_bad_input(words: str, message: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(f"{LINE} {QUIET} {words}".split()) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("diffuse", "message"),
    [
        (ThermalDiffuse(300, 2500, 1200, 90), "thermal diffuse scattering cannot be said"),
        (LiquidMotions(np.eye(3), 1), "given by a matrix"),
        (LiquidMotions(30, 1, space_group="P 21 21 21"), "a space group, axes or llm_in_F"),
    ],
)
def test_what_only_a_recipe_says(diffuse: Any, message: str, tmp_path: Path) -> None:
    setup = nbragg.from_cli(LINE).replace(diffuse=diffuse, bragg=False)
    with pytest.raises(InputError, match=message):
        nbragg.to_cli(setup)
    for name in ("setup.json", "setup.yaml"):
        nbragg.dump(setup, tmp_path / name)
        assert nbragg.load(tmp_path / name) == setup


def test_recipe_of_everything(tmp_path: Path) -> None:
    turn = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    gamma = [[40, 8, 3], [8, 25, -5], [3, -5, 30]]
    motions = LiquidMotions(gamma, (0.3, 0.4, 0.5), order=4, stencil=2, laue=False,
                            space_group=19, axes=turn, llm_in_F=True)  # fmt: skip
    setup = nbragg.from_cli(LINE).replace(diffuse=motions, diffuse_mosaic=True, diffuse_oversample=2)
    nbragg.dump(setup, tmp_path / "a.json")
    assert nbragg.load(tmp_path / "a.json") == setup
    text = (tmp_path / "a.json").read_text().replace("gamma_A", "gama_A")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"crystal\.diffuse: unknown key 'gama_A'; did you mean 'gamma_A'"):
        nbragg.load(tmp_path / "a.json")

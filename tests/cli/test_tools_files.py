"""``nbragg hkl``, ``orient``, ``info`` and ``noise``."""

from __future__ import annotations

import json
import math
from pathlib import Path

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import _engine
from nbragg.cli import tools
from nbragg.io.files import text_tables
from nbragg.io.images import smv
from nbragg.io.reflections import dump as fdump
from nbragg.io.reflections import text as hkl_text
from nbragg.io.reflections.formats import read_structure_factors

CELL = (60.0, 70.0, 80.0, 75.0, 85.0, 95.0)
CELL_WORDS = [str(x) for x in CELL]


def write_list(folder: Path, limit: int = 4) -> Path:
    h, k, m = (np.mgrid[-limit : limit + 1, -limit : limit + 1, -limit : limit + 1]).reshape(3, -1)
    F = 10.0 + np.random.default_rng(3).random(len(h)) * 100.0
    path = folder / "list.hkl"
    path.write_text("".join(f"{a} {b} {c} {x!r}\n" for a, b, c, x in zip(h, k, m, F.tolist(), strict=True)))
    return path


# ---- hkl ----


def test_text_to_every_format_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_list(folder)
    expected = hkl_text.read(source)
    assert tools.main(["hkl", str(source), "again.txt"]) == 0
    for a, b in zip(hkl_text.read("again.txt"), expected, strict=True):
        assert np.array_equal(a, b)

    assert tools.main(["hkl", str(source), "out.mtz", "--cell", *CELL_WORDS]) == 0
    mtz = read_structure_factors("out.mtz")
    assert mtz.cell == pytest.approx(CELL) and mtz.spacegroup == "P 1"
    assert np.array_equal(np.stack([mtz.h, mtz.k, mtz.l]), np.stack(expected[:3]))
    np.testing.assert_allclose(mtz.F, expected[3], rtol=1e-7)  # float32 in the file

    assert tools.main(["hkl", str(source), "out.dump"]) == 0
    values, origin = fdump.read("out.dump")
    assert origin == (-4, -4, -4) and np.array_equal(values.ravel(), expected[3])
    assert "wrote out.dump: 729 reflections" in capsys.readouterr().out


def test_cut_by_resolution(folder: Path) -> None:
    source = write_list(folder)
    words = [
        "hkl",
        str(source),
        "cut.hkl",
        "--cell",
        *CELL_WORDS,
        "--dmin",
        "20",
        "--dmax",
        "40",
        "--scale",
        "2",
    ]
    assert tools.main(words) == 0
    h, k, m, F = hkl_text.read("cut.hkl")
    import gemmi

    d = np.array(
        [gemmi.UnitCell(*CELL).calculate_d([int(a), int(b), int(c)]) for a, b, c in zip(h, k, m, strict=True)]
    )
    assert d.min() >= 20 and d.max() <= 40
    whole = dict(
        zip(
            zip(*(x.tolist() for x in hkl_text.read(source)[:3]), strict=True),
            hkl_text.read(source)[3],
            strict=True,
        )
    )
    assert all(
        2 * whole[key] == x
        for key, x in zip(zip(h.tolist(), k.tolist(), m.tolist(), strict=True), F, strict=True)
    )


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ([], "no output file"),
        (["out.xyz"], "suffix"),
        (["out"], "suffix"),
        (["out.mtz"], "--cell"),
        (["out.hkl", "--dmin", "3"], "--cell"),
        (["out.hkl", "--cell", *CELL_WORDS, "--dmin", "9", "--dmax", "8"], "no reflection is left"),
        (["out.hkl", "--dmin", "0"], "above zero"),
        (["out.hkl", "--column", "FP"], "column"),
        (["nowhere/out.hkl"], "folder"),
        (["out.hkl", "--cell", "10", "10", "10", "30", "30", "120", "--dmin", "3"], "cannot form a cell"),
    ],
)
def test_bad_hkl(words: list[str], about: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_list(folder)
    assert tools.main(["hkl", str(source), *words]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and about in err
    assert [p.name for p in folder.iterdir()] == ["list.hkl"]


# ---- orient ----


def scene(words: str) -> nbragg.Scene:
    made = g.scene_of(f"-default_F 1 -detpixels 8 -N 2 -lambda 1.2 {words}")
    assert isinstance(made, nbragg.Scene)
    return made


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_matrix_is_that_of_the_angles(physics: str, folder: Path) -> None:
    """nanobragg -mat with the file makes the crystal of -cell -misset, for any cell."""
    words = [
        "--cell",
        *CELL_WORDS,
        "--misset",
        "-10",
        "20",
        "30",
        "--wavelength",
        "1.2",
        "--physics",
        physics,
    ]
    assert tools.main(["orient", "a.mat", *words]) == 0
    a = scene(f"-mat a.mat -physics {physics}")
    b = scene(f"-cell {' '.join(CELL_WORDS)} -misset -10 20 30 -physics {physics}")
    if physics == "exact":
        np.testing.assert_allclose(a.crystal.orientations, b.crystal.orientations, rtol=1e-12, atol=1e-22)
    else:  # canonical 5.2: -mat alone does not impose the volume of -cell
        np.testing.assert_allclose(
            a.placement.crystal.unit_cell.reciprocal_vectors,
            b.placement.crystal.unit_cell.reciprocal_vectors,
            rtol=1e-12,
            atol=1e-14,
        )


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_random_matrix_is_that_of_the_seed(
    physics: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--cell", "50", "--seed", "7", "--wavelength", "1.2", "--physics", physics]
    assert tools.main(["orient", "a.mat", *words]) == 0
    assert "seed        7" in capsys.readouterr().out
    a = scene("-mat a.mat")
    b = scene(f"-cell 50 -misset random -misset_seed 7 -physics {physics}")
    np.testing.assert_allclose(a.crystal.orientations, b.crystal.orientations, rtol=1e-12, atol=1e-22)


def test_random_without_a_seed_names_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["orient", "a.mat", "--cell", "50", "60", "70", "--random"]) == 0
    seed = capsys.readouterr().out.split("seed")[1].split()[0]
    first = text_tables.read_matrix("a.mat")
    assert tools.main(["orient", "a.mat", "--cell", "50", "60", "70", "--seed", seed]) == 0
    assert np.array_equal(text_tables.read_matrix("a.mat"), first)


def test_energy(folder: Path) -> None:
    assert tools.main(["orient", "a.mat", "--cell", "50", "--energy", "12398.42"]) == 0
    np.testing.assert_allclose(text_tables.read_matrix("a.mat"), np.eye(3) / 50, atol=1e-17)


@pytest.mark.parametrize(
    "words",
    [
        ["--cell", "50", "60"],
        ["--cell", "50", "60", "70", "10", "10", "100"],
        ["--cell", "-50"],
        ["--cell", "nan"],
        ["--cell", "50", "--misset", "1", "2"],
        ["--cell", "50", "--misset", "1", "2", "3", "--seed", "1"],
        ["--cell", "50", "--misset", "1", "2", "3", "--random"],
        ["--cell", "50", "--wavelength", "1", "--energy", "12000"],
        ["--cell", "50", "--wavelength", "0"],
    ],
)
def test_bad_orient(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["orient", "a.mat", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(folder.iterdir())


# ---- info ----

TINY = "-default_F 10 -cell 50 60 70 -misset 1 2 3 -N 3 -detpixels_x 6 -detpixels_y 5 -seed 4 -noprogress"


def test_info_of_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert g.run_cli(TINY.split()) == 0
    capsys.readouterr()
    image = np.fromfile("floatimage.bin", "<f4").reshape(5, 6)
    assert tools.main(["info", "floatimage.bin", "--shape", "5", "6", "--json"]) == 0
    pixels = json.loads(capsys.readouterr().out)["pixels"]
    assert (pixels["slow"], pixels["fast"], pixels["type"]) == (5, 6, "float32")
    assert pixels["max"] == float(image.max()) and pixels["sum"] == pytest.approx(
        float(image.sum(dtype=float))
    )
    assert image[pixels["max_slow"], pixels["max_fast"]] == image.max()

    assert tools.main(["info", "intimage.img", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["wavelength_A"] == 1 and facts["distance_mm"] == 100 and facts["header"]["SIZE1"] == "6"
    assert tools.main(["info", "intimage.img"]) == 0
    assert "DISTANCE" in capsys.readouterr().out

    result = nbragg.render(g.scene_of(TINY))
    result.save("image.tif")
    assert tools.main(["info", "image.tif", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spixels"] == 5


def test_info_of_a_raw_image_without_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A square one is taken as such, with a warning; others need --shape."""
    np.zeros((4, 4), "<f4").tofile("a.bin")
    np.zeros((4, 5), "<f4").tofile("b.bin")
    assert tools.main(["info", "a.bin"]) == 0
    assert "4 x 4" in capsys.readouterr().err
    assert tools.main(["info", "b.bin"]) == 2
    assert "--shape" in capsys.readouterr().err
    np.full((4, 4), np.nan, "<f4").tofile("c.bin")
    assert tools.main(["info", "c.bin", "--shape", "4", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixels"]["not_finite"] == 16


def test_info_of_the_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["info", "--build", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["nanobragg"] == nbragg.__version__
    assert facts["instruction_sets"] == dict(_engine.isa_levels())
    assert facts["instruction_set_in_use"] in facts["instruction_sets"]
    assert facts["threads"] >= 1 and "-O" in facts["compiler_flags"]
    assert facts["packages"]["numpy"] == np.__version__
    assert tools.main(["info", "--build"]) == 0
    assert "openmp" in capsys.readouterr().out


# ---- noise ----


def test_noise_is_that_of_the_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the float image alone: the file nanobragg wrote with the same seed, byte for byte."""
    assert g.run_cli(TINY.split()) == 0
    expected = Path("noiseimage.img").read_bytes()
    words = ["noise", "floatimage.bin", "--seed", "4", "-o"]
    assert tools.main([*words, "like.img", "--like", "intimage.img"]) == 0
    assert tools.main([*words, "line.img", "--", *TINY.split()]) == 0
    assert Path("like.img").read_bytes() == expected == Path("line.img").read_bytes()
    assert tools.main([*words, "n.npy", "--shape", "5", "6"]) == 0
    assert np.array_equal(np.load("n.npy"), smv.read("noiseimage.img").pixels)
    assert tools.main([*words[:-3], "--seed", "5", "-o", "other.npy", "--shape", "5", "6"]) == 0
    assert not np.array_equal(np.load("other.npy"), np.load("n.npy"))


def test_noise_of_a_region_and_scale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.full((30, 40), 7.0, "<f4").tofile("a.bin")
    words = [
        "noise",
        "a.bin",
        "--shape",
        "30",
        "40",
        "--seed",
        "1",
        "--adc",
        "5",
        "--roi",
        "3",
        "35",
        "2",
        "28",
    ]
    assert tools.main([*words, "--scale", "100", "-o", "a.npy"]) == 0
    counts = np.load("a.npy")
    inside = counts[2:29, 3:36]
    assert counts.sum() == inside.sum()
    assert inside.mean() == pytest.approx(705, abs=5 * math.sqrt(700 / inside.size))


def test_noise_of_a_file_with_a_scale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Photons are (pixels - offset)/scale where the file says so; the file of the counts says so too."""
    setup = nbragg.Setup(
        nbragg.Crystal(
            structure_factors=nbragg.StructureFactors.constant(1), cell=(100, 100, 100, 90, 90, 90), N=5
        ),
        nbragg.Beam(),
        nbragg.Detector(fpixels=64, spixels=64),
    )
    scene = nbragg.build_scene(setup)
    nbragg.io.save_image("a.npy", np.full((64, 64), 20.0))
    nbragg.io.save_image("a.tif", np.full((64, 64), 20.0), scene=scene, scale=0.5, offset=3)
    words = ["--seed", "1", "--adc", "5", "-o"]
    assert tools.main(["noise", "a.npy", *words, "n.npy"]) == 0
    assert tools.main(["noise", "a.tif", *words, "n.tif"]) == 0
    counts = nbragg.io.read_image("n.tif")
    assert np.array_equal(counts.image, np.load("n.npy"))
    assert np.array_equal(counts.photons, np.load("n.npy") - 5.0)


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["-o", "n.img"], "header"),
        (["-o", "n.xyz"], "suffix"),
        (["-o", "n.npy", "--roi", "0", "10", "0", "3"], "roi"),
        (["-o", "n.npy", "--adc", "inf"], "finite"),
        (["-o", "n.npy", "--scale", "-1"], "at least 0"),
        (["-o", "n.npy", "--shape", "4", "5"], "bytes"),
        (["-o", "n.img", "--like", "missing.img"], "missing.img"),
        (["-o", "n.img", "--", "-cell", "50", "-default_F", "1", "-detpixels", "5"], "64 bytes"),
    ],
)
def test_bad_noise(words: list[str], about: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.ones((4, 4), "<f4").tofile("a.bin")
    assert tools.main(["noise", "a.bin", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1 and about in lines[0], lines
    assert [p.name for p in folder.iterdir()] == ["a.bin"]

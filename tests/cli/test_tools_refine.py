"""``nbragg refine``: files in every direction, what it prints, pixels left out, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from parts import two_panels

import nbragg
from nbragg.cli import tools
from nbragg.cli.tools.uncertain import direction, writer
from nbragg.refinement import joint

WORDS = (
    "-cell 70 80 90 -default_F 100 -N 6 -distance 100 -detpixels 48 -pixel 1.3 -fluence 2e27 "
    "-misset 10 20 30 -oversample 2 -physics exact"
)
LINE = WORDS.split()
FREE = ["crystal.orientation", "detector.distance_mm", "beam.fluence"]


def _moved(setup: nbragg.Setup, **changes: float) -> nbragg.Setup:
    names = {"turn": "crystal.rotation_deg[0]", "distance": "detector.distance_mm"}
    return (
        nbragg.Simulator(setup)
        .moved([names[name] for name in changes], list(changes.values()), fold=True)
        .setup
    )


TRUTH = nbragg.from_cli(LINE)
START = _moved(TRUTH, turn=0.1, distance=100.2)


def _errors(err: str) -> list[str]:
    """Without warnings: the small images are coarse."""
    return [line for line in err.splitlines() if ": warning:" not in line]


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    light = nbragg.Simulator(TRUTH).render().image
    return np.asarray(nbragg.Noise().draw(light + 0.5, seed=1), np.int32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> Path:
    monkeypatch.chdir(tmp_path)
    nbragg.dump(START, "start.json")
    nbragg.io.save_image("image.cbf", data, scene=nbragg.build_scene(TRUTH), scale=1.0)
    return tmp_path


def refine(*words: str) -> int:
    return tools.main(["refine", *words, "--threads", "1"])


def test_recipe_to_every_file(folder: Path, data: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--out", "r.json", "--out-expt", "r.expt"]
    words = ["image.cbf", "--start", "start.json", "--free", *FREE, "--sigma", "detector.distance_mm=0.5%"]
    assert refine(*words, *outputs) == 0
    out = capsys.readouterr().out.splitlines()
    found = nbragg.refine(
        data.astype(float), START, FREE, restraints={"detector.distance_mm": 0.005 * 100.2}, threads=1
    )
    assert found.converged and abs(found.values[0][3] - 100) < 4 * found.sigma[0][3]
    assert out[0] == "1 image of 48 x 48 pixels, 5 parameters"
    assert sum(line.startswith("stage ") for line in out) == len(found.history)
    first = f"stage 1 of {found.history[0].stages}, step 1: -ln L {found.history[0].cost:.3f}"
    assert out[1].startswith(first)
    (row,) = [line.split() for line in out if line.startswith("detector.distance_mm")]
    start, value, change, sigma = (float(x) for x in row[2:])
    assert start == pytest.approx(100.2) and change == pytest.approx(value - start, abs=2e-4)
    assert value == pytest.approx(found.values[0][3], abs=2e-3)
    assert sigma == pytest.approx(found.sigma[0][3], rel=0.06)
    assert any(line.startswith("background.constant") for line in out)
    assert f"chi_square  {found.chi_square:.4f}" in out
    assert out[-2:] == ["wrote r.json", "wrote r.expt"]
    # the recipe is what was found, and so is the file of experiments, up to what only a set-up says
    again = nbragg.load("r.json")
    assert isinstance(again, nbragg.Setup)
    np.testing.assert_allclose(again.detector.distance_mm, found.setup.detector.distance_mm, rtol=1e-9)
    experiments = nbragg.read_experiments("r.expt")
    assert len(experiments) == 1
    fields = {"N": (6, 6, 6), "oversample": 2, "fluence": again.beam.fluence}
    from_expt = experiments.setup(TRUTH.crystal.structure_factors, **fields)
    images = [nbragg.Simulator(one).render().image for one in (again, from_expt)]
    np.testing.assert_allclose(images[1], images[0], rtol=2e-3, atol=1e-4 * images[0].max())


def test_start_from_experiments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest comes from a command line, or from a recipe; both end where the recipe's start does."""
    nbragg.simulate(START).save_truth("start.expt", frame="laboratory")
    words = ["--free", *FREE[:1], "crystal.cell", "beam.fluence"]
    assert refine("image.cbf", "--start", "start.json", *words, "--out", "a.json") == 0
    line = ["-default_F", "100", "-N", "6", "-fluence", "3e27", "-oversample", "2", "-physics", "exact"]
    assert (
        tools.main(["refine", "image.cbf", "--start", "start.expt", *words, "--out", "b.json", "--", *line])
        == 0
    )
    assert (
        refine("image.cbf", "--start", "start.expt", *words, "--recipe", "start.json", "--out", "c.json") == 0
    )
    assert tools.main(["refine", "image.cbf", *words, "--out", "d.json", "--", *LINE]) == 0
    images = []
    for name in "abcd":
        setup = nbragg.load(f"{name}.json")
        assert isinstance(setup, nbragg.Setup)
        images.append(nbragg.Simulator(setup).render().image)
    for other in images[1:3]:
        assert np.abs(other - images[0]).max() < 0.02 * images[0].max()
    capsys.readouterr()
    assert refine("image.cbf", "--start", "start.expt", *words) == 2
    assert "neither structure factors" in capsys.readouterr().err
    assert refine("image.cbf", "image.cbf", "--start", "start.expt", *words, "--recipe", "start.json") == 2
    assert "holds 1 shots, and 2 images" in capsys.readouterr().err


def test_images_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = TRUTH.replace(fpixels=32, spixels=32, pixel_mm=2.0)
    starts, images = [], []
    for k in range(6):
        setup = small.replace(misset_deg=(10.0 + 7 * k, 20.0, 30.0))
        light = nbragg.Simulator(setup).render().image
        np.save(f"i{k}.npy", nbragg.Noise().draw(light + 0.5, seed=k))
        nbragg.dump(_moved(setup, turn=0.05, distance=100.2), f"s{k}.json")
        images.append(f"i{k}.npy")
        starts.append(f"s{k}.json")
    shared = ["--shared", "detector.distance_mm", "--stages", "none", "--background", "0.5"]
    words = ["--free", "crystal.orientation", "detector.distance_mm", *shared]
    assert refine(*images[:2], "--start", *starts[:2], *words, "--out", "r.json", "--out-expt", "r.expt") == 0
    out = capsys.readouterr().out
    assert "2 images of 32 x 32 pixels, 4 parameters each" in out and "shared by 2 images" in out
    assert out.count("detector.distance_mm") == 1 and out.count("crystal.rotation_deg[0]") == 2
    assert "image 2, i1.npy: chi square" in out
    setups = [nbragg.load(f"r_{k:04d}.json") for k in (1, 2)]
    distances = [one.detector.distance_mm for one in setups if isinstance(one, nbragg.Setup)]
    assert distances[0] == distances[1] == pytest.approx(100, abs=0.2)
    experiments = nbragg.read_experiments("r.expt")
    assert len(experiments.shots) == 2
    names = [one["images"] for one in json.loads(Path("r.expt").read_text())["imageset"]]
    assert names == [["i0.npy"], ["i1.npy"]]
    # many are summed up
    assert refine(*images, "--start", *starts, *words) == 0
    out = capsys.readouterr().out
    assert "of 6 images" in out and "median sigma" in out and out.count("crystal.rotation_deg[0]") == 1
    alone = ["--free", "crystal.orientation", "--stages", "none"]  # and over processes, each by itself
    Path("i1.npy").unlink()
    np.save("i1.npy", np.where(np.arange(32) == 3, -1, np.ones((32, 32))))
    assert refine(*images[:3], "--start", *starts[:3], *alone, "--workers", "2", "--overwrite") in (0, 1)
    out = capsys.readouterr().out
    assert out.count("stage 1 of 1, step") == 3 and "image 3, i2.npy, stage 1 of 1" in out
    assert "image 2, i1.npy: pixels left out: 32 below 0" in out
    assert refine(*images[:2], "--start", starts[0], *alone, "--workers", "0") == 2
    assert "workers must be" in capsys.readouterr().err
    assert (
        refine(*images[:2], "--start", starts[0], *alone, "--workers", "2", "--scheduler", "tcp://x:1") == 2
    )
    assert "not allowed with argument --workers" in capsys.readouterr().err


def test_pixels_left_out(folder: Path, data: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN, negative and flagged pixels, and a mask: what is found is that of a mask given in Python."""
    bad = data.astype(float)
    bad[3, 4], bad[5, 6:8] = np.nan, -7
    np.save("bad.npy", bad)
    flagged = data.copy()
    flagged[3, 4], flagged[5, 6:8] = -1, -2
    nbragg.io.save_image("flagged.cbf", flagged, scene=nbragg.build_scene(TRUTH), scale=1.0)
    mask = np.ones(data.shape, np.uint8)
    mask[:10] = 0
    np.save("mask.npy", mask)
    words = ["--start", "start.json", "--free", "beam.fluence", "--out", "r.json", "--overwrite"]
    used = np.isfinite(bad) & (bad >= 0)
    for name, said in (("bad.npy", "1 not numbers, 2 below 0"), ("flagged.cbf", "3 flagged in the file")):
        assert refine(name, *words) == 0
        assert f"{name}: pixels left out: {said}" in capsys.readouterr().out
        _same("r.json", nbragg.refine(data, START, "beam.fluence", mask=used, threads=1))
    assert refine("bad.npy", *words, "--mask", "mask.npy") == 0
    _same("r.json", nbragg.refine(data, START, "beam.fluence", mask=used & (mask != 0), threads=1))


def test_masks_of_the_file_itself(folder: Path, data: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    scene = nbragg.build_scene(TRUTH)
    nbragg.io.save_image("n.nxs", data, scene=scene, scale=1.0, dtype="uint16")
    with h5py.File("n.nxs", "r+") as file:
        group = next(g for name, g in file["entry/instrument"].items() if name.startswith("detector"))
        group["pixel_mask"] = np.where(np.arange(48) < 5, 2, 1 << 20) * np.ones((48, 1), np.uint32)
    assert refine("n.nxs", "--start", "start.json", "--free", "beam.fluence", "--out", "r.json") == 0
    assert "n.nxs: pixels left out: 240 flagged in the file\n" in capsys.readouterr().out
    used = np.arange(48) * np.ones((48, 1)) >= 5
    _same("r.json", nbragg.refine(data, START, "beam.fluence", mask=used, threads=1))


def test_panels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images and masks of several panels, and a picture of them."""
    pytest.importorskip("matplotlib")
    setup = TRUTH.replace(detector=two_panels())
    nbragg.dump(setup, "s.json")
    photons = nbragg.Noise().draw(nbragg.Simulator(setup).render().image + 0.5, seed=1)
    np.save("p.npy", photons)
    mask = np.ones(photons.shape, np.uint8)
    mask[1, :9] = 0
    np.save("mask.npy", mask)
    words = ["p.npy", "--start", "s.json", "--free", "beam.fluence", "--mask", "mask.npy", "--plot", "p.png"]
    assert refine(*words, "--out", "r.json", "--out-expt", "r.expt") == 0
    out = capsys.readouterr().out
    assert "1 image of 2 x 30 x 20 pixels" in out and out.endswith("wrote p.png\n")
    assert Path("p.png").read_bytes()[:4] == b"\x89PNG"
    _same("r.json", nbragg.refine(photons, setup, "beam.fluence", mask=mask, threads=1))
    assert len(json.loads(Path("r.expt").read_text())["detector"][0]["panels"]) == 2


def test_images_of_a_scan(folder: Path) -> None:
    """The crystal stands still while the spindle turns; its images are named by a template."""
    setup = TRUTH.replace(osc_deg=0.5, phisteps=2, fpixels=24, spixels=24, pixel_mm=2.6)
    series = nbragg.Series.frames(setup, 2)
    for k, one in enumerate(series, 1):
        np.save(f"f_{k:02d}.npy", nbragg.Noise().draw(nbragg.Simulator(one).render().image + 0.5, seed=k))
    series.save_truth("scan.expt")
    line = ["-default_F", "100", "-N", "6", "-fluence", "2e27", "-phisteps", "2", "-physics", "exact"]
    words = ["--free", "crystal.orientation", "--shared", "crystal.orientation", "--stages", "none"]
    images = ["f_01.npy", "f_02.npy"]
    whole = ["refine", *images, "--start", "scan.expt", *words, "--out-expt", "r.expt", "--", *line]
    assert tools.main([*whole, "-oversample", "2"]) == 0
    expt = json.loads(Path("r.expt").read_text())
    assert expt["imageset"][0]["template"] == "f_##.npy" and expt["scan"][0]["image_range"] == [1, 2]
    axes = [
        json.loads(Path(name).read_text())["crystal"][0]["real_space_a"] for name in ("scan.expt", "r.expt")
    ]
    np.testing.assert_allclose(axes[1], axes[0], atol=0.2)
    assert tools.main([*whole[:2], *images, *whole[3:]]) == 2  # more images than the scan has


def _same(path: str, found: nbragg.Refinement) -> None:
    setup = nbragg.load(path)
    assert isinstance(setup, nbragg.Setup)
    assert setup.beam.fluence == pytest.approx(found.setup.beam.fluence, rel=1e-9)


def test_units_of_the_data(folder: Path, data: np.ndarray) -> None:
    """An offset and a gain; what a file says of them itself counts, unless a gain is given."""
    counts = 3.0 * data + 40.0
    np.save("counts.npy", counts)
    words = ["--start", "start.json", "--free", "beam.fluence", "--out", "r.json", "--overwrite"]
    assert refine("counts.npy", *words, "--offset", "40", "--noise", "gain=3", "readout=2") == 0
    noise = nbragg.Noise(gain=3, readout=2)
    _same("r.json", nbragg.refine(3.0 * data, START, "beam.fluence", noise=noise, threads=1))
    nbragg.io.save_image(
        "c.tif", data, scene=nbragg.build_scene(TRUTH), scale=3.0, offset=40.0, dtype="uint32"
    )
    assert refine("c.tif", *words) == 0
    _same("r.json", nbragg.refine(data, START, "beam.fluence", threads=1))
    assert refine("c.tif", *words, "--noise", "gain=3", "readout=2") == 0
    _same("r.json", nbragg.refine(3.0 * data, START, "beam.fluence", noise=noise, threads=1))


def test_amplitudes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command does what the function does; what was seen is in the MTZ file and in the recipe."""
    cell = (20.0, 24.0, 28.0, 90.0, 90.0, 90.0)
    factors = nbragg.datasets.wilson(cell, 3.5, carbon_atoms=500)
    setup = TRUTH.replace(cell=cell, structure_factors=factors, fpixels=20, spixels=20, pixel_mm=3.0)
    setup = setup.replace(fluence=1e29, N=(8, 8, 8))
    nbragg.dump(setup, "s.json")
    photons = nbragg.Noise().draw(nbragg.Simulator(setup).render().image + 0.5, seed=1)
    np.save("i.npy", photons)
    words = ["--start", "s.json", "--free", "crystal.orientation", "--background", "0.5", "--stages", "none"]
    more = ["--amplitudes", "P1", "--amplitude-prior", "20%", "--out-mtz", "a.mtz", "--out", "r.json"]
    assert refine("i.npy", *words, *more) == 0
    out = capsys.readouterr().out
    found = nbragg.refine(
        photons, setup, "crystal.orientation", background=0.5, stages="none", threads=1,
        amplitudes="P1", amplitude_prior=0.2,
    ).amplitudes  # fmt: skip
    assert found is not None
    seen = np.isfinite(found.sigma)
    assert f"amplitudes  {int(seen.sum())} of {len(found.F)} reflections seen, P1" in out
    written = nbragg.StructureFactors.from_file("a.mtz")
    recipe = nbragg.load("r.json")
    assert isinstance(recipe, nbragg.Setup)
    for index, F in list(zip(found.hkl[seen], found.F[seen], strict=True))[:20]:
        for one in (written, recipe.crystal.structure_factors):
            assert one.values is not None
            place = tuple(index - one.origin)
            assert one.values[place] == pytest.approx(F, rel=1e-5)


def test_not_converged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1, the reason, and the best values all the same."""
    monkeypatch.setattr(joint, "_STEPS", 1)
    assert refine("image.cbf", "--start", "start.json", "--free", *FREE, "--out", "r.json") == 1
    out, err = capsys.readouterr()
    assert _errors(err) == ["nbragg refine: not converged: 1 steps did not end it"]
    assert "chi_square" in out and isinstance(nbragg.load("r.json"), nbragg.Setup)


def test_undetermined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--free", "crystal.cell", "beam.wavelength_A", "--stages", "none"]
    assert refine("image.cbf", "--start", "start.json", *words) in (0, 1)
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("undetermined, left as it was")]
    assert "beam.wavelength_A" in line and "crystal.cell.a" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--free"),
        (["--free", "beam.fluence"], "no start"),
        (["--free", "crystal.N", "--start", "no.json"], "no.json"),
        (["--free", "crystal.orientatio"], "did you mean 'crystal.orientation'"),
        (["--free", "beam.fluence", "--noise", "readot=3"], "did you mean 'readout'"),
        (["--free", "beam.fluence", "--noise", "readout"], "NAME=VALUE"),
        (["--free", "beam.fluence", "--noise", "readout=x"], '"x" is not a number'),
        (["--free", "beam.fluence", "--noise", "kind=gauss"], "gaussian"),
        (["--free", "beam.fluence", "--background", "plain"], "did you mean 'plane'"),
        (["--free", "beam.fluence", "--background", "-1"], "background"),
        (["--free", "beam.fluence", "--sigma", "beam.fluenc=1%"], "beam.fluence"),
        (["--free", "crystal.orientation", "--sigma", "crystal.orientation=1%"], "is 0"),
        (["--free", "beam.fluence", "--sigma", "crystal.cell=1%"], "not free"),
        (["--free", "beam.fluence", "--bounds", "beam.fluence=1"], "LOW:HIGH"),
        (["--free", "beam.fluence", "--bounds", "beam.fluence=2:1"], "no range"),
        (["--free", "beam.fluence", "--shared", "crystal.N"], "not free"),
        (["--free", "beam.fluence", "--stages", "one"], "invalid choice"),
        (["--free", "beam.fluence", "--out", "r.txt"], ".json"),
        (["--free", "beam.fluence", "--out-expt", "r.json"], ".expt"),
        (["--free", "beam.fluence", "--plot", "r.pdf"], ".png"),
        (["--free", "beam.fluence", "--out", "nowhere/r.json"], "does not exist"),
        (["--free", "beam.fluence", "--out", "start.json"], "--overwrite"),
        (["--free", "beam.fluence", "--mask", "small.npy"], "(3, 3)"),
        (["--free", "beam.fluence", "--out-mtz", "a.mtz"], "--amplitudes"),
        (["--free", "beam.fluence", "--amplitudes", "P1", "--amplitude-prior", "20"], "20% say"),
        (["--free", "beam.fluence", "--amplitudes", "P1", "--out-mtz", "a.hkl"], ".mtz"),
        (["--free", "beam.fluence", "--shraed", "x"], "did you mean --shared"),
    ],
)
def test_bad_input(words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("small.npy", np.ones((3, 3)))
    start = [] if said == "no start" or "--start" in words else ["--start", "start.json"]
    before = sorted(folder.iterdir())
    assert refine("image.cbf", *start, *words) == 2
    (err,) = _errors(capsys.readouterr().err)
    assert said in err
    assert sorted(folder.iterdir()) == before


def test_bad_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("small.npy", np.ones((3, 3)))
    free = ["--free", "beam.fluence"]
    for words, said in (
        (["small.npy", "--start", "start.json"], "(48, 48)"),
        (["missing.cbf", "--start", "start.json"], "missing.cbf"),
        (["image.cbf", "--start", "start.json", "start.json"], "2 starts and 1 images"),
        (["image.cbf", "--start", "start.json", "--recipe", "start.json"], "give one of them"),
    ):
        assert refine(*words, *free) == 2
        assert said in capsys.readouterr().err


def test_numbers_as_text() -> None:
    assert [writer(12.3456, 0.0123)(x) for x in (12.3456, 0.0123, 0)] == ["12.346", "0.012", "0.000"]
    assert [writer(1.23456e27, 2.5e24)(x) for x in (1.23456e27, 2.5e24)] == ["1.2346e+27", "2.5e+24"]
    assert writer(150.0, 30.0)(150.0) == "150" and writer(1.0, float("inf"))(2.5) == "2.5"
    assert "do not depend" in direction({"a": 1.0})
    assert direction({"a": 0.6, "b": -0.8}).startswith("b (+0.80) with a (-0.60)")

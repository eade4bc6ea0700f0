"""Images of ``nbragg refine``: frames of stacks, and the experiment that each belongs to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import two_panels

import nbragg
from nbragg.base.errors import InputError
from nbragg.cli import tools
from nbragg.cli.tools.common import read_image
from nbragg.cli.tools.refine import _named
from nbragg.cli.tools.refine_images import Source, pair, sources_from
from nbragg.cli.tools.refine_input import Start
from nbragg.cli.tools.refine_report import step_line
from nbragg.io.geometry.experiment import Experiment, ImageOf, Scan
from nbragg.io.images import save_image, stored_shape
from nbragg.refinement.joint import Line
from nbragg.simulation.experiments import Experiments
from nbragg.simulation.truth import scenes_of, write_truth

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: what no file of experiments says, and what it does
WORDS = "-default_F 100 -N 6 -fluence 2e27 -oversample 2 -physics exact"
PLACE = "-cell 70 80 90 -distance 100 -detpixels 24 -pixel 2.6 -misset 10 20 30"
SETUP = nbragg.from_cli([*PLACE.split(), *WORDS.split()])
SHAPE = (24, 24)


def _turned(k: int) -> nbragg.Setup:
    return SETUP.replace(misset_deg=(10.0 + 7 * k, 20.0, 30.0))


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Three crystals, as photons (n, slow, fast), and files of them."""
    monkeypatch.chdir(tmp_path)
    light = [nbragg.Simulator(_turned(k)).render().image for k in range(3)]
    photons = np.array([nbragg.Noise().draw(one + 0.5, seed=k) for k, one in enumerate(light)], np.int32)
    scene = nbragg.build_scene(SETUP)
    np.save("s.npy", photons)
    save_image("s.nxs", photons, scene=scene, scale=1.0, dtype="int32")
    save_image("s.tif", photons.astype(np.uint32), scene=scene, scale=1.0, dtype="uint32")
    save_image("one.cbf", photons[0], scene=scene, scale=1.0)
    nbragg.dump(SETUP, "start.json")
    return photons


def _sources(*images: str, frame: int | None = None, shape: tuple[int, ...] = SHAPE) -> list[Source]:
    given = argparse.Namespace(images=list(images), frame=frame, dataset=None, shape=None)
    return sources_from(given, shape)


# ---- frames ----


def test_every_frame_is_an_image(stack: np.ndarray) -> None:
    for name in ("s.npy", "s.nxs", "s.tif"):
        assert stored_shape(name) == stack.shape
        assert _sources(name) == [Source(name, k, k + 1) for k in range(3)]
        for source in _sources(name):
            wanted = argparse.Namespace(image=name, frame=source.frame, dataset=None, shape=None)
            assert np.array_equal(read_image(wanted, nbragg.build_scene(SETUP)).image, stack[source.frame])
    assert stored_shape("one.cbf") is None
    np.save("a:3", stack[0])  # np.save adds .npy
    Path("a:3.npy").rename("a:3")
    found = _sources("one.cbf", "s.npy:3", "s.nxs:2-3", "one.cbf:1", "a:3")
    names = ["one.cbf", "s.npy:3", "s.nxs:2", "s.nxs:3", "one.cbf", "a:3"]
    assert [source.name for source in found] == names
    assert [source.number for source in found] == [1, 2, 3, 4, 5, 6]
    assert [source.name for source in _sources("s.npy", "s.tif", frame=1)] == ["s.npy:2", "s.tif:2"]


def test_panels_are_no_frames(tmp_path: Path) -> None:
    setup = SETUP.replace(detector=two_panels())
    scene = nbragg.build_scene(setup)
    pixels = np.arange(3 * 2 * 30 * 20, dtype=np.int32).reshape(3, 2, 30, 20)
    np.save(tmp_path / "p.npy", pixels[0])
    results = [nbragg.Simulator(setup).render()] * 3
    nbragg.save_series(results, tmp_path / "p.nxs")
    assert [s.frame for s in _sources(str(tmp_path / "p.npy"), shape=scene.image_shape)] == [None]
    assert stored_shape(tmp_path / "p.nxs") == (3, 2, 30, 20)
    assert [s.frame for s in _sources(str(tmp_path / "p.nxs"), shape=scene.image_shape)] == [0, 1, 2]
    wanted = argparse.Namespace(image=str(tmp_path / "p.nxs"), frame=2, dataset=None, shape=None)
    assert np.array_equal(read_image(wanted, scene).image, results[0].image)


def test_panels_of_several_sizes(tmp_path: Path) -> None:
    """Images are lists of pixels, and a stack of them has two axes."""
    panels = tuple(
        nbragg.Panel(
            origin_mm=(100, 22 * i - 21, -15), fast=(0, 1, 0), slow=(0, 0, 1),
            fpixels=20, spixels=30 - 5 * i, pixel_mm=1.0,
        )
        for i in range(2)
    )  # fmt: skip
    scene = nbragg.build_scene(SETUP.replace(detector=nbragg.Detector(panels=panels)))
    pixels = np.arange(2 * 1100).reshape(2, 1100)
    for name, stored, frames in (("one.npy", pixels[0], [None]), ("two.npy", pixels, [0, 1])):
        np.save(tmp_path / name, stored)
        sources = _sources(str(tmp_path / name), shape=scene.image_shape)
        assert [source.frame for source in sources] == frames
        for k, source in enumerate(sources):
            wanted = argparse.Namespace(image=source.path, frame=source.frame, dataset=None, shape=None)
            assert np.array_equal(read_image(wanted, scene).image, pixels[k])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("s.npy:4", "s.npy has the frames 1 to 3"),
        ("s.npy:0", "s.npy has the frames 1 to 3"),
        ("s.nxs:2-4", "s.nxs has the frames 1 to 3"),
        ("s.nxs:3-2", "s.nxs has the frames 1 to 3"),
        ("one.cbf:2", "one.cbf has one frame"),
        ("s.npy:all", "s.npy:3 or s.npy:1-20"),
        ("s.npy:", "s.npy:3 or s.npy:1-20"),
        ("no.npy:2", "no.npy does not exist"),
    ],
)
def test_frames_that_are_not_there(
    word: str, said: str, stack: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.main(["refine", word, "--start", "start.json", "--free", "beam.fluence"]) == 2
    assert said in capsys.readouterr().err
    with pytest.raises(InputError, match="both choose frames"):
        _sources("s.npy:2", frame=1)


def test_a_stack_is_refined_as_its_images(stack: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(3):
        nbragg.dump(_turned(k), f"s{k}.json")
    words = ["--free", "beam.fluence", "--stages", "none", "--threads", "1", "--out", "r.json"]
    starts = ["--start", "s1.json", "s2.json"]
    assert tools.main(["refine", "s.nxs:2-3", *starts, *words, "--out-expt", "r.expt"]) == 0
    out = capsys.readouterr().out
    assert "image 1, s.nxs:2: chi square" in out and "image 2, s.nxs:3: chi square" in out
    found = nbragg.refine(list(stack[1:]), [_turned(1), _turned(2)], "beam.fluence", stages="none", threads=1)
    for k in (1, 2):
        setup = nbragg.load(f"r_{k:04d}.json")
        assert isinstance(setup, nbragg.Setup)
        assert setup.beam.fluence == pytest.approx(found.setups[k - 1].beam.fluence, rel=1e-9)
    images = [one.images for one in nbragg.read_experiments("r.expt")]
    assert images == [(ImageOf("s.nxs", 1),), (ImageOf("s.nxs", 2),)]
    assert tools.main(["refine", "s.nxs", *starts, *words, "--overwrite"]) == 2
    assert "2 starts and 3 images" in capsys.readouterr().err


# ---- experiments ----


def _experiments(*images: tuple[ImageOf, ...], scan: Scan | None = None) -> Any:
    """As many as there are images, with no more than pairing needs."""
    geometry = nbragg.read_geometry(Path(__file__).parents[1] / "data" / "hierarchical.expt")
    return Experiments(
        [Experiment(geometry=geometry, scan=scan, shot=(k, 0, 0, 0, k), images=one)
         for k, one in enumerate(images)]
    )  # fmt: skip


def _given(*names: tuple[str, int | None]) -> list[Source]:
    return [Source(path, frame, k) for k, (path, frame) in enumerate(names, 1)]


def test_experiments_belong_to_frames() -> None:
    experiments = _experiments(*((ImageOf("/x/c.nxs", k),) for k in (3, 0, 2)))
    sources = _given(*(("/x/c.nxs", k) for k in range(4)))
    found = pair("/x/i.expt", experiments, sources)
    assert found.places == [(1, 0), (2, 0), (0, 0)]
    assert found.sources == [sources[0], sources[2], sources[3]]
    assert found.said == ["/x/c.nxs:2: left out, /x/i.expt has no experiment of it"]
    found = pair("/x/i.expt", experiments, sources[2:3])
    assert found.places == [(2, 0)] and found.said == ["/x/i.expt: 2 of 3 images are not given"]
    # a file of one image; and those of a folder that is not there any more
    one = _experiments((ImageOf("a/2.cbf"),), (ImageOf("a/1.cbf"),))
    assert pair("i.expt", one, _given(("a/1.cbf", None), ("a/2.cbf", None))).places == [(1, 0), (0, 0)]
    moved = pair("i.expt", one, _given(("b/1.cbf", None)))
    assert moved.places == [(1, 0)] and "another folder, a: paired by their names" in moved.said[0]
    relative = _experiments((ImageOf("1.cbf"),))
    assert pair("a/i.expt", relative, _given(("a/1.cbf", None))).said == []


def test_images_of_scans() -> None:
    scan = Scan(0.0, 0.5, 4, first=3)
    files = tuple(ImageOf(f"/x/f_{k:04d}.cbf") for k in range(3, 7))
    found = pair("i.expt", _experiments(files, scan=scan), _given(("/x/f_0006.cbf", None)))
    assert found.places == [(0, 3)]
    unnamed = _experiments((), scan=scan)
    assert pair("i.expt", unnamed, _given(("a.cbf", None), ("b.cbf", None))).places == [(0, 0), (0, 1)]


@pytest.mark.parametrize(
    ("images", "given", "said"),
    [
        ([(), ()], [("a.cbf", None)], "2 shots, and 1 images are given"),
        ([("z.nxs", 0), ("z.nxs", 1)], [("a.nxs", 0)], "2 shots and names other files, and 1 images"),
        ([("a.nxs", 0), ("a.nxs", 0)], [("a.nxs", 0)], "several experiments of a.nxs, frame 1"),
        ([("a.nxs", None)], [("a.nxs", 0), ("a.nxs", 1)], "which frame of a.nxs"),
        ([("a.nxs", 3)], [("a.nxs", 0)], "no experiment of any image that is given: it has a.nxs:4"),
        ([("b/a.nxs", 0), ("c/a.nxs", 0)], [("d/a.nxs", 0)], "several are called alike: a.nxs"),
    ],
)
def test_what_cannot_be_told(images: list[Any], given: list[Any], said: str) -> None:
    experiments = _experiments(*((ImageOf(*one),) if one else () for one in images))
    with pytest.raises(InputError, match=said):
        pair("i.expt", experiments, _given(*given))


def test_other_names_in_order() -> None:
    found = pair("i.expt", _experiments((ImageOf("z.nxs", 0),)), _given(("a.cbf", None)))
    assert found.places == [(0, 0)]
    assert found.said == ["i.expt names other files: paired with the images in order"]


def _as_dials(frames: list[int]) -> None:
    """Experiments of some frames, in the form in which DIALS writes stills of a stack."""
    setups = [_turned(k) for k in frames]
    write_truth(["i.expt"], SETUP, scenes_of(setups), images=[("s.nxs", k) for k in frames], d_min_A=1e6)
    content = json.loads(Path("i.expt").read_text())
    content["goniometer"] = [{"rotation_axis": [1.0, 0.0, 0.0]}]
    content["scan"] = [{"image_range": [k + 1, k + 1], "oscillation": [0.0, 0.0]} for k in frames]
    template = str(Path("s.nxs").resolve())
    content["imageset"] = [{"template": template, "single_file_indices": [0, 1, 2]} for _ in frames]
    for k, experiment in enumerate(content["experiment"]):
        experiment |= {"scan": k, "goniometer": 0, "imageset": k}
    Path("i.expt").write_text(json.dumps(content))


def test_from_experiments_of_some_frames(stack: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    """Each frame is refined from its own, in whatever order they are; what has none is left out."""
    _as_dials([2, 0])
    line = ["--", *WORDS.split()]
    words = ["--free", "crystal.orientation", "beam.fluence", "--stages", "none", "--threads", "1"]
    assert tools.main(["refine", "s.nxs", "--start", "i.expt", *words, "--out", "r.json", *line]) == 0
    out = capsys.readouterr().out
    assert "s.nxs:2: left out, i.expt has no experiment of it\n2 images of 24 x 24 pixels" in out
    (chi_square,) = [float(row.split()[1]) for row in out.splitlines() if row.startswith("chi_square")]
    assert chi_square == pytest.approx(1, abs=0.15)
    assert "wrote r_0001.json\nwrote r_0003.json\n" in out
    wrong = pair("i.expt", nbragg.read_experiments("i.expt"), _given(("s.nxs", 0), ("s.nxs", 2)))
    assert wrong.places == [(1, 0), (0, 0)]


def test_frames_of_a_scan_are_written(stack: np.ndarray) -> None:
    setup = SETUP.replace(osc_deg=0.5, phisteps=1)
    named = _named(_given(("s.nxs", 1), ("s.nxs", 2)), setup)
    series = nbragg.Series.frames(setup, 2)
    write_truth(["scan.expt"], setup, scenes_of(series), d_min_A=1e6, **named)
    (experiment,) = nbragg.read_experiments("scan.expt")
    assert experiment.scan is not None and experiment.scan.first == 2
    assert experiment.images == (ImageOf("s.nxs", 1), ImageOf("s.nxs", 2))
    assert _named(_given(("s.nxs", 0), ("s.nxs", 2)), setup) == {}


def test_options_are_of_every_detector(stack: np.ndarray) -> None:
    """DIALS may give each still a detector of its own; a sensor of the command line is that of all."""
    _as_dials([0, 1])
    content = json.loads(Path("i.expt").read_text())
    content["detector"] = [content["detector"][0], json.loads(json.dumps(content["detector"][0]))]
    content["detector"][1]["panels"][0]["origin"][2] -= 1.0
    content["experiment"][1]["detector"] = 1
    Path("i.expt").write_text(json.dumps(content))
    words = [*WORDS.split(), "-detector_thick", "300", "-detector_abs", "200"]
    start = Start(argparse.Namespace(start=["i.expt"], recipe=None, command_line=words))
    _, setups, _ = start.of(_given(("s.nxs", 0), ("s.nxs", 1)))
    panels = [setup.detector.panels[0] for setup in setups if setup.detector.panels]
    assert [panel.thickness_um for panel in panels] == [300, 300]
    assert panels[1].origin_mm[2] == pytest.approx(panels[0].origin_mm[2] - 1)


def test_turns_of_amplitudes_are_said() -> None:
    line = Line(2, 4, 3, 1.5, 0.25, 0.0)
    ending = "step 3: -ln L 1.500, the next step would gain 0.25"
    assert step_line(line, ["image 1, a", "image 3, b"]) == f"stage 2 of 4, {ending}"
    assert step_line(line._replace(image=2), ["image 1, a", "image 3, b"]) == (
        f"image 3, b, stage 2 of 4, {ending}"
    )
    assert step_line(line._replace(turn=7), ["image 1, a"]) == f"turn 7 of amplitudes, {ending}"

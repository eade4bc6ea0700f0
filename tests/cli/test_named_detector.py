"""``-detector NAME``, ``nbragg detectors``, and pictures of what such detectors see."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import Detector
from nbragg.cli import tools
from nbragg.cli.tools.common import recorded_scene
from nbragg.io.images import read_image, save_image
from nbragg.model.detector_library import LIBRARY

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CRYSTAL = "-cell 70 80 90 -default_F 100 -N 8 -gauss_xtal -misset 10 20 30 "
QUIET = "-oversample 1 -nonoise -nopgm -noprogress "


def detector_of(words: str) -> Detector:
    return nbragg.from_cli(CRYSTAL + words).detector


@pytest.mark.parametrize("name", list(LIBRARY))
def test_the_option_is_the_record(name: str) -> None:
    assert detector_of(f"-detector {name}") == Detector.named(name)
    assert detector_of(f"-distance 250 -detector {name.upper()}") == Detector.named(name, 250)


def test_options_win_in_any_order() -> None:
    changed = Detector.named("pilatus_2m", 300, Xbeam_mm=100.0, thickness_um=450.0, attenuation_um=300.0)
    for order in (1, -1):
        words = [
            "-distance 300",
            "-Xbeam 100",
            "-detector pilatus_2m",
            "-detector_thick 450",
            "-detector_abs 300",
        ]
        assert detector_of(" ".join(words[::order])) == changed
    xds = detector_of("-detector eiger_4m -xds -ORGX 1000.5 -twotheta 12 -curved_det")
    assert xds == Detector.named("eiger_4m", convention="xds", ORGX=1000.5, twotheta_deg=12.0, curved=True)
    assert detector_of(
        "-detector agipd_1m -xds -distance 80 -detector_thick 300 -thicksteps 3"
    ) == Detector.named("agipd_1m", 80, convention="xds", thickness_um=300.0, thicksteps=3)


@pytest.mark.parametrize(
    "words",
    [
        "-detector agipd_1m -distance 151.3",
        "-detector cspad -xds -detector_thick 300 -detector_abs 500",
        "-detector pilatus_6m",
        "-detector pilatus_2m -xds -distance 200 -ORGX 3 -detector_rotx 2",
        "-detector eiger2_4m -Xbeam 55 -detector_thick 0",
        "-detector rayonix_mx340_2x2 -adxv -twotheta 10",
        "-detector jungfrau_4m -beam_vector 1 0.01 0",
        "-detector agipd_1m -detector_material CdTe -detector_thick 750 -detector_front Al,thick=0.5",
        "-detector eiger2_4m -detector_material CdTe -detector_thick 750 -detector_front Al,thick=0.5",
    ],
)
def test_there_and_back(words: str) -> None:
    setup = nbragg.from_cli(CRYSTAL + words)
    line = nbragg.to_cli(setup)
    assert f"-detector {setup.detector.model}" in line and nbragg.from_cli(line) == setup


def test_what_a_line_cannot_say() -> None:
    setup = nbragg.from_cli(CRYSTAL + "-detector agipd_1m")
    for detector in (
        setup.detector.moved("q0", shift_mm=(0, 0, 1)),
        Detector.named("pilatus_2m", mask=np.ones((1679, 1475))),
        Detector(model="mine"),
        Detector.named("eiger_4m", material=None),
        Detector.named("epix100", material=None),
    ):
        with pytest.raises(nbragg.InputError, match="unlike that of the library"):
            nbragg.to_cli(setup.replace(detector=detector))


def test_a_mask_masks_more(folder: Path) -> None:
    bad = np.ones((1679, 1475), np.uint8)
    bad[100:120, 30:50] = 0
    save_image("bad.npy", bad)
    setup = nbragg.from_cli(CRYSTAL + "-detector pilatus_2m -mask bad.npy")
    plain = Detector.named("pilatus_2m")
    assert setup.detector.mask is not None and plain.mask is not None
    assert np.array_equal(setup.detector.mask, plain.mask & bad)
    assert setup.detector.replace(mask=None) == plain.replace(mask=None)
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup
    save_image("small.npy", bad[:9])
    assert g.run_cli(f"{CRYSTAL}{QUIET}-detector pilatus_2m -mask small.npy".split()) == 2


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("-detector pilatus6", "did you mean 'pilatus_6m'? (nbragg detectors lists them)"),
        ("-detector agipd", "did you mean 'agipd_1m'"),
        ("-detector", "-detector needs NAME"),
        ("-detector pilatus_2m -pixel 0.1", "-pixel: pilatus_2m has pixels of its own"),
        ("-detpixels 100 -detsize_f 3 -detector pilatus_2m", "-detpixels, -detsize_f: pilatus_2m"),
        ("-detector agipd_1m -Xbeam 3", "-Xbeam: agipd_1m has 128 panels"),
        ("-detector agipd_1m -curved_det -detector_rotx 3", "-curved_det, -detector_rotx: agipd_1m"),
        ("-detector agipd_1m -roi 1 2 3 4", "-roi is for one panel; agipd_1m has 128"),
        ("-detector pilatus_2m -geometry a.geom", "-detector: -geometry a.geom says where the detector is"),
        ("-detector pilatus_2m -img a.img", "-img and -detector both"),
    ],
)
def test_refused(words: str, about: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    geom = "clen = 0.1\nphoton_energy = 9500\nadu_per_eV = 1\nres = 10000\np/fs = x\np/ss = y\np/min_fs = 0\n"
    geom += "p/max_fs = 9\np/min_ss = 0\np/max_ss = 4\np/corner_x = -5\np/corner_y = -2\n"
    Path("a.geom").write_text(geom)
    nbragg.simulate(nbragg.from_cli(CRYSTAL + "-detpixels 9 -oversample 1")).save("a.img")
    before = sorted(folder.iterdir())
    assert g.run_cli(f"{CRYSTAL}{QUIET}-polar 0 {words}".split()) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(error) == 1 and about in error[0], error
    assert sorted(folder.iterdir()) == before


# ---- what is written ----


def test_a_pilatus_in_a_cbf(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The header is a Pilatus', the beam in the middle, the gaps dark, the recipe whole."""
    words = (
        f"{CRYSTAL}{QUIET}-detector pilatus_2m -distance 180 -water 1 -fluence 1e24 -save a.cbf -save a.png"
    )
    assert g.run_cli(words.split()) == 0
    out = capsys.readouterr().out
    assert "model               pilatus_2m" in out and "197365 pixels skipped after pilatus_2m" in out
    found = read_image("a.cbf")
    assert found.image.shape == (1679, 1475) and found.metadata["model"] == "pilatus_2m"
    assert "PILATUS of 1475 x 1679" in found.metadata["header"] and "PILATUS_1.2" in Path("a.cbf").read_text(
        "latin-1"
    )
    assert found.metadata["beam_center_px"] == pytest.approx((737.5, 839.5))
    assert not found.image[195:212].any() and not found.image[:, 487:494].any() and found.image[0].any()
    scene = recorded_scene(found)
    assert scene is not None and scene.panel.mask is not None and scene.panel.mask.sum() == 24 * 487 * 195


def test_many_panels_and_the_recipe_in_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Panels, groups, rings and marks come from the file alone; the picture is that of the set-up."""
    pytest.importorskip("h5py")
    words = CRYSTAL + "-detector epix100 -distance 60 -oversample 1 -polar 0.9 "
    assert g.run_cli(f"{words}{QUIET}-save a.nxs -save a.png".split()) == 0
    assert "model               epix100" in capsys.readouterr().out
    setup = nbragg.from_cli(words)
    scene = recorded_scene(read_image("a.nxs"))
    assert scene is not None and scene.image_shape == (4, 352, 384)
    assert scene.placement.labels.groups == {"top": (0, 1), "bottom": (2, 3)}
    width, height = struct.unpack(">II", Path("a.png").read_bytes()[16:24])
    assert (width, height) == (773, 709)
    assert tools.main(["show", "a.nxs", "-o", "stored.png"]) == 0
    stored = capsys.readouterr().out
    assert "spots marked" in stored and "warning" not in stored
    assert tools.main(["show", "a.nxs", "-o", "given.png", "--", *words.split()]) == 0
    assert capsys.readouterr().out.split(",")[1] == stored.split(",")[1]
    assert Path("given.png").read_bytes() == Path("stored.png").read_bytes()
    bare = ["show", "floatimage.bin", "-o", "raw.png", "--no-spots", "--no-rings", "--", *words.split()]
    assert tools.main(bare) == 0
    assert "marked" not in capsys.readouterr().out
    assert setup.detector.groups == {"top": (0, 1), "bottom": (2, 3)}


def test_marks_of_panels_are_on_their_spots() -> None:
    """On a plate, a mark has the place of the pixel that it marks; rings the spacing that the trace has."""
    from nbragg.analysis.assembly import PanelView
    from nbragg.analysis.plate import several_panels
    from nbragg.analysis.prediction import predict_spots

    words = CRYSTAL + "-detector epix100 -distance 60 -oversample 1"
    detector = Detector.named("epix100", 60).moved("top", rotation_deg=(5, 10, 0), shift_mm=(0, 5, 0))
    scene = nbragg.build_scene(nbragg.from_cli(words).replace(detector=detector))
    view = PanelView.from_scene(scene)
    spots = predict_spots(scene)
    assert set(spots["panel"]) == {0, 1, 2, 3}
    images = [np.zeros((352, 384)) for _ in range(4)]
    for spot in spots:
        images[spot["panel"]][round(spot["slow"]) % 352, round(spot["fast"]) % 384] = 1
    plate = several_panels(images, view)
    left, right, _, top = plate.extent
    cell = (right - left) / plate.pixels.shape[1]
    bright = np.argwhere(plate.pixels == 1)
    places = np.stack([left + (bright[:, 1] + 0.5) * cell, top + (bright[:, 0] + 0.5) * cell])
    for x, y in zip(*plate.places(spots), strict=True):
        assert np.hypot(*(places - [[x], [y]])).min() < 1.5 * cell
    for number, (x, y, inverse) in enumerate(plate.spacings):
        place = view.places[number]
        corner = place.points(-0.5, -0.5) * 1e3
        assert (x[0, 0], y[0, 0]) == pytest.approx((corner[2], -corner[1]))  # mosflm: right z, up y
        pixel = place.points(0, 0)
        stol = nbragg.trace_pixel(scene, 0, 0, panel=number).samples["stol"][0]
        exact = np.linalg.norm(pixel / np.linalg.norm(pixel) - view.incident) / view.wavelength
        assert exact == pytest.approx(2 * stol, rel=1e-9)
        at = corner / np.linalg.norm(corner)
        assert inverse[0, 0] * 1e10 == pytest.approx(np.linalg.norm(at - view.incident) / view.wavelength)


def test_a_file_without_its_structure_factors(folder: Path) -> None:
    """The recipe in a file holds no long list: every reflection is marked then."""
    factors = nbragg.StructureFactors(values=np.random.default_rng(1).random((9, 9, 9)), origin=(-4, -4, -4))
    crystal = nbragg.Crystal(cell=(30, 30, 30, 90, 90, 90), structure_factors=factors, N=5)
    result = nbragg.simulate(
        crystal, detector=nbragg.grid((2, 2), (30, 30), (4, 4), 1.0), sampling=nbragg.Sampling(oversample=1)
    )
    result.save("a.tif")
    found = recorded_scene(read_image("a.tif"))
    assert found is not None and found.table.default_F == 1 and found.table.values is None
    assert found.panel.mask is not None and np.array_equal(found.panel.mask, result.scene.panel.mask)
    rugged = np.random.default_rng(2).random((64, 64)) < 0.5
    detector = nbragg.Detector(fpixels=64, spixels=64, pixel_mm=1.0, mask=rugged)
    nbragg.simulate(crystal, detector=detector, sampling=nbragg.Sampling(oversample=1)).save("b.tif")
    bare = recorded_scene(read_image("b.tif"))
    assert bare is not None and bare.panel.mask is None
    content = read_image("a.tif")
    content.metadata["recipe"] = {"nanobragg_recipe": 1, "crystal": {"cel": 3}}
    assert recorded_scene(content) is None
    del content.metadata["recipe"]
    assert recorded_scene(content) is None


@pytest.mark.filterwarnings("error::nbragg.base.errors.NbraggWarning")
@pytest.mark.parametrize(("material", "word"), [("CdTe", "CdTe"), ("Si", "Silicon"), ("GOS", "Silicon")])
def test_headers_name_the_sensors_material(folder: Path, material: str, word: str) -> None:
    """One that readers know, without a warning; of any other they are told."""
    import contextlib

    detector = nbragg.grid((1, 1), (20, 20), thickness_um=750.0, material=material)
    crystal = nbragg.Crystal(
        cell=(50, 50, 50, 90, 90, 90), structure_factors=nbragg.StructureFactors.constant(1000), N=30
    )
    scene = nbragg.build_scene(nbragg.Setup(crystal, detector=detector))
    image = np.ones((20, 20), np.float32)
    told = pytest.warns(nbragg.NbraggWarning, match="written as Si, whose")
    with told if material == "GOS" else contextlib.nullcontext():
        save_image("a.cbf", image, scene=scene)
    assert f"# {word} sensor, thickness 0.00075 m" in read_image("a.cbf").metadata["header"]
    if material == "GOS":
        return
    save_image("a.nxs", image, scene=scene)
    assert nbragg.read_geometry("a.nxs").readouts[0].material == material
    for name in ("a.cbf", "a.nxs"):
        assert nbragg.read_geometry(name).panels[0].thickness_um == pytest.approx(750)


# ---- nbragg detectors ----


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["detectors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "name" and len(lines) == len(LIBRARY) + 3
    assert [line.split()[0] for line in lines[1:-2]] == list(LIBRARY)
    assert max(map(len, lines)) < 120
    assert tools.main(["detectors", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == list(LIBRARY) and all(one["source"] for one in found)


@pytest.mark.parametrize("name", list(LIBRARY))
def test_one_of_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["detectors", name]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert LIBRARY[name].source in text and LIBRARY[name].title in text


def test_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["detectors", "eiger-16"]) == 2
    assert "did you mean 'eiger_16m'" in capsys.readouterr().err
    assert tools.main(["detectors", "a", "b"]) == 2

"""Pictures: rings at the right spacing, marks on the spots, and the tool around them."""

from __future__ import annotations

import dataclasses
import math
import struct
import sys
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg.analysis import picture
from nbragg.analysis.prediction import powder_lines, predict_spots
from nbragg.cli import tools
from nbragg.io.images import read_image

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

STILL = (
    "-default_F 100 -cell 30 35 40 80 95 100 -misset 10 20 30 -N 25 -gauss_xtal -fudge 0.1 -lambda 1.3 "
    "-detpixels 160 -pixel 0.5 -distance 100 -oversample 3 -detector_rotx 12 -detector_roty -7 -mosaic 0.3 "
    "-mosaic_domains 20 -nonoise -nopgm -noprogress"
)
ROTATION = STILL.replace("-mosaic 0.3 -mosaic_domains 20", "-phi 20 -osc 3 -phisteps 60")


def check_marks(scene: Any, image: Any) -> int:
    """Where a mark's reflection is in diffraction, the nearest peak is under it; every peak has a mark."""
    spots = predict_spots(scene)
    peak = float(image.max())
    found = 0
    for spot in spots:
        f, s = round(float(spot["fast"])), round(float(spot["slow"]))
        if not (5 <= f < scene.panel.fpixels - 5 and 5 <= s < scene.panel.spixels - 5):
            continue
        window = image[s - 4 : s + 5, f - 4 : f + 5]
        if window[3:6, 3:6].max() > 0.002 * peak:
            row, column = np.unravel_index(int(window.argmax()), window.shape)
            assert abs(row - 4) <= 1 and abs(column - 4) <= 1, spot
            found += 1
    for slow, fast in np.argwhere(image > 0.2 * peak):
        assert np.hypot(spots["fast"] - fast, spots["slow"] - slow).min() < 3.0
    return found


@pytest.mark.parametrize("words", [STILL, ROTATION, STILL + " -xds -twotheta 10"])
def test_marks_are_on_the_spots(words: str) -> None:
    scene = g.scene_of(words)
    assert check_marks(scene, nbragg.render(scene).image) > 5


def test_marks_and_trace_agree() -> None:
    """At the place of a mark the traced indices are those of the reflection."""
    scene = g.scene_of(STILL)
    for spot in predict_spots(scene)[:40]:
        t = nbragg.trace_pixel(scene, round(float(spot["slow"])), round(float(spot["fast"]))).samples
        off = np.abs(t["hkl"] - np.array([spot["h"], spot["k"], spot["l"]])).max(axis=1)
        assert off.min() < 0.3
        assert 0.5e10 / t["stol"].mean() == pytest.approx(float(spot["d_A"]), rel=0.02)


def test_what_has_no_amplitude_is_not_marked() -> None:
    scene = g.scene_of(STILL)
    everything = predict_spots(scene)
    factors = np.zeros((9, 9, 9))
    factors[4 + 1 :, :, :] = 50.0
    table = dataclasses.replace(scene.table, values=factors, origin=(-4, -4, -4), default_F=0.0)
    some = dataclasses.replace(scene, tables=(table,))
    listed = predict_spots(some)
    hkl = {(int(s["h"]), int(s["k"]), int(s["l"])) for s in listed}
    expected = {(int(s["h"]), int(s["k"]), int(s["l"])) for s in everything}
    assert hkl == {x for x in expected if 1 <= x[0] <= 4 and max(map(abs, x)) <= 4}
    assert len(predict_spots(scene, d_min_A=8.0)) == int((everything["d_A"] >= 8.0).sum())
    with pytest.raises(nbragg.InputError, match="curved"):
        panel = dataclasses.replace(scene.panel, curved="axes")
        predict_spots(dataclasses.replace(scene, panels=(panel,)))


def test_rings_have_the_spacing_of_the_trace(folder: Path) -> None:
    """1/d of the view is 2 stol of the engine, for a scene and for the files made from it."""
    scene = g.scene_of(STILL.replace("-oversample 3", "-oversample 1"))
    view = picture.View.from_scene(scene)
    assert view is not None
    result = nbragg.render(scene)
    result.save("image.tif")
    from_file = picture.View.from_metadata(read_image("image.tif").metadata)
    assert from_file is not None
    for slow, fast in ((0, 0), (17, 140), (159, 3)):
        expected = 2e-10 * float(nbragg.trace_pixel(scene, slow, fast).samples["stol"][0])
        for one in (view, from_file):
            found = one.inverse_spacing(np.array([float(fast)]), np.array([float(slow)]))
            assert found.item() == pytest.approx(expected, rel=1e-12)


def test_rings_from_an_smv_header(folder: Path) -> None:
    words = STILL.replace("-detector_rotx 12 -detector_roty -7", "-oversample 1 -Xbeam 33 -Ybeam 44")
    scene = g.scene_of(words)
    nbragg.render(scene).save("image.img")
    view = picture.View.from_metadata(read_image("image.img").metadata)
    assert view is not None
    expected = 2e-10 * float(nbragg.trace_pixel(scene, 20, 130).samples["stol"][0])
    assert view.inverse_spacing(np.array([130.0]), np.array([20.0])).item() == pytest.approx(
        expected, rel=1e-5
    )
    assert picture.View.from_metadata({"pixel_mm": 0.1, "wavelength_A": 1.0}) is None
    assert picture.View.from_metadata({}) is None


def test_powder_lines_are_on_the_rings() -> None:
    """Lines of a cubic cell, and the radial profile of a simulated powder."""
    scene = g.scene_of(
        "-default_F 100 -cell 40 -N 12 -mosaic 90 -mosaic_domains 3000 -lambda 1 -detpixels 128 -pixel 0.25 "
        "-distance 100 -oversample 1"
    )
    lines = powder_lines(scene, 5)
    allowed = 40.0 / np.sqrt([n for n in range(1, 40) if n not in (7, 15, 23, 28, 31, 39)])
    assert all(np.abs(allowed / d - 1).min() < 1e-9 for d in lines)
    assert lines[0] == pytest.approx(40.0) and len(lines) == 5
    view = picture.View.from_scene(scene)
    assert view is not None
    inverse = view.inverse_spacing(np.arange(128.0), np.arange(128.0))
    image = nbragg.render(scene).image
    near = [image[np.abs(inverse * d - 1) < 0.02].mean() for d in (40.0, 40 / math.sqrt(2))]
    between = image[np.abs(inverse * 33.0 - 1) < 0.02].mean()
    assert min(near) > 2 * between


def test_nice_spacings() -> None:
    for low, high in ((0.0, 0.5), (0.001, 0.03), (0.1, 1.2)):
        rings = picture.nice_spacings(low, high)
        assert 3 <= len(rings) <= 5
        assert all(low < 1 / d < high for d in rings)
        assert rings == sorted(rings, reverse=True)


# ---- the tool ----


def png_size(path: str) -> tuple[int, int]:
    data = Path(path).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.rstrip(b"\0").endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.fixture
def rendered(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert g.run_cli(STILL.split()) == 0
    capsys.readouterr()
    return folder


def test_show(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["show", "floatimage.bin", "--", *STILL.split()]) == 0
    assert "spots marked" in capsys.readouterr().out
    assert min(png_size("floatimage.png")) > 900
    with_marks = Path("floatimage.png").read_bytes()
    assert tools.main(["show", "floatimage.bin", "--no-spots", "-o", "b.png", "--", *STILL.split()]) == 0
    assert (
        tools.main(
            ["show", "floatimage.bin", "--no-spots", "--no-rings", "-o", "c.png", "--", *STILL.split()]
        )
        == 0
    )
    assert len({with_marks, Path("b.png").read_bytes(), Path("c.png").read_bytes()}) == 3
    words = ["--rings", "10", "5", "--offset", "40", "--percentile", "10", "99", "--linear"]
    assert tools.main(["show", "intimage.img", "-o", "d.png", *words]) == 0
    assert png_size("d.png") == png_size("b.png")


def test_show_a_powder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "-default_F 100 -cell 40 -mosaic 90 -mosaic_domains 3 -detpixels 32 -pixel 1"
    assert g.run_cli(f"{words} -nonoise -nopgm -noprogress".split()) == 0
    assert tools.main(["show", "floatimage.bin", "--", *words.split()]) == 0
    out, err = capsys.readouterr()
    assert "strongest lines" in err and "spots marked" not in out


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, math.nan])
def test_show_constant_images(value: float, folder: Path) -> None:
    np.full((20, 30), value, "<f4").tofile("a.bin")
    assert tools.main(["show", "a.bin", "--shape", "20", "30"]) == 0
    assert tools.main(["show", "a.bin", "--shape", "20", "30", "--linear"]) == 0
    png_size("a.png")


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["-o", "out.jpg"], "PNG"),
        (["-o", "nowhere/out.png"], "folder"),
        (["--percentile", "99", "1"], "rising"),
        (["--percentile", "0", "101"], "rising"),
        (["--rings", "0"], "above zero"),
        (["--rings", "5", "--no-rings"], "not allowed"),
        (["--shape", "3", "3"], "bytes"),
        (["--", "-cell", "50", "-default_F", "1", "-detpixels", "9"], "bytes"),
    ],
)
def test_bad_show(words: list[str], about: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.ones((4, 4), "<f4").tofile("a.bin")
    assert tools.main(["show", "a.bin", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1 and about in lines[0], lines
    assert [p.name for p in folder.iterdir()] == ["a.bin"]


def test_without_matplotlib(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"] + ["matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    np.ones((4, 4), "<f4").tofile("a.bin")
    assert tools.main(["show", "a.bin", "--shape", "4", "4"]) == 2
    assert "pip install 'nanobragg[plot]'" in capsys.readouterr().err


def test_window_needs_a_display(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    np.ones((4, 4), "<f4").tofile("a.bin")
    assert tools.main(["show", "a.bin", "--shape", "4", "4", "--window"]) == 2
    assert "no display" in capsys.readouterr().err

"""A traced pixel is the rendered pixel, and each of its numbers is what the contract says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import _engine
from nbragg.analysis.trace import F_KINDS, PixelTrace, trace_pixel
from nbragg.engine.cpu import render_double

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: every factor and kind of step at work
BUSY = (
    "-hkl {data}/sparse.hkl -default_F 7 -cell 60 70 80 80 95 100 -misset 10 20 30 -N 4 "
    "-mosaic 1 -mosaic_domains 3 -osc 1 -phisteps 2 -dispersion 1 -dispsteps 2 -divergence 2 -divsteps 2 "
    "-lambda 1.3 -polar 0.7 -detpixels 20 -pixel 1 -distance 60 -detector_rotx 5 -detector_thick 300 "
    "-detector_abs 200 -thicksteps 3 -oversample 2 -nointerpolate"
)
#: few reflections: interpolation ends somewhere on the image
CUT = (
    "-hkl {folder}/box.hkl -cell 50 -N 2 -detpixels 24 -pixel 1 -Xbeam 2 -Ybeam 2 -distance 100 "
    "-interpolate -oversample 2"
)


def scene_of(words: str, folder: Path | None = None) -> Any:
    return g.scene_of(words.format(data=g.DATA, folder=folder))


def write_box(folder: Path) -> None:
    ranges = np.mgrid[-4:5, -4:9, -4:9].reshape(3, -1).T.tolist()
    rows = [f"{h} {k} {m} {10 + h + 2 * k + 3 * m}" for h, k, m in ranges]
    (folder / "box.hkl").write_text("\n".join(rows) + "\n")


def check_sum(scene: Any, image: Any, slow: int, fast: int) -> PixelTrace:
    trace = trace_pixel(scene, slow, fast)
    assert trace.pixel == pytest.approx(image[slow, fast], rel=1e-12, abs=1e-14 * image.max())
    return trace


@pytest.mark.parametrize("case_id", g.IDS)
def test_sum_is_the_pixel(case_id: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every golden case: the brightest pixel and three others."""
    g.prepare(case_id, folder)
    scene = g.scene_of(g.arguments(case_id))
    image = render_double(scene)
    fmin, fmax, smin, smax = scene.panel.roi
    rng = np.random.default_rng(1)
    pixels = [tuple(int(n) for n in np.unravel_index(int(image.argmax()), image.shape))]
    pixels += [(int(rng.integers(smin, smax + 1)), int(rng.integers(fmin, fmax + 1))) for _ in range(3)]
    for slow, fast in pixels:
        if scene.panel.mask is None or scene.panel.mask[slow, fast]:
            check_sum(scene, image, slow, fast)


@pytest.mark.parametrize("isa", [name for name, usable in _engine.isa_levels() if usable])
def test_every_instruction_set(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBRAGG_ISA", isa)
    scene = scene_of(BUSY)
    check_sum(scene, render_double(scene), 3, 11)


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
@pytest.mark.parametrize(
    "words",
    [
        "",
        "-oversample_thick",
        "-oversample_polar",
        "-oversample_omega",
        "-oversample_thick -oversample_polar -oversample_omega",
        "-nopolar -oversample_polar",
        "-water 50",
        "-water 50 -oversample_omega -dmin 3",
        "-dmin 2.2",
        "-dmin 0.001",
        "-dmin 1000",
        "-curved_det",
        "-point_pixel",
        "-round_xtal",
        "-gauss_xtal -fudge 1.5",
        "-tophat_spots -N 2",
    ],
)
def test_flags(words: str, physics: str) -> None:
    """Factors per sample and per pixel, limits and shapes: the sum is the pixel, and the record is right."""
    scene = scene_of(f"{BUSY} {words} -physics {physics}")
    image = render_double(scene)
    for slow, fast in ((10, 10), (3, 15)):
        trace = check_sum(scene, image, slow, fast)
        check_record(scene, trace)


def check_record(scene: Any, trace: PixelTrace) -> None:
    """Every field of every sample against canonical 6 to 8."""
    t = trace.samples
    count = scene.panel.layers * scene.oversample**2 * len(scene.sources) * len(scene.crystal.orientations)
    assert len(t) == count
    order = np.stack([t[name] for name in ("layer", "sub_slow", "sub_fast", "source", "orientation")])
    sizes = (
        scene.panel.layers,
        scene.oversample,
        scene.oversample,
        len(scene.sources),
        len(scene.crystal.orientations),
    )
    assert np.array_equal(order, np.indices(sizes).reshape(5, -1))
    assert np.array_equal(
        t["phi_step"] * scene.placement.crystal.mosaic_domains + t["domain"], t["orientation"]
    )
    assert np.array_equal(t["abc"], scene.crystal.orientations[t["orientation"]])
    assert np.array_equal(t["wavelength"], scene.sources.wavelength[t["source"]])

    R = np.linalg.norm(t["position"], axis=1)
    d = t["position"] / R[:, None]
    incident = scene.sources.incident[t["source"]]
    q = (d - incident) / t["wavelength"][:, None]
    np.testing.assert_allclose(t["R"], R, rtol=1e-14)
    np.testing.assert_allclose(t["q"], q, rtol=1e-12, atol=1e-13 / t["wavelength"].min())
    np.testing.assert_allclose(t["stol"], np.linalg.norm(q, axis=1) / 2, rtol=1e-12)
    np.testing.assert_allclose(t["hkl"], np.einsum("nij,nj->ni", t["abc"], q), rtol=1e-10, atol=1e-10)
    assert np.array_equal(t["hkl0"], np.ceil(t["hkl"] - 0.5))
    obliquity = (
        1.0
        if scene.panel.point_pixel
        else scene.panel.pixel[0] * scene.panel.pixel[1] * scene.panel.close_distance / R
    )
    np.testing.assert_allclose(t["omega"], obliquity / R**2, rtol=1e-13)
    if scene.panel.curved == "flat":
        sub = scene.panel.pixel[0] / scene.oversample
        F = sub * (trace.fast * scene.oversample + t["sub_fast"] + 0.5)
        S = sub * (trace.slow * scene.oversample + t["sub_slow"] + 0.5)
        O = t["layer"] * scene.panel.layer_step  # noqa: E741 - the name of canonical 6.1
        place = (
            scene.panel.pix0
            + F[:, None] * scene.panel.fdet
            + S[:, None] * scene.panel.sdet
            + O[:, None] * scene.panel.odet
        )
        if scene.panel.mean_depth:  # of exp(-u z) over a layer, along the ray to its front
            step, length = scene.panel.layer_step, np.linalg.norm(place, axis=1)
            u = step * scene.panel.mu * length / (place @ scene.panel.odet)
            place += (step * (1 / u - 1 / np.expm1(u)))[:, None] * scene.panel.odet
        np.testing.assert_allclose(t["position"], place, atol=1e-16)
    path = scene.panel.layer_step * scene.panel.mu / (d @ scene.panel.odet)
    np.testing.assert_allclose(t["capture"], np.exp(-t["layer"] * path) * -np.expm1(-path), rtol=1e-12)
    if scene.dmin > 0:
        assert np.array_equal(t["kept"], (0.5 / t["stol"] >= scene.dmin).astype(int))
    else:
        assert t["kept"].all()
    assert np.array_equal(t["F_kind"] == 0, t["kept"] == 0)

    factor = t["weight"].copy()
    for name, flag in (
        ("capture", scene.oversample_thick),
        ("polarization", scene.oversample_polar),
        ("omega", scene.oversample_omega),
    ):
        if flag:
            factor *= t[name]
            assert getattr(trace, name) == 1.0
    np.testing.assert_allclose(t["term"], factor * t["F_cell"] ** 2 * t["F_latt"] ** 2, rtol=1e-12)
    assert np.array_equal(t["running_sum"], np.cumsum(np.concatenate([[trace.start], t["term"]]))[1:])
    product = trace.scale * t["running_sum"][-1] * trace.omega * trace.polarization * trace.capture
    assert trace.pixel == pytest.approx(product + trace.water, rel=1e-15)
    if not scene.oversample_omega:
        assert trace.omega == t["omega"][0]
    if not scene.oversample_thick:
        last = t[(t["layer"] == scene.panel.layers - 1) & (t["sub_slow"] == 0) & (t["sub_fast"] == 0)]
        assert trace.capture == last["capture"][0]
    if not scene.oversample_polar and not scene.nopolar:
        reached = t["polarization"][t["kept"] == 1]
        assert trace.polarization == (reached[0] if len(reached) else 0.0)


def test_structure_factors_are_the_listed_ones() -> None:
    scene = scene_of(BUSY)
    t = trace_pixel(scene, 10, 10).samples
    index = t["hkl0"] - np.asarray(scene.table.origin)
    inside = ((index >= 0) & (index < scene.table.values.shape)).all(axis=1)
    expected = np.full(len(t), scene.table.default_F)
    expected[inside] = scene.table.values[tuple(index[inside].T)]
    assert np.array_equal(t["F_cell"], expected)
    assert np.array_equal(t["F_kind"] == F_KINDS.index("listed"), inside)


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
def test_interpolation_and_its_end(physics: str, folder: Path) -> None:
    """Before, at and after the pixel where interpolation ends (canonical 7.3); never in exact physics."""
    write_box(folder)
    scene = scene_of(f"{CUT} -physics {physics}", folder)
    result = nbragg.render(scene)
    image = render_double(scene)
    cut = result.raw.summary.cut_pixel
    assert (cut >= 0) == (physics == "nanobragg")
    center = cut if cut >= 0 else image.size // 2
    for index in (0, center - 1, center, center + 1, image.size - 1):
        slow, fast = divmod(index, scene.panel.fpixels)
        trace = check_sum(scene, image, slow, fast)
        # a result knows where the cut is; a scene has to find out
        again = result.trace(slow, fast)
        assert np.array_equal(again.samples, trace.samples) and again.pixel == trace.pixel
        kinds = {F_KINDS[k] for k in trace.samples["F_kind"].tolist()}
        if physics == "nanobragg":
            assert kinds <= ({"interpolated"} if index < cut else {"interpolated", "default_F", "listed"})
            assert ("interpolated" in kinds) <= (index <= cut)
        else:
            assert "listed" not in kinds


def test_pixels_that_are_not_rendered() -> None:
    scene = scene_of(f"{BUSY} -roi 2 9 3 8")
    for slow, fast in ((2, 5), (9, 5), (5, 1), (5, 10)):
        with pytest.raises(nbragg.InputError, match="outside the roi"):
            trace_pixel(scene, slow, fast)
    for bad in (-1, 20, 1.5, True, "3"):
        with pytest.raises(nbragg.InputError, match="whole number from 0 to 19"):
            trace_pixel(scene, bad, 5)  # type: ignore[arg-type]
        with pytest.raises(nbragg.InputError, match="whole number from 0 to 19"):
            trace_pixel(scene, 5, bad)  # type: ignore[arg-type]
    mask = np.ones((20, 20), np.uint8)
    mask[5, 6] = 0
    masked = dataclasses.replace(scene, panels=(dataclasses.replace(scene.panel, mask=mask),))
    with pytest.raises(nbragg.InputError, match="masked"):
        trace_pixel(masked, 5, 6)
    assert trace_pixel(masked, 6, 5).pixel > 0


def test_engine_checks_the_layout_of_its_rows() -> None:
    ROW = _engine.TRACE_ROW_DTYPE
    engine = _engine.EngineScene(scene_of("-default_F 1 -cell 50 -detpixels 4"))
    for dtype, count in (([("layer", "i8")], 1), (ROW.descr[:-1], 1), (ROW, 5)):
        with pytest.raises(ValueError):
            _engine.trace_pixel(engine, 0, 0, 0, False, "baseline", np.empty(count, np.dtype(dtype)))


def test_text_and_json(folder: Path) -> None:
    """One line a sample; JSON brings every double back."""
    trace = trace_pixel(scene_of(BUSY), 4, 5)
    table = list(trace.table())
    assert table[0] == "samples of pixel fast 5 slow 4"
    assert len(table) == 3 + len(trace.samples)
    assert len({len(line) for line in table[1:]}) == 1
    records = [json.loads(line) for line in trace.json_lines()]
    assert len(records) == len(trace.samples) + 1
    for name in trace.samples.dtype.names or ():
        values = [record[name] for record in records[:-1]]
        if name == "F_kind":
            values = [F_KINDS.index(v) for v in values]
        assert np.array_equal(np.array(values), trace.samples[name]), name
    assert records[-1]["pixel"] == trace.pixel and records[-1]["samples"] == len(trace.samples)
    text = "\n".join(trace.summary())
    for word in (
        "stol",
        "position",
        "h k l",
        "h0 k0 l0",
        "F_cell",
        "F_latt",
        "I/steps",
        "omega",
        "capture",
        "pixel",
    ):
        assert word in text


# ---- the console program ----

TINY = (
    "-default_F 10 -cell 50 60 70 -misset 1 2 3 -N 3 -detpixels 6 -oversample 2 -noprogress -nonoise -nopgm"
)


def test_pixel_orders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-printout_pixel and -trace_pixel are fast slow, as in the reference program; both show every sample."""
    shown = []
    for words in ("-printout_pixel 2 4", "-trace_pixel 2 4"):
        assert g.run_cli(f"{TINY} {words}".split()) == 0
        out = capsys.readouterr().out
        shown.append(out[out.index("samples of pixel") : out.index("wrote")])
        assert "samples of pixel fast 2 slow 4" in out
        assert (
            len(out[out.index("samples of pixel") : out.index("\npixel fast")].strip().splitlines()) == 3 + 4
        )
    assert shown[0] == shown[1]
    image = np.fromfile("floatimage.bin", "<f4").reshape(6, 6)
    assert f"image         {image[4, 2]:.10g} photons" in shown[0]


def test_printout_of_all_pixels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert g.run_cli(f"{TINY} -printout -roi 1 3 2 3".split()) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("pixel fast")]
    assert [line.split(":")[0] for line in lines] == [
        f"pixel fast {f} slow {s}" for s in (2, 3) for f in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    "words", ["-trace_pixel 0 6", "-printout_pixel -1 0", "-roi 0 2 0 2 -trace_pixel 3 3"]
)
def test_bad_pixel(words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert g.run_cli(f"{TINY} {words}".split()) == 2
    err = capsys.readouterr().err
    assert "pixel slow" in err.splitlines()[-1]
    assert not list(folder.iterdir())

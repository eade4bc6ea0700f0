"""What an image will cost: samples, seconds within a factor of 2, advice, and when the command says so."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg.cli import nanobragg as command
from nbragg.simulation import cost as costs
from nbragg.simulation.cost import Cost, clearly_short, samples_of, time_text

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

BASE = "-cell 78 78 38 90 90 90 -default_F 100 -misset 10 20 30 -distance 100 -pixel 0.1"
ONE = nbragg.RenderOptions(threads=1)
LISTED = nbragg.StructureFactors(values=np.full((61, 61, 41), 9.0), origin=(-30, -30, -20), default_F=0)


def simulator(words: str, **options: Any) -> nbragg.Simulator:
    return nbragg.Simulator(nbragg.from_cli(f"{BASE} {words}"), nbragg.RenderOptions(**options))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("-N 30 -detpixels 1500 -oversample 8", {"threads": 1}),
        ("-N 30 -gauss_xtal -mosaic 0.5 -mosaic_domains 50 -detpixels 2000 -roi 900 1500 10 1990", {}),
        ("-N 5 -interpolate -detpixels 1024 -oversample 9 -physics exact", {"precision": "mixed"}),
        ("-N 5 -mosaic 1 -mosaic_domains 9000 -detpixels 140", {"threads": 2}),
        ("-N 9 -detpixels 1500 -physics exact -oversample 9 -background water -molecules 1e15", {}),
        ("-xtalsize 0.01 -detpixels 40", {"threads": 1}),
    ],
)
def test_right_within_a_factor_of_two(words: str, options: dict[str, Any]) -> None:
    """Neighbours in time, as other programs come and go: one of three pairs."""
    job = simulator(words, **options)
    if "-interpolate" in words:
        job = job.replace(structure_factors=LISTED)
        assert job.scene.table.interpolation == "tricubic_exact"
    ratios = []
    for _ in range(3):
        estimate, seconds = job.cost().seconds, job.render().elapsed
        assert seconds > 0.3
        ratios.append(estimate / seconds)
        if 0.5 <= ratios[-1] <= 2.0:
            return
    pytest.fail(f"estimates over times: {ratios}")


def test_samples() -> None:
    setup = nbragg.from_cli(f"{BASE} -N 3 -detpixels 40 -roi 3 12 5 29 -oversample 3 -mosaic 1")
    mask = np.ones((40, 40), np.uint8)
    mask[10:12] = 0
    setup = setup.replace(mask=mask, dispersion_pct=1, dispersion_steps=4, thickness_um=10, thicksteps=2)
    setup = setup.replace(attenuation_um=100)
    scene = nbragg.build_scene(setup)
    assert samples_of(scene) == (10 * 25 - 2 * 10) * 9 * 10 * 4 * 2
    assert nbragg.Simulator(setup, ONE).cost().samples == samples_of(scene)
    assert scene.mask_image is not None
    assert samples_of(scene) == scene.mask_image.sum() * scene.samples_per_pixel


def two_panels() -> nbragg.Setup:
    mask = np.ones((41, 50), np.uint8)
    mask[:20, 8:30] = 0
    panel = nbragg.Panel(
        origin_mm=(-5, -5, 90), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=50, spixels=41, pixel_mm=0.1
    )
    panels = (panel, panel.replace(origin_mm=(1, -5, 90), fpixels=33), panel.replace(mask=mask))
    return nbragg.from_cli(BASE).replace(detector=nbragg.Detector(panels=panels))


@pytest.mark.parametrize(
    ("oversample", "edge", "count"), [(5, 8, 1), (8, 8, 7), (5, 8, 40), (9, 8, 60), (3, 16, 10), (2, 32, 5)]
)
def test_blocks_are_aligned_and_spread(oversample: int, edge: int, count: int) -> None:
    """Whole blocks of pixels that are rendered, each once; by where they are on the panel's plane."""
    scene = nbragg.build_scene(two_panels().replace(oversample=oversample))
    moved = tuple(dataclasses.replace(panel, first=(5, 70)) for panel in scene.panels)
    scene = dataclasses.replace(scene, panels=moved)
    blocks = costs._Blocks(scene)
    assert blocks.edge == edge
    assert scene.mask_image is not None and blocks.pixels == scene.mask_image.sum()
    part, taken = blocks.selected(count)
    mask, whole = part.mask_image, scene.mask_image
    assert mask is not None and whole is not None and mask.sum() == taken
    chosen = 0
    for panel, (first, last) in zip(scene.panels, itertools.pairwise(scene.offsets), strict=True):
        shape = (panel.spixels, panel.fpixels)
        mine, live = mask[first:last].reshape(shape), whole[first:last].reshape(shape)
        starts = (range(-(begin % edge), n, edge) for begin, n in zip((70, 5), shape, strict=True))
        for slow, fast in itertools.product(*starts):
            at = (slice(max(slow, 0), slow + edge), slice(max(fast, 0), fast + edge))
            if mine[at].any():
                chosen += 1
                assert (mine[at] == live[at]).all()
    assert chosen == count
    if count == 60:  # each third of them has a third
        thirds = [mask[i : i + len(mask) // 3].sum() / taken for i in range(0, len(mask) - 2, len(mask) // 3)]
        assert min(thirds) > 0.2


def test_all_pixels_where_they_are_few() -> None:
    blocks = costs._Blocks(nbragg.build_scene(two_panels()))
    assert blocks.selected(len(blocks))[0] is blocks._scene
    assert blocks.selected(10**6)[1] == blocks.pixels
    masked = nbragg.from_cli(f"{BASE} -detpixels 16").replace(mask=np.zeros((16, 16), np.uint8))
    assert nbragg.Simulator(masked, ONE).cost() == Cost(0, 0.0, nbragg.Simulator(masked, ONE).cost().advice)


def test_scaling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that does not grow with the pixels counts once; a selection that takes long enough is the last."""
    asked: list[int] = []
    fixed = 0.03

    def timed(scene: Any, options: Any) -> float:
        mask = scene.mask_image
        asked.append(int(mask.sum()) if mask is not None else scene.offsets[-1])
        per_pixel: float = 1e-5 * (scene.oversample / 4) ** 2
        return fixed + per_pixel * asked[-1]

    monkeypatch.setattr(costs, "_elapsed", timed)
    job = simulator("-detpixels 3000 -oversample 4", threads=2)
    assert job.cost().seconds == pytest.approx(0.03 + 90.0, rel=1e-6)
    assert asked[:2] == [0, 2 * 16 * 16] and 5_000 < asked[-1] < 30_000
    fixed = 0.2  # before the first pixel
    assert job.cost().seconds == pytest.approx(0.2 + 90.0, rel=1e-6)
    # sub-pixels are thinned out where a pixel has millions of samples
    deep = simulator("-detpixels 3000 -oversample 4000", threads=1)
    assert samples_of(deep.scene) == 9_000_000 * 16_000_000
    fixed = 0.0
    assert deep.cost().seconds == pytest.approx(1e-5 * 9e6 * 1e6, rel=0.01)


def test_nothing_is_said_while_it_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    background = nbragg.Background([[0.0, 2.0], [0.001, 1.0]], molecules=1e15)
    setup = nbragg.from_cli(f"{BASE} -detpixels 64 -physics exact").replace(backgrounds=(background,))
    job = nbragg.Simulator(setup, ONE.replace(progress=True))
    with pytest.warns(nbragg.NbraggWarning, match="beyond its table"):
        job.render()
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job.cost()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said", "unsaid"),
    [
        ("-N 5", ("tolerance_photons (-tolerance", "roi (-roi)"), ("oversample", "domains", "block_size")),
        ("-N 5 -gauss_xtal", ("roi",), ("tolerance",)),
        ("-N 5 -oversample 6", ("oversample=2 (-oversample 2), as recommended, not 6: 9 times less",), ()),
        ("-N 5 -oversample 1", (), ("oversample",)),
        ("-xtalsize 0.005", ("-block_size 5e-4", "16 x 16 sub-pixels, not 151 x 151, 89.1 times less"), ()),
        ("-xtalsize 0.005 -block_size 5e-4", (), ("block_size",)),
        ("-N 5 -mosaic 0.1 -mosaic_domains 500", ("-mosaic_domains 10), not 500", ": 50 times less"), ()),
        ("-N 300 -mosaic 1 -mosaic_domains 500", (), ("mosaic_domains",)),
        ("-N 5 -mosaic 0.1", (), ("mosaic_domains",)),
    ],
)
def test_advice(words: str, said: tuple[str, ...], unsaid: tuple[str, ...]) -> None:
    text = "\n".join(costs._advice(simulator(f"-detpixels 200 {words}").scene))
    assert all(part in text for part in said), text
    assert not any(part in text for part in unsaid), text


def test_advice_is_true() -> None:
    """What a command line with the advice in it then costs."""
    large = simulator("-detpixels 20 -xtalsize 0.005").scene
    blocks = simulator("-detpixels 20 -xtalsize 0.005 -block_size 5e-4").scene
    assert (large.oversample, blocks.oversample) == (151, costs._fewer_of_blocks(large))


def test_of_several_panels_a_mask() -> None:
    assert nbragg.Simulator(two_panels(), ONE).cost().advice[-1].startswith("a mask (-mask)")


def test_text() -> None:
    assert str(Cost(3_200_000_000, 250.0, ())) == "about 4.17 min for 3.2e+09 samples"
    assert [time_text(x) for x in (0.5234, 119, 130, 9000)] == ["0.523 s", "119 s", "2.17 min", "2.5 h"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cost(1, 1.0, ()).samples = 2  # type: ignore[misc]


def test_what_is_clearly_short() -> None:
    """Threads, images, single orientations and interpolation count."""
    plain, many = simulator("-detpixels 1000"), simulator("-detpixels 100 -mosaic 1 -mosaic_domains 100")
    two = nbragg.RenderOptions(threads=2)
    assert samples_of(plain.scene) == samples_of(many.scene) == 1_000_000
    assert clearly_short(plain.scene, ONE, 0.0081) and not clearly_short(plain.scene, ONE, 0.0079)
    assert clearly_short(plain.scene, two, 0.0041) and not clearly_short(plain.scene, two, 0.0039)
    assert clearly_short(many.scene, ONE, 0.0031) and not clearly_short(many.scene, ONE, 0.0029)
    assert clearly_short(many.scene, ONE, 0.031, 10) and not clearly_short(many.scene, ONE, 0.029, 10)
    changed = plain.setup.replace(structure_factors=LISTED, interpolate=True)
    cubic = nbragg.build_scene(changed)
    assert clearly_short(cubic, ONE, 0.016) and not clearly_short(cubic, ONE, 0.014)


# ---- the command -------------------------------------------------------------------------------------------


LINE = f"{BASE} -N 4 -detpixels 24 -noprogress -nopgm -nonoise -threads 1"


def run(words: str, monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Run the command, in which images take so long, and anything counts as long; calls of cost."""
    calls = []

    def cost(self: nbragg.Simulator) -> Cost:
        calls.append(seconds)
        return Cost(samples_of(self.scene), seconds, ("less light: 2 times less", "roi (-roi)"))

    monkeypatch.setattr(nbragg.Simulator, "cost", cost)
    assert command.main(words.split()) == 0
    return calls


def test_short_jobs_are_not_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(LINE, monkeypatch, 100.0) == []
    assert "cost" not in capsys.readouterr().err


def test_long_jobs_are_told_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(costs, "clearly_short", lambda *_: False)
    assert run(LINE, monkeypatch, 9.0) == [9.0]
    assert "cost" not in capsys.readouterr().err
    run(LINE, monkeypatch, 150.0)
    told = capsys.readouterr().err.splitlines()
    assert "nanobragg: cost: about 2.5 min for 576 samples" in told
    assert "nanobragg: cheaper: less light: 2 times less; roi (-roi)" in told
    run(f"{LINE} -frames 3 -osc 1", monkeypatch, 4.0)
    assert "cost: about 12 s for 3.46e+03 samples, 3 images of 4 s each" in capsys.readouterr().err
    assert run(f"{LINE} -quiet", monkeypatch, 150.0) == []
    assert "cost" not in capsys.readouterr().err

"""How many blocks a crystal consists of: by number, by their edges, by volume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import InputError
from nbragg.engine.cpu import render_double
from nbragg.refinement.stages import blurred
from nbragg.scene.parameters import expand, moved, tangents
from nbragg.scene.record import Scene

F100 = nbragg.StructureFactors.constant(100)
#: 0.5 um are 49.5, 60.2 and 39.4 of its edges
CRYSTAL = nbragg.Crystal(cell=(101, 83, 127, 90, 105, 90), misset_deg=(10, 20, 30), structure_factors=F100)
BEAM = nbragg.Beam(wavelength_A=1.0, fluence=1e20)
DETECTOR = nbragg.Detector(fpixels=24, spixels=20, distance_mm=100, Xbeam_mm=3.1, Ybeam_mm=0.9)
LARGE: dict[str, Any] = {"size_mm": (0.02,) * 3, "block_size_mm": (5e-4,) * 3}


def scene_of(*parts: Any) -> Scene:
    scene: Scene = nbragg.build_scene(nbragg.Setup(*parts))
    return scene


def weight(**fields: Any) -> float:
    return scene_of(CRYSTAL.replace(**fields), BEAM, DETECTOR).crystal.weight


def test_a_large_crystal_of_small_blocks() -> None:
    """20 um of 0.5 um: the image of one block 64000 times, with the sub-pixels of one."""
    blocks = CRYSTAL.replace(cell=(100, 125, 80, 90, 105, 90), N=5)
    edges = (5e-4 - 1e-12, None, 2e-4 - 1e-12)  # along b N decides: 5 cells of 125 A
    one = nbragg.simulate(blocks.replace(size_mm=edges), BEAM, DETECTOR)
    large = blocks.replace(size_mm=(0.02, 62.5e-6 * 40, 8e-3), block_size_mm=edges)
    many = nbragg.simulate(large, BEAM, DETECTOR)
    assert many.scene.crystal.N.tolist() == one.scene.crystal.N.tolist() == [50, 5, 25]
    assert many.scene.placement.crystal.blocks == pytest.approx(64000, rel=1e-12)
    np.testing.assert_allclose(many.image, one.image * 64000, rtol=3e-7)
    assert one.image.max() > 0
    assert many.scene.oversample == one.scene.oversample
    whole = scene_of(large.replace(block_size_mm=(None,) * 3), BEAM, DETECTOR)
    assert whole.oversample > 10 * many.scene.oversample


def test_blocks_fill_the_crystal() -> None:
    """Edges that are no whole cells are rounded up, with fewer blocks: there are as many cells."""
    scene = scene_of(CRYSTAL.replace(**LARGE), BEAM, DETECTOR)
    assert scene.crystal.N.tolist() == [50, 61, 40]
    cells = np.prod(scene.crystal.N) * scene.crystal.weight
    assert cells == pytest.approx((20e4) ** 3 / (101 * 83 * 127), rel=1e-12)
    assert scene.crystal.weight == scene.placement.crystal.blocks
    one = scene_of(CRYSTAL.replace(size_mm=(5e-4,) * 3), BEAM, DETECTOR)
    assert scene.oversample == one.oversample


def test_the_same_crystal_said_in_three_ways() -> None:
    volume = 20.0**3 * math.sin(math.radians(105))
    by_edges = weight(**LARGE)
    small = {"size_mm": (5e-4,) * 3}
    assert weight(**small, illuminated_volume_um3=volume) == pytest.approx(by_edges, rel=1e-12)
    assert weight(**small, blocks=by_edges) == by_edges
    assert weight(N=7, blocks=0.25) == 0.25 and weight(N=7) == 1.0


def test_the_beam_meets_a_part_of_a_large_crystal() -> None:
    """Blocks stay what they are, and there are fewer; a beam narrower than a block cuts them."""
    with pytest.warns(nbragg.NbraggWarning, match="clipped"):
        part = scene_of(CRYSTAL.replace(**LARGE), BEAM.replace(beamsize_mm=0.005), DETECTOR)
    whole = scene_of(CRYSTAL.replace(**LARGE), BEAM, DETECTOR)
    assert part.crystal.N.tolist() == whole.crystal.N.tolist()
    assert part.crystal.weight == pytest.approx(whole.crystal.weight / 16, rel=1e-12)
    with pytest.warns(nbragg.NbraggWarning, match="clipped"):
        thin = scene_of(CRYSTAL.replace(**LARGE), BEAM.replace(beamsize_mm=1e-4), DETECTOR)
    assert thin.crystal.N[1:].tolist() == [13, 8]
    with pytest.warns(nbragg.NbraggWarning), pytest.raises(InputError, match="lights nothing"):
        scene_of(CRYSTAL.replace(**LARGE), BEAM.replace(beamsize_mm=0), DETECTOR)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"blocks": 2, "illuminated_volume_um3": 1}, "blocks and illuminated_volume_um3 each say"),
        (LARGE | {"blocks": 2}, "blocks and block_size_mm each say"),
        (LARGE | {"illuminated_volume_um3": 2}, "illuminated_volume_um3 and block_size_mm each say"),
        ({"block_size_mm": (5e-4,) * 3}, "size_mm has none along a"),
        (LARGE | {"size_mm": (1, 1, None)}, "size_mm has none along c"),
        (LARGE | {"size_mm": (1, 1e-4, 1)}, "longer than the crystal along b: block_size_mm 0.0005, at most"),
        ({"blocks": 0}, "blocks must be a finite number above 0"),
        ({"blocks": math.inf}, "blocks must be"),
        ({"block_size_mm": (0, None, None)}, r"block_size_mm\[0\] must be"),
        ({"block_size_mm": 5e-4}, "block_size_mm must be three values"),
        (LARGE | {"shape": "gauss", "Ndef": (1, 0, 0), "N": 5}, "N is a tensor"),
        (LARGE | {"N_distribution": ("lognormal", 0.1)}, "leave out size_mm"),
    ],
)
def test_said_once(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        CRYSTAL.replace(**fields)


def test_photons_of_a_real_crystal() -> None:
    """One reflection of 20 um turned through, against Darwin's formula: 64000 blocks of 100^3 cells."""
    edge, F = 50.0, 100.0
    theta = math.asin(1.0 / (2 * edge / 10))  # of (0 10 0) at 1 A
    crystal = nbragg.Crystal(
        cell=(edge, edge, edge, 90, 90, 90),
        size_mm=(0.02,) * 3,
        block_size_mm=(5e-4 - 1e-12,) * 3,
        shape="gauss",
        structure_factors=nbragg.StructureFactors.constant(F),
        phi_deg=math.degrees(theta) - 0.25,
        osc_deg=0.5,
        phisteps=300,
    )
    d = np.array([math.cos(2 * theta), math.sin(2 * theta), 0.0])
    panel = nbragg.Panel(
        origin_mm=100 * d / d[0] - [0, 0.15, 0.15],
        fast=(0, 0, 1),
        slow=(0, 1, 0),
        pixel_mm=0.005,
        fpixels=60,
        spixels=60,
    )
    detector = nbragg.Detector(panels=panel, convention="mosflm")
    beam = BEAM.replace(polarization=0.6)
    total = render_double(scene_of(crystal, beam, detector, nbragg.Sampling(oversample=1))).sum()
    P = (1 + d[0] ** 2 + 0.6 * (1 - d[0] ** 2)) / 2
    per_volume = 1e20 * 7.94079248018965e-30 * 1e-30 * F**2 * P / (edge * 1e-10) ** 6
    expected = per_volume * (20e-6) ** 3 / (math.radians(0.5) * math.sin(2 * theta))
    assert total == pytest.approx(expected * (0.63 * math.pi / 2) ** 1.5, rel=2e-4)


@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_expected_reflections_scale() -> None:
    near = nbragg.Setup(
        CRYSTAL.replace(size_mm=(5e-5,) * 3, shape="gauss", mosaic_spread_deg=0.3, mosaic_domains=5),
        BEAM,
        nbragg.Detector(fpixels=150, spixels=150, pixel_mm=0.4, distance_mm=100),
        nbragg.Sampling(oversample=1),
    )
    one, many = (nbragg.simulate(setup).labels() for setup in (near, near.replace(blocks=64000)))
    assert len(one.reflections) == len(many.reflections) > 20
    np.testing.assert_allclose(many.reflections["photons"], 64000 * one.reflections["photons"], rtol=1e-6)
    assert (many.reflections["h"] == one.reflections["h"]).all()
    assert many["weight"].tolist() == [64000.0]


def test_parameters() -> None:
    """Photons are proportional to blocks; and to the beam's width and height, where it cuts the crystal."""
    setup = nbragg.Setup(CRYSTAL.replace(N=5, blocks=40), BEAM, DETECTOR, physics="exact")
    (found,) = expand(["crystal.blocks"], setup)
    assert (found.value, found.unit) == (40.0, "-")
    (tangent,), _ = tangents(setup, [found])
    assert tangent.crystals[0] is not None and tangent.crystals[0].weight == pytest.approx(1.0, rel=1e-12)
    for name in ("crystal.N", "crystal.N[1]"):
        with pytest.raises(InputError, match="block_size_mm decides"):
            expand([name], setup.replace(blocks=None, **LARGE))
    some = LARGE | {"block_size_mm": (5e-4, None, 5e-4)}
    assert [p.name for p in expand(["crystal.N"], setup.replace(blocks=None, **some))] == ["crystal.N[1]"]


@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
@pytest.mark.parametrize("name", ["beam.beamsize_mm", "crystal.cell.beta", "crystal.cell.a"])
def test_how_the_number_of_blocks_moves(name: str) -> None:
    beam = nbragg.Beam(flux=1e12, exposure_s=1, beamsize_mm=0.005)
    setup = nbragg.Setup(CRYSTAL.replace(**LARGE), beam, DETECTOR, physics="exact")
    (found,) = expand([name], setup)
    (tangent,), _ = tangents(setup, [found])
    assert tangent.crystals[0] is not None
    step = 1e-5 * found.value
    ends = [nbragg.build_scene(moved(setup, {found: found.value + x})).crystal.weight for x in (-step, step)]
    assert tangent.crystals[0].weight == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6, abs=1e-6)


@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_coarse_stages_of_a_refinement_keep_the_cells() -> None:
    setup = nbragg.Setup(CRYSTAL.replace(**LARGE), BEAM, DETECTOR)
    scene = nbragg.build_scene(setup)
    coarse = nbragg.build_scene(blurred(setup, scene, 4.0))
    assert coarse.crystal.N.tolist() == (scene.crystal.N / 4).tolist()
    cells, fewer = (np.prod(one.crystal.N) * one.crystal.weight for one in (scene, coarse))
    assert fewer == pytest.approx(cells, rel=1e-12)


@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
@pytest.mark.parametrize("fields", [{"blocks": 2.5}, LARGE, LARGE | {"block_size_mm": (1e-3, None, 2e-3)}])
def test_kept_by_recipes_and_command_lines(fields: dict[str, Any], tmp_path: Path) -> None:
    setup = nbragg.from_cli("-cell 100 80 125 90 105 90 -default_F 10 -N 4 -detpixels 24").replace(**fields)
    for file in ("one.json", "one.yaml"):
        nbragg.dump(setup, tmp_path / file)
        assert nbragg.load(tmp_path / file) == setup
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


def test_said_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "-cell 100 80 125 90 90 90 -default_F 10 -detpixels 16 -noprogress -nopgm -nonoise"
    sizes = "-xtalsize 0.02 -block_size 5e-4"
    assert nbragg.from_cli(f"{line} {sizes}").crystal.block_size_mm == (5e-4,) * 3
    assert nbragg.from_cli(f"{line} {sizes} -block_y 1e-3").crystal.block_size_mm == (5e-4, 1e-3, 5e-4)
    assert nbragg.from_cli(f"{line} -N 5 -blocks 64000").crystal.blocks == 64000
    from nbragg.cli.nanobragg import main

    assert main(f"{line} -N 5 -blocks 64000".split()) == 0
    assert "64000, each scattering alone" in capsys.readouterr().out
    assert main(f"{line} {sizes} -blocks 3".split()) == 2
    assert "blocks and block_size_mm each say" in capsys.readouterr().err

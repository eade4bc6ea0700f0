"""The Python interface against the golden images, and the numbers the reference printed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import noise_image
from nbragg.base.errors import NbraggWarning
from nbragg.io.images import pgm, smv
from nbragg.simulation.simulate import render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

WITH_FILES = [case_id for case_id in g.IDS if "noise" in g.BY_ID[case_id]["outputs"]]


def printed(case_id: str, scene: Any, result: Any) -> dict[str, Any]:
    """What the reference printed, by the names of cases.json."""
    geometry, cell, found = scene.placement.panel, scene.placement.crystal.unit_cell, result.statistics
    line = g.command_line(g.arguments(case_id))
    scale = smv.integer_image(result.image, scene.panel.roi, line.outputs.int_scale, line.outputs.offset)[1]
    # the reference divides by sources and orientations too, which share the solid angle (canonical 11)
    per_steps = len(scene.sources) * len(scene.crystal.orientations) / scene.panel.layers
    values = {
        "unit_cell": cell.direct,
        "recip_cell": cell.reciprocal,
        "fdet": scene.panel.fdet,
        "sdet": scene.panel.sdet,
        "odet": scene.panel.odet,
        "beam": scene.panel.beam,
        "spindle": geometry.spindle,
        "dials_origin_mm": geometry.dials_origin_mm,
        "XYbeam_m": (geometry.Xbeam, geometry.Ybeam),
        "FSbeam_m": (geometry.Fbeam, geometry.Sbeam),
        "XYclose_m": (geometry.Xclose, geometry.Yclose),
        "FSclose_m": (geometry.Fclose, geometry.Sclose),
        "oversample": [scene.oversample],
        "sources": [len(scene.sources.wavelength)],
        "mosaic_domains": [scene.placement.crystal.mosaic_domains],
        "phisteps": [scene.placement.phisteps],
        "fluence": [scene.fluence],
        "max_I": (found.max, found.max_fast_m, found.max_slow_m),
        "stats_mean_rms_rmsd": (found.mean, found.rms, found.rmsd),
        "solid_angle_sr": [found.solid_angle_sr / per_steps],
        "ncells": scene.crystal.N,
        "misset_deg": scene.placement.crystal.misset_deg,
        "intfile_scale": [scale],
    }
    if "pgm_scale" in g.BY_ID[case_id]["values"]:
        preview = line.outputs.pgm_scale
        values["pgm_scale"] = [preview if preview > 0 else pgm.auto_scale(found.rmsd, scale)]
        noise = noise_image(result.image, scene.panel.roi, line.seed, line.outputs.offset)
        # 10.2: the sum of the deviates before the offset, every pixel of the region drawn
        fmin, fmax, smin, smax = scene.panel.roi
        drawn = noise.pixels[smin : smax + 1, fmin : fmax + 1]
        photons = int(drawn.astype(int).sum() - line.outputs.offset * drawn.size)
        values["noise_photons_overloads"] = [photons, noise.overloads]
    return values


@pytest.mark.parametrize("case_id", g.IDS)
def test_case(case_id: str, folder: Path) -> None:
    """AT-STA-001: image and printed values of each case, one and two threads alike to the bit."""
    g.prepare(case_id, folder)
    line = g.command_line(g.arguments(case_id))
    scene = nbragg.build_scene(line.setup)
    result = render(scene, threads=1)
    g.assert_matches(result.image, g.reference(case_id)["image"])
    assert np.array_equal(render(scene, threads=2).image, result.image)

    found = printed(case_id, scene, result)
    wrong = {}
    for name, values in g.BY_ID[case_id]["values"].items():
        assert len(found[name]) == len(values)
        scale = max(map(abs, values))
        # six printed digits, or nothing where rounding leaves 1e-17 for 0
        if not all(
            abs(x - y) <= 5.01e-6 * abs(y) + 1e-12 * scale for x, y in zip(found[name], values, strict=True)
        ):
            wrong[name] = (list(found[name]), values)
    assert not wrong


def test_every_value_is_checked() -> None:
    """The numbers above are all those stored, and most cases store most of them."""
    names = set().union(*(case["values"] for case in g.CASES))
    assert len(names) == 25 and len(g.CASES) == 118
    assert all(len(case["values"]) >= 22 for case in g.CASES)


@pytest.mark.parametrize("case_id", WITH_FILES)
def test_files_of_the_golden_image(case_id: str, folder: Path) -> None:
    """AT-NOISE-001, AT-IO-001, AT-IO-002: integer, noise and PGM bytes of the reference's float image."""
    g.prepare(case_id, folder)
    golden = g.reference(case_id)
    line = g.command_line(g.arguments(case_id))
    scene = nbragg.build_scene(line.setup)
    image, out = golden["image"], line.outputs
    header = smv.header_bytes(scene)
    integers, scale = smv.integer_image(image, scene.panel.roi, out.int_scale, out.offset)
    assert header + integers.astype("<u2").tobytes() == golden["int_file"].tobytes()
    noise = noise_image(image, scene.panel.roi, line.seed, out.offset)
    assert header + noise.pixels.astype("<u2").tobytes() == golden["noise_file"].tobytes()
    preview = out.pgm_scale if out.pgm_scale > 0 else pgm.auto_scale(render(scene).statistics.rmsd, scale)
    assert b"".join(pgm.chunks(image, scene.panel.roi, preview)) == golden["pgm_file"].tobytes()


def test_simulate_is_build_and_render(folder: Path) -> None:
    """The one-call form gives the same image, keeps its Scene, and times itself."""
    line = g.command_line(g.arguments("crystal/phi_mosaic"))
    result = nbragg.simulate(line.setup)
    g.assert_matches(result.image, g.reference("crystal/phi_mosaic")["image"])
    assert np.array_equal(render(result.scene).image, result.image)
    assert result.elapsed > 0


def test_goldens_warn_only_on_purpose(folder: Path) -> None:
    """No warning from a case that asks for nothing the reference ignores."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", NbraggWarning)
        for case_id in (
            "crystal/mat_file",
            "beam/divergence_round",
            "hkl/hewl_round_mosaic",
            "geometry/adxv_offcenter_tilt",
        ):
            words = [*g.arguments(case_id)]
            if "-oversample" in words:
                place = words.index("-oversample")
                del words[place : place + 2]  # fewer than recommended, which does warn
            g.scene_of(words)
            told = [w for w in seen if "as in the reference program" not in str(w.message)]
            assert not [w for w in told if w.category is NbraggWarning], case_id

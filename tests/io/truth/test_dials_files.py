"""truth.expt and truth.refl: their content, and what DIALS and dxtbx make of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import dials_run as dials
import numpy as np
import pytest

import nbragg
from nbragg.analysis.reflections import expected_reflections
from nbragg.base.vectors import axis_rotation

CELL = "-cell 70 80 90 80 95 100 -misset 10 20 30 -physics exact -default_F 100"
ROTATION = f"{CELL} -N 40 -gauss_xtal -distance 200 -detpixels 900 -osc 0.5 -phisteps 10 -phi 12 -polar 0.9"

#: every model of an experiment list through dxtbx' own getters
READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList
out = []
for e in ExperimentList.from_file(sys.argv[1], check_format=False):
    b, s, g, c = e.beam, e.scan, e.goniometer, e.crystal
    out.append({
        "identifier": e.identifier,
        "beam": [b.get_sample_to_source_direction(), b.get_wavelength(), b.get_polarization_normal(),
                 b.get_polarization_fraction(), b.get_divergence(), b.get_sigma_divergence(), b.get_flux(),
                 b.get_transmission()],
        "panels": [{
            "name": p.get_name(), "fast": p.get_fast_axis(), "slow": p.get_slow_axis(),
            "origin": p.get_origin(), "pixel": p.get_pixel_size(), "size": p.get_image_size(),
            "thickness": p.get_thickness(), "mu": p.get_mu(), "material": p.get_material(),
            "trusted": p.get_trusted_range(), "gain": p.get_gain(), "pedestal": p.get_pedestal(),
            "strategy": p.get_px_mm_strategy().name(),
            "corner": p.get_pixel_lab_coord((3, 5)),
        } for p in e.detector],
        "leaves": sum(1 for _ in e.detector.iter_panels()),
        "scan": s and [s.get_image_range(), s.get_oscillation(), list(s.get_exposure_times()),
                       list(s.get_epochs())],
        "axis": g and [g.get_rotation_axis(), g.get_fixed_rotation(), g.get_setting_rotation()],
        "real": [c.get_real_space_vectors()[i] for i in range(3)],
        "group": c.get_space_group().type().lookup_symbol(),
        "mosaicity": getattr(c, "get_mosaicity", lambda: None)(),
        "images": None if e.imageset is None else [e.imageset.get_path(i) for i in range(len(e.imageset))],
    })
print(json.dumps(out))
"""


def setup_of_everything() -> nbragg.Setup:
    """Two crystals, two panels with sensors, a divergent beam of a known flux."""
    crystal = nbragg.Crystal(
        cell=(70, 80, 90, 80, 95, 100), misset_deg=(10, 20, 30), N=30, shape="gauss", phi_deg=12.5,
        osc_deg=0.4, phisteps=4, mosaic_spread_deg=0.05, mosaic_domains=3,
        structure_factors=nbragg.StructureFactors.constant(100),
    )  # fmt: skip
    panels = [
        nbragg.Panel(
            name=name, origin_mm=(120.0, x, 30.0), fast=(0.1, 0.0, -1.0), slow=(0, 1, 0), fpixels=400,
            spixels=300, pixel_mm=(0.1, 0.12), thickness_um=320, attenuation_um=250, thicksteps=4,
        )
        for name, x in (("left", -40.0), ("right", 1.0))
    ]  # fmt: skip
    beam = nbragg.Beam(
        wavelength_A=1.1,
        polarization=0.8,
        flux=1e12,
        exposure_s=0.2,
        beamsize_mm=0.05,
        hdivrange_mrad=0.4,
        hdivsteps=3,
    )
    both = nbragg.Sample(crystals=(crystal, crystal.replace(misset_deg=(5, 6, 7))), weights=(1.0, 0.5))
    return nbragg.Setup(both, beam, nbragg.Detector(panels=panels))


def test_every_field_is_read_by_dxtbx(tmp_path: Path) -> None:
    dials.need()
    setup, path = setup_of_everything(), tmp_path / "truth.expt"
    nbragg.Series.frames(setup, 3).save_truth(
        path, gain=2.0, pedestal=40.0, trusted_range=(0, 65535), first_image=11, frame="laboratory"
    )
    first, second = dials.run(READ, path)
    assert first["identifier"] != second["identifier"]
    scene = nbragg.build_scene(setup)
    beam = first["beam"]
    np.testing.assert_allclose(beam[0], -np.asarray(scene.panels[0].beam), atol=1e-12)
    assert beam[1] == pytest.approx(1.1, abs=1e-12)
    np.testing.assert_allclose(np.cross(beam[2], scene.panels[0].beam), scene.polar_vector, atol=1e-9)
    assert beam[3] == pytest.approx(0.9) and beam[6] == 1e12 and beam[7] == 1.0
    assert math.radians(beam[4]) == pytest.approx(0.4e-3)
    assert math.radians(beam[5]) == pytest.approx(0.2e-3 * math.sqrt(2 / 3), rel=1e-6)
    assert first["leaves"] == 2
    for panel, placed, given in zip(first["panels"], scene.panels, setup.detector.panels or (), strict=True):
        assert panel["name"] == given.name
        np.testing.assert_allclose(panel["fast"], placed.fdet, atol=1e-12)
        np.testing.assert_allclose(panel["slow"], placed.sdet, atol=1e-12)
        np.testing.assert_allclose(panel["origin"], given.origin_mm, atol=1e-9)
        assert panel["pixel"] == pytest.approx([0.1, 0.12]) and panel["size"] == [400, 300]
        assert panel["thickness"] == pytest.approx(0.32) and panel["mu"] == pytest.approx(4.0)
        assert panel["material"] == "Si" and panel["gain"] == 2.0 and panel["pedestal"] == 40.0
        assert panel["trusted"] == [0.0, 65535.0]
        assert panel["strategy"] == "ParallaxCorrectedPxMmStrategy"
    (image_range, oscillation, exposure, epochs) = first["scan"]
    assert image_range == [11, 13] and exposure == [0.2] * 3 and epochs == pytest.approx([0, 0.2, 0.4])
    assert oscillation == pytest.approx([12.5, 0.4])
    np.testing.assert_allclose(first["axis"][0], scene.placement.panels[0].spindle, atol=1e-12)
    for one in first["axis"][1:]:
        assert one == np.eye(3).reshape(-1).tolist()
    for entry, placed_crystal in zip((first, second), scene.placement.crystals, strict=True):
        np.testing.assert_allclose(entry["real"], placed_crystal.unit_cell.vectors, atol=1e-9)
        assert entry["group"] == "P 1" and entry["mosaicity"] == pytest.approx(0.05)
    assert first["images"] is None


def test_no_sensor_no_parallax(tmp_path: Path) -> None:
    nbragg.Series.frames(nbragg.from_cli(ROTATION), 2).save_truth(tmp_path / "truth.expt")
    panel = json.loads((tmp_path / "truth.expt").read_text())["detector"][0]["panels"][0]
    assert panel["px_mm_strategy"] == {"type": "SimplePxMmStrategy"}
    assert (panel["thickness"], panel["mu"], panel["material"]) == (0.0, 0.0, "")


@pytest.mark.parametrize(
    "convention", ["", "-xds", "-dials", "-adxv", "-denzo -twotheta 10", "-detector_rotx 5"]
)
def test_frame_is_that_of_our_images(convention: str, tmp_path: Path) -> None:
    """dxtbx puts the pixels of a NeXus image where it puts those of the truth."""
    dials.need()
    setup = nbragg.from_cli(
        f"{CELL} -N 10 -detpixels 64 -osc 0.5 -phisteps 2 -phi 5 -detector_thick 320 {convention}"
    )
    result = nbragg.simulate(setup)
    result.save(tmp_path / "image.nxs")
    result.save_truth(tmp_path / "truth.expt", images=str(tmp_path / "image.nxs"))
    code = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList, ExperimentListFactory
a = ExperimentList.from_file(sys.argv[1], check_format=False)[0]
b = ExperimentListFactory.from_filenames([sys.argv[2]])[0]
print(json.dumps([[
    [list(e.detector[0].get_lab_coord(p)) for p in ((0, 0), (6.4, 0), (1, 5))],
    list(e.beam.get_sample_to_source_direction()), e.beam.get_wavelength(),
    list(e.goniometer.get_rotation_axis()), list(e.scan.get_oscillation()),
] for e in (a, b)]))
"""
    truth, image = dials.run(code, tmp_path / "truth.expt", tmp_path / "image.nxs")
    for mine, theirs in zip(truth, image, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


#: truth beside DIALS' own prediction from the same models
PREDICT = """
import json, sys
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentList
e = ExperimentList.from_file(sys.argv[1], check_format=False)
ours = flex.reflection_table.from_file(sys.argv[2])
assert dict(ours.experiment_identifiers()) == {i: x.identifier for i, x in enumerate(e)}
theirs = flex.reflection_table.from_predictions_multi(e)
def rows(t):
    keys = zip(t["id"], t["panel"], t["miller_index"], t["entering"])
    values = zip(t["xyzcal.px"], t["xyzcal.mm"], t["s1"], t["flags"])
    return {str(k): [list(x) for x in v[:3]] + [v[3]] for k, v in zip(keys, values)}
zeta = 0.0
if "zeta" in ours:
    z = ours["zeta"].deep_copy()
    zeta = max(abs(a - b) for a, b in zip(z, ours.compute_zeta_multi(e)))
print(json.dumps([rows(ours), rows(theirs), zeta]))
"""


def compared(words: str, frames: int, folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    files = (folder / "truth.expt", folder / "truth.refl")
    # DIALS takes what has no images for stills
    options.setdefault("images", "image_####.cbf")
    nbragg.Series.frames(nbragg.from_cli(words), frames).save_truth(*files, **options)
    ours, theirs, zeta = dials.run(PREDICT, *files)
    assert zeta < 1e-9
    return ours, theirs


@pytest.mark.parametrize("frame", ["imgcif", "laboratory"])
def test_prediction_of_dials_is_the_same(frame: str, tmp_path: Path) -> None:
    """Of every reflection that DIALS predicts, entering or leaving, to rounding."""
    dials.need()
    ours, theirs = compared(ROTATION, 8, tmp_path, frame=frame, first_image=5)
    assert len(theirs) > 500
    assert set(theirs) <= set(ours)
    for key, (pixel, place, ray, flags) in theirs.items():
        np.testing.assert_allclose(ours[key][0], pixel, atol=1e-6)
        np.testing.assert_allclose(ours[key][1], place, atol=1e-7)
        np.testing.assert_allclose(ours[key][2], ray, atol=1e-9)
        assert ours[key][3] & 1 and flags & 1
    # those beyond have their crossing outside the scan, and a tail in it
    for key in set(ours) - set(theirs):
        assert not 4.0 <= ours[key][0][2] < 12.0


def test_panels_and_crystals_predict_alike(tmp_path: Path) -> None:
    """Two tilted panels and two crystals: every row of DIALS is ours, on its panel, with its experiment."""
    dials.need()
    files = (tmp_path / "truth.expt", tmp_path / "truth.refl")
    nbragg.Series.frames(setup_of_everything(), 3).save_truth(*files, images="image_####.cbf")
    ours, theirs, _ = dials.run(PREDICT, *files)
    assert set(theirs) <= set(ours)
    assert {key[:6] for key in theirs} == {f"({i}, {panel}," for i in (0, 1) for panel in (0, 1)}
    for key, (_, place, ray, _) in theirs.items():
        np.testing.assert_allclose(ours[key][1], place, atol=1e-7)
        np.testing.assert_allclose(ours[key][2], ray, atol=1e-9)


def test_parallax(tmp_path: Path) -> None:
    """mm agree; pixels differ by DIALS' mean depth, which counts photons that pass as absorbed at depth 0."""
    dials.need()
    words = f"{ROTATION} -detector_thick 450 -detector_abs 250 -thicksteps 10"
    ours, theirs = compared(words, 3, tmp_path)
    assert set(theirs) <= set(ours) and len(theirs) > 100
    for key, (pixel, place, _, _) in theirs.items():
        np.testing.assert_allclose(ours[key][1], place, atol=1e-7)
        here, there = (np.subtract(x[:2], np.divide(place[:2], 0.1)) for x in (ours[key][0], pixel))
        reach = np.hypot(*np.subtract(place[:2], 45.05))  # from the beam centre, mm
        cosine = 200.0 / np.hypot(200.0, reach)
        slanted = 0.45 / cosine
        absorbed = 1.0 - math.exp(-4.0 * slanted)
        if np.hypot(*here) > 0.01:
            assert np.hypot(*there) == pytest.approx(np.hypot(*here) * absorbed, rel=1e-3)


def test_dials_show(tmp_path: Path) -> None:
    dials.need()
    files = (tmp_path / "truth.expt", tmp_path / "truth.refl")
    nbragg.Series.frames(nbragg.from_cli(ROTATION), 4).save_truth(*files, images="image_####.cbf")
    shown = dials.command("dials.show", *files, folder=tmp_path)
    for word in (
        "Unit cell: 70.000, 80.000, 90.000, 80.000, 95.000, 100.000",
        "image_####.cbf",
        "partiality",
    ):
        assert word in shown
    for column in ("intensity.calc.value", "f_squared.calc", "xyzcal.px", "zeta"):
        assert column in shown


def test_dials_refines_the_truth(tmp_path: Path) -> None:
    """Taken for indexed spots, a rotation's reflections leave dials.refine nothing to do."""
    dials.need()
    files = (tmp_path / "truth.expt", tmp_path / "truth.refl")
    series = nbragg.Series.frames(nbragg.from_cli(ROTATION), 20)
    series.save_truth(*files, images="image_####.cbf", indexed=True)
    dials.command("dials.refine", *files, "outlier.algorithm=null", "scan_varying=False", folder=tmp_path)
    before, after = (dials.run(READ, tmp_path / name)[0] for name in ("truth.expt", "refined.expt"))
    np.testing.assert_allclose(after["real"], before["real"], atol=1e-6)
    np.testing.assert_allclose(after["panels"][0]["origin"], before["panels"][0]["origin"], atol=1e-6)


def test_dials_takes_stills(tmp_path: Path) -> None:
    """dials.refine and dials.report take them; places differ from DIALS' by 0.2 pixel at most.

    DIALS turns a reflection onto the Ewald sphere; a finite crystal shines where the sphere cuts it.  These
    differences are no noise, so the search for outliers, which fits a Rayleigh distribution to them, is off.
    """
    dials.need()
    setup = nbragg.from_cli(f"{CELL} -N 40 -gauss_xtal -distance 200 -detpixels 900")
    files = (tmp_path / "truth.expt", tmp_path / "truth.refl")
    nbragg.Series.random(setup, 3, seed=1).save_truth(*files, images="s_####.cbf", indexed=True)
    dials.command("dials.report", *files, folder=tmp_path)
    dials.command("dials.refine", *files, "outlier.algorithm=null", folder=tmp_path)
    ours, theirs, _ = dials.run(PREDICT, *files)
    same = [key for key in ours if key in theirs]
    assert len(same) > 100
    assert max(np.abs(np.subtract(ours[key][0], theirs[key][0])).max() for key in same) < 0.2


def test_dials_reads_the_numbers(tmp_path: Path) -> None:
    """Every column holds what the table of the analysis does."""
    dials.need()
    setup = nbragg.from_cli(f"{CELL} -N 40 -gauss_xtal -distance 200 -detpixels 900 -polar 0.9")
    nbragg.simulate(setup.replace(roi=(0, 3, 0, 3))).save_truth(tmp_path / "t.expt", tmp_path / "t.refl")
    code = """
import json, sys
from dials.array_family import flex
t = flex.reflection_table.from_file(sys.argv[1])
print(json.dumps({k: [list(x) if hasattr(x, "__len__") else x for x in t[k]] for k in t.keys()}))
"""
    columns = dials.run(code, tmp_path / "t.refl")
    table = expected_reflections(nbragg.build_scene(setup))
    for name, field in (
        ("miller_index", "miller_index"), ("panel", "panel"), ("d", "d_A"), ("partiality", "partiality"),
        ("intensity.calc.value", "counts"), ("intensity.full.value", "full_counts"),
        ("f_squared.calc", "F_sqr"), ("polarization.calc", "polarization"), ("capture.calc", "capture"),
        ("xyzcal.px", "xyz_px"), ("xyzcal.mm", "xyz_mm"),
    ):  # fmt: skip
        np.testing.assert_array_equal(columns[name], table[field], err_msg=name)
    assert set(columns["id"]) == {0} and set(columns["flags"]) == {1}


def test_stills(tmp_path: Path) -> None:
    """One experiment a still and crystal, no scan; the crystal as it stands; rows of each."""
    dials.need()
    setup = nbragg.from_cli(f"{CELL} -N 40 -gauss_xtal -distance 200 -detpixels 900 -phi 30")
    series = nbragg.Series.random(setup, 3, seed=2)
    files = (tmp_path / "truth.expt", tmp_path / "truth.refl")
    series.save_truth(*files, images="still_####.cbf", frame="laboratory")
    read = dials.run(READ, files[0])
    assert [entry["scan"] for entry in read] == [None] * 3 and [entry["axis"] for entry in read] == [None] * 3
    assert [[Path(p).name for p in entry["images"]] for entry in read] == [
        [f"still_{i:04d}.cbf"] for i in (1, 2, 3)
    ]
    for entry, still in zip(read, series, strict=True):
        scene = nbragg.build_scene(still)
        np.testing.assert_allclose(entry["real"], scene.crystal.orientations[0] * 1e10, atol=1e-9)
    code = """
import json, sys
from dials.array_family import flex
t = flex.reflection_table.from_file(sys.argv[1])
print(json.dumps([(t["id"] == i).count(True) for i in range(3)]))
"""
    counts = [len(expected_reflections(nbragg.build_scene(still))) for still in series]
    assert dials.run(code, files[1]) == counts


def test_turned_still_stands_as_it_is(tmp_path: Path) -> None:
    """A still at a spindle angle: its axes are turned by it, in the frame that is asked for."""
    setup = nbragg.from_cli(f"{CELL} -N 40 -phi 30 -detpixels 64")
    nbragg.simulate(setup).save_truth(tmp_path / "t.expt", frame="laboratory")
    crystal = json.loads((tmp_path / "t.expt").read_text())["crystal"][0]
    scene = nbragg.build_scene(setup)
    turn = axis_rotation(scene.placement.panel.spindle, math.radians(30))
    expected = scene.placement.crystal.unit_cell.vectors @ turn.T
    np.testing.assert_allclose([crystal[f"real_space_{x}"] for x in "abc"], expected, atol=1e-12)

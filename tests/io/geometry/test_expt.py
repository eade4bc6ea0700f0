"""DIALS experiments: detector, beam, goniometer, scan, crystals; against products of matrices and dxtbx."""

from __future__ import annotations

import copy
import json
import math
import pickle
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_files import centres, crystal_of, dxtbx, expt_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nbragg
from nbragg import Panel, StructureFactors
from nbragg.base.rotations import random_orientations
from nbragg.io.geometry.experiment import ImageOf, Scan, half_way
from nbragg.io.geometry.record import Geometry

FILE = Path(__file__).parents[2] / "data" / "hierarchical.expt"
FACTORS = StructureFactors.constant(10)

PANEL = Panel(origin_mm=(-5, 4, -100), fast=(1, 0, 0), slow=(0, -1, 0), fpixels=12, spixels=9, pixel_mm=0.5)
GEOMETRY = Geometry(
    panels=(PANEL,), frame="dxtbx laboratory", beam_vector=(0, 0, -1), wavelength_A=1.1,
    polar_vector=(1, 0, 0), polarization=0.98, spindle_axis=(1, 0, 0),
)  # fmt: skip


def turn(axis: Any, degrees: float) -> NDArray[np.float64]:
    """A rotation matrix, by scipy, which shares nothing with this package."""
    from scipy.spatial.transform import Rotation

    unit = np.array(axis) / np.linalg.norm(axis)
    return np.asarray(Rotation.from_rotvec(math.radians(degrees) * unit).as_matrix())


def write(folder: Path, document: Any, name: str = "a.expt") -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    return path


# ---- detector ----------------------------------------------------------------------------------------------


def affine(node: dict[str, Any]) -> NDArray[np.float64]:
    f, s = np.array(node["fast_axis"]), np.array(node["slow_axis"])
    matrix = np.eye(4)
    matrix[:3] = np.stack([f, s, np.cross(f, s), node["origin"]], axis=1)
    return matrix


def chains(node: dict[str, Any], above: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    if "panel" in node:
        return {node["panel"]: above}
    return reduce(lambda a, b: a | b, [chains(child, [*above, node]) for child in node["children"]])


def test_hierarchy_by_products_of_matrices() -> None:
    """Pixel centres of the committed file to 1e-12 mm, each by homogeneous matrices down its own chain."""
    document = json.loads(FILE.read_text())["detector"][0]
    geometry = nbragg.read_geometry(FILE)
    above = chains(document["hierarchy"], [])
    assert len(geometry.panels) == 4
    for k, panel in enumerate(geometry.panels):
        node = document["panels"][k]
        (pf, ps), (nf, ns) = node["pixel_size"], node["image_size"]
        whole = reduce(np.matmul, [affine(entry) for entry in [*above[k], node]])
        i, j = np.meshgrid((np.arange(nf) + 0.5) * pf, (np.arange(ns) + 0.5) * ps)
        local = np.stack([i, j, np.zeros_like(i), np.ones_like(i)], axis=-1)
        assert np.abs(local @ whole[:3].T - centres(panel)).max() < 1e-12


def test_hierarchy_against_dxtbx() -> None:
    """Corners of every panel, laboratory frame, to 1e-9 mm."""
    code = """
import json, sys
from dxtbx.model import ExperimentList
found = []
for panel in ExperimentList.from_file(sys.argv[1], check_format=False)[0].detector:
    nf, ns = panel.get_image_size()
    found.append([panel.get_pixel_lab_coord(p) for p in ((0, 0), (nf, 0), (0, ns), (nf, ns))])
print(json.dumps(found))
"""
    expected = json.loads(dxtbx(code, str(FILE)))
    for panel, corners in zip(nbragg.read_geometry(FILE).panels, expected, strict=True):
        pf, ps = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm,) * 2
        for (i, j), corner in zip(((0, 0), (1, 0), (0, 1), (1, 1)), corners, strict=True):
            at = np.array(panel.origin_mm) + i * pf * panel.fpixels * np.array(panel.fast)
            at = at + j * ps * panel.spixels * np.array(panel.slow)
            assert np.abs(at - corner).max() < 1e-9


def test_groups_sensor_gain_and_mask() -> None:
    geometry = nbragg.read_geometry(FILE)
    assert {"quadrant0": (0, 1), "quadrant1": (2, 3)}.items() <= geometry.groups.items()
    assert sorted(geometry.groups.values()) == [(0,), (0, 1), (1,), (2,), (2, 3), (3,)]
    first, third = geometry.panels[0], geometry.panels[2]
    assert first.thickness_um == pytest.approx(450)
    assert first.attenuation_um == pytest.approx(1e3 / 3.9220781)
    assert first.mask is None and third.mask is not None
    expected = np.ones((20, 30), np.uint8)
    expected[4:9, 3:6] = 0
    assert (third.mask == expected).all()
    readout = geometry.readouts[0]
    assert (readout.gain, readout.trusted_range, readout.material) == (1.5, (-1, 5000), "Si")


def test_beam() -> None:
    geometry = nbragg.read_geometry(FILE)
    direction = np.array([0.01, -0.02, 1.0])
    b = -direction / np.linalg.norm(direction)
    assert geometry.beam_vector == pytest.approx(b, abs=1e-15)
    assert geometry.wavelength_A == 1.0332
    assert geometry.polarization == pytest.approx(0.94)
    # the electric field is normal to the beam and to the normal of polarization
    p = np.array(geometry.polar_vector)
    assert abs(p @ b) < 1e-15 and abs(p @ [0, 1, 0]) < 1e-15 and np.linalg.norm(p) == pytest.approx(1)
    beam = geometry.beam()
    assert (beam.wavelength_A, beam.flux, beam.polarization) == (1.0332, 0.0, geometry.polarization)


def test_an_attenuation_that_is_not_said_is_asked_for(tmp_path: Path) -> None:
    document = expt_of(GEOMETRY)
    document["detector"][0]["panels"][0] |= {"thickness": 0.32, "material": "Si"}
    path = write(tmp_path, document)
    geometry = nbragg.read_geometry(path)
    with pytest.raises(nbragg.InputError, match=r"320 um of a Si sensor.*attenuation_um"):
        geometry.detector  # noqa: B018
    given = nbragg.read_geometry(path, values={"attenuation_um": 250}).detector.panels[0]
    assert (given.thickness_um, given.attenuation_um) == (320, 250)
    assert nbragg.read_geometry(path, values={"thickness_um": 0}).detector.panels[0].thickness_um == 0


def test_a_flux_without_exposure_is_asked_for(tmp_path: Path) -> None:
    document = expt_of(GEOMETRY)
    document["beam"][0]["flux"] = 1e12
    geometry = nbragg.read_geometry(write(tmp_path, document))
    with pytest.raises(nbragg.InputError, match=r"a flux of 1e\+12.*exposure_s"):
        geometry.beam()
    assert geometry.beam(exposure_s=0.1, beamsize_mm=0.02).flux == 1e12
    assert geometry.beam(fluence=1e20).flux == 0
    assert geometry.beam(flux=0).flux == 0


@pytest.mark.parametrize(
    ("beam", "words"),
    [
        ({"probe": "electron"}, "the only radiation that is simulated"),
        ({"polarization_normal": [0, 0, 2]}, "not along the beam"),
        ({"direction": [0, 0, 0]}, "a vector that is not zero"),
        ({"wavelength": -1}, "wavelength_A must be"),
    ],
)
def test_bad_beams(tmp_path: Path, beam: dict[str, Any], words: str) -> None:
    document = expt_of(GEOMETRY)
    document["beam"][0] |= beam
    with pytest.raises(nbragg.FileError, match=words):
        nbragg.read_geometry(write(tmp_path, document))


def test_a_polychromatic_beam_has_no_wavelength(tmp_path: Path) -> None:
    document = expt_of(GEOMETRY.replace(wavelength_A=None))
    document["beam"][0] |= {"__id__": "polychromatic", "wavelength_range": [1, 2]}
    with pytest.raises(nbragg.InputError, match="does not say the wavelength"):
        nbragg.read_geometry(write(tmp_path, document)).beam()


# ---- crystals ----------------------------------------------------------------------------------------------


def goniometer_of(document: dict[str, Any], which: int) -> tuple[Any, Any, Any]:
    """Setting rotation, axis and fixed rotation: axes that carry the scan's, and those it carries."""
    entry = document["goniometer"][which]
    turns = [turn(axis, angle) for axis, angle in zip(entry["axes"], entry["angles"], strict=True)]
    k = entry["scan_axis"]
    fixed = reduce(lambda done, more: more @ done, turns[:k], np.eye(3))
    setting = reduce(lambda done, more: more @ done, turns[k + 1 :], np.eye(3))
    return setting, np.array(entry["axes"][k]), fixed


@pytest.mark.parametrize(("which", "goniometer", "crystal"), [(1, 0, 1), (2, 1, 1)])
def test_crystals_turn_as_in_dxtbx(which: int, goniometer: int, crystal: int) -> None:
    """S R(axis, phi) F A is our mounted cell turned by phi about the spindle, at any angle."""
    document = json.loads(FILE.read_text())
    S, axis, F = goniometer_of(document, goniometer)
    rows = np.array([document["crystal"][crystal][f"real_space_{x}"] for x in "abc"])
    A = np.linalg.inv(rows)
    experiment = nbragg.read_experiments(FILE)[which]
    for phi in (0.0, 5.0, 77.7):
        expected = S @ turn(axis, phi) @ F @ A
        ours = turn(experiment.geometry.spindle_axis, phi) @ experiment.matrix()
        assert np.abs(expected - ours).max() < 1e-15


def test_the_middle_of_an_image_that_varies() -> None:
    """Scan points 0.02 deg apart about one axis, strained by 1e-4: the middle is 0.01 deg and 5e-5 on."""
    document = json.loads(FILE.read_text())
    S, _, F = goniometer_of(document, 0)
    experiment = nbragg.read_experiments(FILE)[0]
    direct = turn((1, 2, 3), 40) @ np.array([[50, 0, 0], [2, 60, 0], [-5, 1, 70.0]]).T
    for image in range(4):
        points = 0.02 * image, 0.02 * (image + 1)
        scale = math.sqrt((1 + 1e-4 * image) * (1 + 1e-4 * (image + 1)))
        A = np.linalg.inv((turn((0.3, 1, -0.2), sum(points) / 2) @ direct * scale).T)
        assert np.abs(experiment.matrix(image) - S @ F @ A).max() < 1e-14
    assert np.abs(experiment.matrix() - S @ F @ np.linalg.inv(direct.T)).max() < 1e-14


def test_rotations_against_dxtbx() -> None:
    """A h turned by goniometer and scan, as dxtbx computes it from the same file."""
    code = """
import json, sys
from dxtbx.model import ExperimentList
from scitbx import matrix
found = []
for e in ExperimentList.from_file(sys.argv[1], check_format=False):
    S, F = matrix.sqr(e.goniometer.get_setting_rotation()), matrix.sqr(e.goniometer.get_fixed_rotation())
    axis = matrix.col(e.goniometer.get_rotation_axis_datum())
    for i in range(4):
        phi = e.scan.get_angle_from_array_index(e.scan.get_array_range()[0] + i + 0.5, deg=True)
        R = axis.axis_and_angle_as_r3_rotation_matrix(phi, deg=True)
        A = [e.crystal.get_A()] * 2
        if e.crystal.num_scan_points:
            A = [e.crystal.get_A_at_scan_point(i), e.crystal.get_A_at_scan_point(i + 1)]
        found.append([(S * R * F * matrix.sqr(x)).elems for x in A])
print(json.dumps(found))
"""
    expected = iter(json.loads(dxtbx(code, str(FILE))))
    for experiment in nbragg.read_experiments(FILE):
        for image in range(4):
            start, width = experiment.scan.image(image)
            ours = turn(experiment.geometry.spindle_axis, start + width / 2) @ experiment.matrix(image)
            before, after = (np.array(A).reshape(3, 3) for A in next(expected))
            # the mean misses the middle by the square of the angle: (0.02 deg)^2 / 8
            assert np.abs(ours - (before + after) / 2).max() < 1e-9
            if experiment.varying is None:
                assert np.abs(ours - before).max() < 1e-14


def test_a_still_has_no_scan_and_no_goniometer(tmp_path: Path) -> None:
    A = turn((1, 1, 0), 30) @ np.diag([1 / 50, 1 / 60, 1 / 70])
    document = expt_of(GEOMETRY.replace(spindle_axis=None), crystal=[crystal_of(A)])
    (experiment,) = nbragg.read_experiments(write(tmp_path, document))
    assert experiment.scan is None and experiment.geometry.spindle_axis is None
    assert np.abs(experiment.matrix() - A).max() < 1e-15
    setup = nbragg.read_experiments(write(tmp_path, document)).setup(FACTORS, N=(5, 5, 5))
    assert (setup.crystal.phi_deg, setup.crystal.osc_deg, setup.crystal.N) == (0, None, (5, 5, 5))
    # a scan without width is a still too, at its angle
    document = expt_of(
        GEOMETRY, crystal=[crystal_of(A)], scan=[{"image_range": [1, 1], "oscillation": [20.0, 0.0]}]
    )
    (experiment,) = nbragg.read_experiments(write(tmp_path, document))
    assert experiment.scan is None
    assert np.abs(experiment.matrix() - turn((1, 0, 0), 20) @ A).max() < 1e-15


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ({"oscillation": [10, 0.5]}, Scan(10, 0.5, 3, 2)),
        ({"properties": {"oscillation": [10, 10.5, 11]}}, Scan(10, 0.5, 3, 2)),
        (
            {"properties": {"oscillation": [10], "oscillation_width": [0.5]}, "image_range": [2, 2]},
            Scan(10, 0.5, 1, 2),
        ),
        ({"properties": {"epochs": [0, 0, 0]}}, None),
        ({"properties": {"oscillation": [10]}, "image_range": [2, 2]}, None),
        ({}, None),
    ],
)
def test_scans_of_old_and_new_files(tmp_path: Path, scan: dict[str, Any], expected: Scan | None) -> None:
    document = expt_of(GEOMETRY, scan=[{"image_range": [2, 4]} | scan])
    (experiment,) = nbragg.read_experiments(write(tmp_path, document))
    assert experiment.scan == expected
    geometry = experiment.geometry
    known = (geometry.phi_deg, geometry.osc_deg, geometry.images)
    assert known == ((10, 0.5, expected.images) if expected else (None, None, None))


def test_a_crystal_that_turns_backwards_covers_the_same_angles() -> None:
    scan = Scan(10.0, -0.5, 3)
    assert [scan.image(i) for i in range(3)] == [(9.5, 0.5), (9.0, 0.5), (8.5, 0.5)]
    with pytest.raises(nbragg.InputError, match="images 0 to 2"):
        scan.image(3)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0, 60), st.floats(-0.01, 0.01))
def test_half_way(seed: int, angle: float, strain: float) -> None:
    """Half of a rotation with its strain; the same from either end; half twice is the whole."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    A = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    whole = (1 + strain) * turn(axis, angle)
    middle = half_way(A, whole @ A)
    size = np.abs(A).max()
    assert np.abs(middle - math.sqrt(1 + strain) * turn(axis, angle / 2) @ A).max() < 1e-12 * size
    assert np.abs(middle - half_way(whole @ A, A)).max() < 1e-11 * size


# ---- set-ups and series ------------------------------------------------------------------------------------


def scan_document(count: int = 3, **crystal: Any) -> dict[str, Any]:
    A = turn((1, 1, 0), 30) @ np.diag([1 / 50, 1 / 60, 1 / 70])
    more = [crystal_of(turn((0, 1, 2), 100) @ A)] if crystal.pop("second", False) else []
    scan = {"image_range": [1, count], "oscillation": [5.0, 0.25]}
    return expt_of(GEOMETRY, crystal=[crystal_of(A, **crystal), *more], scan=[scan], imageset=[{}])


def test_setup_of_an_image(tmp_path: Path) -> None:
    experiments = nbragg.read_experiments(write(tmp_path, scan_document()))
    setup = experiments.setup(FACTORS, image=2, N=(3, 4, 5), exposure_s=0.5, oversample=1, phisteps=4)
    crystal = setup.crystal
    assert (crystal.phi_deg, crystal.osc_deg, crystal.phisteps) == (5.5, 0.25, 4)
    assert crystal.spindle_axis == (1, 0, 0)
    assert np.abs(crystal.a_matrix - experiments[0].matrix()).max() == 0
    assert (setup.beam.exposure_s, setup.sampling.oversample, setup.physics) == (0.5, 1, "exact")
    assert setup.detector.convention == "custom"
    scene = nbragg.build_scene(setup)
    assert scene.panel.beam == pytest.approx((0, 0, -1))
    assert scene.placement.panel.spindle == pytest.approx((1, 0, 0))
    assert scene.polar_vector == pytest.approx((1, 0, 0))


def test_series_of_a_scan(tmp_path: Path) -> None:
    experiments = nbragg.read_experiments(write(tmp_path, scan_document(6)))
    series = experiments.series(FACTORS, N=(3, 3, 3), phisteps=2)
    assert len(series) == 6
    assert [series[i].crystal.phi_deg for i in range(6)] == [5, 5.25, 5.5, 5.75, 6, 6.25]
    assert {setup.crystal.osc_deg for setup in series} == {0.25}
    assert len(experiments.series(FACTORS, images=2)) == 2
    assert pickle.loads(pickle.dumps(series))[4] == series[4]
    for i, setup in enumerate(series):
        assert setup == experiments.setup(FACTORS, image=i, N=(3, 3, 3), phisteps=2)
    with pytest.raises(nbragg.InputError, match="6 images; 7 were asked for"):
        experiments.series(FACTORS, images=7)
    with pytest.raises(nbragg.InputError, match="osc_deg is said by the scan"):
        experiments.series(FACTORS, osc_deg=1)


def test_series_of_a_crystal_that_varies() -> None:
    experiments = nbragg.read_experiments(FILE)
    given = {"N": (3, 3, 3), "polarization": 0.5}
    series = experiments.series(FACTORS, shot=0, crystal=0, **given)
    assert len(series) == 4
    for i, setup in enumerate(series):
        assert np.array_equal(setup.crystal.a_matrix, experiments[0].matrix(i))
        assert setup.crystal.phi_deg == 5 + 0.25 * i
        assert setup == experiments.setup(FACTORS, shot=0, crystal=0, image=i, **given)


def test_crystals_that_share_images_are_one_sample(tmp_path: Path) -> None:
    experiments = nbragg.read_experiments(write(tmp_path, scan_document(second=True)))
    assert experiments.shots == ((0, 1),)
    setup = experiments.setup(FACTORS, weights=[1, 0.25], N=(3, 3, 3))
    assert len(setup.sample) == 2 and setup.sample.weights == (1, 0.25)
    assert len(experiments.setup(FACTORS, crystal=1).sample) == 1
    series = experiments.series(FACTORS)
    assert [len(each.sample) for each in series] == [2, 2, 2]
    assert [each.sample.crystals[1].phi_deg for each in series] == [5, 5.25, 5.5]
    # those of the committed file share their scan; the third has a goniometer of its own
    assert nbragg.read_experiments(FILE).shots == ((0, 1), (2,))


def test_stills_are_a_series_of_their_own(tmp_path: Path) -> None:
    document = expt_of(GEOMETRY.replace(spindle_axis=None))
    turns = random_orientations(3, seed=1)
    document["crystal"] = [crystal_of(U @ np.diag([1 / 50, 1 / 60, 1 / 70])) for U in turns]
    document["beam"].append(document["beam"][0] | {"wavelength": 1.2})
    document["imageset"] = [{}, {}]
    document["experiment"] = [
        {"beam": i // 2, "detector": 0, "crystal": i, "imageset": i // 2} for i in range(3)
    ]
    experiments = nbragg.read_experiments(write(tmp_path, document))
    assert experiments.shots == ((0, 1), (2,))
    series = experiments.series(FACTORS, N=(2, 2, 2))
    assert [(len(s.sample), s.beam.wavelength_A) for s in series] == [(2, 1.1), (1, 1.2)]
    assert pickle.loads(pickle.dumps(series))[1] == series[1]
    with pytest.raises(nbragg.InputError, match="these are stills"):
        experiments.series(FACTORS, images=2)
    with pytest.raises(nbragg.InputError, match="image 1 of a still"):
        experiments.setup(FACTORS, image=1)
    with pytest.raises(nbragg.InputError, match="the shots 0 to 1"):
        experiments.setup(FACTORS, shot=2)


@pytest.mark.parametrize(
    ("imageset", "scan", "images"),
    [
        ({"template": "c.nxs", "single_file_indices": [0, 1, 2]}, [3, 3], [("c.nxs", 2)]),
        ({"template": "/a#1/c_###.cbf"}, [9, 10], [("/a#1/c_009.cbf", None), ("/a#1/c_010.cbf", None)]),
        ({"images": ["c.nxs"], "single_file_indices": [7]}, None, [("c.nxs", 7)]),
        ({"images": ["c.cbf"]}, None, [("c.cbf", None)]),
        ({"images": ["a.cbf", "b.cbf"]}, None, []),  # a still, of one of them
        ({"images": ["a.cbf", "b.cbf"]}, [1, 2], [("a.cbf", None), ("b.cbf", None)]),
        ({"template": "c_##.cbf"}, None, []),
        ({"template": "c_##.cbf"}, [2, 1], []),
        ({}, [1, 1], []),
    ],
)
def test_images_of_an_experiment(tmp_path: Path, imageset: Any, scan: Any, images: Any) -> None:
    more = {} if scan is None else {"scan": [{"image_range": scan}]}
    document = expt_of(GEOMETRY.replace(spindle_axis=None), imageset=[imageset], **more)
    (experiment,) = nbragg.read_experiments(write(tmp_path, document))
    assert experiment.images == tuple(ImageOf(*one) for one in images)


def test_a_sensor_that_stands_for_none(tmp_path: Path) -> None:
    """Image files of an ideal detector name a thickness of 1 nm, as readers want one: not a sensor."""
    document = expt_of(GEOMETRY)
    document["detector"][0]["panels"][0] |= {"thickness": 1e-6, "mu": 4.2}
    (panel,) = nbragg.read_experiments(write(tmp_path, document))[0].geometry.panels
    assert (panel.thickness_um, panel.attenuation_um) == (0.0, None)


def test_a_beam_and_a_goniometer_that_vary(tmp_path: Path) -> None:
    document = scan_document(2)
    s0 = np.array([[0, 0, -1], [0.002, 0, -1], [0.004, 0, -1]]) / 1.1
    settings_ = [turn((0, 1, 0), angle) for angle in (0, 0.1, 0.2)]
    document["beam"][0]["s0_at_scan_points"] = s0.tolist()
    document["goniometer"][0]["setting_rotation_at_scan_points"] = [S.ravel().tolist() for S in settings_]
    experiments = nbragg.read_experiments(write(tmp_path, document))
    (experiment,) = experiments
    A = turn((1, 1, 0), 30) @ np.diag([1 / 50, 1 / 60, 1 / 70])
    for image, setup in enumerate(experiments.series(FACTORS)):
        S = turn((0, 1, 0), 0.1 * image + 0.05)
        assert np.abs(setup.crystal.a_matrix - S @ A).max() < 1e-14
        axis = np.array(setup.crystal.spindle_axis)
        assert np.abs(axis / np.linalg.norm(axis) - S @ [1, 0, 0]).max() < 1e-12
        mean = s0[image : image + 2].mean(axis=0)
        assert setup.beam.beam_vector == pytest.approx(mean)
        assert setup.beam.wavelength_A == pytest.approx(1 / np.linalg.norm(mean))
        assert setup == experiments.setup(FACTORS, image=image)
    assert experiment.varying is not None


def test_mosaicity_only_when_asked(tmp_path: Path) -> None:
    experiments = nbragg.read_experiments(write(tmp_path, scan_document(mosaicity=0.12)))
    assert experiments.setup(FACTORS).crystal.mosaic_spread_deg is None
    assert experiments.setup(FACTORS, mosaicity=True).crystal.mosaic_spread_deg == 0.12
    assert experiments.setup(FACTORS, mosaicity=True, mosaic_spread_deg=0.3).crystal.mosaic_spread_deg == 0.3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cell": (1, 2, 3, 90, 90, 90)}, "cell is said by the experiment"),
        ({"wavelenth_A": 1}, "did you mean 'wavelength_A'"),
        ({"crystal": 7}, "the crystals 0 to 0"),
    ],
)
def test_bad_fields(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(nbragg.InputError, match=words):
        nbragg.read_experiments(write(tmp_path, scan_document())).setup(FACTORS, **fields)


def test_no_crystal(tmp_path: Path) -> None:
    experiments = nbragg.read_experiments(write(tmp_path, expt_of(GEOMETRY)))
    with pytest.raises(nbragg.InputError, match="says no crystal"):
        experiments.setup(FACTORS)


def test_parts_of_the_experiments() -> None:
    experiments = nbragg.read_experiments(FILE)
    assert [e.identifier for e in experiments] == ["e0", "e1", "e2"]
    assert len(experiments[1:]) == 2 and "3 experiments, 2 shots" in repr(experiments)
    with pytest.raises(nbragg.InputError, match="2 shots: give shot=0 to 1"):
        experiments.series(FACTORS)


# ---- bad files ---------------------------------------------------------------------------------------------


def test_truncated_json(tmp_path: Path) -> None:
    text = FILE.read_text()
    path = tmp_path / "cut.expt"
    for length in [1, 2, 30, *range(100, len(text) - 2, 997)]:
        path.write_text(text[:length])
        with pytest.raises(nbragg.FileError):
            nbragg.read_experiments(path)
        with pytest.raises(nbragg.FileError):
            nbragg.read_geometry(path)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value below one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in items for found in [(*above, key), *places(child, (*above, key))]]


DOCUMENT = json.loads(FILE.read_text())
PLACES = places(DOCUMENT)


@settings(max_examples=200)
@given(
    st.integers(0, len(PLACES) - 1),
    st.sampled_from(["drop", None, -1, "x", [], {}, 1e999, [1, 2], 10**400, True]),
)
def test_a_spoilt_value_is_a_file_error_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, which: int, value: Any
) -> None:
    """Whatever single value is missing or replaced, there is no other exception than ours."""
    document = copy.deepcopy(DOCUMENT)
    *above, last = PLACES[which]
    parent = reduce(lambda node, key: node[key], above, document)
    if value == "drop":
        del parent[last]
    else:
        parent[last] = value
    path = write(tmp_path_factory.mktemp("spoilt"), document)
    try:
        experiments = nbragg.read_experiments(path)
    except nbragg.FileError as error:
        assert str(path) in str(error)
    else:
        assert len(experiments) <= 3


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("experiment", 0, "beam"), 4, r"beam\[4\] is named, but there are 1"),
        (("experiment", 0, "detector"), None, r"experiment\[0\] names no detector"),
        (
            ("detector", 0, "panels", 1, "origin"),
            [1, 2],
            r"detector\[0\]\.panels\[1\]\.origin is \[1, 2\]; expected 3",
        ),
        (("detector", 0, "panels", 1, "image_size"), [0, 5], r"detector\[0\]\.panels\[1\]: fpixels must be"),
        (("crystal", 0, "real_space_a"), [2.0, 60.0, 0.0], None),
        (
            ("crystal", 0, "A_at_scan_points"),
            [[1] * 9] * 2,
            "2 scan points for a scan of 4 images; expected 5",
        ),
        (
            ("detector", 0, "hierarchy", "children", 0, "children", 0, "children"),
            [],
            "has no place in the hierarchy",
        ),
        (("experiment",), [], "holds no experiment"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, path: tuple[Any, ...], value: Any, words: str | None) -> None:
    document = copy.deepcopy(DOCUMENT)
    *above, last = path
    reduce(lambda node, key: node[key], above, document)[last] = value
    if words is None:
        document["crystal"][0]["real_space_b"] = value
        words = "three axes real_space_a, b, c that span space"
    with pytest.raises(nbragg.FileError, match=words):
        nbragg.read_experiments(write(tmp_path, document))


def test_other_json(tmp_path: Path) -> None:
    with pytest.raises(nbragg.FileError, match="no list 'experiment'"):
        nbragg.read_experiments(write(tmp_path, {"nanobragg_recipe": 1}))
    (tmp_path / "det.geom").write_text("clen = 0.1\n")
    with pytest.raises(nbragg.FileError, match="read_geometry reads other"):
        nbragg.read_experiments(tmp_path / "det.geom")

"""Truth for CrystFEL, XDS and CCP4; the registry; MessagePack; how images are put together."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import dials_run as dials
import gemmi
import numpy as np
import pytest

import nbragg
from nbragg.analysis.reflections import expected_reflections
from nbragg.io import read_mtz
from nbragg.io.truth import check_names, save_truth
from nbragg.io.truth.msgpack import packed
from nbragg.io.truth.record import Images, gather
from nbragg.io.truth.stream import crystfel_frame

CELL = "-cell 70 80 90 80 95 100 -misset 10 20 30 -physics exact -default_F 100"
STILL = f"{CELL} -N 40 -gauss_xtal -distance 200 -detpixels 900 -phi 30 -polar 0.9"
ROTATION = f"{CELL} -N 40 -gauss_xtal -distance 200 -detpixels 300 -osc 0.5 -phisteps 10 -phi 12 -polar 0.9"


# ---- CrystFEL ----


def test_stream(tmp_path: Path) -> None:
    """Chunks, crystals and reflections; the axes give back the reflections' places on the detector."""
    series = nbragg.Series.random(nbragg.from_cli(STILL), 2, seed=3)
    path = tmp_path / "truth.stream"
    series.save_truth(path, images="still_####.h5", geometry="p0/res = 10000\n")
    text = path.read_text()
    assert text.startswith("CrystFEL stream format 2.3\n")
    assert "----- Begin geometry file -----\np0/res = 10000\n----- End geometry file -----" in text
    chunks = re.findall(r"----- Begin chunk -----\n(.*?)----- End chunk -----", text, re.S)
    assert len(chunks) == 2
    for number, (chunk, still) in enumerate(zip(chunks, series, strict=True), 1):
        assert f"Image filename: still_{number:04d}.h5\n" in chunk
        assert f"photon_energy_eV = {still.beam.energy_eV:f}" in chunk
        assert "Cell parameters 7.00000 8.00000 9.00000 nm, 80.00000 95.00000 100.00000 deg" in chunk
        scene = nbragg.build_scene(still)
        table = expected_reflections(scene)
        assert f"num_peaks = {len(table)}\n" in chunk and f"num_reflections = {len(table)}\n" in chunk
        block = re.search(r"fs/px  ss/px panel\n(.*?)End of reflections", chunk, re.S)
        assert block is not None
        rows = [line.split() for line in block[1].splitlines()]
        np.testing.assert_array_equal([[int(x) for x in row[:3]] for row in rows], table["miller_index"])
        np.testing.assert_allclose([float(row[3]) for row in rows], table["counts"], atol=0.006)
        np.testing.assert_allclose(
            [[float(x) for x in row[7:9]] for row in rows], table["xyz_px"][:, :2], atol=0.051
        )
        assert {row[9] for row in rows} == {"p0"}
        # a*, b*, c* in the frame with the beam along z and the electric field along x, nm^-1
        stars = np.array(
            [[float(x) for x in re.search(rf"{n}star = (.*) nm", chunk)[1].split()] for n in "abc"]  # type: ignore[index]
        )
        (sweep,) = gather([(scene, None)]).sweeps
        turn = crystfel_frame(sweep)
        np.testing.assert_allclose(turn @ scene.panel.beam, [0, 0, 1], atol=1e-12)
        np.testing.assert_allclose(turn @ scene.polar_vector, [1, 0, 0], atol=1e-12)
        expected = np.linalg.inv(scene.crystal.orientations[0] * 1e9).T @ turn.T
        np.testing.assert_allclose(stars, expected, atol=1e-6)


def test_a_stream_holds_stills(tmp_path: Path) -> None:
    with pytest.raises(nbragg.InputError, match="holds stills"):
        nbragg.Series.frames(nbragg.from_cli(ROTATION), 2).save_truth(tmp_path / "truth.stream")
    assert not list(tmp_path.iterdir())


def test_domains_of_several_sizes_are_one_crystal(tmp_path: Path) -> None:
    """One orientation and cell in every file; expected photons are those of `expected_reflections`."""
    sizes = "-N_distribution lognormal:0.2 -N_domains -mosaic 0.05 -mosaic_dom 3"
    series = nbragg.Series.frames(nbragg.from_cli(f"{ROTATION} {sizes}"), 2)
    paths = [tmp_path / name for name in ("t.expt", "t.refl", "XDS.INP")]
    series.save_truth(*paths, images="image_####.cbf")
    expt = json.loads(paths[0].read_text())
    assert len(expt["experiment"]) == len(expt["crystal"]) == len(expt["scan"]) == 1
    assert expt["scan"][0]["image_range"] == [1, 2]
    assert expt["crystal"][0]["mosaicity"] == pytest.approx(0.05)
    assert expt["crystal"][0]["real_space_a"] == pytest.approx(
        json.loads(_written(f"{ROTATION} -mosaic 0.05", tmp_path))["crystal"][0]["real_space_a"], rel=1e-12
    )
    scene = nbragg.build_scene(nbragg.from_cli(f"{STILL} {sizes}"))
    (sweep,) = gather([(scene, None)]).sweeps
    (placed,), (cells,) = sweep.placement.crystals, sweep.cells
    weights = np.array([block.weight for block in scene.crystals])
    assert len(weights) == 3 and np.ptp(weights) > 0 and placed.mosaic_domains == 3
    assert cells == pytest.approx(weights @ [block.N for block in scene.crystals] / weights.sum(), rel=1e-12)
    nbragg.Series(nbragg.from_cli(f"{STILL} {sizes}"), [{}]).save_truth(tmp_path / "t.stream")
    text = (tmp_path / "t.stream").read_text()
    assert text.count("--- Begin crystal") == 1
    radius = 5.0 / (cells * placed.unit_cell.edges).min()
    assert f"profile_radius = {radius:.5f} nm^-1" in text
    assert f"num_reflections = {len(expected_reflections(scene))}\n" in text


def _written(words: str, folder: Path) -> str:
    nbragg.Series.frames(nbragg.from_cli(words), 2).save_truth(folder / "one.expt")
    return (folder / "one.expt").read_text()


# ---- XDS ----


def xds_values(path: Path) -> dict[str, list[str]]:
    """Keyword to words of an XDS.INP, as XDS reads it: several on a line, ! begins a comment."""
    values: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        pieces = re.split(r"([A-Z][A-Z'_\-/]*)=", line.split("!")[0])
        for name, value in zip(pieces[1::2], pieces[2::2], strict=True):
            values[name] = value.split()
    return values


GEOMETRIES = ["", "-xds", "-adxv", "-twotheta 15", "-detector_rotx 4 -detector_rotz 7", "-denzo -pixel 0.2"]


@pytest.mark.parametrize("words", GEOMETRIES)
def test_xds_geometry(words: str, tmp_path: Path) -> None:
    """Every pixel by XDS' own formula, turned from the laboratory; beam, spindle and field with it."""
    setup = nbragg.from_cli(f"{ROTATION} -detector_thick 450 -detector_abs 200 {words}")
    path = tmp_path / "XDS.INP"
    nbragg.Series.frames(setup, 7).save_truth(path, images="x_####.cbf", first_image=3)
    values = xds_values(path)

    def numbers(name: str) -> Any:
        return np.array([float(x) for x in values[name]])

    x, y = numbers("DIRECTION_OF_DETECTOR_X-AXIS"), numbers("DIRECTION_OF_DETECTOR_Y-AXIS")
    beam, spindle = numbers("INCIDENT_BEAM_DIRECTION"), numbers("ROTATION_AXIS")
    scene = nbragg.build_scene(setup)
    panel = scene.panel
    spots = np.array([[1, 1], [300, 1], [17, 250]])  # counted from 1
    place = (
        np.outer((spots[:, 0] - numbers("ORGX")) * numbers("QX"), x)
        + np.outer((spots[:, 1] - numbers("ORGY")) * numbers("QY"), y)
        + numbers("DETECTOR_DISTANCE") * np.cross(x, y)
    )
    mine = panel.pix0 + np.outer((spots[:, 0] - 0.5) * panel.pixel[0], panel.fdet)
    mine = 1e3 * (mine + np.outer((spots[:, 1] - 0.5) * panel.pixel[1], panel.sdet))
    np.testing.assert_allclose(np.linalg.norm(place, axis=1), np.linalg.norm(mine, axis=1), atol=1e-6)
    axes = (scene.sources.incident[0], scene.placement.panel.spindle)
    for there, here in zip((beam, spindle), axes, strict=True):
        np.testing.assert_allclose(place @ there, mine @ here, atol=1e-6)
    # handedness
    assert np.linalg.det(place) == pytest.approx(np.linalg.det(mine), rel=1e-6)
    normal = numbers("POLARIZATION_PLANE_NORMAL")
    field = np.cross(normal, beam)
    np.testing.assert_allclose(place @ field, mine @ scene.polar_vector, atol=1e-6)
    assert numbers("FRACTION_OF_POLARIZATION") == pytest.approx(0.95)
    assert numbers("X-RAY_WAVELENGTH") == 1.0 and numbers("OSCILLATION_RANGE") == 0.5
    assert numbers("STARTING_ANGLE") == 12 and values["DATA_RANGE"] == ["3", "9"]
    assert values["NAME_TEMPLATE_OF_DATA_FRAMES"] == ["x_????.cbf"] and values["DETECTOR"] == ["PILATUS"]
    assert numbers("SENSOR_THICKNESS") == pytest.approx(0.45) and numbers("SILICON") == pytest.approx(5.0)
    assert values["SPACE_GROUP_NUMBER"] == ["1"]
    np.testing.assert_allclose(numbers("UNIT_CELL_CONSTANTS"), (70, 80, 90, 80, 95, 100), atol=1e-6)


def test_xds_as_dxtbx_writes_it(tmp_path: Path) -> None:
    """dxtbx, asked for an XDS.INP of truth.expt, says the same as ours."""
    dials.need()
    setup = nbragg.from_cli(f"{ROTATION} -twotheta 8")
    series = nbragg.Series.frames(setup, 4)
    series.save_truth(tmp_path / "XDS.INP", tmp_path / "truth.expt", images="x_####.cbf")
    code = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList
from dxtbx.serialize.xds import to_xds
x = to_xds(ExperimentList.from_file(sys.argv[1], check_format=False)[0].imageset)
print(json.dumps([x.detector_distance, x.detector_origin, x.detector_size, x.pixel_size,
                  x.oscillation_range, x.starting_angle, x.starting_frame]))
"""
    distance, origin, size, pixel, oscillation, angle, frame = dials.run(code, tmp_path / "truth.expt")
    values = {name: [*words] for name, words in xds_values(tmp_path / "XDS.INP").items()}
    assert float(values["DETECTOR_DISTANCE"][0]) == pytest.approx(distance, abs=1e-6)
    mine = [float(values[name][0]) for name in ("ORGX", "ORGY")]
    assert mine == pytest.approx(origin, abs=1e-5)
    assert size == [300, 300] and pixel == pytest.approx([0.1, 0.1])
    assert (oscillation, angle, frame) == (0.5, pytest.approx(12.0), 1)


@pytest.mark.parametrize(
    ("fields", "gain", "pedestal", "low", "high"),
    [
        ({"gain": 1.8, "adc": 10}, 1.8, 10.0, 0, 65535),
        ({"kind": "counting", "bits": 12, "frames": 5, "signed": True}, 1.0, 0.0, 0, 20475),
        ({"bits": 16, "signed": True, "scale": 2}, 2.0, 40.0, -32768, 32767),
        ({"bits": 0, "gain": 3, "gain_per_keV": True, "adc": 0}, 3 * 12.39841984, 0.0, 0, 2**31 - 2),
    ],
)
def test_counts_are_those_of_the_response(
    fields: dict[str, Any], gain: float, pedestal: float, low: int, high: int, tmp_path: Path
) -> None:
    setup = nbragg.from_cli(ROTATION).replace(response=nbragg.DetectorResponse(**fields), wavelength_A=1.0)
    series = nbragg.Series.frames(setup, 2)
    series.save_truth(tmp_path / "XDS.INP", tmp_path / "truth.expt", images="x_####.cbf")
    words = xds_values(tmp_path / "XDS.INP")
    assert (words["MINIMUM_VALID_PIXEL_VALUE"], words["OVERLOAD"]) == ([str(low)], [str(high)])
    panel = json.loads((tmp_path / "truth.expt").read_text())["detector"][0]["panels"][0]
    assert panel["trusted_range"] == [low, high] and panel["pedestal"] == pedestal
    assert panel["gain"] == pytest.approx(gain, rel=1e-7)
    series.save_truth(tmp_path / "XDS.INP", images="x_####.cbf", trusted_range=(3, 99))
    assert xds_values(tmp_path / "XDS.INP")["OVERLOAD"] == ["99"]


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (nbragg.from_cli(STILL), "a still"),
        ("two crystals", "indexes one crystal"),
        ("two panels", "has 2 panels"),
        ("apart", "2 stills or rotations"),
    ],
)
def test_what_xds_cannot_hold(setup: Any, said: str, tmp_path: Path) -> None:
    rotation = nbragg.from_cli(ROTATION)
    series = nbragg.Series(setup, [{}]) if isinstance(setup, nbragg.Setup) else None
    if setup == "two crystals":
        crystals = (rotation.crystal, rotation.crystal.replace(misset_deg=(1, 2, 3)))
        series = nbragg.Series.frames(nbragg.Setup(nbragg.Sample(crystals=crystals)), 2)
    elif setup == "two panels":
        panel = nbragg.Panel(
            origin_mm=(100, -5, -5), fast=(0, 0, 1), slow=(0, 1, 0), fpixels=50, spixels=50, pixel_mm=0.1
        )
        detector = nbragg.Detector(panels=[panel, panel.replace(origin_mm=(100, 5, 5))])
        series = nbragg.Series.frames(nbragg.Setup(rotation.crystal, detector=detector), 2)
    elif setup == "apart":
        series = nbragg.Series(rotation, phi=[0, 90])
    assert series is not None
    with pytest.raises(nbragg.InputError, match=said):
        series.save_truth(tmp_path / "XDS.INP")


# ---- structure factors ----


def factors_of(count: int) -> nbragg.StructureFactors:
    random = np.random.default_rng(4)
    index = np.unique(random.integers(-9, 10, (count, 3)), axis=0)
    return nbragg.StructureFactors.from_reflections(*index.T, random.gamma(2.0, 300.0, len(index)))


def test_mtz_brings_every_amplitude_back(tmp_path: Path) -> None:
    """Both of a Bijvoet pair, holes as 0; exact to float32 by gemmi and by nanobragg."""
    factors = factors_of(900)
    cell = (70.0, 80.0, 90.0, 80.0, 95.0, 100.0)
    factors.save(tmp_path / "used.mtz", cell=cell, wavelength_A=1.1)
    h, k, l, F = factors.listed()  # noqa: E741
    mtz = gemmi.read_mtz_file(str(tmp_path / "used.mtz"))
    assert mtz.spacegroup.hm == "P 1" and mtz.datasets[1].wavelength == pytest.approx(1.1)
    assert tuple(mtz.cell.parameters) == pytest.approx(cell)
    array = np.asarray(mtz.array)
    np.testing.assert_array_equal(array[:, :3], np.column_stack([h, k, l]))
    np.testing.assert_array_equal(array[:, 3], F.astype(np.float32))
    read = nbragg.StructureFactors.from_file(tmp_path / "used.mtz")
    assert factors.values is not None and read.values is not None
    assert (read.origin, read.values.shape) == (factors.origin, factors.values.shape)
    np.testing.assert_array_equal(read.values, factors.values.astype(np.float32))
    assert read_mtz(tmp_path / "used.mtz").cell == pytest.approx(cell)


def test_image_of_the_mtz_is_the_image(tmp_path: Path) -> None:
    setup = nbragg.from_cli(f"{CELL} -N 5 -detpixels 40").replace(structure_factors=factors_of(400))
    result = nbragg.simulate(setup)
    result.save_truth(tmp_path / "used.mtz")
    again = nbragg.StructureFactors.from_file(tmp_path / "used.mtz", default_F=100)
    image = nbragg.simulate(setup.replace(structure_factors=again)).image
    np.testing.assert_allclose(image, result.image, rtol=1e-6, atol=1e-6 * result.image.max())


def test_what_an_mtz_cannot_hold(tmp_path: Path) -> None:
    constant = nbragg.StructureFactors.constant(5)
    cell = (70.0, 80.0, 90.0, 90.0, 90.0, 90.0)
    with pytest.raises(nbragg.InputError, match="no list"):
        constant.save(tmp_path / "a.mtz", cell=cell)
    with pytest.raises(nbragg.InputError, match=r"\.mtz"):
        factors_of(10).save(tmp_path / "a.hkl", cell=cell)
    large = nbragg.StructureFactors.from_reflections([1], [2], [3], [1e60])
    with pytest.raises(nbragg.InputError, match="float32"):
        large.save(tmp_path / "a.mtz", cell=cell)
    with pytest.raises(nbragg.InputError, match="every structure factor is 100"):
        nbragg.Series(nbragg.from_cli(STILL), [{}]).save_truth(tmp_path / "a.mtz")
    assert not list(tmp_path.iterdir())


# ---- names, options, series ----


def test_names_and_options(tmp_path: Path) -> None:
    with pytest.raises(nbragg.InputError, match=r"truth.exp: .*did you mean '.expt'"):
        check_names([tmp_path / "truth.exp"])
    with pytest.raises(nbragg.FileError, match="does not exist"):
        check_names([tmp_path / "nowhere" / "truth.expt"])
    truth = gather([(nbragg.build_scene(nbragg.from_cli(STILL)), None)])
    with pytest.raises(nbragg.InputError, match="did you mean 'pedestal'"):
        save_truth(truth, tmp_path / "truth.expt", pedestl=3)
    with pytest.raises(nbragg.InputError, match="imgcif, laboratory"):
        save_truth(truth, tmp_path / "truth.expt", frame="lab")
    with pytest.raises(nbragg.InputError, match="at least one"):
        gather([])
    assert not list(tmp_path.iterdir())


def test_image_names() -> None:
    assert Images.of("a/b_###.cbf", 2, 9).names == ("a/b_009.cbf", "a/b_010.cbf")
    whole = Images.of("all.nxs", 3)
    assert whole.together and whole.template == ""
    assert Images.of(None, 3).names == ()
    assert not Images.of(["x.img", "y.img"], 2).together
    with pytest.raises(nbragg.InputError, match="2 image names for 3 images"):
        Images.of(["x.img", "y.img"], 3)


def test_consecutive_images_are_one_sweep() -> None:
    """Whatever does not continue the rotation before begins another; numbers of images go on."""
    setup = nbragg.from_cli(f"{ROTATION} -detpixels 900")
    series = nbragg.Series(setup, phi=[12, 12.5, 13, 40, 40.5])
    steps: list[int] = []
    truth = gather(
        ((nbragg.build_scene(one), one.beam) for one in series), d_min_A=5.0, progress=steps.append
    )
    assert [(sweep.first, sweep.images) for sweep in truth.sweeps] == [(0, 3), (3, 2)]
    assert steps == [1, 2, 3, 4, 5] and truth.count == 5 and truth.one_rotation is None
    rows = truth.sweeps[1].reflections
    inside = rows[(rows["xyz_px"][:, 2] > 0.3) & (rows["xyz_px"][:, 2] < 1.7)]
    assert len(inside) > 5
    np.testing.assert_allclose(
        inside["xyz_px"][:, 2], (np.degrees(inside["xyz_mm"][:, 2]) - 40) / 0.5, atol=1e-9
    )
    assert not (rows["partiality"] < 1e-3).any()
    # those that cross at a frame's edge are on both frames, and one row
    both = rows[(rows["first_frame"] == 0) & (rows["last_frame"] == 1)]
    assert len(both) > 0 and len(np.unique(both[["miller_index", "entering"]])) == len(both)


def test_another_wavelength_is_another_sweep() -> None:
    setup = nbragg.from_cli(ROTATION)
    other = setup.replace(phi_deg=12.5, wavelength_A=1.01)
    truth = gather([(nbragg.build_scene(one), one.beam) for one in (setup, other)], d_min_A=6.0)
    assert len(truth.sweeps) == 2


# ---- MessagePack ----


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"), (127, "7f"), (128, "cc80"), (255, "ccff"), (256, "cd0100"), (65536, "ce00010000"),
        (2**32, "cf0000000100000000"), ("", "a0"), ("abc", "a3616263"), (b"\x01", "c40101"),
        ([1, "a"], "9201a161"), ({0: "x", "k": []}, "8200a178a16b90"),
    ],
)  # fmt: skip
def test_packed(value: Any, expected: str) -> None:
    assert packed(value).hex() == expected


@pytest.mark.parametrize(
    ("length", "head"), [(31, "bf"), (32, "d920"), (255, "d9ff"), (256, "da0100"), (2**16, "db00010000")]
)
def test_lengths_of_text(length: int, head: str) -> None:
    assert packed("x" * length) == bytes.fromhex(head) + b"x" * length


def test_lengths_of_others() -> None:
    assert packed([0] * 16)[:3].hex() == "dc0010" and packed([0] * 2**16)[:5].hex() == "dd00010000"
    assert packed(dict.fromkeys(range(16), 0))[:3].hex() == "de0010"
    assert packed(bytes(2**16))[:5].hex() == "c600010000" and packed(bytes(300))[:3].hex() == "c5012c"
    for bad in (-1, 2**64):
        with pytest.raises(OverflowError):
            packed(bad)
    with pytest.raises(TypeError):
        packed(math.pi)  # type: ignore[arg-type]

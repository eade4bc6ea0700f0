"""Geometries of SMV and miniCBF headers, those of other programs and ours."""

from __future__ import annotations

import json
import math
from pathlib import Path

import format_files
import numpy as np
import pytest
from geometry_files import dxtbx, farthest

import nbragg
from nbragg.io.geometry.images import _of_record
from nbragg.io.geometry.record import Geometry
from nbragg.io.images import cbf
from nbragg.io.images import smv as smv_images
from nbragg.io.images.metadata import ImageMetadata

ADSC = {
    "DIM": "2", "BYTE_ORDER": "little_endian", "TYPE": "unsigned_short", "SIZE1": "20", "SIZE2": "30",
    "PIXEL_SIZE": "0.1024", "BIN": "2x2", "ADC": "fast", "DETECTOR_SN": "457", "BEAMLINE": "X1",
    "DATE": "Thu Jun 8 12:00:00 2006", "TIME": "1.5", "DISTANCE": "150.0", "OSC_RANGE": "0.5", "PHI": "12",
    "OSC_START": "12.0", "TWOTHETA": "0", "AXIS": "phi", "WAVELENGTH": "0.9795", "BEAM_CENTER_X": "1.2",
    "BEAM_CENTER_Y": "0.7", "IMAGE_PEDESTAL": "40",
}  # fmt: skip


def smv(folder: Path, **changes: str | None) -> Path:
    """An image as ADSC's program writes it, with keys changed or, for None, left out."""
    keys = {key: value for key, value in (ADSC | changes).items() if value is not None}
    text = "{\nHEADER_BYTES=  512;\n" + "".join(f"{key}={value};\n" for key, value in keys.items()) + "}\f\n"
    path = folder / "adsc_001.img"
    path.write_bytes(text.encode().ljust(512) + np.zeros((30, 20), "<u2").tobytes())
    return path


PILATUS = """# Detector: PILATUS 2M, S/N 24-0107 Diamond
# 2013-11-12T15:13:10.123
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000320 m
# Exposure_time 0.1950000 s
# Exposure_period 0.2000000 s
# Tau = 199.0e-09 s
# Count_cutoff 1048575 counts
# Threshold_setting: 6330 eV
# N_excluded_pixels = 3
# Wavelength 0.97950 A
# Energy_range (0, 0) eV
# Detector_distance 0.26500 m
# Beam_xy (10.25, 17.50) pixels
# Flux 0.000000
# Start_angle 30.0000 deg.
# Angle_increment 0.2000 deg.
# Detector_2theta 0.0000 deg.
# Polarization 0.990
# Oscillation_axis X.CW
"""


def minicbf(folder: Path, contents: str = PILATUS, shape: tuple[int, int] = (30, 20)) -> Path:
    """An image as the PILATUS server writes it; two of its pixels are marked."""
    path = folder / "pilatus_00001.cbf"
    pixels = np.ones(shape, np.int32)
    pixels[3, 4], pixels[7, 8] = -1, -2
    cbf.write(path, pixels)
    head, marker, rest = path.read_bytes().partition(b"_array_data.data")
    text = '_array_data.header_convention "PILATUS_1.2"\r\n_array_data.header_contents\r\n;\r\n'
    path.write_bytes(
        head + text.encode() + contents.replace("\n", "\r\n").encode() + b";\r\n\r\n" + marker + rest
    )
    return path


def test_adsc(tmp_path: Path) -> None:
    """The beam centre is MOSFLM's: x along slow, y along fast, from the outer corner."""
    geometry = nbragg.read_geometry(smv(tmp_path))
    (panel,) = geometry.panels
    assert panel.origin_mm == pytest.approx((-0.7, 1.2, -150))
    assert (panel.fast, panel.slow, panel.pixel_mm) == ((1, 0, 0), (0, -1, 0), 0.1024)
    assert (panel.fpixels, panel.spixels) == (20, 30)
    assert (geometry.wavelength_A, geometry.beam_vector) == (0.9795, (0, 0, -1))
    assert (geometry.phi_deg, geometry.osc_deg, geometry.exposure_s) == (12, 0.5, 1.5)
    assert geometry.readouts[0].trusted_range == (-41, 65495)
    assert geometry.spindle_axis is None
    crystal = format_files.setup().crystal.replace(osc_deg=0.5)
    with pytest.raises(nbragg.InputError, match=r"about which axis the crystal turns: give spindle_axis"):
        geometry.setup(crystal, polarization=0.9)
    setup = geometry.setup(crystal.replace(spindle_axis=(1, 0, 0)), polarization=0.9)
    assert nbragg.build_scene(setup).placement.panel.spindle == pytest.approx((1, 0, 0))


def test_a_swung_adsc_detector_asks_for_its_axis(tmp_path: Path) -> None:
    path = smv(tmp_path, TWOTHETA="20")
    with pytest.raises(nbragg.InputError, match=r'swung by 20 deg.*values=\{"twotheta_axis"'):
        nbragg.read_geometry(path)
    (panel,) = nbragg.read_geometry(path, values={"twotheta_axis": (0, 2, 0)}).panels
    c, s = math.cos(math.radians(20)), math.sin(math.radians(20))
    # about y: x -> x cos + z sin, z -> z cos - x sin
    assert panel.origin_mm == pytest.approx((-0.7 * c - 150 * s, 1.2, -150 * c + 0.7 * s))
    assert panel.fast == pytest.approx((c, 0, -s))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PIXEL_SIZE": None}, "no number PIXEL_SIZE"),
        ({"DISTANCE": "far"}, "no number DISTANCE"),
        ({"BEAM_CENTER_X": None}, "no number BEAM_CENTER_X"),
        ({"PIXEL_SIZE": "0"}, "above 0"),
        ({"CLOSE_DISTANCE": "140"}, "the detector is tilted, and the header does not say how"),
        ({"WAVELENGTH": "-1"}, "wavelength_A must be"),
        ({"DISTANCE": "1e99"}, "origin_mm"),
    ],
)
def test_bad_smv_headers(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(nbragg.FileError, match=words):
        nbragg.read_geometry(smv(tmp_path, **changes))


def test_an_image_that_turned_backwards(tmp_path: Path) -> None:
    geometry = nbragg.read_geometry(smv(tmp_path, OSC_RANGE="-0.5"))
    assert (geometry.phi_deg, geometry.osc_deg) == (11.5, 0.5)


def test_pilatus(tmp_path: Path) -> None:
    geometry = nbragg.read_geometry(minicbf(tmp_path), values={"attenuation_um": 245})
    (panel,) = geometry.panels
    assert panel.origin_mm == pytest.approx((-10.25 * 0.172, 17.5 * 0.172, -265))
    assert (panel.pixel_mm, panel.thickness_um) == (pytest.approx(0.172), pytest.approx(320))
    assert panel.mask is not None and panel.mask.sum() == 598
    assert panel.mask[3, 4] == panel.mask[7, 8] == 0
    assert (geometry.phi_deg, geometry.osc_deg, geometry.exposure_s) == (30, 0.2, 0.195)
    assert geometry.polarization == pytest.approx(0.98)
    assert geometry.spindle_axis == (1, 0, 0)
    assert (geometry.readouts[0].material, geometry.readouts[0].trusted_range) == ("Si", (-1, 1048575))
    crystal = format_files.setup().crystal.replace(osc_deg=0.5)
    assert geometry.setup(crystal).crystal.spindle_axis == (1, 0, 0)


@pytest.mark.parametrize("line", ["Pixel_size", "Detector_distance", "Beam_xy"])
def test_a_header_that_lacks_a_line(tmp_path: Path, line: str) -> None:
    contents = "\n".join(text for text in PILATUS.split("\n") if line not in text)
    with pytest.raises(nbragg.FileError, match=f"lacks Pixel_size|{line}"):
        nbragg.read_geometry(minicbf(tmp_path, contents))


def test_images_of_others_against_dxtbx(tmp_path: Path) -> None:
    """Corners of the panel, beam and angles of both headers as dxtbx has them."""
    code = """
import json, sys
import dxtbx
found = []
for path in sys.argv[1:]:
    image = dxtbx.load(path)
    panel, beam, scan = image.get_detector()[0], image.get_beam(), image.get_scan()
    nf, ns = panel.get_image_size()
    corners = [panel.get_lab_coord((i * nf * panel.get_pixel_size()[0], j * ns * panel.get_pixel_size()[1]))
               for i in (0, 1) for j in (0, 1)]
    found.append([corners, beam.get_s0(), scan.get_oscillation()])
print(json.dumps(found))
"""
    # of one module, the smallest that dxtbx takes
    paths = [smv(tmp_path), minicbf(tmp_path, shape=(195, 487))]
    expected = json.loads(dxtbx(code, *map(str, paths)).splitlines()[-1])
    for path, (corners, s0, oscillation) in zip(paths, expected, strict=True):
        geometry = nbragg.read_geometry(path)
        (panel,) = geometry.panels
        px = panel.pixel_mm
        assert isinstance(px, float) and geometry.wavelength_A is not None
        for (i, j), corner in zip(((0, 0), (0, 1), (1, 0), (1, 1)), corners, strict=True):
            along = (
                np.array(panel.fast) * i * px * panel.fpixels + np.array(panel.slow) * j * px * panel.spixels
            )
            assert np.array(panel.origin_mm) + along == pytest.approx(corner, abs=1e-9)
        assert np.array(geometry.beam_vector) / geometry.wavelength_A == pytest.approx(s0)
        assert (geometry.phi_deg, geometry.osc_deg) == pytest.approx(oscillation)


# ---- ours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "convention", "tilt"),
    [*((".tif", name, 3) for name in ("mosflm", "xds", "adxv", "denzo", "dials")), (".cbf", "xds", 0)],
)
def test_the_record_of_our_images(tmp_path: Path, suffix: str, convention: str, tilt: float) -> None:
    """CBF and TIFF keep all that was known, in the simulation's own frame."""
    setup = format_files.setup(
        crystal={"osc_deg": 0.4, "phi_deg": 12.0}, beam={"polarization": 0.3, "flux": 1e10},
        convention=convention, rotx_deg=tilt, roty_deg=-tilt / 2, rotz_deg=tilt / 3,
    )  # fmt: skip
    scene = format_files.built(setup)
    path = tmp_path / f"image{suffix}"
    nbragg.io.save_image(path, np.zeros((30, 40), np.float32), scene=scene, beam=setup.beam)
    back = nbragg.read_geometry(path)
    assert farthest(Geometry.from_scene(scene), back) < 1e-12
    assert back.spindle_axis == pytest.approx(scene.placement.panel.spindle)
    assert back.readouts[0].gain is not None
    assert (back.polarization, back.phi_deg, back.osc_deg) == pytest.approx((0.3, 12, 0.4))
    assert back.beam().fluence == pytest.approx(scene.fluence)


@pytest.mark.parametrize("convention", ["mosflm", "xds", "denzo", "dials"])
def test_smv_headers_of_the_reference_program(tmp_path: Path, convention: str) -> None:
    """The plane of a convention, in dxtbx's frame: to the six places that the header has.

    But for adxv, whose slow axis runs the other way: no SMV header says so.
    """
    setup = format_files.setup(
        crystal={"osc_deg": 0.4, "phi_deg": 12.0}, convention=convention, distance_mm=123.0
    )
    scene = format_files.built(setup)
    path = tmp_path / "image.img"
    smv_images.write(path, np.zeros((30, 40), np.uint16), smv_images.header_bytes(scene))
    back = nbragg.read_geometry(path)
    g = scene.placement.panel
    # fast to x, slow to -y and the beam to -z: a rotation where fast x slow is along the beam
    frame = np.array([g.fdet, -g.sdet, -g.odet])
    assert np.linalg.det(frame) == pytest.approx(1)
    expected = Geometry.from_scene(scene).turned(frame, "")
    assert farthest(expected, back) < 2e-6
    assert back.beam_vector == pytest.approx(expected.beam_vector)
    assert (back.phi_deg, back.osc_deg) == (12, 0.4)


def test_a_swung_image_of_the_reference_program(tmp_path: Path) -> None:
    """Near point and distance along the normal are those of the swung plane: to where the beam meets it."""
    scene = format_files.built(format_files.setup(convention="xds", twotheta_deg=15.0, ORGX=12.3, ORGY=14.5))
    path = tmp_path / "image.img"
    smv_images.write(path, np.zeros((30, 40), np.uint16), smv_images.header_bytes(scene))
    g = scene.placement.panel
    frame = np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1.0]])  # xds: fast x, slow y, beam z
    axis = frame @ np.asarray(g.twotheta_axis)
    back = nbragg.read_geometry(path, values={"twotheta_axis": tuple(axis)})
    expected = Geometry.from_scene(scene).turned(frame, "")
    assert farthest(expected, back) < 2e-6


def test_a_record_of_several_panels(tmp_path: Path) -> None:
    """Images of several panels list them; each has its own place and sensor."""
    scene = format_files.scene(convention="dials")
    record = ImageMetadata.from_scene(scene)
    own = {"fast": (1, 0, 0), "slow": [0, 1, 0], "fpixels": 4, "spixels": 3, "pixel_mm": [0.1, 0.2]}
    panels = [own | {"origin_mm": (i, 2, 90), "sensor_um": 10.0 * i, "attenuation_um": 50.0} for i in (0, 1)]
    made = _of_record(Path("image.tif"), record, record.to_dict() | {"panels": panels})
    assert [panel.origin_mm for panel in made.panels] == [(0, 2, 90), (1, 2, 90)]
    assert [panel.pixel_mm for panel in made.panels] == [(0.1, 0.2)] * 2
    assert [(p.thickness_um, p.attenuation_um) for p in made.panels] == [(0, None), (10, 50)]


def test_an_image_without_a_geometry(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    nbragg.io.save_image(path, np.zeros((3, 4), np.float32))
    with pytest.raises(nbragg.FileError, match="an image without a geometry"):
        nbragg.read_geometry(path)
    nbragg.io.save_image(tmp_path / "plain.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(nbragg.FileError, match=r"says no geometry.*\.expt.*\.geom"):
        nbragg.read_geometry(tmp_path / "plain.npy")

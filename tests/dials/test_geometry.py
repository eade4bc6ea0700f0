"""Where dxtbx puts the detector, the beam and the rotation axis of the files that are written, to 1e-6 mm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dials_run as dials
import numpy as np
import pytest

import nbragg
from nbragg.base.errors import InputError
from nbragg.io.images import check_geometry, save_image
from nbragg.io.images.metadata import ImageMetadata, imgcif_frame
from nbragg.scene.record import Scene

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CONVENTIONS = ("mosflm", "denzo", "xds", "adxv", "dials")
STANDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "twotheta": {"twotheta_deg": 12.0},
    "tilt": {"rotx_deg": 1.0, "roty_deg": -2.0, "rotz_deg": 3.0},
}
SUFFIXES = (".img", ".cbf", ".nxs")

#: every file in one process; the places of three corners, the beam, the axis and the scan
READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
out = {}
for name in sys.argv[1:]:
    e = ExperimentListFactory.from_filenames([name])[0]
    out[name] = {
        "format": e.imageset.get_format_class().__name__,
        "panels": [
            [p.get_pixel_lab_coord((f * p.get_image_size()[0], s * p.get_image_size()[1]))
             for f, s in ((0, 0), (1, 0), (0, 1))]
            for p in e.detector
        ],
        "pixel": e.detector[0].get_pixel_size(),
        "sizes": [p.get_image_size() for p in e.detector],
        "source": e.beam.get_sample_to_source_direction(),
        "wavelength": e.beam.get_wavelength(),
        "axis": e.goniometer and e.goniometer.get_rotation_axis(),
        "oscillation": e.scan and e.scan.get_oscillation(),
        "thickness": [p.get_thickness() for p in e.detector],
        "material": [p.get_material() for p in e.detector],
        "type": [p.get_type() for p in e.detector],
        "gain": e.detector[0].get_gain(),
        "pedestal": e.detector[0].get_pedestal(),
        "trusted": e.detector[0].get_trusted_range(),
        "sum": [float(sum(part.as_1d())) for part in e.imageset.get_raw_data(0)],
        "masked": [int(part.as_1d().count(False)) for part in e.imageset.get_mask(0)],
    }
print(json.dumps(out))
"""


def crystal(amplitude: float) -> nbragg.Crystal:
    factors = nbragg.StructureFactors.constant(amplitude)
    return nbragg.Crystal(
        structure_factors=factors, cell=(70, 80, 90, 90, 90, 90), N=5, phi_deg=10.5, osc_deg=0.5
    )


def _scene(convention: str, stand: str) -> Scene:
    detector = nbragg.Detector(
        distance_mm=150.0, pixel_mm=0.1, fpixels=50, spixels=40, convention=convention, **STANDS[stand]
    )
    setup = nbragg.Setup(crystal(100.0), nbragg.Beam(wavelength_A=0.97), detector)
    scene: Scene = nbragg.build_scene(setup)
    return scene


def _expected(scene: Scene) -> tuple[list[Any], Any]:
    """Corners of every panel and the rotation axis in imgCIF's frame, from the Scene alone."""
    metadata = ImageMetadata.from_scene(scene)
    frame = imgcif_frame(metadata)
    panels = []
    for panel in scene.panels:
        fast, slow = panel.fdet * panel.pixel[0] * 1e3, panel.sdet * panel.pixel[1] * 1e3
        corner = panel.pix0 * 1e3 + panel.first[0] * fast + panel.first[1] * slow
        places = (corner, corner + panel.fpixels * fast, corner + panel.spixels * slow)
        panels.append([frame @ place for place in places])
    return panels, frame @ np.asarray(metadata.spindle)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Path]:
    """Every image that can be written, by convention, stand and suffix."""
    dials.need()
    folder = tmp_path_factory.mktemp("geometry")
    pixels = np.arange(2000, dtype=np.int32).reshape(40, 50)
    written = {}
    for convention in CONVENTIONS:
        for stand in STANDS:
            scene = _scene(convention, stand)
            for suffix in SUFFIXES:
                path = folder / f"{convention}_{stand}_0001{suffix}"
                try:
                    check_geometry(path, scene)
                except InputError:
                    with pytest.raises(InputError):
                        save_image(path, pixels, scene=scene)
                    continue
                save_image(path, pixels, scene=scene)
                written[convention, stand, suffix] = path
    return written


@pytest.fixture(scope="module")
def found(files: dict[tuple[str, str, str], Path]) -> dict[str, Any]:
    result: dict[str, Any] = dials.run(READ, *files.values())
    return result


def test_what_is_refused(files: dict[tuple[str, str, str], Path]) -> None:
    """NeXus says everything; fixed axes a detector across the beam, with fast along the spindle."""
    by_headers = {(c, s) for c, s, suffix in files if suffix == ".cbf"}
    assert by_headers == {(convention, "plain") for convention in ("mosflm", "denzo", "xds")}
    assert {(c, s) for c, s, suffix in files if suffix == ".img"} == by_headers
    assert {(c, s) for c, s, suffix in files if suffix == ".nxs"} == {
        (c, s) for c in CONVENTIONS for s in STANDS
    }


def test_the_geometry_of_every_file(files: dict[tuple[str, str, str], Path], found: dict[str, Any]) -> None:
    classes = {".img": "FormatSMVJHSim", ".cbf": "FormatCBFMini", ".nxs": "FormatNXmx"}
    for (convention, stand, suffix), path in files.items():
        told = found[str(path)]
        panels, axis = _expected(_scene(convention, stand))
        assert told["format"] == classes[suffix]
        assert np.abs(np.array(told["panels"]) - np.array(panels)).max() < 1e-6, path.name
        assert told["source"] == pytest.approx([0, 0, 1], abs=1e-12)
        assert told["axis"] == pytest.approx(axis.tolist(), abs=1e-9)
        assert told["wavelength"] == pytest.approx(0.97, rel=1e-9)
        assert told["oscillation"] == pytest.approx([10.5, 0.5], abs=1e-9)
        assert told["sum"] == [sum(range(2000))]
        assert told["type"] == ["SENSOR_CCD" if suffix == ".img" else "SENSOR_PAD"]


def test_the_sensor_and_the_scale(tmp_path: Path) -> None:
    dials.need()
    detector = nbragg.Detector(
        distance_mm=150.0, pixel_mm=0.1, fpixels=50, spixels=40, thickness_um=450.0, attenuation_um=237.0,
        thicksteps=1,
    )  # fmt: skip
    scene = nbragg.build_scene(nbragg.Setup(crystal(100.0), None, detector))
    pixels = np.linspace(0, 100, 2000, dtype=np.float32).reshape(40, 50)
    paths = [tmp_path / f"a_0001{suffix}" for suffix in SUFFIXES]
    save_image(paths[0], pixels, scene=scene, scale=3.0, offset=40.0)
    save_image(paths[1], pixels, scene=scene, scale=3.0)
    save_image(paths[2], pixels, scene=scene, scale=3.0, dtype="int32")
    told = dials.run(READ, *paths)
    smv, cbf, nxs = (told[str(path)] for path in paths)
    assert smv["pedestal"] == 40.0 and smv["trusted"][1] == 65495
    for one in (cbf, nxs):
        assert one["thickness"] == pytest.approx([0.45]) and one["material"] == ["Si"]


def test_pilatus(tmp_path: Path) -> None:
    """An image of a Pilatus' size has its gaps masked by the reader."""
    dials.need()
    detector = nbragg.Detector(pixel_mm=0.172, fpixels=487, spixels=619, distance_mm=200.0)
    scene = nbragg.build_scene(nbragg.Setup(crystal(100.0), None, detector))
    save_image(tmp_path / "p_0001.cbf", np.ones((619, 487), np.int32), scene=scene)
    told = dials.run(READ, tmp_path / "p_0001.cbf")[str(tmp_path / "p_0001.cbf")]
    assert told["format"] == "FormatCBFMiniPilatus" and told["masked"] == [2 * 17 * 487]
    panels, _ = _expected(scene)
    assert np.abs(np.array(told["panels"]) - np.array(panels)).max() < 1e-6


@pytest.mark.parametrize("sizes", [((40, 30),) * 3, ((40, 30), (25, 20))])
def test_several_panels(tmp_path: Path, sizes: tuple[tuple[int, int], ...]) -> None:
    """Tilted panels of one or of several sizes, one of them with a mask."""
    dials.need()
    panels = []
    for i, (nf, ns) in enumerate(sizes):
        c, s = np.cos(0.1 * i), np.sin(0.1 * i)
        mask = None
        if len(sizes) == 3:  # dxtbx of 2022 reads no mask of panels of several widths
            mask = np.ones((ns, nf))
            mask[: 2 * i] = 0
        panels.append(
            nbragg.Panel(
                origin_mm=(-3.0 + i, 4.0 - 3 * i, 100.0 + i), fast=(c, 0.0, s), slow=(0.0, -1.0, 0.0),
                fpixels=nf, spixels=ns, pixel_mm=(0.1, 0.12), mask=mask,
            )
        )  # fmt: skip
    detector = nbragg.Detector(panels=panels, convention="xds")
    setup = nbragg.Setup(crystal(1e5), nbragg.Beam(), detector)
    result = nbragg.simulate(setup)
    result.save(tmp_path / "a.nxs")
    told = dials.run(READ, tmp_path / "a.nxs")[str(tmp_path / "a.nxs")]
    expected, axis = _expected(result.scene)
    assert told["sizes"] == [list(size) for size in sizes]
    for one, other in zip(told["panels"], expected, strict=True):
        assert np.abs(np.array(one) - np.array(other)).max() < 1e-6
    assert told["axis"] == pytest.approx(axis.tolist(), abs=1e-9)
    sums = [float(part.sum(dtype=np.float64)) for part in result.panels]
    assert told["sum"] == pytest.approx(sums, rel=1e-6) and min(sums) > 0
    assert told["masked"] == [2 * i * nf if len(sizes) == 3 else 0 for i, (nf, _) in enumerate(sizes)]


def test_the_reader_s_parallax(tmp_path: Path) -> None:
    """dxtbx weighs the depth of absorption by what is absorbed, but does not divide by the capture fraction.

    So it puts a spot by A T g(u) tan(angle) outwards where photons are counted at T g(u) tan(angle), A being
    the capture fraction and u = T mu / r: with 450 um of silicon at 1 angstrom DIALS finds a detector 0.02 mm
    too far away.
    """
    dials.need()
    detector = nbragg.Detector(
        distance_mm=120.0, pixel_mm=0.1, fpixels=500, spixels=40, thickness_um=450.0, attenuation_um=237.6
    )
    setup = nbragg.Setup(crystal(100.0), nbragg.Beam(), detector)
    save_image(tmp_path / "a_0001.cbf", np.ones((40, 500), np.int32), scene=nbragg.build_scene(setup))
    code = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
p = ExperimentListFactory.from_filenames([sys.argv[1]])[0].detector[0]
print(json.dumps([p.get_mu(), p.millimeter_to_pixel((50.0, 2.0)), p.get_beam_centre((0.0, 0.0, -1.0))]))
"""
    mu, pixel, centre = dials.run(code, tmp_path / "a_0001.cbf")
    assert 1e3 / mu == pytest.approx(237.6, rel=2e-3)
    across = np.array([50.0 - centre[0], 2.0 - centre[1]])
    r = 1.0 / np.hypot(1.0, np.hypot(*across) / 120.0)
    u = 0.45 * mu / r
    depth = 0.45 * (1 / u - 1 / np.expm1(u))
    told = np.array(pixel) * 0.1 - np.array([50.0, 2.0])
    assert told == pytest.approx((1 - np.exp(-u)) * depth * across / 120.0, rel=1e-6)
    assert depth > 0.1 and np.exp(-u) > 0.1

"""NeXus NXmx: geometry, goniometer and beam through the nxmx package; frames; existing files."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_files import built, scene, setup

from nbragg.base.errors import FileError, InputError, NbraggWarning
from nbragg.base.vectors import axis_rotation
from nbragg.io.images import nexus_writer, read_image, save_image
from nbragg.io.images.metadata import ImageMetadata, mcstas_frame
from nbragg.io.recipe import to_dict

h5py = pytest.importorskip("h5py")
nxmx = pytest.importorskip("nxmx")

IMAGE = np.random.default_rng(2).gamma(0.5, 100.0, (30, 40)).astype(np.float32)

_GEOMETRIES: dict[str, dict[str, Any]] = {
    "mosflm": {},
    "xds": {"convention": "xds", "ORGX": 3.2, "ORGY": -8.5},
    "adxv tilted": {"convention": "adxv", "rotx_deg": 5.0, "roty_deg": -3.0, "rotz_deg": 20.0},
    "dials swung": {"convention": "dials", "twotheta_deg": 25.0, "rotx_deg": 2.0},
    "mosflm swung": {"twotheta_deg": -40.0, "rotz_deg": 1.0, "Xbeam_mm": 1.0, "Ybeam_mm": 7.0},
    "custom": {
        "fdet_vector": (1.0, 0.2, 0.1),
        "sdet_vector": (-0.2, 1.0, 0.0),
        "odet_vector": (-0.1, -0.02, 1.04),
        "twotheta_axis": (0.3, 1.0, 0.2),
        "twotheta_deg": 12.0,
    },
}


def _unit(v: Any) -> Any:
    return np.asarray(v) / np.linalg.norm(v)


@pytest.mark.parametrize("name", list(_GEOMETRIES))
def test_geometry_in_nxmx(tmp_path: Path, name: str) -> None:
    custom = name == "custom"
    crystal: dict[str, Any] = {"phi_deg": 33.0, "osc_deg": 0.25}
    beam: dict[str, Any] = {"wavelength_A": 0.9795, "polarization": 0.95, "flux": 1e12, "beamsize_mm": 0.05}
    if custom:
        crystal["spindle_axis"] = (0.1, 0.9, -0.3)
        beam |= {"beam_vector": (0.05, -0.02, 1.0), "polar_vector": (0.2, 1.0, 0.0)}
    settings = setup(crystal=crystal, beam=beam, **_GEOMETRIES[name])
    s = built(settings)
    p, g = s.panel, s.placement.panel
    path = tmp_path / "a.nxs"
    save_image(path, IMAGE, scene=s, beam=settings.beam, recipe=to_dict(settings))
    to_file = mcstas_frame(ImageMetadata.from_scene(s))
    assert np.allclose(to_file @ to_file.T, np.eye(3), atol=1e-15) and np.linalg.det(to_file) > 0.999
    assert np.allclose(to_file @ p.beam, [0, 0, 1], atol=1e-12)

    with h5py.File(path) as file:
        (entry,) = nxmx.NXmx(file).entries
        (instrument,) = entry.instruments
        (detector,) = instrument.detectors
        (module,) = detector.modules
        (beam_group,) = instrument.beams
        (sample,) = entry.samples

        # detector: every corner of the image, and the axes
        chain = nxmx.get_dependency_chain(module.module_offset)
        assert [t.path.split("/")[-1] for t in chain] == ["module_offset", "translation", "two_theta"]
        origin = nxmx.get_cumulative_transformation(chain)[0] @ [0, 0, 0, 1]
        steps = []
        for axis in (module.fast_pixel_direction, module.slow_pixel_direction):
            total = nxmx.get_cumulative_transformation(nxmx.get_dependency_chain(axis))[0]
            steps.append((total @ [0, 0, 0, 1])[:3] - origin[:3])
        for i, j in ((0, 0), (40, 0), (0, 30), (40, 30)):
            corner = origin[:3] + i * steps[0] + j * steps[1]
            expected = (
                to_file @ (s.panel.pix0 + s.panel.pixel[0] * (i * s.panel.fdet + j * s.panel.sdet)) * 1e3
            )
            assert np.abs(corner - expected).max() < 1e-9
        assert detector.distance.to("mm").magnitude == pytest.approx(p.distance * 1e3, rel=1e-12)
        assert detector.beam_center_x.magnitude * p.pixel[0] == pytest.approx(g.Fbeam, abs=1e-12)
        assert detector.beam_center_y.magnitude * p.pixel[0] == pytest.approx(g.Sbeam, abs=1e-12)
        assert tuple(module.data_size) == (30, 40)

        # goniometer: the rotation as a whole
        axes = nxmx.get_rotation_axes(nxmx.get_dependency_chain(sample.depends_on))
        assert axes.names.tolist() == ["omega"] and axes.angles[0] == pytest.approx(33.0, abs=1e-12)
        turned = nxmx.get_cumulative_transformation(nxmx.get_dependency_chain(sample.depends_on))[0]
        expected = to_file @ axis_rotation(_unit(g.spindle), s.placement.phi0) @ to_file.T
        assert np.abs(turned[:3, :3] - expected).max() < 1e-9
        omega = sample.depends_on
        assert omega.end[()].to("deg").magnitude == pytest.approx([33.25])

        # beam
        wavelength = np.squeeze(beam_group.incident_wavelength.to("angstrom").magnitude)
        assert float(wavelength) == pytest.approx(0.9795, rel=1e-12)
        assert float(np.squeeze(beam_group.total_flux.to("Hz").magnitude)) == 1e12
        stokes = file["entry/instrument/beam/incident_polarisation_stokes"][()]
        assert np.hypot(stokes[1], stokes[2]) == pytest.approx(0.95)
        chi = np.arctan2(stokes[2], stokes[1]) / 2
        field = to_file.T @ [np.cos(chi), np.sin(chi), 0]
        across = s.polar_vector - (s.polar_vector @ p.beam) * p.beam
        assert abs(field @ _unit(across)) == pytest.approx(1.0, abs=1e-9)
        assert entry.definition == "NXmx" and entry.source.name == "nanobragg simulation"
        assert np.array_equal(entry.data[0]["data"][0], IMAGE)

    found = read_image(path)
    assert np.array_equal(found.image, IMAGE)
    assert ImageMetadata.from_dict(found.metadata) == ImageMetadata.from_scene(
        s, settings.beam, to_dict(settings)
    )


def test_rotation_series(tmp_path: Path) -> None:
    metadata = ImageMetadata.from_scene(scene(crystal={"phi_deg": 10.0, "osc_deg": 0.5}))
    frames = [np.full((30, 40), i, dtype=np.uint16) for i in range(4)]
    assert nexus_writer.write(tmp_path / "a.nxs", (frame for frame in frames), metadata) == 4
    with h5py.File(tmp_path / "a.nxs") as file:
        (entry,) = nxmx.NXmx(file).entries
        omega = entry.samples[0].depends_on
        assert omega[()].to("deg").magnitude.tolist() == [10.0, 10.5, 11.0, 11.5]
        assert nxmx.get_rotation_axes(nxmx.get_dependency_chain(omega)).is_scan_axis.tolist() == [True]
        assert omega.increment_set.magnitude.tolist() == [0.5] * 4
        assert entry["data"]["data"].shape == (4, 30, 40) and entry["data"]["data"].dtype == np.uint16
        assert entry.instruments[0].detectors[0].saturation_value == 65535
    assert read_image(tmp_path / "a.nxs", frame=-1).image[0, 0] == 3
    assert read_image(tmp_path / "a.nxs", frame=None).image.shape == (4, 30, 40)
    with pytest.raises(InputError, match="has 4 frames; frame 9"):
        read_image(tmp_path / "a.nxs", frame=9)
    nexus_writer.write(tmp_path / "b.nxs", np.stack(frames), metadata, angles_deg=[0.0, 90.0, 180.0, 270.0])
    with h5py.File(tmp_path / "b.nxs") as file:
        assert file["entry/sample/transformations/omega"][()].tolist() == [0.0, 90.0, 180.0, 270.0]


@pytest.mark.parametrize("compression", nexus_writer.COMPRESSIONS)
def test_compression(tmp_path: Path, compression: str) -> None:
    if compression in ("bitshuffle", "lz4"):
        pytest.importorskip("hdf5plugin")
    save_image(tmp_path / "a.h5", IMAGE, scene=scene(), compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.h5").image, IMAGE)


def test_bad_frames_leave_nothing(tmp_path: Path) -> None:
    metadata = ImageMetadata.from_scene(scene())
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ([], {}, "no frame was given"),
        ([IMAGE, IMAGE[1:]], {}, r"frame 1 has the shape \(29, 40\)"),
        ([IMAGE, IMAGE.astype(np.int32)], {}, "frame 1 has the dtype int32, the first one float32"),
        ([IMAGE.astype(complex)], {}, "a real type"),
        ([IMAGE], {"angles_deg": [1.0, 2.0]}, r"angles_deg has the shape \(2,\)"),
        ([IMAGE], {"compression": "zip"}, "compression = 'zip'"),
    ]
    for frames, options, message in cases:
        with pytest.raises(InputError, match=message):
            nexus_writer.write(tmp_path / "a.nxs", frames, metadata, **options)
        assert list(tmp_path.iterdir()) == []

    def broken() -> Any:
        yield IMAGE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nexus_writer.write(tmp_path / "a.nxs", broken(), metadata)
    assert list(tmp_path.iterdir()) == []


def test_start_time_and_curved(tmp_path: Path) -> None:
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    with pytest.warns(NbraggWarning, match="flat modules"):
        save_image(tmp_path / "a.nxs", IMAGE, scene=scene(curved=True), start_time=moment)
    with h5py.File(tmp_path / "a.nxs") as file:
        assert nxmx.NXmx(file).entries[0].start_time == moment


def test_foreign_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["some/picture"] = IMAGE
        file["some/vector"] = np.arange(3)
    assert np.array_equal(read_image(path).image, IMAGE)
    with h5py.File(path, "a") as file:
        file["other/picture"] = IMAGE + 1
    with pytest.raises(
        InputError, match="several images: choose with dataset=, one of other/picture, some/picture"
    ):
        read_image(path)
    assert np.array_equal(read_image(path, dataset="/other/picture").image, IMAGE + 1)
    with pytest.raises(InputError, match="has no image 'some/vector'"):
        read_image(path, dataset="some/vector")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["entry/data/data_000001"] = np.stack([IMAGE, IMAGE])
        detector = file.create_group("entry/instrument/detector")
        for name, value, units in (
            ("x_pixel_size", 75e-6, "m"),
            ("detector_distance", 0.2, "m"),
            ("beam_center_x", 12.0, "pixel"),
            ("beam_center_y", 13.0, "pixel"),
        ):
            detector.create_dataset(name, data=value).attrs["units"] = units
        file["entry/instrument/beam/incident_wavelength"] = 1.1
    metadata = read_image(tmp_path / "b.h5").metadata
    assert metadata["pixel_mm"] == pytest.approx(0.075) and metadata["distance_mm"] == pytest.approx(200.0)
    assert metadata["beam_center_px"] == (12.0, 13.0) and metadata["wavelength_A"] == 1.1
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = 1.0
    with pytest.raises(FileError, match="no two- or three-dimensional dataset"):
        read_image(tmp_path / "c.h5")

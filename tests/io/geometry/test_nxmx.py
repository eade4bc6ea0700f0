"""NXmx: chains of transformations, modules, masks, beam and goniometer; ours and others' files."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import reduce
from pathlib import Path
from typing import Any

import format_files
import h5py
import numpy as np
import pytest
from geometry_files import centres, farthest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from strategies import generic

import nbragg
from nbragg.base import constants
from nbragg.io.geometry.record import Geometry
from nbragg.io.images.metadata import ImageMetadata, mcstas_frame

DETECTOR = "/entry/instrument/detector"
AXES = f"{DETECTOR}/transformations"


def axis(
    group: Any,
    name: str,
    value: Any,
    kind: str,
    vector: Any,
    depends_on: str,
    units: str | None = None,
    offset: Any = (0, 0, 0),
    offset_units: str | None = "mm",
) -> None:
    """One transformation, as NeXus writes it."""
    item = group.create_dataset(name, data=np.asarray(value, np.float64))
    item.attrs["units"] = units or ("deg" if kind == "rotation" else "mm")
    item.attrs["transformation_type"] = kind
    item.attrs["vector"] = np.asarray(vector, np.float64)
    item.attrs["offset"] = np.asarray(offset, np.float64)
    if offset_units is not None:
        item.attrs["offset_units"] = offset_units
    item.attrs["depends_on"] = depends_on


def group_of(parent: Any, name: str, kind: str) -> Any:
    made = parent.create_group(name)
    made.attrs["NX_class"] = kind
    return made


def skeleton(file: Any, wavelength: float | None = 1.1) -> Any:
    """Entry, instrument, beam and an empty detector; returns the detector."""
    entry = group_of(file, "entry", "NXentry")
    instrument = group_of(entry, "instrument", "NXinstrument")
    beam = group_of(instrument, "beam", "NXbeam")
    if wavelength is not None:
        beam.create_dataset("incident_wavelength", data=wavelength).attrs["units"] = "angstrom"
    return group_of(instrument, "detector", "NXdetector")


def module_of(
    detector: Any, name: str, size: tuple[int, int], depends_on: str, origin: Any = (0, 0), **vectors: Any
) -> Any:
    """A module of pixels 0.1 x 0.2 mm that stands on a transformation."""
    module = group_of(detector, name, "NXdetector_module")
    module.create_dataset("data_origin", data=np.asarray(origin))
    leading = [1] * (len(origin) - 2)
    module.create_dataset("data_size", data=np.array([*leading, *size]))
    for axis_name, edge, vector in (("fast", 0.1, (-1, 0, 0)), ("slow", 0.2, (0, -1, 0))):
        along = vectors.get(axis_name, vector)
        axis(module, f"{axis_name}_pixel_direction", edge, "translation", along, depends_on)
    return module


def made(folder: Path, fill: Any, **options: Any) -> Path:
    path = folder / "made.nxs"
    with h5py.File(path, "w") as file:
        fill(skeleton(file, **options))
    return path


def simple(detector: Any) -> None:
    """One module 100 mm away."""
    axes = group_of(detector, "transformations", "NXtransformations")
    axis(axes, "translation", 100, "translation", (0, 0, 1), ".")
    module_of(detector, "module", (6, 8), f"{AXES}/translation")


# ---- chains ------------------------------------------------------------------------------------------------


def homogeneous(kind: str, value: float, vector: Any, offset: Any) -> NDArray[np.float64]:
    matrix = np.eye(4)
    unit = np.array(vector) / np.linalg.norm(vector)
    if kind == "rotation":
        matrix[:3, :3] = Rotation.from_rotvec(math.radians(value) * unit).as_matrix()
        matrix[:3, 3] = offset
    else:
        matrix[:3, 3] = offset + value * unit
    return matrix


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(["rotation", "translation"]), min_size=1, max_size=5), st.integers(0, 2**32 - 1)
)
def test_chains_by_products_of_matrices(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], seed: int
) -> None:
    """Rotations, translations and offsets in any order, in several units; pixel centres to 1e-12 mm."""
    rng = np.random.default_rng(seed)
    steps = [(k, rng.uniform(-170, 170), rng.normal(size=3), rng.uniform(-50, 50, 3)) for k in kinds]
    fast, slow = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]

    def fill(detector: Any) -> None:
        axes = group_of(detector, "transformations", "NXtransformations")
        below = "."
        for i, (kind, value, vector, offset) in enumerate(steps):
            units = ("deg", "rad")[i % 2] if kind == "rotation" else ("mm", "m", "um")[i % 3]
            factor = {"deg": 1, "rad": math.pi / 180, "mm": 1, "m": 1e-3, "um": 1e3}[units]
            offset_units = ("mm", "m")[i % 2]
            written = offset * {"mm": 1, "m": 1e-3}[offset_units]
            # by the whole path and by the name alone
            axis(axes, f"step{i}", value * factor, kind, vector, below, units, written, offset_units)
            below = f"step{i}" if i % 2 else f"{AXES}/step{i}"
        module_of(detector, "module", (4, 5), f"{AXES}/step{len(steps) - 1}", fast=fast, slow=slow)

    path = made(tmp_path_factory.mktemp("chain"), fill)
    (panel,) = nbragg.read_geometry(path).panels
    whole = reduce(np.matmul, [homogeneous(*step) for step in steps])
    i, j = np.meshgrid((np.arange(5) + 0.5) * 0.1, (np.arange(4) + 0.5) * 0.2)
    expected = whole[:3, 3] + (i[..., None] * fast + j[..., None] * slow) @ whole[:3, :3].T
    assert np.abs(expected - centres(panel)).max() < 1e-11


def test_two_rotations_and_offsets_against_nxmx(tmp_path: Path) -> None:
    nxmx = pytest.importorskip("nxmx")

    def fill(detector: Any) -> None:
        axes = group_of(detector, "transformations", "NXtransformations")
        axis(axes, "two_theta", 12, "rotation", (0, 1, 0), ".", offset=(1, 2, 3))
        axis(axes, "distance", 90, "translation", (0, 0, 1), f"{AXES}/two_theta")
        axis(axes, "tilt", 5, "rotation", (0.6, 0.8, 0), f"{AXES}/distance", offset=(-4, 0, 0.5))
        module_of(detector, "module", (6, 8), f"{AXES}/tilt")

    path = made(tmp_path, fill)
    (panel,) = nbragg.read_geometry(path).panels
    with h5py.File(path) as file:
        chain = nxmx.get_dependency_chain(nxmx.NXtransformationsAxis(file[f"{AXES}/tilt"]))
        whole = nxmx.get_cumulative_transformation(chain)[0]
    assert panel.origin_mm == pytest.approx(whole[:3, 3], abs=1e-12)
    assert panel.fast == pytest.approx(whole[:3, :3] @ [-1, 0, 0], abs=1e-14)
    assert panel.slow == pytest.approx(whole[:3, :3] @ [0, -1, 0], abs=1e-14)
    assert panel.pixel_mm == (0.1, 0.2)


# ---- our own files -----------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.sampled_from(["mosflm", "xds", "adxv", "denzo", "dials"]),
    generic(-25, 25), st.booleans(), generic(-10, 10), generic(-1, 1),
)  # fmt: skip
def test_what_we_write_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    convention: str,
    twotheta: float,
    swung: bool,
    tilt: float,
    k: float,
) -> None:
    """Panel, beam, polarization and spindle of every convention, turned into McStas: centres to 1e-9 m."""
    strength = {"flux": 1e11, "exposure_s": 0.3, "beamsize_mm": 0.02}
    setup = format_files.setup(
        crystal={"osc_deg": 0.4, "phi_deg": 12.0},
        beam={"polarization": abs(k), "wavelength_A": 1.2, **strength},
        convention=convention, twotheta_deg=twotheta if swung else 0.0, rotx_deg=tilt, roty_deg=-tilt / 2,
    )  # fmt: skip
    scene = format_files.built(setup)
    path = tmp_path_factory.mktemp("ours") / "image.nxs"
    nbragg.io.save_image(path, np.zeros((30, 40), np.float32), scene=scene, beam=setup.beam)
    back = nbragg.read_geometry(path)
    frame = mcstas_frame(ImageMetadata.from_scene(scene))
    expected = Geometry.from_scene(scene).turned(frame, "McStas")
    assert farthest(expected, back) < 1e-9
    assert back.beam_vector == pytest.approx(expected.beam_vector, abs=1e-12)
    assert back.spindle_axis == pytest.approx(expected.spindle_axis, abs=1e-9)
    assert abs(np.array(back.polar_vector) @ np.array(expected.polar_vector)) == pytest.approx(1, abs=1e-9)
    assert back.polarization == pytest.approx(abs(k), abs=1e-12)
    assert back.wavelength_A == pytest.approx(1.2, rel=1e-12)
    assert (back.phi_deg, back.osc_deg) == pytest.approx((12, 0.4))
    assert (back.images, back.exposure_s, back.beamsize_mm) == (1, 0.3, 0.02)
    assert back.beam().flux == 1e11
    assert back.frame == "McStas"


def test_frames_of_a_scan(tmp_path: Path) -> None:
    scene = format_files.scene(crystal={"osc_deg": 0.5, "phi_deg": -3})
    path = tmp_path / "scan.nxs"
    nbragg.io.save_image(path, np.zeros((7, 30, 40), np.float32), scene=scene)
    geometry = nbragg.read_geometry(path)
    assert (geometry.phi_deg, geometry.osc_deg, geometry.images) == pytest.approx((-3, 0.5, 7))


def test_the_sensor_that_was_simulated(tmp_path: Path) -> None:
    """Files of ours say a thickness even where there is none; their record tells."""
    scene = format_files.scene(thickness_um=300.0, attenuation_um=250.0)
    path = tmp_path / "image.nxs"
    nbragg.io.save_image(path, np.zeros((30, 40), np.float32), scene=scene)

    def recorded(**fields: Any) -> nbragg.Panel:
        with h5py.File(path, "r+") as file:
            item = file["entry/nanobragg/metadata"]
            record = {k: v for k, v in json.loads(item[()]).items() if k != "attenuation_um"} | fields
            item[()] = json.dumps(record)
            file[f"{DETECTOR}/sensor_thickness"][...] = 1e-9
        (panel,) = nbragg.read_geometry(path).panels
        return panel

    assert (recorded().thickness_um, recorded().attenuation_um) == (pytest.approx(300), None)
    assert recorded(attenuation_um=250.0).attenuation_um == 250
    assert recorded(attenuation_um=0.0).attenuation_um == 0
    assert (recorded(sensor_um=0.0).thickness_um, recorded(sensor_um=0.0).attenuation_um) == (0, None)
    each = [{"sensor_um": 10.0, "attenuation_um": 20.0}]
    assert (recorded(panels=each).thickness_um, recorded(panels=each).attenuation_um) == (10, 20)
    with pytest.raises(nbragg.FileError, match="is damaged"):
        recorded(panels=[{"sensor_um": "thick"}])


def test_a_negative_kahn_factor_is_a_turned_field(tmp_path: Path) -> None:
    """The Stokes vector knows no sign: -K about one axis is K about the one across."""
    scene = format_files.scene(beam={"polarization": -0.4})
    path = tmp_path / "image.nxs"
    nbragg.io.save_image(path, np.zeros((30, 40), np.float32), scene=scene)
    back = nbragg.read_geometry(path)
    frame = mcstas_frame(ImageMetadata.from_scene(scene))
    assert back.polarization == pytest.approx(0.4)
    assert abs(np.dot(back.polar_vector, frame @ scene.polar_vector)) < 1e-9


# ---- others' files -----------------------------------------------------------------------------------------


def test_modules_of_a_detector_of_several(tmp_path: Path) -> None:
    """As at SwissFEL: modules in one array, each with an offset and a turn of its own, and a mask of all."""
    mask = np.zeros((20 * 6, 8), np.uint32)
    mask[13, 2] = 1 << 3
    mask[0, 0] = 1 << 20  # no bit of NXmx

    def fill(detector: Any) -> None:
        axes = group_of(detector, "transformations", "NXtransformations")
        axis(axes, "AXIS_D0", 95, "translation", (0, 0, 1), ".")
        for m in range(20):
            axis(axes, f"AXIS_D0M{m}", 0.1 * m, "rotation", (0, 0, 1), "AXIS_D0", offset=(m, -2 * m, 0))
            module_of(detector, f"ARRAY_D0M{m}", (6, 8), f"{AXES}/AXIS_D0M{m}", origin=(6 * m, 0))
        detector.create_dataset("pixel_mask", data=mask)

    geometry = nbragg.read_geometry(made(tmp_path, fill))
    # in the order of their numbers, not of their letters
    assert [panel.name for panel in geometry.panels] == [f"ARRAY_D0M{m}" for m in range(20)]
    for m, panel in enumerate(geometry.panels):
        assert panel.origin_mm == pytest.approx((m, -2 * m, 95))
        angle = math.radians(0.1 * m)
        assert panel.fast == pytest.approx((-math.cos(angle), -math.sin(angle), 0))
    masked = [panel.mask for panel in geometry.panels]
    assert [m for m, part in enumerate(masked) if part is not None] == [2]
    assert masked[2] is not None and masked[2][1, 2] == 0 and masked[2].sum() == 47


def test_a_stack_of_modules(tmp_path: Path) -> None:
    """data_origin and data_size with a leading axis, as the mask has."""
    mask = np.zeros((3, 6, 8), np.uint8)
    mask[1, 5, 7] = 1

    def fill(detector: Any) -> None:
        for m in range(3):
            module_of(detector, f"module_{m}", (6, 8), ".", origin=(m, 0, 0))
        detector.create_dataset("pixel_mask", data=mask)

    with pytest.raises(nbragg.InputError, match="passes through the sample"):
        nbragg.build_scene(
            format_files.setup().replace(detector=nbragg.read_geometry(made(tmp_path, fill)).detector)
        )
    panels = nbragg.read_geometry(tmp_path / "made.nxs").panels
    assert [panel.mask is None for panel in panels] == [True, False, True]
    assert panels[1].mask is not None and panels[1].mask[5, 7] == 0


def test_sensor_and_limits(tmp_path: Path) -> None:
    def fill(detector: Any) -> None:
        simple(detector)
        detector.create_dataset("sensor_thickness", data=450.0).attrs["units"] = "um"
        detector.create_dataset("sensor_material", data="Silicon")
        detector.create_dataset("saturation_value", data=60000)
        detector.create_dataset("underload_value", data=-1)
        detector.create_dataset("count_time", data=5.0).attrs["units"] = "ms"

    geometry = nbragg.read_geometry(made(tmp_path, fill), values={"attenuation_um": 300})
    (readout,) = geometry.readouts
    assert (readout.material, readout.trusted_range) == ("Si", (-1, 60000))
    assert geometry.detector.panels[0].thickness_um == pytest.approx(450)
    assert geometry.exposure_s == 0.005
    with pytest.raises(nbragg.InputError, match="450 um of a Si sensor"):
        nbragg.read_geometry(tmp_path / "made.nxs").detector  # noqa: B018


@pytest.mark.parametrize(
    ("stokes", "kahn", "polar"),
    [
        ((1, 0.98, 0, 0), 0.98, (1, 0, 0)),
        ((2, -1, 0, 0), 0.5, (0, 1, 0)),
        ((1, 0, 0.6, 0), 0.6, (math.sqrt(0.5), math.sqrt(0.5), 0)),
        ((1, 0, 0, 1), 0.0, (1, 0, 0)),
    ],
)
def test_stokes_vectors(tmp_path: Path, stokes: Any, kahn: float, polar: Any) -> None:
    """Q is the excess along x over y, U that along x = y over x = -y."""

    def fill(detector: Any) -> None:
        simple(detector)
        detector.parent["beam"].create_dataset("incident_polarisation_stokes", data=np.array(stokes, float))

    geometry = nbragg.read_geometry(made(tmp_path, fill))
    assert geometry.polarization == pytest.approx(kahn)
    assert np.abs(np.dot(geometry.polar_vector, polar)) == pytest.approx(1)


def test_wavelengths(tmp_path: Path) -> None:
    def with_beam(value: Any, units: str, name: str = "incident_wavelength", weights: Any = None) -> Geometry:
        def fill(detector: Any) -> None:
            simple(detector)
            beam = detector.parent["beam"]
            beam.create_dataset(name, data=np.array(value)).attrs["units"] = units
            if weights is not None:
                beam.create_dataset("incident_wavelength_weights", data=np.array(weights))

        geometry: Geometry = nbragg.read_geometry(made(tmp_path, fill, wavelength=None))
        return geometry

    assert with_beam(0.11, "nm").wavelength_A == pytest.approx(1.1)
    assert with_beam([1.1, 1.1], "angstrom").wavelength_A == pytest.approx(1.1)
    assert with_beam([1.0, 1.2], "angstrom", weights=[1.0, 3.0]).wavelength_A == pytest.approx(1.15)
    assert with_beam(12.0, "keV", "incident_energy").wavelength_A == pytest.approx(constants.HC_EV_A / 12000)
    with pytest.warns(nbragg.NbraggWarning, match=r"differs from image to image: the first, 1 A"):
        assert with_beam([1.0, 1.2], "angstrom").wavelength_A == 1.0
    with pytest.raises(nbragg.FileError, match="unit 'parsec'"):
        with_beam(1.0, "parsec")
    path = made(tmp_path, simple, wavelength=None)
    with pytest.raises(nbragg.InputError, match="does not say the wavelength"):
        nbragg.read_geometry(path).beam()


def test_a_goniometer_of_several_axes(tmp_path: Path) -> None:
    """The spindle is the moving axis, carried by those below it."""

    def fill(detector: Any) -> None:
        simple(detector)
        sample = group_of(detector.file["entry"], "sample", "NXsample")
        axes = group_of(sample, "transformations", "NXtransformations")
        place = "/entry/sample/transformations/"
        axis(axes, "omega", 30, "rotation", (-1, 0, 0), ".")
        axis(axes, "kappa", 40, "rotation", (0, 1, 1), place + "omega")
        axis(axes, "phi", [10, 9.5, 9.0], "rotation", (0, 1, 0), place + "kappa")
        axis(axes, "sam_x", 0.3, "translation", (1, 0, 0), place + "phi")
        sample.create_dataset("depends_on", data=place + "sam_x")

    geometry = nbragg.read_geometry(made(tmp_path, fill))
    below = homogeneous("rotation", 30, (-1, 0, 0), 0) @ homogeneous("rotation", 40, (0, 1, 1), 0)
    assert geometry.spindle_axis == pytest.approx(below[:3, :3] @ [0, 1, 0])
    # backwards from 10: the first image covers 9.5 to 10
    assert (geometry.phi_deg, geometry.osc_deg, geometry.images) == (9.5, 0.5, 3)


def test_a_goniometer_that_stands_still(tmp_path: Path) -> None:
    def fill(detector: Any) -> None:
        simple(detector)
        sample = group_of(detector.file["entry"], "sample", "NXsample")
        axis(sample, "omega", 33, "rotation", (-1, 0, 0), ".")
        sample.create_dataset("depends_on", data="omega")

    geometry = nbragg.read_geometry(made(tmp_path, fill))
    assert (geometry.spindle_axis, geometry.phi_deg, geometry.osc_deg) == ((-1, 0, 0), 33, None)


def test_two_moving_axes_are_refused(tmp_path: Path) -> None:
    def fill(detector: Any) -> None:
        simple(detector)
        sample = group_of(detector.file["entry"], "sample", "NXsample")
        axis(sample, "omega", [0, 1], "rotation", (-1, 0, 0), ".")
        axis(sample, "phi", [0, 1], "rotation", (0, 1, 0), "omega")
        sample.create_dataset("depends_on", data="phi")

    with pytest.raises(nbragg.FileError, match="phi, omega all move"):
        nbragg.read_geometry(made(tmp_path, fill))


def master(detector: Any) -> None:
    """What the masters of early EIGER detectors say."""
    for name, value, units in (
        ("x_pixel_size", 7.5e-5, "m"), ("y_pixel_size", 7.5e-5, "m"), ("detector_distance", 0.2, "m"),
        ("beam_center_x", 30.5, "pixel"), ("beam_center_y", 20.0, "pixel"), ("sensor_thickness", 4.5e-4, "m"),
    ):  # fmt: skip
        detector.create_dataset(name, data=value).attrs["units"] = units
    special = detector.create_group("detectorSpecific")
    special.create_dataset("x_pixels_in_detector", data=64)
    special.create_dataset("y_pixels_in_detector", data=40)
    mask = np.zeros((40, 64), np.uint32)
    mask[:, 5] = 1
    special.create_dataset("pixel_mask", data=mask)
    sample = group_of(detector.file["entry"], "sample", "NXsample")
    goniometer = sample.create_group("goniometer")
    goniometer.create_dataset("omega_start", data=40.0)
    goniometer.create_dataset("omega_range_average", data=0.1)


def test_a_master_without_modules(tmp_path: Path) -> None:
    geometry = nbragg.read_geometry(made(tmp_path, master))
    (panel,) = geometry.panels
    assert (panel.fpixels, panel.spixels, panel.thickness_um) == (64, 40, pytest.approx(450))
    # the beam, along z, meets the detector at the beam centre; fast runs to -x, slow downwards
    corner = np.array(panel.origin_mm)
    assert corner + 30.5 * 0.075 * np.array(panel.fast) + 20 * 0.075 * np.array(panel.slow) == pytest.approx(
        [0, 0, 200]
    )
    assert (panel.fast, panel.slow) == ((-1, 0, 0), (0, -1, 0))
    assert panel.mask is not None and panel.mask.sum() == 63 * 40
    assert (geometry.phi_deg, geometry.osc_deg, geometry.spindle_axis) == (40, 0.1, None)
    with pytest.raises(nbragg.InputError, match="about which axis"):
        crystal = format_files.setup().crystal.replace(osc_deg=0.1)
        nbragg.read_geometry(tmp_path / "made.nxs", values={"thickness_um": 0}).setup(crystal, nopolar=True)


def test_several_detectors_are_groups(tmp_path: Path) -> None:
    def fill(detector: Any) -> None:
        simple(detector)
        second = group_of(detector.parent, "second", "NXdetector")
        module_of(second, "module", (3, 3), f"{AXES}/translation")

    geometry = nbragg.read_geometry(made(tmp_path, fill))
    assert geometry.groups == {"detector": (0,), "second": (1,)}


# ---- bad files ---------------------------------------------------------------------------------------------


def spoil(path: Path, change: Any) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _circle(file: Any) -> None:
    file[f"{AXES}/translation"].attrs["depends_on"] = f"{AXES}/translation"


def _no_type(file: Any) -> None:
    del file[f"{AXES}/translation"].attrs["transformation_type"]


def _missing(file: Any) -> None:
    file[f"{DETECTOR}/module/fast_pixel_direction"].attrs["depends_on"] = "/nowhere"


def _unit(file: Any) -> None:
    file[f"{AXES}/translation"].attrs["units"] = "ell"


def _no_vector(file: Any) -> None:
    file[f"{DETECTOR}/module/slow_pixel_direction"].attrs["vector"] = np.zeros(3)


def _skew(file: Any) -> None:
    file[f"{DETECTOR}/module/slow_pixel_direction"].attrs["vector"] = np.array([1.0, 1, 0])


def _no_size(file: Any) -> None:
    del file[f"{DETECTOR}/module/data_size"]


def _size(file: Any) -> None:
    file[f"{DETECTOR}/module/data_size"][...] = 0


def _mask(file: Any) -> None:
    file[DETECTOR].create_dataset("pixel_mask", data=np.zeros((3, 3), int))


def _nan(file: Any) -> None:
    file[f"{AXES}/translation"][...] = np.nan


def _no_detector(file: Any) -> None:
    del file[DETECTOR]


def _no_module(file: Any) -> None:
    del file[f"{DETECTOR}/module"]


def _no_instrument(file: Any) -> None:
    del file["entry/instrument"]


def _stokes(file: Any) -> None:
    beam = file["entry/instrument/beam"]
    beam.create_dataset("incident_polarisation_stokes", data=np.zeros(4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_circle, "comes back to"),
        (_no_type, r"transformation_type is \(absent\)"),
        (_missing, "depends on /nowhere, which is missing"),
        (_unit, "has the unit 'ell'; expected one of m, "),
        (_no_vector, "is no direction"),
        (_skew, "are not orthogonal"),
        (_no_size, "has no data_size"),
        (_size, r"data_size is \[0, 0\]"),
        (_mask, "not all in the pixel_mask"),
        (_nan, "not finite"),
        (_no_detector, "has no detector"),
        (_no_module, "has no modules"),
        (_no_instrument, "no instrument"),
        (_stokes, "I = 0"),
    ],
)
def test_bad_files(tmp_path: Path, change: Any, words: str) -> None:
    path = spoil(made(tmp_path, simple), change)
    with pytest.raises(nbragg.FileError, match=words):
        nbragg.read_geometry(path)


def test_truncated_files(tmp_path: Path) -> None:
    path = made(tmp_path, simple)
    content = path.read_bytes()
    cut = tmp_path / "cut.nxs"
    for length in range(20, len(content) - 1, len(content) // 15):
        cut.write_bytes(content[:length])
        with pytest.raises(nbragg.FileError):
            nbragg.read_geometry(cut)


def test_a_curved_scene_is_no_list_of_panels() -> None:
    scene = format_files.scene(curved=True)
    with pytest.raises(nbragg.InputError, match="curved"):
        Geometry.from_scene(scene)
    assert dataclasses.is_dataclass(scene)

"""Images out and in: every format read back by another program, value limits, masks, suffixes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_files import built, scene, setup

from nbragg.base.errors import FileError, InputError
from nbragg.io.images import (
    FORMATS,
    cbf,
    check_geometry,
    format_of,
    read_image,
    read_mask,
    save_image,
    to_integers,
)
from nbragg.io.images.metadata import ImageMetadata
from nbragg.io.recipe import to_dict

RNG = np.random.default_rng(5)
FLOATS = (RNG.gamma(0.5, 2000.0, (30, 40)) + 0.25).astype(np.float32)
COUNTS = RNG.poisson(50.0, (30, 40)).astype(np.uint16)
SETUP = setup(crystal={"phi_deg": 12.0, "osc_deg": 0.5}, beam={"wavelength_A": 0.98, "polarization": 0.9})
SCENE = built(SETUP)


def test_smv_in_fabio(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    path = tmp_path / "a.img"
    save_image(path, COUNTS, scene=SCENE)
    with fabio.open(str(path)) as image:
        assert np.array_equal(image.data, COUNTS)
        assert float(image.header["WAVELENGTH"]) == 0.98
        assert float(image.header["DISTANCE"]) == pytest.approx(100.0)
        assert float(image.header["OSC_RANGE"]) == 0.5
    found = read_image(path)
    assert np.array_equal(found.image, COUNTS)
    assert found.metadata["format"] == "smv" and found.metadata["phi_deg"] == pytest.approx(12.0)
    g = SCENE.placement.panel
    centre = (g.Fbeam / SCENE.panel.pixel[0], g.Sbeam / SCENE.panel.pixel[0])
    assert found.metadata["beam_center_px"] == pytest.approx(centre, rel=1e-5)


def test_smv_of_a_float_image_is_the_integer_image(tmp_path: Path) -> None:
    from nbragg.io.images import smv

    save_image(tmp_path / "a.img", FLOATS, scene=SCENE)
    expected, _ = smv.integer_image(FLOATS, SCENE.panel.roi, 0.0, 40.0)
    assert np.array_equal(read_image(tmp_path / "a.img").image, expected)
    with pytest.raises(InputError, match="does not fit uint16"):
        save_image(tmp_path / "b.img", FLOATS, scene=SCENE, scale=100.0)
    with pytest.raises(InputError, match="does not fit uint16"):
        save_image(tmp_path / "b.img", FLOATS - 5000, scene=SCENE)
    assert not (tmp_path / "b.img").exists()
    save_image(tmp_path / "b.img", FLOATS, scene=SCENE, scale=100.0, clip=True)
    assert read_image(tmp_path / "b.img").image.max() == 65535
    with pytest.raises(InputError, match="give scene="):
        save_image(tmp_path / "c.img", COUNTS)


@pytest.mark.parametrize("dtype", ["float32", "uint16", "uint32"])
def test_tiff_in_fabio_and_tifffile(tmp_path: Path, dtype: str) -> None:
    fabio, tifffile = pytest.importorskip("fabio"), pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    save_image(path, FLOATS, scene=SCENE, beam=SETUP.beam, recipe=to_dict(SETUP), dtype=dtype)
    expected = FLOATS if dtype == "float32" else np.rint(FLOATS).astype(dtype)
    with fabio.open(str(path)) as image:
        assert image.data.dtype == dtype and np.array_equal(image.data, expected)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.pages[0].description
        assert json.loads(text.removeprefix("nanobragg "))["wavelength_A"] == pytest.approx(0.98)
    found = read_image(path)
    assert np.array_equal(found.image, expected) and found.image.dtype == dtype
    assert ImageMetadata.from_dict(found.metadata).recipe == to_dict(SETUP)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in (".tif", ".cbf", ".png", ".pgm", ".npy", ".bin", ".img"):
        a, b = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        save_image(a, FLOATS, scene=SCENE)
        save_image(b, FLOATS, scene=SCENE)
        assert a.read_bytes() == b.read_bytes(), suffix


def test_cbf_in_fabio(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    path = tmp_path / "a.cbf"
    counts = COUNTS.astype(np.int32) * 40000
    save_image(path, counts, scene=SCENE)
    with fabio.open(str(path)) as image:
        assert np.array_equal(image.data, counts)
        assert "byte_offset" in image.header.get("conversions", "").lower()
        contents = image.header["_array_data.header_contents"]
    assert "# Wavelength 0.98 A" in contents
    assert "# Detector_distance 0.1 m" in contents
    assert "# Start_angle 12 deg." in contents and "# Angle_increment 0.5 deg." in contents
    g = SCENE.placement.panel
    x, y = g.Fbeam / SCENE.panel.pixel[0], g.Sbeam / SCENE.panel.pixel[0]
    assert f"# Beam_xy ({x:.9f}, {y:.9f}) pixels" in contents
    assert all(len(line) < 2048 for line in contents.splitlines())
    found = read_image(path)
    assert np.array_equal(found.image, counts)
    assert ImageMetadata.from_dict(found.metadata) == ImageMetadata.from_scene(SCENE)


def test_foreign_minicbf_header() -> None:
    text = "# Wavelength 1.5 A\r\n# Detector_distance 0.25 m\r\n# Pixel_size 172e-6 m x 172e-6 m\r\n"
    found = cbf.header_numbers(text + "# Beam_xy (10.5, 20.25) pixels\r\n# Start_angle -3.5 deg.\r\n")
    assert found.pop("beam_center_px") == (10.5, 20.25)
    assert found == pytest.approx(
        {"wavelength_A": 1.5, "distance_mm": 250.0, "pixel_mm": 0.172, "phi_deg": -3.5}
    )


@pytest.mark.parametrize("suffix", [".cbf", ".img"])
@pytest.mark.parametrize(
    ("detector", "reason"),
    [
        ({"twotheta_deg": 10.0}, "its normal is 10 degrees off the beam"),
        ({"roty_deg": 3.0, "rotz_deg": 4.0}, "its normal is 4.999 degrees off the beam"),
        ({"rotx_deg": 7.0}, "fast axis is at 7 degrees to the rotation axis"),
        ({"convention": "adxv"}, "mirrored: fast x slow points to the source"),
        ({"convention": "dials"}, "fast axis is at 90 degrees to the rotation axis"),
        ({"curved": True}, "it is curved"),
    ],
)
def test_what_fixed_axes_cannot_say_is_refused(
    tmp_path: Path, suffix: str, detector: dict[str, Any], reason: str
) -> None:
    turned = scene(**detector)
    told = rf"{reason}.*Write \.tif \.tiff, \.nxs \.h5 \.hdf5"
    with pytest.raises(InputError, match=told):
        save_image(tmp_path / f"a{suffix}", COUNTS, scene=turned)
    with pytest.raises(InputError, match=told):
        check_geometry(tmp_path / f"a{suffix}", turned)
    assert not list(tmp_path.iterdir())
    check_geometry(tmp_path / "a.nxs", turned)
    save_image(tmp_path / "a.img", COUNTS, scene=turned, header="nanobragg")
    assert b"BEAMLINE=fake;\n}" in (tmp_path / "a.img").read_bytes()


@pytest.mark.parametrize("convention", ["mosflm", "denzo", "xds"])
@pytest.mark.parametrize("suffix", [".cbf", ".img"])
def test_what_fixed_axes_can_say(tmp_path: Path, suffix: str, convention: str) -> None:
    save_image(tmp_path / f"a{suffix}", COUNTS, scene=scene(convention=convention))
    assert read_image(tmp_path / f"a{suffix}").metadata["convention"] == convention


def test_npy_raw_and_previews(tmp_path: Path) -> None:
    save_image(tmp_path / "a.npy", FLOATS)
    assert np.array_equal(np.load(tmp_path / "a.npy"), FLOATS)
    assert np.array_equal(read_image(tmp_path / "a.npy").image, FLOATS)
    save_image(tmp_path / "a.bin", FLOATS)
    assert np.array_equal(np.fromfile(tmp_path / "a.bin", "<f4").reshape(30, 40), FLOATS)
    assert np.array_equal(read_image(tmp_path / "a.bin", shape=(30, 40)).image, FLOATS)
    with pytest.raises(InputError, match="no header: give shape="):
        read_image(tmp_path / "a.bin")
    image_module = pytest.importorskip("PIL.Image")
    for name in ("a.png", "a.pgm"):
        save_image(tmp_path / name, FLOATS)
        with image_module.open(tmp_path / name) as picture:
            assert picture.size == (40, 30) and picture.mode == "L"


def test_format_by_name_and_suffix(tmp_path: Path) -> None:
    assert {format_of(f"a{suffix}") for suffix in FORMATS} == set(FORMATS.values())
    assert format_of("a.dat", "tif") == format_of("a.dat", "TIFF") == format_of("a.dat", ".tiff") == "tiff"
    with pytest.raises(InputError, match=r"suffix '.jpg' names no image format"):
        format_of("a.jpg")
    with pytest.raises(InputError, match="unknown image format 'jpeg'"):
        format_of("a.jpg", "jpeg")
    save_image(tmp_path / "data", FLOATS, format="npy")
    assert np.array_equal(np.load(tmp_path / "data"), FLOATS)


@pytest.mark.parametrize(
    ("suffix", "image", "options", "message"),
    [
        (".tif", FLOATS * 100, {"dtype": "uint16", "scale": 1}, "does not fit uint16 .* clip=True"),
        (".tif", COUNTS * np.int64(10**9), {"dtype": "uint16"}, "does not fit uint16 .* clip=True"),
        (".tif", FLOATS - 100, {"dtype": "uint32"}, "does not fit uint32"),
        (".cbf", FLOATS * 1e9, {"scale": 1.0}, "does not fit int32"),
        (".tif", FLOATS, {"dtype": "int64"}, "tiff files hold float32, uint16, uint32, not int64"),
        (".npy", np.array([[1.0, np.nan]]), {}, "1 pixels that are not finite"),
        (".npy", np.array([[1.0, np.inf]]), {}, "not finite"),
        (".npy", np.array([[1e300]]), {}, "does not fit float32"),
        (".npy", np.ones(3), {}, r"shape \(3,\); \(slow, fast\)"),
        (".npy", np.ones((0, 3)), {}, "not empty"),
        (".cbf", np.ones((2, 30, 40)), {}, r"shape \(2, 30, 40\)"),
        (".npy", np.ones((2, 3), complex), {}, "dtype complex128"),
        (".npy", np.array([["a"]]), {}, "a real type"),
        (".tif", np.ones((3, 4)), {"scene": SCENE}, r"the scene's is \(30, 40\)"),
        (".tif", FLOATS, {"scale": float("nan")}, "scale = nan"),
        (".tif", FLOATS, {"compression": "lz4"}, "tiff files take no option compression"),
        (".nxs", FLOATS, {}, "give scene= or metadata="),
        (".cbf", FLOATS, {}, "give scene= or metadata="),
    ],
)
def test_what_cannot_be_saved(
    tmp_path: Path, suffix: str, image: Any, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".cbf" and "int32" in message:
        options = options | {"scene": SCENE}
    with pytest.raises(InputError, match=message):
        save_image(path, image, **options)
    assert list(tmp_path.iterdir()) == []


def test_clipping_only_when_asked(tmp_path: Path) -> None:
    image = np.array([[-3.0, 0.4, 0.6, 70000.0]])
    with pytest.raises(InputError, match="the value -3"):
        to_integers(image, np.uint16)
    assert to_integers(image, np.uint16, clip=True).tolist() == [[0, 0, 1, 65535]]
    assert to_integers(image, np.int32, scale=2.0, offset=10.0).tolist() == [[4, 11, 11, 140010]]
    save_image(tmp_path / "a.tif", image, dtype="uint16", clip=True)
    assert read_image(tmp_path / "a.tif").image.tolist() == [[0, 0, 1, 65535]]


def test_missing_folder(tmp_path: Path) -> None:
    for suffix in FORMATS:
        with pytest.raises(FileError, match="does not exist"):
            save_image(tmp_path / "no" / f"a{suffix}", COUNTS, scene=SCENE)


def test_frames_in_tiff(tmp_path: Path) -> None:
    stack = np.stack([FLOATS, FLOATS + 1, FLOATS + 2])
    save_image(tmp_path / "a.tif", stack, scene=SCENE)
    assert np.array_equal(read_image(tmp_path / "a.tif", frame=2).image, stack[2])
    assert np.array_equal(read_image(tmp_path / "a.tif", frame=None).image, stack)
    with pytest.raises(InputError, match="has 3 frames; frame 3"):
        read_image(tmp_path / "a.tif", frame=3)


@pytest.mark.parametrize("suffix", [".img", ".tif", ".cbf", ".npy", ".h5"])
def test_masks(tmp_path: Path, suffix: str) -> None:
    mask = np.ones((30, 40), dtype=np.uint16)
    mask[3:5, 7:20] = 0
    path = tmp_path / f"mask{suffix}"
    save_image(path, mask, scene=SCENE)
    assert np.array_equal(read_mask(path, shape=(30, 40)), mask)
    assert np.array_equal(read_mask(path, invert=True), 1 - mask)
    with pytest.raises(InputError, match=r"the detector's is \(30, 41\)"):
        read_mask(path, shape=(30, 41))


def test_mask_conventions(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[np.nan, -1.0, 0.0, 2.0]]))
    assert read_mask(tmp_path / "a.npy").tolist() == [[0, 0, 0, 1]]
    np.save(tmp_path / "b.npy", np.array([[True, False]]))
    assert read_mask(tmp_path / "b.npy").tolist() == [[1, 0]]
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["entry/data/data"] = np.zeros((2, 3))
        file["entry/instrument/detector/pixel_mask"] = np.array(
            [[0, 1, 0], [1 << 16, 256, 0]], dtype=np.uint32
        )
    assert read_mask(tmp_path / "c.h5").tolist() == [[1, 0, 1], [1, 0, 1]]
    np.save(tmp_path / "d.npy", np.ones((2, 3, 4)))
    assert read_mask(tmp_path / "d.npy").shape == (3, 4)


def test_metadata_round_trip() -> None:
    metadata = ImageMetadata.from_scene(SCENE, SETUP.beam, to_dict(SETUP))
    assert ImageMetadata.from_json(metadata.to_json()) == metadata
    for text, message in (
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"nanobragg_image": 2}', "version 2"),
        ('{"nanobragg_image": 1}', "incomplete"),
    ):
        with pytest.raises(InputError, match=message):
            ImageMetadata.from_json(text)

"""Rules that hold for every image format: replacing, whole numbers, what headers keep, panels."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_files import built, of_panels, rectangular, scene, setup

from nbragg.base.errors import FileError, InputError, NbraggWarning
from nbragg.base.vectors import axis_rotation
from nbragg.io import ImageMetadata, check_format, read_image, save_image, whole_number_scale
from nbragg.io.files import atomic
from nbragg.io.images import FORMATS, nexus_writer
from nbragg.io.images.formats import FORMATS as BY_NAME
from nbragg.io.recipe import to_dict

RNG = np.random.default_rng(11)
IMAGE = RNG.gamma(0.5, 100.0, (30, 40)).astype(np.float32)
SETUP = setup(
    crystal={"phi_deg": 12.0, "osc_deg": 0.5}, beam={"wavelength_A": 0.98, "flux": 1e12, "exposure_s": 0.25}
)
SCENE = built(SETUP)

HDF5 = (".nxs", ".h5", ".hdf5")
#: formats that keep the whole record
RECORDING = (".tif", ".cbf", ".img", ".nxs")
#: suffix -> integer types
INTEGERS = [
    (suffix, dtype)
    for suffix in (".tif", ".cbf", ".nxs")
    for dtype in BY_NAME[FORMATS[suffix]].dtypes
    if np.dtype(dtype).kind in "iu"
]


# --- replacing ---


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_an_existing_file_is_replaced_unless_it_is_not_to_be(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"something else")
    with pytest.raises(FileError, match=r"exists and is not to be replaced.*overwrite=False"):
        save_image(path, IMAGE, scene=SCENE, overwrite=False)
    with pytest.raises(FileError, match="exists and is not to be replaced"):
        check_format(path, overwrite=False)
    assert path.read_bytes() == b"something else"
    assert check_format(path) == FORMATS[suffix]
    save_image(path, IMAGE, scene=SCENE)
    assert path.read_bytes() != b"something else"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    path.unlink()
    save_image(path, IMAGE, scene=SCENE, overwrite=False)
    assert path.stat().st_size > 100 and [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_an_older_file_survives_a_failure(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")

    def broken(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(FileError, match="No space left on device; an older file of that name is unchanged"):
        save_image(path, IMAGE, scene=SCENE)
    assert path.read_bytes() == b"older" and [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("linkable", [True, False])
def test_a_file_that_appears_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linkable: bool
) -> None:
    if not linkable:

        def no_links(*args: Any) -> None:
            raise OSError(1, "no hard links here")

        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a"
    with (
        pytest.raises(FileError, match="exists and is not to be replaced"),
        atomic.open_atomic(path, overwrite=False) as stream,
    ):
        stream.write(b"new")
        path.write_bytes(b"of another program")
    assert path.read_bytes() == b"of another program" and len(list(tmp_path.iterdir())) == 1
    with atomic.open_atomic(tmp_path / "b", overwrite=False) as stream:
        stream.write(b"new")
    assert (tmp_path / "b").read_bytes() == b"new" and len(list(tmp_path.iterdir())) == 2


def test_links_and_permissions_of_a_nexus_file_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real.nxs").write_bytes(b"older")
    (tmp_path / "real.nxs").chmod(0o640)
    (tmp_path / "link.nxs").symlink_to("real.nxs")
    save_image(tmp_path / "link.nxs", IMAGE, scene=SCENE)
    assert (tmp_path / "link.nxs").is_symlink()
    assert (tmp_path / "real.nxs").stat().st_mode & 0o777 == 0o640
    assert np.array_equal(read_image(tmp_path / "real.nxs").image, IMAGE)
    with pytest.raises(FileError, match="needs a file, not a device"):
        nexus_writer.write("/dev/null", IMAGE, ImageMetadata.from_scene(SCENE))


# --- whole numbers ---


@pytest.mark.parametrize(("suffix", "dtype"), INTEGERS)
@pytest.mark.parametrize("peak", [3.8e9, 1e-7, 2.0**31, 0.5, 1e30, 1e-30, 7e4])
@pytest.mark.parametrize("offset", [None, 10.0])
def test_photons_come_back_from_whole_numbers(
    tmp_path: Path, suffix: str, dtype: str, peak: float, offset: float | None
) -> None:
    image = IMAGE.astype(np.float64) * (peak / float(IMAGE.max()))
    path = tmp_path / f"a{suffix}"
    fits = 0.5 < peak + (offset or 0.0) <= np.iinfo(dtype).max and peak > 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save_image(path, image, scene=SCENE, dtype=dtype, offset=offset)
    told = [str(w.message) for w in caught if "whole numbers" in str(w.message)]
    found = read_image(path)
    scale = found.metadata["scale"]
    assert found.image.dtype == dtype and found.metadata["offset"] == (offset or 0.0)
    if fits:
        assert scale == 1.0 and told == []
    else:
        assert scale == 10.0 ** round(np.log10(scale)) and scale != 1.0
        assert len(told) == 1 and f"multiplied by {scale:g}" in told[0] and "give scale=" in told[0]
    photons = (found.image - found.metadata["offset"]) / scale
    assert np.abs(photons - image).max() <= (0.5 + 1e-9) / scale
    # what was chosen wastes less than three of the type's digits, and keeps two at least
    assert found.image.max() - found.metadata["offset"] >= (1 if fits else 500)


def test_what_the_headers_say_of_the_scale(tmp_path: Path) -> None:
    h5py, tifffile = pytest.importorskip("h5py"), pytest.importorskip("tifffile")
    image = np.full((30, 40), 3.8e9)
    with pytest.warns(NbraggWarning, match="multiplied by 0.1, for without it not every pixel fits"):
        save_image(tmp_path / "a.cbf", image, scene=SCENE, offset=3.0)
    assert b"# Photons (counts - 3.0) / 0.1" in (tmp_path / "a.cbf").read_bytes()
    save_image(tmp_path / "a.nxs", image, scene=SCENE, dtype="int32", scale=0.25, offset=3)
    with h5py.File(tmp_path / "a.nxs") as file:
        data = file["entry/data"]
        raw = data["data"][0].astype(float)
        photons = (raw + data["data_offset"][()]) * data["data_scaling_factor"][()]
        assert np.array_equal(photons, image)
    # without a scene a TIFF file says nothing but this
    save_image(tmp_path / "a.tif", image, dtype="uint32", scale=0.25, offset=8)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        description = tiff.pages[0].description
    assert json.loads(description.removeprefix("nanobragg ")) == {"scale": 0.25, "offset": 8.0}
    found = read_image(tmp_path / "a.tif")
    assert found.metadata == {"format": "tiff", "scale": 0.25, "offset": 8.0}
    assert np.array_equal((found.image - 8.0) / 0.25, image)


def test_a_scale_given_is_kept_or_refused(tmp_path: Path) -> None:
    image = IMAGE * np.float32(1e9)
    with pytest.raises(InputError, match=r"does not fit int32 .* clip=True"):
        save_image(tmp_path / "a.cbf", image, scene=SCENE, scale=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_image(tmp_path / "a.cbf", image, scene=SCENE, scale=1.0, clip=True)
        save_image(tmp_path / "b.cbf", image, scene=SCENE, clip=True)  # clipping asked for: no scale needed
        save_image(tmp_path / "c.cbf", IMAGE * 1e-9, scene=SCENE, scale=1.0)
    assert read_image(tmp_path / "a.cbf").image.max() == 2**31 - 1
    assert np.array_equal(read_image(tmp_path / "b.cbf").image, read_image(tmp_path / "a.cbf").image)
    assert not read_image(tmp_path / "c.cbf").image.any()
    for scale in (0.0, float("nan")):
        with pytest.raises(InputError, match=f"scale = {scale:g}"):
            save_image(tmp_path / "d.cbf", image, scene=SCENE, scale=scale)


def test_counts_are_never_scaled_unasked(tmp_path: Path) -> None:
    counts = np.full((30, 40), 2**33)
    with pytest.raises(InputError, match="does not fit int32"):
        save_image(tmp_path / "a.cbf", counts, scene=SCENE)
    assert whole_number_scale(counts, "uint16") == 1.0


def test_scale_of_zeros_and_of_negative_photons() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert whole_number_scale(np.zeros((2, 2)), "int32") == 1.0
        assert whole_number_scale(np.array([[-5.0, 3.0]]), "uint16") == 1.0  # no scale would help
    with pytest.warns(NbraggWarning, match="x.cbf holds whole numbers.*; ask for another"):
        scale = whole_number_scale(np.array([[-3.8e9, 1.0]]), "int32", what="x.cbf", advice="ask for another")
    assert scale == 0.1


def test_npy_says_that_it_records_no_factor(tmp_path: Path) -> None:
    with pytest.warns(NbraggWarning, match="npy files do not record the factor"):
        save_image(tmp_path / "a.npy", IMAGE * 1e9, dtype="int32")


def test_metadata_of_pixels_that_are_scaled_again(tmp_path: Path) -> None:
    """The metadata are those of the image handed in, whose own scale and offset are kept."""
    first = ImageMetadata.from_scene(SCENE).scaled(10.0, 5.0)
    pixels = np.rint(IMAGE.astype(np.float64) * 10.0 + 5.0)
    save_image(tmp_path / "a.cbf", pixels, metadata=first, scale=2.0, offset=1.0)
    found = read_image(tmp_path / "a.cbf")
    assert (found.metadata["scale"], found.metadata["offset"]) == (20.0, 11.0)
    photons = (found.image - found.metadata["offset"]) / found.metadata["scale"]
    assert np.abs(photons - IMAGE).max() <= 0.05 + 1e-6


# --- what the files keep ---


def _every_field_differs(base: ImageMetadata, free: bool) -> ImageMetadata:
    """Metadata none of whose fields has its default, nor the value of `base`, but for the size.

    Formats whose axes are fixed (``free`` False) keep those.
    """
    changes: dict[str, Any] = {}
    for number, field in enumerate(dataclasses.fields(base), 1):
        value = getattr(base, field.name)
        if field.name in ("fast", "slow", "normal", "beam", "polar", "spindle", "curved") and not free:
            continue
        if field.name in ("panels", "spectrum"):
            continue  # which have tests of their own
        if field.name == "recipe":
            changes[field.name] = {"nanobragg_recipe": 1, "list": [1, 2.5, "x"], "deep": {"a": None}}
        elif field.name in ("seed", "saturation"):
            changes[field.name] = 12345
        elif isinstance(value, bool):
            changes[field.name] = not value
        elif isinstance(value, float):
            changes[field.name] = value * 1.25 + number / 7
        elif isinstance(value, str):
            changes[field.name] = f"{value} {number}".strip()
        elif field.name == "beam_center_px":
            changes[field.name] = (value[0] + 1 / 3, value[1] - 1 / 7)
        elif field.name == "pixel_mm":
            changes[field.name] = (value[0] / 3,) * 2
        elif isinstance(value, tuple):
            turned = axis_rotation(np.array([0.6, 0.0, 0.8]), 0.3) @ np.array(value)
            changes[field.name] = tuple(turned.tolist())
    return dataclasses.replace(base, **changes)


@pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")
@pytest.mark.parametrize("suffix", RECORDING)
def test_every_field_survives(tmp_path: Path, suffix: str) -> None:
    base = ImageMetadata.from_scene(SCENE)
    free = suffix in (".tif", ".nxs")
    wanted = _every_field_differs(base, free)
    same = [f.name for f in dataclasses.fields(base) if getattr(base, f.name) == getattr(wanted, f.name)]
    axes = set() if free else {"fast", "slow", "normal", "beam", "polar", "spindle", "curved"}
    assert set(same) == {"fpixels", "spixels", "panels", "spectrum"} | axes
    save_image(tmp_path / f"a{suffix}", IMAGE, metadata=wanted, scale=1.0, offset=0.0)
    metadata = read_image(tmp_path / f"a{suffix}").metadata
    found = ImageMetadata.from_dict(metadata)
    for field in dataclasses.fields(wanted):
        if field.name in ("panels", "spectrum") or (field.name == "recipe" and suffix == ".img"):
            continue  # of one panel, one wavelength; an SMV header has no place for a set-up
        assert getattr(found, field.name) == getattr(wanted, field.name), field.name
        assert field.name in metadata


@pytest.mark.parametrize("suffix", RECORDING)
def test_defaults_of_the_beam_are_kept(tmp_path: Path, suffix: str) -> None:
    """What a recipe leaves out, because it is the default, is said by the file all the same."""
    settings = setup(beam={"flux": 1e12})
    save_image(
        tmp_path / f"a{suffix}", IMAGE, scene=built(settings), beam=settings.beam, recipe=to_dict(settings)
    )
    metadata = read_image(tmp_path / f"a{suffix}").metadata
    for name in ("flux", "exposure_s", "beamsize_mm"):
        assert metadata[name] == getattr(settings.beam, name)
    assert metadata["beamsize_mm"] == 0.1
    if suffix != ".img":
        assert metadata["recipe"] == to_dict(settings)
    if suffix == ".nxs":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a.nxs") as file:
            assert file["entry/instrument/beam/incident_beam_size"][()].tolist() == [0.1, 0.1]
            assert file["entry/instrument/beam/total_flux"][()] == 1e12


def test_files_of_before_are_read() -> None:
    """One number for the pixel, no scale and no offset."""
    values = ImageMetadata.from_scene(SCENE).to_dict()
    assert values["pixel_mm"] == pytest.approx(0.2) and isinstance(values["pixel_mm"], float)
    del values["scale"], values["offset"]
    found = ImageMetadata.from_dict(json.loads(json.dumps(values)))
    assert found == ImageMetadata.from_scene(SCENE) and (found.scale, found.offset) == (1.0, 0.0)
    with pytest.raises(InputError, match="scale = 0"):
        dataclasses.replace(found, scale=0.0)


# --- detectors that a format cannot describe ---


def test_rectangular_pixels(tmp_path: Path) -> None:
    h5py, nxmx = pytest.importorskip("h5py"), pytest.importorskip("nxmx")
    tifffile = pytest.importorskip("tifffile")
    tall = rectangular(SCENE)
    for suffix in (".img", ".cbf"):
        with pytest.raises(InputError, match=r"0\.1 x 0\.3 mm.*\.nxs"):
            save_image(tmp_path / f"a{suffix}", IMAGE, scene=tall)
    assert list(tmp_path.iterdir()) == []
    for suffix in (".nxs", ".tif"):
        save_image(tmp_path / f"a{suffix}", IMAGE, scene=tall)
        metadata = read_image(tmp_path / f"a{suffix}").metadata
        assert metadata["pixel_mm"] == pytest.approx((0.1, 0.3))
        g = tall.placement.panel
        assert metadata["beam_center_px"] == pytest.approx((g.Fbeam / 1e-4, g.Sbeam / 3e-4))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = tiff.pages[0].tags
        per_cm = [tags[name].value[0] / tags[name].value[1] for name in ("XResolution", "YResolution")]
        assert per_cm == pytest.approx([100.0, 100.0 / 3])
    with h5py.File(tmp_path / "a.nxs") as file:
        detector = file["entry/instrument/detector"]
        assert detector["x_pixel_size"][()] == pytest.approx(1e-4)
        assert detector["y_pixel_size"][()] == pytest.approx(3e-4)
        (module,) = nxmx.NXmx(file).entries[0].instruments[0].detectors[0].modules
        steps = [
            axis[()].to("mm").magnitude for axis in (module.fast_pixel_direction, module.slow_pixel_direction)
        ]
        assert np.ravel(steps) == pytest.approx([0.1, 0.3])
    for suffix in (".npy", ".bin", ".png", ".pgm"):  # which say nothing of pixels
        save_image(tmp_path / f"a{suffix}", IMAGE, scene=tall)


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_images_of_several_panels(tmp_path: Path, suffix: str) -> None:
    several = of_panels(SCENE, 30, 30, 30)
    stack = np.stack([IMAGE, IMAGE * 2, IMAGE * 3])
    path = tmp_path / f"a{suffix}"
    if suffix in HDF5:
        save_image(path, stack, scene=several)
        found = read_image(path)
        assert np.array_equal(found.image, stack)
        assert ImageMetadata.from_dict(found.metadata) == ImageMetadata.from_scene(several)
        assert [panel["spixels"] for panel in found.metadata["panels"]] == [30, 30, 30]
        return
    if suffix == ".png":  # a picture of where they stand
        save_image(path, stack, scene=several)
        assert path.read_bytes().startswith(b"\x89PNG")
        return
    if suffix not in (".npy", ".bin", ".tif", ".tiff"):
        with pytest.raises(InputError, match=r"hold one panel, and the detector has 3: use .*\.bin.*\.npy"):
            save_image(path, stack, scene=several)
        assert list(tmp_path.iterdir()) == []
        return
    save_image(path, stack, scene=several)
    shape = (3, 30, 40) if suffix == ".bin" else None
    assert np.array_equal(read_image(path, frame=None, shape=shape).image, stack)
    assert np.array_equal(read_image(path, frame=1, shape=shape).image, stack[1])
    with pytest.raises(InputError, match=r"the scene's is \(3, 30, 40\) \(panel, slow, fast\)"):
        save_image(path, stack[:2], scene=several)


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_images_of_panels_of_several_sizes(tmp_path: Path, suffix: str) -> None:
    uneven = of_panels(SCENE, 30, 20)
    pixels = RNG.random(50 * 40).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    if suffix in HDF5:
        save_image(path, pixels, scene=uneven)
        assert np.array_equal(read_image(path).image, pixels)
        return
    if suffix == ".png":
        save_image(path, pixels, scene=uneven)
        return
    if suffix not in (".npy", ".bin"):
        with pytest.raises(
            InputError, match=r"the detector has 2 of several sizes: use \.bin, \.nxs .*\.npy"
        ):
            save_image(path, pixels, scene=uneven)
        return
    save_image(path, pixels, scene=uneven)
    shape = (2000,) if suffix == ".bin" else None
    assert np.array_equal(read_image(path, frame=None, shape=shape).image, pixels)
    with pytest.raises(InputError, match=r"a list of 2000 pixels.*frame=None"):
        read_image(path, shape=shape)
    with pytest.raises(InputError, match=r"\(slow, fast\)"):
        save_image(path, pixels, scene=scene())

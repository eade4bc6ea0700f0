"""Images of other formats on the command line: -img and -mask in, -save out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nbragg
from nbragg.base.errors import FileError, InputError, MissingPackageError, NbraggWarning
from nbragg.cli.nanobragg import main
from nbragg.cli.parser import CommandLine, parse
from nbragg.io.images import raw, read_image, save_image, smv

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: no quirk of the reference program shows, so nothing is said
BASE = "-cell 50 60 70 -misset 3 5 7 -default_F 100 -N 3 -oversample 1"
TINY = f"{BASE} -detpixels_x 24 -detpixels_y 20 -seed 3 -fluence 1e31"


@pytest.fixture(autouse=True)
def in_folder(folder: Path) -> None:
    """Every test runs in an empty directory."""


def line(text: str) -> CommandLine:
    return parse(f"{BASE} {text}".split())


def scene_of(command: CommandLine) -> nbragg.Scene:
    return nbragg.build_scene(command.setup)


def names() -> list[str]:
    return sorted(os.listdir("."))


# ---- -img and -mask ----

WRITTEN = (
    "-distance 120 -pixel 0.2 -detpixels_x 31 -detpixels_y 23 -Xbeam 1.7 -Ybeam 2.9 -lambda 1.3 -phi 5 -osc 2"
)


def written(path: str, pixels: NDArray[Any] | None = None) -> nbragg.Scene:
    """Write an image with a known geometry; returns the scene it has."""
    scene = scene_of(line(WRITTEN))
    save_image(path, np.ones((23, 31), np.float32) if pixels is None else pixels, scene=scene)
    return scene


@pytest.mark.parametrize("suffix", ["cbf", "tif", "nxs", "h5"])
@pytest.mark.parametrize("option", ["-img", "-mask"])
@pytest.mark.parametrize("convention", ["-mosflm", "-xds", "-adxv", "-denzo", "-dials", "-beam_vector 1 0 0"])
def test_geometry_of_other_formats(suffix: str, option: str, convention: str) -> None:
    scene = written(f"a.{suffix}")
    command = line(f"{option} a.{suffix} {convention}")
    found = scene_of(command)
    assert (found.panel.fpixels, found.panel.spixels) == (31, 23)
    assert found.panel.pixel == pytest.approx((2e-4, 2e-4))
    assert found.panel.distance == pytest.approx(0.12) and found.placement.wavelength == pytest.approx(
        1.3e-10
    )
    assert command.setup.crystal.phi_deg == pytest.approx(
        5
    ) and command.setup.crystal.osc_deg == pytest.approx(2)
    geometry = found.placement.panel
    assert (geometry.Fbeam, geometry.Sbeam) == pytest.approx(
        (scene.placement.panel.Fbeam, scene.placement.panel.Sbeam)
    )


def test_options_overrule_the_file() -> None:
    written("a.cbf")
    command = line("-img a.cbf -distance 80 -lambda 1.1 -Xbeam 2.5")
    assert (command.setup.detector.distance_mm, command.setup.beam.wavelength_A) == (80.0, 1.1)
    assert command.setup.detector.Xbeam_mm == 2.5 and command.setup.detector.Ybeam_mm == pytest.approx(2.9)


def test_tilted_detector_warns() -> None:
    scene = scene_of(line(f"{WRITTEN} -twotheta 20"))
    save_image("a.nxs", np.ones((23, 31), np.float32), scene=scene)
    with pytest.warns(NbraggWarning, match="tilted or curved; only its distance and beam centre"):
        line("-img a.nxs")


@pytest.mark.parametrize("suffix", ["cbf", "tif", "nxs", "npy", "img"])
def test_masks(suffix: str) -> None:
    pixels = np.ones((23, 31), np.int32 if suffix == "cbf" else np.uint16)
    pixels[3, 4:9] = 0
    if suffix == "cbf":
        pixels[5, 5] = -1  # as PILATUS gaps
    written(f"m.{suffix}", pixels)
    mask = line(f"-mask m.{suffix}").setup.detector.mask
    assert mask is not None and mask.shape == (23, 31)
    assert np.array_equal(mask != 0, pixels > 0)


def test_size_only() -> None:
    np.save("a.npy", np.zeros((7, 9)))
    detector = line("-img a.npy").setup.detector
    assert (detector.spixels, detector.fpixels) == (7, 9)
    assert (detector.distance_mm, detector.Xbeam_mm, detector.pixel_mm) == (None, None, 0.1)


@pytest.mark.parametrize("option", ["-img", "-mask"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.bin", b"\0" * 64),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64),
        ("a.tif", b"II*\0" + b"\0" * 64),
        ("a.cbf", b"###CBF: VERSION\r\n"),
        ("a.npy", b"\x93NUMPY\x01\0"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 64),
        ("named.img", b"\x93NUMPY\x01\0"),
        ("empty.tif", b""),
    ],
)
def test_files_that_cannot_be_read(
    option: str, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert main(f"{TINY} {option} {name}".split()) == 2
    err = capsys.readouterr().err
    assert name in err and "Traceback" not in err
    assert names() == [name]


def test_mask_of_another_size() -> None:
    np.save("m.npy", np.ones((7, 9)))
    with pytest.raises(FileError, match="mask is 9 x 7 pixels"):
        line("-mask m.npy -detpixels 8")


def test_near_point_of_a_header_is_reported_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """It is without effect under the default convention, as is one that was given, which is told."""
    assert main(f"{TINY} -Xbeam 0.5 -Ybeam 0.7 -intfile a.img".split()) == 0
    capsys.readouterr()
    assert main(f"{BASE} -img a.img".split()) == 0
    out, err = capsys.readouterr()
    header = smv.read("a.img").header
    assert float(header["XDS_ORGX"]) != 12.5
    near = [f"{(float(header[f'XDS_ORG{axis}']) - 0.5) * 0.1:g}" for axis in "XY"]
    assert "Xclose Yclose       " + " ".join(near) + " mm" in out and err == ""
    assert main(f"{BASE} -img a.img -ORGX 5".split()) == 0
    assert "ORGX has no effect" in capsys.readouterr().err
    setup = nbragg.from_cli(f"{BASE} -img a.img")
    assert "ORGX" in setup.detector.header_fields
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


# ---- -save ----


@pytest.mark.parametrize("suffix", ["bin", "tif", "tiff", "nxs", "h5", "npy"])
def test_float_formats(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"{TINY} -save x.{suffix}".split()) == 0
    image = raw.read_float("floatimage.bin", (20, 24))
    shape = (20, 24) if suffix == "bin" else None
    assert np.array_equal(read_image(f"x.{suffix}", shape=shape).image, image)
    assert f"x.{suffix}" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["tif", "nxs", "cbf"])
def test_metadata(suffix: str) -> None:
    assert main(f"{TINY} -lambda 1.3 -distance 90 -save x.{suffix}".split()) == 0
    found = read_image(f"x.{suffix}").metadata
    assert (found["wavelength_A"], found["distance_mm"]) == (pytest.approx(1.3), pytest.approx(90))
    assert found["recipe"]["crystal"]["N"] == [3, 3, 3]


def test_whole_number_formats() -> None:
    assert main(f"{TINY} -save x.cbf -save x.img -save x.pgm -save x.png".split()) == 0
    image = raw.read_float("floatimage.bin", (20, 24))
    assert image.max() > 100
    assert np.array_equal(read_image("x.cbf").image, np.rint(image))
    assert np.array_equal(read_image("x.img").image, read_image("intimage.img").image)
    assert Path("x.pgm").read_bytes().startswith(b"P5\n24 20\n")
    assert Path("x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("fluence", [1e20, 1e31, 1e40])
def test_whole_numbers_are_scaled_where_photons_do_not_fit(
    fluence: float, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"{TINY} -fluence {fluence:g} -nonoise -save x.cbf".split()
    assert main(words) == 0
    out, err = capsys.readouterr()
    image = raw.read_float("floatimage.bin", (20, 24)).astype(np.float64)
    if fluence == 1e31:
        assert err == "" and "whole numbers, scale 1\n" in out
        scale = 1.0
    else:
        assert "x.cbf holds whole numbers: photons are multiplied by" in err
        scale = 10.0 ** round(np.log10(read_image("x.cbf").image.max() / image.max()))
    pixels = read_image("x.cbf").image
    assert np.array_equal(pixels, np.rint(image * scale)) and 10 < pixels.max() < 2**31
    assert main([*words, "-scale", "1e-30"]) == 0
    assert read_image("x.cbf").image.max() == np.rint(image.max() * 1e-30)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("-save x.xyz", "suffix"),
        ("-save x", "suffix"),
        ("-save nowhere/x.cbf", "does not exist"),
        ("-save x.cbf -save ./x.cbf", "also written by -save"),
        ("-save intimage.img", "also written by -intfile"),
        ("-mask m.npy -save m.npy", "is read by -mask"),
        ("-save", "-save needs FILE"),
    ],
)
def test_refused_before_rendering(words: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("m.npy", np.ones((20, 24)))
    before = names()
    assert main(f"{TINY} {words}".split()) == 2
    assert part in capsys.readouterr().err.splitlines()[-1]
    assert names() == before


def test_missing_package(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name, name=name.split(".")[0])

    monkeypatch.setattr("nbragg.base.optional.importlib.import_module", absent)
    assert main(f"{TINY} -save x.cbf".split()) == 2
    assert "pip install 'nanobragg[io]'" in capsys.readouterr().err
    assert names() == []
    with pytest.raises(MissingPackageError):
        line("-save x.nxs")


def test_series_are_numbered() -> None:
    assert main(f"{TINY} -frames 2 -osc 1 -save x.cbf -save x.nxs -nopgm -nonoise".split()) == 0
    assert {"x_0001.cbf", "x_0002.cbf", "x.nxs"} < set(names())
    assert read_image("x.nxs", frame=None).image.shape[0] == 2  # one file holds all frames
    starts = [read_image(f"x_000{i}.cbf").metadata["phi_deg"] for i in (1, 2)]
    assert starts == pytest.approx([0, 1])


def test_disk_trouble_leaves_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbragg.io.images import tiff

    def full(*_: Any, **__: Any) -> None:
        raise FileError("cannot write x.tif: No space left on device")

    monkeypatch.setattr(tiff, "write", full)
    assert main(f"{TINY} -save x.tif".split()) == 2
    assert "x.tif" not in names() and "floatimage.bin" in names()


def test_from_cli_leaves_outputs_aside() -> None:
    setup = nbragg.from_cli(f"{BASE} -detpixels 8 -save nowhere/x.xyz")
    assert setup.detector.fpixels == 8


def test_value_errors_name_the_option() -> None:
    with pytest.raises(InputError, match="-save: empty value"):
        parse([*BASE.split(), "-save", ""])

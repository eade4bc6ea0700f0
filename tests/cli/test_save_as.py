"""-save: photons or counts, templates, one file for a series, numbers, files that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg.base.errors import FileError, InputError
from nbragg.cli.nanobragg import main
from nbragg.io.images import read_image, smv
from nbragg.io.images.metadata import ImageMetadata
from nbragg.response.reference_noise import noise_image
from nbragg.simulation.saving import file_names, numbered

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

BASE = (
    "-cell 70 80 90 -default_F 100 -N 5 -detpixels_f 24 -detpixels_s 20 -distance 80 -pixel 0.5 -flux 4e18 "
    "-beamsize 0.01 -oversample 1 -nonoise -nopgm"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names() -> set[str]:
    return {path.name for path in Path().iterdir()}


def run(line: str) -> int:
    return main(f"{BASE} {line}".split())


def photons() -> np.ndarray:
    return np.fromfile("floatimage.bin", "<f4").reshape(20, 24)


@pytest.mark.parametrize("suffix", ["cbf", "nxs", "img", "tif", "npy", "bin"])
@pytest.mark.parametrize("adc", [None, 7])
def test_counts_in_every_format(suffix: str, adc: int | None) -> None:
    """The reference's deviates, whatever holds them; no pedestal unless one is given."""
    pedestal = "" if adc is None else f"-adc {adc}"
    assert run(f"-save x.{suffix} -save_as counts -seed 3 {pedestal}") == 0
    expected = noise_image(photons(), None, 3, adc or 0, np.int32).pixels
    assert expected.max() > 20
    found = read_image(f"x.{suffix}", shape=(20, 24) if suffix == "bin" else None)
    assert np.array_equal(found.image, expected)
    assert found.image.dtype.kind == ("f" if suffix == "bin" else "iu"[suffix in ("img", "tif")])
    if suffix not in ("npy", "bin"):
        metadata = ImageMetadata.from_dict({k: v for k, v in found.metadata.items() if k != "header"})
        assert (metadata.pixels_are, metadata.seed) == ("counts", 3)
        assert (metadata.scale, metadata.offset) == (1.0, float(adc or 0))


def test_counts_beyond_sixteen_bits() -> None:
    """An SMV pixel holds 65535; wider ones what there is."""
    assert run("-flux 4e22 -save x.cbf -save x.img -save_as counts -seed 3") == 0
    wide, narrow = read_image("x.cbf").image, read_image("x.img").image
    assert wide.max() > 65535 and narrow.max() == 65535
    assert np.array_equal(np.minimum(wide, 65535), narrow)


def test_the_header_of_the_reference_stays_and_takes_its_offset_when_told() -> None:
    assert run("-intfile a.img") == 0
    assert run("-intfile b.img -header_offset -adc 33") == 0
    plain, told = (smv.read(name).header for name in ("a.img", "b.img"))
    assert "ADC_OFFSET" not in plain and told["ADC_OFFSET"] == "33"
    assert told.keys() - plain.keys() == {"ADC_OFFSET"} and all(told[key] == plain[key] for key in plain)


def test_templates_and_numbers() -> None:
    assert run("-frames 3 -osc 1 -save_as counts -seed 5 -first_frame 9 -save a_##.cbf -save b.img") == 0
    assert {"a_09.cbf", "a_10.cbf", "a_11.cbf", "b_0009.img", "b_0010.img", "b_0011.img"} < names()
    assert "floatimage_0009.bin" in names() and "floatimage_0001.bin" not in names()
    # every image has a stream of its own
    seeds = [read_image(f"a_{i:02d}.cbf").metadata["seed"] for i in (9, 10, 11)]
    assert seeds == [5, 6, 7]
    assert run("-save c_####.cbf -first_frame 12") == 0 and "c_0012.cbf" in names()
    assert run("-save .cbf -save .nxs -save_as counts -seed 1") == 0
    assert {"noiseimage_0001.cbf", "noiseimage.nxs"} < names()
    assert run("-save .cbf") == 0 and "image_0001.cbf" in names()


def test_one_file_of_all_frames() -> None:
    assert run("-frames 4 -osc 0.5 -phi 10 -save x.nxs -save y_####.nxs -save_as counts -seed 2") == 0
    whole = read_image("x.nxs", frame=None).image
    assert whole.shape == (4, 20, 24)
    for i in range(4):
        one = read_image(f"y_{i + 1:04d}.nxs")
        assert np.array_equal(one.image[-20:], whole[i])
        assert one.metadata["phi_deg"] == pytest.approx(10 + 0.5 * i)
    h5py = pytest.importorskip("h5py")
    with h5py.File("x.nxs") as file:
        omega = file["entry/sample/transformations/omega"][()]
        assert omega == pytest.approx([10, 10.5, 11, 11.5])


def test_one_scale_for_a_series() -> None:
    """The first image decides, so that the images can be compared."""
    assert run("-flux 1e4 -frames 3 -osc 5 -save x_#.cbf") == 0
    scales = {read_image(f"x_{i}.cbf").metadata["scale"] for i in (1, 2, 3)}
    assert len(scales) == 1 and scales != {1.0}


def test_files_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x_0002.cbf").write_bytes(b"older")
    assert run("-frames 2 -osc 1 -save x.cbf -nooverwrite") == 2
    assert "x_0002.cbf exists" in capsys.readouterr().err
    assert names() == {"x_0002.cbf"}
    assert run("-frames 2 -osc 1 -save x.cbf -nooverwrite -overwrite") == 0
    assert Path("x_0002.cbf").stat().st_size > 100


def test_what_a_format_cannot_say_is_told_before_rendering(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-twotheta 10 -save x.cbf") == 2
    assert "10 degrees off the beam" in capsys.readouterr().err and names() == set()
    assert run("-adxv -save x.img") == 2
    assert "mirrored" in capsys.readouterr().err


@pytest.mark.parametrize("compression", ["gzip", "bitshuffle", "lz4", "none"])
def test_compression(compression: str) -> None:
    pytest.importorskip("hdf5plugin")
    assert run(f"-save x.nxs -compression {compression}") == 0
    assert np.array_equal(read_image("x.nxs").image, photons())


def test_names_without_files() -> None:
    assert numbered("a/b_###.cbf", 7, 1234) == "a/b_0007.cbf"
    assert numbered("a.b/c.cbf", 7, 9) == "a.b/c_0007.cbf"
    assert file_names("x.nxs", 3) == ["x.nxs"]
    assert file_names("x_##.nxs", 2, 9) == ["x_09.nxs", "x_10.nxs"]
    assert file_names("x.cbf", None, 5) == ["x.cbf"]


def test_from_python(tmp_path: Path) -> None:
    setup = nbragg.from_cli(f"{BASE} -osc 1")
    result = nbragg.simulate(setup)
    with pytest.raises(InputError, match="give seed="):
        result.save("a.cbf", save_as="counts")
    with pytest.raises(InputError, match="save_as"):
        result.save("a.cbf", save_as="count")
    result.save("a.cbf", save_as="counts", seed=1, pedestal=5.0)
    assert read_image("a.cbf").metadata["offset"] == 5.0
    results = nbragg.Simulator(setup).render_many(nbragg.Series.frames(setup, 2))
    assert nbragg.save_series(results, "b.nxs", save_as="counts", seed=1, count=2) == ["b.nxs"]
    assert read_image("b.nxs", frame=None).image.shape == (2, 20, 24)
    with pytest.raises(FileError, match="exists"):
        nbragg.save_series([result], "b.nxs", overwrite=False)
    with pytest.raises(InputError, match=r"takes no sede; it takes .*seed"):
        nbragg.save_series([result], "b.nxs", sede=1)
    moved = nbragg.simulate(setup.replace(distance_mm=90))
    with pytest.raises(InputError, match=r"differ in pix0_mm.*name_####"):
        nbragg.save_series([result, moved], "c.nxs")
    assert not Path("c.nxs").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-save m_####.npy -mask m_0001.npy", "is read by -mask"),
        ("-save m_####.npy -mask m_0002.npy -osc 1 -frames 2", "is read by -mask"),
        ("-save y_####.npy -save y_0001.npy", "also written by -save"),
        ("-save q_####.img -intfile q_0001.img", "also written by -intfile"),
        ("-save y_####.npy -save y.npy -osc 1 -frames 2", "also written by -save"),
        ("-save z_0002.nxs -save z_#.nxs -osc 1 -frames 2", ""),
        ("-save z_2.nxs -save z_#.nxs -osc 1 -frames 2", "also written by -save"),
        ("-save d_####.cbf", "is a folder"),
        ("-save x.nxs -first_frame 100000000000", "first_frame"),
        ("-save null.nxs", "not a device"),
    ],
)
def test_names_that_would_be_lost(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is read or written under another name is refused before anything is rendered."""
    for i in (1, 2):
        np.save(f"m_000{i}.npy", np.ones((20, 24)))
    Path("d_0001.cbf").mkdir()
    Path("null.nxs").symlink_to("/dev/null")
    before = {path.name: path.stat().st_mtime_ns for path in Path().iterdir()}
    status = run(line)
    if told:
        assert status == 2 and told in capsys.readouterr().err
        assert {path.name: path.stat().st_mtime_ns for path in Path().iterdir()} == before
    else:
        assert status == 0


def test_number_signs_in_names_of_the_reference_are_letters() -> None:
    assert run("-floatfile run#1.bin -frames 2 -osc 1") == 0
    assert {"run#1_0001.bin", "run#1_0002.bin"} <= names()


def test_every_frame_says_its_own() -> None:
    """Angle, wavelength, flux, polarization and seed of each frame of one file, and of one frame read."""
    h5py = pytest.importorskip("h5py")
    setup = nbragg.from_cli(f"{BASE} -osc 1 -phi 3")
    beams = [
        setup.beam.replace(wavelength_A=1 + 0.01 * i, flux=1e18 * (i + 1), polarization=0.3 * i)
        for i in range(3)
    ]
    series = nbragg.Series(setup, beams=beams, phi=[3.0, 10.0, 20.0])
    results = nbragg.Simulator(setup).render_many(series)
    nbragg.save_series(results, "a.nxs", save_as="counts", seed=5, count=3)
    for i, beam in enumerate(beams):
        metadata = ImageMetadata.from_dict(read_image("a.nxs", frame=i).metadata)
        assert metadata.phi_deg == pytest.approx([3, 10, 20][i])
        assert metadata.wavelength_A == pytest.approx(beam.wavelength_A)
        assert (metadata.flux, metadata.polarization, metadata.seed) == (beam.flux, beam.polarization, 5 + i)
        assert metadata.recipe is not None and metadata.recipe["beam"]["flux"] == beam.flux
    with h5py.File("a.nxs") as file:
        nxbeam = file["entry/instrument/beam"]
        assert nxbeam["incident_wavelength"][()] == pytest.approx([1, 1.01, 1.02])
        assert nxbeam["total_flux"][()].tolist() == [1e18, 2e18, 3e18]
        assert nxbeam["incident_polarisation_stokes"].shape == (3, 4)
    longer = [setup.beam.replace(exposure_s=1.0 + i) for i in range(2)]
    results = nbragg.Simulator(setup).render_many(nbragg.Series(setup, beams=longer))
    with pytest.raises(InputError, match="differ in exposure_s"):
        nbragg.save_series(results, "b.nxs", count=2)
    assert "b.nxs" not in names()


def test_errors_of_whoever_makes_the_images_pass() -> None:
    result = nbragg.simulate(nbragg.from_cli(BASE))

    def broken(error: Exception) -> Any:
        yield result
        raise error

    for kind in (RuntimeError("my own"), FileNotFoundError(2, "no such"), BrokenPipeError(32, "gone")):
        with pytest.raises(type(kind)) as caught:
            nbragg.save_series(broken(kind), "g.nxs", count=2)
        assert caught.value is kind
    not_a_number = result.replace(image=np.full((20, 24), np.nan, np.float32))
    with pytest.raises(InputError, match="not finite"):
        nbragg.save_series([not_a_number], "g.nxs")
    assert not {name for name in names() if "g.nxs" in name}


def test_wrong_arguments_of_save_series() -> None:
    result = nbragg.simulate(nbragg.from_cli(BASE))
    for error, results, options in (
        ("at least one", [], {}),
        ("result.save", result, {}),
        ("seed", [result], {"save_as": "counts", "seed": None}),
        ("compression", [result], {"compression": "zip"}),
        ("scale", [result], {"scale": 0.0}),
    ):
        with pytest.raises(InputError, match=error):
            nbragg.save_series(results, "e.cbf", **options)
    wrong: list[dict[str, Any]] = [
        {"seed": 10},
        {"pedestal": 10.0},
        {"save_as": "counts", "seed": 1, "scale": 2.0},
    ]
    for fields in wrong:
        with pytest.raises(InputError):
            result.save("e.cbf", **fields)
    assert names() == set()
    result.save("e.nxs", save_as="counts", seed=np.int64(3))
    assert read_image("e.nxs").metadata["seed"] == 3


def test_outside_of_the_region() -> None:
    """No photons there: the pedestal, and a mask where the format has one."""
    assert run("-roi 3 20 4 10 -save a.cbf -save b.nxs -save_as counts -seed 1 -adc 10") == 0
    for name in ("a.cbf", "b.nxs"):
        outside = read_image(name).photons
        outside[4:11, 3:21] = 0.0
        assert not outside.any()
    h5py = pytest.importorskip("h5py")
    with h5py.File("b.nxs") as file:
        used = file["entry/instrument/detector/pixel_mask"][()] == 0
    assert used[4:11, 3:21].all() and used.sum() == 7 * 18


def test_noise_beside_photons() -> None:
    """-save_noise holds counts whatever -save holds; a suffix alone stands for a name."""
    assert run("-save x.npy -save_noise y.npy -save_noise .cbf -seed 3 -first_frame 2") == 0
    expected = noise_image(photons(), None, 3, 0, np.int32).pixels
    assert np.array_equal(np.load("x.npy"), photons()) and np.array_equal(np.load("y.npy"), expected)
    assert np.array_equal(read_image("noiseimage_0002.cbf").image, expected)


@pytest.mark.parametrize("series", ["-frames 3 -osc 1 -phisteps 1", "-random 3"])
def test_a_series_and_its_noise_in_one_file_each(series: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Three frames each, nothing beside them but the table of orientations, and a list of it all."""
    assert run(f"{series} -nofiles -save photons.nxs -save_noise counts.nxs -seed 5") == 0
    table = {"photons_orientations.csv"} if "random" in series else set()
    assert names() == {"photons.nxs", "counts.nxs"} | table
    image, counts = (read_image(name, frame=None).image for name in ("photons.nxs", "counts.nxs"))
    assert image.shape == counts.shape == (3, 20, 24) and counts.dtype.kind in "iu"
    for i in range(3):
        assert np.array_equal(counts[i], noise_image(image[i], None, 5 + i, 0, np.int32).pixels)
    assert not np.array_equal(image[0], image[1])
    lines = capsys.readouterr().out.splitlines()
    size = sum(Path(name).stat().st_size for name in names())
    assert lines[-1] == f"{len(names())} files, {size} bytes"
    assert {line.split()[0] for line in lines[lines.index("wrote") + 1 : -1]} == names()
    if table:
        assert [row.split(",")[1] for row in Path(*table).read_text().splitlines()[1:]] == ["photons.nxs"] * 3


def test_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """-quiet leaves errors; the file is the same."""
    assert run("-nofiles -save x.npy") == 0
    report = capsys.readouterr().out
    size = Path("x.npy").stat().st_size
    assert names() == {"x.npy"} and report.splitlines()[-1] == f"1 file, {size} bytes"
    first = Path("x.npy").read_bytes()
    assert run("-nofiles -quiet -save x.npy") == 0
    assert capsys.readouterr().out == "" and Path("x.npy").read_bytes() == first
    assert run("-quiet -save x.xyz") == 2
    said = capsys.readouterr()
    assert said.out == "" and "x.xyz" in said.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-nofiles", "give -save FILE or -save_noise FILE"),
        ("-save x.npy -save_noise x.npy", "also written by -save"),
        ("-save_noise x.xyz", "x.xyz"),
        ("-save_noise x.npy -seed 2147483647", "seed"),
    ],
)
def test_bad_noise_files(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2 and message in capsys.readouterr().err
    assert not names()

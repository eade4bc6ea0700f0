"""Acceptance: the files and the command line."""

from __future__ import annotations

import math
import os
import re
import resource
import struct
import subprocess
import sys
from pathlib import Path

import acceptance as a
import golden_cases as g
import numpy as np
import pytest

from nbragg import StructureFactors, noise_image
from nbragg.io.images import pgm, raw, smv
from nbragg.io.reflections import dump as fdump
from nbragg.io.reflections import text as hkl_text

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

BASE = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1.3 -noprogress"
WITH_FILES = [case_id for case_id in g.IDS if "int" in g.BY_ID[case_id]["outputs"]]
KEYS = [
    "HEADER_BYTES", "DIM", "BYTE_ORDER", "TYPE", "SIZE1", "SIZE2", "PIXEL_SIZE", "DISTANCE", "WAVELENGTH",
    "BEAM_CENTER_X", "BEAM_CENTER_Y", "ADXV_CENTER_X", "ADXV_CENTER_Y", "MOSFLM_CENTER_X", "MOSFLM_CENTER_Y",
    "DENZO_X_BEAM", "DENZO_Y_BEAM", "DIALS_ORIGIN", "XDS_ORGX", "XDS_ORGY", "CLOSE_DISTANCE", "PHI",
    "OSC_START",
    "OSC_RANGE", "TWOTHETA", "DETECTOR_SN", "BEAMLINE",
]  # fmt: skip


def run(line: str) -> None:
    """The console program, which must succeed."""
    assert g.run_cli(a.words(BASE, line)) == 0


def float_image(shape: tuple[int, int], name: str = "floatimage.bin") -> a.Image:
    """A float image as written."""
    return np.fromfile(name, "<f4").reshape(shape)


def seconds(limit: float, *words: str) -> float:
    """Least processor time of up to 15 runs of the program, start included; one below `limit` ends them.

    It is the wall time, were nothing else running.  As for a user, bytecode is kept from run to run; NumPy's
    own threads, which spin while they wait, are off.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "nbragg", *words]
    best = math.inf
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if best < limit:
            break
    return best


# ---- files ----


@pytest.mark.parametrize("case_id", g.IDS)
def test_smv_header(case_id: str, folder: Path) -> None:
    """AT-IO-001: the header of every golden case, byte for byte."""
    g.prepare(case_id, folder)
    header = smv.header_bytes(g.scene_of(g.arguments(case_id)))
    text = g.BY_ID[case_id]["smv_header"]
    assert header == (text + "\f").encode().ljust(512)
    assert re.findall(r"^([A-Z_0-9]+)=", text, re.M) == KEYS


def test_smv_order(folder: Path) -> None:
    """AT-IO-001: fast varies quickest, little-endian, and the package reads back what it wrote."""
    run("-detpixels_f 30 -detpixels_s 20 -nonoise -nopgm -intfile i.img")
    image = float_image((20, 30))
    data = Path("i.img").read_bytes()
    assert len(data) == 512 + 2 * 600
    scale = 55000 / float(image.max())
    for slow, fast in ((0, 0), (0, 29), (7, 3), (19, 29), a.strongest(image)):
        (value,) = struct.unpack_from("<H", data, 512 + 2 * (slow * 30 + fast))
        assert value == int(np.float32(min(image[slow, fast] * scale + 40, 65535) + 0.5))
    back = smv.read("i.img")
    assert back.pixels.shape == (20, 30)
    assert back.pixels.astype("<u2").tobytes() == data[512:]
    assert list(back.header) == KEYS and back.header["SIZE1"] == "30" and back.header["SIZE2"] == "20"
    smv.write("again.img", back.pixels, data[:512])
    assert Path("again.img").read_bytes() == data
    swapped = data[:512].replace(b"little_endian", b"big_endian   ") + back.pixels.astype(">u2").tobytes()
    Path("big.img").write_bytes(swapped)
    assert np.array_equal(smv.read("big.img").pixels, back.pixels)


def test_last_value_in_a_header() -> None:
    """AT-IO-001: canonical 10.4: the number after the last place where the key's letters occur."""
    text = "{\nDISTANCE=100;\nXDS_ORGX=7;\nCLOSE_DISTANCE=90.5;\nPHI=-1e1;\nSIZE1=12;\nSIZE2=14;\n}"
    assert smv.last_value(text, "DISTANCE") == 90.5
    assert smv.last_value(text, "ORGX") == 7
    assert smv.last_value(text, "PHI") == -10
    assert smv.last_value(text, "SIZE1") == 12 and smv.last_value(text, "SIZE2") == 14
    assert smv.last_value(text, "WAVELENGTH") is None


@pytest.mark.parametrize("case_id", WITH_FILES)
def test_integer_images_golden(case_id: str, folder: Path) -> None:
    """AT-IO-001, AT-IO-002: integer and PGM files byte for byte from the command line."""
    g.prepare(case_id, folder)
    golden = g.reference(case_id)
    words = [*g.arguments(case_id), "-noprogress", "-intfile", "i.img", "-pgmfile", "p.pgm", "-nonoise"]
    assert g.run_cli(words) == 0
    assert Path("i.img").read_bytes() == golden["int_file"].tobytes()
    assert Path("p.pgm").read_bytes() == golden["pgm_file"].tobytes()


def test_pgm(folder: Path) -> None:
    """AT-IO-002: header, scale, truncation and clipping."""
    run("-detpixels_f 30 -detpixels_s 20 -nonoise -pgmscale 0.37 -pgmfile p.pgm")
    image = float_image((20, 30)).astype(float)
    data = Path("p.pgm").read_bytes()
    head = b"P5\n30 20\n# pixels scaled by 0.37\n255\n"
    assert data[: len(head)] == head
    expected = np.minimum(255, np.floor(image * 0.37)).astype(np.uint8)
    assert data[len(head) :] == expected.tobytes()
    assert pgm.auto_scale(10.0, 3.0) == 5.0 and pgm.auto_scale(0.0, 3.0) == 3.0


def test_dump_file(folder: Path) -> None:
    """AT-IO-003: limits, form feed, one zero plane more on each axis, l fastest; read when -hkl is absent."""
    Path("list.hkl").write_text("0 0 0 100\n1 0 0 50\n0 1 0 25\n-1 2 3 12.5\n")
    base = "-cell 100 -N 5 -lambda 6.2 -detpixels 20 -noprogress -nonoise -nopgm"
    assert g.run_cli(a.words(base, "-hkl list.hkl -default_F 3 -floatfile a.bin")) == 0
    data = Path("Fdump.bin").read_bytes()
    head = b"-1 1 0 2 0 3\n\f"
    assert data[: len(head)] == head
    table = np.frombuffer(data[len(head) :]).reshape(4, 4, 5)
    expected = np.zeros((4, 4, 5))
    expected[:3, :3, :4] = 3
    expected[1, 0, 0], expected[2, 0, 0], expected[1, 1, 0], expected[0, 2, 3] = 100, 50, 25, 12.5
    assert np.array_equal(table, expected)
    values, origin = fdump.read("Fdump.bin")
    assert origin == (-1, 0, 0) and np.array_equal(values, expected[:3, :3, :4])
    # the same image again from the dump, also under another name; default_F is this run's
    assert g.run_cli(a.words(base, "-default_F 3 -floatfile b.bin")) == 0
    assert Path("b.bin").read_bytes() == Path("a.bin").read_bytes()
    Path("Fdump.bin").rename("other.bin")
    assert g.run_cli(a.words(base, "-default_F 3 -dump other.bin -floatfile c.bin")) == 0
    assert Path("c.bin").read_bytes() == Path("a.bin").read_bytes()
    assert not Path("Fdump.bin").exists()
    assert g.run_cli(a.words(base, "-hkl list.hkl -dumpfile third.bin -default_F 3")) == 0
    assert Path("third.bin").read_bytes() == data


def test_dump_file_golden(folder: Path) -> None:
    """AT-IO-003: the reference's image of a second run that finds a dump file."""
    g.prepare("hkl/fdump_reuse", folder)
    a.assert_golden("hkl/fdump_reuse")


def test_list_formats(folder: Path) -> None:
    """AT-IO-004: four columns a line, whatever follows; comments, blank lines, tabs, whole floats."""
    Path("list.hkl").write_text(
        "# h k l F\n\n  0 0 0 100 9.9 extra\n1\t-2\t3\t5e1\n-1.0 2 0 .5 # weak\n0 0 1 -3\r\n"
    )
    h, k, l, F = hkl_text.read("list.hkl")  # noqa: E741
    assert np.array_equal([h, k, l], [[0, 1, -1, 0], [0, -2, 2, 0], [0, 3, 0, 1]])
    assert np.array_equal(F, [100, 50, 0.5, -3])
    Path("same.hkl").write_text("0 0 0 100\n1 -2 3 50\n-1 2 0 0.5\n0 0 1 -3")
    assert StructureFactors.from_file("same.hkl") == StructureFactors.from_file("list.hkl")
    Path("matrix").write_text("0.01 0 0 0 0.02\n0\n0 0 0.03 and the rest is not read\n")
    scene = g.scene_of("-mat matrix -default_F 1 -detpixels 4 -lambda 2")
    assert np.allclose(
        scene.crystal.orientations[0], np.diag([200, 100, 2 / 0.03]) * 1e-10, rtol=1e-14, atol=0
    )


def test_raw_float(folder: Path) -> None:
    """AT-IO-001: float images are little-endian float32 without a header."""
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    raw.write_float("x.bin", image)
    assert Path("x.bin").read_bytes() == struct.pack("<12f", *range(12))
    assert np.array_equal(raw.read_float("x.bin", (3, 4)), image)


# ---- noise ----


@pytest.mark.parametrize("mean", [0.01, 0.7, 5.0, 11.9, 12.1, 40.0, 900.0, 20000.0])
def test_noise_is_poisson(mean: float) -> None:
    """AT-NOISE-001: both methods that fit 16 bits: mean and variance within five standard errors."""
    n = 250 * 400
    image = np.full((250, 400), mean, np.float32)
    noise = noise_image(image, None, seed=5, adc=3.0)
    counts = noise.pixels.astype(float) - 3
    assert noise.overloads == 0 and counts.min() >= 0
    assert abs(counts.mean() - mean) < 5 * np.sqrt(mean / n)
    assert abs(counts.var() - mean) < 5 * np.sqrt((mean + 2 * mean**2) / n)


@pytest.mark.parametrize("mean", [65535.0, 7e5, 1.1e6, 1e9])
def test_overloads(mean: float) -> None:
    """AT-NOISE-001: counts above 65535 are clipped and counted, also those of the Gaussian method."""
    noise = noise_image(np.full((50, 60), mean, np.float32), None, seed=5, adc=40.0)
    assert noise.overloads == (noise.pixels == 65535).sum() or mean < 1e5
    if mean > 1e5:
        assert noise.overloads == 3000 and (noise.pixels == 65535).all()
    else:  # 40 above the limit on average, 256 wide
        assert 0.4 * 3000 < noise.overloads < 0.7 * 3000


def test_gaussian_method() -> None:
    """AT-NOISE-001: above 1e6 a deviate is mean + sqrt(mean) times a normal one."""
    from nbragg import _engine

    stream = _engine.RandomStream(4)
    x = (np.array([stream.poisson(4e6) for _ in range(4000)]) - 4e6) / 2e3
    assert abs(x.mean()) < 5 / np.sqrt(4000) and abs(x.std() - 1) < 5 / np.sqrt(8000)


def test_noise_of_a_region_and_seed() -> None:
    """AT-NOISE-001: the same seed draws the same image; nothing is drawn outside the region."""
    image = np.full((20, 30), 6.0, np.float32)
    one, two, other = (noise_image(image, (3, 12, 4, 15), seed).pixels for seed in (7, 7, 8))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert (one[4:16, 3:13] >= 40).all()
    one[4:16, 3:13] = 0
    assert not one.any()
    crop = noise_image(np.ascontiguousarray(image[4:16, 3:13]), None, 7).pixels
    assert np.array_equal(two[4:16, 3:13], crop)


@pytest.mark.parametrize("case_id", [i for i in g.IDS if i.startswith("output/noise_")])
def test_noise_golden(case_id: str, folder: Path) -> None:
    """AT-NOISE-001: the reference's noise file, byte for byte wherever the float image is identical."""
    words = [*g.arguments(case_id), "-noprogress", "-noisefile", "n.img"]
    assert g.run_cli(words) == 0
    golden = g.reference(case_id)
    found = Path("n.img").read_bytes()
    assert found[:512] == golden["noise_file"].tobytes()[:512]
    if np.array_equal(float_image((96, 96)), golden["image"]):
        assert found == golden["noise_file"].tobytes()
    noise = noise_image(golden["image"], None, g.command_line(words).seed)
    assert noise.pixels.astype("<u2").tobytes() == golden["noise_file"].tobytes()[512:]


def test_noise_keeps_peaks() -> None:
    """AT-PARALLEL-014: mean within 1 %, peaks of two seeds within half a pixel, overloads within 10 %."""
    image = g.reference("acceptance/simple_cubic_1024")["image"]
    image = (image * (1000 / image.mean())).astype(np.float32)
    noisy = {seed: noise_image(image, None, seed) for seed in (123, 456)}
    peaks = a.local_maxima(image)[:20]
    window = np.arange(-3, 4)

    def centroid(pixels: a.Image, place: a.Image) -> a.Image:
        box = pixels[place[0] - 3 : place[0] + 4, place[1] - 3 : place[1] + 4].astype(float)
        return np.asarray(np.array([box.sum(axis=1) @ window, box.sum(axis=0) @ window]) / box.sum())

    for noise in noisy.values():
        clipped = np.minimum(image.astype(float) + 40, 65535)
        assert abs(noise.pixels.mean() / clipped.mean() - 1) <= 0.01
        expected = np.minimum(image, 65535)
        inner = [p for p in peaks if p.min() >= 3 and p.max() < 1024 - 3]
        assert len(inner) >= 15
        shift = [
            np.linalg.norm(centroid(noise.pixels.astype(float) - 40, p) - centroid(expected, p))
            for p in inner
        ]
        assert np.median(shift) <= 0.5 and np.percentile(shift, 90) <= 1.0
    counts = [noise.overloads for noise in noisy.values()]
    assert min(counts) > 100 and max(counts) / min(counts) <= 1.1


# ---- the command line ----


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """AT-CLI-001: -h and --help print usage with the important options, status 0, in less than 0.2 s."""
    wanted = (
        "-hkl -mat -cell -pixel -detpixels -distance -lambda -energy -floatfile -intfile -noisefile -pgmfile "
    )
    wanted += "-scale -adc -mosflm -xds -adxv -denzo -dials -roi -oversample -physics -threads"
    for option in ("-h", "--help"):
        assert g.run_cli([option]) == 0
        text = capsys.readouterr().out
        for word in wanted.split():
            assert re.search(rf"(?<!\S){word}\b", text), word
    assert seconds(0.2, "-h") < 0.2


@pytest.mark.commands
def test_minimal_render(folder: Path) -> None:
    """AT-CLI-002: float and integer file of a small image, with all header keys, in less than 0.4 s."""
    run("-detpixels 32 -pixel 0.1 -distance 100 -floatfile f.bin -intfile i.img -nonoise -nopgm")
    assert Path("f.bin").stat().st_size == 32 * 32 * 4
    header = smv.read("i.img").header
    assert list(header) == KEYS
    for key, value in (
        ("SIZE1", 32),
        ("SIZE2", 32),
        ("PIXEL_SIZE", 0.1),
        ("DISTANCE", 100),
        ("WAVELENGTH", 1.3),
    ):
        assert float(header[key]) == value
    assert seconds(0.4, *a.words(BASE, "-detpixels 64")) < 0.4


def test_conventions(folder: Path) -> None:
    """AT-CLI-003: centres and origins in the headers of MOSFLM and XDS images follow canonical 3 and 10.2."""
    headers = {}
    for convention in ("mosflm", "xds", "adxv", "denzo", "dials"):
        size = "-detpixels_f 40 -detpixels_s 30 -intfile i.img -nonoise -nopgm"
        run(f"{size} -{convention} -Xbeam 1.2 -Ybeam 0.9")
        headers[convention] = smv.read("i.img").header

    def numbers(convention: str, *keys: str) -> list[float]:
        return [float(headers[convention][key]) for key in keys]

    centre = ("BEAM_CENTER_X", "BEAM_CENTER_Y")
    assert all(numbers(name, *centre) == [1.2, 0.9] for name in headers)
    # pivot beam: the beam is where it was told to be, half a pixel further for MOSFLM
    assert numbers("mosflm", "XDS_ORGX", "XDS_ORGY") == pytest.approx([9 + 0.5 + 0.5, 12 + 0.5 + 0.5])
    assert numbers("mosflm", "MOSFLM_CENTER_X", "MOSFLM_CENTER_Y") == pytest.approx([1.2, 0.9])
    assert numbers("denzo", "DENZO_X_BEAM", "DENZO_Y_BEAM") == pytest.approx([1.2, 0.9])
    assert numbers("adxv", "ADXV_CENTER_X", "ADXV_CENTER_Y") == pytest.approx([1.2, 0.9])
    # pivot sample: the near point, half the detector when not given
    for name in ("xds", "dials"):
        assert numbers(name, "XDS_ORGX", "XDS_ORGY") == [20.5, 15.5]
    assert headers["mosflm"]["DIALS_ORIGIN"] == "-0.95,1.25,-100"
    assert headers["xds"]["DIALS_ORIGIN"] == "100,-1.5,2"
    run("-detpixels 30 -beam_vector 1 0 0 -pivot sample -detector_roty 5 -intfile i.img -nonoise -nopgm")
    sample = smv.read("i.img").header
    run("-detpixels 30 -beam_vector 1 0 0 -pivot beam -detector_roty 5 -intfile i.img -nonoise -nopgm")
    beam = smv.read("i.img").header
    assert sample["DIALS_ORIGIN"] != beam["DIALS_ORIGIN"]
    assert float(beam["DISTANCE"]) == pytest.approx(100)


def test_header_precedence_and_mask(folder: Path) -> None:
    """AT-CLI-004: -img after -mask sets shared values, masked pixels stay 0 and leave the statistics."""
    g.prepare("output/mask", folder)
    line = "-img img_in.img -mask mask_in.img -floatfile f.bin -intfile i.img -nonoise -nopgm"
    words = a.words("-cell 70 80 90 75 85 95 -default_F 100 -N 5 -noprogress", line)
    assert g.run_cli(words) == 0
    assert float(smv.read("i.img").header["WAVELENGTH"]) == 1.7
    masked = smv.read("mask_in.img").pixels == 0
    image = float_image((72, 72), "f.bin")
    assert masked.any() and (image[masked] == 0).all() and (image[~masked] > 0).all()
    from nbragg.simulation.simulate import render

    assert render(g.scene_of(words)).statistics.pixels == (~masked).sum()


def test_region(folder: Path) -> None:
    """AT-CLI-005: pixels outside -roi are zero in every file."""
    run("-detpixels 40 -roi 5 20 8 30 -seed 3 -water 30")
    image = float_image((40, 40))
    inside = np.zeros((40, 40), bool)
    inside[8:31, 5:21] = True
    assert (image[inside] > 0).all() and (image[~inside] == 0).all()
    for name in ("intimage.img", "noiseimage.img"):
        pixels = smv.read(name).pixels
        assert (pixels[inside] >= 40).all() and (pixels[~inside] == 0).all()
    preview = np.frombuffer(Path("image.pgm").read_bytes()[-1600:], np.uint8).reshape(40, 40)
    assert preview[inside].any() and not preview[~inside].any()


def test_scaling(folder: Path) -> None:
    """AT-CLI-006: automatic scale puts the maximum at 55000 + adc; given scales are used."""
    run("-detpixels 40 -nonoise")
    image = float_image((40, 40))
    assert smv.read("intimage.img").pixels.max() == 55040
    automatic = Path("image.pgm").read_bytes()
    rmsd = image.astype(float).std(ddof=1)
    scale = float(re.search(rb"scaled by (\S+)", automatic).group(1))  # type: ignore[union-attr]
    assert scale == pytest.approx(250 / (5 * rmsd), rel=1e-5)
    run("-detpixels 40 -nonoise -scale 30 -adc 100")
    expected = np.floor((np.clip(image.astype(float) * 30 + 100, 0, 65535) + 0.5).astype(np.float32))
    assert np.array_equal(smv.read("intimage.img").pixels, expected)
    run("-detpixels 40 -nonoise -scale 1e9 -adc 0")
    assert smv.read("intimage.img").pixels.max() == 65535
    run("-detpixels 40 -nonoise -scale 1e-9 -adc -100")
    assert smv.read("intimage.img").pixels.max() == 0


def test_noise_determinism(folder: Path) -> None:
    """AT-CLI-007: the same -seed gives the same noise file, another one does not."""
    for seed, name in ((5, "a"), (5, "b"), (6, "c")):
        run(f"-detpixels 40 -fluence 1e29 -seed {seed} -noisefile {name}.img -nopgm")
    a_, b, c = (Path(f"{name}.img").read_bytes() for name in "abc")
    assert a_ == b and a_ != c and a_[:512] == c[:512]


def test_dmin_filter(folder: Path) -> None:
    """AT-CLI-008: -dmin only removes, and at high angle."""
    line = "-detpixels 60 -pixel 1 -distance 40 -nonoise -nopgm -nopolar -oversample 2 -floatfile f.bin"
    run(line)
    full = float_image((60, 60), "f.bin")
    run(line + " -dmin 2.5")
    cut = float_image((60, 60), "f.bin")
    assert cut.sum() < full.sum() and (cut <= full).all()
    place = a.pixel_centres(g.scene_of(a.words(BASE, line)))
    angle = np.arccos(place[..., 0] / np.sqrt((place**2).sum(axis=-1)))
    limit = 2 * np.arcsin(1.3 / 5)
    assert np.array_equal(cut[angle < limit * 0.95], full[angle < limit * 0.95])
    assert (cut[angle > limit * 1.05] == 0).all()


def test_usage_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AT-CLI-009: without structure factors: usage, a status that is not 0, no file."""
    for line in ("", "-cell 100 100 100 90 90 90", "-cell 100 -default_F 0 -lambda 1", "-default_F 100"):
        assert g.run_cli(line.split()) == 2
        err = capsys.readouterr().err
        assert "usage" in err.lower() and "-hkl" in err and "-default_F" in err
    assert list(folder.iterdir()) == []

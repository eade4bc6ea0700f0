"""Options of a detector's response: what they set, which random numbers they choose, and what is refused."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import DetectorResponse, GainStage
from nbragg.base.errors import NbraggWarning
from nbragg.cli import tools
from nbragg.cli.response_options import ROWS
from nbragg.cli.tools.noise import _parser as noise_parser
from nbragg.io.images import read_image, smv
from nbragg.io.images.metadata import ImageMetadata
from nbragg.model.response_presets import PRESETS

TINY = (
    "-cell 50 60 70 -misset 3 5 7 -oversample 1 -default_F 100 -detpixels_f 24 -detpixels_s 20 -N 3 "
    "-fluence 1e29 -nopgm -noprogress"
)

#: words -> field of the response and its value, in the unit that the option is documented in
SETS: list[tuple[str, str, Any]] = [
    ("-integrating", "kind", "integrating"),
    ("-counting", "kind", "counting"),
    ("-photon_scale 2.5", "scale", 2.5),
    ("-flicker 0.02", "flicker", 0.02),
    ("-calibration 0.03", "calibration", 0.03),
    ("-calib_seed 7", "calib_seed", 7),
    ("-calibration_as loss", "calibration_as", "loss"),
    ("-psf fiber", "psf", "fiber"),
    ("-psf_fwhm 90", "psf_fwhm_um", 90.0),
    ("-psf_stage before", "psf_stage", "before"),
    ("-psf_radius 12", "psf_radius_px", 12.0),
    ("-charge_sigma 8", "charge_sigma_um", 8.0),
    ("-counting -threshold 0.4", "threshold", 0.4),
    ("-fano 0.12", "fano", 0.12),
    ("-pair_energy 4.4", "pair_energy_eV", 4.4),
    ("-gain 1.8", "gain", 1.8),
    ("-gain_per_keV", "gain_per_keV", True),
    ("-gain_stages stages.txt", "gain_stages", None),
    ("-gain_stages stages.txt -raw", "raw", True),
    ("-readout 3", "readout", 3.0),
    ("-bits 20", "bits", 20),
    ("-signed", "signed", True),
    ("-saturation 60000", "saturation", 60000),
    ("-overflow wrap", "overflow", "wrap"),
    ("-badpix 0.01", "dead_fraction", 0.01),
    ("-badpix_seed 5", "dead_seed", 5),
    ("-badpix_map bad.npy", "dead_map", None),
    ("-flag_badpix", "flag_dead", True),
    ("-hotpix 0.01", "hot_fraction", 0.01),
    ("-hotpix_seed 5", "hot_seed", 5),
    ("-hot_adu 9000", "hot_adu", 9000.0),
    ("-counting -dead_time 120", "dead_time_ns", 120.0),
    ("-counting -noretrigger", "retrigger", False),
    ("-counting -noretrigger -retrigger", "retrigger", True),
    ("-counting -dead_time 9 -rate_correction", "rate_correction", True),
    ("-counting -pulsed 4000", "pulsed", 4000),
    ("-counting -summed_frames 3", "frames", 3),
    ("-signed -mask_value -5", "mask_value", -5),
    ("-signed -gap_value -6", "gap_value", -6),
    ("-rng philox -adc 12", "adc", 12.0),
    ("-response eiger", "bits", 12),
    ("-response eiger -bits 16", "bits", 16),
]


@pytest.fixture(autouse=True)
def _folder(folder: Path) -> None:
    """Every test runs in a folder with a table of gains and a map of bad pixels."""
    Path("stages.txt").write_text("# gain pedestal noise switch spread\n40, 0, 3, 320, 2\n-1 15000 2\n")
    np.save("bad.npy", (np.arange(480).reshape(20, 24) % 7 != 0).astype(np.uint16))


def response_of(words: str) -> DetectorResponse:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        found = nbragg.from_cli(f"{TINY} {words}").response
    assert found is not None
    return found


@pytest.mark.parametrize(("words", "field", "value"), SETS)
def test_every_option_sets_its_field(words: str, field: str, value: Any) -> None:
    found = getattr(response_of(words), field)
    if field == "gain_stages":
        assert found == (
            GainStage(
                gain_adu_per_keV=40, pedestal_adu=0, readout_adu=3, switch_keV=320, switch_spread_keV=2
            ),
            GainStage(gain_adu_per_keV=-1, pedestal_adu=15000, readout_adu=2),
        )
    elif field == "dead_map":
        assert (found == (np.arange(480).reshape(20, 24) % 7 == 0)).all()
    else:
        assert found == value and type(found) is type(value)


def test_no_option_is_forgotten() -> None:
    given = {word for words, _, _ in SETS for word in words.split() if word.startswith("-")}
    assert {row.name for row in ROWS} <= given


def test_without_them_there_is_no_response() -> None:
    for words in ("", "-adc 5", "-seed 3", "-rng reference", "-adc 5 -seed 3"):
        assert nbragg.from_cli(f"{TINY} {words}").response is None
    assert response_of("-rng philox") == DetectorResponse()


# ---- which random numbers ----------------------------------------------------------------------------------


def noise_file(words: str, name: str = "noiseimage.img") -> bytes:
    assert g.run_cli(f"{TINY} -seed 5 {words}".split()) == 0
    return Path(name).read_bytes()


def test_the_reference_stream_stays_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond 13.3: byte for byte."""
    image = nbragg.simulate(nbragg.from_cli(TINY)).image
    drawn = nbragg.noise_image(image, None, seed=5, adc=40).pixels
    plain = noise_file("")
    assert (smv.read("noiseimage.img").pixels == drawn).all()
    assert noise_file("-rng reference") == plain == noise_file("-adc 40")
    counter_based = noise_file("-rng philox")
    assert counter_based != plain
    assert noise_file("-gain 1") == counter_based == noise_file("-psf none")
    assert (
        smv.read("noiseimage.img").pixels
        == nbragg.simulate(nbragg.from_cli(f"{TINY} -rng philox")).detect(5).pixels
    ).all()


def test_nothing_else_changes(capsys: pytest.CaptureFixture[str]) -> None:
    noise_file("")
    before = {name: Path(name).read_bytes() for name in ("floatimage.bin", "intimage.img")}
    plain = capsys.readouterr().out
    noise_file("-response rayonix -adc 7 -header_offset")
    assert Path("floatimage.bin").read_bytes() == before["floatimage.bin"]
    assert smv.read("intimage.img").header["ADC_OFFSET"] == "7"
    out = capsys.readouterr().out
    assert "detector response" not in plain and "detector response" in out
    assert "Rayonix MX340" in out and "psf                 fiber" in out


def test_files_of_counts(capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{TINY} -seed 5 -gain 3 -readout 2 -adc 10 -bits 14"
    assert g.run_cli(f"{words} -save a.cbf -save a.img -save a.tif -save_as counts".split()) == 0
    expected = nbragg.simulate(nbragg.from_cli(words)).detect(5)
    for name in ("a.cbf", "a.img", "a.tif", "noiseimage.img"):
        assert (read_image(name).image == expected.pixels).all(), name
    said = ImageMetadata.from_dict(read_image("a.cbf").metadata)
    assert (said.scale, said.offset, said.saturation) == (3.0, 10.0, 16383.0)
    assert (said.pixels_are, said.seed) == ("counts", 5)
    assert said.recipe is not None and said.recipe["response"]["gain"] == 3.0
    assert "Count_cutoff 16383 counts" in read_image("a.cbf").metadata["header"]


def test_images_of_a_series_have_numbers_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """One seed and the number of the image; a series that goes on has the images that it would have had."""
    words = f"{TINY} -seed 5 -osc 1 -flicker 0.2 -save a_###.cbf -save_as counts"
    assert g.run_cli(f"{words} -frames 3".split()) == 0
    setup = nbragg.from_cli(f"{TINY} -osc 1 -flicker 0.2")
    series = nbragg.Series.frames(setup, 3)
    for i, changed in enumerate(series):
        expected = nbragg.simulate(changed).detect(5, image=i).pixels
        assert (read_image(f"a_{i + 1:03d}.cbf").image == expected).all()
        assert (smv.read(f"noiseimage_{i + 1:04d}.img").pixels == expected).all()
    last = Path("a_003.cbf").read_bytes()
    assert g.run_cli(f"{words} -phi 2 -frames 1 -first_frame 3".split()) == 0
    assert (read_image("a_003.cbf").image == expected).all() and len(Path("a_003.cbf").read_bytes()) == len(
        last
    )
    files = nbragg.save_series(
        nbragg.Simulator(setup).render_many(series), "b_###.cbf", save_as="counts", seed=5
    )
    assert (read_image(files[1]).image == read_image("a_002.cbf").image).all()


# ---- refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("-psff gauss", "did you mean -psf?"),
        ("-redout 3", "did you mean -readout?"),
        ("-badpixel 3", "did you mean -badpix"),
        ("-psf gaus", "one of none, gauss, fiber"),
        ("-psf", "needs none|gauss|fiber"),
        ("-rng filox", "one of reference, philox"),
        ("-response egier", "did you mean 'eiger'"),
        ("-response agipd", "gain_stages not known"),
        ("-flicker -1", "-flicker must be"),
        ("-flicker x", '-flicker: "x" is not a number'),
        ("-bits 15", "-bits must be one of 0, 8"),
        ("-bits 1.5", '"1.5" is not a whole number'),
        ("-threshold 0.4", "-threshold = 0.4: only a counting detector has it: give -counting"),
        ("-counting -gain 3", "-gain = 3.0: a counting detector has none"),
        ("-counting -adc 40", "-adc = 40.0: a counting detector has 0.0 only"),
        ("-raw", "-raw=True writes the stage"),
        ("-gain_stages missing.txt", "missing.txt"),
        ("-gain_stages bad.npy", "bad.npy, line 1"),
        ("-badpix_map missing.npy", "missing.npy"),
        ("-gain_stages stages.txt -readout 3", "-readout = 3.0: gain_stages have their own"),
        ("-rng reference -psf gauss -gain 2", "knows no -psf, -gain"),
        ("-rng reference -response eiger", "knows no -response"),
        ("-bits 20 -noisefile n.img", "-noisefile n.img: it has 16 bits without sign"),
        ("-gain_stages stages.txt -noisefile n.img", "writes float32"),
        ("-gain_stages stages.txt -save a.cbf -save_as counts", "-save a.cbf: cbf files hold int32"),
        ("-signed -save a.tif -save_as counts -bits 20", "-save a.tif: tiff files hold"),
        ("-rng philox -seed 1e30", "2^63"),
    ],
)
def test_bad_input(words: str, about: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, one line that helps, and nothing written."""
    before = sorted(folder.iterdir())
    assert g.run_cli(f"{TINY} {words}".split()) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert len(lines) == 1 and about in lines[0], lines
    assert sorted(folder.iterdir()) == before


def test_a_noise_file_that_nobody_asked_for_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert g.run_cli(f"{TINY} -response pilatus -save a.cbf -save_as counts".split()) == 0
    assert not Path("noiseimage.img").exists() and Path("a.cbf").exists()
    assert "no counts" not in capsys.readouterr().err
    assert g.run_cli(f"{TINY} -response pilatus".split()) == 0
    assert "no counts are written, so the detector response has no effect" in capsys.readouterr().err


# ---- back to a command line --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        DetectorResponse(),
        DetectorResponse(gain=1.8, readout=3.25, psf="fiber", calib_seed=2**62 + 1, adc=12, signed=True),
        DetectorResponse(kind="counting", dead_time_ns=120, retrigger=False, frames=4, gap_value=3),
        DetectorResponse(dead_map=np.eye(20, 24) > 0, bits=20, saturation=1000, overflow="wrap"),
        DetectorResponse.preset("rayonix", psf_fwhm_um=70, calibration=0.02),
        DetectorResponse.preset("jungfrau", raw=True),
        DetectorResponse.preset(
            "agipd", gain_stages=[GainStage(gain_adu_per_keV=0.1, pedestal_adu=1 / 3, readout_adu=2)]
        ),
    ],
    ids=["default", "ccd", "counting", "map", "rayonix", "jungfrau", "agipd"],
)
def test_there_and_back(response: DetectorResponse, tmp_path: Path) -> None:
    setup = nbragg.from_cli(TINY).replace(response=response)
    line = nbragg.to_cli(setup, folder=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        again = nbragg.from_cli(line)
    assert again == setup
    assert nbragg.to_cli(again) == line  # the files are there


@pytest.mark.parametrize("words", [words for words, _, _ in SETS])
def test_every_option_there_and_back(words: str) -> None:
    setup = nbragg.from_cli(f"{TINY} {words}")
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


@pytest.mark.parametrize(
    ("response", "about"),
    [
        (DetectorResponse(source="mine"), "source of the response"),
        (DetectorResponse.preset("eiger").replace(bits=None), "bits of the response"),
        (DetectorResponse(calib_seed=2**63), "calib_seed of the response"),
        (DetectorResponse(dead_map=np.zeros((2, 3, 4), bool)), "dead_map of the response"),
        (DetectorResponse.preset("pilatus").replace(signed=False), "signed = False of the response"),
    ],
)
def test_what_no_command_line_says(response: DetectorResponse, about: str) -> None:
    with pytest.raises(nbragg.InputError) as caught:
        nbragg.to_cli(nbragg.from_cli(TINY).replace(response=response))
    assert about in str(caught.value) and "nbragg.dump" in str(caught.value)


# ---- nbragg noise ------------------------------------------------------------------------------------------


def test_the_tool_has_the_same_options() -> None:
    actions = {name: action for action in noise_parser()._actions for name in action.option_strings}
    for row in ROWS:
        action = actions["-" + row.name]
        assert row.help.replace("%", "%%") in (action.help or "")
        assert tuple(action.choices or ()) == row.choices


def test_the_tool_makes_what_the_program_makes(capsys: pytest.CaptureFixture[str]) -> None:
    options = "-psf gauss -psf_fwhm 120 -gain 2 -readout 3 -flicker 0.1"
    expected = noise_file(options)
    own = options.replace(" -", " --").replace("-psf gauss", "--psf gauss", 1)
    words = ["noise", "floatimage.bin", "--seed", "5", "-o"]
    assert tools.main([*words, "a.img", *own.split(), "--", *TINY.split()]) == 0
    assert tools.main([*words, "b.img", "--", *TINY.split(), *options.split()]) == 0
    assert tools.main([*words, "c.npy", *own.split(), "--shape", "20", "24", "--pixel", "0.1"]) == 0
    assert Path("a.img").read_bytes() == expected == Path("b.img").read_bytes()
    assert (np.load("c.npy") == smv.read("noiseimage.img").pixels).all()
    assert tools.main([*words, "d.npy", *own.split(), "--image", "4", "--", *TINY.split()]) == 0
    result = nbragg.simulate(nbragg.from_cli(f"{TINY} {options}"))
    assert (np.load("d.npy") == result.detect(5, image=4).pixels).all()
    # options stand above the response of a set-up; the reference's stream is still to be had
    assert tools.main([*words, "e.npy", "--gain", "5", "--", *TINY.split(), *options.split()]) == 0
    assert (np.load("e.npy") == result.detect(5, response=response_of(f"{options} -gain 5")).pixels).all()
    assert tools.main([*words, "f.npy", "--rng", "reference", "--", *TINY.split(), *options.split()]) == 0
    assert (np.load("f.npy") == nbragg.noise_image(result.image, None, 5).pixels).all()


@pytest.mark.parametrize("sizes", [((8, 10), (8, 10)), ((8, 10), (6, 12))])
def test_the_tool_takes_several_panels(
    sizes: tuple[tuple[int, int], ...], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    panels = [
        nbragg.Panel(
            origin_mm=(50, 1, -1 + 2 * i),
            fast=(0, 0, 1),
            slow=(0, -1, 0),
            fpixels=fast,
            spixels=slow,
            pixel_mm=0.1,
        )
        for i, (slow, fast) in enumerate(sizes)
    ]
    response = DetectorResponse(kind="counting", psf="gauss", psf_fwhm_um=80)
    setup = nbragg.from_cli(TINY).replace(
        detector=nbragg.Detector(panels=panels), response=response, physics="exact"
    )
    result = nbragg.simulate(setup)
    result.save("a.nxs")
    np.save("a.npy", result.image)
    nbragg.dump(setup, "a.json")
    expected = result.detect(3).pixels
    assert expected.shape == result.image.shape
    words = ["--seed", "3", "-o"]
    own = ["--counting", "--psf", "gauss", "--psf_fwhm", "80"]
    assert tools.main(["noise", "a.nxs", *words, "b.nxs", *own]) == 0
    assert tools.main(["noise", "a.npy", *words, "c.npy", "--recipe", "a.json"]) == 0
    assert tools.main(["noise", "a.nxs", *words, "f.npy", "--recipe", "a.json"]) == 0
    assert (read_image("b.nxs").image == expected).all()
    assert (np.load("c.npy") == expected).all() and (np.load("f.npy") == expected).all()
    assert tools.main(["noise", "a.nxs", *words, "g.npy", "--recipe", "a.json", "--frame", "1"]) == 2
    assert "1 frames; frame 1" in capsys.readouterr().err
    assert tools.main(["noise", "a.nxs", *words, "d.npy"]) == 0
    assert (np.load("d.npy") == result.noise(3).pixels).all()
    assert tools.main(["noise", "a.nxs", *words, "e.npy", "--roi", "0", "3", "0", "3"]) == 2
    assert "--roi is of one panel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("--psff gauss", "did you mean --psf?"),
        ("--psf gaus", "invalid choice"),
        ("--response egier", "did you mean 'eiger'"),
        ("--gain 0", "-gain must be"),
        ("--psf gauss", "give pixel_um"),
        ("--fano 0.1", "energy_eV"),
        ("--counting --dead_time 5", "exposure_s"),
        ("--bits 20 --like like.img -o n.img", "smv files hold uint16"),
        ("--rng reference --gain 2", "knows no -gain"),
        ("--pixel 0", "not above zero"),
    ],
)
def test_bad_input_of_the_tool(words: str, about: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.ones((4, 4), "<f4").tofile("a.bin")
    assert tools.main(["noise", "a.bin", "-o", "n.npy", *words.split()]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1 and about in lines[0], lines
    assert not Path("n.npy").exists() and not Path("n.img").exists()


def test_tables_of_gains_that_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for text, about in (
        ("", "no gains"),
        ("1 2\n", "line 1"),
        ("1 2 3\n4 5 x\n", "line 2"),
        ("1 2 3 4 5 6\n", "line 1"),
        ("nan 2 3\n", "line 1"),
        ("0 2 3\n", "-gain_stages g.txt: gain_adu_per_keV must not be 0"),
        ("1 2 3\n1 2 3\n", "-gain_stages: switch_keV must rise"),
    ):
        Path("g.txt").write_text(text)
        assert g.run_cli(f"{TINY} -gain_stages g.txt".split()) == 2
        assert about in capsys.readouterr().err
    assert response_of("-gain_stages stages.txt").gain_stages[1].switch_keV == math.inf
    assert set(PRESETS) >= {"eiger"}

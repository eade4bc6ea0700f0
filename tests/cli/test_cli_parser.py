"""From words to records: order, headers, pivots, values and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbragg import RenderOptions
from nbragg.base.errors import FileError, InputError, NbraggWarning
from nbragg.cli.parser import CommandLine, Trace, parse
from nbragg.cli.words import UsageError
from nbragg.io.images import smv

BASE = "-cell 50 60 70 80 90 100 -default_F 10"

HEADER = (
    "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=12;\nSIZE2=8;\n"
    "PIXEL_SIZE=0.2;\nDISTANCE=110;\nWAVELENGTH=1.7;\nBEAM_CENTER_X=1.5;\nBEAM_CENTER_Y=0.25;\n"
    "XDS_ORGX=5.5;\nXDS_ORGY=4.5;\nCLOSE_DISTANCE=108;\nPHI=3;\nOSC_RANGE=0.5;\nTWOTHETA=7;\n}\f"
)


def line(text: str, base: str = BASE) -> CommandLine:
    return parse(f"{base} {text}".split())


def frame(path: Path, header: str = HEADER, shape: tuple[int, int] = (8, 12)) -> str:
    pixels = np.ones(shape, np.uint16)
    pixels[0, 1] = 0
    smv.write(path, pixels, header.encode().ljust(512))
    return str(path)


def messages(text: str, base: str = BASE) -> tuple[CommandLine, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        command = line(text, base)
    assert all(issubclass(item.category, NbraggWarning) for item in caught)
    return command, [str(item.message) for item in caught]


@pytest.fixture(autouse=True)
def in_folder(folder: Path) -> None:
    """Every test runs in an empty directory."""


class TestValues:
    def test_cell_forms(self) -> None:
        for words, cell in {
            "60": (60, 60, 60, 90, 90, 90),
            "60 70": (60, 70, 60, 90, 90, 90),
            "60 70 80": (60, 70, 80, 90, 90, 90),
            "60 70 80 85": (60, 70, 80, 85, 90, 90),
            "60 70 80 85 95 105": (60, 70, 80, 85, 95, 105),
        }.items():
            assert line(f"-cell {words} -N 2").setup.crystal.cell == cell

    def test_negative_numbers_are_values(self) -> None:
        command = line("-misset -10 -20.5 -3e1 -polar -0.8 -seed -7")
        assert command.setup.crystal.misset_deg == (-10.0, -20.5, -30.0)
        assert command.setup.beam.polarization == -0.8
        assert command.seed == -7

    def test_later_options_override(self) -> None:
        command = line("-N 5 -Nb 3 -lambda 2 -lambda 1.5 -detpixels 100 -detpixels_x 50 -nopolar -polar 0.5")
        assert command.setup.crystal.N == (5, 3, 5)
        assert command.setup.beam.wavelength_A == 1.5
        assert (command.setup.detector.fpixels, command.setup.detector.spixels) == (50, 100)
        assert not command.setup.beam.nopolar
        assert line("-energy 12398.42").setup.beam.wavelength_A == pytest.approx(1.0)
        assert line("-energy 5000 -lambda 2").setup.beam.wavelength_A == 2.0

    def test_sizes(self) -> None:
        assert line("-xtalsize 0.1 -width 0.2 -xtal_heights 0.3").setup.crystal.size_mm == (0.1, 0.2, 0.3)

    def test_misset_random_takes_the_noise_seed(self) -> None:
        crystal = line("-misset random -seed 11").setup.crystal
        assert (crystal.misset_deg, crystal.misset_seed) == ("random", 11)
        assert line("-misset random -seed 11 -misset_seed 12").setup.crystal.misset_seed == 12

    def test_attenuation(self) -> None:
        assert line("-detector_abs inf").setup.detector.attenuation_um == float("inf")
        assert line("-detector_absorb 0").setup.detector.attenuation_um == 0.0
        assert line("-detector_abs 450").setup.detector.attenuation_um == 450.0

    def test_outputs(self) -> None:
        default = line("").outputs
        assert (default.float_file, default.int_file) == ("floatimage.bin", "intimage.img")
        assert (default.pgm_file, default.noise_file, default.dump_file) == (
            "image.pgm",
            "noiseimage.img",
            None,
        )
        off = line("-nopgm -nonoise").outputs
        assert off.pgm_file is None and off.noise_file is None
        again = line("-nopgm -nonoise -pgmscale 2 -noiseimage n.img -adc_offset 7 -scale 3").outputs
        assert (again.pgm_file, again.noise_file) == ("image.pgm", "n.img")
        assert (again.pgm_scale, again.adc, again.int_scale) == (2.0, 7.0, 3.0)

    def test_run_options(self) -> None:
        command = line("-threads 2 -physics exact -precision mixed -device cpu -noprogress")
        assert command.setup.physics == "exact"
        assert command.options == RenderOptions(threads=2, precision="mixed", device="cpu")
        assert line("").setup.physics == "nanobragg" and line("").options == RenderOptions()
        assert not command.progress

    def test_trace_pixels_are_fast_slow(self) -> None:
        assert line("").trace is None
        assert line("-printout").trace == Trace(())
        assert line("-printout_pixel 3 4").trace == Trace(((3, 4),))
        assert line("-trace_pixel 3 4").trace == Trace(((3, 4),))
        assert line("-trace_pixel 5 4 -printout_pixel 3 4").trace == Trace(((5, 4), (3, 4)))
        assert line("-trace_pixel 3 4 -printout_pixel 3 4").trace == Trace(((3, 4),))

    def test_matrix_is_divided_by_the_final_wavelength(self) -> None:
        Path("a.mat").write_text("0.02 0 0\n0 0.03 0\n0 0 0.04\n 0 0 0\n")
        command = line("-mat a.mat -lambda 4 -lambda 2", base="-default_F 1")
        assert command.setup.crystal.cell is None and command.setup.crystal.a_matrix is not None
        np.testing.assert_allclose(command.setup.crystal.a_matrix, np.diag([0.01, 0.015, 0.02]))

    def test_missing_source_columns_follow_beam(self) -> None:
        Path("s.txt").write_text("# X Y Z\n -10\n 0 0 3 2 2e-10\n")
        sources = line("-sourcefile s.txt -xds -lambda 1.3").setup.beam.sources
        assert sources is not None and sources.wavelengths_A is not None
        np.testing.assert_allclose(sources.positions, [[-10, 0, -10], [0, 0, 3]])
        np.testing.assert_allclose(sources.wavelengths_A, [1.3, 2.0])


class TestPivot:
    """Canonical 3.4 (AT-GEO-002)."""

    @pytest.mark.parametrize(
        ("words", "pivot"),
        [
            ("-beam_vector 1 0 0", "beam"),
            ("-beam_vector 1 0 0 -twotheta 5", "sample"),
            ("-twotheta 5 -distance 90 -beam_vector 1 0 0", "beam"),
            ("-distance 90 -ORGX 5 -beam_vector 1 0 0", "sample"),
            ("-xds -beam_vector 0 0 1", "sample"),
            ("-dials -beam_vector 0 0 1", "beam"),
            ("-pivot sample -Xbeam 5 -pix0_vector 0 0 1", "beam"),
            ("-Xclose 5 -pivot beam -fdet_vector 0 0 1", "beam"),
        ],
    )
    def test_order_counts_for_custom(self, words: str, pivot: str) -> None:
        detector = line(words).setup.detector
        assert (detector.convention, detector.pivot) == ("custom", pivot)

    @pytest.mark.parametrize("convention", ["mosflm", "xds", "adxv", "denzo", "dials"])
    def test_named_conventions_pass_an_explicit_pivot_only(self, convention: str) -> None:
        assert line(f"-distance 90 -twotheta 5 -{convention} -ORGX 3").setup.detector.pivot is None
        assert line(f"-pivot sample -{convention} -distance 80").setup.detector.pivot == "sample"

    def test_vectors_before_a_named_convention_are_lost(self) -> None:
        command, said = messages("-fdet_vector 0 1 0 -spindle_axis 0 1 0 -mosflm")
        assert command.setup.detector.convention == "mosflm"
        assert command.setup.detector.fdet_vector is None and command.setup.crystal.spindle_axis is None
        assert said == ["-fdet_vector, -spindle_axis has no effect: -mosflm, given later, sets all vectors"]


class TestHeaders:
    """Canonical 10.4 (AT-PRE-001, AT-PRE-002)."""

    def test_img(self) -> None:
        command, said = messages(f"-Xbeam 9 -img {frame(Path('a.img'))}")
        detector, crystal = command.setup.detector, command.setup.crystal
        assert (detector.fpixels, detector.spixels, detector.pixel_mm) == (12, 8, 0.2)
        assert (detector.Xbeam_mm, detector.Ybeam_mm) == (9.0, 0.25)
        # the last place where DISTANCE occurs is CLOSE_DISTANCE
        assert (detector.distance_mm, detector.close_distance_mm) == (108.0, 108.0)
        assert command.setup.beam.wavelength_A == 1.7
        assert (crystal.phi_deg, crystal.osc_deg) == (3.0, 0.5)
        assert detector.twotheta_deg == 0.0
        assert len(said) == 1 and "TWOTHETA=7" in said[0]

    def test_exact_honours_twotheta_and_distance(self) -> None:
        command, said = messages(f"-img {frame(Path('a.img'))} -physics exact -distance 50")
        assert not said
        assert command.setup.detector.twotheta_deg == 7.0
        assert (command.setup.detector.distance_mm, command.setup.detector.close_distance_mm) == (50.0, None)

    def test_close_distance_of_a_header_outranks_distance(self) -> None:
        header = HEADER.replace("TWOTHETA=7", "TWOTHETA=0")
        command, said = messages(f"-img {frame(Path('a.img'), header)} -distance 50")
        assert command.setup.detector.close_distance_mm == 108.0
        assert said == [
            "-distance has no effect: CLOSE_DISTANCE of the header outranks it; give -close_distance"
        ]

    def test_near_point_goes_to_xds(self) -> None:
        detector = messages(f"-xds -img {frame(Path('a.img'))}")[0].setup.detector
        assert (detector.ORGX, detector.ORGY) == (5.5, 4.5)

    def test_mask(self) -> None:
        detector = messages(f"-mask {frame(Path('m.img'))}")[0].setup.detector
        assert detector.Ybeam_mm == pytest.approx(8 * 0.2 - 0.25)
        assert detector.mask is not None
        assert detector.mask.sum() == 95 and detector.mask[0, 1] == 0

    def test_img_overrides_mask(self) -> None:
        mask = frame(Path("m.img"), HEADER.replace("WAVELENGTH=1.7", "WAVELENGTH=1.9"))
        command = messages(f"-img {frame(Path('a.img'))} -mask {mask}")[0]
        assert command.setup.beam.wavelength_A == 1.7
        assert command.setup.detector.Ybeam_mm == 0.25

    def test_pixel_counts_outrank_detsize(self) -> None:
        said = messages(f"-img {frame(Path('a.img'))} -detsize 50")[1]
        assert any(text.startswith("-detsize has no effect") for text in said)

    @pytest.mark.parametrize("words", ["-detpixels 20", "-detpixels_x 11", "-img b.img"])
    def test_mask_of_another_size(self, words: str) -> None:
        frame(Path("b.img"), HEADER.replace("SIZE1=12", "SIZE1=9").replace("SIZE2=8", "SIZE2=9"), (9, 9))
        with pytest.raises(FileError, match="mask is 12 x 8 pixels"):
            messages(f"-mask {frame(Path('m.img'))} {words}")


class TestStructureFactors:
    def test_list_then_dump(self) -> None:
        Path("p.hkl").write_text("0 0 0 5\n1 0 2 7\n")
        first = line("-hkl p.hkl")
        assert first.outputs.dump_file == "Fdump.bin" and first.inputs["-hkl"] == "p.hkl"
        assert first.setup.crystal.structure_factors.default_F == 10.0
        assert not Path("Fdump.bin").exists()
        assert line("-hkl p.hkl -dumpfile other.bin").outputs.dump_file == "other.bin"

    def test_dump_is_read_without_a_list(self) -> None:
        from nbragg.io.reflections import dump as fdump

        fdump.write("Fdump.bin", np.arange(6.0).reshape(1, 2, 3), (1, -1, 0))
        command = line("", base="-cell 50")
        factors = command.setup.crystal.structure_factors
        assert factors.values is not None
        assert factors.values.shape == (1, 2, 3) and factors.origin == (1, -1, 0)
        assert command.inputs == {"-dump": "Fdump.bin"} and command.outputs.dump_file is None

    def test_constant(self) -> None:
        command, said = messages("-dump nothing.bin")
        assert command.setup.crystal.structure_factors.values is None
        assert len(said) == 1 and "nothing.bin" in said[0]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("-distanc 5", "did you mean -distance"),
        ("-lambda", "-lambda needs WAVELENGTH (A), but the line ends"),
        ("-lambda -N 5", 'found "-N"'),
        ("-lambda long", '-lambda: "long" is not a number'),
        ("-lambda 1_0", "is not a number"),
        ("-lambda 1A", "is not a number"),
        ("-lambda nan", "is not a finite number"),
        ("-distance inf", "is not a finite number"),
        ("-cell nan", "is not a finite number"),
        ("-cell -N 5", "-cell needs"),
        ("-misset 1 2", "-misset needs"),
        ("-misset 1 2 inf", "is not a finite number"),
        ("-N 2.5", "is not a whole number"),
        ("-seed 1e30", "is too large"),
        ("-N 5 6", 'unexpected word "6" after -N'),
        ("-air_path -1", 'unexpected word "-1" after -air_path'),
        ("-roi 1 2 3", "-roi needs XMIN XMAX YMIN YMAX"),
        ("-roi 1 2 3 4.5", "is not a whole number"),
        ("-pivot middle", "not one of beam, sample"),
        ("-physics new", "not one of nanobragg, exact"),
        ("-threads 0", "give a whole number from 1"),
        ("-hkl -nopgm", "-hkl needs FILE"),
        ("-N 0", "N"),
        ("-lambda 0", "wavelength_A"),
        ("-energy 0", "energy_eV"),
        ("-cell 10 10 10 10 10 90", "cannot form a cell"),
    ],
)
def test_refused(words: str, part: str) -> None:
    with pytest.raises(InputError) as error:
        line(words)
    assert part in str(error.value)


@pytest.mark.parametrize("words", ["", "-N 5", "-cell 10", "-default_F 10", "-cell 10 -default_F 0"])
def test_usage_errors(words: str) -> None:
    with pytest.raises(UsageError):
        parse(words.split())


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("-floatfile nowhere/a.bin", "does not exist"),
        ("-intfile .", "is a folder"),
        ("-floatfile a -intfile ./a", "is also written by -floatfile"),
        ("-hkl p.hkl -floatfile p.hkl", "is read by -hkl"),
        ("-hkl p.hkl -dump q.bin -noisefile q.bin", "also written by"),
        ("-hkl missing.hkl", "missing.hkl"),
        ("-mat missing.mat", "missing.mat"),
        ("-img missing.img", "missing.img"),
        ("-sourcefile missing.txt", "missing.txt"),
    ],
)
def test_refused_files(words: str, part: str) -> None:
    Path("p.hkl").write_text("0 0 0 5\n")
    with pytest.raises((InputError, FileError)) as error:
        line(words)
    assert part in str(error.value)


def test_options_without_effect_warn_once() -> None:
    said = messages("-stol a -stol b -coherent -MW 12 -molecular 5 -density 1")[1]
    instead = ": give -background, or -physics exact"
    assert said == [
        f"{name} has no effect on the image{instead if name != '-coherent' else ''}"
        for name in ("-stol", "-coherent", "-MW", "-density")
    ]


def test_ignored_options_take_their_value() -> None:
    with pytest.raises(InputError, match="needs FILE"):
        line("-stol")


def test_given_keeps_the_line() -> None:
    given: Any = line("-N 5").given
    assert [item.spelled for item in given] == ["-cell", "-default_F", "-N"]


@pytest.mark.parametrize("word", ["randon", "rand", "randomly"])
def test_misset_takes_the_word_random_and_no_other(word: str) -> None:
    with pytest.raises(InputError, match="misset"):
        parse(["-cell", "50", "-default_F", "1", "-misset", word])

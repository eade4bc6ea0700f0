"""Numbers at and beyond the limits: what counts as not given, what is refused, and nothing worse."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import InputError, StructureFactors
from nbragg.base.vectors import unit
from nbragg.cli.nanobragg import main
from nbragg.cli.options import OPTIONS, USAGE, Option
from nbragg.cli.parser import CommandLine, parse
from nbragg.io.images import smv

BASE = "-cell 50 60 70 80 90 100 -default_F 10 -detpixels 5 -threads 1 -seed 1".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def in_folder(folder: Path) -> None:
    """Every test runs in an empty directory."""


# ---- what counts as not given ----


def parsed(words: str) -> tuple[CommandLine, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        command = parse([*BASE, *words.split()])
    return command, [str(item.message) for item in caught]


@pytest.mark.parametrize(
    ("words", "part", "field"),
    [
        (f"{option} {value}", part, field)
        for option, part, field in (
            ("-oversample", "sampling", "oversample"),
            ("-dispsteps", "beam", "dispersion_steps"),
            ("-hdivsteps", "beam", "hdivsteps"),
            ("-vdivsteps", "beam", "vdivsteps"),
            ("-mosaic_domains", "crystal", "mosaic_domains"),
            ("-thicksteps", "detector", "thicksteps"),
        )
        for value in (0, -1, -7)
    ]
    + [
        ("-phisteps -1", "crystal", "phisteps"),
        ("-hdivstep -0.1", "beam", "hdivstep_mrad"),
        ("-vdivstep -0.1", "beam", "vdivstep_mrad"),
        ("-phistep -2", "crystal", "phistep_deg"),
        ("-hdivrange -1", "beam", "hdivrange_mrad"),
        ("-divergence -1", "beam", "vdivrange_mrad"),
        ("-dispersion -1", "beam", "dispersion_pct"),
        ("-osc -1", "crystal", "osc_deg"),
    ],
)
def test_not_given(words: str, part: str, field: str) -> None:
    """Canonical 2, 4, 5.6, 6."""
    command, said = parsed(words)
    assert getattr(getattr(command.setup, part), field) is None
    option, value = words.split()
    if float(value) < 0 and option != "-oversample":
        assert len(said) >= 1 and all("counts as not given" in text for text in said)
    else:
        assert said == []


def test_no_phi_steps_are_one() -> None:
    command, said = parsed("-phisteps 0 -osc 2")
    assert command.setup.crystal.phisteps == 1 and said == []
    # a count with neither range nor step rotates over one degree
    turn = nbragg.build_scene(parsed("-phisteps 0")[0].setup).placement
    assert (turn.phisteps, turn.osc) == (1, pytest.approx(np.radians(1)))


def test_zero_ranges_are_given() -> None:
    command, said = parsed("-osc 0 -hdivrange 0 -dispersion 0")
    crystal, beam = command.setup.crystal, command.setup.beam
    assert (crystal.osc_deg, beam.hdivrange_mrad, beam.dispersion_pct) == (0, 0, 0)
    assert said == []


def test_negative_dispersion_with_a_count_is_refused() -> None:
    with pytest.raises(InputError, match="dispersion_pct"):
        parsed("-dispersion -1 -dispsteps 3")


@pytest.mark.parametrize(
    "words", ["-N 0", "-Na -1", "-detpixels 0", "-mosaic -1", "-detector_thick -1", "-frames 0"]
)
def test_not_positive(words: str) -> None:
    with pytest.raises(InputError):
        parsed(words)


# ---- limits of the records ----

F = StructureFactors.constant(1)


@pytest.mark.parametrize(
    "cell",
    [(1e-300, 1e300, 5), (1e300,) * 3, (1e-300,) * 3, (1e-7, 50, 50), (50, 50, 1e10), (1e200, 1e-100, 1)],
)
def test_cell_edges(cell: tuple[float, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"cell lengths .* must lie between"):
        nbragg.Crystal(cell=(*cell, 90, 90, 90), structure_factors=F)
    edges = " ".join(map(str, cell))
    assert main(f"-cell {edges} -default_F 1 -detpixels 32".split()) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "cell lengths" in err


@pytest.mark.parametrize("scale", [1e-12, 1e8])
def test_matrix_edges(scale: float) -> None:
    with pytest.raises(InputError, match="a_matrix stands for a cell with edges"):
        nbragg.Crystal(a_matrix=np.eye(3) * scale, structure_factors=F)


@pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")
def test_indices_beyond_double_precision() -> None:
    crystal = nbragg.Crystal(cell=(1e8, 50, 50, 90, 90, 90), structure_factors=F)
    detector = nbragg.Detector(fpixels=4, spixels=4)
    setup = nbragg.Setup(crystal, detector=detector, sampling=nbragg.Sampling(oversample=1))
    with pytest.raises(InputError, match="beyond double precision"):
        nbragg.build_scene(setup.replace(wavelength_A=1e-6))
    nbragg.build_scene(setup.replace(wavelength_A=1e-4))
    with pytest.raises(InputError, match="beyond double precision"):
        sources = nbragg.SourceList([[-1, 0, 0], [-1, 0, 0]], wavelengths_A=[1.0, 1e-6])
        nbragg.build_scene(setup.replace(sources=sources))


@pytest.mark.parametrize("seed", [2**63, -(2**63), 10**40, 1.5, None, "1", 2**31 - 1, 5 * (2**31 - 1)])
def test_seeds_that_cannot_be_used(seed: Any) -> None:
    with pytest.raises(InputError, match="seed"):
        nbragg.noise_image(np.ones((4, 4), np.float32), None, seed)
    with pytest.raises(InputError, match="mosaic_seed"):
        nbragg.Crystal(cell=(50,) * 3 + (90,) * 3, structure_factors=F, mosaic_seed=seed)
    if seed is not None:
        with pytest.raises(InputError, match="misset_seed"):
            nbragg.Crystal(cell=(50,) * 3 + (90,) * 3, structure_factors=F, misset_seed=seed)
        with pytest.raises(InputError, match="seed"):
            nbragg.random_orientations(3, seed)


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 2, 2**31, 2**62, np.int64(7)])
def test_seeds_that_can(seed: int) -> None:
    pixels = nbragg.noise_image(np.full((30, 30), 100, np.float32), None, seed).pixels
    assert 90 < pixels.mean() - 40 < 110 and pixels.std() > 5


def test_seeds_of_a_series(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-frames", "3", "-osc", "1", "-seed"]
    assert main([*BASE, *words, str(2**31 - 3)]) == 2
    assert "-seed 2147483647 is a multiple" in capsys.readouterr().err
    assert main([*BASE, *words, str(2**31 - 4)]) == 0
    assert main([*BASE, *words, "-1"]) == 0


def test_directions_of_any_length() -> None:
    expected = unit([[1.0, 2.0, -3.0]] * 4)
    found = unit(np.array([[1.0, 2.0, -3.0]]) * np.array([[1.0], [1e300], [1e-300], [1e-320]]))
    np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-15)
    np.testing.assert_allclose(found[3], expected[3], rtol=1e-3)
    assert (unit([[0.0, 0.0, 0.0], [1e200, 0.0, 0.0]]) == [[0, 0, 0], [1, 0, 0]]).all()


def test_no_source_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BASE, "-divsteps", "1"]) == 2
    assert "-square_div" in capsys.readouterr().err
    assert main([*BASE, "-divsteps", "1", "-square_div"]) == 0


def test_images_are_converted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(1).uniform(0, 1e4, (37, 29)).astype(np.float32)
    roi = (2, 27, 3, 33)
    whole = smv.integer_image(image, roi, 7.3, 40.0)[0]
    monkeypatch.setattr(smv, "_BLOCK_PIXELS", 60)
    assert np.array_equal(smv.integer_image(image, roi, 7.3, 40.0)[0], whole)
    assert whole[:, :2].max() == 0 and whole[33, 27] > 0 and whole[34:].max() == 0


# ---- every option with every awkward value ----

AWKWARD = (
    "1e300", "-1e300", "1e-300", "-1", "0", "1", "nan", "inf", "-inf", "-1e9", "1e15", "2147483647",
    "-2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "1" + "0" * 40, "",
    "\N{MICRO SIGN}", "\N{ARABIC-INDIC DIGIT ONE}", "0x10", "1e", "--", "random",
    "\N{GRINNING FACE}", "a" * 300,
)  # fmt: skip

#: an image that cannot be rendered is the only way to exit with 1
UNFIT = "pixels are infinite or NaN"


def lines(option: Option) -> Iterator[list[str]]:
    """Command lines with the option's values, all of them or the first one awkward."""
    if not option.values:
        yield [option.name]
        return
    count = 3 if option.values == ("misset",) else 6 if option.values == ("cell",) else len(option.values)
    for value in AWKWARD:
        yield [option.name, *[value] * count]
        if count > 1:
            yield [option.name, value, *["1"] * (count - 1)]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option(option: Option, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for number, words in enumerate(lines(option)):
        inside = folder / str(number)
        inside.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(inside)
            status = main([*BASE, *words])
        err = capsys.readouterr().err.splitlines()
        last = err[-1] if err else ""
        assert status in (0, 2) or (status == 1 and UNFIT in last), (words, last)
        assert (status == 0) != last.startswith("nanobragg: error: "), (words, err)
        assert all(text.startswith("nanobragg: ") for text in err if text not in USAGE), (words, err)
        assert status != 2 or not list(inside.iterdir()), words


PAIRS = (
    ("-physics", "exact"),
    ("-precision", "mixed"),
    ("-hkl", "../l.hkl"),
    ("-curved_det",),
    ("-gauss_xtal",),
)


@pytest.mark.parametrize("company", PAIRS, ids=lambda words: " ".join(words))
def test_numbers_in_company(
    company: tuple[str, ...], capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """The same in other ways to compute."""
    (folder / "l.hkl").write_text("0 0 0 9\n0 0 1 5\n1 0 0 6\n0 2 0 8\n")
    (folder / "inside").mkdir()
    numbers = [option for option in OPTIONS if option.values in (("float",), ("int",), ("float",) * 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "inside")
        for option, value in itertools.product(numbers, ("1e300", "1e-300", "0", "1e15")):
            status = main([*BASE, *company, option.name, *[value] * len(option.values)])
            err = capsys.readouterr().err.splitlines()
            ok = status in (0, 2) or (status == 1 and UNFIT in err[-1])
            assert ok, (option.name, value, err)
            Path("Fdump.bin").unlink(missing_ok=True)

"""Structure factors of every kind of file on the command line."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from format_files import CELL, DATA, TEXT_LIST, write_mtz

import nbragg
from nbragg.base.errors import InputError
from nbragg.cli.nanobragg import main
from nbragg.cli.parser import CommandLine, parse
from nbragg.cli.words import UsageError
from nbragg.io.crystal_files import model_limit, read_crystal
from nbragg.io.images import raw
from nbragg.io.reflections import dump as fdump
from nbragg.io.reflections.formats import read_structure_factors

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

HEWL, PEPTIDE, SALT = (DATA / name for name in ("HEWL_refined.mtz", "5e5z.pdb", "1011031.cif"))
SMALL = "-detpixels 40 -pixel 2 -distance 80 -N 6 -seed 1 -nopgm -nonoise"


@pytest.fixture(autouse=True)
def in_folder(folder: Path) -> None:
    """Every test runs in an empty directory."""


def line(text: str) -> CommandLine:
    return parse(text.split())


def image() -> np.ndarray:
    return raw.read_float("floatimage.bin", (40, 40))


def test_mtz_is_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"-hkl {HEWL} {SMALL} -misset 10 20 30 -save x.cbf".split()) == 0
    out = capsys.readouterr().out
    assert "unit cell           79.3439 79.3439 37.8099 90 90 90" in out
    assert "F-model(+) and F-model(-) (model amplitudes, first of the stated order" in out
    assert "missing: 1151 of 13693 unique reflections" in out and "1.765 -  1.705 A: 856 of 1335" in out
    assert Path("x.cbf").exists() and Path("Fdump.bin").exists()

    detector = nbragg.Detector(fpixels=40, spixels=40, pixel_mm=2, distance_mm=80)
    crystal = read_crystal(HEWL, detector=detector, N=(6, 6, 6), misset_deg=(10, 20, 30))
    made = nbragg.simulate(crystal, nbragg.Beam(wavelength_A=1.0), detector, physics="nanobragg")
    assert np.array_equal(image(), made.image)

    first = image()
    cell = "79.3439 79.3439 37.8099"
    assert main(f"-cell {cell} {SMALL} -misset 10 20 30".split()) == 0
    np.testing.assert_allclose(image(), first, rtol=1e-5)  # the cell's single precision in the MTZ file


def test_cell_and_wavelength_of_the_file_unless_given() -> None:
    write_mtz(Path("a.mtz"), [("FP", "F"), ("SIGFP", "Q")], wavelength=1.3)
    command = line("-hkl a.mtz")
    assert command.setup.crystal.cell == CELL and command.setup.beam.wavelength_A == pytest.approx(1.3)
    assert command.outputs.dump_file == "Fdump.bin" and command.inputs == {"-hkl": "a.mtz"}
    command = line("-hkl a.mtz -cell 31 41 51 -lambda 1.1")
    assert command.setup.crystal.cell == (31.0, 41.0, 51.0, 90.0, 90.0, 90.0)
    assert command.setup.beam.wavelength_A == 1.1
    assert line("-energy 12398.42 -hkl a.mtz").setup.beam.wavelength_A == pytest.approx(1.0)
    Path("a.mat").write_text("0.02 0 0 0 0.03 0 0 0 0.04")
    crystal = line("-hkl a.mtz -mat a.mat").setup.crystal
    assert crystal.cell is None and crystal.a_matrix is not None
    assert crystal.a_matrix[0, 0] == pytest.approx(0.02 / 1.3)


def test_file_without_a_wavelength_leaves_the_default() -> None:
    write_mtz(Path("a.mtz"), [("FP", "F"), ("SIGFP", "Q")])
    assert line("-hkl a.mtz").setup.beam.wavelength_A == 1.0


def test_file_without_a_cell_takes_the_given_one() -> None:
    text = PEPTIDE.read_text().splitlines(keepends=True)
    Path("bare.pdb").write_text("".join(row for row in text if not row.startswith(("CRYST1", "SCALE"))))
    with pytest.raises(InputError, match="cell"):
        line(f"-hkl bare.pdb {SMALL}")
    with pytest.raises(InputError, match="cell"):
        write_mtz(Path("bare.mtz"), [("FP", "F"), ("SIGFP", "Q")], cell=None)
        line("-hkl bare.mtz")
    assert line("-hkl bare.mtz -cell 30 40 50").setup.crystal.cell == CELL


def test_column() -> None:
    write_mtz(Path("a.mtz"), [("F", "F"), ("SIGF", "Q"), ("FC", "F")])
    chosen = line("-hkl a.mtz -column FC").setup.crystal.structure_factors
    expected = read_structure_factors("a.mtz", column="FC")
    assert chosen.values is not None and expected.column.startswith("FC")
    assert set(np.unique(chosen.values)) == {0.0, *expected.F}
    assert chosen != line("-hkl a.mtz -column F").setup.crystal.structure_factors
    assert "FC" in line("-hkl a.mtz -column FC").source[0]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("-hkl a.mtz -column NONE", "NONE"),
        (f"-hkl {TEXT_LIST} -cell 50 -column F", "column"),
        (f"-hkl {PEPTIDE} -column F", "-column F"),
        ("-hkl a.mtz -column", "-column needs NAME"),
        ("-hkl named.mtz", "named.mtz"),
        ("-hkl mean.pdb", "mean.pdb"),
    ],
)
def test_refused(words: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_mtz(Path("a.mtz"), [("F", "F"), ("SIGF", "Q")])
    shutil.copy(TEXT_LIST, "named.mtz")
    shutil.copy("a.mtz", "mean.pdb")
    before = sorted(os.listdir("."))
    assert main(f"{words} -detpixels 16".split()) == 2
    err = capsys.readouterr().err
    assert part in err.splitlines()[-1] and "Traceback" not in err
    assert sorted(os.listdir(".")) == before


def test_column_without_a_file_warns() -> None:
    with pytest.warns(nbragg.base.errors.NbraggWarning, match="-column has no effect"):
        line("-cell 50 -default_F 1 -column F")


def test_text_list_holds_no_cell() -> None:
    with pytest.raises(UsageError, match="no unit cell"):
        line(f"-hkl {TEXT_LIST}")


def test_model_reaches_as_far_as_the_detector() -> None:
    command = line(f"-hkl {PEPTIDE} {SMALL}")
    cell = command.setup.crystal.cell
    assert cell is not None
    limit = model_limit(cell, command.setup.beam, command.setup.detector, physics="nanobragg")
    expected = read_structure_factors(PEPTIDE, d_min_A=limit, wavelength_A=command.setup.beam.wavelength_A)
    values = command.setup.crystal.structure_factors.values
    assert values is not None and np.count_nonzero(values) == np.count_nonzero(expected.F)
    assert command.source == tuple(expected.report().splitlines())
    assert 1 / limit == pytest.approx(1 / 1.36 + 3 / min(cell[:3]), rel=0.1)

    nearer = line(f"-hkl {PEPTIDE} {SMALL} -distance 40").setup.crystal.structure_factors
    cut = line(f"-hkl {PEPTIDE} {SMALL} -dmin 3").setup.crystal.structure_factors
    assert nearer.n_listed > command.setup.crystal.structure_factors.n_listed > cut.n_listed  # type: ignore[operator]


def test_images_of_models() -> None:
    for path in (PEPTIDE, SALT):
        assert main(f"-hkl {path} {SMALL} -misset 10 20 30".split()) == 0
        detector = nbragg.Detector(fpixels=40, spixels=40, pixel_mm=2, distance_mm=80)
        beam = line(f"-hkl {path} {SMALL}").setup.beam
        crystal = read_crystal(path, beam=beam, detector=detector, N=(6, 6, 6), misset_deg=(10, 20, 30))
        assert np.array_equal(image(), nbragg.simulate(crystal, beam, detector, physics="nanobragg").image)
        assert image().max() > 0


def test_model_takes_the_wavelength_in_force() -> None:
    soft, hard = (line(f"-hkl {PEPTIDE} {SMALL} -dmin 3 -lambda {x}") for x in (1.5, 1.0))
    assert soft.setup.beam.wavelength_A == 1.5
    assert soft.setup.crystal.structure_factors != hard.setup.crystal.structure_factors


def test_dump_of_every_kind() -> None:
    write_mtz(Path("a.mtz"), [("F", "F"), ("SIGF", "Q")])
    assert main(f"-hkl a.mtz {SMALL} -dump d.bin".split()) == 0
    values, origin = fdump.read("d.bin")
    assert origin == (-1, -2, -4) and values[2, 3, 5] > 0  # 1 1 1
    before = image()
    assert main(f"-hkl d.bin -cell 30 40 50 {SMALL}".split()) == 0
    assert np.array_equal(image(), before)


@pytest.mark.parametrize(
    "words",
    [
        f"-hkl {HEWL} -detpixels 32 -distance 100000 -N 5",
        f"-hkl {HEWL} -detpixels 32 -Xbeam 5000 -distance 10",
        "-hkl far.hkl -cell 50 -N 5 -detpixels 32",
        "-hkl far.hkl -cell 50 -N 1 -detpixels 32 -distance 300 -interpolate",
    ],
)
def test_list_beyond_reach(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("far.hkl").write_text("60 0 0 5\n60 1 0 6\n70 1 1 7\n")
    assert main([*words.split()]) == 2
    assert "beyond the detector's reach" in capsys.readouterr().err
    assert os.listdir(".") == ["far.hkl"]


@pytest.mark.parametrize("words", ["-default_F 1", "-water 10", "-curved_det", "-hkl near.hkl"])
def test_list_beyond_reach_may_have_company(words: str) -> None:
    Path("far.hkl").write_text("60 0 0 5\n")
    Path("near.hkl").write_text("60 0 0 5\n0 0 0 5\n")
    assert main(f"-hkl far.hkl -cell 50 -N 5 -detpixels 8 {words}".split()) == 0


def test_flank_of_a_reflection_is_within_reach() -> None:
    """A sample half an index away takes the value of its nearest index (canonical 7.2)."""
    Path("flank.hkl").write_text("0 0 1 50\n")
    words = shlex.split("-hkl flank.hkl -cell 40 -detpixels 40 -nointerpolate -distance")
    assert main([*words, "120"]) == 0
    assert image().max() > 0
    assert main([*words, "1500"]) == 2


def test_a_plain_render_loads_nothing_it_does_not_need() -> None:
    """Neither does a text list."""
    code = (
        "import sys; from nbragg.cli.nanobragg import main;"
        f"status = main('-cell 80 80 38 -hkl {TEXT_LIST} -detpixels 16 -N 3'.split()); assert status == 0;"
        "heavy = {'gemmi', 'tqdm', 'h5py', 'hdf5plugin', 'fabio', 'tifffile', 'scipy', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"

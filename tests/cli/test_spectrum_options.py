"""Options of the spectrum: what each says, there and back, series of shots, and every mistake named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spectrum_oracle as oracle

import nbragg
from nbragg import Beam, Spectrum, StructureFactors
from nbragg.cli.nanobragg import main
from nbragg.io.crystal_files import model_limit
from nbragg.io.reflections.energies import SpectralModel

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

LINE = "-cell 70 80 90 -default_F 100 -N 5 -detpixels 16 -distance 100"


def beam_of(options: str) -> Beam:
    return nbragg.from_cli(f"{LINE} {options}").beam


SHAPES = {
    "gauss:12000,50": Spectrum.gaussian(12000, 50),
    "gauss:12000,0.5%,11": Spectrum.gaussian(12000, fwhm=0.005, n=11),
    "gauss:12000,50,span=2": Spectrum.gaussian(12000, 50, span=2),
    "gauss:12000,sigma=20,nodes=5": Spectrum.gaussian(12000, sigma_eV=20, n=5, quadrature=True),
    "tophat:12000,1%,n=7": Spectrum.tophat(12000, 0.01, n=7),
    "tophat:12000,120,7": Spectrum.tophat(12000, 0.01, n=7),
    "pink:12000,200,30,9": Spectrum.pink(12000, 200, 30, n=9),
    "two_colour:9000,90,5,ratio=2": Spectrum.two_colour(9000, 90, 5, ratio=2),
    "sase:9000,0.3%,50,spike=0.01%,spikes=7,jitter=0.1%,seed=3": Spectrum.sase(
        9000, 0.003, spike=1e-4, spikes=7, n=50, jitter=0.001, seed=3
    ),
    "sase:9000,seed=2,image=4": Spectrum.sase(9000, seed=2, image=4),
}


@pytest.mark.parametrize("text", SHAPES)
def test_shapes_there_and_back(text: str) -> None:
    setup = nbragg.from_cli(f"{LINE} -spectrum {text}")
    found = setup.beam.spectrum
    assert found is not None
    assert found.energies_eV == pytest.approx(SHAPES[text].energies_eV, rel=1e-14)
    assert found.weights == pytest.approx(SHAPES[text].shares, rel=1e-11, abs=1e-16)
    words = nbragg.to_cli(setup)
    assert text in words and nbragg.from_cli(words) == setup


def test_files_there_and_back(folder: Path) -> None:
    Path("s.txt").write_text("9 1\n9.01 2\n9.03 5\n")
    for options in ("-spectrum s.txt,unit=keV", "-spectrum s.txt,unit=keV -spectrum_channels 2 -energy 9100"):
        setup = nbragg.from_cli(f"{LINE} {options}")
        assert nbragg.from_cli(nbragg.to_cli(setup)) == setup
        assert [file.option for file in setup.files] == ["-spectrum"]
        elsewhere = setup.replace(files=())
        with pytest.raises(nbragg.InputError, match="-spectrum takes a file"):
            nbragg.to_cli(elsewhere)
        assert nbragg.from_cli(nbragg.to_cli(elsewhere, folder=folder)) == setup
    moved = setup.beam.spectrum
    assert moved is not None and len(moved) == 2
    assert moved.mean_energy_eV == pytest.approx(9100, rel=1e-14) and np.ptp(moved.energies_eV) < 30


def test_what_moves_its_mean(folder: Path) -> None:
    """-lambda and -energy do; the wavelength of a header, which is none of the line's words, does not."""
    assert beam_of("-spectrum gauss:9000,20 -lambda 1.5").wavelength_A == pytest.approx(1.5, rel=1e-14)
    assert beam_of("-energy 8000 -spectrum gauss:9000,20").energy_eV == pytest.approx(8000, rel=1e-14)
    assert main([*f"{LINE} -lambda 2 -nopgm -nonoise -floatfile f.bin -intfile i.img".split()]) in (0, None)
    assert beam_of("-img i.img").wavelength_A == 2
    assert beam_of("-img i.img -spectrum gauss:9000,20").energy_eV == pytest.approx(9000, rel=1e-14)


def test_how_it_is_summed_and_the_profile() -> None:
    beam = beam_of(
        "-spectrum gauss:9000,20 -spectral culled -divergence_profile gauss -divergence 0.2 -hdivsteps 3"
    )
    assert (beam.spectral, beam.divergence_profile, beam.hdivsteps) == ("culled", "gauss", 3)
    setup = nbragg.from_cli(f"{LINE} -spectral line -spectrum pink:9000,9,5 -divergence_profile gauss")
    assert nbragg.from_cli(nbragg.to_cli(setup)) == setup


def test_directions_of_a_source_file(folder: Path) -> None:
    Path("two.src").write_text("-10 0 0 1 1e-10\n-10 0 0.01 3\n")
    beam = beam_of("-sourcefile two.src -spectrum gauss:9000,20,4")
    assert beam.sources is not None and beam.sources.wavelengths_A is None
    scene = nbragg.build_scene(nbragg.from_cli(f"{LINE} -sourcefile two.src -spectrum gauss:9000,20,4"))
    assert len(scene.sources) == 8
    assert scene.sources.weight[4:].sum() == pytest.approx(3 * scene.sources.weight[:4].sum(), rel=1e-12)


def run(words: str) -> None:
    assert main(words.split()) in (0, None)


def pixels(name: str) -> Any:
    return np.fromfile(name, np.float32)


def test_the_report_says_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        f"{LINE} -spectrum tophat:9000,90,9 -divergence_profile gauss -hdivrange 0.1 -hdivsteps 3 -nopgm "
        "-nonoise -noprogress"
    )
    said = capsys.readouterr().out
    assert "9 energies, 8960 to 9040 eV, rms 25.82 eV\n" in said and "27\n" in said
    assert "0.1 mrad rms in 3 nodes" in said
    run(f"{LINE} -spectrum sase:9000 -random 1 -nopgm -nonoise -noprogress")
    assert ", another for each image" in capsys.readouterr().out


def test_every_image_of_a_series_has_its_shot(folder: Path) -> None:
    """By seed and number alone: a part of a series is those images; a header has the shot's wavelength."""
    line = f"{LINE} -spectrum sase:9000,1%,20,seed=5 -nopgm -nonoise -noprogress -intfile i.img"
    run(f"{line} -frames 3 -osc 0.2 -phi 4 -floatfile all.bin")
    run(f"{line} -frames 1 -osc 0.2 -phi 4.4 -first_frame 3 -floatfile last.bin")
    found = [pixels(f"all_{i:04d}.bin") for i in (1, 2, 3)]
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], pixels("last_0003.bin"))
    alone = f"{line} -osc 0.2 -floatfile one.bin"
    run(f"{alone} -phi 4.2 -first_frame 2")
    assert np.array_equal(found[1], pixels("one.bin"))
    energies, weights = oracle.sase(9000, 0.01, 2e-4, 15, 20, 0.0, 5, 1)
    header = Path("i.img").read_bytes()[:512].decode("ascii", "replace")
    said = float(header.split("WAVELENGTH=")[1].split(";")[0])
    assert said == pytest.approx(oracle.HC / np.average(energies, weights=weights), rel=1e-5)
    # turned at random, each with its own
    run(f"{line} -random 2 -misset_seed 3 -floatfile r.bin")
    shots = Spectrum.sase_shots(2, 9000, bandwidth=0.01, n=20, seed=5)
    setup = nbragg.from_cli(f"{LINE} -spectrum sase:9000,1%,20,seed=5")
    series = nbragg.Series(setup, orientations=nbragg.random_orientations(2, seed=3), spectra=shots)
    for i, result in enumerate(nbragg.Simulator(setup).render_many(series)):
        assert np.array_equal(result.image.ravel(), pixels(f"r_{i + 1:04d}.bin"))
        assert result.setup is not None and result.setup.beam.spectrum == shots[i]


def test_rows_of_a_file_are_those_of_images(folder: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rows = np.array([[1.0, 0, 2], [3, 1, 0], [0, 5, 1], [1, 1, 1]])
    with h5py.File("shots.nxs", "w") as file:
        beam = file.create_group("entry/instrument/beam")
        beam["incident_wavelength"] = oracle.HC / np.array([9000.0, 9050, 9100])
        beam["incident_wavelength_weights"] = rows
    shots = Spectrum.shots_from_file("shots.nxs")
    expected = rows / rows.sum(axis=1, keepdims=True)
    assert len(shots) == 4
    assert np.array([shot.shares for shot in shots]) == pytest.approx(expected, rel=1e-15)
    line = f"{LINE} -spectrum shots.nxs -nopgm -nonoise -noprogress -intfile i.img"
    run(f"{line} -frames 2 -osc 0.1 -phi 1 -first_frame 2 -floatfile s.bin")
    setup = nbragg.from_cli(f"{LINE} -osc 0.1")
    for number, row in (("2", 1), ("3", 2)):
        crystal = setup.crystal.replace(phi_deg=1 + 0.1 * (row - 1))
        alone = nbragg.simulate(setup.replace(crystal=crystal, spectrum=shots[row]))
        assert np.array_equal(alone.image.ravel(), pixels(f"s_000{number}.bin"))
    third = nbragg.from_cli(f"{LINE} -spectrum shots.nxs,image=2,channels=2")
    assert third.beam.spectrum == shots[2].rebin(2)
    assert nbragg.from_cli(nbragg.to_cli(third)) == third
    with pytest.raises(nbragg.InputError, match="spectra of 4 images; image 4"):
        nbragg.from_cli(f"{LINE} -spectrum shots.nxs -first_frame 5")
    with pytest.raises(nbragg.InputError, match="there is none of image 4"):
        Spectrum.shots_from_file("shots.nxs", first=4)
    assert main([*line.split(), "-frames", "5", "-osc", "1", "-floatfile", "t.bin"]) == 2
    assert not list(Path().glob("t_*"))


BAD = {
    "-spectrum gaus:9000,20": ("no such file", "did you mean gauss"),
    "-spectrum gauss:9000": ("gauss:energy,fwhm[,N][,key=value] was expected",),
    "-spectrum gauss:9000,20,3,4": ("was expected",),
    "-spectrum gauss:9000,20,nods=3": ("no key 'nods'", "did you mean 'nodes'"),
    "-spectrum gauss:9000,20,nodes=3,n=4": ("leave out n",),
    "-spectrum gauss:9000,20,nodes=99": ("1 to 15",),
    "-spectrum gauss:9000,x": ('"x" is not a number',),
    "-spectrum gauss:9000,20,2.5": ("not a whole number",),
    "-spectrum gauss:9000,20,sigma=3": ("one of fwhm_eV", "sigma_eV"),
    "-spectrum gauss:-9000,20": ("above 0",),
    "-spectrum tophat:9000,250%": ("bandwidth",),
    "-spectrum two_colour:9000,20,5,ratio=2%": ("no width",),
    "-spectrum sase:9000,seed=1,seed=2": ("given twice",),
    "-spectrum sase:9000,spikes=0": ("spikes",),
    "-spectrum absent.txt": ("absent.txt", "does not exist"),
    "-spectrum s.txt,unit=ev": ("unit", "eV, keV, A"),
    "-spectrum s.txt,chanels=3": ("did you mean 'channels'",),
    "-spectrum s.txt,channels=0": ("s.txt", "1 to"),
    "-spectrum s.txt,channels=2 -spectrum_channels 3": ("leave out -spectrum_channels",),
    "-spectrum gauss:9000,20,4 -spectrum_channels 3": ("leave out -spectrum_channels",),
    "-spectrum s.txt -spectrum_channels 0": ("-spectrum_channels 0",),
    "-spectrum k.txt": ("k.txt", "keV or eV"),
    "-spectrum s.txt -dispersion 1": ("-spectrum takes the place of -dispersion",),
    "-spectrum s.txt -dispsteps 3": ("-dispsteps",),
    "-spectral lines": ("-spectral", "line"),
    "-divergence_profile gaus": ("-divergence_profile", "gauss"),
    "-divergence_profile gauss -hdivstep 0.1": ("hdivstep", "hdivsteps"),
    "-spectrum sase:9000 -frames 2 -osc 1 -lambda 1": ("-lambda", "leave them out"),
}


@pytest.mark.parametrize("options", BAD)
def test_bad_input(options: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.txt").write_text("9000 1\n9010 2\n")
    Path("k.txt").write_text("9 1\n")
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(main([*LINE.split(), *options.split()]))
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and len(said.strip().splitlines()) == 1
    for word in BAD[options]:
        assert word in said


def test_without_effect(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(nbragg.NbraggWarning, match="-spectrum_channels has no effect without -spectrum"):
        nbragg.from_cli(f"{LINE} -spectrum_channels 4")


# ---- structure factors of a model at the energies of the spectrum ----

TOY = Path(__file__).parents[1] / "data" / "5e5z.pdb"
SE_K = 12657.8  # eV
SMALL = "-detpixels 24 -pixel 1.5 -distance 30 -oversample 2"
MODEL = f"-hkl se.pdb -N 7 -misset 5 9 3 -nointerpolate -physics exact {SMALL}"


@pytest.fixture
def model(folder: Path) -> str:
    """The peptide with selenium for one of its atoms, which has an edge near 12.66 keV."""
    lines = TOY.read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith(("ATOM", "HETATM")))
    lines[first] = lines[first][:76] + "SE" + lines[first][78:]
    Path("se.pdb").write_text("".join(lines))
    return "se.pdb"


def limit(setup: nbragg.Setup, energy_eV: float) -> float:
    beam = Beam.from_energy(energy_eV)
    assert setup.crystal.cell is not None
    return model_limit(setup.crystal.cell, beam, setup.detector)


def test_a_model_is_taken_at_all_energies(model: str) -> None:
    """As of `from_model`; an image is the sum over its energies, each with the F of that energy alone."""
    energies = [12640.0, 12650, 12670, 12690]
    Path("s.txt").write_text("".join(f"{E} {i + 1}\n" for i, E in enumerate(energies)))
    setup = nbragg.from_cli(f"{MODEL} -spectrum s.txt")
    factors = setup.crystal.structure_factors
    assert factors == StructureFactors.from_model(model, limit(setup, 12690), energies_eV=energies)
    assert factors.nodes == pytest.approx([12640, 12650, SE_K - 1, SE_K + 1, 12670, 12690], abs=0.2)
    assert np.ptp([table.sum() for table in factors.tables]) > 0
    spectrum = setup.beam.spectrum
    assert spectrum is not None
    found = nbragg.simulate(setup, precision="double").image
    alone = [nbragg.from_cli(f"{MODEL} -energy {E}") for E in energies]
    assert not any(one.crystal.structure_factors.nodes for one in alone)
    parts = [nbragg.simulate(one, precision="double").image.astype(float) for one in alone]
    expected = np.tensordot(spectrum.shares, parts, 1)
    assert np.abs(found - expected).max() <= 1e-6 * expected.max()
    at_one = setup.crystal.replace(
        structure_factors=StructureFactors.from_model(model, limit(setup, 12690), energies_eV=[12640.0])
    )
    other = nbragg.simulate(setup.replace(crystal=at_one), precision="double").image
    assert np.abs(other - expected).max() > 1e-3 * expected.max()


def test_one_list_where_the_energy_does_not_matter(model: str) -> None:
    """One energy, and elements without f' and f'': the list of before, to the bit."""
    Path("one.txt").write_text("12700 1\n")
    Path("he.pdb").write_text(
        "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1\n"
        "HETATM    1 HE   MSE A   1       1.000   2.000   3.000  1.00 12.00          HE\nEND\n"
    )
    for path, words in (("se.pdb", "-spectrum one.txt"), ("he.pdb", "-spectrum gauss:12700,50,5")):
        setup = nbragg.from_cli(f"{MODEL} {words}".replace("se.pdb", path))
        wavelength = setup.beam.wavelength_A
        plain = nbragg.from_cli(f"{MODEL} -lambda {wavelength!r}".replace("se.pdb", path))
        assert setup.crystal.structure_factors.tables is None
        if path == "se.pdb":
            assert setup.crystal.structure_factors == plain.crystal.structure_factors
            assert np.array_equal(nbragg.simulate(setup).image, nbragg.simulate(plain).image)


@pytest.mark.parametrize(
    "words", ["-spectrum gauss:12660,30,12", "-spectrum sase:12660,n=9,image=2 -energy 12640 -dmin 2"]
)
def test_a_model_there_and_back(words: str, model: str, folder: Path) -> None:
    setup = nbragg.from_cli(f"{MODEL} {words}")
    factors = setup.crystal.structure_factors
    assert len(factors.nodes) >= 9 and factors.tables is not None
    assert setup.beam.spectrum is not None
    middle = 0.5 * (factors.nodes[0] + factors.nodes[-1])
    if "sase" in words:  # moved with the spectrum, whose own mean is not the band's middle
        drawn = Spectrum.sase(12660, n=9, image=2)
        assert middle == pytest.approx(12660 + 12640 - drawn.mean_energy_eV, rel=1e-9)
        nodes = np.array(Spectrum.sase_range(12660)) + 12640 - drawn.mean_energy_eV
        assert [factors.nodes[0], factors.nodes[-1]] == pytest.approx(nodes, rel=1e-12)
    text = nbragg.to_cli(setup)
    assert "-hkl se.pdb" in text and nbragg.from_cli(text) == setup
    nbragg.dump(setup, "setup.json")
    assert nbragg.load("setup.json") == setup
    # no file of a command line holds them: neither without the model nor for another detector
    farther = setup.replace(distance_mm=20)
    for other in (setup.replace(files=()), farther)[: 2 - ("-dmin" in words)]:
        with pytest.raises(nbragg.InputError, match=r"several energies.*recipe"):
            nbragg.to_cli(other, folder=folder)


def test_shots_share_the_structure_factors(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the energies of all, so that an image is the same alone; those of a file are its axis."""
    line = f"{MODEL} -spectrum sase:12660,1%,6,seed=5 -nopgm -nonoise -noprogress -intfile i.img"
    run(f"{line} -frames 2 -osc 0.2 -floatfile all.bin")
    run(f"{line} -osc 0.2 -phi 0.2 -first_frame 2 -floatfile two.bin")
    assert np.array_equal(pixels("all_0002.bin"), pixels("two.bin")) and pixels("two.bin").max() > 0
    said = capsys.readouterr().out
    assert "calculated from the model at 11 energies, 12584 to 12736 eV, with f', f''" in said
    assert "structure factors for the next run, those at 12660 eV alone" in said
    low, high = Spectrum.sase_range(12660, 0.01)
    shots = [Spectrum.sase(12660, 0.01, seed=5, image=i).energies_eV[[0, -1]] for i in range(30)]
    assert low <= np.min(shots) and np.max(shots) <= high < 1.02 * low
    jumping = Spectrum.sase_range(12660, 0.01, jitter=0.01)
    assert jumping == pytest.approx((low * 0.94, high * 1.06), rel=1e-12)
    h5py = pytest.importorskip("h5py")
    with h5py.File("shots.nxs", "w") as file:
        beam = file.create_group("entry/instrument/beam")
        beam["incident_wavelength"] = oracle.HC / np.array([12640.0, 12660, 12690])
        beam["incident_wavelength_weights"] = [[1.0, 2, 0], [0, 1, 1]]
    first, second = (nbragg.from_cli(f"{MODEL} -spectrum shots.nxs,image={i},channels=2") for i in (0, 1))
    assert first.crystal.structure_factors == second.crystal.structure_factors
    assert first.crystal.structure_factors.nodes[::4] == pytest.approx([12640, 12690])


def test_memory_is_said_before(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbragg.base import memory
    from nbragg.cli import hkl_input

    monkeypatch.setattr(hkl_input, "_LARGE", 1000)
    with pytest.warns(
        nbragg.NbraggWarning, match=r"at 11 energies .* take .*: less with -dmin, or with -hkl"
    ):
        setup = nbragg.from_cli(f"{MODEL} -spectrum gauss:12660,30,12")
    tables = setup.crystal.structure_factors.tables
    assert tables is not None
    energies = setup.beam.spectrum.energies_eV
    model_of = SpectralModel(model, limit(setup, energies.max()), energies)
    assert model_of.size == tables.nbytes
    monkeypatch.setattr(memory, "_ALWAYS_GRANTED", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: tables.nbytes - 1)
    calls: list[Any] = []
    monkeypatch.setattr(
        "nbragg.io.reflections.models._unique_with_absences", lambda *given: calls.append(given)
    )
    with pytest.raises(nbragg.MemoryLimitError, match=r"at 11 energies needs .*-dmin.*nbragg hkl"):
        nbragg.from_cli(f"{MODEL} -spectrum gauss:12660,30,12")
    assert not calls

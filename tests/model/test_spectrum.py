"""`nbragg.Spectrum`: what it holds, its shapes, what is drawn, its files, and every mistake named."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spectrum_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

import nbragg
from nbragg import Beam, InputError, SourceList, Spectrum
from nbragg.io import recipe

UNEVEN = Spectrum([9010.0, 9000.0, 9010.0, 9003.5], [1, 2, 1, 4])


def test_kept_ascending_merged_and_normalised() -> None:
    assert UNEVEN.energies_eV.tolist() == [9000.0, 9003.5, 9010.0]
    assert UNEVEN.weights is not None
    assert UNEVEN.weights.tolist() == [0.25, 0.5, 0.25]
    assert UNEVEN.mean_energy_eV == pytest.approx(9004.25, rel=1e-15)
    assert UNEVEN.wavelength_A == pytest.approx(oracle.HC / 9004.25, rel=1e-15)
    again = Spectrum(UNEVEN.energies_eV, UNEVEN.weights)
    assert again == UNEVEN and hash(again) == hash(UNEVEN) and pickle.loads(pickle.dumps(again)) == UNEVEN
    huge = Spectrum([1, 2], [1e308, 1.5e308])
    assert huge.weights is not None and huge.weights.tolist() == pytest.approx([0.4, 0.6], rel=1e-15)
    assert Spectrum([5000.1]).mean_energy_eV == 5000.1 and Spectrum([5000.1]).rms_eV == 0


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(100, 1e5), st.floats(0, 1e3)), min_size=1, max_size=40),
    st.integers(1, 50),
)
def test_rebin_keeps_photons_and_mean(rows: list[tuple[float, float]], n: int) -> None:
    energies, weights = np.array(rows).T
    if not weights.max() > 1e-6:
        return
    fine = Spectrum(energies, weights)
    coarse = fine.rebin(n)
    assert coarse.weights is not None and len(coarse) <= n
    assert coarse.weights.sum() == pytest.approx(1, abs=1e-12) and (coarse.weights > 0).all()
    assert coarse.mean_energy_eV == pytest.approx(fine.mean_energy_eV, rel=1e-12)
    low, high = fine.energies_eV[[0, -1]]
    assert (coarse.energies_eV >= low * (1 - 1e-12)).all() and (
        coarse.energies_eV <= high * (1 + 1e-12)
    ).all()


def test_rebin_by_hand_and_threshold() -> None:
    fine = Spectrum([100, 101, 102, 110], [1, 1, 2, 0])
    # bins of 2 eV: 100 and 101, 102, then nothing
    coarse = fine.rebin(5)
    assert coarse.weights is not None
    assert coarse.energies_eV.tolist() == [100.5, 102.0] and coarse.weights.tolist() == [0.5, 0.5]
    strong = Spectrum([1, 2, 3], [10, 1, 0.9]).threshold(0.1)
    assert strong.weights is not None
    assert strong.energies_eV.tolist() == [1, 2] and strong.weights.tolist() == [10 / 11, 1 / 11]


def test_shapes_by_their_integrals() -> None:
    """Bins and weights of every shape against independent integrals."""
    wide = 40 / np.sqrt(8 * np.log(2))
    cases: list[tuple[Spectrum, Any, float, float, int]] = [
        (
            Spectrum.gaussian(9000, 40, n=33),
            lambda x: oracle.peak(x, 9000, wide),
            9000 - 3.5 * wide,
            9000 + 3.5 * wide,
            33,
        ),
        (
            Spectrum.gaussian(9000, sigma=1e-3, n=8, span=2),
            lambda x: oracle.peak(x, 9000, 9),
            8982,
            9018,
            8,
        ),
        (
            Spectrum.two_colour(9000, 20, 4, ratio=3, n=30),
            lambda x: oracle.peak(x, 8990, 4) + 3 * oracle.peak(x, 9010, 4),
            9000 - 24,
            9000 + 24,
            30,
        ),
        (
            Spectrum.pink(9000, 50, 10, n=21),
            lambda x: (
                50 * oracle.peak(np.minimum(x, 9000), 9000, 50)
                + 10 * oracle.peak(np.maximum(x, 9000), 9000, 10)
            ),
            9000 - 175,
            9035,
            21,
        ),
        (Spectrum.tophat(9000, 0.02, n=9), lambda x: x, 8910, 9090, 9),
    ]
    for found, integral, low, high, n in cases:
        middles, weights = oracle.binned(integral, low, high, n)
        assert found.energies_eV == pytest.approx(middles, rel=1e-13)
        assert found.weights == pytest.approx(weights, rel=1e-10, abs=1e-15)


def test_gaussian_converges_and_its_quadrature_is_exact() -> None:
    """The mean is exact; the rms tends to that of the Gaussian cut at 3.5 sigma as n^-2."""
    cut = Spectrum.gaussian(9000, sigma_eV=30, n=3000).rms_eV
    errors = [Spectrum.gaussian(9000, sigma_eV=30, n=n).rms_eV - cut for n in (20, 40, 80)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02) and errors[1] / errors[2] == pytest.approx(
        4, 0.02
    )
    assert Spectrum.gaussian(9000, sigma_eV=30, n=21).mean_energy_eV == pytest.approx(9000, rel=1e-14)
    nodes = Spectrum.gaussian(9000, sigma_eV=30, n=7, quadrature=True)
    x = (nodes.energies_eV - 9000) / 30
    for power, moment in ((2, 1), (4, 3), (6, 15), (8, 105), (10, 945), (12, 10395), (13, 0)):
        assert nodes.shares @ x**power == pytest.approx(moment, rel=1e-10, abs=1e-8)


def test_two_colours_apart_are_two_groups() -> None:
    both = Spectrum.two_colour(9000, 200, 4, ratio=0.5, n=15)
    low, high = both.energies_eV[:7], both.energies_eV[7:]
    assert len(both) == 15 and low.max() < 8915 and high.min() > 9085
    assert both.shares[:7].sum() == pytest.approx(2 / 3, rel=1e-12)
    assert np.average(high, weights=both.shares[7:]) == pytest.approx(9100, rel=1e-12)


@pytest.mark.parametrize(("seed", "image", "jitter"), [(1, 0, 0.0), (2**40 + 3, 2**33 + 5, 1e-3)])
def test_sase_shot_by_shot(seed: int, image: int, jitter: float) -> None:
    """Places, photons and the band's middle are those that Philox gives, by an independent Philox."""
    found = Spectrum.sase(9000, 0.003, spike=1e-4, spikes=9, n=64, jitter=jitter, seed=seed, image=image)
    energies, weights = oracle.sase(9000, 0.003, 1e-4, 9, 64, jitter, seed, image)
    assert found.energies_eV == pytest.approx(energies, rel=1e-12)
    assert found.weights == pytest.approx(weights, rel=1e-9, abs=1e-14)


def test_moments_of_sase() -> None:
    """Over shots of 15 spikes the mean has an rms of 0.0845 bandwidth, each shot 0.29 (beyond 15.2)."""
    shots = list(Spectrum.sase_shots(800, 9000, bandwidth=2e-3, n=24, seed=5))
    means = np.array([shot.mean_energy_eV for shot in shots]) / 9000 / 2e-3
    widths = np.array([shot.rms_eV for shot in shots]) / 9000 / 2e-3
    assert means.std() == pytest.approx(0.0845, rel=0.1)  # 1/sqrt(2 800) is 0.025
    assert np.sqrt((widths**2).mean()) == pytest.approx(0.29, rel=0.03)
    assert len({shot.energies_eV[0] for shot in shots}) == 800
    later = Spectrum.sase_shots(3, 9000, bandwidth=2e-3, n=24, seed=5, first=797)
    assert list(later) == [shots[i] for i in (797, 798, 799)] and later[-1] == shots[-1]


def test_measured_shots_take_their_rows() -> None:
    shots = Spectrum.per_shot([9000, 9010, 9020], [[1, 0, 1], [0, 0, 2]])
    assert [shot.mean_energy_eV for shot in shots] == [9010, 9020] and len(shots) == 2
    assert pickle.loads(pickle.dumps(shots))[1] == shots[1]
    with pytest.raises(IndexError, match="image 2 of 2"):
        shots[2]
    with pytest.raises(InputError, match="image 1 must not be negative, nor all zero"):
        Spectrum.per_shot([1, 2], [[1, 1], [0, 0]])


FILES = {
    "two.txt": ("9000 1\n9003.5 2\n9010 1\n", {}),
    "crystfel.txt": ("# energy/keV current/A\n9.000 1\n9.0035 2\n9.010 1\n", {}),
    "table.csv": ('"energy_eV","weight"\n9000,1\n9003.5,2\n9010,1\n', {}),
    "shots.lam": (
        "wavelength weight\n# by hand\n" + "".join(f"{oracle.HC / E!r} {w}\n" for E, w in
        ((9010, 1), (9003.5, 2), (9000, 1))), {},
    ),
    "kilo.txt": ("9 1 77\n9.0035;2\n9.010\t1\n", {"unit": "keV"}),
    "length.txt": ("# wavelength_A share\n" + "".join(f"{oracle.HC / E!r} {w}\n" for E, w in
        ((9000, 1), (9003.5, 2), (9010, 1))), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_text(folder: Path, name: str) -> None:
    text, options = FILES[name]
    Path(name).write_text(text)
    found = Spectrum.from_file(name, **options)
    assert found.energies_eV == pytest.approx(UNEVEN.energies_eV, rel=1e-14)
    assert found.shares.tolist() == UNEVEN.shares.tolist()


BAD_FILES = {
    "absent.txt": (None, "does not exist"),
    "empty.txt": ("", "is empty"),
    "words.txt": ("energy weight\n", "no spectrum"),
    "kilo.txt": ("9 1\n10 1\n", "is 9 in angstrom, keV or eV\\? say unit="),
    "text.txt": ("9000 1\n9001 x\n", "line 2"),
    "one.txt": ("9000\n", "line 1"),
    "nan.txt": ("9000 nan\n", "line 1"),
    "minus.txt": ("9000 -1\n9001 1\n", "must not be negative"),
    "zero.txt": ("0 1\n", "are positive"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(folder: Path, name: str) -> None:
    text, message = BAD_FILES[name]
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(nbragg.FileError, match=message) as caught:
        Spectrum.from_file(name)
    assert name in str(caught.value)


def test_nexus_files(folder: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rows = np.array([[1.0, 2.0, 1.0], [0.0, 1.0, 3.0]])
    with h5py.File("a.nxs", "w") as file:
        beam = file.create_group("entry/instrument/beam")
        beam["incident_wavelength"] = oracle.HC / UNEVEN.energies_eV / 10
        beam["incident_wavelength"].attrs["units"] = "nm"
        beam["incident_wavelength_weights"] = rows
    assert Spectrum.from_file("a.nxs") == Spectrum(Spectrum.from_file("a.nxs").energies_eV, rows[0])
    assert Spectrum.from_file("a.nxs").energies_eV == pytest.approx(UNEVEN.energies_eV, rel=1e-13)
    assert Spectrum.from_file("a.nxs", image=1).shares.tolist() == [0, 0.25, 0.75]
    with pytest.raises(InputError, match="spectra of 2 images; image 2"):
        Spectrum.from_file("a.nxs", image=2)
    with h5py.File("b.nxs", "w") as file:
        data = file.create_group("entry/sample/beam/incident_wavelength_spectrum")
        data.attrs["signal"], data.attrs["axes"] = "counts", ["energy"]
        data["energy"], data["counts"] = UNEVEN.energies_eV / 1e3, rows[0]
        data["energy"].attrs["units"] = "keV"
    assert Spectrum.from_file("b.nxs").energies_eV == pytest.approx(UNEVEN.energies_eV, rel=1e-14)
    with h5py.File("c.nxs", "w") as file:
        file["entry/instrument/beam/incident_wavelength"] = 1.0
    with pytest.raises(nbragg.FileError, match="holds no spectrum"):
        Spectrum.from_file("c.nxs")


BAD: dict[str, tuple[Any, str]] = {
    "no energy": (lambda: Spectrum([]), "at least one energy"),
    "zero energy": (lambda: Spectrum([1, 0]), r"energies_eV\[1\] is 0"),
    "negative weight": (lambda: Spectrum([1, 2], [1, -1]), "must not be negative"),
    "no weight": (lambda: Spectrum([1, 2], [0, 0]), "all zero"),
    "length": (lambda: Spectrum([1, 2], [1]), "shape"),
    "nan": (lambda: Spectrum([1, np.nan]), "finite"),
    "wavelengths": (lambda: Spectrum(wavelengths_A=[1]), "give energies_eV"),
    "field": (lambda: Spectrum(energy_eV=[1]), "did you mean 'energies_eV'"),
    "unit": (lambda: Spectrum.from_file("x", unit="ev"), "did you mean 'eV'"),
    "no width": (lambda: Spectrum.gaussian(9000), "give one of fwhm_eV"),
    "two widths": (lambda: Spectrum.gaussian(9000, 3, sigma=1), "fwhm_eV and sigma"),
    "nodes": (lambda: Spectrum.gaussian(9000, 3, n=16, quadrature=True), "1 to 15"),
    "rebin": (lambda: UNEVEN.rebin(0), "1 to"),
    "threshold": (lambda: UNEVEN.threshold(1.1), "at most 1"),
    "band": (lambda: Spectrum.tophat(9000, 2), "bandwidth"),
    "spikes": (lambda: Spectrum.sase(9000, spikes=0), "spikes"),
    "shots": (lambda: Spectrum.sase_shots(3, 9000, spike=0), "spike"),
    "mean": (lambda: Spectrum([10, 1000]).with_mean(300), "photon energies are positive"),
    "beam": (lambda: Beam(spectrum=9000), "must be a Spectrum, not int"),
    "dispersion": (lambda: Beam(spectrum=UNEVEN, dispersion_pct=0.0), "dispersion_pct: a spectrum takes"),
    "dispsteps": (lambda: Beam(spectrum=UNEVEN, dispersion_steps=3), "dispersion_steps"),
    "sources": (
        lambda: Beam(spectrum=UNEVEN, sources=SourceList([[-1, 0, 0]], wavelengths_A=[1])),
        "sources have wavelengths_A",
    ),
    "spectral": (lambda: Beam(spectral="lines"), "'line'"),
    "profile": (lambda: Beam(divergence_profile="gaussian"), "'gauss'"),
    "profile step": (lambda: Beam(divergence_profile="gauss", hdivstep_mrad=1), "hdivsteps"),
    "profile nodes": (lambda: Beam(divergence_profile="gauss", vdivsteps=65), "vdivsteps"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(InputError, match=message):
        make()


def test_a_wavelength_that_is_given_moves_the_spectrum() -> None:
    beam = Beam(spectrum=UNEVEN)
    assert beam.wavelength_A == UNEVEN.wavelength_A and beam.spectrum == UNEVEN
    assert beam.replace(flux=1e12).spectrum == UNEVEN and copy.deepcopy(beam) == beam
    moved = Beam(spectrum=UNEVEN, wavelength_A=1.0)
    assert moved.spectrum is not None and moved.wavelength_A == pytest.approx(1.0, rel=1e-14)
    assert np.diff(moved.spectrum.energies_eV) == pytest.approx([3.5, 6.5], rel=1e-9)
    assert moved.spectrum.mean_energy_eV == pytest.approx(oracle.HC, rel=1e-14)
    assert beam.replace(wavelength_A=1.0) == moved
    # a new spectrum is taken as it is, and the old wavelength is not
    other = Spectrum([5000])
    assert moved.replace(spectrum=other).spectrum == other
    assert moved.replace(spectrum=other, wavelength_A=2.0).energy_eV == pytest.approx(oracle.HC / 2)
    # what another beam has by default is given all the same
    assert Beam(spectrum=UNEVEN, wavelength_A=Beam().wavelength_A) == moved
    # without one, the wavelength stays
    assert moved.replace(spectrum=None).wavelength_A == moved.wavelength_A


def test_recipes_keep_it(folder: Path) -> None:
    """To the bit: in place, in a file beside where there are many channels, and alone."""
    for spectrum in (UNEVEN, Spectrum.sase(9000, seed=3)):
        beam = Beam(spectrum=spectrum, spectral="line", divergence_profile="gauss", hdivrange_mrad=0.1)
        for record in (beam, spectrum):
            nbragg.dump(record, "a.json")
            assert nbragg.load("a.json") == record
        assert "digest" in str(recipe.to_dict(beam)) or len(spectrum) == 3
    with pytest.raises(InputError, match=r"beam\.spectrum: unknown key 'energies'; did you mean"):
        recipe.from_dict({"nanobragg_recipe": 1, "kind": "beam", "spectrum": {"energies": [1]}})

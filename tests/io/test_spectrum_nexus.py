"""A spectrum in image files: NXmx has all of it, other headers the wavelength of its mean."""

from __future__ import annotations

from pathlib import Path

import pytest

import nbragg
from nbragg import Setup, StructureFactors
from nbragg.io.images import read_image

h5py = pytest.importorskip("h5py")


def spectral(spectrum: nbragg.Spectrum) -> Setup:
    crystal = nbragg.Crystal(
        cell=(70, 80, 90, 90, 90, 90), structure_factors=StructureFactors.constant(9), N=3
    )
    return Setup(crystal, nbragg.Beam(spectrum=spectrum), nbragg.Detector(fpixels=8, spixels=6))


def test_a_spectrum_is_written_and_read_back(folder: Path) -> None:
    """As wavelengths and weights, of a series one row for each image; other headers have that of the mean."""
    spectrum = nbragg.Spectrum.gaussian(9000, 40, n=7)
    result = nbragg.simulate(spectral(spectrum))
    for name in ("one.nxs", "one.img", "one.cbf"):
        result.save(name)
    again = nbragg.Spectrum.from_file("one.nxs")
    assert again.energies_eV == pytest.approx(spectrum.energies_eV, rel=1e-14)
    assert again.weights == pytest.approx(spectrum.shares, rel=1e-14)
    with h5py.File("one.nxs") as file:
        beam = file["entry/instrument/beam"]
        # one wavelength for who knows no spectra, which is said to have a variant
        assert beam["incident_wavelength"].shape == ()
        variant = beam["incident_wavelength"].attrs["variant"]
        assert beam[variant].attrs["units"] == "angstrom"
        assert (
            beam[variant].shape == beam[f"{variant}_weights"].shape == beam[f"{variant}_weight"].shape == (7,)
        )
    for name, places in (("one.nxs", 1e-14), ("one.img", 1e-6), ("one.cbf", 1e-9)):
        wavelength = read_image(name).metadata["wavelength_A"]
        assert wavelength == pytest.approx(spectrum.wavelength_A, rel=places)
    # measured shots have one axis, drawn ones their own; another number of channels is filled up
    shots = nbragg.Spectrum.per_shot([9000, 9010, 9040], [[1, 2, 1], [0, 1, 3]])
    drawn = nbragg.Spectrum.sase_shots(2, 9000, n=5, seed=1)
    uneven = [nbragg.Spectrum([9000, 9001]), nbragg.Spectrum([9000])]
    for name, spectra in (("shots.nxs", shots), ("drawn.nxs", drawn), ("uneven.nxs", uneven)):
        series = nbragg.Series(spectral(spectra[0]), spectra=spectra)
        nbragg.save_series(nbragg.Simulator(series[0]).render_many(series), name)
        for i in (0, 1):
            found = nbragg.Spectrum.from_file(name, image=i).threshold(1e-12)
            assert found.energies_eV == pytest.approx(spectra[i].threshold(1e-12).energies_eV, rel=1e-14)
            assert found.mean_energy_eV == pytest.approx(spectra[i].mean_energy_eV, rel=1e-13)
            metadata = read_image(name, frame=i).metadata
            assert metadata["wavelength_A"] == pytest.approx(spectra[i].wavelength_A, rel=1e-14)
    with h5py.File("shots.nxs", "a") as file:
        beam = file["entry/instrument/beam"]
        variant = beam["incident_wavelength"].attrs["variant"]
        assert beam["incident_wavelength"].shape == (2,)
        assert beam[variant].shape == (3,) and beam[f"{variant}_weights"].shape == (2, 3)
        del file["entry/nanobragg"]  # as of another program
    wavelength = read_image("shots.nxs", frame=1).metadata["wavelength_A"]
    assert wavelength == pytest.approx(shots[1].wavelength_A, rel=1e-13)

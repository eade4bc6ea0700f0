"""Images by a spectrum: sums of monochromatic ones, photons kept, spots as wide as they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, Setup, Spectrum, StructureFactors

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CRYSTAL = Crystal(
    cell=(40, 45, 50, 90, 95, 90), structure_factors=StructureFactors.constant(100), N=6, misset_deg=(9, 5, 2)
)
DETECTOR = Detector(distance_mm=60, fpixels=48, spixels=44, pixel_mm=0.8, Xbeam_mm=18, Ybeam_mm=20)
ONCE = Sampling(oversample=1)


def image(beam: Beam, physics: str = "exact", sampling: Sampling = ONCE) -> Any:
    setup = Setup(CRYSTAL, beam, DETECTOR, sampling, physics)
    return nbragg.simulate(setup, precision="double").image.astype(np.float64)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_a_spectrum_is_the_sum_of_its_energies(physics: str) -> None:
    """Of every direction too, each with its own polarization factor in either physics."""
    div = {"hdivrange_mrad": 8, "hdivsteps": 2, "vdivrange_mrad": 6, "vdivsteps": 2, "round_div": False}
    spectrum = Spectrum([9000, 9300, 9700], [1, 2, 4])
    own = Sampling(oversample=1, oversample_polar=True)
    parts = [image(Beam.from_energy(E, polarization=0.9, **div), physics, own) for E in spectrum.energies_eV]
    whole = image(Beam(spectrum=spectrum, polarization=0.9, **div), physics)
    expected = np.tensordot(spectrum.shares, np.array(parts), 1)
    assert whole == pytest.approx(expected, rel=3e-7, abs=1e-6 * expected.max())  # images are float32
    assert np.ptp([part.sum() for part in parts]) > 0.01 * expected.sum()  # which differ


def test_photons_do_not_depend_on_the_number_of_channels() -> None:
    """One channel, and a hundred that differ in the last digits of a double, to 1e-12 in double."""
    from nbragg.engine import cpu

    near = 9000.0 + np.spacing(9000.0) * np.arange(100)
    scenes = [
        nbragg.build_scene(Setup(CRYSTAL, Beam(spectrum=s), DETECTOR, ONCE))
        for s in (Spectrum([9000.0]), Spectrum(near))
    ]
    assert [len(scene.sources) for scene in scenes] == [1, 100]
    one, many = (cpu.render_double(scene) for scene in scenes)
    assert np.abs(many - one).max() < 1e-10 * one.max()
    assert many.sum() == pytest.approx(one.sum(), rel=1e-12)


def ring(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """1/d of pixels by the mean wavelength (1/A), and their photons, of one reflection turned through all
    energies: d = 10 A, in the plane of beam and y."""
    theta = np.degrees(np.arcsin(spectrum.wavelength_A / 20))
    crystal = Crystal(
        cell=(10, 200, 200, 90, 90, 90),
        structure_factors=StructureFactors.from_reflections([1], [0], [0], [100.0]),
        N=(400, 30, 30),
        shape="gauss",
        phi_deg=90 + theta - 0.5,
        osc_deg=1.0,
        phisteps=200,
    )
    pixel, distance, rows = 0.05, 200.0, 1400
    detector = Detector(distance_mm=distance, fpixels=3, spixels=rows, pixel_mm=pixel)
    at = rows // 2 - round(distance * np.tan(np.radians(2 * theta)) / pixel)
    sampling = Sampling(oversample=1, roi=(0, 2, at - 80, at + 80))
    setup = Setup(crystal, Beam(spectrum=spectrum), detector, sampling)
    result = nbragg.simulate(setup, precision="double")
    photons = result.image.astype(np.float64).sum(axis=1)
    y = (np.arange(rows) + 0.5) * pixel - result.scene.placement.panels[0].Sbeam * 1e3
    q = 2 * np.sin(0.5 * np.arctan(np.abs(y) / distance)) / spectrum.wavelength_A
    return q[at - 80 : at + 81], photons[at - 80 : at + 81]


def test_radial_width_of_a_spot() -> None:
    """sigma_E/E of |q|; the crystal's own width, which one energy has, goes off in squares."""
    spectrum = Spectrum.gaussian(9000, sigma=0.01, n=40)
    widths, sums = [], []
    for each in (spectrum, Spectrum([spectrum.mean_energy_eV])):
        q, photons = ring(each)
        assert photons[[0, -1]].sum() < 1e-3 * photons.sum()
        sums.append(photons.sum())
        mean = np.average(q, weights=photons)
        assert mean == pytest.approx(0.1, rel=2e-3)
        widths.append(np.sqrt(np.average((q - mean) ** 2, weights=photons)))
    assert np.sqrt(widths[0] ** 2 - widths[1] ** 2) == pytest.approx(spectrum.rms_eV / 9000 * 0.1, rel=0.01)
    assert widths[1] < 0.2 * widths[0]
    assert sums[0] == pytest.approx(sums[1], rel=0.01)  # all photons of a reflection that was turned through


def test_two_colours_are_two_spots() -> None:
    """At the radii of the two wavelengths."""
    q, photons = ring(Spectrum.two_colour(9000, 180, 10, n=20))
    half = len(q) // 2
    mean = [np.average(q[part], weights=photons[part]) for part in (slice(half), slice(half, None))]
    expected = [0.1 * 9000 / 9090, 0.1 * 9000 / 8910]  # lambda/lambda0 of 1/d
    assert sorted(mean) == pytest.approx(expected, rel=5e-4)
    assert photons[half - 1 : half + 2].max() < 1e-3 * photons.max()


def test_spectrum_and_divergence_are_a_product_of_marginals() -> None:
    """A set-up that does not tell directions from energies: a pixel far from all spots, F constant.

    The lattice factor of one cell along each axis is 1 everywhere, so that the image is the product of what
    the directions do (polarization) and what the energies do (nothing).
    """
    flat = CRYSTAL.replace(N=(1, 1, 1))
    div = {"hdivrange_mrad": 30, "hdivsteps": 4, "divergence_profile": "gauss", "polarization": 0.8}
    spectrum = Spectrum.gaussian(9000, 90, n=5)

    def rendered(beam: Beam) -> Any:
        sampling = Sampling(oversample=1, interpolate=False)
        setup = Setup(flat, beam, DETECTOR, sampling)
        return nbragg.simulate(setup, precision="double").image.astype(np.float64)

    both, energies = (
        rendered(Beam(spectrum=spectrum, **div)),
        rendered(Beam(spectrum=spectrum, polarization=0.8)),
    )
    directions, neither = (
        rendered(Beam.from_energy(9000, **div)),
        rendered(Beam.from_energy(9000, polarization=0.8)),
    )
    assert both * neither == pytest.approx(energies * directions, rel=1e-6)
    assert np.abs(directions / neither - 1).max() > 1e-4

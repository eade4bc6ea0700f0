"""Sources of a Scene by a spectrum and by a Gaussian divergence (beyond 15.1, 15.3, 15.4)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import spectrum_oracle as oracle

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Setup, SourceList, Spectrum, StructureFactors
from nbragg.model.physics import PHYSICS
from nbragg.scene.detector_frame import Directions
from nbragg.scene.panels import detector_places
from nbragg.scene.parameters import expand, moved, tangents
from nbragg.scene.record import Scene, Sources
from nbragg.scene.sources import Rays, beam_sources, source_steps

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CRYSTAL = Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=StructureFactors.constant(100), N=5)
DETECTOR = Detector(distance_mm=100, fpixels=8, spixels=8)
SPECTRUM = Spectrum([9000, 9001, 9005, 9011], [1, 3, 0, 4])


def scene(beam: Beam, physics: str = "exact") -> Scene:
    built: Scene = nbragg.build_scene(Setup(CRYSTAL, beam, DETECTOR, physics=physics))
    return built


def check_product(found: Sources, directions: np.ndarray, shares: np.ndarray) -> None:
    incident, wavelength, weight, _ = oracle.product(
        directions, shares, SPECTRUM.energies_eV, SPECTRUM.shares
    )
    assert found.incident == pytest.approx(incident, abs=1e-15)
    assert found.wavelength == pytest.approx(wavelength, rel=1e-14)
    assert found.weight == pytest.approx(weight, rel=1e-13)
    assert found.weight.mean() == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_directions_are_outer_and_weights_count(physics: str) -> None:
    grid = {"hdivrange_mrad": 1, "hdivsteps": 3, "vdivrange_mrad": 2, "vdivsteps": 2, "round_div": False}
    plain = scene(Beam(**grid), physics)
    both = scene(Beam(spectrum=SPECTRUM, **grid), physics)
    check_product(both.sources, plain.sources.incident, np.ones(6))
    assert both.placement.wavelength == pytest.approx(SPECTRUM.wavelength_A * 1e-10, rel=1e-15)
    assert both.oversample_polar and plain.oversample_polar == (physics == "exact")
    # weights of a list count with either physics
    listed = SourceList([[-10, 0, 0], [-10, 0.01, 0], [-10, 0, 0.02]], [1, 2, 5])
    found = scene(Beam(spectrum=SPECTRUM, sources=listed), physics)
    away = -listed.positions / np.linalg.norm(listed.positions, axis=1, keepdims=True)
    check_product(found.sources, away, np.array([1.0, 2.0, 5.0]))


def test_oversampling_goes_by_the_mean_energy() -> None:
    crystal = CRYSTAL.replace(N=(2000, 2000, 2000))
    beams = (Beam(spectrum=SPECTRUM), Beam.from_energy(SPECTRUM.mean_energy_eV))
    one, other = (nbragg.build_scene(Setup(crystal, beam, DETECTOR)) for beam in beams)
    assert one.oversample == other.oversample > 1


def rays(beam: Beam) -> Rays:
    physics = PHYSICS["exact"]
    place = detector_places(DETECTOR, Directions(None, None), physics)[0]
    return beam_sources(beam, place, source_steps(beam), physics)


def test_channels_reach_half_way() -> None:
    beam = Beam(spectrum=SPECTRUM, hdivrange_mrad=1, hdivsteps=2)
    found = rays(beam).channel
    assert found is not None
    _, wavelength, _, channel = oracle.product(
        np.zeros((2, 3)), np.ones(2), SPECTRUM.energies_eV, SPECTRUM.shares
    )
    assert found == pytest.approx(channel, rel=1e-14)
    for each in (found[:4], found[4:]):
        assert (each[1:, 0] == each[:-1, 1]).all() and (each[:, 0] < each[:, 1]).all()
    assert ((found[:, 0] < 1 / wavelength) & (1 / wavelength < found[:, 1])).all()
    assert rays(Beam(spectrum=Spectrum([9000]))).channel is None
    assert rays(Beam(dispersion_pct=1.0, dispersion_steps=3)).channel is None


def angles_of(found: Sources, place: Any) -> Any:
    """Horizontal and vertical angles of incident vectors, for small ones."""
    return np.stack([found.incident @ place.polar_vector, found.incident @ place.vert_vector], axis=-1)


def test_gaussian_divergence_has_the_moments_of_one() -> None:
    """n nodes give the moments of a Gaussian to the degree 2 n - 1, of products too; angles are small."""
    beam = Beam(
        divergence_profile="gauss", hdivrange_mrad=1e-3, vdivrange_mrad=2e-3, hdivsteps=4, vdivsteps=3
    )
    built = scene(beam, "nanobragg")
    found, place = built.sources, built.placement.panels[0]
    assert len(found) == 12 and found.weight.mean() == pytest.approx(1, rel=1e-14)
    assert built.oversample_polar
    # the beam turns about the vertical vector by h, which moves it along the polarization, and so on
    x, y = angles_of(found, place).T
    x, y = x / 1e-6, y / 2e-6
    moments = {0: 1, 1: 0, 2: 1, 3: 0, 4: 3, 5: 0, 6: 15, 7: 0}
    for i, j in itertools.product(range(8), range(6)):
        expected = moments[i] * moments[j]
        assert (found.weight / 12) @ (x**i * y**j) == pytest.approx(expected, abs=2e-4 * max(1, expected))
    one = scene(Beam(divergence_profile="gauss", hdivrange_mrad=0.5)).sources
    assert len(one) == 5  # and one along the other
    check = scene(Beam(divergence_profile="gauss", hdivsteps=7)).sources
    assert len(check) == 1  # no width
    wide = scene(Beam(divergence_profile="gauss", hdivrange_mrad=0.5, hdivsteps=4, spectrum=SPECTRUM)).sources
    nodes = scene(Beam(divergence_profile="gauss", hdivrange_mrad=0.5, hdivsteps=4)).sources
    check_product(wide, nodes.incident, nodes.weight)


def test_a_source_list_takes_the_place_of_a_profile() -> None:
    listed = SourceList([[-10, 0, 0], [-10, 0.01, 0]])
    with pytest.warns(nbragg.NbraggWarning, match="divergence_profile without effect"):
        assert len(scene(Beam(sources=listed, divergence_profile="gauss", spectrum=SPECTRUM)).sources) == 8


MOVING = Spectrum([9000, 9450, 9900], [1, 2, 0.5])
SPECTRA = Setup(CRYSTAL, Beam(spectrum=MOVING), DETECTOR)
#: structure factors between whose energies those of the beam lie
BY_ENERGY = SPECTRA.replace(
    structure_factors=StructureFactors(energies_eV=[8000, 9200, 10500], tables=np.ones((3, 2, 2, 2)))
)


def test_a_spectrum_that_is_moved_is_one() -> None:
    """Weights have the sum 1 again; the beam's wavelength follows; a wavelength moves all energies."""
    heavier = moved(SPECTRA, {"beam.spectrum.weights[1]": 2.0}).beam
    low, _, high = MOVING.shares
    assert heavier == SPECTRA.beam.replace(
        spectrum=Spectrum(MOVING.energies_eV, [low, 2, high]), wavelength_A=heavier.wavelength_A
    )
    assert heavier.spectrum is not None and heavier.wavelength_A == heavier.spectrum.wavelength_A
    bluer = moved(SPECTRA, {"beam.spectrum.energies_eV[2]": 9990.0}).beam
    assert bluer.spectrum is not None and bluer.spectrum.energies_eV.tolist() == [9000, 9450, 9990]
    assert bluer.energy_eV == pytest.approx(MOVING.mean_energy_eV + 90 * high, rel=1e-14)
    shifted = moved(SPECTRA, {"beam.wavelength_A": 1.3}).beam
    assert shifted == SPECTRA.beam.replace(wavelength_A=1.3) and shifted.wavelength_A == 1.3
    node = BY_ENERGY.replace(spectrum=Spectrum([9000, 9200]))
    with pytest.raises(InputError, match="no derivative by the energy at 9200 eV, a node"):
        tangents(node, expand(["beam.spectrum.energies_eV[1]"], node))
    with pytest.raises(InputError, match="the structure factors depend on the energy"):
        expand(["crystal.structure_factors[0,0,1]"], node)

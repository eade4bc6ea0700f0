"""Derivatives of an image by its spectrum, against the complex step of the slow renderer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import spectrum_oracle
from derivatives import scene_derivative

import nbragg
from nbragg import Beam, Crystal, Detector, RenderOptions, Sample, Sampling, Setup, Spectrum, StructureFactors
from nbragg.engine.cpu import render_double
from nbragg.scene.complex_step import frames
from nbragg.scene.tangent import SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

E = np.array([9000.0, 9400.0, 9700.0])
P = np.array([0.25, 0.5, 0.25])
GRID = {"hdivrange_mrad": 3, "hdivsteps": 2, "polarization": 0.9}
RANDOM = np.random.default_rng(3)
LIST = StructureFactors(RANDOM.uniform(20, 90, (40, 40, 40)), (-20, -20, -20))
TABLES = np.stack([LIST.values, 1.3 * LIST.values, 0.7 * LIST.values])
NODES = np.array([8900.0, 9500.0, 9900.0])
BY_ENERGY = StructureFactors(None, LIST.origin, energies_eV=NODES, tables=TABLES)


def setup(factors: StructureFactors) -> Setup:
    crystal = Crystal(
        cell=(40, 45, 50, 85, 95, 100), N=4, shape="gauss", misset_deg=(9, 5, 2), structure_factors=factors
    )
    detector = Detector(distance_mm=60, fpixels=14, spixels=12, pixel_mm=0.8, Xbeam_mm=2, Ybeam_mm=1)
    return Setup(crystal, Beam(spectrum=Spectrum(E, P), **GRID), detector, Sampling(oversample=1))


def sources_at(energies: Any, weights: Any, tables: bool) -> tuple[Any, Any]:
    """Wavelengths (m) and weights of the sources, of two directions, from the equations alone."""
    wavelengths, found = [], []
    for _ in range(2):
        for energy, weight in zip(energies, weights / weights.sum(), strict=True):
            if not tables:
                parts = [1.0]
            else:
                i = int(np.searchsorted(NODES, energy.real)) - 1
                t = (energy - NODES[i]) / (NODES[i + 1] - NODES[i])
                parts = [1 - t, t]
            for part in parts:
                wavelengths.append(spectrum_oracle.HC / energy * 1e-10)
                found.append(weight * part / 2)
    return np.array(wavelengths), np.array(found) * len(found)


@pytest.mark.parametrize("tables", [False, True])
def test_linearize_against_complex_step(tables: bool) -> None:
    """Every weight, every energy, and the mean of all, where structure factors depend on the energy too."""
    simulator = nbragg.Simulator(setup(BY_ENERGY if tables else LIST), RenderOptions(threads=1))
    scene, h = simulator.scene, 1e-60
    wavelength, weight = sources_at(E.astype(complex), P.astype(complex), tables)
    assert scene.sources.wavelength == pytest.approx(wavelength.real, rel=1e-14)
    assert scene.sources.weight == pytest.approx(weight.real, rel=1e-13)
    moves = {f"beam.spectrum.weights[{i}]": (0 * P, np.eye(3)[i]) for i in range(3)}
    moves |= {f"beam.spectrum.energies_eV[{i}]": (np.eye(3)[i], 0 * P) for i in range(3)}
    mean = P @ E
    names = [*moves, "beam.wavelength_A"]
    moves["beam.wavelength_A"] = (-(mean**2) / spectrum_oracle.HC * np.ones(3), 0 * P)
    found = np.concatenate(
        [simulator.linearize(names[:-1]).jacobian(), simulator.linearize(names[-1:]).jacobian()]
    )
    for name, row in zip(names, found, strict=True):
        energies, weights = moves[name]
        wavelength, weight = sources_at(E + 1j * h * energies, P + 1j * h * weights, tables)
        tangent = SceneTangent(source_wavelength=wavelength.imag / h, source_weight=weight.imag / h)
        _, along = scene_derivative(scene, tangent, frames(scene))
        assert np.abs(row - along).max() <= 1e-9 * np.abs(along).max(), name
        assert np.abs(along).max() > 0


def test_the_sum_of_all_weights_moves_nothing() -> None:
    """The fluence is that of all energies: weights times a number are the same spectrum."""
    linear = nbragg.Simulator(setup(LIST), RenderOptions(threads=1)).linearize(["beam.spectrum.weights"])
    rows = linear.jacobian()
    assert np.abs(np.tensordot(P, rows, 1)).max() <= 1e-12 * np.abs(rows).max()


def test_structure_factors_of_another_crystal() -> None:
    """They stand in one table for each energy of the crystal beside it; I is quadratic in F."""
    first = setup(BY_ENERGY).crystal
    others = StructureFactors(LIST.values, LIST.origin, default_F=30.0), StructureFactors.constant(40)
    second, third = (first.replace(misset_deg=(25, 4, i), structure_factors=f) for i, f in enumerate(others))
    sample = Sample((first, second, third))
    simulator = nbragg.Simulator(setup(LIST).replace(sample=sample), RenderOptions(threads=1))
    assert len(simulator.scene.tables) == 9
    names = ["sample.crystals[2].structure_factors.default_F"]
    strong = nbragg.expected_reflections(simulator.scene)
    strong = strong[(strong["crystal"] == 1)]
    h, k, l = strong["miller_index"][strong["counts"].argmax()]  # noqa: E741 - the index's name
    names.append(f"sample.crystals[1].structure_factors[{h},{k},{l}]")
    linear = simulator.linearize(names)
    for i, (name, row) in enumerate(zip(names, linear.jacobian(), strict=True)):
        step = np.zeros(2)
        step[i] = 1.0
        up, down = (
            render_double(simulator.moved(names, linear.values + sign * step).scene) for sign in (1, -1)
        )
        assert np.abs(row - (up - down) / 2).max() <= 1e-9 * np.abs(row).max(), name
        assert np.abs(row).max() > 0

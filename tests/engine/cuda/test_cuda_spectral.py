"""The CUDA kernels under a spectrum, run on the host, against the CPU engine."""

from __future__ import annotations

import dataclasses
from typing import Any

import cuda_host as host
import numpy as np
import pytest
from scene_parts import with_crystal
from spectral_oracle import spectrum

import nbragg
from nbragg._engine import SPECTRA
from nbragg.engine import cpu
from nbragg.engine.cuda_kernel import INDEX_DOUBLE

pytestmark = [host.needs_compiler, pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")]

TOLERANCE = {"double": 1e-9, "mixed": 2e-6}
HILL = np.exp(-(np.linspace(-2, 2, 9) ** 2))


def scene(spectral: str, listed: bool, bandwidth: float) -> Any:
    """Two directions, three domains, tables by turns, layers, sub-pixels, water, a resolution limit."""
    values = np.random.default_rng(4).uniform(1, 9, (21, 25, 15))
    factors = nbragg.StructureFactors(values=values, origin=(-10, -12, -7), default_F=2.0)
    crystal = nbragg.Crystal(
        cell=(60, 70, 40, 90, 95, 90), N=(15, 12, 20), shape="gauss", mosaic_spread_deg=0.3, mosaic_domains=3,
        misset_deg=(10, 20, 30), structure_factors=factors if listed else nbragg.StructureFactors.constant(5),
    )  # fmt: skip
    setup = nbragg.Setup(
        crystal,
        nbragg.Beam(wavelength_A=1.2, hdivrange_mrad=2.0, hdivsteps=2, polarization=0.9),
        nbragg.Detector(
            distance_mm=90,
            fpixels=17,
            spixels=13,
            pixel_mm=2.0,
            thickness_um=300,
            attenuation_um=200,
            thicksteps=2,
        ),
        nbragg.Sampling(oversample=2, dmin_A=2.5, water_um=2.0),
    )
    made = nbragg.build_scene(setup)
    second = dataclasses.replace(made.table, default_F=3.0, values=2 * values if listed else None)
    made = dataclasses.replace(made, tables=(made.table, second))
    return spectrum(made, bandwidth, HILL, spectral, np.arange(9) % 2)


@pytest.mark.parametrize(
    ("spectral", "listed", "precision"),
    [
        ("line", True, "double"),
        ("line", True, "mixed"),
        ("line", False, "double"),
        ("culled", True, "double"),
        ("culled", True, "mixed"),
    ],
)
def test_as_cpu(spectral: str, listed: bool, precision: str) -> None:
    """Narrow and wide, on cards quick and slow in double: the arithmetic of the line is in double on both."""
    for bandwidth in (0.004, 0.2):
        given = scene(spectral, listed, bandwidth)
        expected = cpu.render_double(given)
        for double_cost in (2.0, 32.0):
            runtime = host.HostRuntime(double_cost=double_cost)
            _, image = host.render(given, precision, runtime)
            assert expected.max() > 0
            assert np.abs(image - expected).max() <= TOLERANCE[precision] * expected.max()
            kinds = {(s.spectral, s.index) for s in runtime.specialisations if not s.finish}
            assert kinds == {(SPECTRA[spectral], INDEX_DOUBLE)}


def test_flat_spots() -> None:
    given = with_crystal(scene("culled", True, 0.02), shape="tophat")
    given = with_crystal(given, shape_metric=given.crystal.shape_metric / 4)
    expected = cpu.render_double(given)
    _, image = host.render(given, "double")
    assert np.abs(image - expected).max() <= 1e-9 * expected.max() > 0

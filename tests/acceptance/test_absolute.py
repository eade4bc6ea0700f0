"""The absolute scale: photons of whole reflections and of a small crystal, by closed forms (beyond 21)."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nbragg
from nbragg.engine.cpu import render_double

R_E_SQR = 7.94079248018965e-30


@pytest.mark.parametrize(
    ("shape", "oversample", "factor", "tolerance"),
    [
        # the integral of exp(-2 r^2/0.63), and of a ball whose radius squared is 0.3969
        ("gauss", 1, (0.63 * math.pi / 2) ** 1.5, 1e-4),
        ("tophat", 4, 4 / 3 * math.pi * 0.3969**1.5, 2e-3),
    ],
)
def test_darwin(shape: str, oversample: int, factor: float, tolerance: float) -> None:
    """One reflection, turned through the Ewald sphere in even steps: all of its photons.

    fluence r_e^2 lambda^3 F^2 P N / (V dphi |u . (i x d)|): N cells of volume V, turned by dphi about u.
    """
    assert factor == pytest.approx({"gauss": 0.98444, "tophat": 1.04739}[shape], abs=1e-5)
    edge, cells, F = 50.0, 20, 100.0
    theta = math.asin(1.0 / (2 * edge / 10))  # of (0 10 0) at 1 A
    crystal = nbragg.Crystal(
        cell=(edge, edge, edge, 90, 90, 90),
        N=cells,
        shape=shape,
        structure_factors=nbragg.StructureFactors.constant(F),
        phi_deg=math.degrees(theta) - 1,
        osc_deg=2.0,
        phisteps=400,
    )
    beam = nbragg.Beam(wavelength_A=1.0, fluence=1e20, polarization=0.6)
    d = np.array([math.cos(2 * theta), math.sin(2 * theta), 0.0])
    spot = 100 * d / d[0]
    detector = nbragg.Detector(
        panels=nbragg.Panel(
            origin_mm=spot - [0, 0.6, 0.6],
            fast=(0, 0, 1),
            slow=(0, 1, 0),
            pixel_mm=0.02,
            fpixels=60,
            spixels=60,
        ),
        convention="mosflm",
    )
    setup = nbragg.Setup(crystal, beam, detector, nbragg.Sampling(oversample=oversample))
    total = render_double(nbragg.build_scene(setup)).sum()
    cos2, along_E = d[0] ** 2, d[2] ** 2  # the electric field is along z
    P = (1 + cos2 - 0.6 * (along_E - d[1] ** 2) / (along_E + d[1] ** 2) * (1 - cos2)) / 2
    lorentz = abs(np.cross([1, 0, 0], d)[2])
    expected = (
        1e20 * R_E_SQR * 1e-30 * F**2 * P * cells**3 / ((edge * 1e-10) ** 3 * math.radians(2) * lorentz)
    )
    assert total == pytest.approx(expected * factor, rel=tolerance)


def test_forward_scattering_of_a_small_crystal() -> None:
    """Photons/sr straight ahead: r_e^2 fluence F(000)^2 N^2."""
    crystal = nbragg.Crystal(
        cell=(50, 60, 70, 90, 90, 90), N=(2, 3, 4), structure_factors=nbragg.StructureFactors.constant(7.0)
    )
    panel = nbragg.Panel(
        origin_mm=(100, -5e-4, -5e-4), fast=(0, 0, 1), slow=(0, 1, 0), pixel_mm=1e-3, fpixels=1, spixels=1
    )
    detector = nbragg.Detector(panels=panel, convention="mosflm")
    setup = nbragg.Setup(crystal, nbragg.Beam(fluence=1e20), detector, nbragg.Sampling(oversample=1))
    photons = render_double(nbragg.build_scene(setup)).item()
    assert photons / 1e-10 == pytest.approx(R_E_SQR * 1e20 * 7.0**2 * 24**2, rel=1e-6)

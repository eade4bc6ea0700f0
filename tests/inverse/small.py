"""A small set-up for tests of derivatives, and derivatives by differences to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nbragg
from nbragg.engine.cpu import render_double

#: parameter -> step of differences, in its unit
STEPS = {
    "crystal.misset_deg[0]": 1e-3,
    "crystal.misset_deg[1]": 1e-3,
    "crystal.misset_deg[2]": 1e-3,
    "crystal.rotation_deg[0]": 1e-3,
    "crystal.rotation_deg[1]": 1e-3,
    "crystal.rotation_deg[2]": 1e-3,
    "crystal.cell.a": 1e-3,
    "crystal.cell.b": 1e-3,
    "crystal.cell.c": 1e-3,
    "crystal.cell.alpha": 1e-3,
    "crystal.cell.beta": 1e-3,
    "crystal.cell.gamma": 1e-3,
    "detector.distance_mm": 1e-3,
    "beam.fluence": 1e22,
}


def simulator(**changes: Any) -> nbragg.Simulator:
    """A triclinic crystal of 5 x 5 x 5 cells on 20 x 16 pixels.

    The shape is gauss, which is smooth wherever the nearest reflection stays the same, and every reflection
    has the same structure factor.
    """
    crystal = nbragg.Crystal(
        cell=(70, 80, 90, 85, 95, 100),
        N=5,
        shape="gauss",
        misset_deg=(10, 20, 30),
        structure_factors=nbragg.StructureFactors.constant(100),
    )
    setup = nbragg.Setup(
        crystal,
        nbragg.Beam(wavelength_A=1.0, fluence=1e24),
        nbragg.Detector(distance_mm=100, pixel_mm=0.25, fpixels=20, spixels=16),
        nbragg.Sampling(oversample=2),
    )
    return nbragg.Simulator(setup.replace(**changes), nbragg.RenderOptions(threads=2))


def image_at(simulator: nbragg.Simulator, parameters: list[str], values: Any) -> NDArray[np.float64]:
    """The image at other values, before it is rounded."""
    return render_double(simulator.moved(parameters, values).scene)


def differences(function: Callable[[float], NDArray[np.float64]], step: float) -> NDArray[np.float64]:
    """The derivative at 0 by central differences of eighth order."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    terms = [w * (function(n * step) - function(-n * step)) for n, w in enumerate(weights, 1)]
    return np.asarray(sum(terms)) / step


def derivative_image(simulator: nbragg.Simulator, name: str) -> NDArray[np.float64]:
    """The derivative by one parameter, by differences of images."""
    value = simulator.linearize([name]).values[0]
    return differences(lambda offset: image_at(simulator, [name], [value + offset]), STEPS[name])

"""Sensors that take the light of each source in its own way: CUDA kernels, run on the host, as the CPU."""

from __future__ import annotations

from typing import Any

import cuda_host as host
import gradient_scenes
import numpy as np
import pytest
from sensor_scenes import SPECTRA, panels, setup

import nbragg
from nbragg import Detector
from nbragg.engine.cpu import render_double
from nbragg.engine.cuda_gradient import CudaGradient
from nbragg.engine.gradient import Gradient
from nbragg.engine.options import RenderOptions

pytestmark = [host.needs_compiler, pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")]


def largest_error(image: Any, expected: Any) -> float:
    assert expected.max() > 0
    return float(np.abs(image - expected).max() / expected.max())


@pytest.mark.parametrize(
    ("spectral", "count", "precision", "tolerance"),
    [
        ("direct", 4, "double", 1e-11),
        ("direct", 2, "mixed", 2e-6),
        ("line", 2, "double", 1e-11),
        ("line", 2, "mixed", 2e-6),
        ("culled", 2, "double", 1e-11),
    ],
)
def test_images(spectral: str, count: int, precision: str, tolerance: float) -> None:
    """Panels with captures of each source and, of four, one without, which has kernels of its own."""
    given = setup(SPECTRA["edge"], spectral, detector=Detector(panels=panels(count)))
    scene = nbragg.build_scene(given)
    runtime = host.HostRuntime()
    _, image = host.render(scene, precision, runtime)
    assert largest_error(image, render_double(scene)) <= tolerance
    kinds = {spec.each_mu for spec in runtime.specialisations if not spec.finish}
    assert kinds == ({True, False} if count == 4 else {True})


def test_light_behind_the_spots() -> None:
    water, air = nbragg.Background("water", thickness_mm=0.3), nbragg.Background("air", path_mm=(-10, 20))
    around = nbragg.Surroundings(windows=[nbragg.Window(material="Kapton", thickness_um=50)])
    given = setup(
        SPECTRA["wide"], "direct", detector=Detector(panels=panels(2)), backgrounds=(water, air),
        surroundings=around, diffuse=nbragg.LiquidMotions(30, 0.5), shape="gauss",
    )  # fmt: skip
    scene = nbragg.build_scene(given)
    _, image = host.render(scene, "double")
    assert largest_error(image, render_double(scene)) <= 1e-11


def test_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, sums, products, and every field of the cotangent."""
    host.pretend_gpu(monkeypatch)
    scene = gradient_scenes.each_source_captured()
    tangents, frames = gradient_scenes.tangents(scene), gradient_scenes.frames(scene)
    cpu = Gradient(scene, tangents, frames, RenderOptions(threads=1))
    gpu = CudaGradient(scene, tangents, frames, RenderOptions(device="cuda", precision="double"))
    rng = np.random.default_rng(8)
    g, w = rng.uniform(0, 1, (2, *scene.image_shape))
    wanted, found = np.zeros((2, len(tangents), *scene.image_shape))
    cpu.jacobian(wanted)
    gpu.jacobian(found)
    least = 1e-3 * cpu.image.max()
    scale = np.maximum(np.abs(wanted).reshape(len(tangents), -1).max(axis=1), least)
    assert (np.abs(found - wanted).reshape(len(tangents), -1).max(axis=1) <= 1e-12 * scale).all()
    H, _ = cpu.gauss_newton(g, w)
    H_found, _ = gpu.gauss_newton(g, w)
    d = np.sqrt(np.diag(H)) + least
    assert (np.abs(H_found - H) <= 1e-12 * np.outer(d, d)).all()
    ours, theirs = (gradient_scenes.arrays(x.scene_vjp(g)) for x in (gpu, cpu))
    smallest = 1e-3 * float((g * cpu.image).sum())
    assert list(ours) == list(theirs)
    for field, value in theirs.items():
        size = max(np.abs(value).max(initial=0.0), smallest / (gradient_scenes.size(scene, field) or np.inf))
        assert np.abs(ours[field] - value).max(initial=0.0) <= 1e-11 * size, field

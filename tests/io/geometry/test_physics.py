"""An image is the same after its geometry went out to a file and came in again; recipes hold it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_files import crystal_of, expt_of
from numpy.typing import NDArray

import nbragg
from nbragg import Beam, Crystal, Detector, RenderOptions, Sampling, Setup, StructureFactors
from nbragg.base.rotations import random_orientations
from nbragg.io.geometry.crystfel_writer import crystfel_frame
from nbragg.io.geometry.record import Geometry

PHI = 20.0
DOUBLE = RenderOptions(precision="double", threads=1)


def setup(convention: str, **detector: Any) -> Setup:
    """Three unit cells a side, so that the image is smooth; polarized, turning, not centred."""
    rng = np.random.default_rng(5)
    factors = StructureFactors(values=rng.uniform(1, 100, (9, 9, 9)), origin=(-4, -4, -4), default_F=20)
    crystal = Crystal(
        cell=(40, 50, 60, 80, 95, 105), structure_factors=factors, N=(3, 4, 3),
        orientation=random_orientations(1, 3)[0], phi_deg=PHI, osc_deg=1.0, phisteps=3,
    )  # fmt: skip
    beam = Beam(wavelength_A=1.3, polarization=0.8)
    placed = {"distance_mm": 60, "pixel_mm": 1.1, "fpixels": 30, "spixels": 25, **detector}
    return Setup(
        crystal,
        beam,
        Detector(convention=convention, **placed),
        Sampling(oversample=2, interpolate=False),
        "exact",
    )


DETECTORS = {
    "plain": {},
    "tilted": {"rotx_deg": 12, "roty_deg": -7, "rotz_deg": 20},
    "swung": {"twotheta_deg": 25},
    "sensor": {"rotx_deg": 5, "thickness_um": 450, "attenuation_um": 300, "thicksteps": 3},
}


def matrix_of(one: Setup) -> NDArray[np.float64]:
    """The A matrix in the simulation's frame, at spindle angle 0."""
    unit_cell = nbragg.build_scene(one).placement.crystal.unit_cell
    return np.asarray(unit_cell.reciprocal_vectors.T)


def image(one: Setup) -> NDArray[np.float32]:
    return np.asarray(nbragg.Simulator(one, DOUBLE).render().image)


def assert_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    """To 1e-6 of each pixel, and of the brightest where pixels are dark."""
    assert one.max() > 0
    assert np.abs(one - other).max() <= 1e-6 * one.max()
    np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9 * one.max())


@pytest.mark.parametrize("convention", ["mosflm", "xds", "adxv", "denzo", "dials"])
@pytest.mark.parametrize("kind", ["plain", "tilted", "swung"])
def test_through_a_geom(tmp_path: Path, convention: str, kind: str) -> None:
    one = setup(convention, **DETECTORS[kind])
    own = Geometry.from_scene(nbragg.build_scene(one))
    nbragg.io.write_geometry(tmp_path / "a.geom", own)
    geometry = nbragg.read_geometry(tmp_path / "a.geom")
    frame = crystfel_frame(own)
    crystal = Crystal(
        structure_factors=one.crystal.structure_factors, N=one.crystal.N, a_matrix=frame @ matrix_of(one),
        phi_deg=PHI, osc_deg=1.0, phisteps=3, spindle_axis=tuple(frame @ np.array(own.spindle_axis)),
    )  # fmt: skip
    back = geometry.setup(crystal, sampling=one.sampling, polarization=0.8)
    assert_same(image(one), image(back))


@pytest.mark.parametrize("convention", ["mosflm", "xds", "adxv", "denzo", "dials"])
@pytest.mark.parametrize("kind", sorted(DETECTORS))
def test_through_an_expt(tmp_path: Path, convention: str, kind: str) -> None:
    """With crystal and scan; the second of two images, in the simulation's frame turned by a rotation."""
    one = setup(convention, **DETECTORS[kind])
    frame = random_orientations(1, 8)[0]
    own = Geometry.from_scene(nbragg.build_scene(one)).turned(frame, "dxtbx laboratory")
    scan = {"image_range": [1, 2], "oscillation": [PHI - 1.0, 1.0]}
    document = expt_of(own, crystal=[crystal_of(frame @ matrix_of(one))], scan=[scan])
    (tmp_path / "a.expt").write_text(json.dumps(document))
    experiments = nbragg.read_experiments(tmp_path / "a.expt")
    fields: dict[str, Any] = {"N": one.crystal.N, "phisteps": 3, "oversample": 2, "interpolate": False}
    back = experiments.setup(one.crystal.structure_factors, image=1, **fields)
    if kind == "sensor":
        panels = tuple(panel.replace(thicksteps=3) for panel in back.detector.panels)
        back = back.replace(detector=Detector(convention="custom", panels=panels))
    assert_same(image(one), image(back))
    series = experiments.series(one.crystal.structure_factors, **fields)
    if kind != "sensor":
        assert_same(image(one), image(series[1]))


def test_a_series_is_rendered(tmp_path: Path) -> None:
    one = setup("dials")
    own = Geometry.from_scene(nbragg.build_scene(one))
    scan = {"image_range": [1, 3], "oscillation": [PHI, 1.0]}
    document = expt_of(own, crystal=[crystal_of(matrix_of(one))], scan=[scan])
    A = np.array([matrix_of(one)] * 4)
    document["crystal"][0]["A_at_scan_points"] = [
        (a * (1 + 1e-4 * i)).ravel().tolist() for i, a in enumerate(A)
    ]
    (tmp_path / "a.expt").write_text(json.dumps(document))
    series = nbragg.read_experiments(tmp_path / "a.expt").series(
        one.crystal.structure_factors, N=one.crystal.N, phisteps=3, oversample=2, interpolate=False
    )
    results = list(nbragg.Simulator(series[0], DOUBLE).render_many(series))
    assert len(results) == 3
    for i, result in enumerate(results):
        alone = one.replace(
            phi_deg=PHI + i, orientation=matrix_of(one) * math.sqrt((1 + 1e-4 * i) * (1 + 1e-4 * (i + 1)))
        )
        assert_same(image(alone), result.image)


def test_recipes_hold_panels(tmp_path: Path) -> None:
    """Every field of every panel, masks in a file of their own; a command line refuses it in words."""
    path = Path(__file__).parents[2] / "data" / "hierarchical.expt"
    back = nbragg.read_experiments(path).setup(StructureFactors.constant(1), shot=1, N=(2, 2, 2))
    assert len(back.detector.panels) == 4 and back.detector.panels[2].mask is not None
    nbragg.dump(back, tmp_path / "setup.json")
    again = nbragg.load(tmp_path / "setup.json")
    assert again == back
    assert again.detector.panels[2].mask.sum() == back.detector.panels[2].mask.sum()
    with pytest.raises(nbragg.InputError, match="a detector of 4 panels cannot be said in a command line"):
        nbragg.to_cli(back)
    image = nbragg.simulate(back.replace(oversample=1)).image
    assert image.shape == (4, 20, 30) and (image[2, 4:9, 3:6] == 0).all() and image[2].any()

"""A geometry that goes out in any file comes in again: every pixel centre to 1e-9 m, in the file's frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nbragg
from nbragg.io import write_geometry
from nbragg.io.geometry.record import Geometry
from nbragg.io.images.metadata import ImageMetadata, imgcif_frame, mcstas_frame
from nbragg.scene.record import Scene

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = NDArray[np.float64]

DETECTORS: dict[str, dict[str, Any]] = {
    "mosflm": {},
    "xds": {"convention": "xds", "ORGX": 20.0, "ORGY": 14.0},
    "adxv": {"convention": "adxv"},
    "dials": {"convention": "dials"},
    "swung": {"twotheta_deg": 20.0},
    "tilted": {"rotx_deg": 3.0, "roty_deg": -4.0, "rotz_deg": 5.0},
    "sensor": {"thickness_um": 450.0, "attenuation_um": 237.6, "thicksteps": 1},
    "panels": {
        "convention": "xds",
        "panels": [
            nbragg.Panel(
                origin_mm=(-5.0, 3.0 * i, 100.0 + i), fast=(np.cos(0.1 * i), 0.0, np.sin(0.1 * i)),
                slow=(0.0, 1.0, 0.0), fpixels=30 + 5 * i, spixels=20, pixel_mm=(0.1, 0.12),
            )
            for i in range(3)
        ],
    },
}  # fmt: skip


def _setup(name: str) -> nbragg.Setup:
    fields = DETECTORS[name]
    if "panels" not in fields:
        fields = {"distance_mm": 90.0, "pixel_mm": 0.1, "fpixels": 40, "spixels": 30} | fields
    crystal = nbragg.Crystal(
        structure_factors=nbragg.StructureFactors.constant(1e4), cell=(70, 80, 90, 80, 95, 100), N=6,
        misset_deg=(10, 20, 30), osc_deg=0.5, phi_deg=3.0, phisteps=3, shape="gauss",
    )  # fmt: skip
    beam = nbragg.Beam(wavelength_A=1.1, polarization=0.9, fluence=1e25)
    return nbragg.Setup(crystal, beam, nbragg.Detector(**fields), nbragg.Sampling(oversample=1))


def _centres(scene: Scene) -> list[Array]:
    """Pixel centres of each panel, m, shape (slow, fast, 3)."""
    found = []
    for panel in scene.panels:
        fast = (np.arange(panel.fpixels) + panel.first[0] + 0.5) * panel.pixel[0]
        slow = (np.arange(panel.spixels) + panel.first[1] + 0.5) * panel.pixel[1]
        found.append(
            panel.pix0
            + fast[np.newaxis, :, np.newaxis] * panel.fdet
            + slow[:, np.newaxis, np.newaxis] * panel.sdet
        )
    return found


def _written(name: str, suffix: str, folder: Path) -> tuple[Path, nbragg.Result, Array | None]:
    """A file, the image, and the rotation from the simulation's frame to that of the file."""
    setup = _setup(name)
    result = nbragg.simulate(setup)
    path = folder / f"a_0001{suffix}"
    metadata = ImageMetadata.from_scene(result.scene)
    if suffix == ".expt":
        result.save_truth(path)
        return path, result, imgcif_frame(metadata)
    if suffix == ".geom":
        geometry = Geometry.from_scene(result.scene)
        write_geometry(path, geometry)
        return path, result, None
    result.save(path)
    # the record in the headers of .img and .cbf has the simulation's own frame
    return path, result, mcstas_frame(metadata) if suffix == ".nxs" else np.eye(3)


CASES = [
    (name, suffix)
    for name in DETECTORS
    for suffix in (".expt", ".nxs", ".geom", ".cbf", ".img")
    if suffix not in (".cbf", ".img") or name in ("mosflm", "xds", "sensor")
]


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_pixel_centres(tmp_path: Path, name: str, suffix: str) -> None:
    path, result, frame = _written(name, suffix, tmp_path)
    geometry = nbragg.read_geometry(path)
    crystal = result.setup.crystal if result.setup else None
    assert crystal is not None
    again = nbragg.build_scene(
        nbragg.Setup(
            crystal.replace(spindle_axis=(0, 0, 1)),
            geometry.beam(polarization=0.9, fluence=1.0),
            geometry.detector,
        )
    )
    wanted = _centres(result.scene)
    found = _centres(again)
    assert len(found) == len(wanted)
    if frame is None:
        # CrystFEL's frame: z along the beam, x along the electric field
        beam, polar = result.scene.panels[0].beam, result.scene.polar_vector
        frame = np.array([polar, np.cross(beam, polar), beam])
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other @ frame.T).max() < 1e-9
    assert geometry.wavelength_A == pytest.approx(1.1, rel=1e-9)


@pytest.mark.parametrize("name", ["mosflm", "dials", "tilted", "panels", "sensor"])
def test_the_image_of_what_comes_back(tmp_path: Path, name: str) -> None:
    """Detector, beam, crystal and rotation of an .expt that was written give the same image."""
    path, result, _ = _written(name, ".expt", tmp_path)
    setup = result.setup
    assert setup is not None
    crystal = setup.crystal
    experiments = nbragg.read_experiments(path)
    again = experiments.setup(
        crystal.structure_factors, N=crystal.N, shape="gauss", phisteps=3, fluence=1e25, oversample=1
    )
    if name == "sensor":
        again = again.replace(
            detector=nbragg.Detector(
                convention="custom", panels=[panel.replace(thicksteps=1) for panel in again.detector.panels]
            )
        )
    image = nbragg.simulate(again).image
    assert np.abs(image - result.image).max() < 1e-5 * result.image.max()

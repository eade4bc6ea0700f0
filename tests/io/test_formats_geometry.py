"""A simulated powder ring integrates to the right two-theta in pyFAI, from what the files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.base.errors import InputError
from nbragg.io.images import read_image, save_image
from nbragg.simulation.result import Result
from nbragg.simulation.simulate import simulate

pyfai = pytest.importorskip("pyFAI")

EDGE, WAVELENGTH, CELLS = 6.0, 1.0, 40
SPACING = EDGE / 2
TWO_THETA = np.degrees(2 * np.arcsin(WAVELENGTH / (2 * SPACING)))


def _powder(**detector: Any) -> Result:
    """Debye ring of {200}: random domains of a primitive cubic cell whose other reflections are zero."""
    hkl = np.array([[2, 0, 0], [-2, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 2], [0, 0, -2]])
    factors = StructureFactors.from_reflections(*hkl.T, np.full(6, 100.0))
    crystal = Crystal(
        cell=(EDGE, EDGE, EDGE, 90, 90, 90),
        N=(CELLS, CELLS, CELLS),
        shape="gauss",
        mosaic_spread_deg=180.0,
        mosaic_domains=6000,
        structure_factors=factors,
    )
    settings: dict[str, Any] = {
        "distance_mm": 80.0,
        "pixel_mm": 0.8,
        "detsize_f_mm": 90.0,
        "detsize_s_mm": 80.0,
    }
    return simulate(
        crystal,
        Beam(wavelength_A=WAVELENGTH, nopolar=True),
        Detector(**(settings | detector)),
        Sampling(oversample=1, interpolate=False),
        physics="exact",
    )


def _ring(image: NDArray[Any], integrator: Any) -> float:
    """Two-theta of the ring, degrees: the centroid of the radial profile, background-free as the image is."""
    profile = integrator.integrate1d_ng(
        image, 1000, unit="2th_deg", correctSolidAngle=False, method=("no", "csr", "cython")
    )
    near = np.abs(profile.radial - TWO_THETA) < 1.5
    total = profile.sum_signal[near]
    assert total.sum() > 0.5 * profile.sum_signal.sum()
    return float((profile.radial[near] * total).sum() / total.sum())


def _integrator(**geometry: float) -> Any:
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    return AzimuthalIntegrator(wavelength=WAVELENGTH * 1e-10, **geometry)


def _tenth_of_a_pixel(pixel_mm: float, distance_mm: float) -> float:
    """Degrees of two-theta that 0.1 pixel of radius is, at the ring on a detector across the beam."""
    radius = distance_mm * np.tan(np.radians(TWO_THETA))
    return float(np.degrees(np.arctan((radius + 0.1 * pixel_mm) / distance_mm)) - TWO_THETA)


def test_ring_by_the_minicbf_header(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    result = _powder(convention="xds", ORGX=60.0, ORGY=45.0)
    save_image(tmp_path / "a.cbf", result.image, scene=result.scene, scale=1e7 / result.image.max())
    with fabio.open(str(tmp_path / "a.cbf")) as image:
        contents, pixels = image.header["_array_data.header_contents"], image.data
    words = {line.split()[1]: line for line in contents.splitlines() if line.startswith("# ")}
    x, y = (float(w) for w in words["Beam_xy"].split("(")[1].split(")")[0].split(","))
    pixel = float(words["Pixel_size"].split()[2])
    distance = float(words["Detector_distance"].split()[2])
    integrator = _integrator(dist=distance, poni1=y * pixel, poni2=x * pixel, pixel1=pixel, pixel2=pixel)
    assert _ring(pixels, integrator) == pytest.approx(TWO_THETA, abs=_tenth_of_a_pixel(0.8, 80.0))


@pytest.mark.parametrize(
    "detector",
    [
        {"Xbeam_mm": 35.0, "Ybeam_mm": 50.0},
        {"convention": "adxv", "Xbeam_mm": 20.0, "Ybeam_mm": 33.0},
        {"convention": "dials", "twotheta_deg": 15.0, "rotx_deg": 10.0, "rotz_deg": 30.0},
        {"twotheta_deg": 20.0, "roty_deg": -8.0},
    ],
    ids=["mosflm", "adxv", "dials swung", "mosflm swung"],
)
def test_ring_by_the_nexus_file(tmp_path: Path, detector: dict[str, Any]) -> None:
    """pyFAI's rot1, rot2 are the beam direction seen from the detector; poni is the near point."""
    pytest.importorskip("h5py")
    result = _powder(**detector)
    save_image(tmp_path / "a.nxs", result.image, scene=result.scene)
    image, m = read_image(tmp_path / "a.nxs")
    axes = np.array([m["fast"], m["slow"], m["normal"]])
    fast, slow, close = -axes @ np.array(m["pix0_mm"]) * 1e-3
    along_fast, along_slow, along_normal = axes @ np.array(m["beam"])
    pixel = m["pixel_mm"] * 1e-3
    integrator = _integrator(
        dist=-close,
        poni1=slow,
        poni2=fast,
        pixel1=pixel,
        pixel2=pixel,
        rot1=float(np.arctan2(-along_fast, along_normal)),
        rot2=float(np.arcsin(along_slow)),
    )
    assert _ring(image, integrator) == pytest.approx(TWO_THETA, abs=_tenth_of_a_pixel(0.8, 80.0))


def test_a_wrong_centre_would_be_noticed() -> None:
    """The test above has the power to see half a pixel."""
    result = _powder(convention="xds", ORGX=60.0, ORGY=45.0)
    pixel = 0.8e-3
    wrong = _integrator(
        dist=0.0801 + pixel, poni1=44.5 * pixel, poni2=59.5 * pixel, pixel1=pixel, pixel2=pixel
    )
    assert abs(_ring(result.image, wrong) - TWO_THETA) > _tenth_of_a_pixel(0.8, 80.0)


def test_tilted_cbf_is_refused(tmp_path: Path) -> None:
    result = _powder(roty_deg=3.0)
    with pytest.raises(InputError, match="3 degrees off the beam"):
        save_image(tmp_path / "a.cbf", result.image, scene=result.scene, scale=1e7 / result.image.max())

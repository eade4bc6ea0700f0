"""60 rotation images of lysozyme through DIALS, as they are written: what comes out is what went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import dials_run as dials
import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

import nbragg
from nbragg.io.images.metadata import imgcif_frame

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

MODEL = Path(__file__).parents[1] / "data" / "HEWL_refined.mtz"
FRAMES, OSC, GROUP = 60, 0.2, "P43212"

Array = NDArray[np.float64]

#: what the programs found, as JSON
READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList
from dials.array_family import flex
e = ExperimentList.from_file(sys.argv[1], check_format=False)[0]
strong = flex.reflection_table.from_file(sys.argv[2])
indexed = flex.reflection_table.from_file(sys.argv[3])
r = flex.reflection_table.from_file(sys.argv[4])
good = r.get_flags(r.flags.integrated_sum) & (r["partiality"] > 0.99)
r = r.select(good)
corrected = r["intensity.sum.value"] * r["lp"]
if "qe" in r: corrected = corrected / r["qe"]
elif "dqe" in r: corrected = corrected / r["dqe"]
p = e.detector[0]
print(json.dumps({
    "strong": len(strong),
    "indexed": int(indexed.get_flags(indexed.flags.indexed).count(True)),
    "real": [e.crystal.get_real_space_vectors()[i] for i in range(3)],
    "center": p.get_beam_centre_px(e.beam.get_s0()),
    "distance": p.get_directed_distance(),
    "hkl": [list(h) for h in r["miller_index"]],
    "intensity": list(corrected),
    "sigma": list(flex.sqrt(r["intensity.sum.variance"]) * r["lp"]),
}))
"""


class Run(NamedTuple):
    """One format's way through DIALS, and what went in."""

    found: dict[str, Any]
    gain: float
    setup: nbragg.Setup
    scene: Any


def lysozyme(sensor: bool) -> nbragg.Setup:
    """A crystal of some 0.1 um, for spots of a pixel and over two images: fine slices give true centroids."""
    crystal = nbragg.Crystal(
        structure_factors=nbragg.StructureFactors.from_file(MODEL),
        cell=gemmi.read_mtz_file(str(MODEL)).cell.parameters,
        N=(12, 12, 25),
        shape="gauss",
        misset_deg=(12.3, -34.5, 56.7),
        osc_deg=OSC,
        phisteps=8,
    )
    # dxtbx's parallax falls short by the capture fraction (test_geometry.py), which is to be near 1
    layer = {"thickness_um": 1000.0, "attenuation_um": 237.64, "thicksteps": 1} if sensor else {}
    detector = nbragg.Detector(
        distance_mm=120.0, pixel_mm=0.172, fpixels=500, spixels=620, Xbeam_mm=54.1, Ybeam_mm=40.3, **layer
    )
    beam = nbragg.Beam(wavelength_A=1.0, polarization=0.998, flux=3e18, exposure_s=1.0, beamsize_mm=0.05)
    return nbragg.Setup(crystal, beam, detector, nbragg.Sampling(oversample=3, water_um=0.065))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images as they are written: SMV knows no sensor, the others one of 450 um."""
    dials.need()
    folder = tmp_path_factory.mktemp("rotation")
    for sensor, names in ((False, ("smv_####.img",)), (True, ("cbf_####.cbf", "nxs.nxs"))):
        setup = lysozyme(sensor)
        results = list(nbragg.Simulator(setup).render_many(nbragg.Series.frames(setup, FRAMES)))
        for name in names:
            nbragg.save_series(results, folder / name, save_as="counts", seed=1)
    return folder


@pytest.fixture(scope="module", params=["smv", "cbf", "nxs"])
def run(request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    files = sorted(images.glob(f"{kind}*"))
    assert len(files) == (1 if kind == "nxs" else FRAMES)

    def do(name: str, *words: Any) -> str:
        return str(dials.command(name, *words, folder=folder))

    do("dials.import", *files)
    do("dials.find_spots", "imported.expt", "nproc=2")
    do("dials.index", "imported.expt", "strong.refl", f"space_group={GROUP}")
    do("dials.refine", "indexed.expt", "indexed.refl")
    do("dials.integrate", "refined.expt", "refined.refl", "nproc=2")
    gain = do("dials.estimate_gain", "imported.expt")
    found = dials.run(
        READ,
        *(folder / name for name in ("refined.expt", "strong.refl", "indexed.refl", "integrated.refl")),
    )
    setup = lysozyme(kind != "smv")
    line = next(line for line in gain.splitlines() if "Estimated gain" in line)
    return Run(found, float(line.split(":")[1]), setup, nbragg.build_scene(setup))


def truth(run: Run) -> Array:
    """Rows a, b, c in imgCIF's frame, angstrom."""
    result = nbragg.simulate(run.setup.replace(roi=(0, 0, 0, 0)))
    vectors = np.asarray(run.scene.placement.crystal.unit_cell.vectors)
    return np.asarray(vectors @ imgcif_frame(result.metadata).T)


def change_of_basis(run: Run) -> Array:
    """Whole numbers T with found = T true, for rows a, b, c: DIALS may choose other axes of the lattice."""
    matrix = np.array(run.found["real"]) @ np.linalg.inv(truth(run))
    whole = np.rint(matrix)
    assert np.abs(matrix - whole).max() < 1e-3 and round(np.linalg.det(whole)) == 1
    return np.asarray(whole)


def test_spots_are_indexed(run: Run) -> None:
    assert run.found["strong"] > 3000
    assert run.found["indexed"] >= 0.995 * run.found["strong"]


def test_cell(run: Run) -> None:
    lengths = np.linalg.norm(run.found["real"], axis=1)
    wanted = np.linalg.norm(change_of_basis(run) @ truth(run), axis=1)
    assert np.abs(lengths / wanted - 1).max() < 3e-5


def test_orientation(run: Run) -> None:
    """The rotation from the true axes to those found, degrees."""
    wanted = change_of_basis(run) @ truth(run)
    axes = [np.linalg.qr(rows.T) for rows in (np.array(run.found["real"]), wanted)]
    one, other = (q * np.sign(np.diag(r)) for q, r in axes)
    cosine = (np.trace(one @ other.T) - 1) / 2
    assert np.degrees(np.arccos(min(cosine, 1.0))) < 0.01


def test_detector(run: Run) -> None:
    metadata = nbragg.simulate(run.setup.replace(roi=(0, 0, 0, 0))).metadata
    assert run.found["center"] == pytest.approx(metadata.beam_center_px, abs=0.02)
    assert run.found["distance"] == pytest.approx(metadata.distance_mm, abs=0.005)


def test_gain(run: Run) -> None:
    assert run.gain == pytest.approx(1.0, abs=0.1)


def _intensities(run: Run) -> tuple[Array, Array, Array, Array]:
    """Intensity, its standard deviation, F^2 of the reflection and of its Friedel mate."""
    hkl = np.rint(np.array(run.found["hkl"]) @ change_of_basis(run)).astype(int)
    factors = run.setup.crystal.structure_factors
    assert factors.values is not None
    plus, minus = (factors.values[tuple((sign * hkl - np.array(factors.origin)).T)] ** 2 for sign in (1, -1))
    return np.array(run.found["intensity"]), np.array(run.found["sigma"]), plus, minus


def test_intensities(run: Run) -> None:
    intensity, _, wanted, _ = _intensities(run)
    assert len(intensity) > 2000
    assert np.corrcoef(intensity, wanted)[0, 1] >= 0.998


def test_bijvoet_differences(run: Run) -> None:
    """The differences between Friedel mates that are measured are those of the structure factors."""
    intensity, sigma, plus, minus = _intensities(run)
    scale = (intensity @ plus) / (plus @ plus)
    difference = (plus - minus) / 2
    residual = intensity / scale - (plus + minus) / 2
    weight = 1 / ((sigma / scale) ** 2 + (0.01 * plus) ** 2 + np.median(plus) ** 2 * 1e-4)
    slope = (weight * residual * difference).sum() / (weight * difference**2).sum()
    error = (weight * difference**2).sum() ** -0.5
    assert slope > 5 * error and abs(slope - 1) < 5 * error + 0.2, (slope, error)

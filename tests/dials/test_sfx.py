"""Stills of an X-ray laser, with their spectra, through DIALS: one crystal to a shot, and two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dials_run as dials
import numpy as np
import pytest
from test_stills import _angle

import nbragg
from nbragg.datasets import LYSOZYME_CELL, lysozyme
from nbragg.io.images.metadata import imgcif_frame

pytestmark = [
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
    pytest.mark.timeout(1200),  # twenty stills are indexed, perhaps beside other work
]

#: of a Jungfrau 4M four modules about the beam, so that DIALS takes seconds
MODULES = {"modules": (2, 2), "module": (1030, 514), "gap": (8, 36), "pixel_mm": 0.075, "distance_mm": 80.0}

READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList
from dials.array_family import flex
images = ExperimentList.from_file(sys.argv[1], check_format=False)
print(json.dumps({
    "real": [[e.crystal.get_real_space_vectors()[i] for i in range(3)] for e in images],
    "cell": [e.crystal.get_unit_cell().parameters() for e in images],
    "image": [e.imageset.indices()[0] for e in images],
}))
"""


def shots(count: int, lattices: int) -> nbragg.Series:
    """As of -preset sfx, but for the part of the detector."""
    crystal = nbragg.Crystal(
        cell=LYSOZYME_CELL,
        structure_factors=lysozyme(2.2),
        N_distribution=("uniform", 150, 250),
        shape="gauss",
        illuminated_volume_um3=8,
        mosaic_spread_deg=0.05,
        mosaic_domains=12,
    )
    setup = nbragg.Setup(
        crystal,
        nbragg.Beam(
            spectrum=nbragg.Spectrum.sase(9500, 0.002, seed=1),
            polarization=0.99,
            flux=5e11,
            beamsize_mm=0.003,
        ),
        nbragg.grid(material="Si", thickness_um=320.0, **MODULES),
        nbragg.Sampling(oversample=1),
        backgrounds=[nbragg.Background("water", thickness_mm=0.005)],
        response=nbragg.DetectorResponse.preset("jungfrau"),
    )
    samples = nbragg.Series.random(setup, count, seed=5, lattices=nbragg.Lattices(number=lattices))
    spectra = nbragg.Spectrum.sase_shots(count, 9500, bandwidth=0.002, seed=1)
    changes = [
        {"sample": one.sample, "spectrum": spectrum} for one, spectrum in zip(samples, spectra, strict=True)
    ]
    return nbragg.Series(setup, changes)


def indexed(series: nbragg.Series, folder: Path, *more: str) -> tuple[Any, Any]:
    """What DIALS finds, and the metadata of an image."""
    results = list(nbragg.Simulator(series.setup).render_many(series))
    nbragg.save_series(results, folder / "shots.nxs", save_as="counts", seed=1)
    dials.command("dials.import", "shots.nxs", folder=folder)
    dials.command("dials.find_spots", "imported.expt", "nproc=2", folder=folder)
    cell = ",".join(map(str, LYSOZYME_CELL))
    words = (f"unit_cell={cell}", "space_group=P43212", "joint_indexing=False", "indexing.method=fft1d")
    quick = ("stills.refine_all_candidates=False", "nproc=2")
    dials.command("dials.index", "imported.expt", "strong.refl", *words, *quick, *more, folder=folder)
    return dials.run(READ, folder / "indexed.expt"), results[0].metadata


def off(series: nbragg.Series, image: int, real: Any, metadata: Any) -> float:
    """Angle (deg) from the nearest lattice that is there."""
    frame = imgcif_frame(metadata)
    there = nbragg.build_scene(series[image]).placement.crystals
    return min(_angle(np.array(real), one.unit_cell.vectors @ frame.T) for one in there)


def test_one_crystal_to_a_shot(tmp_path: Path) -> None:
    """The orientation of at least 18 of 20, with the right cell."""
    dials.need()
    series = shots(20, 1)
    found, metadata = indexed(series, tmp_path)
    good = {
        image
        for image, real, cell in zip(found["image"], found["real"], found["cell"], strict=True)
        if off(series, image, real, metadata) < 0.2 and np.allclose(cell, LYSOZYME_CELL, rtol=0.01)
    }
    assert len(good) >= 18


def test_two_crystals_to_a_shot(tmp_path: Path) -> None:
    """Both of ten."""
    dials.need()
    series = shots(10, 2)
    found, metadata = indexed(series, tmp_path, "multiple_lattice_search.max_lattices=2")
    pairs = {
        image: [r for i, r in zip(found["image"], found["real"], strict=True) if i == image]
        for image in range(10)
    }
    for image, reals in pairs.items():
        assert len(reals) == 2, image
        assert max(off(series, image, real, metadata) for real in reals) < 0.2
        assert _angle(np.array(reals[0]), np.array(reals[1])) > 0.5

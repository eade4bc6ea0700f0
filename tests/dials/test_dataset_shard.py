"""A shard of a data set through DIALS: 20 stills of lysozyme; what was simulated is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dials_run as dials
import numpy as np
import pytest
from test_rotation import lysozyme
from test_stills import READ, _angle

import nbragg
from nbragg.dataset.containers.formats import writer
from nbragg.dataset.containers.made import Made
from nbragg.dataset.dataset import Dataset
from nbragg.dataset.recipe import DatasetRecipe
from nbragg.dataset.vary import parse_vary
from nbragg.io.images.metadata import imgcif_frame

h5py = pytest.importorskip("h5py")

pytestmark = [
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
    pytest.mark.timeout(1200),  # twenty stills are indexed, perhaps beside other work
]

COUNT = 20

VARY = {
    "orientation": "uniform",
    "beam.wavelength_A": {"norm": {"loc": 1, "scale": 0.003}, "as": "factor"},
    "beam.fluence": {"lognorm": {"s": 0.2}, "as": "factor"},
    "crystal.cell": {"norm": {"loc": 1, "scale": 0.001}, "as": "factor"},
}

#: the beam of each image, which DIALS 3.12 takes from the first, and the sum of its pixels
BEAMS = """
import h5py, json, sys
import dxtbx.nexus
from dxtbx.model.experiment_list import ExperimentListFactory
from scitbx.array_family import flex
with h5py.File(sys.argv[1]) as file:
    beam = dxtbx.nexus.nxmx.NXmx(file).entries[0].instruments[0].beams[0]
    factory = dxtbx.nexus.CachedWavelengthBeamFactory(beam)
(images,) = ExperimentListFactory.from_filenames([sys.argv[1]]).imagesets()
print(json.dumps([
    [factory.make_beam(i).get_wavelength(), sum(flex.sum(panel) for panel in images.get_raw_data(i))]
    for i in range(len(images))
]))
"""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """Its file, and the first image."""
    dials.need()
    setup = lysozyme(sensor=False)
    still = setup.crystal.replace(osc_deg=None, phisteps=None, misset_deg=None)
    counting = nbragg.DetectorResponse.preset("pilatus")
    setup = setup.replace(crystal=still, response=counting)
    recipe = DatasetRecipe(setup=setup, vary=parse_vary(VARY, Path()), seed=5)
    path = tmp_path_factory.mktemp("shard") / "000000.nxs"
    images = [Dataset(recipe).make(i) for i in range(COUNT)]
    with writer("nxmx", str(path), COUNT) as file:
        for one in images:
            file.add(one)
    return path, images[0]


def test_beam_of_each(shard: tuple[Path, Made]) -> None:
    """dxtbx reads the wavelength of each image, and the pixels that were packed with bitshuffle."""
    beams = dials.run(BEAMS, shard[0])
    with h5py.File(shard[0]) as file:
        wavelengths = file["labels/wavelength_A"][()]
        sums = file["entry/data/data"][()].sum(axis=(1, 2), dtype=np.int64)
    assert np.ptp(wavelengths) > 0.001 and len(beams) == COUNT
    np.testing.assert_allclose([wavelength for wavelength, _ in beams], wavelengths, rtol=1e-12)
    assert [total for _, total in beams] == sums.tolist()


def test_nine_of_ten_are_indexed(shard: tuple[Path, Made], tmp_path: Path) -> None:
    path, first = shard
    told = dials.command("dials.import", path, folder=tmp_path)
    assert f"num images: {COUNT}" in told and "sweep:    0" in told
    dials.command("dials.find_spots", "imported.expt", "nproc=2", folder=tmp_path)
    cell = ",".join(map(str, first.labels["cell"][0].round(1)))
    words = (f"unit_cell={cell}", "space_group=P43212", "joint_indexing=False", "indexing.method=fft1d")
    quick = ("stills.refine_all_candidates=False", "nproc=2")
    dials.command("dials.index", "imported.expt", "strong.refl", *words, *quick, folder=tmp_path)
    found = dials.run(READ, *(tmp_path / name for name in ("indexed.expt", "strong.refl", "indexed.refl")))

    with h5py.File(path) as file:  # what any program finds beside the images
        offsets = file["labels/crystals/offsets"][()]
        axes = file["labels/crystals/A"][()]
        cells = file["labels/crystals/cell"][()]
    assert offsets.tolist() == list(range(COUNT + 1))
    frame = imgcif_frame(first.metadata)
    right = 0
    for image, real in zip(found["image"], found["real"], strict=True):
        wanted: Any = np.linalg.inv(axes[image]) @ frame.T
        lengths = np.sort(np.linalg.norm(np.array(real), axis=1))
        right += bool(
            _angle(np.array(real), wanted) < 0.15
            and np.abs(lengths / np.sort(cells[image][:3]) - 1).max() < 0.01
        )
    assert right >= 0.9 * COUNT

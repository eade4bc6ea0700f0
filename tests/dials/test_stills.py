"""Five stills in random orientations: each format comes in as stills, and DIALS finds every orientation."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import dials_run as dials
import numpy as np
import pytest
from test_rotation import lysozyme

import nbragg
from nbragg.io.images.metadata import imgcif_frame

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

COUNT = 5

READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList
from dials.array_family import flex
strong, indexed = (flex.reflection_table.from_file(name) for name in sys.argv[2:])
images = ExperimentList.from_file(sys.argv[1], check_format=False)
print(json.dumps({
    "strong": len(strong),
    "indexed": len(indexed),
    "real": [[e.crystal.get_real_space_vectors()[i] for i in range(3)] for e in images],
    "image": [e.imageset.indices()[0] for e in images],
}))
"""


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nbragg.Series, Any]:
    dials.need()
    folder = tmp_path_factory.mktemp("stills")
    setup = lysozyme(sensor=False)
    still = setup.crystal.replace(osc_deg=None, phisteps=None, misset_deg=None)
    series = nbragg.Series.random(setup.replace(crystal=still), COUNT, seed=3)
    results = list(nbragg.Simulator(series.setup).render_many(series))
    for name in ("a_####.img", "b_####.cbf", "c.nxs"):
        nbragg.save_series(results, folder / name, save_as="counts", seed=1)
    return folder, series, results[0]


@pytest.mark.parametrize("kind", ["a", "b", "c"])
def test_import(stills: tuple[Path, nbragg.Series, Any], kind: str, tmp_path: Path) -> None:
    files = sorted(stills[0].glob(f"{kind}*"))
    told = dials.command("dials.import", *files, folder=tmp_path)
    assert f"num images: {COUNT}" in told and "sweep:    0" in told


def test_orientations(stills: tuple[Path, nbragg.Series, Any], tmp_path: Path) -> None:
    folder, series, first = stills
    dials.command("dials.import", folder / "c.nxs", folder=tmp_path)
    dials.command("dials.find_spots", "imported.expt", folder=tmp_path)
    cell = ",".join(map(str, series.setup.crystal.cell or ()))
    words = (f"unit_cell={cell}", "space_group=P43212", "joint_indexing=False", "indexing.method=fft1d")
    quick = "stills.refine_all_candidates=False"
    dials.command("dials.index", "imported.expt", "strong.refl", *words, quick, folder=tmp_path)
    found = dials.run(READ, *(tmp_path / name for name in ("indexed.expt", "strong.refl", "indexed.refl")))
    assert found["indexed"] >= 0.995 * found["strong"] > 100 * COUNT
    assert sorted(found["image"]) == list(range(COUNT))
    frame = imgcif_frame(first.metadata)
    for image, real in zip(found["image"], found["real"], strict=True):
        scene = nbragg.build_scene(series[image])
        wanted = scene.placement.crystal.unit_cell.vectors @ frame.T
        # spots shine over 0.15 degree, and one still does not say where in it they are
        assert _angle(np.array(real), wanted) < 0.15


def _angle(found: Any, wanted: Any) -> float:
    """Smallest rotation, degrees, between axes found and true ones, over the rotations of 422."""
    angles = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            change = np.diag(signs)[list(order)]
            if order[2] == 2 and np.linalg.det(change) > 0:
                u, _, v = np.linalg.svd(found.T @ np.linalg.inv((change @ wanted).T))
                angles.append(np.degrees(np.arccos(min((np.trace(u @ v) - 1) / 2, 1.0))))
    return float(min(angles))

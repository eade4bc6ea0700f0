"""Stills that DIALS indexed are refined from there, by ``nbragg refine`` as a user calls it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import dials_run as dials
import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from test_rotation import GROUP, MODEL

import nbragg
from nbragg.cli import tools
from nbragg.io.images.metadata import imgcif_frame

pytestmark = [
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
    pytest.mark.timeout(900),  # DIALS takes some 8 s for each still, and more beside other work
]

Array = NDArray[np.float64]

CELL = gemmi.read_mtz_file(str(MODEL)).cell.parameters
#: what no file of experiments says
WORDS = f"-hkl {MODEL} -Na 12 -Nb 12 -Nc 25 -gauss_xtal -oversample 3 -fluence 1e27 -physics exact"
#: and what it does
PLACE = f"-cell {' '.join(map(str, CELL))} -lambda 1 -polar 0.998 -distance 70 -pixel 0.15 -detpixels 320"
FREE = ("crystal.orientation", "crystal.cell", "beam.fluence")
#: the crystal missed the beam
BLANK = 2
COUNT = 5

#: crystals in the laboratory, and what each belongs to
READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentList
images = ExperimentList.from_file(sys.argv[1], check_format=sys.argv[2] == "True")
print(json.dumps({
    "real": [[e.crystal.get_real_space_vectors()[i] for i in range(3)] for e in images],
    "cell": [e.crystal.get_unit_cell().parameters() for e in images],
    "image": [[e.imageset.get_path(0), e.imageset.indices()[0]] for e in images],
    "counts": [sum(e.imageset.get_raw_data(0)[0].as_1d()) if sys.argv[2] == "True" else 0 for e in images],
}))
"""


class Stills:
    """Five in random orientations, one of them without a crystal, over a photon a pixel of background."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        setup = nbragg.from_cli([*PLACE.split(), *WORDS.split()])
        self.series = nbragg.Series.random(setup, COUNT, seed=3)
        results = list(nbragg.Simulator(setup).render_many(self.series))
        light = [0 if k == BLANK else result.image for k, result in enumerate(results)]
        self.counts = [
            nbragg.Noise().draw(np.full(results[0].image.shape, 1.0) + one, seed=k).astype(np.int32)
            for k, one in enumerate(light)
        ]
        self.frame = imgcif_frame(results[0].metadata)
        scene = results[0].scene
        nbragg.io.save_image(
            folder / "stack.nxs", np.array(self.counts), scene=scene, scale=1.0, dtype="int32"
        )
        for k, image in enumerate(self.counts, 1):
            nbragg.io.save_image(folder / f"still_{k:04d}.cbf", image, scene=scene, scale=1.0)

    def axes(self, k: int) -> Array:
        """Rows a, b, c of an image, in the frame that dxtbx has."""
        vectors = nbragg.build_scene(self.series[k]).placement.crystal.unit_cell.vectors
        return np.asarray(vectors @ self.frame.T)


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    dials.need()
    return Stills(tmp_path_factory.mktemp("stills"))


def index(folder: Path, *images: Path) -> None:
    """As a user does; beam and detector are known."""
    dials.command("dials.import", *images, folder=folder)
    dials.command("dials.find_spots", "imported.expt", folder=folder)
    words = (f"unit_cell={','.join(map(str, CELL))}", f"space_group={GROUP}", "joint_indexing=False")
    held = ("detector.fix=all", "beam.fix=all")
    quick = (
        "indexing.method=fft1d", "stills.refine_all_candidates=False",
        "basis_vector_combinations.max_refine=5", "nproc=2",
    )  # fmt: skip
    dials.command("dials.index", "imported.expt", "strong.refl", *words, *held, *quick, folder=folder)


def refined(out: str) -> list[dict[str, tuple[float, float, float]]]:
    """Start, value and sigma of each parameter in the table of each image."""
    tables: list[dict[str, tuple[float, float, float]]] = []
    for line in out.splitlines():
        if re.match(r"image \d+, .*: chi square", line):
            tables.append({})
        row = line.split()
        if tables and len(row) == 6 and row[0].startswith(("crystal.", "beam.")):
            start, value, _, sigma = map(float, row[2:])
            tables[-1][row[0]] = (start, value, sigma)
    return tables


def turned(found: Array, wanted: Array) -> Array:
    """Rotation vector, degrees, from true axes to those found: the shortest over the rotations of 422."""
    from scipy.spatial.transform import Rotation

    best = np.full(3, np.inf)
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            change = np.diag(signs)[list(order)]
            if order[2] == 2 and np.linalg.det(change) > 0:
                left, _, right = np.linalg.svd(found.T @ np.linalg.inv((change @ wanted).T))
                vector = np.degrees(Rotation.from_matrix(left @ right).as_rotvec())
                if np.linalg.norm(vector) < np.linalg.norm(best):
                    best = vector
    return best


def check(stills: Stills, folder: Path, out: str, which: list[int]) -> None:
    """Orientation and cell of these images agree with the truth, and are much nearer than DIALS was."""
    begun = dials.run(READ, folder / "indexed.expt", False)
    ended = dials.run(READ, folder / "refined.expt", True)
    tables = refined(out)
    assert len(tables) == len(ended["real"]) == len(which)
    assert ended["counts"] == [int(stills.counts[k].sum()) for k in which]  # each with its own image
    ratios = []
    for k, table, real, cell in zip(which, tables, ended["real"], ended["cell"], strict=True):
        wanted = stills.axes(k)
        sigma = np.array([table[f"crystal.rotation_deg[{i}]"][2] for i in range(3)])
        off = turned(np.array(real), wanted)
        before = min((turned(np.array(one), wanted) for one in begun["real"]), key=np.linalg.norm)
        # the frame of dxtbx has its axes along those of the laboratory, in another order
        off_there, before_there = stills.frame.T @ off, stills.frame.T @ before
        assert (np.abs(off_there) < 5 * sigma).all(), (k, off_there, sigma)
        ratios.append(np.linalg.norm(before_there) / np.linalg.norm(off_there))
        for name, true, its in (("a=b", CELL[0], cell[0]), ("c", CELL[2], cell[2])):
            _, value, error = table[f"crystal.cell.{name}"]
            assert abs(value - true) < 5 * error < 0.01, (k, name, value, error)
            assert its == pytest.approx(value, abs=error)
        _, value, error = table["beam.fluence"]
        assert abs(value - 1e27) < 5 * error
        print(
            f"image {k + 1}: DIALS {np.linalg.norm(before):.4f} deg, refined {np.linalg.norm(off):.5f} deg; "
            f"c {table['crystal.cell.c'][0]:.4f} -> {table['crystal.cell.c'][1]:.4f} A"
        )
    assert np.median(ratios) > 20
    (chi_square,) = [float(line.split()[1]) for line in out.splitlines() if line.startswith("chi_square")]
    assert chi_square == pytest.approx(1, abs=0.02)
    assert "Crystal" in dials.command("dials.show", "refined.expt", folder=folder)


def test_a_stack(stills: Stills, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames belong to experiments by their numbers: DIALS has none of the frame without a crystal."""
    file = stills.folder / "stack.nxs"
    index(tmp_path, file)
    words = ["refine", str(file), "--start", str(tmp_path / "indexed.expt"), "--free", *FREE]
    assert tools.main([*words, "--out-expt", str(tmp_path / "refined.expt"), "--", *WORDS.split()]) == 0
    out = capsys.readouterr().out
    assert f"{file}:{BLANK + 1}: left out, {tmp_path / 'indexed.expt'} has no experiment of it" in out
    check(stills, tmp_path, out, [k for k in range(COUNT) if k != BLANK])


def test_single_files(stills: Stills, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In another order than DIALS has them."""
    files = [stills.folder / f"still_{k:04d}.cbf" for k in (4, 1)]
    index(tmp_path, *sorted(files))
    words = ["refine", *map(str, files), "--start", str(tmp_path / "indexed.expt"), "--free", *FREE]
    assert tools.main([*words, "--out-expt", str(tmp_path / "refined.expt"), "--", *WORDS.split()]) == 0
    check(stills, tmp_path, capsys.readouterr().out, [3, 0])

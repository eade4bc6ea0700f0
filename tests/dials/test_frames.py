"""Frames as a beamline writes them, with solvent, module gaps and a beam stop, through DIALS."""

from __future__ import annotations

from pathlib import Path

import dials_run as dials
import pytest
from test_rotation import GROUP, lysozyme

import nbragg

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

FRAMES = 40
#: beam stop and arm, whose edges a spot finder takes for spots: around the middle, and along fast from it
SHADOW = (  # x, y, radius; x from and to, y from and to
    "untrusted.circle=250,310,45",
    "untrusted.rectangle=250,500,297,323",
)

COUNT = """
import json, sys
from dials.array_family import flex
strong, indexed = (flex.reflection_table.from_file(name) for name in sys.argv[1:3])
print(json.dumps([len(strong), int(indexed.get_flags(indexed.flags.indexed).count(True))]))
"""


def frame() -> nbragg.Setup:
    """The crystal of the rotation test in 0.1 mm of solvent and an air path, on 2 x 3 modules."""
    setup = lysozyme(sensor=True)
    detector = nbragg.grid(
        modules=(2, 3), module=(246, 195), gap=(8, 17), pixel_mm=0.172, distance_mm=120.0, material="Si",
        thickness_um=1000.0,
    )  # fmt: skip
    return setup.replace(
        detector=detector,
        water_um=0,
        flux=3e10,  # and as many of the crystal's blocks, for as much light in the spots
        illuminated_volume_um3=86000,
        backgrounds=(
            nbragg.Background("water", thickness_mm=0.1),
            nbragg.Background("air", path_mm=(-5, 20)),
        ),
        surroundings=nbragg.Surroundings(
            gas="air", beamstops=[nbragg.Beamstop(distance_mm=20, diameter_mm=1.0, arm_width_mm=0.3)]
        ),
        response=nbragg.DetectorResponse.preset("pilatus"),
    )


def test_strong_spots_are_indexed(tmp_path: Path) -> None:
    dials.need()
    setup = frame()
    results = nbragg.Simulator(setup).render_many(nbragg.Series.frames(setup, FRAMES))
    nbragg.save_series(results, tmp_path / "frame_####.cbf", save_as="counts", seed=1)
    for words in (
        ("dials.import", *(str(path) for path in sorted(tmp_path.glob("*.cbf")))),
        ("dials.generate_mask", "imported.expt", *SHADOW),
        ("dials.find_spots", "imported.expt", "lookup.mask=pixels.mask", "nproc=2"),
        ("dials.index", "imported.expt", "strong.refl", f"space_group={GROUP}"),
    ):
        dials.command(*words, folder=tmp_path)
    strong, indexed = dials.run(COUNT, tmp_path / "strong.refl", tmp_path / "indexed.refl")
    assert strong > 1000 and indexed >= 0.95 * strong

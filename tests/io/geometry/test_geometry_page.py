"""The examples of docs/geometry.md run, one after the other, on files as they stand at beamlines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from geometry_files import crystal_of, expt_of, geom_text

import nbragg
from nbragg.io.geometry.formats import FORMATS

PAGE = Path(__file__).parents[3] / "docs" / "geometry.md"


@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_examples_run(folder: Path) -> None:
    (folder / "detector.geom").write_text(geom_text("", "corner_x=8|coffset=0.001"))
    (folder / "lcls.geom").write_text(geom_text(top="clen = /LCLS/clen\nphoton_energy = /LCLS/eV"))
    geometry = nbragg.read_geometry("detector.geom").replace(polarization=0.98, spindle_axis=(0, 1, 0))
    scan = {"image_range": [1, 4], "oscillation": [0, 0.5]}
    crystal = crystal_of(np.diag([1 / 79, 1 / 79, 1 / 38]))
    (folder / "refined.expt").write_text(json.dumps(expt_of(geometry, crystal=[crystal], scan=[scan])))
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    series = names["series"]
    assert isinstance(series, nbragg.Series) and len(series) == 4
    assert len(nbragg.read_geometry("simulated.geom").panels) == 2


def test_every_suffix_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("expt", "geom"):
        assert all(f"`{suffix}`" in text for suffix in FORMATS[name].suffixes)
    assert "-geometry" in text and "-expt" in text

"""The golden set on every instruction set of this machine, and in mixed precision."""

from __future__ import annotations

from pathlib import Path

import golden_cases as g
import numpy as np
import pytest

import nbragg
from nbragg import _engine, render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

#: the widest level is what every other test runs on
NARROWER = [name for name, usable in _engine.isa_levels() if usable and name != _engine.best_isa()]
#: mixed precision may differ by this fraction of the maximum
MIXED = 2e-6


@pytest.mark.parametrize("case_id", g.IDS)
def test_case(case_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AT-PARALLEL-013: tight on each level, one and two threads alike to the bit; mixed keeps 2e-6."""
    g.prepare(case_id, folder)
    reference = g.reference(case_id)["image"]
    line = g.command_line(g.arguments(case_id))
    scene = nbragg.build_scene(line.setup)
    for level in [*NARROWER, _engine.best_isa()]:
        monkeypatch.setenv("NBRAGG_ISA", level)
        if level in NARROWER:
            image = render(scene, threads=1).image
            g.assert_matches(image, reference)
            assert np.array_equal(render(scene, threads=2).image, image)
        mixed = render(scene, precision="mixed", threads=1).image
        deviation = np.abs(mixed.astype(np.float64) - reference).max() / reference.max()
        assert deviation <= MIXED, f"mixed on {level}: {deviation:.2e} of the maximum"
        assert np.array_equal(render(scene, precision="mixed", threads=2).image, mixed)

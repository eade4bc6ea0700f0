"""Stages: when a result is used again, and what of a Scene its derivatives make again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, Setup, Simulator, StructureFactors
from nbragg.base.errors import InputError
from nbragg.base.vectors import FloatArray
from nbragg.inverse.linearization import Linearization
from nbragg.scene import build, crystal_blocks, detector_geometry
from nbragg.scene.parameters import expand, tangents
from nbragg.scene.stages import Stages

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

SETUP = Setup(
    Crystal(
        cell=(60, 60, 40, 90, 90, 90),
        N=5,
        shape="gauss",
        structure_factors=StructureFactors(np.ones((9, 9, 9)), (-4, -4, -4)),
    ),
    Beam(wavelength_A=1.2, fluence=1e26),
    Detector(distance_mm=90, Xbeam_mm=1, Ybeam_mm=2, fpixels=24, spixels=20),
    Sampling(oversample=1),
)
COUNTED = {
    "detector_places": build,
    "placed_panels": build,
    "beam_sources": build,
    "phi_rotations": build,
    "make_crystal": build,
    "make_domains": crystal_blocks,
    "structure_factor_reach": crystal_blocks,
    "initial_frame": detector_geometry,
}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each stage has run."""
    found: Counter[str] = Counter()
    for name, module in COUNTED.items():
        original = getattr(module, name)

        def counted(*arguments: Any, _name: str = name, _call: Any = original) -> Any:
            found[_name] += 1
            return _call(*arguments)

        monkeypatch.setattr(module, name, counted)
    return found


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("crystal.rotation_deg[1]", {"make_crystal"}),
        ("crystal.cell.c", {"make_crystal"}),
        ("crystal.N[0]", {"make_crystal"}),
        ("detector.distance_mm", {"detector_places", "placed_panels"}),
        ("detector.roty_deg", {"detector_places", "placed_panels"}),
        ("detector.pixel_mm", {"detector_places", "placed_panels"}),
        ("beam.fluence", set()),
        ("beam.polarization", set()),
        ("beam.wavelength_A", {"beam_sources"}),
    ],
)
def test_a_tangent_makes_what_moves(ran: Counter[str], name: str, again: set[str]) -> None:
    """Beside the Scene that is there; sources move no panel, a fluence nothing that takes time."""
    simulator = Simulator(SETUP)
    ran.clear()
    linear = simulator.linearize([name])
    assert linear.jacobian().any()
    assert ran == Counter(again)


def test_a_move_makes_what_moves(ran: Counter[str]) -> None:
    simulator = Simulator(SETUP)
    ran.clear()
    simulator = simulator.moved(["beam.fluence", "detector.distance_mm"], [2e26, 91])
    assert ran == Counter(["detector_places", "placed_panels"])
    simulator.moved(["crystal.rotation_deg[0]"], [0.1])
    assert ran == Counter(["detector_places", "placed_panels", "make_crystal"])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_at_its_end_has_no_derivative(share: float) -> None:
    twin = Simulator(SETUP.replace(twin=(("k,h,-l", share),)))
    with pytest.raises(InputError, match="share of exactly 0, or of all, has no derivative"):
        twin.linearize(["crystal.twin[0]"]).jacobian()


def test_stages_at_hand_change_no_bit() -> None:
    """Those of the Scene, and of another one that they have gone on to."""
    simulator = Simulator(SETUP)
    names = ["crystal.rotation_deg", "crystal.cell", "beam.fluence", "beam.wavelength_A", "detector.roty_deg"]
    linear = simulator.linearize(names)
    simulator.moved(names, linear.values * 1.001 + 1e-3)
    late = simulator.linearize(names)
    parameters = expand(names, SETUP)
    alone = Linearization(SETUP, simulator.scene, simulator.options, names)
    for found in (linear, late):
        assert repr(found._tangents) == repr(tangents(SETUP, parameters))
        assert np.array_equal(found.jacobian(), alone.jacobian())


def read_only(*values: complex) -> FloatArray:
    array: FloatArray = np.array(values)
    array.setflags(write=False)
    return array


def test_what_is_the_same_input() -> None:
    calls: list[Any] = []

    def stage(given: Any, run: Stages) -> int:
        calls.append(given)
        return len(calls)

    def twice(one: Any, other: Any) -> bool:
        run = Stages()
        first = run(stage, one, run)
        later = Stages(run)  # who runs it is no input
        return later(stage, other, later) == first

    assert twice(read_only(1, 2), read_only(1, 2))
    assert twice((1.0, read_only(1, 2)), (1.0, read_only(1, 2)))
    assert not twice(read_only(1, 2), read_only(1, 3))
    assert not twice(read_only(0.0, 2), read_only(-0.0, 2))
    assert not twice(read_only(1, 2), read_only(1 + 0j, 2))
    assert not twice(read_only(1, 2), read_only(1, 2).reshape(2, 1))
    assert not twice(np.array([1.0, 2]), np.array([1.0, 2]))  # somebody may write to them
    many = read_only(*range(10))
    assert twice(many, many) and not twice(many, read_only(*range(10)))
    assert not twice(SETUP, SETUP.replace())


def test_explicit_panels_share_their_directions() -> None:
    axes: dict[str, Any] = {"fast": (0, 0, 1), "slow": (0, -1, 0), "pixel_mm": 0.2}
    one = nbragg.Panel(origin_mm=(90, -1, -1), fpixels=5, spixels=4, **axes)
    simulator = Simulator(SETUP.replace(detector=Detector(panels=[one, one.replace(origin_mm=(90, 2, 2))])))
    scene = simulator.moved(["detector.shift_mm[0]"], [1.0]).scene
    assert scene.sources is simulator.scene.sources
    first, second = scene.placement.panels
    assert first.vert_vector is second.vert_vector is simulator.scene.placement.panels[0].vert_vector
    assert first.fdet is simulator.scene.placement.panels[0].fdet
    simulator = Simulator(simulator.setup)
    other = simulator.moved(["detector.panels[1].origin_mm[0]"], [95]).scene.placement.panels
    assert other[0] is simulator.scene.placement.panels[0]
    assert other[1].pix0[0] == pytest.approx(0.095)


def test_a_mask_is_copied_once() -> None:
    given = np.ones((20, 24), np.uint8)
    given[3, 4] = 7
    simulator = Simulator(SETUP.replace(mask=given))
    mask = simulator.setup.detector.mask
    given[:] = 0
    assert mask is not None and mask.all() and mask.max() == 1
    assert simulator.moved(["detector.distance_mm"], [91]).setup.detector.mask is mask
    given[:] = 7
    given.setflags(write=False)
    other = simulator.replace(mask=given).setup.detector.mask
    assert other is not None and other.min() == other.max() == 1

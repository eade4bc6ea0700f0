"""Series: an image's Setup by its number, in any process, and the same as one after the other."""

from __future__ import annotations

import pickle
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, InputError, Sampling, Series, Setup, Simulator, StructureFactors

CRYSTAL = Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=StructureFactors.constant(100))
SETUP = Setup(CRYSTAL, Beam(), Detector(fpixels=24, spixels=20), Sampling(oversample=1))


def one_image(series: Series, i: int) -> Any:
    return nbragg.simulate(series[i], threads=1).image


@pytest.mark.parametrize(
    "series",
    [
        Series.frames(SETUP.replace(osc_deg=0.5, phi_deg=10), 4),
        Series.random(SETUP, 4, seed=7),
        Series(SETUP, phi=[(0, 1), (5, 2)], beams=[Beam(wavelength_A=x) for x in (1.0, 1.2)]),
        Series(SETUP, [{"distance_mm": 80}, CRYSTAL.replace(N=3), {}]),
    ],
)
def test_alone_in_another_process_and_in_order(series: Series) -> None:
    images = [result.image for result in Simulator(series.setup).render_many(series)]
    assert len(images) == len(series)
    assert [series[i] for i in range(len(series))] == list(series)
    with get_context("spawn").Pool(1) as pool:
        alone = pool.starmap(one_image, [(series, i) for i in (len(series) - 1, 0)])
    assert np.array_equal(alone[0], images[-1]) and np.array_equal(alone[1], images[0])
    again = pickle.loads(pickle.dumps(series))
    assert again[-1] == series[len(series) - 1]


def test_frames_follow_each_other() -> None:
    series = Series.frames(SETUP.replace(osc_deg=0.5, phi_deg=10), 3)
    assert [setup.crystal.phi_deg for setup in series] == [10, 10.5, 11]
    wide = Series.frames(SETUP.replace(phistep_deg=0.25), 2)  # canonical 6: a step alone is the range
    assert wide[1].crystal.phi_deg == pytest.approx(0.25)
    with pytest.raises(InputError, match="osc_deg"):
        Series.frames(SETUP, 3)


def test_random_ones_are_those_of_random_orientations() -> None:
    turns = nbragg.random_orientations(9, seed=3)
    series = Series.random(SETUP, 10**6, seed=3)
    for i in (0, 4, 8):
        assert np.array_equal(series[i].crystal.orientation, turns[i])
    assert np.array_equal(nbragg.random_orientations(4, 3, first=5), turns[5:])
    assert len(pickle.dumps(series)) < 5000  # a million images, by a seed
    last = series[999_999].crystal.orientation
    assert last is not None and np.allclose(last @ last.T, np.eye(3))
    for beyond in (10**6, -(10**6) - 1):
        with pytest.raises(IndexError):
            _ = series[beyond]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "nothing to render"),
        ({"phi": iter([1.0])}, "can be indexed"),
        ({"phi": [1.0], "beams": [Beam()] * 2}, "phi 1, beams 2"),
        ({"phi": 3.0}, "series"),
    ],
)
def test_bad_series(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Series(SETUP, **arguments)
    with pytest.raises(InputError, match="made of a Setup"):
        Series(CRYSTAL, phi=[1.0])


def test_faces_of_one_series() -> None:
    """render_many, simulate_batch and a Series give the same images."""
    phi = [0.0, 5.0, 10.0]
    expected = [result.image for result in Simulator(SETUP).render_many(Series(SETUP, phi=phi))]
    batch = nbragg.simulate_batch(SETUP, phi=phi)
    many = Simulator(SETUP).render_many(phi=iter(phi))
    for image, one, two in zip(expected, batch, many, strict=True):
        assert np.array_equal(image, one.image) and np.array_equal(image, two.image)


def test_stages_run_again_only_when_their_inputs_change(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbragg.scene import build, crystal_blocks

    ran: list[str] = []
    for name in ("detector_places", "placed_panels", "beam_sources", "make_domains"):
        module = crystal_blocks if name == "make_domains" else build
        original = getattr(module, name)

        def counted(*arguments: Any, _name: str = name, _call: Any = original, **named: Any) -> Any:
            ran.append(_name)
            return _call(*arguments, **named)

        monkeypatch.setattr(module, name, counted)
    results = list(Simulator(SETUP).render_many(Series.random(SETUP, 5, seed=1)))
    assert sorted(ran) == ["beam_sources", "detector_places", "make_domains", "placed_panels"]
    assert len({id(result.scene.panels) for result in results}) == 1

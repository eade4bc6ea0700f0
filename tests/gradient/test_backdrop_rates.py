"""Rates of the images behind the spots, by complex numbers in C, against a slow renderer of such Scenes."""

from __future__ import annotations

import dataclasses
from typing import Any

import backdrop_oracle
import numpy as np
import oracle
import pytest
from backdrop_parts import BODIES, backdrop, rescaled, setup, stepped
from scene_parts import cut

import nbragg
from nbragg import _engine
from nbragg.engine.backdrop_slope import backdrop_rates, backdrop_values
from nbragg.engine.options import RenderOptions
from nbragg.scene.record import Scene
from nbragg.scene.tangent import SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

STEP = 1e-60
#: the engine's polynomial for the angle in a ball is exact to 7e-12, its slope to less
TOLERANCE = 1e-9


def scene(body: str | None = None, **detector: Any) -> Scene:
    made: Scene = nbragg.build_scene(setup(backgrounds=(), surroundings=None, **detector))
    return dataclasses.replace(made, backdrop=backdrop(made, body))


def images(given: Any, moving: Any, threads: int = 1) -> tuple[list[Any], list[Any]]:
    """Values and rates of background, fixed, transmission."""
    rates, values = ([np.zeros(given.image_shape) for _ in range(3)] for _ in range(2))
    engine = _engine.EngineScene(given)
    job = _engine.BackdropSlopesJob(engine, moving, STEP, threads, rates, values)
    assert job.run() == "ok" and job.progress == 1.0
    return values, rates


def moving_scene(given: Any, seed: int = 5) -> Any:
    """Everything that lies behind the spots moves at once, each number at a rate of its own."""
    rng = np.random.default_rng(seed)
    kept = {
        name: getattr(given, name)
        for name in ("panels", "sources", "polarization", "polar_vector", "backdrop")
    }
    return dataclasses.replace(given, **{name: stepped(part, rng, STEP) for name, part in kept.items()})


def agree(given: Any, moving: Any) -> None:
    values, rates = images(given, moving)
    expected = backdrop_oracle.images(rescaled_scene(moving))
    for value, rate, both in zip(values, rates, expected, strict=True):
        value_there, rate_there = both.real.astype(float), (both.imag / oracle.REAL("1e-200")).astype(float)
        assert np.abs(value - value_there).max() <= 2e-12 * np.abs(value_there).max()
        assert np.abs(rate_there).max() > 0
        assert np.abs(rate - rate_there).max() <= TOLERANCE * np.abs(rate_there).max()


def rescaled_scene(moving: Any) -> Any:
    names = ("panels", "sources", "polarization", "polar_vector", "backdrop")
    parts = {name: rescaled(getattr(moving, name), STEP, oracle.REAL("1e-200")) for name in names}
    return dataclasses.replace(moving, **parts)


@pytest.mark.parametrize("body", [None, *BODIES])
def test_everything_moves(body: str | None) -> None:
    given = scene(body)
    agree(given, moving_scene(given))


@pytest.mark.parametrize("how", [{"curved": True}, {"point_pixel": True}])
def test_other_detectors(how: dict[str, Any]) -> None:
    given = scene("slab", **how)
    agree(given, moving_scene(given))


def test_panels_masks_and_regions() -> None:
    """What is not rendered stays 0, and each panel has its own sheets."""
    whole = nbragg.build_scene(setup(backgrounds=(), surroundings=None, roi=(1, 10, 2, 7)))
    mask = np.ones((9, 12), np.uint8)
    mask[3, 4:7] = 0
    masked = dataclasses.replace(whole, panels=(dataclasses.replace(whole.panel, mask=mask),))
    several = cut(masked, [5], [4])
    given = dataclasses.replace(several, backdrop=backdrop(several, None))
    agree(given, moving_scene(given))


def test_no_bit_depends_on_the_number_of_threads() -> None:
    given = scene("ball")
    moving = moving_scene(given)
    first = images(given, moving, 1)
    for threads in (2, 7):
        for mine, its in zip(first, images(given, moving, threads), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


def test_an_unpolarized_beam_and_a_factor_of_zero() -> None:
    """By the Kahn factor at 0, where the renderer's formula is a shorter one."""
    given = scene()
    agree(
        *(
            dataclasses.replace(each, polarization=kahn)
            for each, kahn in ((given, 0.0), (moving_scene(given), 1j * STEP))
        )
    )
    bare = dataclasses.replace(given, nopolar=True)
    agree(bare, moving_scene(bare))


def test_amounts_alone_take_the_renderer() -> None:
    """Images are linear in amounts: their rates are images of the rates."""
    given = scene("slab")
    assert given.backdrop is not None
    rng = np.random.default_rng(2)
    scattering = tuple(
        dataclasses.replace(one, amounts=stepped(one.amounts, rng, STEP)) for one in given.backdrop.scatterers
    )
    moving = dataclasses.replace(given, backdrop=dataclasses.replace(given.backdrop, scatterers=scattering))
    found = backdrop_rates(given, SceneTangent(backdrop=moving.backdrop), RenderOptions(threads=1))
    _, expected = images(given, moving)
    for mine, its in zip(found, expected, strict=True):
        assert np.abs(mine - its).max() <= 1e-13 * np.abs(its).max()
    assert not found.transmission.any()


def test_values_are_the_renderers() -> None:
    given = scene("ball")
    values, _ = images(given, given)
    for mine, its in zip(backdrop_values(given, RenderOptions(threads=1)), values, strict=True):
        assert np.abs(mine - its).max() <= 1e-13 * np.abs(its).max()


def test_structs_refuse_other_shapes() -> None:
    given = scene("ball")
    assert given.backdrop is not None and given.backdrop.obstacles is not None
    fewer = dataclasses.replace(given.backdrop.obstacles, sources=1)
    wrong = dataclasses.replace(given, backdrop=dataclasses.replace(given.backdrop, obstacles=fewer))
    with pytest.raises(ValueError, match="obstacles of 1 panels and 1 sources"):
        images(given, wrong)
    with pytest.raises(ValueError, match="108 contiguous numbers"):
        _engine.BackdropSlopesJob(_engine.EngineScene(given), given, STEP, 1, [np.zeros(3), None, None])

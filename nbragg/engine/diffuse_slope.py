"""How diffuse scattering, and what displaced atoms take from the spots, move along a tangent."""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import _engine
from ..base.numbers import STEP, along, read_only
from ..base.vectors import FloatArray
from ..scene.diffuse import Motion
from ..scene.diffuse_tail import shell_means
from ..scene.record import FactorTable, Scene
from ..scene.tangent import SceneTangent, TableTangent
from .backdrop_slope import moved_scene, moves_rays
from .cpu import render_diffuse, render_double, run_job, thread_count
from .options import RenderOptions

__all__ = ["diffuse_rate", "diffuse_value", "displacement_rate", "moves_diffuse", "moves_displacement"]


def diffuse_value(scene: Scene, options: RenderOptions) -> FloatArray:
    """Diffuse scattering, photons at a fluence of 1 photon/m^2, of the scene's ``image_shape``."""
    return render_diffuse(scene, options.threads).reshape(scene.image_shape)


def moves_diffuse(scene: Scene, tangent: SceneTangent) -> bool:
    """Whether a tangent moves the diffuse scattering of a scene that has some."""
    if scene.diffuse is None:
        return False
    return tangent.diffuse is not None or moves_rays(tangent) or any(tangent.tables)


def diffuse_rate(scene: Scene, tangent: SceneTangent, options: RenderOptions) -> FloatArray:
    """Derivative of `diffuse_value` along a tangent; 0 where nothing is rendered.

    By complex numbers: on the CPU, in double precision.
    """
    rate = np.zeros(scene.image_shape)
    tables = tangent.tables or (None,) * len(scene.tables)
    moved = tuple(map(_moved_table, scene.tables, tables))
    diffuse = scene.diffuse if tangent.diffuse is None else tangent.diffuse
    assert diffuse is not None
    if any(tables):
        diffuse = dataclasses.replace(
            diffuse, motions=tuple(_with_shells(motion, moved) for motion in diffuse.motions)
        )
    moving = dataclasses.replace(moved_scene(scene, tangent), tables=moved, diffuse=diffuse)
    job = _engine.DiffuseSlopesJob(
        _engine.EngineScene(scene), moving, STEP, thread_count(options), rate.reshape(-1)
    )
    run_job(job)
    return rate


def _moved_table(table: FactorTable, tangent: TableTangent | None) -> FactorTable:
    """With value + i h rate; default_F moves only where there is no list, as in diffuse scattering."""
    if tangent is None:
        return table
    if table.values is None:
        return dataclasses.replace(table, default_F=along(table.default_F, tangent.default_F))
    rate = np.zeros(table.values.shape) if tangent.values is None else np.array(tangent.values)
    for index, value in (tangent.entries or {}).items():
        rate[tuple(i - o for i, o in zip(index, table.origin, strict=True))] += value
    return dataclasses.replace(table, values=along(table.values, rate))


def _with_shells(motion: Motion, tables: tuple[FactorTable, ...]) -> Motion:
    """With the means over shells of tables that move."""
    tail = motion.tail
    if tail is None or not tail.shells.size:
        return motion
    first, (number, count) = motion.table, tail.shells.shape
    shells = [
        shell_means(table, tail.metric, tail.per_shell, count) for table in tables[first : first + number]
    ]
    return dataclasses.replace(motion, tail=dataclasses.replace(tail, shells=read_only(shells)))


def moves_displacement(tangent: SceneTangent) -> bool:
    """Whether a tangent moves V, beyond what moves the indices."""
    return any(one is not None and one.displacement is not None for one in tangent.crystals)


def displacement_rate(scene: Scene, tangent: SceneTangent, options: RenderOptions) -> FloatArray:
    """What the spots lose as V moves, photons, of the scene's ``image_shape``: those of -F^2 L^2 exp(-V) dV.

    dV is a form of the indices, which is split into two without negative values; each is rendered.
    """
    total = np.zeros(scene.image_shape)
    for sign in (1.0, -1.0):
        blocks, any_moves = [], False
        for block, moving in zip(scene.crystals, tangent.crystals, strict=True):
            rate = np.zeros((3, 3))
            if moving is not None and moving.displacement is not None:
                values, axes = np.linalg.eigh(sign * (moving.displacement + moving.displacement.T) / 2)
                rate = (axes * np.maximum(values, 0)) @ axes.T
                any_moves = any_moves or bool(rate.any())
            still = block.displacement if block.displacement is not None else read_only(np.zeros((3, 3)))
            blocks.append(
                dataclasses.replace(
                    block, displacement=still, displacement_rate=read_only((rate + rate.T) / 2)
                )
            )
        if any_moves:
            bare = dataclasses.replace(scene, crystals=tuple(blocks), backdrop=None, diffuse=None, water=0.0)
            total -= sign * render_double(bare, options.threads, "double")
    return total

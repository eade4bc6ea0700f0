"""Crystals as a renderer reads them: blocks, tables, and what reports say of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..base import memory, numbers
from ..base import validate as check
from ..base.unit_cell import Cell, UnitCell
from ..base.vectors import FloatArray
from ..model.crystal import Crystal
from ..model.physics import Physics
from ..model.structure_factors import StructureFactors
from .checks import check_indices, interpolation, warn_of_left_hand
from .crystal_cell import misset, placed_cell, shape_integral, shape_metric, standing_rotation, unturned_cell
from .crystal_size import (
    Sizes,
    block_count,
    block_edges,
    cells_along_axes,
    clip_to_beam,
    crystal_volume,
    effective_cells,
)
from .mosaicity import Domains, Mosaicity, domain_count, make_domains
from .orientations import crystal_orientations
from .placement import CrystalPlacement
from .reach import structure_factor_reach
from .record import CrystalBlock, FactorTable
from .stages import Stages

if TYPE_CHECKING:
    from .diffuse import Motion

__all__ = ["CrystalSetting", "MadeCrystal", "factor_tables", "make_crystal"]


class MadeCrystal(NamedTuple):
    """Of one crystal: for each individual of its twin a block, what reports say, and how its atoms move."""

    blocks: list[CrystalBlock]
    tables: tuple[FactorTable, ...]
    reports: list[CrystalPlacement]
    motions: list[Motion]


class CrystalSetting(NamedTuple):
    """What the crystals of a sample depend on beside themselves."""

    beamsize_mm: float
    interpolate: bool | None
    bragg: bool
    diffuse_mosaic: bool
    physics: Physics
    shortest: float  #: wavelength, m
    turns: FloatArray  #: (np, 3, 3), of the spindle
    nodes: tuple[float, ...]  #: energies (eV) of the tables of structure factors; empty: one table


def make_crystal(
    crystal: Crystal, i: int, fraction: float, about: CrystalSetting, run: Stages
) -> MadeCrystal:
    """The i-th crystal of the sample.

    Parameters
    ----------
    crystal : Crystal
    i : int
    fraction : float
        Of the sample.
    about : CrystalSetting
    run : Stages
    """
    physics = about.physics
    size_mm = run(clip_to_beam, crystal.size_mm, about.beamsize_mm, part=i)
    turned, standing = run(_standing, crystal, physics, part=i)
    factors = crystal.structure_factors
    sizes = _sizes(crystal, i, standing)
    edges = block_edges(size_mm, crystal.block_size_mm)
    cells = cells_along_axes(crystal.N, edges, standing) if sizes is None else sizes.mean(axis=0)
    lookup = (
        factors,
        about.interpolate,
        tuple(cells.tolist()),
        crystal.cell,
        crystal.a_matrix,
        physics,
        about.nodes,
    )
    mosaicity = Mosaicity.of(crystal)
    all_domains = run(make_domains, mosaicity, standing if mosaicity.standing else None, physics, part=i)
    parts = [(all_domains, cells, 1.0)]
    if crystal.N_domains and sizes is not None:
        parts = list(_sized(all_domains, sizes))
    individuals = _individuals(crystal, standing, run, i)
    tables = run(factor_tables, *lookup, part=i)
    stretch = _stretch(standing, [cell for cell, _ in individuals], all_domains)
    if stretch > 1.0:
        tables = run(_reaching, tables, stretch, part=i)
    made = MadeCrystal([], tables, [], [])
    first = i * len(tables)  # every crystal has as many
    for number, (cell, share) in enumerate(individuals):
        check_indices(cell, about.shortest, all_domains.strains)
        for domains, along, part in parts if share != 0.0 else ():
            count = _count(crystal, size_mm, standing, along, cell)
            own = domains, along, share * part
            made.blocks.append(_block(crystal, fraction, count, cell, about, *own, first))
            made.reports.append(
                CrystalPlacement(
                    number=i,
                    individual=number,
                    shape=crystal.shape,
                    unit_cell=cell,
                    misset=turned,
                    mosaic_spread=all_domains.spread,
                    mosaic_domains=len(domains.rotations),
                    mosaic_rotations=domains.rotations,
                    mosaic_turning=domains.turning,
                    strained=domains.strains is not None,
                    size_m=numbers.read_only(along * np.array(cell.edges) * 1e-10),
                    blocks=count,
                    n_listed=factors.n_listed or 0,
                )
            )
    if crystal.diffuse is None and about.bragg:
        return made
    return _with_motions(crystal, made, about)


def _with_motions(crystal: Crystal, made: MadeCrystal, about: CrystalSetting) -> MadeCrystal:
    """A crystal whose atoms move, or whose Bragg scattering is left out."""
    blocks, motions = made.blocks, []
    if crystal.diffuse is not None:
        from .diffuse import crystal_motion, mean_displacement

        turns = None if about.diffuse_mosaic else about.turns
        cells = [report.unit_cell for report in made.reports]
        motions = [
            crystal_motion(crystal, cell, block, made.tables, turns)
            for cell, block in zip(cells, blocks, strict=True)
        ]
        blocks = [
            dataclasses.replace(block, displacement=mean_displacement(crystal.diffuse, cell))
            for cell, block in zip(cells, blocks, strict=True)
        ]
    tables = made.tables
    if not about.bragg:
        blocks = [dataclasses.replace(block, weight=0.0 * block.weight) for block in blocks]
        # and nothing of it is rendered
        tables = tuple(dataclasses.replace(table, reach=0.0) for table in tables)
    return MadeCrystal(blocks, tables, made.reports, [motion for motion in motions if motion is not None])


def _count(crystal: Crystal, size_mm: Sizes, standing: UnitCell, along: FloatArray, cell: UnitCell) -> float:
    """How many blocks of so many cells scatter independently of each other."""
    if crystal.blocks is not None:
        return crystal.blocks
    volume = crystal.illuminated_volume_um3
    if any(crystal.block_size_mm):
        volume = crystal_volume(size_mm, standing)
    return block_count(volume, effective_cells(along, crystal.Ndef), cell)


def _sizes(crystal: Crystal, i: int, cell: UnitCell) -> FloatArray | None:
    """Cells along the axes of the crystal, or of each domain, where they are drawn (beyond 17.3)."""
    if crystal.N_distribution is None:
        return None
    from .sizes import drawn_cells

    count = domain_count(crystal) if crystal.N_domains else 1
    return drawn_cells(crystal, cell.edges, i * count, count)


def _sized(domains: Domains, sizes: FloatArray) -> Iterator[tuple[Domains, FloatArray, float]]:
    """Each domain with its cells and its share, which is its volume's."""
    volumes = np.prod(sizes, axis=1)
    count = len(volumes)
    given = np.ones(count) if domains.weights is None else domains.weights
    for m in range(count):
        own = slice(m, m + 1)
        strains = None if domains.strains is None else domains.strains[own]
        one = domains._replace(rotations=domains.rotations[own], strains=strains, weights=None)
        yield one, sizes[m], numbers.scalar(given[m] * volumes[m] / volumes.mean() / count / domains.divisor)


def _stretch(standing: UnitCell, cells: list[UnitCell], domains: Domains) -> float:
    """How much longer than of the crystal itself a reflection's q may be: of twins and strained domains."""
    longest = 1.0
    for cell in cells[1:]:
        change = cell.reciprocal_vectors.real.T @ np.linalg.inv(standing.reciprocal_vectors.real.T)
        longest = max(longest, float(np.linalg.norm(change, 2)))
    if domains.strains is not None:
        longest /= max(1.0 - float(np.linalg.norm(domains.strains.real, 2, axis=(1, 2)).max()), 1e-3)
    return longest


def _reaching(tables: tuple[FactorTable, ...], stretch: float) -> tuple[FactorTable, ...]:
    return tuple(dataclasses.replace(table, reach=table.reach * stretch * (1.0 + 1e-9)) for table in tables)


def _block(
    crystal: Crystal,
    fraction: float,
    count: float,
    cell: UnitCell,
    about: CrystalSetting,
    domains: Domains,
    along: FloatArray,
    share: float,
    table: int,
) -> CrystalBlock:
    """What a renderer reads of a share of a crystal that has this cell."""
    turns, physics = about.turns, about.physics
    orientations = crystal_orientations(
        cell.vectors * 1e-10, turns, domains.rotations, turning=domains.turning, strains=domains.strains
    )
    weights, times = None, 1.0
    if domains.weights is not None:
        # a renderer divides by their sum; with their mean the divisor is the number of orientations
        weights = numbers.read_only(np.tile(domains.weights, len(turns)))
        times = numbers.scalar(domains.weights.mean() / domains.divisor)
    cells = effective_cells(along, crystal.Ndef)
    metric = shape_metric(crystal.shape, along, cell, physics, crystal.Ndef)
    weight = fraction * times * count * share
    if crystal.no_N_scale:
        weight /= numbers.scalar(np.prod(cells)) ** 2
    if crystal.normalise_shape:
        weight /= shape_integral(crystal.shape, cells, metric, crystal.fudge)
    return CrystalBlock(
        orientations=numbers.read_only(orientations),
        orientation_weights=weights,
        N=numbers.read_only(cells),
        shape="gauss" if crystal.shape == "gauss_star" else crystal.shape,
        fudge=crystal.fudge,
        shape_metric=numbers.read_only(metric),
        weight=weight,
        table=table,
    )


def _individuals(crystal: Crystal, cell: UnitCell, run: Stages, part: int) -> list[tuple[UnitCell, float]]:
    """Cell and share of the crystal itself and of each individual of its twin (beyond 17.5)."""
    if not crystal.twin:
        return [(cell, 1.0)]
    from .twins import individuals

    laws = tuple(law for law, _ in crystal.twin)
    cells = run(individuals, laws, cell, crystal.twin_tolerance, part=part)
    shares = [share for _, share in crystal.twin]
    return list(zip((cell, *cells), (1.0 - sum(shares), *shares), strict=True))


# ---- stages ------------------------------------------------------------------------------------------------


def _standing(crystal: Crystal, physics: Physics) -> tuple[tuple[float, float, float] | FloatArray, UnitCell]:
    """Missetting angles, or the matrix that takes their place, and the cell as it is mounted."""
    turned: tuple[float, float, float] | FloatArray
    if crystal.orientation is not None:
        turned = crystal.orientation
        cell = placed_cell(crystal, (0.0, 0.0, 0.0), physics)
    else:
        turned = misset(crystal, physics)
        cell = placed_cell(crystal, turned, physics)
        if crystal.a_matrix is not None and not cell.right_handed:
            warn_of_left_hand()
    if any(crystal.rotation_deg):
        turned = standing_rotation(crystal, physics)
    return turned, cell


def factor_tables(
    factors: StructureFactors,
    interpolate: bool | None,
    cells: tuple[float, ...],
    cell: Cell | None,
    a_matrix: FloatArray | None,
    physics: Physics,
    nodes: tuple[float, ...],
) -> tuple[FactorTable, ...]:
    """Structure factors at each of the nodes; one table where there are none."""
    mode = interpolation(interpolate, factors, cells, physics)
    if not factors.nodes:
        return (_factor_table(factors, mode, cell, a_matrix, physics),) * max(1, len(nodes))
    assert factors.tables is not None  # as there are nodes
    if nodes != factors.nodes:
        size = 8 * len(nodes) * factors.tables[0].size
        memory.require(size, f"structure factors at {len(nodes)} energies", "give all crystals the same ones")
    values = [
        factors.tables[factors.nodes.index(node)] if node in factors.nodes else factors.at_energy(node)
        for node in nodes
    ]
    each = (factors._with(values=check.owned(at), energies_eV=None, tables=None) for at in values)
    return tuple(_factor_table(one, mode, cell, a_matrix, physics) for one in each)


def _factor_table(
    factors: StructureFactors, mode: str, cell: Cell | None, a_matrix: FloatArray | None, physics: Physics
) -> FactorTable:
    reach = math.inf
    if mode == "nearest":
        # no orientation changes it, so it is that of the crystal as it is not misset
        reach = structure_factor_reach(factors, unturned_cell(cell, a_matrix, physics))
    return FactorTable(factors.values, factors.origin, factors.default_F, mode, reach)

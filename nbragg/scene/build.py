"""The making of a Scene: stages in a straight line, each a pure function of its inputs.

Conventions, pivots, defaults and random orientations end here; nothing past this room interprets an option.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..base import numbers
from ..base.unit_cell import Cell, UnitCell
from ..base.vectors import FloatArray, rot_axis
from ..model.beam import Beam
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.physics import Physics
from ..model.sampling import Sampling
from ..model.setup import Setup
from ..model.structure_factors import StructureFactors
from .checks import (
    check_indices,
    check_oversampling,
    check_polarization,
    interpolation,
    warn_of_left_hand,
)
from .crystal_cell import misset, placed_cell, shape_integral, shape_metric, standing_rotation
from .crystal_size import (
    Sizes,
    block_count,
    cells_along_axes,
    clip_to_beam,
    effective_cells,
    recommended_oversample,
)
from .detector_frame import Directions, Vector
from .detector_geometry import DetectorGeometry
from .mosaicity import Domains, Mosaicity, domain_count, make_domains
from .orientations import crystal_orientations, phi_rotations
from .panels import Region, detector_places, placed_panels, sensor_wavelength
from .placement import CrystalPlacement, DetectorLabels, Placement
from .quirks import CrystalFacts, ImageFacts, layer_shift, tell_quirks
from .reach import View, structure_factor_reach
from .record import CrystalBlock, FactorTable, PlacedPanel, Scene, Sources
from .sources import Rays, SourceSteps, beam_fluence, beam_sources, source_steps
from .stages import Stages
from .steps import Steps, resolve_phi

if TYPE_CHECKING:
    from ..model.surroundings import Surroundings
    from .backdrop import Backdrop
    from .obstacles import Obstacles

__all__ = ["HELD", "build_scene", "detector_view", "make_scene"]


def build_scene(setup: Setup) -> Scene:
    """Turn what a person set into what a backend renders.

    Parameters
    ----------
    setup : Setup

    Returns
    -------
    Scene

    Raises
    ------
    InputError
        For values that do not fit together: a roi or mask of another size than the detector, a detector plane
        through the sample, parallel axes.
    MemoryLimitError
        When the image, the orientations or the sources do not fit into memory.

    Warns
    -----
    NbraggWarning
        For everything accepted without effect, or replaced.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(
    ...     cell=(70, 80, 90, 90, 90, 90), mosaic_spread_deg=1, mosaic_domains=7, structure_factors=factors
    ... )
    >>> scene = nbragg.build_scene(nbragg.Setup(crystal, detector=nbragg.Detector(distance_mm=150)))
    >>> scene.panel.distance, scene.crystal.orientations.shape
    (0.15, (7, 3, 3))
    """
    return make_scene(setup, Stages())


class _Instrument(NamedTuple):
    """What beam and detector decide, whatever the crystals are."""

    places: tuple[DetectorGeometry, ...]
    panels: tuple[PlacedPanel, ...]
    steps: SourceSteps
    sources: Sources
    shortest: float  #: wavelength, m
    polar_vector: FloatArray
    fluence: float
    obstacles: Obstacles | None


def make_scene(setup: Setup, run: Stages) -> Scene:
    """`build_scene`, with the stages of earlier scenes at hand; the numbers are the same as without."""
    sample, beam, sampling, physics = setup.sample, setup.beam, setup.sampling, setup.rules
    first = sample.crystals[0]
    around = run(
        _instrument,
        beam,
        setup.detector,
        setup.surroundings,
        sampling.roi,
        first.spindle_axis,
        physics,
        run,
    )
    phi = run(_phi, first.phi_deg, first.osc_deg, first.phistep_deg, first.phisteps)
    turns = run(phi_rotations, *phi, around.places[0].spindle, physics)
    made = [_crystal(setup, i, around, turns, run) for i in range(len(sample))]
    blocks = tuple(block for crystal in made for block in crystal.blocks)
    tables = tuple(crystal.table for crystal in made)
    reports = tuple(report for crystal in made for report in crystal.reports)

    wavelength = beam.wavelength_A * 1e-10
    longest = max(max(report.size_m.real.tolist()) for report in reports)
    recommended = max(
        recommended_oversample(
            longest, wavelength, panel.distance, max(panel.pixel[0].real, panel.pixel[1].real)
        )
        for panel in around.panels
    )
    run(check_oversampling, sampling, f"{longest * 1e10:.4g}", recommended)
    if not physics.factors_per_sample:
        crystals = tuple(map(_quirk_key, sample.crystals))
        run(_tell_quirks, crystals, beam, setup.detector, sampling, physics, around, recommended)
    start, steps = phi
    return Scene(
        panels=around.panels,
        sources=around.sources,
        crystals=blocks,
        tables=tables,
        oversample=recommended if sampling.oversample is None else sampling.oversample,
        oversample_thick=physics.factors_per_sample or sampling.oversample_thick,
        oversample_polar=physics.factors_per_sample or sampling.oversample_polar,
        oversample_omega=physics.factors_per_sample or sampling.oversample_omega,
        dmin=(sampling.dmin_A or 0.0) * 1e-10,
        polarization=beam.polarization,
        polar_vector=around.polar_vector,
        nopolar=beam.nopolar,
        fluence=around.fluence,
        water=sampling.water_um * 1e-6,
        water_mode="after" if physics.water_after else "in_sum",
        physics=physics.name,
        placement=Placement(
            panels=around.places,
            crystals=reports,
            wavelength=wavelength,
            phi0=start,
            osc=steps.range,
            phistep=steps.step,
            phisteps=steps.count,
            hdiv=around.steps.hdiv,
            vdiv=around.steps.vdiv,
            dispersion=around.steps.dispersion,
            recommended_oversample=recommended,
            labels=run(_labels, setup.detector),
        ),
        backdrop=_backdrop(setup, around, run),
        spectral=_rendering("auto", around.sources, blocks, tables),  # "auto": what the beam asks for
    )


def _rendering(
    wanted: str, sources: Sources, crystals: tuple[CrystalBlock, ...], tables: tuple[FactorTable, ...]
) -> str:
    if sources.channel is None:
        return "direct"
    from .spectral import choose_rendering

    return choose_rendering(wanted, sources, crystals, tables)


def _backdrop(setup: Setup, around: _Instrument, run: Stages) -> Backdrop | None:
    """What is behind the spots and before the detector, None where there is nothing."""
    direct = 0.0
    if setup.surroundings is not None and setup.surroundings.direct_beam:
        from .surroundings import direct_beam_size

        direct = run(direct_beam_size, setup.beam.beamsize_mm, around.panels)
    if not setup.backgrounds and around.obstacles is None and not direct:
        return None
    from .backdrop import Backdrop
    from .scatterers import make_scatterers, nearest_source

    beam, fine = setup.beam, setup.sampling.background_oversample
    distance = nearest_source(None if beam.sources is None else beam.sources.positions)
    scatterers = run(
        make_scatterers, setup.backgrounds, beam.beamsize_mm, around.panels, distance, setup.rules
    )
    return run(Backdrop, fine, scatterers, around.obstacles, direct)


def detector_view(detector: Detector, beam: Beam, physics: Physics) -> View:
    """Panels and sources alone, for who asks what a detector sees before there is a crystal.

    Raises
    ------
    InputError, MemoryLimitError
        As `build_scene`.
    """
    places = detector_places(detector, Directions(beam.beam_vector, beam.polar_vector), physics)
    sources = _sources(beam, places, source_steps(beam), physics)
    panels = placed_panels(detector, None, places, physics, sensor_wavelength(detector, sources))
    return View(panels, sources)


class _Made(NamedTuple):
    """Of one crystal of the sample: a block for each individual of its twin, and what reports say of them."""

    blocks: list[CrystalBlock]
    table: FactorTable
    reports: list[CrystalPlacement]


def _crystal(setup: Setup, i: int, around: _Instrument, turns: FloatArray, run: Stages) -> _Made:
    """The i-th crystal of the sample."""
    crystal, physics = setup.sample.crystals[i], setup.rules
    size_mm = run(clip_to_beam, crystal.size_mm, setup.beam.beamsize_mm, part=i)
    turned, standing = run(_standing, crystal, physics, part=i)
    factors = crystal.structure_factors
    sizes = _sizes(crystal, i, standing)
    cells = cells_along_axes(crystal.N, size_mm, standing) if sizes is None else sizes.mean(axis=0)
    lookup = (
        factors,
        setup.sampling.interpolate,
        tuple(cells.tolist()),
        crystal.cell,
        crystal.a_matrix,
        physics,
    )
    mosaicity = Mosaicity.of(crystal)
    all_domains = run(make_domains, mosaicity, standing if mosaicity.standing else None, physics, part=i)
    parts = [(all_domains, cells, 1.0)]
    if crystal.N_domains and sizes is not None:
        parts = list(_sized(all_domains, sizes))
    individuals = _individuals(crystal, standing, run)
    table = run(_factor_table, *lookup, part=i)
    stretch = _stretch(standing, [cell for cell, _ in individuals], all_domains)
    if stretch > 1.0:
        table = run(_reaching, table, stretch, part=i)
    made = _Made([], table, [])
    for number, (cell, share) in enumerate(individuals):
        check_indices(cell, around.shortest, all_domains.strains)
        for domains, along, part in parts if share != 0.0 else ():
            made.blocks.append(_block(setup, i, cell, domains, turns, along, share * part))
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
                    n_listed=factors.n_listed or 0,
                )
            )
    return made


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


def _reaching(table: FactorTable, stretch: float) -> FactorTable:
    return dataclasses.replace(table, reach=table.reach * stretch * (1.0 + 1e-9))


def _block(
    setup: Setup,
    i: int,
    cell: UnitCell,
    domains: Domains,
    turns: FloatArray,
    along: FloatArray,
    share: float,
) -> CrystalBlock:
    """What a renderer reads of a share of a crystal that has this cell."""
    crystal, physics = setup.sample.crystals[i], setup.rules
    assert setup.sample.weights is not None  # filled in by the record
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
    weight = (
        setup.sample.weights[i] * times * block_count(crystal.illuminated_volume_um3, cells, cell) * share
    )
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
        table=i,
    )


def _individuals(crystal: Crystal, cell: UnitCell, run: Stages) -> list[tuple[UnitCell, float]]:
    """Cell and share of the crystal itself and of each individual of its twin (beyond 17.5)."""
    if not crystal.twin:
        return [(cell, 1.0)]
    from .twins import individuals

    laws = tuple(law for law, _ in crystal.twin)
    cells = run(individuals, laws, cell, crystal.twin_tolerance)
    shares = [share for _, share in crystal.twin]
    return list(zip((cell, *cells), (1.0 - sum(shares), *shares), strict=True))


# ---- stages ------------------------------------------------------------------------------------------------


def _instrument(
    beam: Beam,
    detector: Detector,
    surroundings: Surroundings | None,
    roi: Region | None,
    spindle_axis: Vector | None,
    physics: Physics,
    run: Stages,
) -> _Instrument:
    directions = Directions(beam.beam_vector, beam.polar_vector, spindle_axis)
    places = run(detector_places, detector, directions, physics)
    run(check_polarization, beam, places)
    steps = run(source_steps, beam)
    sources = run(_sources, beam, places, steps, physics)
    panels = run(placed_panels, detector, roi, places, physics, sensor_wavelength(detector, sources))
    shortest = float(sources.wavelength.real.min())
    fluence = run(beam_fluence, beam)
    obstacles = None
    if surroundings is not None or any(what.front for what in detector.panels or (detector,)):
        from .surroundings import place_obstacles, weakened

        if surroundings is not None:
            sources, fluence = run(weakened, sources, fluence, surroundings.upstream)
        obstacles = run(place_obstacles, surroundings, detector, panels, sources, places[0])
    return _Instrument(
        places, panels, steps, sources, shortest, _polar_vector(beam, places[0]), fluence, obstacles
    )


def _labels(detector: Detector) -> DetectorLabels:
    names = tuple(panel.name for panel in detector.panels)
    material = detector.panels[0].material if detector.panels else detector.material
    formula = ""
    if material is not None:
        from ..model.materials import as_material

        formula = as_material("material", material).formula
    return DetectorLabels(detector.model, names, detector.groups, formula)


def _polar_vector(beam: Beam, place: DetectorGeometry) -> FloatArray:
    """Direction of the electric field, turned about the beam."""
    if not beam.polarization_azimuth_deg:
        return place.polar_vector
    azimuth = numbers.radians(beam.polarization_azimuth_deg)
    return numbers.read_only(rot_axis(place.polar_vector, place.beam_vector, azimuth))


def _sources(
    beam: Beam, places: tuple[DetectorGeometry, ...], steps: SourceSteps, physics: Physics
) -> Sources:
    rays: Rays = beam_sources(beam, places[0], steps, physics)
    table = np.zeros(len(rays.wavelength), np.int64)
    table.setflags(write=False)
    incident, wavelength, weight = (numbers.read_only(array) for array in rays)
    return Sources(incident, wavelength, weight, table)


def _phi(
    phi_deg: float, osc_deg: float | None, phistep_deg: float | None, phisteps: int | None
) -> tuple[float, Steps]:
    """Start (radians) and steps (radians) of the rotation."""
    return numbers.radians(phi_deg), resolve_phi(_radians(osc_deg), _radians(phistep_deg), phisteps)


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


def _factor_table(
    factors: StructureFactors,
    interpolate: bool | None,
    cells: tuple[float, ...],
    cell: Cell | None,
    a_matrix: FloatArray | None,
    physics: Physics,
) -> FactorTable:
    mode = interpolation(interpolate, factors, cells, physics)
    reach = math.inf
    if mode == "nearest":
        # no orientation changes it, so it is that of the crystal as it is not misset
        unturned = Crystal(cell=cell, a_matrix=a_matrix, structure_factors=factors)
        reach = structure_factor_reach(factors, placed_cell(unturned, (0.0, 0.0, 0.0), physics))
    return FactorTable(factors.values, factors.origin, factors.default_F, mode, reach)


class _QuirkKey(NamedTuple):
    """Fields of a crystal on which quirks depend."""

    cell: Cell | None
    a_matrix: FloatArray | None
    random: bool
    domains: int
    capped: bool  #: in a cap
    shape: str
    N: tuple[float, float, float]
    size_mm: Sizes
    phi: tuple[float | None, float | None, int | None]


def _quirk_key(c: Crystal) -> _QuirkKey:
    random = isinstance(c.misset_deg, str)
    phi = (c.osc_deg, c.phistep_deg, c.phisteps)
    capped = c.mosaic in (None, "cap") and not isinstance(c.mosaic_set, np.ndarray)
    shape = "" if any(c.Ndef) else c.shape
    return _QuirkKey(c.cell, c.a_matrix, random, domain_count(c), capped, shape, c.N, c.size_mm, phi)


def _tell_quirks(
    crystals: tuple[_QuirkKey, ...],
    beam: Beam,
    detector: Detector,
    sampling: Sampling,
    physics: Physics,
    around: _Instrument,
    recommended: int,
) -> None:
    oversample = sampling.oversample or recommended
    layered = [what.thicksteps for what in detector.panels or (detector,) if what.thicksteps]
    turn = _phi(0.0, *crystals[0].phi)[1]
    image = ImageFacts(
        oversample=oversample,
        layers=max(panel.layers for panel in around.panels),
        thicksteps=layered[0] if layered and any(panel.thickness for panel in around.panels) else None,
        sources=len(around.sources),
        steps=len(around.sources) * crystals[0].domains * turn.count * oversample**2,
        fluence=around.fluence,
        polarized=not beam.nopolar,
        per_sample=(sampling.oversample_omega, sampling.oversample_polar, sampling.oversample_thick),
        water=sampling.water_um > 0,
        curved=detector.curved,
        phi_behind=math.degrees(0.5 * turn.step) if turn.range > 0 else 0.0,
        layer_shift=layer_shift(around.panels, weighed=sampling.oversample_thick),
    )
    tell_quirks(tuple(_facts(key, beam, physics) for key in crystals), image)


def _facts(key: _QuirkKey, beam: Beam, physics: Physics) -> CrystalFacts:
    narrower: tuple[float, ...] = ()
    if key.shape in ("gauss", "tophat"):
        unturned = Crystal(
            cell=key.cell, a_matrix=key.a_matrix, structure_factors=StructureFactors.constant(0)
        )
        cell = placed_cell(unturned, (0.0, 0.0, 0.0), physics)
        cells = cells_along_axes(key.N, clip_to_beam(key.size_mm, beam.beamsize_mm), cell)
        metric = shape_metric(key.shape, cells, cell, physics)
        narrower = tuple((np.sqrt(np.diag(metric)) / cells).tolist())
    return CrystalFacts(
        cell=key.cell if key.a_matrix is None else None,
        random=key.random,
        domains=key.domains if key.capped else 1,
        shape=key.shape,
        narrower=narrower,
    )


def _radians(degrees: float | None) -> float | None:
    return None if degrees is None else numbers.radians(degrees)


#: stages that only choose, check and report: where a Scene is made for its derivatives, they stay as they are
HELD: frozenset[Callable[..., Any]] = frozenset(
    (check_polarization, check_oversampling, _factor_table, _tell_quirks)
)

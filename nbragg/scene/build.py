"""The making of a Scene: stages in a straight line, each a pure function of its inputs.

Conventions, pivots, defaults and random orientations end here; nothing past this room interprets an option.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..base import numbers
from ..base.unit_cell import Cell
from ..base.vectors import FloatArray, rot_axis
from ..model.beam import Beam
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.physics import Physics
from ..model.sampling import Sampling
from ..model.setup import Setup
from .checks import (
    check_oversampling,
    check_polarization,
)
from .crystal_blocks import CrystalSetting, MadeCrystal, factor_tables, make_crystal
from .crystal_cell import shape_metric, unturned_cell
from .crystal_size import (
    Sizes,
    block_edges,
    cells_along_axes,
    clip_to_beam,
    recommended_oversample,
)
from .detector_frame import Directions, Vector
from .detector_geometry import DetectorGeometry
from .mosaicity import domain_count
from .orientations import phi_rotations
from .panels import Region, detector_places, placed_panels, sensor_wavelength, sensor_wavelengths
from .placement import DetectorLabels, Placement
from .quirks import CrystalFacts, ImageFacts, layer_shift, tell_quirks
from .reach import View
from .record import CrystalBlock, FactorTable, PlacedPanel, Scene, Sources
from .sources import (
    BeamAxes,
    BeamRays,
    Rays,
    SourceSteps,
    beam_fluence,
    beam_sources,
    energy_nodes,
    source_steps,
)
from .stages import Stages
from .steps import Steps, resolve_phi

if TYPE_CHECKING:
    from ..model.surroundings import Surroundings
    from .backdrop import Backdrop
    from .diffuse import Diffuse, Motion
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
    nodes = energy_nodes(sample)
    around = run(
        _instrument,
        beam,
        setup.detector,
        setup.surroundings,
        sampling.roi,
        physics.factors_per_sample or sampling.oversample_thick,
        first.spindle_axis,
        physics,
        nodes,
        run,
    )
    phi = run(_phi, first.phi_deg, first.osc_deg, first.phistep_deg, first.phisteps)
    turns = run(phi_rotations, *phi, around.places[0].spindle, physics)
    made = _crystals(setup, around.shortest, turns, nodes, run)
    blocks = tuple(block for crystal in made for block in crystal.blocks)
    tables = tuple(table for crystal in made for table in crystal.tables)
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
        oversample=sampling.subpixels or recommended,
        oversample_thick=physics.factors_per_sample or sampling.oversample_thick,
        oversample_polar=physics.factors_per_sample or _polarizes_each(beam, sampling),
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
        diffuse=_diffuse(sampling.diffuse_oversample, [motion for one in made for motion in one.motions]),
        spectral=_rendering(beam.spectral, around.sources, blocks, tables),
        adaptive=sampling.oversample == "auto",
    )


def _crystals(
    setup: Setup, shortest: float, turns: FloatArray, nodes: tuple[float, ...], run: Stages
) -> list[MadeCrystal]:
    sample, sampling = setup.sample, setup.sampling
    about = CrystalSetting(
        setup.beam.beamsize_mm,
        sampling.interpolate,
        sampling.bragg,
        sampling.diffuse_mosaic,
        setup.rules,
        shortest,
        turns,
        nodes,
    )
    assert sample.weights is not None  # filled in by the record
    return [
        run(make_crystal, crystal, i, sample.weights[i], about, run, part=i)
        for i, crystal in enumerate(sample.crystals)
    ]


def _diffuse(oversample: int, motions: list[Motion]) -> Diffuse | None:
    """What the crystals scatter between their spots, None where nothing moves."""
    if not motions:
        return None
    from .diffuse import Diffuse

    return Diffuse(oversample, tuple(motions))


def _polarizes_each(beam: Beam, sampling: Sampling) -> bool:
    """Whether each source has its own polarization factor.

    That of the first for all is the reference's rule for its grids and source files alone (beyond 15.4).
    """
    return sampling.oversample_polar or beam.spectrum is not None or beam.divergence_profile == "gauss"


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
        make_scatterers, setup.backgrounds, beam.beamsize_mm, around.panels, distance, setup.rules, run
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
    sources = _sources(_rays(beam), _axes(places), source_steps(beam), physics)
    panels = placed_panels(detector, None, places, physics, sensor_wavelength(detector, sources))
    return View(panels, sources)


# ---- stages ------------------------------------------------------------------------------------------------


def _instrument(
    beam: Beam,
    detector: Detector,
    surroundings: Surroundings | None,
    roi: Region | None,
    thick: bool,
    spindle_axis: Vector | None,
    physics: Physics,
    nodes: tuple[float, ...],
    run: Stages,
) -> _Instrument:
    directions = Directions(beam.beam_vector, beam.polar_vector, spindle_axis)
    places = run(detector_places, detector, directions, physics, run)
    run(check_polarization, beam, places)
    steps = run(source_steps, beam)
    sources = run(_sources, _rays(beam), _axes(places), steps, physics, nodes)
    mean, each = sensor_wavelength(detector, sources), sensor_wavelengths(detector, sources, thick=thick)
    panels = run(placed_panels, detector, roi, places, physics, mean, each)
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


def _rays(beam: Beam) -> BeamRays:
    return BeamRays(beam.wavelength_A, beam.spectrum, beam.sources, beam.divergence_profile, beam.round_div)


def _axes(places: tuple[DetectorGeometry, ...]) -> BeamAxes:
    return BeamAxes(places[0].beam_vector, places[0].polar_vector, places[0].vert_vector)


def _sources(
    beam: BeamRays,
    axes: BeamAxes,
    steps: SourceSteps,
    physics: Physics,
    nodes: tuple[float, ...] = (),
) -> Sources:
    """The one place where the sources of a Scene are made: of all that `Rays` says."""
    rays: Rays = beam_sources(beam, axes, steps, physics, nodes)
    rays.table.setflags(write=False)
    return Sources(
        numbers.read_only(rays.incident),
        numbers.read_only(rays.wavelength),
        numbers.read_only(rays.weight),
        rays.table,
        None if rays.channel is None else numbers.read_only(rays.channel),
    )


def _phi(
    phi_deg: float, osc_deg: float | None, phistep_deg: float | None, phisteps: int | None
) -> tuple[float, Steps]:
    """Start (radians) and steps (radians) of the rotation."""
    return numbers.radians(phi_deg), resolve_phi(_radians(osc_deg), _radians(phistep_deg), phisteps)


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
    block_size_mm: Sizes
    phi: tuple[float | None, float | None, int | None]


def _quirk_key(c: Crystal) -> _QuirkKey:
    random = isinstance(c.misset_deg, str)
    phi = (c.osc_deg, c.phistep_deg, c.phisteps)
    capped = c.mosaic in (None, "cap") and not isinstance(c.mosaic_set, np.ndarray)
    shape = "" if any(c.Ndef) else c.shape
    sizes = c.size_mm, c.block_size_mm
    return _QuirkKey(c.cell, c.a_matrix, random, domain_count(c), capped, shape, c.N, *sizes, phi)


def _tell_quirks(
    crystals: tuple[_QuirkKey, ...],
    beam: Beam,
    detector: Detector,
    sampling: Sampling,
    physics: Physics,
    around: _Instrument,
    recommended: int,
) -> None:
    oversample = sampling.subpixels or recommended
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
        per_sample=(sampling.oversample_omega, _polarizes_each(beam, sampling), sampling.oversample_thick),
        water=sampling.water_um > 0,
        curved=detector.curved,
        phi_behind=math.degrees(0.5 * turn.step) if turn.range > 0 else 0.0,
        layer_shift=layer_shift(around.panels, weighed=sampling.oversample_thick),
    )
    tell_quirks(tuple(_facts(key, beam, physics) for key in crystals), image)


def _facts(key: _QuirkKey, beam: Beam, physics: Physics) -> CrystalFacts:
    narrower: tuple[float, ...] = ()
    if key.shape in ("gauss", "tophat"):
        cell = unturned_cell(key.cell, key.a_matrix, physics)
        edges = block_edges(clip_to_beam(key.size_mm, beam.beamsize_mm), key.block_size_mm)
        cells = cells_along_axes(key.N, edges, cell)
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
    (check_polarization, check_oversampling, factor_tables, _tell_quirks)
)

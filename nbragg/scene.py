"""The Scene: one flat record in SI units, all that a backend reads, and its making.

Conventions, pivots, defaults and random orientations end here; nothing past this module interprets an option.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from . import validate as check
from .beam import Beam
from .cell_geometry import CellGeometry, cell_geometry, misset, shape_metric
from .crystal import SHAPES, Crystal
from .crystal_size import Sizes, cells_along_axes, clip_to_beam, recommended_oversample
from .detector import Detector
from .detector_geometry import DetectorGeometry, detector_geometry
from .geometry import FloatArray
from .orientations import crystal_orientations, phi_rotations
from .reach import structure_factor_reach
from .rotations import mosaic_rotations
from .sampling import Sampling
from .scene_checks import (
    check_indices,
    check_oversampling,
    check_polarization,
    image_region,
    interpolation,
    warn_of_left_hand,
)
from .sources import Sources, SourceSteps, beam_fluence, beam_sources, source_steps
from .steps import Layers, Steps, resolve_layers, resolve_mosaic, resolve_phi

__all__ = ["PHYSICS", "Scene", "SceneParts", "build_scene", "scene_parts"]

#: what the engine's variants are called (canonical 11)
PHYSICS = ("nanobragg", "exact")


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that decides an image: SI units, radians; arrays float64, C-contiguous, read-only.

    Attributes
    ----------
    fpixels, spixels : int
        Pixels along fast and slow.
    pixel_size : float
    fdet, sdet, odet, beam_vector, pix0 : ndarray (3,)
        Fast axis, slow axis, normal, beam direction; sample to the outer corner of the first pixel.
    distance, close_distance : float
        Along the beam; to the near point.
    curved : int
        0 flat, 1 as canonical 6.2, 2 angles from the detector's own axes (exact).
    point_pixel : bool
    layers : int
    layer_step, thickness, mu : float
        Sensor layers; a thickness of 0 means capture fraction 1.
    oversample : int
    oversample_thick, oversample_polar, oversample_omega : bool
    roi : (fmin, fmax, smin, smax)
        Inclusive.
    mask : ndarray uint8 (spixels, fpixels) or None
        0: skip.
    dmin : float
        0: no limit.
    source_incident : ndarray (ns, 3)
        Unit vectors of travel.
    source_wavelength, source_weight : ndarray (ns,)
    polarization : float
        Kahn factor.
    polar_vector : ndarray (3,)
    nopolar : bool
    fluence : float
        Photons/m^2.
    water : float
        Edge of the water cube.
    water_mode : int
        0: inside the sum, canonical 8; 1: added after it, times omega and polarization (exact).
    orientations : ndarray (no, 3, 3)
        Rows a, b, c; phi outermost, mosaic domain innermost.
    N : ndarray (3,)
        Unit cells along a, b, c.
    shape : int
        Index into `crystal.SHAPES`.
    fudge : float
    shape_metric : ndarray (3, 3)
        M of the spot radius dh.M.dh (canonical 7.1).
    F_table : ndarray (nh, nk, nl) or None
    F_origin : (hmin, kmin, lmin)
    default_F : float
    interpolation : int
        0 nearest, 1 tricubic with the switch-off of canonical 7.3, 2 tricubic with default_F where not usable
        (exact).
    F_reach : float
        Length of q, 1/m, beyond which every structure factor is 0 whatever the orientation; renderers skip
        such samples.  It holds for this unit cell; infinite where it is not known.
    physics : str
        ``"nanobragg"`` or ``"exact"``.

    The remaining attributes are for reports and file headers.
    """

    fpixels: int
    spixels: int
    pixel_size: float
    fdet: FloatArray
    sdet: FloatArray
    odet: FloatArray
    beam_vector: FloatArray
    pix0: FloatArray
    distance: float
    close_distance: float
    curved: int
    point_pixel: bool
    layers: int
    layer_step: float
    thickness: float
    mu: float
    oversample: int
    oversample_thick: bool
    oversample_polar: bool
    oversample_omega: bool
    roi: tuple[int, int, int, int]
    mask: npt.NDArray[np.uint8] | None
    dmin: float
    source_incident: FloatArray
    source_wavelength: FloatArray
    source_weight: FloatArray
    polarization: float
    polar_vector: FloatArray
    nopolar: bool
    fluence: float
    water: float
    water_mode: int
    orientations: FloatArray
    N: FloatArray
    shape: int
    fudge: float
    shape_metric: FloatArray
    F_table: FloatArray | None
    F_origin: tuple[int, int, int]
    default_F: float
    interpolation: int
    F_reach: float
    # reports and headers
    physics: str
    wavelength: float
    geometry: DetectorGeometry
    unit_cell: CellGeometry
    misset_deg: tuple[float, float, float]
    phi0: float
    osc: float
    phistep: float
    phisteps: int
    mosaic_spread: float
    mosaic_domains: int
    mosaic_rotations: FloatArray
    hdiv: Steps
    vdiv: Steps
    dispersion: Steps
    recommended_oversample: int
    crystal_size_m: FloatArray
    n_listed: int


def _read_only(array: FloatArray) -> FloatArray:
    result = np.ascontiguousarray(array, dtype=np.float64)
    result.setflags(write=False)
    return result


@dataclass(frozen=True, eq=False)
class SceneParts:
    """A Scene, what it was made from, and the intermediate results that its neighbours can use again."""

    crystal: Crystal
    beam: Beam
    detector: Detector
    sampling: Sampling
    exact: bool
    geometry: DetectorGeometry
    roi: tuple[int, int, int, int]
    layers: Layers
    divergence: SourceSteps
    sources: Sources
    phi_rotations: FloatArray
    size_mm: Sizes
    scene: Scene


def build_scene(
    crystal: Crystal,
    beam: Beam,
    detector: Detector,
    sampling: Sampling | None = None,
    *,
    physics: str = "nanobragg",
) -> Scene:
    """Turn what a person set into what a backend renders.

    Parameters
    ----------
    crystal, beam, detector : Crystal, Beam, Detector
    sampling : Sampling, optional
    physics : "nanobragg" or "exact"
        The left or the right column of canonical 11.

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
    >>> scene = nbragg.build_scene(crystal, nbragg.Beam(), nbragg.Detector(distance_mm=150))
    >>> scene.distance, scene.orientations.shape
    (0.15, (7, 3, 3))
    """
    sampling = Sampling() if sampling is None else sampling
    return scene_parts(crystal, beam, detector, sampling, physics=physics).scene


def scene_parts(
    crystal: Crystal,
    beam: Beam,
    detector: Detector,
    sampling: Sampling,
    *,
    physics: str = "nanobragg",
    like: SceneParts | None = None,
) -> SceneParts:
    """`build_scene`, taking from ``like`` everything whose inputs are the same.

    The Scene has the same numbers as one made from nothing.  Checks of parts that are taken over are not made
    again, nor are their warnings.
    """
    exact = check.choice("physics", physics, PHYSICS) == "exact"
    like = like if like is not None and like.exact == exact else None
    placed = like if like is not None and _same_detector(like, crystal, beam, detector) else None
    if placed is None:
        geometry = detector_geometry(detector, beam, crystal.spindle_axis, exact=exact)
        layers = resolve_layers(
            detector.thickness_um * 1e-6,
            detector.thicksteps,
            None if detector.attenuation_um is None else detector.attenuation_um * 1e-6,
            exact=exact,
        )
    else:
        geometry, layers = placed.geometry, placed.layers
    if placed is None or placed.sampling is not sampling:
        roi = image_region(sampling, detector, geometry)
    else:
        roi = placed.roi
    if placed is None or placed.beam is not beam:
        check_polarization(beam, geometry)
        divergence = source_steps(beam)
        sources = _read_only_sources(beam_sources(beam, geometry, divergence, exact=exact))
    else:
        divergence, sources = placed.divergence, placed.sources
    mosaic = _mosaic(crystal)
    if like is None or _mosaic(like.crystal) != mosaic:
        domain_rotations = _read_only(mosaic_rotations(*mosaic, exact=exact))
    else:
        domain_rotations = like.scene.mosaic_rotations

    misset_rad = misset(crystal, exact=exact)
    cell = cell_geometry(crystal, misset_rad, exact=exact)
    if like is None or like.crystal.a_matrix is not crystal.a_matrix:
        warn_of_left_hand(cell)
    check_indices(cell, float(sources.wavelength.min()))
    if like is None or like.crystal.size_mm != crystal.size_mm or like.beam is not beam:
        size_mm = clip_to_beam(crystal.size_mm, beam.beamsize_mm)
    else:
        size_mm = like.size_mm
    cells = cells_along_axes(crystal.N, size_mm, cell)
    crystal_size = cells * np.array([cell.a, cell.b, cell.c]) * 1e-10

    phi0, phi = _phi(crystal)
    if placed is None or _phi(placed.crystal) != (phi0, phi):
        turns = phi_rotations(phi0, phi, geometry.spindle)
    else:
        turns = placed.phi_rotations
    orientations = crystal_orientations(cell.vectors * 1e-10, turns, domain_rotations)

    wavelength = beam.wavelength_A * 1e-10
    longest = float(crystal_size.max())
    recommended = recommended_oversample(longest, wavelength, geometry.distance, geometry.pixel_size)
    if like is None or like.sampling is not sampling or like.scene.recommended_oversample != recommended:
        check_oversampling(sampling, longest, recommended)
    fluence = like.scene.fluence if like is not None and like.beam is beam else beam_fluence(beam)
    factors = crystal.structure_factors
    if (
        like is None
        or like.sampling is not sampling
        or like.crystal.structure_factors is not factors
        or (cells != like.scene.N).any()
    ):
        interpolated = interpolation(sampling, crystal, cells, exact=exact)
    else:
        interpolated = like.scene.interpolation
    if (
        like is not None
        and like.crystal.structure_factors is factors
        and like.scene.interpolation == interpolated
        and np.allclose(like.scene.unit_cell.direct, cell.direct, rtol=1e-12, atol=0.0)
    ):
        reach = like.scene.F_reach
    else:
        reach = math.inf if interpolated else structure_factor_reach(factors, cell)
    scene = Scene(
        fpixels=geometry.fpixels,
        spixels=geometry.spixels,
        pixel_size=geometry.pixel_size,
        fdet=_read_only(geometry.fdet),
        sdet=_read_only(geometry.sdet),
        odet=_read_only(geometry.odet),
        beam_vector=_read_only(geometry.beam_vector),
        pix0=_read_only(geometry.pix0),
        distance=geometry.distance,
        close_distance=geometry.close_distance,
        curved=(2 if exact else 1) if detector.curved else 0,
        point_pixel=detector.point_pixel,
        layers=layers.count,
        layer_step=layers.step,
        thickness=layers.thickness,
        mu=layers.mu,
        oversample=recommended if sampling.oversample is None else sampling.oversample,
        oversample_thick=exact or sampling.oversample_thick,
        oversample_polar=exact or sampling.oversample_polar,
        oversample_omega=exact or sampling.oversample_omega,
        roi=roi,
        mask=detector.mask,
        dmin=(sampling.dmin_A or 0.0) * 1e-10,
        source_incident=sources.incident,
        source_wavelength=sources.wavelength,
        source_weight=sources.weight,
        polarization=beam.polarization,
        polar_vector=_read_only(geometry.polar_vector),
        nopolar=beam.nopolar,
        fluence=fluence,
        water=sampling.water_um * 1e-6,
        water_mode=1 if exact else 0,
        orientations=_read_only(orientations),
        N=_read_only(cells),
        shape=SHAPES.index(crystal.shape),
        fudge=crystal.fudge,
        shape_metric=_read_only(shape_metric(crystal.shape, cells, cell, exact=exact)),
        F_table=factors.values,
        F_origin=factors.origin,
        default_F=factors.default_F,
        interpolation=interpolated,
        F_reach=reach,
        physics="exact" if exact else "nanobragg",
        wavelength=wavelength,
        geometry=geometry,
        unit_cell=cell,
        misset_deg=cast("tuple[float, float, float]", tuple(math.degrees(x) for x in misset_rad)),
        phi0=phi0,
        osc=phi.range,
        phistep=phi.step,
        phisteps=phi.count,
        mosaic_spread=mosaic[0],
        mosaic_domains=mosaic[1],
        mosaic_rotations=domain_rotations,
        hdiv=divergence.hdiv,
        vdiv=divergence.vdiv,
        dispersion=divergence.dispersion,
        recommended_oversample=recommended,
        crystal_size_m=_read_only(crystal_size),
        n_listed=factors.n_listed or 0,
    )
    return SceneParts(
        crystal=crystal,
        beam=beam,
        detector=detector,
        sampling=sampling,
        exact=exact,
        geometry=geometry,
        roi=roi,
        layers=layers,
        divergence=divergence,
        sources=sources,
        phi_rotations=turns,
        size_mm=size_mm,
        scene=scene,
    )


def _same_detector(like: SceneParts, crystal: Crystal, beam: Beam, detector: Detector) -> bool:
    """Whether the detector stands as it did: nothing else decides its geometry."""
    return (
        like.detector is detector
        and like.crystal.spindle_axis == crystal.spindle_axis
        and (
            like.beam is beam
            or (like.beam.beam_vector == beam.beam_vector and like.beam.polar_vector == beam.polar_vector)
        )
    )


def _mosaic(crystal: Crystal) -> tuple[float, int, int]:
    """Spread (radians), number of domains, seed."""
    spread, domains = resolve_mosaic(_radians(crystal.mosaic_spread_deg), crystal.mosaic_domains)
    return spread, domains, crystal.mosaic_seed


def _phi(crystal: Crystal) -> tuple[float, Steps]:
    """Start (radians) and steps (radians) of the rotation."""
    steps = resolve_phi(_radians(crystal.osc_deg), _radians(crystal.phistep_deg), crystal.phisteps)
    return math.radians(crystal.phi_deg), steps


def _read_only_sources(sources: Sources) -> Sources:
    return Sources(*(_read_only(array) for array in sources))


def _radians(degrees: float | None) -> float | None:
    return None if degrees is None else math.radians(degrees)

"""The reflections that an image holds: where each falls, how many photons it has, and what part it is.

Nothing is rendered: photons of a spot are sums of `nbragg.analysis.spot_integrals` over orientations and
sources.  docs/truth.md has the formulas.

A lattice factor ends half an index from its reflection, as the renderer has it; that of the square, whose
tails run into those of its neighbours, is followed two indices far, and every tail to where it is below 2e-4
of the largest value (or ``least``, if smaller).  What is farther is left out: less than 0.003 of the
turned-through intensity, 0.01 with 20 cells along each axis.  Structure factors are taken at whole indices,
and the Ewald sphere is a plane over the spot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.constants import R_E_SQR
from ..base.errors import InputError
from ..base.vectors import FloatArray, axis_rotation, rot_axis
from ..scene.reach import resolution_limit
from .prediction import (
    MeanSource,
    amplitudes,
    listed_reflections,
    listed_rows,
    mean_source,
    mean_table,
    meeting_points,
    require_flat,
)
from .spot_integrals import Spot, absorption_depth

if TYPE_CHECKING:
    from ..scene.record import CrystalBlock, PlacedPanel, Scene

__all__ = ["LEAST", "REFLECTION", "expected_reflections", "merged"]

#: record of `expected_reflections`
REFLECTION = np.dtype(
    [
        ("miller_index", "i4", (3,)),
        ("crystal", "i4"),
        ("panel", "i4"),
        ("s1", "f8", (3,)),
        ("xyz_px", "f8", (3,)),
        ("xyz_mm", "f8", (3,)),
        ("d_A", "f8"),
        ("F_sqr", "f8"),
        ("polarization", "f8"),
        ("lorentz", "f8"),
        ("capture", "f8"),
        ("transmission", "f8"),
        ("counts", "f8"),
        ("full_counts", "f8"),
        ("partiality", "f8"),
        ("entering", "?"),
        ("first_frame", "i4"),
        ("last_frame", "i4"),
    ]
)

#: smallest partiality that is listed
LEAST = 1e-3

#: how far, in indices, a reflection counts.  The renderer's lattice factors end half an index away.  The
#: square's, sin^2(pi N h)/sin^2(pi h), has there what the tails of all its neighbours add up to; a reflection
#: alone, sin^2(pi N h)/(pi h)^2, must be followed farther for the same sum.
_SQUARE_ZONE = 2.0

#: part of its largest value at which a slice is taken for 0 (or `least`, if smaller).  Tails fall off with
#: the square of the distance: beyond lie less than 0.003 of what a crystal turned through gives
_FADED = 2e-4

#: sums of reflection, orientation and source that are worked on at a time, so that Ctrl-C is heeded
_TERMS = 10_000_000


def expected_reflections(
    scene: Scene,
    *,
    d_min_A: float | None = None,
    least: float = LEAST,
    scan_start: float | None = None,
    frame: int = 0,
) -> NDArray[np.void]:
    """The reflections of one image, still or rotation, with the photons that each is expected to have.

    An image whose sample turns (``osc`` above 0) is a rotation, any other a still.

    - ``counts``: photons of the whole spot in this image, whatever the panel's edges, masks and gaps cut off:
      r_e^2 fluence F^2 lambda^2 P A S, with S the integral of the squared lattice factor over the spot, mean
      over orientations (phi steps, mosaic domains, each of its size) and sources by weight, P the
      polarization factor and A the sensor's absorbed fraction; times the share T that what is in the way
      lets through to the spot's middle.
    - ``full_counts`` of a rotation: photons when the crystal turns through the whole reflection at the speed
      of this image, Darwin's formula r_e^2 (fluence/osc) lambda^3 F^2 (crystal volume/cell volume^2) L P A
      with L the ``lorentz`` factor.  Of a still: photons when every orientation and source had the reflection
      exactly on its Ewald sphere.
    - ``partiality`` = counts/full_counts: of a rotation the recorded part of the integrated intensity (those
      of consecutive images add up to 1); of a still the ratio to the fully excited reflection.

    Parameters
    ----------
    scene : Scene
        With flat panels.
    d_min_A : float, optional
        Resolution limit; None: that of the detector's farthest corner.
    least : float
        Reflections of smaller partiality are left out.
    scan_start : float, optional
        Spindle angle, rad, at which frame number 0 begins; None: where this image begins.
    frame : int
        This image's number in its series, from 0; for ``first_frame`` and ``last_frame``.

    Returns
    -------
    structured ndarray (n,) of REFLECTION
        ``miller_index``; ``crystal``, a lattice: a crystal of the sample or an individual of its twin, and
        ``panel``, numbers from 0; ``s1``, the scattered beam, 1/angstrom, laboratory frame; ``xyz_px``, fast
        and slow in pixels, corner of the first pixel 0, 0 and its centre 0.5, 0.5, where the absorbed photons
        are on average, and the frame, 0 where the first begins;
        ``xyz_mm``, where the ray meets the panel's front, mm, and the spindle angle, rad; ``d_A``; ``F_sqr``,
        electrons^2 with exp(-V); ``polarization``, ``lorentz`` (1 over the magnitude of lambda i . (u x g)),
        ``capture``, ``transmission``, each without unit; counts and partiality; ``entering``: into the Ewald
        sphere; first and last frame that record it.

        A rotation has one row for each crossing of the Ewald sphere, at the place and angle where the mean
        crystal crosses that of the mean source; where it only comes near, the closest angle, with
        ``full_counts``, ``lorentz`` and ``partiality`` NaN.  A still has one, at the spot's centre weighted
        by photons; frame and angle are 0.  A ray that meets several panels has a row on each.

    Raises
    ------
    InputError, MemoryLimitError
        A curved detector, a shape without a width (``fudge`` 0), too many reflections.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 20 -physics exact -misset 10 20 30")
    >>> table = nbragg.expected_reflections(nbragg.build_scene(setup))
    >>> bool((table["partiality"] <= 1).all()), table["xyz_px"].shape[1]
    (True, 3)
    """
    require_flat(scene)
    source = mean_source(scene)
    d_min = max((d_min_A or resolution_limit(scene)) * 1e-10, scene.dmin)
    turning = _Turning.of(scene, scan_start)
    tables = []
    for number, blocks in enumerate(scene.placement.lattices):
        crystal = scene.crystals[blocks[0]]
        if crystal.fudge == 0.0 and crystal.shape != "square":
            raise InputError("fudge = 0 gives spots without an end: give a number above 0")
        kind = _Kind(scene, number, blocks, turning, least)
        for rows in _listed(kind, d_min):
            for some in _chunks(kind, kind.near(rows, source, d_min)):
                tables += _rows(scene, kind, some, source, turning, least)
    found = np.concatenate(tables) if tables else np.zeros(0, REFLECTION)
    found["first_frame"] = found["last_frame"] = frame
    return found


def _listed(kind: _Kind, d_min: float) -> Iterator[NDArray[np.float32]]:
    """Indices (3, n) of the reflections that have an amplitude: all at once, or layer by layer."""
    rows = listed_rows(kind.table)
    if rows is not None:
        yield rows
        return
    for hkl in listed_reflections(kind.table, kind.middle, d_min):
        yield np.ascontiguousarray(hkl.T, np.float32)


class _Turning(NamedTuple):
    """The rotation of an image; radians.  ``osc`` 0: a still."""

    spindle: FloatArray
    phi0: float
    osc: float
    start: float

    @classmethod
    def of(cls, scene: Scene, scan_start: float | None) -> _Turning:
        placement = scene.placement
        start = placement.phi0 if scan_start is None else scan_start
        return cls(placement.panels[0].spindle, placement.phi0, placement.osc, start)

    @property
    def middle(self) -> float:
        return self.phi0 + 0.5 * self.osc


class _Candidates(NamedTuple):
    hkl: FloatArray  #: (m, 3)
    limit: FloatArray  #: of the excitation error, 1/m


class _Kind:
    """A lattice with what its reflections have in common, and the light on it.

    Its blocks differ in size and in how they are turned; each has its share of the weight of all.
    """

    def __init__(
        self, scene: Scene, number: int, blocks: Sequence[int], turning: _Turning, least: float
    ) -> None:
        self.number = number
        parts = [scene.crystals[i] for i in blocks]
        self.block: CrystalBlock = parts[0]
        self.weight = sum(part.weight for part in parts)
        shares = [part.weight / self.weight if self.weight else 1.0 / len(parts) for part in parts]
        self.table = mean_table(scene, self.block)
        self.unturned = scene.placement.crystals[blocks[0]].unit_cell.vectors * 1e-10
        #: rows a, b, c at the middle of the rotation
        self.middle = rot_axis(self.unturned, turning.spindle, turning.middle)
        orientations = np.concatenate([part.orientations for part in parts])
        turns = np.linalg.inv(self.middle) @ orientations
        chord = float(np.linalg.norm(turns - np.eye(3), axis=(1, 2)).max())
        #: largest angle of an orientation from the middle
        self.spread = 2.0 * math.asin(min(chord / math.sqrt(8.0), 1.0))
        sources = scene.sources
        #: sums that a reflection is worked out from
        self.terms = len(orientations) * len(sources)
        # alone, a slice is the whole partiality
        alone = self.terms == 1 and turning.osc <= 0.0
        self._least = least if alone else min(least, _FADED)
        # limits change with the orientation
        self._slack = 1.0 if alone else 1.2 * (1.0 + min(self.spread, 1.0))
        self.light = _engine.SpotLight(
            np.concatenate([Spot(part).record(share) for part, share in zip(parts, shares, strict=True)]),
            orientations,
            np.ascontiguousarray(np.linalg.inv(orientations).swapaxes(1, 2)),
            np.concatenate(
                [share * _orientation_shares(part) for share, part in zip(shares, parts, strict=True)]
            ),
            # number of the block of each orientation
            np.repeat(np.arange(len(parts)), [len(part.orientations) for part in parts]),
            np.ascontiguousarray(sources.incident),
            np.ascontiguousarray(sources.wavelength),
            sources.weight / sources.weight.sum(),
            self.middle,
            np.linalg.inv(self.middle).T,
        )
        self.light.set(
            _SQUARE_ZONE if self.block.shape == "square" else 0.5,
            0.999 * least if alone else 0.0,
            scene.polarization,
            scene.polar_vector,
            scene.nopolar,
            turning.spindle,
            turning.osc,
        )

    def near(self, rows: NDArray[np.float32], source: MeanSource, d_min: float) -> _Candidates:
        """Reflections that some orientation and source may excite."""
        number, limit = self.light.near(
            rows,
            source.incident,
            source.wavelength,
            self.spread + source.divergence,
            source.bandwidth,
            self._least,
            self._slack,
            d_min,
        )
        return _Candidates(np.ascontiguousarray(rows[:, number].T, np.float64), limit)


def _orientation_shares(block: CrystalBlock) -> FloatArray:
    """Weights of a block's orientations, of sum 1."""
    weights, count = block.orientation_weights, len(block.orientations)
    return np.full(count, 1.0 / count) if weights is None else weights / weights.sum()


def _chunks(kind: _Kind, all_: _Candidates) -> Iterator[_Candidates]:
    count = max(_TERMS // kind.terms, 1)
    for first in range(0, len(all_.hkl), count):
        yield _Candidates(all_.hkl[first : first + count], all_.limit[first : first + count])


class _Crossing(NamedTuple):
    """Where reflections cross the Ewald sphere: (m, k), k = 2 of a rotation (leaving, entering), else 1."""

    phi: FloatArray
    g: FloatArray  #: (m, k, 3), 1/m
    real: NDArray[np.bool_]
    speed: FloatArray  #: i . (u x g), 1/m per radian; of a still 0


def _crossing(kind: _Kind, some: _Candidates, source: MeanSource, turning: _Turning) -> _Crossing:
    reciprocal = np.linalg.inv(kind.unturned).T
    u, i = turning.spindle, source.incident
    if turning.osc <= 0.0:
        turned = (some.hkl @ rot_axis(reciprocal, u, turning.phi0))[:, np.newaxis]
        nothing = np.zeros(turned.shape[:2])
        return _Crossing(nothing, turned, np.ones(nothing.shape, bool), nothing)
    g = some.hkl @ reciprocal
    # |i/lambda + R g| = 1/lambda  <=>  fixed + cosine cos(phi) + sine sin(phi) = -lambda g^2/2
    fixed = (i @ u) * (g @ u)
    cosine, sine = g @ i - fixed, np.cross(u, g) @ i
    size = np.hypot(cosine, sine)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (-0.5 * source.wavelength * (g**2).sum(axis=1) - fixed) / size
    real = np.abs(ratio) < 1.0
    half = np.arccos(np.clip(np.nan_to_num(ratio), -1.0, 1.0))
    peak = np.arctan2(sine, cosine)
    # past the peak the reflection sinks into the sphere; before it, it leaves
    phi = np.stack([peak - half, peak + half], axis=1)
    phi += 2.0 * math.pi * np.round((turning.middle - phi) / (2.0 * math.pi))
    turned = np.einsum("mkij,mj->mki", axis_rotation(u, phi), g)
    speed = np.cross(u, turned) @ i
    return _Crossing(phi, turned, np.stack([real, real], axis=1), speed)


def _each_mu(scene: Scene) -> bool:
    """Whether a sensor takes the light of each source in its own way."""
    return any(panel.source_mu is not None for panel in scene.panels)


def _rows(
    scene: Scene, kind: _Kind, some: _Candidates, source: MeanSource, turning: _Turning, least: float
) -> list[NDArray[np.void]]:
    """Rows of some reflections, panel by panel."""
    at = _crossing(kind, some, source, turning)
    # lengths in m: counts per r_e^2 fluence F^2 and absorbed fraction
    counts, full, polarization, direction, by_source = kind.light.sum(
        some.hkl, some.limit, np.ascontiguousarray(at.g), _each_mu(scene)
    )
    full[~at.real] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        partiality = counts / full
    which, side = np.nonzero(np.where(np.isnan(partiality), counts > 0.0, partiality >= least))
    ray = _unit(direction[which, side])
    if turning.osc > 0.0:
        crossed = at.real[which, side][:, np.newaxis]
        ray = np.where(crossed, _unit(at.g[which, side] + source.incident / source.wavelength), ray)
    hkl = some.hkl[which]
    amplitude = amplitudes(kind.table, hkl.astype(np.int64))
    if kind.block.displacement is not None:  # of displaced atoms
        amplitude = amplitude * np.exp(-0.5 * ((hkl @ kind.block.displacement) * hkl).sum(axis=1))
    found = np.zeros(len(which), REFLECTION)
    found["miller_index"], found["crystal"] = hkl, kind.number
    found["s1"] = ray / (source.wavelength * 1e10)
    found["xyz_mm"][:, 2] = phi = at.phi[which, side]
    found["d_A"] = 1e10 / np.sqrt(np.einsum("ij,ij->i", at.g[which, side], at.g[which, side]))
    found["F_sqr"] = strength = amplitude**2
    found["polarization"], found["partiality"] = polarization[which, side], partiality[which, side]
    strength = R_E_SQR * scene.fluence * kind.weight * strength
    found["counts"], found["full_counts"] = strength * counts[which, side], strength * full[which, side]
    if turning.osc > 0.0:
        found["xyz_px"][:, 2] = (phi - turning.start) / turning.osc
        with np.errstate(divide="ignore"):
            found["lorentz"] = 1.0 / (source.wavelength * np.abs(at.speed[which, side]))
        found["lorentz"][~at.real[which, side]] = np.nan
        found["entering"] = side == 1
    shares = None if by_source is None else by_source[:, which, side]
    return [
        table for number in range(len(scene.panels)) for table in _on_panel(scene, number, found, ray, shares)
    ]


def _on_panel(
    scene: Scene, number: int, found: NDArray[np.void], ray: FloatArray, shares: FloatArray | None
) -> Iterator[NDArray[np.void]]:
    """The rows whose rays meet a panel."""
    panel = scene.panels[number]
    place, on = meeting_points(panel, ray)
    if not on.any():
        return
    table, place, ray = found[on], place[on], ray[on]
    capture, shift = _at_panel(scene, panel, ray, None if shares is None else shares[:, on])
    table["panel"], table["capture"] = number, capture
    table["transmission"] = passed = _passed(scene, number, place)
    table["xyz_px"][:, :2] = (place + shift) / panel.pixel
    table["xyz_mm"][:, :2] = place * 1e3
    for name in ("counts", "full_counts"):
        table[name] *= capture * passed
    yield table


def _unit(vectors: FloatArray) -> FloatArray:
    """`unit` of vectors (n, 3) of ordinary length."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.where(length > 0.0, length, 1.0)[:, np.newaxis])


def _at_panel(
    scene: Scene, panel: PlacedPanel, ray: FloatArray, shares: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Absorbed fractions, and how much farther out the absorbed photons are on average (m).

    shares (sources, n): photons of each source, over which fractions are means where they differ.
    """
    cosine = ray @ panel.odet
    axes = np.column_stack([panel.fdet, panel.sdet])
    capture, path = _absorbed(scene, panel, panel.mu, cosine)
    if panel.source_mu is not None and shares is not None:
        total, absorbed, paths = shares.sum(axis=0), np.zeros(len(ray)), np.zeros(len(ray))
        for share, mu in zip(shares, panel.source_mu.tolist(), strict=True):
            of_source, at = _absorbed(scene, panel, mu, cosine)
            absorbed += share * of_source
            paths += share * of_source * at
        with np.errstate(invalid="ignore", divide="ignore"):  # what no source lights has the mean wavelength
            capture = np.where(total > 0.0, absorbed / total, capture)
            path = np.where(total > 0.0, paths / absorbed, path)
    if panel.point_pixel:  # 1/R^2 takes the place of the solid angle
        reach = float(panel.pix0 @ panel.odet) / cosine
        capture = capture * reach / (panel.close_distance * panel.pixel[0] * panel.pixel[1])
    return capture, path[:, np.newaxis] * (ray @ axes)


def _absorbed(
    scene: Scene, panel: PlacedPanel, mu: float, cosine: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Absorbed fractions, and the mean path before (m)."""
    if panel.thickness <= 0.0 or mu <= 0.0:
        return np.ones_like(cosine), np.zeros_like(cosine)
    if scene.oversample_thick and scene.physics == "exact":
        capture = -np.expm1(-panel.layers * panel.layer_step * mu / cosine)
        return capture, absorption_depth(panel.layers * panel.layer_step, mu, cosine)
    # each layer at its front; without oversample_thick all count like the last one (canonical 6.3, 8)
    t = np.arange(panel.layers)[:, np.newaxis]
    thin = panel.layer_step * mu / cosine
    share = np.exp(-t * thin) * -np.expm1(-thin)
    if not scene.oversample_thick:
        share = np.broadcast_to(share[-1], share.shape)
    capture = share.sum(axis=0)
    return capture, (share * t).sum(axis=0) * panel.layer_step / cosine / capture


def _passed(scene: Scene, number: int, place: FloatArray) -> FloatArray:
    """Share of the light that what is in its way lets through to places (m) on a panel: mean over sources."""
    obstacles = None if scene.backdrop is None else scene.backdrop.obstacles
    if obstacles is None:
        return np.ones(len(place))
    panel, sources, sample = scene.panels[number], scene.sources, np.zeros(3)
    on_plane = place + np.multiply(panel.first, panel.pixel)
    P = np.ascontiguousarray(panel.pix0 + on_plane[:, :1] * panel.fdet + on_plane[:, 1:] * panel.sdet)
    total = np.zeros(len(P))
    for i, (incident, weight) in enumerate(zip(sources.incident, sources.weight.tolist(), strict=True)):
        along = np.ascontiguousarray(incident)
        total += weight * _engine.transmission(obstacles, number, i, along, sample, P)
    return total / len(sources)


def merged(tables: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """One table of consecutive rotation images: a reflection recorded on several of them is one row.

    Parameters
    ----------
    tables : sequence of structured ndarray
        As `expected_reflections` gives them, of one ``scan_start``.

    Returns
    -------
    structured ndarray
        Counts and partialities are summed over the images; the place, the frame number and the angle are
        those of the crossing, which all images share.
    """
    rows: NDArray[np.void] = np.concatenate(tables) if tables else np.zeros(0, REFLECTION)
    if len(rows) == 0:
        return rows
    keys: list[NDArray[Any]] = [rows["crystal"], rows["panel"], rows["entering"]]
    keys += [rows["miller_index"][:, x] for x in (2, 1, 0)]
    phi = rows["xyz_mm"][:, 2]
    order = np.lexsort([phi, *keys])
    # crossings of one kind are far apart, and those of one event agree to rounding
    changes = [np.diff(key[order].astype(np.int64)) != 0 for key in keys] + [np.diff(phi[order]) > 1e-3]
    new = np.concatenate([[True], np.any(changes, axis=0)])
    group = np.empty(len(rows), np.int64)
    group[order] = np.cumsum(new) - 1
    first = order[new]
    result: NDArray[np.void] = rows[first]
    for name in ("counts", "partiality"):
        result[name] = np.bincount(group, rows[name], len(first))
    for name, choose in (("first_frame", np.minimum), ("last_frame", np.maximum)):
        choose.at(result[name], group, rows[name])
    return result

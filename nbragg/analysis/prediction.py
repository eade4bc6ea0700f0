"""Where Bragg spots and powder rings of a Scene fall, from geometry alone."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base import memory
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..scene.reach import resolution_limit, resolution_range

if TYPE_CHECKING:
    from ..scene.record import CrystalBlock, FactorTable, PlacedPanel, Scene

__all__ = [
    "POWDER_SPREAD",
    "SPOT",
    "MeanSource",
    "amplitudes",
    "listed_reflections",
    "listed_rows",
    "mean_source",
    "mean_table",
    "meeting_points",
    "powder_lines",
    "predict_spots",
    "require_flat",
]

#: record of `predict_spots`
SPOT = np.dtype(
    [
        ("h", "i4"),
        ("k", "i4"),
        ("l", "i4"),
        ("fast", "f8"),
        ("slow", "f8"),
        ("d_A", "f8"),
        ("excitation_per_A", "f8"),
        ("phi_step", "i4"),
        ("crystal", "i4"),
        ("panel", "i4"),
    ]
)

#: beyond this mosaic spread (rad) a crystal gives rings rather than spots
POWDER_SPREAD = math.radians(10.0)


class MeanSource(NamedTuple):
    """The sources taken together.

    Attributes
    ----------
    incident : ndarray (3,)
        Mean direction of travel, unit vector.
    wavelength : float
        Mean, m.
    divergence : float
        Largest angle of a source from the mean direction, rad.
    bandwidth : float
        Largest relative distance of a wavelength from the mean.
    """

    incident: FloatArray
    wavelength: float
    divergence: float
    bandwidth: float


def predict_spots(scene: Scene, *, d_min_A: float | None = None) -> NDArray[np.void]:
    """Spots of the still or the rotation, where the centre of a reflection comes close to the Ewald sphere.

    A reflection g is listed for every rotation step at which its excitation error | |i/lambda + g| -
    1/lambda | is smallest and below its half-width: that of the crystal's size, of the mosaic spread, and of
    the beam's divergence and bandwidth together.  The spot is where i/lambda + g points to, i being the mean
    direction and lambda the mean wavelength of the sources.  How many photons it has, and of what reflection
    how large a part: `nbragg.analysis.reflections.expected_reflections`.

    Parameters
    ----------
    scene : Scene
        With flat panels.
    d_min_A : float, optional
        Resolution limit; None: that of the detector's farthest corner.

    Returns
    -------
    structured ndarray (n,) of SPOT
        Indices; place in pixels of its panel, the centre of the first pixel at 0, 0; spacing; excitation
        error; rotation step; crystal and panel.  Reflections of amplitude 0 are left out.

    Raises
    ------
    InputError
        For a curved detector.
    MemoryLimitError
        When the reflections within `d_min_A` do not fit into memory.
    """
    require_flat(scene)
    source = mean_source(scene)
    d_min = (d_min_A or resolution_limit(scene)) * 1e-10
    spots = []
    for number, crystal in enumerate(scene.crystals):
        placed = scene.placement.crystals[number]
        turned = crystal.orientations[:: max(placed.mosaic_domains, 1)]
        reciprocal = np.linalg.inv(turned).transpose(0, 2, 1)  # rows a*, b*, c*
        table = mean_table(scene, crystal)
        for hkl in listed_reflections(
            table, turned[0], d_min, f"at {len(turned)} rotation steps", len(turned)
        ):
            for spot in _layer_spots(scene, crystal, placed.mosaic_spread, hkl, reciprocal, source):
                spot["crystal"] = number
                spots.append(spot)
    return np.concatenate(spots) if spots else np.empty(0, SPOT)


def require_flat(scene: Scene) -> None:
    """InputError for a curved detector."""
    if any(panel.curved != "flat" for panel in scene.panels):
        raise InputError("spots are predicted for flat detectors only; this one is curved")


def powder_lines(scene: Scene, count: int = 8) -> FloatArray:
    """Spacings (A) of the strongest lines that a powder of the scene's crystal shows on the detector.

    Lines are weighed by their multiplicity, F^2 and the Lorentz and polarization factors of a random powder,
    (1 + cos^2 2theta)/(sin^2 theta cos theta); reflections within 0.2 % in spacing are one line.

    Parameters
    ----------
    scene : Scene
    count : int
        Lines wanted.

    Returns
    -------
    ndarray (at most count,)
        Largest spacing first.
    """
    d_min, d_max = resolution_range(scene)
    axes = scene.crystal.orientations[0]
    reciprocal = np.linalg.inv(axes).T
    limits = [int(float(np.linalg.norm(v)) / (d_min * 1e-10)) for v in axes]
    memory.require(
        100 * math.prod(2 * n + 1 for n in limits),
        f"all reflections to {d_min:.3g} A",
        "move the detector back",
    )
    hkl = np.concatenate([_layer(h, limits) for h in range(-limits[0], limits[0] + 1)])
    inverse_d = np.sqrt(_length_sqr(hkl, reciprocal)) * 1e-10
    inside = (inverse_d > 1.0 / d_max) & (inverse_d <= 1.0 / d_min) & (inverse_d > 0)
    inverse_d, strength = inverse_d[inside], amplitudes(mean_table(scene, scene.crystal), hkl[inside]) ** 2
    sine = np.minimum(0.5 * inverse_d * scene.placement.wavelength * 1e10, 0.999)
    cos_2theta = 1.0 - 2.0 * sine**2
    strength = strength * (1.0 + cos_2theta**2) / (sine**2 * np.sqrt(1.0 - sine**2))
    order = np.argsort(inverse_d)
    inverse_d, strength = inverse_d[order], strength[order]
    if not strength.any():
        return np.empty(0)
    line = np.concatenate([[0], np.cumsum(np.diff(inverse_d) > 2e-3 * inverse_d[1:])])
    total = np.bincount(line, strength)
    place = np.bincount(line, strength * inverse_d) / np.maximum(total, np.finfo(float).tiny)
    best = np.sort(np.argsort(total)[::-1][:count])
    return np.asarray(1.0 / place[best[total[best] > 0]])


def mean_source(scene: Scene) -> MeanSource:
    """Mean direction and wavelength of the sources, by weight, and how far they go from it."""
    sources = scene.sources
    weight = sources.weight / sources.weight.sum()
    incident = weight @ sources.incident
    incident = incident / np.linalg.norm(incident)
    wavelength = float(weight @ sources.wavelength)
    chord = float(np.linalg.norm(sources.incident - incident, axis=1).max())
    spread = float(np.abs(sources.wavelength / wavelength - 1.0).max())
    return MeanSource(incident, wavelength, 2.0 * math.asin(min(chord / 2.0, 1.0)), spread)


def listed_reflections(
    table: FactorTable, axes: FloatArray, d_min: float, what: str = "", copies: int = 1
) -> Iterator[NDArray[np.int64]]:
    """Reflections of a crystal whose amplitude is not 0, layer by layer of h.

    Parameters
    ----------
    table : FactorTable
    axes : ndarray (3, 3)
        Rows a, b, c, m, in any orientation.
    d_min : float
        Smallest spacing, m.
    what : str
        For the message about memory.
    copies : int
        How many copies of a layer the caller works on at a time.

    Yields
    ------
    ndarray (n, 3)
        The origin of reciprocal space is left out.

    Raises
    ------
    MemoryLimitError
        When a layer does not fit into memory.
    """
    reciprocal = np.linalg.inv(axes).T
    limits = [int(float(np.linalg.norm(v)) / d_min) for v in axes]
    if table.values is not None and table.default_F == 0.0:
        # no farther than the list goes
        low = np.asarray(table.origin)
        ends = np.maximum(np.abs(low), np.abs(low + table.values.shape - 1))
        limits = [min(limit, int(end)) for limit, end in zip(limits, ends, strict=True)]
    memory.require(
        (2 * limits[1] + 1) * (2 * limits[2] + 1) * (200 + 40 * copies),
        f"one layer of reflections to {d_min * 1e10:.3g} A {what}".rstrip(),
        "give a larger resolution limit",
    )
    for h in range(-limits[0], limits[0] + 1):
        hkl = _layer(h, limits)
        g_sqr = _length_sqr(hkl, reciprocal)
        hkl = hkl[(g_sqr > 0.0) & (g_sqr <= 1.0 / d_min**2) & (amplitudes(table, hkl) != 0.0)]
        if len(hkl):
            yield hkl


def listed_rows(table: FactorTable) -> NDArray[np.float32] | None:
    """All reflections of a list whose amplitude is not 0, where nothing else has one; kept with the list.

    Returns
    -------
    ndarray of float32 (3, n) or None
        h, k and l, without the origin; None: there is no such list, or it is very long.
    """
    values = table.values
    if values is None or table.default_F != 0.0 or values.size > _MOST_LISTED:
        return None
    number = id(values)
    kept = _ROWS.get(number)
    if kept is not None and kept.list() is values and kept.origin == table.origin:
        return kept.rows
    rows = np.array(np.nonzero(values), np.float32) + np.array(table.origin, np.float32)[:, np.newaxis]
    rows = np.ascontiguousarray(rows[:, rows.any(axis=0)])
    if not values.flags.writeable:
        _ROWS[number] = _Listed(weakref.ref(values, lambda _: _ROWS.pop(number, None)), table.origin, rows)
    return rows


class _Listed(NamedTuple):
    list: weakref.ref[FloatArray]
    origin: tuple[int, int, int]
    rows: NDArray[np.float32]


#: of the lists in use, by the number of the array they are in
_ROWS: dict[int, _Listed] = {}
#: larger boxes of amplitudes are gone through layer by layer
_MOST_LISTED = 20_000_000


def _layer(h: int, limits: list[int]) -> NDArray[np.int64]:
    k, l = np.mgrid[-limits[1] : limits[1] + 1, -limits[2] : limits[2] + 1]  # noqa: E741 - the index's name
    return np.column_stack([np.full(k.size, h), k.ravel(), l.ravel()])


def _length_sqr(hkl: NDArray[np.int64], reciprocal: FloatArray) -> FloatArray:
    return np.asarray(((hkl @ reciprocal) ** 2).sum(axis=1))


def mean_table(scene: Scene, crystal: CrystalBlock) -> FactorTable:
    """Structure factors of a crystal; where they depend on the energy, F^2 is the mean over the sources.

    That is what a spot has which all energies excite alike.
    """
    sources, table = scene.sources, scene.tables[crystal.table]
    if table.values is None or not sources.table.any():
        return table
    shares = np.bincount(sources.table, sources.weight) / sources.weight.sum()
    square = np.zeros(table.values.shape)
    for share, one in zip(shares, scene.tables[crystal.table :], strict=False):
        assert one.values is not None  # as of the first
        square += share * one.values**2
    return dataclasses.replace(table, values=np.sqrt(square))


def amplitudes(table: FactorTable, hkl: NDArray[np.int64]) -> FloatArray:
    """Structure factor of each reflection (canonical 7.2)."""
    result = np.full(len(hkl), table.default_F)
    if table.values is not None:
        index = hkl - np.asarray(table.origin)
        inside = ((index >= 0) & (index < table.values.shape)).all(axis=1)
        result[inside] = table.values[tuple(index[inside].T)]
    return result


def _layer_spots(
    scene: Scene,
    crystal: CrystalBlock,
    spread: float,
    hkl: NDArray[np.int64],
    reciprocal: FloatArray,
    source: MeanSource,
) -> Iterator[NDArray[np.void]]:
    """Spots of some reflections at all rotation steps, panel by panel."""
    g = np.einsum("ni,pij->pnj", hkl.astype(np.float64), reciprocal)
    scattered = g + source.incident / source.wavelength
    length = np.linalg.norm(scattered, axis=2)
    error = length - 1.0 / source.wavelength
    direction = scattered / length[:, :, np.newaxis]
    g_sqr = (g**2).sum(axis=2)
    # half-widths along the scattered beam: of the shape, of turning crystal or beam, of the bandwidth
    shape = 0.5 * np.sqrt((np.einsum("pij,pnj->pni", reciprocal, direction) ** 2 / crystal.N**2).sum(axis=2))
    across = np.linalg.norm(np.cross(g, source.incident), axis=2)
    half = shape + (spread + source.divergence) * across + source.bandwidth * 0.5 * source.wavelength * g_sqr
    size = np.abs(error)
    best = size < half
    best[1:] &= size[1:] <= size[:-1]
    best[:-1] &= size[:-1] < size[1:]
    every = np.nonzero(best)
    for number, panel in enumerate(scene.panels):
        place, on = meeting_points(panel, direction[every])
        step, which = every[0][on], every[1][on]
        spots = np.zeros(len(step), SPOT)
        spots["h"], spots["k"], spots["l"] = hkl[which].T
        spots["fast"], spots["slow"] = (place[on] / panel.pixel - 0.5).T
        spots["d_A"] = 1e10 / np.sqrt(g_sqr[step, which])
        spots["excitation_per_A"] = error[step, which] * 1e-10
        spots["phi_step"] = step
        spots["panel"] = number
        yield spots


def meeting_points(panel: PlacedPanel, direction: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Where rays from the sample meet a flat panel, at its front.

    Parameters
    ----------
    panel : PlacedPanel
    direction : ndarray (n, 3)
        Unit vectors.

    Returns
    -------
    place : ndarray (n, 2)
        m along fast and slow from the outer corner of the panel's own first pixel.
    on : ndarray of bool (n,)
        Whether the ray goes forward to the panel's plane, and inside its edges.
    """
    along = direction @ panel.odet
    height = float(panel.pix0 @ panel.odet)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = height / along
        offset = reach[:, np.newaxis] * direction - panel.pix0
        place = np.column_stack([offset @ panel.fdet, offset @ panel.sdet])
    place -= np.multiply(panel.first, panel.pixel)
    edges = np.multiply((panel.fpixels, panel.spixels), panel.pixel)
    with np.errstate(invalid="ignore"):
        on = np.isfinite(reach) & (reach > 0) & ((place >= 0) & (place < edges)).all(axis=1)
    return place, on

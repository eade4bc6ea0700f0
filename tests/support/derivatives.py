"""Derivatives of the oracle's images by complex step, and what tests say of tangents: sums, products, bases.

No code of the package is used but the records that hold Scenes and tangents.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import oracle

from nbragg.scene.record import Scene
from nbragg.scene.tangent import CrystalTangent, Frame, SceneTangent, TableTangent

Image = npt.NDArray[np.float64]
STEP = oracle.REAL("1e-200")

PANEL_FIELDS = (
    "pix0", "fdet", "sdet", "odet", "beam", "pixel", "layer_step", "mu", "close_distance", "distance",
)  # fmt: skip
CRYSTAL_FIELDS = ("orientations", "orientation_weights", "N", "shape_metric", "fudge", "weight")
TABLE_FIELDS = ("values", "default_F")
SOURCE_FIELDS = ("incident", "wavelength", "weight")  # with "source_" before them in a tangent
SCENE_FIELDS = ("polarization", "polar_vector", "fluence", "water")


def _changed(record: Any, **fields: Any) -> Any:
    """A copy of a frozen record with other fields, whatever their type."""
    other = copy.copy(record)
    for name, value in fields.items():
        object.__setattr__(other, name, value)
    return other


def _shifted(value: Any, tangent: Any, step: Any) -> Any:
    """value + step * tangent; the value itself where it does not move."""
    if tangent is None or not np.any(tangent):
        return value
    return oracle.wide(value) + step * oracle.wide(tangent)


def _each(records: Sequence[Any], tangents: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(records, tangents or [None] * len(records), strict=True))


def orientation_rates(tangent: CrystalTangent, crystal: Any, frame: Frame | None) -> Any:
    """(no, 3, 3): how rows a, b, c move by ``cell``, ``turn`` and ``orientations`` together."""
    rows = oracle.wide(crystal.orientations)
    rates = np.zeros(rows.shape, oracle.REAL)
    if tangent.orientations is not None:
        rates = rates + oracle.wide(tangent.orientations)
    if tangent.turn is not None:
        rates = rates + np.cross(oracle.wide(tangent.turn)[:, None, :], rows)
    if tangent.cell is not None:
        assert frame is not None, "a tangent of the cell needs the frame"
        turned = oracle.wide(frame.rotations)
        rates = rates + np.einsum("rj,oij->ori", oracle.wide(tangent.cell), turned)
    return rates


def _crystal(crystal: Any, tangent: CrystalTangent | None, frame: Frame | None, step: Any) -> Any:
    if tangent is None:
        return crystal
    fields = {name: getattr(tangent, name) for name in CRYSTAL_FIELDS}
    fields["orientations"] = orientation_rates(tangent, crystal, frame)
    weights = crystal.orientation_weights
    if weights is None and fields["orientation_weights"] is not None:
        weights = np.ones(len(crystal.orientations))
    moved = {name: _shifted(getattr(crystal, name), rate, step) for name, rate in fields.items()}
    moved["orientation_weights"] = _shifted(weights, fields["orientation_weights"], step)
    return _changed(crystal, **moved)


def _table_rate(table: Any, tangent: TableTangent) -> Any:
    """How the whole box moves; None where it does not."""
    if not tangent.entries:
        return tangent.values
    rate = np.zeros(table.values.shape) if tangent.values is None else np.array(tangent.values)
    for index, change in tangent.entries.items():
        rate[tuple(np.subtract(index, table.origin))] += change
    return rate


def _table(table: Any, tangent: TableTangent | None, step: Any) -> Any:
    if tangent is None:
        return table
    return _changed(
        table,
        values=_shifted(table.values, _table_rate(table, tangent), step),
        default_F=_shifted(table.default_F, tangent.default_F, step),
    )


def shifted(scene: Scene, tangent: SceneTangent, frames: Sequence[Frame | None], step: Any) -> Any:
    """The Scene with step * tangent added to its fields, in the oracle's arithmetic; step real or complex."""
    panels = [
        panel if rate is None
        else _changed(
            panel, **{n: _shifted(getattr(panel, n), getattr(rate, n), step) for n in PANEL_FIELDS}
        )
        for panel, rate in _each(scene.panels, tangent.panels)
    ]  # fmt: skip
    if tangent.source_wavelength is not None:  # what a sensor takes of a source moves with its wavelength
        panels = [
            panel if panel.source_mu is None
            else _changed(
                panel,
                source_mu=_shifted(
                    panel.source_mu, oracle.wide(panel.source_mu_slope) * tangent.source_wavelength, step
                ),
            )
            for panel in panels
        ]  # fmt: skip
    known = list(frames) or [None] * len(scene.crystals)
    crystals = [
        _crystal(crystal, rate, frame, step)
        for (crystal, rate), frame in zip(_each(scene.crystals, tangent.crystals), known, strict=True)
    ]
    sources = {
        name: _shifted(getattr(scene.sources, name), getattr(tangent, f"source_{name}"), step)
        for name in SOURCE_FIELDS
    }
    return _changed(
        scene,
        panels=tuple(panels),
        crystals=tuple(crystals),
        tables=tuple(_table(table, rate, step) for table, rate in _each(scene.tables, tangent.tables)),
        sources=_changed(scene.sources, **sources),
        **{name: _shifted(getattr(scene, name), getattr(tangent, name), step) for name in SCENE_FIELDS},
    )


def scene_derivative(
    scene: Scene, tangent: SceneTangent, frames: Sequence[Frame | None] = ()
) -> tuple[Image, Image]:
    """The oracle's image and its derivative along a tangent, photons and photons per unit, image_shape.

    frames, one of each crystal, are needed where the tangent has a ``cell``.
    """
    image = oracle.render(shifted(scene, tangent, frames, 1j * STEP))
    return image.real.astype(np.float64), (image.imag / STEP).astype(np.float64)


def scene_difference(
    scene: Scene, tangent: SceneTangent, frames: Sequence[Frame | None] = (), step: float = 1e-6
) -> Image:
    """The same derivative by a central difference of eighth order in 80-bit arithmetic.

    Truncation falls with the eighth power of the step; rounding, 1e-19 of the image over the step, does not.
    """
    weights = {1: (4, 5), 2: (-1, 5), 3: (4, 105), 4: (-1, 280)}
    total: Any = 0
    for k, (above, below) in weights.items():
        ends = [
            oracle.render(_exact(shifted(scene, tangent, frames, oracle.REAL(sign * k) * oracle.REAL(step))))
            for sign in (1, -1)
        ]
        total = total + oracle.REAL(above) / below * (ends[0].real - ends[1].real)
    image: Image = (total / oracle.REAL(step)).astype(np.float64)
    return image


def _exact(scene: Any) -> Any:
    """The same Scene with a complex fluence of imaginary part 0: its image is not rounded to double."""
    return _changed(scene, fluence=oracle.COMPLEX(scene.fluence))


def near_choice(scene: Scene, margin: float = 1e-6) -> bool:
    """Whether a sample lies so near an edge of gradients 3 that a last bit may decide on which side it is."""
    return any(
        bool((rendered & _at_edge(scene, sample, margin)).any())
        for panel in scene.panels
        for fast, slow, rendered in [oracle.pixels_of(panel)]
        for sample in oracle.samples(scene, panel, fast, slow)
    )


def _at_edge(scene: Scene, sample: oracle.Sample, margin: float) -> Any:
    q = (sample.d - sample.incident) / oracle.wide(scene.sources.wavelength[sample.source])
    stol = np.sqrt(oracle.dot(q, q)) / 2
    x = sample.hkl - oracle.nearest(sample.hkl)
    edge = np.any(np.abs(x) > 0.5 - margin, axis=-1)
    if sample.table.interpolation != "nearest":
        edge |= np.any(np.abs(x) < margin, axis=-1)
    if sample.crystal.shape == "tophat":
        metric = oracle.wide(sample.crystal.shape_metric)
        rim = oracle.dot(x, np.sum(x[..., None, :] * metric, axis=-1)) * sample.crystal.fudge / 0.3969
        edge |= np.abs(rim - 1) < margin
    if scene.dmin > 0:
        edge |= np.abs(2 * stol * scene.dmin - 1) < margin
    return edge


def only(number: int, of: int, tangent: Any) -> tuple[Any, ...]:
    """A tangent of one record in a tuple of several."""
    return tuple(tangent if i == number else None for i in range(of))


def product(cotangent: SceneTangent, tangent: SceneTangent) -> float:
    """Sum over all fields of cotangent times tangent; of a tangent without ``cell`` and ``turn``."""
    total = 0.0
    for fields, records in (
        (PANEL_FIELDS, _each(cotangent.panels, tangent.panels)),
        (CRYSTAL_FIELDS, _each(cotangent.crystals, tangent.crystals)),
        (TABLE_FIELDS, _each(cotangent.tables, tangent.tables)),
        ([f"source_{name}" for name in SOURCE_FIELDS], [(cotangent, tangent)]),
        (SCENE_FIELDS, [(cotangent, tangent)]),
    ):
        for theirs, ours in records:
            for name in fields if ours is not None else ():
                rate = getattr(ours, name)
                if rate is not None and np.any(rate):
                    total += float(np.sum(np.asarray(getattr(theirs, name)) * rate))
    return total


def plain(tangent: SceneTangent, scene: Scene, frames: Sequence[Frame | None] = ()) -> SceneTangent:
    """The same tangent by fields of the Scene alone: orientations for ``cell`` and ``turn``, whole tables."""
    crystals = []
    known = list(frames) or [None] * len(scene.crystals)
    for (crystal, rate), frame in zip(_each(scene.crystals, tangent.crystals), known, strict=True):
        if rate is not None:
            rows = orientation_rates(rate, crystal, frame).astype(np.float64)
            rate = dataclasses.replace(rate, orientations=rows, cell=None, turn=None)
        crystals.append(rate)
    tables = []
    for table, rate in _each(scene.tables, tangent.tables):
        if rate is not None and rate.entries:
            rate = dataclasses.replace(rate, values=_table_rate(table, rate), entries=None)
        tables.append(rate)
    return dataclasses.replace(tangent, crystals=tuple(crystals), tables=tuple(tables))

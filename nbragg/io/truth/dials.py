"""DIALS files: ``.expt``, experiments as JSON of dxtbx, and ``.refl``, a table of reflections.

The frame is that of imgCIF (beam along -z, spindle along +x), in which dxtbx reads the images that nanobragg
writes as NeXus; ``frame="laboratory"`` keeps the simulation's own.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.vectors import FloatArray, axis_rotation, unit
from ..files.atomic import PathLike, open_atomic
from .msgpack import Value, packed
from .record import Sweep, Truth, laboratory_to

__all__ = ["experiments", "identifiers", "write_experiments", "write_reflections"]

#: of names made from what an experiment holds
_SPACE = uuid.UUID("5c2a5b9e-5d0b-4f1c-9a8e-0d6d0f3e7b11")
#: bits of a reflection table's flags
_PREDICTED, _INDEXED, _STRONG = 1, 4, 32


def write_experiments(path: PathLike, truth: Truth, *, frame: str = "imgcif", **options: Any) -> None:
    """Write a DIALS ``.expt``.

    Parameters
    ----------
    path : path-like
    truth : Truth
    frame : {"imgcif", "laboratory"}
    **options
        ``gain``, ``pedestal``, ``trusted_range``: of the images, see `experiments`.

    Raises
    ------
    InputError, FileError
    """
    content = experiments(truth, frame=frame, **options)
    with open_atomic(path, "w") as stream:
        json.dump(content, stream, indent=2, allow_nan=False)


def experiments(
    truth: Truth,
    *,
    frame: str = "imgcif",
    gain: float = 1.0,
    pedestal: float = 0.0,
    trusted_range: tuple[float, float] = (0.0, 2.0**31 - 2),
) -> dict[str, Any]:
    """The experiment list as plain values: one experiment for each crystal of each still or rotation.

    Parameters
    ----------
    truth : Truth
    frame : {"imgcif", "laboratory"}
    gain, pedestal : float
        Counts per photon, and counts without a photon, of the images.
    trusted_range : (low, high)
        Counts that pixels may have.
    """
    lists: dict[str, list[Any]] = {
        name: []
        for name in (
            "imageset",
            "beam",
            "detector",
            "goniometer",
            "scan",
            "crystal",
            "profile",
            "scaling_model",
        )
    }
    places: dict[tuple[str, str], int] = {}

    def placed(kind: str, model: Any) -> int:
        """Number of a model in its list; what several share is listed once."""
        key = (kind, json.dumps(model, sort_keys=True))
        if key not in places:
            places[key] = len(lists[kind])
            lists[kind].append(model)
        return places[key]

    shown = []
    for sweep, number in truth.experiments:
        turn = laboratory_to(sweep, frame)
        models: dict[str, Any] = {
            "beam": _beam(sweep, turn),
            "detector": _detector(sweep, turn, (gain, pedestal, trusted_range)),
            "crystal": _crystal(sweep, number, turn),
        }
        if sweep.turns:
            models["goniometer"] = _goniometer(sweep, turn)
            models["scan"] = _scan(sweep, truth.images.first + sweep.first)
        imageset = _imageset(truth, sweep)
        if imageset is not None:
            models["imageset"] = imageset
        numbers = {kind: placed(kind, model) for kind, model in models.items()}
        shown.append({"__id__": "Experiment", "identifier": _identifier(sweep, number), **numbers})
    return {"__id__": "ExperimentList", "experiment": shown, **lists}


def identifiers(truth: Truth) -> list[str]:
    """Names of the experiments, the same in every file of one truth."""
    return [_identifier(sweep, number) for sweep, number in truth.experiments]


def _identifier(sweep: Sweep, number: int) -> str:
    """Made from what was simulated, so that it depends on neither the frame nor the images."""
    turn = np.eye(3)
    counts = (1.0, 0.0, (0.0, 0.0))
    models = [_beam(sweep, turn), _detector(sweep, turn, counts), _crystal(sweep, number, turn)]
    if sweep.turns:
        models += [_goniometer(sweep, turn), _scan(sweep, 1)]
    return str(uuid.uuid5(_SPACE, json.dumps([models, sweep.first, number], sort_keys=True)))


def _list(values: Any) -> list[float]:
    return [float(x) + 0.0 for x in np.asarray(values).reshape(-1)]


def _beam(sweep: Sweep, turn: FloatArray) -> dict[str, Any]:
    incident = turn @ sweep.source.incident
    spread = np.linalg.norm(sweep.angles - sweep.source.incident, axis=1)
    widest = max(sweep.placement.hdiv.range, sweep.placement.vdiv.range)
    return {
        "direction": _list(-incident),
        "wavelength": sweep.source.wavelength * 1e10,
        "divergence": math.degrees(widest),
        "sigma_divergence": math.degrees(float(np.sqrt((spread**2).mean()))),
        # normal of the plane of beam and electric field
        "polarization_normal": _list(unit(np.cross(incident, turn @ sweep.polar_vector))),
        "polarization_fraction": 0.5 * (1.0 + sweep.polarization),
        "flux": sweep.flux,
        "transmission": 1.0,
    }


def _detector(
    sweep: Sweep, turn: FloatArray, counts: tuple[float, float, tuple[float, float]]
) -> dict[str, Any]:
    gain, pedestal, trusted = counts

    def node(**own: Any) -> dict[str, Any]:
        return {
            "name": "",
            "type": "",
            "fast_axis": [1.0, 0.0, 0.0],
            "slow_axis": [0.0, 1.0, 0.0],
            "origin": [0.0, 0.0, 0.0],
            "raw_image_offset": [0, 0],
            "image_size": [0, 0],
            "pixel_size": [0.0, 0.0],
            "trusted_range": [0.0, 0.0],
            "thickness": 0.0,
            "material": "",
            "mu": 0.0,
            "identifier": "",
            "mask": [],
            "gain": 1.0,
            "pedestal": 0.0,
            "px_mm_strategy": {"type": "SimplePxMmStrategy"},
            **own,
        }

    panels = []
    for panel, name in zip(sweep.panels, sweep.names, strict=True):
        offset = np.multiply(panel.first, panel.pixel)
        corner = panel.pix0 + offset[0] * panel.fdet + offset[1] * panel.sdet
        thickness = panel.layers * panel.layer_step
        sensor = thickness > 0.0 and panel.mu > 0.0
        panels.append(
            node(
                name=name,
                type="SENSOR_PAD",
                fast_axis=_list(turn @ panel.fdet),
                slow_axis=_list(turn @ panel.sdet),
                origin=_list(turn @ corner * 1e3),
                image_size=[panel.fpixels, panel.spixels],
                pixel_size=[panel.pixel[0] * 1e3, panel.pixel[1] * 1e3],
                trusted_range=[float(trusted[0]), float(trusted[1])],
                gain=gain,
                pedestal=pedestal,
                thickness=thickness * 1e3 if sensor else 0.0,
                mu=panel.mu * 1e-3 if sensor else 0.0,
                material="Si" if sensor else "",
                px_mm_strategy={"type": "ParallaxCorrectedPxMmStrategy" if sensor else "SimplePxMmStrategy"},
            )
        )
    return {"panels": panels, "hierarchy": node(children=[{"panel": i} for i in range(len(panels))])}


def _goniometer(sweep: Sweep, turn: FloatArray) -> dict[str, Any]:
    identity = _list(np.eye(3))
    axis = _list(turn @ sweep.placement.panels[0].spindle)
    return {"rotation_axis": axis, "fixed_rotation": identity, "setting_rotation": identity}


def _scan(sweep: Sweep, first: int) -> dict[str, Any]:
    """A scan; images follow one another without a pause, from time 0."""
    return {
        "image_range": [first, first + sweep.images - 1],
        "batch_offset": 0,
        "oscillation": [math.degrees(sweep.placement.phi0), math.degrees(sweep.placement.osc)],
        "exposure_time": [sweep.exposure_s] * sweep.images,
        "epochs": [i * sweep.exposure_s for i in range(sweep.images)],
        "valid_image_ranges": {},
    }


def _crystal(sweep: Sweep, number: int, turn: FloatArray) -> dict[str, Any]:
    """Axes at spindle angle 0 of a rotation; of a still as it stands."""
    placed = sweep.placement.crystals[number]
    axes = placed.unit_cell.vectors
    if not sweep.turns:
        axes = axes @ axis_rotation(sweep.placement.panels[0].spindle, sweep.placement.phi0).T
    axes = axes @ turn.T
    model: dict[str, Any] = {"__id__": "crystal"}
    for name, axis in zip("abc", axes, strict=True):
        model[f"real_space_{name}"] = _list(axis)
    model["space_group_hall_symbol"] = " P 1"
    if placed.mosaic_spread > 0.0:
        model["mosaicity"] = math.degrees(placed.mosaic_spread)
    return model


def _imageset(truth: Truth, sweep: Sweep) -> dict[str, Any] | None:
    images = truth.images
    if not images.names:
        return None
    names = images.names[sweep.first : sweep.first + sweep.images]
    places = range(sweep.first, sweep.first + sweep.images)
    none = dict.fromkeys(("mask", "gain", "pedestal", "dx", "dy"))
    if not sweep.turns:
        stills: dict[str, Any] = {"__id__": "ImageSet", "images": list(names), **none, "params": {}}
        frame = images.frame(sweep.first)
        if frame is not None:
            stills["single_file_indices"] = [frame]
        return stills
    # dxtbx numbers the files of a template by the scan
    whole: dict[str, Any] = {"__id__": "ImageSequence", "template": images.template or names[0], **none}
    if not images.template:
        whole["single_file_indices"] = [k if images.frame(k) is None else images.frame(k) for k in places]
    return {**whole, "params": {}}


# ---- reflections ----


def write_reflections(path: PathLike, truth: Truth, *, frame: str = "imgcif", indexed: bool = False) -> None:
    """Write a DIALS reflection table.

    Columns of DIALS: ``miller_index``, ``id``, ``panel``, ``s1``, ``xyzcal.px``, ``xyzcal.mm``, ``d``,
    ``flags`` (predicted), ``entering``, ``zeta`` (of rotations), ``partiality``, ``intensity.calc.value``,
    the photons expected.  Of nanobragg: ``intensity.full.value``, those of the whole reflection,
    ``f_squared.calc``, ``lorentz.calc`` (of rotations), ``polarization.calc``, ``capture.calc``.  Left out,
    as DIALS predicts none of them: reflections that come near the Ewald sphere and do not cross it.

    Parameters
    ----------
    path : path-like
    truth : Truth
    frame : {"imgcif", "laboratory"}
    indexed : bool
        As if every reflection had been found where it is and indexed, which dials.refine asks for: flags
        strong and indexed, ``xyzobs.px.value`` and ``xyzobs.mm.value`` equal to those calculated, with the
        variances of a place known to a pixel and a frame, 1/12.  Two predictions then differ by no noise,
        those of a rotation not at all, so DIALS' outlier rejection must be off (outlier.algorithm=null).

    Raises
    ------
    InputError, FileError
    """
    names = identifiers(truth)
    columns = _columns(truth, frame)
    if indexed:
        columns |= _observed(truth, columns)
    rows = len(columns["id"][1])
    data: dict[int | str, Value] = {}
    for name in sorted(columns):
        kind, values = columns[name]
        data[name] = [kind, [rows, np.ascontiguousarray(values).tobytes()]]
    table: dict[int | str, Value] = {
        "identifiers": dict(enumerate(names)),
        "nrows": rows,
        "data": data,
    }
    with open_atomic(path) as stream:
        stream.write(packed(["dials::af::reflection_table", 1, table]))


_Columns = dict[str, tuple[str, NDArray[Any]]]


def _observed(truth: Truth, columns: _Columns) -> _Columns:
    """What stands for observations."""
    pixels = np.concatenate(
        [
            np.array(
                [(*np.multiply(panel.pixel, 1e3), sweep.placement.osc or 1.0) for panel in sweep.panels]
            )[rows["panel"]]
            for sweep, _, rows in _rows(truth)
        ]
    )
    flags = np.full(len(pixels), _PREDICTED | _INDEXED | _STRONG, "<u8")
    ones = np.full(pixels.shape, 1.0 / 12.0, "<f8")
    return {
        "flags": ("std::size_t", flags),
        "xyzobs.px.value": columns["xyzcal.px"],
        "xyzobs.mm.value": columns["xyzcal.mm"],
        "xyzobs.px.variance": ("vec3<double>", ones),
        "xyzobs.mm.variance": ("vec3<double>", (ones * pixels**2).astype("<f8")),
    }


def _rows(truth: Truth) -> Iterator[tuple[Sweep, int, NDArray[np.void]]]:
    """Sweep, crystal and reflections of each experiment."""
    for sweep, crystal in truth.experiments:
        rows = sweep.reflections[sweep.reflections["crystal"] == crystal]
        yield sweep, crystal, rows[np.isfinite(rows["partiality"])]


def _columns(truth: Truth, frame: str) -> _Columns:
    """DIALS' type and little-endian values of each column, one experiment after the other."""
    parts, numbers, s1, zeta = [], [], [], []
    for i, (sweep, _, rows) in enumerate(_rows(truth)):
        # frames count from the array's first image, which a scan of a later number has elsewhere
        if sweep.turns:
            rows["xyz_px"][:, 2] += truth.images.first + sweep.first - 1
        turn = laboratory_to(sweep, frame)
        parts.append(rows)
        numbers.append(np.full(len(rows), i))
        s1.append(rows["s1"] @ turn.T)
        across = unit(np.cross(rows["s1"], sweep.source.incident))
        zeta.append(across @ sweep.placement.panels[0].spindle)
    table = np.concatenate(parts)
    columns = {
        "miller_index": ("cctbx::miller::index<>", table["miller_index"].astype("<i4")),
        "id": ("int", np.concatenate(numbers).astype("<i4")),
        "panel": ("std::size_t", table["panel"].astype("<u8")),
        "flags": ("std::size_t", np.full(len(table), _PREDICTED, "<u8")),
        "entering": ("bool", table["entering"].astype("u1")),
        "s1": ("vec3<double>", np.concatenate(s1).astype("<f8")),
        "xyzcal.px": ("vec3<double>", table["xyz_px"].astype("<f8")),
        "xyzcal.mm": ("vec3<double>", table["xyz_mm"].astype("<f8")),
    }
    if any(sweep.turns for sweep in truth.sweeps):
        columns["zeta"] = ("double", np.concatenate(zeta).astype("<f8"))
        columns["lorentz.calc"] = ("double", table["lorentz"].astype("<f8"))
    for name, field in (
        ("d", "d_A"),
        ("partiality", "partiality"),
        ("intensity.calc.value", "counts"),
        ("intensity.full.value", "full_counts"),
        ("f_squared.calc", "F_sqr"),
        ("polarization.calc", "polarization"),
        ("capture.calc", "capture"),
    ):
        columns[name] = ("double", table[field].astype("<f8"))
    return columns

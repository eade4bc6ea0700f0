"""DIALS experiments (``.expt``, JSON): detector, beam, goniometer, scan and crystals.

A laboratory vector of dxtbx is S R(axis, phi) F A h, with the setting rotation S of the goniometer, its fixed
rotation F and the rotation R by the scan's angle; A has a*, b*, c* as columns.  As S R(axis, phi) =
R(S axis, phi) S, that is our crystal of the matrix S F A, turned by phi about the spindle S axis.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...base.errors import FileError
from ...base.vectors import FloatArray, axis_rotation, unit
from ...model.panel import Panel
from ..images.sensor import sensor_from_file
from .experiment import Experiment, ImageOf, Scan, Varying
from .record import Geometry, Readout, Vector, check_values
from .tree import Node, blamed, load_json

__all__ = ["read", "read_experiments"]

_FRAME = "dxtbx laboratory"
#: of a scan that are named; a damaged file may say any number
_MOST_IMAGES = 10**6
_VALUES = ("attenuation_um", "thickness_um", "material")


class _Goniometer(NamedTuple):
    axis: FloatArray
    fixed: FloatArray
    setting: FloatArray
    settings: FloatArray | None  #: at scan points


class _Beam(NamedTuple):
    fields: dict[str, Any]  #: of a Geometry
    s0: FloatArray | None  #: at scan points, 1/angstrom


def read(file: Path, values: dict[str, Any]) -> Geometry:
    """The geometry of the first experiment, for `nbragg.read_geometry`."""
    return read_experiments(file, values)[0].geometry


def read_experiments(file: Path, values: dict[str, Any] | None = None) -> tuple[Experiment, ...]:
    """Every experiment of a file.

    Parameters
    ----------
    file : Path
    values : mapping, optional
        ``attenuation_um``, ``thickness_um`` and ``material`` of sensors.

    Raises
    ------
    FileError
        For a file that is damaged or holds no experiments; the message names the place.
    InputError
        For other values.
    """
    given = check_values(values, _VALUES, f"{file} (DIALS experiments)")
    top = load_json(file)
    if not top.has("experiment"):
        raise FileError(f"{file} is JSON but holds no DIALS experiments: it has no list 'experiment'")
    entries = top["experiment"].items()
    if not entries:
        raise FileError(f"{file} holds no experiment")
    detectors: dict[int, Geometry] = {}
    return tuple(_experiment(top, entry, detectors, given) for entry in entries)


def _experiment(top: Node, entry: Node, detectors: dict[int, Geometry], values: dict[str, Any]) -> Experiment:
    index = {
        name: entry[name].count() if entry.has(name) else None
        for name in ("imageset", "beam", "detector", "goniometer", "scan", "crystal")
    }

    def model(name: str) -> Node | None:
        which = index[name]
        return None if which is None else top[name].at(which)

    detector, beam_node = model("detector"), model("beam")
    if detector is None or beam_node is None:
        missing = "detector" if detector is None else "beam"
        raise FileError(f"{entry.file}: {entry.place} names no {missing}")
    number = index["detector"]
    assert number is not None
    beam = _beam(beam_node)
    if number not in detectors:
        detectors[number] = _panels(detector).with_values(values)
    scan_node, goniometer_node = model("scan"), model("goniometer")
    goniometer = None if goniometer_node is None else _goniometer(goniometer_node)
    scan, angle = None, 0.0
    if scan_node is not None and goniometer is not None:
        scan, angle = _scan(scan_node)
    fields = dict(beam.fields)
    if goniometer is not None:
        fields["spindle_axis"] = _three(goniometer.setting @ goniometer.axis)
    if scan is not None:
        fields |= {"phi_deg": scan.image(0)[0], "osc_deg": scan.osc_deg, "images": scan.images}
    with blamed(f"{entry.file}: {beam_node.place}"):
        geometry = detectors[number].replace(source=entry.file, **fields)
    crystal = model("crystal")
    parts = _crystal(crystal, goniometer, beam, scan, angle) if crystal is not None else {}
    return Experiment(
        geometry=geometry,
        scan=scan,
        shot=tuple(index[name] for name in ("imageset", "beam", "detector", "goniometer", "scan")),
        identifier=entry["identifier"].text() if entry.has("identifier") else "",
        images=_images(top, index["imageset"], scan_node),
        **parts,
    )


def _images(top: Node, imageset: int | None, scan: Node | None) -> tuple[ImageOf, ...]:
    """The images of an experiment, as dxtbx finds them; () where the file does not tell."""
    listed = top.value.get("imageset")
    if imageset is None or not isinstance(listed, list) or imageset >= len(listed):
        return ()
    node = Node(listed[imageset], top.file, f"imageset[{imageset}]")
    numbers: list[int] | None = None  # from 1, of a scan; a still is one of a single image
    if scan is not None:
        first, last = (int(n) for n in scan["image_range"].numbers(2))
        numbers = list(range(first, min(last, first + _MOST_IMAGES) + 1))
    if node.has("template") and numbers is not None:
        template = node["template"].text()
        marks = re.search(r"#+(?=[^#/]*$)", template)
        if marks is None:
            return tuple(ImageOf(template, number - 1) for number in numbers)
        head, tail, width = template[: marks.start()], template[marks.end() :], len(marks.group())
        return tuple(ImageOf(f"{head}{number:0{width}d}{tail}", None) for number in numbers)
    if not node.has("images"):
        return ()
    names = [entry.text() for entry in node["images"].items()]
    frames: list[int | None] = [None] * len(names)
    if node.has("single_file_indices"):
        frames = [entry.count() for entry in node["single_file_indices"].items()]
    if len(frames) != len(names) or len(names) != (1 if numbers is None else len(numbers)):
        return ()
    return tuple(map(ImageOf, names, frames))


# ---- detector ----------------------------------------------------------------------------------------------


def _panels(detector: Node) -> Geometry:
    """Panels in the laboratory, and the groups of the hierarchy; the beam is put in later."""
    nodes = detector["panels"].items()
    frames: list[tuple[FloatArray, FloatArray] | None] = [None] * len(nodes)
    groups: dict[str, tuple[int, ...]] = {}
    if detector.has("hierarchy"):
        base = np.eye(3), np.zeros(3)
        _descend(detector["hierarchy"], base, nodes, frames, groups, 0)
    else:
        frames = [_frame(node, (np.eye(3), np.zeros(3))) for node in nodes]
    panels, readouts = [], []
    for node, frame in zip(nodes, frames, strict=True):
        if frame is None:
            raise FileError(f"{node.file}: {node.place} has no place in the hierarchy")
        panels.append(_panel(node, *frame))
        readouts.append(_readout(node))
    with blamed(f"{detector.file}: {detector.place}"):
        return Geometry(
            panels=tuple(panels),
            readouts=tuple(readouts),
            groups=groups,
            frame=_FRAME,
            beam_vector=(0.0, 0.0, -1.0),
        )


def _frame(node: Node, parent: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Axes (columns fast, slow, fast x slow) and origin of a node in the laboratory."""
    if not any(node.has(name) for name in ("fast_axis", "slow_axis", "origin")):
        return parent  # a group without a frame of its own
    fast, slow = unit(node["fast_axis"].vector()), unit(node["slow_axis"].vector())
    axes, origin = parent
    local = np.stack([fast, slow, np.cross(fast, slow)], axis=1)
    return axes @ local, origin + axes @ node["origin"].point()


def _descend(
    node: Node,
    parent: tuple[FloatArray, FloatArray],
    panels: list[Node],
    frames: list[tuple[FloatArray, FloatArray] | None],
    groups: dict[str, tuple[int, ...]],
    depth: int,
) -> list[int]:
    """Fill in the frames below a node; returns the panels there."""
    if node.mapping().has("panel"):
        which = node["panel"].count()
        if which >= len(panels) or frames[which] is not None:
            raise node["panel"].error(f"each of the {len(panels)} panels once")
        frames[which] = _frame(panels[which], parent)
        return [which]
    frame = _frame(node, parent)
    below: list[int] = []
    for child in node["children"].items():
        below += _descend(child, frame, panels, frames, groups, depth + 1)
    name = node["name"].text() if node.has("name") else ""
    if depth > 0:
        # groups may share a name, or have none: then the path in the file tells them apart
        groups[name if name and name not in groups else node.place] = tuple(below)
    return below


def _panel(node: Node, axes: FloatArray, origin: FloatArray) -> Panel:
    fpixels, spixels = (int(n) for n in node["image_size"].numbers(2))
    edges = node["pixel_size"].numbers(2)
    thickness_um = sensor_from_file(1e3 * node["thickness"].number() if node.has("thickness") else 0.0)
    mu = node["mu"].number() if node.has("mu") else 0.0
    with blamed(f"{node.file}: {node.place}"):
        return Panel(
            origin_mm=_three(origin),
            fast=_three(axes[:, 0]),
            slow=_three(axes[:, 1]),
            fpixels=fpixels,
            spixels=spixels,
            pixel_mm=(edges[0], edges[1]),
            thickness_um=thickness_um,
            attenuation_um=1e3 / mu if thickness_um and mu else None,
            mask=_mask(node, fpixels, spixels),
            name=node["name"].text() if node.has("name") else "",
        )


def _mask(node: Node, fpixels: int, spixels: int) -> Any:
    """Pixels outside the rectangles [x0, y0, x1, y1), or None."""
    rectangles = node["mask"].items() if node.has("mask") else []
    if not rectangles or fpixels < 1 or spixels < 1:
        return None
    mask = np.ones((spixels, fpixels), np.uint8)
    for rectangle in rectangles:
        x0, y0, x1, y1 = (int(max(n, 0)) for n in rectangle.numbers(4))
        mask[y0:y1, x0:x1] = 0
    return mask


def _readout(node: Node) -> Readout:
    trusted = node["trusted_range"].numbers(2) if node.has("trusted_range") else None
    return Readout(
        gain=node["gain"].number() if node.has("gain") else None,
        trusted_range=None if trusted is None else (trusted[0], trusted[1]),
        material=(node["material"].text() or None) if node.has("material") else None,
    )


# ---- beam, goniometer, scan --------------------------------------------------------------------------------


def _beam(node: Node) -> _Beam:
    probe = node["probe"].text() if node.has("probe") else "x-ray"
    if probe != "x-ray":
        raise node["probe"].error("'x-ray', the only radiation that is simulated")
    along = -unit(node["direction"].vector())
    fields: dict[str, Any] = {"beam_vector": _three(along)}
    if node.has("wavelength"):  # a polychromatic beam has a range instead
        fields["wavelength_A"] = node["wavelength"].number()
    if node.has("polarization_normal"):
        across = np.cross(node["polarization_normal"].vector(), along)
        if np.linalg.norm(across) < 1e-9:
            raise node["polarization_normal"].error("a vector that is not along the beam")
        fields["polar_vector"] = _three(unit(across))
    if node.has("polarization_fraction"):
        fields["polarization"] = 2.0 * node["polarization_fraction"].number() - 1.0
    if node.has("flux") and node["flux"].number() > 0:
        fields["flux"] = node["flux"].number()
    points = None
    if node.has("s0_at_scan_points") and node["s0_at_scan_points"].items():
        points = np.array([entry.vector() for entry in node["s0_at_scan_points"].items()])
    return _Beam(fields, points)


def _goniometer(node: Node) -> _Goniometer:
    settings = None
    if node.has("setting_rotation_at_scan_points") and node["setting_rotation_at_scan_points"].items():
        settings = np.array([entry.matrix() for entry in node["setting_rotation_at_scan_points"].items()])
    if node.mapping().has("axes"):
        axes = [unit(entry.vector()) for entry in node["axes"].items()]
        angles = node["angles"].numbers(len(axes))
        scan_axis = node["scan_axis"].count()
        if scan_axis >= len(axes):
            raise node["scan_axis"].error(f"one of {len(axes)} axes, counted from 0")
        turns = [axis_rotation(axis, math.radians(t)) for axis, t in zip(axes, angles, strict=True)]
        # the first axis is next to the crystal
        fixed, setting = np.eye(3), np.eye(3)
        for turn in turns[:scan_axis]:
            fixed = turn @ fixed
        for turn in turns[scan_axis + 1 :]:
            setting = turn @ setting
        return _Goniometer(axes[scan_axis], fixed, setting, settings)
    fixed = node["fixed_rotation"].matrix() if node.has("fixed_rotation") else np.eye(3)
    setting = node["setting_rotation"].matrix() if node.has("setting_rotation") else np.eye(3)
    return _Goniometer(unit(node["rotation_axis"].vector()), fixed, setting, settings)


def _scan(node: Node) -> tuple[Scan | None, float]:
    """The rotation and its first angle; None for stills, whose images have no width."""
    first, last = node["image_range"].numbers(2)
    images = int(last - first) + 1
    if images < 1:
        raise node["image_range"].error("the numbers of the first and the last image")
    if node.has("oscillation"):
        start, width = node["oscillation"].numbers(2)
    else:  # later versions keep what each image has
        of_each = node["properties"].mapping() if node.has("properties") else Node({}, node.file, node.place)
        if not of_each.has("oscillation"):
            return None, 0.0
        starts = [entry.number() for entry in of_each["oscillation"].items()]
        if not starts:
            return None, 0.0
        start = starts[0]
        if len(starts) > 1:
            width = starts[1] - starts[0]
        elif of_each.has("oscillation_width"):
            width = of_each["oscillation_width"].at(0).number()
        else:
            return None, start
    return (None if width == 0 else Scan(start, width, images, int(first))), start


# ---- crystal -----------------------------------------------------------------------------------------------


def _crystal(
    node: Node, goniometer: _Goniometer | None, beam: _Beam, scan: Scan | None, angle: float
) -> dict[str, Any]:
    """Fields of an Experiment: matrices in the laboratory at spindle angle 0; of a still, at its angle."""
    direct = np.array([node[f"real_space_{axis}"].vector() for axis in "abc"])
    if abs(np.linalg.det(direct)) <= 1e-9 * np.prod(np.linalg.norm(direct, axis=1)):
        raise node["real_space_a"].error("three axes real_space_a, b, c that span space")
    matrix = np.linalg.inv(direct)
    mount = np.eye(3)
    if goniometer is not None:
        turn = np.eye(3) if scan is not None else axis_rotation(goniometer.axis, math.radians(angle))
        mount = goniometer.setting @ turn @ goniometer.fixed
    parts: dict[str, Any] = {"a_matrix": mount @ matrix, "mosaicity_deg": _mosaicity(node)}
    if node.has("space_group_hall_symbol"):
        parts["space_group"] = node["space_group_hall_symbol"].text()
    if scan is not None:
        assert goniometer is not None  # without one there is no scan
        points = None
        if node.has("A_at_scan_points") and node["A_at_scan_points"].items():
            points = np.array([entry.matrix() for entry in node["A_at_scan_points"].items()])
            _check_points(points, scan, node["A_at_scan_points"])
        parts["varying"] = _varying(scan, goniometer, beam, matrix, points, node)
    return parts


def _varying(
    scan: Scan,
    goniometer: _Goniometer,
    beam: _Beam,
    matrix: FloatArray,
    points: FloatArray | None,
    node: Node,
) -> Varying | None:
    """What changes from image to image beside the angle, at the points between images."""
    if points is None and goniometer.settings is None and beam.s0 is None:
        return None
    for what in (goniometer.settings, beam.s0):
        if what is not None:
            _check_points(what, scan, node)
    count = scan.images + 1
    settings = goniometer.settings
    if settings is None:
        settings = np.broadcast_to(goniometer.setting, (count, 3, 3))
    inner = np.broadcast_to(matrix, (count, 3, 3)) if points is None else points
    spindles = None if goniometer.settings is None else settings @ goniometer.axis
    return Varying(settings @ goniometer.fixed @ inner, spindles, beam.s0)


def _check_points(points: FloatArray, scan: Scan, node: Node) -> None:
    if len(points) != scan.images + 1:
        raise FileError(
            f"{node.file}: {node.place}: {len(points)} scan points for a scan of {scan.images} images; "
            f"expected {scan.images + 1}, those between the images and at both ends"
        )
    if points.ndim == 3 and (np.abs(np.linalg.det(points)) == 0).any():
        raise FileError(f"{node.file}: {node.place}: a matrix of a scan point is singular")


def _mosaicity(node: Node) -> float | None:
    for name in ("mosaicity", "ML_half_mosaicity_deg"):
        if node.has(name):
            value = node[name].number()
            return value if value > 0 else None
    return None


def _three(vector: Any) -> Vector:
    x, y, z = (float(v) for v in vector)
    return x, y, z

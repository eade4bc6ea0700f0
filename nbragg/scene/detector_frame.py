"""Conventions and pivots in force, and the directions before the detector is turned (canonical 3.2, 3.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..base.errors import InputError
from ..base.vectors import FloatArray, unit
from ..base.warn import warn
from ..model.conventions import CONVENTIONS, Convention
from ..model.detector import Detector
from ..model.physics import Physics

__all__ = [
    "Axes",
    "Directions",
    "Vector",
    "effective_convention",
    "effective_pivot",
    "given_vectors",
    "initial_frame",
]

Vector = tuple[float, float, float]


class Directions(NamedTuple):
    """The laboratory's directions as far as they were given, any length."""

    beam_vector: Vector | None = None
    polar_vector: Vector | None = None
    spindle_axis: Vector | None = None


@dataclass(frozen=True)
class Axes:
    """Unit vectors before the detector is turned."""

    beam: FloatArray
    fast: FloatArray
    slow: FloatArray
    normal: FloatArray
    twotheta_axis: FloatArray
    polar: FloatArray
    spindle: FloatArray


def given_vectors(detector: Detector, directions: Directions) -> dict[str, Vector]:
    """The vectors that were given."""
    given = {
        "fdet_vector": detector.fdet_vector,
        "sdet_vector": detector.sdet_vector,
        "odet_vector": detector.odet_vector,
        "twotheta_axis": detector.twotheta_axis,
        "pix0_vector_m": detector.pix0_vector_m,
        **directions._asdict(),
    }
    return {name: vector for name, vector in given.items() if vector is not None}


def effective_convention(detector: Detector, given: dict[str, Vector]) -> str:
    """The convention in force: any vector given selects custom (canonical 2), unless another was named."""
    if given and detector.convention == "mosflm":
        return "custom"
    if given and detector.convention != "custom":
        warn(
            f"{', '.join(given)} without effect: convention {detector.convention!r} has its own vectors; "
            "use convention 'custom'"
        )
    return detector.convention


def effective_pivot(detector: Detector, convention: str, physics: Physics) -> str:
    """The pivot in force (canonical 3.4, 11)."""
    if convention == "custom":
        if detector.pivot is not None:
            return detector.pivot
        near = (
            detector.close_distance_mm,
            detector.Xclose_mm,
            detector.Yclose_mm,
            detector.ORGX,
            detector.ORGY,
        )
        return "sample" if detector.twotheta_deg.real != 0 or any(x is not None for x in near) else "beam"
    own = CONVENTIONS[convention].pivot
    if detector.pivot in (None, own):
        return own
    if physics.honours_placing:
        assert detector.pivot is not None
        return detector.pivot
    warn(
        f"pivot {detector.pivot!r} is lost: convention {convention!r} pivots about the {own}; "
        "use convention 'custom' or physics 'exact'"
    )
    return own


def initial_frame(convention: Convention, vectors: tuple[tuple[str, Vector], ...]) -> Axes:
    """Unit vectors of a convention, with those given in the custom one, by name (canonical 3.2)."""
    given = dict(vectors) if convention.name == "custom" else {}
    fast = unit(given.get("fdet_vector", convention.fast))
    slow = unit(given.get("sdet_vector", convention.slow))
    if np.linalg.norm(np.cross(fast, slow)) < 1e-9:
        raise InputError(
            f"fdet_vector and sdet_vector are parallel ({fast} and {slow}): a detector needs two directions"
        )
    x, y, z = given.get("odet_vector", convention.normal)
    normal = np.array([x, y, z])
    # summed as written: the last place decides whether the vector is kept
    if math.sqrt(x * x + y * y + z * z) != 1.0:
        warn(f"odet_vector {(x, y, z)} is not of unit length: replaced by fdet_vector x sdet_vector")
        normal = np.cross(fast, slow)
    return Axes(
        beam=unit(given.get("beam_vector", convention.beam)),
        fast=fast,
        slow=slow,
        normal=unit(normal),
        twotheta_axis=unit(given.get("twotheta_axis", convention.twotheta_axis)),
        polar=unit(given.get("polar_vector", convention.polar)),
        spindle=unit(given.get("spindle_axis", convention.spindle)),
    )

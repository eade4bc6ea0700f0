"""Names that stand for several parameters: a cell by its lattice system, a beam centre (gradients 2.4)."""

from __future__ import annotations

from collections.abc import Callable

from ..base.errors import InputError
from ..model.setup import Setup
from .detector_centres import image_size
from .parameter_registry import CELL
from .record import Scene

__all__ = ["cell_ties", "centre_fields"]

#: lengths (relative) and angles (degrees) that differ by less are the same
_SAME = 1e-6

#: conventions that take the near point as the beam centre where none is given
_NEAR_POINT = ("xds", "dials", "custom")


def cell_ties(cell: tuple[float, ...], angles: bool) -> list[tuple[str, ...]]:
    """Elements of a unit cell that are free, each with those that move with it, by its lattice system.

    Parameters
    ----------
    cell : 6 floats
    angles : bool
        Whether angles count: with an A matrix they are the matrix's.

    Returns
    -------
    list of tuple of str
        Of a tetragonal cell ``[("a", "b"), ("c",)]``.
    """
    lengths, (alpha, beta, gamma) = dict(zip("abc", cell[:3], strict=True)), cell[3:]

    def right(angle: float) -> bool:
        return abs(angle - 90.0) < _SAME

    def alike(*names: str) -> bool:
        values = [lengths[name] for name in names]
        return max(values) - min(values) <= _SAME * max(values)

    all_right = right(alpha) and right(beta) and right(gamma)
    hexagonal = right(alpha) and right(beta) and abs(gamma - 120.0) < _SAME and alike("a", "b")
    rhombohedral = alike("a", "b", "c") and max(alpha, beta, gamma) - min(alpha, beta, gamma) < _SAME
    if all_right or rhombohedral:
        free = _tied_lengths(alike)
        return free if all_right or not angles else [*free, ("alpha", "beta", "gamma")]
    if hexagonal:
        return [("a", "b"), ("c",)]
    free = [("a",), ("b",), ("c",)]
    skew = [name for name, angle in zip(CELL[3:], (alpha, beta, gamma), strict=True) if not right(angle)]
    if len(skew) > 1:
        skew = list(CELL[3:])  # triclinic: an angle of 90 degrees is one by chance
    return [*free, *((name,) for name in skew)] if angles else free


def _tied_lengths(alike: Callable[..., bool]) -> list[tuple[str, ...]]:
    """Edges between right angles, or equal angles, that have one length."""
    if alike("a", "b", "c"):
        return [("a", "b", "c")]
    for pair, single in ((("a", "b"), "c"), (("b", "c"), "a"), (("a", "c"), "b")):
        if alike(*pair):
            return sorted([pair, (single,)])
    return [("a",), ("b",), ("c",)]


def centre_fields(setup: Setup, scene: Scene) -> list[tuple[str, float]]:
    """The two fields of the detector that place it sideways, and what is in force of them, given or not.

    Raises
    ------
    InputError
        Where none does: for explicit panels, and for a first pixel that was placed.
    """
    detector, physics = setup.detector, setup.rules
    place = scene.placement.panels[0]
    custom = place.convention == "custom"
    if detector.panels or (physics.honours_placing and custom and detector.pix0_vector_m is not None):
        by = "its panels say" if detector.panels else "pix0_vector_m says"
        raise InputError(f"detector.centre: {by} where it stands; take detector.shift_mm")
    fields = []
    edges = image_size(detector)[2:]
    close, beam = (place.Xclose, place.Yclose), (place.Xbeam, place.Ybeam)
    for i, axis in enumerate("XY"):
        given = {
            name: getattr(detector, name) for name in (f"{axis}beam_mm", f"{axis}close_mm", f"ORG{axis}")
        }
        in_force = {
            f"{axis}beam_mm": beam[i] * 1e3,
            f"{axis}close_mm": close[i] * 1e3,
            f"ORG{axis}": edges[i] / 2 / place.pixel[i] + 0.5,
        }
        name = _centre_field(axis, place.convention, place.pivot, given, physics.honours_placing)
        value = given[name]
        fields.append((name, in_force[name] if value is None else value))
    return fields


def _centre_field(
    axis: str, convention: str, pivot: str, given: dict[str, float | None], honours_near: bool
) -> str:
    """Beam centre, near point or origin, as canonical 3.2, 3.4 and 11 choose among them."""
    beam, near, origin = f"{axis}beam_mm", f"{axis}close_mm", f"ORG{axis}"
    if pivot == "sample" and honours_near and given[near] is not None and given[origin] is None:
        return near
    if pivot == "sample" and convention != "custom":
        return origin
    if given[beam] is not None or convention not in _NEAR_POINT:
        return beam
    return near if given[near] is not None else origin if given[origin] is not None else beam

"""Continuous parameters of a set-up by name: what there is, how the Scene moves with it, moving it.

Names are those of gradients 2: a field of a record (``"detector.distance_mm"``), an element of one
(``"crystal.misset_deg[1]"``), or a group (``"crystal.cell"``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..base import validate as check
from ..base.errors import InputError
from ..base.numbers import stepped
from ..base.warn import said_before
from ..model.setup import Setup
from .build import make_scene
from .complex_step import frames, tangent_along
from .crystal_cell import standing_rotation
from .parameter_expansion import Parameter, Place, Subject, parameters_of
from .parameter_records import record_at, revalidated, with_elements, with_fields
from .parameter_registry import REGISTRY, in_force, with_numbers
from .record import Scene
from .scene_fields import scene_tangent, tangent_of
from .stages import Stages
from .tangent import Frame, SceneTangent, TableTangent

__all__ = ["Parameter", "expand", "folded", "moved", "tangents"]


def expand(
    names: Iterable[str], setup: Setup, *, scene: Scene | None = None, steps: bool = False
) -> tuple[Parameter, ...]:
    """The parameters that names stand for, in their order.

    Parameters
    ----------
    names : iterable of str
        Of parameters or groups: ``crystal.cell``, free elements by the lattice system, those that move
        together as one (``"crystal.cell.a=b"``); ``crystal.orientation``, the three ``rotation_deg``;
        ``crystal.N``; ``detector.centre``, the two fields in force; any field of several numbers, all of
        them.
    setup : Setup
    scene : Scene, optional
        That of the set-up, where it is at hand.
    steps : bool
        Take parameters that a crystal with ``shape="tophat"`` follows in steps, with derivative 0.

    Returns
    -------
    tuple of Parameter

    Raises
    ------
    InputError
        For an unknown name (the nearest known one is given), an index out of range, a field that is not set
        or without effect, a range that has collapsed to a point, positions with ``shape="tophat"``, and
        a number that is named twice.
    """
    if isinstance(names, str):
        raise InputError(f"parameters are a list of names, not {names!r}: write [{names!r}]")
    with said_before():
        subject = Subject(setup, scene)
        found = tuple(p for name in names for p in parameters_of(name, subject, steps=steps))
    seen: dict[Place, str] = {}
    for parameter in found:
        for place in parameter.moves:
            if place in seen:
                raise InputError(f"{parameter.name} moves what {seen[place]} moves: name one of them, once")
            seen[place] = parameter.name
    paths = {place.path for place in seen}
    flux = paths & {"beam.flux", "beam.exposure_s", "beam.beamsize_mm"}
    if "beam.fluence" in paths and flux:
        raise InputError(f"beam.fluence takes the place of {', '.join(sorted(flux))}: name one of them")
    spectral = sorted(path for path in paths if path.startswith("beam.spectrum."))
    if "beam.wavelength_A" in paths and spectral:
        raise InputError(f"beam.wavelength_A is the mean that {spectral[0]} moves: name one of them")
    return found


def tangents(
    setup: Setup, parameters: Sequence[Parameter], made: Stages | None = None
) -> tuple[list[SceneTangent], tuple[Frame, ...]]:
    """How the Scene moves with each parameter, per unit of it, and the frames of its crystals.

    Parameters
    ----------
    setup : Setup
    parameters : sequence of Parameter
        Of this set-up, from `expand`.
    made : Stages, optional
        By which its Scene was made; they stay as they are.

    Returns
    -------
    tangents : list of SceneTangent
        One for each parameter; what a cell's parameters move is in ``cell``, what turns orientations in
        ``turn``, ``orientations`` is moved by parameters of the Scene alone.
    frames : tuple of Frame
        One for each crystal.

    Notes
    -----
    Counts, conventions, pivot and look-ups are held (gradients 3).  Nothing is warned of: what there is to
    warn of was said of the Scene.
    """
    with said_before():
        base, kept = _settled(setup, parameters), Stages(made)
        scene = make_scene(base, kept)
        return [_tangent(base, scene, parameter, kept) for parameter in parameters], frames(scene)


def _tangent(base: Setup, scene: Scene, parameter: Parameter, kept: Stages) -> SceneTangent:
    path, number, index = parameter.moves[0]
    if path.startswith("scene."):
        return scene_tangent(scene, path.partition(".")[2], number, index)
    if path == "crystal.structure_factors.values":
        h, k, l = index  # noqa: E741 - the index's name
        return _of_tables(scene, number, TableTangent(entries={(h, k, l): 1.0}))
    if path == "crystal.structure_factors.default_F":
        return _of_tables(scene, number, TableTangent(default_F=1.0))
    entry = REGISTRY[path]
    value = in_force(base, entry, number)
    elements = [(place.element, stepped(_element(value, place.element))) for place in parameter.moves]
    return tangent_along(with_numbers(base, entry, number, with_elements(value, elements)), scene, kept)


def _of_tables(scene: Scene, number: int, table: TableTangent) -> SceneTangent:
    """Of all tables of a crystal, one for each energy that sources name: the same numbers are in each."""
    first = scene.crystals[scene.placement.block(number)].table
    return tangent_of(scene, tables={first + i: table for i in range(1 + int(scene.sources.table.max()))})


def _element(value: object, index: tuple[int, ...]) -> float:
    for i in index:
        value = value[i]  # type: ignore[index]
    return float(value)  # type: ignore[arg-type]


def _settled(setup: Setup, parameters: Iterable[Parameter]) -> Setup:
    """The set-up with what is in force of parameters written into their fields: the same, by its numbers."""
    for parameter in parameters:
        for path, number, _ in parameter.moves:
            entry = REGISTRY.get(path)
            if entry is None:
                continue
            if entry.settle is not None:
                setup = entry.settle(setup, number)
            record = record_at(setup, entry.record, number)
            if record is not None and getattr(record, entry.field) is None:  # a default beam centre
                setup = with_fields(setup, entry.record, number, **{entry.field: parameter.value})
    return setup


def moved(setup: Setup, values: Mapping[Any, float]) -> Setup:
    """The set-up with parameters at other values; all else as it is.

    Parameters
    ----------
    setup : Setup
    values : mapping
        Value by name, or by `Parameter`.  Names are those of single parameters; a field that is not set may
        be named, and is set.

    Returns
    -------
    Setup

    Raises
    ------
    InputError
        For an unknown name, the name of a group or of a field of the Scene, and for values that the records
        refuse.

    Notes
    -----
    A misset that was drawn or given as a matrix becomes angles, a fluence takes the place of a flux, and with
    ``detector.twotheta_deg`` the pivot of a custom convention is said, so that it stays.
    """
    with said_before():
        subject = Subject(setup)
        found = [(_single(key, subject), value) for key, value in values.items()]
        changed = _settled(setup, (parameter for parameter, _ in found))
        elements: dict[tuple[str, int], list[tuple[tuple[int, ...], float]]] = {}
        for parameter, value in found:
            number = check.number(parameter.name, value)
            for place in parameter.moves:
                elements.setdefault((place.path, place.number), []).append((place.element, number))
        for (path, number_of), numbers in elements.items():
            changed = _written(changed, path, number_of, numbers)
    return revalidated(changed, ((REGISTRY[path].record, number) for path, number in elements))


def _single(key: str | Parameter, subject: Subject) -> Parameter:
    found: tuple[Parameter, ...]
    found = (key,) if isinstance(key, Parameter) else parameters_of(key, subject, steps=True, unset=True)
    if len(found) != 1:
        names = ", ".join(parameter.name for parameter in found[:6])
        raise InputError(f"{key} stands for {len(found)} parameters: give values for {names}")
    if found[0].moves[0].path.startswith("scene."):
        raise InputError(f"{found[0].name} belongs to the Scene, which is made from the set-up: move that")
    return found[0]


def _written(
    setup: Setup, path: str, number: int, elements: Sequence[tuple[tuple[int, ...], float]]
) -> Setup:
    entry = REGISTRY[path]
    if path == "crystal.structure_factors.values":
        origin = setup.sample.crystals[number].structure_factors.origin
        elements = [
            (tuple(i - o for i, o in zip(index, origin, strict=True)), value) for index, value in elements
        ]
    value = in_force(setup, entry, number)
    return with_numbers(setup, entry, number, with_elements(value, elements))


def folded(setup: Setup) -> Setup:
    """The set-up with each crystal's ``rotation_deg`` taken up into its ``orientation``.

    A drawn misset becomes a matrix too; crystals without a rotation stay as they are.
    """
    for i, crystal in enumerate(setup.sample.crystals):
        if any(crystal.rotation_deg):
            turned = standing_rotation(crystal, setup.rules)
            fields = {"orientation": turned, "misset_deg": None, "misset_seed": None}
            setup = with_fields(setup, "crystal", i, rotation_deg=(0.0, 0.0, 0.0), **fields)
    return setup

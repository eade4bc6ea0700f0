"""From names to parameters: elements, groups, and the reasons why there is none (gradients 2 and 3)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..model.crystal import Crystal
from ..model.sample import ROTATION
from ..model.setup import Setup
from .build import make_scene
from .crystal_size import Sizes, block_edges
from .parameter_groups import cell_ties, centre_fields
from .parameter_names import Name, indexed, parsed, unknown
from .parameter_records import listed_records, record_at
from .parameter_registry import CELL, REGISTRY, Entry, in_force
from .record import Scene
from .scene_fields import FIELDS, check_scene_field, scene_value
from .stages import Stages

__all__ = ["Parameter", "Place", "Subject", "parameters_of"]


class Place(NamedTuple):
    """One number of a set-up, or of its Scene."""

    path: str  #: record and field
    number: int  #: of the crystal or panel; 0 elsewhere
    element: tuple[int, ...]  #: within the field


@dataclass(frozen=True)
class Parameter:
    """A number that an image may be differentiated by.

    Attributes
    ----------
    name : str
        As it may be given again: ``"crystal.cell.a"``, or ``"crystal.cell.a=b"`` where both are one.
    unit : str
        Of the field; ``"-"`` without one.
    value : float
        In the set-up.
    moves : tuple of Place
        The numbers that it sets.
    """

    name: str
    unit: str
    value: float
    moves: tuple[Place, ...] = field(repr=False)


class Subject:
    """A set-up whose parameters are asked for, and its Scene when that is needed."""

    def __init__(self, setup: Setup, scene: Scene | None = None) -> None:
        self.setup = setup
        if scene is not None:
            self.__dict__["scene"] = scene

    @cached_property
    def scene(self) -> Scene:
        return make_scene(self.setup, Stages())


#: names without a registry entry of their own
_GROUPS = ("crystal.cell", "crystal.orientation", "detector.centre")
_KNOWN = (
    *(f"crystal.cell.{element}" for element in CELL),
    *(name.removesuffix(".values") for name in REGISTRY if name != "crystal.cell"),
    *_GROUPS,
    *(f"scene.{name}" for name in FIELDS),
)


def parameters_of(
    name: str, subject: Subject, *, steps: bool = False, unset: bool = False
) -> tuple[Parameter, ...]:
    """The parameters that one name stands for.

    Parameters
    ----------
    name : str
    subject : Subject
    steps : bool
        As `expand`.
    unset : bool
        Name fields that are not set, or without a derivative, all the same; the value is then NaN.

    Raises
    ------
    InputError
        As `expand`.
    """
    wanted = parsed(name)
    if wanted.record.split(".")[0] == "scene":
        return _of_scene(wanted, subject, steps)
    number = _number(wanted, subject.setup)
    if wanted.path == "detector.centre":
        return _centre(wanted, subject, steps)
    if wanted.path == "crystal.orientation":
        wanted = wanted._replace(field="rotation_deg")
    element = wanted.field.removeprefix("cell.")
    if wanted.record == "crystal" and (wanted.field == "cell" or element in CELL):
        found = _cell(wanted, subject.setup, number, "" if wanted.field == "cell" else element, unset)
    else:
        found = _of_field(wanted, subject, number, unset)
    for parameter in found if not (steps or unset) else ():
        _check_top_hat(parameter, subject.setup)
    return found


def _number(name: Name, setup: Setup) -> int:
    """Of the crystal or panel, checked."""
    sample = setup.sample
    if name.record == "crystal":
        turns = name.field in ROTATION
        if name.number is None:
            if len(sample) > 1 and not turns:
                raise InputError(
                    f"{name.given}: the sample has {len(sample)} crystals; write "
                    f"sample.crystals[0].{name.field}"
                )
            return 0
        if turns and len(sample) > 1:
            raise InputError(f"{name.given}: the crystals turn together; write crystal.{name.field}")
        return _within(name, name.number, len(sample), "crystal")
    owner = name.path.rpartition(".")[0]
    listed = listed_records(setup, owner)
    if listed is None:
        return 0
    what = owner.rpartition(".")[2].removesuffix("s")
    if name.number is None and len(listed) != 1:
        raise InputError(f"{name.given}: there are {len(listed)} {what}s; write {owner}[0]....")
    return _within(name, name.number or 0, len(listed), what)


def _within(name: Name, number: int, count: int, what: str) -> int:
    if not 0 <= number < count:
        raise InputError(f"{name.given}: there is no {what} {number}; {count} are counted from 0")
    return number


# ---- fields of records -------------------------------------------------------------------------------------


def _of_field(name: Name, subject: Subject, number: int, unset: bool) -> tuple[Parameter, ...]:
    setup = subject.setup
    path = "crystal.structure_factors.values" if name.path == "crystal.structure_factors" else name.path
    entry = REGISTRY.get(path)
    if entry is None or name.tied:
        raise unknown(name.given, _KNOWN)
    if not unset and path == "crystal.N" and name.element is None:
        return _free_cells(name, entry, setup, number)
    value = _value(name, entry, setup, number, unset)
    if not unset:
        _check(name, entry, subject, number)
    if path == "crystal.structure_factors.values":
        return (_reflection(name, setup, number),)
    return tuple(
        Parameter(_spelled(name, index), entry.unit, _at(value, index), (Place(path, number, index),))
        for index in _indices(name, np.shape(value))
    )


def _spelled(name: Name, index: tuple[int, ...]) -> str:
    return f"{name.owner}.{name.field}{indexed(index)}"


def _value(name: Name, entry: Entry, setup: Setup, number: int, unset: bool) -> Any:
    """What is in force; InputError where nothing is."""
    value = in_force(setup, entry, number)
    if value is not None:
        return value
    record = record_at(setup, entry.record, number)
    if record is not None and not hasattr(record, entry.field):
        kind = type(record).__name__
        raise InputError(f"{name.given}: {name.owner} is a {kind}, which has no {entry.field}")
    if record is not None and unset and name.element is None:
        return math.nan
    what = _spelled(name, ()) if record is not None else entry.name.rpartition(".")[0]
    raise InputError(f"{name.given} has no derivative: {what} is not set; give it a value first")


def _check(name: Name, entry: Entry, subject: Subject, number: int) -> None:
    """Refuse what is set but has no derivative."""
    why = entry.without(subject.setup, number) if entry.without is not None else ""
    if why:
        raise InputError(f"{name.given} {why}")
    if entry.name == "crystal.N" and name.element:
        decides, sizes = _deciding(subject.setup.sample.crystals[number])
        if dict(enumerate(sizes)).get(name.element[0]) is not None:
            raise InputError(f"{name.given} has no effect: {decides} decides the number of cells, a count")
    if entry.name in ("beam.polarization", "beam.polarization_azimuth_deg"):
        _check_polar_axes(name, subject.scene)


def _check_polar_axes(name: Name, scene: Scene) -> None:
    if not scene.placement.panels[0].vert_vector.any():
        raise InputError(
            f"{name.given} needs polarization axes: polar_vector is parallel to beam_vector; give one at "
            "right angles to the beam"
        )


def _indices(name: Name, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The one that was named, checked, or all of a field."""
    if name.element is None:
        return list(itertools.product(*map(range, shape)))
    form = f"{name.owner}.{name.field}[{','.join('ijk'[: len(shape)])}]" if shape else _spelled(name, ())
    if len(name.element) != len(shape):
        raise InputError(f"{name.given}: {form} was expected")
    if not all(0 <= i < n for i, n in zip(name.element, shape, strict=True)):
        limits = ", ".join(f"0 to {n - 1}" for n in shape)
        raise InputError(f"{name.given}: the index is out of range; {limits} was expected")
    return [name.element]


def _at(value: Any, index: tuple[int, ...]) -> float:
    for i in index:
        value = value[i]
    return float(value)


def _deciding(crystal: Crystal) -> tuple[str, Sizes]:
    """The field whose edges decide the cells of a block, and those edges."""
    field = "block_size_mm" if any(crystal.block_size_mm) else "size_mm"
    return field, block_edges(crystal.size_mm, crystal.block_size_mm)


def _free_cells(name: Name, entry: Entry, setup: Setup, number: int) -> tuple[Parameter, ...]:
    """The numbers of cells that no size decides."""
    crystal = setup.sample.crystals[number]
    decides, sizes = _deciding(crystal)
    free = [i for i, size in enumerate(sizes) if size is None]
    if not free:
        raise InputError(f"{name.given} has no effect: {decides} decides the numbers of cells, counts")
    return tuple(
        Parameter(_spelled(name, (i,)), entry.unit, float(crystal.N[i]), (Place(entry.name, number, (i,)),))
        for i in free
    )


def _reflection(name: Name, setup: Setup, number: int) -> Parameter:
    """One entry of the list, by its Miller index."""
    factors = setup.sample.crystals[number].structure_factors
    assert factors.values is not None  # else it is not set
    index = _miller(name, factors.origin, factors.values.shape)
    place = Place("crystal.structure_factors.values", number, index)
    return Parameter(_spelled(name, index), "e", _listed(factors.values, factors.origin, index), (place,))


def _miller(name: Name, origin: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if name.element is None or len(name.element) != 3:
        raise InputError(f"{name.given}: reflections are named one by one, {name.owner}.{name.field}[h,k,l]")
    if not all(o <= i < o + n for i, o, n in zip(name.element, origin, shape, strict=True)):
        box = ", ".join(f"{axis} {o} to {o + n - 1}" for axis, o, n in zip("hkl", origin, shape, strict=True))
        raise InputError(f"{name.given} is outside the list's box ({box}), where default_F counts")
    return name.element


def _listed(values: FloatArray, origin: tuple[int, ...], index: tuple[int, ...]) -> float:
    """The amplitude of a reflection of the box."""
    return float(values[tuple(i - o for i, o in zip(index, origin, strict=True))])


def _check_top_hat(parameter: Parameter, setup: Setup) -> None:
    path, number, _ = parameter.moves[0]
    entry = REGISTRY[path]
    crystals = setup.sample.crystals
    concerned = crystals[number : number + 1] if entry.record == "crystal" else crystals
    if entry.position and any(crystal.shape == "tophat" for crystal in concerned):
        raise InputError(
            f"{parameter.name} moves spots, which shape 'tophat' follows in steps: its derivative is 0 but "
            "on the steps; take shape 'gauss' or 'round'"
        )


# ---- groups ------------------------------------------------------------------------------------------------


def _cell(name: Name, setup: Setup, number: int, element: str, unset: bool) -> tuple[Parameter, ...]:
    """Elements of the unit cell: the one named, with those tied to it, or the free ones."""
    crystal = setup.sample.crystals[number]
    if name.element is not None:
        raise InputError(f"{name.given}: elements of the cell are {', '.join(CELL)}, as crystal.cell.a")
    ties = [(element, *name.tied)]
    if any(tied not in CELL for tied in ties[0][1:]):
        raise unknown(name.given, _KNOWN)
    if crystal.cell is None:
        raise InputError(
            f"{name.given} has no derivative: cell is not set, a_matrix gives the axes; take a_matrix[i,j], "
            "or give a cell"
        )
    if not element:
        ties = cell_ties(crystal.cell, crystal.a_matrix is None)
    found = []
    for tie in ties:
        places = tuple(Place("crystal.cell", number, (CELL.index(each),)) for each in tie)
        unit = "A" if tie[0] in "abc" else "deg"
        value = crystal.cell[places[0].element[0]]
        found.append(Parameter(f"{name.owner}.cell.{'='.join(tie)}", unit, value, places))
    return tuple(found)


def _centre(name: Name, subject: Subject, steps: bool) -> tuple[Parameter, ...]:
    found = []
    for field_name, value in centre_fields(subject.setup, subject.scene):
        path = f"detector.{field_name}"
        parameter = Parameter(path, REGISTRY[path].unit, value, (Place(path, 0, ()),))
        if not steps:
            _check_top_hat(parameter, subject.setup)
        found.append(parameter)
    return tuple(found)


# ---- fields of the Scene -----------------------------------------------------------------------------------


def _of_scene(name: Name, subject: Subject, steps: bool) -> tuple[Parameter, ...]:
    known = FIELDS.get(name.field)
    part = name.record.partition(".")[2]
    if (
        known is None
        or name.tied
        or (part and known.part not in (part, "tables" if part == "crystals" else part))
    ):
        raise unknown(name.given, _KNOWN)
    scene = subject.scene
    number = 0
    if known.part:
        listed = scene.panels if known.part == "panels" else scene.crystals
        what = "panel" if known.part == "panels" else "crystal"
        if name.number is None and len(listed) > 1:
            raise InputError(
                f"{name.given}: the scene has {len(listed)} {what}s; write scene.{what}s[0].{name.field}"
            )
        number = _within(name, name.number or 0, len(listed), what)
    check_scene_field(scene, name.given, name.field, number)
    if name.field in ("polarization", "polar_vector"):
        _check_polar_axes(name, scene)
    if known.position and not steps and any(crystal.shape == "tophat" for crystal in scene.crystals):
        raise InputError(f"{name.given} moves spots, which shape 'tophat' follows in steps")
    value = scene_value(scene, name.field, number)
    path = f"scene.{name.field}"
    if name.field == "F_table":
        if value is None:
            raise InputError(f"{name.given} has no derivative: there is no list of structure factors")
        origin = scene.tables[scene.crystals[number].table].origin
        index = _miller(name, origin, value.shape)
        amplitude = _listed(value, origin, index)
        return (Parameter(_spelled(name, index), known.unit, amplitude, (Place(path, number, index),)),)
    return tuple(
        Parameter(_spelled(name, index), known.unit, _at(value, index), (Place(path, number, index),))
        for index in _indices(name, np.shape(value))
    )

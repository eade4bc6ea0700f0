"""What differs from image to image: rules of a recipe, and the Setup that they give an image."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import FileError, InputError
from ..base.names import suggestion
from ..base.rotations import random_orientations
from ..base.vectors import FloatArray
from ..io import recipe as records
from ..model.sample import Sample
from ..model.setup import Setup
from ..model.spectrum import Spectrum
from ..scene.parameter_expansion import Subject, parameters_of
from ..scene.parameters import Parameter, moved
from ..simulation.lattices import Lattices
from .chance import Chance
from .distributions import Distribution, parse

__all__ = ["RECORDS", "WORDS", "Drawn", "Vary", "parse_vary"]

#: parts of a set-up that may be chosen among
RECORDS = ("crystal", "structure_factors", "beam", "detector", "sampling", "response", "backgrounds")

#: keys that are neither of these nor names of parameters, and what they take
WORDS = {
    "orientation": '"uniform", "fixed", or {file: matrices.npy}',
    "lattices": "how many crystals an image shows: a number or a distribution",
    "mosaic": '"fixed", or "redrawn": domains of its own for each image',
    "spectrum": "{sase: {bandwidth: 0.002, ...}} or {file: shots.h5}",
}

#: quantiles at which rules are tried before the first image
_TRIED = (1e-4, 0.5, 1.0 - 1e-4)


class Drawn(NamedTuple):
    """What an image is made of.

    Attributes
    ----------
    setup : Setup
    parameters : dict
        What was drawn, by name: numbers, and words of what was chosen.
    variant : tuple of int
        Which records were chosen; images of one variant share most.
    """

    setup: Setup
    parameters: dict[str, Any]
    variant: tuple[int, ...]


class _Rule(NamedTuple):
    """Numbers of a set-up that one key changes."""

    key: str
    distribution: Distribution
    parameters: tuple[Parameter, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Vary:
    """The rules of a recipe, read.

    Attributes
    ----------
    orientation : ndarray (n, 3, 3), or "uniform", or "fixed"
    lattices : Distribution or None
    mosaic : bool
        Whether each image has domains of its own.
    spectrum : mapping or None
        ``{"sase": options}`` or ``{"file": path}``.
    choices : dict
        Records chosen among, by name.
    names : dict
        Words for the members of a choice, which its labels have.
    numbers : dict
        Distributions of parameters, by name.
    """

    orientation: Any = "fixed"
    lattices: Distribution | None = None
    mosaic: bool = False
    spectrum: Mapping[str, Any] | None = None
    choices: dict[str, Distribution] = dataclasses.field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    numbers: dict[str, Distribution] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """Images that there are orientations for; None: any number."""
        return len(self.orientation) if isinstance(self.orientation, np.ndarray) else None

    @property
    def moves_detector(self) -> bool:
        """Whether images differ in their detector's place or kind."""
        return "detector" in self.choices or any(key.startswith("detector.") for key in self.numbers)

    def variants(self) -> list[tuple[int, ...]]:
        """Every combination of records that may be chosen."""
        return list(itertools.product(*(range(len(one.among)) for one in self.choices.values())))


class Rules:
    """Rules for one set-up: `draw` gives the Setup of each image.

    Parameters
    ----------
    vary : Vary
    setup : Setup
    seed : int
    """

    def __init__(self, vary: Vary, setup: Setup, seed: int) -> None:
        self.vary, self.setup, self.seed = vary, setup, seed
        self._bases: dict[tuple[int, ...], tuple[Setup, tuple[_Rule, ...]]] = {}

    def draw(self, image: int) -> Drawn:
        """What an image is made of.

        Raises
        ------
        InputError
            For values that no set-up can have, and an image for which there is no orientation.
        """
        return self._drawn(image, Chance(self.seed, image))

    def _drawn(self, image: int, chance: Chance) -> Drawn:
        vary = self.vary
        if vary.count is not None and image >= vary.count:
            raise InputError(f"orientation: there are {vary.count}, and none for image {image}")
        parameters: dict[str, Any] = {}
        chosen = []
        for key, distribution in vary.choices.items():
            number = distribution.chosen(chance.uniform(key))
            chosen.append(number)
            parameters[key] = vary.names[key][number]
        variant = tuple(chosen)
        setup, rules = self._base(variant)
        values: dict[Parameter, float] = {}
        for rule in rules:
            together = chance.uniform(rule.key) if rule.distribution.together else None
            for parameter in rule.parameters:
                u = chance.uniform(rule.key, parameter.name) if together is None else together
                values[parameter] = value = _value(rule.distribution, parameter, u)
                parameters[parameter.name] = value
        if values:
            setup = moved(setup, values)
        if vary.spectrum is not None:
            setup = setup.replace(spectrum=_spectrum(vary.spectrum, setup, self.seed, image))
        sample = self._sample(setup, image, chance)
        if sample is not None:
            setup = setup.replace(sample=sample)
            if vary.lattices is not None:
                parameters["lattices"] = len(sample) if sample.weights != (0.0,) else 0
        return Drawn(setup, parameters, variant)

    def _base(self, variant: tuple[int, ...]) -> tuple[Setup, tuple[_Rule, ...]]:
        """The set-up with the records of a variant, and the numbers of it that change."""
        found = self._bases.get(variant)
        if found is None:
            setup = self.setup
            for (key, distribution), number in zip(self.vary.choices.items(), variant, strict=True):
                setup = _with_record(setup, key, distribution.among[number])
            subject = Subject(setup)
            rules = tuple(
                _Rule(key, one, _parameters(key, one, subject)) for key, one in self.vary.numbers.items()
            )
            found = self._bases[variant] = setup, rules
        return found

    def _sample(self, setup: Setup, image: int, chance: Chance) -> Sample | None:
        vary, seed = self.vary, self.seed
        crystal = setup.sample.crystals[0]
        changes: dict[str, Any] = {}
        if vary.mosaic:
            changes["mosaic_seed"] = 1 + int(chance.uniform("mosaic") * (2**31 - 3))
        if isinstance(vary.orientation, np.ndarray):
            first = vary.orientation[image]
        elif vary.orientation == "uniform":
            first = random_orientations(1, seed, image)[0]
        else:
            first = None
        several = vary.lattices is not None or crystal.N_distribution is not None
        if not changes and first is None and not several:
            return None
        if changes:
            crystal = crystal.replace(**changes)
        if not several:
            return Sample((crystal.with_orientation(first) if first is not None else crystal,))
        return self._lattices(chance).sample(crystal, seed, image, first)

    def _lattices(self, chance: Chance) -> Lattices:
        given = self.vary.lattices
        if given is None:
            return Lattices(number=1)
        if given.name == "poisson" and given.meaning == "value" and set(given.shapes) <= {"mu"}:
            return Lattices(mean=given.shapes["mu"])
        u = chance.uniform("lattices")
        number = given.among[given.chosen(u)] if given.name == "choice" else given.quantile(u)
        return Lattices(number=max(round(number), 0))

    def check(self) -> None:
        """Refuse what cannot be drawn, before an image is made: every key at its ends.

        Raises
        ------
        InputError
            Naming the key and the value.
        """
        for variant in self.vary.variants():
            setup, rules = self._base(variant)
            for rule in rules:
                for u in _TRIED:
                    values = {p: _value(rule.distribution, p, u) for p in rule.parameters}
                    try:
                        moved(setup, values)
                    except InputError as error:
                        shown = ", ".join(f"{p.name} = {value:g}" for p, value in values.items())
                        raise InputError(
                            f"vary: {rule.key}: at the quantile {u:g} {shown}: {error}; within: [low, high] "
                            "cuts a distribution"
                        ) from None
            if self.vary.spectrum is not None:
                _spectrum(self.vary.spectrum, setup, self.seed, 0)
        if self.vary.lattices is not None:
            self._check_lattices(self.vary.lattices)

    def _check_lattices(self, given: Distribution) -> None:
        if len(self.setup.sample) > 1:
            raise InputError("vary: lattices: the set-up has several crystals already; give one")
        values = given.among if given.name == "choice" else [given.quantile(u) for u in _TRIED]
        for value in values:
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= round(value) <= 1000
            ):
                raise InputError(f"vary: lattices: a number from 0 to 1000 was expected, not {value!r}")


def _value(distribution: Distribution, parameter: Parameter, u: float) -> float:
    if distribution.name == "choice":
        drawn = float(distribution.among[distribution.chosen(u)])
    else:
        drawn = distribution.quantile(u)
    value = distribution.changed(parameter.value, drawn)
    if not math.isfinite(value):
        raise InputError(f"vary: {parameter.name}: {value} was drawn, a finite number was expected")
    return value


def _parameters(key: str, distribution: Distribution, subject: Subject) -> tuple[Parameter, ...]:
    try:
        found = parameters_of(key, subject, steps=True, unset=True)
    except InputError as error:
        raise InputError(f"vary: {str(error).replace('unknown parameter', 'unknown key')}") from None
    if found[0].moves[0].path.startswith("scene."):
        raise InputError(f"vary: {key} belongs to the Scene, which is made from the set-up: vary that")
    if distribution.meaning != "value" and any(math.isnan(parameter.value) for parameter in found):
        raise InputError(f"vary: {key} is not set, so that nothing can be its {distribution.meaning}")
    return found


def _with_record(setup: Setup, key: str, record: Any) -> Setup:
    changed: Setup = setup.replace(**{key: record})
    return changed


def _spectrum(given: Mapping[str, Any], setup: Setup, seed: int, image: int) -> Spectrum:
    if "sase" in given:
        return Spectrum.sase(setup.beam.energy_eV, **given["sase"], seed=seed, image=image)
    return Spectrum.from_file(given["file"], image=image)


# ---- reading -----------------------------------------------------------------------------------------------


def parse_vary(given: Any, folder: Path) -> Vary:
    """The rules of a recipe.

    Parameters
    ----------
    given : mapping or None
        By keys: `WORDS`, `RECORDS`, names of parameters.
    folder : Path
        Where its file names begin.

    Raises
    ------
    InputError, FileError, MissingPackageError
    """
    if given is None:
        return Vary()
    if not isinstance(given, Mapping):
        raise InputError(f"vary: a mapping was expected, not {given!r}")
    fields: dict[str, Any] = {"choices": {}, "names": {}, "numbers": {}}
    for key, value in given.items():
        if key == "orientation":
            fields[key] = _orientation(value, folder)
        elif key == "lattices":
            fields[key] = parse(key, value)
        elif key == "mosaic":
            fields[key] = _word(key, value, ("fixed", "redrawn")) == "redrawn"
        elif key == "spectrum":
            fields[key] = _spectrum_rule(value, folder)
        elif key in RECORDS:
            fields["choices"][key], fields["names"][key] = _record_choice(key, value, folder)
        else:
            _check_key(key)
            one = parse(key, value)
            if one.name == "choice" and not all(isinstance(x, (int, float)) for x in one.among):
                raise InputError(f"vary: {key}: a choice among numbers was expected, not {list(one.among)}")
            fields["numbers"][key] = one
    return Vary(**fields)


def _check_key(key: Any) -> None:
    """A name of a parameter has a dot; anything else is none."""
    if not isinstance(key, str) or "." not in key:
        from ..scene.parameter_registry import REGISTRY

        known = [*WORDS, *RECORDS]
        fields: dict[str, str] = {}
        for name in (*REGISTRY, "crystal.cell", "detector.centre"):
            fields.setdefault(name.rpartition(".")[2], name)
        told = suggestion(str(key), [*known, *fields])
        for field, name in fields.items():
            told = told.replace(f"{field!r}", f"{name!r}")
        raise InputError(f"vary: unknown key {key!r}{told}")


def _word(key: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InputError(f"vary: {key}: {' or '.join(allowed)} was expected, not {value!r}")
    return str(value)


def _orientation(value: Any, folder: Path) -> FloatArray | str:
    if isinstance(value, str):
        return _word("orientation", value, ("uniform", "fixed"))
    if isinstance(value, Mapping) and set(value) == {"file"}:
        path = folder / str(value["file"])
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FileError(f"vary: orientation: cannot read {path}: {error}") from None
    else:
        array = value
    try:
        matrices = np.asarray(array, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"vary: orientation: {WORDS['orientation']} was expected, not {value!r}") from None
    if matrices.ndim != 3 or matrices.shape[1:] != (3, 3) or not len(matrices):
        raise InputError(f"vary: orientation: matrices (n, 3, 3) were expected, not {matrices.shape}")
    miss = np.abs(matrices @ np.swapaxes(matrices, 1, 2) - np.eye(3)).max(axis=(1, 2))
    bad = np.flatnonzero(~(miss < 1e-6) | (np.linalg.det(matrices) < 0))
    if len(bad):
        raise InputError(f"vary: orientation: matrix {bad[0]} is no rotation")
    return matrices


def _spectrum_rule(value: Any, folder: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) not in ({"sase"}, {"file"}):
        raise InputError(f"vary: spectrum: {WORDS['spectrum']} was expected, not {value!r}")
    if "file" in value:
        return {"file": str((folder / str(value["file"])).resolve())}
    options = value["sase"] or {}
    if not isinstance(options, Mapping):
        raise InputError(f"vary: spectrum: sase: options by name were expected, not {options!r}")
    known = set(inspect.signature(Spectrum.sase).parameters) - {"energy_eV", "seed", "image"}
    for name in options:
        if name not in known:
            raise InputError(
                f"vary: spectrum: sase: unknown option {name!r}{suggestion(str(name), sorted(known))}"
            )
    try:
        Spectrum.sase(9000.0, **options, seed=0, image=0)
    except InputError as error:
        raise InputError(f"vary: spectrum: sase: {error}") from None
    return {"sase": dict(options)}


def _record_choice(key: str, value: Any, folder: Path) -> tuple[Distribution, tuple[str, ...]]:
    """A choice among records, each a mapping as in a recipe, or a file that holds one."""
    distribution = parse(key, value)
    if distribution.name != "choice":
        raise InputError(f"vary: {key}: {{choice: [...]}} was expected, not {value!r}")
    found, names = [], []
    for number, entry in enumerate(distribution.among):
        try:
            found.append(_record(key, entry, folder))
        except FileError:
            raise
        except InputError as error:
            raise InputError(f"vary: {key}: choice {number}: {error}") from None
        names.append(_name_of(entry, number))
    return distribution.replace(among=tuple(found)), tuple(names)


def _record(key: str, entry: Any, folder: Path) -> Any:
    if isinstance(entry, Mapping) and "record" in entry:
        entry = entry["record"]
    if key == "backgrounds":
        listed = entry if isinstance(entry, list) else [entry]
        return tuple(
            records.load(folder / one) if isinstance(one, str) else records.record_from(key, [one], folder)[0]
            for one in listed
        )
    if isinstance(entry, str):
        if key == "structure_factors" and not entry.endswith(".json"):
            entry = {"file": entry}
        else:
            return records.load(folder / entry)
    if not isinstance(entry, Mapping):
        raise InputError(f"a record or the name of a file was expected, not {entry!r}")
    fields = {name: value for name, value in entry.items() if name != "name"}
    return records.record_from(key, fields, folder)


def _name_of(entry: Any, number: int) -> str:
    if isinstance(entry, str):
        return Path(entry).name
    if isinstance(entry, Mapping):
        return str(entry.get("name") or (Path(str(entry["file"])).name if "file" in entry else number))
    return str(number)

"""Options of crystals beyond the reference program's: twins, several lattices, crystals from files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..base.errors import FileError, InputError
from ..model.sample import ROTATION, Sample, as_sample
from .words import number

if TYPE_CHECKING:
    from ..model.crystal import Crystal
    from ..simulation.lattices import Lattices

__all__ = ["lattices_of", "sample_of", "sizes_of", "twins_of"]


def twins_of(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Laws and fractions, as of ``0.3:-h,-k,l``.

    Raises
    ------
    InputError
    """
    twins = []
    for text in texts:
        fraction, colon, law = text.partition(":")
        if not colon or not law:
            raise InputError(f"-twin {text}: a fraction and a law were expected, as 0.3:-h,-k,l")
        twins.append((law, float(number(f"-twin {text}", fraction, "float"))))
    return tuple(twins)


def sizes_of(text: str) -> tuple[Any, ...]:
    """A distribution of sizes, as of ``lognormal:0.2``.

    Raises
    ------
    InputError
    """
    kind, *words = text.split(":")
    numbers = tuple(float(number(f"-N_distribution {text}", word, "float")) for word in words)
    counts = {"lognormal": (1, 3), "uniform": (2,)}
    if kind not in counts or len(numbers) not in counts[kind]:
        raise InputError(
            f"-N_distribution {text}: lognormal:SIGMA, lognormal:SA:SB:SC or uniform:LEAST:MOST was expected"
        )
    return (kind, numbers if len(numbers) == 3 else numbers[0]) if kind == "lognormal" else (kind, *numbers)


def lattices_of(settings: dict[str, Any]) -> Lattices | None:
    """How many crystals -lattices asks for; None: one.

    Raises
    ------
    InputError
    """
    text = settings.get("run.lattices")
    if text is None:
        return None
    from ..simulation.lattices import Lattices

    word, colon, mean = text.partition(":")
    if not colon:
        return Lattices(number=int(number("-lattices", text, "int")))
    if word != "poisson":
        raise InputError(f"-lattices {text}: a number of lattices, or poisson:MEAN, was expected")
    return Lattices(mean=float(number(f"-lattices {text}", mean, "float")))


def sample_of(settings: dict[str, Any], crystal: Crystal, seed: int, inputs: dict[str, str]) -> Sample:
    """The crystal of the line, in as many lattices as it asks for, with those of -crystal beside it.

    With -random each image draws its own lattices; a number that is to be drawn is for those alone.

    Raises
    ------
    InputError, FileError
    """
    several = None if "run.random" in settings else lattices_of(settings)
    if several is not None and several.mean is not None:
        several = None
    sample = as_sample(crystal) if several is None else several.sample(crystal, seed, 0)
    paths = settings.get("input.crystals", ())
    if not paths:
        return sample
    assert sample.weights is not None
    crystals, weights = list(sample.crystals), list(sample.weights)
    rotation = {name: getattr(crystal, name) for name in ROTATION}
    for i, path in enumerate(paths):
        inputs["-crystal" if len(paths) == 1 else f"-crystal ({i + 1})"] = path
        for other, weight in _from_file(path):
            crystals.append(other.replace(**rotation))
            weights.append(weight)
    return Sample(tuple(crystals), tuple(weights))


def _from_file(path: str) -> list[tuple[Crystal, float]]:
    """Crystals and weights of a recipe: of a crystal, a sample or a set-up."""
    from ..io import recipe
    from ..model.crystal import Crystal
    from ..model.setup import Setup

    found = recipe.load(path)
    if isinstance(found, Setup):
        found = found.sample
    if not isinstance(found, (Crystal, Sample)):
        kind = type(found).__name__
        raise FileError(f"{path} holds a {kind}; a crystal, a sample or a set-up was expected")
    sample = as_sample(found)
    assert sample.weights is not None
    return list(zip(sample.crystals, sample.weights, strict=True))

"""Diffuse scattering from and to words of a command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..base.errors import InputError
from ..base.warn import warn
from ..model.diffuse import LiquidMotions, ThermalDiffuse
from ..model.setup import Setup
from .words import number_text

__all__ = ["diffuse_words", "liquid_motions", "only_diffuse", "unsaid_of"]

#: fields that options give, by their names
_OPTIONS = {
    "gamma_A": "-llm_gamma",
    "sigma_A": "-llm_sigma",
    "order": "-llm_order",
    "stencil": "-llm_stencil",
    "tail": "-llm_tail",
}


def liquid_motions(settings: Mapping[str, Any]) -> LiquidMotions:
    """Of the options that were given, at least one.

    Raises
    ------
    InputError
        Where one of gamma and sigma is missing, and as the record.
    """
    for name in ("gamma_A", "sigma_A"):
        if name not in settings:
            given = ", ".join(_OPTIONS[field] for field in _OPTIONS if field in settings)
            raise InputError(f"{given} without {_OPTIONS[name]}: liquid-like motions take both")
    try:
        return LiquidMotions(**settings)
    except InputError as error:
        text = str(error)
        for field, option in _OPTIONS.items():
            text = text.replace(field, option)
        raise InputError(text) from None


def only_diffuse(setup: Setup) -> Setup:
    """Without spots, backgrounds and water.

    Raises
    ------
    InputError
        Where nothing is left.
    """
    if all(crystal.diffuse is None for crystal in setup.sample.crystals):
        raise InputError("-only_diffuse leaves nothing to render: give -llm_gamma and -llm_sigma")
    if setup.backgrounds or setup.sampling.water_um:
        warn("-background, -stol and -water have no effect with -only_diffuse")
    sampling = setup.sampling.replace(bragg=False, water_um=0.0)
    return setup.replace(sampling=sampling, backgrounds=())


def unsaid_of(diffuse: LiquidMotions | ThermalDiffuse | None) -> str:
    """What of it a command line cannot say, else ""."""
    if isinstance(diffuse, ThermalDiffuse):
        return "thermal diffuse scattering"
    if diffuse is None:
        return ""
    plain = LiquidMotions(**{name: getattr(diffuse, name) for name in _OPTIONS})
    if max(np.ndim(diffuse.gamma_A), np.ndim(diffuse.sigma_A)) > 1:
        return "liquid-like motions given by a matrix"
    return "" if diffuse == plain else "a space group, axes or llm_in_F of liquid-like motions"


def diffuse_words(diffuse: LiquidMotions) -> Iterator[str]:
    """Options that give it back."""
    for field, option in _OPTIONS.items():
        value = getattr(diffuse, field)
        if value is True:
            yield option
        elif value != diffuse.__dataclass_fields__[field].default:
            yield from (option, *map(number_text, value if isinstance(value, tuple) else (value,)))

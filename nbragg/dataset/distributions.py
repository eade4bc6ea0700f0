"""Distributions by their names in scipy.stats, drawn by the inverse of their distribution function.

A draw is the quantile of one uniform number, so that what decides it is that number alone.  The common ones
are worked out here, the same on every machine, with every version of SciPy and without it; all others are
SciPy's.
"""

from __future__ import annotations

import contextlib
import functools
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..base.errors import InputError
from ..base.names import suggestion
from ..base.optional import require
from ..base.records import Record, frozen

__all__ = ["MEANINGS", "Distribution", "parse"]

#: what may stand beside the name
_OWN_WORDS = ("as", "together", "within")

#: how a value changes what the set-up says
MEANINGS = ("value", "offset", "factor")


#: its quantile is Wichura's AS 241, as that of the generator (beyond 13.2)
_NORMAL = statistics.NormalDist()


@dataclass(frozen=True)
class _Form:
    """A distribution that is worked out here.

    Attributes
    ----------
    shapes : tuple of str
        Parameters beside loc and scale; those after ``"?"`` have a default of 1.
    quantile, part : callable
        (u or x, shape values) of loc 0, scale 1.
    fits : callable
        Shape values -> whether there is such a distribution.
    """

    shapes: tuple[str, ...]
    quantile: Callable[..., float]
    part: Callable[..., float]
    fits: Callable[..., bool] = lambda *shapes: True


def _log_part(x: float, low: float, high: float) -> float:
    return math.log(min(max(x, low), high) / low) / math.log(high / low)


_FORMS = {
    "uniform": _Form((), lambda u: u, lambda x: min(max(x, 0.0), 1.0)),
    "norm": _Form((), _NORMAL.inv_cdf, _NORMAL.cdf),
    "expon": _Form((), lambda u: -math.log1p(-u), lambda x: -math.expm1(-max(x, 0.0))),
    "lognorm": _Form(
        ("s",),
        lambda u, s: math.exp(s * _NORMAL.inv_cdf(u)),
        lambda x, s: _NORMAL.cdf(math.log(x) / s) if x > 0 else 0.0,
        lambda s: s > 0,
    ),
    "loguniform": _Form(
        ("a", "b"),
        lambda u, a, b: a * math.exp(u * math.log(b / a)),
        lambda x, a, b: _log_part(x, a, b),
        lambda a, b: 0 < a < b,
    ),
}
_FORMS["reciprocal"] = _FORMS["loguniform"]


@frozen(kw_only=True)
class Distribution(Record):
    """What is drawn for each image.

    Parameters
    ----------
    name : str
        Of a distribution of scipy.stats; "constant", which is ``loc`` alone; "choice", one of ``among``.
    shapes : mapping
        Its parameters by their names in SciPy, with ``loc`` (0) and ``scale`` (1).
    meaning : {"value", "offset", "factor"}
        What is drawn takes the place of what the set-up says, is added to it, or multiplies it.
    together : bool
        One draw for all numbers of a group; otherwise each has its own.
    within : (float, float), optional
        Limits: the part of the distribution between them alone.
    among : tuple
        Of a choice.
    weights : tuple of float, optional
        Of what a choice is among; None: all alike.

    Raises
    ------
    InputError
        For a distribution that there is not, or whose parameters no distribution has.
    MissingPackageError
        Without SciPy, for those that need it.

    Examples
    --------
    >>> from nbragg.dataset.distributions import parse
    >>> parse("size", {"lognorm": {"s": 0.3, "scale": 20}}).quantile(0.5)
    20.0
    """

    name: str
    shapes: Mapping[str, float]
    meaning: str = "value"
    together: bool = False
    within: tuple[float, float] | None = None
    among: tuple[Any, ...] = ()
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.name in ("choice", "constant"):
            return
        loc, scale = self.shapes.get("loc", 0.0), self.shapes.get("scale", 1.0)
        form = _FORMS.get(self.name)
        if form is None:
            self._check_scipy()
        else:
            _only(self.name, self.shapes, (*form.shapes, "loc", "scale"), form.shapes)
            if not form.fits(*(self.shapes[name] for name in form.shapes)):
                raise InputError(f"there is no {self.name} with {_written(self.shapes)}")
        if not (math.isfinite(loc) and math.isfinite(scale) and scale > 0):
            raise InputError(f"{self.name}: loc must be finite and scale above 0, not {loc:g} and {scale:g}")
        if self.within is not None and not self._part(self.within[0]) < self._part(self.within[1]):
            raise InputError(f"{self.name}: nothing of it lies within {list(self.within)}")

    def _check_scipy(self) -> None:
        stats = require("scipy.stats", extra="dataset", purpose=f"the distribution {self.name!r}")
        kind = getattr(stats, self.name, None)
        if not isinstance(kind, (stats.rv_continuous, stats.rv_discrete)):
            names = [
                n
                for n in dir(stats)
                if isinstance(getattr(stats, n), (stats.rv_continuous, stats.rv_discrete))
            ]
            raise InputError(
                f"{self.name!r} is no distribution of scipy.stats{suggestion(self.name, ['choice', *names])}"
            )
        needed = tuple(kind.shapes.replace(" ", "").split(",")) if kind.shapes else ()
        own = ("loc",) if isinstance(kind, stats.rv_discrete) else ("loc", "scale")
        _only(self.name, self.shapes, (*needed, *own), needed)
        if not math.isfinite(float(kind(**self.shapes).ppf(0.5))):
            raise InputError(f"there is no {self.name} with {_written(self.shapes)}")

    def _frozen(self) -> Any:
        """SciPy's, with its parameters."""
        return _scipys(self.name, tuple(self.shapes.items()))

    def _part(self, x: float) -> float:
        form = _FORMS.get(self.name)
        if form is None:
            return float(self._frozen().cdf(x))
        loc, scale = self.shapes.get("loc", 0.0), self.shapes.get("scale", 1.0)
        return form.part((x - loc) / scale, *(self.shapes[name] for name in form.shapes))

    def quantile(self, u: float) -> float:
        """The value below which the part u of all lies, 0 < u < 1; of a choice the number of the one."""
        if self.name == "constant":
            return self.shapes["loc"]
        if self.name == "choice":
            return float(self.chosen(u))
        if self.within is not None:
            low, high = (self._part(x) for x in self.within)
            u = low + u * (high - low)
        form = _FORMS.get(self.name)
        if form is None:
            value = float(self._frozen().ppf(u))
        else:
            loc, scale = self.shapes.get("loc", 0.0), self.shapes.get("scale", 1.0)
            value = loc + scale * form.quantile(u, *(self.shapes[name] for name in form.shapes))
        if self.within is not None:  # which rounding may miss
            value = min(max(value, self.within[0]), self.within[1])
        return value

    def chosen(self, u: float) -> int:
        """Number of the one that is chosen."""
        weights = self.weights or (1.0,) * len(self.among)
        left = u * sum(weights)
        for number, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return number
        return len(weights) - 1

    def changed(self, value: float, drawn: float) -> float:
        """What becomes of the set-up's ``value``."""
        if self.meaning == "value":
            return drawn
        return value + drawn if self.meaning == "offset" else value * drawn


@functools.lru_cache(maxsize=256)
def _scipys(name: str, shapes: tuple[tuple[str, float], ...]) -> Any:
    return getattr(require("scipy.stats", extra="dataset"), name)(**dict(shapes))


def parse(key: str, given: Any) -> Distribution:
    """A distribution from a recipe: a number, ``{"norm": {"loc": 1, "scale": 0.1}}``, ``{"choice": [...]}``.

    Parameters
    ----------
    key : str
        What it is of, for messages.
    given : number or mapping
        Beside the name may stand ``as`` ("value", "offset" or "factor"), ``together``, ``within``; of a
        choice ``weights``.

    Raises
    ------
    InputError, MissingPackageError
    """
    try:
        return _parsed(given)
    except InputError as error:
        raise InputError(f"vary: {key}: {error}") from None


def _parsed(given: Any) -> Distribution:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return Distribution(name="constant", shapes={"loc": _number("the value", given)})
    if not isinstance(given, Mapping):
        raise InputError(
            f"a number or a distribution, {{norm: {{loc: 1, scale: 0.1}}}}, was expected, not {given!r}"
        )
    names = [name for name in given if name not in (*_OWN_WORDS, "weights")]
    if len(names) != 1 or not isinstance(names[0], str):
        raise InputError(f"one distribution was expected, not {', '.join(map(str, names)) or 'none'}")
    name, shapes = names[0], given[names[0]]
    if name == "choice":
        return _choice(given)
    if "weights" in given:
        raise InputError(f"weights belong to a choice, not to {name}")
    if name == "constant":
        shapes = {"loc": shapes}
    shapes = {} if shapes is None else shapes
    if not isinstance(shapes, Mapping):
        raise InputError(
            f"{name}: its parameters by name were expected, {{loc: 1, scale: 0.1}}, not {shapes!r}"
        )
    numbers = {str(shape): _number(f"{name}: {shape}", value) for shape, value in shapes.items()}
    return Distribution(name=name, shapes=numbers, **_manner(given))


def _manner(given: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the name."""
    manner: dict[str, Any] = {}
    if "as" in given:
        if given["as"] not in MEANINGS:
            raise InputError(f"as: {given['as']!r}; one of {', '.join(MEANINGS)} was expected")
        manner["meaning"] = given["as"]
    if "together" in given:
        if not isinstance(given["together"], bool):
            raise InputError(f"together: true or false was expected, not {given['together']!r}")
        manner["together"] = given["together"]
    if "within" in given:
        limits = given["within"]
        if not isinstance(limits, (list, tuple)) or len(limits) != 2:
            raise InputError(f"within: two limits were expected, not {limits!r}")
        low, high = (_number("within", value) for value in limits)
        if not low < high:
            raise InputError(f"within: the first limit must be below the second, not {limits!r}")
        manner["within"] = (low, high)
    return manner


def _choice(given: Mapping[str, Any]) -> Distribution:
    among, weights = given["choice"], given.get("weights")
    if not isinstance(among, (list, tuple)) or not among:
        raise InputError(f"choice: a list of what is chosen among was expected, not {among!r}")
    if weights is not None:
        if not isinstance(weights, (list, tuple)) or len(weights) != len(among):
            raise InputError(f"weights: one for each of {len(among)} was expected, not {weights!r}")
        weights = tuple(_number("weights", value) for value in weights)
        if min(weights) < 0 or not sum(weights) > 0:
            raise InputError(f"weights: numbers from 0, not all 0, were expected, not {list(weights)}")
    wrong = set(given) & {"within"}
    if wrong:
        raise InputError("within has no part in a choice")
    return Distribution(name="choice", shapes={}, among=tuple(among), weights=weights, **_manner(given))


def _number(what: str, value: Any) -> float:
    if isinstance(value, str):  # YAML reads 1e-3 as a word
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{what}: a finite number was expected, not {value!r}")
    return float(value)


def _only(name: str, given: Mapping[str, float], known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for shape in given:
        if shape not in known:
            raise InputError(f"{name} has no parameter {shape!r}{suggestion(shape, known)}")
    for shape in needed:
        if shape not in given:
            raise InputError(f"{name} needs {shape!r}; it has the parameters {', '.join(known)}")


def _written(shapes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in shapes.items())

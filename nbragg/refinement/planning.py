"""What set-ups would say of parameters, before anything is measured (gradients 8.4)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import FrozenArrays, frozen
from ..base.warn import said_before
from ..engine.options import RenderOptions
from ..inverse.information import Information
from ..inverse.noise import Noise
from ..model.setup import Setup
from ..scene.parameters import expand
from ..simulation.simulator import Simulator

__all__ = ["POINTS", "InformationScan", "information", "spread"]

Array = NDArray[np.float64]

#: of a range
POINTS = 12
#: ranges whose ends differ by a larger factor are divided by ratios, others evenly
_WIDE = 20.0


@frozen
class InformationScan(FrozenArrays):
    """How well data would determine parameters, against something that can be chosen.

    Attributes
    ----------
    name : str
        What was varied.
    unit : str
        Of it; "" where it has none.
    values : ndarray (n,)
        That it took.
    information : tuple of Information
        For each value.
    """

    name: str
    unit: str
    values: Array
    information: tuple[Information, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Whose sigma is asked for."""
        return self.information[0].parameters

    @property
    def sigma(self) -> dict[str, Array]:
        """Standard deviation of each parameter in its unit, (n,); infinite where it is not determined."""
        return {name: np.array([one.sigma[name] for one in self.information]) for name in self.parameters}

    def __repr__(self) -> str:
        return (
            f"InformationScan({self.name} {self.values[0]:g} to {self.values[-1]:g} {self.unit}, "
            f"{len(self.values)} values, {len(self.parameters)} parameters)"
        )


def spread(low: float, high: float, count: int = POINTS) -> Array:
    """Values from low to high: even, or in even ratios where one is more than 20 times the other.

    Raises
    ------
    InputError
        For numbers that are not finite or equal, and fewer than 2 values.
    """
    first, last = check.number("low", low), check.number("high", high)
    number = check.count("count", count, at_least=2)
    if first == last:
        raise InputError(f"{low:g} to {high:g} is no range")
    if min(first, last) > 0 and max(first, last) > _WIDE * min(first, last):
        return np.geomspace(first, last, number)
    return np.linspace(first, last, number)


@overload
def information(
    setup: Setup,
    parameters: Sequence[str] | str,
    *,
    noise: Noise | None = ...,
    background: Any = ...,
    free_background: str = ...,
    priors: Mapping[str, float] | None = ...,
    mask: Any = ...,
    vary: None = ...,
    **options: Any,
) -> Information: ...
@overload
def information(
    setup: Setup,
    parameters: Sequence[str] | str,
    *,
    noise: Noise | None = ...,
    background: Any = ...,
    free_background: str = ...,
    priors: Mapping[str, float] | None = ...,
    mask: Any = ...,
    vary: Mapping[str, Sequence[float] | Array],
    **options: Any,
) -> InformationScan: ...
def information(
    setup: Setup,
    parameters: Sequence[str] | str,
    *,
    noise: Noise | None = None,
    background: Any = 0.0,
    free_background: str = "none",
    priors: Mapping[str, float] | None = None,
    mask: Any = None,
    vary: Mapping[str, Sequence[float] | Array] | None = None,
    **options: Any,
) -> Information | InformationScan:
    """How well an exposure would determine parameters: Fisher information of a set-up.

    Parameters
    ----------
    setup : Setup
    parameters : sequence of str
        As of `Simulator.linearize`: ``"crystal.orientation"``, ``"crystal.cell"`` ...
    noise : Noise, optional
        Of the data; None: photons are counted.
    background : float or array_like of the shape of the image
        Photons a pixel beside those of the model; they stay as they are where something is varied.
    free_background : {"none", "constant", "plane", "radial"}
        What of it is not known and would be refined too, as of `nbragg.refine`.
    priors : mapping of str to float, optional
        Standard deviation of what is known beforehand of a parameter, or of each of a group, in its unit.
    mask : array_like of the shape of the image, optional
        0: a pixel that says nothing.
    vary : mapping of one str to a sequence of float, optional
        Something that can be chosen, and its values: two are the ends of a range of 12, even, or in even
        ratios where one is more than 20 times the other; more are taken as they are.  The name is that of
        a parameter (``"detector.distance_mm"``), of a group, whose members then have the same value
        (``"crystal.N"``), or of another field that is a number (``"crystal.osc_deg"``).
    **options
        Of `RenderOptions`: ``threads``, ``device``, ``precision``.

    Returns
    -------
    Information
        Or, where something is varied, an `InformationScan`, whose ``sigma`` has an array for each parameter.

    Raises
    ------
    InputError
        For unknown names (the nearest is given), arrays of another shape, priors of what is not free, and
        values that no set-up can have.

    References
    ----------
    gradients 8.4; Kay, Fundamentals of Statistical Signal Processing (1993), chapter 3: no unbiased estimate
    has a smaller variance than the inverse of the information.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -fluence 1e28")
    >>> found = nbragg.information(setup, ["crystal.cell"], background=1)
    >>> list(found.sigma)
    ['crystal.cell.a', 'crystal.cell.b', 'crystal.cell.c']
    >>> scan = nbragg.information(setup, ["crystal.cell"], vary={"beam.fluence": [1e28, 2e28, 4e28]})
    >>> float((scan.sigma["crystal.cell.a"][0] / scan.sigma["crystal.cell.a"][2]).round(3))
    2.0
    """
    names = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    settings = RenderOptions(**options)
    known = _members(setup, names, priors)

    def at(one: Setup) -> Information:
        return (
            Simulator(one, settings)
            .linearize(names)
            .information(
                noise, background=background, free_background=free_background, priors=known, mask=mask
            )
        )

    if vary is None:
        return at(setup)
    if len(vary) != 1:
        raise InputError(f"vary names {len(vary)} things ({', '.join(vary)}): give one, and call again")
    ((name, given),) = vary.items()
    values = np.asarray(given, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(f"vary: {name} takes the two ends of a range, or more values")
    if len(values) == 2:
        values = spread(*values.tolist())
    setups = [_at(setup, name, value) for value in values.tolist()]
    with said_before():
        return InformationScan(name, _unit(setup, name), values, tuple(map(at, setups)))


def _members(
    setup: Setup, names: tuple[str, ...], priors: Mapping[str, float] | None
) -> dict[str, float] | None:
    """Of single parameters; names that are not free stay, to be refused with the nearest."""
    if not priors:
        return None
    free = [p.name for p in expand(names, setup)]
    found = {}
    for name, sigma in priors.items():
        inside = [name]
        if name not in free:
            with contextlib.suppress(InputError):  # said where the others are known
                inside = [p.name for p in expand((name,), setup) if p.name in free] or [name]
        found.update(dict.fromkeys(inside, sigma))
    return found


def _at(setup: Setup, name: str, value: float) -> Setup:
    """The set-up with another value of a parameter, of all members of a group, or of a field."""
    try:
        simulator = Simulator(setup)
        count = len(simulator.linearize((name,)).values)
        return simulator.moved((name,), [value] * count).setup
    except InputError:
        record, _, field = name.partition(".")
        if record not in ("crystal", "beam", "detector", "sampling"):
            raise
        before = getattr(getattr(setup, record), field, "")
        if isinstance(before, bool) or not (before is None or isinstance(before, (int, float))):
            raise
    if isinstance(before, float) or value != int(value):
        return setup.replace(**{field: value})
    return setup.replace(**{field: int(value)})


def _unit(setup: Setup, name: str) -> str:
    try:
        return Simulator(setup).linearize((name,)).units[0]
    except InputError:
        return {"deg": "deg", "mm": "mm", "um": "um", "A": "A"}.get(name.rpartition("_")[2], "")

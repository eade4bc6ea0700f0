"""What stands in the beam: one or more crystals."""

from __future__ import annotations

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from .crystal import Crystal

__all__ = ["Sample", "as_sample"]

#: what turns the sample as a whole
ROTATION = ("spindle_axis", "phi_deg", "osc_deg", "phistep_deg", "phisteps")


@frozen
class Sample(Record):
    """Crystals that scatter into one image; their intensities add.

    A `Crystal` alone is accepted wherever a Sample is.

    Parameters
    ----------
    crystals : sequence of Crystal
        At least one.  They turn together: spindle axis, phi, oscillation and steps agree.
    weights : sequence of float, optional
        How many times each counts: relative illuminated volumes, not normalised, so that two crystals scatter
        twice as much as one.  None: 1 each.  Where all are 0 the beam hits nothing: a blank.

    Raises
    ------
    InputError
        For no crystal, something that is none, weights that are negative or not one for each, and rotations
        that differ.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=factors)
    >>> turns = nbragg.random_orientations(2, seed=1)
    >>> sample = nbragg.Sample([crystal.with_orientation(turn) for turn in turns], weights=[1, 0.3])
    >>> len(sample)
    2
    """

    crystals: tuple[Crystal, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        given = (self.crystals,) if isinstance(self.crystals, Crystal) else self.crystals
        if not isinstance(given, (tuple, list)) or not given:
            raise InputError(f"crystals must be a sequence of at least one Crystal, not {given!r}")
        for i, crystal in enumerate(given):
            if not isinstance(crystal, Crystal):
                raise InputError(f"crystals[{i}] must be a Crystal, not a {type(crystal).__name__}")
            for name in ROTATION:
                first, other = getattr(given[0], name), getattr(crystal, name)
                if first != other:
                    raise InputError(
                        f"the crystals of a sample turn together: {name} is {first!r} for the first and "
                        f"{other!r} for crystals[{i}]"
                    )
        self._set("crystals", tuple(given))
        weights = [1.0] * len(given) if self.weights is None else self.weights
        values = check.vector("weights", weights, len(given))
        for i, weight in enumerate(values):
            check.number(f"weights[{i}]", weight, at_least=0)
        self._set("weights", values)

    def __len__(self) -> int:
        return len(self.crystals)


def as_sample(value: Crystal | Sample) -> Sample:
    """A Sample from a Crystal or a Sample."""
    return value if isinstance(value, Sample) else Sample((value,))

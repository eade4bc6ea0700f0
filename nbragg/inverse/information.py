"""What an exposure says of parameters before it is made: Fisher information (gradients 8.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.records import FrozenArrays, frozen

__all__ = ["LEAST", "Information", "information_of"]

Array = NDArray[np.float64]

#: eigenvalues of a scaled Fisher matrix below this part of the largest: such directions are not determined
LEAST = 1e-7
#: parameters with a smaller part in such a direction stay determined
_PART = 1e-2


@frozen
class Information(FrozenArrays):
    """How well data determine parameters.

    Attributes
    ----------
    parameters : tuple of str
    values : ndarray (p,)
        Where it was worked out.
    units : tuple of str
    matrix : ndarray (p, p)
        Fisher information, with that of priors.
    covariance : ndarray (p, p)
        Its inverse, the least that unbiased estimates have; NaN in rows and columns of parameters that are
        not determined.
    undetermined : tuple of (float, dict of str to float)
        Directions that the data do not determine: eigenvalue of the scaled matrix beside the largest, and
        the parts of the parameters in them, each times its sigma alone (all others known).
    """

    parameters: tuple[str, ...]
    values: Array
    units: tuple[str, ...]
    matrix: Array
    covariance: Array
    undetermined: tuple[tuple[float, dict[str, float]], ...]

    @property
    def sigma(self) -> dict[str, float]:
        """Standard deviation of each parameter, in its unit; infinite where it is not determined."""
        found = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.parameters, np.where(np.isnan(found), np.inf, found).tolist(), strict=True))

    @property
    def correlation(self) -> Array:
        """Of each two parameters, (p, p); NaN where one is not determined."""
        sigma = np.sqrt(np.diag(self.covariance))
        return np.asarray(self.covariance / np.outer(sigma, sigma))

    def __repr__(self) -> str:
        lost = f", {len(self.undetermined)} directions undetermined" if self.undetermined else ""
        return f"Information({len(self.parameters)} parameters{lost})"


def information_of(
    matrix: Array,
    parameters: Sequence[str],
    values: Array,
    units: Sequence[str],
    priors: Mapping[str, float] | None = None,
) -> Information:
    """Of a Fisher matrix.

    Parameters
    ----------
    matrix : ndarray (p, p)
    parameters, values, units
        As many.
    priors : mapping of str to float, optional
        Standard deviation of what is known beforehand of a parameter.

    Raises
    ------
    InputError
        For a prior of another parameter, or that is not a positive number.
    """
    F = np.array(matrix, np.float64)
    for name, sigma in (priors or {}).items():
        if name not in parameters:
            raise InputError(f"priors name {name!r}, which is not free{suggestion(name, parameters)}")
        F[parameters.index(name), parameters.index(name)] += (
            1 / check.number(f"priors[{name}]", sigma, above=0) ** 2
        )
    scale = np.sqrt(np.diag(F))
    blind = scale == 0
    scale[blind] = 1.0
    eigenvalues, axes = np.linalg.eigh(F / np.outer(scale, scale))
    largest = max(float(eigenvalues[-1]), np.finfo(float).tiny)
    kept = eigenvalues > LEAST * largest
    inverse = (axes[:, kept] / eigenvalues[kept]) @ axes[:, kept].T
    covariance = inverse / np.outer(scale, scale)
    lost = (np.abs(axes[:, ~kept]) > _PART).any(axis=1) | blind
    covariance[lost] = covariance[:, lost] = np.nan
    undetermined = tuple(
        (
            float(eigenvalues[i] / largest),
            {
                name: float(part)
                for name, part in zip(parameters, axes[:, i], strict=True)
                if abs(part) > _PART
            },
        )
        for i in np.flatnonzero(~kept)
    )
    return Information(
        tuple(parameters), np.array(values, np.float64), tuple(units), F, covariance, undetermined
    )

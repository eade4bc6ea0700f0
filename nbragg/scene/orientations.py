"""Every orientation the crystal takes: spindle steps times mosaic domains (canonical 5.6, 6.5)."""

from __future__ import annotations

import numpy as np

from ..base import memory
from ..base.vectors import FloatArray, axis_rotation
from ..model.physics import Physics
from .steps import Steps

__all__ = ["all_rotations", "crystal_orientations", "phi_rotations"]

#: one orientation, and the product it is made by
_BYTES_EACH = 2 * 72


def phi_rotations(phi0: float, steps: Steps, spindle: FloatArray, physics: Physics) -> FloatArray:
    """Rotations about the spindle by the angles phi_i of the steps (canonical 6, 11).

    Those are the starts, phi0 + step*i, or the middles, phi0 + step*(i + 1/2).  What is covered is count*step
    from phi0 on.  That is the range where a count or nothing is given beside it; one step then has the middle
    of all of it.  Where a step is given, it is more than the range when that is no multiple of the step,
    twice the range when no range is given, and anything when range and count are given as well.  A range of
    0 has no middle but phi0, whatever the step.

    Parameters
    ----------
    phi0 : float
        Radians.
    steps : Steps
        Radians.
    spindle : ndarray (3,)
        Unit vector.
    physics : Physics
        With ``mid_step`` the middles are taken.

    Returns
    -------
    ndarray (np, 3, 3)
    """
    memory.require(
        _BYTES_EACH * steps.count, f"a list of {steps.count} phi steps", "give fewer phisteps (-phisteps)"
    )
    first = phi0 + 0.5 * steps.step if physics.mid_step and steps.range.real > 0 else phi0
    return axis_rotation(spindle, first + steps.step * np.arange(steps.count))


def crystal_orientations(
    cell_vectors: FloatArray,
    phi_rotations: FloatArray,
    domain_rotations: FloatArray,
    *,
    turning: bool = False,
    strains: FloatArray | None = None,
) -> FloatArray:
    """Cell vectors rotated by phi about the spindle, then by each domain's matrix (canonical 6.5).

    Parameters
    ----------
    cell_vectors : ndarray (3, 3)
        Rows a, b, c.
    phi_rotations : ndarray (np, 3, 3)
        As `phi_rotations` gives them.
    domain_rotations : ndarray (nm, 3, 3)
    turning : bool
        The spindle turns the domains' axes too: each domain's matrix comes before phi.
    strains : ndarray (nm, 3, 3) or None
        Of each domain: a vector v of its cell is v + strain @ v before it is rotated (beyond 16.3).

    Returns
    -------
    ndarray (np*nm, 3, 3)
        Rows a, b, c in the unit of the input; phi outermost.
    """
    count = len(phi_rotations) * len(domain_rotations)
    memory.require(
        _BYTES_EACH * count,
        f"{len(phi_rotations)} phi steps of {len(domain_rotations)} mosaic domains",
        "give fewer phisteps or mosaic_domains (-phisteps, -mosaic_domains)",
    )
    if turning or strains is not None:
        cells = cell_vectors[np.newaxis]
        if strains is not None:
            cells = cells + cell_vectors @ strains.swapaxes(-1, -2)
        rotations = all_rotations(phi_rotations, domain_rotations, turning=turning)
        return np.asarray(np.matmul(cells[np.newaxis], rotations.swapaxes(-1, -2)).reshape(count, 3, 3))
    turned = cell_vectors @ phi_rotations.swapaxes(-1, -2)
    # v' = U v for each row v
    product = np.matmul(turned[:, np.newaxis], domain_rotations.swapaxes(-1, -2)[np.newaxis])
    return np.asarray(product.reshape(count, 3, 3))


def all_rotations(phi_rotations: FloatArray, domain_rotations: FloatArray, *, turning: bool) -> FloatArray:
    """The rotation of each step and domain, (np, nm, 3, 3), of column vectors."""
    steps, domains = phi_rotations[:, np.newaxis], domain_rotations[np.newaxis]
    return np.asarray(np.matmul(steps, domains) if turning else np.matmul(domains, steps))

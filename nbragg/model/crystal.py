"""The crystal as a person sets it up (canonical 2, 5)."""

from __future__ import annotations

import math
import numbers
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..base import validate as check
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.unit_cell import cell_volume
from ..base.vectors import FloatArray, dual_products, is_rotation
from .crystal_checks import (
    MOSAIC,
    Law,
    cells_tensor,
    checked_axes,
    checked_cell_spread,
    checked_set,
    checked_sizes,
    checked_spread,
    checked_twin,
)
from .structure_factors import StructureFactors

if TYPE_CHECKING:
    from .diffuse import LiquidMotions, ThermalDiffuse

__all__ = ["SHAPES", "Crystal"]

#: lattice factors: of canonical 7.1 in the engine's order, and that of beyond 17.1
SHAPES = ("square", "round", "gauss", "tophat", "gauss_star")

Triple = tuple[float, float, float]

#: edges of the unit cell, angstrom, outside which volumes and indices would leave double precision
_SHORTEST_EDGE, _LONGEST_EDGE = 1e-6, 1e9

#: of a tensor of cells (beyond 17.2)
_LEAST_EIGENVALUE = 0.1

#: larger angles have no meaning left in double precision
_MOST_DEGREES = 1e9


@frozen(kw_only=True)
class Crystal(Record):
    """Unit cell, orientation, size, shape, mosaicity, rotation and structure factors.

    None means "not given" throughout: canonical 5 and 6 say what then happens.

    Parameters
    ----------
    cell : (a, b, c, alpha, beta, gamma), optional
        Direct cell, angstrom and degrees.
    a_matrix : array_like (3, 3), optional
        Reciprocal axes: rows x, y, z, columns a*, b*, c*, 1/angstrom (a MOSFLM matrix divided by its
        wavelength in angstrom).  With ``cell`` as well, the cell's lengths are imposed (canonical 5.4).  One
        of the two is needed.
    misset_deg : 3 floats or "random", optional
        Rotations about x, y, z, degrees (canonical 5.3).
    orientation : array_like (3, 3) or scipy Rotation, optional
        Rotation of the crystal, in place of ``misset_deg``: a column vector v fixed to the crystal becomes
        ``orientation @ v``.
    misset_seed : int, optional
        For ``"random"``; filled in from the clock when not given.
    rotation_deg : 3 floats
        One more rotation, after ``misset_deg`` or ``orientation`` and before the spindle's: about the
        direction of this vector in the laboratory by its length in degrees.  Small components are rotations
        about x, y and z, which makes it the one to refine.  A new orientation leaves it as it is.
    N : float, 3 floats or array_like (3, 3)
        Unit cells along a, b, c, at least 1; or a symmetric positive definite tensor, which sets ``Ndef``
        too.  Where they are not whole, a block ("square") has the lattice
        factor sin^2(pi N x)/sin^2(pi x) along each axis, x the distance from the nearest index: the same
        formula, which for whole numbers is the same for every index.
    Ndef : 3 floats
        Off the diagonal of the tensor of cells [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]], whose eigenvalues
        are at least 0.1: spots of ``"gauss"`` and ``"tophat"`` are then measured by N dh, dh the distance
        from the nearest index.
    no_N_scale : bool
        The lattice factor is a fraction of its maximum, so that N changes the width of spots only.
    N_distribution : tuple or array_like (n, 3), optional
        Sizes that differ: ``("lognormal", sigma)``, N times exp(sigma z - sigma^2/2), z normal, of mean 1 and
        the same for all axes; ``("lognormal", (sa, sb, sc))``, for each axis; ``("uniform", least, most)``,
        edges in nanometres, each uniform; or rows of cells, one for each image.  Drawn by ``size_seed`` and
        ``image``; of several crystals of a sample each for itself.  None: N.
    N_domains : bool
        One draw for each mosaic domain, whose weight is its volume, in place of one for the image.
    size_seed, image : int
        What decides the sizes that are drawn; a `Series` of random orientations gives each image its number.
    normalise_shape : bool
        The squared lattice factor is divided by its integral over one reciprocal cell in units of Na Nb Nc,
        0.98444 for Gaussians, 1.04739 for ``"tophat"``, 1 for the others at fudge 1.
    size_mm : 3 floats or None each
        Crystal edges along a, b, c, mm; where given they decide N (canonical 5.5): the crystal is one block
        of cells, unless ``block_size_mm`` says that it consists of smaller ones.
    block_size_mm : 3 floats or None each
        Edges along a, b, c, mm, of the blocks of which a crystal of ``size_mm``, of which all three are then
        needed, consists.  They decide N in place of ``size_mm``, by the same rule; along an axis of None N
        is as given.  As many blocks of N cells as fill the crystal, or that of it which is in the beam,
        scatter independently of each other.  None for all three: the crystal is one block.
    blocks : float, optional
        How many blocks of N cells scatter independently of each other, above 0: photons of reflections are
        proportional to it.  None: one, unless ``illuminated_volume_um3`` or ``block_size_mm``, of which at
        most one is given beside None here, say how many.
    illuminated_volume_um3 : float, optional
        Volume of the crystal in the beam, cubic micrometre: as many blocks of N cells as fill it, which
        scatter independently of each other.  None: one block.
    shape : str
        ``"square"``, ``"round"``, ``"gauss"`` or ``"tophat"`` (canonical 7.1), or ``"gauss_star"``: Gaussian
        in the distance in reciprocal space, the same in all directions, exp(-dq^2 V^(2/3)/0.63) with V the
        crystal's volume (beyond 17.1).
    fudge : float
        Scales the argument of the shape's lattice factor.
    mosaic_spread_deg : float, 3 floats or 6 floats, optional
        Degrees.  Of ``"gauss"`` the standard deviation of the rotation about each axis; three numbers: about
        each of ``mosaic_axes``; six: their covariance xx yy zz xy xz yz, square degrees.
    mosaic_domains : int, optional
        None: 10 where there is a spread, else 1.
    mosaic_seed : int
        Of a ``"random"`` and an ``"antithetic"`` set.
    mosaic : str, optional
        Distribution of the rotation vectors of the domains, whose direction is the axis and whose length is
        the angle: ``"gauss"``, Gaussian, so that every rocking curve is Gaussian; ``"angle"``, axis uniform
        and angle Gaussian; ``"cap"``, that of the reference program (canonical 9.2).  None: ``"gauss"`` with
        ``physics="exact"`` and with several spreads, else ``"cap"``.
    mosaic_axes : str or array_like (3, 3)
        What three or six spreads refer to: ``"crystal"``, e1 along a, e3 along c*, e2 = e3 x e1; ``"a*"``, e1
        along a*, e3 along c, e2 = e3 x e1; both turn with the crystal.  ``"laboratory"``, or axes in the
        laboratory as columns, stay where they are.
    mosaic_set : str or array_like (n, 3) or (n, 3, 3), optional
        ``"lattice"``: points of an additive recurrence, centred and scaled to the covariance: no seed, and
        profiles as good as those of several times as many random domains.  ``"random"``; ``"antithetic"``,
        random pairs w, -w.  Or the domains themselves: rotation vectors in radians, or rotation matrices.
        None: ``"lattice"`` for ``"gauss"``, ``"random"`` for others.
    mosaic_weights : sequence of float, optional
        Relative weights of the domains, normalised: their mean counts as one.  None: all alike.
    domain_weight : sequence of float, optional
        How many times each mosaic domain counts, one number for each; the sum is still divided by the number
        of domains.  None: 1 each.
    cell_spread : float, 3 floats or 6 floats, optional
        Relative rms strain from domain to domain, Gaussian: of all edges together; of a, b and c; or of the
        symmetric strain tensor xx yy zz xy xz yz in the axes of ``"crystal"``.  N and structure factors are
        the same for all domains.
    phi_deg : float
        Spindle angle where the rotation begins, degrees.
    osc_deg, phistep_deg : float, optional
        Rotation range and step, degrees; a step of 0 means not given.
    phisteps : int, optional
        Steps of the rotation (canonical 6).  None: 2 of half the range, or as many of ``phistep_deg`` as
        reach over the range, or 1 without either.  Given alone, the range is 1 degree; ``phistep_deg``
        without a range makes 2 steps.

        With ``physics="exact"`` step i has the angle phi_deg + (i + 1/2) step, so that one step has the
        middle of the range; with ``physics="nanobragg"`` phi_deg + i step.  A range of 0 begins at phi_deg in
        both.  Steps cover phi_deg to phi_deg + osc_deg unless ``phistep_deg`` makes step times count another
        range.
    spindle_axis : 3 floats, optional
        Rotation axis, any length; selects the custom convention.
    twin : sequence of (law, fraction)
        Twin laws, ``"-h,-k,l"`` or a (3, 3) matrix T of determinant 1 or -1 that acts on (h, k, l), with the
        share of the crystal that each individual has; the rest is the crystal itself.  An individual's axes
        are T (a, b, c).  `twin_rotation` makes T of a rotation.
    twin_tolerance : float
        A law that changes lengths of the cell by more percent, or angles by more degrees, is warned of.
    diffuse : LiquidMotions or ThermalDiffuse, optional
        How its atoms move, and scatter between the spots.  None: they do not.
    structure_factors : StructureFactors

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, an impossible cell or a singular matrix.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=(10, 10, 10), structure_factors=factors)
    >>> crystal.replace(shape="gauss", mosaic_spread_deg=0.5, mosaic_domains=20).shape
    'gauss'
    """

    structure_factors: StructureFactors
    cell: tuple[float, float, float, float, float, float] | None = None
    a_matrix: FloatArray | None = None
    misset_deg: Triple | str | None = None
    orientation: FloatArray | None = None
    misset_seed: int | None = None
    rotation_deg: Triple = (0.0, 0.0, 0.0)
    N: tuple[int | float, int | float, int | float] = (1, 1, 1)
    Ndef: Triple = (0.0, 0.0, 0.0)
    no_N_scale: bool = False
    normalise_shape: bool = False
    N_distribution: tuple[Any, ...] | None = None
    N_domains: bool = False
    size_seed: int = 1
    image: int = 0
    size_mm: tuple[float | None, float | None, float | None] = (None, None, None)
    block_size_mm: tuple[float | None, float | None, float | None] = (None, None, None)
    blocks: float | None = None
    illuminated_volume_um3: float | None = None
    shape: str = "square"
    fudge: float = 1.0
    mosaic_spread_deg: float | tuple[float, ...] | None = None
    mosaic_domains: int | None = None
    mosaic_seed: int = 12345678
    mosaic: str | None = None
    mosaic_axes: str | FloatArray = "crystal"
    mosaic_set: str | FloatArray | None = None
    mosaic_weights: tuple[float, ...] | None = None
    domain_weight: tuple[float, ...] | None = None
    cell_spread: float | tuple[float, ...] | None = None
    twin: tuple[tuple[Law, float], ...] = ()
    twin_tolerance: float = 3.0
    phi_deg: float = 0.0
    osc_deg: float | None = None
    phistep_deg: float | None = None
    phisteps: int | None = None
    spindle_axis: Triple | None = None
    diffuse: LiquidMotions | ThermalDiffuse | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.structure_factors, StructureFactors):
            raise InputError(
                f"structure_factors must be a StructureFactors, not {type(self.structure_factors).__name__}: "
                "use StructureFactors.from_file, from_reflections or constant"
            )
        if self.cell is None and self.a_matrix is None:
            raise InputError("no unit cell: give cell or a_matrix")
        if self.cell is not None:
            self._set("cell", _checked_cell(self.cell))
        if self.a_matrix is not None:
            self._set("a_matrix", _checked_matrix(self.a_matrix))
        self._check_misset()
        if self.orientation is not None:
            if self.misset_deg is not None:
                raise InputError("misset_deg and orientation both turn the crystal: give one of them")
            self._set("orientation", rotation_matrix("orientation", self.orientation))
        self._set("rotation_deg", check.vector("rotation_deg", self.rotation_deg))
        for i, x in enumerate(self.rotation_deg):
            check.number(f"rotation_deg[{i}]", x, at_least=-_MOST_DEGREES, at_most=_MOST_DEGREES)
        self._check_cells()
        self._check_amount()
        self._set("shape", check.choice("shape", self.shape, SHAPES))
        self._set("fudge", check.number("fudge", self.fudge, at_least=0))
        for name in ("osc_deg", "phistep_deg"):
            self._set(
                name, check.optional_number(name, getattr(self, name), at_least=0, at_most=_MOST_DEGREES)
            )
        for name in ("mosaic_domains", "phisteps"):
            self._set(name, check.optional_count(name, getattr(self, name)))
        self._check_mosaic()
        self._set("twin", checked_twin(self.twin))
        self._set("twin_tolerance", check.number("twin_tolerance", self.twin_tolerance, at_least=0))
        self._set("phi_deg", check.number("phi_deg", self.phi_deg))
        self._set("spindle_axis", check.optional_direction("spindle_axis", self.spindle_axis))
        if self.diffuse is not None:
            from .diffuse import checked_diffuse

            self._set("diffuse", checked_diffuse(self.diffuse))

    def with_orientation(self, orientation: Any) -> Crystal:
        """A copy in another orientation.

        Parameters
        ----------
        orientation : array_like or scipy Rotation
            Three missetting angles about x, y, z in degrees; or a rotation, as a (3, 3) matrix or a scipy
            ``Rotation``, which turns the crystal from its setting without misset; or an A matrix (3, 3), as
            ``a_matrix``, which takes the place of cell, matrix and misset.

        Raises
        ------
        InputError
            For anything else, and for a matrix that is neither a rotation nor, within a factor of two of the
            cell's volume, an A matrix of this crystal.

        Notes
        -----
        Reciprocal axes, in 1/angstrom, are far shorter than 1: that tells the two kinds of matrix apart.
        ``rotation_deg`` stays, and turns the new orientation as it did the old one.

        Examples
        --------
        >>> import nbragg
        >>> factors = nbragg.StructureFactors.constant(100)
        >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), structure_factors=factors)
        >>> crystal.with_orientation((10, 20, 30)).misset_deg
        (10.0, 20.0, 30.0)
        >>> turn = nbragg.random_orientations(1, seed=5)[0]
        >>> crystal.with_orientation(turn).orientation.shape
        (3, 3)
        """
        none: dict[str, Any] = {"misset_deg": None, "orientation": None, "misset_seed": None}
        value = orientation.as_matrix() if hasattr(orientation, "as_matrix") else orientation
        if np.shape(value) == (3,):
            return self.replace(**none | {"misset_deg": tuple(value)})
        if isinstance(value, np.ndarray) and value.shape == (3, 3) and is_rotation(value.tolist()):
            turn = np.array(value, np.float64)
            turn.setflags(write=False)
            return self._with(**none | {"orientation": turn})
        matrix = check.frozen_array("orientation", value, (3, 3))
        if 2.0 < (matrix * matrix).sum() < 4.0:
            return self._with(**none | {"orientation": rotation_matrix("orientation", matrix)})
        ratio = abs(float(np.linalg.det(matrix))) * self._volume()
        if not 0.5 < ratio < 2:
            raise InputError(
                "orientation is neither a rotation (its columns are not orthonormal) nor an A matrix of this "
                f"crystal (its cell would have {1 / ratio if ratio else math.inf:.3g} times the volume): "
                "give missetting angles, a rotation matrix, or a*, b*, c* in 1/angstrom as columns"
            )
        return self.replace(**none | {"cell": None, "a_matrix": matrix})

    def _volume(self) -> float:
        """Volume of the unit cell, cubic angstrom."""
        if self.a_matrix is not None:
            return 1.0 / abs(float(np.linalg.det(self.a_matrix)))
        assert self.cell is not None  # checked when made
        return cell_volume(self.cell)

    def _check_cells(self) -> None:
        N = self.N
        if np.ndim(N) == 2:
            tensor = check.frozen_array("N", N, (3, 3))
            if np.abs(tensor - tensor.T).max() > 1e-9 * np.abs(tensor).max():
                raise InputError(
                    "N as a tensor must be symmetric: [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]]"
                )
            self._set("Ndef", (tensor[0, 1], tensor[1, 2], tensor[0, 2]))
            N = tuple(tensor.diagonal().tolist())
        self._set("Ndef", check.vector("Ndef", self.Ndef))
        least = _LEAST_EIGENVALUE if any(self.Ndef) else 1
        cells = (_cells(f"N[{i}]", n, least) for i, n in enumerate(_three("N", _thrice(N))))
        self._set("N", tuple(cells))
        self._set("N_distribution", checked_sizes(self.N_distribution))
        for name in ("size_seed", "image"):
            self._set(name, check.seed(name, getattr(self, name)))
        if self.N_distribution is not None and (any(self.Ndef) or np.array(self.size_mm, object).any()):
            raise InputError("N_distribution draws cells along the axes: leave out size_mm and Ndef")
        for name in ("no_N_scale", "normalise_shape", "N_domains"):
            self._set(name, check.flag(name, getattr(self, name)))
        if not any(self.Ndef):
            return
        if self.shape not in ("gauss", "tophat"):
            raise InputError(
                f"N as a tensor (Ndef) belongs to the shapes gauss and tophat; the shape is {self.shape!r}"
            )
        if any(size is not None for size in np.ravel(np.array(self.size_mm, object))):
            raise InputError("size_mm decides N along the axes, and N is a tensor (Ndef): give one of them")
        smallest = float(np.linalg.eigvalsh(cells_tensor(self.N, self.Ndef)).min())
        if smallest < _LEAST_EIGENVALUE:
            raise InputError(
                f"the eigenvalues of N as a tensor must be at least {_LEAST_EIGENVALUE}, and the least is "
                f"{smallest:.4g}"
            )

    def _check_amount(self) -> None:
        """Edges of crystal and blocks, and how many blocks there are: said once."""
        for name in ("size_mm", "block_size_mm"):
            edges = enumerate(_three(name, getattr(self, name)))
            checked = (check.optional_number(f"{name}[{i}]", x, above=0, at_most=1e15) for i, x in edges)
            self._set(name, tuple(checked))
        for name in ("blocks", "illuminated_volume_um3"):
            self._set(name, check.optional_number(name, getattr(self, name), above=0))
        sized = any(edge is not None for edge in self.block_size_mm)
        given = [name for name in ("blocks", "illuminated_volume_um3") if getattr(self, name) is not None]
        given += ["block_size_mm"] * sized
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} each say how many blocks there are: give one of them")
        if not sized:
            return
        for axis, edge, block in zip("abc", self.size_mm, self.block_size_mm, strict=True):
            if edge is None:
                raise InputError(
                    f"block_size_mm needs the crystal's edges, and size_mm has none along {axis}: give all "
                    "three; or give size_mm alone, as the block's edges, and how many there are as blocks"
                )
            if block is not None and block > edge:
                raise InputError(
                    f"the blocks are longer than the crystal along {axis}: block_size_mm {block:g}, at most "
                    f"size_mm {edge:g} was expected"
                )

    def _check_mosaic(self) -> None:
        self._set("mosaic_seed", check.seed("mosaic_seed", self.mosaic_seed))
        self._set("mosaic_spread_deg", checked_spread(self.mosaic_spread_deg))
        self._set("cell_spread", checked_cell_spread(self.cell_spread))
        if self.mosaic is not None:
            check.choice("mosaic", self.mosaic, MOSAIC)
        self._set("mosaic_axes", checked_axes(self.mosaic_axes))
        self._set("mosaic_set", checked_set(self.mosaic_set))
        for name in ("domain_weight", "mosaic_weights"):
            if getattr(self, name) is not None:
                self._set(name, _checked_weights(name, getattr(self, name)))
        if self.domain_weight is not None and self.mosaic_weights is not None:
            raise InputError("domain_weight and mosaic_weights both weigh the domains: give one of them")
        if isinstance(self.mosaic_set, np.ndarray):
            given = [
                n for n in ("mosaic_spread_deg", "mosaic_domains", "mosaic") if getattr(self, n) is not None
            ]
            if given:
                raise InputError(f"mosaic_set holds the domains themselves: leave out {', '.join(given)}")
        elif self.mosaic_set in ("lattice", "antithetic") and self.mosaic in ("cap", "angle"):
            raise InputError(f'mosaic_set {self.mosaic_set!r} is for mosaic "gauss", not {self.mosaic!r}')
        spreads = self.mosaic_spread_deg if isinstance(self.mosaic_spread_deg, tuple) else ()
        if spreads and self.mosaic == "cap":
            raise InputError('mosaic "cap" has one spread: give mosaic "gauss" or "angle" with several')
        if self.mosaic == "angle" and len(spreads) == 6:
            raise InputError(
                'mosaic "angle" takes one spread or three: give mosaic "gauss" with a covariance'
            )

    def _check_misset(self) -> None:
        if self.misset_seed is not None:
            self._set("misset_seed", check.seed("misset_seed", self.misset_seed))
        if isinstance(self.misset_deg, str):
            check.choice("misset_deg", self.misset_deg, ("random",))
            if self.misset_seed is None:
                # drawn here and kept, so that the same record always gives the same crystal
                self._set("misset_seed", time.time_ns() // 1000 % (2**31 - 2) + 1)
        elif self.misset_deg is not None:
            self._set("misset_deg", check.vector("misset_deg", self.misset_deg))


def rotation_matrix(name: str, value: Any) -> FloatArray:
    """A read-only rotation matrix from a (3, 3) array or a scipy Rotation."""
    matrix = check.frozen_array(name, value.as_matrix() if hasattr(value, "as_matrix") else value, (3, 3))
    if not is_rotation(matrix.tolist()):
        raise InputError(
            f"{name} must be a rotation matrix: orthonormal columns and determinant 1, to 1e-6; "
            "Crystal.with_orientation also takes A matrices and missetting angles"
        )
    return matrix


def _thrice(value: object) -> object:
    """One number stands for all three axes."""
    return (value,) * 3 if isinstance(value, numbers.Real) else value


def _cells(name: str, value: object, least: float) -> float:
    """Unit cells along an axis: as int where they are whole."""
    cells = check.number(name, value, at_least=least, at_most=2**31 - 1)
    return int(cells) if cells.is_integer() else cells


def _checked_weights(name: str, weights: object) -> tuple[float, ...]:
    """One number for each mosaic domain, not all zero."""
    if not isinstance(weights, (tuple, list, np.ndarray)) or len(weights) == 0:
        raise InputError(f"{name} must be one number for each mosaic domain, not {weights!r}")
    values = tuple(check.number(f"{name}[{i}]", w, at_least=0) for i, w in enumerate(weights))
    if not any(values):
        raise InputError(f"{name} must not be zero for every mosaic domain")
    return values


def _three(name: str, value: object) -> tuple[object, object, object]:
    if isinstance(value, (tuple, list, np.ndarray)) and len(value) == 3:
        return value[0], value[1], value[2]
    raise InputError(f"{name} must be three values, one for each of a, b, c, not {value!r}")


def _checked_cell(cell: object) -> tuple[float, float, float, float, float, float]:
    """Lengths above zero and angles that close: each below the sum of the others, together below 360."""
    values = check.vector("cell", cell, 6)
    lengths, angles = values[:3], values[3:]
    if min(lengths) <= 0:
        shown = ", ".join(f"{x:g}" for x in lengths)
        raise InputError(f"cell lengths ({shown}) A must be positive")
    if not (min(lengths) >= _SHORTEST_EDGE and max(lengths) <= _LONGEST_EDGE):
        shown = ", ".join(f"{x:g}" for x in lengths)
        raise InputError(
            f"cell lengths ({shown}) A must lie between {_SHORTEST_EDGE:g} and {_LONGEST_EDGE:g}: "
            "give angstroms"
        )
    alpha, beta, gamma = angles
    half = (alpha + beta + gamma) / 2
    # the four factors of the volume in canonical 5.1; one that is not positive means the corner cannot close
    factors = [math.sin(math.radians(x)) for x in (half, half - alpha, half - beta, half - gamma)]
    if min(angles) <= 0 or max(angles) >= 180 or half >= 180 or min(factors) <= 1e-9:
        shown = ", ".join(f"{x:g}" for x in angles)
        raise InputError(
            f"cell angles ({shown}) deg cannot form a cell: each must be below the sum of the other two "
            "and all three together below 360"
        )
    return cast("tuple[float, float, float, float, float, float]", values)


def _checked_matrix(matrix: object) -> FloatArray:
    """Three reciprocal axes that span space."""
    array = check.frozen_array("a_matrix", matrix, (3, 3))
    volume = abs(float(np.linalg.det(array)))
    if not volume > 1e-9 * float(np.prod(np.linalg.norm(array, axis=0))):
        raise InputError(
            "a_matrix is singular: its columns a*, b*, c* lie in one plane or one is zero; "
            "expected three independent axes"
        )
    edges = np.linalg.norm(dual_products(array.T), axis=1) / volume
    if not (edges.min() >= _SHORTEST_EDGE and edges.max() <= _LONGEST_EDGE):
        raise InputError(
            f"a_matrix stands for a cell with edges of {edges.min():.3g} to {edges.max():.3g} A; expected "
            f"{_SHORTEST_EDGE:g} to {_LONGEST_EDGE:g}: give 1/angstrom (for -mat, times the wavelength)"
        )
    return array

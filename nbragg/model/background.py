"""What scatters without a lattice: solvent, air, curves measured elsewhere (beyond 12)."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..base import constants
from ..base import validate as check
from ..base.curves import INTERPOLATIONS, Pieces, pieces
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.records import Record, frozen
from ..base.vectors import FloatArray
from ..io.files.text_tables import check_rows, read_curve
from .physics import Physics, physics_of

__all__ = ["SHIPPED", "UNITS", "Background", "RadialCurve", "Shipped"]

#: abscissa of a table -> how many times sin(theta)/lambda it is
UNITS = {"stol": 1.0, "4stol": 4.0, "Q": 4.0 * np.pi}

_DATA = Path(__file__).resolve().parent.parent / "data"


class Shipped(NamedTuple):
    """A material whose table is at hand.

    Attributes
    ----------
    density : float
        g/cm^3.
    molar_mass : float
        g/mol.
    rows : ndarray (n, 2)
        sin(theta)/lambda, 1/angstrom, and amplitude of a molecule, electrons.
    """

    density: float
    molar_mass: float
    file: str

    @property
    def rows(self) -> FloatArray:
        return _shipped(self.file)


#: water and air: those of bl831/nanoBragg (MIT licence); helium: docs/background.md says how it was made
SHIPPED = {
    "water": Shipped(1.0, 18.0, "water.stol"),
    "air": Shipped(1.2e-3, 28.97, "air.stol"),
    "helium": Shipped(1.66e-4, 4.0026, "helium.stol"),
    "unity": Shipped(1.0, 18.0, ""),
}


@cache
def _shipped(file: str) -> FloatArray:
    rows = read_curve(_DATA / file) if file else np.array([[0.0, 1.0]])
    rows.setflags(write=False)
    return rows


@frozen
class Background(Record):
    """Amorphous material in the beam, which scatters by the amplitude of its molecules.

    Its photons are added to those of Bragg scattering, whatever the crystal (beyond 12.4)::

        B = r_e^2 fluence N * mean over sources and sub-pixels of
                              the sum over layers of w sgn(F) F^2 P Omega A T

    with N molecules, the polarization factor P, the solid angle Omega, the fraction A that a sensor layer
    absorbs, and the fraction T that arrives.  Reference: nonBragg.c of bl831/nanoBragg.

    Parameters
    ----------
    table : str, path or array_like (n, 2)
        A material (water, air, helium, unity), a file of rows s F, or rows: F is all that one molecule
        scatters, Compton scattering too, as an amplitude in electrons.  A negative F takes photons away.
    unit : {"stol", "4stol", "Q"}
        Of s in a file or an array: sin(theta)/lambda, four times that, or 4 pi times that; 1/angstrom.
    molecules : float, optional
        Number in the beam, instead of the three edges and the density.
    thickness_mm : float
        Edge along the beam.
    width_mm, height_mm : float
        Edges across it, each cut at the beam's size.
    density : float, optional
        g/cm^3; default the material's, of others 1.
    molar_mass : float, optional
        g/mol; default the material's, of others 18.
    interpolation : {"lagrange", "pchip"}, optional
        Between rows: a cubic polynomial through four, or a curve that is monotone between two.  Default
        pchip; with physics "nanobragg" lagrange.
    outside : {"line", "hold"}, optional
        Beyond the rows: the line through the last two, or the last value, with a warning when more than 1
        percent of the pixels are there.  Default hold; with physics "nanobragg" line.
    segments : int
        Pieces into which the thickness is cut, each scattering from its middle.
    path_mm : (float, float), optional
        Where the material begins and ends along the beam, the sample at 0, upstream below 0; it takes the
        place of ``thickness_mm``.  Air between a collimator and a beam stop, for example.
    sign : {1, -1}
        -1 takes its photons away: of solvent that a crystal displaces, for example.
    source : str
        File that the rows were read from.  No part of what the material is: not compared.

    Raises
    ------
    InputError
        For a material that is not known (the nearest is named), rows that cannot be used, a value that is not
        finite or out of its range.
    FileError
        For a file that cannot be read.

    Examples
    --------
    >>> import nbragg
    >>> water = nbragg.Background("water", thickness_mm=0.3)
    >>> f"{water.molecules_in(beamsize_mm=0.02):.4g}"
    '4.015e+15'
    >>> water.amplitude([0.0, 0.15]).round(3).tolist()
    [2.57, 7.754]
    >>> nbragg.Background("watr")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    nbragg.base.errors.InputError: there is no material 'watr', and no file of ...; did you mean 'water'?
    """

    table: Any
    _: KW_ONLY
    unit: str = "stol"
    molecules: float | None = None
    thickness_mm: float = 0.1
    width_mm: float = 0.1
    height_mm: float = 0.1
    density: float | None = None
    molar_mass: float | None = None
    interpolation: str | None = None
    outside: str | None = None
    segments: int = 1
    path_mm: tuple[float, float] | None = None
    sign: int = 1
    source: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        self._set("unit", check.choice("unit", self.unit, UNITS))
        self._set_table()
        self._set("molecules", check.optional_number("molecules", self.molecules, at_least=0))
        for name in ("thickness_mm", "width_mm", "height_mm"):
            self._set(name, check.number(name, getattr(self, name), at_least=0))
        self._set("density", check.optional_number("density", self.density, at_least=0))
        self._set("molar_mass", check.optional_number("molar_mass", self.molar_mass, above=0))
        if self.interpolation is not None:
            self._set("interpolation", check.choice("interpolation", self.interpolation, INTERPOLATIONS))
        if self.outside is not None:
            self._set("outside", check.choice("outside", self.outside, ("line", "hold")))
        self._set("segments", check.count("segments", self.segments, at_most=100_000))
        if self.path_mm is not None:
            start, end = check.vector("path_mm", self.path_mm, 2)
            if not start < end:
                raise InputError(f"path_mm must begin before it ends, not ({start:g}, {end:g})")
            if self.thickness_mm != 0.1:
                raise InputError("thickness_mm and path_mm both say how thick it is: leave one out")
            self._set("path_mm", (start, end))
        if self.sign not in (1, -1) or isinstance(self.sign, bool):
            raise InputError(f"sign must be 1 or -1, not {self.sign!r}")
        self._set("sign", int(self.sign))

    def _set_table(self) -> None:
        """The name of a material, or rows by ascending sin(theta)/lambda."""
        table = self.table
        if isinstance(table, str) and table in SHIPPED:
            if self.unit != "stol":
                raise InputError(f"unit {self.unit!r} belongs to a file or an array, not to {table}")
            return
        if isinstance(table, (str, os.PathLike)):
            name: str = os.fspath(table)
            if (
                isinstance(table, str)
                and not os.path.exists(name)
                and not Path(name).suffix
                and os.sep not in name
            ):
                near = suggestion(name, SHIPPED)
                raise InputError(f"there is no material {name!r}, and no file of that name{near}")
            self._set("source", name)
            rows = read_curve(name)
        else:
            rows = check.frozen_array("table", table, (None, 2))
            if not len(rows):
                raise InputError("table must have at least one row of s and F")
            problem = check_rows(rows)
            if problem is not None:
                raise InputError(f"table, row {problem[0] + 1}: s {problem[1]}")
            rows = rows[np.argsort(rows[:, 0])]
        self._set("table", check.frozen_array("table", rows / [UNITS[self.unit], 1.0], (None, 2)))
        self._set("unit", "stol")

    @property
    def material(self) -> Shipped | None:
        """The material, None for rows."""
        return SHIPPED[self.table] if isinstance(self.table, str) else None

    @property
    def rows(self) -> FloatArray:
        """sin(theta)/lambda, 1/angstrom, and amplitude, electrons: ndarray (n, 2), ascending."""
        return self.table if self.material is None else self.material.rows

    @property
    def path(self) -> tuple[float, float]:
        """Where it begins and ends along the beam, mm."""
        return self.path_mm or (-0.5 * self.thickness_mm, 0.5 * self.thickness_mm)

    def molecules_in(self, beamsize_mm: float) -> float:
        """Molecules in a beam of that edge, mm; negative: it is wider than the material."""
        if self.molecules is not None:
            return self.molecules
        made_of = self.material or Shipped(1.0, 18.0, "")
        density = made_of.density if self.density is None else self.density
        molar_mass = made_of.molar_mass if self.molar_mass is None else self.molar_mass
        begin, end = self.path
        volume = (end - begin if self.path_mm is not None else self.thickness_mm) * 1e-3
        for edge in (self.width_mm, self.height_mm):
            cut = 0 <= beamsize_mm.real < edge.real
            volume = volume * ((beamsize_mm if cut else edge) * 1e-3)
        return volume * (density * 1e6) * constants.AVOGADRO / molar_mass

    def curve(self, physics: Physics) -> Pieces:
        """F of sin(theta)/lambda, 1/angstrom, as the physics interpolates it where nothing else is said."""
        rows = self.rows
        return pieces(rows[:, 0].real, rows[:, 1], self.interpolated(physics), self.ends(physics))

    def interpolated(self, physics: Physics) -> str:
        """How there is interpolated between rows: "lagrange" or "pchip"."""
        return self.interpolation or ("pchip" if physics.name == "exact" else "lagrange")

    def ends(self, physics: Physics) -> str:
        """What is taken beyond the rows: "line" or "hold"."""
        return self.outside or ("hold" if physics.name == "exact" else "line")

    def amplitude(self, s: npt.ArrayLike, physics: str = "exact") -> FloatArray:
        """F of one molecule, electrons.

        Parameters
        ----------
        s : array_like
            sin(theta)/lambda, 1/angstrom.
        physics : {"exact", "nanobragg"}
            Which interpolation is the default.

        Returns
        -------
        ndarray, of the shape of ``s``
        """
        rules = physics_of(physics)
        values = self.curve(rules)(s)
        if self.interpolated(rules) == "pchip" and self.ends(rules) == "hold":
            x, F = self.rows.T
            below = np.clip(np.searchsorted(x, np.asarray(s), side="right") - 1, 0, len(x) - 1)
            above = np.clip(below + 1, 0, len(x) - 1)
            # rounding must not leave the range either
            values = np.clip(values, np.minimum(F[below], F[above]), np.maximum(F[below], F[above]))
        return values


@frozen
class RadialCurve(Record):
    """Photons by scattering angle, as measured or fitted elsewhere: a solvent ring, for example.

    Adds to each pixel the mean over sources and sub-pixels of the sum over layers of
    ``value(s) P Omega A T``, whatever the fluence (beyond 12.8); the factors as of `Background`.

    Parameters
    ----------
    s : array_like (n,)
        sin(theta)/lambda, 1/angstrom.
    photons_per_sr : array_like (n,)
        At each of them, before polarization; monotone between two rows, 0 beyond the first and the last.
    polarized : bool
        False leaves P out.

    Raises
    ------
    InputError
        For lengths that differ, an s below 0 or twice, fewer than two rows, numbers that are not finite.

    Examples
    --------
    >>> import nbragg
    >>> ring = nbragg.RadialCurve([0.10, 0.15, 0.20], [0, 1e6, 0])
    >>> ring.value([0.15, 0.3]).tolist()
    [1000000.0, 0.0]
    """

    s: FloatArray
    photons_per_sr: FloatArray
    _: KW_ONLY
    polarized: bool = True

    def __post_init__(self) -> None:
        s = check.frozen_array("s", self.s, (None,))
        values = check.frozen_array("photons_per_sr", self.photons_per_sr, (len(s),))
        if len(s) < 2:
            raise InputError(f"a curve needs at least two rows, not {len(s)}")
        problem = check_rows(s[:, np.newaxis])
        if problem is not None:
            raise InputError(f"s, row {problem[0] + 1}: {problem[1]}")
        order = np.argsort(s)
        self._set("s", check.frozen_array("s", s[order], (None,)))
        self._set("photons_per_sr", check.frozen_array("photons_per_sr", values[order], (None,)))
        self._set("polarized", check.flag("polarized", self.polarized))

    @property
    def curve(self) -> Pieces:
        """Photons/sr of sin(theta)/lambda, 1/angstrom."""
        return pieces(self.s, self.photons_per_sr, "pchip", "zero")

    def value(self, s: npt.ArrayLike) -> FloatArray:
        """Photons/sr at sin(theta)/lambda, 1/angstrom; of the shape of ``s``."""
        return self.curve(s)

"""Structure factor amplitudes: a list, a file, or one value for everything (canonical 7.2, 7.4)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ..base import memory
from ..base import validate as check
from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.records import Record, frozen
from ..base.vectors import FloatArray

if TYPE_CHECKING:
    from ..io.reflections.energies import ModelTables

__all__ = ["StructureFactors", "boxed"]


@frozen
class StructureFactors(Record):
    """Amplitudes on a box of whole indices, with one value for everything outside it.

    Parameters
    ----------
    values : array_like (nh, nk, nl), optional
        ``values[i, j, k]`` belongs to ``(hmin + i, kmin + j, lmin + k)``; None: no list.
    origin : (hmin, kmin, lmin)
        Lowest indices of the box.
    default_F : float
        Amplitude of every reflection outside the box.
    n_listed : int, optional
        Reflections listed, for reports; default the number of values.
    energies_eV : array_like (nodes,), optional
        Photon energies at which the amplitudes of `tables` hold, ascending.
    tables : array_like (nodes, nh, nk, nl), optional
        ``values`` at each of the energies; F^2 is linear between two of them, and beyond them as at the
        nearest.  ``values`` is then what lists and reports show; None: those in the middle.
    space_group : str
        Hermann-Mauguin symbol of the crystal that the amplitudes are of, for labels; "": not known.  No
        amplitude depends on it, and lists that differ in nothing else are equal.

    Raises
    ------
    InputError
        For a value that is not finite or an empty box; energies without tables, tables of another shape, and
        energies that do not ascend.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.StructureFactors.constant(100).default_F
    100.0
    >>> factors = nbragg.StructureFactors.from_reflections([1, -1], [0, 0], [2, -2], [50, 50], default_F=1)
    >>> factors.values.shape, factors.origin
    ((3, 1, 5), (-1, 0, -2))
    """

    values: FloatArray | None = None
    origin: tuple[int, int, int] = (0, 0, 0)
    default_F: float = 0.0
    n_listed: int | None = None
    energies_eV: FloatArray | None = None
    tables: FloatArray | None = None
    space_group: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.space_group, str):
            raise InputError(f"space_group must be a Hermann-Mauguin symbol, not {self.space_group!r}")
        if self.energies_eV is not None or self.tables is not None:
            self._check_tables()
        self._set("default_F", check.number("default_F", self.default_F))
        origin = tuple(check.seed("origin", n) for n in check.vector("origin", self.origin))
        self._set("origin", origin)
        listed = 0
        if self.values is not None:
            values = check.frozen_array("values", self.values, (None, None, None))
            if values.size == 0:
                raise InputError(
                    f"values must hold at least one structure factor, not an array of shape {values.shape}"
                )
            self._set("values", values)
            listed = values.size
        self._set(
            "n_listed",
            listed if self.n_listed is None else check.count("n_listed", self.n_listed, at_least=0),
        )

    def _check_tables(self) -> None:
        if self.energies_eV is None or self.tables is None:
            raise InputError("energies_eV and tables go together: give both or neither")
        energies = check.frozen_array("energies_eV", self.energies_eV, (None,))
        tables = check.frozen_array("tables", self.tables, (len(energies), None, None, None))
        if tables.size == 0:
            raise InputError(f"tables must hold structure factors, not be of shape {tables.shape}")
        if energies[0] <= 0 or (np.diff(energies) <= 0).any():
            raise InputError("energies_eV must be positive and ascend")
        self._set("energies_eV", energies)
        self._set("tables", tables)
        if self.values is None:
            self._set("values", check.owned(self.at_energy(0.5 * (energies[0] + energies[-1]))))
        elif np.shape(self.values) != tables.shape[1:]:
            raise InputError(f"values must be of shape {tables.shape[1:]}, as the tables are")

    @property
    def nodes(self) -> tuple[float, ...]:
        """Energies between which the amplitudes change, eV; none where they do not."""
        return (
            () if self.energies_eV is None or len(self.energies_eV) < 2 else tuple(self.energies_eV.tolist())
        )

    def at_energy(self, energy_eV: float) -> FloatArray:
        """Amplitudes (nh, nk, nl) at a photon energy: F^2 is linear between the tables.

        Raises
        ------
        InputError
            Without a list.
        """
        if self.tables is None or self.energies_eV is None:
            return self._list()
        at = np.searchsorted(self.energies_eV, energy_eV, side="right")
        if at == 0 or at == len(self.energies_eV) or self.energies_eV[at - 1] == energy_eV:
            return np.asarray(self.tables[max(at - 1, 0)])
        low, high = self.energies_eV[at - 1 : at + 1]
        share = (energy_eV - low) / (high - low)
        return np.asarray(np.sqrt((1.0 - share) * self.tables[at - 1] ** 2 + share * self.tables[at] ** 2))

    def _list(self) -> FloatArray:
        if self.values is None:
            raise InputError(f"every structure factor is {self.default_F:g}: there is no list")
        return self.values

    @cached_property
    def outermost(self) -> FloatArray:
        """Miller indices (n, 3) of the first and last amplitude of each row along l that is not 0.

        For any cell the listed reflection that is farthest out, 0 ones left out, is one of them: along a row
        the square of q is a parabola that opens upwards.

        Raises
        ------
        InputError
            Without a list.
        """
        listed = self._list() != 0
        h, k = np.nonzero(listed.any(axis=2))
        rows = listed[h, k]
        first, last = rows.argmax(axis=1), rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
        found = np.stack([np.tile(h, 2), np.tile(k, 2), np.concatenate([first, last])], axis=1)
        return check.owned((found + np.array(self.origin)).astype(np.float64))

    @cached_property
    def outermost_products(self) -> FloatArray:
        """Of `outermost`, (n, 6): h h, k k, l l, 2 h k, 2 h l, 2 k l; q squared by the reciprocal metric."""
        h, k, m = self.outermost.T
        return check.owned(np.stack([h * h, k * k, m * m, 2 * h * k, 2 * h * m, 2 * k * m], axis=1))

    @cached_property
    def digest(self) -> str:
        """Hexadecimal BLAKE2 digest of everything that decides the amplitudes."""
        import hashlib

        state = hashlib.blake2b(repr((self.origin, self.default_F)).encode(), digest_size=16)
        if self.values is not None:
            state.update(repr(self.values.shape).encode())
            state.update(self.values.data)
        if self.energies_eV is not None and self.tables is not None:
            state.update(self.energies_eV.data)
            state.update(self.tables.data)
        return state.hexdigest()

    def _content(self) -> tuple[object, ...]:
        return (self.digest,)

    def listed(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Indices h, k, l and amplitude of every point of the box, sorted; the list's holes are among them.

        Raises
        ------
        InputError
            Without a list.
        """
        values = self._list()
        index = np.indices(values.shape).reshape(3, -1) + np.array(self.origin)[:, np.newaxis]
        h, k, l = index.astype(np.float64)  # noqa: E741 - the index's name
        return h, k, l, values.reshape(-1)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        cell: tuple[float, float, float, float, float, float],
        wavelength_A: float | None = None,
    ) -> None:
        """Write the list as an MTZ file in P 1, whatever is read back to float32.

        Parameters
        ----------
        path : path
            Its name ends in ``.mtz``.
        cell : 6 floats
            Angstrom and degrees.
        wavelength_A : float, optional

        Raises
        ------
        InputError
            Without a list, for another suffix, and for amplitudes beyond float32.
        FileError
        """
        from ..io.reflections.mtz_write import write_mtz

        if not os.fspath(path).lower().endswith(".mtz"):
            raise InputError(f"{os.fspath(path)}: structure factors are saved as MTZ; end the name in .mtz")
        write_mtz(path, *self.listed(), cell=cell, wavelength_A=wavelength_A)

    @classmethod
    def constant(cls, F: float) -> StructureFactors:
        """The same amplitude for every reflection."""
        return cls(default_F=F)

    @classmethod
    def from_reflections(
        cls,
        h: npt.ArrayLike,
        k: npt.ArrayLike,
        l: npt.ArrayLike,  # noqa: E741 - the index's name
        F: npt.ArrayLike,
        default_F: float = 0.0,
        space_group: str = "",
    ) -> StructureFactors:
        """Put a list into its box; holes become ``default_F``, of repeated indices the last counts.

        Parameters
        ----------
        h, k, l : array_like (n,)
            Whole-numbered indices.
        F : array_like (n,)
            Amplitudes.
        default_F : float
            Amplitude of everything not listed.
        space_group : str
            Of the crystal; the list is in P 1 all the same.

        Raises
        ------
        InputError
            For an empty list, lengths that differ, indices that are not whole or values that are not finite.
        MemoryLimitError
            When the box spanned by the indices does not fit into memory.
        """
        amplitude = check.frozen_array("F", F, (None,))
        n = len(amplitude)
        if n == 0:
            raise InputError("the reflection list is empty: give at least one h, k, l, F")
        default = check.number("default_F", default_F)
        index = np.stack([_whole(name, x, n) for name, x in (("h", h), ("k", k), ("l", l))])
        low, high = index.min(axis=1), index.max(axis=1)
        shape = tuple(int(n) for n in high - low + 1)
        size = shape[0] * shape[1] * shape[2]
        span = ", ".join(f"{name} {a} to {b}" for name, a, b in zip("hkl", low, high, strict=True))
        memory.require(
            8 * size,
            f"the box of listed indices ({span})",
            "take the outlying indices out of the list (-hkl)",
        )
        values = np.full(shape, default)
        i, j, m = index - low[:, np.newaxis]
        values[i, j, m] = amplitude
        origin = (int(low[0]), int(low[1]), int(low[2]))
        return cls(check.owned(values), origin, default, n, space_group=space_group)

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, default_F: float = 0.0, **options: Any
    ) -> StructureFactors:
        """Read a list from a file; see :func:`nbragg.io.read_structure_factors` for formats and options.

        Parameters
        ----------
        path : path
            Text "h k l F", a dump file (canonical 7.4), MTZ, structure-factor mmCIF, or a model; told by
            content, which must agree with the suffix.
        default_F : float
            Amplitude of everything not listed.
        **options
            Passed to the format's reader (column names and the like); None counts as not given.
            ``energies_eV`` is for models: as `from_model`.

        Raises
        ------
        FileError
            When the file is missing or cannot be read as its format.
        InputError, MemoryLimitError
            As `from_reflections`; also for an option that the format does not take.
        """
        from ..io.reflections.formats import file_kind, read_amplitudes
        from ..io.reflections.reflection_list import Box

        if options.get("energies_eV") is not None:
            if file_kind(path) != "model":
                raise InputError(
                    f"{os.fspath(path)} holds amplitudes, which do not say how they depend on the energy: "
                    "energies_eV is for models"
                )
            return cls.from_model(path, options.pop("d_min_A", None), default_F=default_F, **options)
        found = read_amplitudes(path, **options)
        if isinstance(found, Box):
            return cls(check.owned(found.values), found.origin, default_F)
        group = getattr(found, "spacegroup", None) or ""  # text does not say it
        return cls.from_reflections(found.h, found.k, found.l, found.F, default_F, group)

    @classmethod
    def from_model(
        cls,
        path: str | os.PathLike[str],
        d_min_A: float | None,
        *,
        energies_eV: Any = None,
        energy_nodes: int = 9,
        anomalous: bool = True,
        fprime: Mapping[str, npt.ArrayLike] | None = None,
        default_F: float = 0.0,
        solvent: Any = False,
        method: str = "auto",
        cell: Sequence[float] | None = None,
        spacegroup: str | None = None,
    ) -> StructureFactors:
        """Calculate the structure factors of a model for the energies of a beam (beyond 15.5).

        F = F_0 + sum over elements of (f' + i f'') A, with f', f'' of Cromer and Liberman at each energy
        (gemmi's), and F_0 and A by IT92 form factors and Debye-Waller factors: Bijvoet mates differ.

        Parameters
        ----------
        path : path
            PDB, mmCIF or small-molecule CIF.
        d_min_A : float
            Resolution limit, angstrom.
        energies_eV : Spectrum or array_like (n,), optional
            Of the beam; None: one list for all energies, as `from_file` makes it.
        energy_nodes : int
            Energies at which amplitudes are calculated: those of the beam where there are no more than this,
            else so many over their range; beside them 1 eV below and above every absorption edge there.
        anomalous : bool
            False leaves f', f'' out.
        fprime : mapping of str to array_like (m, 3), optional
            By element: rows of energy (eV, ascending), f', f'', between which is interpolated, instead of
            Cromer and Liberman's: of a measured edge.
        default_F : float
            Amplitude of everything not listed.
        solvent : bool or Solvent
        method : {"auto", "direct", "fft"}
        cell, spacegroup
            As of :func:`nbragg.io.read_model`.

        Raises
        ------
        FileError
            Missing or damaged file, or one without atoms.
        InputError
            As :func:`nbragg.io.read_model`; for an element that the model has not, and energies beyond a
            table of ``fprime``.
        MemoryLimitError
            When the amplitudes of all nodes do not fit into memory.
        """
        from ..io.reflections.energies import model_tables

        options: dict[str, Any] = {
            "anomalous": check.flag("anomalous", anomalous),
            "solvent": solvent,
            "method": method,
            "cell": cell,
            "spacegroup": spacegroup,
        }
        if energies_eV is None:
            if fprime is not None:
                raise InputError("fprime needs energies_eV: those of the beam")
            return cls.from_file(path, default_F=default_F, d_min_A=d_min_A, **options)
        if d_min_A is None:
            raise InputError("d_min_A is not given: a model has no resolution limit of its own")
        most = check.count("energy_nodes", energy_nodes)
        energies = getattr(energies_eV, "energies_eV", energies_eV)
        found = model_tables(path, d_min_A, energies, most=most, fprime=fprime, **options)
        return boxed(found, default_F)


def boxed(found: ModelTables, default_F: float) -> StructureFactors:
    """Lists at several energies on one box of indices."""
    first = StructureFactors.from_reflections(
        found.h, found.k, found.l, found.F[0], default_F, found.space_group
    )
    box = first._list()
    tables = np.full((len(found.F), *box.shape), first.default_F)
    place = tuple(x - low for x, low in zip((found.h, found.k, found.l), first.origin, strict=True))
    for table, F in zip(tables, found.F, strict=True):
        table[place] = F
    energies = check.owned(found.energies_eV)
    return StructureFactors(
        None,
        first.origin,
        first.default_F,
        first.n_listed,
        energies,
        check.owned(tables),
        first.space_group,
    )


def _whole(name: str, values: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """Indices as integers; refuses a fraction rather than round it."""
    array = check.frozen_array(name, values, (n,))
    fractional = np.flatnonzero(array != np.rint(array))
    if fractional.size:
        at = fractional[0]
        raise InputError(f"{name} must be whole-numbered indices, not {array[at]:g} in reflection {at + 1}")
    if np.abs(array).max() >= 2**31:
        raise InputError(f"{name} must be indices below 2^31, not {array[np.abs(array).argmax()]:g}")
    return cast("npt.NDArray[np.int64]", array.astype(np.int64))

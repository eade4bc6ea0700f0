"""Structure factors calculated from atomic models: PDB, mmCIF and small-molecule CIF, through gemmi.

With IT92 form factors f0, the anomalous terms f', f'' of Cromer and Liberman (as gemmi computes them, with
the Kissel-Pratt correction) and Debye-Waller factors,

    A(h) = sum occ (f0 + f') exp(-B s^2/4) exp(2 pi i h.x),   B(h) = sum occ f'' exp(-B s^2/4) exp(2 pi i
    h.x), |F(h)| = |A + i B|,   |F(-h)| = |A - i B|,

so that Bijvoet mates differ when f'' does.  The flat bulk solvent adds k_sol exp(-B_sol s^2/4) times the
transform of the solvent mask to A (Jiang & Bruenger 1994, J. Mol. Biol. 243, 100).  F(000) is in the list,
solvent included.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ...base.errors import FileError, InputError, NbraggError
from ..files.sniff import check_file, identify
from .mtz_cif import _find_spacegroup, _is_cell, _one_line, _six
from .reflection_list import ReflectionList, expand_to_p1, sort_unique

if TYPE_CHECKING:
    import gemmi

__all__ = ["ANOMALOUS_RANGE_EV", "Solvent", "anomalous_terms", "model_summary", "read_model"]

#: photon energies, eV, between which the orbital cross-sections of the anomalous table lie
ANOMALOUS_RANGE_EV = (1000.0, 80000.0)

#: highest atomic number in the anomalous table
_LAST_ANOMALOUS = 92

MAX_BYTES = 2 * 2**30

#: unique reflections calculated at most
MAX_UNIQUE = 20_000_000

#: above this many atoms x symmetry operations x reflections the FFT takes over from direct summation (about
# 40 ns each)
_DIRECT_LIMIT = 1e8

#: FFT: grid points per d_min, and density below which an atom ends; together they keep F within 1e-4 of the
# direct sum
_FFT_RATE = 2.0
_FFT_CUTOFF = 1e-7


@dataclass(frozen=True)
class Solvent:
    """Flat bulk solvent: density k_sol (e/A^3) outside the atoms, smeared by b_sol (A^2).

    The defaults are means over well refined protein structures (Fokine & Urzhumtsev 2002, Acta Cryst. D58,
    1387).
    """

    k_sol: float = 0.35
    b_sol: float = 46.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.k_sol) and 0 <= self.k_sol <= 2):
            raise InputError(f"k_sol = {self.k_sol} e/A^3; 0 to 2 was expected (0.35 is usual)")
        if not (np.isfinite(self.b_sol) and 0 <= self.b_sol <= 1000):
            raise InputError(f"b_sol = {self.b_sol} A^2; 0 to 1000 was expected (46 is usual)")


@dataclass(frozen=True)
class _Model:
    path: Path
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    elements: dict[str, gemmi.Element]
    wavelength_A: float | None
    structure: gemmi.Structure | None  # macromolecule
    small: gemmi.SmallStructure | None
    atoms: int
    notes: tuple[str, ...]


def read_model(
    path: str | os.PathLike[str],
    *,
    d_min_A: float | None = None,
    wavelength_A: float | None = None,
    anomalous: bool = True,
    solvent: Solvent | bool = False,
    method: str = "auto",
    cell: tuple[float, ...] | None = None,
    spacegroup: str | None = None,
) -> ReflectionList:
    """Calculate the structure factors of a model out to `d_min_A`, expanded to P1, with F(000).

    Parameters
    ----------
    path : path-like
        PDB, mmCIF or small-molecule CIF file (may be gzipped).  Of several models the first is used.
    d_min_A : float
        Resolution limit, A.
    wavelength_A : float, optional
        Wavelength for f', f'', A; None: the file's.  With neither, no anomalous scattering (noted in the
        result).
    anomalous : bool
        False leaves f', f'' out.
    solvent : bool or Solvent
        True or its parameters: add a flat bulk solvent.
    method : {"auto", "direct", "fft"}
        Direct summation is exact; the FFT of the model's density is within 1e-4 of it and faster for big
        models.
    cell, spacegroup
        Instead of the file's.

    Raises
    ------
    FileError
        Missing or damaged file, or one without atoms.
    InputError
        No cell, unknown space group or elements, a wavelength outside the anomalous table, no `d_min_A`.
    """
    if d_min_A is None:
        raise InputError("d_min_A is not given: a model has no resolution limit of its own")
    if not (np.isfinite(d_min_A) and d_min_A > 0):
        raise InputError(f"d_min_A = {d_min_A}; a positive number of angstrom was expected")
    if method not in ("auto", "direct", "fft"):
        raise InputError(f"method = {method!r}; 'auto', 'direct' or 'fft' was expected")
    model = _read(path, cell, spacegroup)
    notes = list(model.notes)
    terms: dict[str, tuple[float, float]] = {}
    wavelength = wavelength_A if wavelength_A is not None else model.wavelength_A
    if anomalous and wavelength is not None:
        terms = anomalous_terms(model.elements, wavelength)
        notes.append(
            "f', f'': " + ", ".join(f"{e} {fp:.3f} {fpp:.3f}" for e, (fp, fpp) in sorted(terms.items()))
        )
    elif anomalous:
        notes.append("no wavelength given or in the file: f', f'' left out")
    hkl = _unique_with_absences(model, d_min_A)
    A, B = _factors(model, hkl, terms, d_min_A, method, notes)
    if solvent:
        parameters = solvent if isinstance(solvent, Solvent) else Solvent()
        A = A + _solvent_part(model, hkl, parameters, d_min_A, notes)
    plus = np.abs(A + 1j * B)
    minus = None
    if terms:
        centric = np.asarray(
            model.spacegroup.operations().centric_flag_array(hkl.astype(np.int32)), dtype=bool
        )
        minus = np.where(centric, plus, np.abs(A - 1j * B))
    h, k, l, F = expand_to_p1(hkl, plus, minus, model.spacegroup.operations())  # noqa: E741
    h, k, l, F = _fill_absences(h, k, l, F, model.cell, d_min_A)  # noqa: E741
    return ReflectionList(
        h,
        k,
        l,
        F,
        cell=_six(model.cell),
        wavelength_A=wavelength,
        spacegroup=model.spacegroup.xhm(),
        source=str(model.path),
        column="|F| calculated from the model"
        + (" with f', f''" if terms else "")
        + (" and bulk solvent" if solvent else ""),
        rule=f"{model.atoms} atoms, F(000) = {float(F[(h == 0) & (k == 0) & (l == 0)][0]):.5g}",
        d_min_A=d_min_A,
        unique=len(hkl),
        notes=tuple(notes),
    )


def anomalous_terms(elements: Iterable[str], wavelength_A: float) -> dict[str, tuple[float, float]]:
    """f' and f'' (electrons) of elements at a wavelength.

    Raises
    ------
    InputError
        The photon energy lies outside the table (1 to 80 keV), or an element does (beyond uranium).
    """
    import gemmi

    from ...base.constants import HC_EV_A

    if not (np.isfinite(wavelength_A) and wavelength_A > 0):
        raise InputError(f"wavelength_A = {wavelength_A}; a positive number of angstrom was expected")
    energy = HC_EV_A / wavelength_A
    low, high = ANOMALOUS_RANGE_EV
    if not low <= energy <= high:
        raise InputError(
            f"wavelength {wavelength_A:g} A ({energy:.0f} eV) is outside the table of f', f'', which covers "
            f"{HC_EV_A / high:.3f} to {HC_EV_A / low:.2f} A: give anomalous=False to leave them out"
        )
    result = {}
    for name in elements:
        number = gemmi.Element(name).atomic_number
        if number > _LAST_ANOMALOUS:
            raise InputError(
                f"element {name} is not in the table of f', f'' (H to U): give anomalous=False to leave them "
                "out"
            )
        fp, fpp = gemmi.cromer_liberman(z=number, energy=energy)
        result[name] = (float(fp), float(fpp))
    return result


def model_summary(
    path: str | os.PathLike[str], *, cell: tuple[float, ...] | None = None, spacegroup: str | None = None
) -> tuple[tuple[float, float, float, float, float, float], float | None]:
    """Cell (A, degrees) and wavelength (A, None when not recorded) of a model; errors as
    :func:`read_model`."""
    model = _read(path, cell, spacegroup)
    return _six(model.cell), model.wavelength_A


# --- reading ---


def _read(path: str | os.PathLike[str], cell: tuple[float, ...] | None, spacegroup: str | None) -> _Model:
    import gemmi

    path = check_file(path, what="model", max_bytes=MAX_BYTES)
    kind = identify(path)
    if kind not in ("pdb", "cif"):
        raise FileError(f"{path} is neither a PDB nor a CIF model")
    try:
        if kind == "cif":
            document = gemmi.cif.read(str(path))
            block = next(
                (b for b in document if b.find_loop("_atom_site.id") or b.find_loop("_atom_site.Cartn_x")),
                None,
            )
            if block is None:
                block = next((b for b in document if _has_fractions(b)), None)
                if block is None:
                    raise FileError(f"{path} holds no atoms (no _atom_site loop)")
                return _small(path, block, cell, spacegroup)
            structure = gemmi.make_structure_from_block(block)
        else:
            structure = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Pdb)
        return _macromolecule(path, structure, cell, spacegroup)
    except NbraggError:
        raise
    except Exception as error:  # gemmi raises several kinds on damaged files
        raise FileError(f"{path} cannot be read as a model: {_one_line(error)}") from None


def _has_fractions(block: gemmi.cif.Block) -> bool:
    return bool(block.find_loop("_atom_site_fract_x"))


def _macromolecule(
    path: Path, structure: gemmi.Structure, cell: tuple[float, ...] | None, spacegroup: str | None
) -> _Model:
    notes = []
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise FileError(f"{path} holds no atoms")
    if len(structure) > 1:
        notes.append(f"{len(structure)} models in the file: the first one is used")
    if cell is not None:
        structure.cell.set(*(float(x) for x in cell))
    if not _is_cell(structure.cell) or structure.cell.volume < 10:
        raise InputError(f"{path} has no unit cell: give cell=(a, b, c, alpha, beta, gamma) in A and degrees")
    if spacegroup is not None:
        group = _find_spacegroup(spacegroup)
    else:
        found = structure.find_spacegroup() if structure.spacegroup_hm else None
        if found is None:
            raise InputError(
                f"{path}: unknown space group {structure.spacegroup_hm!r}; give it with spacegroup='P 43 21 "
                "2'"
            )
        group = found
    structure.spacegroup_hm = group.xhm()
    structure.setup_cell_images()
    elements = _elements(path, ((a.name, a.element) for chain in structure[0] for res in chain for a in res))
    wavelength = _recorded_wavelength(structure)
    atoms = structure[0].count_atom_sites()
    return _Model(path, structure.cell, group, elements, wavelength, structure, None, atoms, tuple(notes))


def _recorded_wavelength(structure: gemmi.Structure) -> float | None:
    for crystal in structure.meta.crystals:
        for diffraction in crystal.diffractions:
            for word in str(diffraction.wavelengths).replace(",", " ").replace("-", " ").split():
                try:
                    value = float(word)
                except ValueError:
                    continue
                if np.isfinite(value) and value > 0:
                    return value
    return None


def _small(
    path: Path, block: gemmi.cif.Block, cell: tuple[float, ...] | None, spacegroup: str | None
) -> _Model:
    import gemmi

    small = gemmi.make_small_structure_from_block(block)
    if len(small.sites) == 0:
        raise FileError(f"{path} holds no atoms with coordinates")
    if cell is not None:
        small.cell.set(*(float(x) for x in cell))
    if not _is_cell(small.cell) or small.cell.volume < 1.5:
        raise InputError(f"{path} has no unit cell: give cell=(a, b, c, alpha, beta, gamma) in A and degrees")
    if spacegroup is not None:
        small.spacegroup = _find_spacegroup(spacegroup)
    elif _group_of(small) is None:
        # symmetry operations, Hall symbol, Hermann-Mauguin symbol, number: the first that gemmi understands
        small.determine_and_set_spacegroup("s.h12n" if small.symops else "h12n")
    group = _group_of(small)
    if group is None:
        raise InputError(
            f"{path}: unknown space group {small.spacegroup_hm!r}; give it with spacegroup='P 21/c' or "
            "similar"
        )
    elements = _elements(path, ((site.label, site.element) for site in small.sites))
    notes = []
    bare = sum(1 for site in small.sites if site.u_iso == 0 and not site.aniso.nonzero())
    if bare:
        notes.append(f"{bare} of {len(small.sites)} atoms have no displacement parameter: B = 0")
    # CIF gives the chemical occupancy; the sum over all operations counts an atom on a special position
    # repeatedly
    small.setup_cell_images()
    small.change_occupancies_to_crystallographic()
    wavelength = float(small.wavelength) if small.wavelength and small.wavelength > 0 else None
    return _Model(path, small.cell, group, elements, wavelength, None, small, len(small.sites), tuple(notes))


def _group_of(small: Any) -> gemmi.SpaceGroup | None:
    return cast("gemmi.SpaceGroup | None", small.spacegroup)


def _elements(path: Path, atoms: Iterable[tuple[str, gemmi.Element]]) -> dict[str, gemmi.Element]:
    found: dict[str, gemmi.Element] = {}
    for label, element in atoms:
        if element.atomic_number == 0 or element.it92 is None:
            raise InputError(
                f"{path}: atom {label} has the element {element.name!r}, which has no X-ray form factor (H "
                "to Cf have): "
                "correct the element column"
            )
        found.setdefault(element.name, element)
    return found


# --- calculating ---


def _unique_with_absences(model: _Model, d_min: float) -> NDArray[np.int64]:
    import gemmi

    # half a sphere of radius 1/d_min, shared among the operations
    count = 2 * np.pi / 3 * model.cell.volume / d_min**3 / len(list(model.spacegroup.operations()))
    if count > MAX_UNIQUE:
        raise InputError(
            f"d_min_A = {d_min:g} asks for {count:.3g} unique reflections; at most {MAX_UNIQUE:.3g} are "
            "calculated"
        )
    unique = np.asarray(gemmi.make_miller_array(model.cell, model.spacegroup, d_min), dtype=np.int64)
    return np.concatenate([np.zeros((1, 3), dtype=np.int64), unique.reshape(-1, 3)])


def _factors(
    model: _Model,
    hkl: NDArray[np.int64],
    terms: dict[str, tuple[float, float]],
    d_min: float,
    method: str,
    notes: list[str],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """A and B of the module's formulas; calculations are linear in the addend, so B is the difference of
    two."""
    method = _chosen(model, len(hkl), method, 2 if terms else 1)
    if method == "fft" and model.structure is None:
        raise InputError("method = 'fft' works on PDB and mmCIF models; a small-molecule CIF takes 'direct'")
    compute = _direct if method == "direct" else _fft
    if method == "fft":
        notes.append("calculated by FFT of the model's density")
    A = compute(model, hkl, {e: fp for e, (fp, _) in terms.items()}, d_min)
    if not any(fpp for _, fpp in terms.values()):
        return A, np.zeros_like(A)
    both = compute(model, hkl, {e: fp + fpp for e, (fp, fpp) in terms.items()}, d_min)
    return A, both - A


def _chosen(model: _Model, count: int, method: str, passes: int) -> str:
    """How so many reflections are calculated so many times."""
    if method != "auto":
        return method
    work = float(model.atoms) * (len(model.cell.images) + 1) * count * passes
    return "direct" if work <= _DIRECT_LIMIT or model.structure is None else "fft"


def _direct(
    model: _Model, hkl: NDArray[np.int64], addends: dict[str, float], d_min: float
) -> NDArray[np.complex128]:
    import gemmi

    calculator = gemmi.StructureFactorCalculatorX(model.cell)
    _set_addends(calculator, model, addends)
    rows = hkl.tolist()
    if model.structure is not None:
        first = model.structure[0]
        return np.array([calculator.calculate_sf_from_model(first, row) for row in rows], dtype=np.complex128)
    assert model.small is not None
    small = model.small
    return np.array(
        [calculator.calculate_sf_from_small_structure(small, row) for row in rows], dtype=np.complex128
    )


def _fft(
    model: _Model, hkl: NDArray[np.int64], addends: dict[str, float], d_min: float
) -> NDArray[np.complex128]:
    import gemmi

    assert model.structure is not None
    calculator = gemmi.DensityCalculatorX()
    _set_addends(calculator, model, addends)
    calculator.d_min = d_min
    calculator.rate = _FFT_RATE
    calculator.cutoff = _FFT_CUTOFF
    calculator.set_grid_cell_and_spacegroup(model.structure)
    calculator.set_refmac_compatible_blur(model.structure[0])
    calculator.put_model_density_on_grid(model.structure[0])
    grid = gemmi.transform_map_to_f_phi(calculator.grid, half_l=True)
    indices = np.ascontiguousarray(hkl, dtype=np.int32)
    result = np.asarray(grid.get_value_by_hkl(indices, unblur=calculator.blur), dtype=np.complex128)
    origin = np.flatnonzero(~hkl.any(axis=1))
    result[origin] = _direct(model, hkl[origin], addends, d_min)
    return result


def _set_addends(calculator: Any, model: _Model, addends: dict[str, float]) -> None:
    for name, value in addends.items():
        calculator.addends.set(model.elements[name], value)


def _solvent_part(
    model: _Model, hkl: NDArray[np.int64], solvent: Solvent, d_min: float, notes: list[str]
) -> NDArray[np.complex128]:
    import gemmi

    if model.structure is None:
        raise InputError("bulk solvent applies to PDB and mmCIF models, not to a small-molecule CIF")
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx)
    grid = gemmi.FloatGrid()
    grid.setup_from(model.structure, spacing=min(0.4, d_min / 3))
    masker.put_mask_on_float_grid(grid, model.structure[0])
    fraction = float(np.asarray(grid).mean())
    transform = gemmi.transform_map_to_f_phi(grid, half_l=True)
    indices = np.ascontiguousarray(hkl, dtype=np.int32)
    mask = np.asarray(transform.get_value_by_hkl(indices), dtype=np.complex128)
    mask[~hkl.any(axis=1)] = fraction * model.cell.volume
    stol2 = np.asarray(model.cell.calculate_1_d2_array(indices), dtype=np.float64) / 4
    notes.append(
        f"bulk solvent in {100 * fraction:.0f} % of the cell, k_sol {solvent.k_sol:g} e/A^3, b_sol "
        f"{solvent.b_sol:g} A^2"
    )
    return np.asarray(solvent.k_sol * np.exp(-solvent.b_sol * stol2) * mask)


def _fill_absences(
    h: NDArray[np.int32],
    k: NDArray[np.int32],
    l: NDArray[np.int32],  # noqa: E741
    F: NDArray[np.float64],
    cell: gemmi.UnitCell,
    d_min: float,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Add the systematically absent reflections as zeros, so that no default amplitude takes their place."""
    import gemmi

    half = np.asarray(gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), d_min), dtype=np.int64).reshape(
        -1, 3
    )
    everything = np.concatenate([half, -half, np.column_stack([h, k, l]).astype(np.int64)])
    return sort_unique(everything, np.concatenate([np.zeros(2 * len(half)), F]))

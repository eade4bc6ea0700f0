"""Structure factors from any file: text list, dump, MTZ, structure-factor mmCIF, or a model."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError, InputError, NbraggWarning
from ..structure_factors import ListFormat, StructureFactors, register_format
from .reflection_list import ReflectionList
from .sniff import check_file, identify

if TYPE_CHECKING:
    from ..beam import Beam
    from ..crystal import Crystal
    from ..detector import Detector
    from ..scene import Scene

__all__ = ["file_kind", "model_limit", "read_crystal", "read_structure_factors"]

_SF_TAGS = (b"_refln.", b"_refln_index")
_ATOM_TAGS = (b"_atom_site.", b"_atom_site_fract")


def read_structure_factors(path: str | os.PathLike[str], **options: Any) -> ReflectionList:
    """Read structure factors, expanded to P1, with a record of where they came from.

    Parameters
    ----------
    path : path-like
        Text "h k l F" or dump file (taken as P1), MTZ, structure-factor mmCIF, PDB, mmCIF or small-molecule
        CIF; the kind is told by content, which must agree with the suffix.
    **options
        For MTZ and structure-factor mmCIF: ``column``, ``d_min_A``, ``d_max_A``, ``cell``, ``spacegroup``,
        ``block`` (mmCIF); see :func:`nbragg.io.reflections.read_mtz`.
        For models: ``d_min_A``, ``wavelength_A``, ``anomalous``, ``solvent``, ``method``, ``cell``,
        ``spacegroup``; see
        :func:`nbragg.io.models.read_model`.
        An option that is None counts as not given.

    Raises
    ------
    FileError, InputError
        As the readers; also for an option that the file's kind does not take.
    """
    file = check_file(path, what="reflection")
    kind = file_kind(file)
    reader = _READERS[kind]
    given = {name: value for name, value in options.items() if value is not None}
    known = [name for name in inspect.signature(reader).parameters if name != "path"]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(
            f"{file} ({_KIND_NAMES[kind]}) takes no {', '.join(unknown)}; it takes "
            f"{', '.join(known) or 'no option'}"
        )
    return reader(file, **given)


def read_crystal(
    path: str | os.PathLike[str],
    *,
    beam: Beam | None = None,
    detector: Detector | None = None,
    default_F: float = 0.0,
    d_min_A: float | None = None,
    options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Crystal:
    """A crystal from a file that holds both cell and structure factors: MTZ, structure-factor mmCIF, or a
    model.

    Parameters
    ----------
    path : path-like
        The file.
    beam : Beam, optional
        Its wavelength is used for f', f'' of a model; without it the file's.
    detector : Detector, optional
        Gives `d_min_A` of a model: the resolution of its farthest corner, and three reciprocal cell edges
        more so that the flanks of spots are complete.  With it, a list whose reflections all miss the
        detector is an error.
    default_F : float
        Amplitude of reflections not in the file.
    d_min_A : float, optional
        Resolution limit.
    options : mapping, optional
        More for the reader: ``column``, ``solvent``, ...; see :func:`read_structure_factors`.
    **fields
        Everything else of :class:`nbragg.Crystal`; ``cell`` or ``a_matrix`` replace the file's cell.

    Examples
    --------
    >>> import nbragg, tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".hkl") as file:
    ...     print("1 0 0 50.5", "-1 0 0 50.5", sep="\\n", file=file, flush=True)
    ...     crystal = nbragg.read_crystal(file.name, cell=(70, 80, 90, 90, 90, 90), N=(10, 10, 10))
    >>> crystal.structure_factors.n_listed
    2
    """
    from ..beam import Beam
    from ..crystal import Crystal
    from ..reach import check_reach

    more = dict(options or {})
    if file_kind(path) == "model":
        from .models import model_summary

        summary = model_summary(path, cell=more.get("cell"), spacegroup=more.get("spacegroup"))
        wavelength = beam.wavelength_A if beam is not None else more.get("wavelength_A") or summary[1]
        more["wavelength_A"] = wavelength
        if d_min_A is None and detector is not None:
            d_min_A = model_limit(summary[0], beam or Beam(wavelength_A=wavelength or 1.0), detector)
    reflections = read_structure_factors(path, d_min_A=d_min_A, **more)
    if detector is not None:
        check_reach(reflections, _scene(detector, beam or Beam(wavelength_A=reflections.wavelength_A or 1.0)))
    factors = StructureFactors.from_reflections(
        reflections.h, reflections.k, reflections.l, reflections.F, default_F=default_F
    )
    if fields.get("cell") is None and fields.get("a_matrix") is None:
        if reflections.cell is None:
            raise InputError(
                f"{path} holds no unit cell: give cell=(a, b, c, alpha, beta, gamma) or a_matrix="
            )
        fields["cell"] = reflections.cell
    return Crystal(structure_factors=factors, **fields)


def model_limit(
    cell: tuple[float, float, float, float, float, float],
    beam: Beam,
    detector: Detector,
    d_min_A: float | None = None,
) -> float:
    """Resolution (A) to which a model's structure factors are needed.

    That of the detector's farthest corner, or `d_min_A` where nothing beyond it counts, and three reciprocal
    cell edges more so that the flanks of spots are complete.

    Parameters
    ----------
    cell : 6 floats
        The model's, A and degrees.
    beam, detector : Beam, Detector
    d_min_A : float, optional
        Samples with a smaller spacing are skipped (`Sampling.dmin_A`).
    """
    import gemmi

    from ..reach import resolution_range

    star = gemmi.UnitCell(*cell).reciprocal()
    seen = max(resolution_range(_scene(detector, beam))[0], d_min_A or 0.0)
    return 1.0 / (1.0 / seen + 3.0 * max(star.a, star.b, star.c))


def _scene(detector: Detector, beam: Beam) -> Scene:
    """The detector and the beam, with any crystal; whoever builds the real scene hears the warnings."""
    from ..crystal import Crystal
    from ..scene import build_scene

    crystal = Crystal(
        cell=(50.0, 50.0, 50.0, 90.0, 90.0, 90.0), structure_factors=StructureFactors.constant(1.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        return build_scene(crystal, beam, detector)


# --- kinds ---

_KIND_NAMES = {
    "text": "text list",
    "dump": "dump file",
    "mtz": "MTZ",
    "sf-cif": "structure-factor mmCIF",
    "model": "model",
}


def file_kind(path: str | os.PathLike[str]) -> str:
    """What a file of structure factors is: "text", "dump", "mtz", "sf-cif" or "model".

    Told by content, which must agree with the suffix.

    Raises
    ------
    FileError
        Missing, empty, or none of these.
    """
    file = check_file(path, what="reflection")
    kind = identify(file)
    if kind == "cif":
        return _cif_kind(file)
    names = {"mtz": "mtz", "pdb": "model", "dump": "dump", "hkl": "text"}
    if kind in names:
        return names[kind]
    if kind == "unknown":
        with file.open("rb") as stream:
            if b"\0" not in stream.read(4096):
                return "text"  # its reader names the line that is wrong
    raise FileError(
        f"{file} holds no structure factors: a text list, a dump, MTZ, structure-factor mmCIF, PDB, mmCIF or "
        "CIF was expected"
    )


def _cif_kind(file: Path) -> str:
    import gzip

    with file.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    opener: Callable[[Path, str], Any] = gzip.open if zipped else open
    atoms = False
    with opener(file, "rb") as stream:
        for line in stream:
            word = line.lstrip()[:20].lower()
            if word.startswith(_SF_TAGS):
                return "sf-cif"
            if word.startswith(_ATOM_TAGS):
                atoms = True
                break
    if atoms:
        return "model"
    raise FileError(f"{file} holds neither reflections (_refln) nor atoms (_atom_site)")


def _read_mtz(
    path: Path,
    column: str | None = None,
    d_min_A: float | None = None,
    d_max_A: float | None = None,
    cell: tuple[float, ...] | None = None,
    spacegroup: str | None = None,
) -> ReflectionList:
    from .reflections import read_mtz

    return read_mtz(path, column=column, d_min_A=d_min_A, d_max_A=d_max_A, cell=cell, spacegroup=spacegroup)


def _read_sf_cif(
    path: Path,
    column: str | None = None,
    d_min_A: float | None = None,
    d_max_A: float | None = None,
    cell: tuple[float, ...] | None = None,
    spacegroup: str | None = None,
    block: str | None = None,
) -> ReflectionList:
    from .reflections import read_sf_cif

    return read_sf_cif(
        path, column=column, d_min_A=d_min_A, d_max_A=d_max_A, cell=cell, spacegroup=spacegroup, block=block
    )


def _read_model(
    path: Path,
    d_min_A: float | None = None,
    wavelength_A: float | None = None,
    anomalous: bool = True,
    solvent: Any = False,
    method: str = "auto",
    cell: tuple[float, ...] | None = None,
    spacegroup: str | None = None,
) -> ReflectionList:
    from .models import read_model

    return read_model(
        path,
        d_min_A=d_min_A,
        wavelength_A=wavelength_A,
        anomalous=anomalous,
        solvent=solvent,
        method=method,
        cell=cell,
        spacegroup=spacegroup,
    )


def _read_text(path: Path) -> ReflectionList:
    from . import hkl_text
    from .reflection_list import sort_unique

    rows = hkl_text.read(path)
    h, k, l, F = sort_unique(np.column_stack(rows[:3]), np.asarray(rows[3]))  # noqa: E741
    return ReflectionList(h, k, l, F, source=str(path), column="F of the text list", unique=len(F))


def _read_dump(path: Path) -> ReflectionList:
    from . import fdump
    from .reflection_list import sort_unique

    values, origin = fdump.read(path)
    hkl = np.argwhere(np.isfinite(values)) + np.asarray(origin)
    h, k, l, F = sort_unique(hkl, np.asarray(values, dtype=np.float64).reshape(-1))  # noqa: E741
    return ReflectionList(
        h,
        k,
        l,
        F,
        source=str(path),
        column="F of the dump file",
        unique=len(F),
        notes=("every point of the box is listed",),
    )


_READERS: dict[str, Callable[..., ReflectionList]] = {
    "text": _read_text,
    "dump": _read_dump,
    "mtz": _read_mtz,
    "sf-cif": _read_sf_cif,
    "model": _read_model,
}


# --- StructureFactors.from_file ---


def _load(path: Path, default_F: float, options: Mapping[str, Any]) -> StructureFactors:
    r = read_structure_factors(path, **options)
    return StructureFactors.from_reflections(r.h, r.k, r.l, r.F, default_F=default_F)


def _starts_with_data_block(start: bytes) -> bool:
    lines = [line for line in start.splitlines() if line.strip() and not line.startswith(b"#")]
    return bool(lines) and lines[0].lstrip().lower().startswith(b"data_")


def register() -> None:
    """Let :meth:`StructureFactors.from_file` read these kinds."""
    register_format(ListFormat("CIF", (".cif", ".mmcif", ".gz"), _starts_with_data_block, _load))
    register_format(ListFormat("PDB model", (".pdb", ".ent"), lambda start: False, _load))
    register_format(ListFormat("MTZ", (".mtz",), lambda start: start.startswith(b"MTZ "), _load))


register()

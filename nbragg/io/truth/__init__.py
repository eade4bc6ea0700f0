"""The truth of a simulation as files of other programs: the one registry of their kinds, told by name.

=============  ====================================  ==============================
name           holds                                 read by
=============  ====================================  ==============================
.expt          beam, panels, scan, crystals          dxtbx, DIALS
.refl          reflections                           DIALS
.stream        stills: crystals and reflections      CrystFEL
XDS.INP        a rotation's geometry                 XDS
.mtz           the structure factors that were used  CCP4, gemmi, nanobragg
=============  ====================================  ==============================
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...base.errors import InputError
from ...base.names import suggestion
from ..files.atomic import PathLike, check_writable
from ..files.kinds import resolve
from .record import Truth

__all__ = ["KINDS", "TruthKind", "check_names", "register", "save_truth"]

_HERE = __name__


@dataclass(frozen=True)
class TruthKind:
    """A kind of file.

    Attributes
    ----------
    name : str
        Suffix with its dot, or a whole file name; lower case.
    title : str
        For messages.
    write : str
        ``"module:function"``, called with path, `Truth` and those of the options that it takes.
    options : tuple of str
        Keywords of `save_truth` that it takes.
    """

    name: str
    title: str
    write: str
    options: tuple[str, ...] = ()


#: name -> kind
KINDS: dict[str, TruthKind] = {}


def register(kind: TruthKind) -> None:
    """Add a kind, or replace the one of its name."""
    KINDS[kind.name] = kind


register(
    TruthKind(
        ".expt",
        "DIALS experiments",
        f"{_HERE}.dials:write_experiments",
        ("frame", "gain", "pedestal", "trusted_range"),
    )
)
register(TruthKind(".refl", "DIALS reflections", f"{_HERE}.dials:write_reflections", ("frame", "indexed")))
register(TruthKind(".stream", "CrystFEL stream", f"{_HERE}.stream:write_stream", ("geometry",)))
register(TruthKind("xds.inp", "input of XDS", f"{_HERE}.xds:write_xds", ("pedestal", "trusted_range")))
register(TruthKind(".mtz", "structure factors", f"{_HERE}.factors:write_factors"))


def _kind_of(path: PathLike) -> TruthKind:
    base = os.path.basename(os.fspath(path)).lower()
    suffix = os.path.splitext(base)[1]
    kind = KINDS.get(base) or KINDS.get(suffix)
    if kind is None:
        known = ["XDS.INP" if name == "xds.inp" else name for name in KINDS]
        raise InputError(
            f"{os.fspath(path)}: its name tells no kind of truth" + suggestion(suffix or base, known)
        )
    return kind


def check_names(paths: Iterable[PathLike]) -> None:
    """Refuse, before any work, names of no kind and files that cannot be written.

    Raises
    ------
    InputError, FileError
    """
    for path in paths:
        _kind_of(path)
        check_writable(path)


def save_truth(truth: Truth, *paths: PathLike, **options: Any) -> None:
    """Write the truth into files, the kind of each told by its name.

    Parameters
    ----------
    truth : Truth
        As `nbragg.io.truth.record.gather` makes it.
    *paths : path
        ``.expt`` and ``.refl`` (DIALS), ``.stream`` (CrystFEL), ``XDS.INP``, ``.mtz``.
    **options
        ``frame`` ("imgcif", in which images are read, or "laboratory") of .expt and .refl; ``indexed``: a
        .refl as of spots that were found and indexed; ``gain``, ``pedestal``, ``trusted_range`` of the
        images; ``geometry``, the text of a .geom file that a stream quotes.

    Raises
    ------
    InputError
        A name of no kind, an option that none takes, or what a format cannot hold.
    FileError
    """
    known = {name for kind in KINDS.values() for name in kind.options}
    for name in options:
        if name not in known:
            raise InputError(f"unknown option {name!r}" + suggestion(name, sorted(known)))
    check_names(paths)
    # what holds least comes first: where it refuses, nothing is written yet
    for path in sorted(paths, key=lambda path: -list(KINDS).index(_kind_of(path).name)):
        kind = _kind_of(path)
        taken = {name: value for name, value in options.items() if name in kind.options}
        resolve(kind.write)(path, truth, **taken)

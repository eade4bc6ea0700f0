"""The kinds of content that files have: the one table of their signatures and suffixes.

What reads and writes them is registered by the rooms that do, under the names of this table
(`nbragg.io.images.formats`, `nbragg.io.reflections.formats`).
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "FileKind", "kind_named", "register_kind", "resolve"]

_NUMBER = rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"


@dataclass(frozen=True)
class FileKind:
    """One kind of content.

    Attributes
    ----------
    name : str
    title : str
        With its article, for messages.
    suffixes : tuple of str
        That promise it; lower case, with the dot.
    also : tuple of str
        Suffixes of other kinds behind which it may lie too.
    magic : tuple of bytes
        Its file begins with one of these; with a pattern too, both must be so.
    pattern : bytes pattern, optional
        Found in the first bytes of its file.
    binary : bool
        The pattern may be followed by bytes that are no text.
    """

    name: str
    title: str
    suffixes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    pattern: re.Pattern[bytes] | None = None
    binary: bool = False

    @property
    def told_by_content(self) -> bool:
        """False for what only its suffix tells, which then promises nothing."""
        return bool(self.magic) or self.pattern is not None


#: name -> kind, in the order in which patterns are tried
KINDS: dict[str, FileKind] = {}


def register_kind(kind: FileKind) -> None:
    """Add a kind of content, or replace the one of its name.

    Parameters
    ----------
    kind : FileKind
        Its pattern is tried after those known already, but before "any text".
    """
    last = KINDS.pop("text", None)
    KINDS[kind.name] = kind
    if last is not None and kind.name != "text":
        KINDS["text"] = last


def kind_named(name: str) -> FileKind:
    """The kind of a name; "unknown" is one too."""
    return _UNKNOWN if name == _UNKNOWN.name else KINDS[name]


def resolve(function: str) -> Any:
    """A function by its place, ``"package.module:name"``, imported now.

    So tables of formats import nothing until one is used.
    """
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


_UNKNOWN = FileKind("unknown", "nothing this program knows")

for _kind in (
    FileKind("json", "a JSON file", (".expt",), magic=(b"{",), pattern=re.compile(rb'\A\{\s*["}]')),
    FileKind("smv", "an SMV image", (".img",), magic=(b"{",)),
    FileKind("tiff", "a TIFF image", (".tif", ".tiff"), magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    FileKind("cbf", "a CBF image", (".cbf",), (".cif",), magic=(b"###CBF",)),
    FileKind("hdf5", "an HDF5 file", (".nxs", ".h5", ".hdf5"), magic=(b"\x89HDF\r\n\x1a\n",)),
    FileKind("npy", "a NumPy array", (".npy",), magic=(b"\x93NUMPY",)),
    FileKind("png", "a PNG picture", (".png",), magic=(b"\x89PNG\r\n\x1a\n",)),
    FileKind("pgm", "a PGM picture", (".pgm",), magic=(b"P5",)),
    FileKind("raw", "raw float32 pixels", (".bin",)),
    FileKind("mtz", "an MTZ file", (".mtz",), magic=(b"MTZ ",)),
    FileKind(
        "dump",
        "a structure-factor dump",
        also=(".hkl",),
        # six whole numbers, a line end and a form feed (canonical 7.4)
        pattern=re.compile(rb"\A\s*" + rb"\s+".join([rb"([-+]?\d{1,9})"] * 6) + rb"\s*?\n\f"),
        binary=True,
    ),
    FileKind(
        "pdb",
        "a PDB model",
        (".pdb", ".ent"),
        pattern=re.compile(
            rb"^(HEADER|TITLE |COMPND|SOURCE|KEYWDS|EXPDTA|AUTHOR|REVDAT|REMARK|CRYST1|SCALE\d|ORIGX\d|MODEL "
            rb"|ATOM  |HETATM)",
            re.MULTILINE,
        ),
    ),
    FileKind(
        "cif",
        "a CIF file",
        (".cif", ".mmcif"),
        pattern=re.compile(rb"^\s*data_\S*|\A\s*#\\#CIF", re.MULTILINE | re.IGNORECASE),
    ),
    FileKind(
        "geom",
        "a CrystFEL geometry",
        (".geom",),
        # a statement of what every such file has
        pattern=re.compile(
            rb"^[ \t]*(?:[^\s/;=]+/)?(?:min_fs|max_fs|min_ss|max_ss|corner_[xy]|clen|coffset|photon_energy"
            rb"|res|adu_per_eV|adu_per_photon)[ \t]*=",
            re.MULTILINE,
        ),
    ),
    FileKind(
        "hkl",
        "a text list of reflections",
        (".hkl",),
        pattern=re.compile(rb"^\s*" + rb"\s+".join([_NUMBER] * 4) + rb"(\s|$)", re.MULTILINE),
    ),
    FileKind("text", "text that this program does not know", also=(".hkl",), pattern=re.compile(rb"\A")),
):
    register_kind(_kind)

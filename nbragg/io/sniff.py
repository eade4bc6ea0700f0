"""What kind of file a path holds, told from its first bytes, and the checks every reader begins with."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from pathlib import Path

from ..errors import FileError

__all__ = ["SUFFIX_KINDS", "check_file", "content_kind", "identify", "suffix_kind"]

#: suffix -> the kinds of content that may hide behind it
SUFFIX_KINDS: dict[str, tuple[str, ...]] = {
    ".mtz": ("mtz",),
    ".hkl": ("hkl", "dump", "unknown"),
    ".pdb": ("pdb",),
    ".ent": ("pdb",),
    ".cif": ("cif", "cbf"),
    ".mmcif": ("cif",),
    ".img": ("smv",),
    ".tif": ("tiff",),
    ".tiff": ("tiff",),
    ".cbf": ("cbf",),
    ".nxs": ("hdf5",),
    ".h5": ("hdf5",),
    ".hdf5": ("hdf5",),
    ".npy": ("npy",),
    ".png": ("png",),
    ".pgm": ("pgm",),
}

_NAMES = {
    "mtz": "an MTZ file",
    "pdb": "a PDB model",
    "cif": "a CIF file",
    "smv": "an SMV image",
    "tiff": "a TIFF image",
    "cbf": "a CBF image",
    "hdf5": "an HDF5 file",
    "npy": "a NumPy array",
    "png": "a PNG picture",
    "pgm": "a PGM picture",
    "dump": "a structure-factor dump",
    "hkl": "a text list of reflections",
    "unknown": "nothing this program knows",
}

_MAGIC = (
    (b"MTZ ", "mtz"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"###CBF", "cbf"),
    (b"\x93NUMPY", "npy"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"P5", "pgm"),
    (b"{", "smv"),
)

_HEAD_BYTES = 4096
_PDB_RECORD = re.compile(
    rb"^(HEADER|TITLE |COMPND|SOURCE|KEYWDS|EXPDTA|AUTHOR|REVDAT|REMARK|CRYST1|SCALE\d|ORIGX\d|MODEL "
    rb"|ATOM  |HETATM)",
    re.MULTILINE,
)
_CIF_BLOCK = re.compile(rb"^\s*data_\S*", re.MULTILINE | re.IGNORECASE)
_DUMP_START = re.compile(rb"^\s*(-?\d+\s+){5}-?\d+\s*\n\f")
_NUMBER = rb"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?"
_HKL_LINE = re.compile(rb"^\s*" + rb"\s+".join([_NUMBER] * 4) + rb"(\s|$)", re.MULTILINE)


def check_file(path: str | os.PathLike[str], *, what: str, max_bytes: int | None = None) -> Path:
    """Return the path of a file that exists, is a file, can be read and is not empty.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        What it should hold, for the message ("reflections", "mask").
    max_bytes : int, optional
        Largest size accepted.

    Raises
    ------
    FileError
        One message per cause.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise FileError(f"{what} file {path} does not exist") from None
    except OSError as error:
        raise FileError(f"{what} file {path} cannot be opened: {error.strerror or error}") from None
    if not path.is_file():
        raise FileError(f"{path} is not a file: a {what} file was expected")
    if size == 0:
        raise FileError(f"{what} file {path} is empty")
    if max_bytes is not None and size > max_bytes:
        raise FileError(
            f"{what} file {path} has {size / 2**30:.1f} GiB; at most {max_bytes / 2**30:.1f} GiB are read: "
            "cut it first"
        )
    if not os.access(path, os.R_OK):
        raise FileError(f"{what} file {path} cannot be read: permission denied")
    return path


def content_kind(path: Path) -> str:
    """Tell a file's kind from its first 4096 bytes: one of the names in :data:`SUFFIX_KINDS`' values,
    "dump", "hkl"
    or "unknown".  Looks inside gzip."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path, "rb") as stream:
                head = stream.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path} cannot be read: {error}") from None
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _DUMP_START.match(head):
        return "dump"
    if b"\0" in head:
        return "unknown"
    if _PDB_RECORD.search(head):
        return "pdb"
    if _CIF_BLOCK.search(head) or head.lstrip().startswith(b"#\\#CIF"):
        return "cif"
    if _HKL_LINE.search(head):
        return "hkl"
    if _only_comments(head) and path.suffix.lower() in (".cif", ".mmcif"):
        return "cif"
    return "unknown"


def _only_comments(head: bytes) -> bool:
    return all(line.startswith(b"#") or not line.strip() for line in head.splitlines())


def suffix_kind(path: Path) -> tuple[str, ...]:
    """Kinds that a path's suffix allows; empty when the suffix says nothing.  ``.gz`` is looked through."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return SUFFIX_KINDS.get(suffixes[-1], ()) if suffixes else ()


def identify(path: Path) -> str:
    """Kind of a file whose suffix and content agree.

    Raises
    ------
    FileError
        When the suffix promises another kind than the content holds.
    """
    kind = content_kind(path)
    allowed = suffix_kind(path)
    if allowed and kind not in allowed:
        raise FileError(
            f"{path} is named as {_NAMES[allowed[0]]} but holds {_NAMES[kind]}: rename it or give the right "
            "file"
        )
    return kind

"""What kind of file a path holds, told from its first bytes, and the checks every reader begins with."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

from ...base.errors import FileError
from .kinds import KINDS, kind_named

__all__ = ["HEAD_BYTES", "check_file", "content_kind", "identify", "is_gzip", "suffix_kind"]

#: a kind shows in this many bytes from the start
HEAD_BYTES = 4096


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


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed by gzip."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def content_kind(path: Path) -> str:
    """Tell a file's kind from its first bytes, looking inside gzip.

    Returns
    -------
    str
        A name of `nbragg.io.files.kinds.KINDS`, or "unknown".

    Raises
    ------
    FileError
        The file cannot be read.
    """
    try:
        import gzip

        opener: Any = gzip.open if is_gzip(path) else open
        with opener(path, "rb") as stream:
            head = stream.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path} cannot be read: {error}") from None
    for kind in KINDS.values():
        if head.startswith(kind.magic) and (kind.pattern is None or kind.pattern.search(head)):
            return kind.name
    text = b"\0" not in head
    for kind in KINDS.values():
        if (
            kind.pattern is not None
            and not kind.magic
            and (text or kind.binary)
            and kind.pattern.search(head)
        ):
            name = kind.name
            break
    else:
        return "unknown"
    if name == "text" and _only_comments(head):
        # comments may go on for longer than what is looked at: the suffix decides
        promised = [kind for kind in suffix_kind(path) if KINDS[kind].pattern is not None]
        return promised[0] if promised else name
    return name


def _only_comments(head: bytes) -> bool:
    return all(line.startswith((b"#", b";")) or not line.strip() for line in head.splitlines())


def suffix_kind(path: Path) -> tuple[str, ...]:
    """Kinds that a path's suffix allows; empty when the suffix promises nothing.

    The first is the one promised.  ``.gz`` is looked through.
    """
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if not suffixes:
        return ()
    told = [kind for kind in KINDS.values() if kind.told_by_content]
    promised = [kind.name for kind in told if suffixes[-1] in kind.suffixes]
    return (*promised, *(kind.name for kind in told if suffixes[-1] in kind.also)) if promised else ()


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
            f"{path} is named as {KINDS[allowed[0]].title} but holds {kind_named(kind).title}: rename it or "
            "give the right file"
        )
    return kind

"""The nearest known name, for messages about one that is not."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest", "suggestion"]


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name most like ``word``, capitals aside; one that begins with it first; None if none is alike."""
    lower = {name.lower(): name for name in names}
    given = word.lower()
    longer = [key for key in lower if len(given) > 2 and key.startswith(given)]
    if longer:
        return lower[min(longer, key=len)]
    import difflib

    close = difflib.get_close_matches(given, lower, n=1, cutoff=0.5)
    return lower[close[0]] if close else None


def suggestion(word: str, names: Iterable[str]) -> str:
    """The end of a message: ``"; did you mean 'cell'?"``, or the names there are."""
    known = list(names)
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else f"; known: {', '.join(known)}"

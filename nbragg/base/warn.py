"""One way to warn."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

from .errors import NbraggWarning

__all__ = ["heard", "said_before", "warn"]

_SILENT: ContextVar[bool] = ContextVar("silent", default=False)
_HEARD: ContextVar[list[str] | None] = ContextVar("heard", default=None)


def warn(message: str) -> None:
    """Issue an `NbraggWarning`: something was accepted but has no effect, or was replaced."""
    if _SILENT.get():
        return
    texts = _HEARD.get()
    if texts is None:
        warnings.warn(message, NbraggWarning, stacklevel=2)
    elif message not in texts:
        texts.append(message)


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What is warned of inside, in this thread, goes into the list, for another process to say."""
    texts: list[str] = []
    token = _HEARD.set(texts)
    try:
        yield texts
    finally:
        _HEARD.reset(token)


@contextlib.contextmanager
def said_before() -> Iterator[None]:
    """Nothing is warned of inside, in this thread: for what is made again of what was made with warnings."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)

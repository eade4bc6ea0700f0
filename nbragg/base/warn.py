"""One way to warn."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

from .errors import NbraggWarning

__all__ = ["said_before", "warn"]

_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


def warn(message: str) -> None:
    """Issue an `NbraggWarning`: something was accepted but has no effect, or was replaced."""
    if not _SILENT.get():
        warnings.warn(message, NbraggWarning, stacklevel=2)


@contextlib.contextmanager
def said_before() -> Iterator[None]:
    """Nothing is warned of inside, in this thread: for what is made again of what was made with warnings."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)

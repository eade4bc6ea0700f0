"""One way to warn."""

from __future__ import annotations

import warnings

from .errors import NbraggWarning

__all__ = ["warn"]


def warn(message: str) -> None:
    """Issue an `NbraggWarning`: something was accepted but has no effect, or was replaced."""
    warnings.warn(message, NbraggWarning, stacklevel=2)

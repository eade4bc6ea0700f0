"""Exceptions and warnings.  Every error says what was given, what was expected and what to do."""

from __future__ import annotations

__all__ = [
    "DeviceError",
    "FileError",
    "InputError",
    "MemoryLimitError",
    "MissingPackageError",
    "NbraggError",
    "NbraggWarning",
    "RenderError",
]


class NbraggError(Exception):
    """Base of everything this package raises on purpose."""


class InputError(NbraggError, ValueError):
    """A value that cannot be used: impossible cell, NaN, roi outside the detector, unknown option."""


class FileError(NbraggError, OSError):
    """A file that is missing, unreadable, truncated, of the wrong kind, or cannot be written."""


class MemoryLimitError(InputError, MemoryError):
    """A request that needs more memory than the machine has; found before anything is allocated."""


class MissingPackageError(NbraggError, ImportError):
    """A package that a feature needs is not installed; the message holds the pip command."""


class RenderError(NbraggError, RuntimeError):
    """The engine could not finish: non-finite pixels, a failed device."""


class DeviceError(RenderError):
    """A GPU that is not there, cannot be used, or failed; or the packages it needs are missing."""


class NbraggWarning(UserWarning):
    """Something accepted but without effect, or replaced: the message says what and why."""

"""Packages that are needed only by some features, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import MissingPackageError

__all__ = ["require"]

#: import name -> name on the package index, where they differ
_INSTALL_NAMES = {"yaml": "pyyaml", "skimage": "scikit-image", "PIL": "pillow"}


def require(module: str, *, extra: str | None = None, purpose: str | None = None) -> Any:
    """Import a package that nanobragg does not always need.

    Parameters
    ----------
    module : str
        Import name, dots allowed (``"scipy.spatial.transform"``).
    extra : str, optional
        The extra of nanobragg that installs it (``"io"``, ``"plot"``); None for a dependency of the core.
    purpose : str, optional
        What it is needed for, in words that end a sentence ("reading CBF files").

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingPackageError
        When it is not installed; the message holds the pip command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.split(".")[0]
        if error.name is not None and error.name.split(".")[0] != top:
            raise  # the package is there, something it needs is not: its own message is the better one
        target = f"'nanobragg[{extra}]'" if extra else _INSTALL_NAMES.get(top, top)
        what = f" for {purpose}" if purpose else ""
        raise MissingPackageError(
            f"{top} is needed{what} and is not installed: pip install {target}"
        ) from None

"""``nbragg dataset``: many labelled images of one recipe."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from ..terminal import BAD_INPUT, OK, complain

__all__ = ["ACTIONS", "main"]

#: what it does, in one line; the module ``dataset_<name>`` does it
ACTIONS = {
    "new": "write a commented starter recipe for a model or a list of structure factors",
    "check": "what a recipe will make: images, bytes, seconds on this machine, a picture of 16",
    "make": "make the images of a recipe, or go on with them",
    "verify": "checksums, and images of a sample rendered again and compared bit for bit",
}


def help_text() -> str:
    """Text of ``nbragg dataset -h``."""
    lines = [
        "usage: nbragg dataset ACTION ...",
        "       nbragg dataset ACTION -h     explains an action",
        "",
        "One recipe gives any number of labelled images, each the same whoever makes it, and when.",
        "",
    ]
    lines += [f"  {name:<7} {text}" for name, text in ACTIONS.items()]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Run an action; returns the exit status."""
    if words and words[0] in ("-h", "-help", "--help", "help"):
        sys.stdout.write(help_text())
        return OK
    if not words or words[0] not in ACTIONS:
        near = difflib.get_close_matches(words[0], ACTIONS, n=1) if words else []
        what = f'"{words[0]}" is no action' if words else "no action given"
        hint = f"did you mean {near[0]}?" if near else f"the actions are {', '.join(ACTIONS)}"
        complain("nbragg dataset", "error", f"{what}; {hint} (nbragg dataset -h explains)")
        return BAD_INPUT
    module = importlib.import_module(f".dataset_{words[0]}", __package__)
    status: int = module.main(words[1:])
    return status

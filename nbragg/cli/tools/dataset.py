"""``nbragg dataset``: many labelled images of one recipe."""

from __future__ import annotations

from collections.abc import Sequence

from .choice import run_chosen

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
    return run_chosen("nbragg dataset", "action", ACTIONS, words, help_text=help_text, prefix="dataset_")

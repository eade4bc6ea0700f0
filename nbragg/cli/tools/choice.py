"""A command that begins with a word: what the word may be, and the module that does it."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence

from ..terminal import BAD_INPUT, OK, complain

__all__ = ["run_chosen"]


def run_chosen(
    program: str,
    kind: str,
    table: Mapping[str, str],
    words: Sequence[str],
    *,
    help_text: Callable[[], str],
    prefix: str = "",
) -> int:
    """Run what the first of the words names, a module of this package; returns the exit status.

    Parameters
    ----------
    program : str
        For messages.
    kind : str
        What the first word is: "tool".
    table : mapping
        The words that there are.
    words : sequence of str
    help_text : callable
        What ``-h`` shows.
    prefix : str
        Of the module's name, before the word.
    """
    if words and words[0] in ("-h", "-help", "--help", "help"):
        sys.stdout.write(help_text())
        return OK
    if not words or words[0] not in table:
        near = difflib.get_close_matches(words[0], table, n=1) if words else []
        what = f'"{words[0]}" is no {kind}' if words else f"no {kind} given"
        hint = f"did you mean {near[0]}?" if near else f"the {kind}s are {', '.join(table)}"
        complain(program, "error", f"{what}; {hint} ({program} -h explains)")
        return BAD_INPUT
    module = importlib.import_module(f".{prefix}{words[0]}", __package__)
    status: int = module.main(words[1:])
    return status

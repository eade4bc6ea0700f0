"""What an option of the command line is, and the usual ones made from fewer words; imports nothing heavy."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["KINDS", "Option", "count", "file", "flag", "number"]

#: kinds of value an option takes; each entry of ``Option.values`` is one word of the command line,
#: except ``cell`` (one to six numbers), ``misset`` (three numbers or ``random``) and ``axes`` (one or three)
KINDS = ("float", "int", "int or word", "file", "text", "choice", "depth", "cell", "misset", "axes")


class Option(NamedTuple):
    """One option: its spellings, the words it takes and the settings it makes."""

    names: tuple[str, ...]  #: accepted spellings; a trailing ``*`` accepts any longer spelling too
    values: tuple[str, ...]  #: kind of each following word, from :data:`KINDS`
    metavar: str  #: how the words are shown in the help
    unit: str
    default: str
    group: str
    help: str
    sets: tuple[str, ...] = ()  #: settings that receive the value (all words as a tuple when several)
    also: tuple[tuple[str, Any], ...] = ()  #: settings made to a constant when the option is given
    choices: tuple[str, ...] = ()
    effect: bool = True  #: False: accepted, warned about once, without effect on the image
    repeats: bool = False  #: True: every use adds a value to its setting, a tuple
    exact: bool = False  #: True: without effect but for the physics "exact"; a warning says so

    @property
    def name(self) -> str:
        """First spelling, without the ``*`` of a prefix."""
        return self.names[0].rstrip("*")


def flag(name: str, group: str, text: str, *also: tuple[str, Any], default: str = "off") -> Option:
    return Option((name,), (), "", "", default, group, text, (), also)


def number(
    names: str, group: str, metavar: str, unit: str, default: str, text: str, *sets: str, kind: str = "float"
) -> Option:
    return Option(tuple(names.split("/")), (kind,), metavar, unit, default, group, text, sets)


def count(names: str, group: str, metavar: str, default: str, text: str, *sets: str) -> Option:
    return number(names, group, metavar, "", default, text, *sets, kind="int")


def file(
    names: str, group: str, default: str, text: str, target: str, *also: tuple[str, Any], effect: bool = True
) -> Option:
    spelled = tuple(names.split("/"))
    return Option(spelled, ("file",), "FILE", "", default, group, text, (target,), also, effect=effect)

"""The base of the user-facing records: compared, hashed and printed by content, changed by `replace`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from .errors import InputError
from .names import suggestion

__all__ = ["FrozenArrays", "Record", "freeze"]

R = TypeVar("R", bound="Record")


def _comparable(value: object) -> object:
    """Stand-in for a field's value that compares and hashes by content."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, Mapping):
        return tuple(sorted(value.items()))
    return value


def freeze(value: Any) -> None:
    """Make an array read-only; anything else is left alone."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)


class FrozenArrays:
    """A frozen dataclass whose arrays, made read-only by its maker, stay so after unpickling and copying."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            freeze(value)  # which pickles do not keep, and caches rely on
        self.__dict__.update(state)


class Record(FrozenArrays):
    """A frozen dataclass (declared with ``eq=False, repr=False``) whose fields may be read-only arrays."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    #: for names that are no field but often tried: what to write instead
    _instead: ClassVar[dict[str, str]] = {}

    def __new__(cls: type[R], *arguments: Any, **named: Any) -> R:
        """Refuses what the constructor does not take, in words."""
        fields = cls.__dataclass_fields__
        if len(arguments) > sum(not field.kw_only for field in fields.values()):
            raise InputError(
                f"{cls.__name__} takes its fields by name: {cls.__name__}({next(iter(fields))}=...)"
            )
        for name in named:
            if name in cls._instead:
                raise InputError(f"{cls.__name__} has no field {name!r}: {cls._instead[name]}")
            if name not in fields:
                raise InputError(f"{cls.__name__} has no field {name!r}{suggestion(name, fields)}")
        if arguments or named:  # unpickling gives none
            nothing = dataclasses.MISSING
            needed = [f for f in fields.values() if f.default is nothing and f.default_factory is nothing]
            missing = [field.name for field in needed[len(arguments) :] if field.name not in named]
            if missing:
                raise InputError(f"{cls.__name__} needs {', '.join(missing)}")
        return object.__new__(cls)

    def replace(self: R, **changes: Any) -> R:
        """A copy with some fields changed, validated like a new one."""
        return dataclasses.replace(self, **changes)

    def _with(self: R, **checked: Any) -> R:
        """A copy with fields that are known to be valid and coerced: `replace` without its cost."""
        other = object.__new__(type(self))
        mine = self.__dict__
        if len(mine) == len(self.__dataclass_fields__):
            other.__dict__.update(mine, **checked)
        else:  # without what was worked out from the fields and kept
            other.__dict__.update({name: mine[name] for name in self.__dataclass_fields__}, **checked)
        return other

    def _content(self) -> tuple[object, ...]:
        return tuple(
            _comparable(getattr(self, field.name)) for field in dataclasses.fields(self) if field.compare
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Record)
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._content()))

    def __repr__(self) -> str:
        shown = []
        for field in dataclasses.fields(self):
            if not field.repr:
                continue
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                shown.append(f"{field.name}=<array {value.shape} {value.dtype}>")
            elif field.default is dataclasses.MISSING or value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _set(self, name: str, value: object) -> None:
        """Store a coerced value; only for ``__post_init__``, before anyone has seen the record."""
        object.__setattr__(self, name, value)

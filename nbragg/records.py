"""The base of the user-facing records: compared, hashed and printed by content, changed by `replace`."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar

import numpy as np

__all__ = ["Record"]

R = TypeVar("R", bound="Record")


def _comparable(value: object) -> object:
    """Stand-in for a field's value that compares and hashes by content."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return value


class Record:
    """A frozen dataclass (declared with ``eq=False, repr=False``) whose fields may be read-only arrays."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def replace(self: R, **changes: Any) -> R:
        """A copy with some fields changed, validated like a new one."""
        return dataclasses.replace(self, **changes)

    def _with(self: R, **checked: Any) -> R:
        """A copy with fields that are known to be valid and coerced: `replace` without its cost."""
        other = object.__new__(type(self))
        mine = self.__dict__
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

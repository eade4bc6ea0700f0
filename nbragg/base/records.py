"""The base of the user-facing records: compared, hashed and printed by content, changed by `replace`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import numpy as np

from .errors import InputError
from .names import suggestion

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        return lambda function: function


__all__ = ["FrozenArrays", "Record", "freeze", "frozen"]

C = TypeVar("C", bound=type)
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


@overload
def frozen(cls: C, /) -> C: ...
@overload
def frozen(*, kw_only: bool = ...) -> Callable[[C], C]: ...
@dataclass_transform(eq_default=False, frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """As ``dataclass(frozen=True, eq=False, repr=False)``, for kinds of `FrozenArrays`, which bring the rest.

    It makes one function, the constructor, where a dataclass makes three or four: a program of many records
    starts in less time.
    """
    if cls is None:
        return lambda kind: _made_frozen(kind, kw_only)
    return _made_frozen(cls, kw_only)


def _made_frozen(cls: Any, kw_only: bool) -> Any:
    kind = dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False, kw_only=kw_only)(cls)
    fields = dataclasses.fields(kind)
    names: dict[str, Any] = {}
    ahead: list[str] = ["self"]
    by_name: list[str] = []
    body: list[str] = []
    for field in fields:
        value = field.name
        if field.default is not dataclasses.MISSING:
            names[f"_{field.name}"] = field.default
            value += f"=_{field.name}"
        elif field.default_factory is not dataclasses.MISSING:
            names[f"_{field.name}"] = field.default_factory
            names["_made"] = _MADE
            value += "=_made"
            body.append(f"if {field.name} is _made: {field.name} = _{field.name}()")
        (by_name if field.kw_only else ahead).append(value)
    body += [f"own[{field.name!r}] = {field.name}" for field in fields]
    if hasattr(kind, "__post_init__"):
        body.append("self.__post_init__()")
    arguments = ", ".join([*ahead, *(["*", *by_name] if by_name else [])])
    lines = [f"def __init__({arguments}):", " own = self.__dict__", *(f" {line}" for line in body)]
    exec("\n".join(lines), names)
    made = names["__init__"]
    made.__qualname__ = f"{kind.__qualname__}.__init__"
    made.__module__ = kind.__module__
    made.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
    kind.__init__ = made
    return kind


#: stands for a value that is made anew for each record
_MADE = object()


class FrozenArrays:
    """A frozen record whose arrays, made read-only by its maker, stay so after unpickling and copying."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            freeze(value)  # which pickles do not keep, and caches rely on
        self.__dict__.update(state)


class Record(FrozenArrays):
    """A frozen record (declared with `frozen`) whose fields may be read-only arrays."""

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

"""Values of a JSON document by their paths, so that what is missing or wrong is named by its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import FileError, InputError
from ...base.vectors import FloatArray

__all__ = ["Node", "blamed", "load_json"]


@contextmanager
def blamed(where: str) -> Iterator[None]:
    """Values that a record refuses are the file's fault here: a FileError that begins with ``where``."""
    try:
        yield
    except InputError as error:
        raise FileError(f"{where}: {error}") from None


def load_json(file: Path) -> Node:
    """The document of a JSON file.

    Raises
    ------
    FileError
        For a file that is no JSON, or no object.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{file} is not JSON, or truncated: {error}") from None
    return Node(value, str(file), "").mapping()


class Node:
    """A value and its place.

    Parameters
    ----------
    value : object
        As JSON gives it.
    file : str
    place : str
        Path from the document's top.
    """

    def __init__(self, value: Any, file: str, place: str) -> None:
        self.value, self.file, self.place = value, file, place

    def error(self, expected: str) -> FileError:
        """That this is not what was expected."""
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return FileError(f"{self.file}: {self.place or 'the document'} is {shown}; expected {expected}")

    def mapping(self) -> Node:
        """Itself, if an object."""
        if not isinstance(self.value, dict):
            raise self.error("an object {...}")
        return self

    def has(self, key: str) -> bool:
        """Whether an object has a value for a key, null being none."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> Node:
        self.mapping()
        place = f"{self.place}.{key}" if self.place else key
        if key not in self.value:
            raise FileError(f"{self.file}: {place} is missing")
        return Node(self.value[key], self.file, place)

    def items(self) -> list[Node]:
        """Elements of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list [...]")
        return [Node(value, self.file, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def at(self, index: int) -> Node:
        """One element of a list."""
        listed = self.items()
        if not 0 <= index < len(listed):
            raise FileError(f"{self.file}: {self.place}[{index}] is named, but there are {len(listed)}")
        return listed[index]

    def number(self) -> float:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.error("a number")
        try:
            value = float(self.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.error("a finite number")
        return value

    def count(self) -> int:
        """A whole number, not below 0."""
        value = self.number()
        if value < 0 or not value.is_integer():
            raise self.error("a whole number, not below 0")
        return int(value)

    def text(self) -> str:
        """Text."""
        if not isinstance(self.value, str):
            raise self.error("text")
        return self.value

    def numbers(self, count: int) -> tuple[float, ...]:
        """A list of so many numbers."""
        listed = self.items()
        if len(listed) != count:
            raise self.error(f"{count} numbers")
        return tuple(node.number() for node in listed)

    def vector(self) -> FloatArray:
        """Three numbers, not all zero."""
        vector = np.array(self.numbers(3))
        if not vector.any():
            raise self.error("a vector that is not zero")
        return vector

    def point(self) -> FloatArray:
        """Three numbers."""
        return np.array(self.numbers(3))

    def matrix(self) -> FloatArray:
        """Nine numbers, row by row."""
        return np.array(self.numbers(9)).reshape(3, 3)

"""Labels of the images of a shard as arrays, for formats that hold arrays: packed, and read again.

Names of arrays, n images::

    labels/image             (n,)      numbers of the images in their data set
    labels/wavelength_A      (n,)
    labels/space_group       (n,)      bytes, UTF-8
    labels/parameters/NAME   (n,)      what was drawn, where every image has a value of one type
    labels/parameters_json   (n,)      what else was drawn, as JSON; not there where that is nothing
    labels/crystals/offsets  (n + 1,)  crystals of image i: rows offsets[i] to offsets[i + 1] of
    labels/crystals/cell     (N, 6)    and U, B, A (N, 3, 3), weight (N,)
    labels/spectrum/offsets  (n + 1,)
    labels/spectrum/values   (N, 2)    wavelength in angstrom, weight
    labels/reflections/offsets, values (N,): records `nbragg.simulation.labels.SPOT`
    labels/mask              (n,)      row of `masks` that holds the image's mask, -1 where every pixel counts
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...simulation.labels import SPOT, Labels

__all__ = ["REFLECTION_ROWS", "Arrays", "Gathered", "LabelTable", "plain"]

#: rows of the reflections that are compressed together
REFLECTION_ROWS = 2048

_CRYSTALS = {"cell": (6,), "U": (3, 3), "B": (3, 3), "A": (3, 3), "weight": ()}
_PARAMETERS = "labels/parameters/"
_JSON = "labels/parameters_json"
_INTEGERS = np.iinfo(np.int64)

Array = NDArray[Any]


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers, words and lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


class Gathered:
    """Labels of images one after the other, kept until their shard ends."""

    def __init__(self) -> None:
        self._labels: list[Labels] = []
        self._masks: list[int] = []

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, labels: Labels, mask: int = -1) -> None:
        """``mask``: its number among the masks of the shard, -1 for none."""
        self._labels.append(labels)
        self._masks.append(mask)

    def arrays(self) -> dict[str, Array]:
        """All of them, by name."""
        found = {
            "labels/image": self._numbers("image", np.int64),
            "labels/wavelength_A": self._numbers("wavelength_A", np.float64),
            "labels/space_group": _words([one["space_group"] for one in self._labels]),
            "labels/mask": np.array(self._masks, dtype=np.int64),
        }
        drawn = [plain(one["parameters"]) for one in self._labels]
        found |= _parameters(drawn)
        for name, shape in _CRYSTALS.items():
            found |= self._ragged("crystals", name, name, shape, np.dtype(np.float64))
        found |= self._ragged("spectrum", "values", "spectrum", (2,), np.dtype(np.float64))
        return found | self._ragged("reflections", "values", "reflections", (), SPOT)

    def _numbers(self, name: str, dtype: Any) -> Array:
        return np.array([one[name] for one in self._labels], dtype=dtype)

    def _ragged(
        self, group: str, name: str, label: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> dict[str, Array]:
        parts = [np.asarray(one[label], dtype=dtype).reshape(-1, *shape) for one in self._labels]
        offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
        values = np.concatenate(parts) if parts else np.empty((0, *shape), dtype)
        return {f"labels/{group}/offsets": offsets, f"labels/{group}/{name}": values}


def _words(values: Sequence[str]) -> Array:
    texts = [value.encode() for value in values]
    return np.array(texts, dtype=f"S{max([1, *map(len, texts)])}")


def _parameters(drawn: list[dict[str, Any]]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    rest: list[dict[str, Any]] = [{} for _ in drawn]
    for name in dict.fromkeys(name for one in drawn for name in one):
        column = _column(name, drawn)
        if column is not None:
            found[_PARAMETERS + name] = column
            continue
        for one, left in zip(drawn, rest, strict=True):
            if name in one:
                left[name] = one[name]
    if any(rest):
        found[_JSON] = _words([json.dumps(one) for one in rest])
    return found


def _column(name: str, drawn: list[dict[str, Any]]) -> Array | None:
    """Values of one type, None where they are not, or where the name or a value cannot be such an array."""
    if not name or "/" in name or name.strip(".") == "" or not all(name in one for one in drawn):
        return None
    values = [one[name] for one in drawn]
    kinds = set(map(type, values))
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is float or kind is bool:
        return np.array(values)
    if kind is int and _INTEGERS.min <= min(values) and max(values) <= _INTEGERS.max:
        return np.array(values, dtype=np.int64)
    if kind is str and not any("\0" in value for value in values):
        return _words(values)
    return None


class Arrays(Protocol):
    """Arrays of a file, by name."""

    def names(self) -> Iterable[str]:
        """Of all of them."""

    def rows(self, name: str, first: int = 0, last: int | None = None) -> Array:
        """Rows of one, or all of it."""


class LabelTable:
    """Labels read from arrays: what is small at once, spectra and reflections image by image."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        names = list(arrays.names())
        self._parameters = {
            name[len(_PARAMETERS) :]: arrays.rows(name) for name in names if name.startswith(_PARAMETERS)
        }
        self._json = arrays.rows(_JSON) if _JSON in names else None
        whole = ("image", "wavelength_A", "space_group", "mask")
        self._whole = {name: arrays.rows(f"labels/{name}") for name in whole}
        self._crystals = {name: arrays.rows(f"labels/crystals/{name}") for name in _CRYSTALS}
        groups = ("crystals", "spectrum", "reflections")
        self._offsets = {group: arrays.rows(f"labels/{group}/offsets") for group in groups}

    def __len__(self) -> int:
        return len(self._whole["image"])

    def mask(self, i: int) -> int:
        """Number of the i-th image's mask, -1 for none."""
        return int(self._whole["mask"][i])

    def labels(self, i: int, images: Mapping[str, Array]) -> Labels:
        """Of the i-th image; ``images`` are its label images."""
        first, last = self._ends("crystals", i)
        crystals = {name: values[first:last].copy() for name, values in self._crystals.items()}
        return Labels(
            image=int(self._whole["image"][i]),
            parameters=self._drawn(i),
            space_group=bytes(self._whole["space_group"][i]).decode(),
            wavelength_A=float(self._whole["wavelength_A"][i]),
            spectrum=self._arrays.rows("labels/spectrum/values", *self._ends("spectrum", i)),
            reflections=self._arrays.rows("labels/reflections/values", *self._ends("reflections", i)),
            images=dict(images),
            **crystals,
        )

    def _ends(self, group: str, i: int) -> tuple[int, int]:
        offsets = self._offsets[group]
        return int(offsets[i]), int(offsets[i + 1])

    def _drawn(self, i: int) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for name, values in self._parameters.items():
            value = values[i].item()
            drawn[name] = value.decode() if isinstance(value, bytes) else value
        if self._json is not None:
            drawn |= json.loads(bytes(self._json[i]).decode())
        return drawn

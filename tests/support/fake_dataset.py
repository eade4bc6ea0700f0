"""What acts like a data set and like a container without rendering, and fails as it is told."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nbragg.dataset.containers import formats
from nbragg.dataset.containers.made import Failed, Made, Stored
from nbragg.dataset.shards import Order
from nbragg.dataset.work import Event, attempt
from nbragg.simulation.labels import SPOT, Labels

formats.FORMATS["fake"] = formats.ShardFormat(
    "fake", ".fake", "pickles", ("none",), "fake_dataset:writing", "fake_dataset:Reader"
)


@dataclass(frozen=True)
class FakeRecipe:
    digest: str = "00" * 16
    images: int | None = None
    images_per_shard: int = 5
    format: str = "fake"
    compression: str = "none"
    label_images: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"digest": self.digest}), encoding="utf-8")


@dataclass(frozen=True)
class FakeDataset:
    """Images that tell their number.

    Attributes
    ----------
    seconds : float
        That an image takes.
    bad : tuple of int
        Images that fail.
    deadly : tuple of int
        Images whose worker is killed.
    broken : tuple of int
        Images at which what makes them raises what nobody expects.
    notes : str
        A folder in which each image that is made leaves a file.
    """

    recipe: FakeRecipe = field(default_factory=FakeRecipe)
    seconds: float = 0.0
    bad: tuple[int, ...] = ()
    deadly: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    notes: str = ""

    def made(self, numbers: Iterable[int]) -> Iterator[Made | Failed]:
        for i in numbers:
            time.sleep(self.seconds)
            if i in self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            if i in self.broken:
                raise LookupError(f"image {i} is broken")
            if self.notes:
                Path(self.notes, f"{i}-{os.urandom(4).hex()}").touch()
            yield Failed(i, "InputError: no such image", {"x": i / 2}) if i in self.bad else one(i)


def one(i: int) -> Made:
    labels = Labels(
        image=i, parameters={"x": i / 2, "name": f"n{i}"}, space_group="P 1", cell=np.ones((1, 6)),
        U=np.eye(3)[None], B=np.eye(3)[None], A=np.eye(3)[None], weight=np.ones(1), wavelength_A=1.0 + i,
        spectrum=np.ones((1, 2)), reflections=np.zeros(i % 4, SPOT), images={},
    )  # fmt: skip
    return Made(np.random.default_rng(i).integers(0, 99, (8, 6)).astype(np.int32), labels, None)  # type: ignore[arg-type]


class _Writer:
    def __init__(self) -> None:
        self.images: list[Any] = []

    def add(self, made: Made) -> None:
        self.images.append((made.image, dict(made.labels)))


@contextlib.contextmanager
def writing(path: str, count: int, compression: str) -> Iterator[_Writer]:
    """A file ``full`` beside the data set says how many shards fit."""
    shard = _Writer()
    yield shard
    limit = Path(path).parents[1].with_suffix(".full")
    if limit.exists():
        there = sum(1 for _ in Path(path).parents[1].glob("shards/*/*"))
        if there >= int(limit.read_text()):
            with open(path, "wb") as stream:
                stream.write(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with open(path, "wb") as stream:
        pickle.dump(shard.images, stream)


class Reader:
    def __init__(self, path: str) -> None:
        with open(path, "rb") as stream:
            self._images = pickle.load(stream)

    def __len__(self) -> int:
        return len(self._images)

    def read(self, i: int, label_images: Iterable[str] | None = None) -> Stored:
        image, labels = self._images[i]
        return Stored(image, Labels(**labels))

    def close(self) -> None:
        self._images = []


class Here:
    """Workers that are this process."""

    def __init__(self, order: Order, count: int) -> None:
        self._order, self._count = order, count
        self._given: list[int] = []

    def __len__(self) -> int:
        return self._count

    def describe(self) -> str:
        return "this process"

    def free(self) -> int:
        return self._count - len(self._given)

    def give(self, shard: int) -> None:
        self._given.append(shard)

    def wait(self, seconds: float) -> list[Event]:
        """The last that was given first."""
        return [attempt(self._order, self._given.pop())]

    def close(self, *, at_once: bool) -> None:
        self._given.clear()

"""What those who make shards and the one who asks for them tell each other."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..base.crew import sendable
from ..base.errors import RenderError
from .manifest import Record
from .shards import Order, fetch, make_shard

__all__ = ["At", "Done", "Event", "Lost", "Refused", "Stopped", "Workers", "attempt"]


class Stopped(RenderError):
    """The work cannot go on now; what is made stays, and the same call goes on later."""


class Done(NamedTuple):
    """A shard is there."""

    shard: int
    record: Record
    seconds: float
    warnings: list[str]


class Lost(NamedTuple):
    """A worker ended, and with it the shard that it was at; None: it was at none."""

    shard: int | None
    why: str


class Refused(NamedTuple):
    """A shard could not be made, for a reason that is known; None: none could."""

    shard: int | None
    error: Exception
    trace: str


class At(NamedTuple):
    """How many images of a shard are made."""

    shard: int
    images: int


Event = Done | Lost | Refused | At


class Workers(Protocol):
    """Those who make shards."""

    def __len__(self) -> int:
        """How many there are now."""

    def free(self) -> int:
        """How many shards may be given now."""

    def give(self, shard: int) -> None:
        """Have a shard made."""

    def wait(self, seconds: float) -> list[Event]:
        """What happened since; nothing after that time.

        Raises
        ------
        Stopped
            They cannot be reached.
        """

    def describe(self) -> str:
        """Who they are, in words."""

    def close(self, *, at_once: bool) -> None: ...


def attempt(order: Order, shard: int, tell: Callable[[int], None] | None = None) -> Done | Refused:
    """Make a shard, in the process that calls."""
    try:
        return Done(shard, *make_shard(fetch(order), shard, tell))
    except Exception as error:
        return Refused(shard, sendable(error), traceback.format_exc())

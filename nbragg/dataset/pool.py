"""Shards made by processes of this machine, without a scheduler."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

from ..base.crew import sendable
from ..base.processes import Interpreter
from ..io.files.kinds import resolve
from .containers.formats import FORMATS
from .shards import Order, fetch
from .work import At, Done, Event, Lost, Refused, attempt

__all__ = ["Pool", "serve"]

#: seconds between two words of a worker about where it is
_TELL = 0.3


class _Hand:
    """A worker process.

    Attributes
    ----------
    ready : bool
        It has begun, and can be given a shard.
    shard : int or None
        That it is at.
    """

    def __init__(self, order: Order, slot: int) -> None:
        devices = _devices()
        own = {"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} if devices else {}
        self.slot = slot
        self.process = Interpreter("nbragg.dataset.pool:serve", threads=1, bound=True, environment=own)
        self.ready = False
        self.shard: int | None = None
        # if it has ended already, that is seen when it is listened to
        with contextlib.suppress(OSError):
            self.process.link.send(order)


class Pool:
    """Worker processes, each with one engine thread; one that ends is replaced.

    Parameters
    ----------
    order : Order
    count : int
    """

    def __init__(self, order: Order, count: int) -> None:
        self._order = order
        self._hands: dict[Connection, _Hand] = {}
        try:
            for slot in range(count):
                self._start(slot)
        except BaseException:
            self.close(at_once=True)
            raise

    def _start(self, slot: int) -> None:
        hand = _Hand(self._order, slot)
        self._hands[hand.process.link] = hand

    def __len__(self) -> int:
        return len(self._hands)

    def describe(self) -> str:
        return f"{len(self)} process{'es' if len(self) != 1 else ''}"

    def _idle(self) -> list[_Hand]:
        return [hand for hand in self._hands.values() if hand.ready and hand.shard is None]

    def free(self) -> int:
        return len(self._idle())

    def give(self, shard: int) -> None:
        hand = self._idle()[0]
        hand.shard = shard
        # one that has just ended is seen when it is listened to
        with contextlib.suppress(OSError):
            hand.process.link.send(shard)

    def wait(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        for link in wait(list(self._hands), seconds):
            assert isinstance(link, Connection)
            hand = self._hands[link]
            try:
                said = link.recv()
            except (EOFError, OSError):
                events.append(Lost(hand.shard, hand.process.fate()))
                del self._hands[link]
                hand.process.close(at_once=True)
                self._start(hand.slot)
                continue
            if said is None:
                hand.ready = True
                continue
            if not isinstance(said, At):
                hand.shard = None
            events.append(said)
        return events

    def numbers(self) -> list[int]:
        """Of the processes."""
        return [hand.process.number for hand in self._hands.values()]

    def close(self, *, at_once: bool) -> None:
        for hand in self._hands.values():
            hand.process.close(at_once=at_once or hand.shard is not None)
        self._hands.clear()


def serve(link: Connection) -> None:
    """Be a worker: make the shards that are asked for until the other end is closed."""
    order: Order = link.recv()
    try:
        job = fetch(order)
        resolve(FORMATS[job.head.format].write)
    except Exception as error:
        link.send(Refused(None, sendable(error), traceback.format_exc()))
        return
    link.send(None)
    while True:
        shard = link.recv()
        link.send(_one(order, shard, link))


def _one(order: Order, shard: int, link: Connection) -> Done | Refused:
    return attempt(order, shard, _teller(shard, link))


def _teller(shard: int, link: Connection) -> Callable[[int], None]:
    last = time.monotonic()

    def tell(images: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL:
            last = time.monotonic()
            link.send(At(shard, images))

    return tell


def _devices() -> list[str]:
    """GPUs that CUDA may use here, without asking CUDA."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [word.strip() for word in given.split(",") if word.strip()]
    try:
        return [str(i) for i in range(len(os.listdir("/proc/driver/nvidia/gpus")))]
    except OSError:
        return []

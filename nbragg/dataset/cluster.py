"""Shards made by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import Any

from ..base.errors import InputError
from ..base.optional import require
from ..base.warn import warn
from .shards import Order
from .work import Event, Lost, Refused, Stopped, attempt

__all__ = ["Cluster"]

#: to be reached at first, and again when the connection broke, seconds
_CONNECT, _RECONNECT = 10.0, 15.0
#: between two looks at who is there, seconds
_LOOK = 3.0
#: without a worker, until that is said, and, where there was one, until nobody waits any longer, seconds
_ALONE, _FORSAKEN = 15.0, 600.0
#: shards a worker's thread is given before it has made the first
_AHEAD = 2


class Cluster:
    """Workers of Dask; the scheduler is sent the number of a shard and the name of a file with the rest.

    Parameters
    ----------
    scheduler : str or dask.distributed.Client
        Its address, or a client, which is left open.
    order : Order

    Raises
    ------
    InputError
        No scheduler answers.
    MissingPackageError
    """

    def __init__(self, scheduler: Any, order: Order) -> None:
        distributed = require("dask.distributed", extra="cluster", purpose="workers of a cluster")
        self._own = isinstance(scheduler, str)
        self._order = order
        self._client: Any = scheduler
        if self._own:
            try:
                self._client = distributed.Client(scheduler, timeout=_CONNECT)
            except (OSError, ValueError) as error:
                raise InputError(f"scheduler: no Dask scheduler answers at {scheduler!r}: {error}") from None
        self._address = str(self._client.scheduler.address)
        self._dashboard = ""
        with contextlib.suppress(Exception):  # a scheduler without one, told of in various ways
            self._dashboard = str(self._client.dashboard_link or "")
        #: future -> shard
        self._asked: dict[Any, int] = {}
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._attempts = 0
        self._threads: dict[str, int] = {}
        self._looked = self._reached = 0.0
        self._seen, self._had_some = time.monotonic(), False
        self._look()

    def __len__(self) -> int:
        return len(self._threads)

    def describe(self) -> str:
        count, threads = len(self._threads), sum(self._threads.values())
        workers = f"{count} worker{'s' if count != 1 else ''} of the cluster at {self._address}"
        text = workers if threads == count else f"{workers} with {threads} threads"
        return f"{text}; dashboard {self._dashboard}" if self._dashboard else text

    def free(self) -> int:
        return max(_AHEAD * max(sum(self._threads.values()), 1) - len(self._asked), 0)

    def give(self, shard: int) -> None:
        self._attempts += 1
        key = f"nbragg-shard-{shard}-{self._order.digest[:12]}-{self._attempts}"
        future = self._client.submit(attempt, self._order, shard, key=key, pure=False)
        self._asked[future] = shard
        future.add_done_callback(self._inbox.put)

    def wait(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        self._look()
        try:
            events += self._heard(self._inbox.get(timeout=seconds))
            while True:
                events += self._heard(self._inbox.get_nowait())
        except queue.Empty:
            pass
        for future in [one for one in self._asked if one.status == "lost"]:
            events += self._heard(future)
        return events

    def _look(self) -> None:
        """Who is there; whether anybody is."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        if self._client.status == "running":
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._threads = dict(self._client.nthreads())
                self._reached = now
        if now - self._reached > _RECONNECT or self._client.status == "closed":
            raise Stopped(f"the Dask scheduler at {self._address} is lost")
        if self._threads:
            self._seen, self._had_some = now, True
        elif now - self._seen > _FORSAKEN and self._had_some:
            raise Stopped(f"the cluster at {self._address} has had no worker for {_FORSAKEN / 60:.0f} min")
        elif now - self._seen > _ALONE:
            warn(f"the cluster at {self._address} has no worker: waiting for one")

    def _heard(self, future: Any) -> list[Event]:
        shard = self._asked.pop(future, None)
        if shard is None:
            return []
        if future.status == "finished":
            found: Event = future.result()
            return [found]
        if future.status != "error":
            return [Lost(shard, "the cluster gave it up")]
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return [Lost(shard, "workers of the cluster ended while they were at it")]
        text = f"workers of the cluster cannot do this: {type(error).__name__}: {error}"
        return [Refused(shard, InputError(text), "")]

    def close(self, *, at_once: bool) -> None:
        asked = list(self._asked)
        self._asked.clear()
        with contextlib.suppress(Exception):  # there may be nobody to tell
            if asked and self._client.status == "running":
                self._client.cancel(asked, force=True)
        if self._own:
            with contextlib.suppress(Exception):
                self._client.close(timeout=2)

"""Threads that run the engine, kept for the next render.

The engine never runs on the caller's thread.  That leaves the caller free to poll progress and to stop the
engine on Ctrl-C, and it makes rendering safe after fork: OpenMP's workers belong to the thread that started
them, so a forked child, which starts engine threads of its own, never waits for workers that exist only in
its parent.  Starting a thread and its OpenMP team takes longer than a small image, so idle threads are kept
for a while.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..base.errors import RenderError

__all__ = ["EngineThread", "Task", "borrowed"]

#: an unused thread ends after this time
IDLE_SECONDS = 5.0

_idle: list[EngineThread] = []
_lock = threading.Lock()


class Task:
    """A call that an engine thread makes; its result, failure and duration in seconds."""

    def __init__(self, call: Callable[[], Any], process: int) -> None:
        self._call: Callable[[], Any] | None = call
        self._result: Any = None
        self._failure: BaseException | None = None
        self._running = threading.Lock()
        self._running.acquire()
        self._process = process  # of the thread
        self.seconds = 0.0

    def run(self) -> None:
        # whoever waits may hold this task and be held by the call: a circle that would keep images alive
        call, self._call = self._call, None
        assert call is not None
        start = time.perf_counter()
        try:
            self._result = call()
        except BaseException as error:
            self._failure = error
        self.seconds = time.perf_counter() - start
        self._running.release()

    def wait(self, seconds: float) -> bool:
        """Whether the call has returned, after waiting for it for at most that long.

        Raises
        ------
        RenderError
            In a forked child, for a call given to a thread of its parent.
        """
        if self._running.acquire(timeout=seconds):
            self._running.release()
            return True
        if not self.is_ours():
            raise RenderError(
                "a batch that was begun before the process forked cannot go on in the child: begin it there"
            )
        return False

    def is_ours(self) -> bool:
        """False in a forked child, where the thread does not exist."""
        return os.getpid() == self._process

    def result(self) -> Any:
        """What the call returned, once `wait` says True; raises what it raised."""
        if self._failure is not None:
            raise self._failure
        return self._result


class EngineThread:
    """One thread that makes the calls it is given, in their order."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._process = os.getpid()
        threading.Thread(target=self._work, name="nbragg-engine", daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> Task:
        task = Task(call, self._process)
        self._inbox.put(task)
        return task

    def _work(self) -> None:
        while True:
            try:
                task = self._inbox.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with _lock:
                    if self in _idle:  # nobody can borrow it any more
                        _idle.remove(self)
                        return
                continue
            task.run()
            del task  # which holds an image


@contextlib.contextmanager
def borrowed(count: int = 1) -> Iterator[list[EngineThread]]:
    """Threads for the use of one caller, all of whose tasks must have ended when the block does."""
    process = os.getpid()
    with _lock:
        threads = [_idle.pop() for _ in range(min(count, len(_idle)))]
    while len(threads) < count:
        threads.append(EngineThread())
    try:
        yield threads
    finally:
        if os.getpid() == process:
            with _lock:
                _idle.extend(threads)


def _forget_threads() -> None:
    """In a forked child: the threads are its parent's, and the lock may be held by one of them."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget_threads)

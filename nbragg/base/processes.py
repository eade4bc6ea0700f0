"""Hands of a crew: other processes of this machine, or workers of a Dask cluster."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

from . import validate as check
from .crew import Hand, Keeper, Packer, Remote, Shelf, WorkerLost
from .errors import InputError
from .optional import require

__all__ = ["Interpreter", "hands", "serve"]

_SECONDS, _LOOK_SECONDS = 10.0, 1.0


def hands(workers: Any, count: int, constants: Sequence[Any] = ()) -> list[Hand]:
    """Who holds the items of a crew.

    Parameters
    ----------
    workers : int, str or dask.distributed.Client
        Processes of this machine, 1: this one; or the address of a Dask scheduler, or its client: all its
        workers.
    count : int
        Of items.
    constants : sequence
        Objects that every process gets once.

    Raises
    ------
    InputError
    MissingPackageError
        For a scheduler, without Dask.
    """
    if isinstance(workers, str) or hasattr(workers, "nthreads"):
        return _of_cluster(workers, count, constants)
    number = min(check.count("workers", workers, at_least=1), count)
    if number == 1:
        return [Shelf()]
    found: list[Hand] = []
    try:
        for _ in range(number):
            found.append(_Process(constants, number))
    except BaseException:
        for hand in found:
            hand.close(at_once=True)
        raise
    return found


# ---- processes of this machine ----

#: which libraries beneath NumPy and the engine take their number of threads from
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from nbragg.base.processes import begin; begin(*sys.argv[2:])"
)


class Interpreter:
    """A new interpreter at the other end of a pair of sockets.

    It needs no main module that can be imported, copies no thread of this process, and ends with it.  Ctrl-C
    is not for it: the process that started it is interrupted, and ends it.

    Parameters
    ----------
    serve : str
        ``module:function`` that it calls with its end of the link, and then ends.
    threads : int
        Of the engine and of what lies beneath NumPy.
    bound : bool
        Whatever the environment says of threads.
    environment : mapping, optional
        More of it.

    Attributes
    ----------
    link : Connection
    number : int
        Of the process.
    """

    def __init__(
        self, serve: str, *, threads: int, bound: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        self.link, there = Pipe()
        own = {name: str(threads) for name in _THREADS}
        inherited = os.environ | own if bound else own | os.environ
        with there:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _CODE,
                    json.dumps(list(map(str, sys.path))),
                    serve,
                    str(there.fileno()),
                ],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                env=inherited | dict(environment or {}),
            )
        self.number = self._process.pid

    def fate(self) -> str:
        """How it ended, in words."""
        try:
            status = self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            return "it no longer answers"
        if status == -signal.SIGKILL:
            return "it was killed (signal 9), as the system does when memory runs out: take fewer workers"
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def close(self, *, at_once: bool) -> None:
        """End it; unless at once, when it has done what it does."""
        if at_once:
            self._process.kill()
        self.link.close()
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def begin(serve: str, descriptor: str) -> None:
    """What an `Interpreter` does."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    module, _, name = serve.partition(":")
    with Connection(int(descriptor)) as link:
        try:
            getattr(importlib.import_module(module), name)(link)
        except (EOFError, OSError):
            return


class _Process(Remote):
    """The hand of an interpreter."""

    def __init__(self, constants: Sequence[Any], of: int) -> None:
        threads = max(len(os.sched_getaffinity(0)) // of, 1)
        self._interpreter = Interpreter("nbragg.base.processes:serve", threads=threads)
        super().__init__(self._told, Packer(constants))
        #: sent with the first task, so that all begin at the same time
        self._start: bytes | None = _packed(constants)

    def _told(self, message: bytes) -> bytes:
        link = self._interpreter.link
        try:
            if self._start is not None:
                link.send_bytes(self._start)
                self._start = None
            link.send_bytes(message)
            return link.recv_bytes()
        except (EOFError, OSError):
            raise WorkerLost(f"a worker process ended: {self._interpreter.fate()}") from None

    def close(self, *, at_once: bool) -> None:
        self._interpreter.close(at_once=at_once)


def serve(link: Connection) -> None:
    """Be a worker: answer until the other end is closed."""
    keeper = Keeper(link.recv_bytes())
    while True:
        link.send_bytes(keeper.answer(link.recv_bytes()))


def _end_with(parent: int) -> None:
    """End this process when its parent has, whatever it does."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


# ---- workers of a cluster ----


class _Worker(Remote):
    """An actor on a worker of Dask."""

    def __init__(self, client: Any, address: str, constants: Sequence[Any], own: bool) -> None:
        self._client, self._address, self._own = client, address, own
        start = _packed(constants)
        self._actor = client.submit(Keeper, start, actor=True, workers=[address], pure=False).result()
        super().__init__(self._told, Packer(constants))

    def _told(self, message: bytes) -> bytes:
        try:
            answer: bytes = self._actor.answer(message).result()
        except Exception as error:
            raise WorkerLost(f"the worker {self._address} of the cluster is lost: {error}") from error
        return answer

    def close(self, *, at_once: bool) -> None:
        self._actor = None
        if self._own:
            self._client.close()


def _packed(constants: Sequence[Any]) -> bytes:
    return pickle.dumps(tuple(constants), pickle.HIGHEST_PROTOCOL)


def _of_cluster(given: Any, count: int, constants: Sequence[Any]) -> list[Hand]:
    client = given
    if isinstance(given, str):
        distributed = require("dask.distributed", extra="cluster", purpose="workers of a cluster")
        try:
            client = distributed.Client(given, timeout=_SECONDS)
        except (OSError, ValueError) as error:
            raise InputError(f"workers: no Dask scheduler answers at {given!r}: {error}") from None
    try:
        addresses = sorted(client.nthreads())[:count]
        if not addresses:
            raise InputError("workers: the Dask cluster has no worker yet")
        return [_Worker(client, address, constants, client is not given) for address in addresses]
    except BaseException:
        if client is not given:
            client.close()
        raise

"""Many objects, held by this process or by several, and functions called on each where it is."""

from __future__ import annotations

import contextvars
import io
import pickle
import queue
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from .errors import InputError, NbraggError, RenderError
from .warn import heard, warn

__all__ = ["Crew", "Hand", "Keeper", "Task", "WorkerLost", "sendable"]

T = TypeVar("T")

#: bytes
_AWAKE = 1 << 28
_IMPORTABLE = "functions must be those of a module, which other processes can import"
#: items that are sent to be made in one message
_BATCH = 8


class Task(NamedTuple):
    """What a process is asked to do with some of its items.

    Attributes
    ----------
    kind : {"make", "each", "total"}
    work : callable
        Of a module, which the other process imports too: ``work(item, *common, *own)``; "make": without the
        item, which it returns.
    common : tuple
        Arguments that are the same for all items.
    jobs : list of (int, tuple)
        Number of each item, and its own arguments.
    """

    kind: str
    work: Callable[..., Any]
    common: tuple[Any, ...]
    jobs: list[tuple[int, tuple[Any, ...]]]


class Hand(Protocol):
    """A process that holds items."""

    def do(self, task: Task) -> Any:
        """Of "each" a list of what work returned, of "total" its sum; raises what work raised."""

    def close(self, *, at_once: bool) -> None: ...


class WorkerLost(RenderError):
    """A process that held items has ended, and they with it."""


class Shelf:
    """The items of one process.

    Those that have ``nbytes`` and ``rest()`` are told to rest when another is called and all that do not
    would hold more than `_AWAKE`: memory does not grow with their number.
    """

    def __init__(self) -> None:
        self._items: dict[int, Any] = {}
        self._awake: dict[int, int] = {}
        self._held = 0
        self._guest: int | None = None

    def do(self, task: Task) -> Any:
        answers: list[Any] = []
        total: Any = None
        for k, own in task.jobs:
            if task.kind == "make":
                self._items[k] = task.work(*task.common, *own)
            else:
                answer = task.work(self._items[k], *task.common, *own)
                if task.kind == "total":
                    total = _sum(total, answer)
                else:
                    answers.append(answer)
            if hasattr(self._items[k], "rest"):
                self._tend(k)
        return total if task.kind == "total" else answers

    def _tend(self, k: int) -> None:
        """One more than the limit allows, the one at work, stays awake until another is."""
        if self._guest is not None and self._guest != k:
            self._items[self._guest].rest()
            self._guest = None
        self._held -= self._awake.pop(k, 0)
        holds = int(self._items[k].nbytes)
        if self._held + holds > _AWAKE:
            self._guest = k
        else:
            self._awake[k] = holds
            self._held += holds

    def close(self, *, at_once: bool) -> None:
        self._items.clear()
        self._awake.clear()


def _sum(total: Any, part: Any) -> Any:
    """Of tuples member by member."""
    if total is None:
        return part
    if isinstance(part, tuple):
        return tuple(a + b for a, b in zip(total, part, strict=True))
    return total + part


# ---- messages between processes ----


class _Pickler(pickle.Pickler):
    def __init__(self, room: io.BytesIO, numbers: dict[int, int]) -> None:
        super().__init__(room, pickle.HIGHEST_PROTOCOL)
        self._numbers = numbers

    def persistent_id(self, value: Any) -> int | None:
        return self._numbers.get(id(value))


class _Unpickler(pickle.Unpickler):
    def __init__(self, room: io.BytesIO, constants: Sequence[Any]) -> None:
        super().__init__(room)
        self._constants = constants

    def persistent_load(self, number: int) -> Any:
        return self._constants[number]


class Packer:
    """Objects to bytes and back; the constants, which both sides have, by their numbers."""

    def __init__(self, constants: Sequence[Any]) -> None:
        self._constants = tuple(constants)
        self._numbers = {id(one): i for i, one in enumerate(self._constants)}

    def pack(self, value: Any) -> bytes:
        room = io.BytesIO()
        _Pickler(room, self._numbers).dump(value)
        return room.getvalue()

    def unpack(self, message: bytes) -> Any:
        return _Unpickler(io.BytesIO(message), self._constants).load()


class Keeper:
    """A shelf that is told by messages.

    Parameters
    ----------
    message : bytes
        The constants, pickled.
    """

    def __init__(self, message: bytes) -> None:
        self._packer, self._shelf = Packer(pickle.loads(message)), Shelf()

    def answer(self, message: bytes) -> bytes:
        """What came of a task: (whether it succeeded, answer or exception, traceback, texts of warnings)."""
        with heard() as texts:
            try:
                done, answer, trace = True, self._shelf.do(self._packer.unpack(message)), ""
            except Exception as error:
                done, answer, trace = False, sendable(error), traceback.format_exc()
        try:
            return self._packer.pack((done, answer, trace, texts))
        except Exception as error:
            told = f"{type(answer).__name__} cannot be sent: {error}"
            return self._packer.pack((False, RuntimeError(told), "", texts))


def sendable(error: Exception) -> Exception:
    """Itself, unless it does not come out of a message as it went in."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class Remote:
    """A hand by its exchange of messages.

    Parameters
    ----------
    exchange : callable
        Message to answer.
    packer : Packer
    """

    def __init__(self, exchange: Callable[[bytes], bytes], packer: Packer) -> None:
        self._exchange, self._packer = exchange, packer

    def do(self, task: Task) -> Any:
        try:
            message = self._packer.pack(task)
        except Exception as error:
            raise InputError(f"workers cannot be sent this: {error}; {_IMPORTABLE}") from error
        done, answer, trace, texts = self._packer.unpack(self._exchange(message))
        for text in texts:
            warn(text)
        if done:
            return answer
        if isinstance(answer, AttributeError) and "__main__" in str(answer):
            raise InputError(f"workers cannot find this: {answer}; {_IMPORTABLE}") from None
        if isinstance(answer, NbraggError):
            raise answer
        raise answer from RenderError(f"in a worker:\n{trace}")


# ---- the crew ----


class Crew(Generic[T]):
    """Items by number, each on one of several shelves.

    Parameters
    ----------
    hands : sequence of Hand
        Item k is at hand ``k % len(hands)``.
    make : callable
        ``make(*common, *own)`` returns an item.
    columns : sequences
        Own arguments of each item: one sequence for each argument.
    common : tuple

    Notes
    -----
    A context manager: with its end, at once where that is by an exception, other processes end.
    """

    def __init__(
        self,
        hands: Sequence[Hand],
        make: Callable[..., T],
        *columns: Sequence[Any],
        common: tuple[Any, ...] = (),
    ) -> None:
        self._hands, self._count = list(hands), len(columns[0])
        try:
            self._run("make", make, columns, common, _BATCH, None)
        except BaseException:
            self.close(at_once=True)
            raise

    @classmethod
    def here(cls, items: Iterable[T]) -> Crew[T]:
        """Of items that this process holds."""
        return cls([Shelf()], _itself, list(items))

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Crew[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(at_once=kind is not None)

    def close(self, *, at_once: bool = False) -> None:
        """Let go of all items.

        Parameters
        ----------
        at_once : bool
            Whatever is being done; workers of a cluster first end what they do.
        """
        for hand in self._hands:
            hand.close(at_once=at_once)

    def each(
        self,
        work: Callable[..., Any],
        *columns: Sequence[Any],
        common: tuple[Any, ...] = (),
        heard: Callable[[int, Any], None] | None = None,
    ) -> list[Any]:
        """``[work(item, *common, *own) for each item]``.

        Parameters
        ----------
        work : callable
        *columns : sequences
            Own arguments, of all items.
        common : tuple
        heard : callable, optional
            Told number and answer of each item as soon as it is there.
        """
        return self._run("each", work, columns, common, 1 if heard is not None else 0, heard)

    def total(self, work: Callable[..., Any], *columns: Sequence[Any], common: tuple[Any, ...] = ()) -> Any:
        """The sum of what work returns of each item, tuples member by member."""
        whole: Any = None
        for part in self._run("total", work, columns, common, 0, None):
            whole = _sum(whole, part)
        return whole

    def _run(
        self,
        kind: str,
        work: Callable[..., Any],
        columns: tuple[Sequence[Any], ...],
        common: tuple[Any, ...],
        batch: int,
        heard: Callable[[int, Any], None] | None,
    ) -> list[Any]:
        """Answers of items in their order, of "total" one of each hand."""
        tasks: list[list[Task]] = []
        for i in range(len(self._hands)):
            jobs = [(k, tuple(c[k] for c in columns)) for k in range(i, self._count, len(self._hands))]
            size = batch or max(len(jobs), 1)
            tasks.append([Task(kind, work, common, jobs[j : j + size]) for j in range(0, len(jobs), size)])
        answers: list[Any] = [None] * self._count
        totals: list[Any] = []

        def take(task: Task, answer: Any) -> None:
            if kind == "total":
                totals.append(answer)
            for (k, _), one in zip(task.jobs, answer if kind == "each" else (), strict=False):
                answers[k] = one
                if heard is not None:
                    heard(k, one)

        if len(self._hands) == 1:
            for task in tasks[0]:
                take(task, self._hands[0].do(task))
        else:
            self._side_by_side(tasks, take)
        return totals if kind == "total" else answers

    def _side_by_side(self, tasks: list[list[Task]], take: Callable[[Task, Any], None]) -> None:
        """Each hand by a thread of its own; what they answer is taken in this one, which Ctrl-C reaches."""
        inbox: queue.SimpleQueue[tuple[Task | None, Any, BaseException | None]] = queue.SimpleQueue()
        silent = threading.Event()

        def drive(hand: Hand, mine: list[Task]) -> None:
            try:
                for task in mine:
                    if silent.is_set():
                        break
                    inbox.put((task, hand.do(task), None))
                inbox.put((None, None, None))
            except BaseException as error:
                inbox.put((None, None, error))

        for hand, mine in zip(self._hands, tasks, strict=True):
            # with the context, in which warnings may be silent
            there = contextvars.copy_context()
            threading.Thread(target=there.run, args=(drive, hand, mine), daemon=True).start()
        left, failure = len(self._hands), None
        try:
            while left:
                task, answer, error = inbox.get()
                if task is not None:
                    take(task, answer)
                    continue
                left -= 1
                if isinstance(error, WorkerLost):
                    raise error
                if error is not None and failure is None:
                    failure = error
                    silent.set()
        except BaseException:
            silent.set()
            raise
        if failure is not None:
            raise failure


def _itself(item: T) -> T:
    return item

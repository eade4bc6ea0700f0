"""What every command shares: messages on stderr, warnings as lines, progress bars, exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ..base.errors import InputError, NbraggError, NbraggWarning

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "bar",
    "busy",
    "complain",
    "guarded",
    "progress_bar",
    "warnings_as_lines",
]

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

#: seconds before a bar appears: what is done sooner needs none
_DELAY = 0.2


def complain(program: str, kind: str, message: object) -> None:
    """One line on stderr."""
    print(f"{program}: {kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_as_lines(program: str) -> Iterator[None]:
    """Show each different NbraggWarning once, as one line on stderr."""
    shown = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, NbraggWarning):
                usual(message, category, *rest, **more)
            elif str(message) not in shown:
                shown.add(str(message))
                complain(program, "warning", message)

        warnings.simplefilter("always", NbraggWarning)
        warnings.showwarning = show
        yield


def bar(**options: Any) -> tqdm[NoReturn]:
    """A tqdm bar on stderr, which is a terminal."""
    from tqdm import tqdm

    # a terminal that does not tell its size says 0 x 0, where no bar would be drawn
    known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    columns, rows = (None, None) if known else (80, 24)
    return tqdm(leave=False, ncols=columns, nrows=rows, **options)


@contextlib.contextmanager
def progress_bar(
    total: int, unit: str, *, wanted: bool = True, description: str | None = None
) -> Iterator[Callable[[float], None] | None]:
    """A callback that moves a bar on a terminal's stderr, shown after a moment; None elsewhere.

    Parameters
    ----------
    total : int
        What the fraction 1 stands for.
    unit : str
        Of ``total``, for the rate.
    wanted : bool
        False: no bar.
    description : str, optional
        Stands before the bar.
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    with bar(total=total, unit=unit, unit_scale=True, desc=description, delay=_DELAY) as shown:

        def move(fraction: float) -> None:
            shown.update(int(fraction * total) - shown.n)

        yield move


def guarded(program: str, action: Callable[[], int]) -> int:
    """Run a command: warnings as lines, errors as one line and the exit status that belongs to them."""
    try:
        with warnings_as_lines(program):
            return action()
    except InputError as error:
        complain(program, "error", error)
        return BAD_INPUT
    except KeyboardInterrupt:
        complain(program, "interrupted", "nothing was written")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of the report went away: nothing more can be said to it, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (NbraggError, OSError) as error:
        complain(program, "error", error)
        return BAD_INPUT
    except MemoryError:
        complain(program, "error", "out of memory; use a smaller image or list")
        return FAILED


@contextlib.contextmanager
def busy(description: str) -> Iterator[None]:
    """On a terminal, a line with the time that the block has taken so far, once it has taken a second."""
    if not sys.stderr.isatty():
        yield
        return
    import threading

    done = threading.Event()

    def tick() -> None:
        if done.wait(1.0):
            return
        with bar(desc=description, bar_format="{desc} {elapsed}") as line:
            while not done.wait(0.5):
                line.refresh()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()

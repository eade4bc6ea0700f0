"""How much memory is left, asked before anything large is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import MemoryLimitError

__all__ = ["available_bytes", "readable", "require"]

# requests below this are granted without asking the system
_ALWAYS_GRANTED = 16 * 2**20


def _first_number(path: str, key: str = "") -> int | None:
    """The first whole number on the first line of a file that starts with ``key``; None if there is none."""
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                words = [word for word in line[len(key) :].replace(":", " ").split() if word.isdigit()]
                return int(words[0]) if words else None
    except OSError:
        pass
    return None


def _free_in_machine() -> int | None:
    kilobytes = _first_number("/proc/meminfo", "MemAvailable")
    if kilobytes is not None:
        return kilobytes * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _free_in_control_group() -> int | None:
    limit = _first_number("/sys/fs/cgroup/memory.max")
    used = _first_number("/sys/fs/cgroup/memory.current")
    if limit is None or used is None:
        return None
    # file pages that the kernel drops when memory is wanted are counted as used
    droppable = _first_number("/sys/fs/cgroup/memory.stat", "inactive_file") or 0
    return max(limit - used + droppable, 0)


def _free_address_space() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _first_number("/proc/self/statm")
    if limit == resource.RLIM_INFINITY or pages is None:
        return None
    return max(int(limit) - pages * os.sysconf("SC_PAGE_SIZE"), 0)


def available_bytes() -> int | None:
    """Bytes still to be had: the least of machine, control group and address space; None if unknown."""
    free = [_free_in_machine(), _free_in_control_group(), _free_address_space()]
    known = [n for n in free if n is not None]
    return min(known) if known else None


def readable(nbytes: int) -> str:
    """A number of bytes for a message: ``readable(3_200_000_000)`` is ``'3.2 GB'``."""
    for size, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if nbytes >= size:
            return f"{nbytes / size:.3g} {unit}"
    return f"{nbytes} bytes"


def require(nbytes: int, what: str, remedy: str) -> None:
    """Refuse a request that cannot be met.

    Raises
    ------
    MemoryLimitError
        Naming ``what``, the size needed, the size available and the ``remedy``.
    """
    if nbytes < _ALWAYS_GRANTED:
        return
    free = available_bytes()
    if free is not None and nbytes > free:
        raise MemoryLimitError(
            f"{what} needs {readable(nbytes)} of memory, {readable(free)} are available: {remedy}"
        )

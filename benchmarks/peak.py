"""Wall time and peak memory of a command, as one line of JSON: ``python -S benchmarks/peak.py COMMAND ...``.

A small process of its own: Linux counts what a parent held when it started a command as the command's own,
so a benchmark program with images in memory cannot ask for itself.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(command: list[str]) -> None:
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            out = os.open(os.devnull, os.O_WRONLY)
            os.dup2(out, 1)
            os.execvp(command[0], command)
        except OSError:
            os._exit(127)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    # ru_maxrss is in KiB on Linux, in bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps({"seconds": seconds, "peak_MB": usage.ru_maxrss * unit / 1e6, "status": code}))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Data sets made while workers are killed, their memory, and records of a million shards.

    python -m benchmarks.dataset_faults --images 20000 --seconds 3 --out FILE

Stills of 64 x 64 pixels are made undisturbed; then by processes of which one is killed every few seconds;
then with the command killed and begun again with another number of workers; then by a Dask cluster of two
processes over TCP whose workers are killed.  Pixels, labels, tables have to be the same bytes.  ``--quick``
only shows that it works.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nbragg
from nbragg.dataset.manifest import PER_FOLDER, Head, Ledger, Manifest, Record
from nbragg.dataset.recipe import DatasetRecipe
from nbragg.dataset.resume import lay_out
from nbragg.dataset.table import PART, read_table

from . import machine
from .datasets import recipe
from .stills import watch

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from nbragg.cli.tools import main; sys.exit(main())",
    "dataset",
    "make",
]


#: columns of numbers in the table of a million shards
NUMBERS = [f"crystal.number_{i}" for i in range(12)]


def small(images: int) -> DatasetRecipe:
    return recipe("plain", 64, images, "h5").replace(images_per_shard=50)


def digest(folder: Path) -> str:
    """Of the bytes of all shards, and of the rows of the table."""
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.glob("shards/*/*")):
        state.update(path.name.encode() + path.read_bytes())
    state.update(read_table(folder).to_csv(index=False).encode())
    return state.hexdigest()


def children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    return []


@contextlib.contextmanager
def killing(workers: Any, seconds: float) -> Iterator[list[int]]:
    """One of the processes that ``workers()`` names is killed every few seconds."""
    killed: list[int] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(seconds):
            there = workers()
            if there:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(there[len(killed) % len(there)], signal.SIGKILL)
                    killed.append(1)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def command(folder: Path, name: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "recipe.json", "-o", name, "--quiet", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def undisturbed(folder: Path) -> dict[str, Any]:
    """With the most memory of the command and of its workers, kB."""
    start = time.perf_counter()
    process = command(folder, "whole", "--workers", "2")
    peaks: dict[int, int] = {}
    threading.Thread(target=watch, args=(peaks, process.pid), daemon=True).start()
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(said)
    found = {"seconds": round(time.perf_counter() - start, 1), "digest": digest(folder / "whole")}
    own = peaks.pop(process.pid, 0)
    return found | {"parent_MB": round(own / 1024), "worker_MB": round(max(peaks.values(), default=0) / 1024)}


def by_processes(folder: Path, seconds: float) -> dict[str, Any]:
    start = time.perf_counter()
    runs = 0
    with contextlib.ExitStack() as stack:
        process: subprocess.Popen[str] | None = None
        killed = stack.enter_context(killing(lambda: children(process.pid) if process else [], seconds))
        status = 1
        while status:
            process = command(folder, "killed", "--workers", "2")
            _, said = process.communicate()
            status, runs = process.returncode, runs + 1
            if runs > 20:
                raise RuntimeError(said)
    return {"seconds": round(time.perf_counter() - start, 1), "workers_killed": len(killed), "runs": runs}


def changed(folder: Path, shards: int) -> dict[str, Any]:
    """One worker, killed with the command itself at a third; three, interrupted at two thirds; two."""
    name = "changed"

    def there() -> int:
        return len(list((folder / name).glob("shards/*/*")))

    for workers, part, how in ((1, 1 / 3, signal.SIGKILL), (3, 2 / 3, signal.SIGINT)):
        process = command(folder, name, "--workers", str(workers))
        while there() < part * shards and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(how)
        process.communicate()
    process = command(folder, name, "--workers", "2")
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(said)
    return {"workers": [1, 3, 2]}


def by_cluster(folder: Path, one: DatasetRecipe, seconds: float) -> dict[str, Any]:
    from dask import distributed

    dask: Any = distributed  # whose names have no types
    start = time.perf_counter()
    with (
        dask.LocalCluster(
            n_workers=2, threads_per_worker=1, protocol="tcp", dashboard_address=None
        ) as cluster,
        dask.Client(cluster) as client,
    ):

        def workers() -> list[int]:
            with contextlib.suppress(Exception):
                return list(client.run(os.getpid, on_error="ignore").values())
            return []

        with killing(workers, seconds) as killed:
            outcome = nbragg.make_dataset(one, one.images, folder / "cluster", scheduler=client)
            runs = 1
            while not outcome.ok and runs < 20:
                outcome, runs = (
                    nbragg.make_dataset(one, one.images, folder / "cluster", scheduler=client),
                    runs + 1,
                )
    return {"seconds": round(time.perf_counter() - start, 1), "workers_killed": len(killed), "runs": runs}


def table(folder: Path, shards: int) -> dict[str, Any]:
    """One image a shard, joined by folders as `make_dataset` leaves it: seconds to read and to ask."""
    import numpy as np

    from nbragg.base.optional import require

    pa, parquet = require("pyarrow"), require("pyarrow.parquet")
    draw = np.random.default_rng(1)
    for group in range(-(-shards // PER_FOLDER)):
        first = group * PER_FOLDER
        rows = min(PER_FOLDER, shards - first)
        columns: dict[str, Any] = {name: draw.random(rows) for name in NUMBERS}
        columns |= {"image": np.arange(first, first + rows), "spots": draw.integers(0, 900, rows)}
        parquet.write_table(pa.table(columns), folder / "table" / f"{group:04d}{PART}")
    start = time.perf_counter()
    whole = read_table(folder)
    read_s = time.perf_counter() - start
    start = time.perf_counter()
    some = read_table(folder, ["spots", NUMBERS[0]])
    asked = int(((some["spots"] > 300) & (some[NUMBERS[0]] > 0.9)).sum())
    asked_s = time.perf_counter() - start
    return {"rows": len(whole), "read_s": round(read_s, 3), "ask_s": round(asked_s, 3), "found": asked}


def million(folder: Path, shards: int) -> dict[str, Any]:
    """Records of shards without images: seconds to list them, to go on, to take a sample of them."""
    head = Head(
        recipe_digest="0" * 32, images=1000 * shards, images_per_shard=1000, format="h5", compression="gzip",
        label_images=(), versions={},
    )  # fmt: skip
    lay_out(folder, head, None, None)
    found: dict[str, Any] = {"shards": shards}

    def timed(name: str, start: float) -> None:
        found[name] = round(time.perf_counter() - start, 3)

    start = time.perf_counter()
    with Ledger(folder, head) as ledger:
        for k in range(shards - 7):
            ledger.add(Record(k, 1000, 123_456_789, f"{k:032x}"))
        timed("record_all_s", start)
        start = time.perf_counter()
        ledger.settle()
        timed("settle_s", start)
    start = time.perf_counter()
    manifest = Manifest.read(folder)
    listed = int(manifest.shards.images.sum())
    timed("list_s", start)
    start = time.perf_counter()
    with Ledger(folder, head) as ledger:
        missing = len(ledger.missing())
    timed("resume_s", start)
    start = time.perf_counter()
    sample = [manifest.shards.named(k).path for k in range(0, shards - 7, max(shards // 1000, 1))]
    timed("sample_of_1000_s", start)
    found |= {"images_listed": listed, "missing": missing, "sampled": len(sample)}
    found["table"] = table(folder, shards)
    return found | {"bytes": sum(path.stat().st_size for path in folder.glob("shards.*"))}


def under_faults(folder: Path, chosen: argparse.Namespace, found: dict[str, Any]) -> None:
    """Every way of being disturbed, against a run that was not."""
    one = small(chosen.images)
    one.save(folder / "recipe.json")
    found["undisturbed"] = undisturbed(folder)
    print(json.dumps(found["undisturbed"]), flush=True)
    shards = -(-chosen.images // one.images_per_shard)
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "killed": partial(by_processes, folder, chosen.seconds),
        "changed": partial(changed, folder, shards),
        "cluster": partial(by_cluster, folder, one, chosen.seconds),
    }
    for kind, run in runs.items():
        found[kind] = run()
        found[kind]["same_bytes"] = digest(folder / kind) == found["undisturbed"]["digest"]
        print(f"{kind}: {json.dumps(found[kind])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="between two kills")
    parser.add_argument("--shards", type=int, default=1_000_000, help="of the records alone")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", action="store_true", help="records and table alone")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.images, chosen.seconds, chosen.shards = 200, 5.0, 2000
    found: dict[str, Any] = {
        "machine": machine.describe(None),
        "images": chosen.images,
        "seconds": chosen.seconds,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not chosen.records:
            under_faults(folder, chosen, found)
        (folder / "records").mkdir()
        found["records"] = million(folder / "records", chosen.shards)
        print(json.dumps(found["records"]), flush=True)
    if chosen.out is not None:
        machine.save(chosen.out, found)


if __name__ == "__main__":
    main()

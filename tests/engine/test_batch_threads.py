"""Rendering from many threads and in forked processes: never a deadlock, always the same image.

Each test runs in a process of its own that is killed, and fails, when it does not end.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETUP = """
import multiprocessing, os, signal, sys, threading, time, warnings
import numpy as np
import nbragg
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor

def make(pixels=64, threads=2, domains=1):
    setup = nbragg.from_cli(f"-cell 70 80 90 75 85 95 -default_F 9 -N 5 -oversample 1 -detpixels {pixels} "
                            f"-mosaic 0.5 -mosaic_domains {domains}")
    return nbragg.Simulator(setup, nbragg.RenderOptions(threads=threads))

warnings.simplefilter("ignore")
turns = nbragg.random_orientations(12, seed=1)

def images(sim, n=12):
    return np.array([r.image for r in sim.render_many(orientations=turns[:n])])
"""


while_threads_allocate = pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="the sanitizer's malloc may be locked for ever in a child of a process whose threads allocate",
)


def run(code: str, timeout: float = 60, **environment: str) -> str:
    """What a process printed that ended in time and well."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_several_python_threads_at_once() -> None:
    out = run("""
sim = make()
expected = images(sim)
def work(i):
    mine = make(64 if i % 2 else 200)
    single = np.array_equal(sim.with_orientation(turns[i]).render().image, expected[i])
    return single and np.array_equal(images(sim), expected) and mine.render().image.any()
with ThreadPoolExecutor(8) as pool:
    print(all(pool.map(work, range(12))))
""")
    assert out.strip() == "True"


@pytest.mark.parametrize("pixels", [48, 200])
def test_forked_workers(pixels: int) -> None:
    """As a data loader does it: the parent renders, forks, and goes on rendering, as do its children."""
    out = run(f"""
sim = make({pixels})
expected = images(sim)
context = multiprocessing.get_context("fork")
def work(i):
    one = np.array_equal(sim.with_orientation(turns[i]).render().image, expected[i])
    return one and np.array_equal(images(sim), expected)
with context.Pool(3) as pool:
    futures = pool.map_async(work, range(12))
    mine = np.array_equal(images(sim), expected)
    print(mine and all(futures.get(40)))
""")
    assert out.strip() == "True"


@while_threads_allocate
def test_fork_while_other_threads_render() -> None:
    out = run("""
sim = make(100, domains=20)
expected = images(sim, 4)
stop = threading.Event()
def busy():
    while not stop.is_set():
        images(sim, 4)
threads = [threading.Thread(target=busy) for _ in range(2)]
for t in threads: t.start()
time.sleep(0.1)
fine = True
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(images(sim, 4), expected) else 1)
    fine &= os.waitpid(child, 0)[1] == 0
stop.set()
for t in threads: t.join()
print(fine)
""")
    assert out.strip() == "True"


@while_threads_allocate
def test_a_batch_cut_by_a_fork() -> None:
    """The child is told that it cannot go on with its parent's batch, and can begin its own."""
    out = run("""
sim = make(300, domains=50)
batch = sim.render_many(orientations=turns)
next(batch)
child = os.fork()
if child == 0:
    try:
        for _ in batch: pass
        os._exit(2)
    except nbragg.RenderError as error:
        assert "fork" in str(error)
    os._exit(0 if sim.render().image.any() else 1)
print(os.waitpid(child, 0)[1], len(list(batch)))
""")
    assert out.split() == ["0", "11"]


def test_interrupt_stops_a_batch() -> None:
    out = run("""
sim = make(1500, domains=300)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.perf_counter()
try:
    for _ in sim.render_many(orientations=turns): pass
    print("not stopped")
except KeyboardInterrupt:
    print("stopped", time.perf_counter() - start < 2.0)
print(make().render().image.any())
""")
    assert out.split() == ["stopped", "True", "True"]


def test_an_abandoned_batch_leaves_nothing_running() -> None:
    out = run("""
small = make(32, threads=1)
batch = small.render_many([{}, {"fpixels": 3000, "spixels": 3000, "mosaic_domains": 1000}, {}])
next(batch)
start = time.perf_counter()
batch.close()
print(time.perf_counter() - start < 1.0)
before = time.process_time(); time.sleep(0.3)
print(time.process_time() - before < 0.2, np.array_equal(images(small), images(small)))
""")
    assert out.split() == ["True", "True", "True"]


@pytest.mark.parametrize(("variable", "expected"), [("1", 1), ("3", 3)])
def test_omp_num_threads_is_honoured(variable: str, expected: int) -> None:
    out = run(
        """
sim = make(200, threads=None, domains=20)
tasks = "/proc/self/task"
before = len(os.listdir(tasks))
sim.render()
print(len(os.listdir(tasks)) - before)
from nbragg.engine.backend import RenderOptions
from nbragg.engine import cpu
print(cpu.thread_count(RenderOptions()), cpu.thread_count(RenderOptions(threads=2)))
""",
        OMP_NUM_THREADS=variable,
    )
    # the engine's own thread and the rest of its team
    assert out.split() == [str(expected), str(expected), "2"]


def test_idle_threads_end() -> None:
    out = run("""
from nbragg.engine import threads as engine_threads
engine_threads.IDLE_SECONDS = 0.1
images(make())
first = threading.active_count()
time.sleep(0.5)
print(first > 1, threading.active_count(), len(engine_threads._idle))
images(make())
""")
    assert out.split() == ["True", "1", "0"]

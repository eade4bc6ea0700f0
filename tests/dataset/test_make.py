"""Shards made, whatever happens to those who make them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pip install 'nanobragg[dataset]'")

from fake_dataset import FakeDataset, FakeRecipe, Here, one

from nbragg.base.errors import FileError, InputError, NbraggWarning
from nbragg.dataset import make as making
from nbragg.dataset import pool
from nbragg.dataset.make import Course, Stopped, make_dataset
from nbragg.dataset.manifest import Manifest
from nbragg.dataset.resume import discard, locked
from nbragg.dataset.table import read_table
from nbragg.dataset.verify import verify

FAILURES = (7, 33)
DATA = FakeDataset(bad=FAILURES)
#: images, in 21 shards
N = 103


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are made by this process."""
    monkeypatch.setattr(making, "Pool", Here)


def files(folder: Path) -> dict[str, bytes]:
    """What must be the same whoever made it."""
    paths = [*folder.glob("shards/*/*"), *folder.glob("table/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def left_over(folder: Path) -> list[Path]:
    return list((folder / "unfinished").iterdir())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("made") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "Pool", Here)
        make_dataset(DATA, N, folder)
    return files(folder)


# ---- what is made ----


def test_what_is_made(tmp_path: Path, here: None) -> None:
    courses: list[Course] = []
    said: list[str] = []
    folder = tmp_path / "deep" / "set"
    outcome = make_dataset(DATA, 43, folder, progress=courses.append, say=said.append)
    assert (outcome.images, outcome.shards, outcome.made, outcome.ok) == (41, 9, 43, False)
    assert outcome.failed == [
        {"image": i, "error": "InputError: no such image", "parameters": {"x": i / 2}} for i in FAILURES
    ]
    assert said[0] == "43 images in 9 shards of 5"
    last = courses[-1]
    assert (last.done, last.failed, last.shards_done, last.left_s) == (41, 2, 9, 0)
    assert last.bytes == outcome.bytes == sum(p.stat().st_size for p in folder.glob("shards/*/*"))
    manifest = Manifest.read(folder)
    assert manifest.head.complete and manifest.images == 43 and manifest.format == "fake"
    assert manifest.shards.images.tolist() == [5, 4, 5, 5, 5, 5, 4, 5, 3]
    table = read_table(folder)
    assert table["image"].tolist() == [i for i in range(43) if i not in FAILURES]
    assert table.loc[8, "x"] == 4 and table.loc[8, "name"] == "n8" and table.loc[10, "spots"] == 2
    assert not left_over(folder)
    before = files(folder)
    assert make_dataset(DATA, 43, folder, say=said.append).made == 0
    assert said[-1] == "43 images in 9 shards of 5; 9 are there" and files(folder) == before


def test_a_set_that_grows(tmp_path: Path, here: None, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "set"
    make_dataset(DATA, 43, folder)
    outcome = make_dataset(DATA, N, folder)
    assert outcome.made == N - 40 and files(folder) == undisturbed
    assert Manifest.read(folder).head.complete


def test_tables_are_joined_on_the_way(
    tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    """By folders of shards, here of 4; a run that ended before it joined them is no different."""
    from nbragg.dataset import manifest, resume, table

    for module in (manifest, resume, table):
        monkeypatch.setattr(module, "PER_FOLDER", 4)
    folder = tmp_path / "set"
    joined: list[int] = []

    def look(course: Course) -> None:
        joined.append(len(list(folder.glob("table/*.parquet"))))

    make_dataset(DATA, 43, folder, progress=look)
    assert 1 in joined and sorted(p.name for p in folder.glob("table/*")) == [
        "0000.parquet", "0001.parquet", "0002.parquet",
    ]  # fmt: skip
    assert read_table(folder)["image"].tolist() == [i for i in range(43) if i not in FAILURES]


# ---- bad input ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, "n must be a whole number from 1"),
        ({"n": -3}, "n must be a whole number from 1"),
        ({"n": None}, "does not say how many"),
        ({"format": "tiff"}, "format must be one of"),
        ({"compression": "zip9"}, "must be one of 'none'"),
        ({"images_per_shard": 0}, "images_per_shard"),
        ({"workers": 0}, "workers"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:9"}, "not both"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "no Dask scheduler answers"),
    ],
)
def test_bad_input_leaves_nothing(
    tmp_path: Path, given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbragg.dataset.cluster._CONNECT", 0.5)
    with pytest.raises(InputError, match=message):
        make_dataset(**{"dataset": DATA, "n": 40, "folder": tmp_path / "set", **given})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 42}, "is to hold 43 images, more than 42"),
        ({"format": "h5"}, "was begun with format 'fake', not 'h5': go on with --format fake"),
        ({"images_per_shard": 7}, "images_per_shard 5, not 7: go on with --shard-size 5"),
        ({"dataset": FakeDataset(FakeRecipe(digest="11" * 16))}, "images of another recipe"),
    ],
)
def test_another_set_in_the_folder(tmp_path: Path, here: None, given: dict[str, Any], message: str) -> None:
    folder = tmp_path / "set"
    make_dataset(DATA, 43, folder)
    before = files(folder)
    with pytest.raises(InputError, match=message):
        make_dataset(**{"dataset": DATA, "n": 43, "folder": folder, **given})
    assert files(folder) == before


def test_other_things_in_the_folder(tmp_path: Path, here: None) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"holds other things \(letter.txt\)"):
        make_dataset(DATA, 5, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    for name in ("letter.txt", "letter.txt/set"):
        with pytest.raises(InputError, match="is a file or below one"):
            make_dataset(DATA, 5, tmp_path / name)
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(FileError, match="Permission denied"):
            make_dataset(DATA, 5, tmp_path / "set")


def test_a_recipe_of_somebody_else_stays(tmp_path: Path, here: None) -> None:
    for names in (("recipe.json",), ("recipe.yaml", "lock"), ("recipe.yaml", "lock", "unfinished")):
        folder = tmp_path / str(len(names))
        folder.mkdir()
        for name in names:
            (folder / name).write_text("mine")
        with pytest.raises(InputError, match=f"holds other things .{names[0]}"):
            make_dataset(DATA, 5, folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_a_container_that_refuses_leaves_nothing(
    tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise InputError("such images cannot stand in one file")

    monkeypatch.setattr("fake_dataset._Writer.add", refuse)
    for folder in (tmp_path / "set", tmp_path):
        with pytest.raises(InputError, match="cannot stand in one file"):
            make_dataset(DATA, 5, folder)
        assert not list(tmp_path.iterdir())


def test_one_at_a_time(tmp_path: Path, here: None) -> None:
    make_dataset(DATA, 5, tmp_path)
    with locked(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()}"):
        make_dataset(DATA, 9, tmp_path)
    make_dataset(DATA, 9, tmp_path)  # a lock that is left is none


def test_other_versions(tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(DATA, 5, tmp_path)
    monkeypatch.setattr(making, "__version__", "99")
    with pytest.warns(NbraggWarning, match="begun with nanobragg .*than 99 does now"):
        make_dataset(DATA, 9, tmp_path)


# ---- workers that end ----


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[pool.Pool]:
    """Those that are used."""
    used: list[pool.Pool] = []

    class Spied(pool.Pool):
        def __init__(self, *given: Any) -> None:
            used.append(self)
            super().__init__(*given)

    monkeypatch.setattr(making, "Pool", Spied)
    return used


class Killer:
    """Kills one of some processes after every so many shards: progress of `make`."""

    def __init__(self, numbers: Callable[[], list[int]], every: int) -> None:
        self.killed = self.lost = 0
        self._numbers, self._every, self._next = numbers, every, every
        self._chance = random.Random(4)

    def __call__(self, course: Course) -> None:
        self.lost = course.lost
        if course.shards_done >= self._next:
            self._next = course.shards_done + self._every
            for number in self._chance.sample(self._numbers(), 1):
                os.kill(number, signal.SIGKILL)
                self.killed += 1


@pytest.mark.filterwarnings("ignore:a worker ended")
def test_workers_are_killed(tmp_path: Path, pools: list[pool.Pool], undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "set"
    slow = FakeDataset(bad=FAILURES, seconds=0.01)
    for n, workers in ((40, 1), (N, 2)):
        killer = Killer(lambda: pools[-1].numbers(), 3)
        make_dataset(slow, n, folder, workers=workers, progress=killer)
        assert killer.killed >= killer.lost >= 1
    assert files(folder) == undisturbed and not left_over(folder)


def test_a_shard_that_kills_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_TRIES", 2)
    data = FakeDataset(deadly=(7,))
    with pytest.warns(NbraggWarning, match="shard 1 is left out"):
        outcome = make_dataset(data, 23, tmp_path, workers=1)
    assert outcome.images == 18 and list(outcome.bad_shards) == [1] and not outcome.ok
    assert "2 workers ended at it: it was killed (signal 9)" in outcome.bad_shards[1]
    assert not Manifest.read(tmp_path).head.complete and not left_over(tmp_path)


def test_workers_that_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_STARTS", 2)
    monkeypatch.setattr("nbragg.base.processes._CODE", "raise SystemExit(3)")
    with pytest.raises(Stopped, match="workers end before they begin: exit status 3; 0 of 2 shards"):
        make_dataset(DATA, 10, tmp_path, workers=1)


def test_errors_that_nobody_expects(tmp_path: Path, here: None) -> None:
    with pytest.warns(NbraggWarning, match="shard 4 is left out: LookupError: image 22 is broken"):
        outcome = make_dataset(FakeDataset(broken=(22,)), 23, tmp_path / "one")
    assert outcome.images == 20 and list(outcome.bad_shards) == [4]
    with (
        pytest.warns(NbraggWarning, match="is left out"),
        pytest.raises(Stopped, match="no shard can be made: image"),
    ):
        make_dataset(FakeDataset(broken=tuple(range(50))), 50, tmp_path / "none")


# ---- the process that asks ends ----

_SCRIPT = """
import sys
from fake_dataset import FakeDataset
from nbragg.dataset.make import make_dataset
make_dataset(FakeDataset(bad=(7, 33), seconds=0.02), 103, sys.argv[1], workers=2)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that makes the set, and has made some of it."""
    folder = tmp_path / "set"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(folder)], env=environment, text=True, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        for _ in range(3000):
            if len(list(folder.glob("shards/*/*"))) > 6 or process.poll() is not None:
                break
            time.sleep(0.01)
        yield process
        process.kill()


@pytest.mark.filterwarnings("ignore:a worker ended")
def test_killed(
    tmp_path: Path, other: subprocess.Popen[str], here: None, undisturbed: dict[str, bytes]
) -> None:
    folder = tmp_path / "set"
    other.kill()
    other.wait()
    known = len(Manifest.read(folder).shards)
    assert 0 < known < 21
    # as if the records of the last had not been written
    log = folder / "shards.log"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]) + b'{"number":3')
    # and a shard had been written over in part
    sorted(folder.glob("shards/*/*"))[0].write_bytes(b"half")
    discard(folder, [0])
    (folder / "unfinished" / "123-000009.fake").write_bytes(b"half")
    deadline = time.monotonic() + 5
    while _alive(other.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(other.pid)
    outcome = make_dataset(DATA, N, folder)
    assert files(folder) == undisturbed and not left_over(folder)
    assert outcome.made < N - 5 * (known - 3)


def _alive(session: int) -> list[int]:
    """Processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[3]) == session:
            found.append(int(path.parent.name))
    return found


def test_interrupted(
    tmp_path: Path, other: subprocess.Popen[str], here: None, undisturbed: dict[str, bytes]
) -> None:
    """As a terminal does it: all processes are told."""
    folder = tmp_path / "set"
    os.killpg(other.pid, signal.SIGINT)
    assert other.stderr is not None
    text = other.stderr.read()
    other.wait()
    assert text.count("KeyboardInterrupt") == 1, text
    assert not _alive(other.pid) and not left_over(folder)
    make_dataset(DATA, N, folder)
    assert files(folder) == undisturbed


# ---- no space ----


def test_no_space(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "set"
    (tmp_path / "set.full").write_text("6")
    with pytest.raises(Stopped, match=r"no space left for .*: make space; [67] of 21 shards are there"):
        make_dataset(DATA, N, folder, workers=2)
    assert not left_over(folder) and verify(folder, dataset=DATA).damaged == {}
    (tmp_path / "set.full").unlink()
    make_dataset(DATA, N, folder, workers=1)
    assert files(folder) == undisturbed


@pytest.mark.parametrize("text", ["Can't write (errno = 28, error message = 'No space left on device')", ""])
def test_hdf5_tells_of_no_space_in_words(
    tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(text or "something else")

    monkeypatch.setattr("fake_dataset._Writer.add", fail)
    if text:
        with pytest.raises(Stopped, match="no space left"):
            make_dataset(DATA, 5, tmp_path)
    else:
        with pytest.warns(NbraggWarning, match="something else"):
            make_dataset(DATA, 5, tmp_path)


# ---- a cluster ----


@pytest.mark.filterwarnings("ignore:a worker ended")
def test_workers_of_a_cluster_are_killed(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    distributed = pytest.importorskip("dask.distributed", reason="pip install 'nanobragg[cluster]'")
    folder = tmp_path / "set"
    slow = FakeDataset(bad=FAILURES, seconds=0.02)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, protocol="tcp",
        silence_logs=50,
    ) as cluster:  # fmt: skip
        address = cluster.scheduler_address
        assert address.startswith("tcp://")

        def workers() -> list[int]:
            return [w.process.pid for w in cluster.workers.values() if w.process and w.process.pid]

        killer = Killer(workers, 6)
        make_dataset(slow, N, folder, scheduler=address, progress=killer)
        assert killer.killed >= 2 and files(folder) == undisturbed and not left_over(folder)
        # what a shard raises comes from there
        client = distributed.Client(address)
        with pytest.warns(NbraggWarning, match="LookupError: image 22"):
            outcome = make_dataset(FakeDataset(broken=(22,)), 23, tmp_path / "one", scheduler=client)
        assert list(outcome.bad_shards) == [4] and client.status == "running"
        client.close()


def test_the_scheduler_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("dask.distributed", reason="pip install 'nanobragg[cluster]'")
    monkeypatch.setattr("nbragg.dataset.cluster._RECONNECT", 0.5)
    monkeypatch.setattr("nbragg.dataset.cluster._LOOK", 0.1)
    folder = tmp_path / "set"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp",
        silence_logs=50,
    ) as cluster:  # fmt: skip

        def lose(course: Course) -> None:
            if course.shards_done == 3:
                cluster.close()

        with pytest.raises(Stopped, match=r"the Dask scheduler at tcp.* is lost; \d+ of 21 shards are there"):
            make_dataset(
                FakeDataset(seconds=0.01), N, folder, scheduler=cluster.scheduler_address, progress=lose
            )
    assert not left_over(folder)


def test_a_cluster_without_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waited for, said, and given up where there were some."""
    distributed = pytest.importorskip("dask.distributed", reason="pip install 'nanobragg[cluster]'")
    for name, seconds in (("_LOOK", 0.05), ("_ALONE", 0.2), ("_FORSAKEN", 0.6)):
        monkeypatch.setattr(f"nbragg.dataset.cluster.{name}", seconds)
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp",
        silence_logs=50,
    ) as cluster:  # fmt: skip
        begun = time.monotonic()

        def send(course: Course) -> None:
            """A worker comes late, and leaves."""
            if not cluster.workers and course.seconds > 1.0 and not course.made:
                cluster.scale(1)
            elif course.shards_done > 1:
                cluster.scale(0)

        with (
            pytest.warns(NbraggWarning, match="has no worker: waiting"),
            pytest.raises(Stopped, match=r"has had no worker for 0 min; \d+ of 21 shards are there"),
        ):
            make_dataset(
                FakeDataset(seconds=0.02), N, tmp_path, scheduler=cluster.scheduler_address, progress=send
            )
        assert time.monotonic() - begun > 1.5
    assert 1 < len(Manifest.read(tmp_path).shards) < 21


# ---- what is there is looked at ----


def test_verify(tmp_path: Path, here: None) -> None:
    make_dataset(DATA, 43, tmp_path)
    report = verify(tmp_path, dataset=DATA, images=200)
    assert report.ok and report.checked == 9 and len(report.compared) == 41 and report.failed == 2
    some = verify(tmp_path, dataset=DATA, images=3, shards=2, seed=5)
    assert some.ok and some.checked == 2 and len(some.compared) == 3
    assert some.compared != verify(tmp_path, dataset=DATA, images=3, seed=6).compared

    paths = sorted(tmp_path.glob("shards/*/*"))
    paths[0].unlink()
    content = bytearray(paths[2].read_bytes())
    content[-40] ^= 1
    paths[2].write_bytes(content)
    paths[3].write_bytes(paths[3].read_bytes()[:-1])
    report = verify(tmp_path, dataset=DATA, images=0)
    assert not report.ok and sorted(report.damaged) == [0, 2, 3]
    assert "No such file" in report.damaged[0] and "checksum" in report.damaged[2]
    assert "bytes" in report.damaged[3]
    discard(tmp_path, report.damaged)
    assert verify(tmp_path, dataset=DATA, images=0).missing == [0, 2, 3]
    make_dataset(DATA, 43, tmp_path)
    assert verify(tmp_path, dataset=DATA, images=200).ok


def test_verify_finds_what_differs(tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(DATA, 10, tmp_path)

    def other(i: int) -> Any:
        made = one(i)
        if i == 2:
            made.image[3, 4] += 1
        if i == 3:
            made.labels["U"][0, 0, 0] = np.nextafter(1, 2)
        if i == 4:
            made.labels["parameters"]["x"] += 1e-13
        return made

    monkeypatch.setattr("fake_dataset.one", other)
    report = verify(tmp_path, dataset=DATA)
    assert report.different == {2: ["image"], 3: ["U"], 4: ["parameters", "row of the table"]}

"""Images over processes and over a cluster: the same as here; faults, warnings."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Noise, Sampling, Setup, Simulator, StructureFactors
from nbragg.base import crew as crews
from nbragg.base import processes
from nbragg.base.crew import Crew
from nbragg.base.errors import FileError, InputError, NbraggWarning, RenderError
from nbragg.base.processes import hands
from nbragg.base.warn import said_before, warn
from nbragg.refinement.frame import Frame
from nbragg.refinement.spill import Slot

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(11)
FACTORS = StructureFactors(values=RANDOM.uniform(20, 200, (25, 25, 25)), origin=(-12, -12, -12))
NAMES = ["crystal.orientation", "crystal.cell", "beam.fluence"]


def stills(count: int, seed: int = 4) -> tuple[list[Setup], list[Array]]:
    """Starts and data."""
    truth = Setup(
        Crystal(structure_factors=FACTORS, cell=(60, 60, 40, 90, 90, 90), N=(9, 9, 14)),
        Beam(wavelength_A=1.2, fluence=3e27),
        Detector(distance_mm=90, pixel_mm=0.3, fpixels=80, spixels=70),
        Sampling(oversample=2),
        physics="exact",
    )
    starts, data = [], []
    for k, turn in enumerate(nbragg.random_orientations(count, seed=seed)):
        simulator = Simulator(truth.replace(orientation=turn))
        data.append(Noise().draw(simulator.render().image + 1, k).astype(np.float32))
        off = [0.1, -0.1, 0.05, 40.05]
        starts.append(simulator.moved(["crystal.rotation_deg", "crystal.cell.c"], off, fold=True).setup)
    return starts, data


@pytest.mark.parametrize("shared", [(), ("crystal.cell",)])
def test_as_here(shared: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    starts, data = stills(3)
    here = nbragg.refine(data, starts, NAMES, shared=shared, threads=1)
    monkeypatch.setattr(crews, "_AWAKE", 0)  # each image rests after each call
    resting = nbragg.refine(data, starts, NAMES, shared=shared, threads=1)
    assert np.array_equal(resting.values, here.values) and resting.history == here.history
    there = nbragg.refine(data, starts, NAMES, shared=shared, workers=2, threads=1)
    assert there.values == pytest.approx(here.values, rel=1e-9, abs=1e-9)
    assert there.sigma == pytest.approx(here.sigma, rel=1e-6)
    assert there.chi_square == pytest.approx(here.chi_square, rel=1e-9)
    assert there.converged and len(there.history) == len(here.history)
    assert there.chi_squares == pytest.approx(here.chi_squares, rel=1e-9)
    assert there.chi_squares[1] == pytest.approx(float(np.nanmean(there.residual(1) ** 2)), abs=0.15)
    assert all(s.crystal.structure_factors == FACTORS for s in there.setups)
    assert there.setups[0].crystal.structure_factors is there.setups[2].crystal.structure_factors


def test_amplitudes_as_here() -> None:
    starts, data = stills(3)
    given: dict[str, Any] = {"amplitudes": "P 4", "amplitude_prior": 0.3, "stages": "none", "threads": 1}
    here = nbragg.refine(data, starts, ["beam.fluence"], **given)
    there = nbragg.refine(data, starts, ["beam.fluence"], workers=2, **given)
    assert here.amplitudes is not None and there.amplitudes is not None
    assert pytest.approx(here.amplitudes.F, rel=1e-6) == there.amplitudes.F
    lines = [line for line in there.history if line.turn]
    assert [line.turn for line in lines] == list(range(1, len(lines) + 1))


def test_cluster() -> None:
    distributed = pytest.importorskip("dask.distributed", reason="pip install 'nanobragg[cluster]'")
    starts, data = stills(3)
    here = nbragg.refine(data, starts, NAMES, shared="crystal.cell", threads=1)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        for workers in (cluster.scheduler_address, cluster.get_client()):
            there = nbragg.refine(data, starts, NAMES, shared="crystal.cell", workers=workers, threads=1)
            assert there.values == pytest.approx(here.values, rel=1e-9, abs=1e-9)
            with pytest.raises(InputError, match=r"data\[1\] has the shape"):
                nbragg.refine([data[0], data[1][1:], data[2]], starts, NAMES, workers=workers, threads=1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        hands("tcp://127.0.0.1:9", 3)


def test_files_are_read_when_needed(folder: Path) -> None:
    """Paths and callables, with what the files say of themselves."""
    starts, data = stills(3)
    paths = []
    for k, image in enumerate(data):
        paths.append(folder / f"still_{k}.npy")
        np.save(paths[-1], image)
    here = nbragg.refine(data, starts, NAMES, threads=1)
    read = partial(nbragg.io.read_image, paths[2])
    for workers in (1, 2):
        given = [str(paths[0]), paths[1], read]
        there = nbragg.refine(given, starts, NAMES, workers=workers, threads=1)
        assert there.values == pytest.approx(here.values, rel=1e-9, abs=1e-9)
    image = data[0].copy()
    image[3, 4] = -1
    np.save(paths[0], image)
    one = nbragg.refine(paths[0], starts[0], NAMES, threads=1)
    assert one.left_out == ("1 below 0",) and np.isnan(one.residual()[3, 4])
    with pytest.raises(FileError, match="nowhere"):
        nbragg.refine([paths[0], "nowhere.npy", paths[2]], starts, NAMES, workers=2)


def test_masks_of_files_count_however_they_are_read(folder: Path) -> None:
    starts, data = stills(1)
    dead = np.zeros(data[0].shape, bool)
    dead[::9, ::7] = True
    image = np.where(dead, 500, data[0]).astype(np.int32)
    nbragg.io.save_image("m.nxs", image, scene=nbragg.build_scene(starts[0]), scale=1.0, dtype="int32")
    h5py = pytest.importorskip("h5py")
    with h5py.File("m.nxs", "r+") as file:
        file["entry/instrument/detector"]["pixel_mask"] = dead.astype(np.uint32)
    by_path = nbragg.refine("m.nxs", starts, NAMES, threads=1)
    assert by_path.left_out == (f"{dead.sum()} flagged in the file",)
    read = partial(nbragg.io.read_image, "m.nxs")
    for given in (read, read()):
        found = nbragg.refine(given, starts, NAMES, threads=1)
        assert np.array_equal(found.values, by_path.values) and found.left_out == by_path.left_out


def test_paths_of_stacks_and_panels(folder: Path) -> None:
    starts, data = stills(2)
    np.save("stack.npy", np.array(data))
    with pytest.raises(InputError, match=r"stack.npy holds 2 images: give each as functools.partial"):
        nbragg.refine("stack.npy", starts[0], NAMES)
    panels = [
        nbragg.Panel(
            origin_mm=(90, -12, 10.5 * k),
            fast=(0, 1, 0),
            slow=(0, 0, 1),
            fpixels=80,
            spixels=35,
            pixel_mm=0.3,
        )
        for k in (-1, 0)
    ]
    setup = starts[0].replace(detector=Detector(panels=panels))
    image = Simulator(setup).render().image
    np.save("panels.npy", Noise().draw(image + 1, 1).astype(np.int32))
    assert nbragg.refine("panels.npy", setup, NAMES, threads=1).chi_square == pytest.approx(1, abs=0.1)


def test_threads_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two refinements in one process, whose images rest all the time, have their own."""
    monkeypatch.setattr(crews, "_AWAKE", 0)
    starts, data = stills(4)
    alone = [nbragg.refine(data[i : i + 2], starts[i : i + 2], NAMES, threads=1) for i in (0, 2)]
    found: dict[int, Any] = {}

    def run(i: int) -> None:
        found[i] = nbragg.refine(data[i : i + 2], starts[i : i + 2], NAMES, threads=1)

    threads = [threading.Thread(target=run, args=(i,)) for i in (0, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(found[0].values, alone[0].values) and np.array_equal(
        found[2].values, alone[1].values
    )


def test_places_are_given_back() -> None:
    arrays = [np.arange(1000.0), np.zeros((0, 5)), np.ones((3, 4), bool)]
    first, second = Slot(arrays), Slot(arrays)
    for got, wanted in zip(second.read(), arrays, strict=True):
        assert np.array_equal(got, wanted) and got.dtype == wanted.dtype and got.shape == wanted.shape
    file = first._file
    end = file._end
    del first
    third = Slot(arrays)  # where the first was
    assert file._end == end and third._place < second._place
    assert np.array_equal(second.read()[0], arrays[0])
    del second, third
    last = Slot([np.zeros(1)])
    assert file._end <= end - 2 * 8012 + 8 and len(last.read()) == 1


def test_the_image_at_work_stays_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it is: what it has made is not made again."""
    monkeypatch.setattr(crews, "_AWAKE", 0)
    rests: list[int] = []
    monkeypatch.setattr(Frame, "rest", lambda frame: rests.append(1))
    starts, data = stills(1)
    nbragg.refine(data, starts, NAMES, threads=1)
    assert not rests


def test_images_rest_in_workers() -> None:
    starts, data = stills(4)
    here = nbragg.refine(data, starts, NAMES, shared="crystal.cell", threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbragg.base.processes._CODE", processes._CODE.replace(
            "; begin(", "; import nbragg.base.crew as c; c._AWAKE = 0; begin("
        ))  # fmt: skip
        there = nbragg.refine(data, starts, NAMES, shared="crystal.cell", workers=2, threads=1)
    assert there.values == pytest.approx(here.values, rel=1e-9, abs=1e-9)


def test_an_error_of_one_image_says_which() -> None:
    starts, data = stills(3)
    bounds = {"crystal.cell.c": (39.0, 41.0)}
    starts[1] = starts[1].replace(cell=(60, 60, 42, 90, 90, 90))
    for workers in (1, 2):
        with pytest.raises(InputError, match=r"data\[1\]: crystal.cell.c starts at 42"):
            nbragg.refine(data, starts, NAMES, bounds=bounds, workers=workers)


def test_progress_that_raises() -> None:
    def stop(line: Any) -> None:
        raise LookupError("enough")

    starts, data = stills(3)
    for workers in (1, 2):
        with pytest.raises(LookupError, match="enough"):
            nbragg.refine(data, starts, NAMES, workers=workers, progress=stop)


def test_readers_that_workers_cannot_find() -> None:
    starts, data = stills(2)
    with pytest.raises(InputError, match=r"workers cannot be sent this: .*; functions must be those"):
        nbragg.refine([lambda: data[0], data[1]], starts, NAMES, workers=2)


def test_progress_of_images_by_themselves() -> None:
    starts, data = stills(3)
    lines: list[Any] = []
    nbragg.refine(data, starts, NAMES, workers=2, threads=1, progress=lines.append)
    assert sorted(line.image for line in lines) == [1, 2, 3]
    assert all(line.stage == line.stages for line in lines)


def test_one_blank_image_does_not_stop_the_others() -> None:
    starts, data = stills(3)
    starts[1] = starts[1].replace(structure_factors=StructureFactors.constant(0))
    found = nbragg.refine(data, starts, NAMES, threads=1)
    assert np.isinf(found.sigma[1]).all() and np.isfinite(found.sigma[[0, 2]]).all()


# ---- the crew itself ----


def made(factor: int, k: int) -> list[int]:
    return [factor * k]


def first(item: list[int], plus: int, own: int) -> int:
    return item[0] + plus + own


def process(item: list[int]) -> int:
    return os.getpid()


def fails(item: list[int]) -> None:
    warn(f"item {item[0]}")
    raise InputError(f"item {item[0]} is bad")


def says(item: list[int]) -> None:
    warn("the same of all")


def sleeps(item: list[int]) -> None:
    time.sleep(60)


def the_constant(item: list[int], constant: Array) -> tuple[int, Array]:
    return id(constant), constant


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_crew(workers: int) -> None:
    constant = np.arange(5)
    with Crew(hands(workers, 5, [constant]), made, range(5), common=(10,)) as crew:
        heard: list[tuple[int, int]] = []
        took = crew.each(first, range(5), common=(1,), heard=lambda k, answer: heard.append((k, answer)))
        assert took == [1, 12, 23, 34, 45] and sorted(heard) == list(enumerate(took))
        assert crew.total(first, range(5), common=(1,)) == sum(took)
        assert len(set(crew.each(process))) == workers
        assert (workers > 1) == (os.getpid() not in crew.each(process))
        once = crew.each(the_constant, common=(constant,))
        assert len({number for number, _ in once}) <= workers
        assert all(one is constant for _, one in once)
        with pytest.raises(InputError, match=r"item \d+ is bad"):
            crew.each(fails)
        assert crew.each(first, range(5), common=(1,)) == took  # and it goes on
        with pytest.warns(NbraggWarning, match="the same of all"):
            crew.each(says)
        with said_before(), warnings.catch_warnings():
            warnings.simplefilter("error")
            crew.each(says)


def test_a_worker_that_is_killed() -> None:
    with Crew(hands(2, 2), made, range(2), common=(1,)) as crew:
        victim = crew.each(process)[0]
        threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
        with pytest.raises(RenderError, match=r"a worker process ended: it was killed \(signal 9\)"):
            crew.each(sleeps)
        crew.close(at_once=True)


def test_interrupted() -> None:
    """Ctrl-C ends the workers at once."""
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Crew(hands(2, 2), made, range(2), common=(1,)) as crew:
        pids = crew.each(process)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        crew.each(sleeps)
    assert time.monotonic() - begun < 20
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class Odd(Exception):
    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"{file}: {why}")


def oddly(item: list[int]) -> None:
    raise Odd("image_7.h5", "truncated")


class Local:
    def __reduce__(self) -> Any:
        raise TypeError("not to be sent")


def unsendable(item: list[int]) -> Local:
    return Local()


def test_what_cannot_be_sent() -> None:
    with (
        Crew(hands(2, 2), made, range(2), common=(1,)) as crew,
        pytest.raises(RuntimeError, match="cannot be sent: not to be sent"),
    ):
        crew.each(unsendable)
    with (
        Crew(hands(2, 2), made, range(2), common=(1,)) as crew,
        pytest.raises(RuntimeError, match=r"Odd: image_7\.h5: truncated") as caught,
    ):
        crew.each(oddly)
    assert "in oddly" in str(caught.value.__cause__)
    with pytest.raises(InputError, match="workers must be"):
        hands(0, 3)

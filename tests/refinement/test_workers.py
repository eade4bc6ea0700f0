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
from nbragg.base.crew import Crew
from nbragg.base.errors import FileError, InputError, NbraggWarning, RenderError
from nbragg.base.processes import hands
from nbragg.base.warn import said_before, warn

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
    assert there.chi_squares[1] == pytest.approx(float(np.nanmean(there.residual(1) ** 2)), rel=1e-9)
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
    with pytest.raises(InputError, match="workers must be"):
        hands(0, 3)

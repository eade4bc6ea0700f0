"""Data sets in PyTorch's loaders: every image once, in the same order for the same seed, from any worker."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from stored_sets import BAD, COUNT, SHARD, store

import nbragg
from nbragg.base.errors import InputError

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'nanobragg[torch]'")
Loader: Any = pytest.importorskip("torch.utils.data").DataLoader

THERE = [i for i in range(COUNT) if i not in BAD]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return nbragg.open_dataset(store(tmp_path_factory.mktemp("torch") / "set"), label_images="spots")


@pytest.fixture(scope="module")
def rendered() -> nbragg.Dataset:
    setup = {
        "crystal": {"cell": [70, 70, 90, 90, 90, 90], "structure_factors": {"default_F": 100}},
        "detector": {"fpixels": 24, "spixels": 16},
        "response": {"kind": "counting"},
    }
    made = {"images": 7, "output": {"images_per_shard": 2}, "labels": {"images": ["spots"]}}
    return nbragg.Dataset(
        {"nanobragg_dataset": 1, "setup": setup, "vary": {"orientation": "uniform"}, **made}
    )


def number(one: Any) -> int:
    return int(one.labels["image"])


def numbers(stream: Any, workers: int = 0) -> list[int]:
    return [int(i) for batch in Loader(stream, batch_size=4, num_workers=workers) for i in batch]


@pytest.mark.parametrize("workers", [0, 2])
def test_map_style(data: Any, workers: int) -> None:
    images = data.to_torch()
    assert len(images) == len(THERE)
    batches = list(Loader(images, batch_size=4, num_workers=workers))
    assert [i for batch in batches for i in batch["number"].tolist()] == THERE
    first = batches[0]
    assert first["image"].shape == first["spots"].shape == (4, 16, 24)
    assert first["image"].dtype == torch.int32 and first["spots"].dtype == torch.uint8
    np.testing.assert_array_equal(first["image"][3], data[3].image)
    np.testing.assert_array_equal(first["spots"][3], data[3].labels["images"]["spots"])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 2, 7])
def test_stream_has_each_once(data: Any, workers: int) -> None:
    stream = data.to_torch(iterable=True, transform=number)
    found = numbers(stream, workers)
    assert len(stream) == len(THERE) and sorted(found) == THERE
    if workers < 2:
        assert found == THERE
    few = data[8:12].to_torch(iterable=True, transform=number)
    assert sorted(numbers(few, workers)) == THERE[8:12]


def test_shuffled(data: Any) -> None:
    stream = data.to_torch(iterable=True, transform=number, shuffle=True, seed=3, buffer=4)
    for workers in (0, 2):
        stream.set_epoch(0)
        first = numbers(stream, workers)
        assert first == numbers(stream, workers) and sorted(first) == THERE != first
        stream.set_epoch(1)
        second = numbers(stream, workers)
        assert sorted(second) == THERE and second != first
    # shards are mixed with one another, not only within
    shards = [i // SHARD for i in first]
    assert sum(a != b for a, b in itertools.pairwise(shards)) > 6
    other = data.to_torch(iterable=True, transform=number, shuffle=True, seed=4, buffer=4)
    assert numbers(other) != numbers(stream)


def test_epoch_reaches_workers_that_live_on(data: Any) -> None:
    stream = data.to_torch(iterable=True, transform=number, shuffle=True)
    loader = Loader(stream, batch_size=1, num_workers=1, persistent_workers=True)
    epochs = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        epochs.append([int(i) for i in loader])
        assert epochs[-1] == numbers(stream)
    assert epochs[0] != epochs[1]


def test_parts(data: Any) -> None:
    """Of processes that train together each has its own images."""
    for shuffle in (False, True):
        options = {"iterable": True, "transform": number, "shuffle": shuffle}
        parts = [data.to_torch(part=(i, 3), **options) for i in range(3)]
        found = [numbers(part, 2) for part in parts]
        assert sorted(itertools.chain.from_iterable(found)) == THERE
        assert [len(part) for part in parts] == [len(one) for one in found]


@pytest.mark.parametrize("workers", [0, 2])
def test_rendered(rendered: nbragg.Dataset, workers: int) -> None:
    """The same interface without a file."""
    batches = list(Loader(rendered.to_torch(), batch_size=7, num_workers=workers))
    assert batches[0]["number"].tolist() == list(range(7))
    np.testing.assert_array_equal(batches[0]["image"][5], rendered[5].image)
    np.testing.assert_array_equal(batches[0]["spots"][5], rendered[5].labels["images"]["spots"])
    stream = rendered.to_torch(iterable=True, transform=number, shuffle=True, buffer=2)
    assert sorted(numbers(stream, workers)) == list(range(7)) and len(stream) == 7


def test_fresh(rendered: nbragg.Dataset, data: Any) -> None:
    stream = rendered.to_torch(iterable=True, transform=number, fresh=True)
    stream.set_epoch(2)
    assert numbers(stream) == list(range(14, 21))
    with pytest.raises(InputError, match="the same in every epoch"):
        data.to_torch(iterable=True, fresh=True)


def test_wide_numbers(rendered: nbragg.Dataset) -> None:
    """Unsigned numbers keep their values."""
    from nbragg.dataset.torch_data import tensors

    one = rendered[0]
    for dtype, wider in ((np.uint16, torch.int32), (np.uint32, torch.int64), (np.float32, torch.float32)):
        image = np.full((2, 2), 60_000, dtype)
        found = tensors(one._replace(image=image))["image"]
        assert found.dtype == wider and (found == 60_000).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": True}, "give iterable=True"),
        ({"iterable": True, "part": (3, 3)}, "part must be"),
        ({"iterable": True, "buffer": 0}, "buffer must be"),
        ({"iterable": True, "shuffle": "yes"}, "shuffle must be"),
    ],
)
def test_refused(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        data.to_torch(**options)

"""A stored data set: any image, any choice, from any process, and what is said of what is not there."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from pathlib import Path
from typing import Any

import made_images
import numpy as np
import pytest
from stored_sets import BAD, COUNT, SHARD, store

import nbragg
from nbragg.base.errors import FileError, InputError
from nbragg.dataset.reading import StoredDataset

THERE = [i for i in range(COUNT) if i not in BAD]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("stored") / "set")


def numbers(data: StoredDataset) -> list[int]:
    """As the images themselves tell."""
    found = [one.labels["image"] for one in data]
    assert found == data.numbers.tolist() and len(found) == len(data)
    return found


def test_every_image(folder: Path) -> None:
    with nbragg.open_dataset(folder, open_files=2) as data:
        assert len(data) == len(THERE) and numbers(data) == THERE
        for i in (20, 0, 7, -1, 5, 13):
            wanted = made_images.made(THERE[i], mask=THERE[i] > 9)
            np.testing.assert_array_equal(data[i].image, wanted.image)
            made_images.assert_same(data[i].labels, wanted.labels)
            np.testing.assert_array_equal(data.mask(i), wanted.mask)
        assert len(data._store._open) == 2
        for outside in (21, -22):
            with pytest.raises(IndexError, match="of 21"):
                data[outside]
    assert not data._store._open and data[3].labels["image"] == 3  # opened again


def test_label_images(folder: Path) -> None:
    assert list(nbragg.open_dataset(folder, label_images="spots")[2].labels["images"]) == ["spots"]
    assert not nbragg.open_dataset(folder, label_images=())[2].labels["images"]
    with pytest.raises(InputError, match=r"unknown 'spot'; did you mean 'spots'"):
        nbragg.open_dataset(folder, label_images=["spot"])
    with pytest.raises(InputError, match=r"has no 'background'; it has bragg, reflection, spots"):
        nbragg.open_dataset(folder, label_images="background")


def test_slices_and_shards(folder: Path) -> None:
    data = nbragg.open_dataset(folder, label_images=())
    assert numbers(data[3:9]) == THERE[3:9] and numbers(data[::-4]) == THERE[::-4]
    assert numbers(data[3:9][::2][1:]) == THERE[3:9][::2][1:]
    assert data.shards == 5
    by_shard = [[i for i in THERE if i // SHARD == k] for k in range(5)]
    assert [numbers(data.shard(k)) for k in range(5)] == by_shard
    few = data[8:12]
    assert [numbers(few.shard(k)) for k in range(few.shards)] == [[9], [10, 11, 12]]
    mixed = data.select([22, 3, 14, 0, 13])
    assert [numbers(mixed.shard(k)) for k in range(mixed.shards)] == [[3, 0], [14, 13], [22]]
    assert data[5:5].shards == data.select([]).shards == 0
    with pytest.raises(IndexError, match="shard 5 of 5"):
        data.shard(5)


def test_choices(folder: Path) -> None:
    data = nbragg.open_dataset(folder, label_images=())
    table = data.table
    assert table.index.tolist() == THERE
    assert table["count"].tolist() == [i * 10**12 for i in THERE]
    asked = data.select("blank and crystals == 2 and `beam.wavelength_A` > -9")
    assert numbers(asked) == [i for i in THERE if i % 2 == 0 and i % 3 == 2]
    assert numbers(data.select(~table["blank"])) == [i for i in THERE if i % 2]
    again = data[::2].select("image > 10")
    assert numbers(again) == [i for i in THERE[::2] if i > 10] == again.table.index.tolist()
    assert numbers(data.select([14, 7, 7])) == [14, 7, 7] == data.select([14, 7, 7]).table.index.tolist()
    assert [one.labels["image"] for one in data.stream([9, 1])] == [9, 1]
    assert data[::-1].table.index.tolist() == THERE[::-1]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("sharpness > 1", "name 'sharpness' is not defined; the table has image, "),
        ("crystals >", "select: 'crystals >'"),
        ("crystals + 1", "is no truth for each image"),
        ([True, False], "2 truths for 21 images"),
        ([0.5], "a question, truths or numbers"),
        ([3, 20], "image 20 is not in .*: it could not be made: InputError: no such image"),
        ([23], "which has images 0 to 22"),
        ([-1], "which has images 0 to 22"),
    ],
)
def test_no_such_choice(folder: Path, which: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nbragg.open_dataset(folder).select(which)


def test_choice_of_a_choice(folder: Path) -> None:
    few = nbragg.open_dataset(folder)[:4]
    assert numbers(few.select([2])) == [2]
    with pytest.raises(InputError, match="image 9 is not among the 4 chosen"):
        few.select([9])


def _sums(data: StoredDataset) -> list[int]:
    return [int(one.image.sum()) for one in data]


def test_elsewhere(folder: Path) -> None:
    """Pickled, after a fork with files open, and from threads that take turns."""
    data = nbragg.open_dataset(folder, label_images=(), open_files=1)
    wanted = _sums(data)
    assert _sums(pickle.loads(pickle.dumps(data))[2:]) == wanted[2:]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_sums, [data[i : i + 6] for i in range(0, 21, 6)], chunksize=1) == [
            wanted[i : i + 6] for i in range(0, 21, 6)
        ]
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(_sums(data))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [wanted] * 4


def test_damage(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no data set"):
        nbragg.open_dataset(tmp_path)
    folder = store(tmp_path / "set")
    data = nbragg.open_dataset(folder)
    data.manifest.shards[1].path.unlink()
    advice = "shard 1 of .*verify.*make with the same words as before"
    with pytest.raises(FileError, match=advice):
        data[5]
    third = data.manifest.shards[3].path
    third.write_bytes(third.read_bytes()[:3000])
    with pytest.raises(FileError, match=r"shard 3 of"):
        data.select([17])[0]
    data.manifest.shards[2].path.rename(third)
    with pytest.raises(FileError, match=r"shard 4 of .* holds 5 images, not 2"):
        third.rename(data.manifest.shards[4].path)
        data[-1]
    assert data[0].labels["image"] == 0


def test_grown_and_unfinished(folder: Path, tmp_path: Path) -> None:
    """Shards that are not there yet are no part of it."""
    small = store(tmp_path / "set")
    data = nbragg.open_dataset(small)
    from nbragg.dataset.resume import discard

    discard(small, [1])
    part = nbragg.open_dataset(small)
    assert numbers(part) == [i for i in THERE if i // SHARD != 1] and part.table.index.tolist() == numbers(
        part
    )
    with pytest.raises(
        InputError, match=r"image 7 is not in .*: its shard has not been made; nbragg dataset"
    ):
        part.select([7])
    assert len(data) == len(THERE)

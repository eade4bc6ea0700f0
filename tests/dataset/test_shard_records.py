"""Records of shards, and the table of images: whatever is stopped in whichever place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pip install 'nanobragg[dataset]'")

from nbragg.base.errors import FileError, InputError
from nbragg.dataset.manifest import LOG, SHARDS, UNFINISHED, Head, Ledger, Manifest, Record, shard_name
from nbragg.dataset.table import PART, merge, part_record, read_rows, read_table, write_part

HEAD = Head("ab" * 16, 24, 5, "h5", "none", ("spots",), {"numpy": "2"})
FAILED = {"image": 6, "error": "InputError: no", "parameters": {"x": 1.5}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / UNFINISHED).mkdir()
    HEAD.write(tmp_path)
    return tmp_path


def record(number: int, failed: int = 0) -> Record:
    count = len(HEAD.span(number))
    return Record(number, count - failed, 100 + number, f"{number + 1:032x}", (FAILED,) * failed)


def test_records_come_back(place: Path) -> None:
    with Ledger(place, HEAD) as ledger:
        for number in (3, 0, 1):
            ledger.add(record(number, failed=number == 1))
        assert ledger.missing().tolist() == [2, 4]
        assert (ledger.images, ledger.bytes, ledger.failed) == (14, 304, 1)
    for settled in (False, True):
        found = Manifest.read(place)
        assert found.head == HEAD and found.missing().tolist() == [2, 4]
        assert found.shards.numbers.tolist() == [0, 1, 3] and found.shards.images.tolist() == [5, 4, 5]
        shard = found.shards[1]
        assert shard == (1, place / "shards/0000/000001.h5", 4, (FAILED,), 101, f"{2:032x}")
        assert found.shards[-1].number == 3 and [s.number for s in found.shards[:2]] == [0, 1]
        assert list(found.shards.failures()) == [FAILED] and found.shards.failed == 1
        with pytest.raises(KeyError):
            found.shards.named(2)
        with Ledger(place, HEAD) as ledger:
            assert (ledger.images, ledger.bytes, ledger.failed) == (14, 304, 1)
            ledger.settle()
        assert (place / LOG).read_bytes() == b"" or not settled


def test_a_line_that_was_cut(place: Path) -> None:
    with Ledger(place, HEAD) as ledger:
        ledger.add(record(0))
        ledger.add(record(1))
    log = place / LOG
    log.write_bytes(log.read_bytes()[:-9])
    assert Manifest.read(place).shards.numbers.tolist() == [0]
    with Ledger(place, HEAD) as ledger:
        ledger.add(record(2))
    assert Manifest.read(place).shards.numbers.tolist() == [0, 2]
    log.write_bytes(b"{}\n" + log.read_bytes()[5:])
    with pytest.raises(FileError, match="damaged"):
        Manifest.read(place)


def test_stopped_between_the_two_files(place: Path) -> None:
    """Records that are in both, a shard that was dropped in the log among them."""
    with Ledger(place, HEAD) as ledger:
        ledger.add(record(0))
        ledger.add(record(4))
        ledger.drop(4)
        ledger.drop(4)
        before = (place / LOG).read_bytes()
        ledger.settle()
    (place / LOG).write_bytes(before)
    assert Manifest.read(place).shards.numbers.tolist() == [0]


def test_settles_by_itself(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbragg.dataset.manifest._LOG_LIMIT", 2)
    with Ledger(place, HEAD) as ledger:
        for number in range(5):
            ledger.add(record(number))
    assert len((place / LOG).read_bytes().splitlines()) == 1 and (place / SHARDS).exists()
    assert len(Manifest.read(place).shards) == 5


def test_a_larger_set(place: Path) -> None:
    """The last shard of the smaller one holds too few images."""
    with Ledger(place, HEAD) as ledger:
        for number in range(5):
            ledger.add(record(number, failed=number == 1))
        assert ledger.short() == []
        ledger.settle()
    with Ledger(place, replace(HEAD, images=31)) as ledger:
        assert ledger.short() == [4] and ledger.missing().tolist() == [5, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no data set"),
        ("nothing", "is not the manifest"),
        ("[1]", "is not the manifest"),
        ('{"nanobragg_dataset": 1}', "is not the manifest"),
        ('{"nanobragg_dataset": 9, "images": 4}', "of version 9"),
    ],
)
def test_no_manifest(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(FileError, match=message):
        Manifest.read(tmp_path)


def test_an_unknown_format(place: Path) -> None:
    path = place / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": "h9"}))
    with pytest.raises(FileError, match="unknown format 'h9'"):
        Manifest.read(place)


# ---- the table ----


def part(place: Path, number: int, **more: object) -> None:
    path = place / "table" / shard_name(number, PART)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"image": i, "x": i / 4, "name": f"n{i}", **more} for i in HEAD.span(number)]
    write_part(path, rows, record(number))


def test_table(place: Path) -> None:
    assert len(read_table(place)) == 0
    for number in (1, 0, 4):
        part(place, number, **({"y": 7} if number else {}))
    assert part_record(place / "table" / shard_name(4, PART)) == record(4)
    wanted = [*HEAD.span(0), *HEAD.span(1), *HEAD.span(4)]
    frame = read_table(place)
    assert frame["image"].tolist() == frame.index.tolist() == wanted
    assert frame["x"].tolist() == [i / 4 for i in wanted]
    assert frame["y"].isna().sum() == 5 and frame.loc[22, "name"] == "n22"
    merge(place, HEAD, 0)
    assert [p.name for p in (place / "table").iterdir()] == ["0000.parquet"]
    assert read_table(place).equals(frame)
    assert list(read_table(place, ["x"]).columns) == ["image", "x"]
    assert read_rows(place, [22, 11, 3]) == {
        3: {"image": 3, "x": 0.75, "name": "n3", "y": None},
        22: {"image": 22, "x": 5.5, "name": "n22", "y": 7},
    }
    with pytest.raises(InputError, match="no column 'nam'; did you mean 'name'"):
        read_table(place, ["nam"])
    with pytest.raises(FileError, match="no data set"):
        read_table(place / "table")


def test_a_part_is_newer_than_the_whole(place: Path) -> None:
    for number in (0, 1):
        part(place, number, y=1)
    merge(place, HEAD, 0)
    part(place, 1, y=2)
    part(place, 2, y="two")  # a word where numbers were
    frame = read_table(place)
    assert frame["y"].tolist() == ["1"] * 5 + ["2"] * 5 + ["two"] * 5
    assert read_rows(place, [2, 7])[7]["y"] == 2
    merge(place, HEAD, 0)
    merge(place, HEAD, 0)
    assert read_table(place).equals(frame)


def test_a_part_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "000001.parquet"
    assert part_record(path) is None
    path.write_bytes(b"PAR1 and nothing")
    assert part_record(path) is None

"""Numbers and words of every image of a data set, so that one can choose images without opening them.

``table/0012/012345.parquet`` holds the rows of a shard (`Labels.row`); when all shards of a folder of 1000
are there, and at the end, they become ``table/0012.parquet``.  A part that lies beside the file of its
folder is newer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import FileError, InputError
from ..base.names import suggestion
from ..base.optional import require
from ..io.files.atomic import place, sync
from .manifest import PER_FOLDER, UNFINISHED, Head, Record, shard_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PART", "merge", "part_record", "read_rows", "read_table", "write_part"]

#: suffix
PART = ".parquet"
_RECORD = b"nanobragg_shard"
_PURPOSE = "the table of a data set"


def _arrow() -> tuple[Any, Any]:
    return (
        require("pyarrow", extra="dataset", purpose=_PURPOSE),
        require("pyarrow.parquet", extra="dataset", purpose=_PURPOSE),
    )


def write_part(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], record: Record) -> None:
    """Write the rows of a shard, with the record of the shard in the file's metadata.

    Parameters
    ----------
    path : path-like
    rows : sequence of mapping
        One for each image; a name that some lack is empty there.
    record : Record
    """
    pa, parquet = _arrow()
    names = dict.fromkeys(["image", *(name for row in rows for name in row)])
    columns = {name: _column(pa, [row.get(name) for row in rows]) for name in names}
    columns["image"] = columns["image"].cast(pa.int64())
    table = pa.table(columns).replace_schema_metadata({_RECORD: record.text().encode()})
    parquet.write_table(table, path, compression="zstd")


def _column(pa: Any, values: list[Any]) -> Any:
    """What is neither a number, a word nor a list of them is written out."""
    values = [v.tolist() if isinstance(v, (np.generic, np.ndarray)) else v for v in values]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([_written(v) for v in values])


def _written(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)


def _together(tables: list[Any]) -> Any:
    """One below the other; where a column is of words here and of numbers there, it is of words."""
    pa, _ = _arrow()
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        types: dict[str, set[str]] = {}
        for table in tables:
            for one in table.schema:
                types.setdefault(one.name, set()).add("word" if pa.types.is_string(one.type) else "number")
        mixed = [name for name, found in types.items() if len(found) > 1]
        return pa.concat_tables([_worded(table, mixed) for table in tables], promote_options="permissive")


def _worded(table: Any, names: Sequence[str]) -> Any:
    pa, _ = _arrow()
    for i, name in enumerate(table.column_names):
        if name in names:
            words = pa.array([_written(v) for v in table[name].to_pylist()], pa.string())
            table = table.set_column(i, name, words)
    return table


def part_record(path: str | os.PathLike[str]) -> Record | None:
    """The record of the shard that a part belongs to; None where there is no whole part."""
    _, parquet = _arrow()
    try:
        metadata = parquet.read_metadata(path).metadata or {}
        return Record.of(json.loads(metadata[_RECORD]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def merge(folder: Path, head: Head, group: int) -> None:
    """Join the parts of a folder of shards; what is left of an earlier attempt does no harm."""
    _, parquet = _arrow()
    directory = folder / "table" / f"{group:04d}"
    numbers = _parts(directory)
    if numbers:
        table = _joined(folder, head, group, None)
        temporary = folder / UNFINISHED / f"{group:04d}{PART}"
        parquet.write_table(
            table.replace_schema_metadata(None), temporary, compression="zstd", row_group_size=100_000
        )
        place(temporary, directory.with_suffix(PART))
    if directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        sync(directory.parent)


def _parts(directory: Path) -> list[int]:
    """Numbers of the shards whose parts lie in a folder."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(int(name[: -len(PART)]) for name in names if re.fullmatch(r"\d+\.parquet", name))


def _joined(folder: Path, head: Head, group: int, columns: Sequence[str] | None) -> Any:
    """Rows of a folder of shards by rising number; of a shard that has a part those of the part."""
    pa, parquet = _arrow()
    directory = folder / "table" / f"{group:04d}"
    numbers = _parts(directory)
    whole = directory.with_suffix(PART)
    read = [folder / "table" / shard_name(number, PART) for number in numbers]
    tables = [_read(parquet, path, columns) for path in read]
    if whole.exists():
        before = _read(parquet, whole, columns)
        if numbers:
            shards = before["image"].to_numpy() // head.images_per_shard
            before = before.filter(pa.array(~np.isin(shards, numbers)))
        tables.insert(0, before)
    if not tables:
        return pa.table({"image": pa.array([], pa.int64())})
    table = _together(tables)
    return table.sort_by("image") if numbers else table


def _read(parquet: Any, path: Path, columns: Sequence[str] | None) -> Any:
    try:
        file = parquet.ParquetFile(path)
        chosen = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        return file.read(chosen).replace_schema_metadata(None)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {error}") from None


def _groups(folder: Path) -> list[int]:
    """Numbers of the folders of shards that have rows."""
    try:
        names = os.listdir(folder / "table")
    except FileNotFoundError:
        return []
    return sorted({int(name.split(".")[0]) for name in names if re.fullmatch(r"\d+(\.parquet)?", name)})


def _tables(folder: Path, head: Head, columns: Sequence[str] | None) -> Iterator[Any]:
    chosen = None if columns is None else list(dict.fromkeys(["image", *columns]))
    for group in _groups(folder):
        yield _joined(folder, head, group, chosen)


def read_table(folder: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table of a data set.

    Parameters
    ----------
    folder : path-like
        Of the data set, which need not be complete.
    columns : sequence of str, optional
        Only these, and ``image``: of a large set, what fits into memory.

    Returns
    -------
    pandas.DataFrame
        A row for each image that is there, by rising number, which is the index and the column ``image``.

    Raises
    ------
    InputError
        For a column that there is not.
    FileError
        The folder is no data set, or a file is damaged.
    MissingPackageError
        Without pyarrow or pandas.
    """
    pa, _ = _arrow()
    require("pandas", extra="dataset", purpose=_PURPOSE)
    place_ = Path(folder)
    head = Head.read(place_)
    tables = list(_tables(place_, head, columns))
    if not tables:
        tables = [pa.table({"image": pa.array([], pa.int64())})]
    table = _together(tables)
    _check_columns(columns, table.column_names, place_)
    frame: pd.DataFrame = table.to_pandas(self_destruct=True)
    indexed: pd.DataFrame = frame.set_index("image", drop=False)
    indexed.index.name = None
    return indexed


def _check_columns(columns: Sequence[str] | None, known: Sequence[str], folder: Path) -> None:
    for name in columns or ():
        if name not in known:
            # the columns that were read are few: the hint is of all
            _, parquet = _arrow()
            every: dict[str, None] = {}
            for path in sorted((folder / "table").rglob("*" + PART))[:1]:
                every.update(dict.fromkeys(parquet.read_schema(path).names))
            raise InputError(f"the table has no column {name!r}{suggestion(name, every)}")


def read_rows(folder: str | os.PathLike[str], images: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Rows of some images, by number; of images that are not there none.

    Raises
    ------
    FileError
    MissingPackageError
    """
    _, parquet = _arrow()
    place_ = Path(folder)
    head = Head.read(place_)
    wanted: dict[int, list[int]] = {}
    for image in sorted({int(i) for i in images}):
        wanted.setdefault(image // head.images_per_shard, []).append(image)
    found: dict[int, dict[str, Any]] = {}
    for number, numbers in wanted.items():
        path = place_ / "table" / shard_name(number, PART)
        if not path.exists():
            path = place_ / "table" / f"{number // PER_FOLDER:04d}{PART}"
        if not path.exists():
            continue
        try:
            # row groups whose limits hold none of them are not read
            rows = parquet.read_table(path, filters=[("image", "in", numbers)], use_threads=False)
        except (OSError, ValueError) as error:
            raise FileError(f"cannot read {path}: {error}") from None
        for row in rows.to_pylist():
            found[row["image"]] = row
    return found

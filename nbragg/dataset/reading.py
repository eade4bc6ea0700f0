"""A data set that lies in a folder: its images with their labels, its table, and choices among them."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.cached import cached_property
from ..base.errors import FileError, InputError
from ..base.names import suggestion
from ..simulation.labels import LABEL_IMAGES
from .containers.formats import ShardReader, reader
from .containers.made import Stored
from .manifest import Manifest
from .recipe import DatasetRecipe
from .resume import RECIPE
from .table import read_table

if TYPE_CHECKING:
    import pandas as pd

    from .torch_data import Images, ImageStream

__all__ = ["StoredDataset", "open_dataset"]

Positions = range | NDArray[np.int64]


def open_dataset(
    folder: str | os.PathLike[str],
    *,
    label_images: str | Iterable[str] | None = None,
    open_files: int = 16,
) -> StoredDataset:
    """Open a data set that ``nbragg dataset make`` made, or is making.

    Parameters
    ----------
    folder : path-like
    label_images : name or names, optional
        Label images that are read with each image; None: all that there are; (): none.
    open_files : int
        Shards that are kept open at once, at most.

    Returns
    -------
    StoredDataset

    Raises
    ------
    FileError
        The folder is no data set.
    InputError
        For a label image that it has not.
    MissingPackageError
        Without the packages of its format.

    Examples
    --------
    >>> import nbragg
    >>> with nbragg.open_dataset("stills") as data:  # doctest: +SKIP
    ...     image, labels = data[0]
    ...     sharp = data.select("spots > 100")
    """
    store = _Store(Manifest.read(folder), check.count("open_files", open_files))
    known = store.manifest.head.label_images
    names: tuple[str, ...] | None = None
    if label_images is not None:
        names = (label_images,) if isinstance(label_images, str) else tuple(label_images)
        for name in names:
            if name not in LABEL_IMAGES:
                raise InputError(f"label_images: unknown {name!r}{suggestion(name, LABEL_IMAGES)}")
            if name not in known:
                has = ", ".join(known) or "none"
                raise InputError(f"label_images: {os.fspath(folder)} has no {name!r}; it has {has}")
    return StoredDataset(store, range(len(store)), names)


class _Store:
    """Shards of a folder: which image lies where, and the readers that are open."""

    def __init__(self, manifest: Manifest, open_files: int) -> None:
        self.manifest, self._limit = manifest, open_files
        self.numbers = manifest.shards.numbers
        #: position of the first image of each shard, and the end
        self.starts = np.concatenate([[0], np.cumsum(manifest.shards.images, dtype=np.int64)])
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._open: OrderedDict[int, ShardReader] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"manifest": self.manifest, "_limit": self._limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _Store.__init__(self, state["manifest"], state["_limit"])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def shard_of(self, position: int) -> int:
        """Which of the shards that are there."""
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    def read(self, position: int, names: tuple[str, ...] | None) -> Stored:
        k = self.shard_of(position)
        with self._shard(k) as shard:
            return shard.read(position - int(self.starts[k]), names)

    def mask(self, position: int) -> NDArray[np.bool_] | None:
        k = self.shard_of(position)
        with self._shard(k) as shard:
            return shard.mask(position - int(self.starts[k]))

    def _shard(self, k: int) -> _InTurn:
        if self._process != os.getpid():
            self._begin()  # a fork: what is open belongs to the parent
        return _InTurn(self, k, self._lock)

    def reader(self, k: int) -> ShardReader:
        """Of the k-th shard, opened if it is not."""
        found = self._open.get(k)
        if found is None:
            while len(self._open) >= self._limit:
                self._open.popitem(last=False)[1].close()
            shard = self.manifest.shards[k]
            found = reader(self.manifest.format, str(shard.path))
            if len(found) != shard.images:
                held = len(found)
                found.close()
                raise FileError(f"{shard.path} holds {held} images, not {shard.images}")
            self._open[k] = found
        self._open.move_to_end(k)
        return found

    def drop(self, k: int) -> None:
        """Close a shard that could not be read."""
        found = self._open.pop(k, None)
        if found is not None:
            found.close()

    def close(self) -> None:
        while self._open and self._process == os.getpid():
            self._open.popitem()[1].close()

    def advice(self, k: int, error: FileError) -> FileError:
        """An error, with what to do."""
        folder = self.manifest.folder
        found = FileError(
            f"shard {int(self.numbers[k])} of {folder} cannot be read: {error}; nbragg dataset verify "
            f"{folder} finds every such shard, and nbragg dataset make with the same words as before makes "
            "again those that are missing"
        )
        found.errno = error.errno
        return found

    def image_numbers(self, positions: Positions) -> NDArray[np.int64]:
        """Numbers of images, by their positions."""
        wanted = np.asarray(positions, dtype=np.int64)
        shards = np.searchsorted(self.starts, wanted, side="right") - 1
        found = self.numbers[shards] * self.manifest.images_per_shard + wanted - self.starts[shards]
        for k in np.unique(shards[self._with_failures(shards)]):
            here = shards == k
            found[here] = self._held(int(k))[wanted[here] - self.starts[k]]
        return np.asarray(found)

    def _with_failures(self, shards: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.isin(shards, self._failing)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Of the images of these shards."""
        table = read_table(self.manifest.folder)
        there: pd.DataFrame = table[table.index.isin(self.image_numbers(range(len(self))))]
        return there

    @cached_property
    def _failing(self) -> NDArray[np.int64]:
        """Shards that hold less images than there are to be."""
        per_shard = self.manifest.images_per_shard
        sizes = np.minimum(self.manifest.images - self.numbers * per_shard, per_shard)
        return np.flatnonzero(self.manifest.shards.images < sizes)

    def _held(self, k: int) -> NDArray[np.int64]:
        """Numbers of the images in a shard."""
        shard = self.manifest.shards[k]
        failed = [one["image"] for one in shard.failed]
        span = np.asarray(self.manifest.head.span(shard.number), dtype=np.int64)
        return span[~np.isin(span, failed)][: shard.images]

    def positions(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of images by their numbers.

        Raises
        ------
        InputError
            For one that is not there.
        """
        number = images // self.manifest.images_per_shard
        k = np.searchsorted(self.numbers, number)
        there = (images >= 0) & (k < len(self.numbers))
        there[there] = self.numbers[k[there]] == number[there]
        found = np.full(len(images), -1, np.int64)
        found[there] = self.starts[k[there]] + images[there] % self.manifest.images_per_shard
        for one in np.unique(k[there & self._with_failures(k)]):
            here = there & (k == one)
            held = self._held(int(one))
            row = np.searchsorted(held, images[here])
            right = row < len(held)
            right[right] = held[row[right]] == images[here][right]
            found[here] = np.where(right, self.starts[one] + row, -1)
        inside = found < len(self)
        if (found < 0).any() or not inside.all():
            image = int(images[(found < 0) | ~inside][0])
            raise InputError(self._absent(image))
        return found

    def _absent(self, image: int) -> str:
        manifest = self.manifest
        what = f"image {image} is not in {manifest.folder}"
        if not 0 <= image < manifest.images:
            return f"{what}, which has images 0 to {manifest.images - 1}"
        for one in manifest.shards.failures():
            if one["image"] == image:
                return f"{what}: it could not be made: {one['error']}"
        return f"{what}: its shard has not been made; nbragg dataset make with the same words goes on"


class _InTurn:
    """A shard for one thread at a time; its errors tell what to do."""

    def __init__(self, store: _Store, k: int, lock: threading.RLock) -> None:
        self._store, self._k, self._lock = store, k, lock

    def __enter__(self) -> ShardReader:
        self._lock.acquire()
        try:
            return self._store.reader(self._k)
        except FileError as error:
            self._lock.release()
            raise self._store.advice(self._k, error) from error
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if isinstance(error, FileError):
                self._store.drop(self._k)
                raise self._store.advice(self._k, error) from error
        finally:
            self._lock.release()


class StoredDataset(Sequence[Stored]):
    """Images of a data set with their labels, read when they are asked for; `open_dataset` makes one.

    ``data[i]`` is the i-th image that is there, from the end for a negative number: an image that could not
    be made is left out, and ``data[i].labels["image"]`` is its number.  A slice, `select` and `shard` give a
    choice of the same kind, which shares the open files.  It can be pickled, and used after a fork: files are
    opened where they are needed.  Of several threads one reads at a time.

    Attributes
    ----------
    label_images : tuple of str or None
        Those that are read; None: all.
    """

    def __init__(self, store: _Store, positions: Positions, label_images: tuple[str, ...] | None) -> None:
        self._store, self._positions, self.label_images = store, positions, label_images

    def _choice(self, positions: Positions) -> StoredDataset:
        return StoredDataset(self._store, positions, self.label_images)

    @property
    def folder(self) -> Path:
        return self._store.manifest.folder

    @property
    def manifest(self) -> Manifest:
        """What the folder held when it was opened."""
        return self._store.manifest

    @cached_property
    def recipe(self) -> DatasetRecipe:
        """The recipe that it was made from."""
        return DatasetRecipe.load(self.folder / RECIPE)

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, i: int) -> Stored: ...
    @overload
    def __getitem__(self, i: slice) -> StoredDataset: ...
    def __getitem__(self, i: int | slice) -> Stored | StoredDataset:
        if isinstance(i, slice):
            return self._choice(self._positions[i])
        return self._store.read(self._position(i), self.label_images)

    def _position(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        return int(self._positions[i])

    def __iter__(self) -> Iterator[Stored]:
        for position in self._positions:
            yield self._store.read(int(position), self.label_images)

    def stream(self, images: Iterable[int] | None = None) -> Iterator[Stored]:
        """Images one after the other, as `Dataset.stream` renders them.

        Parameters
        ----------
        images : iterable of int, optional
            Their numbers; None: all.
        """
        return iter(self if images is None else self.select(list(images)))

    def mask(self, i: int) -> NDArray[np.bool_] | None:
        """True where a pixel of the i-th image counts, of the image's shape; None: everywhere."""
        return self._store.mask(self._position(i))

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Numbers of the images, shape (len,)."""
        return self._store.image_numbers(self._positions)

    # ---- by shard ----

    @cached_property
    def _parts(self) -> list[tuple[int, int]] | dict[int, NDArray[np.int64]]:
        """Spans of indices of a range, or indices by shard."""
        starts, positions = self._store.starts, self._positions
        if isinstance(positions, range) and positions.step == 1:
            if not positions:
                return []
            edges = np.clip(starts, positions.start, positions.stop) - positions.start
            return [(int(a), int(b)) for a, b in itertools.pairwise(edges) if a < b]
        shards = np.searchsorted(starts, np.asarray(positions, dtype=np.int64), side="right") - 1
        order = np.argsort(shards, kind="stable")
        known, first = np.unique(shards[order], return_index=True)
        return dict(zip(range(len(known)), np.split(order, first[1:]), strict=True)) if len(known) else {}

    @property
    def shards(self) -> int:
        """How many shards the images lie in."""
        return len(self._parts)

    def shard(self, k: int) -> StoredDataset:
        """Those images that lie in the k-th of their shards.

        Raises
        ------
        IndexError
        """
        if not 0 <= k < self.shards:
            raise IndexError(f"shard {k} of {self.shards}")
        part = self._parts[k]
        if isinstance(part, tuple):
            return self._choice(self._positions[part[0] : part[1]])
        return self._choice(np.asarray(self._positions, dtype=np.int64)[part])

    # ---- the table ----

    @property
    def table(self) -> pd.DataFrame:
        """Numbers and words of each image, one row for each, by rising number of the image: the index.

        Raises
        ------
        FileError
        MissingPackageError
            Without pandas and pyarrow.
        """
        whole: pd.DataFrame = self._store.table
        if isinstance(self._positions, range) and self._positions == range(len(whole)):
            return whole
        chosen: pd.DataFrame = whole.loc[self.numbers]
        return chosen

    def select(self, which: str | Iterable[Any]) -> StoredDataset:
        """A choice of images.

        Parameters
        ----------
        which : str, or sequence of bool, or sequence of int
            A question to the table in the words of `pandas.DataFrame.query`, names with a dot between
            backticks; or one truth for each image; or numbers of images, in their order.

        Returns
        -------
        StoredDataset

        Raises
        ------
        InputError
            For a question that the table cannot answer, or images that are not there.

        Examples
        --------
        >>> data.select("crystals == 1 and `beam.wavelength_A` < 1.0")  # doctest: +SKIP
        >>> data.select(data.table["spots"] > 100)  # doctest: +SKIP
        """
        if isinstance(which, str):
            which = self._asked(which)
        given = np.asarray(which if hasattr(which, "__len__") else list(which))
        if given.dtype == np.bool_:
            if given.shape != (len(self),):
                raise InputError(f"select: {len(given)} truths for {len(self)} images")
            index = np.flatnonzero(given)
            return self._choice(np.asarray(self._positions, dtype=np.int64)[index])
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise InputError(f"select: a question, truths or numbers of images were expected, not {which!r}")
        positions = self._store.positions(given.astype(np.int64))
        mine = self._positions
        outside = (
            ~np.isin(positions, np.asarray(mine, dtype=np.int64)) if len(mine) < len(self._store) else None
        )
        if outside is not None and outside.any():
            raise InputError(f"select: image {int(given[outside][0])} is not among the {len(self)} chosen")
        return self._choice(positions)

    def _asked(self, question: str) -> NDArray[np.bool_]:
        table = self.table
        try:
            answer = np.asarray(table.eval(question))
        except Exception as error:  # pandas raises many kinds for what it cannot read
            raise InputError(
                f"select: {question!r}: {error}; the table has {', '.join(map(str, table.columns))}; names "
                "with a dot stand between backticks"
            ) from None
        if answer.shape != (len(table),) or answer.dtype != np.bool_:
            raise InputError(f"select: {question!r} is no truth for each image")
        return answer

    # ---- torch ----

    def to_torch(self, *, iterable: bool = False, **options: Any) -> Images | ImageStream:
        """The images for PyTorch, as `nbragg.dataset.torch_data.to_torch`.

        Raises
        ------
        MissingPackageError
            Without torch.
        """
        from .torch_data import to_torch

        return to_torch(self, iterable=iterable, **options)

    def close(self) -> None:
        """Close the files that are open; they are opened again when they are needed."""
        self._store.close()

    def __enter__(self) -> StoredDataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"StoredDataset({self.folder}, {len(self)} images)"

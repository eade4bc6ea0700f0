"""Images of a data set for PyTorch, stored ones and those that are rendered when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..base.optional import require
from .containers.made import Made, Stored

if TYPE_CHECKING:
    from .dataset import Dataset
    from .reading import StoredDataset

__all__ = ["ImageStream", "Images", "to_torch"]

torch: Any = require("torch", extra="torch", purpose="data sets for PyTorch")
_data: Any = require("torch.utils.data", extra="torch")
_MapStyle: Any = _data.Dataset
_Iterable: Any = _data.IterableDataset

Transform = Callable[[Made | Stored], Any]

#: types of which PyTorch does little
_WIDER = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}


def tensors(one: Made | Stored) -> dict[str, Any]:
    """An image and its label images as tensors, of one shape for all images of a set.

    Returns
    -------
    dict
        ``image`` and the label images by their names, as tensors of the image's shape, unsigned numbers of
        16 bits and more as signed ones; ``number``: that of the image.
    """
    found = {"image": _tensor(one.image)}
    found |= {name: _tensor(image) for name, image in one.labels["images"].items()}
    return {**found, "number": one.labels["image"]}


def _tensor(array: NDArray[Any]) -> Any:
    wider = _WIDER.get(array.dtype.name)
    return torch.from_numpy(np.array(array) if wider is None else array.astype(wider))


def to_torch(
    source: StoredDataset | Dataset,
    *,
    iterable: bool = False,
    transform: Transform | None = None,
    shuffle: bool = False,
    seed: int = 0,
    buffer: int = 256,
    part: tuple[int, int] = (0, 1),
    fresh: bool = False,
) -> Images | ImageStream:
    """Images for a `torch.utils.data.DataLoader`.

    Parameters
    ----------
    source : StoredDataset or Dataset
        What is read, or what is rendered.
    iterable : bool
        False: an `Images`, of which the loader asks single images, in the order it likes.  True: an
        `ImageStream`, which reads shard after shard, and is the faster one where files are far away.
    transform : callable, optional
        Makes what is given of an image with its labels; None: `tensors`.
    shuffle : bool
        Of a stream: another order in each epoch (`ImageStream.set_epoch`), the same for the same seed.
    seed : int
        Of that order.
    buffer : int
        Of a shuffled stream: images that are held back, of which one after the other is taken by chance.
    part : (int, int)
        Of a stream: this process and how many there are, where several train together.
    fresh : bool
        Of a stream that is rendered: every epoch has images that were never seen before.

    Returns
    -------
    Images or ImageStream

    Raises
    ------
    InputError
    """
    if not iterable:
        if shuffle or fresh or tuple(part) != (0, 1):
            raise InputError(
                "shuffle, part and fresh are of a stream: give iterable=True, or leave it to the loader"
            )
        return Images(source, transform)
    return ImageStream(source, transform, shuffle=shuffle, seed=seed, buffer=buffer, part=part, fresh=fresh)


def _renders(source: Any) -> bool:
    return hasattr(source, "with_threads")


def _in_worker(source: Any) -> Any:
    """A source for a process that works beside others: a renderer of one thread."""
    if _renders(source) and _data.get_worker_info() is not None and source.options.threads != 1:
        return source.with_threads(1)
    return source


class Images(_MapStyle):  # type: ignore[misc]
    """Images by their index."""

    def __init__(self, source: StoredDataset | Dataset, transform: Transform | None = None) -> None:
        self.source, self.transform = source, transform or tensors

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Any:
        self.source = _in_worker(self.source)
        return self.transform(self.source[int(i)])


class ImageStream(_Iterable):  # type: ignore[misc]
    """Images one after the other; each worker of a loader takes shards of its own.

    Every image is there once in an epoch, whatever the number of workers and of parts; the order is the same
    for the same seed, epoch and number of workers.
    """

    def __init__(
        self,
        source: StoredDataset | Dataset,
        transform: Transform | None = None,
        *,
        shuffle: bool = False,
        seed: int = 0,
        buffer: int = 256,
        part: tuple[int, int] = (0, 1),
        fresh: bool = False,
    ) -> None:
        if fresh and not _renders(source):
            raise InputError("fresh=True: images that lie in a folder are the same in every epoch")
        self.source: Any = source
        self.transform = transform or tensors
        self.shuffle, self.fresh = check.flag("shuffle", shuffle), fresh
        self.seed, self.buffer = check.count("seed", seed, at_least=0), check.count("buffer", buffer)
        count = check.count("part", part[1])
        self.part = check.count("part", part[0], at_least=0, at_most=count - 1), count
        # shared with workers that live on
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Number of the epoch, from 0: decides the order, and the images of a fresh stream."""
        self._epoch[0] = check.count("epoch", epoch, at_least=0)

    def __len__(self) -> int:
        """Of this part, with one worker or many."""
        mine = range(self._count)[self.part[0] :: self.part[1]]
        return sum(len(self._shard(k)) for k in mine)

    @property
    def _count(self) -> int:
        if _renders(self.source):
            return -(-len(self.source) // int(self.source.recipe.images_per_shard))
        return int(self.source.shards)

    def _shard(self, k: int) -> Any:
        """Images, or their numbers where they are rendered."""
        if not _renders(self.source):
            return self.source.shard(k)
        size = self.source.recipe.images_per_shard
        return range(k * size, min((k + 1) * size, len(self.source)))

    def __iter__(self) -> Iterator[Any]:
        epoch = int(self._epoch[0])
        info = _data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        # parts first: each has the same shards, whatever its workers are
        mine = np.arange(self._count)[self.part[0] :: self.part[1]]
        if self.shuffle:
            mine = np.random.default_rng([self.seed, epoch, 0]).permutation(mine)
        images = self._images(mine[worker::workers], epoch)
        if self.shuffle:
            images = _mixed(images, self.buffer, np.random.default_rng([self.seed, epoch, 1, worker]))
        return map(self.transform, images)

    def _images(self, shards: NDArray[np.int64], epoch: int) -> Iterator[Made | Stored]:
        source = _in_worker(self.source)
        first = epoch * len(source) if self.fresh else 0
        for k in shards:
            shard = self._shard(int(k))
            order = np.arange(len(shard))
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch, 2, int(k)]).permutation(order)
            for i in order:
                one = shard[int(i)]
                yield source.make(first + one) if isinstance(one, int) else one


def _mixed(images: Iterator[Any], size: int, random: np.random.Generator) -> Iterator[Any]:
    """Each held back until chance takes it."""
    held: list[Any] = []
    for one in images:
        if len(held) < size:
            held.append(one)
            continue
        i = int(random.integers(size))
        held[i], one = one, held[i]
        yield one
    for i in random.permutation(len(held)):
        yield held[int(i)]

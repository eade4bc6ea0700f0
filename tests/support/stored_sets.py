"""Data sets in folders, of random images (`made_images`), made in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import made_images
import pytest
from fake_dataset import FakeRecipe, Here

from nbragg.dataset import make as making
from nbragg.dataset.containers.made import Failed, Made

COUNT, SHARD = 23, 5
#: images that could not be made
BAD = (6, 20)


@dataclass(frozen=True)
class Source:
    recipe: FakeRecipe = field(
        default_factory=lambda: FakeRecipe(
            images_per_shard=SHARD, label_images=("bragg", "reflection", "spots"), format="h5"
        )
    )

    def made(self, numbers: Iterable[int]) -> Iterator[Made | Failed]:
        for i in numbers:
            yield Failed(i, "InputError: no such image", {}) if i in BAD else made_images.made(i, mask=i > 9)


def store(folder: Path, **options: Any) -> Path:
    """Images 0 to 22 but 6 and 20, in five shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "Pool", Here)
        making.make_dataset(Source(), COUNT, folder, compression="gzip", **options)
    return folder

"""The random numbers of an image: by the seed, the number of the image, and what they are for (beyond 13)."""

from __future__ import annotations

import zlib

import numpy as np

from .. import _engine

__all__ = ["ORIENTATION", "STAGES", "Chance"]

#: record and field -> stage of the generator; all others have the last
STAGES = {
    "mosaic": 17,
    "crystal.cell": 18,
    "crystal.N": 19,
    "beam.spectrum": 20,
    "lattices": 21,
    "detector.centre": 22,
    "detector.shift_mm": 22,
    "detector.Xbeam_mm": 22,
    "detector.Ybeam_mm": 22,
}
_OTHERS = 23
ORIENTATION = 16


class Chance:
    """The random numbers of one image.

    Parameters
    ----------
    seed, image : int
    """

    def __init__(self, seed: int, image: int) -> None:
        self.seed, self.image = seed, image

    def uniform(self, key: str, member: str = "") -> float:
        """0 < u < 1 for a key of the recipe, and a number of its group: no other draw changes it."""
        place = np.array([zlib.crc32(f"{key}/{member}".encode())], np.uint64)
        stage = STAGES.get(key, _OTHERS)
        return float(_engine.deviates("uniform", self.seed, self.image, stage, place)[0])

"""Which reflection's light a pixel has, where it is that of one."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inverse.places import positions

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["reflections_seen"]

Array = NDArray[np.float64]


def reflections_seen(scene: Scene, at: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The place in the list of the one reflection that a pixel sees, -1 where it sees several or none.

    Parameters
    ----------
    scene : Scene
    at : ndarray of int (n,)
        Image indices.

    Returns
    -------
    ndarray of int (n,) or None
        Seen from all corners of the pixel with the ends of sources and orientations.  None: of several
        crystals, or lists.
    """
    table = scene.tables[0]
    if len(scene.crystals) > 1 or len(scene.tables) > 1 or table.values is None:
        return None
    abc, sources = scene.crystals[0].orientations, scene.sources
    ends = {int(np.argmin(sources.wavelength)), int(np.argmax(sources.wavelength)), 0, len(sources) - 1}
    turned = [abc[i] for i in {0, len(abc) // 2, len(abc) - 1}]
    found, pure = None, np.ones(len(at), bool)
    for fast, slow in product((-0.5, 0.5), repeat=2):
        d = positions(scene, at, (fast, slow))
        d /= np.linalg.norm(d, axis=1)[:, np.newaxis]
        for i, rows in product(ends, turned):
            hkl = np.rint((d - sources.incident[i]) / float(sources.wavelength[i]) @ rows.T).astype(np.int64)
            found = hkl if found is None else found
            pure &= (hkl == found).all(axis=1)
    assert found is not None
    index = found - np.array(table.origin)
    pure &= ((index >= 0) & (index < np.array(table.values.shape))).all(axis=1)
    place = np.ravel_multi_index(tuple(np.where(pure[:, np.newaxis], index, 0).T), table.values.shape)
    return np.where(pure, place, -1)

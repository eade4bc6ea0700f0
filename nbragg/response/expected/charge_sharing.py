"""Charge that is shared between the pixels of a counting detector (beyond 14.4)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ...base.vectors import FloatArray
from .kernels import pixel_edges_um

if TYPE_CHECKING:
    from ...model.response import DetectorResponse

__all__ = ["shared", "threshold_response"]

#: places of a photon along each edge of its pixel
_PLACES = 64


def threshold_response(
    response: DetectorResponse, pixel_um: float | tuple[float, float] | None
) -> FloatArray:
    """Where photons are counted of which the charge is shared.

    The cloud of charge is a Gaussian around the photon, which falls anywhere in its pixel (64 x 64 places).
    A pixel counts the photon where it collects more than ``threshold`` of the charge: above one half at most
    one does, and photons at corners are lost; below, neighbours count the same photon.

    Parameters
    ----------
    response : DetectorResponse
        Its ``charge_sigma_um`` and ``threshold``.
    pixel_um : float or (fast, slow)
        Pixel edges, micrometre.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        Counts of the pixels around, (slow, fast), for a photon in the middle one.

    Raises
    ------
    InputError
        For pixel edges that are not above 0.

    Examples
    --------
    >>> import nbragg
    >>> from nbragg.response.expected.charge_sharing import threshold_response
    >>> eiger = nbragg.DetectorResponse(kind="counting", charge_sigma_um=8)
    >>> print(threshold_response(eiger, 75).round(4))
    [[0.     0.     0.    ]
     [0.     0.9629 0.    ]
     [0.     0.     0.    ]]
    """
    fast, slow = pixel_edges_um(pixel_um)
    return _response(response.charge_sigma_um, response.threshold, slow, fast)


@lru_cache(maxsize=64)
def _response(sigma: float, threshold: float, slow_um: float, fast_um: float) -> FloatArray:
    if sigma == 0.0:
        alone = np.zeros((3, 3))
        alone[1, 1] = 1.0
        return alone
    slow, fast = _fractions(sigma / slow_um), _fractions(sigma / fast_um)
    # (neighbour along slow, along fast, place along slow, along fast)
    charge = slow[:, np.newaxis, :, np.newaxis] * fast[np.newaxis, :, np.newaxis, :]
    counted: FloatArray = (charge > threshold).mean(axis=(2, 3))
    counted.setflags(write=False)
    return counted


def _fractions(sigma: float) -> FloatArray:
    """Charge collected before, in and behind a pixel by the photon's place in it; ``sigma`` in pixels."""
    places = (np.arange(_PLACES) + 0.5) / _PLACES
    scale = 1.0 / (sigma * math.sqrt(2.0))
    edges = np.array([[math.erf((edge - place) * scale) for place in places] for edge in (-1, 0, 1, 2)])
    return 0.5 * np.diff(edges, axis=0)


def shared(image: FloatArray, response: DetectorResponse, pixel_um: tuple[float, float]) -> FloatArray:
    """Expected counts of expected photons, shape (slow, fast); its own transpose."""
    weights = threshold_response(response, pixel_um)
    rows, columns = image.shape
    room = np.zeros((rows + 2, columns + 2))
    room[1:-1, 1:-1] = image
    total = np.zeros(image.shape)
    for slow in range(3):
        for fast in range(3):
            if weights[slow, fast]:
                total += weights[slow, fast] * room[slow : slow + rows, fast : fast + columns]
    return total

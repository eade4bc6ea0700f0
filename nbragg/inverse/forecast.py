"""Fisher information of an image that was not yet taken (gradients 8.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from .information import Information, information_of
from .noise import checked_noise
from .places import BACKGROUNDS, background_basis

if TYPE_CHECKING:
    from ..scene.record import Scene
    from .linearization import Linearization
    from .noise import Noise

__all__ = ["information_in"]

Array = NDArray[np.float64]


def information_in(
    linear: Linearization,
    scene: Scene,
    noise: Noise | None,
    background: Any,
    free_background: str,
    priors: Mapping[str, float] | None,
    mask: Any,
) -> Information:
    """As `Linearization.information`."""
    if linear.of != "photons":
        raise InputError('information is of photons, whose noise is given: linearize(..., of="photons")')
    kind = check.choice("free_background", free_background, BACKGROUNDS)
    image = linear.image
    mean = image + _behind(background, image.shape)
    weights = checked_noise(noise).weights(mean)
    weights = np.where(_used(scene, mask), weights, 0.0)
    F = linear.gauss_newton(np.zeros(image.shape), weights).H
    basis = background_basis(kind, scene, np.arange(image.size))
    if len(basis):  # what is left when its coefficients are free
        w = weights.reshape(-1)
        mixed = np.array([list(linear.vjp((w * phi).reshape(image.shape)).values()) for phi in basis])
        F = F - mixed.T @ np.linalg.pinv((basis * w) @ basis.T) @ mixed
    return information_of((F + F.T) / 2, linear.parameters, linear.values, linear.units, priors)


def _behind(background: Any, shape: tuple[int, ...]) -> Array:
    given = np.asarray(background, np.float64)
    if given.shape not in ((), shape):
        raise InputError(f"background has the shape {given.shape}; the image has {shape}")
    if not (given >= 0).all() or not np.isfinite(given).all():
        raise InputError("background: photons a pixel are numbers from 0")
    return given


def _used(scene: Scene, mask: Any) -> NDArray[np.bool_]:
    rendered = scene.mask_image
    used = np.ones(scene.image_shape, bool) if rendered is None else rendered
    if mask is None:
        return used
    given = np.asarray(mask)
    if given.shape != scene.image_shape:
        raise InputError(f"mask has the shape {given.shape}; the image has {scene.image_shape}")
    return np.asarray(used & (given != 0))

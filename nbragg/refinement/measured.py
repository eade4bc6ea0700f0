"""Measured images as a refinement takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..inverse.noise import Noise
from ..model.setup import Setup
from ..scene.build import make_scene
from ..scene.record import Scene
from ..scene.stages import Stages

__all__ = ["checked_images"]


def checked_images(
    data: Any, start: Any, mask: Any, noise: Noise
) -> Iterator[tuple[Setup, NDArray[np.float64], NDArray[np.bool_]]]:
    """Set-up, pixels, and which of them count, of each image.

    Raises
    ------
    InputError
        As `refine`.
    """
    one = isinstance(start, Setup)
    setups = [start] if one else list(start) if isinstance(start, Iterable) else []
    if not setups or not all(isinstance(setup, Setup) for setup in setups):
        raise InputError("start takes a Setup, or a sequence of at least one")
    stages = Stages()
    scenes = [make_scene(setup, stages) for setup in setups]
    images = _images("data", data, scenes)
    if one and len(images) > 1:
        setups, scenes = setups * len(images), scenes * len(images)
    if len(images) != len(setups):
        raise InputError(
            f"{len(images)} images and {len(setups)} set-ups: give as many, or one set-up for all"
        )
    masks: Sequence[Any] = [None] * len(images) if mask is None else _images("mask", mask, scenes)
    if len(masks) not in (1, len(images)):
        raise InputError(f"{len(masks)} masks and {len(images)} images: give as many, or one for all")
    for k, (setup, scene, image) in enumerate(zip(setups, scenes, images, strict=True)):
        chosen = masks[k if len(masks) > 1 else 0]
        yield setup, np.array(image, np.float64), _used(k, len(images), scene, image, chosen, noise)


def _images(name: str, given: Any, scenes: Sequence[Scene]) -> list[NDArray[Any]]:
    """One array for each image."""
    shape = scenes[0].image_shape
    if isinstance(given, (list, tuple)) and not given:
        raise InputError(f"{name} holds no image")
    if given is None or isinstance(given, (str, bytes)):
        raise InputError(
            f"{name} takes the pixels of an image, nbragg.io.read_image(file) say, not {given!r}"
        )
    single = not isinstance(given, (list, tuple)) or np.ndim(given[0]) < len(shape)
    arrays = [np.asarray(given)] if single else [np.asarray(one) for one in given]
    if len(arrays) == 1 and arrays[0].ndim == len(shape) + 1:
        arrays = list(arrays[0])
    for k, array in enumerate(arrays):
        expected = scenes[min(k, len(scenes) - 1)].image_shape
        if array.shape != expected:
            which = f"{name}[{k}]" if len(arrays) > 1 else name
            raise InputError(
                f"{which} has the shape {array.shape}; the detector's image has the shape {expected}"
            )
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} holds {array.dtype}, not numbers")
    return arrays


def _used(k: int, of: int, scene: Scene, image: NDArray[Any], mask: Any, noise: Noise) -> NDArray[np.bool_]:
    name = f"data[{k}]" if of > 1 else "data"
    used = np.ones(image.shape, bool) if mask is None else np.asarray(mask) != 0
    if scene.mask_image is not None:
        used = used & scene.mask_image
    if not used.any():
        raise InputError(f"{name}: no pixel is left by the mask")
    lost = used & ~np.isfinite(image)
    if lost.any():
        raise InputError(
            f"{name}: {int(lost.sum())} pixels are not numbers, the first at "
            f"{scene.pixel_name(int(lost.argmax()))}: mask them, mask=np.isfinite(data)"
        )
    if not noise.gaussian:
        below = used & (image < (-6 * noise.readout if noise.readout else 0))
        if below.any():
            raise InputError(
                f"{name}: {int(below.sum())} pixels are too far below 0 for photons, the first at "
                f"{scene.pixel_name(int(below.argmax()))}: mask them, mask=data >= 0, or give the noise a "
                "readout or a gain"
            )
    return used

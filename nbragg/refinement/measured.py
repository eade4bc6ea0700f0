"""Measured images as a refinement takes them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..inverse.noise import Noise
from ..io.images import ImageFile
from ..io.images.left_out import flagged, masked_in_file
from ..model.setup import Setup
from ..scene.build import make_scene
from ..scene.record import Scene
from ..scene.stages import Stages
from .spill import Slot

__all__ = ["Loaded", "Source", "of_file", "paired", "with_one_list"]


#: that are compared with the next one
_LISTS = 4


class Loaded(NamedTuple):
    """An image as it is refined.

    Attributes
    ----------
    pixels : ndarray of float
        Photons, or units of the data less their offset where a gain is given.
    used : ndarray of bool
        Which of them count.
    said : str
        What is left out.
    """

    pixels: NDArray[np.float64]
    used: NDArray[np.bool_]
    said: str = ""


def of_file(content: ImageFile, noise: Noise, offset: float | None = None) -> Loaded:
    """What an image file holds; 0 where pixels do not count.

    Parameters
    ----------
    content : ImageFile
    noise : Noise
    offset : float, optional
        That is taken off; None: what the file says, or 0.
    """
    raw = content.image.astype(np.float64)
    if offset is None:
        offset = content.metadata.get("offset") or 0.0
    units = 1.0 if noise.gain != 1 else content.metadata.get("scale") or 1.0
    pixels = (raw - offset) / units
    below = -6 * noise.readout if noise.readout else 0.0
    saturation = content.metadata.get("saturation")
    none = np.zeros(raw.shape, bool)
    reasons = {
        "not numbers": ~np.isfinite(raw),
        "flagged in the file": flagged(content) | masked_in_file(content),
        "saturated": none if saturation is None else raw >= float(saturation),
        "below 0" if not noise.readout else "too far below 0": none if noise.gaussian else pixels < below,
    }
    used = np.ones(raw.shape, bool)
    said = []
    for reason, lost in reasons.items():
        count = int((lost & used).sum())
        used &= ~lost
        if count:
            said.append(f"{count} {reason}")
    return Loaded(np.where(used, pixels, 0.0), used, ", ".join(said))


class Source:
    """One measured image, read when it is needed.

    Parameters
    ----------
    name : str
        For messages.
    given : array_like, path-like or callable
        A callable returns an array, an `ImageFile` or a `Loaded`.
    mask : array_like, optional
        0: the pixel does not count.
    own_mask : bool
        No other image has it.
    """

    def __init__(self, name: str, given: Any, mask: Any, own_mask: bool = False) -> None:
        # a worker may stand in another folder
        given = os.path.abspath(given) if isinstance(given, (str, os.PathLike)) else given
        self.name, self._given, self._mask, self._own_mask = name, given, mask, own_mask
        #: whether arrays are of this process alone, which may put them away
        self._mine = False
        self._slot: Slot | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mine": True}

    @property
    def mask(self) -> Any:
        """As it was given."""
        return self._mask

    def rest(self) -> None:
        """Put arrays of this process away."""
        if self._mine and self._slot is None and isinstance(self._given, np.ndarray):
            mine = [self._given]
            if self._own_mask and self._mask is not None:
                mine, self._mask = [*mine, np.asarray(self._mask)], None
            self._slot, self._given = Slot(mine), None

    def load(self, scene: Scene, noise: Noise) -> Loaded:
        """Pixels, checked.

        Raises
        ------
        InputError
            As `refine`.
        FileError
        """
        given, mask = self._given, self._mask
        if self._slot is not None:
            given, *rest = self._slot.read()
            mask = rest[0] if rest else mask
        if isinstance(given, str):
            given = _of_path(given, scene)
        elif callable(given):
            given = given()
        if isinstance(given, ImageFile):
            given = of_file(given, noise)
        found = given if isinstance(given, Loaded) else Loaded(np.asarray(given), np.ones((), bool))
        return self._checked(found, mask, scene, noise)

    def _checked(self, found: Loaded, mask: Any, scene: Scene, noise: Noise) -> Loaded:
        image = found.pixels
        for which, array in ((self.name, image), (f"mask of {self.name}", mask)):
            if array is not None:
                _check(which, np.asarray(array), scene)
        used = np.broadcast_to(found.used, image.shape)
        if mask is not None:
            used = used & (np.asarray(mask) != 0)
        if scene.mask_image is not None:
            used = used & scene.mask_image
        if not used.any():
            raise InputError(f"{self.name}: no pixel is left by the mask")
        lost = used & ~np.isfinite(image)
        if lost.any():
            raise InputError(
                f"{self.name}: {int(lost.sum())} pixels are not numbers, the first at "
                f"{scene.pixel_name(int(lost.argmax()))}: mask them, mask=np.isfinite(data)"
            )
        if not noise.gaussian:
            below = used & (image < (-6 * noise.readout if noise.readout else 0))
            if below.any():
                raise InputError(
                    f"{self.name}: {int(below.sum())} pixels are too far below 0 for photons, the first "
                    f"at {scene.pixel_name(int(below.argmax()))}: mask them, mask=data >= 0, or give the "
                    "noise a readout or a gain"
                )
        return Loaded(np.asarray(image, np.float64), np.asarray(used), found.said)


def _of_path(path: str, scene: Scene) -> ImageFile:
    """The only image of a file."""
    from ..io import images

    shape = scene.image_shape
    stored = images.stored_shape(path) or ()
    if len(stored) == len(shape) + 1 and stored[0] > 1:
        raise InputError(
            f"{path} holds {stored[0]} images: give each as functools.partial(nbragg.io.read_image, path, "
            "frame=k), k from 0"
        )
    # what looks like frames may be panels
    return images.read_image(path, frame=None if stored == shape else 0)


def _check(name: str, array: NDArray[Any], scene: Scene) -> None:
    if array.shape != scene.image_shape:
        raise InputError(
            f"{name} has the shape {array.shape}; the detector's image has the shape {scene.image_shape}"
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype}, not numbers")


def paired(data: Any, start: Any, mask: Any) -> tuple[list[Setup], list[Source]]:
    """A set-up for each image; nothing is read yet.

    Raises
    ------
    InputError
        For numbers that do not fit together, and things that are neither images nor set-ups.
    """
    one = isinstance(start, Setup)
    setups = [start] if one else list(start) if isinstance(start, Iterable) else []
    if not setups or not all(isinstance(setup, Setup) for setup in setups):
        raise InputError("start takes a Setup, or a sequence of at least one")
    axes = len(make_scene(setups[0], Stages()).image_shape)
    images = _images("data", data, axes)
    if one and len(images) > 1:
        setups = setups * len(images)
    if len(images) != len(setups):
        raise InputError(
            f"{len(images)} images and {len(setups)} set-ups: give as many, or one set-up for all"
        )
    masks: list[Any] = [None] if mask is None else _images("mask", mask, axes)
    if len(masks) not in (1, len(images)):
        raise InputError(f"{len(masks)} masks and {len(images)} images: give as many, or one for all")
    own = len(masks) > 1
    masks = masks if own else masks * len(images)
    names = [f"data[{k}]" if len(images) > 1 else "data" for k in range(len(images))]
    return setups, [Source(*each, own) for each in zip(names, images, masks, strict=True)]


def _images(name: str, given: Any, axes: int) -> list[Any]:
    """What stands for each image."""
    if isinstance(given, (list, tuple)) and not isinstance(given, ImageFile) and not given:
        raise InputError(f"{name} holds no image")
    if given is None or isinstance(given, bytes):
        raise InputError(f"{name} takes pixels of an image, or files that hold them, not {given!r}")
    if _is_reader(given):
        return [given]
    if isinstance(given, (list, tuple)) and any(_is_reader(one) for one in given):
        return list(given)
    single = not isinstance(given, (list, tuple)) or np.ndim(given[0]) < axes
    arrays = [np.asarray(given)] if single else [np.asarray(one) for one in given]
    if len(arrays) == 1 and arrays[0].ndim == axes + 1:
        arrays = list(arrays[0])
    return arrays


def _is_reader(given: Any) -> bool:
    return isinstance(given, (str, os.PathLike, ImageFile)) or callable(given)


def common_parts(setups: Sequence[Setup], sources: Sequence[Source]) -> list[Any]:
    """Lists, detectors and masks of more images than one, which a process need be told but once."""
    count: Counter[int] = Counter()
    parts: dict[int, Any] = {}
    for setup, source in zip(setups, sources, strict=True):
        panels = setup.detector.panels or ()
        masks = [setup.detector.mask, source.mask, *(panel.mask for panel in panels)]
        lists = [crystal.structure_factors for crystal in setup.sample.crystals]
        mine = {id(one): one for one in (setup.detector, *masks, *lists) if one is not None}
        count.update(mine.keys())
        parts |= mine
    least = 1 if len(setups) == 1 else 2
    return [part for number, part in parts.items() if count[number] >= least]


def with_one_list(setups: Sequence[Setup]) -> list[Setup]:
    """Structure factors that are alike are one object, which memory and messages hold once."""
    known: list[Any] = []
    found = []
    for setup in setups:
        crystals = []
        for crystal in setup.sample.crystals:
            mine = crystal.structure_factors
            same = next((one for one in known[-_LISTS:] if one is mine or one == mine), None)
            if same is None:
                known.append(mine)
            elif same is not mine:
                crystal = crystal.replace(structure_factors=same)
            crystals.append(crystal)
        if all(a is b for a, b in zip(crystals, setup.sample.crystals, strict=True)):
            found.append(setup)
        else:
            found.append(setup.replace(sample=setup.sample.replace(crystals=tuple(crystals))))
    return found

"""What people give for images and directions, checked and in the shape that the engine takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.names import suggestion
from ..scene.parameters import expand

if TYPE_CHECKING:
    from ..model.setup import Setup
    from ..scene.record import Scene

__all__ = ["direction_columns", "image_array"]


def _numbers(name: str, given: Any) -> NDArray[np.float64]:
    """A real array as float64."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be an array of real numbers, not {type(given).__name__}")
    return np.ascontiguousarray(array, np.float64)


def image_array(name: str, given: Any, scene: Scene) -> NDArray[np.float64]:
    """An array with a finite number for each pixel of the scene's image.

    Parameters
    ----------
    name : str
        For messages.
    given : array_like
        Of the scene's ``image_shape``.
    scene : Scene

    Returns
    -------
    ndarray of float64, contiguous
        0 at pixels that are not rendered, so that nothing depends on them, not even by rounding.

    Raises
    ------
    InputError
        For another shape, numbers that are not real, and one that is not finite, rendered pixel or not.
    """
    array = _numbers(name, given)
    if array.shape != scene.image_shape:
        axes = {1: "(pixels,)", 2: "(slow, fast)", 3: "(panel, slow, fast)"}[len(scene.image_shape)]
        raise InputError(f"{name} has the shape {array.shape}; the image has {scene.image_shape} {axes}")
    finite = np.isfinite(array)
    if not finite.all():
        first = int((~finite).argmax())
        raise InputError(
            f"{name} is {array.reshape(-1)[first]} at {scene.pixel_name(first)}: every pixel needs a finite "
            "number; give 0 where a pixel does not count"
        )
    used = scene.mask_image
    return array if used is None else np.where(used, array, 0.0)


def direction_columns(given: Any, names: Sequence[str], setup: Setup) -> NDArray[np.float64]:
    """Directions in the space of parameters, as an array.

    Parameters
    ----------
    given : mapping of str to float, or array_like (p,) or (p, m)
        See `Linearization.jvp`.
    names : sequence of str
        The p parameters.
    setup : Setup
        For what groups consist of.

    Returns
    -------
    ndarray of float64, (p,) or (p, m)

    Raises
    ------
    InputError
        For a name that is not among the parameters, another shape, and a number that is not finite.
    """
    if isinstance(given, Mapping):
        array = np.zeros(len(names))
        for name, value in given.items():
            members = [name] if name in names else _members(name, names, setup)
            numbers = _numbers(f"direction[{name!r}]", value).reshape(-1)
            if numbers.size != len(members):
                raise InputError(
                    f"direction[{name!r}] has {numbers.size} numbers; {len(members)} were expected: "
                    f"{', '.join(members)}"
                )
            for member, number in zip(members, numbers, strict=True):
                array[names.index(member)] = number
    else:
        array = _numbers("direction", given)
    if array.ndim not in (1, 2) or len(array) != len(names) or array.size == 0:
        count = len(names)
        raise InputError(
            f"direction has the shape {array.shape}; ({count},) or ({count}, m) was expected for the "
            f"{count} parameters, or a mapping of names to numbers"
        )
    if not np.isfinite(array).all():
        raise InputError("direction must have finite numbers only")
    return array


def _members(name: Any, names: Sequence[str], setup: Setup) -> list[str]:
    """The parameters of a group, all of which must be among those that were asked for."""
    try:
        members = [parameter.name for parameter in expand([name], setup)]
    except InputError:
        members = []
    if not members or not set(members) <= set(names):
        raise InputError(f"{name!r} is not among the parameters{suggestion(str(name), names)}")
    return members

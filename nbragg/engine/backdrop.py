"""The images behind the spots: made once for all Scenes of a queue that share what they depend on."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.records import FrozenArrays
from ..base.warn import warn
from ..scene.record import PlacedPanel
from .direct_beam import direct_beam

if TYPE_CHECKING:
    from ..scene.backdrop import Backdrop
    from ..scene.record import Scene, Sources

__all__ = ["Behind", "Image", "Images", "Kept", "direct_beam_of", "has_behind", "tell_outside", "wanted"]

T = TypeVar("T")

#: fraction of the pixels beyond a table from which on it is worth a warning (beyond 12.3)
_MANY = 0.01

Image = NDArray[np.float64]


class Images(NamedTuple):
    """Of the pixels of a Scene, by image index; None: 1, 0 and 0 everywhere.

    Attributes
    ----------
    transmission : ndarray
        Share of the light from the sample that arrives.
    background : ndarray
        Photons at a fluence of 1 photon/m^2.
    fixed : ndarray
        Photons.
    """

    transmission: Image | None
    background: Image | None
    fixed: Image | None


def wanted(backdrop: Backdrop) -> tuple[bool, bool, bool]:
    """Which of `Images` a backdrop has."""
    return (
        backdrop.obstacles is not None,
        any(not one.fixed for one in backdrop.scatterers) or backdrop.direct_beam > 0,
        any(one.fixed for one in backdrop.scatterers),
    )


def has_behind(scene: Scene) -> bool:
    """Whether a pixel's photons are more than those of its spots."""
    return scene.backdrop is not None or scene.diffuse is not None


def direct_beam_of(panels: tuple[PlacedPanel, ...], sources: Sources, backdrop: Backdrop) -> Image | None:
    """Photons of the direct beam at a fluence of 1 photon/m^2, part of the background; None: no."""
    if not backdrop.direct_beam:
        return None
    return direct_beam(panels, sources, backdrop.obstacles, backdrop.direct_beam, backdrop.oversample)


class _Inputs(NamedTuple):
    """All that the images depend on."""

    panels: tuple[PlacedPanel, ...]
    part: Any
    sources: Sources
    polarization: float
    polar_vector: NDArray[np.float64]
    nopolar: bool
    more: tuple[Any, ...]

    @classmethod
    def of(cls, scene: Scene, part: Any, also: tuple[str, ...]) -> _Inputs:
        polarized = scene.polarization, scene.polar_vector, scene.nopolar
        return cls(
            scene.panels, part, scene.sources, *polarized, tuple(getattr(scene, name) for name in also)
        )

    def same(self, other: _Inputs) -> bool:
        return all(_same(mine, its) for mine, its in zip(self, other, strict=True))


def _same(a: Any, b: Any) -> bool:
    """Whether two parts of a Scene hold the same; what can change while it is kept does not."""
    if isinstance(a, np.ndarray):
        return not a.flags.writeable and (a is b or (isinstance(b, np.ndarray) and np.array_equal(a, b)))
    if a is b and not isinstance(a, PlacedPanel):  # a mask may be somebody's own
        return True
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, FrozenArrays):
        return type(a) is type(b) and _same(tuple(vars(a).values()), tuple(vars(b).values()))
    return bool(a == b)


class Kept(Generic[T]):
    """What was made for the latest of a queue's Scenes, and is good for the next as long as they agree.

    Parameters
    ----------
    make : callable
        Takes the Scene and its part.
    part : {"backdrop", "diffuse"}
        Of the Scene, which images are made of.
    also : tuple of str
        Further fields of the Scene that they depend on.
    """

    def __init__(
        self, make: Callable[[Scene, Any], T], part: str = "backdrop", also: tuple[str, ...] = ()
    ) -> None:
        self._make, self._part, self._also = make, part, also
        self._latest: tuple[_Inputs, T] | None = None

    def of(self, scene: Scene) -> T | None:
        """None for a Scene without the part."""
        part = getattr(scene, self._part)
        if part is None:
            return None
        inputs = _Inputs.of(scene, part, self._also)
        if self._latest is None or not self._latest[0].same(inputs):
            self._latest = inputs, self._make(scene, part)
        return self._latest[1]


class Behind:
    """The images behind the spots, made on the CPU by the first job that needs them.

    Parameters
    ----------
    scene : Scene
        Its panels and sources are kept.
    backdrop : Backdrop

    Attributes
    ----------
    images : Images or None
        Once they are made.
    """

    def __init__(self, scene: Scene, backdrop: Backdrop) -> None:
        self._backdrop = backdrop
        self._pixels = scene.offsets[-1]
        self._direct = functools.partial(direct_beam_of, scene.panels, scene.sources, backdrop)
        self.images: Images | None = None
        self._outside = np.zeros(len(backdrop.scatterers), np.int64)
        self._lock = threading.Lock()
        self._told = False

    def make(self, job: _engine.Job) -> str:
        """Make the images, unless another job has; an entry of `_engine.STATUS`."""
        with self._lock:
            if self.images is None:
                there = wanted(self._backdrop)
                images = Images(*(np.zeros(self._pixels) if each else None for each in there))
                self._outside[:] = 0
                status = job.make_behind(_engine.PackedBackdrop(self._backdrop), *images, self._outside)
                if status != "ok":
                    return status
                direct = self._direct()
                if direct is not None and images.background is not None:
                    images.background[:] += direct
                self.images = images
        return "ok"

    def render(self, scene: _engine.EngineScene, job: _engine.Job) -> str:
        """Make them, and the job's image before them; an entry of `_engine.STATUS`."""
        status = self.make(job)
        if status != "ok":
            return status
        assert self.images is not None
        scene.put_behind(*self.images)
        return job.run()

    def tell(self, rendered: int) -> None:
        """Warn once of tables that end too early, when the images are made."""
        if not self._told:
            self._told = True
            tell_outside(self._backdrop, self._outside, rendered)


def tell_outside(backdrop: Backdrop, outside: NDArray[np.int64], rendered: int) -> None:
    """Warn of tables beyond which many pixels lie."""
    for one, count in zip(backdrop.scatterers, outside.tolist(), strict=True):
        if count > _MANY * rendered:
            least, most = (1e-10 * s for s in one.curve.inside)
            warn(
                f"{one.name}: {100 * count / rendered:.2g} percent of the pixels lie beyond its table, which "
                f"holds sin(theta)/lambda from {least:g} to {most:g} 1/angstrom; they take the nearest value"
            )

"""Diffuse scattering on the CPU: made once for all Scenes of a queue that share what it depends on."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

import numpy as np

from .. import _engine
from .backdrop import Behind, Image, Images

if TYPE_CHECKING:
    from ..scene.diffuse import Diffuse
    from ..scene.record import Scene

__all__ = ["DEPENDS_ON", "DiffuseLight", "with_light"]

#: fields of a Scene, beside those of images behind the spots
DEPENDS_ON = ("tables", "dmin")


def with_light(images: Images | None, light: Image) -> Images:
    """The images behind the spots with diffuse scattering, which takes the way of the crystals' light."""
    if images is None:
        return Images(None, light, None)
    seen = light if images.transmission is None else images.transmission * light
    return images._replace(background=seen if images.background is None else images.background + seen)


class DiffuseLight:
    """Diffuse scattering of the crystals, made by the first job that needs it.

    Parameters
    ----------
    scene : Scene
    diffuse : Diffuse
        The Scene's.

    Attributes
    ----------
    image : ndarray or None
        Photons at a fluence of 1 photon/m^2, by image index, once it is made.
    """

    def __init__(self, scene: Scene, diffuse: Diffuse) -> None:
        self._packed = _engine.PackedDiffuse(diffuse)
        self._pixels = scene.offsets[-1]
        self._lock = threading.Lock()
        self.image: Image | None = None

    def make(self, job: _engine.Job) -> str:
        """Make the image, unless another job has; an entry of `_engine.STATUS`."""
        with self._lock:
            if self.image is None:
                image = np.zeros(self._pixels)
                status: str = job.make_diffuse(self._packed, image)
                if status != "ok":
                    return status
                self.image = image
        return "ok"

    def render(self, scene: _engine.EngineScene, job: _engine.Job, behind: Behind | None) -> str:
        """Make it, what else is behind the spots, and the job's image before them."""
        for part in (self,) if behind is None else (behind, self):
            status = part.make(job)
            if status != "ok":
                return status
        assert self.image is not None
        scene.put_behind(*with_light(None if behind is None else behind.images, self.image))
        return job.run()

    def job(
        self, scene: _engine.EngineScene, job: _engine.Job, behind: Behind | None
    ) -> functools.partial[str]:
        """`render`, to be called without arguments."""
        return functools.partial(self.render, scene, job, behind)

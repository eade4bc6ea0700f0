"""Derivatives of an image with light behind its spots, or with something in the way of all light.

    image = T * (Bragg + fluence * D) + fluence * B + fixed

with the images T, B and fixed of the scene's backdrop and the crystals' diffuse scattering D.  Those of the
spots come from the kernel, which knows nothing of the rest, nor of how V moves in the exp(-V) of displaced
atoms; along a parameter that moves them

    J = T J_Bragg + E,    E = T' Bragg + fluence (B + T D)' + fluence' (B + T D) + fixed' + T V' dBragg/dV
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..engine.backdrop import has_behind
from ..engine.backdrop_slope import BackdropImages, backdrop_rates, backdrop_values, moves_backdrop
from ..engine.backend import gradient
from ..engine.diffuse_slope import (
    diffuse_rate,
    diffuse_value,
    displacement_rate,
    moves_diffuse,
    moves_displacement,
)
from ..engine.gradient import Gradient
from ..engine.options import RenderOptions
from ..scene.record import Scene
from ..scene.tangent import Frame, SceneTangent
from .strips import strips

__all__ = ["CompositeGradient", "gradient_of"]

#: bytes of derivatives that are held at a time
_HELD = 2**25
#: a share below this adds nothing to an image, and its square may be 0
_NOTHING = 1e-150


def gradient_of(
    scene: Scene, tangents: Sequence[SceneTangent], frames: Sequence[Frame], options: RenderOptions
) -> Gradient | CompositeGradient:
    """The derivatives of whichever image; see `engine.backend.gradient`."""
    if not has_behind(scene) and not any(map(moves_displacement, tangents)):
        return gradient(scene, tangents, frames, options)
    return CompositeGradient(scene, tangents, frames, options)


class CompositeGradient:
    """As `engine.gradient.Gradient`, of a scene with a backdrop, diffuse scattering or displaced atoms.

    Parameters
    ----------
    scene : Scene
    tangents : sequence of SceneTangent
    frames : sequence of Frame
    options : RenderOptions
        Device and precision are those of the spots; what lies behind them is worked on by the CPU, in double
        precision.

    Notes
    -----
    One pass more for each parameter that moves the backdrop, which crystals and structure factors do not, or
    the diffuse scattering, which they do.
    """

    def __init__(
        self, scene: Scene, tangents: Sequence[SceneTangent], frames: Sequence[Frame], options: RenderOptions
    ) -> None:
        self.scene, self.tangents, self.frames, self.options = scene, list(tangents), frames, options
        self._spots = gradient(_bare(scene), list(map(_bare, tangents)), frames, options)
        moving = [scene.backdrop is not None and moves_backdrop(tangent) for tangent in self.tangents]
        self._moving = [
            p
            for p, tangent in enumerate(self.tangents)
            if moving[p] or tangent.fluence or moves_diffuse(scene, tangent) or moves_displacement(tangent)
        ]
        if scene.backdrop is not None and scene.backdrop.direct_beam and any(moving):
            raise InputError(
                "surroundings.direct_beam: photons of the direct beam have derivatives by fluence, crystals "
                "and structure factors only; leave the direct beam out, and mask where it is"
            )

    @property
    def cut(self) -> tuple[int, int] | None:
        """See `Gradient.cut`."""
        return self._spots.cut

    @cached_property
    def _light(self) -> FloatArray | None:
        return None if self.scene.diffuse is None else diffuse_value(self.scene, self.options)

    @cached_property
    def _behind(self) -> BackdropImages:
        """With the diffuse scattering in the background."""
        scene, light = self.scene, self._light
        if scene.backdrop is not None:
            found = backdrop_values(scene, self.options)
        else:
            found = BackdropImages(*(np.broadcast_to(x, scene.image_shape) for x in (0.0, 0.0, 1.0)))
        if light is None:
            return found
        return found._replace(background=found.background + found.transmission * light)

    @property
    def image(self) -> FloatArray:
        """Photons per pixel before rounding, of the scene's ``image_shape``."""
        behind = self._behind
        return behind.transmission * self._spots.image + self.scene.fluence * behind.background + behind.fixed

    def _own(self, p: int) -> FloatArray:
        """E: what the derivative along a tangent has beside that of the spots."""
        return _own(self.scene, self.tangents[p], self._spots.image, self._behind, self._light, self.options)

    def vjp(self, cotangent: FloatArray) -> FloatArray:
        """See `Gradient.vjp`."""
        found = self._spots.vjp(self._behind.transmission * cotangent)
        for p in self._moving:
            found[p] += float(np.sum(cotangent * self._own(p)))
        return found

    def scene_vjp(self, cotangent: FloatArray) -> SceneTangent:
        """Not of such a scene.

        Raises
        ------
        InputError
        """
        raise InputError(
            "scene=True: the gradient by every field of the Scene is that of the spots alone, and this image "
            "has backgrounds or surroundings, or atoms that move; name the fields as parameters, "
            "scene.pix0 say"
        )

    def jvp(self, directions: FloatArray) -> FloatArray:
        """See `Gradient.jvp`."""
        images = self._spots.jvp(directions)
        images *= self._behind.transmission
        for p in self._moving:
            if directions[p].any():
                own = self._own(p)
                for image, rate in zip(images, directions[p].tolist(), strict=True):
                    image += rate * own
        return images

    def jacobian(self, out: NDArray[np.floating[Any]]) -> None:
        """See `Gradient.jacobian`."""
        if out.dtype == np.float64:
            self._spots.jacobian(out)
            for p in range(len(self.tangents)):
                out[p] *= self._behind.transmission
                if p in self._moving:
                    out[p] += self._own(p)
            return
        out[...] = 0  # rounded once, when both parts are there
        flat = out.reshape(len(out), -1)
        for start, stop, rows in self._rows():
            flat[:, start:stop] = rows

    def gauss_newton(self, residual: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Gradient.gauss_newton`."""
        share = self._behind.transmission
        if not self._moving:
            seen = share > _NOTHING
            weighed = np.where(seen, weights * share * share, 0.0)
            return self._spots.gauss_newton(
                np.where(seen, residual / np.where(seen, share, 1.0), 0.0), weighed
            )
        n = len(self.tangents)
        H, b = np.zeros((n, n)), np.zeros(n)
        w, r = weights.reshape(-1), residual.reshape(-1)
        for start, stop, rows in self._rows():
            weighed = rows * w[start:stop]
            H += weighed @ rows.T
            b += weighed @ r[start:stop]
        return (H + H.T) / 2, b

    def _rows(self) -> Any:
        """All derivatives, strip by strip: first pixel, the one after the last, ndarray (p, pixels)."""
        p = len(self.tangents)
        image, behind = self._spots.image.reshape(-1), [plane.reshape(-1) for plane in self._behind]
        light = None if self._light is None else self._light.reshape(-1)
        for strip in strips(self.scene, max(1, _HELD // (8 * p))):
            scene, tangents = strip.scene(self.scene), [strip.tangent(tangent) for tangent in self.tangents]
            spots = gradient(_bare(scene), list(map(_bare, tangents)), self.frames, self.options)
            spots.cut = strip.cut(self._spots.cut)
            rows = np.zeros((p, *scene.image_shape))
            spots.jacobian(rows)
            here = slice(strip.start, strip.stop)
            part = BackdropImages(*(plane[here].reshape(scene.image_shape) for plane in behind))
            rows *= part.transmission
            for number in self._moving:
                mine = image[here].reshape(scene.image_shape)
                lit = None if light is None else light[here].reshape(scene.image_shape)
                rows[number] += _own(scene, tangents[number], mine, part, lit, self.options)
            yield strip.start, strip.stop, rows.reshape(p, -1)


def _bare(part: Any) -> Any:
    """A scene or a tangent with the spots alone."""
    return dataclasses.replace(part, backdrop=None, diffuse=None)


def _own(
    scene: Scene,
    tangent: SceneTangent,
    spots: FloatArray,
    behind: BackdropImages,
    light: FloatArray | None,
    options: RenderOptions,
) -> FloatArray:
    own = tangent.fluence * behind.background
    if scene.backdrop is not None and moves_backdrop(tangent):
        rates = backdrop_rates(scene, tangent, options)
        lit = spots if light is None else spots + scene.fluence * light
        own = own + rates.transmission * lit + scene.fluence * rates.background + rates.fixed
    if moves_diffuse(scene, tangent):
        own = own + scene.fluence * behind.transmission * diffuse_rate(scene, tangent, options)
    if moves_displacement(tangent):
        own = own + behind.transmission * displacement_rate(scene, tangent, options)
    return own

"""Derivatives of what a detector writes on average, by the set-up and by the detector's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base import memory
from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.vectors import FloatArray
from ..response.expected.likelihood import Likelihood, likelihood
from ..response.expected.moments import Conditions, Expected

if TYPE_CHECKING:
    from ..engine.gradient import Gradient
    from ..model.response import DetectorResponse
    from ..response.exposure import Exposure
    from ..scene.parameters import Parameter
    from ..scene.tangent import SceneTangent
    from .composite import CompositeGradient

__all__ = ["CountsGradient", "check_held"]

#: how the names of the detector's own parameters begin
_OWN = "response."


class CountsGradient:
    """As `engine.gradient.Gradient`, of the mean counts in place of photons.

    With m the photons and M(m) the mean: J = (dM/dm) J_photons, beside the derivatives of M by fields of the
    response.  What spreads light is its own transpose.

    Parameters
    ----------
    photons : Gradient or CompositeGradient
        Of the whole image, along tangents of all parameters.
    response : DetectorResponse
    exposure : Exposure
    parameters : sequence of Parameter
        As many as tangents.
    """

    def __init__(
        self,
        photons: Gradient | CompositeGradient,
        response: DetectorResponse,
        exposure: Exposure,
        parameters: Sequence[Parameter],
    ) -> None:
        self._photons, self._response, self._exposure = photons, response, exposure
        self.scene = photons.scene
        paths = [parameter.moves[0].path for parameter in parameters]
        self._own = {p: path.removeprefix(_OWN) for p, path in enumerate(paths) if path.startswith(_OWN)}

    def _parts(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """Panels of an image, (slow, fast) each."""
        flat, places = image.reshape(-1), self.scene.offsets
        return [
            flat[first : first + panel.fpixels * panel.spixels].reshape(panel.spixels, panel.fpixels)
            for panel, first in zip(self.scene.panels, places, strict=False)
        ]

    @cached_property
    def _expected(self) -> list[Expected]:
        return [
            Expected(self._response, np.maximum(part, 0.0), on)
            for part, on in zip(self._parts(self._photons.image), self._conditions, strict=True)
        ]

    @property
    def _conditions(self) -> list[Conditions]:
        given = self._exposure
        return [Conditions(pixel_um, given.energy_eV, given.exposure_s) for pixel_um in given.pixel_um]

    def _each(self, work: Callable[..., Any], *images: FloatArray) -> FloatArray:
        """Of every panel what `work` makes of it; 0 where nothing is rendered."""
        parts = zip(self._expected, *map(self._parts, images), strict=True)
        whole = np.concatenate([np.ravel(work(*part)) for part in parts]).reshape(self.scene.image_shape)
        used = self.scene.mask_image
        return whole if used is None else np.where(used, whole, 0.0)

    @property
    def image(self) -> FloatArray:
        """Mean ADU or counts, of the scene's ``image_shape``."""
        return self._each(lambda expected: expected.moments().mean)

    @property
    def variance(self) -> FloatArray:
        """Of each pixel."""
        return self._each(lambda expected: expected.moments().variance)

    def _moved(self, photons: FloatArray) -> FloatArray:
        """How the mean moves with the photons."""
        return self._each(lambda expected, part: expected.along(expected.moved(part)).mean, photons)

    def _pulled(self, cotangent: FloatArray) -> FloatArray:
        """The transposed of `_moved`."""
        return self._each(lambda expected, part: expected.back(part, np.zeros(part.shape)), cotangent)

    def _slope(self, p: int) -> FloatArray:
        return self._each(lambda expected: expected.slope(self._own[p]).mean)

    def jvp(self, directions: FloatArray) -> FloatArray:
        """See `Gradient.jvp`."""
        images = self._photons.jvp(directions)
        for k in range(len(images)):
            images[k] = self._moved(images[k])
        for p in self._own:
            if directions[p].any():
                images += np.multiply.outer(directions[p], self._slope(p))
        return images

    def vjp(self, cotangent: FloatArray) -> FloatArray:
        """See `Gradient.vjp`."""
        found = self._photons.vjp(self._pulled(cotangent))
        for p in self._own:
            found[p] = float(np.sum(cotangent * self._slope(p)))
        return found

    def scene_vjp(self, cotangent: FloatArray) -> SceneTangent:
        """See `Gradient.scene_vjp`."""
        return self._photons.scene_vjp(self._pulled(cotangent))

    def jacobian(self, out: NDArray[np.floating[Any]]) -> None:
        """See `Gradient.jacobian`."""
        self._photons.jacobian(out)
        for p in range(len(out)):
            out[p] = self._slope(p) if p in self._own else self._moved(np.asarray(out[p], np.float64))

    def gauss_newton(self, residual: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Gradient.gauss_newton`; light that spreads ties pixels together, and J is held."""
        p = len(self._photons.tangents)
        size = 8 * p * self.scene.offsets[-1]
        memory.require(size, f"the Jacobian of {p} parameters", "take fewer parameters, or jvp and vjp")
        J = np.zeros((p, *self.scene.image_shape))
        self.jacobian(J)
        rows = J.reshape(p, -1)
        weighed = rows * weights.reshape(-1)
        H = weighed @ rows.T
        return (H + H.T) / 2, weighed @ residual.reshape(-1)

    def likelihood(self, data: FloatArray, mask: NDArray[Any] | None) -> tuple[float, FloatArray]:
        """Logarithm of the likelihood of measured pixels, and its gradient by all parameters."""
        used = self.scene.mask_image
        counted = np.ones(self.scene.image_shape, bool) if used is None else used
        if mask is not None:
            counted = counted & (np.asarray(mask) != 0)
        photons = np.maximum(self._photons.image, 0.0)
        found: list[Likelihood] = [
            likelihood(self._response, pixels, m, on, which, 1e-3)
            for pixels, m, on, which in zip(
                self._parts(data), self._parts(photons), self._conditions, self._parts(counted), strict=True
            )
        ]
        residual = np.concatenate([np.ravel(part.residual) for part in found])
        gradient = self._photons.vjp(residual.reshape(self.scene.image_shape))
        for p, name in self._own.items():
            gradient[p] = sum(part.slope(name) for part in found)
        return sum(part.value for part in found), gradient


def check_held(
    response: DetectorResponse, parameters: Sequence[Parameter], tangents: Sequence[SceneTangent]
) -> None:
    """Refuse parameters that move what the detector is told of the exposure, which is held.

    Raises
    ------
    InputError
    """
    spreads = response.psf != "none" or response.charge_sigma_um > 0
    for parameter, tangent in zip(parameters, tangents, strict=True):
        moves = ""
        if response.gain_per_keV and (
            tangent.source_wavelength is not None or tangent.source_weight is not None
        ):
            moves = "the energy that gain_per_keV refers to"
        elif spreads and any(panel is not None and panel.pixel is not None for panel in tangent.panels):
            moves = "the pixels over which light and charge spread"
        elif response.dead_time_ns and parameter.moves[0].path == "beam.exposure_s":
            moves = "the exposure that dead_time_ns is compared with"
        if moves:
            raise InputError(
                f"{parameter.name} moves {moves}: of counts it has no derivative here; take that of photons"
            )

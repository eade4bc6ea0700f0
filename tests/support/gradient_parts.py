"""The engine's derivatives beside the oracle's: how they are asked for, and how close they have to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from derivatives import Image, scene_derivative

from nbragg import _engine
from nbragg.engine.gradient import Gradient
from nbragg.engine.options import RenderOptions
from nbragg.scene.record import Scene
from nbragg.scene.tangent import Frame, SceneTangent

#: of the scale of each quantity (gradients 10)
TOLERANCE = {"double": 1e-9, "mixed": 1e-5}
#: a tangent that moves the image less than this, as a fraction of its maximum, is measured by the image:
#: where slopes are 0 but for rounding, as those of one cell, there is nothing else
LEAST = {"double": 1e-4, "mixed": 1e-2}


def gradient(
    scene: Scene,
    tangents: Sequence[SceneTangent],
    frames: Sequence[Frame],
    *,
    precision: str = "double",
    threads: int = 1,
) -> Gradient:
    """The engine's derivatives on the CPU."""
    return Gradient(scene, tangents, frames, RenderOptions(precision=precision, threads=threads))


def jacobian(found: Gradient, count: int, dtype: Any = np.float64) -> Any:
    """All derivative images, (count, *image_shape); what is not rendered is known to have been written."""
    out = np.full((count, *found.image.shape), np.nan, dtype)
    found.jacobian(out)
    return out


#: the instruction sets that this processor has
ISA_LEVELS = [name for name, usable in _engine.isa_levels() if usable]


class Truth:
    """The oracle's image and derivatives along tangents, and the scales that errors are measured by.

    Attributes
    ----------
    image : (*image_shape)
    rows : (p, *image_shape)
    """

    def __init__(
        self,
        scene: Scene,
        tangents: Sequence[SceneTangent],
        frames: Sequence[Frame],
        precision: str = "double",
    ) -> None:
        found = [scene_derivative(scene, tangent, frames) for tangent in tangents]
        self.image: Image = found[0][0]
        self.rows = np.array([rate for _, rate in found])
        self._least = LEAST[precision] * float(np.abs(self.image).max())

    def largest(self, coefficients: Any) -> float:
        """Scale of the derivative along a sum of the tangents with these coefficients."""
        along = np.tensordot(coefficients, self.rows, 1)
        return max(float(np.abs(along).max()), self._least * float(np.abs(coefficients).sum()))

    def assert_jvp(self, found: Any, coefficients: Any, tolerance: float) -> None:
        along = np.tensordot(coefficients, self.rows, 1)
        assert found.shape == along.shape and found.dtype == np.float64
        assert np.abs(found - along).max() <= tolerance * self.largest(coefficients)

    def assert_vjp(self, found: Any, cotangent: Image, tolerance: float) -> None:
        assert found.shape == (len(self.rows),) and found.dtype == np.float64
        for got, row in zip(found, self.rows, strict=True):
            self.assert_product(got, row, cotangent, tolerance)

    def assert_product(self, found: float, row: Image, cotangent: Image, tolerance: float) -> None:
        scale = max(float(np.abs(cotangent * row).sum()), self._least * float(np.abs(cotangent).sum()))
        assert abs(found - float((cotangent * row).sum())) <= tolerance * scale

    def assert_gauss_newton(self, found: Any, residual: Image, weights: Image, tolerance: float) -> None:
        H, b = found
        flat, r, w = self.rows.reshape(len(self.rows), -1), residual.reshape(-1), weights.reshape(-1)
        least = self._least**2 * w.sum()
        size = np.sqrt(np.maximum((w * flat**2).sum(axis=1), least))
        assert H.shape == (len(flat), len(flat)) and b.shape == (len(flat),)
        assert (H == H.T).all()
        assert (np.abs(H - (flat * w) @ flat.T) <= tolerance * np.outer(size, size)).all()
        assert (np.abs(b - flat @ (w * r)) <= tolerance * size * np.sqrt((w * r**2).sum())).all()

"""One image of a refinement: its data, and the model of it in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError, RenderError
from ..inverse.composite import gradient_of
from ..inverse.linearization import Linearization
from ..inverse.noise import FLOOR
from ..inverse.places import background_basis, background_names, resolution
from ..inverse.region import restricted
from ..model.sample import Sample
from ..simulation.simulator import Simulator
from .objective import Pixels, likelihood, normal
from .scoring import Normal
from .seen import reflections_seen
from .stages import Stage, blurred

if TYPE_CHECKING:
    from ..engine.options import RenderOptions
    from ..inverse.noise import Noise
    from ..model.setup import Setup
    from ..model.structure_factors import StructureFactors

__all__ = ["Frame"]

Array = NDArray[np.float64]

#: pixels count in the end whose data say more of a spot's intensity than this part of 1 ...
_WORTH = 1e-3
#: ... and this part of the others, for the background
_OTHERS = 0.02
#: by how much spots are widened where pixels are looked for
_WIDER = 1.5
#: of the light, that pixels with one reflection's must have
_PURE = 0.7
#: bytes of a Jacobian that is held; beyond them the normal equations come from more passes over the image
_HELD = 1 << 29


class Frame:
    """An image, and where the refinement of it stands.

    Attributes
    ----------
    setup : Setup
        Where it stands.
    background : ndarray (K,)
        Coefficients.
    pixels : Pixels
        Those that count in the stage that was opened.
    """

    def __init__(
        self,
        setup: Setup,
        data: Array,
        used: NDArray[np.bool_],
        noise: Noise,
        kind: str,
        fixed: Array,
        options: RenderOptions,
    ) -> None:
        self.setup, self.options, self.noise, self.kind, self.fixed = setup, options, noise, kind, fixed
        self.simulator = Simulator(setup, options)
        self.used, self.data = used, data
        self._room: Array | None = None
        self._base = setup
        self._made: tuple[Simulator, Array] | None = None
        self.background = np.zeros(len(background_names(kind)))
        level = self._level()
        if kind in ("constant", "plane"):
            self.background[0] = level
        elif kind == "radial":
            self.background[:] = level

    def _level(self) -> float:
        """Of the background, photons: the mean without the brightest tenth."""
        light = (self.data / self.noise.gain - self.fixed)[self.used]
        return max(float(light[light <= np.quantile(light, 0.9)].mean()), 0.01)

    def open(self, stage: Stage, parameters: Sequence[str], scale: bool) -> Array:
        """Begin a stage; returns the values of parameters.

        Parameters
        ----------
        stage : Stage
        parameters : sequence of str
        scale : bool
            Begin with the fluence that makes the model as bright as the data.
        """
        full = Simulator(self.setup, self.options)
        self.simulator, self._base = full, self.setup
        if stage.divide > 1:
            self.simulator = Simulator(blurred(self.setup, full.scene, stage.divide), self.options)
        self.pixels = self._sharp(full) if stage.divide == 1 else self._blocks(stage)
        shape = self.simulator.scene.image_shape
        self._made = None
        self._mask = self.pixels.spread(np.ones(len(self.pixels.at)), shape).astype(np.uint8)
        if scale:
            model = self.pixels.number * self._image().reshape(-1)[self.pixels.at]
            rest = self.pixels.data / self.noise.gain - self.pixels.mean(np.zeros(shape), self.background)
            if model.sum() > 0 and rest.sum() > 0:
                fluence = self.simulator.scene.fluence * float(rest.sum() / model.sum())
                self.simulator = self.simulator.replace(fluence=fluence, flux=0.0)
        return np.array(self._linear(parameters).values)

    def _linear(self, parameters: Sequence[str]) -> Linearization:
        scene = restricted(self.simulator.scene, None, self._mask)
        return Linearization(self.simulator.setup, scene, self.options, parameters)

    def _image(self) -> Array:
        """That of `_linear`, whatever its parameters; made once."""
        if self._made is None or self._made[0] is not self.simulator:
            scene = restricted(self.simulator.scene, None, self._mask)
            self._made = self.simulator, np.asarray(gradient_of(scene, [], (), self.options).image)
        return self._made[1]

    def move(self, parameters: Sequence[str], values: Array, background: Array) -> float:
        """-ln L at other values, where it then stands; infinite where there is no such set-up."""
        before = self.simulator
        try:
            self.simulator = before.moved(parameters, values)
            return likelihood(self.pixels, self._image(), background)
        except (InputError, RenderError):
            self.simulator = before
            return np.inf

    def normal(self, parameters: Sequence[str], background: Array) -> Normal:
        """Where it stands."""
        linear = self._linear(parameters)
        shape = (len(linear), *self.simulator.scene.image_shape)
        if 8 * np.prod(shape, dtype=float) > _HELD:
            return normal(self.pixels, linear, self._image(), background, None)
        if self._room is None or self._room.shape != shape:
            self._room = np.zeros(shape)
        return normal(self.pixels, linear, self._image(), background, self._room)

    def table_slopes(self) -> tuple[Array, Array]:
        """Of ln L by each entry of the crystals' list, and F times the bound of its information.

        From pixels that have the light of one reflection, where that is most of the light: the others say
        little more, and the gradient by a whole list costs as much as many images.
        """
        scene, pixels = self.simulator.scene, self.pixels
        F = scene.tables[0].values
        assert F is not None
        image = self._image()
        misfit = pixels.noise.misfit(pixels.data, pixels.mean(image, self.background))
        light = pixels.number * image.reshape(-1)[pixels.at]
        seen = reflections_seen(scene, pixels.at)
        if seen is None or light[seen >= 0].sum() < _PURE * light.sum():
            return self._all_slopes(F, misfit.residual, 2 * misfit.weights * light)
        mine, found = seen >= 0, []
        for values in (misfit.residual, 2 * misfit.weights * light):
            sums = np.bincount(seen[mine], (2 * values * light)[mine], minlength=F.size).reshape(F.shape)
            found.append(np.divide(sums, F, out=np.zeros(F.shape), where=F > 0))
        return found[0], found[1]

    def _all_slopes(self, F: Array, *cotangents: Array) -> tuple[Array, Array]:
        """Products with the transposed derivatives by the whole list."""
        place = np.unravel_index(int(np.argmax(F)), F.shape)
        origin = self.simulator.scene.tables[0].origin
        h, k, l = (int(i) + o for i, o in zip(place, origin, strict=True))  # noqa: E741 - the index's name
        linear = self._linear((f"crystal.structure_factors[{h},{k},{l}]",))
        found = []
        for values in cotangents:
            spread = self.pixels.spread(self.pixels.number * values, self.simulator.scene.image_shape)
            tables = linear.factors_vjp(spread)
            found.append(np.asarray(sum((one for one in tables if one is not None), np.zeros(()))))
        return found[0], found[1]

    def with_factors(self, factors: StructureFactors, brighter: float = 1.0) -> float:
        """-ln L with other structure factors and so much more light, where it then stands."""
        self.setup, self._base = (_with_factors(setup, factors) for setup in (self.setup, self._base))
        setup = _with_factors(self.simulator.setup, factors)
        if brighter != 1:
            setup = setup.replace(fluence=self.simulator.scene.fluence * brighter, flux=0.0)
        self.simulator = Simulator(setup, self.options)
        return likelihood(self.pixels, self._image(), self.background)

    def values(self, parameters: Sequence[str]) -> Array:
        """Where it stands."""
        return np.array(self._linear(parameters).values)

    def close(self, parameters: Sequence[str], background: Array) -> None:
        """Take the values of a stage up into the set-up."""
        self.background, self._room = background, None
        if parameters:
            values = self._linear(parameters).values
            self.setup = Simulator(self._base, self.options).moved(parameters, values, fold=True).setup

    def compared(self, one: Setup, other: Setup) -> float:
        """By how much -ln L is less for one set-up: one sub-pixel, as bright as the data, the sharp model."""
        basis = background_basis(self.kind, self.simulator.scene, np.arange(self.data.size))
        behind = (self.background @ basis).reshape(self.data.shape) + self.fixed
        found = float(np.where(self.used, self.data / self.noise.gain - behind, 0).sum())
        lights = []
        for setup in (one, other):
            image = Simulator(setup.replace(oversample=1), self.options).render().image
            light = np.asarray(image, np.float64)
            lights.append(light * (max(found, 1.0) / max(float(light[self.used].sum()), 1e-300)))
        lit = self.used & (np.maximum(*lights) > FLOOR)
        costs = (self.noise.misfit(self.data[lit], (light + behind)[lit]).cost.sum() for light in lights)
        first, second = map(float, costs)
        return second - first

    def full_image(self) -> Array:
        """Of the set-up as it stands, every pixel."""
        return Simulator(self.setup, self.options).linearize("beam.fluence").image

    def _blocks(self, stage: Stage) -> Pixels:
        """Sums over blocks, at their middles."""
        b, places, sums, counts, fixed = stage.block, [], [], [], []
        scene = self.simulator.scene
        for panel, first in zip(scene.panels, scene.offsets, strict=False):
            width, height = panel.fpixels, panel.spixels
            part = slice(first, first + width * height)
            used = self.used.reshape(-1)[part]
            values = (np.where(used, image.reshape(-1)[part], 0) for image in (self.data, self.fixed))
            data, known, count = (
                image.reshape(height, width)[: height // b * b, : width // b * b]
                .reshape(height // b, b, width // b, b)
                .sum(axis=(1, 3))
                .ravel()
                for image in (*values, used.astype(float))
            )
            slow, fast = np.divmod(np.arange(len(data)), max(width // b, 1))
            places.append(first + (slow * b + b // 2) * width + fast * b + b // 2)
            sums.append(data)
            counts.append(count)
            fixed.append(known)
        at, count = np.concatenate(places), np.concatenate(counts)
        keep = count > 0
        if stage.d_min_A:
            low = keep & (resolution(scene, at) >= stage.d_min_A)
            keep = low if low.sum() > keep.sum() / 20 else keep
        at, count = at[keep], count[keep]
        return Pixels(
            at,
            np.concatenate(sums)[keep],
            count,
            background_basis(self.kind, scene, at) * count,
            np.concatenate(fixed)[keep],
            self.noise.replace(readout=self.noise.readout * b),
        )

    def _sharp(self, full: Simulator) -> Pixels:
        """Pixels near spots of the model, and some of the others."""
        image = Simulator(blurred(self.setup, full.scene, _WIDER), self.options).render().image
        light = np.asarray(image, np.float64)
        basis = background_basis(self.kind, full.scene, np.arange(light.size))
        behind = (self.background @ basis).reshape(light.shape) + self.fixed
        found = (np.where(self.used, self.data / self.noise.gain - behind, 0)).sum()
        light *= max(float(found), 1.0) / max(float(light[self.used].sum()), 1e-300)
        worth = light**2 * self.noise.weights(light + behind) > _WORTH
        others = np.random.default_rng(0).random(light.shape) < _OTHERS
        at = np.flatnonzero(self.used & (worth | others))
        return Pixels(
            at,
            self.data.reshape(-1)[at],
            np.ones(len(at)),
            basis[:, at],
            self.fixed.reshape(-1)[at],
            self.noise,
        )


def _with_factors(setup: Setup, factors: StructureFactors) -> Setup:
    """Of all crystals."""
    crystals = tuple(crystal.replace(structure_factors=factors) for crystal in setup.sample.crystals)
    return setup.replace(sample=Sample(crystals, setup.sample.weights))

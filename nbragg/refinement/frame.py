"""One image of a refinement: its data, and the model of it in a stage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError, RenderError
from ..base.warn import said_before
from ..inverse.composite import gradient_of
from ..inverse.linearization import Linearization
from ..inverse.noise import FLOOR
from ..inverse.places import background_basis, background_names, resolution
from ..inverse.region import restricted
from ..model.sample import Sample
from ..scene.parameters import expand
from ..scene.reach import resolution_range
from ..simulation.simulator import Simulator
from .fitted import Fitted, deviation
from .measured import Loaded, Source
from .objective import Pixels, likelihood, normal
from .scoring import Normal
from .seen import reflections_seen
from .spill import Slot
from .stages import Stage, blurred

if TYPE_CHECKING:
    from ..engine.options import RenderOptions
    from ..inverse.noise import Noise
    from ..model.setup import Setup
    from ..model.structure_factors import StructureFactors

__all__ = ["Frame", "settled"]

Array = NDArray[np.float64]

#: pixels count in the end whose data say more of a spot's intensity than this part of 1 ...
_WORTH = 1e-3
#: ... and this part of the others, for the background
_OTHERS = 0.02
#: by how much spots are widened where pixels are looked for
_WIDER = 1.5
#: photons that a background begins with, and how often what is above it by three sigmas is left out
_LEAST_LEVEL, _CLIPS = 0.01, 5
#: of the light, that pixels with one reflection's must have
_PURE = 0.7
#: bytes of a Jacobian that is held; beyond them the normal equations come from more passes over the image
_HELD = 1 << 29


class Room:
    """Memory for derivatives of an image, which the frames of a thread use in turn."""

    _of: ClassVar[WeakValueDictionary[int, Room]] = WeakValueDictionary()

    def __init__(self) -> None:
        self._array = np.zeros((0,))

    @classmethod
    def of_thread(cls) -> Room:
        """That of the others, which the last of them lets go of."""
        return cls._of.setdefault(threading.get_ident(), cls())

    def shaped(self, shape: tuple[int, ...]) -> Array:
        """Whatever was in it."""
        if self._array.shape != shape:
            self._array = np.zeros(shape)
        return self._array


class Frame:
    """An image, and where the refinement of it stands.

    Parameters
    ----------
    setup : Setup
    source : Source
    names : tuple of str
        Parameters and groups.
    noise : Noise
    kind : str
        Of the background.
    known : ndarray
        Of the background, photons: a number or an image.
    options : RenderOptions

    Attributes
    ----------
    setup : Setup
        Where it stands.
    background : ndarray (K,)
        Coefficients.
    free : tuple of str
        Single parameters.
    begun, turned : ndarray
        Their values at the start; by how much rotations, which each stage takes up into the orientation,
        have moved.
    said : str
        What of the data is left out.

    Notes
    -----
    What `rest` lets go of is made again from a few numbers, or read again, when it is asked for.
    """

    def __init__(
        self,
        setup: Setup,
        source: Source,
        names: tuple[str, ...],
        noise: Noise,
        kind: str,
        known: Array,
        options: RenderOptions,
    ) -> None:
        self.source, self.options, self.noise, self.kind, self._known = source, options, noise, kind, known
        self._simulator: Simulator | None = None
        self._loaded: Loaded | None = None
        self._pixels: Pixels | None = None
        self._slot: Slot | None = None
        self._block_noise = noise
        self._room: Room | None = None
        self._made: tuple[Simulator, Array] | None = None
        self._mask: NDArray[np.uint8] | None = None
        self.setup = self._base = self._now = settled(setup, names, options)
        self.first = self.setup
        self.free = tuple(p.name for p in expand(names, self.setup, scene=self.simulator.scene))
        self.said = self.loaded.said
        self.background = np.zeros(len(background_names(kind)))
        level = self._level()
        if kind in ("constant", "plane"):
            self.background[0] = level
        elif kind == "radial":
            self.background[:] = level
        self.begun, self.turned = self._free_values(), np.zeros(len(self.free))

    # ---- what is made or read when it is asked for ----

    @property
    def simulator(self) -> Simulator:
        """Of the stage that is open."""
        if self._simulator is None:
            with said_before():
                self._simulator = Simulator(self._now, self.options)
        return self._simulator

    @simulator.setter
    def simulator(self, simulator: Simulator) -> None:
        self._simulator, self._now = simulator, simulator.setup

    @property
    def loaded(self) -> Loaded:
        """The data."""
        if self._loaded is None:
            self._loaded = self.source.load(self.simulator.scene, self.noise)
        return self._loaded

    @property
    def fixed(self) -> Array:
        """Known background, photons, of the data's shape."""
        shape = self.loaded.pixels.shape
        if self._known.shape not in ((), shape):
            raise InputError(f"background has the shape {self._known.shape}; the image has {shape}")
        return np.broadcast_to(self._known, shape)

    @property
    def pixels(self) -> Pixels:
        """Those that count in the stage that was opened."""
        if self._pixels is None:
            assert self._slot is not None
            at, data, number, basis, fixed = self._slot.read()
            self._pixels = Pixels(at, data, number, basis, fixed, self._block_noise)
        return self._pixels

    @property
    def mask(self) -> NDArray[np.uint8]:
        """1: a pixel that counts."""
        if self._mask is None:
            ones = np.ones(len(self.pixels.at))
            self._mask = self.pixels.spread(ones, self.simulator.scene.image_shape).astype(np.uint8)
        return self._mask

    def rest(self) -> None:
        """Let go of what takes memory."""
        self.source.rest()
        if self._pixels is not None and self._slot is None:
            self._slot = Slot(list(self._pixels[:-1]))
        self._simulator = self._loaded = self._pixels = self._made = self._mask = None

    @property
    def nbytes(self) -> int:
        """About what `rest` frees."""
        loaded, pixels, made = self._loaded, self._pixels, self._made
        arrays = [] if loaded is None else [loaded.pixels, loaded.used]
        arrays += [] if pixels is None else list(pixels[:-1])
        arrays += [] if made is None else [made[1]]
        scene = None if self._simulator is None else self._simulator.scene
        blocks = () if scene is None else scene.crystals
        arrays += [block.orientations for block in blocks]
        return sum(array.nbytes for array in arrays)

    # ---- stages ----

    def _level(self) -> float:
        """Of the background, photons: the mean without what shines."""
        light = (self.loaded.pixels / self.noise.gain - self.fixed)[self.loaded.used]
        level = max(float(light[light <= np.quantile(light, 0.9)].mean()), _LEAST_LEVEL)
        for _ in range(_CLIPS):
            spread = float(np.sqrt(self.noise.variance(level))) / self.noise.gain
            dark = light[light <= level + 3 * spread]
            level = max(float(dark.mean()) if len(dark) else 0.0, _LEAST_LEVEL)
        return level

    def _free_values(self) -> Array:
        return np.array([p.value for p in expand(self.free, self.setup, scene=self.simulator.scene)])

    def share(self, names: Sequence[str], values: Array) -> None:
        """Begin with the same values as other images."""
        self.simulator = self.simulator.moved(names, values)
        self.setup = self.first = self._base = self._now

    def start(self, names: Sequence[str]) -> Array:
        """Values of parameters, then coefficients of the background, in the stage that is open."""
        return np.concatenate([self._linear(names).values, self.background])

    def weighed(self) -> float:
        """By how much -ln L of the sharp model is less for where it stands than at the start, negative."""
        return self.compared(self.first, self.setup)

    def back(self) -> None:
        """To the start."""
        self.setup, self.turned = self.first, np.zeros(len(self.free))

    def open(self, stage: Stage, scale: bool) -> None:
        """Begin a stage.

        Parameters
        ----------
        stage : Stage
        scale : bool
            Begin with the fluence that makes the model as bright as the data.
        """
        full = Simulator(self.setup, self.options)
        self.simulator, self._base = full, self.setup
        if stage.divide > 1:
            self.simulator = Simulator(blurred(self.setup, full.scene, stage.divide), self.options)
        self._pixels = self._sharp(full) if stage.divide == 1 else self._blocks(stage)
        self._block_noise, self._slot = self._pixels.noise, None
        self._made = self._mask = None
        if scale:
            shape = self.simulator.scene.image_shape
            model = self.pixels.number * self._image().reshape(-1)[self.pixels.at]
            rest = self.pixels.data / self.noise.gain - self.pixels.mean(np.zeros(shape), self.background)
            if model.sum() > 0 and rest.sum() > 0:
                fluence = self.simulator.scene.fluence * float(rest.sum() / model.sum())
                self.simulator = self.simulator.replace(fluence=fluence, flux=0.0)

    def _linear(self, parameters: Sequence[str]) -> Linearization:
        scene, made = restricted(self.simulator.scene, None, self.mask), self.simulator._stages
        return Linearization(self.simulator.setup, scene, self.options, parameters, made=made)

    def _image(self) -> Array:
        """That of `_linear`, whatever its parameters; made once."""
        if self._made is None or self._made[0] is not self.simulator:
            scene = restricted(self.simulator.scene, None, self.mask)
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
        self._room = Room.of_thread()
        return normal(self.pixels, linear, self._image(), background, self._room.shaped(shape))

    def reach(self) -> Array:
        """Farthest indices along each axis that pixels see."""
        scene = self.simulator.scene
        farthest = 1 / (resolution_range(scene)[0] * 1e-10)
        edges = (np.linalg.norm(block.orientations, axis=2).max(axis=0) for block in scene.crystals)
        return np.asarray(np.max([farthest * edge + 1 for edge in edges], axis=0))

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

    def close(self, found: Array, begun: Array, names: tuple[str, ...], moving: Sequence[str]) -> None:
        """Take the values of a stage up into the set-up.

        Parameters
        ----------
        found, begun : ndarray (p + K,)
            Of the stage's parameters and the coefficients, after and before.
        names : tuple of str
            Of the p.
        moving : sequence of str
            Those that are kept.
        """
        self.background = found[len(names) :]
        if moving:
            values = self._linear(moving).values
            self.setup = Simulator(self._base, self.options).moved(moving, values, fold=True).setup
        for i, name in enumerate(self.free):
            if name in names:
                at = names.index(name)
                self.turned[i] += found[at] - begun[at]

    def compared(self, one: Setup, other: Setup) -> float:
        """By how much -ln L is less for one set-up: one sub-pixel, as bright as the data, the sharp model."""
        basis = background_basis(self.kind, self.simulator.scene, np.arange(self.loaded.pixels.size))
        behind = (self.background @ basis).reshape(self.loaded.pixels.shape) + self.fixed
        found = float(np.where(self.loaded.used, self.loaded.pixels / self.noise.gain - behind, 0).sum())
        lights = []
        for setup in (one, other):
            image = Simulator(setup.replace(oversample=1), self.options).render().image
            light = np.asarray(image, np.float64)
            lights.append(light * (max(found, 1.0) / max(float(light[self.loaded.used].sum()), 1e-300)))
        lit = self.loaded.used & (np.maximum(*lights) > FLOOR)
        costs = (
            self.noise.misfit(self.loaded.pixels[lit], (light + behind)[lit]).cost.sum() for light in lights
        )
        first, second = map(float, costs)
        return second - first

    def fitted(self) -> Fitted:
        """Where it ended; of the pixels that counted, of which the image is at hand."""
        pixels = self.pixels
        photons = pixels.mean(self._image(), self.background)
        square = float(np.sum(deviation(photons, pixels.data, self.noise) ** 2))
        return Fitted(
            self.setup, self.background, self.begun, self.turned, self.said, len(pixels.at), square
        )  # fmt: skip

    def _blocks(self, stage: Stage) -> Pixels:
        """Sums over blocks, at their middles."""
        b, places, sums, counts, fixed = stage.block, [], [], [], []
        scene = self.simulator.scene
        for panel, first in zip(scene.panels, scene.offsets, strict=False):
            width, height = panel.fpixels, panel.spixels
            part = slice(first, first + width * height)
            used = self.loaded.used.reshape(-1)[part]
            values = (
                np.where(used, image.reshape(-1)[part], 0) for image in (self.loaded.pixels, self.fixed)
            )
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
        found = (np.where(self.loaded.used, self.loaded.pixels / self.noise.gain - behind, 0)).sum()
        light *= max(float(found), 1.0) / max(float(light[self.loaded.used].sum()), 1e-300)
        worth = light**2 * self.noise.weights(light + behind) > _WORTH
        others = np.random.default_rng(0).random(light.shape) < _OTHERS
        at = np.flatnonzero(self.loaded.used & (worth | others))
        return Pixels(
            at,
            self.loaded.pixels.reshape(-1)[at],
            np.ones(len(at)),
            basis[:, at],
            self.fixed.reshape(-1)[at],
            self.noise,
        )


def settled(setup: Setup, names: tuple[str, ...], options: RenderOptions) -> Setup:
    """With every number set that is free: a centre that was that of the image, a fluence that was a flux."""
    simulator = Simulator(setup, options)
    return simulator.moved(names, simulator.linearize(names).values).setup


def _with_factors(setup: Setup, factors: StructureFactors) -> Setup:
    """Of all crystals."""
    crystals = tuple(crystal.replace(structure_factors=factors) for crystal in setup.sample.crystals)
    return setup.replace(sample=Sample(crystals, setup.sample.weights))

"""`refine`: parameters of set-ups from measured images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.warn import said_before
from ..engine.options import RenderOptions
from ..inverse.noise import Noise, checked_noise
from ..inverse.places import BACKGROUNDS, background_names
from ..model.setup import Setup
from ..scene.parameters import expand
from ..simulation.simulator import Simulator
from .amplitudes import Amplitudes, Mates, amplitude_step, check_alike, cropped
from .frame import Frame
from .joint import Line, Problem, Stand, minimise
from .measured import checked_images
from .result import Refinement
from .stages import SHARP, Stage, kind_of, plan
from .transforms import scales_of

__all__ = ["refine"]

#: of amplitudes, each followed by all else ...
_TURNS, _STEPS_A_TURN, _HALVES = 20, 3, 6
#: ... until they move by less of their sigmas
_STILL = 0.1

Array = NDArray[np.float64]


def refine(
    data: Any,
    start: Setup | Sequence[Setup],
    parameters: Sequence[str] | str,
    *,
    noise: Noise | None = None,
    background: str | float | Array = "constant",
    restraints: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    shared: Sequence[str] | str = (),
    mask: Any = None,
    amplitudes: str | None = None,
    amplitude_prior: float = math.inf,
    stages: str = "auto",
    progress: Callable[[Line], None] | None = None,
    **options: Any,
) -> Refinement:
    """Find parameters that make measured images most likely.

    Fisher scoring with damping: the information comes from the model, exact derivatives from `linearize`.
    Where the crystal may turn, a blurred model of few cells comes first, on blocks of pixels and at low
    resolution, and sharpens in stages.

    Parameters
    ----------
    data : array_like, or sequence of them
        Measured pixels of each image, shape as `Result.image`: photons, or ADU less their offset.
    start : Setup, or sequence of Setup
        Where to begin: of each image, or one for all.
    parameters : sequence of str
        As of `Simulator.linearize`: ``"crystal.orientation"``, ``"crystal.cell"`` (tied by the lattice
        system), ``"detector.distance_mm"``, ``"crystal.N"``, ``"beam.fluence"`` ...
    noise : Noise, optional
        None: of photons that are counted.
    background : {"constant", "plane", "radial", "none"}, float or array_like
        What is added to the model: one number per image that is refined, a plane, twelve numbers over the
        scattering angle with straight lines between them; nothing; or photons a pixel that are known.
    restraints : mapping of str to float, optional
        Standard deviation, in the parameter's unit, of what is known of it: its value at the start.  A group
        stands for each of its parameters.
    bounds : mapping of str to (low, high), optional
        Values that a parameter may have.
    shared : sequence of str
        Parameters and groups that all images have in common.
    mask : array_like, or sequence of them, optional
        0: leave the pixel out, whatever it holds.
    amplitudes : str, optional
        Find structure factors too, shared by all images: the space group whose mates have one amplitude.
        They begin with those of the crystals; reflections that are 0 there, and F(000), stay.
    amplitude_prior : float
        Standard deviation of what is known of an amplitude, its value at the start, as a part of it.
    stages : {"auto", "none"}
        "none": the sharp model at once, from a start within a spot's width.
    progress : callable, optional
        Called with a `Line` for each step.
    **options
        Of `RenderOptions`: ``threads``, ``device``, ``precision``.

    Returns
    -------
    Refinement

    Raises
    ------
    InputError
        For unknown parameters, data that do not fit the detector, pixels that are not numbers or, of counted
        photons, negative and not masked, a mask without pixels, and parameters none of which is determined.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 6 -detpixels 64 -pixel 1 -fluence 1e27")
    >>> image = nbragg.Simulator(setup).render().image
    >>> data = nbragg.Noise().draw(image + 0.5, seed=1)
    >>> off = nbragg.Simulator(setup).moved(["crystal.rotation_deg[0]"], [0.1], fold=True).setup
    >>> found = nbragg.refine(data, off, ["crystal.orientation", "beam.fluence"])
    >>> found.converged
    True
    """
    if not isinstance(parameters, Iterable):
        raise InputError(f"parameters must be names or a list of them, not {parameters!r}")
    names = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    for name, given in (("restraints", restraints), ("bounds", bounds)):
        if not isinstance(given, (Mapping, type(None))):
            raise InputError(f"{name} take a dictionary by the names of parameters, not {given!r}")
    if progress is not None and not callable(progress):
        raise InputError(f"progress is called with each Line, print say, not {progress!r}")
    check.choice("stages", stages, ("auto", "none"))
    prior = check.number("amplitude_prior", amplitude_prior, above=0, infinity=True)
    noise = checked_noise(noise)
    kind, known = _background(background)
    frames = [
        Frame(
            _settled(setup, names),
            pixels,
            used,
            noise,
            kind,
            _over(known, pixels.shape),
            RenderOptions(**options),
        )
        for setup, pixels, used in checked_images(data, start, mask, noise)
    ]
    free = _free(frames, names)
    common = _common(frames[0].setup, free, shared)
    way = plan(frames[0].simulator.scene, free) if stages == "auto" else plan(frames[0].simulator.scene, ())
    run = _Run(frames, free, common, dict(restraints or {}), dict(bounds or {}), progress)
    mates = None if amplitudes is None else run.mates(amplitudes)
    with said_before():
        for number, stage in enumerate(way, 1):
            if number == len(way) > 1:
                run.weigh()
            stand = run.stage(stage, number, len(way))
        if mates is not None:
            stand = run.amplitudes(mates, prior, stand)
        return run.result(stand)


def _settled(setup: Setup, names: tuple[str, ...]) -> Setup:
    """With every number set that is free: a centre that was that of the image, a fluence that was a flux."""
    simulator = Simulator(setup)
    return simulator.moved(names, simulator.linearize(names).values).setup


def _background(given: Any) -> tuple[str, Array]:
    if isinstance(given, str):
        return check.choice("background", given, BACKGROUNDS), np.zeros(())
    known = np.asarray(given, np.float64)
    if not np.isfinite(known).all() or (known < 0).any():
        raise InputError("background: photons a pixel are numbers from 0")
    return "none", known


def _over(known: Array, shape: tuple[int, ...]) -> Array:
    if known.shape not in ((), shape):
        raise InputError(f"background has the shape {known.shape}; the image has {shape}")
    return np.broadcast_to(known, shape)


def _free(frames: Sequence[Frame], names: tuple[str, ...]) -> tuple[str, ...]:
    """Single parameters, alike in all images."""
    first: tuple[str, ...] = ()
    for k, frame in enumerate(frames):
        found = tuple(p.name for p in expand(names, frame.setup, scene=frame.simulator.scene))
        first = first or found
        if found != first:
            raise InputError(
                f"start[{k}] has the parameters {', '.join(found)}, start[0] {', '.join(first)}: they must "
                "be alike"
            )
    if not first:
        raise InputError('no parameter is named: give at least one, for example "crystal.orientation"')
    own = [name for name in first if name.startswith("response.")]
    if own:
        raise InputError(f"{own[0]} moves no photons: noise says what the detector makes of them")
    return first


def _members(setup: Setup, name: str, free: tuple[str, ...], what: str) -> list[str]:
    """Free parameters that a name or group stands for."""
    found = {p.name for p in expand((name,), setup)} if name not in free else {name}
    inside = [one for one in free if one in found]
    if not inside:
        raise InputError(f"{what} name {name!r}, which is not free{suggestion(name, free)}")
    return inside


def _common(setup: Setup, free: tuple[str, ...], shared: Sequence[str] | str) -> NDArray[np.bool_]:
    names = (shared,) if isinstance(shared, str) else shared
    given = {one for name in names for one in _members(setup, name, free, "shared")}
    return np.array([name in given for name in free])


class _Run:
    """A refinement on its way."""

    def __init__(
        self,
        frames: list[Frame],
        free: tuple[str, ...],
        common: NDArray[np.bool_],
        restraints: dict[str, float],
        bounds: dict[str, tuple[float, float]],
        progress: Callable[[Line], None] | None,
    ) -> None:
        self.frames, self.free, self.common, self.progress = frames, free, common, progress
        setup = frames[0].setup
        self.sigma = {
            one: check.number(f"restraints[{name}]", sigma, above=0)
            for name, sigma in restraints.items()
            for one in _members(setup, name, free, "restraints")
        }
        self.bounds = {
            one: limits for name, limits in bounds.items() for one in _members(setup, name, free, "bounds")
        }
        self.begun = [self._values(frame) for frame in frames]
        #: by how much rotations, which each stage takes up into the orientation, have moved
        self.turned = [np.zeros(len(free)) for _ in frames]
        self.history: list[Line] = []
        self.found: Amplitudes | None = None
        #: how many of them the data say something of
        self.amplitudes_free = 0.0
        shares = [values[common] for values in self.begun]
        if common.any() and any((other != shares[0]).any() for other in shares):
            mean = np.mean(shares, axis=0)
            names = [name for name, one in zip(free, common, strict=True) if one]
            for frame in frames:
                frame.setup = frame.simulator.moved(names, mean).setup
        self.first = [frame.setup for frame in frames]

    def _values(self, frame: Frame) -> Array:
        return np.array([p.value for p in expand(self.free, frame.setup, scene=frame.simulator.scene)])

    def weigh(self) -> None:
        """Go back to the start where the coarse stages led away from what the sharp model finds likely."""
        now = [frame.setup for frame in self.frames]
        better = sum(
            frame.compared(first, later)
            for frame, first, later in zip(self.frames, self.first, now, strict=True)
        )
        if better > 0:
            for frame, setup in zip(self.frames, self.first, strict=True):
                frame.setup = setup
            self.turned = [np.zeros(len(self.free)) for _ in self.frames]

    def stage(self, stage: Stage, number: int, of: int) -> Stand:
        """Run one; its values are taken up."""
        sharp = stage.divide == 1
        moving = self.free
        if not sharp:
            kinds = set(stage.kinds) - {"scale"}
            moving = tuple(name for name in self.free if kind_of(name) in kinds)
        names = moving if sharp else (*moving, "beam.fluence")
        bright = "beam.fluence" in self.free and not self.common[self.free.index("beam.fluence")]
        for frame in self.frames:
            frame.open(stage, names, bright or not sharp)
        return self._run(stage, names, moving, (number, of))

    def _run(
        self, stage: Stage, names: tuple[str, ...], moving: tuple[str, ...], place: tuple[int, int]
    ) -> Stand:
        """From where the frames stand, in the stage that is open."""
        start = [np.concatenate([frame.values(names), frame.background]) for frame in self.frames]
        problem = self._problem(names, moving, start)

        def say(step: int, cost: float, gain: float, damping: float) -> None:
            self.history.append(Line(*place, step, cost, gain, damping))
            if self.progress is not None:
                self.progress(self.history[-1])

        values, stand = minimise(problem, start, stage, say)
        p = len(names)
        if stage.divide == 1 and all(not np.diag(n.H)[:p].any() for n in stand.normals):
            raise InputError(
                f"the data say nothing of {', '.join(names)}: no light of the model falls on pixels that "
                "count"
            )
        for frame, found, begun, turned in zip(self.frames, values, start, self.turned, strict=True):
            frame.close(moving, found[p:])
            for i, name in enumerate(self.free):
                if name in names:
                    at = names.index(name)
                    turned[i] += found[at] - begun[at]
        return stand

    def _problem(self, names: tuple[str, ...], moving: tuple[str, ...], start: list[Array]) -> Problem:
        shares = np.array([name in moving and self.common[self.free.index(name)] for name in names])
        coefficients = background_names(self.frames[0].kind)
        shares = np.concatenate([shares, np.zeros(len(coefficients), bool)])
        bounds = {name: limits for name, limits in self.bounds.items() if name in names}
        scales = [scales_of((*names, *coefficients), tuple(values), bounds) for values in start]
        restraints = []
        for k, values in enumerate(start):
            importance, middle = np.zeros(len(names)), values[: len(names)].copy()
            for name, sigma in self.sigma.items():
                if name in moving:
                    i, j = names.index(name), self.free.index(name)
                    importance[i] = 1 / sigma**2 / (len(start) if shares[i] else 1)
                    middle[i] -= self.turned[k][j]
            restraints.append((middle, importance))
        return Problem(self.frames, names, shares, scales, restraints)

    def mates(self, space_group: str) -> Mates:
        """Of the list that all images have, as far as their pixels see it."""
        factors = check_alike([frame.setup for frame in self.frames])
        return Mates(cropped(factors, [frame.simulator.scene for frame in self.frames]), space_group)

    def amplitudes(self, mates: Mates, prior: float, stand: Stand) -> Stand:
        """After the sharp stage, in turns with all else, until amplitudes stay."""
        F = begun = mates.F
        weights: Array | None = None
        cost = sum(frame.with_factors(mates.factors_of(F)) for frame in self.frames)
        for turn in range(1, _TURNS + 1):
            before = F
            for _ in range(_STEPS_A_TURN):
                there, information = amplitude_step(self.frames, mates, F, begun, prior)
                F, cost = self._reached(mates, F, there, cost)
            if "beam.fluence" in self.free:  # which no image tells from all amplitudes together
                weights = information if weights is None else weights
                scale = np.sqrt(float(weights @ begun**2) / float(weights @ F**2))
                F = F * scale
                for frame in self.frames:
                    frame.with_factors(mates.factors_of(F), 1 / scale**2)
            stand = self._run(SHARP, self.free, self.free, (turn, _TURNS))
            cost = stand.cost
            seen = mates.free & (information > 0)
            sigma = np.where(seen, 1 / np.sqrt(np.maximum(information, 1e-300)), np.inf)
            if np.sqrt(np.mean(((F - before)[seen] / sigma[seen]) ** 2)) < _STILL:
                break
        else:
            text = f"amplitudes still move after {_TURNS} turns"
            stand = stand._replace(converged=False, message=stand.message or text)
        self.amplitudes_free = float(
            np.sum(information[seen] * F[seen] ** 2 / (1 + information[seen] * F[seen] ** 2))
        )
        self.found = Amplitudes(mates.hkl, F, sigma, mates.space_group)
        return stand

    def _reached(self, mates: Mates, F: Array, there: Array, cost: float) -> tuple[Array, float]:
        """As far towards new amplitudes as the cost falls."""
        for _ in range(_HALVES):
            reached = sum(frame.with_factors(mates.factors_of(there)) for frame in self.frames)
            if reached < cost:
                return there, reached
            there = (there + F) / 2
        return F, sum(frame.with_factors(mates.factors_of(F)) for frame in self.frames)

    def result(self, stand: Stand) -> Refinement:
        """After the sharp stage."""
        found = Refinement(self.frames, self.free, self.common, self.begun, self.turned, stand, self.history)
        found.amplitudes, found._amplitudes_free = self.found, self.amplitudes_free
        return found

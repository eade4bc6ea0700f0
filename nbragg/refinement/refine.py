"""`refine`: parameters of set-ups from measured images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.crew import Crew
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.processes import hands
from ..base.warn import said_before
from ..engine.options import RenderOptions
from ..inverse.noise import Noise, checked_noise
from ..inverse.places import BACKGROUNDS
from ..model.setup import Setup
from ..scene.build import make_scene
from ..scene.parameters import expand
from ..scene.stages import Stages
from .amplitudes import Amplitudes, Mates, amplitude_step, check_alike, cropped
from .course import Course, Place, go, turn
from .frame import Frame, settled
from .joint import Line, Stand
from .measured import Source, common_parts, paired, with_one_list
from .result import Outcome, Refinement
from .stages import plan

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
    workers: Any = 1,
    progress: Callable[[Line], None] | None = None,
    **options: Any,
) -> Refinement:
    """Find parameters that make measured images most likely.

    Fisher scoring with damping: the information comes from the model, exact derivatives from `linearize`.
    Where the crystal may turn, a blurred model of few cells comes first, on blocks of pixels and at low
    resolution, and sharpens in stages.

    Parameters
    ----------
    data : array_like, path-like or callable, or sequence of them
        Measured pixels of each image, shape as `Result.image`: photons, or ADU less their offset.  A file is
        read when it is needed, its offset taken off and its bad pixels left out, and so is what a callable
        without arguments returns, an array or an `ImageFile`: many images then need no memory.
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
    workers : int, str or dask.distributed.Client
        Processes among which images are divided, 1: this one; or the address of a Dask scheduler, or its
        client, all of whose workers take part.  What is found is the same to rounding.
    progress : callable, optional
        Called with a `Line` for each step; of several images that share nothing, with the last of each.
    **options
        Of `RenderOptions`: ``threads`` (of each worker), ``device``, ``precision``.

    Returns
    -------
    Refinement

    Raises
    ------
    RenderError
        When a worker ends.
    MissingPackageError
        For a scheduler, without Dask.
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
    names = _checked(parameters, restraints, bounds, progress)
    check.choice("stages", stages, ("auto", "none"))
    prior = check.number("amplitude_prior", amplitude_prior, above=0, infinity=True)
    noise = checked_noise(noise)
    kind, known = _background(background)
    setups, sources = paired(data, start, mask)
    setups = with_one_list(setups)
    if amplitudes is not None:
        check_alike(setups)
    settings = (names, noise, kind, known, RenderOptions(**options))
    constants = [known, *common_parts(setups, sources)]
    say = progress or (lambda line: None)
    with (
        Crew(hands(workers, len(setups), constants), _frame, setups, sources, common=settings) as frames,
        said_before(),
    ):
        first = settled(setups[0], names, settings[-1])
        course = _course(frames, first, shared, restraints or {}, bounds or {}, kind, stages)
        lines, stand = go(frames, course, say)
        _said_nothing(stand, course.free)
        outcome = Outcome(course.free, course.common, lines, stand)
        if amplitudes is not None:
            mates = Mates(cropped(setups[0].crystal.structure_factors, frames.each(Frame.reach)), amplitudes)
            outcome = _amplitudes(frames, course, mates, prior, outcome, say)
        fitted = frames.each(Frame.fitted)
    return Refinement(sources, fitted, outcome, noise, kind, known, settings[-1])


def _checked(parameters: Any, restraints: Any, bounds: Any, progress: Any) -> tuple[str, ...]:
    """Names; of all else that it is of the right kind."""
    if not isinstance(parameters, Iterable):
        raise InputError(f"parameters must be names or a list of them, not {parameters!r}")
    for name, given in (("restraints", restraints), ("bounds", bounds)):
        if not isinstance(given, (Mapping, type(None))):
            raise InputError(f"{name} take a dictionary by the names of parameters, not {given!r}")
    if progress is not None and not callable(progress):
        raise InputError(f"progress is called with each Line, print say, not {progress!r}")
    return (parameters,) if isinstance(parameters, str) else tuple(parameters)


def _course(
    frames: Crew[Frame],
    setup: Setup,
    shared: Sequence[str] | str,
    restraints: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    kind: str,
    stages: str,
) -> Course:
    """What is refined; images begin alike in what they share."""
    free = _free(frames)
    sigma = {
        one: check.number(f"restraints[{name}]", sigma, above=0)
        for name, sigma in restraints.items()
        for one in _members(setup, name, free, "restraints")
    }
    limits = {one: pair for name, pair in bounds.items() for one in _members(setup, name, free, "bounds")}
    way = plan(make_scene(setup, Stages()), free if stages == "auto" else ())
    course = Course(free, _common(setup, free, shared), sigma, limits, kind, way)
    shares = [begun[course.common] for begun in frames.each(_begun)]
    if course.common.any() and any((other != shares[0]).any() for other in shares):
        names = [name for name, one in zip(free, course.common, strict=True) if one]
        frames.each(Frame.share, common=(names, np.mean(shares, axis=0)))
    return course


def _background(given: Any) -> tuple[str, Array]:
    if isinstance(given, str):
        return check.choice("background", given, BACKGROUNDS), np.zeros(())
    known = np.asarray(given, np.float64)
    if not np.isfinite(known).all() or (known < 0).any():
        raise InputError("background: photons a pixel are numbers from 0")
    return "none", known


def _free(frames: Crew[Frame]) -> tuple[str, ...]:
    """Single parameters, alike in all images."""
    names: list[tuple[str, ...]] = frames.each(_names)
    for k, found in enumerate(names):
        if found != names[0]:
            raise InputError(
                f"start[{k}] has the parameters {', '.join(found)}, start[0] {', '.join(names[0])}: they "
                "must be alike"
            )
    if not names[0]:
        raise InputError('no parameter is named: give at least one, for example "crystal.orientation"')
    own = [name for name in names[0] if name.startswith("response.")]
    if own:
        raise InputError(f"{own[0]} moves no photons: noise says what the detector makes of them")
    return names[0]


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


def _said_nothing(stand: Stand, free: tuple[str, ...]) -> None:
    if all(not np.diag(n.H)[: len(free)].any() for n in stand.normals):
        raise InputError(
            f"the data say nothing of {', '.join(free)}: no light of the model falls on pixels that count"
        )


def _amplitudes(
    frames: Crew[Frame],
    course: Course,
    mates: Mates,
    prior: float,
    outcome: Outcome,
    say: Callable[[Line], None],
) -> Outcome:
    """After the sharp stage, in turns with all else, until amplitudes stay."""
    F = begun = mates.F
    weights: Array | None = None
    cost = _cost(frames, mates, F)
    lines, stand = list(outcome.lines), outcome.stand
    for number in range(1, _TURNS + 1):
        before, stuck = F, False
        for _ in range(_STEPS_A_TURN):
            there, information = amplitude_step(frames, mates, F, begun, prior)
            reached, cost = _reached(frames, mates, F, there, cost)
            stuck = reached is F and _moved(there - F, information, mates) > _STILL
            F = reached
        if "beam.fluence" in course.free:  # which no image tells from all amplitudes together
            weights = information if weights is None else weights
            scale = np.sqrt(float(weights @ begun**2) / float(weights @ F**2))
            F = F * scale
            _cost(frames, mates, F, 1 / scale**2)
        place = Place(len(course.way), len(course.way), 0, number)
        more, stand = turn(frames, course, place, say)
        lines += more
        cost = stand.cost
        seen = mates.free & (information > 0)
        sigma = np.where(seen, 1 / np.sqrt(np.maximum(information, 1e-300)), np.inf)
        if _moved(F - before, information, mates) < _STILL:
            break
    else:
        text = f"amplitudes still move after {_TURNS} turns"
        stand = stand._replace(converged=False, message=stand.message or text)
    if stuck:
        text = "no step of amplitudes lowers the cost, though its slope promises one"
        stand = stand._replace(converged=False, message=stand.message or text)
    known = information[seen] * F[seen] ** 2
    found = Amplitudes(mates.hkl, F, sigma, mates.space_group)
    return outcome._replace(
        lines=lines, stand=stand, amplitudes=found, amplitudes_free=float(np.sum(known / (1 + known)))
    )


def _moved(change: Array, information: Array, mates: Mates) -> float:
    """Of amplitudes that were seen, in their sigmas."""
    seen = mates.free & (information > 0)
    return float(np.sqrt(np.mean(change[seen] ** 2 * information[seen])))


def _cost(frames: Crew[Frame], mates: Mates, F: Array, brighter: float = 1.0) -> float:
    """-ln L with these amplitudes, where images then stand."""
    return float(frames.total(Frame.with_factors, common=(mates.factors_of(F), brighter)))


def _reached(frames: Crew[Frame], mates: Mates, F: Array, there: Array, cost: float) -> tuple[Array, float]:
    """As far towards new amplitudes as the cost falls."""
    for _ in range(_HALVES):
        reached = _cost(frames, mates, there)
        if reached < cost:
            return there, reached
        there = (there + F) / 2
    return F, _cost(frames, mates, F)


# ---- what frames are asked ----


def _frame(
    names: tuple[str, ...],
    noise: Noise,
    kind: str,
    known: Array,
    options: RenderOptions,
    setup: Setup,
    source: Source,
) -> Frame:
    return Frame(setup, source, names, noise, kind, known, options)


def _names(frame: Frame) -> tuple[str, ...]:
    return frame.free


def _begun(frame: Frame) -> Array:
    return frame.begun

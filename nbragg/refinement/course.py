"""The way of images through their stages: each by itself, or together where they share parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.crew import Crew
from ..base.errors import InputError, RenderError
from ..base.warn import said_before
from ..inverse.places import background_names
from .frame import Frame
from .joint import Line, Problem, Stand, minimise
from .stages import Stage, kind_of
from .transforms import scales_of

__all__ = ["Course", "Place", "alone", "go", "run", "together"]

Array = NDArray[np.float64]
Say = Callable[[Line], None]


class Course(NamedTuple):
    """What is refined, the same for all images.

    Attributes
    ----------
    free : tuple of str
        Single parameters.
    common : ndarray of bool (p,)
        Which of them images share.
    sigma : dict of str to float
        Restraints.
    bounds : dict of str to (low, high)
    kind : str
        Of the background.
    way : tuple of Stage
    """

    free: tuple[str, ...]
    common: NDArray[np.bool_]
    sigma: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    kind: str
    way: tuple[Stage, ...]

    def problem(
        self, frames: Crew[Frame], names: tuple[str, ...], moving: tuple[str, ...], start: list[Array]
    ) -> Problem:
        """Of one stage."""
        shares = np.array([name in moving and self.common[self.free.index(name)] for name in names])
        coefficients = background_names(self.kind)
        shares = np.concatenate([shares, np.zeros(len(coefficients), bool)])
        bounds = {name: limits for name, limits in self.bounds.items() if name in moving}
        scales = [scales_of((*names, *coefficients), tuple(values), bounds) for values in start]
        restraints = []
        for values, turned in zip(start, frames.each(_turned), strict=True):
            importance, middle = np.zeros(len(names)), values[: len(names)].copy()
            for name, sigma in self.sigma.items():
                if name in moving:
                    i, j = names.index(name), self.free.index(name)
                    importance[i] = 1 / sigma**2 / (len(start) if shares[i] else 1)
                    middle[i] -= turned[j]
            restraints.append((middle, importance))
        return Problem(frames, names, shares, scales, restraints)


class Place(NamedTuple):
    """Of a stage on the way, for lines.

    Attributes
    ----------
    stage, stages : int
    image, turn : int
        As of `Line`.
    """

    stage: int
    stages: int
    image: int = 0
    turn: int = 0


def run(
    frames: Crew[Frame],
    course: Course,
    stage: Stage,
    names: tuple[str, ...],
    moving: tuple[str, ...],
    place: Place,
    say: Say,
) -> Stand:
    """A stage that is open, of all images at once, from where they stand; its values are taken up.

    Parameters
    ----------
    frames : Crew of Frame
    course : Course
    stage : Stage
    names : tuple of str
        Parameters of the stage.
    moving : tuple of str
        Those of them that stay as found.
    place : Place
    say : callable
    """
    start = frames.each(Frame.start, common=(names,))
    problem = course.problem(frames, names, moving, start)

    def told(step: int, cost: float, gain: float, damping: float) -> None:
        say(Line(place.stage, place.stages, step, cost, gain, damping, place.image, place.turn))

    values, stand = minimise(problem, start, stage, told)
    frames.each(_close, values, start, common=(names, moving))
    return stand


def together(frames: Crew[Frame], course: Course, say: Say, image: int = 0) -> Stand:
    """All stages, of images that may share parameters."""
    free, way = course.free, course.way
    scale = "beam.fluence"
    bright = scale in free and not course.common[free.index(scale)] and scale not in course.bounds
    for number, stage in enumerate(way, 1):
        if number == len(way) > 1 and sum(frames.each(Frame.weighed)) > 0:
            # away from what the sharp model finds likely
            frames.each(Frame.back)
        sharp = stage.divide == 1
        moving = free
        if not sharp:
            kinds = set(stage.kinds) - {"scale"}
            moving = tuple(name for name in free if kind_of(name) in kinds)
        names = moving if sharp else (*moving, "beam.fluence")
        frames.each(Frame.open, common=(stage, not sharp or bright))
        stand = run(frames, course, stage, names, moving, Place(number, len(way), image), say)
    return stand


def alone(frame: Frame, course: Course, image: int) -> tuple[list[Line], Stand]:
    """All stages of one image; returns its lines."""
    lines: list[Line] = []
    with said_before():
        try:
            stand = together(Crew.here([frame]), course, lines.append, image)
        except (InputError, RenderError) as error:
            raise type(error)(f"data[{image - 1}]: {error}") from error
    return lines, stand


def again(frame: Frame, course: Course, place: Place) -> tuple[list[Line], Stand]:
    """The stage that is open once more, of one image."""
    lines: list[Line] = []
    with said_before():
        stand = run(Crew.here([frame]), course, course.way[-1], course.free, course.free, place, lines.append)
    return lines, stand


def go(frames: Crew[Frame], course: Course, say: Say) -> tuple[list[Line], Stand]:
    """All stages of all images; returns every line.

    Parameters
    ----------
    frames : Crew of Frame
    course : Course
    say : callable
        Told each step of images together, and of one; of images that are each by itself the last of each.
    """
    lines: list[Line] = []

    def told(line: Line) -> None:
        lines.append(line)
        say(line)

    if course.common.any() or len(frames) == 1:
        return lines, together(frames, course, told)

    def heard(k: int, answer: tuple[list[Line], Stand]) -> None:
        lines.extend(answer[0])
        say(answer[0][-1])

    numbers = range(1, len(frames) + 1)
    return lines, merged([one[1] for one in frames.each(alone, [course] * len(frames), numbers, heard=heard)])


def turn(frames: Crew[Frame], course: Course, place: Place, say: Say) -> tuple[list[Line], Stand]:
    """The sharp stage once more, of all images; returns its lines, of images by themselves one of all."""
    if course.common.any() or len(frames) == 1:
        lines: list[Line] = []

        def told(line: Line) -> None:
            lines.append(line)
            say(line)

        stage = course.way[-1]
        return lines, run(frames, course, stage, course.free, course.free, place, told)
    found = frames.each(again, common=(course, place))
    last = [one[0][-1] for one in found]
    stand = merged([one[1] for one in found])
    line = last[0]._replace(
        step=max(one.step for one in last), cost=stand.cost, gain=sum(one.gain for one in last),
        damping=max(one.damping for one in last),
    )  # fmt: skip
    say(line)
    return [line], stand


def merged(stands: Sequence[Stand]) -> Stand:
    """Of images each by itself."""
    lost = [(k, stand.message) for k, stand in enumerate(stands) if not stand.converged]
    message = ""
    if lost:
        k, why = lost[0]
        message = f"{len(lost)} of {len(stands)} images did not end, the first data[{k}]: {why}"
    normals = [normal for stand in stands for normal in stand.normals]
    return Stand(normals, sum(stand.cost for stand in stands), not lost, message)


def _close(frame: Frame, names: tuple[str, ...], moving: tuple[str, ...], found: Array, begun: Array) -> None:
    frame.close(found, begun, names, moving)


def _turned(frame: Frame) -> Array:
    return frame.turned

"""Which images ``nbragg refine`` is given: frames of stacks, and the experiment of each."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...base.errors import InputError
from .common import read_shaped

if TYPE_CHECKING:
    from ...inverse.noise import Noise
    from ...io.geometry.experiment import ImageOf
    from ...io.images import ImageFile
    from ...refinement.measured import Loaded
    from ...simulation.experiments import Experiments

__all__ = ["Paired", "Source", "loaded", "offset_of", "pair", "sources_from"]


class Source(NamedTuple):
    """An image to be read.

    Attributes
    ----------
    path : str
    frame : int or None
        Of a stack, from 0; None: the file's only image.
    number : int
        Among all that are given, from 1.
    """

    path: str
    frame: int | None
    number: int

    @property
    def name(self) -> str:
        """As it may be given: the file, and which frame, from 1."""
        return self.path if self.frame is None else f"{self.path}:{self.frame + 1}"

    def anywhere(self) -> Source:
        """With the whole path, for a process that stands in another folder."""
        return self._replace(path=os.path.abspath(self.path))


def sources_from(arguments: argparse.Namespace, shape: tuple[int, ...]) -> list[Source]:
    """Every image of the files that are given: all frames of a stack, or those named after a colon.

    Parameters
    ----------
    arguments : Namespace
        With ``images``, ``frame``, ``dataset`` and ``shape``.
    shape : tuple of int
        Of one image.

    Raises
    ------
    InputError
        For frames that are not there, and a selection beside ``--frame``.
    """
    found: list[tuple[str, int | None]] = []
    for word in arguments.images:
        path, first, last = _split(word)
        count = _frames(path, arguments, shape)
        if first is None or last is None:
            one = arguments.frame
            numbers = [one] if one is not None else list(range(count or 1))
            found += [(path, None if count is None and one in (None, 0) else k) for k in numbers]
            continue
        if arguments.frame is not None:
            raise InputError(f"{word} and --frame {arguments.frame} both choose frames: leave out --frame")
        if not 1 <= first <= last <= (count or 1):
            there = "one frame" if (count or 1) == 1 else f"the frames 1 to {count}"
            raise InputError(f"{word}: {path} has {there}")
        found += [(path, None if count is None else k) for k in range(first - 1, last)]
    return [Source(path, frame, number) for number, (path, frame) in enumerate(found, 1)]


def _split(word: str) -> tuple[str, int | None, int | None]:
    """File, first and last frame of ``file:3`` or ``file:1-20``, from 1; names of files may have colons."""
    path, colon, text = word.rpartition(":")
    if not colon or not path or Path(word).exists():
        return word, None, None
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is not None:
        return path, int(match[1]), int(match[2] or match[1])
    if Path(path).exists():
        raise InputError(f"{word}: a frame or a range of frames was expected, {path}:3 or {path}:1-20")
    return word, None, None


def _frames(path: str, arguments: argparse.Namespace, shape: tuple[int, ...]) -> int | None:
    """How many frames a stack has; None where the file holds one image, or nothing that fits."""
    from ...io import images

    stored = images.stored_shape(path, dataset=arguments.dataset)
    if stored is None or len(stored) != len(shape) + 1 or stored[0] == 1:
        return None
    return stored[0]


def loaded(
    arguments: argparse.Namespace,
    source: Source,
    shape: tuple[int, ...],
    noise: Noise,
    offset: float | None,
) -> Loaded:
    """Read an image of a detector whose image has that shape."""
    from ...refinement.measured import of_file

    return of_file(_content(arguments, source, shape), noise, offset)


def offset_of(arguments: argparse.Namespace, source: Source, shape: tuple[int, ...]) -> float:
    """What is taken off the pixels, where the command line does not say it."""
    return float(_content(arguments, source, shape).metadata.get("offset") or 0.0)


def _content(arguments: argparse.Namespace, source: Source, shape: tuple[int, ...]) -> ImageFile:
    wanted = {"image": source.path, "frame": source.frame or 0}
    given = {"shape": arguments.shape, "dataset": arguments.dataset}
    return read_shaped(argparse.Namespace(**wanted, **given), shape)


class Paired(NamedTuple):
    """Images that have an experiment.

    Attributes
    ----------
    sources : list of Source
    places : list of (int, int)
        Shot, and image of its scan from 0, of each.
    said : list of str
        What was left out, and why.
    """

    sources: list[Source]
    places: list[tuple[int, int]]
    said: list[str]


def pair(path: str, experiments: Experiments, sources: Sequence[Source]) -> Paired:
    """The experiment of each image: by the names of files and frames, or in order where none are said.

    Parameters
    ----------
    path : str
        Of the experiments.
    experiments : Experiments
    sources : sequence of Source

    Raises
    ------
    InputError
        Where it cannot be told which is whose, or none has any.
    """
    places: list[tuple[int, int]] = []
    named: list[ImageOf] = []
    for k, shot in enumerate(experiments.shots):
        first = experiments[shot[0]]
        count = 1 if first.scan is None else first.scan.images
        places += [(k, image) for image in range(count)]
        named += first.images if len(first.images) == count else ()
    if len(named) != len(places):
        return _in_order(path, experiments, places, sources, "")
    files, said = _files(path, {one.file for one in named}, sources)
    if not files:
        return _in_order(path, experiments, places, sources, " and names other files")
    where: dict[tuple[str, int | None], tuple[int, int]] = {}
    for one, place in zip(named, places, strict=True):
        if (one.file, one.frame) in where:
            frame = "" if one.frame is None else f", frame {one.frame + 1}"
            raise InputError(
                f"{path} has several experiments of {one.file}{frame} that do not share beam and detector"
            )
        where[one.file, one.frame] = place
    kept: dict[Source, tuple[int, int]] = {}
    for source in sources:
        found = _find(path, where, files.get(source.path), source)
        if found is None:
            said.append(f"{source.name}: left out, {path} has no experiment of it")
        else:
            kept[source] = found
    if not kept:
        raise InputError(f"{path} has no experiment of any image that is given: {_shown(named)}")
    unused = len(places) - len(set(kept.values()))
    if unused:
        said.append(f"{path}: {unused} of {len(places)} images are not given")
    return Paired(list(kept), list(kept.values()), said)


def _shown(named: Sequence[ImageOf]) -> str:
    """Where experiments are, of the first few."""
    names = [one.file if one.frame is None else f"{one.file}:{one.frame + 1}" for one in named[:3]]
    return "it has " + ", ".join(names) + (" ..." if len(named) > 3 else "")


def _in_order(
    path: str,
    experiments: Experiments,
    places: list[tuple[int, int]],
    sources: Sequence[Source],
    why: str,
) -> Paired:
    scans = [one.scan for one in experiments if one.scan is not None]
    if len(experiments.shots) == 1 and scans:
        if len(sources) > scans[0].images:
            raise InputError(f"{path} has a scan of {scans[0].images} images, and {len(sources)} are given")
    elif len(places) != len(sources):
        raise InputError(
            f"{path} holds {len(experiments.shots)} shots{why}, and {len(sources)} images are given: "
            "give one image for each, in their order"
        )
    said = [f"{path} names other files: paired with the images in order"] if why else []
    return Paired(list(sources), places[: len(sources)], said)


def _find(
    path: str,
    where: dict[tuple[str, int | None], tuple[int, int]],
    file: str | None,
    source: Source,
) -> tuple[int, int] | None:
    if file is None:
        return None
    if source.frame is not None and (file, None) in where:
        raise InputError(
            f"{path} does not say which frame of {source.path} its experiment belongs to: "
            f"give that one image, {source.path}:3 say, as a file of its own"
        )
    frames = (None, 0) if source.frame is None else (source.frame,)
    return next((where[file, frame] for frame in frames if (file, frame) in where), None)


def _files(path: str, names: set[str], sources: Sequence[Source]) -> tuple[dict[str, str], list[str]]:
    """The name that each given file has in the experiments; by the last part of it where they have moved."""
    folder = os.path.dirname(path)
    real = {os.path.realpath(place): name for name in names for place in (os.path.join(folder, name), name)}
    given = {source.path for source in sources}
    same = {one: real[os.path.realpath(one)] for one in given if os.path.realpath(one) in real}
    if same:
        return same, []
    last: dict[str, list[str]] = {}
    for name in names:
        last.setdefault(os.path.basename(name), []).append(name)
    alike = {one: last[os.path.basename(one)] for one in given if os.path.basename(one) in last}
    if not alike:
        return {}, []
    bases = [os.path.basename(one) for one in alike]
    if len(set(bases)) < len(bases) or any(len(found) > 1 for found in alike.values()):
        raise InputError(
            f"{path} names files in other folders than those given, and several are called alike: "
            f"{', '.join(sorted(set(bases))[:3])}"
        )
    moved = (
        f"{path} names files in another folder, {os.path.dirname(min(names)) or '.'}: paired by their names"
    )
    return {one: found[0] for one, found in alike.items()}, [moved]

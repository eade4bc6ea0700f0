"""Several images from one command line: consecutive rotations (-frames) or random orientations (-random)."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import InputError
from ..base.rotations import misset_angles
from ..io.files.atomic import open_atomic
from ..io.images.metadata import ImageMetadata, imgcif_frame
from ..scene.crystal_cell import placed_cell
from ..simulation.saving import file_names, is_one_file, name_pattern, numbered
from ..simulation.series import Series
from . import image_files, report
from .outputs import Outputs, check_paths
from .terminal import progress_bar

if TYPE_CHECKING:
    from ..base.vectors import FloatArray
    from ..model.crystal import Crystal
    from ..model.setup import Setup
    from ..scene.record import Scene
    from ..simulation.result import Result
    from ..simulation.saving import ImageFiles
    from ..simulation.simulator import Simulator
    from .parser import CommandLine

__all__ = ["run"]


def _numbered_outputs(outputs: Outputs, number: int, count: int) -> Outputs:
    """The canonical files with a number in every name, but for the dump file, which serves all images.

    ``number`` counts from 1; names from -first_frame.
    """
    first = outputs.first_frame
    names: dict[str, Any] = {}
    for field in dataclasses.fields(outputs):
        value = getattr(outputs, field.name)
        if field.name.endswith("_file") and value is not None:
            names[field.name] = numbered(value, first + number - 1, first + count - 1, template=False)
    return dataclasses.replace(outputs, **names | {"dump_file": None})


def run(command: CommandLine, simulator: Simulator) -> None:
    """Render and write the images, each as soon as it is ready; print a line for each.

    Raises
    ------
    InputError, FileError
        Before anything is written.
    KeyboardInterrupt
        Saying how far it came.
    """
    request = command.series
    assert request is not None
    random = request.kind == "random"
    table = f"{os.path.splitext(command.outputs.leader)[0]}_orientations.csv" if random else None
    _check_names(command, table)
    if random:
        images = Series.random(command.setup, request.count, request.seed, request.lattices)
        heading, labels = "misset (deg)", map(_misset_label, images)
    else:
        if request.changes is not None:
            images = Series(command.setup, request.changes)
        else:
            images = Series.frames(command.setup, request.count)
        heading, labels = (
            "phi (deg)",
            map(_phi_label, images, itertools.repeat(simulator.scene.placement.osc)),
        )
    if request.spectra is not None:
        images = Series(command.setup, spectra=request.spectra, **images.columns)  # type: ignore[arg-type]
    image_files.write_dump(command)
    if table is not None:
        _write_orientations(table, command, images, simulator.scene)
        print(f"orientations from seed {request.seed} in {table}\n")
    print(f"{'image':<32} {heading:<32} {'max_I':>12} {'mean':>12} {'seconds':>9}", flush=True)
    written = 0
    try:
        with (
            _interrupts() as check_interrupt,
            image_files.open_saves(command, request.count) as saves,
            progress_bar(request.count, "image", wanted=command.progress) as progress,
        ):
            for result, label in zip(simulator.render_many(images), labels, strict=True):
                print(_written(command, result, written + 1, label, saves), flush=True)
                written += 1
                check_interrupt()
                if progress is not None:
                    progress(written / request.count)
    except KeyboardInterrupt:
        stop = f"stopped at image {written + 1} of {request.count}; those before it are complete"
        lost = [path for _, path, _ in command.outputs.saves if is_one_file(path)]
        if lost:
            stop += f", but for {', '.join(lost)}, which was to hold all and was not written"
        raise KeyboardInterrupt(stop) from None
    print("\n".join(["", *_written_files(command, table)]), flush=True)


def _written_files(command: CommandLine, table: str | None) -> list[str]:
    """What a series left: the first and the last file of each kind, how many, how large."""
    series = command.series
    assert series is not None
    lines = ["wrote"]
    for names in image_files.names_of_kinds(command, series.count):
        name = names[0] if len(names) == 1 else f"{names[0]} to {os.path.basename(names[-1])}"
        lines.append(report.file_line(name, report.written_line(names)))
    if table is not None:
        lines.append(report.file_line(table, report.written_line([table])))
    names = [*image_files.names_of(command, series.count), *([table] if table else [])]
    return [*lines, report.written_line(names)]


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """A function that raises the KeyboardInterrupt that came and was lost.

    Python drops one that falls into a weak reference's callback, of which h5py has many.
    """
    came = []
    try:
        usual = signal.getsignal(signal.SIGINT)

        def note(number: int, frame: Any) -> None:
            came.append(number)
            if callable(usual):
                usual(number, frame)

        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread, which gets no signals
        yield lambda: None
        return

    def check() -> None:
        if came and callable(usual):
            raise KeyboardInterrupt

    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, usual)


def _phi_label(setup: Setup, osc: float) -> str:
    start = setup.sample.crystals[0].phi_deg
    return f"{start:g} to {start + math.degrees(osc):g}"


def _misset_label(setup: Setup) -> str:
    crystals, weights = setup.sample.crystals, setup.sample.weights
    assert weights is not None
    if not any(weights):
        return "no crystal"
    more = f" and {len(crystals) - 1} more" if len(crystals) > 1 else ""
    return " ".join(f"{x:.5g}" for x in _misset_deg(crystals[0])) + more


def _misset_deg(crystal: Crystal) -> tuple[float, ...]:
    assert crystal.orientation is not None
    return tuple(math.degrees(x) for x in misset_angles(crystal.orientation))


def _written(
    command: CommandLine, result: Result, number: int, label: str, saves: Sequence[ImageFiles]
) -> str:
    """Write one image's files; returns its line of the report."""
    series = command.series
    assert series is not None
    outputs = _numbered_outputs(command.outputs, number, series.count)
    # each noise image has a stream of its own, or of one generator a number of its own
    if command.setup.response is None:
        one = dataclasses.replace(command, outputs=outputs, seed=command.seed + number - 1)
    else:
        one = dataclasses.replace(command, outputs=outputs, image=command.image + number - 1)
    image_files.write_images(one, result, saves, with_misset=series.kind == "random")
    s = result.statistics
    name = outputs.float_file or f"image {command.outputs.first_frame + number - 1}"
    return f"{name:<32} {label:<32} {s.max:12g} {s.mean:12g} {result.elapsed:9.3g}"


def _check_names(command: CommandLine, table: str | None) -> None:
    """Refuse, before rendering, names that cannot be written or that belong to an input."""
    assert command.series is not None
    count, out = command.series.count, command.outputs
    fixed = [pair for pair in out.named() if pair[0] not in ("-save", "-save_noise", "-dump")]
    last = out.first_frame + count - 1
    first = [(option, numbered(path, out.first_frame, last, template=False)) for option, path in fixed]
    first += [(option, file_names(path, count, out.first_frame)[0]) for option, path, _ in out.saves]
    single = [("-random", table)] if table else []
    single += [("-dump", out.dump_file)] if out.dump_file else []
    check_paths([*first, *single], command.inputs)
    # names that stand alone must not be among the numbered ones
    single += [(option, path) for option, path, _ in out.saves if is_one_file(path)]
    alone = [*command.inputs.items(), *single]
    patterns = [(option, path, name_pattern(path, last, template=False)) for option, path in fixed]
    patterns += [
        (option, path, name_pattern(path, last)) for option, path, _ in out.saves if not is_one_file(path)
    ]
    for option, path, pattern in patterns:
        for other, name in alone:
            if pattern.fullmatch(os.path.realpath(name)):
                role = "is read by" if other in command.inputs else "is also written by"
                raise InputError(f"{option} {path}: {name} {role} {other}; give another name")


def _write_orientations(path: str, command: CommandLine, images: Series, scene: Scene) -> None:
    """The table of orientations: rotation matrix, missetting angles, A matrix (1/angstrom), and their frame.

    A = U B with B the reciprocal axes of the crystal that is not misset, at spindle angle 0.
    """
    assert command.series is not None
    frame = command.series.frame
    turn = imgcif_frame(ImageMetadata.from_scene(scene)) if frame == "imgcif" else np.eye(3)
    columns = ["image", "file", *(f"misset_{x}_deg" for x in "xyz")]
    columns += [f"U{i}{j}" for i in "123" for j in "123"]
    columns += [f"{axis}star_{x}" for axis in "abc" for x in "xyz"]
    with open_atomic(path, "w") as stream:
        stream.write(",".join([*columns, "frame"]) + "\n")
        for row in _orientation_rows(command, images, turn):
            stream.write(",".join([*row, frame]) + "\n")


def _numbered_crystals(images: Series) -> Iterator[tuple[int, Crystal]]:
    """The crystals of each image, with its number from 1; none of a blank."""
    for number, setup in enumerate(images, 1):
        assert setup.sample.weights is not None
        if any(setup.sample.weights):
            for crystal in setup.sample.crystals:
                yield number, crystal


def _orientation_rows(command: CommandLine, images: Series, turn: FloatArray) -> Iterator[list[str]]:
    rules = command.setup.rules
    for number, crystal in _numbered_crystals(images):
        assert crystal.orientation is not None
        cell = placed_cell(crystal, (0.0, 0.0, 0.0), rules)  # the orientation takes the place of the angles
        first = command.outputs.first_frame
        last = first + len(images) - 1
        out = command.outputs
        if out.float_file is not None:
            file = numbered(out.float_file, first + number - 1, last, template=False)
        else:
            names = file_names(out.leader, len(images), first)
            file = names[0] if len(names) == 1 else names[number - 1]
        quoted = f'"{file}"' if "," in file else file
        # that of the direct cell, which a distorted cell's reciprocal vectors miss (canonical 5.1)
        reciprocal = np.linalg.inv(cell.vectors).T @ turn.T
        orientation = turn @ crystal.orientation
        misset = (math.degrees(x) for x in misset_angles(orientation))
        numbers = [*misset, *orientation.ravel(), *reciprocal.ravel()]
        yield [str(number), quoted, *(repr(float(x)) for x in numbers)]

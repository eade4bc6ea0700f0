"""Several images from one command line: consecutive rotations (-frames) or random orientations (-random)."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io.atomic import is_special, open_atomic
from ..io.images import check_format
from . import image_files, parser
from .terminal import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..batch import Simulator
    from ..result import Result
    from .parser import CommandLine, Outputs

__all__ = ["numbered", "run"]


def numbered(path: str, number: int, count: int) -> str:
    """``name.ext`` as ``name_0001.ext``; devices and pipes keep their names."""
    if is_special(path):
        return path
    stem, suffix = os.path.splitext(path)
    return f"{stem}_{number:0{max(4, len(str(count)))}d}{suffix}"


def _numbered_outputs(outputs: Outputs, number: int, count: int) -> Outputs:
    """The same with a number in every name, but for the dump file, which serves all images."""
    names: dict[str, Any] = {}
    for field in dataclasses.fields(outputs):
        value = getattr(outputs, field.name)
        if field.name.endswith("_file") and value is not None:
            names[field.name] = numbered(value, number, count)
        elif field.name.endswith("_files"):
            names[field.name] = tuple(numbered(path, number, count) for path in value)
    return dataclasses.replace(outputs, **names | {"dump_file": None})


def run(command: CommandLine) -> None:
    """Render and write the images, each as soon as it is ready; print a line for each.

    Raises
    ------
    InputError, FileError
        Before anything is written.
    KeyboardInterrupt
        Saying how far it came.
    """
    from ..batch import Simulator

    series = command.series
    assert series is not None
    random = series.kind == "random"
    table = f"{os.path.splitext(command.outputs.float_file)[0]}_orientations.csv" if random else None
    _check_names(command, table)
    simulator = Simulator(
        command.crystal,
        command.beam,
        command.detector,
        command.sampling,
        physics=command.physics,
        precision=command.precision,
        device=command.device,
        threads=command.threads,
    )
    changes, labels = _random(command, simulator) if random else _frames(command, simulator)
    image_files.write_dump(command)
    if table is not None:
        _write_orientations(table, command, simulator, [change["orientation"] for change in changes])
        print(f"orientations from seed {series.seed} in {table}\n")
    print(f"{'image':<32} {labels[0]:<32} {'max_I':>12} {'mean':>12} {'seconds':>9}", flush=True)
    written = 0
    try:
        with progress_bar(series.count, "image", wanted=command.progress) as progress:
            for result, label in zip(simulator.render_many(changes), labels[1:], strict=True):
                print(_written(command, result, written + 1, label), flush=True)
                written += 1
                if progress is not None:
                    progress(written / series.count)
    except KeyboardInterrupt:
        stop = f"stopped at image {written + 1} of {series.count}; those before it are complete"
        raise KeyboardInterrupt(stop) from None


def _frames(command: CommandLine, simulator: Simulator) -> tuple[list[dict[str, Any]], list[str]]:
    """Changes for each frame, and a heading followed by their labels."""
    assert command.series is not None
    crystal = command.crystal
    width = math.degrees(simulator.scene.osc) if crystal.osc_deg is None else crystal.osc_deg
    if width <= 0:
        raise InputError("-frames needs the rotation range of each image: give -osc")
    starts = [crystal.phi_deg + i * width for i in range(command.series.count)]
    labels = [f"{start:g} to {start + width:g}" for start in starts]
    return [{"phi_deg": start} for start in starts], ["phi (deg)", *labels]


def _random(command: CommandLine, simulator: Simulator) -> tuple[list[dict[str, Any]], list[str]]:
    """Changes for each random orientation, and a heading followed by their labels."""
    from ..rotations import random_orientations

    assert command.series is not None
    turns = random_orientations(command.series.count, command.series.seed)
    labels = [" ".join(f"{x:.5g}" for x in _misset_deg(turn)) for turn in turns]
    return [{"orientation": turn} for turn in turns], ["misset (deg)", *labels]


def _misset_deg(turn: NDArray[np.float64]) -> tuple[float, ...]:
    from ..rotations import misset_angles

    return tuple(math.degrees(x) for x in misset_angles(turn))


def _written(command: CommandLine, result: Result, number: int, label: str) -> str:
    """Write one image's files; returns its line of the report."""
    series = command.series
    assert series is not None
    outputs = _numbered_outputs(command.outputs, number, series.count)
    # each noise image has a stream of its own
    one = dataclasses.replace(command, outputs=outputs, seed=command.seed + number - 1)
    image_files.write_images(one, result, with_misset=series.kind == "random")
    s = result.statistics
    return f"{outputs.float_file:<32} {label:<32} {s.max:12g} {s.mean:12g} {result.elapsed:9.3g}"


def _check_names(command: CommandLine, table: str | None) -> None:
    """Refuse, before rendering, names that cannot be written or that belong to an input."""
    assert command.series is not None
    first = _numbered_outputs(command.outputs, 1, command.series.count).named()
    parser.check_paths([*first, *([("-random", table)] if table else [])], command.inputs)
    for path in command.outputs.save_files:
        for number in range(1, command.series.count + 1):
            check_format(numbered(path, number, command.series.count))
    for option, path in command.outputs.named():
        stem, suffix = os.path.splitext(os.path.realpath(path))
        any_number = re.compile(re.escape(stem) + r"_\d{4,}" + re.escape(suffix))
        for reader, source in command.inputs.items():
            if any_number.fullmatch(os.path.realpath(source)):
                raise InputError(f"{option} {path}: {source} is read by {reader}; give another name")


def _write_orientations(
    path: str, command: CommandLine, simulator: Simulator, turns: Sequence[NDArray[np.float64]]
) -> None:
    """The table of orientations: rotation matrix, missetting angles, and A matrix (1/angstrom)."""
    columns = ["image", "file", *(f"misset_{x}_deg" for x in "xyz")]
    columns += [f"U{i}{j}" for i in "123" for j in "123"]
    columns += [f"{axis}star_{x}" for axis in "abc" for x in "xyz"]
    with open_atomic(path, "w") as stream:
        stream.write(",".join(columns) + "\n")
        for row in _orientation_rows(command, simulator, turns):
            stream.write(",".join(row) + "\n")


def _orientation_rows(
    command: CommandLine, simulator: Simulator, turns: Sequence[NDArray[np.float64]]
) -> Iterator[list[str]]:
    for number, turn in enumerate(turns, 1):
        cell = simulator.with_orientation(turn).scene.unit_cell
        file = numbered(command.outputs.float_file, number, len(turns))
        quoted = f'"{file}"' if "," in file else file
        # that of the direct cell, which a distorted cell's reciprocal vectors miss (canonical 5.1)
        reciprocal = np.linalg.inv(cell.vectors).T
        numbers = [*_misset_deg(turn), *turn.ravel(), *reciprocal.ravel()]
        yield [str(number), quoted, *(repr(float(x)) for x in numbers)]

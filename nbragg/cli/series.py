"""Several images from one command line: consecutive rotations (-frames) or random orientations (-random)."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import InputError
from ..base.rotations import misset_angles
from ..io.files.atomic import is_special, open_atomic
from ..scene.crystal_cell import placed_cell
from ..simulation.series import Series
from . import image_files
from .outputs import Outputs, check_paths
from .terminal import progress_bar

if TYPE_CHECKING:
    from ..model.crystal import Crystal
    from ..model.setup import Setup
    from ..simulation.result import Result
    from ..simulation.simulator import Simulator
    from .parser import CommandLine

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
    table = f"{os.path.splitext(command.outputs.float_file)[0]}_orientations.csv" if random else None
    _check_names(command, table)
    if random:
        images = Series.random(command.setup, request.count, request.seed)
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
    image_files.write_dump(command)
    if table is not None:
        _write_orientations(table, command, images)
        print(f"orientations from seed {request.seed} in {table}\n")
    print(f"{'image':<32} {heading:<32} {'max_I':>12} {'mean':>12} {'seconds':>9}", flush=True)
    written = 0
    try:
        with progress_bar(request.count, "image", wanted=command.progress) as progress:
            for result, label in zip(simulator.render_many(images), labels, strict=True):
                print(_written(command, result, written + 1, label), flush=True)
                written += 1
                if progress is not None:
                    progress(written / request.count)
    except KeyboardInterrupt:
        stop = f"stopped at image {written + 1} of {request.count}; those before it are complete"
        raise KeyboardInterrupt(stop) from None


def _phi_label(setup: Setup, osc: float) -> str:
    start = setup.crystal.phi_deg
    return f"{start:g} to {start + math.degrees(osc):g}"


def _misset_label(setup: Setup) -> str:
    return " ".join(f"{x:.5g}" for x in _misset_deg(setup.crystal))


def _misset_deg(crystal: Crystal) -> tuple[float, ...]:
    assert crystal.orientation is not None
    return tuple(math.degrees(x) for x in misset_angles(crystal.orientation))


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
    check_paths([*first, *([("-random", table)] if table else [])], command.inputs)
    for option, path in command.outputs.named():
        stem, suffix = os.path.splitext(os.path.realpath(path))
        any_number = re.compile(re.escape(stem) + r"_\d{4,}" + re.escape(suffix))
        for reader, source in command.inputs.items():
            if any_number.fullmatch(os.path.realpath(source)):
                raise InputError(f"{option} {path}: {source} is read by {reader}; give another name")


def _write_orientations(path: str, command: CommandLine, images: Series) -> None:
    """The table of orientations: rotation matrix, missetting angles, and A matrix (1/angstrom)."""
    columns = ["image", "file", *(f"misset_{x}_deg" for x in "xyz")]
    columns += [f"U{i}{j}" for i in "123" for j in "123"]
    columns += [f"{axis}star_{x}" for axis in "abc" for x in "xyz"]
    with open_atomic(path, "w") as stream:
        stream.write(",".join(columns) + "\n")
        for row in _orientation_rows(command, images):
            stream.write(",".join(row) + "\n")


def _orientation_rows(command: CommandLine, images: Series) -> Iterator[list[str]]:
    rules = command.setup.rules
    for number, setup in enumerate(images, 1):
        crystal = setup.crystal
        assert crystal.orientation is not None
        cell = placed_cell(crystal, (0.0, 0.0, 0.0), rules)  # the orientation takes the place of the angles
        file = numbered(command.outputs.float_file, number, len(images))
        quoted = f'"{file}"' if "," in file else file
        # that of the direct cell, which a distorted cell's reciprocal vectors miss (canonical 5.1)
        reciprocal = np.linalg.inv(cell.vectors).T
        numbers = [*_misset_deg(crystal), *crystal.orientation.ravel(), *reciprocal.ravel()]
        yield [str(number), quoted, *(repr(float(x)) for x in numbers)]

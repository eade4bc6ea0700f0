"""``nbragg background``: amorphous scattering alone, with nonBragg.c's command line, and its inverse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...base import validate
from ...base.errors import InputError
from ..terminal import guarded

if TYPE_CHECKING:
    from ...analysis.background import BackgroundTable
    from ...model.background import Background
    from ...model.setup import Setup
    from ...simulation.result import Result
    from ..nonbragg import NonBragg

__all__ = ["main"]

_PROGRAM = "nbragg background"

_HEAD = """\
usage: nbragg background -stol FILE [option ...]
       nbragg background --extract IMAGE -o FILE [option ...]
       nbragg background --extract IMAGE -o FILE --recipe FILE | -- nanobragg command line

Renders amorphous scattering with the options and defaults of nonBragg.c, or makes the table of an image: rows
s F sigma n, s = sin(theta)/lambda in 1/angstrom, F in electrons of one molecule. For --extract the set-up is
that of the options, or of a recipe or a nanobragg command line, whose first background says how many
molecules there were.
"""


def _help() -> str:
    from ..nonbragg import TABLE
    from ..options import listing

    return "\n".join([_HEAD.rstrip(), *listing(TABLE.options)]) + "\n"


def _run(words: Sequence[str]) -> int:
    from ..nonbragg import TABLE, build, settings_of
    from ..words import scan

    before, after = list(words), None
    if "--" in before:
        place = before.index("--")
        before, after = before[:place], before[place + 1 :]
    given = scan(before, TABLE)
    if not given or given[-1].option.name == "-h":
        print(_help(), end="")
        if not given:
            raise InputError("nothing given: -stol FILE or --extract IMAGE is needed")
        return 0
    command = build(settings_of(given))
    if "image" not in command.extract and (after is not None or "recipe" in command.extract):
        raise InputError("--recipe and what follows -- describe the image of --extract, which is missing")
    lines = [] if command.extract.get("only") else _render(command)
    if "image" in command.extract:
        lines += _extract(command, *_what_was_there(command, after))
    print("\n".join(lines), flush=True)
    return 0


def _render(command: NonBragg) -> list[str]:
    """The image's files; lines that say what was written."""
    from ...engine.options import RenderOptions
    from ...simulation.simulator import Simulator
    from .. import image_files, report
    from ..outputs import check_outputs
    from ..parser import CommandLine
    from ..terminal import progress_bar

    if command.background is None:
        raise InputError("no table: give -stol, -4stol or -Q with a file, or -stol water")
    seed = int(command.run.get("seed", time.time()))
    if command.outputs.noise_file is not None:
        validate.stream_seed("-seed", seed)
    options = RenderOptions(threads=command.run.get("threads"))
    check_outputs(command.outputs, command.inputs)
    simulator = Simulator(command.setup, options)
    line = CommandLine(command.setup, options, command.outputs, seed=seed, inputs=command.inputs)
    with progress_bar(report.pixels(simulator.scene), "px", wanted=command.run.get("progress", True)) as bar:
        result = simulator.render(progress=bar)
    if command.extract.get("Fmap"):
        result = _amplitudes(result, command.background)
    lines = [*report.statistics_lines(result.statistics, result.elapsed), ""]
    return lines + image_files.write_images(line, result, ())


def _amplitudes(result: Result, background: Background) -> Result:
    """F at the last source and sub-pixel of each pixel in place of its photons."""
    import numpy as np

    scene, panel = result.scene, result.scene.panel
    if panel.curved != "flat" or scene.backdrop is None:
        raise InputError("-Fmap knows flat detectors only: leave out -curved_det")
    slow, fast = np.indices(scene.image_shape)
    last = 1.0 - 0.5 / scene.backdrop.oversample
    places = [panel.pixel[0] * (fast + last), panel.pixel[1] * (slow + last)]
    P = panel.pix0 + places[0][..., np.newaxis] * panel.fdet + places[1][..., np.newaxis] * panel.sdet
    d = P / np.linalg.norm(P, axis=-1, keepdims=True)
    q = np.linalg.norm(d - scene.sources.incident[-1], axis=-1) / scene.sources.wavelength[-1]
    F = background.amplitude(0.5e-10 * q)
    used = scene.mask_image
    return result.replace(image=(F if used is None else np.where(used, F, 0.0)).astype(np.float32))


def _what_was_there(command: NonBragg, words: list[str] | None) -> tuple[Setup, Background, dict[str, Any]]:
    """The set-up of the image, what to take the number of molecules from, and how to make bins."""
    path = command.extract.get("recipe")
    if words is None and path is None:
        bins: dict[str, Any] = {}
        if command.background is not None and not isinstance(command.background.table, str):
            bins["s"] = command.background.rows[:, 0]
        return command.setup, command.sample, bins
    if words is not None and path is not None:
        raise InputError("give either --recipe or a nanobragg command line after --, not both")
    from ...io import recipe
    from ...model.background import Background
    from ...model.setup import Setup
    from ..commandline import from_cli

    setup = from_cli(words) if words is not None else recipe.load(str(path))
    if not isinstance(setup, Setup):
        raise InputError(f"{path} holds a {type(setup).__name__}; a whole set-up was expected")
    materials = [one for one in setup.backgrounds if isinstance(one, Background)]
    return setup, materials[0] if materials else command.sample, {}


def _extract(command: NonBragg, setup: Setup, like: Background, bins: dict[str, Any]) -> list[str]:
    from ...analysis.background import extract_background
    from ...io import images
    from ..outputs import check_paths

    asked = command.extract
    output = asked.get("output", "output.stol")
    check_paths([("-stolout", output)], command.inputs)
    values = images.read_image(asked["image"]).image
    mask = None
    for value in asked.get("ignore", ()):
        mask = (values != value) if mask is None else mask & (values != value)
    if "bins" in asked:
        bins = {"bins": asked["bins"]}
    table: BackgroundTable = extract_background(
        values,
        setup.beam,
        setup.detector,
        offset=command.outputs.offset,
        gain=asked.get("gain", 1.0),
        mask=mask,
        statistic=asked.get("statistic", "clipped"),
        like=like,
        surroundings=setup.surroundings,
        threads=command.run.get("threads"),
        **bins,
    )
    table.save(output)
    span = f"{table.s[0]:.4g} to {table.s[-1]:.4g} 1/angstrom"
    return [f"wrote {output}: {len(table.s)} rows s F sigma n, s from {span}, {int(table.n.sum())} pixels"]


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return guarded(_PROGRAM, lambda: _run(argv))

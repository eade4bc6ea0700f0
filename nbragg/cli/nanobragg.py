"""The command ``nanobragg``: the canonical command line, its report and its files.

Exit status: 0 done, 1 the image could not be rendered, 2 bad input (nothing written), 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .. import __version__
from ..base.errors import FileError, InputError, MissingPackageError, NbraggError
from . import options
from .terminal import BAD_INPUT, FAILED, INTERRUPTED, OK, busy, complain, progress_bar, warnings_as_lines
from .words import Given, UsageError, scan

if TYPE_CHECKING:
    from ..scene.record import Scene
    from ..simulation.result import Result
    from ..simulation.simulator import Simulator
    from .parser import CommandLine

__all__ = ["main"]

_PROGRAM = "nanobragg"

#: what takes so many seconds is told before
_LONG = 10.0


def _print_traces(command: CommandLine, result: Result) -> None:
    """Print how pixels came about: each sample of those chosen; of all, only the last (canonical 10.5)."""
    assert command.trace is not None
    for fast, slow in command.trace.pixels or _rendered_pixels(result.scene):
        trace = result.trace(slow, fast)
        if command.trace.pixels:
            print("\n".join(["", *trace.table()]))
        image = float(result.image[slow, fast])
        print("\n".join(["", *trace.summary(), f"  image         {image:.10g} photons"]))


def _rendered_pixels(scene: Scene) -> Iterator[tuple[int, int]]:
    """(fast, slow) of every pixel in the roi that is not masked, in raster order."""
    panel = scene.panel
    fmin, fmax, smin, smax = panel.roi
    for slow in range(smin, smax + 1):
        for fast in range(fmin, fmax + 1):
            if panel.mask is None or panel.mask[slow, fast]:
                yield fast, slow


def _check(command: CommandLine, scene: Scene) -> None:
    """Refuse files that cannot hold the image, a list that leaves it dark, pixels that are not rendered."""
    from ..io.images import check_geometry
    from ..scene.reach import check_listed

    for _, path, _ in command.outputs.saves:
        check_geometry(path, scene)
    if "-hkl" in command.inputs:
        check_listed(scene, command.inputs["-hkl"])
    if command.trace is None:
        return
    from ..analysis.trace import check_pixel

    for fast, slow in command.trace.pixels:
        check_pixel(scene, slow, fast)


def _tell_cost(command: CommandLine, simulator: Simulator) -> None:
    """Say what will take long, before it does, and what would take less."""
    from ..simulation.cost import clearly_short, time_text

    images = 1 if command.series is None else command.series.count
    if command.quiet or clearly_short(simulator.scene, command.options, _LONG, images):
        return
    cost = simulator.cost()
    if images * cost.seconds < _LONG:
        return
    of_all = "" if images == 1 else f", {images} images of {time_text(cost.seconds)} each"
    samples = f"{images * cost.samples:.3g} samples{of_all}"
    complain(_PROGRAM, "cost", f"about {time_text(images * cost.seconds)} for {samples}")
    complain(_PROGRAM, "cheaper", "; ".join(cost.advice))


def _run(given: Sequence[Given], argv: Sequence[str]) -> None:
    with busy("reading"):
        from ..simulation.simulator import Simulator
        from . import image_files, report
        from .parser import build
        from .settings import collect

        command = build(collect(given), given)
        simulator = Simulator(command.setup, command.options)
    scene = simulator.scene
    _check(command, scene)
    import shlex

    with contextlib.ExitStack() as stack:
        if command.quiet:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        print("nanobragg", shlex.join(argv))
        print(
            f"version {__version__}, physics {scene.physics}, precision {report.precision(command.options)}\n"
        )
        print("\n".join(report.scene_lines(command, scene)), flush=True)
        _tell_cost(command, simulator)
        if command.series is not None:
            from . import series

            series.run(command, simulator)
            return
        image_files.write_dump(command)
        with progress_bar(report.pixels(scene), "px", wanted=command.progress) as progress:
            result = simulator.render(progress=progress)
        lines = report.statistics_lines(result.statistics, result.elapsed)
        print("\n".join([*lines, *report.samples_lines(result, command.options)]))
        if command.trace is not None:
            _print_traces(command, result)
        with image_files.open_saves(command, None) as saves:
            lines = image_files.write_images(command, result, saves)
        print("\n".join(["", *lines, report.written_line(image_files.names_of(command, None))]), flush=True)


def _show(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; ``argv`` without the program's name.  Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words:
            raise UsageError("nothing given: a unit cell and structure factors are needed")
        given = scan(words)
        last = given[-1].option.name
        if last == "-h":
            return _show(options.help_text())
        if last == "-version":
            return _show(f"nanobragg {__version__}\n")
        with warnings_as_lines(_PROGRAM):
            _run(given, words)
        return OK
    except UsageError as error:
        print(options.USAGE, file=sys.stderr)
        complain(_PROGRAM, "error", error)
        return BAD_INPUT
    except (InputError, FileError, MissingPackageError) as error:
        complain(_PROGRAM, "error", error)
        return BAD_INPUT
    except KeyboardInterrupt as stop:
        complain(_PROGRAM, "interrupted", str(stop) or "no image was written")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of the report went away: nothing more can be said to it, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except NbraggError as error:
        complain(_PROGRAM, "error", error)
        return FAILED
    except MemoryError:
        remedy = "render a smaller image or a -roi, or fewer domains and sources"
        complain(_PROGRAM, "error", f"out of memory; {remedy}")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())

"""The command ``nanobragg``: the canonical command line, its report and its files.

Exit status: 0 done, 1 the image could not be rendered, 2 bad input (nothing written), 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import FileError, InputError, NbraggError, NbraggWarning
from ..warn import warn
from . import options, parser

if TYPE_CHECKING:
    from ..scene import Scene
    from ..simulate import Result
    from .parser import CommandLine, Given

__all__ = ["main"]

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def _complain(kind: str, message: object) -> None:
    print(f"nanobragg: {kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show each different NbraggWarning once, as one line on stderr."""
    shown = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, NbraggWarning):
                usual(message, category, *rest, **more)
            elif str(message) not in shown:
                shown.add(str(message))
                _complain("warning", message)

        warnings.simplefilter("always", NbraggWarning)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _progress_bar(scene: Scene, wanted: bool) -> Iterator[Callable[[float], None] | None]:
    """A callback that moves a bar on a terminal's stderr, or None."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    fmin, fmax, smin, smax = scene.roi
    total = (fmax - fmin + 1) * (smax - smin + 1)
    with tqdm(total=total, unit="px", unit_scale=True, file=sys.stderr, leave=False) as bar:

        def move(fraction: float) -> None:
            bar.update(int(fraction * total) - bar.n)

        yield move


def _print_traces(command: CommandLine, result: Result) -> None:
    """Print how the chosen pixels came about (canonical 10.5)."""
    assert command.trace is not None
    warn("-printout: this version does not print single pixels; the image is not affected")


def _write_dump(command: CommandLine) -> None:
    """The cache of structure factors, written before rendering so that even an interrupted run leaves it."""
    from ..io import fdump

    factors = command.crystal.structure_factors
    if command.outputs.dump_file is not None and factors.values is not None:
        fdump.write(command.outputs.dump_file, factors.values, factors.origin)


def _write_images(command: CommandLine, result: Result) -> list[str]:
    """Write all images or none; returns the lines that tell what was written."""
    from ..io import atomic, pgm, raw, smv
    from . import report

    image, scene, out = result.image, result.scene, command.outputs
    header = smv.header_bytes(scene)
    integers, int_scale = smv.integer_image(image, scene.roi, out.int_scale, out.adc)
    files = [(out.float_file, raw.chunks(image)), (out.int_file, smv.chunks(integers, header))]
    pgm_scale = out.pgm_scale
    if out.pgm_file is not None:
        if pgm_scale <= 0.0:
            pgm_scale = pgm.auto_scale(result.statistics.rmsd, int_scale)
        files.append((out.pgm_file, pgm.chunks(image, scene.roi, pgm_scale)))
    noise = None
    if out.noise_file is not None:
        from ..noise import noise_image

        noise = noise_image(image, scene.roi, command.seed, out.adc)
        files.append((out.noise_file, smv.chunks(noise.pixels, header)))
    atomic.write_files(files)
    return report.output_lines(command, int_scale, pgm_scale, noise)


def _run(given: Sequence[Given], argv: Sequence[str]) -> None:
    command = parser.build(parser.collect(given), given)
    from ..scene import build_scene
    from ..simulate import render
    from . import report

    scene = build_scene(
        command.crystal, command.beam, command.detector, command.sampling, physics=command.physics
    )
    print("nanobragg", shlex.join(argv))
    print(f"version {__version__}, physics {command.physics}, precision {command.precision}\n")
    print("\n".join(report.scene_lines(command, scene)), flush=True)
    _write_dump(command)
    with _progress_bar(scene, command.progress) as progress:
        result = render(
            scene,
            precision=command.precision,
            device=command.device,
            threads=command.threads,
            progress=progress,
        )
    print("\n".join(report.statistics_lines(result.statistics, result.elapsed)))
    if command.trace is not None:
        _print_traces(command, result)
    print("\n".join(["", *_write_images(command, result)]), flush=True)


def _show(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; ``argv`` without the program's name.  Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words:
            raise parser.UsageError("nothing given: a unit cell and structure factors are needed")
        given = parser.scan(words)
        last = given[-1].option.name
        if last == "-h":
            return _show(options.help_text())
        if last == "-version":
            return _show(f"nanobragg {__version__}\n")
        with _warnings_as_lines():
            _run(given, words)
        return OK
    except parser.UsageError as error:
        print(options.USAGE, file=sys.stderr)
        _complain("error", error)
        return BAD_INPUT
    except (InputError, FileError) as error:
        _complain("error", error)
        return BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted", "no image was written")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of the report went away: nothing more can be said to it, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except NbraggError as error:
        _complain("error", error)
        return FAILED
    except MemoryError:
        _complain("error", "out of memory; render a smaller image or a -roi, or fewer domains and sources")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())

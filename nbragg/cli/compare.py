"""The command ``nb-compare``: nanoBragg.c and nanobragg on the same arguments.

Exit status: 0 fine, 1 usage, 2 a program failed, 3 correlation below the threshold, 4 shapes differ and no
--resample, 5 a file cannot be read or written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .. import __version__
from ..base.errors import FileError, InputError, NbraggError
from .terminal import INTERRUPTED, OK, busy, complain, warnings_as_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["main"]

USAGE, RUNNER_FAILED, BELOW_THRESHOLD, SHAPES_DIFFER, FILE_FAULT = 1, 2, 3, 4, 5

_PROGRAM = "nb-compare"
_DEFAULT_C_BIN = "./nanoBragg"
_DEFAULT_THRESHOLD = 0.999

#: what the stem of each program's files is, and what it is called on screen
_STEMS = {"c": "reference", "py": "nanobragg"}


class _Stop(Exception):
    """Ends the command with a message and an exit status."""

    def __init__(self, status: int, message: object) -> None:
        super().__init__(str(message))
        self.status = status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Stop(USAGE, f"{message} ({_PROGRAM} -h explains)")


@dataclass(frozen=True)
class _Run:
    """One program's run."""

    command: list[str]
    seconds: float
    image: NDArray[np.float32]


def _parser() -> _Parser:
    parser = _Parser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} [option ...] -- ARGS ...",
        description="Run nanoBragg.c and nanobragg with the arguments after --, compare their float images.",
        epilog="Exit status: 0 fine, 1 usage, 2 a program failed, 3 correlation below the threshold, "
        "4 shapes differ and no --resample, 5 a file cannot be read or written.",
    )
    parser.add_argument(
        "--outdir",
        default="comparisons",
        metavar="DIR",
        help="the results' folder is made in this one; default comparisons",
    )
    parser.add_argument(
        "--roi",
        nargs=4,
        type=int,
        metavar=("XMIN", "XMAX", "YMIN", "YMAX"),
        help="compare these pixels only, inclusive",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=_DEFAULT_THRESHOLD,
        metavar="T",
        help="least correlation, default %(default)s",
    )
    parser.add_argument(
        "--resample", action="store_true", help="bring images of different shapes to the reference's"
    )
    parser.add_argument(
        "--png-scale",
        type=float,
        default=99.5,
        metavar="PCTL",
        help="percentile drawn black in the previews, default 99.5",
    )
    parser.add_argument(
        "--save-diff", action="store_true", help="write the difference as diff.bin and diff.png too"
    )
    parser.add_argument(
        "--c-bin", metavar="PATH", help="the reference program; default $NB_C_BIN, else ./nanoBragg"
    )
    parser.add_argument("--py-bin", metavar="PATH", help="our program; default this installation's nanobragg")
    return parser


def _arguments(words: list[str]) -> argparse.Namespace:
    before, args = words, []
    if "--" in words:
        place = words.index("--")
        before, args = words[:place], words[place + 1 :]
    arguments = _parser().parse_args(before)
    if not args:
        raise _Stop(
            USAGE, f"nothing to compare: give -- and the arguments of nanoBragg ({_PROGRAM} -h explains)"
        )
    if not -1.0 <= arguments.threshold <= 1.0:
        raise _Stop(USAGE, f"--threshold {arguments.threshold:g}: a number from -1 to 1 was expected")
    if not 0.0 < arguments.png_scale <= 100.0:
        raise _Stop(
            USAGE, f"--png-scale {arguments.png_scale:g}: a percentile above 0 and up to 100 was expected"
        )
    if arguments.roi and not (
        0 <= arguments.roi[0] <= arguments.roi[1] and 0 <= arguments.roi[2] <= arguments.roi[3]
    ):
        raise _Stop(USAGE, "--roi needs limits of at least 0, each minimum no larger than its maximum")
    arguments.args = args
    return arguments


def _program(path: str, option: str) -> str:
    """The program to run, found as a shell would."""
    found = shutil.which(path)
    if found is None:
        raise _Stop(USAGE, f"{option} {path}: there is no such program; give --c-bin PATH or --py-bin PATH")
    return os.path.abspath(found)


def _commands(arguments: argparse.Namespace) -> dict[str, list[str]]:
    c_bin = arguments.c_bin or os.environ.get("NB_C_BIN") or _DEFAULT_C_BIN
    ours = [sys.executable, "-m", "nbragg"]
    if arguments.py_bin:
        ours = [_program(arguments.py_bin, "--py-bin")]
    return {"c": [_program(c_bin, "--c-bin")], "py": ours}


def _new_folder(parent: str, args: list[str]) -> Path:
    """``parent/YYYYMMDD-HHMMSS-<hash>``; the hash is of the arguments."""
    digest = hashlib.sha256("\0".join(args).encode()).hexdigest()[:8]
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{digest}"
    Path(parent).mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 100):
        folder = Path(parent, name if attempt == 1 else f"{name}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise _Stop(FILE_FAULT, f"cannot make a new folder {name} in {parent}")


def _outputs(args: list[str], stem: str, folder: Path, scratch: Path) -> list[str]:
    """Options that keep a program's files apart from the other's; the last of an option counts."""
    words = ["-floatfile", str(folder / f"{stem}_float.bin"), "-intfile", str(scratch / f"{stem}.img")]
    words += ["-nonoise", "-nopgm"]
    if "-hkl" in args:
        words += ["-dump", str(scratch / f"{stem}.dump")]
    return words


def _run(
    key: str, command: list[str], args: list[str], folder: Path, scratch: Path
) -> tuple[list[str], float]:
    """Run a program, keep what it printed; the whole command and its wall time."""
    words = [*command, *args, *_outputs(args, key, folder, scratch)]
    start = time.perf_counter()
    with (
        open(folder / f"{key}_stdout.txt", "wb") as out,
        open(folder / f"{key}_stderr.txt", "wb") as err,
        busy(f"running {_STEMS[key]}"),
    ):
        try:
            status = subprocess.run(words, stdout=out, stderr=err, stdin=subprocess.DEVNULL).returncode
        except OSError as error:
            raise _Stop(RUNNER_FAILED, f"{words[0]} cannot be run: {error.strerror or error}") from None
    seconds = time.perf_counter() - start
    if status != 0:
        said = (folder / f"{key}_stderr.txt").read_text(errors="replace").strip().splitlines()
        last = f": {said[-1][:200]}" if said else ""
        raise _Stop(RUNNER_FAILED, f"{_STEMS[key]} ended with status {status}{last} (see {folder})")
    return words, seconds


def _image(key: str, folder: Path, scratch: Path) -> NDArray[np.float32]:
    """The float image a program wrote; its shape is that of the integer image beside it, else square."""
    import math

    from ..io.images import raw, smv

    path = folder / f"{key}_float.bin"
    if not path.is_file():
        raise _Stop(RUNNER_FAILED, f"{_STEMS[key]} wrote no float image (see {folder})")
    pixels, rest = divmod(path.stat().st_size, 4)
    edge = math.isqrt(pixels)
    integers = scratch / f"{key}.img"
    if integers.is_file():
        shape = smv.read(integers).pixels.shape
        size: tuple[int, int] = (shape[0], shape[1])
    elif rest == 0 and edge * edge == pixels and pixels:
        size = (edge, edge)
    else:
        raise _Stop(
            RUNNER_FAILED, f"{_STEMS[key]} wrote no integer image that would tell the shape of {path}"
        )
    return raw.read_float(path, size)


def _runs(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, _Run]]:
    commands = _commands(arguments)
    with tempfile.TemporaryDirectory(prefix="nb-compare-") as name:
        scratch = Path(name)
        for key, command in commands.items():
            words, seconds = _run(key, command, arguments.args, folder, scratch)
            yield key, _Run(words, seconds, _image(key, folder, scratch))


def _write_pictures(
    folder: Path, reference: NDArray[Any], image: NDArray[Any], percentile: float, save_diff: bool
) -> None:
    """Previews on one scale, and the difference."""
    import numpy as np

    from ..io.images import png, raw

    positive = reference[reference > 0]
    white = float(np.percentile(positive, percentile)) if positive.size else 1.0
    png.write(folder / "c.png", reference, white=white)
    png.write(folder / "py.png", image, white=white)
    if save_diff:
        difference = image.astype(np.float64) - reference
        raw.write_float(folder / "diff.bin", difference.astype(np.float32))
        largest = float(np.abs(difference).max())
        png.write(folder / "diff.png", np.abs(difference), white=largest or 1.0)


def _report(summary: dict[str, Any]) -> list[str]:
    figures = summary["comparison"]
    ratio = figures["sum_ratio"]
    c_seconds, py_seconds = summary["c"]["seconds"], summary["py"]["seconds"]
    place = f"fast {figures['max_fast']}, slow {figures['max_slow']}"
    return [
        f"runtime         {c_seconds:.3f} s reference, {py_seconds:.3f} s nanobragg "
        f"(ratio {c_seconds / py_seconds:.3g})",
        f"shape           {summary['c']['shape']} reference, {summary['py']['shape']} nanobragg (slow, fast)",
        f"correlation     {figures['correlation']:.12f}",
        f"MSE             {figures['mse']:.6g}",
        f"RMSE            {figures['rmse']:.6g}",
        f"max difference  {figures['max_difference']:.6g} at {place} "
        f"(reference max {figures['reference_max']:.6g})",
        f"sum             {figures['reference_sum']:.8g} reference, {figures['sum']:.8g} nanobragg",
        f"sum ratio       {'undefined' if ratio is None else f'{ratio:.9f}'}",
        f"threshold       {summary['threshold']:g}: {'passed' if summary['passed'] else 'NOT passed'}",
        f"folder          {summary['folder']}",
    ]


def _write_summary(folder: Path, summary: dict[str, Any]) -> None:
    from ..io.files.atomic import open_atomic

    with open_atomic(folder / "summary.json", "w") as stream:
        stream.write(json.dumps(summary, indent=2, allow_nan=False) + "\n")


def _compare(arguments: argparse.Namespace, folder: Path) -> int:
    from ..analysis.comparison import compare, resample

    runs = dict(_runs(arguments, folder))
    reference, image = runs["c"].image, runs["py"].image
    summary: dict[str, Any] = {
        "version": __version__,
        "folder": str(folder),
        "args": arguments.args,
        "command_line": shlex.join(arguments.args),
        "threshold": arguments.threshold,
        "roi": arguments.roi,
        "resampled": False,
        **{
            key: {"command": run.command, "seconds": run.seconds, "shape": list(run.image.shape)}
            for key, run in runs.items()
        },
    }
    compared: NDArray[Any] = image
    if image.shape != reference.shape:
        if not arguments.resample:
            _write_summary(folder, {**summary, "passed": False, "error": "shapes differ"})
            raise _Stop(
                SHAPES_DIFFER,
                f"the images have the shapes {reference.shape} (reference) and {image.shape} (nanobragg): "
                "--resample compares them all the same",
            )
        compared = resample(image, (reference.shape[0], reference.shape[1]))
        summary["resampled"] = True
    try:
        figures = compare(compared, reference, tuple(arguments.roi) if arguments.roi else None)
    except InputError as error:
        _write_summary(folder, {**summary, "passed": False, "error": str(error)})
        status = USAGE if re.match("roi", str(error)) else RUNNER_FAILED
        raise _Stop(status, error) from None
    _write_pictures(folder, reference, compared, arguments.png_scale, arguments.save_diff)
    summary["comparison"] = asdict(figures)
    summary["passed"] = figures.correlation >= arguments.threshold
    _write_summary(folder, summary)
    print("\n".join(_report(summary)), flush=True)
    return OK if summary["passed"] else BELOW_THRESHOLD


def _main(words: list[str]) -> int:
    arguments = _arguments(words)
    _commands(arguments)  # before a folder is made
    try:
        folder = _new_folder(arguments.outdir, arguments.args)
    except OSError as error:
        raise _Stop(
            FILE_FAULT, f"cannot make a folder in {arguments.outdir}: {error.strerror or error}"
        ) from None
    return _compare(arguments, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; ``argv`` without the program's name.  Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings_as_lines(_PROGRAM):
            return _main(words)
    except SystemExit:  # only -h ends this way
        return OK
    except _Stop as stop:
        complain(_PROGRAM, "error", stop)
        return stop.status
    except KeyboardInterrupt:
        complain(_PROGRAM, "interrupted", "the comparison is not complete")
        return INTERRUPTED
    except (FileError, OSError) as error:
        complain(_PROGRAM, "error", error)
        return FILE_FAULT
    except (NbraggError, MemoryError) as error:
        complain(_PROGRAM, "error", error if str(error) else "out of memory")
        return FILE_FAULT


if __name__ == "__main__":
    sys.exit(main())

"""From the words of a command line to Beam, Crystal, Detector, Sampling and what to write.

Three steps: :func:`scan` matches words with the option table (no numerical library is imported, so help is
instant); :func:`collect` turns them into settings, headers of ``-mask`` and ``-img`` first; :func:`build`
reads the input files and makes the dataclasses.  :func:`parse` does all three.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import FileError, InputError
from ..warn import warn
from .options import OPTIONS, Option, find, nearest

if TYPE_CHECKING:
    from ..beam import Beam
    from ..crystal import Crystal
    from ..detector import Detector
    from ..sampling import Sampling
    from ..structure_factors import StructureFactors
    from .header_input import Frame
    from .hkl_input import ReflectionFile

__all__ = [
    "CommandLine",
    "Given",
    "Outputs",
    "Series",
    "Trace",
    "UsageError",
    "build",
    "check_paths",
    "collect",
    "parse",
    "scan",
]

Settings = dict[str, Any]

_DUMP = "Fdump.bin"


class UsageError(InputError):
    """Too little was given to render anything; the short usage text helps."""


class Given(NamedTuple):
    """One option as it stands on the line."""

    option: Option
    spelled: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Outputs:
    """Files to write, and the scales of the integer ones; None: do not write."""

    float_file: str = "floatimage.bin"
    int_file: str = "intimage.img"
    pgm_file: str | None = "image.pgm"
    noise_file: str | None = "noiseimage.img"
    save_files: tuple[str, ...] = ()
    dump_file: str | None = None
    int_scale: float = 0.0  #: 0 or less: automatic
    pgm_scale: float = 0.0  #: 0 or less: automatic
    adc: float = 40.0

    def named(self) -> list[tuple[str, str]]:
        """(option, path) of every file that will be written."""
        files = [
            ("-floatfile", self.float_file),
            ("-intfile", self.int_file),
            ("-pgmfile", self.pgm_file),
            ("-noisefile", self.noise_file),
            *(("-save", path) for path in self.save_files),
            ("-dump", self.dump_file),
        ]
        return [(option, path) for option, path in files if path is not None]


@dataclass(frozen=True)
class Trace:
    """Pixels whose making is to be printed; coordinates are (fast, slow)."""

    pixels: tuple[tuple[int, int], ...] = ()  #: empty: every rendered pixel


@dataclass(frozen=True)
class Series:
    """Several images from one line."""

    kind: str  #: "frames" or "random"
    count: int
    seed: int = 0  #: of the orientations


@dataclass(frozen=True)
class CommandLine:
    """Everything one command line asks for."""

    crystal: Crystal
    beam: Beam
    detector: Detector
    sampling: Sampling
    outputs: Outputs
    physics: str = "nanobragg"
    precision: str = "double"
    device: str = "cpu"
    threads: int | None = None
    seed: int = 0  #: of the noise image
    progress: bool = True
    trace: Trace | None = None
    series: Series | None = None
    inputs: dict[str, str] = field(default_factory=dict)  #: option to path of every file read
    listed: ReflectionFile | None = None  #: the file of -hkl
    source: tuple[str, ...] = ()  #: lines that tell where the structure factors come from
    given: tuple[Given, ...] = ()


# ---- words to options --------------------------------------------------------------------------------------


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_option(word: str) -> bool:
    """A word that starts an option rather than giving a value; negative numbers are values."""
    return word.startswith("-") and len(word) > 1 and not _is_number(word)


def _number(spelled: str, word: str, kind: str) -> float | int:
    try:
        value = float(word)
        if "_" in word:
            raise ValueError
    except ValueError:
        raise InputError(f'{spelled}: "{word}" is not a number') from None
    if kind == "depth" and value == math.inf:
        return value
    if not math.isfinite(value):
        raise InputError(f'{spelled}: "{word}" is not a finite number')
    if kind == "int":
        if value != int(value):
            raise InputError(f'{spelled}: "{word}" is not a whole number')
        if abs(value) >= 2.0**63:
            raise InputError(f'{spelled}: "{word}" is too large; give a whole number below 2^63')
        return int(word) if word.lstrip("+-").isdigit() else int(value)
    return value


def _value(option: Option, spelled: str, kind: str, word: str) -> Any:
    if kind in ("float", "int", "depth"):
        return _number(spelled, word, kind)
    if kind == "choice" and word not in option.choices:
        raise InputError(f'{spelled}: "{word}" is not one of {", ".join(option.choices)}')
    if not word:
        raise InputError(f"{spelled}: empty value")
    return word


def _missing(option: Option, spelled: str, found: str | None) -> InputError:
    wanted = option.metavar + (f" ({option.unit})" if option.unit else "")
    after = f'found "{found}"' if found is not None else "the line ends"
    return InputError(f"{spelled} needs {wanted}, but {after}")


def _take(option: Option, spelled: str, words: Sequence[str]) -> tuple[Any, ...]:
    """Values of an option from the words that follow it."""
    if option.values == ("cell",):
        cell: list[float] = []
        for word in words[:6]:
            if _is_option(word):
                break
            cell.append(_number(spelled, word, "float"))
        if not cell:
            raise _missing(option, spelled, words[0] if words else None)
        return tuple(cell)
    if option.values == ("misset",):
        if words and words[0] == "random":
            return ("random",)
        kinds: tuple[str, ...] = ("float",) * 3
    else:
        kinds = option.values
    values = []
    for index, kind in enumerate(kinds):
        if index >= len(words) or _is_option(words[index]):
            raise _missing(option, spelled, words[index] if index < len(words) else None)
        values.append(_value(option, spelled, kind, words[index]))
    return tuple(values)


def _unknown(word: str, previous: Given | None) -> InputError:
    if not word.startswith("-"):
        after = f" after {previous.spelled}" if previous else ""
        return InputError(f'unexpected word "{word}"{after}; options start with -, see nanobragg -h')
    near = nearest(word)
    hint = f"; did you mean {near}?" if near else ""
    return InputError(f"unknown option {word}{hint} (nanobragg -h lists every option)")


def scan(argv: Sequence[str]) -> tuple[Given, ...]:
    """Match the words of a command line with the option table.

    Raises
    ------
    InputError
        Unknown option, missing value, text for a number, NaN or infinity.
    """
    given: list[Given] = []
    place = 0
    while place < len(argv):
        spelled = argv[place]
        option = find(spelled)
        if option is None:
            raise _unknown(spelled, given[-1] if given else None)
        values = _take(option, spelled, argv[place + 1 :])
        # "random" is one word, as is every other value
        place += 1 + len(values)
        given.append(Given(option, spelled, values))
        if option.name in ("-h", "-version"):
            break
    return tuple(given)


# ---- options to settings -----------------------------------------------------------------------------------


def _last(given: Sequence[Given], name: str) -> Any:
    """Value of the last use of an option of one word, or None."""
    return next((item.values[0] for item in reversed(given) if item.option.name == name), None)


def _padded_cell(values: tuple[float, ...]) -> tuple[float, ...]:
    """Missing lengths copy the first, missing angles are 90 (canonical 2)."""
    lengths = (values[:3] + (values[0],) * 2)[:3]
    return lengths + (values[3:] + (90.0,) * 3)[:3]


def _apply(settings: Settings, item: Given) -> None:
    option, values = item.option, item.values
    value: Any = values[0] if len(values) == 1 else values
    if option.name == "-cell":
        value = _padded_cell(values)
    elif option.name == "-energy":
        from ..beam import Beam

        settings["beam.wavelength_A"] = Beam.from_energy(value).wavelength_A
        return
    elif option.name == "-trace_pixel":
        value = values[::-1]
    for target in option.sets:
        settings[target] = (*settings.get(target, ()), value) if option.repeats else value
    settings.update(option.also)


def collect(given: Sequence[Given]) -> Settings:
    """Settings of all options in their order, over those of the ``-mask`` and then the ``-img`` header.

    Keys are those of the table's ``sets``; ``input.frames`` holds what those images gave, by option.
    """
    settings: Settings = {}
    frames: dict[str, Frame] = {}
    from_headers: Settings = {}
    physics = _last(given, "-physics") or "nanobragg"
    for option in ("-mask", "-img"):
        path = _last(given, option)
        if path is not None:
            from .header_input import read_frame

            frames[option] = read_frame(option, path, convention=_convention(given), exact=physics == "exact")
            from_headers.update(frames[option].settings)
    settings.update(from_headers)
    warned = set()
    for item in given:
        if not item.option.effect and item.option.name not in warned:
            warned.add(item.option.name)
            warn(f"{item.spelled} has no effect on the image")
        _apply(settings, item)
    settings["input.frames"] = frames
    explicit = {target for item in given for target in item.option.sets}
    settings["detector.header_fields"] = tuple(
        target.removeprefix("detector.")
        for target in from_headers
        if target.startswith("detector.") and target not in explicit
    )
    _drop_missing(settings)
    _reconcile(settings, given, from_headers)
    return settings


def _convention(given: Sequence[Given]) -> str:
    """The convention in force: that of the last option that selects one."""
    chosen = [dict(item.option.also).get("detector.convention") for item in given]
    return next((name for name in reversed(chosen) if name), "mosflm")


#: counts that are not given when they are not positive (canonical 2, 4, 5.6, 6)
_COUNTS = (
    "sampling.oversample",
    "beam.dispersion_steps",
    "beam.hdivsteps",
    "beam.vdivsteps",
    "crystal.mosaic_domains",
    "crystal.phisteps",
    "detector.thicksteps",
)
#: steps and ranges that are not given when they are negative (canonical 4, 6)
_STEPS_AND_RANGES = (
    "beam.hdivstep_mrad",
    "beam.vdivstep_mrad",
    "crystal.phistep_deg",
    "beam.hdivrange_mrad",
    "beam.vdivrange_mrad",
    "beam.dispersion_pct",
    "crystal.osc_deg",
)


def _drop_missing(settings: Settings) -> None:
    """Take out the values that stand for nothing given; say so of negative ones."""
    if settings.get("crystal.phisteps") == 0:
        settings["crystal.phisteps"] = 1
    for target in (*_COUNTS, *_STEPS_AND_RANGES):
        value = settings.get(target, 1)
        if value > 0 or (value == 0 and target in _STEPS_AND_RANGES):
            continue
        if target == "beam.dispersion_pct" and "beam.dispersion_steps" in settings:
            continue  # a missing range with a count would be 100 percent: the record refuses it
        del settings[target]
        if value < 0 and target != "sampling.oversample":
            option = next(option for option in OPTIONS if target in option.sets)
            warn(f"{option.name} {value:g} counts as not given")


def _reconcile(settings: Settings, given: Sequence[Given], from_headers: Settings) -> None:
    """Rules between options: which of two that exclude each other counts."""
    names = [item.option.name for item in given]
    exact = settings.get("run.physics") == "exact"
    # a close distance outranks -distance (canonical 3.3), also one that comes from a header
    overruled = "-distance" in names and "-close_distance" not in names
    if overruled and "detector.close_distance_mm" in from_headers:
        if exact:
            del settings["detector.close_distance_mm"]
        else:
            del settings["detector.distance_mm"]
            warn("-distance has no effect: CLOSE_DISTANCE of the header outranks it; give -close_distance")
    if "detector.fpixels" in from_headers and any(name.startswith("-detsize") for name in names):
        warn("-detsize has no effect: the header gives the pixel counts; give -detpixels and -pixel")
    _settle_pivot(settings, given, exact)


def _settle_pivot(settings: Settings, given: Sequence[Given], exact: bool) -> None:
    """Convention and pivot (canonical 3.4).

    Under a named convention only an explicit ``-pivot`` is passed on; for the custom one, what the order of
    the line left.  Vectors given before a named convention are lost to it.
    """
    in_order = settings.pop("detector.pivot_in_order", None)
    if settings.get("detector.convention") == "custom":
        for item in given:
            if item.option.name == "-pivot":
                in_order = item.values[0]
            in_order = dict(item.option.also).get("detector.pivot_in_order", in_order)
        settings["detector.pivot"] = in_order or "beam"
        return
    vectors = {
        item.option.sets[0]: item.spelled
        for item in given
        if ("detector.convention", "custom") in item.option.also
        and not (exact and item.option.name == "-pix0_vector")
    }
    if vectors:
        spelled = ", ".join(dict.fromkeys(vectors.values()))
        warn(f"{spelled} has no effect: -{settings['detector.convention']}, given later, sets all vectors")
        for target in vectors:
            settings.pop(target, None)


# ---- settings to dataclasses -------------------------------------------------------------------------------


def _part(settings: Settings, part: str) -> Settings:
    start = part + "."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}


def _open_list(settings: Settings) -> ReflectionFile | None:
    """Open the file of ``-hkl``; its cell and wavelength become settings where none are given."""
    path = settings.get("input.hkl")
    column = settings.get("input.column")
    if path is None:
        if column is not None:
            warn("-column has no effect without -hkl")
        return None
    from .hkl_input import open_file

    listed = open_file(path, column, settings.get("crystal.cell"))
    if "input.matrix" not in settings and listed.cell is not None:
        settings.setdefault("crystal.cell", listed.cell)
    if listed.wavelength_A is not None:
        settings.setdefault("beam.wavelength_A", listed.wavelength_A)
    return listed


def _without_list(settings: Settings, inputs: dict[str, str]) -> StructureFactors:
    """Structure factors of the dump file, or the same for every reflection."""
    from ..structure_factors import StructureFactors

    default_F = settings.get("hkl.default_F", 0.0)
    dump = settings.get("input.dump", _DUMP)
    if os.path.exists(dump):
        from ..io import fdump

        inputs["-dump"] = dump
        values, origin = fdump.read(dump)
        return StructureFactors(values=values, origin=origin, default_F=default_F)
    if default_F == 0.0:
        raise UsageError(f"no structure factors: give -hkl or -default_F (there is no dump file {dump})")
    if "input.dump" in settings:
        warn(f"there is no dump file {dump}: every structure factor is -default_F {default_F:g}")
    return StructureFactors.constant(default_F)


def _crystal(
    settings: Settings, wavelength_A: float, seed: int, inputs: dict[str, str], factors: StructureFactors
) -> Crystal:
    from ..crystal import Crystal

    part = _part(settings, "crystal")
    matrix = settings.get("input.matrix")
    if matrix is not None:
        from ..io.text_tables import read_matrix

        inputs["-mat"] = matrix
        part["a_matrix"] = read_matrix(matrix) / wavelength_A
    part["N"] = tuple(part.pop(f"N_{axis}", 1) for axis in "abc")
    part["size_mm"] = tuple(part.pop(f"size_{axis}", None) for axis in "abc")
    if part.get("misset_deg") == "random":
        part.setdefault("misset_seed", seed)
    return Crystal(structure_factors=factors, **part)


def _beam(settings: Settings, inputs: dict[str, str]) -> Beam:
    from ..beam import Beam, SourceList

    part = _part(settings, "beam")
    path = settings.get("input.sources")
    if path is not None:
        inputs["-sourcefile"] = path
        from ..conventions import CONVENTIONS

        convention = CONVENTIONS[settings.get("detector.convention", "mosflm")]
        direction = part.get("beam_vector", convention.beam)
        length = math.hypot(*direction)
        part["sources"] = SourceList.from_file(
            path,
            wavelength_A=part.get("wavelength_A", 1.0),
            beam_vector=[x / length if length else x for x in direction],
        )
    return Beam(**part)


def _detector(settings: Settings, inputs: dict[str, str]) -> Detector:
    from ..detector import Detector

    part = _part(settings, "detector")
    frames: dict[str, Frame] = settings["input.frames"]
    for option in frames:
        inputs[option] = settings["input." + option[1:]]
    mask = frames.get("-mask")
    if mask is not None:
        size = (part["spixels"], part["fpixels"])
        if mask.used.shape != size:
            raise FileError(
                f"{inputs['-mask']}: the mask is {mask.used.shape[1]} x {mask.used.shape[0]} pixels,"
                f" the detector {size[1]} x {size[0]}; use a mask of the detector's size"
            )
        part["mask"] = mask.used
    return Detector(**part)


def _series(run: Settings, settings: Settings, seed: int, traced: bool) -> Series | None:
    """What -frames or -random asks for."""
    kinds = [kind for kind in ("frames", "random") if kind in run]
    if not kinds:
        return None
    if len(kinds) > 1:
        raise InputError("-frames and -random both number the images: give one of them")
    if traced:
        raise InputError(f"-printout and -trace_pixel explain one image: leave out -{kinds[0]}")
    count = run[kinds[0]]
    if not 1 <= count <= 10**6:
        raise InputError(f"-{kinds[0]} {count}; expected 1 to 1000000 images")
    if kinds[0] == "random":
        if "crystal.misset_deg" in settings:
            warn("-misset has no effect with -random")
        return Series("random", count, int(settings.get("crystal.misset_seed", seed)))
    return Series("frames", count)


def check_paths(outputs: Sequence[tuple[str, str]], inputs: dict[str, str]) -> None:
    """Refuse outputs (option, path) that cannot be written, share a name, or overwrite an input."""
    from ..io.atomic import check_writable, is_special

    seen = {os.path.realpath(path): option for option, path in inputs.items()}
    for option, path in outputs:
        check_writable(path)
        if is_special(path):
            continue
        target = os.path.realpath(path)
        if target in seen:
            other = seen[target]
            role = "is read by" if other in inputs else "is also written by"
            raise InputError(f"{option} {path}: this file {role} {other}; give another name")
        seen[target] = option


def _check_saves(outputs: Outputs, *, existing: bool) -> None:
    """Refuse files of -save that could not be written; ``existing`` looks for NeXus files in the way too."""
    for path in outputs.save_files:
        from ..io.images import check_format

        check_format(path, existing=existing)


def build(settings: Settings, given: Sequence[Given] = (), *, check_outputs: bool = True) -> CommandLine:
    """Read the input files and make the dataclasses.

    ``check_outputs=False`` is for those who will write no files.

    Raises
    ------
    UsageError
        No unit cell or no structure factors.
    InputError, FileError
        A value or a file that cannot be used, or an output that could not be written.
    """
    from .. import backends, validate

    inputs: dict[str, str] = {}
    run = _part(settings, "run")
    seed = int(run.get("seed", time.time()))
    listed = _open_list(settings)
    if "input.matrix" not in settings and "crystal.cell" not in settings:
        raise UsageError("no unit cell: give -cell or -mat, or -hkl with a file that holds one")
    beam = _beam(settings, inputs)
    detector = _detector(settings, inputs)
    from ..sampling import Sampling

    sampling = Sampling(**_part(settings, "sampling"))
    source: tuple[str, ...] = ()
    if listed is None:
        factors = _without_list(settings, inputs)
    else:
        inputs["-hkl"] = listed.path
        default_F = settings.get("hkl.default_F", 0.0)
        factors, source = listed.structure_factors(beam, detector, sampling.dmin_A, default_F)
    crystal = _crystal(settings, beam.wavelength_A, seed, inputs, factors)
    files = _part(settings, "output")
    for kind in ("pgm", "noise"):
        if not files.pop(kind, True):
            files[f"{kind}_file"] = None
    dump = None if listed is None else settings.get("input.dump", _DUMP)
    outputs = Outputs(dump_file=dump, **files)
    series = _series(run, settings, seed, bool(run.get("printout")))
    if outputs.noise_file is not None:
        validate.stream_seed("-seed", seed, uses=1 if series is None else series.count)
    if check_outputs:
        check_paths(outputs.named(), inputs)
        _check_saves(outputs, existing=series is None)
    threads = run.get("threads")
    if threads is not None and not 1 <= threads <= 4096:
        raise InputError(f"-threads {threads}; expected 1 or more, up to 4096")
    device = run.get("device", "cpu")
    backends.parse(device)  # refuses what is no device
    trace = None
    if run.get("printout"):
        chosen = (run.get("printout_pixel"), run.get("trace_pixel"))
        trace = Trace(tuple(dict.fromkeys(pixel for pixel in chosen if pixel is not None)))
    return CommandLine(
        crystal,
        beam,
        detector,
        sampling,
        outputs,
        physics=run.get("physics", "nanobragg"),
        precision=run.get("precision") or backends.default_precision(device),
        device=device,
        threads=threads,
        seed=seed,
        progress=run.get("progress", True),
        trace=trace,
        series=series,
        inputs=inputs,
        listed=listed,
        source=source,
        given=tuple(given),
    )


def parse(argv: Sequence[str]) -> CommandLine:
    """All of a command line (without the program's name); see :func:`scan` and :func:`build` for errors."""
    given = scan(argv)
    return build(collect(given), given)

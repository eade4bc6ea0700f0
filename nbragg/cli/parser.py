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
from .options import Option, find, nearest

if TYPE_CHECKING:
    from ..beam import Beam
    from ..crystal import Crystal
    from ..detector import Detector
    from ..io.smv import SmvImage
    from ..sampling import Sampling
    from ..structure_factors import StructureFactors

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
        if words and words[0].startswith("rand"):
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


def _header_settings(option: str, path: str, frame: SmvImage, physics: str) -> Settings:
    """Settings from an SMV header (canonical 10.4); ``option`` is -mask or -img."""
    from ..io.smv import last_value

    def value(key: str) -> float | None:
        try:
            return last_value(frame.header_text, key)
        except FileError as error:
            raise FileError(f"{path}: {error}") from None

    slow, fast = frame.pixels.shape
    found: Settings = {"detector.fpixels": fast, "detector.spixels": slow}
    keys = {
        "PIXEL_SIZE": "detector.pixel_mm",
        "DISTANCE": "detector.distance_mm",
        "CLOSE_DISTANCE": "detector.close_distance_mm",
        "WAVELENGTH": "beam.wavelength_A",
        "BEAM_CENTER_X": "detector.Xbeam_mm",
        "BEAM_CENTER_Y": "detector.Ybeam_mm",
        "ORGX": "detector.ORGX",
        "ORGY": "detector.ORGY",
        "PHI": "crystal.phi_deg",
        "OSC_RANGE": "crystal.osc_deg",
    }
    for key, target in keys.items():
        number = value(key)
        if number is not None:
            found[target] = number
    if option == "-mask" and "detector.Ybeam_mm" in found:
        # mask headers count their beam centre from the other edge
        edge = found.get("detector.pixel_mm", 0.1) * slow
        found["detector.Ybeam_mm"] = edge - found["detector.Ybeam_mm"]
    twotheta = value("TWOTHETA")
    if twotheta:
        if physics == "exact":
            found["detector.twotheta_deg"] = twotheta
        else:
            warn(f"{path}: TWOTHETA={twotheta:g} of the header is not used; give -twotheta or -physics exact")
    return found


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
        settings[target] = value
    settings.update(option.also)


def collect(given: Sequence[Given]) -> Settings:
    """Settings of all options in their order, over those of the ``-mask`` and then the ``-img`` header.

    Keys are those of the table's ``sets``; ``input.frames`` holds the SMV images read, by option.
    """
    settings: Settings = {}
    frames: dict[str, SmvImage] = {}
    from_headers: Settings = {}
    physics = _last(given, "-physics") or "nanobragg"
    for option in ("-mask", "-img"):
        path = _last(given, option)
        if path is not None:
            from ..io import smv

            frames[option] = smv.read(path)
            from_headers.update(_header_settings(option, path, frames[option], physics))
    settings.update(from_headers)
    warned = set()
    for item in given:
        if not item.option.effect and item.option.name not in warned:
            warned.add(item.option.name)
            warn(f"{item.spelled} has no effect on the image")
        _apply(settings, item)
    settings["input.frames"] = frames
    _reconcile(settings, given, from_headers)
    return settings


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
    # where the beam centre places the detector, the near point of a header says nothing
    if not exact and settings.get("detector.convention", "mosflm") in ("mosflm", "adxv", "denzo"):
        for axis in "XY":
            if f"-ORG{axis}" not in names:
                settings.pop(f"detector.ORG{axis}", None)
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


def _structure_factors(settings: Settings, inputs: dict[str, str]) -> tuple[StructureFactors, str | None]:
    """Structure factors, and the dump file to write (None when nothing was read from a list)."""
    from ..structure_factors import StructureFactors

    default_F = settings.get("hkl.default_F", 0.0)
    dump = settings.get("input.dump", "Fdump.bin")
    hkl = settings.get("input.hkl")
    if hkl is not None:
        inputs["-hkl"] = hkl
        return StructureFactors.from_file(hkl, default_F=default_F), dump
    if os.path.exists(dump):
        from ..io import fdump

        inputs["-dump"] = dump
        values, origin = fdump.read(dump)
        return StructureFactors(values=values, origin=origin, default_F=default_F), None
    if default_F == 0.0:
        raise UsageError(f"no structure factors: give -hkl or -default_F (there is no dump file {dump})")
    if "input.dump" in settings:
        warn(f"there is no dump file {dump}: every structure factor is -default_F {default_F:g}")
    return StructureFactors.constant(default_F), None


def _crystal(
    settings: Settings, wavelength_A: float, seed: int, inputs: dict[str, str]
) -> tuple[Crystal, str | None]:
    """The crystal, and the dump file to write."""
    from ..crystal import Crystal

    part = _part(settings, "crystal")
    matrix = settings.get("input.matrix")
    if matrix is None and "cell" not in part:
        raise UsageError("no unit cell: give -cell or -mat")
    if matrix is not None:
        from ..io.text_tables import read_matrix

        inputs["-mat"] = matrix
        if not wavelength_A > 0.0:
            raise InputError(f"-lambda {wavelength_A:g} A; expected a positive wavelength")
        part["a_matrix"] = read_matrix(matrix) / wavelength_A
    part["N"] = tuple(part.pop(f"N_{axis}", 1) for axis in "abc")
    part["size_mm"] = tuple(part.pop(f"size_{axis}", None) for axis in "abc")
    if part.get("misset_deg") == "random":
        part.setdefault("misset_seed", seed)
    part["structure_factors"], dump = _structure_factors(settings, inputs)
    return Crystal(**part), dump


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
    frames: dict[str, SmvImage] = settings["input.frames"]
    for option in frames:
        inputs[option] = settings["input." + option[1:]]
    mask = frames.get("-mask")
    if mask is not None:
        size = (part["spixels"], part["fpixels"])
        if mask.pixels.shape != size:
            raise FileError(
                f"{inputs['-mask']}: the mask is {mask.pixels.shape[1]} x {mask.pixels.shape[0]} pixels,"
                f" the detector {size[1]} x {size[0]}; use a mask of the detector's size"
            )
        part["mask"] = mask.pixels != 0
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
        other = seen.setdefault(os.path.realpath(path), option)
        if other != option:
            role = "is read by" if other in inputs else "is also written by"
            raise InputError(f"{option} {path}: this file {role} {other}; give another name")


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
    inputs: dict[str, str] = {}
    run = _part(settings, "run")
    seed = int(run.get("seed", time.time()))
    if "input.matrix" not in settings and "crystal.cell" not in settings:
        raise UsageError("no unit cell: give -cell or -mat")
    beam = _beam(settings, inputs)
    detector = _detector(settings, inputs)
    from ..sampling import Sampling

    sampling = Sampling(**_part(settings, "sampling"))
    crystal, dump = _crystal(settings, beam.wavelength_A, seed, inputs)
    files = _part(settings, "output")
    for kind in ("pgm", "noise"):
        if not files.pop(kind, True):
            files[f"{kind}_file"] = None
    outputs = Outputs(dump_file=dump, **files)
    if check_outputs:
        check_paths(outputs.named(), inputs)
    threads = run.get("threads")
    if threads is not None and threads < 1:
        raise InputError(f"-threads {threads}; expected 1 or more")
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
        precision=run.get("precision", "double"),
        device=run.get("device", "cpu"),
        threads=threads,
        seed=seed,
        progress=run.get("progress", True),
        trace=trace,
        series=_series(run, settings, seed, trace is not None),
        inputs=inputs,
        given=tuple(given),
    )


def parse(argv: Sequence[str]) -> CommandLine:
    """All of a command line (without the program's name); see :func:`scan` and :func:`build` for errors."""
    given = scan(argv)
    return build(collect(given), given)

"""From the words of a command line to a Setup, RenderOptions and what to write.

Three steps: :func:`~nbragg.cli.words.scan` matches words with the option table;
:func:`~nbragg.cli.settings.collect` turns them into settings, headers of ``-mask`` and ``-img`` first;
:func:`build` reads the input files and makes the records.  :func:`parse` does all three.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..base import validate
from ..base.errors import FileError, InputError
from ..base.warn import warn
from ..engine.backend import RenderOptions
from ..model.beam import Beam, SourceList
from ..model.conventions import CONVENTIONS
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.panel import both_masks, mask_array
from ..model.physics import physics_of
from ..model.sampling import Sampling
from ..model.setup import Setup
from ..model.structure_factors import StructureFactors
from .crystal_input import lattices_of, sample_of, sizes_of, twins_of
from .geometry_input import check_spindle, scan_changes
from .outputs import Outputs, check_outputs, whole_name
from .response_input import fitting_outputs, response_from
from .settings import Settings, collect
from .surroundings_input import sensor_fields, surroundings_of
from .words import Given, UsageError, scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..model.background import Background
    from ..simulation.lattices import Lattices
    from .geometry_input import GeometryInput
    from .header_input import ImageInput
    from .hkl_input import ReflectionFile
    from .spectrum_input import SpectrumInput

__all__ = ["CommandLine", "SeriesRequest", "Trace", "build", "parse"]

_DUMP = "Fdump.bin"


@dataclass(frozen=True)
class Trace:
    """Pixels whose making is to be printed; coordinates are (fast, slow)."""

    pixels: tuple[tuple[int, int], ...] = ()  #: empty: every rendered pixel


@dataclass(frozen=True)
class SeriesRequest:
    """Several images from one line."""

    kind: str  #: "frames" or "random"
    count: int
    seed: int = 0  #: of the orientations
    changes: Sequence[Any] | None = None  #: of each image, where a scan was read
    frame: str = "laboratory"  #: of the table of orientations
    lattices: Lattices | None = None  #: how many crystals each image shows
    spectra: Sequence[Any] | None = None  #: of each image, where they differ


@dataclass(frozen=True)
class CommandLine:
    """Everything one command line asks for."""

    setup: Setup
    options: RenderOptions
    outputs: Outputs
    seed: int = 0  #: of the noise image
    image: int = 0  #: its number, for the random numbers of a detector's response
    progress: bool = True
    quiet: bool = False  #: no report
    trace: Trace | None = None
    series: SeriesRequest | None = None
    inputs: dict[str, str] = field(default_factory=dict)  #: option to path of every file read
    source: tuple[str, ...] = ()  #: lines that tell where the structure factors come from
    spectrum: str = ""  #: what -spectrum says
    given: tuple[Given, ...] = ()


def _part(settings: Settings, part: str) -> Settings:
    start = part + "."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}


# ---- structure factors -------------------------------------------------------------------------------------


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
    if not {"input.matrix", "crystal.a_matrix"} & set(settings) and listed.cell is not None:
        settings.setdefault("crystal.cell", listed.cell)
    if listed.wavelength_A is not None and "input.spectrum" not in settings:
        settings.setdefault("beam.wavelength_A", listed.wavelength_A)
    return listed


def _without_list(settings: Settings, inputs: dict[str, str]) -> StructureFactors:
    """Structure factors of the dump file, or the same for every reflection."""
    default_F = settings.get("hkl.default_F", 0.0)
    dump = settings.get("input.dump", _DUMP)
    set_aside = os.path.realpath(dump) == os.devnull
    if os.path.exists(dump) and not set_aside:
        from ..io.reflections import dump as fdump

        if "input.dump" not in settings:
            age = _age(time.time() - os.path.getmtime(dump))
            warn(
                f"structure factors are those of {dump} in this folder, {age} old, for there is no -hkl: "
                f"give -dump {dump} if they are meant, -dump {os.devnull} to leave them aside"
            )
        inputs["-dump"] = dump
        values, origin = fdump.read(dump)
        return StructureFactors(values=values, origin=origin, default_F=default_F)
    if default_F == 0.0:
        missing = "-dump is set aside" if set_aside else f"there is no dump file {dump}"
        raise UsageError(f"no structure factors: give -hkl or -default_F ({missing})")
    if "input.dump" in settings and not set_aside:
        warn(f"there is no dump file {dump}: every structure factor is -default_F {default_F:g}")
    return StructureFactors.constant(default_F)


def _age(seconds: float) -> str:
    """A time span in its largest whole unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


# ---- records -----------------------------------------------------------------------------------------------


def _crystal(
    settings: Settings, wavelength_A: float, seed: int, inputs: dict[str, str], factors: StructureFactors
) -> Crystal:
    part = _part(settings, "crystal")
    matrix = settings.get("input.matrix")
    if matrix is not None:
        from ..io.files.text_tables import read_matrix

        inputs["-mat"] = matrix
        part["a_matrix"] = read_matrix(matrix) / wavelength_A
    part["N"] = tuple(part.pop(f"N_{axis}", 1) for axis in "abc")
    for what in ("size", "block_size"):
        part[f"{what}_mm"] = tuple(part.pop(f"{what}_{axis}", None) for axis in "abc")
    if part.get("misset_deg") == "random":
        part.setdefault("misset_seed", seed)
    if "N_distribution" in part:
        part["N_distribution"] = sizes_of(part["N_distribution"])
    if "twin" in part:
        part["twin"] = twins_of(part["twin"])
    motions = _part(settings, "diffuse")
    if motions:
        from .diffuse_input import liquid_motions

        part["diffuse"] = liquid_motions(motions)
    return Crystal(structure_factors=factors, **part)


def _beam(settings: Settings, inputs: dict[str, str]) -> Beam:
    part = _part(settings, "beam")
    path = settings.get("input.sources")
    if path is not None:
        inputs["-sourcefile"] = path
        convention = CONVENTIONS[settings.get("detector.convention", "mosflm")]
        direction = part.get("beam_vector", convention.beam)
        length = math.hypot(*direction)
        part["sources"] = SourceList.from_file(
            path,
            wavelength_A=part.get("wavelength_A", 1.0),
            beam_vector=[x / length if length else x for x in direction],
        )
    read = _spectrum(settings, inputs)
    if read is not None:
        part["spectrum"] = read.spectrum
        if path is not None:
            part["sources"] = part["sources"].replace(wavelengths_A=None)
            warn("wavelengths of -sourcefile have no effect: -spectrum says them")
    return Beam(**part)


def _spectrum(settings: Settings, inputs: dict[str, str]) -> SpectrumInput | None:
    """What -spectrum says, kept in the settings as it was read."""
    text, channels = settings.get("input.spectrum"), settings.get("input.spectrum_channels")
    if text is None:
        for target, name in (
            ("input.spectrum_channels", "-spectrum_channels"),
            ("beam.spectral", "-spectral"),
        ):
            if target in settings:
                warn(f"{name} has no effect without -spectrum")
        return None
    from ..simulation.saving import image_number
    from .spectrum_input import check_alone, read_option

    check_alone(settings)
    read = read_option(text, channels, image_number(settings.get("output.first_frame", 1), 0))
    if read.file:
        inputs["-spectrum"] = read.file
    settings["input.read_spectrum"] = read
    return read


def _energies(settings: Settings, beam: Beam) -> NDArray[np.float64] | None:
    """Of the spectra of all images, eV; None without -spectrum."""
    read: SpectrumInput | None = settings.get("input.read_spectrum")
    return None if read is None or beam.spectrum is None else read.energies(beam.spectrum)


def _detector(settings: Settings, inputs: dict[str, str]) -> Detector:
    part = _part(settings, "detector") | sensor_fields(settings)
    images: dict[str, ImageInput] = settings["input.images"]
    read: GeometryInput | None = settings.get("input.read_geometry")
    if read is not None:
        inputs |= {read.option: read.path} | {option: settings["input." + option[1:]] for option in images}
        return Detector(**part)
    for option in images:
        inputs[option] = settings["input." + option[1:]]
    mask = images.get("-mask")
    if mask is not None:
        size = (part["spixels"], part["fpixels"])
        if mask.used.shape != size:
            raise FileError(
                f"{inputs['-mask']}: the mask is {mask.used.shape[1]} x {mask.used.shape[0]} pixels,"
                f" the detector {size[1]} x {size[0]}; use a mask of the detector's size"
            )
        part["mask"] = both_masks(part.get("mask"), mask_array(mask.used))
    return Detector(**part)


def _backgrounds(settings: Settings, physics: str, inputs: dict[str, str]) -> tuple[Background, ...]:
    part = _part(settings, "background")
    if not part:
        return ()
    from .background_input import read_backgrounds

    return read_backgrounds(part, physics_of(physics), inputs)


def _setup(
    settings: Settings, listed: ReflectionFile | None, seed: int, inputs: dict[str, str]
) -> tuple[Setup, tuple[str, ...]]:
    """The set-up, and lines that tell where its structure factors come from."""
    beam = _beam(settings, inputs)
    detector = _detector(settings, inputs)
    sampling = Sampling(**_part(settings, "sampling"))
    physics = settings.get("run.physics", "nanobragg")
    backgrounds = _backgrounds(settings, physics, inputs)
    source: tuple[str, ...] = ()
    if listed is None:
        factors = _without_list(settings, inputs)
    else:
        inputs["-hkl"] = listed.path
        default_F = settings.get("hkl.default_F", 0.0)
        factors, source = listed.structure_factors(
            beam, detector, sampling.dmin_A, default_F, physics, _energies(settings, beam)
        )
    crystal = _crystal(settings, beam.wavelength_A, seed, inputs, factors)
    check_spindle(settings, crystal)
    lattices_seed = int(settings.get("crystal.misset_seed", seed))
    sample = sample_of(settings, crystal, lattices_seed, inputs)
    around = surroundings_of(settings)
    setup = Setup(
        sample,
        beam,
        detector,
        sampling,
        physics,
        backgrounds=backgrounds,
        surroundings=around,
    )
    if "run.only_diffuse" in settings:
        from .diffuse_input import only_diffuse

        setup = only_diffuse(setup)
    return setup, source


# ---- what to do with it ------------------------------------------------------------------------------------


def _series(settings: Settings, seed: int) -> SeriesRequest | None:
    """What -frames or -random asks for."""
    run = _part(settings, "run")
    kinds = [kind for kind in ("frames", "random") if kind in run]
    if "orientation_frame" in run and "random" not in kinds:
        warn("-orientation_frame has no effect without -random")
    if not kinds:
        return None
    if len(kinds) > 1:
        raise InputError("-frames and -random both number the images: give one of them")
    if run.get("printout"):
        raise InputError(f"-printout and -printout_pixel explain one image: leave out -{kinds[0]}")
    count = run[kinds[0]]
    if not 1 <= count <= 10**6:
        raise InputError(f"-{kinds[0]} {count}; expected 1 to 1000000 images")
    if kinds[0] == "random":
        if "crystal.misset_deg" in settings:
            warn("-misset has no effect with -random")
        frame = run.get("orientation_frame", "laboratory")
        first = int(settings.get("crystal.misset_seed", seed))
        return SeriesRequest("random", count, first, frame=frame, lattices=lattices_of(settings))
    return SeriesRequest("frames", count)


def _spectra(settings: Settings, count: int) -> Sequence[Any] | None:
    """The spectra of a series that draws them; None: one for all images."""
    read: SpectrumInput | None = settings.get("input.read_spectrum")
    shots = None if read is None else read.shots(count)
    if shots is not None and "beam.wavelength_A" in settings:
        raise InputError("-lambda and -energy: each image's spectrum has a mean of its own; leave them out")
    return shots  # type: ignore[return-value]


def _outputs(settings: Settings, listed: ReflectionFile | None) -> Outputs:
    files = _part(settings, "output")
    for kind in ("pgm", "noise"):
        if not files.pop(kind, True):
            files[f"{kind}_file"] = None
    dump = None if listed is None else settings.get("input.dump", _DUMP)
    save_as = files.get("save_as", "photons")
    for name, pixels in (("save_files", save_as), ("save_noise_files", "counts")):
        files[name] = tuple(whole_name(path, pixels) for path in files.get(name, ()))
    saves = files["save_files"] or files["save_noise_files"]
    if files.pop("nofiles", False):
        if not saves:
            raise InputError("-nofiles leaves no image to write: give -save FILE or -save_noise FILE")
        files |= dict.fromkeys(("float_file", "int_file", "pgm_file", "noise_file"))
    if not 0 <= files.get("first_frame", 1) <= 10**9:
        raise InputError(f"-first_frame {files['first_frame']}; 0 to 1000000000 was expected")
    if save_as == "counts" and "int_scale" in files:
        warn("-scale has no effect on counts: -flux and -exposure decide how many there are")
    if not files["save_files"] and "save_as" in files:
        warn("-save_as has no effect without -save")
    for name in ("compression", "overwrite"):
        if name in files and not saves:
            warn(f"-{name} has no effect without -save")
    return Outputs(dump_file=dump, **files)


def build(settings: Settings, given: Sequence[Given] = (), *, checks_outputs: bool = True) -> CommandLine:
    """Read the input files and make the records.

    ``checks_outputs=False`` is for those who will write no files.

    Raises
    ------
    UsageError
        No unit cell or no structure factors.
    InputError, FileError
        A value or a file that cannot be used, or an output that could not be written.
    """
    from ..simulation.saving import image_number

    inputs: dict[str, str] = {}
    run = _part(settings, "run")
    seed = int(run.get("seed", time.time()))
    # refuses what is no device before anything is read
    names = ("device", "precision", "threads", "tolerance_photons")
    options = RenderOptions(**{name: run[name] for name in names if name in run})
    listed = _open_list(settings)
    if not {"input.matrix", "crystal.cell", "crystal.a_matrix"} & set(settings):
        raise UsageError("no unit cell: give -cell, -mat or -expt, or -hkl with a file that holds one")
    setup, source = _setup(settings, listed, seed, inputs)
    response = response_from(settings, inputs)
    if response is not None:
        setup = setup.replace(response=response)
    outputs = _outputs(settings, listed)
    series = _series(settings, seed)
    if series is not None and series.kind == "frames":
        changes = scan_changes(settings, given, setup.sample, series.count)
        series = dataclasses.replace(series, changes=changes)
    if series is not None:
        series = dataclasses.replace(series, spectra=_spectra(settings, series.count))
    if response is not None:
        validate.count("-seed", seed, at_least=1 - 2**63, at_most=2**64 - 1)
    elif outputs.counts or outputs.save_as == "counts":
        validate.stream_seed("-seed", seed, uses=1 if series is None else series.count)
    if checks_outputs:
        explicit = any(item.option.name == "-noisefile" for item in given)
        outputs = fitting_outputs(outputs, setup, explicit=explicit)
        check_outputs(outputs, inputs, None if series is None else series.count)
    trace = Trace(tuple(dict.fromkeys(run.get("printout_pixel", ())))) if run.get("printout") else None
    return CommandLine(
        setup,
        options,
        outputs,
        seed=seed,
        image=image_number(outputs.first_frame, 0),
        progress=run.get("progress", True) and not run.get("quiet", False),
        quiet=run.get("quiet", False),
        trace=trace,
        series=series,
        inputs=inputs,
        source=source,
        spectrum=settings["input.read_spectrum"].text if "input.read_spectrum" in settings else "",
        given=tuple(given),
    )


def parse(argv: Sequence[str]) -> CommandLine:
    """All of a command line (without the program's name).

    Raises
    ------
    InputError, FileError
        As :func:`~nbragg.cli.words.scan` and :func:`build`.
    """
    given = scan(argv)
    return build(collect(given), given)

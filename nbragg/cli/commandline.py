"""Set-ups from and to canonical command lines."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import InputError, NbraggWarning
from ..model.setup import InputFile, Setup
from .named_detector import named_base, named_words
from .surroundings_input import layer_words, material_text, surroundings_words
from .words import number_text

if TYPE_CHECKING:
    from ..model.background import Background
    from ..model.crystal import Crystal
    from ..model.response import DetectorResponse
    from .parser import CommandLine

__all__ = ["from_cli", "to_cli"]

_VECTORS = {
    "detector": ("fdet_vector", "sdet_vector", "odet_vector", "twotheta_axis", "pix0_vector_m"),
    "beam": ("beam_vector", "polar_vector"),
    "crystal": ("spindle_axis",),
}
#: fields that are not one number or one flag of the option table
_SPECIAL = {
    "crystal": {
        "structure_factors",
        "cell",
        "a_matrix",
        "misset_deg",
        "orientation",
        "rotation_deg",
        "domain_weight",
        "mosaic_weights",
        "mosaic_spread_deg",
        "mosaic",
        "mosaic_axes",
        "mosaic_set",
        "cell_spread",
        "twin",
        "twin_tolerance",
        "N",
        "N_distribution",
        "size_seed",
        "image",
        "Ndef",
        "size_mm",
        "block_size_mm",
        "shape",
        "diffuse",
    },
    "beam": {
        "sources",
        "polarization",
        "polarization_azimuth_deg",
        "nopolar",
        "spectrum",
        "spectral",
        "divergence_profile",
    },
    "detector": {
        "convention",
        "pivot",
        "shift_mm",
        "mask",
        "panels",
        "groups",
        "model",
        "header_fields",
        "material",
        "front",
    },
    "sampling": {"interpolate"},
}


def from_cli(arguments: str | Sequence[str]) -> Setup:
    """The set-up that a canonical command line describes.

    Input files are read; output files and how to run are left aside.  As for the command, the physics is
    "nanobragg" unless ``-physics`` says otherwise.

    Parameters
    ----------
    arguments : str or sequence of str
        One line, as typed in a shell, or its words; a program name at the start is skipped.

    Returns
    -------
    Setup
        Crystal, beam, detector, sampling, physics, and the input files' names.

    Raises
    ------
    InputError, FileError
        As the command would refuse the line.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 90 90 90 -default_F 100 -N 5 -detpixels 64")
    >>> setup.crystal.N
    (5, 5, 5)
    >>> nbragg.from_cli(nbragg.to_cli(setup)) == setup
    True
    """
    from .parser import build
    from .settings import collect
    from .words import scan

    words = shlex.split(arguments) if isinstance(arguments, str) else [str(word) for word in arguments]
    if words and not words[0].startswith("-"):
        del words[0]
    given = scan(words)
    if given and given[-1].option.name in ("-h", "-version"):
        raise InputError(f"{given[-1].spelled} describes no image: leave it out")
    line = build(collect(given), given, checks_outputs=False)
    return line.setup.replace(files=_input_files(line))


def _input_files(line: CommandLine) -> tuple[InputFile, ...]:
    files = []
    inputs = line.inputs | ({"-spectrum": line.spectrum} if line.spectrum else {})
    for option, path in inputs.items():
        content = _content(option, line.setup)
        if content is not None:
            files.append(InputFile(option, path, content))
    return tuple(files)


def _content(option: str, setup: Setup) -> tuple[Any, ...] | None:
    """What an input file gives, with all that decides how it is read; compares by content."""
    beam = setup.beam
    if option in ("-hkl", "-dump"):
        return (setup.crystal.structure_factors,)
    if option == "-mat" and setup.crystal.a_matrix is not None:
        return setup.crystal.a_matrix.tobytes(), beam.wavelength_A
    if option == "-spectrum" and beam.spectrum is not None:
        return (beam.spectrum,)
    if option == "-sourcefile":
        return beam.sources, beam.wavelength_A, beam.beam_vector, setup.detector.convention
    if option == "-mask" and setup.detector.mask is not None:
        return setup.detector.mask.shape, setup.detector.mask.tobytes()
    response = setup.response
    if option == "-gain_stages" and response is not None:
        return response.gain_stages
    if option == "-badpix_map" and response is not None and response.dead_map is not None:
        return response.dead_map.shape, response.dead_map.tobytes()
    return None


def to_cli(setup: Setup, folder: str | os.PathLike[str] | None = None) -> str:
    """The canonical command line of a set-up, such that ``from_cli`` gives it back.

    Parameters
    ----------
    setup : Setup
        From `from_cli`, or made from its records.
    folder : path, optional
        Where to write what a command line takes from files (structure factors, A matrix, sources, mask) when
        it did not come from one, or changed since.

    Returns
    -------
    str
        Options and values, quoted for a shell.

    Raises
    ------
    InputError
        When files are needed and no folder is given, or for what a command line cannot say: several crystals,
        panels by their places but those of the library, rectangular pixels, numbers of cells that are not
        whole, structure factors at several energies unlike those that a model's file gives, weights of
        domains, thermal diffuse scattering and tensors, a shifted detector, a turned polarization, a
        background of photons, a detector response with a source of its own.
    FileError
        When they cannot be written.

    Notes
    -----
    A file keeps the numbers of an A matrix and of wavelengths to the last place or the one before.  An
    orientation matrix and ``rotation_deg`` become missetting angles.  Structure factors without a list are as
    given as long as there is no dump file in the current folder.
    """
    _check_expressible(setup)
    words = list(_words(setup, _Files(setup, folder)))
    if setup.files and not _gives(words, setup):
        # the header of a mask says more than can be overruled, and what is made of a model or an MTZ file
        # depends on other options
        if folder is None:
            paths = ", ".join(file.path for file in setup.files)
            raise InputError(f"{paths}: read again, they do not give this set-up: give a folder to write to")
        words = list(_words(setup, _Files(setup, folder, without=("-mask", "-hkl", "-spectrum"))))
    return shlex.join(words)


def _check_expressible(setup: Setup) -> None:
    """Refuse what a command line cannot say; `nbragg.dump` can."""
    from .background_input import unsaid

    sample, detector = setup.sample, setup.detector
    if len(sample) > 1 or sample.weights != (1.0,):
        what = (
            f"a sample of {len(sample)} crystals"
            if len(sample) > 1
            else f"a crystal of weight {sample.weights}"
        )
    elif detector.model and named_base(detector) is None:
        what = f"a detector of the model {detector.model!r} unlike that of the library"
    elif detector.panels and not detector.model:
        what = f"a detector of {len(detector.panels)} panels"
    elif isinstance(detector.pixel_mm, tuple):
        what = f"rectangular pixels {detector.pixel_mm} mm"
    else:
        crystal, beam = setup.crystal, setup.beam
        possible = {
            f"N {crystal.N}": all(float(n).is_integer() for n in crystal.N),
            "domain_weight": crystal.domain_weight is None,
            "mosaic_weights": crystal.mosaic_weights is None,
            "sizes in a list": (crystal.N_distribution or ("",))[0] != "listed",
            "sizes of another seed or image": (crystal.size_seed, crystal.image) == (1, 0),
            "a covariance of mosaic rotations": np.size(crystal.mosaic_spread_deg or ()) != 6,
            "a strain tensor": np.size(crystal.cell_spread or ()) != 6,
            "mosaic_set of given domains": not isinstance(crystal.mosaic_set, np.ndarray),
            "mosaic_axes of numbers": isinstance(crystal.mosaic_axes, str),
            "several spreads without a kind": not (
                isinstance(crystal.mosaic_spread_deg, tuple) and crystal.mosaic is None
            ),
            "a twin law of numbers": all(isinstance(law, str) for law, _ in crystal.twin),
            f"twin_tolerance {crystal.twin_tolerance:g}": crystal.twin_tolerance == 3.0,
            f"shift_mm {detector.shift_mm}": not any(detector.shift_mm),
            f"polarization_azimuth_deg {beam.polarization_azimuth_deg:g}": not beam.polarization_azimuth_deg,
            unsaid(setup.backgrounds): not unsaid(setup.backgrounds),
        }
        if crystal.diffuse is not None:
            from .diffuse_input import unsaid_of

            possible[unsaid_of(crystal.diffuse)] = not unsaid_of(crystal.diffuse)
        what = ", ".join(name for name, said in possible.items() if not said)
    if not what:
        return
    raise InputError(_unsaid(what))


def _unsaid(what: str) -> str:
    return f"{what} cannot be said in a command line: keep the set-up in a recipe (nbragg.dump)"


def _gives(words: Sequence[str], setup: Setup) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        return from_cli(words) == setup


def _words(setup: Setup, files: _Files) -> Iterator[str]:
    detector = setup.detector
    if setup.physics != "nanobragg":
        yield from ("-physics", setup.physics)
    yield from _crystal(setup, files)
    yield from _beam(setup, files)
    base = named_base(detector) if detector.model else None
    if base is not None:
        yield from ("-detector", base.model)
    same = base is not None and np.array_equal(detector.mask, base.mask)  # type: ignore[arg-type]
    mask = None if detector.mask is None or same else files.path("-mask")
    if mask is not None:
        yield from ("-mask", mask)
    for part in ("crystal", "beam", "detector", "sampling"):
        if part == "detector" and base is not None and detector.panels:
            yield from named_words(detector, base)
            continue
        record = getattr(setup, part)
        every = mask is not None and base is None
        yield from _plain(part, record, every=every, base=base if part == "detector" else None)
    if setup.sampling.interpolate is not None:
        yield "-interpolate" if setup.sampling.interpolate else "-nointerpolate"
    if setup.backgrounds:
        from .background_input import background_words

        yield from background_words(setup.backgrounds, files.rows)
    yield from _placing(setup)
    if detector.material is not None and (base is None or detector.material != base.material):
        yield from ("-detector_material", material_text(detector.material))
    if base is None or detector.front != base.front:
        yield from layer_words("-detector_front", detector.front)
    if setup.surroundings is not None:
        yield from surroundings_words(setup.surroundings)
    yield from _response(setup, files)


def _crystal(setup: Setup, files: _Files) -> Iterator[str]:
    crystal = setup.crystal
    factors = crystal.structure_factors
    if factors.values is not None:
        option = "-hkl" if files.known("-hkl") else "-dump"
        if factors.nodes and option == "-dump":
            raise InputError(
                _unsaid("structure factors at several energies, unlike those of a model's file,")
            )
        yield from (option, files.path(option))
    if factors.default_F != 0 or factors.values is None:
        yield from ("-default_F", number_text(factors.default_F))
    if crystal.a_matrix is not None:
        yield from ("-mat", files.path("-mat"))
    if crystal.cell is not None:
        yield from ("-cell", *map(number_text, crystal.cell))
    if crystal.orientation is not None or any(crystal.rotation_deg):
        from ..base.rotations import misset_angles
        from ..scene.crystal_cell import standing_rotation

        turned = standing_rotation(crystal, setup.rules)
        yield from ("-misset", *(number_text(math.degrees(x)) for x in misset_angles(turned)))
    elif isinstance(crystal.misset_deg, str):
        yield from ("-misset", crystal.misset_deg)
    elif crystal.misset_deg is not None:
        yield from ("-misset", *map(number_text, crystal.misset_deg))
    for i, (axis, cells) in enumerate(zip("abc", crystal.N, strict=True)):
        if cells != 1:
            yield from (f"-N{axis}", str(cells))
        for option, size in (("-xtal", crystal.size_mm[i]), ("-block", crystal.block_size_mm[i])):
            if size is not None:
                yield from (f"{option}_{'xyz'[i]}", number_text(size))
    if crystal.shape != "square":
        yield {"round": "-round_xtal", "gauss": "-gauss_xtal", "tophat": "-tophat_spots"}.get(
            crystal.shape, f"-{crystal.shape}"
        )
    if crystal.N_distribution is not None:
        kind, *given = crystal.N_distribution
        yield from ("-N_distribution", ":".join([kind, *map(number_text, np.ravel(given))]))
    if any(crystal.Ndef):
        yield from ("-Ndef", *map(number_text, crystal.Ndef))
    yield from _domains(crystal)
    for law, fraction in crystal.twin:
        yield from ("-twin", f"{number_text(fraction)}:{law}")
    if crystal.diffuse is not None:
        from ..model.diffuse import LiquidMotions
        from .diffuse_input import diffuse_words

        assert isinstance(crystal.diffuse, LiquidMotions)  # checked before
        yield from diffuse_words(crystal.diffuse)


def _domains(crystal: Crystal) -> Iterator[str]:
    """Mosaicity and spread of cells; a kind comes after the spreads that imply one."""
    for field, one, three in (
        ("mosaic_spread_deg", "-mosaic", "-mosaic_aniso"),
        ("cell_spread", "-cell_spread", "-cell_spread_edges"),
    ):
        value = getattr(crystal, field)
        if isinstance(value, tuple):
            yield from (three, *map(number_text, value))
        elif value is not None:
            yield from (one, number_text(value))
    for field, option in (("mosaic", "-mosaic_kind"), ("mosaic_set", "-mosaic_set")):
        if getattr(crystal, field) is not None:
            yield from (option, getattr(crystal, field))
    if isinstance(crystal.mosaic_axes, str) and crystal.mosaic_axes != "crystal":
        yield from ("-mosaic_axes", crystal.mosaic_axes)


def _beam(setup: Setup, files: _Files) -> Iterator[str]:
    beam = setup.beam
    if beam.sources is not None:
        yield from ("-sourcefile", files.path("-sourcefile"))
    if beam.spectrum is not None:
        yield from ("-spectrum", files.path("-spectrum"))
    if beam.spectral != "auto":
        yield from ("-spectral", beam.spectral)
    if beam.divergence_profile != "uniform":
        yield from ("-divergence_profile", beam.divergence_profile)
    if beam.polarization != 0:
        yield from ("-polar", number_text(beam.polarization))
    if beam.nopolar:
        yield "-nopolar"


def _plain(part: str, record: Any, *, every: bool, base: Any = None) -> Iterator[str]:
    """Options of one number, or a flag, for the fields that are not at their default (or for every one).

    ``base`` is a record whose values are the defaults.
    """
    from .options import OPTIONS

    numbers = {option.sets[0]: option.name for option in reversed(OPTIONS) if len(option.sets) == 1}
    flags = {also: option.name for option in reversed(OPTIONS) if not option.values for also in option.also}
    for field in dataclasses.fields(record):
        value, target = getattr(record, field.name), f"{part}.{field.name}"
        special = field.name in _SPECIAL[part] or field.name in _VECTORS.get(part, ())
        if special or value is None or not field.compare:
            continue
        # a reflection file may hold a wavelength of its own
        default = field.default if base is None else getattr(base, field.name)
        if value == default and not every and field.name != "wavelength_A":
            continue
        if isinstance(value, bool):
            if (target, value) in flags:
                yield flags[target, value]
        else:
            listed = value if isinstance(value, tuple) else (value,)
            yield from (numbers[target], *map(number_text, listed))


def _placing(setup: Setup) -> Iterator[str]:
    """Vectors, convention and pivot, in the order in which the parser lets them count."""
    from ..scene.detector_frame import effective_pivot
    from .options import OPTIONS

    detector = setup.detector
    given = {
        f"{part}.{name}": getattr(getattr(setup, part), name) for part in _VECTORS for name in _VECTORS[part]
    }
    given = {target: vector for target, vector in given.items() if vector is not None}
    custom = detector.convention == "custom" or (detector.convention == "mosflm" and bool(given))
    if custom and not given:
        given["detector.twotheta_axis"] = (0.0, 1.0, 0.0)  # the default; any vector selects the convention
    options = {option.sets[0]: option.name for option in OPTIONS if option.sets}
    for target, vector in given.items():
        if custom or (setup.rules.honours_placing and target == "detector.pix0_vector_m"):
            yield from (options[target], *map(number_text, vector))
    if not custom and (detector.convention != "mosflm" or given):
        yield f"-{detector.convention}"
    if custom and detector.pivot is None:
        yield from ("-pivot", effective_pivot(detector, "custom", setup.rules))
    elif detector.pivot is not None:
        yield from ("-pivot", detector.pivot)


def _response(setup: Setup, files: _Files) -> Iterator[str]:
    """The detector and what differs from it, or every field that is not at its default."""
    from .response_input import FIELDS
    from .response_options import ROWS

    response = setup.response
    if response is None:
        return
    name, base, needed = _detector_of(response)
    said = ["-response", name] if name else []
    flags = {row.also[0]: row.name for row in ROWS if row.also}
    for field in dataclasses.fields(response):
        value, option = getattr(response, field.name), FIELDS.get(field.name)
        same = value is getattr(base, field.name) or np.array_equal(value, getattr(base, field.name))
        if same and field.name not in needed:
            continue
        too_large = isinstance(value, int) and float(value) >= 2.0**63
        if value is None or option is None or too_large or (field.name == "dead_map" and value.ndim != 2):
            raise InputError(_unsaid(f"{field.name} of the response"))
        if field.name in ("gain_stages", "dead_map"):
            said += [option, files.path(option)]
        elif (f"response.{field.name}", value) in flags:
            said.append(flags[f"response.{field.name}", value])
        elif isinstance(value, bool):
            raise InputError(_unsaid(f"{field.name} = {value} of the response"))
        else:
            said += [option, str(value) if isinstance(value, (str, int)) else number_text(value)]
    if not said or (said[0] == "-adc" and len(said) == 2):  # which alone ask for no response
        yield from ("-rng", "philox")
    yield from said


def _detector_of(response: DetectorResponse) -> tuple[str, DetectorResponse, tuple[str, ...]]:
    """Name (or "") and response of the detector a response began with; the fields that have to be given."""
    from ..model.response import DetectorResponse
    from ..model.response_presets import PRESETS

    for name, preset in PRESETS.items():
        if preset.source == response.source:
            needed = {field: getattr(response, field) for field in preset.needs}
            return name, DetectorResponse.preset(name, **needed), preset.needs
    return "", DetectorResponse(), ()


class _Files:
    """Names of the input files: the original ones where they still hold, else written on demand."""

    def __init__(
        self, setup: Setup, folder: str | os.PathLike[str] | None, without: tuple[str, ...] = ()
    ) -> None:
        self._setup = setup
        self._folder = None if folder is None else Path(folder)
        self._known = {
            file.option: file.path
            for file in setup.files
            if file.option not in without and file.content == _content(file.option, setup)
        }

    def known(self, option: str) -> bool:
        return option in self._known

    def path(self, option: str) -> str:
        if option in self._known:
            return self._known[option]
        name, write = {
            "-dump": ("structure_factors.dump", self._write_factors),
            "-mat": ("orientation.mat", self._write_matrix),
            "-sourcefile": ("sources.txt", self._write_sources),
            "-spectrum": ("spectrum.txt", self._write_spectrum),
            "-mask": ("mask.img", self._write_mask),
            "-gain_stages": ("gain_stages.txt", self._write_gain_stages),
            "-badpix_map": ("bad_pixels.npy", self._write_bad_pixels),
        }[option]
        if self._folder is None:
            raise InputError(f"{option} takes a file, which was not made yet: give a folder to write it to")
        path = self._folder / name
        write(path)
        return str(path)

    def rows(self, number: int, background: Background) -> str:
        """A file of a background's rows: the one they were read from as long as it holds them."""
        from .background_input import holds

        if holds(background.source, background):
            return background.source
        if self._folder is None:
            raise InputError("-background takes a file, which was not made yet: give a folder to write it to")
        path = self._folder / f"background_{number + 1}.stol"
        if {",", "="} & set(str(path)):
            raise InputError(f"-background cannot name {path}: give a folder without comma and equals sign")
        _write_rows(path, background.rows)
        return str(path)

    def _write_factors(self, path: Path) -> None:
        from ..io.reflections import dump as fdump

        factors = self._setup.crystal.structure_factors
        assert factors.values is not None
        fdump.write(path, factors.values, factors.origin)

    def _write_matrix(self, path: Path) -> None:
        """The matrix times the wavelength (canonical 2)."""
        matrix = self._setup.crystal.a_matrix
        assert matrix is not None
        _write_rows(path, matrix * self._setup.beam.wavelength_A)

    def _write_sources(self, path: Path) -> None:
        sources = self._setup.beam.sources
        assert sources is not None and sources.weights is not None
        columns = [sources.positions, sources.weights[:, np.newaxis]]
        if sources.wavelengths_A is not None:
            columns.append(sources.wavelengths_A[:, np.newaxis] * 1e-10)
        _write_rows(path, np.hstack(columns))

    def _write_spectrum(self, path: Path) -> None:
        from ..io.files.spectra import write_spectrum

        spectrum = self._setup.beam.spectrum
        assert spectrum is not None
        write_spectrum(path, spectrum.energies_eV, spectrum.weights)

    def _write_gain_stages(self, path: Path) -> None:
        response = self._setup.response
        assert response is not None
        _write_rows(path, [dataclasses.astuple(stage) for stage in response.gain_stages])

    def _write_bad_pixels(self, path: Path) -> None:
        from ..io.images import save_image

        response = self._setup.response
        assert response is not None and response.dead_map is not None
        save_image(path, (~response.dead_map).astype(np.uint16))

    def _write_mask(self, path: Path) -> None:
        """With a header that gives no geometry."""
        from ..io.images import smv

        mask = self._setup.detector.mask
        assert mask is not None
        slow, fast = mask.shape
        header = (
            "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\n"
            f"SIZE1={fast};\nSIZE2={slow};\n}}\f"
        )
        smv.write(path, mask.astype(np.uint16), header.encode("ascii").ljust(512))


def _write_rows(path: Path, rows: Any) -> None:
    from ..io.files.atomic import open_atomic

    with open_atomic(path, "w") as stream:
        for row in np.asarray(rows).tolist():
            stream.write(" ".join(map(repr, row)) + "\n")

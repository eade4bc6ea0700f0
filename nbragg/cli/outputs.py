"""The files a command line asks for, and whether they can be written under their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..base.errors import InputError
from ..base.warn import warn

__all__ = ["Outputs", "check_outputs", "check_paths"]

#: option of a file whose format is fixed -> format, what it is, and the reference program's suffix for it
_FIXED = {
    "-floatfile": ("raw", "raw float32 pixels", ".bin"),
    "-intfile": ("smv", "an SMV image", ".img"),
    "-noisefile": ("smv", "an SMV image", ".img"),
    "-pgmfile": ("pgm", "a PGM picture", ".pgm"),
}


@dataclass(frozen=True)
class Outputs:
    """Files to write, and the scales of the integer ones; None: do not write."""

    float_file: str | None = "floatimage.bin"
    int_file: str | None = "intimage.img"
    pgm_file: str | None = "image.pgm"
    noise_file: str | None = "noiseimage.img"
    save_files: tuple[str, ...] = ()
    save_noise_files: tuple[str, ...] = ()
    dump_file: str | None = None
    int_scale: float = 0.0  #: 0 or less: automatic
    pgm_scale: float = 0.0  #: 0 or less: automatic
    adc: float | None = None  #: None: 40 in the canonical files, and in others as their format has it
    save_as: str = "photons"
    first_frame: int = 1
    overwrite: bool = True  #: of -save files
    compression: str | None = None
    header_offset: bool = False  #: ADC_OFFSET in the headers of the canonical SMV files

    @property
    def offset(self) -> float:
        """Added to the pixels of the canonical SMV files."""
        return 40.0 if self.adc is None else self.adc

    def named(self) -> list[tuple[str, str]]:
        """(option, path) of every file that will be written."""
        files = [
            ("-floatfile", self.float_file),
            ("-intfile", self.int_file),
            ("-pgmfile", self.pgm_file),
            ("-noisefile", self.noise_file),
            *((option, path) for option, path, _ in self.saves),
            ("-dump", self.dump_file),
        ]
        return [(option, path) for option, path in files if path is not None]

    @property
    def saves(self) -> list[tuple[str, str, str]]:
        """(option, path, what pixels are) of the files whose format the suffix says."""
        noise = [("-save_noise", path, "counts") for path in self.save_noise_files]
        return [*(("-save", path, self.save_as) for path in self.save_files), *noise]

    @property
    def leader(self) -> str:
        """The file that stands for an image in reports."""
        return self.float_file or self.saves[0][1]

    @property
    def counts(self) -> bool:
        """Whether noise is drawn."""
        return self.noise_file is not None or any(save_as == "counts" for _, _, save_as in self.saves)


#: name of a -save file of which only the suffix is given, by what it holds
_UNNAMED = {"photons": "image", "counts": "noiseimage"}


def whole_name(path: str, save_as: str) -> str:
    """A name for ``-save .cbf``: with a number, which readers of series look for, but for files of frames."""
    from ..io.images.formats import FORMATS, SUFFIXES

    if not path.startswith(".") or path.lower() not in SUFFIXES:
        return path
    number = "" if FORMATS[SUFFIXES[path.lower()]].series else "_####"
    return f"{_UNNAMED[save_as]}{number}{path}"


def check_outputs(outputs: Outputs, inputs: dict[str, str], count: int | None = None) -> None:
    """Refuse, before anything is rendered, what could not be written or would mislead.

    ``count`` is the number of images of a series; None: one image.

    Raises
    ------
    InputError, FileError, MissingPackageError
        As `check_paths`; for a file of fixed format named as another, and a ``-save`` in no known format.
    """
    from ..io.files.atomic import is_special
    from ..io.images import check_format
    from ..io.images.formats import FORMATS
    from ..simulation.saving import file_names

    for option, path, _ in outputs.saves:
        entry = FORMATS[check_format(path)]
        if entry.series and is_special(path):
            raise InputError(f"{option} {path}: {entry.name} needs a file, not a device or a pipe")
    fixed = [pair for pair in outputs.named() if pair[0] not in ("-save", "-save_noise")]
    if count is None:
        saved = [
            (option, file_names(path, None, outputs.first_frame)[0]) for option, path, _ in outputs.saves
        ]
        check_paths([*fixed, *saved], inputs)
    for option, path in fixed:
        if option in _FIXED:
            _check_suffix(option, path)
    if not outputs.overwrite:
        for _, path, _ in outputs.saves:
            for name in file_names(path, count, outputs.first_frame):
                check_format(name, overwrite=False)


def check_paths(outputs: Sequence[tuple[str, str]], inputs: dict[str, str]) -> None:
    """Refuse outputs (option, path) that cannot be written, share a name, or overwrite an input."""
    from ..io.files.atomic import check_writable, is_special

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


def _check_suffix(option: str, path: str) -> None:
    """Refuse a name that promises another format; the reference's own suffixes are only warned of."""
    from ..io.images.formats import SUFFIXES

    kind, what, suffix = _FIXED[option]
    given = os.path.splitext(path)[1].lower()
    named = SUFFIXES.get(given)
    if named in (None, kind):
        return
    stem = os.path.splitext(path)[0]
    if given in {own for _, _, own in _FIXED.values()}:
        warn(f"{option} {path} will hold {what}, whatever its suffix: {suffix} would say so")
        return
    other = f"-save {path} writes that format"
    if option == "-noisefile":
        other += ", without noise; nbragg noise writes it with noise"
    raise InputError(f"{option} {path}: this file is {what}, not {given}: give {stem}{suffix}; {other}")

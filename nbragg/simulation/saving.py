"""Images to files, one or a series: photons or counts, numbered files or one file of all frames."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError
from ..io.files.atomic import is_special
from ..io.files.kinds import resolve
from ..io.images import formats, whole_number_scale
from ..io.images.metadata import ImageMetadata
from ..io.images.requests import COMPRESSIONS
from .counts import Seed, written_dtype
from .result import Result

__all__ = [
    "ImageFiles",
    "SaveOptions",
    "file_names",
    "image_number",
    "is_one_file",
    "name_pattern",
    "numbered",
    "save_series",
]

#: a run of these in a name stands for the number of an image
_PLACE = re.compile("#+")

#: what pixels of a file are
SAVE_AS = ("photons", "counts")


@dataclass(frozen=True, kw_only=True)
class SaveOptions:
    """How images are saved.

    Attributes
    ----------
    save_as : {"photons", "counts"}
        Expected photons; or counts with noise, as `Result.counts` draws them.
    seed : int
        Of the noise of the first image.  Image i of the reference's random stream has ``seed + i``; where the
        Setup has a response, every image has this seed and its own number, from ``first_frame``.
    scale : float or None
        Photons become pixels by it, in whole numbers.  None: 1, or where that does not fit a power of ten, of
        SMV the one that puts the maximum at 55000; the first image decides for all.  No part in counts.
    pedestal : float or None
        Added to every pixel of whole numbers.  None: 0; photons in SMV files 40.
    first_frame : int
        Number of the first image in names.
    overwrite : bool
        False refuses files that exist.
    compression : str or None
        Of NeXus files: see `nbragg.io.images.nexus_writer.write`.
    """

    save_as: str = "photons"
    seed: int = 0
    scale: float | None = None
    pedestal: float | None = None
    first_frame: int = 1
    overwrite: bool = True
    compression: str | None = None

    def __post_init__(self) -> None:
        check.choice("save_as", self.save_as, SAVE_AS)
        check.count("first_frame", self.first_frame, at_least=0)
        if self.save_as == "counts":
            seed = check.count("seed", self.seed, at_least=1 - 2**63, at_most=2**64 - 1)
            object.__setattr__(self, "seed", seed)
        if self.scale is not None:
            check.number("scale", self.scale, above=0)
        if self.pedestal is not None:
            check.number("pedestal", self.pedestal)
        if self.compression is not None:
            check.choice("compression", self.compression, COMPRESSIONS)


def is_one_file(path: str) -> bool:
    """Whether the images of a series share this file."""
    entry = formats.FORMATS[formats.format_of(path)]
    return bool(entry.series) and not _PLACE.search(os.path.basename(path))


def numbered(path: str, number: int, last: int, *, template: bool = True) -> str:
    """The name of an image: its number in place of ``####``, or before the suffix; devices keep their names.

    ``last`` is the largest number, so that all are of one width.  Without ``template``, # is a letter.
    """
    if is_special(path):
        return path
    folder, name = os.path.split(path)
    place = _PLACE.search(name) if template else None
    if place is None:
        stem, suffix = os.path.splitext(path)
        return f"{stem}_{number:0{max(4, len(str(last)))}d}{suffix}"
    width = max(len(place.group()), len(str(last)))
    return os.path.join(folder, f"{name[: place.start()]}{number:0{width}d}{name[place.end() :]}")


def name_pattern(path: str, last: int, *, template: bool = True) -> re.Pattern[str]:
    """What every name of `numbered` matches, once links are followed."""
    folder, name = os.path.split(os.path.realpath(path))
    place = _PLACE.search(name) if template else None
    stem, suffix = (name[: place.start()], name[place.end() :]) if place else os.path.splitext(name)
    width = max(len(place.group()) if place else 4, len(str(last)))
    digits = rf"{'' if place else '_'}\d{{{width}}}"
    return re.compile(re.escape(os.path.join(folder, stem)) + digits + re.escape(suffix))


def image_number(first_frame: int, number: int) -> int:
    """Number of the ``number``-th image for its random numbers: from 0, and on where a series goes on."""
    return max(first_frame, 1) - 1 + number


def file_names(path: str, count: int | None, first: int = 1) -> list[str]:
    """The files of one image (``count`` None) or of a series, in their order."""
    if count is None:
        return [numbered(path, first, first) if _PLACE.search(os.path.basename(path)) else path]
    if is_one_file(path):
        return [path]
    return [numbered(path, first + i, first + count - 1) for i in range(count)]


def save_series(
    results: Iterable[Result],
    path: str | os.PathLike[str],
    *,
    count: int | None = None,
    **options: Any,
) -> list[str]:
    """Write the images of a series.

    Parameters
    ----------
    results : iterable of Result
        As `Simulator.render_many` gives them; each is written as soon as it is there.
    path : path
        ``name_####.cbf``: a file for each image, its number in place of the ``#``.  A NeXus file without them
        takes all frames, with the goniometer; other formats have the number put before the suffix.
    count : int, optional
        How many there will be, which decides the width of the numbers; None: the length of ``results``, or
        as many as four digits hold.
    **options
        Fields of `SaveOptions`: ``save_as``, ``seed``, ``scale``, ``pedestal``, ``first_frame``,
        ``overwrite``, ``compression``.

    Returns
    -------
    list of str
        The files.

    Raises
    ------
    InputError
        For an unknown format or option, a geometry that the format cannot say, and detectors that differ
        within one file.
    FileError, MissingPackageError
        As `nbragg.io.save_image`.

    Examples
    --------
    >>> import nbragg, tempfile
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -osc 1 -flux 1e15")
    >>> series = nbragg.Series.frames(setup, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = nbragg.save_series(
    ...         nbragg.Simulator(setup).render_many(series), f"{folder}/x_###.cbf", save_as="counts", seed=1
    ...     )
    ...     [name[-9:] for name in files]
    ['x_001.cbf', 'x_002.cbf', 'x_003.cbf']
    """
    known = {field.name for field in dataclasses.fields(SaveOptions)}
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"save_series takes no {', '.join(unknown)}; it takes {', '.join(sorted(known))}")
    if isinstance(results, Result):
        raise InputError("save_series takes the Results of a series; result.save(path) writes one")
    if count is None:
        count = len(results) if isinstance(results, Sized) else 1
    written: list[str] = []
    with ImageFiles(os.fspath(path), SaveOptions(**options), count) as files:
        for result in results:
            name = files.add(result).path
            if name not in written[-1:]:
                written.append(name)
        if not written:
            raise InputError(f"{os.fspath(path)}: no image was given; at least one was expected")
    return written


@dataclass(frozen=True)
class Saved:
    """A file that got an image, and what its pixels are."""

    path: str
    text: str


class ImageFiles:
    """The files of one ``path``, open for images; a context manager.

    Parameters
    ----------
    path : str
        As of `save_series`.
    options : SaveOptions
    count : int or None
        Images that will come; None: a single one, whose name is ``path`` itself.
    """

    def __init__(self, path: str, options: SaveOptions, count: int | None) -> None:
        self.path, self.options, self.count = path, options, count
        self._entry = formats.FORMATS[formats.format_of(path)]
        self._numbers = itertools.count()
        self._scale = options.scale
        self._stack: Any = None
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> ImageFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._exit.__exit__(kind, error, trace)

    def add(self, result: Result) -> Saved:
        """Write the next image, or add it to the file; returns where it went."""
        number, options = next(self._numbers), self.options
        first = options.first_frame
        path = self.path
        if self.count is None:
            path = file_names(path, None, first)[0]
        elif not is_one_file(path):
            path = numbered(path, first + number, first + self.count - 1)
        if options.save_as == "counts":
            return self._add_counts(result, path, number)
        return self._add_photons(result, path)

    def _add_photons(self, result: Result, path: str) -> Saved:
        entry, options = self._entry, self.options
        dtype = np.dtype(entry.dtypes[0])
        more: dict[str, Any] = {"overwrite": options.overwrite}
        if entry.name == "smv":
            if self._scale is None:
                peak = float(result.image.max())
                self._scale = 55000.0 / peak if peak > 0.0 else 1.0
            pedestal = 40.0 if options.pedestal is None else options.pedestal
            more |= {"scale": self._scale, "offset": pedestal, "clip": True}
            text = f"SMV, scale {self._scale:g}, offset {pedestal:g}"
        elif entry.own_pixels:
            text = "8-bit preview" if entry.name == "pgm" else "picture"
            if entry.name == "pgm":
                more["scale"] = self._scale
        elif dtype.kind in "iu":
            if self._scale is None:
                self._scale = whole_number_scale(
                    result.image,
                    dtype,
                    what=self.path,
                    advice="give another by scale (-scale), or flux and exposure for true numbers",
                )
            pedestal = options.pedestal or 0.0
            more |= {"scale": self._scale, "offset": pedestal, "clip": True}
            text = f"whole numbers, scale {self._scale:g}"
        else:
            text = f"{dtype}, photons"
        if self.count is not None and is_one_file(self.path):
            self._append(result, result.image, result.metadata)
        else:
            if entry.name == "nexus" and options.compression:
                more["compression"] = options.compression
            result.save(path, **more)
        return Saved(path, text)

    def _add_counts(self, result: Result, path: str, number: int) -> Saved:
        options, pedestal = self.options, self.options.pedestal
        response = None if result.setup is None else result.setup.response
        if response is None:
            if number == 0:  # said of every image before the first is written
                check.stream_seed("seed", options.seed, uses=self.count or 1)
            at = Seed(options.seed + number)
        else:
            at = Seed(options.seed, image_number(options.first_frame, number))
        if self.count is not None and is_one_file(self.path):
            dtype = written_dtype(path, None, response, None)
            drawn, metadata = result.counts(at.seed, pedestal, dtype, image=at.image)
            self._append(result, drawn.pixels, metadata)
        else:
            more: dict[str, Any] = {}
            if self._entry.name == "nexus" and options.compression:
                more["compression"] = options.compression
            result.save(
                path,
                save_as="counts",
                seed=at.seed,
                image=at.image,
                pedestal=pedestal,
                overwrite=options.overwrite,
                **more,
            )
        if response is not None:
            kind = written_dtype(path, None, response, None)
            text = f"{'preview of ' if not self._entry.counts else ''}{kind} counts of the detector"
            return Saved(path, f"{text}, seed {at.seed}, image {at.image}")
        return Saved(path, f"{self._entry.counts or 'preview of'} counts with noise, seed {at.seed}")

    def _append(self, result: Result, image: NDArray[Any], metadata: ImageMetadata) -> None:
        """A frame of the one file."""
        if self._stack is None:
            more: dict[str, Any] = {"overwrite": self.options.overwrite}
            if self.options.compression:
                more["compression"] = self.options.compression
            opened = resolve(self._entry.series)(self.path, metadata, mask=result.scene.mask_image, **more)
            self._stack = self._exit.enter_context(opened)
        self._stack.add(image, metadata)

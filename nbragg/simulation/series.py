"""Many images of one set-up: what changes from one to the next."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import validate as check
from ..base.errors import InputError
from ..base.rotations import RandomOrientations
from ..model.beam import Beam
from ..model.crystal import Crystal
from ..model.sample import Sample
from ..model.setup import RECORDS, Setup
from ..scene.steps import resolve_phi
from .lattices import Lattices

if TYPE_CHECKING:
    from ..model.spectrum import Spectrum, SpectrumSeries

__all__ = ["Columns", "Phi", "Series", "columns_of", "setups"]

Phi = float | tuple[float, float]

#: what changes, by name: one entry of each for every image
Columns = dict[str, Iterable[Any]]


class _Samples(Sequence[dict[str, Any]]):
    """The sample of each image, made when it is asked for."""

    def __init__(self, crystal: Crystal, lattices: Lattices, orientations: RandomOrientations) -> None:
        self.crystal, self.lattices, self.orientations = crystal, lattices, orientations

    def __len__(self) -> int:
        return len(self.orientations)

    def __getitem__(self, i: Any) -> Any:
        image = range(len(self))[i]
        first = self.orientations[image]
        return {"sample": self.lattices.sample(self.crystal, self.orientations.seed, image, first)}


class Series:
    """A Setup and what changes from image to image.

    ``len(series)`` images; ``series[i]`` is the Setup of the i-th, computable alone, in another process too:
    a Series can be pickled.  Iterating gives the Setups in their order; `Simulator.render_many` makes what
    does not change once.

    Parameters
    ----------
    setup : Setup
    changes : sequence, optional
        Of mappings, as the arguments of `Setup.replace`, or of records (Crystal, Sample, Beam, Detector,
        Sampling, DetectorResponse).
    orientations : array_like or scipy Rotation or sequence, optional
        (n, 3, 3) rotation or A matrices, (n, 3) missetting angles in degrees, a stack of rotations, or a
        sequence of anything `Crystal.with_orientation` takes.
    phi : sequence, optional
        Spindle angles of the first step in degrees, or pairs (phi, osc).
    beams : sequence of Beam, optional
    spectra : sequence of Spectrum, optional
        Of each image, at its own mean; as `Spectrum.per_shot` and `Spectrum.sase_shots` give.

    Raises
    ------
    InputError
        For nothing that changes, entries without a length, and lengths that differ.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -osc 0.5")
    >>> series = nbragg.Series.frames(setup, 180)
    >>> len(series), series[3].crystal.phi_deg
    (180, 1.5)
    >>> shots = nbragg.Series.random(setup, 1_000_000, seed=1)
    >>> shots[999_999].crystal.orientation.shape
    (3, 3)
    >>> spectra = nbragg.Spectrum.sase_shots(1000, 9000, bandwidth=0.002, seed=1)
    >>> len(nbragg.Series(setup, spectra=spectra)[999].beam.spectrum)
    100
    """

    def __init__(
        self,
        setup: Setup,
        changes: Sequence[Any] | None = None,
        *,
        orientations: Any = None,
        phi: Sequence[Phi] | None = None,
        beams: Sequence[Beam] | None = None,
        spectra: Sequence[Spectrum] | SpectrumSeries | None = None,
    ) -> None:
        if not isinstance(setup, Setup):
            raise InputError(f"a Series is made of a Setup, not of a {type(setup).__name__}")
        self.setup = setup
        self._columns = columns_of(changes, orientations, phi, beams, spectra)
        lengths = {name: _length(values) for name, values in self._columns.items()}
        endless = [name for name, n in lengths.items() if n is None]
        if endless:
            raise InputError(
                f"{', '.join(endless)}: a Series can be indexed, so give a list or an array; "
                "Simulator.render_many takes an iterator too"
            )
        self._count = next(n for n in lengths.values() if n is not None)

    @classmethod
    def frames(cls, setup: Setup, count: int) -> Series:
        """Consecutive rotation images, each as wide as the sample's ``osc_deg``.

        Raises
        ------
        InputError
            Without a rotation range, and for a count below 1.
        """
        crystal = setup.sample.crystals[0]
        given = (crystal.osc_deg, crystal.phistep_deg)
        osc, step = (None if value is None else math.radians(value) for value in given)
        width = crystal.osc_deg or math.degrees(resolve_phi(osc, step, crystal.phisteps).range)
        if width <= 0:
            raise InputError("frames need the rotation range of each image: give osc_deg (-osc)")
        starts = [crystal.phi_deg + i * width for i in range(check.count("count", count))]
        return cls(setup, phi=starts)

    @classmethod
    def random(cls, setup: Setup, count: int, seed: int, lattices: Lattices | None = None) -> Series:
        """Random orientations, uniform over all rotations; the first of more are the same.

        Parameters
        ----------
        setup : Setup
            Of one crystal.
        count, seed : int
        lattices : Lattices, optional
            How many crystals each image shows.  An image hangs on the seed and its number alone.

        Raises
        ------
        InputError
            For a count below 1, and a seed that is not whole.
        """
        orientations = RandomOrientations(check.count("count", count), seed)
        if lattices is None:
            if len(setup.sample) > 1 or setup.crystal.N_distribution is None:
                return cls(setup, orientations=orientations)
            lattices = Lattices(number=1)
        return cls(setup, _Samples(setup.crystal, lattices, orientations))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> Setup:
        return self.setup.replace(**self.change(i))

    def __iter__(self) -> Iterator[Setup]:
        return setups(self.setup, self._columns)

    def change(self, i: int) -> dict[str, Any]:
        """What the i-th image has of its own, as the arguments of `Setup.replace`.

        Raises
        ------
        IndexError
            When there is no such image.
        """
        if not -self._count <= i < self._count:
            raise IndexError(f"image {i} of a series of {self._count}")
        step: dict[str, Any] = {}
        for name, values in self._columns.items():
            step.update(_MEANINGS[name](values[i % self._count]))  # type: ignore[index]
        return step

    def save_truth(self, *paths: str | os.PathLike[str], **options: Any) -> None:
        """Write what the images hold into files of other programs, without rendering them.

        Consecutive rotation images are one sweep, in which a reflection is one row; any others are stills.

        Parameters
        ----------
        *paths : path
            As of `Result.save_truth`.
        **options
            As of `Result.save_truth`; ``images`` is a template (``image_####.cbf``), a file of many frames,
            or one name for each image; ``progress`` is called with the number of images done.

        Raises
        ------
        InputError, FileError, MemoryLimitError
            As `Result.save_truth`.

        Examples
        --------
        >>> import nbragg, tempfile, os
        >>> setup = nbragg.from_cli(
        ...     "-cell 70 80 90 -default_F 100 -N 20 -osc 0.5 -phisteps 10 -distance 200 -physics exact"
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [os.path.join(folder, name) for name in ("truth.expt", "truth.refl", "XDS.INP")]
        ...     nbragg.Series.frames(setup, 3).save_truth(*files, images="image_####.cbf")
        ...     sorted(os.listdir(folder))
        ['XDS.INP', 'truth.expt', 'truth.refl']
        """
        from .truth import scenes_of, write_truth

        write_truth(paths, self.setup, scenes_of(self), **options)

    @property
    def columns(self) -> Columns:
        """What changes, by name."""
        return dict(self._columns)

    def __repr__(self) -> str:
        return f"Series({self._count} images, {', '.join(self._columns)})"


def columns_of(changes: Any, orientations: Any, phi: Any, beams: Any, spectra: Any = None) -> Columns:
    """What was given, by name.

    Raises
    ------
    InputError
        For nothing, for something that is no series, and for different lengths.
    """
    if hasattr(orientations, "as_matrix"):
        matrices = np.asarray(orientations.as_matrix())
        orientations = matrices if matrices.ndim == 3 else matrices[np.newaxis]
    given = {
        "changes": changes,
        "orientations": orientations,
        "phi": phi,
        "beams": beams,
        "spectra": spectra,
    }
    columns = {name: values for name, values in given.items() if values is not None}
    if not columns:
        raise InputError("nothing to render: give changes, orientations, phi, beams or spectra")
    for name, values in columns.items():
        if not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping)):
            raise InputError(f"{name} must be a series with one entry for each image, not {values!r}")
    lengths = {name: n for name, values in columns.items() if (n := _length(values)) is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise InputError(f"the series differ in length ({listed}): give one entry of each for every image")
    return columns


def setups(setup: Setup, columns: Columns) -> Iterator[Setup]:
    """The Setup of each image, one after the other."""
    for entries in zip(*columns.values(), strict=True):
        step: dict[str, Any] = {}
        for name, entry in zip(columns, entries, strict=True):
            step.update(_MEANINGS[name](entry))
        yield setup.replace(**step)


def _length(values: Any) -> int | None:
    return len(values) if hasattr(values, "__getitem__") and hasattr(values, "__len__") else None


def _any_change(entry: Any) -> dict[str, Any]:
    if isinstance(entry, Mapping):
        return dict(entry)
    from ..model.response import DetectorResponse

    for name, kind in {**RECORDS, "sample": Sample, "response": DetectorResponse}.items():
        if isinstance(entry, kind):
            return {name: entry}
    raise InputError(
        "a change must be a mapping of fields, or a Crystal, Beam, Detector, Sampling or DetectorResponse, "
        f"not {entry!r}"
    )


def _phi_change(entry: Any) -> dict[str, Any]:
    if np.ndim(entry) == 0:
        return {"phi_deg": float(entry)}
    if np.shape(entry) != (2,):
        raise InputError(f"phi must be angles or pairs (phi, osc) in degrees, not {entry!r}")
    start, osc = entry
    return {"phi_deg": start, "osc_deg": osc}


_MEANINGS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "changes": _any_change,
    "orientations": lambda entry: {"orientation": entry},
    "phi": _phi_change,
    "beams": lambda entry: {"beam": entry},
    "spectra": lambda entry: {"spectrum": entry},
}

"""An experiment as a refinement program leaves it: geometry, crystal and scan; the Setups it stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...base import validate as check
from ...base.errors import InputError
from ...base.names import suggestion
from ...base.records import FrozenArrays, Record, frozen
from ...base.vectors import FloatArray
from ...model.beam import Beam
from ...model.crystal import Crystal
from ...model.sample import Sample
from ...model.sampling import Sampling
from ...model.setup import Setup
from ...model.structure_factors import StructureFactors
from .record import Geometry, Vector

__all__ = ["Experiment", "ImageOf", "Scan", "ScanChanges", "Varying", "crystals_of", "half_way", "setup_of"]

#: fields of a crystal that an experiment says
_SAID = ("a_matrix", "cell", "orientation", "misset_deg", "spindle_axis")


class ImageOf(NamedTuple):
    """An image of an experiment: its file as it is named there, and which frame of it, from 0.

    None: the file holds one image, as far as the experiment says.
    """

    file: str
    frame: int | None = None


@frozen
class Scan(Record):
    """A rotation in images of one width.

    Parameters
    ----------
    phi_deg : float
        Angle at the start of the first image, degrees.
    width_deg : float
        Of each image, degrees; negative when the crystal turned backwards.
    images : int
    first : int
        Number of the first image.
    """

    phi_deg: float
    width_deg: float
    images: int
    first: int = 1

    @property
    def osc_deg(self) -> float:
        """Width of each image, degrees, not negative."""
        return abs(self.width_deg)

    def image(self, i: int) -> tuple[float, float]:
        """Lower end and width of the rotation during the i-th image, counted from 0; degrees.

        A crystal that turns backwards covers the same angles as one that turns forwards.
        """
        if not 0 <= i < self.images:
            raise InputError(f"image {i}: the scan has the images 0 to {self.images - 1}")
        start = self.phi_deg + i * self.width_deg
        return start + min(self.width_deg, 0.0), self.osc_deg


@frozen
class Varying(FrozenArrays):
    """What changes along a scan, at the points between the images and at both ends.

    Attributes
    ----------
    a_matrices : ndarray (images + 1, 3, 3)
        In the laboratory at spindle angle 0, 1/angstrom.
    spindles : ndarray (images + 1, 3) or None
    s0 : ndarray (images + 1, 3) or None
        Along the beam, 1/wavelength long, 1/angstrom.
    """

    a_matrices: FloatArray
    spindles: FloatArray | None = None
    s0: FloatArray | None = None


@frozen(kw_only=True)
class Experiment(Record):
    """One crystal in one beam before one detector, as a file says it.

    Parameters
    ----------
    geometry : Geometry
    scan : Scan, optional
        None: a still.
    a_matrix : array_like (3, 3), optional
        Columns a*, b*, c*, 1/angstrom, in the frame of the geometry, at spindle angle 0; None: no crystal.
    varying : Varying, optional
    mosaicity_deg : float, optional
        As the file has it, degrees.
    space_group : str
        Hall symbol.
    identifier : str
    shot : tuple
        What tells images apart: experiments of one shot share everything but the crystal.
    images : tuple of ImageOf
        Of a still one, of a scan all; () where the file does not tell.
    """

    geometry: Geometry
    scan: Scan | None = None
    a_matrix: FloatArray | None = None
    varying: Varying | None = dataclasses.field(default=None, compare=False)
    mosaicity_deg: float | None = None
    space_group: str = ""
    identifier: str = ""
    shot: tuple[int | None, ...] = ()
    images: tuple[ImageOf, ...] = ()

    def __post_init__(self) -> None:
        if self.a_matrix is not None:
            self._set("a_matrix", check.frozen_array("a_matrix", self.a_matrix, (3, 3)))

    def matrix(self, image: int | None = None) -> FloatArray:
        """The A matrix in the middle of an image, turned back to spindle angle 0; None: of the whole scan.

        Raises
        ------
        InputError
            Without a crystal, and for an image that is not there.

        Notes
        -----
        Scan points lie between the images.  The middle is half way from one to the next along the
        one-parameter family that joins them, see `half_way`.
        """
        if self.a_matrix is None:
            raise InputError(
                f"{self.geometry.source or 'the experiment'} says no crystal: give one of your own"
            )
        if image is None or self.scan is None:
            return self.a_matrix
        self.scan.image(image)
        if self.varying is None:
            return self.a_matrix
        return half_way(self.varying.a_matrices[image], self.varying.a_matrices[image + 1])

    def changes(self, image: int) -> dict[str, Any]:
        """What an image has of its own, as arguments of `Setup.replace`, but for the crystal's matrix."""
        if self.scan is None:
            return {}
        start, width = self.scan.image(image)
        fields: dict[str, Any] = {"phi_deg": start, "osc_deg": width}
        if self.varying is not None and self.varying.spindles is not None:
            fields["spindle_axis"] = _three(self.varying.spindles[image : image + 2].sum(axis=0))
        if self.varying is not None and self.varying.s0 is not None:
            s0 = self.varying.s0[image : image + 2].mean(axis=0)
            fields |= {"beam_vector": _three(s0), "wavelength_A": float(1.0 / np.linalg.norm(s0))}
        return fields


def half_way(first: FloatArray, second: FloatArray) -> FloatArray:
    """The matrix half way between two: (second first^-1)^(1/2) first.

    For a pure rotation that is half of its angle about the same axis, for a pure strain its square root; it
    does not depend on which matrix is first.  Their mean would be shorter by cos(angle / 2).  The square root
    is that of Denman and Beavers' iteration (Applied Mathematics and Computation 2, 1976, 63), which
    converges from matrices near 1 in a few steps.
    """
    root, inverse = second @ np.linalg.inv(first), np.eye(3)
    for _ in range(50):
        root, inverse, last = (
            (root + np.linalg.inv(inverse)) / 2,
            (inverse + np.linalg.inv(root)) / 2,
            root,
        )
        if np.abs(root - last).max() <= 1e-15:
            break
    return np.asarray(root @ first)


def crystals_of(
    experiments: Sequence[Experiment],
    structure_factors: StructureFactors,
    *,
    image: int | None,
    mosaicity: bool,
    fields: Mapping[str, Any],
) -> tuple[Crystal, ...]:
    """The crystal of each experiment of a shot, as it stands in an image.

    Parameters
    ----------
    experiments : sequence of Experiment
    structure_factors : StructureFactors
    image : int or None
        Counted from 0; None: a still, or the matrix of the whole scan.
    mosaicity : bool
        Take the file's mosaicity for ``mosaic_spread_deg``.
    fields : mapping
        More fields of the crystals.
    """
    made = []
    for experiment in experiments:
        own: dict[str, Any] = {"spindle_axis": experiment.geometry.spindle_axis}
        if mosaicity and experiment.mosaicity_deg is not None:
            own["mosaic_spread_deg"] = experiment.mosaicity_deg
        if image is not None:
            turning = experiment.changes(image)
            own |= {name: turning[name] for name in ("phi_deg", "osc_deg", "spindle_axis") if name in turning}
        matrix = experiment.matrix(image)
        made.append(Crystal(structure_factors=structure_factors, **{**own, "a_matrix": matrix, **fields}))
    return tuple(made)


def setup_of(
    experiments: Sequence[Experiment],
    structure_factors: StructureFactors,
    *,
    image: int = 0,
    weights: Sequence[float] | None = None,
    mosaicity: bool = False,
    physics: str = "exact",
    **fields: Any,
) -> Setup:
    """The Setup of one image of experiments that share all but their crystals.

    Parameters
    ----------
    experiments : sequence of Experiment
    structure_factors : StructureFactors
        Of every crystal.
    image : int
        Of the scan, counted from 0; stills have one.
    weights : sequence of float, optional
        How much each crystal counts.
    mosaicity : bool
        Take the file's mosaicity for ``mosaic_spread_deg``, as it is.
    physics : str
    **fields
        Of Crystal, Beam and Sampling; they win over what the file says.

    Raises
    ------
    InputError
        For no such image, no crystal, a field that the file decides or that is none, and as `Geometry.beam`.
    """
    parts = _by_record(fields)
    first = experiments[0]
    if first.scan is None and image != 0:
        raise InputError(f"image {image} of a still: there is only 0")
    which = None if first.scan is None else image
    crystals = crystals_of(
        experiments, structure_factors, image=which, mosaicity=mosaicity, fields=parts["crystal"]
    )
    own = {} if which is None else first.changes(image)
    own = {name: own[name] for name in ("beam_vector", "wavelength_A") if name in own}
    beam = first.geometry.beam(**own | parts["beam"])
    sampling = Sampling(**parts["sampling"])
    return Setup(
        Sample(crystals, None if weights is None else tuple(weights)),
        beam,
        first.geometry.detector,
        sampling,
        physics,
    )


def _by_record(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields sorted by the record they belong to."""
    kinds: dict[str, type[Any]] = {"crystal": Crystal, "beam": Beam, "sampling": Sampling}
    names = {entry.name: part for part, kind in kinds.items() for entry in dataclasses.fields(kind)}
    parts: dict[str, dict[str, Any]] = {part: {} for part in kinds}
    for name, value in fields.items():
        if name in _SAID and name != "spindle_axis":
            raise InputError(
                f"{name} is said by the experiment: leave it out, or change the Setup (Setup.replace)"
            )
        if name not in names:
            raise InputError(f"{name} is no field of Crystal, Beam or Sampling{suggestion(name, names)}")
        parts[names[name]][name] = value
    return parts


class ScanChanges(Sequence[dict[str, Any]]):
    """What each image of a scan has of its own, for a Series: made when it is asked for, and picklable.

    Parameters
    ----------
    experiments : sequence of Experiment
        Of one shot, all but the crystal being shared.
    count : int, optional
        Of images, from the first; None: all.
    sample : Sample
        With everything that does not change; one crystal for each experiment.

    Raises
    ------
    InputError
        For stills, and for more images than there are.
    """

    def __init__(self, experiments: Sequence[Experiment], sample: Sample, count: int | None = None) -> None:
        scan = experiments[0].scan
        if scan is None:
            raise InputError("a still has no scan: there is one image")
        self._count = scan.images if count is None else check.count("images", count)
        if self._count > scan.images:
            source = experiments[0].geometry.source or "the experiments"
            raise InputError(f"{source}: the scan has {scan.images} images; {self._count} were asked for")
        self._experiments, self._sample = tuple(experiments), sample

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(self._count))

    def __getitem__(self, i: Any) -> Any:
        if not -self._count <= i < self._count:
            raise IndexError(f"image {i} of a scan of {self._count}")
        image = int(i) % self._count
        changes = self._experiments[0].changes(image)
        if all(experiment.varying is None for experiment in self._experiments):
            return changes
        turning = {
            name: changes.pop(name) for name in ("phi_deg", "osc_deg", "spindle_axis") if name in changes
        }
        crystals = tuple(
            crystal.replace(a_matrix=experiment.matrix(image), **turning)
            for crystal, experiment in zip(self._sample.crystals, self._experiments, strict=True)
        )
        return changes | {"sample": self._sample.replace(crystals=crystals)}


def _three(vector: Any) -> Vector:
    x, y, z = (float(v) for v in vector)
    return x, y, z

"""What was simulated, gathered for files: geometry and crystals of every image, and its reflections."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...analysis.prediction import MeanSource, mean_source
from ...analysis.reflections import LEAST, REFLECTION, expected_reflections, merged
from ...base.errors import InputError
from ...base.vectors import FloatArray
from ..images.metadata import ImageMetadata, imgcif_frame

if TYPE_CHECKING:
    from ...model.beam import Beam
    from ...model.structure_factors import StructureFactors
    from ...scene.placement import Placement
    from ...scene.record import CrystalBlock, PlacedPanel, Scene

__all__ = ["FRAMES", "Images", "Sweep", "Truth", "gather", "laboratory_to"]

#: frames that files can be written in
FRAMES = ("imgcif", "laboratory")


@dataclass(frozen=True, eq=False)
class Sweep:
    """A rotation over consecutive images, or one still.

    Attributes
    ----------
    panels : tuple of PlacedPanel
    names : tuple of str
        Of the panels.
    placement : Placement
        Of the first image; crystals stand at spindle angle 0 in it.  Domains of several sizes are one.
    cells : tuple of ndarray (3,)
        Unit cells along a, b, c of each crystal; of domains of several sizes the mean by weight.
    source : MeanSource
    angles : ndarray (n, 3)
        Directions of all sources.
    polarization : float
        Kahn factor.
    polar_vector : ndarray (3,)
    flux, exposure_s, beamsize_mm : float
        As set; flux 0 when the fluence was given.
    fluence : float
        Photons/m^2.
    frame : ndarray (3, 3)
        Rotation from the laboratory to the imgCIF frame.
    images : int
        How many it spans.
    first : int
        Number of its first image in the whole series, from 0.
    reflections : structured ndarray
        `nbragg.analysis.reflections.REFLECTION`; frame numbers count from the sweep's first image.
    """

    panels: tuple[PlacedPanel, ...]
    names: tuple[str, ...]
    placement: Placement
    cells: tuple[FloatArray, ...]
    source: MeanSource
    angles: FloatArray
    polarization: float
    polar_vector: FloatArray
    flux: float
    exposure_s: float
    beamsize_mm: float
    fluence: float
    frame: FloatArray
    images: int
    first: int
    reflections: NDArray[np.void]

    @property
    def turns(self) -> bool:
        """Whether it is a rotation."""
        return self.placement.osc > 0.0


@dataclass(frozen=True)
class Images:
    """The image files that a truth belongs to.

    Attributes
    ----------
    names : tuple of str
        None where there are none.
    template : str
        Of names that are numbered: ``image_####.cbf``; "" for others.
    first : int
        Number of the first image.
    frames : tuple of (int or None)
        Of each image in its file, from 0, None where the file holds no other; () where that is not said.
    """

    names: tuple[str, ...] = ()
    template: str = ""
    first: int = 1
    frames: tuple[int | None, ...] = ()

    @classmethod
    def of(
        cls,
        given: str | os.PathLike[str] | Sequence[str | tuple[str, int | None]] | None,
        count: int,
        first: int = 1,
    ) -> Images:
        """From a template, one file of many frames, or one name, or (name, frame), for each image.

        Raises
        ------
        InputError
            For another number of names than of images.
        """
        if given is None:
            return cls(first=first)
        if isinstance(given, (str, os.PathLike)):
            name = os.fspath(given)
            marks = re.search(r"#+", os.path.basename(name))
            if marks is None:
                return cls((name,) * count, "", first)
            head, tail = name[: -len(os.path.basename(name))], os.path.basename(name)
            width = len(marks.group())
            numbered = (
                f"{tail[: marks.start()]}{first + i:0{width}d}{tail[marks.end() :]}" for i in range(count)
            )
            return cls(tuple(head + one for one in numbered), name, first)
        pairs = [one if isinstance(one, tuple) else (os.fspath(one), None) for one in given]
        names, frames = tuple(name for name, _ in pairs), tuple(frame for _, frame in pairs)
        if len(names) != count:
            raise InputError(f"{len(names)} image names for {count} images: give one for each, or a template")
        return cls(names, "", first, frames if any(frame is not None for frame in frames) else ())

    def frame(self, image: int) -> int | None:
        """Frame of an image in its file, from 0; None where the file holds no other."""
        if self.frames:
            return self.frames[image]
        return image if self.together else None

    @property
    def together(self) -> bool:
        """Whether all images are frames of one file."""
        return len(set(self.names)) == 1 and len(self.names) > 1


@dataclass(frozen=True, eq=False)
class Truth:
    """Everything that the files of a simulation's truth are made of.

    Attributes
    ----------
    sweeps : tuple of Sweep
        In the order of the images; each a rotation or a still.
    images : Images
    factors : tuple of StructureFactors
        Of each crystal.
    """

    sweeps: tuple[Sweep, ...]
    images: Images
    factors: tuple[StructureFactors, ...] = ()

    @property
    def count(self) -> int:
        """Images."""
        return sum(sweep.images for sweep in self.sweeps)

    @property
    def experiments(self) -> list[tuple[Sweep, int]]:
        """Sweep and number of the crystal of each experiment, in the order of files."""
        return [(sweep, i) for sweep in self.sweeps for i in range(len(sweep.placement.crystals))]

    @property
    def one_rotation(self) -> Sweep | None:
        """The only sweep, when it is a rotation."""
        return self.sweeps[0] if len(self.sweeps) == 1 and self.sweeps[0].turns else None


def gather(
    scenes: Iterable[tuple[Scene, Beam | None]],
    *,
    names: Sequence[str] = (),
    images: Any = None,
    first_image: int = 1,
    factors: Sequence[StructureFactors] = (),
    d_min_A: float | None = None,
    least: float = LEAST,
    progress: Callable[[int], object] | None = None,
) -> Truth:
    """The truth of a series of images; consecutive rotation images of the same set-up become one sweep.

    Parameters
    ----------
    scenes : iterable of (Scene, Beam or None)
        In the order of the images; the Beam gives flux and exposure.
    names : sequence of str
        Of the panels; missing ones are p0, p1, ...
    images : str, path, sequence of str or (str, int), or None
        Template ``image_####.cbf``, a file of many frames, or one name for each image, with its frame from 0.
    first_image : int
        Number of the first image.
    factors : sequence of StructureFactors
        Of each crystal.
    d_min_A, least : float
        As of `nbragg.analysis.reflections.expected_reflections`.
    progress : callable, optional
        Called with the number of images done.

    Raises
    ------
    InputError, MemoryLimitError
        As `expected_reflections`; for image names that do not fit.
    """
    runs: list[tuple[Sweep, list[NDArray[np.void]]]] = []
    count = 0
    for scene, beam in scenes:
        placement = scene.placement
        if runs and _continues(runs[-1][0], len(runs[-1][1]), scene):
            sweep, tables = runs[-1]
        else:
            sweep, tables = _sweep(scene, beam, names, count), []
            runs.append((sweep, tables))
        # what each image of a rotation has of a reflection may be less than what is listed of all
        part = 0.1 * least if sweep.turns else least
        start = sweep.placement.phi0 if sweep.turns else placement.phi0
        tables.append(
            expected_reflections(scene, d_min_A=d_min_A, least=part, scan_start=start, frame=len(tables))
        )
        count += 1
        if progress is not None:
            progress(count)
    if not runs:
        raise InputError("no image was given; at least one was expected")
    sweeps = tuple(
        dataclasses.replace(sweep, images=len(tables), reflections=_listed(tables, least))
        for sweep, tables in runs
    )
    return Truth(sweeps, Images.of(images, count, first_image), tuple(factors))


def _listed(tables: list[NDArray[np.void]], least: float) -> NDArray[np.void]:
    table = merged(tables)
    return table[~(table["partiality"] < least)]  # NaN stays


def _sweep(scene: Scene, beam: Beam | None, names: Sequence[str], first: int) -> Sweep:
    known = [*names, *(f"p{i}" for i in range(len(names), len(scene.panels)))]
    return Sweep(
        panels=scene.panels,
        names=tuple(name or f"p{i}" for i, name in enumerate(known)),
        placement=_one_each(scene.placement),
        cells=tuple(_mean_cells([scene.crystals[i] for i in own]) for own in scene.placement.lattices),
        source=mean_source(scene),
        angles=scene.sources.incident,
        polarization=scene.polarization,
        polar_vector=scene.polar_vector,
        flux=beam.flux if beam is not None else 0.0,
        exposure_s=beam.exposure_s if beam is not None else 1.0,
        beamsize_mm=beam.beamsize_mm if beam is not None else 0.0,
        fluence=scene.fluence,
        frame=imgcif_frame(ImageMetadata.from_scene(scene)),
        images=1,
        first=first,
        reflections=np.zeros(0, REFLECTION),
    )


def _one_each(placement: Placement) -> Placement:
    """With one crystal for the blocks of each lattice."""
    if len(placement.lattices) == len(placement.crystals):
        return placement
    crystals = tuple(
        dataclasses.replace(
            placement.crystals[own[0]],
            mosaic_domains=sum(placement.crystals[i].mosaic_domains for i in own),
            mosaic_rotations=np.concatenate([placement.crystals[i].mosaic_rotations for i in own]),
            size_m=np.mean([placement.crystals[i].size_m for i in own], axis=0),
        )
        for own in placement.lattices
    )
    return dataclasses.replace(placement, crystals=crystals)


def _mean_cells(blocks: Sequence[CrystalBlock]) -> FloatArray:
    if len(blocks) == 1:
        return blocks[0].N
    weights = np.array([block.weight for block in blocks])
    return np.asarray(
        np.average([block.N for block in blocks], axis=0, weights=weights if weights.any() else None)
    )


def _continues(sweep: Sweep, images: int, scene: Scene) -> bool:
    """Whether the scene is the next image of the rotation."""
    before, after = sweep.placement, _one_each(scene.placement)
    if not sweep.turns or not math.isclose(before.osc, after.osc, rel_tol=1e-9):
        return False
    if abs(after.phi0 - before.phi0 - images * before.osc) > 1e-6 * before.osc:
        return False
    if sweep.panels is not scene.panels and not all(map(_alike, sweep.panels, scene.panels)):
        return False
    source = mean_source(scene)
    same = (
        len(sweep.panels) == len(scene.panels)
        and len(before.crystals) == len(after.crystals)
        and math.isclose(source.wavelength, sweep.source.wavelength, rel_tol=1e-12)
        and np.allclose(source.incident, sweep.source.incident, rtol=0, atol=1e-12)
    )
    return same and all(
        np.allclose(one.unit_cell.vectors, other.unit_cell.vectors, rtol=1e-12, atol=1e-9)
        for one, other in zip(before.crystals, after.crystals, strict=True)
    )


def _alike(one: PlacedPanel, other: PlacedPanel) -> bool:
    return one is other or (
        (one.fpixels, one.spixels, one.pixel, one.first)
        == (other.fpixels, other.spixels, other.pixel, other.first)
        and np.array_equal(one.pix0, other.pix0)
        and np.array_equal(one.fdet, other.fdet)
        and np.array_equal(one.sdet, other.sdet)
    )


def laboratory_to(sweep: Sweep, frame: str) -> FloatArray:
    """Rotation (3, 3) from the simulation's laboratory to a frame of `FRAMES`.

    Raises
    ------
    InputError
        For another name.
    """
    if frame not in FRAMES:
        raise InputError(f"frame = {frame!r}; one of {', '.join(FRAMES)} was expected")
    return sweep.frame if frame == "imgcif" else np.eye(3)

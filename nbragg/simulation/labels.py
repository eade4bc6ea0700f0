"""What is known of a simulated image: its crystals, its light, and where every spot is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.prediction import mean_source
from ..analysis.reflections import LEAST, expected_reflections
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.vectors import FloatArray, axis_rotation

if TYPE_CHECKING:
    from ..scene.record import Scene
    from .result import Result

__all__ = ["LABEL_IMAGES", "LEAST", "SPOT", "Labels", "check_options", "labels_of", "spots_of"]

#: record of `Result.spots`
SPOT = np.dtype(
    [
        ("h", "i4"),
        ("k", "i4"),
        ("l", "i4"),
        ("crystal", "i4"),
        ("panel", "i4"),
        ("fast", "f8"),
        ("slow", "f8"),
        ("photons", "f8"),
        ("partiality", "f8"),
        ("d_A", "f8"),
    ]
)

#: name -> what the pixels of a label image are
LABEL_IMAGES = {
    "bragg": "photons of Bragg scattering alone, float32",
    "background": "photons of everything else, float32",
    "spots": "1 where a spot is, uint8",
    "reflection": "row of `reflections` that lights a pixel most, -1 for none, int32",
}


class Labels(Mapping[str, Any]):
    """What is known of an image, by name.

    ======================  ==========================================================================
    ``image``               number of the image in its data set; 0 of a single one
    ``parameters``          mapping: what was drawn for it, by name
    ``space_group``         Hermann-Mauguin symbol, "" where none is known
    ``cell``                (crystals, 6): angstrom, degrees
    ``U`` ``B`` ``A``       (crystals, 3, 3): orientation; reciprocal cell vectors, 1/angstrom; A = U B
    ``weight``              (crystals,): the share of each
    ``wavelength_A``        mean wavelength, angstrom
    ``spectrum``            (n, 2): wavelength in angstrom and weight of each source
    ``reflections``         records `SPOT`
    ``images``              mapping: label images that were asked for, by names of `LABEL_IMAGES`
    ======================  ==========================================================================

    U, B and A are those of the laboratory frame at spindle angle 0 (of stills: of the image).
    """

    NAMES = (
        "image",
        "parameters",
        "space_group",
        "cell",
        "U",
        "B",
        "A",
        "weight",
        "wavelength_A",
        "spectrum",
        "reflections",
        "images",
    )

    def __init__(self, **values: Any) -> None:
        self._values = {name: values[name] for name in self.NAMES}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def reflections(self) -> NDArray[np.void]:
        """Records `SPOT`."""
        found: NDArray[np.void] = self._values["reflections"]
        return found

    def row(self) -> dict[str, Any]:
        """Single numbers and words, for a table of many images: what was drawn, and what follows from it."""
        parameters: dict[str, Any] = dict(self._values["parameters"])
        spots = self.reflections
        return {
            "image": self._values["image"],
            "crystals": len(self._values["cell"]),
            "wavelength_A": self._values["wavelength_A"],
            "space_group": self._values["space_group"],
            "spots": len(spots),
            "spot_photons": float(spots["photons"].sum()),
            **parameters,
        }

    def __repr__(self) -> str:
        return f"Labels(image {self._values['image']}, {len(self.reflections)} reflections)"


def check_options(options: Mapping[str, Any]) -> None:
    """InputError for a name that is no option of `labels_of`."""
    known = [
        name for name in inspect.signature(labels_of).parameters if name not in ("result", "label_images")
    ]
    for name in options:
        if name not in known:
            raise InputError(f"there is no option {name!r} of labels{suggestion(str(name), known)}")


def labels_of(
    result: Result,
    *,
    image: int = 0,
    parameters: Mapping[str, Any] = MappingProxyType({}),
    label_images: Sequence[str] = (),
    d_min_A: float | None = None,
    least: float = LEAST,
    least_photons: float = 1.0,
    part_of_peak: float = 0.05,
    threads: int | None = None,
) -> Labels:
    """All that is known of an image.

    Parameters
    ----------
    result : Result
        Of a flat detector.
    image : int
        Its number in a data set.
    parameters : mapping
        What was drawn for it, by name.
    label_images : sequence of str
        Of `LABEL_IMAGES`.
    d_min_A, least
        Resolution limit, and smallest partiality, of the reflections; as of `spots_of`.
    least_photons, part_of_peak : float
        What a pixel of a spot has at least, see `nbragg.simulation.label_images.spot_images`.
    threads : int, optional
        Of the images of what is behind the spots; None: all.

    Returns
    -------
    Labels
        A blank, an image whose crystals all have the weight 0, has no crystals and no reflections.

    Raises
    ------
    InputError
        An unknown label image, a curved detector.
    MemoryLimitError, RenderError
    """
    for name in label_images:
        if name not in LABEL_IMAGES:
            raise InputError(f"there is no label image {name!r}{suggestion(str(name), LABEL_IMAGES)}")
    scene = result.scene
    A = np.empty((0, 3, 3)) if _is_blank(result) else _a_matrices(scene)
    U, B = _split(A)
    source, sources = mean_source(scene), scene.sources
    reflections = spots_of(scene, d_min_A=d_min_A, least=least)
    images: dict[str, NDArray[Any]] = {}
    if label_images:
        from .label_images import made_images

        images = made_images(result, reflections, label_images, least_photons, part_of_peak, threads)
    return Labels(
        image=image,
        parameters=dict(parameters),
        space_group=_space_group(result),
        cell=_cells(A),
        U=U,
        B=B,
        A=A,
        weight=_weights(scene)[: len(A)],
        wavelength_A=source.wavelength * 1e10,
        spectrum=np.column_stack([sources.wavelength * 1e10, sources.weight]),
        reflections=reflections,
        images=images,
    )


def spots_of(scene: Scene, *, d_min_A: float | None = None, least: float = LEAST) -> NDArray[np.void]:
    """The spots of an image, brightest first, without rendering it.

    Parameters
    ----------
    scene : Scene
        Of a flat detector.
    d_min_A : float, optional
        Resolution limit; None: that of the detector's farthest corner.
    least : float
        Smallest partiality that is listed; of a still 1 is a reflection that lies on the Ewald sphere exactly
        with all of the crystal and the beam, of a rotation one that is recorded whole.

    Returns
    -------
    structured ndarray (n,) of SPOT
        ``h``, ``k``, ``l``; ``crystal``, a lattice: a crystal of the sample or an individual of its twin, and
        ``panel``, numbers from 0; ``fast`` and ``slow`` in pixels of the panel, the centre of its first pixel
        at 0, 0, so that the nearest whole numbers are a pixel of its image; ``photons`` expected in the whole
        spot; ``partiality``, of a rotation NaN where the crystal comes near the Ewald sphere and does not
        cross it; ``d_A``, spacing, angstrom.  Spots without photons, of crystals of weight 0 and behind beam
        stops, are left out.

    Raises
    ------
    InputError, MemoryLimitError
        As `nbragg.expected_reflections`.
    """
    if not _weights(scene).any():
        return np.zeros(0, SPOT)
    found = expected_reflections(scene, d_min_A=d_min_A, least=least)
    photons = found["counts"]
    order = np.argsort(-photons, kind="stable")[: np.count_nonzero(photons > 0.0)]
    spots = np.empty(len(order), SPOT)
    index, place = found["miller_index"], found["xyz_px"]
    for i, name in enumerate("hkl"):
        spots[name] = index[order, i]
    for i, name in enumerate(("fast", "slow")):
        spots[name] = place[order, i] - 0.5
    for name in ("crystal", "panel", "partiality", "d_A"):
        spots[name] = found[name][order]
    spots["photons"] = photons[order]
    return spots


def _weights(scene: Scene) -> FloatArray:
    """How many times each lattice counts."""
    return np.array(
        [sum(scene.crystals[i].weight for i in blocks) for blocks in scene.placement.lattices], np.float64
    )


def _is_blank(result: Result) -> bool:
    """Whether the beam hits no crystal; one whose Bragg scattering is left out is there."""
    if result.setup is None:
        return not _weights(result.scene).any()
    return not any(result.setup.sample.weights or ())


def _a_matrices(scene: Scene) -> FloatArray:
    """Columns a*, b*, c*, 1/angstrom, of each lattice (n, 3, 3): inverse of the cell that is rendered."""
    placement = scene.placement
    axes = np.stack([placement.crystals[blocks[0]].unit_cell.vectors for blocks in placement.lattices])
    if placement.osc <= 0.0 and placement.phi0:
        axes = axes @ axis_rotation(placement.panels[0].spindle, placement.phi0).T
    return np.asarray(np.linalg.inv(axes))


def _split(A: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A = U B with rotations U, and B of the standard setting: a* along x, b* in the xy plane with y > 0.

    The z component of c* is positive, that of a left-handed set negative.
    """
    U, B = np.linalg.qr(A)
    signs = np.sign(np.diagonal(B, axis1=1, axis2=2)).copy()
    signs[:, 2] = signs[:, 0] * signs[:, 1] * np.linalg.det(U)
    return U * signs[:, np.newaxis, :], np.triu(B * signs[:, :, np.newaxis])


def _cells(A: FloatArray) -> FloatArray:
    """Edges (angstrom) and angles (degrees) of each lattice, (n, 6)."""
    axes = np.linalg.inv(A)
    edges = np.linalg.norm(axes, axis=2)
    unit = axes / edges[:, :, np.newaxis]
    first, second = unit[:, [1, 2, 0]], unit[:, [2, 0, 1]]
    # of small and of large angles alike without loss
    angles = 2.0 * np.arctan2(np.linalg.norm(first - second, axis=2), np.linalg.norm(first + second, axis=2))
    return np.concatenate([edges, np.degrees(angles)], axis=1)


def _space_group(result: Result) -> str:
    """The one of all crystals, "" where they differ or nobody knows it."""
    if result.setup is None:
        return ""
    groups = {crystal.structure_factors.space_group for crystal in result.setup.sample.crystals}
    return groups.pop() if len(groups) == 1 else ""

"""What is known of a simulated image: its crystals, its light, and where every spot is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LABEL_IMAGES", "SPOT", "Labels"]

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


def labels_of(
    result: Any,
    *,
    image: int = 0,
    parameters: Mapping[str, Any] | None = None,
    label_images: tuple[str, ...] = (),
    least: float = 1e-3,
) -> Labels:
    """The labels of a rendered image."""
    from ..analysis.reflections import expected_reflections

    scene = result.scene
    table = expected_reflections(scene, least=least)
    spots = np.zeros(len(table), SPOT)
    for i, name in enumerate("hkl"):
        spots[name] = table["miller_index"][:, i]
    for name in ("crystal", "panel", "partiality", "d_A"):
        spots[name] = table[name]
    spots["fast"], spots["slow"], spots["photons"] = (
        table["xyz_px"][:, 0],
        table["xyz_px"][:, 1],
        table["counts"],
    )
    n = len(scene.placement.crystals)
    return Labels(
        image=image,
        parameters=dict(parameters or {}),
        space_group="",
        cell=np.zeros((n, 6)),
        U=np.tile(np.eye(3), (n, 1, 1)),
        B=np.tile(np.eye(3), (n, 1, 1)),
        A=np.tile(np.eye(3), (n, 1, 1)),
        weight=np.ones(n),
        wavelength_A=float(scene.sources.wavelength[0] * 1e10),
        spectrum=np.stack([scene.sources.wavelength * 1e10, scene.sources.weight], axis=1),
        reflections=spots,
        images={},
    )

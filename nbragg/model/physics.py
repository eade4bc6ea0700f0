"""The two physics, resolved to what they switch (canonical 11)."""

from __future__ import annotations

from dataclasses import dataclass

from ..base import validate as check

__all__ = ["PHYSICS", "Physics", "physics_of"]


@dataclass(frozen=True)
class Physics:
    """What is computed as the reference program does (False) or as physics has it (True).

    Attributes
    ----------
    name : str
    true_cell : bool
        A triclinic cell keeps its angles (canonical 5.1).
    uniform_misset : bool
        ``misset_deg="random"`` is uniform over all rotations (5.3).
    gaussian_mosaic : bool
        Mosaic rotations are isotropic, their angle Gaussian (5.6, 9.2).
    cells_metric : bool
        Gaussian and top-hat spots are measured by the numbers of cells (7.1).
    keeps_interpolating : bool
        A sample outside the list does not end interpolation (7.3).
    factors_per_sample : bool
        Solid angle, polarization and capture are taken for every sample (8).
    weighs_sources : bool
        Source weights count (4).
    whole_layers : bool
        n sensor layers of thickness / n (6).
    mean_depth : bool
        A sensor layer has its photons at the mean depth of what it absorbs, not at its front (6.1).
    mid_step : bool
        A phi step has the angle of its middle, not of its start (6).
    honours_placing : bool
        Pivot, near point and pix0_vector are obeyed under every convention (3.2, 3.4).
    curved_by_axes : bool
        A curved detector is bent along its own axes (6.2).
    water_after : bool
        Water is added after the normalisation of Bragg scattering, with the capture fraction (8).
    reads_twotheta : bool
        The TWOTHETA of an image header counts (10.4).
    """

    name: str
    true_cell: bool
    uniform_misset: bool
    gaussian_mosaic: bool
    cells_metric: bool
    keeps_interpolating: bool
    factors_per_sample: bool
    weighs_sources: bool
    whole_layers: bool
    mean_depth: bool
    mid_step: bool
    honours_placing: bool
    curved_by_axes: bool
    water_after: bool
    reads_twotheta: bool


#: by name
PHYSICS: dict[str, Physics] = {
    name: Physics(name, *[exact] * (len(Physics.__dataclass_fields__) - 1))
    for name, exact in (("exact", True), ("nanobragg", False))
}


def physics_of(name: str) -> Physics:
    """The physics of a name.

    Raises
    ------
    InputError
        For another name than "exact" and "nanobragg".
    """
    return PHYSICS[check.choice("physics", name, PHYSICS)]

"""Crystals from files that hold both a unit cell and structure factors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from ..base.errors import InputError, NbraggWarning
from ..model.beam import Beam
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.physics import physics_of
from ..model.structure_factors import StructureFactors
from ..scene.build import detector_view
from ..scene.reach import View, check_reach, resolution_range
from .reflections.formats import file_kind, read_structure_factors

__all__ = ["model_limit", "read_crystal"]


def read_crystal(
    path: str | os.PathLike[str],
    *,
    beam: Beam | None = None,
    detector: Detector | None = None,
    default_F: float = 0.0,
    d_min_A: float | None = None,
    options: Mapping[str, Any] | None = None,
    physics: str = "exact",
    **fields: Any,
) -> Crystal:
    """A crystal from a file that holds both cell and structure factors: MTZ, structure-factor mmCIF, or a
    model.

    Parameters
    ----------
    path : path-like
        The file.
    beam : Beam, optional
        Its wavelength is used for f', f'' of a model; without it the file's.
    detector : Detector, optional
        Gives `d_min_A` of a model: the resolution of its farthest corner, and three reciprocal cell edges
        more so that the flanks of spots are complete.  With it, a list whose reflections all miss the
        detector is an error.
    default_F : float
        Amplitude of reflections not in the file.
    d_min_A : float, optional
        Resolution limit.
    options : mapping, optional
        More for the reader: ``column``, ``solvent``, ...; see :func:`nbragg.io.read_structure_factors`.
    physics : {"exact", "nanobragg"}
        That of the simulation: it says where the detector stands.
    **fields
        Everything else of :class:`nbragg.Crystal`; ``cell`` or ``a_matrix`` replace the file's cell.

    Examples
    --------
    >>> import nbragg, tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".hkl") as file:
    ...     print("1 0 0 50.5", "-1 0 0 50.5", sep="\\n", file=file, flush=True)
    ...     crystal = nbragg.read_crystal(file.name, cell=(70, 80, 90, 90, 90, 90), N=(10, 10, 10))
    >>> crystal.structure_factors.n_listed
    2
    """
    more = dict(options or {})
    if file_kind(path) == "model":
        from .reflections.models import model_summary

        summary = model_summary(path, cell=more.get("cell"), spacegroup=more.get("spacegroup"))
        wavelength = beam.wavelength_A if beam is not None else more.get("wavelength_A") or summary[1]
        more["wavelength_A"] = wavelength
        if d_min_A is None and detector is not None:
            d_min_A = model_limit(
                summary[0], beam or Beam(wavelength_A=wavelength or 1.0), detector, physics=physics
            )
    reflections = read_structure_factors(path, d_min_A=d_min_A, **more)
    if detector is not None:
        seen_with = beam or Beam(wavelength_A=reflections.wavelength_A or 1.0)
        check_reach(reflections, _view(detector, seen_with, physics))
    factors = StructureFactors.from_reflections(
        reflections.h, reflections.k, reflections.l, reflections.F, default_F=default_F
    )
    if fields.get("cell") is None and fields.get("a_matrix") is None:
        if reflections.cell is None:
            raise InputError(
                f"{path} holds no unit cell: give cell=(a, b, c, alpha, beta, gamma) or a_matrix="
            )
        fields["cell"] = reflections.cell
    return Crystal(structure_factors=factors, **fields)


def model_limit(
    cell: tuple[float, float, float, float, float, float],
    beam: Beam,
    detector: Detector,
    d_min_A: float | None = None,
    *,
    physics: str = "exact",
) -> float:
    """Resolution (A) to which a model's structure factors are needed.

    That of the detector's farthest corner, or `d_min_A` where nothing beyond it counts, and three reciprocal
    cell edges more so that the flanks of spots are complete.

    Parameters
    ----------
    cell : 6 floats
        The model's, A and degrees.
    beam, detector : Beam, Detector
    d_min_A : float, optional
        Samples with a smaller spacing are skipped (`Sampling.dmin_A`).
    physics : {"exact", "nanobragg"}
        It says where the detector stands.
    """
    import gemmi

    star = gemmi.UnitCell(*cell).reciprocal()
    seen = max(resolution_range(_view(detector, beam, physics))[0], d_min_A or 0.0)
    return 1.0 / (1.0 / seen + 3.0 * max(star.a, star.b, star.c))


def _view(detector: Detector, beam: Beam, physics: str) -> View:
    """What the detector sees; whoever builds the scene hears the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        return detector_view(detector, beam, physics_of(physics))

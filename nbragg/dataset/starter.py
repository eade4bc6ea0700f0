"""A commented recipe to begin with, for a model or a list of structure factors."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base import validate as check
from ..base.errors import FileError, InputError
from ..base.optional import require
from ..base.unit_cell import Cell
from ..io.crystal_files import read_crystal
from ..io.files.atomic import open_atomic
from ..io.files.sniff import check_file
from ..io.reflections.formats import file_kind
from ..model.beam import Beam
from .recipe import DatasetRecipe

__all__ = ["starter_recipe", "write_starter"]

#: edge of the detector and resolution at the middle of its edges
_EDGE_MM, _D_MIN_A = 76.8, 2.0
#: width of a spot at half its height, in sub-pixels: its photons are then right to about 1 %
_SUB_PIXELS = 1.2
_OVERSAMPLE = 2

_TEXT = """\
# Labelled still images of {name}.
#   nbragg dataset check {recipe}          what it will make, with a picture of 16 images
#   nbragg dataset make  {recipe} -o DIR   makes them; the same command goes on where it was stopped
nanobragg_dataset: 1
seed: 1                  # of all random numbers; image i is the same whoever makes it
images: {images}

setup:                   # what all images share, as nbragg.dump writes a set-up; -physics exact
  crystal:
    cell: [{cell}]
    structure_factors: {{file: {file}{options}}}
    # Blocks of so many cells scatter coherently.  Their spots are about {width:.1f} sub-pixels wide here;
    # larger blocks have sharper spots, whose photons a coarse detector sees right only with more oversample.
    N: [{N}]
    shape: gauss
    illuminated_volume_um3: 1.0      # all blocks together
  beam:
    wavelength_A: {wavelength}
    fluence: 1.0e+23               # photons/m^2: 1e11 in a spot of 1 um
    beamsize_mm: 0.001
  detector:
    distance_mm: {distance:.2f}             # {d_min:g} A at the middle of its edges
    pixel_mm: {pixel:.4f}
    fpixels: {size}
    spixels: {size}
    # or one of the library (nbragg detectors):  {{named: eiger2_4m, distance_mm: 100}}
  sampling: {{oversample: {oversample}}}
  backgrounds:
  - {{table: water, thickness_mm: 0.004}}      # a jet
  response: {{kind: counting}}        # noise of counting alone; or {{preset: eiger2}}, jungfrau, pilatus ...

vary:                    # names of parameters, and distributions as scipy.stats calls them
  orientation: uniform
  crystal.cell: {{norm: {{loc: 1, scale: 0.002}}, as: factor}}
  crystal.illuminated_volume_um3: {{lognorm: {{s: 0.5}}, as: factor}}
  beam.fluence: {{gamma: {{a: 4, scale: 0.25}}, as: factor}}       # pulses of a SASE source
  backgrounds.thickness_mm: {{uniform: {{loc: 0.003, scale: 0.003}}}}
  # lattices: {{poisson: {{mu: 1.3}}}}                              # crystals in an image, 0 too
  # crystal.N: {{lognorm: {{s: 0.2}}, as: factor, together: true, within: [0.5, 2]}}
  # spectrum: {{sase: {{bandwidth: 0.002}}}}                        # a spectrum for each pulse
  # mosaic: redrawn                                             # with crystal.mosaic_spread_deg above 0
  # detector.distance_mm: {{norm: {{loc: {distance:.2f}, scale: 0.2}}}}
  # detector.centre: {{norm: {{scale: 0.1}}, as: offset}}             # mm; both numbers
  # structure_factors: {{choice: [{file}, another.mtz], weights: [3, 1]}}

labels:
  images: []             # spots, reflection, bragg, background: an image of each beside the pixels

output:
  format: nxmx           # DIALS opens it; one detector for all images of a file.  h5, zarr, webdataset
  images_per_shard: {shard}
"""


def starter_recipe(
    source: str | os.PathLike[str],
    recipe: str | os.PathLike[str],
    *,
    size: int = 512,
    images: int = 1000,
    cell: Sequence[float] | None = None,
) -> str:
    """Text of a recipe of stills, YAML with comments.

    Parameters
    ----------
    source : path
        A model (PDB, mmCIF) or a list of structure factors.
    recipe : path
        Where it is to stand: it names the source from there.
    size : int
        Pixels along each edge of the detector.
    images : int
    cell : 6 floats, optional
        Unit cell, angstrom and degrees, of a list that says none.

    Raises
    ------
    InputError, FileError, MissingPackageError
        As `nbragg.read_crystal`; for sizes below 16 and above 16384.
    """
    size = check.count("size", size, at_least=16, at_most=16384)
    images = check.count("images", images)
    fields: dict[str, Any] = {} if cell is None else {"cell": check.vector("cell", cell, 6)}
    beam = Beam(wavelength_A=1.3)
    d_min = _D_MIN_A
    two_theta = 2.0 * math.asin(beam.wavelength_A / (2.0 * d_min))
    distance = 0.5 * _EDGE_MM / math.tan(two_theta)
    pixel = _EDGE_MM / size
    # the corners see more, and lists end where they end
    corner = beam.wavelength_A / (2.0 * math.sin(0.5 * math.atan(math.sqrt(0.5) * _EDGE_MM / distance)))
    model = file_kind(check_file(source, what="model or list of structure factors")) == "model"
    crystal = read_crystal(source, beam=beam, d_min_A=corner if model else None, **fields)
    assert crystal.cell is not None  # it comes from the file, or was given
    here = os.path.relpath(os.path.abspath(source), os.path.dirname(os.path.abspath(recipe)) or ".")
    known = f", options: {{d_min_A: {corner:.3f}, wavelength_A: {beam.wavelength_A:g}}}" if model else ""
    return _TEXT.format(
        name=os.path.basename(os.fspath(source)),
        recipe=os.fspath(recipe),
        images=images,
        cell=", ".join(f"{x:g}" for x in crystal.cell),
        file=_quoted(here),
        options=known,
        N=", ".join(str(n) for n in _blocks(crystal.cell, pixel / (distance * beam.wavelength_A))),
        width=_SUB_PIXELS,
        wavelength=f"{beam.wavelength_A:g}",
        distance=distance,
        d_min=d_min,
        pixel=pixel,
        size=size,
        oversample=_OVERSAMPLE,
        shard=max(10, min(1000, round(2.5e7 / size**2))),
    )


def _blocks(cell: Cell, step: float) -> list[int]:
    """Cells along each axis of a block whose spots are wide enough for pixels of ``step`` (1/angstrom)."""
    length = 0.9 * _OVERSAMPLE / (_SUB_PIXELS * step)
    return [max(2, round(length / edge)) for edge in cell[:3]]


def _quoted(name: str) -> str:
    """As YAML takes it within braces."""
    return name if all(c.isalnum() or c in "._-/" for c in name) else "'" + name.replace("'", "''") + "'"


def write_starter(
    source: str | os.PathLike[str], recipe: str | os.PathLike[str], *, overwrite: bool = False, **options: Any
) -> DatasetRecipe:
    """Write `starter_recipe` to a file, and read it back.

    Raises
    ------
    InputError, FileError, MissingPackageError
        Nothing is written then.
    """
    if Path(recipe).suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"{os.fspath(recipe)}: a recipe with comments is YAML: name it recipe.yaml")
    if not overwrite and Path(recipe).exists():
        raise FileError(f"{os.fspath(recipe)} exists: give another name, or --overwrite")
    text = starter_recipe(source, recipe, **options)
    values = require("yaml", extra="dataset", purpose="recipes in YAML").safe_load(text)
    read = DatasetRecipe.from_dict(values, folder=Path(recipe).parent)
    with open_atomic(recipe, "w", overwrite=overwrite) as stream:
        stream.write(text)
    return read

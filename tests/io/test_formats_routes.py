"""From the files people have to an image, and the same image by different routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_files import DATA, TEXT_LIST
from numpy.typing import NDArray

from nbragg import Beam, Detector, Sampling, StructureFactors
from nbragg.io.crystal_files import read_crystal
from nbragg.io.images import read_image
from nbragg.io.reflections.formats import read_structure_factors
from nbragg.model.crystal import Crystal
from nbragg.simulation.simulate import simulate

HEWL = DATA / "HEWL_refined.mtz"


@pytest.mark.parametrize("name", ["HEWL_refined.mtz", "5e5z.pdb", "1011031.cif"])
def test_from_a_file_to_an_image(tmp_path: Path, name: str) -> None:
    beam, detector = (
        Beam(wavelength_A=1.0),
        Detector(distance_mm=80, pixel_mm=0.4, detsize_f_mm=80, detsize_s_mm=80),
    )
    crystal = read_crystal(DATA / name, beam=beam, detector=detector, N=(6, 6, 6), misset_deg=(10, 20, 30))
    result = simulate(crystal, beam, detector, Sampling(oversample=1))
    result.save(tmp_path / "image.nxs")
    assert result.image.max() > 0 and np.array_equal(read_image(tmp_path / "image.nxs").image, result.image)


def _image(factors: StructureFactors, cells: int) -> NDArray[Any]:
    crystal = Crystal(
        cell=(79.3439, 79.3439, 37.8099, 90, 90, 90),
        N=(cells, cells, cells),
        misset_deg=(10, 20, 30),
        structure_factors=factors,
    )
    detector = Detector(distance_mm=200, pixel_mm=0.4)
    result = simulate(crystal, Beam(wavelength_A=1.0), detector, Sampling(oversample=1))
    return result.image.astype(np.float64)


@pytest.mark.parametrize("cells", [1, 5, 30])
def test_mtz_route_equals_text_route(cells: int) -> None:
    text = _image(StructureFactors.from_file(TEXT_LIST), cells)
    found = read_structure_factors(HEWL, d_min_A=3.5)
    rounded = StructureFactors.from_reflections(found.h, found.k, found.l, np.round(found.F, 3))
    assert np.array_equal(_image(rounded, cells), text)
    # the list's three decimals are 1e-6 of its largest amplitude, more of the one that makes the maximum
    exact = _image(StructureFactors.from_file(HEWL, d_min_A=3.5), cells)
    assert np.abs(exact - text).max() <= 1e-5 * text.max()

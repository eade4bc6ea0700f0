"""The user-facing records: validation, comparison, replacement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nbragg import (
    Beam,
    Crystal,
    Detector,
    InputError,
    MemoryLimitError,
    Sampling,
    SourceList,
    StructureFactors,
)

F100 = StructureFactors.constant(100)
CELL = (70.0, 80.0, 90.0, 75.0, 85.0, 95.0)


def crystal(**fields: Any) -> Crystal:
    return Crystal(**{"structure_factors": F100, "cell": CELL, **fields})


NUMBERS = [
    *(
        (Beam, name)
        for name in ("wavelength_A", "dispersion_pct", "hdivrange_mrad", "vdivrange_mrad", "flux")
    ),
    *((Beam, name) for name in ("hdivstep_mrad", "vdivstep_mrad", "polarization", "fluence", "exposure_s")),
    *((Beam, name) for name in ("beamsize_mm", "dispersion_steps", "hdivsteps", "vdivsteps")),
    *((Detector, name) for name in ("distance_mm", "close_distance_mm", "pixel_mm", "fpixels", "spixels")),
    *((Detector, name) for name in ("detsize_f_mm", "detsize_s_mm", "Xbeam_mm", "Ybeam_mm", "Xclose_mm")),
    *((Detector, name) for name in ("Yclose_mm", "ORGX", "ORGY", "rotx_deg", "roty_deg", "rotz_deg")),
    *((Detector, name) for name in ("twotheta_deg", "thickness_um", "thicksteps")),
    *((crystal, name) for name in ("fudge", "mosaic_spread_deg", "mosaic_domains", "mosaic_seed", "phi_deg")),
    *((crystal, name) for name in ("osc_deg", "phistep_deg", "phisteps", "misset_seed")),
    *((Sampling, name) for name in ("oversample", "dmin_A", "water_um")),
]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "3", True, [1.0], 10**400])
@pytest.mark.parametrize(("record", "name"), NUMBERS)
def test_not_a_finite_number(record: Any, name: str, bad: object) -> None:
    with pytest.raises(InputError, match=name):
        record(**{name: bad})


@pytest.mark.parametrize(
    ("record", "name", "bad"),
    [
        (Beam, "wavelength_A", 0),
        (Beam, "wavelength_A", -1.0),
        (Beam, "dispersion_pct", -1),
        (Beam, "dispersion_steps", 0),
        (Beam, "hdivsteps", -3),
        (Beam, "hdivsteps", 2.5),
        (Beam, "hdivrange_mrad", -1),
        (Beam, "polarization", 1.01),
        (Beam, "fluence", -1.0),
        (Beam, "beam_vector", (0, 0, 0)),
        (Beam, "beam_vector", (0, math.nan, 1)),
        (Beam, "polar_vector", (1, 2)),
        (Beam, "round_div", 1),
        (Beam, "sources", [[1, 2, 3]]),
        (Detector, "distance_mm", 0),
        (Detector, "close_distance_mm", -5),
        (Detector, "pixel_mm", 0),
        (Detector, "fpixels", 0),
        (Detector, "spixels", -1),
        (Detector, "detsize_f_mm", 0),
        (Detector, "convention", "mosfilm"),
        (Detector, "pivot", "detector"),
        (Detector, "fdet_vector", (0, 0, 0)),
        (Detector, "twotheta_axis", "001"),
        (Detector, "thickness_um", -1),
        (Detector, "attenuation_um", -1),
        (Detector, "attenuation_um", math.nan),
        (Detector, "thicksteps", 0),
        (Detector, "mask", np.ones(5)),
        (Detector, "mask", np.full((5, 5), np.nan)),
        (crystal, "N", (5, 0, 5)),
        (crystal, "N", (5, 5)),
        (crystal, "N", (5, 0.5, 5)),
        (crystal, "N", (5, float("inf"), 5)),
        (crystal, "rotation_deg", (1, 2)),
        (crystal, "rotation_deg", (1, 2, float("nan"))),
        (crystal, "domain_weight", ()),
        (crystal, "domain_weight", (0, 0)),
        (crystal, "domain_weight", (1, -1)),
        (crystal, "domain_weight", 1.0),
        (crystal, "size_mm", (None, 0, None)),
        (crystal, "size_mm", 0.1),
        (crystal, "shape", "cube"),
        (crystal, "fudge", -1),
        (crystal, "mosaic_spread_deg", -0.1),
        (crystal, "mosaic_domains", 0),
        (crystal, "osc_deg", -1),
        (crystal, "phisteps", 0),
        (crystal, "misset_deg", "randon"),
        (crystal, "misset_deg", (1, 2)),
        (crystal, "spindle_axis", (0, 0, 0)),
        (crystal, "structure_factors", 100.0),
        (Sampling, "oversample", 0),
        (Sampling, "oversample_thick", "yes"),
        (Sampling, "roi", (10, 5, 0, 5)),
        (Sampling, "roi", (0, 5, 10, 5)),
        (Sampling, "roi", (-1, 5, 0, 5)),
        (Sampling, "roi", (0, 5, 0)),
        (Sampling, "dmin_A", -1),
        (Sampling, "water_um", -1),
    ],
)
def test_out_of_range(record: Any, name: str, bad: object) -> None:
    with pytest.raises(InputError, match=name):
        record(**{name: bad})


@pytest.mark.parametrize(
    ("angles", "shown"),
    [
        ((30, 30, 120), r"\(30, 30, 120\)"),
        ((120, 120, 120), "120"),
        ((150, 120, 100), "150"),
        ((90, 90, 180), "180"),
        ((0, 90, 90), "0"),
        ((-90, 90, 90), "-90"),
        ((60, 40, 20), "60, 40, 20"),
    ],
)
def test_cell_angles_that_do_not_close(angles: tuple[float, float, float], shown: str) -> None:
    with pytest.raises(InputError, match=shown):
        crystal(cell=(50, 60, 70, *angles))


@pytest.mark.parametrize("lengths", [(0, 60, 70), (50, -60, 70), (50, 60, math.inf)])
def test_cell_lengths(lengths: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="cell"):
        crystal(cell=(*lengths, 90, 90, 90))


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 3)),
        [[0.01, 0.02, 0], [0, 0, 0.01], [0, 0, 0]],
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        np.eye(2),
        np.full((3, 3), np.nan),
        "identity",
    ],
)
def test_a_matrix_that_spans_no_space(matrix: Any) -> None:
    with pytest.raises(InputError, match="a_matrix"):
        crystal(a_matrix=matrix)


def test_a_crystal_needs_a_cell() -> None:
    with pytest.raises(InputError, match="cell or a_matrix"):
        Crystal(structure_factors=F100)


def test_sources() -> None:
    with pytest.raises(InputError, match="source 2"):
        SourceList([[1, 0, 0], [0, 0, 0]])
    with pytest.raises(InputError, match="at least one"):
        SourceList(np.empty((0, 3)))
    with pytest.raises(InputError, match=r"source 1 has the wavelength -1"):
        SourceList([[1, 0, 0]], wavelengths_A=[-1.0])
    with pytest.raises(InputError, match="weights"):
        SourceList([[1, 0, 0]], weights=[-1.0])
    with pytest.raises(InputError, match="weights"):
        SourceList([[1, 0, 0]], weights=[1.0, 2.0])
    with pytest.raises(InputError, match="finite"):
        SourceList([[1, 0, math.inf]])


def test_records_compare_and_hash_by_content() -> None:
    matrix = np.diag([0.01, 0.02, 0.03])
    one, two = crystal(cell=None, a_matrix=matrix), crystal(cell=None, a_matrix=matrix.copy())
    assert one == two
    assert hash(one) == hash(two)
    assert one != one.replace(N=(1, 1, 2))
    assert one.replace(N=(1, 1, 2)).replace(N=(1, 1, 1)) == one
    assert one != Beam()
    assert Beam(wavelength_A=1) == Beam(wavelength_A=1.0) == Beam(wavelength_A=np.float64(1.0))
    mask = np.ones((3, 4), dtype=bool)
    assert Detector(mask=mask) == Detector(mask=mask.astype(np.uint8) * 7)
    assert SourceList([[1, 0, 0]]) == SourceList([[1, 0, 0]], weights=[1.0])


def test_records_hold_read_only_copies() -> None:
    matrix = np.diag([0.01, 0.02, 0.03])
    record = crystal(cell=None, a_matrix=matrix)
    matrix[0, 0] = 5
    assert record.a_matrix is not None
    assert record.a_matrix[0, 0] == 0.01
    with pytest.raises(ValueError, match="read-only"):
        record.a_matrix[0, 0] = 1
    with pytest.raises(AttributeError):
        setattr(record, "phi_deg", 3.0)  # noqa: B010


def test_replace_validates() -> None:
    with pytest.raises(InputError, match="wavelength_A"):
        Beam().replace(wavelength_A=-1)


def test_repr_shows_what_was_set() -> None:
    assert repr(Beam(wavelength_A=1.5)) == "Beam(wavelength_A=1.5)"
    assert "mask=<array (3, 4) uint8>" in repr(Detector(mask=np.ones((3, 4))))


def test_energy() -> None:
    """lambda = 12398.42/E angstrom (canonical 1)."""
    assert Beam.from_energy(12398.42, polarization=0.5) == Beam(wavelength_A=1.0, polarization=0.5)
    assert Beam(wavelength_A=2.0).energy_eV == 6199.21
    with pytest.raises(InputError, match="energy_eV"):
        Beam.from_energy(0)


def test_random_misset_without_seed_is_drawn_once() -> None:
    record = crystal(misset_deg="random")
    assert record.misset_seed is not None
    assert record.replace(N=(1, 1, 1)).misset_seed == record.misset_seed


def test_constant_and_listed_factors() -> None:
    factors = StructureFactors.from_reflections([0, 2, 2], [1, 1, 1], [-3, -4, -4], [5, 6, 7], default_F=2)
    assert factors.values is not None
    assert factors.origin == (0, 1, -4)
    assert factors.values.shape == (3, 1, 2)
    assert factors.n_listed == 3
    # the last of repeated indices counts, holes take the default
    np.testing.assert_array_equal(factors.values[:, 0, :], [[2, 5], [2, 2], [7, 2]])
    assert factors == StructureFactors(factors.values, (0, 1, -4), 2)
    assert factors != StructureFactors(factors.values, (0, 1, -3), 2)
    assert hash(factors) == hash(StructureFactors(factors.values.copy(), (0, 1, -4), 2))
    assert StructureFactors.constant(3).values is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (([], [], [], []), "empty"),
        (([0.5], [0], [0], [1]), "h must be whole-numbered"),
        (([0], [0, 1], [0], [1]), "k must be"),
        (([0], [0], [0], [math.nan]), "F must be finite"),
        (([0], [0], [3e9], [1]), "l must be indices below"),
        ((["a"], [0], [0], [1]), "h must be"),
    ],
)
def test_bad_reflections(columns: tuple[list[Any], ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        StructureFactors.from_reflections(*columns)


def test_reflections_that_span_too_much() -> None:
    with pytest.raises(MemoryLimitError, match=r"h 0 to 1000000, k 0 to 1000000, .* needs .* TB .*-hkl"):
        StructureFactors.from_reflections([0, 10**6], [0, 10**6], [0, 10**6], [1, 1])

"""MTZ and structure-factor mmCIF in: the column rule, expansion to P1, Bijvoet pairs, completeness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from format_files import CELL, DATA, TEXT_LIST, table, write_mtz

from nbragg import StructureFactors
from nbragg.base.errors import FileError, InputError
from nbragg.io.reflections.formats import read_structure_factors
from nbragg.io.reflections.mtz_cif import candidates, read_mtz, read_sf_cif
from nbragg.io.reflections.reflection_list import expand_to_p1, from_table, resolution_shells, sort_unique

HEWL = DATA / "HEWL_refined.mtz"


def test_mtz_route_equals_the_text_list() -> None:
    found = read_mtz(HEWL, d_min_A=3.5)
    text = np.loadtxt(TEXT_LIST)
    assert np.array_equal(np.column_stack([found.h, found.k, found.l]), text[:, :3])
    # the list has three decimals
    assert np.array_equal(np.round(found.F, 3), text[:, 3])
    assert found.column == "F-model(+) and F-model(-)"
    assert found.rule.startswith("model amplitudes")
    assert found.cell == pytest.approx((79.3439, 79.3439, 37.8099, 90, 90, 90), abs=1e-4)
    assert found.wavelength_A == 1.0
    assert found.spacegroup == "P 43 21 2"


def test_from_file_takes_mtz() -> None:
    found = StructureFactors.from_file(HEWL, d_min_A=3.5)
    text = StructureFactors.from_file(TEXT_LIST)
    assert found.values is not None and text.values is not None
    assert found.origin == text.origin
    assert np.abs(found.values - text.values).max() < 5.1e-4


def test_report_names_column_and_missing_reflections() -> None:
    found = read_mtz(HEWL, d_min_A=3.5)
    assert found.missing == 3 and not found.complete
    report = found.report()
    assert "F-model(+) and F-model(-)" in report and "also there: F-obs-filtered" in report
    assert "missing: 3 of 1712 unique reflections" in report
    assert sum(s.expected for s in found.shells) == 1712
    assert all(
        a.d_min_A == pytest.approx(b.d_max_A) for a, b in zip(found.shells, found.shells[1:], strict=False)
    )


def test_candidates_are_listed_best_first() -> None:
    names = [c.name for c in candidates(HEWL)]
    assert names[:3] == ["F-model", "F-obs-filtered", "I-obs"]
    assert set(names[3:]) == {"2FOFCWT", "2FOFCWT_no_fill", "FOFCWT", "ANOM"}


@pytest.mark.parametrize("name", ["I-obs", "I-obs(+)", "I-obs(-)", "I-obs(+),I-obs(-)", "I-obs(+), I-obs(-)"])
def test_column_is_chosen_by_any_name_of_the_pair(name: str) -> None:
    found = read_mtz(HEWL, column=name, d_min_A=3.5)
    assert found.column == "sqrt of I-obs(+) and I-obs(-)"
    assert found.rule == "as asked"


def test_intensities_become_amplitudes(tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "a.mtz", [("IMEAN", "J")], values=np.array([[16.0], [-4.0], [2.25]]))
    found = read_mtz(path)
    values = table(found)
    assert values[1, 1, 1] == 4.0 and values[1, 2, 3] == 0.0 and values[0, 2, 4] == 1.5
    assert any("1 of 3 intensities IMEAN are negative" in note for note in found.notes)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([("FP", "F"), ("SIGFP", "Q"), ("I", "J"), ("SIGI", "Q")], "FP"),
        ([("FP", "F"), ("SIGFP", "Q"), ("FC", "F"), ("PHIC", "P")], "FC"),
        (
            [("FC", "F"), ("PHIC", "P"), ("FC_ALL", "F"), ("PHIC_ALL", "P"), ("FWT", "F"), ("PHWT", "P")],
            "FC_ALL",
        ),
        ([("F", "F"), ("SIGF", "Q"), ("F(+)", "G"), ("SIGF(+)", "L"), ("F(-)", "G")], "F(+) and F(-)"),
        ([("IMEAN", "J"), ("I(+)", "K"), ("I(-)", "K")], "sqrt of I(+) and I(-)"),
        ([("FWT", "F"), ("PHWT", "P"), ("FP", "F"), ("SIGFP", "Q")], "FP"),
        ([("Fplus", "G"), ("Fminus", "G")], "Fplus and Fminus"),
        ([("FOBS", "F"), ("SIGF", "Q"), ("FEM", "F"), ("PHFEM", "P")], "FOBS"),
    ],
)
def test_column_rule(tmp_path: Path, columns: list[tuple[str, str]], expected: str) -> None:
    assert read_mtz(write_mtz(tmp_path / "a.mtz", columns)).column == expected


def test_ambiguous_columns_are_an_error_that_lists_them(tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "a.mtz", [("F_nat", "F"), ("SIGF_nat", "Q"), ("F_Hg", "F"), ("SIGF_Hg", "Q")])
    with pytest.raises(InputError, match=r"'F_nat', 'F_Hg'.*column='F_nat'.*-column F_nat") as error:
        read_mtz(path)
    assert "2 columns of the same kind (measured amplitudes)" in str(error.value)
    assert read_mtz(path, column="F_Hg").column == "F_Hg"


def test_no_amplitudes(tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "a.mtz", [("FREE", "I"), ("FOM", "W")])
    with pytest.raises(InputError, match=r"no column of amplitudes or intensities.*columns: FREE, FOM"):
        read_mtz(path)
    with pytest.raises(InputError, match="column FOM has type W"):
        read_mtz(path, column="FOM")
    with pytest.raises(InputError, match="no column 'F'"):
        read_mtz(path, column="F")


def test_map_coefficients_only_when_named(tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "a.mtz", [("F", "F"), ("PHI", "P")])
    with pytest.raises(InputError, match="name one with column="):
        read_mtz(path)
    assert read_mtz(path, column="F").column == "F"


def test_missing_cell_and_unknown_space_group(tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "a.mtz", [("F", "F"), ("SIGF", "Q")], cell=None)
    with pytest.raises(InputError, match="no unit cell: give cell="):
        read_mtz(path)
    found = read_mtz(path, cell=CELL)
    assert found.cell == CELL
    with pytest.raises(InputError, match="cannot form a cell"):
        read_mtz(path, cell=(0.0, 1, 1, 90, 90, 90))
    path = write_mtz(tmp_path / "b.mtz", [("F", "F"), ("SIGF", "Q")], spacegroup=None)
    with pytest.raises(InputError, match="unknown space group"):
        read_mtz(path)
    assert read_mtz(path, spacegroup="P 2 2 2").spacegroup == "P 2 2 2"
    with pytest.raises(InputError, match="unknown space group 'P 99'"):
        read_mtz(path, spacegroup="P 99")


def test_wavelength_of_the_chosen_data_set(tmp_path: Path) -> None:
    path = write_mtz(tmp_path / "a.mtz", [("F", "F"), ("SIGF", "Q")], wavelength=0.9793)
    assert read_mtz(path).wavelength_A == pytest.approx(0.9793)
    assert read_mtz(write_mtz(tmp_path / "b.mtz", [("F", "F")])).wavelength_A is None


def test_resolution_limits() -> None:
    everything = read_mtz(HEWL)
    cut = read_mtz(HEWL, d_min_A=3.0, d_max_A=10.0)
    cell = gemmi.UnitCell(*everything.cell) if everything.cell else None
    assert cell is not None
    d = cell.calculate_d_array(np.column_stack([cut.h, cut.k, cut.l]).astype(np.int32))
    assert d.min() >= 3.0 and d.max() <= 10.0
    assert len(cut) < len(everything)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"d_min_A": 0.0}, "d_min_A = 0.0"),
        ({"d_min_A": float("nan")}, "d_min_A = nan"),
        ({"d_min_A": 5.0, "d_max_A": 3.0}, "not below"),
        ({"d_max_A": 1.0}, "no reflection between 1 and 0 A; the file has 56.1 to 1.7"),
    ]
    for limits, message in cases:
        with pytest.raises(InputError, match=message):
            read_mtz(HEWL, **limits)


@pytest.mark.parametrize(
    "name", ["P 1", "P 21 21 21", "P 43 21 2", "P 61 2 2", "R 3 :H", "F -4 3 m", "I a -3 d"]
)
def test_expansion_against_gemmi(name: str) -> None:
    group = gemmi.find_spacegroup_by_name(name)
    cell = gemmi.UnitCell(30, 30, 30, 90, 90, 120 if name[0] in "R" or "6" in name else 90)
    unique = gemmi.make_miller_array(cell, group, 4.0)
    rng = np.random.default_rng(1)
    plus, minus = rng.uniform(1, 2, (2, len(unique)))
    h, k, l, F = expand_to_p1(unique, plus, minus, group.operations())  # noqa: E741
    operations = group.operations()
    expected: dict[tuple[int, ...], float] = {}
    for row, p, m in zip(unique.tolist(), plus, minus, strict=True):
        for value, sign in ((m, -1), (p, 1)):
            for op in operations.sym_ops:
                expected[tuple(sign * i for i in op.apply_to_hkl(row))] = value
        if operations.is_reflection_centric(row):
            for op in operations.sym_ops:
                expected[tuple(-i for i in op.apply_to_hkl(row))] = p
    found = dict(zip(zip(h.tolist(), k.tolist(), l.tolist(), strict=True), F.tolist(), strict=True))
    assert found == expected
    order = list(zip(h.tolist(), k.tolist(), l.tolist(), strict=True))
    assert order == sorted(order)


def test_bijvoet_pairs_stay_apart(tmp_path: Path) -> None:
    hkl = np.array([[1, 2, 3], [2, 1, 1], [3, 1, 2], [0, 2, 4]])
    values = np.array([[5.0, 7.0], [4.0, np.nan], [np.nan, 3.0], [6.0, np.nan]])
    path = write_mtz(tmp_path / "a.mtz", [("F(+)", "G"), ("F(-)", "G")], hkl=hkl, values=values)
    found = read_mtz(path)
    F = table(found)
    assert F[1, 2, 3] == 5 and F[-1, -2, -3] == 7
    assert F[1, -2, -3] == 5 and F[-1, 2, 3] == 7  # a two-fold axis along a
    assert F[2, 1, 1] == F[-2, -1, -1] == 4
    assert F[3, 1, 2] == F[-3, -1, -2] == 3
    assert F[0, 2, 4] == F[0, -2, -4] == 6
    assert any(note.startswith("2 acentric reflections with one Bijvoet mate") for note in found.notes)


def test_completeness_counts_the_space_group_once() -> None:
    cell, group = gemmi.UnitCell(30, 40, 50, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21")
    unique = gemmi.make_miller_array(cell, group, 3.0)
    other = unique * np.array([1, -1, 1])  # the same reflections in another asymmetric unit
    shells = resolution_shells(other, cell, group, 3.0)
    assert sum(s.expected for s in shells) == len(unique)
    assert sum(s.missing for s in shells) == 0
    assert len({s.expected for s in shells}) > 1 and shells[-1].d_min_A == pytest.approx(3.0)
    fewer = resolution_shells(np.delete(unique, slice(10, 20), axis=0), cell, group, 3.0)
    assert sum(s.missing for s in fewer) == 10


def test_last_of_repeated_indices_stays() -> None:
    h, _, _, F = sort_unique(np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0]]), np.array([1.0, 2.0, 3.0]))
    assert h.tolist() == [0, 1] and F.tolist() == [2.0, 3.0]


def test_unmerged_mtz_is_refused(tmp_path: Path) -> None:
    mtz = gemmi.read_mtz_file(str(DATA / "5e5z.mtz"))
    mtz.batches.append(gemmi.Mtz.Batch())
    path = tmp_path / "a.mtz"
    mtz.write_to_file(str(path))
    with pytest.raises(FileError, match="unmerged"):
        read_mtz(path)


_SF_CIF = """data_r1abcsf
_cell.length_a 30
_cell.length_b 40
_cell.length_c 50
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_diffrn_radiation_wavelength.wavelength 0.98
_symmetry.space_group_name_H-M 'P 21 21 21'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.status
{tags}
{rows}
"""


def _sf_cif(path: Path, tags: list[str], rows: list[str]) -> Path:
    text = _SF_CIF.format(tags="\n".join(f"_refln.{tag}" for tag in tags), rows="\n".join(rows))
    path.write_text(text)
    return path


def test_structure_factor_mmcif(tmp_path: Path) -> None:
    tags = ["F_meas_au", "pdbx_F_plus", "pdbx_F_minus", "intensity_meas"]
    path = _sf_cif(tmp_path / "a.cif", tags, ["1 2 3 o 4 5 6 16", "2 1 1 f 3 ? 2 9", "3 1 1 x 9 9 9 9"])
    found = read_sf_cif(path)
    assert found.column == "pdbx_F_plus and pdbx_F_minus"
    F = table(found)
    assert F[1, 2, 3] == 5 and F[-1, -2, -3] == 6 and F[2, 1, 1] == 2
    assert found.wavelength_A == pytest.approx(0.98) and found.cell == CELL
    mean = table(read_sf_cif(path, column="F_meas_au"))
    assert mean[1, 2, 3] == mean[-1, -2, -3] == 4 and (3, 1, 1) not in mean
    assert table(read_sf_cif(path, column="intensity_meas"))[1, 2, 3] == 4
    assert table(read_structure_factors(path)) == F


def test_structure_factor_mmcif_prefers_the_model(tmp_path: Path) -> None:
    tags = ["F_meas_au", "F_calc", "phase_calc", "pdbx_FWT"]
    path = _sf_cif(tmp_path / "a.cif", tags, ["1 2 3 o 4 5 0 6"])
    assert read_sf_cif(path).column == "F_calc"
    path = _sf_cif(tmp_path / "b.cif", ["F_calc", "pdbx_F_calc_with_solvent"], ["1 2 3 o 4 5"])
    assert read_sf_cif(path).column == "pdbx_F_calc_with_solvent"


def test_structure_factor_mmcif_errors(tmp_path: Path) -> None:
    path = _sf_cif(tmp_path / "a.cif", ["fom"], ["1 2 3 o 4"])
    with pytest.raises(InputError, match="no column of amplitudes"):
        read_sf_cif(path)
    with pytest.raises(InputError, match=r"no block 'other'.*r1abcsf"):
        read_sf_cif(path, block="other")
    path.write_text("data_a\n_cell.length_a 10\n")
    with pytest.raises(FileError, match="no merged reflections"):
        read_sf_cif(path)
    path.write_text("data_a\nloop_\n_refln.index_h\n_refln.index_k\n1\n")
    with pytest.raises(FileError, match="cannot be read"):
        read_sf_cif(path)


def test_mtz_and_mmcif_agree(tmp_path: Path) -> None:
    mtz = gemmi.read_mtz_file(str(DATA / "5e5z.mtz"))
    path = tmp_path / "a.cif"
    path.write_text(gemmi.MtzToCif().write_cif_to_string(mtz))
    assert table(read_sf_cif(path)) == pytest.approx(table(read_mtz(DATA / "5e5z.mtz")), rel=1e-5)


def test_options_are_checked_against_the_kind() -> None:
    with pytest.raises(InputError, match="takes no solvent; it takes column"):
        read_structure_factors(HEWL, solvent=True)
    with pytest.raises(InputError, match=r"text list\) takes no column"):
        read_structure_factors(TEXT_LIST, column="F")
    assert len(read_structure_factors(TEXT_LIST, column=None)) == 23176


def test_table_of_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    columns = {"H": [1, 0], "K": [2, 0], "L": [3, 1], "F": [4.0, 5.0], "SIGF": [1.0, 1.0]}
    expected = {(1, 2, 3): 4.0, (0, 0, 1): 5.0}
    frame = pandas.DataFrame(columns)
    assert table(from_table(frame)) == expected
    assert table(from_table(frame.set_index(["H", "K", "L"]))) == expected
    assert table(from_table(columns, F="F")) == expected
    assert table(from_table(np.array([[1, 2, 3, 4.0], [0, 0, 1, 5.0]]))) == expected
    structured = np.array([(1, 2, 3, 4.0)], dtype=[("h", int), ("k", int), ("l", int), ("amplitude", float)])
    assert table(from_table(structured)) == {(1, 2, 3): 4.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        ({"h": [1], "k": [1], "F": [1.0]}, "no column l"),
        ({"h": [1], "k": [1], "l": [1], "A": [1.0], "B": [1.0]}, "name one with F="),
        ({"h": [1.5], "k": [1], "l": [1], "F": [1.0]}, "Miller indices are whole numbers"),
        ({"h": [1], "k": [1], "l": [1], "F": [np.nan]}, "value nan in row 0"),
        ({"h": [1], "k": [1], "l": [1], "F": [1j]}, "numpy.abs"),
        ({"h": [1], "k": [1], "l": [1], "F": ["x"]}, "numbers were expected"),
        ({"h": [1], "k": [1], "l": [1], "F": [1.0, 2.0]}, "2 rows"),
        ({"h": [10**6], "k": [1], "l": [1], "F": [1.0]}, "up to 5000"),
        ({"h": [], "k": [], "l": [], "F": []}, "non-empty"),
    ],
)
def test_table_errors(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_table(values)

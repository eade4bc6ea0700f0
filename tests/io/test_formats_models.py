"""Structure factors of models: gemmi's numbers, measured data, anomalous pairs, F(000), solvent."""

from __future__ import annotations

import gzip
from pathlib import Path

import gemmi
import numpy as np
import pytest
from format_files import DATA, table

from nbragg import Beam, Detector, StructureFactors
from nbragg.base.constants import HC_EV_A
from nbragg.base.errors import FileError, InputError
from nbragg.io.crystal_files import read_crystal
from nbragg.io.reflections.formats import read_structure_factors
from nbragg.io.reflections.models import Solvent, anomalous_terms, read_model
from nbragg.io.reflections.mtz_cif import read_mtz
from nbragg.io.reflections.reflection_list import ReflectionList

PEPTIDE = DATA / "5e5z.pdb"
CARBORUNDUM = DATA / "1011031.cif"


def _agreement(calculated: dict[tuple[int, int, int], float]) -> tuple[float, float]:
    """R factor (one scale factor, sum of amplitudes) and correlation with the measured unique amplitudes."""
    mtz = gemmi.read_mtz_file(str(DATA / "5e5z.mtz"))
    rows = np.array(mtz.array)
    rows = rows[np.isfinite(rows[:, mtz.column_labels().index("FP")])]
    measured = rows[:, mtz.column_labels().index("FP")].astype(float)
    model = np.array([calculated[tuple(row)] for row in rows[:, :3].astype(int).tolist()])
    r = np.abs(measured - model * measured.sum() / model.sum()).sum() / measured.sum()
    return float(r), float(np.corrcoef(measured, model)[0, 1])


def test_peptide_agrees_with_measured_amplitudes_as_gemmi_does() -> None:
    structure = gemmi.read_structure(str(PEPTIDE))
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    ours = table(read_model(PEPTIDE, d_min_A=1.66, anomalous=False))
    gemmis = {h: abs(calculator.calculate_sf_from_model(structure[0], h)) for h in ours}
    assert all(ours[h] == pytest.approx(gemmis[h], rel=1e-6, abs=1e-4) for h in ours)
    r, correlation = _agreement(ours)
    assert (r, correlation) == pytest.approx(_agreement(gemmis), abs=1e-6)
    assert r == pytest.approx(0.223, abs=0.001) and correlation == pytest.approx(0.909, abs=0.001)


def test_every_index_to_the_limit_is_listed() -> None:
    found = read_model(PEPTIDE, d_min_A=2.0)
    assert found.cell is not None
    cell = gemmi.UnitCell(*found.cell)
    half = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), 2.0)
    assert len(found) == 2 * len(half) + 1
    F = table(found)
    assert F[0, 1, 0] == F[0, 3, 0] == 0.0  # the screw axis
    assert F[0, 0, 0] == pytest.approx(626, rel=5e-3)  # electrons in the cell


def test_f000_counts_electrons() -> None:
    F = table(read_model(CARBORUNDUM, d_min_A=1.0, anomalous=False))
    assert F[0, 0, 0] == pytest.approx(4 * (14 + 6), rel=1e-3)
    # zinc-blende: F(111) = 4 |f_Si +- i f_C|, F(200) = 4 (f_Si - f_C), F(220) = 4 (f_Si + f_C)
    s2 = [n / 4.358**2 / 4 for n in (3, 4, 8)]
    si, c = (np.array([gemmi.Element(e).it92.calculate_sf(s) for s in s2]) for e in ("Si", "C"))
    assert F[1, 1, 1] == pytest.approx(4 * np.hypot(si[0], c[0]), rel=1e-5)
    assert F[2, 0, 0] == pytest.approx(4 * (si[1] - c[1]), rel=1e-5)
    assert F[2, 2, 0] == pytest.approx(4 * (si[2] + c[2]), rel=1e-5)
    assert F[1, 0, 0] == F[2, 1, 0] == 0.0


def test_anomalous_pairs_differ_as_computed_by_hand() -> None:
    wavelength = 1.5
    F = table(read_model(CARBORUNDUM, d_min_A=1.0, wavelength_A=wavelength))
    terms = {e: gemmi.cromer_liberman(z=z, energy=HC_EV_A / wavelength) for e, z in (("Si", 14), ("C", 6))}
    s2 = 3 / 4.358**2 / 4
    f = {e: gemmi.Element(e).it92.calculate_sf(s2) + complex(*terms[e]) for e in terms}
    pair = sorted([abs(4 * (f["Si"] + 1j * f["C"])), abs(4 * (f["Si"] - 1j * f["C"]))])
    assert sorted([F[1, 1, 1], F[-1, -1, -1]]) == pytest.approx(pair, rel=1e-5)
    assert pair[1] - pair[0] > 0.3
    assert F[1, 1, 1] == pytest.approx(F[1, -1, -1], rel=1e-9)
    assert F[2, 0, 0] == pytest.approx(F[-2, 0, 0], rel=1e-9)  # centric
    assert F[0, 0, 0] == pytest.approx(4 * abs(20 + sum(complex(*t) for t in terms.values())), rel=1e-3)


def test_phases_have_the_right_sign() -> None:
    """A site with f'' at x, light ones elsewhere: |F(h)| by direct summation over the whole cell."""
    structure = gemmi.read_structure(str(PEPTIDE))
    structure[0][0][0][0].element = gemmi.Element("Se")
    structure[0][0][0][0].occ = 1.0
    F = table(_from_structure(structure, d_min_A=3.0, wavelength_A=0.97))
    cell = structure.cell
    energy = HC_EV_A / 0.97
    for h in [(1, 1, 1), (-1, -1, -1), (1, 2, 3), (-1, -2, -3), (2, 1, -4), (-2, -1, 4)]:
        total = 0j
        s2 = cell.calculate_1_d2(h) / 4
        for chain in structure[0]:
            for atom in (a for residue in chain for a in residue):
                fp, fpp = gemmi.cromer_liberman(z=atom.element.atomic_number, energy=energy)
                f = (atom.element.it92.calculate_sf(s2) + complex(fp, fpp)) * atom.occ
                x = cell.fractionalize(atom.pos).tolist()
                for site in (x, [-x[0], x[1] + 0.5, -x[2]]):
                    damping = np.exp(-atom.b_iso * s2)
                    if atom.aniso.nonzero():
                        matrix = np.array(atom.aniso.as_mat33().tolist())
                        if site is not x:
                            matrix = matrix * np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]])
                        star = np.array(cell.frac.mat.tolist()).T @ np.array(h)
                        damping = np.exp(-2 * np.pi**2 * star @ matrix @ star)
                    total += f * damping * np.exp(2j * np.pi * np.dot(h, site))
        assert F[h] == pytest.approx(abs(total), rel=2e-4), h
    assert abs(F[1, 2, 3] - F[-1, -2, -3]) > 0.1


def _from_structure(structure: gemmi.Structure, **options: float) -> ReflectionList:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cif"
        path.write_text(structure.make_mmcif_document().as_string())
        return read_model(path, **options)  # type: ignore[arg-type]


def test_fft_equals_direct_summation() -> None:
    direct = read_model(PEPTIDE, d_min_A=1.5, wavelength_A=1.8, method="direct")
    fft = read_model(PEPTIDE, d_min_A=1.5, wavelength_A=1.8, method="fft")
    assert np.abs(direct.F - fft.F).max() < 1e-4 * direct.F[direct.F < 600].max()
    assert any("FFT" in note for note in fft.notes)
    with pytest.raises(InputError, match="small-molecule CIF takes 'direct'"):
        read_model(CARBORUNDUM, d_min_A=1.0, method="fft")


def test_bulk_solvent() -> None:
    dry = table(read_model(PEPTIDE, d_min_A=2.0, anomalous=False))
    wet = read_model(PEPTIDE, d_min_A=2.0, anomalous=False, solvent=True)
    F = table(wet)
    assert F[0, 0, 0] > dry[0, 0, 0] + 5
    note = next(note for note in wet.notes if "bulk solvent in" in note)
    fraction = float(note.split()[3]) / 100
    volume = gemmi.UnitCell(*wet.cell).volume if wet.cell else 0.0
    assert F[0, 0, 0] - dry[0, 0, 0] == pytest.approx(0.35 * fraction * volume, rel=0.2)
    none = table(read_model(PEPTIDE, d_min_A=2.0, anomalous=False, solvent=Solvent(k_sol=0.0)))
    assert none == pytest.approx(dry)
    with pytest.raises(InputError, match="not to a small-molecule"):
        read_model(CARBORUNDUM, d_min_A=1.0, solvent=True)
    with pytest.raises(InputError, match="k_sol = -1"):
        Solvent(k_sol=-1)
    with pytest.raises(InputError, match="b_sol"):
        Solvent(b_sol=float("nan"))


def test_mmcif_equals_pdb(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_text(gemmi.read_structure(str(PEPTIDE)).make_mmcif_document().as_string())
    a, b = read_model(PEPTIDE, d_min_A=2.0), read_structure_factors(path, d_min_A=2.0)
    assert table(a) == pytest.approx(table(b), rel=1e-5, abs=1e-3)
    assert a.wavelength_A == 0.979


def test_gzipped_model(tmp_path: Path) -> None:
    path = tmp_path / "a.pdb.gz"
    path.write_bytes(gzip.compress(PEPTIDE.read_bytes()))
    assert table(read_structure_factors(path, d_min_A=2.5)) == table(read_model(PEPTIDE, d_min_A=2.5))


def test_wavelength_comes_from_the_beam_else_from_the_file() -> None:
    assert "f', f''" in read_model(PEPTIDE, d_min_A=3.0).report()
    assert read_model(PEPTIDE, d_min_A=3.0, wavelength_A=1.54).wavelength_A == 1.54
    assert any("no wavelength" in note for note in read_model(CARBORUNDUM, d_min_A=1.0).notes)


def test_from_file_and_crystal() -> None:
    factors = StructureFactors.from_file(PEPTIDE, d_min_A=3.0, wavelength_A=1.0)
    assert factors.values is not None
    detector = Detector(distance_mm=100, detsize_f_mm=60, detsize_s_mm=60)
    crystal = read_crystal(PEPTIDE, beam=Beam(wavelength_A=1.0), detector=detector, N=(3, 3, 3))
    assert crystal.cell == pytest.approx((9.643, 9.609, 19.029, 90, 101.22, 90))
    # the corner sees 2.5 A; three reciprocal edges more are listed
    farthest = crystal.structure_factors.origin[2]
    assert -farthest >= 19.029 / 2.5 + 3 - 1
    assert read_crystal(CARBORUNDUM, d_min_A=1.0, a_matrix=np.eye(3) / 4.358).cell is None


def test_anomalous_table_limits() -> None:
    assert anomalous_terms(["Fe"], 1.0)["Fe"][1] > 1.0
    for wavelength in (0.1, 20.0):
        with pytest.raises(InputError, match=r"0\.155 to 12\.40 A.*anomalous=False"):
            anomalous_terms(["C"], wavelength)
    with pytest.raises(InputError, match="outside the table"):
        read_model(PEPTIDE, d_min_A=3.0, wavelength_A=20.0)
    assert len(read_model(PEPTIDE, d_min_A=3.0, wavelength_A=20.0, anomalous=False)) > 0
    with pytest.raises(InputError, match="element Np is not in the table"):
        anomalous_terms(["Np"], 1.0)
    for wavelength in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="positive"):
            anomalous_terms(["C"], wavelength)


def _edited(tmp_path: Path, old: str, new: str, name: str = "a.pdb", source: Path = PEPTIDE) -> Path:
    text = source.read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new))
    return path


def test_bad_models(tmp_path: Path) -> None:
    lines = PEPTIDE.read_text().splitlines(keepends=True)
    cases = {
        "no unit cell": "".join(line for line in lines if not line.startswith(("CRYST1", "SCALE"))),
        "unknown space group": "".join(
            line.replace("P 1 21 1", "P 9 99 9") if line.startswith("CRYST1") else line for line in lines
        ),
        "no X-ray form factor": "".join(
            line[:76] + " X" + line[78:] if line.startswith("ATOM      1 ") else line for line in lines
        ),
    }
    for message, text in cases.items():
        path = tmp_path / "a.pdb"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_model(path, d_min_A=3.0)
    path.write_text(cases["no unit cell"])
    cell = (9.643, 9.609, 19.029, 90.0, 101.22, 90.0)
    found = read_model(path, d_min_A=3.0, cell=cell, spacegroup="P 1 21 1", wavelength_A=0.979)
    assert table(found) == pytest.approx(table(read_model(PEPTIDE, d_min_A=3.0)), rel=1e-6)
    path.write_text("".join(line for line in lines if not line.startswith(("ATOM", "HETATM", "ANISOU"))))
    with pytest.raises(FileError, match="holds no atoms"):
        read_model(path, d_min_A=3.0)


def test_bad_small_molecules(tmp_path: Path) -> None:
    def edited(old: str, new: str) -> Path:
        return _edited(tmp_path, old, new, "a.cif", CARBORUNDUM)

    with pytest.raises(InputError, match="no unit cell"):
        read_model(edited("_cell_length_a                   4.358", ""), d_min_A=1.0)
    with pytest.raises(InputError, match="no X-ray form factor"):
        read_model(edited("Si4+", "Qq"), d_min_A=1.0)
    text = CARBORUNDUM.read_text()
    start, end = text.index("loop_\n_symmetry_equiv"), text.index("loop_\n_atom_site")
    text = text[:start] + text[end:]
    for tag in ("_space_group_IT_number", "_symmetry_Int_Tables_number", "_symmetry_space_group_name"):
        text = "\n".join(line for line in text.splitlines() if not line.startswith(tag))
    path = tmp_path / "b.cif"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match="unknown space group"):
        read_model(path, d_min_A=1.0)
    expected = table(read_model(CARBORUNDUM, d_min_A=1.0))
    assert table(read_model(path, d_min_A=1.0, spacegroup="F -4 3 m")) == pytest.approx(expected)


def test_bad_requests() -> None:
    with pytest.raises(InputError, match="d_min_A is not given"):
        read_model(PEPTIDE)
    for value in (0.0, -1.0, float("inf")):
        with pytest.raises(InputError, match="d_min_A = "):
            read_model(PEPTIDE, d_min_A=value)
    with pytest.raises(InputError, match="unique reflections; at most 2e\\+07"):
        read_model(PEPTIDE, d_min_A=0.01)
    with pytest.raises(InputError, match="method = 'guess'"):
        read_model(PEPTIDE, d_min_A=3.0, method="guess")


def test_reach() -> None:
    far = Detector(distance_mm=10000, detsize_f_mm=50, detsize_s_mm=50)
    with pytest.raises(InputError, match="beyond the detector's reach"):
        read_crystal(DATA / "HEWL_refined.mtz", detector=far, d_min_A=3.5)
    aside = Detector(distance_mm=100, detsize_f_mm=50, detsize_s_mm=50, Xbeam_mm=400, Ybeam_mm=0)
    with pytest.raises(InputError, match="beyond the detector's reach"):
        read_crystal(
            DATA / "HEWL_refined.mtz",
            detector=aside,
            options={"d_max_A": 20.0, "column": "FOFCWT"},
            d_min_A=5,
        )


def test_measured_amplitudes_are_read() -> None:
    found = read_mtz(DATA / "5e5z.mtz")
    assert found.column == "FP" and found.unique == 403 and found.missing == 38

"""Structure factors that depend on the energy (beyond 15.5): against direct sums, hand and Scenes."""

from __future__ import annotations

import cmath
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Sample, Sampling, Setup, Spectrum, StructureFactors
from nbragg.io.reflections.energies import energy_nodes

gemmi = pytest.importorskip("gemmi")

CELL = (11.0, 13.0, 17.0, 90.0, 90.0, 90.0)
ATOMS = (
    ("SE", "Se", 1.2, 2.5, 3.1, 1.0, 12.0),
    ("SD", "S", 4.1, 0.7, 9.2, 0.8, 15.0),
    ("CA", "C", 7.3, 5.9, 1.4, 1.0, 9.0),
    ("N", "N", 2.2, 11.1, 14.0, 1.0, 20.0),
    ("O", "O", 9.9, 8.3, 6.6, 0.5, 11.0),
)
GROUP = gemmi.SpaceGroup("P 21 21 21")
SE_K = 12657.8  # eV: gemmi's f'' jumps within 1 eV of it


def pdb(atoms: Any = ATOMS, group: str = "P 21 21 21", cell: Any = CELL) -> str:
    a, b, c, al, be, ga = cell
    lines = [f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}{al:7.2f}{be:7.2f}{ga:7.2f} {group:<11s}   1"]
    for i, (name, element, x, y, z, occupancy, B) in enumerate(atoms, 1):
        lines.append(
            f"HETATM{i:5d} {name:>2s}   MSE A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{B:6.2f}"
            f"          {element.upper():>2s}"
        )
    return "\n".join([*lines, "END", ""])


@pytest.fixture
def model(folder: Path) -> str:
    Path("toy.pdb").write_text(pdb())
    return "toy.pdb"


OPERATIONS = (  # of P 21 21 21
    (np.diag([1, 1, 1]), np.zeros(3)),
    (np.diag([-1, -1, 1]), np.array([0.5, 0, 0.5])),
    (np.diag([-1, 1, -1]), np.array([0, 0.5, 0.5])),
    (np.diag([1, -1, -1]), np.array([0.5, 0.5, 0])),
)


def direct(h: np.ndarray, energy: float) -> np.ndarray:
    """|F| of indices (n, 3), atom by atom."""
    s = h / np.array(CELL[:3])
    stol2 = (s**2).sum(axis=1) / 4
    F = np.zeros(len(h), complex)
    for _, name, x, y, z, occupancy, B in ATOMS:
        element = gemmi.Element(name)
        c = element.it92
        f0 = sum(a * np.exp(-b * stol2) for a, b in zip(c.a, c.b, strict=True)) + c.c
        fp, fpp = gemmi.cromer_liberman(z=element.atomic_number, energy=energy)
        fraction = np.array([x, y, z]) / np.array(CELL[:3])
        for rotation, shift in OPERATIONS:
            phase = np.exp(2j * np.pi * (h @ (rotation @ fraction + shift)))
            F += occupancy * (f0 + fp + 1j * fpp) * np.exp(-B * stol2) * phase
    return np.abs(F)


def test_against_a_direct_sum_at_the_nodes(model: str) -> None:
    """To 1e-6 at three energies about an edge, of both Friedel mates."""
    energies = [12600.0, SE_K - 3, 12700.0]
    found = StructureFactors.from_model(model, 1.6, energies_eV=energies)
    assert found.nodes == pytest.approx([12600, SE_K - 3, SE_K - 1, SE_K + 1, 12700], abs=0.2)
    h, k, l, _ = found.listed()  # noqa: E741 - the index's name
    index = np.stack([h, k, l], axis=1)
    inside = ((index / np.array(CELL[:3])) ** 2).sum(axis=1) <= 1.6**-2
    assert found.tables is not None and inside.sum() > 1000
    for node, table in zip(found.nodes, found.tables, strict=True):
        expected = direct(index[inside], node)
        assert np.abs(table.reshape(-1)[inside] - expected).max() <= 1e-6 * expected.max()
    general = inside & (h != 0) & (k != 0) & (l != 0)
    mates = found.tables[-1]
    assert np.abs(mates - mates[::-1, ::-1, ::-1]).reshape(-1)[general].max() > 0.1


def test_without_anomalous_terms(model: str) -> None:
    """f' = f'' = 0: F_0; f'' = 0: Friedel mates are equal."""
    energies = [9000.0, 9100.0]
    elements = [atom[1] for atom in ATOMS]
    none = {name: [[8000, 0, 0], [10000, 0, 0]] for name in elements}
    plain = StructureFactors.from_file(model, d_min_A=1.6, anomalous=False)
    for options in ({"fprime": none}, {"anomalous": False}):
        found = StructureFactors.from_model(model, 1.6, energies_eV=energies, **options)
        assert found.tables is not None and plain.values is not None
        for table in (*found.tables, found.values):
            assert table == pytest.approx(plain.values, rel=1e-12, abs=1e-9)
    assert StructureFactors.from_model(model, 1.6, anomalous=False) == plain
    real = {name: [[8000, -3, 0], [10000, 2, 0]] for name in elements}
    found = StructureFactors.from_model(model, 1.6, energies_eV=energies, fprime=real)
    assert found.tables is not None
    for table in found.tables:
        assert table == pytest.approx(table[::-1, ::-1, ::-1], rel=1e-12)
    assert np.abs(found.tables[1] - found.tables[0]).max() > 0.1


def test_bijvoet_ratio_at_the_selenium_edge_by_hand(folder: Path) -> None:
    """Two atoms in P 1: |F(+-h)| = |f_Se + f_C exp(+-2 pi i h x)|, B = 0, to 1e-6."""
    atoms = (("SE", "Se", 0.0, 0.0, 0.0, 1.0, 0.0), ("CA", "C", 2.1, 0.0, 0.0, 1.0, 0.0))
    Path("two.pdb").write_text(pdb(atoms, "P 1", (10.0, 10, 10, 90, 90, 90)))
    found = StructureFactors.from_model("two.pdb", 3.0, energies_eV=[12600, 12658.9, 12720])
    assert found.tables is not None
    ratios = []
    for node, table in zip(found.nodes, found.tables, strict=True):
        f = []
        for name in ("Se", "C"):
            c = gemmi.Element(name).it92
            stol2 = 4 * (0.1 / 2) ** 2
            fp, fpp = gemmi.cromer_liberman(z=gemmi.Element(name).atomic_number, energy=node)
            f.append(sum(a * np.exp(-b * stol2) for a, b in zip(c.a, c.b, strict=True)) + c.c + fp + 1j * fpp)
        turn = cmath.exp(2j * cmath.pi * 2 * 0.21)
        plus, minus = abs(f[0] + f[1] * turn), abs(f[0] + f[1] / turn)
        o = -np.array(found.origin)
        got = table[o[0] + 2, o[1], o[2]], table[o[0] - 2, o[1], o[2]]
        assert got == pytest.approx((plus, minus), rel=1e-6)
        ratio = 2 * (plus - minus) / (plus + minus)
        assert 2 * (got[0] - got[1]) / (got[0] + got[1]) == pytest.approx(ratio, rel=1e-5, abs=1e-7)
        ratios.append(abs(ratio))
    # f'' of selenium is 0.5 e below its edge and 3.8 e above
    assert len(ratios) == 5 and min(ratios[2:]) > 3 * max(ratios[:2])


def test_one_method_for_all_terms(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences are taken, which a sum by another method would spoil: "auto" decides once."""
    by_fft = StructureFactors.from_model(model, 2.0, energies_eV=[12600, 12640], method="fft")
    work = len(ATOMS) * 4 * (len(gemmi.make_miller_array(gemmi.UnitCell(*CELL), GROUP, 2.0)) + 1)
    monkeypatch.setattr("nbragg.io.reflections.models._DIRECT_LIMIT", 1.5 * work)
    assert StructureFactors.from_model(model, 2.0, energies_eV=[12600, 12640]) == by_fft
    monkeypatch.setattr("nbragg.io.reflections.models._DIRECT_LIMIT", 2.5 * work)
    assert StructureFactors.from_model(model, 2.0, energies_eV=[12600, 12640]) != by_fft


def test_nodes() -> None:
    edge = energy_nodes([12600, 12700], ["Se", "C"], 9)
    assert edge == pytest.approx([12600, SE_K - 1, SE_K + 1, 12700], abs=0.2) and edge[2] - edge[1] == 2
    many = energy_nodes(np.linspace(9000, 9100, 50), ["Se"], 9)
    assert many == pytest.approx(np.linspace(9000, 9100, 9), rel=1e-15)
    assert energy_nodes([9000, 9000], ["Se"], 9).tolist() == [9000]
    assert energy_nodes([SE_K - 0.5, SE_K + 0.5], ["Se"], 9) == pytest.approx([SE_K - 0.5, SE_K + 0.5])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "resolution": ({"d_min_A": None}, "d_min_A is not given"),
    "no energy": ({"energies_eV": []}, "at least one energy"),
    "negative": ({"energies_eV": [-1.0]}, "positive"),
    "range": ({"energies_eV": [500.0]}, "outside the table"),
    "nodes": ({"energy_nodes": 0}, "energy_nodes"),
    "element": ({"fprime": {"Sm": [[1, 2, 3]]}}, "no element 'Sm'"),
    "rows": ({"fprime": {"Se": [[1, 2]]}}, "fprime"),
    "descending": ({"fprime": {"Se": [[2, 0, 0], [1, 0, 0]]}}, "ascending"),
    "short": ({"fprime": {"Se": [[9000, 0, 0], [9050, 0, 0]]}}, "goes from 9000 to 9050"),
    "no energies": ({"energies_eV": None, "fprime": {}}, "fprime needs energies_eV"),
    "method": ({"method": "fast"}, "method"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, model: str) -> None:
    options, message = BAD[case]
    given: Any = {"d_min_A": 3.0, "energies_eV": [9000.0, 9100.0], **options}
    with pytest.raises(nbragg.InputError, match=message):
        StructureFactors.from_model(model, **given)


def test_amplitudes_do_not_depend_on_the_energy(folder: Path) -> None:
    mtz = Path(__file__).parents[1] / "data" / "5e5z.mtz"
    with pytest.raises(nbragg.InputError, match="amplitudes, which do not say how they depend on the energy"):
        StructureFactors.from_file(mtz, energies_eV=[9000, 9100])


def test_the_record(model: str) -> None:
    found = StructureFactors.from_model(model, 2.5, energies_eV=Spectrum([12600, 12640]))
    assert found.tables is not None and found.energies_eV is not None
    low, high = found.tables
    assert found.at_energy(12610) == pytest.approx(np.sqrt(0.75 * low**2 + 0.25 * high**2), rel=1e-12)
    assert found.at_energy(12600) is not None and np.array_equal(found.at_energy(12640), high)
    assert np.array_equal(found.at_energy(1), low) and np.array_equal(found.at_energy(99999), high)
    assert found.values == pytest.approx(np.sqrt(0.5 * low**2 + 0.5 * high**2), rel=1e-12)
    other = found.replace(tables=found.tables * 1.0000001)
    assert other != found and found == found.replace()
    box: dict[str, Any] = {"energies_eV": [1.0, 2.0], "tables": np.ones((2, 1, 1, 1))}
    for changes, message in (
        ({"tables": None}, "go together"),
        ({"energies_eV": [2.0, 1.0]}, "ascend"),
        ({"tables": np.ones((3, 1, 1, 1))}, "shape"),
        ({"values": np.ones((2, 1, 1))}, "values must be of shape"),
    ):
        with pytest.raises(nbragg.InputError, match=message):
            StructureFactors(**{**box, **changes})


def test_recipes(model: str) -> None:
    """To the bit; and by the model's file, read again."""
    found = StructureFactors.from_model(model, 2.5, energies_eV=[12600, 12640])
    crystal = Crystal(cell=CELL, structure_factors=found)
    nbragg.dump(crystal, "crystal.json")
    again = nbragg.load("crystal.json")
    assert again == crystal
    by_file = {"file": model, "options": {"d_min_A": 2.5, "energies_eV": [12600, 12640]}}
    kept = {"nanobragg_recipe": 1, "kind": "crystal", "cell": list(CELL), "structure_factors": by_file}
    Path("by_file.json").write_text(json.dumps(kept))
    assert nbragg.load("by_file.json") == crystal
    found.save("middle.mtz", cell=CELL)
    middle = StructureFactors.from_file("middle.mtz")
    assert middle.values is not None and found.values is not None
    assert middle.values.max() == pytest.approx(found.values.max(), rel=1e-6)


DETECTOR = Detector(distance_mm=30, fpixels=40, spixels=40, pixel_mm=1.0)
ONCE = Sampling(oversample=1)


def image(sample: Any, beam: Beam) -> Any:
    result = nbragg.simulate(Setup(sample, beam, DETECTOR, ONCE), precision="double")
    return result.image.astype(np.float64)


def test_images_are_linear_in_F_squared_between_nodes(model: str) -> None:
    """A spectrum's image is the sum over its energies, each with F at that energy; so is every crystal's."""
    spectrum = Spectrum([12590, 12607, 12640, 12690], [1, 2, 3, 4])
    found = StructureFactors.from_model(model, 2.0, energies_eV=[12590, 12620, 12655, 12700])
    other = StructureFactors.from_model(model, 2.0, energies_eV=[12590, 12641, 12700], energy_nodes=3)
    first = Crystal(cell=CELL, N=7, misset_deg=(5, 9, 3), structure_factors=found)
    second = first.replace(misset_deg=(25, 4, 40), structure_factors=other)
    third = first.replace(misset_deg=(31, -8, 17), structure_factors=StructureFactors.constant(9))

    def at(crystal: Crystal, energy: float) -> Crystal:
        f = crystal.structure_factors
        if f.tables is None:
            return crystal
        return crystal.replace(structure_factors=StructureFactors(f.at_energy(energy), f.origin, f.default_F))

    for crystals in ((first,), (third, first), (first, second, third)):
        expected = sum(
            w * image(Sample(tuple(at(c, E) for c in crystals)), Beam.from_energy(E))
            for E, w in zip(spectrum.energies_eV, spectrum.shares, strict=True)
        )
        found_image = image(Sample(crystals), Beam(spectrum=spectrum))
        assert np.abs(found_image - expected).max() <= 3e-7 * np.max(expected)
    scene = nbragg.build_scene(Setup(Sample((first, second, third)), Beam(spectrum=spectrum), DETECTOR, ONCE))
    nodes = len(set(found.nodes) | set(other.nodes))
    assert len(scene.tables) == 3 * nodes and [c.table for c in scene.crystals] == [0, nodes, 2 * nodes]
    assert len({id(table) for table in scene.tables[2 * nodes :]}) == 1  # no memory for what does not change
    assert scene.sources.weight.mean() == pytest.approx(1, rel=1e-14)
    # one wavelength between two nodes
    E = 12611.0
    alone = nbragg.build_scene(Setup(first, Beam.from_energy(E), DETECTOR, ONCE))
    assert len(alone.sources) == 2 and len(set(alone.sources.wavelength)) == 1
    expected = image(at(first, E), Beam.from_energy(E))
    assert np.abs(image(first, Beam.from_energy(E)) - expected).max() <= 3e-7 * expected.max()


def test_beyond_the_nodes(model: str) -> None:
    found = StructureFactors.from_model(model, 3.0, energies_eV=[12600, 12640])
    crystal = Crystal(cell=CELL, N=7, structure_factors=found)
    with pytest.warns(
        nbragg.NbraggWarning, match="from 12600 to 12640 eV and the beam has 12500 to 12700 eV"
    ):
        scene = nbragg.build_scene(Setup(crystal, Beam(spectrum=Spectrum([12500, 12700])), DETECTOR, ONCE))
    assert scene.sources.table.tolist() == [0, 1] and scene.sources.weight.tolist() == [1, 1]


def test_expected_reflections_have_the_mean(model: str) -> None:
    """F^2 by the weights of the sources, in prediction and truth."""
    found = StructureFactors.from_model(model, 3.0, energies_eV=[12600, 12640])
    crystal = Crystal(cell=CELL, N=7, structure_factors=found, osc_deg=2, phisteps=50)
    beam = Beam(spectrum=Spectrum([12600, 12640], [1, 3]))
    scene = nbragg.build_scene(Setup(crystal, beam, DETECTOR, ONCE))
    rows = nbragg.expected_reflections(scene)
    assert len(rows) > 3 and found.tables is not None
    place = tuple((rows["miller_index"] - np.array(found.origin)).T)
    low, high = (table[place] for table in found.tables)
    assert rows["F_sqr"] == pytest.approx(0.25 * low**2 + 0.75 * high**2, rel=1e-12)

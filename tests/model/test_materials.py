"""Formulas, materials, attenuation: the figures of beyond 19.1, and xraydb where it is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg.base.attenuation import mass_attenuation
from nbragg.base.formula import SYMBOLS, parse_formula
from nbragg.base.numbers import derivative, stepped
from nbragg.model.materials import MATERIALS

#: 1/mu, micrometre, at 12398.42 eV: photoelectric, total
DEPTHS = {
    "Si": (245.5, 237.5),
    "CdTe": (22.71, 22.06),
    "GaAs": (12.59, 12.48),
    "Al": (276.3, 265.8),
    "Be": (26084, 13013),
    "Kapton": (4894, 4080),
    "water": (3984, 3513),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_depths_of_the_contract(name: str) -> None:
    """To the digits they are given with; the mean free path of air is 3.027 m."""
    for kind, expected in zip(("photo", "total"), DEPTHS[name], strict=True):
        depth = 1e6 / nbragg.attenuation(name, 12398.42, kind)
        assert depth == pytest.approx(expected, abs=0.6 if expected > 100 else 0.006)
    assert 1e6 / nbragg.attenuation("Si", 9500, "photo") == pytest.approx(111.3, abs=0.06)
    assert 1e6 / nbragg.attenuation("Si", 9500) == pytest.approx(109.1, abs=0.06)
    assert 1 / nbragg.attenuation("air", 12398.42) == pytest.approx(3.027, abs=6e-4)


def test_the_table_is_that_of_xraydb() -> None:
    """Every element, 1 to 100 keV, 0.2 percent away from edges: 1e-3."""
    xraydb = pytest.importorskip(
        "xraydb", reason="the check against xraydb needs it: pip install xraydb==4.5.8"
    )
    edges = {symbol: [edge.energy for edge in xraydb.xray_edges(symbol).values()] for symbol in SYMBOLS}
    rng = np.random.default_rng(1)
    for symbol in SYMBOLS:
        energy = np.exp(rng.uniform(np.log(1e3), np.log(1e5), 60))
        away = np.all([abs(energy / edge - 1) > 2e-3 for edge in edges[symbol]], axis=0)
        for kind in ("photo", "total"):
            expected = 0.1 * xraydb.mu_elam(symbol, energy[away], kind=kind)
            found = mass_attenuation({symbol: 1}, energy[away], kind)
            np.testing.assert_allclose(found, expected, rtol=1e-3, err_msg=f"{symbol} {kind}")


def test_both_sides_of_an_edge() -> None:
    """Gallium's K edge at 10367 eV: a jump by more than 5, and nothing smeared over the next grid point."""
    below, above = (nbragg.attenuation("GaAs", 10367.0 * (1 + x), "photo") for x in (-1e-4, 1e-4))
    gallium = [float(mass_attenuation({"Ga": 1}, 10367.0 * (1 + x), "photo")) for x in (-1e-4, 1e-4)]
    assert above > 2 * below and gallium[1] / gallium[0] > 5
    assert mass_attenuation({"Ga": 1}, [10200.0], "photo")[0] == pytest.approx(gallium[0], rel=0.06)


def test_compounds_add_up_by_mass() -> None:
    energy = np.geomspace(1e3, 1e5, 7)
    water = nbragg.attenuation("water", energy)
    h, o = (mass_attenuation({symbol: 1}, energy, "total") for symbol in "HO")
    share = 2 * 1.008 / (2 * 1.008 + 15.999)
    np.testing.assert_allclose(water, 1e3 * (share * h + (1 - share) * o), rtol=1e-4)
    twice = nbragg.attenuation(nbragg.Material("H2O", 2.0), energy)
    np.testing.assert_allclose(twice, 2 * water, rtol=1e-14)
    same = nbragg.attenuation(nbragg.Material("(HOH)3", 1.0), energy)
    np.testing.assert_allclose(same, water, rtol=1e-14)
    assert isinstance(nbragg.attenuation("water", 8000), float) and water.shape == (7,)
    assert (nbragg.attenuation("Si", energy, "photo") < nbragg.attenuation("Si", energy)).all()


def test_derivative_by_the_energy() -> None:
    """A complex energy carries its derivative; mu falls with about the third power."""
    energy, h = 9000.0, 1e-3
    slope = derivative(nbragg.attenuation("Kapton", stepped(energy), "photo"))
    ends = [nbragg.attenuation("Kapton", energy + x, "photo") for x in (-h, h)]
    assert slope == pytest.approx((ends[1] - ends[0]) / (2 * h), rel=1e-6)
    assert -3.2 < slope * energy / nbragg.attenuation("Kapton", energy, "photo") < -2.8


@pytest.mark.parametrize(
    ("formula", "atoms"),
    [
        ("Si", {"Si": 1}),
        ("C22H10N2O5", {"C": 22, "H": 10, "N": 2, "O": 5}),
        ("N1.562 O.42 Ar0.0093", {"N": 1.562, "O": 0.42, "Ar": 0.0093}),
        ("CoCO", {"Co": 1, "C": 1, "O": 1}),
        ("Ca3(PO4)2(OH)0.5", {"Ca": 3, "P": 2, "O": 8.5, "H": 0.5}),
        ("((H2)2O)2", {"H": 8, "O": 2}),
    ],
)
def test_formulas(formula: str, atoms: dict[str, float]) -> None:
    assert parse_formula(formula) == atoms


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("", "it is empty"),
        ("si", "there is 's'"),
        ("Sii", "there is 'i'"),
        ("Xx2", "'Xx' is no element"),
        ("Np", "'Np' is no element up to uranium"),
        ("SiO0", "a count of 0"),
        ("2H", "there is '2'"),
        ("(OH", "brackets do not match"),
        ("OH)2", "brackets do not match"),
        ("()2", "brackets do not match"),
        ("Al-2", "there is '-'"),
    ],
)
def test_what_is_no_formula(formula: str, said: str) -> None:
    with pytest.raises(nbragg.InputError, match="is not a chemical formula") as error:
        nbragg.Material(formula, 1.0)
    assert said in str(error.value)


def test_what_is_refused() -> None:
    calls: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: nbragg.attenuation("Silicon", 1e4), "no material 'Silicon'; known: Si, CdTe"),
        (lambda: nbragg.attenuation("silicon dioxide", 1e4), r"nbragg.Material\(formula, density"),
        (lambda: nbragg.attenuation(14, 1e4), "must be the name of a material or a Material, not 14"),
        (lambda: nbragg.attenuation("Si", 1e4, "absorption"), "kind must be one of 'photo', 'total'"),
        (lambda: nbragg.attenuation("Si", 999.0), "from 1000 to 100000 eV, not at 999 eV"),
        (lambda: nbragg.attenuation("Si", [2e3, 2e5]), "not at 2000 200000 eV"),
        (lambda: nbragg.attenuation("Si", math.nan), "not at nan eV"),
        (lambda: nbragg.Material("Si", 0), "density must be a finite number above 0"),
        (lambda: nbragg.Material(5, 1.0), "formula must be text"),
    )
    for call, said in calls:
        with pytest.raises(nbragg.InputError, match=said):
            call()


def test_every_material_has_a_name_and_a_coefficient() -> None:
    assert nbragg.material_names() == tuple(MATERIALS)
    for name, material in MATERIALS.items():
        assert nbragg.attenuation(name, 2e4) == nbragg.attenuation(material, 2e4) > 0

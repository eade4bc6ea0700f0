"""Materials and curves as a person sets them: tables, reading, interpolation (beyond 12.1 to 12.3, 12.7)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import background_oracle as oracle
import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

import nbragg
from nbragg import Background, RadialCurve, Setup
from nbragg.base.curves import pieces
from nbragg.base.errors import FileError, InputError, NbraggWarning
from nbragg.io.files.text_tables import read_curve
from nbragg.io.recipe import from_dict, to_dict
from nbragg.model.background import SHIPPED

CRYSTAL = nbragg.Crystal(cell=(9, 9, 9, 90, 90, 90), structure_factors=nbragg.StructureFactors.constant(1))


@st.composite
def tables(draw: st.DrawFn) -> tuple[Any, Any]:
    """Rows at uneven steps, with steps as sharp as those of ice, plateaus and changes of sign."""
    steps = draw(st.lists(st.sampled_from([1e-5, 0.003, 0.02, 0.05]), min_size=0, max_size=9))
    x = np.cumsum([draw(st.sampled_from([0.0, 0.01])), *steps])
    y = np.array([draw(st.sampled_from([0.0, 1.0, 1.5, -2.0, 140.0])) for _ in x])
    return x, y


@given(tables(), st.sampled_from(["line", "hold"]))
@settings(max_examples=60)
def test_interpolation(rows: tuple[Any, Any], outside: str) -> None:
    x, y = rows
    s = np.concatenate([np.linspace(0, x[-1] + 0.05, 301), x])
    size = max(np.abs(y).max(), 1.0)
    found = pieces(x, y, "lagrange", outside)(s)
    expected = oracle.lagrange(x, y, s, outside)
    assert np.abs(found - expected).max() <= 1e-13 * max(np.abs(expected).max(), size)
    assert np.abs(pieces(x, y, "lagrange", outside)(x) - y).max() <= 1e-13 * size
    found = pieces(x, y, "pchip", outside)(s)
    assert np.abs(found - oracle.monotone(x, y, s, outside)).max() <= 1e-13 * max(np.abs(found).max(), size)


@given(tables())
@settings(max_examples=60)
def test_pchip_stays_between_its_rows(rows: tuple[Any, Any]) -> None:
    """Exactly, everywhere; held outside.  The curve that the engine has does so to rounding."""
    x, y = rows
    s = np.concatenate([np.linspace(x[0], x[-1], 400), np.nextafter(x, 0), np.nextafter(x, 9)])
    below = np.clip(np.searchsorted(x, s, side="right") - 1, 0, len(x) - 1)
    above = np.clip(below + 1, 0, len(x) - 1)
    low, high = np.minimum(y[below], y[above]), np.maximum(y[below], y[above])
    found = Background(np.stack([x, y], axis=1)).amplitude(s)
    assert (found >= low).all() and (found <= high).all()
    plain = pieces(x, y, "pchip", "hold")(s)
    slack = 2e-15 * np.maximum(np.abs(low), np.abs(high))
    assert (plain >= low - slack).all() and (plain <= high + slack).all()
    ends = Background(np.stack([x, y], axis=1)).amplitude([0.0 if x[0] else x[0], x[-1] + 1])
    assert ends.tolist() == [y[0], y[-1]]


def test_slopes_are_scipys() -> None:
    rng = np.random.default_rng(3)
    for n in (2, 3, 4, 40):
        x, y = np.cumsum(rng.uniform(0.01, 1, n)), rng.integers(-3, 4, n).astype(float)
        s = np.linspace(x[0], x[-1], 500)
        np.testing.assert_allclose(pieces(x, y, "pchip", "hold")(s), PchipInterpolator(x, y)(s), atol=1e-14)


def test_defaults_of_the_two_physics() -> None:
    one = Background([[0.1, 1], [0.2, 3], [0.25, 2], [0.4, 2]])
    assert one.amplitude(0.5, "exact") == 2 == one.amplitude(0.5)
    assert one.amplitude(0.05, "nanobragg") == pytest.approx(0.0)  # the line through the first two
    assert one.amplitude(0.2, "nanobragg") == pytest.approx(3)
    assert one.replace(outside="line").amplitude(0.05) == pytest.approx(0.0)
    assert one.replace(interpolation="lagrange").amplitude(0.22) != one.amplitude(0.22)


# ---- materials ---------------------------------------------------------------------------------------------


def test_shipped_tables() -> None:
    assert {name: len(material.rows) for name, material in SHIPPED.items()} == {
        "water": 10000, "air": 100, "helium": 401, "unity": 1,
    }  # fmt: skip
    assert Background("water").amplitude(0.0) == pytest.approx(2.57, abs=1e-4)
    assert Background("air").amplitude(0.5) == pytest.approx(4.22, abs=5e-3)
    assert (Background("unity").amplitude([0.0, 0.3, 9.0]) == 1).all()
    assert not Background("water").rows.flags.writeable


def test_helium_is_its_form_factor_and_compton_scattering() -> None:
    """F^2 - f^2 rises from 0 to both electrons, below the 2 - f^2/2 of electrons without correlation."""
    s, F = Background("helium").rows.T
    f = np.array([gemmi.Element("He").it92.calculate_sf(x**2) for x in s])
    incoherent = F**2 - f**2
    assert incoherent[0] == pytest.approx(0, abs=1e-4) and incoherent[-1] == pytest.approx(2, abs=2e-4)
    assert (np.diff(incoherent) > -1e-4).all()
    free = 2 - f**2 / 2
    inside = (s > 0.05) & (s < 1)
    ratio = incoherent[inside] / free[inside]
    assert (ratio < 1.0).all() and (ratio > 0.93).all()


def test_molecules() -> None:
    """Edges in mm, cut at the beam across it; g/cm^3 and g/mol."""
    water = Background("water", thickness_mm=0.2, width_mm=0.3, height_mm=0.05)
    per_mm3 = 1e-3 / 18 * 6.02214179e23
    assert water.molecules_in(-1) == pytest.approx(0.2 * 0.3 * 0.05 * per_mm3, rel=1e-14)
    assert water.molecules_in(0.1) == pytest.approx(0.2 * 0.1 * 0.05 * per_mm3, rel=1e-14)
    assert water.molecules_in(0.02) == pytest.approx(0.2 * 0.02 * 0.02 * per_mm3, rel=1e-14)
    assert water.replace(molecules=5.0).molecules_in(0.02) == 5.0
    air = Background("air", path_mm=(-30, 80))
    assert air.molecules_in(0.1) == pytest.approx(110 * 0.01 * 1.2e-6 / 28.97 * 6.02214179e23, rel=1e-14)
    denser = Background("air", density=2.4e-3, molar_mass=30.0, thickness_mm=110)
    assert denser.molecules_in(0.1) == pytest.approx(2 * air.molecules_in(0.1) * 28.97 / 30, rel=1e-14)


def test_units(tmp_path: Path) -> None:
    rows = np.array([[0.1, 2.0], [0.2, 3.0]])
    for unit, factor in (("stol", 1.0), ("4stol", 4.0), ("Q", 4 * np.pi)):
        one = Background(rows * [factor, 1], unit=unit)
        np.testing.assert_allclose(one.rows, rows, rtol=1e-15)
        np.savetxt(tmp_path / "rows.stol", rows * [factor, 1], fmt="%.17g")
        assert Background(tmp_path / "rows.stol", unit=unit) == one


# ---- records -----------------------------------------------------------------------------------------------


def test_records_are_compared_by_content(tmp_path: Path) -> None:
    path = tmp_path / "rows.stol"
    path.write_text("0.2 3\n0.3 4\n")
    one = Background(str(path), thickness_mm=0.3)
    assert one == Background([[0.2, 3], [0.3, 4]], thickness_mm=0.3) != one.replace(segments=2)
    assert one.source == str(path) and hash(one) == hash(one.replace(source=""))
    assert pickle.loads(pickle.dumps(one)) == one
    curve = RadialCurve([0.2, 0.1], [1, 5])
    assert curve.s.tolist() == [0.1, 0.2] and curve.value([0.05, 0.1, 0.2001]).tolist() == [0, 5, 0]
    setup = Setup(CRYSTAL, backgrounds=one)
    assert setup.backgrounds == (one,) and setup == Setup(CRYSTAL, backgrounds=[one])
    assert setup != Setup(CRYSTAL) and setup.replace(backgrounds=()) == Setup(CRYSTAL)
    assert "table='water'" in repr(Setup(CRYSTAL, backgrounds=Background("water")))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"table": "watr"}, "no material 'watr', and no file of that name; did you mean 'water'"),
        ({"table": "zzz"}, "known: water, air, helium, unity"),
        ({"table": []}, "at least one row|shape"),
        ({"table": [[0.1, 2, 3]]}, "shape"),
        ({"table": [[0.1, np.nan]]}, "must be finite, not nan"),
        ({"table": [[0.1, 2], [-0.2, 1]]}, "row 2: s -0.2 is below 0"),
        ({"table": [[0.1, 2], [0.2, 1], [0.1, 3]]}, "row 3: s 0.1 stands twice"),
        ({"table": "water", "unit": "Q"}, "unit 'Q' belongs to a file or an array"),
        ({"unit": "q"}, "one of 'stol', '4stol', 'Q'"),
        ({"thickness_mm": -1.0}, "thickness_mm must be a finite number at least 0"),
        ({"density": "thick"}, "density must be a finite number"),
        ({"molar_mass": 0}, "molar_mass must be a finite number above 0"),
        ({"interpolation": "spline"}, "one of 'lagrange', 'pchip'"),
        ({"outside": "zero"}, "one of 'line', 'hold'"),
        ({"segments": 0}, "segments must be a whole number"),
        ({"path_mm": (3, 1)}, "must begin before it ends"),
        ({"path_mm": (1, 2), "thickness_mm": 3.0}, "both say how thick"),
        ({"sign": 0}, "sign must be 1 or -1"),
        ({"thick_mm": 1}, "no field 'thick_mm'; did you mean 'thickness_mm'"),
    ],
)
def test_bad_backgrounds(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Background(**{"table": [[0.1, 2]], **fields})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1], [1]), "at least two rows"),
        (([0.1, 0.2], [1]), "shape"),
        (([0.1, 0.1], [1, 2]), "stands twice"),
        (([-0.1, 0.1], [1, 2]), "below 0"),
    ],
)
def test_bad_curves(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RadialCurve(*arguments)


@pytest.mark.parametrize("given", ["water", 3, [CRYSTAL]])
def test_what_is_no_background(given: Any) -> None:
    with pytest.raises(InputError, match=r"backgrounds.* must be a Background"):
        Setup(CRYSTAL, backgrounds=given)


# ---- files -------------------------------------------------------------------------------------------------


def test_what_a_file_may_look_like(tmp_path: Path) -> None:
    path = tmp_path / "rows.stol"
    path.write_text("# s F\n\n0.1, 2 ; 7\n 0.2\t3 # a comment\n0.3:4!\n0.4 , ,5\n")
    assert read_curve(path).tolist() == [[0.1, 2], [0.2, 3], [0.3, 4], [0.4, 5]]
    path.write_text("0.2 3\n0.1 2\n0.3\n")
    with pytest.warns(NbraggWarning, match="not in ascending order, the first at line 2"):
        rows = read_curve(path, missing=0.0)
    assert rows.tolist() == [[0.1, 2], [0.2, 3], [0.3, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("# nothing\n", "no rows"),
        ("0.1 2\n0.2\n", "line 2: .*no value beside 0.2"),
        ("0.1 nan\n", 'line 1: "0.1 nan": expected two finite numbers'),
        ("0.1 2\ninf 3\n", "line 2"),
        ("one two\n", "expected two finite numbers"),
        ("0.1 2\n-0.1 3\n", "line 2: -0.1 is below 0"),
        ("0.1 2\n0.2 1\n\n0.1 3\n", "line 4: 0.1 stands twice"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.stol"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        Background(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere\.stol"):
        Background(tmp_path / "nowhere.stol")


# ---- recipes -----------------------------------------------------------------------------------------------


def test_recipes_keep_them(tmp_path: Path) -> None:
    """Materials by name, short tables in place, long ones beside; curves; every field."""
    long = np.stack([np.linspace(0, 0.5, 200), np.linspace(2, 9, 200) ** 1.5], axis=1)
    backgrounds = (
        Background("water", thickness_mm=0.3, molecules=1e15),
        Background(
            "air", path_mm=(-3, 8), segments=4, density=1e-3, molar_mass=29.0, outside="line", sign=-1
        ),
        Background([[0, 1], [0.3, 2]], interpolation="lagrange", width_mm=0.2, height_mm=0.3),
        Background(long),
        RadialCurve(long[:, 0], long[:, 1], polarized=False),
    )
    setup = Setup(CRYSTAL, backgrounds=backgrounds).replace(background_oversample=3)
    for name in ("setup.json", "setup.yaml"):
        nbragg.dump(setup, tmp_path / name)
        assert nbragg.load(tmp_path / name) == setup
    for one in backgrounds:
        nbragg.dump(one, tmp_path / "one.json")
        assert nbragg.load(tmp_path / "one.json") == one
    assert "backgrounds" not in to_dict(Setup(CRYSTAL))


def test_recipes_by_hand(tmp_path: Path) -> None:
    """A file beside the recipe; and what is wrong with one."""
    (tmp_path / "mine.stol").write_text("0 1\n0.3 2\n")
    plain = to_dict(Setup(CRYSTAL))
    found = from_dict({**plain, "backgrounds": [{"table": "mine.stol", "unit": "Q"}]}, folder=tmp_path)
    assert found.backgrounds == (Background([[0, 1], [0.3, 2]], unit="Q"),)
    for bad, message in (
        ({"table": "water"}, "backgrounds: a list was expected"),
        ([{"table": "water", "thik": 1}], r"backgrounds\[0\]: unknown key 'thik'"),
        ([{"thickness_mm": 1}], r"backgrounds\[0\]: the key 'table' is missing"),
        ([3], r"backgrounds\[0\]: a mapping was expected"),
        ([{"table": "water", "segments": 0}], r"backgrounds\[0\]: segments must be"),
    ):
        with pytest.raises(InputError, match=message):
            from_dict({**plain, "backgrounds": bad})


def test_simulate_takes_them_as_a_part() -> None:
    detector = nbragg.Detector(distance_mm=50, pixel_mm=5, fpixels=6, spixels=5)
    water = Background("water")
    image = nbragg.simulate(CRYSTAL, None, detector, backgrounds=water).image
    setup = Setup(CRYSTAL, detector=detector, backgrounds=water)
    assert np.array_equal(image, nbragg.simulate(setup).image)
    assert np.array_equal(
        nbragg.simulate(setup, backgrounds=()).image, nbragg.simulate(CRYSTAL, None, detector).image
    )
    (one,) = nbragg.simulate_batch(CRYSTAL, None, detector, phi=[0.0], backgrounds=[water])
    assert np.array_equal(one.image, image)

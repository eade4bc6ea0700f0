"""Set-ups to JSON and YAML and back, schema errors, arrays in files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_files import DATA

from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors, build_scene
from nbragg.base.errors import FileError, InputError
from nbragg.base.records import Record
from nbragg.io.recipe import INLINE_LIMIT, VERSION, Setup, dump, from_dict, load, to_dict

SMALL = StructureFactors.from_reflections([0, 1, 0], [0, 0, 1], [0, 0, 2], [1.0, 2.5, 3.0], default_F=0.5)
LARGE = StructureFactors(np.random.default_rng(3).gamma(1.0, 10.0, (9, 8, 7)), (-4, -4, -3), 1.5, 100)
MASK = np.ones((50, 60), dtype=np.uint8)
MASK[10:20, 5:9] = 0

FULL = Setup(
    Crystal(
        structure_factors=LARGE,
        cell=(30.0, 40.0, 50.0, 80.0, 95.0, 100.0),
        a_matrix=np.array([[0.03, 0.001, 0.0], [0.0, 0.025, 0.002], [0.001, 0.0, 0.02]]),
        misset_deg="random",
        misset_seed=7,
        N=(3, 4, 5),
        size_mm=(None, 0.01, None),
        shape="gauss",
        mosaic_spread_deg=0.1,
        mosaic_domains=5,
        phi_deg=10.0,
        osc_deg=1.0,
        spindle_axis=(1.0, 0.0, 0.1),
    ),
    Beam(
        wavelength_A=0.9793,
        sources=SourceList(
            np.array([[-10.0, 0, 0], [-10, 0.01, 0]]), np.array([1.0, 2.0]), np.array([1.0, 1.01])
        ),
        polarization=0.9,
        fluence=1e25,
        polar_vector=(0.0, 0.0, 1.0),
    ),
    Detector(
        distance_mm=250.0, fpixels=60, spixels=50, attenuation_um=math.inf, thickness_um=320.0, mask=MASK
    ),
    Sampling(oversample=2, roi=(1, 20, 2, 30), interpolate=False, dmin_A=2.0),
    "exact",
)
PLAIN = Setup(Crystal(structure_factors=StructureFactors.constant(100.0), cell=(10, 10, 10, 90, 90, 90)))

TURNED = FULL.crystal.replace(misset_deg=None, orientation=np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))

RECORDS: list[Any] = [
    FULL,
    PLAIN,
    TURNED,
    FULL.crystal,
    FULL.beam,
    FULL.detector,
    FULL.sampling,
    SMALL,
    LARGE,
    FULL.beam.sources,
]


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
@pytest.mark.parametrize("number", range(len(RECORDS)))
def test_round_trip(tmp_path: Path, suffix: str, number: int) -> None:
    if suffix != ".json":
        pytest.importorskip("yaml")
    record = RECORDS[number]
    path = tmp_path / f"a{suffix}"
    dump(record, path)
    found = load(path)
    assert found == record and type(found) is type(record)
    first = path.read_text()
    dump(found, path)
    assert path.read_text() == first


def test_same_scene_after_a_round_trip(tmp_path: Path) -> None:
    dump(FULL.replace(physics="nanobragg"), tmp_path / "a.json")
    again: Setup = load(tmp_path / "a.json")
    a, b = build_scene(FULL.replace(physics="nanobragg")), build_scene(again)
    assert a.table.values is not None and b.table.values is not None
    assert np.array_equal(a.table.values, b.table.values)
    assert np.array_equal(a.crystal.orientations, b.crystal.orientations)
    assert np.array_equal(a.panel.pix0, b.panel.pix0) and a.panel.roi == b.panel.roi


def test_defaults_are_left_out_and_small_arrays_are_in_place(tmp_path: Path) -> None:
    values = to_dict(PLAIN)
    assert values == {
        "nanobragg_recipe": VERSION,
        "physics": "exact",
        "crystal": {
            "structure_factors": {"default_F": 100.0, "n_listed": 0},
            "cell": [10.0, 10.0, 10.0, 90.0, 90.0, 90.0],
        },
        "beam": {},
        "detector": {},
        "sampling": {},
    }
    assert from_dict(json.loads(json.dumps(values))) == PLAIN
    assert from_dict(to_dict(SMALL)) == SMALL
    assert SMALL.values is not None and SMALL.values.size <= INLINE_LIMIT
    dump(SMALL, tmp_path / "a.json")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_constant_arrays_are_short(tmp_path: Path) -> None:
    detector = Detector(fpixels=1000, spixels=1000, mask=np.ones((1000, 1000)))
    assert to_dict(detector)["mask"] == {"constant": 1, "shape": [1000, 1000]}
    dump(detector, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == detector


def test_every_field_is_known() -> None:
    """A field added to a record is stored without a change here, arrays included."""
    for record in (FULL.crystal, FULL.beam, FULL.detector, FULL.sampling):
        assert isinstance(record, Record)
        assert (
            from_dict(json.loads(json.dumps(to_dict(record.replace(**_without_arrays(record)))))) is not None
        )


def _without_arrays(record: Record) -> dict[str, Any]:
    names = {"mask": None, "structure_factors": SMALL}
    return {name: value for name, value in names.items() if hasattr(record, name)}


def test_structure_factors_by_file(tmp_path: Path) -> None:
    (tmp_path / "model.pdb").write_bytes((DATA / "5e5z.pdb").read_bytes())
    values = to_dict(PLAIN)
    values["crystal"]["structure_factors"] = {
        "file": "model.pdb",
        "options": {"d_min_A": 3.0},
        "default_F": 1.0,
    }
    (tmp_path / "a.json").write_text(json.dumps(values))
    expected = StructureFactors.from_file(DATA / "5e5z.pdb", d_min_A=3.0, default_F=1.0)
    assert load(tmp_path / "a.json").crystal.structure_factors == expected
    values["crystal"]["structure_factors"]["filename"] = "x"
    with pytest.raises(InputError, match="unknown key 'filename'; did you mean 'file'"):
        from_dict(values, folder=tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("crystl", {}, "the recipe: unknown key 'crystl'; did you mean 'crystal'?"),
        ("beam.wavelenght_A", 1.0, "beam: unknown key 'wavelenght_A'; did you mean 'wavelength_A'?"),
        ("crystal.n", [1, 1, 1], "crystal: unknown key 'n'; did you mean 'N'?"),
        ("detector.qqq", 1, "detector: unknown key 'qqq'; known: distance_mm"),
        ("beam.wavelength_A", -1.0, "beam: wavelength_A must be a finite number above 0"),
        ("beam.wavelength_A", "one", "beam: wavelength_A must be"),
        ("crystal.structure_factors.values", [[1.0]], "crystal.structure_factors: values must be"),
        ("crystal.structure_factors.values", "x", "a list of numbers was expected"),
        ("crystal.structure_factors.values", {"constant": 1.0}, "an array is a list"),
        ("crystal.structure_factors.values", {"constant": 1.0, "shape": [0]}, "positive whole numbers"),
        ("crystal.structure_factors.values", {"constant": 1.0, "shape": [10**6] * 3}, "of memory"),
        ("crystal.structure_factors", None, "crystal: structure_factors must be"),
        ("crystal", [], "crystal: a mapping was expected"),
        ("physics", "perfect", "physics must be one of 'exact', 'nanobragg', not 'perfect'"),
        ("nanobragg_recipe", 99, "recipe version 99; this release reads version 1"),
        ("nanobragg_recipe", None, "not a recipe"),
        ("kind", "cristal", "unknown kind 'cristal'; did you mean 'crystal'?"),
    ],
)
def test_schema_errors(tmp_path: Path, path: str, value: Any, message: str) -> None:
    values = to_dict(PLAIN)
    place: Any = values
    *folders, name = path.split(".")
    for folder in folders:
        place = place[folder]
    place[name] = value
    with pytest.raises(InputError) as error:
        from_dict(values)
    assert message in str(error.value)
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"a\.json: "):
        load(tmp_path / "a.json")


def test_missing_keys() -> None:
    with pytest.raises(InputError, match="neither of the keys 'crystal' and 'sample'"):
        from_dict({"nanobragg_recipe": 1})
    with pytest.raises(InputError, match="crystal: the key 'structure_factors' is missing"):
        from_dict({"nanobragg_recipe": 1, "crystal": {"cell": [1, 1, 1, 90, 90, 90]}})
    with pytest.raises(InputError, match="a recipe is a mapping, not a list"):
        from_dict([])  # type: ignore[arg-type]


def test_what_is_not_a_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a dict was given"):
        to_dict({})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="beam must be a Beam, not a int"):
        Setup(PLAIN.crystal, beam=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"neither \.json nor \.yaml"):
        dump(PLAIN, tmp_path / "a.txt")


def test_digest_only_recipes_cannot_be_rebuilt() -> None:
    with pytest.raises(InputError, match="by its digest only"):
        from_dict(to_dict(LARGE))


def test_changed_arrays_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    dump(LARGE, path)
    store = tmp_path / "a.json.npz"
    (name,) = np.load(store).files
    good = np.load(store)[name]
    np.savez(store, **{name: good + 1})
    with pytest.raises(FileError, match="has changed"):
        load(path)
    np.savez(store, other=good)
    with pytest.raises(FileError, match="belongs to another recipe"):
        load(path)
    store.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FileError, match="cannot be read"):
        load(path)
    store.unlink()
    with pytest.raises(FileError, match="does not exist"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "is empty"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[" * 100000, "not valid JSON"),
        ("a.json", b"\xff\xfe\x00", "not a text file"),
        ("a.yaml", b"a: [", "not valid YAML"),
        ("a.yaml", b"!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message):
        load(tmp_path / name)


def test_failed_dump_leaves_the_old_files(tmp_path: Path) -> None:
    dump(PLAIN, tmp_path / "a.json")
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(InputError):
        dump("not a set-up", tmp_path / "a.json")  # type: ignore[arg-type]
    assert (tmp_path / "a.json").read_bytes() == before and len(list(tmp_path.iterdir())) == 1

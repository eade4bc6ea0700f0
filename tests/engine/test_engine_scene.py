"""From the Scene to the C structs: every field arrives, nothing is mirrored, what is wrong is refused."""

from __future__ import annotations

import dataclasses
import gc
import re
import time
from pathlib import Path
from typing import Any

import golden_cases as g
import numpy as np
import pytest

from nbragg import Background, LiquidMotions, Setup, _engine, build_scene
from nbragg.engine.backend import Summary
from nbragg.engine.cpu import render_double
from nbragg.engine.gradient import Gradient
from nbragg.engine.options import RenderOptions
from nbragg.scene.record import CrystalBlock, FactorTable, PlacedPanel, Scene, Sources
from nbragg.scene.tangent import SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CSRC = Path(__file__).resolve().parents[2] / "csrc"
LINE = "-cell 40 50 60 80 95 103 -default_F 7 -N 4 -misset 1 2 3 -mosaic 1 -mosaic_domains 3 -detpixels 8"


def full_scene() -> Any:
    """A scene in which every pointer of the structs is set."""
    scene = g.scene_of(LINE)
    values = np.random.default_rng(1).uniform(1, 9, (5, 6, 7))
    table = dataclasses.replace(scene.table, values=values, origin=(-2, -3, -3), reach=1e10)
    mask = np.ones((8, 8), np.uint8)
    mask[2, 3] = 0
    panel = dataclasses.replace(
        scene.panel, mask=mask, thickness=1e-4, layer_step=1e-4, mu=2e3,
        source_mu=np.array([1e3]), source_mu_slope=np.array([1e13]),
    )  # fmt: skip
    crystal = dataclasses.replace(
        scene.crystal,
        shape="tophat",
        orientation_weights=np.array([1.0, 2.0, 3.0]),
        displacement=np.eye(3) * 0.01,
        displacement_rate=np.eye(3),
    )
    k = 1 / scene.sources.wavelength[:, np.newaxis]
    sources = dataclasses.replace(scene.sources, channel=k * [0.99, 1.01])
    return dataclasses.replace(
        scene, panels=(panel, panel), sources=sources, crystals=(crystal, crystal), tables=(table, table),
        oversample_thick=True,
    )  # fmt: skip


def packed(scene: Any) -> tuple[Any, ...]:
    """All that C sees of a scene: the structs without their pointers, images for what those point to."""
    engine = _engine.EngineScene(scene)
    kinds = tuple(engine.device_bytes(kind) for kind in ("scene", "panel", "source", "crystal", "table"))
    still = dataclasses.replace(
        scene,
        backdrop=None,
        diffuse=None,
        crystals=tuple(dataclasses.replace(one, displacement_rate=None) for one in scene.crystals),
    )
    wavelength = SceneTangent(source_wavelength=np.ones(len(scene.sources)))
    rate = Gradient(still, [wavelength], (), RenderOptions()).vjp(np.ones(scene.image_shape))
    return (*kinds, render_double(scene).tobytes(), rate.tobytes())


def another(name: str, value: Any) -> Any:
    """A value of a field that is valid and different."""
    words = {
        "curved": "axes",
        "shape": "gauss",
        "interpolation": "tricubic_exact",
        "water_mode": "after",
        "spectral": "culled",
        "roi": (1, 6, 2, 5),
        "layers": 3,
    }
    if name in words:
        return words[name]
    if name == "backdrop":  # of water; its own fields: test_background_image.py, test_backdrop_rates.py
        water = Setup(g.command_line(g.split(LINE)).setup.crystal, backgrounds=Background("water"))
        return build_scene(water).backdrop
    if name == "diffuse":  # its own fields: test_diffuse.py
        moving = g.command_line(g.split(LINE)).setup.crystal.replace(diffuse=LiquidMotions(30, 0.4))
        return build_scene(Setup(moving)).diffuse
    if name == "table" and isinstance(value, int):
        return 1
    if name in ("fpixels", "spixels"):
        return value + 1
    if isinstance(value, bool):
        return not value
    if isinstance(value, np.ndarray):
        return value * 0 + 1 if name in ("mask", "table") else value + 0.25
    if isinstance(value, tuple):
        return tuple(x + 1 for x in value)
    return value + 1 if value < 1e6 else 2 * value


#: kept in the record for reports and checks, or told beside the Scene; the engine must not see them
_NOT_FOR_C = {("Scene", "physics"), ("Scene", "placement"), ("Scene", "adaptive")}


def fields() -> list[tuple[str, str]]:
    return [
        (kind.__name__, field.name)
        for kind in (PlacedPanel, Sources, CrystalBlock, FactorTable, Scene)
        for field in dataclasses.fields(kind)
        if field.name not in ("panels", "sources", "crystals", "tables")
        and (kind.__name__, field.name) not in _NOT_FOR_C
    ]


@pytest.mark.parametrize(("kind", "name"), fields())
def test_every_field_reaches_the_structs(kind: str, name: str) -> None:
    """A field changed in the record changes what C sees: none is forgotten between the two."""
    scene = full_scene()
    before = packed(scene)
    part = {
        "PlacedPanel": "panels",
        "Sources": "sources",
        "CrystalBlock": "crystals",
        "FactorTable": "tables",
    }
    if kind == "Scene":
        changed = dataclasses.replace(scene, **{name: another(name, getattr(scene, name))})
    elif kind == "Sources":
        value = another(name, getattr(scene.sources, name))
        changed = dataclasses.replace(scene, sources=dataclasses.replace(scene.sources, **{name: value}))
    else:
        given = getattr(scene, part[kind])
        value = another(name, getattr(given[0], name))
        edit: dict[str, Any] = {name: value}
        if name in ("fpixels", "spixels"):
            edit["mask"] = None
        # all of them: tables of one crystal have to agree, and a table's number has to exist
        every = tuple(dataclasses.replace(one, **edit) for one in given)
        changed = dataclasses.replace(scene, **{part[kind]: every})
    assert packed(changed) != before


@pytest.mark.parametrize(
    ("header", "struct"), [("nb_summary.h", "nb_summary"), ("nb_trace.h", "nb_trace_row")]
)
def test_dtypes_are_those_of_c(header: str, struct: str) -> None:
    """Names in the order of the header, size that of the compiler; Python's record begins with them."""
    if not (CSRC / header).is_file():
        pytest.skip("needs the source tree")
    dtype = {"nb_summary": _engine.SUMMARY_DTYPE, "nb_trace_row": _engine.TRACE_ROW_DTYPE}[struct]
    text = re.sub(r"/\*.*?\*/", "", (CSRC / header).read_text(), flags=re.DOTALL)
    body = re.search(r"typedef struct \{([^}]*)\} " + struct, text)
    assert body is not None
    names = re.findall(r"(\w+)(?:\[\d\])*\s*[,;]", body[1])
    assert list(dtype.names or ()) == names
    assert dtype.itemsize == _engine.SIZES[struct]
    if struct == "nb_summary":
        told = [*names, "visited", "left_out"]  # the last two by the CPU's job alone
        assert [field.name for field in dataclasses.fields(Summary)] == told


def test_sizes_of_packed_structs() -> None:
    scene = full_scene()
    engine = _engine.EngineScene(scene)
    for kind, count in (("scene", 1), ("panel", 2), ("source", 1), ("crystal", 2), ("table", 2)):
        assert len(engine.device_bytes(kind)) == count * _engine.SIZES[f"nb_{kind}"]
    with pytest.raises(TypeError, match="no pointer mask"):
        engine.device_bytes("crystal", mask=[1])


def test_addresses_of_another_memory() -> None:
    """device_bytes puts the addresses given where the pointers are, and nothing else changes."""
    engine = _engine.EngineScene(full_scene())
    addresses: list[tuple[str, dict[str, Any]]] = [
        ("scene", {"panel": 0x1111, "source": 0x2222, "crystal": 0x3333, "table": 0x4444}),
        ("panel", {"mask": [0x1111, 0x2222], "listed": [0x3333, 0x4444]}),
        ("crystal", {"abc": [0x1111, 0x2222], "orientation_weight": [0x3333, 0x4444]}),
        ("table", {"F": [0x1111, 0x2222]}),
    ]
    for kind, given in addresses:
        plain = np.frombuffer(engine.device_bytes(kind), np.uint64)
        found = np.frombuffer(engine.device_bytes(kind, **given), np.uint64)
        wanted = sorted(
            x for value in given.values() for x in (value if isinstance(value, list) else [value])
        )
        assert sorted(found[found != plain].tolist()) == wanted
        assert (plain[found != plain] == 0).all()


@pytest.mark.parametrize(
    ("part", "edit", "message"),
    [
        ("panels", {"roi": (0, 8, 0, 7)}, "roi .* does not fit a panel of 8 x 8"),
        ("panels", {"roi": (3, 2, 0, 7)}, "roi"),
        ("panels", {"mask": np.ones((8, 7), np.uint8)}, r"mask has the shape \(8, 7\)"),
        ("panels", {"curved": "bent"}, "curved 'bent' is not known: give one of flat, laboratory, axes"),
        ("panels", {"curved": 1}, "curved 1 is not known"),
        ("panels", {"layers": 0}, "0 layers"),
        ("panels", {"fdet": np.ones(4)}, "fdet has 4 numbers; 3"),
        ("crystals", {"shape": "cube"}, "shape 'cube' is not known: give one of square, round"),
        ("crystals", {"orientations": np.empty((0, 3, 3))}, "orientations have the shape"),
        ("crystals", {"orientation_weights": np.ones(2)}, "2 weights for 3 orientations"),
        ("crystals", {"orientation_weights": np.array([1.0, -1.0, 1.0])}, "orientation 1 has the weight -1"),
        ("crystals", {"orientation_weights": np.zeros(3)}, "add up to 0"),
        (
            "crystals",
            {"orientation_weights": np.array([1.0, np.nan, 1.0])},
            "orientation 1 has the weight nan",
        ),
        ("crystals", {"table": 1}, "crystal 0 takes 1 tables .* from number 1 on; there are 1"),
        ("crystals", {"table": -1}, "crystal 0"),
        ("tables", {"interpolation": "cubic"}, "interpolation 'cubic' is not known"),
        ("tables", {"values": np.empty((0, 3, 3))}, "table of 0 structure factors"),
        ("scene", {"water_mode": "before"}, "water_mode 'before' is not known"),
        ("scene", {"oversample": 0}, "oversample = 0"),
        ("scene", {"panels": ()}, "0 panels"),
        ("sources", {"weight": np.ones(2)}, "source arrays differ in length"),
        ("sources", {"table": np.array([-1])}, "source 0 names table -1"),
        ("sources", {"table": np.array([1])}, "takes 2 tables"),
    ],
)
def test_what_does_not_fit_is_refused(part: str, edit: dict[str, Any], message: str) -> None:
    """ValueError that names it, whatever `build_scene` would have checked before."""
    scene = g.scene_of(LINE)
    if part == "scene":
        bad = dataclasses.replace(scene, **edit)
    elif part == "sources":
        bad = dataclasses.replace(scene, sources=dataclasses.replace(scene.sources, **edit))
    else:
        (one,) = getattr(scene, part)
        bad = dataclasses.replace(scene, **{part: (dataclasses.replace(one, **edit),)})
    with pytest.raises(ValueError, match=message):
        _engine.EngineScene(bad)


def test_tables_of_one_crystal_are_of_one_kind() -> None:
    scene = full_scene()
    sources = dataclasses.replace(scene.sources, table=np.array([1]))
    for edit in ({"values": None}, {"interpolation": "tricubic_exact"}):
        tables = (scene.tables[0], dataclasses.replace(scene.tables[1], **edit), scene.tables[0])
        mixed = dataclasses.replace(scene, sources=sources, tables=tables)
        with pytest.raises(ValueError, match="tables of crystal 0 differ"):
            _engine.EngineScene(mixed)


def test_images_that_do_not_fit() -> None:
    engine = _engine.EngineScene(g.scene_of(LINE))
    images: list[Any] = [
        np.zeros((8, 7), np.float32), np.zeros((8, 16), np.float32)[:, ::2], np.zeros((8, 8))
    ]  # fmt: skip
    for image in images:
        with pytest.raises(ValueError):
            _engine.Job(engine, image, "double", 1, "baseline")
    with pytest.raises(ValueError, match="precision 'single' is not known"):
        _engine.Job(engine, np.zeros((8, 8), np.float32), "single", 1, "baseline")


# ---- what is packed once ----


def test_pixel_list() -> None:
    rng = np.random.default_rng(2)
    mask = (rng.random((7, 9)) < 0.5).astype(np.uint8)
    for roi in ((0, 8, 0, 6), (2, 6, 1, 5), (3, 3, 2, 2)):
        fmin, fmax, smin, smax = roi
        inside = np.zeros_like(mask)
        inside[smin : smax + 1, fmin : fmax + 1] = mask[smin : smax + 1, fmin : fmax + 1]
        found = _engine.pixel_list(mask, roi)
        if inside.sum() == (fmax - fmin + 1) * (smax - smin + 1):
            assert found is None
        else:
            assert found is not None and found.dtype == np.int32
            assert np.array_equal(found, np.flatnonzero(inside))
    assert _engine.pixel_list(np.ones((7, 9), np.uint8), (0, 8, 0, 6)) is None


def test_pixel_list_is_kept_with_its_mask() -> None:
    """As long as the mask lives and cannot change; one that may be written to is looked at each time."""
    mask = np.ones((7, 9), np.uint8)
    mask[0, 0] = 0
    roi = (0, 8, 0, 6)
    first = _engine.pixel_list(mask, roi)
    mask[1, 1] = 0
    second = _engine.pixel_list(mask, roi)
    assert first is not None and second is not None and len(second) == len(first) - 1
    mask.setflags(write=False)
    kept = _engine.pixel_list(mask, roi)
    assert _engine.pixel_list(mask, roi) is kept
    assert _engine.pixel_list(mask, (0, 8, 0, 5)) is not kept


def test_parts_that_change_are_packed_again() -> None:
    """Records of the same place in memory, one after the other, are not taken for each other."""
    scene = g.scene_of(LINE)
    for i in range(200):
        panel = dataclasses.replace(scene.panel, distance=float(i))
        again = dataclasses.replace(scene, panels=(panel,))
        packed_panel = _engine.EngineScene(again).device_bytes("panel")
        assert np.float64(i).tobytes() in packed_panel
        del panel, again
    gc.collect()


def test_a_scene_of_known_parts_is_quick() -> None:
    """A new orientation of a scene whose panels, sources and tables are known: microseconds."""
    scene = full_scene()
    mask = np.random.default_rng(1).integers(0, 2, (1024, 1024)).astype(np.uint8)
    mask.setflags(write=False)
    panel = dataclasses.replace(
        scene.panels[0], fpixels=1024, spixels=1024, roi=(0, 1023, 0, 1023), mask=mask
    )
    crystal = dataclasses.replace(scene.crystals[0], orientation_weights=None)
    many = dataclasses.replace(scene, panels=(panel,) * 64, crystals=(crystal,))
    _engine.EngineScene(many)
    times = []
    for _ in range(300):
        start = time.perf_counter()
        _engine.EngineScene(many)
        times.append(time.perf_counter() - start)
    assert min(times) < 50e-6  # about 8 when the machine is free; 64 lists made anew would take 100 ms

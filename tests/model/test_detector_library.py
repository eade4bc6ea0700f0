"""The library of detectors, grids of modules, groups that move, panels fitted to places."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Crystal, Detector, InputError, Setup, StructureFactors
from nbragg.io.recipe import from_dict, to_dict
from nbragg.model.conventions import CONVENTIONS
from nbragg.model.detector_library import LIBRARY
from nbragg.model.panel_moves import panel_centre

CRYSTAL = Crystal(cell=(50, 60, 70, 90, 90, 90), structure_factors=StructureFactors.constant(100), N=5)

#: name -> pixels of a panel (fast, slow), panels, pixel (um), pixels masked in gaps (beyond 18.6)
TABLE = {
    "pilatus_2m": ((1475, 1679), 1, 172, 197365),
    "pilatus_6m": ((2463, 2527), 1, 172, 526101),
    "eiger_4m": ((2070, 2167), 1, 75, 250330),
    "eiger_9m": ((3110, 3269), 1, 75, 637030),
    "eiger_16m": ((4150, 4371), 1, 75, 1198210),
    "eiger2_4m": ((2068, 2162), 1, 75, 260328),
    "eiger2_9m": ((3108, 3262), 1, 75, 664248),
    "eiger2_16m": ((4148, 4362), 1, 75, 1250824),
    "pilatus4_4m": ((2073, 2180), 1, 150, 333060),
    "jungfrau_4m": ((2068, 2164), 1, 75, 239792),
    "jungfrau_16m": ((1030, 514), 32, 75, 0),
    "agipd_1m": ((128, 64), 128, 200, 0),
    "cspad": ((194, 185), 64, 110, 0),
    "epix10k_2m": ((192, 176), 64, 100, 0),
    "rayonix_mx340": ((7680, 7680), 1, 44.271, 0),
    "rayonix_mx340_2x2": ((3840, 3840), 1, 88.54, 0),
    "lpd_1m": ((128, 32), 256, 500, 0),
    "dssc_1m": ((256, 128), 32, 236, 0),
    "epix100": ((384, 352), 4, 50, 0),
}

SENSORS = {
    "pilatus_6m": ("Si", 320), "eiger_16m": ("Si", 450), "jungfrau_4m": ("Si", 320),
    "jungfrau_16m": ("Si", 320),
    "agipd_1m": ("Si", 500), "cspad": ("Si", 500), "epix10k_2m": ("Si", 500), "lpd_1m": ("Si", 500),
    "dssc_1m": ("Si", 450), "epix100": ("Si", 500), "pilatus4_4m": ("Si", 450), "eiger2_4m": ("Si", 450),
}  # fmt: skip

MANY = [name for name, (_, panels, _, _) in TABLE.items() if panels > 1]
GRIDS = [name for name in TABLE if name not in MANY]


def centres(detector: Detector) -> npt.NDArray[np.float64]:
    """Middles of the panels, mm, with the detector's shift."""
    middles = [panel_centre(panel) + np.array(detector.shift_mm) for panel in detector.panels]
    return np.array(middles, dtype=np.float64)


# ---- the registry ----


def test_the_library_is_the_table() -> None:
    assert set(nbragg.detector_names()) == set(LIBRARY) == set(TABLE)
    for name, (pixels, panels, um, masked) in TABLE.items():
        entry = LIBRARY[name]
        assert (entry.panel_pixels, entry.panels, entry.masked) == (pixels, panels, masked), name
        assert entry.pixel_mm[0] == pytest.approx(um * 1e-3, rel=1e-12), name
        confirmed = any(word in entry.source for word in ("typical", "sensor: dxtbx"))
        assert confirmed and len(entry.source) > 50, name
        assert ("nominal" in entry.source) == (panels > 1 and name != "epix100"), name
    for name, (material, um) in SENSORS.items():
        assert LIBRARY[name].sensors[0] == (material, um)
        detector = Detector.named(name)
        sensor = detector.panels[0] if detector.panels else detector
        assert (sensor.material, sensor.thickness_um, sensor.attenuation_um) == (material, um, None)


def test_responses_are_presets() -> None:
    from nbragg.model.response_presets import PRESETS

    assert {entry.preset for entry in LIBRARY.values()} - {""} <= set(PRESETS)
    for entry in LIBRARY.values():
        if entry.preset:
            assert (entry.kind == "counting") == (PRESETS[entry.preset].fields.get("kind") == "counting")


@pytest.mark.parametrize("name", [*GRIDS[:5], "rayonix_mx340_2x2"])
def test_a_grid_has_its_gaps_masked(name: str) -> None:
    """Counted from the modules, one by one."""
    detector, entry = Detector.named(name, 200), LIBRARY[name]
    assert entry.grid is not None
    (mf, ms), (nf, ns), (gf, gs) = entry.grid
    used = np.zeros((detector.spixels or 0, detector.fpixels or 0), np.uint8)
    for i, j in itertools.product(range(mf), range(ms)):
        part = used[j * (ns + gs) : j * (ns + gs) + ns, i * (nf + gf) : i * (nf + gf) + nf]
        assert part.shape == (ns, nf)
        part[:] = 1
    mask = np.ones_like(used) if detector.mask is None else detector.mask
    assert np.array_equal(mask, used)
    assert int((mask == 0).sum()) == TABLE[name][3]


@pytest.mark.parametrize("convention", list(CONVENTIONS))
def test_the_beam_is_in_the_middle(convention: str) -> None:
    for name in ("pilatus_2m", "eiger2_4m"):
        detector = Detector.named(name, distance_mm=150, convention=convention)
        place = nbragg.build_scene(Setup(CRYSTAL, detector=detector)).placement.panel
        assert place.Fbeam / place.pixel[0] == pytest.approx(place.fpixels / 2, abs=1e-9)
        assert place.Sbeam / place.pixel[1] == pytest.approx(place.spixels / 2, abs=1e-9)
        assert place.distance == pytest.approx(0.15)


def test_what_is_given_wins_over_the_library() -> None:
    one = Detector.named("PILATUS-2M", 200, Xbeam_mm=100.0, thickness_um=1000)
    assert (one.Xbeam_mm, one.thickness_um, one.model) == (100.0, 1000, "pilatus_2m")
    assert one.Ybeam_mm == pytest.approx((1475 * 0.172 - 0.172) / 2)
    assert Detector.named("eiger_4m", convention="xds", ORGX=3).Xbeam_mm is None
    many = Detector.named("agipd 1m", 120, thickness_um=300, shift_mm=(1, 2, 3))
    assert {panel.thickness_um for panel in many.panels} == {300} and many.shift_mm == (1, 2, 3)


@pytest.mark.parametrize("name", MANY)
def test_panels_stand_around_the_beam(name: str) -> None:
    """No two overlap, all face the sample, groups cover them, and the beam meets none or a gap's edge."""
    detector, entry = Detector.named(name, 100, convention="xds"), LIBRARY[name]
    assert len({panel.name for panel in detector.panels}) == entry.panels
    corners = []
    for panel in detector.panels:
        edges = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm,) * 2
        o, f, s = (np.array(v)[:2] for v in (panel.origin_mm, panel.fast, panel.slow))
        assert panel.origin_mm[2] == 100
        reach = [
            o + i * f * edges[0] * panel.fpixels + j * s * edges[1] * panel.spixels
            for i in (0, 1)
            for j in (0, 1)
        ]
        corners.append((np.min(reach, axis=0), np.max(reach, axis=0)))
    low, high = (np.array(x) for x in zip(*corners, strict=True))
    overlap = (low[:, np.newaxis] < high - 1e-9).all(-1) & (high[:, np.newaxis] > low + 1e-9).all(-1)
    assert np.array_equal(overlap, np.eye(len(low), dtype=bool))
    assert not ((low < 0) & (high > 0)).all(axis=1).any(), "the direct beam goes through a gap"
    assert np.abs(centres(detector).mean(axis=0)[:2]).max() < 0.1 * max(entry.extent_mm)
    assert {i for which in detector.groups.values() for i in which} == set(range(entry.panels))
    quarters = [set(detector.groups[f"q{q}"]) for q in range(4)] if "q0" in detector.groups else []
    assert sum(map(len, quarters)) == len(set().union(*quarters))
    nbragg.build_scene(Setup(CRYSTAL, detector=detector))


def test_the_laboratory_is_that_of_the_convention() -> None:
    """Seen along the beam with the slow axis of the convention down, a layout is the same in each."""
    views = []
    for name, convention in CONVENTIONS.items():
        beam, down = np.array(convention.beam), np.array(convention.slow)
        detector = Detector.named("cspad", 80, convention=name)
        at = centres(detector)
        assert np.allclose(at @ beam, 80)
        views.append(np.stack([at @ np.cross(down, beam), at @ down], axis=1))
    assert all(np.allclose(view, views[0]) for view in views)
    # CrystFEL's example: ASIC 0 of quadrant 0 runs up, to the left of the beam
    panel = Detector.named("cspad", 80, convention="xds").panels[0]
    assert panel.fast == (0, -1, 0) and panel.slow == (1, 0, 0) and panel.origin_mm[0] < 0


def test_known_places() -> None:
    """EXtra-geom's example of AGIPD, CrystFEL's of Jungfrau at SwissFEL; x left, y up (mm)."""

    def seen(detector: Detector, i: int) -> npt.NDArray[np.float64]:
        return np.array(detector.panels[i].origin_mm)[:2] * (-1, -1)  # "xds": x right, y down

    agipd = Detector.named("agipd_1m", 100, convention="xds")
    assert seen(agipd, 0) == pytest.approx((-525 * 0.2, 625 * 0.2))
    assert seen(agipd, 9) == pytest.approx(((-525 + 66) * 0.2, (625 - 157) * 0.2))
    assert seen(agipd, 127) == pytest.approx(((542.5 - 7 * 66) * 0.2, (475 - 3 * 157) * 0.2))
    jungfrau = Detector.named("jungfrau_16m", 100, convention="xds")
    for i, x, y in ((0, 2147.07, 1131.30), (15, -52.87, 997.73), (16, 14.47, -41.41), (31, -2183.51, -41.16)):
        assert np.abs(seen(jungfrau, i) / 0.075 - (x, y)).max() < 5


@pytest.mark.parametrize("name", ["agipd_1m", "pilatus_6m", "eiger_4m"])
def test_recipes_keep_it(name: str) -> None:
    """Also those in image files, which hold no arrays beside them: masks are rectangles."""
    setup = Setup(CRYSTAL, detector=Detector.named(name, 111))
    found = from_dict(to_dict(setup))
    assert found == setup
    assert (found.detector.model, found.detector.groups) == (name, setup.detector.groups)
    with tempfile.TemporaryDirectory() as folder:
        nbragg.dump(setup, f"{folder}/a.yaml")
        assert nbragg.load(f"{folder}/a.yaml") == setup
        assert [path.name for path in Path(folder).iterdir()] == ["a.yaml"]


def test_groups_and_names_go_to_crystfel_and_back(tmp_path: Path) -> None:
    detector = Detector.named("epix100", 80)
    scene = nbragg.build_scene(Setup(CRYSTAL, detector=detector))
    nbragg.io.write_geometry(tmp_path / "a.geom", scene)
    read = nbragg.read_geometry(tmp_path / "a.geom", values={"attenuation_um": 500.0, "thickness_um": 500.0})
    assert read.detector.groups == detector.groups == {"top": (0, 1), "bottom": (2, 3)}
    assert [panel.name for panel in read.panels] == [panel.name for panel in detector.panels]
    moved = read.detector.moved("top", shift_mm=(0, 1, 0))
    assert [p == q for p, q in zip(moved.panels, read.panels, strict=True)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("call", "about"),
    [
        (lambda: Detector.named("pilatus6"), "did you mean 'pilatus_6m'"),
        (lambda: Detector.named("nothing like it"), "pilatus_2m"),
        (lambda: Detector.named(6), "text"),
        (lambda: Detector.named("agipd_1m", Xbeam_mm=3), "128 panels, and Xbeam_mm"),
        (lambda: Detector.named("agipd_1m", distance_mm=-3), "distance_mm"),
        (lambda: Detector.named("pilatus_2m", convention="mosfilm"), "convention"),
        (lambda: Detector.named("pilatus_2m", thickness=3), "did you mean 'thickness_um'"),
        (lambda: Detector(groups={"a": (0,)}), "give panels"),
        (lambda: Detector.named("epix100", groups={"a": (4,)}), "0 to 3"),
        (lambda: Detector.named("epix100", groups={"a": "top"}), "indices of panels"),
        (lambda: Detector.named("epix100", groups=[(0, 1)]), "must map names"),
        (lambda: Detector(model=3), "model must be text"),
        (lambda: Detector.named("agipd_1m").moved("q4"), "did you mean 'q"),
        (lambda: Detector.named("agipd_1m").moved(128), "0 to 127"),
        (lambda: Detector.named("agipd_1m").moved(()), "empty"),
        (lambda: Detector.named("agipd_1m").moved("q0", shift_mm=3), "3 numbers"),
        (lambda: Detector.named("agipd_1m").moved("q0", about="center"), "'centre', 'sample'"),
        (lambda: Detector().moved("q0"), "shift_mm"),
        (lambda: nbragg.grid((2, 2), (10.5, 3)), "whole number"),
        (lambda: nbragg.grid((2, 0), (10, 3)), "from 1"),
        (lambda: nbragg.grid(2, (10, 3)), "two whole numbers"),
        (lambda: nbragg.grid((2, 2), (10, 3), mask=np.ones((3, 3))), "same size"),
    ],
)
def test_bad_input(call: Any, about: str) -> None:
    with pytest.raises(InputError, match=about):
        call()


# ---- grids ----


def test_a_grid_made_by_hand() -> None:
    detector = nbragg.grid((2, 3), (5, 4), (1, 2), 0.2, distance_mm=50)
    assert (detector.fpixels, detector.spixels, detector.pixel_mm, detector.distance_mm) == (11, 16, 0.2, 50)
    rows = ["11111011111"] * 4 + ["00000000000"] * 2
    expected = np.array([[int(c) for c in row] for row in (rows * 3)[:16]])
    assert detector.mask is not None and np.array_equal(detector.mask, expected)
    more = np.ones((16, 11))
    more[0, 0] = 0
    both = nbragg.grid((2, 3), (5, 4), (1, 2), mask=more)
    assert both.mask is not None and int((both.mask != expected).sum()) == 1 and both.mask[0, 0] == 0
    assert nbragg.grid((2, 2), (5, 4)).mask is None


# ---- groups that move ----


def rotation(deg: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """About x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(deg)):
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        sign = -1 if axis == 1 else 1
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -sign * np.sin(angle), sign * np.sin(angle)
        matrix = one @ matrix
    return matrix


@pytest.mark.parametrize("about", ["centre", "sample", (3.0, -2.0, 95.0)])
def test_a_group_moves_as_one_body(about: Any) -> None:
    detector = Detector.named("agipd_1m", 100, convention="xds", shift_mm=(0.5, -1, 2))
    shift, deg = (1.0, -2.0, 3.0), (0.4, -0.3, 5.0)
    moved = detector.moved("q1", shift_mm=shift, rotation_deg=deg, about=about)
    chosen = list(detector.groups["q1"])
    rest = [i for i in range(128) if i not in chosen]
    assert [moved.panels[i] for i in rest] == [detector.panels[i] for i in rest]
    matrix = rotation(deg)
    before, after = centres(detector)[chosen], centres(moved)[chosen]
    words = {"centre": before.mean(axis=0), "sample": np.zeros(3)}
    pivot = words[about] if isinstance(about, str) else np.array(about)
    assert np.abs((before - pivot) @ matrix.T + pivot + shift - after).max() < 1e-11
    for i in chosen[:3]:
        for axis in ("fast", "slow"):
            turned = matrix @ np.array(getattr(detector.panels[i], axis))
            assert np.allclose(turned, getattr(moved.panels[i], axis), atol=1e-14)
    scene = nbragg.build_scene(Setup(CRYSTAL, detector=moved))
    for i in (0, chosen[5]):
        corner = np.array(moved.panels[i].origin_mm) + moved.shift_mm
        assert np.abs(scene.panels[i].pix0 * 1e3 - corner).max() < 1e-11


def test_moves_by_name_by_number_and_undone() -> None:
    detector = Detector.named("epix100", 80)
    step = {"shift_mm": (1.0, 2.0, -3.0)}
    assert detector.moved("p0a1", **step) == detector.moved(1, **step) == detector.moved([1], **step)
    back = detector.moved("top", **step).moved("top", shift_mm=(-1, -2, 3))
    assert back == detector
    turned = detector.moved("top", rotation_deg=(0, 0, 90))
    assert detector.moved("top", rotation_deg=(0, 0, 0)) == detector != turned
    pieces = Detector(convention="xds", panels=detector.panels[0].cut(2, 2))
    moved = pieces.moved(3, rotation_deg=(0, 10, 0))  # a panel whose plane begins elsewhere
    assert np.abs(centres(moved) - centres(pieces)).max() < 1e-12


# ---- panels from places ----


def test_panels_from_positions() -> None:
    """Those of a detector of which a quadrant was moved, from the places of its pixels."""
    detector = Detector.named("dssc_1m", 150, convention="xds").moved("q2", rotation_deg=(3, 2, 1))
    places = []
    for panel in detector.panels:
        edges = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm,) * 2
        f = (np.arange(panel.fpixels) + 0.5)[:, np.newaxis] * edges[0] * np.array(panel.fast)
        s = (np.arange(panel.spixels) + 0.5)[:, np.newaxis] * edges[1] * np.array(panel.slow)
        places.append((np.array(panel.origin_mm) + f[np.newaxis] + s[:, np.newaxis]) * 1e-3)
    found = Detector.from_positions(
        np.array(places), groups=detector.groups, convention="xds", thickness_um=450.0
    )
    for mine, theirs in zip(found.panels, detector.panels, strict=True):
        assert np.abs(np.subtract(mine.origin_mm, theirs.origin_mm)).max() < 1e-9
        assert np.allclose(mine.fast, theirs.fast, atol=1e-12) and mine.thickness_um == 450
        assert np.allclose(mine.pixel_mm, theirs.pixel_mm, rtol=1e-12)
    assert found.groups == detector.groups
    bent = places[0].copy()
    bent[:, :, 2] += 2e-8 * (np.arange(256) - 128) ** 2
    for wrong, about in ((bent, "flat pieces"), (places[0][:1], "2 x 2"), (places[0][..., :2], "shape")):
        with pytest.raises(InputError, match=about):
            Detector.from_positions([wrong])
    noisy = places[0] + np.random.default_rng(1).normal(0, 2e-6, places[0].shape)  # below a tenth of a pixel
    fitted = Detector.from_positions([noisy]).panels[0]
    assert np.abs(panel_centre(fitted) - panel_centre(detector.panels[0])).max() < 1e-4


# ---- pyFAI, where it is installed ----


@pytest.mark.slow
def test_pyfai_has_the_same_gaps() -> None:
    factory = pytest.importorskip("pyFAI.detectors", reason="needs pyFAI: pip install pyFAI").detector_factory
    names = {
        "pilatus_2m": "Pilatus2M",
        "pilatus_6m": "Pilatus6M",
        "eiger_4m": "Eiger4M",
        "eiger2_4m": "Eiger2_4M",
    }
    for mine, theirs in names.items():
        other, detector = factory(theirs), Detector.named(mine)
        assert other.shape == (detector.spixels, detector.fpixels)
        assert other.pixel1 == pytest.approx(detector.pixel_edges_mm[1] * 1e-3)
        assert np.array_equal(other.mask == 0, detector.mask), mine


def test_the_hierarchy_of_an_expt_is_groups() -> None:
    path = Path(__file__).resolve().parents[1] / "data" / "hierarchical.expt"
    values = {"attenuation_um": 100.0}
    geometry = nbragg.read_geometry(path, values=values)
    detector = geometry.detector
    assert detector.groups == geometry.groups and detector.groups
    name, which = next((name, which) for name, which in detector.groups.items() if 0 < len(which) < 64)
    moved = detector.moved(name, shift_mm=(0, 0, 2))
    changed = [
        i for i, pair in enumerate(zip(moved.panels, detector.panels, strict=True)) if pair[0] != pair[1]
    ]
    assert changed == sorted(which)

"""CrystFEL geometries: statements, units, skew, regions, groups; what is written is read back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from geometry_files import centres, farthest, geom_text
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import build_scene
from strategies import detectors, generic

import nbragg
from nbragg import Beam, Crystal, Panel, StructureFactors
from nbragg.base import constants
from nbragg.io.files.rectangles import mask_of, masked_rectangles
from nbragg.io.geometry.crystfel_writer import crystfel_frame
from nbragg.io.geometry.record import Geometry, Readout


def read(folder: Path, text: str, **values: object) -> Geometry:
    path = folder / "det.geom"
    path.write_text(text)
    geometry: Geometry = nbragg.read_geometry(path, values=values)
    return geometry


def test_one_panel(tmp_path: Path) -> None:
    geometry = read(tmp_path, geom_text("coffset=0.002"))
    (panel,) = geometry.panels
    assert panel.origin_mm == pytest.approx((-0.5, -0.2, 102.0), abs=1e-12)
    assert (panel.fpixels, panel.spixels, panel.pixel_mm, panel.name) == (10, 5, 0.1, "p0")
    assert geometry.beam_vector == (0.0, 0.0, 1.0)
    assert geometry.polar_vector == (1.0, 0.0, 0.0)
    assert geometry.wavelength_A == constants.HC_EV_A / 9500
    assert geometry.frame == "CrystFEL laboratory"
    assert geometry.readouts == (Readout(gain=1.0),)


def test_position_of_a_tilted_panel_by_the_formula(tmp_path: Path) -> None:
    """Corner and vectors as the manual defines them, worked out here by hand."""
    fs, ss = "0.6x +0.8y", "-0.64x +0.48y -0.6z"
    own = f"fs={fs}|ss={ss}|corner_x=12.5|corner_y=-7|coffset=-0.01|res=5000"
    geometry = read(tmp_path, geom_text("", own))
    f, s = np.array([0.6, 0.8, 0]), np.array([-0.64, 0.48, -0.6])
    i, j = np.meshgrid(np.arange(10) + 0.5, np.arange(5) + 0.5)
    expected = (np.array([12.5, -7, 0]) + i[..., None] * f + j[..., None] * s) / 5000 + np.array([0, 0, 0.09])
    assert np.abs(centres(geometry.panels[1]) * 1e-3 - expected).max() < 1e-15


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    (panel,) = read(tmp_path, geom_text("fs=2x|ss=0.5y")).panels
    assert panel.pixel_mm == pytest.approx((0.2, 0.05))


@pytest.mark.parametrize(
    ("top", "metres"),
    [("clen = 85 mm", 0.085), ("clen = 85mm", 0.085), ("clen = 0.085 m", 0.085), ("clen=8.5e-2", 0.085)],
)
def test_units_of_clen(tmp_path: Path, top: str, metres: float) -> None:
    assert read(tmp_path, geom_text(top=top)).panels[0].origin_mm[2] == pytest.approx(metres * 1e3, abs=1e-12)


@pytest.mark.parametrize(
    ("top", "angstrom"),
    [
        ("photon_energy = 4570eV", constants.HC_EV_A / 4570),
        ("photon_energy = 4.57 keV ; as for SwissFEL", constants.HC_EV_A / 4570),
        ("photon_energy = 4570", constants.HC_EV_A / 4570),
        ("wavelength = 1.25 A", 1.25),
        ("wavelength = 1.25e-10 m", 1.25),
    ],
)
def test_units_of_the_wavelength(tmp_path: Path, top: str, angstrom: float) -> None:
    assert read(tmp_path, geom_text(top=top)).wavelength_A == pytest.approx(angstrom, rel=1e-14)


def test_a_default_counts_for_panels_named_later(tmp_path: Path) -> None:
    text = geom_text("res=10000", "", "")
    text = text.replace("p1/min_fs", "coffset = 0.001\np1/min_fs", 1)
    text = text.replace("p2/min_fs", "coffset = 0.003\np2/min_fs", 1)
    assert [p.origin_mm[2] for p in read(tmp_path, text).panels] == pytest.approx([100, 101, 103])


def test_what_stands_in_image_files_is_asked_for(tmp_path: Path) -> None:
    text = geom_text(top="clen = /LCLS/detector_1/Encoder\nphoton_energy = /LCLS/photon_energy_eV")
    with pytest.raises(
        nbragg.InputError, match=r'/LCLS/photon_energy_eV.*values=\{"photon_energy": \.\.\.\}'
    ):
        read(tmp_path, text)
    with pytest.raises(nbragg.InputError, match=r'/LCLS/detector_1/Encoder.*values=\{"clen": \.\.\.\}'):
        read(tmp_path, text, photon_energy=9000)
    by_name = read(tmp_path, text, photon_energy=9000, clen="85 mm")
    assert by_name.panels[0].origin_mm[2] == pytest.approx(85)
    assert by_name.wavelength_A == pytest.approx(constants.HC_EV_A / 9000)
    # by the location: in the unit the file names, mm where it names none
    path = tmp_path / "det.geom"
    values = {"/LCLS/detector_1/Encoder": 85, "/LCLS/photon_energy_eV": 9000}
    assert nbragg.read_geometry(path, values=values) == by_name


def test_an_unknown_value_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(nbragg.InputError, match="did you mean 'clen'"):
        read(tmp_path, geom_text(), cleen=3)


def test_no_wavelength_is_asked_for_when_a_beam_is_made(tmp_path: Path) -> None:
    geometry = read(tmp_path, geom_text().replace("photon_energy = 9500 eV", ""))
    assert geometry.wavelength_A is None
    with pytest.raises(nbragg.InputError, match=r"det\.geom does not say the wavelength: give wavelength_A"):
        geometry.beam(polarization=0.9)
    with pytest.raises(nbragg.InputError, match=r"does not say the polarization: give polarization=0\.99"):
        geometry.beam(wavelength_A=1.0)
    beam = geometry.beam(wavelength_A=1.0, polarization=0.9)
    assert (beam.beam_vector, beam.polar_vector, beam.polarization) == ((0, 0, 1), (1, 0, 0), 0.9)
    assert geometry.beam(wavelength_A=1.0, nopolar=True).nopolar


def test_skewed_panels_are_made_orthogonal_symmetrically(tmp_path: Path) -> None:
    skew = 0.01
    text = geom_text(f"fs={math.cos(skew):.12f}x +{math.sin(skew):.12f}y|ss=y")
    with pytest.warns(nbragg.NbraggWarning, match=r"p0 are at 89\.4270 deg: made orthogonal"):
        (panel,) = read(tmp_path, text).panels
    with pytest.warns(
        nbragg.NbraggWarning, match=r"p1 are at 92\.\d+ deg, of 2 such panels the worst"
    ) as told:
        read(tmp_path, geom_text("fs=x +0.01y", "fs=x -0.04y", "fs=x +0.0005y"))
    assert len(told) == 1
    half = skew / 2
    assert panel.fast == pytest.approx((math.cos(half), math.sin(half), 0), abs=1e-10)
    assert panel.slow == pytest.approx((-math.sin(half), math.cos(half), 0), abs=1e-10)


def test_a_little_skew_is_mended_in_silence(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (panel,) = read(tmp_path, geom_text("fs=0.0003420x -0.9999310y|ss=-0.9989760x -0.0000500y")).panels
    assert abs(np.dot(panel.fast, panel.slow)) < 1e-15
    assert not recwarn.list


def test_bad_regions(tmp_path: Path) -> None:
    """Limits of fs and ss belong to a region and count in the data array; those of x and y do not."""
    text = geom_text("min_ss=100|max_ss=104", "corner_x=20", "no_index=true", "mask_edge_pixels=1")
    text += "bad_a/panel = p0\nbad_a/min_fs = 2\nbad_a/max_fs = 3\nbad_a/min_ss = 101\nbad_a/max_ss = 104\n"
    text += "badb/min_x = 24\nbadb/max_x = 27\nbadb/min_y = -100\nbadb/max_y = 0.5\n"
    first, second, third, fourth = (panel.mask for panel in read(tmp_path, text).panels)
    assert first is not None and second is not None and third is not None and fourth is not None
    expected = np.ones((5, 10), np.uint8)
    expected[1:5, 2:4] = 0
    assert (first == expected).all()
    expected = np.ones((5, 10), np.uint8)
    expected[0:3, 5:7] = 0  # x = 25, 26; y = -2, -1, 0
    assert (second == expected).all()
    assert not third.any()
    assert fourth.sum() == 3 * 8


def test_groups(tmp_path: Path) -> None:
    text = geom_text("", "", "") + "rigid_group_q0 = p0,p2\nrigid_group_collection_all = q0\n"
    text += "group_left = p0, p1\ngroup_all = left,p2\n"
    assert read(tmp_path, text).groups == {"q0": (0, 2), "left": (0, 1), "all": (0, 1, 2)}


def test_gain_and_saturation(tmp_path: Path) -> None:
    text = geom_text("max_adu=4000").replace("adu_per_photon = 1", "adu_per_eV = 0.00338")
    (readout,) = read(tmp_path, text).readouts
    assert readout.gain == pytest.approx(0.00338 * 9500)
    assert readout.trusted_range == (-math.inf, 4000)


def test_entries_that_say_nothing_here_are_passed_over(tmp_path: Path) -> None:
    text = geom_text("dim0=%|dim1=ss|dim2=fs", top="data = /data/data\nmask = /mask\nmask_good = 0x0")
    text = "; " + "a long comment " * 400 + "\n" + text
    assert len(read(tmp_path, text).panels) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense\n" + geom_text(), "line 1: 'nonsense' is no statement"),
        (geom_text().replace("p0/fs = x", ""), "p0/fs is missing"),
        (geom_text("fs=1.0q"), r"p0/fs = '1\.0q'; expected a vector"),
        (geom_text("ss=x"), "not at a right angle"),
        (geom_text("max_fs=-4"), "has -3 x 5 pixels"),
        (geom_text("corner_x=here"), "p0/corner_x = 'here'; expected a number"),
        (geom_text("res=0"), "pixels per metre, above 0"),
        (geom_text(top="photon_energy = 9 parsec"), "one of eV"),
        (geom_text(top="photon_energy = -1 eV"), "above 0"),
        (geom_text() + "bad1/panel = q9\nbad1/min_fs = 1\n", "names the panel 'q9'"),
        (geom_text() + "bad1/min_fs = 1\n", "bad1/max_fs is missing"),
        (geom_text() + "bad1/panel = p0\n", "region bad1 needs"),
        (geom_text() + "group_a = nobody\n", "group a names 'nobody'"),
        ("clen = 0.1\nres = 10000\n", "names no panel"),
        (geom_text(top="electron_voltage = 200 kV"), "only X-rays"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(nbragg.FileError, match=words):
        read(tmp_path, text)


WHOLE = geom_text("coffset=0.001", "mask_edge_pixels=1|max_adu=9", top="detector_shift_x = 1 mm")
WHOLE += "badx/min_x = 1\nbadx/max_x = 3\nbada/panel = p0\n"
WHOLE += "".join(f"bada/{end}_{axis} = 1\n" for end in ("min", "max") for axis in ("fs", "ss"))
WHOLE += "group_all = p0,p1\n"
JUNK = ["", "nan", "1e999", "-1", "x", "0", "1 mm", "/a/b", "9" * 400, "=", "1e300x", "p0", "\x00", "é"]


@settings(max_examples=200)
@given(st.integers(0, WHOLE.count("\n") - 1), st.sampled_from(["drop", *JUNK]))
@pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")
def test_a_spoilt_line_is_an_error_in_words_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, which: int, value: str
) -> None:
    lines = WHOLE.splitlines()
    key, _, _ = lines[which].partition("=")
    lines[which] = "" if value == "drop" else f"{key}= {value}"
    path = tmp_path_factory.mktemp("spoilt") / "a.geom"
    path.write_text("\n".join(lines))
    try:
        geometry = nbragg.read_geometry(path)
    except (nbragg.FileError, nbragg.InputError) as error:
        assert str(path) in str(error)
    else:
        assert len(geometry.panels) <= 3


# ---- written and read --------------------------------------------------------------------------------------


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """Panels at any angle, of any pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    nf, ns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    mask = None
    if draw(st.booleans()):
        mask = rng.random((ns, nf)) < 0.7
    return Panel(
        origin_mm=tuple(draw(generic(-300, 300)) for _ in range(3)),
        fast=tuple(turn[0]),
        slow=tuple(turn[1]),
        fpixels=nf,
        spixels=ns,
        pixel_mm=(draw(generic(0.01, 1)), draw(generic(0.01, 1))),
        first=(draw(st.integers(0, 500)), draw(st.integers(0, 500))),
        mask=mask,
        name=draw(st.sampled_from(["", "q0a0", "bad", "with space"])),
    )


@settings(max_examples=60)
@given(
    st.lists(panels(), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.sampled_from(["slab", "stack"])
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, listed: list[Panel], seed: int, layout: str
) -> None:
    path = tmp_path_factory.mktemp("geom") / "written.geom"
    rng = np.random.default_rng(seed)
    beam, polar = rng.normal(size=(2, 3))
    groups = {"some": tuple(range(len(listed)))}
    geometry = Geometry(
        panels=tuple(listed), frame="test", beam_vector=tuple(beam), polar_vector=tuple(polar),
        wavelength_A=float(rng.uniform(0.5, 3)), groups=groups,
    )  # fmt: skip
    nbragg.io.write_geometry(path, geometry, layout=layout)
    back = nbragg.read_geometry(path)
    turned = geometry.turned(crystfel_frame(geometry), "CrystFEL laboratory")
    assert farthest(turned, back) < 1e-12
    assert back.wavelength_A == pytest.approx(geometry.wavelength_A, rel=1e-15)
    assert back.groups == groups
    for one, other in zip(listed, back.panels, strict=True):
        if one.mask is None or one.mask.all():
            assert other.mask is None
        else:
            assert other.mask is not None and (one.mask == other.mask).all()


@settings(max_examples=40)
@given(detectors(frozenset()))
def test_every_convention_goes_out_and_comes_in(
    tmp_path_factory: pytest.TempPathFactory, detector: nbragg.Detector
) -> None:
    """Pixel centres to 1e-9 m, from where the simulation has them."""
    scene = build_scene(
        Crystal(cell=(50, 50, 50, 90, 90, 90), structure_factors=StructureFactors.constant(1)),
        Beam(wavelength_A=1.3),
        detector.replace(curved=False),
        physics="exact",
    )
    path = tmp_path_factory.mktemp("geom") / "scene.geom"
    nbragg.io.write_geometry(path, scene)
    own = Geometry.from_scene(scene)
    back = nbragg.read_geometry(path)
    assert farthest(own.turned(crystfel_frame(own), ""), back) < 1e-12
    g = scene.placement.panel
    centre = g.pix0 + 0.5 * g.pixel[0] * g.fdet + 0.5 * g.pixel[1] * g.sdet
    assert np.abs(crystfel_frame(own) @ centre - centres(back.panels[0])[0, 0] * 1e-3).max() < 1e-12


def test_directions_have_no_exponent(tmp_path: Path) -> None:
    """CrystFEL refuses one there."""
    panel = Panel(
        origin_mm=(0, 0, 99), fast=(1, 3e-9, 0), slow=(-3e-9, 1, 0), fpixels=3, spixels=3, pixel_mm=0.1
    )
    geometry = Geometry(panels=(panel,), frame="", beam_vector=(0, 0, 1), wavelength_A=1.0)
    nbragg.io.write_geometry(tmp_path / "a.geom", geometry)
    lines = (tmp_path / "a.geom").read_text().splitlines()
    written = [line for line in lines if line.startswith(("p0/fs", "p0/ss"))]
    assert len(written) == 2 and not any("e" in line.partition("=")[2] for line in written)


def test_the_array_that_is_described(tmp_path: Path) -> None:
    one = Panel(origin_mm=(0, 0, 99), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=4, spixels=3, pixel_mm=0.1)
    two = Geometry(
        panels=(one, one), frame="", beam_vector=(0, 0, 1), wavelength_A=1.0, polar_vector=(1, 0, 0)
    )
    nbragg.io.write_geometry(tmp_path / "slab.geom", two)
    text = (tmp_path / "slab.geom").read_text()
    assert "p1/min_ss = 3" in text and "p1/max_ss = 5" in text and "dim" not in text
    nbragg.io.write_geometry(tmp_path / "stack.geom", two, layout="stack", frames=True, adu_per_photon=2.5)
    text = (tmp_path / "stack.geom").read_text()
    assert [f"p1/dim{i} = {axis}" in text for i, axis in enumerate(["%", "1", "ss", "fs"])] == [True] * 4
    assert "p1/min_ss = 0" in text and "p1/adu_per_photon = 2.5" in text


@pytest.mark.parametrize("seed", range(4))
def test_rectangles_of_a_mask_are_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.random((5, 6)) < 0.5, np.ones((rng.integers(1, 5), 3))).astype(np.uint8)
    rectangles = masked_rectangles(mask, 10**6)
    assert rectangles is not None
    assert np.array_equal(mask_of(rectangles, mask.shape), mask)
    assert sum((b - a + 1) * (d - c + 1) for a, b, c, d in rectangles) == int((mask == 0).sum())
    assert masked_rectangles(mask, len(rectangles) - 1) is None


def test_a_rugged_mask_is_left_out_with_a_warning(tmp_path: Path) -> None:
    mask = np.indices((60, 60)).sum(axis=0) % 2
    assert masked_rectangles(mask.astype(np.uint8), 10**6) is not None
    panel = Panel(
        origin_mm=(0, 0, 99), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=60, spixels=60, pixel_mm=0.1, mask=mask
    )  # fmt: skip
    geometry = Geometry(panels=(panel,), frame="", beam_vector=(0, 0, 1), wavelength_A=1.0)
    with pytest.warns(nbragg.NbraggWarning, match="takes more than 1000 rectangles"):
        nbragg.io.write_geometry(tmp_path / "a.geom", geometry)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"wavelength_A": None}, {}, "give the geometry a wavelength_A"),
        ({}, {"layout": "pile"}, "one of slab, stack"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, changes: dict[str, object], options: dict[str, str], words: str
) -> None:
    panel = Panel(origin_mm=(0, 0, 99), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=3, spixels=3, pixel_mm=0.1)
    geometry = Geometry(panels=(panel,), frame="", beam_vector=(0, 0, 1), wavelength_A=1.0).replace(**changes)
    with pytest.raises(nbragg.InputError, match=words):
        nbragg.io.write_geometry(tmp_path / "a.geom", geometry, **options)
    with pytest.raises(nbragg.InputError, match=r"use \.geom"):
        nbragg.io.write_geometry(tmp_path / "a.nxs", geometry)

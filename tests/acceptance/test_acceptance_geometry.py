"""Acceptance: where the detector stands, where the beam hits it, and how large its pixels look."""

from __future__ import annotations

import math
import warnings
from typing import Any

import acceptance as a
import golden_cases as g
import numpy as np
import oracle
import pytest
from parts import build_scene

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.base.errors import NbraggWarning

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

CONVENTIONS = ("mosflm", "xds", "adxv", "denzo", "dials")
# the table of canonical 3.2: b, f, s, o, t and the pivot
TABLE = {
    "adxv": ((0, 0, 1), (1, 0, 0), (0, -1, 0), (0, 0, 1), (-1, 0, 0), "beam"),
    "mosflm": ((1, 0, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 0, -1), "beam"),
    "denzo": ((1, 0, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 0, -1), "beam"),
    "xds": ((0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), "sample"),
    "dials": ((0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0), "sample"),
}
CRYSTAL = Crystal(cell=(50, 60, 70, 80, 95, 103), structure_factors=StructureFactors.constant(1.0))


def scene(physics: str = "nanobragg", **detector: Any) -> Any:
    """A Scene that matters for its geometry alone."""
    kw: dict[str, Any] = {"fpixels": 30, "spixels": 20} | detector
    return build_scene(CRYSTAL, Beam(), Detector(**kw), Sampling(oversample=1), physics=physics)


def test_mosflm_half_pixel() -> None:
    """AT-GEO-001: the beam centre of MOSFLM is half a pixel from the beam's spot along both axes."""
    found = scene(pixel_mm=0.1, distance_mm=100, Xbeam_mm=51.2, Ybeam_mm=51.2, fpixels=1024, spixels=1024)
    assert np.abs(found.panel.pix0 - (0.1, 0.05125, -0.05125)).max() <= 1e-9


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pivot_of_named_conventions(convention: str) -> None:
    """AT-GEO-002: a named convention has the table's pivot; exact physics honours the given one."""
    table = TABLE[convention][-1]
    other = "sample" if table == "beam" else "beam"
    with warnings.catch_warnings():
        warnings.simplefilter("error", NbraggWarning)
        warnings.filterwarnings("ignore", "as in the reference program")
        assert scene(convention=convention).placement.panel.pivot == table
        assert scene(convention=convention, pivot=table).placement.panel.pivot == table
        assert scene("exact", convention=convention, pivot=other).placement.panel.pivot == other
    with pytest.warns(NbraggWarning, match="pivot"):
        assert scene(convention=convention, pivot=other).placement.panel.pivot == table
    tilted: dict[str, Any] = {"convention": convention, "roty_deg": 8.0, "rotx_deg": 3.0, "ORGX": 3.0}
    exact = scene("exact", **tilted, pivot=other).panel.pix0
    assert np.linalg.norm(exact - scene("exact", **tilted).panel.pix0) > 1e-4
    assert np.array_equal(scene(**tilted, pivot=other).panel.pix0, scene(**tilted).panel.pix0)


@pytest.mark.parametrize(
    ("line", "pivot"),
    [
        ("-beam_vector 1 0 0", "beam"),
        ("-beam_vector 1 0 0 -distance 90", "beam"),
        ("-beam_vector 1 0 0 -twotheta 5", "sample"),
        ("-twotheta 5 -beam_vector 1 0 0", "sample"),
        ("-beam_vector 1 0 0 -twotheta 5 -distance 90", "beam"),
        ("-beam_vector 1 0 0 -distance 90 -twotheta 5", "sample"),
        ("-beam_vector 1 0 0 -close_distance 90", "sample"),
        ("-beam_vector 1 0 0 -Xclose 1", "sample"),
        ("-beam_vector 1 0 0 -Yclose 1 -Xbeam 1", "beam"),
        ("-beam_vector 1 0 0 -Ybeam 1 -ORGX 5", "sample"),
        ("-beam_vector 1 0 0 -ORGY 5 -Ybeam 1", "beam"),
        ("-beam_vector 1 0 0 -pivot sample", "sample"),
        ("-beam_vector 1 0 0 -pivot sample -distance 90", "beam"),
        ("-beam_vector 1 0 0 -distance 90 -pivot sample", "sample"),
        ("-xds -beam_vector 1 0 0", "sample"),
        ("-mosflm -twotheta 5 -beam_vector 1 0 0", "sample"),
        ("-twotheta 5 -mosflm -beam_vector 1 0 0", "beam"),
        ("-beam_vector 1 0 0 -twotheta 5 -mosflm", "beam"),
        ("-beam_vector 1 0 0 -twotheta 5 -xds", "sample"),
        ("-twotheta_axis 0 1 0", "beam"),
        ("-mosflm -twotheta 5 -close_distance 90 -pivot sample", "beam"),
    ],
)
def test_pivot_in_order_of_the_line(line: str, pivot: str) -> None:
    """AT-GEO-002: canonical 3.4, the order of the options counts for custom vectors only."""
    assert g.scene_of(a.words("-cell 50 -default_F 1 -detpixels 20", line)).placement.panel.pivot == pivot


@pytest.mark.parametrize("pivot", ["beam", "sample"])
@pytest.mark.parametrize(
    "angles", [(0, 0, 0, 0), (5, 3, 2, 0), (-11, 7, 31, 0), (5, 3, 2, 12), (1, -2, 40, -25)]
)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_tilt_keeps_distance_and_beam_centre(convention: str, angles: tuple[float, ...], pivot: str) -> None:
    """AT-GEO-003: distance = close_distance/ratio, and what the detector turns about stays where it was."""
    rotx, roty, rotz, twotheta = angles
    centre = {"Xbeam_mm": 1.3, "Ybeam_mm": 0.7} if pivot == "beam" else {"ORGX": 11.2, "ORGY": 6.7}
    kw: dict[str, Any] = {"convention": convention, "pivot": pivot, "distance_mm": 87.0} | centre
    turn = {"rotx_deg": rotx, "roty_deg": roty, "rotz_deg": rotz, "twotheta_deg": twotheta}
    flat, tilted = scene("exact", **kw), scene("exact", **kw, **turn)
    beam, f, s, o, t = (np.array(v, float) for v in TABLE[convention][:5])
    swing = a.rotation(t, twotheta)
    turned = a.rot_xyz(rotx, roty, rotz)
    assert np.abs(tilted.panel.fdet - swing @ turned @ f).max() < 1e-12
    assert np.abs(tilted.panel.sdet - swing @ turned @ s).max() < 1e-12
    assert np.abs(tilted.panel.odet - swing @ turned @ o).max() < 1e-12
    ratio = beam @ turned @ o
    assert math.isclose(tilted.placement.panel.ratio, ratio, rel_tol=1e-12)
    assert math.isclose(tilted.panel.distance, tilted.panel.close_distance / ratio, rel_tol=1e-12)
    assert math.isclose(tilted.panel.close_distance, tilted.panel.pix0 @ tilted.panel.odet, rel_tol=1e-12)
    if pivot == "beam":
        # the pixel the beam hit before, in detector coordinates, is still distance * beam away
        place = flat.placement.panel.Fbeam, flat.placement.panel.Sbeam
        spot = tilted.panel.pix0 + place[0] * tilted.panel.fdet + place[1] * tilted.panel.sdet
        assert np.abs(spot - 0.087 * beam).max() < 1e-12 * 0.087
        if twotheta == 0:
            assert np.allclose(
                (tilted.placement.panel.Fbeam, tilted.placement.panel.Sbeam), place, rtol=1e-12
            )
            assert math.isclose(tilted.panel.distance, 0.087, rel_tol=1e-12)
    else:
        near = (11.2 - 0.5) * 1e-4, (6.7 - 0.5) * 1e-4
        assert np.allclose((tilted.placement.panel.Fclose, tilted.placement.panel.Sclose), near, rtol=1e-12)
        assert math.isclose(tilted.panel.close_distance, abs(ratio) * 0.087, rel_tol=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_twotheta_axis(convention: str) -> None:
    """AT-GEO-004: each convention swings its detector about its own axis."""
    *_, f, s, o, t, _ = TABLE[convention]
    found = scene(convention=convention, twotheta_deg=17)
    assert np.array_equal(found.placement.panel.twotheta_axis, np.array(t, float))
    for axis, start in ((found.panel.fdet, f), (found.panel.sdet, s), (found.panel.odet, o)):
        assert np.abs(axis - a.rotation(t, 17) @ start).max() < 1e-14


def test_twotheta_axis_of_custom() -> None:
    """AT-GEO-004: custom swings about y unless told, and a given axis is normalised."""
    custom: dict[str, Any] = {"convention": "custom", "twotheta_deg": 17}
    assert np.array_equal(scene(**custom).placement.panel.twotheta_axis, (0, 1, 0))
    given = scene(**custom, twotheta_axis=(0, 0, -2))
    assert np.array_equal(given.placement.panel.twotheta_axis, (0, 0, -1))
    assert np.abs(given.panel.odet - a.rotation((0, 0, -1), 17) @ (1, 0, 0)).max() < 1e-14
    a.assert_golden("geometry/twotheta_axis")


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_curved_detector(convention: str, physics: str) -> None:
    """AT-GEO-005: every pixel of a curved detector is at `distance`, so a flat crystal makes a flat image."""
    line = (
        f"{a.FLAT} -{convention} -nopolar -curved_det -distance 33 -pixel 0.7 -detpixels_f 40 -detpixels_s 30"
    )
    image = a.double(line, "-physics", physics)
    expected = a.UNIT * 0.7e-3**2 / 0.033**2
    assert np.abs(image / expected - 1).max() <= 1e-12


def test_curved_detector_exact_axes() -> None:
    """AT-GEO-005: exact physics bends along fast and slow, and neither axis runs backwards."""
    for convention in CONVENTIONS:
        kw = {"convention": convention, "distance_mm": 20.0, "pixel_mm": 0.5, "curved": True}
        bent = scene("exact", **kw)
        s, f = np.mgrid[:20, :30]
        place = oracle.position(bent.panel, bent.oversample, f, s, 0, 0, 0).astype(float)
        row, column = 10, 15  # the beam's own
        for line, axis in ((place[row, :], bent.panel.fdet), (place[:, column], bent.panel.sdet)):
            along = line @ axis
            assert (np.diff(along) > 0).all(), convention
    a.assert_golden("geometry/curved")
    a.assert_golden("geometry/curved_xds")


@pytest.mark.parametrize("tilt", ["", "-detector_rotx 21 -detector_roty -17 -twotheta 33"])
@pytest.mark.parametrize("point", [False, True])
def test_solid_angle(point: bool, tilt: str) -> None:
    """AT-GEO-006: px^2 close_distance/R^3, or 1/R^2 with -point_pixel."""
    line = a.words(
        a.FLAT, "-nopolar -distance 25 -pixel 0.6 -detpixels 40", tilt, "-point_pixel" if point else ""
    )
    found = g.scene_of(line)
    place = a.pixel_centres(found)
    R = np.sqrt((place**2).sum(axis=-1))
    normal = np.cross(found.panel.fdet, found.panel.sdet)
    expected = 1 / R**2 if point else 0.6e-3**2 * (found.panel.pix0 @ normal) / R**3
    assert np.abs(a.double(line) / (a.UNIT * expected) - 1).max() <= 1e-12


def test_header_precedence(folder: Any) -> None:
    """AT-PRE-001: -img and -mask set the geometry, options override them wherever they stand."""
    g.prepare("output/mask", folder)
    a.assert_golden("output/img_header")
    a.assert_golden("output/mask")
    base = "-cell 50 -default_F 1"

    def of(line: str) -> Any:
        return g.scene_of(a.words(base, line))

    assert math.isclose(of("-img img_in.img").placement.wavelength, 1.7e-10)
    assert math.isclose(of("-mask mask_in.img").placement.wavelength, 1.4e-10)
    for line in ("-mask mask_in.img -img img_in.img", "-img img_in.img -mask mask_in.img"):
        both = of(line)
        assert math.isclose(both.placement.wavelength, 1.7e-10) and math.isclose(both.panel.pixel[0], 0.12e-3)
        assert both.panel.mask is not None and (both.panel.mask == 0).any()
    for line in ("-lambda 1.1 -img img_in.img", "-img img_in.img -lambda 1.1"):
        assert math.isclose(of(line).placement.wavelength, 1.1e-10)
    assert of("-img img_in.img").panel.fpixels == 72
    assert math.isclose(math.degrees(of("-img img_in.img").placement.phi0), 2)
    assert math.isclose(math.degrees(of("-img img_in.img").placement.osc), 1)
    assert of("-img img_in.img").placement.panel.twotheta == 0


def test_beam_centre_flags(folder: Any) -> None:
    """AT-PRE-002: -Xbeam and friends in every convention, the mask's flipped y, defaults from the size."""
    px, d = 1e-4, 0.1
    size = "-cell 50 -default_F 1 -detpixels_f 40 -detpixels_s 30 -pixel 0.1"
    df, ds = 40 * px, 30 * px
    expected = {  # (given 1.1 and 0.8 mm), default
        "mosflm": ((0.8e-3 + px / 2, 1.1e-3 + px / 2), ((df + px) / 2 + px / 2, (ds + px) / 2 + px / 2)),
        "denzo": ((0.8e-3, 1.1e-3), ((df + px) / 2, (ds + px) / 2)),
        "adxv": ((1.1e-3, ds - 0.8e-3), ((df + px) / 2, ds - (ds - px) / 2)),
        "xds": ((df / 2, ds / 2), (df / 2, ds / 2)),  # pivot sample: the near point places it
        "dials": ((df / 2, ds / 2), (df / 2, ds / 2)),
    }
    for convention, (given, default) in expected.items():
        b, f, s, *_ = (np.array(v, float) for v in TABLE[convention][:3])
        for line, (F, S) in ((f"-{convention} -Xbeam 1.1 -Ybeam 0.8", given), (f"-{convention}", default)):
            found = g.scene_of(a.words(size, line))
            assert np.abs(found.panel.pix0 - (d * b - F * f - S * s)).max() < 1e-15, (convention, line)
    g.prepare("output/mask", folder)
    found = g.scene_of("-cell 50 -default_F 1 -mask mask_in.img")
    assert math.isclose(found.placement.panel.Ybeam, 72 * 0.15e-3 - 4e-3, rel_tol=1e-12)
    for case_id in ("xclose_yclose", "orgx_orgy", "orgx_orgy_dials", "close_distance", "close_distance_xds"):
        a.assert_golden(f"geometry/{case_id}")


@pytest.mark.parametrize("case_id", [case_id for case_id in g.IDS if case_id.startswith("geometry/")])
def test_geometry_goldens(case_id: str) -> None:
    """AT-GEO-002, AT-GEO-003, AT-GEO-004: every convention, centred and tilted, as the reference draws it."""
    a.assert_golden(case_id)

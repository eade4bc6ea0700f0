"""Placing the detector: conventions, pivots, exact physics, warnings (canonical 3, 11)."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from parts import detector_geometry

from nbragg import Beam, Detector, InputError, NbraggWarning
from nbragg.model.conventions import CONVENTIONS
from nbragg.scene.detector_geometry import DetectorGeometry

SMALL = {"fpixels": 110, "spixels": 84, "pixel_mm": 0.2}


def quiet(detector: Detector, beam: Beam | None = None, **options: Any) -> DetectorGeometry:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return detector_geometry(detector, beam or Beam(), **options)


def test_mosflm_half_pixel() -> None:
    """AT-GEO-001."""
    place = quiet(Detector(distance_mm=100, Xbeam_mm=51.2, Ybeam_mm=51.2, fpixels=1024, spixels=1024))
    np.testing.assert_allclose(place.pix0, [0.1, 0.05125, -0.05125], atol=1e-12)


@pytest.mark.parametrize("name", [name for name in CONVENTIONS if name != "custom"])
@pytest.mark.parametrize("exact", [False, True])
def test_default_beam_centre_is_the_image_centre(name: str, exact: bool) -> None:
    """The direct beam lands within a pixel of the middle, whatever the convention's bookkeeping."""
    place = quiet(Detector(convention=name, **SMALL), exact=exact)
    assert abs(place.Fbeam - place.detsize_f / 2) <= 1.0001 * place.pixel[0]
    assert abs(place.Sbeam - place.detsize_s / 2) <= 1.0001 * place.pixel[0]
    assert place.close_distance == pytest.approx(0.1, rel=1e-14)
    np.testing.assert_allclose(place.pix0 @ place.odet, place.close_distance, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "F", "S"),
    [
        ("mosflm", 12.1 + 0.1, 9.3 + 0.1),
        ("denzo", 12.1, 9.3),
        ("adxv", 9.3, 16.8 - 12.1),
    ],
)
def test_beam_centre_of_beam_pivots(name: str, F: float, S: float) -> None:
    """Canonical 3.2: Xbeam, Ybeam along fast and slow, kept when the detector is tilted (AT-GEO-003)."""
    detector = Detector(
        convention=name, Xbeam_mm=9.3, Ybeam_mm=12.1, rotx_deg=5, roty_deg=3, rotz_deg=2, **SMALL
    )
    place = quiet(detector)
    assert (place.Fbeam * 1e3, place.Sbeam * 1e3) == pytest.approx((F, S), rel=1e-12)
    assert place.distance == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("name", ["xds", "dials"])
def test_near_point_of_sample_pivots(name: str) -> None:
    detector = Detector(convention=name, ORGX=31, ORGY=57, twotheta_deg=7, rotx_deg=3, **SMALL)
    place = quiet(detector)
    assert pytest.approx((31, 57), rel=1e-12) == (place.ORGX, place.ORGY)
    assert place.close_distance == pytest.approx(abs(place.ratio) * 0.1, rel=1e-12)


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_twotheta_axis(name: str) -> None:
    """AT-GEO-004: the normal swings about the convention's axis; a given one is normalised."""
    row = CONVENTIONS[name]
    place = quiet(Detector(convention=name, twotheta_deg=30, **SMALL))
    axis = np.array(row.twotheta_axis)
    n = np.array(row.normal)
    along = axis * (axis @ n)
    expected = (
        along + (n - along) * math.cos(math.radians(30)) + np.cross(axis, n) * math.sin(math.radians(30))
    )
    np.testing.assert_allclose(place.odet, expected, atol=1e-15)
    longer = quiet(Detector(convention="custom", twotheta_axis=(0, 7, 0), twotheta_deg=30, **SMALL))
    np.testing.assert_allclose(np.linalg.norm(longer.odet), 1, rtol=1e-15)


def test_a_vector_selects_custom() -> None:
    place = quiet(Detector(**SMALL), Beam(beam_vector=(1, 0.02, -0.01)))
    assert place.convention == "custom"
    assert place.pivot == "beam"
    np.testing.assert_allclose(place.beam_vector, np.array([1, 0.02, -0.01]) / math.sqrt(1.0005), rtol=1e-15)
    assert quiet(Detector(**SMALL), spindle_axis=(0, 1, 0)).convention == "custom"
    with pytest.warns(NbraggWarning, match="beam_vector without effect: convention 'xds'"):
        place = detector_geometry(Detector(convention="xds", **SMALL), Beam(beam_vector=(1, 0, 0)))
    np.testing.assert_array_equal(place.beam_vector, [0, 0, 1])


@pytest.mark.parametrize(
    "given", ["close_distance_mm", "Xclose_mm", "Yclose_mm", "ORGX", "ORGY", "twotheta_deg"]
)
def test_custom_pivots_about_the_sample_when_the_near_point_is_given(given: str) -> None:
    """AT-GEO-002."""
    detector = Detector(convention="custom", **SMALL, **{given: 20.0})
    assert quiet(detector).pivot == "sample"
    assert detector_geometry(detector.replace(pivot="beam"), Beam()).pivot == "beam"


def test_lost_pivot() -> None:
    """Canonical 3.4, 11; AT-GEO-002."""
    detector = Detector(pivot="sample", twotheta_deg=15, **SMALL)
    with pytest.warns(NbraggWarning, match="pivot 'sample' is lost"):
        place = detector_geometry(detector, Beam())
    assert place.pivot == "beam"
    np.testing.assert_array_equal(place.pix0, quiet(detector.replace(pivot=None)).pix0)
    exact = quiet(detector, exact=True)
    assert exact.pivot == "sample"
    assert exact.Fclose == pytest.approx(exact.detsize_f / 2, rel=1e-12)
    assert exact.close_distance == pytest.approx(0.1, rel=1e-12)


def test_near_point_in_mm() -> None:
    """Xclose, Yclose: ignored on an XDS detector with a warning, honoured by exact (canonical 11)."""
    detector = Detector(convention="xds", Xclose_mm=3.1, Yclose_mm=5.2, **SMALL)
    with pytest.warns(NbraggWarning, match="[XY]close_mm has no effect"):
        place = detector_geometry(detector, Beam())
    assert (place.Fclose, place.Sclose) == pytest.approx((place.detsize_f / 2, place.detsize_s / 2))
    assert (place.Xbeam, place.Ybeam) == pytest.approx((3.1e-3, 5.2e-3))
    exact = quiet(detector, exact=True)
    assert (exact.Fclose, exact.Sclose) == pytest.approx((3.1e-3, 5.2e-3), rel=1e-12)


def test_given_first_pixel() -> None:
    """pix0_vector: only selects custom, with a warning; exact puts the detector there (canonical 11)."""
    detector = Detector(pix0_vector_m=(0.1, 0.005, -0.004), **SMALL)
    with pytest.warns(NbraggWarning, match="pix0_vector_m has no effect"):
        place = detector_geometry(detector, Beam())
    assert place.convention == "custom"
    assert not np.allclose(place.pix0, [0.1, 0.005, -0.004])
    np.testing.assert_array_equal(quiet(detector, exact=True).pix0, [0.1, 0.005, -0.004])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"convention": "xds", "Xbeam_mm": 4.0}, "Xbeam_mm has no effect"),
        ({"ORGX": 4.0}, "ORGX has no effect"),
        ({"Yclose_mm": 4.0}, "Yclose_mm has no effect"),
        ({"convention": "custom", "Xbeam_mm": 4.0, "ORGX": 5.0}, "ORGX has no effect"),
        ({"convention": "custom", "Xclose_mm": 4.0, "ORGX": 5.0}, "ORGX has no effect"),
        ({"distance_mm": 100, "close_distance_mm": 90}, "distance_mm 100 has no effect"),
        ({"odet_vector": (3, 0, 0)}, "odet_vector .* replaced"),
        ({"twotheta_deg": 120}, "seen from behind"),
        ({"roty_deg": 120}, "upstream"),
    ],
)
def test_input_without_effect(fields: dict[str, Any], said: str) -> None:
    """One warning, one line, naming the argument."""
    with pytest.warns(NbraggWarning) as caught:
        detector_geometry(Detector(**SMALL, **fields), Beam())
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    with pytest.warns(NbraggWarning, match=said):
        detector_geometry(Detector(**SMALL, **fields), Beam())


@pytest.mark.parametrize("name", list(CONVENTIONS))
@pytest.mark.parametrize("exact", [False, True])
def test_ignored_is_what_changes_nothing(name: str, exact: bool) -> None:
    """A centre that is not warned of moves the detector, one that is warned of does not."""
    for field in ("Xbeam_mm", "Ybeam_mm", "Xclose_mm", "Yclose_mm", "ORGX", "ORGY"):
        plain = Detector(convention=name, pivot=CONVENTIONS[name].pivot, **SMALL)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            moved = detector_geometry(plain.replace(**{field: 7.0}), Beam(), exact=exact)
        same = np.array_equal(moved.pix0, quiet(plain, exact=exact).pix0)
        assert same == any(field in str(w.message) for w in caught), field


def test_unnormalised_normal() -> None:
    """Canonical 3.2: replaced by unit(f x s)."""
    detector = Detector(fdet_vector=(0, 0, 2), sdet_vector=(0, -1, 0.1), odet_vector=(3, 0, 0), **SMALL)
    with pytest.warns(NbraggWarning, match="odet_vector"):
        place = detector_geometry(detector, Beam())
    np.testing.assert_allclose(place.odet, [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(place.fdet, [0, 0, 1], atol=1e-15)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fdet_vector": (0, 0, 1), "sdet_vector": (0, 0, -2)}, "parallel"),
        ({"twotheta_deg": 90}, "passes through the sample"),
        ({"convention": "xds", "rotx_deg": 90}, "passes through the sample"),
        ({"fpixels": None, "detsize_f_mm": 0.05}, "detsize_f_mm 0.05"),
    ],
)
def test_impossible_detectors(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        detector_geometry(Detector(**{**SMALL, **fields}), Beam())


@pytest.mark.parametrize(
    ("size", "pixel", "pixels"), [(102.4, 0.1, 1024), (12.0, 0.17, 71), (15.3, 0.17, 90), (1.04, 0.1, 10)]
)
def test_pixels_from_size(size: float, pixel: float, pixels: int) -> None:
    """Canonical 2: ceil(size/pixel - 0.5); the size stays the edge that the beam centre refers to."""
    place = quiet(Detector(detsize_f_mm=size, detsize_s_mm=size, pixel_mm=pixel))
    assert place.fpixels == place.spixels == pixels
    assert place.Xbeam == pytest.approx((size + pixel) / 2e3, rel=1e-12)


def test_dials_origin_and_orgx() -> None:
    """Canonical 3.3, step 7."""
    place = quiet(Detector(rotx_deg=5, twotheta_deg=4, **SMALL))
    x, y, z = place.pix0
    np.testing.assert_allclose(place.dials_origin_mm, [1e3 * z, 1e3 * y, -1e3 * x], rtol=1e-15)
    assert pytest.approx(-place.pix0 @ place.fdet / 2e-4 + 0.5, rel=1e-14) == place.ORGX

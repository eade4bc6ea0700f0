"""Detector input that is accepted and does nothing, each said in one line (canonical 11)."""

from __future__ import annotations

from ..base.warn import warn
from ..model.detector import Detector
from ..model.physics import Physics

__all__ = ["warn_of_ignored_input"]


def warn_of_ignored_input(detector: Detector, convention: str, pivot: str, physics: Physics) -> None:
    """Warn of a beam centre, near point or origin without effect on the image (canonical 3.2, 3.3, 11)."""
    exact = physics.honours_placing
    placed = exact and convention == "custom" and detector.pix0_vector_m is not None
    if detector.pix0_vector_m is not None and not placed:
        warn(
            "pix0_vector_m has no effect but to select convention 'custom'; "
            "use physics 'exact' to place the detector"
        )
    axes = (
        ("X", detector.Xbeam_mm, detector.Xclose_mm, detector.ORGX),
        ("Y", detector.Ybeam_mm, detector.Yclose_mm, detector.ORGY),
    )
    for axis, beam, close, origin in axes:
        ignored = _ignored_of_axis(
            convention,
            pivot,
            beam=beam is not None,
            close=close is not None,
            origin=origin is not None,
            exact=exact,
        )
        if placed:
            ignored = dict.fromkeys(("beam", "close", "origin"), "pix0_vector_m places the detector")
        for what, name, value in (
            ("beam", f"{axis}beam_mm", beam),
            ("close", f"{axis}close_mm", close),
            ("origin", f"ORG{axis}", origin),
        ):
            if value is not None and what in ignored and name not in detector.header_fields:
                warn(f"{name} has no effect on the image: {ignored[what]}")


def _ignored_of_axis(
    convention: str, pivot: str, *, beam: bool, close: bool, origin: bool, exact: bool
) -> dict[str, str]:
    """Which of beam centre, near point (mm) and origin (pixels) are lost on one axis, and why."""
    # XDS, DIALS and custom take the near point as the beam centre where no beam centre is given
    near_point_is_beam = convention in ("xds", "dials", "custom") and not beam
    own_pivot = f"convention {convention!r} with pivot {pivot!r}"
    lost: dict[str, str] = {}
    if pivot == "beam":
        if not near_point_is_beam:
            lost["close"] = lost["origin"] = f"{own_pivot} places the detector by the beam centre"
        elif close:
            lost["origin"] = "the near point is given in mm"
        return lost
    near_point_placed = exact and (close or origin)
    if convention == "custom" and not near_point_placed:
        if beam:
            lost["close"] = lost["origin"] = "convention 'custom' places the detector by the beam centre"
        elif close:
            lost["origin"] = "the near point is given in mm"
        return lost
    lost["beam"] = f"{own_pivot} places the detector by the near point (ORGX, ORGY)"
    if not exact:
        lost["close"] = f"{own_pivot} takes the near point from ORGX, ORGY; or use physics 'exact'"
    elif close and origin:
        lost["close"] = "the near point is given in pixels"
    return lost

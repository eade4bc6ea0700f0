"""The beam-centre conventions of the field, as one table (canonical 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONVENTIONS", "Convention"]

Vector = tuple[float, float, float]

_X: Vector = (1.0, 0.0, 0.0)
_Y: Vector = (0.0, 1.0, 0.0)
_Z: Vector = (0.0, 0.0, 1.0)
_MINUS_X: Vector = (-1.0, 0.0, 0.0)
_MINUS_Y: Vector = (0.0, -1.0, 0.0)
_MINUS_Z: Vector = (0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Convention:
    """One row of the table of canonical 3.2.

    Attributes
    ----------
    beam, fast, slow, normal, twotheta_axis, polar, spindle : 3 floats
        Unit vectors in the laboratory frame.
    pivot : str
        ``"beam"`` or ``"sample"``.
    beam_centre : str
        How Xbeam, Ybeam are read: ``"adxv"``, ``"mosflm"``, ``"denzo"`` or ``"fast-slow"``.
    """

    name: str
    beam: Vector
    fast: Vector
    slow: Vector
    normal: Vector
    twotheta_axis: Vector
    polar: Vector
    spindle: Vector
    pivot: str
    beam_centre: str

    def default_beam_centre(
        self, detsize: tuple[float, float], pixel: tuple[float, float], near_point: tuple[float, float]
    ) -> tuple[float, float]:
        """Xbeam, Ybeam where none are given, from edges (df, ds) and near point (Xclose, Yclose); m."""
        (df, ds), (pf, ps) = detsize, pixel
        if self.beam_centre == "adxv":
            return (df + pf) / 2, (ds - ps) / 2
        if self.beam_centre in ("mosflm", "denzo"):
            return (ds + ps) / 2, (df + pf) / 2
        return near_point

    def beam_spot(
        self, beam_centre: tuple[float, float], detsize: tuple[float, float], pixel: tuple[float, float]
    ) -> tuple[float, float]:
        """Fbeam, Sbeam: the beam centre along fast and slow from the outer corner of the first pixel; m."""
        xbeam, ybeam = beam_centre
        if self.beam_centre == "adxv":
            return xbeam, detsize[1] - ybeam
        if self.beam_centre == "mosflm":
            return ybeam + pixel[0] / 2, xbeam + pixel[1] / 2
        if self.beam_centre == "denzo":
            return ybeam, xbeam
        return xbeam, ybeam


CONVENTIONS: dict[str, Convention] = {
    row.name: row
    for row in (
        #          name      beam fast slow     normal t         polar spindle pivot    beam centre
        Convention("mosflm", _X, _Z, _MINUS_Y, _X, _MINUS_Z, _Z, _Z, "beam", "mosflm"),
        Convention("denzo", _X, _Z, _MINUS_Y, _X, _MINUS_Z, _Z, _Z, "beam", "denzo"),
        Convention("adxv", _Z, _X, _MINUS_Y, _Z, _MINUS_X, _X, _X, "beam", "adxv"),
        Convention("xds", _Z, _X, _Y, _Z, _X, _X, _X, "sample", "fast-slow"),
        Convention("dials", _Z, _X, _Y, _Z, _Y, _Y, _Y, "sample", "fast-slow"),
        # what is not given: the MOSFLM vectors, except the two-theta axis
        Convention("custom", _X, _Z, _MINUS_Y, _X, _Y, _Z, _Z, "beam", "fast-slow"),
    )
}

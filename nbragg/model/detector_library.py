"""The library of detectors by name (beyond 18.6): one registry.

Sizes and gaps are those of pyFAI, EXtra-geom and the makers; what is nominal or typical is said with each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.cached import cached_property
from ..base.errors import InputError
from ..base.names import suggestion
from .conventions import CONVENTIONS
from .detector_layouts import LAYOUTS, Layout
from .module_grid import ModuleGrid
from .panel import Panel

__all__ = ["LIBRARY", "NamedDetector", "detector_names", "library_entry", "middle_fields"]

#: fields that place a detector of one panel sideways, axis by axis
_CENTRES = {axis: (f"{axis}beam_mm", f"{axis}close_mm", f"ORG{axis}") for axis in "XY"}

#: said of every sensor that no source is named for
_TYPICAL = "sensor typical, to be confirmed with the facility before use as truth"


@dataclass(frozen=True)
class NamedDetector:
    """A detector of the library.

    Attributes
    ----------
    name : str
    title : str
        As its maker writes it.
    pixel_mm : (fast, slow)
    grid : ModuleGrid or None
        Of a detector of one panel.
    sensors : tuple of (material, um)
        The usual sensor first, then those that are made to order; empty for a phosphor, which is taken to
        capture every photon.
    kind : str
        ``"counting"``, ``"integrating"`` or ``"gain switching"``.
    bits : str
        Of its pixels, for people.
    preset : str
        Name of its `DetectorResponse` preset; "" where there is none.
    source : str
        Where the numbers come from, and which are typical or nominal.
    """

    name: str
    title: str
    pixel_mm: tuple[float, float]
    grid: ModuleGrid | None
    sensors: tuple[tuple[str, float], ...]
    kind: str
    bits: str
    preset: str
    source: str

    @cached_property
    def layout(self) -> Layout | None:
        """Tiles of a detector of several panels."""
        return None if self.grid else LAYOUTS[self.name]()

    @property
    def panels(self) -> int:
        return 1 if self.layout is None else len(self.layout.tiles)

    @property
    def panel_pixels(self) -> tuple[int, int]:
        """Pixels of a panel along fast and slow, gaps included."""
        if self.grid is not None:
            return self.grid.pixels
        assert self.layout is not None
        return self.layout.size

    @property
    def masked(self) -> int:
        """Pixels in gaps between modules."""
        return 0 if self.grid is None else self.grid.masked

    @property
    def extent_mm(self) -> tuple[float, float]:
        """Width and height from edge to edge, seen along the beam."""
        if self.layout is None:
            pixels, (pf, ps) = self.panel_pixels, self.pixel_mm
            return pixels[0] * pf, pixels[1] * ps
        (nf, ns), (pf, ps) = self.layout.size, self.layout.pixel_mm
        corners = np.array(
            [
                np.add(tile.corner, i * nf * pf * np.array(tile.fast) + j * ns * ps * np.array(tile.slow))
                for tile in self.layout.tiles
                for i in (0, 1)
                for j in (0, 1)
            ]
        )
        width, height = np.ptp(corners, axis=0)
        return float(width), float(height)

    def sensor_fields(self) -> dict[str, Any]:
        """Sensor of a Detector or Panel."""
        if not self.sensors:
            return {}
        material, thickness = self.sensors[0]
        return {"material": material, "thickness_um": thickness}

    def groups(self) -> dict[str, tuple[int, ...]]:
        """Groups of panels that move together."""
        return {} if self.layout is None else dict(self.layout.groups)

    def placed(self, distance_mm: float, convention: str, **sensor: Any) -> tuple[Panel, ...]:
        """Panels where they stand: perpendicular to the beam, which meets the middle of the layout.

        Parameters
        ----------
        distance_mm : float
        convention : str
            Whose directions of beam and slow axis are those of the beam and down.
        **sensor
            Fields of every panel.
        """
        assert self.layout is not None
        directions = CONVENTIONS[convention]
        beam, up = np.array(directions.beam), -np.array(directions.slow)
        left = np.cross(up, beam)

        def vector(v: tuple[float, float]) -> Any:
            return (v[0] * left + v[1] * up + 0.0).tolist()  # + 0.0 makes 0 of -0

        return tuple(
            Panel(
                origin_mm=(np.array(vector(tile.corner)) + distance_mm * beam).tolist(),
                fast=vector(tile.fast),
                slow=vector(tile.slow),
                fpixels=self.layout.size[0],
                spixels=self.layout.size[1],
                pixel_mm=self.layout.pixel_mm,
                name=tile.name,
                **{**self.sensor_fields(), **sensor},
            )
            for tile in self.layout.tiles
        )


def middle_fields(
    pixels: tuple[int, int], pixel_mm: tuple[float, float], convention: str, given: Any = ()
) -> dict[str, float]:
    """Fields of a Detector that put the beam into the middle of its pixels, for the axes without any given.

    The defaults of some conventions are half a pixel or a pixel beside it (canonical 3.2).

    Parameters
    ----------
    pixels, pixel_mm : (fast, slow)
    convention : str
    given : container of str
        Names of fields that are given.
    """
    (df, ds), (pf, ps) = [n * p for n, p in zip(pixels, pixel_mm, strict=True)], pixel_mm
    middles = {"mosflm": ((ds - ps) / 2, (df - pf) / 2), "denzo": (ds / 2, df / 2), "adxv": (df / 2, ds / 2)}
    rule = CONVENTIONS[convention].beam_centre
    if rule not in middles or "pix0_vector_m" in given:
        return {}
    return {
        names[0]: middle
        for names, middle in zip(_CENTRES.values(), middles[rule], strict=True)
        if not any(name in given for name in names)
    }


def _dectris(
    name: str, title: str, edge: float, grid: ModuleGrid, sensors: Any, bits: str, preset: str
) -> NamedDetector:
    source = f"pixels, modules and gaps: pyFAI 2026.9, DECTRIS; {_TYPICAL}"
    return NamedDetector(name, title, (edge, edge), grid, sensors, "counting", bits, preset, source)


_SI_320, _SI_450, _SI_500 = (("Si", 320.0),), (("Si", 450.0),), (("Si", 500.0),)
_PILATUS_SENSORS = (("Si", 320.0), ("Si", 450.0), ("Si", 1000.0))
_EIGER2_SENSORS = (("Si", 450.0), ("CdTe", 750.0))
_NOMINAL = "positions nominal: of a real one read its own .geom, .expt or NXmx file"


def _pilatus(name: str, title: str, modules: tuple[int, int]) -> NamedDetector:
    grid = ModuleGrid(modules, (487, 195), (7, 17))
    return _dectris(name, title, 0.172, grid, _PILATUS_SENSORS, "20 bit", "pilatus")


def _eiger(size: str, modules: tuple[int, int]) -> NamedDetector:
    grid = ModuleGrid(modules, (1030, 514), (10, 37))
    title = f"EIGER X {size}"
    return _dectris(f"eiger_{size.lower()}", title, 0.075, grid, _SI_450, "12 bit a frame", "eiger")


def _eiger2(size: str, modules: tuple[int, int]) -> NamedDetector:
    grid = ModuleGrid(modules, (1028, 512), (12, 38))
    title = f"EIGER2 X {size}"
    return _dectris(f"eiger2_{size.lower()}", title, 0.075, grid, _EIGER2_SENSORS, "16 bit a frame", "eiger2")


def _rayonix(name: str, title: str, pixels: int, edge: float) -> NamedDetector:
    grid = ModuleGrid((1, 1), (pixels, pixels))
    source = (
        "pixels: pyFAI 2026.9, Rayonix; every photon is taken to be captured by the phosphor: its efficiency "
        "is typical of the energy, to be confirmed with the facility before use as truth"
    )
    return NamedDetector(name, title, (edge, edge), grid, (), "integrating", "16 bit", "rayonix", source)


_ENTRIES = (
    _pilatus("pilatus_2m", "PILATUS 2M", (3, 8)),
    _pilatus("pilatus_6m", "PILATUS 6M", (5, 12)),
    _dectris(
        "pilatus4_4m",
        "PILATUS4 4M",
        0.15,
        ModuleGrid((4, 8), (513, 255), (7, 20)),
        (("Si", 450.0), ("CdTe", 1000.0)),
        "",
        "pilatus4",
    ),
    _eiger("4M", (2, 4)),
    _eiger("9M", (3, 6)),
    _eiger("16M", (4, 8)),
    _eiger2("4M", (2, 4)),
    _eiger2("9M", (3, 6)),
    _eiger2("16M", (4, 8)),
    NamedDetector(
        "jungfrau_4m",
        "JUNGFRAU 4M",
        (0.075, 0.075),
        ModuleGrid((2, 4), (1030, 514), (8, 36)),
        _SI_320,
        "gain switching",
        "14 bit",
        "jungfrau",
        "pixels, modules and gaps: pyFAI 2026.9; sensor: dxtbx, European XFEL documentation; wide pixels "
        "between chips are two ordinary ones, as in corrected arrays of 514 x 1030",
    ),
    NamedDetector(
        "jungfrau_16m",
        "JUNGFRAU 16M (SwissFEL)",
        (0.075, 0.075),
        None,
        _SI_320,
        "gain switching",
        "14 bit",
        "jungfrau",
        "32 modules as CrystFEL's example of the detector at SwissFEL Alvra has them, put on a lattice of "
        f"550 x 1038 pixels with steps of 68 and 67 around the beam (within 5 of the file); {_NOMINAL}; "
        "q0 to q3 are the quarters around the beam; sensor: dxtbx, European XFEL documentation",
    ),
    NamedDetector(
        "agipd_1m",
        "AGIPD 1M",
        (0.2, 0.2),
        None,
        _SI_500,
        "gain switching",
        "14 bit",
        "agipd",
        "tiles of 128 x 64 at 66 pixels, modules at 157, and the quadrants' places: EXtra-geom 1.17, its "
        f"example; {_NOMINAL}; {_TYPICAL}",
    ),
    NamedDetector(
        "cspad",
        "CSPAD 2.3M",
        (0.11, 0.11),
        None,
        _SI_500,
        "integrating",
        "14 bit",
        "cspad",
        "two-by-ones as in CrystFEL's example for CXI, mean of the four quadrants, rounded to 0.1 mm (single "
        f"ones are up to 2 mm elsewhere); {_NOMINAL}; sensor: dxtbx, Hart et al. 2012",
    ),
    NamedDetector(
        "epix10k_2m",
        "ePix10k 2M",
        (0.1, 0.1),
        None,
        _SI_500,
        "gain switching",
        "14 bit",
        "epix10k",
        "16 modules of 384 x 352 pixels, here their 64 ASICs of 192 x 176; pixels between ASICs, 0.225 mm "
        "wide, are ordinary ones beside a gap of 0.25 mm; places from a metrology at LCLS MFX, made "
        f"four-fold and rounded to 0.1 mm; {_NOMINAL}; {_TYPICAL}",
    ),
    NamedDetector(
        "epix100",
        "ePix100",
        (0.05, 0.05),
        None,
        _SI_500,
        "integrating",
        "14 bit",
        "",
        "4 ASICs of 384 x 352 pixels on one sensor: EXtra-geom 1.17; pixels between ASICs, 0.175 mm "
        f"wide, are ordinary ones beside a gap of 0.25 mm; {_TYPICAL}",
    ),
    NamedDetector(
        "lpd_1m",
        "LPD 1M",
        (0.5, 0.5),
        None,
        _SI_500,
        "integrating",
        "",
        "",
        f"256 tiles of 128 x 32, 4 pixels apart, and the quadrants' places: EXtra-geom 1.17, its example; "
        f"{_NOMINAL}; {_TYPICAL}",
    ),
    NamedDetector(
        "dssc_1m",
        "DSSC 1M",
        LAYOUTS["dssc_1m"]().pixel_mm,
        None,
        _SI_450,
        "integrating",
        "",
        "",
        "32 tiles of 256 x 128, 2 and 4 mm apart, and the quadrants' places: EXtra-geom 1.17, its example; "
        "hexagonal pixels are rectangles of the same area, every other row half a pixel off its place; "
        f"{_NOMINAL}; {_TYPICAL}",
    ),
    _rayonix("rayonix_mx340", "Rayonix MX340-HS", 7680, 0.044271),
    _rayonix("rayonix_mx340_2x2", "Rayonix MX340-HS, 2 x 2 binned", 3840, 0.08854),
)

#: name -> detector
LIBRARY: dict[str, NamedDetector] = {entry.name: entry for entry in _ENTRIES}


def detector_names() -> tuple[str, ...]:
    """Names that `Detector.named` takes.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import nbragg
    >>> "pilatus_6m" in nbragg.detector_names()
    True
    """
    return tuple(LIBRARY)


def library_entry(name: Any) -> NamedDetector:
    """The entry of a name; capitals, spaces and dashes are as good: ``"PILATUS 6M"``.

    Raises
    ------
    InputError
        For no name of the library; the nearest is named.
    """
    if not isinstance(name, str):
        raise InputError(f"a detector's name is text, not {name!r}")
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    if plain not in LIBRARY:
        near = suggestion(plain, LIBRARY)
        raise InputError(f"no detector {name!r} in the library{near} (nbragg detectors lists them)")
    return LIBRARY[plain]

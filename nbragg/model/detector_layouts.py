"""Where the tiles of detectors stand that are on no common grid of pixels.

Places are nominal, in mm, in a plane seen along the beam as CrystFEL and the European XFEL name it: x to the
left, y up, the beam through 0, 0.  ``model/detector_library.py`` says where the numbers come from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["LAYOUTS", "Layout", "Tile"]

Pair = tuple[float, float]

_LEFT: Pair = (1.0, 0.0)
_RIGHT: Pair = (-1.0, 0.0)
_UP: Pair = (0.0, 1.0)
_DOWN: Pair = (0.0, -1.0)


class Tile(NamedTuple):
    """A rectangle of pixels.

    Attributes
    ----------
    name : str
    corner : (x, y)
        Of its first pixel, the outer one, mm.
    fast, slow : (x, y)
        Unit vectors.
    """

    name: str
    corner: Pair
    fast: Pair
    slow: Pair


class Layout(NamedTuple):
    """Tiles of one size.

    Attributes
    ----------
    size : (fast, slow)
        Pixels of a tile.
    pixel_mm : (fast, slow)
    tiles : tuple of Tile
    groups : dict
        Name of a group to the numbers of its tiles.
    """

    size: tuple[int, int]
    pixel_mm: Pair
    tiles: tuple[Tile, ...]
    groups: dict[str, tuple[int, ...]]


def _turned(v: Pair, quarters: int) -> Pair:
    """Turned by so many right angles, x towards y."""
    for _ in range(quarters % 4):
        v = (-v[1], v[0])
    return v


def _plus(*terms: tuple[float, Pair]) -> Pair:
    """A sum of multiples."""
    return sum(a * v[0] for a, v in terms), sum(a * v[1] for a, v in terms)


def _in_fours(tiles_per_module: int, modules: int = 16) -> dict[str, tuple[int, ...]]:
    """Groups q0 to q3 of a quarter of the modules each, and p0, p1, ... of one module."""
    quarter = modules // 4 * tiles_per_module
    groups = {f"q{q}": tuple(range(q * quarter, (q + 1) * quarter)) for q in range(4)}
    for p in range(modules):
        groups[f"p{p}"] = tuple(range(p * tiles_per_module, (p + 1) * tiles_per_module))
    return groups


def _agipd_1m() -> Layout:
    pixel, fast_pixels, pitch, module_pitch = 0.2, 128, 66, 128 + 29
    quadrants = (
        ((-525.0, 625.0), _LEFT, _DOWN),
        ((-550.0, -10.0), _LEFT, _DOWN),
        ((520.0, -160.0), _RIGHT, _UP),
        ((542.5, 475.0), _RIGHT, _UP),
    )
    tiles = []
    for p in range(16):
        (x, y), slow, fast = quadrants[p // 4]
        first = (x * pixel, (y - p % 4 * module_pitch) * pixel)
        for a in range(8):
            tiles.append(Tile(f"p{p}a{a}", _plus((1.0, first), (a * pitch * pixel, slow)), fast, slow))
    return Layout((fast_pixels, 64), (pixel, pixel), tuple(tiles), _in_fours(8))


def _jungfrau_16m() -> Layout:
    """Columns of two or four modules, stepped around a hole for the beam; lengths in pixels."""
    pixel, fast_pixels, slow_pixels = 0.075, 1030, 514
    step_x, step_y = 68, 67
    numbers = {0: (1, 2), 8: (1, 2)}  # rows of a column; four in those between
    tiles, quarters = [], {f"q{q}": [] for q in range(4)}  # type: list[Tile], dict[str, list[int]]
    for column in range(9):
        for row in numbers.get(column, (0, 1, 2, 3)):
            lower = row > 1
            x = -53 + (slow_pixels + 36) * (4 - column) + step_x * lower
            y = 2035 - (fast_pixels + 8) * row + step_y * ((column < 4) + (column < 1))
            quarters[f"q{2 * (column > 3) + lower}"].append(len(tiles))
            tiles.append(Tile(f"m{len(tiles)}", (x * pixel, y * pixel), _DOWN, _RIGHT))
    groups = {name: tuple(which) for name, which in quarters.items()}
    return Layout((fast_pixels, slow_pixels), (pixel, pixel), tuple(tiles), groups)


def _pair(
    names: tuple[str, str],
    centre: Pair,
    fast: Pair,
    slow: Pair,
    size: tuple[int, int],
    pixel: float,
    gap: float,
) -> list[Tile]:
    """Two tiles along fast about a centre; ``gap`` mm between them."""
    step = size[0] * pixel + gap
    corner = _plus((1.0, centre), (gap / 2 - step, fast), (-size[1] * pixel / 2, slow))
    first = Tile(names[0], corner, fast, slow)
    return [first, Tile(names[1], _plus((1.0, corner), (step, fast)), fast, slow)]


def _cspad() -> Layout:
    """Four quadrants, each the one before turned by a right angle; two ASICs, 3 pixels apart, make a 2x1."""
    size, pixel = (194, 185), 0.11
    sensors = (
        ((38.9, 17.9), _UP),
        ((16.2, 17.9), _UP),
        ((74.2, 29.4), _RIGHT),
        ((74.1, 6.7), _RIGHT),
        ((62.7, 64.7), _DOWN),
        ((85.3, 64.7), _DOWN),
        ((27.3, 73.8), _RIGHT),
        ((27.3, 51.0), _RIGHT),
    )
    tiles: list[Tile] = []
    for q in range(4):
        for s, (centre, along) in enumerate(sensors):
            fast = _turned(along, q)
            names = (f"q{q}a{2 * s}", f"q{q}a{2 * s + 1}")
            slow = _turned(fast, 1)
            tiles += _pair(names, _turned(centre, q), fast, slow, size, pixel, 3 * pixel)
    groups = {f"q{q}": tuple(range(16 * q, 16 * q + 16)) for q in range(4)}
    groups |= {f"q{q}s{s}": (16 * q + 2 * s, 16 * q + 2 * s + 1) for q in range(4) for s in range(8)}
    return Layout(size, (pixel, pixel), tuple(tiles), groups)


def _two_by_two(
    prefix: str, centre: Pair, fast: Pair, slow: Pair, size: tuple[int, int], pixel: float, gap: float
) -> list[Tile]:
    """Four tiles in two rows about a centre, ``gap`` mm between them."""
    half = (size[1] * pixel + gap) / 2
    tiles: list[Tile] = []
    for row in range(2):
        middle = _plus((1.0, centre), ((2 * row - 1) * half, slow))
        names = (f"{prefix}a{2 * row}", f"{prefix}a{2 * row + 1}")
        tiles += _pair(names, middle, fast, slow, size, pixel, gap)
    return tiles


def _epix10k_2m() -> Layout:
    """Modules of 2 x 2 ASICs; four make a quadrant, each the one before turned by a right angle."""
    size, pixel = (192, 176), 0.1
    centres = ((23.4, -59.35), (64.0, -59.35), (23.4, -17.2), (64.0, -17.2))
    tiles: list[Tile] = []
    for p in range(16):
        q = p // 4
        fast, slow = _turned(_RIGHT, q), _turned(_DOWN, q)
        tiles += _two_by_two(f"p{p}", _turned(centres[p % 4], q), fast, slow, size, pixel, 2 * 0.125)
    return Layout(size, (pixel, pixel), tuple(tiles), _in_fours(4))


def _epix100() -> Layout:
    size, pixel = (384, 352), 0.05
    tiles = _two_by_two("p0", (0.0, 0.0), _RIGHT, _DOWN, size, pixel, 2 * 0.125)
    return Layout(size, (pixel, pixel), tuple(tiles), {"top": (0, 1), "bottom": (2, 3)})


def _lpd_1m() -> Layout:
    """Modules of 2 x 8 tiles, numbered down one column and up the other."""
    size, pixel, gap = (128, 32), 0.5, 4
    wide, high = (size[0] + gap) * pixel, (size[1] + gap) * pixel
    quadrants = ((11.4, 299.0), (-11.5, 8.0), (254.5, -16.0), (278.5, 275.0))
    tiles = []
    for p in range(16):
        x, y = quadrants[p // 4]
        across, up = ((-1, 0), (-1, -1), (0, -1), (0, 0))[p % 4]
        x, y = x + across * 2 * wide, y + up * 8 * high
        for a in range(16):
            column, row = (-1, a) if a < 8 else (0, 15 - a)
            last = (x + column * wide, y - row * high)
            corner = (last[0] - size[0] * pixel, last[1] - size[1] * pixel)
            tiles.append(Tile(f"p{p}a{a}", corner, _LEFT, _UP))
    return Layout(size, (pixel, pixel), tuple(tiles), _in_fours(16))


def _dssc_1m() -> Layout:
    """Hexagons of 0.236 mm from side to side, as rectangles of their area; two tiles make a module."""
    size = (256, 128)
    pixel = (0.236, 0.236 * math.sqrt(3.0) / 2.0)
    wide, high, beside, below = size[0] * pixel[0], size[1] * pixel[1], 2.0, 4.0
    corners = ((-130.0, 5.0), (-130.0, -125.0), (5.0, -125.0), (5.0, 5.0))  # the rightmost, lowest
    tiles = []
    for p in range(16):
        (x, y), q = corners[p // 4], p // 4
        fast, slow = (_RIGHT, _UP) if q < 2 else (_LEFT, _DOWN)
        start = (x + 2 * wide + beside, y) if q < 2 else (x, y + 4 * high + 3 * below)
        start = _plus((1.0, start), (p % 4 * (high + below), slow))
        for t in range(2):
            tiles.append(Tile(f"p{p}a{t}", _plus((1.0, start), (t * (wide + beside), fast)), fast, slow))
    return Layout(size, pixel, tuple(tiles), _in_fours(2))


#: name -> what makes the layout
LAYOUTS = {
    "agipd_1m": _agipd_1m,
    "cspad": _cspad,
    "dssc_1m": _dssc_1m,
    "epix100": _epix100,
    "epix10k_2m": _epix10k_2m,
    "jungfrau_16m": _jungfrau_16m,
    "lpd_1m": _lpd_1m,
}

"""What an image will cost, before it is rendered: samples, seconds here, and what would make it cheaper."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.warn import said_before
from ..engine.backend import backend, parse, resolve
from ..engine.options import RenderOptions
from ..scene.reach import resolution_limit

if TYPE_CHECKING:
    from ..scene.record import PlacedPanel, Scene

__all__ = ["Cost", "clearly_short", "cost_of", "samples_of", "time_text"]

#: least and largest edge of the blocks of pixels that are rendered to see how long they take
_BLOCK, _LARGE_BLOCK = 8, 32
#: most samples along the edge of one of the larger blocks, as the engine takes patches; and in all of it
_EDGE_SAMPLES, _BLOCK_SAMPLES = 64, 1 << 26
#: a selection that took so long (s) says enough; what the next one is to take; how much larger it may be
_ENOUGH, _AIM, _GROWTH = 0.1, 0.15, 64
#: after so long (s) one that took this part of what none would have taken does, too
_MOST, _CLEAR = 0.3, 0.5
#: samples of a pixel beyond which its sub-pixels are thinned out: a thread's first share would take 0.3 s
_MOST_SAMPLES = 1 << 20

#: ns of a thread that a sample hardly exceeds: of many orientations, of one, with interpolation
_EACH, _ALONE, _INTERPOLATED = 3.0, 8.0, 15.0
#: threads that a GPU stands for
_GPU = 1000

#: domains of a mosaic crystal for which nobody says how many
_FEWEST = 10
#: edge of a coherent block (m) as real crystals have them
_COHERENT = 0.5e-6


@dataclass(frozen=True)
class Cost:
    """What an image costs, estimated before it is rendered.

    Attributes
    ----------
    samples : int
        Pixels times sub-pixels, sensor layers, sources and orientations: those in the roi that no mask leaves
        out.
    seconds : float
        To render it on this machine with the simulator's options: measured on a part of its pixels.
    advice : tuple of str
        What would make it cheaper, each with how much where that is known; field and option by name.
    """

    samples: int
    seconds: float
    advice: tuple[str, ...]

    def __str__(self) -> str:
        return f"about {time_text(self.seconds)} for {self.samples:.3g} samples"


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: "0.52 s", "13.4 min", "2.5 h", "3.1 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def samples_of(scene: Scene) -> int:
    """Samples of an image: pixels rendered times sub-pixels, layers, sources and orientations."""
    orientations = sum(len(crystal.orientations) for crystal in scene.crystals)
    pixels = sum(_pixels(panel) * panel.layers for panel in scene.panels)
    return pixels * scene.oversample**2 * len(scene.sources) * orientations


def clearly_short(scene: Scene, options: RenderOptions, seconds: float, images: int = 1) -> bool:
    """Whether images take less than so many seconds for sure, by their number of samples alone.

    Parameters
    ----------
    scene : Scene
        Of one of them.
    options : RenderOptions
    seconds : float
    images : int
        How many.
    """
    orientations = sum(len(crystal.orientations) for crystal in scene.crystals)
    longest = _EACH + (_ALONE - _EACH) * len(scene.crystals) / orientations
    if any(table.interpolation != "nearest" for table in scene.tables):
        longest = _INTERPOLATED
    return images * samples_of(scene) * longest * 1e-9 < seconds * _threads(options)


def cost_of(scene: Scene, options: RenderOptions) -> Cost:
    """What a Scene's image costs.

    Blocks of 8 x 8 pixels or more, spread evenly over what is rendered, are rendered with these options, so
    many that they take a tenth of a second; the whole takes as much longer as it has pixels more.

    Parameters
    ----------
    scene : Scene
    options : RenderOptions

    Raises
    ------
    InputError
        When the device is not known.
    DeviceError
        With device "cuda" where there is none.
    RenderError
        When the engine fails.
    """
    with said_before():  # what the image itself will say
        seconds = _measured(scene, options.replace(progress=None, on_device=False))
    return Cost(samples_of(scene), seconds, tuple(_advice(scene, options)))


def _pixels(panel: PlacedPanel) -> int:
    """Pixels of a panel that are rendered."""
    fmin, fmax, smin, smax = panel.roi
    if panel.mask is None:
        return (fmax - fmin + 1) * (smax - smin + 1)
    return int(np.count_nonzero(panel.mask[smin : smax + 1, fmin : fmax + 1]))


def _threads(options: RenderOptions) -> int:
    with said_before():
        device = resolve(options.device)
    if parse(device)[0] != "cpu":
        return _GPU
    from ..engine.cpu import thread_count

    return thread_count(options)


# ---- seconds -----------------------------------------------------------------------------------------------


def _measured(scene: Scene, options: RenderOptions) -> float:
    """Seconds of the whole, from selections of its pixels, each larger than the one before."""
    thin, times = _thinned(scene)
    blocks = _Blocks(thin)
    pixels = blocks.pixels
    if not pixels:
        return 0.0
    # a share for each thread (NB_TILE in csrc/nb_walk.h)
    threads = _threads(options)
    count = max(threads, 2 * threads * _BLOCK**2 // blocks.edge**2)
    # what does not grow with the number of pixels
    spent = fixed = _elapsed(blocks.selected(0)[0], options) if count < len(blocks) else 0.0
    while True:
        part, taken = blocks.selected(count)
        elapsed = _elapsed(part, options)
        spent += elapsed
        if taken == pixels:
            return elapsed * times
        own = max(elapsed - fixed, 0.0)
        if own >= _ENOUGH or (spent >= _MOST and own >= _CLEAR * fixed):
            return (fixed + own * pixels / taken) * times
        count = min(math.ceil(count * min(_AIM / max(own, 1e-6), _GROWTH)), len(blocks))


def _elapsed(scene: Scene, options: RenderOptions) -> float:
    with backend(options.device).queue(options) as queue:
        queue.submit(scene)
        return queue.collect()[1]


def _thinned(scene: Scene) -> tuple[Scene, float]:
    """A Scene with fewer sub-pixels where a single pixel takes long, and how many times fewer there are."""
    most = max(math.isqrt(_MOST_SAMPLES * scene.oversample**2 // max(scene.samples_per_pixel, 1)), 1)
    if most >= scene.oversample:
        return scene, 1.0
    return dataclasses.replace(scene, oversample=most), (scene.oversample / most) ** 2


def _block_edge(scene: Scene) -> int:
    edge = _BLOCK
    while (
        2 * edge <= _LARGE_BLOCK
        and 2 * edge * scene.oversample <= _EDGE_SAMPLES
        and (2 * edge) ** 2 * scene.samples_per_pixel <= _BLOCK_SAMPLES
    ):
        edge *= 2
    return edge


class _Blocks:
    """The blocks of a Scene of which pixels are rendered, panel by panel in raster order.

    They begin at multiples of their edge, counted from the corner of the panel's plane.

    Attributes
    ----------
    edge : int
        In pixels.
    pixels : int
        Rendered, in all of them.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.edge = _block_edge(scene)
        self._live = [_live_pixels(panel, self.edge) for panel in scene.panels]
        self._places = [np.flatnonzero(live) for live in self._live]
        self._ends = np.cumsum([0, *map(len, self._places)])
        self.pixels = sum(int(live.sum()) for live in self._live)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def selected(self, count: int) -> tuple[Scene, int]:
        """A Scene of so many of them, at most all, and how many pixels it renders."""
        from ..inverse.region import restricted

        if count >= len(self):
            return self._scene, self.pixels
        # one in each of equal parts, at a place in it that does not repeat with the rows
        parts = np.arange(count)
        chosen = ((parts + (0.5 + parts * 0.6180339887498949) % 1.0) * (len(self) / max(count, 1))).astype(
            np.int64
        )
        masks, taken = [], 0
        spans = itertools.pairwise(self._ends)
        for panel, live, places, (begin, end) in zip(
            self._scene.panels, self._live, self._places, spans, strict=True
        ):
            mine = places[chosen[(chosen >= begin) & (chosen < end)] - begin]
            wanted = np.zeros(live.size, np.uint8)
            wanted[mine] = 1
            taken += int(live.reshape(-1)[mine].sum())
            wide = wanted.reshape(live.shape).repeat(self.edge, axis=0).repeat(self.edge, axis=1)
            slow, fast = panel.first[1] % self.edge, panel.first[0] % self.edge
            masks.append(wide[slow : slow + panel.spixels, fast : fast + panel.fpixels].reshape(-1))
        mask = np.concatenate(masks).reshape(self._scene.image_shape)
        return restricted(self._scene, None, mask), taken


def _live_pixels(panel: PlacedPanel, edge: int) -> NDArray[np.int64]:
    """Pixels that are rendered of each block, shape (rows, columns) of blocks."""
    slow, fast = panel.first[1] % edge, panel.first[0] % edge
    rows, columns = -(-(slow + panel.spixels) // edge), -(-(fast + panel.fpixels) // edge)
    used = np.zeros((rows * edge, columns * edge), bool)
    fmin, fmax, smin, smax = panel.roi
    seen = True if panel.mask is None else panel.mask[smin : smax + 1, fmin : fmax + 1] != 0
    used[slow + smin : slow + smax + 1, fast + fmin : fast + fmax + 1] = seen
    counts: NDArray[np.int64] = used.reshape(rows, edge, columns, edge).sum(axis=(1, 3), dtype=np.int64)
    return counts


# ---- what would make it cheaper ----------------------------------------------------------------------------


def _advice(scene: Scene, options: RenderOptions) -> Iterator[str]:
    """What takes less time, with how much less where that is known."""
    fringes = any(crystal.shape in ("square", "round") for crystal in scene.crystals)
    if fringes and options.cull and not options.tolerance_photons:
        yield "tolerance_photons (-tolerance PHOTONS) leaves out what is fainter"
    recommended, now = scene.placement.recommended_oversample, scene.oversample
    fewer = _fewer_of_blocks(scene)
    if now > recommended:
        yield (
            f"oversample={recommended} (-oversample {recommended}), as recommended, not {now}: "
            f"{_less((now / recommended) ** 2)}"
        )
    elif fewer < now:
        yield (
            "block_size_mm=5e-4 along each axis (-block_size 5e-4), or N and blocks (-blocks), as large "
            f"crystals are no single block: {fewer} x {fewer} sub-pixels, not {now} x {now}, "
            f"{_less((now / fewer) ** 2)}"
        )
    yield from _fewer_domains(scene)
    part = "roi (-roi)" if len(scene.panels) == 1 else "a mask (-mask)"
    yield f"{part}: as much less as there are fewer pixels"


def _less(factor: float) -> str:
    return f"{factor:.3g} times less"


def _fewer_of_blocks(scene: Scene) -> int:
    """Sub-pixels that are recommended for a crystal of blocks that are as small as they often are."""
    longest = max(float(placed.size_m.max()) for placed in scene.placement.crystals)
    return max(math.ceil(scene.placement.recommended_oversample * min(_COHERENT / longest, 1.0)), 1)


def _fewer_domains(scene: Scene) -> Iterator[str]:
    """Of a crystal whose domains lie closer than spots are wide.

    Spots of a block of edge L at q, in cycles, no longer overlap when they are turned by 1/(q L); twice the
    spread to either side, along two directions, is covered by (4 q L spread)^2 of them.
    """
    if len(scene.crystals) > 1:
        return
    placed = scene.placement.crystal
    highest = 1e10 / max(resolution_limit(scene), scene.dmin * 1e10)
    wide = 4.0 * highest * float(placed.size_m.max()) * placed.mosaic_spread
    needed, now = max(math.ceil(wide**2), _FEWEST), placed.mosaic_domains
    if 2 * needed <= now:
        yield (
            f"mosaic_domains={needed} (-mosaic_domains {needed}), not {now}, cover spots this wide: "
            f"{_less(now / needed)}"
        )

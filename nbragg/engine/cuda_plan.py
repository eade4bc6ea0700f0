"""Cuts a Scene into launches of the CUDA kernels, for the memory and the time there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._engine import PER_THREAD, SIZES, TILE, WARP
from ..base.errors import InputError, MemoryLimitError
from ..base.memory import readable
from .backdrop import has_behind, wanted
from .cuda_kernel import INDEX_DOUBLE, Specialisation, choose

if TYPE_CHECKING:
    from ..scene.record import PlacedPanel, Scene

__all__ = ["THREADS", "Band", "DeviceProfile", "Plan", "Request", "Share", "largest_group", "make_plan"]

THREADS = 128  # of a block
_BLOCKS_AT_ONCE = 4  # on one multiprocessor
_FULL = 2.0  # this many times the card's threads keep it busy
_FEWEST_ORIENTATIONS = 32  # of a split: below, the geometry of the pixels costs more than is won
_STEP_SECONDS = 0.15  # of work between two looks at progress and Ctrl-C
_INSTRUCTIONS = 120.0  # of a sample, for the guess of how long a launch takes
_SPARSE = 0.1  # of the time that all samples take, where some are left out: a guess, for that alone
_FEW_BYTES = 32 * 2**20  # left free for what is not counted
_MOST_BLOCKS = 65535  # along y and z of a grid
_MOST_PIXELS = 2**31 - THREADS  # of a launch


@dataclass(frozen=True)
class DeviceProfile:
    """What planning needs to know of a device.

    Attributes
    ----------
    name : str
    multiprocessors : int
    double_cost : float
        Float operations done in the time of one double operation.
    clock_hz : float
    """

    name: str
    multiprocessors: int
    double_cost: float
    clock_hz: float

    @property
    def samples_per_second(self) -> float:
        """A cautious guess, for the length of launches only."""
        return self.multiprocessors * 128 * self.clock_hz / _INSTRUCTIONS / 2

    @property
    def full(self) -> float:
        """Threads that keep the device busy."""
        return _FULL * self.multiprocessors * _BLOCKS_AT_ONCE * THREADS


@dataclass(frozen=True)
class Request:
    """What is to be rendered: ``images`` of a Scene, which differ in orientation alone.

    sparse: samples are left out.
    """

    scene: Scene
    precision: str
    images: int = 1
    on_device: bool = False
    double: bool = False
    sparse: bool = False


@dataclass(frozen=True)
class Share:
    """One crystal of a band: what to compile for it, and into how many parts its orientations are divided."""

    spec: Specialisation
    index_bound: float
    splits: int


@dataclass(frozen=True)
class Band:
    """Rows of a panel's region that are rendered together, by one launch for each crystal."""

    panel: int
    first: int  # row of the panel
    rows: int
    width: int
    shares: tuple[Share, ...]

    @property
    def pixels(self) -> int:
        return self.width * self.rows

    @property
    def splits(self) -> int:
        """Of all crystals."""
        return sum(share.splits for share in self.shares)

    def blocks(self, panel: PlacedPanel, threads: int) -> int:
        """Blocks of a launch: threads are pixels, or warps tiles of them where samples are left out."""
        if not self.shares[0].spec.sparse:
            return -(-self.pixels // threads)
        ranges = ((panel.roi[0], self.width), (self.first, self.rows))
        tiles = math.prod(
            (corner + first + count - 1) // edge - (corner + first) // edge + 1
            for corner, edge, (first, count) in zip(panel.first, TILE, ranges, strict=True)
        )
        return -(-tiles * WARP // threads)


@dataclass(frozen=True)
class Plan:
    """The bands in the order of the image, and those that are queued without looking up."""

    steps: tuple[tuple[Band, ...], ...]

    @property
    def bands(self) -> tuple[Band, ...]:
        return tuple(band for step in self.steps for band in step)

    @property
    def pixels(self) -> int:
        return sum(band.pixels for band in self.bands)

    def rows_of(self, panel: int) -> int:
        """The most rows of a panel in one band."""
        return max(band.rows for band in self.bands if band.panel == panel)


def make_plan(
    request: Request,
    profile: DeviceProfile,
    free: int,
    held: Callable[[NDArray[Any], DTypeLike], bool],
) -> Plan:
    """Bands for which the device has memory, each short enough for progress to come through.

    How orientations are divided depends neither on free memory nor on the size of a batch, so that neither
    changes the last bit of a sum.

    Parameters
    ----------
    request : Request
    profile : DeviceProfile
    free : int
        Bytes.
    held : callable
        Whether the device has an array already, given the array and its type there.

    Raises
    ------
    InputError
        When a panel has too many pixels, or a crystal too large indices.
    MemoryLimitError
        When not even one row fits, or the whole panel where it cannot be divided.
    """
    scene = request.scene
    fixed, what = _fixed_bytes(request, held)
    bands: list[Band] = []
    for number, panel in enumerate(scene.panels):
        fmin, fmax, smin, smax = panel.roi
        width, height = fmax - fmin + 1, smax - smin + 1
        chosen = [
            choose(
                scene,
                request.precision,
                profile.double_cost,
                crystal=c,
                curved=panel.curved != "flat",
                each_mu=panel.source_mu is not None,
                sparse=request.sparse,
            )
            for c in range(len(scene.crystals))
        ]
        row_seconds = width * _pixel_seconds(request, panel, [spec for spec, _ in chosen], profile)
        rows = max(1, min(height, int(_STEP_SECONDS / row_seconds), _MOST_PIXELS // width))
        divisible = request.images == 1 and not request.on_device
        if not divisible:
            rows = height
        if width * rows >= _MOST_PIXELS or (width * height >= _MOST_PIXELS and _may_search(scene)):
            raise InputError(f"{width} x {height} pixels are too many for device='cuda': give a smaller roi")
        wanted = math.ceil(profile.full / (width * rows))
        shares = tuple(
            Share(
                spec,
                bound,
                max(1, min(wanted, len(block.orientations) // _FEWEST_ORIENTATIONS, _MOST_BLOCKS)),
            )
            for block, (spec, bound) in zip(scene.crystals, chosen, strict=True)
        )
        most = (free - fixed) // _row_bytes(request, panel, width, sum(share.splits for share in shares))
        if most < (1 if divisible else height):
            raise _too_large(request, profile, free, what)
        rows = int(min(rows, most))
        bands += [
            Band(number, first, min(rows, smax + 1 - first), width, shares)
            for first in range(smin, smax + 1, rows)
        ]
    return Plan(_steps(request, bands, profile))


def _pixel_seconds(
    request: Request, panel: PlacedPanel, specs: list[Specialisation], profile: DeviceProfile
) -> float:
    """A guess of the time that one pixel takes the whole device."""
    scene = request.scene
    samples = 0.0
    for spec, block in zip(specs, scene.crystals, strict=True):
        slow = profile.double_cost / 2 if spec.index == INDEX_DOUBLE and profile.double_cost > 2 else 1.0
        samples += slow * len(block.orientations)
    points = panel.layers * scene.oversample**2 * _sources_seen(scene)
    return points * samples * (_SPARSE if request.sparse else 1.0) / profile.samples_per_second


def _sources_seen(scene: Scene) -> float:
    """Sources for which a pixel takes its time: of a spectrum that is not rendered directly few."""
    if scene.spectral == "direct":
        return len(scene.sources)
    turns = int(np.any(np.diff(scene.sources.incident, axis=0) != 0, axis=1).sum())
    return 3.0 * (1 + turns) + 0.3 * len(scene.sources)


def _steps(request: Request, bands: list[Band], profile: DeviceProfile) -> tuple[tuple[Band, ...], ...]:
    """Consecutive bands, as many as take about as long as one is meant to."""
    steps: list[list[Band]] = [[]]
    left = _STEP_SECONDS
    for band in bands:
        panel = request.scene.panels[band.panel]
        specs = [share.spec for share in band.shares]
        seconds = request.images * band.pixels * _pixel_seconds(request, panel, specs, profile)
        if steps[-1] and seconds > left:
            steps.append([])
            left = _STEP_SECONDS
        steps[-1].append(band)
        left -= seconds
    return tuple(tuple(step) for step in steps)


def _may_search(scene: Scene) -> bool:
    return any(table.interpolation == "tricubic" and table.values is not None for table in scene.tables)


def _fixed_bytes(request: Request, held: Callable[[NDArray[Any], DTypeLike], bool]) -> tuple[int, list[str]]:
    """Memory that does not depend on the bands, and what of it is worth naming."""
    scene = request.scene
    fixed, what = _FEW_BYTES, []
    for name, count in (
        ("nb_source", len(scene.sources)),
        ("nb_crystal", len(scene.crystals)),
        ("nb_table", len(scene.tables)),
        ("nb_summary", request.images * (1 + sum(-(-_blocks(p) // PER_THREAD) for p in scene.panels))),
    ):
        fixed += SIZES[name] * count
    for block in scene.crystals:
        weights = 0 if block.orientation_weights is None else block.orientation_weights.nbytes
        fixed += request.images * block.orientations.nbytes + weights
    listed = [table.values for table in scene.tables if table.values is not None]
    kind = np.dtype(np.float32 if request.precision == "mixed" else np.float64)
    if listed:
        factors = sum(values.size for values in listed)
        what.append(f"{readable(factors * kind.itemsize)} for {factors} structure factors")
        fixed += sum(values.size * kind.itemsize for values in listed if not held(values, kind))
    masks = [panel.mask for panel in scene.panels if panel.mask is not None]
    if masks:
        what.append(f"{readable(sum(mask.size for mask in masks))} for the mask")
        fixed += sum(mask.size for mask in masks if not held(mask, np.uint8))
    if _may_search(scene):
        fixed += request.images * (8 + SIZES["nb_block_cut"] * sum(map(_blocks, scene.panels)))
    if scene.backdrop is not None:
        fixed += 8 * sum(wanted(scene.backdrop)) * scene.offsets[-1]
    if scene.diffuse is not None:  # its image, and its lists of structure factors, which are doubles
        double = np.dtype(np.float64)
        fixed += 8 * scene.offsets[-1]
        fixed += sum(values.size * 8 for values in listed if kind != double and not held(values, double))
    if request.on_device:
        fixed += request.images * scene.offsets[-1] * (12 if request.double else 4)
    return fixed, what


def _blocks(panel: PlacedPanel) -> int:
    fmin, fmax, smin, smax = panel.roi
    return -(-(fmax - fmin + 1) * (smax - smin + 1) // THREADS)


def _row_bytes(request: Request, panel: PlacedPanel, width: int, splits: int) -> int:
    """Memory that one row of a band takes."""
    a_row = 0 if request.on_device else panel.fpixels * (12 if request.double else 4)
    a_row += width // 8 + 1  # block sums
    if splits > 1 or request.double or has_behind(request.scene):
        a_row += 8 * width * splits
    return request.images * a_row


def _too_large(request: Request, profile: DeviceProfile, free: int, what: list[str]) -> MemoryLimitError:
    panels, pixels = request.scene.panels, request.scene.offsets[-1]
    size = f"{panels[0].fpixels} x {panels[0].spixels} pixels"
    if len(panels) > 1:
        size = f"{len(panels)} panels"
    count = f"{request.images} x " if request.images > 1 else ""
    what = [*what, f"{count}{readable(4 * pixels)} for images of {size}"]
    return MemoryLimitError(
        f"{profile.name} has {readable(max(free, 0))} of free memory; needed are {', '.join(what)}: give "
        "fewer pixels or reflections, a smaller batch, or device='cpu'"
    )


def largest_group(scene: Scene, profile: DeviceProfile, free: int) -> int:
    """Images of a batch that go into one launch: enough to fill the card, within a quarter of its memory."""
    pixels = scene.offsets[-1]
    wanted = max(math.ceil(profile.full / pixels), 2**26 // (4 * pixels), 1)
    return int(max(1, min(wanted, free // 4 // (4 * pixels), _MOST_BLOCKS)))

"""The jobs that are timed, as command lines which nanobragg and the reference program both understand.

W1 to W7 are the project's own; P2 and P4 are those of the published acceptance tests AT-PERF-002 and
AT-PERF-004 (AT-PERF-001 and AT-PARALLEL-028 are W1, AT-PERF-003 is W1 on a larger detector).
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbragg import Scene, build_scene
from nbragg.base.errors import NbraggWarning
from nbragg.cli.parser import CommandLine, parse
from nbragg.datasets import LYSOZYME_CELL, lysozyme

#: stands for the path of the reflection list
LIST = "{hkl}"

CUBIC = ("-cell", "100", "100", "100", "90", "90", "90")
TRICLINIC = ("-cell", "70", "80", "90", "85", "95", "105")
LYSOZYME = ("-hkl", LIST, "-cell", *(f"{x:g}" for x in LYSOZYME_CELL), "-misset", "10", "20", "30")


@dataclass(frozen=True)
class Workload:
    """One job.

    Attributes
    ----------
    key, title : str
    words : tuple of str
        Its command line, without the detector's size.
    pixels : (int, int)
        Fast, slow.
    pixel_mm : float
    targets : (float, float) or None
        Reference time over ours that is aimed at, in double and mixed precision.
    images : int
        Number of stills in random orientations; 1: one image as the words say.
    d_min_A : float or None
        Resolution limit of the reflection list; None: no list.
    comparable : bool
        Whether the reference's image of this job is right, so that ours can be compared with it.
    """

    key: str
    title: str
    words: tuple[str, ...]
    pixels: tuple[int, int] = (1024, 1024)
    pixel_mm: float = 0.1
    targets: tuple[float, float] | None = None
    images: int = 1
    d_min_A: float | None = None
    comparable: bool = True

    def shrunk(self, factor: int) -> Workload:
        """The same geometry on fewer, larger pixels, and fewer images."""
        fast, slow = (max(n // factor, 2) for n in self.pixels)
        d_min = None if self.d_min_A is None else max(self.d_min_A, 3.0)
        return replace(
            self,
            pixels=(fast, slow),
            pixel_mm=self.pixel_mm * factor,
            images=min(self.images, 3),
            d_min_A=d_min,
        )

    def place(self, folder: Path) -> Path:
        """The folder below `folder` to run in; without a list, one with no dump file of another job."""
        below = folder / ("constant" if self.d_min_A is None else f"list-{self.d_min_A:g}")
        below.mkdir(parents=True, exist_ok=True)
        return below

    def command(self, folder: Path) -> list[str]:
        """All words; the reflection list is one of `folder`."""
        path = "" if self.d_min_A is None else str(reflection_list(folder, self.d_min_A))
        words = [path if word == LIST else word for word in self.words]
        fast, slow = map(str, self.pixels)
        return [*words, "-detpixels_f", fast, "-detpixels_s", slow, "-pixel", f"{self.pixel_mm:g}"]


def _job(*words: str | float) -> tuple[str, ...]:
    return tuple(map(str, words))


_W1 = _job(*CUBIC, "-default_F", 100, "-N", 5, "-distance", 100, "-oversample", 1)
_SHAPES = _job(
    *CUBIC, "-default_F", 100, "-N", 10, "-lambda", 1, "-distance", 100, "-oversample", 1,
    "-mosaic", 0.5, "-mosaic_domains", 50, "-dispersion", 0.5, "-dispsteps", 5,
)  # fmt: skip

WORKLOADS: tuple[Workload, ...] = (
    Workload("W1", "one sample a pixel", (*_W1, "-lambda", "6.2"), targets=(12, 15)),
    Workload(
        "W2", "100 mosaic domains",
        (*_W1, *_job("-lambda", 1, "-mosaic", 0.5, "-mosaic_domains", 100)), targets=(30, 60),
    ),
    Workload(
        "W3", "lysozyme, 10 phi steps, 10 domains, 2x2 sub-pixels",
        _job(
            *LYSOZYME, "-N", 20, "-lambda", 0.9768, "-distance", 300, "-oversample", 2,
            # not from 0: the reference leaves the crystal where it was at phi = 0
            "-phi", 10, "-osc", 1, "-phisteps", 10, "-mosaic", 0.3, "-mosaic_domains", 10,
        ),
        # the list reaches beyond the edges, not into the corners, where no sample needs to be looked at
        pixels=(2463, 2527), pixel_mm=0.172, targets=(20, 40), d_min_A=1.5,
    ),
    Workload(
        "W4", "tricubic interpolation, 3x3 sub-pixels",
        _job(*LYSOZYME, "-N", 1, "-lambda", 1, "-distance", 100, "-oversample", 3, "-interpolate"),
        targets=(15, 20), d_min_A=1.5,
    ),
    Workload(
        "W5-gauss", "Gaussian spots, 50 domains, 5 wavelengths", (*_SHAPES, "-gauss_xtal"), targets=(25, 50)
    ),
    Workload(
        "W5-round", "ellipsoid, 50 domains, 5 wavelengths", (*_SHAPES, "-round_xtal"), targets=(25, 50)
    ),
    Workload(
        "W6", "10 layers, 3 wavelengths, 2x2 sub-pixels, every factor per sample",
        _job(
            *CUBIC, "-default_F", 100, "-N", 5, "-lambda", 1, "-distance", 100, "-oversample", 2,
            "-detector_thick", 450, "-detector_abs", 234, "-detector_thicksteps", 10,
            "-dispersion", 0.5, "-dispsteps", 3, "-polar", 0.95,
            "-oversample_thick", "-oversample_polar", "-oversample_omega",
        ),
        # the reference multiplies the running sum, not the sample, by each factor: equal work, another image
        targets=(15, 20), comparable=False,
    ),
    Workload(
        "W7", "200 lysozyme stills, random orientations",
        _job(*LYSOZYME[:-4], "-N", 20, "-lambda", 1, "-distance", 100, "-oversample", 1),
        targets=(25, 40), images=200, d_min_A=1.6,
    ),
    Workload(
        "P2", "AT-PERF-002",
        _job(*CUBIC, "-default_F", 100, "-N", 10, "-lambda", 1, "-distance", 100, "-oversample", 1),
    ),
    Workload(
        "P4", "AT-PERF-004",
        _job(
            *TRICLINIC, "-default_F", 100, "-N", 8, "-lambda", 1.5, "-misset", 10, 5, 3,
            "-distance", 100, "-oversample", 1,
        ),
        pixels=(512, 512),
    ),
)  # fmt: skip

BY_KEY = {workload.key: workload for workload in WORKLOADS}

#: axes of AT-PERF-007
SWEEP_SIZES = (128, 256, 512, 1024, 2048)
SWEEP_CELLS = {"cubic": CUBIC, "triclinic": TRICLINIC}
SWEEP_N = (1, 5, 10, 20)
SWEEP_OVERSAMPLE = (1, 2, 4)
SWEEP_LAMBDA = (0.5, 1.0, 1.5, 6.2)

#: "performance features" of AT-PERF-007: absorption and mosaic spread; polarization is always on
FEATURES = _job(
    "-detector_thick", 100, "-detector_abs", 234, "-detector_thicksteps", 2,
    "-mosaic", 0.2, "-mosaic_domains", 5,
)  # fmt: skip


def sweep_job(
    size: int, cell: str, N: int, oversample: int, wavelength_A: float, features: bool = False
) -> Workload:
    """One point of the sweep of AT-PERF-007."""
    words = _job(
        *SWEEP_CELLS[cell], "-default_F", 100, "-N", N, "-lambda", wavelength_A,
        "-distance", 100, "-oversample", oversample, *(FEATURES if features else ()),
    )  # fmt: skip
    return Workload(f"sweep-{cell}", "AT-PERF-007", words, pixels=(size, size))


def reflection_list(folder: Path, d_min_A: float) -> Path:
    """The text file "h k l F" of the lysozyme data set, written when it is not there yet."""
    path = folder / f"lysozyme-{d_min_A:g}.hkl"
    if not path.exists():
        factors = lysozyme(d_min_A)
        assert factors.values is not None
        place = np.argwhere(factors.values != 0.0)
        rows = np.column_stack([place + np.array(factors.origin), factors.values[tuple(place.T)]])
        np.savetxt(path, rows, fmt=("%d", "%d", "%d", "%.9g"))
    return path


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make a folder the current one for a while: no dump file that lies about is read."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def parsed(words: Sequence[str], folder: Path) -> CommandLine:
    """The records of a command line, without its warnings."""
    with inside(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        return parse(list(words))


def scene_of(line: CommandLine, roi: tuple[int, int, int, int] | None = None, **crystal: Any) -> Scene:
    """The Scene of a command line, of a part of the detector or with a changed crystal."""
    setup = line.setup if roi is None else line.setup.replace(roi=roi)
    setup = setup.replace(**crystal) if crystal else setup
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbraggWarning)
        return build_scene(setup)


def whole_scene(workload: Workload, folder: Path) -> Scene:
    """The Scene of a job, whole detector."""
    place = workload.place(folder)
    return scene_of(parsed(workload.command(place), place))


def samples_of(scene: Scene) -> int:
    """Pixels x sub-pixels x layers x sources x orientations of the roi."""
    fmin, fmax, smin, smax = scene.panel.roi
    pixels = (fmax - fmin + 1) * (smax - smin + 1)
    sub_samples = scene.oversample * scene.oversample * scene.panel.layers
    return int(pixels * sub_samples * len(scene.sources.wavelength) * len(scene.crystal.orientations))


def band(pixels: tuple[int, int], columns: int) -> tuple[int, int, int, int]:
    """A roi of so many columns around the middle, all rows: shared among threads, the rows stay even."""
    fast, slow = pixels
    columns = min(max(columns, 1), fast)
    first = (fast - columns) // 2
    return (first, first + columns - 1, 0, slow - 1)
